/* The index of what accounts own: it says what the claims say, after every act, in a store from before, after any
 * crash, and where somebody wrote to the disk; and what belongs to an account ends before it. */
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

static void add_account(const char *name)
{
    ljs_account a = { .struct_size = sizeof a, .at = NOW };

    strcpy(a.name, name);
    assert_int_equal(ljs_server_add_account(w.server, &a), LJS_OK);
}

static void owned_begin(void)
{
    ljs_store *inner, *store;

    assert_int_equal(ljs_store_memory(&inner), LJS_OK);
    assert_int_equal(faulty_new(&store, &faulty, inner), LJS_OK);
    server_begin(&w, store, &lab);
    add_devices(&w, DEVICES);
    for (unsigned i = 0; i < COUNT_OF(names); i++)
        add_account(names[i]);
}

static ljs_claim_req req_of(ljs_claim_act act, unsigned device, const char *account, const char *to)
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

static ljs_err act(ljs_claim_act what, unsigned device, const char *account, const char *to)
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

static ljs_err add_row(void *user, const ljs_claim *c)
{
    struct list *l = user;

    if (l->account && strcmp(c->account, l->account) != 0 && strcmp(c->offered_to, l->account) != 0)
        return LJS_OK;
    assert_true(l->len < LIST_MAX);
    l->at[l->len++] = c->dev_eui;
    return l->len == l->most ? LJS_E_BUSY : LJS_OK;
}

static bool agree(const char *account)
{
    struct list by_index = { .len = 0 }, by_claims = { .account = account };

    assert_int_equal(ljs_server_each_claim_of(w.server, account, 0, UINT64_MAX, add_row, &by_index), LJS_OK);
    assert_int_equal(ljs_server_each_claim_in(w.server, 0, UINT64_MAX, add_row, &by_claims), LJS_OK);
    return by_index.len == by_claims.len && !memcmp(by_index.at, by_claims.at, by_index.len * sizeof *by_index.at);
}

/* Of what the index has, as the claims have it: nothing that is not the account's, nothing twice. */
static bool agree_where_it_is(const char *account)
{
    struct list by_index = { .len = 0 };

    assert_int_equal(ljs_server_each_claim_of(w.server, account, DEV + 3, DEV + 3, add_row, &by_index), LJS_OK);
    return by_index.len == 1 && by_index.at[0] == DEV + 3;
}

static unsigned faults(void)
{
    ljs_audit_report *report;
    ljs_audit_totals totals;

    assert_int_equal(ljs_server_verify_audit(&report, w.server, NULL, 0), LJS_OK);
    assert_int_equal(ljs_audit_report_totals(&totals, report), LJS_OK);
    ljs_audit_report_free(report);
    return (unsigned)totals.findings;
}

static void check(void)
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

static ljs_err drop_row(void *user, const uint8_t *key, size_t len)
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
static unsigned drop_index(bool mark_too)
{
    struct drop d = { mark_too, 0 };
    const uint8_t prefix[] = { SPACE_OWNED };

    assert_int_equal(ljs_store_each(w.store, prefix, sizeof prefix, drop_row, &d), LJS_OK);
    return d.dropped;
}

static ljs_err put_entry(const char *account, ljs_eui dev_eui, bool right)
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
static void another_server(void)
{
    ljs_server_opts opts = lab;

    ljs_server_free(w.server);
    assert_int_equal(ljs_server_new(&w.server, vault, w.store, &opts), LJS_OK);
}

/* ---- tests ------------------------------------------------------------------------------- */

static void test_every_act(void **state)
{
    static const struct {
        ljs_claim_act act;
        unsigned device;
        const char *account, *to;
    } acts[] = {
        { LJS_CLAIM_ENROL, 0, "", "" },           { LJS_CLAIM_CLAIM, 0, "acme", "" },
        { LJS_CLAIM_ASSIGN, 1, "acme", "" },      { LJS_CLAIM_ASSIGN, 2, "acme.b", "" },
        { LJS_CLAIM_OFFER, 1, "acme", "globex" }, { LJS_CLAIM_OFFER, 1, "acme", "acme.b" },
        { LJS_CLAIM_WITHDRAW, 1, "acme", "" },    { LJS_CLAIM_OFFER, 1, "acme", "globex" },
        { LJS_CLAIM_ACCEPT, 1, "globex", "" },    { LJS_CLAIM_OFFER, 0, "acme", "globex" },
        { LJS_CLAIM_SUSPEND, 0, "", "" },         { LJS_CLAIM_RESUME, 0, "", "" },
        { LJS_CLAIM_CLAIM, 0, "acme", "" },       { LJS_CLAIM_RELEASE, 0, "acme", "" },
        { LJS_CLAIM_CLAIM, 0, "globex", "" },     { LJS_CLAIM_OFFER, 2, "acme.b", "acme" },
        { LJS_CLAIM_RETIRE, 2, "", "" },          { LJS_CLAIM_RETIRE, 0, "", "" },
        { LJS_CLAIM_ASSIGN, 3, "acme", "" },      { LJS_CLAIM_OFFER, 3, "acme", "globex" },
    };

    (void)state;
    owned_begin();
    check();
    for (size_t i = 0; i < COUNT_OF(acts); i++) {
        assert_int_equal(act(acts[i].act, acts[i].device, acts[i].account, acts[i].to), LJS_OK);
        check();
        (void)!act(acts[i].act, 4, "acme", "globex"); /* of another device, as far as it goes */
        check();
    }
    assert_int_equal(ljs_server_step_device(w.server, DEV + 3, LJS_DEVICE_REMOVE), LJS_OK); /* owned, and offered */
    check();
    assert_int_equal(ljs_server_each_claim_of(w.server, "no/name", 0, UINT64_MAX, add_row, NULL), LJS_E_INVAL);
    server_end(&w);
}

