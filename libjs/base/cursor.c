#include "base/cursor.h"

#include "base/secret.h"

#include <stdlib.h>

/* Make room for n more octets.  Never realloc(): it would leave a copy behind. */
static bool grow(struct wr *w, size_t n)
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
        ljs__wipe(w->data, w->room);
    free(w->data);
    w->data = data;
    w->room = room;
    return true;
bad:
    w->bad = true;
    return false;
}

void ljs__wr(struct wr *w, const void *in, size_t in_len)
{
    if (in_len == 0 || !grow(w, in_len))
        return;
    memcpy(w->data + w->len, in, in_len);
    w->len += in_len;
}

void ljs__wr_le(struct wr *w, uint64_t v, unsigned n)
{
    if (!grow(w, n))
        return;
    for (unsigned i = 0; i < n; i++)
        w->data[w->len++] = i < 8 ? (uint8_t)(v >> (8 * i)) : 0;
}

void ljs__wr_text(struct wr *w, const char *text)
{
    ljs__wr(w, text, strlen(text));
}

/* Lower case, without a table or a branch that would depend on the octets: they may be
 * those of a key. */
static uint8_t digit(unsigned nibble)
{
    unsigned over_9 = (9u - nibble) >> 8 & 1; /* 9 - nibble wraps from 10 on */

    return (uint8_t)('0' + nibble + over_9 * ('a' - '0' - 10));
}

void ljs__wr_hex(struct wr *w, const uint8_t *in, size_t in_len)
{
    if (in_len > SIZE_MAX / 2) {
        w->bad = true;
        return;
    }
    if (!grow(w, 2 * in_len))
        return;
    for (size_t i = 0; i < in_len; i++) {
        w->data[w->len++] = digit(in[i] >> 4);
        w->data[w->len++] = digit(in[i] & 15);
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
        ljs__wipe(w->data, w->room);
    free(w->data);
    *w = (struct wr){ 0 };
}

/* 0..15, or 16 for what is no digit; no branch and no table, as above. */
static uint32_t nibble_of(unsigned char c)
{
    uint32_t dec = (uint32_t)c - '0';          /* 0..9 for a digit */
    uint32_t hex = ((uint32_t)c | 0x20) - 'a'; /* 0..5 for a letter of either case */
    /* x < n for small n: x - n has the top bit set, and x (that did not wrap) has not. */
    uint32_t is_dec = ((dec - 10) & ~dec) >> 31;
    uint32_t is_hex = ((hex - 6) & ~hex) >> 31;

    return is_dec * dec + is_hex * (hex + 10) + (1 - is_dec - is_hex) * 16;
}

bool ljs__hex(uint8_t *out, size_t n, const char *text, size_t text_len)
{
    uint32_t all = 0;

    if (text_len / 2 != n || text_len % 2)
        return false;
    for (size_t i = 0; i < n; i++) {
        uint32_t hi = nibble_of((unsigned char)text[2 * i]);
        uint32_t lo = nibble_of((unsigned char)text[2 * i + 1]);

        all |= hi | lo;
        out[i] = (uint8_t)((hi << 4 | lo) & 0xff);
    }
    if (all > 15 && n)
        ljs__wipe(out, n);
    return all <= 15;
}
