#include "air/mac.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "random.h"
#include "vectors.h"

enum { NONE = -1 };

/* Lengths by CID, written down anew: uplink, downlink. */
static const struct {
    uint8_t cid;
    int len[2];
    const char *text[2];
} known[] = {
    { 0x01, { 1, 1 }, { "ResetInd", "ResetConf" } },
    { 0x02, { 0, 2 }, { "LinkCheckReq", "LinkCheckAns" } },
    { 0x03, { 1, 4 }, { "LinkADRAns", "LinkADRReq" } },
    { 0x04, { 0, 1 }, { "DutyCycleAns", "DutyCycleReq" } },
    { 0x05, { 1, 4 }, { "RXParamSetupAns", "RXParamSetupReq" } },
    { 0x06, { 2, 0 }, { "DevStatusAns", "DevStatusReq" } },
    { 0x07, { 1, 5 }, { "NewChannelAns", "NewChannelReq" } },
    { 0x08, { 0, 1 }, { "RXTimingSetupAns", "RXTimingSetupReq" } },
    { 0x09, { 0, 1 }, { "TXParamSetupAns", "TXParamSetupReq" } },
    { 0x0a, { 1, 4 }, { "DlChannelAns", "DlChannelReq" } },
    { 0x0b, { 1, 1 }, { "RekeyInd", "RekeyConf" } },
    { 0x0c, { 0, 1 }, { "ADRParamSetupAns", "ADRParamSetupReq" } },
    { 0x0d, { 0, 5 }, { "DeviceTimeReq", "DeviceTimeAns" } },
    { 0x0e, { NONE, 2 }, { "?", "ForceRejoinReq" } },
    { 0x0f, { 1, 1 }, { "RejoinParamSetupAns", "RejoinParamSetupReq" } },
    { 0x10, { 1, 0 }, { "PingSlotInfoReq", "PingSlotInfoAns" } },
    { 0x11, { 1, 4 }, { "PingSlotChannelAns", "PingSlotChannelReq" } },
    { 0x12, { 0, 3 }, { "BeaconTimingReq", "BeaconTimingAns" } },
    { 0x13, { 1, 3 }, { "BeaconFreqAns", "BeaconFreqReq" } },
    { 0x20, { 1, 1 }, { "DeviceModeInd", "DeviceModeConf" } },
};

static int want_len(unsigned cid, ljs_direction direction)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].cid == cid)
            return known[i].len[direction];
    return NONE;
}

static bool all_zero(const void *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (((const uint8_t *)at)[i])
            return false;
    return true;
}

static void assert_builds(const ljs_mac_command *c, ljs_octet_order order, const uint8_t *want, size_t len)
{
    uint8_t octets[LJS_MAC_COMMAND_MAX];
    size_t octets_len;
    ljs_buf built;

    assert_int_equal(ljs_mac_command_build(&built, c, order), LJS_OK);
    assert_int_equal(built.len, len);
    assert_memory_equal(built.data, want, len);
    assert_int_equal(ljs__mac_command_write(octets, &octets_len, c, order), LJS_OK);
    assert_int_equal(octets_len, len);
    assert_memory_equal(octets, want, len);
    ljs_buf_free(&built);
}

static void assert_refused(const ljs_mac_command *c, ljs_octet_order order)
{
    uint8_t octets[LJS_MAC_COMMAND_MAX];
    size_t len = 1;
    ljs_buf built = { (uint8_t *)1, 1 };

    assert_int_equal(ljs_mac_command_build(&built, c, order), LJS_E_INVAL);
    assert_null(built.data);
    assert_int_equal(built.len, 0);
    assert_int_equal(ljs__mac_command_write(octets, &len, c, order), LJS_E_INVAL);
    assert_int_equal(len, 0);
}

