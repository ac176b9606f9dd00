/* The device's side against a matrix, and against a network made of the functions of keys.h. */
#include "end_device_world.h"

#include "base/pack.h"
#include "base/secret.h"
#include "session/end_device.h"
#include "session/end_device_state.h"

#include "random.h"

/* ---- the whole product of states and events ---------------------------------- */

enum event { START, TICK, SEND, AGAIN, OTHER, ACCEPT, DATA, CONF, LOST, STOP, RESTART, EVENTS };

/* Written from the specification, not from the table: the state after, '.' for refused.  AGAIN is the last
 * data frame, which nothing has answered; OTHER is one that was not sent last.
 * I idle, G joining, R rekeying, J joined. */
static const struct {
    char state;
    bool old_rules; /* the session is of 1.0 */
    const char *after;
} matrix[] = {
    /*               START TICK SEND AGAIN OTHER ACCEPT DATA CONF LOST STOP RESTART */
    { 'I', false, "  G     .    .    .     .     .      .    .    .    .    I" },
    { 'G', false, "  .     G    .    .     .     R      .    .    G    I    G" },
    { 'G', true, "   .     G    .    .     .     J      .    .    G    I    G" },
    { 'R', false, "  .     R    R    R     .     R      R    J    R    I    R" },
    { 'J', false, "  .     J    J    J     .     R      J    J    J    I    J" },
    { 'J', true, "   .     J    J    J     .     .      J    J    J    I    J" },
};

static void bring(struct world *w, char state, bool old_rules)
{
    const struct down force = { .mac = { 0x0e, 0x02, 0x00 }, .mac_len = 3 };
    ljs_ed_opts opts = world_opts();

    world_open(w, &opts);
    if (state == 'I')
        return;
    if (state == 'G')
        return (void)step_kind(w, LJS_ED_ON_START);
    world_join(w, old_rules ? LJS_SCHEME_1_0 : LJS_SCHEME_1_1, 7);
    if (old_rules)
        return;
    if (state == 'J')
        assert_int_equal(step_down(w, &rekey_conf), LJS_OK);
    /* A rejoin-request is out, so that an accept may come. */
    assert_int_equal(step_down(w, &force), LJS_OK);
    assert_int_equal(step_kind(w, LJS_ED_ON_TICK), LJS_OK);
    assert_int_equal(w->out.sends, LJS_ED_SENDS_REJOIN0);
}

static ljs_err happens(struct world *w, enum event event, char state, bool old_rules)
{
    static const uint8_t junk[17] = { 0x20 };
    const struct down plain = { .fport = 9, .payload = "x" };
    ljs_ed_out last;
    ljs_buf phy;

    switch (event) {
    case START:
        return step_kind(w, LJS_ED_ON_START);
    case TICK:
        return step_kind(w, LJS_ED_ON_TICK);
    case SEND:
        return step_send(w, 1, "x");
    case AGAIN:
    case OTHER:
        if (state == 'R' || state == 'J')
            assert_int_equal(step_send(w, 1, "x"), LJS_OK);
        last = w->out;
        if (event == OTHER && last.frame_len)
            last.frame[last.frame_len - 5] ^= 1;
        return step_again(w, &last, 0, 0);
    case ACCEPT:
        if (!w->out.frame_len) /* none is awaited */
            return step_hear(w, junk, sizeof junk);
        return step_answer(w, old_rules ? LJS_SCHEME_1_0 : LJS_SCHEME_1_1, 8);
    case DATA:
    case CONF:
        if (state == 'I' || state == 'G') { /* of the session that there might be */
            phy = answer(w, LJS_FRAME_JOIN, 0, LJS_SCHEME_1_1, 1);
            ljs_buf_free(&phy);
        }
        return step_down(w, event == CONF ? &rekey_conf : &plain);
    case LOST:
        return step_kind(w, LJS_ED_ON_LOST);
    case STOP:
        return step_kind(w, LJS_ED_ON_STOP);
    case RESTART:
        return step_kind(w, LJS_ED_ON_RESTART);
    case EVENTS:
        break;
    }
    return LJS_E_INVAL;
}

static char letter(ljs_ed_state state)
{
    return "IGRJ"[state];
}

static void test_matrix(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof matrix / sizeof *matrix; i++) {
        const char *after = matrix[i].after;

        for (enum event event = START; event < EVENTS; event++) {
            struct world w;
            ljs_err err;

            after += strspn(after, " ");
            bring(&w, matrix[i].state, matrix[i].old_rules);
            assert_int_equal(letter(world_read(&w).state), matrix[i].state);
            err = happens(&w, event, matrix[i].state, matrix[i].old_rules);
            if (*after == '.') {
                if (err != LJS_E_STATE)
                    fail_msg("state %c, event %d: %s", matrix[i].state, event, ljs_errname(err));
            } else {
                if (err || letter(w.out.state) != *after || letter(world_read(&w).state) != *after)
                    fail_msg("state %c, event %d: %s, %c not %c", matrix[i].state, event, ljs_errname(err),
                             letter(w.out.state), *after);
            }
            world_close(&w);
            after++;
        }
    }
}

static void test_rules_text(void **unused)
{
    size_t n;
    const struct end_device_row *rows = ljs__end_device_rules(&n);

    (void)unused;
    assert_true(n > 20);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(rows[i].from, ljs_ed_state_text(rows[i].from_state));
        assert_string_equal(rows[i].to, ljs_ed_state_text(rows[i].to_state));
        assert_non_null(rows[i].act);
        /* a guard and its words go together, and behind a row without one no other is ever taken */
        assert_int_equal(rows[i].holds != NULL, rows[i].guard[0] != 0);
        for (size_t k = 0; k < i; k++)
            assert_false(rows[k].from_state == rows[i].from_state && rows[k].kind == rows[i].kind && !rows[k].holds);
    }
    assert_string_equal(ljs_ed_state_text((ljs_ed_state)4), "?");
}

/* ---- joining ------------------------------------------------------------------ */

static void test_join_request(void **unused)
{
    ljs_ed_opts opts = world_opts();
    ljs_frame frame;
    struct world w;

    (void)unused;
    opts.dev_nonce = 0xfffe;
    world_open(&w, &opts);
    assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_OK);
    assert_int_equal(w.out.sends, LJS_ED_SENDS_JOIN);
    assert_true(w.out.persist);
    assert_int_equal(ljs_frame_verify(w.nwk, w.out.frame, w.out.frame_len), LJS_OK);
    assert_int_equal(ljs_frame_parse(&frame, w.out.frame, w.out.frame_len), LJS_OK);
    assert_int_equal(frame.kind, LJS_FRAME_JOIN);
    assert_true(frame.join_eui == JOIN_EUI && frame.dev_eui == DEV_EUI);
    assert_int_equal(frame.nonce, 0xfffe);
    /* the last one there is */
    assert_int_equal(step_kind(&w, LJS_ED_ON_TICK), LJS_OK);
    assert_int_equal(w.out.sends, LJS_ED_SENDS_NOTHING);
    assert_int_equal(wake(&w), LJS_ED_SENDS_JOIN);
    assert_int_equal(w.out.nonce, 0xffff);
    assert_int_equal(w.out.wake_at, -1);
    w.now += INT64_C(365) * 86400000;
    assert_int_equal(step_kind(&w, LJS_ED_ON_TICK), LJS_OK);
    assert_int_equal(w.out.sends, LJS_ED_SENDS_NOTHING);
    assert_int_equal(world_read(&w).dev_nonce, 0x10000);
    assert_int_equal(step_kind(&w, LJS_ED_ON_STOP), LJS_OK);
    assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_E_SPENT);
    world_close(&w);

    /* before 1.0.4 DevNonce is what the caller drew */
    opts = world_opts();
    opts.mac = 0x0103;
    world_open(&w, &opts);
    w.random = 0xabcd1234;
    assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_OK);
    assert_int_equal(w.out.nonce, 0x1234);
    world_close(&w);
}

static void test_start_after_stop_keeps_the_budget(void **unused)
{
    ljs_ed_opts opts = world_opts();
    struct world w;
    int64_t until;

    (void)unused;
    world_open(&w, &opts);
    assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_OK);
    until = w.out.wake_at;
    assert_int_equal(step_kind(&w, LJS_ED_ON_STOP), LJS_OK);
    assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_OK);
    assert_int_equal(w.out.sends, LJS_ED_SENDS_NOTHING);
    assert_int_equal(w.out.wake_at, until);
    world_close(&w);
}

/* The budget counts from power-up: who stops and starts does not begin it anew; a reset does. */
static void test_budget_counts_from_power_up(void **unused)
{
    const int64_t hour = 3600000;
    ljs_ed_opts opts = world_opts();
    struct world w;

    (void)unused;
    world_open(&w, &opts);
    assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_OK);
    assert_true(w.out.wake_at - w.now < hour / 10); /* 1.5 s of 36 s, or so */
    assert_int_equal(step_kind(&w, LJS_ED_ON_STOP), LJS_OK);
    w.now += 20 * hour;
    assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_OK);
    assert_int_equal(w.out.sends, LJS_ED_SENDS_JOIN);
    assert_true(w.out.wake_at - w.now > 4 * hour); /* 1.5 s of 8.7 s in a day */
    assert_int_equal(step_kind(&w, LJS_ED_ON_RESTART), LJS_OK);
    assert_int_equal(step_kind(&w, LJS_ED_ON_TICK), LJS_OK);
    assert_int_equal(w.out.sends, LJS_ED_SENDS_JOIN);
    assert_true(w.out.wake_at - w.now < hour / 10);
    world_close(&w);
}

/* [L2 1.1 §7]  counted by brute force, not by the device's own reckoning */
static void budget(uint16_t airtime, uint32_t random)
{
    static int64_t sent[20000];
    ljs_ed_opts opts = world_opts();
    const int64_t hour = 3600000;
    int64_t t0, first = 0, next = 0;
    uint64_t seed = random + 1;
    size_t n = 0;
    struct world w;

    opts.airtime = airtime;
    world_open(&w, &opts);
    t0 = w.now;
    w.random = random;
    assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_OK);
    sent[n++] = w.now - t0;
    while (n < 20000) {
        if (random)
            w.random = (uint32_t)random_next(&seed);
        if (wake(&w) != LJS_ED_SENDS_JOIN || w.now - t0 > 8 * 24 * hour)
            break;
        assert_true(w.out.wake_at > w.now);
        sent[n++] = w.now - t0;
    }
    assert_true(n < 20000);
    for (size_t i = 0; i < n; i++) {
        int64_t day = 0;

        first += sent[i] < hour ? airtime : 0;
        next += sent[i] >= hour && sent[i] < 11 * hour ? airtime : 0;
        for (size_t k = i; k < n && sent[i] >= 11 * hour && sent[k] - sent[i] < 24 * hour; k++)
            day += airtime;
        assert_true(day < 8700);
    }
    assert_true(first < 36000 && next < 36000);
    /* and it is not shy: it uses half of what it may, if the frames are not too long for that */
    if (airtime >= 100 && airtime <= 1500)
        assert_true(first > 18000 && next > 18000);
    world_close(&w);
}

