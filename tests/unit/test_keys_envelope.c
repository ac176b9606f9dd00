/* RFC 3394 by its own examples, several lanes against one, and what a tamperer gets. */
#include "base/secret.h"
#include "keys/ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/cursor.h"

static const size_t key_lens[] = { 16, 24, 32 };

static size_t from_hex(uint8_t *out, const char *text)
{
    size_t n = strlen(text) / 2;

    assert_true(ljs__hex(out, n, text, 2 * n));
    return n;
}

static void rfc_3394_section_4(void **state)
{
    static const char kek_hex[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    static const char data_hex[] = "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f";
    static const struct {
        size_t kek_len, data_len;
        const char *wrapped;
    } examples[] = {
        { 16, 16, "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5" },
        { 24, 16, "96778b25ae6ca435f92b5b97c050aed2468ab8a17ad84e5d" },
        { 32, 16, "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7" },
        { 24, 24, "031d33264e15d33268f24ec260743edce1c6c7ddee725a936ba814915c6762d2" },
        { 32, 24, "a8f9bc1612c68b3ff6e6f4fbe30e71e4769c8b80a32cb8958cd5d17d6b254da1" },
        { 32, 32, "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21" },
    };
    uint8_t kek[32], data[32], want[64];

    (void)state;
    from_hex(kek, kek_hex);
    from_hex(data, data_hex);
    for (size_t i = 0; i < COUNT(examples); i++) {
        size_t want_len = from_hex(want, examples[i].wrapped);
        ljs_buf wrapped, back;
        ljs_key *key;

        assert_int_equal(ljs_key_import(&key, kek, examples[i].kek_len), LJS_OK);
        assert_int_equal(ljs_key_wrap(&wrapped, key, data, examples[i].data_len), LJS_OK);
        assert_int_equal(wrapped.len, want_len);
        assert_memory_equal(wrapped.data, want, want_len);
        assert_int_equal(ljs_key_unwrap(&back, key, wrapped.data, wrapped.len), LJS_OK);
        assert_int_equal(back.len, examples[i].data_len);
        assert_memory_equal(back.data, data, back.len);
        ljs_buf_free(&wrapped);
        ljs_buf_free(&back);
        ljs_key_free(key);
    }
}

static void wrap_lengths(void **state)
{
    uint8_t data[80] = { 1, 2, 3 };
    ljs_key *kek;

    (void)state;
    assert_int_equal(ljs_key_generate(&kek, 16), LJS_OK);
    for (size_t len = 0; len <= sizeof data; len++) {
        bool good = len >= 16 && len <= 64 && len % 8 == 0;
        ljs_buf wrapped, back;

        assert_int_equal(ljs_key_wrap(&wrapped, kek, data, len), good ? LJS_OK : LJS_E_INVAL);
        if (good) {
            assert_int_equal(ljs_key_unwrap(&back, kek, wrapped.data, wrapped.len), LJS_OK);
            assert_int_equal(back.len, len);
            assert_memory_equal(back.data, data, len);
            ljs_buf_free(&back);
            ljs_buf_free(&wrapped);
        }
        assert_int_equal(ljs_key_unwrap(&back, kek, data, len),
                         len >= 24 && len <= 72 && len % 8 == 0 ? LJS_E_SEAL : LJS_E_INVAL);
        assert_null(back.data);
    }
    ljs_key_free(kek);
}

static void tampered(void **state)
{
    ljs_key *key, *opened;

    (void)state;
    assert_int_equal(ljs_key_generate(&key, 16), LJS_OK);
    for (size_t i = 0; i < COUNT(key_lens); i++) {
        ljs_key *kek, *other;
        ljs_envelope e;
        ljs_buf back;

        assert_int_equal(ljs_key_generate(&kek, key_lens[i]), LJS_OK);
        assert_int_equal(ljs_key_generate(&other, key_lens[i]), LJS_OK);
        assert_int_equal(ljs_envelope_seal(&e, key, kek, "kek"), LJS_OK);
        assert_int_equal(e.key_len, 24);
        for (size_t bit = 0; bit < 8 * e.key_len; bit++) {
            e.key[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_equal(ljs_envelope_open(&opened, &e, kek), LJS_E_SEAL);
            assert_null(opened);
            assert_int_equal(ljs_key_unwrap(&back, kek, e.key, e.key_len), LJS_E_SEAL);
            assert_null(back.data);
            e.key[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_int_equal(ljs_envelope_open(&opened, &e, other), LJS_E_SEAL);
        assert_int_equal(ljs_envelope_open(&opened, &e, NULL), LJS_E_INVAL);
        for (e.key_len = 0; e.key_len < 24; e.key_len++)
            assert_int_equal(ljs_envelope_open(&opened, &e, kek), LJS_E_INVAL);
        assert_null(opened);
        ljs_key_free(kek);
        ljs_key_free(other);
    }
    ljs_key_free(key);
}

static void labels(void **state)
{
    static const ljs_envelope none;
    char longest[LJS_LABEL_MAX + 1];
    ljs_key *key, *kek, *opened;
    ljs_envelope e;

    (void)state;
    memset(longest, 'x', sizeof longest);
    assert_int_equal(ljs_key_generate(&key, 16), LJS_OK);
    assert_int_equal(ljs_key_generate(&kek, 32), LJS_OK);

    longest[LJS_LABEL_MAX] = 0; /* one too many */
    memset(&e, 0xaa, sizeof e);
    assert_int_equal(ljs_envelope_seal(&e, key, kek, longest), LJS_E_INVAL);
    assert_memory_equal(&e, &none, sizeof e);
    longest[LJS_LABEL_MAX - 1] = 0;
    assert_int_equal(ljs_envelope_seal(&e, key, kek, longest), LJS_OK);
    assert_string_equal(e.kek_label, longest);

    assert_int_equal(ljs_envelope_seal(&e, key, kek, ""), LJS_E_INVAL);
    assert_int_equal(ljs_envelope_seal(&e, key, kek, NULL), LJS_E_INVAL);
    assert_int_equal(ljs_envelope_seal(&e, key, NULL, "kek"), LJS_E_INVAL);
    assert_memory_equal(&e, &none, sizeof e);
    assert_int_equal(ljs_envelope_seal(&e, kek, key, "kek"), LJS_E_INVAL); /* a key of 32 octets */

    assert_int_equal(ljs_envelope_seal(&e, key, NULL, NULL), LJS_OK);
    assert_int_equal(e.key_len, 16);
    assert_string_equal(e.kek_label, "");
    assert_int_equal(ljs_envelope_open(&opened, &e, NULL), LJS_OK);
    ljs_key_free(opened);
    assert_int_equal(ljs_envelope_open(&opened, &e, kek), LJS_E_INVAL);
    ljs_key_free(key);
    ljs_key_free(kek);
}

/* n wraps side by side are the same n wraps one by one. */
static void lanes(void **state)
{
    static const enum key_id ids[] = { KEY_NWK,         KEY_APP,       KEY_GEN_APP,     KEY_REKEY, KEY_JS_INT,
                                       KEY_F_NWK_S_INT, KEY_NWK_S_ENC, KEY_S_NWK_S_INT, KEY_APP_S };
    ljs_key *keys[COUNT(ids)];
    struct ring *ring;

    (void)state;
    for (size_t i = 0; i < COUNT(ids); i++)
        assert_int_equal(ljs_key_generate(&keys[i], 16), LJS_OK);
    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    for (size_t i = 0; i < COUNT(ids); i++)
        assert_int_equal(ljs__ring_load(ring, ids[i], keys[i]), LJS_OK);
    for (size_t k = 0; k <= COUNT(key_lens); k++) {
        bool clear = k == COUNT(key_lens);
        ljs_key *kek = NULL;

        if (!clear) {
            assert_int_equal(ljs_key_generate(&kek, key_lens[k]), LJS_OK);
            assert_int_equal(ljs__ring_load(ring, KEY_NS_KEK, kek), LJS_OK);
        }
        for (size_t n = 0; n <= COUNT(ids); n++) {
            ljs_envelope got[COUNT(ids)] = { 0 }, want, *out[COUNT(ids)];

            for (size_t i = 0; i < COUNT(ids); i++)
                out[i] = &got[i];
            assert_int_equal(
                ljs__ring_envelopes(out, ring, ids, n, clear ? KEY_NONE : KEY_NS_KEK, clear ? "" : "label"), LJS_OK);
            for (size_t i = 0; i < n; i++) {
                assert_int_equal(ljs_envelope_seal(&want, keys[i], kek, clear ? "" : "label"), LJS_OK);
                assert_memory_equal(&got[i], &want, sizeof want);
            }
        }
        ljs_key_free(kek);
    }

    /* One empty slot, or no KEK, and nothing comes out. */
    {
        static const ljs_envelope none;
        ljs_envelope got[2], *const out[] = { &got[0], &got[1] };

        ljs__ring_drop(ring, KEY_APP);
        assert_int_equal(ljs__ring_envelopes(out, ring, ids, 2, KEY_NS_KEK, "label"), LJS_E_NOKEY);
        assert_memory_equal(&got[0], &none, sizeof none);
        assert_int_equal(ljs__ring_envelopes(out, ring, ids, 2, KEY_NONE, ""), LJS_E_NOKEY);
        assert_memory_equal(&got[0], &none, sizeof none);
        assert_int_equal(ljs__ring_envelopes(out, ring, ids, 1, KEY_AS_KEK, "label"), LJS_E_NOKEY);
        assert_memory_equal(&got[0], &none, sizeof none);
    }
    ljs__ring_give(ring);
    for (size_t i = 0; i < COUNT(ids); i++)
        ljs_key_free(keys[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_3394_section_4),
        cmocka_unit_test(wrap_lengths),
        cmocka_unit_test(tampered),
        cmocka_unit_test(labels),
        cmocka_unit_test(lanes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
