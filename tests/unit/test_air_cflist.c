#include <lorajs/frame.h>

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

static void assert_same(const ljs_cf_list *a, const ljs_cf_list *b)
{
    assert_int_equal(a->type, b->type);
    assert_memory_equal(a->frequency, b->frequency, sizeof a->frequency);
    assert_memory_equal(a->mask, b->mask, sizeof a->mask);
}

static ljs_cf_list list_of(json_t *v)
{
    ljs_cf_list list = { .type = (uint8_t)vector_number(v, "inputs.type") };
    json_t *one;
    size_t i;

    json_array_foreach(vector_find(v, "inputs.frequencies_hz"), i, one)
    {
        assert_true(i < 5);
        list.frequency[i] = (uint32_t)json_integer_value(one);
    }
    json_array_foreach(vector_find(v, "inputs.masks_u16"), i, one)
    {
        assert_true(i < 6);
        list.mask[i] = (uint16_t)json_integer_value(one);
    }
    return list;
}

static void check_list(json_t *v)
{
    ljs_cf_list list = list_of(v), parsed;
    uint8_t octets[16];
    ljs_buf built;

    assert_int_equal(vector_hex(octets, sizeof octets, v, "expected.bytes"), 16);
    assert_int_equal(ljs_cf_list_build(&built, &list), LJS_OK);
    assert_int_equal(built.len, 16);
    assert_memory_equal(built.data, octets, 16);
    ljs_buf_free(&built);
    assert_int_equal(ljs_cf_list_parse(&parsed, octets, 16), LJS_OK);
    assert_same(&parsed, &list);
}

static void refused(const ljs_cf_list *list)
{
    ljs_buf built = { (uint8_t *)1, 1 };

    assert_int_equal(ljs_cf_list_build(&built, list), LJS_E_INVAL);
    assert_null(built.data);
    assert_int_equal(built.len, 0);
}

static void check_invalid(json_t *v)
{
    ljs_cf_list list = list_of(v);

    refused(&list);
}

/* The CFLists of the accepts parse too, where they are of a type there is. */
static void check_of_accept(json_t *v)
{
    ljs_cf_list list;
    uint8_t octets[16];

    if (!vector_has(v, "expected.cflist"))
        return;
    assert_int_equal(vector_hex(octets, sizeof octets, v, "expected.cflist"), 16);
    /* tts-client-ja has 3 x ff for a frequency: 1677.7215 MHz, allowed */
    assert_int_equal(ljs_cf_list_parse(&list, octets, 16), LJS_OK);
    assert_int_equal(list.type, octets[15]);
}

static void vectors(void **state)
{
    (void)state;
    vectors_each("cflist", 3, check_list);
    vectors_each("cflist_invalid", 1, check_invalid);
    vectors_each("join_accept", 10, check_of_accept);
}

static void every_length_and_type(void **state)
{
    (void)state;
    for (size_t len = 0; len <= 40; len++) {
        uint8_t *in = calloc(1, len ? len : 1);

        assert_non_null(in);
        for (unsigned type = 0; type < 256; type++) {
            ljs_cf_list list;
            ljs_err err;

            if (len)
                in[len - 1] = (uint8_t)type;
            memset(&list, 0xa5, sizeof list);
            err = ljs_cf_list_parse(&list, in, len);
            assert_int_equal(err, len != 16 ? LJS_E_SIZE : type > 1 ? LJS_E_FRAME : LJS_OK);
            if (err)
                assert_true(all_zero(&list, sizeof list));
        }
        free(in);
    }
}

static void every_rfu_bit(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 24; bit++) { /* octets 12..14 of masks */
        uint8_t in[16] = { [15] = 1 };
        ljs_cf_list list;

        in[12 + bit / 8] = (uint8_t)(1u << bit % 8);
        memset(&list, 0xa5, sizeof list);
        assert_int_equal(ljs_cf_list_parse(&list, in, 16), LJS_E_FRAME);
        assert_true(all_zero(&list, sizeof list));
    }
}

