/* JSON: what is read, what is refused, what is written. */
#include "base/json.h"
#include "base/text.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* ---- events as text, so that a test is one line ----------------------------- */

struct trace {
    char text[2048];
    size_t len;
    unsigned stop_after; /* 0: never */
    unsigned events;
};

static bool on_event(void *ctx, const struct json_event *event)
{
    struct trace *t = ctx;
    size_t room = sizeof t->text - t->len;
    int n = 0;

    t->events++;
    switch (event->type) {
    case JSON_NULL:
        n = snprintf(t->text + t->len, room, "%u%s=null ", event->depth, event->name);
        break;
    case JSON_BOOL:
        n = snprintf(t->text + t->len, room, "%u%s=%s ", event->depth, event->name, event->number ? "yes" : "no");
        break;
    case JSON_INT:
        n = snprintf(t->text + t->len, room, "%u%s=%lld ", event->depth, event->name, (long long)event->number);
        break;
    case JSON_FLOAT:
        n = snprintf(t->text + t->len, room, "%u%s~%.*s ", event->depth, event->name, (int)event->text_len,
                     event->text);
        break;
    case JSON_TEXT:
        n = snprintf(t->text + t->len, room, "%u%s='%.*s' ", event->depth, event->name, (int)event->text_len,
                     event->text);
        break;
    case JSON_OBJECT:
        n = snprintf(t->text + t->len, room, "%u%s{ ", event->depth, event->name);
        break;
    case JSON_ARRAY:
        n = snprintf(t->text + t->len, room, "%u%s[ ", event->depth, event->name);
        break;
    case JSON_END:
        assert_string_equal(event->name, "");
        n = snprintf(t->text + t->len, room, "%u. ", event->depth);
        break;
    }
    if ((size_t)n < room) /* what does not fit is not looked at */
        t->len += (size_t)n;
    return t->events != t->stop_after;
}

static bool ignore(void *ctx, const struct json_event *event)
{
    (void)ctx;
    (void)event;
    return true;
}

/* In a block of exactly its size, so that the sanitizer sees a read past its end. */
static ljs_err read_exactly(const char *text, size_t len, size_t max, json_fn *fn, void *ctx, const char **why)
{
    uint8_t *copy = malloc(len ? len : 1);
    ljs_err err;

    assert_non_null(copy);
    memcpy(copy, text, len);
    err = ljs__json_read(copy, len, max, fn, ctx, why);
    free(copy);
    return err;
}

static void reads(const char *text, const char *events)
{
    struct trace t = { .len = 0 };
    const char *why = "";

    assert_int_equal(read_exactly(text, strlen(text), 65536, on_event, &t, &why), LJS_OK);
    assert_null(why);
    assert_string_equal(t.text, events);
}

static void refuses_octets(const char *text, size_t len, const char *want)
{
    struct trace t = { .len = 0 };
    const char *why = NULL;
    ljs_err err = read_exactly(text, len, 65536, on_event, &t, &why);

    if (err != LJS_E_MESSAGE || !why || strcmp(why, want))
        fail_msg("%.*s: %s, %s instead of %s", (int)len, text, ljs_errname(err), why ? why : "nothing", want);
}

static void refuses(const char *text, const char *want)
{
    refuses_octets(text, strlen(text), want);
}

static void test_events(void **state)
{
    (void)state;
    reads("{}", "");
    reads(" \t\r\n{ } \n\t\r ", "");
    reads("{\"a\":1,\"b\":\"x\",\"c\":null,\"d\":true,\"e\":false}", "1a=1 1b='x' 1c=null 1d=yes 1e=no ");
    reads("{\"a\":{\"b\":[1,{\"c\":2},3],\"d\":4},\"e\":5}", "1a{ 2b[ 3=1 3{ 4c=2 3. 3=3 2. 2d=4 1. 1e=5 ");
    reads("{\"a\":[],\"b\":[[]],\"c\":{}}", "1a[ 1. 1b[ 2[ 2. 1. 1c{ 1. ");
    reads("{\"\":1}", "1=1 ");
    reads("{\"a\":\"\"}", "1a='' ");
}

