/* The lots of a store: a value for each (keys/lot.h), which the vault is given. */
#include "server/internal.h"

#include "base/secret.h"
#include "base/text.h"
#include "keys/lot.h"
#include "store/view.h"

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
    const char *kek_label;  /* where there is no key: whom one is made for */
    ljs_envelope *envelope; /* for them */
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

/* A try that is lost had another key, in another envelope. */
static ljs_err make_lot(ljs_buf *out, void *user, const ljs_buf *old)
{
    const struct put *put = user;
    const char *kek_label = put->kek_label;
    char room[LJS_LABEL_MAX];
    struct ring *ring = NULL;
    struct view view;
    unsigned n = 0;
    ljs_err err = old->data ? LJS_E_EXISTS : ljs_store_each(put->server->store, prefix, sizeof prefix, count, &n);

    *out = (ljs_buf){ NULL, 0 };
    if (err || (err = ljs__ring_take(&ring)))
        return err;
    ljs__view_begin(&view, put->server->store);
    err = ljs__kek_load(put->server, &view, ring, KEY_WORK2, &kek_label, room, "", LJS_USE_NS);
    ljs__view_end(&view);
    if (err == LJS_E_NOTFOUND)
        err = LJS_E_KEK;
    if (!err)
        err = ljs__lot_generate(out, put->envelope, put->server->vault, ring, put->label, ljs__kek_wire(kek_label));
    ljs__ring_give(ring);
    return err;
}

static ljs_err change(struct put *put, make_fn *make)
{
    const struct entry act = { .kind = LJS_AUDIT_LOT_PUT, .text = put->label };
    struct key at;
    ljs_err err;

    if (!put->label || !put->label[0] || !ljs__text_ok(put->label, LJS_LABEL_MAX))
        return LJS_E_INVAL;
    at = ljs__key_label(SPACE_LOT, put->label);
    err = ljs__change(put->server, &at, make, put, &act);
    if (!err)
        (void)ljs__lots_load(put->server); /* else who needs it looks again; it is kept in any case */
    return err;
}

ljs_err ljs_server_put_lot(ljs_server *server, const char *label, const ljs_key *key)
{
    return change(&(struct put){ .server = server, .label = label, .key = key }, put_lot);
}

ljs_err ljs_server_make_lot(ljs_envelope *out, ljs_server *server, const char *label, const char *kek_label)
{
    struct put put = { .server = server, .label = label, .kek_label = kek_label, .envelope = out };
    bool known = kek_label && kek_label[0] && ljs__text_ok(kek_label, LJS_LABEL_MAX);
    ljs_err err = known ? change(&put, make_lot) : LJS_E_KEK;

    if (err) /* what was not kept was made for nobody */
        ljs__wipe(out, sizeof *out);
    return err;
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
