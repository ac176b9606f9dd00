/* Records as nobody here writes them, under a good tag: each number one above its most, and what must rise and does
 * not, is refused. */
#include "device_world.h"

#include "base/pack.h"
#include "device/record.h"

static struct record r;

/* Field 7: JoinEUIs, the first with these DevNonces. */
static void put_contexts(struct wr *w, unsigned n, const void *used, size_t used_len)
{
    ljs__pack_uint(w, 7);
    ljs__pack_array(w, n);
    for (unsigned i = 0; i < n; i++) {
        ljs__pack_array(w, 4);
        ljs__pack_uint(w, EUI + i);
        ljs__pack_int(w, -1);
        ljs__pack_int(w, -1);
        ljs__pack_bin(w, used, i ? 0 : used_len);
    }
}

static void put_head(struct wr *w, unsigned pairs, uint64_t next_join_nonce)
{
    const uint64_t head[] = { 0, 1, 1, DEV, 2, LJS_MAC_1_1, 3, 0, 4, next_join_nonce, 5, 0 };

    ljs__pack_map(w, pairs);
    ljs__pack_uints(w, head, COUNT(head));
}

static ljs_err load(struct wr *w)
{
    ljs_err err;

    assert_int_equal(ljs__vault_tag(w, vault, TAG_DEVICE), LJS_OK);
    err = ljs__record_load(&r, vault, w->data, w->len);
    if (err)
        assert_int_equal(r.d.dev_eui, 0);
    ljs__wr_drop(w);
    return err;
}

/* One session, with these numbers between its SessionKeyID and its CFList, and this much of that. */
static ljs_err load_session(const uint64_t *numbers, unsigned numbers_len, size_t cf_list_len)
{
    static const uint8_t id[16] = { 1 }, cf_list[LJS_CFLIST_LEN + 1] = { 2 };
    struct wr w = { 0 };

    put_head(&w, 8, 1);
    put_contexts(&w, LJS_JOIN_EUIS_MAX, NULL, 0);
    ljs__pack_uint(&w, 14);
    ljs__pack_array(&w, 1);
    ljs__pack_array(&w, numbers_len + 4);
    ljs__pack_bin(&w, id, sizeof id);
    ljs__pack_uints(&w, numbers, numbers_len);
    ljs__pack_bin(&w, cf_list, cf_list_len);
    ljs__pack_int(&w, -1);
    ljs__pack_int(&w, 0);
    return load(&w);
}

static void test_sessions(void **state)
{
    static const uint64_t most[] = {
        15, LJS_MAC_1_1, LJS_JOIN_EUIS_MAX - 1, 0xffffff, 0xffff, 0xffff, 0xffffff, 0xffffffff, 0xff, 0xff
    };
    const ljs_session *s = &r.session[0];
    uint64_t numbers[COUNT(most)];

    (void)state;
    assert_int_equal(load_session(most, COUNT(most), 0), LJS_OK);
    assert_int_equal(s->join_eui, EUI + LJS_JOIN_EUIS_MAX - 1);
    assert_true(s->join_nonce == 0xffffff && s->nonce == 0xffff && s->epoch == 0xffff && s->net_id == 0xffffff);
    assert_true(s->dev_addr == 0xffffffff && s->dl_settings == 0xff && s->rx_delay == 0xff && s->proven);
    for (size_t i = 0; i < COUNT(most); i++) {
        memcpy(numbers, most, sizeof most);
        numbers[i]++;
        assert_int_equal(load_session(numbers, COUNT(most), 0), LJS_E_SEAL);
    }
    for (size_t len = 0; len <= LJS_CFLIST_LEN + 1; len++)
        assert_int_equal(load_session(most, COUNT(most), len), len % LJS_CFLIST_LEN ? LJS_E_SEAL : LJS_OK);
}

static ljs_err load_plain(uint64_t next_join_nonce, const void *used, size_t used_len)
{
    struct wr w = { 0 };

    put_head(&w, 7, next_join_nonce);
    put_contexts(&w, 1, used, used_len);
    return load(&w);
}

static void test_nonces(void **state)
{
    (void)state;
    assert_int_equal(load_plain(0, NULL, 0), LJS_E_SEAL);
    assert_int_equal(load_plain(1, NULL, 0), LJS_OK);
    assert_int_equal(load_plain(JOIN_NONCE_END, NULL, 0), LJS_OK);
    assert_int_equal(load_plain(JOIN_NONCE_END + 1, NULL, 0), LJS_E_SEAL);
    assert_int_equal(load_plain(1, "\0\0\1\0\0\1", 6), LJS_OK); /* 0, 1, 256 */
    assert_int_equal(load_plain(1, "\0\0\1\0\1\0", 6), LJS_E_SEAL);
    assert_int_equal(load_plain(1, "\1\0\0\0", 4), LJS_E_SEAL);
    for (size_t at = 1; at < 100; at++) { /* one that does not rise, at each place of a long list */
        uint8_t list[200];

        for (size_t i = 0; i < 100; i++)
            list[2 * i] = (uint8_t)i, list[2 * i + 1] = 3;
        assert_int_equal(load_plain(1, list, sizeof list), LJS_OK);
        list[2 * at]--;
        assert_int_equal(load_plain(1, list, sizeof list), LJS_E_SEAL);
    }
    assert_int_equal(load_plain(1, "\0\0\0\1\1\0", 6), LJS_E_SEAL);
    assert_int_equal(load_plain(1, "\0\0\1", 3), LJS_E_SEAL);
}

