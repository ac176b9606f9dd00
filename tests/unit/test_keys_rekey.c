/* Keys and messages of lorajs-rekey-1 against its known answers. */
#include <lorajs/rekey_keys.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "rekey_vectors.h"

static void expect(const uint8_t *got, size_t len, const char *name)
{
    uint8_t want[64];

    assert_int_equal(rekey_octets(want, sizeof want, name), len);
    assert_memory_equal(got, want, len);
}

static void expect_key(const ljs_key *key, const char *name)
{
    ljs_buf got;

    assert_int_equal(ljs_key_export(&got, key), LJS_OK);
    expect(got.data, got.len, name);
    ljs_buf_free(&got);
}

static ljs_key *derive(ljs_key_name name, const ljs_key *root)
{
    const ljs_derivation what = { .name = name,
                                  .dev_eui = rekey_number("dev_eui"),
                                  .join_eui = rekey_number("join_eui"),
                                  .epoch = (uint16_t)rekey_number("epoch") };
    ljs_key *key;

    assert_int_equal(ljs_derive(&key, &what, root), LJS_OK);
    return key;
}

/* The message reads as meant, builds again, and its MIC is the one that is in it. */
static void expect_message(const char *name, const ljs_key *key, const ljs_rekey_message *want)
{
    uint8_t octets[LJS_REKEY_MAX], mic[4];
    size_t len = rekey_octets(octets, sizeof octets, name);
    ljs_rekey_message got;
    ljs_buf built;

    assert_int_equal(ljs_rekey_parse(&got, octets, len), LJS_OK);
    assert_int_equal(ljs_rekey_build(&built, &got), LJS_OK);
    assert_int_equal(built.len, len);
    assert_memory_equal(built.data, octets, len);
    ljs_buf_free(&built);
    assert_int_equal(ljs_rekey_mic(mic, key, rekey_number("dev_eui"), octets, len), LJS_OK);
    assert_memory_equal(mic, octets + len - 4, 4);
    memcpy(got.mic, want->mic, sizeof got.mic);
    assert_int_equal(got.kind, want->kind);
    assert_int_equal(got.suite, want->suite);
    assert_int_equal(got.flags, want->flags);
    assert_int_equal(got.status, want->status);
    assert_int_equal(got.epoch, 7);
    assert_int_equal(got.join_eui, want->join_eui);
    assert_int_equal(got.data_len, want->data_len);
    assert_memory_equal(got.data, want->data, sizeof got.data);
    assert_memory_equal(got.kcv, want->kcv, sizeof got.kcv);
}

static void expect_kcv(const ljs_key *key, const char *name)
{
    uint8_t kcv[3];

    assert_int_equal(ljs_rekey_kcv(kcv, key), LJS_OK);
    expect(kcv, sizeof kcv, name);
}

/* The four keys that come of JK. */
static ljs_key *expect_roots(const ljs_key *join_key, const char *suite)
{
    static const struct {
        ljs_key_name key;
        const char *name;
    } rows[] = { { LJS_KEY_NEXT_NWK, "nwk" },
                 { LJS_KEY_NEXT_APP, "app" },
                 { LJS_KEY_NEXT_GEN_APP, "gen_app" },
                 { LJS_KEY_NEXT_REKEY, "rekey" } };
    ljs_key *nwk = NULL;

    for (size_t i = 0; i < 4; i++) {
        ljs_key *key = derive(rows[i].key, join_key);
        char name[32];

        snprintf(name, sizeof name, "%s.%s", suite, rows[i].name);
        expect_key(key, name);
        snprintf(name, sizeof name, "%s.%s_kcv", suite, rows[i].name);
        expect_kcv(key, name);
        if (i)
            ljs_key_free(key);
        else
            nwk = key;
    }
    return nwk;
}