static void test_budget(void **unused)
{
    (void)unused;
    budget(1500, 0);
    budget(1500, 1);
    budget(400, 2);
    budget(4000, 3);
    budget(100, 4);
}

static void test_restart_begins_the_budget_anew(void **unused)
{
    ljs_ed_opts opts = world_opts();
    struct world w;

    (void)unused;
    world_open(&w, &opts);
    w.now = INT64_C(40) * 86400000;
    assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_OK);
    w.now = 5; /* another clock */
    replace(&w.state, &w.durable);
    assert_int_equal(step_kind(&w, LJS_ED_ON_RESTART), LJS_OK);
    assert_int_equal(w.out.wake_at, 5);
    assert_int_equal(step_kind(&w, LJS_ED_ON_TICK), LJS_OK);
    assert_int_equal(w.out.sends, LJS_ED_SENDS_JOIN);
    assert_int_equal(w.out.nonce, 1);
    world_close(&w);
}

/* ---- join-accepts --------------------------------------------------------------- */

static void test_accept_flags(void **unused)
{
    ljs_ed_opts opts = world_opts();
    struct world w;
    ljs_ed ed;

    (void)unused;
    world_open(&w, &opts);
    world_join(&w, LJS_SCHEME_1_1, 3);
    assert_true(w.out.persist && w.out.joined && !w.out.rejoined && w.out.reset_radio && !w.out.session_lost);
    assert_int_equal(w.out.accept.join_nonce, 3);
    assert_int_equal(w.out.accept.rx_delay, 5);
    assert_int_equal(w.out.scheme, LJS_SCHEME_1_1);
    ed = world_read(&w);
    assert_int_equal(ed.join_nonce, 3);
    assert_int_equal(ed.dev_addr, 0x26000003);
    assert_int_equal(ed.session_kind, LJS_FRAME_JOIN);
    assert_false(ed.waiting);
    world_close(&w);
}

/* One accept at a time that is wrong in one thing. */
static void test_accept_refused(void **unused)
{
    ljs_ed_opts opts = world_opts();
    ljs_buf phy;
    struct world w;

    (void)unused;
    world_open(&w, &opts);
    assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_OK);
    /* of another DevNonce, kind, key: the MIC of 1.1 covers them */
    phy = answer(&w, LJS_FRAME_JOIN, 1, LJS_SCHEME_1_1, 1);
    assert_int_equal(step_hear(&w, phy.data, phy.len), LJS_E_MIC);
    ljs_buf_free(&phy);
    phy = answer(&w, LJS_FRAME_REJOIN1, 0, LJS_SCHEME_1_1, 1);
    assert_int_equal(step_hear(&w, phy.data, phy.len), LJS_E_MIC);
    ljs_buf_free(&phy);
    phy = answer(&w, LJS_FRAME_JOIN, 0, LJS_SCHEME_1_1, 1);
    for (size_t i = 1; i < phy.len; i++) { /* the first octet makes it another frame */
        phy.data[i] ^= 0x40;
        assert_int_equal(step_hear(&w, phy.data, phy.len), LJS_E_MIC);
        phy.data[i] ^= 0x40;
    }
    assert_int_equal(step_hear(&w, phy.data, phy.len - 1), LJS_E_SIZE);
    /* the right one still */
    assert_int_equal(step_hear(&w, phy.data, phy.len), LJS_OK);
    /* and not twice */
    assert_int_equal(step_hear(&w, phy.data, phy.len), LJS_E_STATE);
    ljs_buf_free(&phy);
    world_close(&w);

    /* OptNeg set, but the MIC by the rules of 1.0; and the other way round */
    for (int set = 0; set < 2; set++) {
        const ljs_accept accept = { .join_nonce = 1, .dl_settings = set ? 0x80 : 0 };
        const ljs_accept_of of = { .scheme = set ? LJS_SCHEME_1_0 : LJS_SCHEME_1_1,
                                   .kind = LJS_FRAME_JOIN,
                                   .join_eui = JOIN_EUI };

        world_open(&w, &opts);
        assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_OK);
        assert_int_equal(ljs_accept_seal(&phy, &accept, &of, set ? w.nwk : w.js_int, w.nwk), LJS_OK);
        assert_int_equal(step_hear(&w, phy.data, phy.len), LJS_E_MIC);
        ljs_buf_free(&phy);
        world_close(&w);
    }
}

static void test_accept_after_the_windows(void **unused)
{
    ljs_ed_opts opts = world_opts();
    ljs_buf phy;
    struct world w;

    (void)unused;
    world_open(&w, &opts);
    assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_OK);
    assert_int_equal(step_kind(&w, LJS_ED_ON_LOST), LJS_OK);
    phy = answer(&w, LJS_FRAME_JOIN, 0, LJS_SCHEME_1_1, 1);
    assert_int_equal(step_hear(&w, phy.data, phy.len), LJS_E_STATE);
    ljs_buf_free(&phy);
    world_close(&w);
}

static void join_nonces(uint16_t mac, uint8_t rising, uint32_t first, uint32_t second, ljs_err want)
{
    ljs_ed_opts opts = world_opts();
    ljs_scheme scheme = mac >= 0x0110 ? LJS_SCHEME_1_1 : LJS_SCHEME_1_0;
    struct world w;

    opts.mac = mac;
    opts.join_nonce_rising = rising;
    world_open(&w, &opts);
    world_join(&w, scheme, first);
    assert_int_equal(step_kind(&w, LJS_ED_ON_STOP), LJS_OK);
    w.now += 3600000;
    assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_OK);
    assert_int_equal(step_answer(&w, scheme, second), want);
    world_close(&w);
}

static void test_join_nonce(void **unused)
{
    ljs_ed_opts opts = world_opts();
    struct world w;

    (void)unused;
    join_nonces(0x0110, 0, 5, 6, LJS_OK);
    join_nonces(0x0110, 0, 5, 5, LJS_E_REPLAY);
    join_nonces(0x0110, 0, 5, 4, LJS_E_REPLAY);
    join_nonces(0x0110, 0, 5, 0xffffff, LJS_OK);
    join_nonces(0x0104, 0, 5, 4, LJS_OK);
    join_nonces(0x0104, 0, 5, 5, LJS_E_REPLAY);
    join_nonces(0x0102, 1, 5, 4, LJS_E_REPLAY);
    join_nonces(0x0102, 1, 5, 6, LJS_OK);
    join_nonces(0x0103, 0, 0, 1, LJS_OK);
    /* a 1.1 device begins with 0 as the last one, also on a network of 1.0 */
    world_open(&w, &opts);
    assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_OK);
    assert_int_equal(step_answer(&w, LJS_SCHEME_1_1, 0), LJS_E_REPLAY);
    world_close(&w);
    world_open(&w, &opts);
    assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_OK);
    assert_int_equal(step_answer(&w, LJS_SCHEME_1_0, 0), LJS_E_REPLAY);
    world_close(&w);
}

/* A 1.0.x device takes bit 7 for what it is to it: RFU. */
static void test_old_device_ignores_opt_neg(void **unused)
{
    const ljs_accept accept = { .join_nonce = 1, .dl_settings = 0x80 };
    const ljs_accept_of of = { .scheme = LJS_SCHEME_1_0, .kind = LJS_FRAME_JOIN, .join_eui = JOIN_EUI };
    ljs_ed_opts opts = world_opts();
    ljs_buf phy;
    struct world w;

    (void)unused;
    opts.mac = 0x0104;
    world_open(&w, &opts);
    assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_OK);
    assert_int_equal(ljs_accept_seal(&phy, &accept, &of, w.nwk, w.nwk), LJS_OK);
    assert_int_equal(step_hear(&w, phy.data, phy.len), LJS_OK);
    assert_int_equal(w.out.state, LJS_ED_JOINED);
    assert_int_equal(w.out.scheme, LJS_SCHEME_1_0);
    ljs_buf_free(&phy);
    world_close(&w);
}

/* ---- data, RekeyInd, RekeyConf -------------------------------------------------- */

static bool has_command(const uint8_t *in, size_t in_len, uint8_t cid)
{
    ljs_mac_command c;
    size_t at = 0;

    while (!ljs_mac_command_parse(&c, &at, LJS_UP, LJS_LOW_FIRST, in, in_len))
        if (c.cid == cid)
            return true;
    return false;
}

static void test_rekey(void **unused)
{
    const struct down zero = { .mac = { 0x0b, 0 }, .mac_len = 2 }, newer = { .mac = { 0x0b, 2 }, .mac_len = 2 };
    const struct down on_port_0 = { .mac = { 0x0b, 1 }, .mac_len = 2, .mac_on_port_0 = 1 };
    ljs_ed_opts opts = world_opts();
    ljs_data data;
    struct world w;

    (void)unused;
    world_open(&w, &opts);
    world_join(&w, LJS_SCHEME_1_1, 1);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(step_send(&w, 7, "abc"), LJS_OK);
        data = read_up(&w, i, 0);
        assert_true(has_command(data.fopts, data.fopts_len, LJS_CID_REKEY));
        assert_int_equal(data.fopts[1], 1);
        assert_memory_equal(data.frm_payload, "abc", 3);
    }
    /* a version that is none of ours is as if it were not there */
    assert_int_equal(step_down(&w, &zero), LJS_OK);
    assert_true(w.out.heard && !w.out.rekeyed && w.out.state == LJS_ED_REKEYING);
    assert_int_equal(step_down(&w, &newer), LJS_OK);
    assert_true(!w.out.rekeyed && w.out.state == LJS_ED_REKEYING);
    assert_int_equal(step_send(&w, 7, "abc"), LJS_OK);
    data = read_up(&w, 3, 0);
    assert_true(has_command(data.fopts, data.fopts_len, LJS_CID_REKEY));
    assert_int_equal(step_down(&w, &on_port_0), LJS_OK);
    assert_true(w.out.rekeyed && w.out.state == LJS_ED_JOINED && w.out.persist);
    assert_memory_equal(w.out.mac, on_port_0.mac, 2);
    assert_int_equal(step_send(&w, 7, "abc"), LJS_OK);
    data = read_up(&w, 4, 0);
    assert_int_equal(data.fopts_len, 0);
    /* once more: nothing new */
    assert_int_equal(step_down(&w, &rekey_conf), LJS_OK);
    assert_false(w.out.rekeyed);
    world_close(&w);
}