static void test_numbers(void **state)
{
    (void)state;
    reads("{\"a\":0,\"b\":-0,\"c\":-1}", "1a=0 1b=0 1c=-1 ");
    reads("{\"a\":9223372036854775807}", "1a=9223372036854775807 ");
    reads("{\"a\":-9223372036854775808}", "1a=-9223372036854775808 ");
    refuses("{\"a\":9223372036854775808}", "a number out of range");
    refuses("{\"a\":-9223372036854775809}", "a number out of range");
    refuses("{\"a\":18446744073709551616}", "a number out of range");
    refuses("{\"a\":100000000000000000000000000000000000000}", "a number out of range");
    reads("{\"a\":1.0,\"b\":1e0,\"c\":1E+2,\"d\":-0.5}", "1a~1.0 1b~1e0 1c~1E+2 1d~-0.5 ");
    reads("{\"a\":1e999}", "1a~1e999 ");                                     /* no float is ever computed */
    reads("{\"a\":100000000000000000000.5}", "1a~100000000000000000000.5 "); /* nor is its whole part */
    refuses("{\"a\":01}", "not JSON");
    refuses("{\"a\":+1}", "not JSON");
    refuses("{\"a\":.5}", "not JSON");
    refuses("{\"a\":1.}", "not JSON");
    refuses("{\"a\":1e}", "not JSON");
    refuses("{\"a\":-}", "not JSON");
    refuses("{\"a\":0x10}", "not JSON");
    refuses("{\"a\":NaN}", "not JSON");
    refuses("{\"a\":Infinity}", "not JSON");
    refuses("{\"a\":-Infinity}", "not JSON");
}

/* Sixteen octets are looked at together, and names kept by eights: whatever stands where, it is found. */
static void test_every_place(void **state)
{
    static const struct {
        char octet;
        const char *why;
    } odd[] = { { 1, "a control character" }, { '\xff', "not UTF-8" }, { '"', "a text that does not end" } };

    (void)state;
    for (size_t len = 0; len < 40; len++) {
        char text[64];
        int n = snprintf(text, sizeof text, "{\"a\":\"%.*s\"}", (int)len, "0123456789012345678901234567890123456789");

        for (size_t at = 0; at < len; at++)
            for (size_t i = 0; i < COUNT(odd); i++) {
                char was = text[6 + at];

                text[6 + at] = odd[i].octet;
                refuses_octets(text, (size_t)n, odd[i].why);
                text[6 + at] = was;
            }
        assert_int_equal(read_exactly(text, (size_t)n, 65536, ignore, NULL, &(const char *){ NULL }), LJS_OK);
    }
}

static void test_names_of_every_length(void **state)
{
    static const char name[] = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-+.:,;";

    (void)state;
    for (size_t len = 1; len < sizeof name; len++) {
        char text[200], other[sizeof name], events[200];

        snprintf(other, sizeof other, "%.*s", (int)len, name);
        for (size_t at = 0; at < len; at++) {
            other[at] ^= 1; /* a name that differs in one place is another */
            snprintf(text, sizeof text, "{\"%.*s\":1,\"%s\":2}", (int)len, name, other);
            if (len <= LJS__JSON_NAME_MAX) {
                snprintf(events, sizeof events, "1%.*s=1 1%s=2 ", (int)len, name, other);
                reads(text, events);
            } else
                reads(text, "1=1 1=2 ");
            other[at] ^= 1;
        }
        snprintf(text, sizeof text, "{\"%s\":1,\"%s\":2}", other, other);
        refuses(text, "a name that stands twice in one object");
    }
}

