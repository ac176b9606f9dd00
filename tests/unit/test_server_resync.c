/* A device that is ahead of its record: one restored from a backup, or one that kept what was given up by force. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rekey_world.h"

#include "server/internal.h"

#include "device/record.h"

enum { NOW = 2000000, HOUR = 3600 };

static ljs_resync_opts options(const struct world *w)
{
    ljs_resync_opts o = { .struct_size = sizeof o,
                          .suite = w->opts.suite,
                          .flags = w->opts.flags & (LJS_REKEY_APP_KEYS | LJS_REKEY_REKEY_KEY),
                          .experimental = 1,
                          .join_eui = w->opts.join_eui,
                          .now = NOW,
                          .until = NOW + HOUR,
                          .parent = w->opts.parent };

    memcpy(o.serial, w->serial, sizeof o.serial);
    return o;
}

static ljs_err open_window(struct world *w, const ljs_resync_opts *o)
{
    ljs_buf record;
    ljs_err err = ljs_rekey_resync(&record, w->vault, o, w->record.data, w->record.len);

    assert_int_equal(err != LJS_OK, record.data == NULL);
    if (!err)
        w_take(&w->record, &record);
    return err;
}

/* A whole rekey, on both sides. */
static void rekeyed(struct world *w)
{
    ljs_buf message;
    ljs_ed_rekey_out out;

    w->opts.force = 1;
    assert_true(w_begin(w, &message));
    assert_true(w_tell(w, &out, &message));
    assert_int_equal(out.status, LJS_REKEY_OK);
    assert_true(w_join(w, false));
    assert_true(w_join(w, false));
    assert_int_equal(w_rekey(w).state, LJS_REKEY_STABLE);
    ljs_buf_free(&message);
}

/* The Join Server is the one of a backup; JoinNonces are raised as a restore raises them. */
static void restored(struct world *w, const ljs_buf *backup)
{
    ljs_buf raised;

    assert_int_equal(ljs_device_raise(&raised, w->vault, 100, backup->data, backup->len), LJS_OK);
    w_take(&w->record, &raised);
}

static unsigned epoch_of(const struct world *w)
{
    ljs_device device;

    assert_int_equal(ljs_device_read(&device, w->record.data, w->record.len), LJS_OK);
    return device.epoch;
}

static void not_found(struct world *w)
{
    ljs_buf before = { NULL, 0 };

    w_copy(&before, &w->record);
    assert_false(w_join(w, false));
    assert_int_equal(before.len, w->record.len); /* a request that is refused leaves no trace */
    assert_memory_equal(before.data, w->record.data, before.len);
    ljs_buf_free(&before);
}

static void found(struct world *w, unsigned epoch)
{
    assert_true(w_join(w, false)); /* and both have the same AppSKey: all of its keys were found */
    assert_int_equal(w_rekey(w).state, LJS_REKEY_COMMITTED);
    assert_int_equal(epoch_of(w), epoch);
    assert_true(w_join(w, false));
    assert_int_equal(w_rekey(w).state, LJS_REKEY_STABLE);
    assert_true(w_rekey(w).floor >= epoch);
    assert_int_equal(w_rekey(w).until, 0);
}

static const struct scenario {
    ljs_mac mac;
    ljs_rekey_suite suite;
    unsigned flags;
    ljs_eui join_eui;
} scenarios[] = {
    { LJS_MAC_1_0_4, LJS_REKEY_SUITE_1, 0, 0 },
    { LJS_MAC_1_0_4, LJS_REKEY_SUITE_1, LJS_REKEY_REKEY_KEY, W_NEW },
    { LJS_MAC_1_1, LJS_REKEY_SUITE_1, LJS_REKEY_APP_KEYS, 0 },
    { LJS_MAC_1_1, LJS_REKEY_SUITE_1, LJS_REKEY_APP_KEYS | LJS_REKEY_REKEY_KEY, W_NEW },
    { LJS_MAC_1_1, LJS_REKEY_SUITE_1, LJS_REKEY_COMPROMISED, 0 },
    { LJS_MAC_1_1, LJS_REKEY_SUITE_4, 0, W_NEW },
    { LJS_MAC_1_0_4, LJS_REKEY_SUITE_4, 0, 0 },
};

static void test_after_a_restore(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        const struct scenario *s = &scenarios[i];
        struct world w;
        ljs_buf backup = { NULL, 0 };
        ljs_resync_opts o;

        w_begin_world(&w, s->mac, s->suite, s->flags, s->join_eui);
        w_copy(&backup, &w.record);
        rekeyed(&w);
        restored(&w, &backup);
        w.asked_at = NOW + 1;
        not_found(&w); /* before a window is open */
        o = options(&w);
        assert_int_equal(open_window(&w, &o), LJS_OK);
        assert_int_equal(w_rekey(&w).state, LJS_REKEY_RESYNC);
        assert_int_equal(w_rekey(&w).until, NOW + HOUR);
        w.asked_at = NOW + HOUR; /* and when it has ended */
        not_found(&w);
        w.asked_at = 0; /* nor where nobody looks */
        not_found(&w);
        w.asked_at = NOW + HOUR - 1;
        found(&w, 1);
        w.opts.join_eui = 0; /* from here on it is a device as any */
        rekeyed(&w);
        assert_int_equal(epoch_of(&w), 2);
        ljs_buf_free(&backup);
        w_end_world(&w);
    }
}

