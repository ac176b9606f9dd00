#include "keys/rekey.h"

#include "air/octets.h"
#include "air/rekey.h"
#include "keys/es256.h"
#include "keys/ring_inside.h"

enum { MIC_LEN = LJS__REKEY_MIC_LEN, KCV_LEN = 3, POINT_LEN = 32, SLOT_LEN = 32, SERIAL_LEN = 9, STACK_BELOW = 8192 };

/* ---- suites 1 and 2 ----------------------------------------------------------- */

static ljs_err derive(struct ring *ring, enum key_id to, enum key_id root, ljs_key_name name, const struct rekey *what)
{
    const ljs_derivation d = {
        .name = name, .dev_eui = what->dev_eui, .join_eui = what->join_eui, .epoch = what->epoch
    };

    return ljs__derive(ring, to, root, &d);
}

ljs_err ljs__rekey_join_key(struct ring *ring, const struct rekey *what)
{
    return derive(ring, KEY_WORK, KEY_REKEY, LJS_KEY_REKEY_JOIN, what);
}

ljs_err ljs__rekey_agree(struct ring *ring, const ljs_key *own, const struct rekey *what, const uint8_t eph[32],
                         const uint8_t dev[32])
{
    static const uint8_t zero[KEY_LEN];
    uint8_t image[3 * POINT_LEN + 2 * 8], mine[POINT_LEN], jk[KEY_LEN];
    struct octets o = { image, POINT_LEN, sizeof image };
    bool is_eph, is_dev;
    ljs_err err = own->process != ljs__process() ? LJS_E_STATE : own->len != POINT_LEN ? LJS_E_INVAL : LJS_OK;

    if (err)
        return err;
    ljs__box_public(mine, own->octets);
    is_eph = ljs__equal(mine, eph, POINT_LEN);
    is_dev = ljs__equal(mine, dev, POINT_LEN);
    err = is_eph || is_dev ? ljs__box_agree(image, own->octets, is_eph ? dev : eph) : LJS_E_INVAL;
    if (err)
        goto out;
    put(&o, eph, POINT_LEN);
    put(&o, dev, POINT_LEN);
    put_le(&o, what->dev_eui, 8);
    put_le(&o, what->join_eui, 8);
    slot_set(ring, KEY_WORK, zero, KEY_LEN);
    err = ljs__cmac(ring, KEY_WORK, jk, image, sizeof image);
    if (err)
        ljs__ring_drop(ring, KEY_WORK);
    else
        slot_set(ring, KEY_WORK, jk, KEY_LEN);
out:
    ljs__wipe(image, sizeof image);
    ljs__wipe(jk, sizeof jk);
    ljs__wipe_stack(STACK_BELOW);
    return err;
}

ljs_err ljs__rekey_roots(struct ring *ring, const struct rekey *what)
{
    static const struct {
        ljs_key_name name;
        enum key_id id;
        unsigned flag; /* 0: always */
    } rows[] = { { LJS_KEY_NEXT_NWK, KEY_NWK, 0 },
                 { LJS_KEY_NEXT_APP, KEY_APP, LJS_REKEY_APP_KEYS },
                 { LJS_KEY_NEXT_GEN_APP, KEY_GEN_APP, LJS_REKEY_APP_KEYS },
                 { LJS_KEY_NEXT_REKEY, KEY_REKEY, LJS_REKEY_REKEY_KEY } };
    ljs_err err = LJS_OK;

    for (size_t i = 0; i < COUNT(rows) && !err; i++)
        if (!rows[i].flag || (what->flags & rows[i].flag && ljs__ring_has(ring, rows[i].id)))
            err = derive(ring, rows[i].id, KEY_WORK, rows[i].name, what);
    ljs__ring_drop(ring, KEY_WORK);
    return err;
}

/* ---- suite 4 ------------------------------------------------------------------ */

