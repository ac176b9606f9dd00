/* Nobody without the vault can change a record, and everybody can read it. */
#include "device_world.h"
#include "random.h"

#include "device/record.h"

#include <sys/wait.h>
#include <unistd.h>

static ljs_device full_device(ljs_mac mac)
{
    ljs_device d = device_of(mac);

    d.has_home_net_id = 1;
    d.home_net_id = NET;
    d.has_home_ns_id = 1;
    d.home_ns_id = 0x1122334455667788;
    d.has_x25519 = 1;
    for (unsigned i = 0; i < sizeof d.x25519_public_key; i++)
        d.x25519_public_key[i] = (uint8_t)(200 - i);
    strcpy(d.ns_kek_label, "ns:000013");
    strcpy(d.as_kek_label, "as \xe2\x82\xac");
    strcpy(d.as_id, "as.example");
    d.require_1_1 = mac >= LJS_MAC_1_1;
    return d;
}

static ljs_buf full_record(ljs_mac mac)
{
    static const uint8_t cf_list[16] = { 0x18, 0x4f, 0x84 };
    ljs_device d = full_device(mac);
    ljs_buf record = make(&d);
    ljs_join_req req = join_req(mac, 3);

    joined_on(&record, &req);
    req = join_req(mac, 4);
    req.cf_list_len = sizeof cf_list;
    memcpy(req.cf_list, cf_list, sizeof cf_list);
    req.now = 1700000000;
    joined_on(&record, &req);
    return record;
}

/* Each step there is, on this record.  They must all say the same. */
static ljs_err every_step(ljs_vault *by, const uint8_t *at, size_t len)
{
    static const uint8_t id[16] = { 1 };
    const ljs_root_keys keys = { .nwk = nwk, .app = app };
    ljs_device d = device_of(LJS_MAC_1_1);
    ljs_join_req req = join_req(LJS_MAC_1_1, 9);
    ljs_err err[9];
    ljs_buf out;
    ljs_join_ans ans;
    ljs_envelope envelope;
    unsigned n = 0;

    err[n++] = ljs_device_check(by, at, len);
    for (int act = LJS_DEVICE_BLOCK; act <= LJS_DEVICE_REMOVE; act++) {
        err[n++] = ljs_device_step(&out, by, (ljs_device_act)act, at, len);
        assert_null(out.data);
    }
    err[n++] = ljs_device_add_join_eui(&out, by, EUI2, at, len);
    assert_null(out.data);
    err[n++] = ljs_device_make(&out, by, &d, &keys, LJS_MAKE_REPLACE_KEYS, NO_NONCE, NULL, 0, at, len);
    assert_null(out.data);
    err[n++] = ljs_join(&ans, &out, by, &req, NULL, NULL, NULL, NULL, at, len);
    assert_null(out.data);
    err[n++] = ljs_app_s_key(&envelope, &out, by, "as.example", LJS_CLEAR_AS, NULL, NULL, id, sizeof id, at, len);
    assert_null(out.data);
    assert_int_equal(n, COUNT_OF(err));
    for (unsigned i = 1; i < n; i++)
        assert_int_equal(err[i], err[0]);
    return err[0];
}

