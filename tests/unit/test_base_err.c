#include <lorajs/base.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* The header is read as text: a value that is added to the enum and forgotten in the
 * table fails here. */
static void each_error(void (*check)(const char *name, ljs_err err, const char *comment))
{
    FILE *f = fopen(TESTS_DIR "/../include/lorajs/base.h", "r");
    char line[512], name[32], comment[256];
    int err, n = 0;

    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, " LJS_E_%31[A-Z0-9_] = %d, /**< %255[^*]", name, &err, comment) == 3) {
            check(name, (ljs_err)err, comment);
            n++;
        } else {
            assert_false(strstr(line, "LJS_E_") && strstr(line, " = ")); /* a row that we could not read */
        }
    }
    fclose(f);
    assert_int_equal(n, 38);
}

static unsigned seen[200];

static void check_row(const char *name, ljs_err err, const char *comment)
{
    const char *text = ljs_strerror(err), *remedy = ljs_remedy(err);

    assert_true((err <= -1 && err >= -99) || (err <= -101 && err >= -199));
    assert_int_equal(seen[-err]++, 0);
    assert_string_equal(ljs_errname(err), name);
    assert_string_not_equal(text, ljs_strerror((ljs_err)1));
    assert_true(strlen(text) >= 10 && strlen(comment) >= 10);
    assert_string_not_equal(text, remedy);
    assert_true(strlen(remedy) >= 20 && strchr(remedy, ' '));
    assert_true(remedy[0] >= 'a' && remedy[0] <= 'z'); /* it goes into the middle of a line */
    assert_true(remedy[strlen(remedy) - 1] != '.' && text[strlen(text) - 1] != '.');
}

static void every_error_has_its_row(void **state)
{
    (void)state;
    memset(seen, 0, sizeof seen);
    each_error(check_row);
    assert_string_equal(ljs_errname(LJS_OK), "OK");
    assert_string_equal(ljs_result_code(LJS_OK, 10), "Success");
    assert_string_equal(ljs_result_code(LJS_OK, 11), "Success");
}

static void numbers_without_meaning(void **state)
{
    (void)state;
    for (int n = -300; n <= 300; n++) {
        if (n == 0 || (n < 0 && n > -200 && seen[-n]))
            continue;
        assert_string_equal(ljs_errname((ljs_err)n), "?");
        assert_string_equal(ljs_result_code((ljs_err)n, 10), "Other");
        assert_string_equal(ljs_result_code((ljs_err)n, 11), "Other");
        assert_non_null(ljs_strerror((ljs_err)n));
        assert_non_null(ljs_remedy((ljs_err)n));
    }
}

/* Written from the specification and the rules of the project, not from the table. */
static const struct {
    ljs_err err;
    const char *result_10, *result_11;
} wanted[] = {
    { LJS_E_MESSAGE, "MalformedRequest", "MalformedMessage" },
    { LJS_E_FRAME, "MalformedRequest", "MalformedMessage" },
    { LJS_E_SIZE, "FrameSizeError", "FrameSizeError" },
    { LJS_E_MIC, "MICFailed", "MICFailed" },
    { LJS_E_REPLAY, "JoinReqFailed", "FrameReplayed" },
    { LJS_E_DEVICE, "UnknownDevEUI", "UnknownDevEUI" },
    { LJS_E_BLOCKED, "ActivationDisallowed", "ActivationDisallowed" },
    { LJS_E_MOVED, "Other", "Other" },
    { LJS_E_LOT, "Other", "Other" },
    { LJS_E_HOME, "ActivationDisallowed", "ActivationDisallowed" },
    { LJS_E_JOINEUI, "JoinReqFailed", "JoinReqFailed" },
    { LJS_E_PROTOCOL, "InvalidProtocolVersion", "InvalidProtocolVersion" },
    { LJS_E_SENDER, "UnknownSender", "UnknownSender" },
    { LJS_E_RECEIVER, "UnkownReceiver", "UnknownReceiver" },
    { LJS_E_KEK, "JoinReqFailed", "JoinReqFailed" },
    { LJS_E_MAC, "JoinReqFailed", "JoinReqFailed" },
    { LJS_E_NOKEY, "JoinReqFailed", "JoinReqFailed" },
    { LJS_E_SPENT, "JoinReqFailed", "JoinReqFailed" },
    { LJS_E_SESSION, "Other", "Other" },
    { LJS_E_ROAMING, "NoRoamingAgreement", "NoRoamingAgreement" },
    { LJS_E_BUSY, "Deferred", "Deferred" },
    { LJS_E_CLAIM, "Other", "Other" },
    { LJS_E_LIMIT, "Other", "Other" },
};

static void check_code(const char *name, ljs_err err, const char *comment)
{
    const char *code_10 = ljs_result_code(err, 10), *code_11 = ljs_result_code(err, 11);
    const char *want_10 = "Other", *want_11 = "Other"; /* of every fault */
    ljs_err back;

    (void)name;
    (void)comment;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if (wanted[i].err == err) {
            want_10 = wanted[i].result_10;
            want_11 = wanted[i].result_11;
        }
    }
    assert_string_equal(code_10, want_10);
    assert_string_equal(code_11, want_11);

    /* The way back loses what a code does not tell, but never changes the code: in the
     * protocol it came in, or in the other where a code is only in one. */
    back = ljs_result_err(code_11);
    assert_true(!strcmp(ljs_result_code(back, 11), code_11) || !strcmp(ljs_result_code(back, 10), code_11));
    back = ljs_result_err(code_10);
    assert_true(back < -100);
    assert_string_equal(ljs_result_code(back, 10), code_10);
}

static void result_codes(void **state)
{
    (void)state;
    each_error(check_code);
    assert_int_equal(ljs_result_err("Success"), LJS_OK);
    assert_int_equal(ljs_result_err("UnkownReceiver"), LJS_E_RECEIVER);
    assert_int_equal(ljs_result_err("UnknownReceiver"), LJS_E_RECEIVER);
    assert_int_equal(ljs_result_err("MalformedRequest"), LJS_E_MESSAGE);
    assert_int_equal(ljs_result_err("MalformedMessage"), LJS_E_MESSAGE);
    assert_int_equal(ljs_result_err("FrameReplayed"), LJS_E_REPLAY);
    assert_int_equal(ljs_result_err("JoinReqFailed"), LJS_E_REPLAY);
}

static void codes_that_no_join_server_sends(void **state)
{
    static const char *const others[] = { "NoAction",
                                          "RoamingActDisallowed",
                                          "DevRoamingDisallowed",
                                          "UnknownDevAddr",
                                          "XmitFailed",
                                          "InvalidFPort",
                                          "StaleDeviceProfile",
                                          "success",
                                          "",
                                          "MICFailed ",
                                          "MICFaile" };

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(ljs_result_err(others[i]), LJS_E_MESSAGE);
    assert_int_equal(ljs_result_err(NULL), LJS_E_MESSAGE);
}

static void version(void **state)
{
    unsigned major, minor, patch;
    int end = 0;

    (void)state;
    assert_int_equal(sscanf(ljs_version(), "%u.%u.%u%n", &major, &minor, &patch, &end), 3);
    assert_int_equal(ljs_version()[end], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_its_row),
        cmocka_unit_test(numbers_without_meaning),
        cmocka_unit_test(result_codes),
        cmocka_unit_test(codes_that_no_join_server_sends),
        cmocka_unit_test(version),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
