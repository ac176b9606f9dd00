/* A sealed master key opens with its passphrase and nothing else, and says which of the two
 * is wrong; a mark knows its master key. */
#include <lorajs/master.h>

#include "base/cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { MEMORY = LJS_STRETCH_MEMORY_MIN, PASSES = 1 };
static const uint8_t words[] = "correct horse battery staple";
enum { WORDS = sizeof words - 1 };

static ljs_key *new_key(void)
{
    ljs_key *key;

    assert_int_equal(ljs_key_generate(&key, LJS_MASTER_LEN), LJS_OK);
    return key;
}

static ljs_buf seal(const ljs_key *key)
{
    ljs_buf sealed;

    assert_int_equal(ljs_master_seal(&sealed, key, MEMORY, PASSES, words, WORDS), LJS_OK);
    return sealed;
}

static void refused(const uint8_t *in, size_t in_len, const uint8_t *record, size_t record_len, ljs_err want)
{
    ljs_key *got = (ljs_key *)1;

    assert_int_equal(ljs_master_open(&got, in, in_len, record, record_len), want);
    assert_null(got);
}

static void same_key(const ljs_key *a, const ljs_key *b)
{
    ljs_buf x, y;

    assert_int_equal(ljs_key_export(&x, a), LJS_OK);
    assert_int_equal(ljs_key_export(&y, b), LJS_OK);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
    ljs_buf_free(&x);
    ljs_buf_free(&y);
}

static void there_and_back(void **state)
{
    ljs_key *key = new_key(), *got;
    ljs_buf sealed = seal(key), again = seal(key), octets;

    (void)state;
    assert_int_equal(ljs_master_open(&got, words, WORDS, sealed.data, sealed.len), LJS_OK);
    same_key(key, got);
    /* another salt and another nonce each time, and the key is not in it */
    assert_int_equal(sealed.len, again.len);
    assert_memory_not_equal(sealed.data + 13, again.data + 13, 16);
    assert_int_equal(ljs_key_export(&octets, key), LJS_OK);
    assert_null(memmem(sealed.data, sealed.len, octets.data, octets.len));
    ljs_buf_free(&octets);
    ljs_buf_free(&sealed);
    ljs_buf_free(&again);
    ljs_key_free(got);
    ljs_key_free(key);
}

static void another_passphrase(void **state)
{
    ljs_key *key = new_key();
    ljs_buf sealed = seal(key);
    uint8_t other[LJS_PASSPHRASE_MAX + 1] = { 0 };

    (void)state;
    memcpy(other, words, WORDS);
    refused(other, WORDS - 1, sealed.data, sealed.len, LJS_E_SEAL);
    refused(other, WORDS + 1, sealed.data, sealed.len, LJS_E_SEAL);
    refused(other, 0, sealed.data, sealed.len, LJS_E_SEAL);
    refused(NULL, 0, sealed.data, sealed.len, LJS_E_SEAL);
    refused(other, sizeof other, sealed.data, sealed.len, LJS_E_SEAL);
    other[3] ^= 0x20;
    refused(other, WORDS, sealed.data, sealed.len, LJS_E_SEAL);
    ljs_buf_free(&sealed);
    ljs_key_free(key);
}

static void every_bit(void **state)
{
    ljs_key *key = new_key(), *got;
    ljs_buf sealed = seal(key);

    (void)state;
    for (size_t bit = 0; bit < 8 * sealed.len; bit++) {
        sealed.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        refused(words, WORDS, sealed.data, sealed.len, LJS_E_INVAL);
        sealed.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < sealed.len; len++)
        refused(words, WORDS, sealed.data, len, LJS_E_INVAL);
    refused(words, WORDS, NULL, 0, LJS_E_INVAL);
    assert_int_equal(ljs_master_open(&got, words, WORDS, sealed.data, sealed.len), LJS_OK);
    ljs_key_free(got);
    ljs_buf_free(&sealed);
    ljs_key_free(key);
}

/* What is newer may be longer, and begins the same. */
static void a_newer_one(void **state)
{
    static const uint8_t newer[200] = { 'l', 'j', 's', 'M', 2 };

    (void)state;
    refused(words, WORDS, newer, sizeof newer, LJS_E_VERSION);
}

