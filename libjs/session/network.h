/* network.h -- inside the network side, for tests and for who explores or draws it. */
#ifndef LJS_SESSION_NETWORK_H
#define LJS_SESSION_NETWORK_H

#include <lorajs/network.h>

/* A row of the machine, in words.  What is in no row is refused and changes nothing. */
struct network_row {
    const char *from;   /* ljs_ns_state_text(), or "any" */
    const char *event;  /* "uplink.rekey" */
    const char *guard;  /* "NetID ours, MIC, RJcount0 rises"; "" for none */
    const char *action; /* "pending becomes current" */
    const char *to;     /* ljs_ns_state_text(), or "same" */
};
const struct network_row *ljs__network_rules(size_t *n);

/* 16 octets over all that a state means: keys as fingerprints, not as they are sealed, so that
 * two states are equal when their digests are.  Checks the tag. */
ljs_err ljs__network_digest(uint8_t out[16], const ljs_vault *vault, const uint8_t *state, size_t state_len);

#endif
