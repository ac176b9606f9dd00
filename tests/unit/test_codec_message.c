/* Backend Interfaces messages against the known answers, and every rule and leniency of
 * reading them. */
#include <lorajs/message.h>

#include "random.h"
#include "vectors.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define JOIN_REQ                                                                                                       \
    "{\"ProtocolVersion\":\"1.0\",\"TransactionID\":0,\"MessageType\":\"JoinReq\",\"SenderID\":\"42FFFF\","            \
    "\"ReceiverID\":\"70B3D57ED0000000\",\"MACVersion\":\"1.0.3\","                                                    \
    "\"PHYPayload\":\"00000000D07ED5B370080706050403020100003851F0B6\",\"DevEUI\":\"0102030405060708\","               \
    "\"DevAddr\":\"01020304\",\"DLSettings\":\"00\",\"RxDelay\":5}"
#define JOIN_ANS                                                                                                       \
    "{\"ProtocolVersion\":\"1.0\",\"TransactionID\":0,\"MessageType\":\"JoinAns\",\"ReceiverToken\":\"01\","           \
    "\"SenderID\":\"70B3D57ED0000000\",\"ReceiverID\":\"42FFFF\","                                                     \
    "\"PHYPayload\":\"204D675073BB4153B23653EFA82C1F3A49E19C2A8696C9A34BF492674779E4BEFA\","                           \
    "\"Result\":{\"ResultCode\":\"Success\"},\"Lifetime\":0,"                                                          \
    "\"NwkSKey\":{\"KEKLabel\":\"ns:42ffff\",\"AESKey\":\"EB56FE6681999F25D548CFEDD4A6528B331BB5ADE1CAF17F\"},"        \
    "\"AppSKey\":{\"KEKLabel\":\"as:010042\",\"AESKey\":\"2A195CC93CA54AD82CFB36C83D91450F3D2D523556F13E69\"},"        \
    "\"SessionKeyID\":\"016BFA7BAD4756346A674981E75CDBDC\"}"

/* ---- helpers ---------------------------------------------------------------- */

/* From a block of exactly its size, so that the sanitizer sees a read past its end. */
static ljs_err parse_octets(ljs_message *out, const void *text, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    ljs_err err;

    assert_non_null(copy);
    memcpy(copy, text, len);
    memset(out, 0xa5, sizeof *out);
    err = ljs_message_parse(out, copy, len);
    free(copy);
    return err;
}

static ljs_err parse(ljs_message *out, const char *text)
{
    return parse_octets(out, text, strlen(text));
}

static void parse_ok(ljs_message *out, const char *text)
{
    assert_int_equal(parse(out, text), LJS_OK);
    if (out->err)
        fail_msg("%s: %s", ljs_errname(out->err), text);
}

static char *build(const ljs_message *message)
{
    ljs_buf out;
    char *text;

    assert_int_equal(ljs_message_build(&out, message), LJS_OK);
    text = malloc(out.len + 1);
    assert_non_null(text);
    memcpy(text, out.data, out.len);
    text[out.len] = 0;
    ljs_buf_free(&out);
    return text;
}

static void builds(const ljs_message *message, const char *want)
{
    char *text = build(message);

    assert_string_equal(text, want);
    free(text);
}

static void cannot_build(const ljs_message *message)
{
    ljs_buf out = { (uint8_t *)1, 1 };

    assert_int_equal(ljs_message_build(&out, message), LJS_E_INVAL);
    assert_null(out.data);
    assert_int_equal(out.len, 0);
}

static json_t *load(const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &error);

    if (!json)
        fail_msg("%s: %s", error.text, text);
    return json;
}

/* As strings: hexadecimal whatever its case, and both spellings of a version. */
static bool same_text(const char *name, const char *a, const char *b)
{
    ljs_mac mac_a, mac_b;

    if (name && !strcmp(name, "MACVersion"))
        return !ljs_mac_parse(&mac_a, a) && !ljs_mac_parse(&mac_b, b) && mac_a == mac_b;
    if (strlen(a) != strlen(b))
        return false;
    if (name && (!strcmp(name, "KEKLabel") || !strcmp(name, "SenderID") || !strcmp(name, "ReceiverID")))
        return !strcmp(a, b);
    for (; *a; a++, b++)
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
            return false;
    return true;
}

static bool same_json(const char *name, json_t *a, json_t *b)
{
    const char *key;
    json_t *value;

    if (json_is_string(a) && json_is_string(b))
        return same_text(name, json_string_value(a), json_string_value(b));
    if (!json_is_object(a) || !json_is_object(b))
        return json_equal(a, b);
    if (json_object_size(a) != json_object_size(b))
        return false;
    json_object_foreach(a, key, value) if (!same_json(key, value, json_object_get(b, key))) return false;
    return true;
}

/* Built again, a message says what it said, but for the order of members, the case of
 * hexadecimal, and "" for what is absent. */
static void builds_as(const ljs_message *message, const char *want)
{
    char *text = build(message);
    json_t *a = load(text), *b = load(want);

    if (json_object_get(b, "CFList") && !*json_string_value(json_object_get(b, "CFList")))
        json_object_del(b, "CFList");
    if (!same_json(NULL, a, b))
        fail_msg("%s\n     is not %s", text, want);
    json_decref(a);
    json_decref(b);
    free(text);
}

static void same_envelope(const ljs_envelope *a, const ljs_envelope *b)
{
    assert_string_equal(a->kek_label, b->kek_label);
    assert_int_equal(a->key_len, b->key_len);
    assert_memory_equal(a->key, b->key, sizeof a->key);
}

/* Each member on its own: octets between members are nobody's. */
static void same_message(const ljs_message *a, const ljs_message *b)
{
#define SAME(field)        assert_true(a->field == b->field)
#define SAME_OCTETS(field) (SAME(field##_len), assert_memory_equal(a->field, b->field, sizeof a->field))
    SAME(struct_size);
    SAME(type);
    SAME(err);
    assert_int_equal(a->has, b->has);
    SAME(protocol);
    SAME(transaction_id);
    assert_string_equal(a->sender_id, b->sender_id);
    assert_string_equal(a->receiver_id, b->receiver_id);
    SAME(sender_ns_id);
    SAME(receiver_ns_id);
    SAME_OCTETS(sender_token);
    SAME_OCTETS(receiver_token);
    SAME(mac);
    SAME_OCTETS(phy);
    SAME(dev_eui);
    SAME(dev_addr);
    SAME(dl_settings);
    SAME(rx_delay);
    assert_memory_equal(a->cf_list, b->cf_list, sizeof a->cf_list);
    assert_string_equal(ljs_result_code(a->result, a->protocol), ljs_result_code(b->result, b->protocol));
    assert_string_equal(a->description, b->description);
    SAME(lifetime);
    same_envelope(&a->nwk_s, &b->nwk_s);
    same_envelope(&a->f_nwk_s_int, &b->f_nwk_s_int);
    same_envelope(&a->s_nwk_s_int, &b->s_nwk_s_int);
    same_envelope(&a->nwk_s_enc, &b->nwk_s_enc);
    same_envelope(&a->app_s, &b->app_s);
    SAME_OCTETS(session_key_id);
    SAME(h_net_id);
    SAME(h_ns_id);
}

static void is_empty(const ljs_message *m)
{
    ljs_message empty;

    memset(&empty, 0, sizeof empty);
    empty.struct_size = sizeof empty;
    assert_memory_equal(m, &empty, sizeof empty);
}

/* ---- vectors ---------------------------------------------------------------- */

static void envelope_of(ljs_envelope *out, json_t *key)
{
    const char *label = json_string_value(json_object_get(key, "KEKLabel"));
    const char *hex = json_string_value(json_object_get(key, "AESKey"));

    if (!key)
        return;
    snprintf(out->kek_label, sizeof out->kek_label, "%s", label ? label : "");
    for (out->key_len = 0; hex[2 * out->key_len]; out->key_len++)
        assert_int_equal(sscanf(hex + 2 * out->key_len, "%2hhx", &out->key[out->key_len]), 1);
}

static void put_hex(uint8_t *out, size_t *len, const char *hex)
{
    for (*len = 0; hex && hex[2 * *len]; ++*len)
        assert_int_equal(sscanf(hex + 2 * *len, "%2hhx", &out[*len]), 1);
}

