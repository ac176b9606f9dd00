/* Keys kept open: what comes back is what was put there, and neither share is it. */
#include "keys/kept.h"

#include "base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void expect_key(struct ring *ring, const ljs_key *want)
{
    ljs_buf a, b;
    ljs_key *got;

    assert_int_equal(ljs__ring_key(&got, ring, KEY_AS_KEK), LJS_OK);
    assert_int_equal(ljs_key_export(&a, got), LJS_OK);
    assert_int_equal(ljs_key_export(&b, want), LJS_OK);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    ljs_buf_free(&a);
    ljs_buf_free(&b);
    ljs_key_free(got);
}

static void test_every_place(void **state)
{
    ljs_key *keys[KEPT_MAX];
    struct kept *kept;
    struct ring *ring;

    (void)state;
    assert_int_equal(ljs__kept_new(&kept), LJS_OK);
    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    for (unsigned i = 0; i < KEPT_MAX; i++) {
        assert_int_equal(ljs_key_generate(&keys[i], 16 + 8 * (i % 3)), LJS_OK);
        assert_int_equal(ljs__ring_load(ring, KEY_NS_KEK, keys[i]), LJS_OK);
        ljs__kept_put(kept, i, ring, KEY_NS_KEK);
    }
    for (unsigned i = 0; i < KEPT_MAX; i++) {
        ljs__kept_get(ring, KEY_AS_KEK, kept, i);
        expect_key(ring, keys[i]);
    }
    ljs__kept_drop(kept, 0);
    assert_int_equal(ljs__ring_load(ring, KEY_NS_KEK, keys[1]), LJS_OK); /* another length */
    ljs__kept_put(kept, 0, ring, KEY_NS_KEK);
    ljs__kept_get(ring, KEY_AS_KEK, kept, 0);
    expect_key(ring, keys[1]);
    for (unsigned i = 0; i < KEPT_MAX; i++)
        ljs_key_free(keys[i]);
    ljs__ring_give(ring);
    ljs__kept_free(kept);
    ljs__kept_free(NULL);
}

/* The slot is read again, and not the schedule of the key that was in it before. */
static void test_another_key_in_the_slot(void **state)
{
    static const uint8_t in[16];
    uint8_t first[16], second[16];
    ljs_key *a, *b;
    struct kept *kept;
    struct ring *ring;

    (void)state;
    assert_int_equal(ljs__kept_new(&kept), LJS_OK);
    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    assert_int_equal(ljs_key_generate(&a, 16), LJS_OK);
    assert_int_equal(ljs_key_generate(&b, 16), LJS_OK);
    assert_int_equal(ljs__ring_load(ring, KEY_NS_KEK, a), LJS_OK);
    ljs__kept_put(kept, 0, ring, KEY_NS_KEK);
    assert_int_equal(ljs__encrypt(ring, KEY_NS_KEK, first, in, sizeof in), LJS_OK);
    assert_int_equal(ljs__ring_load(ring, KEY_NS_KEK, b), LJS_OK);
    assert_int_equal(ljs__encrypt(ring, KEY_NS_KEK, second, in, sizeof in), LJS_OK);
    assert_memory_not_equal(first, second, sizeof first);
    ljs__kept_get(ring, KEY_NS_KEK, kept, 0);
    assert_int_equal(ljs__encrypt(ring, KEY_NS_KEK, second, in, sizeof in), LJS_OK);
    assert_memory_equal(first, second, sizeof first);
    ljs_key_free(a);
    ljs_key_free(b);
    ljs__ring_give(ring);
    ljs__kept_free(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_place),
        cmocka_unit_test(test_another_key_in_the_slot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
