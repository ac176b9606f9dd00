/* One message at a time: who may ask what, what is said of a message with several faults, and in
 * which words to peers of either version. */
#include "server_world.h"

#include "contract/faulty.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the order of checks ---------------------------------------------------- */

enum {
    F_PROTOCOL,
    F_SENDER,
    F_MEMBER, /* a member out of its range */
    F_UNKNOWN,
    F_REMOVED,
    F_MOVED,
    F_DEV_EUI,  /* the message names another device than the frame */
    F_RECEIVER, /* and another JoinEUI */
    F_TYPE,     /* a join in a RejoinReq */
    F_JOIN_EUI, /* not the device's */
    F_BLOCKED,
    F_HOME,
    F_KEK,
    F_MAC,
    F_MIC,
    F_NONCE,
    ORDER
};

static const struct {
    ljs_err err;
    const char *code[2];
} order[ORDER] = {
    [F_PROTOCOL] = { LJS_E_PROTOCOL, { "InvalidProtocolVersion", "InvalidProtocolVersion" } },
    [F_SENDER] = { LJS_E_SENDER, { "UnknownSender", "UnknownSender" } },
    [F_MEMBER] = { LJS_E_MESSAGE, { "MalformedRequest", "MalformedMessage" } },
    [F_UNKNOWN] = { LJS_E_DEVICE, { "UnknownDevEUI", "UnknownDevEUI" } },
    [F_REMOVED] = { LJS_E_DEVICE, { "UnknownDevEUI", "UnknownDevEUI" } },
    [F_MOVED] = { LJS_E_MOVED, { "Other", "Other" } },
    [F_DEV_EUI] = { LJS_E_FRAME, { "MalformedRequest", "MalformedMessage" } },
    [F_RECEIVER] = { LJS_E_FRAME, { "MalformedRequest", "MalformedMessage" } },
    [F_TYPE] = { LJS_E_FRAME, { "MalformedRequest", "MalformedMessage" } },
    [F_JOIN_EUI] = { LJS_E_JOINEUI, { "JoinReqFailed", "JoinReqFailed" } },
    [F_BLOCKED] = { LJS_E_BLOCKED, { "ActivationDisallowed", "ActivationDisallowed" } },
    [F_HOME] = { LJS_E_HOME, { "ActivationDisallowed", "ActivationDisallowed" } },
    [F_KEK] = { LJS_E_KEK, { "JoinReqFailed", "JoinReqFailed" } },
    [F_MAC] = { LJS_E_MAC, { "JoinReqFailed", "JoinReqFailed" } },
    [F_MIC] = { LJS_E_MIC, { "MICFailed", "MICFailed" } },
    [F_NONCE] = { LJS_E_REPLAY, { "JoinReqFailed", "FrameReplayed" } },
};

static void try_faults(unsigned bits, bool v11, unsigned kek_kind)
{
    struct world w;
    ljs_peers *peers = two_peers();
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_frame frame = { .kind = LJS_FRAME_JOIN, .join_eui = EUI, .dev_eui = DEV, .nonce = 7 };
    ljs_join_req req = request(LJS_MAC_1_0_3), used = join_req(LJS_MAC_1_0_3, 7);
    struct say say = { .protocol = v11 ? "1.1" : "1.0", .ns_id = v11 ? "0000000000000001" : NULL };
    unsigned first = 0;
    ljs_buf before, after;

#define HAS(f) (bits >> (f)&1)
    while (first < ORDER && !HAS(first))
        first++;
    server_begin(&w, NULL, NULL);
    put_two_keks(&w);
    assert_int_equal(ljs_server_set_peers(w.server, peers), LJS_OK);
    added(&w, &d);
    if (HAS(F_NONCE))
        asked(&w, "ns", join_text(&(struct say){ 0 }, &used), "Success");
    if (HAS(F_HOME)) {
        d.has_home_net_id = 1;
        d.home_net_id = NET + 1;
    }
    if (HAS(F_KEK)) /* one that this peer does not hold; one that is held and is not there; another's */
        strcpy(d.ns_kek_label, kek_kind == 0 ? "ns-ke" : kek_kind == 1 ? "ns-kek" : "as-kek");
    added(&w, &d);
    if (HAS(F_KEK) && kek_kind == 1)
        assert_int_equal(ljs_server_del_kek(w.server, "ns-kek"), LJS_OK);
    if (HAS(F_BLOCKED))
        assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_BLOCK), LJS_OK);
    if (HAS(F_MOVED))
        assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_MOVE), LJS_OK);
    if (HAS(F_REMOVED))
        assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_REMOVE), LJS_OK);
    before = record_of(&w, DEV);

    if (HAS(F_JOIN_EUI))
        frame.join_eui = say.receiver = EUI + 9;
    if (HAS(F_DEV_EUI))
        frame.dev_eui = DEV + 1;
    if (HAS(F_RECEIVER))
        say.receiver = EUI + 3;
    if (HAS(F_UNKNOWN))
        frame.dev_eui += 16, say.dev_eui = DEV + 16;
    if (HAS(F_TYPE))
        say.type = "RejoinReq";
    if (HAS(F_PROTOCOL))
        say.protocol = "1.2";
    if (HAS(F_SENDER))
        say.sender = "000014";
    if (HAS(F_MEMBER))
        say.mac = "1.0.5";
    set_phy(&req, &frame, nwk);
    req.dev_addr++;
    if (HAS(F_MAC))
        req.mac = LJS_MAC_1_0_4;
    if (HAS(F_MIC))
        req.phy[21] ^= 1;

    if (first == ORDER) {
        ljs_message msg = asked(&w, "ns", join_text(&say, &req), "Success");

        assert_int_equal(msg.nwk_s.key_len, 24);
        assert_string_equal(msg.nwk_s.kek_label, "ns-kek");
    } else {
        w.last.err = LJS_OK;
        asked(&w, "ns", join_text(&say, &req), order[first].code[v11 && first != F_PROTOCOL]);
        if (w.last.err != order[first].err)
            fail_msg("faults %x: %s, not %s", bits, ljs_errname(w.last.err), ljs_errname(order[first].err));
        after = record_of(&w, DEV);
        assert_int_equal(after.len, before.len);
        assert_memory_equal(after.data, before.data, before.len);
        ljs_buf_free(&after);
    }
    ljs_buf_free(&before);
    ljs_peers_free(peers);
    server_end(&w);
#undef HAS
}

static void test_order_of_checks(void **state)
{
    (void)state;
    for (unsigned v11 = 0; v11 < 2; v11++) {
        try_faults(0, v11, 0);
        for (unsigned a = 0; a < ORDER; a++)
            for (unsigned b = a; b < ORDER; b++)
                for (unsigned kind = 0; kind < (a == F_KEK || b == F_KEK ? 3 : 1); kind++)
                    try_faults(1U << a | 1U << b, v11, kind);
        try_faults((1U << ORDER) - 1, v11, 0);
        try_faults((1U << ORDER) - 1 - (1U << F_PROTOCOL), v11, 0);
    }
}

/* ---- what is no message ----------------------------------------------------- */

