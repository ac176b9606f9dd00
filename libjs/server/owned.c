/* Which devices an account owns or is offered, without a look at all the others.
 *
 * An entry is a key, account and DevEUI, and says nothing that the claim does not say with a tag: its value is the key
 * again, so that none stands in another's place.  Entries are written in the transaction of the claim, by whatever
 * changes it (ljs__owned_follow()), so the claim's version guards them, too; who reads one asks the claim.  A store
 * from before has none, nor the mark that they are all there, and gets them when they are first asked for. */
#include "server/claim.h"

#include <stdlib.h>

enum { ENTRY_SCHEMA = 1, ROUNDS = 16, BATCH = 64 };

static const struct key mark = { .at = { SPACE_OWNED }, .len = 1 };

/* Names have no NUL, so no account's keys begin with all of another's. */
static struct key under(const char *account)
{
    struct key key = ljs__key_label(SPACE_OWNED, account);

    key.at[key.len++] = 0;
    return key;
}

static struct key entry_key(const char *account, ljs_eui dev_eui)
{
    struct key key = under(account), eui = ljs__key_eui(SPACE_OWNED, dev_eui);

    memcpy(key.at + key.len, eui.at + 1, eui.len - 1);
    key.len += eui.len - 1;
    return key;
}

static struct owned_value value_of(const struct key *key)
{
    struct owned_value v = { .at = { ENTRY_SCHEMA }, .len = 1 + key->len };

    memcpy(v.at + 1, key->at, key->len);
    return v;
}

/* 0 where there is none; LJS_E_SEAL, with its version, for one that is not its key's. */
static ljs_err get_entry(uint64_t *version, ljs_server *server, const struct key *key)
{
    const struct owned_value want = value_of(key);
    ljs_buf value = { NULL, 0 };
    ljs_err err = ljs_store_get(&value, version, server->store, key->at, key->len);

    if (err)
        *version = 0;
    else if (value.len != want.len || memcmp(value.data, want.at, want.len) != 0)
        err = LJS_E_SEAL;
    ljs_buf_free(&value);
    return err == LJS_E_NOTFOUND ? LJS_OK : err;
}

static bool concerns(const ljs_claim *c, const char *account)
{
    return *account && (!strcmp(c->account, account) || !strcmp(c->offered_to, account));
}

/* ---- with each change of a claim ---------------------------------------------------- */

/* One that is wanted is written even where it is there: who takes it for a stray one at the same time then meets a
 * conflict. */
static ljs_err follow(struct owned *o, ljs_server *server, const char *account, ljs_eui dev_eui, bool wanted)
{
    struct key *key = &o->key[o->len];
    uint64_t version;
    ljs_err err;

    if (!*account)
        return LJS_OK;
    *key = entry_key(account, dev_eui);
    for (size_t i = 0; i < o->len; i++)
        if (o->key[i].len == key->len && !memcmp(o->key[i].at, key->at, key->len))
            return LJS_OK;
    err = get_entry(&version, server, key);
    if (err == LJS_E_SEAL) /* written over, or deleted */
        err = LJS_OK;
    if (err || (!wanted && !version))
        return err;
    o->value[o->len] = value_of(key);
    o->change[o->len] = (ljs_change){ .key = key->at,
                                      .key_len = key->len,
                                      .in = wanted ? o->value[o->len].at : NULL,
                                      .in_len = wanted ? o->value[o->len].len : 0,
                                      .if_version = version };
    o->len++;
    return LJS_OK;
}

ljs_err ljs__owned_follow(struct owned *out, ljs_server *server, ljs_eui dev_eui, const ljs_buf *old,
                          const ljs_buf *new)
{
    struct claim had, has;
    ljs_err err = ljs__claim_read(&had, server->vault, dev_eui, old);

    if (!err)
        err = ljs__claim_read(&has, server->vault, dev_eui, new);
    if (!err)
        err = follow(out, server, has.c.account, dev_eui, true);
    if (!err)
        err = follow(out, server, has.c.offered_to, dev_eui, true);
    if (!err)
        err = follow(out, server, had.c.account, dev_eui, concerns(&has.c, had.c.account));
    if (!err)
        err = follow(out, server, had.c.offered_to, dev_eui, concerns(&has.c, had.c.offered_to));
    return err;
}

