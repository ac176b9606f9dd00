/* A nonce once accepted is never accepted again, whatever happens to the record; JoinNonce only
 * ever rises. */
#include "device_world.h"
#include "random.h"
#include "vectors.h"

#include "device/record.h"

static uint32_t used_count(const ljs_buf *record, unsigned i)
{
    return read_join_eui(record, i).dev_nonces_used;
}

static bool is_used(const ljs_buf *record, unsigned i, uint16_t nonce)
{
    ljs_buf out;
    bool found = false;

    assert_int_equal(ljs_device_dev_nonces(&out, i, record->data, record->len), LJS_OK);
    for (size_t k = 0; k + 1 < out.len; k += 2)
        found |= (out.data[k] | out.data[k + 1] << 8) == nonce;
    ljs_buf_free(&out);
    return found;
}

/* The join-request of a device that draws at random, without a key handle of its own. */
static void set_nonce(ljs_join_req *req, uint16_t nonce)
{
    const ljs_frame frame = { .kind = LJS_FRAME_JOIN, .join_eui = EUI, .dev_eui = DEV, .nonce = nonce };

    set_phy(req, &frame, nwk);
    req->dev_addr = nonce; /* no repeat */
}

/* ---- before 1.0.4: an exact set --------------------------------------------- */

/* All 65,536, each once, in an order that looks random; the set changes its form on the way. */
static void test_all_dev_nonces(void **state)
{
    static uint16_t order[0x10000];
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_buf record = make(&d), nonces;
    ljs_join_req req = request(LJS_MAC_1_0_3);
    uint64_t seed = 42;

    (void)state;
    for (uint32_t i = 0; i < 0x10000; i++) {
        uint32_t k = (uint32_t)(random_next(&seed) % (i + 1));

        order[i] = order[k];
        order[k] = (uint16_t)i;
    }
    for (uint32_t i = 0; i < 0x10000; i++) {
        size_t len = record.len;
        ljs_join_ans ans;

        set_nonce(&req, order[i]);
        assert_int_equal(join_on(&ans, &record, &req), LJS_OK);
        assert_int_equal(ans.repeat, 0);
        assert_int_equal(ans.join_nonce, i + 1);
        req.dev_addr++;
        refused_on(LJS_E_REPLAY, &record, &req);
        if (i % 1021 == 0 || (i > 4090 && i < 4100)) {
            set_nonce(&req, order[random_next(&seed) % (i + 1)]);
            req.dev_addr++;
            refused_on(LJS_E_REPLAY, &record, &req);
            assert_int_equal(used_count(&record, 0), i + 1);
            assert_int_equal(read_join_eui(&record, 0).dev_nonce, order[i]);
        }
        if (i >= 4096) /* a map has one size; numbers in it may take an octet more or less */
            assert_in_range(record.len + 64 - len, 0, 128);
    }
    assert_int_equal(used_count(&record, 0), 0x10000);
    assert_int_equal(ljs_device_dev_nonces(&nonces, 0, record.data, record.len), LJS_OK);
    assert_int_equal(nonces.len, 0x20000);
    for (uint32_t i = 0; i < 0x10000; i++)
        assert_int_equal(nonces.data[2 * i] | nonces.data[2 * i + 1] << 8, i);
    ljs_buf_free(&nonces);
    assert_in_range(record.len, 8192, 8192 + 700); /* never more */
    ljs_buf_free(&record);
}

/* The form changes from numbers to a map at 4096, and both tell the same. */
static void test_list_becomes_map(void **state)
{
    static uint8_t list[2 * 4100];
    const ljs_root_keys keys = { .nwk = nwk };

    (void)state;
    for (unsigned i = 0; i < sizeof list / 2; i++) { /* every 15th, up to 61,485 */
        list[2 * i] = (uint8_t)(15 * i);
        list[2 * i + 1] = (uint8_t)(15 * i >> 8);
    }
    for (unsigned n = 4090; n <= 4100; n++) {
        ljs_device d = device_of(LJS_MAC_1_0_0);
        ljs_buf record, out;
        struct record r;
        ljs_join_req req;

        assert_int_equal(ljs_device_make(&record, vault, &d, &keys, 0, NO_NONCE, list, 2 * n, NULL, 0), LJS_OK);
        assert_int_equal(used_count(&record, 0), n);
        assert_int_equal(ljs__record_load(&r, vault, record.data, record.len), LJS_OK);
        assert_int_equal(r.context[0].used.len, n >= 4096 ? 8192 : 2 * n);
        assert_int_equal(ljs_device_dev_nonces(&out, 0, record.data, record.len), LJS_OK);
        assert_int_equal(out.len, 2 * n);
        assert_memory_equal(out.data, list, out.len);
        ljs_buf_free(&out);
        req = join_req(LJS_MAC_1_0_0, (uint16_t)(15 * (n - 1)));
        refused_on(LJS_E_REPLAY, &record, &req);
        req = join_req(LJS_MAC_1_0_0, (uint16_t)(15 * (n - 1) + 1));
        joined_on(&record, &req);
        assert_int_equal(used_count(&record, 0), n + 1);
        assert_int_equal(ljs__record_load(&r, vault, record.data, record.len), LJS_OK);
        assert_int_equal(r.context[0].used.len, n + 1 >= 4096 ? 8192 : 2 * (n + 1));
        ljs_buf_free(&record);
    }
}