static void test_no_message(void **state)
{
    static const char *const texts[] = { "",
                                         "{",
                                         "[]",
                                         "null",
                                         "{\"a\":1}}",
                                         "{\"SenderID\":\"000013\",\"SenderID\":\"000013\"}",
                                         "{\"SenderID\":\"\xff\"}",
                                         "GET / HTTP/1.1" };
    const size_t big_len = 64 * 1024 + 1;
    char *big = malloc(big_len + 1);
    struct world w;
    ljs_buf out;

    (void)state;
    lab_begin(&w, NULL);
    memset(big, ' ', big_len);
    memcpy(big, "{}", 2);
    big[big_len] = 0;
    for (size_t i = 0; i <= COUNT_OF(texts); i++) {
        const char *text = i < COUNT_OF(texts) ? texts[i] : big;

        assert_int_equal(ljs_server_handle(&out, w.server, NULL, 0, (const uint8_t *)text, strlen(text)),
                         LJS_E_MESSAGE);
        assert_non_null(out.data);
        assert_non_null(memmem(out.data, out.len, "\"ResultCode\":\"MalformedRequest\"", 31));
        ljs_buf_free(&out);
    }
    assert_int_equal(ljs_server_handle(&out, w.server, NULL, 0, NULL, 0), LJS_E_MESSAGE);
    ljs_buf_free(&out);
    assert_int_equal(ljs_server_count(w.server, LJS_MSG_NONE, LJS_E_MESSAGE), COUNT_OF(texts) + 2);
    /* JSON it is, and no kind of message that a Join Server knows: 200, in the peer's own words */
    asked(&w, NULL, "{}", "MalformedRequest");
    asked(&w, NULL, "{\"ProtocolVersion\":\"1.0\",\"MessageType\":\"PRStartReq\"}", "MalformedRequest");
    asked(&w, NULL, "{\"ProtocolVersion\":\"1.0\",\"MessageType\":\"JoinAns\"}", "MalformedRequest");
    {
        const char text[] = "{\"ProtocolVersion\":\"1.1\",\"MessageType\":\"XmitDataReq\"}";

        assert_int_equal(ljs_server_handle(&out, w.server, NULL, 0, (const uint8_t *)text, strlen(text)), LJS_OK);
        assert_non_null(memmem(out.data, out.len, "MalformedMessage", 16));
        ljs_buf_free(&out);
    }
    free(big);
    server_end(&w);
}

/* A message without one of its mandatory members is answered all the same. */
static void test_each_member_missing(void **state)
{
    static const char *const members[] = { "ProtocolVersion", "SenderID",   "ReceiverID",  "TransactionID",
                                           "MACVersion",      "PHYPayload", "DevEUI",      "DevAddr",
                                           "DLSettings",      "RxDelay",    "SessionKeyID" };
    static const uint8_t id[16] = { 1 };
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_join_req join = join_req(LJS_MAC_1_0_3, 1), rejoin = join;
    struct world w;
    char text[2048], name[40];

    (void)state;
    lab_begin(&w, NULL);
    added(&w, &d);
    rejoin.rejoin = 1;
    for (unsigned type = 0; type < 4; type++)
        for (size_t i = 0; i < COUNT_OF(members); i++) {
            char *at;

            strcpy(text, type == 0   ? join_text(&(struct say){ 0 }, &join)
                         : type == 1 ? join_text(&(struct say){ 0 }, &rejoin)
                         : type == 2 ? app_s_key_text(&(struct say){ 0 }, id, 16)
                                     : home_text(&(struct say){ 0 }));
            snprintf(name, sizeof name, "\"%s\"", members[i]);
            if (!(at = strstr(text, name)))
                continue;
            at[1] = '_';
            asked(&w, NULL, text, i == 1 && type != 2 ? "UnknownSender" : "MalformedRequest");
        }
    server_end(&w);
}

static void test_frame_size(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 1);
    struct world w;

    (void)state;
    lab_begin(&w, NULL);
    added(&w, &d);
    for (size_t len = 1; len <= LJS_FRAME_MAX; len++) {
        req.phy_len = len;
        asked(&w, NULL, join_text(&(struct say){ 0 }, &req),
              len == 23                ? "Success"
              : len == 19 || len == 24 ? "MalformedRequest"
                                       : "FrameSizeError");
    }
    req.phy_len = 12; /* an unknown device is unknown whatever its frame */
    asked(&w, NULL, join_text(&(struct say){ .dev_eui = 5 }, &req), "UnknownDevEUI");
    server_end(&w);
}

/* ---- headers ---------------------------------------------------------------- */

static void test_header_of_answers(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    struct world w;

    (void)state;
    lab_begin(&w, NULL);
    added(&w, &d);
    for (unsigned v11 = 0; v11 < 2; v11++)
        for (unsigned bad = 0; bad < 2; bad++) {
            ljs_join_req req = join_req(LJS_MAC_1_0_3, (uint16_t)(1 + v11));
            ljs_message msg;

            if (bad)
                req.phy[20] ^= 1;
            msg = asked(&w, NULL,
                        join_text(&(struct say){ .protocol = v11 ? "1.1" : "1.0",
                                                 .ns_id = v11 ? "70B3D57ED0000001" : NULL,
                                                 .transaction = UINT32_MAX,
                                                 .extra = "\"SenderToken\":\"0a0B\",\"VSExtension\":{}" },
                                  &req),
                        bad ? "MICFailed" : "Success");
            assert_int_equal(msg.type, LJS_MSG_JOIN_ANS);
            assert_int_equal(msg.protocol, v11 ? 11 : 10);
            assert_int_equal(msg.transaction_id, UINT32_MAX);
            assert_string_equal(msg.sender_id, "70B3D57ED00019E4");
            assert_string_equal(msg.receiver_id, "000013");
            assert_int_equal(msg.receiver_token_len, 2);
            assert_memory_equal(msg.receiver_token, "\x0a\x0b", 2);
            assert_int_equal(!!(msg.has & LJS_M_RECEIVER_NSID), v11);
            assert_int_equal(msg.receiver_ns_id, v11 ? 0x70B3D57ED0000001 : 0);
            if (!bad) { /* what network servers need of every Success */
                assert_int_equal(msg.phy_len, 17);
                assert_int_equal(msg.nwk_s.key_len, 16);
                assert_int_equal(msg.app_s.key_len, 16);
                assert_int_equal(msg.session_key_id_len, 16);
                assert_true(msg.has & LJS_M_LIFETIME);
            }
        }
    server_end(&w);
}

/* ---- peers ------------------------------------------------------------------ */

static void test_no_peer_no_answer(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 1);
    static const uint8_t id[16] = { 1 };
    struct world w;
    char long_name[200];

    (void)state;
    server_begin(&w, NULL, NULL);
    added(&w, &d);
    memset(long_name, 'n', sizeof long_name);
    long_name[sizeof long_name - 1] = 0;
    for (int with_peers = 0; with_peers < 2; with_peers++) {
        const char *names[] = { NULL, "", "nobody", "NS", "ns ", "as", long_name, "ns\n" };

        if (with_peers) {
            ljs_peers *peers = two_peers();

            assert_int_equal(ljs_server_set_peers(w.server, peers), LJS_OK);
            ljs_peers_free(peers);
        }
        for (size_t i = 0; i < COUNT_OF(names); i++) {
            asked(&w, names[i], join_text(&(struct say){ 0 }, &req), "UnknownSender");
            asked(&w, names[i], home_text(&(struct say){ 0 }), "UnknownSender");
            asked(&w, names[i], app_s_key_text(&(struct say){ .sender = "as" }, id, 16), "UnknownSender");
            asked(&w, names[i], join_text(&(struct say){ .dev_eui = 5 }, &req), "UnknownSender"); /* nor of whom */
        }
    }
    assert_int_equal(device_in(&w, DEV).next_join_nonce, 1);
    server_end(&w);
}

