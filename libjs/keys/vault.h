/* vault.h -- keys at rest: what a vault seals, tags and recognises.
 *
 * A sealed set is an envelope of its own: a format octet, the number of the master key
 * version (2 octets, LE), then XChaCha20-Poly1305 under a subkey over the keys of some
 * ring slots, each as role | length | octets.  Associated data bind it to its owner.
 *
 * A vault may have several versions of the master key (masters.h).  The current one seals and
 * tags; an envelope is opened with the one that it names, a tag is good when it is of any.
 *
 * A vault in a token has one version, of the token's own, and seals otherwise (vault_token.h). */
#ifndef LJS_KEYS_VAULT_H
#define LJS_KEYS_VAULT_H

#include "base/cursor.h"
#include "keys/ring.h"

#include <stdbool.h>

/* What a sealed key is; stable numbers, they are on disk. */
enum key_role {
    ROLE_NWK = 1,
    ROLE_APP = 2,
    ROLE_GEN_APP = 3,
    ROLE_REKEY = 4,
    ROLE_KEK = 5,
    ROLE_F_NWK_S_INT = 6,
    ROLE_S_NWK_S_INT = 7,
    ROLE_NWK_S_ENC = 8,
    ROLE_APP_S = 9,
    ROLE_LOT = 10,
};

/* Seal the slots that are filled of ids[], each by its role.  ad has 512 octets at most:
 * LJS_E_INVAL. */
ljs_err ljs__vault_seal(struct wr *out, const ljs_vault *vault, struct ring *ring, const enum key_id *ids,
                        const enum key_role *roles, size_t n, const uint8_t *ad, size_t ad_len);
/* Into the slots by role; ids[] and roles[] as above.  A role that is not asked for is skipped,
 * slots of absent roles are left empty, and all of ids[] when it fails.  LJS_E_SEAL: another
 * master key, or a version that the vault has not, another owner, or tampered with; LJS_E_VERSION: a format that is not
 * known. */
ljs_err ljs__vault_open(const ljs_vault *vault, struct ring *ring, const enum key_id *ids, const enum key_role *roles,
                        size_t n, const uint8_t *ad, size_t ad_len, const uint8_t *in, size_t in_len);

/* A random key of 16 octets into the slot, made where the vault's keys are used: in the ring, or in the token. */
ljs_err ljs__vault_make_key(const ljs_vault *vault, struct ring *ring, enum key_id id);

/* Was this set sealed under the current version? */
bool ljs__vault_sealed_now(const ljs_vault *vault, const uint8_t *in, size_t in_len);

/* What kind of value a tag is over, so that none can stand for another. */
enum tag_domain {
    TAG_DEVICE = 1, /* of schemas 1 and 2 */
    TAG_KEK = 2,
    TAG_STORE = 3,
    TAG_LOG = 4,
    TAG_NETWORK = 5,
    TAG_END_DEVICE = 6,
    TAG_MASTER = 7,
    TAG_AUDIT = 8,
    TAG_CREDENTIAL = 9,
    TAG_ONCE = 10,
    TAG_REQUEST = 11,
    TAG_GENERATION = 12, /* numbers between are for others */
    TAG_MARKER = 13,
    TAG_BACKUP = 14,
    TAG_ACCOUNT = 15,
    TAG_CLAIM = 16,
    TAG_LOT = 17,
    TAG_CHIP = 18,
    TAG_LOT_PRINT = 19,
    TAG_RECORD = 20, /* of a device; shorter to make than the others */
    TAG_DOMAINS      /* the next number is for the next kind, which goes before this line */
};

/* Append the 16-octet tag over the domain and all that is in w. */
ljs_err ljs__vault_tag(struct wr *w, const ljs_vault *vault, enum tag_domain domain);
/* The same, and *w's octets become *out's.  On error *out is empty; *w is empty in either case. */
ljs_err ljs__vault_take(ljs_buf *out, struct wr *w, const ljs_vault *vault, enum tag_domain domain);
/* Does `in` end in its tag, that of the current version or of another?  LJS_E_SEAL. */
ljs_err ljs__vault_tagged(bool *now, const ljs_vault *vault, enum tag_domain domain, const uint8_t *in, size_t in_len);
/* The same for who does not care which. */
ljs_err ljs__vault_check(const ljs_vault *vault, enum tag_domain domain, const uint8_t *in, size_t in_len);

/* A keyed hash that is the same under all versions of the master key, for what nobody could hash again: of owner
 * tokens.  16 octets; `in` tells itself from what others hash. */
ljs_err ljs__vault_lasting(uint8_t out[16], const ljs_vault *vault, const uint8_t *in, size_t in_len);

/* Recognise the same keys again without keeping them: keyed, 16 octets, over role and octets. */
ljs_err ljs__vault_fingerprint(uint8_t out[16], const ljs_vault *vault, struct ring *ring, const enum key_id *ids,
                               const enum key_role *roles, size_t n);

/* LJS_E_STATE after fork(). */
ljs_err ljs__vault_alive(const ljs_vault *vault);

/* Is it in a token?  Then no key of it leaves in clear, whoever is allowed that. */
bool ljs__vault_inside(const ljs_vault *vault);

/* The number of its newest storage key as far as we know, 0 when it is in no token; is it another by now? */
unsigned ljs__vault_storage(const ljs_vault *vault);
bool ljs__vault_storage_moved(const ljs_vault *vault, unsigned had);
/* Destroy the storage keys before the newest, which is this one: LJS_E_STATE when it is not. */
ljs_err ljs__vault_storage_retire(const ljs_vault *vault, unsigned version);

#endif