/* The request is read and written; its expected answer is made from the request, written
 * and read. */
static void exchange(json_t *vector)
{
    const char *request = vector_text(vector, "inputs.request");
    const char *code = vector_text(vector, "expected.result_code");
    json_t *asked = load(request), *told;
    ljs_message req, ans, back;
    char *text;

    parse_ok(&req, request);
    builds_as(&req, request);
    assert_string_equal(req.sender_id, json_string_value(json_object_get(asked, "SenderID")));
    assert_int_equal(req.transaction_id, json_integer_value(json_object_get(asked, "TransactionID")));

    ljs_message_reply(&ans, &req, ljs_result_err(code));
    if (ans.result == LJS_OK && ans.type != LJS_MSG_HOME_NS_ANS) {
        const char *phy = json_string_value(vector_find(vector, "expected.PHYPayload"));

        put_hex(ans.phy, &ans.phy_len, phy ? phy : json_string_value(vector_find(vector, "derived.PHYPayload")));
        envelope_of(&ans.nwk_s, vector_find(vector, "expected.keys.NwkSKey"));
        envelope_of(&ans.f_nwk_s_int, vector_find(vector, "expected.keys.FNwkSIntKey"));
        envelope_of(&ans.s_nwk_s_int, vector_find(vector, "expected.keys.SNwkSIntKey"));
        envelope_of(&ans.nwk_s_enc, vector_find(vector, "expected.keys.NwkSEncKey"));
        envelope_of(&ans.app_s, vector_find(vector, "expected.keys.AppSKey"));
        ans.lifetime = 4711;
    } else if (ans.result == LJS_OK) {
        assert_int_equal(ljs_net_id_parse(&ans.h_net_id, vector_text(vector, "expected.HNetID")), LJS_OK);
        ans.has |= LJS_M_H_NET_ID;
    }
    text = build(&ans);
    told = load(text);
    assert_string_equal(json_string_value(json_object_get(told, "MessageType")),
                        vector_text(vector, "expected.answer_type"));
    assert_string_equal(json_string_value(json_object_get(told, "SenderID")),
                        vector_text(vector, "expected.sender_id"));
    assert_string_equal(json_string_value(json_object_get(told, "ReceiverID")),
                        vector_text(vector, "expected.receiver_id"));
    assert_int_equal(json_integer_value(json_object_get(told, "TransactionID")),
                     vector_number(vector, "expected.transaction_id"));
    assert_string_equal(json_string_value(vector_find(told, "Result.ResultCode")), code);
    if (vector_has(vector, "expected.keys")) {
        const char *name;
        json_t *key;

        assert_int_equal(json_integer_value(json_object_get(told, "Lifetime")), 4711);
        json_object_foreach(vector_find(vector, "expected.keys"), name, key)
        {
            json_t *have = json_object_get(told, name);

            assert_non_null(json_object_get(have, "KEKLabel")); /* also for keys in clear */
            assert_string_equal(json_string_value(json_object_get(have, "AESKey")),
                                json_string_value(json_object_get(key, "AESKey")));
        }
    }
    assert_int_equal(ljs_message_answer(&back, &req, (uint8_t *)text, strlen(text)), ljs_result_err(code));
    if (ans.result == LJS_OK && ans.type != LJS_MSG_HOME_NS_ANS)
        ans.has |= LJS_M_LIFETIME;
    same_message(&back, &ans);
    json_decref(asked);
    json_decref(told);
    free(text);
}

static void test_exchanges(void **state)
{
    (void)state;
    vectors_each("backend_exchange", 16, exchange);
}

static void message(json_t *vector)
{
    const char *request = vector_text(vector, "inputs.request"), *answer = vector_text(vector, "expected.answer");
    ljs_message req, ans, read;
    json_t *told = load(answer);
    const char *code = json_string_value(vector_find(told, "Result.ResultCode"));

    parse_ok(&req, request);
    builds_as(&req, request);
    parse_ok(&ans, answer);
    builds_as(&ans, answer);
    assert_int_equal(ljs_message_answer(&read, &req, (const uint8_t *)answer, strlen(answer)), ljs_result_err(code));
    same_message(&read, &ans);

    /* The header that we would answer with is theirs. */
    ljs_message_reply(&read, &req, ljs_result_err(code));
    assert_int_equal(read.type, ans.type);
    assert_int_equal(read.protocol, ans.protocol);
    assert_int_equal(read.transaction_id, ans.transaction_id);
    assert_string_equal(read.sender_id, ans.sender_id);
    assert_string_equal(read.receiver_id, ans.receiver_id);
    assert_int_equal(read.has & LJS_M_RECEIVER_NSID, ans.has & LJS_M_RECEIVER_NSID);
    assert_true(read.receiver_ns_id == ans.receiver_ns_id);
    json_decref(told);
}

static void test_messages(void **state)
{
    (void)state;
    vectors_each("backend_message", 9, message);
}

static void envelope(json_t *vector)
{
    uint8_t key[16];
    char text[2048], *again;
    ljs_message m;
    json_t *told, *want = load(vector_text(vector, "expected.json"));

    assert_int_equal(vector_hex(key, sizeof key, vector, "inputs.aes_key"), sizeof key);
    snprintf(text, sizeof text,
             "{\"ProtocolVersion\":\"1.0\",\"TransactionID\":0,\"MessageType\":\"AppSKeyAns\",\"SenderID\":\"a\","
             "\"ReceiverID\":\"b\",\"Result\":{\"ResultCode\":\"Success\"},\"AppSKey\":%s}",
             vector_text(vector, "expected.json"));
    parse_ok(&m, text);
    assert_string_equal(m.app_s.kek_label, vector_text(vector, "inputs.kek_label"));
    assert_int_equal(m.app_s.key_len, sizeof key);
    assert_memory_equal(m.app_s.key, key, sizeof key);
    again = build(&m);
    told = load(again);
    assert_true(same_json(NULL, json_object_get(told, "AppSKey"), want));
    json_decref(told);
    json_decref(want);
    free(again);
}

static void hex(json_t *vector)
{
    uint8_t want[16];
    size_t len = vector_hex(want, sizeof want, vector, "expected.bytes");
    char text[512];
    ljs_message m;

    snprintf(text, sizeof text,
             "{\"ProtocolVersion\":\"1.0\",\"TransactionID\":0,\"MessageType\":\"HomeNSReq\",\"SenderID\":\"a\","
             "\"ReceiverID\":\"b\",\"DevEUI\":\"0102030405060708\",\"SenderToken\":\"%s\"}",
             vector_text(vector, "inputs.text"));
    parse_ok(&m, text);
    assert_int_equal(m.sender_token_len, len);
    assert_memory_equal(m.sender_token, want, len);
}

static void policy(json_t *vector)
{
    const char *request = vector_text(vector, "inputs.request");
    ljs_message m;

    if (vector_number(vector, "expected.http_status") == 400) {
        assert_int_equal(parse(&m, request), LJS_E_MESSAGE);
        is_empty(&m);
        return;
    }
    /* Mandatory members are missing; who sent it, and to whom, can be read all the same. */
    assert_int_equal(parse(&m, request), LJS_OK);
    assert_int_equal(m.err, LJS_E_MESSAGE);
    assert_int_equal(m.type, LJS_MSG_JOIN_REQ);
    assert_int_equal(m.protocol, 10);
    assert_int_equal(m.mac, LJS_MAC_1_0_3);
    assert_string_equal(m.sender_id, vector_is(vector, "tts-http-invalidsenderid") ? "000002" : "000001");
    assert_string_equal(m.receiver_id, "4200000000000000");
}

static void test_small_vectors(void **state)
{
    (void)state;
    vectors_each("backend_json", 2, envelope);
    vectors_each("backend_json_hex", 3, hex);
    vectors_each("backend_policy", 4, policy);
}

/* ---- what real network servers send, whole ---------------------------------- */

