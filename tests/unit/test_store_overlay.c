/* What --dry-run works over (tools/overlay.h) is a store like any, and writes nothing to the one under it. */
#include "contract/contract.h"

#include "overlay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static ljs_err open_overlay(ljs_store **out, const char *dir)
{
    ljs_store *under;
    ljs_err err = ljs_store_memory(&under);

    (void)dir;
    *out = NULL;
    return err ? err : overlay_store(out, under);
}

/* A store that is closed with the one over it, and looked at after that. */
struct watched {
    ljs_store *store;
    bool closed, broken;
};

static ljs_err watched_get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    struct watched *w = self;

    *out = (ljs_buf){ NULL, 0 };
    return w->broken ? LJS_E_STORE : ljs_store_get(out, version, w->store, key, key_len);
}

static ljs_err watched_commit(void *self, ljs_change *changes, size_t changes_len)
{
    (void)self;
    (void)changes;
    (void)changes_len;
    fail(); /* never */
    return LJS_E_STORE;
}

static ljs_err watched_each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    return ljs_store_each(((struct watched *)self)->store, prefix, prefix_len, row, user);
}

static ljs_err watched_count(uint64_t *out, void *self)
{
    return ljs_store_count(out, ((struct watched *)self)->store);
}

static void watched_close(void *self)
{
    ((struct watched *)self)->closed = true;
}

static ljs_err add_key(void *user, const uint8_t *key, size_t key_len)
{
    strncat(user, (const char *)key, key_len);
    return LJS_OK;
}

static void expect_keys(ljs_store *store, const char *want)
{
    char all[64] = "";

    assert_int_equal(ljs_store_each(store, (const uint8_t *)"", 0, add_key, all), LJS_OK);
    assert_string_equal(all, want);
}

static void over_what_is_there(void **state)
{
    static const ljs_store_ops ops = { .struct_size = sizeof ops,
                                       .get = watched_get,
                                       .commit = watched_commit,
                                       .each = watched_each,
                                       .close = watched_close,
                                       .count = watched_count };
    struct watched watched = { NULL, false, false };
    ljs_change change = { .key = (const uint8_t *)"f", .key_len = 1 };
    ljs_store *under, *store;
    uint64_t b, before, after;

    (void)state;
    assert_int_equal(ljs_store_memory(&watched.store), LJS_OK);
    for (const char *key = "b\0d\0f\0"; *key; key += 2)
        assert_int_equal(contract_put(watched.store, key, 0, "under"), LJS_OK);
    assert_int_equal(ljs_store_custom(&under, &ops, &watched), LJS_OK);
    assert_int_equal(overlay_store(&store, under), LJS_OK);
    assert_int_equal(ljs_store_count(&before, store), LJS_OK);
    expect_keys(store, "bdf");

    b = contract_version(store, "b");
    assert_int_equal(b, contract_version(watched.store, "b"));
    assert_int_equal(contract_put(store, "b", 0, "no"), LJS_E_CONFLICT);
    assert_int_equal(contract_put(store, "b", b, "over"), LJS_OK);
    assert_int_equal(contract_put(store, "b", b, "no"), LJS_E_CONFLICT); /* who has read it before has lost */
    assert_int_equal(contract_put(store, "d", contract_version(store, "d"), NULL), LJS_OK);
    assert_int_equal(contract_put(store, "a", 0, "over"), LJS_OK);
    assert_int_equal(contract_put(store, "e", 0, "over"), LJS_OK);
    assert_int_equal(contract_put(store, "g", 0, "over"), LJS_OK);
    contract_expect(store, "b", "over");
    contract_expect(store, "d", NULL);
    contract_expect(store, "f", "under");
    expect_keys(store, "abefg");
    assert_int_equal(contract_put(store, "d", 0, "again"), LJS_OK);
    assert_int_equal(contract_put(store, "a", contract_version(store, "a"), NULL), LJS_OK);
    expect_keys(store, "bdefg");
    assert_int_equal(ljs_store_count(&after, store), LJS_OK);
    assert_true(after >= before + 7);

    change.if_version = contract_version(store, "f");
    watched.broken = true; /* what is there cannot be seen: nothing is said of what would be */
    assert_int_equal(ljs_store_commit(store, &change, 1), LJS_E_STORE);
    watched.broken = false;
    expect_keys(store, "bdefg");

    ljs_store_free(store);
    assert_true(watched.closed);
    contract_expect(watched.store, "b", "under");
    expect_keys(watched.store, "bdf");
    ljs_store_free(watched.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(over_what_is_there) };
    int failed = contract_run(&(struct contract){ "overlay", open_overlay, false });

    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
