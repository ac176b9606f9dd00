/* Whatever is done to a log, or to a record that it tells of, is found, and where. */
#include "audit_world.h"

#include "random.h"

#include <pthread.h>

/* ---- the store, as whoever can write to it ---------------------------------- */

struct row {
    uint8_t key[LJS_STORE_KEY_MAX];
    size_t key_len;
    ljs_buf value;
};

struct rows {
    ljs_store *store;
    struct row row[64];
    size_t len;
};

static ljs_err take_row(void *user, const uint8_t *key, size_t key_len)
{
    struct rows *rows = user;
    struct row *row = &rows->row[rows->len++];
    uint64_t version;

    assert_true(rows->len <= COUNT_OF(rows->row));
    memcpy(row->key, key, key_len);
    row->key_len = key_len;
    return ljs_store_get(&row->value, &version, rows->store, key, key_len);
}

static struct rows rows_of(ljs_store *store, const char *prefix)
{
    struct rows rows = { .store = store };

    assert_int_equal(ljs_store_each(store, (const uint8_t *)prefix, strlen(prefix), take_row, &rows), LJS_OK);
    return rows;
}

static void rows_free(struct rows *rows)
{
    for (size_t i = 0; i < rows->len; i++)
        ljs_buf_free(&rows->row[i].value);
}

/* NULL removes. */
static void put(ljs_store *store, const struct row *row, const ljs_buf *value)
{
    ljs_change change = { .key = row->key, .key_len = row->key_len };
    ljs_buf old;

    if (ljs_store_get(&old, &change.if_version, store, row->key, row->key_len) == LJS_E_NOTFOUND)
        change.if_version = 0;
    ljs_buf_free(&old);
    change.in = value ? value->data : NULL;
    change.in_len = value ? value->len : 0;
    assert_int_equal(ljs_store_commit(store, &change, 1), LJS_OK);
    assert_int_equal(change.result, LJS_OK);
}

/* ---- what is found ---------------------------------------------------------- */

struct found {
    ljs_audit_totals totals;
    ljs_audit_finding at[8];
};

static struct found verified(struct world *w, const ljs_buf *anchor)
{
    struct found f = { .totals = { 0 } };
    ljs_audit_report *report;
    unsigned n = 0;

    assert_int_equal(
        ljs_server_verify_audit(&report, w->server, anchor ? anchor->data : NULL, anchor ? anchor->len : 0), LJS_OK);
    assert_int_equal(ljs_audit_report_totals(&f.totals, report), LJS_OK);
    while (n < COUNT_OF(f.at) && !ljs_audit_report_finding(&f.at[n], report, n))
        n++;
    assert_true(n == f.totals.findings || n == COUNT_OF(f.at));
    ljs_audit_report_free(report);
    return f;
}

static ljs_buf anchor_of(struct world *w)
{
    ljs_audit_report *report;
    ljs_buf anchor;

    assert_int_equal(ljs_server_verify_audit(&report, w->server, NULL, 0), LJS_OK);
    assert_int_equal(ljs_audit_report_anchor(&anchor, report), LJS_OK);
    ljs_audit_report_free(report);
    return anchor;
}

static void check_good(struct world *w, const ljs_buf *anchor)
{
    struct found f = verified(w, anchor);

    if (f.totals.findings)
        fail_msg("%s at %016llx %llu, device %016llx", ljs_audit_fault_text(f.at[0].fault),
                 (unsigned long long)f.at[0].writer, (unsigned long long)f.at[0].sequence,
                 (unsigned long long)f.at[0].dev_eui);
}

static bool has(const struct found *f, ljs_audit_fault fault, uint64_t sequence, ljs_eui dev_eui)
{
    for (size_t i = 0; i < f->totals.findings && i < COUNT_OF(f->at); i++)
        if (f->at[i].fault == fault && f->at[i].sequence == sequence && f->at[i].dev_eui == dev_eui)
            return true;
    return false;
}

/* Three devices and two joins: links 0 BEGIN, 1..3, 4 and 5 of one chain. */
static void begin(struct world *w)
{
    server_begin(w, NULL, &lab);
    add_devices(w, 3);
    ask(w, 1700000000, join_of(0, 1, false), "Success");
    ask(w, 1700000001, join_of(1, 1, false), "Success");
    check_good(w, NULL);
}

/* ---- tests ------------------------------------------------------------------ */

