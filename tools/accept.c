#include "accept.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* False when none waits. */
static bool accept_one(struct acceptor *a)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    int fd = accept4(a->fd, (void *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return errno == EINTR || errno == ECONNABORTED;
    a->take(a->user, fd, &from, len);
    return true;
}

static void *accept_all(void *user)
{
    struct acceptor *a = user;
    struct pollfd fds[] = { { .fd = a->stop_fd, .events = POLLIN }, { .fd = a->fd, .events = POLLIN } };

    while (!a->stopping) {
        bool wait = conns_full(a->conns);

        if (wait && poll(&fds[1], 1, 0) > 0)
            conns_make_room(a->conns);
        /* Too many connections, or too many files (which accept4() has said by
         * failing): the others stay in the kernel's queue. */
        if (poll(fds, wait ? 1 : 2, wait ? 10 : -1) <= 0 || wait || !(fds[1].revents & POLLIN))
            continue;
        if (!accept_one(a) && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
            say(a->log, SAY_WARNING, "cannot accept a connection: %s", strerror(errno));
            poll(fds, 1, 100);
        }
    }
    while (!conns_full(a->conns) && accept_one(a))
        ;
    close(a->fd);
    return NULL;
}

bool acceptor_start(struct acceptor *a)
{
    int err = 0;

    a->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (a->stop_fd < 0 || (err = pthread_create(&a->thread, NULL, accept_all, a))) {
        if (a->stop_fd >= 0)
            close(a->stop_fd);
        close(a->fd);
        errno = err ? err : errno;
        return false;
    }
    return a->running = true;
}

void acceptor_stop(struct acceptor *a)
{
    uint64_t one = 1;

    a->stopping = true;
    if (!a->running)
        return;
    if (write(a->stop_fd, &one, sizeof one) == sizeof one)
        pthread_join(a->thread, NULL);
    close(a->stop_fd);
    a->running = false;
}
