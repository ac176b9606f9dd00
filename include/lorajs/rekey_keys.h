/** @file rekey_keys.h
 *  The keys of lorajs-rekey-1 (rekey.h says what that is), for who writes either end of it.
 *
 *  Most of them are rows of ljs_derive() (keys.h): ::LJS_KEY_REKEY_INT and ::LJS_KEY_REKEY_JOIN from the
 *  rekey key, and from the latter ::LJS_KEY_NEXT_NWK and its like.  Suite 2 has ljs_rekey_agree() in the
 *  place of ::LJS_KEY_REKEY_JOIN, suite 4 ljs_rekey_slot() in the place of all. */
#ifndef LORAJS_REKEY_KEYS_H
#define LORAJS_REKEY_KEYS_H

#include <lorajs/keys.h>
#include <lorajs/rekey_message.h>

#ifdef __cplusplus
extern "C" {
#endif

/** KCV(K), by which a key is told from another: the beginning of aes128_cmac(K, 00...00).
 *  @param key  16 octets */
LJS_MUST ljs_err ljs_rekey_kcv(uint8_t out[3], const ljs_key *key);
/** The MIC of a whole message, whose last four octets are not looked at.
 *  @param key      RekeyIntKey or the new NwkKey, as rekey_message.h says
 *  @return ::LJS_E_SIZE for what is too short or too long for a message */
LJS_MUST ljs_err ljs_rekey_mic(uint8_t out[4], const ljs_key *key, ljs_eui dev_eui, const uint8_t *in, size_t in_len);

/** What suite 2 has for ::LJS_KEY_REKEY_JOIN: aes128_cmac(00...00, X25519(ephemeral, device's) | ephemeral public
 *  key | device's public key | DevEUI | JoinEUI), both EUIs little-endian.
 *  @param key  the secret half of either, 32 octets
 *  @param in   the ephemeral public key, then the device's: 64 octets
 *  @return ::LJS_E_INVAL for lengths, for a secret half that is of neither, and for a public key that is none */
LJS_MUST ljs_err ljs_rekey_agree(ljs_key **out, const ljs_key *key, ljs_eui dev_eui, ljs_eui join_eui,
                                 const uint8_t *in, size_t in_len);

/** TempKey of suite 4, no secret: SHA-256("lorajs-rekey-1" | DevEUI | JoinEUI | epoch), numbers little-endian. */
LJS_MUST ljs_err ljs_rekey_temp_key(uint8_t out[32], ljs_eui dev_eui, ljs_eui join_eui, uint16_t epoch);
/** What DeriveKey of an ATECC608 makes of slot 0: SHA-256(parent | 1C 04 00 00 | SN[8] | SN[0..1] | 0^25 | TempKey).
 *  The first 16 octets of it are AppKey, the others NwkKey.
 *  @param parent  slot 13, 32 octets
 *  @param in      the serial number, 9 octets */
LJS_MUST ljs_err ljs_rekey_slot(ljs_key **out, const ljs_key *parent, ljs_eui dev_eui, ljs_eui join_eui, uint16_t epoch,
                                const uint8_t *in, size_t in_len);
/** The MAC that authorises DeriveKey: SHA-256(parent | 1C 04 00 00 | SN[8] | SN[0..1]).  It does not depend on
 *  TempKey: one that was seen is good for ever. */
LJS_MUST ljs_err ljs_rekey_slot_mac(uint8_t out[32], const ljs_key *parent, const uint8_t *in, size_t in_len);

#ifdef __cplusplus
}
#endif
#endif
