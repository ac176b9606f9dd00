#include "base/cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "random.h"

static void read_octets(void **state)
{
    static const uint8_t in[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
    struct rd r = { in, sizeof in, false };
    uint8_t copy[2];

    (void)state;
    assert_int_equal(rd_le(&r, 1), 0x01);
    assert_int_equal(rd_le(&r, 3), 0x040302);
    assert_int_equal(rd_le(&r, 0), 0);
    assert_ptr_equal(rd_bytes(&r, 6), in + 4);
    assert_false(rd_done(&r));
    rd_copy(&r, copy, sizeof copy);
    assert_memory_equal(copy, in + 10, 2);
    assert_true(rd_done(&r));
    assert_int_equal(rd_le(&r, 1), 0);
    assert_false(rd_done(&r));
    assert_null(rd_bytes(&r, 0)); /* bad stays bad */
}

static void read_too_much(void **state)
{
    static const uint8_t in[] = { 1, 2, 3 };
    struct rd r = { in, sizeof in, false }, none = { NULL, 0, false };
    uint8_t copy[4] = { 9, 9, 9, 9 };

    (void)state;
    assert_int_equal(rd_le(&r, 4), 0);
    assert_int_equal(rd_le(&r, 1), 0);
    rd_copy(&r, copy, 1);
    assert_int_equal(copy[0], 9);
    assert_false(rd_done(&r));

    assert_true(rd_done(&none));
    rd_copy(&none, copy, 0);
    assert_true(rd_done(&none));
    assert_null(rd_bytes(&none, SIZE_MAX));
    assert_false(rd_done(&none));
}

static void write_and_take(void **state)
{
    struct wr w = { 0 };
    ljs_buf out = { (uint8_t *)1, 1 };

    (void)state;
    assert_int_equal(ljs__wr_take(&out, &w), LJS_OK);
    assert_null(out.data);
    assert_int_equal(out.len, 0);

    ljs__wr(&w, "ab", 2);
    ljs__wr(&w, NULL, 0);
    ljs__wr_le(&w, 0x1122334455667788u, 8);
    ljs__wr_le(&w, 0xaabbcc, 2);
    ljs__wr_le(&w, 7, 10);
    ljs__wr_text(&w, "");
    ljs__wr_text(&w, "xyz");
    ljs__wr_hex(&w, (const uint8_t *)"\x00\x9a\xbf\xff", 4);
    assert_int_equal(ljs__wr_take(&out, &w), LJS_OK);
    assert_int_equal(out.len, 33);
    assert_memory_equal(out.data,
                        "ab\x88\x77\x66\x55\x44\x33\x22\x11\xcc\xbb\x07\0\0\0\0\0\0\0\0\0xyz"
                        "009abfff",
                        33);
    ljs_buf_free(&out);
    assert_null(out.data);
    assert_null(w.data);
    assert_int_equal(w.len, 0);
}

static void write_much(void **state)
{
    uint64_t random = 1;
    struct wr w = { 0 };
    ljs_buf out;
    uint8_t chunk[700];
    size_t len = 0;

    (void)state;
    for (unsigned i = 0; i < 500; i++) {
        size_t n = random_next(&random) % sizeof chunk;

        memset(chunk, (int)(i & 0xff), n);
        ljs__wr(&w, chunk, n);
        len += n;
    }
    assert_int_equal(ljs__wr_take(&out, &w), LJS_OK);
    assert_int_equal(out.len, len);
    random = 1;
    len = 0;
    for (unsigned i = 0; i < 500; i++) {
        size_t n = random_next(&random) % sizeof chunk;

        for (size_t k = 0; k < n; k++)
            assert_int_equal(out.data[len + k], i & 0xff);
        len += n;
    }
    ljs_buf_free(&out);
}

/* A length that no memory has is refused before any octet is read. */
static void write_without_memory(void **state)
{
    volatile size_t most = SIZE_MAX - 2; /* gcc would warn of what it knows */
    struct wr w = { 0 };
    ljs_buf out = { (uint8_t *)1, 1 };

    (void)state;
    ljs__wr_text(&w, "first");
    ljs__wr(&w, "x", most);
    assert_true(w.bad);
    ljs__wr_text(&w, "more"); /* bad stays bad */
    ljs__wr_hex(&w, (const uint8_t *)"x", 1);
    ljs__wr_le(&w, 1, 1);
    assert_int_equal(w.len, 5);
    assert_int_equal(ljs__wr_take(&out, &w), LJS_E_NOMEM);
    assert_null(out.data);
    assert_int_equal(out.len, 0);
    assert_null(w.data);
    assert_false(w.bad);

    ljs__wr_hex(&w, (const uint8_t *)"x", SIZE_MAX / 2 + 1);
    assert_true(w.bad);
    ljs__wr_drop(&w);
    ljs__wr_drop(&w);
    assert_false(w.bad);
}

static int digit_of(int c)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    const char *at = c ? strchr(digits, c) : NULL;

    return !at ? -1 : at - digits < 16 ? (int)(at - digits) : (int)(at - digits) - 6;
}

