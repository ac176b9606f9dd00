/* Each value of a store under the newest master key, and a look at all of them. */
#include "server/internal.h"

#include <lorajs/master.h>
#include <lorajs/token.h>

#include <stdio.h>
#include <stdlib.h>

enum { SHARE_MAX = 64 /* values that share a commit */, STEP_MAX = 1024 };

struct ljs_rewrap {
    ljs_server *server;
    unsigned version, storage; /* of the master key; of the storage key in a token */
    ljs_rewrapped so_far;
    uint64_t changed_before; /* this pass */
    uint8_t *keys;           /* length | octets, one after another */
    size_t keys_len, keys_room, at;
    bool broken; /* the keys are not all there */
};

/* ---- one value -------------------------------------------------------------- */

static ljs_err rewrap_device(ljs_buf *out, ljs_server *server, const uint8_t *key, size_t key_len, const ljs_buf *old)
{
    ljs_device device;
    ljs_eui eui = 0;
    ljs_err err = ljs_device_read(&device, old->data, old->len);

    for (size_t i = 1; i < key_len; i++)
        eui = eui << 8 | key[i];
    if (!err && (device.dev_eui != eui || key_len != 9)) /* filed under another's key */
        err = LJS_E_SEAL;
    return err ? err : ljs_device_rewrap(out, server->vault, old->data, old->len);
}

/* What is tagged and holds no key: the same octets, with another tag. */
static ljs_err retag(ljs_buf *out, const ljs_server *server, enum tag_domain domain, const ljs_buf *old)
{
    struct wr w = { 0 };
    bool now;
    ljs_err err = old->data ? ljs__vault_tagged(&now, server->vault, domain, old->data, old->len) : LJS_E_SEAL;

    if (err || now)
        return err;
    ljs__wr(&w, old->data, old->len - 16);
    return ljs__vault_take(out, &w, server->vault, domain);
}

/* It has no tag: nothing of it is under any key. */
static ljs_err check_owned(ljs_buf *out, ljs_server *server, const uint8_t *key, size_t key_len, const ljs_buf *old)
{
    (void)server;
    *out = (ljs_buf){ NULL, 0 };
    return ljs__owned_check(key, key_len, old);
}

/* What is not here is of a newer lorajs, which knows better: its values stay as they are, and so does the old key. */
static const struct {
    enum space space;
    enum tag_domain domain;
    ljs_err (*rewrap)(ljs_buf *out, ljs_server *server, const uint8_t *key, size_t key_len, const ljs_buf *old);
    const char *name;
} kinds[] = {
    { SPACE_DEVICE, TAG_RECORD, rewrap_device, "device" },
    { SPACE_KEK, TAG_KEK, ljs__kek_rewrap, "KEK" },
    { SPACE_LOT, TAG_LOT, ljs__lot_rewrap, "lot" },
    { SPACE_LOT_PRINT, TAG_LOT_PRINT, NULL, "fingerprint of lot" },
    { SPACE_DECISION, TAG_LOG, NULL, "decisions of" },
    { SPACE_GENERATION, TAG_GENERATION, NULL, "generation" },
    { SPACE_CREDENTIAL, TAG_CREDENTIAL, NULL, "credential" },
    { SPACE_ONCE, TAG_ONCE, NULL, "idempotency key" },
    { SPACE_ACCOUNT, TAG_ACCOUNT, NULL, "account" },
    { SPACE_CLAIM, TAG_CLAIM, NULL, "claim of" },
    { SPACE_CHIP, TAG_CHIP, NULL, "chip of" },
    { SPACE_OWNED, TAG_CLAIM, check_owned, "index of claims" },
    { SPACE_AUDIT, TAG_AUDIT, NULL, "audit log" }, /* its tags stay: they are those of one key for ever */
};

static int kind_of(const uint8_t *key)
{
    for (size_t i = 0; i < COUNT(kinds); i++)
        if (key[0] == kinds[i].space)
            return (int)i;
    return -1;
}

ljs_err ljs__rewrap(ljs_buf *out, ljs_server *server, const uint8_t *key, size_t key_len, const ljs_buf *old)
{
    int kind = kind_of(key);

    *out = (ljs_buf){ NULL, 0 };
    if (kind < 0)
        return LJS_E_VERSION;
    return kinds[kind].rewrap ? kinds[kind].rewrap(out, server, key, key_len, old)
                              : retag(out, server, kinds[kind].domain, old);
}

struct one {
    ljs_server *server;
    const struct key *key;
    bool changed;
};

static ljs_err rewrap_one(ljs_buf *out, void *user, const ljs_buf *old)
{
    struct one *one = user;
    ljs_err err = LJS_OK;

    *out = (ljs_buf){ NULL, 0 };
    if (old->data) /* else gone meanwhile */
        err = ljs__rewrap(out, one->server, one->key->at, one->key->len, old);
    one->changed = out->data;
    return err;
}

