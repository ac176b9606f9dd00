/** @file audit.h
 *  The audit log: what was done with keys, by whom and when, so that nobody who can write to the
 *  database can alter, reorder or leave out a line of it unseen.
 *
 *  A server that keeps the log (ljs_server_opts.audit) writes one link for each group of changes
 *  that it commits, in the same transaction: what the log says was done, and what was done is in
 *  the log.  Each link ends in a keyed tag over itself and the tag of the link before it: that is
 *  a chain.  No two writers share one, so none waits for another; a server has as many as there
 *  are threads that commit at once.  A chain begins with an entry ::LJS_AUDIT_BEGIN and, when its
 *  server is freed, ends with one ::LJS_AUDIT_END.
 *
 *  An entry about a device names the tags of its record before and after.  These lead from the
 *  first record of a device to its present one, whatever chains the entries stand in, so that a
 *  record that was put back, removed or changed by another hand is found.
 *
 *  Joins are entries; so are the acts of administration, with who did them as
 *  ljs_server_set_actor() says, and what tools add with ljs_server_note().  Requests that are
 *  refused before their MIC was seen to be good are counted in memory, and the counts written once
 *  a minute: forged requests cannot make the disk work.  An entry has no room for a key. */
#ifndef LORAJS_AUDIT_H
#define LORAJS_AUDIT_H

