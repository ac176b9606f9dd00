#include "base/cursor.h"

#include "base/secret.h"

#include <stdlib.h>

/* Never realloc(): it would leave a copy behind. */
bool ljs__wr_grow(struct wr *w, size_t n)
{
    size_t room = w->room ? w->room : 256;
    uint8_t *data;

    if (w->bad || n > SIZE_MAX / 2 - w->len)
        goto bad;
    if (n <= w->room - w->len)
        return true;
    while (room < w->len + n)
        room *= 2;
    if (!(data = malloc(room)))
        goto bad;
    if (w->len)
        memcpy(data, w->data, w->len);
    if (w->data)
        ljs__wipe(w->data, w->len);
    free(w->data);
    w->data = data;
    w->room = room;
    return true;
bad:
    w->bad = true;
    return false;
}

void ljs__wr_le(struct wr *w, uint64_t v, unsigned n)
{
    uint8_t *at = n ? wr_add(w, n) : NULL;

    for (unsigned i = 0; at && i < n; i++)
        at[i] = i < 8 ? (uint8_t)(v >> (8 * i)) : 0;
}

/* ---- hexadecimal: no table and no branch that would depend on the octets, which may be those of a
 * key.  Eight digits at a time, each in an octet of a number; the first digit in the lowest. ---- */

#define ONES UINT64_C(0x0101010101010101) /* times n: n in each octet */

static uint64_t le_get(const uint8_t *in, size_t n)
{
    uint64_t v = 0;

    memcpy(&v, in, n);
    return le64(v);
}

static void le_put(uint8_t *out, uint64_t v, size_t n)
{
    v = le64(v);
    memcpy(out, &v, n);
}

/* Lower case, of four octets. */
static uint64_t digits_of(const uint8_t in[4])
{
    uint64_t v = le_get(in, 4), nibbles, over_9;

    v = (v | v << 16) & UINT64_C(0x0000ffff0000ffff);
    v = (v | v << 8) & UINT64_C(0x00ff00ff00ff00ff);
    nibbles = (v >> 4 | v << 8) & 0x0f * ONES;
    over_9 = (nibbles + 6 * ONES) >> 4 & ONES;

    return nibbles + '0' * ONES + over_9 * ('a' - '0' - 10);
}

void ljs__wr_hex(struct wr *w, const uint8_t *in, size_t in_len)
{
    uint8_t *at;

    if (in_len > SIZE_MAX / 2) {
        w->bad = true;
        return;
    }
    if (!in_len || !(at = wr_add(w, 2 * in_len)))
        return;
    for (; in_len >= 4; in_len -= 4, in += 4, at += 8)
        le_put(at, digits_of(in), 8);
    if (in_len) {
        uint8_t octets[4] = { 0 }, digits[8];

        memcpy(octets, in, in_len);
        le_put(digits, digits_of(octets), 8);
        memcpy(at, digits, 2 * in_len);
        ljs__wipe(octets, sizeof octets);
        ljs__wipe(digits, sizeof digits);
    }
}

ljs_err ljs__wr_take(ljs_buf *out, struct wr *w)
{
    *out = (ljs_buf){ NULL, 0 };
    if (w->bad) {
        ljs__wr_drop(w);
        return LJS_E_NOMEM;
    }
    *out = (ljs_buf){ w->data, w->len };
    *w = (struct wr){ 0 };
    return LJS_OK;
}

void ljs__wr_drop(struct wr *w)
{
    if (w->data)
        ljs__wipe(w->data, w->len);
    free(w->data);
    *w = (struct wr){ 0 };
}

/* The octets of v, each below 0x80, that are `low` to `high`: their top bits. */
static uint64_t within(uint64_t v, uint8_t low, uint8_t high)
{
    return (v + (0x80U - low) * ONES) & ~(v + (0x7fU - high) * ONES) & 0x80 * ONES;
}

/* Four octets of eight digits in either case; the top bits in *bad are of what is no digit. */
static void octets_of(uint8_t out[4], uint64_t digits, uint64_t *bad)
{
    uint64_t v = digits & 0x7f * ONES;
    uint64_t letters = within(v | 0x20 * ONES, 'a', 'f');
    uint64_t nibbles = (v & 0x0f * ONES) + (letters >> 7) * 9;

    *bad |= ~(within(v, '0', '9') | letters) | digits;
    nibbles = (nibbles << 4 | nibbles >> 8) & UINT64_C(0x00ff00ff00ff00ff);
    nibbles = (nibbles | nibbles >> 8) & UINT64_C(0x0000ffff0000ffff);
    le_put(out, nibbles | nibbles >> 16, 4);
}

bool ljs__hex(uint8_t *out, size_t n, const char *text, size_t text_len)
{
    const uint8_t *in = (const uint8_t *)text;
    uint64_t bad = 0;
    size_t i = 0;

    if (text_len / 2 != n || text_len % 2)
        return false;
    for (; n - i >= 4; i += 4)
        octets_of(out + i, le_get(in + 2 * i, 8), &bad);
    if (i < n) {
        uint8_t digits[8] = "00000000", octets[4];

        memcpy(digits, in + 2 * i, 2 * (n - i));
        octets_of(octets, le_get(digits, 8), &bad);
        memcpy(out + i, octets, n - i);
        ljs__wipe(digits, sizeof digits);
        ljs__wipe(octets, sizeof octets);
    }
    bad &= 0x80 * ONES;
    ljs__public(&bad, sizeof bad);
    if (bad && n)
        ljs__wipe(out, n);
    return !bad;
}
