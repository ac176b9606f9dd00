#include "session/se.h"

#include <lorajs/rekey_device.h>
#include <lorajs/rekey_keys.h>

#include "base/cursor.h"
#include "base/secret.h"
#include "keys/bag.h"
#include "keys/rekey.h"

#include <assert.h>
#include <stdlib.h>

/* A model of the part: what it stores where, and what it refuses.  Of its slots 0 has AppKey and NwkKey, which nothing
 * but DeriveKey writes; 2 to 7 have keys that KDF may write from slot to slot; 13 the parent, which nothing reads.  A
 * part has one bank of session keys, so those of the other are in slots 11 and 12 and behind, as a model has them. */
enum { SERIAL_LEN = 9, SLOT_LEN = 32 };

struct atecc {
    struct bag *bag;
    ljs_key *parent;
    uint8_t serial[SERIAL_LEN];
};

/* May KDF write there? */
static bool writable(ljs_se_key id)
{
    return id >= LJS_SE_JS_INT && id <= LJS_SE_APP_S_B;
}

static ljs_err derive(void *self, ljs_se_key to, ljs_se_key from, const uint8_t *block)
{
    struct atecc *a = self;

    return writable(to) ? ljs__bag_derive(a->bag, (unsigned)to, (unsigned)from, block) : LJS_E_INVAL;
}

static ljs_err encrypt(void *self, ljs_se_key id, uint8_t *out, const uint8_t *in, size_t in_len)
{
    return ljs__bag_encrypt(((struct atecc *)self)->bag, (unsigned)id, out, in, in_len);
}

static ljs_err cmac(void *self, ljs_se_key id, uint8_t *out, const uint8_t *in, size_t in_len)
{
    return ljs__bag_cmac(((struct atecc *)self)->bag, (unsigned)id, out, in, in_len);
}

static int has(void *self, ljs_se_key id)
{
    return ljs__bag_has(((struct atecc *)self)->bag, (unsigned)id);
}

static void close_atecc(void *self)
{
    struct atecc *a = self;

    ljs__bag_free(a->bag);
    ljs_key_free(a->parent);
    free(a);
}

/* Both halves of slot 0, or neither. */
static ljs_err write_slot0(struct atecc *a, const ljs_key *slot0)
{
    static const ljs_se_key halves[] = { LJS_SE_APP, LJS_SE_NWK };
    ljs_key *half[COUNT(halves)] = { NULL };
    ljs_buf octets;
    ljs_err err = ljs_key_export(&octets, slot0);

    for (size_t i = 0; i < COUNT(halves) && !err; i++)
        err = ljs_key_import(&half[i], octets.data + 16 * i, 16);
    for (size_t i = 0; i < COUNT(halves) && !err; i++)
        err = ljs__bag_load(a->bag, (unsigned)halves[i], half[i]);
    for (size_t i = 0; i < COUNT(halves); i++)
        ljs_key_free(half[i]);
    ljs_buf_free(&octets);
    return err;
}

static ljs_err derive_key(void *self, const uint8_t *temp_key, const uint8_t *mac)
{
    struct atecc *a = self;
    uint8_t want[32];
    ljs_key *slot0 = NULL;
    ljs_err err = ljs_rekey_slot_mac(want, a->parent, a->serial, sizeof a->serial);

    if (!err && !ljs__equal(want, mac, sizeof want))
        err = LJS_E_MIC;
    if (!err)
        err = ljs__rekey_slot_of(&slot0, a->parent, a->serial, temp_key);
    if (!err)
        err = write_slot0(a, slot0);
    ljs_key_free(slot0);
    return err;
}

static const ljs_se_ops ops = {
    .struct_size = sizeof(ljs_se_ops),
    .derive = derive,
    .encrypt = encrypt,
    .cmac = cmac,
    .has = has,
    .close = close_atecc,
    .derive_key = derive_key,
};

ljs_err ljs_se_atecc(ljs_se **out, const ljs_key *slot0, const ljs_key *parent, const uint8_t *in, size_t in_len)
{
    struct atecc *a;
    ljs_buf octets = { NULL, 0 };
    ljs_err err;

    assert(out && slot0 && parent);
    *out = NULL;
    if (ljs_key_len(slot0) != SLOT_LEN || ljs_key_len(parent) != SLOT_LEN || in_len != SERIAL_LEN)
        return LJS_E_INVAL;
    if (!(a = calloc(1, sizeof *a)))
        return LJS_E_NOMEM;
    memcpy(a->serial, in, SERIAL_LEN);
    err = ljs_key_export(&octets, parent);
    if (!err)
        err = ljs_key_import(&a->parent, octets.data, octets.len);
    ljs_buf_free(&octets);
    if (!err)
        err = ljs__bag_new(&a->bag);
    if (!err)
        err = write_slot0(a, slot0);
    if (err) {
        close_atecc(a);
        return err;
    }
    return ljs_se_custom(out, &ops, a); /* takes it, even when it fails */
}