#include <lorajs/server.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What an entry tells; the numbers are on disk. */
typedef enum ljs_audit_kind {
    LJS_AUDIT_BEGIN = 1,  /**< of a chain; `who` writes it, `count` is the generation of the log */
    LJS_AUDIT_END = 2,    /**< of a chain: its server was freed */
    LJS_AUDIT_FOUND = 3,  /**< a record that was there when the log began: `after` */
    LJS_AUDIT_OFF = 4,    /**< from here on no log is kept */
    LJS_AUDIT_MISSED = 5, /**< `count` entries for which there was no room */

    LJS_AUDIT_JOIN = 16,      /**< a session by a join-request; `err` other than ::LJS_OK: refused with a good MIC */
    LJS_AUDIT_REJOIN = 17,    /**< likewise by a rejoin-request */
    LJS_AUDIT_APP_S_KEY = 18, /**< AppSKey went to `who` */
    LJS_AUDIT_REPEAT = 19,    /**< a session was answered again */
    LJS_AUDIT_REFUSED = 20,   /**< `count` requests of `who` were refused with `err` */
    LJS_AUDIT_ALARM = 21,     /**< an ::ljs_alarm, `text` says which: `nonce`, `net_id` and `who` are of the request */

    LJS_AUDIT_DEVICE_MAKE = 32,  /**< a device was made or brought up to date */
    LJS_AUDIT_DEVICE_LAND = 33,  /**< a device was received in a parcel */
    LJS_AUDIT_JOIN_EUI = 34,     /**< one more JoinEUI for a device */
    LJS_AUDIT_BLOCK = 35,        /**< ::LJS_DEVICE_BLOCK */
    LJS_AUDIT_UNBLOCK = 36,      /**< ::LJS_DEVICE_UNBLOCK */
    LJS_AUDIT_RESET_NONCES = 37, /**< ::LJS_DEVICE_RESET_NONCES */
    LJS_AUDIT_REMOVE = 38,       /**< ::LJS_DEVICE_REMOVE */
    LJS_AUDIT_EXPOSE = 39,       /**< ::LJS_DEVICE_EXPOSE: the root keys of a device leave */
    LJS_AUDIT_REWRAP = 40,       /**< a record or KEK was sealed under another version of the master key */
    LJS_AUDIT_RAISE = 41,        /**< a device's JoinNonce was raised, as after a restore */
    LJS_AUDIT_ROUTE = 42,        /**< where a device belongs was changed */
    LJS_AUDIT_REKEY = 43,        /**< a rekey began, was answered, given up, or decided by an operator */
    LJS_AUDIT_MOVE = 44,         /**< ::LJS_DEVICE_MOVE: another Join Server answers for a device */
    LJS_AUDIT_MOVE_BACK = 45,    /**< ::LJS_DEVICE_MOVE_BACK */
    LJS_AUDIT_KEK_PUT = 48,      /**< a KEK, `text` is its label, was added or replaced */
    LJS_AUDIT_KEK_REMOVE = 49,   /**< a KEK was removed */
    LJS_AUDIT_KEK_ROTATE = 50,   /**< another KEK is used in the place of this one */
    LJS_AUDIT_KEK_RETIRE = 51,   /**< a KEK was retired, or taken back */

    LJS_AUDIT_ENROL = 52,    /**< a device got an owner token */
    LJS_AUDIT_CLAIM = 53,    /**< an account, `text`, claimed a device, or said anew where it belongs */
    LJS_AUDIT_ASSIGN = 54,   /**< a device was assigned to an account */
    LJS_AUDIT_RELEASE = 55,  /**< an owner let a device go */
    LJS_AUDIT_OFFER = 56,    /**< an owner offered a device to an account */
    LJS_AUDIT_WITHDRAW = 57, /**< and took that back */
    LJS_AUDIT_ACCEPT = 58,   /**< an account took what it was offered */
    LJS_AUDIT_SUSPEND = 59,  /**< a device of an owner was blocked */
    LJS_AUDIT_RESUME = 60,   /**< and unblocked */
    LJS_AUDIT_RETIRE = 61,   /**< a device is nobody's for good */
    LJS_AUDIT_ACCOUNT = 62,  /**< an account was made, suspended, resumed or ended */
    LJS_AUDIT_CHIP = 63,     /**< a device was registered by a manifest, `text` is its chip's serial number */

    LJS_AUDIT_EXPORT = 64,   /**< devices were exported */
    LJS_AUDIT_RECEIVE = 65,  /**< devices were received */
    LJS_AUDIT_BACKUP = 66,   /**< the database was copied */
    LJS_AUDIT_RESTORE = 67,  /**< the database was put back from a copy */
    LJS_AUDIT_FORCED = 68,   /**< a check was overruled */
    LJS_AUDIT_MASTER = 69,   /**< the master key was moved, replaced or retired */
    LJS_AUDIT_ROLE = 70,     /**< who may do what was changed */
    LJS_AUDIT_DENIED = 71,   /**< somebody may not do what he asked for; `count` times, where it is not 0 */
    LJS_AUDIT_NOTE = 72,     /**< what `text` says */
    LJS_AUDIT_LOT_PUT = 73,  /**< the key of a lot, `text` is its label, was added */
    LJS_AUDIT_MANIFEST = 74, /**< `count` devices of a manifest were registered: ljs_server_note_manifest() */
} ljs_audit_kind;

/** "join", "device-make"; "?" for a number that is no kind. */
LJS_API const char *ljs_audit_kind_text(ljs_audit_kind kind);

/** One line of the log. */
typedef struct ljs_audit_entry {
    ljs_audit_kind kind;      /**< what happened */
    ljs_err err;              /**< ::LJS_OK, or why not */
    ljs_eui dev_eui;          /**< 0 for none */
    uint32_t join_nonce;      /**< of the session */
    uint32_t nonce;           /**< DevNonce, RJcount0 or RJcount1 */
    ljs_netid net_id;         /**< of the network that asked */
    uint32_t count;           /**< how many; 0 where there is nothing to count */
    char who[LJS_LABEL_MAX];  /**< the peer, or who acted; "" for nobody known */
    char text[LJS_LABEL_MAX]; /**< a label, or in words */
    uint8_t has_before;       /**< 1: before is set */
    uint8_t has_after;        /**< 1: after is set */
    uint8_t before[16];       /**< the tag of the device's record until then */
    uint8_t after[16];        /**< and from then on */
} ljs_audit_entry;

