/* What is sealed comes back only whole, from the same vault, for the same owner. */
#include "keys/vault.h"

#include "base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static const enum key_id ids[] = { KEY_NWK, KEY_APP, KEY_GEN_APP, KEY_REKEY, KEY_NS_KEK };
static const enum key_role roles[] = { ROLE_NWK, ROLE_APP, ROLE_GEN_APP, ROLE_REKEY, ROLE_KEK };
static const size_t lens[] = { 16, 16, 16, 16, 32 };
static const uint8_t owner[] = "owner";

static ljs_vault *new_vault(uint8_t first)
{
    uint8_t master[32] = { first };
    ljs_vault *vault;

    assert_int_equal(ljs_vault_new(&vault, master, sizeof master), LJS_OK);
    return vault;
}

static void expect_same(struct ring *ring, enum key_id id, const ljs_key *want)
{
    ljs_buf a, b;
    ljs_key *got;

    assert_int_equal(ljs__ring_key(&got, ring, id), LJS_OK);
    assert_int_equal(ljs_key_export(&a, got), LJS_OK);
    assert_int_equal(ljs_key_export(&b, want), LJS_OK);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    ljs_buf_free(&a);
    ljs_buf_free(&b);
    ljs_key_free(got);
}

static void lengths(void **state)
{
    static const uint8_t octets[40];

    (void)state;
    for (size_t len = 0; len <= sizeof octets; len++) {
        ljs_vault *vault;

        assert_int_equal(ljs_vault_new(&vault, octets, len), len == 32 ? LJS_OK : LJS_E_INVAL);
        assert_true(!vault == (len != 32));
        ljs_vault_free(vault);
    }
    ljs_vault_free(NULL);
}

static void every_subset(void **state)
{
    ljs_vault *vault = new_vault(1);
    ljs_key *keys[COUNT(ids)];
    struct ring *ring;

    (void)state;
    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    for (size_t i = 0; i < COUNT(ids); i++)
        assert_int_equal(ljs_key_generate(&keys[i], lens[i]), LJS_OK);
    for (unsigned filled = 0; filled < 1u << COUNT(ids); filled++)
        for (unsigned asked = 0; asked < 1u << COUNT(ids); asked++) {
            enum key_id some_ids[COUNT(ids)];
            enum key_role some_roles[COUNT(ids)];
            struct wr sealed = { 0 };
            size_t n = 0;

            for (size_t i = 0; i < COUNT(ids); i++) {
                ljs__ring_drop(ring, ids[i]);
                if (filled >> i & 1)
                    assert_int_equal(ljs__ring_load(ring, ids[i], keys[i]), LJS_OK);
                if (asked >> i & 1) {
                    some_ids[n] = ids[i];
                    some_roles[n++] = roles[i];
                }
            }
            assert_int_equal(ljs__vault_seal(&sealed, vault, ring, ids, roles, COUNT(ids), owner, sizeof owner),
                             LJS_OK);
            /* stale keys must not pass for opened ones */
            for (size_t i = 0; i < COUNT(ids); i++)
                assert_int_equal(ljs__ring_load(ring, ids[i], keys[4]), LJS_OK);
            assert_int_equal(
                ljs__vault_open(vault, ring, some_ids, some_roles, n, owner, sizeof owner, sealed.data, sealed.len),
                LJS_OK);
            for (size_t i = 0; i < COUNT(ids); i++)
                if (!(asked >> i & 1))
                    expect_same(ring, ids[i], keys[4]);
                else if (filled >> i & 1)
                    expect_same(ring, ids[i], keys[i]);
                else
                    assert_false(ljs__ring_has(ring, ids[i]));
            ljs__wr_drop(&sealed);
        }
    ljs__ring_give(ring);
    for (size_t i = 0; i < COUNT(ids); i++)
        ljs_key_free(keys[i]);
    ljs_vault_free(vault);
}

