#include "base/pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "random.h"

static struct unpack reader(const void *in, size_t in_len)
{
    return (struct unpack){ .rd = { in, in_len, false } };
}

/* The octets of [MessagePack specification], written by hand. */
static void known_octets(void **state)
{
    static const uint8_t want[] = {
        0x83,                                                          /* map of 3 */
        0x01, 0x92, 0xcd, 0x01, 0x00, 0xcf, 1,    2, 3, 4, 5, 6, 7, 8, /* 1: [256, 0x0102030405060708] */
        0x02, 0xc4, 0x02, 0xaa, 0xbb,                                  /* 2: two octets */
        0x7f, 0xa2, 'h',  'i',                                         /* 127: "hi" */
        0xff, 0xe0, 0xd0, 0xdf, 0xd1, 0xff, 0x7f,                      /* -1, -32, -33, -129 */
        0xcc, 0x80, 0xce, 0x00, 0x01, 0x00, 0x00,                      /* 128, 65536 */
        0xc4, 0x00, 0xa0, 0x90, 0x80,                                  /* nothing, of each kind */
    };
    struct wr w = { 0 };
    ljs_buf out;

    (void)state;
    ljs__pack_map(&w, 3);
    ljs__pack_uint(&w, 1);
    ljs__pack_array(&w, 2);
    ljs__pack_uint(&w, 256);
    ljs__pack_uint(&w, 0x0102030405060708);
    ljs__pack_int(&w, 2);
    ljs__pack_bin(&w, "\xaa\xbb", 2);
    ljs__pack_uint(&w, 127);
    ljs__pack_text(&w, "hi");
    ljs__pack_int(&w, -1);
    ljs__pack_int(&w, -32);
    ljs__pack_int(&w, -33);
    ljs__pack_int(&w, -129);
    ljs__pack_int(&w, 128);
    ljs__pack_uint(&w, 65536);
    ljs__pack_bin(&w, NULL, 0);
    ljs__pack_text(&w, "");
    ljs__pack_array(&w, 0);
    ljs__pack_map(&w, 0);
    assert_int_equal(ljs__wr_take(&out, &w), LJS_OK);
    assert_int_equal(out.len, sizeof want);
    assert_memory_equal(out.data, want, sizeof want);
    ljs_buf_free(&out);
}

static void read_known_octets(void **state)
{
    static const uint8_t in[] = { 0x82, 0x01, 0x93, 0xcd, 0x01, 0x00, 0xd3, 0xff, 0xff, 0xff, 0xff, 0xff,
                                  0xff, 0xff, 0xfe, 0xc4, 0x03, 'a',  'b',  'c',  0x02, 0xa2, 'h',  'i' };
    struct unpack u = reader(in, sizeof in);
    const uint8_t *bin;
    char text[3];
    size_t len;

    (void)state;
    assert_int_equal(ljs__unpack_map(&u), 2);
    assert_int_equal(ljs__unpack_uint(&u, 9), 1);
    assert_int_equal(ljs__unpack_array(&u), 3);
    assert_int_equal(ljs__unpack_int(&u, -5, 256), 256);
    assert_int_equal(ljs__unpack_int(&u, -2, 0), -2);
    bin = ljs__unpack_bin(&u, &len, 3);
    assert_ptr_equal(bin, in + 17);
    assert_int_equal(len, 3);
    assert_int_equal(ljs__unpack_uint(&u, UINT64_MAX), 2);
    ljs__unpack_text(&u, text, sizeof text);
    assert_string_equal(text, "hi");
    assert_true(rd_done(&u.rd));
    assert_int_equal(ljs__unpack_uint(&u, UINT64_MAX), 0); /* past the end */
    assert_true(u.rd.bad);
}

static void numbers_there_and_back(void **state)
{
    uint64_t random = 3;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t v = random_next(&random) >> random_next(&random) % 64;
        int64_t s = random_next(&random) % 2 ? (int64_t)v : (int64_t)(0 - v);
        struct wr w = { 0 };
        struct unpack u;
        ljs_buf out;

        ljs__pack_uint(&w, v);
        ljs__pack_int(&w, s);
        assert_int_equal(ljs__wr_take(&out, &w), LJS_OK);
        u = reader(out.data, out.len);
        assert_int_equal(ljs__unpack_uint(&u, v), v);
        assert_int_equal(ljs__unpack_int(&u, s, s), s);
        assert_true(rd_done(&u.rd));
        if (v) {
            u = reader(out.data, out.len);
            assert_int_equal(ljs__unpack_uint(&u, v - 1), 0);
            assert_true(u.rd.bad);
        }
        ljs_buf_free(&out);
    }
}

