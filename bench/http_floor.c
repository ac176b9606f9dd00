/* What HTTP itself takes: a server that reads a request and gives always the same answer.
 *
 *     bench_http_floor FIXTURES            as fast as a socket allows
 *     bench_http_floor FIXTURES JOURNAL    after it has appended 64 octets for each request to a file,
 *                                          synced once for all that epoll told of together
 *
 * One thread, on a free port of 127.0.0.1, until standard input ends. */
#include "fixed.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, REQUEST_MAX = 4096, ENTRY = 64 };

struct connection {
    int fd;
    size_t len;
    char in[REQUEST_MAX];
};

static char answer[2048];
static size_t answer_len;

static void make_answer(const struct fixture *f)
{
    char body[FIXED_MAX];
    int len = (int)fixed_answer(body, f);

    answer_len = (size_t)snprintf(answer, sizeof answer,
                                  "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%.*s",
                                  len, len, body);
}

static void watch(int epoll, int fd, void *what)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = what };

    MUST(!epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}

static void take_connections(int epoll, int listener)
{
    int fd, one = 1;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *c = malloc(sizeof *c);

        MUST(c);
        c->fd = fd;
        c->len = 0;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        watch(epoll, fd, c);
    }
}

/* Is a request whole now?  A connection that has ended is given back, and *c made NULL. */
static bool has_request(struct connection **c)
{
    struct connection *at = *c;
    ssize_t n = read(at->fd, at->in + at->len, sizeof at->in - 1 - at->len);
    const char *end, *length;

    if (n <= 0) {
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return false;
        close(at->fd);
        free(at);
        *c = NULL;
        return false;
    }
    at->len += (size_t)n;
    at->in[at->len] = 0;
    if (!(end = strstr(at->in, "\r\n\r\n")) || !(length = strcasestr(at->in, "content-length:")) || length > end)
        return false;
    if (at->len < (size_t)(end + 4 - at->in) + strtoul(length + 15, NULL, 10))
        return false;
    at->len = 0;
    return true;
}

int main(int argc, char **argv)
{
    static const char entries[EVENTS * ENTRY];
    struct epoll_event events[EVENTS];
    struct connection *ready[EVENTS];
    int epoll = epoll_create1(EPOLL_CLOEXEC), listener, journal = -1;
    static char is_listener, is_end;

    MUST(argc == 2 || argc == 3);
    make_answer(&fixtures_read(argv[1])->join[0]);
    if (argc == 3)
        MUST((journal = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600)) >= 0);
    listener = fixed_listening();
    watch(epoll, listener, &is_listener);
    watch(epoll, STDIN_FILENO, &is_end);
    for (;;) {
        size_t n = 0;
        int found = epoll_wait(epoll, events, EVENTS, -1);

        for (int i = 0; i < found; i++) {
            struct connection *c = events[i].data.ptr;

            if (events[i].data.ptr == &is_end)
                return 0;
            if (events[i].data.ptr == &is_listener)
                take_connections(epoll, listener);
            else if (has_request(&c))
                ready[n++] = c;
        }
        if (journal >= 0 && n)
            MUST(write(journal, entries, n * ENTRY) == (ssize_t)(n * ENTRY) && !fdatasync(journal));
        for (size_t i = 0; i < n; i++)
            MUST(write(ready[i]->fd, answer, answer_len) == (ssize_t)answer_len || errno == EPIPE ||
                 errno == ECONNRESET);
    }
}
