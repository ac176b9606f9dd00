#include "air/frame.h"

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

static void assert_same(const ljs_accept *a, const ljs_accept *b)
{
    assert_int_equal(a->join_nonce, b->join_nonce);
    assert_int_equal(a->net_id, b->net_id);
    assert_int_equal(a->dev_addr, b->dev_addr);
    assert_int_equal(a->dl_settings, b->dl_settings);
    assert_int_equal(a->rx_delay, b->rx_delay);
    assert_int_equal(a->has_cf_list, b->has_cf_list);
    assert_memory_equal(a->cf_list, b->cf_list, 16);
}

static void check_accept(json_t *v, const uint8_t *in, size_t in_len)
{
    ljs_accept want = { 0 }, got;
    uint8_t octets[LJS__ACCEPT_CLEAR_MAX];
    ljs_buf built;
    size_t len;

    assert_int_equal(ljs_accept_parse(&got, in, in_len), LJS_OK);
    if (vector_has(v, "expected.join_nonce")) {
        want.join_nonce = (uint32_t)vector_number(v, "expected.join_nonce");
        want.net_id = (ljs_netid)vector_number(v, "expected.net_id");
        want.dev_addr = (ljs_devaddr)vector_number(v, "expected.dev_addr");
        want.dl_settings = (uint8_t)vector_number(v, "expected.dl_settings");
        want.rx_delay = (uint8_t)vector_number(v, "expected.rx_delay");
        want.has_cf_list = vector_has(v, "expected.cflist");
        if (want.has_cf_list)
            assert_int_equal(vector_hex(want.cf_list, 16, v, "expected.cflist"), 16);
        assert_same(&got, &want);
    }
    assert_int_equal(got.has_cf_list, vector_has(v, "expected.cflist"));
    assert_int_equal(ljs_accept_build(&built, &got), LJS_OK);
    assert_int_equal(built.len, in_len);
    assert_memory_equal(built.data, in, in_len);
    assert_int_equal(ljs__accept_write(octets, &len, &got), LJS_OK);
    assert_int_equal(len, in_len);
    assert_memory_equal(octets, in, in_len);
    ljs_buf_free(&built);
}

static void check_join_accept(json_t *v)
{
    uint8_t in[LJS__ACCEPT_CLEAR_MAX];

    check_accept(v, in, vector_hex(in, sizeof in, v, "inputs.plaintext"));
}

static void check_codec(json_t *v)
{
    uint8_t in[LJS__ACCEPT_CLEAR_MAX] = { 0x20 };

    check_accept(v, in, 1 + vector_hex(in + 1, sizeof in - 1, v, "inputs.bytes"));
}

static void check_dl_settings(json_t *v)
{
    uint8_t octet = (uint8_t)vector_number(v, "expected.byte"), built;
    ljs_dl_settings s = ljs_dl_settings_parse(octet);

    assert_int_equal(s.opt_neg, vector_number(v, "inputs.opt_neg"));
    assert_int_equal(s.rx1_dr_offset, vector_number(v, "inputs.rx1_dr_offset"));
    assert_int_equal(s.rx2_data_rate, vector_number(v, "inputs.rx2_dr"));
    assert_int_equal(ljs_dl_settings_build(&built, &s), LJS_OK);
    assert_int_equal(built, octet);
}

static void vectors(void **state)
{
    (void)state;
    vectors_each("join_accept", 10, check_join_accept);
    vectors_each("codec_join_accept", 2, check_codec);
    vectors_each("dl_settings", 2, check_dl_settings);
}