/* A row of numbers is what they are one by one, up to the first that is too large or no number. */
static void rows_of_numbers(void **state)
{
    static const uint64_t most[] = { 15, 0xffff, UINT64_MAX, 0xffffffff, 0xff };
    static const uint64_t row[] = { 15, 0x110, UINT64_MAX, 0xfffffffe, 0x80 };
    enum { N = sizeof row / sizeof *row };
    struct wr w = { 0 }, singly = { 0 };
    ljs_buf out, want;

    (void)state;
    ljs__pack_uints(&w, row, N);
    for (unsigned i = 0; i < N; i++)
        ljs__pack_uint(&singly, row[i]);
    assert_int_equal(ljs__wr_take(&out, &w), LJS_OK);
    assert_int_equal(ljs__wr_take(&want, &singly), LJS_OK);
    assert_int_equal(out.len, want.len);
    assert_memory_equal(out.data, want.data, want.len);
    for (size_t len = 0; len <= out.len; len++) {
        struct unpack u = reader(out.data, len);
        uint64_t got[N];
        bool cut = false;

        ljs__unpack_uints(&u, got, most, N);
        assert_int_equal(rd_done(&u.rd), len == out.len);
        for (unsigned i = 0; i < N; i++) {
            assert_true(cut ? !got[i] : got[i] == row[i] || !got[i]);
            cut = cut || !got[i];
        }
        assert_int_equal(cut, len < out.len);
    }
    for (unsigned large = 0; large < N; large++) {
        struct unpack u = reader(out.data, out.len);
        uint64_t got[N], less[N];

        memcpy(less, most, sizeof less);
        less[large] = row[large] - 1;
        ljs__unpack_uints(&u, got, less, N);
        assert_true(u.rd.bad);
        for (unsigned i = 0; i < N; i++)
            assert_true(got[i] == (i < large ? row[i] : 0));
    }
    ljs_buf_free(&out);
    ljs_buf_free(&want);
}

/* Every first octet, as each type: what is not that type is refused, and what msgpack
 * knows but records do not use (nil, truth, floats, ext) is no type at all. */
static void first_octets(void **state)
{
    uint8_t in[64] = { 0 };

    (void)state;
    for (int octet = 0; octet < 256; octet++) {
        bool is_uint = octet < 0x80 || (octet >= 0xcc && octet <= 0xcf);
        bool is_zero_int = octet >= 0xd0 && octet <= 0xd3; /* signed formats, here of the value 0 */
        bool is_negative = octet >= 0xe0;
        bool is_text = (octet >= 0xa0 && octet <= 0xbf) || (octet >= 0xd9 && octet <= 0xdb);
        bool is_bin = octet >= 0xc4 && octet <= 0xc6;
        bool is_map = (octet >= 0x80 && octet <= 0x8f) || octet == 0xde || octet == 0xdf;
        bool is_array = (octet >= 0x90 && octet <= 0x9f) || octet == 0xdc || octet == 0xdd;
        struct unpack u;
        char text[64] = "x";
        size_t len = 1;

        in[0] = (uint8_t)octet;
        u = reader(in, sizeof in);
        (void)ljs__unpack_uint(&u, UINT64_MAX);
        assert_int_equal(!u.rd.bad, is_uint || is_zero_int);
        u = reader(in, sizeof in);
        (void)ljs__unpack_int(&u, INT64_MIN, INT64_MAX);
        assert_int_equal(!u.rd.bad, is_uint || is_zero_int || is_negative);
        u = reader(in, sizeof in);
        (void)ljs__unpack_bin(&u, &len, 64);
        assert_int_equal(!u.rd.bad, is_bin);
        assert_int_equal(len, 0);
        u = reader(in, sizeof in);
        ljs__unpack_text(&u, text, sizeof text);
        assert_int_equal(!u.rd.bad, is_text && (octet == 0xa0 || octet >= 0xd9)); /* the others contain NUL */
        assert_string_equal(text, "");
        u = reader(in, sizeof in);
        (void)ljs__unpack_map(&u);
        assert_int_equal(!u.rd.bad, is_map);
        u = reader(in, sizeof in);
        (void)ljs__unpack_array(&u);
        assert_int_equal(!u.rd.bad, is_array);
    }
}

