/** @file end_device.h
 *  The device's side of a LoRaWAN session: joining, rejoining, and data frames under the keys
 *  that came of it, as one pure step over one string of octets that is the caller's to keep.
 *
 *  ljs_ed_step() takes a state and an event and gives the next state and what is to be done.
 *  It reads no clock and draws nothing: time is `now` (milliseconds of any clock that does not
 *  go back between two restarts), chance is `random`, a timer is the `wake_at` of the result.
 *  A step that is refused gives no state: the old one stands, octet for octet.  A step that
 *  returns ::LJS_OK always gives one.
 *
 *  Where the result says `persist`, the new state is made durable before its frame is sent or
 *  its downlink acted on; other states may be lost in a crash without harm.  After a crash the
 *  last durable state is brought back with ::LJS_ED_ON_RESTART, whatever the device did since:
 *  no DevNonce that counts, RJcount or FCntUp is ever used twice.  How long it was off is not known:
 *  what goes by time goes on from when that state was made, or, by a clock that went on
 *  meanwhile, as it was; what goes by the number of uplinks goes on.
 *
 *  Keys are in a secure element (::ljs_se), which computes by id; the state holds the inputs
 *  they are derived from, and no key: it is no secret.  It ends in a checksum, not a seal: who can
 *  write it can set counters back, and so have nonces and key streams used twice and old downlinks
 *  taken again.  Keep it where the device alone writes, and never bring an older one back.
 *
 *  A device makes a state with ljs_ed_new(), steps ::LJS_ED_ON_START, sends the join-request it
 *  is given, steps ::LJS_ED_ON_DOWNLINK with what it hears and ::LJS_ED_ON_LOST when the receive
 *  windows are over, ::LJS_ED_ON_TICK when `wake_at` has come and the radio is free, and
 *  ::LJS_ED_ON_SEND with what the application has to say.
 *
 *  A confirmed uplink without its ACK, and any uplink where the network set NbTrans, is sent
 *  again with ::LJS_ED_ON_SEND_AGAIN, after the windows are over, on whichever channel and data rate:
 *  the same frame, under the same counter, with the MIC that 1.1 wants for them.  How
 *  often and how soon is the caller's to say.  [L2 1.0.4 §4.3.1.3, §5.2; L2 1.1 §4.3.1.3, §19]
 *
 *      state      has                    leaves it by
 *      IDLE       no session             START -> JOINING
 *      JOINING    no session             a join-accept -> REKEYING (1.1), JOINED (1.0); STOP -> IDLE
 *      REKEYING   a session of 1.1       RekeyConf -> JOINED; no RekeyConf in ADR_ACK_LIMIT uplinks -> JOINING;
 *                                        a join-accept to a rejoin -> REKEYING; STOP -> IDLE
 *      JOINED     a session              a join-accept to a rejoin -> REKEYING; no answer to link_limit
 *                                        uplinks -> JOINING; STOP -> IDLE
 *
 *  Rejoin-requests leave the session as it is; only a join-accept that verifies replaces it.
 *  [L2 1.1 §5.10, §5.13, §5.14, §6.2, §7; L2 1.0.4 §6.2, §7] */
#ifndef LORAJS_END_DEVICE_H
#define LORAJS_END_DEVICE_H

#include <lorajs/keys.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the secure element ----------------------------------------------------- */

/** The keys of an element.  Session keys are in two banks, A and B: a session is derived into
 *  the one that the state does not use, and then the state names it.  So no key is ever moved,
 *  and a crash in between finds the old session whole. */
