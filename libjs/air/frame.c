#include "air/frame.h"

#include "air/octets.h"

/* MHDR: MType (bits 7..5), RFU (4..2), Major (1..0), which is 0.  [L2 1.1 §4.2] */
enum { MHDR_JOIN_REQUEST = 0x00, MHDR_REJOIN_REQUEST = 0xc0 };

/* What each kind carries after MHDR, in the order of the air; the MIC ends them all. */
enum { TYPE = 1, NET_ID = 2, JOIN_EUI = 4 };
static const struct layout {
    ljs_frame_kind kind;
    uint8_t mhdr, len, has;
} layouts[] = {
    /* JoinEUI(8) | DevEUI(8) | DevNonce(2) | MIC(4)  [L2 1.0.4 §6.2.5, L2 1.1 §6.2.2] */
    { LJS_FRAME_JOIN, MHDR_JOIN_REQUEST, 23, JOIN_EUI },
    /* 0 or 2 | NetID(3) | DevEUI(8) | RJcount0(2) | MIC(4)  [L2 1.1 §6.2.4.1] */
    { LJS_FRAME_REJOIN0, MHDR_REJOIN_REQUEST, 19, TYPE | NET_ID },
    { LJS_FRAME_REJOIN2, MHDR_REJOIN_REQUEST, 19, TYPE | NET_ID },
    /* 1 | JoinEUI(8) | DevEUI(8) | RJcount1(2) | MIC(4)  [L2 1.1 §6.2.4.2] */
    { LJS_FRAME_REJOIN1, MHDR_REJOIN_REQUEST, 24, TYPE | JOIN_EUI },
};

static bool is_length(size_t len)
{
    for (size_t i = 0; i < COUNT(layouts); i++)
        if (layouts[i].len == len)
            return true;
    return false;
}

/* The kind of a frame of a length that there is: by MHDR and, where it has one, the type
 * octet, and then the length must be that kind's. */
static const struct layout *layout_of(const uint8_t *in, size_t in_len)
{
    for (size_t i = 0; i < COUNT(layouts); i++) {
        const struct layout *l = &layouts[i];

        if (l->len == in_len && l->mhdr == in[0] && (!(l->has & TYPE) || l->kind == in[1]))
            return l;
    }
    return NULL;
}

static const struct layout *layout_for(ljs_frame_kind kind)
{
    for (size_t i = 0; i < COUNT(layouts); i++)
        if (layouts[i].kind == kind)
            return &layouts[i];
    return NULL;
}

ljs_err ljs_frame_parse(ljs_frame *out, const uint8_t *in, size_t in_len)
{
    struct rd r = { in, in_len, false };
    const struct layout *l;

    memset(out, 0, sizeof *out);
    if (!is_length(in_len))
        return LJS_E_SIZE;
    if (!(l = layout_of(in, in_len)))
        return LJS_E_FRAME;
    out->kind = l->kind;
    (void)rd_le(&r, l->has & TYPE ? 2 : 1);
    if (l->has & NET_ID)
        out->net_id = (ljs_netid)rd_le(&r, 3);
    if (l->has & JOIN_EUI)
        out->join_eui = rd_le(&r, 8);
    out->dev_eui = rd_le(&r, 8);
    out->nonce = (uint16_t)rd_le(&r, 2);
    rd_copy(&r, out->mic, sizeof out->mic);
    assert(rd_done(&r)); /* it is as long as its kind */
    return LJS_OK;
}

ljs_err ljs__frame_write(uint8_t out[LJS_FRAME_MAX], size_t *out_len, const ljs_frame *frame)
{
    const struct layout *l = layout_for(frame->kind);
    struct octets o = { out, 0, LJS_FRAME_MAX };

    *out_len = 0;
    if (!l || frame->net_id > 0xffffff)
        return LJS_E_INVAL;
    if ((frame->net_id && !(l->has & NET_ID)) || (frame->join_eui && !(l->has & JOIN_EUI)))
        return LJS_E_INVAL;
    put_le(&o, l->mhdr, 1);
    if (l->has & TYPE)
        put_le(&o, l->kind, 1);
    if (l->has & NET_ID)
        put_le(&o, frame->net_id, 3);
    if (l->has & JOIN_EUI)
        put_le(&o, frame->join_eui, 8);
    put_le(&o, frame->dev_eui, 8);
    put_le(&o, frame->nonce, 2);
    put(&o, frame->mic, sizeof frame->mic);
    assert(o.len == l->len);
    *out_len = o.len;
    return LJS_OK;
}

ljs_err ljs_frame_build(ljs_buf *out, const ljs_frame *frame)
{
    uint8_t octets[LJS_FRAME_MAX];
    size_t len;
    ljs_err err = ljs__frame_write(octets, &len, frame);

    *out = (ljs_buf){ NULL, 0 };
    return err ? err : ljs_buf_copy(out, octets, len);
}