static void test_texts(void **state)
{
    (void)state;
    reads("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "1a='\"\\/\b\f\n\r\t' ");
    reads("{\"\\u0061\":\"\\u0062\"}", "1a='b' "); /* the name survives the text's unescaping */
    reads("{\"a\":\"\\u00e4\\u20ac\\ud83d\\ude00\"}", "1a='\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80' ");
    reads("{\"a\":\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\x7f\"}", "1a='\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\x7f' ");
    reads("{\"a\":\"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\"}", "1a='\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf' ");
    reads("{\"a\":\"\\\\u0000\"}", "1a='\\u0000' "); /* a backslash, and no escape */

    refuses("{\"a\":\"\\u0000\"}", "an escape that stands for no character");
    refuses("{\"a\\u0000\":1}", "an escape that stands for no character");
    refuses("{\"a\":\"\\ud800\"}", "an escape that stands for no character");
    refuses("{\"a\":\"\\udc00\"}", "an escape that stands for no character");
    refuses("{\"a\":\"\\ud800\\ud800\"}", "an escape that stands for no character");
    refuses("{\"a\":\"\\ud800x\\udc00\"}", "an escape that stands for no character");
    refuses("{\"a\":\"\\udc00\\ud800\"}", "an escape that stands for no character");
    refuses("{\"a\":\"\\udc00\\udc00\"}", "an escape that stands for no character");
    refuses("{\"a\":\"\\ud800\\u0041\"}", "an escape that stands for no character");
    refuses("{\"a\":\"\\u12\"}", "an escape that stands for no character");
    refuses("{\"a\":\"\\u12g4\"}", "an escape that stands for no character");
    refuses("{\"a\":\"\\x41\"}", "not JSON");
    refuses("{\"a\":\"\\", "not a JSON object");
    refuses("{\"a\":\"\\}", "a text that does not end");
    refuses("{\"a\":\"b}", "a text that does not end");
    refuses("{\"a\":\"b\nc\"}", "not JSON");
    refuses("{\"a\":\"b\tc\"}", "not JSON");
    refuses("{\"a\":\"b\x01\"}", "a control character");
    refuses_octets("{\"a\":\"\0\"}", 9, "a control character");
    refuses_octets("{\"a\":1}\0", 8, "not a JSON object");
    refuses("{\"a\":\"\x80\"}", "not UTF-8");
    refuses("{\"a\":\"\xff\"}", "not UTF-8");
    refuses("{\"a\":\"\xc0\x80\"}", "not UTF-8");         /* overlong U+0000 */
    refuses("{\"a\":\"\xc1\xbf\"}", "not UTF-8");         /* overlong U+007F */
    refuses("{\"a\":\"\xe0\x9f\xbf\"}", "not UTF-8");     /* overlong U+07FF */
    refuses("{\"a\":\"\xf0\x8f\xbf\xbf\"}", "not UTF-8"); /* overlong U+FFFF */
    refuses("{\"a\":\"\xed\xa0\x80\"}", "not UTF-8");     /* a surrogate */
    refuses("{\"a\":\"\xf4\x90\x80\x80\"}", "not UTF-8"); /* above U+10FFFF */
    refuses("{\"a\":\"\xf5\x80\x80\x80\"}", "not UTF-8");
    refuses("{\"a\":\"\xe2\x82\"}", "not UTF-8");
    refuses("{\"a\":\"\xc3", "not a JSON object");
    refuses("{\xc3}", "not UTF-8");
}

static void test_grammar(void **state)
{
    (void)state;
    refuses("", "not a JSON object");
    refuses(" \n", "not a JSON object");
    refuses("[]", "not a JSON object");
    refuses("[{}", "not a JSON object");
    refuses("null", "not a JSON object");
    refuses("\"{}\"", "not a JSON object");
    refuses("1}", "not a JSON object");
    refuses("\"a\"}", "not a JSON object");
    refuses("{", "not a JSON object");
    refuses("}", "not JSON");
    refuses("{{}", "not JSON");
    refuses("{\"a\":{}", "not JSON");
    refuses("{\"a\"}", "not JSON");
    refuses("{\"a\":}", "not JSON");
    refuses("{\"a\":1,}", "not JSON");
    refuses("{,}", "not JSON");
    refuses("{\"a\":1 \"b\":2}", "not JSON");
    refuses("{\"a\":[1,]}", "not JSON");
    refuses("{\"a\":[1}", "not JSON");
    refuses("{a:1}", "not JSON");
    refuses("{'a':1}", "not JSON");
    refuses("{1:1}", "not JSON");
    refuses("{\"a\":tru}", "not JSON");
    refuses("{\"a\":True}", "not JSON");
    refuses("{\"a\":1}{}", "not JSON");
    refuses("{\"a\":1} {\"b\":2}", "not JSON");
    refuses("{\"a\":1}}", "not JSON");
    refuses("{\"a\":1},{}", "not JSON");
    refuses("{\"a\":1}x{}", "not JSON");
    refuses("{\"a\":1}x", "not a JSON object");
    refuses("{\"a\":1/**/}", "not JSON");
    refuses("/**/{\"a\":1}", "not JSON");
    refuses("{\"a\":1 //\n}", "not JSON");
    refuses("{\"a\":\v1}", "a control character"); /* which yajl takes for white space */
    refuses("{\"a\":\f1}", "a control character");
    refuses("\xef\xbb\xbf{}", "not JSON"); /* a byte order mark */
    refuses("{\"a\"\\:1}", "not JSON");
}

static void test_names(void **state)
{
    char long_name[80];
    char text[128];

    (void)state;
    refuses("{\"a\":1,\"a\":1}", "a name that stands twice in one object");
    refuses("{\"a\":1,\"b\":2,\"\\u0061\":3}", "a name that stands twice in one object");
    refuses("{\"a\":{\"b\":1,\"c\":{},\"b\":1}}", "a name that stands twice in one object");
    refuses("{\"\":1,\"\":2}", "a name that stands twice in one object");
    refuses("{\"a\":{\"b\":1},\"a\":2}", "a name that stands twice in one object");
    reads("{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":1},\"c\":[{\"a\":1},{\"a\":1}]}",
          "1a{ 2a{ 3a=1 2. 1. 1b{ 2a=1 1. 1c[ 2{ 3a=1 2. 2{ 3a=1 2. 1. ");
    reads("{\"a\":1,\"A\":2}", "1a=1 1A=2 ");

    memset(long_name, 'n', sizeof long_name);
    snprintf(text, sizeof text, "{\"%.63s\":1}", long_name);
    {
        char want[80];

        snprintf(want, sizeof want, "1%.63s=1 ", long_name);
        reads(text, want);
    }
    snprintf(text, sizeof text, "{\"%.64s\":1}", long_name);
    reads(text, "1=1 "); /* longer than any of ours */
}

