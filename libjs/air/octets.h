/* octets.h -- write octets into an array of known size.  What goes into it has been
 * checked to fit, so it cannot fail. */
#ifndef LJS_AIR_OCTETS_H
#define LJS_AIR_OCTETS_H

#include "base/cursor.h"

#include <assert.h>

struct octets {
    uint8_t *at;
    size_t len, room;
};

static inline void put(struct octets *o, const uint8_t *in, size_t in_len)
{
    assert(in_len <= o->room - o->len);
    memcpy(o->at + o->len, in, in_len);
    o->len += in_len;
}

/* n <= 8 */
static inline void put_le(struct octets *o, uint64_t v, unsigned n)
{
    assert(n <= sizeof v && n <= o->room - o->len);
    v = le64(v);
    memcpy(o->at + o->len, &v, n);
    o->len += n;
}

#endif
