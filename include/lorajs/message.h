/** @file message.h
 *  Backend Interfaces messages [TS002 1.0 and 1.1], as JSON and as a struct, for both
 *  ends of the line.  No I/O.
 *
 *  A Join Server needs none of this: ljs_server_handle() takes and gives the JSON.  A
 *  network or application server builds a request with ljs_message_build(), sends it
 *  as it likes, and reads the answer with ljs_message_answer(); ljs_envelope_open()
 *  (keys.h) then opens the keys.
 *
 *  Reading is strict about JSON itself (RFC 8259 and I-JSON: UTF-8, no duplicate names,
 *  no lone surrogates, numbers within their range, depth 16, 64 KiB) and lenient where
 *  real network servers differ: either case of hex, one leading 0x, unknown members,
 *  VSExtension of any content, "" for an absent CFList, both spellings of MACVersion and
 *  of result codes.  In JSON, EUIs, DevAddr and NetID stand most significant digit
 *  first; PHYPayload, CFList, DLSettings are octets in air order.  [TS002 §22.2] */
#ifndef LORAJS_MESSAGE_H
#define LORAJS_MESSAGE_H

#include <lorajs/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/** MessageType [TS002 §23.4], those that a Join Server takes part in. */
typedef enum ljs_message_type {
    LJS_MSG_NONE = 0, /**< absent, or a MessageType that a Join Server does not know */
    LJS_MSG_JOIN_REQ = 1,
    LJS_MSG_JOIN_ANS = 2, /**< each answer is its request plus one */
    LJS_MSG_REJOIN_REQ = 3,
    LJS_MSG_REJOIN_ANS = 4,
    LJS_MSG_APP_S_KEY_REQ = 5,
    LJS_MSG_APP_S_KEY_ANS = 6,
    LJS_MSG_HOME_NS_REQ = 7,
    LJS_MSG_HOME_NS_ANS = 8,
} ljs_message_type;

/** "JoinReq"; "" for ::LJS_MSG_NONE. */
LJS_API const char *ljs_message_type_text(ljs_message_type type);

/** Bits of ljs_message.has: the optional members present. */
enum {
    LJS_M_SENDER_NSID = 1 << 0,
    LJS_M_RECEIVER_NSID = 1 << 1,
    LJS_M_DEV_EUI = 1 << 2,
    LJS_M_DEV_ADDR = 1 << 3,
    LJS_M_DL_SETTINGS = 1 << 4,
    LJS_M_RX_DELAY = 1 << 5,
    LJS_M_MAC_VERSION = 1 << 6,
    LJS_M_RESULT = 1 << 7,
    LJS_M_LIFETIME = 1 << 8,
    LJS_M_H_NET_ID = 1 << 9,
    LJS_M_H_NS_ID = 1 << 10,
    LJS_M_TRANSACTION_ID = 1 << 11,
    LJS_M_CF_LIST = 1 << 12,
};

enum {
    LJS_TOKEN_MAX = 255,
    LJS_SESSION_KEY_ID_MAX = 64,
    LJS_PHY_MAX = 255,
};

