/* What the base layer gives back to the allocator has been wiped: free() is looked over. */
#include "base/json.h"
#include "base/secret.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define SECRET "d2c8a17e3904b6f0"

static unsigned frees, found;

void __real_free(void *block);

void __wrap_free(void *block)
{
    if (block) {
        frees++;
        found += memmem(block, malloc_usable_size(block), SECRET, sizeof SECRET - 1) != NULL;
    }
    __real_free(block);
}

static int forget(void **state)
{
    (void)state;
    frees = found = 0;
    return 0;
}

static void would_be_found(void **state)
{
    char *volatile block = malloc(100); /* gcc leaves out what is written only to be freed */

    (void)state;
    assert_non_null(block);
    memcpy(block + 50, SECRET, sizeof SECRET);
    free(block);
    assert_int_equal(found, 1);
}

/* A compiler may leave out what is written only to be freed, and must not. */
static void what_is_wiped_in_place(void **state)
{
    char *block = malloc(32), *volatile same = block;

    (void)state;
    assert_non_null(block);
    memcpy(same, SECRET, sizeof SECRET);
    ljs__wipe(block, 32);
    free(block);
    assert_int_equal(frees, 1);
    assert_int_equal(found, 0);
}

static void what_grows(void **state)
{
    struct wr w = { 0 };

    (void)state;
    ljs__wr_text(&w, SECRET);
    assert_true(ljs__wr_grow(&w, 1000));
    assert_true(ljs__wr_grow(&w, 10000));
    assert_int_equal(frees, 2);
    assert_memory_equal(w.data, SECRET, sizeof SECRET - 1);
    ljs__wr_drop(&w);
    assert_int_equal(frees, 3);
    assert_int_equal(found, 0);
}

static void what_goes_bad(void **state)
{
    struct wr w = { 0 };
    ljs_buf out;

    (void)state;
    ljs__wr_text(&w, SECRET);
    assert_false(ljs__wr_grow(&w, SIZE_MAX / 2));
    assert_int_equal(ljs__wr_take(&out, &w), LJS_E_NOMEM);
    assert_int_equal(frees, 1);
    assert_int_equal(found, 0);
}

static bool on_event(void *ctx, const struct json_event *event)
{
    bool *right = ctx;

    *right = event->type == JSON_TEXT && memmem(event->text, event->text_len, SECRET, sizeof SECRET - 1);
    return true;
}

/* One that is too long for the stack is unescaped on the heap. */
static void what_yajl_copies(void **state)
{
    static char text[10000] = "{\"a\":\"\\u0064" /* SECRET's d */;
    bool right = false;
    const char *why;
    size_t len = strlen(text);

    (void)state;
    memcpy(text + len, &SECRET[1], sizeof SECRET - 2);
    len += sizeof SECRET - 2;
    memset(text + len, 'x', 5000);
    memcpy(text + len + 5000, "\"}", 2);
    assert_int_equal(ljs__json_read((const uint8_t *)text, len + 5002, sizeof text, on_event, &right, &why), LJS_OK);
    assert_true(right);
    assert_int_equal(frees, 1);
    assert_int_equal(found, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(would_be_found, forget),   cmocka_unit_test_setup(what_is_wiped_in_place, forget),
        cmocka_unit_test_setup(what_grows, forget),       cmocka_unit_test_setup(what_goes_bad, forget),
        cmocka_unit_test_setup(what_yajl_copies, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
