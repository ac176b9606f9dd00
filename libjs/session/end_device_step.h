/* end_device_step.h -- one step of the device side under way: what the rows of end_device.c share with those of
 * end_device_data.c. */
#ifndef LJS_SESSION_END_DEVICE_STEP_H
#define LJS_SESSION_END_DEVICE_STEP_H

#include "session/end_device.h"
#include "session/end_device_state.h"

enum { OWN_MINOR = 1 }; /* LoRaWAN 1.1 */

struct end_device_step {
    ljs_ed_out *out;
    ljs_se *se;
    const ljs_ed_event *event;
    struct ed ed; /* as it will be */
    /* ACCEPT */
    ljs_accept accept;
    ljs_scheme scheme;
    /* DATA: verified, in clear, with its whole counter */
    ljs_data data;
    int64_t fcnt;
    ljs_mac_command commands[LJS_FRM_PAYLOAD_MAX]; /* those that this machine deals with */
    size_t commands_len;
    bool rekey_conf;
};

void ljs__ed_schedule_rejoin0(struct end_device_step *s);

/* What rows about data ask and do. */
bool ljs__ed_sent_last(const struct end_device_step *s);
ljs_err ljs__ed_send_data(struct end_device_step *s);
ljs_err ljs__ed_send_again(struct end_device_step *s);
/* Verified, in clear, with its whole counter; before a row is looked for. */
ljs_err ljs__ed_open_data(struct end_device_step *s);
bool ljs__ed_rekey_conf(const struct end_device_step *s);
ljs_err ljs__ed_take_rekey_conf(struct end_device_step *s);
ljs_err ljs__ed_take_data(struct end_device_step *s);

#endif
