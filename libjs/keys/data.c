#include "keys/data.h"

#include "air/data.h"
#include "air/octets.h"
#include "keys/ring_inside.h"

enum { MIC_LEN = LJS__DATA_MIC_LEN };

/* A block before the message, and the message without its MIC. */
struct image {
    uint8_t octets[BLOCK_LEN + LJS_DATA_MAX - MIC_LEN];
    size_t len;
};

/* [L2 1.1 §4.4]  B0 or B1 = 0x49 | ConfFCnt(2) | TxDr | TxCh | Dir | DevAddr | FCnt(4) | 0x00 | len(msg) */
static void put_head(struct image *image, const struct mic_head *head, uint32_t fcnt, uint16_t conf_fcnt, uint8_t tx_dr,
                     uint8_t tx_ch)
{
    struct octets o = { image->octets, 0, BLOCK_LEN };

    put_le(&o, 0x49, 1);
    put_le(&o, conf_fcnt, 2);
    put_le(&o, tx_dr, 1);
    put_le(&o, tx_ch, 1);
    put_le(&o, head->direction, 1);
    put_le(&o, head->dev_addr, 4);
    put_le(&o, fcnt, 4);
    put_le(&o, 0, 1);
    put_le(&o, image->len - BLOCK_LEN, 1);
}

static ljs_err cmac_of(struct ring *ring, enum key_id id, uint8_t out[16], const struct image *image)
{
    ljs_err err = slot_check(ring, id);

    return err ? err : ljs__cmac(ring, id, out, image->octets, image->len);
}

/* cmac[0..3] with ConfFCnt alone, as in all of 1.0 (where it is 0) and in downlinks of 1.1 */
static ljs_err mic_plain(struct ring *ring, uint8_t out[MIC_LEN], uint32_t fcnt, uint16_t conf_fcnt,
                         const struct mic_head *head, enum key_id id, struct image *image)
{
    uint8_t cmac[16];
    ljs_err err;

    put_head(image, head, fcnt, conf_fcnt, 0, 0);
    err = cmac_of(ring, id, cmac, image);
    if (!err)
        memcpy(out, cmac, MIC_LEN);
    ljs__wipe(cmac, sizeof cmac);
    return err;
}

/* [L2 1.1 §4.4]  cmacS = aes128_cmac(SNwkSIntKey, B1 | msg), cmacF = aes128_cmac(FNwkSIntKey, B0 | msg)
 *                MIC = cmacS[0..1] | cmacF[0..1] */
static ljs_err mic_split(struct ring *ring, uint8_t out[MIC_LEN], const ljs_data_of *of, uint16_t conf_fcnt,
                         const struct mic_head *head, enum key_id id_f, enum key_id id_s, struct image *image)
{
    uint8_t cmac_s[16], cmac_f[16];
    ljs_err err;

    put_head(image, head, of->fcnt, conf_fcnt, of->tx_dr, of->tx_ch);
    err = cmac_of(ring, id_s, cmac_s, image);
    put_head(image, head, of->fcnt, 0, 0, 0);
    if (!err)
        err = cmac_of(ring, id_f, cmac_f, image);
    if (!err) {
        memcpy(out, cmac_s, 2);
        memcpy(out + 2, cmac_f, 2);
    }
    ljs__wipe(cmac_s, sizeof cmac_s);
    ljs__wipe(cmac_f, sizeof cmac_f);
    return err;
}

ljs_err ljs__data_mic_under(struct ring *ring, uint8_t out[4], const ljs_data_of *of, const struct mic_head *head,
                            enum key_id id_f, enum key_id id_s, const uint8_t *msg, size_t msg_len)
{
    struct image image;
    uint16_t conf_fcnt = head->ack ? of->conf_fcnt : 0; /* [L2 1.1 §4.4]  0 when the ACK bit is not set */

    memset(out, 0, MIC_LEN);
    if (msg_len > LJS_DATA_MAX - MIC_LEN)
        return LJS_E_SIZE;
    memcpy(image.octets + BLOCK_LEN, msg, msg_len);
    image.len = BLOCK_LEN + msg_len;
    switch (of->scheme) {
    case LJS_SCHEME_1_0: /* [L2 1.0.4 §4.4]  aes128_cmac(NwkSKey, B0 | msg) */
        return mic_plain(ring, out, of->fcnt, 0, head, id_f, &image);
    case LJS_SCHEME_1_1:
        if (head->direction == LJS_UP)
            return mic_split(ring, out, of, conf_fcnt, head, id_f, id_s, &image);
        return mic_plain(ring, out, of->fcnt, conf_fcnt, head, id_s, &image);
    }
    return LJS_E_INVAL;
}

ljs_err ljs__data_mic(struct ring *ring, uint8_t out[4], const ljs_data_of *of, enum key_id id_f, enum key_id id_s,
                      const uint8_t *in, size_t in_len)
{
    ljs_data data;
    ljs_err err = ljs_data_parse(&data, in, in_len);

    memset(out, 0, MIC_LEN);
    if (err)
        return err;
    return ljs__data_mic_under(ring, out, of, &(struct mic_head){ data.direction, data.dev_addr, data.ack }, id_f, id_s,
                               in, in_len - MIC_LEN);
}

