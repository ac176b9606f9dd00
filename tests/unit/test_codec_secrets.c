/* Encrypted keys of a manifest: known answers of RFC 7518, and what others encrypted, or got wrong (tests/jwe.py). */
#include "base/secret.h"
#include "codec/secrets.h"
#include "keys/jwe.h"

#include "base/cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

static json_t *all;
static ljs_key *recipient;

static ljs_key *key_of(const char *hex)
{
    uint8_t octets[32];
    ljs_key *key;

    assert_true(ljs__hex(octets, strlen(hex) / 2, hex, strlen(hex)));
    assert_int_equal(ljs_key_import(&key, octets, strlen(hex) / 2), LJS_OK);
    return key;
}

static const char *text_of(json_t *row, const char *name)
{
    return json_string_value(json_object_get(row, name));
}

static int load(void **state)
{
    json_error_t error;
    struct ring *ring;

    (void)state;
    assert_int_equal(ljs__ring_take(&ring), LJS_OK); /* which initialises libgcrypt */
    ljs__ring_give(ring);
    all = json_load_file(TESTS_DIR "/vectors/manifest-keys.json", JSON_REJECT_DUPLICATES, &error);
    if (!all)
        return -1;
    recipient = key_of(text_of(all, "recipient"));
    return 0;
}

static int drop(void **state)
{
    (void)state;
    ljs_key_free(recipient);
    json_decref(all);
    return 0;
}

/* ---- RFC 7518, Appendix C ------------------------------------------------------- */

#define ALICE_D "d3f3716913d4310a0026de741b3f18893afc8114f0c84682ba677e313a13988a"
#define ALICE_XY                                                                                                       \
    "808d060082c176eed3e776a4ac598cc8672c1779f974eecc9b03411ca5b9495d48b5bfc527dfce53d6ac7115237d031ccff87a0570b77350" \
    "a9e503ee7305a69b"
#define BOB_D "5449836690d75caf29f0dd029ddb31b3ddb8aba9d2d515c5012465e817d4a9dc"
#define BOB_XY                                                                                                         \
    "c1e349cb61ec70248ce801034c3834e1b88ebe1161cb25af38741f785fcfc4c47bc96708ef80952b53f8d2555fe72b841ed04588628b1d37" \
    "8a594939500ec9c9"
#define AGREED  "9e56d91d817135d372834283bf84269cfb316ea3da806a48f6daa7798cfe90c4"
#define DERIVED "56aa8deaf8236d205c2228cd71a7101a"

static void hex(uint8_t *out, size_t len, const char *text)
{
    assert_true(ljs__hex(out, len, text, 2 * len));
}

static void test_appendix_c(void **state)
{
    static const struct part alice = { "Alice", 5 }, bob = { "Bob", 3 };
    uint8_t d[32], xy[64], z[32], want[32], key[16];

    (void)state;
    hex(want, 32, AGREED);
    hex(d, 32, ALICE_D);
    hex(xy, 64, BOB_XY);
    assert_int_equal(ljs__p256_agree(z, d, xy), LJS_OK);
    assert_memory_equal(z, want, 32);
    hex(d, 32, BOB_D);
    hex(xy, 64, ALICE_XY);
    assert_int_equal(ljs__p256_agree(z, d, xy), LJS_OK);
    assert_memory_equal(z, want, 32);
    assert_int_equal(ljs__concat_kdf(key, sizeof key, z, "A128GCM", alice, bob), LJS_OK);
    hex(want, 16, DERIVED);
    assert_memory_equal(key, want, 16);
    assert_int_equal(ljs__concat_kdf(key, 33, z, "A128GCM", alice, bob), LJS_E_INVAL);
}

/* A secret is a number from 1 to below the order; with 1 what is agreed on is x of the other. */
static void test_secrets_that_are_none(void **state)
{
    static const char order[] = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    uint8_t d[32] = { 0 }, xy[64], z[32];

    (void)state;
    hex(xy, 64, BOB_XY);
    assert_int_equal(ljs__p256_agree(z, d, xy), LJS_E_INVAL);
    d[31] = 1;
    assert_int_equal(ljs__p256_agree(z, d, xy), LJS_OK);
    assert_memory_equal(z, xy, 32);
    hex(d, 32, order);
    assert_int_equal(ljs__p256_agree(z, d, xy), LJS_E_INVAL);
    d[31]--; /* -1: the same x */
    assert_int_equal(ljs__p256_agree(z, d, xy), LJS_OK);
    assert_memory_equal(z, xy, 32);
    memset(d, 0xff, sizeof d);
    assert_int_equal(ljs__p256_agree(z, d, xy), LJS_E_INVAL);
    d[0] = 0;
    xy[63] ^= 1;
    assert_int_equal(ljs__p256_agree(z, d, xy), LJS_E_INVAL);
}

