/* The derivation table against another one, written from the specifications by hand, and
 * the gathered derivations against single ones. */
#include "base/secret.h"
#include "keys/ring.h"

#include <lorajs/frame.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/cursor.h"

enum { NAMES = LJS_KEY_LOT_REKEY + 1 };

static const ljs_derivation inputs = {
    .dev_eui = 0xd0d1d2d3d4d5d6d7,
    .join_eui = 0xe0e1e2e3e4e5e6e7,
    .net_id = 0xa0a1a2,
    .join_nonce = 0xb0b1b2,
    .nonce = 0xc0c1,
    .epoch = 0x9091,
    .mc_addr = 0xf0f1f2f3,
};

#define ZEROS  "000000000000000000000000000000"
#define NET    "b2b1b0a2a1a0c1c0"           /* JoinNonce | NetID | DevNonce, as on air */
#define JOIN   "b2b1b0e7e6e5e4e3e2e1e0c1c0" /* JoinNonce | JoinEUI | DevNonce */
#define DEVICE "d7d6d5d4d3d2d1d0"
#define ADDR   "f3f2f1f0"
#define EUI    "e7e6e5e4e3e2e1e0"
#define EPOCH  "919000000000000000000000000000"

/* The block that is encrypted, whole; scheme 1.0 and scheme 1.1. */
static const char *const blocks[NAMES][2] = {
    [LJS_KEY_NONE] = { NULL, NULL },
    [LJS_KEY_JS_INT] = { "06" DEVICE "00000000000000", "06" DEVICE "00000000000000" },
    [LJS_KEY_JS_ENC] = { "05" DEVICE "00000000000000", "05" DEVICE "00000000000000" },
    [LJS_KEY_F_NWK_S_INT] = { "01" NET "00000000000000", "01" JOIN "0000" },
    [LJS_KEY_S_NWK_S_INT] = { "01" NET "00000000000000", "03" JOIN "0000" },
    [LJS_KEY_NWK_S_ENC] = { "01" NET "00000000000000", "04" JOIN "0000" },
    [LJS_KEY_APP_S] = { "02" NET "00000000000000", "02" JOIN "0000" },
    [LJS_KEY_MC_ROOT] = { "00" ZEROS, "20" ZEROS },
    [LJS_KEY_MC_KE] = { "00" ZEROS, "00" ZEROS },
    [LJS_KEY_MC_APP_S] = { "01" ADDR "0000000000000000000000", "01" ADDR "0000000000000000000000" },
    [LJS_KEY_MC_NET_S] = { "02" ADDR "0000000000000000000000", "02" ADDR "0000000000000000000000" },
    [LJS_KEY_ROOT_WOR_S] = { "01" ZEROS, "01" ZEROS },
    [LJS_KEY_DATA_BLOCK_INT] = { "30" ZEROS, "30" ZEROS },
    [LJS_KEY_REKEY_INT] = { "e1" DEVICE "00000000000000", "e1" DEVICE "00000000000000" },
    [LJS_KEY_REKEY_JOIN] = { "e2" EUI "00000000000000", "e2" EUI "00000000000000" },
    [LJS_KEY_NEXT_NWK] = { "01" EPOCH, "01" EPOCH },
    [LJS_KEY_NEXT_APP] = { "02" EPOCH, "02" EPOCH },
    [LJS_KEY_NEXT_GEN_APP] = { "03" EPOCH, "03" EPOCH },
    [LJS_KEY_NEXT_REKEY] = { "0f" EPOCH, "0f" EPOCH },
    [LJS_KEY_LOT_NWK] = { "d1" DEVICE "00000000000000", "d1" DEVICE "00000000000000" },
    [LJS_KEY_LOT_APP] = { "d2" DEVICE "00000000000000", "d2" DEVICE "00000000000000" },
    [LJS_KEY_LOT_GEN_APP] = { "d3" DEVICE "00000000000000", "d3" DEVICE "00000000000000" },
    [LJS_KEY_LOT_REKEY] = { "d4" DEVICE "00000000000000", "d4" DEVICE "00000000000000" },
};

static void expect_export(const ljs_key *key, const uint8_t want[16])
{
    ljs_buf got;

    assert_int_equal(ljs_key_export(&got, key), LJS_OK);
    assert_int_equal(got.len, 16);
    assert_memory_equal(got.data, want, 16);
    ljs_buf_free(&got);
}