/* n members, or n objects one in the other */
static char *many(size_t *len, unsigned n, const char *before, const char *each, const char *after)
{
    size_t room = 64 + (size_t)n * (strlen(each) + 8);
    char *text = malloc(room);
    size_t at;

    assert_non_null(text);
    at = (size_t)snprintf(text, room, "%s", before);
    for (unsigned i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, room - at, each, i);
    *len = at + (size_t)snprintf(text + at, room - at, "%s", after);
    return text;
}

static void counted(unsigned n, const char *each, const char *after, const char *why_want)
{
    const char *why;
    size_t len;
    char *text = many(&len, n, "{\"first\":0", each, after);
    ljs_err err = read_exactly(text, len, 1 << 20, ignore, NULL, &why);

    free(text);
    assert_int_equal(err, why_want ? LJS_E_MESSAGE : LJS_OK);
    if (why_want)
        assert_string_equal(why, why_want);
}

/* A name is known again wherever it stands: with much of the message behind it or little, and where yajl has copied
 * it; and another, in any of its letters, is another. */
static void test_a_name_again(void **state)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    (void)state;
    for (int len = 1; len < (int)sizeof letters; len++)
        for (int at = -1; at < len; at++) {
            char name[3][2 * sizeof letters], text[1024];

            for (int i = 0; i < 3; i++)
                snprintf(name[i], sizeof name[i], "%.*s", len, letters);
            if (at >= 0)
                name[1][at] = '_';
            snprintf(name[2], sizeof name[2], "\\u00%02x%.52s", (unsigned)name[1][0], name[1] + 1);
            for (int i = 1; i < 3; i++)
                for (int turn = 0; turn < 2; turn++)
                    for (int pad = 0; pad < 2; pad++) {
                        struct trace t = { .len = 0 };
                        const char *why;

                        snprintf(text, sizeof text, "{\"%s\":0,\"%s\":1%s}", name[turn ? i : 0], name[turn ? 0 : i],
                                 pad ? ",\"0123456789\":\"0123456789\"" : "");
                        if ((ljs__json_read((const uint8_t *)text, strlen(text), 65536, on_event, &t, &why) ==
                             LJS_OK) != (at >= 0))
                            fail_msg("%s", text);
                    }
        }
}

static void test_many_names(void **state)
{
    (void)state;
    counted(LJS__JSON_NAMES - 1, ",\"m%u\":0", "}", NULL);
    counted(LJS__JSON_NAMES, ",\"m%u\":0", "}", "too many members");
    /* those of objects that are closed do not count */
    counted(200, ",\"m%u\":{\"a\":0,\"b\":1}", "}", NULL);
    counted(50000, ",\"m%u\":0", "}", "too many members");
}

static void nested(unsigned depth, const char *open, const char *close, const char *why_want)
{
    char text[4096] = "{\"a\":";
    const char *why;
    ljs_err err;

    for (unsigned i = 1; i < depth; i++)
        strcat(text, open);
    strcat(text, "1");
    for (unsigned i = 1; i < depth; i++)
        strcat(text, close);
    strcat(text, "}");
    err = read_exactly(text, strlen(text), 65536, ignore, NULL, &why);
    assert_int_equal(err, why_want ? LJS_E_MESSAGE : LJS_OK);
    if (why_want)
        assert_string_equal(why, why_want);
}

