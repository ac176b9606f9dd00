/* Frames in words: every octet of a frame is of one field, and what is no frame is told why. */
#include <lorajs/explain.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <cmocka.h>

#include "random.h"

static ljs_explained told(const uint8_t *in, size_t in_len)
{
    ljs_explained e;

    memset(&e, 0xa5, sizeof e);
    ljs_explain(&e, in, in_len);
    return e;
}

/* The fields stand one behind the other; how many octets they have. */
static size_t covered(const ljs_explained *e, const uint8_t *in, size_t in_len)
{
    ljs_field f;
    size_t at = 0;

    for (unsigned i = 0; i < e->fields; i++, at += f.len) {
        assert_int_equal(ljs_explain_field(&f, i, in, in_len), LJS_OK);
        assert_int_equal(f.first, at);
        assert_true(f.len && f.name[0] && f.value[0] && f.meaning[0]);
    }
    assert_int_equal(ljs_explain_field(&f, e->fields, in, in_len), LJS_E_NOTFOUND);
    assert_true(!f.len && !f.name[0]);
    return at;
}

static void test_any_octets(void **state)
{
    uint64_t random = 11;
    unsigned frames = 0;

    (void)state;
    for (size_t len = 0; len <= 40; len++)
        for (unsigned first = 0; first < 256; first++) {
            uint8_t in[40];
            ljs_explained e;

            random_fill(&random, in, sizeof in);
            in[0] = (uint8_t)first;
            in[1] = (uint8_t)(first & 0x20 ? in[1] : in[1] & 3);
            e = told(in, len);
            assert_true(e.text[0]);
            if (e.is_frame)
                frames++;
            assert_int_equal(covered(&e, in, len), e.is_frame ? len : len > 0);
        }
    assert_true(frames >= 5);
}

static void test_names(void **state)
{
    static const struct {
        size_t len;
        uint8_t first, second;
        const char *text;
    } rows[] = {
        { 23, 0x00, 0, "join-request" },
        { 19, 0xc0, 0, "rejoin-request 0" },
        { 24, 0xc0, 1, "rejoin-request 1" },
        { 19, 0xc0, 2, "rejoin-request 2" },
        { 17, 0x20, 0, "join-accept, encrypted" },
        { 33, 0x20, 0, "join-accept, encrypted" },
        { 13, 0x20, 0, "join-accept in clear, without MIC" },
        { 29, 0x20, 0, "join-accept in clear, without MIC" },
        { 0, 0, 0, "There is nothing." },
        { 22, 0x00, 0, "By its MHDR it is a join-request, which has 23 octets; this has 22." },
        { 23, 0x01, 0, "RFU and Major of MHDR must be 0 in a join-request." },
        { 19, 0xc0, 3, "RejoinType is 0, 1 or 2, not 3." },
        { 12, 0x40, 0, "This is no frame of joining: its MType is 2, unconfirmed data up." },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const uint8_t in[40] = { rows[i].first, rows[i].second };
        ljs_explained e = told(in, rows[i].len);

        assert_string_equal(e.text, rows[i].text);
        assert_int_equal(e.is_frame, i < 8);
    }
}

static void test_accepts_in_clear(void **state)
{
    static const char *const names[] = { "MHDR",       "JoinNonce", "NetID",  "DevAddr",
                                         "DLSettings", "RxDelay",   "CFList", "MIC" };
    const uint8_t in[34] = { 0x20, 1, 2, 3, 0x13, 0, 0, 0x34, 0x12, 1, 0x26, 0x80, 5 };
    ljs_field f;

    (void)state;
    for (size_t len = 0; len <= sizeof in; len++) {
        bool cf_list = len >= 29, mic = len == 17 || len == 33, good = mic || len == 13 || len == 29;
        unsigned i = 0;
        ljs_err err;

        while (!(err = ljs_explain_accept(&f, i, in, len))) {
            assert_string_equal(f.name, names[i + (!cf_list && i == 6)]);
            i++;
        }
        assert_int_equal(err, good ? LJS_E_NOTFOUND : LJS_E_SIZE);
        assert_int_equal(i, good ? 6u + cf_list + mic : 0);
    }
    assert_int_equal(ljs_explain_accept(&f, 1, in, 13), LJS_OK);
    assert_string_equal(f.value, "197121");
    assert_int_equal(ljs_explain_accept(&f, 3, in, 13), LJS_OK);
    assert_string_equal(f.value, "26011234");
    assert_int_equal(ljs_explain_accept(&f, 0, in + 1, 13), LJS_E_FRAME);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_octets),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_accepts_in_clear),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
