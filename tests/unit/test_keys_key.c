/* Handles, weak keys, AES and CMAC of every key length, frames with the wrong arguments. */
#include <lorajs/keys.h>

#include "base/cursor.h"
#include "base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static size_t from_hex(uint8_t *out, const char *text)
{
    size_t n = strlen(text) / 2;

    assert_true(ljs__hex(out, n, text, 2 * n));
    return n;
}

static ljs_key *key_of(const char *text)
{
    uint8_t octets[32];
    ljs_key *key;

    assert_int_equal(ljs_key_import(&key, octets, from_hex(octets, text)), LJS_OK);
    return key;
}

static void lengths(void **state)
{
    static const uint8_t octets[40] = { 1, 2, 3, 4 };

    (void)state;
    for (size_t len = 0; len <= sizeof octets; len++) {
        bool good = len == 16 || len == 24 || len == 32;
        ljs_key *key;
        ljs_buf out;

        assert_int_equal(ljs_key_import(&key, octets, len), good ? LJS_OK : LJS_E_INVAL);
        assert_true(!key == !good);
        if (good) {
            assert_int_equal(ljs_key_len(key), len);
            assert_int_equal(ljs_key_export(&out, key), LJS_OK);
            assert_int_equal(out.len, len);
            assert_memory_equal(out.data, octets, len);
            ljs_buf_free(&out);
        }
        ljs_key_free(key);
        assert_int_equal(ljs_key_generate(&key, len), good ? LJS_OK : LJS_E_INVAL);
        assert_true(!key == !good);
        if (good)
            assert_int_equal(ljs_key_check(key), LJS_OK);
        ljs_key_free(key);
    }
    ljs_key_free(NULL);
}

static void generated_differ(void **state)
{
    ljs_key *a, *b;
    ljs_buf x, y;

    (void)state;
    assert_int_equal(ljs_key_generate(&a, 16), LJS_OK);
    assert_int_equal(ljs_key_generate(&b, 16), LJS_OK);
    assert_int_equal(ljs_key_export(&x, a), LJS_OK);
    assert_int_equal(ljs_key_export(&y, b), LJS_OK);
    assert_memory_not_equal(x.data, y.data, 16);
    ljs_buf_free(&x);
    ljs_buf_free(&y);
    ljs_key_free(a);
    ljs_key_free(b);
}

static void weak_keys(void **state)
{
    static const struct {
        const char *text;
        ljs_err want;
    } cases[] = {
        { "00000000000000000000000000000000", LJS_E_WEAK },
        { "ffffffffffffffffffffffffffffffff", LJS_E_WEAK },
        { "abcdabcdabcdabcdabcdabcdabcdabcd", LJS_E_WEAK },
        { "a1b2c3a1b2c3a1b2c3a1b2c3a1b2c3a1", LJS_E_WEAK }, /* period 3 does not divide 16 */
        { "a1b2c3d4e5f607a1b2c3d4e5f607a1b2", LJS_E_WEAK }, /* period 7 */
        { "01020304050607080102030405060708", LJS_E_WEAK },
        { "a1b2c3d4e5f60718f9a1b2c3d4e5f607", LJS_OK }, /* period 9 */
        { "000102030405060708090a0b0c0d0e0f", LJS_E_WEAK },
        { "0f0e0d0c0b0a09080706050403020100", LJS_E_WEAK },
        { "00112233445566778899aabbccddeeff", LJS_E_WEAK },
        { "f0f7fe050c131a21282f363d444b5259", LJS_E_WEAK }, /* +7, over the edge */
        { "000102030405060708090a0b0c0d0e10", LJS_OK },
        { "00000000000000000000000000000001", LJS_OK },
        { "01000000000000000000000000000000", LJS_OK },
        { "2b7e151628aed2a6abf7158809cf4f3c", LJS_E_WEAK },
        { "2b7e151628aed2a6abf7158809cf4f3d", LJS_OK },
        { "3c4fcf098815f7aba6d2ae2816157e2b", LJS_OK },
        { "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b", LJS_E_WEAK },
        { "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", LJS_E_WEAK },
        { "2b7e151628aed2a6abf7158809cf4f3c603deb1015ca71be", LJS_OK },
        { "74d66e6345824827fec5b770ba2b5045", LJS_E_WEAK },
        { "88888888888888888888888888886601", LJS_E_WEAK },
        { "2b84e0b09b68e5cb42176fe753dcee79", LJS_E_WEAK },
        { "b6b53f4a168a7a88bdf7ea135ce9cfca", LJS_E_WEAK },
        { "000102030405060708090a0b0c0d0e0f1011121314151617", LJS_E_WEAK },
        { "1112131415161718111213141516171811121314151617181112131415161718", LJS_E_WEAK },
        { "bec499c69e9c939e413b663961636c61", LJS_OK },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        ljs_key *key = key_of(cases[i].text);

        if (ljs_key_check(key) != cases[i].want)
            fail_msg("%s: not %s", cases[i].text, ljs_errname(cases[i].want));
        ljs_key_free(key);
    }
}

