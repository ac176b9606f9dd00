/* address.c -- where to listen. */
#include "http.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_loopback(const struct sockaddr_storage *at)
{
    const struct sockaddr_in *v4 = (const void *)at;
    const struct sockaddr_in6 *v6 = (const void *)at;

    if (at->ss_family == AF_INET)
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    return at->ss_family == AF_INET6 && (IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ||
                                         (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) && v6->sin6_addr.s6_addr[12] == 127));
}

int address_read(struct address *out, const char *text, const char *option)
{
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *found;
    const char *colon = strrchr(text, ':'), *host = text;
    char name[256] = "";
    size_t n = colon ? (size_t)(colon - text) : 0;
    char *end = NULL;
    int err;

    *out = (struct address){ .len = 0 };
    if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
        host = text + 1;
        n -= 2;
    } else if (memchr(text, ':', n)) {
        colon = NULL; /* an IPv6 address without its brackets */
    }
    if (!colon || n >= sizeof name || !colon[1] || strtol(colon + 1, &end, 10) < 0 || *end ||
        strtol(colon + 1, NULL, 10) > 65535) {
        complain("serve: %s takes HOST:PORT, as in 127.0.0.1:8080 or [::1]:8080, not \"%.80s\"", option, text);
        return USAGE;
    }
    memcpy(name, host, n);
    if ((err = getaddrinfo(n && strcmp(name, "*") ? name : NULL, colon + 1, &hints, &found))) {
        complain("serve: %s %s: %s", option, text, gai_strerror(err));
        return USAGE;
    }
    memcpy(&out->at, found->ai_addr, found->ai_addrlen);
    out->len = found->ai_addrlen;
    out->loopback = is_loopback(&out->at);
    freeaddrinfo(found);
    return DONE;
}

int address_listen(int *fd, const struct address *address, const char *text)
{
    int one = 1;

    *fd = socket(address->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd >= 0)
        setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (*fd < 0 || bind(*fd, (const void *)&address->at, address->len) || listen(*fd, SOMAXCONN)) {
        complain("serve: cannot listen on %s: %s", text, strerror(errno));
        if (*fd >= 0)
            close(*fd);
        *fd = -1;
        return FAILED;
    }
    return DONE;
}

void address_url(char out[128], int fd, const char *scheme)
{
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    char host[80] = "", port[8] = "";

    if (!getsockname(fd, (void *)&at, &len))
        getnameinfo((void *)&at, len, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(out, 128, strchr(host, ':') ? "%s://[%s]:%s" : "%s://%s:%s", scheme, host, port);
}
