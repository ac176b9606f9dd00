/* The value of a lot, of any octets, given a good tag so that the reader behind it is reached.
 * Laws: what is refused is refused by each who reads it; what is taken has a label that can be shown, and its key
 * either gives a device the same two keys each time, or LJS_E_LOT and none. */
#include "base/text.h"
#include "keys/lot.h"

#include "fuzz.h"

#include <string.h>

static ljs_vault *fresh(void)
{
    static const uint8_t master[32] = { 1 };
    ljs_vault *vault;

    CHECK(ljs_vault_new(&vault, master, sizeof master) == LJS_OK);
    return vault;
}

static void keys_of(ljs_vault *vault, const char *label)
{
    static const enum key_id ids[] = { KEY_NWK, KEY_APP };
    static const enum key_role roles[] = { ROLE_NWK, ROLE_APP };
    uint8_t once[16], again[16];
    struct ring *ring;
    ljs_err err;

    CHECK(ljs__ring_take(&ring) == LJS_OK);
    err = ljs__lot_keys(ring, vault, label, ids, roles, 2, 0x0102030405060708);
    CHECK(err == LJS_OK || err == LJS_E_LOT || err == LJS_E_VERSION || err == LJS_E_NOKEY || err == LJS_E_INVAL);
    CHECK(ljs__ring_has(ring, KEY_NWK) == !err && ljs__ring_has(ring, KEY_APP) == !err);
    CHECK(!ljs__ring_has(ring, KEY_WORK));
    if (!err) {
        CHECK(ljs__vault_fingerprint(once, vault, ring, ids, roles, 2) == LJS_OK);
        CHECK(ljs__lot_keys(ring, vault, label, ids, roles, 2, 0x0102030405060708) == LJS_OK);
        CHECK(ljs__vault_fingerprint(again, vault, ring, ids, roles, 2) == LJS_OK);
        CHECK(memcmp(once, again, sizeof once) == 0);
    }
    ljs__ring_give(ring);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ljs_vault *vault = fresh();
    struct wr w = { 0 };
    char label[LJS_LABEL_MAX];
    ljs_buf out;
    ljs_err err;

    CHECK(ljs_vault_add_lot(vault, data, size) != LJS_OK); /* without a tag */
    ljs__wr(&w, data, size);
    CHECK(ljs__vault_tag(&w, vault, TAG_LOT) == LJS_OK);
    err = ljs__lot_label(label, vault, w.data, w.len);
    CHECK(ljs_vault_add_lot(vault, w.data, w.len) == err);
    if (err) {
        CHECK(err == LJS_E_SEAL || err == LJS_E_VERSION);
        CHECK(ljs_lot_rewrap(&out, vault, w.data, w.len) == err && !out.data);
    } else {
        CHECK(label[0] && ljs__text_ok(label, sizeof label));
        keys_of(vault, label);
    }
    ljs__wr_drop(&w);
    ljs_vault_free(vault);
    return 0;
}
