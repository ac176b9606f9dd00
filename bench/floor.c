/* The floor: what the processor's own AES takes for a join, and no library at all.  One join per
 * call, its independent blocks interleaved, round keys made while they are used, the schedules of
 * both KEKs kept ready.  Nothing is wiped and every key lies about: this is no way to write a Join
 * Server, it is what one is measured by. */
#include <stdio.h>

#if defined(__AES__) && defined(__AVX__)
#include "floor.h"

#include <immintrin.h>

#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 10")
#endif

enum { ROUNDS = 10 };

struct schedule {
    __m128i k[ROUNDS + 1];
};

/* ---- AES-128 ---------------------------------------------------------------- */

INLINE __m128i next_key(__m128i k, __m128i assist)
{
    k = _mm_xor_si128(k, _mm_slli_si128(k, 4));
    k = _mm_xor_si128(k, _mm_slli_si128(k, 8));
    return _mm_xor_si128(k, _mm_shuffle_epi32(assist, 0xff));
}

/* One round: its key, and with it every block of both kinds that are under way. */
#define ROUND(i, rcon)                                                                                                 \
    do {                                                                                                               \
        s->k[i] = next_key(s->k[(i)-1], _mm_aeskeygenassist_si128(s->k[(i)-1], rcon));                                 \
        for (int b = 0; b < n; b++)                                                                                    \
            x[b] = (i) < ROUNDS ? _mm_aesenc_si128(x[b], s->k[i]) : _mm_aesenclast_si128(x[b], s->k[i]);               \
    } while (0)

/* Make the schedule of `key` and encrypt n blocks on the way. */
INLINE void expand_encrypt(struct schedule *s, __m128i key, __m128i *x, const int n)
{
    s->k[0] = key;
    for (int b = 0; b < n; b++)
        x[b] = _mm_xor_si128(x[b], key);
    ROUND(1, 0x01);
    ROUND(2, 0x02);
    ROUND(3, 0x04);
    ROUND(4, 0x08);
    ROUND(5, 0x10);
    ROUND(6, 0x20);
    ROUND(7, 0x40);
    ROUND(8, 0x80);
    ROUND(9, 0x1b);
    ROUND(10, 0x36);
}

INLINE void encrypt(const struct schedule *s, __m128i *x, const int n)
{
    for (int b = 0; b < n; b++)
        x[b] = _mm_xor_si128(x[b], s->k[0]);
    UNROLL
    for (int i = 1; i < ROUNDS; i++)
        for (int b = 0; b < n; b++)
            x[b] = _mm_aesenc_si128(x[b], s->k[i]);
    for (int b = 0; b < n; b++)
        x[b] = _mm_aesenclast_si128(x[b], s->k[ROUNDS]);
}

INLINE void decrypt(const struct schedule *s, __m128i *x, const int n)
{
    for (int b = 0; b < n; b++)
        x[b] = _mm_xor_si128(x[b], s->k[ROUNDS]);
    UNROLL
    for (int i = ROUNDS - 1; i; i--) {
        __m128i k = _mm_aesimc_si128(s->k[i]);

        for (int b = 0; b < n; b++)
            x[b] = _mm_aesdec_si128(x[b], k);
    }
    for (int b = 0; b < n; b++)
        x[b] = _mm_aesdeclast_si128(x[b], s->k[0]);
}

/* [RFC 4493]  twice a block of the field, most significant octet first */
INLINE __m128i twice(__m128i v)
{
    const __m128i swap = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m128i low = _mm_set_epi32(1, 1, 1, 0x87);
    __m128i carry;

    v = _mm_shuffle_epi8(v, swap);
    carry = _mm_and_si128(_mm_shuffle_epi32(_mm_srai_epi32(v, 31), 0x93), low);
    return _mm_shuffle_epi8(_mm_xor_si128(_mm_slli_epi32(v, 1), carry), swap);
}

INLINE __m128i load(const void *at)
{
    return _mm_loadu_si128((const __m128i *)at);
}

