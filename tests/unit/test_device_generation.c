/* A record in a store that was restored: what it may have given and forgotten is passed over, once,
 * and nothing else moves. */
#include "device_world.h"

#include "device/carry.h"
#include "device/record.h"

enum { GUARD = 4096 };

static const ljs_mac macs[] = { LJS_MAC_1_0_0, LJS_MAC_1_0_3, LJS_MAC_1_0_4, LJS_MAC_1_1 };

static ljs_join_req join_in(ljs_mac mac, uint16_t nonce, uint32_t generation)
{
    ljs_join_req req = join_req(mac, nonce);

    req.generation = generation;
    return req;
}

static uint32_t gives(ljs_buf *record, const ljs_join_req *req)
{
    ljs_join_ans ans;

    assert_int_equal(join_on(&ans, record, req), LJS_OK);
    assert_int_equal(ans.repeat, 0);
    assert_int_equal(read_device(record).next_join_nonce, ans.join_nonce + 1);
    assert_int_equal(read_session(record, 0).join_nonce, ans.join_nonce);
    return ans.join_nonce;
}

static void test_rises_once(void **state)
{
    (void)state;
    for (size_t m = 0; m < COUNT_OF(macs); m++) {
        ljs_device d = device_of(macs[m]);
        ljs_buf record = make(&d);
        ljs_join_req req = join_in(macs[m], 1, 0);

        assert_int_equal(gives(&record, &req), 1);
        assert_int_equal(read_device(&record).generation, 0);
        req = join_in(macs[m], 2, GUARD);
        assert_int_equal(gives(&record, &req), 2 + GUARD);
        assert_int_equal(read_device(&record).generation, GUARD);
        req = join_in(macs[m], 3, GUARD);
        assert_int_equal(gives(&record, &req), 3 + GUARD);
        req = join_in(macs[m], 4, 0); /* whoever knows of no restore gives no number twice either */
        assert_int_equal(gives(&record, &req), 4 + GUARD);
        assert_int_equal(read_device(&record).generation, GUARD);
        req = join_in(macs[m], 5, 3 * GUARD); /* restored twice meanwhile */
        assert_int_equal(gives(&record, &req), 5 + 3 * GUARD);
        ljs_buf_free(&record);
    }
}

static void test_rises_at_rejoins(void **state)
{
    static const ljs_frame_kind kinds[] = { LJS_FRAME_REJOIN0, LJS_FRAME_REJOIN1, LJS_FRAME_REJOIN2 };

    (void)state;
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        ljs_device d = device_of(LJS_MAC_1_1);
        ljs_buf record = make(&d);
        ljs_join_req req = join_in(LJS_MAC_1_1, 1, 0);
        ljs_session s;

        assert_int_equal(gives(&record, &req), 1);
        s = read_session(&record, 0);
        req = kinds[k] == LJS_FRAME_REJOIN1 ? rejoin1_req(EUI, 0) : rejoin02_req(kinds[k], &s, 0, nwk);
        req.generation = GUARD;
        assert_int_equal(gives(&record, &req), 2 + GUARD);
        ljs_buf_free(&record);
    }
}

/* A record before and after, but for the JoinNonce and what the join itself leaves. */
static void test_nothing_else_moves(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3), a, b;
    ljs_buf record = make(&d), guarded;
    ljs_join_req req = join_in(LJS_MAC_1_0_3, 7, 0), with = req;
    ljs_join_eui euis[2];
    ljs_session of[2];

    (void)state;
    guarded = copy_of(&record);
    with.generation = GUARD;
    gives(&record, &req);
    gives(&guarded, &with);
    a = read_device(&record);
    b = read_device(&guarded);
    assert_int_equal(b.next_join_nonce, a.next_join_nonce + GUARD);
    b.next_join_nonce = a.next_join_nonce;
    b.generation = a.generation;
    assert_memory_equal(&a, &b, sizeof a);
    euis[0] = read_join_eui(&record, 0);
    euis[1] = read_join_eui(&guarded, 0);
    assert_memory_equal(&euis[0], &euis[1], sizeof euis[0]);
    of[0] = read_session(&record, 0);
    of[1] = read_session(&guarded, 0);
    of[1].join_nonce = of[0].join_nonce;
    assert_memory_equal(&of[0], &of[1], sizeof of[0]);
    ljs_buf_free(&record);
    ljs_buf_free(&guarded);
}

static void test_refused_and_repeated_move_nothing(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_4);
    ljs_buf record = make(&d);
    ljs_join_req req = join_in(LJS_MAC_1_0_4, 5, 0), bad;
    ljs_join_ans ans;

    (void)state;
    gives(&record, &req);
    bad = join_in(LJS_MAC_1_0_4, 6, GUARD);
    bad.phy[20] ^= 1;
    refused_on(LJS_E_MIC, &record, &bad);
    bad = join_in(LJS_MAC_1_0_4, 4, GUARD);
    refused_on(LJS_E_REPLAY, &record, &bad);
    req.generation = GUARD;
    assert_int_equal(join_on(&ans, &record, &req), LJS_OK); /* the same session */
    assert_int_equal(ans.repeat, 1);
    assert_int_equal(ans.join_nonce, 1);
    assert_int_equal(read_device(&record).generation, 0);
    ljs_buf_free(&record);
}

