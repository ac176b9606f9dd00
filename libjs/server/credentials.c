/* Credentials at rest, and whose a token is. */
#include "server/claim.h"

#include "base/pack.h"
#include "base/secret.h"

#include <stdio.h>

/* A token: "ljs_", the name, "_", the secret in hexadecimal. */
static const char prefix[] = "ljs_";
enum {
    SECRET_LEN = 32,
    DIGEST_LEN = 16,
    TOKEN_MAX = sizeof prefix + LJS_CREDENTIAL_NAME_MAX + 2 * SECRET_LEN,
    STACK_BELOW = 4096, /* what hashing leaves there */
};

/* The value: [schema, name, roles, at, expires, digest of the secret, or nothing for a certificate], and the tag; of
 * one that acts for an account the schema is 2, and the account's name comes last.
 *
 * The digest has no key.  A secret of 256 random bits needs none against whoever reads the disk; against whoever
 * writes it there is the tag; and a digest under a subkey of the master key would end with that master key, since
 * nobody but the holder could make it anew. */
enum { CREDENTIAL_SCHEMA = 1, CREDENTIAL_FIELDS = 6, ACCOUNT_SCHEMA = 2, ACCOUNT_FIELDS = 7 };

struct held {
    ljs_credential c;
    uint8_t digest[DIGEST_LEN];
};

static bool name_ok(const char *name, size_t len)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";

    for (size_t i = 0; i < len; i++)
        if (!memchr(letters, name[i], sizeof letters - 1))
            return false;
    return len > 0 && len < LJS_CREDENTIAL_NAME_MAX;
}

static ljs_err read_held(struct held *out, const ljs_vault *vault, const uint8_t *in, size_t in_len)
{
    struct unpack u = { .rd = { in, in_len > 16 ? in_len - 16 : 0, false } };
    const uint8_t *digest;
    size_t digest_len = 0;
    ljs_err err = ljs__vault_check(vault, TAG_CREDENTIAL, in, in_len);
    unsigned fields = ljs__unpack_array(&u), schema = (unsigned)ljs__unpack_uint(&u, 0xffff);
    bool good = fields == (schema == ACCOUNT_SCHEMA ? ACCOUNT_FIELDS : CREDENTIAL_FIELDS);

    memset(out, 0, sizeof *out);
    out->c.struct_size = sizeof out->c;
    if (schema > ACCOUNT_SCHEMA && !err)
        return LJS_E_VERSION;
    ljs__unpack_text(&u, out->c.name, sizeof out->c.name);
    out->c.roles = (uint32_t)ljs__unpack_uint(&u, LJS_ROLES_ALL);
    out->c.at = ljs__unpack_int(&u, INT64_MIN, INT64_MAX);
    out->c.expires = ljs__unpack_int(&u, INT64_MIN, INT64_MAX);
    digest = ljs__unpack_bin(&u, &digest_len, DIGEST_LEN);
    out->c.certificate = digest_len == 0;
    if (digest && digest_len == DIGEST_LEN)
        memcpy(out->digest, digest, DIGEST_LEN);
    if (schema == ACCOUNT_SCHEMA)
        ljs__unpack_text(&u, out->c.account, sizeof out->c.account);
    good = good && rd_done(&u.rd) && (digest_len == 0 || digest_len == DIGEST_LEN);
    return err ? err : good ? LJS_OK : LJS_E_SEAL;
}

static ljs_err write_held(ljs_buf *out, const ljs_vault *vault, const struct held *k)
{
    struct wr w = { 0 };

    ljs__pack_array(&w, *k->c.account ? ACCOUNT_FIELDS : CREDENTIAL_FIELDS);
    ljs__pack_uint(&w, *k->c.account ? ACCOUNT_SCHEMA : CREDENTIAL_SCHEMA);
    ljs__pack_text(&w, k->c.name);
    ljs__pack_uint(&w, k->c.roles);
    ljs__pack_int(&w, k->c.at);
    ljs__pack_int(&w, k->c.expires);
    ljs__pack_bin(&w, k->digest, k->c.certificate ? 0 : DIGEST_LEN);
    if (*k->c.account)
        ljs__pack_text(&w, k->c.account);
    return ljs__vault_take(out, &w, vault, TAG_CREDENTIAL);
}

/* ---- making and removing ---------------------------------------------------- */

struct adding {
    ljs_server *server;
    const struct held *held;
};

