/* A rekey from end to end, with the power failing at every write of the device, its element and the Join Server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rekey_world.h"

#include <lorajs/lot.h>

static const struct scenario {
    ljs_mac mac;
    ljs_rekey_suite suite;
    unsigned flags;
    ljs_eui join_eui;
} scenarios[] = {
    { LJS_MAC_1_0_4, LJS_REKEY_SUITE_1, 0, 0 },
    { LJS_MAC_1_0_4, LJS_REKEY_SUITE_1, LJS_REKEY_APP_KEYS | LJS_REKEY_REKEY_KEY, W_NEW },
    { LJS_MAC_1_1, LJS_REKEY_SUITE_1, LJS_REKEY_REKEY_KEY, W_NEW },
    { LJS_MAC_1_1, LJS_REKEY_SUITE_2, LJS_REKEY_APP_KEYS | LJS_REKEY_REKEY_KEY, 0 },
    { LJS_MAC_1_1, LJS_REKEY_SUITE_2, LJS_REKEY_APP_KEYS | LJS_REKEY_COMPROMISED, W_NEW },
    { LJS_MAC_1_1, LJS_REKEY_SUITE_4, 0, W_NEW },
    { LJS_MAC_1_0_4, LJS_REKEY_SUITE_4, 0, 0 },
};

static void world_of(struct world *w, const struct scenario *s)
{
    w_begin_world(w, s->mac, s->suite, s->flags, s->join_eui);
}

/* Each message once, whatever becomes of it. */
static void all_of_it(struct world *w)
{
    ljs_buf message = { NULL, 0 };
    ljs_ed_rekey_out out;

    if (w_begin(w, &message) && w_tell(w, &out, &message))
        (void)w_answer(w, &out);
    ljs_buf_free(&message);
    w_join(w, false);
    w_join(w, false);
}

/* Until it is done. */
static void to_its_end(struct world *w)
{
    w->opts.force = 1;
    for (unsigned n = 0; w_rekey(w).state != LJS_REKEY_STABLE || w_rekey(w).floor != 1; n++) {
        if (n == 12)
            fail_msg("the rekey does not end, after a cut %s write %u", w->after ? "after" : "before", w->cut_at);
        all_of_it(w);
    }
}

static unsigned epoch_of(const struct world *w)
{
    ljs_device device;

    assert_int_equal(ljs_device_read(&device, w->record.data, w->record.len), LJS_OK);
    return device.epoch;
}

static unsigned device_epoch(struct world *w)
{
    ljs_ed_rekey_out out;
    ljs_buf next;

    assert_int_equal(ljs_ed_rekey(&out, &next, w->se, w->now, NULL, 0, w->live.data, w->live.len), LJS_OK);
    ljs_buf_free(&next);
    return out.epoch;
}

/* How many writes there are, is what the scenario says: so no cut is left out. */
static void test_nothing_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        struct world w;

        world_of(&w, &scenarios[i]);
        all_of_it(&w);
        assert_int_equal(w_rekey(&w).state, LJS_REKEY_STABLE);
        assert_int_equal(w_rekey(&w).floor, 1);
        assert_int_equal(epoch_of(&w), 1);
        assert_int_equal(device_epoch(&w), 1);
        assert_true(w.writes > 8);
        w_end_world(&w);
    }
}

static void test_power_fails_at_every_write(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        struct world w;
        bool cut = true;

        for (unsigned at = 1; cut; at++)
            for (unsigned k = 0; k < 4; k++) { /* before it or after; what was begun goes on or does not */
                world_of(&w, &scenarios[i]);
                w.cut_at = at;
                w.after = k & 1;
                all_of_it(&w);
                cut = w.cut;
                w_find_each_other(&w);
                if (k & 2) {
                    to_its_end(&w);
                    assert_int_equal(epoch_of(&w), 1);
                    assert_int_equal(device_epoch(&w), 1);
                    w_find_each_other(&w);
                }
                w_end_world(&w);
            }
    }
}

/* Given up before the device used it: with a cut at every write both end with the keys of before, or, where the
 * abort came too late, with the new ones. */
