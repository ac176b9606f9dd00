/* The audit log, as it is written. */
#include "audit_world.h"

#include "contract/faulty.h"
#include "server/internal.h"

static const ljs_server_opts kept = { .struct_size = sizeof kept, .audit = LJS_AUDIT_ON };
static const ljs_server_opts as_store = { .struct_size = sizeof as_store };

static void check_kinds(const struct told *t, const ljs_audit_kind *want, size_t n)
{
    assert_int_equal(t->entries, n);
    for (size_t i = 0; i < n; i++)
        if (t->entry[i].kind != want[i])
            fail_msg("entry %zu is %s, not %s", i, ljs_audit_kind_text(t->entry[i].kind), ljs_audit_kind_text(want[i]));
}
#define KINDS(t, ...)                                                                                                  \
    check_kinds(&(t), (const ljs_audit_kind[]){ __VA_ARGS__ }, COUNT(((const ljs_audit_kind[]){ __VA_ARGS__ })))

static void acts_are_entries(void **state)
{
    struct world w;
    struct told t;
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_buf record;

    (void)state;
    server_begin(&w, NULL, &kept);
    assert_int_equal(ljs_server_set_actor(w.server, 1700000000, "ana"), LJS_OK);
    added(&w, &d);
    assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_BLOCK), LJS_OK);
    assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_BLOCK), LJS_E_STATE); /* no change, no entry */
    assert_int_equal(ljs_server_put_kek(w.server, "k", ns_kek, 0), LJS_OK);
    assert_int_equal(ljs_server_put_kek(w.server, "k", ns_kek, 0), LJS_OK);
    assert_int_equal(ljs_server_del_kek(w.server, "k"), LJS_OK);
    assert_int_equal(ljs_server_note(w.server, LJS_AUDIT_EXPORT, DEV, LJS_OK, "to the partner"), LJS_OK);
    t = log_of(w.server);
    KINDS(t, LJS_AUDIT_BEGIN, LJS_AUDIT_DEVICE_MAKE, LJS_AUDIT_BLOCK, LJS_AUDIT_KEK_PUT, LJS_AUDIT_KEK_REMOVE,
          LJS_AUDIT_EXPORT);
    for (unsigned i = 1; i < t.entries; i++) {
        assert_string_equal(t.entry[i].who, "ana");
        assert_int_equal(t.link[i].at, 1700000000);
        assert_true(t.link[i].writer == t.link[0].writer && t.link[i].sequence == i);
        assert_memory_equal(t.link[i].before, t.link[i - 1].tag, 16);
    }
    assert_false(t.entry[1].has_before);
    assert_memory_equal(t.entry[1].after, t.entry[2].before, 16);
    record = record_of(&w, DEV);
    assert_memory_equal(t.entry[2].after, record.data + record.len - 16, 16);
    ljs_buf_free(&record);
    assert_string_equal(t.entry[3].text, "k");
    assert_true(t.entry[5].dev_eui == DEV);
    assert_string_equal(t.entry[5].text, "to the partner");
    server_end(&w);
}

static void notes_have_no_room_for_a_key(void **state)
{
    static const char *const bad[] = { "000102030405060708090a0b0c0d0e0f", "k=000102030405060708090A0B0C0D0E0F;",
                                       "a\nb", NULL };
    struct world w;

    (void)state;
    server_begin(&w, NULL, &kept);
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(ljs_server_note(w.server, LJS_AUDIT_NOTE, 0, LJS_OK, bad[i]), LJS_E_INVAL);
    assert_int_equal(ljs_server_note(w.server, LJS_AUDIT_JOIN, 0, LJS_OK, "x"), LJS_E_INVAL);
    assert_int_equal(ljs_server_note(w.server, (ljs_audit_kind)200, 0, LJS_OK, "x"), LJS_E_INVAL);
    assert_int_equal(ljs_server_note(w.server, LJS_AUDIT_NOTE, 0, LJS_OK, "0102030405060708 of 0102030405060708"),
                     LJS_OK);
    assert_int_equal(log_of(w.server).links, 2);
    server_end(&w);
}

