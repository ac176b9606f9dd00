/* serve_inside.h -- the daemon, for serve*.c alone: serve.c starts, reloads and stops it, serve_calls.c answers. */
#ifndef LORAJS_TOOLS_SERVE_INSIDE_H
#define LORAJS_TOOLS_SERVE_INSIDE_H

#include "anchor.h"
#include "metrics.h"

#include <pthread.h>

struct serve {
    struct config config;
    int argc;
    char **argv;
    unsigned connections; /* as many of config.connections as there may be open files */

    struct log *log;
    struct data data;
    struct tls *tls;
    struct http *http, *metrics_http;
    struct admin *admin;     /* NULL for none */
    struct forward *forward; /* likewise */
    struct meters meters;
    atomic_bool stopping;
    struct audit_timer audit;
    bool any_sender; /* began as a laboratory: no peer was configured */

    pthread_mutex_t lock; /* of all below */
    bool has_peers;
    char plain_peer[LJS_LABEL_MAX];

    bool locked_out; /* by a change of the master key */
};

/* What http_opts.calls is to those who ask, and to operators; `user` is the daemon. */
void serve_calls(void *user, struct http_call *calls);
void serve_metrics_calls(void *user, struct http_call *calls);

#endif