static void test_net_ids_and_ns_ids(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_peers *p = two_peers();
    struct world w;
    static const struct {
        const char *peer, *sender, *protocol, *ns_id;
        bool granted;
    } cases[] = {
        { "ns", "000013", "1.0", NULL, true },
        { "ns", "0x000013", "1.0", NULL, true },
        { "ns", "000014", "1.0", NULL, false },
        { "ns", "13", "1.0", NULL, false },
        { "ns", "as.example", "1.0", NULL, false },
        { "ns", "000013", "1.1", "0000000000000005", true }, /* it has none of its own: any of its network */
        { "two", "00000A", "1.0", NULL, true },
        { "two", "00000b", "1.0", NULL, true },
        { "two", "000013", "1.0", NULL, false },
        { "two", "00000A", "1.1", "00000000000000A1", true },
        { "two", "00000A", "1.1", "00000000000000a2", true },
        { "two", "00000A", "1.1", "00000000000000A3", false },
        { "two", "00000A", "1.1", NULL, false },
        { "as", "as.example", "1.0", NULL, false }, /* an application server joins no device */
        { "as", "000013", "1.0", NULL, false },
    };

    (void)state;
    server_begin(&w, NULL, NULL);
    put_two_keks(&w);
    added(&w, &d);
    assert_int_equal(ljs_peers_add(p, "two", LJS_CLEAR_NS), LJS_OK);
    assert_int_equal(ljs_peers_add_net_id(p, "two", 0xa), LJS_OK);
    assert_int_equal(ljs_peers_add_net_id(p, "two", 0xb), LJS_OK);
    assert_int_equal(ljs_peers_add_ns_id(p, "two", 0xa1), LJS_OK);
    assert_int_equal(ljs_peers_add_ns_id(p, "two", 0xa2), LJS_OK);
    assert_int_equal(ljs_server_set_peers(w.server, p), LJS_OK);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct say say = { .sender = cases[i].sender, .protocol = cases[i].protocol, .ns_id = cases[i].ns_id };
        ljs_join_req req = join_req(LJS_MAC_1_0_3, (uint16_t)(i + 1));

        asked(&w, cases[i].peer, join_text(&say, &req), cases[i].granted ? "Success" : "UnknownSender");
    }
    ljs_peers_free(p);
    server_end(&w);
}

/* A peer that speaks for one NSID of a network gets no device of another's, in whichever version. */
static void test_home_ns_id(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_peers *p = two_peers();
    struct world w;
    uint16_t nonce = 1;

    (void)state;
    server_begin(&w, NULL, NULL);
    put_two_keks(&w);
    d.has_home_net_id = 1;
    d.home_net_id = NET;
    d.has_home_ns_id = 1;
    d.home_ns_id = 0xa1;
    added(&w, &d);
    for (int i = 0; i < 2; i++) {
        const char *name = i ? "other" : "home";

        assert_int_equal(ljs_peers_add(p, name, LJS_CLEAR_NS), LJS_OK);
        assert_int_equal(ljs_peers_add_net_id(p, name, NET), LJS_OK);
        assert_int_equal(ljs_peers_add_ns_id(p, name, i ? 0xb1 : 0xa2), LJS_OK);
        assert_int_equal(ljs_peers_add_ns_id(p, name, i ? 0xb2 : 0xa1), LJS_OK);
    }
    assert_int_equal(ljs_server_set_peers(w.server, p), LJS_OK);
    for (int v11 = 0; v11 < 2; v11++) {
        ljs_join_req req = join_req(LJS_MAC_1_0_3, nonce++);

        asked(&w, "other",
              join_text(&(struct say){ .protocol = v11 ? "1.1" : "1.0", .ns_id = "00000000000000b1" }, &req),
              "ActivationDisallowed");
        asked(&w, "other",
              join_text(&(struct say){ .protocol = v11 ? "1.1" : "1.0", .ns_id = "00000000000000a1" }, &req),
              v11 ? "UnknownSender" : "ActivationDisallowed"); /* a name that is not his */
        if (v11)
            asked(&w, "home", join_text(&(struct say){ .protocol = "1.1", .ns_id = "00000000000000a2" }, &req),
                  "ActivationDisallowed");
        asked(&w, "home",
              join_text(&(struct say){ .protocol = v11 ? "1.1" : "1.0", .ns_id = "00000000000000a1" }, &req),
              "Success");
    }
    { /* who speaks for the whole network speaks for it in 1.0, and says for whom in 1.1 */
        ljs_join_req req = join_req(LJS_MAC_1_0_3, nonce++);

        asked(&w, "ns", join_text(&(struct say){ .protocol = "1.1", .ns_id = "00000000000000b1" }, &req),
              "ActivationDisallowed");
        asked(&w, "ns", join_text(&(struct say){ 0 }, &req), "Success");
    }
    ljs_peers_free(p);
    server_end(&w);
}

static void test_peers_api(void **state)
{
    ljs_peers *p = two_peers();
    char label[LJS_LABEL_MAX + 1];

    (void)state;
    memset(label, 'x', sizeof label);
    label[sizeof label - 1] = 0;
    assert_int_equal(ljs_peers_add(p, "ns", 0), LJS_E_EXISTS);
    assert_int_equal(ljs_peers_add(p, "", 0), LJS_E_INVAL);
    assert_int_equal(ljs_peers_add(p, NULL, 0), LJS_E_INVAL);
    assert_int_equal(ljs_peers_add(p, label, 0), LJS_E_INVAL);
    assert_int_equal(ljs_peers_add(p, "a\nb", 0), LJS_E_INVAL);
    assert_int_equal(ljs_peers_add(p, "x", 4), LJS_E_INVAL);
    assert_int_equal(ljs_peers_add_net_id(p, "ns", 0x1000000), LJS_E_INVAL);
    assert_int_equal(ljs_peers_add_net_id(p, "nobody", 1), LJS_E_NOTFOUND);
    assert_int_equal(ljs_peers_add_ns_id(p, "nobody", 1), LJS_E_NOTFOUND);
    assert_int_equal(ljs_peers_add_as_id(p, "nobody", "a"), LJS_E_NOTFOUND);
    assert_int_equal(ljs_peers_add_kek(p, "nobody", "a"), LJS_E_NOTFOUND);
    assert_int_equal(ljs_peers_add_as_id(p, "as", ""), LJS_E_INVAL);
    assert_int_equal(ljs_peers_add_kek(p, "as", label), LJS_E_INVAL);
    label[LJS_LABEL_MAX - 1] = 0;
    assert_int_equal(ljs_peers_add_kek(p, "as", label), LJS_OK);
    ljs_peers_free(p);
    ljs_peers_free(NULL);
}

/* ---- KEKs by their holders -------------------------------------------------- */