static void test_chirpstack(void **state)
{
    /* order, lower case and versions of ChirpStack v4; VSExtension of v3 */
    const char *text = "{\"ProtocolVersion\":\"1.0\",\"SenderID\":\"000000\",\"ReceiverID\":\"0102030405060708\","
                       "\"TransactionID\":4294967295,\"MessageType\":\"JoinReq\",\"VSExtension\":{},"
                       "\"MACVersion\":\"1.1.0\",\"PHYPayload\":\"00010203040506070808070605040302010201cde6acb8\","
                       "\"DevEUI\":\"abcdef0405060708\",\"DevAddr\":\"f1020304\",\"DLSettings\":\"95\",\"RxDelay\":15,"
                       "\"CFList\":\"988d8468958400000000000000000001\"}";
    ljs_message m;

    (void)state;
    parse_ok(&m, text);
    assert_int_equal(m.type, LJS_MSG_JOIN_REQ);
    assert_int_equal(m.protocol, 10);
    assert_int_equal(m.transaction_id, UINT32_MAX);
    assert_string_equal(m.sender_id, "000000");
    assert_string_equal(m.receiver_id, "0102030405060708");
    assert_int_equal(m.mac, LJS_MAC_1_1);
    assert_int_equal(m.phy_len, 23);
    assert_int_equal(m.phy[1], 0x01);
    assert_int_equal(m.phy[22], 0xb8);
    assert_true(m.dev_eui == 0xabcdef0405060708);
    assert_int_equal(m.dev_addr, 0xf1020304);
    assert_int_equal(m.dl_settings, 0x95);
    assert_int_equal(m.rx_delay, 15);
    assert_int_equal(m.cf_list[0], 0x98);
    assert_int_equal(m.cf_list[15], 1);
    assert_int_equal(m.has, LJS_M_TRANSACTION_ID | LJS_M_MAC_VERSION | LJS_M_DEV_EUI | LJS_M_DEV_ADDR |
                                LJS_M_DL_SETTINGS | LJS_M_RX_DELAY | LJS_M_CF_LIST);
    /* the order of TS002 is ChirpStack's; VSExtension is not passed on */
    builds(&m, "{\"ProtocolVersion\":\"1.0\",\"SenderID\":\"000000\",\"ReceiverID\":\"0102030405060708\","
               "\"TransactionID\":4294967295,\"MessageType\":\"JoinReq\",\"MACVersion\":\"1.1\","
               "\"PHYPayload\":\"00010203040506070808070605040302010201cde6acb8\",\"DevEUI\":\"abcdef0405060708\","
               "\"DevAddr\":\"f1020304\",\"DLSettings\":\"95\",\"RxDelay\":15,"
               "\"CFList\":\"988d8468958400000000000000000001\"}");
}

static void test_things_stack(void **state)
{
    ljs_message req, ans, m;

    (void)state;
    parse_ok(&req, JOIN_REQ);
    builds_as(&req, JOIN_REQ);
    assert_int_equal(ljs_message_answer(&m, &req, (const uint8_t *)JOIN_ANS, strlen(JOIN_ANS)), LJS_OK);
    builds_as(&m, JOIN_ANS);
    assert_string_equal(m.nwk_s.kek_label, "ns:42ffff");
    assert_int_equal(m.nwk_s.key_len, 24);
    assert_int_equal(m.session_key_id_len, 16);

    /* 1.1: the NSID comes back as the receiver's, and both versions tell their own codes */
    parse_ok(&req, "{\"ProtocolVersion\":\"1.1\",\"TransactionID\":7,\"MessageType\":\"RejoinReq\","
                   "\"SenderID\":\"42FFFF\",\"SenderNSID\":\"70B3D57ED0000001\",\"ReceiverID\":\"EC656E0000000000\","
                   "\"SenderToken\":\"cafe\",\"MACVersion\":\"1.1\","
                   "\"PHYPayload\":\"c000130000271c0a9f49d5b3700100ec411bd6\",\"DevEUI\":\"0102030405060708\","
                   "\"DevAddr\":\"01020304\",\"DLSettings\":\"80\",\"RxDelay\":5}");
    ljs_message_reply(&ans, &req, LJS_E_REPLAY);
    builds(&ans, "{\"ProtocolVersion\":\"1.1\",\"SenderID\":\"EC656E0000000000\",\"ReceiverID\":\"42FFFF\","
                 "\"TransactionID\":7,\"MessageType\":\"RejoinAns\",\"ReceiverNSID\":\"70b3d57ed0000001\","
                 "\"ReceiverToken\":\"cafe\",\"Result\":{\"ResultCode\":\"FrameReplayed\"}}");
    req.protocol = 10;
    ljs_message_reply(&ans, &req, LJS_E_REPLAY);
    builds(&ans, "{\"ProtocolVersion\":\"1.0\",\"SenderID\":\"EC656E0000000000\",\"ReceiverID\":\"42FFFF\","
                 "\"TransactionID\":7,\"MessageType\":\"RejoinAns\",\"ReceiverToken\":\"cafe\","
                 "\"Result\":{\"ResultCode\":\"JoinReqFailed\"}}");
    ljs_message_reply(&ans, &req, LJS_E_RECEIVER);
    snprintf(ans.description, sizeof ans.description, "say \"please\"");
    builds(&ans, "{\"ProtocolVersion\":\"1.0\",\"SenderID\":\"EC656E0000000000\",\"ReceiverID\":\"42FFFF\","
                 "\"TransactionID\":7,\"MessageType\":\"RejoinAns\",\"ReceiverToken\":\"cafe\","
                 "\"Result\":{\"ResultCode\":\"UnkownReceiver\",\"Description\":\"say \\\"please\\\"\"}}");
}

static void test_app_s_key(void **state)
{
    ljs_message req, ans;

    (void)state;
    parse_ok(&req, "{\"ProtocolVersion\":\"1.0\",\"TransactionID\":0,\"MessageType\":\"AppSKeyReq\","
                   "\"SenderID\":\"test-as \xc3\xa4\",\"ReceiverID\":\"70B3D57ED0000000\","
                   "\"DevEUI\":\"0102030405060708\",\"SessionKeyID\":\"016BFA7BAD4756346A674981E75CDBDC\"}");
    assert_string_equal(req.sender_id, "test-as \xc3\xa4"); /* an AS-ID is text */
    ljs_message_reply(&ans, &req, LJS_OK);
    ans.app_s.key_len = 24;
    snprintf(ans.app_s.kek_label, sizeof ans.app_s.kek_label, "as:010042");
    /* The answer says which key it is, and always for how long. */
    builds(&ans,
           "{\"ProtocolVersion\":\"1.0\",\"SenderID\":\"70B3D57ED0000000\",\"ReceiverID\":\"test-as \xc3\xa4\","
           "\"TransactionID\":0,\"MessageType\":\"AppSKeyAns\",\"Result\":{\"ResultCode\":\"Success\"},"
           "\"Lifetime\":0,\"DevEUI\":\"0102030405060708\","
           "\"AppSKey\":{\"KEKLabel\":\"as:010042\",\"AESKey\":\"000000000000000000000000000000000000000000000000\"},"
           "\"SessionKeyID\":\"016bfa7bad4756346a674981e75cdbdc\"}");
    ans.result = LJS_E_SESSION; /* no key with a refusal, though the struct has one */
    builds(&ans, "{\"ProtocolVersion\":\"1.0\",\"SenderID\":\"70B3D57ED0000000\",\"ReceiverID\":\"test-as \xc3\xa4\","
                 "\"TransactionID\":0,\"MessageType\":\"AppSKeyAns\",\"Result\":{\"ResultCode\":\"Other\"},"
                 "\"DevEUI\":\"0102030405060708\",\"SessionKeyID\":\"016bfa7bad4756346a674981e75cdbdc\"}");
}

/* ---- members, one by one ---------------------------------------------------- */