/* ---- do they agree? ------------------------------------------------------------------ */

/* What stands of a device and an account at one moment. */
struct pair {
    struct claim claim;
    ljs_buf value;
    uint64_t version, entry; /* of claim and entry; 0: there is none */
    bool bad;                /* the entry is not as it was written */
};

static ljs_err get_claim(struct pair *p, ljs_server *server, ljs_eui dev_eui)
{
    struct key key = ljs__key_eui(SPACE_CLAIM, dev_eui);
    const struct masters *had;
    ljs_err err;

    do {
        had = ljs__masters(server);
        ljs_buf_free(&p->value);
        err = ljs_store_get(&p->value, &p->version, server->store, key.at, key.len);
        if (err == LJS_E_NOTFOUND) {
            p->version = 0;
            err = LJS_OK;
        }
        if (!err)
            err = ljs__claim_read(&p->claim, server->vault, dev_eui, &p->value);
    } while (err == LJS_E_SEAL && ljs__masters_again(server, had));
    return err;
}

/* LJS_E_BUSY: never was it the same before and after. */
static ljs_err look(struct pair *p, ljs_server *server, const struct key *key, ljs_eui dev_eui)
{
    ljs_err err = get_claim(p, server, dev_eui);

    for (unsigned n = 0; !err && n < ROUNDS; n++) {
        uint64_t before = p->version;

        err = get_entry(&p->entry, server, key);
        p->bad = err == LJS_E_SEAL;
        if (!err || p->bad)
            err = get_claim(p, server, dev_eui);
        if (!err && p->version == before)
            return LJS_OK;
    }
    return err ? err : LJS_E_BUSY;
}

/* Changes that share a commit, each device a group of its own. */
struct mending {
    ljs_change change[3 * BATCH]; /* the claim as it is, so that it is still this one, and two entries */
    struct key key[3 * BATCH];
    struct owned_value value[2 * BATCH];
    ljs_buf claim[BATCH];
    size_t len, values, claims;
    ljs_eui last; /* whose the last group is */
};

struct walk {
    ljs_server *server;
    ljs_claim_index *out;
    owned_fault *fault; /* NULL: nobody is told */
    void *user;
    struct mending *mend; /* NULL: nothing is changed */
    bool again;           /* something was written meanwhile that was to be mended */
};

static ljs_err mend_all(struct walk *w)
{
    struct mending *m = w->mend;
    ljs_err err = m && m->len ? ljs_store_commit(w->server->store, m->change, m->len) : LJS_OK;

    for (size_t i = 0; m && !err && i < m->len; i++) /* after a conflict it may stand otherwise, or as it did */
        if (m->change[i].result == LJS_E_CONFLICT)
            w->again = true;
        else
            err = m->change[i].result;
    for (size_t i = 0; m && i < m->claims; i++)
        ljs_buf_free(&m->claim[i]);
    if (m)
        m->len = m->values = m->claims = 0;
    return err;
}

static void add_change(struct mending *m, const struct key *key, const uint8_t *in, size_t in_len, uint64_t version,
                       bool first)
{
    unsigned group = m->len ? m->change[m->len - 1].group + first : 0;

    m->key[m->len] = *key;
    m->change[m->len] = (ljs_change){
        .key = m->key[m->len].at, .key_len = key->len, .in = in, .in_len = in_len, .if_version = version, .group = group
    };
    m->len++;
}