static void whole_table(void **state)
{
    ljs_key *root, *key;

    (void)state;
    assert_int_equal(ljs_key_generate(&root, 16), LJS_OK);
    for (int name = -1; name <= NAMES; name++)
        for (int scheme = 0; scheme <= 12; scheme++) {
            ljs_derivation what = inputs;
            bool named = name > LJS_KEY_NONE && name < NAMES;
            const char *text = NULL;
            uint8_t in[16], want[16];
            ljs_err err;

            what.name = (ljs_key_name)name;
            what.scheme = (ljs_scheme)scheme;
            if (named && scheme == LJS_SCHEME_1_0)
                text = blocks[name][0];
            else if (named && scheme == LJS_SCHEME_1_1)
                text = blocks[name][1];
            else if (named && !strcmp(blocks[name][0], blocks[name][1]))
                text = blocks[name][0]; /* takes no scheme */
            err = ljs_derive(&key, &what, root);
            if (!text) {
                assert_int_equal(err, LJS_E_INVAL);
                assert_null(key);
                continue;
            }
            assert_int_equal(err, LJS_OK);
            assert_true(ljs__hex(in, sizeof in, text, strlen(text)));
            assert_int_equal(ljs_aes_encrypt(want, root, in, sizeof in), LJS_OK);
            expect_export(key, want);
            ljs_key_free(key);
        }
    ljs_key_free(root);
}

static void ranges(void **state)
{
    ljs_derivation what = inputs;
    ljs_key *root, *kek, *key;

    (void)state;
    assert_int_equal(ljs_key_generate(&root, 16), LJS_OK);
    assert_int_equal(ljs_key_generate(&kek, 32), LJS_OK);

    what.name = LJS_KEY_F_NWK_S_INT;
    what.scheme = LJS_SCHEME_1_0;
    assert_int_equal(ljs_derive(&key, &what, kek), LJS_E_INVAL);
    what.join_nonce = 0x1000000;
    assert_int_equal(ljs_derive(&key, &what, root), LJS_E_INVAL);
    what.join_nonce = 0xffffff;
    assert_int_equal(ljs_derive(&key, &what, root), LJS_OK);
    ljs_key_free(key);
    what.net_id = 0x1000000;
    assert_int_equal(ljs_derive(&key, &what, root), LJS_E_INVAL);
    assert_null(key);
    what.scheme = LJS_SCHEME_1_1; /* takes no NetID */
    assert_int_equal(ljs_derive(&key, &what, root), LJS_OK);
    ljs_key_free(key);
    ljs_key_free(root);
    ljs_key_free(kek);
}

static void expect_slot(struct ring *ring, enum key_id id, ljs_key_name name, ljs_scheme scheme, const ljs_key *root)
{
    ljs_derivation what = inputs;
    ljs_key *want, *got;
    ljs_buf octets;

    what.name = name;
    what.scheme = scheme;
    assert_int_equal(ljs_derive(&want, &what, root), LJS_OK);
    assert_int_equal(ljs__ring_key(&got, ring, id), LJS_OK);
    assert_int_equal(ljs_key_export(&octets, want), LJS_OK);
    expect_export(got, octets.data);
    ljs_buf_free(&octets);
    ljs_key_free(want);
    ljs_key_free(got);
}