/* The members of a vector by the specification's names. */
static const struct {
    const char *path;
    size_t at;
} members[] = {
    { "inputs.fields.minor", offsetof(ljs_mac_command, minor) },
    { "inputs.fields.period", offsetof(ljs_mac_command, period) },
    { "inputs.fields.max_retries", offsetof(ljs_mac_command, max_retries) },
    { "inputs.fields.rejoin_type", offsetof(ljs_mac_command, rejoin_type) },
    { "inputs.fields.dr", offsetof(ljs_mac_command, data_rate) },
    { "inputs.fields.max_time_n", offsetof(ljs_mac_command, max_time_n) },
    { "inputs.fields.max_count_n", offsetof(ljs_mac_command, max_count_n) },
    { "inputs.fields.time_ok", offsetof(ljs_mac_command, time_ok) },
};

static ljs_mac_command of_vector(json_t *v, ljs_direction direction)
{
    ljs_mac_command c = { .direction = direction };
    size_t seen = 0;

    for (unsigned cid = 0; cid < 256 && !c.cid; cid++)
        if (!strcmp(ljs_mac_command_text((uint8_t)cid, direction), vector_text(v, "inputs.name")))
            c.cid = (uint8_t)cid;
    assert_int_not_equal(c.cid, 0);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (vector_has(v, members[i].path)) {
            ((uint8_t *)&c)[members[i].at] = (uint8_t)vector_number(v, members[i].path);
            seen++;
        }
    assert_int_equal(seen, json_object_size(vector_find(v, "inputs.fields")));
    return c;
}

static void check_octets(const ljs_mac_command *want, ljs_octet_order order, json_t *v, const char *path)
{
    uint8_t in[LJS_MAC_COMMAND_MAX];
    size_t len = vector_hex(in, sizeof in, v, path), at = 0;
    ljs_mac_command got, fields = *want;

    assert_builds(want, order, in, len);
    assert_int_equal(ljs_mac_command_parse(&got, &at, want->direction, order, in, len), LJS_OK);
    assert_int_equal(at, len);
    assert_int_equal(got.len, len - 1);
    assert_memory_equal(got.payload, in + 1, len - 1);
    fields.len = got.len;
    memcpy(fields.payload, got.payload, sizeof fields.payload);
    assert_memory_equal(&got, &fields, sizeof got);
    assert_int_equal(ljs_mac_command_parse(&got, &at, want->direction, order, in, len), LJS_E_NOTFOUND);
}

static void mac_command(json_t *v)
{
    ljs_direction direction = !strcmp(vector_text(v, "inputs.direction"), "up") ? LJS_UP : LJS_DOWN;
    ljs_mac_command c = of_vector(v, direction);
    bool high_first = vector_is(v, "tts-forcerejoin"); /* its note: the disputed order */

    check_octets(&c, high_first ? LJS_HIGH_FIRST : LJS_LOW_FIRST, v, "expected.bytes");
    if (vector_has(v, "derived.little_endian"))
        check_octets(&c, LJS_LOW_FIRST, v, "derived.little_endian");
    if (c.cid != LJS_CID_FORCE_REJOIN) /* one octet has no order */
        check_octets(&c, LJS_HIGH_FIRST, v, "expected.bytes");
}

static void mac_command_invalid(json_t *v)
{
    ljs_mac_command c = of_vector(v, LJS_DOWN);

    assert_refused(&c, LJS_LOW_FIRST);
    assert_refused(&c, LJS_HIGH_FIRST);
}

static void vectors(void **state)
{
    (void)state;
    vectors_each("mac_command", 9, mac_command);
    vectors_each("mac_command_invalid", 6, mac_command_invalid);
}