static void test_each_join_eui_has_its_own(void **state)
{
    static const ljs_mac macs[] = { LJS_MAC_1_0_1, LJS_MAC_1_0_4, LJS_MAC_1_1 };

    (void)state;
    for (size_t m = 0; m < COUNT_OF(macs); m++) {
        ljs_device d = device_of(macs[m]);
        ljs_buf record = make(&d), next;
        ljs_join_req req = join_req(macs[m], 5);

        assert_int_equal(ljs_device_add_join_eui(&next, vault, EUI2, record.data, record.len), LJS_OK);
        ljs_buf_free(&record);
        record = next;
        joined_on(&record, &req);
        req = join_req_for(macs[m], EUI2, 5, nwk);
        joined_on(&record, &req);
        req.dev_addr++;
        refused_on(LJS_E_REPLAY, &record, &req);
        req = join_req(macs[m], 5);
        refused_on(LJS_E_REPLAY, &record, &req);
        assert_int_equal(read_session(&record, 0).join_eui, EUI2);
        assert_int_equal(read_session(&record, 1).join_eui, EUI);
        if (macs[m] == LJS_MAC_1_1) {
            req = rejoin1_req(EUI, 3);
            joined_on(&record, &req);
            req = rejoin1_req(EUI2, 3);
            joined_on(&record, &req);
            req = rejoin1_req(EUI2, 2);
            refused_on(LJS_E_REPLAY, &record, &req);
            assert_int_equal(read_join_eui(&record, 0).rj_count1, 3);
            assert_int_equal(read_join_eui(&record, 1).rj_count1, 3);
        }
        ljs_buf_free(&record);
    }
}

static void test_no_more_join_euis_than_four(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_4);
    ljs_buf record = make(&d), next;

    (void)state;
    for (ljs_eui eui = EUI; eui < EUI + 6; eui++) {
        ljs_err err = ljs_device_add_join_eui(&next, vault, eui, record.data, record.len);

        assert_int_equal(err, eui < EUI + LJS_JOIN_EUIS_MAX ? LJS_OK : LJS_E_INVAL);
        if (err) {
            assert_null(next.data);
            continue;
        }
        if (eui == EUI) { /* one that is there: the record as it was */
            assert_int_equal(next.len, record.len);
            assert_memory_equal(next.data, record.data, next.len);
        }
        ljs_buf_free(&record);
        record = next;
    }
    d.join_eui = EUI + 4;
    assert_int_equal(make_on(&record, &d, nwk, app, 0), LJS_E_INVAL);
    d.join_eui = EUI + 3; /* named again: shown first, its nonces with it */
    assert_int_equal(make_on(&record, &d, nwk, app, 0), LJS_OK);
    assert_int_equal(read_device(&record).join_eui, EUI + 3);
    assert_int_equal(read_device(&record).join_euis, 4);
    assert_int_equal(act_on(&record, LJS_DEVICE_REMOVE), LJS_OK);
    assert_int_equal(ljs_device_add_join_eui(&next, vault, EUI + 1, record.data, record.len), LJS_E_STATE);
    assert_null(next.data);
    ljs_buf_free(&record);
}

/* ---- from 1.0.4 on: a counter ----------------------------------------------- */

static void test_counter(void **state)
{
    static const ljs_mac macs[] = { LJS_MAC_1_0_4, LJS_MAC_1_1 };
    static const struct {
        uint16_t nonce;
        bool accepted;
    } life[] = { { 0, true },     { 0, false },     { 1, true },    { 0, false },    { 1, false },
                 { 500, true },   { 2, false },     { 499, false }, { 500, false },  { 501, true },
                 { 65535, true }, { 65535, false }, { 0, false },   { 65534, false } };

    (void)state;
    for (size_t m = 0; m < COUNT_OF(macs); m++) {
        ljs_device d = device_of(macs[m]);
        ljs_buf record = make(&d);

        assert_int_equal(read_join_eui(&record, 0).dev_nonce, -1);
        for (size_t i = 0; i < COUNT_OF(life); i++) {
            ljs_join_req req = join_req(macs[m], life[i].nonce);

            req.dev_addr = (ljs_devaddr)i;
            if (life[i].accepted)
                joined_on(&record, &req);
            else
                refused_on(LJS_E_REPLAY, &record, &req);
        }
        assert_int_equal(read_join_eui(&record, 0).dev_nonce, 65535);
        assert_int_equal(used_count(&record, 0), 0);
        ljs_buf_free(&record);
    }
}

