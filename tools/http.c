/* http.c -- libmicrohttpd's only user.
 *
 * We accept ourselves and hand connections over, so that a full server leaves its guests
 * in the kernel's queue and a stopping one can still take them; and we keep the time
 * ourselves (conn.c).
 *
 * Each thread is a loop with connections of its own, which reads, has answered and writes. A
 * request that is whole and has no answer is asked for again with each round of the loop
 * (libmicrohttpd: "try again next time"), so those that arrive together are answered together
 * without a connection being put to sleep, or another thread being woken, for any of them. */
#include "accept.h"
#include "body.h"
#include "status.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    DISCARD_MOST = 8 << 20, /* of a body that is refused: who sends it should hear why */
    SPARE_MOST = 64,        /* requests that a loop keeps for those to come */
    PATH_MOST = 64,
    TARGET_MOST = 512,
    POOL = 8 << 10, /* of a connection, for headers; libmicrohttpd zeroes all of it twice a request */
};

struct request {
    struct http_call call;
    struct loop *loop;
    struct http *http;
    struct MHD_Connection *connection;
    struct conn *conn;
    size_t discarded;
    unsigned refusal; /* a status, decided before the request is whole */
    bool ambiguous;   /* where its body ends: nothing that follows is believed */
    bool waits, answered;
    bool held;                     /* its loop's: somebody answers it later */
    bool ready, suspended, orphan; /* under held_lock: answered; its connection sleeps; is gone */
    uint64_t heard;                /* how many its loop had heard when it last asked for the answer */
    unsigned status;
    const char *type;
    ljs_buf answer;
    char path[PATH_MOST], method[8];
    struct body body; /* last: all before it begins as zeros */
};

/* A thread of libmicrohttpd's, and what is that thread's alone. */
struct loop {
    struct http *http;
    struct MHD_Daemon *daemon;
    struct http_call *first, **last; /* whole, and not answered */
    size_t waiting;
    uint64_t heard; /* requests, ever */
    struct request *spare[SPARE_MOST];
    unsigned spares;
    struct lane lane;
};

struct http {
    struct http_opts opts;
    struct loop *loops;
    unsigned loops_len;
    struct acceptor acceptor;
    struct conns conns;
    pthread_mutex_t held_lock;
    _Atomic uint64_t answers[HTTP_STATUSES];
};

/* ---- connections ------------------------------------------------------------ */

static struct conn *conn_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

static void *session_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);

    return info ? info->tls_session : NULL;
}

static void begin_connection(struct loop *l, struct MHD_Connection *connection, void **context)
{
    struct http *h = l->http;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    void *session = h->opts.tls ? session_of(connection) : NULL;
    struct conn *c = conn_new(&h->conns, &l->lane, info ? info->connect_fd : -1);

    *context = c;
    if (!c) {
        if (info)
            shutdown(info->connect_fd, SHUT_RDWR);
        return;
    }
    if (h->opts.headers && !(c->target = calloc(1, TARGET_MOST)))
        c->target_too_long = true;
    if (session)
        c->tls = tls_begin(h->opts.tls, session);
}

static void end_connection(struct loop *l, struct conn *c)
{
    struct http *h = l->http;

    if (c && c->tls)
        tls_end(h->opts.tls, c->tls);
    conn_end(&h->conns, &l->lane, c);
}

static void on_connection(void *user, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        begin_connection(user, connection, context);
    } else {
        end_connection(user, *context);
        *context = NULL;
    }
}

/* The request line is there: the clock of the request begins. */
static void *on_request_line(void *user, const char *uri, struct MHD_Connection *connection)
{
    struct loop *l = user;
    struct conn *c = conn_of(connection);

    if (c)
        conn_enter(&l->http->conns, c, READING);
    if (c && c->target) {
        size_t n = strlen(uri);

        c->target_too_long = n >= TARGET_MOST;
        memcpy(c->target, c->target_too_long ? "" : uri, c->target_too_long ? 1 : n + 1);
    }
    return NULL;
}

