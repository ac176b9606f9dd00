/* cert.h -- an X.509 certificate of a chip, its signer or a log signer [RFC 5280], strictly: version 3,
 * DER, P-256, ecdsa-with-SHA256, nothing critical that is not known here.
 *
 * Read by hand: libksba gives no directoryName of a subjectAltName, which is where the later chips have
 * their DevEUI, and takes 0.15 ms for a certificate. */
#ifndef LJS_CODEC_CERT_H
#define LJS_CODEC_CERT_H

#include "base/cursor.h"
#include "keys/es256.h"

enum { CERT_NAME_MAX = 64, CERT_KEY_ID_MAX = 32 };

struct cert {
    struct part whole, tbs;      /* tbs: tbsCertificate, what is signed */
    struct part issuer, subject; /* Names, whole */
    uint8_t key[64];             /* x | y; whether it is on the curve, ljs__p256_check() says */
    uint8_t signature[64];       /* r | s */
    bool is_ca, may_sign, may_certify;
    struct part key_id;              /* SubjectKeyIdentifier; empty for none */
    char common_name[CERT_NAME_MAX]; /* of the subject; "" for none */
    char alt_serial[CERT_NAME_MAX];  /* serialNumber in a directoryName of subjectAltName; "" for none */
};

/* Points into `in`.  What is false is empty. */
bool ljs__cert_read(struct cert *out, const uint8_t *in, size_t in_len);

/* LJS_E_SEAL: not signed by this key. */
ljs_err ljs__cert_verify(const struct cert *cert, const uint8_t issuer_key[64]);

#endif
