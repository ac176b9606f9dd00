/* Which life of the store it is.  A store that is restored from a backup has forgotten JoinNonces
 * that it gave; its generation rises by more than one device can have been given, and each record
 * passes over as many at its next step (device/record.h). */
#include "server/internal.h"

#include "base/pack.h"

enum { GENERATION_SCHEMA = 1, GENERATION_FIELDS = 4 };

static const uint8_t generation_key[] = { SPACE_GENERATION };

static ljs_err unpack(struct generation *out, const ljs_vault *vault, const ljs_buf *in)
{
    struct unpack u = { .rd = { in->data, in->len > 16 ? in->len - 16 : 0, false } };
    struct generation g;
    ljs_err err = ljs__vault_check(vault, TAG_GENERATION, in->data, in->len);
    unsigned fields = ljs__unpack_array(&u);

    if (ljs__unpack_uint(&u, 0xffff) > GENERATION_SCHEMA && !u.rd.bad)
        return LJS_E_VERSION;
    g.number = (uint32_t)ljs__unpack_uint(&u, UINT32_MAX);
    g.before = ljs__unpack_uint(&u, INT64_MAX);
    g.marked = ljs__unpack_uint(&u, 1);
    if (!err && (fields != GENERATION_FIELDS || !rd_done(&u.rd)))
        err = LJS_E_SEAL;
    if (!err)
        *out = g;
    return err;
}

ljs_err ljs__generation_read(struct generation *out, uint64_t *version, const ljs_vault *vault, ljs_store *store)
{
    ljs_buf value;
    uint64_t found;
    ljs_err err = ljs_store_get(&value, &found, store, generation_key, sizeof generation_key);

    memset(out, 0, sizeof *out);
    if (version)
        *version = found;
    if (err == LJS_E_NOTFOUND)
        return LJS_OK;
    if (!err)
        err = unpack(out, vault, &value);
    ljs_buf_free(&value);
    return err;
}

ljs_err ljs__generation_write(ljs_store *store, const ljs_vault *vault, uint64_t version,
                              const struct generation *generation)
{
    ljs_change change = { .key = generation_key, .key_len = sizeof generation_key, .if_version = version };
    struct wr w = { 0 };
    ljs_buf value = { NULL, 0 };
    ljs_err err;

    ljs__pack_array(&w, GENERATION_FIELDS);
    ljs__pack_uint(&w, GENERATION_SCHEMA);
    ljs__pack_uint(&w, generation->number);
    ljs__pack_uint(&w, generation->before);
    ljs__pack_uint(&w, generation->marked);
    if ((err = ljs__vault_take(&value, &w, vault, TAG_GENERATION)))
        return err;
    change.in = value.data;
    change.in_len = value.len;
    err = ljs_store_commit(store, &change, 1);
    ljs_buf_free(&value);
    return err ? err : change.result;
}

ljs_err ljs__generation_change(const ljs_vault *vault, ljs_store *store, make_generation *make, const void *user)
{
    struct generation g;
    uint64_t version;
    ljs_err err = LJS_E_CONFLICT;

    for (unsigned n = 0; err == LJS_E_CONFLICT && n < 8 * CONFLICT_RETRIES; n++) {
        err = ljs__generation_read(&g, &version, vault, store);
        if (!err)
            err = make(&g, user);
        if (!err)
            err = ljs__generation_write(store, vault, version, &g);
    }
    return err == LJS_E_CONFLICT ? LJS_E_STORE : err;
}

/* ---- where a store stands --------------------------------------------------- */

ljs_err ljs_standing_read(ljs_standing *out, ljs_vault *vault, ljs_store *store)
{
    struct generation g = { 0 };
    ljs_standing s = { .count = 0 };
    ljs_err err = ljs__vault_alive(vault);

    memset(out, 0, sizeof *out);
    if (!err)
        err = ljs__store_name(s.name, vault, store);
    if (!err)
        err = ljs__generation_read(&g, NULL, vault, store);
    if (!err)
        err = ljs_store_count(&s.count, store);
    if (err == LJS_E_MISSING)
        err = LJS_OK;
    else
        s.count += err ? 0 : g.before;
    if (err)
        return err;
    s.generation = g.number;
    s.marked = g.marked;
    *out = s;
    return LJS_OK;
}

struct raise {
    ljs_standing to;
    uint64_t count; /* as the store itself counts */
};

static ljs_err raise_to(struct generation *g, const void *user)
{
    const struct raise *r = user;

    if (r->to.generation <= g->number || r->to.count > INT64_MAX)
        return LJS_E_INVAL;
    g->number = r->to.generation;
    if (g->before + r->count < r->to.count)
        g->before = r->to.count - r->count;
    g->marked = r->to.marked;
    return LJS_OK;
}

ljs_err ljs_standing_raise(ljs_vault *vault, ljs_store *store, uint32_t generation, uint64_t count, int marked)
{
    struct raise r = { .to = { .generation = generation, .count = count, .marked = !!marked } };
    ljs_err err = ljs__vault_alive(vault);

    if (!err)
        err = ljs_store_count(&r.count, store);
    if (err == LJS_E_MISSING) {
        r.to.count = 0;
        err = LJS_OK;
    }
    if (!err)
        err = ljs__store_name(r.to.name, vault, store); /* a store of this vault it must be */
    return err ? err : ljs__generation_change(vault, store, raise_to, &r);
}
