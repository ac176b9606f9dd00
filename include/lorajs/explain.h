/** @file explain.h
 *  A frame of joining, told to people: which octets are which field, what their value is, and
 *  what that means.  `lorajs inspect` and the Python package print it as a table.
 *
 *  Pure: octets in, text out, without any key.  A join-accept is encrypted on air; who has
 *  opened it (keys.h) asks again about what is in it. */
#ifndef LORAJS_EXPLAIN_H
#define LORAJS_EXPLAIN_H

#include <lorajs/frame.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What octets are as a whole. */
typedef struct ljs_explained {
    uint8_t is_frame; /**< 1: a frame of joining; 0: none */
    unsigned fields;  /**< how many; MHDR alone of what is no frame of joining */
    char text[200];   /**< its name, "join-request", or why it is none */
} ljs_explained;

/** One field. */
typedef struct ljs_field {
    unsigned first;    /**< the first of its octets, from 0 */
    unsigned len;      /**< how many */
    char name[16];     /**< "DevNonce" */
    char value[96];    /**< a number, or the hexadecimal digits that people write, the highest first */
    char meaning[200]; /**< "least significant octet first" */
} ljs_field;

/** A PHYPayload, or a join-accept in clear without its MIC. */
LJS_API void ljs_explain(ljs_explained *out, const uint8_t *in, size_t in_len);
/** Its i-th field.  @return ::LJS_E_NOTFOUND past the last */
LJS_MUST ljs_err ljs_explain_field(ljs_field *out, unsigned i, const uint8_t *in, size_t in_len);
/** The i-th field of a join-accept in clear: MHDR and the fields, and CFList and MIC as far as the
 *  octets reach: 13, 17, 29 or 33.
 *  @return ::LJS_E_NOTFOUND past the last; ::LJS_E_SIZE for another length, ::LJS_E_FRAME for another
 *  MHDR */
LJS_MUST ljs_err ljs_explain_accept(ljs_field *out, unsigned i, const uint8_t *in, size_t in_len);

#ifdef __cplusplus
}
#endif
#endif
