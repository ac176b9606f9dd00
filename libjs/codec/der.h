/* der.h -- DER [X.690] with a cursor: each value is a cursor of its own over its contents. */
#ifndef LJS_CODEC_DER_H
#define LJS_CODEC_DER_H

#include "base/cursor.h"
#include "keys/es256.h"

enum { BOOLEAN = 0x01, INTEGER = 0x02, BITS = 0x03, OCTETS = 0x04, OID = 0x06, SEQUENCE = 0x30, SET = 0x31 };

/* The contents of the next value, which has this tag; or bad.  [X.690 §10.1]  lengths are the shortest. */
static inline struct rd der(struct rd *r, uint8_t tag)
{
    struct rd in = { NULL, 0, true };
    uint64_t got = rd_le(r, 1), len = rd_le(r, 1);

    if (got != tag)
        r->bad = true;
    if (len == 0x81) {
        len = rd_le(r, 1);
        r->bad |= len < 0x80;
    } else if (len == 0x82) {
        len = rd_le(r, 1) << 8;
        len |= rd_le(r, 1);
        r->bad |= len < 0x100;
    } else if (len >= 0x80) {
        r->bad = true;
    }
    if (!r->bad && (in.at = rd_bytes(r, (size_t)len)))
        in = (struct rd){ in.at, (size_t)len, false };
    return in;
}

static inline bool next_is(const struct rd *r, uint8_t tag)
{
    return !r->bad && r->left && *r->at == tag;
}

/* From `at` to where the cursor is: a value with its tag. */
static inline struct part since(const uint8_t *at, const struct rd *r)
{
    return r->bad ? (struct part){ NULL, 0 } : (struct part){ at, (size_t)(r->at - at) };
}

static inline bool is(const struct rd *r, const void *octets, size_t len)
{
    return !r->bad && r->left == len && !memcmp(r->at, octets, len);
}

/* Exactly these octets come next. */
static inline void fixed(struct rd *r, const void *octets, size_t len)
{
    const uint8_t *at = rd_bytes(r, len);

    r->bad |= !at || memcmp(at, octets, len) != 0;
}

#endif
