#include "air/data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "random.h"
#include "vectors.h"

static bool all_zero(const void *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (((const uint8_t *)at)[i])
            return false;
    return true;
}

static void assert_same(const ljs_data *a, const ljs_data *b)
{
    assert_int_equal(a->direction, b->direction);
    assert_int_equal(a->confirmed, b->confirmed);
    assert_int_equal(a->dev_addr, b->dev_addr);
    assert_int_equal(a->adr, b->adr);
    assert_int_equal(a->adr_ack_req, b->adr_ack_req);
    assert_int_equal(a->ack, b->ack);
    assert_int_equal(a->pending, b->pending);
    assert_int_equal(a->fcnt, b->fcnt);
    assert_int_equal(a->fopts_len, b->fopts_len);
    assert_int_equal(a->has_fport, b->has_fport);
    assert_int_equal(a->fport, b->fport);
    assert_memory_equal(a->fopts, b->fopts, sizeof a->fopts);
    assert_memory_equal(a->frm_payload, b->frm_payload, sizeof a->frm_payload);
    assert_int_equal(a->frm_payload_len, b->frm_payload_len);
    assert_memory_equal(a->mic, b->mic, sizeof a->mic);
}

static void assert_builds(const ljs_data *data, const uint8_t *want, size_t want_len)
{
    uint8_t octets[LJS_DATA_MAX];
    size_t len;
    ljs_buf built;

    assert_int_equal(ljs_data_build(&built, data), LJS_OK);
    assert_int_equal(built.len, want_len);
    assert_memory_equal(built.data, want, want_len);
    assert_int_equal(ljs__data_write(octets, &len, data), LJS_OK);
    assert_int_equal(len, want_len);
    assert_memory_equal(octets, want, want_len);
    ljs_buf_free(&built);
}

static void data_frame(json_t *v)
{
    uint8_t in[LJS_DATA_MAX], mic[4], text[LJS_DATA_MAX];
    size_t len = vector_hex(in, sizeof in, v, "inputs.frame");
    ljs_data d;

    assert_int_equal(ljs_data_parse(&d, in, len), LJS_OK);
    assert_int_equal(vector_hex(mic, sizeof mic, v, "expected.mic"), 4);
    assert_memory_equal(d.mic, mic, 4);
    assert_int_equal(d.fcnt, vector_number(v, "inputs.fcnt") & 0xffff);
    if (vector_has(v, "expected.frm_payload"))
        assert_int_equal(d.frm_payload_len, vector_hex(text, sizeof text, v, "expected.frm_payload"));
    if (vector_has(v, "expected.fopts"))
        assert_int_equal(d.fopts_len, vector_hex(text, sizeof text, v, "expected.fopts"));
    assert_builds(&d, in, len);
}

static void vectors(void **state)
{
    (void)state;
    vectors_each("data_frame", 22, data_frame);
}

/* One frame, each field at its place, written down by hand from L2 1.1 §4. */
static void by_hand(void **state)
{
    static const uint8_t full[] = { 0xa0, 0x78, 0x56, 0x34, 0x12, 0xb3, 0xcd, 0xab, 0x0b,
                                    0x01, 0x0d, 0x07, 0xca, 0xfe, 0xd1, 0xd2, 0xd3, 0xd4 };
    static const uint8_t bare[] = { 0x40, 0x78, 0x56, 0x34, 0x12, 0x40, 0xcd, 0xab, 0xd1, 0xd2, 0xd3, 0xd4 };
    ljs_data want = { .direction = LJS_DOWN,
                      .confirmed = 1,
                      .dev_addr = 0x12345678,
                      .adr = 1,
                      .ack = 1,
                      .pending = 1,
                      .fcnt = 0xabcd,
                      .fopts_len = 3,
                      .fopts = { 0x0b, 0x01, 0x0d },
                      .has_fport = 1,
                      .fport = 7,
                      .frm_payload = { 0xca, 0xfe },
                      .frm_payload_len = 2,
                      .mic = { 0xd1, 0xd2, 0xd3, 0xd4 } };
    ljs_data got;

    (void)state;
    assert_int_equal(ljs_data_parse(&got, full, sizeof full), LJS_OK);
    assert_same(&got, &want);
    assert_builds(&want, full, sizeof full);

    want = (ljs_data){
        .direction = LJS_UP, .dev_addr = 0x12345678, .adr_ack_req = 1, .fcnt = 0xabcd, .mic = { 0xd1, 0xd2, 0xd3, 0xd4 }
    };
    assert_int_equal(ljs_data_parse(&got, bare, sizeof bare), LJS_OK);
    assert_same(&got, &want);
    assert_builds(&want, bare, sizeof bare);
}

static void refuses(const uint8_t *in, size_t len, ljs_err want)
{
    ljs_data d;
    ljs_err err;

    memset(&d, 0xa5, sizeof d);
    err = ljs_data_parse(&d, in, len);
    if (err != want)
        fail_msg("%zu octets %02x ... %02x: %d, not %d", len, len ? in[0] : 0u, len > 5 ? in[5] : 0u, err, want);
    if (err)
        assert_true(all_zero(&d, sizeof d));
}

