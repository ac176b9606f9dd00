/* crowd.h -- `lorajs simulate --url`: a fleet of end devices at once against a Join Server, over HTTP.  One thread:
 * whatever is ready is sent, whatever has come is checked, and an accept counts when the journal that tells of it is on
 * the disk. */
#ifndef LORAJS_TOOLS_CROWD_H
#define LORAJS_TOOLS_CROWD_H

#include "client.h"
#include "simdev.h"

struct crowd_opts {
    struct fleet *fleet;
    struct client_opts client;
    const char *journal; /* NULL: none */
    bool resume, json;
    int64_t joins, rejoins, whims, retry_for; /* as the flags of these names; whims: --checks */
};

/* Prints a summary.  DONE; REFUSED when an answer was not as it must be; FAILED when there was none, or complained of.
 */
int crowd_run(const struct crowd_opts *opts);

#endif