/* JOIN_REQ, its version `version`, with one member set (NULL value: taken away). */
static char *changed_text(const char *base, const char *version, const char *member, const char *value)
{
    json_t *json = load(base);
    char *text;

    if (version)
        json_object_set_new(json, "ProtocolVersion", json_string(version));
    if (version && !strcmp(version, "1.1"))
        json_object_set_new(json, "SenderNSID", json_string("70B3D57ED0000001"));
    if (!value)
        json_object_del(json, member);
    else
        json_object_set_new(json, member, json_loads(value, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL));
    text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

static ljs_err changed(ljs_message *out, const char *base, const char *version, const char *member, const char *value)
{
    char *text = changed_text(base, version, member, value);

    assert_int_equal(parse(out, text), LJS_OK);
    free(text);
    return out->err;
}

static void is_err(const char *base, const char *member, const char *value, ljs_err want)
{
    static const char *const versions[] = { "1.0", "1.1" };
    ljs_message m;
    ljs_err err;

    for (size_t i = 0; i < 2; i++) {
        if (!strcmp(member, "ProtocolVersion") && i == 1)
            break;
        err = changed(&m, base, versions[i], member, value);
        if (err != want)
            fail_msg("%s: %s=%s: %s", versions[i], member, value ? value : "absent", ljs_errname(err));
    }
}

static void bad(const char *member, const char *value)
{
    is_err(JOIN_REQ, member, value, LJS_E_MESSAGE);
}

static void good(const char *member, const char *value)
{
    is_err(JOIN_REQ, member, value, LJS_OK);
}

#define LABEL_127                                                                                                      \
    "1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"             \
    "123456789012345678901234567"

static void test_header_members(void **state)
{
    static const char *const ids[] = { "SenderID", "ReceiverID" };
    ljs_message m;

    (void)state;
    is_err(JOIN_REQ, "ProtocolVersion", "\"1.2\"", LJS_E_PROTOCOL);
    is_err(JOIN_REQ, "ProtocolVersion", "\"1.0.0\"", LJS_E_PROTOCOL);
    is_err(JOIN_REQ, "ProtocolVersion", "\"\"", LJS_E_PROTOCOL);
    bad("ProtocolVersion", NULL);
    bad("ProtocolVersion", "1.0");
    bad("ProtocolVersion", "null");
    /* whoever speaks another version is still somebody */
    assert_int_equal(changed(&m, JOIN_REQ, NULL, "ProtocolVersion", "\"2.0\""), LJS_E_PROTOCOL);
    assert_int_equal(m.protocol, 0);
    assert_string_equal(m.sender_id, "42FFFF");
    assert_int_equal(m.type, LJS_MSG_JOIN_REQ);

    for (size_t i = 0; i < 2; i++) {
        bad(ids[i], NULL);
        bad(ids[i], "\"\"");
        bad(ids[i], "1");
        bad(ids[i], "null");
        bad(ids[i], "{}");
        bad(ids[i], "\"a\\nb\"");
        bad(ids[i], "\"a\\u0007\"");
        bad(ids[i], "\"a\\u007f\"");
        bad(ids[i], "\"a\\u0085\"");
        good(ids[i], "\"" LABEL_127 "\"");
        bad(ids[i], "\"" LABEL_127 "8\"");
        good(ids[i], "\"0x42ffff\"");
        good(ids[i], "\"an application server\"");
    }
    assert_int_equal(changed(&m, JOIN_REQ, NULL, "SenderID", "\"a\\nb\""), LJS_E_MESSAGE);
    assert_string_equal(m.sender_id, "");
    assert_string_equal(m.receiver_id, "70B3D57ED0000000"); /* what could be read is there */

    bad("TransactionID", NULL);
    bad("TransactionID", "-1");
    bad("TransactionID", "4294967296");
    bad("TransactionID", "1.0");
    bad("TransactionID", "1e2");
    bad("TransactionID", "\"1\"");
    bad("TransactionID", "null");
    bad("TransactionID", "true");
    bad("TransactionID", "[1]");
    good("TransactionID", "4294967295");
    good("TransactionID", "0");

    bad("MessageType", NULL);
    bad("MessageType", "\"\"");
    bad("MessageType", "\"joinReq\"");
    bad("MessageType", "\"JoinReq \"");
    bad("MessageType", "\"PRStartReq\"");
    bad("MessageType", "1");
    assert_int_equal(changed(&m, JOIN_REQ, NULL, "MessageType", "\"XmitDataReq\""), LJS_E_MESSAGE);
    assert_int_equal(m.type, LJS_MSG_NONE);
    assert_int_equal(m.phy_len, 0); /* nobody knows what it would be */
    assert_string_equal(m.sender_id, "42FFFF");

    good("SenderToken", "\"\"");
    good("SenderToken", "\"0x00\"");
    bad("SenderToken", "\"0\"");
    bad("SenderToken", "\"0g\"");
    bad("SenderToken", "1");
    good("ReceiverToken", "\"CAfe\"");
    bad("ReceiverToken", "null");
}

static void octets_text(char *out, size_t octets)
{
    size_t at = 0;

    out[at++] = '"';
    for (size_t i = 0; i < octets; i++, at += 2)
        memcpy(out + at, "5A", 2);
    out[at++] = '"';
    out[at] = 0;
}

static void test_request_members(void **state)
{
    static const char *const numbers[] = { "\"MSB\"", "1", "null", "\"\"", "{}", "[]", "true", "\"0x\"", "\"0x0x01\"" };
    static const struct {
        const char *name;
        unsigned digits;
    } hex_numbers[] = { { "DevEUI", 16 }, { "DevAddr", 8 }, { "DLSettings", 2 } };
    char text[600];
    ljs_message m;

    (void)state;
    for (size_t i = 0; i < sizeof hex_numbers / sizeof *hex_numbers; i++) {
        const char *name = hex_numbers[i].name;
        unsigned digits = hex_numbers[i].digits;

        bad(name, NULL);
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
            bad(name, numbers[k]);
        snprintf(text, sizeof text, "\"%.*s\"", digits, "aBcDeF0123456789");
        good(name, text);
        snprintf(text, sizeof text, "\"0x%.*s\"", digits, "aBcDeF0123456789");
        good(name, text);
        snprintf(text, sizeof text, "\"0X%.*s\"", digits, "aBcDeF0123456789");
        bad(name, text);
        snprintf(text, sizeof text, "\"%.*s\"", digits - 1, "aBcDeF0123456789");
        bad(name, text);
        snprintf(text, sizeof text, "\"%.*s00\"", digits, "aBcDeF0123456789");
        bad(name, text);
        snprintf(text, sizeof text, "\" %.*s\"", digits - 1, "aBcDeF0123456789");
        bad(name, text);
        snprintf(text, sizeof text, "\"%.*sg\"", digits - 1, "aBcDeF0123456789");
        bad(name, text);
    }
    assert_int_equal(changed(&m, JOIN_REQ, NULL, "DevEUI", "\"0xAbCdEf0123456789\""), LJS_OK);
    assert_true(m.dev_eui == 0xabcdef0123456789);

    bad("PHYPayload", NULL);
    bad("PHYPayload", "\"\"");
    bad("PHYPayload", "\"000\"");
    bad("PHYPayload", "1");
    octets_text(text, 255); /* the server judges the size of frames */
    good("PHYPayload", text);
    good("PHYPayload", "\"00\"");
    octets_text(text, 256);
    bad("PHYPayload", text);

    bad("RxDelay", NULL);
    bad("RxDelay", "16");
    bad("RxDelay", "-1");
    bad("RxDelay", "1.0");
    bad("RxDelay", "\"1\"");
    good("RxDelay", "15");
    good("RxDelay", "0");

    good("CFList", NULL);
    good("CFList", "\"\"");
    assert_int_equal(changed(&m, JOIN_REQ, NULL, "CFList", "\"\""), LJS_OK);
    assert_false(m.has & LJS_M_CF_LIST);
    octets_text(text, 16);
    good("CFList", text);
    assert_int_equal(changed(&m, JOIN_REQ, NULL, "CFList", text), LJS_OK);
    assert_true(m.has & LJS_M_CF_LIST);
    octets_text(text, 15);
    bad("CFList", text);
    octets_text(text, 17);
    bad("CFList", text);
    bad("CFList", "null");
    bad("CFList", "[]");

    bad("MACVersion", NULL);
    good("MACVersion", "\"1.0\"");
    good("MACVersion", "\"1.0.0\"");
    good("MACVersion", "\"1.0.4\"");
    good("MACVersion", "\"1.1\"");
    good("MACVersion", "\"1.1.0\"");
    bad("MACVersion", "\"1.2\"");
    bad("MACVersion", "\"1.0.5\"");
    bad("MACVersion", "\"1.1.00\"");
    bad("MACVersion", "\"\"");
    bad("MACVersion", "1.1");
}

static void test_ns_ids(void **state)
{
    ljs_message m;

    (void)state;
    /* 1.0 knows none, whatever stands there */
    assert_int_equal(changed(&m, JOIN_REQ, NULL, "SenderNSID", "\"70B3D57ED0000001\""), LJS_OK);
    assert_false(m.has & LJS_M_SENDER_NSID);
    assert_true(m.sender_ns_id == 0);
    assert_int_equal(changed(&m, JOIN_REQ, NULL, "SenderNSID", "\"what?\""), LJS_OK);
    /* from a network server of 1.1 it is mandatory */
    assert_int_equal(changed(&m, JOIN_REQ, "1.1", "SenderNSID", NULL), LJS_E_MESSAGE);
    assert_int_equal(changed(&m, JOIN_REQ, "1.1", "SenderNSID", "\"what?\""), LJS_E_MESSAGE);
    assert_int_equal(changed(&m, JOIN_REQ, "1.1", "SenderNSID", "\"70B3D57ED000000F\""), LJS_OK);
    assert_true(m.has & LJS_M_SENDER_NSID);
    assert_true(m.sender_ns_id == 0x70b3d57ed000000f);
    assert_int_equal(changed(&m, JOIN_REQ, "1.1", "ReceiverNSID", "\"70B3D57ED000000E\""), LJS_OK);
    assert_true(m.receiver_ns_id == 0x70b3d57ed000000e);
}

/* JOIN_REQ with `more` in front. */
static void reads_with(const char *more)
{
    char text[4096];
    ljs_message m, want;

    snprintf(text, sizeof text, "{%s,%s", more, &JOIN_REQ[1]);
    parse_ok(&m, text);
    parse_ok(&want, JOIN_REQ);
    same_message(&m, &want);
    snprintf(text, sizeof text, "%.*s,%s}", (int)strlen(JOIN_REQ) - 1, JOIN_REQ, more);
    parse_ok(&m, text);
    same_message(&m, &want);
}

static void test_lenient(void **state)
{
    (void)state;
    reads_with("\"VSExtension\":{}");
    reads_with("\"VSExtension\":null");
    reads_with("\"VSExtension\":{\"VendorID\":\"EC656E\",\"Object\":{\"DevEUI\":1,\"a\":[1,2.5,{\"b\":null}]}}");
    reads_with("\"VSExtension\":[{\"AESKey\":\"\"},\"Result\",1e99]");
    reads_with("\"SenderVSExtension\":\"x\",\"devEUI\":5,\"\":{}");
    /* members that a JoinReq does not carry are not looked at, nor kept */
    reads_with("\"Lifetime\":\"x\"");
    reads_with("\"Lifetime\":5");
    reads_with("\"Result\":{\"ResultCode\":\"MICFailed\",\"Description\":\"hm\"}");
    reads_with("\"Result\":5");
    reads_with("\"AppSKey\":{\"KEKLabel\":\"x\",\"AESKey\":\"000102030405060708090a0b0c0d0e0f\"}");
    reads_with("\"SessionKeyID\":\"00\",\"HNetID\":\"000001\",\"HNSID\":\"0000000000000001\"");
}

static void test_strict_json(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "[]",
        "null",
        "{",
        JOIN_REQ JOIN_REQ,
        JOIN_REQ "x",
        JOIN_REQ ",",
        "[" JOIN_REQ "]",
        "{\"TransactionID\":1,\"TransactionID\":1}",
        "{\"a\":\"\xc0\x80\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":NaN}",
        "{\"a\":9223372036854775808}",
        "{\"a\":1,}",
        "{'a':1}",
        "{\"a\":1}//",
        "{\"VSExtension\":{\"a\":1,\"a\":2}}",
        "{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}", /* 17 deep */
    };
    ljs_message m;
    char *long_text = malloc(65537);

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (parse(&m, texts[i]) != LJS_E_MESSAGE)
            fail_msg("%s", texts[i]);
        is_empty(&m);
    }
    /* each prefix of a message is none */
    for (size_t n = 0; n < strlen(JOIN_ANS); n++) {
        assert_int_equal(parse_octets(&m, JOIN_ANS, n), LJS_E_MESSAGE);
        is_empty(&m);
    }
    assert_non_null(long_text);
    memset(long_text, ' ', 65537);
    memcpy(long_text, JOIN_REQ, strlen(JOIN_REQ));
    assert_int_equal(parse_octets(&m, long_text, 65536), LJS_OK);
    assert_int_equal(parse_octets(&m, long_text, 65537), LJS_E_MESSAGE);
    is_empty(&m);
    free(long_text);
}

