/* The network side of a session: each rule on its own. */
#include "network_net.h"

/* ---- 1.0, rekeying, versions ------------------------------------------------ */

static void join_1_0(void **unused)
{
    struct life l = life_new(LJS_SCHEME_1_0, LJS_FRAME_JOIN, 7, 1);
    struct net w = net_new();

    (void)unused;
    EXPECT(look(&w).state, LJS_NS_NONE);
    EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_E_STATE);
    EXPECT(uplink(&w, &l, SAID(0)), LJS_E_SESSION);
    EXPECT(accept(&w, &l), LJS_OK);
    EXPECT(w.joined.state, LJS_NS_PENDING);
    EXPECT(look(&w).pending.dev_addr, l.addr);
    EXPECT(downlink(&w, (ljs_ns_tx){ .fport = 1 }), LJS_E_STATE);
    EXPECT(uplink(&w, &l, SAID(0, .forged = true)), LJS_E_MIC);
    /* RekeyInd means nothing under 1.0, in clear as it is there */
    EXPECT(uplink(&w, &l, SAID(0, MAC(REKEY_IND), .port = 5, .confirmed = true)), LJS_OK);
    EXPECT(w.up.state, LJS_NS_ACTIVE);
    EXPECT(w.up.switched, 1);
    EXPECT(w.up.rekey, 0);
    EXPECT(w.up.due, LJS_NS_DUE_ACK);
    EXPECT(w.up.payload_len, 2);
    assert_memory_equal(w.up.payload, "hi", 2);
    EXPECT(w.up.mac_len, 2);
    EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_OK);
    EXPECT(hear(&w, &l, 0).data.ack, 1);
    EXPECT(w.down.sent, LJS_NS_DUE_ACK);
    EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_E_NOTFOUND);
    /* one counter for both */
    EXPECT(downlink(&w, (ljs_ns_tx){ .fport = 1, .fcnt = 0 }), LJS_E_REPLAY);
    EXPECT(downlink(&w, (ljs_ns_tx){ .fport = 1, .fcnt = 1 }), LJS_OK);
    EXPECT(look(&w).current.n_fcnt_down, 2);
    EXPECT(force(&w, (ljs_ns_force){ .tries = 1 }), LJS_E_MAC);
    EXPECT(params(&w, 1, 1), LJS_E_MAC);
    EXPECT(rejoin(&w, &l, LJS_FRAME_REJOIN0, 1), LJS_E_STATE);
    net_free(&w);
    life_free(&l);
}

/* [L2 1.1 §5.10]  nothing is taken under a new context before RekeyInd */
static void drops_before_rekey(void **unused)
{
    struct life l = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 1);
    struct net w = net_new();

    (void)unused;
    EXPECT(accept(&w, &l), LJS_OK);
    EXPECT(uplink(&w, &l, SAID(0, .port = 1)), LJS_E_STATE);
    EXPECT(uplink(&w, &l, SAID(1, .confirmed = true)), LJS_E_STATE);
    EXPECT(uplink(&w, &l, SAID(2, MAC("\x0b\x00"))), LJS_E_STATE);       /* Minor 0 is RFU */
    EXPECT(uplink(&w, &l, SAID(3, MAC("\x01\x01"))), LJS_E_STATE);       /* ResetInd is ABP's */
    EXPECT(uplink(&w, &l, SAID(4, MAC("\x7f" REKEY_IND))), LJS_E_STATE); /* behind what cannot be read */
    EXPECT(uplink(&w, &l, SAID(5, MAC("\x0b"))), LJS_E_STATE);           /* cut short */
    EXPECT(look(&w).pending.fcnt_up, -1);
    EXPECT(uplink(&w, &l, SAID(6, MAC("\x0d\x03\x07" REKEY_IND), .port = 9)), LJS_OK); /* among others */
    EXPECT(w.up.switched, 1);
    EXPECT(w.up.rekey, 1);
    EXPECT(w.up.minor, 1);
    EXPECT(w.up.state, LJS_NS_REKEYING);
    EXPECT(w.up.due, LJS_NS_DUE_REKEY_CONF);
    EXPECT(uplink(&w, &l, SAID(4, .port = 1)), LJS_E_REPLAY); /* dropped is dropped */
    net_free(&w);
    life_free(&l);
}

static void rekey_on_port_0(void **unused)
{
    struct life l = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 1);
    struct net w = net_new();

    (void)unused;
    EXPECT(accept(&w, &l), LJS_OK);
    EXPECT(uplink(&w, &l, SAID(0, MAC(REKEY_IND), .port0 = true)), LJS_OK);
    EXPECT(w.up.rekey, 1);
    EXPECT(w.up.payload_len, 0);
    assert_memory_equal(w.up.mac, REKEY_IND, 2);
    net_free(&w);
    life_free(&l);
}

static void rekey_conf_until_heard(void **unused)
{
    struct life l = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 1);
    struct net w = net_new();

    (void)unused;
    EXPECT(accept(&w, &l), LJS_OK);
    for (uint32_t i = 0; i < 70; i++) { /* past any ADR_ACK_LIMIT too */
        EXPECT(uplink(&w, &l, SAID(i, MAC(REKEY_IND))), LJS_OK);
        EXPECT(w.up.state, LJS_NS_REKEYING);
        EXPECT(w.up.switched, i == 0);
        EXPECT(w.up.due, LJS_NS_DUE_REKEY_CONF);
        EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_OK);
        EXPECT(w.down.fcnt, i);
        HEARD(hear(&w, &l, 0), "\x0b\x01");
        EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_E_NOTFOUND); /* one for one */
    }
    EXPECT(uplink(&w, &l, SAID(70, MAC(REKEY_IND))), LJS_OK);
    EXPECT(uplink(&w, &l, SAID(71, .port = 1)), LJS_OK);
    EXPECT(w.up.state, LJS_NS_ACTIVE);
    EXPECT(w.up.due, 0);
    EXPECT(uplink(&w, &l, SAID(72, MAC(REKEY_IND))), LJS_OK);
    EXPECT(w.up.state, LJS_NS_REKEYING);
    net_free(&w);
    life_free(&l);
}

