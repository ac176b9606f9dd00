/* Many devices with one commit: each is made or refused as it would be alone, whoever else writes, and all of them are
 * there or none is where the store fails.  And the same of many that go a step. */
#include <lorajs/master.h>
#include <lorajs/rewrap.h>

#include "audit_world.h"
#include "contract/faulty.h"

enum { MANY = 150 };

static struct world w;
static struct faulty *faulty;
static ljs_import imports[MANY];
static ljs_err results[MANY];

static void import_begin(void)
{
    ljs_store *memory, *store;

    assert_int_equal(ljs_store_memory(&memory), LJS_OK);
    assert_int_equal(faulty_new(&store, &faulty, memory), LJS_OK);
    server_begin(&w, store, &lab);
}

/* Of every third two JoinEUIs. */
static void read_lines(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char line[512];
        uint8_t octets[16];

        for (unsigned k = 0; k < sizeof octets; k++)
            octets[k] = (uint8_t)(((uint64_t)(i + 1) * 16 + k) * UINT64_C(0x9e3779b97f4a7c15) >> 53);
        snprintf(line, sizeof line,
                 "{\"dev_eui\":\"%016llx\",\"join_euis\":[\"%016llx\"%s],\"lorawan_version\":\"1.0.4\","
                 "\"app_key\":\"",
                 (unsigned long long)(DEV + i), (unsigned long long)EUI, i % 3 ? "" : ",\"00000000000000ee\"");
        for (unsigned k = 0; k < sizeof octets; k++)
            snprintf(line + strlen(line), 3, "%02x", octets[k]);
        snprintf(line + strlen(line), 64, "\",\"next_join_nonce\":%u}", i + 2);
        assert_int_equal(ljs_import_parse(&imports[i], (const uint8_t *)line, strlen(line)), LJS_OK);
    }
}

static void forget_lines(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        ljs_import_clear(&imports[i]);
}

static unsigned there(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < MANY; i++) {
        ljs_buf record;
        ljs_err err = ljs_server_get_device(&record, w.server, DEV + i);

        assert_true(!err || err == LJS_E_NOTFOUND);
        n += !err;
        ljs_buf_free(&record);
    }
    return n;
}

static void test_many(void **state)
{
    unsigned before;

    (void)state;
    import_begin();
    read_lines(MANY);
    assert_int_equal(ljs_server_note(w.server, LJS_AUDIT_NOTE, 0, LJS_OK, "the log is begun"), LJS_OK);
    before = count_links(w.server);
    ljs_server_import(results, w.server, imports, MANY, 0);
    for (unsigned i = 0; i < MANY; i++) {
        ljs_device d = device_in(&w, DEV + i);

        assert_int_equal(results[i], LJS_OK);
        assert_int_equal(d.next_join_nonce, i + 2);
        assert_int_equal(d.join_euis, i % 3 ? 1 : 2);
        assert_int_equal(d.keys, LJS_HAS_APP_KEY);
    }
    assert_int_equal(count_links(w.server) - before, 3);    /* 64, 64, 22 */
    ljs_server_import(results, w.server, imports, MANY, 0); /* again is no other thing */
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(results[i], LJS_OK);
        assert_int_equal(device_in(&w, DEV + i).next_join_nonce, i + 2);
    }
    ljs_server_import(results, w.server, imports, 0, 0);
    forget_lines(MANY);
    server_end(&w); /* whose log leads to each record */
}

/* What is refused says so in its place, and the others of its commit are made. */
static void test_some_are_refused(void **state)
{
    ljs_key *other;
    ljs_import held;

    (void)state;
    import_begin();
    read_lines(8);
    ljs_server_import(results, w.server, imports, 1, 0);
    assert_int_equal(results[0], LJS_OK);
    assert_int_equal(ljs_key_generate(&other, 16), LJS_OK);
    held = imports[0];
    imports[0].app = other;                      /* it is there with another key */
    imports[2].device.mac = (ljs_mac)0x7777;     /* there is no such version */
    imports[4].device.dev_eui = DEV + 3;         /* the same again, with another key */
    imports[5].device.next_join_nonce = 1 << 30; /* more than there are */
    ljs_server_import(results, w.server, imports, 8, 0);
    assert_int_equal(results[0], LJS_E_EXISTS);
    assert_int_equal(results[1], LJS_OK);
    assert_int_equal(results[2], LJS_E_INVAL);
    assert_int_equal(results[3], LJS_OK);
    assert_int_equal(results[4], LJS_E_EXISTS);
    assert_int_equal(results[5], LJS_E_INVAL);
    assert_int_equal(results[6], LJS_OK);
    assert_int_equal(results[7], LJS_OK);
    assert_int_equal(there(), 5);
    ljs_server_import(results, w.server, imports, 1, LJS_MAKE_REPLACE_KEYS);
    assert_int_equal(results[0], LJS_OK);
    imports[0].app = held.app;
    ljs_key_free(other);
    forget_lines(8);
    server_end(&w);
}

