/* tally.h -- what comes of a crowd (crowd.h), in numbers: counted while it runs, shown as a line of progress, summed up
 * at the end. */
#ifndef LORAJS_TOOLS_TALLY_H
#define LORAJS_TOOLS_TALLY_H

#include "simdev.h"

enum { REASONS = 32 };

struct tally {
    uint64_t done, total; /* joins and rejoins */
    uint64_t good[ACTS], joins, rejoins, retries, outages, failures, unreached;
    struct {
        const char *why;
        uint64_t n;
    } reasons[REASONS];
    uint32_t *latencies; /* microseconds */
    size_t latencies_len, latencies_room;
    int64_t began, shown;
};

/* One more, for this reason: static words. */
void tally_failure(struct tally *t, const char *why);
void tally_latency(struct tally *t, int64_t us);
/* On a terminal, and not more often than is of use; `down`: the server does not answer; `end`: the line goes. */
void tally_show(struct tally *t, bool down, bool end);
void tally_print(struct tally *t, uint32_t devices, bool stopped, bool json);

#endif
