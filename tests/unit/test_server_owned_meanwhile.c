/* The index of what accounts own while others claim and write: whoever makes or mends it leaves it whole; and what
 * belongs to an account ends before it. */
#include "owned_world.h"

/* ---- at the same time ------------------------------------------------------------------------- */

/* A store in whose commit something else happens first, once. */
struct between {
    ljs_store *inner;
    void (*first)(void);
    unsigned after;        /* so many commits */
    unsigned looks, at[2]; /* before which look at a value it is released, and assigned again; 0: never */
    bool busy;             /* with that */
};
static struct between between;

static ljs_err b_get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    struct between *b = self;
    unsigned look = b->busy ? 0 : ++b->looks;

    for (unsigned i = 0; look && i < 2; i++)
        if (look == b->at[i]) {
            b->busy = true;
            assert_int_equal(act(i ? LJS_CLAIM_ASSIGN : LJS_CLAIM_RELEASE, 0, "acme", ""), LJS_OK);
            b->busy = false;
        }
    return ljs_store_get(out, version, b->inner, key, key_len);
}

static ljs_err b_commit(void *self, ljs_change *changes, size_t len)
{
    struct between *b = self;
    void (*first)(void) = b->after ? NULL : b->first;

    b->after -= b->after != 0;
    b->first = first ? NULL : b->first;
    if (first)
        first();
    return ljs_store_commit(b->inner, changes, len);
}

static ljs_err b_each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    return ljs_store_each(((struct between *)self)->inner, prefix, prefix_len, row, user);
}

static void b_close(void *self)
{
    ljs_store_free(((struct between *)self)->inner);
}

static const ljs_store_ops between_ops = {
    .struct_size = sizeof between_ops, .get = b_get, .commit = b_commit, .each = b_each, .close = b_close
};

static void begin_between(void)
{
    ljs_store *store;

    between = (struct between){ .first = NULL };
    assert_int_equal(ljs_store_memory(&between.inner), LJS_OK);
    assert_int_equal(ljs_store_custom(&store, &between_ops, &between), LJS_OK);
    server_begin(&w, store, &lab);
}

/* A claim that is written anew, and says the same, is a conflict for whoever makes the index, and nobody has seen to
 * its entries. */
static void test_another_master_key_meanwhile(void **state)
{
    ljs_claim_index found;

    (void)state;
    begin_between();
    add_devices(&w, 3);
    add_account("acme");
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(act(LJS_CLAIM_ASSIGN, i, "acme", ""), LJS_OK);
    drop_index(true);
    another_server();
    between.first = another_master_key;
    assert_true(agree("acme"));
    assert_null(between.first);
    assert_int_equal(faults(), 0);
    drop_index(false);
    between.first = another_master_key;
    between.after = 1; /* that of the mark, which goes first */
    assert_int_equal(ljs_server_index_claims(&found, w.server, 0), LJS_OK);
    assert_null(between.first);
    assert_true(found.missing == 3 && found.stray == 0);
    assert_true(agree("acme"));
    assert_int_equal(faults(), 0);
    server_end(&w);
}

static void late_release(void)
{
    assert_int_equal(act(LJS_CLAIM_RELEASE, 0, "acme", ""), LJS_OK);
}

/* What is released just before its entry is written has none after. */
static void test_a_release_meanwhile(void **state)
{
    (void)state;
    begin_between();
    add_devices(&w, 2);
    add_account("acme");
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(act(LJS_CLAIM_ASSIGN, i, "acme", ""), LJS_OK);
    drop_index(true);
    another_server();
    between.first = late_release;
    assert_true(agree("acme"));
    assert_null(between.first);
    assert_int_equal(faults(), 0);
    server_end(&w);
}

static void late_assign(void)
{
    assert_int_equal(act(LJS_CLAIM_ASSIGN, 0, "acme", ""), LJS_OK);
}

/* A stray entry that is none any more, just before it is taken away, stays. */
static void test_a_stray_one_that_is_wanted(void **state)
{
    ljs_claim_index found;

    (void)state;
    begin_between();
    add_devices(&w, 1);
    add_account("acme");
    assert_int_equal(put_entry("acme", DEV, true), LJS_OK);
    between.first = late_assign;
    between.after = 1; /* that of the mark */
    assert_int_equal(ljs_server_index_claims(&found, w.server, 0), LJS_OK);
    assert_null(between.first);
    assert_int_equal(found.stray, 1);
    assert_true(agree("acme"));
    assert_int_equal(faults(), 0);
    server_end(&w);
}

/* Whoever mends the index while a device is released and assigned again, at whichever two moments, leaves it whole. */
static void test_mending_meanwhile(void **state)
{
    ljs_claim_index found;
    bool late = false;

    (void)state;
    for (unsigned first = 1; !late; first++)
        for (unsigned second = first + 1; second < first + 6; second++) {
            begin_between();
            add_devices(&w, 1);
            add_account("acme");
            assert_int_equal(act(LJS_CLAIM_ASSIGN, 0, "acme", ""), LJS_OK);
            between.looks = 0;
            between.at[0] = first;
            between.at[1] = second;
            assert_int_equal(ljs_server_index_claims(&found, w.server, 0), LJS_OK);
            late = between.looks < first;
            between.at[0] = between.at[1] = 0;
            assert_true(agree("acme"));
            assert_int_equal(faults(), 0);
            server_end(&w);
        }
}

/* ---- the end of an account --------------------------------------------------------------------- */

static ljs_err add_credential(const char *account)
{
    ljs_credential c = { .struct_size = sizeof c, .name = "late", .roles = LJS_ROLE_CLAIM, .at = NOW };
    ljs_buf token;
    ljs_err err;

    strcpy(c.account, account);
    err = ljs_server_add_credential(&token, w.server, &c);
    ljs_buf_free(&token);
    return err;
}

static ljs_err raced;

static void late_credential(void)
{
    raced = add_credential("acme");
}

static void late_kek(void)
{
    raced = ljs_server_put_kek(w.server, "@acme/late", ns_kek, 0);
}

static void late_end(void)
{
    raced = ljs_server_del_account(w.server, "acme");
}

static void test_nothing_dangles(void **state)
{
    static void (*const late[])(void) = { late_credential, late_kek };
    ljs_account a;
    ljs_kek kek;

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(late); i++) {
        begin_between();
        add_account("acme");
        /* The account is about to end, and somebody is given something of it. */
        between.first = late[i];
        assert_int_equal(ljs_server_del_account(w.server, "acme"), LJS_E_STATE);
        assert_int_equal(raced, LJS_OK);
        assert_int_equal(ljs_server_get_account(&a, w.server, "acme"), LJS_OK);
        if (i)
            assert_int_equal(ljs_server_del_kek(w.server, "@acme/late"), LJS_OK);
        else
            assert_int_equal(ljs_server_del_credential(w.server, "late"), LJS_OK);
        /* And the other way about. */
        between.first = late_end;
        assert_int_equal(i ? ljs_server_put_kek(w.server, "@acme/late", ns_kek, 0) : add_credential("acme"),
                         LJS_E_NOTFOUND);
        assert_int_equal(raced, LJS_OK);
        assert_int_equal(ljs_server_get_kek(&kek, w.server, "@acme/late"), LJS_E_NOTFOUND);
        assert_int_equal(ljs_server_del_credential(w.server, "late"), LJS_E_NOTFOUND);
        server_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_dangles),
        cmocka_unit_test(test_another_master_key_meanwhile),
        cmocka_unit_test(test_a_release_meanwhile),
        cmocka_unit_test(test_mending_meanwhile),
        cmocka_unit_test(test_a_stray_one_that_is_wanted),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
