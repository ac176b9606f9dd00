/* es256.h -- ES256 [RFC 7518 §3.4] and SHA-256, to verify what others signed: ECDSA over P-256,
 * by libgcrypt (gcrypt.c).  Nothing here is secret.
 *
 * A ring must have been taken once before (ring.h): that initialises libgcrypt. */
#ifndef LJS_KEYS_ES256_H
#define LJS_KEYS_ES256_H

#include <lorajs/base.h>

/* Octets of somebody else's. */
struct part {
    const void *at;
    size_t len;
};

enum { SHA256_PARTS_MAX = 4 };

ljs_err ljs__sha256(uint8_t out[32], const struct part *parts, size_t parts_len);

/* Keys are x | y, signatures r | s, each number of 32 octets, the highest first.  LJS_E_INVAL: not on the curve. */
ljs_err ljs__p256_check(const uint8_t key[64]);
/* LJS_E_SEAL: not this key's signature of what has this digest. */
ljs_err ljs__es256_verify(const uint8_t key[64], const uint8_t signature[64], const uint8_t digest[32]);

#endif