static void ask_peer(struct request *r)
{
    struct conn *c = r->conn;
    unsigned generation;

    if (!c->tls)
        return;
    generation = tls_generation(r->http->opts.tls);
    if (!c->asked || c->generation != generation) {
        bool vouched =
            (r->http->opts.headers ? tls_name : tls_peer)(c->peer, r->http->opts.tls, session_of(r->connection));

        pthread_mutex_lock(&r->http->conns.lock); /* conns_make_room() looks */
        c->vouched = vouched;
        pthread_mutex_unlock(&r->http->conns.lock);
    }
    c->asked = true;
    c->generation = generation;
    r->call.vouched = c->vouched;
    memcpy(r->call.peer, c->peer, sizeof c->peer);
}

/* ---- requests --------------------------------------------------------------- */

/* Is `word` in a list like "GET, HEAD"? */
static bool is_one_of(const char *list, const char *word)
{
    size_t n = strlen(word);

    for (const char *at = list; *at; at += strspn(at, ", ")) {
        size_t len = strcspn(at, ",");

        if (len == n && !memcmp(at, word, n))
            return true;
        at += len;
    }
    return false;
}

/* Lengths of a body, and codings of it, as libmicrohttpd, which is lenient, would take them. */
struct framing {
    unsigned lengths, codings;
    bool chunked;
};

static enum MHD_Result count_framing(void *user, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct framing *f = user;

    (void)kind;
    if (!strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH)) {
        f->lengths++;
    } else if (!strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING)) {
        f->codings++;
        f->chunked = value && !strcasecmp(value, "chunked");
    }
    return MHD_YES;
}

/* Could somebody in front of us think that the message ends elsewhere?  [RFC 9112 6.1, 6.3] */
static bool is_ambiguous(struct MHD_Connection *connection)
{
    struct framing f = { 0, 0, false };

    MHD_get_connection_values(connection, MHD_HEADER_KIND, count_framing, &f);
    return f.lengths + f.codings > 1 || (f.codings && !f.chunked);
}

static void take_from(uint8_t out[16], struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr_in6 *v6 = info ? (const void *)info->client_addr : NULL;
    const struct sockaddr_in *v4 = (const void *)v6;

    if (v6 && v6->sin6_family == AF_INET6) {
        memcpy(out, &v6->sin6_addr, IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) ? 16 : 8);
    } else if (v4 && v4->sin_family == AF_INET) {
        out[10] = out[11] = 0xff;
        memcpy(out + 12, &v4->sin_addr, 4);
    }
}

const char *http_header(const struct http_call *call, const char *name)
{
    const struct request *r = (const struct request *)call; /* its first member */

    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

/* NULL when there is no memory. */
static struct request *take_request(struct loop *l)
{
    struct request *r = l->spares ? l->spare[--l->spares] : malloc(sizeof *r);

    if (r) {
        memset(r, 0, offsetof(struct request, body));
        body_init(&r->body);
    }
    return r;
}

static void empty_request(struct request *r)
{
    body_wipe(&r->body);
    ljs_buf_free(&r->answer);
}

/* Of its loop's thread. */
static void give_request(struct loop *l, struct request *r)
{
    empty_request(r);
    if (l->spares < SPARE_MOST)
        l->spare[l->spares++] = r;
    else
        free(r);
}

/* NULL when there is no memory. */
static struct request *begin_request(struct loop *l, struct MHD_Connection *connection, const char *url,
                                     const char *method)
{
    struct http *h = l->http;
    struct conn *c = conn_of(connection);
    struct request *r = c ? take_request(l) : NULL;
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);

    if (!r)
        return NULL;
    r->conn = c;
    r->loop = l;
    r->http = h;
    r->connection = connection;
    memcpy(r->path, url, strnlen(url, sizeof r->path - 1));
    r->call.path = r->path;
    if (h->opts.headers) {
        snprintf(r->method, sizeof r->method, "%s", method);
        r->call.method = r->method;
        r->call.target = r->conn->target;
        take_from(r->call.from, connection);
    }
    r->ambiguous = is_ambiguous(connection);
    if (r->ambiguous)
        r->refusal = 400;
    else if (!is_one_of(h->opts.methods, method))
        r->refusal = 405;
    else if (r->conn->target_too_long)
        r->refusal = 414;
    else if (length && strtoull(length, NULL, 10) > h->opts.body_limit)
        r->refusal = 413;
    return r;
}

