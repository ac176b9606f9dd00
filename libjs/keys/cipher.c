#include "keys/ring_inside.h"

ljs_err ljs__encrypt(struct ring *ring, enum key_id id, uint8_t *out, const uint8_t *in, size_t in_len)
{
    struct aes *aes;
    ljs_err err;

    assert(in_len % BLOCK_LEN == 0);
    if (ring->slot[id].held)
        return ljs__token_ecb(ring, id, false, out, in, in_len);
    err = ljs__ring_aes(&aes, ring, id);
    return err ? err : ljs__aes_encrypt(aes, out, in, in_len);
}

ljs_err ljs__decrypt(struct ring *ring, enum key_id id, uint8_t *out, const uint8_t *in, size_t in_len)
{
    struct aes *aes;
    ljs_err err;

    assert(in_len % BLOCK_LEN == 0);
    if (ring->slot[id].held)
        return ljs__token_ecb(ring, id, true, out, in, in_len);
    err = ljs__ring_aes(&aes, ring, id);
    return err ? err : ljs__aes_decrypt(aes, out, in, in_len);
}

/* [RFC 4493 §2.3]  K1 := (L << 1) XOR (const_Rb if MSB(L)), and K2 of K1 likewise; without a branch on a bit of them */
static block subkey(block l, unsigned number)
{
    uint64_t hi = be64(l[0]), lo = be64(l[1]), rb;

    for (unsigned i = 0; i < number; i++) {
        rb = (0 - (hi >> 63)) & 0x87;
        hi = hi << 1 | lo >> 63;
        lo = lo << 1 ^ rb;
    }
    return (block){ be64(hi), be64(lo) };
}

/* [RFC 4493 §2.4]  padding(x): up to 15 octets, a one bit, zeros */
static block padded(const uint8_t *in, size_t len)
{
    const uint64_t one = 0x80;

    return len < 8 ? (block){ le64(up_to_eight(in, len) | one << 8 * len), 0 }
                   : (block){ le64(up_to_eight(in, 8)), le64(up_to_eight(in + 8, len - 8) | one << 8 * (len - 8)) };
}

ljs_err ljs__cmac_beside(struct ring *ring, enum key_id id, uint8_t out[16], const uint8_t *in, size_t in_len, size_t n)
{
    block *k = &ring->work.cmac.k, *x = &ring->work.cmac.x;
    size_t blocks = in_len ? (in_len + BLOCK_LEN - 1) / BLOCK_LEN : 1;
    size_t last_len = in_len - (blocks - 1) * BLOCK_LEN;
    struct aes *aes;
    ljs_err err;

    err = ljs__ring_aes(&aes, ring, id);
    /* [RFC 4493 §2.3, §2.4]  L := AES-128(K, 0) and X := AES-128(K, M_1) do not wait for
     * each other, nor for what is beside them: one call for all. */
    *k = (block){ 0 };
    *x = blocks > 1 ? block_get(in) : (block){ 0 };
    if (!err)
        err = ljs__aes_encrypt(aes, (uint8_t *)k, (uint8_t *)k, (n ? 2 + n : blocks > 1 ? 2 : 1) * BLOCK_LEN);
    if (blocks == 1)
        *x = (block){ 0 };
    for (size_t i = 1; i + 1 < blocks && !err; i++) {
        *x ^= block_get(in + i * BLOCK_LEN);
        err = ljs__aes_encrypt(aes, (uint8_t *)x, (uint8_t *)x, BLOCK_LEN);
    }
    if (err)
        return err;

    /* M_last := M_n XOR K1, or padding(M_n) XOR K2 when M_n is not a whole block */
    if (blocks > 1)
        in += (blocks - 1) * BLOCK_LEN;
    *k = subkey(*k, last_len == BLOCK_LEN ? 1 : 2);
    *x ^= (last_len == BLOCK_LEN ? block_get(in) : padded(in, last_len)) ^ *k;
    err = ljs__aes_encrypt(aes, (uint8_t *)x, (uint8_t *)x, BLOCK_LEN);
    if (!err)
        memcpy(out, x, BLOCK_LEN);
    return err;
}

ljs_err ljs__cmac(struct ring *ring, enum key_id id, uint8_t out[16], const uint8_t *in, size_t in_len)
{
    return ring->slot[id].held ? ljs__token_cmac(ring, id, out, in, in_len)
                               : ljs__cmac_beside(ring, id, out, in, in_len, 0);
}

ljs_err ljs_aes_encrypt(uint8_t out[16], const ljs_key *key, const uint8_t *in, size_t in_len)
{
    struct ring *ring = NULL;
    ljs_err err = in_len == BLOCK_LEN ? ljs__ring_lend(&ring, key, NULL) : LJS_E_INVAL;

    if (!err)
        err = ljs__encrypt(ring, KEY_WORK, out, in, in_len);
    if (err)
        ljs__wipe(out, BLOCK_LEN);
    ljs__public(out, BLOCK_LEN);
    ljs__ring_give(ring);
    return err;
}

ljs_err ljs_aes_decrypt(uint8_t out[16], const ljs_key *key, const uint8_t *in, size_t in_len)
{
    struct ring *ring = NULL;
    ljs_err err = in_len == BLOCK_LEN ? ljs__ring_lend(&ring, key, NULL) : LJS_E_INVAL;

    if (!err)
        err = ljs__decrypt(ring, KEY_WORK, out, in, in_len);
    if (err)
        ljs__wipe(out, BLOCK_LEN);
    ljs__public(out, BLOCK_LEN);
    ljs__ring_give(ring);
    return err;
}

ljs_err ljs_aes_cmac(uint8_t out[16], const ljs_key *key, const uint8_t *in, size_t in_len)
{
    struct ring *ring = NULL;
    ljs_err err = ljs__ring_lend(&ring, key, NULL);

    if (!err)
        err = ljs__cmac(ring, KEY_WORK, out, in, in_len);
    if (err)
        ljs__wipe(out, BLOCK_LEN);
    ljs__public(out, BLOCK_LEN);
    ljs__ring_give(ring);
    return err;
}