typedef enum ljs_se_key {
    LJS_SE_NONE = 0,
    LJS_SE_NWK = 1, /**< NwkKey, or the one root key of LoRaWAN 1.0.x */
    LJS_SE_APP = 2, /**< AppKey of LoRaWAN 1.1 */
    LJS_SE_JS_INT = 3,
    LJS_SE_JS_ENC = 4,
    LJS_SE_F_NWK_S_INT_A = 5, /**< also NwkSKey */
    LJS_SE_S_NWK_S_INT_A = 6, /**< 1.1 alone, as is NwkSEncKey */
    LJS_SE_NWK_S_ENC_A = 7,
    LJS_SE_APP_S_A = 8,
    LJS_SE_F_NWK_S_INT_B = 9, /**< bank B: four more than bank A */
    LJS_SE_S_NWK_S_INT_B = 10,
    LJS_SE_NWK_S_ENC_B = 11,
    LJS_SE_APP_S_B = 12,
    LJS_SE_GEN_APP = 13, /**< GenAppKey of 1.0.x; from here on for a rekey alone (rekey_device.h) */
    LJS_SE_REKEY = 14,   /**< the rekey key */
    LJS_SE_NWK_B = 15,   /**< the other place of each root key */
    LJS_SE_APP_B = 16,
    LJS_SE_GEN_APP_B = 17,
    LJS_SE_REKEY_B = 18,
    LJS_SE_REKEY_INT = 19, /**< RekeyIntKey */
    LJS_SE_JOIN_KEY = 20,  /**< JK, for as long as a rekey takes */
    LJS_SE_KEYS = 21,
} ljs_se_key;

/** What an element can do.  An id that it has no key for: ::LJS_E_NOKEY. */
typedef struct ljs_se_ops {
    size_t struct_size; /**< sizeof(ljs_se_ops), as the element was compiled */
    /** key `to` = aes128_encrypt(key `from`, block of 16 octets) */
    ljs_err (*derive)(void *self, ljs_se_key to, ljs_se_key from, const uint8_t *block);
    /** AES-128-ECB; in_len is a multiple of 16; out and in may be the same */
    ljs_err (*encrypt)(void *self, ljs_se_key id, uint8_t *out, const uint8_t *in, size_t in_len);
    /** aes128_cmac, 16 octets into out */
    ljs_err (*cmac)(void *self, ljs_se_key id, uint8_t *out, const uint8_t *in, size_t in_len);
    int (*has)(void *self, ljs_se_key id); /**< 1 or 0 */
    void (*close)(void *self);             /**< free what is its own */
    /** For suite 2 of a rekey, else NULL: key `to` = aes128_cmac(00...00, X25519(own, peer) | peer | own public key |
     *  context); peer has 32 octets, context 16.  ::LJS_E_NOKEY without such a key */
    ljs_err (*agree)(void *self, ljs_se_key to, const uint8_t *peer, const uint8_t *context);
    /** For suite 4, else NULL: DeriveKey into the slot of both root keys; TempKey and the authorising MAC have 32
     *  octets.  ::LJS_E_MIC when the MAC is another: nothing changed then */
    ljs_err (*derive_key)(void *self, const uint8_t *temp_key, const uint8_t *mac);
} ljs_se_ops;

typedef struct ljs_se ljs_se; /**< a secure element with the root keys of one device */

/** Takes `self`: closed by ljs_se_free(), or at once when this fails. */
LJS_MUST ljs_err ljs_se_custom(ljs_se **out, const ljs_se_ops *ops, void *self);
/** An element in software: copies of the keys in guarded memory, that many elements share.
 *  @param nwk  NwkKey, or the root key of 1.0.x; NULL: `app` is the root key of 1.0.x
 *  @param app  AppKey of 1.1; may be NULL in 1.0.x
 *  @return ::LJS_E_INVAL when both are NULL or one has not 16 octets */
LJS_MUST ljs_err ljs_se_software(ljs_se **out, const ljs_key *nwk, const ljs_key *app);
/** Close and free; NULL is taken. */
LJS_API void ljs_se_free(ljs_se *se);

/* ---- a device --------------------------------------------------------------- */