static void fall_back(bool by_windows)
{
    ljs_ed_opts opts = world_opts();
    struct world w;
    int64_t t;

    opts.adr_ack_limit = 5;
    world_open(&w, &opts);
    world_join(&w, LJS_SCHEME_1_1, 1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(step_send(&w, 7, "abc"), LJS_OK);
        assert_int_equal(w.out.sends, LJS_ED_SENDS_DATA);
        assert_int_equal(w.out.persist, 1);
        if (i < 4 && by_windows) {
            assert_int_equal(step_kind(&w, LJS_ED_ON_LOST), LJS_OK);
            assert_int_equal(w.out.state, LJS_ED_REKEYING);
        }
    }
    t = w.now;
    assert_int_equal(by_windows ? step_kind(&w, LJS_ED_ON_LOST) : step_send(&w, 7, "abc"), LJS_OK);
    assert_true(w.out.session_lost && w.out.state == LJS_ED_JOINING && !w.out.sends && w.out.persist);
    assert_true(w.out.wake_at >= t);
    assert_int_equal(step_send(&w, 7, "abc"), LJS_E_STATE);
    assert_int_equal(wake(&w), LJS_ED_SENDS_JOIN);
    assert_int_equal(w.out.nonce, 1);
    assert_int_equal(step_answer(&w, LJS_SCHEME_1_1, 2), LJS_OK);
    assert_int_equal(w.out.state, LJS_ED_REKEYING);
    world_close(&w);
}

static void test_no_rekey_conf(void **unused)
{
    (void)unused;
    fall_back(true);
    fall_back(false);
}

/* RekeyConf after the last uplink that it may come after. */
static void test_rekey_conf_in_time(void **unused)
{
    ljs_ed_opts opts = world_opts();
    struct world w;

    (void)unused;
    opts.adr_ack_limit = 3;
    world_open(&w, &opts);
    world_join(&w, LJS_SCHEME_1_1, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(step_send(&w, 7, "abc"), LJS_OK);
    assert_int_equal(step_down(&w, &rekey_conf), LJS_OK);
    assert_int_equal(w.out.state, LJS_ED_JOINED);
    for (int i = 0; i < 10; i++)
        assert_int_equal(step_send(&w, 7, "abc"), LJS_OK);
    assert_int_equal(w.out.state, LJS_ED_JOINED);
    world_close(&w);
}

static void test_link_limit(void **unused)
{
    const struct down ping = { .fport = 1, .payload = "" };
    ljs_ed_opts opts = world_opts();
    ljs_data data;
    struct world w;

    (void)unused;
    opts.adr_ack_limit = 2;
    opts.link_limit = 4;
    world_open(&w, &opts);
    world_join(&w, LJS_SCHEME_1_0, 1);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(step_send(&w, 7, "abc"), LJS_OK);
        data = read_up(&w, i, 0);
        assert_int_equal(data.adr_ack_req, i >= 2);
    }
    assert_int_equal(step_down(&w, &ping), LJS_OK); /* any downlink will do */
    for (uint32_t i = 4; i < 8; i++) {
        assert_int_equal(step_send(&w, 7, "abc"), LJS_OK);
        data = read_up(&w, i, 0);
        assert_int_equal(data.adr_ack_req, i >= 6);
    }
    assert_int_equal(step_send(&w, 7, "abc"), LJS_OK);
    assert_true(w.out.session_lost && w.out.state == LJS_ED_JOINING);
    world_close(&w);
}

static void both_ways(ljs_scheme scheme)
{
    const struct down app = { .fport = 33, .payload = "from the network", .mac = { 0x02, 5, 1 }, .mac_len = 3 };
    struct down with_ack = { .fport = 34, .payload = "", .ack = 1, .confirmed = 1 };
    ljs_ed_opts opts = world_opts();
    ljs_ed_event event;
    ljs_data data;
    struct world w;
    ljs_buf phy;

    world_open(&w, &opts);
    world_join(&w, scheme, 1);
    if (scheme == LJS_SCHEME_1_1)
        assert_int_equal(step_down(&w, &rekey_conf), LJS_OK);

    phy = downlink(&w, &app);
    assert_int_equal(step_hear(&w, phy.data, phy.len), LJS_OK);
    assert_true(w.out.heard && w.out.persist);
    assert_int_equal(w.out.fport, 33);
    assert_int_equal(w.out.payload_len, strlen(app.payload));
    assert_memory_equal(w.out.payload, app.payload, strlen(app.payload));
    assert_int_equal(w.out.mac_len, 3);
    assert_memory_equal(w.out.mac, app.mac, 3);
    assert_int_equal(step_hear(&w, phy.data, phy.len), LJS_E_REPLAY);
    for (size_t i = 0; i < phy.len; i++) {
        phy.data[i] ^= 0x10;
        assert_int_not_equal(step_hear(&w, phy.data, phy.len), LJS_OK);
        phy.data[i] ^= 0x10;
    }
    ljs_buf_free(&phy);

    /* confirmed uplink, ACK, confirmed downlink, ACK */
    ljs_ed_event_init(&event, LJS_ED_ON_SEND, w.now);
    event.confirmed = 1;
    event.tx_dr = 3;
    event.tx_ch = 5;
    event.mac[0] = 0x06; /* DevStatusAns */
    event.mac[1] = 255;
    event.mac[2] = 7;
    event.mac_len = 3;
    assert_int_equal(step_event(&w, &event), LJS_OK);
    data = read_up(&w, 0, 0);
    assert_true(data.confirmed && !data.ack && !data.has_fport && data.adr);
    assert_memory_equal(data.fopts, event.mac, 3);
    assert_int_equal(step_send(&w, 1, "between"), LJS_OK);
    with_ack.conf_fcnt = 0;
    assert_int_equal(step_down(&w, &with_ack), LJS_OK);
    assert_true(w.out.acked && w.out.confirmed);
    assert_int_equal(world_read(&w).ack_due, 1);
    assert_int_equal(step_send(&w, 1, "acknowledges"), LJS_OK);
    data = read_up(&w, 2, 1); /* the second downlink of its counter, whichever that is */
    assert_true(data.ack);
    assert_int_equal(step_send(&w, 1, "once"), LJS_OK);
    data = read_up(&w, 3, 0);
    assert_false(data.ack);
    world_close(&w);
}

static void test_data(void **unused)
{
    (void)unused;
    both_ways(LJS_SCHEME_1_0);
    both_ways(LJS_SCHEME_1_1);
}

