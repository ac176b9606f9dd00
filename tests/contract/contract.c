#include "contract/contract.h"

#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define BYTES(text)  (const uint8_t *)(text), strlen(text)

struct subject {
    const struct contract *contract;
    char *dir;
    ljs_store *store;
};

/* ---- tools ---- */

char *contract_dir(void)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = NULL;

    assert_true(asprintf(&dir, "%s/lorajs-store-XXXXXX", tmp ? tmp : "/tmp") > 0);
    assert_non_null(mkdtemp(dir));
    return dir;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void contract_dir_remove(char *dir)
{
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(dir);
}

static ljs_change change(unsigned group, const char *key, uint64_t if_version, const char *value)
{
    return (ljs_change){ .key = (const uint8_t *)key,
                         .in = (const uint8_t *)value,
                         .key_len = strlen(key),
                         .in_len = value ? strlen(value) : 0,
                         .if_version = if_version,
                         .group = group,
                         .result = (ljs_err)77 };
}

ljs_err contract_put(ljs_store *store, const char *key, uint64_t if_version, const char *value)
{
    ljs_change one = change(0, key, if_version, value);
    ljs_err err = ljs_store_commit(store, &one, 1);

    return err ? err : one.result;
}

static uint64_t read_back(ljs_buf *out, ljs_store *store, const char *key)
{
    uint64_t version = 77;
    ljs_err err = ljs_store_get(out, &version, store, BYTES(key));

    if (err) {
        assert_int_equal(err, LJS_E_NOTFOUND);
        assert_null(out->data);
        assert_int_equal(out->len, 0);
        assert_int_equal(version, 0);
    } else {
        assert_int_not_equal(version, 0);
    }
    return version;
}

uint64_t contract_version(ljs_store *store, const char *key)
{
    ljs_buf value;
    uint64_t version = read_back(&value, store, key);

    ljs_buf_free(&value);
    return version;
}

void contract_expect(ljs_store *store, const char *key, const char *want)
{
    ljs_buf value;
    uint64_t version = read_back(&value, store, key);

    assert_int_equal(version != 0, want != NULL);
    if (want) {
        assert_int_equal(value.len, strlen(want));
        assert_memory_equal(value.data, want, value.len);
    }
    ljs_buf_free(&value);
}

bool contract_increment(ljs_store *store, const char *key, unsigned times)
{
    while (times) {
        ljs_buf value;
        uint64_t version;
        char text[32];
        ljs_err err = ljs_store_get(&value, &version, store, BYTES(key));

        if (err && err != LJS_E_NOTFOUND)
            return false;
        snprintf(text, sizeof text, "%.*s", (int)value.len, value.data ? (char *)value.data : "");
        snprintf(text, sizeof text, "%lu", strtoul(text, NULL, 10) + 1);
        ljs_buf_free(&value);
        err = contract_put(store, key, version, text);
        if (err && err != LJS_E_CONFLICT)
            return false;
        times -= !err;
    }
    return true;
}

unsigned long contract_counter(ljs_store *store, const char *key)
{
    ljs_buf value;
    char text[32] = "";

    if (read_back(&value, store, key))
        snprintf(text, sizeof text, "%.*s", (int)value.len, (char *)value.data);
    ljs_buf_free(&value);
    return strtoul(text, NULL, 10);
}

static void put(ljs_store *store, const char *key, const char *value)
{
    assert_int_equal(contract_put(store, key, contract_version(store, key), value), LJS_OK);
}

static int set_up(void **state)
{
    struct subject *s = *state;

    s->dir = contract_dir();
    return s->contract->open(&s->store, s->dir) || !s->store;
}

static int tear_down(void **state)
{
    struct subject *s = *state;

    ljs_store_free(s->store);
    contract_dir_remove(s->dir);
    return 0;
}

static void reopen(struct subject *s)
{
    if (!s->contract->lasts)
        return;
    ljs_store_free(s->store);
    assert_int_equal(s->contract->open(&s->store, s->dir), LJS_OK);
}

/* ---- a map from short keys (1 to 255 octets) to values (up to 1 MiB) ---- */

