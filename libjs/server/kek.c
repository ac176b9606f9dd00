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

/* What the ring has as the KEK of this label. */
static ljs_err write_kek(ljs_buf *out, const ljs_vault *vault, struct ring *ring, enum key_id id, const char *label,
                         size_t len)
{
    struct key ad = ljs__key_label(SPACE_KEK, label);
    struct wr w = { 0 }, sealed = { 0 };
    ljs_err err = ljs__vault_seal(&sealed, vault, ring, &id, role_kek, 1, ad.at, ad.len);

    *out = (ljs_buf){ NULL, 0 };
    ljs__pack_map(&w, K_FIELDS);
    ljs__pack_uint(&w, K_SCHEMA);
    ljs__pack_uint(&w, KEK_SCHEMA);
    ljs__pack_uint(&w, K_LABEL);
    ljs__pack_text(&w, label);
    ljs__pack_uint(&w, K_SEALED);
    ljs__pack_bin(&w, sealed.data, sealed.len);
    ljs__pack_uint(&w, K_LEN);
    ljs__pack_uint(&w, len);
    if (!err)
        err = sealed.bad ? LJS_E_NOMEM : ljs__vault_tag(&w, vault, TAG_KEK);
    if (!err)
        err = ljs__wr_take(out, &w);
    else
        ljs__wr_drop(&w);
    ljs__wr_drop(&sealed);
    return err;
}

ljs_err ljs__kek_rewrap(ljs_buf *out, ljs_server *server, const uint8_t *key, size_t key_len, const ljs_buf *old)
{
    struct ring *ring = NULL;
    struct kek k;
    bool now = false;
    ljs_err err = read_kek(&k, server->vault, old->data, old->len);

    if (!err && (key_len - 1 != strlen(k.label) || memcmp(key + 1, k.label, key_len - 1)))
        err = LJS_E_SEAL;
    if (!err)
        err = ljs__vault_tagged(&now, server->vault, TAG_KEK, old->data, old->len);
    if (!err)
        err = ljs__ring_take(&ring);
    if (!err)
        err = open_kek(server, ring, KEY_WORK, k.label, old);
    if (!err && !(now && ljs__vault_sealed_now(server->vault, k.sealed, k.sealed_len)))
        err = write_kek(out, server->vault, ring, KEY_WORK, k.label, k.len);
    ljs__ring_give(ring);
    return err;
}

/* ---- kept open -------------------------------------------------------------- */

void ljs__keks_init(ljs_server *server)
{
    pthread_mutex_init(&server->keks.lock, NULL);
}

void ljs__keks_free(ljs_server *server)
{
    ljs__kept_free(server->keks.kept);
    pthread_mutex_destroy(&server->keks.lock);
}

/* -1: nowhere.  The label "" has the first place that is free. */
static int place_of(const struct open_keks *keks, const char *label)
{
    for (int i = 0; i < KEPT_MAX; i++)
        if (strcmp(keks->place[i].label, label) == 0)
            return i;
    return -1;
}

static bool recall(struct ring *ring, enum key_id id, struct open_keks *keks, const char *label, const ljs_buf *value)
{
    int i;
    bool same;

    pthread_mutex_lock(&keks->lock);
    i = place_of(keks, label);
    same = i >= 0 && keks->place[i].value_len == value->len && !memcmp(keks->place[i].value, value->data, value->len);
    if (same)
        ljs__kept_get(ring, id, keks->kept, (unsigned)i);
    pthread_mutex_unlock(&keks->lock);
    return same;
}

/* What just opened; without locked memory it is opened each time, and a token keeps it itself. */
static void remember(struct open_keks *keks, const char *label, const ljs_buf *value, const struct ring *ring,
                     enum key_id id)
{
    struct kek_place *place;
    int i;

    if (value->len > sizeof place->value || !ljs__ring_has(ring, id) || ljs__ring_inside(ring, id))
        return;
    pthread_mutex_lock(&keks->lock);
    if (keks->kept || !ljs__kept_new(&keks->kept)) {
        i = place_of(keks, label);
        if (i < 0)
            i = place_of(keks, "");
        if (i < 0)
            i = (int)(keks->next++ % KEPT_MAX);
        place = &keks->place[i];
        ljs__kept_put(keks->kept, (unsigned)i, ring, id);
        memcpy(place->label, label, strlen(label) + 1);
        memcpy(place->value, value->data, value->len);
        place->value_len = value->len;
    }
    pthread_mutex_unlock(&keks->lock);
}

