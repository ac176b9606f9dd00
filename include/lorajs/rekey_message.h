/** @file rekey_message.h
 *  The messages of lorajs-rekey-1, by which a device and its Join Server replace root keys over the
 *  air.  EXPERIMENTAL: the protocol is ours, no standard has one, and it awaits a second review.
 *
 *  They are the payload of a data frame, on ::LJS_REKEY_FPORT unless both sides agree on another port, or
 *  the same octets over any cable.  Nothing in them is secret; but the authorising MAC of suite 4 lets
 *  whoever reaches the element over its wires put its keys out of use.  Numbers are little-endian.
 *
 *      RekeyReq    01 | suite << 4 | flags | epoch(2) | [JoinEUI(8)] | [data] | KCV of the new NwkKey(3) | MIC(4)
 *      RekeyAns    02 | status | epoch(2) | MIC(4)
 *      RekeyAbort  03 | 00 | epoch(2) | MIC(4)
 *
 *  A MIC is the beginning of aes128_cmac(key, 52 | DevEUI | all before it).  The octet 52 keeps it apart
 *  from every MIC that LoRaWAN makes.  RekeyReq and RekeyAbort are under RekeyIntKey, a RekeyAns under the
 *  new NwkKey where its status is ::LJS_REKEY_OK or ::LJS_REKEY_AGAIN, else under RekeyIntKey.  Suite 4 has no
 *  RekeyIntKey: there it is the NwkKey of before. */
#ifndef LORAJS_REKEY_MESSAGE_H
#define LORAJS_REKEY_MESSAGE_H

#include <lorajs/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LJS_REKEY_FPORT = 210,   /**< 200 to 203 are taken by TS003 to TS006 */
    LJS_REKEY_DATA_MAX = 33, /**< octets of suite data */
    LJS_REKEY_MAX = 52,      /**< octets of a message */
};

/** How the new keys come about. */
typedef enum ljs_rekey_suite {
    LJS_REKEY_SUITE_1 = 1, /**< from the rekey key alone: who knows that follows */
    LJS_REKEY_SUITE_2 = 2, /**< X25519, an ephemeral key to the device's own; data: the ephemeral public key, 32 */
    LJS_REKEY_SUITE_3 = 3, /**< P-256 likewise; data: 33 octets.  Read and written here, and not carried out */
    LJS_REKEY_SUITE_4 = 4, /**< DeriveKey of an ATECC608, in place; data: its authorising MAC, 32 */
} ljs_rekey_suite;

/** Flags of a RekeyReq. */
enum {
    LJS_REKEY_COMPROMISED = 1, /**< C: the keys of before are known to others: the device does not go back to them */
    LJS_REKEY_REKEY_KEY = 2,   /**< R: the rekey key is replaced, too */
    LJS_REKEY_APP_KEYS = 4,    /**< A: AppKey and GenAppKey, too */
    LJS_REKEY_JOIN_EUI = 8,    /**< J: the device joins under another JoinEUI from then on */
};

/** Which message. */
typedef enum ljs_rekey_kind {
    LJS_REKEY_NO_MESSAGE = 0, /**< none */
    LJS_REKEY_REQ = 1,        /**< from the Join Server */
    LJS_REKEY_ANS = 2,        /**< from the device */
    LJS_REKEY_ABORT = 3,      /**< from the Join Server */
} ljs_rekey_kind;

/** What a device says. */
typedef enum ljs_rekey_status {
    LJS_REKEY_OK = 0,         /**< the new keys are ready */
    LJS_REKEY_AGAIN = 1,      /**< they were already; to an abort: too late, a join-request went out under them */
    LJS_REKEY_TOO_OLD = 2,    /**< the epoch is not above the device's, which the answer has in its place */
    LJS_REKEY_NO_SUITE = 3,   /**< a suite it does not have, or flags that do not go with it */
    LJS_REKEY_KCV = 4,        /**< what it derived is not what was meant */
    LJS_REKEY_ELEMENT = 5,    /**< its secure element failed */
    LJS_REKEY_ABORTED = 6,    /**< the new keys are gone, and this epoch is never taken any more */
    LJS_REKEY_UNSETTLED = 7,  /**< the last rekey is not settled yet; the answer has its epoch */
    LJS_REKEY_STATUS_END = 8, /**< none of them */
} ljs_rekey_status;

/** A message; what its kind does not have is zero. */
typedef struct ljs_rekey_message {
    ljs_rekey_kind kind;              /**< which */
    uint8_t suite;                    /**< REQ: an ::ljs_rekey_suite, or one that is not known here, 0..15 */
    uint8_t flags;                    /**< REQ: LJS_REKEY_..., 0..15 */
    uint8_t status;                   /**< ANS: an ::ljs_rekey_status */
    uint16_t epoch;                   /**< of the new keys; see ::LJS_REKEY_TOO_OLD, ::LJS_REKEY_UNSETTLED */
    ljs_eui join_eui;                 /**< REQ with ::LJS_REKEY_JOIN_EUI */
    uint8_t data[LJS_REKEY_DATA_MAX]; /**< REQ: of the suite */
    size_t data_len;                  /**< 0, 32 or 33 as the suite has it; 0..33 for one that is not known */
    uint8_t kcv[3];                   /**< REQ: the beginning of aes128_cmac(new NwkKey, 00...00) */
    uint8_t mic[4];                   /**< the last four octets */
} ljs_rekey_message;

/** Read a message; its MIC is not checked.
 *  @return ::LJS_E_SIZE for too few octets or too many, ::LJS_E_FRAME for another kind or status, and for an
 *  RFU octet that is not zero */
LJS_MUST ljs_err ljs_rekey_parse(ljs_rekey_message *out, const uint8_t *in, size_t in_len);
/** Write one, with the MIC that it has.  @return ::LJS_E_INVAL for a field out of its range */
LJS_MUST ljs_err ljs_rekey_build(ljs_buf *out, const ljs_rekey_message *message);
/** "ok", "kcv"; "?" for a number that is none. */
LJS_API const char *ljs_rekey_status_text(ljs_rekey_status status);

#ifdef __cplusplus
}
#endif
#endif
