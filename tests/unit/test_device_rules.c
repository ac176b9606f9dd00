/* Who may join in which state, by whose rules, and what is said of a request with several faults:
 * the whole product against a matrix written from the text alone. */
#include "device_world.h"

#include "device/record.h"

#include <stdio.h>

static const ljs_mac macs[] = {
    LJS_MAC_1_0_0, LJS_MAC_1_0_1, LJS_MAC_1_0_2, LJS_MAC_1_0_3, LJS_MAC_1_0_4, LJS_MAC_1_1
};
static const ljs_frame_kind kinds[] = { LJS_FRAME_JOIN, LJS_FRAME_REJOIN0, LJS_FRAME_REJOIN1, LJS_FRAME_REJOIN2 };
enum { FRESH, JOINED, BLOCKED_FRESH, BLOCKED_JOINED, REMOVED, MOVED_FRESH, MOVED_JOINED, STATES };
enum { NO_KEK, CLEAR, WRAPPED, KEKS };
enum { NO_HOME, HOME, ELSEWHERE, HOMES };
enum {
    BAD_TYPE = 1,    /* a join in a RejoinReq, or the other way round */
    BAD_DEV_EUI = 2, /* the frame is another device's */
    BAD_NAME = 4,    /* JoinEUI not listed; for rejoin 0 and 2, NetID not the sender's */
    BAD_MIC = 8,
    BAD_NONCE = 16, /* used */
    FAULTS_END = 32
};
enum { USED = 7, UNUSED = 9 };

struct cell {
    unsigned state, fault, kek, home;
    ljs_frame_kind kind;
    ljs_mac device, network;
    bool opt_neg, require_1_1, peer;
};

/* join.h: frame, DevEUI, JoinEUI, state and policy, KEK, version, root key, MIC, nonce. */
static ljs_err expected(const struct cell *c)
{
    const bool rejoin = c->kind != LJS_FRAME_JOIN, net = carries_net_id(c->kind);
    const bool by_1_1 = c->device == LJS_MAC_1_1 && c->network == LJS_MAC_1_1 && c->opt_neg;
    const bool had_session = c->state == JOINED;
    const struct {
        bool when;
        ljs_err err;
    } order[] = {
        { c->fault & (BAD_TYPE | BAD_DEV_EUI), LJS_E_FRAME },
        { c->state == REMOVED, LJS_E_DEVICE },
        { c->fault & BAD_NAME && !net, LJS_E_JOINEUI },
        { c->state == BLOCKED_FRESH || c->state == BLOCKED_JOINED, LJS_E_BLOCKED },
        { c->state == MOVED_FRESH || c->state == MOVED_JOINED, LJS_E_MOVED },
        { c->home == ELSEWHERE || (c->fault & BAD_NAME && net), LJS_E_HOME },
        { c->kek == NO_KEK, LJS_E_KEK },
        { c->network > c->device, LJS_E_MAC },
        /* an accept with OptNeg set makes a 1.1 device use what a network below 1.1 has not */
        { c->device == LJS_MAC_1_1 && c->opt_neg && c->network < LJS_MAC_1_1, LJS_E_MAC },
        { rejoin && !by_1_1, LJS_E_MAC },
        { c->require_1_1 && !by_1_1, LJS_E_MAC },
        { c->fault & BAD_MIC && (!net || had_session || !c->peer), LJS_E_MIC },
        { net && !had_session && !c->peer, LJS_E_MIC },                             /* nobody to believe */
        { c->fault & BAD_NONCE && !net && (had_session || !rejoin), LJS_E_REPLAY }, /* a fresh device has no RJcount1 */
        { c->fault & BAD_NONCE && net && had_session, LJS_E_REPLAY },
    };

    for (size_t i = 0; i < COUNT_OF(order); i++)
        if (order[i].when)
            return order[i].err;
    return LJS_OK;
}

/* In every state, with DevNonce, RJcount1 and the first session's RJcount0 USED used where the
 * state can have them. */
