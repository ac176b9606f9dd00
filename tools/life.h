/* life.h -- the life of one end device: the device, the network server that hears it, and
 * the channel between them, by simulated time; and the judge of how it ends.
 *
 * The device and the network are the machines of end_device.h and network.h; the Join Server
 * is whatever the world asks.  All that happens follows from the seed and the index of the
 * device, so that one life can be lived again without the others.
 *
 * Nobody's word is taken.  Beside the two machines stands an observer who knows the root keys:
 * he opens each join-accept, compares each payload with what was said, and in the end derives
 * the session keys himself and reads the frames that were on air. */
#ifndef LORAJS_LIFE_H
#define LORAJS_LIFE_H

#include "simdev.h"
#include "trace.h"

#define DAY_MS INT64_C(86400000)

/* What devices there are: device i is of version i % VERSIONS. */
enum { VERSIONS = 4 };
struct version {
    const char *name;
    ljs_mac mac, network; /* what the device speaks, and what its network does */
};
extern const struct version versions[VERSIONS];

/* The world of a simulation; see the flags in simulate.c. */
struct triangle_opts {
    int64_t days, uplinks, loss, backend_loss, duplicate, delay, reorder;
    int64_t rejoin0, rejoin1, force, power_loss, calm, only, jobs;
    bool trace;
    const char *diagram;
};

/* What is counted, see `counted` in life.c. */
enum count {
    N_DEVICES,
    N_JOINS,
    N_REJOINS_0,
    N_REJOINS_1,
    N_REJOINS_2,
    N_REKEYS,
    N_UPLINKS,
    N_UPLINKS_HEARD,
    N_AGAIN,
    N_AGAIN_HEARD,
    N_DOWNLINKS,
    N_DOWNLINKS_HEARD,
    N_LOST,
    N_COPIES,
    N_OVERTAKEN,
    N_BACKEND,
    N_BACKEND_LOST,
    N_REFUSED_BY_DEVICE,
    N_REFUSED_BY_NETWORK,
    N_REFUSED_BY_JOIN_SERVER,
    N_POWER_LOSSES,
    N_SESSIONS_LOST,
    N_LEFT_PENDING,
    COUNTS
};
extern const struct counted {
    const char *name; /* in JSON */
    const char *text;
} counted[COUNTS];

struct world;

/* Ask the Join Server; LJS_E_BUSY when there is no answer.  `user` is the thread's own. */
typedef ljs_err ask_fn(void *user, ljs_buf *out, int64_t now, const ljs_buf *body);

struct world {
    const struct triangle_opts *opts;
    const struct fleet *fleet; /* seed, JoinEUI, NetID, KEKs */
    ljs_vault *vault;          /* of the network server */
    ask_fn *ask;
};

/* The device's DevEUI and root keys; app is NULL before 1.1. */
ljs_err life_device(ljs_eui *dev_eui, ljs_key **nwk, ljs_key **app, const struct fleet *fleet, uint32_t index);

/* Live it.  *why: NULL when it ended in agreement, else what was wrong; static words.
 * @return LJS_OK also then; else a fault of the simulation itself */
ljs_err life_run(const char **why, uint64_t counts[COUNTS], const struct world *world, uint32_t index, void *user,
                 struct trace *trace);

#endif
