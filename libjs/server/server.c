#include "server/claim.h"

#include "base/secret.h"

#include <stdlib.h>

struct key ljs__key_eui(enum space space, ljs_eui eui)
{
    struct key key = { .at = { (uint8_t)space }, .len = 9 };

    for (unsigned i = 0; i < 8; i++)
        key.at[1 + i] = (uint8_t)(eui >> (56 - 8 * i));
    return key;
}

struct key ljs__key_label(enum space space, const char *label)
{
    struct key key = { .at = { (uint8_t)space }, .len = 1 + strnlen(label, LJS_LABEL_MAX) };

    memcpy(key.at + 1, label, key.len - 1);
    return key;
}

ljs_err ljs__server_alive(const ljs_server *server)
{
    return server->process == ljs__process() ? LJS_OK : LJS_E_STATE;
}

/* A device's record ends in its tag. */
static const uint8_t *tag_of(const struct key *key, const ljs_buf *value)
{
    return key->at[0] == SPACE_DEVICE && value->len >= LINK_TAG_LEN ? value->data + value->len - LINK_TAG_LEN : NULL;
}

static ljs_err commit_change(ljs_server *server, const struct key *key, uint64_t version, const ljs_buf *old,
                             const ljs_buf *new, const struct entry *act, const struct once *once)
{
    ljs_change changes[2 + AUDIT_ROOM] = {
        { .key = key->at, .key_len = key->len, .in = new->data, .in_len = new->len, .if_version = version },
        { .key_len = 0 },
    };
    struct entry entry;
    size_t n = 1;
    ljs_err err;

    if (!act) {
        err = ljs_store_commit(server->store, changes, 1);
        return err ? err : changes[0].result;
    }
    if (once)
        changes[n++] = (ljs_change){ .key = once->key.at,
                                     .key_len = once->key.len,
                                     .in = once->value.data,
                                     .in_len = once->value.len,
                                     .if_version = once->version };
    entry = *act;
    entry.before = tag_of(key, old);
    entry.after = tag_of(key, new);
    return ljs__audit_commit(server, 0, changes, n, &entry, 1);
}

/* What was in force when a value was made. */
struct under {
    const struct masters *masters;
    unsigned storage; /* key in a token */
};

static struct under under_now(const ljs_server *server)
{
    return (struct under){ ljs__masters(server), ljs__vault_storage(server->vault) };
}

/* A value that came into being while the master key, or a token's storage key, was changed may be under the old one,
 * and whoever looks for such values past its place already.  Before it counts it is brought under the new key; where
 * that is too late, it goes, unless somebody went on with it: then it has given a JoinNonce, maybe, and is not to begin
 * again. */
static ljs_err settle(ljs_server *server, const struct key *key, const ljs_buf *made, bool created,
                      const struct under *had)
{
    ljs_buf value = { NULL, 0 };
    ljs_change change = { .key = key->at, .key_len = key->len };
    bool changed, moved = ljs__vault_storage_moved(server->vault, had->storage);
    ljs_err err = LJS_OK;

    if (!created && !moved) /* who wrote it again since has met with a conflict */
        return LJS_OK;
    err = ljs_server_refresh(server);
    if (!err && ljs__masters(server) == had->masters && !moved)
        return LJS_OK;
    if (!err)
        err = ljs__rewrap_key(&changed, server, key);
    if (err != LJS_E_SEAL || !created)
        return ljs__after_commit(err);
    if (!ljs_store_get(&value, &change.if_version, server->store, key->at, key->len) && value.len == made->len &&
        !memcmp(value.data, made->data, made->len))
        (void)!ljs_store_commit(server->store, &change, 1);
    ljs_buf_free(&value);
    return LJS_E_SEAL;
}

ljs_err ljs__change_once(ljs_server *server, const struct key *key, make_fn *make, void *user, const struct entry *act,
                         struct once *once)
{
    bool asked = false;
    ljs_err err = ljs__server_alive(server);

