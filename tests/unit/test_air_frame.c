#include "air/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "random.h"
#include "vectors.h"

#define ALL_ZERO(x) all_zero(&(x), sizeof(x))

static bool all_zero(const void *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (((const uint8_t *)at)[i])
            return false;
    return true;
}

static void assert_same(const ljs_frame *a, const ljs_frame *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->join_eui, b->join_eui);
    assert_int_equal(a->dev_eui, b->dev_eui);
    assert_int_equal(a->net_id, b->net_id);
    assert_int_equal(a->nonce, b->nonce);
    assert_memory_equal(a->mic, b->mic, 4);
}

/* Parse what the vector says, compare with the fields it expects, and build it again. */
static void check_frame(json_t *v, const uint8_t *in, size_t in_len, ljs_frame_kind kind)
{
    ljs_frame want = { .kind = kind }, got;
    ljs_buf built;

    want.dev_eui = vector_number(v, "expected.dev_eui");
    if (vector_has(v, "expected.join_eui"))
        want.join_eui = vector_number(v, "expected.join_eui");
    if (vector_has(v, "expected.net_id"))
        want.net_id = (ljs_netid)vector_number(v, "expected.net_id");
    want.nonce = (uint16_t)vector_number(v, kind == LJS_FRAME_JOIN ? "expected.dev_nonce" : "expected.rjcount");
    memcpy(want.mic, in + in_len - 4, 4);

    assert_int_equal(ljs_frame_parse(&got, in, in_len), LJS_OK);
    assert_same(&got, &want);
    assert_int_equal(ljs_frame_build(&built, &want), LJS_OK);
    assert_int_equal(built.len, in_len);
    assert_memory_equal(built.data, in, in_len);
    ljs_buf_free(&built);
}

static void check_join_request_mic(json_t *v)
{
    uint8_t in[LJS_FRAME_MAX], mic[4];
    ljs_frame got;
    size_t len = vector_hex(in, sizeof in, v, "expected.frame");

    assert_int_equal(vector_hex(mic, sizeof mic, v, "expected.mic"), 4);
    if (!vector_has(v, "expected.dev_eui")) { /* some sources print the frame alone */
        assert_int_equal(ljs_frame_parse(&got, in, len), LJS_OK);
        assert_int_equal(got.kind, LJS_FRAME_JOIN);
        assert_memory_equal(got.mic, mic, 4);
        return;
    }
    assert_memory_equal(in + len - 4, mic, 4);
    check_frame(v, in, len, LJS_FRAME_JOIN);
}

static void check_rejoin_request_mic(json_t *v)
{
    uint8_t in[LJS_FRAME_MAX];
    size_t len = vector_hex(in, sizeof in, v, "expected.frame");

    check_frame(v, in, len, (ljs_frame_kind)vector_number(v, "inputs.rejoin_type"));
}

/* The codec vectors are payloads: between MHDR and MIC. */
static void check_payload(json_t *v, uint8_t mhdr, ljs_frame_kind kind)
{
    uint8_t in[LJS_FRAME_MAX] = { mhdr };
    size_t len = vector_hex(in + 1, sizeof in - 5, v, "inputs.bytes");

    memcpy(in + 1 + len, "\x01\x02\x03\x04", 4);
    check_frame(v, in, 1 + len + 4, kind);
}

static void check_codec_join(json_t *v)
{
    check_payload(v, 0x00, LJS_FRAME_JOIN);
}

static void check_codec_rejoin(json_t *v)
{
    check_payload(v, 0xc0, (ljs_frame_kind)vector_number(v, "expected.rejoin_type"));
}

static void vectors(void **state)
{
    (void)state;
    vectors_each("join_request_mic", 13, check_join_request_mic);
    vectors_each("rejoin_request_mic", 3, check_rejoin_request_mic);
    vectors_each("codec_join_request", 1, check_codec_join);
    vectors_each("codec_rejoin_request", 3, check_codec_rejoin);
}

/* Every length with every first two octets: what is a frame is written down here anew. */
static ljs_err want_of(const uint8_t *in, size_t len)
{
    bool join = in[0] == 0x00, rejoin = in[0] == 0xc0;

    switch (len) {
    case 19:
        return rejoin && (in[1] == 0 || in[1] == 2) ? LJS_OK : LJS_E_FRAME;
    case 23:
        return join ? LJS_OK : LJS_E_FRAME;
    case 24:
        return rejoin && in[1] == 1 ? LJS_OK : LJS_E_FRAME;
    default:
        return LJS_E_SIZE;
    }
}