static void test_key_ranges(void **state)
{
    ljs_store *store = ((struct subject *)*state)->store;
    static const struct {
        size_t len;
        ljs_err err;
    } cases[] = { { 0, LJS_E_INVAL }, { 1, LJS_OK }, { 255, LJS_OK }, { 256, LJS_E_INVAL } };
    uint8_t key[256];
    ljs_buf value;
    uint64_t version;

    memset(key, 'k', sizeof key);
    for (size_t i = 0; i < COUNT(cases); i++) {
        ljs_change c = { .key = key, .key_len = cases[i].len, .in = key, .in_len = 3, .result = LJS_E_NOMEM };

        assert_int_equal(ljs_store_commit(store, &c, 1), cases[i].err);
        assert_int_equal(c.result, cases[i].err);
        assert_int_equal(ljs_store_get(&value, &version, store, key, cases[i].len), cases[i].err);
        assert_int_equal(value.len, cases[i].err ? 0 : 3);
        ljs_buf_free(&value);
    }
}

static void test_value_ranges(void **state)
{
    struct subject *s = *state;
    static const size_t sizes[] = { 0, 1, 999, 4000, 5000, LJS_STORE_VALUE_MAX };
    uint8_t *big = malloc(LJS_STORE_VALUE_MAX + 1);
    ljs_change c = change(0, "big", 0, "x");

    assert_non_null(big);
    for (size_t i = 0; i <= LJS_STORE_VALUE_MAX; i++)
        big[i] = (uint8_t)(i * 131 >> 3);
    c.in = big;
    c.in_len = LJS_STORE_VALUE_MAX + 1;
    assert_int_equal(ljs_store_commit(s->store, &c, 1), LJS_E_INVAL);
    assert_int_equal(c.result, LJS_E_INVAL);
    contract_expect(s->store, "big", NULL);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        ljs_buf value;

        c.in_len = sizes[i];
        c.if_version = contract_version(s->store, "big");
        assert_int_equal(ljs_store_commit(s->store, &c, 1), LJS_OK);
        assert_int_equal(c.result, LJS_OK);
        if (i + 1 == COUNT(sizes))
            reopen(s);
        assert_int_not_equal(read_back(&value, s->store, "big"), 0);
        assert_int_equal(value.len, sizes[i]);
        if (value.len)
            assert_memory_equal(value.data, big, value.len);
        ljs_buf_free(&value);
    }
    free(big);
}

static void test_arguments(void **state)
{
    ljs_store *store = ((struct subject *)*state)->store;
    ljs_change c[2] = { change(2, "a", 0, "1"), change(1, "b", 0, "2") };

    assert_int_equal(ljs_store_commit(store, c, 2), LJS_E_INVAL); /* groups that fall */
    assert_int_equal(c[0].result, LJS_E_INVAL);
    c[1].group = 2;
    c[1].in = NULL;
    c[1].in_len = 0;
    assert_int_equal(ljs_store_commit(store, c, 2), LJS_E_INVAL); /* delete what is not there */
    assert_int_equal(ljs_store_commit(store, c, 0), LJS_OK);
    contract_expect(store, "a", NULL);
}

static void test_octets(void **state)
{
    ljs_store *store = ((struct subject *)*state)->store;
    static const uint8_t keys[3][3] = { { 0, 0, 0 }, { 0, 9, 0 }, { 0, 0, 0 } };
    static const size_t lens[3] = { 2, 2, 3 };
    ljs_change c[3];

    for (int i = 0; i < 3; i++) { /* NULs and prefixes of each other are keys like any */
        c[i] = change((unsigned)i, "", 0, "");
        c[i].key = keys[i];
        c[i].key_len = lens[i];
        c[i].in = (const uint8_t *)"\0\377\0v" + (i & 1);
        c[i].in_len = 3;
    }
    assert_int_equal(ljs_store_commit(store, c, 3), LJS_OK);
    for (int i = 0; i < 3; i++) {
        ljs_buf value;
        uint64_t version;

        assert_int_equal(c[i].result, LJS_OK);
        assert_int_equal(ljs_store_get(&value, &version, store, c[i].key, c[i].key_len), LJS_OK);
        assert_int_equal(value.len, 3);
        assert_memory_equal(value.data, c[i].in, 3);
        ljs_buf_free(&value);
    }
}

