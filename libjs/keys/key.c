#include "keys/ring_inside.h"

#include "base/cursor.h"
#include "keys/cells.h"

/* Keys that everybody knows because a document or the example of a device stack prints
 * them; runs and repetitions are found without a table. */
static const struct {
    uint8_t len, octets[KEY_LEN_MAX];
} published[] = {
    /* FIPS 197 App. A.1, SP 800-38A App. F, RFC 4493 §4; the AppKey and NwkKey that LoRaMac-node and STM32CubeWL ship
     */
    { 16, { 0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c } },
    /* FIPS 197 App. A.2, SP 800-38A App. F */
    { 24, { 0x8e, 0x73, 0xb0, 0xf7, 0xda, 0x0e, 0x64, 0x52, 0xc8, 0x10, 0xf3, 0x2b,
            0x80, 0x90, 0x79, 0xe5, 0x62, 0xf8, 0xea, 0xd2, 0x52, 0x2c, 0x6b, 0x7b } },
    /* FIPS 197 App. A.3, SP 800-38A App. F */
    { 32, { 0x60, 0x3d, 0xeb, 0x10, 0x15, 0xca, 0x71, 0xbe, 0x2b, 0x73, 0xae, 0xf0, 0x85, 0x7d, 0x77, 0x81,
            0x1f, 0x35, 0x2c, 0x07, 0x3b, 0x61, 0x08, 0xd7, 0x2d, 0x98, 0x10, 0xa3, 0x09, 0x14, 0xdf, 0xf4 } },
    /* appKey in the LoRaWAN examples of the Heltec ESP32 Arduino library */
    { 16, { 0x74, 0xd6, 0x6e, 0x63, 0x45, 0x82, 0x48, 0x27, 0xfe, 0xc5, 0xb7, 0x70, 0xba, 0x2b, 0x50, 0x45 } },
    /* appKey in the LoRaWAN examples of the Heltec CubeCell Arduino library */
    { 16, { 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x66, 0x01 } },
    /* nodeAppKey in the examples of beegee-tokyo/SX126x-Arduino and RAKwireless WisBlock */
    { 16, { 0x2b, 0x84, 0xe0, 0xb0, 0x9b, 0x68, 0xe5, 0xcb, 0x42, 0x17, 0x6f, 0xe7, 0x53, 0xdc, 0xee, 0x79 } },
    /* the join-accept explained in anthonykirby/lora-packet issue 10, in many tutorials since */
    { 16, { 0xb6, 0xb5, 0x3f, 0x4a, 0x16, 0x8a, 0x7a, 0x88, 0xbd, 0xf7, 0xea, 0x13, 0x5c, 0xe9, 0xcf, 0xca } },
};

static bool alive(const ljs_key *key)
{
    return key->process == ljs__process();
}

ljs_err ljs__key_new(ljs_key **out)
{
    void *cell;
    ljs_err err = ljs__cell_take(&cell, CELL_KEY, sizeof(struct ljs_key));

    *out = cell;
    if (!err)
        (*out)->process = ljs__process();
    return err;
}

void ljs_key_free(ljs_key *key)
{
    if (!key)
        return;
    if (alive(key))
        ljs__cell_give(CELL_KEY, key);
    else /* in a child: the octets of the copy alone are wiped */
        ljs__wipe(key->octets, sizeof key->octets);
}

ljs_err ljs_key_import(ljs_key **out, const uint8_t *in, size_t in_len)
{
    ljs_err err;

    *out = NULL;
    if (!is_key_len(in_len))
        return LJS_E_INVAL;
    err = ljs__key_new(out);
    if (err)
        return err;
    memcpy((*out)->octets, in, in_len);
    (*out)->len = in_len;
    return LJS_OK;
}

ljs_err ljs_key_generate(ljs_key **out, size_t len)
{
    ljs_err err;

    *out = NULL;
    if (!is_key_len(len))
        return LJS_E_INVAL;
    err = ljs__key_new(out);
    if (err)
        return err;
    ljs__random((*out)->octets, len);
    (*out)->len = len;
    return LJS_OK;
}

ljs_err ljs_key_export(ljs_buf *out, const ljs_key *key)
{
    ljs_err err = LJS_E_STATE;

    *out = (ljs_buf){ NULL, 0 };
    if (alive(key))
        err = ljs_buf_copy(out, key->octets, key->len);
    ljs__public(out->data, out->len);
    return err;
}

size_t ljs_key_len(const ljs_key *key)
{
    return key->len;
}

/* Does every octet equal the one `period` before it?  No early exit: a good key answers
 * in the same time whatever it is. */
static bool repeats(const ljs_key *key, size_t period)
{
    uint8_t differ = 0;

    for (size_t i = period; i < key->len; i++)
        differ |= key->octets[i] ^ key->octets[i - period];
    return !differ;
}

static bool is_run(const ljs_key *key)
{
    uint8_t step = (uint8_t)(key->octets[1] - key->octets[0]), differ = 0;

    for (size_t i = 1; i < key->len; i++)
        differ |= (uint8_t)(key->octets[i] - key->octets[i - 1]) ^ step;
    return !differ;
}

ljs_err ljs_key_check(const ljs_key *key)
{
    bool weak = false;

    if (!alive(key))
        return LJS_E_STATE;
    for (size_t period = 1; period <= 8; period++)
        weak |= repeats(key, period);
    weak |= is_run(key);
    for (size_t i = 0; i < COUNT(published); i++)
        weak |= key->len == published[i].len && ljs__equal(key->octets, published[i].octets, key->len);
    ljs__public(&weak, sizeof weak);
    return weak ? LJS_E_WEAK : LJS_OK;
}