static void versions(void **unused)
{
    static const struct {
        uint8_t ours;
        const char mac[3];
        uint8_t want; /* 0: no RekeyInd */
    } rows[] = {
        { 1, "\x0b\x01", 1 }, { 1, "\x0b\x02", 1 }, { 1, "\x0b\x0f", 1 }, { 2, "\x0b\x01", 1 },
        { 2, "\x0b\x03", 2 }, { 1, "\x0b\xf1", 1 }, { 1, "\x0b\xf0", 0 }, { 15, "\x0b\x09", 9 },
    };

    (void)unused;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct life l = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 1);
        ljs_ns_opts o = opts();
        struct net w;
        struct heard h;

        o.minor = rows[i].ours;
        w = net_with(&o);
        EXPECT(accept(&w, &l), LJS_OK);
        EXPECT(uplink(&w, &l, SAID(0, .mac = rows[i].mac, .mac_len = 2)), rows[i].want ? LJS_OK : LJS_E_STATE);
        if (rows[i].want) {
            EXPECT(w.up.minor, rows[i].want);
            EXPECT(look(&w).current.minor, rows[i].want);
            EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_OK);
            h = hear(&w, &l, 0);
            EXPECT(h.mac_len, 2);
            EXPECT(h.mac[1], rows[i].want);
        }
        net_free(&w);
        life_free(&l);
    }
}

/* ---- contexts --------------------------------------------------------------- */

static void old_stays_until_new_is_heard(void **unused)
{
    struct life a = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 1);
    struct life b = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 8, 2);
    struct life c = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 9, 3);
    struct net w = active(&a);

    (void)unused;
    c.addr = a.addr; /* told apart by the MIC alone */
    EXPECT(accept(&w, &b), LJS_OK);
    EXPECT(w.joined.state, LJS_NS_SWITCHING);
    EXPECT(w.joined.replaced, 0);
    EXPECT(uplink(&w, &a, SAID(2, .port = 1)), LJS_OK);
    EXPECT(w.up.dev_addr, a.addr);
    EXPECT(w.up.state, LJS_NS_SWITCHING);
    EXPECT(downlink(&w, (ljs_ns_tx){ .fport = 1 }), LJS_OK);
    (void)hear(&w, &a, 0);
    EXPECT(accept(&w, &c), LJS_OK);
    EXPECT(w.joined.replaced, 1);
    EXPECT(uplink(&w, &b, SAID(0, MAC(REKEY_IND))), LJS_E_SESSION); /* gone before it was heard of */
    EXPECT(uplink(&w, &a, SAID(3)), LJS_OK);
    EXPECT(uplink(&w, &c, SAID(0, .port = 1)), LJS_E_STATE);
    EXPECT(uplink(&w, &c, SAID(1, MAC(REKEY_IND))), LJS_OK);
    EXPECT(w.up.switched, 1);
    EXPECT(uplink(&w, &a, SAID(4, MAC(REKEY_IND))), LJS_E_MIC);
    EXPECT(look(&w).pending.present, 0);
    /* none that is gone comes back */
    EXPECT(accept(&w, &a), LJS_E_REPLAY);
    EXPECT(accept(&w, &b), LJS_E_REPLAY);
    net_free(&w);
    life_free(&a);
    life_free(&b);
    life_free(&c);
}

/* The Join Server answers the same again: the device may be in that context already. */
static void repeats(void **unused)
{
    struct life a = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 1);
    struct net w = net_new();
    ljs_buf before;

    (void)unused;
    EXPECT(accept(&w, &a), LJS_OK);
    EXPECT(w.joined.repeat, 0);
    EXPECT(ljs_buf_copy(&before, w.state.data, w.state.len), LJS_OK);
    EXPECT(accept(&w, &a), LJS_OK);
    EXPECT(w.joined.repeat, 1);
    EXPECT(w.state.len, before.len);
    assert_memory_equal(w.state.data, before.data, before.len);
    EXPECT(uplink(&w, &a, SAID(5, MAC(REKEY_IND))), LJS_OK);
    EXPECT(accept(&w, &a), LJS_OK);
    EXPECT(w.joined.repeat, 1);
    EXPECT(w.joined.state, LJS_NS_REKEYING);
    EXPECT(uplink(&w, &a, SAID(4, MAC(REKEY_IND))), LJS_E_REPLAY);
    a.addr++; /* the same keys for something else */
    EXPECT(accept(&w, &a), LJS_E_REPLAY);
    ljs_buf_free(&before);
    net_free(&w);
    life_free(&a);
}

static void what_does_not_go_together(void **unused)
{
    struct life v10 = life_new(LJS_SCHEME_1_0, LJS_FRAME_REJOIN1, 7, 1);
    struct life v11 = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 2);
    ljs_ns_accepted a = { .struct_size = sizeof a, .kind = LJS_FRAME_JOIN, .scheme = LJS_SCHEME_1_1, .mac = 0x0104 };
    ljs_ns_keys keys = { v11.f, v11.s, v11.e };
    struct net w = net_new();
    const uint8_t *s = w.state.data;
    size_t n = w.state.len;
    ljs_buf out;
    ljs_ns_opts o = opts();

    (void)unused;
    EXPECT(accept(&w, &v10), LJS_E_MAC); /* a rejoin under 1.0 */
    EXPECT(ljs_ns_join_accepted(&w.joined, &out, w.vault, &a, &keys, s, n), LJS_E_MAC);
    a.mac = 0x0110;
    keys.nwk_s_enc = NULL;
    EXPECT(ljs_ns_join_accepted(&w.joined, &out, w.vault, &a, &keys, s, n), LJS_E_NOKEY);
    keys.f_nwk_s_int = NULL;
    a.scheme = LJS_SCHEME_1_0;
    EXPECT(ljs_ns_join_accepted(&w.joined, &out, w.vault, &a, &keys, s, n), LJS_E_NOKEY);
    a.kind = (ljs_frame_kind)3;
    EXPECT(ljs_ns_join_accepted(&w.joined, &out, w.vault, &a, &keys, s, n), LJS_E_INVAL);
    a.struct_size--;
    EXPECT(ljs_ns_join_accepted(&w.joined, &out, w.vault, &a, &keys, s, n), LJS_E_INVAL);
    /* OptNeg clear for a device of 1.1 */
    a = (ljs_ns_accepted){ .struct_size = sizeof a, .kind = LJS_FRAME_JOIN, .scheme = LJS_SCHEME_1_0, .mac = 0x0110 };
    keys.f_nwk_s_int = v11.f;
    EXPECT(ljs_ns_join_accepted(&w.joined, &out, w.vault, &a, &keys, s, n), LJS_OK);
    ljs_buf_free(&out);
    o.minor = 0;
    EXPECT(ljs_ns_new(&out, w.vault, &o), LJS_E_INVAL);
    o = opts();
    o.net_id = 0x1000000;
    EXPECT(ljs_ns_new(&out, w.vault, &o), LJS_E_INVAL);
    o = opts();
    o.order = (ljs_octet_order)2;
    EXPECT(ljs_ns_new(&out, w.vault, &o), LJS_E_INVAL);
    w.now = -1;
    EXPECT(timer(&w), LJS_E_INVAL);
    net_free(&w);
    life_free(&v10);
    life_free(&v11);
}

