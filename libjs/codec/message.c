/* message.c -- messages as tables, how one is read by them, and which answers which. */
#include "codec/message_members.h"

#include "base/secret.h"
#include "base/text.h"
#include "device/mac.h"

#include <stddef.h>

enum {
    MESSAGE_MAX = 64 * 1024,
    STACK_BELOW = 1024, /* what reading the octets of a key takes of it */
};

/* ---- the two tables --------------------------------------------------------- */

#define AT(field)          offsetof(ljs_message, field), sizeof(((ljs_message *)0)->field)
#define AT_LEN(field, max) AT(field), max, 0, offsetof(ljs_message, field##_len)
#define AT_KEY(field)      AT(field), 0, 0, offsetof(ljs_message, field) + offsetof(ljs_envelope, key_len)

const struct member ljs__message_members[] = {
    [M_PROTOCOL_VERSION] = { NAMED("ProtocolVersion"), PROTOCOL, AT(protocol), 0, 0, 0 },
    [M_SENDER_ID] = { NAMED("SenderID"), ID, AT(sender_id), 0, 0, 0 },
    [M_RECEIVER_ID] = { NAMED("ReceiverID"), ID, AT(receiver_id), 0, 0, 0 },
    [M_TRANSACTION_ID] = { NAMED("TransactionID"), NUMBER, AT(transaction_id), UINT32_MAX, LJS_M_TRANSACTION_ID, 0 },
    [M_MESSAGE_TYPE] = { NAMED("MessageType"), TYPE, AT(type), 0, 0, 0 },
    [M_SENDER_NSID] = { NAMED("SenderNSID"), HEX_NUMBER, AT(sender_ns_id), 16, LJS_M_SENDER_NSID, 0 },
    [M_RECEIVER_NSID] = { NAMED("ReceiverNSID"), HEX_NUMBER, AT(receiver_ns_id), 16, LJS_M_RECEIVER_NSID, 0 },
    [M_RECEIVER_TOKEN] = { NAMED("ReceiverToken"), OCTETS, AT_LEN(receiver_token, LJS_TOKEN_MAX) },
    [M_SENDER_TOKEN] = { NAMED("SenderToken"), OCTETS, AT_LEN(sender_token, LJS_TOKEN_MAX) },
    [M_MAC_VERSION] = { NAMED("MACVersion"), MAC, AT(mac), 0, LJS_M_MAC_VERSION, 0 },
    [M_PHY_PAYLOAD] = { NAMED("PHYPayload"), OCTETS, AT_LEN(phy, LJS_PHY_MAX) },
    [M_RESULT] = { NAMED("Result"), RESULT, AT(result), 0, LJS_M_RESULT, 0 },
    [M_LIFETIME] = { NAMED("Lifetime"), NUMBER, AT(lifetime), UINT32_MAX, LJS_M_LIFETIME, 0 },
    [M_DEV_EUI] = { NAMED("DevEUI"), HEX_NUMBER, AT(dev_eui), 16, LJS_M_DEV_EUI, 0 },
    [M_DEV_ADDR] = { NAMED("DevAddr"), HEX_NUMBER, AT(dev_addr), 8, LJS_M_DEV_ADDR, 0 },
    [M_DL_SETTINGS] = { NAMED("DLSettings"), HEX_NUMBER, AT(dl_settings), 2, LJS_M_DL_SETTINGS, 0 },
    [M_RX_DELAY] = { NAMED("RxDelay"), NUMBER, AT(rx_delay), 15, LJS_M_RX_DELAY, 0 },
    [M_CF_LIST] = { NAMED("CFList"), CF_LIST, AT(cf_list), LJS_CFLIST_LEN, LJS_M_CF_LIST, 0 },
    [M_H_NET_ID] = { NAMED("HNetID"), HEX_NUMBER, AT(h_net_id), 6, LJS_M_H_NET_ID, 0 },
    [M_H_NSID] = { NAMED("HNSID"), HEX_NUMBER, AT(h_ns_id), 16, LJS_M_H_NS_ID, 0 },
    [M_S_NWK_S_INT_KEY] = { NAMED("SNwkSIntKey"), ENVELOPE, AT_KEY(s_nwk_s_int) },
    [M_F_NWK_S_INT_KEY] = { NAMED("FNwkSIntKey"), ENVELOPE, AT_KEY(f_nwk_s_int) },
    [M_NWK_S_ENC_KEY] = { NAMED("NwkSEncKey"), ENVELOPE, AT_KEY(nwk_s_enc) },
    [M_NWK_S_KEY] = { NAMED("NwkSKey"), ENVELOPE, AT_KEY(nwk_s) },
    [M_APP_S_KEY] = { NAMED("AppSKey"), ENVELOPE, AT_KEY(app_s) },
    [M_SESSION_KEY_ID] = { NAMED("SessionKeyID"), OCTETS, AT_LEN(session_key_id, LJS_SESSION_KEY_ID_MAX) },
};

