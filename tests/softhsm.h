/* softhsm.h -- a token in software, of this process alone: in a folder of its own, with a configuration of
 * its own, gone when it ends.  And what a thief with the PIN would ask of it, through PKCS#11 and past the library. */
#ifndef TESTS_SOFTHSM_H
#define TESTS_SOFTHSM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOFTHSM_PIN    "4711"
#define SOFTHSM_SO_PIN "081500"

/* The URI of a fresh token; NULL when there is no SoftHSM here, which it says.  A second one replaces the first. */
const char *softhsm_begin(void);
void softhsm_end(void);
const char *softhsm_folder(void);

/* As if it had been pulled and put back: every session of this process is gone. */
void softhsm_reset(void);

/* SoftHSM's own list of functions, which p11-kit calls by: who changes it stands in front.  It stays loaded. */
struct _CK_FUNCTION_LIST *softhsm_functions(void);

/* A storage key of this number as a vault has it, labelled `label`, without any restriction on what it unwraps. */
bool thief_makes_numbered_key(const char *label, uint8_t number);
bool thief_makes_open_key(const char *label); /* number 1 */
/* Has the key of this label unwrap it in clear.  0, or what PKCS#11 said. */
unsigned long thief_unwraps(uint8_t out[16], const char *label, const uint8_t *wrapped, size_t wrapped_len);

#endif
