/* Signs of a cloned device, and what looks like one and is none. */
#include "audit_world.h"

#include "contract/faulty.h"
#include "server/internal.h"

enum { REFUSALS = 5, WINDOW = 600, DAY = 86400 };
enum { START = 1700000000 };

static const ljs_server_opts watching = { .struct_size = sizeof watching,
                                          .audit = LJS_AUDIT_ON,
                                          .anonymous = 1,
                                          .clear = LJS_CLEAR_NS | LJS_CLEAR_AS,
                                          .alarm_window = WINDOW,
                                          .alarm_refusals = REFUSALS };
static struct world w;
static ljs_mac speaks; /* the device */

static int begin_as(ljs_mac mac, const ljs_server_opts *opts)
{
    ljs_device d = device_of(mac);

    speaks = mac;
    server_begin(&w, NULL, opts);
    added(&w, &d);
    return 0;
}

static int begin_counter(void **state)
{
    (void)state;
    return begin_as(LJS_MAC_1_0_4, &watching);
}

static int begin_random(void **state)
{
    (void)state;
    return begin_as(LJS_MAC_1_0_3, &watching);
}

static int begin_1_1(void **state)
{
    (void)state;
    return begin_as(LJS_MAC_1_1, &watching);
}

static int begin_off(void **state)
{
    (void)state;
    return begin_as(LJS_MAC_1_0_4, &lab);
}

static int end(void **state)
{
    (void)state;
    server_end(&w);
    return 0;
}

/* By network `sender`; what was noticed. */
static ljs_alarm sent(const ljs_join_req *req, const char *sender, int64_t now, const char *want)
{
    size_t events = w.events;

    ask(&w, now, join_text(&(struct say){ .sender = sender, .protocol = "1.1", .ns_id = "70b3d57ed0000001" }, req),
        want);
    assert_int_equal(w.events, events + 1);
    return (ljs_alarm)w.last.alarm;
}

static ljs_alarm joins_by(const char *sender, uint16_t nonce, int64_t now, const char *want)
{
    ljs_join_req req = join_req(speaks, nonce);

    return sent(&req, sender, now, want);
}

static ljs_alarm joins(uint16_t nonce, int64_t now)
{
    return joins_by("000013", nonce, now, "Success");
}

static ljs_alarm refused(uint16_t nonce, int64_t now)
{
    return joins_by("000013", nonce, now, "FrameReplayed");
}

static void forgets(void)
{
    assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_RESET_NONCES), LJS_OK);
}

static unsigned alarms_in_log(const char *text)
{
    static struct told t;
    unsigned n = 0;

    assert_int_equal(ljs_server_flush_audit(w.server, 0), LJS_OK);
    t = log_of(w.server);
    for (unsigned i = 0; i < t.entries; i++) {
        if (t.entry[i].kind != LJS_AUDIT_ALARM || strcmp(t.entry[i].text, text) != 0)
            continue;
        assert_true(t.entry[i].dev_eui == DEV);
        n++;
    }
    return n;
}

static void nothing_was_noticed(void)
{
    for (ljs_alarm alarm = LJS_ALARM_BACKWARD; alarm <= LJS_ALARM_NETWORK; alarm++) {
        assert_int_equal(ljs_server_alarms(w.server, alarm), 0);
        assert_int_equal(alarms_in_log(ljs_alarm_text(alarm)), 0);
    }
}

/* ---- what is noticed ---------------------------------------------------------- */

