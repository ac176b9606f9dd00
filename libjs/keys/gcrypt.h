/* gcrypt.h -- libgcrypt's only user: AES of whole blocks, with handles that live as long
 * as the ring they belong to.  [DESIGN rule: one foreign library, one adapter] */
#ifndef LJS_KEYS_GCRYPT_H
#define LJS_KEYS_GCRYPT_H

#include <lorajs/base.h>

#include <stdbool.h>

struct gcry_cipher_handle;

/* One key length, one handle in secure memory: re-keyed, never reopened, because opening
 * takes the global lock of the secure pool. */
struct aes {
    struct gcry_cipher_handle *handle;
    size_t key_len;
    bool keyed;     /* has held a key since ljs__aes_forget() */
    bool decrypted; /* and has made the schedule for decrypting with it */
};

/* Initialise libgcrypt for this number of handles, once per process.  A host that has
 * initialised it already keeps what it chose: when its secure pool is too small,
 * ljs__aes_open() says so.  LJS_E_NOMEM: no locked memory for it. */
ljs_err ljs__aes_init(size_t handles);

/* key_len is 16, 24 or 32.  LJS_E_NOMEM: no secure memory. */
ljs_err ljs__aes_open(struct aes *out, size_t key_len);
void ljs__aes_close(struct aes *aes); /* wipes; one that was never opened is taken */

ljs_err ljs__aes_key(struct aes *aes, const uint8_t *key);
/* ECB, in place allowed; in_len is a multiple of 16. */
ljs_err ljs__aes_encrypt(struct aes *aes, uint8_t *out, const uint8_t *in, size_t in_len);
ljs_err ljs__aes_decrypt(struct aes *aes, uint8_t *out, const uint8_t *in, size_t in_len);
/* No schedule of any key but zero is left in the handle. */
ljs_err ljs__aes_forget(struct aes *aes);

#endif