/** One message; a member that a type does not carry is zero.  Lengths 0 mean absent. */
typedef struct ljs_message {
    size_t struct_size;                    /**< sizeof(ljs_message) */
    ljs_message_type type;                 /**< MessageType */
    ljs_err err;                           /**< out of parsing: what is wrong with the members, or ::LJS_OK */
    unsigned has;                          /**< LJS_M_... */
    int protocol;                          /**< 10 or 11; 0 for none of these */
    uint32_t transaction_id;               /**< TransactionID */
    char sender_id[LJS_LABEL_MAX];         /**< as it stands: NetID (6 digits), JoinEUI (16), or an AS-ID */
    char receiver_id[LJS_LABEL_MAX];       /**< likewise */
    ljs_eui sender_ns_id;                  /**< SenderNSID */
    ljs_eui receiver_ns_id;                /**< ReceiverNSID */
    uint8_t sender_token[LJS_TOKEN_MAX];   /**< SenderToken */
    uint8_t receiver_token[LJS_TOKEN_MAX]; /**< ReceiverToken */
    size_t sender_token_len;               /**< octets */
    size_t receiver_token_len;             /**< octets */

    ljs_mac mac;                     /**< JoinReq, RejoinReq: MACVersion */
    uint8_t phy[LJS_PHY_MAX];        /**< PHYPayload, air order */
    size_t phy_len;                  /**< octets */
    ljs_eui dev_eui;                 /**< DevEUI */
    ljs_devaddr dev_addr;            /**< DevAddr */
    uint8_t dl_settings;             /**< DLSettings */
    uint8_t rx_delay;                /**< 0..15 */
    uint8_t cf_list[LJS_CFLIST_LEN]; /**< air order */

    ljs_err result;                                 /**< answers: Result.ResultCode */
    char description[LJS_LABEL_MAX];                /**< answers: Result.Description, cut to fit */
    uint32_t lifetime;                              /**< seconds */
    ljs_envelope nwk_s;                             /**< NwkSKey; key_len 0: absent, as with all of them */
    ljs_envelope f_nwk_s_int;                       /**< FNwkSIntKey */
    ljs_envelope s_nwk_s_int;                       /**< SNwkSIntKey */
    ljs_envelope nwk_s_enc;                         /**< NwkSEncKey */
    ljs_envelope app_s;                             /**< AppSKey */
    uint8_t session_key_id[LJS_SESSION_KEY_ID_MAX]; /**< opaque */
    size_t session_key_id_len;                      /**< octets */
    ljs_netid h_net_id;                             /**< HomeNSAns */
    ljs_eui h_ns_id;                                /**< HomeNSAns, 1.1 */
} ljs_message;

/** All zero but struct_size, protocol 10. */
LJS_API void ljs_message_init(ljs_message *out);

/** Read one message.
 *  @return ::LJS_E_MESSAGE for octets that are not one JSON object as described above
 *  (*out is then empty); else ::LJS_OK, with out->err telling what is wrong with the
 *  members: ::LJS_E_PROTOCOL, ::LJS_E_MESSAGE (an unknown type, a mandatory member
 *  absent, a member out of range); what could be read of the rest is there. */
LJS_MUST ljs_err ljs_message_parse(ljs_message *out, const uint8_t *in, size_t in_len);

/** Write one message: exactly the members that its type carries, in the order of TS002;
 *  hexadecimal in lower case.  An answer that is not Success carries no keys.
 *  @return ::LJS_E_INVAL for a message that lacks a mandatory member */
LJS_MUST ljs_err ljs_message_build(ljs_buf *out, const ljs_message *message);

/** The header of the answer to a request: type plus one, IDs and NSIDs swapped,
 *  SenderToken as ReceiverToken, same protocol and TransactionID.  `err` becomes the
 *  result.  What is absent in the request gets "" or 0. */
LJS_API void ljs_message_reply(ljs_message *out, const ljs_message *req, ljs_err err);

/** Is this the answer to that request, whatever it says?  By type, TransactionID, sender and receiver, and by what the
 *  answer tells of NSID, DevEUI and SessionKeyID.  Identifiers may be written in another way.
 *  @param ans  of ljs_message_parse(), as `req`
 *  @return 1, or 0 */
LJS_API int ljs_message_answers(const ljs_message *ans, const ljs_message *req);

/** Read the answer to `req`, and only that: ::LJS_E_MESSAGE when it is malformed, of
 *  another type or TransactionID, or names another sender, receiver or device; else the
 *  answer's result. *out is filled for ::LJS_OK and for every refusal but
 *  ::LJS_E_MESSAGE. */
LJS_MUST ljs_err ljs_message_answer(ljs_message *out, const ljs_message *req, const uint8_t *in, size_t in_len);

/** Hexadecimal of identifiers: exactly 16, 8 or 6 digits, either case, one leading 0x
 *  allowed.  ::LJS_E_INVAL. */
LJS_MUST ljs_err ljs_eui_parse(ljs_eui *out, const char *text);
/** Likewise. */
LJS_MUST ljs_err ljs_dev_addr_parse(ljs_devaddr *out, const char *text);
/** Likewise. */
LJS_MUST ljs_err ljs_net_id_parse(ljs_netid *out, const char *text);

#ifdef __cplusplus
}
#endif
#endif
