/* Devices of a lot: their keys are those of the formula, computed elsewhere (Python's cryptography), and no record has
 * them. */
#include "server_world.h"

#include "base/cursor.h"
#include "device/record.h"
#include "keys/lot.h"

#include <lorajs/rewrap.h>

#include <stdatomic.h>

#define LOT_KEY "8f5a2d64c1e7390b72d8164fa3bc05e9"
/* Of DEV. */
#define LOT_NWK     "4ca53352769fbd7fe7becf48312e17ee"
#define LOT_APP     "814a3144cc04aa32b77d651acef162fb"
#define LOT_GEN_APP "a46510329de28609cdd8745bbd6b9b1b"
#define LOT_REKEY   "654f328d2d5a49a9261b1468ecd69ae6"

static ljs_key *lot_key, *lot_nwk, *lot_app;

static int begin(void **state)
{
    world_begin(state);
    lot_key = key_of(LOT_KEY);
    lot_nwk = key_of(LOT_NWK);
    lot_app = key_of(LOT_APP);
    return 0;
}

static int end(void **state)
{
    ljs_key_free(lot_key);
    ljs_key_free(lot_nwk);
    ljs_key_free(lot_app);
    return world_end(state);
}

static ljs_device of_lot(ljs_mac mac, const char *lot, uint8_t keys)
{
    ljs_device d = device_of(mac);

    strcpy(d.lot, lot);
    strcpy(d.as_id, "as.example");
    d.keys = keys;
    return d;
}

static ljs_err make_lot(struct world *w, const ljs_device *d, unsigned flags)
{
    const ljs_root_keys none = { NULL, NULL, NULL, NULL };

    return ljs_server_make_device(w->server, d, &none, flags, NO_NONCE, NULL, 0);
}

static void begin_with_lot(struct world *w)
{
    ljs_peers *peers = two_peers();

    server_begin(w, NULL, NULL);
    assert_int_equal(ljs_server_set_peers(w->server, peers), LJS_OK);
    ljs_peers_free(peers);
    put_two_keks(w);
    assert_int_equal(ljs_server_put_lot(w->server, "lot 7", lot_key), LJS_OK);
}

static ljs_message join_as(struct world *w, ljs_mac mac, uint16_t nonce, const ljs_key *root, const char *want)
{
    ljs_join_req req = join_req_for(mac, EUI, nonce, root);
    const struct say say = { .protocol = mac >= LJS_MAC_1_1 ? "1.1" : "1.0",
                             .ns_id = mac >= LJS_MAC_1_1 ? "0000000000000013" : NULL };

    return asked(w, "ns", join_text(&say, &req), want);
}

/* The device's own half, from the keys that were computed elsewhere. */
static void joins_with(struct world *w, ljs_mac mac, uint16_t nonce, const ljs_key *root, const ljs_key *app_root)
{
    ljs_message ans = join_as(w, mac, nonce, root, "Success");
    ljs_buf record = record_of(w, DEV);
    ljs_session s = read_session(&record, 0);
    const ljs_accept_of of = { .scheme = s.scheme, .kind = s.kind, .join_eui = s.join_eui, .nonce = s.nonce };
    ljs_key *js_int = derived(LJS_KEY_JS_INT, NULL, root), *app_s = derived(LJS_KEY_APP_S, &s, app_root);
    ljs_accept accept;

    assert_int_equal(ljs_accept_open(&accept, &of, mac >= LJS_MAC_1_1 ? js_int : root, root, ans.phy, ans.phy_len),
                     LJS_OK);
    expect_key(&ans.app_s, app_s, as_kek);
    ljs_key_free(js_int);
    ljs_key_free(app_s);
    ljs_buf_free(&record);
}

static ljs_err add_label(void *user, const char *label)
{
    char *text = user;

    strcat(text, label);
    strcat(text, ";");
    return LJS_OK;
}

