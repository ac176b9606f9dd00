/* rekeyed.h -- `lorajs simulate --rekey`: a fleet whose root keys are replaced while it joins. */
#ifndef LORAJS_TOOLS_REKEYED_H
#define LORAJS_TOOLS_REKEYED_H

#include "simdev.h"

struct rekeyed_opts {
    const struct fleet *fleet;
    unsigned loss, crash; /* per cent: of messages, each way; of what is made durable, on either side */
    bool json;
};

/* DONE; REFUSED when a device did not end under the new keys; FAILED, complained of. */
int rekeyed_run(const struct rekeyed_opts *opts);

#endif