static void test_a_page(void **state)
{
    struct list l = { .most = 2 };

    (void)state;
    owned_begin();
    for (unsigned i = 0; i < DEVICES; i++)
        assert_int_equal(act(LJS_CLAIM_ASSIGN, i, i % 2 ? "acme" : "acme.b", ""), LJS_OK);
    assert_int_equal(ljs_server_each_claim_of(w.server, "acme", DEV + 2, UINT64_MAX, add_row, &l), LJS_E_BUSY);
    assert_true(l.len == 2 && l.at[0] == DEV + 3 && l.at[1] == DEV + 5);
    l.len = 0;
    assert_int_equal(ljs_server_each_claim_of(w.server, "acme", DEV, DEV + 2, add_row, &l), LJS_OK);
    assert_true(l.len == 1 && l.at[0] == DEV + 1);
    server_end(&w);
}

/* A store of before, with a crash at each commit on the way; the mark comes last. */
static void test_from_before(void **state)
{
    unsigned had;

    (void)state;
    owned_begin();
    for (unsigned i = 0; i < DEVICES - 1; i++)
        assert_int_equal(act(LJS_CLAIM_ASSIGN, i, names[i % 3], ""), LJS_OK);
    assert_int_equal(act(LJS_CLAIM_OFFER, 0, "acme", "globex"), LJS_OK);
    had = DEVICES + 1; /* five owners, an offer, and the mark */
    for (unsigned nth = 1; nth <= 2; nth++)
        for (enum fault fault = FAULT_BEFORE; fault <= FAULT_SOME; fault++) {
            struct list l = { .len = 0 };

            assert_int_equal(drop_index(true), had);
            another_server();
            assert_int_equal(faults(), 0); /* it has none, and needs none as yet */
            faulty_arm(faulty, FAULTY_COMMIT, nth, fault, 0);
            (void)!ljs_server_each_claim_of(w.server, "acme", 0, UINT64_MAX, add_row, &l);
            faulty_arm(faulty, FAULTY_COMMIT, 1, FAULT_NONE, 0);
            another_server();
            check();
        }
    assert_int_equal(act(LJS_CLAIM_RELEASE, 0, "acme", ""), LJS_OK);
    check();
    server_end(&w);
}

/* Nobody's name is asked for: no index is made for that, and a reader stays one. */
static void test_nobody(void **state)
{
    struct list l = { .len = 0 };

    (void)state;
    owned_begin();
    assert_int_equal(act(LJS_CLAIM_ASSIGN, 0, "acme", ""), LJS_OK);
    drop_index(true);
    another_server();
    assert_int_equal(ljs_server_each_claim_of(w.server, "initech", 0, UINT64_MAX, add_row, &l), LJS_OK);
    assert_int_equal(l.len, 0);
    assert_int_equal(drop_index(true), 0);
    server_end(&w);
}

/* In a store of before a claim's own act brings its entry, so that none is missed meanwhile. */
static void test_acts_while_there_is_none(void **state)
{
    (void)state;
    owned_begin();
    assert_int_equal(act(LJS_CLAIM_ASSIGN, 0, "acme", ""), LJS_OK);
    assert_int_equal(act(LJS_CLAIM_ASSIGN, 1, "acme", ""), LJS_OK);
    drop_index(true);
    another_server();
    assert_int_equal(act(LJS_CLAIM_OFFER, 0, "acme", "globex"), LJS_OK);
    assert_int_equal(act(LJS_CLAIM_RELEASE, 1, "acme", ""), LJS_OK);
    check();
    server_end(&w);
}

