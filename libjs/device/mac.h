/* mac.h -- LoRaWAN versions as text that ends where its length says. */
#ifndef LJS_DEVICE_MAC_H
#define LJS_DEVICE_MAC_H

#include <lorajs/device.h>

/* As ljs_mac_parse(); no NUL is in it. */
ljs_err ljs__mac_parse(ljs_mac *out, const char *text, size_t text_len);

#endif
