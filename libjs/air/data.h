/* data.h -- data frames without allocating, for the session above: the same rules as
 * <lorajs/mac.h>, into an array of fixed size. */
#ifndef LJS_AIR_DATA_H
#define LJS_AIR_DATA_H

#include <lorajs/mac.h>

enum {
    LJS__DATA_MIN = 12, /* MHDR | DevAddr(4) | FCtrl | FCnt(2) | MIC(4) */
    LJS__DATA_MIC_LEN = 4,
};

/* *out_len is 12..255, the MIC as it stands; 0 when it fails.  LJS_E_INVAL. */
ljs_err ljs__data_write(uint8_t out[LJS_DATA_MAX], size_t *out_len, const ljs_data *data);

#endif
