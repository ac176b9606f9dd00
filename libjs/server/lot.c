/* The lots of a store: a value for each (keys/lot.h), which the vault is given. */
#include "server/internal.h"

#include "base/text.h"
#include "keys/lot.h"

static const uint8_t prefix[] = { SPACE_LOT };

/* ---- from the store into the vault -------------------------------------------- */

static ljs_err give(ljs_buf *value, ljs_server *server, const uint8_t *key, size_t key_len)
{
    uint64_t version;
    ljs_err err = ljs_store_get(value, &version, server->store, key, key_len);

    return err ? err : ljs_vault_add_lot(server->vault, value->data, value->len);
}

/* One that does not open is its devices' trouble: who needs it is told (LJS_E_LOT). */
static ljs_err give_row(void *user, const uint8_t *key, size_t key_len)
{
    ljs_buf value = { NULL, 0 };
    ljs_err err = give(&value, user, key, key_len);

    ljs_buf_free(&value);
    return err == LJS_E_NOTFOUND || err == LJS_E_SEAL || err == LJS_E_VERSION ? LJS_OK : err;
}

ljs_err ljs__lots_load(ljs_server *server)
{
    return ljs_store_each(server->store, prefix, sizeof prefix, give_row, server);
}

bool ljs__lots_again(ljs_server *server, ljs_err err, bool *asked)
{
    if (err != LJS_E_LOT || *asked)
        return false;
    *asked = true;
    /* A value that is under a newer master key needs that first. */
    return !ljs_server_refresh(server) && !ljs__lots_load(server);
}

/* ---- administration ----------------------------------------------------------- */

struct put {
    ljs_server *server;
    const char *label;
    const ljs_key *key;
};

static ljs_err count(void *user, const uint8_t *key, size_t key_len)
{
    unsigned *n = user;

    (void)key, (void)key_len;
    return ++*n < LJS_LOTS_MAX ? LJS_OK : LJS_E_INVAL;
}

static ljs_err put_lot(ljs_buf *out, void *user, const ljs_buf *old)
{
    const struct put *put = user;
    unsigned n = 0;
    bool same;
    ljs_err err;

    *out = (ljs_buf){ NULL, 0 };
    if (old->data) { /* never another: its devices' keys would be others, and nobody said so to them */
        err = ljs__lot_same(&same, put->server->vault, old->data, old->len, put->key);
        return err ? err : same ? LJS_OK : LJS_E_EXISTS;
    }
    err = ljs_store_each(put->server->store, prefix, sizeof prefix, count, &n);
    return err ? err : ljs_lot_make(out, put->server->vault, put->label, put->key);
}

ljs_err ljs_server_put_lot(ljs_server *server, const char *label, const ljs_key *key)
{
    struct put put = { server, label, key };
    const struct entry act = { .kind = LJS_AUDIT_LOT_PUT, .text = label };
    struct key at;
    ljs_err err;

    if (!label || !label[0] || !ljs__text_ok(label, LJS_LABEL_MAX))
        return LJS_E_INVAL;
    at = ljs__key_label(SPACE_LOT, label);
    err = ljs__change(server, &at, put_lot, &put, &act);
    return err ? err : ljs__lots_load(server);
}

struct rows {
    ljs_server *server;
    ljs_lot_row *row;
    void *user;
};

static ljs_err read_row(char label[LJS_LABEL_MAX], ljs_server *server, const uint8_t *key, size_t key_len)
{
    ljs_buf value = { NULL, 0 };
    uint64_t version;
    ljs_err err = ljs_store_get(&value, &version, server->store, key, key_len);

    if (!err)
        err = ljs__lot_label(label, server->vault, value.data, value.len);
    ljs_buf_free(&value);
    return err;
}

static ljs_err one_row(void *user, const uint8_t *key, size_t key_len)
{
    const struct rows *rows = user;
    const struct masters *had;
    char label[LJS_LABEL_MAX];
    ljs_err err;

    do {
        had = ljs__masters(rows->server);
        err = read_row(label, rows->server, key, key_len);
    } while (err == LJS_E_SEAL && ljs__masters_again(rows->server, had));
    if (!err && (key_len - 1 != strlen(label) || memcmp(key + 1, label, key_len - 1))) /* filed under another's */
        err = LJS_E_SEAL;
    return err ? err : rows->row(rows->user, label);
}

ljs_err ljs_server_each_lot(ljs_server *server, ljs_lot_row *row, void *user)
{
    struct rows rows = { server, row, user };
    ljs_err err = ljs__server_alive(server);

    return err ? err : ljs_store_each(server->store, prefix, sizeof prefix, one_row, &rows);
}

ljs_err ljs__lot_rewrap(ljs_buf *out, ljs_server *server, const uint8_t *key, size_t key_len, const ljs_buf *old)
{
    char label[LJS_LABEL_MAX];
    ljs_err err = ljs__lot_label(label, server->vault, old->data, old->len);

    if (!err && (key_len - 1 != strlen(label) || memcmp(key + 1, label, key_len - 1)))
        err = LJS_E_SEAL;
    return err ? err : ljs_lot_rewrap(out, server->vault, old->data, old->len);
}