/* Whatever is cut short is bad, at every place. */
static void cut_short(void **state)
{
    struct wr w = { 0 };
    ljs_buf out;

    (void)state;
    ljs__pack_map(&w, 70000);
    ljs__pack_array(&w, 300);
    ljs__pack_uint(&w, UINT64_MAX);
    ljs__pack_int(&w, INT64_MIN);
    ljs__pack_bin(&w, "0123456789", 10);
    ljs__pack_text(&w, "0123456789012345678901234567890123456789");
    assert_int_equal(ljs__wr_take(&out, &w), LJS_OK);
    for (size_t n = 0; n < out.len; n++) {
        uint8_t *in = malloc(n ? n : 1); /* exactly so long: a sanitizer watches its end */
        struct unpack u = reader(in, n);
        char text[64];
        size_t len;

        assert_non_null(in);
        memcpy(in, out.data, n);
        (void)ljs__unpack_map(&u); /* a lie, and seen as one */
        assert_true(u.rd.bad);
        u = reader(in, n);
        (void)rd_bytes(&u.rd, 8);
        (void)ljs__unpack_uint(&u, UINT64_MAX);
        (void)ljs__unpack_int(&u, INT64_MIN, INT64_MAX);
        (void)ljs__unpack_bin(&u, &len, 10);
        ljs__unpack_text(&u, text, sizeof text);
        assert_true(u.rd.bad);
        free(in);
    }
    ljs_buf_free(&out);
}

static void counts_that_cannot_be_true(void **state)
{
    static const uint8_t map[] = { 0xdf, 0xff, 0xff, 0xff, 0xff, 0, 0 };
    static const uint8_t array[] = { 0xdd, 0x00, 0x00, 0x00, 0x03, 0, 0 };
    static const uint8_t bin[] = { 0xc6, 0xff, 0xff, 0xff, 0xff, 0, 0 };
    static const uint8_t pairs[] = { 0x82, 1, 2, 3 };
    struct unpack u = reader(map, sizeof map);
    size_t len;

    (void)state;
    assert_int_equal(ljs__unpack_map(&u), 0);
    assert_true(u.rd.bad);
    u = reader(array, sizeof array);
    assert_int_equal(ljs__unpack_array(&u), 0);
    assert_true(u.rd.bad);
    u = reader(bin, sizeof bin);
    assert_null(ljs__unpack_bin(&u, &len, SIZE_MAX));
    assert_true(u.rd.bad);
    u = reader(pairs, sizeof pairs);
    assert_int_equal(ljs__unpack_map(&u), 0);
    assert_true(u.rd.bad);
}

static void nothing_at_all(void **state)
{
    struct unpack u = reader(NULL, 0);

    (void)state;
    assert_true(rd_done(&u.rd));
    assert_int_equal(ljs__unpack_map(&u), 0);
    assert_true(u.rd.bad);
}

static void limits(void **state)
{
    static const uint8_t bin[] = { 0xc4, 2, 5, 6 };
    static const uint8_t text[] = { 0xa3, 'a', 'b', 'c' };
    static const uint8_t with_nul[] = { 0xa3, 'a', 0, 'c' };
    struct unpack u = reader(bin, sizeof bin);
    uint8_t octets[3] = { 1, 1, 1 };
    char out[4];
    size_t len = 9;

    (void)state;
    assert_null(ljs__unpack_bin(&u, &len, 1));
    assert_int_equal(len, 0);
    assert_true(u.rd.bad);
    u = reader(bin, sizeof bin);
    ljs__unpack_fixed(&u, octets, 3);
    assert_true(u.rd.bad);
    u = reader(bin, sizeof bin);
    ljs__unpack_fixed(&u, octets, 1);
    assert_true(u.rd.bad);
    u = reader(bin, sizeof bin);
    assert_int_equal(octets[0], 1);
    ljs__unpack_fixed(&u, octets, 2);
    assert_memory_equal(octets, "\x05\x06\x01", 3);
    assert_true(rd_done(&u.rd));

    u = reader(text, sizeof text);
    ljs__unpack_text(&u, out, 3);
    assert_true(u.rd.bad);
    assert_string_equal(out, "");
    u = reader(text, sizeof text);
    ljs__unpack_text(&u, out, 4);
    assert_string_equal(out, "abc");
    assert_true(rd_done(&u.rd));
    u = reader(with_nul, sizeof with_nul);
    ljs__unpack_text(&u, out, 4);
    assert_true(u.rd.bad);
    assert_string_equal(out, "");
}