static ljs_buf record_in(unsigned state, ljs_mac mac, unsigned home, bool require_1_1)
{
    static const uint8_t used[] = { USED, 0 };
    const ljs_root_keys keys = { .nwk = nwk, .app = app };
    const bool counts = mac >= LJS_MAC_1_0_4;
    ljs_device d = device_of(mac);
    ljs_buf record;

    d.require_1_1 = require_1_1;
    if (state == FRESH || state == BLOCKED_FRESH || state == MOVED_FRESH) {
        assert_int_equal(ljs_device_make(&record, vault, &d, &keys, 0, counts ? USED : NO_NONCE, counts ? NULL : used,
                                         counts ? 0 : sizeof used, NULL, 0),
                         LJS_OK);
    } else {
        ljs_join_req req = join_req(mac, USED);

        record = make(&d);
        joined_on(&record, &req);
        if (mac >= LJS_MAC_1_1) {
            ljs_session first = read_session(&record, 0);

            req = rejoin1_req(EUI, USED);
            joined_on(&record, &req);
            req = rejoin02_req(LJS_FRAME_REJOIN0, &first, USED, nwk);
            joined_on(&record, &req);
        }
    }
    d.has_home_net_id = home != NO_HOME;
    d.home_net_id = home == HOME ? NET : home == ELSEWHERE ? NET + 1 : 0;
    assert_int_equal(make_on(&record, &d, nwk, app, 0), LJS_OK);
    if (state == BLOCKED_FRESH || state == BLOCKED_JOINED)
        assert_int_equal(act_on(&record, LJS_DEVICE_BLOCK), LJS_OK);
    if (state == MOVED_FRESH || state == MOVED_JOINED)
        assert_int_equal(act_on(&record, LJS_DEVICE_MOVE), LJS_OK);
    if (state == REMOVED)
        assert_int_equal(act_on(&record, LJS_DEVICE_REMOVE), LJS_OK);
    return record;
}

/* Frames are signed once for each kind, fault and record. */
static ljs_join_req frame_for(const ljs_buf *record, ljs_frame_kind kind, unsigned fault)
{
    const bool net = carries_net_id(kind);
    ljs_device d = read_device(record);
    ljs_frame frame = { .kind = kind, .dev_eui = DEV, .nonce = fault & BAD_NONCE ? USED : UNUSED };
    ljs_session first = { .scheme = LJS_SCHEME_1_1, .join_eui = EUI, .net_id = NET };
    ljs_join_req req = request(LJS_MAC_1_1);
    ljs_key *key = NULL;

    if (d.sessions)
        first = read_session(record, d.sessions - 1U);
    if (fault & BAD_DEV_EUI)
        frame.dev_eui++;
    if (net)
        frame.net_id = fault & BAD_NAME ? NET + 2 : NET;
    else
        frame.join_eui = fault & BAD_NAME ? EUI + 9 : EUI;
    if (kind == LJS_FRAME_REJOIN1)
        key = derived(LJS_KEY_JS_INT, NULL, nwk);
    else if (net)
        key = derived(LJS_KEY_S_NWK_S_INT, &first, nwk);
    set_phy(&req, &frame, key ? key : nwk);
    ljs_key_free(key);
    if (fault & BAD_MIC)
        req.phy[req.phy_len - 2] ^= 4;
    if (fault & BAD_TYPE)
        req.rejoin = !req.rejoin;
    return req;
}

static void try_cell(const struct cell *c, const ljs_buf *record, ljs_join_req req)
{
    static const ljs_join_ans nothing;
    const bool wrapped = c->kek == WRAPPED;
    ljs_buf next = { leftover, 1 };
    ljs_err want = expected(c), got;
    ljs_join_ans ans;

    memset(&ans, 0xa5, sizeof ans);
    req.mac = c->network;
    req.dl_settings = c->opt_neg ? 0xa3 : 0x23;
    req.clear = c->kek == CLEAR ? LJS_CLEAR_NS | LJS_CLEAR_AS : 0;
    req.dev_addr = 0x01020304; /* not what a session of the record has: no repeat */
    if (!c->peer)
        req.peer[0] = 0;
    got = ljs_join(&ans, &next, vault, &req, wrapped ? ns_kek : NULL, wrapped ? "ns:13" : NULL, wrapped ? as_kek : NULL,
                   wrapped ? "as" : NULL, record->data, record->len);
    if (got != want)
        fail_msg(
            "state %u kind %x device %s network %s optneg %d kek %u home %u fault %u peer %d require %d: %s, not %s",
            c->state, (unsigned)c->kind, ljs_mac_text(c->device), ljs_mac_text(c->network), c->opt_neg, c->kek, c->home,
            c->fault, c->peer, c->require_1_1, ljs_errname(got), ljs_errname(want));
    if (got) {
        assert_null(next.data);
        assert_int_equal(next.len, 0);
        assert_memory_equal(&ans, &nothing, sizeof ans);
        return;
    }
    assert_int_equal(ans.repeat, 0);
    assert_int_equal(ans.on_word, carries_net_id(c->kind) && c->state == FRESH);
    assert_non_null(next.data);
    assert_int_equal(read_device(&next).state, LJS_STATE_JOINED);
    assert_int_equal(ans.join_nonce, read_device(record).next_join_nonce);
    if (c->fault == 0 && c->home == NO_HOME) {
        ljs_session s = read_session(&next, 0);

        assert_int_equal(s.scheme, c->device == LJS_MAC_1_1 && c->opt_neg ? LJS_SCHEME_1_1 : LJS_SCHEME_1_0);
        assert_int_equal(s.kind, c->kind);
        assert_int_equal(ans.app_s.key_len, wrapped ? 24 : 16);
        assert_string_equal(ans.f_nwk_s_int.kek_label, wrapped ? "ns:13" : "");
        assert_string_equal(ans.app_s.kek_label, wrapped ? "as" : "");
        device_takes(&ans, &req, &s, nwk, app, wrapped ? ns_kek : NULL, wrapped ? as_kek : NULL);
    }
    ljs_buf_free(&next);
}