/* 0 only while nothing is recorded, also when what is recorded came by import. */
static void test_zero(void **state)
{
    const ljs_root_keys keys = { .nwk = nwk, .app = app };
    ljs_device d = device_of(LJS_MAC_1_0_4);
    ljs_join_req req = join_req(LJS_MAC_1_0_4, 0);
    ljs_buf record;

    (void)state;
    assert_int_equal(ljs_device_make(&record, vault, &d, &keys, 0, 0, NULL, 0, NULL, 0), LJS_OK);
    refused_on(LJS_E_REPLAY, &record, &req);
    ljs_buf_free(&record);
    record = make(&d);
    joined_on(&record, &req);
    ljs_buf_free(&record);
}

/* The rule follows the record's version, never the request's MACVersion. */
static void test_the_records_version_rules(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_1);
    ljs_buf record = make(&d);
    ljs_join_req req = join_req(LJS_MAC_1_0_2, 9);

    (void)state;
    joined_on(&record, &req);
    req = join_req(LJS_MAC_1_0_2, 8);
    refused_on(LJS_E_REPLAY, &record, &req);
    req = join_req(LJS_MAC_1_1, 9);
    refused_on(LJS_E_REPLAY, &record, &req);
    req = join_req(LJS_MAC_1_1, 10);
    joined_on(&record, &req);
    ljs_buf_free(&record);
}

/* A record whose version is put right keeps what it knows: nothing accepted comes in again. */
static void test_version_changes(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_buf record = make(&d);
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 1000);

    (void)state;
    joined_on(&record, &req);
    req = join_req(LJS_MAC_1_0_3, 9);
    joined_on(&record, &req);
    d.mac = LJS_MAC_1_0_4; /* it counts now */
    assert_int_equal(make_on(&record, &d, nwk, app, 0), LJS_OK);
    req = join_req(LJS_MAC_1_0_4, 1000);
    refused_on(LJS_E_REPLAY, &record, &req);
    req = join_req(LJS_MAC_1_0_4, 9);
    refused_on(LJS_E_REPLAY, &record, &req);
    req = join_req(LJS_MAC_1_0_4, 500);
    joined_on(&record, &req);
    d.mac = LJS_MAC_1_0_2; /* and draws at random again: what the counter has passed is used */
    assert_int_equal(make_on(&record, &d, nwk, app, 0), LJS_OK);
    for (unsigned nonce = 0; nonce <= 500; nonce += 50) {
        req = join_req(LJS_MAC_1_0_2, (uint16_t)nonce);
        req.dev_addr = 1;
        refused_on(LJS_E_REPLAY, &record, &req);
    }
    req = join_req(LJS_MAC_1_0_2, 1000);
    refused_on(LJS_E_REPLAY, &record, &req);
    req = join_req(LJS_MAC_1_0_2, 501);
    joined_on(&record, &req);
    ljs_buf_free(&record);
}

/* ---- what comes from elsewhere ---------------------------------------------- */