/* Every CID, both ways, with every number of octets behind it. */
static void every_cid(void **state)
{
    uint64_t random = 21;

    (void)state;
    for (int direction = LJS_UP; direction <= LJS_DOWN; direction++)
        for (unsigned cid = 0; cid < 256; cid++) {
            int want = want_len(cid, (ljs_direction)direction);
            const char *text = "?";

            for (size_t i = 0; i < sizeof known / sizeof *known; i++)
                if (known[i].cid == cid)
                    text = known[i].text[direction];
            assert_string_equal(ljs_mac_command_text((uint8_t)cid, (ljs_direction)direction), text);
            for (int behind = 0; behind < 8; behind++) {
                uint8_t *in = malloc(3u + (unsigned)behind);
                ljs_mac_command c;
                size_t at = 2;
                ljs_err err;

                assert_non_null(in);
                random_fill(&random, in, 3u + (unsigned)behind);
                in[2] = (uint8_t)cid;
                memset(&c, 0xa5, sizeof c);
                err =
                    ljs_mac_command_parse(&c, &at, (ljs_direction)direction, LJS_LOW_FIRST, in, 3u + (unsigned)behind);
                if (want == NONE || behind < want) {
                    assert_int_equal(err, LJS_E_FRAME);
                    assert_true(all_zero(&c, sizeof c));
                    assert_int_equal(at, 2);
                } else {
                    assert_int_equal(err, LJS_OK);
                    assert_int_equal(at, 3 + want);
                    assert_int_equal(c.cid, cid);
                    assert_int_equal(c.direction, direction);
                    assert_int_equal(c.len, want);
                    assert_memory_equal(c.payload, in + 3, (size_t)want);
                    assert_true(all_zero(c.payload + want, sizeof c.payload - (size_t)want));
                }
                free(in);
            }
        }
    assert_string_equal(ljs_mac_command_text(0x0b, (ljs_direction)2), "?");
    assert_string_equal(ljs_mac_command_text(0x0b, (ljs_direction)-1), "?");
}

/* What has no fields here is built from its payload, of the one length that it has. */
static void other_commands(void **state)
{
    static const uint8_t link_adr[] = { 0x03, 0x51, 0xff, 0x00, 0x01 };
    ljs_mac_command c = { .cid = 0x03, .direction = LJS_DOWN, .len = 4, .payload = { 0x51, 0xff, 0x00, 0x01 } };

    (void)state;
    assert_builds(&c, LJS_LOW_FIRST, link_adr, sizeof link_adr);
    assert_builds(&c, LJS_HIGH_FIRST, link_adr, sizeof link_adr);
    c.len = 3;
    assert_refused(&c, LJS_LOW_FIRST);
    c.len = 5;
    assert_refused(&c, LJS_LOW_FIRST);
    c.direction = LJS_UP;
    c.len = 4;
    assert_refused(&c, LJS_LOW_FIRST);
    assert_refused(&(ljs_mac_command){ .cid = 0x00 }, LJS_LOW_FIRST);
    assert_refused(&(ljs_mac_command){ .cid = 0x80, .direction = LJS_DOWN }, LJS_LOW_FIRST);
    assert_refused(&(ljs_mac_command){ .cid = 0x0e, .direction = LJS_UP }, LJS_LOW_FIRST);
    assert_refused(&(ljs_mac_command){ .cid = 0x0b, .direction = (ljs_direction)2 }, LJS_LOW_FIRST);
    assert_refused(&(ljs_mac_command){ .cid = 0x0b }, (ljs_octet_order)2);
}

/* Every ForceRejoinReq: RFU bits are not looked at, and there and back but for them. */
static void every_force_rejoin(void **state)
{
    (void)state;
    for (int order = LJS_LOW_FIRST; order <= LJS_HIGH_FIRST; order++)
        for (unsigned number = 0; number < 0x10000; number++) {
            uint8_t low = (uint8_t)number, high = (uint8_t)(number >> 8);
            uint8_t in[3] = { 0x0e, order ? high : low, order ? low : high };
            ljs_mac_command c;
            size_t at = 0;

            assert_int_equal(ljs_mac_command_parse(&c, &at, LJS_DOWN, (ljs_octet_order)order, in, 3), LJS_OK);
            assert_int_equal(c.period, high >> 3 & 7);
            assert_int_equal(c.max_retries, high & 7);
            assert_int_equal(c.rejoin_type, low >> 4 & 7);
            assert_int_equal(c.data_rate, low & 15);
            if (c.rejoin_type > 2) {
                assert_refused(&c, (ljs_octet_order)order);
                continue;
            }
            in[order ? 1 : 2] &= 0x3f;
            in[order ? 2 : 1] &= 0x7f;
            assert_builds(&c, (ljs_octet_order)order, in, 3);
        }
}

