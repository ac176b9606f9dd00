/* The text of QR codes: known answers, each rule broken once, and what is written is read again. */
#include <lorajs/qr.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "vectors.h"

#define HEAD    "LW:D0:1122334455667788:AABBCCDDEEFF0011:AABB1122"
#define EXAMPLE HEAD ":OAABBCCDDEEFF:SYYWWNNNNNN:PFOOBAR:CAF2C" /* [TR005] */

static ljs_err parse(ljs_qr *out, unsigned flags, const char *text)
{
    memset(out, 0xa5, sizeof *out);
    return ljs_qr_parse(out, flags, (const uint8_t *)text, strlen(text));
}

static void expect_built(const ljs_qr *qr, unsigned flags, const char *want)
{
    ljs_buf out;

    assert_int_equal(ljs_qr_build(&out, qr, flags), LJS_OK);
    assert_int_equal(out.len, strlen(want));
    assert_memory_equal(out.data, want, out.len);
    ljs_buf_free(&out);
}

static void qr_code(json_t *v)
{
    const char *text = vector_text(v, "inputs.text");
    bool checksum = vector_has(v, "expected.checksum");
    ljs_qr qr;

    /* "CCHECKSUM" of the second is none, and only leniently passed over. */
    assert_int_equal(parse(&qr, 0, text), checksum ? LJS_E_INVAL : LJS_OK);
    assert_int_equal(parse(&qr, LJS_QR_LENIENT, text), LJS_OK);
    assert_int_equal(qr.form, LJS_QR_D0);
    assert_int_equal(qr.join_eui, vector_number(v, "expected.join_eui"));
    assert_int_equal(qr.dev_eui, vector_number(v, "expected.dev_eui"));
    assert_int_equal(qr.vendor_id, vector_number(v, "expected.vendor_id"));
    assert_int_equal(qr.vendor_profile_id, vector_number(v, "expected.profile_id"));
    assert_int_equal(qr.has_checksum, checksum);
    assert_false(qr.checksum_good);
    assert_int_equal(qr.sloppy, checksum);
    if (!checksum) {
        expect_built(&qr, 0, vector_text(v, "expected.canonical"));
        return;
    }
    assert_string_equal(qr.owner_token, vector_text(v, "expected.owner_token"));
    assert_string_equal(qr.serial, vector_text(v, "expected.serial"));
    assert_string_equal(qr.proprietary, vector_text(v, "expected.proprietary"));
    expect_built(&qr, 0, "LW:D0:42FFFFFFFFFFFFFF:4242FFFFFFFFFFFF:42FFFF42:O0102:SSERIAL:PPROPRIETARY");
}

static void qr_code_invalid(json_t *v)
{
    ljs_qr qr;

    assert_int_equal(parse(&qr, 0, vector_text(v, "inputs.text")), LJS_E_INVAL);
    assert_string_equal(qr.fault, "there is no ProfileID");
    assert_int_equal(parse(&qr, LJS_QR_LENIENT, vector_text(v, "inputs.text")), LJS_OK);
    assert_true(qr.sloppy && qr.has_join_eui && !qr.has_profile);
}

static void test_vectors(void **state)
{
    (void)state;
    vectors_each("qr_code", 2, qr_code);
    vectors_each("qr_code_invalid", 1, qr_code_invalid);
}

static void test_example(void **state)
{
    ljs_qr qr;

    (void)state;
    assert_int_equal(parse(&qr, 0, EXAMPLE), LJS_OK);
    assert_int_equal(qr.join_eui, 0x1122334455667788);
    assert_int_equal(qr.dev_eui, 0xaabbccddeeff0011);
    assert_int_equal(qr.vendor_id, 0xaabb);
    assert_int_equal(qr.vendor_profile_id, 0x1122);
    assert_string_equal(qr.owner_token, "AABBCCDDEEFF");
    assert_string_equal(qr.serial, "YYWWNNNNNN");
    assert_string_equal(qr.proprietary, "FOOBAR");
    assert_true(qr.has_checksum && qr.checksum_good && !qr.sloppy);
    expect_built(&qr, LJS_QR_CHECKSUM, EXAMPLE);

    /* Any order; empty elements and letters that are not known count as absent. */
    assert_int_equal(parse(&qr, 0, HEAD ":PFOOBAR:O:Xwhat:SYYWWNNNNNN:"), LJS_OK);
    assert_string_equal(qr.owner_token, "");
    expect_built(&qr, 0, HEAD ":SYYWWNNNNNN:PFOOBAR");
}