static void test_import_only_adds(void **state)
{
    static const uint8_t more[] = { 7, 0, 0xff, 0xff, 7, 0 };
    const ljs_root_keys keys = { .nwk = nwk, .app = app };
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_buf record, next;
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 3);

    (void)state;
    d.next_join_nonce = 20;
    assert_int_equal(ljs_device_make(&record, vault, &d, &keys, 0, 41, NULL, 0, NULL, 0), LJS_OK);
    assert_true(is_used(&record, 0, 41)); /* a last DevNonce is a used one, of any version */
    assert_int_equal(joined_on(&record, &req).join_nonce, 20);
    d.next_join_nonce = 5;
    assert_int_equal(ljs_device_make(&next, vault, &d, &keys, 0, NO_NONCE, more, sizeof more, record.data, record.len),
                     LJS_OK);
    ljs_buf_free(&record);
    record = next;
    assert_int_equal(read_device(&record).next_join_nonce, 21);
    assert_int_equal(read_device(&record).sessions, 1);
    assert_int_equal(used_count(&record, 0), 4);
    for (size_t i = 0; i < 4; i++) {
        static const uint16_t used[] = { 3, 7, 41, 0xffff };

        assert_true(is_used(&record, 0, used[i]));
        req = join_req(LJS_MAC_1_0_3, used[i]);
        req.dev_addr = 1;
        refused_on(LJS_E_REPLAY, &record, &req);
    }
    d.next_join_nonce = 100;
    assert_int_equal(make_on(&record, &d, nwk, app, 0), LJS_OK);
    assert_int_equal(read_device(&record).next_join_nonce, 100);
    ljs_buf_free(&record);

    d = device_of(LJS_MAC_1_1);
    assert_int_equal(ljs_device_make(&record, vault, &d, &keys, 0, 50, more, sizeof more, NULL, 0), LJS_OK);
    assert_int_equal(ljs_device_make(&next, vault, &d, &keys, 0, 30, NULL, 0, record.data, record.len), LJS_OK);
    assert_int_equal(read_join_eui(&next, 0).dev_nonce, 50);
    ljs_buf_free(&record);
    record = next;
    req = join_req(LJS_MAC_1_1, 50);
    refused_on(LJS_E_REPLAY, &record, &req);
    req = join_req(LJS_MAC_1_1, 0xffff); /* named as used, of a device that counts */
    refused_on(LJS_E_REPLAY, &record, &req);
    req = join_req(LJS_MAC_1_1, 51);
    joined_on(&record, &req);
    ljs_buf_free(&record);
}

static void test_import_out_of_range(void **state)
{
    static uint8_t two[2];
    const ljs_root_keys keys = { .nwk = nwk, .app = app };
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_buf out;

    (void)state;
    assert_int_equal(ljs_device_make(&out, vault, &d, &keys, 0, -2, NULL, 0, NULL, 0), LJS_E_INVAL);
    assert_int_equal(ljs_device_make(&out, vault, &d, &keys, 0, 0x10000, NULL, 0, NULL, 0), LJS_E_INVAL);
    assert_int_equal(ljs_device_make(&out, vault, &d, &keys, 0, -1, two, 1, NULL, 0), LJS_E_INVAL);
    assert_int_equal(ljs_device_make(&out, vault, &d, &keys, 0, -1, NULL, 2, NULL, 0), LJS_E_INVAL);
    d.next_join_nonce = 0x1000001;
    assert_int_equal(ljs_device_make(&out, vault, &d, &keys, 0, -1, NULL, 0, NULL, 0), LJS_E_INVAL);
    assert_null(out.data);
}

/* ---- RJcount ---------------------------------------------------------------- */

static void test_rj_count1_survives_joins(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_1);
    ljs_buf record = make(&d);
    ljs_join_req req = rejoin1_req(EUI, 0);

    (void)state;
    joined_on(&record, &req); /* in every state, and from 0 */
    req = rejoin1_req(EUI, 0);
    req.dev_addr = 1;
    refused_on(LJS_E_REPLAY, &record, &req);
    req = rejoin1_req(EUI, 40);
    joined_on(&record, &req);
    for (uint16_t nonce = 1; nonce < 14; nonce++) { /* more than there are sessions */
        req = join_req(LJS_MAC_1_1, nonce);
        joined_on(&record, &req);
        for (uint16_t count = 38; count <= 40; count++) {
            req = rejoin1_req(EUI, count);
            refused_on(LJS_E_REPLAY, &record, &req);
        }
    }
    req = rejoin1_req(EUI, 65535);
    joined_on(&record, &req);
    req.dev_addr = 1;
    refused_on(LJS_E_REPLAY, &record, &req); /* it never wraps */
    req = rejoin1_req(EUI, 0);
    refused_on(LJS_E_REPLAY, &record, &req);
    ljs_buf_free(&record);
}

