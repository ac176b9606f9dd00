/** @file keys.h
 *  Keys, and what is computed with them.
 *
 *  A key is an opaque handle to guarded memory.  Key bytes cross this API in exactly
 *  two functions, ljs_key_import() and ljs_key_export(); everything else takes and
 *  gives handles.  A vault holds the master key that seals keys at rest.
 *
 *  Most users need a vault and device records (device.h) and nothing else of this
 *  file.  The functions below ljs_envelope_seal() are for who writes a device, a
 *  network server or an application server: they open envelopes, check and seal
 *  frames, and derive any key that LoRaWAN tabulates.
 *
 *  Keys are octet strings and never reversed: the first octet of the hexadecimal form
 *  is the first octet of the AES key. */
#ifndef LORAJS_KEYS_H
#define LORAJS_KEYS_H

#include <lorajs/frame.h>
#include <lorajs/mac.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ljs_key ljs_key;     /**< one AES key in guarded memory */
typedef struct ljs_vault ljs_vault; /**< the master key, likewise */

/** @param in  16, 24 or 32 octets: device keys have 16, a KEK may have more.  The
 *  caller wipes its own copy.
 *  @return ::LJS_E_INVAL for another length */
LJS_MUST ljs_err ljs_key_import(ljs_key **out, const uint8_t *in, size_t in_len);
/** A fresh random key of 16, 24 or 32 octets. */
LJS_MUST ljs_err ljs_key_generate(ljs_key **out, size_t len);
/** The octets themselves; ljs_buf_free() wipes them. */
LJS_MUST ljs_err ljs_key_export(ljs_buf *out, const ljs_key *key);
/** 16, 24 or 32 octets. */
LJS_API size_t ljs_key_len(const ljs_key *key);
/** Is the key so regular that it is no secret?  All octets equal, a period of 8 octets
 *  or less, a run that counts up or down by a constant, or a default key of published
 *  examples.  @return ::LJS_E_WEAK, or ::LJS_OK */
LJS_MUST ljs_err ljs_key_check(const ljs_key *key);
/** Wipe and free; NULL is taken. */
LJS_API void ljs_key_free(ljs_key *key);

/** @param in  32 octets, the master key; version 1 of it.  The caller wipes its copy. */
LJS_MUST ljs_err ljs_vault_new(ljs_vault **out, const uint8_t *in, size_t in_len);
/** Wipe and free; NULL is taken. */
LJS_API void ljs_vault_free(ljs_vault *vault);

/** The public half of an X25519 key [RFC 7748].  @param key  32 octets, random
 *  @return ::LJS_E_INVAL for another length */
LJS_MUST ljs_err ljs_x25519_public(uint8_t out[32], const ljs_key *key);
/** The public half of an Ed25519 key [RFC 8032].  @param key  its seed: 32 octets, random
 *  @return ::LJS_E_INVAL for another length */
LJS_MUST ljs_err ljs_ed25519_public(uint8_t out[32], const ljs_key *key);

/* ---- primitives ------------------------------------------------------------- */

/** aes128_encrypt of one block, or AES-192/256 by the key's length.  [FIPS 197]
 *  @param in  16 octets */
LJS_MUST ljs_err ljs_aes_encrypt(uint8_t out[16], const ljs_key *key, const uint8_t *in, size_t in_len);
/** The way back. */
LJS_MUST ljs_err ljs_aes_decrypt(uint8_t out[16], const ljs_key *key, const uint8_t *in, size_t in_len);
/** aes128_cmac [RFC 4493]; a MIC is the first four octets. */
LJS_MUST ljs_err ljs_aes_cmac(uint8_t out[16], const ljs_key *key, const uint8_t *in, size_t in_len);

/* ---- key envelopes ---------------------------------------------------------- */

enum { LJS_LABEL_MAX = 128, /**< a KEK label, AS-ID or peer name, with its NUL */ };

/** A KeyEnvelope [TS002 §21]: a key on its way between servers. */
typedef struct ljs_envelope {
    char kek_label[LJS_LABEL_MAX]; /**< "" when the key is in clear */
    uint8_t key[24];               /**< AESKey as it travels */
    size_t key_len;                /**< 24 wrapped [RFC 3394], 16 clear, 0 absent */
} ljs_envelope;

/** Wrap a 16-octet key under a KEK of 16, 24 or 32 octets.
 *  @param kek   NULL puts the key in clear; kek_label must then be ""
 *  @return ::LJS_E_INVAL for a key of another length, or a label too long or out of
 *  place */
LJS_MUST ljs_err ljs_envelope_seal(ljs_envelope *out, const ljs_key *key, const ljs_key *kek, const char *kek_label);
/** The receiver's half.  @param kek  NULL for an envelope in clear
 *  @return ::LJS_E_SEAL when the KEK is another one or the envelope was tampered with;
 *  ::LJS_E_INVAL for a length that does not go with the KEK */
