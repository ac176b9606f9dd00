/* The index of what accounts own: it says what the claims say, after every act, in a store from before, after any
 * crash, and where somebody wrote to the disk. */
#include "owned_world.h"

/* ---- tests ------------------------------------------------------------------------------- */

static void test_every_act(void **state)
{
    static const struct {
        ljs_claim_act act;
        unsigned device;
        const char *account, *to;
    } acts[] = {
        { LJS_CLAIM_ENROL, 0, "", "" },           { LJS_CLAIM_CLAIM, 0, "acme", "" },
        { LJS_CLAIM_ASSIGN, 1, "acme", "" },      { LJS_CLAIM_ASSIGN, 2, "acme.b", "" },
        { LJS_CLAIM_OFFER, 1, "acme", "globex" }, { LJS_CLAIM_OFFER, 1, "acme", "acme.b" },
        { LJS_CLAIM_WITHDRAW, 1, "acme", "" },    { LJS_CLAIM_OFFER, 1, "acme", "globex" },
        { LJS_CLAIM_ACCEPT, 1, "globex", "" },    { LJS_CLAIM_OFFER, 0, "acme", "globex" },
        { LJS_CLAIM_SUSPEND, 0, "", "" },         { LJS_CLAIM_RESUME, 0, "", "" },
        { LJS_CLAIM_CLAIM, 0, "acme", "" },       { LJS_CLAIM_RELEASE, 0, "acme", "" },
        { LJS_CLAIM_CLAIM, 0, "globex", "" },     { LJS_CLAIM_OFFER, 2, "acme.b", "acme" },
        { LJS_CLAIM_RETIRE, 2, "", "" },          { LJS_CLAIM_RETIRE, 0, "", "" },
        { LJS_CLAIM_ASSIGN, 3, "acme", "" },      { LJS_CLAIM_OFFER, 3, "acme", "globex" },
    };

    (void)state;
    owned_begin();
    check();
    for (size_t i = 0; i < COUNT_OF(acts); i++) {
        assert_int_equal(act(acts[i].act, acts[i].device, acts[i].account, acts[i].to), LJS_OK);
        check();
        (void)!act(acts[i].act, 4, "acme", "globex"); /* of another device, as far as it goes */
        check();
    }
    assert_int_equal(ljs_server_step_device(w.server, DEV + 3, LJS_DEVICE_REMOVE), LJS_OK); /* owned, and offered */
    check();
    assert_int_equal(ljs_server_each_claim_of(w.server, "no/name", 0, UINT64_MAX, add_row, NULL), LJS_E_INVAL);
    server_end(&w);
}

static ljs_claim claim_of(unsigned device)
{
    ljs_claim c;

    assert_int_equal(ljs_server_get_claim(&c, w.server, DEV + device), LJS_OK);
    return c;
}

/* An offer ends with the account that it is made to: the next of its name is another. */
static void test_an_offer_to_one_that_ends(void **state)
{
    ljs_account next = { .struct_size = sizeof next, .name = "globex", .at = NOW };

    (void)state;
    owned_begin();
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(act(LJS_CLAIM_ASSIGN, i, "acme", ""), LJS_OK);
        assert_int_equal(act(LJS_CLAIM_OFFER, i, "acme", i ? "acme.b" : "globex"), LJS_OK);
    }
    assert_int_equal(ljs_server_del_account(w.server, "acme"), LJS_E_STATE);
    assert_string_equal(claim_of(0).offered_to, "globex");
    assert_int_equal(ljs_server_suspend_account(w.server, "acme", 1), LJS_OK); /* it cannot take it back itself */
    assert_int_equal(ljs_server_del_account(w.server, "globex"), LJS_OK);
    assert_string_equal(claim_of(0).offered_to, "");
    assert_int_equal(claim_of(0).offer_until, 0);
    assert_int_equal(claim_of(0).state, LJS_CLAIM_IS_CLAIMED);
    assert_string_equal(claim_of(0).account, "acme");
    assert_string_equal(claim_of(1).offered_to, "acme.b");
    assert_int_equal(ljs_server_add_account(w.server, &next), LJS_OK);
    check();
    assert_int_equal(act(LJS_CLAIM_ACCEPT, 0, "globex", ""), LJS_E_CLAIM);
    assert_int_equal(act(LJS_CLAIM_ACCEPT, 1, "acme.b", ""), LJS_OK);
    server_end(&w);
}

