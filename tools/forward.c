#include "forward.h"

#include "client.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS_MOST = 256, QUIET = 10 /* seconds between two lines about the same trouble */, IDLE_MS = 1000 };

/* A request that has it was forwarded once, and is not again: two servers that have each other's address do not
 * play with it. */
static const char hops[] = "Lorajs-Forwarded";

/* What became of a request. */
enum outcome { ANSWERED, UNREACHABLE, TIMED_OUT, NONSENSE, EARLY, FULL, LOOP, OUTCOMES };
static const char *const names[OUTCOMES] = {
    "answered", "unreachable", "timeout", "nonsense", "early", "full", "loop"
};
static const char *const texts[OUTCOMES] = { [UNREACHABLE] = "the Join Server that may know the device is not reached",
                                             [TIMED_OUT] = "the Join Server that may know the device does not answer",
                                             [NONSENSE] = "the Join Server that may know the device answers no answer",
                                             [EARLY] = "the device has moved, and has not arrived there yet",
                                             [FULL] = "too many wait for the Join Server that may know the device",
                                             [LOOP] = "the same request is on its way already" };

struct forward {
    struct forward_opts opts;
    struct client *client;
    pthread_t thread;
    bool running;
    atomic_uint_least64_t count[OUTCOMES];
    struct http_call *slot[SLOTS_MOST]; /* on their way; the thread's, and under the lock for others to read */
    int64_t told_at[OUTCOMES];          /* the thread's */
    pthread_mutex_t lock;               /* of all below */
    pthread_cond_t more;
    struct http_call *first, **last;
    size_t waiting;
    bool closed;
};

/* ---- answers ---------------------------------------------------------------- */

static const char json[] = "application/json";

/* "Other", as of every fault of ours: UnknownDevEUI would make a network server drop a device that is there. */
static void answer_failure(struct forward *f, struct http_call *call, enum outcome outcome, bool held)
{
    ljs_message req, ans;
    ljs_buf body = { NULL, 0 };

    f->count[outcome]++;
    if (!ljs_message_parse(&req, call->in, call->in_len)) { /* as it was when it came */
        ljs_message_reply(&ans, &req, LJS_E_STORE);
        snprintf(ans.description, sizeof ans.description, "%s", texts[outcome]);
        if (req.type == LJS_MSG_APP_S_KEY_REQ) { /* [BI 1.0 Table 9]  mandatory */
            ans.has |= LJS_M_DEV_EUI;
            ans.dev_eui = req.dev_eui;
            ans.session_key_id_len = req.session_key_id_len;
            memcpy(ans.session_key_id, req.session_key_id, req.session_key_id_len);
        }
        if (ljs_message_build(&body, &ans))
            body = (ljs_buf){ NULL, 0 };
    }
    (held ? http_answer_held : http_answer)(call, body.len ? 200 : 500, json, &body);
}

static void tell(struct forward *f, enum outcome outcome, const char *why)
{
    int64_t now = http_clock() / 1000000000 + 1;

    if (f->told_at[outcome] && now - f->told_at[outcome] < QUIET)
        return;
    f->told_at[outcome] = now;
    say(f->opts.log, SAY_WARNING, "%s: %s: %s", f->opts.url, names[outcome], why);
}

/* The answer to this very request, by type, TransactionID, who speaks to whom, device and session.  What it says is the
 * other server's word; but of a device that has moved "unknown" says that its parcel has not arrived, and would make a
 * network server drop it. */
static enum outcome outcome_of(const struct http_call *call, const struct client_answer *answer)
{
    enum outcome outcome = NONSENSE;
    ljs_message req, ans;

    if (answer->fate != FATE_ANSWERED)
        return answer->fate == FATE_TIMED_OUT ? TIMED_OUT : UNREACHABLE;
    if (answer->status == 200 && !ljs_message_parse(&req, call->in, call->in_len) &&
        !ljs_message_parse(&ans, answer->body, answer->body_len)) {
        if (ljs_message_answers(&ans, &req) && ans.has & LJS_M_TRANSACTION_ID && ans.has & LJS_M_RESULT)
            outcome = call->note == LJS_E_MOVED && ans.result == LJS_E_DEVICE ? EARLY : ANSWERED;
        explicit_bzero(&ans, sizeof ans); /* keys may be in it, in clear */
    }
    return outcome;
}

/* Its octets as they are. */
static void on_answer(void *user, unsigned slot, const struct client_answer *answer)
{
    struct forward *f = user;
    struct http_call *call = f->slot[slot];
    enum outcome outcome = outcome_of(call, answer);
    ljs_buf body;

    pthread_mutex_lock(&f->lock);
    f->slot[slot] = NULL;
    pthread_mutex_unlock(&f->lock);
    if (outcome == ANSWERED && ljs_buf_copy(&body, answer->body, answer->body_len))
        outcome = UNREACHABLE;
    if (outcome == ANSWERED) {
        f->count[ANSWERED]++;
        http_answer_held(call, 200, json, &body);
        return;
    }
    tell(f, outcome,
         answer->error      ? answer->error
         : outcome == EARLY ? texts[EARLY]
                            : "see what stands at this address");
    answer_failure(f, call, outcome, true);
}

/* ---- the queue --------------------------------------------------------------- */

/* The next one; it is in `slot` from then on. */
static struct http_call *next_call(struct forward *f, int slot)
{
    struct http_call *call;

    pthread_mutex_lock(&f->lock);
    if ((call = f->first)) {
        if (!(f->first = call->next))
            f->last = &f->first;
        f->waiting--;
        f->slot[slot] = call;
    }
    pthread_mutex_unlock(&f->lock);
    return call;
}

