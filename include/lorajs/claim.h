/** @file claim.h
 *  Who owns a device: accounts, owner tokens, and how a device goes from one owner to the next.
 *
 *  An account is a name; credentials (roles.h) act for it.  A device has an owner when an account has
 *  claimed it with the owner token of its label, when a provisioner has assigned it, or when the owner before has
 *  offered it and it was accepted.  The owner says which network and which application server the device belongs to.
 *
 *  A claim is a value of its own beside the device's record, changed by ljs_server_claim() alone; what it changes in
 *  the record (home network, AS-ID, KEK labels, blocked) is written in the same transaction, and the audit log says
 *  so in the same one too.  Root keys, nonces and sessions stay as they are: who had exported keys still has them,
 *  so new root keys are wise after a change of hands.
 *
 *  An owner token is kept as a keyed hash over DevEUI and token, under a key that lasts through changes of the master
 *  key: the disk tells nobody a token, however short.  It is looked for by its DevEUI alone.  Unknown DevEUI, wrong
 *  token and a device of somebody else are one refusal, ::LJS_E_CLAIM, after the same work.
 *
 *  Where the device's chip is kept (chip.h) a claim by a token may have its proof, and must where that is required: a
 *  proof that is wrong, missing or for a device without a chip is the same refusal, too.  So it is with accepting an
 *  offer.
 *
 *  With another owner the sessions that the device has lose their names: they go on, and no AppSKey of them is given
 *  out any more.
 *
 *  Tries are limited before anything is hashed, by buckets that fill again:
 *   - of a client: ::LJS_CLAIM_CLIENT_TRIES failed tries, then one in ::LJS_CLAIM_CLIENT_SECONDS;
 *   - of a client at one device: ::LJS_CLAIM_DEVICE_TRIES, then one in ::LJS_CLAIM_DEVICE_SECONDS;
 *   - of all clients together, but for those whose account has claimed by a token before: ::LJS_CLAIM_NEW_TRIES at one
 *     device in as slow a turn, and ::LJS_CLAIM_ALL_TRIES at all devices, then one in ::LJS_CLAIM_ALL_SECONDS.
 *  The client's own bucket comes first, and what it refuses takes nothing from the others: one client can lock out
 *  nobody but himself.  A success gives back what it took, and forgets what failed at that device.  Buckets are in
 *  memory, one set for each server: failed tries are counted in the audit log once a minute, never written one by one.
 *
 *  Any thread may call all of this. */
#ifndef LORAJS_CLAIM_H
#define LORAJS_CLAIM_H

#include <lorajs/roles.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- accounts --------------------------------------------------------------- */

/** Somebody who may own devices. */
typedef struct ljs_account {
    size_t struct_size;         /**< sizeof(ljs_account) */
    char name[LJS_ACCOUNT_MAX]; /**< 1 to 63 letters, digits, dots and hyphens; no dot first */
    int64_t at;                 /**< since when, Unix time in seconds */
    uint8_t suspended;          /**< 1: it may not act; what it owns it keeps */
    uint8_t proven;             /**< 1: it has claimed a device by a token; set by ljs_server_claim() */
} ljs_account;

/** Make one.  @return ::LJS_E_EXISTS, ::LJS_E_INVAL; ::LJS_E_NOMEM, and none was made */
LJS_MUST ljs_err ljs_server_add_account(ljs_server *server, const ljs_account *account);
/** @return ::LJS_E_NOTFOUND, ::LJS_E_INVAL */
LJS_MUST ljs_err ljs_server_get_account(ljs_account *out, ljs_server *server, const char *name);
/** It may not act from now on, or may again.
 *  @param suspended  0 ends it
 *  @return ::LJS_E_NOTFOUND */
LJS_MUST ljs_err ljs_server_suspend_account(ljs_server *server, const char *name, int suspended);
/** The end of one that owns nothing and has neither credentials nor KEKs, else ::LJS_E_STATE.  What is offered to it is
 *  withdrawn before.  @return ::LJS_E_NOTFOUND */
LJS_MUST ljs_err ljs_server_del_account(ljs_server *server, const char *name);
/** An account that was found; what it returns, if not ::LJS_OK, ends the visit. */
typedef ljs_err ljs_account_row(void *user, const ljs_account *account);
/** Each, names rising; stops when `row` fails, with its result. */
LJS_MUST ljs_err ljs_server_each_account(ljs_server *server, ljs_account_row *row, void *user);

/** The name under which ljs_server_put_kek() keeps a KEK of an account: "@ACCOUNT/LABEL".  Two accounts may have KEKs
 *  of one label; envelopes name it as the account does, without what stands before it.
 *  @param out    text without a NUL
 *  @return ::LJS_E_INVAL for an account or label that is none, or too long together */
LJS_MUST ljs_err ljs_account_kek(ljs_buf *out, const char *account, const char *label);

/* ---- claims ----------------------------------------------------------------- */

