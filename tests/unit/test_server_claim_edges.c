/* Claims at their edges: what is written with them stands or falls with them, what a device leaves behind that is
 * removed, labels that are nobody's, clocks that are set back, and who is done for while he claims. */
#include "server/claim.h"

#include "audit_world.h"
#include "contract/faulty.h"

enum { NOW = 1800000000 };

static struct world w;
static struct faulty *faulty;

static void account(const char *name)
{
    ljs_account a = { .struct_size = sizeof a, .at = NOW };

    snprintf(a.name, sizeof a.name, "%s", name);
    assert_int_equal(ljs_server_add_account(w.server, &a), LJS_OK);
}

static void edges_begin(void)
{
    ljs_store *memory, *store;

    assert_int_equal(ljs_store_memory(&memory), LJS_OK);
    assert_int_equal(faulty_new(&store, &faulty, memory), LJS_OK);
    server_begin(&w, store, &lab);
    add_devices(&w, 2);
    account("acme");
    account("globex");
}

static ljs_claim_req req_of(ljs_claim_act act, const char *name)
{
    ljs_claim_req req = { .struct_size = sizeof req, .now = NOW, .act = act, .dev_eui = DEV };

    snprintf(req.account, sizeof req.account, "%s", name);
    snprintf(req.client, sizeof req.client, "of-%s", name);
    req.routing =
        (ljs_routing){ .struct_size = sizeof req.routing, .set = LJS_ROUTE_HOME_NET_ID, .has_home_net_id = 1 };
    return req;
}

static ljs_err act(const ljs_claim_req *req, const char *token)
{
    ljs_buf got;
    ljs_err err = ljs_server_claim(&got, w.server, req, (const uint8_t *)token, strlen(token));

    ljs_buf_free(&got);
    return err;
}

static ljs_err simply(ljs_claim_act what, const char *name, const char *token)
{
    ljs_claim_req req = req_of(what, name);

    return act(&req, token);
}

static ljs_claim claim_now(void)
{
    ljs_claim c;

    assert_int_equal(ljs_server_get_claim(&c, w.server, DEV), LJS_OK);
    return c;
}

/* ---- a KEK that comes with a claim ------------------------------------------------------------- */

static ljs_err with_kek(const ljs_key *key, const char *label, const char *token, bool dry)
{
    const struct claim_kek kek = { label, key };
    ljs_claim_req req = req_of(LJS_CLAIM_CLAIM, "acme");
    ljs_buf none;
    ljs_err err;

    req.dry = dry;
    err = ljs__claim(&none, w.server, &req, (const uint8_t *)token, strlen(token), &kek, NULL);
    assert_null(none.data);
    return err;
}

static bool has_kek(const char *label)
{
    ljs_kek kek;
    ljs_err err = ljs_server_get_kek(&kek, w.server, label);

    assert_true(!err || err == LJS_E_NOTFOUND);
    return !err;
}

/* Whichever commit fails, before it is done or behind it: the device is the account's and the KEK is there, or neither.
 */
