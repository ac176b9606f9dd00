/* life_inside.h -- the parts of a life, for life*.c alone: the device's side, the network's with its
 * requests to the Join Server, the judge; and what they share, which is in life.c: chance, what
 * happens when, the channel, what is said. */
#ifndef LORAJS_LIFE_INSIDE_H
#define LORAJS_LIFE_INSIDE_H

#include "life.h"

#include <lorajs/end_device.h>
#include <lorajs/network.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum {
    /* ms */
    AIRTIME = 200,
    RX1 = 1000,
    JOIN_ACCEPT_DELAY1 = 5000,
    WINDOWS = 4000,
    JOIN_WINDOWS = 8000,
    BACKEND = 20,
    BACKEND_TIMEOUT = 1500,
    MINUTE = 60000,
    HOUR = 3600000,
    UNSETTLED = 2 * MINUTE, /* between uplinks in the loss-free phase */
    RETRANSMIT_MIN = 1000,  /* RETRANSMIT_TIMEOUT */
    RETRANSMIT_MAX = 3000,

    BACKEND_TRIES = 5,
    CONFIRMED_TRIES = 8, /* [RP2-1.0.0 §3, L2 1.0.3 §19.1]  of a confirmed uplink */
    NB_TRANS = 3,        /* of devices that were told so */
    ROUNDS = 8,          /* of the last exchange */
    SESSIONS = 8,
    PORT = 10,
    MIC_LEN = 4,
    PAYLOAD_MIN = 4,
    PAYLOAD_MAX = 24,
    MAX_COUNT_N = 2, /* of RejoinParamSetupReq: every 64 uplinks */
    NOTE_MAX = 96,
};

enum what { AT_NETWORK, AT_DEVICE, AT_JOIN_SERVER, ANSWER, REPEAT, UPLINK, POWER_LOSS, POWER_ON, WISH };

/* A frame on its way. */
struct letter {
    uint8_t phy[LJS_DATA_MAX];
    size_t phy_len;
    uint8_t dr, ch;
    int64_t sent;
    char text[NOTE_MAX];
};

/* A request to the Join Server, until nobody waits for anything of it. */
struct request {
    unsigned holders;
    ljs_message req, ans;
    ljs_buf body;
    ljs_frame frame;
    int64_t heard; /* when the network heard the frame */
    int64_t sent;  /* the message that is under way */
    ljs_err err;   /* of ans */
    unsigned tries;
    bool done;
};

struct event {
    int64_t at;
    uint64_t order; /* first in, first out */
    enum what what;
    struct letter *letter;
    struct request *ask;
};

/* A session as the application server and the observer know it. */
struct session {
    bool used;
    uint8_t id[16];
    ljs_key *app_s; /* as the Join Server gave it */
    ljs_accept accept;
    ljs_frame_kind kind;
    uint16_t nonce;
};

struct life {
    const struct world *world;
    const struct version *version;
    struct trace *trace;
    void *user;
    uint64_t *counts;
    uint32_t index;
    uint64_t dice;
    int64_t now;
    bool still;      /* the days are over: nothing is lost any more */
    const char *why; /* what was wrong, first */
    ljs_err fault;

    struct event *heap;
    size_t heap_len, heap_room;
    uint64_t order;

    ljs_eui dev_eui;
    ljs_key *nwk, *app, *js_int, *js_enc; /* the observer's */
    ljs_scheme scheme;                    /* what it must come to */

    /* the device */
    ljs_se *se;
    ljs_buf ed, durable;
    ljs_ed_state ed_state;
    bool off;
    int64_t boot;    /* when its clock was 0 */
    int64_t wake;    /* -1: no need */
    int64_t windows; /* their end, -1: none open */
    int64_t again;   /* when the last uplink goes once more, -1: not */
    unsigned tries;  /* how often it may yet */
    enum { ALIVE, DIES_BEFORE_PERSISTING, DIES_AFTER_PERSISTING } fate;
    uint32_t up_seq;   /* of the last uplink made */
    uint32_t down_got; /* of the last downlink it had */
    uint32_t confirmed_seq;
    bool confirmed_known;
    int64_t join_nonce;
    int64_t last[LJS_ED_SENDS_DATA + 1]; /* DevNonce, RJcount and FCntUp on air, by what they were sent with */
    struct letter last_up, last_down;    /* on air */

    /* the network */
    ljs_buf ns;
    ljs_ns_state ns_state;
    int64_t ns_wake;
    uint32_t requests;
    bool params_wished;
    uint32_t up_got, down_seq;
    uint32_t confirmed_got;
    bool must_say;
    struct session sessions[SESSIONS];

    /* the Join Server's, as the observer saw it */
    struct {
        ljs_frame_kind kind;
        uint16_t nonce;
        uint32_t join_nonce;
    } given[SESSIONS];
    unsigned givens;
    uint32_t highest;
};

/* ---- life.c ----------------------------------------------------------------- */

uint64_t life_draw(struct life *l);
int64_t life_between(struct life *l, int64_t low, int64_t high);
bool life_chance(struct life *l, int64_t percent);

/* Takes the letter, and holds the ask. */
void life_push(struct life *l, int64_t at, enum what what, struct letter *letter, struct request *ask);
void life_ask_drop(struct request *ask);

void life_note(struct life *l, enum actor whose, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A law is broken: the life ends here. */
void life_wrong(struct life *l, enum actor whose, const char *why);
/* *state becomes *next, which is emptied. */
void life_take(ljs_buf *state, ljs_buf *next);

void life_air(struct life *l, enum actor from, enum actor to, int64_t in, const struct letter *letter);

/* The payload with number `seq`, the same whoever asks. */
size_t life_say(uint8_t out[PAYLOAD_MAX], const struct life *l, ljs_direction direction, uint32_t seq);
/* Its number when it is what was said, else 0. */
uint32_t life_was_said(const struct life *l, ljs_direction direction, const uint8_t *in, size_t in_len);

/* ---- life_device.c ---------------------------------------------------------- */

void life_new_session(struct life *l, int64_t join_nonce);
void life_power_off(struct life *l);
void life_power_on(struct life *l);
void life_device_event(struct life *l, ljs_ed_event_kind kind);
void life_device_uplink(struct life *l);
void life_device_again(struct life *l);
void life_device_hear(struct life *l, const struct letter *letter);
/* What a frame that is not for whom it reaches, or not any more, may be refused with. */
bool life_is_refusal(ljs_err err);

/* ---- life_network.c --------------------------------------------------------- */

struct session *life_session_of(struct life *l, const uint8_t id[16]);
bool life_read_network(struct life *l, ljs_ns *out);
void life_join_server(struct life *l, struct request *ask);
void life_send_ask(struct life *l, struct request *ask);
void life_network_answered(struct life *l, struct request *ask);
void life_network_hear(struct life *l, const struct letter *letter);
void life_network_timer(struct life *l);
void life_network_wish(struct life *l);

/* ---- life_judge.c ----------------------------------------------------------- */

/* NULL when device and network have one shared context; else what is wrong, static words. */
const char *life_judge(struct life *l);

#endif