/* ---- if_version 0 creates; v > 0 replaces or deletes exactly version v ---- */

static void test_create(void **state)
{
    struct subject *s = *state;
    uint64_t version;

    contract_expect(s->store, "k", NULL);
    assert_int_equal(contract_put(s->store, "k", 0, "one"), LJS_OK);
    contract_expect(s->store, "k", "one");
    version = contract_version(s->store, "k");
    assert_int_equal(contract_put(s->store, "k", 0, "two"), LJS_E_CONFLICT);
    contract_expect(s->store, "k", "one");
    assert_int_equal(contract_version(s->store, "k"), version);
    if (!s->contract->lasts)
        return;
    reopen(s);
    contract_expect(s->store, "k", "one");
    assert_int_equal(contract_version(s->store, "k"), version);
}

static void test_replace_and_delete(void **state)
{
    ljs_store *store = ((struct subject *)*state)->store;
    uint64_t first, second;

    assert_int_equal(contract_put(store, "k", 7, "one"), LJS_E_CONFLICT);
    assert_int_equal(contract_put(store, "k", 7, NULL), LJS_E_CONFLICT);
    contract_expect(store, "k", NULL);
    put(store, "k", "one");
    first = contract_version(store, "k");
    assert_int_equal(contract_put(store, "k", first, "two"), LJS_OK);
    second = contract_version(store, "k");
    assert_int_not_equal(first, second);
    for (int removes = 0; removes < 2; removes++) {
        const uint64_t wrong[] = { first, second + 1, second + (UINT64_C(1) << 32), second | UINT64_C(1) << 63,
                                   UINT64_MAX };

        for (size_t i = 0; i < COUNT(wrong); i++)
            assert_int_equal(contract_put(store, "k", wrong[i], removes ? NULL : "no"), LJS_E_CONFLICT);
    }
    contract_expect(store, "k", "two");
    assert_int_equal(contract_version(store, "k"), second);
    assert_int_equal(contract_put(store, "k", second, NULL), LJS_OK);
    contract_expect(store, "k", NULL);
    assert_int_equal(contract_put(store, "k", second, NULL), LJS_E_CONFLICT);
}

static void test_versions_never_repeat(void **state)
{
    struct subject *s = *state;
    uint64_t seen[60];

    for (size_t i = 0; i < COUNT(seen); i++) {
        put(s->store, "k", i % 2 ? "same" : "other");
        seen[i] = contract_version(s->store, "k");
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(seen[i], seen[j]);
        if (i % 3 == 2)
            assert_int_equal(contract_put(s->store, "k", seen[i], NULL), LJS_OK);
        if (i % 7 == 6)
            reopen(s); /* also right after the delete of the only key there was */
    }
}

/* ---- groups ---- */

static void test_group_stands_or_falls(void **state)
{
    ljs_store *store = ((struct subject *)*state)->store;
    uint64_t b, version;

    put(store, "a", "old");
    put(store, "b", "old");
    b = contract_version(store, "b");
    version = contract_version(store, "a");
    ljs_change c[] = { change(5, "a", version, "new"), change(5, "b", b, NULL), change(5, "c", 0, "new"),
                       change(5, "a", 0, "no") };

    assert_int_equal(ljs_store_commit(store, c, 4), LJS_OK);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(c[i].result, LJS_E_CONFLICT);
    contract_expect(store, "a", "old");
    contract_expect(store, "b", "old");
    contract_expect(store, "c", NULL);
    assert_int_equal(contract_version(store, "a"), version); /* nothing changed: this neither */
    assert_int_equal(contract_version(store, "b"), b);
    assert_int_equal(ljs_store_commit(store, c, 3), LJS_OK);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(c[i].result, LJS_OK);
    contract_expect(store, "a", "new");
    contract_expect(store, "b", NULL);
    contract_expect(store, "c", "new");
}

