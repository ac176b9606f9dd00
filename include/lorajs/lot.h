/** @file lot.h
 *  Lots: devices whose root keys all come of one key, and which are not kept one by one.
 *
 *  Who personalizes secure elements for a production of one's own needs no list of their keys: each is made of the
 *  lot's key and the DevEUI, there and here.  A device's record then has the lot's label and which keys come of it,
 *  in the place of sealed keys; a step derives them in its ring, or in the token, and no record ever has them.
 *
 *      NwkKey    = aes128_encrypt(LotKey, 0xD1 | DevEUI | pad16)
 *      AppKey    = aes128_encrypt(LotKey, 0xD2 | DevEUI | pad16)
 *      GenAppKey = aes128_encrypt(LotKey, 0xD3 | DevEUI | pad16)
 *      RekeyKey  = aes128_encrypt(LotKey, 0xD4 | DevEUI | pad16)
 *
 *  with the notation of LoRaWAN: DevEUI is 8 octets, little-endian, pad16 is zeros up to 16.  The formula is our own:
 *  no standard says one, and the makers of secure elements do not publish theirs.  ljs_derive() computes it for who
 *  personalizes (LJS_KEY_LOT_...).
 *
 *  Whoever has a lot's key has the keys of each device of it.  It belongs into a hardware security module and never
 *  into a device [LoRa Alliance TR007 3.4.3.1]: with a vault in a token (token.h) it is wrapped by the token's storage
 *  key and used in the token alone; with any other vault it is sealed as root keys are.
 *
 *  A server keeps its lots in its store (ljs_server_put_lot()).  Who has a store of their own keeps what
 *  ljs_lot_make() gives, and hands it to each vault that is to know it. */
#ifndef LORAJS_LOT_H
#define LORAJS_LOT_H

#include <lorajs/keys.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { LJS_LOTS_MAX = 256 /**< lots of one server */ };

/** A lot's key as a value to keep: sealed, bound to its label, with a tag.
 *  @param label  1 to 127 octets of UTF-8 without control characters
 *  @param key    16 octets
 *  @return ::LJS_E_INVAL */
LJS_MUST ljs_err ljs_lot_make(ljs_buf *out, ljs_vault *vault, const char *label, const ljs_key *key);

/** From here on the vault knows this lot; given again it takes the place of what it was, until the vault is freed.
 *  Any thread.
 *  @param in  of ljs_lot_make()
 *  @return ::LJS_E_SEAL, ::LJS_E_VERSION */
LJS_MUST ljs_err ljs_vault_add_lot(ljs_vault *vault, const uint8_t *in, size_t in_len);

/** The value under the vault's newest master key or storage key.
 *  @param out  empty when it is already
 *  @return ::LJS_E_SEAL, ::LJS_E_VERSION */
LJS_MUST ljs_err ljs_lot_rewrap(ljs_buf *out, ljs_vault *vault, const uint8_t *in, size_t in_len);

#ifdef __cplusplus
}
#endif
#endif