/* ---- answers ---------------------------------------------------------------- */

#define CLEAR "{\"KEKLabel\":\"\",\"AESKey\":\"000102030405060708090a0b0c0d0e0f\"}"

static void test_envelopes(void **state)
{
    static const char *const bad_ones[] = {
        "null",
        "\"\"",
        "[]",
        "{}",
        "{\"KEKLabel\":\"a\"}",
        "{\"AESKey\":\"\"}",
        "{\"AESKey\":1}",
        "{\"AESKey\":{}}",
        "{\"AESKey\":\"00\"}",
        "{\"AESKey\":\"000102030405060708090a0b0c0d0e0g\"}",
        "{\"AESKey\":\"000102030405060708090a0b0c0d0e\"}",
        "{\"AESKey\":\"000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f\"}",
        "{\"KEKLabel\":5,\"AESKey\":\"000102030405060708090a0b0c0d0e0f\"}",
        "{\"KEKLabel\":null,\"AESKey\":\"000102030405060708090a0b0c0d0e0f\"}",
        "{\"KEKLabel\":\"a\\tb\",\"AESKey\":\"000102030405060708090a0b0c0d0e0f\"}",
        "{\"KEKLabel\":\"" LABEL_127 "8\",\"AESKey\":\"000102030405060708090a0b0c0d0e0f\"}",
    };
    static const char *const good_ones[] = {
        CLEAR,
        "{\"AESKey\":\"000102030405060708090a0b0c0d0e0f\"}",
        "{\"AESKey\":\"0x000102030405060708090A0B0C0D0E0F\",\"KEKLabel\":\"" LABEL_127 "\",\"More\":{\"AESKey\":1}}",
        "{\"KEKLabel\":\"k\",\"AESKey\":\"000102030405060708090a0b0c0d0e0f1011121314151617\"}",
    };
    ljs_message m;

    (void)state;
    for (size_t i = 0; i < sizeof bad_ones / sizeof *bad_ones; i++) {
        static const ljs_envelope none;

        if (changed(&m, JOIN_ANS, NULL, "NwkSKey", bad_ones[i]) != LJS_E_MESSAGE)
            fail_msg("%s", bad_ones[i]);
        assert_memory_equal(&m.nwk_s, &none, sizeof none); /* and nothing of it is left */
    }
    for (size_t i = 0; i < sizeof good_ones / sizeof *good_ones; i++) {
        if (changed(&m, JOIN_ANS, NULL, "NwkSKey", good_ones[i]) != LJS_OK)
            fail_msg("%s", good_ones[i]);
        assert_int_equal(m.nwk_s.key[15], 15);
    }
}