static void test_conf_fcnt(void **unused)
{
    struct down ack = { .ack = 1 };
    ljs_ed_opts opts = world_opts();
    ljs_ed_event event;
    struct world w;

    (void)unused;
    world_open(&w, &opts);
    world_join(&w, LJS_SCHEME_1_1, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
    ljs_ed_event_init(&event, LJS_ED_ON_SEND, w.now);
    event.confirmed = 1;
    assert_int_equal(step_event(&w, &event), LJS_OK); /* FCntUp 3 */
    ack.conf_fcnt = 2;
    assert_int_equal(step_down(&w, &ack), LJS_E_MIC); /* of another uplink */
    ack.conf_fcnt = 3;
    assert_int_equal(step_down(&w, &ack), LJS_OK);
    assert_true(w.out.acked);
    world_close(&w);
}

/* ---- a data frame again ----------------------------------------------------------- */

static ljs_err confirmed(struct world *w)
{
    ljs_ed_event event;

    ljs_ed_event_init(&event, LJS_ED_ON_SEND, w->now);
    event.confirmed = event.fport = 1;
    event.payload[0] = 'c';
    event.payload_len = 1;
    event.tx_dr = 3;
    event.tx_ch = 5;
    return step_event(w, &event);
}

static void sent_again(ljs_scheme scheme)
{
    ljs_ed_opts opts = world_opts();
    struct down ack = { .ack = 1 };
    ljs_ed_out first;
    ljs_ed before;
    ljs_data data;
    struct world w;

    world_open(&w, &opts);
    world_join(&w, scheme, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
    assert_int_equal(confirmed(&w), LJS_OK);
    first = w.out;
    before = world_read(&w);
    assert_int_equal(before.again_left, 14);
    for (uint8_t i = 1; i <= 14; i++) {
        uint8_t dr = 3 - i / 5, ch = i % 8;

        assert_int_equal(step_kind(&w, LJS_ED_ON_LOST), LJS_OK);
        assert_int_equal(step_again(&w, &first, dr, ch), LJS_OK);
        data = read_up_on(&w, 3, 0, dr, ch);
        assert_true(data.confirmed && data.fport == 1 && data.frm_payload_len == 1 && data.frm_payload[0] == 'c');
        assert_int_equal(has_command(data.fopts, data.fopts_len, LJS_CID_REKEY), scheme == LJS_SCHEME_1_1);
        assert_int_equal(w.out.tx_dr, dr);
        assert_int_equal(w.out.frame_len, first.frame_len);
        assert_memory_equal(w.out.frame, first.frame, first.frame_len - (scheme == LJS_SCHEME_1_1 ? 4 : 0));
        assert_false(w.out.persist); /* its counter is durable already */
        assert_int_equal(world_read(&w).again_left, 14 - i);
        if (i == 7) /* what was sent since is the frame, too */
            first = w.out;
    }
    assert_int_equal(step_again(&w, &first, 3, 5), LJS_E_STATE);
    assert_int_equal(world_read(&w).fcnt_up, before.fcnt_up);
    assert_int_equal(world_read(&w).silent, before.silent); /* [L2 1.0.4 §4.3.1.1] */
    ack.conf_fcnt = 3;
    assert_int_equal(step_down(&w, &ack), LJS_OK);
    assert_true(w.out.acked);
    world_close(&w);
}

static void test_send_again(void **unused)
{
    (void)unused;
    sent_again(LJS_SCHEME_1_0);
    sent_again(LJS_SCHEME_1_1);
}

/* A confirmed one until its ACK, others until anything is heard, and nothing but the last. */
static void test_send_again_until_answered(void **unused)
{
    const struct down ping = { .fport = 1, .payload = "p" };
    struct down ack = { .ack = 1 };
    ljs_ed_opts opts = world_opts();
    ljs_ed_out first, other;
    struct world w;

    (void)unused;
    world_open(&w, &opts);
    world_rekeyed(&w, 1);
    assert_int_equal(confirmed(&w), LJS_OK);
    first = w.out;
    assert_int_equal(step_down(&w, &ping), LJS_OK);
    assert_int_equal(step_again(&w, &first, 3, 5), LJS_OK);
    other.frame_len = 0;
    assert_int_equal(step_again(&w, &other, 3, 5), LJS_E_STATE);
    other.frame_len = 3; /* not even a MIC */
    memset(other.frame, 0, sizeof other.frame);
    assert_int_equal(step_again(&w, &other, 3, 5), LJS_E_STATE);
    ack.conf_fcnt = 1;
    assert_int_equal(step_down(&w, &ack), LJS_OK);
    assert_true(w.out.acked);
    assert_int_equal(world_read(&w).again_left, 0);
    assert_int_equal(step_again(&w, &first, 3, 5), LJS_E_STATE);

    assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
    other = w.out;
    assert_int_equal(step_again(&w, &first, 3, 5), LJS_E_STATE);
    assert_int_equal(step_again(&w, &other, 3, 5), LJS_OK);
    assert_int_equal(step_down(&w, &ping), LJS_OK);
    assert_int_equal(step_again(&w, &other, 3, 5), LJS_E_STATE);

    /* a confirmed one before it still waits: nobody sends that any more */
    assert_int_equal(confirmed(&w), LJS_OK);
    first = w.out;
    assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
    other = w.out;
    assert_int_equal(step_again(&w, &first, 3, 5), LJS_E_STATE);
    assert_int_equal(step_down(&w, &ping), LJS_OK);
    assert_int_equal(step_again(&w, &other, 3, 5), LJS_E_STATE);

    /* not after a restart, which skips counters, nor under another session */
    assert_int_equal(confirmed(&w), LJS_OK);
    first = w.out;
    replace(&w.state, &w.durable);
    assert_int_equal(step_kind(&w, LJS_ED_ON_RESTART), LJS_OK);
    assert_int_equal(step_again(&w, &first, 3, 5), LJS_E_STATE);
    assert_int_equal(confirmed(&w), LJS_OK);
    first = w.out;
    assert_int_equal(step_kind(&w, LJS_ED_ON_STOP), LJS_OK);
    assert_int_equal(step_again(&w, &first, 3, 5), LJS_E_STATE);
    w.now += 3600000;
    world_join(&w, LJS_SCHEME_1_1, 2);
    assert_int_equal(step_again(&w, &first, 3, 5), LJS_E_STATE);
    world_close(&w);
}

/* The ACK that it carries names the downlink that was the last one then. */
static void test_send_again_acknowledges_the_same(void **unused)
{
    const struct down first_down = { .fport = 1, .payload = "1", .confirmed = 1 };
    ljs_ed_opts opts = world_opts();
    ljs_ed_out first;
    struct world w;

    (void)unused;
    world_open(&w, &opts);
    world_rekeyed(&w, 1);
    w.a_down = 4;
    assert_int_equal(step_down(&w, &first_down), LJS_OK);
    assert_int_equal(confirmed(&w), LJS_OK);
    first = w.out;
    assert_true(read_up(&w, 1, 4).ack);
    assert_int_equal(step_down(&w, &first_down), LJS_OK); /* AFCntDown 5, and no ACK */
    assert_int_equal(step_again(&w, &first, 1, 7), LJS_OK);
    assert_true(read_up_on(&w, 1, 4, 1, 7).ack);
    assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
    assert_true(read_up(&w, 2, 5).ack);
    world_close(&w);
}

static void test_send_sizes(void **unused)
{
    ljs_ed_opts opts = world_opts();
    ljs_ed_event event;
    ljs_data data;
    struct world w;

    (void)unused;
    world_open(&w, &opts);
    world_join(&w, LJS_SCHEME_1_1, 1);
    ljs_ed_event_init(&event, LJS_ED_ON_SEND, w.now);
    event.tx_dr = 3;
    event.tx_ch = 5;
    memset(event.mac, 0x03, sizeof event.mac); /* LinkADRAns with status 3, over and over */
    event.mac_len = 13;                        /* RekeyInd takes two of the fifteen */
    event.fport = 1;
    event.payload_len = 5;
    assert_int_equal(step_event(&w, &event), LJS_OK);
    data = read_up(&w, 0, 0);
    assert_int_equal(data.fopts_len, 15);
    event.mac_len = 14;
    assert_int_equal(step_event(&w, &event), LJS_E_SIZE);
    event.fport = 0;
    assert_int_equal(step_event(&w, &event), LJS_E_INVAL);
    event.payload_len = 0;
    assert_int_equal(step_event(&w, &event), LJS_OK); /* port 0 */
    data = read_up(&w, 1, 0);
    assert_true(data.has_fport && data.fport == 0 && data.fopts_len == 0);
    assert_true(has_command(data.frm_payload, data.frm_payload_len, LJS_CID_REKEY));
    event.mac_len = 240;
    assert_int_equal(step_event(&w, &event), LJS_OK);
    event.mac_len = 241;
    assert_int_equal(step_event(&w, &event), LJS_E_SIZE);
    event.mac_len = 0;
    event.fport = 1;
    event.payload_len = 240; /* 13 + 2 + 240 = 255 */
    assert_int_equal(step_event(&w, &event), LJS_OK);
    assert_int_equal(w.out.frame_len, 255);
    event.payload_len = 241;
    assert_int_equal(step_event(&w, &event), LJS_E_SIZE);
    event.payload_len = 243;
    assert_int_equal(step_event(&w, &event), LJS_E_INVAL);
    event.payload_len = 0;
    event.confirmed = 2;
    assert_int_equal(step_event(&w, &event), LJS_E_INVAL);
    event.confirmed = 0;
    event.now = -1;
    assert_int_equal(step_event(&w, &event), LJS_E_INVAL);
    event.now = w.now;
    event.struct_size--;
    assert_int_equal(step_event(&w, &event), LJS_E_INVAL);
    event.struct_size++;
    event.kind = (ljs_ed_event_kind)0;
    assert_int_equal(step_event(&w, &event), LJS_E_INVAL);
    event.kind = (ljs_ed_event_kind)9;
    assert_int_equal(step_event(&w, &event), LJS_E_INVAL);
    world_close(&w);
}

/* The counters go past 16 bits on both sides. */
static void test_long_counters(void **unused)
{
    const struct down ping = { .fport = 1, .payload = "p" };
    ljs_ed_opts opts = world_opts();
    ljs_ed_out sent;
    struct world w;
    ljs_buf old;

    (void)unused;
    opts.fcnt_reserve = 0xffff;
    opts.link_limit = 0;
    world_open(&w, &opts);
    world_rekeyed(&w, 1);
    for (int i = 0; i < 3; i++) { /* each restart skips the reserve */
        assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
        replace(&w.state, &w.durable);
        assert_int_equal(step_kind(&w, LJS_ED_ON_RESTART), LJS_OK);
    }
    assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
    (void)read_up(&w, 1 + 3 * 0xffff, 0);
    old = downlink(&w, &ping);
    assert_int_equal(step_hear(&w, old.data, old.len), LJS_OK);
    w.a_down = 0xfff0;
    assert_int_equal(step_down(&w, &ping), LJS_OK);
    w.a_down = 0x10005;
    assert_int_equal(step_down(&w, &ping), LJS_OK);
    assert_int_equal(w.out.fcnt, 0x10005);
    w.a_down = 0x10004;
    assert_int_equal(step_down(&w, &ping), LJS_E_REPLAY);
    w.a_down = 0x20004; /* the same 16 bits, and new */
    assert_int_equal(step_down(&w, &ping), LJS_OK);
    assert_int_equal(w.out.fcnt, 0x20004);
    w.a_down = 0x10006;
    assert_int_equal(step_down(&w, &ping), LJS_E_REPLAY);
    assert_int_equal(step_hear(&w, old.data, old.len), LJS_E_MIC); /* two rounds ago: nobody looks so far back */
    assert_int_equal(confirmed(&w), LJS_OK);
    sent = w.out;
    w.a_down = 0x20005;
    assert_int_equal(step_down(&w, &ping), LJS_OK); /* no ACK */
    assert_int_equal(step_again(&w, &sent, 3, 5), LJS_OK);
    assert_int_equal(w.out.fcnt, 2 + 3 * 0xffff);
    ljs_buf_free(&old);
    world_close(&w);
}

/* ---- rejoining -------------------------------------------------------------------- */

static struct down force_rejoin(uint8_t type, uint8_t period, uint8_t retries, uint8_t dr, ljs_octet_order order)
{
    const ljs_mac_command c = { .cid = LJS_CID_FORCE_REJOIN,
                                .direction = LJS_DOWN,
                                .period = period,
                                .max_retries = retries,
                                .rejoin_type = type,
                                .data_rate = dr };
    struct down down = { .fport = 0 };
    ljs_buf buf;

    assert_int_equal(ljs_mac_command_build(&buf, &c, order), LJS_OK);
    memcpy(down.mac, buf.data, buf.len);
    down.mac_len = buf.len;
    ljs_buf_free(&buf);
    return down;
}

static void forced(uint8_t type, ljs_octet_order order)
{
    const struct down down = force_rejoin(type, 2, 3, 4, order);
    ljs_frame_kind kind = type == 2 ? LJS_FRAME_REJOIN2 : LJS_FRAME_REJOIN0;
    ljs_ed_opts opts = world_opts();
    int64_t last = 0;
    ljs_frame frame;
    struct world w;

    opts.order = order;
    world_open(&w, &opts);
    world_rekeyed(&w, 1);
    assert_int_equal(step_down(&w, &down), LJS_OK);
    assert_true(w.out.forced);
    assert_int_equal(w.out.sends, LJS_ED_SENDS_NOTHING);
    assert_int_equal(w.out.wake_at, w.now); /* the first at once */
    w.random = 777;
    for (uint16_t i = 0; i < 4; i++) { /* 1 + Max_Retries */
        assert_int_equal(wake(&w), type == 2 ? LJS_ED_SENDS_REJOIN2 : LJS_ED_SENDS_REJOIN0);
        assert_true(w.out.forced && w.out.persist);
        assert_int_equal(w.out.tx_dr, 4);
        assert_int_equal(ljs_frame_verify(w.s, w.out.frame, w.out.frame_len), LJS_OK);
        assert_int_equal(ljs_frame_parse(&frame, w.out.frame, w.out.frame_len), LJS_OK);
        assert_int_equal(frame.kind, kind);
        assert_int_equal(frame.nonce, i);
        assert_int_equal(frame.net_id, 0x13);
        if (i) /* 32 s * 2^2 + 0..32 s */
            assert_true(w.now - last >= 128000 && w.now - last <= 160000);
        last = w.now;
        assert_int_equal(w.out.state, LJS_ED_JOINED);
        /* the session is as it was */
        assert_int_equal(step_send(&w, 1, "still here"), LJS_OK);
        (void)read_up(&w, 1u + i, 0);
    }
    assert_int_equal(w.out.wake_at, -1);
    world_close(&w);
}

static void test_force_rejoin(void **unused)
{
    struct down rfu = { .mac = { 0x0e, 0x30, 0x00 }, .mac_len = 3 }, a = force_rejoin(0, 7, 7, 1, LJS_LOW_FIRST),
                b = force_rejoin(2, 0, 0, 2, LJS_LOW_FIRST);
    ljs_ed_opts opts = world_opts();
    struct world w;

    (void)unused;
    forced(0, LJS_LOW_FIRST);
    forced(2, LJS_LOW_FIRST);
    forced(0, LJS_HIGH_FIRST);
    forced(2, LJS_HIGH_FIRST);

    world_open(&w, &opts);
    world_rekeyed(&w, 1);
    assert_int_equal(step_down(&w, &rfu), LJS_OK); /* RejoinType 3 */
    assert_true(!w.out.forced && w.out.wake_at == -1);
    assert_int_equal(step_down(&w, &a), LJS_OK);
    assert_int_equal(wake(&w), LJS_ED_SENDS_REJOIN0);
    assert_int_equal(step_down(&w, &b), LJS_OK); /* in place of the one that runs */
    assert_int_equal(wake(&w), LJS_ED_SENDS_REJOIN2);
    assert_int_equal(w.out.wake_at, -1);
    world_close(&w);
}

static void rejoined(uint8_t type)
{
    const struct down params = { .mac = { 0x0f, 0x0f }, .mac_len = 2 };
    const struct down down = force_rejoin(type, 0, 7, 0, LJS_LOW_FIRST);
    ljs_ed_opts opts = world_opts();
    ljs_ed before, after;
    ljs_frame frame;
    struct world w;
    ljs_buf old;

    world_open(&w, &opts);
    world_rekeyed(&w, 1);
    assert_int_equal(step_down(&w, &params), LJS_OK);
    assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
    assert_int_equal(step_down(&w, &down), LJS_OK);
    assert_int_equal(wake(&w), type == 2 ? LJS_ED_SENDS_REJOIN2 : LJS_ED_SENDS_REJOIN0);
    assert_int_equal(step_kind(&w, LJS_ED_ON_LOST), LJS_OK);
    assert_int_equal(wake(&w), type == 2 ? LJS_ED_SENDS_REJOIN2 : LJS_ED_SENDS_REJOIN0);
    assert_int_equal(ljs_frame_parse(&frame, w.out.frame, w.out.frame_len), LJS_OK);
    assert_int_equal(frame.nonce, 1);
    before = world_read(&w);
    assert_int_equal(before.rj_count0, 2);

    /* one with OptNeg clear, one of the wrong key and one of an old JoinNonce leave all as it is */
    old = answer(&w, frame.kind, frame.nonce, LJS_SCHEME_1_0, 2);
    assert_int_equal(step_hear(&w, old.data, old.len), LJS_E_MAC);
    ljs_buf_free(&old);
    old = answer(&w, LJS_FRAME_JOIN, frame.nonce, LJS_SCHEME_1_1, 2);
    assert_int_equal(step_hear(&w, old.data, old.len), LJS_E_MIC);
    ljs_buf_free(&old);
    old = answer(&w, frame.kind, frame.nonce, LJS_SCHEME_1_1, 1);
    assert_int_equal(step_hear(&w, old.data, old.len), LJS_E_REPLAY);
    ljs_buf_free(&old);
    old = answer(&w, frame.kind, frame.nonce, LJS_SCHEME_1_1, 2);
    assert_int_equal(step_hear(&w, old.data, old.len), LJS_OK);
    ljs_buf_free(&old);
    assert_true(w.out.rejoined && !w.out.joined && w.out.persist && w.out.state == LJS_ED_REKEYING);
    assert_int_equal(w.out.reset_radio, type != 2);
    after = world_read(&w);
    assert_int_equal(after.fcnt_up, 0);
    assert_int_equal(after.n_fcnt_down, -1);
    assert_int_equal(after.rj_count0, 0); /* anew with each accept */
    assert_int_equal(after.force_left, 0);
    assert_int_equal(after.has_params, type == 2);
    assert_int_not_equal(after.bank, before.bank);
    /* RekeyInd again, under the new keys */
    assert_int_equal(step_send(&w, 1, "new"), LJS_OK);
    (void)read_up(&w, 0, 0);
    assert_int_equal(step_down(&w, &rekey_conf), LJS_OK);
    assert_int_equal(w.out.state, LJS_ED_JOINED);
    world_close(&w);
}

static void test_rejoined(void **unused)
{
    (void)unused;
    rejoined(0);
    rejoined(2);
}

static void test_rejoin_params(void **unused)
{
    const struct down params = { .mac = { 0x0f, 0x21 }, .mac_len = 2 }; /* 2^12 s, 2^5 uplinks */
    ljs_ed_opts opts = world_opts();
    ljs_data data;
    struct world w;
    int64_t at;

    (void)unused;
    for (int clock = 0; clock < 2; clock++) {
        opts.no_clock = !clock;
        world_open(&w, &opts);
        world_rekeyed(&w, 1);
        w.random = 0xffffffff;
        at = w.now;
        assert_int_equal(step_down(&w, &params), LJS_OK);
        assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
        data = read_up(&w, 1, 0);
        assert_int_equal(data.fopts_len, 2);
        assert_int_equal(data.fopts[0], 0x0f);
        assert_int_equal(data.fopts[1], clock);
        assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
        assert_int_equal(read_up(&w, 2, 0).fopts_len, 0); /* the answer goes once */
        if (clock) {
            for (int i = 0; i < 3; i++) {
                assert_int_equal(wake(&w), LJS_ED_SENDS_REJOIN0);
                assert_int_equal(w.out.tx_dr, LJS_ED_DR_ANY);
                assert_true(w.now - at <= 4096000 && w.now - at >= 3840000);
                at = w.now;
            }
        } else {
            assert_int_equal(w.out.wake_at, -1);
            for (int i = 0; i < 30; i++) {
                assert_int_equal(w.out.wake_at, -1);
                assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
            }
            assert_int_equal(w.out.wake_at, w.now); /* the 32nd uplink since */
            assert_int_equal(wake(&w), LJS_ED_SENDS_REJOIN0);
            at = w.now;
            for (int i = 0; i < 32; i++)
                assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
            assert_int_equal(step_kind(&w, LJS_ED_ON_TICK), LJS_OK);
            assert_int_equal(w.out.sends, LJS_ED_SENDS_NOTHING);
            assert_int_equal(wake(&w), LJS_ED_SENDS_REJOIN0);
            assert_true(w.now - at > 1500 * 1000); /* under 0.1 % all the same */
        }
        world_close(&w);
    }
}

/* A device that restarts more often than it is to rejoin rejoins all the same: uplinks count on, and
 * those that may have been on air since the state was written count, too. */
static void test_rejoin_params_over_restarts(void **unused)
{
    const struct down params = { .mac = { 0x0f, 0xf1 }, .mac_len = 2 }; /* hardly ever, 2^5 uplinks */
    ljs_ed_opts opts = world_opts();
    struct world w;
    unsigned uplinks, restarts;

    (void)unused;
    opts.fcnt_reserve = 4;
    for (int clock = 0; clock < 2; clock++) {
        opts.no_clock = !clock;
        world_open(&w, &opts);
        world_rekeyed(&w, 1);
        assert_int_equal(step_down(&w, &params), LJS_OK);
        for (uplinks = restarts = 0; w.out.wake_at < 0 || w.out.wake_at > w.now + 2000000; uplinks++) {
            assert_true(uplinks < 32);
            assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
            if (uplinks % 5 == 4) {
                replace(&w.state, &w.durable);
                assert_int_equal(step_kind(&w, LJS_ED_ON_RESTART), LJS_OK);
                restarts++;
            }
        }
        assert_true(uplinks >= 32 - 3 * restarts); /* and not much too early */
        /* due, and not forgotten over one more restart */
        replace(&w.state, &w.durable);
        assert_int_equal(step_kind(&w, LJS_ED_ON_RESTART), LJS_OK);
        assert_int_equal(w.out.wake_at, w.now + 1500 * 1001);
        assert_int_equal(wake(&w), LJS_ED_SENDS_REJOIN0);
        assert_int_equal(step_kind(&w, LJS_ED_ON_RESTART), LJS_OK);
        assert_true(w.out.wake_at < 0 || w.out.wake_at > w.now + 2000000);
        world_close(&w);
    }
}

/* Restarts, each hours after the last, by a clock that begins anew: what is left when a state is made
 * durable is left after it, so that a device which restarts more often than it rejoins rejoins all the same. */
static void test_rejoins_by_time_over_restarts(void **unused)
{
    const struct down params = { .mac = { 0x0f, 0x6f }, .mac_len = 2 }; /* 2^16 s, hardly ever by count */
    const int64_t span = INT64_C(1000) << 16, hour = 3600000;
    ljs_ed_opts opts = world_opts();
    struct world w;

    (void)unused;
    opts.fcnt_reserve = 1; /* each uplink is written */
    for (uint32_t random = 0; random < 2; random++)
        for (int rejoin1 = 0; rejoin1 < 2; rejoin1++) {
            int64_t on = 0, at = -1;

            opts.rejoin1_period = rejoin1 ? 65536 : 0;
            world_open(&w, &opts);
            w.random = random * 77777777;
            world_rekeyed(&w, 1);
            if (!rejoin1)
                assert_int_equal(step_down(&w, &params), LJS_OK);
            for (int i = 0; at < 0 && i < 20; i++) {
                w.now += 2 * hour;
                on += 2 * hour;
                if (world_read(&w).wake_at <= w.now) {
                    assert_int_equal(wake(&w), rejoin1 ? LJS_ED_SENDS_REJOIN1 : LJS_ED_SENDS_REJOIN0);
                    at = on;
                }
                assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
                w.now += hour; /* lost: nothing is written */
                replace(&w.state, &w.durable);
                w.now = 17;
                assert_int_equal(step_kind(&w, LJS_ED_ON_RESTART), LJS_OK);
            }
            assert_true(at >= span - span / 16 && at <= span + span / 16 + 2 * hour);
            world_close(&w);
        }

    /* a clock that went on counts the time off, too; what came due meanwhile comes soon, and not at once for
     * all devices that were off */
    opts.rejoin1_period = 65536;
    world_open(&w, &opts);
    world_rekeyed(&w, 1);
    w.now += span / 2;
    assert_int_equal(step_kind(&w, LJS_ED_ON_RESTART), LJS_OK);
    assert_true(w.out.wake_at - w.now <= span / 2 + span / 16);
    w.now += span;
    w.random = 0xfffffff;
    assert_int_equal(step_kind(&w, LJS_ED_ON_RESTART), LJS_OK);
    assert_true(w.out.wake_at > w.now && w.out.wake_at - w.now <= span / 16);
    world_close(&w);
}

/* Two requests due at once: the answer to the first is waited for before the second goes. */
static void test_one_request_at_a_time(void **unused)
{
    const struct down down = force_rejoin(0, 0, 0, 0, LJS_LOW_FIRST);
    ljs_ed_opts opts = world_opts();
    struct world w;

    (void)unused;
    opts.rejoin1_period = 15000;
    world_open(&w, &opts);
    world_rekeyed(&w, 1);
    w.now = world_read(&w).wake_at; /* of rejoin 1 */
    assert_int_equal(step_down(&w, &down), LJS_OK);
    assert_int_equal(wake(&w), LJS_ED_SENDS_REJOIN0);
    assert_int_equal(w.out.wake_at, w.now + 8000);
    w.now += 7999;
    assert_int_equal(step_kind(&w, LJS_ED_ON_TICK), LJS_OK);
    assert_int_equal(w.out.sends, LJS_ED_SENDS_NOTHING);
    assert_int_equal(wake(&w), LJS_ED_SENDS_REJOIN1);
    world_close(&w);
}

static void test_rejoin1(void **unused)
{
    ljs_ed_opts opts = world_opts();
    ljs_frame frame;
    struct world w;
    int64_t at;
    ljs_buf buf;

    (void)unused;
    opts.rejoin1_period = 14999; /* more than 0.01 % of the time at 1.5 s */
    assert_int_equal(ljs_ed_new(&buf, &opts), LJS_E_INVAL);
    opts.rejoin1_period = 15000;
    opts.rj_count1 = 40;
    world_open(&w, &opts);
    world_rekeyed(&w, 1);
    at = w.now;
    w.random = 12345678;
    for (uint16_t i = 0; i < 3; i++) {
        assert_int_equal(wake(&w), LJS_ED_SENDS_REJOIN1);
        assert_true(w.now - at >= 14999000 && w.now - at <= 16000000);
        at = w.now;
        assert_int_equal(ljs_frame_verify(w.js_int, w.out.frame, w.out.frame_len), LJS_OK);
        assert_int_equal(ljs_frame_parse(&frame, w.out.frame, w.out.frame_len), LJS_OK);
        assert_int_equal(frame.kind, LJS_FRAME_REJOIN1);
        assert_int_equal(frame.nonce, 40 + i);
        assert_true(frame.join_eui == JOIN_EUI);
    }
    assert_int_equal(step_answer(&w, LJS_SCHEME_1_1, 2), LJS_OK);
    assert_true(w.out.rejoined && w.out.reset_radio);
    assert_int_equal(world_read(&w).rj_count1, 43); /* RJcount1 is for life */
    assert_int_equal(step_kind(&w, LJS_ED_ON_STOP), LJS_OK);
    w.now += 1000000;
    assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_OK);
    assert_int_equal(step_answer(&w, LJS_SCHEME_1_1, 3), LJS_OK);
    assert_int_equal(world_read(&w).rj_count1, 43);
    assert_int_equal(wake(&w), LJS_ED_SENDS_REJOIN1);
    assert_int_equal(w.out.nonce, 43);
    world_close(&w);

    /* it does not wrap */
    opts.rj_count1 = 0xffff;
    world_open(&w, &opts);
    world_rekeyed(&w, 1);
    assert_int_equal(wake(&w), LJS_ED_SENDS_REJOIN1);
    assert_int_equal(w.out.wake_at, -1);
    w.now += INT64_C(1000000000);
    assert_int_equal(step_kind(&w, LJS_ED_ON_TICK), LJS_OK);
    assert_int_equal(w.out.sends, LJS_ED_SENDS_NOTHING);
    world_close(&w);
}

static void test_rj_count0_does_not_wrap(void **unused)
{
    const struct down down = force_rejoin(0, 0, 7, 0, LJS_LOW_FIRST);
    ljs_ed_opts opts = world_opts();
    struct world w;

    (void)unused;
    world_open(&w, &opts);
    world_rekeyed(&w, 1);
    for (uint32_t i = 0; i < 0x10000; i++) {
        if (i % 8 == 0)
            assert_int_equal(step_down(&w, &down), LJS_OK);
        assert_int_equal(wake(&w), LJS_ED_SENDS_REJOIN0);
        assert_int_equal(w.out.nonce, i);
    }
    assert_int_equal(step_down(&w, &down), LJS_OK);
    assert_int_equal(w.out.wake_at, -1);
    assert_int_equal(step_kind(&w, LJS_ED_ON_TICK), LJS_OK);
    assert_int_equal(w.out.sends, LJS_ED_SENDS_NOTHING);
    world_close(&w);
}

/* A 1.1 device whose network is of 1.0: no RekeyInd, no rejoin, commands of 1.1 mean nothing. */
static void test_on_an_old_network(void **unused)
{
    const struct down down = force_rejoin(0, 0, 7, 0, LJS_LOW_FIRST);
    ljs_ed_opts opts = world_opts();
    struct world w;

    (void)unused;
    opts.rejoin1_period = 15000;
    world_open(&w, &opts);
    world_join(&w, LJS_SCHEME_1_0, 1);
    assert_int_equal(w.out.state, LJS_ED_JOINED);
    assert_int_equal(w.out.wake_at, -1);
    assert_int_equal(step_send(&w, 1, "old"), LJS_OK);
    assert_int_equal(read_up(&w, 0, 0).fopts_len, 0);
    assert_int_equal(step_down(&w, &down), LJS_OK);
    assert_true(!w.out.forced && w.out.mac_len == 3 && w.out.wake_at == -1);
    /* and up again */
    assert_int_equal(step_kind(&w, LJS_ED_ON_STOP), LJS_OK);
    w.now += 3600000;
    assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_OK);
    assert_int_equal(step_answer(&w, LJS_SCHEME_1_1, 2), LJS_OK);
    assert_int_equal(w.out.state, LJS_ED_REKEYING);
    world_close(&w);
}

