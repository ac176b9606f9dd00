/* Accounts at rest. */
#include "server/claim.h"

#include "base/pack.h"
#include "base/text.h"

#include <stdio.h>

/* The value: [schema, name, at, suspended, proven], and the tag. */
enum { ACCOUNT_SCHEMA = 1, ACCOUNT_FIELDS = 5 };

bool ljs__account_name_ok(const char *name, size_t room)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";
    size_t len = strnlen(name, room);

    for (size_t i = 0; i < len; i++)
        if (!memchr(letters, name[i], sizeof letters - 1))
            return false;
    return len > 0 && len < room && len < LJS_ACCOUNT_MAX && *name != '.'; /* "." and ".." are no names in a URL */
}

ljs_err ljs__account_read(ljs_account *out, const ljs_vault *vault, const char *name, const ljs_buf *in)
{
    struct unpack u = { .rd = { in->data, in->len > 16 ? in->len - 16 : 0, false } };
    ljs_err err = in->data ? ljs__vault_check(vault, TAG_ACCOUNT, in->data, in->len) : LJS_E_NOTFOUND;
    bool good;

    *out = (ljs_account){ .struct_size = sizeof *out };
    if (err)
        return err;
    good = ljs__unpack_array(&u) == ACCOUNT_FIELDS;
    if (ljs__unpack_uint(&u, 0xffff) > ACCOUNT_SCHEMA)
        return LJS_E_VERSION;
    ljs__unpack_text(&u, out->name, sizeof out->name);
    out->at = ljs__unpack_int(&u, INT64_MIN, INT64_MAX);
    out->suspended = (uint8_t)ljs__unpack_uint(&u, 1);
    out->proven = (uint8_t)ljs__unpack_uint(&u, 1);
    return good && rd_done(&u.rd) && strcmp(out->name, name) == 0 ? LJS_OK : LJS_E_SEAL;
}

ljs_err ljs__account_write(ljs_buf *out, const ljs_vault *vault, const ljs_account *account)
{
    struct wr w = { 0 };

    ljs__pack_array(&w, ACCOUNT_FIELDS);
    ljs__pack_uint(&w, ACCOUNT_SCHEMA);
    ljs__pack_text(&w, account->name);
    ljs__pack_int(&w, account->at);
    ljs__pack_uint(&w, !!account->suspended);
    ljs__pack_uint(&w, !!account->proven);
    return ljs__vault_take(out, &w, vault, TAG_ACCOUNT);
}

struct change {
    ljs_server *server;
    const ljs_account *account;
    const char *name;
    bool suspended;
};

static ljs_err add(ljs_buf *out, void *user, const ljs_buf *old)
{
    const struct change *c = user;

    *out = (ljs_buf){ NULL, 0 };
    return old->data ? LJS_E_EXISTS : ljs__account_write(out, c->server->vault, c->account);
}

/* What the log says: the name and what became of it. */
static void say(char out[LJS_LABEL_MAX], const char *name, const char *what)
{
    (void)snprintf(out, LJS_LABEL_MAX, "%s%s", name, what);
}

ljs_err ljs_server_add_account(ljs_server *server, const ljs_account *account)
{
    ljs_account a = *account;
    struct change c = { .server = server, .account = &a };
    char text[LJS_LABEL_MAX];
    const struct entry act = { .kind = LJS_AUDIT_ACCOUNT, .text = text };
    struct key key;
    ljs_err err;

    if (a.struct_size != sizeof a || !ljs__account_name_ok(a.name, sizeof a.name) || a.suspended)
        return LJS_E_INVAL;
    a.proven = 0;
    say(text, a.name, " made");
    key = ljs__key_label(SPACE_ACCOUNT, a.name);
    err = ljs__owned_ready(server); /* there is nothing to be looked through before the first */
    return err ? err : ljs__change(server, &key, add, &c, &act);
}

ljs_err ljs_server_get_account(ljs_account *out, ljs_server *server, const char *name)
{
    const struct masters *had;
    struct key key;
    ljs_buf value;
    uint64_t version;
    ljs_err err = ljs__server_alive(server);

    *out = (ljs_account){ .struct_size = sizeof *out };
    if (err)
        return err;
    if (!ljs__account_name_ok(name, LJS_ACCOUNT_MAX))
        return LJS_E_INVAL;
    key = ljs__key_label(SPACE_ACCOUNT, name);
    do {
        had = ljs__masters(server);
        if (!(err = ljs_store_get(&value, &version, server->store, key.at, key.len)))
            err = ljs__account_read(out, server->vault, name, &value);
        ljs_buf_free(&value);
    } while (err == LJS_E_SEAL && ljs__masters_again(server, had));
    if (err)
        *out = (ljs_account){ .struct_size = sizeof *out };
    return err;
}

