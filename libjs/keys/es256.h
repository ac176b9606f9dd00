/* es256.h -- P-256, SHA-256 and A256GCM by libgcrypt (gcrypt.c): ES256 [RFC 7518 §3.4], to verify what others signed,
 * of which nothing is secret; and what jwe.h opens with.
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

enum { SHA256_PARTS_MAX = 10 };

ljs_err ljs__sha256(uint8_t out[32], const struct part *parts, size_t parts_len);

/* The same of what comes in pieces. */
struct sha256;
ljs_err ljs__sha256_new(struct sha256 **out);
void ljs__sha256_add(struct sha256 *hash, const uint8_t *in, size_t in_len);
/* Of all so far; more may follow. */
ljs_err ljs__sha256_now(uint8_t out[32], const struct sha256 *hash);
void ljs__sha256_free(struct sha256 *hash); /* NULL is taken */

/* Keys are x | y, signatures r | s, each number of 32 octets, the highest first.  LJS_E_INVAL: not on the curve. */
ljs_err ljs__p256_check(const uint8_t key[64]);
/* [SEC 1 §3.3.1]  x of secret * key: what two have agreed on.  `secret` is a number from 1 to below the order of the
 * curve, of 32 octets in guarded memory, and so is z.  What libgcrypt computes with on the way is in its own memory,
 * which it wipes.  LJS_E_INVAL: no such number, or no point of the curve. */
ljs_err ljs__p256_agree(uint8_t z[32], const uint8_t secret[32], const uint8_t key[64]);
/* LJS_E_SEAL: not this key's signature of what has this digest. */
ljs_err ljs__es256_verify(const uint8_t key[64], const uint8_t signature[64], const uint8_t digest[32]);

/* A256GCM [RFC 7518 §5.3] of any number of octets.  LJS_E_SEAL: the tag is another; then nothing is in out. */
ljs_err ljs__gcm_open(uint8_t *out, const uint8_t key[32], const uint8_t iv[12], struct part aad,
                      struct part ciphertext, const uint8_t tag[16]);

#endif