static void test_groups_apply_in_order(void **state)
{
    ljs_store *store = ((struct subject *)*state)->store;
    ljs_change c[] = { change(0, "a", 0, "first"), change(1, "a", 0, "second"), change(1, "b", 0, "second"),
                       change(7, "b", 0, "third"), change(9, "x", 5, "no"),     change(4000000000, "y", 0, "last") };
    static const ljs_err want[] = { LJS_OK, LJS_E_CONFLICT, LJS_E_CONFLICT, LJS_OK, LJS_E_CONFLICT, LJS_OK };

    assert_int_equal(ljs_store_commit(store, c, COUNT(c)), LJS_OK);
    for (size_t i = 0; i < COUNT(c); i++)
        assert_int_equal(c[i].result, want[i]);
    contract_expect(store, "a", "first");
    contract_expect(store, "b", "third");
    contract_expect(store, "x", NULL);
    contract_expect(store, "y", "last");
}

static void test_one_key_twice_in_a_group(void **state)
{
    ljs_store *store = ((struct subject *)*state)->store;
    uint64_t version;

    put(store, "a", "old");
    version = contract_version(store, "a");
    ljs_change c[] = { change(0, "a", version, NULL), change(0, "a", 0, "new"), change(0, "b", 3, "no") };

    assert_int_equal(ljs_store_commit(store, c, 3), LJS_OK);
    assert_int_equal(c[0].result, LJS_E_CONFLICT);
    contract_expect(store, "a", "old");
    assert_int_equal(contract_version(store, "a"), version);
    assert_int_equal(ljs_store_commit(store, c, 2), LJS_OK);
    assert_int_equal(c[1].result, LJS_OK);
    contract_expect(store, "a", "new");
    assert_int_not_equal(contract_version(store, "a"), version);
}

/* ---- each ---- */

struct seen {
    ljs_store *store;
    char keys[64][16];
    size_t len, stop_at;
    ljs_err inner;
};

static ljs_err see(void *user, const uint8_t *key, size_t key_len)
{
    struct seen *seen = user;

    assert_true(seen->len < COUNT(seen->keys) && key_len < sizeof seen->keys[0]);
    memcpy(seen->keys[seen->len], key, key_len);
    seen->keys[seen->len++][key_len] = 0;
    return seen->len == seen->stop_at ? LJS_E_REPLAY : LJS_OK;
}

static void test_each(void **state)
{
    ljs_store *store = ((struct subject *)*state)->store;
    static const char *const rising[] = { "a",     "a/1",   "a/10",  "a/2",       "a0", "b",
                                          "b\x7f", "b\x80", "b\xff", "b\xff\xff", "c" };
    static const struct {
        const char *prefix;
        size_t from, to;
    } cases[] = { { "", 0, 11 },    { "a", 0, 5 },      { "a/", 1, 4 },         { "a/1", 1, 3 },
                  { "b", 5, 10 },   { "b\xff", 8, 10 }, { "b\xff\xff", 9, 10 }, { "b\xff\xff\xff", 0, 0 },
                  { "\xff", 0, 0 }, { "c", 10, 11 },    { "aa", 0, 0 } };

    for (size_t i = 0; i < COUNT(rising); i++)
        put(store, rising[i * 7 % COUNT(rising)], "v");
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct seen seen = { 0 };

        assert_int_equal(ljs_store_each(store, BYTES(cases[i].prefix), see, &seen), LJS_OK);
        assert_int_equal(seen.len, cases[i].to - cases[i].from);
        for (size_t j = 0; j < seen.len; j++)
            assert_string_equal(seen.keys[j], rising[cases[i].from + j]);
    }
}

static void test_each_stops(void **state)
{
    ljs_store *store = ((struct subject *)*state)->store;
    struct seen seen = { .stop_at = 2 };
    uint8_t prefix[256] = { 0 };

    put(store, "a", "v");
    put(store, "b", "v");
    put(store, "c", "v");
    assert_int_equal(ljs_store_each(store, NULL, 0, see, &seen), LJS_E_REPLAY);
    assert_int_equal(seen.len, 2);
    assert_int_equal(ljs_store_each(store, prefix, 256, see, &seen), LJS_E_INVAL);
    assert_int_equal(ljs_store_each(store, prefix, 255, see, &seen), LJS_OK);
}