/* What the log says of it; of what it says nothing else of, it says nothing here either. */
static bool entry_of(struct entry *out, char label[LJS_LABEL_MAX], const struct key *key)
{
    *out = (struct entry){ .kind = LJS_AUDIT_REWRAP };
    for (size_t i = 1; key->at[0] == SPACE_DEVICE && i < key->len; i++)
        out->dev_eui = out->dev_eui << 8 | key->at[i];
    if (key->at[0] == SPACE_KEK) {
        memcpy(label, key->at + 1, key->len - 1);
        label[key->len - 1] = 0;
        out->text = label;
    }
    return key->at[0] == SPACE_DEVICE || key->at[0] == SPACE_KEK;
}

ljs_err ljs__rewrap_key(bool *changed, ljs_server *server, const struct key *key)
{
    struct one one = { .server = server, .key = key };
    char label[LJS_LABEL_MAX];
    struct entry entry;
    bool told = entry_of(&entry, label, key);
    ljs_err err = ljs__change(server, key, rewrap_one, &one, told ? &entry : NULL);

    *changed = !err && one.changed;
    return err;
}

/* ---- the walk --------------------------------------------------------------- */

static ljs_err add_key(void *user, const uint8_t *key, size_t key_len)
{
    ljs_rewrap *r = user;

    if (key[0] == SPACE_STORE) /* ljs_server_rotate() and ljs_rewrap_retire() see to it */
        return LJS_OK;
    if (key_len > sizeof((struct key *)0)->at)
        return LJS_E_VERSION;
    if (r->keys_room - r->keys_len < 1 + key_len) {
        size_t room = r->keys_room ? 2 * r->keys_room : 65536;
        uint8_t *more = realloc(r->keys, room);

        if (!more)
            return LJS_E_NOMEM;
        r->keys = more;
        r->keys_room = room;
    }
    r->keys[r->keys_len++] = (uint8_t)key_len;
    memcpy(r->keys + r->keys_len, key, key_len);
    r->keys_len += key_len;
    r->so_far.values++;
    return LJS_OK;
}

static ljs_err begin_pass(ljs_rewrap *r)
{
    ljs_err err;

    r->keys_len = r->at = 0;
    r->so_far.values = r->so_far.looked = r->so_far.damaged = 0;
    r->so_far.what[0] = 0;
    r->changed_before = r->so_far.changed;
    err = ljs_store_each(r->server->store, NULL, 0, add_key, r);
    r->broken = err != LJS_OK;
    if (!err)
        r->so_far.passes++;
    return err;
}

ljs_err ljs_rewrap_new(ljs_rewrap **out, ljs_server *server)
{
    ljs_token_storage storage = { .version = 0 };
    ljs_rewrap *r;
    ljs_err err = ljs_server_refresh(server);

    *out = NULL;
    if (!err && ljs__vault_inside(server->vault))
        err = ljs_token_look(&storage, server->vault);
    if (err)
        return err;
    if (!(r = calloc(1, sizeof *r)))
        return LJS_E_NOMEM;
    r->server = server;
    r->version = ljs_vault_version(server->vault);
    r->storage = storage.version;
    if ((err = begin_pass(r))) {
        ljs_rewrap_free(r);
        return err;
    }
    *out = r;
    return LJS_OK;
}

void ljs_rewrap_free(ljs_rewrap *rewrap)
{
    if (rewrap)
        free(rewrap->keys);
    free(rewrap);
}

static bool next_key(struct key *out, ljs_rewrap *r)
{
    if (r->at == r->keys_len)
        return false;
    out->len = r->keys[r->at];
    memcpy(out->at, r->keys + r->at + 1, out->len);
    r->at += 1 + out->len;
    return true;
}

static void damaged(ljs_rewrap *r, const struct key *key)
{
    char *at = r->so_far.what, *end = at + sizeof r->so_far.what;
    bool text = key->at[0] == SPACE_KEK || key->at[0] == SPACE_LOT || key->at[0] == SPACE_LOT_PRINT ||
                key->at[0] == SPACE_CREDENTIAL || key->at[0] == SPACE_ACCOUNT;

    r->so_far.damaged++;
    at += snprintf(at, (size_t)(end - at), "%s ", kinds[kind_of(key->at)].name);
    for (size_t i = 1; i < key->len && end - at > 3; i++)
        at += snprintf(at, (size_t)(end - at), text ? "%c" : "%02x", key->at[i]);
}

/* What shares a commit. */
struct share {
    struct key key[SHARE_MAX];
    ljs_buf value[SHARE_MAX];
    ljs_change change[SHARE_MAX + AUDIT_ROOM];
    struct entry entry[SHARE_MAX];
    char label[SHARE_MAX][LJS_LABEL_MAX];
    ljs_buf old[SHARE_MAX];
    size_t len, entries;
};

static void clear(struct share *s)
{
    for (size_t i = 0; i < s->len; i++) {
        ljs_buf_free(&s->value[i]);
        ljs_buf_free(&s->old[i]);
    }
    s->len = s->entries = 0;
}