static void test_a_kek_goes_with_its_claim(void **state)
{
    const enum fault faults[] = { FAULT_BEFORE, FAULT_AFTER };
    unsigned failed = 0, done = 0;
    char most[LJS_LABEL_MAX];
    struct told told;

    (void)state;
    for (unsigned nth = 1; nth <= 4; nth++)
        for (unsigned f = 0; f < COUNT_OF(faults); f++) {
            bool claimed;
            ljs_err err;

            edges_begin();
            assert_int_equal(simply(LJS_CLAIM_ENROL, "", "C05EA29C"), LJS_OK);
            faulty_arm(faulty, FAULTY_COMMIT, nth, faults[f], 0);
            err = with_kek(other_nwk, "main", "C05EA29C", false);
            faulty_arm(faulty, FAULTY_COMMIT, 1, FAULT_NONE, 0);
            claimed = claim_now().state == LJS_CLAIM_IS_CLAIMED;
            assert_int_equal(claimed, has_kek("@acme/main"));
            assert_true(err || claimed);
            failed += err != LJS_OK;
            done += claimed;
            server_end(&w);
        }
    assert_true(failed >= 2 && done >= 2);

    edges_begin();
    assert_int_equal(simply(LJS_CLAIM_ENROL, "", "C05EA29C"), LJS_OK);
    assert_int_equal(with_kek(other_nwk, "main", "C05EA29D", false), LJS_E_CLAIM);
    assert_int_equal(with_kek(other_nwk, "main", "C05EA29C", true), LJS_OK);
    memset(most, 'x', sizeof most);
    most[LJS_LABEL_MAX - 1] = 0; /* with the account before it too long */
    assert_int_equal(with_kek(other_nwk, most, "C05EA29C", false), LJS_E_INVAL);
    assert_int_equal(with_kek(other_nwk, "", "C05EA29C", false), LJS_E_INVAL);
    assert_int_equal(claim_now().state, LJS_CLAIM_IS_UNCLAIMED);
    assert_false(has_kek("@acme/main"));
    assert_int_equal(with_kek(other_nwk, "main", "C05EA29C", false), LJS_OK);
    assert_int_equal(with_kek(other_nwk, "main", "", false), LJS_OK); /* the same is no change, */
    assert_int_equal(with_kek(other_app, "main", "", false), LJS_OK); /* and another is */
    told = log_of(w.server);
    unsigned puts = 0;
    for (unsigned i = 0; i < told.entries; i++)
        if (told.entry[i].kind == LJS_AUDIT_KEK_PUT) {
            assert_string_equal(told.entry[i].text, "@acme/main");
            assert_int_equal(told.entry[i - 1].kind, LJS_AUDIT_CLAIM);
            assert_int_equal(told.link[i].sequence, told.link[i - 1].sequence);
            puts++;
        }
    assert_int_equal(puts, 2);
    server_end(&w);
}

/* ---- labels ---------------------------------------------------------------------------------------- */

/* What begins with '@' loses that on the wire, so it is an account's or it is not at all. */
static void test_labels_of_accounts_are_theirs(void **state)
{
    static const char *const none[] = { "@", "@acme", "@acme/", "@/main", "@ac me/main" };
    char longer[LJS_LABEL_MAX] = "@";
    ljs_peers *peers;

    (void)state;
    edges_begin();
    for (size_t i = 0; i < COUNT_OF(none); i++)
        assert_int_equal(ljs_server_put_kek(w.server, none[i], other_nwk, 0), LJS_E_INVAL);
    memset(longer + 1, 'x', LJS_ACCOUNT_MAX);
    strcpy(longer + 1 + LJS_ACCOUNT_MAX, "/main");
    assert_int_equal(ljs_server_put_kek(w.server, longer, other_nwk, 0), LJS_E_INVAL);
    assert_int_equal(ljs_server_put_kek(w.server, "@nobody/main", other_nwk, 0), LJS_E_NOTFOUND);
    assert_int_equal(ljs_server_put_kek(w.server, "@acme/main", other_nwk, 0), LJS_OK);
    assert_int_equal(ljs_server_put_kek(w.server, "@acme/next", other_nwk, 0), LJS_OK);
    assert_int_equal(ljs_server_put_kek(w.server, "@globex/main", other_nwk, 0), LJS_OK);
    assert_int_equal(ljs_server_put_kek(w.server, "main", other_nwk, 0), LJS_OK);
    assert_int_equal(ljs_server_put_kek(w.server, "a@b/main", other_nwk, 0), LJS_OK);

    /* Nor is one used in the place of another's. */
    assert_int_equal(ljs_server_rotate_kek(w.server, "@acme/main", "main", NULL, LJS_USE_AS), LJS_E_INVAL);
    assert_int_equal(ljs_server_rotate_kek(w.server, "main", "@acme/main", NULL, LJS_USE_AS), LJS_E_INVAL);
    assert_int_equal(ljs_server_rotate_kek(w.server, "@acme/main", "@globex/main", NULL, LJS_USE_AS), LJS_E_INVAL);
    account("emca");
    assert_int_equal(ljs_server_put_kek(w.server, "@emca/main", other_nwk, 0), LJS_OK);
    assert_int_equal(ljs_server_rotate_kek(w.server, "@acme/main", "@emca/main", NULL, LJS_USE_AS), LJS_E_INVAL);
    assert_int_equal(ljs_server_rotate_kek(w.server, "@acme/main", "@acme/next", NULL, LJS_USE_AS), LJS_OK);

    assert_int_equal(ljs_peers_new(&peers), LJS_OK);
    assert_int_equal(ljs_peers_add(peers, "ns", 0), LJS_OK);
    assert_int_equal(ljs_peers_add_kek(peers, "ns", "@acme/main"), LJS_E_INVAL);
    assert_int_equal(ljs_peers_add_kek(peers, "ns", "main"), LJS_OK);
    ljs_peers_free(peers);

    /* Who has the name next finds no key under it. */
    assert_int_equal(ljs_server_del_account(w.server, "acme"), LJS_E_STATE);
    assert_int_equal(ljs_server_rotate_kek(w.server, "@acme/main", "@acme/main", NULL, LJS_USE_AS), LJS_OK);
    assert_int_equal(ljs_server_del_kek(w.server, "@acme/main"), LJS_OK);
    assert_int_equal(ljs_server_del_kek(w.server, "@acme/next"), LJS_OK);
    assert_int_equal(ljs_server_del_account(w.server, "acme"), LJS_OK);
    assert_int_equal(ljs_server_put_kek(w.server, "@acme/main", other_nwk, 0), LJS_E_NOTFOUND);
    server_end(&w);
}