/* A store goes on as it was told to, whoever opens it. */
static void the_store_says_whether(void **state)
{
    const ljs_server_opts unless = { .struct_size = sizeof unless, .audit = LJS_AUDIT_UNLESS_OFF };
    const ljs_server_opts off = { .struct_size = sizeof off, .audit = LJS_AUDIT_SWITCH_OFF };
    const struct {
        const ljs_server_opts *opts;
        unsigned more; /* links: of the note, and what goes with it */
    } steps[] = {
        { &as_store, 0 }, { &off, 0 },    { &unless, 3 }, /* BEGIN, the note, END */
        { &as_store, 2 }, { &unless, 2 }, { &kept, 2 },   { &off, 1 }, { &as_store, 0 }, { &unless, 0 }, { &kept, 3 },
    };
    ljs_server *server;
    ljs_store *store;
    unsigned links = 0;

    (void)state;
    assert_int_equal(ljs_store_memory(&store), LJS_OK);
    for (size_t i = 0; i < COUNT(steps); i++) {
        assert_int_equal(ljs_server_new(&server, vault, store, steps[i].opts), LJS_OK);
        assert_int_equal(ljs_server_note(server, LJS_AUDIT_NOTE, 0, LJS_OK, "x"), LJS_OK);
        ljs_server_free(server);
        assert_int_equal(ljs_server_new(&server, vault, store, NULL), LJS_OK);
        links += steps[i].more;
        if (log_of(server).links != links)
            fail_msg("after step %zu %u links, not %u", i, log_of(server).links, links);
        ljs_server_free(server);
    }
    ljs_store_free(store);
}

static void records_of_before_are_found(void **state)
{
    struct world w;
    struct told t;
    ljs_store *store;
    ljs_device d = device_of(LJS_MAC_1_0_3);

    (void)state;
    assert_int_equal(ljs_store_memory(&store), LJS_OK);
    server_begin(&w, store, &as_store);
    added(&w, &d);
    ljs_server_free(w.server);
    server_begin(&w, store, &kept);
    assert_int_equal(ljs_server_note(w.server, LJS_AUDIT_NOTE, 0, LJS_OK, "x"), LJS_OK);
    t = log_of(w.server);
    KINDS(t, LJS_AUDIT_BEGIN, LJS_AUDIT_FOUND, LJS_AUDIT_NOTE);
    assert_true(t.entry[1].dev_eui == DEV && t.entry[1].has_after);
    server_end(&w);
}

/* Whatever the store makes of a commit, the chain that is there leads from link to link. */
static void faults_break_no_chain(void **state)
{
    (void)state;
    for (enum fault fault = FAULT_BEFORE; fault < FAULTS; fault++)
        for (unsigned every = 1; every < 4; every++) {
            struct faulty *control;
            ljs_store *inner, *store;
            struct world w;
            struct told t;
            unsigned notes = 0;

            assert_int_equal(ljs_store_memory(&inner), LJS_OK);
            assert_int_equal(faulty_new(&store, &control, inner), LJS_OK);
            server_begin(&w, store, &kept);
            assert_int_equal(ljs_server_note(w.server, LJS_AUDIT_NOTE, 0, LJS_OK, "x"), LJS_OK);
            faulty_arm(control, FAULTY_COMMIT, every, fault, true);
            for (unsigned i = 0; i < 8; i++)
                notes += !ljs_server_note(w.server, LJS_AUDIT_NOTE, 0, LJS_OK, "x");
            faulty_arm(control, FAULTY_COMMIT, 1, FAULT_NONE, false);
            assert_int_equal(ljs_server_note(w.server, LJS_AUDIT_NOTE, 0, LJS_OK, "x"), LJS_OK);
            t = log_of(w.server);
            assert_true(t.links >= notes + 3);
            for (unsigned i = 1; i < t.entries; i++) {
                assert_true(t.link[i].writer == t.link[0].writer && t.link[i].sequence == i);
                assert_memory_equal(t.link[i].before, t.link[i - 1].tag, 16);
            }
            server_end(&w);
        }
}

/* ---- messages --------------------------------------------------------------- */

static void joins_are_entries(void **state)
{
    struct world w;
    struct told t;
    ljs_buf record;

    (void)state;
    server_begin(&w, NULL, &lab);
    add_devices(&w, 1);
    ask(&w, 1700000000, join_of(0, 7, false), "Success");
    ask(&w, 1700000001, join_of(0, 7, false), "Success");       /* the same again */
    ask(&w, 1700000002, join_of(0, 8, false), "Success");       /* takes it along */
    ask(&w, 1700000003, join_of(0, 7, false), "JoinReqFailed"); /* a nonce of old, with a good MIC */
    t = log_of(w.server);
    KINDS(t, LJS_AUDIT_BEGIN, LJS_AUDIT_DEVICE_MAKE, LJS_AUDIT_JOIN, LJS_AUDIT_JOIN, LJS_AUDIT_REPEAT);
    assert_true(t.entry[2].dev_eui == DEV && t.entry[2].join_nonce == 1 && t.entry[2].nonce == 7 &&
                t.entry[2].net_id == NET && t.link[2].at == 1700000000);
    assert_true(t.entry[3].join_nonce == 2 && t.entry[3].nonce == 8 && t.link[4].sequence == t.link[3].sequence);
    assert_memory_equal(t.entry[1].after, t.entry[2].before, 16);
    assert_memory_equal(t.entry[2].after, t.entry[3].before, 16);
    record = record_of(&w, DEV);
    assert_memory_equal(t.entry[3].after, record.data + record.len - 16, 16);
    ljs_buf_free(&record);
    ask(&w, 1700000004, join_of(0, 9, false), "Success");
    t = log_of(w.server);
    assert_int_equal(t.entry[6].kind, LJS_AUDIT_JOIN);
    assert_int_equal(t.entry[6].err, LJS_E_REPLAY);
    assert_true(t.entry[6].nonce == 7 && !t.entry[6].has_after);
    server_end(&w);
}

