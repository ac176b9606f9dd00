/* Members are told apart by their names whole, in whatever order they come, and however their names are written. */
#include <lorajs/message.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define KEY          "{\"KEKLabel\":\"a\",\"AESKey\":\"000102030405060708090a0b0c0d0e0f\"}"

struct member {
    const char *name, *value;
};

/* Between them all members that there are. */
static const struct member request[] = {
    { "ProtocolVersion", "\"1.1\"" },
    { "SenderID", "\"42FFFF\"" },
    { "ReceiverID", "\"70B3D57ED0000000\"" },
    { "TransactionID", "7" },
    { "MessageType", "\"JoinReq\"" },
    { "SenderNSID", "\"70b3d57ed0000001\"" },
    { "ReceiverNSID", "\"70b3d57ed0000002\"" },
    { "ReceiverToken", "\"0102\"" },
    { "SenderToken", "\"0304\"" },
    { "MACVersion", "\"1.0.3\"" },
    { "PHYPayload", "\"00000000D07ED5B370080706050403020100003851F0B6\"" },
    { "DevEUI", "\"0102030405060708\"" },
    { "DevAddr", "\"01020304\"" },
    { "DLSettings", "\"05\"" },
    { "RxDelay", "6" },
    { "CFList", "\"101112131415161718191a1b1c1d1e1f\"" },
};
static const struct member join_answer[] = {
    { "ProtocolVersion", "\"1.1\"" },
    { "SenderID", "\"70B3D57ED0000000\"" },
    { "ReceiverID", "\"42FFFF\"" },
    { "TransactionID", "7" },
    { "MessageType", "\"JoinAns\"" },
    { "PHYPayload", "\"20ff\"" },
    { "Result", "{\"ResultCode\":\"Success\",\"Description\":\"well\"}" },
    { "Lifetime", "9" },
    { "SNwkSIntKey", KEY },
    { "FNwkSIntKey", KEY },
    { "NwkSEncKey", KEY },
    { "NwkSKey", KEY },
    { "AppSKey", KEY },
    { "SessionKeyID", "\"0a0b\"" },
};
static const struct member home_answer[] = {
    { "ProtocolVersion", "\"1.1\"" },   { "SenderID", "\"70B3D57ED0000000\"" },
    { "ReceiverID", "\"42FFFF\"" },     { "TransactionID", "7" },
    { "MessageType", "\"HomeNSAns\"" }, { "Result", "{\"ResultCode\":\"Success\"}" },
    { "HNetID", "\"42ffff\"" },         { "HNSID", "\"70b3d57ed0000003\"" },
};
static const struct {
    const struct member *members;
    size_t count;
} messages[] = { { request, COUNT(request) },
                 { join_answer, COUNT(join_answer) },
                 { home_answer, COUNT(home_answer) } };

struct text {
    char octets[4096];
    size_t len;
};

static void add(struct text *text, const char *name, const char *value)
{
    text->len += (size_t)snprintf(text->octets + text->len, sizeof text->octets - text->len, "%c\"%s\":%s",
                                  text->len ? ',' : '{', name, value);
    assert_true(text->len + 2 < sizeof text->octets);
}

static ljs_err parse(ljs_message *out, struct text *text)
{
    text->octets[text->len++] = '}';
    return ljs_message_parse(out, (const uint8_t *)text->octets, text->len);
}

/* The message `m`, its members from number `first` on and then the others, each `step` behind the one before. */
static void parse_in_order(ljs_message *out, size_t m, size_t first, size_t step)
{
    struct text text = { .len = 0 };

    for (size_t i = 0, at = first; i < messages[m].count; i++, at = (at + step) % messages[m].count)
        add(&text, messages[m].members[at].name, messages[m].members[at].value);
    assert_int_equal(parse(out, &text), LJS_OK);
    assert_int_equal(out->err, LJS_OK);
}

/* What comes out of parsing is compared as it is: no octet is left as it was. */
static void any_order(void **state)
{
    (void)state;
    for (size_t m = 0; m < COUNT(messages); m++) {
        ljs_message want, have;

        parse_in_order(&want, m, 0, 1);
        for (size_t first = 0; first < messages[m].count; first++) {
            parse_in_order(&have, m, first, 1);
            assert_memory_equal(&have, &want, sizeof have);
            parse_in_order(&have, m, first, messages[m].count - 1); /* backwards */
            assert_memory_equal(&have, &want, sizeof have);
        }
    }
}

/* Each member's name written otherwise: where `same`, in its place, else as one more member that is none of ours,
 * ahead of all and behind them. */
