/** @file rekey.h
 *  Root-key rekey of a device over the air, lorajs-rekey-1, at the Join Server: pure steps over its record.
 *  EXPERIMENTAL, and off: the protocol is ours, no standard has one, and it awaits a second review.
 *
 *  No key is ever sent.  Both sides derive the new keys, from a rekey key that is used for nothing else
 *  (suite 1), with an ephemeral X25519 key on top (suite 2), or in the slots of an ATECC608 (suite 4), and from an
 *  epoch that only grows.  What commits is a join-request whose MIC verifies under the new key; answers of the device
 *  only tell early.  So the old keys and the new ones are both tried from the moment that a command is made until
 *  one of them has proven itself, and neither side is ever without a key that the other has.
 *
 *      state         has                  leaves it by
 *      STABLE        one set of keys      begin -> PENDING, or TRANSFER_OUT
 *      PENDING       both                 a join under the new -> COMMITTED; RekeyAns ok -> ACKED; abort -> ABORTING;
 *                                         RekeyAns too old -> STABLE
 *      ACKED         both                 likewise; with ::LJS_REKEY_COMPROMISED the old keys are refused
 *      ABORTING      both                 a join under the new -> COMMITTED; RekeyAns aborted, and then a join under
 *                                         the old -> STABLE; abort by force -> STABLE
 *      COMMITTED     the new, and the     a second join under the new, or RekeyAns -> STABLE;
 *                    old one unused       ::LJS_REKEY_ACT_REOPEN -> PENDING
 *      TRANSFER_OUT  both                 ::LJS_REKEY_ACT_RELEASE -> a tombstone; abort -> ABORTING
 *      RESYNC        one, and looks for   a join under keys that were found -> COMMITTED; ::LJS_REKEY_ACT_CLOSE, or
 *                    those of eight       begin after its end -> STABLE
 *                    epochs more
 *
 *  Whoever calls a step saves the new record before anything else is done with the result; server.h has each
 *  of them over a store.  When `out_record` comes back empty, nothing changed.  What the protocol leaves open is
 *  decided so:
 *   - an epoch is above that of the root keys and above any that a rekey, or a parcel, ever had: one that was given
 *     up is burnt;
 *   - the same JoinEUI: DevNonces count on.  Another: they begin anew, once, with the join that commits.  JoinNonce
 *     and RJcount1 of other JoinEUIs go on in any case;
 *   - a transfer may be given 4096 JoinNonces more at the old server; the new one begins above them;
 *   - keys that others had (ljs_device.exposed) are the device's alone again where suite 2 or 4 replaced all of them;
 *   - where the keys of before cannot be had back (::LJS_REKEY_COMPROMISED, suite 4), an abort is not forced; and of
 *     suite 4 the record is to be in two places before the command is sent (ljs_rekey_opts.kept);
 *   - a device that has moved (::LJS_DEVICE_MOVE) has its epochs from the other server: none begins here;
 *   - in place (suite 4) the KCV alone tells the new key from the old: an epoch where both have the same is passed
 * over.
 *
 *  Any thread; nothing is kept between calls. */
#ifndef LORAJS_REKEY_H
#define LORAJS_REKEY_H

#include <lorajs/device.h>
#include <lorajs/rekey_keys.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Where a rekey stands. */
typedef enum ljs_rekey_state {
    LJS_REKEY_STABLE = 0,       /**< there is none */
    LJS_REKEY_PENDING = 1,      /**< the command may be on its way */
    LJS_REKEY_ACKED = 2,        /**< the device said that it has the new keys */
    LJS_REKEY_ABORTING = 3,     /**< it was told to forget them */
    LJS_REKEY_COMMITTED = 4,    /**< it joined under them, once */
    LJS_REKEY_TRANSFER_OUT = 5, /**< the new keys are for another Join Server */
    LJS_REKEY_RESYNC = 6,       /**< the device may be ahead: keys of further epochs are tried (ljs_rekey_resync()) */
} ljs_rekey_state;
/** "pending"; "?" for a number that is none. */
LJS_API const char *ljs_rekey_state_text(ljs_rekey_state state);

