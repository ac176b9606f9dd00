/* body.h -- the body of a request as it arrives, as far as it is not too long; wiped, since there may be keys in it. */
#ifndef LORAJS_TOOLS_BODY_H
#define LORAJS_TOOLS_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most bodies need no more.  From 1 KiB on, the C library makes whole again what was given back to it in pieces, each
 * time. */
enum { BODY_FIRST = 1000 };

/* Where it is, it stays: `data` may be `first`. */
struct body {
    uint8_t *data;
    size_t len, room;
    uint8_t first[BODY_FIRST];
};

/* Nothing has arrived. */
void body_init(struct body *body);
/* False when there is no memory. */
bool body_add(struct body *body, const void *data, size_t len);
/* As body_init() leaves it. */
void body_wipe(struct body *body);

#endif
