/** @file network.h
 *  The network's side of a LoRaWAN session: what a network server remembers of the security
 *  contexts of one end device, as one string of octets that is the caller's to keep, and the
 *  steps by which it changes.
 *
 *  Each step takes a state and an event and gives the next state and what is to be done:
 *  nothing is sent, no clock is read and nothing is drawn here.  The caller brings the time as
 *  `now` (milliseconds, from 0, of any clock that does not go back), saves the new state, then acts.  A
 *  step that is refused gives no state: the old one stands.  A step that returns ::LJS_OK
 *  always gives one.
 *
 *  A network server makes a state with ljs_ns_new() for each device, and then calls
 *   - ljs_ns_join_accepted() when the Join Server has answered a JoinReq or RejoinReq, before
 *     the join-accept is sent.  The keys come from ljs_envelope_open().  One request of a device is
 *     asked after the other: of two answers, the one given last makes the pending context, and a
 *     device that has taken the other is not heard until it gives up and joins again;
 *   - ljs_ns_uplink() with each data frame of a DevAddr that is one of the state's;
 *   - ljs_ns_downlink() when the device can hear: with a payload of the application, with MAC
 *     commands of the network server's own, or with neither, to send what is due;
 *   - ljs_ns_rejoin() with each rejoin-request: whether it is to be sent on as RejoinReq;
 *   - ljs_ns_force_rejoin() and ljs_ns_rejoin_params() when it wants the device to rejoin;
 *   - ljs_ns_timer() when the `wake_at` of the last result has come.
 *  ljs_ns_read() shows a state without any key.
 *
 *  There are two contexts at most.  A join-accept makes a pending one, and the current one stays
 *  in use until the device is heard under the new: under LoRaWAN 1.1 in an uplink that carries
 *  RekeyInd, and all that comes under the pending context before is dropped; under 1.0 in any
 *  uplink.  Then the old context goes.  RekeyInd is answered with RekeyConf in the next downlink,
 *  as often as it comes.  A pending context that is never heard of waits, without effect, until
 *  the next one takes its place.  [L2 1.1 §5.10, §6.2]
 *
 *  A device sends an uplink again, under the same counter, when it hears no answer to a confirmed
 *  one, or NbTrans times in any case.  The last uplink of the current context is taken again: ACK
 *  and RekeyConf are owed anew, and nothing of it is passed up a second time (`again`).  It has to be
 *  the very same frame, and comes ::LJS_NS_AGAIN_MAX times at most.  [L2 1.0.4 §4.3.1.3, §5.2]
 *
 *      state       has                 leaves it by
 *      NONE        nothing             a join-accept (join, rejoin 1) -> PENDING
 *      PENDING     a pending context   its first uplink -> ACTIVE (1.0), REKEYING (1.1, with RekeyInd)
 *      REKEYING    a current one       an uplink without RekeyInd -> ACTIVE; a join-accept -> SWITCHING
 *      ACTIVE      a current one       RekeyInd -> REKEYING; a join-accept -> SWITCHING
 *      SWITCHING   both                the first uplink of the pending one -> ACTIVE, REKEYING
 *
 *  Session keys are in the state, sealed under the vault, and a keyed tag is over all of it:
 *  what was changed on the way is refused with ::LJS_E_SEAL, and what a newer lorajs wrote with
 *  ::LJS_E_VERSION, by every step.  AppSKey is none of the network's business: payloads of ports
 *  above 0 pass through as they are. */
#ifndef LORAJS_NETWORK_H
#define LORAJS_NETWORK_H

#include <lorajs/keys.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Where a device stands with its network. */
typedef enum ljs_ns_state {
    LJS_NS_NONE = 0,      /**< no context */
    LJS_NS_PENDING = 1,   /**< a join-accept was made, the device was not heard under it */
    LJS_NS_REKEYING = 2,  /**< in use (1.1); the device still asks for RekeyConf */
    LJS_NS_ACTIVE = 3,    /**< in use */
    LJS_NS_SWITCHING = 4, /**< in use, and another is pending */
} ljs_ns_state;
/** "SWITCHING"; "?" for a number that is none. */
LJS_API const char *ljs_ns_state_text(ljs_ns_state state);

