/* A store that somebody else wrote, and one that fails, tears and delays. */
#include "contract/contract.h"
#include "contract/faulty.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct faulty *control; /* of the store opened last */

static ljs_err open_over_memory(ljs_store **out, const char *dir)
{
    ljs_store *inner;
    ljs_err err = ljs_store_memory(&inner);

    (void)dir;
    return err ? err : faulty_new(out, &control, inner);
}

static ljs_err open_over_sqlite(ljs_store **out, const char *dir)
{
    ljs_store *inner;
    char path[256];
    ljs_err err;

    snprintf(path, sizeof path, "%s/store.db", dir);
    err = ljs_store_sqlite(&inner, path);
    return err ? err : faulty_new(out, &control, inner);
}

static ljs_err open_slow(ljs_store **out, const char *dir)
{
    ljs_err err = open_over_memory(out, dir);

    if (!err) {
        faulty_arm(control, FAULTY_GET, 31, FAULT_DELAY, 1);
        faulty_arm(control, FAULTY_COMMIT, 7, FAULT_DELAY, 1);
        faulty_arm(control, FAULTY_EACH, 2, FAULT_DELAY, 1);
    }
    return err;
}

/* ---- each fault, once ---- */

static ljs_err commit_three(ljs_change c[3], ljs_store *store)
{
    static const char *const keys[] = { "a", "b", "c" };

    for (unsigned i = 0; i < 3; i++)
        c[i] = (ljs_change){
            .key = (const uint8_t *)keys[i], .key_len = 1, .in = (const uint8_t *)"v", .in_len = 1, .group = i
        };
    return ljs_store_commit(store, c, 3);
}

static void test_commit_faults(void **state)
{
    static const struct {
        enum fault fault;
        ljs_err err, results[3];
        bool there[3];
    } cases[] = {
        { FAULT_NONE, LJS_OK, { LJS_OK, LJS_OK, LJS_OK }, { true, true, true } },
        { FAULT_BEFORE, LJS_E_STORE, { LJS_E_STORE, LJS_E_STORE, LJS_E_STORE }, { false, false, false } },
        { FAULT_AFTER, LJS_E_STORE, { LJS_E_STORE, LJS_E_STORE, LJS_E_STORE }, { true, true, true } },
        { FAULT_TEAR, LJS_E_STORE, { LJS_E_STORE, LJS_E_STORE, LJS_E_STORE }, { true, false, false } },
        { FAULT_SOME, LJS_OK, { LJS_OK, LJS_E_STORE, LJS_OK }, { true, false, true } },
        { FAULT_DELAY, LJS_OK, { LJS_OK, LJS_OK, LJS_OK }, { true, true, true } },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        ljs_store *store;
        ljs_change c[3];

        assert_int_equal(open_over_memory(&store, NULL), LJS_OK);
        faulty_arm(control, FAULTY_COMMIT, 1, cases[i].fault, 0);
        assert_int_equal(commit_three(c, store), cases[i].err);
        for (int j = 0; j < 3; j++) {
            char key[] = { "abc"[j], 0 };

            assert_int_equal(c[j].result, cases[i].results[j]);
            contract_expect(store, key, cases[i].there[j] ? "v" : NULL);
        }
        ljs_store_free(store);
    }
}

static ljs_err no_row(void *user, const uint8_t *key, size_t key_len)
{
    (void)user, (void)key, (void)key_len;
    return LJS_OK;
}