static void test_mending(void **state)
{
    ljs_claim_index found;

    (void)state;
    owned_begin();
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(act(LJS_CLAIM_ASSIGN, i, names[i % 3], ""), LJS_OK);
    assert_int_equal(act(LJS_CLAIM_OFFER, 0, "acme", "globex"), LJS_OK);
    assert_int_equal(drop_index(false), 5);
    assert_int_equal(put_entry("globex", DEV + 3, true), LJS_OK);  /* acme's */
    assert_int_equal(put_entry("nobody", DEV + 99, true), LJS_OK); /* no device at all */
    assert_int_equal(put_entry("acme", DEV + 3, false), LJS_OK);   /* not as it was written */
    assert_false(agree("acme.b"));
    assert_true(agree_where_it_is("acme")); /* what is damaged hides nothing, and the claim has the say */
    assert_true(faults() >= 7);
    assert_int_equal(ljs_server_index_claims(&found, w.server, 1), LJS_OK);
    assert_true(found.entries == 0 && found.missing == 5 && found.stray == 2);
    assert_false(agree("acme.b"));
    assert_int_equal(ljs_server_index_claims(&found, w.server, 0), LJS_OK);
    assert_true(found.missing == 5 && found.stray == 2);
    check();
    assert_int_equal(ljs_server_index_claims(&found, w.server, 0), LJS_OK);
    assert_true(found.entries == 5 && found.missing == 0 && found.stray == 0);
    assert_int_equal(put_entry("acme", DEV + 1, true), LJS_OK);
    assert_true(agree("acme")); /* the claim has the say */
    assert_int_equal(faults(), 1);
    assert_int_equal(ljs_server_index_claims(&found, w.server, 0), LJS_OK);
    check();
    server_end(&w);
}

/* Another master key changes nothing of it, and the old one can be retired. */
static void another_master_key(void)
{
    ljs_rewrap *rewrap;
    ljs_rewrapped done = { .done = 0 };
    ljs_key *to;

    assert_int_equal(ljs_key_generate(&to, LJS_MASTER_LEN), LJS_OK);
    assert_int_equal(ljs_server_rotate(w.server, to), LJS_OK);
    ljs_key_free(to);
    assert_int_equal(ljs_rewrap_new(&rewrap, w.server), LJS_OK);
    while (!done.done)
        assert_int_equal(ljs_rewrap_step(&done, rewrap, 64), LJS_OK);
    assert_int_equal(done.damaged, 0);
    assert_int_equal(ljs_rewrap_retire(rewrap, 0), LJS_OK);
    ljs_rewrap_free(rewrap);
}

static void test_another_master_key(void **state)
{
    (void)state;
    owned_begin();
    assert_int_equal(act(LJS_CLAIM_ASSIGN, 0, "acme", ""), LJS_OK);
    another_master_key();
    check();
    server_end(&w);
}

/* ---- at the same time ------------------------------------------------------------------------- */

/* A store in whose commit something else happens first, once. */
struct between {
    ljs_store *inner;
    void (*first)(void);
    unsigned after;        /* so many commits */
    unsigned looks, at[2]; /* before which look at a value it is released, and assigned again; 0: never */
    bool busy;             /* with that */
};
static struct between between;

static ljs_err b_get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    struct between *b = self;
    unsigned look = b->busy ? 0 : ++b->looks;

    for (unsigned i = 0; look && i < 2; i++)
        if (look == b->at[i]) {
            b->busy = true;
            assert_int_equal(act(i ? LJS_CLAIM_ASSIGN : LJS_CLAIM_RELEASE, 0, "acme", ""), LJS_OK);
            b->busy = false;
        }
    return ljs_store_get(out, version, b->inner, key, key_len);
}

static ljs_err b_commit(void *self, ljs_change *changes, size_t len)
{
    struct between *b = self;
    void (*first)(void) = b->after ? NULL : b->first;

    b->after -= b->after != 0;
    b->first = first ? NULL : b->first;
    if (first)
        first();
    return ljs_store_commit(b->inner, changes, len);
}

static ljs_err b_each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    return ljs_store_each(((struct between *)self)->inner, prefix, prefix_len, row, user);
}

static void b_close(void *self)
{
    ljs_store_free(((struct between *)self)->inner);
}

static const ljs_store_ops between_ops = {
    .struct_size = sizeof between_ops, .get = b_get, .commit = b_commit, .each = b_each, .close = b_close
};

static void begin_between(void)
{
    ljs_store *store;

    between = (struct between){ .first = NULL };
    assert_int_equal(ljs_store_memory(&between.inner), LJS_OK);
    assert_int_equal(ljs_store_custom(&store, &between_ops, &between), LJS_OK);
    server_begin(&w, store, &lab);
}

/* A claim that is written anew, and says the same, is a conflict for whoever makes the index, and nobody has seen to
 * its entries. */
