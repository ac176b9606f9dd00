/* cursor.h -- read octets with a cursor that goes bad and stays bad: read everything,
 * ask once.  Write into a buffer that grows, likewise. */
#ifndef LJS_BASE_CURSOR_H
#define LJS_BASE_CURSOR_H

#include <lorajs/base.h>

#include <stdbool.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

struct rd {
    const uint8_t *at;
    size_t left;
    bool bad;
};

/* n octets, or NULL */
static inline const uint8_t *rd_bytes(struct rd *r, size_t n)
{
    const uint8_t *at = r->at;

    if (r->bad || n > r->left) {
        r->bad = true;
        return NULL;
    }
    if (n) /* NULL + 0 is not defined */
        r->at += n;
    r->left -= n;
    return at;
}

/* A number as it lies in memory with its lowest octet first, and back. */
static inline uint64_t le64(uint64_t v)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return v;
#else
    return __builtin_bswap64(v);
#endif
}

static inline uint32_t le32(uint32_t v)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return v;
#else
    return __builtin_bswap32(v);
#endif
}

static inline uint16_t le16(uint16_t v)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return v;
#else
    return __builtin_bswap16(v);
#endif
}

/* The same of one with its highest octet first. */
static inline uint64_t be64(uint64_t v)
{
    return __builtin_bswap64(le64(v));
}

/* Up to eight octets, the first of them lowest, with zeros behind them: with no loop, and no call. */
static inline uint64_t up_to_eight(const void *in, size_t n)
{
    const uint8_t *at = in;
    uint64_t all = 0;
    uint32_t first, last;

    if (n == sizeof all) {
        memcpy(&all, at, sizeof all);
        return le64(all);
    }
    if (n >= sizeof first) { /* two that overlap */
        memcpy(&first, at, sizeof first);
        memcpy(&last, at + n - sizeof last, sizeof last);
        return le32(first) | (uint64_t)le32(last) << 8 * (n - sizeof last);
    }
    return n ? at[0] | (uint64_t)at[n / 2] << 8 * (n / 2) | (uint64_t)at[n - 1] << 8 * (n - 1) : 0;
}

/* The same back: n of them, 8 at the most, lowest first. */
static inline void put_up_to_eight(void *out, uint64_t all, size_t n)
{
    uint8_t *at = out;
    uint32_t first = le32((uint32_t)all), last;

    if (n == sizeof all) {
        all = le64(all);
        memcpy(at, &all, sizeof all);
    } else if (n >= sizeof first) { /* two that overlap */
        last = le32((uint32_t)(all >> 8 * (n - sizeof last)));
        memcpy(at, &first, sizeof first);
        memcpy(at + n - sizeof last, &last, sizeof last);
    } else if (n) {
        at[n / 2] = (uint8_t)(all >> 8 * (n / 2));
        at[n - 1] = (uint8_t)(all >> 8 * (n - 1));
        at[0] = (uint8_t)all;
    }
}

/* n <= 8 */
static inline uint64_t rd_le(struct rd *r, unsigned n)
{
    const uint8_t *at = rd_bytes(r, n);
    uint64_t v = 0;

    if (at)
        memcpy(&v, at, n);
    return le64(v);
}

static inline void rd_copy(struct rd *r, uint8_t *out, size_t n)
{
    const uint8_t *at = rd_bytes(r, n);

    if (at && n)
        memcpy(out, at, n);
}

static inline bool rd_done(const struct rd *r)
{
    return !r->bad && r->left == 0;
}

/* Grows by itself; `bad` when there was no memory.  ljs__wr_take() gives the octets
 * away, ljs__wr_drop() wipes and frees them.  Growing wipes what it leaves behind. */
struct wr {
    uint8_t *data;
    size_t len, room;
    bool bad;
};

/* Makes room for n more; false, and bad, when there is no memory.  Called by itself, or first by who knows
 * about how much is to come. */
bool ljs__wr_grow(struct wr *w, size_t n);

/* Room for n octets that the caller writes; NULL when it is bad. */
static inline uint8_t *wr_add(struct wr *w, size_t n)
{
    uint8_t *at;

    if ((w->bad || n > w->room - w->len) && !ljs__wr_grow(w, n))
        return NULL;
    at = w->data + w->len;
    w->len += n;
    return at;
}

static inline void ljs__wr(struct wr *w, const void *in, size_t in_len)
{
    uint8_t *at = in_len ? wr_add(w, in_len) : NULL;

    if (at)
        memcpy(at, in, in_len);
}

static inline void ljs__wr_text(struct wr *w, const char *text) /* without its NUL */
{
    ljs__wr(w, text, strlen(text));
}

void ljs__wr_le(struct wr *w, uint64_t v, unsigned n);
void ljs__digits(uint8_t *out, const uint8_t *in, size_t in_len); /* hexadecimal: twice as many */
void ljs__wr_hex(struct wr *w, const uint8_t *in, size_t in_len);
ljs_err ljs__wr_take(ljs_buf *out, struct wr *w); /* LJS_OK or LJS_E_NOMEM; w is empty after */
void ljs__wr_drop(struct wr *w);

/* n octets of hexadecimal, either case, exactly: false otherwise.  Constant time in the digits. */
bool ljs__hex(uint8_t *out, size_t n, const char *text, size_t text_len);

#endif
