/* message_members.h -- the members of messages as a table, and which message has which of them: for message.c, which
 * has both tables and reads by them, and message_write.c alone. */
#ifndef LJS_CODEC_MESSAGE_MEMBERS_H
#define LJS_CODEC_MESSAGE_MEMBERS_H

#include <lorajs/message.h>

#include "base/json.h"

enum kind {
    PROTOCOL,   /* "1.0" or "1.1" */
    TYPE,       /* MessageType */
    ID,         /* text without control characters, not empty */
    NUMBER,     /* up to `limit` */
    HEX_NUMBER, /* of exactly `limit` digits */
    OCTETS,     /* hexadecimal, up to `limit` octets; "" is absent */
    CF_LIST,    /* hexadecimal, 16 octets; "" is absent */
    MAC,        /* MACVersion */
    ENVELOPE,   /* {"KEKLabel":"","AESKey":""} */
    RESULT,     /* {"ResultCode":"","Description":""} */
};

/* In the order in which they are written [TS002 §23]; each message has some of them. */
enum {
    M_PROTOCOL_VERSION,
    M_SENDER_ID,
    M_RECEIVER_ID,
    M_TRANSACTION_ID,
    M_MESSAGE_TYPE,
    M_SENDER_NSID,
    M_RECEIVER_NSID,
    M_RECEIVER_TOKEN,
    M_SENDER_TOKEN,
    M_MAC_VERSION,
    M_PHY_PAYLOAD,
    M_RESULT,
    M_LIFETIME,
    M_DEV_EUI,
    M_DEV_ADDR,
    M_DL_SETTINGS,
    M_RX_DELAY,
    M_CF_LIST,
    M_H_NET_ID,
    M_H_NSID,
    M_S_NWK_S_INT_KEY,
    M_F_NWK_S_INT_KEY,
    M_NWK_S_ENC_KEY,
    M_NWK_S_KEY,
    M_APP_S_KEY,
    M_SESSION_KEY_ID,
    MEMBERS
};

/* As it is read, and as it is written. */
struct named {
    struct json_name name;
    struct json_key key;
};
#define NAMED(name)                                                                                                    \
    {                                                                                                                  \
        JSON_NAME(name), JSON_KEY(name)                                                                                \
    }

static const struct named kek_label = NAMED("KEKLabel"), aes_key = NAMED("AESKey"), result_code = NAMED("ResultCode"),
                          description = NAMED("Description");

#define BIT(m) (UINT32_C(1) << (m))

struct member {
    struct named named;
    enum kind kind;
    size_t at, size; /* of the field */
    uint32_t limit;
    unsigned has;  /* its bit in ljs_message.has, or 0 */
    size_t len_at; /* of OCTETS, and of the key in an ENVELOPE: where their number is */
};
extern const struct member ljs__message_members[MEMBERS];

/* Of each message. */
enum {
    HEADER =
        BIT(M_PROTOCOL_VERSION) | BIT(M_SENDER_ID) | BIT(M_RECEIVER_ID) | BIT(M_TRANSACTION_ID) | BIT(M_MESSAGE_TYPE),
};

/* Beside header and tokens, and the Result of answers.  `failed` is what an answer that
 * is not Success may carry.  An application server has no NSID.  [TS002 §23.1-23.3] */
struct shape {
    struct json_name name;
    uint32_t mandatory, optional, failed;
};
extern const struct shape ljs__message_shapes[LJS_MSG_HOME_NS_ANS + 1];

static inline bool is_type(ljs_message_type type)
{
    return (size_t)type < COUNT(ljs__message_shapes);
}

static inline bool is_answer(ljs_message_type type)
{
    return type != LJS_MSG_NONE && type % 2 == 0;
}

/* The lowest of these bits. */
static inline unsigned first_of(uint32_t bits)
{
    return (unsigned)__builtin_ctz(bits);
}

/* What this message must and may have. */
void ljs__message_shape(uint32_t *mandatory, uint32_t *optional, const ljs_message *m);
/* Is all there that makes it of use? */
bool ljs__message_complete(const ljs_message *m, uint32_t mandatory, uint32_t there);

#endif
