/* secrets.h -- the encrypted keys in the payload of a manifest's entry.  What is opened is in guarded memory, and read
 * there; nothing of it is in an error. */
#ifndef LJS_CODEC_SECRETS_H
#define LJS_CODEC_SECRETS_H

#include <lorajs/manifest.h>

/* The i-th of encryptedSecretKeySet.keys; the payload is JSON that was believed.  As ljs_manifest_open_secret(). */
ljs_err ljs__secret_read(ljs_manifest_secret *out, ljs_key **out_key, const uint8_t *payload, size_t payload_len,
                         unsigned i, const ljs_key *recipient);

#endif
