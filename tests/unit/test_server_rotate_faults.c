/* Another master key for a store in use, when the store fails or somebody else acts in the worst moment. */
#include "rotate_world.h"

#include "contract/faulty.h"

/* A store over another that lets somebody join between a device's commit and whatever its maker does next. */
struct between {
    ljs_store *inner;
    ljs_server *joins; /* NULL: nobody */
};

static ljs_err between_get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    return ljs_store_get(out, version, ((struct between *)self)->inner, key, key_len);
}

static ljs_err between_commit(void *self, ljs_change *changes, size_t changes_len)
{
    struct between *b = self;
    ljs_server *server = b->joins;
    ljs_err err = ljs_store_commit(b->inner, changes, changes_len);

    b->joins = NULL;
    if (server)
        joins(server, DEV + DEVICES, 1, 1);
    return err;
}

static ljs_err between_each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    return ljs_store_each(((struct between *)self)->inner, prefix, prefix_len, row, user);
}

static void between_close(void *self)
{
    ljs_store_free(((struct between *)self)->inner);
}

/* A device that a sleeper made has given a JoinNonce before the sleeper finds out: it does not begin again at 1. */
static void test_made_too_late_and_joined(void **state)
{
    static const ljs_store_ops ops = { .struct_size = sizeof ops,
                                       .get = between_get,
                                       .commit = between_commit,
                                       .each = between_each,
                                       .close = between_close };
    const ljs_root_keys keys = { .nwk = nwk, .app = app };
    ljs_device d = device_of(LJS_MAC_1_0_4);
    struct between b = { .joins = NULL };
    ljs_store *store;
    ljs_server *old;
    ljs_vault *old_vault;
    struct world w;

    (void)state;
    assert_int_equal(ljs_store_memory(&b.inner), LJS_OK);
    assert_int_equal(ljs_store_custom(&store, &ops, &b), LJS_OK);
    lab_begin(&w, store);
    assert_int_equal(opened(&old, &old_vault, store, 0x61), LJS_OK);
    assert_int_equal(rotate(w.server, 0x62), LJS_OK);
    rewrapped(w.server, true);
    d.dev_eui = DEV + DEVICES;
    b.joins = old;
    assert_int_equal(ljs_server_make_device(old, &d, &keys, 0, NO_NONCE, NULL, 0), LJS_E_SEAL);
    assert_int_equal(add(&w, &d), LJS_E_SEAL);
    closed(old, old_vault);
    server_end(&w);
}

/* A fault in whatever call, also where one pass has ended and the next begun: the last pass sees everything. */
static void test_faults_between_passes(void **state)
{
    static const enum fault faults[] = { FAULT_BEFORE, FAULT_AFTER };
    static const enum faulty_call calls[] = { FAULTY_GET, FAULTY_COMMIT, FAULTY_EACH };

    (void)state;
    for (unsigned k = 0; k < COUNT_OF(faults) * COUNT_OF(calls); k++) {
        enum faulty_call call = calls[k % COUNT_OF(calls)];
        ljs_rewrapped so_far = { .done = 0 };
        struct faulty *faulty;
        unsigned failed = 0;
        ljs_store *inner, *store;
        ljs_rewrap *r;
        struct world w;

        assert_int_equal(ljs_store_memory(&inner), LJS_OK);
        assert_int_equal(faulty_new(&store, &faulty, inner), LJS_OK);
        lab_begin(&w, store);
        for (unsigned i = 0; i < DEVICES; i++) {
            ljs_device d = device_of(LJS_MAC_1_0_4);

            d.dev_eui = DEV + i;
            added(&w, &d);
        }
        put_two_keks(&w);
        assert_int_equal(rotate(w.server, (uint8_t)(0x62 + k)), LJS_OK);
        assert_int_equal(ljs_rewrap_new(&r, w.server), LJS_OK);
        faulty_arm(faulty, call, call == FAULTY_GET ? DEVICES + 50 : 1, faults[k / COUNT_OF(calls)], 0);
        while (!so_far.done) {
            ljs_err err = ljs_rewrap_step(&so_far, r, 256);

            assert_true(!err || (err == LJS_E_STORE && !failed++));
        }
        assert_int_equal(failed, 1);
        assert_int_equal(so_far.values, DEVICES + 2);
        assert_int_equal(so_far.looked, so_far.values);
        assert_int_equal(so_far.damaged, 0);
        assert_int_equal(ljs_rewrap_retire(r, 0), LJS_OK);
        ljs_rewrap_free(r);
        joins(w.server, DEV, 1, 1);
        server_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_made_too_late_and_joined, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_faults_between_passes, world_begin, world_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