/* [SP 800-38B App. D], [RFC 4493 §4]: messages of 0, 16, 40 and 64 octets */
static void cmac_known_answers(void **state)
{
    static const size_t lens[] = { 0, 16, 40, 64 };
    static const struct {
        const char *key, *mac[4];
    } cases[] = {
        { "2b7e151628aed2a6abf7158809cf4f3c",
          { "bb1d6929e95937287fa37d129b756746", "070a16b46b4d4144f79bdd9dd04a287c", "dfa66747de9ae63030ca32611497c827",
            "51f0bebf7e3b9d92fc49741779363cfe" } },
        { "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
          { "d17ddf46adaacde531cac483de7a9367", "9e99a7bf31e710900662f65e617c5184", "8a1de5be2eb31aad089a82e6ee908b0e",
            "a1d5df0eed790f794d77589659f39a11" } },
        { "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
          { "028962f61b7bf89efc6b551f4667d983", "28a7023f452e8f82bd4bf28d8c37c35c", "aaf3d8f1de5640c232f5b169b9c911e6",
            "e1992190549f6ed5696a2c056c315410" } },
    };
    uint8_t message[64], want[16], got[16];

    (void)state;
    from_hex(message, "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
                      "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710");
    for (size_t k = 0; k < COUNT(cases); k++) {
        ljs_key *key = key_of(cases[k].key);

        for (size_t i = 0; i < COUNT(lens); i++) {
            from_hex(want, cases[k].mac[i]);
            assert_int_equal(ljs_aes_cmac(got, key, lens[i] ? message : NULL, lens[i]), LJS_OK);
            assert_memory_equal(got, want, 16);
        }
        ljs_key_free(key);
    }
}

/* CMAC put together from AES alone, one octet at a time, for every length to 5 blocks. */
static void cmac_every_length(void **state)
{
    uint8_t message[80];
    ljs_key *key;

    (void)state;
    ljs__random(message, sizeof message);
    assert_int_equal(ljs_key_generate(&key, 16), LJS_OK);
    for (size_t len = 0; len <= sizeof message; len++) {
        uint8_t zero[16] = { 0 }, k[16], x[16] = { 0 }, got[16];
        size_t at = 0;

        assert_int_equal(ljs_aes_encrypt(k, key, zero, 16), LJS_OK);
        for (int times = len && len % 16 == 0 ? 1 : 2; times--;) {
            unsigned carry = k[0] >> 7;

            for (size_t i = 0; i < 16; i++)
                k[i] = (uint8_t)(k[i] << 1 | (i < 15 ? k[i + 1] >> 7 : 0));
            k[15] ^= carry ? 0x87 : 0;
        }
        for (; len - at > 16; at += 16) {
            for (size_t i = 0; i < 16; i++)
                x[i] ^= message[at + i];
            assert_int_equal(ljs_aes_encrypt(x, key, x, 16), LJS_OK);
        }
        for (size_t i = 0; i < 16; i++) {
            x[i] ^= at + i < len ? message[at + i] : at + i == len ? 0x80 : 0;
            x[i] ^= k[i];
        }
        assert_int_equal(ljs_aes_encrypt(x, key, x, 16), LJS_OK);
        assert_int_equal(ljs_aes_cmac(got, key, message, len), LJS_OK);
        assert_memory_equal(got, x, 16);
    }
    ljs_key_free(key);
}

