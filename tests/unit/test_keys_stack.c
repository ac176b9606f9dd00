/* What stands on the dead stack below a vault, and keys kept open, when they have been at work: no octet string of
 * its keys, nor of those that it sealed. */
#include "dead_stack.h"

#include "keys/kept.h"
#include "keys/vault.h"

#include "base/secret.h"

enum work { LEAK, NEW, SEAL, OPEN, TAG, CHECK, TAG_LED, CHECK_LED, TAG_BRIEF, CHECK_BRIEF, PRINT, KEEP, RECALL, WORKS };

static const enum key_id ids[] = { KEY_NWK, KEY_APP };
static const enum key_role roles[] = { ROLE_NWK, ROLE_APP };
static uint8_t master[32], octets[2][16]; /* drawn anew: nobody else has them on a stack */
static ljs_vault *vault;
static struct kept *kept;
static struct ring *ring;
static struct wr sealed, tagged, brief;
static enum work work;
static ljs_err result;

static void *at_work(void *arg)
{
    volatile uint8_t copy[4096]; /* its begin lies deep */
    uint8_t print[16];

    (void)arg;
    (void)copy; /* gcc: only ever written */
    result = LJS_OK;
    switch (work) {
    case LEAK: /* the control */
        for (size_t i = 0; i < sizeof master; i++)
            copy[i] = master[i];
        break;
    case NEW:
        result = ljs_vault_new(&vault, master, sizeof master);
        break;
    case SEAL:
        result = ljs__vault_seal(&sealed, vault, ring, ids, roles, 2, (const uint8_t *)"ad", 2);
        break;
    case OPEN:
        result = ljs__vault_open(vault, ring, ids, roles, 2, (const uint8_t *)"ad", 2, sealed.data, sealed.len);
        break;
    case TAG:
    case TAG_LED:
        result = ljs__vault_tag(&tagged, vault, work == TAG ? TAG_DEVICE : TAG_RECORD);
        break;
    case CHECK:
    case CHECK_LED:
        result = ljs__vault_check(vault, work == CHECK ? TAG_DEVICE : TAG_RECORD, tagged.data, tagged.len);
        break;
    case TAG_BRIEF: /* in the one block that its key is in */
        result = ljs__vault_tag(&brief, vault, TAG_RECORD);
        break;
    case CHECK_BRIEF:
        result = ljs__vault_check(vault, TAG_RECORD, brief.data, brief.len);
        break;
    case PRINT:
        result = ljs__vault_fingerprint(print, vault, ring, ids, roles, 2);
        break;
    case KEEP:
        ljs__kept_put(kept, 0, ring, KEY_NWK);
        break;
    case RECALL:
        ljs__kept_get(ring, KEY_NWK, kept, 0);
        break;
    case WORKS:
        break;
    }
    return NULL;
}

static void test_nothing_is_left(void **state)
{
    uint8_t subkey[4][32];

    (void)state;
    assert_int_equal(ljs__init(), LJS_OK);
    ljs__random(master, sizeof master);
    ljs__random(octets, sizeof octets);
    ljs__subkey(subkey[0], master, 1, "ljs.seal"); /* as vault.c makes them */
    ljs__subkey(subkey[1], master, 1, "ljs.same");
    ljs__subkey(subkey[2], master, TAG_DEVICE, "ljs.tags");
    ljs__subkey(subkey[3], master, 1, "ljs.more");
    ljs__subkey(subkey[3], subkey[3], TAG_RECORD, "ljs.tags");
    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    assert_int_equal(ljs__kept_new(&kept), LJS_OK);
    for (size_t i = 0; i < 2; i++) {
        ljs_key *key;

        assert_int_equal(ljs_key_import(&key, octets[i], sizeof octets[i]), LJS_OK);
        assert_int_equal(ljs__ring_load(ring, ids[i], key), LJS_OK);
        ljs_key_free(key);
    }
    for (unsigned i = 0; i < 1000; i++) /* several blocks of BLAKE2b */
        ljs__wr(&tagged, &i, 1);
    ljs__wr(&brief, "brief", 5);
    for (enum work what = LEAK; what < WORKS; what++) {
        uint8_t *stack;

        work = what;
        stack = stack_after(at_work, NULL);
        assert_int_equal(result, LJS_OK);
        assert_true(holds(stack, master, sizeof master) == (what == LEAK));
        for (size_t i = 0; i < 4; i++)
            assert_false(holds(stack, subkey[i], sizeof subkey[i]));
        for (size_t i = 0; i < 2; i++)
            assert_false(holds(stack, octets[i], sizeof octets[i]));
        free(stack);
    }
    ljs__ring_give(ring);
    ljs__kept_free(kept);
    ljs__wr_drop(&sealed);
    ljs__wr_drop(&tagged);
    ljs__wr_drop(&brief);
    ljs_vault_free(vault);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_nothing_is_left) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