static bool at_most_two(unsigned bits)
{
    return __builtin_popcount(bits) <= 2;
}

static void whole_product(bool require_1_1, bool peer)
{
    size_t cells = 0;

    for (unsigned state = 0; state < STATES; state++)
        for (size_t m = require_1_1 ? COUNT_OF(macs) - 1 : 0; m < COUNT_OF(macs); m++)
            for (unsigned home = 0; home < HOMES; home++) {
                ljs_buf record = record_in(state, macs[m], home, false);

                if (require_1_1) { /* set afterwards, so that the sessions may be of any kind */
                    ljs_device d = read_device(&record);

                    d.require_1_1 = 1;
                    if (state == REMOVED) {
                        ljs_buf_free(&record);
                        continue;
                    }
                    assert_int_equal(make_on(&record, &d, nwk, app, 0), LJS_OK);
                }
                for (size_t k = 0; k < COUNT_OF(kinds); k++)
                    for (unsigned fault = 0; fault < FAULTS_END; fault++) {
                        ljs_join_req req;

                        if (!at_most_two(fault))
                            continue;
                        req = frame_for(&record, kinds[k], fault);
                        for (size_t n = 0; n < COUNT_OF(macs); n++)
                            for (unsigned rest = 0; rest < 2 * KEKS; rest++, cells++)
                                try_cell(&(struct cell){ .state = state,
                                                         .fault = fault,
                                                         .kek = rest / 2,
                                                         .home = home,
                                                         .kind = kinds[k],
                                                         .device = macs[m],
                                                         .network = macs[n],
                                                         .opt_neg = rest % 2,
                                                         .require_1_1 = require_1_1,
                                                         .peer = peer },
                                         &record, req);
                    }
                ljs_buf_free(&record);
            }
    assert_true(cells > 10000);
}

static void test_every_cell(void **state)
{
    (void)state;
    whole_product(false, true);
}

static void test_without_a_peer(void **state)
{
    (void)state;
    whole_product(true, false);
}

/* ---- what stands before and after the matrix -------------------------------- */

static void test_the_tag_is_first(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_1);
    ljs_buf record = make(&d), next;
    ljs_join_req req = frame_for(&record, LJS_FRAME_JOIN, BAD_TYPE | BAD_NAME | BAD_MIC);
    ljs_join_ans ans;

    (void)state;
    req.clear = 0;
    record.data[record.len / 2] ^= 1;
    assert_int_equal(ljs_join(&ans, &next, vault, &req, NULL, NULL, NULL, NULL, record.data, record.len), LJS_E_SEAL);
    assert_null(next.data);
    req.phy_len = 3;
    assert_int_equal(ljs_join(&ans, &next, vault, &req, NULL, NULL, NULL, NULL, record.data, record.len), LJS_E_SEAL);
    ljs_buf_free(&record);
}

static void test_frames_that_are_none(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_buf record = make(&d);
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 1);

    (void)state;
    req.clear = 0; /* and no KEK: the frame is judged first */
    for (size_t len = 0; len <= LJS_FRAME_MAX; len++) {
        req.phy_len = len;
        req.phy[0] = 0;
        refused_on(len == 23 ? LJS_E_KEK : len == 19 || len == 24 ? LJS_E_FRAME : LJS_E_SIZE, &record, &req);
    }
    req.phy_len = 23;
    for (unsigned mhdr = 1; mhdr < 256; mhdr++) { /* another MType or Major, or RFU bits */
        req.phy[0] = (uint8_t)mhdr;
        refused_on(LJS_E_FRAME, &record, &req);
    }
    ljs_buf_free(&record);
}