/* The value of s->key[s->len], which joins the share when it has to be written. */
static ljs_err look(ljs_rewrap *r, struct share *s)
{
    size_t i = s->len;
    const struct key *key = &s->key[i];
    uint64_t version;
    ljs_err err;

    s->old[i] = s->value[i] = (ljs_buf){ NULL, 0 };
    err = ljs_store_get(&s->old[i], &version, r->server->store, key->at, key->len);
    if (!err)
        err = ljs__rewrap(&s->value[i], r->server, key->at, key->len, &s->old[i]);
    if (err == LJS_E_SEAL && !(err = ljs_server_refresh(r->server))) /* somebody may be further than we */
        err = ljs__rewrap(&s->value[i], r->server, key->at, key->len, &s->old[i]);
    if (err == LJS_E_SEAL)
        damaged(r, key);
    else if (err != LJS_E_NOTFOUND && err)
        goto out;
    err = LJS_OK;
    r->so_far.looked++;
    if (s->value[i].data) {
        struct entry *e = &s->entry[s->entries];

        s->change[i] = (ljs_change){ .key = key->at,
                                     .key_len = key->len,
                                     .in = s->value[i].data,
                                     .in_len = s->value[i].len,
                                     .if_version = version };
        if (entry_of(e, s->label[s->entries], key)) {
            if (key->at[0] == SPACE_DEVICE) {
                e->before = s->old[i].data + s->old[i].len - LINK_TAG_LEN;
                e->after = s->value[i].data + s->value[i].len - LINK_TAG_LEN;
            }
            s->entries++;
        }
        s->len++;
        return LJS_OK;
    }
out:
    ljs_buf_free(&s->old[i]);
    return err;
}

/* All at once, or, where one of them was changed meanwhile, one by one. */
static ljs_err write(ljs_rewrap *r, struct share *s)
{
    ljs_err err = s->len ? ljs__audit_commit(r->server, 0, s->change, s->len, s->entry, s->entries) : LJS_OK;

    if (!err)
        r->so_far.changed += s->len;
    if (err == LJS_E_CONFLICT)
        err = LJS_OK;
    else
        goto out;
    for (size_t i = 0; !err && i < s->len; i++) {
        bool changed;

        err = ljs__rewrap_key(&changed, r->server, &s->key[i]);
        if (err == LJS_E_SEAL) {
            damaged(r, &s->key[i]);
            err = LJS_OK;
        }
        r->so_far.changed += changed;
    }
out:
    clear(s);
    return err;
}

/* A pass in which nothing had to be written has seen everything under the new key. */
static ljs_err end_pass(ljs_rewrap *r)
{
    if (r->so_far.changed != r->changed_before)
        return begin_pass(r);
    r->so_far.done = 1;
    return LJS_OK;
}

/* Not all of these are done: again from the first, which is that of the pass where one began meanwhile. */
static void step_back(ljs_rewrap *r, size_t from, const ljs_rewrapped *before)
{
    bool same = r->so_far.passes == before->passes;

    r->at = same ? from : 0;
    r->so_far.looked = same ? before->looked : 0;
    r->so_far.damaged = same ? before->damaged : 0;
}

ljs_err ljs_rewrap_step(ljs_rewrapped *out, ljs_rewrap *r, unsigned n)
{
    struct share *s;
    size_t from = r->at;
    const ljs_rewrapped before = r->so_far;
    ljs_err err = ljs__server_alive(r->server);

    memset(out, 0, sizeof *out);
    if (!err && (!n || n > STEP_MAX))
        err = LJS_E_INVAL;
    if (!err && r->broken)
        err = begin_pass(r);
    if (err)
        return err;
    if (!(s = calloc(1, sizeof *s)))
        return LJS_E_NOMEM;
    for (unsigned i = 0; !err && i < n && !r->so_far.done; i++) {
        if (next_key(&s->key[s->len], r)) {
            err = look(r, s);
            if (!err && s->len == SHARE_MAX)
                err = write(r, s);
        } else if (!(err = write(r, s))) {
            err = end_pass(r);
        }
    }
    if (!err)
        err = write(r, s);
    if (err && !r->broken)
        step_back(r, from, &before);
    clear(s);
    free(s);
    *out = r->so_far;
    return err;
}

ljs_err ljs_rewrap_retire(ljs_rewrap *r, unsigned flags)
{
    ljs_err err = ljs__server_alive(r->server);

    if (err)
        return err;
    if (flags & ~(unsigned)LJS_REWRAP_LEAVE_DAMAGED)
        return LJS_E_INVAL;
    if (!r->so_far.done || (r->so_far.damaged && !(flags & LJS_REWRAP_LEAVE_DAMAGED)))
        return LJS_E_STATE;
    return ljs__vault_inside(r->server->vault) ? ljs__vault_storage_retire(r->server->vault, r->storage)
                                               : ljs__store_retire(r->server, r->version);
}