/** Where a device stands. */
typedef enum ljs_ed_state {
    LJS_ED_IDLE = 0,     /**< no session, and none is asked for */
    LJS_ED_JOINING = 1,  /**< sends join-requests */
    LJS_ED_REKEYING = 2, /**< a session of 1.1; RekeyInd goes with every uplink */
    LJS_ED_JOINED = 3,   /**< a session in use */
} ljs_ed_state;
/** "REKEYING"; "?" for a number that is none. */
LJS_API const char *ljs_ed_state_text(ljs_ed_state state);

/** What a device is.  Begin with ljs_ed_opts_init(). */
typedef struct ljs_ed_opts {
    size_t struct_size;        /**< sizeof(ljs_ed_opts) */
    ljs_eui join_eui;          /**< to join under */
    ljs_eui dev_eui;           /**< the device's own */
    uint16_t mac;              /**< LoRaWAN version, 0x0100 .. 0x0104 or 0x0110; 0x0110 */
    uint16_t airtime;          /**< of one (re)join-request, in ms, 1..4000; 1500 */
    uint16_t adr_ack_limit;    /**< ADR_ACK_LIMIT, 1..; 64 */
    uint16_t link_limit;       /**< uplinks without any downlink until the session is given up; 0: never; 320 */
    uint16_t fcnt_reserve;     /**< FCntUp is made durable every so many uplinks, 1.., and with each one while
                                *   REKEYING; a restart skips up to that; 32 */
    uint8_t adr;               /**< FCtrl.ADR of uplinks; 1 */
    uint8_t join_nonce_rising; /**< 1: a 1.0.x device wants JoinNonce to rise, as 1.1 always does; 0: to differ; 0 */
    uint8_t no_clock;          /**< 1: cannot rejoin by time: answers TimeOK 0; 0 */
    ljs_octet_order order;     /**< of ForceRejoinReq; ::LJS_LOW_FIRST */
    uint32_t rejoin1_period;   /**< seconds between rejoin-requests 1, 0: none; not below 10 * airtime; 0 */
    uint32_t dev_nonce;        /**< the first DevNonce to use (1.0.4 and later), 0..65535; 0 */
    uint32_t rj_count1;        /**< the first RJcount1 to use, 0..65535; 0 */
} ljs_ed_opts;
/** All zero, but struct_size and the defaults above. */
LJS_API void ljs_ed_opts_init(ljs_ed_opts *out);

/** The state of a device that never joined: IDLE.  @return ::LJS_E_INVAL */
LJS_MUST ljs_err ljs_ed_new(ljs_buf *out_state, const ljs_ed_opts *opts);

/** What happens to a device. */
typedef enum ljs_ed_event_kind {
    LJS_ED_ON_START = 1,      /**< power-up, or the wish to join: a join-request at once, budget allowing */
    LJS_ED_ON_TICK = 2,       /**< `wake_at` has come; too early or for nothing is no harm */
    LJS_ED_ON_SEND = 3,       /**< the application, or MAC commands of the caller's own, go up */
    LJS_ED_ON_DOWNLINK = 4,   /**< a frame was heard: join-accept or data */
    LJS_ED_ON_LOST = 5,       /**< the receive windows of the last frame are over: no answer will come to it */
    LJS_ED_ON_STOP = 6,       /**< the session, or the wish for one, is given up */
    LJS_ED_ON_RESTART = 7,    /**< this state was read back after a crash or power loss; `now` may begin anew */
    LJS_ED_ON_SEND_AGAIN = 8, /**< the last data frame once more */
} ljs_ed_event_kind;

