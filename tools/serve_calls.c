/* serve_calls.c -- what is asked of the daemon, and what it says: requests come out of HTTP as they arrived together,
 * the library answers a batch of them with one commit; an operator hears how it is. */
#include "serve_inside.h"

#include <string.h>

enum { BATCH_MOST = 1024 };

/* ---- answers ---------------------------------------------------------------- */

static const char json[] = "application/json";

static void answer_text(struct http_call *call, unsigned status, const char *type, const char *text)
{
    ljs_buf body;

    if (ljs_buf_copy(&body, (const uint8_t *)text, strlen(text)))
        status = 500; /* and nothing to say it with */
    http_answer(call, status, type, &body);
}

static void answer_err(struct http_call *call, unsigned status, ljs_err err)
{
    char text[256];

    snprintf(text, sizeof text, "{\"Result\":{\"ResultCode\":\"%s\",\"Description\":\"%s\"}}\n",
             ljs_result_code(err, 10), ljs_strerror(err));
    answer_text(call, status, json, text);
}

static void answer_call(struct serve *s, struct http_call *call, ljs_call *done)
{
    meter_seconds(&s->meters.latency, http_clock() - call->whole_at);
    if (!done->out.len)
        answer_err(call, 500, done->err ? done->err : LJS_E_NOMEM);
    else
        http_answer(call, done->err == LJS_OK ? 200 : done->err == LJS_E_MESSAGE ? 400 : 500, json, &done->out);
    ljs_buf_free(&done->out);
}

/* ---- requests --------------------------------------------------------------- */

/* Who has shown no certificate. */
static void name_peers(struct serve *s, struct http_call *calls)
{
    pthread_mutex_lock(&s->lock);
    for (struct http_call *call = calls; call; call = call->next) {
        if (!call->vouched && *s->plain_peer) {
            memcpy(call->peer, s->plain_peer, sizeof call->peer);
            call->vouched = true;
        } else if (!call->vouched && s->any_sender && s->has_peers) {
            /* The library was told that anybody may ask; since then peers have been
             * configured: whoever shows none is now a peer that speaks for nobody. */
            memcpy(call->peer, PEER_NOBODY, sizeof PEER_NOBODY);
            call->vouched = true;
        }
    }
    pthread_mutex_unlock(&s->lock);
}

/* As many as may wait; the others are told to come again. */
static struct http_call *admit(struct serve *s, struct http_call *calls)
{
    struct http_call *first = NULL, **last = &first, *next;

    for (struct http_call *call = calls; call; call = next) {
        next = call->next;
        if (s->meters.waiting++ < (uint64_t)s->config.queue) {
            call->next = NULL;
            *last = call;
            last = &call->next;
        } else {
            s->meters.waiting--;
            answer_err(call, 503, LJS_E_BUSY);
        }
    }
    return first;
}

/* One commit; those after it. */
static struct http_call *answer_batch(struct serve *s, struct http_call *calls)
{
    ljs_call batch[BATCH_MOST];
    int64_t now = now_seconds();
    size_t n = 0;
    struct http_call *at = calls, *next;

    for (; at && n < (size_t)s->config.batch; at = at->next)
        batch[n++] = (ljs_call){ .peer = at->vouched ? at->peer : NULL,
                                 .now = now,
                                 .in = at->in_len ? at->in : (const uint8_t *)"",
                                 .in_len = at->in_len,
                                 .forwards = forward_may(s->forward, at) };
    s->meters.waiting -= n;
    s->meters.working += n;
    ljs_server_handle_batch(s->data.server, batch, n);
    meter_number(&s->meters.batch, n);
    s->meters.working -= n;
    at = calls;
    for (size_t i = 0; i < n; i++, at = next) {
        next = at->next;
        if (!forward_take(s->forward, at, &batch[i]))
            answer_call(s, at, &batch[i]);
    }
    return at;
}

void serve_calls(void *user, struct http_call *calls)
{
    struct serve *s = user;

    name_peers(s, calls);
    calls = admit(s, calls);
    while (calls)
        calls = answer_batch(s, calls);
}

/* ---- the listener for operators --------------------------------------------- */

static void answer_metrics(struct serve *s, struct http_call *call)
{
    static const char plain[] = "text/plain; charset=utf-8";
    struct http_stats stats;
    ljs_buf text;
    ljs_err err;

    if (!strcmp(call->path, "/healthz")) {
        answer_text(call, 200, plain, "ok\n");
    } else if (!strcmp(call->path, "/readyz")) {
        err = s->stopping ? LJS_E_STATE : ljs_server_ready(s->data.server);
        answer_text(call, err ? 503 : 200, plain, err == LJS_E_STATE ? "stopping\n" : err ? "store\n" : "ready\n");
    } else if (!strcmp(call->path, "/metrics")) {
        http_stats(&stats, s->http);
        if (metrics_text(&text, &s->meters, s->data.server, &stats, log_left_out(s->log), s->admin, s->forward))
            answer_text(call, 500, plain, "out of memory\n");
        else
            http_answer(call, 200, "text/plain; version=0.0.4; charset=utf-8", &text);
    } else {
        answer_text(call, 404, plain, "/healthz /readyz /metrics\n");
    }
}

void serve_metrics_calls(void *user, struct http_call *calls)
{
    for (struct http_call *next; calls; calls = next) {
        next = calls->next;
        answer_metrics(user, calls);
    }
}
