/* The corners of a rekey where a row of its tables does not tell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rekey_side.h"

/* Committed, reopened, and the same join-request again: it commits again, durably, and answers with the session that it
 * made; and one before that does not become fresh again. */
static void test_a_repeat_that_commits(void **state)
{
    struct side s;
    ljs_buf record;
    ljs_join_ans first, again, more;
    uint8_t phy[3][23];

    (void)state;
    begin_side(&s, 0, false);
    {
        const ljs_device device = {
            .struct_size = sizeof device, .dev_eui = W_DEV, .join_eui = W_EUI, .mac = LJS_MAC_1_0_4
        };

        ljs_buf_free(&s.record); /* it joins under another JoinEUI until then */
        assert_int_equal(ljs_device_make(&s.record, s.vault, &device,
                                         &(ljs_root_keys){ .nwk = s.old, .rekey = s.rekey }, 0, -1, NULL, 0, NULL, 0),
                         LJS_OK);
    }
    assert_int_equal(ljs_rekey_begin(&s.command, &record, s.vault, &s.opts, s.record.data, s.record.len), LJS_OK);
    w_take(&s.record, &record);
    frame(phy[0], s.new, W_NEW, 0);
    assert_int_equal(join_frame(&first, &record, &s, phy[0]), LJS_OK);
    w_take(&s.record, &record);
    assert_int_equal(state_of(&s.record), 'C');
    assert_int_equal(happen(&record, &s, 'R'), LJS_OK);
    w_take(&s.record, &record);
    assert_int_equal(join_frame(&again, &record, &s, phy[0]), LJS_OK);
    assert_true(again.repeat);
    assert_int_equal(again.join_nonce, first.join_nonce);
    assert_non_null(record.data); /* what it proves is durable before it is answered */
    w_take(&s.record, &record);
    assert_int_equal(state_of(&s.record), 'C');
    assert_int_equal(join_frame(&again, &record, &s, phy[0]), LJS_OK);
    assert_true(again.repeat);
    assert_null(record.data); /* and a repeat of that is one as ever */
    /* once more, and a join under the old keys in between: no repeat any more, and still no DevNonce that is fresh */
    assert_int_equal(happen(&record, &s, 'R'), LJS_OK);
    w_take(&s.record, &record);
    frame(phy[1], s.old, W_EUI, 0);
    assert_int_equal(join_frame(&more, &record, &s, phy[1]), LJS_OK);
    w_take(&s.record, &record);
    assert_int_equal(join_frame(&more, &record, &s, phy[0]), LJS_E_REPLAY);
    assert_null(record.data);
    assert_int_equal(state_of(&s.record), 'P');
    frame(phy[2], s.new, W_NEW, 1);
    assert_int_equal(join_frame(&more, &record, &s, phy[2]), LJS_OK);
    w_take(&s.record, &record);
    assert_int_equal(state_of(&s.record), 'C');
    end_side(&s);
}

/* An epoch that was given up is burnt, for the next one and for an import. */
static void test_epochs(void **state)
{
    struct side s;
    ljs_buf message, record;
    ljs_rekey rekey;

    (void)state;
    go(&s, &(struct row){ .way = "BF" });
    assert_int_equal(ljs_rekey_begin(&message, &record, s.vault, &s.opts, s.record.data, s.record.len), LJS_OK);
    assert_int_equal(ljs_rekey_read(&rekey, record.data, record.len), LJS_OK);
    assert_int_equal(rekey.epoch, 2);
    ljs_buf_free(&message);
    ljs_buf_free(&record);
    end_side(&s);
    go(&s, &(struct row){ .way = "B" }); /* the device says that it is at 65535 */
    assert_int_equal(answer(&record, &s, LJS_REKEY_TOO_OLD, 0xffff), LJS_OK);
    w_take(&s.record, &record);
    assert_int_equal(happen(&record, &s, 'B'), LJS_E_SPENT);
    assert_null(record.data);
    end_side(&s);
    go(&s, &(struct row){ .way = "B" });
    assert_int_equal(answer(&record, &s, LJS_REKEY_TOO_OLD, 0xfffe), LJS_OK);
    w_take(&s.record, &record);
    assert_int_equal(happen(&record, &s, 'b'), LJS_OK);
    assert_int_equal(ljs_rekey_read(&rekey, record.data, record.len), LJS_OK);
    assert_int_equal(rekey.epoch, 0xffff);
    ljs_buf_free(&record);
    end_side(&s);
}

