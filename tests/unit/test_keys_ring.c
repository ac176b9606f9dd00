/* A ring forgets: what was in it is neither in its slots nor anywhere in memory after it
 * was given back.  And many can be out at once. */
#include "keys/ring.h"

#include "base/cursor.h"
#include "base/secret.h"
#include "keys/vault.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static void reuse_leaves_nothing(void **state)
{
    struct ring *ring, *again;
    ljs_key *key;

    (void)state;
    assert_int_equal(ljs_key_generate(&key, 16), LJS_OK);
    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    for (int id = KEY_NWK; id < KEY_IDS; id++) {
        uint8_t block[16] = { 0 };

        assert_int_equal(ljs__ring_load(ring, (enum key_id)id, key), LJS_OK);
        assert_int_equal(ljs__decrypt(ring, (enum key_id)id, block, block, 16), LJS_OK);
    }
    ljs__ring_give(ring);
    assert_int_equal(ljs__ring_take(&again), LJS_OK);
    assert_ptr_equal(again, ring);
    for (int id = KEY_NONE; id < KEY_IDS; id++) {
        uint8_t block[16] = { 0 };
        ljs_key *out;

        assert_false(ljs__ring_has(again, (enum key_id)id));
        assert_int_equal(ljs__ring_key(&out, again, (enum key_id)id), LJS_E_NOKEY);
        assert_null(out);
        assert_int_equal(ljs__encrypt(again, (enum key_id)id, block, block, 16), LJS_E_NOKEY);
        assert_int_equal(ljs__decrypt(again, (enum key_id)id, block, block, 16), LJS_E_NOKEY);
        assert_int_equal(ljs__cmac(again, (enum key_id)id, block, block, 16), LJS_E_NOKEY);
    }
    ljs__ring_give(again);
    ljs__ring_give(NULL);
    ljs_key_free(key);
}

static void expect_cipher(struct ring *ring, enum key_id id, const ljs_key *key)
{
    uint8_t in[16] = { 7 }, got[16], want[16];

    assert_int_equal(ljs__encrypt(ring, id, got, in, 16), LJS_OK);
    assert_int_equal(ljs_aes_encrypt(want, key, in, 16), LJS_OK);
    assert_memory_equal(got, want, 16);
    assert_int_equal(ljs__decrypt(ring, id, got, got, 16), LJS_OK);
    assert_memory_equal(got, in, 16);
}

/* Whatever changes a slot, the next operation is under the new key. */
static void schedules_follow_slots(void **state)
{
    static const size_t lens[] = { 16, 16, 32, 24, 32, 16 };
    ljs_key *keys[COUNT(lens)];
    struct ring *ring;
    uint8_t block[16] = { 0 };

    (void)state;
    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    for (size_t i = 0; i < COUNT(lens); i++) {
        assert_int_equal(ljs_key_generate(&keys[i], lens[i]), LJS_OK);
        assert_int_equal(ljs__ring_load(ring, KEY_NWK, keys[i]), LJS_OK);
        expect_cipher(ring, KEY_NWK, keys[i]);
    }
    assert_int_equal(ljs__ring_load(ring, KEY_APP, keys[0]), LJS_OK);
    expect_cipher(ring, KEY_APP, keys[0]);
    expect_cipher(ring, KEY_NWK, keys[5]);
    ljs__ring_move(ring, KEY_APP, KEY_NWK);
    expect_cipher(ring, KEY_APP, keys[5]);
    assert_false(ljs__ring_has(ring, KEY_NWK));
    assert_int_equal(ljs__encrypt(ring, KEY_NWK, block, block, 16), LJS_E_NOKEY);
    ljs__ring_move(ring, KEY_APP, KEY_APP);
    expect_cipher(ring, KEY_APP, keys[5]);
    ljs__ring_drop(ring, KEY_APP);
    assert_int_equal(ljs__encrypt(ring, KEY_APP, block, block, 16), LJS_E_NOKEY);
    ljs__ring_move(ring, KEY_NWK, KEY_APP); /* nothing, moved, is nothing */
    assert_false(ljs__ring_has(ring, KEY_NWK));
    ljs__ring_give(ring);
    for (size_t i = 0; i < COUNT(lens); i++)
        ljs_key_free(keys[i]);
}

static void many_at_once(void **state)
{
    enum { RINGS = 100 };
    struct ring *rings[RINGS];
    ljs_key *keys[RINGS];

    (void)state;
    for (int times = 0; times < 2; times++) {
        for (size_t i = 0; i < RINGS; i++) {
            assert_int_equal(ljs_key_generate(&keys[i], 16 + 8 * (i % 3)), LJS_OK);
            assert_int_equal(ljs__ring_take(&rings[i]), LJS_OK);
            assert_int_equal(ljs__ring_load(rings[i], KEY_APP, keys[i]), LJS_OK);
        }
        for (size_t i = 0; i < RINGS; i++)
            expect_cipher(rings[i], KEY_APP, keys[i]);
        for (size_t i = 0; i < RINGS; i++) {
            ljs__ring_give(rings[i]);
            ljs_key_free(keys[i]);
        }
    }
}

