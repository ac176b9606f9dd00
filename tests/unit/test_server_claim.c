/* Who owns a device: the machine by a matrix of another hand, tokens, and what each act leaves in the record. */
#include "server/claim.h"

#include <lorajs/master.h>
#include <lorajs/rewrap.h>

#include "audit_world.h"

enum { NOW = 1800000000, DEVICES = 3 };

/* ---- the machine -------------------------------------------------------------------- */

/* Written from the specification of the states, not from the table: the next state by its letter, "-" for LJS_E_STATE,
 * "x" for LJS_E_CLAIM, since who has but a token is told nothing. */
static void test_the_matrix(void **state)
{
    static const char letters[] = "PUCOSR";
    static const char *const want[CLAIM_EVENTS] = {
        /*                        P U C O S R */
        [CLAIM_ENROL] = "UU---U",  [CLAIM_BY_TOKEN] = "xCxxxx",      [CLAIM_TAKE] = "xxCxxx",
        [CLAIM_UPDATE] = "--CO--", [CLAIM_ASSIGN] = "CC----",        [CLAIM_RELEASE] = "--UU--",
        [CLAIM_OFFER] = "--OO--",  [CLAIM_RELEASE_SPENT] = "--PP--", [CLAIM_WITHDRAW] = "---C--",
        [CLAIM_ACCEPT] = "xxxCxx", [CLAIM_SUSPEND] = "--SS--",       [CLAIM_RESUME] = "----C-",
        [CLAIM_RETIRE] = "RRRRR-",
    };

    (void)state;
    for (int s = 0; s < LJS_CLAIM_STATES; s++)
        for (int e = 0; e < CLAIM_EVENTS; e++) {
            struct claim_rule rule = ljs__claim_rule((ljs_claim_state)s, (enum claim_event)e);
            char w = want[e][s];

            if (w == '-' || w == 'x') {
                assert_int_equal(rule.refused, w == '-' ? LJS_E_STATE : LJS_E_CLAIM);
                assert_int_equal(rule.next, s);
                assert_int_equal(rule.effects, 0);
                continue;
            }
            assert_int_equal(rule.refused, LJS_OK);
            assert_int_equal(letters[rule.next], w);
            /* Laws of every step: who has a new owner has nothing of the one before, and a suspended device is blocked
             * for just as long. */
            assert_int_equal(!!(rule.effects & FX_BLOCK), w == 'S');
            assert_int_equal(!!(rule.effects & FX_UNBLOCK), letters[s] == 'S' && w == 'C');
            if (strchr("COS", letters[s]) && strchr("PUR", w))
                assert_true(rule.effects & FX_NO_OWNER);
            if (strchr("PUR", letters[s]) && strchr("COS", w))
                assert_true(rule.effects & FX_OWNER);
            if (letters[s] == 'O' && w != 'O')
                assert_true(rule.effects & FX_NO_OFFER);
        }
    assert_int_equal(ljs__claim_rule(LJS_CLAIM_IS_CLAIMED, CLAIM_EVENTS).refused, LJS_E_STATE);
    assert_string_equal(ljs_claim_state_text(LJS_CLAIM_IS_OFFERED), "offered");
    assert_string_equal(ljs_claim_state_text((ljs_claim_state)LJS_CLAIM_STATES), "?");
    assert_string_equal(ljs_claim_act_text(LJS_CLAIM_RETIRE), "retire");
    assert_string_equal(ljs_claim_act_text((ljs_claim_act)0), "?");
    assert_string_equal(ljs_claim_act_text((ljs_claim_act)(LJS_CLAIM_ACTS + 1)), "?");
}

/* ---- a world -------------------------------------------------------------------------- */

static struct world w;

