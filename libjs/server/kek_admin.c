#include "server/kek.h"

#include "base/secret.h"
#include "base/text.h"

static bool label_ok(const char *label)
{
    return label && label[0] && ljs__text_ok(label, LJS_LABEL_MAX);
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
    const ljs_vault *vault = put->server->vault;
    enum key_id id[] = { KEY_WORK }, was[] = { KEY_WORK2 };
    struct kek k = { .len = ljs_key_len(put->kek) };
    uint8_t print[2][16];
    struct ring *ring = NULL;
    ljs_err err = ljs__ring_take(&ring);

    *out = (ljs_buf){ NULL, 0 };
    if (err)
        return err;
    if ((err = ljs__ring_load(ring, KEY_WORK, put->kek)))
        goto out;
    if (old->data && !put->replace) { /* the same key again is no change */
        if ((err = ljs__kek_open(put->server, ring, KEY_WORK2, put->label, old)) ||
            (err = ljs__vault_fingerprint(print[0], vault, ring, id, ljs__role_kek, 1)) ||
            (err = ljs__vault_fingerprint(print[1], vault, ring, was, ljs__role_kek, 1)))
            goto out;
        err = ljs__equal(print[0], print[1], sizeof print[0]) ? LJS_OK : LJS_E_EXISTS;
        goto out;
    }
    memcpy(k.label, put->label, strlen(put->label) + 1);
    if (old->data) /* which is not opened: whether its master key, or ours, is the newest has to be asked */
        err = ljs_server_refresh(put->server);
    if (!err)
        err = ljs__kek_write(out, vault, ring, KEY_WORK, &k);
out:
    ljs__ring_give(ring);
    return err;
}

ljs_err ljs__kek_make(ljs_buf *out, ljs_server *server, const char *label, const ljs_key *kek, const ljs_buf *old)
{
    struct put put = { server, label, kek, 0 };
    ljs_err err = put_kek(out, &put, old);

    put.replace = 1;
    return err == LJS_E_EXISTS ? put_kek(out, &put, old) : err;
}

ljs_err ljs_server_put_kek(ljs_server *server, const char *label, const ljs_key *kek, int replace)
{
    struct put put = { server, label, kek, replace };
    const struct entry act = { .kind = LJS_AUDIT_KEK_PUT, .text = label };
    char account[LJS_ACCOUNT_MAX];
    struct key key;
    ljs_err err = ljs__kek_label_check(account, server, label);

    if (err)
        return err;
    key = ljs__key_label(SPACE_KEK, label);
    err = ljs__change_of(server, account, &key, put_kek, &put, &act);
    if (!err)
        ljs__kek_forget(server, label);
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
    if (!label_ok(label))
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
        ljs__kek_forget(server, label);
    return err;
}

/* ---- which is used ----------------------------------------------------------- */

/* As the store has it, which is the caller's to free: *out borrows it. */
static ljs_err find_kek(struct kek *out, ljs_buf *value, ljs_server *server, const char *label)
{
    struct key key = ljs__key_label(SPACE_KEK, label);
    const struct masters *had;
    uint64_t version;
    ljs_err err = ljs__server_alive(server);

    *value = (ljs_buf){ NULL, 0 };
    while (!err) {
        had = ljs__masters(server);
        if ((err = ljs_store_get(value, &version, server->store, key.at, key.len)))
            break;
        err = ljs__kek_read(out, server->vault, value->data, value->len);
        if (!err && strcmp(out->label, label) != 0)
            err = LJS_E_SEAL;
        if (!err)
            break;
        ljs_buf_free(value);
        if (err == LJS_E_SEAL && ljs__masters_again(server, had))
            err = LJS_OK;
    }
    return err;
}

struct turn {
    ljs_server *server;
    const char *to, *peer; /* NULL `to`: retired or not is what changes */
    unsigned use;
    bool retired;
};

/* What was said of this peer and use before is said no more; the label itself in its place says nothing. */
static ljs_err turn_next(struct kek_next next[NEXT_MAX], struct kek *k, const struct turn *t)
{
    struct unpack u = k->next;
    unsigned n = 0;

    for (unsigned i = 0; i < k->nexts; i++) {
        ljs__kek_read_next(&u, &next[n]);
        if (strcmp(next[n].peer, t->peer) == 0)
            next[n].use &= ~t->use;
        n += next[n].use != 0;
    }
    k->nexts = n;
    if (strcmp(t->to, k->label) == 0)
        return LJS_OK;
    if (n == NEXT_MAX)
        return LJS_E_INVAL;
    next[n] = (struct kek_next){ .use = t->use };
    memcpy(next[n].peer, t->peer, strlen(t->peer) + 1);
    memcpy(next[n].label, t->to, strlen(t->to) + 1);
    k->nexts++;
    return LJS_OK;
}