/* RJcount0 belongs to a session: a device that never got the newer accepts is still in the older. */
static void test_rj_count0_of_each_session(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_1);
    ljs_buf record = make(&d);
    ljs_join_req req = join_req(LJS_MAC_1_1, 1);
    ljs_session a, b, c;

    (void)state;
    joined_on(&record, &req);
    a = read_session(&record, 0);
    req = join_req(LJS_MAC_1_1, 2);
    joined_on(&record, &req);
    b = read_session(&record, 0);
    assert_int_equal(a.rj_count0, -1);
    req = rejoin02_req(LJS_FRAME_REJOIN0, &b, 9, nwk);
    joined_on(&record, &req);
    c = read_session(&record, 0);
    req = rejoin02_req(LJS_FRAME_REJOIN2, &a, 0, nwk); /* of the older: its own count, from 0 */
    joined_on(&record, &req);
    req = rejoin02_req(LJS_FRAME_REJOIN0, &a, 0, nwk); /* types 0 and 2 count together */
    refused_on(LJS_E_REPLAY, &record, &req);
    req = rejoin02_req(LJS_FRAME_REJOIN0, &a, 1, nwk);
    joined_on(&record, &req);
    req = rejoin02_req(LJS_FRAME_REJOIN0, &b, 8, nwk);
    refused_on(LJS_E_REPLAY, &record, &req);
    req = rejoin02_req(LJS_FRAME_REJOIN0, &b, 9, nwk);
    refused_on(LJS_E_REPLAY, &record, &req);
    req = rejoin02_req(LJS_FRAME_REJOIN2, &b, 10, nwk);
    joined_on(&record, &req);
    req = rejoin02_req(LJS_FRAME_REJOIN0, &c, 0, nwk); /* made by a rejoin, and in use too */
    joined_on(&record, &req);
    for (unsigned i = 0, seen = 0; i < read_device(&record).sessions; i++) {
        ljs_session s = read_session(&record, i);

        if (s.join_nonce == a.join_nonce || s.join_nonce == b.join_nonce || s.join_nonce == c.join_nonce) {
            assert_int_equal(s.rj_count0, s.join_nonce == a.join_nonce ? 1 : s.join_nonce == b.join_nonce ? 10 : 0);
            assert_int_equal(s.proven, s.join_nonce == c.join_nonce);
            assert_true(++seen <= 3);
        }
    }
    ljs_buf_free(&record);
}

/* ---- JoinNonce -------------------------------------------------------------- */

/* From 1, one more for an accept of any kind, and for nothing else. */
static void test_join_nonce_by_one(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_1);
    ljs_buf record = make(&d);
    ljs_join_req req = join_req(LJS_MAC_1_1, 0), forged;
    ljs_session s;
    ljs_join_ans ans;

    (void)state;
    assert_int_equal(joined_on(&record, &req).join_nonce, 1);
    assert_int_equal(join_on(&ans, &record, &req), LJS_OK);
    assert_int_equal(ans.repeat, 1);
    assert_int_equal(ans.join_nonce, 1);
    s = read_session(&record, 0);
    forged = join_req(LJS_MAC_1_1, 1);
    forged.phy[20] ^= 1;
    refused_on(LJS_E_MIC, &record, &forged);
    req = rejoin02_req(LJS_FRAME_REJOIN0, &s, 0, nwk);
    assert_int_equal(joined_on(&record, &req).join_nonce, 2);
    req = rejoin1_req(EUI, 0);
    assert_int_equal(joined_on(&record, &req).join_nonce, 3);
    req = rejoin02_req(LJS_FRAME_REJOIN2, &s, 1, nwk);
    assert_int_equal(joined_on(&record, &req).join_nonce, 4);
    req = join_req(LJS_MAC_1_0_3, 1);
    assert_int_equal(joined_on(&record, &req).join_nonce, 5);
    ljs_buf_free(&record);
}

static void test_join_nonce_is_spent(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_buf record;
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 1), last = req;
    ljs_join_ans ans;

    (void)state;
    d.next_join_nonce = 0xffffff;
    record = make(&d);
    assert_int_equal(joined_on(&record, &req).join_nonce, 0xffffff);
    assert_int_equal(read_device(&record).next_join_nonce, 0x1000000);
    req = join_req(LJS_MAC_1_0_3, 2);
    for (int i = 0; i < 3; i++)
        refused_on(LJS_E_SPENT, &record, &req);
    assert_false(is_used(&record, 0, 2));
    req.phy[22] ^= 1;
    refused_on(LJS_E_MIC, &record, &req);
    req = last;
    req.dev_addr++;
    refused_on(LJS_E_REPLAY, &record, &req);
    assert_int_equal(join_on(&ans, &record, &last), LJS_OK); /* a repeat gives nothing new */
    assert_int_equal(ans.repeat, 1);
    d.next_join_nonce = 1;
    assert_int_equal(make_on(&record, &d, nwk, app, 0), LJS_OK);
    assert_int_equal(act_on(&record, LJS_DEVICE_RESET_NONCES), LJS_OK);
    req = join_req(LJS_MAC_1_0_3, 3);
    refused_on(LJS_E_SPENT, &record, &req);
    ljs_buf_free(&record);
}

