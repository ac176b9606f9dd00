/* What a newer lorajs tells of a device is not overwritten by an older one. */
#include "base/pack.h"
#include "keys/vault.h"

#include <lorajs/backend.h>
#include <lorajs/server.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { DEV = 0x0102030405060708, EUI = 0x1112131415161718 };

static void test_newer_schema_stays(void **state)
{
    static const uint8_t master[32] = { 5 }, place[] = { 'w', 1, 2, 3, 4, 5, 6, 7, 8 };
    const ljs_server_opts opts = { .struct_size = sizeof opts, .anonymous = 1 };
    const ljs_device d = { .struct_size = sizeof d, .dev_eui = DEV, .join_eui = EUI, .mac = LJS_MAC_1_0_4 };
    char text[512];
    ljs_vault *vault;
    ljs_store *store;
    ljs_server *server;
    ljs_key *key;
    ljs_root_keys keys = { .nwk = NULL };
    ljs_event e;
    ljs_buf out, value;
    uint64_t version;
    struct wr w = { 0 };
    ljs_change change = { .key = place, .key_len = sizeof place };

    (void)state;
    assert_int_equal(ljs_vault_new(&vault, master, sizeof master), LJS_OK);
    assert_int_equal(ljs_store_memory(&store), LJS_OK);
    assert_int_equal(ljs_server_new(&server, vault, store, &opts), LJS_OK);
    assert_int_equal(ljs_key_generate(&key, 16), LJS_OK);
    keys.nwk = key;
    assert_int_equal(ljs_server_make_device(server, &d, &keys, 0, -1, NULL, 0), LJS_OK);
    ljs__pack_array(&w, 3);
    ljs__pack_uint(&w, 99); /* a schema of the future */
    ljs__pack_uint(&w, DEV);
    ljs__pack_text(&w, "whatever it says there");
    assert_int_equal(ljs__vault_tag(&w, vault, TAG_LOG), LJS_OK);
    change.in = w.data;
    change.in_len = w.len;
    assert_int_equal(ljs_store_commit(store, &change, 1), LJS_OK);
    assert_int_equal(change.result, LJS_OK);

    /* A refusal that is worth telling: no KEK. */
    snprintf(
        text, sizeof text,
        "{\"ProtocolVersion\":\"1.0\",\"SenderID\":\"000013\",\"ReceiverID\":\"%016llx\",\"TransactionID\":1,"
        "\"MessageType\":\"JoinReq\",\"MACVersion\":\"1.0.4\",\"PHYPayload\":\"00181716151413121108070605040302010100"
        "00000000\",\"DevEUI\":\"%016llx\",\"DevAddr\":\"01020304\",\"DLSettings\":\"00\",\"RxDelay\":1}",
        (unsigned long long)EUI, (unsigned long long)DEV);
    assert_int_equal(ljs_server_handle(&out, server, NULL, 1, (const uint8_t *)text, strlen(text)), LJS_OK);
    assert_int_equal(ljs_server_count(server, LJS_MSG_JOIN_REQ, LJS_E_KEK), 1);
    ljs_buf_free(&out);
    assert_int_equal(ljs_server_flush(server), LJS_OK);
    assert_int_equal(ljs_server_decision(&e, server, DEV, 0), LJS_E_VERSION);
    assert_int_equal(ljs_store_get(&value, &version, store, place, sizeof place), LJS_OK);
    assert_int_equal(value.len, w.len);
    assert_memory_equal(value.data, w.data, w.len);

    ljs_buf_free(&value);
    ljs__wr_drop(&w);
    ljs_key_free(key);
    ljs_server_free(server);
    ljs_store_free(store);
    ljs_vault_free(vault);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_newer_schema_stays) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
