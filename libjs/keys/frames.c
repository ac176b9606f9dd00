#include "keys/ring_inside.h"

#include "air/frame.h"
#include "air/octets.h"

enum {
    MIC_LEN = LJS__MIC_LEN,
    OF_LEN = 1 + 8 + 2, /* JoinReqType | JoinEUI | DevNonce */
};

/* [L2 1.0.4 §4.4]  the MIC is the first four octets of the CMAC */
static ljs_err mic_of(struct ring *ring, enum key_id id, uint8_t out[MIC_LEN], const uint8_t *in, size_t in_len)
{
    uint8_t cmac[16];
    ljs_err err = slot_check(ring, id);

    if (!err)
        err = ljs__cmac(ring, id, cmac, in, in_len);
    if (!err)
        memcpy(out, cmac, MIC_LEN);
    ljs__wipe(cmac, sizeof cmac);
    return err;
}

ljs_err ljs__frame_check(struct ring *ring, enum key_id id, const uint8_t *in, size_t in_len)
{
    uint8_t mic[MIC_LEN];
    ljs_err err = in_len > MIC_LEN ? LJS_OK : LJS_E_SIZE;

    if (!err)
        err = mic_of(ring, id, mic, in, in_len - MIC_LEN);
    if (!err && !ljs__equal(mic, in + in_len - MIC_LEN, MIC_LEN))
        err = LJS_E_MIC;
    ljs__wipe(mic, sizeof mic);
    return err;
}

ljs_err ljs_frame_verify(const ljs_key *key, const uint8_t *in, size_t in_len)
{
    struct ring *ring = NULL;
    ljs_frame frame;
    ljs_err err = ljs_frame_parse(&frame, in, in_len);

    if (!err)
        err = ljs__ring_lend(&ring, key, NULL);
    if (!err)
        err = ljs__frame_check(ring, KEY_WORK, in, in_len);
    ljs__ring_give(ring);
    return err;
}

ljs_err ljs_frame_sign(ljs_buf *out, const ljs_frame *frame, const ljs_key *key)
{
    struct ring *ring = NULL;
    ljs_err err = ljs_frame_build(out, frame);

    if (!err)
        err = ljs__ring_lend(&ring, key, NULL);
    if (!err)
        err = mic_of(ring, KEY_WORK, out->data + out->len - MIC_LEN, out->data, out->len - MIC_LEN);
    ljs__ring_give(ring);
    ljs__public(out->data, out->len);
    if (err)
        ljs_buf_free(out);
    return err;
}

/* An accept with what its MIC may cover before it: `of` first, then MHDR and fields. */
struct image {
    uint8_t octets[OF_LEN + LJS_ACCEPT_MAX];
    size_t len; /* of MHDR and fields */
};

static ljs_err put_of(struct image *image, const ljs_accept_of *of)
{
    struct octets o = { image->octets, 0, OF_LEN };

    switch (of->kind) {
    case LJS_FRAME_JOIN:
    case LJS_FRAME_REJOIN0:
    case LJS_FRAME_REJOIN1:
    case LJS_FRAME_REJOIN2:
        break;
    default:
        return LJS_E_INVAL;
    }
    if (of->scheme != LJS_SCHEME_1_0 && of->scheme != LJS_SCHEME_1_1)
        return LJS_E_INVAL;
    put_le(&o, of->kind, 1);
    put_le(&o, of->join_eui, 8);
    put_le(&o, of->nonce, 2);
    return LJS_OK;
}

static ljs_err put_accept(struct image *image, const ljs_accept *accept, const ljs_accept_of *of)
{
    ljs_err err = put_of(image, of);

    return err ? err : ljs__accept_write(image->octets + OF_LEN, &image->len, accept);
}

static ljs_err accept_mic(uint8_t out[MIC_LEN], struct ring *ring, enum key_id id, const struct image *image,
                          const ljs_accept_of *of)
{
    /* [L2 1.1 §6.2.3]    cmac = aes128_cmac(JSIntKey, JoinReqType | JoinEUI | DevNonce | MHDR | JoinNonce | NetID |
     *                                       DevAddr | DLSettings | RxDelay | CFList)
     * [L2 1.0.4 §6.2.6]  and OptNeg clear: from MHDR on */
    size_t from = of->scheme == LJS_SCHEME_1_1 ? 0 : OF_LEN;

    return mic_of(ring, id, out, image->octets + from, OF_LEN - from + image->len);
}