static void edges_of_frequency(void **state)
{
    static const struct {
        uint32_t on_air, hz;
        bool good;
    } edges[] = {
        { 0, 0, true },
        { 1, 100, false },
        { 999999, 99999900, false },
        { 1000000, 100000000, true },
        { 8681000, 868100000, true },
        { 0xffffff, 1677721500, true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        for (size_t at = 0; at < 5; at++) {
            uint8_t in[16] = { 0 };
            ljs_cf_list list, want = { .type = 0 };
            ljs_buf built;

            want.frequency[at] = edges[i].hz;
            for (size_t k = 0; k < 3; k++)
                in[3 * at + k] = (uint8_t)(edges[i].on_air >> (8 * k));
            if (edges[i].good) {
                assert_int_equal(ljs_cf_list_parse(&list, in, 16), LJS_OK);
                assert_same(&list, &want);
                assert_int_equal(ljs_cf_list_build(&built, &want), LJS_OK);
                assert_memory_equal(built.data, in, 16);
                ljs_buf_free(&built);
            } else {
                assert_int_equal(ljs_cf_list_parse(&list, in, 16), LJS_E_FRAME);
                refused(&want);
            }
        }
    }
    refused(&(ljs_cf_list){ .frequency = { 1677721600 } }); /* 25 bits */
    refused(&(ljs_cf_list){ .frequency = { 4294967200u } });
    refused(&(ljs_cf_list){ .frequency = { 1 } });
    refused(&(ljs_cf_list){ .frequency = { 868100001 } });
    refused(&(ljs_cf_list){ .frequency = { 868100050 } });
}

static void other_fields(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        ljs_cf_list list = { .type = 0 };

        list.mask[i] = 1;
        refused(&list);
    }
    for (unsigned i = 0; i < 5; i++) {
        ljs_cf_list list = { .type = 1 };

        list.frequency[i] = 868100000;
        refused(&list);
    }
    for (unsigned type = 2; type < 256; type++)
        refused(&(ljs_cf_list){ .type = (uint8_t)type });
}

static void there_and_back(void **state)
{
    uint64_t random = 9;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        ljs_cf_list list = { .type = random_next(&random) % 2 }, again;
        ljs_buf built;

        for (size_t k = 0; list.type == 0 && k < 5; k++)
            if (random_next(&random) % 4)
                list.frequency[k] = (uint32_t)(1000000 + random_next(&random) % 15777216) * 100;
        for (size_t k = 0; list.type == 1 && k < 6; k++)
            list.mask[k] = (uint16_t)random_next(&random);
        assert_int_equal(ljs_cf_list_build(&built, &list), LJS_OK);
        assert_int_equal(ljs_cf_list_parse(&again, built.data, built.len), LJS_OK);
        assert_same(&list, &again);
        ljs_buf_free(&built);
    }
}

/* And the other way: whatever is accepted builds to itself. */
static void back_and_there(void **state)
{
    uint64_t random = 10;
    unsigned accepted = 0;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t in[16];
        ljs_cf_list list;
        ljs_buf built;

        random_fill(&random, in, sizeof in);
        in[15] &= 1;
        if (in[15])
            memset(in + 12, random_next(&random) % 4 == 0, 3);
        if (ljs_cf_list_parse(&list, in, 16))
            continue;
        accepted++;
        assert_int_equal(ljs_cf_list_build(&built, &list), LJS_OK);
        assert_memory_equal(built.data, in, 16);
        ljs_buf_free(&built);
    }
    assert_true(accepted > 5000 && accepted < 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),        cmocka_unit_test(every_length_and_type), cmocka_unit_test(every_rfu_bit),
        cmocka_unit_test(other_fields),   cmocka_unit_test(edges_of_frequency),    cmocka_unit_test(there_and_back),
        cmocka_unit_test(back_and_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
