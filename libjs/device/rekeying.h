/* rekeying.h -- the rekey of a device, as its record has it and as its joins see it. */
#ifndef LJS_DEVICE_REKEYING_H
#define LJS_DEVICE_REKEYING_H

#include <lorajs/rekey.h>

#include "base/pack.h"
#include "device/record.h"

/* The field of a record; one that is empty is left out. */
bool ljs__rekeying_empty(const struct rekeying *k);
void ljs__rekeying_unpack(struct unpack *u, struct rekeying *k);
void ljs__rekeying_pack(struct wr *w, const struct rekeying *k);

/* Is there a set of keys beside the current one that this join may be under? */
bool ljs__rekey_tries(const struct record *r, const ljs_frame *frame);
/* The join verified under it: it is the current one from here on. */
void ljs__rekey_commit(struct record *r);
/* Are the current keys refused for the new ones? */
bool ljs__rekey_refuses(const struct record *r);
/* A join under the keys that were current before it: what it proves. */
void ljs__rekey_joined(struct record *r);
/* What is under way is void; its epoch is burnt. */
void ljs__rekey_drop(struct record *r);
/* The greatest epoch that any keys of this device ever had. */
uint16_t ljs__rekey_floor(const struct record *r);

#endif