static void test_reset_nonces(void **state)
{
    static const ljs_mac macs[] = { LJS_MAC_1_0_3, LJS_MAC_1_0_4, LJS_MAC_1_1 };

    (void)state;
    for (size_t m = 0; m < COUNT_OF(macs); m++) {
        ljs_device d = device_of(macs[m]);
        ljs_buf record = make(&d);
        ljs_join_req req = join_req(macs[m], 0), first = req;

        joined_on(&record, &req);
        if (macs[m] == LJS_MAC_1_1) {
            req = rejoin1_req(EUI, 6);
            joined_on(&record, &req);
            first = req;
        }
        assert_int_equal(act_on(&record, LJS_DEVICE_RESET_NONCES), LJS_OK);
        assert_int_equal(read_join_eui(&record, 0).dev_nonce, -1);
        assert_int_equal(read_join_eui(&record, 0).rj_count1, -1);
        assert_int_equal(used_count(&record, 0), 0);
        assert_true(read_device(&record).sessions > 0);
        /* What it sent before it was reset is a new request now: with a new JoinNonce, so that the
         * keys of the session before are not used with frame counters from 0 again. */
        joined_on(&record, &first);
        ljs_buf_free(&record);
    }
}

/* ---- removal and return ----------------------------------------------------- */

static ljs_buf lived(ljs_mac mac)
{
    ljs_device d = device_of(mac);
    ljs_buf record = make(&d);
    ljs_join_req req = join_req(mac, 7);

    joined_on(&record, &req);
    if (mac >= LJS_MAC_1_1) {
        req = rejoin1_req(EUI, 7);
        joined_on(&record, &req);
    }
    return record;
}

static void test_tombstone_with_the_same_keys(void **state)
{
    static const ljs_mac macs[] = { LJS_MAC_1_0_3, LJS_MAC_1_0_4, LJS_MAC_1_1 };

    (void)state;
    for (size_t m = 0; m < COUNT_OF(macs); m++) {
        ljs_buf record = lived(macs[m]);
        uint32_t join_nonce = read_device(&record).next_join_nonce;
        ljs_device d = device_of(macs[m]);
        ljs_join_req req = join_req(macs[m], 7);

        assert_int_equal(act_on(&record, LJS_DEVICE_REMOVE), LJS_OK);
        refused_on(LJS_E_DEVICE, &record, &req);
        assert_int_equal(read_device(&record).keys, 0);
        assert_int_equal(read_device(&record).sessions, 0);
        d.next_join_nonce = 1;
        assert_int_equal(make_on(&record, &d, nwk, app, 0), LJS_OK);
        assert_int_equal(read_device(&record).state, LJS_STATE_FRESH);
        assert_int_equal(read_device(&record).next_join_nonce, join_nonce);
        refused_on(LJS_E_REPLAY, &record, &req); /* also what was its latest: no repeat over a removal */
        if (macs[m] == LJS_MAC_1_1) {
            req = rejoin1_req(EUI, 7);
            refused_on(LJS_E_REPLAY, &record, &req);
        }
        req = join_req(macs[m], 8);
        assert_int_equal(joined_on(&record, &req).join_nonce, join_nonce);
        ljs_buf_free(&record);
    }
}

static void test_tombstone_with_other_keys(void **state)
{
    ljs_buf record = lived(LJS_MAC_1_1);
    uint32_t join_nonce = read_device(&record).next_join_nonce;
    ljs_device d = device_of(LJS_MAC_1_1);
    ljs_join_req req = join_req(LJS_MAC_1_1, 7);

    (void)state;
    assert_int_equal(act_on(&record, LJS_DEVICE_REMOVE), LJS_OK);
    assert_int_equal(make_on(&record, &d, other_nwk, other_app, 0), LJS_OK); /* no flag is needed: nothing is lost */
    assert_int_equal(read_device(&record).next_join_nonce, join_nonce);
    assert_int_equal(read_device(&record).epoch, 1);
    refused_on(LJS_E_MIC, &record, &req);
    req = join_req_for(LJS_MAC_1_1, EUI, 0, other_nwk); /* DevNonces start afresh */
    assert_int_equal(joined_on(&record, &req).join_nonce, join_nonce);
    ljs_buf_free(&record);
}