ljs_err ljs_rekey_temp_key(uint8_t out[32], ljs_eui dev_eui, ljs_eui join_eui, uint16_t epoch)
{
    static const char name[] = "lorajs-rekey-1";
    uint8_t numbers[18];
    struct octets o = { numbers, 0, sizeof numbers };
    const struct part parts[] = { { name, sizeof name - 1 }, { numbers, sizeof numbers } };
    struct ring *ring;
    ljs_err err = ljs__ring_take(&ring); /* libgcrypt is ready then */

    memset(out, 0, 32);
    if (err)
        return err;
    ljs__ring_give(ring);
    put_le(&o, dev_eui, 8);
    put_le(&o, join_eui, 8);
    put_le(&o, epoch, 2);
    return ljs__sha256(out, parts, COUNT(parts));
}

/* [ATECC608, DeriveKey]  the serial number's octets that a MAC covers, after opcode, mode (TempKey is from a
 * nonce that was passed through) and target slot */
static void derive_key_head(uint8_t out[7], const uint8_t serial[9])
{
    const uint8_t head[7] = { 0x1c, 0x04, 0, 0, serial[8], serial[0], serial[1] };

    memcpy(out, head, sizeof head);
}

static ljs_err parent_ok(const ljs_key *parent)
{
    if (parent->process != ljs__process())
        return LJS_E_STATE;
    return parent->len == SLOT_LEN ? LJS_OK : LJS_E_INVAL;
}

ljs_err ljs__rekey_slot_of(ljs_key **out, const ljs_key *parent, const uint8_t serial[9], const uint8_t temp_key[32])
{
    static const uint8_t zero[25];
    uint8_t head[7];
    const struct part parts[] = {
        { parent->octets, SLOT_LEN }, { head, sizeof head }, { zero, sizeof zero }, { temp_key, 32 }
    };
    ljs_err err = parent_ok(parent);

    *out = NULL;
    derive_key_head(head, serial);
    if (!err)
        err = ljs__key_new(out);
    if (err)
        return err;
    err = ljs__sha256((*out)->octets, parts, COUNT(parts));
    ljs__wipe_stack(STACK_BELOW);
    (*out)->len = SLOT_LEN;
    if (err) {
        ljs_key_free(*out);
        *out = NULL;
    }
    return err;
}

ljs_err ljs_rekey_slot(ljs_key **out, const ljs_key *parent, ljs_eui dev_eui, ljs_eui join_eui, uint16_t epoch,
                       const uint8_t *in, size_t in_len)
{
    uint8_t temp_key[32];
    ljs_err err = in_len == SERIAL_LEN ? ljs_rekey_temp_key(temp_key, dev_eui, join_eui, epoch) : LJS_E_INVAL;

    *out = NULL;
    return err ? err : ljs__rekey_slot_of(out, parent, in, temp_key);
}

ljs_err ljs__rekey_slot(struct ring *ring, const ljs_key *parent, const struct rekey *what, const uint8_t serial[9])
{
    ljs_key *slot;
    ljs_err err = ljs_rekey_slot(&slot, parent, what->dev_eui, what->join_eui, what->epoch, serial, SERIAL_LEN);

    if (!err) {
        slot_set(ring, KEY_APP, slot->octets, KEY_LEN);
        slot_set(ring, KEY_NWK, slot->octets + KEY_LEN, KEY_LEN);
    }
    ljs_key_free(slot);
    return err;
}

ljs_err ljs_rekey_slot_mac(uint8_t out[32], const ljs_key *parent, const uint8_t *in, size_t in_len)
{
    uint8_t head[7], none[32];
    const struct part parts[] = { { parent->octets, SLOT_LEN }, { head, sizeof head } };
    ljs_err err = in_len == SERIAL_LEN ? parent_ok(parent) : LJS_E_INVAL;

    memset(out, 0, 32);
    if (!err)
        err = ljs_rekey_temp_key(none, 0, 0, 0); /* libgcrypt is ready then */
    if (err)
        return err;
    derive_key_head(head, in);
    err = ljs__sha256(out, parts, COUNT(parts));
    ljs__wipe_stack(STACK_BELOW);
    ljs__public(out, 32);
    return err;
}

/* ---- MIC and KCV -------------------------------------------------------------- */

ljs_err ljs__rekey_int_key(struct ring *ring, ljs_rekey_suite suite, ljs_eui dev_eui, enum key_id *id)
{
    const struct rekey what = { .dev_eui = dev_eui };

    *id = suite == LJS_REKEY_SUITE_4 ? KEY_NWK : KEY_WORK2;
    return suite == LJS_REKEY_SUITE_4 ? LJS_OK : derive(ring, KEY_WORK2, KEY_REKEY, LJS_KEY_REKEY_INT, &what);
}