/* Every length, with every FCtrl and every MHDR, and FPort 0 or another. */
static void every_length_mhdr_and_fctrl(void **state)
{
    static const unsigned lengths[] = { 0,  1,  7,  8,  11, 12, 13, 14, 15, 16,  17,  18,  19,
                                        20, 24, 25, 26, 27, 28, 29, 30, 64, 254, 255, 256, 300 };

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        size_t len = lengths[i];
        uint8_t *in = calloc(1, len ? len : 1); /* exactly so long: a sanitizer watches its end */

        assert_non_null(in);
        for (unsigned mhdr = 0; mhdr < 256; mhdr++)
            for (unsigned fctrl = 0; fctrl < 256; fctrl += mhdr == 0x40 ? 1 : 15)
                for (unsigned fport = 0; fport < 2; fport++) {
                    unsigned fopts_len = fctrl & 15;
                    bool data = mhdr == 0x40 || mhdr == 0x60 || mhdr == 0x80 || mhdr == 0xa0;
                    ljs_err want = LJS_OK;

                    memset(in, (int)fport, len);
                    if (len > 0)
                        in[0] = (uint8_t)mhdr;
                    if (len > 5)
                        in[5] = (uint8_t)fctrl;
                    if (len < 12 || len > 255)
                        want = LJS_E_SIZE;
                    else if (!data)
                        want = LJS_E_FRAME;
                    else if (len < 12 + fopts_len)
                        want = LJS_E_SIZE;
                    else if (len > 12 + fopts_len && fopts_len && !fport)
                        want = LJS_E_FRAME;
                    refuses(in, len, want);
                }
        free(in);
    }
    refuses(NULL, 0, LJS_E_SIZE);
}

static ljs_data random_data(uint64_t *random)
{
    ljs_data d = { .direction = random_next(random) & 1 ? LJS_DOWN : LJS_UP };

    d.confirmed = random_next(random) & 1;
    d.dev_addr = (ljs_devaddr)random_next(random);
    d.adr = random_next(random) & 1;
    d.adr_ack_req = random_next(random) & 1;
    d.ack = random_next(random) & 1;
    d.pending = random_next(random) & 1;
    d.fcnt = (uint16_t)random_next(random);
    d.has_fport = random_next(random) & 1;
    if (d.has_fport)
        d.fport = (uint8_t)(random_next(random) % 4);
    if (!d.has_fport || d.fport)
        d.fopts_len = (uint8_t)(random_next(random) % 16);
    random_fill(random, d.fopts, d.fopts_len);
    if (d.has_fport)
        d.frm_payload_len = random_next(random) % (243u - d.fopts_len);
    random_fill(random, d.frm_payload, d.frm_payload_len);
    random_fill(random, d.mic, sizeof d.mic);
    return d;
}

static void there_and_back(void **state)
{
    uint64_t random = 11;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        ljs_data d = random_data(&random), again;
        ljs_buf built;

        assert_int_equal(ljs_data_build(&built, &d), LJS_OK);
        assert_int_equal(ljs_data_parse(&again, built.data, built.len), LJS_OK);
        assert_same(&d, &again);
        assert_builds(&again, built.data, built.len);
        ljs_buf_free(&built);
    }
}

static void refused(const ljs_data *d)
{
    uint8_t octets[LJS_DATA_MAX];
    size_t len = 1;
    ljs_buf built = { (uint8_t *)1, 1 };

    assert_int_equal(ljs_data_build(&built, d), LJS_E_INVAL);
    assert_null(built.data);
    assert_int_equal(built.len, 0);
    assert_int_equal(ljs__data_write(octets, &len, d), LJS_E_INVAL);
    assert_int_equal(len, 0);
}

static void build_refuses(void **state)
{
    static const ljs_data largest = { .has_fport = 1, .fport = 1, .frm_payload_len = 242 };
    static const ljs_data with_fopts = { .has_fport = 1, .fport = 1, .fopts_len = 15, .frm_payload_len = 227 };
    ljs_buf built;

    (void)state;
    refused(&(ljs_data){ .direction = (ljs_direction)2 });
    refused(&(ljs_data){ .confirmed = 2 });
    refused(&(ljs_data){ .adr = 2 });
    refused(&(ljs_data){ .adr_ack_req = 2 });
    refused(&(ljs_data){ .ack = 2 });
    refused(&(ljs_data){ .pending = 2 });
    refused(&(ljs_data){ .has_fport = 2 });
    refused(&(ljs_data){ .fopts_len = 16 });
    refused(&(ljs_data){ .fport = 1 });
    refused(&(ljs_data){ .frm_payload_len = 1 });
    refused(&(ljs_data){ .has_fport = 1, .fopts_len = 1 });
    refused(&(ljs_data){ .has_fport = 1, .frm_payload_len = 243 });
    refused(&(ljs_data){ .has_fport = 1, .frm_payload_len = (size_t)-1 });
    refused(&(ljs_data){ .has_fport = 1, .fport = 1, .fopts_len = 15, .frm_payload_len = 228 });
    assert_int_equal(ljs_data_build(&built, &largest), LJS_OK);
    assert_int_equal(built.len, LJS_DATA_MAX);
    ljs_buf_free(&built);
    assert_int_equal(ljs_data_build(&built, &with_fopts), LJS_OK);
    assert_int_equal(built.len, LJS_DATA_MAX);
    ljs_buf_free(&built);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(by_hand),
        cmocka_unit_test(every_length_mhdr_and_fctrl),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(build_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