static void test_depth(void **state)
{
    (void)state;
    nested(16, "[", "]", NULL);
    nested(16, "{\"a\":", "}", NULL);
    nested(17, "[", "]", "nested too deeply");
    nested(17, "{\"a\":", "}", "nested too deeply");
    nested(500, "[", "]", "nested too deeply");
}

static void test_size(void **state)
{
    const char *why;
    char *text = malloc(65537);

    (void)state;
    assert_non_null(text);
    memset(text, ' ', 65537);
    memcpy(text, "{\"a\":1}", 7);
    assert_int_equal(ljs__json_read((uint8_t *)text, 65536, 65536, ignore, NULL, &why), LJS_OK);
    assert_int_equal(ljs__json_read((uint8_t *)text, 65537, 65536, ignore, NULL, &why), LJS_E_MESSAGE);
    assert_string_equal(why, "too long");
    free(text);
}

/* Texts with escapes of every length around the powers of two at which yajl's buffer
 * grows: no arena may be too small, and nothing may be lost. */
struct long_text {
    size_t want;
    bool right;
};

static bool on_long_text(void *ctx, const struct json_event *event)
{
    struct long_text *l = ctx;

    l->right = event->type == JSON_TEXT && event->text_len == l->want;
    for (size_t i = 0; l->right && i < l->want; i++)
        l->right = event->text[i] == (i % 3 ? 'x' : '"');
    return true;
}

static void test_long_texts(void **state)
{
    char *text = malloc(2 * 200000 + 64);

    (void)state;
    assert_non_null(text);
    for (size_t n = 1; n < 200000; n = n < 5000 ? n + 61 : n * 2 - 1) {
        struct long_text l = { n, false };
        const char *why;
        size_t at = (size_t)sprintf(text, "{\"a\":\"");

        for (size_t i = 0; i < n; i++) {
            if (i % 3 == 0)
                text[at++] = '\\';
            text[at++] = i % 3 ? 'x' : '"';
        }
        at += (size_t)sprintf(text + at, "\"}");
        assert_int_equal(read_exactly(text, at, 1 << 20, on_long_text, &l, &why), LJS_OK);
        assert_true(l.right);
    }
    free(text);
}

static void test_stop(void **state)
{
    struct trace t = { .stop_after = 2 };
    const char *why = "", *text = "{\"a\":1,\"b\":2,\"c\":3}";

    (void)state;
    assert_int_equal(read_exactly(text, strlen(text), 65536, on_event, &t, &why), LJS_E_MESSAGE);
    assert_null(why); /* who stopped it knows */
    assert_string_equal(t.text, "1a=1 1b=2 ");
}

static void test_write(void **state)
{
    static const uint8_t octets[] = { 0x00, 0xab, 0xff };
    struct wr w = { 0 };
    ljs_buf out;

    (void)state;
    ljs__json_open(&w, '{');
    ljs__json_name(&w, "a");
    ljs__json_text(&w, "\"\\\b\n\x1f/\x7f\xc3\xa4");
    ljs__json_name(&w, "b");
    ljs__json_open(&w, '[');
    ljs__json_number(&w, 0);
    ljs__json_number(&w, INT64_MIN);
    ljs__json_number(&w, INT64_MAX);
    ljs__json_bool(&w, true);
    ljs__json_bool(&w, false);
    ljs__json_open(&w, '{');
    ljs__json_close(&w, '}');
    ljs__json_text(&w, "");
    ljs__json_text(&w, "[");
    ljs__json_text(&w, ":");
    ljs__json_close(&w, ']');
    ljs__json_name(&w, "c");
    ljs__json_hex(&w, octets, sizeof octets);
    ljs__json_name(&w, "d");
    ljs__json_hex_number(&w, 0x1abcdef, 8);
    ljs__json_close(&w, '}');
    assert_int_equal(ljs__wr_take(&out, &w), LJS_OK);
    ljs__wr(&w, out.data, out.len);
    ljs__wr(&w, "", 1);
    assert_string_equal((char *)w.data, "{\"a\":\"\\\"\\\\\\u0008\\u000a\\u001f/\x7f\xc3\xa4\","
                                        "\"b\":[0,-9223372036854775808,9223372036854775807,true,false,{},\"\",\"[\","
                                        "\":\"],\"c\":\"00abff\",\"d\":\"01abcdef\"}");
    ljs__wr_drop(&w);
    reads("{\"a\":1}", "1a=1 ");
    {
        struct trace t = { .len = 0 };
        const char *why;

        assert_int_equal(ljs__json_read(out.data, out.len, 65536, on_event, &t, &why), LJS_OK);
        assert_string_equal(t.text, "1a='\"\\\b\n\x1f/\x7f\xc3\xa4' 1b[ 2=0 2=-9223372036854775808 "
                                    "2=9223372036854775807 2=yes 2=no 2{ 2. 2='' 2='[' 2=':' 1. 1c='00abff' "
                                    "1d='01abcdef' ");
    }
    ljs_buf_free(&out);
}