static ljs_err mend(struct walk *w, struct pair *p, const struct key *key, ljs_eui dev_eui, bool wanted)
{
    struct mending *m = w->mend;
    bool same = m->len && m->claims && m->last == dev_eui;
    struct owned_value *v;
    ljs_err err = !same && (m->claims == BATCH || m->len >= 3 * BATCH - 3) ? mend_all(w) : LJS_OK;

    if (err)
        return err;
    if (!wanted) {
        add_change(m, key, NULL, 0, p->entry, true);
        m->last = 0;
        return LJS_OK;
    }
    if (!same || !m->len) {
        struct key claim = ljs__key_eui(SPACE_CLAIM, dev_eui);

        m->claim[m->claims] = p->value;
        p->value = (ljs_buf){ NULL, 0 };
        add_change(m, &claim, m->claim[m->claims].data, m->claim[m->claims].len, p->version, true);
        m->claims++;
    }
    v = &m->value[m->values++];
    *v = value_of(key);
    add_change(m, key, v->at, v->len, p->entry, false);
    m->last = dev_eui;
    return LJS_OK;
}

static ljs_err judge(struct walk *w, const char *account, const struct key *key, ljs_eui dev_eui, bool by_claim)
{
    struct pair p = { .value = { NULL, 0 } };
    ljs_err err = look(&p, w->server, key, dev_eui);
    bool wanted = !err && concerns(&p.claim.c, account), good = wanted && p.entry && !p.bad;

    if (!err && good)
        w->out->entries += by_claim;
    if (!err && !good && (wanted ? by_claim : p.entry != 0)) {
        *(wanted ? &w->out->missing : &w->out->stray) += 1;
        if (w->fault)
            err = w->fault(w->user, wanted ? LJS_AUDIT_OWNED_MISSING : LJS_AUDIT_OWNED_STRAY, dev_eui);
        if (!err && w->mend)
            err = mend(w, &p, key, dev_eui, wanted);
    }
    ljs_buf_free(&p.value);
    return err == LJS_E_BUSY || err == LJS_E_SEAL || err == LJS_E_VERSION ? LJS_OK : err; /* the claim's own fault */
}

static ljs_err one_entry(void *user, const uint8_t *at, size_t len)
{
    struct walk *w = user;
    char account[LJS_LABEL_MAX] = "";
    struct key key = { .len = len }, good;
    ljs_eui dev_eui = 0;

    if (len == mark.len || len > sizeof key.at)
        return LJS_OK;
    memcpy(key.at, at, len);
    for (size_t i = len > 9 ? len - 8 : len; i < len; i++)
        dev_eui = dev_eui << 8 | at[i];
    if (len > 10)
        memcpy(account, at + 1, len - 10);
    good = entry_key(account, dev_eui);
    if (good.len != len || memcmp(good.at, at, len) != 0) /* nobody's entry looks so */
        *account = 0;
    return judge(w, account, &key, dev_eui, false);
}

static ljs_err one_claim(void *user, ljs_eui dev_eui)
{
    struct walk *w = user;
    struct claim c;
    ljs_err err = ljs__claim_load(&c, w->server, dev_eui);
    const char *accounts[] = { c.c.account, c.c.offered_to };

    for (size_t i = 0; !err && i < COUNT(accounts); i++)
        if (*accounts[i]) {
            struct key key = entry_key(accounts[i], dev_eui);

            err = judge(w, accounts[i], &key, dev_eui, true);
        }
    return err == LJS_E_SEAL || err == LJS_E_VERSION ? LJS_OK : err;
}

static ljs_err walk(struct walk *w, bool entries)
{
    const uint8_t prefix[] = { SPACE_OWNED };
    ljs_err err = entries ? ljs_store_each(w->server->store, prefix, sizeof prefix, one_entry, w) : LJS_OK;

    if (!err)
        err = ljs__each_eui_in(w->server, SPACE_CLAIM, 0, UINT64_MAX, one_claim, w);
    return err ? err : mend_all(w);
}

static ljs_err put_mark(ljs_server *server, bool there)
{
    const struct owned_value v = value_of(&mark);
    ljs_change change = { .key = mark.at, .key_len = mark.len, .in = there ? v.at : NULL, .in_len = there ? v.len : 0 };
    ljs_err err = get_entry(&change.if_version, server, &mark);

    if (err == LJS_E_SEAL)
        err = LJS_OK;
    if (err || (!there && !change.if_version))
        return err;
    err = ljs_store_commit(server->store, &change, 1);
    return err ? err : change.result == LJS_E_CONFLICT ? LJS_OK : change.result;
}