static void test_a_page(void **state)
{
    struct list l = { .most = 2 };

    (void)state;
    owned_begin();
    for (unsigned i = 0; i < DEVICES; i++)
        assert_int_equal(act(LJS_CLAIM_ASSIGN, i, i % 2 ? "acme" : "acme.b", ""), LJS_OK);
    assert_int_equal(ljs_server_each_claim_of(w.server, "acme", DEV + 2, UINT64_MAX, add_row, &l), LJS_E_BUSY);
    assert_true(l.len == 2 && l.at[0] == DEV + 3 && l.at[1] == DEV + 5);
    l.len = 0;
    assert_int_equal(ljs_server_each_claim_of(w.server, "acme", DEV, DEV + 2, add_row, &l), LJS_OK);
    assert_true(l.len == 1 && l.at[0] == DEV + 1);
    server_end(&w);
}

/* A store of before, with a crash at each commit on the way; the mark comes last. */
static void test_from_before(void **state)
{
    unsigned had;

    (void)state;
    owned_begin();
    for (unsigned i = 0; i < DEVICES - 1; i++)
        assert_int_equal(act(LJS_CLAIM_ASSIGN, i, names[i % 3], ""), LJS_OK);
    assert_int_equal(act(LJS_CLAIM_OFFER, 0, "acme", "globex"), LJS_OK);
    had = DEVICES + 1; /* five owners, an offer, and the mark */
    for (unsigned nth = 1; nth <= 2; nth++)
        for (enum fault fault = FAULT_BEFORE; fault <= FAULT_SOME; fault++) {
            struct list l = { .len = 0 };

            assert_int_equal(drop_index(true), had);
            another_server();
            assert_int_equal(faults(), 0); /* it has none, and needs none as yet */
            faulty_arm(faulty, FAULTY_COMMIT, nth, fault, 0);
            (void)!ljs_server_each_claim_of(w.server, "acme", 0, UINT64_MAX, add_row, &l);
            faulty_arm(faulty, FAULTY_COMMIT, 1, FAULT_NONE, 0);
            another_server();
            check();
        }
    assert_int_equal(act(LJS_CLAIM_RELEASE, 0, "acme", ""), LJS_OK);
    check();
    server_end(&w);
}

/* Nobody's name is asked for: no index is made for that, and a reader stays one. */
static void test_nobody(void **state)
{
    struct list l = { .len = 0 };

    (void)state;
    owned_begin();
    assert_int_equal(act(LJS_CLAIM_ASSIGN, 0, "acme", ""), LJS_OK);
    drop_index(true);
    another_server();
    assert_int_equal(ljs_server_each_claim_of(w.server, "initech", 0, UINT64_MAX, add_row, &l), LJS_OK);
    assert_int_equal(l.len, 0);
    assert_int_equal(drop_index(true), 0);
    server_end(&w);
}

/* In a store of before a claim's own act brings its entry, so that none is missed meanwhile. */
static void test_acts_while_there_is_none(void **state)
{
    (void)state;
    owned_begin();
    assert_int_equal(act(LJS_CLAIM_ASSIGN, 0, "acme", ""), LJS_OK);
    assert_int_equal(act(LJS_CLAIM_ASSIGN, 1, "acme", ""), LJS_OK);
    drop_index(true);
    another_server();
    assert_int_equal(act(LJS_CLAIM_OFFER, 0, "acme", "globex"), LJS_OK);
    assert_int_equal(act(LJS_CLAIM_RELEASE, 1, "acme", ""), LJS_OK);
    check();
    server_end(&w);
}

