/* What stands on the dead stack of a thread that has answered messages: no octets of a key that an answer carries,
 * nor of one that somebody has sent. */
#include "server_world.h"

#include "dead_stack.h"

#include "base/secret.h"

enum { CALLS = 3, TEXT = 4096 };

static uint8_t sent[24]; /* drawn anew: nobody else has it on a stack */
static struct world w;
static ljs_call calls[CALLS];
static size_t calls_len;
static char texts[CALLS][TEXT];
static uint8_t id[16]; /* of the last session that an answer named */
static bool leak;

static void *at_work(void *arg)
{
    volatile uint8_t copy[4096]; /* its begin lies deep */

    (void)arg;
    (void)copy; /* gcc: only ever written */
    if (leak)
        for (size_t i = 0; i < sizeof sent; i++)
            copy[i] = sent[i];
    else
        ljs_server_handle_batch(w.server, calls, calls_len);
    return NULL;
}

static void ask(const char *text)
{
    assert_true(calls_len < CALLS && strlen(text) < TEXT);
    strcpy(texts[calls_len], text);
    calls[calls_len] = (ljs_call){ .now = 1700000000, .in = (const uint8_t *)texts[calls_len], .in_len = strlen(text) };
    calls_len++;
}

/* Gives the number of keys that the answers had. */
static unsigned answered(void)
{
    uint8_t *stack = stack_after(at_work, NULL);
    char digits[2 * sizeof sent + 1];
    unsigned keys = 0;

    hex_of(digits, sent, sizeof sent);
    assert_false(holds(stack, sent, sizeof sent));
    assert_false(holds(stack, digits, sizeof digits - 1));
    for (size_t i = 0; i < calls_len; i++) {
        ljs_message msg;

        assert_int_equal(ljs_message_parse(&msg, calls[i].out.data, calls[i].out.len), LJS_OK);
        for (const ljs_envelope *const *e =
                 (const ljs_envelope *const[]){ &msg.nwk_s, &msg.f_nwk_s_int, &msg.s_nwk_s_int, &msg.nwk_s_enc,
                                                &msg.app_s, NULL };
             *e; e++) {
            assert_false(holds(stack, (*e)->key, (*e)->key_len));
            keys += (*e)->key_len > 0;
        }
        if (msg.session_key_id_len == sizeof id)
            memcpy(id, msg.session_key_id, sizeof id);
        ljs_buf_free(&calls[i].out);
    }
    free(stack);
    calls_len = 0;
    return keys;
}

static void test_keys_of_answers(void **state)
{
    static const ljs_mac macs[] = { LJS_MAC_1_0_3, LJS_MAC_1_1 };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(macs); i++) {
        ljs_join_req req[] = { join_req(macs[i], 7), join_req(macs[i], 8), join_req(macs[i], 9) };
        unsigned each = macs[i] == LJS_MAC_1_1 ? 4 : 2;
        ljs_device d = device_of(macs[i]);

        strcpy(d.as_id, "as");
        lab_begin(&w, NULL);
        added(&w, &d);
        ask(join_text(&(struct say){ 0 }, &req[0]));
        assert_int_equal(answered(), each);
        ask(join_text(&(struct say){ 0 }, &req[0])); /* a repeat */
        assert_int_equal(answered(), each);
        for (size_t k = 0; k < COUNT_OF(req); k++) /* one after another, since all are of one device */
            ask(join_text(&(struct say){ 0 }, &req[k]));
        assert_int_equal(answered(), 3 * each);
        ask(app_s_key_text(&(struct say){ .sender = "as" }, id, sizeof id));
        assert_int_equal(answered(), 1);
        server_end(&w);
    }
}

/* Where no key belongs, where one does, and in what is no message at all. */
static void test_keys_that_were_sent(void **state)
{
    static const char *const extras[] = {
        "\"NwkSKey\":{\"KEKLabel\":\"\",\"AESKey\":\"%s\"}",
        "\"AppSKey\":{\"KEKLabel\":\"x\",\"AESKey\":\"%s\"},\"Result\":{\"ResultCode\":\"Success\"}",
        "\"AppSKey\":{\"AESKey\":\"%s\",\"AESKey\":\"\"}",
        "\"AppSKey\":{\"AESKey\":\"%s\",\"KEKLabel\":7}",
        "\"VSExtension\":{\"AESKey\":\"%s\"}",
        "\"AppSKey\":{\"KEKLabel\":\"%s\"}",
        "\"FNwkSIntKey\":{\"AESKey\":\"%s\"},\"MACVersion\":\"9\"",
        "\"FNwkSIntKey\":{\"AESKey\":\"%s\"},",
    };
    static const char *const types[] = { "JoinReq", "JoinAns", "AppSKeyAns", "HomeNSReq", "None" };
    char digits[2 * sizeof sent + 1], escaped[2 * sizeof sent + 6], extra[512];
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 7);
    ljs_device d = device_of(LJS_MAC_1_0_3);

    (void)state;
    hex_of(digits, sent, sizeof sent);
    snprintf(escaped, sizeof escaped, "\\u00%02x%s", (unsigned char)digits[0], digits + 1); /* which yajl copies */
    lab_begin(&w, NULL);
    added(&w, &d);
    for (size_t i = 0; i < COUNT_OF(extras); i++)
        for (size_t k = 0; k < COUNT_OF(types); k++)
            for (int copied = 0; copied < 2; copied++) {
                const struct say say = { .type = types[k], .extra = extra };

                snprintf(extra, sizeof extra, extras[i], copied ? escaped : digits);
                ask(join_text(&say, &req));
                (void)answered();
                ask(home_text(&say));
                ask(home_text(&say));
                (void)answered();
            }
    server_end(&w);
}

static void test_what_is_left_is_found(void **state)
{
    uint8_t *stack;

    (void)state;
    leak = true;
    stack = stack_after(at_work, NULL);
    leak = false;
    assert_true(holds(stack, sent, sizeof sent));
    free(stack);
}

static int begin(void **state)
{
    int failed = world_begin(state);

    ljs__random(sent, sizeof sent);
    return failed;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_left_is_found),
        cmocka_unit_test(test_keys_of_answers),
        cmocka_unit_test(test_keys_that_were_sent),
    };

    return cmocka_run_group_tests(tests, begin, world_end);
}
