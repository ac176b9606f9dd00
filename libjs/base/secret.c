#include "base/secret.h"

#include <assert.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_uint process = 1;

static void in_child(void)
{
    atomic_fetch_add_explicit(&process, 1, memory_order_relaxed);
}

static ljs_err init_result;
static uint8_t stamp_key[32]; /* drawn once, and in no file */

static void init(void)
{
    if (sodium_init() < 0)
        init_result = LJS_E_CRYPTO;
    else if (pthread_atfork(NULL, NULL, in_child))
        init_result = LJS_E_NOMEM;
    else
        randombytes_buf(stamp_key, sizeof stamp_key);
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

/* From 2 KiB on, the C library fills memory in a way that pays off for much more than that. */
enum { WIPE_AT_ONCE = 2048, STACK_MAX = 16384 };

void ljs__wipe_all(void *mem, size_t len)
{
    uint8_t *at = mem;

    for (; len > WIPE_AT_ONCE; at += WIPE_AT_ONCE, len -= WIPE_AT_ONCE)
        memset(at, 0, WIPE_AT_ONCE);
    if (len) /* NULL is taken */
        memset(at, 0, len);
    __asm__ volatile("" : : "r"(mem) : "memory"); /* who knows who reads it: none of this may be left out */
}

__attribute__((noinline)) void ljs__wipe_stack(size_t len)
{
    uint8_t dead[STACK_MAX];

    assert(len <= sizeof dead);
    ljs__wipe(dead + sizeof dead - len, len); /* what is next to the caller's frame */
}

bool ljs__equal_all(const void *a, const void *b, size_t len)
{
    int differ = sodium_memcmp(a, b, len);

    ljs__public(&differ, sizeof differ);
    return differ == 0;
}

bool ljs__is_zero(const void *mem, size_t len)
{
    int zero = sodium_is_zero(mem, len);

    ljs__public(&zero, sizeof zero);
    return zero == 1;
}

void ljs__random(void *out, size_t len)
{
    randombytes_buf(out, len);
}

void ljs__random_id(uint8_t out[LJS__ID_LEN])
{
    static _Thread_local struct {
        uint8_t id[64][LJS__ID_LEN];
        unsigned left, process; /* what was drawn before a fork() is for the parent */
    } drawn;

    if (!drawn.left || drawn.process != ljs__process()) {
        randombytes_buf(drawn.id, sizeof drawn.id);
        drawn.left = sizeof drawn.id / sizeof *drawn.id;
        drawn.process = ljs__process();
    }
    memcpy(out, drawn.id[--drawn.left], LJS__ID_LEN);
}

_Static_assert(LJS__SEAL_EXTRA ==
                   crypto_aead_xchacha20poly1305_ietf_NPUBBYTES + crypto_aead_xchacha20poly1305_ietf_ABYTES,
               "a seal is nonce, ciphertext, tag");

void ljs__seal(uint8_t *out, const uint8_t key[32], const uint8_t *ad, size_t ad_len, const uint8_t *in, size_t in_len)
{
    uint8_t *sealed = out + crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;

    randombytes_buf(out, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
    crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, NULL, in, in_len, ad, ad_len, NULL, out, key);
    ljs__public(out, in_len + LJS__SEAL_EXTRA);
}

ljs_err ljs__open(uint8_t *out, const uint8_t key[32], const uint8_t *ad, size_t ad_len, const uint8_t *in,
                  size_t in_len)
{
    const size_t nonce_len = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
    int bad;

    if (in_len < LJS__SEAL_EXTRA)
        return LJS_E_SEAL;
    bad = crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, in + nonce_len, in_len - nonce_len, ad, ad_len,
                                                     in, key);
    ljs__public(&bad, sizeof bad);
    if (bad) {
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

void ljs__tag_led(uint8_t out[16], const uint8_t key[32], const uint8_t *in, size_t in_len)
{
    crypto_generichash_state state;

    crypto_generichash_init(&state, NULL, 0, 16);
    crypto_generichash_update(&state, key, 32);
    crypto_generichash_update(&state, in, in_len);
    crypto_generichash_final(&state, out, 16); /* which wipes it */
}

void ljs__stamp(uint8_t out[16], const uint8_t *in, size_t in_len)
{
    ljs__tag(out, stamp_key, in, in_len);
}

void ljs__hash(uint8_t out[16], const uint8_t *in, size_t in_len)
{
    crypto_generichash(out, 16, in, in_len, NULL, 0);
}

struct digesting {
    crypto_generichash_state state; /* of what everybody may see */
};

struct digesting *ljs__digest_new(void)
{
    size_t align = _Alignof(struct digesting), len = (sizeof(struct digesting) + align - 1) / align * align;
    struct digesting *d = aligned_alloc(align < sizeof(void *) ? sizeof(void *) : align, len);

    if (d)
        crypto_generichash_init(&d->state, NULL, 0, LJS__DIGEST_LEN);
    return d;
}

void ljs__digest_add(struct digesting *d, const uint8_t *in, size_t in_len)
{
    crypto_generichash_update(&d->state, in, in_len);
}

void ljs__digest_end(uint8_t out[LJS__DIGEST_LEN], struct digesting *d)
{
    crypto_generichash_final(&d->state, out, LJS__DIGEST_LEN);
    free(d);
}

void ljs__subkey(uint8_t out[32], const uint8_t master[32], uint64_t id, const char context[8])
{
    crypto_kdf_derive_from_key(out, 32, id, context, master);
}

_Static_assert(crypto_pwhash_argon2id_SALTBYTES == 16, "the salt of a passphrase");

bool ljs__base64(uint8_t *out, size_t room, size_t *out_len, bool url, const char *text, size_t text_len)
{
    bool padded = text_len && text[text_len - 1] == '=';
    int variant = !url     ? sodium_base64_VARIANT_ORIGINAL
                  : padded ? sodium_base64_VARIANT_URLSAFE
                           : sodium_base64_VARIANT_URLSAFE_NO_PADDING;

    *out_len = 0;
    if (text_len && sodium_base642bin(out, room, text, text_len, NULL, out_len, NULL, variant)) {
        *out_len = 0;
        return false;
    }
    return true;
}

void ljs__base64url(char *out, const uint8_t *in, size_t in_len)
{
    sodium_bin2base64(out, sodium_base64_encoded_len(in_len, sodium_base64_VARIANT_URLSAFE_NO_PADDING), in, in_len,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

ljs_err ljs__stretch(uint8_t out[32], const uint8_t salt[16], uint32_t memory, uint32_t passes, const uint8_t *in,
                     size_t in_len)
{
    /* The ranges are the caller's care, so what is left to fail is memory.  An empty passphrase is one, too. */
    if (crypto_pwhash_argon2id(out, 32, in_len ? (const char *)in : "", in_len, salt, passes, (size_t)memory * 1024,
                               crypto_pwhash_argon2id_ALG_ARGON2ID13)) {
        sodium_memzero(out, 32);
        return LJS_E_NOMEM;
    }
    return LJS_OK;
}

_Static_assert(LJS__BOX_LEN == crypto_box_SEALBYTES + 32, "a sealed box around a key");

void ljs__box_public(uint8_t out[32], const uint8_t secret[32])
{
    crypto_scalarmult_base(out, secret);
    ljs__public(out, 32);
}

ljs_err ljs__box_seal(uint8_t out[LJS__BOX_LEN], const uint8_t public_key[32], const uint8_t in[32])
{
    if (crypto_box_seal(out, in, 32, public_key))
        return LJS_E_INVAL;
    ljs__public(out, LJS__BOX_LEN);
    return LJS_OK;
}

ljs_err ljs__box_open(uint8_t out[32], const uint8_t secret[32], const uint8_t in[LJS__BOX_LEN])
{
    uint8_t public_key[32];
    int bad;

    crypto_scalarmult_base(public_key, secret);
    bad = crypto_box_seal_open(out, in, LJS__BOX_LEN, public_key, secret);
    ljs__public(&bad, sizeof bad);
    if (bad) {
        sodium_memzero(out, 32);
        return LJS_E_SEAL;
    }
    return LJS_OK;
}

ljs_err ljs__box_agree(uint8_t out[32], const uint8_t secret[32], const uint8_t public_key[32])
{
    int bad = crypto_scalarmult(out, secret, public_key);

    ljs__public(&bad, sizeof bad);
    return bad ? LJS_E_INVAL : LJS_OK;
}

struct signing {
    crypto_sign_state state; /* of what everybody may see */
};

struct signing *ljs__signing_new(void)
{
    struct signing *s = malloc(sizeof *s);

    if (s)
        crypto_sign_init(&s->state);
    return s;
}

void ljs__signing_add(struct signing *s, const uint8_t *in, size_t in_len)
{
    crypto_sign_update(&s->state, in, in_len);
}

void ljs__signing_sign(uint8_t out[64], struct signing *s, const uint8_t seed[32])
{
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES], secret[crypto_sign_SECRETKEYBYTES];

    crypto_sign_seed_keypair(public_key, secret, seed);
    crypto_sign_final_create(&s->state, out, NULL, secret);
    sodium_memzero(secret, sizeof secret);
    ljs__public(out, crypto_sign_BYTES);
    crypto_sign_init(&s->state);
}

bool ljs__signing_verify(struct signing *s, const uint8_t signature[64], const uint8_t public_key[32])
{
    bool good = crypto_sign_final_verify(&s->state, signature, public_key) == 0;

    crypto_sign_init(&s->state);
    return good;
}

void ljs__signing_free(struct signing *s)
{
    free(s);
}

void ljs__sign_public(uint8_t out[32], const uint8_t seed[32])
{
    uint8_t secret[crypto_sign_SECRETKEYBYTES];

    crypto_sign_seed_keypair(out, secret, seed);
    sodium_memzero(secret, sizeof secret);
    ljs__public(out, crypto_sign_PUBLICKEYBYTES);
}
