/* seen.h -- which identifiers there were already: a set of octet strings of one length, in open addressing.
 * Only what was verified comes in, so nobody but a signer could choose values that meet. */
#ifndef LJS_CODEC_SEEN_H
#define LJS_CODEC_SEEN_H

#include <lorajs/base.h>

#include <stdbool.h>

struct seen {
    size_t width;   /* octets of a member, at most 15; set by who makes it */
    uint8_t *slots; /* 1 and a member, or 0 */
    size_t room, len;
};

bool ljs__seen_has(const struct seen *set, const uint8_t *member);
ljs_err ljs__seen_add(struct seen *set, const uint8_t *member); /* LJS_E_NOMEM; also where it is there already */
void ljs__seen_drop(struct seen *set);

#endif