LJS_MUST ljs_err ljs_envelope_open(ljs_key **out, const ljs_envelope *envelope, const ljs_key *kek);

/** RFC 3394 of any key data: a multiple of 8 octets, 16 to 64.  For other protocols'
 *  envelopes; ::LJS_E_INVAL for a length that is none. */
LJS_MUST ljs_err ljs_key_wrap(ljs_buf *out, const ljs_key *kek, const uint8_t *in, size_t in_len);
/** The way back. */
LJS_MUST ljs_err ljs_key_unwrap(ljs_buf *out, const ljs_key *kek, const uint8_t *in, size_t in_len);

/* ---- derivation ------------------------------------------------------------- */

/** Each key that LoRaWAN derives, by the specification's name. */
typedef enum ljs_key_name {
    LJS_KEY_NONE = 0,
    LJS_KEY_JS_INT,         /**< JSIntKey, from NwkKey          [L2 1.1 §6.1.1.3] */
    LJS_KEY_JS_ENC,         /**< JSEncKey, from NwkKey */
    LJS_KEY_F_NWK_S_INT,    /**< FNwkSIntKey; NwkSKey before LoRaWAN 1.1 */
    LJS_KEY_S_NWK_S_INT,    /**< SNwkSIntKey */
    LJS_KEY_NWK_S_ENC,      /**< NwkSEncKey */
    LJS_KEY_APP_S,          /**< AppSKey; from AppKey in LoRaWAN 1.1 with OptNeg, else from the one root */
    LJS_KEY_MC_ROOT,        /**< McRootKey, from GenAppKey (1.0.x) or AppKey (1.1)  [TS005] */
    LJS_KEY_MC_KE,          /**< McKEKey, from McRootKey */
    LJS_KEY_MC_APP_S,       /**< McAppSKey, from McKey */
    LJS_KEY_MC_NET_S,       /**< McNetSKey, from McKey */
    LJS_KEY_ROOT_WOR_S,     /**< RootWorSKey, from NwkSEncKey (1.1) or NwkSKey  [TS011] */
    LJS_KEY_DATA_BLOCK_INT, /**< DataBlockIntKey, from GenAppKey (1.0.x) or AppKey (1.1)  [TS004] */
    LJS_KEY_REKEY_INT,      /**< RekeyIntKey, from the rekey key  (rekey_keys.h, as those below) */
    LJS_KEY_REKEY_JOIN,     /**< JK of suite 1, from the rekey key */
    LJS_KEY_NEXT_NWK,       /**< the next NwkKey, from JK */
    LJS_KEY_NEXT_APP,       /**< the next AppKey, from JK */
    LJS_KEY_NEXT_GEN_APP,   /**< the next GenAppKey, from JK */
    LJS_KEY_NEXT_REKEY,     /**< the next rekey key, from JK */
    LJS_KEY_LOT_NWK,        /**< NwkKey of a device, from the key of its lot  (lot.h, as those below) */
    LJS_KEY_LOT_APP,        /**< AppKey, likewise */
    LJS_KEY_LOT_GEN_APP,    /**< GenAppKey, likewise */
    LJS_KEY_LOT_REKEY,      /**< rekey key, likewise */
} ljs_key_name;

/** Which rules a session or device follows. */
typedef enum ljs_scheme {
    LJS_SCHEME_1_0 = 10, /**< LoRaWAN 1.0.x, and a 1.1 device whose join-accept has OptNeg clear */
    LJS_SCHEME_1_1 = 11, /**< LoRaWAN 1.1 with OptNeg set, and every rejoin */
} ljs_scheme;

/** The inputs of a derivation; those that a key does not take are ignored. */
typedef struct ljs_derivation {
    ljs_key_name name;   /**< the key to be */
    ljs_scheme scheme;   /**< by whose rules */
    ljs_eui dev_eui;     /**< JSIntKey, JSEncKey, RekeyIntKey, keys of a lot */
    ljs_eui join_eui;    /**< session keys of ::LJS_SCHEME_1_1; JK */
    ljs_netid net_id;    /**< session keys of ::LJS_SCHEME_1_0 */
    uint32_t join_nonce; /**< session keys */
    uint16_t nonce;      /**< session keys: DevNonce, RJcount0 or RJcount1 */
    uint16_t epoch;      /**< the next root keys */
    ljs_devaddr mc_addr; /**< McAppSKey, McNetSKey */
} ljs_derivation;

/** @param root  the key named at ::ljs_key_name, 16 octets */
LJS_MUST ljs_err ljs_derive(ljs_key **out, const ljs_derivation *what, const ljs_key *root);

/** McKey_encrypted of McGroupSetupReq: aes128_decrypt(McKEKey, McKey) [TS005]. */
LJS_MUST ljs_err ljs_mc_key_encrypt(uint8_t out[16], const ljs_key *mc_ke_key, const ljs_key *mc_key);
/** What a device does with it. */
LJS_MUST ljs_err ljs_mc_key_decrypt(ljs_key **out, const ljs_key *mc_ke_key, const uint8_t *in, size_t in_len);