static void test_lots(void **state)
{
    struct world w;
    char labels[256] = "", room[64];

    (void)state;
    begin_with_lot(&w);
    assert_int_equal(ljs_server_put_lot(w.server, "lot 7", lot_key), LJS_OK);
    assert_int_equal(ljs_server_put_lot(w.server, "lot 7", nwk), LJS_E_EXISTS);
    assert_int_equal(ljs_server_put_lot(w.server, "a", nwk), LJS_OK);
    assert_int_equal(ljs_server_put_lot(w.server, "", nwk), LJS_E_INVAL);
    assert_int_equal(ljs_server_put_lot(w.server, NULL, nwk), LJS_E_INVAL);
    assert_int_equal(ljs_server_put_lot(w.server, "b\n", nwk), LJS_E_INVAL);
    assert_int_equal(ljs_server_put_lot(w.server, "b", as_kek), LJS_E_INVAL); /* 24 octets */
    assert_int_equal(ljs_server_each_lot(w.server, add_label, labels), LJS_OK);
    assert_string_equal(labels, "a;lot 7;");
    for (unsigned i = 2; i < LJS_LOTS_MAX; i++) {
        snprintf(room, sizeof room, "many %u", i);
        assert_int_equal(ljs_server_put_lot(w.server, room, nwk), LJS_OK);
    }
    assert_int_equal(ljs_server_put_lot(w.server, "one more", nwk), LJS_E_INVAL);
    server_end(&w);
}

static void test_known_answers(void **state)
{
    static const struct {
        ljs_key_name name;
        const char *hex;
    } rows[] = { { LJS_KEY_LOT_NWK, LOT_NWK },
                 { LJS_KEY_LOT_APP, LOT_APP },
                 { LJS_KEY_LOT_GEN_APP, LOT_GEN_APP },
                 { LJS_KEY_LOT_REKEY, LOT_REKEY } };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        ljs_key *got = derived(rows[i].name, NULL, lot_key), *want = key_of(rows[i].hex);
        ljs_buf a, b;

        assert_int_equal(ljs_key_export(&a, got), LJS_OK);
        assert_int_equal(ljs_key_export(&b, want), LJS_OK);
        assert_memory_equal(a.data, b.data, 16);
        ljs_buf_free(&a);
        ljs_buf_free(&b);
        ljs_key_free(got);
        ljs_key_free(want);
    }
}

static bool holds(const ljs_buf *in, const char *hex)
{
    uint8_t octets[16];

    assert_true(ljs__hex(octets, sizeof octets, hex, 32));
    for (size_t i = 0; i + sizeof octets <= in->len; i++)
        if (!memcmp(in->data + i, octets, sizeof octets))
            return true;
    return false;
}

static void test_joins(void **state)
{
    static const struct {
        ljs_mac mac;
        uint8_t keys, has; /* 0: what the version needs */
    } rows[] = { { LJS_MAC_1_1, 0, LJS_HAS_NWK_KEY | LJS_HAS_APP_KEY },
                 { LJS_MAC_1_1, 15, 15 },
                 { LJS_MAC_1_0_4, 0, LJS_HAS_APP_KEY },
                 { LJS_MAC_1_0_3, LJS_HAS_NWK_KEY | LJS_HAS_GEN_APP_KEY, LJS_HAS_NWK_KEY | LJS_HAS_GEN_APP_KEY } };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const ljs_key *root = rows[i].has & LJS_HAS_NWK_KEY ? lot_nwk : lot_app;
        ljs_device d = of_lot(rows[i].mac, "lot 7", rows[i].keys);
        struct world w;
        ljs_buf record;

        begin_with_lot(&w);
        assert_int_equal(make_lot(&w, &d, 0), LJS_OK);
        assert_string_equal(device_in(&w, DEV).lot, "lot 7");
        assert_int_equal(device_in(&w, DEV).keys, rows[i].has);
        for (uint16_t nonce = 1; nonce < 4; nonce++)
            joins_with(&w, rows[i].mac, nonce, root, rows[i].mac >= LJS_MAC_1_1 ? lot_app : root);
        (void)join_as(&w, rows[i].mac, 4, nwk, "MICFailed");
        assert_string_equal(device_in(&w, DEV).lot, "lot 7");
        record = record_of(&w, DEV);
        assert_false(holds(&record, LOT_KEY) || holds(&record, LOT_NWK) || holds(&record, LOT_APP));
        ljs_buf_free(&record);
        server_end(&w);
    }
}

