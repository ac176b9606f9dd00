#include "fixed.h"

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

size_t fixed_answer(char out[FIXED_MAX], const struct fixture *f)
{
    char *at = out;
    static const char *const names[] = { "FNwkSIntKey", "SNwkSIntKey", "NwkSEncKey", "AppSKey" };

    at += sprintf(at,
                  "{\"ProtocolVersion\":\"1.0\",\"SenderID\":\"%016llx\",\"ReceiverID\":\"000013\",\"TransactionID\":1,"
                  "\"MessageType\":\"JoinAns\",\"Result\":{\"ResultCode\":\"Success\"},\"PHYPayload\":\"",
                  (unsigned long long)be(f->join_eui, 8));
    for (size_t i = 0; i < sizeof f->accept_b; i++)
        at += sprintf(at, "%02x", f->accept_b[i]);
    at += sprintf(at, "\",\"Lifetime\":0,\"SessionKeyID\":\"00112233445566778899aabbccddeeff\"");
    for (size_t k = 0; k < 4; k++) {
        at += sprintf(at, ",\"%s\":{\"KEKLabel\":\"ns-kek\",\"AESKey\":\"", names[k]);
        for (size_t i = 0; i < 24; i++)
            at += sprintf(at, "%02x", f->f_nwk_s_int_c[i]);
        at += sprintf(at, "\"}");
    }
    at += sprintf(at, "}");
    return (size_t)(at - out);
}

int fixed_listening(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    MUST(fd >= 0 && !bind(fd, (struct sockaddr *)&at, sizeof at) && !listen(fd, 256));
    MUST(!getsockname(fd, (struct sockaddr *)&at, &len));
    printf("listening on http://127.0.0.1:%d\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}