/* ---- frames under keys ------------------------------------------------------ */

/** Does the MIC of this join-request or rejoin-request verify?  The key is AppKey or
 *  NwkKey for JOIN, JSIntKey for REJOIN1, SNwkSIntKey for REJOIN0 and REJOIN2.
 *  @return ::LJS_E_MIC, or what ljs_frame_parse() says */
LJS_MUST ljs_err ljs_frame_verify(const ljs_key *key, const uint8_t *in, size_t in_len);
/** ljs_frame_build() with the MIC computed; frame->mic is not looked at. */
LJS_MUST ljs_err ljs_frame_sign(ljs_buf *out, const ljs_frame *frame, const ljs_key *key);

/** What a join-accept answers: the MIC of LoRaWAN 1.1 covers it. */
typedef struct ljs_accept_of {
    ljs_scheme scheme;   /**< ::LJS_SCHEME_1_1: MIC over JoinReqType | JoinEUI | DevNonce | accept */
    ljs_frame_kind kind; /**< the request's */
    ljs_eui join_eui;    /**< the device's, also after rejoin 0 and 2 */
    uint16_t nonce;      /**< DevNonce, RJcount0 or RJcount1 of the request */
} ljs_accept_of;

/** The MIC alone.  @param mic_key  JSIntKey in ::LJS_SCHEME_1_1, else NwkKey or AppKey */
LJS_MUST ljs_err ljs_accept_mic(uint8_t out[4], const ljs_accept *accept, const ljs_accept_of *of,
                                const ljs_key *mic_key);
/** MIC and encrypt: 17 or 33 octets.  cipher = aes128_decrypt(enc_key, fields | MIC).
 *  @param enc_key  NwkKey or AppKey in answer to a join-request, JSEncKey to a rejoin */
LJS_MUST ljs_err ljs_accept_seal(ljs_buf *out, const ljs_accept *accept, const ljs_accept_of *of,
                                 const ljs_key *mic_key, const ljs_key *enc_key);
/** What a device does with it.  @return ::LJS_E_MIC, ::LJS_E_SIZE, ::LJS_E_FRAME */
LJS_MUST ljs_err ljs_accept_open(ljs_accept *out, const ljs_accept_of *of, const ljs_key *mic_key,
                                 const ljs_key *enc_key, const uint8_t *in, size_t in_len);

/* ---- data frames under keys ------------------------------------------------- */

/** What the MIC of a data frame covers beside the frame. */
typedef struct ljs_data_of {
    ljs_scheme scheme;  /**< the session's */
    uint32_t fcnt;      /**< the whole 32-bit counter: FCntUp, NFCntDown or AFCntDown */
    uint16_t conf_fcnt; /**< 1.1: FCnt modulo 2^16 of the confirmed frame that an ACK bit answers; looked at
                         *   only where the ACK bit is set */
    uint8_t tx_dr;      /**< 1.1 uplink: data rate index of the transmission */
    uint8_t tx_ch;      /**< 1.1 uplink: channel index of the transmission */
} ljs_data_of;

/** The MIC of a whole data frame, whose last four octets are not looked at.  [L2 1.1 §4.4]
 *  @param f_nwk_s_int  NwkSKey in ::LJS_SCHEME_1_0; in 1.1 uplinks alone need it
 *  @param s_nwk_s_int  looked at in ::LJS_SCHEME_1_1 alone */
LJS_MUST ljs_err ljs_data_mic(uint8_t out[4], const ljs_data_of *of, const ljs_key *f_nwk_s_int,
                              const ljs_key *s_nwk_s_int, const uint8_t *in, size_t in_len);

/** Which key stream. */
typedef enum ljs_stream {
    LJS_STREAM_FRM_PAYLOAD = 0, /**< AppSKey; on port 0 NwkSEncKey, or NwkSKey in 1.0  [L2 1.1 §4.3.3] */
    LJS_STREAM_FOPTS = 1,       /**< 1.1, NwkSEncKey: uplinks, and downlinks counted by NFCntDown */
    LJS_STREAM_FOPTS_A = 2,     /**< 1.1, NwkSEncKey: downlinks counted by AFCntDown (FPort > 0)  [errata of 1.1] */
} ljs_stream;

/** Encrypt or decrypt: the same.
 *  @return ::LJS_E_INVAL over 242 octets, over 15 of FOpts, and for an uplink as
 *  ::LJS_STREAM_FOPTS_A */
LJS_MUST ljs_err ljs_data_crypt(ljs_buf *out, ljs_stream stream, ljs_direction direction, ljs_devaddr dev_addr,
                                uint32_t fcnt, const ljs_key *key, const uint8_t *in, size_t in_len);

#ifdef __cplusplus
}
#endif
#endif