static void every_length_and_mhdr(void **state)
{
    uint64_t random = 7;

    (void)state;
    for (size_t len = 0; len <= 64; len++) {
        uint8_t *in = malloc(len ? len : 1);

        assert_non_null(in);
        random_fill(&random, in, len);
        for (unsigned first = 0; first < 256; first++) {
            ljs_accept a;
            ljs_err err;

            if (len)
                in[0] = (uint8_t)first;
            memset(&a, 0xa5, sizeof a);
            err = ljs_accept_parse(&a, in, len);
            if (len != 13 && len != 29)
                assert_int_equal(err, LJS_E_SIZE);
            else
                assert_int_equal(err, first == 0x20 ? LJS_OK : LJS_E_FRAME);
            if (err)
                assert_true(all_zero(&a, sizeof a));
        }
        free(in);
    }
}

static void there_and_back(void **state)
{
    uint64_t random = 8;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        ljs_accept a = { 0 }, again;
        ljs_buf built;

        a.join_nonce = random_next(&random) & 0xffffff;
        a.net_id = random_next(&random) & 0xffffff;
        a.dev_addr = (ljs_devaddr)random_next(&random);
        a.dl_settings = (uint8_t)random_next(&random);
        a.rx_delay = (uint8_t)random_next(&random); /* its RFU bits pass through */
        if ((a.has_cf_list = random_next(&random) % 2))
            random_fill(&random, a.cf_list, 16);
        assert_int_equal(ljs_accept_build(&built, &a), LJS_OK);
        assert_int_equal(built.len, a.has_cf_list ? 29 : 13);
        assert_int_equal(ljs_accept_parse(&again, built.data, built.len), LJS_OK);
        assert_same(&a, &again);
        ljs_buf_free(&built);
    }
}

static void refused(const ljs_accept *a)
{
    uint8_t octets[LJS__ACCEPT_CLEAR_MAX];
    ljs_buf built = { (uint8_t *)1, 1 };
    size_t len = 1;

    assert_int_equal(ljs_accept_build(&built, a), LJS_E_INVAL);
    assert_null(built.data);
    assert_int_equal(built.len, 0);
    assert_int_equal(ljs__accept_write(octets, &len, a), LJS_E_INVAL);
    assert_int_equal(len, 0);
}

static void build_refuses(void **state)
{
    ljs_accept a = { .has_cf_list = 0 };

    (void)state;
    refused(&(ljs_accept){ .join_nonce = 0x1000000 });
    refused(&(ljs_accept){ .net_id = 0x1000000 });
    refused(&(ljs_accept){ .has_cf_list = 2 });
    for (unsigned i = 0; i < 16; i++) {
        memset(a.cf_list, 0, sizeof a.cf_list);
        a.cf_list[i] = 0x80;
        refused(&a);
    }
}

static void every_dl_settings(void **state)
{
    uint8_t octet;

    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        ljs_dl_settings s = ljs_dl_settings_parse((uint8_t)i);

        assert_true(s.opt_neg <= 1 && s.rx1_dr_offset <= 7 && s.rx2_data_rate <= 15);
        assert_int_equal(s.opt_neg * 128 + s.rx1_dr_offset * 16 + s.rx2_data_rate, i);
        assert_int_equal(ljs_dl_settings_build(&octet, &s), LJS_OK);
        assert_int_equal(octet, i);
        octet = 1;
        assert_int_equal(ljs_dl_settings_build(&octet, &(ljs_dl_settings){ .opt_neg = (uint8_t)i }),
                         i > 1 ? LJS_E_INVAL : LJS_OK);
        assert_int_equal(octet, i == 1 ? 0x80 : 0);
        assert_int_equal(ljs_dl_settings_build(&octet, &(ljs_dl_settings){ .rx1_dr_offset = (uint8_t)i }),
                         i > 7 ? LJS_E_INVAL : LJS_OK);
        assert_int_equal(ljs_dl_settings_build(&octet, &(ljs_dl_settings){ .rx2_data_rate = (uint8_t)i }),
                         i > 15 ? LJS_E_INVAL : LJS_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),       cmocka_unit_test(every_length_and_mhdr), cmocka_unit_test(there_and_back),
        cmocka_unit_test(build_refuses), cmocka_unit_test(every_dl_settings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