static void test_abort_at_every_write(void **state)
{
    bool cut = true;

    (void)state;
    for (unsigned at = 1; cut; at++)
        for (unsigned k = 0; k < 4; k++) {
            struct world w;
            ljs_buf message = { NULL, 0 };
            ljs_ed_rekey_out out;

            w_begin_world(&w, LJS_MAC_1_1, LJS_REKEY_SUITE_1, LJS_REKEY_REKEY_KEY, W_NEW);
            w.cut_at = at;
            w.after = k & 1;
            if (w_begin(&w, &message) && w_tell(&w, &out, &message))
                (void)w_answer(&w, &out);
            ljs_buf_free(&message);
            if (k & 2)
                w_join(&w, true); /* under the new keys, and lost */
            if (w_abort(&w, &message) && w_tell(&w, &out, &message))
                (void)w_answer(&w, &out);
            ljs_buf_free(&message);
            cut = w.cut;
            w_find_each_other(&w);
            for (unsigned n = 0; w_rekey(&w).state != LJS_REKEY_STABLE && n < 12; n++) {
                if (w_rekey(&w).state != LJS_REKEY_COMMITTED && w_abort(&w, &message) && w_tell(&w, &out, &message))
                    assert_int_equal(w_answer(&w, &out), LJS_OK);
                ljs_buf_free(&message);
                w_join(&w, false);
            }
            assert_int_equal(w_rekey(&w).state, LJS_REKEY_STABLE);
            assert_int_equal(epoch_of(&w), device_epoch(&w));
            assert_true(w_rekey(&w).floor == 1 || !epoch_of(&w));
            /* and the next rekey goes by an epoch that was never given */
            w.opts.force = 1;
            w.opts.join_eui = 0;
            for (unsigned n = 0; n < 12 && (w_rekey(&w).state || !epoch_of(&w)); n++)
                all_of_it(&w);
            assert_int_equal(epoch_of(&w), device_epoch(&w));
            assert_true(epoch_of(&w) >= 1);
            w_find_each_other(&w);
            w_end_world(&w);
        }
}

