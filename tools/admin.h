/* admin.h -- the administrative interface of the daemon: a listener and a thread of its own, so that what is done
 * there waits for nothing but itself, and joins do not wait for it. */
#ifndef LORAJS_TOOLS_ADMIN_H
#define LORAJS_TOOLS_ADMIN_H

#include "http.h"

struct admin;

struct admin_opts {
    int fd;          /* listening; taken */
    struct tls *tls; /* NULL for plain HTTP */
    struct log *log;
    ljs_server *server;
    const char *sign;            /* the file of the key that signs exports; NULL for none */
    const char *signers, *roots; /* files of certificates: whom manifests are believed of, besides Microchip; NULL */
    int64_t timeout, keep_alive;
};

/* Complains itself.  DONE, or an exit code. */
int admin_start(struct admin **out, const struct admin_opts *opts);
/* As http_reap(); NULL is taken, here and below. */
void admin_reap(struct admin *admin);
/* Who has asked is answered. */
void admin_stop(struct admin *admin);
/* In the text format of Prometheus. */
void admin_metrics(FILE *to, struct admin *admin);

#endif