static void test_every_bit(void **state)
{
    ljs_buf record = full_record(LJS_MAC_1_1);
    unsigned newer = 0;

    (void)state;
    assert_int_equal(ljs_device_check(vault, record.data, record.len), LJS_OK);
    for (size_t bit = 0; bit < 8 * record.len; bit++) {
        ljs_err err;

        record.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        err = every_step(vault, record.data, record.len);
        assert_true(err == LJS_E_SEAL || err == LJS_E_VERSION);
        newer += err == LJS_E_VERSION;
        record.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_in_range(newer, 1, 8); /* within the schema number, and nowhere else */
    assert_int_equal(ljs_device_check(vault, record.data, record.len), LJS_OK);
    ljs_buf_free(&record);
}

static void test_every_length(void **state)
{
    ljs_buf record = full_record(LJS_MAC_1_0_3), longer;
    ljs_device d;

    (void)state;
    for (size_t len = 0; len < record.len; len++) {
        uint8_t *exactly = malloc(len ? len : 1); /* for the address sanitizer */

        memcpy(exactly, record.data, len);
        assert_int_equal(every_step(vault, exactly, len), LJS_E_SEAL);
        assert_int_equal(ljs_device_read(&d, exactly, len), LJS_E_SEAL);
        assert_int_equal(d.dev_eui, 0);
        free(exactly);
    }
    longer.len = record.len + 1;
    longer.data = calloc(1, longer.len);
    memcpy(longer.data, record.data, record.len);
    assert_int_equal(every_step(vault, longer.data, longer.len), LJS_E_SEAL);
    free(longer.data);
    ljs_buf_free(&record);
}

static void test_noise(void **state)
{
    uint64_t seed = 7;
    uint8_t noise[300];

    (void)state;
    for (int i = 0; i < 20000; i++) {
        size_t len = random_next(&seed) % sizeof noise;
        ljs_device d;
        ljs_session s;
        ljs_err err;

        random_fill(&seed, noise, len);
        if (len > 3 && i % 2) /* as far as the schema it is one */
            memcpy(noise, "\x87\x00\x01", 3);
        err = ljs_device_read(&d, noise, len);
        assert_true(err == LJS_E_SEAL || err == LJS_E_VERSION);
        assert_int_equal(d.dev_eui | d.join_eui | d.next_join_nonce | d.sessions, 0);
        err = ljs_device_session(&s, 0, noise, len);
        assert_true(err == LJS_E_SEAL || err == LJS_E_VERSION);
        assert_true(ljs_device_check(vault, noise, len) != LJS_OK);
    }
}

static void test_another_vault(void **state)
{
    static const uint8_t master[32] = { 0x4c, 0x6f, 0x52, 0x62 };
    ljs_buf record = full_record(LJS_MAC_1_1), out;
    struct record r;
    ljs_vault *other;

    (void)state;
    assert_int_equal(ljs_vault_new(&other, master, sizeof master), LJS_OK);
    assert_int_equal(every_step(other, record.data, record.len), LJS_E_SEAL);
    /* Who has another vault can write a record, and nobody believes it. */
    assert_int_equal(ljs__record_read(&r, record.data, record.len), LJS_OK);
    r.d.next_join_nonce = 1;
    assert_int_equal(ljs__record_save(&out, &r, other), LJS_OK);
    assert_int_equal(every_step(vault, out.data, out.len), LJS_E_SEAL);
    ljs_buf_free(&out);
    ljs_buf_free(&record);
    ljs_vault_free(other);
}

/* A tag of another kind of value is none for a record. */
static void test_tag_of_another_kind(void **state)
{
    static const enum tag_domain others[] = { TAG_KEK, TAG_STORE, TAG_LOG };
    ljs_buf record = full_record(LJS_MAC_1_1);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        struct wr w = { 0 };

        ljs__wr(&w, record.data, record.len - 16);
        assert_int_equal(ljs__vault_tag(&w, vault, others[i]), LJS_OK);
        assert_int_equal(w.len, record.len);
        assert_int_equal(every_step(vault, w.data, w.len), LJS_E_SEAL);
        ljs__wr_drop(&w);
    }
    ljs_buf_free(&record);
}

/* Sealed keys of another device or epoch, pasted by one who has the vault for tags: the seal itself
 * is bound to its owner. */