static bool keep(struct request *r, const char *data, size_t len)
{
    if (!r->refusal && len > r->http->opts.body_limit - r->body.len)
        r->refusal = 413;
    if (!r->refusal)
        return body_add(&r->body, data, len);
    body_wipe(&r->body);
    r->discarded += len;
    return r->discarded <= DISCARD_MOST;
}

static void free_answer(void *user)
{
    ljs_buf *answer = user;

    ljs_buf_free(answer);
    free(answer);
}

/* The answer goes with the response, which wipes it when it has left. */
static struct MHD_Response *make_response(ljs_buf *body)
{
    ljs_buf *own = malloc(sizeof *own);
    struct MHD_Response *response = NULL;

    if (own) {
        *own = *body;
        *body = (ljs_buf){ NULL, 0 };
        response = MHD_create_response_from_buffer_with_free_callback_cls(own->len, own->data, free_answer, own);
        if (!response)
            free_answer(own);
    }
    ljs_buf_free(body);
    return response;
}

static void add_header(struct MHD_Response *response, const char *name, const char *value)
{
    if (*value)
        MHD_add_response_header(response, name, value);
}

static enum MHD_Result send_answer(struct request *r)
{
    struct http *h = r->http;
    unsigned status = r->status;
    struct MHD_Response *response = make_response(&r->answer);
    enum MHD_Result result = MHD_NO;

    if (!response)
        return MHD_NO;
    add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, r->type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    add_header(response, MHD_HTTP_HEADER_ETAG, r->call.etag);
    add_header(response, MHD_HTTP_HEADER_LOCATION, r->call.location);
    add_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, r->call.authenticate);
    if (status == 405)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, *r->call.allow ? r->call.allow : h->opts.methods);
    if (status == 503 || status == 429)
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    if (status == 413 || r->ambiguous || h->acceptor.stopping)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    h->answers[http_status_row(status)]++;
    conn_enter(&h->conns, r->conn, WRITING);
    result = MHD_queue_response(r->connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result refuse(struct request *r)
{
    char text[160];
    int n = snprintf(text, sizeof text, "{\"Result\":{\"ResultCode\":\"MalformedRequest\",\"Description\":\"%s\"}}\n",
                     http_statuses[http_status_row(r->refusal)].text);

    const struct http_opts *o = &r->http->opts;

    r->type = "application/json";
    if (o->refusal ? o->refusal(&r->answer, &r->type, r->path, r->refusal)
                   : ljs_buf_copy(&r->answer, (const uint8_t *)text, (size_t)n))
        return MHD_NO;
    r->status = r->refusal;
    r->answered = true;
    return send_answer(r);
}

/* ---- asking and answering --------------------------------------------------- */

static void ask(struct loop *l, struct request *r)
{
    r->waits = true;
    ask_peer(r);
    conn_enter(&r->http->conns, r->conn, WORKING);
    r->call.in = r->body.data;
    r->call.in_len = r->body.len;
    r->call.whole_at = http_clock();
    r->call.next = NULL;
    *l->last = &r->call;
    l->last = &r->call.next;
    l->waiting++;
    r->heard = ++l->heard;
}

/* Its client has gone before it was answered. */
static void forget(struct loop *l, struct request *r)
{
    struct http_call **at = &l->first;

    while (*at != &r->call)
        at = &(*at)->next;
    if (!(*at = r->call.next))
        l->last = at;
    l->waiting--;
}

/* Are there enough, or did a whole round bring nobody new?  The first of them says it for all. */
static bool is_time(const struct loop *l, struct request *r)
{
    bool quiet = r->heard == l->heard;

    r->heard = l->heard;
    return l->first == &r->call && (quiet || l->waiting >= l->http->opts.together);
}

static void answer_all(struct loop *l)
{
    struct http_call *calls = l->first;
    int64_t since = http_clock();

    l->first = NULL;
    l->last = &l->first;
    l->waiting = 0;
    lane_away(&l->http->conns, &l->lane);
    l->http->opts.calls(l->http->opts.user, calls);
    lane_back(&l->http->conns, &l->lane, since);
}

void http_answer(struct http_call *call, unsigned status, const char *type, ljs_buf *body)
{
    struct request *r = (struct request *)call; /* its first member */

    body_wipe(&r->body);
    r->status = status;
    r->type = type;
    r->answer = *body;
    *body = (ljs_buf){ NULL, 0 };
    r->waits = false;
    r->answered = true;
}

/* ---- answers that come later -------------------------------------------------- */

void http_hold(struct http_call *call)
{
    struct request *r = (struct request *)call; /* its first member */

    r->waits = false;
    r->held = true;
}

void http_answer_held(struct http_call *call, unsigned status, const char *type, ljs_buf *body)
{
    struct request *r = (struct request *)call; /* its first member */
    pthread_mutex_t *lock = &r->http->held_lock;

    pthread_mutex_lock(lock);
    r->status = status;
    r->type = type;
    r->answer = *body;
    *body = (ljs_buf){ NULL, 0 };
    r->ready = true;
    if (r->orphan) {
        empty_request(r);
        free(r);
    } else if (r->suspended) { /* under the lock: once awake its loop may free it */
        MHD_resume_connection(r->connection);
    }
    pthread_mutex_unlock(lock);
}

/* Of its own connection alone, when that is asked for: others may be in the middle of their loop's round.  Is there
 * an answer now? */
static bool is_ready(struct request *r)
{
    bool ready;

    pthread_mutex_lock(&r->http->held_lock);
    ready = r->ready;
    r->suspended = !ready;
    if (!ready)
        MHD_suspend_connection(r->connection);
    pthread_mutex_unlock(&r->http->held_lock);
    if (!ready)
        return false;
    r->held = false;
    r->answered = true;
    body_wipe(&r->body);
    return true;
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *data_len, void **context)
{
    struct loop *l = user;
    struct request *r = *context;

    (void)version;
    if (!r) { /* the header */
        const char *expect = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_EXPECT);

        if (!(*context = r = begin_request(l, connection, url, method)))
            return MHD_NO;
        /* Who waits for a word before the body gets that of refusal. */
        return r->ambiguous || (r->refusal && expect) ? refuse(r) : MHD_YES;
    }
    if (*data_len) {
        bool good = keep(r, data, *data_len);

        *data_len = 0;
        return good ? MHD_YES : MHD_NO;
    }
    if (r->refusal && !r->answered)
        return refuse(r);
    if (r->held)
        return is_ready(r) ? send_answer(r) : MHD_YES;
    if (!r->waits && !r->answered)
        ask(l, r);
    else if (r->waits && is_time(l, r))
        answer_all(l);
    return r->answered ? send_answer(r) : MHD_YES; /* again next time */
}