static ljs_err suspend(ljs_buf *out, void *user, const ljs_buf *old)
{
    const struct change *c = user;
    ljs_account a;
    ljs_err err = ljs__account_read(&a, c->server->vault, c->name, old);

    *out = (ljs_buf){ NULL, 0 };
    if (err || a.suspended == c->suspended)
        return err;
    a.suspended = c->suspended;
    return ljs__account_write(out, c->server->vault, &a);
}

ljs_err ljs_server_suspend_account(ljs_server *server, const char *name, int suspended)
{
    struct change c = { .server = server, .name = name, .suspended = suspended != 0 };
    char text[LJS_LABEL_MAX];
    const struct entry act = { .kind = LJS_AUDIT_ACCOUNT, .text = text };
    struct key key;

    if (!ljs__account_name_ok(name, LJS_ACCOUNT_MAX))
        return LJS_E_INVAL;
    say(text, name, suspended ? " suspended" : " resumed");
    key = ljs__key_label(SPACE_ACCOUNT, name);
    return ljs__change(server, &key, suspend, &c, &act);
}

static ljs_err has_credential(void *user, const ljs_credential *credential)
{
    return strcmp(credential->account, user) == 0 ? LJS_E_STATE : LJS_OK;
}

/* Whoever has its name next must not find keys of this one under it. */
static ljs_err has_kek(void *user, const char *label, size_t kek_len)
{
    const char *account = user;
    size_t n = strlen(account);

    (void)kek_len;
    return label[0] == '@' && !strncmp(label + 1, account, n) && label[1 + n] == '/' ? LJS_E_STATE : LJS_OK;
}

static ljs_err has_claim(void *user, const ljs_claim *claim)
{
    return strcmp(claim->account, user) == 0 ? LJS_E_STATE : LJS_OK;
}

/* ---- its end ----------------------------------------------------------------------- */

struct ending {
    ljs_server *server;
    const char *name;
    ljs_eui dev_eui; /* which it is offered */
};

static ljs_err take_back(void *user, struct valued *at)
{
    const struct ending *e = user;
    struct claim claim;
    ljs_err err = ljs__claim_read(&claim, e->server->vault, e->dev_eui, &at->old);

    if (err || strcmp(claim.c.offered_to, e->name) != 0)
        return err;
    claim.c.state = ljs__claim_rule(claim.c.state, CLAIM_WITHDRAW).next;
    memset(claim.c.offered_to, 0, sizeof claim.c.offered_to);
    claim.c.offer_until = 0;
    return ljs__claim_write(&at->new, e->server->vault, &claim);
}

/* Whoever has its name next must not find offers to this one either. */
static ljs_err end_offer(void *user, const ljs_claim *claim)
{
    struct ending *e = user;
    const struct entry act = { .kind = LJS_AUDIT_WITHDRAW, .dev_eui = claim->dev_eui, .text = claim->account };
    struct valued at = { .key = ljs__key_eui(SPACE_CLAIM, claim->dev_eui) };

    if (strcmp(claim->offered_to, e->name) != 0)
        return LJS_OK;
    e->dev_eui = claim->dev_eui;
    return ljs__change_group(e->server, &at, 1, take_back, e, &act, NULL);
}

/* Whatever comes to it, or is offered to it, meanwhile is written with the account, and makes this a conflict. */
static ljs_err end_once(ljs_server *server, const char *name)
{
    ljs_account a;
    ljs_change changes[1 + AUDIT_ROOM] = { { .in = NULL } };
    char text[LJS_LABEL_MAX], whose[LJS_ACCOUNT_MAX];
    const struct entry act = { .kind = LJS_AUDIT_ACCOUNT, .text = text };
    struct ending ending = { .server = server, .name = whose };
    struct key key;
    ljs_buf value = { NULL, 0 };
    ljs_err err = ljs_server_get_account(&a, server, name);

    if (err)
        return err;
    memcpy(whose, a.name, sizeof whose);
    key = ljs__key_label(SPACE_ACCOUNT, name);
    if ((err = ljs_store_get(&value, &changes[0].if_version, server->store, key.at, key.len)))
        return err;
    ljs_buf_free(&value);
    if ((err = ljs_server_each_credential(server, has_credential, whose)) ||
        (err = ljs_server_each_kek(server, has_kek, whose)) ||
        (err = ljs_server_each_claim_in(server, 0, UINT64_MAX, has_claim, whose)) ||
        (err = ljs_server_each_claim_in(server, 0, UINT64_MAX, end_offer, &ending)))
        return err;
    say(text, name, " ended");
    changes[0].key = key.at;
    changes[0].key_len = key.len;
    return ljs__audit_commit(server, 0, changes, 1, &act, 1);
}