static void drop(struct forward *f, unsigned slot, enum outcome outcome)
{
    struct http_call *call = f->slot[slot];

    pthread_mutex_lock(&f->lock);
    f->slot[slot] = NULL;
    pthread_mutex_unlock(&f->lock);
    tell(f, outcome, "waited too long for its turn");
    answer_failure(f, call, outcome, true);
}

static void send_all(struct forward *f)
{
    struct http_call *call;
    int slot;

    while ((slot = client_slot(f->client)) >= 0 && (call = next_call(f, slot))) {
        if (http_clock() - call->whole_at > f->opts.timeout * 1000000000)
            drop(f, (unsigned)slot, TIMED_OUT);
        else if (client_post(f->client, (unsigned)slot, call->in, call->in_len))
            drop(f, (unsigned)slot, UNREACHABLE);
    }
}

static bool wait_for_work(struct forward *f)
{
    bool closed;

    pthread_mutex_lock(&f->lock);
    while (!f->closed && !f->first && !client_in_flight(f->client))
        pthread_cond_wait(&f->more, &f->lock);
    closed = f->closed;
    pthread_mutex_unlock(&f->lock);
    return !closed;
}

static void *work(void *user)
{
    struct forward *f = user;

    while (wait_for_work(f)) {
        send_all(f);
        if (client_run(f->client, IDLE_MS))
            break;
    }
    pthread_mutex_lock(&f->lock);
    f->closed = true;
    pthread_mutex_unlock(&f->lock);
    client_free(f->client); /* before the requests that it has in hand */
    f->client = NULL;
    for (unsigned i = 0; i < SLOTS_MOST; i++)
        if (f->slot[i])
            drop(f, i, UNREACHABLE);
    while (next_call(f, 0))
        drop(f, 0, UNREACHABLE);
    return NULL;
}

/* ---- for others --------------------------------------------------------------- */

static bool same(const struct http_call *a, const struct http_call *b)
{
    return a->in_len == b->in_len && !memcmp(a->in, b->in, a->in_len);
}

/* A server that forwards without telling may have sent it back to us. */
static bool is_under_way(const struct forward *f, const struct http_call *call)
{
    for (unsigned i = 0; i < SLOTS_MOST; i++)
        if (f->slot[i] && same(f->slot[i], call))
            return true;
    for (const struct http_call *at = f->first; at; at = at->next)
        if (same(at, call))
            return true;
    return false;
}

bool forward_may(const struct forward *f, struct http_call *call)
{
    return f && !http_header(call, hops);
}

bool forward_take(struct forward *f, struct http_call *call, ljs_call *done)
{
    enum outcome outcome = ANSWERED;

    if (!done->forwards || done->err ||
        (done->result != LJS_E_DEVICE && done->result != LJS_E_MOVED && done->result != LJS_E_SESSION))
        return false;
    call->note = done->result;
    ljs_buf_free(&done->out);
    pthread_mutex_lock(&f->lock);
    if (f->closed || f->waiting >= (size_t)f->opts.queue) {
        outcome = FULL;
    } else if (is_under_way(f, call)) {
        outcome = LOOP;
    } else {
        http_hold(call); /* before anybody else sees it */
        call->next = NULL;
        *f->last = call;
        f->last = &call->next;
        f->waiting++;
        pthread_cond_signal(&f->more);
        client_wake(f->client);
    }
    pthread_mutex_unlock(&f->lock);
    if (outcome != ANSWERED)
        answer_failure(f, call, outcome, false);
    return true;
}

void forward_metrics(FILE *to, struct forward *f)
{
    size_t waiting;

    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    waiting = f->waiting;
    pthread_mutex_unlock(&f->lock);
    fputs("# HELP lorajs_forwarded_total Requests about devices that are not here, by what became of them.\n"
          "# TYPE lorajs_forwarded_total counter\n",
          to);
    for (unsigned i = 0; i < OUTCOMES; i++)
        fprintf(to, "lorajs_forwarded_total{outcome=\"%s\"} %" PRIuLEAST64 "\n", names[i], f->count[i]);
    fprintf(to,
            "# HELP lorajs_forward_waiting Requests that wait for the other Join Server.\n"
            "# TYPE lorajs_forward_waiting gauge\nlorajs_forward_waiting %zu\n",
            waiting);
}

int forward_new(struct forward **out, const struct forward_opts *opts)
{
    const struct client_opts client = { .url = opts->url,
                                        .connections = (unsigned)opts->connections,
                                        .timeout_ms = (unsigned)opts->timeout * 1000,
                                        .ca = opts->ca,
                                        .cert = opts->certificate,
                                        .cert_key = opts->key ? opts->key : opts->certificate,
                                        .header = "Lorajs-Forwarded: 1" };
    struct forward *f = calloc(1, sizeof *f);
    int code;

    *out = NULL;
    if (!f) {
        complain("serve: out of memory");
        return FAILED;
    }
    f->opts = *opts;
    f->last = &f->first;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->more, NULL);
    code = client_new(&f->client, &client, on_answer, f);
    if (!code && !(f->running = !pthread_create(&f->thread, NULL, work, f))) {
        complain("serve: cannot start a thread: %s", strerror(errno));
        code = FAILED;
    }
    if (code)
        forward_free(f);
    else
        *out = f;
    return code;
}

void forward_stop(struct forward *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    if (f->running && !f->closed)
        client_wake(f->client);
    f->closed = true;
    pthread_cond_signal(&f->more);
    pthread_mutex_unlock(&f->lock);
    if (f->running)
        pthread_join(f->thread, NULL);
    f->running = false;
}

void forward_free(struct forward *f)
{
    if (!f)
        return;
    forward_stop(f);
    client_free(f->client);
    pthread_cond_destroy(&f->more);
    pthread_mutex_destroy(&f->lock);
    free(f);
}
