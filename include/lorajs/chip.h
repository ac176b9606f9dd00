/** @file chip.h
 *  Devices of secure elements: registered by their maker's manifest, and claimed with the word of the chip.
 *
 *  A manifest (manifest.h) says of each chip who it is, and has no root key.  So a device that is registered by it is
 *  known, can be owned, assigned and claimed, and cannot join: until its root keys come, by an import, a parcel or
 *  another personalization of the chip, a join is ::LJS_E_NOKEY.  Which comes first does not matter: where the device
 *  is there already, the chip is kept with it, and the keys that come later find it there.  With a removed device it
 *  is forgotten, and no parcel has it: another Join Server registers the manifest itself.
 *
 *  What is kept of a chip is a value beside the record: who certified it, its serial number, its batch, and its public
 *  key on P-256.  With that it can prove that it is this one: the Join Server gives a challenge, the chip signs
 *  it with its private key, and the claim (claim.h) has the signature.
 *
 *      SHA-256( "lorajs chip claim 1" | 00 | DevEUI | challenge | account )
 *
 *  is what is signed, ECDSA on P-256: DevEUI as 8 octets, the highest first, the challenge as 32, the account's name to
 *  the end.  So it is of no use for another device, another account, or another challenge.  A challenge is good for
 *  ::LJS_CHIP_CHALLENGE_SECONDS and until the device has another owner, which the claim itself makes: it is
 *  good once.  It needs no place in the store, since it has a keyed hash of all that over itself; every server of one
 *  store knows it, and a device that is not there gets one, too.
 *
 *  Any thread may call all of this. */
#ifndef LORAJS_CHIP_H
#define LORAJS_CHIP_H

#include <lorajs/claim.h>
#include <lorajs/manifest.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What is kept of a chip. */
typedef struct ljs_chip {
    size_t struct_size;                      /**< sizeof(ljs_chip) */
    ljs_eui dev_eui;                         /**< whose it is */
    int64_t at;                              /**< since when, Unix time in seconds */
    uint8_t required;                        /**< 1: the device is claimed with the chip's proof alone */
    uint8_t public_key[64];                  /**< x and y of its key on P-256, the highest octets first */
    char unique_id[20];                      /**< its serial number, 18 digits */
    char model[LJS_MANIFEST_TEXT_MAX];       /**< "ATECC608A" */
    char part_number[LJS_MANIFEST_TEXT_MAX]; /**< "ATECC608A-MAHT3" */
    char group_id[LJS_MANIFEST_TEXT_MAX];    /**< its batch */
    char signer[LJS_MANIFEST_TEXT_MAX];      /**< kid of who signed its manifest */
} ljs_chip;

/** The chip of a device.  @return ::LJS_E_NOTFOUND for a device without one, ::LJS_E_SEAL */
LJS_MUST ljs_err ljs_server_get_chip(ljs_chip *out, ljs_server *server, ljs_eui dev_eui);

/* ---- registering ------------------------------------------------------------ */

/** Whether a device can be claimed without its chip's proof; what is not said stays, and is ::LJS_CHIP_ACCEPTED at
 * first. */
typedef enum ljs_chip_policy {
    LJS_CHIP_AS_IT_IS = 0, /**< not said */
    LJS_CHIP_ACCEPTED = 1, /**< a proof is checked where one is given */
    LJS_CHIP_REQUIRED = 2, /**< without one there is no claim by a token, and no offer is accepted */
} ljs_chip_policy;

/** How devices of a manifest are registered. */
typedef struct ljs_register_opts {
    size_t struct_size;            /**< sizeof(ljs_register_opts) */
    int64_t now;                   /**< Unix time in seconds */
    ljs_mac mac;                   /**< what a device is taken for until its keys come and say; 0: 1.0.4 */
    ljs_chip_policy chip;          /**< is its proof needed? */
    char account[LJS_ACCOUNT_MAX]; /**< to whom they are assigned; "" for nobody */
    ljs_routing routing;           /**< of ::LJS_CLAIM_ASSIGN, where there is an account */
    uint8_t dry;                   /**< 1: all is checked, and nothing changed */
} ljs_register_opts;