/* The command comes twice, late and changed, and join-requests of either side of it come late. */
static void test_replays(void **state)
{
    struct world w;
    ljs_buf message, again, record;
    ljs_ed_rekey_out out, first;
    ljs_rekey_message m;

    (void)state;
    w_begin_world(&w, LJS_MAC_1_1, LJS_REKEY_SUITE_1, LJS_REKEY_APP_KEYS, 0);
    assert_true(w_begin(&w, &message));
    assert_int_equal(ljs_rekey_begin(&again, &record, w.vault, &w.opts, w.record.data, w.record.len), LJS_OK);
    assert_null(record.data); /* nothing changed, and the same octets */
    assert_int_equal(again.len, message.len);
    assert_memory_equal(again.data, message.data, message.len);
    ljs_buf_free(&again);
    w.opts.flags = 0;
    assert_int_equal(ljs_rekey_begin(&again, &record, w.vault, &w.opts, w.record.data, w.record.len), LJS_E_STATE);
    for (size_t i = 0; i < 8 * message.len; i++) { /* each bit of it */
        message.data[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_false(w_tell(&w, &out, &message));
        assert_int_not_equal(out.err, LJS_OK);
        message.data[i / 8] ^= (uint8_t)(1 << i % 8);
        if (out.err == LJS_E_BUSY)
            w.now += (int64_t)25 * W_HOUR;
    }
    w.now += (int64_t)25 * W_HOUR;
    assert_true(w_tell(&w, &first, &message));
    assert_int_equal(first.status, LJS_REKEY_OK);
    assert_true(w_tell(&w, &out, &message));
    assert_int_equal(out.status, LJS_REKEY_AGAIN);
    for (size_t i = 0; i < 8 * first.answer_len; i++) {
        uint8_t octets[8];

        memcpy(octets, first.answer, sizeof octets);
        octets[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_not_equal(ljs_rekey_answer(&m, &record, w.vault, octets, sizeof octets, w.record.data, w.record.len),
                             LJS_OK);
        assert_null(record.data);
    }
    assert_int_equal(w_answer(&w, &first), LJS_OK);
    assert_int_equal(w_rekey(&w).state, LJS_REKEY_ACKED);
    assert_true(w_join(&w, false));
    assert_int_equal(w_rekey(&w).state, LJS_REKEY_COMMITTED);
    assert_true(w_tell(&w, &out, &message)); /* settled by now */
    assert_int_equal(out.status, LJS_REKEY_AGAIN);
    assert_int_equal(w_answer(&w, &out), LJS_OK);
    assert_int_equal(w_rekey(&w).state, LJS_REKEY_STABLE);
    assert_int_equal(w_answer(&w, &out), LJS_E_STATE);
    assert_int_equal(ljs_rekey_begin(&again, &record, w.vault, &w.opts, w.record.data, w.record.len), LJS_E_BUSY);
    w.opts.now += W_DAY_S;
    assert_int_equal(ljs_rekey_begin(&again, &record, w.vault, &w.opts, w.record.data, w.record.len), LJS_OK);
    assert_int_equal(ljs_rekey_parse(&m, again.data, again.len), LJS_OK);
    assert_int_equal(m.epoch, 2);
    ljs_buf_free(&again);
    ljs_buf_free(&record);
    ljs_buf_free(&message);
    w_end_world(&w);
}

/* Once the device has said that it has the new keys, those that are compromised are refused; and a commit by a MIC
 * that was guessed is taken back by hand. */
static void test_compromised_and_reopened(void **state)
{
    struct world w;
    ljs_buf message, record;
    ljs_ed_out old;
    ljs_ed_rekey_out out;
    ljs_join_ans ans;

    (void)state;
    w_begin_world(&w, LJS_MAC_1_1, LJS_REKEY_SUITE_1, LJS_REKEY_COMPROMISED, 0);
    w.now += (int64_t)30 * W_HOUR;
    assert_true(w_begin(&w, &message));
    assert_true(w_step(&w, &old, LJS_ED_ON_STOP, NULL, 0));
    assert_true(w_step(&w, &old, LJS_ED_ON_START, NULL, 0)); /* under the old keys, before it heard */
    assert_true(w_tell(&w, &out, &message));
    assert_int_equal(ljs_rekey_abort(&record, &record, w.vault, 1, w.record.data, w.record.len), LJS_E_STATE);
    assert_int_equal(w_answer(&w, &out), LJS_OK);
    assert_false(w_ask(&w, &ans, old.frame, old.frame_len));
    assert_true(w_join(&w, false));
    assert_int_equal(w_rekey(&w).state, LJS_REKEY_COMMITTED);
    assert_int_equal(ljs_rekey_step(&record, w.vault, LJS_REKEY_ACT_RELEASE, w.record.data, w.record.len), LJS_E_STATE);
    assert_int_equal(ljs_rekey_step(&record, w.vault, LJS_REKEY_ACT_REOPEN, w.record.data, w.record.len), LJS_OK);
    w_take(&w.record, &record);
    assert_int_equal(w_rekey(&w).state, LJS_REKEY_PENDING);
    assert_int_equal(epoch_of(&w), 0);
    w_find_each_other(&w);
    assert_int_equal(epoch_of(&w), 1);
    ljs_buf_free(&message);
    w_end_world(&w);
}

/* What is refused, and leaves the record as it was. */
static void test_refusals(void **state)
{
    struct world w;
    ljs_buf out, record;
    ljs_rekey_opts good;

#define REFUSED(CHANGE, ERR)                                                                                           \
    do {                                                                                                               \
        w.opts = good;                                                                                                 \
        CHANGE;                                                                                                        \
        assert_int_equal(ljs_rekey_begin(&out, &record, w.vault, &w.opts, w.record.data, w.record.len), ERR);          \
        assert_null(out.data);                                                                                         \
        assert_null(record.data);                                                                                      \
    } while (0)
    (void)state;
    w_begin_world(&w, LJS_MAC_1_1, LJS_REKEY_SUITE_2, 0, 0);
    good = w.opts;
    REFUSED(w.opts.experimental = 0, LJS_E_INVAL);
    REFUSED(w.opts.kept = 0, LJS_E_INVAL);
    REFUSED(w.opts.ephemeral = NULL, LJS_E_INVAL);
    REFUSED(w.opts.suite = LJS_REKEY_SUITE_3, LJS_E_INVAL);
    REFUSED(w.opts.suite = (ljs_rekey_suite)9, LJS_E_INVAL);
    REFUSED(w.opts.flags = LJS_REKEY_JOIN_EUI, LJS_E_INVAL);
    REFUSED(w.opts.struct_size--, LJS_E_INVAL);
    REFUSED(w.opts.transfer = 1, LJS_E_INVAL);
    REFUSED((w.opts.suite = LJS_REKEY_SUITE_4, w.opts.parent = NULL), LJS_E_INVAL);
    REFUSED((w.opts.suite = LJS_REKEY_SUITE_4, w.opts.flags = LJS_REKEY_REKEY_KEY), LJS_E_INVAL);
#undef REFUSED
    assert_int_equal(ljs_rekey_abort(&out, &record, w.vault, 0, w.record.data, w.record.len), LJS_E_STATE);
    assert_int_equal(ljs_rekey_step(&record, w.vault, LJS_REKEY_ACT_REOPEN, w.record.data, w.record.len), LJS_E_STATE);
    w_end_world(&w);
}

/* A record that has no rekey is what it was without this: not an octet more. */
static void test_records_do_not_grow(void **state)
{
    struct world w;
    ljs_buf message, record;
    size_t before;

    (void)state;
    w_begin_world(&w, LJS_MAC_1_1, LJS_REKEY_SUITE_1, 0, 0);
    before = w.record.len;
    assert_int_equal(ljs_device_step(&record, w.vault, LJS_DEVICE_BLOCK, w.record.data, w.record.len), LJS_OK);
    assert_int_equal(record.len, before);
    for (size_t i = 0; i + 1 < record.len; i++) /* the field's number stands before an array of ten */
        assert_false(record.data[i] == 18 && record.data[i + 1] == 0x9a);
    ljs_buf_free(&record);
    assert_true(w_begin(&w, &message));
    assert_true(w.record.len > before);
    ljs_buf_free(&message);
    w_end_world(&w);
}

/* What a device of a lot has after a rekey does not come of the lot any more: its record has keys of its own. */
static void test_out_of_a_lot(void **state)
{
    static const ljs_root_keys none = { NULL, NULL, NULL, NULL };
    ljs_device device = { .struct_size = sizeof device, .dev_eui = W_DEV, .join_eui = W_EUI, .mac = LJS_MAC_1_1 };
    ljs_derivation what = { .scheme = LJS_SCHEME_1_1, .dev_eui = W_DEV };
    const uint8_t master[32] = { 1 }; /* that of the world */
    ljs_key *lot, *nwk, *app, *rekey;
    struct world w;
    ljs_buf value;

    (void)state;
    w_begin_world(&w, LJS_MAC_1_1, LJS_REKEY_SUITE_1, LJS_REKEY_APP_KEYS | LJS_REKEY_REKEY_KEY, 0);
    assert_int_equal(ljs_key_generate(&lot, 16), LJS_OK);
    assert_int_equal(ljs_lot_make(&value, w.vault, "lot", lot), LJS_OK);
    assert_int_equal(ljs_vault_add_lot(w.vault, value.data, value.len), LJS_OK);
    what.name = LJS_KEY_LOT_NWK;
    assert_int_equal(ljs_derive(&nwk, &what, lot), LJS_OK);
    what.name = LJS_KEY_LOT_APP;
    assert_int_equal(ljs_derive(&app, &what, lot), LJS_OK);
    what.name = LJS_KEY_LOT_REKEY;
    assert_int_equal(ljs_derive(&rekey, &what, lot), LJS_OK);
    ljs_se_free(w.inner);
    assert_int_equal(ljs_se_software_rekey(&w.inner, nwk, app, NULL, rekey, w.x25519), LJS_OK);
    strcpy(device.lot, "lot");
    device.keys = LJS_HAS_NWK_KEY | LJS_HAS_APP_KEY | LJS_HAS_REKEY_KEY;
    ljs_buf_free(&w.record);
    assert_int_equal(ljs_device_make(&w.record, w.vault, &device, &none, 0, -1, NULL, 0, NULL, 0), LJS_OK);

    to_its_end(&w);
    assert_int_equal(ljs_device_read(&device, w.record.data, w.record.len), LJS_OK);
    assert_int_equal(device.epoch, 1);
    assert_string_equal(device.lot, "");
    ljs_vault_free(w.vault);
    assert_int_equal(ljs_vault_new(&w.vault, master, sizeof master), LJS_OK); /* which never knew of the lot */
    w_find_each_other(&w);
    ljs_buf_free(&value);
    ljs_key_free(lot);
    ljs_key_free(nwk);
    ljs_key_free(app);
    ljs_key_free(rekey);
    w_end_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_fails),
        cmocka_unit_test(test_power_fails_at_every_write),
        cmocka_unit_test(test_abort_at_every_write),
        cmocka_unit_test(test_replays),
        cmocka_unit_test(test_compromised_and_reopened),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_records_do_not_grow),
        cmocka_unit_test(test_out_of_a_lot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
