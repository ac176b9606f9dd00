#include "air/rekey.h"

#include "air/octets.h"

enum { MIC_LEN = LJS__REKEY_MIC_LEN, KCV_LEN = 3, SHORT_LEN = 1 + 1 + 2 + MIC_LEN };

static const struct {
    uint8_t suite, data_len;
} suites[] = {
    { LJS_REKEY_SUITE_1, 0 }, { LJS_REKEY_SUITE_2, 32 }, { LJS_REKEY_SUITE_3, 33 }, { LJS_REKEY_SUITE_4, 32 }
};

/* A suite of a later day has any. */
static bool data_len_ok(unsigned suite, size_t data_len)
{
    for (size_t i = 0; i < COUNT(suites); i++)
        if (suites[i].suite == suite)
            return data_len == suites[i].data_len;
    return data_len <= LJS_REKEY_DATA_MAX;
}

static ljs_err read_req(ljs_rekey_message *m, struct rd *r, unsigned ctl)
{
    m->suite = (uint8_t)(ctl >> 4);
    m->flags = (uint8_t)(ctl & 15);
    if (m->flags & LJS_REKEY_JOIN_EUI)
        m->join_eui = rd_le(r, 8);
    if (r->bad || r->left < KCV_LEN + MIC_LEN || !data_len_ok(m->suite, r->left - KCV_LEN - MIC_LEN))
        return LJS_E_SIZE;
    m->data_len = r->left - KCV_LEN - MIC_LEN;
    rd_copy(r, m->data, m->data_len);
    rd_copy(r, m->kcv, KCV_LEN);
    return LJS_OK;
}

ljs_err ljs_rekey_parse(ljs_rekey_message *out, const uint8_t *in, size_t in_len)
{
    struct rd r = { in, in_len, false };
    ljs_rekey_message m = { .kind = LJS_REKEY_NO_MESSAGE };
    unsigned second;
    ljs_err err = LJS_OK;

    memset(out, 0, sizeof *out);
    if (in_len < SHORT_LEN || in_len > LJS_REKEY_MAX)
        return LJS_E_SIZE;
    m.kind = (ljs_rekey_kind)rd_le(&r, 1);
    second = (unsigned)rd_le(&r, 1);
    m.epoch = (uint16_t)rd_le(&r, 2);
    switch (m.kind) {
    case LJS_REKEY_REQ:
        err = read_req(&m, &r, second);
        break;
    case LJS_REKEY_ANS:
        m.status = (uint8_t)second;
        if (second >= LJS_REKEY_STATUS_END)
            return LJS_E_FRAME;
        break;
    case LJS_REKEY_ABORT:
        if (second)
            return LJS_E_FRAME;
        break;
    default:
        return LJS_E_FRAME;
    }
    if (err)
        return err;
    rd_copy(&r, m.mic, MIC_LEN);
    if (!rd_done(&r))
        return LJS_E_SIZE;
    *out = m;
    return LJS_OK;
}

static bool valid(const ljs_rekey_message *m)
{
    switch (m->kind) {
    case LJS_REKEY_REQ:
        return m->suite <= 15 && m->flags <= 15 && data_len_ok(m->suite, m->data_len);
    case LJS_REKEY_ANS:
        return m->status < LJS_REKEY_STATUS_END;
    case LJS_REKEY_ABORT:
        return true;
    case LJS_REKEY_NO_MESSAGE:
        break;
    }
    return false;
}

ljs_err ljs__rekey_write(uint8_t out[LJS_REKEY_MAX], size_t *out_len, const ljs_rekey_message *m)
{
    struct octets o = { out, 0, LJS_REKEY_MAX };
    bool req = m->kind == LJS_REKEY_REQ;

    *out_len = 0;
    if (!valid(m))
        return LJS_E_INVAL;
    put_le(&o, m->kind, 1);
    put_le(&o, req ? (unsigned)m->suite << 4 | m->flags : m->kind == LJS_REKEY_ANS ? m->status : 0U, 1);
    put_le(&o, m->epoch, 2);
    if (req && m->flags & LJS_REKEY_JOIN_EUI)
        put_le(&o, m->join_eui, 8);
    if (req) {
        put(&o, m->data, m->data_len);
        put(&o, m->kcv, KCV_LEN);
    }
    put(&o, m->mic, MIC_LEN);
    *out_len = o.len;
    return LJS_OK;
}

ljs_err ljs_rekey_build(ljs_buf *out, const ljs_rekey_message *message)
{
    uint8_t octets[LJS_REKEY_MAX];
    size_t len;
    ljs_err err = ljs__rekey_write(octets, &len, message);

    *out = (ljs_buf){ NULL, 0 };
    return err ? err : ljs_buf_copy(out, octets, len);
}

size_t ljs__rekey_image(uint8_t out[LJS__REKEY_MIC_MAX], ljs_eui dev_eui, const uint8_t *in, size_t in_len)
{
    struct octets o = { out, 0, LJS__REKEY_MIC_MAX };

    put_le(&o, 0x52, 1);
    put_le(&o, dev_eui, 8);
    put(&o, in, in_len - MIC_LEN);
    return o.len;
}

const char *ljs_rekey_status_text(ljs_rekey_status status)
{
    static const char *const texts[] = {
        "ok", "again", "too old", "no suite", "kcv", "element", "aborted", "unsettled"
    };

    return (unsigned)status < COUNT(texts) ? texts[status] : "?";
}