static void on_completed(void *user, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct loop *l = user;
    struct request *r = *context;
    struct conn *c = conn_of(connection);

    (void)code;
    if (c)
        conn_enter(&l->http->conns, c, RESTING);
    if (r) {
        bool theirs = false;

        if (r->waits)
            forget(l, r);
        if (r->held) {
            pthread_mutex_lock(&l->http->held_lock);
            theirs = r->orphan = !r->ready;
            pthread_mutex_unlock(&l->http->held_lock);
        }
        if (!theirs)
            give_request(l, r);
    }
    *context = NULL;
}

/* ---- accepting -------------------------------------------------------------- */

/* For the loop that has the fewest. */
static void take_connection(void *user, int fd, const struct sockaddr_storage *from, socklen_t from_len)
{
    struct http *h = user;
    struct loop *l = h->loops;

    pthread_mutex_lock(&h->conns.lock);
    for (unsigned i = 1; i < h->loops_len; i++)
        if (h->loops[i].lane.live < l->lane.live)
            l = &h->loops[i];
    pthread_mutex_unlock(&h->conns.lock);
    conns_add(&h->conns, &l->lane);
    if (MHD_add_connection(l->daemon, fd, (const void *)from, from_len) != MHD_YES) /* closes it itself */
        conns_lost(&h->conns, &l->lane);
}

void http_quiesce(struct http *h)
{
    acceptor_stop(&h->acceptor);
}

/* ---- the whole -------------------------------------------------------------- */