static ljs_err turn(ljs_buf *out, void *user, const ljs_buf *old)
{
    const struct turn *t = user;
    struct kek_next next[NEXT_MAX + 1];
    struct kek k;
    struct unpack u;
    ljs_err err = old->data ? ljs__kek_read(&k, t->server->vault, old->data, old->len) : LJS_E_NOTFOUND;

    *out = (ljs_buf){ NULL, 0 };
    if (err)
        return err;
    u = k.next;
    for (unsigned i = 0; i < k.nexts; i++)
        ljs__kek_read_next(&u, &next[i]);
    if (t->to)
        err = turn_next(next, &k, t);
    else
        k.retired = t->retired;
    if (!err)
        err = ljs__kek_pack(out, t->server->vault, &k, next);
    if (!err && out->len == old->len && memcmp(out->data, old->data, old->len) == 0)
        ljs_buf_free(out); /* as it was */
    return err;
}

/* May it be used, and does what is used in its place not lead back? */
static ljs_err check_next(ljs_server *server, const char *label, const struct turn *t)
{
    char at[LJS_LABEL_MAX], next[LJS_LABEL_MAX];
    bool first = true;

    memcpy(at, t->to, strlen(t->to) + 1);
    for (unsigned bit = LJS_USE_NS; bit <= LJS_USE_AS; bit <<= 1)
        for (unsigned hops = 0; t->use & bit; hops++) {
            ljs_buf value;
            struct kek k;
            ljs_err err = find_kek(&k, &value, server, at);
            bool goes_on = !err && ljs__kek_succeeded(next, &k, t->peer, bit), retired = !err && k.retired;

            ljs_buf_free(&value);
            if (err)
                return err == LJS_E_NOTFOUND && !first ? LJS_E_STATE : err;
            first = false;
            if (goes_on ? strcmp(next, label) == 0 || hops == HOPS_MAX - 2 : retired)
                return LJS_E_STATE;
            if (!goes_on) {
                memcpy(at, t->to, strlen(t->to) + 1);
                break;
            }
            memcpy(at, next, sizeof at);
        }
    return LJS_OK;
}

ljs_err ljs_server_rotate_kek(ljs_server *server, const char *label, const char *to, const char *peer, unsigned use)
{
    struct turn t = { .server = server, .to = to, .peer = peer ? peer : "", .use = use };
    char text[LJS_LABEL_MAX];
    const struct entry act = { .kind = LJS_AUDIT_KEK_ROTATE, .who = NULL, .text = text };
    struct key key;
    ljs_err err;

    if (!label_ok(label) || !label_ok(to) || (peer && !label_ok(peer)) || !use || use & ~(LJS_USE_NS | LJS_USE_AS) ||
        !ljs__kek_same_holder(label, to))
        return LJS_E_INVAL;
    memcpy(text, label, strlen(label) + 1);
    key = ljs__key_label(SPACE_KEK, label);
    err = strcmp(label, to) ? check_next(server, label, &t) : LJS_OK;
    return err ? err : ljs__change(server, &key, turn, &t, &act);
}

ljs_err ljs_server_retire_kek(ljs_server *server, const char *label, int retired)
{
    struct turn t = { .server = server, .retired = retired != 0 };
    const struct entry act = { .kind = LJS_AUDIT_KEK_RETIRE, .text = label };
    struct key key;
    ljs_err err;

    if (!label_ok(label))
        return LJS_E_INVAL;
    key = ljs__key_label(SPACE_KEK, label);
    err = ljs__change(server, &key, turn, &t, &act);
    if (!err)
        ljs__kek_forget(server, label);
    return err;
}

ljs_err ljs_server_get_kek(ljs_kek *out, ljs_server *server, const char *label)
{
    ljs_buf value;
    struct kek k;
    ljs_err err = label_ok(label) ? find_kek(&k, &value, server, label) : LJS_E_INVAL;

    memset(out, 0, sizeof *out);
    if (err)
        return err;
    memcpy(out->label, k.label, sizeof out->label);
    out->len = (uint8_t)k.len;
    out->retired = k.retired;
    out->nexts = (uint8_t)k.nexts;
    ljs_buf_free(&value);
    return LJS_OK;
}

ljs_err ljs_server_kek_next(ljs_kek_next *out, ljs_server *server, const char *label, unsigned i)
{
    ljs_buf value;
    struct kek_next next;
    struct kek k;
    ljs_err err = label_ok(label) ? find_kek(&k, &value, server, label) : LJS_E_INVAL;

    memset(out, 0, sizeof *out);
    if (err)
        return err;
    if (i >= k.nexts)
        err = LJS_E_NOTFOUND;
    for (unsigned at = 0; !err && at <= i; at++)
        ljs__kek_read_next(&k.next, &next);
    if (!err) {
        memcpy(out->peer, next.peer, sizeof out->peer);
        memcpy(out->label, next.label, sizeof out->label);
        out->use = (uint8_t)next.use;
    }
    ljs_buf_free(&value);
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
        err = ljs__kek_read(out, server->vault, value.data, value.len);
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