    if (err)
        return err;
    for (unsigned n = 0; n <= CONFLICT_RETRIES * server->opts.retries; n++) {
        ljs_buf old = { NULL, 0 }, new = { NULL, 0 };
        const struct under had = under_now(server);
        uint64_t version = 0;

        if (once && (err = ljs__once_load(server, once)))
            break;
        err = ljs_store_get(&old, &version, server->store, key->at, key->len);
        if (err == LJS_E_NOTFOUND) {
            version = 0;
            err = LJS_OK;
        }
        if (!err)
            err = make(&new, user, &old);
        if (!err && new.data && once)
            err = ljs__once_write(server, once);
        if (!err && new.data)
            err = commit_change(server, key, version, &old, &new, act, once);
        if (!err && new.data && act && act->kind != LJS_AUDIT_REWRAP)
            err = settle(server, key, &new, !version, &had);
        if (!err && new.data && once && !once->version)
            err = settle(server, &once->key, &once->value, true, &had);
        ljs_buf_free(&old);
        ljs_buf_free(&new);
        if (err != LJS_E_CONFLICT &&
            !(err == LJS_E_SEAL && key->at[0] != SPACE_STORE && ljs__masters_again(server, had.masters)) &&
            !ljs__lots_again(server, err, &asked))
            break;
    }
    return err;
}

ljs_err ljs__change(ljs_server *server, const struct key *key, make_fn *make, void *user, const struct entry *act)
{
    return ljs__change_once(server, key, make, user, act, NULL);
}

/* ---- several values as one ---------------------------------------------------- */

static ljs_err load_group(ljs_server *server, struct valued *at, size_t len)
{
    ljs_err err = LJS_OK;

    for (size_t i = 0; !err && i < len; i++) {
        err = ljs_store_get(&at[i].old, &at[i].version, server->store, at[i].key.at, at[i].key.len);
        if (err == LJS_E_NOTFOUND) {
            at[i].version = 0;
            err = LJS_OK;
        }
    }
    return err;
}

static ljs_eui eui_of(const struct key *key)
{
    ljs_eui eui = 0;

    for (size_t i = 1; i < key->len; i++)
        eui = eui << 8 | key->at[i];
    return eui;
}

static ljs_err commit_group(ljs_server *server, struct valued *at, size_t len, const struct entry *act,
                            const struct once *once)
{
    ljs_change changes[GROUP_MAX + CLAIMS_MOST * OWNED_MOST + 1 + AUDIT_ROOM];
    struct entry entries[1 + GROUP_MAX];
    struct owned owned[CLAIMS_MOST]; /* of each claim that is among them */
    size_t n = 0, told = 0, claims = 0;
    ljs_err err = LJS_OK;

    if (act) {
        entries[told] = *act;
        entries[told].before = at[0].new.data ? tag_of(&at[0].key, &at[0].old) : act->before;
        entries[told++].after = at[0].new.data ? tag_of(&at[0].key, &at[0].new) : act->after;
    }
    for (size_t i = 0; i < len; i++) {
        if (!at[i].new.data && !at[i].gone)
            continue;
        changes[n++] = (ljs_change){ .key = at[i].key.at,
                                     .key_len = at[i].key.len,
                                     .in = at[i].new.data,
                                     .in_len = at[i].new.len,
                                     .if_version = at[i].version };
        if (at[i].key.at[0] == SPACE_CLAIM && claims == CLAIMS_MOST)
            return LJS_E_INVAL;
        if (at[i].key.at[0] == SPACE_CLAIM) {
            owned[claims].len = 0;
            err = ljs__owned_follow(&owned[claims++], server, eui_of(&at[i].key), &at[i].old, &at[i].new);
        }
        if (err)
            return err;
        if (!at[i].act)
            continue;
        entries[told] = *at[i].act;
        entries[told].before = tag_of(&at[i].key, &at[i].old);
        entries[told++].after = tag_of(&at[i].key, &at[i].new);
    }
    if (!n)
        return LJS_OK;
    for (size_t c = 0; c < claims; c++)
        for (size_t i = 0; i < owned[c].len; i++)
            changes[n++] = owned[c].change[i];
    if (once)
        changes[n++] = (ljs_change){ .key = once->key.at,
                                     .key_len = once->key.len,
                                     .in = once->value.data,
                                     .in_len = once->value.len,
                                     .if_version = once->version };
    return ljs__audit_commit(server, 0, changes, n, entries, told);
}

static ljs_err settle_group(ljs_server *server, struct valued *at, size_t len, const struct once *once,
                            const struct under *had)
{
    ljs_err err = LJS_OK;

    for (size_t i = 0; !err && i < len; i++)
        if (at[i].new.data)
            err = settle(server, &at[i].key, &at[i].new, !at[i].version, had);
    if (!err && once && once->value.data && !once->version)
        err = settle(server, &once->key, &once->value, true, had);
    return err;
}

