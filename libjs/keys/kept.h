/* kept.h -- keys that are used again and again, kept open: each as two shares on guarded
 * pages of their own, a random pad and the key under it, so that while no ring has it the
 * key itself stands nowhere.  Whoever keeps them remembers what is in which place, and
 * lets nobody else in with one who puts or drops; those who get may be many. */
#ifndef LJS_KEYS_KEPT_H
#define LJS_KEYS_KEPT_H

#include "keys/ring.h"

enum { KEPT_MAX = 64 };

struct kept;

/* LJS_E_NOMEM: no locked memory. */
ljs_err ljs__kept_new(struct kept **out);
void ljs__kept_free(struct kept *kept); /* wipes; NULL is taken */

/* The key of a slot, which is filled, into a place; and of a place, which is filled, into a slot. */
void ljs__kept_put(struct kept *kept, unsigned place, const struct ring *ring, enum key_id id);
void ljs__kept_get(struct ring *ring, enum key_id id, const struct kept *kept, unsigned place);
void ljs__kept_drop(struct kept *kept, unsigned place);

#endif
