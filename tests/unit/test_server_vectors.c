/* Recorded and computed Backend Interfaces exchanges, through the server as a whole. */
#include <lorajs/server.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "vectors.h"

struct world {
    ljs_vault *vault;
    ljs_store *store;
    ljs_server *server;
};

static struct world begin(void)
{
    static const uint8_t master[32] = { 7, 1, 4 };
    const ljs_server_opts opts = { .struct_size = sizeof opts, .anonymous = 1, .clear = LJS_CLEAR_NS | LJS_CLEAR_AS };
    struct world w;

    assert_int_equal(ljs_vault_new(&w.vault, master, sizeof master), LJS_OK);
    assert_int_equal(ljs_store_memory(&w.store), LJS_OK);
    assert_int_equal(ljs_server_new(&w.server, w.vault, w.store, &opts), LJS_OK);
    return w;
}

static void end(struct world *w)
{
    ljs_server_free(w->server);
    ljs_store_free(w->store);
    ljs_vault_free(w->vault);
    memset(w, 0, sizeof *w);
}

static ljs_key *key_of(json_t *v, const char *path)
{
    uint8_t octets[32];
    ljs_key *key = NULL;

    if (vector_has(v, path))
        assert_int_equal(ljs_key_import(&key, octets, vector_hex(octets, sizeof octets, v, path)), LJS_OK);
    return key;
}

static void add_keks(struct world *w, json_t *v)
{
    json_t *keks = vector_find(v, "inputs.keks"), *value;
    const char *label;

    json_object_foreach(keks, label, value)
    {
        char path[80];
        ljs_key *kek;

        snprintf(path, sizeof path, "inputs.keks.%s", label);
        kek = key_of(v, path);
        assert_int_equal(ljs_server_put_kek(w->server, label, kek, 0), LJS_OK);
        ljs_key_free(kek);
    }
}

static void add_device(struct world *w, json_t *v)
{
    ljs_device d = { .struct_size = sizeof d };
    ljs_key *nwk = key_of(v, "inputs.device.nwk_key"), *app = key_of(v, "inputs.device.app_key");
    ljs_root_keys keys = { .nwk = nwk, .app = app };
    const char *version = vector_has(v, "inputs.device.mac_version") ? vector_text(v, "inputs.device.mac_version")
                                                                     : vector_text(v, "lorawan_version");

    d.dev_eui = vector_number(v, "inputs.device.dev_eui");
    d.join_eui = vector_number(v, "inputs.device.join_eui");
    if (ljs_mac_parse(&d.mac, version)) /* HomeNSReq names no version */
        d.mac = LJS_MAC_1_1;
    d.next_join_nonce = (uint32_t)vector_number(v, "inputs.device.join_nonce_next");
    if (vector_has(v, "inputs.device.home_net_id")) {
        d.has_home_net_id = 1;
        d.home_net_id = (ljs_netid)vector_number(v, "inputs.device.home_net_id");
    }
    if (vector_has(v, "inputs.device.ns_kek_label"))
        strcpy(d.ns_kek_label, vector_text(v, "inputs.device.ns_kek_label"));
    if (vector_has(v, "inputs.device.as_kek_label"))
        strcpy(d.as_kek_label, vector_text(v, "inputs.device.as_kek_label"));
    assert_int_equal(ljs_server_make_device(w->server, &d, &keys, LJS_MAKE_ALLOW_WEAK, -1, NULL, 0), LJS_OK);
    ljs_key_free(nwk);
    ljs_key_free(app);
}

static void expect_envelope(json_t *v, const char *name, const ljs_envelope *got)
{
    char path[80];
    uint8_t want[24];
    json_t *label;

    snprintf(path, sizeof path, "expected.keys.%s", name);
    if (!vector_has(v, path)) {
        assert_int_equal(got->key_len, 0);
        return;
    }
    snprintf(path, sizeof path, "expected.keys.%s.KEKLabel", name);
    label = vector_find(v, path);
    assert_string_equal(got->kek_label, label ? json_string_value(label) : "");
    snprintf(path, sizeof path, "expected.keys.%s.AESKey", name);
    {
        const char *hex = vector_text(v, path);

        assert_int_equal(got->key_len * 2, strlen(hex));
        for (size_t i = 0; i < got->key_len; i++) {
            unsigned octet;

            assert_int_equal(sscanf(hex + 2 * i, "%2x", &octet), 1);
            want[i] = (uint8_t)octet;
        }
    }
    assert_memory_equal(got->key, want, got->key_len);
}

static void expect_hex(const char *hex, const uint8_t *got, size_t len)
{
    assert_int_equal(strlen(hex), 2 * len);
    for (size_t i = 0; i < len; i++) {
        unsigned octet;

        assert_int_equal(sscanf(hex + 2 * i, "%2x", &octet), 1);
        assert_int_equal(octet, got[i]);
    }
}

static void run(struct world *w, json_t *v)
{
    const char *request = vector_text(v, "inputs.request");
    ljs_buf out;
    ljs_message msg;

    assert_int_equal(ljs_server_handle(&out, w->server, NULL, 1700000000, (const uint8_t *)request, strlen(request)),
                     LJS_OK);
    assert_int_equal(ljs_message_parse(&msg, out.data, out.len), LJS_OK);
    if (msg.result != ljs_result_err(vector_text(v, "expected.result_code")))
        print_error("%s: %.*s\n", vector_id(v), (int)out.len, (const char *)out.data);
    assert_int_equal(msg.result, ljs_result_err(vector_text(v, "expected.result_code")));
    assert_string_equal(ljs_message_type_text(msg.type), vector_text(v, "expected.answer_type"));
    assert_string_equal(msg.sender_id, vector_text(v, "expected.sender_id"));
    assert_string_equal(msg.receiver_id, vector_text(v, "expected.receiver_id"));
    assert_int_equal(msg.transaction_id, vector_number(v, "expected.transaction_id"));
    expect_envelope(v, "NwkSKey", &msg.nwk_s);
    expect_envelope(v, "FNwkSIntKey", &msg.f_nwk_s_int);
    expect_envelope(v, "SNwkSIntKey", &msg.s_nwk_s_int);
    expect_envelope(v, "NwkSEncKey", &msg.nwk_s_enc);
    expect_envelope(v, "AppSKey", &msg.app_s);
    if (vector_has(v, "expected.PHYPayload"))
        expect_hex(vector_text(v, "expected.PHYPayload"), msg.phy, msg.phy_len);
    if (vector_has(v, "derived.PHYPayload"))
        expect_hex(vector_text(v, "derived.PHYPayload"), msg.phy, msg.phy_len);
    if (vector_has(v, "expected.HNetID")) {
        ljs_netid want;

        assert_int_equal(ljs_net_id_parse(&want, vector_text(v, "expected.HNetID")), LJS_OK);
        assert_int_equal(msg.h_net_id, want);
    }
    ljs_buf_free(&out);
}

static struct world device_a; /* the computed vectors tell the life of one device */

static void check(json_t *v)
{
    bool computed = strncmp(vector_id(v), "computed-devA-", 14) == 0;
    struct world w = { 0 };

    if (!computed) {
        w = begin();
        add_keks(&w, v);
        add_device(&w, v);
        run(&w, v);
        end(&w);
        return;
    }
    if (!device_a.server) {
        device_a = begin();
        add_device(&device_a, v);
    }
    run(&device_a, v);
}

static void test_exchanges(void **state)
{
    (void)state;
    vectors_each("backend_exchange", 16, check);
    end(&device_a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_exchanges) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
