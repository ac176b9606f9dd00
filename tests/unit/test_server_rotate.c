/* Another master key for a store in use: who serves finds it out, nothing is lost on the way, and the old
 * one ends only when nothing is under it. */
#include "rotate_world.h"

#include <lorajs/audit.h>

#include "contract/faulty.h"

static void test_from_one_to_the_next(void **state)
{
    ljs_server *old, *new;
    ljs_vault *old_vault, *new_vault;
    ljs_rewrapped so_far;
    struct world w;

    (void)state;
    many(&w);
    joins(w.server, DEV, 1, 1);
    assert_int_equal(opened(&old, &old_vault, w.store, 0x61), LJS_OK);
    assert_int_equal(opened(&new, &new_vault, w.store, 0x62), LJS_E_SEAL);
    assert_int_equal(rotate(w.server, 0x61), LJS_E_EXISTS); /* it is that already */
    assert_int_equal(rotate(w.server, 0x62), LJS_OK);
    assert_int_equal(rotate(w.server, 0x62), LJS_OK);
    assert_int_equal(rotate(w.server, 0x63), LJS_E_EXISTS); /* one after another */
    assert_int_equal(ljs_vault_version(vault), 2);
    assert_int_equal(opened(&new, &new_vault, w.store, 0x62), LJS_OK); /* both open it */
    assert_int_equal(ljs_vault_versions(new_vault), 2);
    joins(new, DEV, 2, 2);
    joins(old, DEV, 3, 3); /* it was running before, and meets a record that it cannot read */
    assert_int_equal(ljs_vault_versions(old_vault), 2);
    closed(old, old_vault);
    assert_int_equal(opened(&old, &old_vault, w.store, 0x61), LJS_OK);
    joins(old, DEV + 1, 1, 1);

    so_far = rewrapped(w.server, true);
    assert_int_equal(so_far.values, DEVICES + 2);
    assert_int_equal(so_far.looked, DEVICES + 2);
    assert_int_equal(so_far.changed, DEVICES + 2);
    assert_int_equal(so_far.damaged, 0);
    assert_int_equal(so_far.passes, 2);
    assert_int_equal(ljs_vault_versions(vault), 1);
    joins(w.server, DEV, 4, 4);
    joins(new, DEV, 5, 5);
    joins(old, DEV, 6, 6); /* it had taken the new one in time */
    closed(old, old_vault);
    assert_int_equal(opened(&old, &old_vault, w.store, 0x61), LJS_E_SEAL);
    for (unsigned i = 2; i < DEVICES; i++)
        joins(new, DEV + i, 1, 1);
    assert_int_equal(ljs_server_put_kek(new, "ns-kek", ns_kek, 0), LJS_OK); /* the same is no change */
    assert_int_equal(ljs_server_put_kek(new, "as-kek", as_kek, 0), LJS_OK);
    closed(new, new_vault);

    so_far = rewrapped(w.server, true); /* nothing to do, and nothing to end */
    assert_int_equal(so_far.changed, 0);
    assert_int_equal(so_far.passes, 1);
    server_end(&w);
}

/* The key of a lot goes with the others, also for who has it from before. */
static void test_a_lot(void **state)
{
    static const ljs_root_keys none = { NULL, NULL, NULL, NULL };
    ljs_derivation what = { .name = LJS_KEY_LOT_APP, .scheme = LJS_SCHEME_1_1, .dev_eui = DEV };
    ljs_key *lot, *was = nwk;
    ljs_device d = device_of(LJS_MAC_1_0_4);
    ljs_change gone = { .key = (const uint8_t *)"llot", .key_len = 4 };
    ljs_buf value;
    ljs_server *old;
    ljs_vault *old_vault;
    struct world w;

    (void)state;
    lab_begin(&w, NULL);
    assert_int_equal(ljs_key_generate(&lot, 16), LJS_OK);
    assert_int_equal(ljs_derive(&nwk, &what, lot), LJS_OK); /* joins() signs with it */
    assert_int_equal(ljs_server_put_lot(w.server, "lot", lot), LJS_OK);
    strcpy(d.lot, "lot");
    assert_int_equal(ljs_server_make_device(w.server, &d, &none, 0, NO_NONCE, NULL, 0), LJS_OK);
    assert_int_equal(opened(&old, &old_vault, w.store, 0x61), LJS_OK);
    joins(old, DEV, 1, 1);
    assert_int_equal(rotate(w.server, 0x62), LJS_OK);
    assert_int_equal(ljs_server_refresh(old), LJS_OK);
    assert_int_equal(rewrapped(w.server, true).damaged, 0);
    joins(w.server, DEV, 2, 2);
    assert_int_equal(ljs_server_refresh(old),
                     LJS_OK); /* which has the new key alone by now, and the lot under the old */
    joins(old, DEV, 3, 3);
    assert_int_equal(ljs_server_put_lot(old, "lot", lot), LJS_OK);
    /* By what it is known again where it is lost goes, too. */
    assert_int_equal(ljs_store_get(&value, &gone.if_version, w.store, gone.key, gone.key_len), LJS_OK);
    ljs_buf_free(&value);
    assert_int_equal(ljs_store_commit(w.store, &gone, 1), LJS_OK);
    assert_int_equal(ljs_server_put_lot(w.server, "lot", was), LJS_E_EXISTS);
    assert_int_equal(ljs_server_put_lot(old, "lot", lot), LJS_OK);
    joins(w.server, DEV, 4, 4);
    closed(old, old_vault);
    ljs_key_free(nwk);
    ljs_key_free(lot);
    nwk = was;
    server_end(&w);
}