/* ---- removed --------------------------------------------------------------------------------------- */

/* Who owned a device that is removed has nothing of it when it comes again, nor is it in the way of his own end. */
static void test_removed_is_nobodys(void **state)
{
    const ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_claim_req req;
    ljs_claim c;

    (void)state;
    edges_begin();
    assert_int_equal(simply(LJS_CLAIM_ENROL, "", "C05EA29C"), LJS_OK);
    req = req_of(LJS_CLAIM_CLAIM, "acme");
    req.keep_token = req.unlocked = 1;
    assert_int_equal(act(&req, "C05EA29C"), LJS_OK);
    req = req_of(LJS_CLAIM_OFFER, "acme");
    strcpy(req.to, "globex");
    req.until = NOW + 60;
    assert_int_equal(act(&req, ""), LJS_OK);
    assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_REMOVE), LJS_OK);
    assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_REMOVE), LJS_E_STATE);
    assert_int_equal(ljs_server_get_claim(&c, w.server, DEV), LJS_E_NOTFOUND);
    assert_int_equal(ljs_server_del_account(w.server, "acme"), LJS_OK);
    account("acme");

    added(&w, &d);
    c = claim_now();
    assert_int_equal(c.state, LJS_CLAIM_IS_PROVISIONED);
    assert_int_equal(c.owners, 1);
    assert_false(*c.account || *c.offered_to || c.has_token || c.offer_until);
    assert_int_equal(simply(LJS_CLAIM_CLAIM, "acme", ""), LJS_E_CLAIM);
    assert_int_equal(simply(LJS_CLAIM_CLAIM, "globex", "C05EA29C"), LJS_E_CLAIM);
    assert_int_equal(simply(LJS_CLAIM_ACCEPT, "globex", ""), LJS_E_CLAIM);
    assert_int_equal(simply(LJS_CLAIM_RELEASE, "acme", ""), LJS_E_CLAIM);
    assert_int_equal(simply(LJS_CLAIM_ASSIGN, "globex", ""), LJS_OK);

    /* What was retired stays so; what nothing is remembered of has nothing to be buried. */
    assert_int_equal(simply(LJS_CLAIM_RETIRE, "", ""), LJS_OK);
    assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_REMOVE), LJS_OK);
    added(&w, &d);
    assert_int_equal(claim_now().state, LJS_CLAIM_IS_RETIRED);
    assert_int_equal(ljs_server_step_device(w.server, DEV + 1, LJS_DEVICE_REMOVE), LJS_OK);
    server_end(&w);
}