/* Who answers for a device that has moved is another server, and that one's are its epochs. */
static void test_moved_and_blocked(void **state)
{
    struct side s;
    ljs_buf record;

    (void)state;
    go(&s, &(struct row){ .way = "" });
    assert_int_equal(ljs_device_step(&record, s.vault, LJS_DEVICE_MOVE, s.record.data, s.record.len), LJS_OK);
    w_take(&s.record, &record);
    assert_int_equal(happen(&record, &s, 'B'), LJS_E_MOVED);
    assert_null(record.data);
    assert_int_equal(ljs_device_step(&record, s.vault, LJS_DEVICE_MOVE_BACK, s.record.data, s.record.len), LJS_OK);
    w_take(&s.record, &record);
    assert_int_equal(happen(&record, &s, 'B'), LJS_OK);
    w_take(&s.record, &record);
    /* and under a rekey none moves: the other server would know but one of its sets of keys */
    assert_int_equal(ljs_device_step(&record, s.vault, LJS_DEVICE_MOVE, s.record.data, s.record.len), LJS_E_STATE);
    assert_null(record.data);
    assert_int_equal(ljs_device_step(&record, s.vault, LJS_DEVICE_BLOCK, s.record.data, s.record.len), LJS_OK);
    w_take(&s.record, &record);
    assert_int_equal(ljs_device_step(&record, s.vault, LJS_DEVICE_MOVE, s.record.data, s.record.len), LJS_E_STATE);
    assert_int_equal(join(&record, &s, s.new, W_NEW), LJS_E_BLOCKED); /* nothing commits meanwhile */
    assert_int_equal(state_of(&s.record), 'P');
    assert_int_equal(ljs_device_step(&record, s.vault, LJS_DEVICE_UNBLOCK, s.record.data, s.record.len), LJS_OK);
    w_take(&s.record, &record);
    assert_int_equal(happen(&record, &s, 'n'), LJS_OK);
    w_take(&s.record, &record);
    assert_int_equal(ljs_device_step(&record, s.vault, LJS_DEVICE_MOVE, s.record.data, s.record.len), LJS_OK);
    ljs_buf_free(&record);
    end_side(&s);
    go(&s, &(struct row){ .way = "B", .transfer = true }); /* which is another way to move, with its own end */
    assert_int_equal(ljs_device_step(&record, s.vault, LJS_DEVICE_MOVE, s.record.data, s.record.len), LJS_E_STATE);
    end_side(&s);
}

/* ---- suite 4 -------------------------------------------------------------------- */

static void in_place(struct world *w)
{
    w_begin_world(w, LJS_MAC_1_0_4, LJS_REKEY_SUITE_4, 0, 0);
}

/* The parent that was given is not the element's: it says so, the rekey is given up, and the next one goes well. */
static void test_another_parent(void **state)
{
    struct world w;
    ljs_buf message, record;
    ljs_ed_rekey_out out;
    ljs_key *good;

    (void)state;
    in_place(&w);
    good = w.parent;
    assert_int_equal(ljs_key_generate(&w.parent, 32), LJS_OK);
    w.opts.parent = w.parent;
    w.opts.force = 1;
    assert_true(w_begin(&w, &message));
    assert_true(w_tell(&w, &out, &message));
    assert_int_equal(out.status, LJS_REKEY_ELEMENT);
    assert_int_equal(w_answer(&w, &out), LJS_OK);
    ljs_buf_free(&message);
    assert_true(w_join(&w, false));
    assert_int_equal(ljs_rekey_abort(&message, &record, w.vault, 1, w.record.data, w.record.len), LJS_E_STATE);
    assert_true(w_abort(&w, &message));
    assert_true(w_tell(&w, &out, &message));
    assert_int_equal(out.status, LJS_REKEY_ABORTED);
    assert_int_equal(w_answer(&w, &out), LJS_OK);
    assert_true(w_join(&w, false));
    assert_int_equal(w_rekey(&w).state, LJS_REKEY_STABLE);
    ljs_buf_free(&message);
    w.opts.parent = good;
    assert_true(w_begin(&w, &message));
    assert_true(w_tell(&w, &out, &message));
    assert_int_equal(out.status, LJS_REKEY_OK);
    assert_true(w_join(&w, false));
    assert_true(w_join(&w, false));
    assert_int_equal(w_rekey(&w).state, LJS_REKEY_STABLE);
    assert_int_equal(w_rekey(&w).floor, 2);
    ljs_buf_free(&message);
    ljs_key_free(good);
    w_end_world(&w);
}