/* ---- counters --------------------------------------------------------------- */

static void counters(void **unused)
{
    static const struct {
        uint32_t fcnt;
        ljs_err err;
    } steps[] = {
        { 1, LJS_E_REPLAY },
        { 0, LJS_E_REPLAY },
        { 2, LJS_OK },
        { 2, LJS_E_REPLAY },
        { 60000, LJS_OK },
        { 2, LJS_E_REPLAY },
        { 65535, LJS_OK },
        { 65535, LJS_E_REPLAY },
        { 65536, LJS_OK },
        { 65535, LJS_E_REPLAY },
        { 65536, LJS_E_REPLAY },
        { 0, LJS_E_MIC }, /* too old to be recognised */
        { 65537 + 65536, LJS_E_MIC },
        /* 16 bits cannot tell */ { 65536 + 65535, LJS_OK },
        { 131073, LJS_OK },
        { 131072, LJS_E_REPLAY },
        { 131073 + 65535, LJS_OK },
        { 131073 + 65535, LJS_E_REPLAY },
    };
    struct life l = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 1);
    struct life v10 = life_new(LJS_SCHEME_1_0, LJS_FRAME_JOIN, 7, 2);

    (void)unused;
    for (unsigned v = 0; v < 2; v++) {
        struct net w = v ? active(&l) : net_new();
        const struct life *at = v ? &l : &v10;

        if (!v) {
            EXPECT(accept(&w, &v10), LJS_OK);
            EXPECT(uplink(&w, &v10, SAID(0)), LJS_OK);
            EXPECT(uplink(&w, &v10, SAID(1)), LJS_OK);
        }
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
            EXPECT(uplink(&w, at, SAID(steps[i].fcnt, .port = (uint8_t)(i + 1))), steps[i].err); /* each another one */
            if (!steps[i].err) {
                EXPECT(w.up.fcnt, steps[i].fcnt);
                EXPECT(look(&w).current.fcnt_up, steps[i].fcnt);
            }
        }
        net_free(&w);
    }
    life_free(&l);
    life_free(&v10);
}

/* Up to the last of 2^32, and not round again. */
static void counter_ends(void **unused)
{
    struct life l = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 1);
    struct net w = active(&l);

    (void)unused;
    for (uint64_t fcnt = 0xffff; fcnt < 0x2ffff; fcnt += 0xffff)
        EXPECT(uplink(&w, &l, SAID((uint32_t)fcnt)), LJS_OK);
    EXPECT(downlink(&w, (ljs_ns_tx){ .fport = 1, .fcnt = 0xffffffff }), LJS_OK);
    (void)hear(&w, &l, 0);
    EXPECT(downlink(&w, (ljs_ns_tx){ .fport = 1, .fcnt = 0xffffffff }), LJS_E_SPENT);
    EXPECT(downlink(&w, (ljs_ns_tx){ .fport = 1, .fcnt = 0 }), LJS_E_SPENT);
    EXPECT(downlink(&w, (ljs_ns_tx){ .mac = { 6 }, .mac_len = 1 }), LJS_OK); /* the other one goes on */
    net_free(&w);
    life_free(&l);
}

static void mic_covers(void **unused)
{
    struct life l = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 1);
    struct net w = active(&l);
    ljs_buf frame = life_uplink(&l, SAID(2, .dr = 3, .ch = 4, .port = 1)), out;
    uint8_t *d = frame.data;
    size_t n = frame.len;

    (void)unused;
    EXPECT(ljs_ns_uplink(&w.up, &out, w.vault, 0, 3, 5, d, n, w.state.data, w.state.len), LJS_E_MIC);
    EXPECT(ljs_ns_uplink(&w.up, &out, w.vault, 0, 2, 4, d, n, w.state.data, w.state.len), LJS_E_MIC);
    for (size_t bit = 0; bit < 8 * n; bit++) {
        ljs_err err;

        d[bit / 8] ^= (uint8_t)(1 << bit % 8);
        err = ljs_ns_uplink(&w.up, &out, w.vault, 0, 3, 4, d, n, w.state.data, w.state.len);
        assert_true(err == LJS_E_MIC || err == LJS_E_FRAME || err == LJS_E_SIZE || err == LJS_E_SESSION);
        assert_null(out.data);
        d[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    EXPECT(ljs_ns_uplink(&w.up, &out, w.vault, 0, 3, 4, d, n, w.state.data, w.state.len), LJS_OK);
    ljs_buf_free(&out);
    EXPECT(ljs_ns_uplink(&w.up, &out, w.vault, 0, 3, 4, d, 11, w.state.data, w.state.len), LJS_E_SIZE);
    ljs_buf_free(&frame);
    /* a downlink is no uplink */
    EXPECT(downlink(&w, (ljs_ns_tx){ .fport = 1 }), LJS_OK);
    EXPECT(ljs_ns_uplink(&w.up, &out, w.vault, 0, 0, 0, w.down.phy, w.down.phy_len, w.state.data, w.state.len),
           LJS_E_FRAME);
    net_free(&w);
    life_free(&l);
}

/* ---- acknowledging ---------------------------------------------------------- */

static void acks(void **unused)
{
    struct life l = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 1);
    struct net w = active(&l);
    struct heard h;

    (void)unused;
    EXPECT(uplink(&w, &l, SAID(70000 - 65536, .confirmed = true)), LJS_OK);
    EXPECT(w.up.due, LJS_NS_DUE_ACK);
    EXPECT(downlink(&w, (ljs_ns_tx){ .confirmed = 1 }), LJS_OK);
    h = hear(&w, &l, 70000 - 65536);
    EXPECT(h.data.ack, 1);
    EXPECT(h.data.confirmed, 1);
    /* the device's ACK has the downlink's counter under its MIC */
    EXPECT(uplink(&w, &l, SAID(5000, .ack = true, .conf_fcnt = (uint16_t)(w.down.fcnt + 1))), LJS_E_MIC);
    EXPECT(uplink(&w, &l, SAID(5000, .ack = true, .conf_fcnt = (uint16_t)w.down.fcnt)), LJS_OK);
    EXPECT(w.up.acked, 1);
    EXPECT(uplink(&w, &l, SAID(5001, .ack = true, .conf_fcnt = (uint16_t)w.down.fcnt)), LJS_OK);
    EXPECT(w.up.acked, 0);
    EXPECT(w.up.due, 0);
    /* an ACK that the device does not wait for any more is not sent */
    EXPECT(uplink(&w, &l, SAID(5002, .confirmed = true)), LJS_OK);
    EXPECT(uplink(&w, &l, SAID(5003, .adr_ack_req = true)), LJS_OK);
    EXPECT(w.up.due, LJS_NS_DUE_ADR_ACK);
    EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_OK);
    EXPECT(hear(&w, &l, 0).data.ack, 0);
    EXPECT(look(&w).due, 0);
    net_free(&w);
    life_free(&l);
}