/** A device as its network server knows it.  Begin with ljs_ns_opts_init(). */
typedef struct ljs_ns_opts {
    size_t struct_size;         /**< sizeof(ljs_ns_opts) */
    ljs_eui dev_eui;            /**< whose it is */
    ljs_netid net_id;           /**< ours: rejoin 0 and 2 of another are refused */
    uint8_t minor;              /**< the highest LoRaWAN 1.minor that the network speaks, 1..15; 1 */
    ljs_octet_order order;      /**< of ForceRejoinReq, as the device reads it; ::LJS_LOW_FIRST */
    uint16_t rejoins_per_hour;  /**< rejoin 0 and 2 sent on at most within an hour, which the first one
                                 *   begins; 0: no limit; 16 */
    uint16_t rejoins1_per_hour; /**< the same of rejoin 1.  The network cannot check those: who forges as many
                                 *   keeps the device's own away until the hour is over, and it comes
                                 *   back by a join-request.  0 leaves them all to the Join Server; 6 */
} ljs_ns_opts;
/** All zero, but struct_size and the defaults above. */
LJS_API void ljs_ns_opts_init(ljs_ns_opts *out);

/** The state of a device that has no context: NONE.  @return ::LJS_E_INVAL */
LJS_MUST ljs_err ljs_ns_new(ljs_buf *out_state, ljs_vault *vault, const ljs_ns_opts *opts);

/* ---- a join-accept ---------------------------------------------------------- */

/** What was answered to a JoinReq or RejoinReq. */
typedef struct ljs_ns_accepted {
    size_t struct_size;         /**< sizeof(ljs_ns_accepted) */
    int64_t now;                /**< ms */
    ljs_frame_kind kind;        /**< of the request */
    ljs_scheme scheme;          /**< ::LJS_SCHEME_1_1: MACVersion 1.1 and OptNeg set; always so after a rejoin */
    uint16_t mac;               /**< MACVersion of the request: 0x0104, 0x0110 */
    uint16_t nonce;             /**< of the request: DevNonce, RJcount0 or RJcount1 */
    ljs_devaddr dev_addr;       /**< as it stands in the join-accept */
    uint8_t session_key_id[16]; /**< zero where there is none */
} ljs_ns_accepted;

/** The network keys of JoinAns or RejoinAns, 16 octets each. */
typedef struct ljs_ns_keys {
    const ljs_key *f_nwk_s_int; /**< NwkSKey in ::LJS_SCHEME_1_0, where the others are not looked at */
    const ljs_key *s_nwk_s_int; /**< SNwkSIntKey */
    const ljs_key *nwk_s_enc;   /**< NwkSEncKey */
} ljs_ns_keys;

/** What became of a join-accept. */
typedef struct ljs_ns_joined {
    ljs_ns_state state; /**< after the step */
    uint8_t repeat;     /**< these are the keys of a context that there is already: nothing changed */
    uint8_t replaced;   /**< a pending context that was never heard of is gone */
    int64_t wake_at;    /**< when to call ljs_ns_timer(); -1: no need */
} ljs_ns_joined;

/** The context becomes the pending one.  Then send the join-accept.
 *  @return ::LJS_E_STATE for a rejoin 0 or 2 without a current context; ::LJS_E_REPLAY for one
 *  whose RJcount0 is not the last that ljs_ns_rejoin() let through, or for keys of a context that
 *  is gone; ::LJS_E_MAC when scheme, MACVersion and kind do not go together; ::LJS_E_NOKEY */
LJS_MUST ljs_err ljs_ns_join_accepted(ljs_ns_joined *out, ljs_buf *out_state, ljs_vault *vault,
                                      const ljs_ns_accepted *accepted, const ljs_ns_keys *keys, const uint8_t *state,
                                      size_t state_len);

/* ---- data frames ------------------------------------------------------------ */

/** Why a downlink should be sent, bits. */
enum {
    LJS_NS_DUE_ACK = 1,           /**< a confirmed uplink */
    LJS_NS_DUE_REKEY_CONF = 2,    /**< RekeyInd */
    LJS_NS_DUE_FORCE_REJOIN = 4,  /**< ljs_ns_force_rejoin() */
    LJS_NS_DUE_REJOIN_PARAMS = 8, /**< ljs_ns_rejoin_params() */
    LJS_NS_DUE_ADR_ACK = 16,      /**< ADRACKReq: any downlink will do */
};