static void test_pasted_keys(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_4), e = d;
    ljs_buf mine = make(&d), other, pasted;
    struct record r, o;
    ljs_join_req req = join_req(LJS_MAC_1_0_4, 1);
    ljs_join_ans ans;

    (void)state;
    e.dev_eui++;
    other = make(&e);
    assert_int_equal(ljs__record_load(&r, vault, mine.data, mine.len), LJS_OK);
    assert_int_equal(ljs__record_load(&o, vault, other.data, other.len), LJS_OK);
    r.set[0] = o.set[0];
    assert_int_equal(ljs__record_save(&pasted, &r, vault), LJS_OK);
    assert_int_equal(ljs_device_check(vault, pasted.data, pasted.len), LJS_OK);
    assert_int_equal(join_on(&ans, &pasted, &req), LJS_E_SEAL);
    assert_int_equal(act_on(&pasted, LJS_DEVICE_REMOVE), LJS_E_SEAL);
    assert_int_equal(make_on(&pasted, &d, nwk, app, 0), LJS_E_SEAL);
    ljs_buf_free(&pasted);
    ljs_buf_free(&other);

    other = copy_of(&mine);
    assert_int_equal(make_on(&other, &d, other_nwk, other_app, LJS_MAKE_REPLACE_KEYS), LJS_OK);
    assert_int_equal(ljs__record_load(&r, vault, mine.data, mine.len), LJS_OK);
    assert_int_equal(ljs__record_load(&o, vault, other.data, other.len), LJS_OK);
    o.set[0].at = r.set[0].at; /* the old keys where the new ones were */
    o.set[0].len = r.set[0].len;
    assert_int_equal(ljs__record_save(&pasted, &o, vault), LJS_OK);
    assert_int_equal(join_on(&ans, &pasted, &req), LJS_E_SEAL);
    ljs_buf_free(&pasted);

    assert_int_equal(ljs__record_load(&r, vault, mine.data, mine.len), LJS_OK);
    r.sets = 0; /* and none at all: as of a device whose keys are to come, unless it has had some */
    assert_int_equal(ljs__record_save(&pasted, &r, vault), LJS_OK);
    assert_int_equal(join_on(&ans, &pasted, &req), LJS_E_NOKEY);
    ljs_buf_free(&pasted);
    r.d.epoch = 1;
    assert_int_equal(ljs__record_save(&pasted, &r, vault), LJS_OK);
    assert_int_equal(join_on(&ans, &pasted, &req), LJS_E_SEAL);
    ljs_buf_free(&pasted);
    ljs_buf_free(&other);
    ljs_buf_free(&mine);
}

/* The same keys are sealed anew each time, and each join leaves the seal as it is. */
static void test_seals(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_4);
    ljs_buf a = make(&d), b = make(&d);
    struct record r, s;
    ljs_join_req req = join_req(LJS_MAC_1_0_4, 1);

    (void)state;
    assert_int_equal(ljs__record_load(&r, vault, a.data, a.len), LJS_OK);
    assert_int_equal(ljs__record_load(&s, vault, b.data, b.len), LJS_OK);
    assert_int_equal(r.set[0].len, s.set[0].len);
    assert_memory_not_equal(r.set[0].at, s.set[0].at, r.set[0].len);
    memset(&s, 0, sizeof s);
    ljs_buf_free(&b);
    b = copy_of(&a);
    joined_on(&b, &req);
    assert_int_equal(ljs__record_load(&s, vault, b.data, b.len), LJS_OK);
    assert_memory_equal(r.set[0].at, s.set[0].at, r.set[0].len);
    ljs_buf_free(&a);
    ljs_buf_free(&b);
}

/* Neither root nor session keys stand in a record, in whatever state. */
static void test_no_key_in_it(void **state)
{
    ljs_buf record = full_record(LJS_MAC_1_1);
    const ljs_key *roots[] = { nwk, app };

    (void)state;
    for (unsigned i = 0; i < 2 + 2 * 4; i++) {
        static const ljs_key_name names[] = { LJS_KEY_F_NWK_S_INT, LJS_KEY_S_NWK_S_INT, LJS_KEY_NWK_S_ENC,
                                              LJS_KEY_APP_S };
        ljs_key *own = NULL;
        ljs_buf key;

        if (i >= 2) {
            ljs_session s = read_session(&record, (i - 2) / 4);
            ljs_key_name name = names[(i - 2) % 4];

            own = derived(name, &s, name == LJS_KEY_APP_S ? app : nwk);
        }
        assert_int_equal(ljs_key_export(&key, own ? own : roots[i]), LJS_OK);
        assert_null(memmem(record.data, record.len, key.data, 8));
        assert_null(memmem(record.data, record.len, key.data + 8, 8));
        ljs_buf_free(&key);
        ljs_key_free(own);
    }
    ljs_buf_free(&record);
}