static void test_answer_members(void **state)
{
    ljs_message m;
    char *text;

    (void)state;
    is_err(JOIN_ANS, "Result", NULL, LJS_E_MESSAGE);
    is_err(JOIN_ANS, "Result", "{}", LJS_E_MESSAGE);
    is_err(JOIN_ANS, "Result", "\"Success\"", LJS_E_MESSAGE);
    is_err(JOIN_ANS, "Result", "{\"ResultCode\":1}", LJS_E_MESSAGE);
    is_err(JOIN_ANS, "Result", "{\"ResultCode\":\"Success\",\"Description\":1}", LJS_E_MESSAGE);
    is_err(JOIN_ANS, "Result", "[\"Success\"]", LJS_E_MESSAGE);
    is_err(JOIN_ANS, "Lifetime", NULL, LJS_OK);
    is_err(JOIN_ANS, "Lifetime", "4294967295", LJS_OK);
    is_err(JOIN_ANS, "Lifetime", "4294967296", LJS_E_MESSAGE);
    is_err(JOIN_ANS, "Lifetime", "-1", LJS_E_MESSAGE);
    is_err(JOIN_ANS, "Lifetime", "1.5", LJS_E_MESSAGE);
    is_err(JOIN_ANS, "PHYPayload", NULL, LJS_E_MESSAGE);
    is_err(JOIN_ANS, "NwkSKey", NULL, LJS_E_MESSAGE); /* ChirpStack panics */
    is_err(JOIN_ANS, "AppSKey", NULL, LJS_OK);        /* SessionKeyID is a way to it */
    is_err(JOIN_ANS, "SessionKeyID", NULL, LJS_OK);
    is_err(JOIN_ANS, "SessionKeyID", "\"\"", LJS_OK);
    is_err(JOIN_ANS, "SessionKeyID", "\"0\"", LJS_E_MESSAGE);
    text = changed_text(JOIN_ANS, NULL, "SessionKeyID", NULL);
    assert_int_equal(changed(&m, text, NULL, "AppSKey", NULL), LJS_E_MESSAGE); /* neither */
    free(text);

    /* the three keys of 1.1, and two of three */
    text = changed_text(JOIN_ANS, NULL, "NwkSKey", NULL);
    {
        char *two = changed_text(text, NULL, "SNwkSIntKey", CLEAR), *three;

        free(text);
        text = changed_text(two, NULL, "NwkSEncKey", CLEAR);
        free(two);
        parse(&m, text);
        assert_int_equal(m.err, LJS_E_MESSAGE);
        three = changed_text(text, NULL, "FNwkSIntKey", CLEAR);
        parse_ok(&m, three);
        assert_int_equal(m.f_nwk_s_int.key_len, 16);
        free(text);
        free(three);
    }

    /* A refusal brings no keys, whatever it brings. */
    assert_int_equal(changed(&m, JOIN_ANS, NULL, "Result", "{\"ResultCode\":\"MICFailed\",\"Description\":\"no\"}"),
                     LJS_OK);
    assert_int_equal(m.result, LJS_E_MIC);
    assert_string_equal(m.description, "no");
    assert_int_equal(m.nwk_s.key_len, 0);
    assert_int_equal(m.phy_len, 0);
    assert_int_equal(m.session_key_id_len, 0);
    /* Nor does a Result that nobody can read. */
    assert_int_equal(changed(&m, JOIN_ANS, NULL, "Result", NULL), LJS_E_MESSAGE);
    assert_int_equal(m.result, LJS_E_MESSAGE);
    assert_int_equal(m.nwk_s.key_len, 0);
    assert_int_equal(m.app_s.key_len, 0);
    /* Both spellings and both versions of codes, in either version. */
    changed(&m, JOIN_ANS, "1.0", "Result", "{\"ResultCode\":\"UnknownReceiver\"}");
    assert_int_equal(m.result, LJS_E_RECEIVER);
    changed(&m, JOIN_ANS, "1.1", "Result", "{\"ResultCode\":\"UnkownReceiver\"}");
    assert_int_equal(m.result, LJS_E_RECEIVER);
    changed(&m, JOIN_ANS, "1.0", "Result", "{\"ResultCode\":\"FrameReplayed\"}");
    assert_int_equal(m.result, LJS_E_REPLAY);
    changed(&m, JOIN_ANS, "1.0", "Result", "{\"ResultCode\":\"MalformedMessage\"}");
    assert_int_equal(m.result, LJS_E_MESSAGE);
    assert_int_equal(m.err, LJS_OK);
    changed(&m, JOIN_ANS, "1.0", "Result", "{\"ResultCode\":\"XmitFailed\"}");
    assert_int_equal(m.result, LJS_E_MESSAGE);
}

static void test_description(void **state)
{
    char text[700], want[LJS_LABEL_MAX];
    ljs_message m;

    (void)state;
    changed(&m, JOIN_ANS, NULL, "Result", "{\"ResultCode\":\"Other\",\"Description\":\"a\\nb\\u0085c\\u007f\"}");
    assert_int_equal(m.err, LJS_OK);
    assert_string_equal(m.description, "a b  c ");
    /* cut between characters: 63 of two octets fit in 127 octets, and half of one */
    strcpy(text, "{\"ResultCode\":\"Other\",\"Description\":\"");
    for (size_t i = 0; i < 64; i++)
        strcat(text, "\\u00e4");
    strcat(text, "\"}");
    changed(&m, JOIN_ANS, NULL, "Result", text);
    want[0] = 0;
    for (size_t i = 0; i < 63; i++)
        strcat(want, "\xc3\xa4");
    assert_string_equal(m.description, want);
}

static void test_home_ns(void **state)
{
    ljs_message m;

    (void)state;
    ljs_message_init(&m);
    m.type = LJS_MSG_HOME_NS_ANS;
    strcpy(m.sender_id, "a");
    strcpy(m.receiver_id, "b");
    m.has = LJS_M_TRANSACTION_ID | LJS_M_H_NET_ID | LJS_M_H_NS_ID | LJS_M_RECEIVER_NSID;
    m.h_net_id = 0x42ffff;
    m.h_ns_id = 0xf;
    m.receiver_ns_id = 0xe;
    /* an answer of 1.0 never carries HNSID or ReceiverNSID */
    builds(&m, "{\"ProtocolVersion\":\"1.0\",\"SenderID\":\"a\",\"ReceiverID\":\"b\",\"TransactionID\":0,"
               "\"MessageType\":\"HomeNSAns\",\"Result\":{\"ResultCode\":\"Success\"},\"HNetID\":\"42ffff\"}");
    m.protocol = 11;
    builds(&m, "{\"ProtocolVersion\":\"1.1\",\"SenderID\":\"a\",\"ReceiverID\":\"b\",\"TransactionID\":0,"
               "\"MessageType\":\"HomeNSAns\",\"ReceiverNSID\":\"000000000000000e\","
               "\"Result\":{\"ResultCode\":\"Success\"},\"HNetID\":\"42ffff\",\"HNSID\":\"000000000000000f\"}");
    m.h_net_id = 0x1000000;
    cannot_build(&m);
}

static void test_reply(void **state)
{
    ljs_message req, ans;

    (void)state;
    /* the answer to who is not understood at all */
    assert_int_equal(parse(&req, "nonsense"), LJS_E_MESSAGE);
    ljs_message_reply(&ans, &req, LJS_E_MESSAGE);
    builds(&ans, "{\"ProtocolVersion\":\"1.0\",\"SenderID\":\"\",\"ReceiverID\":\"\",\"TransactionID\":0,"
                 "\"MessageType\":\"\",\"Result\":{\"ResultCode\":\"MalformedRequest\"}}");
    /* to who speaks another version */
    changed(&req, JOIN_REQ, NULL, "ProtocolVersion", "\"2.0\"");
    ljs_message_reply(&ans, &req, req.err);
    builds(&ans, "{\"ProtocolVersion\":\"1.0\",\"SenderID\":\"70B3D57ED0000000\",\"ReceiverID\":\"42FFFF\","
                 "\"TransactionID\":0,\"MessageType\":\"JoinAns\","
                 "\"Result\":{\"ResultCode\":\"InvalidProtocolVersion\"}}");
    /* to an answer that nobody asked for: not a RejoinReq */
    parse_ok(&req, JOIN_ANS);
    ljs_message_reply(&ans, &req, LJS_E_MESSAGE);
    assert_int_equal(ans.type, LJS_MSG_NONE);
    builds(&ans, "{\"ProtocolVersion\":\"1.0\",\"SenderID\":\"42FFFF\",\"ReceiverID\":\"70B3D57ED0000000\","
                 "\"TransactionID\":0,\"MessageType\":\"\",\"SenderToken\":\"01\","
                 "\"Result\":{\"ResultCode\":\"MalformedRequest\"}}");
    assert_int_equal(ans.transaction_id, 0);
}