static void test_drafts(void **state)
{
    static const struct {
        const char *text;
        ljs_qr_form form;
    } rows[] = {
        { "URN:LW:DP:1122334455667788:AABBCCDDEEFF0011:AABB1122:%VAABB%SSERIAL%PFOO", LJS_QR_DRAFT_2 },
        { "URN:LW:DP:1122334455667788:AABBCCDDEEFF0011:AABB1122:%25VAABB%25SSERIAL%25PFOO", LJS_QR_DRAFT_2 },
        { "URN:DEV:LW:1122334455667788_AABBCCDDEEFF0011_AABB1122_VAABB_SSERIAL_PFOO", LJS_QR_DRAFT_3 },
    };
    ljs_qr qr;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(parse(&qr, 0, rows[i].text), LJS_OK);
        assert_int_equal(qr.form, rows[i].form);
        expect_built(&qr, 0, HEAD ":OAABB:SSERIAL:PFOO");
    }
    assert_int_equal(parse(&qr, 0, "URN:DEV:LW:1122334455667788_AABBCCDDEEFF0011_AABB1122"), LJS_OK);
    assert_int_equal(parse(&qr, 0, "URN:LW:DP:1122334455667788:AABBCCDDEEFF0011:AABB1122"), LJS_OK);
    assert_int_equal(parse(&qr, 0, "URN:LW:DP:1122334455667788:AABBCCDDEEFF0011:AABB1122:VAABB"), LJS_E_INVAL);
    assert_int_equal(parse(&qr, 0, "AABBCCDDEEFF0011"), LJS_OK);
    assert_int_equal(qr.form, LJS_QR_BARE);
    assert_int_equal(qr.dev_eui, 0xaabbccddeeff0011);
    assert_false(qr.has_join_eui || qr.has_profile);
}

