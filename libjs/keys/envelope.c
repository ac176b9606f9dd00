#include "keys/ring_inside.h"

enum { SEMI_LEN = 8, STEPS = 6, WRAPPED_LEN = KEY_LEN + SEMI_LEN };

_Static_assert(WRAPPED_LEN == sizeof((ljs_envelope *)0)->key, "an envelope holds a wrapped key");

/* [RFC 3394 §2.2.3.1]  the initial value, and what an unwrap must end in */
#define A6 UINT64_C(0xa6a6a6a6a6a6a6a6)

/* [RFC 3394 §2.2.1]  C from P, where R of ring->work has n semiblocks per lane; A is left in a.  Each step waits
 * for the one before, so lanes are what can be gathered: up to LANES wraps cost little more than one. */
static ljs_err wrap(struct ring *ring, enum key_id kek, size_t lanes, size_t n)
{
    uint64_t(*r)[SEMI_MAX] = ring->work.wrap.r;
    block *b = ring->work.wrap.b; /* A | R[i] */
    struct aes *aes = NULL;       /* or in the token */
    ljs_err err = ring->slot[kek].held ? LJS_OK : ljs__ring_aes(&aes, ring, kek);

    for (size_t lane = 0; lane < lanes; lane++)
        b[lane] = (block){ A6, r[lane][0] };
    for (size_t t = 1, i = 0, next; t <= STEPS * n && !err; t++, i = next) {
        err = aes ? ljs__aes_encrypt(aes, (uint8_t *)b, (const uint8_t *)b, lanes * BLOCK_LEN)
                  : ljs__token_ecb(ring, kek, false, (uint8_t *)b, (const uint8_t *)b, lanes * BLOCK_LEN);
        next = i + 1 < n ? i + 1 : 0;
        for (size_t lane = 0; lane < lanes; lane++) {
            r[lane][i] = b[lane][1];
            b[lane] = (block){ b[lane][0] ^ be64(t), r[lane][next] };
        }
    }
    for (size_t lane = 0; lane < lanes; lane++)
        ring->work.wrap.a[lane] = b[lane][0];
    return err;
}

/* [RFC 3394 §2.2.2]  P from C, in a[0] and r[0] of ring->work */
static ljs_err unwrap(struct ring *ring, enum key_id kek, size_t n)
{
    static const uint64_t a6 = A6;
    uint64_t *a = ring->work.wrap.a, *r = ring->work.wrap.r[0];
    block *b = ring->work.wrap.b;
    struct aes *aes = NULL;
    ljs_err err = ring->slot[kek].held ? LJS_OK : ljs__ring_aes(&aes, ring, kek);

    for (size_t j = STEPS; j-- > 0;)
        for (size_t i = n; i-- > 0 && !err;) {
            *b = (block){ *a ^ be64(n * j + i + 1), r[i] };
            err = aes ? ljs__aes_decrypt(aes, (uint8_t *)b, (const uint8_t *)b, BLOCK_LEN)
                      : ljs__token_ecb(ring, kek, true, (uint8_t *)b, (const uint8_t *)b, BLOCK_LEN);
            *a = (*b)[0];
            r[i] = (*b)[1];
        }
    if (!err && !ljs__equal(a, &a6, sizeof a6))
        err = LJS_E_SEAL;
    return err;
}

/* A label goes with a KEK and only with one. */
static bool label_fits(const char *kek_label, bool has_kek)
{
    if (!kek_label || !kek_label[0])
        return !has_kek;
    return has_kek && strnlen(kek_label, LJS_LABEL_MAX) < LJS_LABEL_MAX;
}

static ljs_err envelopes(ljs_envelope *const *out, struct ring *ring, const enum key_id *ids, size_t n, enum key_id kek)
{
    ljs_err err = LJS_OK;

    for (size_t i = 0; i < n && !err; i++)
        err = slot_check(ring, ids[i]);
    if (err)
        return err;
    if (ring->token)
        return ljs__token_envelopes(out, ring, ids, n, kek);
    if (kek == KEY_NONE) {
        for (size_t i = 0; i < n; i++) {
            memcpy(out[i]->key, ring->slot[ids[i]].octets, KEY_LEN);
            out[i]->key_len = KEY_LEN;
            ljs__public(out[i]->key, KEY_LEN); /* somebody asked for that */
        }
        return LJS_OK;
    }
    for (size_t i = 0; i < n;) {
        size_t lanes = n - i < LANES ? n - i : LANES;

        for (size_t lane = 0; lane < lanes; lane++)
            memcpy(ring->work.wrap.r[lane], ring->slot[ids[i + lane]].octets, KEY_LEN);
        err = wrap(ring, kek, lanes, KEY_LEN / SEMI_LEN);
        if (err)
            return err;
        for (size_t lane = 0; lane < lanes; lane++, i++) {
            memcpy(out[i]->key, &ring->work.wrap.a[lane], SEMI_LEN);
            memcpy(out[i]->key + SEMI_LEN, ring->work.wrap.r[lane], KEY_LEN);
            out[i]->key_len = WRAPPED_LEN;
            ljs__public(out[i]->key, WRAPPED_LEN);
        }
    }
    return LJS_OK;
}