/* ---- crashes ------------------------------------------------------------------------ */

static void test_restart_on_an_empty_element(void **unused)
{
    ljs_ed_opts opts = world_opts();
    struct world w;

    (void)unused;
    for (int scheme = LJS_SCHEME_1_0; scheme <= LJS_SCHEME_1_1; scheme++) {
        world_open(&w, &opts);
        world_join(&w, (ljs_scheme)scheme, 1);
        assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
        ljs_se_free(w.se);
        assert_int_equal(ljs_se_software(&w.se, w.nwk, w.app), LJS_OK);
        assert_int_equal(step_send(&w, 1, "x"), LJS_E_NOKEY);
        replace(&w.state, &w.durable);
        assert_int_equal(step_kind(&w, LJS_ED_ON_RESTART), LJS_OK);
        assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
        (void)read_up(&w, scheme == LJS_SCHEME_1_1 ? 1 : 32, 0);
        /* or without losing time, for who only changes the element */
        ljs_se_free(w.se);
        assert_int_equal(ljs_se_software(&w.se, w.nwk, w.app), LJS_OK);
        assert_int_equal(ljs_ed_load(w.se, w.state.data, w.state.len), LJS_OK);
        assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
        (void)read_up(&w, scheme == LJS_SCHEME_1_1 ? 2 : 33, 0);
        world_close(&w);
    }
}

