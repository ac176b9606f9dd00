#include "server/internal.h"

#include "base/lock.h"
#include "base/pack.h"
#include "base/secret.h"
#include "base/text.h"
#include "store/view.h"

/* A KEK's value: a map of schema, label, sealed key and its length, and the tag.  In schema 2 also whether it is
 * retired, and which labels are used in its place: [peer, use, label], for each. */
enum { KEK_PLAIN = 1, KEK_SCHEMA = 2, K_SCHEMA = 0, K_LABEL = 1, K_SEALED = 2, K_LEN = 3, K_RETIRED = 4, K_NEXT = 5 };
enum { NEXT_MAX = 16, HOPS_MAX = 8 };

static const enum key_role role_kek[] = { ROLE_KEK };

struct next {
    char peer[LJS_LABEL_MAX]; /* "" for all that have none of their own */
    unsigned use;             /* LJS_USE_... */
    char label[LJS_LABEL_MAX];
};

struct kek {
    char label[LJS_LABEL_MAX];
    const uint8_t *sealed;
    size_t sealed_len, len;
    bool plain, retired;
    struct unpack next; /* nexts of them */
    unsigned nexts;
};

static void read_next(struct unpack *u, struct next *out)
{
    if (ljs__unpack_array(u) != 3)
        u->rd.bad = true;
    ljs__unpack_text(u, out->peer, sizeof out->peer);
    out->use = (unsigned)ljs__unpack_uint(u, LJS_USE_NS | LJS_USE_AS);
    ljs__unpack_text(u, out->label, sizeof out->label);
}

static ljs_err read_kek(struct kek *out, const ljs_vault *vault, const uint8_t *in, size_t in_len)
{
    struct unpack u = { .rd = { in, in_len > 16 ? in_len - 16 : 0, false } };
    ljs_err err = ljs__vault_check(vault, TAG_KEK, in, in_len);
    unsigned fields = ljs__unpack_map(&u), schema;
    struct next next;

    memset(out, 0, sizeof *out);
    if (ljs__unpack_uint(&u, 0x7f) != K_SCHEMA)
        u.rd.bad = true;
    schema = (unsigned)ljs__unpack_uint(&u, 0xffff);
    if (schema > KEK_SCHEMA && !u.rd.bad)
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
    out->plain = schema == KEK_PLAIN;
    if (out->plain)
        return err ? err : rd_done(&u.rd) && fields == 4 ? LJS_OK : LJS_E_SEAL;
    if (ljs__unpack_uint(&u, 0x7f) != K_RETIRED)
        u.rd.bad = true;
    out->retired = ljs__unpack_uint(&u, 1);
    if (ljs__unpack_uint(&u, 0x7f) != K_NEXT)
        u.rd.bad = true;
    out->nexts = ljs__unpack_array(&u);
    out->next = u;
    for (unsigned i = 0; i < out->nexts && !u.rd.bad; i++)
        read_next(&u, &next);
    return err ? err : rd_done(&u.rd) && fields == 6 && out->nexts <= NEXT_MAX ? LJS_OK : LJS_E_SEAL;
}

