/* claim.h -- what the files of accounts and claims share. */
#ifndef LJS_SERVER_CLAIM_H
#define LJS_SERVER_CLAIM_H

#include <lorajs/audit.h>
#include <lorajs/claim.h>

#include "server/internal.h"

/* ---- claim_table.c: the machine ------------------------------------------------ */

/* What happens to a claim: an act, and how its asker stands to it. */
enum claim_event {
    CLAIM_ENROL,
    CLAIM_BY_TOKEN, /* the right token, and nobody's */
    CLAIM_TAKE,     /* the right token, and another's without a lock */
    CLAIM_UPDATE,   /* the owner's own */
    CLAIM_ASSIGN,
    CLAIM_RELEASE,       /* the token survives */
    CLAIM_RELEASE_SPENT, /* there is none */
    CLAIM_OFFER,
    CLAIM_WITHDRAW,
    CLAIM_ACCEPT,
    CLAIM_SUSPEND,
    CLAIM_RESUME,
    CLAIM_RETIRE,
    CLAIM_EVENTS
};

enum claim_effect {
    FX_TOKEN = 1,      /* another token */
    FX_SPEND = 2,      /* the token goes, unless it is to survive; and whether it is locked is said anew */
    FX_NO_TOKEN = 4,   /* the token goes */
    FX_OWNER = 8,      /* the account is the owner, and nothing of the one before is left in the device */
    FX_NO_OWNER = 16,  /* likewise nobody */
    FX_ROUTE = 32,     /* where the device belongs */
    FX_OFFER = 64,     /* to whom, until when */
    FX_NO_OFFER = 128, /* the offer goes */
    FX_BLOCK = 256,
    FX_UNBLOCK = 512,
};

/* What comes of it: `refused`, or the next state and what is to be done. */
struct claim_rule {
    ljs_err refused;
    ljs_claim_state next;
    unsigned effects;
};
struct claim_rule ljs__claim_rule(ljs_claim_state state, enum claim_event event);

/* ---- claim_limit.c ---------------------------------------------------------------- */

struct claim_limit;
void ljs__claim_limit_init(ljs_server *server);
void ljs__claim_limit_free(ljs_server *server);
/* A try is taken before it is made: LJS_E_LIMIT, LJS_E_NOMEM. */
ljs_err ljs__claim_try(ljs_server *server, int64_t now, const char *client, bool proven, ljs_eui dev_eui);
/* It was a good one: given back. */
void ljs__claim_good(ljs_server *server, const char *client, bool proven, ljs_eui dev_eui);

/* ---- account.c -------------------------------------------------------------------- */

bool ljs__account_name_ok(const char *name, size_t room);
ljs_err ljs__account_read(ljs_account *out, const ljs_vault *vault, const char *name, const ljs_buf *in);
ljs_err ljs__account_write(ljs_buf *out, const ljs_vault *vault, const ljs_account *account);

/* ---- claim_record.c --------------------------------------------------------------- */

enum { OWNER_HASH_LEN = 16 };
struct claim {
    ljs_claim c;
    uint8_t token[OWNER_HASH_LEN]; /* zero where there is none */
    bool was_blocked;              /* before it was suspended */
    int64_t owned_at;              /* since when it is an owner's who is not its first; 0: not said */
};
/* From when on its owner may see what became of the device: what was before is another owner's.  0: all. */
int64_t ljs__claim_seen_from(const struct claim *claim);
/* Nothing remembered is PROVISIONED; LJS_E_SEAL, LJS_E_VERSION. */
ljs_err ljs__claim_read(struct claim *out, const ljs_vault *vault, ljs_eui dev_eui, const ljs_buf *in);
ljs_err ljs__claim_load(struct claim *out, ljs_server *server, ljs_eui dev_eui);
ljs_err ljs__claim_write(ljs_buf *out, const ljs_vault *vault, const struct claim *claim);
/* What becomes of it when its device is removed: nobody's, without a token, so that whoever had it has nothing of a
 * device that is brought in again.  Empty where there was none. */
ljs_err ljs__claim_bury(ljs_buf *out, const ljs_vault *vault, ljs_eui dev_eui, const ljs_buf *old);

/* ---- owned.c: what an account owns or is offered ------------------------------------- */

struct owned_value {
    uint8_t at[1 + sizeof((struct key *)0)->at];
    size_t len;
};
enum { OWNED_MOST = 4 /* entries of one change: an owner and an offer, before and after */ };
enum { CLAIMS_MOST = 21 /* in one transaction: register.c */ };
struct owned {
    struct key key[OWNED_MOST + 1];
    struct owned_value value[OWNED_MOST];
    ljs_change change[OWNED_MOST];
    size_t len;
};
/* What goes with a claim that becomes `new`, in the same transaction; *out is empty before.  LJS_E_SEAL, LJS_E_STORE.
 */
ljs_err ljs__owned_follow(struct owned *out, ljs_server *server, ljs_eui dev_eui, const ljs_buf *old,
                          const ljs_buf *new);
/* All of it is there, or is made. */
ljs_err ljs__owned_ready(ljs_server *server);
/* Each entry that no claim wants, and each that is missing. */
typedef ljs_err owned_fault(void *user, ljs_audit_fault fault, ljs_eui dev_eui);
ljs_err ljs__owned_verify(ljs_server *server, owned_fault *fault, void *user);

/* ---- claim.c: the same with idempotency ------------------------------------------- */

/* A KEK that comes with the device, by the account's own label, and is written with what is done. */
struct claim_kek {
    const char *label;
    const ljs_key *key; /* NULL: none */
};
/* One act without a token, over a record, a claim and an account that somebody has loaded for changes of his own, in
 * this order: new values as ljs__change_group() takes them; none where it is refused. */
enum { CLAIM_VALUES = 3 };
ljs_err ljs__claim_step(struct valued at[CLAIM_VALUES], ljs_server *server, const ljs_claim_req *req);
ljs_err ljs__claim(ljs_buf *out, ljs_server *server, const ljs_claim_req *req, const uint8_t *in, size_t in_len,
                   const struct claim_kek *kek, struct once *once);

#endif