static ljs_err cmac_image(struct ring *ring, enum key_id id, uint8_t cmac[16], ljs_eui dev_eui, const uint8_t *in,
                          size_t in_len)
{
    uint8_t image[LJS__REKEY_MIC_MAX];
    size_t len = ljs__rekey_image(image, dev_eui, in, in_len);

    return ljs__cmac(ring, id, cmac, image, len);
}

static ljs_err mic_of(uint8_t out[MIC_LEN], struct ring *ring, enum key_id id, ljs_eui dev_eui, const uint8_t *in,
                      size_t in_len)
{
    uint8_t cmac[16];
    ljs_err err = in_len < MIC_LEN || in_len > LJS_REKEY_MAX ? LJS_E_SIZE : slot_check(ring, id);

    if (!err)
        err = cmac_image(ring, id, cmac, dev_eui, in, in_len);
    if (!err)
        memcpy(out, cmac, MIC_LEN);
    ljs__wipe(cmac, sizeof cmac);
    return err;
}

ljs_err ljs__rekey_sign(struct ring *ring, enum key_id id, ljs_eui dev_eui, uint8_t *message, size_t message_len)
{
    ljs_err err = mic_of(message + message_len - MIC_LEN, ring, id, dev_eui, message, message_len);

    ljs__public(message, message_len);
    return err;
}

ljs_err ljs__rekey_check(struct ring *ring, enum key_id id, ljs_eui dev_eui, const uint8_t *in, size_t in_len)
{
    uint8_t mic[MIC_LEN];
    ljs_err err = mic_of(mic, ring, id, dev_eui, in, in_len);

    if (!err && !ljs__equal(mic, in + in_len - MIC_LEN, MIC_LEN))
        err = LJS_E_MIC;
    ljs__wipe(mic, sizeof mic);
    return err;
}

ljs_err ljs__rekey_kcv(struct ring *ring, enum key_id id, uint8_t out[3])
{
    static const uint8_t zero[BLOCK_LEN];
    uint8_t cmac[16];
    ljs_err err = slot_check(ring, id);

    if (!err)
        err = ljs__cmac(ring, id, cmac, zero, sizeof zero);
    if (!err)
        memcpy(out, cmac, KCV_LEN);
    ljs__wipe(cmac, sizeof cmac);
    ljs__public(out, KCV_LEN);
    return err;
}

/* ---- the same, for callers outside ------------------------------------------- */

ljs_err ljs_rekey_kcv(uint8_t out[3], const ljs_key *key)
{
    struct ring *ring;
    ljs_err err = ljs__ring_lend(&ring, key, NULL);

    memset(out, 0, KCV_LEN);
    if (!err)
        err = ljs__rekey_kcv(ring, KEY_WORK, out);
    ljs__ring_give(ring);
    return err;
}

ljs_err ljs_rekey_mic(uint8_t out[4], const ljs_key *key, ljs_eui dev_eui, const uint8_t *in, size_t in_len)
{
    struct ring *ring;
    ljs_err err = ljs__ring_lend(&ring, key, NULL);

    memset(out, 0, MIC_LEN);
    if (!err)
        err = mic_of(out, ring, KEY_WORK, dev_eui, in, in_len);
    ljs__ring_give(ring);
    ljs__public(out, MIC_LEN);
    return err;
}

ljs_err ljs_rekey_agree(ljs_key **out, const ljs_key *key, ljs_eui dev_eui, ljs_eui join_eui, const uint8_t *in,
                        size_t in_len)
{
    const struct rekey what = { .dev_eui = dev_eui, .join_eui = join_eui };
    struct ring *ring = NULL;
    ljs_err err = in_len == 2 * POINT_LEN ? ljs__ring_take(&ring) : LJS_E_INVAL;

    *out = NULL;
    if (!err)
        err = ljs__rekey_agree(ring, key, &what, in, in + POINT_LEN);
    if (!err)
        err = ljs__ring_key(out, ring, KEY_WORK);
    ljs__ring_give(ring);
    return err;
}