static void test_newer_schema(void **state)
{
    ljs_buf record = full_record(LJS_MAC_1_1);
    size_t at = record.data[0] == 0xde ? 4 : 2; /* a map of 16 fields has a longer header */
    struct wr w = { 0 };
    ljs_device d;
    ljs_join_eui j;
    ljs_session s;
    ljs_buf nonces;

    (void)state;
    assert_int_equal(record.data[at], RECORD_SCHEMA);
    record.data[at] = RECORD_SCHEMA_MOVED + 1;
    assert_int_equal(every_step(vault, record.data, record.len), LJS_E_VERSION); /* it may be tagged otherwise */
    assert_int_equal(ljs_device_read(&d, record.data, record.len), LJS_E_VERSION);
    assert_int_equal(d.dev_eui, 0);
    assert_int_equal(ljs_device_join_eui(&j, 0, record.data, record.len), LJS_E_VERSION);
    assert_int_equal(ljs_device_session(&s, 0, record.data, record.len), LJS_E_VERSION);
    assert_int_equal(ljs_device_dev_nonces(&nonces, 0, record.data, record.len), LJS_E_VERSION);
    assert_null(nonces.data);
    ljs__wr(&w, record.data, record.len - 16);
    assert_int_equal(ljs__vault_tag(&w, vault, TAG_RECORD), LJS_OK);
    assert_int_equal(every_step(vault, w.data, w.len), LJS_E_VERSION);
    ljs__wr_drop(&w);
    ljs_buf_free(&record);
}

/* A lorajs that does not know what it means that a device has moved does not read its record. */
static void test_moved_schema(void **state)
{
    ljs_buf record = full_record(LJS_MAC_1_1);
    struct wr w = { 0 };
    ljs_device d;

    (void)state;
    for (unsigned moved = 0; moved < 2; moved++) { /* either without the other is no record */
        size_t at = record.data[0] == 0xde ? 4 : 2;

        assert_int_equal(record.data[at], moved ? RECORD_SCHEMA_MOVED : RECORD_SCHEMA);
        record.data[at] = moved ? RECORD_SCHEMA : RECORD_SCHEMA_MOVED;
        w.len = 0;
        ljs__wr(&w, record.data, record.len - 16);
        assert_int_equal(ljs__vault_tag(&w, vault, TAG_RECORD), LJS_OK);
        assert_int_equal(every_step(vault, w.data, w.len), LJS_E_SEAL);
        record.data[at] = moved ? RECORD_SCHEMA_MOVED : RECORD_SCHEMA;
        if (!moved)
            assert_int_equal(act_on(&record, LJS_DEVICE_MOVE), LJS_OK);
    }
    d = read_device(&record);
    assert_true(d.moved && d.state == LJS_STATE_BLOCKED);
    assert_int_equal(act_on(&record, LJS_DEVICE_MOVE_BACK), LJS_OK);
    assert_int_equal(record.data[record.data[0] == 0xde ? 4 : 2], RECORD_SCHEMA);
    ljs__wr_drop(&w);
    ljs_buf_free(&record);
}