/* Whoever sends a thousand forged joins makes one entry a minute. */
static void forged_joins_are_counted(void **state)
{
    struct world w;
    struct told t;

    (void)state;
    server_begin(&w, NULL, &lab);
    add_devices(&w, 1);
    for (unsigned i = 0; i < 1000; i++)
        ask(&w, 1700000000 + i / 20, join_of(0, (uint16_t)i, true), "MICFailed");
    assert_int_equal(log_of(w.server).links, 2); /* BEGIN, and the device */
    ask(&w, 1700000061, join_of(0, 1, true), "MICFailed");
    t = log_of(w.server);
    KINDS(t, LJS_AUDIT_BEGIN, LJS_AUDIT_DEVICE_MAKE, LJS_AUDIT_REFUSED);
    assert_int_equal(t.entry[2].count, 1001);
    assert_int_equal(t.entry[2].err, LJS_E_MIC);
    ask(&w, 1700000062, join_of(0, 1, true), "MICFailed");
    assert_int_equal(ljs_server_flush_audit(w.server, 1700000063), LJS_OK);
    assert_int_equal(log_of(w.server).links, 3);
    assert_int_equal(ljs_server_flush_audit(w.server, 0), LJS_OK);
    assert_int_equal(ljs_server_flush_audit(w.server, 0), LJS_OK);
    t = log_of(w.server);
    assert_int_equal(t.links, 4);
    assert_int_equal(t.entry[3].count, 1);
    server_end(&w);
}

/* Replays take as much room as there is. */
static void replays_are_bounded(void **state)
{
    struct world w;
    struct told t;

    (void)state;
    server_begin(&w, NULL, &lab);
    add_devices(&w, 1);
    ask(&w, 1700000000, join_of(0, 1, false), "Success");
    ask(&w, 1700000000, join_of(0, 2, false), "Success");
    for (unsigned i = 0; i < 2 * PENDING_MAX; i++)
        ask(&w, 1700000001, join_of(0, 1, false), "JoinReqFailed");
    assert_int_equal(log_of(w.server).links, 4);
    assert_int_equal(ljs_server_flush_audit(w.server, 0), LJS_OK);
    t = log_of(w.server);
    assert_int_equal(t.links, 5);
    assert_int_equal(t.entries, 4 + PENDING_MAX + 1);
    assert_int_equal(t.entry[t.entries - 1].kind, LJS_AUDIT_MISSED);
    assert_int_equal(t.entry[t.entries - 1].count, PENDING_MAX);
    server_end(&w);
}

/* A server that has not seen yet whether a log is kept writes what waits for it all the same. */
static void a_refusal_is_the_first_to_wait(void **state)
{
    ljs_server_opts opts = lab;
    struct world w;
    unsigned links;

    (void)state;
    server_begin(&w, NULL, &opts);
    add_devices(&w, 1);
    ljs_server_free(w.server);
    opts.audit = LJS_AUDIT_AS_STORE;
    assert_int_equal(ljs_server_new(&w.server, vault, w.store, &opts), LJS_OK);
    ask(&w, 1700000000, join_of(0, 1, true), "MICFailed");
    links = count_links(w.server);
    assert_int_equal(ljs_server_flush_audit(w.server, 0), LJS_OK);
    assert_int_equal(count_links(w.server), links + 1);
    server_end(&w);
}

/* A batch has one link; where another server was first at one of its devices, each has its own, and
 * they say exactly what was done. */
struct rival {
    ljs_store *inner;
    ljs_server *server;
    bool armed;
};

static ljs_err rival_get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    return ljs_store_get(out, version, ((struct rival *)self)->inner, key, key_len);
}

