/* limit.h -- how often somebody may try a credential and fail, for each client and for all together.
 *
 * Looked at before anything is hashed.  A client who showed a good credential lately is not held up by what others
 * do, so that a flood from many addresses does not keep out who is there.  One thread at a time; the caller brings
 * the time. */
#ifndef LORAJS_TOOLS_LIMIT_H
#define LORAJS_TOOLS_LIMIT_H

#include <stdint.h>

struct limit;

enum limited { LIMIT_NONE, LIMIT_CLIENT, LIMIT_ALL };

struct limit *limit_new(void); /* NULL: no memory */
void limit_free(struct limit *limit);

/* `now` in nanoseconds that only grow. */
enum limited limit_look(struct limit *limit, const uint8_t from[16], int64_t now);
void limit_failed(struct limit *limit, const uint8_t from[16], int64_t now);
void limit_good(struct limit *limit, const uint8_t from[16], int64_t now);

#endif