/* A record that somebody wrote to on disk is refused by itself. */
static void test_a_record_that_was_tampered_with(void **state)
{
    uint8_t key[9] = { 'd' };
    ljs_buf value;
    uint64_t version;
    ljs_change change;

    (void)state;
    import_begin();
    read_lines(4);
    ljs_server_import(results, w.server, imports, 2, 0);
    for (unsigned i = 0; i < 8; i++)
        key[1 + i] = (uint8_t)((uint64_t)(DEV + 1) >> (56 - 8 * i));
    assert_int_equal(ljs_store_get(&value, &version, w.store, key, sizeof key), LJS_OK);
    value.data[value.len / 2] ^= 1;
    change =
        (ljs_change){ .key = key, .key_len = sizeof key, .in = value.data, .in_len = value.len, .if_version = version };
    assert_int_equal(ljs_store_commit(w.store, &change, 1), LJS_OK);
    ljs_server_import(results, w.server, imports, 4, 0);
    assert_int_equal(results[0], LJS_OK);
    assert_int_equal(results[1], LJS_E_SEAL);
    assert_int_equal(results[2], LJS_OK);
    assert_int_equal(results[3], LJS_OK);
    ljs_buf_free(&value);
    forget_lines(4);
    ljs_server_free(w.server); /* the log does not lead to what was tampered with */
    ljs_store_free(w.store);
}

/* The store fails: nothing is told as made that is not there, and asked again all of it is. */
static void test_faults(void **state)
{
    const enum fault faults[] = { FAULT_BEFORE, FAULT_AFTER, FAULT_TEAR, FAULT_SOME };

    (void)state;
    for (unsigned f = 0; f < COUNT_OF(faults); f++)
        for (unsigned nth = 1; nth <= 3; nth++) {
            unsigned told = 0;

            import_begin();
            read_lines(MANY);
            faulty_arm(faulty, FAULTY_COMMIT, nth, faults[f], 0);
            ljs_server_import(results, w.server, imports, MANY, 0);
            faulty_arm(faulty, FAULTY_COMMIT, 1, FAULT_NONE, 0);
            for (unsigned i = 0; i < MANY; i++) {
                assert_true(results[i] == LJS_OK || results[i] == LJS_E_STORE);
                told += results[i] == LJS_OK;
            }
            assert_true(told <= there());
            assert_true(there() == MANY || there() % 64 == 0 || there() % 64 == 22);
            ljs_server_import(results, w.server, imports, MANY, 0);
            for (unsigned i = 0; i < MANY; i++)
                assert_int_equal(results[i], LJS_OK);
            assert_int_equal(there(), MANY);
            forget_lines(MANY);
            server_end(&w);
        }
}

/* ---- steps -------------------------------------------------------------------- */

static ljs_eui euis[MANY];

static void name_devices(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        euis[i] = DEV + i;
}

/* Each of them has an entry of its own, which its record follows from, and 64 entries are a link. */
static void test_many_steps(void **state)
{
    unsigned before;

    (void)state;
    import_begin();
    read_lines(MANY);
    ljs_server_import(results, w.server, imports, MANY, 0);
    name_devices(MANY);
    before = count_links(w.server);
    ljs_server_step_devices(results, w.server, euis, MANY, LJS_DEVICE_EXPOSE);
    assert_int_equal(count_links(w.server) - before, 3);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(results[i], LJS_OK);
        assert_int_equal(device_in(&w, DEV + i).exposed, 1);
    }
    ljs_server_step_devices(results, w.server, euis, 0, LJS_DEVICE_BLOCK);
    assert_int_equal(count_links(w.server) - before, 3);
    forget_lines(MANY);
    server_end(&w);
}