/* [FIPS 197 App. C] */
static void aes_known_answers(void **state)
{
    static const struct {
        const char *key, *cipher;
    } cases[] = {
        { "000102030405060708090a0b0c0d0e0f", "69c4e0d86a7b0430d8cdb78070b4c55a" },
        { "000102030405060708090a0b0c0d0e0f1011121314151617", "dda97ca4864cdfe06eaf70a0ec0d7191" },
        { "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "8ea2b7ca516745bfeafc49904b496089" },
    };
    uint8_t plain[16], want[16], got[16];

    (void)state;
    from_hex(plain, "00112233445566778899aabbccddeeff");
    for (size_t i = 0; i < COUNT(cases); i++) {
        ljs_key *key = key_of(cases[i].key);

        from_hex(want, cases[i].cipher);
        assert_int_equal(ljs_aes_encrypt(got, key, plain, 16), LJS_OK);
        assert_memory_equal(got, want, 16);
        assert_int_equal(ljs_aes_decrypt(got, key, want, 16), LJS_OK);
        assert_memory_equal(got, plain, 16);
        ljs_key_free(key);
    }
}

static void frames_refuse(void **state)
{
    static const uint8_t none[LJS_FRAME_MAX + 1];
    ljs_frame frame = { .kind = LJS_FRAME_JOIN, .join_eui = 1, .dev_eui = 2, .nonce = 3 };
    ljs_accept accept = { .join_nonce = 1 }, opened;
    ljs_accept_of of = { .scheme = LJS_SCHEME_1_0, .kind = LJS_FRAME_JOIN };
    ljs_key *key, *other, *kek;
    uint8_t mic[4];
    ljs_buf out;

    (void)state;
    assert_int_equal(ljs_key_generate(&key, 16), LJS_OK);
    assert_int_equal(ljs_key_generate(&other, 16), LJS_OK);
    assert_int_equal(ljs_key_generate(&kek, 32), LJS_OK);

    assert_int_equal(ljs_frame_sign(&out, &frame, kek), LJS_E_INVAL);
    assert_null(out.data);
    frame.net_id = 1; /* a join-request carries none */
    assert_int_equal(ljs_frame_sign(&out, &frame, key), LJS_E_INVAL);
    assert_null(out.data);
    frame.net_id = 0;
    assert_int_equal(ljs_frame_sign(&out, &frame, key), LJS_OK);
    assert_int_equal(ljs_frame_verify(key, out.data, out.len), LJS_OK);
    assert_int_equal(ljs_frame_verify(other, out.data, out.len), LJS_E_MIC);
    assert_int_equal(ljs_frame_verify(kek, out.data, out.len), LJS_E_INVAL);
    assert_int_equal(ljs_frame_verify(key, out.data, out.len - 1), LJS_E_SIZE);
    for (size_t len = 0; len <= sizeof none; len++)
        if (len != 19 && len != 23 && len != 24)
            assert_int_equal(ljs_frame_verify(key, none, len), LJS_E_SIZE);
    ljs_buf_free(&out);

    assert_int_equal(ljs_accept_seal(&out, &accept, &of, key, kek), LJS_E_INVAL);
    assert_int_equal(ljs_accept_seal(&out, &accept, &of, kek, key), LJS_E_INVAL);
    accept.join_nonce = 0x1000000;
    assert_int_equal(ljs_accept_seal(&out, &accept, &of, key, key), LJS_E_INVAL);
    assert_int_equal(ljs_accept_mic(mic, &accept, &of, key), LJS_E_INVAL);
    accept.join_nonce = 1;
    of.kind = (ljs_frame_kind)3;
    assert_int_equal(ljs_accept_seal(&out, &accept, &of, key, key), LJS_E_INVAL);
    of.kind = LJS_FRAME_REJOIN1;
    of.scheme = (ljs_scheme)12;
    assert_int_equal(ljs_accept_mic(mic, &accept, &of, key), LJS_E_INVAL);
    assert_null(out.data);

    /* With scheme 1.1 the MIC binds the accept to its request: each field of it. */
    of = (ljs_accept_of){ LJS_SCHEME_1_1, LJS_FRAME_REJOIN1, 0x0102030405060708, 0x090a };
    assert_int_equal(ljs_accept_seal(&out, &accept, &of, key, other), LJS_OK);
    assert_int_equal(ljs_accept_open(&opened, &of, key, other, out.data, out.len), LJS_OK);
    of.kind = LJS_FRAME_REJOIN2;
    assert_int_equal(ljs_accept_open(&opened, &of, key, other, out.data, out.len), LJS_E_MIC);
    of.kind = LJS_FRAME_REJOIN1;
    of.join_eui++;
    assert_int_equal(ljs_accept_open(&opened, &of, key, other, out.data, out.len), LJS_E_MIC);
    of.join_eui--;
    of.nonce++;
    assert_int_equal(ljs_accept_open(&opened, &of, key, other, out.data, out.len), LJS_E_MIC);
    of.nonce--;
    of.scheme = LJS_SCHEME_1_0;
    assert_int_equal(ljs_accept_open(&opened, &of, key, other, out.data, out.len), LJS_E_MIC);
    of.scheme = LJS_SCHEME_1_1;
    assert_int_equal(ljs_accept_open(&opened, &of, other, other, out.data, out.len), LJS_E_MIC);
    assert_int_equal(ljs_accept_open(&opened, &of, key, key, out.data, out.len), LJS_E_MIC);
    assert_int_equal(ljs_accept_open(&opened, &of, key, kek, out.data, out.len), LJS_E_INVAL);
    assert_int_equal(opened.join_nonce, 0);
    ljs_buf_free(&out);
    ljs_key_free(key);
    ljs_key_free(other);
    ljs_key_free(kek);
}

/* In the child of a fork() a handle of the parent is no use, and a new one is. */
static bool dead_in_child(ljs_key *key, ljs_vault *vault)
{
    static const uint8_t zero[17];
    const ljs_derivation what = { .name = LJS_KEY_JS_INT };
    const ljs_envelope clear = { .key_len = 16 };
    ljs_frame frame = { .kind = LJS_FRAME_JOIN };
    ljs_accept accept = { 0 };
    ljs_accept_of of = { .scheme = LJS_SCHEME_1_0, .kind = LJS_FRAME_JOIN };
    ljs_envelope e;
    ljs_key *out;
    uint8_t block[16];
    ljs_buf buf;
    bool dead =
        ljs_key_export(&buf, key) == LJS_E_STATE && ljs_key_check(key) == LJS_E_STATE &&
        ljs_aes_encrypt(block, key, zero, 16) == LJS_E_STATE && ljs_aes_decrypt(block, key, zero, 16) == LJS_E_STATE &&
        ljs_aes_cmac(block, key, zero, 16) == LJS_E_STATE && ljs_derive(&out, &what, key) == LJS_E_STATE &&
        ljs_envelope_seal(&e, key, NULL, "") == LJS_E_STATE && ljs_key_wrap(&buf, key, zero, 16) == LJS_E_STATE &&
        ljs_mc_key_encrypt(block, key, key) == LJS_E_STATE && ljs_mc_key_decrypt(&out, key, zero, 16) == LJS_E_STATE &&
        ljs_frame_sign(&buf, &frame, key) == LJS_E_STATE && ljs_accept_mic(block, &accept, &of, key) == LJS_E_STATE &&
        ljs_accept_seal(&buf, &accept, &of, key, key) == LJS_E_STATE &&
        ljs_accept_open(&accept, &of, key, key, zero, 17) == LJS_E_STATE;

    ljs_key_free(key); /* the child's copy of the page */
    ljs_vault_free(vault);
    if (ljs_envelope_open(&out, &clear, NULL))
        return false;
    dead = dead && ljs_aes_encrypt(block, out, zero, 16) == LJS_OK;
    ljs_key_free(out);
    return dead;
}

static void after_fork(void **state)
{
    static const uint8_t master[32] = { 1 };
    ljs_vault *vault;
    ljs_key *key;
    uint8_t block[16] = { 0 };
    int status;
    pid_t pid;

    (void)state;
    assert_int_equal(ljs_key_generate(&key, 16), LJS_OK);
    assert_int_equal(ljs_vault_new(&vault, master, sizeof master), LJS_OK);
    assert_int_equal(ljs_aes_encrypt(block, key, block, 16), LJS_OK);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(dead_in_child(key, vault) ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(ljs_aes_encrypt(block, key, block, 16), LJS_OK);
    ljs_key_free(key);
    ljs_vault_free(vault);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths),           cmocka_unit_test(generated_differ),
        cmocka_unit_test(weak_keys),         cmocka_unit_test(cmac_known_answers),
        cmocka_unit_test(cmac_every_length), cmocka_unit_test(aes_known_answers),
        cmocka_unit_test(frames_refuse),     cmocka_unit_test(after_fork),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