/** Why an entry is not registered.  The numbers stay what they are. */
typedef enum ljs_register_why {
    LJS_REGISTER_DONE = 0,        /**< it is */
    LJS_REGISTER_REFUSED = 1,     /**< the entry has a verdict of its own (manifest.h) */
    LJS_REGISTER_NO_KEY = 2,      /**< it certifies no key: a light manifest */
    LJS_REGISTER_NO_DEV_EUI = 3,  /**< it certifies no DevEUI */
    LJS_REGISTER_NO_JOIN_EUI = 4, /**< it has no JoinEUI */
    LJS_REGISTER_OTHER_CHIP = 5,  /**< another chip is kept for this DevEUI */
    LJS_REGISTER_REMOVED = 6,     /**< the device was removed: only an import with its keys brings it back */
    LJS_REGISTER_OWNED = 7,       /**< it is registered, and not assigned: it is another's, suspended or retired */
} ljs_register_why;

/** "no-dev-eui"; "?" for a number that is none. */
LJS_API const char *ljs_register_why_name(ljs_register_why why);
/** What it means, a sentence. */
LJS_API const char *ljs_register_why_text(ljs_register_why why);

/** What became of an entry. */
typedef struct ljs_registered {
    ljs_register_why why; /**< ::LJS_REGISTER_DONE, or why not */
    uint8_t made;         /**< 1: the device was not there */
    uint8_t kept;         /**< 1: the chip was not kept with it, or not as it is now */
    uint8_t assigned;     /**< 1: it is the account's, now or before */
    ljs_err err;          /**< of ljs_server_register_all(): ::LJS_OK, or why nothing came of it */
} ljs_registered;

/** Register the device of an entry, and assign it: all of it or nothing, durable and in the audit log when this
 * returns.  Asked again, what is done is done.
 *  @param entry  as ljs_manifest_next() gave it in this process
 *  @return ::LJS_OK also where it is not registered, see `why`; ::LJS_E_SEAL for an entry that was altered or comes
 * from elsewhere, ::LJS_E_NOTFOUND for an account that is not there, ::LJS_E_BLOCKED for one that is suspended,
 *  ::LJS_E_INVAL */
LJS_MUST ljs_err ljs_server_register(ljs_registered *out, ljs_server *server, const ljs_register_opts *opts,
                                     const ljs_manifest_entry *entry);
/** Many of them, each as ljs_server_register() would do it, and up to 32 in one transaction, 21 where there is an
 *  account: nothing is left of a device by half, whatever happens in between.
 *  @param registered  of each entry what became of it, with its `err`: where the account ends meanwhile, or the store
 *                     fails, that of all who were to be written together
 *  @return that of the account, or of `opts`: then nothing was done */
LJS_MUST ljs_err ljs_server_register_all(ljs_registered *registered, ljs_server *server, const ljs_register_opts *opts,
                                         const ljs_manifest_entry *entries, size_t entries_len);
/** One entry ::LJS_AUDIT_MANIFEST in the audit log for all of a manifest that was read to its end: to which account,
 * the beginning of its SHA-256 (ljs_manifest_digest()), how many.
 *  @param account  "" for none
 *  @param count    entries that were registered
 *  @return ::LJS_E_INVAL for what is no account, ::LJS_E_STATE before the end of the manifest */
LJS_MUST ljs_err ljs_server_note_manifest(ljs_server *server, const ljs_manifest *manifest, const char *account,
                                          uint32_t count);

/* ---- the chip's word -------------------------------------------------------- */

/** A challenge for the chip of a device, for a claim of this account.  There is one for every DevEUI.
 *  @param out  ::LJS_CHIP_CHALLENGE_LEN octets
 *  @return ::LJS_E_INVAL for what can be no account's name */
LJS_MUST ljs_err ljs_server_challenge(ljs_buf *out, ljs_server *server, int64_t now, ljs_eui dev_eui,
                                      const char *account);
/** What the chip signs, see above: the SHA-256, 32 octets.
 *  @param in  the challenge
 *  @return ::LJS_E_INVAL for a challenge of another length, or what can be no account's name */
LJS_MUST ljs_err ljs_chip_digest(ljs_buf *out, ljs_eui dev_eui, const char *account, const uint8_t *in, size_t in_len);

#ifdef __cplusplus
}
#endif
#endif