enum { LJS_NS_AGAIN_MAX = 14, /**< how often one uplink is taken again: NbTrans is 15 at most */ };

/** An uplink that was accepted. */
typedef struct ljs_ns_up {
    ljs_ns_state state;         /**< after the step */
    ljs_scheme scheme;          /**< of the context */
    ljs_devaddr dev_addr;       /**< of the context */
    uint8_t session_key_id[16]; /**< of the context, for the application server */
    uint32_t fcnt;              /**< the whole counter */
    uint8_t again;              /**< 0: a new frame; else the last one, for the nth time after the first: no payload, no
                                 *   port and no MAC commands are told, since they were.  Who has told the device
                                 *   NbTrans drops the step, with its new state, when this reaches it */
    uint8_t confirmed;          /**< the frame asks for an ACK */
    uint8_t adr;                /**< FCtrl */
    uint8_t class_b;            /**< FCtrl */
    uint8_t switched;           /**< the pending context is the current one now; the old one is gone */
    uint8_t rekey;              /**< RekeyInd was in it, and is answered */
    uint8_t minor;              /**< what RekeyConf says; 0 without RekeyInd */
    uint8_t acked;              /**< the last confirmed downlink arrived */
    uint8_t params_answered;    /**< RejoinParamSetupAns to what was asked */
    uint8_t time_ok;            /**< TimeOK of it */
    uint8_t due;                /**< LJS_NS_DUE_...: not 0: call ljs_ns_downlink() for this uplink */
    uint8_t has_fport;          /**< 0 or 1 */
    uint8_t fport;              /**< where it has one */
    uint8_t payload[LJS_FRM_PAYLOAD_MAX]; /**< FRMPayload of ports above 0, still under AppSKey */
    size_t payload_len;                   /**< octets */
    uint8_t mac[LJS_FRM_PAYLOAD_MAX];     /**< all MAC commands in clear, also those dealt with here */
    size_t mac_len;                       /**< octets */
    int64_t wake_at;                      /**< when to call ljs_ns_timer(); -1: no need */
} ljs_ns_up;

/** One uplink data frame, whole.  Its context is found by DevAddr and MIC; its counter has to
 *  be greater than the last one under that context, or it is the last frame again.
 *
 *  Whether a frame was sent again, heard by a second gateway, or recorded and replayed by
 *  somebody cannot be told from its octets: take together what several gateways heard of one
 *  transmission before this step.  A replay gains a downlink that nobody waits for, a few times.
 *  Under 1.1 its ACK names the uplink's counter and is no use for another; under 1.0 an ACK
 *  names none, and somebody who also keeps the next confirmed uplink from the network can let the
 *  device take it for that one's.  Who fears this drops each step with `again` under 1.0.
 *  @param tx_dr, tx_ch  data rate and channel index of the reception: the MIC of 1.1 covers them
 *  @return ::LJS_E_SESSION for a DevAddr that is neither context's; ::LJS_E_MIC; ::LJS_E_REPLAY for
 *  a counter that is not greater, unless the frame is the last one again and not too often so;
 *  ::LJS_E_STATE for an uplink of a pending 1.1 context without RekeyInd: drop it; what
 *  ljs_data_parse() says; ::LJS_E_FRAME for a downlink */
LJS_MUST ljs_err ljs_ns_uplink(ljs_ns_up *out, ljs_buf *out_state, ljs_vault *vault, int64_t now, uint8_t tx_dr,
                               uint8_t tx_ch, const uint8_t *in, size_t in_len, const uint8_t *state, size_t state_len);

/** What is to go down beside what is due.  All zero but struct_size and now: nothing. */
typedef struct ljs_ns_tx {
    size_t struct_size; /**< sizeof(ljs_ns_tx) */
    int64_t now;        /**< ms */
    uint8_t confirmed;  /**< 0 or 1; not while the last one may still be acknowledged: under 1.1 the MIC of an uplink
                         *   names what it acknowledges, and one that names an earlier downlink is ::LJS_E_MIC then,
                         *   as often as it comes */
    uint8_t adr;        /**< FCtrl: 0 or 1 */
    uint8_t pending;    /**< FCtrl: FPending, 0 or 1 */
    uint8_t fport;      /**< 1..255 with a payload, which may be empty; 0: no payload */
    uint32_t fcnt;      /**< that the payload is encrypted with: a_fcnt_down of ljs_ns_read() or more; no device
                         *   finds its way over a gap of 2^16, and many not over 2^14, MAX_FCNT_GAP */
    uint8_t payload[LJS_FRM_PAYLOAD_MAX]; /**< under AppSKey */
    size_t payload_len;                   /**< 0..242 */
    uint8_t mac[LJS_FRM_PAYLOAD_MAX];     /**< MAC commands of the network server's own, in clear */
    size_t mac_len;                       /**< 0..242 */
} ljs_ns_tx;