ljs_err ljs__ring_envelopes(ljs_envelope *const *out, struct ring *ring, const enum key_id *ids, size_t n,
                            enum key_id kek, const char *kek_label)
{
    ljs_err err = LJS_E_INVAL;

    if (label_fits(kek_label, kek != KEY_NONE))
        err = envelopes(out, ring, ids, n, kek);
    for (size_t i = 0; i < n; i++) {
        if (err)
            ljs__wipe(out[i], sizeof *out[i]);
        else if (kek != KEY_NONE)
            memcpy(out[i]->kek_label, kek_label, strlen(kek_label));
    }
    return err;
}

ljs_err ljs_envelope_seal(ljs_envelope *out, const ljs_key *key, const ljs_key *kek, const char *kek_label)
{
    const enum key_id id = KEY_WORK;
    struct ring *ring;
    ljs_err err;

    memset(out, 0, sizeof *out);
    err = ljs__ring_lend(&ring, key, kek);
    if (!err)
        err = ljs__ring_envelopes(&out, ring, &id, 1, kek ? KEY_WORK2 : KEY_NONE, kek_label);
    ljs__ring_give(ring);
    return err;
}

ljs_err ljs_envelope_open(ljs_key **out, const ljs_envelope *envelope, const ljs_key *kek)
{
    struct ring *ring = NULL;
    ljs_err err = LJS_E_INVAL;

    *out = NULL;
    if (envelope->key_len == (kek ? WRAPPED_LEN : KEY_LEN))
        err = ljs__ring_lend(&ring, NULL, kek);
    if (!err && kek) {
        memcpy(ring->work.wrap.a, envelope->key, SEMI_LEN);
        memcpy(ring->work.wrap.r[0], envelope->key + SEMI_LEN, KEY_LEN);
        err = unwrap(ring, KEY_WORK2, KEY_LEN / SEMI_LEN);
    }
    if (!err) {
        slot_set(ring, KEY_WORK, kek ? (const void *)ring->work.wrap.r[0] : envelope->key, KEY_LEN);
        err = ljs__ring_key(out, ring, KEY_WORK);
    }
    ljs__ring_give(ring);
    return err;
}

/* [RFC 3394 §2]  n >= 2 semiblocks */
static bool wrappable(size_t len)
{
    return len % SEMI_LEN == 0 && len >= 2 * SEMI_LEN && len <= SEMI_MAX * SEMI_LEN;
}

ljs_err ljs_key_wrap(ljs_buf *out, const ljs_key *kek, const uint8_t *in, size_t in_len)
{
    uint8_t wrapped[(1 + SEMI_MAX) * SEMI_LEN];
    struct ring *ring = NULL;
    ljs_err err = wrappable(in_len) ? LJS_OK : LJS_E_INVAL;

    *out = (ljs_buf){ NULL, 0 };
    if (!err)
        err = ljs__ring_lend(&ring, NULL, kek);
    if (!err) {
        memcpy(ring->work.wrap.r[0], in, in_len);
        err = wrap(ring, KEY_WORK2, 1, in_len / SEMI_LEN);
    }
    if (!err) {
        memcpy(wrapped, ring->work.wrap.a, SEMI_LEN);
        memcpy(wrapped + SEMI_LEN, ring->work.wrap.r[0], in_len);
        err = ljs_buf_copy(out, wrapped, SEMI_LEN + in_len);
    }
    ljs__public(out->data, out->len);
    ljs__ring_give(ring);
    return err;
}

ljs_err ljs__ring_unwrap(struct ring *ring, enum key_id to, enum key_id kek, const uint8_t *in, size_t in_len)
{
    size_t len = in_len < SEMI_LEN ? 0 : in_len - SEMI_LEN;
    ljs_err err;

    if (!is_key_len(len))
        return LJS_E_INVAL;
    memcpy(ring->work.wrap.a, in, SEMI_LEN);
    memcpy(ring->work.wrap.r[0], in + SEMI_LEN, len);
    err = unwrap(ring, kek, len / SEMI_LEN);
    if (!err)
        slot_set(ring, to, ring->work.wrap.r[0], len);
    return err;
}

ljs_err ljs_key_unwrap(ljs_buf *out, const ljs_key *kek, const uint8_t *in, size_t in_len)
{
    size_t len = in_len < SEMI_LEN ? 0 : in_len - SEMI_LEN;
    struct ring *ring = NULL;
    ljs_err err = wrappable(len) ? LJS_OK : LJS_E_INVAL;

    *out = (ljs_buf){ NULL, 0 };
    if (!err)
        err = ljs__ring_lend(&ring, NULL, kek);
    if (!err) {
        memcpy(ring->work.wrap.a, in, SEMI_LEN);
        memcpy(ring->work.wrap.r[0], in + SEMI_LEN, len);
        err = unwrap(ring, KEY_WORK2, len / SEMI_LEN);
    }
    if (!err)
        err = ljs_buf_copy(out, (const uint8_t *)ring->work.wrap.r[0], len);
    ljs__public(out->data, out->len);
    ljs__ring_give(ring);
    return err;
}
