/* owned_world.h -- a server with accounts and devices, and what the index of what they own says beside the claims. */
#ifndef OWNED_WORLD_H
#define OWNED_WORLD_H

#include "server/claim.h"

#include <lorajs/master.h>
#include <lorajs/rewrap.h>

#include "audit_world.h"
#include "contract/faulty.h"

enum { NOW = 1800000000, DEVICES = 6, LIST_MAX = 64 };
static const char *const names[] = { "acme", "acme.b", "globex" }; /* one name begins as another does */

static struct world w;
static struct faulty *faulty;

/* ---- a world ---------------------------------------------------------------------------- */

static inline void add_account(const char *name)
{
    ljs_account a = { .struct_size = sizeof a, .at = NOW };

    strcpy(a.name, name);
    assert_int_equal(ljs_server_add_account(w.server, &a), LJS_OK);
}

static inline void owned_begin(void)
{
    ljs_store *inner, *store;

    assert_int_equal(ljs_store_memory(&inner), LJS_OK);
    assert_int_equal(faulty_new(&store, &faulty, inner), LJS_OK);
    server_begin(&w, store, &lab);
    add_devices(&w, DEVICES);
    for (unsigned i = 0; i < COUNT_OF(names); i++)
        add_account(names[i]);
}

static inline ljs_claim_req req_of(ljs_claim_act act, unsigned device, const char *account, const char *to)
{
    ljs_claim_req req = { .struct_size = sizeof req, .now = NOW, .act = act, .dev_eui = DEV + device };

    strcpy(req.account, account);
    strcpy(req.client, "client");
    strcpy(req.to, to);
    req.keep_token = 1;
    if (act == LJS_CLAIM_OFFER)
        req.until = NOW + 1000;
    req.routing = (ljs_routing){
        .struct_size = sizeof req.routing, .set = LJS_ROUTE_HOME_NET_ID, .has_home_net_id = 1, .home_net_id = 0x13
    };
    return req;
}

static inline ljs_err act(ljs_claim_act what, unsigned device, const char *account, const char *to)
{
    ljs_claim_req req = req_of(what, device, account, to);
    bool token = what == LJS_CLAIM_ENROL || what == LJS_CLAIM_CLAIM;
    ljs_buf out;
    ljs_err err = ljs_server_claim(&out, w.server, &req, (const uint8_t *)(token ? "C05EA29C" : NULL), token ? 8 : 0);

    ljs_buf_free(&out);
    return err;
}

struct list {
    const char *account; /* of all: only what concerns it */
    ljs_eui at[LIST_MAX];
    size_t len, most;
};

static inline ljs_err add_row(void *user, const ljs_claim *c)
{
    struct list *l = user;

    if (l->account && strcmp(c->account, l->account) != 0 && strcmp(c->offered_to, l->account) != 0)
        return LJS_OK;
    assert_true(l->len < LIST_MAX);
    l->at[l->len++] = c->dev_eui;
    return l->len == l->most ? LJS_E_BUSY : LJS_OK;
}

static inline bool agree(const char *account)
{
    struct list by_index = { .len = 0 }, by_claims = { .account = account };

    assert_int_equal(ljs_server_each_claim_of(w.server, account, 0, UINT64_MAX, add_row, &by_index), LJS_OK);
    assert_int_equal(ljs_server_each_claim_in(w.server, 0, UINT64_MAX, add_row, &by_claims), LJS_OK);
    return by_index.len == by_claims.len && !memcmp(by_index.at, by_claims.at, by_index.len * sizeof *by_index.at);
}

/* Of what the index has, as the claims have it: nothing that is not the account's, nothing twice. */
static inline bool agree_where_it_is(const char *account)
{
    struct list by_index = { .len = 0 };

    assert_int_equal(ljs_server_each_claim_of(w.server, account, DEV + 3, DEV + 3, add_row, &by_index), LJS_OK);
    return by_index.len == 1 && by_index.at[0] == DEV + 3;
}

static inline unsigned faults(void)
{
    ljs_audit_report *report;
    ljs_audit_totals totals;

    assert_int_equal(ljs_server_verify_audit(&report, w.server, NULL, 0), LJS_OK);
    assert_int_equal(ljs_audit_report_totals(&totals, report), LJS_OK);
    ljs_audit_report_free(report);
    return (unsigned)totals.findings;
}

static inline void check(void)
{
    for (unsigned i = 0; i < COUNT_OF(names); i++)
        assert_true(agree(names[i]));
    assert_int_equal(faults(), 0);
}

/* ---- keys of the store ------------------------------------------------------------------- */

struct drop {
    bool mark_too;
    unsigned dropped;
};

static inline ljs_err drop_row(void *user, const uint8_t *key, size_t len)
{
    struct drop *d = user;
    ljs_change change = { .key = key, .key_len = len };
    ljs_buf value;

    if (len == 1 && !d->mark_too)
        return LJS_OK;
    assert_int_equal(ljs_store_get(&value, &change.if_version, w.store, key, len), LJS_OK);
    ljs_buf_free(&value);
    assert_int_equal(ljs_store_commit(w.store, &change, 1), LJS_OK);
    d->dropped++;
    return change.result;
}

/* As a lorajs without an index has left it, or whoever writes to the disk. */
static inline unsigned drop_index(bool mark_too)
{
    struct drop d = { mark_too, 0 };
    const uint8_t prefix[] = { SPACE_OWNED };

    assert_int_equal(ljs_store_each(w.store, prefix, sizeof prefix, drop_row, &d), LJS_OK);
    return d.dropped;
}

static inline ljs_err put_entry(const char *account, ljs_eui dev_eui, bool right)
{
    struct key key = ljs__key_label(SPACE_OWNED, account), eui = ljs__key_eui(SPACE_OWNED, dev_eui);
    uint8_t value[256] = { 1 };
    ljs_change change = { .in = value };

    key.at[key.len++] = 0;
    memcpy(key.at + key.len, eui.at + 1, 8);
    key.len += 8;
    memcpy(value + 1, key.at, key.len);
    value[1] ^= !right;
    change.key = key.at;
    change.key_len = key.len;
    change.in_len = 1 + key.len;
    assert_int_equal(ljs_store_commit(w.store, &change, 1), LJS_OK);
    return change.result;
}

/* Another server over the same store, which has asked it nothing yet. */
static inline void another_server(void)
{
    ljs_server_opts opts = lab;

    ljs_server_free(w.server);
    assert_int_equal(ljs_server_new(&w.server, vault, w.store, &opts), LJS_OK);
}

/* ---- another master key ------------------------------------------------------------------ */

static inline void rotated(void)
{
    ljs_key *to;

    assert_int_equal(ljs_key_generate(&to, LJS_MASTER_LEN), LJS_OK);
    assert_int_equal(ljs_server_rotate(w.server, to), LJS_OK);
    ljs_key_free(to);
}

static inline void rewrapped(unsigned damaged)
{
    ljs_rewrap *rewrap;
    ljs_rewrapped done = { .done = 0 };

    assert_int_equal(ljs_rewrap_new(&rewrap, w.server), LJS_OK);
    while (!done.done)
        assert_int_equal(ljs_rewrap_step(&done, rewrap, 64), LJS_OK);
    assert_int_equal(done.damaged, damaged);
    assert_int_equal(ljs_rewrap_retire(rewrap, 0), damaged ? LJS_E_STATE : LJS_OK);
    ljs_rewrap_free(rewrap);
}

static inline void another_master_key(void)
{
    rotated();
    rewrapped(0);
}

#endif