/** How a device stands; the numbers are on disk. */
typedef enum ljs_claim_state {
    LJS_CLAIM_IS_PROVISIONED = 0, /**< nobody's, and no token makes it anybody's */
    LJS_CLAIM_IS_UNCLAIMED = 1,   /**< nobody's, and has an owner token */
    LJS_CLAIM_IS_CLAIMED = 2,     /**< an account's */
    LJS_CLAIM_IS_OFFERED = 3,     /**< an account's, and offered to another */
    LJS_CLAIM_IS_SUSPENDED = 4,   /**< an account's, and blocked */
    LJS_CLAIM_IS_RETIRED = 5,     /**< nobody's for good, until it is enrolled again */
} ljs_claim_state;

/** What can be done; the states that allow it stand behind. */
typedef enum ljs_claim_act {
    LJS_CLAIM_ENROL = 1,    /**< gets an owner token, in place of the one before: PROVISIONED, UNCLAIMED, RETIRED */
    LJS_CLAIM_CLAIM = 2,    /**< by the token: UNCLAIMED; of one's own device, an update without a token: CLAIMED,
                             *   OFFERED; of another's that is not locked and whose token survived: CLAIMED */
    LJS_CLAIM_ASSIGN = 3,   /**< by a provisioner, without a token: PROVISIONED, UNCLAIMED */
    LJS_CLAIM_RELEASE = 4,  /**< by the owner: CLAIMED, OFFERED; UNCLAIMED again if the token survived */
    LJS_CLAIM_OFFER = 5,    /**< by the owner, to an account, until a time: CLAIMED, OFFERED */
    LJS_CLAIM_WITHDRAW = 6, /**< by the owner: OFFERED */
    LJS_CLAIM_ACCEPT = 7,   /**< by whom it was offered to: OFFERED.  All of the owner before stops at once */
    LJS_CLAIM_SUSPEND = 8,  /**< by an operator: CLAIMED, OFFERED.  The device is blocked, the owner stays */
    LJS_CLAIM_RESUME = 9,   /**< the end of that */
    LJS_CLAIM_RETIRE = 10,  /**< by a provisioner: all but RETIRED */
} ljs_claim_act;

/** Numbers of claims. */
enum {
    LJS_CLAIM_STATES = 6,
    LJS_CLAIM_ACTS = 10,
    LJS_CLAIM_OFFER_MOST = 7 * 24 * 3600, /**< seconds that an offer may last */
    LJS_CLAIM_TOKEN_LEAST = 8,            /**< characters of a token: A to Z and 0 to 9 */
    LJS_CLAIM_TOKEN_MOST = 32,            /**< likewise */
    LJS_CLAIM_CLIENT_TRIES = 100,         /**< failed tries of a client at once */
    LJS_CLAIM_CLIENT_SECONDS = 60,        /**< for one more of them */
    LJS_CLAIM_DEVICE_TRIES = 5,           /**< of a client at one device */
    LJS_CLAIM_NEW_TRIES = 20,             /**< of all newcomers at one device */
    LJS_CLAIM_DEVICE_SECONDS = 3600,      /**< for one more of either at a device */
    LJS_CLAIM_ALL_TRIES = 1000,           /**< of all newcomers everywhere */
    LJS_CLAIM_ALL_SECONDS = 6,            /**< for one more of them */
    LJS_CHIP_CHALLENGE_LEN = 32,          /**< octets of a challenge for a chip */
    LJS_CHIP_SIGNATURE_LEN = 64,          /**< octets of what it makes of it */
    LJS_CHIP_CHALLENGE_SECONDS = 600,     /**< how long a challenge is good */
};

/** "claimed"; "?" for a number that is none. */
LJS_API const char *ljs_claim_state_text(ljs_claim_state state);
/** "assign"; "?" for a number that is none. */
LJS_API const char *ljs_claim_act_text(ljs_claim_act act);

/** What is remembered of who owns a device.  It has no room for a token. */
typedef struct ljs_claim {
    size_t struct_size;               /**< sizeof(ljs_claim) */
    ljs_eui dev_eui;                  /**< whose */
    ljs_claim_state state;            /**< how it stands */
    uint32_t owners;                  /**< how many owners it has had */
    int64_t at;                       /**< since when it stands so, Unix time in seconds */
    char account[LJS_ACCOUNT_MAX];    /**< the owner; "" for none */
    char offered_to[LJS_ACCOUNT_MAX]; /**< "" for nobody */
    int64_t offer_until;              /**< when the offer ends; 0 without one */
    int64_t valid_from;               /**< from when on the token is good; 0: at once */
    int64_t valid_until;              /**< until when; 0: for ever */
    uint8_t has_token;                /**< 1: there is a token that could claim it once it is unclaimed */
    uint8_t locked;                   /**< 1: nobody takes it from its owner, whatever token he has */
} ljs_claim;

