/* The floor of whoever has libgcrypt do AES: its calls for a join, in secure handles, and as little around them as
 * there can be.  The keys of each join are scheduled by it, the schedules of both KEKs kept ready; blocks that do not
 * wait for each other share a call.  Nothing is wiped, no page is guarded, nothing is checked but the MIC of the
 * request: this is no way to write a Join Server, it is the least that one over libgcrypt takes.
 *
 * libgcrypt 1.10 takes the blocks of an ECB call one by one.  It takes them side by side in CFB when it decrypts,
 * which encrypts what it reads; and CBC is a chain of blocks in one call, as CMAC wants it.  Each is used where it
 * takes less.  With BENCH_ECB in the environment all are ECB, as those of libjs/keys/ are. */
#include "floor.h"

#include <gcrypt.h>
#include <stdlib.h>

typedef uint64_t block __attribute__((vector_size(16)));

/* A handle of CBC, and the block that it will add to the next: the last that it put out. */
struct chain {
    gcry_cipher_hd_t handle;
    block last;
};

static bool all_ecb;
/* For one thread; `other` has AppKey, and then JSIntKey. */
static gcry_cipher_hd_t nwk, ns_kek;
static struct chain other, as_kek;

INLINE block load(const void *at)
{
    block b;

    memcpy(&b, at, sizeof b);
    return b;
}

INLINE block padded(const uint8_t *at, size_t len)
{
    uint8_t octets[16];

    pad(octets, at, len);
    return load(octets);
}

INLINE block block_of(struct words w, uint64_t number)
{
    return (block){ w.low | number, w.high };
}

/* [RFC 4493]  twice a block of the field, most significant octet first */
INLINE block twice(block b)
{
    uint64_t hi = __builtin_bswap64(b[0]), lo = __builtin_bswap64(b[1]);

    return (block){ __builtin_bswap64(hi << 1 | lo >> 63), __builtin_bswap64(lo << 1 ^ (0x87 & (0 - (hi >> 63)))) };
}

/* ---- calls ------------------------------------------------------------------ */

INLINE void set_key(gcry_cipher_hd_t handle, const void *key)
{
    MUST(!gcry_cipher_setkey(handle, key, 16));
}

/* In the handle's own mode: ECB is each of n blocks. */
INLINE void encrypt(gcry_cipher_hd_t handle, block *x, size_t n)
{
    MUST(!gcry_cipher_encrypt(handle, x, 16 * n, NULL, 0));
}

/* x[0] = E(x[0]), and each that follows E(x[i] ^ x[i - 1]) */
INLINE void cbc(struct chain *chain, block *x, size_t n)
{
    x[0] ^= chain->last;
    encrypt(chain->handle, x, n);
    chain->last = x[n - 1];
}

/* Each of n blocks: decrypting CFB puts out E(the block before) ^ block.  The last of a call, before the first of the
 * next, is zero. */
INLINE void cfb(gcry_cipher_hd_t handle, block *x, size_t n)
{
    block y[4];

    for (size_t i = 0; i < n; i++)
        y[i] = x[i];
    y[n] = (block){ 0 };
    MUST(!gcry_cipher_decrypt(handle, y, 16 * (n + 1), NULL, 0));
    for (size_t i = 0; i < n; i++)
        x[i] = i + 1 < n ? y[i + 1] ^ x[i + 1] : y[i + 1];
}

/* ---- the join --------------------------------------------------------------- */

/* The MIC goes to the end of the accept; a device encrypts what it gets, so this decrypts. */
INLINE void seal(uint8_t accept[33], block mac)
{
    memcpy(accept + 29, &mac, 4);
    MUST(!gcry_cipher_decrypt(nwk, accept + 1, 32, NULL, 0));
}

static bool join_a(struct answer *out, const struct fixture *f)
{
    struct parsed p;
    struct words session;
    block x[5], y[2], k2;

    if (!parse(&p, f->request))
        return false;
    accept_of(out->accept, f, f->dl_settings_a);
    session.low = be(f->join_nonce, 3) << 8 | be(f->net_id, 3) << 32 | (uint64_t)(p.dev_nonce & 0xff) << 56;
    session.high = p.dev_nonce >> 8;
    x[0] = (block){ 0 };
    x[1] = load(f->request);
    x[2] = load(out->accept);
    x[3] = block_of(session, 1);
    x[4] = block_of(session, 2);
    set_key(nwk, f->nwk_key);
    encrypt(nwk, x, 5);
    k2 = twice(twice(x[0]));
    memcpy(out->key[0], &x[3], 16);
    memcpy(out->key[3], &x[4], 16);
    y[0] = x[1] ^ k2 ^ padded(f->request + 16, 3);
    y[1] = x[2] ^ k2 ^ padded(out->accept + 16, 13);
    encrypt(nwk, y, 2);
    if (memcmp(&y[0], f->request + 19, 4) != 0)
        return false;
    seal(out->accept, y[1]);
    return true;
}

