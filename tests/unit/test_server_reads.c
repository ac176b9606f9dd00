/* What an owner reads while the device becomes another's: at whichever moment that is, it is of his own time. */
#include "server/claim.h"

#include <lorajs/admin.h>

#include "audit_world.h"

#define DEV_TEXT "70b3d5499f0a1c27"

enum { NOW = 1800000000, TOKEN_ROOM = 128 };

static struct world w;

/* ---- a store in which something happens before the nth look at a value ------------------- */

static struct {
    ljs_store *inner;
    unsigned left; /* looks until then; 0: it is over, or never */
} before;

static void hand_over(void);

static ljs_err h_get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    (void)self;
    if (before.left && --before.left == 0)
        hand_over();
    return ljs_store_get(out, version, before.inner, key, key_len);
}

static ljs_err h_commit(void *self, ljs_change *changes, size_t len)
{
    (void)self;
    return ljs_store_commit(before.inner, changes, len);
}

static ljs_err h_each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    (void)self;
    return ljs_store_each(before.inner, prefix, prefix_len, row, user);
}

static void h_close(void *self)
{
    (void)self;
    ljs_store_free(before.inner);
}

/* ---- a device of acme's ------------------------------------------------------------------- */

static ljs_claim_req req_of(ljs_claim_act act, const char *account, const char *as_id)
{
    ljs_claim_req req = { .struct_size = sizeof req, .now = NOW, .act = act, .dev_eui = DEV };

    strcpy(req.account, account);
    req.routing = (ljs_routing){ .struct_size = sizeof req.routing,
                                 .set = LJS_ROUTE_HOME_NET_ID | LJS_ROUTE_AS_ID,
                                 .has_home_net_id = 1,
                                 .home_net_id = *account == 'g' ? 0xabcdef : 0x13 };
    strcpy(req.routing.as_id, as_id);
    return req;
}

static void act(ljs_claim_act what, const char *account, const char *as_id)
{
    ljs_claim_req req = req_of(what, account, as_id);
    ljs_buf none;

    assert_int_equal(ljs_server_claim(&none, w.server, &req, NULL, 0), LJS_OK);
}

/* A join by this network with a MIC that is none, which the device's log then has. */
static void refused(const char *sender)
{
    const ljs_frame frame = { .kind = LJS_FRAME_JOIN, .join_eui = EUI, .dev_eui = DEV, .nonce = 9 };
    ljs_join_req req = request(LJS_MAC_1_0_3);

    set_phy(&req, &frame, nwk);
    req.phy[req.phy_len - 1] ^= 1;
    req.dl_settings = 0;
    ask(&w, NOW + 2, join_text(&(struct say){ .dev_eui = DEV, .sender = sender }, &req), "MICFailed");
    assert_int_equal(ljs_server_flush(w.server), LJS_OK);
}

static bool and_back;

static void hand_over(void)
{
    ljs_claim_req back = req_of(LJS_CLAIM_ASSIGN, "acme", "as.acme");
    ljs_buf none;

    act(LJS_CLAIM_RELEASE, "acme", "");
    act(LJS_CLAIM_ASSIGN, "globex", "as.globex");
    refused("ABCDEF"); /* of the new owner's network */
    if (!and_back)
        return;
    act(LJS_CLAIM_RELEASE, "globex", "");
    back.now = NOW + 3;
    assert_int_equal(ljs_server_claim(&none, w.server, &back, NULL, 0), LJS_OK);
}

/* Joins are answered, in clear; and no log is kept of it, or one is. */
static const ljs_server_opts quiet = { .struct_size = sizeof quiet,
                                       .anonymous = 1,
                                       .clear = LJS_CLEAR_NS | LJS_CLEAR_AS };
static bool lab_too;

static void begin(char token[TOKEN_ROOM])
{
    static const ljs_store_ops ops = {
        .struct_size = sizeof ops, .get = h_get, .commit = h_commit, .each = h_each, .close = h_close
    };
    static const char *const names[] = { "acme", "globex" };
    ljs_credential c = {
        .struct_size = sizeof c, .name = "acme-1", .roles = LJS_ROLE_CLAIM, .account = "acme", .at = NOW
    };
    ljs_store *store;
    ljs_buf text;

    before.left = 0;
    assert_int_equal(ljs_store_memory(&before.inner), LJS_OK);
    assert_int_equal(ljs_store_custom(&store, &ops, &before), LJS_OK);
    server_begin(&w, store, lab_too ? &lab : &quiet);
    add_devices(&w, 1);
    for (unsigned i = 0; i < COUNT_OF(names); i++) {
        ljs_account a = { .struct_size = sizeof a, .at = NOW };

        strcpy(a.name, names[i]);
        assert_int_equal(ljs_server_add_account(w.server, &a), LJS_OK);
    }
    assert_int_equal(ljs_server_add_credential(&text, w.server, &c), LJS_OK);
    memcpy(token, text.data, text.len);
    token[text.len] = 0;
    ljs_buf_free(&text);
    act(LJS_CLAIM_ASSIGN, "acme", "as.acme");
}

