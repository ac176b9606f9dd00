/* carry.h -- a record from one vault to another.
 *
 * On its way a record is sealed and tagged under a master key of the way's own, so that no root
 * key is ever in clear: nothing here is new but who has the key. */
#ifndef LJS_DEVICE_CARRY_H
#define LJS_DEVICE_CARRY_H

#include <lorajs/device.h>

/* NwkKey, AppKey, GenAppKey and the rekeying key of a record, NULL where it has none; the caller frees them, also when
 * it fails.  LJS_E_STATE for a tombstone, LJS_E_INSIDE for a vault in a token, LJS_E_SEAL, LJS_E_VERSION. */
enum { DEVICE_KEYS = 4 };
ljs_err ljs__device_keys(ljs_key *out[DEVICE_KEYS], ljs_vault *vault, const uint8_t *record, size_t record_len);
/* The record under `way`: its current root keys, nonces and settings; sessions stay behind.
 * LJS_E_STATE for a tombstone. */
ljs_err ljs__device_carry(ljs_buf *out_record, ljs_vault *way, ljs_vault *vault, const uint8_t *record,
                          size_t record_len);
/* What was carried, as ljs_device_make() would make it: JoinNonce is never lowered, and nonces used under
 * any JoinEUI stay used on either side.  Marked as exposed.
 * @param record  the device's record or tombstone here; NULL for none */
ljs_err ljs__device_land(ljs_buf *out_record, ljs_vault *vault, ljs_vault *way, const uint8_t *carried,
                         size_t carried_len, unsigned flags, const uint8_t *record, size_t record_len);

#endif