static void claims_begin(void)
{
    static const char *const names[] = { "acme", "globex", "initech" };

    server_begin(&w, NULL, &lab);
    add_devices(&w, DEVICES);
    for (unsigned i = 0; i < COUNT_OF(names); i++) {
        ljs_account a = { .struct_size = sizeof a, .at = NOW };

        strcpy(a.name, names[i]);
        assert_int_equal(ljs_server_add_account(w.server, &a), LJS_OK);
    }
}

/* Whatever was done, the log leads to each record. */
static void claims_end(void)
{
    log_is_whole(&w);
    server_end(&w);
}

static ljs_claim_req req_of(ljs_claim_act act, unsigned device, const char *account)
{
    ljs_claim_req req = { .struct_size = sizeof req, .now = NOW, .act = act, .dev_eui = (DEV + device) };

    snprintf(req.account, sizeof req.account, "%s", account);
    snprintf(req.client, sizeof req.client, "of-%s", account);
    req.routing = (ljs_routing){ .struct_size = sizeof req.routing,
                                 .set = LJS_ROUTE_HOME_NET_ID | LJS_ROUTE_AS_ID,
                                 .has_home_net_id = 1,
                                 .home_net_id = 0x13 };
    snprintf(req.routing.as_id, sizeof req.routing.as_id, "as.%s", account);
    return req;
}

static ljs_err act(const ljs_claim_req *req, const char *token)
{
    ljs_buf none;
    ljs_err err = ljs_server_claim(&none, w.server, req, (const uint8_t *)token, token ? strlen(token) : 0);

    assert_null(none.data);
    return err;
}

static ljs_err simply(ljs_claim_act what, unsigned device, const char *account, const char *token)
{
    ljs_claim_req req = req_of(what, device, account);

    return act(&req, token);
}

static void enrolled(unsigned device, const char *token)
{
    ljs_claim_req req = req_of(LJS_CLAIM_ENROL, device, "");
    ljs_buf got;

    assert_int_equal(ljs_server_claim(&got, w.server, &req, (const uint8_t *)token, strlen(token)), LJS_OK);
    assert_memory_equal(got.data, token, strlen(token));
    ljs_buf_free(&got);
}

static ljs_claim claim_of(unsigned device)
{
    ljs_claim c;

    assert_int_equal(ljs_server_get_claim(&c, w.server, (DEV + device)), LJS_OK);
    return c;
}

static ljs_device record_in(unsigned device)
{
    return device_in(&w, (DEV + device));
}

/* ---- tokens ------------------------------------------------------------------------------ */

