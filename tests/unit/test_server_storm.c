/* A device that rejoins without end, or somebody who makes it so. */
#include <lorajs/server.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { DEV = 0x0102030405060708, EUI = 0x1112131415161718, NET = 0x13, WINDOW = 60 };

static ljs_vault *vault;
static ljs_store *store;
static ljs_server *server;
static ljs_key *nwk, *app, *js_int;
static uint16_t rj_count1, dev_nonce;

static int begin(void **state)
{
    static const uint8_t master[32] = { 3 };
    const ljs_server_opts opts = { .struct_size = sizeof opts,
                                   .anonymous = 1,
                                   .clear = LJS_CLEAR_NS | LJS_CLEAR_AS,
                                   .rejoin_window = *state ? 0 : WINDOW };
    const ljs_derivation what = { .name = LJS_KEY_JS_INT, .scheme = LJS_SCHEME_1_1, .dev_eui = DEV };
    const ljs_device d = { .struct_size = sizeof d, .dev_eui = DEV, .join_eui = EUI, .mac = LJS_MAC_1_1 };
    ljs_root_keys keys;

    assert_int_equal(ljs_vault_new(&vault, master, sizeof master), LJS_OK);
    assert_int_equal(ljs_store_memory(&store), LJS_OK);
    assert_int_equal(ljs_server_new(&server, vault, store, &opts), LJS_OK);
    assert_int_equal(ljs_key_generate(&nwk, 16), LJS_OK);
    assert_int_equal(ljs_key_generate(&app, 16), LJS_OK);
    assert_int_equal(ljs_derive(&js_int, &what, nwk), LJS_OK);
    keys = (ljs_root_keys){ .nwk = nwk, .app = app };
    assert_int_equal(ljs_server_make_device(server, &d, &keys, 0, -1, NULL, 0), LJS_OK);
    rj_count1 = dev_nonce = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    ljs_server_free(server);
    ljs_store_free(store);
    ljs_vault_free(vault);
    ljs_key_free(nwk);
    ljs_key_free(app);
    ljs_key_free(js_int);
    return 0;
}

static ljs_err ask(ljs_frame_kind kind, uint16_t nonce, int64_t now)
{
    const ljs_frame frame = { .kind = kind, .join_eui = EUI, .dev_eui = DEV, .nonce = nonce };
    ljs_message req, ans;
    ljs_buf phy, text, out;

    ljs_message_init(&req);
    req.type = kind == LJS_FRAME_JOIN ? LJS_MSG_JOIN_REQ : LJS_MSG_REJOIN_REQ;
    req.has =
        LJS_M_TRANSACTION_ID | LJS_M_MAC_VERSION | LJS_M_DEV_EUI | LJS_M_DEV_ADDR | LJS_M_DL_SETTINGS | LJS_M_RX_DELAY;
    snprintf(req.sender_id, sizeof req.sender_id, "%06x", NET);
    snprintf(req.receiver_id, sizeof req.receiver_id, "%016llx", (unsigned long long)EUI);
    req.mac = LJS_MAC_1_1;
    req.dev_eui = DEV;
    req.dl_settings = 0x80;
    assert_int_equal(ljs_frame_sign(&phy, &frame, kind == LJS_FRAME_JOIN ? nwk : js_int), LJS_OK);
    memcpy(req.phy, phy.data, phy.len);
    req.phy_len = phy.len;
    assert_int_equal(ljs_message_build(&text, &req), LJS_OK);
    assert_int_equal(ljs_server_handle(&out, server, NULL, now, text.data, text.len), LJS_OK);
    assert_int_equal(ljs_message_parse(&ans, out.data, out.len), LJS_OK);
    ljs_buf_free(&phy);
    ljs_buf_free(&text);
    ljs_buf_free(&out);
    return ans.result;
}

static uint32_t next_join_nonce(void)
{
    ljs_device d;
    ljs_buf record;

    assert_int_equal(ljs_server_get_device(&record, server, DEV), LJS_OK);
    assert_int_equal(ljs_device_read(&d, record.data, record.len), LJS_OK);
    ljs_buf_free(&record);
    return d.next_join_nonce;
}

static void test_guard(void **state)
{
    int64_t now = 1700000000;
    uint32_t was;

    (void)state;
    assert_int_equal(ask(LJS_FRAME_JOIN, dev_nonce++, now), LJS_OK);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(ask(LJS_FRAME_REJOIN1, rj_count1++, now + i), LJS_OK);
    was = next_join_nonce();
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(ask(LJS_FRAME_REJOIN1, rj_count1, now + 8), LJS_E_BUSY);
    assert_int_equal(next_join_nonce(), was); /* nothing burnt, the counter neither */
    /* The last one answered is answered again: a network server that missed it loses nothing. */
    assert_int_equal(ask(LJS_FRAME_REJOIN1, (uint16_t)(rj_count1 - 1), now + 8), LJS_OK);
    assert_int_equal(next_join_nonce(), was);
    /* A replay is called one, and no storm. */
    assert_int_equal(ask(LJS_FRAME_REJOIN1, 0, now + 8), ljs_result_err("JoinReqFailed"));
    /* When the first of them is old enough, one more; then a join, which is no rejoin, makes room. */
    assert_int_equal(ask(LJS_FRAME_REJOIN1, rj_count1++, now + WINDOW), LJS_OK);
    assert_int_equal(ask(LJS_FRAME_REJOIN1, rj_count1, now + WINDOW), LJS_E_BUSY);
    assert_int_equal(ask(LJS_FRAME_JOIN, dev_nonce++, now + WINDOW), LJS_OK);
    assert_int_equal(ask(LJS_FRAME_REJOIN1, rj_count1++, now + WINDOW), LJS_OK);
}

static void test_no_guard(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(ask(LJS_FRAME_REJOIN1, rj_count1++, 1700000000), LJS_OK);
}

static void test_time_unknown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(ask(LJS_FRAME_REJOIN1, rj_count1++, 0), LJS_OK);
}

int main(void)
{
    static int off = 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_guard, begin, end),
        cmocka_unit_test_setup_teardown(test_time_unknown, begin, end),
        cmocka_unit_test_prestate_setup_teardown(test_no_guard, begin, end, &off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
