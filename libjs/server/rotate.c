/* Whose store it is, and under which master keys; both may change while it is in use. */
#include "server/internal.h"

#include "base/pack.h"
#include "base/secret.h"
#include "keys/masters.h"

/* The store's own value: [1, name], or, once it had a second master key, [2, name, pack]; and the
 * vault's tag. */
enum { SCHEMA_ONE = 1, SCHEMA_PACK = 2, NAME_LEN = 16 };

static const struct key store_key = { .at = { SPACE_STORE }, .len = 1 };

struct whose {
    uint8_t name[NAME_LEN];
    const uint8_t *pack; /* NULL: there was never but one key */
    size_t pack_len;
};

/* On a copy of the vault, which then has what the store has: nothing is believed before its tag is
 * seen, and the tag may be of a key that comes with it. */
static ljs_err read_whose(struct whose *out, ljs_vault *copy, const ljs_buf *in)
{
    struct unpack u = { .rd = { in->data, in->len > 16 ? in->len - 16 : 0, false } };
    unsigned n = ljs__unpack_array(&u), schema = (unsigned)ljs__unpack_uint(&u, 0xffff);
    ljs_err err = LJS_OK;

    *out = (struct whose){ .pack = NULL };
    if (!u.rd.bad && schema > SCHEMA_PACK)
        return LJS_E_VERSION;
    ljs__unpack_fixed(&u, out->name, sizeof out->name);
    if (schema == SCHEMA_PACK)
        out->pack = ljs__unpack_bin(&u, &out->pack_len, LJS_STORE_VALUE_MAX);
    if (!rd_done(&u.rd) || n != schema + 1)
        return LJS_E_SEAL;
    if (out->pack)
        err = ljs_vault_unpack(copy, out->pack, out->pack_len);
    return err ? err : ljs__vault_check(copy, TAG_STORE, in->data, in->len);
}

static ljs_err write_whose(ljs_buf *out, const uint8_t name[NAME_LEN], const ljs_vault *vault, bool pack)
{
    struct wr w = { 0 };
    ljs_buf packed = { NULL, 0 };
    ljs_err err = pack ? ljs_vault_pack(&packed, vault) : LJS_OK;

    ljs__pack_array(&w, pack ? 3 : 2);
    ljs__pack_uint(&w, pack ? SCHEMA_PACK : SCHEMA_ONE);
    ljs__pack_bin(&w, name, NAME_LEN);
    if (pack)
        ljs__pack_bin(&w, packed.data, packed.len);
    if (!err)
        err = ljs__vault_tag(&w, vault, TAG_STORE);
    ljs_buf_free(&packed);
    if (err) {
        ljs__wr_drop(&w);
        return err;
    }
    return ljs__wr_take(out, &w);
}

/* ---- following the store ---------------------------------------------------- */

/* The vault has what the value says.  One that is older than what we have is not believed: somebody put
 * it back. */
static ljs_err follow(ljs_server *server, const ljs_buf *value)
{
    struct whose whose;
    ljs_vault *copy;
    uint8_t seen[16];
    bool known;
    ljs_err err;

    ljs__hash(seen, value->data, value->len);
    pthread_mutex_lock(&server->lock);
    known = memcmp(seen, server->seen, sizeof seen) == 0;
    pthread_mutex_unlock(&server->lock);
    if (known)
        return LJS_OK;
    if ((err = ljs__vault_copy(&copy, server->vault)))
        return err;
    err = read_whose(&whose, copy, value);
    if (!err && server->followed && ljs_vault_version(copy) < ljs_vault_version(server->vault))
        err = LJS_E_SEAL;
    if (!err && whose.pack)
        err = ljs_vault_unpack(server->vault, whose.pack, whose.pack_len);
    ljs_vault_free(copy);
    if (err)
        return err;
    pthread_mutex_lock(&server->lock);
    memcpy(server->seen, seen, sizeof seen);
    pthread_mutex_unlock(&server->lock);
    return LJS_OK;
}

