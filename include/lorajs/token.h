/** @file token.h
 *  A vault whose keys are in a token: a hardware security module, a smart card, SoftHSM,
 *  whatever speaks PKCS#11 [v2.40].
 *
 *  In a vault of ljs_vault_new() the master key, and the root keys while a step uses them,
 *  are in the memory of the process.  In a vault of ljs_vault_token() they are not: a record
 *  holds each root key and KEK under a storage key that never leaves the token [RFC 3394];
 *  a step has the token unwrap them, compute with them, and wrap session keys under the
 *  receivers' KEKs.  What leaves the token is MICs, join-accepts and key envelopes.  Keys that
 *  are imported come in through host memory once, and are put into the token at once.  (SoftHSM computes in the process
 *  that calls it, and is for trials.)
 *
 *  Such a vault goes wherever a vault does.  What it cannot do is give a key away:
 *  ::LJS_E_INSIDE for an export, ::LJS_E_KEK for an envelope in clear.
 *
 *  A token is named by a URI [RFC 7512]: `pkcs11:token=lorajs`, with
 *  `?module-path=/usr/lib/softhsm/libsofthsm2.so` where p11-kit does not know its module.
 *  `object=NAME` names its keys, `lorajs` unless given.  A PIN in a URI is refused.
 *
 *  A token is shared by all threads; it is opened anew by itself when it has been away.  PINs are
 *  octets of the caller, who wipes them; a vault keeps a copy in guarded memory to that end. */
#ifndef LORAJS_TOKEN_H
#define LORAJS_TOKEN_H

#include <lorajs/keys.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { LJS_PIN_MAX = 255, /**< octets of a PIN, at the most; and one at the least */ };

/** What the token lets happen to keys under its storage key. */
typedef enum ljs_token_policy {
    LJS_TOKEN_SEALED = 1, /**< never to leave it again: the storage key stays for good */
    /** To leave it under another storage key that its security officer trusts: the storage key can be replaced.  The
     *  price: such keys are made by the officer, whose objects need no PIN to be used. */
    LJS_TOKEN_ROTATABLE = 2,
} ljs_token_policy;

/** A vault in a token that ljs_token_init() has prepared.
 *  @param in  the user PIN
 *  @return ::LJS_E_INVAL for a URI that is none or has a PIN in it, ::LJS_E_NOTFOUND when there is no such token, or
 *  none of our keys in it, ::LJS_E_EXISTS when more than one token is meant, ::LJS_E_STATE when it has more than one
 *  storage key and an officer trusts none of them, ::LJS_E_PIN (a process that is logged in is not asked for one),
 *  ::LJS_E_TOKEN,
 *  ::LJS_E_MISSING when this build has no p11-kit */
LJS_MUST ljs_err ljs_vault_token(ljs_vault **out, const char *uri, const uint8_t *in, size_t in_len);

/** Where the PIN is to come from: the pin-source of the URI, "" when it has none.  Nothing is opened.
 *  @return ::LJS_E_INVAL for a URI that is none or has a PIN in it, ::LJS_E_MISSING */
LJS_MUST ljs_err ljs_token_pin_source(ljs_buf *out, const char *uri);

/** Make the keys of a vault in a token that has a user PIN already: a storage key and one for tags.
 *  @param in  the user PIN; for ::LJS_TOKEN_ROTATABLE that of the security officer
 *  @return ::LJS_E_EXISTS when it has them, ::LJS_E_STATE for the officer while this process is logged in as the
 *  user, else as ljs_vault_token() */
LJS_MUST ljs_err ljs_token_init(const char *uri, ljs_token_policy policy, const uint8_t *in, size_t in_len);

/** Make the next storage key in a token of the policy ::LJS_TOKEN_ROTATABLE.  From then on keys are sealed under it;
 *  what is under an older one opens as before, until an ljs_rewrap (rewrap.h) has sealed it anew inside the token and
 *  ljs_rewrap_retire() has destroyed that one.  Who has a vault in this token meanwhile finds the next key by itself.
 *  @param out  its number, 2 to 65534
 *  @param in   the PIN of the security officer
 *  @return ::LJS_E_NOTFOUND where the token has no storage key that an officer made, as under ::LJS_TOKEN_SEALED;
 *  ::LJS_E_EXISTS when it has eight, ::LJS_E_SPENT after number 65534, ::LJS_E_STATE while this process is logged in as
 *  the user, else as ljs_vault_token() */
LJS_MUST ljs_err ljs_token_next(uint32_t *out, const char *uri, const uint8_t *in, size_t in_len);

/** The storage keys of a vault. */
typedef struct ljs_token_storage {
    ljs_token_policy policy; /**< of the newest */
    uint16_t version;        /**< number of the newest */
    uint16_t versions;       /**< how many there are */
} ljs_token_storage;

/** Look into the token.
 *  @return ::LJS_E_STATE for a vault that is in none, ::LJS_E_TOKEN, ::LJS_E_PIN */
LJS_MUST ljs_err ljs_token_look(ljs_token_storage *out, const ljs_vault *vault);

/** What ljs_token_check() found wrong; bits. */
typedef enum ljs_token_fault {
    LJS_TOKEN_NO_MECHANISM = 1 << 0, /**< it lacks a mechanism that a join needs */
    LJS_TOKEN_WRONG = 1 << 1,        /**< a known answer came out otherwise */
    LJS_TOKEN_READABLE = 1 << 2,     /**< a key of the vault can be read */
    LJS_TOKEN_CLEAR = 1 << 3,        /**< a root key can be unwrapped in clear with the PIN */
    LJS_TOKEN_DECRYPTS = 1 << 4,     /**< the storage key decrypts: what it wrapped can be read piece by piece */
    LJS_TOKEN_CHANGEABLE = 1 << 5,   /**< the storage key can be made to decrypt, or copied so that it can */
    LJS_TOKEN_LEAVES = 1 << 6,       /**< a root key can be wrapped under a key that anybody has made */
    LJS_TOKEN_NO_PIN = 1 << 7, /**< the storage key can be used without a PIN: the price of ::LJS_TOKEN_ROTATABLE */
} ljs_token_fault;

/** A token, and what is wrong with it. */
typedef struct ljs_token_report {
    unsigned faults;         /**< ::ljs_token_fault; 0 when all is well */
    ljs_token_policy policy; /**< of its storage key */
    uint16_t version;        /**< newest storage key */
    char label[33];          /**< of the token */
    char model[17];          /**< likewise */
    char manufacturer[33];   /**< likewise */
    char serial[17];         /**< likewise */
} ljs_token_report;

/** Try it: known answers, and every attack of ::ljs_token_fault, with a key of no device.
 *  @param in  the user PIN
 *  @return as ljs_vault_token(); ::LJS_OK with faults in the report */
LJS_MUST ljs_err ljs_token_check(ljs_token_report *out, const char *uri, const uint8_t *in, size_t in_len);

#ifdef __cplusplus
}
#endif
#endif
