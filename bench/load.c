/* Network servers, as many as are asked for: each sends a JoinReq over a connection that it keeps, and
 * the next one when it has the answer.  Told over standard input, as the workers are:
 *
 *   check PORT                   ok 1024: each fixture was answered as it must be
 *   load PORT CONNECTIONS MS MOST   ok requests=N ns=WALL p50=NS p99=NS bad=N, after MS milliseconds or MOST requests
 *
 * What is sent is made and signed beforehand; DevNonces rise from call to call, so that one program
 * serves any number of servers, each checked first. */
#include "works.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MOST = 1024, REQUEST_MAX = MESSAGE_MAX + 256, ANSWER_MAX = 8192 };

struct connection {
    int fd;
    size_t len; /* of what has been read of an answer */
    uint64_t sent_at;
    char in[ANSWER_MAX];
};

static struct connection connections[CONNECTIONS_MOST];

/* ---- what is sent ----------------------------------------------------------- */

static size_t as_http(char out[REQUEST_MAX], const struct fixture *f)
{
    char body[MESSAGE_MAX];
    size_t len = fixture_message(body, f, 'c');

    return (size_t)snprintf(out, REQUEST_MAX,
                            "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                            "Content-Length: %zu\r\n\r\n%s",
                            len, body);
}

struct requests {
    char *octets;
    size_t *end;
    size_t n;
};

/* Joins of one device after another, each with a DevNonce that it has not used. */
static struct requests made(size_t n)
{
    static size_t asked; /* so far */
    struct requests out = { malloc(n * REQUEST_MAX), malloc(n * sizeof(size_t)), n };
    size_t at = 0;

    MUST(out.octets && out.end);
    for (size_t i = 0; i < n; i++, asked++) {
        struct fixture f = fixtures->join[asked % JOINS];
        const ljs_frame frame = { .kind = LJS_FRAME_JOIN,
                                  .join_eui = be(f.join_eui, 8),
                                  .dev_eui = be(f.dev_eui, 8),
                                  .nonce = (uint16_t)(be(f.dev_nonce, 2) + 1 + asked / JOINS) };
        ljs_buf phy;

        MUST(!ljs_frame_sign(&phy, &frame, keys_ready()->nwk[asked % JOINS]));
        memcpy(f.request, phy.data, sizeof f.request);
        ljs_buf_free(&phy);
        at += as_http(out.octets + at, &f);
        out.end[i] = at;
    }
    return out;
}

/* ---- over the wire ---------------------------------------------------------- */

static bool open_connection(struct connection *c, unsigned port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int one = 1;

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->len = 0;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&at, sizeof at))
        return false;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return true;
}

static bool send_request(struct connection *c, const char *request, size_t len)
{
    c->sent_at = clock_ns();
    return send(c->fd, request, len, MSG_NOSIGNAL) == (ssize_t)len; /* far less than a socket's buffer */
}

/* The body of a whole answer, or NULL while there is more to come.  *closed when there is not. */
static const char *read_answer(struct connection *c, size_t *body_len, bool *closed)
{
    ssize_t n = recv(c->fd, c->in + c->len, sizeof c->in - 1 - c->len, 0);
    const char *end, *length;

    if (n <= 0) {
        *closed = n == 0 || (errno != EAGAIN && errno != EINTR);
        return NULL;
    }
    c->len += (size_t)n;
    c->in[c->len] = 0;
    if (!(end = strstr(c->in, "\r\n\r\n")) || !(length = strcasestr(c->in, "\r\ncontent-length:")) || length > end)
        return NULL;
    *body_len = strtoul(length + 17, NULL, 10);
    return c->len < (size_t)(end + 4 - c->in) + *body_len ? NULL : end + 4;
}

