/* masters.h -- the versions of the master key that a vault has.
 *
 * A set of them is on a guarded page and never changes once the vault has it: a change is another set,
 * put in its place at once, so that whoever works with the one before goes on with that.  Sets stay
 * until the vault is freed.  The first of a set is the current one: it seals and tags. */
#ifndef LJS_KEYS_MASTERS_H
#define LJS_KEYS_MASTERS_H

#include "keys/vault.h"

#include <lorajs/master.h>

#include <pthread.h>
#include <stdatomic.h>

enum { FIRST_DOMAINS = TAG_MASTER + 1 };

/* A master key is not kept: what is done with it is done with one subkey per purpose.  A tag has a
 * subkey per domain, so that tagging needs no copy with the domain in front. */
struct master {
    uint8_t seal[32];
    uint8_t carry[32]; /* what seals the others for whoever has this one */
    uint8_t more[32];  /* of which the domains after TAG_MASTER are made, so that what is carried need not grow */
    uint8_t tag[TAG_DOMAINS][32];
    uint16_t number; /* as envelopes name it */
};

struct masters {
    struct masters *before;  /* what the vault had until then */
    uint8_t fingerprint[32]; /* of the first master key ever: a fingerprint cannot be made again, */
    uint8_t audit[32];       /* nor the tag of a link, which stands in the next one */
    unsigned n;
    struct master at[LJS_MASTERS_MAX];
};

struct ljs_vault {
    struct masters *_Atomic now;
    const struct lot *_Atomic lots; /* lot.h; what is here stays until the vault is freed */
    struct token *token;  /* NULL, or what seals keys in place of these, whose seal[] is for a tag (vault_token.h) */
    pthread_mutex_t lock; /* of who puts another in its place */
    unsigned process;
};

static inline const struct masters *masters_of(const ljs_vault *vault)
{
    return atomic_load_explicit(&vault->now, memory_order_acquire);
}

/* The subkeys of a master key of 32 octets. */
void ljs__master_of(struct master *out, uint16_t number, const uint8_t *in);

/* A vault that has what this one has now, but for lots. */
ljs_err ljs__vault_copy(ljs_vault **out, const ljs_vault *vault);

#endif
