/* end_device.h -- inside the device side, for tests and for who explores or draws it. */
#ifndef LJS_SESSION_END_DEVICE_H
#define LJS_SESSION_END_DEVICE_H

#include <lorajs/end_device.h>

#include <stdbool.h>

struct end_device_step;

/* A row of the machine, in words.  What is in no row is refused and changes nothing; of rows
 * for one state and event the first whose guard holds is taken. */
struct end_device_row {
    const char *from;   /* ljs_ed_state_text() */
    const char *event;  /* "START", "TICK", "SEND", "SEND_AGAIN", "ACCEPT", "DATA", "LOST", "STOP", "RESTART" */
    const char *guard;  /* "RekeyConf of our version"; "" for none */
    const char *action; /* "send a join-request" */
    const char *to;     /* ljs_ed_state_text() */
    /* The same for the machine. */
    ljs_ed_state from_state, to_state;
    int kind; /* of the event */
    bool (*holds)(const struct end_device_step *step);
    ljs_err (*act)(struct end_device_step *step);
};
const struct end_device_row *ljs__end_device_rules(size_t *n);

/* 16 octets over all that a state means: two states are equal when their digests are.  Times count
 * as what is left of them at `now`, so that the same situation at another time is the same; of the
 * time since power-up the period of the join budget counts.  Checks the checksum. */
ljs_err ljs__end_device_digest(uint8_t out[16], int64_t now, const uint8_t *state, size_t state_len);

#endif
