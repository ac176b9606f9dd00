#include "session/end_device_keys.h"

#include "air/data.h"
#include "air/frame.h"
#include "air/octets.h"
#include "base/secret.h"

enum { BLOCK = 16, MIC_LEN = LJS__MIC_LEN };

/* An id of the bank in use. */
static ljs_se_key key_of(const struct ed *ed, ljs_se_key of_bank_a)
{
    return (ljs_se_key)(of_bank_a + ed->bank * (LJS_SE_F_NWK_S_INT_B - LJS_SE_F_NWK_S_INT_A));
}

ljs_err ljs__ed_derive_js(ljs_se *se, const struct ed *ed)
{
    /* [L2 1.1 §6.1.1.3]  JSIntKey = aes128_encrypt(NwkKey, 0x06 | DevEUI | pad16), JSEncKey with 0x05 */
    static const struct {
        ljs_se_key to;
        uint8_t tag;
    } rows[] = { { LJS_SE_JS_INT, 0x06 }, { LJS_SE_JS_ENC, 0x05 } };
    ljs_err err = LJS_OK;

    for (size_t i = 0; i < COUNT(rows) && !err; i++) {
        uint8_t block[BLOCK] = { 0 };
        struct octets o = { block, 0, sizeof block };

        put_le(&o, rows[i].tag, 1);
        put_le(&o, (uint64_t)ed->dev_eui, 8);
        err = ljs__se_derive(se, rows[i].to, LJS_SE_NWK, block);
    }
    return err;
}

ljs_err ljs__ed_derive_session(ljs_se *se, const struct ed *ed)
{
    /* [L2 1.1 §6.2.3]    aes128_encrypt(root, tag | JoinNonce | JoinEUI | DevNonce | pad16), AppSKey from AppKey;
     *                    after a rejoin RJcount in place of DevNonce  [§6.2.4.4]
     * [L2 1.0.4 §6.2.6]  aes128_encrypt(the one root, tag | JoinNonce | NetID | DevNonce | pad16) */
    static const struct {
        int64_t scheme;
        ljs_se_key to, from;
        uint8_t tag;
    } rows[] = {
        { LJS_SCHEME_1_0, LJS_SE_F_NWK_S_INT_A, LJS_SE_NWK, 0x01 },
        { LJS_SCHEME_1_0, LJS_SE_APP_S_A, LJS_SE_NWK, 0x02 },
        { LJS_SCHEME_1_1, LJS_SE_F_NWK_S_INT_A, LJS_SE_NWK, 0x01 },
        { LJS_SCHEME_1_1, LJS_SE_S_NWK_S_INT_A, LJS_SE_NWK, 0x03 },
        { LJS_SCHEME_1_1, LJS_SE_NWK_S_ENC_A, LJS_SE_NWK, 0x04 },
        { LJS_SCHEME_1_1, LJS_SE_APP_S_A, LJS_SE_APP, 0x02 },
    };
    ljs_err err = LJS_OK;

    for (size_t i = 0; i < COUNT(rows) && !err; i++) {
        uint8_t block[BLOCK] = { 0 };
        struct octets o = { block, 0, sizeof block };

        if (rows[i].scheme != ed->scheme)
            continue;
        put_le(&o, rows[i].tag, 1);
        put_le(&o, (uint64_t)ed->join_nonce, 3);
        if (ed->scheme == LJS_SCHEME_1_1)
            put_le(&o, (uint64_t)ed->join_eui, 8);
        else
            put_le(&o, (uint64_t)ed->net_id, 3);
        put_le(&o, (uint64_t)ed->session_nonce, 2);
        err = ljs__se_derive(se, key_of(ed, rows[i].to), rows[i].from, block);
    }
    return err;
}

static ljs_err mic_of(uint8_t out[MIC_LEN], ljs_se *se, ljs_se_key id, const uint8_t *in, size_t in_len)
{
    uint8_t cmac[16];
    ljs_err err = ljs__se_cmac(se, id, cmac, in, in_len);

    if (!err)
        memcpy(out, cmac, MIC_LEN);
    ljs__wipe(cmac, sizeof cmac);
    return err;
}

