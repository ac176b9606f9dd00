/* Whoever writes to the disk, without the master key: values pasted under other keys of the store.
 * Whatever is asked of the server then, it says so and writes nothing. */
#include "server_world.h"

static const ljs_eui eui[] = { DEV, DEV + 1 };

static ljs_buf raw(struct world *w, const char *key, size_t key_len, uint64_t *version)
{
    ljs_buf value;

    assert_int_equal(ljs_store_get(&value, version, w->store, (const uint8_t *)key, key_len), LJS_OK);
    return value;
}

static void put_raw(struct world *w, const char *key, size_t key_len, const ljs_buf *value)
{
    uint64_t version;
    ljs_buf was = raw(w, key, key_len, &version);
    ljs_change change = {
        .key = (const uint8_t *)key, .key_len = key_len, .in = value->data, .in_len = value->len, .if_version = version
    };

    assert_int_equal(ljs_store_commit(w->store, &change, 1), LJS_OK);
    assert_int_equal(change.result, LJS_OK);
    ljs_buf_free(&was);
}

static void key_of_device(char out[9], ljs_eui dev_eui)
{
    out[0] = 'd';
    for (unsigned i = 0; i < 8; i++)
        out[1 + i] = (char)(dev_eui >> (56 - 8 * i));
}

static void test_devices_swapped(void **state)
{
    const ljs_root_keys keys = { .nwk = nwk, .app = app };
    const struct say say = { 0 };
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 1);
    struct world w;
    ljs_buf value[2], now;
    uint64_t version;
    char key[2][9];

    (void)state;
    lab_begin(&w, NULL);
    for (unsigned i = 0; i < 2; i++) {
        d.dev_eui = eui[i];
        added(&w, &d);
        key_of_device(key[i], eui[i]);
        value[i] = raw(&w, key[i], sizeof key[i], &version);
    }
    for (unsigned i = 0; i < 2; i++)
        put_raw(&w, key[i], sizeof key[i], &value[1 - i]);
    for (unsigned i = 0; i < 2; i++) {
        d.dev_eui = eui[i];
        assert_int_equal(ljs_server_get_device(&now, w.server, eui[i]), LJS_E_SEAL);
        assert_int_not_equal(ljs_server_make_device(w.server, &d, &keys, LJS_MAKE_REPLACE_KEYS, NO_NONCE, NULL, 0),
                             LJS_OK);
        assert_int_equal(ljs_server_add_join_eui(w.server, eui[i], EUI2), LJS_E_SEAL);
        for (ljs_device_act act = LJS_DEVICE_BLOCK; act <= LJS_DEVICE_REMOVE; act++)
            assert_int_equal(ljs_server_step_device(w.server, eui[i], act), LJS_E_SEAL);
    }
    asked(&w, NULL, join_text(&say, &req), "Other");
    for (unsigned i = 0; i < 2; i++) {
        now = raw(&w, key[i], sizeof key[i], &version);
        assert_int_equal(now.len, value[1 - i].len);
        assert_memory_equal(now.data, value[1 - i].data, now.len);
        ljs_buf_free(&now);
        put_raw(&w, key[i], sizeof key[i], &value[i]);
    }
    asked(&w, NULL, join_text(&say, &req), "Success"); /* each in its place again */
    for (unsigned i = 0; i < 2; i++)
        ljs_buf_free(&value[i]);
    server_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_devices_swapped) };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
