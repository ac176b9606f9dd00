/* parcel.h -- the devices that a parcel holds (ljs_parcel_hold()), for the server, which lands them together. */
#ifndef LJS_CODEC_PARCEL_H
#define LJS_CODEC_PARCEL_H

#include <lorajs/parcel.h>

size_t ljs__parcel_held(const ljs_parcel *parcel);
ljs_eui ljs__parcel_held_eui(const ljs_parcel *parcel, size_t n);
/* ljs_parcel_land() of the n-th. */
ljs_err ljs__parcel_land_held(ljs_buf *out_record, ljs_parcel *parcel, size_t n, ljs_vault *vault, unsigned flags,
                              const uint8_t *record, size_t record_len);
void ljs__parcel_let_go(ljs_parcel *parcel);

#endif
