/* metrics.h -- what Prometheus may know: counts and times, no key and no device. */
#ifndef LORAJS_TOOLS_METRICS_H
#define LORAJS_TOOLS_METRICS_H

#include "admin.h"
#include "forward.h"
#include "http.h"

#include <stdatomic.h>

enum { METER_ROWS = 16 };

/* A histogram; rows as metrics.c has their upper ends, the last one for all above. */
struct meter {
    atomic_uint_least64_t rows[METER_ROWS], sum; /* sum in nanoseconds, or things */
};

void meter_seconds(struct meter *meter, int64_t nanoseconds);
void meter_number(struct meter *meter, uint64_t n);

/* What is not in the server or in HTTP. */
struct meters {
    struct meter latency; /* from the last octet of a request to its answer */
    struct meter batch;   /* requests in one commit */
    atomic_uint_least64_t flush_failures, reloads, reload_failures;
    atomic_size_t waiting, working; /* requests */
    int64_t started;                /* Unix time */
};

/* The text of /metrics; `admin` and `forward` may be NULL.  LJS_E_NOMEM. */
ljs_err metrics_text(ljs_buf *out, struct meters *meters, ljs_server *server, const struct http_stats *http,
                     uint64_t log_lines_left_out, struct admin *admin, struct forward *forward);

#endif
