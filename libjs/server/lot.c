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

static ljs_err check_room(const struct put *put)
{
    unsigned n = 0;

    return ljs_store_each(put->server->store, prefix, sizeof prefix, count, &n);
}

/* A lot, and beside it by what its key is known again where the lot is lost. */
enum { AT_LOT, AT_PRINT, VALUES };

/* Never another: its devices' keys would be others, and nobody said so to them. */
static ljs_err check_same(const struct put *put, const uint8_t print[LOT_PRINT_LEN], const struct valued *at)
{
    uint8_t of_lot[LOT_PRINT_LEN], kept[LOT_PRINT_LEN];
    const ljs_vault *vault = put->server->vault;
    const ljs_buf *lot = &at[AT_LOT].old, *was = &at[AT_PRINT].old;
    ljs_err err = lot->data ? ljs__lot_print_of(of_lot, vault, lot->data, lot->len) : LJS_OK;

    if (!err && was->data)
        err = ljs__lot_print_read(kept, vault, put->label, was->data, was->len);
    if (!err && ((lot->data && !ljs__equal(of_lot, print, sizeof of_lot)) ||
                 (was->data && !ljs__equal(kept, print, sizeof kept))))
        err = LJS_E_EXISTS;
    ljs__wipe(of_lot, sizeof of_lot);
    ljs__wipe(kept, sizeof kept);
    return err;
}

static ljs_err put_lot(void *user, struct valued *at)
{
    const struct put *put = user;
    uint8_t print[LOT_PRINT_LEN];
    ljs_err err = ljs__lot_print(print, put->server->vault, put->key);

    if (!err)
        err = check_same(put, print, at);
    if (!err && !at[AT_LOT].old.data) {
        err = check_room(put);
        if (!err)
            err = ljs_lot_make(&at[AT_LOT].new, put->server->vault, put->label, put->key);
    }
    if (!err && !at[AT_PRINT].old.data) /* nor is it there of a lot that an older lorajs has made */
        err = ljs__lot_print_write(&at[AT_PRINT].new, put->server->vault, put->label, print);
    ljs__wipe(print, sizeof print);
    return err;
}

/* A try that is lost had another key, in another envelope. */
static ljs_err make_lot(void *user, struct valued *at)
{
    const struct put *put = user;
    const char *kek_label = put->kek_label;
    uint8_t print[LOT_PRINT_LEN];
    char room[LJS_LABEL_MAX];
    struct ring *ring = NULL;
    struct view view;
    ljs_err err = at[AT_LOT].old.data || at[AT_PRINT].old.data ? LJS_E_EXISTS : check_room(put);

    if (err || (err = ljs__ring_take(&ring)))
        return err;
    ljs__view_begin(&view, put->server->store);
    err = ljs__kek_load(put->server, &view, ring, KEY_WORK2, &kek_label, room, "", LJS_USE_NS);
    ljs__view_end(&view);
    if (err == LJS_E_NOTFOUND)
        err = LJS_E_KEK;
    if (!err)
        err = ljs__lot_generate(&at[AT_LOT].new, print, put->envelope, put->server->vault, ring, put->label,
                                ljs__kek_wire(kek_label));
    if (!err)
        err = ljs__lot_print_write(&at[AT_PRINT].new, put->server->vault, put->label, print);
    ljs__wipe(print, sizeof print);
    ljs__ring_give(ring);
    return err;
}

static ljs_err change(struct put *put, make_group_fn *make)
{
    const struct entry act = { .kind = LJS_AUDIT_LOT_PUT, .text = put->label };
    struct valued at[VALUES];
    ljs_err err;

    if (!put->label || !put->label[0] || !ljs__text_ok(put->label, LJS_LABEL_MAX))
        return LJS_E_INVAL;
    memset(at, 0, sizeof at);
    at[AT_LOT].key = ljs__key_label(SPACE_LOT, put->label);
    at[AT_PRINT].key = ljs__key_label(SPACE_LOT_PRINT, put->label);
    err = ljs__change_group(put->server, at, VALUES, make, put, &act, NULL);
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