static void expect_closed(const ljs_vault *vault, struct ring *ring, const uint8_t *ad, size_t ad_len,
                          const uint8_t *in, size_t in_len, ljs_err want)
{
    assert_int_equal(ljs__vault_open(vault, ring, ids, roles, COUNT(ids), ad, ad_len, in, in_len), want);
    for (size_t i = 0; i < COUNT(ids); i++)
        assert_false(ljs__ring_has(ring, ids[i]));
}

static void tampered(void **state)
{
    static uint8_t long_ad[2048];
    ljs_vault *vault = new_vault(1), *other = new_vault(2), *same = new_vault(1);
    struct wr sealed = { 0 }, again = { 0 };
    struct ring *ring;
    ljs_key *key;

    (void)state;
    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    assert_int_equal(ljs_key_generate(&key, 16), LJS_OK);
    assert_int_equal(ljs__ring_load(ring, KEY_NWK, key), LJS_OK);
    assert_int_equal(ljs__ring_load(ring, KEY_APP, key), LJS_OK);
    assert_int_equal(ljs__vault_seal(&sealed, vault, ring, ids, roles, 2, owner, sizeof owner), LJS_OK);
    assert_int_equal(ljs__vault_seal(&again, vault, ring, ids, roles, 2, owner, sizeof owner), LJS_OK);
    assert_int_equal(sealed.len, again.len);
    assert_memory_not_equal(sealed.data, again.data, sealed.len); /* a new nonce each time */
    assert_int_equal(ljs__vault_seal(&again, vault, ring, ids, roles, 2, long_ad, sizeof long_ad), LJS_E_INVAL);

    for (size_t bit = 0; bit < 8 * sealed.len; bit++) {
        sealed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        expect_closed(vault, ring, owner, sizeof owner, sealed.data, sealed.len,
                      bit < 8 ? LJS_E_VERSION : LJS_E_SEAL); /* the first octet is the format */
        sealed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t len = 0; len < sealed.len; len++)
        expect_closed(vault, ring, owner, sizeof owner, sealed.data, len, LJS_E_SEAL);
    expect_closed(vault, ring, owner, sizeof owner - 1, sealed.data, sealed.len, LJS_E_SEAL);
    expect_closed(vault, ring, NULL, 0, sealed.data, sealed.len, LJS_E_SEAL);
    expect_closed(vault, ring, long_ad, sizeof long_ad, sealed.data, sealed.len, LJS_E_INVAL);
    expect_closed(other, ring, owner, sizeof owner, sealed.data, sealed.len, LJS_E_SEAL);
    assert_int_equal(ljs__vault_open(same, ring, ids, roles, COUNT(ids), owner, sizeof owner, sealed.data, sealed.len),
                     LJS_OK);
    expect_same(ring, KEY_NWK, key);
    ljs__wr(&sealed, "", 1);
    expect_closed(vault, ring, owner, sizeof owner, sealed.data, sealed.len, LJS_E_SEAL);

    ljs__wr_drop(&sealed);
    ljs__wr_drop(&again);
    ljs__ring_give(ring);
    ljs_key_free(key);
    ljs_vault_free(vault);
    ljs_vault_free(other);
    ljs_vault_free(same);
}

static void tags(void **state)
{
    static const uint8_t text[] = "what is tagged";
    static const enum tag_domain domains[] = { TAG_DEVICE, TAG_KEK, TAG_STORE, TAG_LOG, TAG_AUDIT, TAG_RECORD };
    ljs_vault *vault = new_vault(1), *other = new_vault(2);

    (void)state;
    for (size_t i = 0; i < COUNT(domains); i++)
        for (size_t len = 0; len <= sizeof text; len++) {
            enum tag_domain domain = domains[i];
            struct wr w = { 0 };

            ljs__wr(&w, text, len);
            assert_int_equal(ljs__vault_tag(&w, vault, domain), LJS_OK);
            assert_int_equal(w.len, len + 16);
            for (size_t d = 0; d < COUNT(domains); d++)
                assert_int_equal(ljs__vault_check(vault, domains[d], w.data, w.len), d == i ? LJS_OK : LJS_E_SEAL);
            assert_int_equal(ljs__vault_check(other, domain, w.data, w.len), LJS_E_SEAL);
            for (size_t bit = 0; bit < 8 * w.len; bit++) {
                w.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
                assert_int_equal(ljs__vault_check(vault, domain, w.data, w.len), LJS_E_SEAL);
                w.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            }
            for (size_t less = 1; less <= w.len; less++)
                assert_int_equal(ljs__vault_check(vault, domain, w.data, w.len - less), LJS_E_SEAL);
            ljs__wr_drop(&w);
        }
    {
        struct wr bad = { .bad = true };

        assert_int_equal(ljs__vault_tag(&bad, vault, TAG_DEVICE), LJS_E_NOMEM);
    }
    ljs_vault_free(vault);
    ljs_vault_free(other);
}

