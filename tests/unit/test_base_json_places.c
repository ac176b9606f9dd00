/* JSON is looked at sixteen octets at a time, and names are compared by sixteen: what is odd is found wherever it
 * stands, and nothing is read beyond either end. */
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

enum { MOST = 40 }; /* two sixteens and a half */

/* ---- a text between two pages that cannot be read ---------------------------- */

static uint8_t *page;
static size_t page_len;

static int make_page(void **state)
{
    uint8_t *pages;

    (void)state;
    page_len = (size_t)sysconf(_SC_PAGESIZE);
    pages = mmap(NULL, 3 * page_len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return -1;
    page = pages + page_len;
    return mprotect(page, page_len, PROT_READ | PROT_WRITE);
}

struct last {
    char text[1024];
    size_t len;
    unsigned texts;
};

static bool on_event(void *ctx, const struct json_event *event)
{
    struct last *last = ctx;

    if (event->type == JSON_TEXT && event->text_len <= sizeof last->text) {
        last->len = event->text_len;
        memcpy(last->text, event->text, event->text_len);
        last->texts++;
    }
    return true;
}

/* At both ends of the page.  @return why not, or NULL */
static const char *read_at_ends(const char *text, size_t len, struct last *last)
{
    const char *why[2] = { "", "" };

    for (int end = 0; end < 2; end++) {
        uint8_t *at = end ? page + page_len - len : page;
        ljs_err err;

        *last = (struct last){ .len = 0 };
        memcpy(at, text, len);
        err = ljs__json_read(at, len, 65536, on_event, last, &why[end]);
        assert_int_equal(err, why[end] ? LJS_E_MESSAGE : LJS_OK);
    }
    assert_ptr_equal(why[0], why[1]);
    return why[1];
}

static void refuses(const char *text, size_t len, const char *want)
{
    struct last last;
    const char *why = read_at_ends(text, len, &last);

    if (!why || strcmp(why, want))
        fail_msg("%.*s: %s instead of %s", (int)len, text, why ? why : "nothing", want);
}

/* ---- texts -------------------------------------------------------------------- */

static const char digits[] = "0123456789012345678901234567890123456789";

/* {"a":"..."} of `len` digits, with `what` before the one at `at` */
static size_t put(char *text, size_t room, size_t len, size_t at, const char *what)
{
    return (size_t)snprintf(text, room, "{\"a\":\"%.*s%s%.*s\"}", (int)at, digits, what, (int)(len - at), digits + at);
}

static void escapes(void **state)
{
    static const struct {
        const char *escape, *means;
    } rows[] = { { "\\n", "\n" },
                 { "\\\"", "\"" },
                 { "\\\\", "\\" },
                 { "\\u0041", "A" },
                 { "\\ud83d\\ude00", "\xf0\x9f\x98\x80" } };
    char text[128], want[128];
    struct last last;

    (void)state;
    for (size_t len = 0; len <= MOST; len++)
        for (size_t at = 0; at <= len; at++)
            for (size_t i = 0; i < COUNT(rows); i++) {
                size_t n = put(text, sizeof text, len, at, rows[i].escape);
                int want_len = snprintf(want, sizeof want, "%.*s%s%.*s", (int)at, digits, rows[i].means,
                                        (int)(len - at), digits + at);

                assert_null(read_at_ends(text, n, &last));
                assert_int_equal(last.texts, 1);
                assert_int_equal(last.len, want_len);
                assert_memory_equal(last.text, want, last.len);
            }
}

/* yajl itself would take these. */
static void escapes_of_nothing(void **state)
{
    static const char *const bad[] = { "\\u0000", "\\ud800", "\\udc00", "\\ud800\\ud800" };
    char text[128];

    (void)state;
    for (size_t len = 0; len <= MOST; len++)
        for (size_t at = 0; at <= len; at++)
            for (size_t i = 0; i < COUNT(bad); i++)
                refuses(text, put(text, sizeof text, len, at, bad[i]), "an escape that stands for no character");
}

static void utf8(void **state)
{
    static const char *const good[] = { "\x7f", "\xc2\x80", "\xe2\x82\xac", "\xf0\x9f\x98\x80" };
    static const char *const bad[] = { "\x80", "\xc3", "\xc0\x80", "\xe2\x82", "\xed\xa0\x80", "\xf0\x9f\x98", "\xff" };
    char text[128];
    struct last last;

    (void)state;
    for (size_t len = 0; len <= MOST; len++)
        for (size_t at = 0; at <= len; at++) {
            for (size_t i = 0; i < COUNT(good); i++) {
                size_t n = put(text, sizeof text, len, at, good[i]);

                assert_null(read_at_ends(text, n, &last));
                assert_int_equal(last.len, len + strlen(good[i]));
            }
            for (size_t i = 0; i < COUNT(bad); i++)
                refuses(text, put(text, sizeof text, len, at, bad[i]), "not UTF-8");
        }
}

/* Inside of a text and between two values: yajl takes some of these for white space. */
static void controls(void **state)
{
    (void)state;
    for (size_t len = 1; len <= MOST; len++)
        for (size_t at = 0; at < len; at++)
            for (char c = 0; c < 0x20; c++) {
                bool space = c == '\t' || c == '\n' || c == '\r';
                char text[128];
                size_t n = put(text, sizeof text, len, at, "");

                text[6 + at] = c;
                refuses(text, n, space ? "not JSON" : "a control character");
                n = (size_t)snprintf(text, sizeof text, "{\"a\":1%*s}", (int)len, "");
                text[6 + at] = c;
                if (space)
                    assert_null(read_at_ends(text, n, &(struct last){ .len = 0 }));
                else
                    refuses(text, n, "a control character");
            }
}

static void quotes(void **state)
{
    char text[128];

    (void)state;
    for (size_t first = 0; first < MOST; first++)
        for (size_t second = first; second < MOST; second++) { /* one where both are the same */
            size_t n = put(text, sizeof text, MOST, 0, "");

            text[6 + first] = text[6 + second] = '"';
            refuses(text, n, first == second ? "a text that does not end" : "not JSON");
        }
}

static void backslashes_outside(void **state)
{
    (void)state;
    for (size_t len = 1; len <= MOST; len++)
        for (size_t at = 0; at < len; at++) {
            char text[128];
            size_t n = (size_t)snprintf(text, sizeof text, "{\"a\":1%*s}", (int)len, "");

            text[6 + at] = '\\';
            refuses(text, n, "not JSON");
        }
}

/* ---- names -------------------------------------------------------------------- */

struct names {
    struct json_name name;
    unsigned events, named; /* how many were, the outermost of all left out */
};

static bool on_named(void *ctx, const struct json_event *event)
{
    struct names *names = ctx;

    if (event->depth > 1 && event->type != JSON_END) {
        names->events++;
        names->named += json_named(event, &names->name);
    }
    return true;
}

/* Is a member of this name taken for ours, when ours was read just before? */
static bool taken(const struct json_name *ours, const char *other)
{
    struct names names = { *ours, 0, 0 };
    const char *why;
    char text[256];
    size_t len = (size_t)snprintf(text, sizeof text, "{\"%s\":{\"%s\":1}}", ours->text, other);

    assert_true(len < sizeof text);
    assert_int_equal(ljs__json_read((const uint8_t *)text, len, sizeof text, on_named, &names, &why), LJS_OK);
    assert_int_equal(names.events, 1);
    return names.named;
}

static void near_names(void **state)
{
    static const char all[] = "ProtocolVersionsAndWhateverElseIsLongerThanSixtyThreeOctetsAsThisOneIsNow";

    (void)state;
    for (size_t len = 1; len < LJS__JSON_NAME_ROOM; len++) {
        struct json_name ours = { .len = (uint8_t)len };
        char other[sizeof all + LJS__JSON_NAME_ROOM];

        memcpy(ours.text, all, len);
        for (size_t n = 0; n < sizeof all; n++) {
            snprintf(other, sizeof other, "%.*s", (int)n, all);
            assert_int_equal(taken(&ours, other), n == len);
        }
        for (size_t at = 0; at < len; at++) {
            memcpy(other, ours.text, sizeof ours.text);
            other[at] ^= 0x20;
            assert_false(taken(&ours, other));
            snprintf(other, sizeof other, "%.*s\\u%04x%s", (int)at, ours.text, (unsigned)ours.text[at],
                     ours.text + at + 1);
            assert_true(taken(&ours, other)); /* the same name, written in another way */
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes),    cmocka_unit_test(escapes_of_nothing),
        cmocka_unit_test(utf8),       cmocka_unit_test(controls),
        cmocka_unit_test(quotes),     cmocka_unit_test(backslashes_outside),
        cmocka_unit_test(near_names),
    };

    return cmocka_run_group_tests(tests, make_page, NULL);
}