/** An event; what its kind does not take is not looked at.  Begin with ljs_ed_event_init(). */
typedef struct ljs_ed_event {
    size_t struct_size;          /**< sizeof(ljs_ed_event) */
    ljs_ed_event_kind kind;      /**< what happens */
    int64_t now;                 /**< ms, of the caller's clock */
    uint32_t random;             /**< START, TICK, DOWNLINK, RESTART: spreads what is scheduled; the lower 16 bits
                                  *   are the DevNonce before 1.0.4 */
    uint8_t frame[LJS_DATA_MAX]; /**< DOWNLINK: as it was heard; SEND_AGAIN: as it was sent, then or since */
    size_t frame_len;            /**< 0..255 */
    uint8_t fport;               /**< SEND: 1..255 with a payload, which may be empty; 0: none */
    uint8_t payload[LJS_FRM_PAYLOAD_MAX]; /**< SEND: in clear */
    size_t payload_len;                   /**< 0..242 */
    uint8_t mac[LJS_FRM_PAYLOAD_MAX];     /**< SEND: MAC commands of the caller's own, in clear */
    size_t mac_len;                       /**< 0..242 */
    uint8_t confirmed;                    /**< SEND: 0 or 1 */
    uint8_t tx_dr; /**< SEND, SEND_AGAIN: data rate and channel index it will be sent with: the MIC of 1.1
                    *   covers them */
    uint8_t tx_ch; /**< likewise */
} ljs_ed_event;
/** All zero, but struct_size and the two that are given. */
LJS_API void ljs_ed_event_init(ljs_ed_event *out, ljs_ed_event_kind kind, int64_t now);

/** What a frame to be sent is. */
typedef enum ljs_ed_sends {
    LJS_ED_SENDS_NOTHING = 0,
    LJS_ED_SENDS_JOIN = 1,
    LJS_ED_SENDS_REJOIN0 = 2,
    LJS_ED_SENDS_REJOIN1 = 3,
    LJS_ED_SENDS_REJOIN2 = 4,
    LJS_ED_SENDS_DATA = 5,
} ljs_ed_sends;

enum { LJS_ED_DR_ANY = 0xff, /**< the caller chooses the data rate */ };

/** What is to be done. */
typedef struct ljs_ed_out {
    ljs_ed_state state;          /**< after the step */
    uint8_t persist;             /**< make the state durable before anything below is done */
    ljs_ed_sends sends;          /**< what `frame` is */
    uint8_t frame[LJS_DATA_MAX]; /**< to be sent, complete */
    size_t frame_len;            /**< 0 when nothing is to be sent */
    uint8_t tx_dr;               /**< of the frame: of the event, of ForceRejoinReq, or ::LJS_ED_DR_ANY */
    uint16_t nonce;              /**< of a (re)join-request sent, or of the one that an accept answers */
    uint32_t fcnt;               /**< of a data frame sent or heard */
    int64_t wake_at;             /**< when to step TICK; -1: no need */

    uint8_t joined;       /**< there is a new session, after a join-request */
    uint8_t rejoined;     /**< there is a new session, after a rejoin-request */
    uint8_t rekeyed;      /**< RekeyConf was heard */
    uint8_t session_lost; /**< the session was given up; what was to be sent was not */
    uint8_t forced;       /**< ForceRejoinReq was heard, or the frame sent obeys it */
    uint8_t reset_radio;  /**< channels and MAC parameters go back to their defaults, then `accept` applies;
                           *   clear after rejoin 2: all stays */
    ljs_scheme scheme;    /**< of the session; 0 without one */
    ljs_accept accept;    /**< with joined or rejoined: what the network says */

    uint8_t heard;                        /**< a data downlink; the rest is of it */
    uint8_t confirmed;                    /**< it wants an ACK: the next uplink has it */
    uint8_t acked;                        /**< the last confirmed uplink arrived */
    uint8_t pending;                      /**< FPending */
    uint8_t has_fport;                    /**< 0 or 1 */
    uint8_t fport;                        /**< where it has one */
    uint8_t payload[LJS_FRM_PAYLOAD_MAX]; /**< of ports above 0, in clear */
    size_t payload_len;                   /**< octets */
    uint8_t mac[LJS_FRM_PAYLOAD_MAX];     /**< all MAC commands in clear, also those dealt with here */
    size_t mac_len;                       /**< octets */
} ljs_ed_out;