static void every_length_mhdr_and_type(void **state)
{
    uint64_t random = 5;
    uint8_t whole[40];

    (void)state;
    random_fill(&random, whole, sizeof whole);
    for (size_t len = 0; len <= sizeof whole; len++) {
        uint8_t *in = malloc(len ? len : 1); /* exactly so long: a sanitizer watches its end */

        assert_non_null(in);
        memcpy(in, whole, len);
        for (unsigned first = 0; first < 256; first++) {
            for (unsigned type = 0; type < 256; type++) {
                ljs_frame f;
                ljs_err err, want;

                if (len > 0)
                    in[0] = (uint8_t)first;
                if (len > 1)
                    in[1] = (uint8_t)type;
                memset(&f, 0xa5, sizeof f);
                err = ljs_frame_parse(&f, in, len);
                want = want_of(in, len);
                if (err != want)
                    fail_msg("%zu octets %02x %02x: %d, not %d", len, first, type, err, want);
                if (err)
                    assert_true(ALL_ZERO(f));
                if (len < 19 && type == 2)
                    break; /* the length decides alone */
            }
        }
        free(in);
    }
}

static void no_octets(void **state)
{
    ljs_frame f;

    (void)state;
    memset(&f, 0xa5, sizeof f);
    assert_int_equal(ljs_frame_parse(&f, NULL, 0), LJS_E_SIZE);
    assert_true(ALL_ZERO(f));
}

static ljs_frame random_frame(uint64_t *random)
{
    static const ljs_frame_kind kinds[] = { LJS_FRAME_JOIN, LJS_FRAME_REJOIN0, LJS_FRAME_REJOIN1, LJS_FRAME_REJOIN2 };
    ljs_frame f = { .kind = kinds[random_next(random) % 4] };

    if (f.kind == LJS_FRAME_JOIN || f.kind == LJS_FRAME_REJOIN1)
        f.join_eui = random_next(random);
    else
        f.net_id = random_next(random) & 0xffffff;
    f.dev_eui = random_next(random);
    f.nonce = (uint16_t)random_next(random);
    random_fill(random, f.mic, sizeof f.mic);
    return f;
}

static void there_and_back(void **state)
{
    uint64_t random = 6;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        ljs_frame f = random_frame(&random), again;
        uint8_t octets[LJS_FRAME_MAX];
        size_t len;
        ljs_buf built;

        assert_int_equal(ljs_frame_build(&built, &f), LJS_OK);
        assert_int_equal(ljs_frame_parse(&again, built.data, built.len), LJS_OK);
        assert_same(&f, &again);
        assert_int_equal(ljs__frame_write(octets, &len, &f), LJS_OK);
        assert_int_equal(len, built.len);
        assert_memory_equal(octets, built.data, len);
        ljs_buf_free(&built);
    }
}

static void refused(const ljs_frame *f)
{
    uint8_t octets[LJS_FRAME_MAX];
    size_t len = 1;
    ljs_buf built = { (uint8_t *)1, 1 };

    assert_int_equal(ljs_frame_build(&built, f), LJS_E_INVAL);
    assert_null(built.data);
    assert_int_equal(built.len, 0);
    assert_int_equal(ljs__frame_write(octets, &len, f), LJS_E_INVAL);
    assert_int_equal(len, 0);
}

static void build_refuses(void **state)
{
    (void)state;
    for (int kind = -1; kind <= 256; kind++)
        if (kind != 0 && kind != 1 && kind != 2 && kind != 0xff)
            refused(&(ljs_frame){ .kind = (ljs_frame_kind)kind });
    refused(&(ljs_frame){ .kind = LJS_FRAME_JOIN, .net_id = 1 });
    refused(&(ljs_frame){ .kind = LJS_FRAME_REJOIN1, .net_id = 1 });
    refused(&(ljs_frame){ .kind = LJS_FRAME_REJOIN0, .join_eui = 1 });
    refused(&(ljs_frame){ .kind = LJS_FRAME_REJOIN2, .join_eui = 1 });
    refused(&(ljs_frame){ .kind = LJS_FRAME_REJOIN0, .net_id = 0x1000000 });
    refused(&(ljs_frame){ .kind = LJS_FRAME_REJOIN2, .net_id = 0xffffffff });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),       cmocka_unit_test(every_length_mhdr_and_type),
        cmocka_unit_test(no_octets),     cmocka_unit_test(there_and_back),
        cmocka_unit_test(build_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
