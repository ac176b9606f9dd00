/** @file join.h
 *  The join procedure as pure steps: (record, request) -> (record', answer).
 *  No store, no clock, no network, no JSON.
 *
 *  Whoever calls a step saves the new record before sending the answer; server.h does
 *  just that over a store.  When `out_record` comes back empty, nothing changed and
 *  nothing needs saving: the answer is that of a repeat.
 *
 *  Order of checks: the record's tag, frame, DevEUI, JoinEUI, state and policy, KEK,
 *  version, root key, MIC, nonce.  Whatever is refused leaves the record as it was. */
#ifndef LORAJS_JOIN_H
#define LORAJS_JOIN_H

#include <lorajs/device.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LJS_CLEAR_NS = 1, /**< network keys may reach this network server unwrapped */
    LJS_CLEAR_AS = 2, /**< AppSKey may be answered unwrapped */
};

/** One JoinReq or RejoinReq.  Begin with ljs_join_req_init(). */
typedef struct ljs_join_req {
    size_t struct_size;         /**< sizeof(ljs_join_req) */
    uint8_t phy[LJS_FRAME_MAX]; /**< PHYPayload, air order */
    size_t phy_len;             /**< 19, 23 or 24 */
    uint8_t rejoin;             /**< the message is a RejoinReq */
    uint8_t rx_delay;           /**< 0..15 */
    uint8_t dl_settings;        /**< OptNeg is bit 7 */
    uint8_t clear;              /**< LJS_CLEAR_NS | LJS_CLEAR_AS; 0: none */
    ljs_mac mac;                /**< MACVersion: the highest common to device and network */
    ljs_netid net_id;           /**< SenderID of the network server; Home_NetID of the accept */
    ljs_devaddr dev_addr;       /**< that the network server gives the device */
    ljs_eui join_eui;           /**< ReceiverID, for a rejoin 0 or 2, whose frame names none; 0: the device's first */
    uint8_t cf_list[LJS_CFLIST_LEN]; /**< air order */
    size_t cf_list_len;              /**< 0 or 16 */
    uint8_t has_ns_id;               /**< 1: ns_id is set */
    ljs_eui ns_id;                   /**< SenderNSID */
    uint32_t generation;      /**< of the store that the record is in: the JoinNonces of a record of an earlier one are
                               *   passed over, see ljs_device_raise(); 0 in a store that was never restored */
    char peer[LJS_LABEL_MAX]; /**< whom the transport vouches for; "" when it vouches for none */
    uint8_t session_key_id[16]; /**< for the session to be: random, drawn by ljs_join_req_init() */
    int64_t
        now; /**< Unix time in seconds, 0 when unknown; kept with the session; no step decides by it but for resync */
    uint8_t resync; /**< 1: look for the keys of a device that is ahead, while its window is open (ljs_rekey_resync());
                     *   whoever sets it sees that this is not done too often */
} ljs_join_req;

/** All zero but struct_size, MACVersion 1.0.0, and a fresh SessionKeyID. */
LJS_MUST ljs_err ljs_join_req_init(ljs_join_req *out);

/** JoinAns or RejoinAns: the accept, and the keys of the session. */
typedef struct ljs_join_ans {
    uint8_t phy[LJS_ACCEPT_MAX]; /**< the join-accept, as the device is to receive it */
    size_t phy_len;              /**< 17 or 33 */
    ljs_scheme scheme;           /**< which of the keys below there are */
    ljs_mac mac;                 /**< by whose MACVersion they are to be sent */
    ljs_envelope f_nwk_s_int;    /**< FNwkSIntKey; NwkSKey where mac is below 1.1 */
    ljs_envelope s_nwk_s_int;    /**< absent where mac is below 1.1 */
    ljs_envelope nwk_s_enc;      /**< absent where mac is below 1.1 */
    ljs_envelope app_s;          /**< absent where there is no KEK for it and clear is not allowed */
    uint8_t session_key_id[16];  /**< of the session */
    ljs_frame_kind kind;         /**< of the request */
    ljs_eui dev_eui;             /**< whom it is for */
    uint32_t join_nonce;         /**< of the join-accept */
    uint16_t nonce;              /**< DevNonce, RJcount0 or RJcount1 of the request */
    uint8_t repeat;              /**< the same request again, answered with the same session */
    uint8_t on_word;             /**< a rejoin 0 or 2 without a session of ours to check it: on the peer's word */
} ljs_join_ans;

/** @param ns_kek  the KEK shared with the network server, labelled ns_label; NULL is
 *                 refused (::LJS_E_KEK) unless req->clear says ::LJS_CLEAR_NS
 *  @param as_kek  likewise for AppSKey; NULL: the answer has no AppSKey but its
 *                 SessionKeyID, unless req->clear says ::LJS_CLEAR_AS
 *  @param out_record  the record to save before `out` is sent; empty for a repeat, unless its MIC commits a rekey */
LJS_MUST ljs_err ljs_join(ljs_join_ans *out, ljs_buf *out_record, ljs_vault *vault, const ljs_join_req *req,
                          const ljs_key *ns_kek, const char *ns_label, const ljs_key *as_kek, const char *as_label,
                          const uint8_t *record, size_t record_len);

/** One AppSKeyReq: the key of a session we keep, for the application server whose AS-ID
 *  the device's record names.
 *  @param as_id  the SenderID of the request
 *  @param clear  ::LJS_CLEAR_AS, or 0
 *  @param in     SessionKeyID, 16 octets
 *  @param out_record  the record to save; empty when the session was proven before
 *  @return ::LJS_E_SENDER, ::LJS_E_SESSION, ::LJS_E_KEK, ::LJS_E_BLOCKED, ::LJS_E_MOVED, ::LJS_E_DEVICE */
LJS_MUST ljs_err ljs_app_s_key(ljs_envelope *out, ljs_buf *out_record, ljs_vault *vault, const char *as_id,
                               unsigned clear, const ljs_key *as_kek, const char *as_label, const uint8_t *in,
                               size_t in_len, const uint8_t *record, size_t record_len);

#ifdef __cplusplus
}
#endif
#endif