static void test_what_is_refused(void **state)
{
    static const struct {
        ljs_mac mac;
        uint8_t keys;
    } bad[] = { { LJS_MAC_1_1, LJS_HAS_NWK_KEY },
                { LJS_MAC_1_1, LJS_HAS_APP_KEY },
                { LJS_MAC_1_0_4, LJS_HAS_REKEY_KEY },
                { LJS_MAC_1_0_4, LJS_HAS_APP_KEY | 16 } };
    const ljs_root_keys keys = { .nwk = nwk, .app = app };
    ljs_device d = of_lot(LJS_MAC_1_1, "lot 8", 0);
    struct world w;

    (void)state;
    begin_with_lot(&w);
    assert_int_equal(make_lot(&w, &d, 0), LJS_E_LOT);
    strcpy(d.lot, "lot 7");
    assert_int_equal(ljs_server_make_device(w.server, &d, &keys, 0, NO_NONCE, NULL, 0), LJS_E_INVAL);
    d.lot[4] = '\n';
    assert_int_equal(make_lot(&w, &d, 0), LJS_E_INVAL);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        d = of_lot(bad[i].mac, "lot 7", bad[i].keys);
        assert_int_equal(make_lot(&w, &d, 0), LJS_E_INVAL);
    }
    d = of_lot(LJS_MAC_1_1, "", 3);
    assert_int_equal(make_lot(&w, &d, 0), LJS_E_INVAL); /* no lot, and no keys */
    server_end(&w);
}

/* Whoever had the store open before the lot was there finds it when he needs it. */
static void test_another_process(void **state)
{
    static const uint8_t master[32] = { 0x4c, 0x6f, 0x52, 0x61 };
    ljs_device d = of_lot(LJS_MAC_1_1, "late", 0);
    ljs_vault *mine = vault;
    struct world w, other = { .store = NULL };
    ljs_import many[3] = { { .dev_nonce = NO_NONCE } };
    ljs_err results[3];
    ljs_peers *peers = two_peers();

    (void)state;
    begin_with_lot(&w);
    assert_int_equal(ljs_vault_new(&vault, master, sizeof master), LJS_OK);
    server_begin(&other, w.store, NULL);
    assert_int_equal(ljs_server_set_peers(other.server, peers), LJS_OK);
    ljs_peers_free(peers);
    assert_int_equal(ljs_server_put_lot(w.server, "late", lot_key), LJS_OK);
    assert_int_equal(make_lot(&w, &d, 0), LJS_OK);
    joins_with(&other, LJS_MAC_1_1, 1, lot_nwk, lot_app);
    /* Also where many come in at once, and one of them is of none. */
    assert_int_equal(ljs_server_put_lot(w.server, "later", lot_key), LJS_OK);
    for (size_t i = 0; i < COUNT_OF(many); i++) {
        many[i].device = of_lot(LJS_MAC_1_0_4, i == 1 ? "never" : "later", 0);
        many[i].device.dev_eui = DEV + 1 + i;
        many[i].device.join_euis = 1;
        many[i].dev_nonce = NO_NONCE;
    }
    ljs_server_import(results, other.server, many, COUNT_OF(many), 0);
    for (size_t i = 0; i < COUNT_OF(many); i++)
        assert_int_equal(results[i], i == 1 ? LJS_E_LOT : LJS_OK);
    joins_with(&w, LJS_MAC_1_1, 2, lot_nwk, lot_app);
    ljs_server_free(other.server);
    ljs_vault_free(vault);
    vault = mine;
    server_end(&w);
}