/* What libmicrohttpd has to say is about single connections. */
__attribute__((format(printf, 2, 0))) static void on_message(void *user, const char *format, va_list args)
{
    char text[256];
    size_t n;

    vsnprintf(text, sizeof text, format, args);
    for (n = strlen(text); n && text[n - 1] == '\n'; n--)
        text[n - 1] = '\0';
    say(user, SAY_DEBUG, "http: %s", text);
}

static struct MHD_Daemon *start(struct loop *l)
{
    const struct http_opts *o = &l->http->opts;
    /* With epoll libmicrohttpd 0.9.75 asks in a circle, and never sleeps, while any client is in
     * the middle of a TLS handshake: a stranger who says half a hello would take a whole core. */
    unsigned mode = (o->tls ? MHD_USE_POLL_INTERNALLY | MHD_USE_TLS : MHD_USE_EPOLL_INTERNALLY) |
                    MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem tls[] = {
        { MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)(intptr_t)tls_no_certificate },
        { MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(intptr_t)TLS_PRIORITIES },
        { MHD_OPTION_END, 0, NULL },
    };
    struct MHD_OptionItem nothing[] = { { MHD_OPTION_END, 0, NULL } };

    /* The true limit is kept where we accept. */
    return MHD_start_daemon(mode, 0, NULL, NULL, on_request, l, MHD_OPTION_EXTERNAL_LOGGER, on_message, o->log,
                            MHD_OPTION_CONNECTION_LIMIT, o->connections + 1, MHD_OPTION_CONNECTION_TIMEOUT, 0U,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL, MHD_OPTION_NOTIFY_CONNECTION,
                            on_connection, l, MHD_OPTION_NOTIFY_COMPLETED, on_completed, l, MHD_OPTION_URI_LOG_CALLBACK,
                            on_request_line, l, MHD_OPTION_ARRAY, o->tls ? tls : nothing, MHD_OPTION_END);
}

static bool start_loops(struct http *h)
{
    if (!(h->loops = calloc(h->opts.threads, sizeof *h->loops)))
        return false;
    while (h->loops_len < h->opts.threads) {
        struct loop *l = &h->loops[h->loops_len];

        l->http = h;
        l->last = &l->first;
        if (!(l->daemon = start(l)))
            return false;
        h->loops_len++;
    }
    return true;
}

int http_new(struct http **out, const struct http_opts *opts)
{
    struct http *h = calloc(1, sizeof *h);
    bool good;

    *out = NULL;
    if (!h) {
        close(opts->fd);
        complain("serve: out of memory");
        return FAILED;
    }
    h->opts = *opts;
    conns_init(&h->conns, opts);
    pthread_mutex_init(&h->held_lock, NULL);
    h->acceptor =
        (struct acceptor){ .fd = opts->fd, .conns = &h->conns, .log = opts->log, .take = take_connection, .user = h };
    if ((good = start_loops(h)))
        good = acceptor_start(&h->acceptor);
    else
        close(opts->fd);
    if (!good) {
        http_free(h);
        complain("serve: cannot start HTTP: %s", strerror(errno));
        return FAILED;
    }
    *out = h;
    return DONE;
}

void http_reap(struct http *h)
{
    if (h)
        conns_reap(&h->conns);
}

void http_stats(struct http_stats *out, struct http *h)
{
    struct conns *cs = &h->conns;

    pthread_mutex_lock(&cs->lock);
    *out = (struct http_stats){
        .accepted = cs->accepted, .connections = cs->live, .active = cs->active, .timed_out = cs->timed_out
    };
    pthread_mutex_unlock(&cs->lock);
    for (unsigned i = 0; i < HTTP_STATUSES; i++) {
        out->answers[i].status = http_statuses[i].status;
        out->answers[i].count = h->answers[i];
    }
}

void http_free(struct http *h)
{
    if (!h)
        return;
    http_quiesce(h);
    while (h->loops_len) {
        struct loop *l = &h->loops[--h->loops_len];

        MHD_stop_daemon(l->daemon);
        while (l->spares)
            free(l->spare[--l->spares]);
    }
    free(h->loops);
    pthread_mutex_destroy(&h->held_lock);
    conns_free(&h->conns);
    free(h);
}
