/* Every known answer that is about keys, through the public functions alone. */
#include <lorajs/keys.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "vectors.h"

static ljs_key *key_of(json_t *v, const char *path)
{
    uint8_t octets[32];
    size_t len = vector_hex(octets, sizeof octets, v, path);
    ljs_key *key;

    assert_int_equal(ljs_key_import(&key, octets, len), LJS_OK);
    return key;
}

static void expect_key(ljs_key *key, json_t *v, const char *path)
{
    uint8_t want[32];
    size_t want_len = vector_hex(want, sizeof want, v, path);
    ljs_buf got;

    assert_int_equal(ljs_key_export(&got, key), LJS_OK);
    assert_int_equal(got.len, want_len);
    assert_memory_equal(got.data, want, want_len);
    ljs_buf_free(&got);
    ljs_key_free(key);
}

static void expect_octets(const uint8_t *got, size_t got_len, json_t *v, const char *path)
{
    uint8_t want[128];

    assert_int_equal(got_len, vector_hex(want, sizeof want, v, path));
    assert_memory_equal(got, want, got_len);
}

static void aes_block(json_t *v)
{
    ljs_key *key = key_of(v, "inputs.key");
    uint8_t in[16], out[16], back[16];

    assert_int_equal(vector_hex(in, sizeof in, v, "inputs.block"), 16);
    assert_int_equal(ljs_aes_encrypt(out, key, in, sizeof in), LJS_OK);
    expect_octets(out, sizeof out, v, "expected.ciphertext");
    assert_int_equal(ljs_aes_decrypt(back, key, out, sizeof out), LJS_OK);
    assert_memory_equal(back, in, sizeof in);
    assert_int_equal(ljs_aes_encrypt(out, key, in, 15), LJS_E_INVAL);
    assert_int_equal(ljs_aes_decrypt(out, key, in, 0), LJS_E_INVAL);
    ljs_key_free(key);
}

static void aes_cmac(json_t *v)
{
    ljs_key *key = key_of(v, "inputs.key");
    uint8_t in[64], out[16];
    size_t len = vector_hex(in, sizeof in, v, "inputs.message");

    assert_int_equal(ljs_aes_cmac(out, key, in, len), LJS_OK);
    expect_octets(out, sizeof out, v, "expected.mac");
    ljs_key_free(key);
}

static void key_wrap(json_t *v)
{
    ljs_key *kek = key_of(v, "inputs.kek");
    uint8_t in[64];
    size_t len = vector_hex(in, sizeof in, v, "inputs.key");
    ljs_buf wrapped, back;

    assert_int_equal(ljs_key_wrap(&wrapped, kek, in, len), LJS_OK);
    expect_octets(wrapped.data, wrapped.len, v, "expected.wrapped");
    assert_int_equal(ljs_key_unwrap(&back, kek, wrapped.data, wrapped.len), LJS_OK);
    assert_int_equal(back.len, len);
    assert_memory_equal(back.data, in, len);
    ljs_buf_free(&wrapped);
    ljs_buf_free(&back);
    ljs_key_free(kek);
}

static void key_wrap_error(json_t *v)
{
    uint8_t kek_octets[32], in[64];
    size_t kek_len = vector_hex(kek_octets, sizeof kek_octets, v, "inputs.kek");
    size_t len = vector_hex(in, sizeof in, v, "inputs.key");
    ljs_key *kek;
    ljs_buf out;

    if (vector_is(v, "tts-wrap-bad-kek")) {
        assert_int_equal(ljs_key_import(&kek, kek_octets, kek_len), LJS_E_INVAL);
        assert_null(kek);
        return;
    }
    assert_int_equal(ljs_key_import(&kek, kek_octets, kek_len), LJS_OK);
    assert_int_equal(ljs_key_wrap(&out, kek, in, len), LJS_E_INVAL);
    assert_null(out.data);
    ljs_key_free(kek);
}

static void key_unwrap_error(json_t *v)
{
    ljs_key *kek = key_of(v, "inputs.kek");
    uint8_t in[64];
    size_t len = vector_hex(in, sizeof in, v, "inputs.wrapped");
    ljs_buf out;

    assert_int_equal(ljs_key_unwrap(&out, kek, in, len),
                     vector_is(v, "tts-unwrap-wrong-kek") ? LJS_E_SEAL : LJS_E_INVAL);
    assert_null(out.data);
    ljs_key_free(kek);
}