/* A key beside the one that signs join-requests lets no used nonce in again. */
static void test_tombstone_with_one_key_more(void **state)
{
    static const ljs_mac macs[] = { LJS_MAC_1_0_3, LJS_MAC_1_0_4, LJS_MAC_1_1 };

    (void)state;
    for (size_t m = 0; m < COUNT_OF(macs); m++)
        for (int live = 0; live < 2; live++) {
            const ljs_root_keys keys = { .nwk = nwk, .app = other_app, .gen_app = other_nwk };
            ljs_buf record = lived(macs[m]), next;
            ljs_device d = device_of(macs[m]);
            ljs_join_req req = join_req(macs[m], 7);

            req.dev_addr = 1;
            if (!live)
                assert_int_equal(act_on(&record, LJS_DEVICE_REMOVE), LJS_OK);
            assert_int_equal(ljs_device_make(&next, vault, &d, &keys, 0, NO_NONCE, NULL, 0, record.data, record.len),
                             live ? LJS_E_EXISTS : LJS_OK);
            if (live)
                assert_int_equal(ljs_device_make(&next, vault, &d, &keys, LJS_MAKE_REPLACE_KEYS, NO_NONCE, NULL, 0,
                                                 record.data, record.len),
                                 LJS_OK);
            ljs_buf_free(&record);
            record = next;
            refused_on(LJS_E_REPLAY, &record, &req);
            if (macs[m] == LJS_MAC_1_1) {
                req = rejoin1_req(EUI, 7);
                req.dev_addr = 1;
                refused_on(LJS_E_REPLAY, &record, &req);
            }
            req = join_req(macs[m], 8);
            joined_on(&record, &req);
            ljs_buf_free(&record);
        }
}

/* The one root key of 1.0.x is the same key under either name. */
static void test_tombstone_with_the_key_renamed(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_4);
    ljs_buf record = { NULL, 0 };
    ljs_join_req req = join_req(LJS_MAC_1_0_4, 7);

    (void)state;
    assert_int_equal(make_on(&record, &d, NULL, nwk, 0), LJS_OK);
    joined_on(&record, &req);
    assert_int_equal(act_on(&record, LJS_DEVICE_REMOVE), LJS_OK);
    assert_int_equal(make_on(&record, &d, nwk, NULL, 0), LJS_OK);
    refused_on(LJS_E_REPLAY, &record, &req);
    ljs_buf_free(&record);
}

static void test_replaced_keys(void **state)
{
    ljs_buf record = lived(LJS_MAC_1_1);
    uint32_t join_nonce = read_device(&record).next_join_nonce;
    ljs_device d = device_of(LJS_MAC_1_1);
    ljs_join_req old = join_req(LJS_MAC_1_1, 8), req;

    (void)state;
    assert_int_equal(make_on(&record, &d, other_nwk, other_app, 0), LJS_E_EXISTS);
    assert_int_equal(make_on(&record, &d, other_nwk, other_app, LJS_MAKE_REPLACE_KEYS), LJS_OK);
    assert_int_equal(read_device(&record).next_join_nonce, join_nonce);
    assert_int_equal(read_device(&record).epoch, 1);
    assert_int_equal(read_device(&record).sessions, 2);
    refused_on(LJS_E_MIC, &record, &old);
    req = rejoin1_req(EUI, 8); /* under the old JSIntKey */
    refused_on(LJS_E_MIC, &record, &req);
    req = join_req_for(LJS_MAC_1_1, EUI, 0, other_nwk);
    assert_int_equal(joined_on(&record, &req).join_nonce, join_nonce);
    assert_int_equal(make_on(&record, &d, other_nwk, other_app, LJS_MAKE_REPLACE_KEYS), LJS_OK); /* the same again */
    assert_int_equal(read_device(&record).epoch, 1);
    ljs_buf_free(&record);
}

/* ---- what others do --------------------------------------------------------- */

/* A vector's device, its keys aside, which the vectors do not give: the same nonces, our keys. */
static ljs_buf vector_device(json_t *v, ljs_join_req *req)
{
    const ljs_root_keys keys = { .nwk = nwk, .app = app };
    json_t *used = vector_find(v, "inputs.used_dev_nonces"), *one;
    ljs_device d = device_of(LJS_MAC_1_0_0);
    int32_t last = (int32_t)vector_number(v, "inputs.last_dev_nonce");
    uint8_t phy[LJS_FRAME_MAX], list[64];
    size_t i, n = 0;
    ljs_frame frame;
    ljs_buf record;

    assert_int_equal(ljs_mac_parse(&d.mac, vector_text(v, "lorawan_version")), LJS_OK);
    assert_int_equal(ljs_frame_parse(&frame, phy, vector_hex(phy, sizeof phy, v, "inputs.join_request")), LJS_OK);
    assert_int_equal(frame.kind, LJS_FRAME_JOIN);
    d.next_join_nonce = (uint32_t)vector_number(v, "inputs.last_join_nonce") + 1;
    json_array_foreach(used, i, one)
    {
        list[n++] = (uint8_t)json_integer_value(one);
        list[n++] = (uint8_t)(json_integer_value(one) >> 8);
    }
    if (last == 0) /* The Things Stack writes 0 where nothing was recorded */
        last = NO_NONCE;
    assert_int_equal(ljs_device_make(&record, vault, &d, &keys, 0, last, n ? list : NULL, n, NULL, 0), LJS_OK);
    *req = join_req(d.mac, frame.nonce);
    return record;
}