enum {
    TOKENS = BIT(M_RECEIVER_TOKEN) | BIT(M_SENDER_TOKEN),
    NSIDS = BIT(M_SENDER_NSID) | BIT(M_RECEIVER_NSID),
    ONLY_1_1 = NSIDS | BIT(M_H_NSID),
    ACTIVATION = BIT(M_MAC_VERSION) | BIT(M_PHY_PAYLOAD) | BIT(M_DEV_EUI) | BIT(M_DEV_ADDR) | BIT(M_DL_SETTINGS) |
                 BIT(M_RX_DELAY),
    KEYS_1_1 = BIT(M_S_NWK_S_INT_KEY) | BIT(M_F_NWK_S_INT_KEY) | BIT(M_NWK_S_ENC_KEY),
    ACTIVATED = BIT(M_LIFETIME) | KEYS_1_1 | BIT(M_NWK_S_KEY) | BIT(M_APP_S_KEY) | BIT(M_SESSION_KEY_ID),
    APP_S_KEY_OF = BIT(M_DEV_EUI) | BIT(M_SESSION_KEY_ID),
};

const struct shape ljs__message_shapes[] = {
    [LJS_MSG_NONE] = { JSON_NAME(""), 0, NSIDS, NSIDS },
    [LJS_MSG_JOIN_REQ] = { JSON_NAME("JoinReq"), ACTIVATION | BIT(M_SENDER_NSID), BIT(M_CF_LIST) | BIT(M_RECEIVER_NSID),
                           0 },
    [LJS_MSG_JOIN_ANS] = { JSON_NAME("JoinAns"), BIT(M_PHY_PAYLOAD), ACTIVATED | NSIDS, BIT(M_LIFETIME) | NSIDS },
    [LJS_MSG_REJOIN_REQ] = { JSON_NAME("RejoinReq"), ACTIVATION | BIT(M_SENDER_NSID),
                             BIT(M_CF_LIST) | BIT(M_RECEIVER_NSID), 0 },
    [LJS_MSG_REJOIN_ANS] = { JSON_NAME("RejoinAns"), BIT(M_PHY_PAYLOAD), ACTIVATED | NSIDS, BIT(M_LIFETIME) | NSIDS },
    [LJS_MSG_APP_S_KEY_REQ] = { JSON_NAME("AppSKeyReq"), APP_S_KEY_OF, 0, 0 },
    /* TS002 makes DevEUI and SessionKeyID mandatory here; The Things Stack sends no DevEUI. */
    [LJS_MSG_APP_S_KEY_ANS] = { JSON_NAME("AppSKeyAns"), BIT(M_APP_S_KEY), BIT(M_LIFETIME) | APP_S_KEY_OF,
                                BIT(M_LIFETIME) | APP_S_KEY_OF },
    [LJS_MSG_HOME_NS_REQ] = { JSON_NAME("HomeNSReq"), BIT(M_DEV_EUI) | BIT(M_SENDER_NSID), BIT(M_RECEIVER_NSID), 0 },
    [LJS_MSG_HOME_NS_ANS] = { JSON_NAME("HomeNSAns"), BIT(M_H_NET_ID), BIT(M_H_NSID) | NSIDS, BIT(M_LIFETIME) | NSIDS },
};

