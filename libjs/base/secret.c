#include "base/secret.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>

static atomic_uint process = 1;

static void in_child(void)
{
    atomic_fetch_add_explicit(&process, 1, memory_order_relaxed);
}

static ljs_err init_result;

static void init(void)
{
    if (sodium_init() < 0)
        init_result = LJS_E_CRYPTO;
    else if (pthread_atfork(NULL, NULL, in_child))
        init_result = LJS_E_NOMEM;
}

ljs_err ljs__init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    if (pthread_once(&once, init))
        return LJS_E_CRYPTO;
    return init_result;
}

unsigned ljs__process(void)
{
    return atomic_load_explicit(&process, memory_order_relaxed);
}

void *ljs__secret_alloc(size_t len)
{
    void *secret = sodium_malloc(len);

    if (!secret)
        return NULL;
    /* sodium_malloc() locks too, but does not tell whether it could. */
    if (sodium_mlock(secret, len)) {
        sodium_free(secret);
        return NULL;
    }
    sodium_memzero(secret, len);
    return secret;
}

void ljs__secret_free(void *secret)
{
    sodium_free(secret);
}

void ljs__wipe(void *mem, size_t len)
{
    sodium_memzero(mem, len);
}

void ljs__wipe_stack(size_t len)
{
    sodium_stackzero(len);
}

bool ljs__equal(const void *a, const void *b, size_t len)
{
    return sodium_memcmp(a, b, len) == 0;
}

bool ljs__is_zero(const void *mem, size_t len)
{
    return sodium_is_zero(mem, len) == 1;
}

void ljs__random(void *out, size_t len)
{
    randombytes_buf(out, len);
}

_Static_assert(LJS__SEAL_EXTRA ==
                   crypto_aead_xchacha20poly1305_ietf_NPUBBYTES + crypto_aead_xchacha20poly1305_ietf_ABYTES,
               "a seal is nonce, ciphertext, tag");

void ljs__seal(uint8_t *out, const uint8_t key[32], const uint8_t *ad, size_t ad_len, const uint8_t *in, size_t in_len)
{
    uint8_t *sealed = out + crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;

    randombytes_buf(out, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
    crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, NULL, in, in_len, ad, ad_len, NULL, out, key);
}

ljs_err ljs__open(uint8_t *out, const uint8_t key[32], const uint8_t *ad, size_t ad_len, const uint8_t *in,
                  size_t in_len)
{
    const size_t nonce_len = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;

    if (in_len < LJS__SEAL_EXTRA)
        return LJS_E_SEAL;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, in + nonce_len, in_len - nonce_len, ad, ad_len, in,
                                                   key)) {
        if (in_len > LJS__SEAL_EXTRA)
            sodium_memzero(out, in_len - LJS__SEAL_EXTRA);
        return LJS_E_SEAL;
    }
    return LJS_OK;
}

void ljs__tag(uint8_t out[16], const uint8_t key[32], const uint8_t *in, size_t in_len)
{
    crypto_generichash(out, 16, in, in_len, key, 32);
}

void ljs__hash(uint8_t out[16], const uint8_t *in, size_t in_len)
{
    crypto_generichash(out, 16, in, in_len, NULL, 0);
}

void ljs__subkey(uint8_t out[32], const uint8_t master[32], uint64_t id, const char context[8])
{
    crypto_kdf_derive_from_key(out, 32, id, context, master);
}

_Static_assert(crypto_pwhash_argon2id_SALTBYTES == 16, "the salt of a passphrase");

ljs_err ljs__stretch(uint8_t out[32], const uint8_t salt[16], uint32_t memory, uint32_t passes, const uint8_t *in,
                     size_t in_len)
{
    /* The ranges are the caller's care, so what is left to fail is memory. */
    if (crypto_pwhash_argon2id(out, 32, (const char *)in, in_len, salt, passes, (size_t)memory * 1024,
                               crypto_pwhash_argon2id_ALG_ARGON2ID13)) {
        sodium_memzero(out, 32);
        return LJS_E_NOMEM;
    }
    return LJS_OK;
}