/* What is agreed on has 32 octets, however small a number it is: 40393 times the base point has an x of 30. */
static void test_agreed_on_little(void **state)
{
    static const char small[] = "00003f5f178aa0706c4231eb6e5495aa1642c5b8a994127c89465f22994a42f9"
                                "c248b337599f0c2f29772e256f1d5549c89ba9e5731382cd1e3cc09d10d00b55";
    uint8_t d[32] = { [31] = 1 }, xy[64], z[32];

    (void)state;
    hex(xy, 64, small);
    memset(z, 0xa5, sizeof z);
    assert_int_equal(ljs__p256_agree(z, d, xy), LJS_OK);
    assert_memory_equal(z, xy, 32);
}

/* ---- rows ------------------------------------------------------------------------ */

/* Between two that are of no use. */
static ljs_err open_row(ljs_manifest_secret *out, ljs_key **key, const char *jwe, unsigned i, const ljs_key *to)
{
    static const char form[] = "{\"version\":1,\"keys\":[7],\"encryptedSecretKeySet\":{\"n\":[1],\"keys\":[[],%s,{}]}}";
    size_t room = strlen(jwe) + sizeof form;
    char *text = malloc(room);
    ljs_err err;

    assert_non_null(text);
    snprintf(text, room, form, jwe);
    memset(out, 0xa5, sizeof *out);
    err = ljs__secret_read(out, key, (const uint8_t *)text, strlen(text), i, to);
    free(text);
    return err;
}

static void test_rows(void **state)
{
    json_t *row;
    size_t i, good = 0;
    ljs_buf want, got;
    ljs_key *key = key_of(text_of(all, "key")), *other = key_of(AGREED), *opened;

    (void)state;
    assert_int_equal(ljs_key_export(&want, key), LJS_OK);
    json_array_foreach(json_object_get(all, "rows"), i, row)
    {
        const char *refused = text_of(row, "refused"), *jwe = text_of(row, "jwe");
        ljs_manifest_secret secret;
        ljs_err err = open_row(&secret, &opened, jwe, 1, recipient);

        if (*refused) {
            if (!(err == LJS_E_INVAL || err == LJS_E_SEAL) || strncmp(secret.detail, refused, strlen(refused)) != 0)
                fail_msg("%s: %s, %s", text_of(row, "what"), ljs_errname(err), secret.detail);
            assert_null(opened);
            assert_string_equal(secret.kid, "");
            continue;
        }
        if (err)
            fail_msg("%s: %s, %s", text_of(row, "what"), ljs_errname(err), secret.detail);
        assert_string_equal(secret.kid, "the kid");
        assert_string_equal(secret.detail, "");
        assert_int_equal(ljs_key_export(&got, opened), LJS_OK);
        assert_int_equal(got.len, 16);
        assert_memory_equal(got.data, want.data, 16);
        ljs_buf_free(&got);
        ljs_key_free(opened);
        assert_int_equal(open_row(&secret, &opened, jwe, 1, other), LJS_E_SEAL);
        assert_int_equal(open_row(&secret, &opened, jwe, 1, key), LJS_E_INVAL); /* 16 octets */
        assert_int_equal(open_row(&secret, &opened, jwe, 0, recipient), LJS_E_INVAL);
        assert_int_equal(open_row(&secret, &opened, jwe, 2, recipient), LJS_E_INVAL);
        assert_int_equal(open_row(&secret, &opened, jwe, 3, recipient), LJS_E_NOTFOUND);
        good++;
    }
    assert_true(good >= 8 && i > 80);
    ljs_buf_free(&want);
    ljs_key_free(key);
    ljs_key_free(other);
}

/* Each letter of what was encrypted counts, but for those of a name that nobody knows. */
static void test_every_letter(void **state)
{
    const char *text = NULL;
    ljs_manifest_secret secret;
    ljs_key *opened;
    json_t *row;
    size_t i;
    char *copy;

    (void)state;
    json_array_foreach(json_object_get(all, "rows"), i, row) if (!strcmp(text_of(row, "what"), "compact")) text =
        text_of(row, "jwe");
    assert_non_null(text);
    copy = strdup(text);
    for (size_t at = 1; copy[at] != '"'; at += 3) {
        char was = copy[at];

        copy[at] = was == 'A' ? 'B' : 'A';
        assert_int_not_equal(open_row(&secret, &opened, copy, 1, recipient), LJS_OK);
        assert_null(opened);
        copy[at] = was;
    }
    assert_int_equal(open_row(&secret, &opened, copy, 1, recipient), LJS_OK);
    ljs_key_free(opened);
    free(copy);
}

static void test_sets_that_are_none(void **state)
{
    static const char *const none[] = { "{}",
                                        "{\"encryptedSecretKeySet\":[]}",
                                        "{\"encryptedSecretKeySet\":{}}",
                                        "{\"encryptedSecretKeySet\":{\"keys\":{}}}",
                                        "{\"encryptedSecretKeySet\":{\"keys\":[]}}",
                                        "{\"a\":{\"keys\":[1]},\"keys\":[1],\"encryptedSecretKeySet\":1}" };
    ljs_manifest_secret secret;
    ljs_key *opened;

    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(ljs__secret_read(&secret, &opened, (const uint8_t *)none[i], strlen(none[i]), 0, recipient),
                         LJS_E_NOTFOUND);
}

