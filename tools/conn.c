/* conn.c -- connections and their clocks.
 *
 * We keep the time ourselves, since a limit on silence alone lets a client drip for ever. */
#include "conn.h"

#include <stdlib.h>
#include <time.h>

enum {
    ROOM_AT_ONCE = 16,  /* connections closed for others within 10 ms */
    NOTICED = 50000000, /* ns that a lane may be away without its clients getting them back */
};

static const int64_t second = 1000000000;

int64_t http_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void conns_init(struct conns *cs, const struct http_opts *opts)
{
    *cs = (struct conns){
        .timeout = opts->timeout, .keep_alive = opts->keep_alive, .most = opts->connections, .make_room = opts->tls
    };
    pthread_mutex_init(&cs->lock, NULL);
}

void conns_free(struct conns *cs)
{
    pthread_mutex_destroy(&cs->lock);
}

void conns_add(struct conns *cs, struct lane *lane)
{
    pthread_mutex_lock(&cs->lock);
    cs->accepted++;
    cs->live++;
    lane->live++;
    pthread_mutex_unlock(&cs->lock);
}

void conns_lost(struct conns *cs, struct lane *lane)
{
    pthread_mutex_lock(&cs->lock);
    cs->live--;
    lane->live--;
    pthread_mutex_unlock(&cs->lock);
}

bool conns_full(struct conns *cs)
{
    bool is;

    pthread_mutex_lock(&cs->lock);
    is = cs->live >= cs->most;
    pthread_mutex_unlock(&cs->lock);
    return is;
}

/* Where peers are told by their certificates, whoever has not been told for one and asks
 * nothing makes room, the oldest first: else anybody could hold all connections, and keep
 * the peers out. */
void conns_make_room(struct conns *cs)
{
    const int64_t now = http_clock(), patience = (cs->timeout - 2) * second;
    unsigned left = ROOM_AT_ONCE;

    if (!cs->make_room)
        return;
    pthread_mutex_lock(&cs->lock);
    while (left--) {
        struct conn *oldest = NULL;

        for (struct conn *c = cs->first; c; c = c->next) /* newest first */
            if (!c->closed && !c->vouched &&
                (c->phase == RESTING || (c->phase == FRESH && c->deadline - now < patience)))
                oldest = c;
        if (!oldest)
            break;
        oldest->closed = true;
        shutdown(oldest->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&cs->lock);
}

void conns_reap(struct conns *cs)
{
    int64_t now = http_clock();

    pthread_mutex_lock(&cs->lock);
    for (struct conn *c = cs->first; c; c = c->next) {
        if (c->closed || c->deadline > now || c->lane->away)
            continue;
        c->closed = true;
        cs->timed_out += c->phase != RESTING;
        shutdown(c->fd, SHUT_RDWR); /* the rest follows by itself */
    }
    pthread_mutex_unlock(&cs->lock);
}

struct conn *conn_new(struct conns *cs, struct lane *lane, int fd)
{
    struct conn *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->lane = lane;
    c->fd = fd;
    pthread_mutex_lock(&cs->lock);
    c->next = cs->first;
    if (c->next)
        c->next->prev = c;
    cs->first = c;
    pthread_mutex_unlock(&cs->lock);
    conn_enter(cs, c, FRESH);
    return c;
}

void conn_end(struct conns *cs, struct lane *lane, struct conn *c)
{
    if (c) {
        conn_enter(cs, c, RESTING);
        pthread_mutex_lock(&cs->lock);
        if (c->prev)
            c->prev->next = c->next;
        else
            cs->first = c->next;
        if (c->next)
            c->next->prev = c->prev;
        pthread_mutex_unlock(&cs->lock);
        free(c->target);
        free(c);
    }
    conns_lost(cs, lane);
}

void conn_enter(struct conns *cs, struct conn *c, enum phase phase)
{
    bool was = c->phase != FRESH && c->phase != RESTING, is = phase != FRESH && phase != RESTING;

    pthread_mutex_lock(&cs->lock);
    cs->active += (uint64_t)is - (uint64_t)was;
    c->phase = phase;
    c->deadline = phase == WORKING   ? INT64_MAX
                  : phase == RESTING ? http_clock() + cs->keep_alive * second
                                     : http_clock() + cs->timeout * second;
    pthread_mutex_unlock(&cs->lock);
}

void lane_away(struct conns *cs, struct lane *lane)
{
    pthread_mutex_lock(&cs->lock);
    lane->away = true;
    pthread_mutex_unlock(&cs->lock);
}

void lane_back(struct conns *cs, struct lane *lane, int64_t since)
{
    int64_t took = http_clock() - since;

    pthread_mutex_lock(&cs->lock);
    lane->away = false;
    for (struct conn *c = took > NOTICED ? cs->first : NULL; c; c = c->next)
        if (c->lane == lane && c->deadline != INT64_MAX)
            c->deadline += took;
    pthread_mutex_unlock(&cs->lock);
}