void ljs__message_shape(uint32_t *mandatory, uint32_t *optional, const ljs_message *m)
{
    const struct shape *shape = &ljs__message_shapes[m->type];
    bool failed = is_answer(m->type) && m->result != LJS_OK;

    *mandatory = HEADER | (is_answer(m->type) ? BIT(M_RESULT) : 0) | (failed ? 0 : shape->mandatory);
    *optional = TOKENS | (failed ? shape->failed : shape->optional);
    if (m->protocol != 11) {
        *mandatory &= ~(uint32_t)ONLY_1_1;
        *optional &= ~(uint32_t)ONLY_1_1;
    }
}

/* A session is of no use without its network keys, nor without a way to its AppSKey.
 * [TS002 §23.2]  NwkSKey before LoRaWAN 1.1, three keys from then on; AppSKey or
 * SessionKeyID or both. */
bool ljs__message_complete(const ljs_message *m, uint32_t mandatory, uint32_t there)
{
    bool activated = (m->type == LJS_MSG_JOIN_ANS || m->type == LJS_MSG_REJOIN_ANS) && m->result == LJS_OK;

    if (mandatory & ~there)
        return false;
    return !activated || (((there & BIT(M_NWK_S_KEY)) || (there & KEYS_1_1) == KEYS_1_1) &&
                          (there & (BIT(M_APP_S_KEY) | BIT(M_SESSION_KEY_ID))));
}

static void *field_of(ljs_message *m, size_t at)
{
    return (uint8_t *)m + at;
}

/* Every octet, those between the members too: there may have been keys. */
static void empty(ljs_message *m)
{
    ljs__wipe(m, sizeof *m);
    m->struct_size = sizeof *m;
}

const char *ljs_message_type_text(ljs_message_type type)
{
    return is_type(type) ? ljs__message_shapes[type].name.text : "";
}

void ljs_message_init(ljs_message *out)
{
    empty(out);
    out->protocol = 10;
}

/* ---- values ----------------------------------------------------------------- */

/* Hexadecimal, either case, one leading 0x allowed.  [TS002 §22.2] */
static bool octets_of(uint8_t *out, size_t max, size_t *len, const char *text, size_t text_len)
{
    *len = 0;
    if (text_len >= 2 && text[0] == '0' && text[1] == 'x') {
        text += 2;
        text_len -= 2;
    }
    if (text_len / 2 > max || !ljs__hex(out, text_len / 2, text, text_len))
        return false;
    *len = text_len / 2;
    return true;
}

static bool number_of(uint64_t *out, size_t digits, const char *text, size_t text_len)
{
    uint8_t octets[8] = { 0 };
    size_t len, n = digits / 2;
    bool good = octets_of(octets + sizeof octets - n, n, &len, text, text_len) && len == n;

    memcpy(out, octets, sizeof octets);
    *out = good ? be64(*out) : 0;
    return good;
}

static void put_number(void *field, size_t size, uint64_t number)
{
    if (size == sizeof(uint64_t))
        *(uint64_t *)field = number;
    else if (size == sizeof(uint32_t))
        *(uint32_t *)field = (uint32_t)number;
    else
        *(uint8_t *)field = (uint8_t)number;
}

/* Whole, with a NUL, and fit to be shown. */
static bool text_of(char *out, size_t room, const char *text, size_t text_len)
{
    if (text_len >= room)
        return false;
    if (text_len)
        memcpy(out, text, text_len);
    out[text_len] = 0;
    if (ljs__text_shown(out, text_len))
        return true;
    out[0] = 0;
    return false;
}

/* For people: what does not fit is cut off, between two characters, and what cannot be
 * shown becomes a space. */