enum { IN_CLEAR = 16, IN_WRAP = 24, REFUSED = -1 };

static void test_keks_are_their_holders(void **state)
{
    static const struct {
        unsigned clear;           /* of the network server */
        const char *ns, *as, *id; /* labels and AS-ID of the device */
        int ns_key;
        const char *ns_label;
        int as_key;
        const char *as_label;
    } cases[] = {
        /* the peers' first where the device names none */
        { 0, "", "", "as.example", IN_WRAP, "ns-kek", IN_WRAP, "as-kek" },
        { 3, "", "", "as.example", IN_WRAP, "ns-kek", IN_WRAP, "as-kek" },
        { 0, "ns-kek2", "as-kek", "as.example", IN_WRAP, "ns-kek2", IN_WRAP, "as-kek" },
        /* another's label, or one that nobody has, is none: and then nothing goes in clear */
        { 3, "as-kek", "", "as.example", REFUSED, "", 0, "" },
        { 3, "nobody's", "", "as.example", REFUSED, "", 0, "" },
        { 3, "lost", "", "as.example", REFUSED, "", 0, "" },
        { 3, "", "ns-kek", "as.example", IN_WRAP, "ns-kek", 0, "" },
        { 3, "", "nobody's", "as.example", IN_WRAP, "ns-kek", 0, "" },
        { 3, "", "as-lost", "as.example", IN_WRAP, "ns-kek", 0, "" },
        /* an application server that does not ask us itself: the operator's word */
        { 0, "", "as-kek", "", IN_WRAP, "ns-kek", IN_WRAP, "as-kek" },
        { 0, "", "as-kek", "stranger", IN_WRAP, "ns-kek", IN_WRAP, "as-kek" },
        { 3, "", "lost", "stranger", IN_WRAP, "ns-kek", 0, "" },
        /* no KEK at all: SessionKeyID alone, unless clear is allowed */
        { 0, "", "", "", IN_WRAP, "ns-kek", 0, "" },
        { 1, "", "", "", IN_WRAP, "ns-kek", 0, "" },
        { 2, "", "", "", IN_WRAP, "ns-kek", IN_CLEAR, "" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct world w;
        ljs_peers *p;
        ljs_device d = device_of(LJS_MAC_1_1);
        ljs_join_req req = join_req(LJS_MAC_1_1, 1);
        ljs_message msg;

        server_begin(&w, NULL, NULL);
        put_two_keks(&w);
        assert_int_equal(ljs_server_put_kek(w.server, "ns-kek2", other_nwk, 0), LJS_OK);
        assert_int_equal(ljs_server_put_kek(w.server, "nobody's", other_app, 0), LJS_OK);
        assert_int_equal(ljs_peers_new(&p), LJS_OK);
        assert_int_equal(ljs_peers_add(p, "ns", cases[i].clear), LJS_OK);
        assert_int_equal(ljs_peers_add_net_id(p, "ns", NET), LJS_OK);
        assert_int_equal(ljs_peers_add_kek(p, "ns", "ns-kek"), LJS_OK);
        assert_int_equal(ljs_peers_add_kek(p, "ns", "ns-kek2"), LJS_OK);
        assert_int_equal(ljs_peers_add_kek(p, "ns", "lost"), LJS_OK); /* held, and deleted here */
        assert_int_equal(ljs_peers_add(p, "as", 0), LJS_OK);
        assert_int_equal(ljs_peers_add_as_id(p, "as", "as.example"), LJS_OK);
        assert_int_equal(ljs_peers_add_kek(p, "as", "as-kek"), LJS_OK);
        assert_int_equal(ljs_peers_add_kek(p, "as", "as-lost"), LJS_OK);
        assert_int_equal(ljs_server_set_peers(w.server, p), LJS_OK);
        ljs_peers_free(p);
        strcpy(d.ns_kek_label, cases[i].ns);
        strcpy(d.as_kek_label, cases[i].as);
        strcpy(d.as_id, cases[i].id);
        added(&w, &d);
        msg = asked(&w, "ns", join_text(&(struct say){ 0 }, &req),
                    cases[i].ns_key == REFUSED ? "JoinReqFailed" : "Success");
        if (cases[i].ns_key == REFUSED) {
            assert_int_equal(w.last.err, LJS_E_KEK);
            assert_int_equal(device_in(&w, DEV).next_join_nonce, 1);
        } else {
            ljs_buf record = record_of(&w, DEV);
            ljs_session s = read_session(&record, 0);
            ljs_key *f = derived(LJS_KEY_F_NWK_S_INT, &s, nwk), *a = derived(LJS_KEY_APP_S, &s, app);
            bool second = strcmp(cases[i].ns_label, "ns-kek2") == 0;

            assert_int_equal(msg.f_nwk_s_int.key_len, cases[i].ns_key);
            assert_int_equal(msg.s_nwk_s_int.key_len, cases[i].ns_key);
            assert_int_equal(msg.nwk_s_enc.key_len, cases[i].ns_key);
            assert_int_equal(msg.nwk_s.key_len, 0);
            assert_string_equal(msg.f_nwk_s_int.kek_label, cases[i].ns_label);
            expect_key(&msg.f_nwk_s_int, f, second ? other_nwk : ns_kek);
            assert_int_equal(msg.app_s.key_len, cases[i].as_key);
            assert_string_equal(msg.app_s.kek_label, cases[i].as_label);
            if (cases[i].as_key)
                expect_key(&msg.app_s, a, cases[i].as_key == IN_WRAP ? as_kek : NULL);
            assert_int_equal(msg.session_key_id_len, 16);
            assert_memory_equal(msg.session_key_id, s.session_key_id, 16);
            ljs_key_free(f);
            ljs_key_free(a);
            ljs_buf_free(&record);
        }
        server_end(&w);
    }
}

/* Clear is never the default, and reaches only who may have it. */
static void test_clear_by_peer(void **state)
{
    (void)state;
    for (unsigned clear = 0; clear < 4; clear++) {
        ljs_device d = device_of(LJS_MAC_1_0_3);
        ljs_join_req req = join_req(LJS_MAC_1_0_3, 1);
        struct world w;
        ljs_peers *p;
        ljs_message msg;

        server_begin(&w, NULL, NULL);
        added(&w, &d);
        assert_int_equal(ljs_peers_new(&p), LJS_OK);
        assert_int_equal(ljs_peers_add(p, "ns", clear), LJS_OK);
        assert_int_equal(ljs_peers_add_net_id(p, "ns", NET), LJS_OK);
        assert_int_equal(ljs_server_set_peers(w.server, p), LJS_OK);
        ljs_peers_free(p);
        msg = asked(&w, "ns", join_text(&(struct say){ 0 }, &req), clear & LJS_CLEAR_NS ? "Success" : "JoinReqFailed");
        if (clear & LJS_CLEAR_NS) {
            assert_int_equal(msg.nwk_s.key_len, 16);
            assert_int_equal(msg.app_s.key_len, clear & LJS_CLEAR_AS ? 16 : 0);
        }
        server_end(&w);
    }
}

/* ---- AppSKeyReq and HomeNSReq ----------------------------------------------- */

static void test_app_s_key(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 1);
    ljs_peers *p = two_peers();
    struct world w;
    ljs_message join, ans;
    struct say say = { .sender = "as.example", .transaction = 77 };
    static const uint8_t nothing[16] = { 1 };
    ljs_buf record;
    ljs_session s;
    ljs_key *key;

    (void)state;
    server_begin(&w, NULL, NULL);
    put_two_keks(&w);
    assert_int_equal(ljs_peers_add(p, "as2", 0), LJS_OK);
    assert_int_equal(ljs_peers_add_as_id(p, "as2", "two.example"), LJS_OK);
    assert_int_equal(ljs_peers_add_as_id(p, "as2", "000013"), LJS_OK);
    assert_int_equal(ljs_server_set_peers(w.server, p), LJS_OK);
    strcpy(d.as_id, "as.example");
    added(&w, &d);
    join = asked(&w, "ns", join_text(&(struct say){ 0 }, &req), "Success");
    assert_int_equal(join.session_key_id_len, 16);
    ans = asked(&w, "as", app_s_key_text(&say, join.session_key_id, 16), "Success");
    assert_int_equal(ans.type, LJS_MSG_APP_S_KEY_ANS);
    assert_int_equal(ans.transaction_id, 77);
    assert_string_equal(ans.receiver_id, "as.example");
    assert_int_equal(ans.dev_eui, DEV);
    assert_memory_equal(ans.session_key_id, join.session_key_id, 16);
    assert_string_equal(ans.app_s.kek_label, "as-kek");
    record = record_of(&w, DEV);
    s = read_session(&record, 0);
    assert_int_equal(s.proven, 1);
    key = derived(LJS_KEY_APP_S, &s, nwk);
    expect_key(&ans.app_s, key, as_kek);
    ljs_key_free(key);

    ans = asked(&w, "as", app_s_key_text(&say, nothing, 16), "Other"); /* no such session */
    assert_int_equal(w.last.err, LJS_E_SESSION);
    assert_int_equal(ans.session_key_id_len, 16); /* which was asked about is said with a refusal, too */
    assert_int_equal(ans.dev_eui, DEV);
    asked(&w, "as", app_s_key_text(&say, join.session_key_id, 15), "Other");
    say.protocol = "1.1"; /* an application server has no NSID */
    asked(&w, "as", app_s_key_text(&say, join.session_key_id, 16), "Success");
    say.receiver = EUI + 7;
    asked(&w, "as", app_s_key_text(&say, join.session_key_id, 16), "UnknownReceiver");
    say.protocol = "1.0";
    asked(&w, "as", app_s_key_text(&say, join.session_key_id, 16), "UnkownReceiver");
    say.receiver = 0;
    say.dev_eui = 5;
    asked(&w, "as", app_s_key_text(&say, join.session_key_id, 16), "UnknownDevEUI");
    say.dev_eui = 0;
    asked(&w, "ns", app_s_key_text(&say, join.session_key_id, 16), "UnknownSender"); /* another peer, the same name */
    say.sender = "two.example"; /* somebody's AS-ID, and not this device's */
    asked(&w, "as2", app_s_key_text(&say, join.session_key_id, 16), "UnknownSender");
    say.sender = "as.example";
    asked(&w, "as2", app_s_key_text(&say, join.session_key_id, 16), "UnknownSender");
    assert_int_equal(ljs_server_del_kek(w.server, "as-kek"), LJS_OK);
    asked(&w, "as", app_s_key_text(&say, join.session_key_id, 16), "JoinReqFailed"); /* and not in clear */
    assert_int_equal(w.last.err, LJS_E_KEK);
    assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_BLOCK), LJS_OK);
    asked(&w, "as", app_s_key_text(&say, join.session_key_id, 16), "ActivationDisallowed");
    assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_REMOVE), LJS_OK);
    asked(&w, "as", app_s_key_text(&say, join.session_key_id, 16), "UnknownDevEUI");
    say.receiver = EUI + 7;
    asked(&w, "as", app_s_key_text(&say, join.session_key_id, 16), "UnknownDevEUI"); /* whatever else is wrong */
    ljs_buf_free(&record);
    ljs_peers_free(p);
    server_end(&w);
}

