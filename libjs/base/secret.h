/* secret.h -- libsodium's only user: guarded memory, wiping, comparing, random octets,
 * the seal and the tag.  [DESIGN rule: one foreign library, one adapter] */
#ifndef LJS_BASE_SECRET_H
#define LJS_BASE_SECRET_H

#include <lorajs/base.h>

#include <stdbool.h>
#include <string.h>

/* Here something made of a secret becomes public: that a MIC matches, what goes on air, a key under a
 * key.  Nothing, but in the build of tests/constant_time.py, under which valgrind finds every other
 * branch and every index that depends on a secret. */
#ifdef LJS_CONSTANT_TIME
#include <valgrind/memcheck.h>
#define ljs__public(mem, len) ((void)VALGRIND_MAKE_MEM_DEFINED(mem, len))
#else
#define ljs__public(mem, len) ((void)(mem), (void)(len))
#endif

/* Once per process; every constructor of a handle calls it first. */
ljs_err ljs__init(void);

/* A number that changes in the child of a fork(): a handle keeps that of its birth. */
unsigned ljs__process(void);

void *ljs__secret_alloc(size_t len); /* guarded, locked, zeroed; NULL when there is no locked memory */
void ljs__secret_free(void *secret); /* wipes; NULL is taken */

void ljs__wipe_all(void *mem, size_t len);
/* Zeros in the place of a secret, also where nothing of ours reads them.  Of a few octets whose number is known to the
 * compiler it makes a few stores, none of which it may leave out before the barrier: a call takes longer than they do.
 */
static inline void ljs__wipe(void *mem, size_t len)
{
    enum { IN_PLACE = 64 };

    if (!__builtin_constant_p(len) || len > IN_PLACE) {
        ljs__wipe_all(mem, len);
        return;
    }
    memset(mem, 0, len);
    __asm__ volatile("" : : "r"(mem) : "memory");
}
/* Wipe `len` octets, up to 16 KiB, of dead stack below the caller. */
void ljs__wipe_stack(size_t len);
bool ljs__equal_all(const void *a, const void *b, size_t len);
/* Constant time.  Few octets whose number is known to the compiler, as those of tags and MICs are, by two words: what
 * it knows of these ends before they are judged, so that it has no reason to stop early. */
static inline bool ljs__equal(const void *a, const void *b, size_t len)
{
    uint64_t x[2] = { 0 }, y[2] = { 0 }, differ;

    if (!__builtin_constant_p(len) || len > sizeof x)
        return ljs__equal_all(a, b, len);
    memcpy(x, a, len);
    memcpy(y, b, len);
    differ = (x[0] ^ y[0]) | (x[1] ^ y[1]);
    __asm__ volatile("" : "+r"(differ));
    ljs__public(&differ, sizeof differ);
    return differ == 0;
}
bool ljs__is_zero(const void *mem, size_t len); /* constant time */
void ljs__random(void *out, size_t len);
/* For names that everybody may see: drawn from the kernel for several of them at once, since that
 * takes longer than to verify a frame. */
enum { LJS__ID_LEN = 16 };
void ljs__random_id(uint8_t out[LJS__ID_LEN]);

enum { LJS__SEAL_EXTRA = 24 + 16 };

/* XChaCha20-Poly1305: out = nonce(24) | ciphertext | tag(16), in_len + LJS__SEAL_EXTRA octets.
 * The nonce is drawn anew each time. */
void ljs__seal(uint8_t *out, const uint8_t key[32], const uint8_t *ad, size_t ad_len, const uint8_t *in, size_t in_len);
/* out: in_len - LJS__SEAL_EXTRA octets, wiped when it fails.  LJS_E_SEAL. */
ljs_err ljs__open(uint8_t *out, const uint8_t key[32], const uint8_t *ad, size_t ad_len, const uint8_t *in,
                  size_t in_len);

void ljs__tag(uint8_t out[16], const uint8_t key[32], const uint8_t *in, size_t in_len); /* keyed BLAKE2b-128 */
/* BLAKE2b-128 of key | in.  As good a tag, since nobody can go on from the end of a BLAKE2b; and a key of its own fills
 * a block of 128 octets, which is one of four for a record. */
void ljs__tag_led(uint8_t out[16], const uint8_t key[32], const uint8_t *in, size_t in_len);
/* A tag under a key of this process alone: what it has made itself, and believes when it comes back. */
void ljs__stamp(uint8_t out[16], const uint8_t *in, size_t in_len);
void ljs__hash(uint8_t out[16], const uint8_t *in, size_t in_len); /* BLAKE2b-128 */
/* BLAKE2b-256 of octets that come one after another. */
enum { LJS__DIGEST_LEN = 32 };
struct digesting;
struct digesting *ljs__digest_new(void); /* NULL: no memory */
void ljs__digest_add(struct digesting *d, const uint8_t *in, size_t in_len);
void ljs__digest_end(uint8_t out[LJS__DIGEST_LEN], struct digesting *d); /* frees it */
void ljs__subkey(uint8_t out[32], const uint8_t master[32], uint64_t id, const char context[8]);

/* Base64 [RFC 4648]: all of the text, no white space, no bits left over, and the padding of the
 * standard alphabet; that of the URL's alphabet may be left out.  false leaves *out_len 0. */
bool ljs__base64(uint8_t *out, size_t room, size_t *out_len, bool url, const char *text, size_t text_len);
/* URL's alphabet without padding, and a NUL; out holds in_len * 4 / 3 + 2. */
void ljs__base64url(char *out, const uint8_t *in, size_t in_len);

/* Argon2id, version 1.3, one lane [RFC 9106]: a key of a passphrase.  memory is in KiB, 8 at the
 * least.  LJS_E_NOMEM. */
ljs_err ljs__stretch(uint8_t out[32], const uint8_t salt[16], uint32_t memory, uint32_t passes, const uint8_t *in,
                     size_t in_len);

/* X25519 [RFC 7748], and 32 octets to whoever has the secret: an ephemeral key, and
 * XSalsa20-Poly1305 (libsodium's sealed box).  LJS_E_INVAL for a public key that is none. */
enum { LJS__BOX_LEN = 32 + 48 };
void ljs__box_public(uint8_t out[32], const uint8_t secret[32]);
ljs_err ljs__box_seal(uint8_t out[LJS__BOX_LEN], const uint8_t public_key[32], const uint8_t in[32]);
ljs_err ljs__box_open(uint8_t out[32], const uint8_t secret[32], const uint8_t in[LJS__BOX_LEN]); /* LJS_E_SEAL */
/* What both halves have in common.  LJS_E_INVAL for a public key that is none. */
ljs_err ljs__box_agree(uint8_t out[32], const uint8_t secret[32], const uint8_t public_key[32]);

/* Ed25519ph [RFC 8032 §5.1] of octets that come one after another. */
struct signing;
struct signing *ljs__signing_new(void); /* NULL: no memory */
void ljs__signing_add(struct signing *s, const uint8_t *in, size_t in_len);
/* Each of these ends it; the state is then that of the empty string. */
void ljs__signing_sign(uint8_t out[64], struct signing *s, const uint8_t seed[32]);
bool ljs__signing_verify(struct signing *s, const uint8_t signature[64], const uint8_t public_key[32]);
void ljs__signing_free(struct signing *s);
void ljs__sign_public(uint8_t out[32], const uint8_t seed[32]);

#endif
