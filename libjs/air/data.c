#include "air/data.h"

#include "air/octets.h"

/* MHDR: MType (bits 7..5), RFU (4..2), Major (1..0), which is 0.  [L2 1.1 §4.2] */
static const struct type {
    uint8_t mhdr, direction, confirmed;
} types[] = {
    { 0x40, LJS_UP, 0 },
    { 0x60, LJS_DOWN, 0 },
    { 0x80, LJS_UP, 1 },
    { 0xa0, LJS_DOWN, 1 },
};

/* FCtrl: ADR, ADRACKReq, ACK, FPending or ClassB, FOptsLen (bits 3..0).  [L2 1.1 §4.3.1]
 * Bit 6 is RFU in a downlink and kept as it came: the MIC covers it. */
enum { ADR = 0x80, ADR_ACK_REQ = 0x40, ACK = 0x20, PENDING = 0x10, FOPTS_LEN = 0x0f };

static const struct type *type_of(uint8_t mhdr)
{
    for (size_t i = 0; i < COUNT(types); i++)
        if (types[i].mhdr == mhdr)
            return &types[i];
    return NULL;
}

static const struct type *type_for(const ljs_data *data)
{
    for (size_t i = 0; i < COUNT(types); i++)
        if (types[i].direction == (unsigned)data->direction && types[i].confirmed == data->confirmed)
            return &types[i];
    return NULL;
}

ljs_err ljs_data_parse(ljs_data *out, const uint8_t *in, size_t in_len)
{
    /* PHYPayload = MHDR | DevAddr | FCtrl | FCnt | FOpts | [FPort | FRMPayload] | MIC  [L2 1.1 §4] */
    struct rd r = { in, in_len, false };
    const struct type *type;
    ljs_data d = { 0 };
    uint8_t fctrl;

    memset(out, 0, sizeof *out);
    if (in_len < LJS__DATA_MIN || in_len > LJS_DATA_MAX)
        return LJS_E_SIZE;
    if (!(type = type_of((uint8_t)rd_le(&r, 1))))
        return LJS_E_FRAME;
    d.direction = (ljs_direction)type->direction;
    d.confirmed = type->confirmed;
    d.dev_addr = (ljs_devaddr)rd_le(&r, 4);
    fctrl = (uint8_t)rd_le(&r, 1);
    d.adr = !!(fctrl & ADR);
    d.adr_ack_req = !!(fctrl & ADR_ACK_REQ);
    d.ack = !!(fctrl & ACK);
    d.pending = !!(fctrl & PENDING);
    d.fopts_len = fctrl & FOPTS_LEN;
    d.fcnt = (uint16_t)rd_le(&r, 2);
    if (d.fopts_len + sizeof d.mic > r.left)
        return LJS_E_SIZE;
    rd_copy(&r, d.fopts, d.fopts_len);
    if (r.left > sizeof d.mic) {
        d.has_fport = 1;
        d.fport = (uint8_t)rd_le(&r, 1);
        d.frm_payload_len = r.left - sizeof d.mic;
        rd_copy(&r, d.frm_payload, d.frm_payload_len);
    }
    rd_copy(&r, d.mic, sizeof d.mic);
    /* [L2 1.1 §4.3.1.6]  MAC commands are in FOpts or in FRMPayload of port 0, never in both */
    if (!rd_done(&r) || (d.has_fport && d.fport == 0 && d.fopts_len))
        return LJS_E_FRAME;
    *out = d;
    return LJS_OK;
}

static bool in_range(const ljs_data *d)
{
    if (d->adr > 1 || d->adr_ack_req > 1 || d->ack > 1 || d->pending > 1 || d->has_fport > 1)
        return false;
    if (d->fopts_len > LJS_FOPTS_MAX || d->frm_payload_len > (size_t)(LJS_FRM_PAYLOAD_MAX - d->fopts_len))
        return false;
    if (!d->has_fport)
        return !d->fport && !d->frm_payload_len;
    return d->fport || !d->fopts_len;
}

ljs_err ljs__data_write(uint8_t out[LJS_DATA_MAX], size_t *out_len, const ljs_data *data)
{
    const struct type *type = type_for(data);
    struct octets o = { out, 0, LJS_DATA_MAX };

    *out_len = 0;
    if (!type || !in_range(data))
        return LJS_E_INVAL;
    put_le(&o, type->mhdr, 1);
    put_le(&o, data->dev_addr, 4);
    put_le(&o,
           (data->adr ? ADR : 0u) | (data->adr_ack_req ? ADR_ACK_REQ : 0u) | (data->ack ? ACK : 0u) |
               (data->pending ? PENDING : 0u) | data->fopts_len,
           1);
    put_le(&o, data->fcnt, 2);
    put(&o, data->fopts, data->fopts_len);
    if (data->has_fport) {
        put_le(&o, data->fport, 1);
        put(&o, data->frm_payload, data->frm_payload_len);
    }
    put(&o, data->mic, sizeof data->mic);
    *out_len = o.len;
    return LJS_OK;
}

ljs_err ljs_data_build(ljs_buf *out, const ljs_data *data)
{
    uint8_t octets[LJS_DATA_MAX];
    size_t len;
    ljs_err err = ljs__data_write(octets, &len, data);

    *out = (ljs_buf){ NULL, 0 };
    return err ? err : ljs_buf_copy(out, octets, len);
}