/* Who cannot go the step is told so, and the others go it: one that is not there, one that is blocked, one twice. */
static void test_some_steps_are_refused(void **state)
{
    const ljs_device_act acts[] = { LJS_DEVICE_BLOCK, LJS_DEVICE_REMOVE };

    (void)state;
    for (unsigned a = 0; a < COUNT_OF(acts); a++) {
        import_begin();
        read_lines(5);
        ljs_server_import(results, w.server, imports, 5, 0);
        name_devices(5);
        assert_int_equal(ljs_server_step_device(w.server, DEV + 1, acts[a]), LJS_OK);
        euis[2] = DEV + 700;
        euis[4] = DEV;
        ljs_server_step_devices(results, w.server, euis, 5, acts[a]);
        assert_int_equal(results[0], LJS_OK);
        assert_int_equal(results[1], LJS_E_STATE);
        assert_int_equal(results[2], LJS_E_NOTFOUND);
        assert_int_equal(results[3], LJS_OK);
        assert_int_equal(results[4], LJS_E_STATE);
        assert_int_equal(device_in(&w, DEV + 3).state, a ? LJS_STATE_REMOVED : LJS_STATE_BLOCKED);
        assert_int_equal(device_in(&w, DEV + 4).state, LJS_STATE_FRESH);
        ljs_server_step_devices(results, w.server, euis, 1, (ljs_device_act)77);
        assert_int_equal(results[0], LJS_E_STATE);
        forget_lines(5);
        server_end(&w);
    }
}

/* Whatever the store does, what is told as done is there. */
static void test_faults_of_steps(void **state)
{
    const enum fault faults[] = { FAULT_BEFORE, FAULT_AFTER, FAULT_TEAR, FAULT_SOME };

    (void)state;
    for (unsigned f = 0; f < COUNT_OF(faults); f++)
        for (unsigned nth = 1; nth <= 3; nth++) {
            unsigned done = 0;

            import_begin();
            read_lines(MANY);
            ljs_server_import(results, w.server, imports, MANY, 0);
            name_devices(MANY);
            faulty_arm(faulty, FAULTY_COMMIT, nth, faults[f], 0);
            ljs_server_step_devices(results, w.server, euis, MANY, LJS_DEVICE_EXPOSE);
            faulty_arm(faulty, FAULTY_COMMIT, 1, FAULT_NONE, 0);
            for (unsigned i = 0; i < MANY; i++) {
                bool exposed = device_in(&w, DEV + i).exposed;

                assert_true(results[i] == LJS_OK || results[i] == LJS_E_STORE);
                assert_true(exposed || results[i] == LJS_E_STORE);
                done += exposed;
            }
            assert_true(done == MANY || done % 64 == 0 || done % 64 == 22);
            forget_lines(MANY);
            server_end(&w);
        }
}

/* Two at once, with the same devices and with others. */
static void *import_all(void *user)
{
    ljs_err *mine = user;

    ljs_server_import(mine, w.server, imports, MANY, 0);
    return NULL;
}

static void test_two_threads(void **state)
{
    static ljs_err of[2][MANY];
    pthread_t thread[2];

    (void)state;
    import_begin();
    read_lines(MANY);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, import_all, of[i]), 0);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    for (unsigned i = 0; i < MANY; i++)
        assert_true(of[0][i] == LJS_OK && of[1][i] == LJS_OK);
    assert_int_equal(there(), MANY);
    forget_lines(MANY);
    server_end(&w);
}

/* ---- while the master key is changed -------------------------------------------------------------------- */

/* Just before the next commit all that is there is brought under another master key, and these are not there yet. */
struct meanwhile {
    ljs_store *real;
    ljs_server *other;
    ljs_rewrap *rewrap;
    bool armed, busy; /* busy: whoever writes many devices meets somebody who writes one of them */
};

static void rotate(struct meanwhile *m)
{
    ljs_rewrapped done = { .done = 0 };
    ljs_key *to;

    assert_int_equal(ljs_key_generate(&to, LJS_MASTER_LEN), LJS_OK);
    assert_int_equal(ljs_server_rotate(m->other, to), LJS_OK);
    ljs_key_free(to);
    assert_int_equal(ljs_rewrap_new(&m->rewrap, m->other), LJS_OK);
    while (!done.done)
        assert_int_equal(ljs_rewrap_step(&done, m->rewrap, 64), LJS_OK);
}