/* Which label is used in its place?  What is said of the peer itself counts before what is said of all. */
static bool succeeded(char out[LJS_LABEL_MAX], const struct kek *k, const char *peer, unsigned use)
{
    struct unpack u = k->next;
    struct next next;
    bool found = false;

    for (unsigned i = 0; i < k->nexts; i++) {
        read_next(&u, &next);
        if (!(next.use & use) || (next.peer[0] ? strcmp(next.peer, peer) != 0 : found))
            continue;
        memcpy(out, next.label, sizeof next.label);
        found = true;
        if (next.peer[0])
            break;
    }
    return found;
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

static ljs_err pack_kek(ljs_buf *out, const ljs_vault *vault, const struct kek *k, const struct next *next)
{
    bool plain = !k->retired && !k->nexts;
    struct wr w = { 0 };

    *out = (ljs_buf){ NULL, 0 };
    ljs__pack_map(&w, plain ? 4 : 6);
    ljs__pack_uint(&w, K_SCHEMA);
    ljs__pack_uint(&w, plain ? KEK_PLAIN : KEK_SCHEMA);
    ljs__pack_uint(&w, K_LABEL);
    ljs__pack_text(&w, k->label);
    ljs__pack_uint(&w, K_SEALED);
    ljs__pack_bin(&w, k->sealed, k->sealed_len);
    ljs__pack_uint(&w, K_LEN);
    ljs__pack_uint(&w, k->len);
    if (!plain) {
        ljs__pack_uint(&w, K_RETIRED);
        ljs__pack_uint(&w, k->retired);
        ljs__pack_uint(&w, K_NEXT);
        ljs__pack_array(&w, k->nexts);
        for (unsigned i = 0; i < k->nexts; i++) {
            ljs__pack_array(&w, 3);
            ljs__pack_text(&w, next[i].peer);
            ljs__pack_uint(&w, next[i].use);
            ljs__pack_text(&w, next[i].label);
        }
    }
    return ljs__vault_take(out, &w, vault, TAG_KEK);
}

/* What the ring has, as the KEK that *k otherwise is. */
static ljs_err write_kek(ljs_buf *out, const ljs_vault *vault, struct ring *ring, enum key_id id, struct kek *k)
{
    struct key ad = ljs__key_label(SPACE_KEK, k->label);
    struct wr sealed = { 0 };
    struct next next[NEXT_MAX];
    struct unpack u = k->next;
    ljs_err err = ljs__vault_seal(&sealed, vault, ring, &id, role_kek, 1, ad.at, ad.len);

    *out = (ljs_buf){ NULL, 0 };
    k->sealed = sealed.data;
    k->sealed_len = sealed.len;
    for (unsigned i = 0; i < k->nexts; i++)
        read_next(&u, &next[i]);
    if (!err)
        err = sealed.bad ? LJS_E_NOMEM : pack_kek(out, vault, k, next);
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
        err = write_kek(out, server->vault, ring, KEY_WORK, &k);
    ljs__ring_give(ring);
    return err;
}

/* ---- kept open -------------------------------------------------------------- */

void ljs__keks_init(ljs_server *server)
{
    ljs__lock_init(&server->keks.lock);
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

/* What is in a place is what the store has: nothing changed since it was seen there, or it has these octets now. */
static bool is_there(const struct kek_place *place, const ljs_buf *value, uint64_t moment)
{
    return value ? place->value_len == value->len && !memcmp(place->value, value->data, value->len)
                 : moment && place->moment == moment;
}

/* `value` may be NULL: has anything changed? */
static bool recall(struct ring *ring, enum key_id id, struct open_keks *keks, const char *label, const ljs_buf *value,
                   uint64_t moment)
{
    int i;
    bool same;

    pthread_mutex_lock(&keks->lock);
    i = place_of(keks, label);
    if ((same = i >= 0 && is_there(&keks->place[i], value, moment))) {
        keks->place[i].moment = moment;
        ljs__kept_get(ring, id, keks->kept, (unsigned)i);
    }
    pthread_mutex_unlock(&keks->lock);
    return same;
}

/* What just opened; without locked memory it is opened each time, and a token keeps it itself. */
static void remember(struct open_keks *keks, const char *label, const ljs_buf *value, uint64_t moment,
                     const struct ring *ring, enum key_id id)
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
        place->moment = moment;
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

/* One label: the key of it into the slot, or *next, the label that is used in its place. */
static ljs_err load_label(bool *goes_on, char next[LJS_LABEL_MAX], ljs_server *server, struct view *view,
                          struct ring *ring, enum key_id id, const char *label, const char *peer, unsigned use)
{
    struct key key = ljs__key_label(SPACE_KEK, label);
    ljs_buf value = { NULL, 0 };
    struct kek k;
    uint64_t version;
    ljs_err err;

    *goes_on = false;
    if (recall(ring, id, &server->keks, label, NULL, ljs__view_moment(view, SPACE_KEK)))
        return LJS_OK;
    err = ljs__view_get(&value, &version, view, key.at, key.len);
    if (!err && !recall(ring, id, &server->keks, label, &value, view->moment)) {
        err = read_kek(&k, server->vault, value.data, value.len);
        if (!err && succeeded(next, &k, peer, use))
            *goes_on = true;
        else if (!err && k.retired)
            err = LJS_E_KEK;
        else if (!err && !(err = open_kek(server, ring, id, label, &value)) && k.plain)
            remember(&server->keks, label, &value, view->moment, ring, id);
    }
    if (err == LJS_E_NOTFOUND || err == LJS_E_SEAL)
        forget(&server->keks, label);
    ljs_buf_free(&value);
    return err;
}

static ljs_err load_once(ljs_server *server, struct view *view, struct ring *ring, enum key_id id, const char **label,
                         char room[LJS_LABEL_MAX], const char *peer, unsigned use)
{
    char next[LJS_LABEL_MAX];
    bool goes_on = true;
    ljs_err err = LJS_OK;

    for (unsigned hops = 0; !err && goes_on && hops < HOPS_MAX; hops++) {
        err = load_label(&goes_on, next, server, view, ring, id, *label, peer, use);
        if (!err && goes_on) {
            memcpy(room, next, sizeof next);
            *label = room;
        }
    }
    return !err && goes_on ? LJS_E_KEK : err;
}

ljs_err ljs__kek_load(ljs_server *server, struct view *view, struct ring *ring, enum key_id id, const char **label,
                      char room[LJS_LABEL_MAX], const char *peer, unsigned use)
{
    const char *named = *label;
    const struct masters *had;
    ljs_err err;

    do {
        had = ljs__masters(server);
        *label = named;
        err = load_once(server, view, ring, id, label, room, peer, use);
    } while (err == LJS_E_SEAL && ljs__masters_again(server, had));
    return err;
}

/* ---- administration --------------------------------------------------------- */

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
        if ((err = open_kek(put->server, ring, KEY_WORK2, put->label, old)) ||
            (err = ljs__vault_fingerprint(print[0], vault, ring, id, role_kek, 1)) ||
            (err = ljs__vault_fingerprint(print[1], vault, ring, was, role_kek, 1)))
            goto out;
        err = ljs__equal(print[0], print[1], sizeof print[0]) ? LJS_OK : LJS_E_EXISTS;
        goto out;
    }
    memcpy(k.label, put->label, strlen(put->label) + 1);
    if (old->data) /* which is not opened: whether its master key, or ours, is the newest has to be asked */
        err = ljs_server_refresh(put->server);
    if (!err)
        err = write_kek(out, vault, ring, KEY_WORK, &k);
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
        err = read_kek(out, server->vault, value->data, value->len);
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
static ljs_err turn_next(struct next next[NEXT_MAX], struct kek *k, const struct turn *t)
{
    struct unpack u = k->next;
    unsigned n = 0;

    for (unsigned i = 0; i < k->nexts; i++) {
        read_next(&u, &next[n]);
        if (strcmp(next[n].peer, t->peer) == 0)
            next[n].use &= ~t->use;
        n += next[n].use != 0;
    }
    k->nexts = n;
    if (strcmp(t->to, k->label) == 0)
        return LJS_OK;
    if (n == NEXT_MAX)
        return LJS_E_INVAL;
    next[n] = (struct next){ .use = t->use };
    memcpy(next[n].peer, t->peer, strlen(t->peer) + 1);
    memcpy(next[n].label, t->to, strlen(t->to) + 1);
    k->nexts++;
    return LJS_OK;
}

static ljs_err turn(ljs_buf *out, void *user, const ljs_buf *old)
{
    const struct turn *t = user;
    struct next next[NEXT_MAX + 1];
    struct kek k;
    struct unpack u;
    ljs_err err = old->data ? read_kek(&k, t->server->vault, old->data, old->len) : LJS_E_NOTFOUND;

    *out = (ljs_buf){ NULL, 0 };
    if (err)
        return err;
    u = k.next;
    for (unsigned i = 0; i < k.nexts; i++)
        read_next(&u, &next[i]);
    if (t->to)
        err = turn_next(next, &k, t);
    else
        k.retired = t->retired;
    if (!err)
        err = pack_kek(out, t->server->vault, &k, next);
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
            bool goes_on = !err && succeeded(next, &k, t->peer, bit), retired = !err && k.retired;

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
        forget(&server->keks, label);
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
    struct next next;
    struct kek k;
    ljs_err err = label_ok(label) ? find_kek(&k, &value, server, label) : LJS_E_INVAL;

    memset(out, 0, sizeof *out);
    if (err)
        return err;
    if (i >= k.nexts)
        err = LJS_E_NOTFOUND;
    for (unsigned at = 0; !err && at <= i; at++)
        read_next(&k.next, &next);
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