static void gathered(void **state)
{
    static const ljs_scheme schemes[] = { LJS_SCHEME_1_0, LJS_SCHEME_1_1 };
    ljs_key *nwk, *app;

    (void)state;
    assert_int_equal(ljs_key_generate(&nwk, 16), LJS_OK);
    assert_int_equal(ljs_key_generate(&app, 16), LJS_OK);
    for (size_t i = 0; i < COUNT(schemes); i++) {
        const ljs_key *app_root = schemes[i] == LJS_SCHEME_1_1 ? app : nwk;
        ljs_derivation what = inputs;
        struct ring *ring;

        what.scheme = schemes[i];
        assert_int_equal(ljs__ring_take(&ring), LJS_OK);
        assert_int_equal(ljs__derive_session(ring, &what), LJS_E_NOKEY);
        assert_int_equal(ljs__ring_load(ring, KEY_NWK, nwk), LJS_OK);
        if (schemes[i] == LJS_SCHEME_1_1) {
            assert_int_equal(ljs__derive_session(ring, &what), LJS_E_NOKEY);
            assert_int_equal(ljs__ring_load(ring, KEY_APP, app), LJS_OK);
        }
        assert_int_equal(ljs__derive_session(ring, &what), LJS_OK);
        assert_int_equal(ljs__derive_js(ring, what.dev_eui), LJS_OK);
        expect_slot(ring, KEY_F_NWK_S_INT, LJS_KEY_F_NWK_S_INT, schemes[i], nwk);
        expect_slot(ring, KEY_S_NWK_S_INT, LJS_KEY_S_NWK_S_INT, schemes[i], nwk);
        expect_slot(ring, KEY_NWK_S_ENC, LJS_KEY_NWK_S_ENC, schemes[i], nwk);
        expect_slot(ring, KEY_APP_S, LJS_KEY_APP_S, schemes[i], app_root);
        expect_slot(ring, KEY_JS_INT, LJS_KEY_JS_INT, schemes[i], nwk);
        expect_slot(ring, KEY_JS_ENC, LJS_KEY_JS_ENC, schemes[i], nwk);
        what.scheme = (ljs_scheme)0;
        assert_int_equal(ljs__derive_session(ring, &what), LJS_E_INVAL);
        ljs__ring_give(ring);
    }
    ljs_key_free(nwk);
    ljs_key_free(app);
}

/* What a join derives beside its MIC is what it derives without. */
static void beside_a_mic(void **state)
{
    static const ljs_scheme schemes[] = { LJS_SCHEME_1_0, LJS_SCHEME_1_1 };
    static const enum key_id all[] = { KEY_JS_INT,      KEY_JS_ENC,    KEY_F_NWK_S_INT,
                                       KEY_S_NWK_S_INT, KEY_NWK_S_ENC, KEY_APP_S };
    const ljs_frame request = { .kind = LJS_FRAME_JOIN, .join_eui = 1, .dev_eui = 2, .nonce = 3 };
    ljs_key *nwk, *app, *longer;
    ljs_buf phy;

    (void)state;
    assert_int_equal(ljs_key_generate(&nwk, 16), LJS_OK);
    assert_int_equal(ljs_key_generate(&app, 16), LJS_OK);
    assert_int_equal(ljs_key_generate(&longer, 32), LJS_OK);
    assert_int_equal(ljs_frame_sign(&phy, &request, nwk), LJS_OK);
    for (size_t i = 0; i < COUNT(schemes); i++) {
        bool v11 = schemes[i] == LJS_SCHEME_1_1;
        ljs_derivation what = inputs, beyond;
        struct ring *ring;

        what.scheme = schemes[i];
        assert_int_equal(ljs__ring_take(&ring), LJS_OK);
        assert_int_equal(ljs__join_check(ring, phy.data, phy.len, &what), LJS_E_NOKEY);
        assert_int_equal(ljs__ring_load(ring, KEY_NWK, longer), LJS_OK);
        assert_int_equal(ljs__join_check(ring, phy.data, phy.len, &what), LJS_E_INVAL);
        assert_int_equal(ljs__ring_load(ring, KEY_APP, app), LJS_OK);
        assert_int_equal(ljs__ring_load(ring, KEY_NWK, nwk), LJS_OK);
        assert_int_equal(ljs__join_check(ring, phy.data, 4, &what), LJS_E_SIZE);
        beyond = what;
        beyond.scheme = (ljs_scheme)0;
        assert_int_equal(ljs__join_check(ring, phy.data, phy.len, &beyond), LJS_E_INVAL);
        beyond = what;
        beyond.join_nonce = 1 << 24;
        assert_int_equal(ljs__join_check(ring, phy.data, phy.len, &beyond), LJS_E_INVAL);
        for (size_t at = 0; at < phy.len; at++) {
            phy.data[at] ^= 1;
            assert_int_equal(ljs__join_check(ring, phy.data, phy.len, &what), LJS_E_MIC);
            phy.data[at] ^= 1;
        }
        for (size_t id = 0; id < COUNT(all); id++)
            assert_false(ljs__ring_has(ring, all[id])); /* of a MIC that is wrong nothing comes */

        assert_int_equal(ljs__join_check(ring, phy.data, phy.len, &what), LJS_OK);
        expect_slot(ring, KEY_F_NWK_S_INT, LJS_KEY_F_NWK_S_INT, schemes[i], nwk);
        expect_slot(ring, KEY_S_NWK_S_INT, LJS_KEY_S_NWK_S_INT, schemes[i], nwk);
        expect_slot(ring, KEY_NWK_S_ENC, LJS_KEY_NWK_S_ENC, schemes[i], nwk);
        assert_int_equal(ljs__ring_has(ring, KEY_JS_INT), v11);
        assert_int_equal(ljs__ring_has(ring, KEY_APP_S), !v11);
        assert_false(ljs__ring_has(ring, KEY_JS_ENC));
        if (v11) {
            expect_slot(ring, KEY_JS_INT, LJS_KEY_JS_INT, schemes[i], nwk);
            assert_int_equal(ljs__derive_app(ring, &what), LJS_OK);
        }
        expect_slot(ring, KEY_APP_S, LJS_KEY_APP_S, schemes[i], v11 ? app : nwk);
        for (size_t len = 1; len <= 48; len++) { /* of one block, and of more */
            uint8_t in[48 + 4] = { 0x11, 0x22 }, cmac[16];

            assert_int_equal(ljs_aes_cmac(cmac, nwk, in, len), LJS_OK);
            memcpy(in + len, cmac, 4);
            ljs__ring_drop(ring, KEY_F_NWK_S_INT);
            assert_int_equal(ljs__join_check(ring, in, len + 4, &what), LJS_OK);
            expect_slot(ring, KEY_F_NWK_S_INT, LJS_KEY_F_NWK_S_INT, schemes[i], nwk);
        }
        ljs__ring_give(ring);
    }
    ljs_buf_free(&phy);
    ljs_key_free(nwk);
    ljs_key_free(app);
    ljs_key_free(longer);
}