/* A field that is there twice, or after one that it comes before. */
static void test_fields_rise(void **state)
{
    static const uint8_t fields[][2] = { { 11, 17 }, { 11, 11 }, { 17, 11 }, { 17, 17 }, { 17, 5 } };
    struct wr w = { 0 };

    (void)state;
    for (size_t i = 0; i < COUNT(fields); i++) {
        put_head(&w, 9, 1);
        put_contexts(&w, 1, NULL, 0);
        for (size_t k = 0; k < 2; k++) {
            ljs__pack_uint(&w, fields[i][k]);
            ljs__pack_uint(&w, 1);
        }
        assert_int_equal(load(&w), i ? LJS_E_SEAL : LJS_OK);
    }
}

/* Of a request there is what it was told by then, or its digest; no more than a request has. */
static void test_asked(void **state)
{
    enum { LONGEST = 4 + 1 + 8 + 127 };
    static const uint8_t octets[LONGEST + 1];

    (void)state;
    for (unsigned digest = 0; digest < 2; digest++)
        for (size_t len = 0; len <= sizeof octets; len++) {
            struct wr w = { 0 };

            put_head(&w, 8 + digest, 1);
            put_contexts(&w, 1, NULL, 0);
            if (digest) {
                ljs__pack_uint(&w, 15);
                ljs__pack_bin(&w, octets, 16);
            }
            ljs__pack_uint(&w, 19);
            ljs__pack_bin(&w, octets, len);
            assert_int_equal(load(&w), digest || !len || len > LONGEST ? LJS_E_SEAL : LJS_OK);
        }
}

/* What a step adds has room in what is asked for at once, unless the peer's name is longer than most. */
static void test_step_adds(void **state)
{
    static const ljs_mac macs[] = { LJS_MAC_1_0_3, LJS_MAC_1_0_4, LJS_MAC_1_1 };
    size_t most = 0;

    (void)state;
    for (size_t k = 0; k < COUNT(macs); k++) {
        ljs_device d = device_of(macs[k]);
        ljs_buf record = make(&d);

        for (uint16_t nonce = 60000; nonce < 60000 + 2 * LJS_SESSIONS_MAX; nonce++) {
            ljs_join_req req = join_req(macs[k], nonce);
            size_t was = record.len;

            memset(req.peer, 'p', 80);
            req.has_ns_id = 1;
            req.ns_id = UINT64_MAX;
            req.cf_list_len = LJS_CFLIST_LEN;
            req.dev_addr = UINT32_MAX;
            req.now = INT64_MAX;
            joined_on(&record, &req);
            if (record.len > was + most)
                most = record.len - was;
        }
        ljs_buf_free(&record);
    }
    assert_in_range(most, STEP_ADDS - 16, STEP_ADDS);
}

static ljs_err load_sets(unsigned n, const void *sealed, size_t sealed_len)
{
    struct wr w = { 0 };

    put_head(&w, 8, 1);
    ljs__pack_uint(&w, 6);
    ljs__pack_array(&w, n);
    for (unsigned i = 0; i < n; i++) {
        ljs__pack_array(&w, 3);
        ljs__pack_uint(&w, i);
        ljs__pack_uint(&w, 1);
        ljs__pack_bin(&w, sealed, sealed_len);
    }
    put_contexts(&w, 1, NULL, 0);
    return load(&w);
}

static void test_key_sets(void **state)
{
    char lot[LJS_LABEL_MAX + 1];

    (void)state;
    assert_int_equal(load_sets(EPOCHS_MAX, "\1", 1), LJS_OK);
    assert_int_equal(load_sets(EPOCHS_MAX + 1, "\1", 1), LJS_E_SEAL);
    memset(lot, 'x', sizeof lot);
    lot[0] = LOT_FORMAT;
    for (size_t len = 1; len <= sizeof lot; len++)
        assert_int_equal(load_sets(1, lot, len), len < 2 || len > LJS_LABEL_MAX ? LJS_E_SEAL : LJS_OK);
    lot[2] = '\0'; /* which would end it */
    assert_int_equal(load_sets(1, lot, 4), LJS_E_SEAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sessions), cmocka_unit_test(test_nonces),    cmocka_unit_test(test_fields_rise),
        cmocka_unit_test(test_asked),    cmocka_unit_test(test_step_adds), cmocka_unit_test(test_key_sets),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