/* ---- clocks ------------------------------------------------------------------------------------------ */

static void test_a_clock_that_is_set_back(void **state)
{
    ljs_claim_req req = req_of(LJS_CLAIM_CLAIM, "acme");

    (void)state;
    edges_begin();
    assert_int_equal(simply(LJS_CLAIM_ENROL, "", "C05EA29C"), LJS_OK);
    for (unsigned wrong = 0; wrong < 2; wrong++) { /* somebody's clock was; then it is right */
        req.now = NOW + (wrong ? 0 : INT64_C(1000000000));
        if (!wrong)
            for (unsigned i = 0; i < LJS_CLAIM_DEVICE_TRIES; i++)
                assert_int_equal(act(&req, "00000000"), LJS_E_CLAIM);
        assert_int_equal(act(&req, "C05EA29C"), LJS_E_LIMIT); /* nothing is forgiven by it */
    }
    for (unsigned i = 0; i < 100; i++) { /* nor by threads that look at it by turns */
        req.now = NOW + i % 2;
        assert_int_equal(act(&req, "C05EA29C"), LJS_E_LIMIT);
    }
    req.now = NOW + LJS_CLAIM_DEVICE_SECONDS - 1;
    assert_int_equal(act(&req, "C05EA29C"), LJS_E_LIMIT);
    req.now = NOW + LJS_CLAIM_DEVICE_SECONDS;
    assert_int_equal(act(&req, "C05EA29C"), LJS_OK);
    req.now = -1;
    assert_int_equal(act(&req, ""), LJS_E_INVAL);
    req.now = INT64_MAX;
    assert_int_equal(act(&req, ""), LJS_E_INVAL);
    server_end(&w);
}

/* ---- all newcomers ------------------------------------------------------------------------------------- */

/* However many credentials and devices there are: those whose account has never claimed anything have a thousand tries
 * together, and nobody else waits for that. */
static void test_all_newcomers_together(void **state)
{
    unsigned looked_at = 0;
    ljs_claim_req req;

    (void)state;
    edges_begin();
    assert_int_equal(simply(LJS_CLAIM_ENROL, "", "C05EA29C"), LJS_OK);
    assert_int_equal(simply(LJS_CLAIM_CLAIM, "globex", "C05EA29C"), LJS_OK);
    req = req_of(LJS_CLAIM_CLAIM, "acme");
    for (unsigned client = 0; client < 12; client++)
        for (unsigned i = 0; i < LJS_CLAIM_CLIENT_TRIES; i++) {
            ljs_err err;

            snprintf(req.client, sizeof req.client, "eve-%u", client);
            req.dev_eui = DEV + 1000 + i;
            err = act(&req, "00000000");
            assert_int_equal(err, looked_at < LJS_CLAIM_ALL_TRIES ? LJS_E_CLAIM : LJS_E_LIMIT);
            looked_at += err == LJS_E_CLAIM;
        }
    assert_int_equal(looked_at, LJS_CLAIM_ALL_TRIES);
    strcpy(req.account, "globex");
    strcpy(req.client, "of-globex");
    assert_int_equal(act(&req, "00000000"), LJS_E_CLAIM);
    strcpy(req.account, "acme");
    strcpy(req.client, "of-acme");
    assert_int_equal(act(&req, "00000000"), LJS_E_LIMIT);
    req.now += LJS_CLAIM_ALL_SECONDS;
    assert_int_equal(act(&req, "00000000"), LJS_E_CLAIM);
    assert_int_equal(act(&req, "00000000"), LJS_E_LIMIT);
    server_end(&w);
}

/* ---- asked twice ---------------------------------------------------------------------------------------- */

