#include "server/internal.h"

#include "base/pack.h"
#include "base/secret.h"
#include "base/text.h"

/* A KEK's value: a map of schema, label, sealed key and its length, and the tag. */
enum { KEK_SCHEMA = 1, K_SCHEMA = 0, K_LABEL = 1, K_SEALED = 2, K_LEN = 3, K_FIELDS = 4 };

static const enum key_role role_kek[] = { ROLE_KEK };

struct kek {
    char label[LJS_LABEL_MAX];
    const uint8_t *sealed;
    size_t sealed_len, len;
};

static ljs_err read_kek(struct kek *out, const ljs_vault *vault, const uint8_t *in, size_t in_len)
{
    struct unpack u = { { in, in_len > 16 ? in_len - 16 : 0, false } };
    ljs_err err = ljs__vault_check(vault, TAG_KEK, in, in_len);

    memset(out, 0, sizeof *out);
    if (ljs__unpack_map(&u) != K_FIELDS || ljs__unpack_uint(&u, 0x7f) != K_SCHEMA)
        u.rd.bad = true;
    if (ljs__unpack_uint(&u, 0xffff) > KEK_SCHEMA && !u.rd.bad)
        return LJS_E_VERSION;
    if (ljs__unpack_uint(&u, 0x7f) != K_LABEL)
        u.rd.bad = true;
    ljs__unpack_text(&u, out->label, sizeof out->label);
    if (ljs__unpack_uint(&u, 0x7f) != K_SEALED)
        u.rd.bad = true;
    out->sealed = ljs__unpack_bin(&u, &out->sealed_len, 512);
    if (ljs__unpack_uint(&u, 0x7f) != K_LEN)
        u.rd.bad = true;
    out->len = (size_t)ljs__unpack_uint(&u, 32);
    return err ? err : rd_done(&u.rd) ? LJS_OK : LJS_E_SEAL;
}

/* Bound to its label, so that none can be filed under another's. */
static ljs_err open_kek(ljs_server *server, struct ring *ring, enum key_id id, const char *label, const ljs_buf *value)
{
    struct key ad = ljs__key_label(SPACE_KEK, label);
    struct kek k;
    ljs_err err = read_kek(&k, server->vault, value->data, value->len);

    if (!err && strcmp(k.label, label) != 0)
        err = LJS_E_SEAL;
    if (!err)
        err = ljs__vault_open(server->vault, ring, &id, role_kek, 1, ad.at, ad.len, k.sealed, k.sealed_len);
    return err;
}

ljs_err ljs__kek_load(ljs_server *server, struct ring *ring, enum key_id id, const char *label)
{
    struct key key = ljs__key_label(SPACE_KEK, label);
    ljs_buf value = { NULL, 0 };
    uint64_t version;
    ljs_err err = ljs_store_get(&value, &version, server->store, key.at, key.len);

    if (!err)
        err = open_kek(server, ring, id, label, &value);
    ljs_buf_free(&value);
    return err;
}

struct put {
    ljs_server *server;
    const char *label;
    const ljs_key *kek;
    int replace;
};

static ljs_err put_kek(ljs_buf *out, void *user, const ljs_buf *old)
{
    const struct put *put = user;
    struct key ad = ljs__key_label(SPACE_KEK, put->label);
    const ljs_vault *vault = put->server->vault;
    enum key_id id[] = { KEY_WORK }, was[] = { KEY_WORK2 };
    uint8_t print[2][16];
    struct ring *ring = NULL;
    struct wr w = { 0 }, sealed = { 0 };
    ljs_err err = ljs__ring_take(&ring);

    *out = (ljs_buf){ NULL, 0 };
    if (err)
        return err;
    if ((err = ljs__ring_load(ring, KEY_WORK, put->kek)))
        goto out;
    if (old->data && !put->replace) { /* the same key again is no change */
        if ((err = open_kek(put->server, ring, KEY_WORK2, put->label, old)) ||
            (err = ljs__vault_fingerprint(print[0], vault, ring, id, role_kek, 1)) ||
            (err = ljs__vault_fingerprint(print[1], vault, ring, was, role_kek, 1)))
            goto out;
        err = ljs__equal(print[0], print[1], sizeof print[0]) ? LJS_OK : LJS_E_EXISTS;
        goto out;
    }
    if ((err = ljs__vault_seal(&sealed, vault, ring, id, role_kek, 1, ad.at, ad.len)))
        goto out;
    ljs__pack_map(&w, K_FIELDS);
    ljs__pack_uint(&w, K_SCHEMA);
    ljs__pack_uint(&w, KEK_SCHEMA);
    ljs__pack_uint(&w, K_LABEL);
    ljs__pack_text(&w, put->label);
    ljs__pack_uint(&w, K_SEALED);
    ljs__pack_bin(&w, sealed.data, sealed.len);
    ljs__pack_uint(&w, K_LEN);
    ljs__pack_uint(&w, ljs_key_len(put->kek));
    err = sealed.bad ? LJS_E_NOMEM : ljs__vault_tag(&w, vault, TAG_KEK);
    if (!err)
        err = ljs__wr_take(out, &w);
out:
    ljs__ring_give(ring);
    ljs__wr_drop(&sealed);
    ljs__wr_drop(&w);
    return err;
}

ljs_err ljs_server_put_kek(ljs_server *server, const char *label, const ljs_key *kek, int replace)
{
    struct put put = { server, label, kek, replace };
    struct key key;

    if (!label || !label[0] || !ljs__text_ok(label, LJS_LABEL_MAX))
        return LJS_E_INVAL;
    key = ljs__key_label(SPACE_KEK, label);
    return ljs__change(server, &key, put_kek, &put);
}

ljs_err ljs_server_del_kek(ljs_server *server, const char *label)
{
    ljs_buf value = { NULL, 0 };
    struct key key;
    uint64_t version;
    ljs_err err = ljs__server_alive(server);
    ljs_change change = { .in = NULL };

    if (err)
        return err;
    if (!label || !label[0] || !ljs__text_ok(label, LJS_LABEL_MAX))
        return LJS_E_INVAL;
    key = ljs__key_label(SPACE_KEK, label);
    if ((err = ljs_store_get(&value, &version, server->store, key.at, key.len)))
        return err;
    ljs_buf_free(&value);
    change.key = key.at;
    change.key_len = key.len;
    change.if_version = version;
    err = ljs_store_commit(server->store, &change, 1);
    return err ? err : change.result;
}

struct rows {
    ljs_server *server;
    ljs_kek_row *row;
    void *user;
};

static ljs_err one_row(void *user, const uint8_t *key, size_t key_len)
{
    const struct rows *rows = user;
    ljs_buf value = { NULL, 0 };
    struct kek k;
    uint64_t version;
    ljs_err err = ljs_store_get(&value, &version, rows->server->store, key, key_len);

    if (err == LJS_E_NOTFOUND) /* gone meanwhile */
        return LJS_OK;
    if (!err)
        err = read_kek(&k, rows->server->vault, value.data, value.len);
    ljs_buf_free(&value);
    if (!err && (key_len - 1 != strlen(k.label) || memcmp(key + 1, k.label, key_len - 1))) /* filed under another's */
        err = LJS_E_SEAL;
    return err ? err : rows->row(rows->user, k.label, k.len);
}

ljs_err ljs_server_each_kek(ljs_server *server, ljs_kek_row *row, void *user)
{
    struct rows rows = { server, row, user };
    const uint8_t prefix[] = { SPACE_KEK };
    ljs_err err = ljs__server_alive(server);

    return err ? err : ljs_store_each(server->store, prefix, sizeof prefix, one_row, &rows);
}