/* Two peers may ask under one AS-ID, each with a KEK of its own: who asks can open the answer. */
static void test_app_s_key_of_the_one_who_asks(void **state)
{
    static const char *const names[] = { "a", "b" };
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 1);
    ljs_peers *p = two_peers();
    struct world w;
    ljs_message join, ans;

    (void)state;
    server_begin(&w, NULL, NULL);
    put_two_keks(&w);
    assert_int_equal(ljs_server_put_kek(w.server, "a", other_nwk, 0), LJS_OK);
    assert_int_equal(ljs_server_put_kek(w.server, "b", other_app, 0), LJS_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ljs_peers_add(p, names[i], 0), LJS_OK);
        assert_int_equal(ljs_peers_add_as_id(p, names[i], "shared"), LJS_OK);
        assert_int_equal(ljs_peers_add_kek(p, names[i], names[i]), LJS_OK);
    }
    assert_int_equal(ljs_server_set_peers(w.server, p), LJS_OK);
    strcpy(d.as_id, "shared");
    added(&w, &d);
    join = asked(&w, "ns", join_text(&(struct say){ 0 }, &req), "Success");
    for (int i = 0; i < 2; i++) {
        ans = asked(&w, names[i], app_s_key_text(&(struct say){ .sender = "shared" }, join.session_key_id, 16),
                    "Success");
        assert_string_equal(ans.app_s.kek_label, names[i]);
    }
    ljs_peers_free(p);
    server_end(&w);
}

static void test_home_ns(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_peers *p = two_peers();
    struct world w;
    ljs_message ans;
    const struct say v10 = { 0 }, v11 = { .protocol = "1.1", .ns_id = "0000000000000001" };
    const struct say away = { .receiver = EUI + 4 };

    (void)state;
    server_begin(&w, NULL, NULL);
    assert_int_equal(ljs_server_set_peers(w.server, p), LJS_OK);
    asked(&w, "ns", home_text(&v10), "UnknownDevEUI");
    added(&w, &d);
    asked(&w, "ns", home_text(&v10), "Other"); /* known, and no home to tell */
    d.has_home_net_id = 1;
    d.home_net_id = 0x60001f;
    added(&w, &d);
    ans = asked(&w, "ns", home_text(&v11), "Success");
    assert_int_equal(ans.type, LJS_MSG_HOME_NS_ANS);
    assert_int_equal(ans.h_net_id, 0x60001f);
    assert_false(ans.has & LJS_M_H_NS_ID);
    d.has_home_ns_id = 1;
    d.home_ns_id = 0xa1;
    added(&w, &d);
    ans = asked(&w, "ns", home_text(&v11), "Success");
    assert_true(ans.has & LJS_M_H_NS_ID);
    assert_int_equal(ans.h_ns_id, 0xa1);
    {
        ljs_buf out;
        const char *text = home_text(&v10);

        assert_int_equal(ljs_server_handle(&out, w.server, "ns", 0, (const uint8_t *)text, strlen(text)), LJS_OK);
        assert_non_null(memmem(out.data, out.len, "\"HNetID\":\"60001f\"", 17));
        assert_null(memmem(out.data, out.len, "HNSID", 5)); /* 1.0 has none */
        ljs_buf_free(&out);
    }
    asked(&w, "ns", home_text(&away), "UnkownReceiver");
    asked(&w, "as", home_text(&v10), "UnknownSender");
    assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_BLOCK), LJS_OK);
    asked(&w, "ns", home_text(&v10), "Success"); /* all that a blocked device is answered */
    assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_REMOVE), LJS_OK);
    asked(&w, "ns", home_text(&v10), "UnknownDevEUI");
    asked(&w, "ns", home_text(&away), "UnknownDevEUI");
    ljs_peers_free(p);
    server_end(&w);
}