static ljs_err once(struct once *o, const ljs_claim_req *req, const char *token, const char *body)
{
    ljs_buf none;
    ljs_err err;

    assert_int_equal(
        ljs__once_begin(o, NOW, "acme-1", "k-1", "PUT", "/v1/claims/x", (const uint8_t *)body, strlen(body)), LJS_OK);
    o->status = 200;
    err = ljs__claim(&none, w.server, req, (const uint8_t *)token, strlen(token), NULL, o);
    ljs_buf_free(&o->value);
    return err;
}

/* Who asks again is told what was done, though the token is spent and the device another's meanwhile. */
static void test_asked_again_after_all_has_changed(void **state)
{
    ljs_claim_req req = req_of(LJS_CLAIM_CLAIM, "acme");
    struct once o;

    (void)state;
    edges_begin();
    assert_int_equal(simply(LJS_CLAIM_ENROL, "", "C05EA29C"), LJS_OK);
    assert_int_equal(once(&o, &req, "C05EA29D", "wrong"), LJS_E_CLAIM); /* and nothing is kept of that */
    assert_int_equal(once(&o, &req, "C05EA29C", "right"), LJS_OK);
    assert_int_equal(simply(LJS_CLAIM_RELEASE, "acme", ""), LJS_OK);
    assert_int_equal(simply(LJS_CLAIM_ASSIGN, "globex", ""), LJS_OK);
    for (unsigned i = 0; i < 2 * LJS_CLAIM_DEVICE_TRIES; i++) { /* which is no try either */
        assert_int_equal(once(&o, &req, "C05EA29C", "right"), LJS_E_STATE);
        assert_true(o.again && !o.other && o.status == 200);
    }
    assert_int_equal(once(&o, &req, "C05EA29C", "other"), LJS_E_STATE);
    assert_true(o.other);
    assert_string_equal(claim_now().account, "globex");
    server_end(&w);
}

/* ---- at the same time --------------------------------------------------------------------------------- */

/* What somebody else does just before the next commit. */
struct meanwhile {
    ljs_store *real;
    ljs_server *other;
    enum { ENDS, SUSPENDS, CLAIMS, CLAIMS_AND_KEEPS, CLAIMS_UNLOCKED, ENROLS, OFFERS_AGAIN, ENDS_WHOSE } what;
    bool armed;
    ljs_err got;
};

/* Taken back, given to the same account again, and offered to whom it was offered to: his second owner's offer. */
static ljs_err offer_again(const struct meanwhile *m)
{
    static const ljs_claim_act acts[] = { LJS_CLAIM_RELEASE, LJS_CLAIM_ASSIGN, LJS_CLAIM_OFFER };
    ljs_err err = LJS_OK;

    for (size_t i = 0; i < COUNT_OF(acts) && !err; i++) {
        ljs_claim_req req = req_of(acts[i], "acme");
        ljs_buf none;

        strcpy(req.to, "globex");
        req.until = NOW + 60;
        err = ljs_server_claim(&none, m->other, &req, NULL, 0);
    }
    return err;
}

static ljs_err do_it(const struct meanwhile *m)
{
    ljs_claim_req req =
        req_of(m->what == ENROLS ? LJS_CLAIM_ENROL : LJS_CLAIM_CLAIM, m->what == ENROLS ? "" : "globex");
    ljs_buf got;
    ljs_err err;

    if (m->what == ENDS)
        return ljs_server_del_account(m->other, "acme");
    if (m->what == ENDS_WHOSE)
        return ljs_server_del_account(m->other, "globex");
    if (m->what == SUSPENDS)
        return ljs_server_suspend_account(m->other, "acme", 1);
    if (m->what == OFFERS_AGAIN)
        return offer_again(m);
    req.keep_token = m->what == CLAIMS_AND_KEEPS || m->what == CLAIMS_UNLOCKED;
    req.unlocked = m->what == CLAIMS_UNLOCKED;
    err = ljs_server_claim(&got, m->other, &req, (const uint8_t *)(m->what == ENROLS ? "C05EA29D" : "C05EA29C"), 8);
    ljs_buf_free(&got);
    return err;
}

