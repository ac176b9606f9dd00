/** @file manifest.h
 *  Manifests of secure elements: what a maker of chips says of those it delivered, signed entry by entry.
 *
 *  A manifest is a JSON array of JWS [RFC 7515 §7.2.2], one for each chip; Microchip's of versions 1, 2
 *  ("light") and 3 are read.  An entry says which chip it is (uniqueId), and of a LoRaWAN part which DevEUI
 *  and JoinEUI are in it; but for light ones it has the chip's public key, and the certificates for that.
 *  **It has no root key**, and none can be had from it: AppKey and NwkKey of such a chip are with the Join
 *  Server that it was made for.
 *
 *  Each entry is believed or refused for itself, and a refused one has its reason.  Believed is what
 *   - is strict JSON and strict base64url, of at most ::LJS_MANIFEST_ENTRY_MAX octets and 16 levels;
 *   - is signed with ES256, and nothing else, by a signer who is trusted: named by key identifier (kid) and
 *     by the hash of the certificate (x5t#S256).  Microchip's log signers as of 2023 are known here,
 *     ljs_manifest_trust_signer() adds others.  An entry's dates are not compared with its signer's: chips
 *     were made before the certificate of who signed for them began;
 *   - has a device certificate for its public key and its uniqueId, by a signer's certificate, by a root that
 *     is trusted: Microchip's, and those of ljs_manifest_trust_root();
 *   - says one thing: the uniqueIds of header, payload and certificate are equal, and so are the DevEUIs of
 *     the certificate's two places;
 *   - is the first of its uniqueId and of its DevEUI that was believed.
 *
 *  A manifest may be of any length: entries come out as octets are fed, and what stays in memory is one
 *  entry, and some 40 octets for each that was believed, to know it again.
 *
 *      ljs_manifest_new(&manifest);
 *      while (more octets) {
 *          size_t at = 0;
 *          while (!(err = ljs_manifest_next(&entry, &at, manifest, octets, octets_len)))
 *              ...;
 *          if (err != LJS_E_NOTFOUND)
 *              break;
 *      }
 *      err = ljs_manifest_end(manifest);
 *
 *  One thread at a time for one manifest. */
#ifndef LORAJS_MANIFEST_H
#define LORAJS_MANIFEST_H

#include <lorajs/keys.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ljs_manifest ljs_manifest; /**< one that is being read */

enum {
    LJS_MANIFEST_ENTRY_MAX = 64 * 1024, /**< octets of an entry */
    LJS_MANIFEST_TRUST_MAX = 16,        /**< signers, roots and JoinEUIs that can be added, of each kind */
    LJS_MANIFEST_TEXT_MAX = 48,         /**< of an entry's texts, with their NUL */
};