/* ---- repeats, rejoins ------------------------------------------------------- */

static void test_repeat_with_another_transaction(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 1);
    struct world w;
    ljs_message first, again;

    (void)state;
    lab_begin(&w, NULL);
    added(&w, &d);
    first = asked(&w, NULL, join_text(&(struct say){ .transaction = 1 }, &req), "Success");
    assert_int_equal(w.last.repeat, 0);
    for (uint32_t t = 2; t < 5; t++) {
        again = asked(&w, NULL, join_text(&(struct say){ .transaction = t }, &req), "Success");
        assert_int_equal(again.transaction_id, t);
        again.transaction_id = first.transaction_id;
        assert_memory_equal(&again, &first, sizeof again);
        assert_int_equal(w.last.repeat, 1);
    }
    assert_int_equal(device_in(&w, DEV).next_join_nonce, 2);
    assert_int_equal(device_in(&w, DEV).sessions, 1);
    req.dev_addr++;
    asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "JoinReqFailed");
    server_end(&w);
}

static void test_rejoins(void **state)
{
    const ljs_session elsewhere = { .scheme = LJS_SCHEME_1_1, .join_eui = EUI, .net_id = NET, .join_nonce = 900 };
    ljs_device d = device_of(LJS_MAC_1_1);
    ljs_peers *p = two_peers();
    ljs_join_req req;
    struct world w;
    ljs_message msg;
    ljs_buf record;
    ljs_session s;
    ljs_server_opts opts = { .struct_size = sizeof opts, .anonymous = 1, .clear = LJS_CLEAR_NS };

    (void)state;
    server_begin(&w, NULL, &opts);
    put_two_keks(&w);
    assert_int_equal(ljs_server_set_peers(w.server, p), LJS_OK);
    added(&w, &d);
    req = rejoin02_req(LJS_FRAME_REJOIN0, &elsewhere, 3, nwk);
    asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "MICFailed"); /* nobody's word */
    msg = asked(&w, "ns", join_text(&(struct say){ 0 }, &req), "Success");
    assert_int_equal(msg.type, LJS_MSG_REJOIN_ANS);
    assert_int_equal(w.last.on_word, 1);
    assert_int_equal(w.last.nonce, 3);
    record = record_of(&w, DEV);
    s = read_session(&record, 0);
    req = rejoin02_req(LJS_FRAME_REJOIN2, &s, 0, nwk);
    asked(&w, "ns", join_text(&(struct say){ 0 }, &req), "Success");
    assert_int_equal(w.last.on_word, 0);
    req = rejoin1_req(EUI, 0);
    asked(&w, "ns", join_text(&(struct say){ 0 }, &req), "Success");
    req.rejoin = 0;
    asked(&w, "ns", join_text(&(struct say){ 0 }, &req), "MalformedRequest");
    req = rejoin02_req(LJS_FRAME_REJOIN0, &s, 1, nwk); /* the JoinEUI of a rejoin 0 is in the header alone */
    asked(&w, "ns", join_text(&(struct say){ .receiver = EUI + 1 }, &req), "JoinReqFailed");
    assert_int_equal(w.last.err, LJS_E_JOINEUI);
    asked(&w, "ns", join_text(&(struct say){ 0 }, &req), "Success");
    ljs_buf_free(&record);
    { /* and it is what the keys of a rejoin on word are made of */
        const ljs_root_keys keys = { .nwk = nwk, .app = app };

        assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_REMOVE), LJS_OK);
        assert_int_equal(ljs_server_make_device(w.server, &d, &keys, 0, NO_NONCE, NULL, 0), LJS_OK);
        assert_int_equal(ljs_server_add_join_eui(w.server, DEV, EUI2), LJS_OK);
        asked(&w, "ns", join_text(&(struct say){ .receiver = EUI2 }, &req), "Success");
        assert_int_equal(w.last.on_word, 1);
        record = record_of(&w, DEV);
        assert_int_equal(read_session(&record, 0).join_eui, EUI2);
        ljs_buf_free(&record);
    }
    ljs_peers_free(p);
    server_end(&w);
}

/* ---- faults of ours --------------------------------------------------------- */

static void put_raw(struct world *w, ljs_eui dev_eui, const uint8_t *in, size_t len)
{
    uint8_t key[9] = { 'd' };
    ljs_change change = { .key = key, .key_len = sizeof key, .in = in, .in_len = len };
    ljs_buf old;
    ljs_err err;

    for (int i = 0; i < 8; i++)
        key[1 + i] = (uint8_t)(dev_eui >> (56 - 8 * i));
    err = ljs_store_get(&old, &change.if_version, w->store, key, sizeof key);
    assert_true(err == LJS_OK || err == LJS_E_NOTFOUND);
    if (err)
        change.if_version = 0;
    ljs_buf_free(&old);
    assert_int_equal(ljs_store_commit(w->store, &change, 1), LJS_OK);
    assert_int_equal(change.result, LJS_OK);
}

static void test_tampered_records(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3), e = d;
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 1);
    struct world w;
    ljs_buf record, out;

    (void)state;
    lab_begin(&w, NULL);
    added(&w, &d);
    record = record_of(&w, DEV);
    asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Success");
    record.data[20] ^= 1;
    put_raw(&w, DEV, record.data, record.len);
    asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Other");
    assert_int_equal(w.last.err, LJS_E_SEAL);
    assert_int_equal(ljs_server_get_device(&out, w.server, DEV), LJS_E_SEAL);
    assert_null(out.data);
    assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_RESET_NONCES), LJS_E_SEAL);
    assert_int_equal(add(&w, &d), LJS_E_SEAL);
    record.data[20] ^= 1;
    record.data[2] += 2; /* a newer schema */
    put_raw(&w, DEV, record.data, record.len);
    asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Other");
    assert_int_equal(w.last.err, LJS_E_VERSION);
    assert_int_equal(ljs_server_get_device(&out, w.server, DEV), LJS_E_VERSION);
    record.data[2] -= 2;

    e.dev_eui = DEV + 1; /* a good record, filed under another device */
    added(&w, &e);
    put_raw(&w, DEV + 1, record.data, record.len);
    asked(&w, NULL, home_text(&(struct say){ .dev_eui = DEV + 1 }), "Other");
    assert_int_equal(w.last.err, LJS_E_SEAL);
    assert_int_equal(ljs_server_get_device(&out, w.server, DEV + 1), LJS_E_SEAL);
    assert_int_equal(add(&w, &e), LJS_E_INVAL);
    ljs_buf_free(&record);
    server_end(&w);
}