INLINE void store(void *at, __m128i v)
{
    _mm_storeu_si128((__m128i *)at, v);
}

INLINE __m128i padded(const uint8_t *at, size_t len)
{
    uint8_t block[16];

    pad(block, at, len);
    return load(block);
}

INLINE __m128i block_of(struct words w, uint64_t number)
{
    return _mm_set_epi64x((int64_t)w.high, (int64_t)(w.low | number));
}

/* ---- the join --------------------------------------------------------------- */

static struct schedule ns_kek, as_kek;

INLINE bool mic_is(__m128i mac, const uint8_t mic[4])
{
    uint32_t want;

    memcpy(&want, mic, 4);
    return (uint32_t)_mm_cvtsi128_si32(mac) == want;
}

static __attribute__((noinline)) bool join_a(struct answer *out, const struct fixture *f)
{
    struct schedule s;
    struct parsed p;
    uint8_t accept[33];
    uint32_t mic;
    uint64_t low, join_nonce = be(f->join_nonce, 3), net_id = be(f->net_id, 3);
    __m128i x[5], y[2], k2;

    if (!parse(&p, f->request))
        return false;
    accept_of(accept, f, f->dl_settings_a);
    low = join_nonce << 8 | net_id << 32 | (uint64_t)(p.dev_nonce & 0xff) << 56;
    x[0] = _mm_setzero_si128();
    x[1] = load(f->request);
    x[2] = load(accept);
    x[3] = _mm_set_epi64x(p.dev_nonce >> 8, (int64_t)(low | 1));
    x[4] = _mm_set_epi64x(p.dev_nonce >> 8, (int64_t)(low | 2));
    expand_encrypt(&s, load(f->nwk_key), x, 5);
    k2 = twice(twice(x[0]));
    store(out->key[0], x[3]);
    store(out->key[3], x[4]);
    y[0] = _mm_xor_si128(_mm_xor_si128(x[1], k2), padded(f->request + 16, 3));
    y[1] = _mm_xor_si128(_mm_xor_si128(x[2], k2), padded(accept + 16, 13));
    encrypt(&s, y, 2);
    if (!mic_is(y[0], f->request + 19))
        return false;
    mic = (uint32_t)_mm_cvtsi128_si32(y[1]);
    y[0] = load(accept + 1);
    memcpy(accept + 29, &mic, 4);
    y[1] = load(accept + 17);
    decrypt(&s, y, 2);
    out->accept[0] = 0x20;
    store(out->accept + 1, y[0]);
    store(out->accept + 17, y[1]);
    return true;
}

INLINE bool join_1_1(struct answer *out, __m128i keys[4], const struct fixture *f)
{
    struct schedule nwk, app, js_int;
    struct parsed p;
    struct words session;
    uint8_t accept[33], before[48];
    uint32_t mic;
    __m128i x[6], y[2], z[2];

    if (!parse(&p, f->request))
        return false;
    accept_of(accept, f, f->dl_settings_b);
    session = session_b(f, &p);
    x[0] = block_of(device(&p), 0x06); /* JSIntKey */
    x[1] = _mm_setzero_si128();
    x[2] = load(f->request);
    x[3] = block_of(session, 1);
    x[4] = block_of(session, 3);
    x[5] = block_of(session, 4);
    expand_encrypt(&nwk, load(f->nwk_key), x, 6);
    keys[0] = x[3];
    keys[1] = x[4];
    keys[2] = x[5];
    keys[3] = block_of(session, 2);
    before_accept(before, &p, accept);
    y[0] = _mm_setzero_si128();
    y[1] = load(before);
    expand_encrypt(&js_int, x[0], y, 2);
    z[0] = _mm_xor_si128(_mm_xor_si128(x[2], twice(twice(x[1]))), padded(f->request + 16, 3));
    encrypt(&nwk, z, 1);
    expand_encrypt(&app, load(f->app_key), keys + 3, 1);
    z[1] = _mm_xor_si128(y[1], load(before + 16));
    encrypt(&js_int, z + 1, 1);
    z[1] = _mm_xor_si128(_mm_xor_si128(z[1], twice(twice(y[0]))), padded(before + 32, 8));
    encrypt(&js_int, z + 1, 1);
    if (!mic_is(z[0], f->request + 19))
        return false;
    mic = (uint32_t)_mm_cvtsi128_si32(z[1]);
    memcpy(accept + 29, &mic, 4);
    y[0] = load(accept + 1);
    y[1] = load(accept + 17);
    decrypt(&nwk, y, 2);
    out->accept[0] = 0x20;
    store(out->accept + 1, y[0]);
    store(out->accept + 17, y[1]);
    return true;
}