/* A key derived over its own root: the schedule of the old one must not be used on. */
static void chain_in_place(void **state)
{
    static const ljs_key_name steps[] = { LJS_KEY_MC_ROOT, LJS_KEY_MC_KE, LJS_KEY_ROOT_WOR_S };
    ljs_key *root, *key, *next;
    struct ring *ring;

    (void)state;
    assert_int_equal(ljs_key_generate(&root, 16), LJS_OK);
    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    assert_int_equal(ljs__ring_load(ring, KEY_WORK, root), LJS_OK);
    key = root;
    for (size_t i = 0; i < COUNT(steps); i++) {
        ljs_derivation what = inputs;
        ljs_buf octets;

        what.name = steps[i];
        what.scheme = LJS_SCHEME_1_1;
        assert_int_equal(ljs__derive(ring, KEY_WORK, KEY_WORK, &what), LJS_OK);
        assert_int_equal(ljs_derive(&next, &what, key), LJS_OK);
        ljs_key_free(key);
        key = next;
        assert_int_equal(ljs__ring_key(&next, ring, KEY_WORK), LJS_OK);
        assert_int_equal(ljs_key_export(&octets, key), LJS_OK);
        expect_export(next, octets.data);
        ljs_buf_free(&octets);
        ljs_key_free(next);
    }
    ljs_key_free(key);
    ljs__ring_give(ring);
}

static void multicast_key_lengths(void **state)
{
    ljs_key *ke, *kek, *mc, *out;
    uint8_t octets[16] = { 0 };

    (void)state;
    assert_int_equal(ljs_key_generate(&ke, 16), LJS_OK);
    assert_int_equal(ljs_key_generate(&mc, 16), LJS_OK);
    assert_int_equal(ljs_key_generate(&kek, 24), LJS_OK);
    assert_int_equal(ljs_mc_key_encrypt(octets, kek, mc), LJS_E_INVAL);
    assert_int_equal(ljs_mc_key_encrypt(octets, ke, kek), LJS_E_INVAL);
    assert_int_equal(ljs_mc_key_decrypt(&out, kek, octets, 16), LJS_E_INVAL);
    assert_int_equal(ljs_mc_key_decrypt(&out, ke, octets, 17), LJS_E_INVAL);
    assert_null(out);
    ljs_key_free(ke);
    ljs_key_free(mc);
    ljs_key_free(kek);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_table),  cmocka_unit_test(ranges),         cmocka_unit_test(gathered),
        cmocka_unit_test(beside_a_mic), cmocka_unit_test(chain_in_place), cmocka_unit_test(multicast_key_lengths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