static void test_a_claim(void **state)
{
    ljs_claim_req req;
    ljs_claim c;
    ljs_device d;

    (void)state;
    claims_begin();
    assert_int_equal(claim_of(0).state, LJS_CLAIM_IS_PROVISIONED);
    assert_int_equal(simply(LJS_CLAIM_CLAIM, 0, "acme", "C05EA29C"), LJS_E_CLAIM);
    enrolled(0, "C05EA29C");
    c = claim_of(0);
    assert_int_equal(c.state, LJS_CLAIM_IS_UNCLAIMED);
    assert_true(c.has_token);

    assert_int_equal(simply(LJS_CLAIM_CLAIM, 0, "acme", "C05EA29D"), LJS_E_CLAIM);
    assert_int_equal(simply(LJS_CLAIM_CLAIM, 0, "acme", NULL), LJS_E_CLAIM);
    assert_int_equal(simply(LJS_CLAIM_CLAIM, 1, "acme", "C05EA29C"), LJS_E_CLAIM); /* another device's */
    assert_int_equal(simply(LJS_CLAIM_CLAIM, 0, "acme", "c05ea29c"), LJS_E_INVAL);
    assert_int_equal(simply(LJS_CLAIM_CLAIM, 0, "nobody", "C05EA29C"), LJS_E_NOTFOUND);
    req = req_of(LJS_CLAIM_CLAIM, 0, "acme");
    strcpy(req.routing.as_kek_label, "main");
    req.routing.set |= LJS_ROUTE_AS_KEK_LABEL;
    req.dry = 1;
    assert_int_equal(act(&req, "C05EA29C"), LJS_OK);
    assert_int_equal(claim_of(0).state, LJS_CLAIM_IS_UNCLAIMED);
    assert_false(record_in(0).has_home_net_id);
    req.dry = 0;
    assert_int_equal(act(&req, "C05EA29C"), LJS_OK);
    c = claim_of(0);
    assert_int_equal(c.state, LJS_CLAIM_IS_CLAIMED);
    assert_string_equal(c.account, "acme");
    assert_int_equal(c.owners, 1);
    assert_int_equal(c.at, NOW);
    assert_true(c.locked && !c.has_token); /* single use */
    d = record_in(0);
    assert_true(d.has_home_net_id && d.home_net_id == 0x13);
    assert_string_equal(d.as_id, "as.acme");
    assert_string_equal(d.as_kek_label, "@acme/main"); /* its own, and nobody else's */

    /* Again is an update, by the owner alone; the printed token is worth nothing to another. */
    req.routing.set = LJS_ROUTE_HOME_NET_ID;
    req.routing.home_net_id = 0x60;
    assert_int_equal(act(&req, NULL), LJS_OK);
    d = record_in(0);
    assert_int_equal(d.home_net_id, 0x60);
    assert_string_equal(d.as_id, "as.acme");
    assert_int_equal(claim_of(0).owners, 1);
    assert_int_equal(simply(LJS_CLAIM_CLAIM, 0, "globex", "C05EA29C"), LJS_E_CLAIM);
    assert_int_equal(simply(LJS_CLAIM_RELEASE, 0, "globex", NULL), LJS_E_CLAIM);

    /* Released: nothing of the owner is left, and the token neither. */
    assert_int_equal(simply(LJS_CLAIM_RELEASE, 0, "acme", NULL), LJS_OK);
    c = claim_of(0);
    assert_int_equal(c.state, LJS_CLAIM_IS_PROVISIONED);
    assert_string_equal(c.account, "");
    d = record_in(0);
    assert_false(d.has_home_net_id || *d.as_id || *d.as_kek_label);
    assert_int_equal(simply(LJS_CLAIM_CLAIM, 0, "acme", "C05EA29C"), LJS_E_CLAIM);
    claims_end();
}

static void test_drawn_tokens(void **state)
{
    ljs_claim_req req;
    ljs_buf one, two;
    char text[64];

    (void)state;
    claims_begin();
    req = req_of(LJS_CLAIM_ENROL, 0, "");
    assert_int_equal(ljs_server_claim(&one, w.server, &req, NULL, 0), LJS_OK);
    assert_int_equal(ljs_server_claim(&two, w.server, &req, NULL, 0), LJS_OK);
    assert_int_equal(one.len, 16); /* 80 bits */
    assert_memory_not_equal(one.data, two.data, 16);
    snprintf(text, sizeof text, "%.16s", (const char *)one.data);
    assert_int_equal(strspn(text, "0123456789ABCDEFGHJKMNPQRSTVWXYZ"), 16);
    assert_int_equal(simply(LJS_CLAIM_CLAIM, 0, "acme", text), LJS_E_CLAIM); /* the one before is nothing */
    snprintf(text, sizeof text, "%.16s", (const char *)two.data);
    assert_int_equal(simply(LJS_CLAIM_CLAIM, 0, "acme", text), LJS_OK);
    ljs_buf_free(&one);
    ljs_buf_free(&two);
    assert_int_equal(simply(LJS_CLAIM_ENROL, 1, "", "C05EA29"), LJS_E_WEAK);
    assert_int_equal(simply(LJS_CLAIM_ENROL, 1, "", "C05EA29C-"), LJS_E_INVAL);
    assert_int_equal(simply(LJS_CLAIM_ENROL, 1, "", "0123456789ABCDEF0123456789ABCDEF0"), LJS_E_INVAL);
    assert_int_equal(simply(LJS_CLAIM_ENROL, 0, "", "C05EA29C"), LJS_E_STATE); /* it has an owner */
    req = req_of(LJS_CLAIM_ENROL, DEVICES, "");
    assert_int_equal(act(&req, "C05EA29C"), LJS_E_CLAIM); /* no such device */
    req.tell = 1;
    assert_int_equal(act(&req, "C05EA29C"), LJS_E_NOTFOUND);

    req = req_of(LJS_CLAIM_ENROL, 1, "");
    req.start = NOW + 10;
    req.until = NOW + 20;
    assert_int_equal(ljs_server_claim(&one, w.server, &req, NULL, 0), LJS_OK);
    snprintf(text, sizeof text, "%.16s", (const char *)one.data);
    ljs_buf_free(&one);
    req = req_of(LJS_CLAIM_CLAIM, 1, "acme");
    req.now = NOW + 9;
    assert_int_equal(act(&req, text), LJS_E_CLAIM);
    req.now = NOW + 20;
    assert_int_equal(act(&req, text), LJS_E_CLAIM);
    req.now = NOW + 10;
    assert_int_equal(act(&req, text), LJS_OK);
    claims_end();
}