/* ---- the last uplink again --------------------------------------------------- */

/* [L2 1.0.4 §4.3.1.3]  a confirmed uplink is sent again until its ACK is heard; the ACK of 1.1 names it */
static void again_until_heard(void **unused)
{
    struct life v11 = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 1);
    struct life v10 = life_new(LJS_SCHEME_1_0, LJS_FRAME_JOIN, 7, 2);

    (void)unused;
    for (unsigned v = 0; v < 2; v++) {
        const struct life *l = v ? &v11 : &v10;
        struct said said = { .fcnt = 0x1fffe, .confirmed = true, .port = 5, MAC(REKEY_IND), .dr = 5, .ch = 1 };
        uint8_t due = LJS_NS_DUE_ACK | (v ? LJS_NS_DUE_REKEY_CONF : 0);
        struct net w = net_new();

        EXPECT(accept(&w, l), LJS_OK);
        for (uint32_t fcnt = 0; fcnt < said.fcnt; fcnt += 0xffff)
            EXPECT(uplink(&w, l, SAID(fcnt, MAC(REKEY_IND))), LJS_OK);
        EXPECT(uplink(&w, l, &said), LJS_OK);
        EXPECT(w.up.again, 0);
        EXPECT(w.up.payload_len, 2);
        EXPECT(w.up.mac_len, 2);
        for (uint8_t i = 1; i <= LJS_NS_AGAIN_MAX; i++) {
            if (i % 3) { /* else the answer to the one before is still owed */
                EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_OK);
                EXPECT(hear(&w, l, (uint16_t)said.fcnt).data.ack, 1);
                EXPECT(w.down.sent, due);
            }
            said.dr = 5 - i / 4; /* the MIC of 1.1 is another one then */
            said.ch = i % 8;
            EXPECT(uplink(&w, l, &said), LJS_OK);
            EXPECT(w.up.again, i);
            EXPECT(w.up.fcnt, said.fcnt);
            EXPECT(w.up.state, v ? LJS_NS_REKEYING : LJS_NS_ACTIVE);
            EXPECT(w.up.confirmed, 1);
            EXPECT(w.up.switched, 0);
            EXPECT(w.up.rekey, v);
            EXPECT(w.up.minor, v);
            EXPECT(w.up.due, due);
            /* once is enough */
            EXPECT(w.up.has_fport, 0);
            EXPECT(w.up.fport, 0);
            EXPECT(w.up.payload_len, 0);
            EXPECT(w.up.mac_len, 0);
            assert_true(is_zero(w.up.payload, sizeof w.up.payload) && is_zero(w.up.mac, sizeof w.up.mac));
        }
        EXPECT(uplink(&w, l, &said), LJS_E_REPLAY);
        EXPECT(look(&w).due, due);
        /* the next counter begins anew */
        said.fcnt++;
        EXPECT(uplink(&w, l, &said), LJS_OK);
        EXPECT(w.up.again, 0);
        EXPECT(uplink(&w, l, &said), LJS_OK);
        EXPECT(w.up.again, 1);
        said.fcnt--;
        EXPECT(uplink(&w, l, &said), LJS_E_REPLAY);
        net_free(&w);
    }
    life_free(&v11);
    life_free(&v10);
}

