/* What HTTP takes in the daemon: the fixed answer of http_floor.c by way of libmicrohttpd, used as tools/http.c uses
 * it without TLS: the same options and callbacks, a socket that is accepted elsewhere, a request that is asked for
 * again with each round until a round brings nobody new, and a response of its own for each.
 *
 *     bench_mhd_floor FIXTURES
 *
 * One thread answers and one accepts, on a free port of 127.0.0.1, until standard input ends. */
#include "fixed.h"

#include <microhttpd.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS = 1025, POOL = 8 << 10, TOGETHER = 64, BODY_MAX = 1000 };

struct request {
    struct request *next; /* of those that are spare */
    uint64_t number;      /* of those that are whole; 0 while it is not */
    uint64_t heard;       /* how many were whole when it was last asked for */
    unsigned lengths;
    size_t len;
    char body[BODY_MAX];
};

static char answer[FIXED_MAX];
static size_t answer_len;
static uint64_t heard, answered; /* requests, by number */
static struct request *spare;

static enum MHD_Result count_lengths(void *user, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct request *r = user;

    (void)kind;
    (void)value;
    r->lengths += !strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return MHD_YES;
}

static struct request *begin(struct MHD_Connection *connection)
{
    struct request *r = spare ? spare : malloc(sizeof *r);
    const char *expect = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_EXPECT);
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);

    MUST(r);
    spare = spare ? spare->next : NULL;
    memset(r, 0, offsetof(struct request, body));
    MHD_get_connection_values(connection, MHD_HEADER_KIND, count_lengths, r);
    MUST(!expect && r->lengths == 1 && strtoul(length, NULL, 10) <= BODY_MAX);
    return r;
}

static enum MHD_Result send_answer(struct MHD_Connection *connection)
{
    char *own = malloc(answer_len);
    struct MHD_Response *response;
    enum MHD_Result result;

    MUST(own);
    memcpy(own, answer, answer_len);
    MUST(response = MHD_create_response_from_buffer_with_free_callback_cls(answer_len, own, free, own));
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    result = MHD_queue_response(connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *data_len, void **context)
{
    struct request *r = *context;

    (void)user, (void)url, (void)method, (void)version;
    if (!r)
        return (*context = begin(connection)) ? MHD_YES : MHD_NO;
    if (*data_len) {
        MUST(*data_len <= BODY_MAX - r->len);
        memcpy(r->body + r->len, data, *data_len);
        r->len += *data_len;
        *data_len = 0;
        return MHD_YES;
    }
    if (!r->number)
        r->number = ++heard;
    else if (r->number == answered + 1 && (r->heard == heard || heard - answered >= TOGETHER))
        answered = heard; /* enough, or a whole round brought nobody new: the first of them says it for all */
    r->heard = heard;
    return r->number <= answered ? send_answer(connection) : MHD_YES; /* again next time */
}

static void on_completed(void *user, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct request *r = *context;

    (void)user, (void)connection, (void)code;
    *context = NULL;
    if (!r)
        return;
    if (r->number > answered) /* its client has gone: nobody waits for it */
        answered = heard;
    r->next = spare;
    spare = r;
}

static void on_connection(void *user, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    (void)user, (void)connection, (void)context, (void)code;
}

static void *on_request_line(void *user, const char *uri, struct MHD_Connection *connection)
{
    (void)user, (void)uri, (void)connection;
    return NULL;
}

int main(int argc, char **argv)
{
    const unsigned mode = MHD_USE_EPOLL_INTERNALLY | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME |
                          MHD_USE_ERROR_LOG;
    struct pollfd fds[2] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .events = POLLIN } };
    struct MHD_Daemon *daemon;

    MUST(argc == 2);
    answer_len = fixed_answer(answer, &fixtures_read(argv[1])->join[0]);
    daemon = MHD_start_daemon(mode, 0, NULL, NULL, on_request, NULL, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS,
                              MHD_OPTION_CONNECTION_TIMEOUT, 0U, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL,
                              MHD_OPTION_NOTIFY_CONNECTION, on_connection, NULL, MHD_OPTION_NOTIFY_COMPLETED,
                              on_completed, NULL, MHD_OPTION_URI_LOG_CALLBACK, on_request_line, NULL, MHD_OPTION_END);
    MUST(daemon);
    fds[1].fd = fixed_listening();
    while (poll(fds, 2, -1) > 0 && !fds[0].revents) {
        struct sockaddr_storage from;
        socklen_t len = sizeof from;
        int fd = accept4(fds[1].fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0)
            MUST(MHD_add_connection(daemon, fd, (struct sockaddr *)&from, len) == MHD_YES);
    }
    MHD_stop_daemon(daemon);
    return 0;
}