/** A downlink to be sent. */
typedef struct ljs_ns_down {
    ljs_ns_state state;        /**< after the step */
    uint8_t phy[LJS_DATA_MAX]; /**< the frame, complete */
    size_t phy_len;            /**< octets */
    ljs_devaddr dev_addr;      /**< of the context */
    uint32_t fcnt;             /**< the counter it took */
    uint8_t sent;              /**< LJS_NS_DUE_... that are in it */
    int64_t wake_at;           /**< when to call ljs_ns_timer(); -1: no need */
} ljs_ns_down;

/** The next downlink, under the current context.  MAC commands travel in FOpts where they have
 *  room, else on port 0 of a frame without payload.  Save the state before the frame is sent: its
 *  counter is used.
 *  @return ::LJS_E_NOTFOUND when there is nothing to send; ::LJS_E_STATE without a current
 *  context; ::LJS_E_REPLAY for an fcnt below the next; ::LJS_E_SPENT for counters used up;
 *  ::LJS_E_SIZE when it does not fit into one frame; ::LJS_E_INVAL */
LJS_MUST ljs_err ljs_ns_downlink(ljs_ns_down *out, ljs_buf *out_state, ljs_vault *vault, const ljs_ns_tx *tx,
                                 const uint8_t *state, size_t state_len);

/* ---- rejoining -------------------------------------------------------------- */

/** A rejoin-request that is to be sent on to the Join Server as RejoinReq. */
typedef struct ljs_ns_route {
    ljs_ns_state state;  /**< after the step */
    ljs_frame_kind kind; /**< of the frame */
    uint16_t nonce;      /**< RJcount0, or RJcount1 */
    uint8_t checked;     /**< MIC, NetID and RJcount0 were checked here; 0 for rejoin 1, which the Join Server checks */
    uint8_t forced;      /**< it ends the run of ljs_ns_force_rejoin() */
    int64_t wake_at;     /**< when to call ljs_ns_timer(); -1: no need */
} ljs_ns_route;

/** One rejoin-request, whole.  Rejoin 0 and 2: under SNwkSIntKey of the current context, RJcount0
 *  greater than the last, NetID ours; rejoin 2 only when asked for by ForceRejoinReq under this
 *  context.  Rejoin 1 is counted, and sent on.
 *  @return ::LJS_E_STATE for rejoin 0 or 2 without a current context of 1.1, and for rejoin 2 that
 *  was not asked for: drop it; ::LJS_E_HOME for another NetID; ::LJS_E_MIC; ::LJS_E_REPLAY;
 *  ::LJS_E_BUSY when there were too many within an hour; ::LJS_E_DEVICE for another
 *  DevEUI; ::LJS_E_FRAME for a join-request; what ljs_frame_parse() says */
LJS_MUST ljs_err ljs_ns_rejoin(ljs_ns_route *out, ljs_buf *out_state, ljs_vault *vault, int64_t now, const uint8_t *in,
                               size_t in_len, const uint8_t *state, size_t state_len);

/** A wish that the device rejoin soon: ForceRejoinReq, which has no answer but the rejoin-request.
 *  It goes with the next downlink, and again after a wait that doubles each time, until a
 *  rejoin-request 0 or 2 comes, a new context is in use, or the tries are spent. */
typedef struct ljs_ns_force {
    size_t struct_size;  /**< sizeof(ljs_ns_force) */
    uint8_t rejoin_type; /**< 0 or 2 */
    uint8_t period;      /**< 0..7, for the device: 32 s * 2^period and up to 32 s between its tries */
    uint8_t max_retries; /**< 0..7, for the device: its tries are one more */
    uint8_t data_rate;   /**< 0..15, for the device */
    uint8_t tries;       /**< how often the command is sent at most; 0 takes the wish back */
    int64_t wait;        /**< ms after the first; 0: as long as the device's own tries take */
} ljs_ns_force;
/** In place of any such wish before.  The downlink is due at once.
 *  @return ::LJS_E_STATE without a current context, ::LJS_E_MAC under 1.0, ::LJS_E_INVAL */