static void every_bit_of_every_link(void **state)
{
    struct world w;
    struct rows rows;

    (void)state;
    begin(&w);
    rows = rows_of(w.store, "a");
    assert_int_equal(rows.len, 7);
    assert_int_equal(rows.row[0].key_len, 1);
    for (size_t i = 0; i < rows.len; i++) {
        ljs_buf *value = &rows.row[i].value;

        for (size_t bit = 0; bit < 8 * value->len; bit++) {
            struct found f;

            value->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            put(w.store, &rows.row[i], value);
            value->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            f = verified(&w, NULL);
            if (!(i ? has(&f, LJS_AUDIT_BAD_LINK, i - 1, 0) : has(&f, LJS_AUDIT_WORD, 0, 0)))
                fail_msg("bit %zu of link %zu is not found", bit, i);
        }
        put(w.store, &rows.row[i], value);
    }
    check_good(&w, NULL);
    rows_free(&rows);
    server_end(&w);
}

static void links_cut_out_and_swapped(void **state)
{
    struct world w;
    struct rows rows;
    struct found f;

    (void)state;
    begin(&w);
    rows = rows_of(w.store, "a");
    for (size_t i = 1; i < rows.len - 1; i++) {
        put(w.store, &rows.row[i], NULL);
        f = verified(&w, NULL);
        assert_true(has(&f, LJS_AUDIT_GAP, i, 0)); /* the one behind it */
        put(w.store, &rows.row[i], &rows.row[i].value);
    }
    for (size_t i = 1; i < rows.len; i++)
        for (size_t k = 1; k < i; k++) {
            put(w.store, &rows.row[i], &rows.row[k].value);
            put(w.store, &rows.row[k], &rows.row[i].value);
            f = verified(&w, NULL);
            assert_true(has(&f, LJS_AUDIT_BAD_LINK, i - 1, 0) && has(&f, LJS_AUDIT_BAD_LINK, k - 1, 0));
            put(w.store, &rows.row[i], &rows.row[i].value);
            put(w.store, &rows.row[k], &rows.row[k].value);
        }
    check_good(&w, NULL);
    put(w.store, &rows.row[0], NULL); /* as if none had ever been kept */
    f = verified(&w, NULL);
    assert_true(f.totals.findings == 1 && has(&f, LJS_AUDIT_WORD, 0, 0));
    put(w.store, &rows.row[0], &rows.row[0].value);
    rows_free(&rows);
    server_end(&w);
}

/* The end of a chain is cut off and the record put back: only the anchor knows. */
static void an_end_cut_off(void **state)
{
    struct rows before, after, log;
    struct world w;
    struct found f;
    ljs_buf anchor, heads;

    (void)state;
    begin(&w);
    before = rows_of(w.store, "d");
    ask(&w, 1700000002, join_of(1, 2, false), "Success");
    after = rows_of(w.store, "d");
    anchor = anchor_of(&w);
    assert_int_equal(ljs_server_heads(&heads, w.server), LJS_OK);
    assert_int_equal(heads.len, anchor.len);
    assert_memory_equal(heads.data, anchor.data, anchor.len);
    check_good(&w, &anchor);
    log = rows_of(w.store, "a");
    put(w.store, &log.row[log.len - 1], NULL);
    f = verified(&w, NULL);
    assert_true(f.totals.findings == 1 && has(&f, LJS_AUDIT_RECORD_OLD, 0, DEV + 1)); /* the record tells of it */
    put(w.store, &before.row[1], &before.row[1].value);
    check_good(&w, NULL);
    f = verified(&w, &anchor);
    assert_true(f.totals.findings == 1 && has(&f, LJS_AUDIT_CUT_SHORT, log.len - 2, 0));
    for (size_t i = 0; i + 1 < log.len; i++) /* and all of it */
        put(w.store, &log.row[i], NULL);
    check_good(&w, NULL);
    f = verified(&w, &anchor);
    assert_true(f.totals.findings == 1 && has(&f, LJS_AUDIT_CUT_SHORT, log.len - 2, 0));
    ljs_buf_free(&anchor);
    ljs_buf_free(&heads);
    rows_free(&before);
    rows_free(&after);
    rows_free(&log);
    server_end(&w);
}

/* Where two are restored from one copy, each goes on in its own way. */
static void a_fork(void **state)
{
    ljs_audit_report *report;
    struct rows log;
    struct world w;
    struct found f;
    ljs_buf anchor;

    (void)state;
    begin(&w);
    anchor = anchor_of(&w);
    log = rows_of(w.store, "a");
    for (size_t i = 0; i < anchor.len; i++) /* of another link in the same place */
        if (anchor.data[i] == ' ' && i > 17)
            anchor.data[i + 1] = anchor.data[i + 1] == '0' ? '1' : '0';
    f = verified(&w, &anchor);
    assert_true(f.totals.findings == 1 && has(&f, LJS_AUDIT_FORKED, log.len - 2, 0));
    anchor.data[3] = 'x';
    assert_int_equal(ljs_server_verify_audit(&report, w.server, anchor.data, anchor.len), LJS_E_INVAL);
    assert_null(report);
    ljs_buf_free(&anchor);
    rows_free(&log);
    server_end(&w);
}