static void test_is_spent(void **state)
{
    static const struct {
        uint32_t next, generation, gives; /* 0: none any more */
    } cases[] = {
        { 0xffffff - GUARD, GUARD, 0xffffff },
        { 0x1000000 - GUARD, GUARD, 0 },
        { 0xffffff, GUARD, 0 },
        { 0x1000000, GUARD, 0 },
        { 1, 0xfffffe, 0xffffff },
        { 1, 0xffffff, 0 },
        { 1, UINT32_MAX, 0 },
        { 0xffffff, UINT32_MAX, 0 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ljs_device d = device_of(LJS_MAC_1_0_4);
        ljs_join_req req = join_in(LJS_MAC_1_0_4, 1, cases[i].generation);
        ljs_buf record;

        d.next_join_nonce = cases[i].next;
        record = make(&d);
        if (cases[i].gives)
            assert_int_equal(gives(&record, &req), cases[i].gives);
        else
            refused_on(LJS_E_SPENT, &record, &req);
        ljs_buf_free(&record);
    }
}

static void raised_on(ljs_buf *record, uint32_t generation)
{
    ljs_buf next;

    assert_int_equal(ljs_device_raise(&next, vault, generation, record->data, record->len), LJS_OK);
    ljs_buf_free(record);
    *record = next;
}

static void test_raise(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_1);
    ljs_buf record = make(&d), before, out = { leftover, 1 };
    ljs_join_req req = join_in(LJS_MAC_1_1, 1, GUARD);

    (void)state;
    before = copy_of(&record);
    raised_on(&record, 0);
    assert_memory_equal(record.data, before.data, before.len);
    raised_on(&record, GUARD);
    assert_int_equal(read_device(&record).next_join_nonce, 1 + GUARD);
    assert_int_equal(read_device(&record).generation, GUARD);
    raised_on(&record, GUARD);
    raised_on(&record, 1);
    assert_int_equal(gives(&record, &req), 1 + GUARD); /* not twice */
    record.data[record.len - 1] ^= 1;
    assert_int_equal(ljs_device_raise(&out, vault, 2 * GUARD, record.data, record.len), LJS_E_SEAL);
    assert_null(out.data);
    ljs_buf_free(&before);
    ljs_buf_free(&record);
}

/* A tombstone and a record that is imported again know what they have passed over; another record
 * of the device, of before the restore, never gets below. */
static void test_stays(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_4);
    ljs_buf record = make(&d);
    ljs_join_req req = join_in(LJS_MAC_1_0_4, 1, GUARD);

    (void)state;
    assert_int_equal(gives(&record, &req), 1 + GUARD);
    assert_int_equal(act_on(&record, LJS_DEVICE_BLOCK), LJS_OK);
    assert_int_equal(act_on(&record, LJS_DEVICE_UNBLOCK), LJS_OK);
    assert_int_equal(act_on(&record, LJS_DEVICE_RESET_NONCES), LJS_OK);
    assert_int_equal(act_on(&record, LJS_DEVICE_REMOVE), LJS_OK);
    assert_int_equal(read_device(&record).generation, GUARD);
    d.generation = 77; /* not the caller's to say */
    assert_int_equal(make_on(&record, &d, nwk, app, 0), LJS_OK);
    assert_int_equal(read_device(&record).generation, GUARD);
    req = join_in(LJS_MAC_1_0_4, 2, GUARD);
    assert_int_equal(gives(&record, &req), 2 + GUARD);
    ljs_buf_free(&record);
}

static void test_ends_at_the_store(void **state)
{
    static const uint8_t master[32] = { 9 };
    ljs_device d = device_of(LJS_MAC_1_0_4), carried;
    ljs_buf record = make(&d), parcel;
    ljs_vault *way;

    (void)state;
    raised_on(&record, GUARD);
    assert_int_equal(ljs_vault_new(&way, master, sizeof master), LJS_OK);
    assert_int_equal(ljs__device_carry(&parcel, way, vault, record.data, record.len), LJS_OK);
    assert_int_equal(ljs_device_read(&carried, parcel.data, parcel.len), LJS_OK);
    assert_int_equal(carried.next_join_nonce, 1 + GUARD);
    assert_int_equal(carried.generation, 0);
    ljs_buf_free(&parcel);
    ljs_buf_free(&record);
    ljs_vault_free(way);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rises_once),
        cmocka_unit_test(test_rises_at_rejoins),
        cmocka_unit_test(test_nothing_else_moves),
        cmocka_unit_test(test_refused_and_repeated_move_nothing),
        cmocka_unit_test(test_is_spent),
        cmocka_unit_test(test_raise),
        cmocka_unit_test(test_stays),
        cmocka_unit_test(test_ends_at_the_store),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