/* Who slept through all of it answers nothing rather than something wrong, and what it would have made is
 * not left behind. */
static void test_who_slept(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_4);
    const ljs_root_keys keys = { .nwk = nwk, .app = app };
    ljs_server *old;
    ljs_vault *old_vault;
    struct world w;
    ljs_key *next;

    (void)state;
    many(&w);
    assert_int_equal(opened(&old, &old_vault, w.store, 0x61), LJS_OK);
    assert_int_equal(rotate(w.server, 0x62), LJS_OK);
    rewrapped(w.server, true);
    refuses(old, DEV, 1);
    d.dev_eui = DEV + DEVICES;
    assert_int_equal(ljs_server_make_device(old, &d, &keys, 0, NO_NONCE, NULL, 0), LJS_E_SEAL);
    assert_int_equal(ljs_server_put_kek(old, "late", ns_kek, 0), LJS_E_SEAL);
    assert_int_equal(ljs_server_refresh(old), LJS_E_SEAL);
    assert_int_equal(ljs_server_flush(old), LJS_E_SEAL);
    added(&w, &d);
    assert_int_equal(ljs_server_put_kek(w.server, "late", as_kek, 0), LJS_OK);
    joins(w.server, DEV, 1, 1); /* nothing was burnt */
    /* Told the new key, it goes on. */
    next = key_from(0x62);
    assert_int_equal(ljs_vault_add(old_vault, next), LJS_OK);
    ljs_key_free(next);
    assert_int_equal(ljs_server_refresh(old), LJS_OK);
    joins(old, DEV, 2, 2);
    closed(old, old_vault);
    server_end(&w);
}

/* What a sleeper makes while both keys count is under the new one when it says so. */
static void test_made_meanwhile(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_4);
    const ljs_root_keys keys = { .nwk = nwk, .app = app };
    ljs_server *old;
    ljs_vault *old_vault;
    ljs_rewrap *r;
    struct world w;

    (void)state;
    many(&w);
    assert_int_equal(opened(&old, &old_vault, w.store, 0x61), LJS_OK);
    assert_int_equal(rotate(w.server, 0x62), LJS_OK);
    assert_int_equal(ljs_rewrap_new(&r, w.server), LJS_OK);
    walk(r);
    d.dev_eui = DEV + DEVICES;
    assert_int_equal(ljs_server_make_device(old, &d, &keys, 0, NO_NONCE, NULL, 0), LJS_OK);
    assert_int_equal(ljs_server_put_kek(old, "late", ns_kek, 0), LJS_OK);
    closed(old, old_vault);
    assert_int_equal(ljs_rewrap_retire(r, 0), LJS_OK);
    ljs_rewrap_free(r);
    joins(w.server, DEV + DEVICES, 1, 1);
    assert_int_equal(ljs_server_put_kek(w.server, "late", ns_kek, 0), LJS_OK);
    /* Nor does he put what he does not open in the place of what is under the new one. */
    assert_int_equal(opened(&old, &old_vault, w.store, 0x62), LJS_OK);
    assert_int_equal(rotate(w.server, 0x63), LJS_OK);
    assert_int_equal(ljs_rewrap_new(&r, w.server), LJS_OK);
    walk(r);
    assert_int_equal(ljs_server_put_kek(old, "late", as_kek, 1), LJS_OK);
    assert_int_equal(ljs_rewrap_retire(r, 0), LJS_OK);
    ljs_rewrap_free(r);
    assert_int_equal(ljs_server_put_kek(w.server, "late", as_kek, 0), LJS_OK);
    closed(old, old_vault);
    assert_int_equal(opened(&old, &old_vault, w.store, 0x62), LJS_E_SEAL);
    assert_int_equal(opened(&old, &old_vault, w.store, 0x63), LJS_OK);
    assert_int_equal(rotate(w.server, 0x64), LJS_OK);
    rewrapped(w.server, true);
    assert_int_equal(ljs_server_put_kek(old, "late", ns_kek, 1), LJS_E_SEAL); /* too late: it is left as it was */
    assert_int_equal(ljs_server_put_kek(w.server, "late", as_kek, 0), LJS_OK);
    closed(old, old_vault);
    server_end(&w);
}