/* Asked when the device is another's from the nth look on; false when that many looks were not taken. */
static bool read_at(const char *target, unsigned nth, bool *refused)
{
    ljs_admin_req req = { .struct_size = sizeof req, .now = NOW + 1, .method = "GET" };
    char token[TOKEN_ROOM], body[4096] = "";
    ljs_admin_ans ans;
    bool happened;

    begin(token);
    snprintf(req.target, sizeof req.target, "%s", target);
    snprintf(req.authorization, sizeof req.authorization, "Bearer %s", token);
    before.left = nth;
    assert_int_equal(ljs_admin_handle(&ans, w.server, &req, NULL, 0), LJS_OK);
    happened = !before.left;
    *refused = ans.status >= 400;
    assert_true(ans.status == 200 || ans.status == 403 || ans.status == 404);
    assert_true(happened || ans.status == 200);
    assert_in_range(ans.body.len, 1, sizeof body - 1);
    memcpy(body, ans.body.data, ans.body.len);
    if (strstr(body, "globex") || strstr(body, "abcdef") || strstr(body, "ABCDEF"))
        fail_msg("%s, handed over at look %u: %s", target, nth, body);
    assert_false(*refused && *ans.etag);
    ljs_buf_free(&ans.body);
    server_end(&w);
    return happened;
}

static void test_whoever_reads_meanwhile(void **state)
{
    static const char *const targets[] = { "/v1/devices/" DEV_TEXT, "/v1/devices/" DEV_TEXT "/decisions",
                                           "/v1/claims/" DEV_TEXT,  "/v1/claims",
                                           "/v1/devices",           "/api/v2/devices/" DEV_TEXT "/claim",
                                           "/v1/decisions" };

    (void)state;
    for (size_t n = 0; n < 2 * COUNT_OF(targets); n++) {
        size_t i = n / 2;
        unsigned nth = 1, refusals = 0;
        bool refused;

        and_back = n % 2;
        while (read_at(targets[i], nth, &refused)) {
            refusals += refused;
            nth++;
        }
        assert_true(nth > 2);
        assert_int_equal(refusals > 0, !and_back && strstr(targets[i], DEV_TEXT) != NULL);
    }
}

/* ---- the join log of a later owner -------------------------------------------------------- */

/* What was in the second of the change is the former owner's. */
static void test_the_log_begins_with_its_owner(void **state)
{
    ljs_admin_req req = { .struct_size = sizeof req, .now = NOW + 9, .method = "GET" };
    ljs_claim_req release = req_of(LJS_CLAIM_RELEASE, "acme", ""), assign = req_of(LJS_CLAIM_ASSIGN, "acme", "as.acme");
    char token[TOKEN_ROOM], at[32], body[4096] = "";
    ljs_admin_ans ans;
    ljs_buf none;

    (void)state;
    lab_too = true;
    begin(token);
    lab_too = false;
    ask(&w, NOW + 1, join_of(0, 1, false), "Success");
    ask(&w, NOW + 1, join_of(0, 2, false), "Success");
    ask(&w, NOW + 4, join_of(0, 1, false), "JoinReqFailed");
    release.now = assign.now = NOW + 5;
    assert_int_equal(ljs_server_claim(&none, w.server, &release, NULL, 0), LJS_OK);
    assert_int_equal(ljs_server_claim(&none, w.server, &assign, NULL, 0), LJS_OK);
    ask(&w, NOW + 5, join_of(0, 2, true), "MICFailed");
    ask(&w, NOW + 6, join_of(0, 1, false), "JoinReqFailed");
    assert_int_equal(ljs_server_flush(w.server), LJS_OK);
    snprintf(req.target, sizeof req.target, "/v1/devices/%s/decisions", DEV_TEXT);
    snprintf(req.authorization, sizeof req.authorization, "Bearer %s", token);
    assert_int_equal(ljs_admin_handle(&ans, w.server, &req, NULL, 0), LJS_OK);
    assert_int_equal(ans.status, 200);
    assert_in_range(ans.body.len, 1, sizeof body - 1);
    memcpy(body, ans.body.data, ans.body.len);
    for (int later = 1; later < 8; later++) {
        snprintf(at, sizeof at, "\"at\":%d,", NOW + later);
        assert_int_equal(strstr(body, at) != NULL, later == 6);
    }
    ljs_buf_free(&ans.body);
    server_end(&w);
}

/* Nor is it told how often the same was refused before. */
static void test_the_count_is_of_its_owner(void **state)
{
    ljs_claim_req release = req_of(LJS_CLAIM_RELEASE, "acme", ""), assign = req_of(LJS_CLAIM_ASSIGN, "acme", "as.acme");
    char token[TOKEN_ROOM];
    ljs_buf none;
    ljs_event e;

    (void)state;
    begin(token);
    release.now = assign.now = NOW + 1;
    refused("000013");
    refused("000013");
    assert_int_equal(ljs_server_decision(&e, w.server, DEV, 0), LJS_OK);
    assert_int_equal(e.count, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(ljs_server_claim(&none, w.server, &release, NULL, 0), LJS_OK);
        assert_int_equal(ljs_server_claim(&none, w.server, &assign, NULL, 0), LJS_OK);
        refused("000013");
        assert_int_equal(ljs_server_decision(&e, w.server, DEV, 0), LJS_OK);
        assert_int_equal(e.count, i ? 1 : 3); /* he has it since NOW + 1, and then since NOW + 2 */
        release.now = assign.now = NOW + 2;
    }
    assert_int_equal(ljs_server_decision(&e, w.server, DEV, 1), LJS_OK);
    assert_int_equal(e.count, 3);
    server_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_the_count_is_of_its_owner),
                                        cmocka_unit_test(test_whoever_reads_meanwhile),
                                        cmocka_unit_test(test_the_log_begins_with_its_owner) };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