/* A crash between the accept and the new state: the old session is whole. */
static void test_crash_at_the_accept(void **unused)
{
    const struct down down = force_rejoin(0, 0, 7, 0, LJS_LOW_FIRST);
    ljs_buf before = { NULL, 0 };
    ljs_ed_opts opts = world_opts();
    ljs_key *f, *s, *e, *a;
    ljs_devaddr dev_addr;
    struct world w;

    (void)unused;
    world_open(&w, &opts);
    world_rekeyed(&w, 1);
    assert_int_equal(step_down(&w, &down), LJS_OK);
    assert_int_equal(wake(&w), LJS_ED_SENDS_REJOIN0);
    replace(&before, &w.durable);
    f = w.f, s = w.s, e = w.e, a = w.a, dev_addr = w.dev_addr;
    w.f = w.s = w.e = w.a = NULL;
    assert_int_equal(step_answer(&w, LJS_SCHEME_1_1, 2), LJS_OK);
    forget_session(&w);
    replace(&w.state, &before); /* it was never written; the element is as it is, no RESTART */
    w.f = f, w.s = s, w.e = e, w.a = a, w.dev_addr = dev_addr;
    assert_int_equal(step_send(&w, 1, "old"), LJS_OK);
    (void)read_up(&w, 1, 0);
    ljs_buf_free(&before);
    world_close(&w);
}

