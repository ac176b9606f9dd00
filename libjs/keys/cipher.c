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

/* [RFC 4493 §2.3]  (L << 1) XOR (const_Rb if MSB(L)), without a branch on it */
static block doubled(block l)
{
    uint64_t hi = be64(l[0]), lo = be64(l[1]);
    uint64_t rb = (0 - (hi >> 63)) & 0x87;

    return (block){ be64(hi << 1 | lo >> 63), be64(lo << 1 ^ rb) };
}

ljs_err ljs__cmac(struct ring *ring, enum key_id id, uint8_t out[16], const uint8_t *in, size_t in_len)
{
    block *k = &ring->work.cmac.k, *x = &ring->work.cmac.x, last = { 0 };
    size_t blocks = in_len ? (in_len + BLOCK_LEN - 1) / BLOCK_LEN : 1;
    size_t last_len = in_len - (blocks - 1) * BLOCK_LEN;
    struct aes *aes;
    ljs_err err;

    if (ring->slot[id].held)
        return ljs__token_cmac(ring, id, out, in, in_len);
    err = ljs__ring_aes(&aes, ring, id);
    /* [RFC 4493 §2.3, §2.4]  L := AES-128(K, 0) and X := AES-128(K, M_1) do not wait for
     * each other: one call for both. */
    *k = (block){ 0 };
    *x = blocks > 1 ? block_get(in) : (block){ 0 };
    if (!err)
        err = ljs__aes_encrypt(aes, (uint8_t *)k, (uint8_t *)k, blocks > 1 ? 2 * BLOCK_LEN : BLOCK_LEN);
    for (size_t i = 1; i + 1 < blocks && !err; i++) {
        *x ^= block_get(in + i * BLOCK_LEN);
        err = ljs__aes_encrypt(aes, (uint8_t *)x, (uint8_t *)x, BLOCK_LEN);
    }
    if (err)
        return err;

    /* M_last := M_n XOR K1, or padding(M_n) XOR K2 when M_n is not a whole block */
    *k = doubled(*k);
    if (last_len == BLOCK_LEN) {
        last = block_get(in + (blocks - 1) * BLOCK_LEN);
    } else {
        uint8_t padded[BLOCK_LEN] = { 0 };

        *k = doubled(*k);
        if (last_len)
            memcpy(padded, in + (blocks - 1) * BLOCK_LEN, last_len);
        padded[last_len] = 0x80;
        last = block_get(padded);
    }
    *x ^= last ^ *k;
    err = ljs__aes_encrypt(aes, (uint8_t *)x, (uint8_t *)x, BLOCK_LEN);
    if (!err)
        memcpy(out, x, BLOCK_LEN);
    return err;
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