/* Nothing but the very same frame, under a MIC of its own, and of the current context alone. */
static void again_is_the_same(void **unused)
{
    struct life a = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 1);
    struct life b = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 8, 2);
    struct net w = active(&a);
    const struct said said = { .fcnt = 9, .port = 5, .confirmed = true, .dr = 2, .ch = 3 };
    const struct said others[] = {
        { .fcnt = 9, .port = 5, .dr = 2, .ch = 3 },
        { .fcnt = 9, .port = 6, .confirmed = true, .dr = 2, .ch = 3 },
        { .fcnt = 9, .confirmed = true, .dr = 2, .ch = 3 },
        { .fcnt = 9, .port = 5, .confirmed = true, .adr_ack_req = true, .dr = 2, .ch = 3 },
        { .fcnt = 9, .port = 5, .confirmed = true, .ack = true, .dr = 2, .ch = 3 },
        { .fcnt = 9, .port = 5, .confirmed = true, MAC(REKEY_IND), .dr = 2, .ch = 3 },
    };
    struct said forged = said, on = { .fcnt = 0, MAC(REKEY_IND) };
    ljs_buf frame = life_uplink(&a, &said), out;

    (void)unused;
    forged.forged = true;
    EXPECT(uplink(&w, &a, &said), LJS_OK);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        EXPECT(uplink(&w, &a, &others[i]), LJS_E_REPLAY);
    EXPECT(uplink(&w, &a, &forged), LJS_E_MIC);
    /* heard on another channel than it was made for */
    EXPECT(ljs_ns_uplink(&w.up, &out, w.vault, 0, 2, 4, frame.data, frame.len, w.state.data, w.state.len), LJS_E_MIC);
    EXPECT(uplink(&w, &a, &said), LJS_OK);
    EXPECT(w.up.again, 1);
    /* while another context is pending, and not when it is the current one */
    EXPECT(accept(&w, &b), LJS_OK);
    EXPECT(uplink(&w, &a, &said), LJS_OK);
    EXPECT(w.up.again, 2);
    EXPECT(w.up.state, LJS_NS_SWITCHING);
    EXPECT(uplink(&w, &b, &on), LJS_OK);
    EXPECT(w.up.switched, 1);
    EXPECT(uplink(&w, &a, &said), LJS_E_SESSION);
    EXPECT(uplink(&w, &b, &on), LJS_OK); /* the RekeyInd that made it so, before the RekeyConf was heard */
    EXPECT(w.up.again, 1);
    EXPECT(w.up.switched, 0);
    EXPECT(w.up.rekey, 1);
    EXPECT(w.up.due, LJS_NS_DUE_REKEY_CONF);
    ljs_buf_free(&frame);
    net_free(&w);
    life_free(&a);
    life_free(&b);
}

/* What was in it was dealt with the first time. */
static void again_changes_no_more(void **unused)
{
    struct life l = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 1);
    struct net w = active(&l);
    struct said said = { .fcnt = 2, .confirmed = true, .ack = true, MAC(PARAMS_ANS) };

    (void)unused;
    EXPECT(params(&w, 10, 3), LJS_OK);
    EXPECT(downlink(&w, (ljs_ns_tx){ .confirmed = 1 }), LJS_OK);
    said.conf_fcnt = (uint16_t)w.down.fcnt;
    EXPECT(uplink(&w, &l, &said), LJS_OK);
    EXPECT(w.up.acked, 1);
    EXPECT(w.up.params_answered, 1);
    /* a confirmed downlink that the device has not heard, with new parameters: the frame that comes again
     * has the downlink before under its MIC, and answers the parameters before */
    EXPECT(params(&w, 11, 4), LJS_OK);
    EXPECT(force(&w, (ljs_ns_force){ .tries = 2 }), LJS_OK);
    EXPECT(downlink(&w, (ljs_ns_tx){ .confirmed = 1 }), LJS_OK);
    assert_true(w.down.fcnt != said.conf_fcnt);
    EXPECT(uplink(&w, &l, &said), LJS_OK);
    EXPECT(w.up.again, 1);
    EXPECT(w.up.acked, 0);
    EXPECT(w.up.params_answered, 0);
    EXPECT(w.up.time_ok, 0);
    EXPECT(w.up.due, LJS_NS_DUE_ACK);
    assert_true(w.up.wake_at >= 0 && w.up.wake_at == w.down.wake_at);
    EXPECT(look(&w).params_known, 0);
    EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_OK);
    EXPECT(hear(&w, &l, 2).data.ack, 1);
    /* then it hears both, and acknowledges the newer one */
    EXPECT(uplink(&w, &l, SAID(3, .ack = true, .conf_fcnt = (uint16_t)(said.conf_fcnt + 1), MAC(PARAMS_ANS))), LJS_OK);
    EXPECT(w.up.acked, 1);
    EXPECT(w.up.params_answered, 1);
    net_free(&w);
    life_free(&l);
}

/* [L2 1.1 §4.4]  the MIC of an ACK names one downlink, and the last confirmed one alone is remembered */
static void one_confirmed_at_a_time(void **unused)
{
    struct life l = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 1);
    struct net w = active(&l);
    ljs_ns_tx tx = { .confirmed = 1, .mac_len = 1, .mac = { 0x06 } }; /* DevStatusReq */
    uint16_t first;

    (void)unused;
    EXPECT(downlink(&w, tx), LJS_OK);
    first = (uint16_t)w.down.fcnt;
    EXPECT(downlink(&w, tx), LJS_OK);
    for (int i = 0; i < 2; i++)
        EXPECT(uplink(&w, &l, SAID(2, .ack = true, .conf_fcnt = first)), LJS_E_MIC);
    EXPECT(uplink(&w, &l, SAID(2, .ack = true, .conf_fcnt = (uint16_t)(first + 1))), LJS_OK);
    EXPECT(w.up.acked, 1);
    net_free(&w);
    life_free(&l);
}