/* What a claim that says so leaves behind: a token that survives, and one that may be taken over. */
static void test_tokens_that_survive(void **state)
{
    ljs_claim_req req, other;

    (void)state;
    claims_begin();
    enrolled(0, "C05EA29C");
    req = req_of(LJS_CLAIM_CLAIM, 0, "acme");
    other = req_of(LJS_CLAIM_CLAIM, 0, "globex");
    req.keep_token = other.keep_token = req.tell = other.tell = 1;
    assert_int_equal(act(&req, "C05EA29C"), LJS_OK);
    assert_true(claim_of(0).has_token && claim_of(0).locked);
    assert_int_equal(act(&other, "C05EA29C"), LJS_E_EXISTS); /* locked */
    assert_int_equal(act(&other, "00000000"), LJS_E_EXISTS);
    req.unlocked = 1;
    assert_int_equal(act(&req, NULL), LJS_OK);
    assert_int_equal(act(&other, "00000000"), LJS_E_CLAIM);
    assert_int_equal(act(&other, "C05EA29C"), LJS_OK);
    assert_string_equal(claim_of(0).account, "globex");
    assert_string_equal(record_in(0).as_id, "as.globex");
    assert_int_equal(claim_of(0).owners, 2);
    assert_int_equal(act(&req, "C05EA29C"), LJS_E_EXISTS);
    assert_int_equal(simply(LJS_CLAIM_RELEASE, 0, "globex", NULL), LJS_OK);
    assert_int_equal(claim_of(0).state, LJS_CLAIM_IS_UNCLAIMED);
    req.keep_token = 0;
    assert_int_equal(act(&req, "C05EA29C"), LJS_OK);
    assert_int_equal(simply(LJS_CLAIM_RELEASE, 0, "acme", NULL), LJS_OK);
    assert_int_equal(claim_of(0).state, LJS_CLAIM_IS_PROVISIONED);
    assert_int_equal(act(&other, "C05EA29C"), LJS_E_CLAIM);
    claims_end();
}

/* The token's hash outlives the master key that it was made under; nothing of the token is in the store. */
static ljs_err has_no_token(void *user, const uint8_t *key, size_t key_len)
{
    ljs_buf value;
    uint64_t version;
    ljs_err err = ljs_store_get(&value, &version, user, key, key_len);

    if (!err && value.len >= 8)
        assert_null(memmem(value.data, value.len, "C05EA29C", 8));
    ljs_buf_free(&value);
    return err;
}

static void rotate_and_retire(void)
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
    assert_int_equal(ljs_vault_versions(vault), 1);
}

