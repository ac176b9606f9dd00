#include "keys/gcrypt.h"

#include <gcrypt.h>

enum {
    /* What libgcrypt 1.10 takes for an AES handle, with its block header, rounded up. */
    HANDLE_LEN = 2048,
    /* Grown by this when more rings are in use than the pool was made for. */
    POOL_STEP = 64 * 1024,
};

static ljs_err err_of(gcry_error_t error)
{
    switch (gcry_err_code(error)) {
    case GPG_ERR_NO_ERROR:
        return LJS_OK;
    case GPG_ERR_ENOMEM:
        return LJS_E_NOMEM;
    default:
        return LJS_E_CRYPTO;
    }
}

ljs_err ljs__aes_init(size_t handles)
{
    if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
        return LJS_OK;
    /* A library neither prints nor drops privileges that its host may still need. */
    gcry_control(GCRYCTL_DISABLE_SECMEM_WARN);
    gcry_control(GCRYCTL_DISABLE_PRIV_DROP);
    if (!gcry_check_version(GCRYPT_VERSION))
        return LJS_E_CRYPTO;
    if (gcry_control(GCRYCTL_AUTO_EXPAND_SECMEM, (unsigned)POOL_STEP, 0))
        return LJS_E_CRYPTO;
    if (gcry_control(GCRYCTL_INIT_SECMEM, (unsigned)(handles * HANDLE_LEN), 0))
        return LJS_E_NOMEM; /* there is a pool, but it could not be locked: RLIMIT_MEMLOCK */
    gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    return LJS_OK;
}

ljs_err ljs__aes_open(struct aes *out, size_t key_len)
{
    static const int algos[] = { GCRY_CIPHER_AES128, GCRY_CIPHER_AES192, GCRY_CIPHER_AES256 };
    gcry_error_t error;

    *out = (struct aes){ .key_len = key_len };
    error = gcry_cipher_open(&out->handle, algos[key_len / 8 - 2], GCRY_CIPHER_MODE_ECB, GCRY_CIPHER_SECURE);
    if (error)
        out->handle = NULL;
    return err_of(error);
}

void ljs__aes_close(struct aes *aes)
{
    gcry_cipher_close(aes->handle);
    *aes = (struct aes){ .handle = NULL };
}

/* The schedule for decrypting is made when it is first used, and its last round key is the
 * key itself.  Setting another key neither replaces it nor spares it the copy that
 * libgcrypt keeps of the context for a reset.  So reset first: that puts the context back
 * to when its key was set, before there was such a schedule. */
static gcry_error_t set_key(struct aes *aes, const uint8_t *key)
{
    gcry_error_t error = aes->decrypted ? gcry_cipher_reset(aes->handle) : 0;

    if (!error)
        error = gcry_cipher_setkey(aes->handle, key, aes->key_len);
    if (!error)
        aes->decrypted = false;
    return error;
}

ljs_err ljs__aes_key(struct aes *aes, const uint8_t *key)
{
    aes->keyed = true;
    return err_of(set_key(aes, key));
}

ljs_err ljs__aes_encrypt(struct aes *aes, uint8_t *out, const uint8_t *in, size_t in_len)
{
    return err_of(gcry_cipher_encrypt(aes->handle, out, in_len, in, in_len));
}

ljs_err ljs__aes_decrypt(struct aes *aes, uint8_t *out, const uint8_t *in, size_t in_len)
{
    aes->decrypted = true;
    return err_of(gcry_cipher_decrypt(aes->handle, out, in_len, in, in_len));
}

ljs_err ljs__aes_forget(struct aes *aes)
{
    static const uint8_t zero[32];
    gcry_error_t error;

    if (!aes->keyed)
        return LJS_OK;
    error = set_key(aes, zero);
    if (!error)
        aes->keyed = false;
    return err_of(error);
}