static void where_commands_go(void **unused)
{
    struct life l = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 1);
    struct net w = active(&l);
    ljs_ns_tx tx = { .mac_len = 13 };
    struct heard h;
    uint64_t a = look(&w).current.a_fcnt_down, n = look(&w).current.n_fcnt_down;

    (void)unused;
    memset(tx.mac, 6, sizeof tx.mac); /* DevStatusReq */
    EXPECT(uplink(&w, &l, SAID(2, MAC(REKEY_IND))), LJS_OK);
    EXPECT(downlink(&w, tx), LJS_OK); /* 15: FOpts */
    EXPECT(w.down.fcnt, n);
    h = hear(&w, &l, 0);
    EXPECT(h.data.has_fport, 0);
    EXPECT(h.mac_len, 15);
    EXPECT(h.mac[0], 0x0b);
    EXPECT(h.mac[14], 6);
    EXPECT(uplink(&w, &l, SAID(3, MAC(REKEY_IND))), LJS_OK);
    tx.mac_len = 14;
    EXPECT(downlink(&w, tx), LJS_OK); /* 16: port 0 */
    EXPECT(w.down.fcnt, n + 1);
    h = hear(&w, &l, 0);
    EXPECT(h.data.has_fport, 1);
    EXPECT(h.data.fport, 0);
    EXPECT(h.mac_len, 16);
    tx.fport = 1;
    tx.fcnt = (uint32_t)a;
    tx.mac_len = 16;
    EXPECT(downlink(&w, tx), LJS_E_SIZE);
    tx.mac_len = 15;
    EXPECT(downlink(&w, tx), LJS_OK); /* FOpts beside a payload: the other counter, the other key stream */
    EXPECT(w.down.fcnt, a);
    h = hear(&w, &l, 0);
    EXPECT(h.data.fport, 1);
    EXPECT(h.mac[14], 6);
    EXPECT(look(&w).current.n_fcnt_down, n + 2);
    EXPECT(look(&w).current.a_fcnt_down, a + 1);
    tx.fcnt++;
    tx.payload_len = 242 - 15;
    EXPECT(downlink(&w, tx), LJS_OK);
    tx.fcnt++;
    tx.payload_len++;
    EXPECT(downlink(&w, tx), LJS_E_SIZE);
    tx = (ljs_ns_tx){ .payload_len = 1 };
    EXPECT(downlink(&w, tx), LJS_E_INVAL);
    tx = (ljs_ns_tx){ .confirmed = 2, .fport = 1 };
    EXPECT(downlink(&w, tx), LJS_E_INVAL);
    tx = (ljs_ns_tx){ .mac_len = 242 };
    memset(tx.mac, 6, sizeof tx.mac);
    EXPECT(downlink(&w, tx), LJS_OK);
    EXPECT(w.down.phy_len, 255);
    EXPECT(uplink(&w, &l, SAID(4, MAC(REKEY_IND))), LJS_OK);
    EXPECT(downlink(&w, tx), LJS_E_SIZE);
    net_free(&w);
    life_free(&l);
}

/* ---- rejoining -------------------------------------------------------------- */

static void rejoin_0(void **unused)
{
    struct life a = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 1);
    struct life b = life_new(LJS_SCHEME_1_1, LJS_FRAME_REJOIN0, 9, 2);
    struct life other = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 3);
    struct net w = active(&a);
    ljs_buf frame, out;

    (void)unused;
    EXPECT(accept(&w, &b), LJS_E_REPLAY); /* no such rejoin was let through */
    EXPECT(rejoin(&w, &other, LJS_FRAME_REJOIN0, 0), LJS_E_MIC);
    EXPECT(rejoin_net(&w, &a, LJS_FRAME_REJOIN0, 0, NETWORK_NET + 1), LJS_E_HOME);
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN0, 0), LJS_OK); /* the first may be 0 */
    EXPECT(w.route.kind, LJS_FRAME_REJOIN0);
    EXPECT(w.route.nonce, 0);
    EXPECT(w.route.checked, 1);
    EXPECT(w.route.forced, 0);
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN0, 0), LJS_E_REPLAY);
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN0, 9), LJS_OK);
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN0, 8), LJS_E_REPLAY);
    b.nonce = 0;
    EXPECT(accept(&w, &b), LJS_E_REPLAY); /* answers an earlier one */
    b.nonce = 9;
    EXPECT(accept(&w, &b), LJS_OK);
    EXPECT(w.joined.state, LJS_NS_SWITCHING);
    /* until it is heard under the new, the device may not have it: the old context rejoins on */
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN0, 10), LJS_OK);
    EXPECT(rejoin(&w, &b, LJS_FRAME_REJOIN0, 0), LJS_E_MIC);
    EXPECT(uplink(&w, &b, SAID(0, MAC(REKEY_IND))), LJS_OK);
    EXPECT(look(&w).current.rj_count0, -1); /* each context has its own */
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN0, 11), LJS_E_MIC);
    EXPECT(rejoin(&w, &b, LJS_FRAME_REJOIN0, 0), LJS_OK);
    EXPECT(rejoin(&w, &b, LJS_FRAME_REJOIN0, 65535), LJS_OK); /* and none after it */
    EXPECT(rejoin(&w, &b, LJS_FRAME_REJOIN0, 0), LJS_E_REPLAY);
    EXPECT(rejoin(&w, &b, LJS_FRAME_REJOIN0, 65535), LJS_E_REPLAY);
    /* another device; a join-request; no frame at all */
    frame = life_rejoin(&b, LJS_FRAME_REJOIN0, NETWORK_NET, 1);
    frame.data[5] ^= 1;
    EXPECT(ljs_ns_rejoin(&w.route, &out, w.vault, 0, frame.data, 19, w.state.data, w.state.len), LJS_E_DEVICE);
    EXPECT(ljs_ns_rejoin(&w.route, &out, w.vault, 0, frame.data, 18, w.state.data, w.state.len), LJS_E_SIZE);
    ljs_buf_free(&frame);
    EXPECT(ljs_frame_sign(&frame, &(ljs_frame){ .kind = LJS_FRAME_JOIN, .dev_eui = NETWORK_DEV }, b.s), LJS_OK);
    EXPECT(ljs_ns_rejoin(&w.route, &out, w.vault, 0, frame.data, 23, w.state.data, w.state.len), LJS_E_FRAME);
    ljs_buf_free(&frame);
    net_free(&w);
    life_free(&a);
    life_free(&b);
    life_free(&other);
}

static void rejoin_limits(void **unused)
{
    struct life a = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 1);
    ljs_ns_opts o = opts();
    struct net w;

    (void)unused;
    o.rejoins_per_hour = 2;
    o.rejoins1_per_hour = 3;
    w = net_with(&o);
    /* a rejoin 1 is for who has no context any more, and is not checked */
    for (uint16_t i = 0; i < 3; i++) {
        EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN1, 5), LJS_OK);
        EXPECT(w.route.checked, 0);
        EXPECT(w.route.kind, LJS_FRAME_REJOIN1);
    }
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN1, 6), LJS_E_BUSY);
    w.now += HOUR - 1;
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN1, 6), LJS_E_BUSY);
    EXPECT(accept(&w, &a), LJS_OK);
    EXPECT(uplink(&w, &a, SAID(0, MAC(REKEY_IND))), LJS_OK);
    /* who floods with rejoin 1, which anybody can, keeps no rejoin 0 away */
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN0, 0), LJS_OK);
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN0, 1), LJS_OK);
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN0, 2), LJS_E_BUSY);
    EXPECT(look(&w).current.rj_count0, 1);
    w.now += 1;
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN1, 6), LJS_OK);
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN0, 2), LJS_E_BUSY);
    w.now += HOUR;
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN0, 2), LJS_OK);
    net_free(&w);
    o.rejoins_per_hour = o.rejoins1_per_hour = 0;
    w = net_with(&o);
    for (uint16_t i = 0; i < 500; i++)
        EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN1, i), LJS_OK);
    net_free(&w);
    life_free(&a);
}

