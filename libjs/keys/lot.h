/* lot.h -- the lots that a vault knows, and root keys that come of one.
 *
 * A lot's value: [1, label, sealed key] and the vault's tag.  The vault has a list of what it was given, newest first,
 * which only grows: who reads it takes no lock. */
#ifndef LJS_KEYS_LOT_H
#define LJS_KEYS_LOT_H

#include <lorajs/lot.h>

#include "keys/vault.h"

/* Whose key the value has.  LJS_E_SEAL, LJS_E_VERSION. */
ljs_err ljs__lot_label(char label[LJS_LABEL_MAX], const ljs_vault *vault, const uint8_t *in, size_t in_len);

/* By what a key is known again: keyed, and the same under all versions of the master key. */
enum { LOT_PRINT_LEN = 16 };

/* A new key in KEY_WORK of the ring, as ljs_lot_make() has one, and for whoever has the KEK in KEY_WORK2. */
ljs_err ljs__lot_generate(ljs_buf *out, uint8_t print[LOT_PRINT_LEN], ljs_envelope *envelope, ljs_vault *vault,
                          struct ring *ring, const char *label, const char *kek_label);

/* Of a key, LJS_E_INVAL for one of another length; and of that of a value. */
ljs_err ljs__lot_print(uint8_t out[LOT_PRINT_LEN], const ljs_vault *vault, const ljs_key *key);
ljs_err ljs__lot_print_of(uint8_t out[LOT_PRINT_LEN], const ljs_vault *vault, const uint8_t *in, size_t in_len);

/* What outlives a lot: [1, label, print] and the vault's tag.  Reading: LJS_E_SEAL, also for another label's;
 * LJS_E_VERSION. */
ljs_err ljs__lot_print_write(ljs_buf *out, const ljs_vault *vault, const char *label,
                             const uint8_t print[LOT_PRINT_LEN]);
ljs_err ljs__lot_print_read(uint8_t out[LOT_PRINT_LEN], const ljs_vault *vault, const char *label, const uint8_t *in,
                            size_t in_len);

/* The slots ids[] by their roles, from the lot's key, for this device; KEY_WORK is empty after.  A slot is left empty
 * where it fails.  LJS_E_LOT: the vault has it not, or what it has does not open. */
ljs_err ljs__lot_keys(struct ring *ring, const ljs_vault *vault, const char *label, const enum key_id *ids,
                      const enum key_role *roles, size_t n, ljs_eui dev_eui);

void ljs__lots_free(ljs_vault *vault);

#endif