static void test_read_without_keys(void **state)
{
    ljs_device want = full_device(LJS_MAC_1_1), d;
    ljs_buf record = full_record(LJS_MAC_1_1), nonces;
    ljs_join_eui j;
    ljs_session s;

    (void)state;
    assert_int_equal(ljs_device_read(&d, record.data, record.len), LJS_OK);
    want.state = LJS_STATE_JOINED;
    want.next_join_nonce = 3;
    want.keys = LJS_HAS_NWK_KEY | LJS_HAS_APP_KEY;
    want.join_euis = 1;
    want.sessions = 2;
    assert_int_equal(d.struct_size, sizeof d);
    assert_int_equal(d.dev_eui, want.dev_eui);
    assert_int_equal(d.join_eui, want.join_eui);
    assert_int_equal(d.mac, want.mac);
    assert_int_equal(d.state, want.state);
    assert_int_equal(d.next_join_nonce, want.next_join_nonce);
    assert_int_equal(d.epoch, 0);
    assert_int_equal(d.keys, want.keys);
    assert_int_equal(d.require_1_1, 1);
    assert_int_equal(d.has_home_net_id, 1);
    assert_int_equal(d.has_home_ns_id, 1);
    assert_int_equal(d.has_x25519, 1);
    assert_int_equal(d.join_euis, 1);
    assert_int_equal(d.sessions, 2);
    assert_int_equal(d.home_net_id, want.home_net_id);
    assert_int_equal(d.home_ns_id, want.home_ns_id);
    assert_string_equal(d.ns_kek_label, want.ns_kek_label);
    assert_string_equal(d.as_kek_label, want.as_kek_label);
    assert_string_equal(d.as_id, want.as_id);
    assert_memory_equal(d.x25519_public_key, want.x25519_public_key, 32);

    assert_int_equal(ljs_device_join_eui(&j, 0, record.data, record.len), LJS_OK);
    assert_int_equal(j.join_eui, EUI);
    assert_int_equal(j.dev_nonce, 4);
    assert_int_equal(j.dev_nonces_used, 0);
    assert_int_equal(j.rj_count1, -1);
    assert_int_equal(ljs_device_join_eui(&j, 1, record.data, record.len), LJS_E_NOTFOUND);
    assert_int_equal(j.join_eui, 0);

    assert_int_equal(ljs_device_session(&s, 0, record.data, record.len), LJS_OK);
    assert_int_equal(s.kind, LJS_FRAME_JOIN);
    assert_int_equal(s.scheme, LJS_SCHEME_1_1);
    assert_int_equal(s.mac, LJS_MAC_1_1);
    assert_int_equal(s.join_eui, EUI);
    assert_int_equal(s.join_nonce, 2);
    assert_int_equal(s.nonce, 4);
    assert_int_equal(s.net_id, NET);
    assert_int_equal(s.dev_addr, 0x260b4f3a);
    assert_int_equal(s.dl_settings, 0x80);
    assert_int_equal(s.rx_delay, 1);
    assert_int_equal(s.has_cf_list, 1);
    assert_int_equal(s.cf_list[0], 0x18);
    assert_int_equal(s.rj_count0, -1);
    assert_int_equal(s.at, 1700000000);
    assert_int_equal(ljs_device_session(&s, 1, record.data, record.len), LJS_OK);
    assert_int_equal(s.join_nonce, 1);
    assert_int_equal(s.at, 0);
    assert_int_equal(ljs_device_session(&s, 2, record.data, record.len), LJS_E_NOTFOUND);
    assert_int_equal(s.join_nonce, 0);
    assert_int_equal(ljs_device_dev_nonces(&nonces, 0, record.data, record.len), LJS_OK);
    assert_int_equal(nonces.len, 0);
    ljs_buf_free(&nonces);
    assert_int_equal(ljs_device_dev_nonces(&nonces, 1, record.data, record.len), LJS_E_NOTFOUND);
    ljs_buf_free(&record);
}

/* A fleet of a million is to fit: 380 octets each, with two sessions and 32 DevNonces. */
static void test_sizes(void **state)
{
    static const ljs_mac macs[] = { LJS_MAC_1_0_0, LJS_MAC_1_0_3, LJS_MAC_1_0_4, LJS_MAC_1_1 };

    (void)state;
    for (size_t m = 0; m < COUNT_OF(macs); m++) {
        const bool v11 = macs[m] >= LJS_MAC_1_1;
        const ljs_root_keys keys = { .nwk = v11 ? nwk : NULL, .app = app };
        ljs_device d = device_of(macs[m]);
        uint8_t list[60];
        ljs_buf record;

        for (unsigned i = 0; i < 30; i++) {
            list[2 * i] = (uint8_t)(i * 71);
            list[2 * i + 1] = (uint8_t)(i * 8);
        }
        d.next_join_nonce = 0x100000;
        assert_int_equal(
            ljs_device_make(&record, vault, &d, &keys, 0, -1, list, macs[m] < LJS_MAC_1_0_4 ? 60 : 0, NULL, 0), LJS_OK);
        for (unsigned i = 0; i < 2; i++) {
            ljs_join_req req = join_req_for(macs[m], EUI, (uint16_t)(60001 + i), v11 ? nwk : app);

            req.now = 1700000000;
            if (i)
                req.cf_list_len = LJS_CFLIST_LEN;
            joined_on(&record, &req);
        }
        assert_in_range(record.len, 100, 380);
        print_message("%s: %zu octets\n", ljs_mac_text(macs[m]), record.len);
        assert_int_equal(read_join_eui(&record, 0).dev_nonces_used, macs[m] < LJS_MAC_1_0_4 ? 32 : 0);
        ljs_buf_free(&record);
    }
}