static void test_another_master_key_meanwhile(void **state)
{
    ljs_claim_index found;

    (void)state;
    begin_between();
    add_devices(&w, 3);
    add_account("acme");
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(act(LJS_CLAIM_ASSIGN, i, "acme", ""), LJS_OK);
    drop_index(true);
    another_server();
    between.first = another_master_key;
    assert_true(agree("acme"));
    assert_null(between.first);
    assert_int_equal(faults(), 0);
    drop_index(false);
    between.first = another_master_key;
    between.after = 1; /* that of the mark, which goes first */
    assert_int_equal(ljs_server_index_claims(&found, w.server, 0), LJS_OK);
    assert_null(between.first);
    assert_true(found.missing == 3 && found.stray == 0);
    assert_true(agree("acme"));
    assert_int_equal(faults(), 0);
    server_end(&w);
}

static void late_release(void)
{
    assert_int_equal(act(LJS_CLAIM_RELEASE, 0, "acme", ""), LJS_OK);
}

/* What is released just before its entry is written has none after. */
static void test_a_release_meanwhile(void **state)
{
    (void)state;
    begin_between();
    add_devices(&w, 2);
    add_account("acme");
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(act(LJS_CLAIM_ASSIGN, i, "acme", ""), LJS_OK);
    drop_index(true);
    another_server();
    between.first = late_release;
    assert_true(agree("acme"));
    assert_null(between.first);
    assert_int_equal(faults(), 0);
    server_end(&w);
}

/* Whoever mends the index while a device is released and assigned again, at whichever two moments, leaves it whole. */
static void test_mending_meanwhile(void **state)
{
    ljs_claim_index found;
    bool late = false;

    (void)state;
    for (unsigned first = 1; !late; first++)
        for (unsigned second = first + 1; second < first + 6; second++) {
            begin_between();
            add_devices(&w, 1);
            add_account("acme");
            assert_int_equal(act(LJS_CLAIM_ASSIGN, 0, "acme", ""), LJS_OK);
            between.looks = 0;
            between.at[0] = first;
            between.at[1] = second;
            assert_int_equal(ljs_server_index_claims(&found, w.server, 0), LJS_OK);
            late = between.looks < first;
            between.at[0] = between.at[1] = 0;
            assert_true(agree("acme"));
            assert_int_equal(faults(), 0);
            server_end(&w);
        }
}

/* ---- the end of an account --------------------------------------------------------------------- */

static ljs_err add_credential(const char *account)
{
    ljs_credential c = { .struct_size = sizeof c, .name = "late", .roles = LJS_ROLE_CLAIM, .at = NOW };
    ljs_buf token;
    ljs_err err;

    strcpy(c.account, account);
    err = ljs_server_add_credential(&token, w.server, &c);
    ljs_buf_free(&token);
    return err;
}

static ljs_err raced;

static void late_credential(void)
{
    raced = add_credential("acme");
}

static void late_kek(void)
{
    raced = ljs_server_put_kek(w.server, "@acme/late", ns_kek, 0);
}

static void late_end(void)
{
    raced = ljs_server_del_account(w.server, "acme");
}

static void test_nothing_dangles(void **state)
{
    static void (*const late[])(void) = { late_credential, late_kek };
    ljs_account a;
    ljs_kek kek;

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(late); i++) {
        begin_between();
        add_account("acme");
        /* The account is about to end, and somebody is given something of it. */
        between.first = late[i];
        assert_int_equal(ljs_server_del_account(w.server, "acme"), LJS_E_STATE);
        assert_int_equal(raced, LJS_OK);
        assert_int_equal(ljs_server_get_account(&a, w.server, "acme"), LJS_OK);
        if (i)
            assert_int_equal(ljs_server_del_kek(w.server, "@acme/late"), LJS_OK);
        else
            assert_int_equal(ljs_server_del_credential(w.server, "late"), LJS_OK);
        /* And the other way about. */
        between.first = late_end;
        assert_int_equal(i ? ljs_server_put_kek(w.server, "@acme/late", ns_kek, 0) : add_credential("acme"),
                         LJS_E_NOTFOUND);
        assert_int_equal(raced, LJS_OK);
        assert_int_equal(ljs_server_get_kek(&kek, w.server, "@acme/late"), LJS_E_NOTFOUND);
        assert_int_equal(ljs_server_del_credential(w.server, "late"), LJS_E_NOTFOUND);
        server_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_act),
        cmocka_unit_test(test_a_page),
        cmocka_unit_test(test_from_before),
        cmocka_unit_test(test_acts_while_there_is_none),
        cmocka_unit_test(test_mending),
        cmocka_unit_test(test_another_master_key),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_nothing_dangles),
        cmocka_unit_test(test_another_master_key_meanwhile),
        cmocka_unit_test(test_a_release_meanwhile),
        cmocka_unit_test(test_mending_meanwhile),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
