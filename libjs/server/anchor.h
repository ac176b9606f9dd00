/* anchor.h -- the heads of chains as text, to be kept outside the database: a line each of writer
 * (16 hexadecimal digits), sequence (decimal) and tag (32 hexadecimal digits). */
#ifndef LJS_SERVER_ANCHOR_H
#define LJS_SERVER_ANCHOR_H

#include "server/link.h"

struct anchored {
    uint64_t writer, sequence;
    uint8_t tag[LINK_TAG_LEN];
    bool seen;
};

struct anchor {
    struct anchored *at; /* free() */
    size_t len;
};

void ljs__anchor_line(struct wr *w, uint64_t writer, uint64_t sequence, const uint8_t tag[LINK_TAG_LEN]);
/* Empty lines and those that begin with # are passed over.  LJS_E_INVAL. */
ljs_err ljs__anchor_read(struct anchor *out, const uint8_t *in, size_t in_len);

#endif