static void test_not_before_its_time(void **state)
{
    ljs_rewrapped so_far;
    ljs_rewrap *r, *late;
    struct world w;

    (void)state;
    many(&w);
    assert_int_equal(rotate(w.server, 0x62), LJS_OK);
    assert_int_equal(ljs_rewrap_new(&r, w.server), LJS_OK);
    assert_int_equal(ljs_rewrap_retire(r, 0), LJS_E_STATE);
    assert_int_equal(ljs_rewrap_step(&so_far, r, 0), LJS_E_INVAL);
    assert_int_equal(ljs_rewrap_step(&so_far, r, 1025), LJS_E_INVAL);
    assert_int_equal(ljs_rewrap_step(&so_far, r, DEVICES), LJS_OK);
    assert_int_equal(so_far.changed, DEVICES);
    assert_int_equal(so_far.done, 0);
    assert_int_equal(ljs_rewrap_retire(r, 0), LJS_E_STATE);
    walk(r);
    assert_int_equal(ljs_rewrap_retire(r, 2), LJS_E_INVAL);
    assert_int_equal(ljs_rewrap_new(&late, w.server), LJS_OK);
    walk(late);
    assert_int_equal(ljs_rewrap_retire(r, 0), LJS_OK);
    assert_int_equal(ljs_rewrap_retire(r, 0), LJS_OK); /* once more is no harm */
    assert_int_equal(rotate(w.server, 0x63), LJS_OK);
    assert_int_equal(ljs_rewrap_retire(late, 0), LJS_E_STATE); /* it looked for another */
    assert_int_equal(ljs_vault_versions(vault), 2);
    ljs_rewrap_free(r);
    ljs_rewrap_free(late);
    assert_int_equal(rewrapped(w.server, true).changed, DEVICES + 2);
    joins(w.server, DEV, 1, 1);
    server_end(&w);
}

struct key_of_value {
    uint8_t at[16];
    size_t len;
};

static void flip(struct world *w, const struct key_of_value *key)
{
    ljs_change change = { .key = key->at, .key_len = key->len };
    ljs_buf value;

    assert_int_equal(ljs_store_get(&value, &change.if_version, w->store, key->at, key->len), LJS_OK);
    value.data[value.len - 1] ^= 1;
    change.in = value.data;
    change.in_len = value.len;
    assert_int_equal(ljs_store_commit(w->store, &change, 1), LJS_OK);
    assert_int_equal(change.result, LJS_OK);
    ljs_buf_free(&value);
}

/* What no key opens is told, and keeps the old key until somebody says otherwise. */
static void test_damaged(void **state)
{
    const struct key_of_value device = { { 'd', 0x70, 0xb3, 0xd5, 0x49, 0x9f, 0x0a, 0x1c, 0x27 }, 9 };
    const struct key_of_value kek = { { 'k', 'n', 's', '-', 'k', 'e', 'k' }, 7 };
    const uint8_t unknown[] = "zz";
    ljs_change change = { .key = unknown, .key_len = 2, .in = unknown, .in_len = 2 };
    ljs_rewrapped so_far;
    ljs_rewrap *r;
    struct world w;

    (void)state;
    many(&w);
    flip(&w, &device);
    assert_int_equal(rotate(w.server, 0x62), LJS_OK);
    assert_int_equal(ljs_rewrap_new(&r, w.server), LJS_OK);
    so_far = walk(r);
    assert_int_equal(so_far.damaged, 1);
    assert_int_equal(so_far.changed, DEVICES + 1);
    assert_string_equal(so_far.what, "device 70b3d5499f0a1c27");
    assert_int_equal(ljs_rewrap_retire(r, 0), LJS_E_STATE);
    ljs_rewrap_free(r);
    flip(&w, &kek);
    assert_int_equal(ljs_rewrap_new(&r, w.server), LJS_OK);
    so_far = walk(r);
    assert_int_equal(so_far.damaged, 2);
    assert_string_equal(so_far.what, "KEK ns-kek");
    flip(&w, &device);
    flip(&w, &kek);
    ljs_rewrap_free(r);
    assert_int_equal(rewrapped(w.server, false).changed, 1);

    assert_int_equal(ljs_store_commit(w.store, &change, 1), LJS_OK); /* of a newer lorajs, perhaps */
    assert_int_equal(ljs_rewrap_new(&r, w.server), LJS_OK);
    do
        change.result = ljs_rewrap_step(&so_far, r, 64);
    while (!change.result && !so_far.done);
    assert_int_equal(change.result, LJS_E_VERSION);
    assert_int_equal(ljs_rewrap_retire(r, LJS_REWRAP_LEAVE_DAMAGED), LJS_E_STATE);
    ljs_rewrap_free(r);
    server_end(&w);
}

