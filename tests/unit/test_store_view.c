/* Views: what they read, of which moment it is, and that nobody waits for one. */
#include "contract/contract.h"

#include "store/view.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h> /* to ask whether a transaction was left open */

static ljs_err open_memory(ljs_store **out, const char *dir)
{
    (void)dir;
    return ljs_store_memory(out);
}

static ljs_err open_sqlite(ljs_store **out, const char *dir)
{
    char path[300];

    snprintf(path, sizeof path, "%s/store.db", dir);
    return ljs_store_sqlite(out, path);
}

/* A store of somebody's, which knows nothing of views. */
static ljs_err plain_get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    return ljs_store_get(out, version, self, key, key_len);
}

static ljs_err plain_commit(void *self, ljs_change *changes, size_t changes_len)
{
    return ljs_store_commit(self, changes, changes_len);
}

static ljs_err plain_each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    return ljs_store_each(self, prefix, prefix_len, row, user);
}

static void plain_close(void *self)
{
    ljs_store_free(self);
}

static const ljs_store_ops plain_ops = {
    .struct_size = sizeof plain_ops, .get = plain_get, .commit = plain_commit, .each = plain_each, .close = plain_close
};

static ljs_err open_plain(ljs_store **out, const char *dir)
{
    ljs_store *inner;
    ljs_err err = open_memory(&inner, dir);

    *out = NULL;
    return err ? err : ljs_store_custom(out, &plain_ops, inner);
}

/* The same, but what is read of it goes past it. */
static ljs_err open_through(ljs_store **out, const char *dir)
{
    ljs_store *inner;
    ljs_err err = open_sqlite(&inner, dir);

    *out = NULL;
    if (!err && !(err = ljs_store_custom(out, &plain_ops, inner)))
        ljs__store_reads(*out, inner);
    return err;
}

static const struct kind {
    const char *name;
    ljs_err (*open)(ljs_store **out, const char *dir);
    bool knows; /* moments */
} kinds[] = {
    { "memory", open_memory, true },
    { "sqlite", open_sqlite, true },
    { "plain", open_plain, false },
    { "through", open_through, true },
};

static void expect(struct view *view, const char *key, const char *value)
{
    ljs_buf out;
    uint64_t version, there = contract_version(view->store, key);
    ljs_err err = ljs__view_get(&out, &version, view, (const uint8_t *)key, strlen(key));

    assert_int_equal(err, value ? LJS_OK : LJS_E_NOTFOUND);
    if (value) {
        assert_int_equal(out.len, strlen(value));
        assert_memory_equal(out.data, value, out.len);
        assert_int_equal(version, there);
    }
    ljs_buf_free(&out);
}

static void put(ljs_store *store, const char *key, const char *value)
{
    assert_int_equal(contract_put(store, key, contract_version(store, key), value), LJS_OK);
}

static void test_reads(const struct kind *kind, ljs_store *store)
{
    struct view view;
    uint64_t moment;
    ljs_buf out;

    put(store, "a", "1");
    ljs__view_begin(&view, store);
    expect(&view, "a", "1");
    moment = view.moment;
    assert_true(kind->knows == (moment != 0));
    expect(&view, "ab", NULL);
    assert_int_equal(view.moment, moment);
    assert_int_equal(ljs__view_moment(&view, 'a'), moment);
    assert_int_equal(ljs__view_get(&out, &moment, &view, (const uint8_t *)"", 0), LJS_E_INVAL);
    assert_int_equal(view.moment, 0);
    ljs__view_end(&view);
}

/* In this thread and under the eyes of a view: it waits for nothing, and is seen. */
static void test_commit_within(const struct kind *kind, ljs_store *store)
{
    struct view view;
    uint64_t moment;

    put(store, "a", "1");
    ljs__view_begin(&view, store);
    expect(&view, "a", "1");
    moment = view.moment;
    put(store, "a", "2");
    assert_true(!kind->knows || ljs__view_moment(&view, 'a') != moment);
    expect(&view, "a", "2");
    assert_true(!kind->knows || (view.moment && view.moment != moment));
    moment = view.moment;
    assert_int_equal(contract_put(store, "a", contract_version(store, "a"), NULL), LJS_OK);
    expect(&view, "a", NULL);
    assert_true(!kind->knows || (view.moment && view.moment != moment));
    ljs__view_end(&view);
}

/* Whoever asks about KEKs need not look again because of a device. */
static void test_of_another_kind(void **state)
{
    ljs_store *store;
    struct view view;
    uint64_t moment;

    (void)state;
    assert_int_equal(ljs_store_memory(&store), LJS_OK);
    put(store, "a", "1");
    ljs__view_begin(&view, store);
    expect(&view, "a", "1");
    moment = view.moment;
    put(store, "b", "1");
    assert_int_equal(ljs__view_moment(&view, 'a'), moment);
    expect(&view, "a", "1");
    assert_int_equal(view.moment, moment);
    assert_int_not_equal(ljs__view_moment(&view, 'b'), moment);
    put(store, "another", "1");
    assert_int_not_equal(ljs__view_moment(&view, 'a'), moment);
    ljs__view_end(&view);
    ljs_store_free(store);
}

static void test_two_views(const struct kind *kind, ljs_store *store)
{
    struct view one, two;

    put(store, "a", "1");
    ljs__view_begin(&one, store);
    expect(&one, "a", "1");
    put(store, "a", "2");
    ljs__view_begin(&two, store);
    expect(&two, "a", "2");
    expect(&one, "a", "2");
    assert_int_equal(one.moment, two.moment);
    ljs__view_end(&one);
    expect(&two, "a", "2");
    assert_true(!kind->knows || two.moment);
    ljs__view_end(&two);
}