/* [L2 1.1 §6.2.3]  The MIC of an accept, under JSIntKey: of three blocks, the last waits for E(0) by K2. */
INLINE block mac_of_accept(const uint8_t before[48], block js_int)
{
    block x[3] = { { 0 }, load(before) }, last = padded(before + 32, 8);

    set_key(other.handle, &js_int);
    if (all_ecb) {
        encrypt(other.handle, x, 2);
        x[1] ^= load(before + 16);
        encrypt(other.handle, x + 1, 1);
        x[2] = x[1] ^ twice(twice(x[0])) ^ last;
        encrypt(other.handle, x + 2, 1);
        return x[2];
    }
    cbc(&other, x, 1);
    x[2] = twice(twice(x[0])) ^ last;
    x[0] = load(before);
    x[1] = load(before + 16);
    cbc(&other, x, 3);
    return x[2];
}

INLINE bool join_1_1(struct answer *out, block keys[4], const struct fixture *f)
{
    struct parsed p;
    struct words session;
    uint8_t before[48];
    block x[6];

    if (!parse(&p, f->request))
        return false;
    accept_of(out->accept, f, f->dl_settings_b);
    before_accept(before, &p, out->accept);
    session = session_b(f, &p);
    x[0] = (block){ 0 };
    x[1] = load(f->request);
    x[2] = block_of(device(&p), 0x06); /* JSIntKey */
    x[3] = block_of(session, 1);
    x[4] = block_of(session, 3);
    x[5] = block_of(session, 4);
    set_key(nwk, f->nwk_key);
    encrypt(nwk, x, 6);
    x[1] ^= twice(twice(x[0])) ^ padded(f->request + 16, 3);
    encrypt(nwk, x + 1, 1);
    if (memcmp(&x[1], f->request + 19, 4) != 0)
        return false;
    memcpy(keys, x + 3, 48);
    keys[3] = block_of(session, 2);
    set_key(other.handle, f->app_key);
    if (all_ecb)
        encrypt(other.handle, keys + 3, 1);
    else
        cbc(&other, keys + 3, 1);
    seal(out->accept, mac_of_accept(before, x[2]));
    return true;
}

/* [RFC 3394 §2.2.1]  one step of four wraps, three under one KEK and the fourth under the other */
INLINE void wrap_step(uint64_t a[4], uint64_t r[4], uint64_t t)
{
    block x[4];

    for (int i = 0; i < 4; i++)
        x[i] = (block){ a[i], r[i] };
    if (all_ecb) {
        encrypt(ns_kek, x, 3);
        encrypt(as_kek.handle, x + 3, 1);
    } else {
        cfb(ns_kek, x, 3);
        cbc(&as_kek, x + 3, 1);
    }
    for (int i = 0; i < 4; i++) {
        a[i] = x[i][0] ^ t << 56;
        r[i] = x[i][1];
    }
}

INLINE void wrap(struct answer *out, const block keys[4])
{
    uint64_t a[4], r1[4], r2[4];

    for (int i = 0; i < 4; i++) {
        a[i] = 0xa6a6a6a6a6a6a6a6;
        r1[i] = keys[i][0];
        r2[i] = keys[i][1];
    }
    for (uint64_t t = 0; t < 12; t += 2) {
        wrap_step(a, r1, t + 1);
        wrap_step(a, r2, t + 2);
    }
    for (int i = 0; i < 4; i++) {
        memcpy(out->wrapped[i], &a[i], 8);
        memcpy(out->wrapped[i] + 8, &r1[i], 8);
        memcpy(out->wrapped[i] + 16, &r2[i], 8);
    }
}

static bool joined(int which, struct answer *out, const struct fixture *f)
{
    block keys[4];

    if (which == 'a')
        return join_a(out, f);
    if (!join_1_1(out, keys, f))
        return false;
    if (which == 'b')
        memcpy(out->key, keys, sizeof keys);
    else
        wrap(out, keys);
    return true;
}

/* ---- as a worker ------------------------------------------------------------ */

static gcry_cipher_hd_t opened(int mode, const uint8_t *key)
{
    gcry_cipher_hd_t handle;

    MUST(!gcry_cipher_open(&handle, GCRY_CIPHER_AES128, all_ecb ? GCRY_CIPHER_MODE_ECB : mode, GCRY_CIPHER_SECURE));
    set_key(handle, key);
    return handle;
}

static bool begin(int which)
{
    (void)which;
    if (nwk)
        return true;
    all_ecb = getenv("BENCH_ECB") != NULL;
    MUST(gcry_check_version(GCRYPT_VERSION));
    MUST(!gcry_control(GCRYCTL_INIT_SECMEM, 16384, 0));
    gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    nwk = opened(GCRY_CIPHER_MODE_ECB, fixtures->join[0].nwk_key); /* it decrypts, too */
    other.handle = opened(GCRY_CIPHER_MODE_CBC, fixtures->join[0].app_key);
    ns_kek = opened(GCRY_CIPHER_MODE_CFB, fixtures->ns_kek);
    as_kek.handle = opened(GCRY_CIPHER_MODE_CBC, fixtures->as_kek);
    return true;
}

int main(int argc, char **argv)
{
    return worker(argc, argv, works, WORKS);
}