ljs_err ljs_server_refresh(ljs_server *server)
{
    ljs_buf value = { NULL, 0 };
    uint64_t version;
    ljs_err err = ljs__server_alive(server);

    if (!err)
        err = ljs_store_get(&value, &version, server->store, store_key.at, store_key.len);
    if (!err)
        err = follow(server, &value);
    ljs_buf_free(&value);
    return err == LJS_E_NOTFOUND ? LJS_E_SEAL : err;
}

const struct masters *ljs__masters(const ljs_server *server)
{
    return masters_of(server->vault);
}

bool ljs__masters_again(ljs_server *server, const struct masters *had)
{
    return !ljs_server_refresh(server) && masters_of(server->vault) != had;
}

/* ---- claiming and changing -------------------------------------------------- */

static ljs_err not_empty(void *user, const uint8_t *key, size_t key_len)
{
    (void)user, (void)key, (void)key_len;
    return LJS_E_SEAL;
}

static ljs_err claim(ljs_buf *out, void *user, const ljs_buf *old)
{
    ljs_server *server = user;
    uint8_t name[NAME_LEN];
    ljs_err err;

    *out = (ljs_buf){ NULL, 0 };
    if (old->data)
        return follow(server, old);
    /* Only what was never used can be made ours: values without this one are somebody's. */
    if ((err = ljs_store_each(server->store, NULL, 0, not_empty, NULL)))
        return err;
    ljs__random(name, sizeof name);
    return write_whose(out, name, server->vault, false);
}

ljs_err ljs__store_claim(ljs_server *server)
{
    ljs_err err = ljs__change(server, &store_key, claim, server, NULL);

    server->followed = !err;
    return err;
}

struct change {
    ljs_server *server;
    const ljs_key *to; /* NULL: retire all but the newest, which is this version */
    unsigned version;
};

static ljs_err is_newest(ljs_vault *vault, const ljs_key *to)
{
    uint8_t mark[16];
    ljs_vault *other;
    ljs_err err = ljs_vault_from_key(&other, to);

    if (!err)
        err = ljs_vault_mark(mark, other);
    if (!err)
        err = ljs_vault_is(vault, mark, sizeof mark);
    ljs_vault_free(other);
    return err;
}

static ljs_err change(ljs_buf *out, void *user, const ljs_buf *old)
{
    const struct change *c = user;
    struct whose whose;
    ljs_vault *copy;
    ljs_err err = ljs__vault_copy(&copy, c->server->vault);

    *out = (ljs_buf){ NULL, 0 };
    if (err)
        return err;
    err = old->data ? read_whose(&whose, copy, old) : LJS_E_SEAL;
    if (!err && c->to && ljs_vault_versions(copy) > 1) {
        err = is_newest(copy, c->to);
        err = err == LJS_E_SEAL ? LJS_E_EXISTS : err;
    } else if (!err && !c->to && ljs_vault_version(copy) != c->version) {
        err = LJS_E_STATE;
    } else if (!err && (c->to || ljs_vault_versions(copy) > 1)) {
        err = c->to ? ljs_vault_add(copy, c->to) : ljs_vault_retire(copy);
        if (!err)
            err = write_whose(out, whose.name, copy, true);
    }
    ljs_vault_free(copy);
    return err;
}

ljs_err ljs_server_rotate(ljs_server *server, const ljs_key *to)
{
    struct change c = { .server = server, .to = to };
    const struct entry act = { .kind = LJS_AUDIT_MASTER, .text = "begun" };
    ljs_err err = ljs_key_len(to) == LJS_MASTER_LEN ? LJS_OK : LJS_E_INVAL;

    if (!err)
        err = ljs__change(server, &store_key, change, &c, &act);
    return err ? err : ljs__after_commit(ljs_server_refresh(server));
}

ljs_err ljs__store_retire(ljs_server *server, unsigned version)
{
    struct change c = { .server = server, .version = version };
    const struct entry act = { .kind = LJS_AUDIT_MASTER, .text = "retired" };
    ljs_err err = ljs__change(server, &store_key, change, &c, &act);

    return err ? err : ljs__after_commit(ljs_server_refresh(server));
}