ljs_err ljs__data_check(struct ring *ring, const ljs_data_of *of, enum key_id id_f, enum key_id id_s, const uint8_t *in,
                        size_t in_len)
{
    uint8_t mic[MIC_LEN];
    ljs_err err = ljs__data_mic(ring, mic, of, id_f, id_s, in, in_len);

    if (!err && !ljs__equal(mic, in + in_len - MIC_LEN, MIC_LEN))
        err = LJS_E_MIC;
    ljs__wipe(mic, sizeof mic);
    return err;
}

ljs_err ljs__data_sign(struct ring *ring, const ljs_data_of *of, enum key_id id_f, enum key_id id_s, uint8_t *frame,
                       size_t frame_len)
{
    uint8_t mic[MIC_LEN];
    ljs_err err = ljs__data_mic(ring, mic, of, id_f, id_s, frame, frame_len);

    if (!err)
        memcpy(frame + frame_len - MIC_LEN, mic, MIC_LEN);
    ljs__public(frame, frame_len);
    return err;
}

ljs_err ljs_data_mic(uint8_t out[4], const ljs_data_of *of, const ljs_key *f_nwk_s_int, const ljs_key *s_nwk_s_int,
                     const uint8_t *in, size_t in_len)
{
    struct ring *ring = NULL;
    ljs_err err = ljs__ring_lend(&ring, f_nwk_s_int, of->scheme == LJS_SCHEME_1_1 ? s_nwk_s_int : NULL);

    memset(out, 0, MIC_LEN);
    if (!err)
        err = ljs__data_mic(ring, out, of, KEY_WORK, KEY_WORK2, in, in_len);
    ljs__ring_give(ring);
    ljs__public(out, MIC_LEN);
    return err;
}

/* What each stream has in its blocks, and how much may go through it. */
static const struct stream {
    uint8_t stream, constant, max, ways;
} streams[] = {
    { LJS_STREAM_FRM_PAYLOAD, 0, LJS_FRM_PAYLOAD_MAX, 1 << LJS_UP | 1 << LJS_DOWN },
    { LJS_STREAM_FOPTS, 1, LJS_FOPTS_MAX, 1 << LJS_UP | 1 << LJS_DOWN },
    { LJS_STREAM_FOPTS_A, 2, LJS_FOPTS_MAX, 1 << LJS_DOWN },
};

static const struct stream *stream_of(ljs_stream stream, ljs_direction direction)
{
    if (direction != LJS_UP && direction != LJS_DOWN)
        return NULL;
    for (size_t i = 0; i < COUNT(streams); i++)
        if (streams[i].stream == (unsigned)stream && streams[i].ways & 1u << direction)
            return &streams[i];
    return NULL;
}

ljs_err ljs__data_crypt(struct ring *ring, enum key_id id, uint8_t *out, ljs_stream stream, ljs_direction direction,
                        ljs_devaddr dev_addr, uint32_t fcnt, const uint8_t *in, size_t in_len)
{
    const struct stream *s = stream_of(stream, direction);
    size_t blocks = (in_len + BLOCK_LEN - 1) / BLOCK_LEN;
    uint8_t *key_stream = ring->work.octets;
    struct octets o = { key_stream, 0, sizeof ring->work.octets };
    ljs_err err;

    if (!s || in_len > s->max)
        return LJS_E_INVAL;
    if ((err = slot_check(ring, id)))
        return err;
    /* [L2 1.1 §4.3.3, and for FOpts §4.3.1.6 with its errata]
     * A_i = 0x01 | 0(3) | constant | Dir | DevAddr | FCnt(4) | 0x00 | i  for i = 1..
     * S = aes128_encrypt(K, A_1) | aes128_encrypt(K, A_2) | ...: one call for all of it */
    for (size_t i = 1; i <= blocks; i++) {
        put_le(&o, 0x01, 1);
        put_le(&o, 0, 3);
        put_le(&o, s->constant, 1);
        put_le(&o, direction, 1);
        put_le(&o, dev_addr, 4);
        put_le(&o, fcnt, 4);
        put_le(&o, 0, 1);
        put_le(&o, i, 1);
    }
    if (blocks)
        err = ljs__encrypt(ring, id, key_stream, key_stream, o.len);
    for (size_t i = 0; !err && i < in_len; i++)
        out[i] = in[i] ^ key_stream[i];
    if (!err)
        ljs__public(out, in_len); /* a key hides it, and is not in it */
    ljs__wipe(key_stream, o.len);
    return err;
}

ljs_err ljs_data_crypt(ljs_buf *out, ljs_stream stream, ljs_direction direction, ljs_devaddr dev_addr, uint32_t fcnt,
                       const ljs_key *key, const uint8_t *in, size_t in_len)
{
    uint8_t octets[LJS_FRM_PAYLOAD_MAX];
    struct ring *ring = NULL;
    ljs_err err = ljs__ring_lend(&ring, key, NULL);

    *out = (ljs_buf){ NULL, 0 };
    if (!err)
        err = ljs__data_crypt(ring, KEY_WORK, octets, stream, direction, dev_addr, fcnt, in, in_len);
    if (!err)
        err = ljs_buf_copy(out, octets, in_len);
    ljs__ring_give(ring);
    ljs__wipe(octets, sizeof octets); /* it may be plain text */
    return err;
}