static void big_octets(void **state)
{
    static uint8_t in[70000];
    static const size_t lengths[] = { 0, 1, 255, 256, 8192, 65535, 65536, 70000 };
    uint64_t random = 4;

    (void)state;
    random_fill(&random, in, sizeof in);
    for (size_t i = 0; i < COUNT(lengths); i++) {
        struct wr w = { 0 };
        struct unpack u;
        const uint8_t *at;
        ljs_buf out;
        size_t len = 1;

        ljs__pack_bin(&w, in, lengths[i]);
        assert_int_equal(ljs__wr_take(&out, &w), LJS_OK);
        u = reader(out.data, out.len);
        at = ljs__unpack_bin(&u, &len, lengths[i]);
        assert_non_null(at);
        assert_int_equal(len, lengths[i]);
        assert_memory_equal(at, in, len);
        assert_true(rd_done(&u.rd));
        ljs_buf_free(&out);
    }
}

/* What is written, at its widest, where `left` octets of room are left: nothing is written behind them. */
static void write_into(unsigned what, size_t left)
{
    static const uint64_t widest[] = { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX };
    enum { HAD = 3, BEHIND = 64, MARK = 0x5a };
    const size_t room = HAD + left;
    uint8_t *octets = malloc(room + BEHIND); /* of which room is told */
    struct wr w = { octets, HAD, room, false }, fresh = { 0 };

    assert_non_null(octets);
    memset(octets, MARK, room + BEHIND);
    for (unsigned again = 0; again < 2; again++) {
        struct wr *to = again ? &w : &fresh;

        switch (what) {
        case 0:
            ljs__pack_uints(to, widest, COUNT(widest));
            break;
        case 1:
            ljs__pack_uint(to, UINT64_MAX);
            break;
        case 2:
            ljs__pack_int(to, INT64_MIN);
            break;
        case 3:
            ljs__pack_map(to, UINT32_MAX);
            break;
        case 4:
            ljs__pack_array(to, UINT32_MAX);
            break;
        case 5:
            ljs__pack_bin(to, widest, sizeof widest);
            break;
        case 6:
            ljs__pack_text(to, "a text of more than thirty-one octets");
            break;
        case 7:
            ljs__pack_uint(to, 0x7f);
            break;
        default:
            ljs__pack_array(to, 15);
        }
    }
    assert_false(w.bad);
    assert_int_equal(w.len, HAD + fresh.len);
    assert_memory_equal(w.data + HAD, fresh.data, fresh.len);
    if (w.data == octets) {
        assert_true(w.len <= room);
        for (size_t i = 0; i < BEHIND; i++)
            assert_int_equal(octets[room + i], MARK);
    }
    ljs__wr_drop(&w);
    ljs__wr_drop(&fresh);
}

static void room_to_the_octet(void **state)
{
    volatile size_t huge = SIZE_MAX - 4; /* which with its header is few again */
    struct wr w = { 0 };

    (void)state;
    for (unsigned what = 0; what < 9; what++)
        for (size_t left = 0; left < 60; left++)
            write_into(what, left);
    ljs__pack_uint(&w, 1);
    ljs__pack_bin(&w, "", huge);
    assert_true(w.bad);
    ljs__wr_drop(&w);
}