/* Keys of one's own that are those of the lot are the same keys: nothing begins anew, either way. */
static void test_into_and_out_of_a_lot(void **state)
{
    const ljs_root_keys own = { .nwk = lot_nwk, .app = lot_app }, others = { .nwk = nwk, .app = app };
    ljs_device d = of_lot(LJS_MAC_1_1, "lot 7", 0), ordinary = device_of(LJS_MAC_1_1);
    struct world w;
    ljs_message ans;

    (void)state;
    begin_with_lot(&w);
    strcpy(d.as_id, "as.example");
    strcpy(ordinary.as_id, "as.example");
    assert_int_equal(ljs_server_make_device(w.server, &ordinary, &own, 0, NO_NONCE, NULL, 0), LJS_OK);
    joins_with(&w, LJS_MAC_1_1, 1, lot_nwk, lot_app);
    assert_int_equal(make_lot(&w, &d, 0), LJS_OK);
    assert_int_equal(device_in(&w, DEV).epoch, 0);
    assert_string_equal(device_in(&w, DEV).lot, "lot 7");
    (void)join_as(&w, LJS_MAC_1_1, 1, lot_nwk, "Success"); /* a repeat */
    joins_with(&w, LJS_MAC_1_1, 2, lot_nwk, lot_app);
    assert_int_equal(ljs_server_make_device(w.server, &ordinary, &own, 0, NO_NONCE, NULL, 0), LJS_OK);
    assert_string_equal(device_in(&w, DEV).lot, "");
    assert_int_equal(device_in(&w, DEV).epoch, 0);
    joins_with(&w, LJS_MAC_1_1, 3, lot_nwk, lot_app);

    /* Others are another epoch, and what stands on the lot still does. */
    assert_int_equal(make_lot(&w, &d, 0), LJS_OK);
    ans = join_as(&w, LJS_MAC_1_1, 4, lot_nwk, "Success");
    assert_int_equal(ljs_server_make_device(w.server, &ordinary, &others, 0, NO_NONCE, NULL, 0), LJS_E_EXISTS);
    assert_int_equal(ljs_server_make_device(w.server, &ordinary, &others, LJS_MAKE_REPLACE_KEYS, NO_NONCE, NULL, 0),
                     LJS_OK);
    assert_int_equal(device_in(&w, DEV).epoch, 1);
    assert_string_equal(device_in(&w, DEV).lot, "");
    (void)asked(&w, "as",
                app_s_key_text(&(struct say){ .protocol = "1.1", .sender = "as.example" }, ans.session_key_id,
                               ans.session_key_id_len),
                "Success");
    joins_with(&w, LJS_MAC_1_1, 1, nwk, app);
    (void)join_as(&w, LJS_MAC_1_1, 9, lot_nwk, "MICFailed");
    server_end(&w);
}

static void test_removed_and_back(void **state)
{
    ljs_device d = of_lot(LJS_MAC_1_0_4, "lot 7", 0);
    struct world w;

    (void)state;
    begin_with_lot(&w);
    assert_int_equal(make_lot(&w, &d, 0), LJS_OK);
    joins_with(&w, LJS_MAC_1_0_4, 7, lot_app, lot_app);
    assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_REMOVE), LJS_OK);
    assert_string_equal(device_in(&w, DEV).lot, "");
    assert_int_equal(make_lot(&w, &d, 0), LJS_OK);
    (void)join_as(&w, LJS_MAC_1_0_4, 7, lot_app, "JoinReqFailed"); /* the same keys: it was used */
    joins_with(&w, LJS_MAC_1_0_4, 8, lot_app, lot_app);
    assert_int_equal(device_in(&w, DEV).next_join_nonce, 3);
    server_end(&w);
}

