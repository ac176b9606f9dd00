/* Which life of the store it is.  A store that is restored from a backup has forgotten JoinNonces
 * that it gave; its generation rises by more than one device can have been given, and each record
 * passes over as many at its next step (device/record.h). */
#include "server/internal.h"

#include "base/pack.h"

enum { GENERATION_SCHEMA = 1, GENERATION_FIELDS = 4 };

static const uint8_t generation_key[] = { SPACE_GENERATION };

static ljs_err unpack(struct generation *out, const ljs_vault *vault, const ljs_buf *in)
{
    struct unpack u = { { in->data, in->len > 16 ? in->len - 16 : 0, false } };
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
    if ((err = ljs__vault_tag(&w, vault, TAG_GENERATION)))
        ljs__wr_drop(&w);
    else
        err = ljs__wr_take(&value, &w);
    if (err)
        return err;
    change.in = value.data;
    change.in_len = value.len;
    err = ljs_store_commit(store, &change, 1);
    ljs_buf_free(&value);
    return err ? err : change.result;
}