static void backward(void **state)
{
    ljs_event e;

    (void)state;
    joins(1000, START);
    for (uint16_t i = 0; i < REFUSALS; i++)
        assert_int_equal(refused(i, START + 100 + i), LJS_ALARM_NONE);
    assert_int_equal(refused(REFUSALS, START + 200), LJS_ALARM_BACKWARD);
    assert_int_equal(w.last.err, LJS_E_REPLAY); /* refused as it was, and no more */
    for (uint16_t i = 0; i < 20; i++)           /* once in a day */
        assert_int_equal(refused(100 + i, START + 300 + i), LJS_ALARM_NONE);
    for (uint16_t i = 0; i < REFUSALS; i++)
        assert_int_equal(refused(200 + i, START + 101 + DAY), LJS_ALARM_NONE);
    assert_int_equal(refused(300, START + 101 + DAY), LJS_ALARM_BACKWARD);
    assert_int_equal(ljs_server_alarms(w.server, LJS_ALARM_BACKWARD), 2);
    assert_int_equal(alarms_in_log("backward"), 2);
    joins(1001, START + 2 * DAY); /* who was noticed is answered as anybody */
    assert_int_equal(ljs_server_flush(w.server), LJS_OK);
    assert_int_equal(ljs_server_decision(&e, w.server, DEV, 0), LJS_OK);
    assert_int_equal(e.alarm, LJS_ALARM_BACKWARD);
    assert_int_equal(e.nonce, 300);
    assert_int_equal(ljs_server_decision(&e, w.server, DEV, 1), LJS_OK);
    assert_int_equal(e.alarm, LJS_ALARM_NONE);
}

static void backward_by_hundreds(void **state) /* more than one waits for a link of the log */
{
    (void)state;
    joins(5000, START);
    for (uint16_t i = 0; i < 4 * PENDING_MAX; i++)
        refused(i, START + 100);
    assert_int_equal(ljs_server_alarms(w.server, LJS_ALARM_BACKWARD), 1);
}

/* Two devices with one key: each joins by its own count, some hours apart. */
static void interleaved(void **state)
{
    (void)state;
    joins(100, START);
    joins(101, START + 3600); /* the clone, from where it was copied */
    assert_int_equal(refused(100, START + 7200), LJS_ALARM_NONE);
    joins(102, START + 7300);
    joins(103, START + 10000);
    assert_int_equal(refused(102, START + 14000), LJS_ALARM_NONE);
    joins(104, START + 14100);
    assert_int_equal(refused(103, START + 30 * DAY), LJS_ALARM_INTERLEAVED);
    assert_int_equal(alarms_in_log("interleaved"), 1);
    assert_int_equal(ljs_server_alarms(w.server, LJS_ALARM_INTERLEAVED), 1);
    assert_int_equal(ljs_server_alarms(w.server, LJS_ALARM_BACKWARD), 0);
}

static void two_networks(void **state)
{
    static struct told t;
    ljs_event e;

    (void)state;
    assert_int_equal(joins_by("000013", 7, START, "Success"), LJS_ALARM_NONE);
    assert_int_equal(joins_by("000024", 8, START + WINDOW - 1, "Success"), LJS_ALARM_NETWORK);
    assert_int_equal(joins_by("000024", 9, START + WINDOW, "Success"), LJS_ALARM_NONE);
    assert_int_equal(joins_by("000013", 10, START + 2 * WINDOW, "Success"), LJS_ALARM_NONE); /* it has moved */
    assert_int_equal(alarms_in_log("network"), 1);
    t = log_of(w.server);
    for (unsigned i = 0; i < t.entries; i++)
        if (t.entry[i].kind == LJS_AUDIT_ALARM) { /* of the same link, thus of the same transaction */
            assert_int_equal(t.entry[i - 1].kind, LJS_AUDIT_JOIN);
            assert_int_equal(t.link[i - 1].sequence, t.link[i].sequence);
            assert_int_equal(t.entry[i].nonce, 8);
            assert_int_equal(t.entry[i].net_id, 0x24);
            assert_int_equal(t.entry[i].join_nonce, t.entry[i - 1].join_nonce);
        }
    assert_int_equal(ljs_server_flush(w.server), LJS_OK);
    assert_int_equal(ljs_server_decision(&e, w.server, DEV, 0), LJS_OK);
    assert_true(e.err == LJS_OK && e.alarm == LJS_ALARM_NETWORK && e.net_id == 0x24 && e.nonce == 8);
    assert_int_equal(ljs_server_decision(&e, w.server, DEV, 1), LJS_E_NOTFOUND);
}