static void written_as(const char *(*other)(char *room, const char *name, size_t at), bool same)
{
    for (size_t m = 0; m < COUNT(messages); m++)
        for (size_t i = 0; i < messages[m].count; i++) {
            const struct member *member = &messages[m].members[i];

            for (size_t at = 0; at < strlen(member->name); at++) {
                ljs_message want, have;
                char room[128];
                const char *name = other(room, member->name, at);

                parse_in_order(&want, m, 0, 1);
                for (int behind = 0; behind < 2; behind++) {
                    struct text text = { .len = 0 };

                    if (!same && !behind)
                        add(&text, name, "false");
                    for (size_t k = 0; k < messages[m].count; k++)
                        add(&text, same && k == i ? name : messages[m].members[k].name, messages[m].members[k].value);
                    if (!same && behind)
                        add(&text, name, "false");
                    assert_int_equal(parse(&have, &text), LJS_OK);
                    if (memcmp(&have, &want, sizeof have) != 0)
                        fail_msg("%.*s", (int)text.len, text.octets);
                }
                if (same) { /* and then it stands there twice */
                    struct text text = { .len = 0 };

                    add(&text, member->name, member->value);
                    add(&text, name, member->value);
                    assert_int_equal(parse(&have, &text), LJS_E_MESSAGE);
                }
            }
        }
}

static const char *escaped(char *room, const char *name, size_t at)
{
    sprintf(room, "%.*s\\u%04X%s", (int)at, name, (unsigned)name[at], name + at + 1);
    return room;
}

static const char *in_other_case(char *room, const char *name, size_t at)
{
    strcpy(room, name);
    room[at] ^= 0x20;
    return room;
}

static const char *cut_off(char *room, const char *name, size_t at)
{
    sprintf(room, "%.*s", (int)at, name);
    return room;
}

static const char *longer(char *room, const char *name, size_t at)
{
    sprintf(room, "%s%.*s", name, 1 + (int)(at * 5),
            "SenderIDSenderIDSenderIDSenderIDSenderIDSenderIDSenderIDSenderIDSenderID");
    return room;
}

static void escapes_are_read(void **state)
{
    (void)state;
    written_as(escaped, true);
}

static void near_names_are_others(void **state)
{
    (void)state;
    written_as(in_other_case, false);
    written_as(cut_off, false);
    written_as(longer, false);
}

static void inside_too(void **state)
{
    static const char *const near_ones[] = { "AESKe",       "AESKeyS",      "aESKey",
                                             "KEKLabels",   "KEKLabe",      "ResultCod",
                                             "ResultCodes", "Descriptions", "AESKey4567890123456" };
    ljs_message want, have;

    (void)state;
    parse_in_order(&want, 1, 0, 1);
    for (size_t i = 0; i < COUNT(near_ones); i++)
        for (size_t k = 6; k < COUNT(join_answer); k++) {
            struct text text = { .len = 0 };
            char value[256];

            if (join_answer[k].value[0] != '{')
                continue;
            snprintf(value, sizeof value, "{\"%s\":0,%s", near_ones[i], join_answer[k].value + 1);
            for (size_t n = 0; n < COUNT(join_answer); n++)
                add(&text, join_answer[n].name, n == k ? value : join_answer[n].value);
            assert_int_equal(parse(&have, &text), LJS_OK);
            if (memcmp(&have, &want, sizeof have) != 0)
                fail_msg("%.*s", (int)text.len, text.octets);
        }
}

/* What is inside of an extension is nobody's, whatever its name, and wherever it stands. */
static void not_elsewhere(void **state)
{
    static const char inner[] = "{\"KEKLabel\":\"x\",\"AESKey\":\"ffffffffffffffffffffffffffffffff\",\"ResultCode\":"
                                "\"Other\",\"Description\":\"y\",\"SenderID\":\"000000\"}";
    static const char *const forms[] = { "%s", "[%s]", "{\"AppSKey\":%s}" };

    (void)state;
    for (size_t m = 0; m < COUNT(messages); m++)
        for (size_t at = 0; at <= messages[m].count; at++)
            for (size_t i = 0; i < COUNT(forms); i++) {
                struct text text = { .len = 0 };
                ljs_message want, have;
                char value[256];

                parse_in_order(&want, m, 0, 1);
                snprintf(value, sizeof value, forms[i], inner);
                for (size_t n = 0; n <= messages[m].count; n++) {
                    if (n == at)
                        add(&text, "VSExtension", value);
                    if (n < messages[m].count)
                        add(&text, messages[m].members[n].name, messages[m].members[n].value);
                }
                assert_int_equal(parse(&have, &text), LJS_OK);
                if (memcmp(&have, &want, sizeof have) != 0)
                    fail_msg("%.*s", (int)text.len, text.octets);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order),  cmocka_unit_test(escapes_are_read), cmocka_unit_test(near_names_are_others),
        cmocka_unit_test(inside_too), cmocka_unit_test(not_elsewhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