/* What begins or ends as an entry of acme does, and is none. */
static void put_near(ljs_eui dev_eui)
{
    static const char *const account[] = { "acmeX", "acme\0X" };
    static const size_t len[] = { 5, 7 };

    for (unsigned n = 0; n < 2; n++) {
        uint8_t key[16] = { SPACE_OWNED };
        ljs_change change = { .key = key, .key_len = 1 + len[n] + 8, .in = key, .in_len = 1 };

        memcpy(key + 1, account[n], len[n]);
        for (unsigned i = 0; i < 8; i++)
            key[1 + len[n] + i] = (uint8_t)(dev_eui >> (56 - 8 * i));
        assert_int_equal(ljs_store_commit(w.store, &change, 1), LJS_OK);
        assert_int_equal(change.result, LJS_OK);
    }
}

static void test_mending(void **state)
{
    ljs_claim_index found;

    (void)state;
    owned_begin();
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(act(LJS_CLAIM_ASSIGN, i, names[i % 3], ""), LJS_OK);
    assert_int_equal(act(LJS_CLAIM_OFFER, 0, "acme", "globex"), LJS_OK);
    assert_int_equal(drop_index(false), 5);
    assert_int_equal(put_entry("globex", DEV + 3, true), LJS_OK);  /* acme's */
    assert_int_equal(put_entry("nobody", DEV + 99, true), LJS_OK); /* no device at all */
    assert_int_equal(put_entry("acme", DEV + 3, false), LJS_OK);   /* not as it was written */
    assert_false(agree("acme.b"));
    assert_true(agree_where_it_is("acme")); /* what is damaged hides nothing, and the claim has the say */
    assert_true(faults() >= 7);
    assert_int_equal(ljs_server_index_claims(&found, w.server, 1), LJS_OK);
    assert_true(found.entries == 0 && found.missing == 5 && found.stray == 2);
    assert_false(agree("acme.b"));
    assert_int_equal(ljs_server_index_claims(&found, w.server, 0), LJS_OK);
    assert_true(found.missing == 5 && found.stray == 2);
    check();
    assert_int_equal(ljs_server_index_claims(&found, w.server, 0), LJS_OK);
    assert_true(found.entries == 5 && found.missing == 0 && found.stray == 0);
    put_near(DEV); /* acme's, but no entry of it */
    assert_int_equal(faults(), 2);
    assert_int_equal(ljs_server_index_claims(&found, w.server, 0), LJS_OK);
    assert_true(found.entries == 5 && found.missing == 0 && found.stray == 2);
    check();
    assert_int_equal(put_entry("acme", DEV + 1, true), LJS_OK);
    assert_true(agree("acme")); /* the claim has the say */
    assert_int_equal(faults(), 1);
    assert_int_equal(ljs_server_index_claims(&found, w.server, 0), LJS_OK);
    check();
    server_end(&w);
}

/* Another master key changes nothing of it, and the old one can be retired. */
static void test_another_master_key(void **state)
{
    ljs_claim_index found;

    (void)state;
    owned_begin();
    assert_int_equal(act(LJS_CLAIM_ASSIGN, 0, "acme", ""), LJS_OK);
    another_master_key();
    check();
    assert_int_equal(put_entry("globex", DEV, false), LJS_OK);
    rotated();
    rewrapped(1);
    assert_int_equal(ljs_server_index_claims(&found, w.server, 0), LJS_OK);
    rewrapped(0);
    server_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_act),
        cmocka_unit_test(test_a_page),
        cmocka_unit_test(test_an_offer_to_one_that_ends),
        cmocka_unit_test(test_from_before),
        cmocka_unit_test(test_acts_while_there_is_none),
        cmocka_unit_test(test_mending),
        cmocka_unit_test(test_another_master_key),
        cmocka_unit_test(test_nobody),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
