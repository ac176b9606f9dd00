#include "keys/jwe.h"

#include "base/cursor.h"
#include "keys/ring_inside.h"

enum { CEK_LEN = 32, Z_LEN = 32, STACK_BELOW = 8192 };

static const char alg_a128kw[] = "ECDH-ES+A128KW";

/* What is secret here, on a page of its own. */
struct secrets {
    _Alignas(BLOCK_LEN) uint8_t z[Z_LEN], kek[CEK_LEN];
};

static void put_be32(uint8_t out[4], size_t v)
{
    for (unsigned i = 0; i < 4; i++)
        out[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* [RFC 7518 §4.6.2]  SHA-256(1 | Z | AlgorithmID | PartyUInfo | PartyVInfo | SuppPubInfo), each of the three with its
 * length before it; one round gives 32 octets */
ljs_err ljs__concat_kdf(uint8_t *out, size_t len, const uint8_t z[32], const char *alg, struct part apu,
                        struct part apv)
{
    uint8_t round[4], alg_len[4], apu_len[4], apv_len[4], bits[4], hash[32];
    const struct part parts[] = { { round, 4 },   { z, Z_LEN }, { alg_len, 4 }, { alg, strlen(alg) },
                                  { apu_len, 4 }, apu,          { apv_len, 4 }, apv,
                                  { bits, 4 } };
    ljs_err err;

    if (len > sizeof hash)
        return LJS_E_INVAL;
    put_be32(round, 1);
    put_be32(alg_len, strlen(alg));
    put_be32(apu_len, apu.len);
    put_be32(apv_len, apv.len);
    put_be32(bits, 8 * len);
    err = ljs__sha256(hash, parts, COUNT(parts));
    if (!err)
        memcpy(out, hash, len);
    ljs__wipe(hash, sizeof hash);
    ljs__wipe_stack(STACK_BELOW);
    return err;
}

/* The key that the content is encrypted with, into KEY_WORK2. */
static ljs_err take_cek(struct ring *ring, struct secrets *s, const struct jwe *jwe, const ljs_key *secret)
{
    ljs_err err = ljs__p256_agree(s->z, secret->octets, jwe->epk);

    if (!err)
        err = ljs__concat_kdf(s->kek, KEY_LEN, s->z, alg_a128kw, jwe->apu, jwe->apv);
    if (err)
        return err;
    slot_set(ring, KEY_WORK, s->kek, KEY_LEN);
    return ljs__ring_unwrap(ring, KEY_WORK2, KEY_WORK, jwe->wrapped, sizeof jwe->wrapped);
}

ljs_err ljs__jwe_open(uint8_t **out, const struct jwe *jwe, const ljs_key *secret)
{
    struct ring *ring = NULL;
    struct secrets *s = NULL;
    uint8_t *plain = NULL;
    ljs_err err;

    *out = NULL;
    if (secret->len != Z_LEN || !jwe->ciphertext.len || jwe->ciphertext.len > JWE_TEXT_MAX)
        return LJS_E_INVAL;
    if (secret->process != ljs__process())
        return LJS_E_STATE;
    if ((err = ljs__ring_take(&ring)))
        return err;
    s = ljs__secret_alloc((sizeof *s + 15) / 16 * 16);
    plain = ljs__secret_alloc((jwe->ciphertext.len + 15) / 16 * 16);
    if (!s || !plain)
        err = LJS_E_NOMEM;
    if (!err)
        err = take_cek(ring, s, jwe, secret);
    if (!err)
        err = ljs__gcm_open(plain, ring->slot[KEY_WORK2].octets, jwe->iv, jwe->aad, jwe->ciphertext, jwe->tag);
    ljs__wipe_stack(STACK_BELOW);
    ljs__secret_free(s);
    ljs__ring_give(ring);
    if (err) {
        ljs__secret_free(plain);
        return err;
    }
    *out = plain;
    return LJS_OK;
}
