/* client.h -- libcurl's only user: many POSTs at once over a few connections that are kept
 * alive.  No threads: client_run() does the work and calls back. */
#ifndef LORAJS_CLIENT_H
#define LORAJS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;

struct client_opts {
    const char *url;
    unsigned connections;             /* posts in flight at once, each over a connection of its own */
    unsigned timeout_ms;              /* of one post, from connecting to the last octet */
    const char *ca, *cert, *cert_key; /* files (PEM), NULL for none */
    const char *header;               /* of each request, "Name: value"; NULL for none */
};

enum client_fate {
    FATE_ANSWERED,  /* whole, with an HTTP status */
    FATE_NOT_SENT,  /* no connection: the server has seen nothing */
    FATE_UNKNOWN,   /* the connection ended: the server may have done it, or not */
    FATE_TIMED_OUT, /* the server may do it yet */
};

struct client_answer {
    enum client_fate fate;
    bool cut;            /* a connection that was there before is not there any more */
    long status;         /* HTTP */
    const uint8_t *body; /* borrowed for the call, wiped after it */
    size_t body_len;
    int64_t us;        /* from sending to the last octet */
    const char *error; /* why there is no answer */
};

typedef void client_done(void *user, unsigned slot, const struct client_answer *answer);

/* Is it one of http or https, with a host and without a name or password?  *secure: https; *loopback: the host is this
 * machine, by its number or as localhost. */
bool client_url_ok(const char *url, bool *secure, bool *loopback);

/* Complains itself.  DONE, or an exit code of tool.h. */
int client_new(struct client **out, const struct client_opts *opts, client_done *done, void *user);
void client_free(struct client *client); /* NULL is taken; what is in flight is dropped */

/* Which slot is free, or -1.  A slot is one post in flight. */
int client_slot(const struct client *client);
unsigned client_in_flight(const struct client *client);
/* `body` is borrowed until the slot is done.  DONE, or an exit code. */
int client_post(struct client *client, unsigned slot, const void *body, size_t body_len);
/* Work for as long as there is some, wait at most `ms` for more. */
int client_run(struct client *client, int ms);
/* From any thread: whoever waits in client_run() returns. */
void client_wake(struct client *client);

#endif
