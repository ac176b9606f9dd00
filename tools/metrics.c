/* metrics.c -- the text format of Prometheus, version 0.0.4. */
#include "metrics.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Upper ends of the rows; 0 ends them. */
static const int64_t latency_ends[METER_ROWS] = { 250000,    500000,     1000000,    2500000,   5000000,
                                                  10000000,  25000000,   50000000,   100000000, 250000000,
                                                  500000000, 1000000000, 2500000000, 5000000000 };
static const int64_t batch_ends[METER_ROWS] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512 };

static void count(struct meter *meter, const int64_t *ends, int64_t value)
{
    unsigned i = 0;

    while (ends[i] && value > ends[i])
        i++;
    meter->rows[i]++;
    meter->sum += (uint64_t)(value > 0 ? value : 0);
}

void meter_seconds(struct meter *meter, int64_t nanoseconds)
{
    count(meter, latency_ends, nanoseconds);
}

void meter_number(struct meter *meter, uint64_t n)
{
    count(meter, batch_ends, (int64_t)n);
}

static void head(FILE *to, const char *name, const char *type, const char *help)
{
    fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(FILE *to, const char *name, const char *type, const char *help, uint64_t value)
{
    head(to, name, type, help);
    fprintf(to, "%s %" PRIu64 "\n", name, value);
}

static void histogram(FILE *to, const char *name, const char *help, struct meter *meter, const int64_t *ends,
                      double unit)
{
    uint64_t sum = meter->sum, n = 0;

    head(to, name, "histogram", help);
    for (unsigned i = 0; ends[i]; i++) {
        n += meter->rows[i];
        fprintf(to, "%s_bucket{le=\"%.12g\"} %" PRIu64 "\n", name, (double)ends[i] / unit, n);
        if (!ends[i + 1])
            n += meter->rows[i + 1];
    }
    fprintf(to, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.12g\n%s_count %" PRIu64 "\n", name, n, name,
            (double)sum / unit, name, n);
}

/* Each type by each result that has a name, where there is something to count. */
static void decisions(FILE *to, ljs_server *server)
{
    head(to, "lorajs_requests_total", "counter", "Backend Interfaces messages answered, by type and result.");
    for (int type = LJS_MSG_NONE; type <= LJS_MSG_HOME_NS_ANS; type++)
        for (int err = LJS_OK; err > -200; err--) {
            uint64_t n = ljs_server_count(server, (ljs_message_type)type, (ljs_err)err);
            const char *text = ljs_message_type_text((ljs_message_type)type);

            if (n)
                fprintf(to, "lorajs_requests_total{type=\"%s\",result=\"%s\"} %" PRIu64 "\n", *text ? text : "unknown",
                        ljs_errname((ljs_err)err), n);
        }
}

static void alarms(FILE *to, ljs_server *server)
{
    head(to, "lorajs_alarms_total", "counter", "Signs of cloned devices, by kind.");
    for (int alarm = LJS_ALARM_BACKWARD; alarm <= LJS_ALARM_NETWORK; alarm++)
        fprintf(to, "lorajs_alarms_total{kind=\"%s\"} %" PRIu64 "\n", ljs_alarm_text((ljs_alarm)alarm),
                ljs_server_alarms(server, (ljs_alarm)alarm));
}

ljs_err metrics_text(ljs_buf *out, struct meters *m, ljs_server *server, const struct http_stats *http,
                     uint64_t left_out, struct admin *admin, struct forward *forward)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    bool good;
    ljs_err err = LJS_E_NOMEM;

    *out = (ljs_buf){ NULL, 0 };
    if (!to)
        return LJS_E_NOMEM;
    head(to, "lorajs_info", "gauge", "The version, as a label.");
    fprintf(to, "lorajs_info{version=\"%s\"} 1\n", ljs_version());
    one(to, "lorajs_start_time_seconds", "gauge", "When the server began, Unix time.", (uint64_t)m->started);
    decisions(to, server);
    alarms(to, server);
    head(to, "lorajs_http_answers_total", "counter", "HTTP answers, by status.");
    for (unsigned i = 0; i < HTTP_STATUSES; i++)
        if (http->answers[i].status)
            fprintf(to, "lorajs_http_answers_total{status=\"%u\"} %" PRIu64 "\n", http->answers[i].status,
                    http->answers[i].count);
    one(to, "lorajs_http_connections", "gauge", "Open connections.", http->connections);
    one(to, "lorajs_http_connections_total", "counter", "Connections accepted.", http->accepted);
    one(to, "lorajs_http_timeouts_total", "counter", "Connections closed because a request took too long.",
        http->timed_out);
    one(to, "lorajs_in_flight", "gauge", "Requests begun and not yet answered.", http->active);
    one(to, "lorajs_waiting", "gauge", "Requests that wait while others are answered.", m->waiting);
    one(to, "lorajs_working", "gauge", "Requests that workers have in hand.", m->working);
    histogram(to, "lorajs_request_seconds", "From the last octet of a request to its answer.", &m->latency,
              latency_ends, 1e9);
    histogram(to, "lorajs_batch_requests", "Requests answered with one call of the library.", &m->batch, batch_ends, 1);
    one(to, "lorajs_flush_failures_total", "counter", "Failures to write the decisions that lorajs why tells.",
        m->flush_failures);
    one(to, "lorajs_reloads_total", "counter", "Configurations taken over on SIGHUP.", m->reloads);
    one(to, "lorajs_reload_failures_total", "counter", "Configurations refused on SIGHUP.", m->reload_failures);
    one(to, "lorajs_log_left_out_total", "counter", "Refusals not written to the log for being too many.", left_out);
    if (admin)
        admin_metrics(to, admin);
    forward_metrics(to, forward);
    good = !ferror(to);
    if (!fclose(to) && good)
        err = ljs_buf_copy(out, (const uint8_t *)text, len);
    free(text);
    return err;
}
