/* network.h -- inside the network side, for tests and for who explores or draws it. */
#ifndef LJS_SESSION_NETWORK_H
#define LJS_SESSION_NETWORK_H

#include <lorajs/network.h>

struct network_step;

/* What happens, once it is known to whom: an uplink has been found to be of one of the contexts. */
enum network_event {
    EV_ACCEPT_JOIN,     /* join-accept to a join-request */
    EV_ACCEPT_REJOIN1,  /* to a rejoin-request 1 */
    EV_ACCEPT_REJOIN02, /* to a rejoin-request 0 or 2 */
    EV_UPLINK,          /* under the current context, without RekeyInd */
    EV_UPLINK_REKEY,    /* under the current context, with RekeyInd */
    EV_UPLINK_AGAIN,    /* under the current context, with the last counter */
    EV_FIRST_10,        /* under the pending context, which is of LoRaWAN 1.0 */
    EV_FIRST_REKEY,     /* under the pending context, with RekeyInd */
    EV_FIRST_PLAIN,     /* under the pending context, which is of LoRaWAN 1.1, without RekeyInd */
    EV_DOWNLINK,
    EV_REJOIN0,
    EV_REJOIN1,
    EV_REJOIN2,
    EV_FORCE_REJOIN,
    EV_REJOIN_PARAMS,
    EV_TIMER,
    EVENTS
};

/* A row of the machine, and its words, which are its own source: what is drawn of it is what
 * runs.  What is in no row is refused with LJS_E_STATE and changes nothing. */
struct network_row {
    ljs_ns_state from;
    enum network_event event;
    ljs_err (*check)(const struct network_step *step);
    void (*act)(struct network_step *step);
    ljs_ns_state next;
    const char *from_text, *event_text, *guard, *action, *to; /* "ACTIVE", "UPLINK_REKEY", "counter_rises", ... */
};
const struct network_row *ljs__network_rules(size_t *n);

/* 16 octets over all that a state means: keys as fingerprints, not as they are sealed, so that
 * two states mean the same when their digests are equal.  Checks the tag. */
ljs_err ljs__network_digest(uint8_t out[16], const ljs_vault *vault, const uint8_t *state, size_t state_len);

#endif