/* An abort that comes when DeriveKey is done is under a key that is no more; the join decides. */
static void test_abort_in_place_too_late(void **state)
{
    struct world w;
    ljs_buf message;
    ljs_ed_rekey_out out;

    (void)state;
    in_place(&w);
    assert_true(w_begin(&w, &message));
    assert_true(w_tell(&w, &out, &message));
    assert_int_equal(out.status, LJS_REKEY_OK);
    ljs_buf_free(&message);
    assert_true(w_abort(&w, &message));
    assert_false(w_tell(&w, &out, &message));
    assert_int_equal(out.err, LJS_E_MIC);
    assert_true(w_join(&w, false));
    assert_int_equal(w_rekey(&w).state, LJS_REKEY_COMMITTED);
    ljs_buf_free(&message);
    w_end_world(&w);
}

/* The command reaches a device of 1.1 between two of its join-requests: what it checks the answer to the next one with
 * comes of the new keys. */
static void test_in_place_while_it_joins(void **state)
{
    struct world w;
    ljs_buf message;
    ljs_ed_rekey_out out;

    (void)state;
    w_begin_world(&w, LJS_MAC_1_1, LJS_REKEY_SUITE_4, 0, 0);
    assert_true(w_begin(&w, &message));
    assert_false(w_join(&w, true));
    assert_true(w_tell(&w, &out, &message));
    assert_int_equal(out.status, LJS_REKEY_OK);
    assert_true(w_join(&w, false));
    assert_int_equal(w_rekey(&w).state, LJS_REKEY_COMMITTED);
    ljs_buf_free(&message);
    w_end_world(&w);
}

static ljs_err never(void *self, const uint8_t *temp_key, const uint8_t *mac)
{
    (void)self, (void)temp_key, (void)mac;
    return LJS_E_CRYPTO;
}

/* An element whose DeriveKey fails each time keeps nobody from joining by the keys that it has. */
static void test_an_element_that_will_not(void **state)
{
    struct world w;
    ljs_buf message;
    ljs_ed_rekey_out out;

    (void)state;
    in_place(&w);
    w.se->ops.derive_key = never;
    assert_true(w_begin(&w, &message));
    assert_true(w_tell(&w, &out, &message));
    assert_int_equal(out.status, LJS_REKEY_ELEMENT);
    assert_int_equal(w_answer(&w, &out), LJS_OK);
    assert_true(w_join(&w, false));
    ljs_buf_free(&message);
    w_end_world(&w);
}