/* Every one of a whole batch: each has an entry for the join, and one for the alarm. */
static void a_batch_of_them(void **state)
{
    enum { ALL = 64 };
    static char texts[ALL][2048];
    ljs_call calls[ALL];
    ljs_audit_report *report;
    ljs_audit_totals totals;

    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < ALL; i++) {
            const ljs_frame frame = {
                .kind = LJS_FRAME_JOIN, .join_eui = EUI, .dev_eui = DEV + 1 + i, .nonce = (uint16_t)(1 + round)
            };
            ljs_join_req req = request(LJS_MAC_1_0_3);
            ljs_device d = device_of(LJS_MAC_1_0_3);

            d.dev_eui = frame.dev_eui;
            if (!round)
                added(&w, &d);
            set_phy(&req, &frame, nwk);
            strcpy(texts[i],
                   join_text(&(struct say){ .dev_eui = d.dev_eui, .sender = round ? "000024" : "000013" }, &req));
            calls[i] = (ljs_call){ .now = START + round, .in = (const uint8_t *)texts[i], .in_len = strlen(texts[i]) };
        }
        ljs_server_handle_batch(w.server, calls, ALL);
        for (unsigned i = 0; i < ALL; i++) {
            assert_int_equal(calls[i].err, LJS_OK);
            ljs_buf_free(&calls[i].out);
        }
    }
    assert_int_equal(ljs_server_alarms(w.server, LJS_ALARM_NETWORK), ALL);
    assert_int_equal(ljs_server_verify_audit(&report, w.server, NULL, 0), LJS_OK);
    assert_int_equal(ljs_audit_report_totals(&totals, report), LJS_OK);
    assert_int_equal(totals.entries, 1 + 1 + ALL + ALL + 2 * ALL); /* begin, devices, the first joins; join and alarm */
    assert_int_equal(totals.findings, 0);
    ljs_audit_report_free(report);
}

static void rejoin_counts(void **state)
{
    ljs_join_req req;
    ljs_buf record;
    ljs_session s;

    (void)state;
    joins(1, START);
    record = record_of(&w, DEV);
    s = read_session(&record, 0);
    ljs_buf_free(&record);
    req = rejoin1_req(EUI, 500);
    sent(&req, "000013", START + 100, "Success");
    for (uint16_t i = 0; i <= REFUSALS; i++) {
        req = rejoin1_req(EUI, i);
        assert_int_equal(sent(&req, "000013", START + 200, "FrameReplayed"),
                         i < REFUSALS ? LJS_ALARM_NONE : LJS_ALARM_BACKWARD);
    }
    /* RJcount0 is another count, and each session has one of its own. */
    req = rejoin02_req(LJS_FRAME_REJOIN0, &s, 300, nwk);
    sent(&req, "000013", START + 300, "Success");
    for (uint16_t i = 0; i <= REFUSALS; i++) {
        req = rejoin02_req(LJS_FRAME_REJOIN0, &s, i, nwk);
        assert_int_equal(sent(&req, "000013", START + 400, "FrameReplayed"),
                         i < REFUSALS ? LJS_ALARM_NONE : LJS_ALARM_BACKWARD);
    }
    assert_int_equal(alarms_in_log("backward"), 2);
}

/* ---- what is not --------------------------------------------------------------- */

static void random_nonces(void **state)
{
    (void)state;
    joins(60000, START);
    for (uint16_t i = 0; i < 40; i++)
        joins(i, START + 100 + i);
    for (uint16_t i = 0; i < 39; i++)
        refused(i, START + 1000 + i);
    nothing_was_noticed();
}