static ljs_err mean_get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    return ljs_store_get(out, version, ((struct meanwhile *)self)->real, key, key_len);
}

static ljs_err mean_commit(void *self, ljs_change *changes, size_t len)
{
    struct meanwhile *m = self;

    if (m->armed) {
        m->armed = false;
        m->got = do_it(m);
    }
    return ljs_store_commit(m->real, changes, len);
}

static ljs_err mean_each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    return ljs_store_each(((struct meanwhile *)self)->real, prefix, prefix_len, row, user);
}

static void mean_close(void *self)
{
    (void)self; /* which the test has */
}

static struct world other;

static void two_begin(struct meanwhile *m)
{
    static const ljs_store_ops ops = {
        .struct_size = sizeof ops, .get = mean_get, .commit = mean_commit, .each = mean_each, .close = mean_close
    };
    ljs_store *store;

    assert_int_equal(ljs_store_memory(&m->real), LJS_OK);
    assert_int_equal(ljs_store_custom(&store, &ops, m), LJS_OK);
    server_begin(&other, m->real, NULL);
    m->other = other.server;
    server_begin(&w, store, NULL);
    add_devices(&w, 1);
    account("acme");
    account("globex");
}

static void two_end(const struct meanwhile *m)
{
    assert_false(m->armed);
    assert_int_equal(m->got, LJS_OK);
    ljs_server_free(w.server);
    ljs_store_free(w.store);
    server_end(&other);
}

/* A device never goes to an account that is gone, or suspended, when it gets it. */
static void test_the_account_meanwhile(void **state)
{
    (void)state;
    for (unsigned suspends = 0; suspends < 2; suspends++) {
        struct meanwhile m = { .what = suspends ? SUSPENDS : ENDS };

        two_begin(&m);
        m.armed = true;
        assert_int_equal(simply(LJS_CLAIM_ASSIGN, "acme", ""), suspends ? LJS_E_BLOCKED : LJS_E_NOTFOUND);
        assert_int_equal(claim_now().state, LJS_CLAIM_IS_PROVISIONED);
        two_end(&m);
    }
}

/* Nor is it offered to one that is gone. */
static void test_whose_offer_meanwhile(void **state)
{
    struct meanwhile m = { .what = ENDS_WHOSE };
    ljs_claim_req offer = req_of(LJS_CLAIM_OFFER, "acme");

    (void)state;
    two_begin(&m);
    assert_int_equal(simply(LJS_CLAIM_ASSIGN, "acme", ""), LJS_OK);
    strcpy(offer.to, "globex");
    offer.until = NOW + 60;
    m.armed = true;
    assert_int_equal(act(&offer, ""), LJS_E_NOTFOUND);
    assert_string_equal(claim_now().offered_to, "");
    assert_int_equal(claim_now().state, LJS_CLAIM_IS_CLAIMED);
    two_end(&m);
}

/* The token was looked at, and then somebody was first: he keeps the device, with its lock, or the token was another's
 * by then. */
static void test_the_token_meanwhile(void **state)
{
    (void)state;
    for (unsigned what = CLAIMS; what <= ENROLS; what++) {
        struct meanwhile m = { .what = what };

        two_begin(&m);
        assert_int_equal(simply(LJS_CLAIM_ENROL, "", "C05EA29C"), LJS_OK);
        m.armed = true;
        assert_int_equal(simply(LJS_CLAIM_CLAIM, "acme", "C05EA29C"), LJS_E_CLAIM);
        assert_string_equal(claim_now().account, what == ENROLS ? "" : "globex");
        assert_int_equal(claim_now().locked, what != ENROLS && what != CLAIMS_UNLOCKED);
        two_end(&m);
    }
}