static void test_read_faults(void **state)
{
    static const enum fault faults[] = { FAULT_BEFORE, FAULT_AFTER };
    ljs_store *store;
    ljs_buf value;
    uint64_t version;

    (void)state;
    assert_int_equal(open_over_memory(&store, NULL), LJS_OK);
    assert_int_equal(contract_put(store, "a", 0, "v"), LJS_OK);
    for (size_t i = 0; i < COUNT(faults); i++) {
        faulty_arm(control, FAULTY_GET, 2, faults[i], 0);
        contract_expect(store, "a", "v");
        assert_int_equal(ljs_store_get(&value, &version, store, (const uint8_t *)"a", 1), LJS_E_STORE);
        assert_null(value.data); /* though the store had filled it */
        assert_int_equal(version, 0);
        contract_expect(store, "a", "v");
        faulty_arm(control, FAULTY_EACH, 1, faults[i], 0);
        assert_int_equal(ljs_store_each(store, NULL, 0, no_row, NULL), LJS_E_STORE);
        assert_int_equal(ljs_store_each(store, NULL, 0, no_row, NULL), LJS_OK);
    }
    ljs_store_free(store);
}

/* ---- the model, with a fault at every third commit or so ---- */

static void arm(void *user, unsigned dice)
{
    (void)user;
    if (dice % 3 == 0)
        faulty_arm(control, FAULTY_COMMIT, 1, (enum fault)(FAULT_BEFORE + dice / 3 % (FAULT_DELAY - FAULT_BEFORE)), 0);
}

static void run_model(const struct contract *contract, unsigned seed)
{
    struct model_run run = { .contract = contract, .seed = seed, .steps = 400, .prepare = arm };
    char *dir = contract_dir();
    ljs_store *store;

    assert_int_equal(contract->open(&store, dir), LJS_OK);
    contract_model(&run, store, dir);
    contract_dir_remove(dir);
}

static void test_model_over_memory(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 5; seed++)
        run_model(&(struct contract){ "", open_over_memory, false }, seed);
}

static void test_model_over_sqlite(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 2; seed++)
        run_model(&(struct contract){ "", open_over_sqlite, true }, seed);
}

/* ---- what ljs_store_custom() takes, and what it makes of bad answers ---- */

struct odd { /* a store that answers what it is told to */
    unsigned closed;
    ljs_err err;
    uint64_t version;
    size_t len;
    ljs_err results[3];
};

static ljs_err odd_get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    struct odd *odd = self;

    (void)key, (void)key_len;
    *version = odd->version;
    out->data = calloc(1, odd->len + 1);
    out->len = odd->len;
    return odd->err;
}

static ljs_err odd_commit(void *self, ljs_change *changes, size_t changes_len)
{
    struct odd *odd = self;

    for (size_t i = 0; i < changes_len; i++)
        changes[i].result = odd->results[i];
    return odd->err;
}

static ljs_err odd_each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    (void)prefix, (void)prefix_len;
    return row(user, self, 1);
}

static void odd_close(void *self)
{
    ((struct odd *)self)->closed++;
}

static const ljs_store_ops odd_ops = {
    .struct_size = sizeof(ljs_store_ops), .get = odd_get, .commit = odd_commit, .each = odd_each, .close = odd_close
};

static void test_custom(void **state)
{
    ljs_store *store = (ljs_store *)state;
    struct odd odd = { 0 };
    int status;
    pid_t child;
    ljs_store_ops ops[4] = { odd_ops, odd_ops, odd_ops, odd_ops };

    ops[0].get = NULL;
    ops[1].commit = NULL;
    ops[2].each = NULL;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(ljs_store_custom(&store, &ops[i], &odd), LJS_E_INVAL);
        assert_null(store);
        assert_int_equal(odd.closed, i + 1);
    }
    ops[3].struct_size--;
    assert_int_equal(ljs_store_custom(&store, &ops[3], &odd), LJS_E_INVAL);
    assert_null(store);
    odd.closed = 0;
    ops[3] = odd_ops;
    ops[3].struct_size += 64; /* compiled against a later header */
    assert_int_equal(ljs_store_custom(&store, &ops[3], &odd), LJS_OK);
    memset(ops, 0, sizeof ops); /* it was copied */
    assert_int_equal(ljs_store_each(store, NULL, 0, no_row, NULL), LJS_OK);
    assert_int_equal(odd.closed, 0);
    if (!(child = fork())) { /* what the parent has open is not the child's to close */
        ljs_store_free(store);
        _exit((int)odd.closed);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    ljs_store_free(store);
    assert_int_equal(odd.closed, 1);
    ljs_store_free(NULL);
}