static void rfu_bits_are_not_looked_at(void **state)
{
    static const uint8_t up[] = { 0x01, 0xf1, 0x0b, 0xf1, 0x0f, 0xff };
    ljs_mac_command c;
    size_t at = 0;

    (void)state;
    assert_int_equal(ljs_mac_command_parse(&c, &at, LJS_UP, LJS_LOW_FIRST, up, sizeof up), LJS_OK);
    assert_int_equal(c.cid, LJS_CID_RESET);
    assert_int_equal(c.minor, 1);
    assert_int_equal(c.payload[0], 0xf1);
    assert_int_equal(ljs_mac_command_parse(&c, &at, LJS_UP, LJS_LOW_FIRST, up, sizeof up), LJS_OK);
    assert_int_equal(c.cid, LJS_CID_REKEY);
    assert_int_equal(c.minor, 1);
    assert_int_equal(ljs_mac_command_parse(&c, &at, LJS_UP, LJS_LOW_FIRST, up, sizeof up), LJS_OK);
    assert_int_equal(c.cid, LJS_CID_REJOIN_PARAM_SETUP);
    assert_int_equal(c.time_ok, 1);
    assert_int_equal(ljs_mac_command_parse(&c, &at, LJS_UP, LJS_LOW_FIRST, up, sizeof up), LJS_E_NOTFOUND);
    assert_true(all_zero(&c, sizeof c));
}

/* A stream of all commands, read past those that are not ours. */
static void a_stream(void **state)
{
    (void)state;
    for (int direction = LJS_UP; direction <= LJS_DOWN; direction++) {
        uint8_t in[128] = { 0 };
        size_t len = 0, at = 0, n = 0;
        ljs_mac_command c;

        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (known[i].len[direction] != NONE) {
                in[len] = known[i].cid;
                len += 1u + (unsigned)known[i].len[direction];
                n++;
            }
        while (n--)
            assert_int_equal(ljs_mac_command_parse(&c, &at, (ljs_direction)direction, LJS_LOW_FIRST, in, len), LJS_OK);
        assert_int_equal(at, len);
        assert_int_equal(c.cid, 0x20);
        assert_int_equal(ljs_mac_command_parse(&c, &at, (ljs_direction)direction, LJS_LOW_FIRST, in, len),
                         LJS_E_NOTFOUND);
        assert_int_equal(at, len);
    }
}

static void arguments(void **state)
{
    static const uint8_t in[] = { 0x0b, 0x01 };
    ljs_mac_command c;
    size_t at = 0;

    (void)state;
    assert_int_equal(ljs_mac_command_parse(&c, &at, (ljs_direction)2, LJS_LOW_FIRST, in, 2), LJS_E_INVAL);
    assert_int_equal(ljs_mac_command_parse(&c, &at, LJS_UP, (ljs_octet_order)2, in, 2), LJS_E_INVAL);
    assert_int_equal(ljs_mac_command_parse(&c, &at, LJS_UP, LJS_LOW_FIRST, NULL, 0), LJS_E_NOTFOUND);
    at = 3;
    assert_int_equal(ljs_mac_command_parse(&c, &at, LJS_UP, LJS_LOW_FIRST, in, 2), LJS_E_NOTFOUND);
    assert_int_equal(at, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(every_cid),
        cmocka_unit_test(other_commands),
        cmocka_unit_test(every_force_rejoin),
        cmocka_unit_test(rfu_bits_are_not_looked_at),
        cmocka_unit_test(a_stream),
        cmocka_unit_test(arguments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
