/* token.h -- one token, shared by the rings of a vault, and what a ring has computed in it.
 *
 * A slot of a ring has octets, or a handle of the token; whoever computes looks at which.  A ring
 * enters the token with the first such slot and leaves it when it is given back; between the two
 * the token is not opened anew.  So a thread has one such ring at a time.
 *
 * Root keys and KEKs that were unwrapped stay in the token for the next step, up to a number of
 * them; session keys are destroyed with the step.  SoftHSM never gives back what an object took, but as a
 * whole: it is opened anew when that has come to some MiB and no ring is in it. */
#ifndef LJS_KEYS_TOKEN_H
#define LJS_KEYS_TOKEN_H

#include "keys/cryptoki.h"
#include "keys/ring.h"

struct slot;
struct token;

/* After the name of the vault, the labels of its keys in the token. */
#define LJS__TOKEN_STORAGE " storage"
#define LJS__TOKEN_TAGS    " tags"

/* As ljs_vault_token() says. */
ljs_err ljs__token_open(struct token **out, const char *uri, const uint8_t *pin, size_t pin_len);
/* One more owner, each of whom closes it.  NULL is taken, and of a parent it only lets go of memory. */
struct token *ljs__token_share(struct token *token);
void ljs__token_close(struct token *token);

/* The 32 octets that the subkeys of a vault in this token come of. */
ljs_err ljs__token_secret(uint8_t out[32], struct token *token);

/* The number of the newest storage key. */
unsigned ljs__token_newest(struct token *token);
/* The same after another look into the token, as ljs_token_look() says. */
ljs_err ljs__token_look(ljs_token_storage *out, struct token *token);
/* Destroy all storage keys but the newest.  LJS_E_STATE: that has not this number. */
ljs_err ljs__token_retire(struct token *token, unsigned version);

/* LJS_E_STATE: after fork(), or a ring that is in another token; LJS_E_TOKEN, LJS_E_PIN, LJS_E_NOMEM: it was away,
 * and could not be opened anew. */
ljs_err ljs__token_enter(struct ring *ring, struct token *token);
void ljs__token_leave(struct ring *ring); /* its slots are empty then */
/* The slot has nothing of the token any more. */
__attribute__((cold)) void ljs__token_let_go(struct ring *ring, struct slot *slot);

/* The octets of a slot into the token, where they are no more in the ring.  Enter first. */
ljs_err ljs__token_lift(struct ring *ring, enum key_id id, unsigned uses);

/* A random key of 16 octets, made there, to be wrapped for whoever is to have it too.  Enter first. */
ljs_err ljs__token_make(struct ring *ring, enum key_id id);

/* A slot under the newest storage key: at most LJS__TOKEN_WRAPPED octets; *version names it.
 * LJS_E_INSIDE for a key that the token's policy keeps where it is. */
enum { LJS__TOKEN_WRAPPED = 32 + 8 };
ljs_err ljs__token_wrap(uint8_t *out, size_t *out_len, uint16_t *version, struct ring *ring, enum key_id id);
/* The other way.  LJS_E_SEAL: no such storage key, or not wrapped by it. */
ljs_err ljs__token_unwrap(struct ring *ring, enum key_id id, uint16_t version, unsigned uses, const uint8_t *in,
                          size_t in_len);

/* What ring.h says, of a slot that is in the token. */
ljs_err ljs__token_ecb(struct ring *ring, enum key_id id, bool decrypt, uint8_t *out, const uint8_t *in, size_t in_len);
ljs_err ljs__token_cmac(struct ring *ring, enum key_id id, uint8_t out[16], const uint8_t *in, size_t in_len);
ljs_err ljs__token_derive(struct ring *ring, enum key_id to, enum key_id root, const uint8_t in[16]);
/* Of a ring that is in the token: whatever slot is not there goes there.  24 octets each. */
ljs_err ljs__token_envelopes(ljs_envelope *const *out, struct ring *ring, const enum key_id *ids, size_t n,
                             enum key_id kek);

#endif