/** What is to be done.  All zero but struct_size is a beginning. */
typedef struct ljs_rekey_opts {
    size_t struct_size;    /**< sizeof(ljs_rekey_opts) */
    ljs_rekey_suite suite; /**< 1, 2 or 4 */
    uint8_t flags; /**< ::LJS_REKEY_COMPROMISED, ::LJS_REKEY_REKEY_KEY, ::LJS_REKEY_APP_KEYS, which suite 4 implies */
    uint8_t experimental;     /**< 1: whoever calls knows that it is; else it is refused */
    uint8_t transfer;         /**< 1: join_eui is of another Join Server */
    uint8_t force;            /**< 1: also less than a day after the last one */
    uint8_t kept;             /**< 1: the store is replicated, or will be backed up before the command is sent; suites
                               *   2 and 4 want that, since their keys cannot be derived again */
    ljs_eui join_eui;         /**< to join under from then on; 0, or that of the newest session: it stays */
    int64_t now;              /**< Unix time in seconds */
    const ljs_key *ephemeral; /**< suite 2: 32 octets, random, for this one rekey */
    const ljs_key *parent;    /**< suite 4: slot 13, 32 octets */
    uint8_t serial[9];        /**< suite 4: the element's serial number */
} ljs_rekey_opts;

/** The beginning of a rekey: a command for the device.  The same again gives the same octets, and changes nothing.
 *  @param out  RekeyReq, at most ::LJS_REKEY_MAX octets
 *  @return ::LJS_E_STATE when another one is under way, or for a tombstone; ::LJS_E_MOVED; ::LJS_E_INVAL for what does
 * not go together, for more JoinEUIs than there is room for, and for another server's JoinEUI that is registered here;
 *  ::LJS_E_NOKEY without a rekey key (suites 1, 2) or X25519 key (suite 2); ::LJS_E_INSIDE for one that would keep a
 *  key which is in a token that gives none away; ::LJS_E_BUSY less than a day after
 *  the last; ::LJS_E_SPENT after 65535 of them */
LJS_MUST ljs_err ljs_rekey_begin(ljs_buf *out, ljs_buf *out_record, ljs_vault *vault, const ljs_rekey_opts *opts,
                                 const uint8_t *record, size_t record_len);
/** What the device answered.
 *  @return ::LJS_E_MIC; ::LJS_E_REPLAY for the answer to another rekey; ::LJS_E_STATE when there is none; what
 *  ljs_rekey_parse() says, and ::LJS_E_FRAME for a message of another kind */
LJS_MUST ljs_err ljs_rekey_answer(ljs_rekey_message *out, ljs_buf *out_record, ljs_vault *vault, const uint8_t *in,
                                  size_t in_len, const uint8_t *record, size_t record_len);
/** Give it up: a command for the device, which honours it as long as no join-request went out under the new keys.
 *  Until it has confirmed that, both sets of keys are tried.
 *  @param out    RekeyAbort; the same again gives the same octets
 *  @param force  1: the new keys are dropped at once, confirmed or not.  A device that has them goes back to the
 *                old by itself, after some joins; it takes no other rekey until it is told otherwise by hand
 *  @return ::LJS_E_STATE when there is none, and for one by force where the device would not go back */
LJS_MUST ljs_err ljs_rekey_abort(ljs_buf *out, ljs_buf *out_record, ljs_vault *vault, int force, const uint8_t *record,
                                 size_t record_len);

/** What an operator says. */
typedef enum ljs_rekey_act {
    LJS_REKEY_ACT_REOPEN = 1,  /**< COMMITTED by a MIC that was guessed, it may be: try both sets again */
    LJS_REKEY_ACT_RELEASE = 2, /**< TRANSFER_OUT: the other Join Server has the device; keys go, a tombstone stays */
    LJS_REKEY_ACT_CLOSE = 3,   /**< RESYNC: look no more */
} ljs_rekey_act;
/** @return ::LJS_E_STATE for an act that the state does not allow */
LJS_MUST ljs_err ljs_rekey_step(ljs_buf *out_record, ljs_vault *vault, ljs_rekey_act act, const uint8_t *record,
                                size_t record_len);

