/* rekey.h -- messages of lorajs-rekey-1, for those who put a MIC under them. */
#ifndef LJS_AIR_REKEY_H
#define LJS_AIR_REKEY_H

#include <lorajs/rekey_message.h>

enum { LJS__REKEY_MIC_LEN = 4, LJS__REKEY_MIC_MAX = 1 + 8 + LJS_REKEY_MAX };

/* As ljs_rekey_build(). */
ljs_err ljs__rekey_write(uint8_t out[LJS_REKEY_MAX], size_t *out_len, const ljs_rekey_message *message);
/* What the MIC of a whole message covers: 52 | DevEUI | all but its last four octets.  in_len is 4 to
 * LJS_REKEY_MAX.  How long it is. */
size_t ljs__rekey_image(uint8_t out[LJS__REKEY_MIC_MAX], ljs_eui dev_eui, const uint8_t *in, size_t in_len);

#endif