/* Removes what it sees, reads another and adds one behind: the store must not mind. */
static ljs_err meddle(void *user, const uint8_t *key, size_t key_len)
{
    struct seen *seen = user;
    char name[8] = "";

    memcpy(name, key, key_len);
    contract_expect(seen->store, "stay", "v");
    if (strcmp(name, "stay"))
        assert_int_equal(contract_put(seen->store, name, contract_version(seen->store, name), NULL), LJS_OK);
    return see(user, key, key_len);
}

static void test_each_lets_the_callback_in(void **state)
{
    ljs_store *store = ((struct subject *)*state)->store;
    struct seen seen = { .store = store };

    put(store, "a", "v");
    put(store, "b", "v");
    put(store, "stay", "v");
    assert_int_equal(ljs_store_each(store, NULL, 0, meddle, &seen), LJS_OK);
    assert_true(seen.len >= 1);
    assert_string_equal(seen.keys[seen.len - 1], "stay");
    contract_expect(store, "a", NULL);
}

struct many {
    unsigned next;
    bool wrong;
    ljs_store *store;
};

static ljs_err count_up(void *user, const uint8_t *key, size_t key_len)
{
    struct many *many = user;
    char want[200];

    snprintf(want, sizeof want, "%0150u", many->next);
    many->next += 2;
    if (key_len != 150 || memcmp(key, want, 150))
        many->wrong = true;
    return LJS_OK;
}

static void test_many(void **state)
{
    struct subject *s = *state;
    enum { MANY = 1000 };
    char(*keys)[200] = calloc(MANY, sizeof *keys);
    ljs_change *c = calloc(MANY, sizeof *c);
    struct many many = { 0 };

    for (unsigned i = 0; i < MANY; i++) { /* all in one batch, and more than any page holds */
        snprintf(keys[i], sizeof keys[i], "%0150u", i * 387 % MANY * 2);
        c[i] = change(i, keys[i], 0, keys[i]);
    }
    assert_int_equal(ljs_store_commit(s->store, c, MANY), LJS_OK);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(c[i].result, LJS_OK);
    reopen(s);
    assert_int_equal(ljs_store_each(s->store, BYTES("0"), count_up, &many), LJS_OK);
    assert_int_equal(many.next, 2 * MANY);
    assert_false(many.wrong);
    free(c);
    free(keys);
}

/* The even ones stay throughout; whether an odd one is seen is nobody's business. */
static ljs_err see_even(void *user, const uint8_t *key, size_t key_len)
{
    struct many *many = user;
    char name[200] = "";

    assert_int_equal(key_len, 150);
    memcpy(name, key, key_len);
    if (strtoul(name, NULL, 10) % 2 == 0) {
        many->wrong |= strtoul(name, NULL, 10) != many->next;
        many->next += 2;
        snprintf(name, sizeof name, "%0150u", many->next + 1);
        put(many->store, name, "came");
        snprintf(name, sizeof name, "%0150u", many->next - 1);
        if (contract_version(many->store, name))
            assert_int_equal(contract_put(many->store, name, contract_version(many->store, name), NULL), LJS_OK);
    }
    return LJS_OK;
}

static void test_each_sees_what_stays(void **state)
{
    struct subject *s = *state;
    struct many many = { .store = s->store };
    enum { STAY = 250 }; /* of 150 octets: several pages */

    for (unsigned i = 0; i < STAY; i++) {
        char name[200];

        snprintf(name, sizeof name, "%0150u", 2 * i);
        put(s->store, name, "stays");
    }
    assert_int_equal(ljs_store_each(s->store, NULL, 0, see_even, &many), LJS_OK);
    assert_int_equal(many.next, 2 * STAY);
    assert_false(many.wrong);
}

/* ---- every function may be called from any thread, at once ---- */

enum { THREADS = 8, TIMES = 40 };

