/* forward.h -- what is asked about devices that are not here, or have moved, goes to the Join Server that has them, and
 * its answer comes back.
 *
 * A thread of its own, and never more than forward_opts.connections of them on their way and forward_opts.queue that
 * wait: when the other server is slow or dead, nobody waits for it but who asked about its devices. */
#ifndef LORAJS_TOOLS_FORWARD_H
#define LORAJS_TOOLS_FORWARD_H

#include "http.h"

#include <stdio.h>

struct forward;

struct forward_opts {
    const char *url;                    /* from the configuration alone */
    const char *ca, *certificate, *key; /* files (PEM), NULL for none */
    int64_t timeout;                    /* seconds: for a turn, and then for an answer */
    int64_t connections, queue;
    struct log *log;
};

/* Complains itself.  DONE, or an exit code. */
int forward_new(struct forward **out, const struct forward_opts *opts);
/* May a request go on, should it be for the other server?  Not one that somebody has forwarded to us. */
bool forward_may(const struct forward *f, struct http_call *call);
/* Is it for the other server?  Then the call is taken and will be answered, and `done`, which the library has answered
 * it with, is wiped.  False for all others, and where `f` is NULL. */
bool forward_take(struct forward *f, struct http_call *call, ljs_call *done);
/* NULL is taken. */
void forward_metrics(FILE *to, struct forward *f);
/* Answers all that wait, and takes no more.  NULL is taken. */
void forward_stop(struct forward *f);
/* NULL is taken. */
void forward_free(struct forward *f);

#endif
