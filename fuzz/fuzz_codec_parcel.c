/* fuzz_codec_parcel.c -- laws of parcels.  An even first octet: the rest is fed as it is.  An odd one: the
 * rest edits a good parcel, three octets an edit: where (LE), and what is flipped there; one that flips
 * nothing cuts it off.
 *  - what is not the parcel to its last octet never comes to its end, and lands nothing;
 *  - the parcel itself does, and lands the devices that were put in;
 *  - after a refusal nothing more is taken. */
#include "fuzz.h"

#include <lorajs/master.h>
#include <lorajs/parcel.h>

#include <stdbool.h>
#include <string.h>

enum { DEVICES = 3, FIRST = 0x1000, ROOM = 8192 };

static struct {
    ljs_vault *from, *to;
    ljs_key *recipient;
    uint8_t sender[32], octets[ROOM];
    size_t len;
} good;

static void add(ljs_buf *piece)
{
    CHECK(good.len + piece->len <= ROOM);
    memcpy(good.octets + good.len, piece->data, piece->len);
    good.len += piece->len;
    ljs_buf_free(piece);
}

static void make(void)
{
    static const uint8_t master[2][32] = { { 1 }, { 2 } }, secret[2][32] = { { 3 }, { 4 } }, root[16] = { 5 };
    ljs_key *signer, *app;
    uint8_t to[32];
    ljs_parcel *parcel;
    ljs_buf record, piece;

    CHECK(!ljs_vault_new(&good.from, master[0], 32) && !ljs_vault_new(&good.to, master[1], 32));
    CHECK(!ljs_key_import(&good.recipient, secret[0], 32) && !ljs_key_import(&signer, secret[1], 32));
    CHECK(!ljs_key_import(&app, root, 16));
    CHECK(!ljs_x25519_public(to, good.recipient) && !ljs_ed25519_public(good.sender, signer));
    CHECK(!ljs_parcel_pack(&parcel, signer, 1, to, 32) && !ljs_parcel_head(&piece, parcel));
    add(&piece);
    for (unsigned i = 0; i < DEVICES; i++) {
        ljs_device d = { .struct_size = sizeof d, .dev_eui = FIRST + i, .join_eui = 1, .mac = LJS_MAC_1_0_4 };

        CHECK(!ljs_device_make(&record, good.from, &d, &(ljs_root_keys){ .app = app }, LJS_MAKE_ALLOW_WEAK, (int32_t)i,
                               NULL, 0, NULL, 0));
        CHECK(!ljs_parcel_put(&piece, parcel, good.from, record.data, record.len));
        add(&piece);
        ljs_buf_free(&record);
    }
    CHECK(!ljs_parcel_close(&piece, parcel));
    add(&piece);
    ljs_parcel_free(parcel);
    ljs_key_free(signer);
    ljs_key_free(app);
}

/* One round; true when it came to its end with nothing left. */
static bool feed(ljs_parcel *parcel, const uint8_t *in, size_t in_len, bool trusted)
{
    unsigned devices = 0;

    for (size_t n; (n = ljs_parcel_wants(parcel)); in += n, in_len -= n) {
        ljs_device d;
        ljs_buf record;
        ljs_err err;

        CHECK(n <= LJS_PARCEL_PIECE_MAX);
        if (n > in_len)
            return false;
        if ((err = ljs_parcel_feed(parcel, in, n))) {
            CHECK(err == LJS_E_INVAL || err == LJS_E_VERSION || err == LJS_E_RECEIVER || err == LJS_E_SENDER ||
                  err == LJS_E_SEAL);
            CHECK(ljs_parcel_feed(parcel, in, n) == LJS_E_STATE);
            return false;
        }
        if (ljs_parcel_device(&d, parcel))
            continue;
        CHECK(d.dev_eui == FIRST + devices++);
        err = ljs_parcel_land(&record, parcel, good.to, LJS_MAKE_ALLOW_WEAK, NULL, 0);
        CHECK(err == (trusted ? LJS_OK : LJS_E_STATE) && !record.data == !trusted);
        if (trusted) {
            CHECK(!ljs_device_check(good.to, record.data, record.len));
            CHECK(!ljs_device_read(&d, record.data, record.len) && d.exposed);
        }
        ljs_buf_free(&record);
    }
    return !in_len && devices == DEVICES;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t edited[ROOM];
    const uint8_t *in = data + 1;
    size_t len = size - 1;
    ljs_parcel *parcel;
    bool same, whole;

    if (!good.len)
        make();
    if (!size)
        return 0;
    if (data[0] & 1) {
        memcpy(edited, good.octets, good.len);
        len = good.len;
        for (size_t i = 1; i + 3 <= size; i += 3) {
            size_t at = (size_t)(data[i] | data[i + 1] << 8);

            if (at < len && data[i + 2])
                edited[at] ^= data[i + 2];
            else if (at < len)
                len = at;
        }
        in = edited;
    }
    same = len == good.len && !memcmp(in, good.octets, len);
    CHECK(!ljs_parcel_open(&parcel, good.recipient, good.sender, 32));
    whole = feed(parcel, in, len, false);
    CHECK(whole == same);
    CHECK(ljs_parcel_again(parcel) == (whole ? LJS_OK : LJS_E_STATE));
    if (whole)
        CHECK(feed(parcel, in, len, true));
    ljs_parcel_free(parcel);
    return 0;
}