/** A link of a chain. */
typedef struct ljs_audit_link {
    uint64_t writer;    /**< the chain, a random number */
    uint64_t sequence;  /**< its place there, from 0 */
    int64_t at;         /**< Unix time in seconds, as the callers gave it; 0 when nobody did */
    unsigned entries;   /**< how many */
    uint8_t before[16]; /**< the tag of the link before; zero for the first */
    uint8_t tag[16];    /**< its own */
} ljs_audit_link;

/* ---- writing ---------------------------------------------------------------- */

/** Who acts from now on, and when: of all acts that have no time or peer of their own.  Threads that act for
 *  several people take turns.
 *  @param now  Unix time in seconds
 *  @param who  up to 127 octets of UTF-8 without control characters; NULL leaves it as it was
 *  @return ::LJS_E_INVAL */
LJS_MUST ljs_err ljs_server_set_actor(ljs_server *server, int64_t now, const char *who);
/** An entry of its own, for what tools do: durable when this returns.  Nothing is written where no log is kept.
 *  @param kind     ::LJS_AUDIT_EXPORT or one above it
 *  @param dev_eui  0 for none
 *  @param err      ::LJS_OK, or why it was not done
 *  @param text     up to 127 octets of UTF-8 without control characters; 32 hexadecimal digits in a row might be
 *                  a key, and are ::LJS_E_INVAL */
LJS_MUST ljs_err ljs_server_note(ljs_server *server, ljs_audit_kind kind, ljs_eui dev_eui, ljs_err err,
                                 const char *text);
/** Write what was counted, if a minute has passed since it was written last, or `now` is 0: call it every few
 *  seconds, and with 0 before the end. */
LJS_MUST ljs_err ljs_server_flush_audit(ljs_server *server, int64_t now);

/* ---- reading ---------------------------------------------------------------- */

/** A link that was found; what it returns, if not ::LJS_OK, ends the visit. */
typedef ljs_err ljs_audit_row(void *user, uint64_t writer, uint64_t sequence);
/** Each link, chain by chain and each chain from its first on; stops when `row` fails, with its result. */
LJS_MUST ljs_err ljs_server_each_link(ljs_server *server, ljs_audit_row *row, void *user);
/** Likewise from this link on, which need not be there: for who shows a page at a time, or goes on where he was.  What
 * is added to a chain that he has passed is not among it. */
LJS_MUST ljs_err ljs_server_each_link_from(ljs_server *server, uint64_t writer, uint64_t sequence, ljs_audit_row *row,
                                           void *user);
/** A link, its tag checked, for ljs_audit_link_read() and ljs_audit_link_entry().
 *  @return ::LJS_E_NOTFOUND, ::LJS_E_SEAL, ::LJS_E_VERSION */
LJS_MUST ljs_err ljs_server_get_link(ljs_buf *out, ljs_server *server, uint64_t writer, uint64_t sequence);
/** What stands at the head of a link; no tag is checked.
 *  @return ::LJS_E_SEAL for octets that are no link, ::LJS_E_VERSION */
LJS_MUST ljs_err ljs_audit_link_read(ljs_audit_link *out, const uint8_t *in, size_t in_len);
/** The i-th entry of a link.  @return ::LJS_E_NOTFOUND past the last */
LJS_MUST ljs_err ljs_audit_link_entry(ljs_audit_entry *out, unsigned i, const uint8_t *in, size_t in_len);

/** An entry of a link as one JSON object, as `lorajs audit show --json` prints it and GET /v1/audit has it, without a
 *  newline: what the entry says nothing of is left out. */
LJS_MUST ljs_err ljs_audit_entry_json(ljs_buf *out, const ljs_audit_link *link, const ljs_audit_entry *entry);

/* ---- verifying -------------------------------------------------------------- */

