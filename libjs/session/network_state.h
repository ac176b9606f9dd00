/* network_state.h -- what a network server remembers of a device, laid open: read from octets,
 * changed by the machine, written back. */
#ifndef LJS_SESSION_NETWORK_STATE_H
#define LJS_SESSION_NETWORK_STATE_H

#include "base/cursor.h"
#include "keys/vault.h"

#include <lorajs/network.h>

enum {
    NETWORK_SCHEMA = 2, /* 1 is read: it knew no uplink again */
    PAST_MAX = 8,       /* contexts that are gone and recognised: as many as a Join Server keeps */
    PRINT_LEN = 16,
};

struct context {
    ljs_ns_context is;
    uint8_t print[PRINT_LEN]; /* fingerprint of its keys */
    int32_t confirmed;        /* counter modulo 2^16 of the last confirmed downlink, -1 for none */
    bool awaited;             /* its ACK has not come */
    struct rd sealed;         /* its keys: in the octets that were read, or in `made` of the step */
};

enum params_phase { PARAMS_NONE, PARAMS_DUE, PARAMS_SENT, PARAMS_KNOWN };

/* How many of a kind within the hour that began at `since`. */
struct limiter {
    int64_t since;
    uint32_t n;
};

struct network {
    ljs_ns_opts opts;
    ljs_ns_state state;
    struct context current, pending;
    uint8_t due;       /* LJS_NS_DUE_ACK, _REKEY_CONF, _ADR_ACK: owed to the current context */
    uint16_t ack_fcnt; /* of the uplink that LJS_NS_DUE_ACK is for, modulo 2^16 */
    bool rejoin2;      /* ForceRejoinReq of type 2 went out under the current context */
    struct {
        bool known;
        uint8_t print[PRINT_LEN]; /* of all but its MIC, which hangs on data rate and channel, too */
        uint16_t conf_fcnt;       /* under its MIC: another downlink may have gone out since */
        uint8_t again;            /* how often it was taken again */
    } last;                       /* the last uplink of the current context */
    struct {
        uint8_t type, period, max_retries, data_rate;
        uint8_t left; /* how often it may still be sent */
        bool due;
        int64_t at; /* when to look again, -1: not sent yet, or no wish */
        int64_t wait;
    } force;
    struct {
        enum params_phase phase;
        uint8_t max_time_n, max_count_n, time_ok;
    } params;
    struct limiter checked, unchecked; /* rejoin 0 and 2; rejoin 1 */
    uint8_t past[PAST_MAX][PRINT_LEN]; /* newest first */
    unsigned pasts;
};

/* Check the tag, then read.  What is read borrows `in`.  LJS_E_SEAL, LJS_E_VERSION, LJS_E_STATE. */
ljs_err ljs__network_load(struct network *out, const ljs_vault *vault, const uint8_t *in, size_t in_len);
/* Write with a tag. */
ljs_err ljs__network_save(ljs_buf *out, const struct network *n, const ljs_vault *vault);

/* The three slots of a context's keys: all of F_NWK_S_INT, S_NWK_S_INT, NWK_S_ENC, or the first
 * alone before LoRaWAN 1.1. */
ljs_err ljs__network_seal(struct wr *out, uint8_t print[PRINT_LEN], const struct network *n, const struct context *c,
                          const ljs_vault *vault, struct ring *ring);
ljs_err ljs__network_open(const struct network *n, const struct context *c, const ljs_vault *vault, struct ring *ring);

/* LJS_NS_DUE_...: all that a downlink could carry now. */
uint8_t ljs__network_due(const struct network *n);

#endif