static void description_of(char *out, size_t room, const char *text, size_t text_len)
{
    size_t len = text_len < room ? text_len : room - 1;

    while (len > 0 && len < text_len && ((uint8_t)text[len] & 0xc0) == 0x80)
        len--;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)text[i], before = i ? (uint8_t)text[i - 1] : 0;

        out[i] = c < 0x20 || c == 0x7f ? ' ' : text[i];
        if (before == 0xc2 && c < 0xa0)
            out[i - 1] = out[i] = ' ';
    }
    out[len] = 0;
}

static bool same_text(const char *text, size_t text_len, const char *known)
{
    return strlen(known) == text_len && memcmp(text, known, text_len) == 0;
}

/* ---- reading ---------------------------------------------------------------- */

struct reading {
    ljs_message *out;
    uint32_t seen, there, bad; /* there: and not "" */
    unsigned within;           /* the envelope or result that is open; MEMBERS for none */
    unsigned next;             /* where the next member is, if they come in the order of the table */
    bool inner;                /* its AESKey or ResultCode was there */
};

static bool read_text(struct reading *r, unsigned m, const char *text, size_t len)
{
    const struct member *member = &ljs__message_members[m];
    void *field = field_of(r->out, member->at);
    uint64_t number;
    size_t n;

    switch (member->kind) {
    case PROTOCOL: /* another text leaves 0, which is for finish() to judge */
        r->out->protocol = same_text(text, len, "1.0") ? 10 : same_text(text, len, "1.1") ? 11 : 0;
        return true;
    case TYPE:
        for (size_t i = 1; i < COUNT(ljs__message_shapes); i++)
            if (len == ljs__message_shapes[i].name.len && memcmp(text, ljs__message_shapes[i].name.text, len) == 0) {
                r->out->type = (ljs_message_type)i;
                return true;
            }
        return false;
    case ID:
        return text_of(field, member->size, text, len) && len > 0;
    case HEX_NUMBER:
        if (!number_of(&number, member->limit, text, len))
            return false;
        put_number(field, member->size, number);
        return true;
    case OCTETS:
        if (!octets_of(field, member->limit, field_of(r->out, member->len_at), text, len))
            return false;
        if (*(size_t *)field_of(r->out, member->len_at) == 0)
            r->there &= ~BIT(m);
        return true;
    case CF_LIST:
        if (!octets_of(field, LJS_CFLIST_LEN, &n, text, len) || (n != 0 && n != LJS_CFLIST_LEN))
            return false;
        if (n == 0) /* simple-join-server's clients write "" for none */
            r->there &= ~BIT(m);
        return true;
    case MAC:
        return ljs__mac_parse(&r->out->mac, text, len) == LJS_OK;
    case NUMBER:
    case ENVELOPE:
    case RESULT:
        break;
    }
    return false;
}

static bool read_inner(struct reading *r, const struct json_event *event)
{
    bool result = ljs__message_members[r->within].kind == RESULT;
    ljs_envelope *envelope = result ? NULL : field_of(r->out, ljs__message_members[r->within].at);
    char code[32];

    if (json_named(event, result ? &result_code.name : &aes_key.name)) {
        r->inner = true;
        if (event->type != JSON_TEXT)
            return false;
        if (!result) { /* clear, or wrapped [RFC 3394] */
            bool good =
                octets_of(envelope->key, sizeof envelope->key, &envelope->key_len, event->text, event->text_len) &&
                (envelope->key_len == 16 || envelope->key_len == 24);

            ljs__wipe_stack(STACK_BELOW);
            return good;
        }
        if (!text_of(code, sizeof code, event->text, event->text_len))
            code[0] = 0;
        r->out->result = ljs_result_err(code);
    } else if (json_named(event, result ? &description.name : &kek_label.name)) {
        if (event->type != JSON_TEXT)
            return false;
        if (!result)
            return text_of(envelope->kek_label, sizeof envelope->kek_label, event->text, event->text_len);
        description_of(r->out->description, sizeof r->out->description, event->text, event->text_len);
    }
    return true;
}

