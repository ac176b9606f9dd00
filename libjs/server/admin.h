/* admin.h -- what the files of the administrative interface share. */
#ifndef LJS_SERVER_ADMIN_H
#define LJS_SERVER_ADMIN_H

#include <lorajs/admin.h>
#include <lorajs/claim.h>

#include "base/json.h"
#include "server/internal.h"

/* What an answer may be other than what was asked for; each has one status and one code (admin.c). */
enum problem {
    FINE,
    P_BAD_REQUEST,
    P_UNAUTHORIZED,
    P_FORBIDDEN,
    P_NO_PATH,
    P_NO_DEVICE,
    P_NO_KEK,
    P_NO_CHIP,
    P_METHOD,
    P_EXISTS,
    P_KEK_EXISTS,
    P_CLAIM,
    P_FOR_NOBODY,
    P_SUSPENDED,
    P_NO_ACCOUNT,
    P_ACCOUNT_EXISTS,
    P_IN_USE,
    P_CLAIM_STATE,
    P_WEAK_TOKEN,
    P_LIMIT,
    P_STATE,
    P_NO_SIGNER,
    P_NO_ROOT_KEYS,
    P_CHANGED,
    P_TOO_LONG,
    P_MEDIA_TYPE,
    P_BODY,
    P_MANIFEST,
    P_WEAK,
    P_KEY_REUSED,
    P_SPENT,
    P_LOT,
    P_PRECONDITION,
    P_FAULT,
    P_UNAVAILABLE,
    PROBLEMS
};

/* A request on its way. */
struct asking {
    ljs_server *server;
    const ljs_admin_req *req;
    const uint8_t *in;
    size_t in_len;
    ljs_credential who;
    char arg[sizeof((ljs_admin_req *)0)->target]; /* what stands in the braces of the path */
    ljs_eui dev_eui;                              /* the same, where it is one */
    char query[sizeof((ljs_admin_req *)0)->target];
    ljs_admin_ans *out; /* status is 200 unless a handler says another */
    struct wr body;
    const char *detail; /* of a problem: NULL for the usual words */
    char words[2 * LJS_LABEL_MAX];
};

typedef enum problem handler(struct asking *a);

handler ljs__admin_health;
/* admin_devices.c */
handler ljs__admin_list, ljs__admin_create, ljs__admin_read, ljs__admin_patch, ljs__admin_remove, ljs__admin_block,
    ljs__admin_unblock, ljs__admin_reset, ljs__admin_parcel;
/* admin_decisions.c */
handler ljs__admin_decisions, ljs__admin_all_decisions;
/* admin_audit.c */
handler ljs__admin_audit;
/* admin_keks.c */
handler ljs__admin_keks, ljs__admin_kek_read, ljs__admin_kek_put, ljs__admin_kek_remove;
/* admin_lots.c */
handler ljs__admin_lots;

/* admin_claims.c */
handler ljs__admin_accounts, ljs__admin_account_create, ljs__admin_account_read, ljs__admin_account_remove,
    ljs__admin_account_suspend, ljs__admin_account_resume, ljs__admin_assign, ljs__admin_claims, ljs__admin_claim_many,
    ljs__admin_claim_read, ljs__admin_claim_put, ljs__admin_claim_release, ljs__admin_claim_offer,
    ljs__admin_claim_withdraw, ljs__admin_claim_accept, ljs__admin_claim_enrol, ljs__admin_claim_suspend,
    ljs__admin_claim_resume, ljs__admin_claim_retire;
/* Does the device belong to the account that is acted for?  P_NO_DEVICE. */
handler ljs__admin_owns;
/* admin_chips.c */
handler ljs__admin_manifest, ljs__admin_chip, ljs__admin_claim_challenge;
/* admin_ttjs.c */
handler ljs__ttjs_claim, ljs__ttjs_read, ljs__ttjs_unclaim, ljs__ttjs_unclaim_many;

/* What admin_ttjs.c shares with admin_claims.c. */
struct claim_body;
ljs_claim_req ljs__admin_claim_req(const struct asking *a, ljs_claim_act act, ljs_eui dev_eui);
void ljs__admin_claim_routing(ljs_routing *out, const struct claim_body *body);

/* Under an idempotency key, or NULL without one; and the answer to what was done, now or when the same was asked
 * before. */
ljs_err ljs__admin_once_begin(struct once **out, struct once *once, struct asking *a, unsigned status);
enum problem ljs__admin_once_end(struct asking *a, struct once *once, ljs_err err, unsigned status, const char *result);

const char *ljs__admin_problem_code(enum problem problem);
const char *ljs__admin_problem_detail(enum problem problem);
/* What an error of the library is here. */
enum problem ljs__admin_problem_of(ljs_err err);
/* P_BODY with words of what is wrong with it. */
enum problem ljs__admin_fault(struct asking *a, const char *fault);
/* "name=value" of the query, decoded, into out; "" for none.  False for what is too long. */
bool ljs__admin_query(char *out, size_t room, const struct asking *a, const char *name);
/* P_BAD_REQUEST where the query has a name that is not among these, which NULL ends. */
enum problem ljs__admin_query_only(const struct asking *a, const char *const *names);

/* ---- pages ----------------------------------------------------------------------------- */

enum { PAGE = 100, PAGE_MAX = 1000, PASSED_MOST = 10000 /* devices that a page looks at: more come with the next */ };
/* "limit" of the query, else PAGE. */
bool ljs__admin_limit(unsigned *out, const struct asking *a);
/* "since" of the query, Unix time in seconds, else 0. */
bool ljs__admin_since(int64_t *out, const struct asking *a);
/* "prefix" and "cursor": DevEUIs that begin with these digits, from where the page begins. */
bool ljs__admin_range(ljs_eui *first, ljs_eui *last, const struct asking *a);
/* Into the answer: where the next page begins. */
void ljs__admin_next_page(struct asking *a, ljs_eui next);

#endif
