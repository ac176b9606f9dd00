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

typedef uint64_t two __attribute__((vector_size(16)));

/* Lower case, of eight octets. */
static sixteen digits_of(uint64_t eight)
{
    sixteen v = (sixteen)(two){ eight, 0 }, nibbles;

    nibbles = __builtin_shufflevector(v >> 4, v & 0x0f, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    return nibbles + '0' + ((sixteen)(nibbles > 9) & ('a' - '0' - 10));
}

void ljs__digits(uint8_t *out, const uint8_t *in, size_t in_len)
{
    sixteen digits;
    uint64_t eight;
    size_t i = 0;

    for (; in_len - i >= sizeof eight; i += sizeof eight) {
        memcpy(&eight, in + i, sizeof eight);
        digits = digits_of(eight);
        memcpy(out + 2 * i, &digits, sizeof digits);
    }
    if (i == in_len)
        return;
    if (i) { /* once more some of those before */
        memcpy(&eight, in + in_len - sizeof eight, sizeof eight);
        digits = digits_of(eight);
        memcpy(out + 2 * in_len - sizeof digits, &digits, sizeof digits);
    } else {
        eight = le64(up_to_eight(in, in_len));
        digits = digits_of(eight);
        memcpy(out, &digits, 2 * in_len);
        ljs__wipe(&digits, sizeof digits);
    }
    ljs__wipe(&eight, sizeof eight);
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

/* Eight octets of sixteen digits in either case, the first lowest; *bad is not all zeros when there is one that is
 * none. */
static uint64_t octets_of(sixteen v, sixteen *bad)
{
    sixteen digit = v - '0', letter = (v | 0x20) - 'a', is_digit = (sixteen)(digit <= 9),
            is_letter = (sixteen)(letter <= 5);
    two half; /* no shuffle of vectors: gcc makes one through memory of it */

    *bad |= ~(is_digit | is_letter);
    half = (two)((digit & is_digit) | ((letter + 10) & is_letter));
    return four_of(le64(half[0])) | four_of(le64(half[1])) << 32;
}

/* Of fewer: the other digits are zeros. */
static sixteen few_digits(const uint8_t *in, size_t n)
{
    const uint64_t zeros = UINT64_C(0x3030303030303030);

    if (n > 8)
        return (sixteen)(two){ le64(up_to_eight(in, 8)), le64(up_to_eight(in + 8, n - 8) | zeros << 8 * (n % 8)) };
    return (sixteen)(two){ le64(n < 8 ? up_to_eight(in, n) | zeros << 8 * n : up_to_eight(in, n)), zeros };
}

bool ljs__hex(uint8_t *out, size_t n, const char *text, size_t text_len)
{
    const uint8_t *in = (const uint8_t *)text;
    sixteen bad = { 0 }, v;
    uint64_t eight = 0, other;
    size_t i = 0;
    two half;

    if (text_len / 2 != n || text_len % 2)
        return false;
    for (; n - i >= sizeof eight; i += sizeof eight) {
        memcpy(&v, in + 2 * i, sizeof v);
        eight = le64(octets_of(v, &bad));
        memcpy(out + i, &eight, sizeof eight);
    }
    if (i < n) {
        eight = octets_of(few_digits(in + 2 * i, 2 * (n - i)), &bad);
        put_up_to_eight(out + i, eight, n - i);
    }
    ljs__wipe(&eight, sizeof eight);
    half = (two)bad;
    other = half[0] | half[1];
    ljs__public(&other, sizeof other);
    if (other && n)
        ljs__wipe(out, n);
    return !other;
}
