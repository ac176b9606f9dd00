/* admin.h -- the bodies that the administrative interface takes: JSON, strictly.  A device to be is an import
 * (import.h). */
#ifndef LJS_CODEC_ADMIN_H
#define LJS_CODEC_ADMIN_H

#include <lorajs/device.h>

#include <stdbool.h>

/* Each: LJS_E_INVAL, and out->fault names the member and says what is wrong, without repeating a value; the rest
 * of it is then empty.  LJS_E_NOMEM. */

/* {"home_net_id":"000013","as_id":null}: a merge patch [RFC 7396] of what ljs_device_route() sets. */
struct admin_routing {
    ljs_routing routing;
    char fault[LJS_LABEL_MAX];
};
ljs_err ljs__admin_routing(struct admin_routing *out, const uint8_t *in, size_t in_len);

/* {"key":"HEX"}, of 16, 24 or 32 octets; the key is the caller's. */
struct admin_kek {
    ljs_key *key;
    char fault[LJS_LABEL_MAX];
};
ljs_err ljs__admin_kek(struct admin_kek *out, const uint8_t *in, size_t in_len);

/* {"recipient":"HEX","block":true}: block may be left out. */
struct admin_export {
    uint8_t recipient[32];
    bool block;
    char fault[LJS_LABEL_MAX];
};
ljs_err ljs__admin_export(struct admin_export *out, const uint8_t *in, size_t in_len);

#endif