LJS_MUST ljs_err ljs_ns_force_rejoin(ljs_buf *out_state, ljs_vault *vault, const ljs_ns_force *force,
                                     const uint8_t *state, size_t state_len);

/** How often the device is to rejoin by itself: every 2^(max_time_n+10) seconds and every
 *  2^(max_count_n+4) uplinks at least.  RejoinParamSetupReq goes with the next downlink, and
 *  again after every uplink that does not answer it; and once more in each new context but that of
 *  a rejoin 2, since the device has forgotten it.
 *  @return ::LJS_E_STATE without a current context, ::LJS_E_MAC under 1.0, ::LJS_E_INVAL */
LJS_MUST ljs_err ljs_ns_rejoin_params(ljs_buf *out_state, ljs_vault *vault, uint8_t max_time_n, uint8_t max_count_n,
                                      const uint8_t *state, size_t state_len);

/** What ljs_ns_timer() found. */
typedef struct ljs_ns_woken {
    ljs_ns_state state; /**< after the step */
    uint8_t due;        /**< LJS_NS_DUE_...: a downlink, as soon as the device can hear */
    uint8_t spent;      /**< ForceRejoinReq was sent as often as wished, and no rejoin came: given up */
    int64_t wake_at;    /**< when to call again; -1: no need */
} ljs_ns_woken;
/** The time has come, or something has happened to the clock: calling it too early or for
 *  nothing changes nothing. */
LJS_MUST ljs_err ljs_ns_timer(ljs_ns_woken *out, ljs_buf *out_state, ljs_vault *vault, int64_t now,
                              const uint8_t *state, size_t state_len);

/* ---- reading ---------------------------------------------------------------- */

/** A context without its keys. */
typedef struct ljs_ns_context {
    uint8_t present;            /**< 0: all else is 0 */
    ljs_scheme scheme;          /**< by whose rules its keys were derived */
    uint16_t mac;               /**< MACVersion: 0x0104, 0x0110 */
    ljs_frame_kind kind;        /**< of the request that made it */
    ljs_devaddr dev_addr;       /**< as it stands in the join-accept */
    uint8_t session_key_id[16]; /**< zero where there is none */
    uint8_t minor;              /**< as RekeyConf says; 0 before RekeyInd, and under 1.0 */
    int64_t fcnt_up;            /**< of the last uplink accepted, -1 for none */
    uint64_t n_fcnt_down;       /**< of the next downlink without payload: NFCntDown; 2^32 when used up */
    uint64_t a_fcnt_down;       /**< of the next downlink with payload: AFCntDown; under 1.0 the same counter */
    int32_t rj_count0;          /**< last accepted, -1 for none */
    int64_t at;                 /**< `now` of its join-accept */
} ljs_ns_context;

/** A state's public half. */
typedef struct ljs_ns {
    size_t struct_size;     /**< sizeof(ljs_ns) */
    ljs_ns_opts opts;       /**< as given to ljs_ns_new() */
    ljs_ns_state state;     /**< where the machine stands */
    ljs_ns_context current; /**< in use */
    ljs_ns_context pending; /**< of a join-accept whose device was not heard under it */
    uint8_t due;            /**< LJS_NS_DUE_... */
    uint8_t force_left;     /**< how often ForceRejoinReq may still be sent */
    uint8_t rejoin2;        /**< rejoin 2 was asked for under the current context */
    uint8_t has_params;     /**< ljs_ns_rejoin_params() was called */
    uint8_t params_known;   /**< the device has answered them */
    uint8_t max_time_n;     /**< as asked for, 0..15 */
    uint8_t max_count_n;    /**< as asked for, 0..15 */
    uint8_t time_ok;        /**< the device's answer */
    int64_t wake_at;        /**< -1: no need */
} ljs_ns;
/** Needs no vault, checks no tag.  @return ::LJS_E_SEAL for octets that are no state, ::LJS_E_VERSION */
LJS_MUST ljs_err ljs_ns_read(ljs_ns *out, const uint8_t *state, size_t state_len);

#ifdef __cplusplus
}
#endif
#endif
