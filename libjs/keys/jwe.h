/* jwe.h -- JWE [RFC 7516] of one pair alone: ECDH-ES+A128KW [RFC 7518 §4.6] over P-256 and A256GCM [RFC 7518 §5.3], to
 * open what others encrypted.  No message chooses anything else.
 *
 * Numbers of a key are of 32 octets, the highest first; the recipient's secret is the number of its key on P-256. */
#ifndef LJS_KEYS_JWE_H
#define LJS_KEYS_JWE_H

#include "keys/es256.h"
#include "keys/ring.h"

enum { JWE_WRAPPED = 40, JWE_IV = 12, JWE_TAG = 16, JWE_TEXT_MAX = 1024 };

struct jwe {
    uint8_t epk[64];              /* x | y */
    struct part apu, apv;         /* decoded */
    uint8_t wrapped[JWE_WRAPPED]; /* encrypted_key */
    uint8_t iv[JWE_IV], tag[JWE_TAG];
    struct part aad;        /* the protected header as it came, base64url */
    struct part ciphertext; /* at most JWE_TEXT_MAX */
};

/* What was encrypted, jwe->ciphertext.len octets, in guarded memory.
 * LJS_E_INVAL: epk is no point of the curve, or the secret no number of a key; LJS_E_SEAL: not for this recipient, or
 * not what was encrypted; *out is then NULL. */
ljs_err ljs__jwe_open(uint8_t **out, const struct jwe *jwe, const ljs_key *secret);

/* [RFC 7518 §4.6.2, NIST SP 800-56A §5.8.1]  the key of `len` octets, 32 at most, of what was agreed; `alg` is the
 * AlgorithmID. */
ljs_err ljs__concat_kdf(uint8_t *out, size_t len, const uint8_t z[32], const char *alg, struct part apu,
                        struct part apv);

#endif