/** What became of an entry.  The numbers stay what they are. */
typedef enum ljs_manifest_verdict {
    LJS_MANIFEST_GOOD = 0,               /**< believed */
    LJS_MANIFEST_TOO_LONG = 1,           /**< more than ::LJS_MANIFEST_ENTRY_MAX octets */
    LJS_MANIFEST_NOT_JSON = 2,           /**< no JSON object, or not strictly; `detail` says more */
    LJS_MANIFEST_NOT_JWS = 3,            /**< a member is missing, of another type, or not base64url */
    LJS_MANIFEST_UNSIGNED_HEADER = 4,    /**< the unprotected header says what only the signed one may */
    LJS_MANIFEST_NOT_ES256 = 5,          /**< alg is another than ES256 */
    LJS_MANIFEST_CRITICAL = 6,           /**< crit asks for what is not understood */
    LJS_MANIFEST_SIGNER = 7,             /**< kid names nobody who is trusted */
    LJS_MANIFEST_SIGNER_CERTIFICATE = 8, /**< x5t#S256 is missing, or is not that signer's */
    LJS_MANIFEST_SIGNATURE = 9,          /**< not 64 octets, or not the signer's for this entry */
    LJS_MANIFEST_PAYLOAD = 10,           /**< signed, and no strict JSON, or a member is missing or out of range */
    LJS_MANIFEST_VERSION = 11,           /**< neither 1, 2 nor 3 */
    LJS_MANIFEST_UNIQUE_ID = 12,         /**< uniqueId is not 18 lower-case hexadecimal digits */
    LJS_MANIFEST_HEADER_ID = 13,         /**< the unprotected header names another uniqueId */
    LJS_MANIFEST_KEY = 14,               /**< not exactly one certified key, or no EC key on P-256 */
    LJS_MANIFEST_CERTIFICATE = 15,       /**< the chain is not two certificates that can be read */
    LJS_MANIFEST_ROLE = 16,              /**< a certificate is not for what it is used for */
    LJS_MANIFEST_ROOT = 17,              /**< the signer's certificate is of no root that is trusted */
    LJS_MANIFEST_CHAIN = 18,             /**< a certificate is not signed by the next one */
    LJS_MANIFEST_CERTIFIED_KEY = 19,     /**< the certificate is for another key */
    LJS_MANIFEST_CERTIFIED_ID = 20,      /**< the certificate is for another uniqueId, or none */
    LJS_MANIFEST_DEV_EUI = 21,           /**< the certificate has a DevEUI that is none, or two */
    LJS_MANIFEST_JOIN_EUI = 22,          /**< JoinEUI is none of ljs_manifest_expect_join_eui() */
    LJS_MANIFEST_DUPLICATE = 23,         /**< an entry before it has this uniqueId */
    LJS_MANIFEST_DUPLICATE_DEV_EUI = 24, /**< an entry before it has this DevEUI */
} ljs_manifest_verdict;

/** An entry.  Of a refused one only `index`, `offset`, `verdict` and `detail` are set, and `unique_id` as what it
 *  calls itself, which nobody vouches for. */
typedef struct ljs_manifest_entry {
    uint64_t index;                          /**< from 0 */
    uint64_t offset;                         /**< of its first octet, from the manifest's */
    ljs_manifest_verdict verdict;            /**< ::LJS_MANIFEST_GOOD, or why it is refused */
    uint8_t version;                         /**< 1, 2 or 3 */
    uint8_t has_dev_eui;                     /**< its certificate names a DevEUI */
    uint8_t has_join_eui;                    /**< slot 9 of its public data has a JoinEUI */
    uint8_t has_key;                         /**< 0 only of version 2 */
    uint8_t suffix;                          /**< the last octet of uniqueId: whom it was made for; 0x27 The Things
                                                  Industries, 0x10 Actility */
    ljs_eui dev_eui;                         /**< DevEUI */
    ljs_eui join_eui;                        /**< JoinEUI */
    uint8_t public_key[64];                  /**< x and y of the chip's P-256 key, the highest octets first */
    char unique_id[20];                      /**< the chip's serial number, 18 digits; "" when it names none */
    char model[LJS_MANIFEST_TEXT_MAX];       /**< "ATECC608A" */
    char part_number[LJS_MANIFEST_TEXT_MAX]; /**< "ATECC608A-MAHT3" */
    char timestamp[LJS_MANIFEST_TEXT_MAX];   /**< when it was provisioned, as RFC 3339 */
    char group_id[LJS_MANIFEST_TEXT_MAX];    /**< its batch */
    char signer[LJS_MANIFEST_TEXT_MAX];      /**< kid of who signed it */
    char detail[LJS_LABEL_MAX];              /**< more of why it is refused; "" for nothing */
    uint8_t stamp[16];                       /**< that this process has believed it, for ljs_server_register(): over all
                                                  but index, offset and detail */
} ljs_manifest_entry;

