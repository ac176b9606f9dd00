/* bag.h -- a few keys that live long, for a secure element in software.
 *
 * A ring is for one step, and a page of its own; of elements there may be thousands in one
 * process.  So the keys of many bags lie side by side in guarded memory, and each
 * operation borrows a ring for as long as it takes.  Any thread at once. */
#ifndef LJS_KEYS_BAG_H
#define LJS_KEYS_BAG_H

#include <lorajs/keys.h>

#include <stdbool.h>

enum { BAG_KEYS = 21, /* ids 0..20, of 16 octets each */ };

struct bag;

ljs_err ljs__bag_new(struct bag **out);
void ljs__bag_free(struct bag *bag); /* wipes; NULL is taken */

/* LJS_E_STATE in a child of fork(); LJS_E_INVAL for an id that is none, and a key of another
 * length; LJS_E_NOKEY for an id that has none. */
ljs_err ljs__bag_load(struct bag *bag, unsigned id, const ljs_key *key);
bool ljs__bag_has(const struct bag *bag, unsigned id);
/* key `to` = aes128_encrypt(key `from`, in) */
ljs_err ljs__bag_derive(struct bag *bag, unsigned to, unsigned from, const uint8_t in[16]);
ljs_err ljs__bag_encrypt(const struct bag *bag, unsigned id, uint8_t *out, const uint8_t *in, size_t in_len);
ljs_err ljs__bag_cmac(const struct bag *bag, unsigned id, uint8_t out[16], const uint8_t *in, size_t in_len);

#endif
