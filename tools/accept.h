/* accept.h -- who takes the connections that wait at a listening socket, in a thread of its own: as many as there is
 * room for, while the others stay in the kernel's queue. */
#ifndef LORAJS_TOOLS_ACCEPT_H
#define LORAJS_TOOLS_ACCEPT_H

#include "conn.h"

/* `fd` is taken. */
typedef void accept_fn(void *user, int fd, const struct sockaddr_storage *from, socklen_t from_len);

struct acceptor {
    int fd; /* listening; closed when it ends */
    struct conns *conns;
    struct log *log;
    accept_fn *take; /* in its thread */
    void *user;

    atomic_bool stopping;
    pthread_t thread;
    bool running;
    int stop_fd;
};

/* What stands above is set.  False, with errno, when there can be no thread: then `fd` is closed. */
bool acceptor_start(struct acceptor *a);
/* No more but those that wait already.  Again, and before a start, it does nothing but say `stopping`. */
void acceptor_stop(struct acceptor *a);

#endif