static ljs_err add_held(ljs_buf *out, void *user, const ljs_buf *old)
{
    const struct adding *a = user;

    *out = (ljs_buf){ NULL, 0 };
    return old->data ? LJS_E_EXISTS : write_held(out, a->server->vault, a->held);
}

ljs_err ljs_server_add_credential(ljs_buf *out, ljs_server *server, const ljs_credential *credential)
{
    struct held k = { .c = *credential };
    struct adding adding = { server, &k };
    size_t name_len = strnlen(k.c.name, sizeof k.c.name);
    uint8_t secret[SECRET_LEN];
    struct wr token = { 0 };
    char text[LJS_LABEL_MAX];
    struct entry act = { .kind = LJS_AUDIT_ROLE, .text = text };
    struct key key;
    ljs_account account;
    ljs_err err;

    *out = (ljs_buf){ NULL, 0 };
    if (k.c.struct_size != sizeof k.c || !name_ok(k.c.name, name_len) || !k.c.roles || k.c.roles & ~LJS_ROLES_ALL ||
        k.c.expires < 0)
        return LJS_E_INVAL;
    if (*k.c.account && (k.c.roles != LJS_ROLE_CLAIM || !ljs__account_name_ok(k.c.account, sizeof k.c.account)))
        return LJS_E_INVAL;
    if (*k.c.account && (err = ljs_server_get_account(&account, server, k.c.account)))
        return err;
    k.c.certificate = !!k.c.certificate;
    snprintf(text, sizeof text, "%s may", k.c.name);
    for (unsigned role = 1; role <= LJS_ROLES_ALL; role <<= 1)
        if (k.c.roles & role)
            snprintf(text + strlen(text), sizeof text - strlen(text), " %s", ljs_role_text((ljs_role)role));
    key = ljs__key_label(SPACE_CREDENTIAL, k.c.name);
    if (!k.c.certificate) {
        ljs__random(secret, sizeof secret);
        ljs__hash(k.digest, secret, sizeof secret);
        ljs__wr_text(&token, prefix);
        ljs__wr_text(&token, k.c.name);
        ljs__wr_text(&token, "_");
        ljs__wr_hex(&token, secret, sizeof secret);
        ljs__wipe(secret, sizeof secret);
        ljs__wipe_stack(STACK_BELOW);
    }
    err = token.bad ? LJS_E_NOMEM : ljs__change_of(server, k.c.account, &key, add_held, &adding, &act);
    if (!err && !k.c.certificate)
        err = ljs__wr_take(out, &token);
    ljs__wr_drop(&token);
    return err;
}

ljs_err ljs_server_del_credential(ljs_server *server, const char *name)
{
    ljs_buf value = { NULL, 0 };
    ljs_change changes[1 + AUDIT_ROOM] = { { .in = NULL } };
    char text[LJS_LABEL_MAX];
    const struct entry act = { .kind = LJS_AUDIT_ROLE, .text = text };
    struct key key;
    ljs_err err = ljs__server_alive(server);

    if (err)
        return err;
    if (!name_ok(name, strlen(name)))
        return LJS_E_INVAL;
    snprintf(text, sizeof text, "%s removed", name);
    key = ljs__key_label(SPACE_CREDENTIAL, name);
    if ((err = ljs_store_get(&value, &changes[0].if_version, server->store, key.at, key.len)))
        return err;
    ljs_buf_free(&value);
    changes[0].key = key.at;
    changes[0].key_len = key.len;
    return ljs__audit_commit(server, 0, changes, 1, &act, 1);
}

struct rows {
    ljs_server *server;
    ljs_credential_row *row;
    void *user;
};

/* As the store has it now, under its own name. */
static ljs_err load_once(struct held *out, ljs_server *server, const uint8_t *key, size_t key_len)
{
    ljs_buf value = { NULL, 0 };
    uint64_t version;
    ljs_err err = ljs_store_get(&value, &version, server->store, key, key_len);

    memset(out, 0, sizeof *out);
    if (!err)
        err = read_held(out, server->vault, value.data, value.len);
    if (!err && (key_len - 1 != strlen(out->c.name) || memcmp(key + 1, out->c.name, key_len - 1) != 0))
        err = LJS_E_SEAL; /* filed under another's name */
    ljs_buf_free(&value);
    return err;
}

static ljs_err load(struct held *out, ljs_server *server, const uint8_t *key, size_t key_len)
{
    const struct masters *had;
    ljs_err err;

    do {
        had = ljs__masters(server);
        err = load_once(out, server, key, key_len);
    } while (err == LJS_E_SEAL && ljs__masters_again(server, had));
    return err;
}