static void test_kinds(void **state)
{
    static void (*const tests[])(const struct kind *, ljs_store *) = { test_reads, test_commit_within, test_two_views };

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (size_t k = 0; k < sizeof tests / sizeof *tests; k++) {
            char *dir = contract_dir();
            ljs_store *store;

            assert_int_equal(kinds[i].open(&store, dir), LJS_OK);
            tests[k](&kinds[i], store);
            ljs_store_free(store);
            contract_dir_remove(dir);
        }
}

/* ---- what others commit to the same file ---- */

static bool log_is_free(const char *dir)
{
    char path[300];
    sqlite3 *db;
    int rc;

    snprintf(path, sizeof path, "%s/store.db", dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "SELECT count(*) FROM meta", NULL, NULL, NULL), SQLITE_OK); /* finds the log */
    rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return rc == SQLITE_OK;
}

static void see(struct view *view, const char *key, const char *value)
{
    ljs_buf out;
    uint64_t version;

    assert_int_equal(ljs__view_get(&out, &version, view, (const uint8_t *)key, strlen(key)), LJS_OK);
    assert_int_equal(out.len, strlen(value));
    assert_memory_equal(out.data, value, out.len);
    ljs_buf_free(&out);
}

static void test_others(void **state)
{
    char *dir = contract_dir();
    ljs_store *store, *other;
    struct view early, late;
    uint64_t moment;

    (void)state;
    assert_int_equal(open_sqlite(&store, dir), LJS_OK);
    assert_int_equal(open_sqlite(&other, dir), LJS_OK);
    put(store, "a", "1");
    ljs__view_begin(&early, store);
    see(&early, "a", "1");
    moment = early.moment;
    put(other, "a", "2"); /* does not wait */
    see(&early, "a", "1");
    assert_int_equal(early.moment, moment);
    assert_false(log_is_free(dir));

    ljs__view_begin(&late, store); /* is never told what was so before it */
    assert_int_equal(ljs__view_moment(&late, 'a'), 0);
    see(&late, "a", "2");
    assert_true(late.moment > moment);
    see(&early, "a", "2");
    assert_int_equal(early.moment, late.moment);
    ljs__view_end(&late);

    put(other, "a", "3");
    contract_expect(store, "a", "3"); /* a get is of now, whoever looks */
    see(&early, "a", "2");
    ljs__view_renew(&early);
    assert_int_equal(ljs__view_moment(&early, 'a'), 0);
    see(&early, "a", "3");
    ljs__view_end(&early);
    assert_true(log_is_free(dir)); /* no transaction is left open */

    ljs__view_begin(&early, store);
    ljs__view_end(&early);
    assert_true(log_is_free(dir));
    ljs_store_free(store);
    ljs_store_free(other);
    contract_dir_remove(dir);
}

/* ---- threads ---- */

enum { THREADS = 4, TIMES = 60 };

struct work {
    ljs_store *store;
    bool good;
};

/* counter += 1 and a sum that goes with it, read by a view. */
static bool add_one(ljs_store *store)
{
    for (;;) {
        struct view view;
        ljs_change changes[2] = { { .key = (const uint8_t *)"n", .key_len = 1 },
                                  { .key = (const uint8_t *)"m", .key_len = 1 } };
        ljs_buf value[2];
        char text[2][24];
        uint64_t moment[2];
        bool good = true;
        unsigned long n[2];

        ljs__view_begin(&view, store);
        for (unsigned i = 0; i < 2; i++) {
            good &= !ljs__view_get(&value[i], &changes[i].if_version, &view, changes[i].key, 1);
            moment[i] = view.moment;
            snprintf(text[i], sizeof text[i], "%.*s", (int)value[i].len, (const char *)value[i].data);
            n[i] = strtoul(text[i], NULL, 10);
            changes[i].in = (const uint8_t *)text[i];
            changes[i].in_len = (size_t)snprintf(text[i], sizeof text[i], "%lu", n[i] + 1);
            ljs_buf_free(&value[i]);
        }
        ljs__view_end(&view);
        if (!good || (moment[0] && moment[0] == moment[1] && n[0] != n[1]))
            return false; /* of one moment both are equal */
        if (ljs_store_commit(store, changes, 2))
            return false;
        if (changes[0].result == LJS_OK)
            return true;
    }
}

static void *work(void *user)
{
    struct work *w = user;

    w->good = true;
    for (unsigned i = 0; i < TIMES && w->good; i++)
        w->good = add_one(w->store);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char *dir = contract_dir();
        pthread_t thread[THREADS];
        struct work works[THREADS];
        ljs_store *store;

        assert_int_equal(kinds[i].open(&store, dir), LJS_OK);
        put(store, "n", "0");
        put(store, "m", "0");
        for (unsigned k = 0; k < THREADS; k++) {
            works[k].store = store;
            assert_int_equal(pthread_create(&thread[k], NULL, work, &works[k]), 0);
        }
        for (unsigned k = 0; k < THREADS; k++) {
            assert_int_equal(pthread_join(thread[k], NULL), 0);
            assert_true(works[k].good);
        }
        assert_int_equal(contract_counter(store, "n"), THREADS * TIMES);
        assert_int_equal(contract_counter(store, "m"), THREADS * TIMES);
        ljs_store_free(store);
        contract_dir_remove(dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_of_another_kind),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests_name("views", tests, NULL, NULL);
}