static void rejoin_2_on_request(void **unused)
{
    struct life a = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 1);
    struct life b = life_new(LJS_SCHEME_1_1, LJS_FRAME_REJOIN2, 3, 2);
    struct net w = active(&a);

    (void)unused;
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN2, 1), LJS_E_STATE); /* unsolicited */
    EXPECT(look(&w).current.rj_count0, -1);
    EXPECT(force(&w, (ljs_ns_force){ .rejoin_type = 2, .tries = 1 }), LJS_OK);
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN2, 1), LJS_E_STATE); /* not sent yet */
    EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_OK);
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN2, 1), LJS_OK);
    EXPECT(w.route.forced, 1);
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN2, 3), LJS_OK); /* the device's next try */
    EXPECT(w.route.forced, 0);
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN2, 3), LJS_E_REPLAY);
    EXPECT(accept(&w, &b), LJS_OK);
    EXPECT(uplink(&w, &b, SAID(0, MAC(REKEY_IND))), LJS_OK);
    EXPECT(rejoin(&w, &b, LJS_FRAME_REJOIN2, 1), LJS_E_STATE); /* asked for once, of another context */
    /* a type 0 that is asked for takes the type 2's place */
    EXPECT(force(&w, (ljs_ns_force){ .rejoin_type = 2, .tries = 1 }), LJS_OK);
    EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_OK);
    EXPECT(look(&w).rejoin2, 1);
    EXPECT(force(&w, (ljs_ns_force){ .rejoin_type = 0, .tries = 1 }), LJS_OK);
    EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_OK);
    EXPECT(rejoin(&w, &b, LJS_FRAME_REJOIN2, 1), LJS_E_STATE);
    EXPECT(rejoin(&w, &b, LJS_FRAME_REJOIN0, 1), LJS_OK);
    net_free(&w);
    life_free(&a);
    life_free(&b);
}

static void force_repeats_and_ends(void **unused)
{
    struct life a = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 1);
    struct life b = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 8, 2);
    struct net w = active(&a);
    const ljs_ns_force f = { .rejoin_type = 0, .period = 1, .max_retries = 2, .data_rate = 5, .tries = 3 };
    int64_t wait = 3 * (2 * 32000 + 32000);

    (void)unused;
    EXPECT(force(&w, f), LJS_OK);
    EXPECT(look(&w).due, LJS_NS_DUE_FORCE_REJOIN);
    EXPECT(look(&w).wake_at, -1);
    for (unsigned i = 0; i < 3; i++, wait *= 2) {
        EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_OK);
        EXPECT(w.down.sent, LJS_NS_DUE_FORCE_REJOIN);
        EXPECT(w.down.wake_at, w.now + wait);
        EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_E_NOTFOUND);
        w.now += wait - 1;
        EXPECT(timer(&w), LJS_OK); /* too early */
        EXPECT(w.woken.due, 0);
        EXPECT(w.woken.wake_at, w.now + 1);
        w.now += 1;
        EXPECT(timer(&w), LJS_OK);
        EXPECT(w.woken.due, i < 2 ? LJS_NS_DUE_FORCE_REJOIN : 0);
        EXPECT(w.woken.spent, i == 2);
        EXPECT(w.woken.wake_at, -1);
    }
    EXPECT(timer(&w), LJS_OK);
    EXPECT(w.woken.spent, 0);
    EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_E_NOTFOUND);

    /* a rejoin ends it */
    EXPECT(force(&w, f), LJS_OK);
    EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_OK);
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN1, 1), LJS_OK); /* not this one: nobody knows whose it is */
    EXPECT(w.route.forced, 0);
    assert_true(w.route.wake_at > 0);
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN0, 1), LJS_OK);
    EXPECT(w.route.forced, 1);
    EXPECT(w.route.wake_at, -1);
    EXPECT(look(&w).force_left, 0);

    /* so does a new context, and who wished it */
    EXPECT(force(&w, f), LJS_OK);
    EXPECT(accept(&w, &b), LJS_OK);
    EXPECT(look(&w).due, LJS_NS_DUE_FORCE_REJOIN);
    EXPECT(uplink(&w, &b, SAID(0, MAC(REKEY_IND))), LJS_OK);
    EXPECT(w.up.due, LJS_NS_DUE_REKEY_CONF);
    EXPECT(force(&w, f), LJS_OK);
    EXPECT(force(&w, (ljs_ns_force){ .tries = 0 }), LJS_OK);
    EXPECT(look(&w).due, LJS_NS_DUE_REKEY_CONF);

    EXPECT(force(&w, (ljs_ns_force){ .rejoin_type = 1, .tries = 1 }), LJS_E_INVAL);
    EXPECT(force(&w, (ljs_ns_force){ .period = 8, .tries = 1 }), LJS_E_INVAL);
    EXPECT(force(&w, (ljs_ns_force){ .max_retries = 8, .tries = 1 }), LJS_E_INVAL);
    EXPECT(force(&w, (ljs_ns_force){ .data_rate = 16, .tries = 1 }), LJS_E_INVAL);
    EXPECT(force(&w, (ljs_ns_force){ .wait = -1, .tries = 1 }), LJS_E_INVAL);
    net_free(&w);
    life_free(&a);
    life_free(&b);
}