/* What is in the store was written by others: each bit of a lot's value counts. */
static void test_every_bit_of_a_lot(void **state)
{
    ljs_buf value, out;
    ljs_err err;

    (void)state;
    assert_int_equal(ljs_lot_make(&value, vault, "a lot", lot_key), LJS_OK);
    for (size_t bit = 0; bit < 8 * value.len; bit++) {
        value.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        err = ljs_vault_add_lot(vault, value.data, value.len);
        assert_true(err == LJS_E_SEAL || err == LJS_E_VERSION);
        assert_int_equal(ljs_lot_rewrap(&out, vault, value.data, value.len), err);
        assert_null(out.data);
        value.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < value.len; len++)
        assert_int_equal(ljs_vault_add_lot(vault, value.data, len), LJS_E_SEAL);
    assert_int_equal(ljs_vault_add_lot(vault, value.data, value.len), LJS_OK);
    assert_int_equal(ljs_lot_rewrap(&out, vault, value.data, value.len), LJS_OK);
    assert_null(out.data); /* it is under the newest already */
    ljs_buf_free(&value);
}

/* Without its lot a device is refused, and nothing of it is used up. */
static void test_without_its_lot(void **state)
{
    static const uint8_t master[32] = { 0x4c, 0x6f, 0x52, 0x61 };
    ljs_device d = of_lot(LJS_MAC_1_0_4, "lot 7", 0);
    ljs_change gone = { .key = (const uint8_t *)"llot 7", .key_len = 6 };
    ljs_vault *mine = vault;
    struct world w, other;
    ljs_peers *peers = two_peers();
    ljs_buf value, record, after;

    (void)state;
    begin_with_lot(&w);
    assert_int_equal(make_lot(&w, &d, 0), LJS_OK);
    joins_with(&w, LJS_MAC_1_0_4, 1, lot_app, lot_app);
    assert_int_equal(ljs_store_get(&value, &gone.if_version, w.store, gone.key, gone.key_len), LJS_OK);
    assert_int_equal(ljs_store_commit(w.store, &gone, 1), LJS_OK);
    assert_int_equal(ljs_vault_new(&vault, master, sizeof master), LJS_OK); /* which knows none */
    server_begin(&other, w.store, NULL);
    assert_int_equal(ljs_server_set_peers(other.server, peers), LJS_OK);
    record = record_of(&w, DEV);
    (void)join_as(&other, LJS_MAC_1_0_4, 2, lot_app, "Other");
    assert_int_equal(other.last.err, LJS_E_LOT);
    assert_int_equal(ljs_server_step_device(other.server, DEV, LJS_DEVICE_REMOVE), LJS_E_LOT);
    after = record_of(&w, DEV);
    assert_int_equal(after.len, record.len);
    assert_memory_equal(after.data, record.data, record.len);
    ljs_buf_free(&after);
    gone.in = value.data;
    gone.in_len = value.len;
    gone.if_version = 0;
    assert_int_equal(ljs_store_commit(w.store, &gone, 1), LJS_OK);
    joins_with(&other, LJS_MAC_1_0_4, 2, lot_app, lot_app);
    ljs_server_free(other.server);
    ljs_vault_free(vault);
    vault = mine;
    ljs_peers_free(peers);
    ljs_buf_free(&value);
    ljs_buf_free(&record);
    server_end(&w);
}

static void lose(struct world *w, const char *key)
{
    ljs_change gone = { .key = (const uint8_t *)key, .key_len = strlen(key) };
    ljs_buf value;

    assert_int_equal(ljs_store_get(&value, &gone.if_version, w->store, gone.key, gone.key_len), LJS_OK);
    ljs_buf_free(&value);
    assert_int_equal(ljs_store_commit(w->store, &gone, 1), LJS_OK);
    assert_int_equal(gone.result, LJS_OK);
}