static ljs_err mean_get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    return ljs_store_get(out, version, ((struct meanwhile *)self)->real, key, key_len);
}

static ljs_err mean_commit(void *self, ljs_change *changes, size_t len)
{
    struct meanwhile *m = self;
    bool armed = m->armed;

    m->armed = false;
    if (armed)
        rotate(m);
    if (m->busy && len > 2) { /* a record, and the log's link */
        for (size_t i = 0; i < len; i++)
            changes[i].result = LJS_E_CONFLICT;
        return LJS_OK;
    }
    return ljs_store_commit(m->real, changes, len);
}

static ljs_err mean_each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    return ljs_store_each(((struct meanwhile *)self)->real, prefix, prefix_len, row, user);
}

static void mean_close(void *self)
{
    (void)self; /* which the test has */
}

static const ljs_store_ops mean_ops = {
    .struct_size = sizeof mean_ops, .get = mean_get, .commit = mean_commit, .each = mean_each, .close = mean_close
};

static void test_a_master_key_meanwhile(void **state)
{
    struct meanwhile m = { .armed = false };
    struct world other;
    ljs_store *store;

    (void)state;
    assert_int_equal(ljs_store_memory(&m.real), LJS_OK);
    assert_int_equal(ljs_store_custom(&store, &mean_ops, &m), LJS_OK);
    server_begin(&other, m.real, NULL);
    m.other = other.server;
    server_begin(&w, store, NULL);
    read_lines(8);
    m.armed = true;
    ljs_server_import(results, w.server, imports, 8, 0);
    assert_false(m.armed);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(results[i], LJS_OK);
    assert_int_equal(ljs_rewrap_retire(m.rewrap, 0), LJS_OK);
    ljs_rewrap_free(m.rewrap);
    assert_int_equal(ljs_vault_versions(vault), 1);
    for (unsigned i = 0; i < 8; i++) /* under the key that is left */
        assert_int_equal(device_in(&w, DEV + i).next_join_nonce, i + 2);
    forget_lines(8);
    ljs_server_free(w.server);
    ljs_store_free(w.store);
    server_end(&other);
}

/* Five devices, into a server of its own. */
static void import_into(struct meanwhile *m)
{
    ljs_store *store;

    assert_int_equal(ljs_store_memory(&m->real), LJS_OK);
    assert_int_equal(ljs_store_custom(&store, &mean_ops, m), LJS_OK);
    server_begin(&w, store, NULL);
    read_lines(5);
    ljs_server_import(results, w.server, imports, 5, 0);
}

/* Among devices that all join at once no group may ever get through. */
static void test_steps_of_a_busy_fleet(void **state)
{
    struct meanwhile m = { .busy = false };

    (void)state;
    import_into(&m);
    name_devices(5);
    euis[2] = DEV + 700;
    m.busy = true;
    ljs_server_step_devices(results, w.server, euis, 5, LJS_DEVICE_EXPOSE);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(results[i], i == 2 ? LJS_E_NOTFOUND : LJS_OK);
    assert_int_equal(device_in(&w, DEV + 4).exposed, 1);
    forget_lines(5);
    server_end(&w);
    ljs_store_free(m.real);
}

static void test_imports_into_a_busy_fleet(void **state)
{
    struct meanwhile m = { .busy = true };

    (void)state;
    import_into(&m);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(results[i], LJS_OK);
    assert_int_equal(there(), 5);
    forget_lines(5);
    server_end(&w);
    ljs_store_free(m.real);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_some_are_refused),
        cmocka_unit_test(test_a_record_that_was_tampered_with),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_many_steps),
        cmocka_unit_test(test_some_steps_are_refused),
        cmocka_unit_test(test_faults_of_steps),
        cmocka_unit_test(test_steps_of_a_busy_fleet),
        cmocka_unit_test(test_imports_into_a_busy_fleet),
        cmocka_unit_test(test_two_threads),
        cmocka_unit_test(test_a_master_key_meanwhile), /* the last: the world's vault has another then */
    };

    world_audit = LJS_AUDIT_ON;
    return cmocka_run_group_tests(tests, world_begin, world_end);
}