static void fingerprints(void **state)
{
    ljs_vault *vault = new_vault(1), *other = new_vault(2);
    uint8_t first[16], got[16];
    struct ring *ring;
    ljs_key *a, *b;

    (void)state;
    assert_int_equal(ljs_key_generate(&a, 16), LJS_OK);
    assert_int_equal(ljs_key_generate(&b, 16), LJS_OK);
    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    assert_int_equal(ljs__ring_load(ring, KEY_NWK, a), LJS_OK);
    assert_int_equal(ljs__vault_fingerprint(first, vault, ring, ids, roles, COUNT(ids)), LJS_OK);
    assert_int_equal(ljs__vault_fingerprint(got, vault, ring, ids, roles, COUNT(ids)), LJS_OK);
    assert_memory_equal(got, first, 16);
    assert_int_equal(ljs__vault_fingerprint(got, other, ring, ids, roles, COUNT(ids)), LJS_OK);
    assert_memory_not_equal(got, first, 16);
    ljs__ring_move(ring, KEY_APP, KEY_NWK); /* the same key in another role */
    assert_int_equal(ljs__vault_fingerprint(got, vault, ring, ids, roles, COUNT(ids)), LJS_OK);
    assert_memory_not_equal(got, first, 16);
    assert_int_equal(ljs__ring_load(ring, KEY_NWK, a), LJS_OK); /* one key more */
    assert_int_equal(ljs__vault_fingerprint(got, vault, ring, ids, roles, COUNT(ids)), LJS_OK);
    assert_memory_not_equal(got, first, 16);
    ljs__ring_drop(ring, KEY_APP);
    assert_int_equal(ljs__ring_load(ring, KEY_NWK, b), LJS_OK);
    assert_int_equal(ljs__vault_fingerprint(got, vault, ring, ids, roles, COUNT(ids)), LJS_OK);
    assert_memory_not_equal(got, first, 16);
    ljs__ring_give(ring);
    ljs_key_free(a);
    ljs_key_free(b);
    ljs_vault_free(vault);
    ljs_vault_free(other);
}

static int dead_in_child(const ljs_vault *vault)
{
    uint8_t in[64] = { 1, 1 }, out[16];
    struct wr w = { 0 };
    struct ring *ring;

    return ljs__ring_take(&ring) == LJS_OK && ljs__vault_alive(vault) == LJS_E_STATE &&
           ljs__vault_seal(&w, vault, ring, ids, roles, 0, NULL, 0) == LJS_E_STATE &&
           ljs__vault_open(vault, ring, ids, roles, 0, NULL, 0, in, sizeof in) == LJS_E_STATE &&
           ljs__vault_tag(&w, vault, TAG_KEK) == LJS_E_STATE &&
           ljs__vault_check(vault, TAG_KEK, in, sizeof in) == LJS_E_STATE &&
           ljs__vault_fingerprint(out, vault, ring, ids, roles, 0) == LJS_E_STATE;
}

static void after_fork(void **state)
{
    ljs_vault *vault = new_vault(1);
    int status;
    pid_t pid;

    (void)state;
    assert_int_equal(ljs__vault_alive(vault), LJS_OK);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(dead_in_child(vault) ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    ljs_vault_free(vault);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths), cmocka_unit_test(every_subset), cmocka_unit_test(tampered),
        cmocka_unit_test(tags),    cmocka_unit_test(fingerprints), cmocka_unit_test(after_fork),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