static void test_make_refusals(void **state)
{
    ljs_key *long_key = key_of("3f0811b9c2d4e67a5590ab1c77de2f643f0811b9c2d4e67a");
    ljs_key *weak = key_of("01020304050607080102030405060708");
    ljs_buf none = { NULL, 0 }, record;
    ljs_device d = device_of(LJS_MAC_1_1), e;

    (void)state;
    assert_int_equal(make_on(&none, &d, nwk, NULL, 0), LJS_E_INVAL);
    assert_int_equal(make_on(&none, &d, NULL, app, 0), LJS_E_INVAL);
    assert_int_equal(make_on(&none, &d, nwk, long_key, 0), LJS_E_INVAL);
    assert_int_equal(make_on(&none, &d, nwk, weak, 0), LJS_E_WEAK);
    e = d;
    e.mac = LJS_MAC_1_0_2;
    assert_int_equal(make_on(&none, &e, NULL, NULL, 0), LJS_E_INVAL);
    e = d;
    e.struct_size = 0;
    assert_int_equal(make_on(&none, &e, nwk, app, 0), LJS_E_INVAL);
    e = d;
    e.mac = (ljs_mac)0x0111;
    assert_int_equal(make_on(&none, &e, nwk, app, 0), LJS_E_INVAL);
    e = d;
    e.has_home_net_id = 1;
    e.home_net_id = 0x1000000;
    assert_int_equal(make_on(&none, &e, nwk, app, 0), LJS_E_INVAL);
    e = d;
    memset(e.as_id, 'a', sizeof e.as_id);
    assert_int_equal(make_on(&none, &e, nwk, app, 0), LJS_E_INVAL);
    e = d;
    strcpy(e.ns_kek_label, "a\x7f");
    assert_int_equal(make_on(&none, &e, nwk, app, 0), LJS_E_INVAL);
    record = make(&d);
    e = d;
    e.dev_eui++; /* the record of another device */
    assert_int_equal(make_on(&record, &e, nwk, app, 0), LJS_E_INVAL);
    assert_int_equal(make_on(&none, &d, nwk, weak, LJS_MAKE_ALLOW_WEAK), LJS_OK);
    ljs_buf_free(&none);
    ljs_buf_free(&record);
    ljs_key_free(long_key);
    ljs_key_free(weak);
}

static void test_after_fork(void **state)
{
    ljs_buf record = full_record(LJS_MAC_1_1);
    int status;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        ljs_join_req req;
        ljs_join_ans ans;
        ljs_buf out;
        ljs_device d = device_of(LJS_MAC_1_0_3);
        bool right;

        memset(&req, 0, sizeof req);
        req.struct_size = sizeof req;
        right = ljs_join(&ans, &out, vault, &req, NULL, NULL, NULL, NULL, record.data, record.len) == LJS_E_STATE &&
                ljs_device_step(&out, vault, LJS_DEVICE_BLOCK, record.data, record.len) == LJS_E_STATE &&
                ljs_device_check(vault, record.data, record.len) == LJS_E_STATE &&
                ljs_device_make(&out, vault, &d, &(const ljs_root_keys){ .nwk = nwk }, 0, NO_NONCE, NULL, 0, NULL, 0) ==
                    LJS_E_STATE &&
                ljs_device_read(&d, record.data, record.len) == LJS_OK;
        _exit(right ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ljs_buf_free(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_another_vault),
        cmocka_unit_test(test_tag_of_another_kind),
        cmocka_unit_test(test_pasted_keys),
        cmocka_unit_test(test_seals),
        cmocka_unit_test(test_no_key_in_it),
        cmocka_unit_test(test_newer_schema),
        cmocka_unit_test(test_moved_schema),
        cmocka_unit_test(test_read_without_keys),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_make_refusals),
        cmocka_unit_test(test_after_fork),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
