/** @file import.h
 *  Devices as JSON, one object a line: how fleets come in, and how a record is shown.
 *
 *  Members: dev_eui, join_eui (or join_euis, up to four), lorawan_version; root keys
 *  nwk_key, app_key, gen_app_key, rekey_key (32 hexadecimal digits); next_join_nonce; last_dev_nonce
 *  (a number) or used_dev_nonces (an array of numbers); ns_kek_label, as_kek_label, as_id,
 *  home_net_id, home_ns_id, require_1_1 (true or false), x25519_public_key (64 digits).  dev_eui,
 *  join_eui, lorawan_version and the root keys of that version are mandatory; an unknown
 *  member is an error, so that no misspelt one is lost.  A device of a lot (lot.h) has `lot`, its label,
 *  in the place of root keys, and may have lot_keys, an array of the names of those that come of it. */
#ifndef LORAJS_IMPORT_H
#define LORAJS_IMPORT_H

#include <lorajs/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One device to be; ljs_import_clear() frees its keys. */
typedef struct ljs_import {
    ljs_device device;                   /**< its public half, keys and state not set */
    ljs_eui join_eui[LJS_JOIN_EUIS_MAX]; /**< device.join_euis of them; the first is device.join_eui */
    ljs_key *nwk;                        /**< nwk_key; NULL where absent, as the other three */
    ljs_key *app;                        /**< app_key */
    ljs_key *gen_app;                    /**< gen_app_key */
    ljs_key *rekey;                      /**< rekey_key */
    int32_t dev_nonce;                   /**< last_dev_nonce, or -1 */
    ljs_buf dev_nonces;                  /**< used_dev_nonces, two octets each, little-endian */
    char fault[LJS_LABEL_MAX];           /**< what is wrong with the line, without any key; "" for nothing */
} ljs_import;

/** Read one line.  @return ::LJS_E_INVAL; out->fault then names the member and says what
 *  is wrong with it, and nothing else is set. */
LJS_MUST ljs_err ljs_import_parse(ljs_import *out, const uint8_t *in, size_t in_len);
/** Free the keys, wipe and empty; NULL is taken. */
LJS_API void ljs_import_clear(ljs_import *import);
/** Lines that ljs_import_parse() takes, one for each LoRaWAN version, with a newline each. */
LJS_API const char *ljs_import_example(void);

/** A record's public half as one JSON object, without a newline: the members above but the
 *  keys and lot_keys, and exposed where it is true, state, epoch, keys (names), sessions (SessionKeyID, kind, nonces,
 * NetID, time).
 */
LJS_MUST ljs_err ljs_device_json(ljs_buf *out, const uint8_t *record, size_t record_len);

#ifdef __cplusplus
}
#endif
#endif