/* Several were lost: as far as eight epochs, and further by hand.  With the rekey key replaced, one alone. */
static void test_how_far(void **state)
{
    static const struct {
        unsigned lost, flags, first, at;
    } rows[] = { { 3, 0, 0, 3 }, { 8, 0, 0, 8 },  { 9, 0, 0, 0 },
                 { 9, 0, 2, 9 }, { 9, 0, 10, 0 }, { 2, LJS_REKEY_REKEY_KEY, 0, 0 } };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct world w;
        ljs_buf backup = { NULL, 0 };
        ljs_resync_opts o;

        w_begin_world(&w, LJS_MAC_1_0_4, LJS_REKEY_SUITE_1, rows[i].flags, 0);
        w_copy(&backup, &w.record);
        for (unsigned n = 0; n < rows[i].lost; n++)
            rekeyed(&w);
        restored(&w, &backup);
        w.asked_at = NOW;
        o = options(&w);
        o.first = (uint16_t)rows[i].first;
        assert_int_equal(open_window(&w, &o), LJS_OK);
        if (rows[i].at)
            found(&w, rows[i].at);
        else
            not_found(&w);
        ljs_buf_free(&backup);
        w_end_world(&w);
    }
}

/* Given up by force, while the device has the new keys and takes no other rekey any more: it is taken back. */
static void test_after_an_abort_by_force(void **state)
{
    struct world w;
    ljs_buf message, record;
    ljs_ed_rekey_out out;
    ljs_resync_opts o;

    (void)state;
    w_begin_world(&w, LJS_MAC_1_1, LJS_REKEY_SUITE_1, LJS_REKEY_APP_KEYS, 0);
    assert_true(w_begin(&w, &message));
    assert_true(w_tell(&w, &out, &message));
    w_join(&w, true);
    ljs_buf_free(&message);
    assert_int_equal(ljs_rekey_abort(&message, &record, w.vault, 1, w.record.data, w.record.len), LJS_OK);
    w_take(&w.record, &record);
    ljs_buf_free(&message);
    o = options(&w);
    assert_int_equal(open_window(&w, &o), LJS_OK);
    w.asked_at = NOW;
    found(&w, 1);
    rekeyed(&w);
    assert_int_equal(epoch_of(&w), 2);
    w_end_world(&w);
}

/* A device that is not ahead joins as ever, and the window stays open for it until it ends or is closed. */
static void test_the_window(void **state)
{
    struct world w;
    ljs_buf message, record;
    ljs_rekey_message m;
    ljs_resync_opts o;
    size_t before;

    (void)state;
    w_begin_world(&w, LJS_MAC_1_1, LJS_REKEY_SUITE_4, 0, 0);
    w.asked_at = NOW;
    assert_true(w_join(&w, false));
    before = w.record.len;
    o = options(&w);
    assert_int_equal(open_window(&w, &o), LJS_OK);
    assert_true(w_join(&w, false));
    assert_int_equal(w_rekey(&w).state, LJS_REKEY_RESYNC);
    assert_int_equal(w_rekey(&w).floor, 0);
    o.first = 5;
    assert_int_equal(open_window(&w, &o), LJS_OK); /* another one in its place */
    assert_int_equal(w_rekey(&w).epoch, 5);
    w.opts.now = NOW;
    assert_int_equal(ljs_rekey_begin(&message, &record, w.vault, &w.opts, w.record.data, w.record.len), LJS_E_STATE);
    assert_int_equal(ljs_rekey_abort(&message, &record, w.vault, 0, w.record.data, w.record.len), LJS_E_STATE);
    assert_int_equal(ljs_device_step(&record, w.vault, LJS_DEVICE_MOVE, w.record.data, w.record.len), LJS_E_STATE);
    assert_int_equal(ljs_rekey_step(&record, w.vault, LJS_REKEY_ACT_REOPEN, w.record.data, w.record.len), LJS_E_STATE);
    assert_int_equal(ljs_rekey_step(&record, w.vault, LJS_REKEY_ACT_CLOSE, w.record.data, w.record.len), LJS_OK);
    w_take(&w.record, &record);
    assert_int_equal(w_rekey(&w).state, LJS_REKEY_STABLE);
    assert_true(w_join(&w, false));
    assert_true(w.record.len < before + 200); /* nothing of what was sealed for it is left */
    assert_int_equal(ljs_rekey_step(&record, w.vault, LJS_REKEY_ACT_CLOSE, w.record.data, w.record.len), LJS_E_STATE);
    assert_int_equal(open_window(&w, &o), LJS_OK);
    w.opts.now = NOW + HOUR; /* it has ended */
    assert_int_equal(ljs_rekey_begin(&message, &record, w.vault, &w.opts, w.record.data, w.record.len), LJS_OK);
    assert_int_equal(ljs_rekey_parse(&m, message.data, message.len), LJS_OK);
    assert_int_equal(m.epoch, 1); /* no epoch is burnt by looking */
    ljs_buf_free(&message);
    w_take(&w.record, &record);
    assert_int_equal(open_window(&w, &o), LJS_E_STATE);
    w_end_world(&w);
}