/* ---- no key stays in memory -------------------------------------------------- */

enum { MASK = 0x5a, MASKED_MAX = 16 };

/* What to look for, masked, so that it is not found here. */
static struct {
    uint8_t octets[MASKED_MAX][16];
    size_t n;
} masked;

static void mask(const ljs_key *key)
{
    ljs_buf octets;

    assert_true(masked.n < MASKED_MAX);
    assert_int_equal(ljs_key_export(&octets, key), LJS_OK);
    for (size_t i = 0; i < 16; i++)
        masked.octets[masked.n][i] = octets.data[i] ^ MASK;
    masked.n++;
    ljs_buf_free(&octets);
}

static uint8_t window[1 << 16];

static size_t hits_in_window(size_t len)
{
    size_t hits = 0;

    for (size_t i = 0; i + 16 <= len; i++)
        for (size_t k = 0; k < masked.n; k++)
            if ((window[i] ^ MASK) == masked.octets[k][0]) {
                size_t j = 1;

                while (j < 16 && (window[i + j] ^ MASK) == masked.octets[k][j])
                    j++;
                hits += j == 16;
            }
    return hits;
}

/* Is any page of these in memory or in swap?  A sanitizer maps much that it never touches. */
static bool touched(int pagemap, uintptr_t from, size_t len)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint64_t entries[sizeof window / 4096 + 1];
    size_t n = (from % page + len + page - 1) / page;
    ssize_t got = pread(pagemap, entries, n * sizeof *entries, (off_t)(from / page * sizeof *entries));

    if (got != (ssize_t)(n * sizeof *entries))
        return true; /* no such file here: read them all */
    for (size_t i = 0; i < n; i++)
        if (entries[i] >> 62)
            return true;
    return false;
}

/* How often any of the keys stands in any mapping of this process. */
static size_t scan(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    int mem = open("/proc/self/mem", O_RDONLY), pagemap = open("/proc/self/pagemap", O_RDONLY);
    size_t hits = 0;
    char line[512];

    assert_non_null(maps);
    assert_true(mem >= 0);
    while (fgets(line, sizeof line, maps)) {
        uintptr_t from, to, self = (uintptr_t)window;

        assert_int_equal(sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to), 2);
        if (to - from > (uintptr_t)1 << 30) /* reserved by a sanitizer, not memory */
            continue;
        while (from < to) {
            size_t want = to - from < sizeof window ? to - from : sizeof window;
            bool last;

            if (from >= self && from < self + sizeof window) {
                from = self + sizeof window;
                continue;
            }
            if (from < self && want > self - from)
                want = self - from;
            last = from + want == to || from + want == self;
            if (touched(pagemap, from, want)) {
                ssize_t got = pread(mem, window, want, (off_t)from);

                if (got > 0)
                    hits += hits_in_window((size_t)got);
            }
            from += last ? want : want - 15; /* a key may lie across the edge of two windows */
        }
    }
    fclose(maps);
    close(mem);
    close(pagemap);
    memset(window, 0, sizeof window);
    return hits;
}

static void load_new(struct ring *ring, enum key_id id)
{
    ljs_key *key;

    assert_int_equal(ljs_key_generate(&key, 16), LJS_OK);
    mask(key);
    assert_int_equal(ljs__ring_load(ring, id, key), LJS_OK);
    ljs_key_free(key);
}

static void mask_slot(struct ring *ring, enum key_id id)
{
    ljs_key *key;

    assert_int_equal(ljs__ring_key(&key, ring, id), LJS_OK);
    mask(key);
    ljs_key_free(key);
}

