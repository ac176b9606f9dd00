/* fuzz_codec_message.c -- laws of Backend Interfaces messages:
 *  - octets that are no message leave an empty struct;
 *  - what a message does not carry is zero, and so is what was wrong;
 *  - a message without fault builds, and reads again as the same; built again it is the
 *    same octets;
 *  - any message at all can be answered with a refusal, and that is itself a message;
 *  - only the answer to a request is taken for it. */
#include "fuzz.h"

#include <lorajs/message.h>

#include <string.h>

static int is_zero(const void *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (((const uint8_t *)at)[i])
            return 0;
    return 1;
}

static int is_empty(ljs_message m)
{
    m.struct_size = 0;
    return is_zero(&m, sizeof m);
}

/* Text, with nothing after its end. */
static int is_text(const char *text)
{
    size_t len = strnlen(text, LJS_LABEL_MAX);

    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return 0;
    return len < LJS_LABEL_MAX;
}

static int is_envelope(const ljs_envelope *e)
{
    return (e->key_len == 0 || e->key_len == 16 || e->key_len == 24) && is_text(e->kek_label) &&
           is_zero(e->key + e->key_len, sizeof e->key - e->key_len) && (e->key_len || !e->kek_label[0]);
}

static int has_keys(const ljs_message *m)
{
    return m->nwk_s.key_len || m->f_nwk_s_int.key_len || m->s_nwk_s_int.key_len || m->nwk_s_enc.key_len ||
           m->app_s.key_len;
}

static void is_sound(const ljs_message *m)
{
    CHECK(m->struct_size == sizeof *m);
    CHECK(m->protocol == 0 || m->protocol == 10 || m->protocol == 11);
    CHECK(m->err == LJS_OK || m->err == LJS_E_MESSAGE || (m->err == LJS_E_PROTOCOL && m->protocol == 0));
    CHECK(is_text(m->sender_id) && is_text(m->receiver_id) && is_text(m->description));
    CHECK(m->phy_len <= sizeof m->phy && is_zero(m->phy + m->phy_len, sizeof m->phy - m->phy_len));
    CHECK(m->sender_token_len <= LJS_TOKEN_MAX && m->receiver_token_len <= LJS_TOKEN_MAX);
    CHECK(m->session_key_id_len <= LJS_SESSION_KEY_ID_MAX);
    CHECK(m->rx_delay <= 15 && m->h_net_id <= 0xffffff);
    CHECK((m->has & LJS_M_SENDER_NSID) || !m->sender_ns_id);
    CHECK((m->has & LJS_M_RECEIVER_NSID) || !m->receiver_ns_id);
    CHECK((m->has & LJS_M_DEV_EUI) || !m->dev_eui);
    CHECK((m->has & LJS_M_DEV_ADDR) || !m->dev_addr);
    CHECK((m->has & LJS_M_DL_SETTINGS) || !m->dl_settings);
    CHECK((m->has & LJS_M_RX_DELAY) || !m->rx_delay);
    CHECK((m->has & LJS_M_MAC_VERSION) ? strcmp(ljs_mac_text(m->mac), "?") != 0 : !m->mac);
    CHECK((m->has & LJS_M_LIFETIME) || !m->lifetime);
    CHECK((m->has & LJS_M_H_NET_ID) || !m->h_net_id);
    CHECK((m->has & LJS_M_H_NS_ID) || !m->h_ns_id);
    CHECK((m->has & LJS_M_TRANSACTION_ID) || !m->transaction_id);
    CHECK((m->has & LJS_M_CF_LIST) || is_zero(m->cf_list, sizeof m->cf_list));
    CHECK(m->protocol == 11 || !(m->has & (LJS_M_SENDER_NSID | LJS_M_RECEIVER_NSID | LJS_M_H_NS_ID)));
    CHECK(is_envelope(&m->nwk_s) && is_envelope(&m->f_nwk_s_int) && is_envelope(&m->s_nwk_s_int) &&
          is_envelope(&m->nwk_s_enc) && is_envelope(&m->app_s));
    CHECK(!has_keys(m) || (m->type && m->type % 2 == 0 && m->result == LJS_OK));
    CHECK(m->result == LJS_OK || (m->type && m->type % 2 == 0));
    CHECK(m->type != LJS_MSG_NONE || m->err);
}

/* Reading tells which spelling of a result it was by its meaning alone, and Success of
 * some types always has a Lifetime when written. */
static void is_same(ljs_message a, ljs_message b)
{
    CHECK(!strcmp(ljs_result_code(a.result, a.protocol), ljs_result_code(b.result, b.protocol)));
    a.result = b.result = LJS_OK;
    if (!a.lifetime && !b.lifetime) {
        a.has |= LJS_M_LIFETIME;
        b.has |= LJS_M_LIFETIME;
    }
    CHECK(!memcmp(&a, &b, sizeof a)); /* both came out of parsing, which leaves no octet as it was */
}

static void round_trip(const ljs_message *m)
{
    ljs_message back;
    ljs_buf text, again;

    CHECK(ljs_message_build(&text, m) == LJS_OK);
    CHECK(ljs_message_parse(&back, text.data, text.len) == LJS_OK && back.err == LJS_OK);
    is_same(*m, back);
    CHECK(ljs_message_build(&again, &back) == LJS_OK);
    CHECK(text.len == again.len && !memcmp(text.data, again.data, text.len));
    ljs_buf_free(&text);
    ljs_buf_free(&again);
}

static void answer(const ljs_message *m)
{
    ljs_message reply, back;
    ljs_buf text;
    ljs_err err;

    ljs_message_reply(&reply, m, LJS_E_DEVICE);
    CHECK(!strcmp(reply.sender_id, m->receiver_id) && !strcmp(reply.receiver_id, m->sender_id));
    CHECK(reply.transaction_id == m->transaction_id);
    CHECK(!has_keys(&reply));
    CHECK(ljs_message_build(&text, &reply) == LJS_OK);
    CHECK(ljs_message_parse(&back, text.data, text.len) == LJS_OK);
    is_sound(&back);
    err = ljs_message_answer(&back, m, text.data, text.len);
    if (m->type % 2 == 0) {
        CHECK(err == LJS_E_INVAL && is_empty(back));
    } else if (m->err == LJS_OK) {
        ljs_message other = *m;

        CHECK(err == LJS_E_DEVICE && back.result == LJS_E_DEVICE);
        other.transaction_id++;
        CHECK(ljs_message_answer(&back, &other, text.data, text.len) == LJS_E_MESSAGE && is_empty(back));
        other = *m;
        other.type = (m->type + 2) % 8;
        CHECK(ljs_message_answer(&back, &other, text.data, text.len) == LJS_E_MESSAGE && is_empty(back));
    }
    ljs_buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ljs_message m;
    ljs_err err;

    memset(&m, 0xa5, sizeof m);
    err = ljs_message_parse(&m, data, size);
    if (err) {
        CHECK(err == LJS_E_MESSAGE);
        CHECK(m.struct_size == sizeof m && is_empty(m));
    } else {
        is_sound(&m);
        if (!m.err)
            round_trip(&m);
    }
    answer(&m);
    return 0;
}