static void test_another_master_key(void **state)
{
    (void)state;
    claims_begin();
    enrolled(0, "C05EA29C");
    assert_int_equal(ljs_store_each(w.store, NULL, 0, has_no_token, w.store), LJS_OK);
    rotate_and_retire();
    assert_int_equal(simply(LJS_CLAIM_CLAIM, 0, "acme", "C05EA29D"), LJS_E_CLAIM);
    assert_int_equal(simply(LJS_CLAIM_CLAIM, 0, "acme", "C05EA29C"), LJS_OK);
    claims_end();
}

/* ---- from hand to hand ---------------------------------------------------------------------- */

static void test_offers(void **state)
{
    ljs_claim_req offer, accept;
    ljs_device d;

    (void)state;
    claims_begin();
    assert_int_equal(simply(LJS_CLAIM_ASSIGN, 0, "acme", NULL), LJS_OK);
    assert_int_equal(simply(LJS_CLAIM_ASSIGN, 0, "globex", NULL), LJS_E_STATE);
    offer = req_of(LJS_CLAIM_OFFER, 0, "acme");
    strcpy(offer.to, "globex");
    assert_int_equal(act(&offer, NULL), LJS_E_INVAL); /* until when? */
    offer.until = NOW + LJS_CLAIM_OFFER_MOST + 1;
    assert_int_equal(act(&offer, NULL), LJS_E_INVAL);
    offer.until = NOW + 100;
    strcpy(offer.to, "nobody");
    assert_int_equal(act(&offer, NULL), LJS_E_NOTFOUND);
    strcpy(offer.to, "acme");
    assert_int_equal(act(&offer, NULL), LJS_E_INVAL);
    strcpy(offer.to, "globex");
    assert_int_equal(act(&offer, NULL), LJS_OK);
    assert_string_equal(claim_of(0).offered_to, "globex");
    accept = req_of(LJS_CLAIM_ACCEPT, 0, "initech");
    assert_int_equal(act(&accept, NULL), LJS_E_CLAIM);
    accept = req_of(LJS_CLAIM_ACCEPT, 0, "globex");
    accept.now = NOW + 100;
    assert_int_equal(act(&accept, NULL), LJS_E_STATE); /* over */
    accept.now = NOW;
    accept.routing.set = 0;
    assert_int_equal(act(&accept, NULL), LJS_E_INVAL); /* whose is it to be? */
    assert_int_equal(simply(LJS_CLAIM_WITHDRAW, 0, "acme", NULL), LJS_OK);
    assert_int_equal(simply(LJS_CLAIM_WITHDRAW, 0, "acme", NULL), LJS_E_STATE);
    assert_int_equal(simply(LJS_CLAIM_ACCEPT, 0, "globex", NULL), LJS_E_CLAIM);
    assert_int_equal(act(&offer, NULL), LJS_OK);
    assert_int_equal(ljs_server_suspend_account(w.server, "globex", 1), LJS_OK);
    assert_int_equal(simply(LJS_CLAIM_ACCEPT, 0, "globex", NULL), LJS_E_BLOCKED);
    assert_int_equal(ljs_server_suspend_account(w.server, "globex", 0), LJS_OK);
    assert_int_equal(simply(LJS_CLAIM_ACCEPT, 0, "globex", NULL), LJS_OK);
    d = record_in(0);
    assert_string_equal(d.as_id, "as.globex");
    assert_string_equal(claim_of(0).account, "globex");
    assert_string_equal(claim_of(0).offered_to, "");
    assert_int_equal(claim_of(0).owners, 2);
    assert_int_equal(simply(LJS_CLAIM_RELEASE, 0, "acme", NULL), LJS_E_CLAIM);
    claims_end();
}

