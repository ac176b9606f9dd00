/* Bags: ids and lengths, many side by side, threads, a child. */
#include "keys/bag.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* [FIPS 197 §C.1] */
static const uint8_t key_octets[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
static const uint8_t plain[16] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                   0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
static const uint8_t cipher[16] = { 0x69, 0xc4, 0xe0, 0xd8, 0x6a, 0x7b, 0x04, 0x30,
                                    0xd8, 0xcd, 0xb7, 0x80, 0x70, 0xb4, 0xc5, 0x5a };

static ljs_key *key_of(const uint8_t octets[16])
{
    ljs_key *key;

    assert_int_equal(ljs_key_import(&key, octets, 16), LJS_OK);
    return key;
}

static struct bag *bag_of(unsigned id, const uint8_t octets[16])
{
    ljs_key *key = key_of(octets);
    struct bag *bag;

    assert_int_equal(ljs__bag_new(&bag), LJS_OK);
    assert_int_equal(ljs__bag_load(bag, id, key), LJS_OK);
    ljs_key_free(key);
    return bag;
}

static void test_operations(void **unused)
{
    struct bag *bag = bag_of(3, key_octets);
    ljs_key *key = key_of(key_octets), *longer, *derived = key_of(cipher);
    uint8_t out[32], want[32];

    (void)unused;
    assert_true(ljs__bag_has(bag, 3));
    assert_false(ljs__bag_has(bag, 2));
    assert_false(ljs__bag_has(bag, BAG_KEYS));
    assert_int_equal(ljs__bag_encrypt(bag, 3, out, plain, 16), LJS_OK);
    assert_memory_equal(out, cipher, 16);
    assert_int_equal(ljs__bag_cmac(bag, 3, out, plain, 5), LJS_OK);
    assert_int_equal(ljs_aes_cmac(want, key, plain, 5), LJS_OK);
    assert_memory_equal(out, want, 16);
    /* the derived key is the cipher text, and is used as a key */
    assert_int_equal(ljs__bag_derive(bag, 12, 3, plain), LJS_OK);
    assert_true(ljs__bag_has(bag, 12));
    assert_int_equal(ljs__bag_encrypt(bag, 12, out, plain, 16), LJS_OK);
    assert_int_equal(ljs_aes_encrypt(want, derived, plain, 16), LJS_OK);
    assert_memory_equal(out, want, 16);
    /* into its own place */
    assert_int_equal(ljs__bag_derive(bag, 3, 3, plain), LJS_OK);
    assert_int_equal(ljs__bag_encrypt(bag, 3, out, plain, 16), LJS_OK);
    assert_memory_equal(out, want, 16);

    assert_int_equal(ljs__bag_encrypt(bag, 2, out, plain, 16), LJS_E_NOKEY);
    assert_int_equal(ljs__bag_cmac(bag, 2, out, plain, 16), LJS_E_NOKEY);
    assert_int_equal(ljs__bag_derive(bag, 4, 2, plain), LJS_E_NOKEY);
    assert_false(ljs__bag_has(bag, 4));
    assert_int_equal(ljs__bag_encrypt(bag, 3, out, plain, 15), LJS_E_INVAL);
    assert_int_equal(ljs__bag_encrypt(bag, BAG_KEYS, out, plain, 16), LJS_E_INVAL);
    assert_int_equal(ljs__bag_derive(bag, BAG_KEYS, 3, plain), LJS_E_INVAL);
    assert_int_equal(ljs__bag_load(bag, BAG_KEYS, key), LJS_E_INVAL);
    assert_int_equal(ljs_key_generate(&longer, 24), LJS_OK);
    assert_int_equal(ljs__bag_load(bag, 1, longer), LJS_E_INVAL);
    ljs_key_free(key);
    ljs_key_free(longer);
    ljs_key_free(derived);
    ljs__bag_free(bag);
    ljs__bag_free(NULL);
}

static void test_a_new_bag_is_empty(void **unused)
{
    struct bag *bag;

    (void)unused;
    for (int i = 0; i < 300; i++) { /* the same cell again and again */
        bag = bag_of(5, key_octets);
        ljs__bag_free(bag);
        assert_int_equal(ljs__bag_new(&bag), LJS_OK);
        for (unsigned id = 0; id < BAG_KEYS; id++)
            assert_false(ljs__bag_has(bag, id));
        ljs__bag_free(bag);
    }
}

static void *work(void *of)
{
    struct bag *shared = of;

    for (int i = 0; i < 300; i++) {
        struct bag *own = bag_of(1, key_octets);
        uint8_t out[16] = { 0 };

        if (ljs__bag_derive(own, 2, 1, plain) || ljs__bag_encrypt(own, 1, out, plain, 16) ||
            memcmp(out, cipher, 16) != 0 || ljs__bag_encrypt(shared, 1, out, plain, 16) ||
            memcmp(out, cipher, 16) != 0 || ljs__bag_derive(shared, 2, 1, plain))
            return of;
        ljs__bag_free(own);
    }
    return NULL;
}

static void test_threads(void **unused)
{
    struct bag *shared = bag_of(1, key_octets);
    pthread_t threads[4];
    void *result;

    (void)unused;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, shared), 0);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
    ljs__bag_free(shared);
}

static void test_child(void **unused)
{
    struct bag *bag = bag_of(1, key_octets);
    int status;
    pid_t pid;

    (void)unused;
    pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        uint8_t out[16];
        int bad = ljs__bag_encrypt(bag, 1, out, plain, 16) != LJS_E_STATE || ljs__bag_has(bag, 1) ||
                  ljs__bag_derive(bag, 2, 1, plain) != LJS_E_STATE;

        ljs__bag_free(bag);
        bag = bag_of(1, key_octets); /* one of its own */
        bad |= ljs__bag_encrypt(bag, 1, out, plain, 16) || memcmp(out, cipher, 16) != 0;
        ljs__bag_free(bag);
        _exit(bad);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ljs__bag_free(bag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operations),
        cmocka_unit_test(test_a_new_bag_is_empty),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_child),
    };

    return cmocka_run_group_tests_name("bags", tests, NULL, NULL);
}