static bool read_member(struct reading *r, const struct json_event *event)
{
    unsigned m = r->next, tried = 0;

    while (tried < MEMBERS && !json_named(event, &ljs__message_members[m].named.name)) {
        m = m + 1 < MEMBERS ? m + 1 : 0;
        tried++;
    }
    if (tried == MEMBERS)
        return true; /* VSExtension, and what newer versions or vendors add */
    r->next = m + 1 < MEMBERS ? m + 1 : 0;
    r->seen |= BIT(m);
    r->there |= BIT(m);
    switch (event->type) {
    case JSON_OBJECT:
        if (ljs__message_members[m].kind != ENVELOPE && ljs__message_members[m].kind != RESULT)
            break;
        r->within = m;
        r->inner = false;
        return true;
    case JSON_INT:
        if (ljs__message_members[m].kind != NUMBER || event->number < 0 ||
            event->number > ljs__message_members[m].limit)
            break;
        put_number(field_of(r->out, ljs__message_members[m].at), ljs__message_members[m].size, (uint64_t)event->number);
        return true;
    case JSON_TEXT:
        if (read_text(r, m, event->text, event->text_len))
            return true;
        break;
    default:
        break;
    }
    r->bad |= BIT(m);
    return true;
}

static bool on_event(void *ctx, const struct json_event *event)
{
    struct reading *r = ctx;

    if (event->depth == 1 && event->type != JSON_END)
        return read_member(r, event);
    if (r->within == MEMBERS)
        return true;
    if (event->depth == 1) {
        if (!r->inner)
            r->bad |= BIT(r->within);
        r->within = MEMBERS;
    } else if (event->depth == 2 && event->type != JSON_END && !read_inner(r, event))
        r->bad |= BIT(r->within);
    return true;
}

/* Now that the type is known: judge, and drop what the type does not carry. */
static void finish(struct reading *r)
{
    ljs_message *out = r->out;
    uint32_t mandatory, optional, there;

    /* A Result that nobody can read is no Success, and comes with no keys. */
    if (!is_answer(out->type))
        out->result = LJS_OK;
    else if (!(r->there & ~r->bad & BIT(M_RESULT)))
        out->result = LJS_E_MESSAGE;
    ljs__message_shape(&mandatory, &optional, out);
    there = r->there & ~r->bad & (mandatory | optional);
    for (uint32_t left = there | r->seen; left; left &= left - 1) {
        unsigned m = first_of(left);
        const struct member *member = &ljs__message_members[m];

        if (there & BIT(m))
            out->has |= member->has;
        else if (m != M_RESULT) {
            ljs__wipe(field_of(out, member->at), member->size);
            if (member->kind == OCTETS)
                *(size_t *)field_of(out, member->len_at) = 0;
        }
    }
    if (!(there & BIT(M_RESULT)))
        out->description[0] = 0;

    if ((there & BIT(M_PROTOCOL_VERSION)) && out->protocol == 0)
        out->err = LJS_E_PROTOCOL;
    else if ((r->bad & (mandatory | optional)) || !ljs__message_complete(out, mandatory, there))
        out->err = LJS_E_MESSAGE;
}

ljs_err ljs_message_parse(ljs_message *out, const uint8_t *in, size_t in_len)
{
    struct reading r = { .out = out, .within = MEMBERS };
    const char *why;
    ljs_err err;

    empty(out);
    err = ljs__json_read(in, in_len, MESSAGE_MAX, on_event, &r, &why);
    if (!err)
        finish(&r);
    else {
        empty(out);
    }
    return err;
}

/* ---- request and answer ----------------------------------------------------- */

