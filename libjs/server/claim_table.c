/* Who may own what next: a row is a step, and what has no row is refused. */
#include "server/claim.h"

static const struct {
    ljs_claim_state from;
    enum claim_event event;
    ljs_claim_state next;
    unsigned effects;
} rows[] = {
    { LJS_CLAIM_IS_PROVISIONED, CLAIM_ENROL, LJS_CLAIM_IS_UNCLAIMED, FX_TOKEN },
    { LJS_CLAIM_IS_UNCLAIMED, CLAIM_ENROL, LJS_CLAIM_IS_UNCLAIMED, FX_TOKEN },
    { LJS_CLAIM_IS_RETIRED, CLAIM_ENROL, LJS_CLAIM_IS_UNCLAIMED, FX_TOKEN },

    { LJS_CLAIM_IS_UNCLAIMED, CLAIM_BY_TOKEN, LJS_CLAIM_IS_CLAIMED, FX_SPEND | FX_OWNER | FX_ROUTE },
    { LJS_CLAIM_IS_CLAIMED, CLAIM_TAKE, LJS_CLAIM_IS_CLAIMED, FX_SPEND | FX_OWNER | FX_ROUTE },
    { LJS_CLAIM_IS_CLAIMED, CLAIM_UPDATE, LJS_CLAIM_IS_CLAIMED, FX_SPEND | FX_ROUTE },
    { LJS_CLAIM_IS_OFFERED, CLAIM_UPDATE, LJS_CLAIM_IS_OFFERED, FX_SPEND | FX_ROUTE },

    { LJS_CLAIM_IS_PROVISIONED, CLAIM_ASSIGN, LJS_CLAIM_IS_CLAIMED, FX_NO_TOKEN | FX_OWNER | FX_ROUTE },
    { LJS_CLAIM_IS_UNCLAIMED, CLAIM_ASSIGN, LJS_CLAIM_IS_CLAIMED, FX_NO_TOKEN | FX_OWNER | FX_ROUTE },

    { LJS_CLAIM_IS_CLAIMED, CLAIM_RELEASE, LJS_CLAIM_IS_UNCLAIMED, FX_NO_OWNER },
    { LJS_CLAIM_IS_OFFERED, CLAIM_RELEASE, LJS_CLAIM_IS_UNCLAIMED, FX_NO_OWNER | FX_NO_OFFER },
    { LJS_CLAIM_IS_CLAIMED, CLAIM_RELEASE_SPENT, LJS_CLAIM_IS_PROVISIONED, FX_NO_OWNER },
    { LJS_CLAIM_IS_OFFERED, CLAIM_RELEASE_SPENT, LJS_CLAIM_IS_PROVISIONED, FX_NO_OWNER | FX_NO_OFFER },

    { LJS_CLAIM_IS_CLAIMED, CLAIM_OFFER, LJS_CLAIM_IS_OFFERED, FX_OFFER },
    { LJS_CLAIM_IS_OFFERED, CLAIM_OFFER, LJS_CLAIM_IS_OFFERED, FX_OFFER },
    { LJS_CLAIM_IS_OFFERED, CLAIM_WITHDRAW, LJS_CLAIM_IS_CLAIMED, FX_NO_OFFER },
    { LJS_CLAIM_IS_OFFERED, CLAIM_ACCEPT, LJS_CLAIM_IS_CLAIMED, FX_NO_TOKEN | FX_NO_OFFER | FX_OWNER | FX_ROUTE },

    { LJS_CLAIM_IS_CLAIMED, CLAIM_SUSPEND, LJS_CLAIM_IS_SUSPENDED, FX_BLOCK },
    { LJS_CLAIM_IS_OFFERED, CLAIM_SUSPEND, LJS_CLAIM_IS_SUSPENDED, FX_BLOCK | FX_NO_OFFER },
    { LJS_CLAIM_IS_SUSPENDED, CLAIM_RESUME, LJS_CLAIM_IS_CLAIMED, FX_UNBLOCK },

    { LJS_CLAIM_IS_PROVISIONED, CLAIM_RETIRE, LJS_CLAIM_IS_RETIRED, FX_NO_TOKEN },
    { LJS_CLAIM_IS_UNCLAIMED, CLAIM_RETIRE, LJS_CLAIM_IS_RETIRED, FX_NO_TOKEN },
    { LJS_CLAIM_IS_CLAIMED, CLAIM_RETIRE, LJS_CLAIM_IS_RETIRED, FX_NO_TOKEN | FX_NO_OWNER },
    { LJS_CLAIM_IS_OFFERED, CLAIM_RETIRE, LJS_CLAIM_IS_RETIRED, FX_NO_TOKEN | FX_NO_OWNER | FX_NO_OFFER },
    { LJS_CLAIM_IS_SUSPENDED, CLAIM_RETIRE, LJS_CLAIM_IS_RETIRED, FX_NO_TOKEN | FX_NO_OWNER },
};

/* Whoever holds a token learns nothing of the state. */
static const ljs_err refusals[CLAIM_EVENTS] = {
    [CLAIM_ENROL] = LJS_E_STATE,         [CLAIM_BY_TOKEN] = LJS_E_CLAIM, [CLAIM_TAKE] = LJS_E_CLAIM,
    [CLAIM_UPDATE] = LJS_E_STATE,        [CLAIM_ASSIGN] = LJS_E_STATE,   [CLAIM_RELEASE] = LJS_E_STATE,
    [CLAIM_RELEASE_SPENT] = LJS_E_STATE, [CLAIM_OFFER] = LJS_E_STATE,    [CLAIM_WITHDRAW] = LJS_E_STATE,
    [CLAIM_ACCEPT] = LJS_E_CLAIM,        [CLAIM_SUSPEND] = LJS_E_STATE,  [CLAIM_RESUME] = LJS_E_STATE,
    [CLAIM_RETIRE] = LJS_E_STATE,
};

struct claim_rule ljs__claim_rule(ljs_claim_state state, enum claim_event event)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].from == state && rows[i].event == event)
            return (struct claim_rule){ LJS_OK, rows[i].next, rows[i].effects };
    return (struct claim_rule){ (size_t)event < COUNT(refusals) ? refusals[event] : LJS_E_STATE, state, 0 };
}

static const char *const states[] = {
    [LJS_CLAIM_IS_PROVISIONED] = "provisioned", [LJS_CLAIM_IS_UNCLAIMED] = "unclaimed",
    [LJS_CLAIM_IS_CLAIMED] = "claimed",         [LJS_CLAIM_IS_OFFERED] = "offered",
    [LJS_CLAIM_IS_SUSPENDED] = "suspended",     [LJS_CLAIM_IS_RETIRED] = "retired",
};

const char *ljs_claim_state_text(ljs_claim_state state)
{
    return (size_t)state < COUNT(states) ? states[state] : "?";
}

static const char *const acts[] = {
    [LJS_CLAIM_ENROL] = "enrol",     [LJS_CLAIM_CLAIM] = "claim",     [LJS_CLAIM_ASSIGN] = "assign",
    [LJS_CLAIM_RELEASE] = "release", [LJS_CLAIM_OFFER] = "offer",     [LJS_CLAIM_WITHDRAW] = "withdraw",
    [LJS_CLAIM_ACCEPT] = "accept",   [LJS_CLAIM_SUSPEND] = "suspend", [LJS_CLAIM_RESUME] = "resume",
    [LJS_CLAIM_RETIRE] = "retire",
};

const char *ljs_claim_act_text(ljs_claim_act act)
{
    return act > 0 && (size_t)act < COUNT(acts) ? acts[act] : "?";
}