static void forget(struct open_keks *keks, const char *label)
{
    int i;

    pthread_mutex_lock(&keks->lock);
    i = place_of(keks, label);
    if (i >= 0 && keks->place[i].value_len) {
        ljs__kept_drop(keks->kept, (unsigned)i);
        keks->place[i] = (struct kek_place){ .value_len = 0 };
    }
    pthread_mutex_unlock(&keks->lock);
}

static ljs_err load_once(ljs_server *server, struct ring *ring, enum key_id id, const char *label)
{
    struct key key = ljs__key_label(SPACE_KEK, label);
    ljs_buf value = { NULL, 0 };
    uint64_t version;
    ljs_err err = ljs_store_get(&value, &version, server->store, key.at, key.len);

    if (!err && !recall(ring, id, &server->keks, label, &value)) {
        err = open_kek(server, ring, id, label, &value);
        if (!err)
            remember(&server->keks, label, &value, ring, id);
    }
    if (err == LJS_E_NOTFOUND || err == LJS_E_SEAL)
        forget(&server->keks, label);
    ljs_buf_free(&value);
    return err;
}

ljs_err ljs__kek_load(ljs_server *server, struct ring *ring, enum key_id id, const char *label)
{
    const struct masters *had;
    ljs_err err;

    do {
        had = ljs__masters(server);
        err = load_once(server, ring, id, label);
    } while (err == LJS_E_SEAL && ljs__masters_again(server, had));
    return err;
}

/* ---- administration --------------------------------------------------------- */

struct put {
    ljs_server *server;
    const char *label;
    const ljs_key *kek;
    int replace;
};

static ljs_err put_kek(ljs_buf *out, void *user, const ljs_buf *old)
{
    const struct put *put = user;
    const ljs_vault *vault = put->server->vault;
    enum key_id id[] = { KEY_WORK }, was[] = { KEY_WORK2 };
    uint8_t print[2][16];
    struct ring *ring = NULL;
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
    err = write_kek(out, vault, ring, KEY_WORK, put->label, ljs_key_len(put->kek));
out:
    ljs__ring_give(ring);
    return err;
}

ljs_err ljs_server_put_kek(ljs_server *server, const char *label, const ljs_key *kek, int replace)
{
    struct put put = { server, label, kek, replace };
    const struct entry act = { .kind = LJS_AUDIT_KEK_PUT, .text = label };
    struct key key;
    ljs_err err;

    if (!label || !label[0] || !ljs__text_ok(label, LJS_LABEL_MAX))
        return LJS_E_INVAL;
    key = ljs__key_label(SPACE_KEK, label);
    err = ljs__change(server, &key, put_kek, &put, &act);
    if (!err)
        forget(&server->keks, label);
    return err;
}

ljs_err ljs_server_del_kek(ljs_server *server, const char *label)
{
    ljs_buf value = { NULL, 0 };
    struct key key;
    uint64_t version;
    ljs_err err = ljs__server_alive(server);
    const struct entry act = { .kind = LJS_AUDIT_KEK_REMOVE, .text = label };
    ljs_change changes[1 + AUDIT_ROOM] = { { .in = NULL } };

    if (err)
        return err;
    if (!label || !label[0] || !ljs__text_ok(label, LJS_LABEL_MAX))
        return LJS_E_INVAL;
    key = ljs__key_label(SPACE_KEK, label);
    if ((err = ljs_store_get(&value, &version, server->store, key.at, key.len)))
        return err;
    ljs_buf_free(&value);
    changes[0].key = key.at;
    changes[0].key_len = key.len;
    changes[0].if_version = version;
    err = ljs__audit_commit(server, 0, changes, 1, &act, 1);
    if (!err)
        forget(&server->keks, label);
    return err;
}

struct rows {
    ljs_server *server;
    ljs_kek_row *row;
    void *user;
};

static ljs_err row_once(struct kek *out, ljs_server *server, const uint8_t *key, size_t key_len)
{
    ljs_buf value = { NULL, 0 };
    uint64_t version;
    ljs_err err = ljs_store_get(&value, &version, server->store, key, key_len);

    if (!err)
        err = read_kek(out, server->vault, value.data, value.len);
    ljs_buf_free(&value);
    return err;
}

static ljs_err one_row(void *user, const uint8_t *key, size_t key_len)
{
    const struct rows *rows = user;
    const struct masters *had;
    struct kek k;
    ljs_err err;

    do {
        had = ljs__masters(rows->server);
        err = row_once(&k, rows->server, key, key_len);
    } while (err == LJS_E_SEAL && ljs__masters_again(rows->server, had));
    if (err == LJS_E_NOTFOUND) /* gone meanwhile */
        return LJS_OK;
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