static void test_suite_1(void **state)
{
    ljs_key *rk = rekey_key("rekey_key"), *rekey_int = derive(LJS_KEY_REKEY_INT, rk);
    ljs_key *jk = derive(LJS_KEY_REKEY_JOIN, rk), *nwk;
    ljs_rekey_message req = { .kind = LJS_REKEY_REQ,
                              .suite = LJS_REKEY_SUITE_1,
                              .flags = LJS_REKEY_JOIN_EUI | LJS_REKEY_APP_KEYS,
                              .join_eui = rekey_number("join_eui") };

    (void)state;
    rekey_octets(req.kcv, 3, "1.nwk_kcv");
    expect_key(rekey_int, "1.rekey_int");
    expect_key(jk, "1.join_key");
    nwk = expect_roots(jk, "1");
    expect_message("1.req", rekey_int, &req);
    expect_message("1.ans", nwk, &(ljs_rekey_message){ .kind = LJS_REKEY_ANS, .status = LJS_REKEY_OK });
    ljs_key_free(rk);
    ljs_key_free(rekey_int);
    ljs_key_free(jk);
    ljs_key_free(nwk);
}

static void test_suite_2(void **state)
{
    ljs_key *rk = rekey_key("rekey_key"), *rekey_int = derive(LJS_KEY_REKEY_INT, rk), *jk, *nwk;
    ljs_key *secret[] = { rekey_key("2.eph_secret"), rekey_key("2.dev_secret") };
    ljs_eui dev_eui = rekey_number("dev_eui"), join_eui = rekey_number("join_eui");
    ljs_rekey_message req = { .kind = LJS_REKEY_REQ,
                              .suite = LJS_REKEY_SUITE_2,
                              .flags = LJS_REKEY_JOIN_EUI | LJS_REKEY_APP_KEYS | LJS_REKEY_REKEY_KEY,
                              .join_eui = join_eui,
                              .data_len = 32 };
    uint8_t points[64], public_key[32];

    (void)state;
    rekey_octets(points, 32, "2.eph_public");
    rekey_octets(points + 32, 32, "2.dev_public");
    rekey_octets(req.data, 32, "2.eph_public");
    rekey_octets(req.kcv, 3, "2.nwk_kcv");
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(ljs_x25519_public(public_key, secret[i]), LJS_OK);
        assert_memory_equal(public_key, points + 32 * i, 32);
        assert_int_equal(ljs_rekey_agree(&jk, secret[i], dev_eui, join_eui, points, sizeof points), LJS_OK);
        expect_key(jk, "2.join_key");
        nwk = expect_roots(jk, "2");
        ljs_key_free(nwk);
        ljs_key_free(jk);
        assert_int_equal(ljs_rekey_agree(&jk, secret[i], dev_eui, join_eui, points, 63), LJS_E_INVAL);
        assert_null(jk);
    }
    expect_message("2.req", rekey_int, &req);
    assert_int_equal(ljs_rekey_agree(&jk, rk, dev_eui, join_eui, points, sizeof points), LJS_E_INVAL); /* 16 octets */
    points[0] ^= 1;                                                                                    /* neither's */
    points[32] ^= 1;
    assert_int_equal(ljs_rekey_agree(&jk, secret[0], dev_eui, join_eui, points, sizeof points), LJS_E_INVAL);
    points[0] ^= 1;
    memset(points + 32, 0, 32); /* no public key: all that agree with it agree on zero */
    assert_int_equal(ljs_rekey_agree(&jk, secret[0], dev_eui, join_eui, points, sizeof points), LJS_E_INVAL);
    ljs_key_free(rk);
    ljs_key_free(rekey_int);
    ljs_key_free(secret[0]);
    ljs_key_free(secret[1]);
}