static void test_suspension(void **state)
{
    (void)state;
    claims_begin();
    assert_int_equal(simply(LJS_CLAIM_SUSPEND, 0, "", NULL), LJS_E_STATE); /* nobody's: `device block` does it */
    assert_int_equal(simply(LJS_CLAIM_ASSIGN, 0, "acme", NULL), LJS_OK);
    assert_int_equal(simply(LJS_CLAIM_SUSPEND, 0, "", NULL), LJS_OK);
    assert_int_equal(record_in(0).state, LJS_STATE_BLOCKED);
    assert_string_equal(claim_of(0).account, "acme");
    assert_int_equal(simply(LJS_CLAIM_CLAIM, 0, "acme", NULL), LJS_E_STATE);
    assert_int_equal(simply(LJS_CLAIM_RELEASE, 0, "acme", NULL), LJS_E_STATE);
    assert_int_equal(simply(LJS_CLAIM_RESUME, 0, "", NULL), LJS_OK);
    assert_int_equal(record_in(0).state, LJS_STATE_FRESH);
    /* What an operator has blocked stays so. */
    assert_int_equal(ljs_server_step_device(w.server, (DEV + 0), LJS_DEVICE_BLOCK), LJS_OK);
    assert_int_equal(simply(LJS_CLAIM_SUSPEND, 0, "", NULL), LJS_OK);
    assert_int_equal(simply(LJS_CLAIM_RESUME, 0, "", NULL), LJS_OK);
    assert_int_equal(record_in(0).state, LJS_STATE_BLOCKED);
    assert_int_equal(simply(LJS_CLAIM_RETIRE, 0, "", NULL), LJS_OK);
    assert_string_equal(claim_of(0).account, "");
    assert_string_equal(record_in(0).as_id, "");
    assert_int_equal(simply(LJS_CLAIM_ASSIGN, 0, "acme", NULL), LJS_E_STATE);
    enrolled(0, "C05EA29C");
    assert_int_equal(claim_of(0).state, LJS_CLAIM_IS_UNCLAIMED);
    claims_end();
}

/* ---- what the servers of an owner get ------------------------------------------------------- */

static ljs_peers *three_peers(void)
{
    ljs_peers *p = two_peers();

    assert_int_equal(ljs_peers_add(p, "new-as", 0), LJS_OK);
    assert_int_equal(ljs_peers_add_as_id(p, "new-as", "as.globex"), LJS_OK);
    return p;
}

static ljs_message joined(uint16_t nonce, const char *want)
{
    const ljs_frame frame = { .kind = LJS_FRAME_JOIN, .join_eui = EUI, .dev_eui = DEV, .nonce = nonce };
    ljs_join_req req = request(LJS_MAC_1_0_3);

    set_phy(&req, &frame, nwk);
    return asked(&w, "ns", join_text(&(struct say){ 0 }, &req), want);
}

/* Two accounts have KEKs of one label, and neither's device can name the other's; who owned it before is out at once,
 * and nothing of his is in the next session. */