static void test_store_faults_are_other(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 1);
    ljs_store *inner, *store;
    struct faulty *f;
    struct world w;

    (void)state;
    assert_int_equal(ljs_store_memory(&inner), LJS_OK);
    assert_int_equal(faulty_new(&store, &f, inner), LJS_OK);
    lab_begin(&w, store);
    added(&w, &d);
    assert_int_equal(ljs_server_ready(w.server), LJS_OK);
    faulty_arm(f, FAULTY_GET, 1, FAULT_BEFORE, 1);
    assert_int_equal(ljs_server_ready(w.server), LJS_E_STORE);
    asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Other");
    faulty_arm(f, FAULTY_GET, 1, FAULT_AFTER, 1); /* a value and an error: no leak of it */
    asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Other");
    assert_int_equal(w.last.err, LJS_E_STORE);
    faulty_arm(f, FAULTY_GET, 1, FAULT_NONE, 0);
    faulty_arm(f, FAULTY_COMMIT, 1, FAULT_BEFORE, 1);
    asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Other");
    assert_int_equal(w.last.err, LJS_E_STORE);
    faulty_arm(f, FAULTY_COMMIT, 1, FAULT_NONE, 0);
    assert_int_equal(device_in(&w, DEV).next_join_nonce, 1);
    asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Success"); /* nothing was burnt */
    assert_int_equal(ljs_server_count(w.server, LJS_MSG_JOIN_REQ, LJS_E_STORE), 3);
    assert_int_equal(ljs_server_count(w.server, LJS_MSG_JOIN_REQ, LJS_OK), 1);
    assert_int_equal(ljs_server_count(w.server, LJS_MSG_JOIN_REQ, (ljs_err)1), 0);
    assert_int_equal(ljs_server_count(w.server, LJS_MSG_JOIN_REQ, (ljs_err)-9999), 0);
    assert_int_equal(ljs_server_count(w.server, (ljs_message_type)99, LJS_OK), 0);
    server_end(&w);
}

/* ---- anonymous -------------------------------------------------------------- */

static void test_anonymous(void **state)
{
    (void)state;
    for (unsigned clear = 0; clear < 4; clear++) {
        const ljs_server_opts opts = { .struct_size = sizeof opts, .anonymous = 1, .clear = (uint8_t)clear };
        ljs_device d = device_of(LJS_MAC_1_0_3), named = d;
        ljs_join_req req = join_req(LJS_MAC_1_0_3, 1), second = join_req(LJS_MAC_1_0_3, 2);
        struct world w;
        ljs_message msg;

        server_begin(&w, NULL, &opts);
        added(&w, &d);
        msg = asked(&w, NULL, join_text(&(struct say){ 0 }, &req), clear & LJS_CLEAR_NS ? "Success" : "JoinReqFailed");
        assert_int_equal(msg.app_s.key_len, clear == 3 ? 16 : 0);
        asked(&w, NULL, join_text(&(struct say){ .sender = "lab" }, &req), "UnknownSender"); /* no NetID */
        asked(&w, "stranger", join_text(&(struct say){ 0 }, &req), "UnknownSender");         /* a name is held to it */
        asked(&w, "a\nb", join_text(&(struct say){ 0 }, &req), "UnknownSender");             /* also one that is none */
        /* A KEK that a device names is used, or nothing: never clear in its place. */
        strcpy(named.ns_kek_label, "ns-kek");
        strcpy(named.as_kek_label, "as-kek");
        added(&w, &named);
        asked(&w, NULL, join_text(&(struct say){ 0 }, &second), "JoinReqFailed");
        assert_int_equal(w.last.err, LJS_E_KEK);
        assert_int_equal(ljs_server_put_kek(w.server, "ns-kek", ns_kek, 0), LJS_OK);
        msg = asked(&w, NULL, join_text(&(struct say){ 0 }, &second), "Success");
        assert_string_equal(msg.nwk_s.kek_label, "ns-kek");
        assert_int_equal(msg.app_s.key_len, 0);
        assert_int_equal(ljs_server_put_kek(w.server, "as-kek", as_kek, 0), LJS_OK);
        msg = asked(&w, NULL, join_text(&(struct say){ 0 }, &second), "Success"); /* a repeat, by today's KEK */
        assert_int_equal(w.last.repeat, 1);
        assert_string_equal(msg.app_s.kek_label, "as-kek");
        server_end(&w);
    }
}

static void test_options(void **state)
{
    ljs_server_opts opts = { .struct_size = sizeof opts };
    ljs_store *store;
    ljs_server *server;
    struct world w;
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 1);

    (void)state;
    assert_int_equal(ljs_store_memory(&store), LJS_OK);
    opts.clear = 4;
    assert_int_equal(ljs_server_new(&server, vault, store, &opts), LJS_E_INVAL);
    assert_null(server);
    opts.clear = 0;
    opts.struct_size = 4;
    assert_int_equal(ljs_server_new(&server, vault, store, &opts), LJS_E_INVAL);
    assert_int_equal(ljs_server_new(&server, vault, store, NULL), LJS_OK);
    ljs_server_free(server);
    ljs_server_free(NULL);
    ljs_store_free(store);
    opts = (ljs_server_opts){ .struct_size = sizeof opts, .anonymous = 1, .clear = 3, .lifetime = 86400 };
    server_begin(&w, NULL, &opts);
    added(&w, &d);
    assert_int_equal(asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Success").lifetime, 86400);
    server_end(&w);
}

/* ---- peers that change while messages are at work --------------------------- */

struct hammer {
    struct world *w;
    atomic_int stop;
    atomic_uint granted, refused;
};

static void *hammer_joins(void *user)
{
    struct hammer *h = user;

    while (!atomic_load(&h->stop)) {
        const char *text = home_text(&(struct say){ 0 });
        ljs_buf out;

        if (ljs_server_handle(&out, h->w->server, "ns", 0, (const uint8_t *)text, strlen(text)) != LJS_OK)
            abort();
        if (memmem(out.data, out.len, "\"Success\"", 9))
            atomic_fetch_add(&h->granted, 1);
        else if (memmem(out.data, out.len, "\"UnknownSender\"", 15))
            atomic_fetch_add(&h->refused, 1);
        else
            abort();
        ljs_buf_free(&out);
    }
    return NULL;
}

static void quiet(void *user, const ljs_event *event)
{
    (void)user;
    (void)event;
}

