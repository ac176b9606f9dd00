/* The devices of a parcel, many with one commit: all that are held or none, each by name in the log, and none twice. */
#include <lorajs/master.h>
#include <lorajs/parcel.h>

#include "audit_world.h"
#include "contract/faulty.h"

enum { MANY = 70 };

static struct world w;
static struct faulty *faulty;
static ljs_key *sender, *recipient;
static ljs_parcel *parcel;
static uint8_t *octets;
static size_t octets_len;

static void append(ljs_buf *piece)
{
    octets = realloc(octets, octets_len + piece->len);
    memcpy(octets + octets_len, piece->data, piece->len);
    octets_len += piece->len;
    ljs_buf_free(piece);
}

/* Of another vault, as it comes from elsewhere. */
static void pack(unsigned n, bool same)
{
    static const uint8_t master[32] = { 9 };
    uint8_t public_key[32];
    ljs_vault *from;
    ljs_parcel *packing;
    ljs_buf piece;

    octets = NULL;
    octets_len = 0;
    assert_int_equal(ljs_vault_new(&from, master, sizeof master), LJS_OK);
    assert_int_equal(ljs_key_generate(&sender, 32), LJS_OK);
    assert_int_equal(ljs_key_generate(&recipient, 32), LJS_OK);
    assert_int_equal(ljs_x25519_public(public_key, recipient), LJS_OK);
    assert_int_equal(ljs_parcel_pack(&packing, sender, 1, public_key, sizeof public_key), LJS_OK);
    assert_int_equal(ljs_parcel_head(&piece, packing), LJS_OK);
    append(&piece);
    for (unsigned i = 0; i < n; i++) {
        ljs_device d = device_of(LJS_MAC_1_1);
        ljs_buf record;

        d.dev_eui += same ? 0 : i;
        assert_int_equal(ljs_device_make(&record, from, &d, &(ljs_root_keys){ .nwk = nwk, .app = app }, 0, NO_NONCE,
                                         NULL, 0, NULL, 0),
                         LJS_OK);
        assert_int_equal(ljs_parcel_put(&piece, packing, from, record.data, record.len), LJS_OK);
        append(&piece);
        ljs_buf_free(&record);
    }
    assert_int_equal(ljs_parcel_close(&piece, packing), LJS_OK);
    append(&piece);
    ljs_parcel_free(packing);
    ljs_vault_free(from);
}

typedef void each_fn(void);

static void go_round(each_fn *each)
{
    ljs_device d;
    size_t at = 0;

    for (size_t n; (n = ljs_parcel_wants(parcel)); at += n) {
        assert_true(at + n <= octets_len);
        assert_int_equal(ljs_parcel_feed(parcel, octets + at, n), LJS_OK);
        if (each && !ljs_parcel_device(&d, parcel))
            each();
    }
    assert_int_equal(at, octets_len);
}

static void arrives(unsigned n, bool same, each_fn *first)
{
    uint8_t public_key[32];
    ljs_store *memory, *store;

    assert_int_equal(ljs_store_memory(&memory), LJS_OK);
    assert_int_equal(faulty_new(&store, &faulty, memory), LJS_OK);
    server_begin(&w, store, &lab);
    pack(n, same);
    assert_int_equal(ljs_ed25519_public(public_key, sender), LJS_OK);
    assert_int_equal(ljs_parcel_open(&parcel, recipient, public_key, sizeof public_key), LJS_OK);
    go_round(first);
    assert_int_equal(ljs_parcel_again(parcel), LJS_OK);
}

static void gone(void)
{
    ljs_parcel_free(parcel);
    ljs_key_free(sender);
    ljs_key_free(recipient);
    free(octets);
    server_end(&w);
}

static unsigned there(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < MANY; i++) {
        ljs_buf record;
        ljs_err err = ljs_server_get_device(&record, w.server, DEV + i);

        assert_true(!err || err == LJS_E_NOTFOUND);
        n += !err && read_device(&record).exposed;
        ljs_buf_free(&record);
    }
    return n;
}

static void not_yet(void)
{
    assert_int_equal(ljs_parcel_hold(parcel), LJS_E_STATE);
}

static unsigned full, written;