void ljs_message_reply(ljs_message *out, const ljs_message *req, ljs_err err)
{
    ljs_message_init(out);
    if (is_type(req->type) && req->type % 2 == 1)
        out->type = req->type + 1;
    if (req->protocol == 11)
        out->protocol = 11;
    out->transaction_id = req->transaction_id;
    memcpy(out->sender_id, req->receiver_id, sizeof out->sender_id);
    memcpy(out->receiver_id, req->sender_id, sizeof out->receiver_id);
    out->sender_ns_id = req->receiver_ns_id;
    out->receiver_ns_id = req->sender_ns_id;
    memcpy(out->sender_token, req->receiver_token, sizeof out->sender_token);
    out->sender_token_len = req->receiver_token_len;
    memcpy(out->receiver_token, req->sender_token, sizeof out->receiver_token);
    out->receiver_token_len = req->sender_token_len;
    out->has = LJS_M_TRANSACTION_ID | LJS_M_RESULT | (req->has & LJS_M_SENDER_NSID ? LJS_M_RECEIVER_NSID : 0) |
               (req->has & LJS_M_RECEIVER_NSID ? LJS_M_SENDER_NSID : 0);
    out->result = err;
    if (req->type == LJS_MSG_APP_S_KEY_REQ) { /* [TS002 §23.3]  which key it is about */
        out->dev_eui = req->dev_eui;
        out->has |= req->has & LJS_M_DEV_EUI;
        memcpy(out->session_key_id, req->session_key_id, sizeof out->session_key_id);
        out->session_key_id_len = req->session_key_id_len;
    }
}

/* IDs are compared as they stand, but those that are hexadecimal by what they say: a
 * server may write them in its own way. */
static bool same_id(const char *a, const char *b)
{
    uint8_t a_octets[8], b_octets[8];
    size_t a_len, b_len;

    if (strcmp(a, b) == 0)
        return true;
    return octets_of(a_octets, sizeof a_octets, &a_len, a, strlen(a)) &&
           octets_of(b_octets, sizeof b_octets, &b_len, b, strlen(b)) && a_len == b_len && (a_len == 3 || a_len == 8) &&
           memcmp(a_octets, b_octets, a_len) == 0;
}

int ljs_message_answers(const ljs_message *ans, const ljs_message *req)
{
    return ans->err == LJS_OK && ans->type == req->type + 1 && ans->transaction_id == req->transaction_id &&
           same_id(ans->sender_id, req->receiver_id) && same_id(ans->receiver_id, req->sender_id) &&
           (!(ans->has & LJS_M_RECEIVER_NSID) || ans->receiver_ns_id == req->sender_ns_id) &&
           (!(ans->has & LJS_M_DEV_EUI) || ans->dev_eui == req->dev_eui) &&
           (req->type != LJS_MSG_APP_S_KEY_REQ || ans->session_key_id_len == 0 ||
            (ans->session_key_id_len == req->session_key_id_len &&
             memcmp(ans->session_key_id, req->session_key_id, req->session_key_id_len) == 0));
}

ljs_err ljs_message_answer(ljs_message *out, const ljs_message *req, const uint8_t *in, size_t in_len)
{
    ljs_err err;

    empty(out);
    if (req->struct_size != sizeof *req || !is_type(req->type) || req->type % 2 == 0)
        return LJS_E_INVAL;
    err = ljs_message_parse(out, in, in_len);
    if (!err)
        err = ljs_message_answers(out, req) ? out->result : LJS_E_MESSAGE;
    if (err == LJS_E_MESSAGE) {
        empty(out);
    }
    return err;
}

/* ---- identifiers ------------------------------------------------------------ */

ljs_err ljs_eui_parse(ljs_eui *out, const char *text)
{
    *out = 0;
    return text && number_of(out, 16, text, strlen(text)) ? LJS_OK : LJS_E_INVAL;
}

static ljs_err number32_parse(uint32_t *out, size_t digits, const char *text)
{
    uint64_t number;

    *out = 0;
    if (!text || !number_of(&number, digits, text, strlen(text)))
        return LJS_E_INVAL;
    *out = (uint32_t)number;
    return LJS_OK;
}

ljs_err ljs_dev_addr_parse(ljs_devaddr *out, const char *text)
{
    return number32_parse(out, 8, text);
}

ljs_err ljs_net_id_parse(ljs_netid *out, const char *text)
{
    return number32_parse(out, 6, text);
}
