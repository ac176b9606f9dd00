/* repeat.h -- is a request the one that the newest session of a record answered? */
#ifndef LJS_DEVICE_REPEAT_H
#define LJS_DEVICE_REPEAT_H

#include <lorajs/join.h>

#include "device/record.h"

/* Of a request, what the session that answers it does not tell. */
struct asked {
    uint8_t octets[ASKED_MAX];
    size_t len;
};

void ljs__asked(struct asked *out, const ljs_join_req *req, const ljs_frame *frame);
/* Equal in everything that shapes the answer; `asked` and `frame` are of `req`, which is in order. */
bool ljs__asked_before(const struct record *r, const struct asked *asked, const ljs_join_req *req,
                       const ljs_frame *frame);

#endif