static ljs_err rival_commit(void *self, ljs_change *changes, size_t changes_len)
{
    struct rival *r = self;

    if (r->armed) {
        r->armed = false;
        assert_int_equal(ljs_server_step_device(r->server, DEV + 1, LJS_DEVICE_BLOCK), LJS_OK);
    }
    return ljs_store_commit(r->inner, changes, changes_len);
}

static ljs_err rival_each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    return ljs_store_each(((struct rival *)self)->inner, prefix, prefix_len, row, user);
}

static void a_batch_has_one_link(void **state)
{
    const ljs_store_ops ops = {
        .struct_size = sizeof ops, .get = rival_get, .commit = rival_commit, .each = rival_each
    };
    enum { N = 3 };
    struct rival rival = { 0 };
    char text[N][1024];
    ljs_call calls[N];
    ljs_store *store;
    struct world w;
    struct told t;

    (void)state;
    assert_int_equal(ljs_store_memory(&rival.inner), LJS_OK);
    assert_int_equal(ljs_store_custom(&store, &ops, &rival), LJS_OK);
    server_begin(&w, store, &lab);
    assert_int_equal(ljs_server_new(&rival.server, vault, rival.inner, NULL), LJS_OK); /* as the store says */
    add_devices(&w, N);
    for (unsigned round = 0; round < 2; round++) {
        rival.armed = round;
        for (unsigned i = 0; i < N; i++) {
            strcpy(text[i], join_of(i, (uint16_t)(round + 1), false));
            calls[i] = (ljs_call){ .now = 1700000000, .in = (const uint8_t *)text[i], .in_len = strlen(text[i]) };
        }
        ljs_server_handle_batch(w.server, calls, N);
        for (unsigned i = 0; i < N; i++) {
            assert_int_equal(calls[i].err, LJS_OK);
            ljs_buf_free(&calls[i].out);
        }
    }
    ljs_server_free(rival.server);
    t = log_of(w.server);
    /* BEGIN; three devices; the first batch as one; of the second two, each alone; and the rival's own chain */
    assert_int_equal(t.links, 1 + N + 1 + 2 + 2);
    for (unsigned i = 0, joins = 0, blocks = 0; i < t.entries; i++) {
        joins += t.entry[i].kind == LJS_AUDIT_JOIN;
        blocks += t.entry[i].kind == LJS_AUDIT_BLOCK;
        if (i + 1 == t.entries)
            assert_true(joins == 5 && blocks == 1);
    }
    server_end(&w);
    ljs_store_free(rival.inner);
}

/* What waited and could not be written waits on, and is told once. */
static void a_fault_loses_nothing_that_waited(void **state)
{
    unsigned refused = 0, repeats = 0;
    struct faulty *faulty;
    ljs_store *inner, *store;
    struct told log;
    struct world w;

    (void)state;
    assert_int_equal(ljs_store_memory(&inner), LJS_OK);
    assert_int_equal(faulty_new(&store, &faulty, inner), LJS_OK);
    server_begin(&w, store, &lab);
    add_devices(&w, 1);
    ask(&w, 1700000000, join_of(0, 1, false), "Success");
    ask(&w, 1700000001, join_of(0, 1, false), "Success");
    ask(&w, 1700000001, join_of(0, 2, true), "MICFailed");
    faulty_arm(faulty, FAULTY_COMMIT, 1, FAULT_BEFORE, 0);
    assert_int_equal(ljs_server_flush_audit(w.server, 1700000100), LJS_E_STORE);
    assert_int_equal(ljs_server_flush_audit(w.server, 1700000200), LJS_OK);
    log = log_of(w.server);
    for (unsigned i = 0; i < log.entries; i++) {
        refused += log.entry[i].kind == LJS_AUDIT_REFUSED ? log.entry[i].count : 0;
        repeats += log.entry[i].kind == LJS_AUDIT_REPEAT;
    }
    assert_int_equal(refused, 1);
    assert_int_equal(repeats, 1);
    server_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acts_are_entries),
        cmocka_unit_test(notes_have_no_room_for_a_key),
        cmocka_unit_test(the_store_says_whether),
        cmocka_unit_test(records_of_before_are_found),
        cmocka_unit_test(faults_break_no_chain),
        cmocka_unit_test(joins_are_entries),
        cmocka_unit_test(forged_joins_are_counted),
        cmocka_unit_test(replays_are_bounded),
        cmocka_unit_test(a_refusal_is_the_first_to_wait),
        cmocka_unit_test(a_batch_has_one_link),
        cmocka_unit_test(a_fault_loses_nothing_that_waited),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
