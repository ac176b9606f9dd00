/* rekey.h -- the keys of lorajs-rekey-1, by id.
 *
 * The root keys of a device are in their slots; what is new takes their place. */
#ifndef LJS_KEYS_REKEY_H
#define LJS_KEYS_REKEY_H

#include "keys/ring.h"

#include <lorajs/rekey_keys.h>

struct rekey {
    ljs_rekey_suite suite;
    unsigned flags; /* LJS_REKEY_... */
    ljs_eui dev_eui, join_eui;
    uint16_t epoch;
};

/* KEY_WORK becomes JK: of suite 1 from KEY_REKEY.  LJS_E_NOKEY. */
ljs_err ljs__rekey_join_key(struct ring *ring, const struct rekey *what);
/* KEY_WORK becomes JK of suite 2, as ljs_rekey_agree(): `own` is a secret half. */
ljs_err ljs__rekey_agree(struct ring *ring, const ljs_key *own, const struct rekey *what, const uint8_t eph[32],
                         const uint8_t dev[32]);
/* From KEY_WORK, which is empty after: NwkKey, and by the flags the others of those that there are. */
ljs_err ljs__rekey_roots(struct ring *ring, const struct rekey *what);
/* Of suite 4: KEY_NWK and KEY_APP.  LJS_E_INVAL for a parent that is none. */
ljs_err ljs__rekey_slot(struct ring *ring, const ljs_key *parent, const struct rekey *what, const uint8_t serial[9]);

/* ljs_rekey_slot() of a TempKey, as the element does it. */
ljs_err ljs__rekey_slot_of(ljs_key **out, const ljs_key *parent, const uint8_t serial[9], const uint8_t temp_key[32]);

/* KEY_WORK2 becomes what signs commands: RekeyIntKey, or in suite 4 a copy of KEY_NWK.  LJS_E_NOKEY. */
ljs_err ljs__rekey_int_key(struct ring *ring, ljs_rekey_suite suite, ljs_eui dev_eui, enum key_id *id);
/* The last four octets of a whole message. */
ljs_err ljs__rekey_sign(struct ring *ring, enum key_id id, ljs_eui dev_eui, uint8_t *message, size_t message_len);
ljs_err ljs__rekey_check(struct ring *ring, enum key_id id, ljs_eui dev_eui, const uint8_t *in, size_t in_len);
ljs_err ljs__rekey_kcv(struct ring *ring, enum key_id id, uint8_t out[3]);

#endif