/* Without the mark as long as it lasts: who comes after a crash begins again. */
static ljs_err build(ljs_claim_index *out, ljs_server *server, bool entries)
{
    ljs_claim_index once_more = { 0 };
    struct walk w = { .server = server, .out = out, .mend = calloc(1, sizeof *w.mend), .again = true };
    ljs_err err = w.mend ? LJS_OK : LJS_E_NOMEM;

    for (unsigned n = 0; !err && w.again; n++) {
        w.again = false;
        err = n == ROUNDS ? LJS_E_BUSY : walk(&w, entries);
        w.out = &once_more; /* it is told what was found first */
    }
    for (size_t i = 0; w.mend && i < w.mend->claims; i++)
        ljs_buf_free(&w.mend->claim[i]);
    free(w.mend);
    return err ? err : put_mark(server, true);
}

ljs_err ljs__owned_ready(ljs_server *server)
{
    ljs_claim_index done = { 0 };
    uint64_t version = 1;
    ljs_err err = ljs__server_alive(server);

    if (err || atomic_load(&server->owned_ready))
        return err;
    err = get_entry(&version, server, &mark);
    if (!err && !version)
        err = build(&done, server, false);
    if (!err)
        atomic_store(&server->owned_ready, true);
    return err;
}

ljs_err ljs_server_index_claims(ljs_claim_index *out, ljs_server *server, int dry)
{
    struct walk w = { .server = server, .out = out };
    ljs_err err = ljs__server_alive(server);

    *out = (ljs_claim_index){ .struct_size = sizeof *out };
    if (err)
        return err;
    if (dry)
        return walk(&w, true);
    err = put_mark(server, false);
    return err ? err : build(out, server, true);
}

ljs_err ljs__owned_verify(ljs_server *server, owned_fault *fault, void *user)
{
    ljs_claim_index out = { 0 };
    struct walk w = { .server = server, .out = &out, .fault = fault, .user = user };
    uint64_t version;
    ljs_err err = get_entry(&version, server, &mark);

    if (err == LJS_E_SEAL)
        return fault(user, LJS_AUDIT_OWNED_STRAY, 0);
    return err || !version ? err : walk(&w, true); /* a store from before has none */
}

ljs_err ljs__owned_check(const uint8_t *key, size_t key_len, const ljs_buf *old)
{
    if (key_len > 1 + LJS_LABEL_MAX || old->len != 1 + key_len || old->data[0] != ENTRY_SCHEMA ||
        memcmp(old->data + 1, key, key_len) != 0)
        return LJS_E_SEAL;
    return LJS_OK;
}

/* ---- whose are they? ------------------------------------------------------------------- */

struct visit {
    ljs_server *server;
    const char *account;
    ljs_claim_row *row;
    void *user;
};

/* The claim has the say, whatever the entry's value is: what is damaged hides nothing. */
static ljs_err visit_one(void *user, ljs_eui dev_eui)
{
    const struct visit *v = user;
    struct claim claim;
    ljs_err err = ljs__claim_load(&claim, v->server, dev_eui);

    return err || !concerns(&claim.c, v->account) ? err : v->row(v->user, &claim.c);
}

ljs_err ljs_server_each_claim_of(ljs_server *server, const char *account, ljs_eui first, ljs_eui last,
                                 ljs_claim_row *row, void *user)
{
    struct visit v = { server, account, row, user };
    struct key prefix;
    ljs_account a;
    ljs_err err = ljs_server_get_account(&a, server, account);

    if (!err)
        err = ljs__owned_ready(server);
    if (err) /* who is not there has nothing, and does not make anybody write an index either */
        return err == LJS_E_NOTFOUND ? LJS_OK : err;
    prefix = under(account);
    return ljs__each_eui_under(server, &prefix, first, last, visit_one, &v);
}
