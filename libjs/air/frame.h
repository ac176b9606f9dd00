/* frame.h -- the frames of activation without allocating, for the steps above: the same
 * rules as <lorajs/frame.h>, into arrays of fixed size. */
#ifndef LJS_AIR_FRAME_H
#define LJS_AIR_FRAME_H

#include <lorajs/frame.h>

enum {
    LJS__MIC_LEN = 4,
    LJS__ACCEPT_CLEAR_MAX = LJS_ACCEPT_MAX - LJS__MIC_LEN, /* a join-accept before its MIC */
};

/* *out_len is 19, 23 or 24; 0 when it fails.  LJS_E_INVAL. */
ljs_err ljs__frame_write(uint8_t out[LJS_FRAME_MAX], size_t *out_len, const ljs_frame *frame);

/* *out_len is 13 or 29; 0 when it fails.  LJS_E_INVAL. */
ljs_err ljs__accept_write(uint8_t out[LJS__ACCEPT_CLEAR_MAX], size_t *out_len, const ljs_accept *accept);

#endif