static void hold(void)
{
    ljs_device d;
    ljs_err err = ljs_parcel_hold(parcel);

    if (err) {
        full++;
        assert_int_equal(err, LJS_E_EXISTS);
        assert_int_equal(there(), 0);
        assert_int_equal(ljs_server_land_held(w.server, parcel, 0), LJS_OK);
        assert_int_equal(there(), LJS_PARCEL_HELD_MAX);
        written = count_links(w.server);
        assert_int_equal(ljs_parcel_hold(parcel), LJS_OK);
    }
    assert_int_equal(ljs_parcel_hold(parcel), LJS_E_NOTFOUND); /* it is held, and no longer the one fed last */
    assert_int_equal(ljs_parcel_device(&d, parcel), LJS_E_NOTFOUND);
}

static void test_together(void **state)
{
    (void)state;
    arrives(MANY, false, not_yet);
    full = 0;
    go_round(hold);
    assert_int_equal(full, 1);
    assert_int_equal(ljs_server_land_held(w.server, parcel, 0), LJS_OK);
    assert_int_equal(there(), MANY);
    assert_int_equal(count_links(w.server), written + 1);
    assert_int_equal(ljs_server_land_held(w.server, parcel, 0), LJS_OK); /* nothing is held */
    assert_int_equal(count_links(w.server), written + 1);
    gone();
}

static void just_hold(void)
{
    assert_int_equal(ljs_parcel_hold(parcel), LJS_OK);
}

static void test_all_or_none(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_1);

    (void)state;
    arrives(3, false, NULL);
    d.dev_eui += 2;
    assert_int_equal(ljs_server_make_device(w.server, &d, &(ljs_root_keys){ .nwk = other_nwk, .app = other_app }, 0,
                                            NO_NONCE, NULL, 0),
                     LJS_OK);
    go_round(just_hold);
    assert_int_equal(ljs_server_land_held(w.server, parcel, 0), LJS_E_EXISTS);
    assert_int_equal(there(), 0);
    assert_int_equal(ljs_server_land_held(w.server, parcel, LJS_MAKE_REPLACE_KEYS), LJS_OK); /* they are held still */
    assert_int_equal(there(), 3);
    assert_int_equal(device_in(&w, DEV + 2).epoch, 1);
    gone();
}

static unsigned refused;

static void hold_or_not(void)
{
    ljs_err err = ljs_parcel_hold(parcel);

    assert_true(!err || err == LJS_E_EXISTS);
    refused += err == LJS_E_EXISTS;
}

static void test_none_twice(void **state)
{
    (void)state;
    arrives(2, true, NULL);
    refused = 0;
    go_round(hold_or_not);
    assert_int_equal(refused, 1);
    assert_int_equal(ljs_parcel_again(parcel), LJS_OK); /* forgets what is held */
    assert_int_equal(ljs_server_land_held(w.server, parcel, 0), LJS_OK);
    assert_int_equal(there(), 0);
    go_round(hold_or_not);
    assert_int_equal(refused, 2);
    assert_int_equal(ljs_server_land_held(w.server, parcel, 0), LJS_OK);
    assert_int_equal(there(), 1);
    gone();
}

static void test_faults(void **state)
{
    (void)state;
    arrives(3, false, NULL);
    go_round(just_hold);
    faulty_arm(faulty, FAULTY_COMMIT, 1, FAULT_BEFORE, 1);
    assert_int_equal(ljs_server_land_held(w.server, parcel, 0), LJS_E_STORE);
    assert_int_equal(there(), 0);
    faulty_arm(faulty, FAULTY_COMMIT, 1, FAULT_NONE, 1);
    assert_int_equal(ljs_server_land_held(w.server, parcel, 0), LJS_OK);
    assert_int_equal(there(), 3);
    gone();

    arrives(2, false, NULL); /* the file is another all of a sudden */
    for (size_t at = 0, n; (n = ljs_parcel_wants(parcel)); at += n) {
        ljs_device d;

        if (!ljs_parcel_device(&d, parcel)) {
            just_hold();
            octets[at] ^= 0x10; /* of which kind the next piece is */
            assert_int_equal(ljs_parcel_feed(parcel, octets + at, n), LJS_E_SEAL);
            break;
        }
        assert_int_equal(ljs_parcel_feed(parcel, octets + at, n), LJS_OK);
    }
    assert_int_equal(ljs_server_land_held(w.server, parcel, 0), LJS_E_STATE);
    assert_int_equal(there(), 0);
    gone();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_all_or_none),
        cmocka_unit_test(test_none_twice),
        cmocka_unit_test(test_faults),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