static void key_envelope(json_t *v)
{
    ljs_key *key = key_of(v, "inputs.key"), *opened;
    ljs_key *kek = vector_has(v, "inputs.kek") ? key_of(v, "inputs.kek") : NULL;
    ljs_envelope e;

    assert_int_equal(ljs_envelope_seal(&e, key, kek, vector_text(v, "inputs.kek_label")), LJS_OK);
    assert_string_equal(e.kek_label, vector_text(v, "inputs.kek_label"));
    expect_octets(e.key, e.key_len, v, "expected.AESKey");
    assert_int_equal(ljs_envelope_open(&opened, &e, kek), LJS_OK);
    expect_key(opened, v, "inputs.key");
    ljs_key_free(key);
    ljs_key_free(kek);
}

static void request_mic(json_t *v, ljs_frame_kind kind)
{
    ljs_key *key = key_of(v, "inputs.key");
    uint8_t phy[LJS_FRAME_MAX];
    size_t len = vector_hex(phy, sizeof phy, v, "expected.frame");
    ljs_frame frame;
    ljs_buf built;

    assert_int_equal(ljs_frame_verify(key, phy, len), LJS_OK);
    assert_int_equal(ljs_frame_parse(&frame, phy, len), LJS_OK);
    assert_int_equal(frame.kind, kind);
    expect_octets(frame.mic, sizeof frame.mic, v, "expected.mic");
    memset(frame.mic, 0, sizeof frame.mic);
    assert_int_equal(ljs_frame_sign(&built, &frame, key), LJS_OK);
    expect_octets(built.data, built.len, v, "expected.frame");
    ljs_buf_free(&built);

    /* The MIC is over every bit: MHDR and rejoin type are the parser's to refuse. */
    for (size_t bit = 0; bit < 8 * len; bit++) {
        phy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ljs_err want = ljs_frame_parse(&frame, phy, len);
        assert_int_equal(ljs_frame_verify(key, phy, len), want ? want : LJS_E_MIC);
        phy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ljs_key_free(key);
}

static void join_request_mic(json_t *v)
{
    request_mic(v, LJS_FRAME_JOIN);
}

static void rejoin_request_mic(json_t *v)
{
    request_mic(v, (ljs_frame_kind)vector_number(v, "inputs.rejoin_type"));
}

/* A key that stands in the vector, or the root and DevEUI that it is derived from. */
static ljs_key *key_or_derived(json_t *v, const char *name)
{
    char path[64];
    ljs_derivation what = { .name = LJS_KEY_JS_INT };
    ljs_key *root, *key;

    snprintf(path, sizeof path, "inputs.%s.derive", name);
    if (!vector_has(v, path)) {
        snprintf(path, sizeof path, "inputs.%s", name);
        return key_of(v, path);
    }
    if (!strcmp(vector_text(v, path), "JSEncKey"))
        what.name = LJS_KEY_JS_ENC;
    snprintf(path, sizeof path, "inputs.%s.dev_eui", name);
    what.dev_eui = vector_number(v, path);
    snprintf(path, sizeof path, "inputs.%s.nwk_key", name);
    root = key_of(v, path);
    assert_int_equal(ljs_derive(&key, &what, root), LJS_OK);
    ljs_key_free(root);
    return key;
}

static ljs_accept_of of_vector(json_t *v)
{
    ljs_accept_of of = { .scheme = LJS_SCHEME_1_0, .kind = LJS_FRAME_JOIN };

    if (!strcmp(vector_text(v, "inputs.mode"), "optneg")) {
        of.scheme = LJS_SCHEME_1_1;
        of.kind = (ljs_frame_kind)vector_number(v, "inputs.join_req_type");
        of.join_eui = vector_number(v, "inputs.join_eui");
        of.nonce = (uint16_t)vector_number(v, "inputs.dev_nonce");
    }
    return of;
}

static void accept_in_clear(ljs_accept *out, json_t *v)
{
    uint8_t clear[LJS_ACCEPT_MAX];
    size_t len = vector_hex(clear, sizeof clear, v, "inputs.plaintext");

    assert_int_equal(ljs_accept_parse(out, clear, len), LJS_OK);
}

static void expect_clear(const ljs_accept *accept, json_t *v)
{
    ljs_buf clear;

    assert_int_equal(ljs_accept_build(&clear, accept), LJS_OK);
    expect_octets(clear.data, clear.len, v, "inputs.plaintext");
    ljs_buf_free(&clear);
}

static void join_accept(json_t *v)
{
    ljs_key *mic_key = key_or_derived(v, "mic_key"), *enc_key = key_or_derived(v, "enc_key");
    ljs_accept_of of = of_vector(v);
    ljs_accept accept, opened;
    uint8_t mic[4], want[4];
    ljs_buf phy;

    accept_in_clear(&accept, v);
    assert_int_equal(ljs_accept_mic(mic, &accept, &of, mic_key), LJS_OK);
    if (vector_hex(want, sizeof want, v, "expected.mic")) /* one source does not print it */
        expect_octets(mic, sizeof mic, v, "expected.mic");
    assert_int_equal(ljs_accept_seal(&phy, &accept, &of, mic_key, enc_key), LJS_OK);
    expect_octets(phy.data, phy.len, v, "expected.frame");
    assert_int_equal(ljs_accept_open(&opened, &of, mic_key, enc_key, phy.data, phy.len), LJS_OK);
    expect_clear(&opened, v);

    for (size_t bit = 0; bit < 8 * phy.len; bit++) {
        static const ljs_accept none;

        phy.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(ljs_accept_open(&opened, &of, mic_key, enc_key, phy.data, phy.len),
                         bit < 8 ? LJS_E_FRAME : LJS_E_MIC);
        assert_memory_equal(&opened, &none, sizeof none);
        phy.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(ljs_accept_open(&opened, &of, mic_key, enc_key, phy.data, phy.len - 1), LJS_E_SIZE);
    ljs_buf_free(&phy);
    ljs_key_free(mic_key);
    ljs_key_free(enc_key);
}

static void join_accept_mic(json_t *v)
{
    ljs_key *mic_key = key_or_derived(v, "mic_key");
    ljs_accept_of of = of_vector(v);
    ljs_accept accept;
    uint8_t mic[4];

    accept_in_clear(&accept, v);
    assert_int_equal(ljs_accept_mic(mic, &accept, &of, mic_key), LJS_OK);
    expect_octets(mic, sizeof mic, v, "expected.mic");
    ljs_key_free(mic_key);
}

/* Derive by name whatever of `names` the vector expects; how many there were. */
struct named {
    const char *path;
    ljs_key_name name;
    const char *root;
};

static size_t derived(json_t *v, ljs_derivation what, const struct named *names, size_t n)
{
    size_t seen = 0;

    for (size_t i = 0; i < n; i++)
        if (vector_has(v, names[i].path)) {
            ljs_key *root = key_of(v, names[i].root), *key;

            what.name = names[i].name;
            assert_int_equal(ljs_derive(&key, &what, root), LJS_OK);
            expect_key(key, v, names[i].path);
            ljs_key_free(root);
            seen++;
        }
    return seen;
}

static void session_keys(json_t *v)
{
    static const struct named keys_11[] = {
        { "expected.FNwkSIntKey", LJS_KEY_F_NWK_S_INT, "inputs.nwk_key" },
        { "expected.SNwkSIntKey", LJS_KEY_S_NWK_S_INT, "inputs.nwk_key" },
        { "expected.NwkSEncKey", LJS_KEY_NWK_S_ENC, "inputs.nwk_key" },
        { "expected.AppSKey", LJS_KEY_APP_S, "inputs.app_key" },
        { "derived.FNwkSIntKey", LJS_KEY_F_NWK_S_INT, "inputs.nwk_key" },
        { "derived.SNwkSIntKey", LJS_KEY_S_NWK_S_INT, "inputs.nwk_key" },
        { "derived.NwkSEncKey", LJS_KEY_NWK_S_ENC, "inputs.nwk_key" },
    };
    static const struct named keys_10[] = {
        { "expected.NwkSKey", LJS_KEY_F_NWK_S_INT, "inputs.app_key" },
        { "expected.NwkSKey", LJS_KEY_S_NWK_S_INT, "inputs.app_key" },
        { "expected.NwkSKey", LJS_KEY_NWK_S_ENC, "inputs.app_key" },
        { "expected.AppSKey", LJS_KEY_APP_S, "inputs.app_key" },
    };
    ljs_derivation what = { .join_nonce = (uint32_t)vector_number(v, "inputs.join_nonce"),
                            .nonce = (uint16_t)vector_number(v, "inputs.dev_nonce") };
    size_t seen;

    if (!strcmp(vector_text(v, "inputs.mode"), "1.0")) {
        what.scheme = LJS_SCHEME_1_0;
        what.net_id = (ljs_netid)vector_number(v, "inputs.net_id");
        seen = derived(v, what, keys_10, 4);
        assert_int_equal(seen, 4);
    } else {
        what.scheme = LJS_SCHEME_1_1;
        what.join_eui = vector_number(v, "inputs.join_eui");
        seen = derived(v, what, keys_11, 7);
        assert_in_range(seen, 4, 7);
    }
}

static void js_keys(json_t *v)
{
    static const struct named names[] = { { "expected.JSIntKey", LJS_KEY_JS_INT, "inputs.nwk_key" },
                                          { "expected.JSEncKey", LJS_KEY_JS_ENC, "inputs.nwk_key" } };
    const ljs_derivation what = { .dev_eui = vector_number(v, "inputs.dev_eui") };

    assert_int_equal(derived(v, what, names, 2), 2);
}

static void multicast_keys(json_t *v)
{
    static const struct named names[] = {
        { "expected.McKEKey", LJS_KEY_MC_KE, "inputs.mc_root_key" },
        { "expected.McAppSKey", LJS_KEY_MC_APP_S, "inputs.mc_key" },
        { "expected.McNetSKey", LJS_KEY_MC_NET_S, "inputs.mc_key" },
    };
    static const struct named root_10 = { "expected.McRootKey", LJS_KEY_MC_ROOT, "inputs.gen_app_key" };
    static const struct named root_11 = { "expected.McRootKey", LJS_KEY_MC_ROOT, "inputs.app_key" };
    ljs_derivation what = { .scheme = LJS_SCHEME_1_1 };
    size_t seen;

    if (vector_has(v, "inputs.mc_addr"))
        what.mc_addr = (ljs_devaddr)vector_number(v, "inputs.mc_addr");
    seen = derived(v, what, names, 3);
    if (vector_has(v, "inputs.app_key"))
        seen += derived(v, what, &root_11, 1);
    what.scheme = LJS_SCHEME_1_0;
    if (vector_has(v, "inputs.gen_app_key"))
        seen += derived(v, what, &root_10, 1);
    assert_int_equal(seen, 1);
}

static void multicast_mckey(json_t *v)
{
    ljs_key *ke = key_of(v, "inputs.mc_ke_key"), *mc = key_of(v, "inputs.mc_key"), *back;
    uint8_t out[16];

    assert_int_equal(ljs_mc_key_encrypt(out, ke, mc), LJS_OK);
    expect_octets(out, sizeof out, v, "expected.McKey_encrypted");
    assert_int_equal(ljs_mc_key_decrypt(&back, ke, out, sizeof out), LJS_OK);
    expect_key(back, v, "inputs.mc_key");
    assert_int_equal(ljs_mc_key_decrypt(&back, ke, out, 15), LJS_E_INVAL);
    assert_null(back);
    ljs_key_free(ke);
    ljs_key_free(mc);
}

static void relay_keys(json_t *v)
{
    static const struct named names[] = { { "expected.RootWorSKey", LJS_KEY_ROOT_WOR_S, "inputs.nwk_s_enc_key" } };

    assert_int_equal(derived(v, (ljs_derivation){ .scheme = LJS_SCHEME_1_1 }, names, 1), 1);
}

#define KIND(kind, want)                                                                                               \
    static void test_##kind(void **state)                                                                              \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        vectors_each(#kind, want, kind);                                                                               \
    }
KIND(aes_block, 3)
KIND(aes_cmac, 2)
KIND(key_wrap, 4)
KIND(key_wrap_error, 2)
KIND(key_unwrap_error, 3)
KIND(key_envelope, 6)
KIND(join_request_mic, 13)
KIND(rejoin_request_mic, 3)
KIND(join_accept, 10)
KIND(join_accept_mic, 3)
KIND(session_keys, 6)
KIND(js_keys, 1)
KIND(multicast_keys, 5)
KIND(multicast_mckey, 1)
KIND(relay_keys, 2)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aes_block),        cmocka_unit_test(test_aes_cmac),
        cmocka_unit_test(test_key_wrap),         cmocka_unit_test(test_key_wrap_error),
        cmocka_unit_test(test_key_unwrap_error), cmocka_unit_test(test_key_envelope),
        cmocka_unit_test(test_join_request_mic), cmocka_unit_test(test_rejoin_request_mic),
        cmocka_unit_test(test_join_accept),      cmocka_unit_test(test_join_accept_mic),
        cmocka_unit_test(test_session_keys),     cmocka_unit_test(test_js_keys),
        cmocka_unit_test(test_multicast_keys),   cmocka_unit_test(test_multicast_mckey),
        cmocka_unit_test(test_relay_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
