#include "server/internal.h"

#include "base/pack.h"
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
                             const ljs_buf *new, const struct entry *act)
{
    ljs_change changes[1 + AUDIT_ROOM] = {
        { .key = key->at, .key_len = key->len, .in = new->data, .in_len = new->len, .if_version = version }
    };
    struct entry entry;
    ljs_err err;

    if (!act) {
        err = ljs_store_commit(server->store, changes, 1);
        return err ? err : changes[0].result;
    }
    entry = *act;
    entry.before = tag_of(key, old);
    entry.after = tag_of(key, new);
    return ljs__audit_commit(server, 0, changes, 1, &entry, 1);
}

ljs_err ljs__change(ljs_server *server, const struct key *key, make_fn *make, void *user, const struct entry *act)
{
    ljs_err err = ljs__server_alive(server);

    if (err)
        return err;
    for (unsigned n = 0; n <= CONFLICT_RETRIES * server->opts.retries; n++) {
        ljs_buf old = { NULL, 0 }, new = { NULL, 0 };
        uint64_t version = 0;

        err = ljs_store_get(&old, &version, server->store, key->at, key->len);
        if (err == LJS_E_NOTFOUND) {
            version = 0;
            err = LJS_OK;
        }
        if (!err)
            err = make(&new, user, &old);
        if (!err && new.data)
            err = commit_change(server, key, version, &old, &new, act);
        ljs_buf_free(&old);
        ljs_buf_free(&new);
        if (err != LJS_E_CONFLICT)
            break;
    }
    return err;
}

/* ---- whose store it is ------------------------------------------------------ */

enum { STORE_SCHEMA = 1 };

static ljs_err not_empty(void *user, const uint8_t *key, size_t key_len)
{
    (void)user, (void)key, (void)key_len;
    return LJS_E_SEAL;
}

/* The store's own value: a schema number and a random name, under the vault's tag. */
static ljs_err claim_store(ljs_buf *out, void *user, const ljs_buf *old)
{
    ljs_server *server = user;
    struct unpack u = { { old->data, old->len > 16 ? old->len - 16 : 0, false } };
    struct wr w = { 0 };
    uint8_t name[16];
    ljs_err err;

    *out = (ljs_buf){ NULL, 0 };
    if (old->data) {
        err = ljs__vault_check(server->vault, TAG_STORE, old->data, old->len);
        if (ljs__unpack_array(&u) == 2 && ljs__unpack_uint(&u, 0xffff) > STORE_SCHEMA && !u.rd.bad)
            return LJS_E_VERSION;
        return err;
    }
    /* Only what was never used can be made ours: values without this one are somebody's. */
    if ((err = ljs_store_each(server->store, NULL, 0, not_empty, NULL)))
        return err;
    ljs__random(name, sizeof name);
    ljs__pack_array(&w, 2);
    ljs__pack_uint(&w, STORE_SCHEMA);
    ljs__pack_bin(&w, name, sizeof name);
    if ((err = ljs__vault_tag(&w, server->vault, TAG_STORE))) {
        ljs__wr_drop(&w);
        return err;
    }
    return ljs__wr_take(out, &w);
}

ljs_err ljs_server_new(ljs_server **out, ljs_vault *vault, ljs_store *store, const ljs_server_opts *opts)
{
    const struct key key = { .at = { SPACE_STORE }, .len = 1 };
    struct generation generation;
    ljs_server *server;
    ljs_err err = ljs__init();

    *out = NULL;
    if (err || (err = ljs__vault_alive(vault)))
        return err;
    if (opts && (opts->struct_size != sizeof *opts || opts->clear & ~(LJS_CLEAR_NS | LJS_CLEAR_AS) ||
                 opts->audit > LJS_AUDIT_SWITCH_OFF))
        return LJS_E_INVAL;
    if (!(server = calloc(1, sizeof *server)))
        return LJS_E_NOMEM;
    server->vault = vault;
    server->store = store;
    if (opts)
        server->opts = *opts;
    if (!server->opts.retries)
        server->opts.retries = 8;
    server->process = ljs__process();
    pthread_mutex_init(&server->lock, NULL);
    ljs__keks_init(server);
    if ((err = ljs__decisions_init(server)) || (err = ljs__audit_init(server)) ||
        (err = ljs__change(server, &key, claim_store, server, NULL)) ||
        (err = ljs__generation_read(&generation, NULL, vault, store))) {
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
    ljs__peers_give(server->peers);
    ljs__decisions_free(server);
    ljs__keks_free(server);
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
