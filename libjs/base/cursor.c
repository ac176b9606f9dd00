#include "base/cursor.h"

#include "base/secret.h"

#include <stdlib.h>

/* Never realloc(): it would leave a copy behind. */
bool ljs__wr_grow(struct wr *w, size_t n)
{
    size_t room = w->room ? w->room : n > 256 ? n : 256;
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
 * key.  Sixteen digits at a time, each in an octet of a vector; each comparison leaves 0 or all ones. ---- */

typedef uint8_t sixteen __attribute__((vector_size(16)));

/* Lower case, of eight octets. */
static sixteen digits_of(const uint8_t in[8])
{
    sixteen v, nibbles;
    uint64_t half[2] = { 0 };

    memcpy(half, in, sizeof half[0]);
    memcpy(&v, half, sizeof v);
    nibbles = __builtin_shufflevector(v >> 4, v & 0x0f, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    return nibbles + '0' + ((sixteen)(nibbles > 9) & ('a' - '0' - 10));
}

void ljs__digits(uint8_t *out, const uint8_t *in, size_t in_len)
{
    sixteen digits;

    for (; in_len >= 8; in_len -= 8, in += 8, out += sizeof digits) {
        digits = digits_of(in);
        memcpy(out, &digits, sizeof digits);
    }
    if (in_len) {
        uint8_t octets[8] = { 0 };

        memcpy(octets, in, in_len);
        digits = digits_of(octets);
        memcpy(out, &digits, 2 * in_len);
        ljs__wipe(octets, sizeof octets);
        ljs__wipe(&digits, sizeof digits);
    }
}

void ljs__wr_hex(struct wr *w, const uint8_t *in, size_t in_len)
{
    uint8_t *at;

    if (in_len > SIZE_MAX / 2)
        w->bad = true;
    else if (in_len && (at = wr_add(w, 2 * in_len)))
        ljs__digits(at, in, in_len);
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

/* The four octets of eight nibbles, the first of both lowest. */
static uint64_t four_of(uint64_t nibbles)
{
    nibbles = (nibbles << 4 | nibbles >> 8) & UINT64_C(0x00ff00ff00ff00ff);
    nibbles = (nibbles | nibbles >> 8) & UINT64_C(0x0000ffff0000ffff);
    return (nibbles | nibbles >> 16) & UINT32_MAX;
}

/* Eight octets of sixteen digits in either case; *bad is not all zeros when there is one that is none. */
static void octets_of(uint8_t out[8], const uint8_t in[16], sixteen *bad)
{
    sixteen v, digit, letter, is_digit, is_letter, nibbles;
    uint64_t half[2]; /* no shuffle of vectors: gcc makes one through memory of it */

    memcpy(&v, in, sizeof v);
    digit = v - '0';
    letter = (v | 0x20) - 'a';
    is_digit = (sixteen)(digit <= 9);
    is_letter = (sixteen)(letter <= 5);
    *bad |= ~(is_digit | is_letter);
    nibbles = (digit & is_digit) | ((letter + 10) & is_letter);
    memcpy(half, &nibbles, sizeof half);
    half[0] = le64(four_of(le64(half[0])) | four_of(le64(half[1])) << 32);
    memcpy(out, half, 8);
}

bool ljs__hex(uint8_t *out, size_t n, const char *text, size_t text_len)
{
    const uint8_t *in = (const uint8_t *)text;
    sixteen bad = { 0 };
    uint64_t half[2], other;
    size_t i = 0;

    if (text_len / 2 != n || text_len % 2)
        return false;
    for (; n - i >= 8; i += 8)
        octets_of(out + i, in + 2 * i, &bad);
    if (i < n) {
        uint8_t digits[16] = { '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0' };
        uint8_t octets[8];

        memcpy(digits, in + 2 * i, 2 * (n - i));
        octets_of(octets, digits, &bad);
        memcpy(out + i, octets, n - i);
        ljs__wipe(digits, sizeof digits);
        ljs__wipe(octets, sizeof octets);
    }
    memcpy(half, &bad, sizeof half);
    other = half[0] | half[1];
    ljs__public(&other, sizeof other);
    if (other && n)
        ljs__wipe(out, n);
    return !other;
}
