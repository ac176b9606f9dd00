/* conn.h -- the connections of HTTP and their clocks, whatever library speaks it: who gets in, in which phase a
 * connection is, for how long it may be, and which of them make room for others. */
#ifndef LORAJS_TOOLS_CONN_H
#define LORAJS_TOOLS_CONN_H

#include "http.h"

#include <pthread.h>
#include <stdatomic.h>

enum phase {
    FRESH,   /* connected, has asked nothing yet */
    READING, /* a request arrives */
    WORKING, /* it is whole and not answered */
    WRITING, /* the answer leaves */
    RESTING  /* between requests */
};

/* What a thread of HTTP's has of them.  Under the lock. */
struct lane {
    uint64_t live; /* its connections */
    bool away;     /* it answers, and reads nothing */
};

struct conn {
    struct conn *prev, *next;
    struct lane *lane;
    int fd;
    enum phase phase;
    int64_t deadline; /* http_clock() */
    bool closed;      /* by us, for slowness */
    struct tls_state *tls;
    bool asked; /* the TLS end who it is, as of generation: */
    unsigned generation;
    bool vouched;
    char peer[LJS_LABEL_MAX];
    char *target; /* of the request that is at hand; NULL where http_opts.headers is not */
    bool target_too_long;
};

struct conns {
    int64_t timeout, keep_alive; /* seconds */
    unsigned most;
    bool make_room;       /* for others, see conns_make_room() */
    pthread_mutex_t lock; /* of all below */
    struct conn *first;
    uint64_t accepted, live, active, timed_out;
};

void conns_init(struct conns *cs, const struct http_opts *opts);
void conns_free(struct conns *cs);
/* One that was accepted is on its way to the lane; or never got there. */
void conns_add(struct conns *cs, struct lane *lane);
void conns_lost(struct conns *cs, struct lane *lane);
bool conns_full(struct conns *cs);
/* We are full, and somebody waits. */
void conns_make_room(struct conns *cs);
/* Close who was too slow. */
void conns_reap(struct conns *cs);

/* `fd` is HTTP's, and only shut down.  NULL when there is no memory. */
struct conn *conn_new(struct conns *cs, struct lane *lane, int fd);
/* NULL is taken, of one that there was no memory for.  Its target goes with it. */
void conn_end(struct conns *cs, struct lane *lane, struct conn *conn);
/* The only place where a connection changes its phase. */
void conn_enter(struct conns *cs, struct conn *conn, enum phase phase);
/* While a lane answers it hears nobody: that time counts for none of its clients. */
void lane_away(struct conns *cs, struct lane *lane);
void lane_back(struct conns *cs, struct lane *lane, int64_t since);

#endif
