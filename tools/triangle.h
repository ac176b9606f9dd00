/* triangle.h -- `lorajs simulate --days`: device, network server and Join Server over a channel
 * that loses, doubles, delays and reorders, by simulated time.  Each device lives its own life
 * (life.h); here are all of them, the Join Server, and the summary. */
#ifndef LORAJS_TRIANGLE_H
#define LORAJS_TRIANGLE_H

#include "client.h"
#include "life.h"

struct triangle {
    const struct triangle_opts *opts;
    const struct fleet *fleet;
    const char *seed;          /* for the command that plays a life again */
    struct client_opts client; /* url NULL: a Join Server of its own, in this process */
    bool json;
};

/* DONE; REFUSED when a life did not end in agreement; FAILED, complained of. */
int triangle_run(const struct triangle *triangle);
/* Each device as a line for `device import`, keys in it. */
ljs_err triangle_provision(FILE *to, const struct fleet *fleet);

#endif