static void test_arguments_out_of_range(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_buf record = make(&d), next;
    const ljs_join_req good = join_req(LJS_MAC_1_0_3, 1);
    ljs_join_req req;
    ljs_join_ans ans;

    (void)state;
#define REFUSED(change)                                                                                                \
    do {                                                                                                               \
        req = good;                                                                                                    \
        change;                                                                                                        \
        refused_on(LJS_E_INVAL, &record, &req);                                                                        \
    } while (0)
    REFUSED(req.struct_size--);
    REFUSED(req.phy_len = LJS_FRAME_MAX + 1);
    REFUSED(req.cf_list_len = 15);
    REFUSED(req.cf_list_len = 17);
    REFUSED(req.rx_delay = 16);
    REFUSED(req.net_id = 0x1000000);
    REFUSED(req.mac = (ljs_mac)0x0105);
    REFUSED(memset(req.peer, 'x', sizeof req.peer));
    REFUSED(strcpy(req.peer, "a\nb"));
    REFUSED(memset(req.session_key_id, 0, sizeof req.session_key_id));
#undef REFUSED
    req = good; /* a KEK goes by its label */
    assert_int_equal(ljs_join(&ans, &next, vault, &req, ns_kek, NULL, NULL, NULL, record.data, record.len),
                     LJS_E_INVAL);
    assert_int_equal(ljs_join(&ans, &next, vault, &req, ns_kek, "", NULL, NULL, record.data, record.len), LJS_E_INVAL);
    assert_int_equal(ljs_join(&ans, &next, vault, &req, NULL, NULL, as_kek, "a\x01", record.data, record.len),
                     LJS_E_INVAL);
    joined_on(&record, &good);
    ljs_buf_free(&record);
}

/* A record that says 1.1 and has no AppKey: no way to make one leads there, so it is made inside. */
static void test_no_app_key(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_buf record = { NULL, 0 }, made;
    struct record r;
    ljs_join_req req;

    (void)state;
    assert_int_equal(make_on(&record, &d, nwk, NULL, 0), LJS_OK);
    d.mac = LJS_MAC_1_1;
    assert_int_equal(make_on(&record, &d, nwk, NULL, 0), LJS_E_INVAL);
    assert_int_equal(ljs__record_load(&r, vault, record.data, record.len), LJS_OK);
    r.d.mac = LJS_MAC_1_1;
    assert_int_equal(ljs__record_save(&made, &r, vault), LJS_OK);
    req = join_req(LJS_MAC_1_1, 1);
    req.phy[22] ^= 1; /* a MIC that is wrong is not looked at */
    refused_on(LJS_E_NOKEY, &made, &req);
    req.mac = LJS_MAC_1_0_3; /* OptNeg with a network below 1.1 is, before */
    refused_on(LJS_E_MAC, &made, &req);
    req = rejoin1_req(EUI, 0);
    refused_on(LJS_E_NOKEY, &made, &req);
    req = join_req(LJS_MAC_1_1, 1);
    req.dl_settings = 0; /* by the rules of 1.0 one root is enough */
    joined_on(&made, &req);
    ljs_buf_free(&made);
    ljs_buf_free(&record);
}

/* The one root key of 1.0.x is NwkKey where there is one, else AppKey. */
static void test_one_root(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_2);
    ljs_join_req by_nwk = join_req_for(LJS_MAC_1_0_2, EUI, 1, nwk), by_app = join_req_for(LJS_MAC_1_0_2, EUI, 2, app);
    ljs_buf record = { NULL, 0 };
    ljs_join_ans ans;
    ljs_session s;

    (void)state;
    assert_int_equal(make_on(&record, &d, NULL, app, 0), LJS_OK);
    refused_on(LJS_E_MIC, &record, &by_nwk);
    ans = joined_on(&record, &by_app);
    s = read_session(&record, 0);
    device_takes(&ans, &by_app, &s, app, app, NULL, NULL);
    ljs_buf_free(&record);
    record = make(&d);
    refused_on(LJS_E_MIC, &record, &by_app);
    ans = joined_on(&record, &by_nwk);
    s = read_session(&record, 0);
    device_takes(&ans, &by_nwk, &s, nwk, app, NULL, NULL);
    ljs_buf_free(&record);
}

static void test_require_1_1(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_4);
    ljs_buf record = { NULL, 0 };

    (void)state;
    d.require_1_1 = 1; /* of a device that cannot */
    assert_int_equal(make_on(&record, &d, nwk, app, 0), LJS_E_INVAL);
}

static void test_home_ns_id(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_buf record;
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 1);

    (void)state;
    d.has_home_ns_id = 1;
    d.home_ns_id = 77;
    record = make(&d);
    req.has_ns_id = 1;
    req.ns_id = 76;
    refused_on(LJS_E_HOME, &record, &req);
    req.ns_id = 77;
    joined_on(&record, &req);
    req = join_req(LJS_MAC_1_0_3, 2);
    joined_on(&record, &req); /* Backend Interfaces 1.0 has no NSID */
    ljs_buf_free(&record);
}

