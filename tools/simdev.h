/* simdev.h -- end devices, each with the network server and the application server that it
 * speaks through: what they ask of a Join Server, and whether the answer is right.  No I/O.
 *
 * All that a device does follows from the seed of its fleet, its index and how often it
 * has asked; a journal (journal.h) tells the rest, so that a simulation can go on after
 * its own crash as a real device does after a reset.
 *
 * Nothing is believed: the accept is opened as the device would, every session key is
 * derived anew on the device's side and compared with the one in the answer. */
#ifndef LORAJS_SIMDEV_H
#define LORAJS_SIMDEV_H

#include "journal.h"

#include <stdio.h>

enum { NET_IDS_MAX = 16, KEKS_MAX = 64, SIM_DEVICES_MAX = 1 << 24 };

/* What the devices of a simulation share. */
struct fleet {
    ljs_key *seed;
    uint32_t devices;
    ljs_eui first; /* DevEUI of device 0 */
    ljs_eui join_eui, ns_id;
    ljs_netid net_ids[NET_IDS_MAX];
    unsigned net_ids_len;
    const char *as_id;               /* NULL: no application server asks */
    const char *ns_label, *as_label; /* for provisioning; NULL for none */
    struct sim_kek {
        char label[LJS_LABEL_MAX];
        ljs_key *key;
    } keks[KEKS_MAX];
    unsigned keks_len;
    uint32_t transaction; /* of the last message */
};

/* Draws the seed and the DevEUIs from the text; the other members are the caller's. */
ljs_err fleet_seed(struct fleet *fleet, const char *text);
/* Lines "LABEL HEX".  Complains itself; DONE, or an exit code. */
int fleet_read_keks(struct fleet *fleet, const char *path);
void fleet_clear(struct fleet *fleet);

enum sim_can {
    CAN_JOIN = 1,
    CAN_REJOIN = 2, /* has a session of LoRaWAN 1.1 */
};

struct simdev {
    uint32_t index;
    uint32_t asks;                 /* requests made so far */
    uint32_t dev_nonces;           /* of these, DevNonces consumed */
    uint32_t rj_count0, rj_count1; /* the next ones */
    struct ask ask;                /* the newest request */
    bool open;                     /* it has not been answered */
    bool joined;
    struct ask of;  /* the request that made the session */
    struct got got; /* the session */
    struct ask old; /* an answered request before that; phy_len 0: none */
};

/* Whatever the device may do now, as CAN_... */
unsigned simdev_can(const struct simdev *dev);
/* Make its next request: a join, or a rejoin of some type.  `dev` then has it open.
 * LJS_E_SPENT when the device has no nonce left. */
ljs_err simdev_next(struct simdev *dev, struct fleet *fleet, bool rejoin);
/* Take back what a journal tells. */
void simdev_restore(struct simdev *dev, const struct entry *entry);
/* A line for `device import`, keys in it. */
ljs_err simdev_provision(FILE *to, uint32_t index, const struct fleet *fleet);

enum sim_act {
    ACT_FORGE,   /* the open request with a MIC that is none: must be refused */
    ACT_ASK,     /* the open request */
    ACT_REPEAT,  /* the answered request again: must get the same session */
    ACT_REPLAY,  /* one before that: must be refused */
    ACT_APP_KEY, /* AppSKeyReq for the session: must get its AppSKey */
    ACTS
};

/* Which of the others device `dev` should do with its newest request, one time in `one_in`
 * each: bits 1 << ACT_... */
unsigned simdev_whims(const struct simdev *dev, const struct fleet *fleet, unsigned one_in);

/* The message for an act; `req` is needed to read its answer. */
ljs_err simdev_message(ljs_buf *out, ljs_message *req, const struct simdev *dev, struct fleet *fleet, enum sim_act act);

enum sim_fate {
    SIM_GOOD,    /* as it must be; for ACT_ASK *got is the new session */
    SIM_LATER,   /* the server had a fault of its own: ask again */
    SIM_REFUSED, /* a good request was refused */
    SIM_WRONG,   /* answered, but not so */
};

/* Judge the answer.  *why: what it was, in static words. */
enum sim_fate simdev_answer(struct got *got, const char **why, const struct simdev *dev, const struct fleet *fleet,
                            enum sim_act act, const ljs_message *req, const uint8_t *in, size_t in_len);
/* The session is the device's from now on. */
void simdev_accept(struct simdev *dev, const struct got *got);

#endif