/* On both sides of what an octet can say. */
static void lengths_of_arrays(void **state)
{
    static const uint8_t want[] = { 0x9f, 0xdc, 0x00, 0x10, 0xdc, 0xff, 0xff, 0xdd, 0x00, 0x01, 0x00, 0x00 };
    struct wr w = { 0 };

    (void)state;
    ljs__pack_array(&w, 15);
    ljs__pack_array(&w, 16);
    ljs__pack_array(&w, 0xffff);
    ljs__pack_array(&w, 0x10000);
    assert_int_equal(w.len, sizeof want);
    assert_memory_equal(w.data, want, sizeof want);
    ljs__wr_drop(&w);
}

/* Octets that end before their header or within it, or before they do. */
static void fixed_cut_short(void **state)
{
    static const uint8_t in[] = { 0xc4, 4, 1, 2, 3, 4 };

    (void)state;
    for (size_t len = 0; len < sizeof in; len++) {
        struct unpack u = reader(in, len);
        uint8_t out[4] = { 9, 9, 9, 9 };

        ljs__unpack_fixed(&u, out, sizeof out);
        assert_true(u.rd.bad);
        assert_memory_equal(out, "\x09\x09\x09\x09", 4);
    }
}

/* A number in `octets` octets behind this first one; false: it is too much for them. */
static bool put_form(struct wr *w, uint8_t first, unsigned octets, bool is_signed, uint64_t bits, bool negative)
{
    const unsigned room = 8 * octets - is_signed;

    w->len = 0;
    if (negative ? !is_signed || ~bits >> (room - 1) >> 1 : bits >> (room - 1) >> 1)
        return false;
    ljs__wr_le(w, first, 1);
    for (unsigned i = octets; i > 0; i--)
        ljs__wr_le(w, bits >> (8 * (i - 1)) & 0xff, 1);
    return true;
}

/* Numbers on both sides of each width, in every form that holds them: read as what they are, and called loose unless
 * they are in the octets of the writer. */
static void every_form(void **state)
{
    static const struct {
        uint8_t first, octets;
    } forms[] = {
        { 0xcc, 1 }, { 0xcd, 2 }, { 0xce, 4 }, { 0xcf, 8 }, { 0xd0, 1 }, { 0xd1, 2 }, { 0xd2, 4 }, { 0xd3, 8 }
    };
    static const unsigned widths[] = { 0, 4, 5, 7, 8, 15, 16, 31, 32, 63 };
    struct wr w = { 0 }, ours = { 0 };
    unsigned read = 0;

    (void)state;
    for (size_t n = 0; n < 6 * COUNT(widths); n++) {
        const bool negative = n % 2;
        const uint64_t v = (UINT64_C(1) << widths[n / 6]) + n / 2 % 3 - 1, bits = negative ? ~v : v;

        if (negative && bits >> 63 == 0)
            continue; /* below INT64_MIN */
        ours.len = 0;
        if (negative)
            ljs__pack_int(&ours, (int64_t)bits);
        else
            ljs__pack_uint(&ours, bits);
        for (size_t f = 0; f < COUNT(forms); f++) {
            struct unpack u;

            if (!put_form(&w, forms[f].first, forms[f].octets, f >= 4, bits, negative))
                continue;
            u = reader(w.data, w.len);
            if (negative || bits <= INT64_MAX)
                assert_int_equal(ljs__unpack_int(&u, INT64_MIN, INT64_MAX), (int64_t)bits);
            else
                assert_int_equal(ljs__unpack_uint(&u, UINT64_MAX), bits);
            assert_true(rd_done(&u.rd));
            assert_int_equal(u.loose, w.len != ours.len || memcmp(w.data, ours.data, w.len) != 0);
            read++;
        }
    }
    assert_true(read > 200);
    ljs__wr_drop(&w);
    ljs__wr_drop(&ours);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_octets),
        cmocka_unit_test(read_known_octets),
        cmocka_unit_test(numbers_there_and_back),
        cmocka_unit_test(rows_of_numbers),
        cmocka_unit_test(first_octets),
        cmocka_unit_test(cut_short),
        cmocka_unit_test(counts_that_cannot_be_true),
        cmocka_unit_test(nothing_at_all),
        cmocka_unit_test(limits),
        cmocka_unit_test(big_octets),
        cmocka_unit_test(room_to_the_octet),
        cmocka_unit_test(every_form),
        cmocka_unit_test(lengths_of_arrays),
        cmocka_unit_test(fixed_cut_short),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
