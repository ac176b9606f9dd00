/* vault_token.h -- what a vault in a token seals, and how it knows keys again.
 *
 * A sealed set is an envelope of its own: a format octet, the number of the storage key (2 octets, LE), each key as
 * role | length | octets, wrapped under the storage key [RFC 3394], and a 16-octet tag over all of that and the owner,
 * since RFC 3394 binds a key to nothing. */
#ifndef LJS_KEYS_VAULT_TOKEN_H
#define LJS_KEYS_VAULT_TOKEN_H

#include "keys/token.h"
#include "keys/vault.h"

/* masters.c: a vault whose subkeys come of the token's secret, and whose keys stay in the token. */
ljs_err ljs__vault_of_token(ljs_vault **out, struct token *token, const uint8_t secret[32]);

/* What vault.h says of the vault's own; tag_key and print_key are its subkeys. */
ljs_err ljs__token_seal(struct wr *out, struct token *token, const uint8_t tag_key[32], struct ring *ring,
                        const enum key_id *ids, const enum key_role *roles, size_t n, const uint8_t *ad, size_t ad_len);
ljs_err ljs__token_open_set(struct ring *ring, struct token *token, const uint8_t tag_key[32], const enum key_id *ids,
                            const enum key_role *roles, size_t n, const uint8_t *ad, size_t ad_len, const uint8_t *in,
                            size_t in_len);
ljs_err ljs__token_fingerprint(uint8_t out[16], const uint8_t print_key[32], struct ring *ring, const enum key_id *ids,
                               const enum key_role *roles, size_t n);

#endif