static void test_bad_answers(void **state)
{
    static const struct {
        ljs_err err;
        uint64_t version;
        size_t len;
        ljs_err want;
    } gets[] = {
        { LJS_OK, 1, 3, LJS_OK },
        { LJS_OK, 0, 3, LJS_E_STORE },
        { LJS_OK, 1, LJS_STORE_VALUE_MAX + 1, LJS_E_STORE },
        { LJS_E_NOTFOUND, 1, 3, LJS_E_NOTFOUND },
        { LJS_E_CONFLICT, 1, 3, LJS_E_STORE },
        { LJS_E_REPLAY, 1, 3, LJS_E_STORE },
        { (ljs_err)5, 1, 3, LJS_E_STORE },
    };
    static const struct {
        ljs_err err, results[3], want, want_results[3]; /* the last two are one group */
    } commits[] = {
        { LJS_OK, { LJS_OK, LJS_OK, LJS_OK }, LJS_OK, { LJS_OK, LJS_OK, LJS_OK } },
        { LJS_OK, { LJS_E_CONFLICT, LJS_OK, LJS_OK }, LJS_OK, { LJS_E_CONFLICT, LJS_OK, LJS_OK } },
        { LJS_OK, { LJS_OK, LJS_OK, LJS_E_CONFLICT }, LJS_OK, { LJS_OK, LJS_E_STORE, LJS_E_STORE } },
        { LJS_OK, { LJS_E_MIC, LJS_OK, LJS_OK }, LJS_OK, { LJS_E_STORE, LJS_OK, LJS_OK } },
        { LJS_E_CONFLICT, { LJS_OK, LJS_OK, LJS_OK }, LJS_E_STORE, { LJS_E_STORE, LJS_E_STORE, LJS_E_STORE } },
        { LJS_E_NOMEM, { LJS_OK, LJS_OK, LJS_OK }, LJS_E_NOMEM, { LJS_E_STORE, LJS_E_STORE, LJS_E_STORE } },
    };
    struct odd odd = { 0 };
    ljs_store *store;

    (void)state;
    assert_int_equal(ljs_store_custom(&store, &odd_ops, &odd), LJS_OK);
    for (size_t i = 0; i < COUNT(gets); i++) {
        ljs_buf value;
        uint64_t version = 9;

        odd.err = gets[i].err;
        odd.version = gets[i].version;
        odd.len = gets[i].len;
        assert_int_equal(ljs_store_get(&value, &version, store, (const uint8_t *)"k", 1), gets[i].want);
        assert_int_equal(version, gets[i].want ? 0 : 1);
        assert_true((value.data == NULL) == (gets[i].want != LJS_OK));
        ljs_buf_free(&value);
    }
    for (size_t i = 0; i < COUNT(commits); i++) {
        ljs_change c[3];

        for (unsigned j = 0; j < 3; j++)
            c[j] = (ljs_change){ .key = (const uint8_t *)"k", .key_len = 1, .in = (const uint8_t *)"", .group = j > 0 };
        odd.err = commits[i].err;
        memcpy(odd.results, commits[i].results, sizeof odd.results);
        assert_int_equal(ljs_store_commit(store, c, 3), commits[i].want);
        for (unsigned j = 0; j < 3; j++)
            assert_int_equal(c[j].result, commits[i].want_results[j]);
    }
    ljs_store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commit_faults),
        cmocka_unit_test(test_read_faults),
        cmocka_unit_test(test_model_over_memory),
        cmocka_unit_test(test_model_over_sqlite),
        cmocka_unit_test(test_custom),
        cmocka_unit_test(test_bad_answers),
    };

    return contract_run(&(struct contract){ "through a store of somebody else's", open_over_memory, false }) +
           contract_run(&(struct contract){ "slow", open_slow, false }) +
           cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