static void check(unsigned port)
{
    struct connection *c = &connections[0];
    size_t i = 0;
    bool good = open_connection(c, port);

    for (; good && i < JOINS; i++) {
        char request[REQUEST_MAX];
        const char *body = NULL;
        size_t body_len = 0;
        bool closed = false;

        good = send_request(c, request, as_http(request, &fixtures->join[i]));
        while (good && !closed && !body)
            body = read_answer(c, &body_len, &closed);
        good = body && fixture_answered(&fixtures->join[i], 'c', (const uint8_t *)body, body_len);
        c->len = 0;
        if (!good)
            break;
    }
    if (c->fd >= 0)
        close(c->fd);
    if (i == JOINS)
        printf("ok %d\n", JOINS);
    else
        printf("bad fixture %zu is not reproduced\n", i);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

struct load {
    struct requests requests;
    size_t sent, answered, bad;
    uint64_t *took;
    uint64_t end; /* clock_ns() */
};

static bool send_next(struct load *load, struct connection *c)
{
    size_t i = load->sent++, from = i ? load->requests.end[i - 1] : 0;

    return send_request(c, load->requests.octets + from, load->requests.end[i] - from);
}

/* Every connection asks again until the end; then those under way are waited for. */
static bool drive(struct load *load, int epoll, unsigned n)
{
    struct epoll_event events[256];
    size_t under_way = 0;
    uint64_t now, give_up = load->end + 10000000000u;

    for (; under_way < n; under_way++)
        if (!send_next(load, &connections[under_way]))
            return false;
    while (under_way) {
        /* No sleep: this processor has nothing else to do, and waking up takes longer than an answer. */
        int found = epoll_wait(epoll, events, 256, 0);

        now = clock_ns();
        if (now > give_up)
            return false;
        for (int i = 0; i < found; i++) {
            struct connection *c = events[i].data.ptr;
            size_t body_len = 0;
            bool closed = false;
            const char *body = read_answer(c, &body_len, &closed);

            if (closed)
                return false;
            if (!body)
                continue;
            load->took[load->answered++] = clock_ns() - c->sent_at;
            load->bad += memcmp(c->in, "HTTP/1.1 200", 12) || !memmem(body, body_len, "\"Success\"", 9);
            c->len = 0;
            if (now >= load->end || load->sent == load->requests.n)
                under_way--;
            else if (!send_next(load, c))
                return false;
        }
    }
    return true;
}

static void run_load(unsigned port, unsigned n, unsigned ms, size_t most)
{
    struct load load = { .requests = made(most + n), .took = malloc((most + n) * sizeof(uint64_t)) };
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    unsigned opened = 0;
    uint64_t start;
    bool good = true;

    MUST(load.took && epoll >= 0);
    for (; good && opened < n; opened++) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = &connections[opened] };

        good = open_connection(&connections[opened], port) &&
               !epoll_ctl(epoll, EPOLL_CTL_ADD, connections[opened].fd, &event);
    }
    start = clock_ns();
    load.end = start + ms * 1000000ull;
    good = good && drive(&load, epoll, n);
    if (good && load.answered) {
        uint64_t wall = clock_ns() - start;

        qsort(load.took, load.answered, sizeof *load.took, by_size);
        printf("ok requests=%zu ns=%llu p50=%llu p99=%llu bad=%zu\n", load.answered, (unsigned long long)wall,
               (unsigned long long)load.took[load.answered / 2],
               (unsigned long long)load.took[load.answered * 99 / 100], load.bad);
    } else {
        printf("bad the server went away, or answers too slowly\n");
    }
    for (unsigned i = 0; i < opened; i++)
        close(connections[i].fd);
    close(epoll);
    free(load.requests.octets);
    free(load.requests.end);
    free(load.took);
}

int main(int argc, char **argv)
{
    char line[128];

    MUST(argc == 2);
    fixtures = fixtures_read(argv[1]);
    while (fgets(line, sizeof line, stdin)) {
        unsigned port, n, ms;
        size_t most;

        if (sscanf(line, "load %u %u %u %zu", &port, &n, &ms, &most) == 4 && n && n <= CONNECTIONS_MOST &&
            most <= 1000000)
            run_load(port, n, ms, most);
        else if (sscanf(line, "check %u", &port) == 1)
            check(port);
        else
            printf("bad command\n");
        fflush(stdout);
    }
    return 0;
}