/** For one manifest, from its first octet on. */
LJS_MUST ljs_err ljs_manifest_new(ljs_manifest **out);
/** Believe who has this certificate, too.
 *  @param in  a certificate, DER or PEM, for a key on P-256, with SubjectKeyIdentifier
 *  @return ::LJS_E_INVAL when it is none, ::LJS_E_EXISTS when it is trusted already, ::LJS_E_NOMEM after
 *  ::LJS_MANIFEST_TRUST_MAX */
LJS_MUST ljs_err ljs_manifest_trust_signer(ljs_manifest *manifest, const uint8_t *in, size_t in_len);
/** Let chains end in this certificate, too: a CA's.  As ljs_manifest_trust_signer(); there may be several of one
 *  subject, each with a key of its own. */
LJS_MUST ljs_err ljs_manifest_trust_root(ljs_manifest *manifest, const uint8_t *in, size_t in_len);
/** Refuse entries whose JoinEUI is none of those named so.  Entries without one are refused then, too.
 *  @return ::LJS_E_NOMEM after ::LJS_MANIFEST_TRUST_MAX */
LJS_MUST ljs_err ljs_manifest_expect_join_eui(ljs_manifest *manifest, ljs_eui join_eui);

/** The next entry, refused or not.
 *  @param at  the place in `in`: 0 for octets that follow those before, moved past what was read
 *  @return ::LJS_E_NOTFOUND when `in` is read to its end: feed what follows.  ::LJS_E_INVAL when it is no JSON
 *  array of entries, or something stands behind it; that, and want of memory, ends the reading */
LJS_MUST ljs_err ljs_manifest_next(ljs_manifest_entry *out, size_t *at, ljs_manifest *manifest, const uint8_t *in,
                                   size_t in_len);
/** What is said of a key that a manifest has for who it is encrypted to. */
typedef struct ljs_manifest_secret {
    char kid[LJS_MANIFEST_TEXT_MAX]; /**< by what name its maker calls it; "" for none */
    char detail[LJS_LABEL_MAX];      /**< why it is refused, without any key; "" for nothing */
} ljs_manifest_secret;

/** The i-th key of the encryptedSecretKeySet of the entry that ljs_manifest_next() gave last, which was believed.  Each
 *  is a JWE [RFC 7516], compact or flattened, of ECDH-ES+A128KW over P-256 and A256GCM, and of nothing else, around a
 * JWK [RFC 7517] of kty "oct".  Which root key it is nobody says but its maker.
 *
 *  **Unproven**: no maker has published a manifest that has such keys, so this was tested with what other programs
 *  encrypt alone.
 *  @param out_key    16 octets; NULL when it is refused
 *  @param i          from 0
 *  @param recipient  the number of the recipient's key on P-256, 32 octets, the highest first
 *  @return ::LJS_E_NOTFOUND past the last, ::LJS_E_STATE when that entry was not believed, ::LJS_E_INVAL or
 * ::LJS_E_SEAL when it is refused: out->detail says why */
LJS_MUST ljs_err ljs_manifest_open_secret(ljs_manifest_secret *out, ljs_key **out_key, const ljs_manifest *manifest,
                                          unsigned i, const ljs_key *recipient);

/** Was that all?  @return ::LJS_E_INVAL when it is cut short, or what ended the reading */
LJS_MUST ljs_err ljs_manifest_end(const ljs_manifest *manifest);
/** The SHA-256 of all that was read, 32 octets: of the whole manifest, as `sha256sum` tells it of a file.
 *  @return ::LJS_E_STATE before its end */
LJS_MUST ljs_err ljs_manifest_digest(ljs_buf *out, const ljs_manifest *manifest);
/** Free; NULL is taken. */
LJS_API void ljs_manifest_free(ljs_manifest *manifest);

/** "not-es256"; "?" for a number that is no verdict. */
LJS_API const char *ljs_manifest_verdict_name(ljs_manifest_verdict verdict);
/** What it means, a sentence. */
LJS_API const char *ljs_manifest_verdict_text(ljs_manifest_verdict verdict);

#ifdef __cplusplus
}
#endif
#endif
