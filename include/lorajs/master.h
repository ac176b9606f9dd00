/** @file master.h
 *  The master key itself: as a handle, recognised again, and kept under a passphrase.
 *
 *  A vault (keys.h) is made from a master key of 32 octets, wherever that comes from: a
 *  file, a service manager, a token.  Where people are to bring it, the key is kept
 *  sealed under a passphrase: a few octets that may lie beside the database, worth
 *  nothing without the words that open them.  The passphrase can be changed without
 *  touching a record, since what it opens stays the same.
 *
 *  A mark recognises a master key without keeping it: stored beside a database it tells
 *  "another key" from "a damaged database".
 *
 *  A master key can be changed while records are in use.  A vault may have several versions of
 *  it: the newest seals and tags, and what an older one has sealed or tagged still opens.
 *    1. ljs_vault_add() gives a vault the next version; ljs_vault_pack() what is to be kept
 *       beside the records from now on (server.h does so by itself).
 *    2. Each record is written again, by ljs_device_rewrap() and its like.
 *    3. ljs_vault_retire() leaves the newest alone, and ljs_vault_pack() again what is to be kept.
 *  Whoever opens the records with any one of the master keys that a pack was made for gives it
 *  to ljs_vault_unpack(), and has the others, and what outlives them: the number of each, by
 *  which sealed keys name it, the key of fingerprints, by which the root keys of removed
 *  devices are known again, and that of the audit log (audit.h), whose links are chained by
 *  their tags; these two stay those of the first master key.  So a pack that was made with a version in it must not
 * outlive the trust in that version: who has the old master key and such a pack has the new one.
 *
 *  Any thread; nothing is kept between calls.  Sealing and opening take the memory and
 *  the time that the seal names, on purpose: not for the path of a request. */
#ifndef LORAJS_MASTER_H
#define LORAJS_MASTER_H

#include <lorajs/keys.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LJS_MASTERS_MAX = 4,                      /**< versions of it that a vault may have at once */
    LJS_MASTER_LEN = 32,                      /**< octets of a master key */
    LJS_PASSPHRASE_MIN = 12,                  /**< octets of a passphrase, at the least */
    LJS_PASSPHRASE_MAX = 1024,                /**< and at the most */
    LJS_STRETCH_MEMORY = 256 * 1024,          /**< KiB of memory that one guess costs, unless told otherwise */
    LJS_STRETCH_MEMORY_MIN = 8 * 1024,        /**< KiB */
    LJS_STRETCH_MEMORY_MAX = 4 * 1024 * 1024, /**< KiB */
    LJS_STRETCH_PASSES = 3,                   /**< passes over that memory, unless told otherwise */
    LJS_STRETCH_PASSES_MAX = 64,              /**< and at the most */
};

/** ljs_vault_new() of a key of 32 octets.  @return ::LJS_E_INVAL for another length */
LJS_MUST ljs_err ljs_vault_from_key(ljs_vault **out, const ljs_key *key);

/** The next version of the master key: from now on the vault seals and tags under it.
 *  @param key  32 octets
 *  @return ::LJS_E_INVAL for another length, ::LJS_E_EXISTS when the vault has this key already,
 *  ::LJS_E_STATE when it has ::LJS_MASTERS_MAX versions or is in a token (token.h), ::LJS_E_SPENT after version 65535
 */
LJS_MUST ljs_err ljs_vault_add(ljs_vault *vault, const ljs_key *key);
/** Leave the newest version alone.  Records of the others do not open any more. */
LJS_MUST ljs_err ljs_vault_retire(ljs_vault *vault);
/** The number of the newest version, 1 to 65535; a vault that is made of a key says 1 until
 *  ljs_vault_unpack() tells it better.  0 after fork(). */
LJS_API unsigned ljs_vault_version(const ljs_vault *vault);
/** How many versions it has, 1 to ::LJS_MASTERS_MAX; 0 after fork(). */
LJS_API unsigned ljs_vault_versions(const ljs_vault *vault);
/** All of them, for whoever has one of them. */
LJS_MUST ljs_err ljs_vault_pack(ljs_buf *out, const ljs_vault *vault);
/** Have what the pack has, and no more.  The same again changes nothing.
 *  @param in  what ljs_vault_pack() gave
 *  @return ::LJS_E_SEAL when none of the vault's versions opens it, or it was tampered with,
 *  ::LJS_E_VERSION for one of a newer lorajs */
LJS_MUST ljs_err ljs_vault_unpack(ljs_vault *vault, const uint8_t *in, size_t in_len);

/** Sixteen octets by which this master key, of several the newest, is known again; they say nothing of it. */
LJS_MUST ljs_err ljs_vault_mark(uint8_t out[16], ljs_vault *vault);
/** Compare in constant time.  @param in  what ljs_vault_mark() gave, 16 octets
 *  @return ::LJS_E_SEAL when it was the mark of another master key */
LJS_MUST ljs_err ljs_vault_is(ljs_vault *vault, const uint8_t *in, size_t in_len);

/** Seal a master key under a passphrase: Argon2id [RFC 9106] with a fresh salt makes the
 *  key for XChaCha20-Poly1305.  Salt and costs are in the result and bound to it.
 *  @param key     32 octets
 *  @param memory  KiB, ::LJS_STRETCH_MEMORY_MIN to ::LJS_STRETCH_MEMORY_MAX; 0 for ::LJS_STRETCH_MEMORY
 *  @param passes  1 to ::LJS_STRETCH_PASSES_MAX; 0 for ::LJS_STRETCH_PASSES
 *  @param in      the passphrase, octet for octet, without a newline; the caller wipes it
 *  @return ::LJS_E_INVAL (ranges), ::LJS_E_WEAK for fewer than ::LJS_PASSPHRASE_MIN octets,
 *  ::LJS_E_NOMEM when the memory is not to be had */
LJS_MUST ljs_err ljs_master_seal(ljs_buf *out, const ljs_key *key, uint32_t memory, uint32_t passes, const uint8_t *in,
                                 size_t in_len);
/** The other way.
 *  @param in      the passphrase
 *  @param record  what ljs_master_seal() gave
 *  @return ::LJS_E_SEAL for another passphrase, ::LJS_E_INVAL for a record that is damaged or none,
 *  ::LJS_E_VERSION for one of a newer lorajs, ::LJS_E_NOMEM */
LJS_MUST ljs_err ljs_master_open(ljs_key **out, const uint8_t *in, size_t in_len, const uint8_t *record,
                                 size_t record_len);

#ifdef __cplusplus
}
#endif
#endif