ljs_err ljs__ed_request(uint8_t out[LJS_FRAME_MAX], size_t *out_len, ljs_se *se, const struct ed *ed,
                        ljs_frame_kind kind, uint16_t nonce)
{
    bool of_session = ljs__frame_has_net_id(kind);
    const ljs_frame frame = {
        .kind = kind,
        .join_eui = of_session ? 0 : (ljs_eui)ed->join_eui,
        .dev_eui = (ljs_eui)ed->dev_eui,
        .net_id = of_session ? (ljs_netid)ed->net_id : 0,
        .nonce = nonce,
    };
    /* [L2 1.1 §6.2.2]  NwkKey; [§6.2.4.1]  SNwkSIntKey; [§6.2.4.2]  JSIntKey */
    ljs_se_key id = kind == LJS_FRAME_JOIN ? LJS_SE_NWK : of_session ? key_of(ed, LJS_SE_S_NWK_S_INT_A) : LJS_SE_JS_INT;
    ljs_err err = ljs__frame_write(out, out_len, &frame);

    if (!err)
        err = mic_of(out + *out_len - MIC_LEN, se, id, out, *out_len - MIC_LEN);
    ljs__public(out, *out_len);
    return err;
}

ljs_err ljs__ed_accept(ljs_accept *out, ljs_scheme *scheme, ljs_se *se, const struct ed *ed, const uint8_t *in,
                       size_t in_len)
{
    uint8_t image[1 + 8 + 2 + LJS_ACCEPT_MAX], *fields = image + 11, mic[MIC_LEN];
    struct octets o = { image, 0, sizeof image };
    bool join = ed->kind == LJS_FRAME_JOIN, rules_1_1;
    ljs_accept accept;
    ljs_err err;

    memset(out, 0, sizeof *out);
    if (in_len != 17 && in_len != LJS_ACCEPT_MAX)
        return LJS_E_SIZE;
    /* [L2 1.1 §6.2.3]  aes128_encrypt(NwkKey, or JSEncKey after a rejoin, ciphertext) */
    fields[0] = in[0];
    if ((err = ljs__se_encrypt(se, join ? LJS_SE_NWK : LJS_SE_JS_ENC, fields + 1, in + 1, in_len - 1)))
        return err;
    ljs__public(fields, in_len - MIC_LEN); /* there is no key in an accept */
    if ((err = ljs_accept_parse(&accept, fields, in_len - MIC_LEN)))
        return err;
    /* The device goes by OptNeg alone, which is RFU to one of 1.0.x.  With it
     * cmac = aes128_cmac(JSIntKey, JoinReqType | JoinEUI | DevNonce | MHDR | ...), else
     * cmac = aes128_cmac(NwkKey, MHDR | ...) */
    rules_1_1 = ed->mac >= 0x0110 && ljs_dl_settings_parse(accept.dl_settings).opt_neg;
    put_le(&o, (uint64_t)ed->kind, 1);
    put_le(&o, (uint64_t)ed->join_eui, 8);
    put_le(&o, (uint64_t)ed->nonce, 2);
    if (rules_1_1)
        err = mic_of(mic, se, LJS_SE_JS_INT, image, 11 + in_len - MIC_LEN);
    else
        err = mic_of(mic, se, LJS_SE_NWK, fields, in_len - MIC_LEN);
    if (!err && !ljs__equal(mic, fields + in_len - MIC_LEN, MIC_LEN))
        err = LJS_E_MIC;
    if (!err && !join && !rules_1_1) /* there is no rejoin in 1.0 */
        err = LJS_E_MAC;
    if (err)
        return err;
    *out = accept;
    *scheme = rules_1_1 ? LJS_SCHEME_1_1 : LJS_SCHEME_1_0;
    return LJS_OK;
}

/* 0x49 | ConfFCnt(2) | TxDr | TxCh | Dir | DevAddr | FCnt(4) | 0x00 | len, then the message without its MIC.
 * [L2 1.1 §4.4] */
static ljs_err block_mic(uint8_t cmac[16], ljs_se *se, ljs_se_key id, const ljs_data *data, uint32_t fcnt,
                         uint16_t conf_fcnt, uint8_t tx_dr, uint8_t tx_ch, const uint8_t *in, size_t in_len)
{
    uint8_t image[BLOCK + LJS_DATA_MAX];
    struct octets o = { image, 0, sizeof image };

    put_le(&o, 0x49, 1);
    put_le(&o, conf_fcnt, 2);
    put_le(&o, tx_dr, 1);
    put_le(&o, tx_ch, 1);
    put_le(&o, data->direction, 1);
    put_le(&o, data->dev_addr, 4);
    put_le(&o, fcnt, 4);
    put_le(&o, 0, 1);
    put_le(&o, in_len - MIC_LEN, 1);
    put(&o, in, in_len - MIC_LEN);
    return ljs__se_cmac(se, id, cmac, image, o.len);
}