ljs_err ljs_server_del_account(ljs_server *server, const char *name)
{
    ljs_err err = LJS_E_CONFLICT;

    for (unsigned n = 0; err == LJS_E_CONFLICT && n <= CONFLICT_RETRIES * server->opts.retries; n++)
        err = end_once(server, name);
    return err;
}

/* ---- what is an account's, and ends before it ------------------------------------- */

struct belonging {
    ljs_server *server;
    const char *account;
    make_fn *make;
    void *user;
};

static ljs_err make_belonging(void *user, struct valued *at)
{
    const struct belonging *b = user;
    ljs_account account;
    ljs_err err = ljs__account_read(&account, b->server->vault, b->account, &at[1].old);

    if (!err)
        err = b->make(&at[0].new, b->user, &at[0].old);
    return err || !at[0].new.data ? err : ljs__account_write(&at[1].new, b->server->vault, &account);
}

ljs_err ljs__change_of(ljs_server *server, const char *account, const struct key *key, make_fn *make, void *user,
                       const struct entry *act)
{
    struct belonging b = { server, account, make, user };
    struct valued at[] = { { .key = *key }, { .key = ljs__key_label(SPACE_ACCOUNT, account) } };

    return *account ? ljs__change_group(server, at, COUNT(at), make_belonging, &b, act, NULL)
                    : ljs__change(server, key, make, user, act);
}

struct rows {
    ljs_server *server;
    ljs_account_row *row;
    void *user;
};

static ljs_err one_row(void *user, const uint8_t *key, size_t key_len)
{
    const struct rows *rows = user;
    char name[LJS_LABEL_MAX] = "";
    ljs_account a;
    ljs_err err;

    if (key_len > LJS_ACCOUNT_MAX)
        return LJS_E_SEAL;
    memcpy(name, key + 1, key_len - 1);
    err = ljs_server_get_account(&a, rows->server, name);
    if (err == LJS_E_NOTFOUND) /* gone meanwhile */
        return LJS_OK;
    return err == LJS_E_INVAL ? LJS_E_SEAL : err ? err : rows->row(rows->user, &a);
}

ljs_err ljs_server_each_account(ljs_server *server, ljs_account_row *row, void *user)
{
    struct rows rows = { server, row, user };
    const uint8_t space[] = { SPACE_ACCOUNT };
    ljs_err err = ljs__server_alive(server);

    return err ? err : ljs_store_each(server->store, space, sizeof space, one_row, &rows);
}

/* ---- their KEKs ---------------------------------------------------------------- */

/* What stands before the label that an account knows: "@ACCOUNT/"; 0 for what is no account's. */
static size_t holder_len(const char *label)
{
    const char *end = label[0] == '@' ? strchr(label, '/') : NULL;

    return end ? (size_t)(end - label) + 1 : 0;
}

bool ljs__kek_same_holder(const char *one, const char *other)
{
    size_t n = holder_len(one);

    return n == holder_len(other) && memcmp(one, other, n) == 0;
}

ljs_err ljs__kek_label_check(char name[LJS_ACCOUNT_MAX], ljs_server *server, const char *label)
{
    ljs_account account;
    size_t n;

    memset(name, 0, LJS_ACCOUNT_MAX);
    if (!label || !label[0] || !ljs__text_ok(label, LJS_LABEL_MAX))
        return LJS_E_INVAL;
    if (label[0] != '@')
        return LJS_OK;
    n = holder_len(label);
    if (n < 2 || n - 2 >= LJS_ACCOUNT_MAX || !label[n])
        return LJS_E_INVAL;
    memcpy(name, label + 1, n - 2);
    return ljs_server_get_account(&account, server, name);
}

ljs_err ljs_account_kek(ljs_buf *out, const char *account, const char *label)
{
    struct wr w = { 0 };

    *out = (ljs_buf){ NULL, 0 };
    if (!ljs__account_name_ok(account, LJS_ACCOUNT_MAX) || !*label || !ljs__text_ok(label, LJS_LABEL_MAX) ||
        strlen(account) + strlen(label) + 2 >= LJS_LABEL_MAX)
        return LJS_E_INVAL;
    ljs__wr_text(&w, "@");
    ljs__wr_text(&w, account);
    ljs__wr_text(&w, "/");
    ljs__wr_text(&w, label);
    return ljs__wr_take(out, &w);
}