static void hex_every_pair(void **state)
{
    (void)state;
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            const char text[2] = { (char)a, (char)b };
            uint8_t out = 0x5a;
            bool ok = ljs__hex(&out, 1, text, 2);

            assert_int_equal(ok, digit_of(a) >= 0 && digit_of(b) >= 0);
            assert_int_equal(out, ok ? digit_of(a) * 16 + digit_of(b) : 0);
            for (unsigned at = 0; at < 8; at++) { /* and among others */
                uint8_t octets[] = { 0x09, 0xaf, 0x90, 0xfa, 0x09, 0xaf, 0x90, 0xfa }, want[8] = { 0 };
                char digits[] = "09Af90Fa09aF90fA";

                digits[2 * at] = (char)a;
                digits[2 * at + 1] = (char)b;
                if (ok) {
                    memcpy(want, octets, sizeof want);
                    want[at] = out;
                }
                if (ljs__hex(octets, 8, digits, 16) != ok || memcmp(octets, want, sizeof octets) != 0)
                    fail_msg("%s", digits);
            }
        }
    }
}

static void hex_lengths(void **state)
{
    uint8_t out[4] = { 1, 2, 3, 4 };

    (void)state;
    assert_true(ljs__hex(out, 0, "", 0));
    assert_true(ljs__hex(NULL, 0, NULL, 0));
    assert_false(ljs__hex(out, 2, "012", 3));
    assert_false(ljs__hex(out, 2, "01234", 5));
    assert_false(ljs__hex(out, 2, "012345", 6));
    assert_false(ljs__hex(out, 2, "", 0));
    assert_true(ljs__hex(out, 3, "0123fF", 6));
    assert_memory_equal(out, "\x01\x23\xff\x04", 4);
    assert_false(ljs__hex(out, 3, "0x23fF", 6)); /* nothing is left of what was read */
    assert_memory_equal(out, "\x00\x00\x00\x04", 4);
}

static void hex_there_and_back(void **state)
{
    uint64_t random = 2;

    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        uint8_t in[300], back[300];
        struct wr w = { 0 };
        ljs_buf text;

        random_fill(&random, in, i);
        ljs__wr_hex(&w, in, i);
        assert_int_equal(ljs__wr_take(&text, &w), LJS_OK);
        assert_int_equal(text.len, 2 * i);
        assert_true(ljs__hex(back, i, (const char *)text.data, text.len));
        assert_memory_equal(in, back, i);
        ljs_buf_free(&text);
    }
}

/* Into room that is exactly as large as they need, from octets that end with their block. */
static void digits_of_every_length(void **state)
{
    uint64_t random = 3;

    (void)state;
    for (size_t n = 0; n <= 40; n++) {
        uint8_t *in = malloc(n ? n : 1), *out = malloc(2 * n + 1);

        assert_non_null(in);
        assert_non_null(out);
        random_fill(&random, in, n);
        memset(out, 0x5a, 2 * n + 1);
        ljs__digits(out, in, n);
        for (size_t i = 0; i < 2 * n; i++)
            assert_int_equal(out[i], "0123456789abcdef"[in[i / 2] >> (i % 2 ? 0 : 4) & 15]);
        assert_int_equal(out[2 * n], 0x5a);
        free(in);
        free(out);
    }
}

static void bufs(void **state)
{
    ljs_buf out = { (uint8_t *)1, 1 };

    (void)state;
    ljs_buf_free(NULL);
    assert_int_equal(ljs_buf_copy(&out, NULL, 0), LJS_OK);
    assert_null(out.data);
    assert_int_equal(ljs_buf_copy(&out, (const uint8_t *)"abc", 3), LJS_OK);
    assert_int_equal(out.len, 3);
    assert_memory_equal(out.data, "abc", 3);
    ljs_buf_free(&out);
    assert_null(out.data);
    assert_int_equal(out.len, 0);
    ljs_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_octets),
        cmocka_unit_test(read_too_much),
        cmocka_unit_test(write_and_take),
        cmocka_unit_test(write_much),
        cmocka_unit_test(write_without_memory),
        cmocka_unit_test(hex_every_pair),
        cmocka_unit_test(hex_lengths),
        cmocka_unit_test(hex_there_and_back),
        cmocka_unit_test(bufs),
        cmocka_unit_test(digits_of_every_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