/** What is asked for. */
typedef struct ljs_claim_req {
    size_t struct_size;            /**< sizeof(ljs_claim_req) */
    int64_t now;                   /**< Unix time in seconds */
    ljs_claim_act act;             /**< what is to be done */
    ljs_eui dev_eui;               /**< with which device */
    char client[LJS_ACCOUNT_MAX];  /**< who asks, for the limits: the credential's name; "" counts as one client */
    char account[LJS_ACCOUNT_MAX]; /**< for whom: the claimer, the owner, who accepts, or whom it is assigned to */
    char to[LJS_ACCOUNT_MAX];      /**< ::LJS_CLAIM_OFFER: to whom */
    int64_t start;                 /**< ::LJS_CLAIM_ENROL: from when on the token is good; 0: at once */
    int64_t until;                 /**< until when the token is good, 0: for ever; or the offer */
    uint8_t unlocked;              /**< ::LJS_CLAIM_CLAIM: whoever else has the token may take it over */
    uint8_t keep_token;            /**< ::LJS_CLAIM_CLAIM: the token survives a release */
    uint8_t dry;                   /**< 1: all is checked, and nothing changed; a token that is shown counts as a try */
    uint8_t tell;                  /**< which refusal it is: ::LJS_E_NOTFOUND for a device that is not there,
                                    *   ::LJS_E_EXISTS for one of somebody else, ::LJS_E_CLAIM for a wrong token */
    /** ::LJS_CLAIM_CLAIM, ::LJS_CLAIM_ASSIGN, ::LJS_CLAIM_ACCEPT: where it belongs.  With another owner, what `set`
     *  does not name is emptied.  KEK labels are the account's own, see ljs_account_kek().  Who claims or accepts
     *  names the home network. */
    ljs_routing routing;
    uint8_t has_chip;                          /**< ::LJS_CLAIM_CLAIM, ::LJS_CLAIM_ACCEPT: 1: the chip says that it is
                                                    this one (chip.h); of another act ::LJS_E_INVAL */
    uint8_t challenge[LJS_CHIP_CHALLENGE_LEN]; /**< that it was given by ljs_server_challenge() */
    uint8_t signature[LJS_CHIP_SIGNATURE_LEN]; /**< and what it made of it: r and s, the highest octets first */
} ljs_claim_req;

/** One act, durable and in the audit log when this returns.
 *  @param out  ::LJS_CLAIM_ENROL: the token, text without a NUL, which nobody can tell a second time; else empty
 *  @param in   the token: of ::LJS_CLAIM_CLAIM; of ::LJS_CLAIM_ENROL the one that is on the label already, or NULL for
 *              one of 80 random bits
 *  @return ::LJS_E_CLAIM for a device that is not there or is another's, and for a wrong token; ::LJS_E_LIMIT;
 *  ::LJS_E_STATE when the state does not allow it, or an offer is over; ::LJS_E_NOTFOUND for an account that is not
 *  there; ::LJS_E_BLOCKED for one that is suspended; ::LJS_E_WEAK for a token that is too short; ::LJS_E_INVAL */
LJS_MUST ljs_err ljs_server_claim(ljs_buf *out, ljs_server *server, const ljs_claim_req *req, const uint8_t *in,
                                  size_t in_len);
/** How a device stands; one that nothing is remembered of is PROVISIONED.
 *  @return ::LJS_E_NOTFOUND for a device that is not there, ::LJS_E_SEAL */
LJS_MUST ljs_err ljs_server_get_claim(ljs_claim *out, ljs_server *server, ljs_eui dev_eui);
/** A claim that was found; what it returns, if not ::LJS_OK, ends the visit. */
typedef ljs_err ljs_claim_row(void *user, const ljs_claim *claim);
/** Each from `first` to `last` of which something is remembered, DevEUIs rising; stops when `row` fails, with its
 *  result. */
LJS_MUST ljs_err ljs_server_each_claim_in(ljs_server *server, ljs_eui first, ljs_eui last, ljs_claim_row *row,
                                          void *user);
/** Likewise those of the devices that an account owns or is offered, and at their cost, whatever else there is: by an
 *  index that goes with each claim.  In a store that was made without one this makes it first, which takes a look at
 *  every claim once; an account that is not there has none.  @return ::LJS_E_INVAL for what no account can be named */
LJS_MUST ljs_err ljs_server_each_claim_of(ljs_server *server, const char *account, ljs_eui first, ljs_eui last,
                                          ljs_claim_row *row, void *user);

/** What that index was found to be. */
typedef struct ljs_claim_index {
    size_t struct_size; /**< sizeof(ljs_claim_index) */
    uint64_t entries;   /**< that are as the claims say */
    uint64_t missing;   /**< that were not there */
    uint64_t stray;     /**< that no claim asks for */
} ljs_claim_index;

/** Compare the index with every claim, and mend it, while others go on; `lorajs audit verify` tells whether it needs
 *  that.
 *  @param dry  1: nothing is changed */
LJS_MUST ljs_err ljs_server_index_claims(ljs_claim_index *out, ljs_server *server, int dry);

#ifdef __cplusplus
}
#endif
#endif