static void test_left_damaged(void **state)
{
    const struct key_of_value device = { { 'd', 0x70, 0xb3, 0xd5, 0x49, 0x9f, 0x0a, 0x1c, 0x27 }, 9 };
    ljs_rewrap *r;
    struct world w;

    (void)state;
    many(&w);
    flip(&w, &device);
    assert_int_equal(rotate(w.server, 0x62), LJS_OK);
    assert_int_equal(ljs_rewrap_new(&r, w.server), LJS_OK);
    walk(r);
    assert_int_equal(ljs_rewrap_retire(r, LJS_REWRAP_LEAVE_DAMAGED), LJS_OK);
    ljs_rewrap_free(r);
    refuses(w.server, DEV, 1);
    joins(w.server, DEV + 1, 1, 1);
    server_end(&w);
}

/* The store's own value put back by who can write to the disk: whoever follows it does not go back. */
static void test_put_back(void **state)
{
    const uint8_t m[] = { 'm' };
    ljs_change change = { .key = m, .key_len = 1 };
    ljs_server *new;
    ljs_vault *new_vault;
    struct world w;
    ljs_buf was, is;
    uint64_t version;

    (void)state;
    many(&w);
    assert_int_equal(rotate(w.server, 0x62), LJS_OK);
    assert_int_equal(ljs_store_get(&was, &version, w.store, m, 1), LJS_OK);
    rewrapped(w.server, true);
    assert_int_equal(rotate(w.server, 0x63), LJS_OK);
    assert_int_equal(ljs_store_get(&is, &change.if_version, w.store, m, 1), LJS_OK);
    for (size_t bit = 0; bit <= 8 * is.len; bit += 11) { /* altered anywhere, or older */
        ljs_buf *put = bit + 11 > 8 * is.len ? &was : &is;

        if (put == &is)
            is.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        change.in = put->data;
        change.in_len = put->len;
        assert_int_equal(ljs_store_commit(w.store, &change, 1), LJS_OK);
        assert_int_equal(change.result, LJS_OK);
        assert_true(ljs_server_refresh(w.server) == LJS_E_SEAL || ljs_server_refresh(w.server) == LJS_E_VERSION);
        assert_int_equal(ljs_vault_version(vault), 3);
        assert_int_equal(ljs_vault_versions(vault), 2);
        assert_true(opened(&new, &new_vault, w.store, 0x63) != LJS_OK);
        if (put == &is)
            is.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        {
            ljs_buf now;

            assert_int_equal(ljs_store_get(&now, &change.if_version, w.store, m, 1), LJS_OK);
            ljs_buf_free(&now);
        }
    }
    joins(w.server, DEV, 1, 1);
    ljs_buf_free(&was);
    ljs_buf_free(&is);
    server_end(&w);
}

/* With an audit log: each record says what was done to it, and the log opens under the new key. */
static ljs_err count_link(void *user, uint64_t writer, uint64_t sequence)
{
    unsigned *counts = user;
    ljs_server *server = *(ljs_server *const *)(const void *)(counts + 2);
    ljs_audit_entry e;
    ljs_buf link;

    assert_int_equal(ljs_server_get_link(&link, server, writer, sequence), LJS_OK);
    for (unsigned i = 0; !ljs_audit_link_entry(&e, i, link.data, link.len); i++) {
        counts[0] += e.kind == LJS_AUDIT_REWRAP;
        counts[1] += e.kind == LJS_AUDIT_MASTER;
    }
    ljs_buf_free(&link);
    return LJS_OK;
}