static void sent_again(void **state) /* by network servers and gateways, as often as they like */
{
    (void)state;
    joins(1000, START);
    for (unsigned i = 0; i < 50; i++)
        joins(1000, START + 100 + i); /* a repeat */
    for (unsigned i = 0; i < 50; i++)
        joins_by("000024", 1000, START + 200 + i, "FrameReplayed"); /* heard by another network as well */
    for (unsigned i = 0; i < 50; i++)
        refused(999, START + 300 + i); /* one that came late, over and over */
    nothing_was_noticed();
}

static void overtaken(void **state) /* each join by the one after it */
{
    (void)state;
    for (uint16_t i = 0; i < 30; i++) {
        joins(2 * i + 1, START + 1000 * i);
        refused(2 * i, START + 1000 * i + 5);
    }
    nothing_was_noticed();
}

static void reset_by_an_operator(void **state) /* lost its memory, tried a few times, was let in; and once more */
{
    static const uint16_t until[] = { 400, 100, 20, 9 };
    int64_t now = START;

    (void)state;
    for (size_t n = 0; n < COUNT(until); n++, now += 3600) {
        joins(until[n], now);
        for (uint16_t i = 0; i < REFUSALS; i++)
            refused(i, now + 100);
        forgets();
        joins(REFUSALS, now + 200);
    }
    nothing_was_noticed();
}

static void roaming(void **state)
{
    ljs_join_req req;

    (void)state;
    joins_by("000013", 1, START, "Success");
    for (uint16_t i = 0; i < 3; i++) { /* to and fro by rejoins, as a device that roams goes */
        req = rejoin1_req(EUI, i);
        assert_int_equal(sent(&req, i % 2 ? "000013" : "000024", START + 1 + i, "Success"), LJS_ALARM_NONE);
    }
    assert_int_equal(joins_by("000013", 2, START + 10, "Success"), LJS_ALARM_NONE); /* and back by a join */
    nothing_was_noticed();
}

static void bad_mics(void **state)
{
    (void)state;
    joins(1000, START);
    for (uint16_t i = 0; i < 50; i++) {
        ljs_join_req req = join_req(speaks, i);

        req.phy[req.phy_len - 1] ^= 1;
        sent(&req, "000013", START + 100 + i, "MICFailed");
    }
    nothing_was_noticed();
}

static void few_and_spread(void **state)
{
    (void)state;
    joins(1000, START);
    for (uint16_t day = 0; day < 20; day++)
        for (uint16_t i = 0; i < REFUSALS; i++)
            refused((uint16_t)(day * 10 + i), START + 100 + (int64_t)day * DAY);
    nothing_was_noticed();
}

static void without_a_time(void **state)
{
    (void)state;
    joins_by("000013", 1000, 0, "Success");
    joins_by("000024", 1001, 0, "Success");
    for (uint16_t i = 0; i < 50; i++)
        refused(i, 0);
    nothing_was_noticed();
}

static void switched_off(void **state)
{
    (void)state;
    joins_by("000013", 1000, START, "Success");
    joins_by("000024", 1001, START + 1, "Success");
    for (uint16_t i = 0; i < 50; i++)
        refused(i, START + 100);
    nothing_was_noticed();
}

/* ---- at rest ------------------------------------------------------------------- */

static uint8_t schema_of_decisions(void)
{
    struct key key = ljs__key_eui(SPACE_DECISION, DEV);
    uint64_t version;
    uint8_t schema;
    ljs_buf value;

    assert_int_equal(ljs_server_flush(w.server), LJS_OK);
    assert_int_equal(ljs_store_get(&value, &version, w.store, key.at, key.len), LJS_OK);
    schema = value.data[1]; /* behind the head of a short array */
    ljs_buf_free(&value);
    return schema;
}