static unsigned exceptions;

static void follow(json_t *v)
{
    ljs_join_req req;
    ljs_buf record;
    ljs_join_eui e;

    if (vector_is(v, "tts-nonce-10-window") || vector_is(v, "tts-nonce-11-reset-flag")) {
        exceptions++;
        return;
    }
    record = vector_device(v, &req);
    assert_true(vector_number(v, "expected.accepted"));
    assert_int_equal(joined_on(&record, &req).join_nonce, vector_number(v, "expected.next_last_join_nonce"));
    e = read_join_eui(&record, 0);
    if (vector_has(v, "expected.next_last_dev_nonce"))
        assert_int_equal(e.dev_nonce, vector_number(v, "expected.next_last_dev_nonce"));
    if (vector_has(v, "expected.next_used_dev_nonces")) {
        json_t *used = vector_find(v, "expected.next_used_dev_nonces"), *one;
        size_t i;

        assert_int_equal(e.dev_nonces_used, json_array_size(used));
        json_array_foreach(used, i, one) assert_true(is_used(&record, 0, (uint16_t)json_integer_value(one)));
    }
    ljs_buf_free(&record);
}

static void test_vectors(void **state)
{
    (void)state;
    exceptions = 0;
    vectors_each("nonce_rule", 5, follow);
    assert_int_equal(exceptions, 2);
}

/* A window of ten forgets the eleventh, whose join-request can then be replayed.  We forget none. */
static void no_window(json_t *v)
{
    json_t *used, *one;
    ljs_join_req req;
    ljs_buf record;
    size_t i;

    if (!vector_is(v, "tts-nonce-10-window"))
        return;
    exceptions++;
    record = vector_device(v, &req);
    used = vector_find(v, "inputs.used_dev_nonces");
    joined_on(&record, &req);
    assert_int_equal(used_count(&record, 0), json_array_size(used) + 1);
    json_array_foreach(used, i, one)
    {
        req = join_req(LJS_MAC_1_0_0, (uint16_t)json_integer_value(one));
        refused_on(LJS_E_REPLAY, &record, &req); /* 23, the oldest, among them */
    }
    ljs_buf_free(&record);
}

static void test_exception_10_window(void **state)
{
    (void)state;
    exceptions = 0;
    vectors_each("nonce_rule", 5, no_window);
    assert_int_equal(exceptions, 1);
}

/* There, a flag lets a device of 1.1 begin again at any time.  Here an operator says so, once. */
static void no_reset_flag(json_t *v)
{
    ljs_join_req req;
    ljs_buf record;

    if (!vector_is(v, "tts-nonce-11-reset-flag"))
        return;
    exceptions++;
    record = vector_device(v, &req);
    refused_on(LJS_E_REPLAY, &record, &req);
    assert_int_equal(read_join_eui(&record, 0).dev_nonce, 9281);
    assert_int_equal(act_on(&record, LJS_DEVICE_RESET_NONCES), LJS_OK);
    joined_on(&record, &req);
    req.dev_addr++;
    refused_on(LJS_E_REPLAY, &record, &req);
    ljs_buf_free(&record);
}

static void test_exception_11_reset_flag(void **state)
{
    (void)state;
    exceptions = 0;
    vectors_each("nonce_rule", 5, no_reset_flag);
    assert_int_equal(exceptions, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_dev_nonces),
        cmocka_unit_test(test_list_becomes_map),
        cmocka_unit_test(test_each_join_eui_has_its_own),
        cmocka_unit_test(test_no_more_join_euis_than_four),
        cmocka_unit_test(test_counter),
        cmocka_unit_test(test_zero),
        cmocka_unit_test(test_the_records_version_rules),
        cmocka_unit_test(test_version_changes),
        cmocka_unit_test(test_import_only_adds),
        cmocka_unit_test(test_import_out_of_range),
        cmocka_unit_test(test_rj_count1_survives_joins),
        cmocka_unit_test(test_rj_count0_of_each_session),
        cmocka_unit_test(test_join_nonce_by_one),
        cmocka_unit_test(test_join_nonce_is_spent),
        cmocka_unit_test(test_reset_nonces),
        cmocka_unit_test(test_tombstone_with_the_same_keys),
        cmocka_unit_test(test_tombstone_with_other_keys),
        cmocka_unit_test(test_tombstone_with_one_key_more),
        cmocka_unit_test(test_tombstone_with_the_key_renamed),
        cmocka_unit_test(test_replaced_keys),
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_exception_10_window),
        cmocka_unit_test(test_exception_11_reset_flag),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