/* A lot that is lost comes back with the key that it had, and with no other. */
static void test_one_that_is_lost(void **state)
{
    ljs_device d = of_lot(LJS_MAC_1_0_4, "lot 7", 0);
    ljs_envelope envelope;
    char labels[64] = "";
    struct world w;

    (void)state;
    begin_with_lot(&w);
    assert_int_equal(make_lot(&w, &d, 0), LJS_OK);
    lose(&w, "llot 7");
    assert_int_equal(ljs_server_each_lot(w.server, add_label, labels), LJS_OK);
    assert_string_equal(labels, "");
    assert_int_equal(ljs_server_put_lot(w.server, "lot 7", nwk), LJS_E_EXISTS);
    assert_int_equal(ljs_server_make_lot(&envelope, w.server, "lot 7", "ns-kek"), LJS_E_EXISTS);
    assert_int_equal(ljs_server_put_lot(w.server, "lot 7", as_kek), LJS_E_INVAL);
    assert_int_equal(ljs_server_put_lot(w.server, "lot 7", lot_key), LJS_OK);
    joins_with(&w, LJS_MAC_1_0_4, 1, lot_app, lot_app);

    /* An older lorajs kept none of it: it is kept when the lot's key is shown again. */
    lose(&w, "flot 7");
    assert_int_equal(ljs_server_put_lot(w.server, "lot 7", nwk), LJS_E_EXISTS);
    assert_int_equal(ljs_server_put_lot(w.server, "lot 7", lot_key), LJS_OK);
    lose(&w, "llot 7");
    assert_int_equal(ljs_server_put_lot(w.server, "lot 7", nwk), LJS_E_EXISTS);
    assert_int_equal(ljs_server_put_lot(w.server, "lot 7", lot_key), LJS_OK);

    /* So it is with one that nobody has seen the key of. */
    assert_int_equal(ljs_server_make_lot(&envelope, w.server, "made", "ns-kek"), LJS_OK);
    lose(&w, "lmade");
    assert_int_equal(ljs_server_put_lot(w.server, "made", lot_key), LJS_E_EXISTS);
    server_end(&w);
}

/* The lot's key does not stay where its devices' keys are used, and neither do these where it goes wrong. */
static void test_nothing_stays_in_the_ring(void **state)
{
    static const enum key_id ids[] = { KEY_NWK, KEY_APP };
    static const enum key_role roles[] = { ROLE_NWK, ROLE_APP };
    static const enum key_role wrong[] = { ROLE_NWK, ROLE_KEK };
    struct ring *ring;
    ljs_buf value;

    (void)state;
    assert_int_equal(ljs_lot_make(&value, vault, "a lot", lot_key), LJS_OK);
    assert_int_equal(ljs_vault_add_lot(vault, value.data, value.len), LJS_OK);
    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    assert_int_equal(ljs__lot_keys(ring, vault, "a lot", ids, roles, 2, DEV), LJS_OK);
    assert_true(ljs__ring_has(ring, KEY_NWK) && ljs__ring_has(ring, KEY_APP) && !ljs__ring_has(ring, KEY_WORK));
    assert_int_equal(ljs__lot_keys(ring, vault, "none", ids, roles, 2, DEV), LJS_E_LOT);
    assert_false(ljs__ring_has(ring, KEY_NWK) || ljs__ring_has(ring, KEY_APP) || ljs__ring_has(ring, KEY_WORK));
    assert_int_equal(ljs__lot_keys(ring, vault, "a lot", ids, wrong, 2, DEV), LJS_E_INVAL);
    assert_false(ljs__ring_has(ring, KEY_NWK) || ljs__ring_has(ring, KEY_APP) || ljs__ring_has(ring, KEY_WORK));
    ljs__ring_give(ring);
    ljs_buf_free(&value);
}

