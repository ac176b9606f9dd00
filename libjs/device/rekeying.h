/* rekeying.h -- the rekey of a device, as its record has it and as its joins see it. */
#ifndef LJS_DEVICE_REKEYING_H
#define LJS_DEVICE_REKEYING_H

#include <lorajs/join.h>
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
/* Is this join to be tried under the keys of epochs that the record does not know of? */
bool ljs__resync_tries(const struct record *r, const ljs_frame *frame, const ljs_join_req *req);
/* It is under those of one of them: they are in the ring, and the current ones from here on; *keep holds what is
 * sealed of them until r is saved.  LJS_E_MIC. */
ljs_err ljs__resync_find(struct record *r, struct wr *keep, const ljs_vault *vault, struct ring *ring,
                         const uint8_t *phy, size_t phy_len);
/* Does a window need the keys of this epoch? */
bool ljs__resync_needs(const struct record *r, uint16_t epoch);
/* Are the current keys refused for the new ones? */
bool ljs__rekey_refuses(const struct record *r);
/* A join under the keys that were current before it: what it proves. */
void ljs__rekey_joined(struct record *r);
/* Is it to stay here until that is settled?  In TRANSFER_OUT its new keys may leave, and its joins not. */
bool ljs__rekey_holds(const struct record *r);
/* The root keys of an epoch into the ring; the one root key of 1.0.x is the NwkKey. */
ljs_err ljs__rekey_load(struct ring *ring, const ljs_vault *vault, const struct record *r, uint16_t epoch);
/* The JoinEUI that the device joins under as far as is known. */
ljs_eui ljs__rekey_stays(const struct record *r);
/* It may join under this one, too, for which there is room. */
void ljs__rekey_expect(struct record *r, ljs_eui join_eui);
/* What is under way is void; its epoch is burnt. */
void ljs__rekey_drop(struct record *r);
/* The greatest epoch that any keys of this device ever had. */
uint16_t ljs__rekey_floor(const struct record *r);

#endif