ljs_err ljs__ed_data_mic(uint8_t out[4], ljs_se *se, const struct ed *ed, const ljs_data_of *of, const ljs_data *data,
                         const uint8_t *in, size_t in_len)
{
    ljs_se_key f = key_of(ed, LJS_SE_F_NWK_S_INT_A), s = key_of(ed, LJS_SE_S_NWK_S_INT_A);
    uint16_t conf_fcnt = data->ack ? of->conf_fcnt : 0;
    uint8_t cmac_f[16] = { 0 }, cmac_s[16] = { 0 };
    ljs_err err;

    if (of->scheme == LJS_SCHEME_1_0) { /* cmac = aes128_cmac(NwkSKey, B0 | msg) */
        err = block_mic(cmac_f, se, f, data, of->fcnt, 0, 0, 0, in, in_len);
        memcpy(out, cmac_f, 4);
    } else if (data->direction == LJS_DOWN) { /* aes128_cmac(SNwkSIntKey, B0 with ConfFCnt | msg) */
        err = block_mic(cmac_s, se, s, data, of->fcnt, conf_fcnt, 0, 0, in, in_len);
        memcpy(out, cmac_s, 4);
    } else { /* MIC = cmacS[0..1] | cmacF[0..1], over B1 and B0 */
        err = block_mic(cmac_s, se, s, data, of->fcnt, conf_fcnt, of->tx_dr, of->tx_ch, in, in_len);
        if (!err)
            err = block_mic(cmac_f, se, f, data, of->fcnt, 0, 0, 0, in, in_len);
        memcpy(out, cmac_s, 2);
        memcpy(out + 2, cmac_f, 2);
    }
    ljs__wipe(cmac_f, sizeof cmac_f);
    ljs__wipe(cmac_s, sizeof cmac_s);
    return err;
}

/* [L2 1.1 §4.3.3; of FOpts §4.3.1.6 and its errata]
 * A_i = 0x01 | 0(3) | constant | Dir | DevAddr | FCnt(4) | 0x00 | i;  S = aes128_encrypt(K, A_1) | ... */
static ljs_err xor_stream(ljs_se *se, ljs_se_key id, uint8_t constant, const ljs_data *data, uint32_t fcnt, uint8_t *at,
                          size_t len)
{
    uint8_t stream[(LJS_FRM_PAYLOAD_MAX / BLOCK + 1) * BLOCK];
    struct octets o = { stream, 0, sizeof stream };
    ljs_err err = LJS_OK;

    for (size_t i = 1; o.len < len; i++) {
        put_le(&o, 0x01, 1);
        put_le(&o, 0, 3);
        put_le(&o, constant, 1);
        put_le(&o, data->direction, 1);
        put_le(&o, data->dev_addr, 4);
        put_le(&o, fcnt, 4);
        put_le(&o, 0, 1);
        put_le(&o, i, 1);
    }
    if (o.len)
        err = ljs__se_encrypt(se, id, stream, stream, o.len);
    for (size_t i = 0; i < len && !err; i++)
        at[i] ^= stream[i];
    ljs__public(at, len); /* a key hides it, and is not in it */
    ljs__wipe(stream, sizeof stream);
    return err;
}

ljs_err ljs__ed_data_crypt(ljs_se *se, const struct ed *ed, ljs_data *data, uint32_t fcnt)
{
    bool rules_1_1 = ed->scheme == LJS_SCHEME_1_1;
    bool afcnt = data->direction == LJS_DOWN && data->has_fport && data->fport;
    ljs_se_key nwk = rules_1_1 ? key_of(ed, LJS_SE_NWK_S_ENC_A) : key_of(ed, LJS_SE_F_NWK_S_INT_A);
    ljs_se_key app = key_of(ed, LJS_SE_APP_S_A);
    ljs_err err = LJS_OK;

    if (rules_1_1)
        err = xor_stream(se, nwk, afcnt ? 2 : 1, data, fcnt, data->fopts, data->fopts_len);
    if (!err && data->has_fport)
        err = xor_stream(se, data->fport ? app : nwk, 0, data, fcnt, data->frm_payload, data->frm_payload_len);
    return err;
}
