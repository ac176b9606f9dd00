/* mac.h -- MAC commands without allocating, for the session above: the same rules as
 * <lorajs/mac.h>, into an array of fixed size. */
#ifndef LJS_AIR_MAC_H
#define LJS_AIR_MAC_H

#include <lorajs/mac.h>

/* CID and payload; *out_len is 1..6; 0 when it fails.  LJS_E_INVAL. */
ljs_err ljs__mac_command_write(uint8_t out[LJS_MAC_COMMAND_MAX], size_t *out_len, const ljs_mac_command *command,
                               ljs_octet_order order);

#endif