ljs_err ljs__accept_seal(struct ring *ring, uint8_t phy[LJS_ACCEPT_MAX], size_t *phy_len, const ljs_accept *accept,
                         const ljs_accept_of *of, enum key_id mic_key, enum key_id enc_key)
{
    struct image image;
    uint8_t *fields = image.octets + OF_LEN;
    ljs_err err = put_accept(&image, accept, of);

    *phy_len = 0;
    if (!err)
        err = slot_check(ring, enc_key);
    if (!err)
        err = accept_mic(fields + image.len, ring, mic_key, &image, of);
    if (!err) /* [L2 1.1 §6.2.3]  aes128_decrypt(NwkKey or JSEncKey, JoinNonce | ... | MIC); MHDR stays in clear */
        err = ljs__decrypt(ring, enc_key, phy + 1, fields + 1, image.len + MIC_LEN - 1);
    if (err) {
        ljs__wipe(phy, LJS_ACCEPT_MAX);
        return err;
    }
    phy[0] = fields[0];
    *phy_len = image.len + MIC_LEN;
    ljs__public(phy, *phy_len);
    return LJS_OK;
}

ljs_err ljs_accept_mic(uint8_t out[4], const ljs_accept *accept, const ljs_accept_of *of, const ljs_key *mic_key)
{
    struct ring *ring = NULL;
    struct image image;
    ljs_err err = put_accept(&image, accept, of);

    memset(out, 0, MIC_LEN);
    if (!err)
        err = ljs__ring_lend(&ring, mic_key, NULL);
    if (!err)
        err = accept_mic(out, ring, KEY_WORK, &image, of);
    ljs__ring_give(ring);
    ljs__public(out, MIC_LEN);
    return err;
}

ljs_err ljs_accept_seal(ljs_buf *out, const ljs_accept *accept, const ljs_accept_of *of, const ljs_key *mic_key,
                        const ljs_key *enc_key)
{
    uint8_t phy[LJS_ACCEPT_MAX];
    size_t phy_len = 0;
    struct ring *ring;
    ljs_err err = ljs__ring_lend(&ring, mic_key, enc_key);

    *out = (ljs_buf){ NULL, 0 };
    if (!err)
        err = ljs__accept_seal(ring, phy, &phy_len, accept, of, KEY_WORK, KEY_WORK2);
    if (!err)
        err = ljs_buf_copy(out, phy, phy_len);
    ljs__ring_give(ring);
    return err;
}

ljs_err ljs_accept_open(ljs_accept *out, const ljs_accept_of *of, const ljs_key *mic_key, const ljs_key *enc_key,
                        const uint8_t *in, size_t in_len)
{
    struct ring *ring = NULL;
    struct image image;
    uint8_t *fields = image.octets + OF_LEN, mic[MIC_LEN];
    ljs_accept accept;
    ljs_err err = in_len == 17 || in_len == LJS_ACCEPT_MAX ? put_of(&image, of) : LJS_E_SIZE;

    memset(out, 0, sizeof *out);
    if (!err)
        err = ljs__ring_lend(&ring, mic_key, enc_key);
    if (!err)
        err = slot_check(ring, KEY_WORK2);
    if (!err) {
        fields[0] = in[0];
        image.len = in_len - MIC_LEN;
        err = ljs__encrypt(ring, KEY_WORK2, fields + 1, in + 1, in_len - 1);
        ljs__public(fields, image.len); /* there is no key in an accept */
    }
    if (!err)
        err = ljs_accept_parse(&accept, fields, image.len);
    if (!err)
        err = accept_mic(mic, ring, KEY_WORK, &image, of);
    if (!err && !ljs__equal(mic, fields + image.len, MIC_LEN))
        err = LJS_E_MIC;
    if (!err)
        *out = accept;
    ljs__ring_give(ring);
    return err;
}
