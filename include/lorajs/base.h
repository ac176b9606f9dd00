/** @file base.h
 *  What every other header stands on: exports, version, errors, identifiers,
 *  owned bytes.
 *
 *  Conventions of the whole API:
 *   - a function that can fail returns ::ljs_err; its results come first, are
 *     emptied first, and are filled only when it returns ::LJS_OK (where a
 *     function differs, it says so);
 *   - `T **out` is yours: give it back with `ljs_T_free(T *)`, which takes NULL;
 *     `ljs_buf *out` is yours: ljs_buf_free() wipes and frees it.  All other
 *     pointers are borrowed for the call;
 *   - `in, in_len` are bytes and their number; a `const char *` is UTF-8 and
 *     ends in NUL;
 *   - handles may be used from any thread at once; free one when no call that
 *     was given it is running.  After fork(), every handle of the parent answers
 *     ::LJS_E_STATE in the child.  A child that returns from a callback into the
 *     call it was forked in waits for no lock there, and a message has no answer;
 *     of what another call says to it nothing is to be used;
 *   - a struct that may grow begins with `struct_size`, which the caller sets to
 *     its sizeof. */
#ifndef LORAJS_BASE_H
#define LORAJS_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifndef LJS_API
#if defined(__GNUC__)
#define LJS_API __attribute__((visibility("default")))
#else
#define LJS_API
#endif
#endif

/** The result must be looked at: every call that can fail. */
#ifndef LJS_MUST
#if defined(__GNUC__)
#define LJS_MUST LJS_API __attribute__((warn_unused_result))
#else
#define LJS_MUST LJS_API
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** ::LJS_OK, or what went wrong.  -1..-99 are faults (ours, the machine's or the
 *  caller's); -101..-199 are refusals (the peer's or the device's), and each has
 *  a result code of [TS002 §23.5], see ljs_result_code(). */
typedef enum ljs_err {
    LJS_OK = 0,            /**< no error */
    LJS_E_INVAL = -1,      /**< argument out of its documented range */
    LJS_E_NOMEM = -2,      /**< no memory, or no locked memory */
    LJS_E_CRYPTO = -3,     /**< libgcrypt or libsodium refused */
    LJS_E_STORE = -4,      /**< the store failed; what became of the change is unknown */
    LJS_E_CONFLICT = -5,   /**< somebody else wrote this record first; nothing changed */
    LJS_E_NOTFOUND = -6,   /**< no such record */
    LJS_E_SEAL = -7,       /**< wrong master key, or a record tampered with */
    LJS_E_VERSION = -8,    /**< a record written by a newer lorajs */
    LJS_E_STATE = -9,      /**< handle used after fork(), or out of order */
    LJS_E_EXISTS = -10,    /**< there is such a record already */
    LJS_E_WEAK = -11,      /**< a key so regular that it is no secret */
    LJS_E_MISSING = -12,   /**< a backend that this build does not have */
    LJS_E_TOKEN = -13,     /**< the token is gone, or failed */
    LJS_E_PIN = -14,       /**< the token refused the PIN */
    LJS_E_INSIDE = -15,    /**< the key is in a token, which does not give it away */
    LJS_E_LOT = -16,       /**< the key of the device's lot is not here, or does not open */
    LJS_E_MESSAGE = -101,  /**< not a Backend Interfaces message, or a member out of its range */
    LJS_E_FRAME = -102,    /**< PHYPayload of wrong type, or not the device the message names */
    LJS_E_SIZE = -103,     /**< PHYPayload of wrong size */
    LJS_E_MIC = -104,      /**< message integrity code does not match */
    LJS_E_REPLAY = -105,   /**< nonce or counter already used */
    LJS_E_DEVICE = -106,   /**< DevEUI unknown */
    LJS_E_BLOCKED = -107,  /**< device blocked by an operator */
    LJS_E_HOME = -108,     /**< another network is the device's home */
    LJS_E_JOINEUI = -109,  /**< device not registered under this JoinEUI */
    LJS_E_PROTOCOL = -110, /**< ProtocolVersion neither 1.0 nor 1.1 */
    LJS_E_SENDER = -111,   /**< sender unknown, or not whom the transport vouches for */
    LJS_E_RECEIVER = -112, /**< addressed to somebody else */
    LJS_E_KEK = -113,      /**< no key to wrap with, and clear keys not allowed */
    LJS_E_MAC = -114,      /**< MACVersion, OptNeg and the device's version do not go together */
    LJS_E_NOKEY = -115,    /**< the device has not the root key that this version needs */
    LJS_E_SPENT = -116,    /**< JoinNonce used up: no session can be made any more */
    LJS_E_SESSION = -117,  /**< no session of this SessionKeyID */
    LJS_E_ROAMING = -118,  /**< sender may not ask for this device's home network */
    LJS_E_BUSY = -119,     /**< temporarily refused: come again later */
    LJS_E_CLAIM = -120,    /**< no such device, another's, or a wrong owner token: not told which */
    LJS_E_LIMIT = -121,    /**< too many failed tries: come again later */
    LJS_E_MOVED = -122,    /**< the device has moved to another Join Server */
} ljs_err;

LJS_API const char *ljs_errname(ljs_err err);  /**< "MIC"; "?" for a number that is no ::ljs_err */
LJS_API const char *ljs_strerror(ljs_err err); /**< "message integrity code does not match" */
/** What an operator can do about it, a sentence: "import the device, or check the DevEUI". */
LJS_API const char *ljs_remedy(ljs_err err);
/** The ResultCode of [TS002 §23.5]: "MICFailed".  Faults are "Other".
 *  @param protocol  the peer's ProtocolVersion, 10 or 11: 1.0 knows fewer codes */
LJS_API const char *ljs_result_code(ljs_err err, int protocol);
/** The other way, for who reads answers: both spellings and both versions of each
 *  code are known.  ::LJS_OK for "Success"; codes that a Join Server does not send
 *  are ::LJS_E_MESSAGE.  A code that stands for several errors is read as one of the
 *  refusals it stands for: JoinReqFailed as ::LJS_E_REPLAY, ActivationDisallowed as
 *  ::LJS_E_BLOCKED, Other as ::LJS_E_SESSION. */
LJS_API ljs_err ljs_result_err(const char *result_code);

/* Identifiers are integers here, little-endian only on the wire (air/) and
 * big-endian hex only in text (codec/). */
typedef uint64_t ljs_eui;     /**< DevEUI, JoinEUI, NSID */
typedef uint32_t ljs_devaddr; /**< DevAddr */
typedef uint32_t ljs_netid;   /**< 24 bits */

/** Bytes the caller owns. */
typedef struct ljs_buf {
    uint8_t *data; /**< NULL when empty */
    size_t len;    /**< octets */
} ljs_buf;

/** Wipe, free and empty; NULL is taken. */
LJS_API void ljs_buf_free(ljs_buf *buf);
/** A copy that ljs_buf_free() frees, for who writes a store (backend.h). */
LJS_MUST ljs_err ljs_buf_copy(ljs_buf *out, const uint8_t *in, size_t in_len);

/** "0.1.0": the library's version. */
LJS_API const char *ljs_version(void);

#ifdef __cplusplus
}
#endif
#endif
