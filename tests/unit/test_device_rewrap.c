/* A record is brought under the newest master key whole, or not at all; and it is the same record. */
#include "device_world.h"

#include <lorajs/master.h>

#include "device/record.h"

static ljs_vault *next_of(const ljs_buf *pack)
{
    static const uint8_t master[32] = { 0x4c, 0x6f, 0x52, 0x62 };
    ljs_vault *next;

    assert_int_equal(ljs_vault_new(&next, master, sizeof master), LJS_OK);
    if (pack)
        assert_int_equal(ljs_vault_unpack(next, pack->data, pack->len), LJS_OK);
    return next;
}

/* `vault` has the next version, too. */
static void add_next(void)
{
    static const uint8_t master[32] = { 0x4c, 0x6f, 0x52, 0x62 };
    ljs_key *key;

    assert_int_equal(ljs_key_import(&key, master, sizeof master), LJS_OK);
    assert_int_equal(ljs_vault_add(vault, key), LJS_OK);
    ljs_key_free(key);
}

/* One that knows the newest version alone. */
static ljs_vault *newest(void)
{
    ljs_vault *copy;
    ljs_buf pack;

    assert_int_equal(ljs_vault_pack(&pack, vault), LJS_OK);
    copy = next_of(&pack);
    assert_int_equal(ljs_vault_retire(copy), LJS_OK);
    ljs_buf_free(&pack);
    return copy;
}

static bool rewrap_on(ljs_buf *record)
{
    ljs_buf next = { leftover, 1 };

    assert_int_equal(ljs_device_rewrap(&next, vault, record->data, record->len), LJS_OK);
    if (!next.data)
        return false;
    ljs_buf_free(record);
    *record = next;
    return true;
}

/* With keys of several epochs, each of which a session needs. */
static ljs_buf record_of_epochs(void)
{
    ljs_device d = device_of(LJS_MAC_1_1);
    ljs_buf record = make(&d);
    ljs_join_req req = join_req(LJS_MAC_1_1, 1);

    joined_on(&record, &req);
    assert_int_equal(make_on(&record, &d, other_nwk, other_app, LJS_MAKE_REPLACE_KEYS), LJS_OK);
    req = join_req_for(LJS_MAC_1_1, EUI, 1, other_nwk);
    joined_on(&record, &req);
    return record;
}

static void test_all_of_it(void **state)
{
    ljs_buf record = record_of_epochs(), before = copy_of(&record), out;
    struct record a, b;
    ljs_join_req req = join_req_for(LJS_MAC_1_1, EUI, 2, other_nwk);
    ljs_vault *alone;

    (void)state;
    assert_false(rewrap_on(&record)); /* nothing to do */
    add_next();
    alone = newest();
    assert_int_equal(ljs_device_check(alone, record.data, record.len), LJS_E_SEAL);
    assert_true(rewrap_on(&record));
    assert_false(rewrap_on(&record));
    assert_int_equal(ljs_device_check(alone, record.data, record.len), LJS_OK);
    assert_int_equal(ljs_device_rewrap(&out, alone, record.data, record.len), LJS_OK); /* each set opens */
    assert_null(out.data);

    /* The same record, but for what is sealed. */
    assert_int_equal(ljs__record_load(&a, vault, before.data, before.len), LJS_OK);
    assert_int_equal(ljs__record_load(&b, vault, record.data, record.len), LJS_OK);
    assert_int_equal(a.sets, 2);
    assert_int_equal(a.sets, b.sets);
    for (unsigned i = 0; i < a.sets; i++) {
        assert_int_equal(a.set[i].epoch, b.set[i].epoch);
        assert_int_equal(a.set[i].keys, b.set[i].keys);
        assert_int_equal(a.set[i].len, b.set[i].len);
        assert_memory_not_equal(a.set[i].at, b.set[i].at, a.set[i].len);
    }
    assert_memory_equal(&a.d, &b.d, sizeof a.d);
    assert_memory_equal(a.session, b.session, sizeof a.session);
    assert_int_equal(a.asked_len, b.asked_len);
    assert_memory_equal(a.asked, b.asked, a.asked_len);

    joined_on(&record, &req);
    ljs_vault_free(alone);
    ljs_buf_free(&before);
    ljs_buf_free(&record);
}

/* A join between two steps tags under the newest, and leaves the keys for the rewrap. */
static void test_after_a_join(void **state)
{
    ljs_buf record = record_of_epochs(), out;
    ljs_join_req req = join_req_for(LJS_MAC_1_1, EUI, 2, other_nwk);
    ljs_vault *alone;

    (void)state;
    add_next();
    alone = newest();
    joined_on(&record, &req);
    assert_int_equal(ljs_device_check(alone, record.data, record.len), LJS_OK);
    assert_int_equal(ljs_device_rewrap(&out, alone, record.data, record.len), LJS_E_SEAL);
    assert_null(out.data);
    assert_true(rewrap_on(&record));
    assert_int_equal(ljs_device_rewrap(&out, alone, record.data, record.len), LJS_OK);
    ljs_vault_free(alone);
    ljs_buf_free(&record);
}

/* A tombstone knows the keys of its device again, whatever the master key. */
static void test_a_tombstone(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_4);
    ljs_buf record = make(&d);
    ljs_join_req req = join_req(LJS_MAC_1_0_4, 7);
    ljs_vault *alone, *whole = vault;

    (void)state;
    joined_on(&record, &req);
    assert_int_equal(act_on(&record, LJS_DEVICE_REMOVE), LJS_OK);
    add_next();
    assert_true(rewrap_on(&record));
    alone = newest();
    vault = alone;
    assert_int_equal(make_on(&record, &d, nwk, app, 0), LJS_OK);
    refused_on(LJS_E_REPLAY, &record, &req); /* the same keys: used nonces count */
    assert_int_equal(read_device(&record).next_join_nonce, 2);
    vault = whole;
    ljs_vault_free(alone);
    ljs_buf_free(&record);
}

/* A bit of it altered, anywhere: refused, and nothing comes out. */
static void test_tampered(void **state)
{
    ljs_buf record = record_of_epochs(), out;

    (void)state;
    add_next();
    for (size_t bit = 0; bit < 8 * record.len; bit += 3) {
        ljs_err err;

        record.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        out = (ljs_buf){ leftover, 1 };
        err = ljs_device_rewrap(&out, vault, record.data, record.len);
        assert_true(err == LJS_E_SEAL || err == LJS_E_VERSION);
        assert_null(out.data);
        record.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(rewrap_on(&record));
    ljs_buf_free(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_of_it, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_after_a_join, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_a_tombstone, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_tampered, world_begin, world_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
