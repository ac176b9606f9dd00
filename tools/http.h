/* http.h -- HTTP/1.1 for the daemon, libmicrohttpd's only user: whole requests come out, all
 * that arrived together at once, and their answers go back in.
 *
 * A request that is too long, too slow or of another method never comes out.  Each thread has
 * connections of its own; while those of its requests that came out are answered it reads and
 * writes nothing, and what arrives meanwhile comes out next, together. */
#ifndef LORAJS_TOOLS_HTTP_H
#define LORAJS_TOOLS_HTTP_H

#include "log.h"
#include "tls.h"

#include <sys/socket.h>

struct http;

/* One request, whole.  Yours until http_answer(). */
struct http_call {
    struct http_call *next;      /* of those that arrived together, in their order */
    const char *path;            /* metrics listener only: where the request went */
    const char *method, *target; /* where http_opts.headers: the request line, its path and query as they were sent */
    uint8_t from[16]; /* likewise: the client's address, IPv4 as ::ffff:a.b.c.d, IPv6 without its lower half */
    const uint8_t *in;
    size_t in_len;
    bool vouched; /* `peer` is who the certificate says */
    char peer[LJS_LABEL_MAX];
    int64_t whole_at; /* http_clock() */
    int note;         /* of whoever has it in hand */

    /* Headers of the answer, set before http_answer(); "" for none. */
    char etag[40], location[64], allow[64], authenticate[16];
};

/* Answers or holds each of them before it returns, in any order; once answered, a call may be looked at no more. */
typedef void http_fn(void *user, struct http_call *calls);

struct http_opts {
    int fd;          /* listening; taken */
    struct tls *tls; /* NULL for plain HTTP */
    struct log *log;
    const char *methods; /* for Allow: "POST", or "GET, HEAD" */
    bool headers;        /* requests are more than a body: method, target and address are of interest, and a certificate
                          * is one name that client-ca vouches for, not a peer */
    /* What a request to a path, which may be cut short, is told that never comes out, and of which type that is; NULL
     * for a Backend Interfaces result. */
    ljs_err (*refusal)(ljs_buf *out, const char **type, const char *path, unsigned status);
    size_t body_limit;
    int64_t timeout, keep_alive; /* seconds */
    unsigned connections, threads;
    size_t together; /* so many are answered without a look at whether more arrive */
    http_fn *calls;  /* in a thread of HTTP's: its other clients wait */
    void *user;
};

enum { HTTP_STATUSES = 8 };

struct http_stats {
    uint64_t accepted;    /* connections ever */
    uint64_t connections; /* now */
    uint64_t active;      /* requests begun and not yet answered */
    uint64_t timed_out;   /* connections closed for slowness */
    struct {
        unsigned status;
        uint64_t count;
    } answers[HTTP_STATUSES];
};

/* "127.0.0.1:8080", "[::1]:0", "localhost:8080", ":8080" for everywhere. */
struct address {
    struct sockaddr_storage at;
    socklen_t len;
    bool loopback;
};

/* Complain themselves.  DONE, or an exit code. */
int address_read(struct address *out, const char *text, const char *option);
int address_listen(int *fd, const struct address *address, const char *text);
/* "http://127.0.0.1:40123" of a listening socket. */
void address_url(char out[128], int fd, const char *scheme);

/* A header of the request, NULL for none; good until http_answer(). */
const char *http_header(const struct http_call *call, const char *name);

int http_new(struct http **out, const struct http_opts *opts);
/* Within http_opts.calls; `body` is taken, and wiped when it has left. */
void http_answer(struct http_call *call, unsigned status, const char *type, ljs_buf *body);
/* Within http_opts.calls: its answer comes later.  Nothing more is read from its connection until then. */
void http_hold(struct http_call *call);
/* http_answer() for one that is held, from any thread. */
void http_answer_held(struct http_call *call, unsigned status, const char *type, ljs_buf *body);
/* Close who was too slow.  Call it a few times a second.  NULL is taken. */
void http_reap(struct http *http);
/* No new connections; those that wait to be accepted still are.  Who asks on an open
 * connection is answered, and told that it is the last time. */
void http_quiesce(struct http *http);
void http_stats(struct http_stats *out, struct http *http);
/* No call may be held.  NULL is taken. */
void http_free(struct http *http);

/* Nanoseconds that only grow. */
int64_t http_clock(void);

#endif