static __attribute__((noinline)) bool join_b(struct answer *out, const struct fixture *f)
{
    __m128i keys[4];

    if (!join_1_1(out, keys, f))
        return false;
    for (int i = 0; i < 4; i++)
        store(out->key[i], keys[i]);
    return true;
}

/* [RFC 3394 §2.2.1]  one step of four wraps side by side, all in registers: three under one KEK, the
 * fourth under the other */
INLINE void wrap_step(__m128i a[4], __m128i r[4], uint64_t t)
{
    __m128i x[4];

    __asm__("" ::: "memory"); /* round keys stay where they are, instead of blocks in too few registers */
    for (int i = 0; i < 4; i++)
        x[i] = _mm_xor_si128(_mm_unpacklo_epi64(a[i], r[i]), i < 3 ? ns_kek.k[0] : as_kek.k[0]);
    UNROLL
    for (int k = 1; k < ROUNDS; k++)
        for (int i = 0; i < 4; i++)
            x[i] = _mm_aesenc_si128(x[i], i < 3 ? ns_kek.k[k] : as_kek.k[k]);
    for (int i = 0; i < 4; i++) {
        x[i] = _mm_aesenclast_si128(x[i], i < 3 ? ns_kek.k[ROUNDS] : as_kek.k[ROUNDS]);
        a[i] = _mm_xor_si128(x[i], _mm_set_epi64x(0, (int64_t)(t << 56)));
        r[i] = _mm_unpackhi_epi64(x[i], x[i]);
    }
}

static __attribute__((noinline)) bool join_c(struct answer *out, const struct fixture *f)
{
    __m128i a[4], r1[4], r2[4];

    if (!join_1_1(out, r1, f))
        return false;
    for (int i = 0; i < 4; i++) {
        a[i] = _mm_set1_epi8((char)0xa6);
        r2[i] = _mm_unpackhi_epi64(r1[i], r1[i]);
    }
    UNROLL
    for (uint64_t t = 0; t < 12; t += 2) {
        wrap_step(a, r1, t + 1);
        wrap_step(a, r2, t + 2);
    }
    for (int i = 0; i < 4; i++) {
        _mm_storel_epi64((__m128i *)out->wrapped[i], a[i]);
        _mm_storeu_si128((__m128i *)(out->wrapped[i] + 8), _mm_unpacklo_epi64(r1[i], r2[i]));
    }
    return true;
}

/* ---- as a worker ------------------------------------------------------------ */

static bool begin(int which)
{
    (void)which;
    if (!__builtin_cpu_supports("aes") || !__builtin_cpu_supports("avx"))
        return false;
    expand_encrypt(&ns_kek, load(fixtures->ns_kek), NULL, 0);
    expand_encrypt(&as_kek, load(fixtures->as_kek), NULL, 0);
    return true;
}

static bool joined(int which, struct answer *out, const struct fixture *f)
{
    return which == 'a' ? join_a(out, f) : which == 'b' ? join_b(out, f) : join_c(out, f);
}

int main(int argc, char **argv)
{
    return worker(argc, argv, works, WORKS);
}

#else

int main(void)
{
    fprintf(stderr, "there is no floor for this processor\n");
    return 1;
}

#endif