/** What is wrong with a log, or with a record that it tells of. */
typedef enum ljs_audit_fault {
    LJS_AUDIT_BAD_LINK = 1,       /**< a link is not as it was written, or stands in another's place */
    LJS_AUDIT_GAP = 2,            /**< links are missing before this one */
    LJS_AUDIT_BROKEN = 3,         /**< a link does not follow the one before it */
    LJS_AUDIT_CHAIN_END = 4,      /**< the chain goes on after its end */
    LJS_AUDIT_CUT_SHORT = 5,      /**< the anchor knows a link that is not there */
    LJS_AUDIT_FORKED = 6,         /**< the anchor knows another link in its place */
    LJS_AUDIT_WORD = 7,           /**< the store's word whether a log is kept is gone, or older than the log */
    LJS_AUDIT_RECORD_BAD = 8,     /**< a device's record is not as anybody wrote it */
    LJS_AUDIT_RECORD_OLD = 9,     /**< it is not the one that the log leads to */
    LJS_AUDIT_RECORD_GONE = 10,   /**< the log tells of a record, and there is none */
    LJS_AUDIT_RECORD_ALIEN = 11,  /**< there is a record that the log does not tell of */
    LJS_AUDIT_OWNED_MISSING = 12, /**< the index of what accounts own lacks a device: ljs_server_index_claims() */
    LJS_AUDIT_OWNED_STRAY = 13,   /**< or has one that is not the account's */
    LJS_AUDIT_RECORD_NEWER = 14,  /**< it says that a newer lorajs wrote it: whether that is so, this one cannot tell */
} ljs_audit_fault;

/** "cut-short"; "?" for a number that is none. */
LJS_API const char *ljs_audit_fault_name(ljs_audit_fault fault);
/** "the chain is cut short: ..."; "?" for a number that is none. */
LJS_API const char *ljs_audit_fault_text(ljs_audit_fault fault);

/** One fault and where it is. */
typedef struct ljs_audit_finding {
    ljs_audit_fault fault; /**< what is wrong */
    uint64_t writer;       /**< in which chain; 0 for a record */
    uint64_t sequence;     /**< at which link */
    ljs_eui dev_eui;       /**< of a record */
} ljs_audit_finding;

/** What was looked at. */
typedef struct ljs_audit_totals {
    uint64_t chains;     /**< of the log */
    uint64_t links;      /**< in them */
    uint64_t entries;    /**< in these */
    uint64_t devices;    /**< records compared with it */
    uint64_t findings;   /**< faults */
    uint32_t generation; /**< how often a log was begun here; 0: never */
    uint8_t kept;        /**< 1: a log is kept; 0: records are not compared */
} ljs_audit_totals;

typedef struct ljs_audit_report ljs_audit_report; /**< of ljs_server_verify_audit() */

/** Check every link, every chain, and every device's record against them, while others may go on to write.
 *  What is cut off the end of a chain, or a chain that is gone whole, is seen only with an anchor.
 *  @param in  the anchor: lines that ljs_server_heads() or ljs_audit_report_anchor() once gave, kept where the
 *             database's writers cannot reach them; NULL for none
 *  @return ::LJS_OK also when there are faults; ::LJS_E_INVAL for an anchor that is none, ::LJS_E_STORE */
LJS_MUST ljs_err ljs_server_verify_audit(ljs_audit_report **out, ljs_server *server, const uint8_t *in, size_t in_len);
/** NULL is taken. */
LJS_API void ljs_audit_report_free(ljs_audit_report *report);
/** How much was looked at, and found. */
LJS_MUST ljs_err ljs_audit_report_totals(ljs_audit_totals *out, const ljs_audit_report *report);
/** The i-th fault.  @return ::LJS_E_NOTFOUND past the last */
LJS_MUST ljs_err ljs_audit_report_finding(ljs_audit_finding *out, const ljs_audit_report *report, unsigned i);
/** The last link of every chain, as an anchor. */
LJS_MUST ljs_err ljs_audit_report_anchor(ljs_buf *out, const ljs_audit_report *report);
/** The last link of each chain that this server has written to, as lines of an anchor: writer, sequence and tag in
 *  hexadecimal, decimal and hexadecimal.  Empty when it has not written yet. */
LJS_MUST ljs_err ljs_server_heads(ljs_buf *out, ljs_server *server);

#ifdef __cplusplus
}
#endif
#endif