static void test_refusals(void **state)
{
    struct world w;
    ljs_resync_opts good, o;
    ljs_buf record;

#define REFUSED(CHANGE, ERR)                                                                                           \
    do {                                                                                                               \
        o = good;                                                                                                      \
        CHANGE;                                                                                                        \
        assert_int_equal(open_window(&w, &o), ERR);                                                                    \
    } while (0)
    (void)state;
    w_begin_world(&w, LJS_MAC_1_1, LJS_REKEY_SUITE_1, 0, 0);
    good = options(&w);
    REFUSED(o.experimental = 0, LJS_E_INVAL);
    REFUSED(o.suite = LJS_REKEY_SUITE_2, LJS_E_INVAL);
    REFUSED(o.suite = (ljs_rekey_suite)0, LJS_E_INVAL);
    REFUSED(o.flags = LJS_REKEY_JOIN_EUI, LJS_E_INVAL);
    REFUSED(o.flags = LJS_REKEY_COMPROMISED, LJS_E_INVAL);
    REFUSED(o.until = NOW, LJS_E_INVAL);
    REFUSED(o.until = NOW + LJS_RESYNC_MAX + 1, LJS_E_INVAL);
    REFUSED(o.struct_size--, LJS_E_INVAL);
    REFUSED((o.suite = LJS_REKEY_SUITE_4, o.parent = NULL), LJS_E_INVAL);
    REFUSED((o.suite = LJS_REKEY_SUITE_4, o.flags = LJS_REKEY_REKEY_KEY), LJS_E_INVAL);
    for (ljs_eui i = 1; i < LJS_JOIN_EUIS_MAX; i++) {
        assert_int_equal(ljs_device_add_join_eui(&record, w.vault, i, w.record.data, w.record.len), LJS_OK);
        w_take(&w.record, &record);
    }
    REFUSED(o.join_eui = W_NEW, LJS_E_INVAL);
    assert_int_equal(ljs_device_step(&record, w.vault, LJS_DEVICE_MOVE, w.record.data, w.record.len), LJS_OK);
    w_take(&w.record, &record);
    REFUSED(o.first = 0, LJS_E_MOVED);
    assert_int_equal(ljs_device_step(&record, w.vault, LJS_DEVICE_REMOVE, w.record.data, w.record.len), LJS_OK);
    w_take(&w.record, &record);
    REFUSED(o.first = 0, LJS_E_STATE);
    w_end_world(&w);
    w_begin_world(&w, LJS_MAC_1_1, LJS_REKEY_SUITE_4, 0, 0);
    REFUSED(o.suite = LJS_REKEY_SUITE_1, LJS_E_NOKEY); /* it has no rekey key */
    w_end_world(&w);
#undef REFUSED
}

/* Once in four seconds for each device, whoever asks. */
static void test_not_too_often(void **state)
{
    struct world w;
    ljs_store *store;
    ljs_server *server;
    ljs_server_opts opts = { .struct_size = sizeof opts };
    ljs_resync_opts o;
    struct record record = { .d = { .dev_eui = W_DEV }, .rekey = { .state = LJS_REKEY_RESYNC } };

    (void)state;
    w_begin_world(&w, LJS_MAC_1_0_4, LJS_REKEY_SUITE_1, 0, 0);
    o = options(&w);
    assert_int_equal(ljs_store_memory(&store), LJS_OK);
    assert_int_equal(ljs_server_new(&server, w.vault, store, &opts), LJS_OK);
    assert_int_equal(ljs_server_rekey_resync(server, W_DEV, &o), LJS_E_INVAL); /* it is off */
    assert_true(ljs__resync_may(server, &record, NOW));
    assert_false(ljs__resync_may(server, &record, NOW));
    assert_false(ljs__resync_may(server, &record, NOW + 3));
    assert_true(ljs__resync_may(server, &record, NOW + 4));
    assert_false(ljs__resync_may(server, &record, NOW + 7));
    assert_true(ljs__resync_may(server, &record, NOW - 100)); /* the clock was put back */
    record.rekey.state = LJS_REKEY_PENDING;
    assert_false(ljs__resync_may(server, &record, NOW + 1000));
    ljs_server_free(server);
    ljs_store_free(store);
    w_end_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_after_a_restore),
        cmocka_unit_test(test_how_far),
        cmocka_unit_test(test_after_an_abort_by_force),
        cmocka_unit_test(test_the_window),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_not_too_often),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