/* A lorajs that knows of no alarm reads what it always could. */
static void schema_rises_with_the_first_alarm(void **state)
{
    (void)state;
    joins_by("000013", 1, START, "Success");
    refused(0, START + 100);
    assert_int_equal(schema_of_decisions(), 1);
    joins_by("000024", 2, START + 101, "Success");
    assert_int_equal(schema_of_decisions(), 2);
}

/* More devices than there are places: who is pushed out is not noticed, and nobody else suffers. */
static void more_than_there_are_places(void **state)
{
    enum { MANY = 2 * WATCHED_MAX };

    (void)state;
    for (unsigned i = 1; i <= MANY; i++) {
        const ljs_frame high = { .kind = LJS_FRAME_JOIN, .join_eui = EUI, .dev_eui = DEV + i, .nonce = 9 },
                        low = { .kind = LJS_FRAME_JOIN, .join_eui = EUI, .dev_eui = DEV + i, .nonce = 1 };
        struct say say = { .dev_eui = DEV + i };
        ljs_device d = device_of(LJS_MAC_1_0_4);
        ljs_join_req req = request(LJS_MAC_1_0_4);

        d.dev_eui = DEV + i;
        added(&w, &d);
        set_phy(&req, &high, nwk);
        ask(&w, START, join_text(&say, &req), "Success");
        set_phy(&req, &low, nwk);
        ask(&w, START + 100, join_text(&say, &req), "JoinReqFailed");
    }
    joins(1000, START + 200);
    for (uint16_t i = 0; i <= REFUSALS; i++)
        assert_int_equal(refused(i, START + 300 + i), i < REFUSALS ? LJS_ALARM_NONE : LJS_ALARM_BACKWARD);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(ljs_alarm_text(LJS_ALARM_NONE), "");
    assert_string_equal(ljs_alarm_text(LJS_ALARM_NETWORK), "network");
    assert_string_equal(ljs_alarm_text((ljs_alarm)(LJS_ALARM_NETWORK + 1)), "");
    assert_string_equal(ljs_audit_kind_text(LJS_AUDIT_ALARM), "alarm");
}

#define WITH(test, begin) cmocka_unit_test_setup_teardown(test, begin, end)

/* The commit is done, and said to have failed: the second try finds a repeat, of which there is nothing to tell. */
static void told_once_by_two_tries(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_4);
    ljs_store *inner, *store;
    struct faulty *f;

    (void)state;
    speaks = LJS_MAC_1_0_4;
    assert_int_equal(ljs_store_memory(&inner), LJS_OK);
    assert_int_equal(faulty_new(&store, &f, inner), LJS_OK);
    server_begin(&w, store, &watching);
    added(&w, &d);
    assert_int_equal(joins(1, START), LJS_ALARM_NONE);
    faulty_arm(f, FAULTY_COMMIT, 1, FAULT_AFTER, 0);
    assert_int_equal(joins_by("000014", 2, START + 10, "Success"), LJS_ALARM_NONE);
    assert_int_equal(w.last.repeat, 1);
    assert_int_equal(alarms_in_log("network"), 1);
    server_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(backward, begin_counter),
        WITH(backward_by_hundreds, begin_counter),
        WITH(interleaved, begin_counter),
        WITH(two_networks, begin_counter),
        WITH(two_networks, begin_random),
        WITH(a_batch_of_them, begin_counter),
        WITH(rejoin_counts, begin_1_1),
        WITH(random_nonces, begin_random),
        WITH(sent_again, begin_counter),
        WITH(overtaken, begin_counter),
        WITH(reset_by_an_operator, begin_counter),
        WITH(roaming, begin_1_1),
        WITH(bad_mics, begin_counter),
        WITH(few_and_spread, begin_counter),
        WITH(without_a_time, begin_counter),
        WITH(switched_off, begin_off),
        WITH(schema_rises_with_the_first_alarm, begin_counter),
        WITH(more_than_there_are_places, begin_counter),
        cmocka_unit_test(told_once_by_two_tries),
        cmocka_unit_test(names),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