/** One event.
 *  @return ::LJS_E_STATE for an event that the state does not know (a join-accept when none is
 *  awaited, data without a session; SEND_AGAIN of any frame but the last data frame since the last
 *  restart, of one that was answered, by its ACK if it was confirmed, else by any downlink, or beyond
 *  15 times in all); ::LJS_E_SPENT when DevNonce, or FCntUp, is used up; ::LJS_E_NOKEY
 *  from the element; ::LJS_E_INVAL for a field out of its range; ::LJS_E_SEAL, ::LJS_E_VERSION for
 *  the state.  Of a join-accept: ::LJS_E_MIC; ::LJS_E_REPLAY for a JoinNonce that does not rise,
 *  at first from 0 (or, of a 1.0.x device, does not differ); ::LJS_E_MAC for OptNeg clear in answer to a
 *  rejoin; ::LJS_E_SIZE.  Of a data frame:
 *  ::LJS_E_SESSION for another DevAddr, ::LJS_E_MIC, ::LJS_E_REPLAY, ::LJS_E_FRAME, ::LJS_E_SIZE.
 *  Of SEND: ::LJS_E_SIZE when MAC commands and payload do not go into one frame */
LJS_MUST ljs_err ljs_ed_step(ljs_ed_out *out, ljs_buf *out_state, ljs_se *se, const ljs_ed_event *event,
                             const uint8_t *state, size_t state_len);

/** Derive again in the element whatever the state stands on.  RESTART does it; without one it is
 *  for who puts another element under a state, or another state over an element. */
LJS_MUST ljs_err ljs_ed_load(ljs_se *se, const uint8_t *state, size_t state_len);

/* ---- reading ---------------------------------------------------------------- */

/** A state, all of it that matters to others.  There is no key in it. */
typedef struct ljs_ed {
    size_t struct_size;  /**< sizeof(ljs_ed) */
    ljs_ed_opts opts;    /**< as given to ljs_ed_new() */
    ljs_ed_state state;  /**< where the machine stands */
    uint32_t dev_nonce;  /**< the next; 65536 when used up */
    uint32_t rj_count0;  /**< the next; 65536 when used up */
    uint32_t rj_count1;  /**< the next; 65536 when used up */
    int32_t join_nonce;  /**< the last accepted, -1 for none */
    uint8_t waiting;     /**< a join-accept may come */
    ljs_frame_kind kind; /**< waiting: of the request */
    uint16_t nonce;      /**< waiting: of the request */

    ljs_scheme scheme;           /**< of the session; 0 without one: then the rest is 0 */
    ljs_frame_kind session_kind; /**< of the request that made it */
    uint16_t session_nonce;      /**< DevNonce, RJcount0 or RJcount1 of that */
    ljs_netid net_id;            /**< of the join-accept */
    ljs_devaddr dev_addr;        /**< of the join-accept */
    uint8_t bank;                /**< of the element: 0 for A, 1 for B */
    uint64_t fcnt_up;            /**< the next */
    int64_t n_fcnt_down;         /**< the last, -1 for none; under 1.0 the only one */
    int64_t a_fcnt_down;         /**< the last, -1 for none */
    uint32_t silent;             /**< uplinks since the last downlink */
    uint8_t ack_due;             /**< the next uplink acknowledges a downlink */
    uint8_t again_left;          /**< how often the last data frame may be sent again, 0..14 */
    uint8_t force_left;          /**< rejoin-requests that ForceRejoinReq still wants */
    uint8_t force_type;          /**< 0 or 2 */
    uint8_t has_params;          /**< RejoinParamSetupReq was heard */
    uint8_t max_time_n;          /**< 0..15, as RejoinParamSetupReq says */
    uint8_t max_count_n;         /**< 0..15, likewise */
    int64_t wake_at;             /**< -1: no need */
} ljs_ed;
/** @return ::LJS_E_SEAL for octets that are no state, ::LJS_E_VERSION */
LJS_MUST ljs_err ljs_ed_read(ljs_ed *out, const uint8_t *state, size_t state_len);

#ifdef __cplusplus
}
#endif
#endif