static void test_the_old_owner_is_out(void **state)
{
    static const char *const names[] = { "acme", "globex" };
    ljs_claim_req req;
    static const uint8_t no_name[16];
    ljs_message session;
    ljs_peers *peers;
    ljs_buf label, shown;
    char text[LJS_LABEL_MAX];

    (void)state;
    server_begin(&w, NULL, NULL);
    put_two_keks(&w);
    peers = three_peers();
    assert_int_equal(ljs_server_set_peers(w.server, peers), LJS_OK);
    ljs_peers_free(peers);
    add_devices(&w, 1);
    for (unsigned i = 0; i < 2; i++) {
        ljs_account a = { .struct_size = sizeof a };

        strcpy(a.name, names[i]);
        assert_int_equal(ljs_server_add_account(w.server, &a), LJS_OK);
        assert_int_equal(ljs_account_kek(&label, names[i], "main"), LJS_OK);
        snprintf(text, sizeof text, "%.*s", (int)label.len, (const char *)label.data);
        ljs_buf_free(&label);
        assert_int_equal(ljs_server_put_kek(w.server, text, i ? other_nwk : other_app, 0), LJS_OK);
    }
    session = joined(9, "Success"); /* before it was anybody's: its first owner may have that */
    req = req_of(LJS_CLAIM_ASSIGN, 0, "acme");
    strcpy(req.routing.as_id, "as.example");
    strcpy(req.routing.as_kek_label, "main");
    req.routing.set |= LJS_ROUTE_AS_KEK_LABEL;
    assert_int_equal(act(&req, NULL), LJS_OK);
    asked(&w, "as", app_s_key_text(&(struct say){ .sender = "as.example" }, session.session_key_id, 16), "Success");
    session = joined(1, "Success");
    assert_string_equal(session.app_s.kek_label, "main");
    asked(&w, "as", app_s_key_text(&(struct say){ .sender = "as.example" }, session.session_key_id, 16), "Success");

    req = req_of(LJS_CLAIM_OFFER, 0, "acme");
    strcpy(req.to, "globex");
    req.until = NOW + 60;
    assert_int_equal(act(&req, NULL), LJS_OK);
    asked(&w, "as", app_s_key_text(&(struct say){ .sender = "as.example" }, session.session_key_id, 16), "Success");
    req = req_of(LJS_CLAIM_ACCEPT, 0, "globex");
    strcpy(req.routing.as_kek_label, "main");
    req.routing.set |= LJS_ROUTE_AS_KEK_LABEL;
    req.routing.home_net_id = 0x60; /* of another network server */
    assert_int_equal(act(&req, NULL), LJS_OK);
    asked(&w, "as", app_s_key_text(&(struct say){ .sender = "as.example" }, session.session_key_id, 16),
          "UnknownSender");
    joined(2, "ActivationDisallowed");
    req = req_of(LJS_CLAIM_CLAIM, 0, "globex");
    req.routing.home_net_id = NET;
    assert_int_equal(act(&req, NULL), LJS_OK);
    /* Nor has the new owner anything of the one before: neither the key of a session that was his, nor its name, nor an
     * answer to what was asked then. */
    asked(&w, "new-as", app_s_key_text(&(struct say){ .sender = "as.globex" }, session.session_key_id, 16), "Other");
    asked(&w, "new-as", app_s_key_text(&(struct say){ .sender = "as.globex" }, no_name, 16), "Other");
    shown = record_of(&w, DEV);
    assert_int_equal(read_device(&shown).sessions, 2);
    assert_int_equal(ljs_device_json(&label, shown.data, shown.len), LJS_OK);
    assert_non_null(memmem(label.data, label.len, "\"sessions\":[]", 13));
    ljs_buf_free(&label);
    ljs_buf_free(&shown);
    joined(1, "JoinReqFailed");
    session = joined(3, "Success");
    assert_string_equal(session.app_s.kek_label, "main"); /* globex's, whatever it is called */
    asked(&w, "as", app_s_key_text(&(struct say){ .sender = "as.example" }, session.session_key_id, 16),
          "UnknownSender");
    asked(&w, "new-as", app_s_key_text(&(struct say){ .sender = "as.globex" }, session.session_key_id, 16), "Success");
    server_end(&w);
}

/* ---- accounts and their credentials ---------------------------------------------------------- */

static ljs_err count_account(void *user, const ljs_account *account)
{
    (void)account;
    ++*(unsigned *)user;
    return LJS_OK;
}