/* Old and new NwkKey have the same KCV: once in sixteen million, and then nobody could tell them apart in place. */
static void test_the_same_kcv(void **state)
{
    struct world w;
    uint8_t parent[32],
        old[16] = { 0x3a, 0x91, 0x5c, 0xe7, 0x02, 0xb8, 0x4d, 0x16, 0xf9, 0x70, 0xc3, 0x2e, 0xdc, 0x2c, 0x44, 0x02 },
        kcv[3], kcv_old[3];
    ljs_device device = { .struct_size = sizeof device, .dev_eui = W_DEV, .join_eui = W_EUI, .mac = LJS_MAC_1_0_4 };
    ljs_key *key, *nwk;
    ljs_buf made, message, octets;
    ljs_ed_rekey_out out;
    ljs_rekey_message m;

    (void)state;
    in_place(&w);
    for (size_t i = 0; i < sizeof parent; i++)
        parent[i] = (uint8_t)(i * 5 + 1);
    ljs_key_free(w.parent);
    assert_int_equal(ljs_key_import(&w.parent, parent, sizeof parent), LJS_OK);
    w.opts.parent = w.parent;
    assert_int_equal(ljs_rekey_slot(&key, w.parent, W_DEV, W_EUI, 1, w.serial, sizeof w.serial), LJS_OK);
    assert_int_equal(ljs_key_export(&octets, key), LJS_OK);
    ljs_key_free(key);
    assert_int_equal(ljs_key_import(&key, octets.data + 16, 16), LJS_OK);
    ljs_buf_free(&octets);
    assert_int_equal(ljs_key_import(&nwk, old, sizeof old), LJS_OK);
    assert_int_equal(ljs_rekey_kcv(kcv, key), LJS_OK);
    assert_int_equal(ljs_rekey_kcv(kcv_old, nwk), LJS_OK);
    assert_memory_equal(kcv, kcv_old, sizeof kcv);
    assert_int_equal(
        ljs_device_make(&made, w.vault, &device, &(ljs_root_keys){ .nwk = nwk, .app = key }, 0, -1, NULL, 0, NULL, 0),
        LJS_OK);
    w_take(&w.record, &made);
    assert_true(w_begin(&w, &message)); /* passes epoch 1 over */
    assert_int_equal(ljs_rekey_parse(&m, message.data, message.len), LJS_OK);
    assert_int_equal(m.epoch, 2);
    assert_memory_not_equal(m.kcv, kcv, sizeof kcv);
    /* and a device that is told of such a one does not begin */
    ljs_se_free(w.inner);
    memset(parent, 9, 16);
    memcpy(parent + 16, old, 16);
    ljs_key_free(key);
    assert_int_equal(ljs_key_import(&key, parent, sizeof parent), LJS_OK);
    assert_int_equal(ljs_se_atecc(&w.inner, key, w.parent, w.serial, sizeof w.serial), LJS_OK);
    m.epoch = 1;
    memcpy(m.kcv, kcv, sizeof kcv);
    ljs_buf_free(&message);
    assert_int_equal(ljs_rekey_build(&message, &m), LJS_OK);
    assert_int_equal(ljs_rekey_mic(message.data + message.len - 4, nwk, W_DEV, message.data, message.len), LJS_OK);
    assert_true(w_tell(&w, &out, &message));
    assert_int_equal(out.status, LJS_REKEY_KCV);
    assert_int_equal(out.phase, LJS_ED_REKEY_SETTLED);
    ljs_buf_free(&message);
    ljs_key_free(key);
    ljs_key_free(nwk);
    w_end_world(&w);
}

/* ---- suite 2 ---------------------------------------------------------------------- */

/* Points of low order give a secret that anybody knows. */
static void test_low_order(void **state)
{
    static const uint8_t points[][32] = {
        { 0 },
        { 1 },
        { 0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
          0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00 },
        { 0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b,
          0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57 },
        { 0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
          0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f },
    };
    struct world w;

    (void)state;
    w_begin_world(&w, LJS_MAC_1_1, LJS_REKEY_SUITE_2, 0, 0);
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        uint8_t both[64];
        ljs_key *key;
        ljs_device device = {
            .struct_size = sizeof device, .dev_eui = W_DEV, .join_eui = W_EUI, .mac = LJS_MAC_1_0_4, .has_x25519 = 1
        };
        ljs_key *nwk, *rekey;
        ljs_buf record, message, after;

        memcpy(both, points[i], 32); /* the Join Server's, to the device */
        assert_int_equal(ljs_x25519_public(both + 32, w.x25519), LJS_OK);
        assert_int_not_equal(ljs_rekey_agree(&key, w.x25519, W_DEV, W_EUI, both, sizeof both), LJS_OK);
        assert_null(key);
        memcpy(device.x25519_public_key, points[i], 32); /* the device's, in its record */
        assert_int_equal(ljs_key_generate(&nwk, 16), LJS_OK);
        assert_int_equal(ljs_key_generate(&rekey, 16), LJS_OK);
        assert_int_equal(ljs_device_make(&record, w.vault, &device, &(ljs_root_keys){ .nwk = nwk, .rekey = rekey }, 0,
                                         -1, NULL, 0, NULL, 0),
                         LJS_OK);
        assert_int_not_equal(ljs_rekey_begin(&message, &after, w.vault, &w.opts, record.data, record.len), LJS_OK);
        assert_null(message.data);
        assert_null(after.data);
        ljs_buf_free(&record);
        ljs_key_free(nwk);
        ljs_key_free(rekey);
    }
    w_end_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_repeat_that_commits),
        cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_moved_and_blocked),
        cmocka_unit_test(test_another_parent),
        cmocka_unit_test(test_abort_in_place_too_late),
        cmocka_unit_test(test_in_place_while_it_joins),
        cmocka_unit_test(test_an_element_that_will_not),
        cmocka_unit_test(test_the_same_kcv),
        cmocka_unit_test(test_low_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
