/* network_step.h -- one event on its way through the network side: what the calls of network.c read of it, what the
 * rows of network_rules.c ask and do. */
#ifndef LJS_SESSION_NETWORK_STEP_H
#define LJS_SESSION_NETWORK_STEP_H

#include "session/network.h"

#include "keys/data.h"
#include "session/network_state.h"

enum { OWN_MAX = 3 * LJS_MAC_COMMAND_MAX };
static const int64_t WAIT_MAX = (int64_t)1 << 48;

struct network_step {
    struct network n;
    const ljs_vault *vault;
    struct ring *ring;
    int64_t now;

    /* a join-accept */
    const ljs_ns_accepted *accepted;
    struct context fresh;
    bool replaced;

    /* an uplink, or a rejoin-request */
    const uint8_t *in;
    size_t in_len;
    ljs_data data;
    struct context *under;
    uint32_t fcnt;
    uint8_t mac[LJS_FRM_PAYLOAD_MAX + OWN_MAX]; /* in clear; also those of a downlink */
    size_t mac_len;
    bool rekey, answered, acked, switched;
    uint8_t minor, time_ok;
    ljs_frame frame;
    bool forced;

    /* a downlink */
    const ljs_ns_tx *tx;
    uint8_t sent;

    const ljs_ns_force *force;
    uint8_t max_time_n, max_count_n;
    bool spent;
};

/* The row of the state and the event: asks, acts, and goes on; LJS_E_STATE where there is none. */
ljs_err ljs__network_run(struct network_step *step, enum network_event event);

void ljs__network_drop_force(struct network *n);
uint16_t ljs__network_conf_fcnt(const struct context *c);

#endif