static void test_set_peers_meanwhile(void **state)
{
    const ljs_server_opts opts = { .struct_size = sizeof opts, .log = quiet };
    ljs_device d = device_of(LJS_MAC_1_0_3);
    struct world w;
    struct hammer h = { .w = &w };
    pthread_t thread[4];

    (void)state;
    server_begin(&w, NULL, &opts);
    d.has_home_net_id = 1;
    d.home_net_id = NET;
    added(&w, &d);
    for (size_t i = 0; i < COUNT_OF(thread); i++)
        assert_int_equal(pthread_create(&thread[i], NULL, hammer_joins, &h), 0);
    for (unsigned i = 0; i < 100000 && (i < 300 || !atomic_load(&h.granted) || !atomic_load(&h.refused)); i++) {
        ljs_peers *p = two_peers();

        assert_int_equal(ljs_server_set_peers(w.server, i % 2 ? p : NULL), LJS_OK);
        ljs_peers_free(p); /* the server keeps a copy */
        if (i % 16 == 0)
            usleep(500);
    }
    atomic_store(&h.stop, 1);
    for (size_t i = 0; i < COUNT_OF(thread); i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_true(atomic_load(&h.granted) > 0);
    assert_true(atomic_load(&h.refused) > 0);
    server_end(&w);
}

struct last_word {
    struct world *w;
    unsigned told;
};

static void set_none(void *user, const ljs_event *event)
{
    struct last_word *last = user;

    (void)event;
    if (!last->told++)
        assert_int_equal(ljs_server_set_peers(last->w->server, NULL), LJS_OK);
}

/* Whoever is told of a message may replace the peers; those that it was judged by stay for the rest of its batch. */
static void test_set_peers_within(void **state)
{
    struct world w;
    struct last_word last = { .w = &w };
    const ljs_server_opts opts = { .struct_size = sizeof opts, .log = set_none, .log_user = &last };
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_peers *p = two_peers();
    char text[2][1024];
    ljs_call calls[3];

    (void)state;
    server_begin(&w, NULL, &opts);
    d.has_home_net_id = 1;
    d.home_net_id = NET;
    added(&w, &d);
    assert_int_equal(ljs_server_set_peers(w.server, p), LJS_OK);
    ljs_peers_free(p);
    for (unsigned i = 0; i < COUNT_OF(calls); i++) {
        strcpy(text[i % 2], home_text(&(struct say){ .transaction = i }));
        calls[i] = (ljs_call){ .peer = "ns", .in = (const uint8_t *)text[i % 2], .in_len = strlen(text[i % 2]) };
        if (i == 1)
            ljs_server_handle_batch(w.server, calls, 2);
    }
    ljs_server_handle_batch(w.server, &calls[2], 1);
    assert_int_equal(last.told, 3);
    assert_int_equal(calls[0].result, LJS_OK);
    assert_int_equal(calls[1].result, LJS_OK);
    assert_int_equal(calls[2].result, LJS_E_SENDER);
    for (unsigned i = 0; i < COUNT_OF(calls); i++)
        ljs_buf_free(&calls[i].out);
    server_end(&w);
}

static void test_after_fork(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 1);
    struct world w;
    int status;
    pid_t child;

    (void)state;
    lab_begin(&w, NULL);
    added(&w, &d);
    child = fork();
    if (child == 0) {
        const ljs_root_keys keys = { .nwk = nwk };
        const char *text = join_text(&(struct say){ 0 }, &req);
        ljs_buf out = { NULL, 0 };
        ljs_event event;
        unsigned right = 0;

        right += ljs_server_handle(&out, w.server, NULL, 0, (const uint8_t *)text, strlen(text)) == LJS_E_STATE;
        right += out.data == NULL;
        right += ljs_server_ready(w.server) == LJS_E_STATE;
        right += ljs_server_flush(w.server) == LJS_E_STATE;
        right += ljs_server_set_peers(w.server, NULL) == LJS_E_STATE;
        right += ljs_server_get_device(&out, w.server, DEV) == LJS_E_STATE;
        right += ljs_server_make_device(w.server, &d, &keys, 0, -1, NULL, 0) == LJS_E_STATE;
        right += ljs_server_add_join_eui(w.server, DEV, 1) == LJS_E_STATE;
        right += ljs_server_step_device(w.server, DEV, LJS_DEVICE_BLOCK) == LJS_E_STATE;
        right += ljs_server_decision(&event, w.server, DEV, 0) == LJS_E_STATE;
        right += ljs_server_each_device(w.server, NULL, NULL) == LJS_E_STATE;
        right += ljs_server_put_kek(w.server, "a", nwk, 0) == LJS_E_STATE;
        right += ljs_server_del_kek(w.server, "a") == LJS_E_STATE;
        right += ljs_server_each_kek(w.server, NULL, NULL) == LJS_E_STATE;
        _exit(right == 14 ? 0 : (int)right + 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    asked(&w, NULL, join_text(&(struct say){ 0 }, &req), "Success");
    server_end(&w);
}

/* ---- devices ---------------------------------------------------------------- */

static ljs_err collect(void *user, ljs_eui dev_eui)
{
    ljs_eui **at = user;

    *(*at)++ = dev_eui;
    return dev_eui == 0xfedcba9876543210 ? LJS_E_BUSY : LJS_OK;
}

static void test_devices(void **state)
{
    static const ljs_eui all[] = { 0xff00000000000000, 0, 0x0100000000000000, 0xfe, 0x100 };
    ljs_eui got[8], *at = got;
    struct world w;
    ljs_buf out;
    ljs_device d = device_of(LJS_MAC_1_0_3);

    (void)state;
    lab_begin(&w, NULL);
    assert_int_equal(ljs_server_get_device(&out, w.server, DEV), LJS_E_NOTFOUND);
    assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_BLOCK), LJS_E_NOTFOUND);
    assert_int_equal(ljs_server_add_join_eui(w.server, DEV, EUI2), LJS_E_NOTFOUND);
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        d.dev_eui = all[i];
        added(&w, &d);
    }
    assert_int_equal(ljs_server_step_device(w.server, 0xfe, LJS_DEVICE_REMOVE), LJS_OK);
    assert_int_equal(ljs_server_each_device(w.server, collect, &at), LJS_OK);
    assert_int_equal(at - got, 5);
    assert_int_equal(got[0], 0);
    assert_int_equal(got[1], 0xfe); /* the tombstone too */
    assert_int_equal(got[2], 0x100);
    assert_int_equal(got[3], 0x0100000000000000);
    assert_int_equal(got[4], 0xff00000000000000);
    d.dev_eui = 0xfedcba9876543210;
    added(&w, &d);
    at = got;
    assert_int_equal(ljs_server_each_device(w.server, collect, &at), LJS_E_BUSY); /* the callback's own */
    assert_int_equal(at - got, 5);
    assert_int_equal(ljs_server_add_join_eui(w.server, 0x100, EUI2), LJS_OK);
    assert_int_equal(device_in(&w, 0x100).join_euis, 2);
    assert_int_equal(ljs_server_add_join_eui(w.server, 0xfe, EUI2), LJS_E_STATE);
    server_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_checks),
        cmocka_unit_test(test_no_message),
        cmocka_unit_test(test_each_member_missing),
        cmocka_unit_test(test_frame_size),
        cmocka_unit_test(test_header_of_answers),
        cmocka_unit_test(test_no_peer_no_answer),
        cmocka_unit_test(test_net_ids_and_ns_ids),
        cmocka_unit_test(test_home_ns_id),
        cmocka_unit_test(test_peers_api),
        cmocka_unit_test(test_keks_are_their_holders),
        cmocka_unit_test(test_clear_by_peer),
        cmocka_unit_test(test_app_s_key),
        cmocka_unit_test(test_app_s_key_of_the_one_who_asks),
        cmocka_unit_test(test_home_ns),
        cmocka_unit_test(test_repeat_with_another_transaction),
        cmocka_unit_test(test_rejoins),
        cmocka_unit_test(test_tampered_records),
        cmocka_unit_test(test_store_faults_are_other),
        cmocka_unit_test(test_anonymous),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_set_peers_meanwhile),
        cmocka_unit_test(test_set_peers_within),
        cmocka_unit_test(test_after_fork),
        cmocka_unit_test(test_devices),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