static void test_with_an_audit_log(void **state)
{
    const ljs_server_opts opts = { .struct_size = sizeof opts, .anonymous = 1, .audit = LJS_AUDIT_ON };
    struct {
        unsigned counts[2];
        ljs_server *server;
    } user = { .counts = { 0, 0 } };
    ljs_device d = device_of(LJS_MAC_1_0_4);
    struct world w;

    (void)state;
    server_begin(&w, NULL, &opts);
    for (unsigned i = 0; i < 70; i++) {
        d.dev_eui = DEV + i;
        added(&w, &d);
    }
    put_two_keks(&w);
    assert_int_equal(rotate(w.server, 0x62), LJS_OK);
    assert_int_equal(rewrapped(w.server, true).changed, 72);
    user.server = w.server;
    assert_int_equal(ljs_server_each_link(w.server, count_link, &user), LJS_OK);
    assert_int_equal(user.counts[0], 72);
    assert_int_equal(user.counts[1], 2);
    server_end(&w);
}

/* All of it, as far as it gets; ::LJS_OK when it came to its end. */
static ljs_err all_of_it(ljs_server *server)
{
    ljs_rewrapped so_far = { .done = 0 };
    ljs_rewrap *r = NULL;
    ljs_err err = rotate(server, 0x62);

    if (err == LJS_E_EXISTS) /* retired already */
        err = LJS_OK;
    if (!err)
        err = ljs_rewrap_new(&r, server);
    while (!err && !so_far.done)
        err = ljs_rewrap_step(&so_far, r, 7);
    if (!err)
        err = ljs_rewrap_retire(r, 0);
    ljs_rewrap_free(r);
    return err;
}

/* Cut off at each durable point, before it, after it and in its midst: the next process goes on, with the old key
 * while that counts, else with the new one; and every device joins, with the next JoinNonce. */
static void test_cut_off_at_each_durable_point(void **state)
{
    static const enum fault faults[] = { FAULT_BEFORE, FAULT_AFTER, FAULT_TEAR };
    unsigned cut = 0;

    (void)state;
    for (size_t f = 0; f < COUNT_OF(faults); f++)
        for (unsigned nth = 1, over = 0; !over; nth++) {
            ljs_device d = device_of(LJS_MAC_1_0_4);
            struct faulty *control;
            ljs_store *inner, *store;
            ljs_vault *a_vault, *b_vault;
            ljs_server *a, *b;
            const ljs_root_keys keys = { .nwk = nwk, .app = app };

            assert_int_equal(ljs_store_memory(&inner), LJS_OK);
            assert_int_equal(faulty_new(&store, &control, inner), LJS_OK);
            assert_int_equal(opened(&a, &a_vault, store, 0x61), LJS_OK);
            for (unsigned i = 0; i < 30; i++) {
                d.dev_eui = DEV + i;
                assert_int_equal(ljs_server_make_device(a, &d, &keys, 0, NO_NONCE, NULL, 0), LJS_OK);
            }
            joins(a, DEV, 1, 1);
            faulty_arm(control, FAULTY_COMMIT, nth, faults[f], 0);
            over = all_of_it(a) == LJS_OK;
            cut += !over;
            closed(a, a_vault);
            faulty_arm(control, FAULTY_COMMIT, 1, FAULT_NONE, 0);
            if (opened(&b, &b_vault, store, 0x61))
                assert_int_equal(opened(&b, &b_vault, store, 0x62), LJS_OK);
            joins(b, DEV, 2, 2);
            assert_int_equal(all_of_it(b), LJS_OK);
            joins(b, DEV, 3, 3);
            closed(b, b_vault);
            assert_int_equal(opened(&b, &b_vault, store, 0x61), LJS_E_SEAL);
            assert_int_equal(opened(&b, &b_vault, store, 0x62), LJS_OK);
            assert_int_equal(ljs_vault_version(b_vault), 2);
            for (unsigned i = 1; i < 30; i++)
                joins(b, DEV + i, 1, 1);
            closed(b, b_vault);
            ljs_store_free(store);
        }
    assert_true(cut >= 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_from_one_to_the_next, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_a_lot, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_who_slept, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_made_meanwhile, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_not_before_its_time, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_damaged, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_left_damaged, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_put_back, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_cut_off_at_each_durable_point, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_with_an_audit_log, world_begin, world_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
