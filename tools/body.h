/* body.h -- the body of a request as it arrives, as far as it is not too long; wiped, since there may be keys in it. */
#ifndef LORAJS_TOOLS_BODY_H
#define LORAJS_TOOLS_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct body {
    uint8_t *data;
    size_t len, room;
};

/* False when there is no memory. */
bool body_add(struct body *body, const void *data, size_t len);
void body_wipe(struct body *body);

#endif