/* As ljs__json_text() writes it, or refused as ljs__text_ok() refuses it; wherever in the buffer, and whatever is
 * around the text. */
static void label(const char *text, size_t room, size_t before)
{
    struct wr w = { 0 }, want = { 0 };
    bool good = ljs__text_ok(text, room);

    (void)ljs__wr_grow(&w, 300);
    for (struct wr *each = &w; each; each = each == &w ? &want : NULL) {
        ljs__json_open(each, '[');
        for (size_t i = 0; i < before; i++)
            ljs__json_number(each, 7);
    }
    if (good)
        ljs__json_text(&want, text);
    if (ljs__json_label(&w, text, room) != good)
        fail_msg("%zu octets of %zu", strnlen(text, room), room);
    ljs__json_close(&w, ']');
    ljs__json_close(&want, ']');
    assert_int_equal(w.len, want.len);
    assert_memory_equal(w.data, want.data, w.len);
    ljs__wr_drop(&w);
    ljs__wr_drop(&want);
}

static void test_labels(void **state)
{
    enum { ROOM = 48 };
    static const size_t rooms[] = { 1, 8, 16, 17, 32, 40, ROOM };
    static const char octets[] = "\x00\x01\x1f !\"#[\\]~\x7f\x80\x85\xa4\xc2\xe2\xff";
    char text[ROOM];

    (void)state;
    for (size_t r = 0; r < sizeof rooms / sizeof *rooms; r++)
        for (size_t len = 0; len <= rooms[r]; len++)
            for (size_t c = 0; c < sizeof octets - 1; c++)
                for (size_t at = 0; at < len; at++) {
                    memset(text, c % 2 ? 0 : '\n', sizeof text); /* what is behind it counts for nothing */
                    memset(text, 'x', len);
                    if (len < rooms[r])
                        text[len] = 0;
                    text[at] = octets[c];
                    label(text, rooms[r], c % 3);
                }
    label("", 1, 0);
    memcpy(text, "\xc3\xa4 and \xe2\x82\xac and \xf0\x9f\x98\x80 and \xc2\x85", 27);
    for (size_t room = 1; room <= 27; room++)
        label(text, room, 0);
    for (size_t before = 60; before < 160; before++) { /* the buffer ends while it is written */
        label(text, 24, before);
        label("plain", 6, before);
        memset(text, 'y', sizeof text);
        text[ROOM - 1] = 0;
        label(text, ROOM, before);
    }
}

static void test_words(void **state)
{
    static const struct json_name words[] = { JSON_NAME(""), JSON_NAME("a"), JSON_NAME("fifteen letters") };
    struct wr w = { 0 };

    (void)state;
    ljs__json_open(&w, '[');
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        ljs__json_word(&w, &words[i]);
    ljs__json_close(&w, ']');
    assert_int_equal(w.len, 26);
    assert_memory_equal(w.data, "[\"\",\"a\",\"fifteen letters\"]", 26);
    ljs__wr_drop(&w);
}

static void test_numbers_there_and_back(void **state)
{
    (void)state;
    for (int64_t n = 1, step = 1; n < INT64_MAX / 12; step = n % 7 + 1, n = n * 11 / 10 + step)
        for (int sign = -1; sign <= 1; sign += 2) {
            struct wr w = { 0 };
            char want[32];

            ljs__json_number(&w, sign * n);
            ljs__wr(&w, "", 1);
            snprintf(want, sizeof want, "%" PRId64, sign * n);
            assert_string_equal((char *)w.data, want);
            ljs__wr_drop(&w);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_every_place),
        cmocka_unit_test(test_names_of_every_length),
        cmocka_unit_test(test_grammar),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_a_name_again),
        cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_numbers_there_and_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
