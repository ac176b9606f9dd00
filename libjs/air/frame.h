/* frame.h -- the frames of activation without allocating, for the steps above: the same
 * rules as <lorajs/frame.h>, into arrays of fixed size. */
#ifndef LJS_AIR_FRAME_H
#define LJS_AIR_FRAME_H

#include <lorajs/frame.h>

#include <stdbool.h>

enum {
    LJS__MIC_LEN = 4,
    LJS__ACCEPT_CLEAR_MAX = LJS_ACCEPT_MAX - LJS__MIC_LEN, /* a join-accept before its MIC */
};

/* Is it a rejoin under a session, which names its network in place of a JoinEUI? */
static inline bool ljs__frame_has_net_id(ljs_frame_kind kind)
{
    return kind == LJS_FRAME_REJOIN0 || kind == LJS_FRAME_REJOIN2;
}

/* *out_len is 19, 23 or 24; 0 when it fails.  LJS_E_INVAL. */
ljs_err ljs__frame_write(uint8_t out[LJS_FRAME_MAX], size_t *out_len, const ljs_frame *frame);

/* *out_len is 13 or 29; 0 when it fails.  LJS_E_INVAL. */
ljs_err ljs__accept_write(uint8_t out[LJS__ACCEPT_CLEAR_MAX], size_t *out_len, const ljs_accept *accept);

#endif
