/* pack.h -- msgpack-c's only user: maps with small integer keys, as records are laid
 * out.  The writer packs into a struct wr; the reader is a cursor of the kind of struct
 * rd: it goes bad and stays bad. */
#ifndef LJS_BASE_PACK_H
#define LJS_BASE_PACK_H

#include "base/cursor.h"

void ljs__pack_map(struct wr *w, unsigned n);                      /* then n times key, value */
void ljs__pack_uints(struct wr *w, const uint64_t *v, unsigned n); /* one after another */
void ljs__pack_bin(struct wr *w, const void *in, size_t in_len);
void ljs__pack_text(struct wr *w, const char *text);

/* Numbers below 128, as keys are, and the headers of short arrays are octets of themselves, which is most of what there
 * is to write and to read; the others are written by msgpack-c. */
static inline bool ljs__pack_octet(struct wr *out, uint8_t octet)
{
    if (out->bad || out->len == out->room)
        return false;
    out->data[out->len++] = octet;
    return true;
}

void ljs__pack_uint_wide(struct wr *w, uint64_t v);
static inline void ljs__pack_uint(struct wr *out, uint64_t v)
{
    if (v >= 0x80 || !ljs__pack_octet(out, (uint8_t)v))
        ljs__pack_uint_wide(out, v);
}

void ljs__pack_int_wide(struct wr *w, int64_t v);
static inline void ljs__pack_int(struct wr *out, int64_t v)
{
    if (v < -0x20 || v >= 0x80 || !ljs__pack_octet(out, (uint8_t)v))
        ljs__pack_int_wide(out, v);
}

void ljs__pack_array_long(struct wr *w, unsigned n);
static inline void ljs__pack_array(struct wr *out, unsigned n) /* then n values */
{
    if (n >= 0x10 || !ljs__pack_octet(out, (uint8_t)(0x90 | n)))
        ljs__pack_array_long(out, n);
}

/* Reading: strict about types and ranges, copies nothing, allocates nothing.  Begin with
 * `struct unpack u = { .rd = { in, in_len, false } };` and end with rd_done(&u.rd): values are
 * read one by one, a container by its header first.  What is bad gives 0, NULL or "";
 * a count is never more than the octets left can hold, so a loop over it is bounded. */
struct unpack {
    struct rd rd;
    bool loose; /* something that was read stands in other octets than the writer above gives it */
};

unsigned ljs__unpack_map(struct unpack *u); /* number of pairs */
/* n of them, one after another, each with a most of its own */
void ljs__unpack_uints(struct unpack *u, uint64_t *out, const uint64_t *max, unsigned n);
const uint8_t *ljs__unpack_bin(struct unpack *u, size_t *len, size_t max);
/* text into out[room], NUL added; bad when it does not fit or contains NUL */
void ljs__unpack_text(struct unpack *u, char *out, size_t room);

unsigned ljs__unpack_array_long(struct unpack *u);
static inline unsigned ljs__unpack_array(struct unpack *u) /* number of values */
{
    struct rd *rd = &u->rd;

    if (rd->bad || !rd->left || (*rd->at & 0xf0) != 0x90 || (*rd->at & 0x0fU) >= rd->left)
        return ljs__unpack_array_long(u);
    rd->left--;
    return *rd->at++ & 0x0fU;
}

uint64_t ljs__unpack_uint_wide(struct unpack *u, uint64_t max);
static inline uint64_t ljs__unpack_uint(struct unpack *u, uint64_t max)
{
    struct rd *rd = &u->rd;

    if (rd->bad || !rd->left || *rd->at >= 0x80 || *rd->at > max)
        return ljs__unpack_uint_wide(u, max);
    rd->left--;
    return *rd->at++;
}

int64_t ljs__unpack_int_wide(struct unpack *u, int64_t min, int64_t max);
static inline int64_t ljs__unpack_int(struct unpack *u, int64_t min, int64_t max)
{
    struct rd *rd = &u->rd;
    int64_t v = rd->bad || !rd->left ? INT64_MIN : (int8_t)*rd->at;

    if (v < -0x20 || v < min || v > max)
        return ljs__unpack_int_wide(u, min, max);
    rd->at++;
    rd->left--;
    return v;
}

void ljs__unpack_fixed_long(struct unpack *u, void *out, size_t len);
static inline void ljs__unpack_fixed(struct unpack *u, void *out, size_t len) /* bin of exactly len octets */
{
    struct rd *rd = &u->rd;
    enum { HEADER = 2 };

    if (rd->bad || rd->left < HEADER + len || rd->at[0] != 0xc4 || rd->at[1] != len) {
        ljs__unpack_fixed_long(u, out, len);
        return;
    }
    memcpy(out, rd->at + HEADER, len);
    rd->at += HEADER + len;
    rd->left -= HEADER + len;
}

#endif