/* AppSKey only where there is a way: wrapped, or in clear with leave; else SessionKeyID alone. */
static void test_keys_given(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_1);

    (void)state;
    for (unsigned bits = 0; bits < 16; bits++) {
        const bool ns = bits & 1, as = bits & 2, ns_clear = bits & 4, as_clear = bits & 8;
        ljs_buf record = make(&d), next;
        ljs_join_req req = join_req(LJS_MAC_1_1, 1);
        ljs_join_ans ans;
        ljs_err err;

        req.clear = (ns_clear ? LJS_CLEAR_NS : 0) | (as_clear ? LJS_CLEAR_AS : 0);
        err = ljs_join(&ans, &next, vault, &req, ns ? ns_kek : NULL, ns ? "ns" : NULL, as ? as_kek : NULL,
                       as ? "as" : NULL, record.data, record.len);
        assert_int_equal(err, ns || ns_clear ? LJS_OK : LJS_E_KEK);
        if (!err) {
            assert_int_equal(ans.f_nwk_s_int.key_len, ns ? 24 : 16);
            assert_int_equal(ans.s_nwk_s_int.key_len, ns ? 24 : 16);
            assert_int_equal(ans.nwk_s_enc.key_len, ns ? 24 : 16);
            assert_int_equal(ans.app_s.key_len, as ? 24 : as_clear ? 16 : 0);
            assert_memory_equal(ans.session_key_id, req.session_key_id, 16);
        }
        ljs_buf_free(&next);
        ljs_buf_free(&record);
    }
}

static void test_acts(void **state)
{
    static const ljs_state from[] = { LJS_STATE_FRESH,   LJS_STATE_JOINED,  LJS_STATE_BLOCKED, LJS_STATE_BLOCKED,
                                      LJS_STATE_REMOVED, LJS_STATE_BLOCKED, LJS_STATE_BLOCKED };
    enum { NO = -1, MOVED = -2 }; /* refused by its state, or since it has moved */
    enum { F = LJS_STATE_FRESH, J = LJS_STATE_JOINED, B = LJS_STATE_BLOCKED, R = LJS_STATE_REMOVED };
    enum { ACTS = 7 };
    /* BLOCK, UNBLOCK, RESET_NONCES, REMOVE, EXPOSE, MOVE, MOVE_BACK */
    static const int to[STATES][ACTS] = {
        { B, NO, F, R, F, B, NO },    { B, NO, J, R, J, B, NO },      { NO, F, B, R, B, B, NO },
        { NO, J, B, R, B, B, NO },    { NO, NO, NO, NO, NO, NO, NO }, { NO, MOVED, B, R, B, B, F },
        { NO, MOVED, B, R, B, B, J },
    };

    (void)state;
    for (unsigned s = 0; s < STATES; s++)
        for (int act = 0; act <= ACTS + 1; act++) {
            ljs_buf record = record_in(s, LJS_MAC_1_1, NO_HOME, false);
            bool known = act >= 1 && act <= ACTS, was_moved = s == MOVED_FRESH || s == MOVED_JOINED;
            int want = known ? to[s][act - 1] : NO;
            ljs_device d = read_device(&record);

            assert_int_equal(d.state, from[s]);
            assert_int_equal(d.moved, was_moved);
            assert_int_equal(act_on(&record, (ljs_device_act)act), want == MOVED ? LJS_E_MOVED
                                                                   : want == NO  ? LJS_E_STATE
                                                                                 : LJS_OK);
            d = read_device(&record);
            assert_int_equal(d.state, want < 0 ? from[s] : (ljs_state)want);
            assert_int_equal(d.exposed, want >= 0 && act == LJS_DEVICE_EXPOSE);
            assert_int_equal(d.moved, want < 0 ? was_moved
                                               : act == LJS_DEVICE_MOVE || (was_moved && d.state == LJS_STATE_BLOCKED));
            ljs_buf_free(&record);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_cell),
        cmocka_unit_test(test_without_a_peer),
        cmocka_unit_test(test_the_tag_is_first),
        cmocka_unit_test(test_frames_that_are_none),
        cmocka_unit_test(test_arguments_out_of_range),
        cmocka_unit_test(test_no_app_key),
        cmocka_unit_test(test_one_root),
        cmocka_unit_test(test_require_1_1),
        cmocka_unit_test(test_home_ns_id),
        cmocka_unit_test(test_keys_given),
        cmocka_unit_test(test_acts),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