static void test_suite_4(void **state)
{
    ljs_key *parent = rekey_key("4.parent"), *before = rekey_key("4.nwk_before"), *slot, *nwk;
    ljs_eui dev_eui = rekey_number("dev_eui"), join_eui = rekey_number("join_eui");
    ljs_rekey_message req = { .kind = LJS_REKEY_REQ,
                              .suite = LJS_REKEY_SUITE_4,
                              .flags = LJS_REKEY_JOIN_EUI | LJS_REKEY_APP_KEYS,
                              .join_eui = join_eui,
                              .data_len = 32 };
    uint8_t serial[9], octets[32];
    ljs_buf got;

    (void)state;
    rekey_octets(serial, 9, "4.serial");
    rekey_octets(req.data, 32, "4.mac");
    rekey_octets(req.kcv, 3, "4.nwk_kcv");
    assert_int_equal(ljs_rekey_temp_key(octets, dev_eui, join_eui, 7), LJS_OK);
    expect(octets, 32, "4.temp_key");
    assert_int_equal(ljs_rekey_slot_mac(octets, parent, serial, 9), LJS_OK);
    expect(octets, 32, "4.mac");
    assert_int_equal(ljs_rekey_slot_mac(octets, before, serial, 9), LJS_E_INVAL);
    assert_int_equal(ljs_rekey_slot_mac(octets, parent, serial, 8), LJS_E_INVAL);
    assert_int_equal(ljs_rekey_slot(&slot, before, dev_eui, join_eui, 7, serial, 9), LJS_E_INVAL);
    assert_null(slot);
    assert_int_equal(ljs_rekey_slot(&slot, parent, dev_eui, join_eui, 7, serial, 9), LJS_OK);
    assert_int_equal(ljs_key_export(&got, slot), LJS_OK);
    assert_int_equal(got.len, 32);
    expect(got.data, 16, "4.app");
    expect(got.data + 16, 16, "4.nwk");
    assert_int_equal(ljs_key_import(&nwk, got.data + 16, 16), LJS_OK);
    expect_kcv(nwk, "4.nwk_kcv");
    expect_message("4.req", before, &req);
    ljs_buf_free(&got);
    ljs_key_free(slot);
    ljs_key_free(nwk);
    ljs_key_free(parent);
    ljs_key_free(before);
}

/* Each length but the right one, each bit that is RFU, and each field out of its range. */
static void test_what_is_no_message(void **state)
{
    static const char *const names[] = { "1.req", "2.req", "4.req", "1.ans" };
    ljs_rekey_message m;
    ljs_buf built;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        uint8_t octets[LJS_REKEY_MAX + 1] = { 0 };
        size_t len = rekey_octets(octets, sizeof octets, names[i]);

        for (size_t n = 0; n <= sizeof octets; n++)
            assert_int_equal(ljs_rekey_parse(&m, octets, n), n == len ? LJS_OK : LJS_E_SIZE);
        for (unsigned kind = 0; kind < 256; kind++) {
            octets[0] = (uint8_t)kind;
            if (kind == 0 || kind > 3)
                assert_int_equal(ljs_rekey_parse(&m, octets, len), LJS_E_FRAME);
        }
    }
    assert_int_equal(ljs_rekey_parse(&m, (const uint8_t[8]){ 2, 8 }, 8), LJS_E_FRAME);
    assert_int_equal(ljs_rekey_parse(&m, (const uint8_t[8]){ 3, 1 }, 8), LJS_E_FRAME);
    assert_int_equal(ljs_rekey_parse(&m, (const uint8_t[8]){ 3, 0, 9, 1 }, 8), LJS_OK);
    assert_int_equal(m.epoch, 0x0109);
    assert_int_equal(ljs_rekey_parse(&m, (const uint8_t[12]){ 1, 0x70 }, 12), LJS_OK); /* of a later day */
    assert_int_equal(m.data_len, 1);
    assert_int_equal(ljs_rekey_build(&built, &(ljs_rekey_message){ .kind = LJS_REKEY_REQ, .suite = 16 }), LJS_E_INVAL);
    assert_int_equal(ljs_rekey_build(&built, &(ljs_rekey_message){ .kind = LJS_REKEY_REQ, .flags = 16 }), LJS_E_INVAL);
    assert_int_equal(ljs_rekey_build(&built, &(ljs_rekey_message){ .kind = LJS_REKEY_REQ, .suite = 2, .data_len = 33 }),
                     LJS_E_INVAL);
    assert_int_equal(ljs_rekey_build(&built, &(ljs_rekey_message){ .kind = LJS_REKEY_ANS, .status = 8 }), LJS_E_INVAL);
    assert_int_equal(ljs_rekey_build(&built, &(ljs_rekey_message){ .kind = LJS_REKEY_NO_MESSAGE }), LJS_E_INVAL);
    assert_string_equal(ljs_rekey_status_text(LJS_REKEY_UNSETTLED), "unsettled");
    assert_string_equal(ljs_rekey_status_text(LJS_REKEY_STATUS_END), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suite_1),
        cmocka_unit_test(test_suite_2),
        cmocka_unit_test(test_suite_4),
        cmocka_unit_test(test_what_is_no_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