/* One lot that does not open, or stands where another belongs, is the trouble of its devices alone. */
static void test_one_that_is_damaged(void **state)
{
    ljs_device d = of_lot(LJS_MAC_1_0_4, "lot 7", 0);
    ljs_change change = { .key = (const uint8_t *)"llot 8", .key_len = 6 };
    char labels[64] = "";
    struct world w, again;
    ljs_buf seven, eight, there;
    ljs_rewrapped so_far;
    ljs_rewrap *r;
    uint64_t version;
    ljs_peers *peers = two_peers();

    (void)state;
    begin_with_lot(&w);
    assert_int_equal(make_lot(&w, &d, 0), LJS_OK);
    assert_int_equal(ljs_server_put_lot(w.server, "lot 8", nwk), LJS_OK);
    assert_int_equal(ljs_store_get(&seven, &version, w.store, (const uint8_t *)"llot 7", 6), LJS_OK);
    assert_int_equal(ljs_store_get(&eight, &change.if_version, w.store, change.key, change.key_len), LJS_OK);
    eight.data[eight.len - 1] ^= 1;
    for (unsigned turn = 0; turn < 2; turn++) {
        change.in = turn ? seven.data : eight.data;
        change.in_len = turn ? seven.len : eight.len;
        assert_int_equal(ljs_store_commit(w.store, &change, 1), LJS_OK);
        assert_int_equal(ljs_store_get(&there, &change.if_version, w.store, change.key, change.key_len), LJS_OK);
        ljs_buf_free(&there);
        server_begin(&again, w.store, NULL);
        assert_int_equal(ljs_server_set_peers(again.server, peers), LJS_OK);
        joins_with(&again, LJS_MAC_1_0_4, (uint16_t)(1 + turn), lot_app, lot_app);
        assert_int_equal(ljs_server_each_lot(again.server, add_label, labels), LJS_E_SEAL);
        assert_int_equal(ljs_server_put_lot(again.server, "lot 8", app), turn ? LJS_E_EXISTS : LJS_E_SEAL);
        assert_int_equal(ljs_rewrap_new(&r, again.server), LJS_OK);
        do
            assert_int_equal(ljs_rewrap_step(&so_far, r, 7), LJS_OK);
        while (!so_far.done);
        ljs_rewrap_free(r);
        assert_int_equal(so_far.damaged, 1);
        assert_string_equal(so_far.what, "lot lot 8");
        ljs_server_free(again.server);
    }
    ljs_peers_free(peers);
    ljs_buf_free(&seven);
    ljs_buf_free(&eight);
    server_end(&w);
}

/* The key that nobody has seen is the one that whoever has the KEK unwraps. */
static void test_made_here(void **state)
{
    static const ljs_envelope none;
    ljs_device d = of_lot(LJS_MAC_1_1, "made", 0);
    ljs_envelope envelope[2];
    struct world w;
    ljs_key *key, *made_nwk, *made_app;

    (void)state;
    begin_with_lot(&w);
    assert_int_equal(ljs_server_make_lot(&envelope[0], w.server, "made", "ns-kek"), LJS_OK);
    assert_string_equal(envelope[0].kek_label, "ns-kek");
    assert_int_equal(envelope[0].key_len, 24);
    assert_int_equal(ljs_envelope_open(&key, &envelope[0], ns_kek), LJS_OK);
    made_nwk = derived(LJS_KEY_LOT_NWK, NULL, key);
    made_app = derived(LJS_KEY_LOT_APP, NULL, key);
    assert_int_equal(make_lot(&w, &d, 0), LJS_OK);
    joins_with(&w, LJS_MAC_1_1, 1, made_nwk, made_app);
    assert_int_equal(ljs_server_put_lot(w.server, "made", key), LJS_OK); /* it is the same */
    ljs_key_free(made_nwk);
    ljs_key_free(made_app);
    ljs_key_free(key);

    /* What is refused gives no key to anybody, and none is kept. */
    memset(envelope, 0xa5, sizeof envelope);
    assert_int_equal(ljs_server_make_lot(&envelope[1], w.server, "made", "ns-kek"), LJS_E_EXISTS);
    assert_memory_equal(&envelope[1], &none, sizeof none);
    assert_int_equal(ljs_server_make_lot(&envelope[1], w.server, "other", "no kek"), LJS_E_KEK);
    assert_int_equal(ljs_server_make_lot(&envelope[1], w.server, "other", ""), LJS_E_KEK);
    assert_int_equal(ljs_server_make_lot(&envelope[1], w.server, "other\n", "ns-kek"), LJS_E_INVAL);
    assert_int_equal(ljs_server_rotate_kek(w.server, "ns-kek", "as-kek", NULL, LJS_USE_NS | LJS_USE_AS), LJS_OK);
    assert_int_equal(ljs_server_make_lot(&envelope[0], w.server, "other", "ns-kek"), LJS_OK);
    assert_string_equal(envelope[0].kek_label, "as-kek");
    assert_int_equal(ljs_server_make_lot(&envelope[1], w.server, "third", "as-kek"), LJS_OK);
    assert_memory_not_equal(envelope[0].key, envelope[1].key, sizeof envelope[0].key);
    assert_int_equal(ljs_server_retire_kek(w.server, "as-kek", 1), LJS_OK);
    assert_int_equal(ljs_server_make_lot(&envelope[1], w.server, "fourth", "ns-kek"), LJS_E_KEK);
    assert_memory_equal(&envelope[1], &none, sizeof none);
    d.dev_eui = DEV + 1;
    strcpy(d.lot, "fourth");
    assert_int_equal(make_lot(&w, &d, 0), LJS_E_LOT);
    server_end(&w);
}

