/* The audit log, as it is written. */
#include "server_world.h"

#include "contract/faulty.h"
#include "server/internal.h"

static const ljs_server_opts kept = { .struct_size = sizeof kept, .audit = LJS_AUDIT_ON };
static const ljs_server_opts as_store = { .struct_size = sizeof as_store };

/* The log as words: "writer:sequence kind ..." without the writer's number. */
struct told {
    ljs_server *server;
    unsigned links, entries;
    ljs_audit_entry entry[64];
    ljs_audit_link link[64]; /* of each entry */
};

static ljs_err tell(void *user, uint64_t writer, uint64_t sequence)
{
    struct told *t = user;
    ljs_audit_link link;
    ljs_buf octets;

    assert_int_equal(ljs_server_get_link(&octets, t->server, writer, sequence), LJS_OK);
    assert_int_equal(ljs_audit_link_read(&link, octets.data, octets.len), LJS_OK);
    assert_true(link.writer == writer && link.sequence == sequence);
    for (unsigned i = 0; i < link.entries; i++) {
        assert_true(t->entries < COUNT(t->entry));
        t->link[t->entries] = link;
        assert_int_equal(ljs_audit_link_entry(&t->entry[t->entries++], i, octets.data, octets.len), LJS_OK);
    }
    assert_int_equal(ljs_audit_link_entry(&t->entry[t->entries], link.entries, octets.data, octets.len),
                     LJS_E_NOTFOUND);
    t->links++;
    ljs_buf_free(&octets);
    return LJS_OK;
}

static struct told log_of(ljs_server *server)
{
    struct told t = { .server = server };

    assert_int_equal(ljs_server_each_link(server, tell, &t), LJS_OK);
    return t;
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acts_are_entries),       cmocka_unit_test(notes_have_no_room_for_a_key),
        cmocka_unit_test(the_store_says_whether), cmocka_unit_test(records_of_before_are_found),
        cmocka_unit_test(faults_break_no_chain),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