static void records_put_back_removed_and_altered(void **state)
{
    struct rows before, after;
    struct world w;
    struct found f;

    (void)state;
    begin(&w);
    before = rows_of(w.store, "d");
    assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_BLOCK), LJS_OK);
    ask(&w, 1700000002, join_of(1, 2, false), "Success");
    after = rows_of(w.store, "d");
    check_good(&w, NULL);
    for (size_t i = 0; i < 2; i++) {
        put(w.store, &before.row[i], &before.row[i].value);
        f = verified(&w, NULL);
        assert_true(f.totals.findings == 1 && has(&f, LJS_AUDIT_RECORD_OLD, 0, DEV + i));
        put(w.store, &after.row[i], &after.row[i].value);
    }
    for (size_t i = 0; i < 3; i++) {
        put(w.store, &after.row[i], NULL);
        f = verified(&w, NULL);
        assert_true(f.totals.findings == 1 && has(&f, LJS_AUDIT_RECORD_GONE, 0, DEV + i));
        put(w.store, &after.row[i], &after.row[i].value);
    }
    put(w.store, &after.row[0], &after.row[1].value); /* a good record of another device */
    f = verified(&w, NULL);
    assert_true(f.totals.findings == 1 && has(&f, LJS_AUDIT_RECORD_BAD, 0, DEV));
    after.row[0].value.data[7] ^= 1;
    put(w.store, &after.row[0], &after.row[0].value);
    after.row[0].value.data[7] ^= 1;
    f = verified(&w, NULL);
    assert_true(f.totals.findings == 1 && has(&f, LJS_AUDIT_RECORD_BAD, 0, DEV));
    after.row[0].value.data[2] = 99; /* a schema that is not known yet */
    put(w.store, &after.row[0], &after.row[0].value);
    after.row[0].value.data[2] = 3;
    f = verified(&w, NULL);
    assert_true(f.totals.findings == 1 && has(&f, LJS_AUDIT_RECORD_NEWER, 0, DEV));
    put(w.store, &after.row[0], &after.row[0].value);
    check_good(&w, NULL);
    /* There and back again: the same record has the same tag, and only the last counts. */
    assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_UNBLOCK), LJS_OK);
    assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_BLOCK), LJS_OK);
    check_good(&w, NULL);
    put(w.store, &before.row[0], &before.row[0].value);
    f = verified(&w, NULL);
    assert_true(f.totals.findings == 1 && has(&f, LJS_AUDIT_RECORD_OLD, 0, DEV));
    rows_free(&before);
    rows_free(&after);
    server_end(&w);
}

/* Devices that were there before the log; and who writes without one is found. */
static void a_log_begun_late(void **state)
{
    const ljs_server_opts off = { .struct_size = sizeof off, .audit = LJS_AUDIT_SWITCH_OFF };
    ljs_store *store;
    ljs_server *silent;
    struct rows before;
    struct world w;
    struct found f;

    (void)state;
    assert_int_equal(ljs_store_memory(&store), LJS_OK);
    assert_int_equal(ljs_server_new(&silent, vault, store, NULL), LJS_OK);
    w = (struct world){ .server = silent };
    add_devices(&w, 3);
    f = verified(&w, NULL);
    assert_true(!f.totals.kept && !f.totals.generation && !f.totals.chains);
    assert_int_equal(ljs_server_put_kek(silent, "k", ns_kek, 0), LJS_OK); /* it knows now that no log is kept */
    server_begin(&w, store, &lab);
    before = rows_of(store, "d");
    ask(&w, 1700000000, join_of(0, 1, false), "Success");
    assert_int_equal(ljs_server_step_device(w.server, DEV + 1, LJS_DEVICE_BLOCK), LJS_OK);
    check_good(&w, NULL);
    put(store, &before.row[0], &before.row[0].value);
    f = verified(&w, NULL);
    assert_true(f.totals.findings == 1 && has(&f, LJS_AUDIT_RECORD_OLD, 0, DEV));
    rows_free(&before);
    assert_int_equal(ljs_server_step_device(silent, DEV + 2, LJS_DEVICE_BLOCK), LJS_OK);
    f = verified(&w, NULL);
    assert_true(f.totals.findings == 2 && has(&f, LJS_AUDIT_RECORD_OLD, 0, DEV + 2));
    ljs_server_free(w.server);
    /* Switched off and on again, it takes the records as they are. */
    assert_int_equal(ljs_server_new(&w.server, vault, store, &off), LJS_OK);
    assert_int_equal(ljs_server_step_device(w.server, DEV + 2, LJS_DEVICE_UNBLOCK), LJS_OK);
    f = verified(&w, NULL);
    assert_true(!f.totals.findings && !f.totals.kept && f.totals.generation == 1);
    ljs_server_free(w.server);
    server_begin(&w, store, &lab);
    assert_int_equal(ljs_server_step_device(w.server, DEV + 2, LJS_DEVICE_BLOCK), LJS_OK);
    f = verified(&w, NULL);
    assert_true(!f.totals.findings && f.totals.kept && f.totals.generation == 2 && f.totals.devices == 3);
    ljs_server_free(silent);
    server_end(&w);
}