static ljs_err one_row(void *user, const uint8_t *key, size_t key_len)
{
    const struct rows *rows = user;
    struct held k;
    ljs_err err = load(&k, rows->server, key, key_len);

    if (err == LJS_E_NOTFOUND) /* gone meanwhile */
        return LJS_OK;
    return err ? err : rows->row(rows->user, &k.c);
}

ljs_err ljs_server_each_credential(ljs_server *server, ljs_credential_row *row, void *user)
{
    struct rows rows = { server, row, user };
    const uint8_t space[] = { SPACE_CREDENTIAL };
    ljs_err err = ljs__server_alive(server);

    return err ? err : ljs_store_each(server->store, space, sizeof space, one_row, &rows);
}

/* ---- whose it is ------------------------------------------------------------ */

struct token {
    char name[LJS_CREDENTIAL_NAME_MAX];
    uint8_t secret[SECRET_LEN];
};

/* False, and a name that nobody has, for what is no token. */
static bool read_token(struct token *out, const uint8_t *in, size_t in_len)
{
    const char *text = (const char *)in;
    size_t name_len = in_len - (sizeof prefix - 1) - 1 - 2 * SECRET_LEN;
    bool good = in_len > sizeof prefix + 2 * SECRET_LEN && in_len < TOKEN_MAX &&
                !memcmp(text, prefix, sizeof prefix - 1) && name_ok(text + sizeof prefix - 1, name_len) &&
                text[sizeof prefix - 1 + name_len] == '_' &&
                ljs__hex(out->secret, SECRET_LEN, text + in_len - 2 * SECRET_LEN, 2 * SECRET_LEN);

    if (!good) {
        *out = (struct token){ .name = "?" };
        return false;
    }
    memcpy(out->name, text + sizeof prefix - 1, name_len);
    out->name[name_len] = '\0';
    return true;
}

static bool is_over(const ljs_credential *c, int64_t now)
{
    return c->expires && now >= c->expires;
}

/* What is looked at where there is no credential, so that it takes as long. */
static void look_at_nothing(const ljs_vault *vault)
{
    static const uint8_t nothing[96];
    struct held k;

    if (read_held(&k, vault, nothing, sizeof nothing) == LJS_OK)
        ljs__wipe(&k, sizeof k); /* never: zeros have no tag */
}

ljs_err ljs_server_check_token(ljs_credential *out, ljs_server *server, int64_t now, const uint8_t *in, size_t in_len)
{
    struct token token;
    struct held k;
    struct key key;
    uint8_t digest[DIGEST_LEN];
    bool good;
    ljs_err err = ljs__server_alive(server);

    *out = (ljs_credential){ .struct_size = sizeof *out };
    if (err)
        return err;
    good = read_token(&token, in, in_len);
    key = ljs__key_label(SPACE_CREDENTIAL, token.name);
    err = load(&k, server, key.at, key.len);
    if (err == LJS_E_NOTFOUND)
        look_at_nothing(server->vault);
    ljs__hash(digest, token.secret, sizeof token.secret);
    good = ljs__equal(digest, k.digest, sizeof digest) && good && !err && !k.c.certificate && !is_over(&k.c, now);
    ljs__wipe(&token, sizeof token);
    ljs__wipe(digest, sizeof digest);
    ljs__wipe_stack(STACK_BELOW);
    if (good)
        *out = k.c;
    /* Only that it cannot be told is another answer: what was tampered with is nobody's, too. */
    return good ? LJS_OK : err == LJS_E_STORE || err == LJS_E_NOMEM || err == LJS_E_STATE ? err : LJS_E_NOTFOUND;
}

ljs_err ljs_server_check_certificate(ljs_credential *out, ljs_server *server, int64_t now, const char *name)
{
    struct held k;
    struct key key;
    ljs_err err = ljs__server_alive(server);

    *out = (ljs_credential){ .struct_size = sizeof *out };
    if (err)
        return err;
    if (!name_ok(name, strlen(name)))
        return LJS_E_NOTFOUND;
    key = ljs__key_label(SPACE_CREDENTIAL, name);
    err = load(&k, server, key.at, key.len);
    if (err == LJS_E_STORE || err == LJS_E_NOMEM || err == LJS_E_STATE)
        return err;
    if (err || !k.c.certificate || is_over(&k.c, now))
        return LJS_E_NOTFOUND;
    *out = k.c;
    return LJS_OK;
}