static void test_accounts(void **state)
{
    ljs_account a = { .struct_size = sizeof a, .at = NOW };
    ljs_credential c = { .struct_size = sizeof c, .roles = LJS_ROLE_CLAIM, .name = "cluster", .account = "acme" };
    ljs_credential got;
    ljs_buf token;
    unsigned n = 0;

    (void)state;
    claims_begin();
    strcpy(a.name, "acme");
    assert_int_equal(ljs_server_add_account(w.server, &a), LJS_E_EXISTS);
    strcpy(a.name, "a c");
    assert_int_equal(ljs_server_add_account(w.server, &a), LJS_E_INVAL);
    for (unsigned dots = 1; dots < 4; dots++) { /* what a client over HTTP would fold away */
        snprintf(a.name, sizeof a.name, "%.*s", (int)dots, "..a");
        assert_int_equal(ljs_server_add_account(w.server, &a), LJS_E_INVAL);
    }
    assert_int_equal(ljs_server_each_account(w.server, count_account, &n), LJS_OK);
    assert_int_equal(n, 3);
    c.roles |= LJS_ROLE_OPERATE;
    assert_int_equal(ljs_server_add_credential(&token, w.server, &c), LJS_E_INVAL); /* for its account alone */
    c.roles = LJS_ROLE_CLAIM;
    strcpy(c.account, "none");
    assert_int_equal(ljs_server_add_credential(&token, w.server, &c), LJS_E_NOTFOUND);
    strcpy(c.account, "acme");
    assert_int_equal(ljs_server_add_credential(&token, w.server, &c), LJS_OK);
    assert_int_equal(ljs_server_check_token(&got, w.server, NOW, token.data, token.len), LJS_OK);
    assert_string_equal(got.account, "acme");
    ljs_buf_free(&token);
    assert_int_equal(ljs_server_del_account(w.server, "acme"), LJS_E_STATE);
    assert_int_equal(ljs_server_del_credential(w.server, "cluster"), LJS_OK);
    assert_int_equal(simply(LJS_CLAIM_ASSIGN, 0, "acme", NULL), LJS_OK);
    assert_int_equal(ljs_server_del_account(w.server, "acme"), LJS_E_STATE);
    assert_int_equal(simply(LJS_CLAIM_RELEASE, 0, "acme", NULL), LJS_OK);
    assert_int_equal(ljs_server_del_account(w.server, "acme"), LJS_OK);
    assert_int_equal(ljs_server_get_account(&a, w.server, "acme"), LJS_E_NOTFOUND);
    assert_int_equal(simply(LJS_CLAIM_ASSIGN, 0, "acme", NULL), LJS_E_NOTFOUND);
    claims_end();
}

static void test_labels(void **state)
{
    ljs_buf text;
    char most[128];

    (void)state;
    assert_int_equal(ljs_account_kek(&text, "acme", "main"), LJS_OK);
    assert_int_equal(text.len, 10);
    assert_memory_equal(text.data, "@acme/main", 10);
    ljs_buf_free(&text);
    assert_int_equal(ljs_account_kek(&text, "ac/me", "main"), LJS_E_INVAL);
    assert_int_equal(ljs_account_kek(&text, "acme", ""), LJS_E_INVAL);
    memset(most, 'x', sizeof most);
    most[121] = 0; /* @acme/ and 121 */
    assert_int_equal(ljs_account_kek(&text, "acme", most), LJS_OK);
    ljs_buf_free(&text);
    most[121] = 'x';
    most[122] = 0;
    assert_int_equal(ljs_account_kek(&text, "acme", most), LJS_E_INVAL);
    assert_string_equal(ljs__kek_wire("@acme/main/2"), "main/2");
    assert_string_equal(ljs__kek_wire("main"), "main");
    assert_string_equal(ljs__kek_wire("@main"), "@main");
    assert_string_equal(ljs__kek_wire("ns/main"), "ns/main");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_matrix),
        cmocka_unit_test(test_a_claim),
        cmocka_unit_test(test_drawn_tokens),
        cmocka_unit_test(test_tokens_that_survive),
        cmocka_unit_test(test_the_old_owner_is_out),
        cmocka_unit_test(test_offers),
        cmocka_unit_test(test_suspension),
        cmocka_unit_test(test_accounts),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_another_master_key), /* the last: the world's vault has another then */
    };

    world_audit = LJS_AUDIT_ON;
    return cmocka_run_group_tests(tests, world_begin, world_end);
}