/* All that a join does, and a rejoin's opening of what is sealed. */
static void work(struct ring *ring, const ljs_vault *vault)
{
    static const enum key_id root_ids[] = { KEY_NWK, KEY_APP };
    static const enum key_role root_roles[] = { ROLE_NWK, ROLE_APP };
    static const enum key_id to_ns[] = { KEY_F_NWK_S_INT, KEY_S_NWK_S_INT, KEY_NWK_S_ENC };
    uint8_t join_request[19 + 16] = { 0 }; /* the CMAC whole, where its MIC stands */
    const ljs_derivation what = { .scheme = LJS_SCHEME_1_1, .join_nonce = 5, .join_eui = 6, .nonce = 7 };
    const ljs_accept accept = { .join_nonce = 5, .has_cf_list = 1 };
    const ljs_accept_of of = { LJS_SCHEME_1_1, LJS_FRAME_JOIN, 6, 7 };
    ljs_envelope e[3], *const out[] = { &e[0], &e[1], &e[2] };
    uint8_t phy[LJS_ACCEPT_MAX], fingerprint[16];
    struct wr sealed = { 0 };
    size_t phy_len;

    assert_int_equal(ljs__vault_seal(&sealed, vault, ring, root_ids, root_roles, 2, NULL, 0), LJS_OK);
    ljs__ring_drop(ring, KEY_NWK);
    ljs__ring_drop(ring, KEY_APP);
    assert_int_equal(ljs__vault_open(vault, ring, root_ids, root_roles, 2, NULL, 0, sealed.data, sealed.len), LJS_OK);
    assert_int_equal(ljs__vault_fingerprint(fingerprint, vault, ring, root_ids, root_roles, 2), LJS_OK);
    ljs__wr_drop(&sealed);
    assert_int_equal(ljs__frame_check(ring, KEY_NWK, join_request, 23), LJS_E_MIC);
    assert_int_equal(ljs__derive_js(ring, 8), LJS_OK);
    assert_int_equal(ljs__join_check(ring, join_request, 23, &what), LJS_E_MIC);
    assert_int_equal(ljs__cmac(ring, KEY_NWK, join_request + 19, join_request, 19), LJS_OK);
    assert_int_equal(ljs__join_check(ring, join_request, 23, &what), LJS_OK);
    assert_int_equal(ljs__derive_app(ring, &what), LJS_OK);
    assert_int_equal(ljs__accept_seal(ring, phy, &phy_len, &accept, &of, KEY_JS_INT, KEY_NWK), LJS_OK);
    assert_int_equal(ljs__derive_session(ring, &what), LJS_OK);
    assert_int_equal(ljs__ring_envelopes(out, ring, to_ns, 3, KEY_NS_KEK, "ns"), LJS_OK);
}

static void idle_memory_holds_no_key(void **state)
{
    static const uint8_t master[32] = { 1, 2, 3 };
    static const uint8_t wrapped[24] = { 0 };
    uint8_t *planted = malloc(16), block[16] = { 0 };
    ljs_key *key, *kek, *opened;
    ljs_envelope e = { .kek_label = "x", .key_len = 24 };
    ljs_vault *vault;
    struct ring *ring;

    (void)state;
    assert_non_null(planted);
    assert_int_equal(ljs_vault_new(&vault, master, sizeof master), LJS_OK);
    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    load_new(ring, KEY_NWK);
    load_new(ring, KEY_APP);
    load_new(ring, KEY_NS_KEK);
    work(ring, vault);
    for (int id = KEY_JS_INT; id <= KEY_APP_S; id++)
        mask_slot(ring, (enum key_id)id);
    assert_int_equal(masked.n, 9);
    assert_in_range(scan(), masked.n, 100); /* while they are in use: in their slots at least */
    ljs__ring_give(ring);

    /* the public functions on handles */
    assert_int_equal(ljs_key_generate(&key, 16), LJS_OK);
    assert_int_equal(ljs_key_generate(&kek, 16), LJS_OK);
    mask(key);
    mask(kek);
    assert_int_equal(ljs_aes_decrypt(block, key, block, 16), LJS_OK);
    assert_int_equal(ljs_aes_cmac(block, key, block, 16), LJS_OK);
    assert_int_equal(ljs_envelope_open(&opened, &e, kek), LJS_E_SEAL);
    assert_int_equal(ljs_envelope_seal(&e, key, kek, "x"), LJS_OK);
    assert_int_equal(ljs_envelope_open(&opened, &e, kek), LJS_OK);
    ljs_key_free(opened);
    assert_int_equal(ljs_mc_key_decrypt(&opened, kek, wrapped, 16), LJS_OK);
    mask(opened);
    assert_int_equal(ljs_mc_key_encrypt(block, kek, opened), LJS_OK);
    ljs_key_free(opened);
    assert_in_range(scan(), 2, 2); /* the two handles, and nowhere else */
    ljs_key_free(key);
    ljs_key_free(kek);

    assert_int_equal(scan(), 0);
    for (size_t i = 0; i < 16; i++) /* the scanner sees what is there */
        planted[i] = masked.octets[masked.n - 1][i] ^ MASK;
    assert_int_equal(scan(), 1);
    ljs__wipe(planted, 16);
    assert_int_equal(scan(), 0);
    free(planted);
    ljs_vault_free(vault);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reuse_leaves_nothing),
        cmocka_unit_test(schedules_follow_slots),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(idle_memory_holds_no_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