/* Whatever happens, and wherever the power fails, no number is used twice. */
static void test_crashes(void **unused)
{
    enum { STEPS = 12000 };
    static uint8_t dev_nonces[1 << 16], rj1[1 << 16], rj0[1 << 16], ups[1 << 20];
    ljs_ed_opts opts = world_opts();
    uint32_t join_nonce = 1, joins = 0, crashes = 0, rekeyed = 0;
    int64_t a_last = -1, n_last = -1;
    uint64_t seed = 42;
    struct world w;

    (void)unused;
    opts.airtime = 50;
    opts.adr_ack_limit = 12;
    opts.link_limit = 40;
    opts.fcnt_reserve = 7;
    opts.rejoin1_period = 500;
    world_open(&w, &opts);
    for (int i = 0; i < STEPS; i++) {
        struct down down = { .fport = (uint8_t)(random_next(&seed) % 3) };
        ljs_ed_event event;
        ljs_ed_out *out = &w.out;
        bool durable;
        ljs_buf old, phy;
        ljs_ed ed = world_read(&w);
        uint64_t dice = random_next(&seed) % 100;

        w.now += (int64_t)(random_next(&seed) % 30000);
        ljs_ed_event_init(&event, LJS_ED_ON_TICK, w.now);
        event.random = (uint32_t)random_next(&seed);
        if (ed.state == LJS_ED_IDLE)
            event.kind = LJS_ED_ON_START;
        else if (ed.scheme && dice < 40)
            event.kind = LJS_ED_ON_SEND;
        else if (ed.scheme && dice < 60)
            event.kind = LJS_ED_ON_DOWNLINK;
        else if (dice < 64)
            event.kind = LJS_ED_ON_LOST;
        else if (dice < 65)
            event.kind = LJS_ED_ON_STOP;
        event.fport = 1;
        event.tx_dr = 3;
        event.tx_ch = 5;
        if (event.kind == LJS_ED_ON_DOWNLINK) {
            down.payload = "p";
            if (dice < 45)
                down = force_rejoin(dice % 2 ? 2 : 0, 0, 3, 0, LJS_LOW_FIRST);
            else if (dice < 48)
                down = rekey_conf;
            phy = downlink(&w, &down);
            memcpy(event.frame, phy.data, phy.len);
            event.frame_len = phy.len;
            ljs_buf_free(&phy);
        }
        old = (ljs_buf){ NULL, 0 };
        replace(&old, &w.durable);
        assert_int_equal(step_event(&w, &event), LJS_OK);
        durable = random_next(&seed) % 20 != 0;
        if (!durable) { /* the power fails before the state is written: so nothing is sent */
            replace(&w.durable, &old);
            replace(&w.state, &old);
        }
        ljs_buf_free(&old);
        if (durable) {
            uint8_t *used = NULL;

            rekeyed += out->rekeyed;
            switch (out->sends) {
            case LJS_ED_SENDS_NOTHING:
                break;
            case LJS_ED_SENDS_JOIN:
                used = &dev_nonces[out->nonce];
                break;
            case LJS_ED_SENDS_REJOIN0:
            case LJS_ED_SENDS_REJOIN2:
                used = &rj0[out->nonce];
                break;
            case LJS_ED_SENDS_REJOIN1:
                used = &rj1[out->nonce];
                break;
            case LJS_ED_SENDS_DATA:
                used = &ups[out->fcnt];
                break;
            }
            if (used) {
                assert_false(*used);
                *used = 1;
            }
            if (out->heard) {
                int64_t *last = out->has_fport && out->fport ? &a_last : &n_last;

                assert_true(out->fcnt > *last);
                *last = out->fcnt;
            }
            if (out->sends >= LJS_ED_SENDS_JOIN && out->sends <= LJS_ED_SENDS_REJOIN2 &&
                random_next(&seed) % 10 < 7) { /* 30 % loss */
                ljs_frame frame;

                assert_int_equal(ljs_frame_parse(&frame, out->frame, out->frame_len), LJS_OK);
                /* The accept is heard and its state written at once: crashes there are the test above. */
                assert_int_equal(step_answer(&w, LJS_SCHEME_1_1, join_nonce++), LJS_OK);
                memset(rj0, 0, sizeof rj0);
                memset(ups, 0, sizeof ups);
                a_last = n_last = -1;
                joins++;
            }
        }
        if (!durable || random_next(&seed) % 15 == 0) {
            crashes++;
            replace(&w.state, &w.durable);
            assert_int_equal(step_kind(&w, LJS_ED_ON_RESTART), LJS_OK);
        }
    }
    assert_true(joins > 100 && crashes > 500 && rekeyed > 50); /* it was a life */
    world_close(&w);
}

/* ---- the state ------------------------------------------------------------------------ */

static void test_corrupted(void **unused)
{
    static const uint8_t not_ours[40] = { 0x81, 0x00, 0x02 };
    ljs_ed_opts opts = world_opts();
    struct world w;
    ljs_ed ed;

    (void)unused;
    world_open(&w, &opts);
    world_rekeyed(&w, 1);
    for (size_t i = 0; i < w.state.len * 8; i++) {
        w.state.data[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(step_send(&w, 1, "x"), LJS_E_SEAL);
        assert_int_equal(ljs_ed_read(&ed, w.state.data, w.state.len), LJS_E_SEAL);
        assert_int_equal(ed.struct_size, 0);
        w.state.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t len = 0; len < w.state.len; len++)
        assert_int_equal(ljs_ed_read(&ed, w.state.data, len), LJS_E_SEAL);
    assert_int_equal(ljs_ed_read(&ed, not_ours, sizeof not_ours), LJS_E_SEAL);
    assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
    world_close(&w);
}

static void seal(ljs_buf *state)
{
    ljs__hash(state->data + state->len - 16, state->data, state->len - 16);
}

static void test_version(void **unused)
{
    ljs_ed_opts opts = world_opts();
    struct world w;
    ljs_ed ed;

    (void)unused;
    world_open(&w, &opts);
    assert_int_equal(w.state.data[3], 0); /* after the header of the map: key 0, the schema */
    assert_int_equal(w.state.data[4], 2);
    w.state.data[4] = 0;
    seal(&w.state);
    assert_int_equal(ljs_ed_read(&ed, w.state.data, w.state.len), LJS_E_SEAL);
    w.state.data[4] = 3; /* which has more members */
    seal(&w.state);
    assert_int_equal(ljs_ed_read(&ed, w.state.data, w.state.len), LJS_E_SEAL);
    w.state.data[4] = ED_SCHEMA + 1;
    seal(&w.state);
    assert_int_equal(ljs_ed_read(&ed, w.state.data, w.state.len), LJS_E_VERSION);
    assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_E_VERSION);
    assert_int_equal(ljs_ed_load(w.se, w.state.data, w.state.len), LJS_E_VERSION);
    world_close(&w);
}

/* What lorajs wrote before it knew of frames sent again is read on. */
static void test_older_version(void **unused)
{
    const struct down params = { .mac = { 0x0f, 0x0f }, .mac_len = 2 }; /* 2^10 s, hardly ever by count */
    ljs_ed_opts opts = world_opts();
    ljs_ed_out sent;
    struct unpack u;
    struct world w;
    ljs_ed ed;

    (void)unused;
    opts.rejoin1_period = 15000;
    world_open(&w, &opts);
    world_rekeyed(&w, 1);
    w.now = 5000000; /* by a clock that begins anew at the restart */
    assert_int_equal(step_down(&w, &params), LJS_OK);
    assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
    sent = w.out;
    u = (struct unpack){ .rd = { w.state.data, w.state.len, false } };
    (void)ljs__unpack_map(&u);
    for (int i = 0; i < 2 + 2 * ED_MEMBERS_1; i++)
        (void)ljs__unpack_int(&u, INT64_MIN, INT64_MAX);
    assert_false(u.rd.bad);
    w.state.len = (size_t)(u.rd.at - w.state.data) + 16;
    assert_int_equal(w.state.data[2], 1 + 55);
    w.state.data[2] = 1 + ED_MEMBERS_1;
    w.state.data[4] = 1;
    seal(&w.state);
    assert_int_equal(ljs_ed_read(&ed, w.state.data, w.state.len), LJS_OK);
    assert_int_equal(ed.fcnt_up, 2);
    assert_int_equal(ed.again_left, 0);
    assert_int_equal(step_again(&w, &sent, 3, 5), LJS_E_STATE);
    w.now = 7;
    assert_int_equal(step_kind(&w, LJS_ED_ON_RESTART), LJS_OK);
    assert_true(w.out.wake_at <= w.now + 1500 * 1001);
    assert_int_equal(wake(&w), LJS_ED_SENDS_REJOIN0);
    assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
    sent = w.out;
    assert_int_equal(step_again(&w, &sent, 3, 5), LJS_OK);
    world_close(&w);
}

/* Whoever can write a state can make its checksum: what is read is either a state or refused, and
 * no step on it does worse than to do wrong. */
static void test_made_by_somebody_else(void **unused)
{
    static const ljs_ed_event_kind kinds[] = { LJS_ED_ON_START, LJS_ED_ON_TICK, LJS_ED_ON_LOST,
                                               LJS_ED_ON_STOP,  LJS_ED_ON_SEND, LJS_ED_ON_RESTART };
    ljs_ed_opts opts = world_opts();
    ljs_buf mine = { NULL, 0 };
    unsigned taken = 0, refused = 0;
    uint64_t seed = 7;
    struct world w;

    (void)unused;
    world_open(&w, &opts);
    world_rekeyed(&w, 1);
    replace(&mine, &w.state);
    for (int i = 0; i < 4000; i++) {
        ljs_ed_event event;
        ljs_ed ed;

        replace(&w.state, &mine);
        for (uint64_t n = 1 + random_next(&seed) % 3; n; n--)
            w.state.data[random_next(&seed) % (w.state.len - 16)] = (uint8_t)random_next(&seed);
        seal(&w.state);
        if (ljs_ed_read(&ed, w.state.data, w.state.len)) {
            refused++;
            continue;
        }
        taken++;
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            ljs_ed_event_init(&event, kinds[k], w.now);
            event.fport = 1;
            (void)step_event(&w, &event);
        }
    }
    assert_true(taken > 300 && refused > 300);
    ljs_buf_free(&mine);
    world_close(&w);
}

static void test_fcnt_spent(void **unused)
{
    ljs_ed_opts opts = world_opts();
    struct world w;
    struct ed ed;

    (void)unused;
    world_open(&w, &opts);
    world_join(&w, LJS_SCHEME_1_0, 1);
    assert_int_equal(ljs__ed_decode(&ed, w.state.data, w.state.len), LJS_OK);
    ed.fcnt_up = ed.fcnt_durable = UINT32_MAX - 1;
    ljs_buf_free(&w.state);
    assert_int_equal(ljs__ed_encode(&w.state, &ed), LJS_OK);
    assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
    assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
    (void)read_up(&w, UINT32_MAX, 0);
    assert_int_equal(step_send(&w, 1, "x"), LJS_E_SPENT);
    assert_int_equal(step_kind(&w, LJS_ED_ON_RESTART), LJS_OK);
    assert_int_equal(step_send(&w, 1, "x"), LJS_E_SPENT);
    world_close(&w);
}