/* ---- threads --------------------------------------------------------------------- */

enum { READERS = 3, ROUNDS = 60 };

static atomic_bool over;

/* Makes records until it is over, all of them the same but for what is random in them. */
static void *reader(void *user)
{
    static const ljs_root_keys none = { NULL, NULL, NULL, NULL };
    const ljs_device d = of_lot(LJS_MAC_1_1, "lot 7", 0);
    uintptr_t made = 0;
    ljs_buf record;

    (void)user;
    do {
        if (ljs_device_make(&record, vault, &d, &none, 0, NO_NONCE, NULL, 0, NULL, 0))
            return NULL;
        made++;
        ljs_buf_free(&record);
    } while (!atomic_load(&over));
    return (void *)made;
}

/* The list grows while others look into it. */
static void test_threads(void **state)
{
    pthread_t thread[READERS];
    ljs_buf value;
    void *made;

    (void)state;
    atomic_store(&over, false);
    assert_int_equal(ljs_lot_make(&value, vault, "lot 7", lot_key), LJS_OK);
    assert_int_equal(ljs_vault_add_lot(vault, value.data, value.len), LJS_OK);
    ljs_buf_free(&value);
    for (unsigned i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, reader, NULL), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        char label[16];

        snprintf(label, sizeof label, "lot %u", i % 8);
        assert_int_equal(ljs_lot_make(&value, vault, label, lot_key), LJS_OK);
        assert_int_equal(ljs_vault_add_lot(vault, value.data, value.len), LJS_OK);
        ljs_buf_free(&value);
    }
    atomic_store(&over, true);
    for (unsigned i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(thread[i], &made), 0);
        assert_non_null(made);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lots, begin, end),
        cmocka_unit_test_setup_teardown(test_known_answers, begin, end),
        cmocka_unit_test_setup_teardown(test_joins, begin, end),
        cmocka_unit_test_setup_teardown(test_what_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(test_another_process, begin, end),
        cmocka_unit_test_setup_teardown(test_into_and_out_of_a_lot, begin, end),
        cmocka_unit_test_setup_teardown(test_removed_and_back, begin, end),
        cmocka_unit_test_setup_teardown(test_every_bit_of_a_lot, begin, end),
        cmocka_unit_test_setup_teardown(test_without_its_lot, begin, end),
        cmocka_unit_test_setup_teardown(test_nothing_stays_in_the_ring, begin, end),
        cmocka_unit_test_setup_teardown(test_one_that_is_damaged, begin, end),
        cmocka_unit_test_setup_teardown(test_one_that_is_lost, begin, end),
        cmocka_unit_test_setup_teardown(test_made_here, begin, end),
        cmocka_unit_test_setup_teardown(test_threads, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