enum {
    LJS_RESYNC_EPOCHS = 8,      /**< that a window looks through */
    LJS_RESYNC_MAX = 7 * 86400, /**< seconds that one is open at most */
};

/** What a device may be ahead by.  All zero but struct_size, experimental, now and until is a beginning. */
typedef struct ljs_resync_opts {
    size_t struct_size; /**< sizeof(ljs_resync_opts) */
    ljs_rekey_suite
        suite;     /**< of the rekey that the record does not know of: 1 or 4.  Those of suite 2 are lost with it */
    uint8_t flags; /**< ::LJS_REKEY_REKEY_KEY, ::LJS_REKEY_APP_KEYS: what that replaced beside NwkKey, as its command
                      had it */
    uint8_t experimental;  /**< 1: whoever calls knows that it is; else it is refused */
    uint16_t first;        /**< of the ::LJS_RESYNC_EPOCHS epochs to try; 0: the one after the current */
    ljs_eui join_eui;      /**< that the device joins under by now; 0, or that of the newest session: it stayed */
    int64_t now;           /**< Unix time in seconds */
    int64_t until;         /**< when the window ends; at most ::LJS_RESYNC_MAX after now */
    const ljs_key *parent; /**< suite 4: slot 13, 32 octets */
    uint8_t serial[9];     /**< suite 4: the element's serial number */
} ljs_resync_opts;

/** Open a window in which a device may be found that is ahead of its record: one that a Join Server has from a backup,
 * or that kept the keys of a rekey which was given up by force.  A join-request under none of the keys that the record
 * has is then tried under those of eight epochs more, where ljs_join_req.resync allows it; the keys that it verifies
 * under are committed as those of any rekey are.  In a window that is open another one takes its place.
 *
 *  What is looked for is one rekey.  Where it replaced the rekey key (::LJS_REKEY_REKEY_KEY) too, a second one that was
 * lost with it is not found, since its keys come of a rekey key that is not here.
 *  @return ::LJS_E_STATE under a rekey, or for a tombstone; ::LJS_E_MOVED; ::LJS_E_INVAL for what does not go together,
 * for a time that is past or too far away, and for more JoinEUIs than there is room for; ::LJS_E_NOKEY without a rekey
 * key (suite 1); ::LJS_E_SPENT where no epoch is left */
LJS_MUST ljs_err ljs_rekey_resync(ljs_buf *out_record, ljs_vault *vault, const ljs_resync_opts *opts,
                                  const uint8_t *record, size_t record_len);

/** How a rekey stands.  There is no key in it. */
typedef struct ljs_rekey {
    size_t struct_size;      /**< sizeof(ljs_rekey) */
    ljs_rekey_state state;   /**< ::LJS_REKEY_STABLE: of the rest, floor and at alone */
    ljs_rekey_suite suite;   /**< of it */
    uint8_t flags;           /**< LJS_REKEY_..., of the command */
    uint8_t confirmed;       /**< ABORTING: the device said that it has forgotten the new keys */
    int32_t answer;          /**< the last ::ljs_rekey_status, -1 for none */
    uint16_t epoch;          /**< of the new keys; COMMITTED: of the old ones; RESYNC: the first that is tried */
    uint16_t floor;          /**< no epoch up to this one is used again */
    ljs_eui join_eui;        /**< of the new keys */
    uint32_t join_nonce_end; /**< TRANSFER_OUT: the first JoinNonce that is not given here any more; else 0 */
    int64_t at;              /**< when the last one began, Unix time in seconds */
    int64_t until;           /**< RESYNC: when the window ends; else 0 */
} ljs_rekey;
/** Read it; needs no vault, checks no tag.  @return ::LJS_E_SEAL for octets that are no record, ::LJS_E_VERSION */
LJS_MUST ljs_err ljs_rekey_read(ljs_rekey *out, const uint8_t *record, size_t record_len);

#ifdef __cplusplus
}
#endif
#endif
