/* message_write.c -- how a message becomes JSON. */
#include "codec/message_members.h"

enum {
    IS_KNOWN = BIT(M_RESULT) | BIT(M_PROTOCOL_VERSION) | BIT(M_MESSAGE_TYPE), /* whether they are there, of itself */
    BUILT_MOST = 1000, /* what an answer with all its keys takes, so that it is written in one go; from 1 KiB on the C
                        * library puts together, each time, what was given back to it in pieces */
};

static const struct json_name protocol_1_0 = JSON_NAME("1.0"), protocol_1_1 = JSON_NAME("1.1");

static const void *const_field_of(const ljs_message *m, size_t at)
{
    return (const uint8_t *)m + at;
}

static uint64_t get_number(const void *field, size_t size)
{
    if (size == sizeof(uint64_t))
        return *(const uint64_t *)field;
    return size == sizeof(uint32_t) ? *(const uint32_t *)field : *(const uint8_t *)field;
}

/* Those of `among` that are there. */
static uint32_t there_of(const ljs_message *m, uint32_t among)
{
    uint32_t there = BIT(M_RESULT);

    if (m->protocol == 10 || m->protocol == 11)
        there |= BIT(M_PROTOCOL_VERSION);
    if (m->type != LJS_MSG_NONE)
        there |= BIT(M_MESSAGE_TYPE);
    for (uint32_t left = among & ~(uint32_t)IS_KNOWN; left; left &= left - 1) {
        const struct member *member = &ljs__message_members[first_of(left)];
        bool is = member->has      ? (m->has & member->has) != 0
                  : member->len_at ? *(const size_t *)const_field_of(m, member->len_at) > 0
                                   : *(const char *)const_field_of(m, member->at) != 0; /* an ID */

        there |= is ? left & -left : 0;
    }
    return there & among;
}

static bool write_envelope(struct wr *w, const ljs_envelope *envelope)
{
    if (envelope->key_len != 16 && envelope->key_len != 24)
        return false;
    json_member(w, '{', &kek_label.key); /* "" for a key in clear; ChirpStack wants it there */
    if (!ljs__json_label(w, envelope->kek_label, sizeof envelope->kek_label))
        return false;
    json_member(w, ',', &aes_key.key);
    ljs__json_hex(w, envelope->key, envelope->key_len);
    ljs__json_close(w, '}');
    return true;
}

static bool write_result(struct wr *w, const ljs_message *m)
{
    json_member(w, '{', &result_code.key);
    ljs__json_text(w, ljs_result_code(m->result, m->protocol == 11 ? 11 : 10));
    if (m->description[0]) {
        json_member(w, ',', &description.key);
        if (!ljs__json_label(w, m->description, sizeof m->description))
            return false;
    }
    ljs__json_close(w, '}');
    return true;
}

/* false for what is out of its range, which is looked at even where there is no memory any more. */
static bool write_member(struct wr *w, const ljs_message *m, const struct member *member)
{
    const void *field = const_field_of(m, member->at);
    uint64_t number;
    size_t len;
    ljs_mac mac;

    json_member(w, w->len ? ',' : '{', &member->named.key);
    switch (member->kind) {
    case PROTOCOL:
        ljs__json_word(w, m->protocol == 11 ? &protocol_1_1 : &protocol_1_0);
        return true;
    case TYPE:
        ljs__json_word(w, &ljs__message_shapes[m->type].name);
        return true;
    case ID:
        return ljs__json_label(w, field, member->size);
    case NUMBER:
        number = get_number(field, member->size);
        ljs__json_number(w, (int64_t)number);
        return number <= member->limit;
    case HEX_NUMBER:
        number = get_number(field, member->size);
        ljs__json_hex_number(w, number, member->limit);
        return member->limit == 16 || number >> (4 * member->limit) == 0;
    case OCTETS:
        len = *(const size_t *)const_field_of(m, member->len_at);
        if (len > member->limit)
            return false;
        ljs__json_hex(w, field, len);
        return true;
    case CF_LIST:
        ljs__json_hex(w, field, LJS_CFLIST_LEN);
        return true;
    case MAC:
        ljs__json_text(w, ljs_mac_text(m->mac));
        return ljs_mac_parse(&mac, ljs_mac_text(m->mac)) == LJS_OK;
    case ENVELOPE:
        return write_envelope(w, field);
    case RESULT:
        return write_result(w, m);
    }
    return false;
}

ljs_err ljs_message_build(ljs_buf *out, const ljs_message *message)
{
    struct wr w = { 0 };
    uint32_t mandatory, optional, there;
    bool refusal, good = true;

    *out = (ljs_buf){ NULL, 0 };
    if (message->struct_size != sizeof *message || !is_type(message->type))
        return LJS_E_INVAL;
    ljs__message_shape(&mandatory, &optional, message);
    there = there_of(message, mandatory | optional);

    /* Whoever asks so badly that they did not even say who they are is told so, in an
     * answer whose header says as little. */
    refusal = message->result != LJS_OK && (message->type == LJS_MSG_NONE || is_answer(message->type));
    if (refusal)
        there |= HEADER | BIT(M_RESULT);
    /* peers.md's network servers expect a Lifetime in each Success that grants keys. */
    else if (is_answer(message->type))
        there |= optional & BIT(M_LIFETIME);
    if (!ljs__message_complete(message, mandatory, there))
        return LJS_E_INVAL;

    (void)ljs__wr_grow(&w, BUILT_MOST);
    for (; there && good; there &= there - 1)
        good = write_member(&w, message, &ljs__message_members[first_of(there)]);
    if (!good) {
        ljs__wr_drop(&w);
        return LJS_E_INVAL;
    }
    ljs__json_close(&w, '}');
    return ljs__wr_take(out, &w);
}