/* Steps that add up to nothing are steps all the same: what was in between is not what counts. */
static void there_and_back_after_found(void **state)
{
    ljs_store *store;
    ljs_server *silent;
    struct rows between;
    struct world w;
    struct found f;

    (void)state;
    assert_int_equal(ljs_store_memory(&store), LJS_OK);
    assert_int_equal(ljs_server_new(&silent, vault, store, NULL), LJS_OK);
    w = (struct world){ .server = silent };
    add_devices(&w, 1);
    ljs_server_free(silent);
    server_begin(&w, store, &lab);
    assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_BLOCK), LJS_OK);
    between = rows_of(store, "d");
    assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_UNBLOCK), LJS_OK);
    check_good(&w, NULL);
    put(store, &between.row[0], &between.row[0].value);
    f = verified(&w, NULL);
    assert_true(f.totals.findings == 1 && has(&f, LJS_AUDIT_RECORD_OLD, 0, DEV));
    rows_free(&between);
    server_end(&w);
}

static void a_record_from_elsewhere(void **state)
{
    struct world w, other;
    struct rows rows;
    struct found f;

    (void)state;
    begin(&w);
    server_begin(&other, NULL, &lab); /* under the same master key */
    add_devices(&other, 4);
    rows = rows_of(other.store, "d");
    put(w.store, &rows.row[3], &rows.row[3].value);
    f = verified(&w, NULL);
    assert_true(f.totals.findings == 1 && has(&f, LJS_AUDIT_RECORD_ALIEN, 0, DEV + 3));
    rows_free(&rows);
    server_end(&other);
    server_end(&w);
}

/* ---- while others write ----------------------------------------------------- */

enum { WRITERS = 2, JOINS = 150 };

struct writer {
    struct world *w;
    unsigned device;
};

static void *write_on(void *user)
{
    struct writer *writer = user;

    for (unsigned i = 1; i <= JOINS; i++) {
        const char *text = join_of(writer->device, (uint16_t)i, false);
        ljs_buf out;

        if (ljs_server_handle(&out, writer->w->server, NULL, 1700000000, (const uint8_t *)text, strlen(text)))
            abort();
        ljs_buf_free(&out);
    }
    return NULL;
}

static void verified_while_others_write(void **state)
{
    struct writer writer[WRITERS];
    pthread_t thread[WRITERS];
    struct world w;
    struct found f;

    (void)state;
    begin(&w);
    for (unsigned i = 0; i < WRITERS; i++) {
        writer[i] = (struct writer){ &w, i + 1 };
        assert_int_equal(pthread_create(&thread[i], NULL, write_on, &writer[i]), 0);
    }
    for (unsigned n = 0; n < 20; n++)
        check_good(&w, NULL);
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(thread[i], NULL);
    f = verified(&w, NULL);
    assert_true(!f.totals.findings && f.totals.chains >= 1 && f.totals.chains <= WRITERS + 1);
    assert_true(f.totals.entries >= 6 + WRITERS * JOINS - 1); /* one of them had joined with nonce 1 */
    server_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bit_of_every_link),
        cmocka_unit_test(links_cut_out_and_swapped),
        cmocka_unit_test(an_end_cut_off),
        cmocka_unit_test(a_fork),
        cmocka_unit_test(records_put_back_removed_and_altered),
        cmocka_unit_test(a_log_begun_late),
        cmocka_unit_test(there_and_back_after_found),
        cmocka_unit_test(a_record_from_elsewhere),
        cmocka_unit_test(verified_while_others_write),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
