#include "air/frame.h"

#include "air/octets.h"

enum { MHDR_JOIN_ACCEPT = 0x20, CLEAR_LEN = 13 };

/* MHDR | JoinNonce(3) | Home_NetID(3) | DevAddr(4) | DLSettings | RxDelay | [CFList(16)]
 * [L2 1.0.4 §6.2.6, L2 1.1 §6.2.3] */
ljs_err ljs_accept_parse(ljs_accept *out, const uint8_t *in, size_t in_len)
{
    struct rd r = { in, in_len, false };
    ljs_accept a = { 0 };

    memset(out, 0, sizeof *out);
    if (in_len != CLEAR_LEN && in_len != LJS__ACCEPT_CLEAR_MAX)
        return LJS_E_SIZE;
    if (rd_le(&r, 1) != MHDR_JOIN_ACCEPT)
        return LJS_E_FRAME;
    a.join_nonce = (uint32_t)rd_le(&r, 3);
    a.net_id = (ljs_netid)rd_le(&r, 3);
    a.dev_addr = (ljs_devaddr)rd_le(&r, 4);
    a.dl_settings = (uint8_t)rd_le(&r, 1);
    a.rx_delay = (uint8_t)rd_le(&r, 1);
    a.has_cf_list = r.left != 0;
    if (a.has_cf_list)
        rd_copy(&r, a.cf_list, sizeof a.cf_list);
    if (!rd_done(&r))
        return LJS_E_FRAME;
    *out = a;
    return LJS_OK;
}

static bool is_zero(const uint8_t *in, size_t in_len)
{
    uint8_t all = 0;

    for (size_t i = 0; i < in_len; i++)
        all |= in[i];
    return all == 0;
}

ljs_err ljs__accept_write(uint8_t out[LJS__ACCEPT_CLEAR_MAX], size_t *out_len, const ljs_accept *accept)
{
    struct octets o = { out, 0, LJS__ACCEPT_CLEAR_MAX };

    *out_len = 0;
    if (accept->join_nonce > 0xffffff || accept->net_id > 0xffffff || accept->has_cf_list > 1)
        return LJS_E_INVAL;
    if (!accept->has_cf_list && !is_zero(accept->cf_list, sizeof accept->cf_list))
        return LJS_E_INVAL; /* somebody forgot has_cf_list: the device would lose its channels */
    put_le(&o, MHDR_JOIN_ACCEPT, 1);
    put_le(&o, accept->join_nonce, 3);
    put_le(&o, accept->net_id, 3);
    put_le(&o, accept->dev_addr, 4);
    put_le(&o, accept->dl_settings, 1);
    put_le(&o, accept->rx_delay, 1);
    if (accept->has_cf_list)
        put(&o, accept->cf_list, sizeof accept->cf_list);
    *out_len = o.len;
    return LJS_OK;
}

ljs_err ljs_accept_build(ljs_buf *out, const ljs_accept *accept)
{
    uint8_t octets[LJS__ACCEPT_CLEAR_MAX];
    size_t len;
    ljs_err err = ljs__accept_write(octets, &len, accept);

    *out = (ljs_buf){ NULL, 0 };
    return err ? err : ljs_buf_copy(out, octets, len);
}

/* OptNeg (bit 7) | RX1DRoffset (6..4) | RX2DataRate (3..0)  [L2 1.1 §6.2.3] */
ljs_dl_settings ljs_dl_settings_parse(uint8_t octet)
{
    return (ljs_dl_settings){
        .opt_neg = octet >> 7,
        .rx1_dr_offset = octet >> 4 & 7,
        .rx2_data_rate = octet & 15,
    };
}

ljs_err ljs_dl_settings_build(uint8_t *out, const ljs_dl_settings *settings)
{
    *out = 0;
    if (settings->opt_neg > 1 || settings->rx1_dr_offset > 7 || settings->rx2_data_rate > 15)
        return LJS_E_INVAL;
    *out = (uint8_t)(settings->opt_neg << 7 | settings->rx1_dr_offset << 4 | settings->rx2_data_rate);
    return LJS_OK;
}