static void ranges(void **state)
{
    static const struct {
        uint32_t memory, passes;
        size_t words_len;
        ljs_err want;
    } tries[] = {
        { LJS_STRETCH_MEMORY_MIN - 1, 1, WORDS, LJS_E_INVAL },
        { LJS_STRETCH_MEMORY_MAX + 1, 1, WORDS, LJS_E_INVAL },
        { MEMORY, LJS_STRETCH_PASSES_MAX + 1, WORDS, LJS_E_INVAL },
        { MEMORY, PASSES, LJS_PASSPHRASE_MIN - 1, LJS_E_WEAK },
        { MEMORY, PASSES, 0, LJS_E_WEAK },
        { MEMORY, PASSES, LJS_PASSPHRASE_MAX + 1, LJS_E_INVAL },
        { MEMORY, PASSES, LJS_PASSPHRASE_MIN, LJS_OK },
        { MEMORY, PASSES, LJS_PASSPHRASE_MAX, LJS_OK },
    };
    static const uint8_t many[LJS_PASSPHRASE_MAX + 1];
    ljs_key *key = new_key(), *small;
    ljs_buf sealed;

    (void)state;
    for (size_t i = 0; i < COUNT(tries); i++) {
        sealed = (ljs_buf){ (uint8_t *)1, 1 };
        assert_int_equal(ljs_master_seal(&sealed, key, tries[i].memory, tries[i].passes, many, tries[i].words_len),
                         tries[i].want);
        assert_true(!sealed.data == (tries[i].want != LJS_OK));
        ljs_buf_free(&sealed);
    }
    assert_int_equal(ljs_key_generate(&small, 16), LJS_OK);
    assert_int_equal(ljs_master_seal(&sealed, small, MEMORY, PASSES, words, WORDS), LJS_E_INVAL);
    ljs_key_free(small);
    ljs_key_free(key);
}

static void marks(void **state)
{
    uint8_t octets[32] = { 1 }, mark[16], other[16];
    ljs_vault *a, *b, *c;
    ljs_key *key, *small;

    (void)state;
    assert_int_equal(ljs_key_import(&key, octets, sizeof octets), LJS_OK);
    assert_int_equal(ljs_vault_new(&a, octets, sizeof octets), LJS_OK);
    assert_int_equal(ljs_vault_from_key(&b, key), LJS_OK);
    octets[0] = 2;
    assert_int_equal(ljs_vault_new(&c, octets, sizeof octets), LJS_OK);

    assert_int_equal(ljs_vault_mark(mark, a), LJS_OK);
    assert_int_equal(ljs_vault_mark(other, c), LJS_OK);
    assert_memory_not_equal(mark, other, sizeof mark);
    assert_int_equal(ljs_vault_is(b, mark, sizeof mark), LJS_OK);
    assert_int_equal(ljs_vault_is(c, mark, sizeof mark), LJS_E_SEAL);
    for (size_t len = 0; len < sizeof mark; len++)
        assert_int_equal(ljs_vault_is(a, mark, len), LJS_E_SEAL);
    for (unsigned bit = 0; bit < 8 * sizeof mark; bit++) {
        mark[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(ljs_vault_is(a, mark, sizeof mark), LJS_E_SEAL);
        mark[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }

    assert_int_equal(ljs_key_generate(&small, 16), LJS_OK);
    ljs_vault_free(b);
    assert_int_equal(ljs_vault_from_key(&b, small), LJS_E_INVAL);
    assert_null(b);
    ljs_key_free(small);
    ljs_key_free(key);
    ljs_vault_free(a);
    ljs_vault_free(c);
}

static int dead_in_child(ljs_vault *vault, const ljs_key *key)
{
    ljs_buf sealed;
    ljs_vault *made;
    uint8_t mark[16] = { 0 };

    return ljs_vault_mark(mark, vault) == LJS_E_STATE && ljs_vault_is(vault, mark, 16) == LJS_E_STATE &&
           ljs_vault_from_key(&made, key) == LJS_E_STATE &&
           ljs_master_seal(&sealed, key, MEMORY, PASSES, words, WORDS) == LJS_E_STATE;
}

static void after_fork(void **state)
{
    ljs_key *key = new_key();
    ljs_vault *vault;
    int status;
    pid_t pid;

    (void)state;
    assert_int_equal(ljs_vault_from_key(&vault, key), LJS_OK);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(dead_in_child(vault, key) ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ljs_vault_free(vault);
    ljs_key_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back), cmocka_unit_test(another_passphrase),
        cmocka_unit_test(every_bit),      cmocka_unit_test(a_newer_one),
        cmocka_unit_test(ranges),         cmocka_unit_test(marks),
        cmocka_unit_test(after_fork),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