ljs_err ljs__change_group(ljs_server *server, struct valued *at, size_t len, make_group_fn *make, void *user,
                          const struct entry *act, struct once *once)
{
    bool asked = false;
    ljs_err err = ljs__server_alive(server);

    for (unsigned n = 0; !err && n <= CONFLICT_RETRIES * server->opts.retries; n++) {
        const struct under had = under_now(server);

        for (size_t i = 0; i < len; i++) {
            at[i].old = at[i].new = (ljs_buf){ NULL, 0 };
            at[i].gone = false;
        }
        if (once && (err = ljs__once_load(server, once)))
            break;
        err = load_group(server, at, len);
        if (!err)
            err = make(user, at);
        if (!err && once)
            err = ljs__once_write(server, once);
        if (!err)
            err = commit_group(server, at, len, act, once);
        if (!err)
            err = settle_group(server, at, len, once, &had);
        for (size_t i = 0; i < len; i++) {
            ljs_buf_free(&at[i].old);
            ljs_buf_free(&at[i].new);
        }
        if (!err || (err != LJS_E_CONFLICT && !(err == LJS_E_SEAL && ljs__masters_again(server, had.masters)) &&
                     !ljs__lots_again(server, err, &asked)))
            break;
        err = n == CONFLICT_RETRIES * server->opts.retries ? err : LJS_OK;
    }
    return err;
}

/* ---- the server ------------------------------------------------------------- */

ljs_err ljs__store_name(uint8_t name[STORE_NAME_LEN], ljs_vault *vault, ljs_store *store)
{
    const uint8_t key[] = { SPACE_STORE };
    ljs_server *follower = NULL;
    ljs_buf value;
    uint64_t version;
    ljs_err err = ljs_store_get(&value, &version, store, key, sizeof key);
    struct unpack u = { .rd = { value.data, value.len > 16 ? value.len - 16 : 0, false } };

    memset(name, 0, STORE_NAME_LEN);
    if (!err && !(err = ljs_server_new(&follower, vault, store, NULL))) /* the vault has what the store has */
        ljs_server_free(follower);
    if (!err)
        err = ljs__vault_check(vault, TAG_STORE, value.data, value.len);
    if (!err) { /* what is behind the name is not asked for */
        ljs__unpack_array(&u);
        ljs__unpack_uint(&u, 0xffff);
        ljs__unpack_fixed(&u, name, STORE_NAME_LEN);
        err = u.rd.bad ? LJS_E_SEAL : LJS_OK;
    }
    ljs_buf_free(&value);
    return err;
}

ljs_err ljs_server_new(ljs_server **out, ljs_vault *vault, ljs_store *store, const ljs_server_opts *opts)
{
    struct generation generation;
    ljs_server *server;
    ljs_err err = ljs__init();

    *out = NULL;
    if (err || (err = ljs__vault_alive(vault)))
        return err;
    if (opts && (opts->struct_size != sizeof *opts || opts->clear & ~(LJS_CLEAR_NS | LJS_CLEAR_AS) ||
                 opts->audit > LJS_AUDIT_SWITCH_OFF))
        return LJS_E_INVAL;
    if (!(server = ljs__alloc_lined(sizeof *server)))
        return LJS_E_NOMEM;
    server->vault = vault;
    server->store = store;
    if (opts)
        server->opts = *opts;
    if (!server->opts.retries)
        server->opts.retries = 8;
    server->process = ljs__process();
    pthread_mutex_init(&server->lock, NULL);
    ljs__wide_init(&server->peers_lock);
    ljs__keks_init(server);
    pthread_mutex_init(&server->alarms.lock, NULL);
    ljs__claim_limit_init(server);
    if ((err = ljs__decisions_init(server)) || (err = ljs__audit_init(server)) || (err = ljs__store_claim(server)) ||
        (err = ljs__generation_read(&generation, NULL, vault, store)) || (err = ljs__lots_load(server))) {
        ljs_server_free(server);
        return err;
    }
    server->generation = generation.number;
    *out = server;
    return LJS_OK;
}

void ljs_server_free(ljs_server *server)
{
    if (!server)
        return;
    ljs__audit_free(server);
    free(atomic_load(&server->jobs));
    ljs_peers_free(server->peers);
    ljs__wide_destroy(&server->peers_lock);
    ljs__decisions_free(server);
    ljs__keks_free(server);
    pthread_mutex_destroy(&server->alarms.lock);
    ljs__claim_limit_free(server);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

ljs_err ljs_server_ready(ljs_server *server)
{
    const uint8_t key[] = { SPACE_STORE };
    ljs_buf value = { NULL, 0 };
    uint64_t version;
    ljs_err err = ljs__server_alive(server);

    if (!err)
        err = ljs_store_get(&value, &version, server->store, key, sizeof key);
    ljs_buf_free(&value);
    return err;
}