static void test_answer(void **state)
{
    static const struct {
        const char *member, *value;
        ljs_err want;
    } rows[] = {
        { "ProtocolVersion", "\"1.1\"", LJS_OK }, /* some servers answer in one version only */
        { "ReceiverToken", NULL, LJS_OK },
        { "SenderID", "\"70b3d57ed0000000\"", LJS_OK },
        { "SenderID", "\"0x70b3d57ed0000000\"", LJS_OK },
        { "SenderID", "\"70B3D57ED0000001\"", LJS_E_MESSAGE },
        { "SenderID", "\"70B3D57ED00000\"", LJS_E_MESSAGE },
        { "SenderID", NULL, LJS_E_MESSAGE },
        { "ReceiverID", "\"42ffff\"", LJS_OK },
        { "ReceiverID", "\"42fffe\"", LJS_E_MESSAGE },
        { "ReceiverID", "\"\"", LJS_E_MESSAGE },
        { "TransactionID", "1", LJS_E_MESSAGE },
        { "TransactionID", "\"0\"", LJS_E_MESSAGE },
        { "TransactionID", NULL, LJS_E_MESSAGE },
        { "MessageType", "\"RejoinAns\"", LJS_E_MESSAGE },
        { "MessageType", "\"JoinReq\"", LJS_E_MESSAGE },
        { "MessageType", "\"\"", LJS_E_MESSAGE },
        { "Result", NULL, LJS_E_MESSAGE },
        { "Result", "{\"ResultCode\":\"UnknownDevEUI\"}", LJS_E_DEVICE },
        { "Result", "{\"ResultCode\":\"MICFailed\"}", LJS_E_MIC },
        { "Result", "{\"ResultCode\":\"MalformedRequest\"}", LJS_E_MESSAGE },
        { "Result", "{\"ResultCode\":\"NoSuchCode\"}", LJS_E_MESSAGE },
        { "PHYPayload", NULL, LJS_E_MESSAGE },
        { "NwkSKey", NULL, LJS_E_MESSAGE },
    };
    ljs_message req, m;

    (void)state;
    parse_ok(&req, JOIN_REQ);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *text = changed_text(JOIN_ANS, NULL, rows[i].member, rows[i].value);
        ljs_err err = ljs_message_answer(&m, &req, (uint8_t *)text, strlen(text));

        if (err != rows[i].want)
            fail_msg("%s=%s: %s", rows[i].member, rows[i].value ? rows[i].value : "absent", ljs_errname(err));
        if (err == LJS_E_MESSAGE)
            is_empty(&m);
        else
            assert_int_equal(m.result, err);
        free(text);
    }
    assert_int_equal(ljs_message_answer(&m, &req, (const uint8_t *)"{", 1), LJS_E_MESSAGE);
    is_empty(&m);
    /* who asked nothing has no answer */
    parse_ok(&req, JOIN_ANS);
    assert_int_equal(ljs_message_answer(&m, &req, (const uint8_t *)JOIN_ANS, strlen(JOIN_ANS)), LJS_E_INVAL);
    is_empty(&m);
}

static void test_answer_of_app_s_key(void **state)
{
    const char *base = "{\"ProtocolVersion\":\"1.1\",\"TransactionID\":9,\"MessageType\":\"AppSKeyAns\","
                       "\"SenderID\":\"0000000000000001\",\"ReceiverID\":\"as\",\"DevEUI\":\"0102030405060708\","
                       "\"Result\":{\"ResultCode\":\"Success\"},\"AppSKey\":" CLEAR ",\"SessionKeyID\":\"0102\"}";
    static const struct {
        const char *member, *value;
        ljs_err want;
    } rows[] = {
        { "DevEUI", NULL, LJS_OK },
        { "DevEUI", "\"0102030405060709\"", LJS_E_MESSAGE },
        { "SessionKeyID", NULL, LJS_OK },
        { "SessionKeyID", "\"0103\"", LJS_E_MESSAGE },
        { "SessionKeyID", "\"010200\"", LJS_E_MESSAGE },
        { "ReceiverID", "\"AS\"", LJS_E_MESSAGE }, /* an AS-ID is text */
        { "AppSKey", NULL, LJS_E_MESSAGE },
    };
    ljs_message req, m;

    (void)state;
    parse_ok(&req,
             "{\"ProtocolVersion\":\"1.1\",\"TransactionID\":9,\"MessageType\":\"AppSKeyReq\",\"SenderID\":\"as\","
             "\"ReceiverID\":\"0000000000000001\",\"DevEUI\":\"0102030405060708\",\"SessionKeyID\":\"0102\"}");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *text = changed_text(base, NULL, rows[i].member, rows[i].value);
        ljs_err err = ljs_message_answer(&m, &req, (uint8_t *)text, strlen(text));

        if (err != rows[i].want)
            fail_msg("%s=%s: %s", rows[i].member, rows[i].value ? rows[i].value : "absent", ljs_errname(err));
        free(text);
    }
    /* an NSID that is not ours */
    parse_ok(&req,
             "{\"ProtocolVersion\":\"1.1\",\"TransactionID\":9,\"MessageType\":\"HomeNSReq\",\"SenderID\":\"000001\","
             "\"SenderNSID\":\"0000000000000007\",\"ReceiverID\":\"0000000000000001\","
             "\"DevEUI\":\"0102030405060708\"}");
    for (int i = 6; i <= 7; i++) {
        char text[400];

        snprintf(text, sizeof text,
                 "{\"ProtocolVersion\":\"1.1\",\"TransactionID\":9,\"MessageType\":\"HomeNSAns\","
                 "\"SenderID\":\"0000000000000001\",\"ReceiverID\":\"000001\",\"ReceiverNSID\":\"000000000000000%d\","
                 "\"Result\":{\"ResultCode\":\"Success\"},\"HNetID\":\"000001\"}",
                 i);
        assert_int_equal(ljs_message_answer(&m, &req, (uint8_t *)text, strlen(text)), i == 7 ? LJS_OK : LJS_E_MESSAGE);
        parse_ok(&m, text);
        assert_int_equal(ljs_message_answers(&m, &req), i == 7);
    }
}

/* ---- building --------------------------------------------------------------- */

static void test_build_refuses(void **state)
{
    ljs_message m, ok;

    (void)state;
    parse_ok(&ok, JOIN_REQ);
#define BROKEN(change) (m = ok, change, cannot_build(&m))
    BROKEN(m.struct_size = 0);
    BROKEN(m.type = LJS_MSG_NONE);
    BROKEN(m.type = (ljs_message_type)9);
    BROKEN(m.type = (ljs_message_type)-1);
    BROKEN(m.protocol = 0);
    BROKEN(m.protocol = 12);
    BROKEN(m.protocol = 11); /* has no SenderNSID */
    BROKEN(m.sender_id[0] = 0);
    BROKEN(m.receiver_id[0] = 0);
    BROKEN(m.sender_id[0] = '\n');
    BROKEN(m.sender_id[0] = (char)0xff);
    BROKEN(memset(m.sender_id, 'x', sizeof m.sender_id));
    BROKEN(m.phy_len = 0);
    BROKEN(m.phy_len = 256);
    BROKEN(m.sender_token_len = 256);
    BROKEN(m.rx_delay = 16);
    BROKEN(m.mac = (ljs_mac)0x0105);
    BROKEN(m.has &= ~(unsigned)LJS_M_TRANSACTION_ID);
    BROKEN(m.has &= ~(unsigned)LJS_M_DEV_EUI);
    BROKEN(m.has &= ~(unsigned)LJS_M_DEV_ADDR);
    BROKEN(m.has &= ~(unsigned)LJS_M_DL_SETTINGS);
    BROKEN(m.has &= ~(unsigned)LJS_M_RX_DELAY);
    BROKEN(m.has &= ~(unsigned)LJS_M_MAC_VERSION);

    parse_ok(&ok, JOIN_ANS);
    BROKEN(m.phy_len = 0);
    BROKEN(m.nwk_s.key_len = 0);
    BROKEN(m.nwk_s.key_len = 17);
    BROKEN(m.nwk_s.key_len = 25);
    BROKEN(m.nwk_s.kek_label[0] = '\t');
    BROKEN(memset(m.app_s.kek_label, 'x', sizeof m.app_s.kek_label));
    BROKEN((m.app_s.key_len = 0, m.session_key_id_len = 0));
    BROKEN(m.session_key_id_len = 65);
    BROKEN(m.description[0] = '\n');
    BROKEN(m.sender_id[0] = 0);
    m = ok;
    m.result = LJS_E_MIC; /* a refusal needs nothing but its result */
    m.sender_id[0] = 0;
    m.phy_len = 0;
    builds(&m, "{\"ProtocolVersion\":\"1.0\",\"SenderID\":\"\",\"ReceiverID\":\"42FFFF\",\"TransactionID\":0,"
               "\"MessageType\":\"JoinAns\",\"ReceiverToken\":\"01\",\"Result\":{\"ResultCode\":\"MICFailed\"},"
               "\"Lifetime\":0}");
}

static void random_text(uint64_t *seed, char *out, size_t room)
{
    static const char *const pieces[] = { "a", "\"", "\\", "/", " ", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                          "0x" };
    size_t len = random_next(seed) % room;

    out[0] = 0;
    for (;;) {
        const char *piece = pieces[random_next(seed) % (sizeof pieces / sizeof *pieces)];

        if (strlen(out) + strlen(piece) > len)
            break;
        strcat(out, piece);
    }
}