/* What is wrong, and whether it can be read all the same. */
static void test_faults(void **state)
{
    static const struct {
        const char *text, *fault;
        bool lenient;
    } rows[] = {
        { "", "this is no text of a device's QR code", false },
        { "lw:d0:1122334455667788:AABBCCDDEEFF0011:AABB1122", "this is no text of a device's QR code", false },
        { "AABBCCDDEEFF00111", "this is no text of a device's QR code", false },
        { "aabbccddeeff0011", "digits are written in upper case", true },
        { " " HEAD "\n", "there are spaces around the text", true },
        { "LW:D0:112233445566778:AABBCCDDEEFF0011:AABB1122", "JoinEUI is not 16 hexadecimal digits", false },
        { "LW:D0:112233445566778G:AABBCCDDEEFF0011:AABB1122", "JoinEUI is not 16 hexadecimal digits", false },
        { "LW:D0::AABBCCDDEEFF0011:AABB1122", "there is no JoinEUI", true },
        { "LW:D0:1122334455667788::AABB1122", "DevEUI is not 16 hexadecimal digits", false },
        { "LW:D0:1122334455667788:aABBCCDDEEFF0011:AABB1122", "digits are written in upper case", true },
        { "LW:D0:1122334455667788:AABBCCDDEEFF0011:AABB", "ProfileID is not 8 hexadecimal digits", true },
        { "LW:D0:1122334455667788:AABBCCDDEEFF0011:AABB112", "ProfileID is not 8 hexadecimal digits", false },
        { HEAD ":Oaabb", "OwnerToken is not 1 to 32 of A-Z and 0-9", true },
        { HEAD ":OAA-BB", "OwnerToken is not 1 to 32 of A-Z and 0-9", false },
        { HEAD ":O0123456789ABCDEF0123456789ABCDEF0", "OwnerToken is not 1 to 32 of A-Z and 0-9", false },
        { HEAD ":OAA:OBB", "an element stands there twice", false },
        { HEAD ":Slower", "the serial number is too long, or has characters that no code has", true },
        { HEAD ":S\tTAB", "the serial number is too long, or has characters that no code has", false },
        { HEAD ":P[]", "the proprietary element is too long, or has characters that no code has", true },
        { HEAD ":X\x01", "an element has characters that no code has", false },
        { HEAD ":OAABBCCDDEEFF:SYYWWNNNNNN:PFOOBAR:CAF2D", "the checksum is another: the text was changed, or misread",
          true },
        { HEAD ":OAABBCCDDEEFF:SYYWWNNNNNN:PFOOBAS:CAF2C", "the checksum is another: the text was changed, or misread",
          true },
        { HEAD ":C0000:C0000", "the checksum is another: the text was changed, or misread", false },
    };
    ljs_qr qr, empty;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(parse(&qr, 0, rows[i].text), LJS_E_INVAL);
        assert_string_equal(qr.fault, rows[i].fault);
        memset(&empty, 0, sizeof empty);
        memcpy(empty.fault, qr.fault, sizeof empty.fault);
        assert_memory_equal(&qr, &empty, sizeof qr);
        assert_int_equal(parse(&qr, LJS_QR_LENIENT, rows[i].text), rows[i].lenient ? LJS_OK : LJS_E_INVAL);
        assert_int_equal(qr.sloppy, rows[i].lenient);
    }
    assert_int_equal(parse(&qr, 4, EXAMPLE), LJS_E_INVAL);
    assert_int_equal(ljs_qr_parse(&qr, 0, (const uint8_t *)EXAMPLE "\0", sizeof EXAMPLE), LJS_E_INVAL);
    assert_int_equal(ljs_qr_parse(&qr, 0, NULL, 0), LJS_E_INVAL);
}

/* One wrong letter is found, wherever: by its place, or by the checksum; but for ":C" itself, without which,
 * as with an empty one, there is no checksum. */
static void test_every_letter(void **state)
{
    const size_t colon = strlen(EXAMPLE) - strlen(":CAF2C");
    char text[] = EXAMPLE;
    ljs_qr qr;

    (void)state;
    for (size_t i = 0; i < sizeof text - 1; i++)
        for (unsigned c = 0; c < 256; c++) {
            char right = text[i];

            text[i] = (char)c;
            if (c != (uint8_t)right && i != colon && i != colon + 1 && (i != colon + 2 || c != ':'))
                assert_int_equal(ljs_qr_parse(&qr, 0, (const uint8_t *)text, sizeof text - 1), LJS_E_INVAL);
            text[i] = right;
        }
}

static void test_what_is_not_written(void **state)
{
    ljs_qr qr;
    ljs_buf out;

    (void)state;
    assert_int_equal(parse(&qr, 0, EXAMPLE), LJS_OK);
    assert_int_equal(ljs_qr_build(&out, &qr, 1), LJS_E_INVAL);
    snprintf(qr.serial, sizeof qr.serial, "A:B");
    assert_int_equal(ljs_qr_build(&out, &qr, 0), LJS_E_INVAL);
    memset(qr.serial, 'A', sizeof qr.serial);
    assert_int_equal(ljs_qr_build(&out, &qr, 0), LJS_E_INVAL);
    qr.serial[0] = 0;
    assert_int_equal(ljs_qr_build(&out, &qr, 0), LJS_OK);
    ljs_buf_free(&out);
    qr.has_profile = 0;
    assert_int_equal(ljs_qr_build(&out, &qr, 0), LJS_E_INVAL);
    assert_null(out.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors), cmocka_unit_test(test_example),      cmocka_unit_test(test_drafts),
        cmocka_unit_test(test_faults),  cmocka_unit_test(test_every_letter), cmocka_unit_test(test_what_is_not_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
