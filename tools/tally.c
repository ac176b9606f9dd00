/* tally.c -- what comes of a crowd: failures by their reasons, latencies, progress and summary. */
#include "tally.h"

#include "tool.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void tally_failure(struct tally *t, const char *why)
{
    unsigned i = 0;

    t->failures++;
    while (i < REASONS - 1 && t->reasons[i].why && strcmp(t->reasons[i].why, why))
        i++;
    t->reasons[i].why = i == REASONS - 1 ? "other" : why;
    t->reasons[i].n++;
}

void tally_latency(struct tally *t, int64_t us)
{
    if (t->latencies_len == t->latencies_room) {
        size_t room = t->latencies_room ? 2 * t->latencies_room : 4096;
        uint32_t *at = realloc(t->latencies, room * sizeof *at);

        if (!at)
            return; /* a summary with fewer of them */
        t->latencies = at;
        t->latencies_room = room;
    }
    t->latencies[t->latencies_len++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

void tally_show(struct tally *t, bool down, bool end)
{
    int64_t now = now_ms();
    unsigned part = t->total ? (unsigned)(t->done * 30 / t->total) : 30;

    if (!isatty(STDERR_FILENO) || (!end && now - t->shown < 200))
        return;
    t->shown = now;
    if (end)
        fputs("\r\033[K", stderr);
    else
        fprintf(stderr, "\r[%.*s%*s] %" PRIu64 "/%" PRIu64 "  %.0f/s  %" PRIu64 " failed%s\033[K", (int)part,
                "##############################", (int)(30 - part), "", t->done, t->total,
                (double)(t->joins + t->rejoins) * 1000 / (double)(now - t->began + 1), t->failures,
                down ? "  (no answer)" : "");
    fflush(stderr);
}

static int by_number(const void *va, const void *vb)
{
    uint32_t a = *(const uint32_t *)va, b = *(const uint32_t *)vb;

    return a < b ? -1 : a > b;
}

static double percentile(const struct tally *t, unsigned percent)
{
    size_t n = t->latencies_len;

    return n ? t->latencies[(n - 1) * percent / 100] / 1000.0 : 0;
}

void tally_print(struct tally *t, uint32_t devices, bool stopped, bool json)
{
    double seconds = (double)(now_ms() - t->began) / 1000, rate;

    rate = seconds > 0 ? (double)(t->joins + t->rejoins) / seconds : 0;
    if (t->latencies_len)
        qsort(t->latencies, t->latencies_len, sizeof *t->latencies, by_number);
    if (json) {
        printf("{\"devices\":%u,\"joins\":%" PRIu64 ",\"rejoins\":%" PRIu64 ",\"forged\":%" PRIu64
               ",\"replayed\":%" PRIu64 ",\"repeated\":%" PRIu64 ",\"app_s_keys\":%" PRIu64 ",\"retries\":%" PRIu64
               ",\"outages\":%" PRIu64 ",\"seconds\":%.3f,\"per_second\":%.1f,"
               "\"latency_ms\":{\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"max\":%.3f},\"failures\":{",
               devices, t->joins, t->rejoins, t->good[ACT_FORGE], t->good[ACT_REPLAY], t->good[ACT_REPEAT],
               t->good[ACT_APP_KEY], t->retries, t->outages, seconds, rate, percentile(t, 50), percentile(t, 90),
               percentile(t, 99), percentile(t, 100));
        for (unsigned i = 0; i < REASONS && t->reasons[i].why; i++) {
            fputs(i ? "," : "", stdout);
            print_json_text(stdout, t->reasons[i].why);
            printf(":%" PRIu64, t->reasons[i].n);
        }
        printf("},\"finished\":%s}\n", stopped ? "false" : "true");
        return;
    }
    printf("%u devices: %" PRIu64 " joins and %" PRIu64 " rejoins in %.1f s, %.0f a second\n", devices, t->joins,
           t->rejoins, seconds, rate);
    printf("refused as they must be: %" PRIu64 " forged, %" PRIu64 " replayed; answered alike again: %" PRIu64
           "; AppSKeys asked for: %" PRIu64 "\n",
           t->good[ACT_FORGE], t->good[ACT_REPLAY], t->good[ACT_REPEAT], t->good[ACT_APP_KEY]);
    if (t->retries)
        printf("asked again after no answer: %" PRIu64 ", in %" PRIu64 " outages\n", t->retries, t->outages);
    printf("latency in ms: p50 %.1f, p90 %.1f, p99 %.1f, max %.1f\n", percentile(t, 50), percentile(t, 90),
           percentile(t, 99), percentile(t, 100));
    printf("failures: %" PRIu64 "%s\n", t->failures, stopped ? " (interrupted)" : "");
    for (unsigned i = 0; i < REASONS && t->reasons[i].why; i++)
        printf("  %8" PRIu64 "  %s\n", t->reasons[i].n, t->reasons[i].why);
}