struct worker {
    pthread_t thread;
    ljs_store *store;
    unsigned number;
    bool ok;
};

static void work(void *(*body)(void *), ljs_store *store)
{
    struct worker workers[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){ .store = store, .number = i };
        assert_int_equal(pthread_create(&workers[i].thread, NULL, body, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    for (unsigned i = 0; i < THREADS; i++)
        assert_true(workers[i].ok);
}

static void *increment(void *user)
{
    struct worker *w = user;
    char mine[] = { 'm', (char)('0' + w->number), 0 };

    w->ok = contract_increment(w->store, "ours", TIMES) && contract_increment(w->store, mine, TIMES);
    return NULL;
}

static void test_threads_lose_no_update(void **state)
{
    ljs_store *store = ((struct subject *)*state)->store;

    work(increment, store);
    assert_int_equal(contract_counter(store, "ours"), THREADS * TIMES);
    assert_int_equal(contract_counter(store, "m0"), TIMES);
    assert_int_equal(contract_counter(store, "m7"), TIMES);
}

static ljs_err count_row(void *user, const uint8_t *key, size_t key_len)
{
    (void)key, (void)key_len;
    ++*(unsigned *)user;
    return LJS_OK;
}

/* Two keys that are only ever changed together, while others look and list. */
static void *swap_or_look(void *user)
{
    struct worker *w = user;
    uint64_t left, right;
    ljs_buf a, b;

    w->ok = true;
    for (unsigned i = 0; i < TIMES && w->ok; i++) {
        unsigned rows = 0;

        if (ljs_store_get(&a, &left, w->store, BYTES("left")) || ljs_store_get(&b, &right, w->store, BYTES("right")))
            w->ok = false;
        ljs_buf_free(&a);
        ljs_buf_free(&b);
        if (w->number % 2) {
            w->ok = w->ok && !ljs_store_each(w->store, NULL, 0, count_row, &rows) && rows >= 2;
            continue;
        }
        ljs_change c[] = { change(1, "left", left, "x"), change(1, "right", right, "y"), change(2, "solo", 1, NULL) };

        if (ljs_store_commit(w->store, c, 3) || c[0].result != c[1].result ||
            (c[0].result != LJS_OK && c[0].result != LJS_E_CONFLICT))
            w->ok = false;
    }
    return NULL;
}

static void test_threads_of_all_kinds(void **state)
{
    ljs_store *store = ((struct subject *)*state)->store;

    put(store, "left", "x");
    put(store, "right", "y");
    work(swap_or_look, store);
}

/* ---- after fork() ---- */

static void test_fork(void **state)
{
    ljs_store *store = ((struct subject *)*state)->store;
    int status;
    pid_t child;

    put(store, "k", "v");
    if (!(child = fork())) {
        ljs_buf value;
        uint64_t version;
        unsigned rows = 0;
        ljs_err a = ljs_store_get(&value, &version, store, BYTES("k"));
        ljs_err b = contract_put(store, "k", 1, "w");
        ljs_err c = ljs_store_each(store, NULL, 0, count_row, &rows);

        ljs_store_free(store);
        _exit(a == LJS_E_STATE && b == LJS_E_STATE && c == LJS_E_STATE && !rows ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    contract_expect(store, "k", "v");
    put(store, "k", "w");
    contract_expect(store, "k", "w");
}

/* ---- the model ---- */

enum { MODEL_KEYS = 11, GROUPS = 5, CHANGES = 12 };

struct entry {
    bool there, touched;
    uint64_t version;
    char value[24];
};

struct model {
    struct entry entries[MODEL_KEYS];
};

struct history { /* all versions that each key has ever had */
    uint64_t *versions;
    size_t len;
};

struct batch {
    ljs_change changes[CHANGES];
    char values[CHANGES][24];
    unsigned key[CHANGES];
    size_t len;
    unsigned groups;
};

/* Two of nine octets say one and the same number to a store that would lay them out by it. */
static const char *const model_keys[MODEL_KEYS] = {
    "a", "a/", "a/1", "aa", "b", "b\xff", "b\xff\xff", "dthe-eui\xff", "euhe-eui\xff", "m", "z",
};

static unsigned roll(unsigned *seed, unsigned sides)
{
    *seed = *seed * 1664525 + 1013904223;
    return (*seed >> 16) % sides;
}

static void draw_batch(struct batch *b, const struct model *m, const struct history *h, unsigned *seed, unsigned step)
{
    unsigned group = roll(seed, 3);

    *b = (struct batch){ .groups = 1, .len = 1 + roll(seed, CHANGES) };
    for (size_t i = 0; i < b->len; i++) {
        unsigned k = b->key[i] = roll(seed, MODEL_KEYS), dice = roll(seed, 10);
        const struct entry *e = &m->entries[k];
        uint64_t version = e->there ? e->version : 0;

        if (dice == 0)
            version = 0;
        else if (dice == 1 && h[k].len)
            version = h[k].versions[roll(seed, (unsigned)h[k].len)];
        else if (dice == 2)
            version = UINT64_C(1) << 62 | step;
        if (i && b->groups < GROUPS && roll(seed, 2)) {
            group += 1 + roll(seed, 3);
            b->groups++;
        }
        snprintf(b->values[i], sizeof b->values[i], "%u.%zu", step, i);
        b->changes[i] = change(group, model_keys[k], version, version && !roll(seed, 4) ? NULL : b->values[i]);
    }
}

/* What a perfect store would do with the groups of which `doing` has the bit. */
static void simulate(struct model *m, ljs_err results[CHANGES], const struct batch *b, unsigned doing)
{
    unsigned group = 0;

    for (size_t from = 0, to; from < b->len; from = to, group++) {
        struct model before = *m;
        ljs_err err = LJS_OK;

        for (to = from; to < b->len && b->changes[to].group == b->changes[from].group; to++) {
            const ljs_change *c = &b->changes[to];
            struct entry *e = &m->entries[b->key[to]];
            uint64_t version = !e->there ? 0 : e->touched ? UINT64_MAX : e->version;

            if (version != c->if_version)
                err = LJS_E_CONFLICT;
            e->there = c->in != NULL;
            e->touched = true;
            snprintf(e->value, sizeof e->value, "%s", c->in ? (const char *)c->in : "");
        }
        if (err || !(doing >> group & 1))
            *m = before;
        for (size_t i = from; i < to; i++)
            results[i] = err;
    }
}

/* May the batch have ended as `now`, with these results? */
static bool explains(struct model *out, const struct batch *b, const struct model *before, const struct model *now,
                     unsigned doing)
{
    struct model m = *before;
    ljs_err results[CHANGES];
    unsigned group = 0;

    simulate(&m, results, b, doing);
    for (size_t i = 0; i < b->len; i++) {
        ljs_err told = b->changes[i].result;

        if (i && b->changes[i].group != b->changes[i - 1].group)
            group++;
        if (told != LJS_E_STORE && (told != results[i] || !(doing >> group & 1)))
            return false;
    }
    for (unsigned k = 0; k < MODEL_KEYS; k++) {
        const struct entry *e = &m.entries[k], *n = &now->entries[k];

        if (e->there != n->there || (e->there && strcmp(e->value, n->value)) ||
            (e->there && !e->touched && e->version != n->version))
            return false;
    }
    *out = m;
    return true;
}

static void load(struct model *now, ljs_store *store)
{
    for (unsigned k = 0; k < MODEL_KEYS; k++) {
        struct entry *e = &now->entries[k];
        ljs_buf value;

        *e = (struct entry){ .version = read_back(&value, store, model_keys[k]) };
        e->there = e->version != 0;
        assert_true(value.len < sizeof e->value);
        if (value.len)
            memcpy(e->value, value.data, value.len);
        ljs_buf_free(&value);
    }
}

static void check_listing(const struct model *m, ljs_store *store)
{
    struct seen seen = { 0 };
    size_t at = 0;

    assert_int_equal(ljs_store_each(store, NULL, 0, see, &seen), LJS_OK);
    for (unsigned k = 0; k < MODEL_KEYS; k++)
        if (m->entries[k].there) {
            assert_true(at < seen.len);
            assert_string_equal(seen.keys[at++], model_keys[k]);
        }
    assert_int_equal(at, seen.len);
}

void contract_model(const struct model_run *run, ljs_store *store, const char *dir)
{
    unsigned seed = run->seed, group_bits = (1u << GROUPS) - 1;
    struct model m = { 0 }, now, told;
    struct history history[MODEL_KEYS] = { 0 };
    size_t applied = 0, conflicts = 0;

    for (unsigned step = 0; step < run->steps; step++) {
        struct batch b;
        bool explained = false;
        ljs_err err;

        draw_batch(&b, &m, history, &seed, step);
        if (run->prepare)
            run->prepare(run->user, roll(&seed, 1000));
        err = ljs_store_commit(store, b.changes, b.len);
        if (run->prepare)
            for (size_t i = 0; err && i < b.len; i++)
                assert_int_equal(b.changes[i].result, LJS_E_STORE);
        else
            assert_int_equal(err, LJS_OK);
        if (run->contract->lasts && !roll(&seed, 20)) {
            ljs_store_free(store);
            assert_int_equal(run->contract->open(&store, dir), LJS_OK);
        }
        load(&now, store);
        for (unsigned doing = 0; doing <= group_bits && !explained; doing++)
            explained = explains(&told, &b, &m, &now, doing);
        assert_true(explained);
        for (unsigned k = 0; k < MODEL_KEYS; k++) {
            struct history *h = &history[k];

            if (!told.entries[k].touched || !now.entries[k].there)
                continue;
            for (size_t i = 0; i < h->len; i++)
                assert_int_not_equal(h->versions[i], now.entries[k].version);
            h->versions = realloc(h->versions, (h->len + 1) * sizeof *h->versions);
            h->versions[h->len++] = now.entries[k].version;
        }
        for (size_t i = 0; i < b.len; i++) {
            assert_true(run->prepare || b.changes[i].result != LJS_E_STORE);
            applied += b.changes[i].result == LJS_OK;
            conflicts += b.changes[i].result == LJS_E_CONFLICT;
        }
        m = now;
        if (step % 16 == 0)
            check_listing(&m, store);
    }
    assert_true(applied > run->steps && conflicts > run->steps / 2); /* or the dice are no good */
    for (unsigned k = 0; k < MODEL_KEYS; k++)
        free(history[k].versions);
    ljs_store_free(store);
}

static void test_model(void **state)
{
    struct subject *s = *state;

    for (unsigned seed = 1; seed <= 3; seed++) {
        struct model_run run = { .contract = s->contract, .seed = seed, .steps = 300 };

        contract_model(&run, s->store, s->dir);
        s->store = NULL;
        contract_dir_remove(s->dir);
        s->dir = contract_dir();
        assert_int_equal(s->contract->open(&s->store, s->dir), LJS_OK);
    }
}

int contract_run(const struct contract *contract)
{
    struct subject subject = { .contract = contract };
#define CHECK(f)                                                                                                       \
    {                                                                                                                  \
#f, f, set_up, tear_down, &subject                                                                             \
    }
    const struct CMUnitTest tests[] = {
        CHECK(test_key_ranges),
        CHECK(test_value_ranges),
        CHECK(test_arguments),
        CHECK(test_octets),
        CHECK(test_create),
        CHECK(test_replace_and_delete),
        CHECK(test_versions_never_repeat),
        CHECK(test_group_stands_or_falls),
        CHECK(test_groups_apply_in_order),
        CHECK(test_one_key_twice_in_a_group),
        CHECK(test_each),
        CHECK(test_each_stops),
        CHECK(test_each_lets_the_callback_in),
        CHECK(test_many),
        CHECK(test_each_sees_what_stays),
        CHECK(test_threads_lose_no_update),
        CHECK(test_threads_of_all_kinds),
        CHECK(test_fork),
        CHECK(test_model),
    };

    return _cmocka_run_group_tests(contract->name, tests, COUNT(tests), NULL, NULL);
}