/* A token that survives for its owner does not survive him: who has the label has nothing of the next one's device. */
static void test_no_token_outlives_its_owner(void **state)
{
    static const ljs_claim_act ways[] = { LJS_CLAIM_ACCEPT, LJS_CLAIM_ASSIGN, LJS_CLAIM_RETIRE };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        ljs_claim_req req = req_of(LJS_CLAIM_CLAIM, "acme"), offer = req_of(LJS_CLAIM_OFFER, "acme");

        edges_begin();
        assert_int_equal(simply(LJS_CLAIM_ENROL, "", "C05EA29C"), LJS_OK);
        req.keep_token = req.unlocked = 1;
        assert_int_equal(act(&req, "C05EA29C"), LJS_OK);
        assert_int_equal(claim_now().has_token, 1);
        strcpy(offer.to, "globex");
        offer.until = NOW + 60;
        assert_int_equal(ways[i] == LJS_CLAIM_ACCEPT ? act(&offer, "") : LJS_OK, LJS_OK);
        assert_int_equal(ways[i] == LJS_CLAIM_ASSIGN ? simply(LJS_CLAIM_RELEASE, "acme", "") : LJS_OK, LJS_OK);
        assert_int_equal(claim_now().has_token, 1);
        assert_int_equal(simply(ways[i], ways[i] == LJS_CLAIM_RETIRE ? "" : "globex", ""), LJS_OK);
        assert_int_equal(claim_now().has_token, 0);
        assert_int_equal(act(&req, "C05EA29C"), LJS_E_CLAIM);
        server_end(&w);
    }
}

/* What the chip has said was said of one owner, and is no word for the next one's offer. */
static void test_the_offer_meanwhile(void **state)
{
    struct meanwhile m = { .what = OFFERS_AGAIN };
    ljs_claim_req req = req_of(LJS_CLAIM_OFFER, "acme");

    (void)state;
    two_begin(&m);
    assert_int_equal(simply(LJS_CLAIM_ASSIGN, "acme", ""), LJS_OK);
    strcpy(req.to, "globex");
    req.until = NOW + 60;
    assert_int_equal(act(&req, ""), LJS_OK);
    m.armed = true;
    assert_int_equal(simply(LJS_CLAIM_ACCEPT, "globex", ""), LJS_E_CLAIM);
    assert_string_equal(claim_now().account, "acme");
    assert_int_equal(simply(LJS_CLAIM_ACCEPT, "globex", ""), LJS_OK);
    two_end(&m);
}

/* ---- since when it is whose -------------------------------------------------------------------------------- */

/* A later owner's is his from his own time on; where an older lorajs has not said when that was, since it stands so. */
static void test_from_when_on_it_is_seen(void **state)
{
    static const struct {
        uint32_t owners;
        int64_t owned_at, want;
    } rows[] = { { 0, 0, 0 }, { 1, 0, 0 }, { 2, 0, NOW }, { 2, NOW - 7, NOW - 7 }, { 1, NOW - 7, NOW - 7 } };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct claim got,
            claim = { .c = { .dev_eui = DEV, .owners = rows[i].owners, .at = NOW }, .owned_at = rows[i].owned_at };
        ljs_buf value;

        assert_int_equal(ljs__claim_write(&value, vault, &claim), LJS_OK);
        assert_int_equal(ljs__claim_read(&got, vault, DEV, &value), LJS_OK);
        assert_int_equal(ljs__claim_seen_from(&got), rows[i].want);
        ljs_buf_free(&value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_kek_goes_with_its_claim),
        cmocka_unit_test(test_labels_of_accounts_are_theirs),
        cmocka_unit_test(test_removed_is_nobodys),
        cmocka_unit_test(test_a_clock_that_is_set_back),
        cmocka_unit_test(test_the_account_meanwhile),
        cmocka_unit_test(test_whose_offer_meanwhile),
        cmocka_unit_test(test_the_token_meanwhile),
        cmocka_unit_test(test_all_newcomers_together),
        cmocka_unit_test(test_asked_again_after_all_has_changed),
        cmocka_unit_test(test_the_offer_meanwhile),
        cmocka_unit_test(test_from_when_on_it_is_seen),
        cmocka_unit_test(test_no_token_outlives_its_owner),
    };

    world_audit = LJS_AUDIT_ON;
    return cmocka_run_group_tests(tests, world_begin, world_end);
}
