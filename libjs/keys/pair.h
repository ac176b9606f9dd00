/* pair.h -- keys of a parcel: what is done with their octets, which nobody else sees. */
#ifndef LJS_KEYS_PAIR_H
#define LJS_KEYS_PAIR_H

#include <lorajs/keys.h>

#include "base/secret.h"

/* A key of 32 octets on its way to whoever has the secret of a public key. */
ljs_err ljs__pair_seal(uint8_t out[LJS__BOX_LEN], const uint8_t public_key[32], const ljs_key *key);
/* LJS_E_SEAL when it was sealed to somebody else. */
ljs_err ljs__pair_open(ljs_key **out, const ljs_key *secret, const uint8_t in[LJS__BOX_LEN]);
/* Ends the signing. */
void ljs__pair_sign(uint8_t out[64], struct signing *s, const ljs_key *seed);

/* One key for one purpose, from a key of 32 octets. */
ljs_err ljs__key_subkey(ljs_key **out, const ljs_key *key, const char context[8]);
/* ljs__seal(), ljs__open() under such a key. */
void ljs__key_seal(uint8_t *out, const ljs_key *key, const uint8_t *ad, size_t ad_len, const uint8_t *in,
                   size_t in_len);
ljs_err ljs__key_open(uint8_t *out, const ljs_key *key, const uint8_t *ad, size_t ad_len, const uint8_t *in,
                      size_t in_len);

#endif