static void random_envelope(uint64_t *seed, ljs_envelope *out)
{
    out->key_len = random_next(seed) % 2 ? 16 : 24;
    random_fill(seed, out->key, out->key_len);
    random_text(seed, out->kek_label, sizeof out->kek_label);
}

static size_t random_octets(uint64_t *seed, uint8_t *out, size_t least, size_t most)
{
    size_t len = least + random_next(seed) % (most - least + 1);

    random_fill(seed, out, len);
    return len;
}

/* A message of any type with all that it must have and some of what it may have. */
static void random_message(uint64_t *seed, ljs_message *m)
{
    static const ljs_mac macs[] = { LJS_MAC_1_0_0, LJS_MAC_1_0_1, LJS_MAC_1_0_2,
                                    LJS_MAC_1_0_3, LJS_MAC_1_0_4, LJS_MAC_1_1 };
    static const ljs_err results[] = { LJS_OK, LJS_OK, LJS_E_MIC, LJS_E_DEVICE, LJS_E_REPLAY, LJS_E_BUSY };
    bool answer, activation, coin = random_next(seed) % 2;

    ljs_message_init(m);
    m->type = (ljs_message_type)(1 + random_next(seed) % 8);
    answer = m->type % 2 == 0;
    activation = m->type <= LJS_MSG_REJOIN_ANS;
    m->protocol = random_next(seed) % 2 ? 10 : 11;
    m->transaction_id = (uint32_t)random_next(seed);
    m->has = LJS_M_TRANSACTION_ID;
    do
        random_text(seed, m->sender_id, sizeof m->sender_id);
    while (!m->sender_id[0]);
    do
        random_text(seed, m->receiver_id, sizeof m->receiver_id);
    while (!m->receiver_id[0]);
    m->sender_token_len = random_octets(seed, m->sender_token, 0, sizeof m->sender_token);
    m->receiver_token_len = random_octets(seed, m->receiver_token, 0, sizeof m->receiver_token);
    if (m->protocol == 11 && m->type != LJS_MSG_APP_S_KEY_REQ && m->type != LJS_MSG_APP_S_KEY_ANS) {
        m->has |= LJS_M_SENDER_NSID | LJS_M_RECEIVER_NSID;
        m->sender_ns_id = random_next(seed);
        m->receiver_ns_id = random_next(seed);
    }
    if (answer) {
        m->has |= LJS_M_RESULT;
        m->result = results[random_next(seed) % 6];
        random_text(seed, m->description, sizeof m->description);
        if (m->result || m->type != LJS_MSG_HOME_NS_ANS) {
            m->has |= LJS_M_LIFETIME;
            m->lifetime = (uint32_t)random_next(seed);
        }
    }
    if (answer && m->result && m->type != LJS_MSG_APP_S_KEY_ANS)
        return;
    if (!answer || m->type == LJS_MSG_APP_S_KEY_ANS) {
        m->has |= LJS_M_DEV_EUI;
        m->dev_eui = random_next(seed);
    }
    if (m->type == LJS_MSG_APP_S_KEY_REQ || m->type == LJS_MSG_APP_S_KEY_ANS || (answer && activation))
        m->session_key_id_len = random_octets(seed, m->session_key_id, 1, sizeof m->session_key_id);
    if (answer && m->result)
        return;
    if (activation)
        m->phy_len = random_octets(seed, m->phy, 1, sizeof m->phy);
    if (activation && !answer) {
        m->has |= LJS_M_DEV_ADDR | LJS_M_DL_SETTINGS | LJS_M_RX_DELAY | LJS_M_MAC_VERSION;
        m->mac = macs[random_next(seed) % 6];
        m->dev_addr = (ljs_devaddr)random_next(seed);
        m->dl_settings = (uint8_t)random_next(seed);
        m->rx_delay = random_next(seed) % 16;
        if (coin) {
            m->has |= LJS_M_CF_LIST;
            random_fill(seed, m->cf_list, sizeof m->cf_list);
        }
    }
    if (activation && answer) {
        if (coin)
            random_envelope(seed, &m->nwk_s);
        else {
            random_envelope(seed, &m->s_nwk_s_int);
            random_envelope(seed, &m->f_nwk_s_int);
            random_envelope(seed, &m->nwk_s_enc);
        }
    }
    if (answer && m->type != LJS_MSG_HOME_NS_ANS)
        random_envelope(seed, &m->app_s);
    if (m->type == LJS_MSG_HOME_NS_ANS) {
        m->has |= LJS_M_H_NET_ID;
        m->h_net_id = random_next(seed) & 0xffffff;
        if (m->protocol == 11) {
            m->has |= LJS_M_H_NS_ID;
            m->h_ns_id = random_next(seed);
        }
    }
}

static void test_round_trip(void **state)
{
    uint64_t seed = 1;

    (void)state;
    for (unsigned n = 0; n < 5000; n++) {
        ljs_message m, back;
        char *text, *again;

        random_message(&seed, &m);
        text = build(&m);
        parse_ok(&back, text);
        same_message(&back, &m);
        again = build(&back);
        assert_string_equal(again, text);
        free(again);
        free(text);
    }
}

static void test_identifiers(void **state)
{
    ljs_eui eui = 1;
    uint32_t number = 1;

    (void)state;
    assert_int_equal(ljs_eui_parse(&eui, "70B3d57eD0000001"), LJS_OK);
    assert_true(eui == 0x70b3d57ed0000001);
    assert_int_equal(ljs_eui_parse(&eui, "0xffffffffffffffff"), LJS_OK);
    assert_true(eui == UINT64_MAX);
    assert_int_equal(ljs_eui_parse(&eui, "70B3d57eD000000"), LJS_E_INVAL);
    assert_true(eui == 0);
    assert_int_equal(ljs_eui_parse(&eui, "70B3d57eD00000011"), LJS_E_INVAL);
    assert_int_equal(ljs_eui_parse(&eui, "70-B3-D5-7E-D0-00-00-01"), LJS_E_INVAL);
    assert_int_equal(ljs_eui_parse(&eui, ""), LJS_E_INVAL);
    assert_int_equal(ljs_eui_parse(&eui, NULL), LJS_E_INVAL);
    assert_int_equal(ljs_eui_parse(&eui, "0x0x70B3d57eD0000001"), LJS_E_INVAL);
    assert_int_equal(ljs_dev_addr_parse(&number, "FC00ac10"), LJS_OK);
    assert_int_equal(number, 0xfc00ac10);
    assert_int_equal(ljs_dev_addr_parse(&number, "FC00ac1"), LJS_E_INVAL);
    assert_int_equal(number, 0);
    assert_int_equal(ljs_dev_addr_parse(&number, "000013"), LJS_E_INVAL);
    assert_int_equal(ljs_net_id_parse(&number, "0x000013"), LJS_OK);
    assert_int_equal(number, 0x13);
    assert_int_equal(ljs_net_id_parse(&number, "00000013"), LJS_E_INVAL);
    assert_int_equal(ljs_net_id_parse(&number, NULL), LJS_E_INVAL);

    assert_string_equal(ljs_message_type_text(LJS_MSG_NONE), "");
    assert_string_equal(ljs_message_type_text(LJS_MSG_HOME_NS_ANS), "HomeNSAns");
    assert_string_equal(ljs_message_type_text((ljs_message_type)9), "");
    assert_string_equal(ljs_message_type_text((ljs_message_type)-1), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exchanges),      cmocka_unit_test(test_messages),
        cmocka_unit_test(test_small_vectors),  cmocka_unit_test(test_chirpstack),
        cmocka_unit_test(test_things_stack),   cmocka_unit_test(test_app_s_key),
        cmocka_unit_test(test_header_members), cmocka_unit_test(test_request_members),
        cmocka_unit_test(test_ns_ids),         cmocka_unit_test(test_lenient),
        cmocka_unit_test(test_strict_json),    cmocka_unit_test(test_envelopes),
        cmocka_unit_test(test_answer_members), cmocka_unit_test(test_description),
        cmocka_unit_test(test_home_ns),        cmocka_unit_test(test_reply),
        cmocka_unit_test(test_answer),         cmocka_unit_test(test_answer_of_app_s_key),
        cmocka_unit_test(test_build_refuses),  cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_identifiers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