static void force_in_both_orders(void **unused)
{
    struct life a = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 1);

    (void)unused;
    for (unsigned high = 0; high < 2; high++) {
        ljs_ns_opts o = opts();
        struct net w;

        o.order = high ? LJS_HIGH_FIRST : LJS_LOW_FIRST;
        w = net_with(&o);
        EXPECT(accept(&w, &a), LJS_OK);
        EXPECT(uplink(&w, &a, SAID(0, MAC(REKEY_IND))), LJS_OK);
        /* period 3, retries 4, type 2, data rate 5: brocaar's 0E 25 1C, and the same turned round */
        EXPECT(force(&w, (ljs_ns_force){ .period = 3, .max_retries = 4, .rejoin_type = 2, .data_rate = 5, .tries = 1 }),
               LJS_OK);
        EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_OK);
        if (high)
            HEARD(hear(&w, &a, 0), "\x0b\x01\x0e\x1c\x25");
        else
            HEARD(hear(&w, &a, 0), "\x0b\x01\x0e\x25\x1c");
        net_free(&w);
    }
    life_free(&a);
}

static void params_until_answered(void **unused)
{
    struct life a = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 1);
    struct life b = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 8, 2);
    struct life c = life_new(LJS_SCHEME_1_1, LJS_FRAME_REJOIN2, 1, 3);
    struct net w = active(&a);

    (void)unused;
    EXPECT(uplink(&w, &a, SAID(2, MAC(PARAMS_ANS))), LJS_OK); /* to nothing */
    EXPECT(w.up.params_answered, 0);
    EXPECT(params(&w, 16, 0), LJS_E_INVAL);
    EXPECT(params(&w, 0, 16), LJS_E_INVAL);
    EXPECT(params(&w, 10, 3), LJS_OK);
    for (uint32_t i = 0; i < 3; i++) {
        EXPECT(look(&w).due, LJS_NS_DUE_REJOIN_PARAMS);
        EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_OK);
        HEARD(hear(&w, &a, 0), "\x0f\xa3");
        EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_E_NOTFOUND);
        EXPECT(uplink(&w, &a, SAID(3 + i)), LJS_OK);
    }
    EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_OK);
    EXPECT(uplink(&w, &a, SAID(9, MAC(PARAMS_ANS))), LJS_OK);
    EXPECT(w.up.params_answered, 1);
    EXPECT(w.up.time_ok, 1);
    EXPECT(w.up.due, 0);
    EXPECT(look(&w).params_known, 1);
    EXPECT(look(&w).time_ok, 1);
    /* rejoin 2 leaves the device as it is */
    EXPECT(force(&w, (ljs_ns_force){ .rejoin_type = 2, .tries = 1 }), LJS_OK);
    EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_OK);
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN2, 1), LJS_OK);
    EXPECT(accept(&w, &c), LJS_OK);
    EXPECT(uplink(&w, &c, SAID(0, MAC(REKEY_IND))), LJS_OK);
    EXPECT(w.up.due, LJS_NS_DUE_REKEY_CONF);
    EXPECT(look(&w).params_known, 1);
    /* a join does not */
    EXPECT(accept(&w, &b), LJS_OK);
    EXPECT(uplink(&w, &b, SAID(0, MAC(REKEY_IND))), LJS_OK);
    EXPECT(w.up.due, LJS_NS_DUE_REKEY_CONF | LJS_NS_DUE_REJOIN_PARAMS);
    EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_OK);
    HEARD(hear(&w, &b, 0), "\x0b\x01\x0f\xa3");
    EXPECT(uplink(&w, &b, SAID(1, MAC("\x0f\x00"))), LJS_OK);
    EXPECT(w.up.params_answered, 1);
    EXPECT(w.up.time_ok, 0);
    net_free(&w);
    life_free(&a);
    life_free(&b);
    life_free(&c);
}

/* From 1.1 to a network of 1.0 and back: what is wished waits. */
static void down_and_up_again(void **unused)
{
    struct life a = life_new(LJS_SCHEME_1_1, LJS_FRAME_JOIN, 7, 1);
    struct life b = life_new(LJS_SCHEME_1_0, LJS_FRAME_JOIN, 8, 2);
    struct life c = life_new(LJS_SCHEME_1_1, LJS_FRAME_REJOIN1, 1, 3);
    struct net w = active(&a);

    (void)unused;
    EXPECT(params(&w, 1, 1), LJS_OK);
    EXPECT(accept(&w, &b), LJS_OK);
    EXPECT(uplink(&w, &b, SAID(0)), LJS_OK);
    EXPECT(w.up.state, LJS_NS_ACTIVE);
    EXPECT(w.up.scheme, LJS_SCHEME_1_0);
    EXPECT(w.up.due, 0);
    EXPECT(rejoin(&w, &a, LJS_FRAME_REJOIN1, 1), LJS_OK);
    EXPECT(accept(&w, &c), LJS_OK);
    EXPECT(uplink(&w, &b, SAID(1)), LJS_OK);
    EXPECT(uplink(&w, &c, SAID(0)), LJS_E_STATE);
    EXPECT(uplink(&w, &c, SAID(1, MAC(REKEY_IND))), LJS_OK);
    EXPECT(w.up.due, LJS_NS_DUE_REKEY_CONF | LJS_NS_DUE_REJOIN_PARAMS);
    net_free(&w);
    life_free(&a);
    life_free(&b);
    life_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(join_1_0),
        cmocka_unit_test(drops_before_rekey),
        cmocka_unit_test(rekey_on_port_0),
        cmocka_unit_test(rekey_conf_until_heard),
        cmocka_unit_test(versions),
        cmocka_unit_test(old_stays_until_new_is_heard),
        cmocka_unit_test(repeats),
        cmocka_unit_test(what_does_not_go_together),
        cmocka_unit_test(counters),
        cmocka_unit_test(counter_ends),
        cmocka_unit_test(mic_covers),
        cmocka_unit_test(acks),
        cmocka_unit_test(again_until_heard),
        cmocka_unit_test(again_is_the_same),
        cmocka_unit_test(again_changes_no_more),
        cmocka_unit_test(one_confirmed_at_a_time),
        cmocka_unit_test(where_commands_go),
        cmocka_unit_test(rejoin_0),
        cmocka_unit_test(rejoin_limits),
        cmocka_unit_test(rejoin_2_on_request),
        cmocka_unit_test(force_repeats_and_ends),
        cmocka_unit_test(force_in_both_orders),
        cmocka_unit_test(params_until_answered),
        cmocka_unit_test(down_and_up_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