/* An uplink, of this device or another, is no downlink. */
static void test_own_uplink_comes_back(void **unused)
{
    ljs_ed_opts opts = world_opts();
    uint8_t phy[LJS_DATA_MAX];
    struct world w;
    size_t len;

    (void)unused;
    world_open(&w, &opts);
    world_join(&w, LJS_SCHEME_1_0, 1);
    assert_int_equal(step_send(&w, 1, "x"), LJS_OK);
    len = w.out.frame_len;
    memcpy(phy, w.out.frame, len);
    assert_int_equal(step_hear(&w, phy, len), LJS_E_FRAME);
    phy[0] = 0x60; /* as if it went down */
    assert_int_equal(step_hear(&w, phy, len), LJS_E_MIC);
    phy[1] ^= 1;
    assert_int_equal(step_hear(&w, phy, len), LJS_E_SESSION);
    assert_int_equal(step_hear(&w, phy, 0), LJS_E_SIZE);
    world_close(&w);
}

static void test_options(void **unused)
{
    ljs_ed_opts opts = world_opts(), bad;
    ljs_buf buf;
    ljs_ed ed;

    (void)unused;
    opts.mac = 0x0102;
    opts.order = LJS_HIGH_FIRST;
    opts.join_eui = UINT64_MAX;
    opts.dev_eui = UINT64_C(1) << 63;
    assert_int_equal(ljs_ed_new(&buf, &opts), LJS_OK);
    assert_int_equal(ljs_ed_read(&ed, buf.data, buf.len), LJS_OK);
    assert_int_equal(ed.opts.struct_size, sizeof opts);
    assert_true(ed.opts.join_eui == UINT64_MAX && ed.opts.dev_eui == UINT64_C(1) << 63);
    assert_true(ed.opts.mac == 0x0102 && ed.opts.order == LJS_HIGH_FIRST && ed.opts.airtime == 1500);
    assert_true(ed.opts.adr_ack_limit == 64 && ed.opts.link_limit == 320 && ed.opts.fcnt_reserve == 32);
    ljs_buf_free(&buf);
#define BAD(member, value)                                                                                             \
    do {                                                                                                               \
        bad = opts;                                                                                                    \
        bad.member = value;                                                                                            \
        assert_int_equal(ljs_ed_new(&buf, &bad), LJS_E_INVAL);                                                         \
        assert_null(buf.data);                                                                                         \
    } while (0)
    BAD(struct_size, 1);
    BAD(mac, 0x00ff);
    BAD(mac, 0x0105);
    BAD(mac, 0x0111);
    BAD(airtime, 0);
    BAD(airtime, 4001);
    BAD(adr_ack_limit, 0);
    BAD(fcnt_reserve, 0);
    BAD(adr, 2);
    BAD(join_nonce_rising, 2);
    BAD(no_clock, 2);
    BAD(order, (ljs_octet_order)2);
    BAD(dev_nonce, 0x10000);
    BAD(rj_count1, 0x10000);
#undef BAD
}

static void test_digest(void **unused)
{
    ljs_ed_opts opts = world_opts();
    uint8_t a[16], b[16];
    struct world w, v;

    (void)unused;
    world_open(&w, &opts);
    world_open(&v, &opts);
    v.now = 999999; /* another time, and the same life */
    world_rekeyed(&w, 1);
    world_rekeyed(&v, 1);
    assert_int_equal(ljs__end_device_digest(a, w.now, w.state.data, w.state.len), LJS_OK);
    assert_int_equal(ljs__end_device_digest(b, v.now, v.state.data, v.state.len), LJS_OK);
    assert_memory_equal(a, b, 16);
    assert_int_equal(step_send(&v, 1, "x"), LJS_OK);
    assert_int_equal(ljs__end_device_digest(b, v.now, v.state.data, v.state.len), LJS_OK);
    assert_memory_not_equal(a, b, 16);
    world_close(&w);
    world_close(&v);
}

/* ---- elements --------------------------------------------------------------------------- */

static void test_software_element(void **unused)
{
    uint8_t octets[24] = { 1, 2, 3, 5, 8 };
    ljs_ed_opts opts = world_opts();
    ljs_key *key, *longer;
    struct world w;
    ljs_se *se;

    (void)unused;
    assert_int_equal(ljs_key_import(&key, octets, 16), LJS_OK);
    assert_int_equal(ljs_key_import(&longer, octets, 24), LJS_OK);
    assert_int_equal(ljs_se_software(&se, NULL, NULL), LJS_E_INVAL);
    assert_null(se);
    assert_int_equal(ljs_se_software(&se, longer, NULL), LJS_E_INVAL);
    assert_int_equal(ljs_se_software(&se, key, longer), LJS_E_INVAL);
    ljs_se_free(NULL);

    /* a 1.1 device needs both keys, one of 1.0.x has its root in either place */
    world_open(&w, &opts);
    ljs_se_free(w.se);
    assert_int_equal(ljs_se_software(&w.se, w.nwk, NULL), LJS_OK);
    assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_E_NOKEY);
    world_close(&w);
    opts.mac = 0x0103;
    world_open(&w, &opts);
    ljs_se_free(w.se);
    assert_int_equal(ljs_se_software(&w.se, NULL, w.nwk), LJS_OK);
    world_join(&w, LJS_SCHEME_1_0, 1);
    world_close(&w);
    ljs_key_free(key);
    ljs_key_free(longer);
}

/* As many as a simulator has. */
static void test_many_elements(void **unused)
{
    enum { N = 10000 };
    static ljs_se *se[N];
    ljs_ed_opts opts = world_opts();
    struct world w;

    (void)unused;
    world_open(&w, &opts);
    for (int i = 0; i < N; i++)
        assert_int_equal(ljs_se_software(&se[i], w.nwk, w.app), LJS_OK);
    for (int i = 0; i < N; i += 2) {
        ljs_se_free(se[i]);
        se[i] = NULL;
    }
    for (int i = 0; i < N; i += 2)
        assert_int_equal(ljs_se_software(&se[i], w.app, w.nwk), LJS_OK);
    /* those between have kept their keys */
    ljs_se_free(w.se);
    w.se = se[4321];
    se[4321] = NULL;
    world_join(&w, LJS_SCHEME_1_1, 1);
    for (int i = 0; i < N; i++)
        ljs_se_free(se[i]);
    world_close(&w);
}

struct broken {
    int calls, fail_at, closed;
};

static ljs_err broken_derive(void *self, ljs_se_key to, ljs_se_key from, const uint8_t *block)
{
    struct broken *b = self;

    (void)to, (void)from, (void)block;
    return ++b->calls == b->fail_at ? LJS_E_MIC : LJS_OK; /* not an answer that it may give */
}

static ljs_err broken_encrypt(void *self, ljs_se_key id, uint8_t *out, const uint8_t *in, size_t in_len)
{
    (void)id;
    memmove(out, in, in_len);
    return broken_derive(self, 0, 0, NULL);
}

static ljs_err broken_cmac(void *self, ljs_se_key id, uint8_t *out, const uint8_t *in, size_t in_len)
{
    (void)id, (void)in, (void)in_len;
    memset(out, 0, 16);
    return broken_derive(self, 0, 0, NULL);
}

static int broken_has(void *self, ljs_se_key id)
{
    (void)self, (void)id;
    return 1;
}

static void broken_close(void *self)
{
    ((struct broken *)self)->closed++;
}

static void test_broken_element(void **unused)
{
    ljs_se_ops ops = { sizeof ops, broken_derive, broken_encrypt, broken_cmac, broken_has, broken_close, NULL, NULL };
    ljs_ed_opts opts = world_opts();
    struct broken b = { .fail_at = 0 };
    struct world w;
    ljs_se *se;

    (void)unused;
    ops.cmac = NULL;
    assert_int_equal(ljs_se_custom(&se, &ops, &b), LJS_E_INVAL);
    assert_int_equal(b.closed, 1);
    ops.cmac = broken_cmac;
    for (int at = 1; at <= 3; at++) { /* two derivations and a MIC */
        b = (struct broken){ .fail_at = at };
        world_open(&w, &opts);
        ljs_se_free(w.se);
        assert_int_equal(ljs_se_custom(&w.se, &ops, &b), LJS_OK);
        assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_E_CRYPTO);
        assert_int_equal(world_read(&w).state, LJS_ED_IDLE);
        b.fail_at = 0;
        assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_OK);
        assert_int_equal(w.out.nonce, 0); /* none was used by the tries that failed */
        world_close(&w);
        assert_int_equal(b.closed, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matrix),
        cmocka_unit_test(test_rules_text),
        cmocka_unit_test(test_join_request),
        cmocka_unit_test(test_start_after_stop_keeps_the_budget),
        cmocka_unit_test(test_budget_counts_from_power_up),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_restart_begins_the_budget_anew),
        cmocka_unit_test(test_accept_flags),
        cmocka_unit_test(test_accept_refused),
        cmocka_unit_test(test_accept_after_the_windows),
        cmocka_unit_test(test_join_nonce),
        cmocka_unit_test(test_old_device_ignores_opt_neg),
        cmocka_unit_test(test_rekey),
        cmocka_unit_test(test_no_rekey_conf),
        cmocka_unit_test(test_rekey_conf_in_time),
        cmocka_unit_test(test_link_limit),
        cmocka_unit_test(test_data),
        cmocka_unit_test(test_conf_fcnt),
        cmocka_unit_test(test_send_again),
        cmocka_unit_test(test_send_again_until_answered),
        cmocka_unit_test(test_send_again_acknowledges_the_same),
        cmocka_unit_test(test_send_sizes),
        cmocka_unit_test(test_long_counters),
        cmocka_unit_test(test_force_rejoin),
        cmocka_unit_test(test_rejoined),
        cmocka_unit_test(test_rejoin_params),
        cmocka_unit_test(test_rejoin_params_over_restarts),
        cmocka_unit_test(test_rejoins_by_time_over_restarts),
        cmocka_unit_test(test_one_request_at_a_time),
        cmocka_unit_test(test_rejoin1),
        cmocka_unit_test(test_rj_count0_does_not_wrap),
        cmocka_unit_test(test_on_an_old_network),
        cmocka_unit_test(test_restart_on_an_empty_element),
        cmocka_unit_test(test_crash_at_the_accept),
        cmocka_unit_test(test_crashes),
        cmocka_unit_test(test_corrupted),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_older_version),
        cmocka_unit_test(test_made_by_somebody_else),
        cmocka_unit_test(test_fcnt_spent),
        cmocka_unit_test(test_own_uplink_comes_back),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_software_element),
        cmocka_unit_test(test_many_elements),
        cmocka_unit_test(test_broken_element),
    };

    return cmocka_run_group_tests_name("end device", tests, NULL, NULL);
}