/* ---- of a manifest ---------------------------------------------------------------- */

static void is_key(const ljs_key *key, bool backwards)
{
    ljs_key *named = key_of(text_of(all, "key"));
    ljs_buf want, got;

    assert_int_equal(ljs_key_export(&want, named), LJS_OK);
    assert_int_equal(ljs_key_export(&got, key), LJS_OK);
    assert_int_equal(got.len, want.len);
    for (size_t i = 0; i < want.len; i++)
        assert_int_equal(got.data[i], want.data[backwards ? want.len - 1 - i : i]);
    ljs_buf_free(&want);
    ljs_buf_free(&got);
    ljs_key_free(named);
}

static void test_of_a_manifest(void **state)
{
    static const unsigned secrets[] = { 3, 0, 0, 1 };
    json_t *made = json_object_get(all, "manifest");
    const char *text = text_of(made, "entries"), *signer = text_of(made, "signer"), *root = text_of(made, "root");
    ljs_manifest_secret secret;
    ljs_manifest_entry entry;
    ljs_manifest *m;
    ljs_key *key;
    size_t at = 0;
    unsigned n = 0;

    (void)state;
    assert_int_equal(ljs_manifest_new(&m), LJS_OK);
    assert_int_equal(ljs_manifest_trust_signer(m, (const uint8_t *)signer, strlen(signer)), LJS_OK);
    assert_int_equal(ljs_manifest_trust_root(m, (const uint8_t *)root, strlen(root)), LJS_OK);
    assert_int_equal(ljs_manifest_open_secret(&secret, &key, m, 0, recipient), LJS_E_STATE);
    for (; !ljs_manifest_next(&entry, &at, m, (const uint8_t *)text, strlen(text)); n++) {
        assert_int_equal(entry.verdict, n == 2 ? LJS_MANIFEST_SIGNATURE : LJS_MANIFEST_GOOD);
        for (unsigned i = 0; i < 4; i++) {
            ljs_err err = ljs_manifest_open_secret(&secret, &key, m, i, recipient);

            if (n == 2) {
                assert_int_equal(err, LJS_E_STATE);
            } else if (i >= secrets[n]) {
                assert_int_equal(err, LJS_E_NOTFOUND);
            } else if (i == 2) {
                assert_int_equal(err, LJS_E_SEAL);
                assert_string_equal(secret.detail, "it is not encrypted for this recipient, or was altered");
            } else {
                assert_int_equal(err, LJS_OK);
                assert_string_equal(secret.kid, i == 0 ? "0" : "");
                is_key(key, i == 0);
                ljs_key_free(key);
                continue;
            }
            assert_null(key);
        }
    }
    assert_int_equal(n, 4);
    assert_int_equal(ljs_manifest_end(m), LJS_OK);
    ljs_manifest_free(m);
}

/* One that is too long is nobody's: what the entry before it had is not to be had again. */
static void test_behind_one_that_is_too_long(void **state)
{
    json_t *made = json_object_get(all, "manifest");
    const char *text = text_of(made, "entries"), *signer = text_of(made, "signer"), *root = text_of(made, "root");
    size_t at = 0, len = LJS_MANIFEST_ENTRY_MAX + 64;
    char *longer = malloc(len);
    ljs_manifest_secret secret;
    ljs_manifest_entry entry;
    ljs_manifest *m;
    ljs_key *key;

    (void)state;
    assert_non_null(longer);
    memset(longer, ' ', len);
    longer[0] = '{';
    longer[len - 2] = '}';
    longer[len - 1] = ',';
    assert_int_equal(ljs_manifest_new(&m), LJS_OK);
    assert_int_equal(ljs_manifest_trust_signer(m, (const uint8_t *)signer, strlen(signer)), LJS_OK);
    assert_int_equal(ljs_manifest_trust_root(m, (const uint8_t *)root, strlen(root)), LJS_OK);
    assert_int_equal(ljs_manifest_next(&entry, &at, m, (const uint8_t *)text, strlen(text)), LJS_OK);
    at = 0;
    assert_int_equal(ljs_manifest_next(&entry, &at, m, (const uint8_t *)longer, len), LJS_OK);
    assert_int_equal(entry.verdict, LJS_MANIFEST_TOO_LONG);
    assert_int_equal(ljs_manifest_open_secret(&secret, &key, m, 0, recipient), LJS_E_STATE);
    ljs_manifest_free(m);
    free(longer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appendix_c),       cmocka_unit_test(test_secrets_that_are_none),
        cmocka_unit_test(test_agreed_on_little), cmocka_unit_test(test_rows),
        cmocka_unit_test(test_every_letter),     cmocka_unit_test(test_sets_that_are_none),
        cmocka_unit_test(test_of_a_manifest),    cmocka_unit_test(test_behind_one_that_is_too_long),
    };

    return cmocka_run_group_tests(tests, load, drop);
}
