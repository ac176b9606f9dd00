/* signers.h -- whom manifests are believed of: those who sign the entries, by key identifier and hash of
 * their certificate, and the roots of the chips' certificates.  Microchip's are known; an operator adds
 * others. */
#ifndef LJS_CODEC_SIGNERS_H
#define LJS_CODEC_SIGNERS_H

#include "codec/cert.h"

#include <lorajs/manifest.h>

enum { KID_MAX = CERT_KEY_ID_MAX * 4 / 3 + 2 }; /* base64url, with its NUL */

struct signer {
    char kid[KID_MAX]; /* base64url of SubjectKeyIdentifier */
    uint8_t hash[32];  /* SHA-256 of the certificate: x5t#S256 */
    uint8_t key[64];
};

struct root {
    uint8_t name[32]; /* SHA-256 of its subject, a Name in DER */
    uint8_t key[64];
};

struct trust {
    struct signer signers[LJS_MANIFEST_TRUST_MAX]; /* besides those that are known */
    struct root roots[LJS_MANIFEST_TRUST_MAX];
    unsigned signers_len, roots_len;
};

/* A certificate in DER or PEM.  LJS_E_INVAL: it is none, its key is none, it has no SubjectKeyIdentifier, or
 * (of a root) it is no CA; LJS_E_EXISTS; LJS_E_NOMEM: the list is full, too. */
ljs_err ljs__trust_signer(struct trust *trust, const uint8_t *in, size_t in_len);
ljs_err ljs__trust_root(struct trust *trust, const uint8_t *in, size_t in_len);

/* NULL when there is none.  *kid_known: one of this kid, whatever its hash. */
const struct signer *ljs__signer_find(bool *kid_known, const struct trust *trust, const char *kid,
                                      const uint8_t hash[32]);
/* The next one of this name: *from is 0 at first.  A root that was given another key keeps its name. */
const struct root *ljs__root_find(const struct trust *trust, const uint8_t name[32], size_t *from);

#endif
