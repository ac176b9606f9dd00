/* tls.h -- the daemon's end of TLS: its certificate, and who the other end is.  GnuTLS's
 * only user; a session travels as void * between it and HTTP. */
#ifndef LORAJS_TOOLS_TLS_H
#define LORAJS_TOOLS_TLS_H

#include "config.h"

struct tls;       /* what the configuration says, replaceable while connections live */
struct tls_state; /* what it said when a connection began */

/* Complains itself.  DONE, or an exit code. */
int tls_new(struct tls **out, const struct config *config);
/* What is wrong leaves everything as it was. */
int tls_reload(struct tls *tls, const struct config *config);
void tls_free(struct tls *tls); /* NULL is taken */

/* Before the handshake: our certificate, and the wish to see theirs.  Give back after the
 * session is gone. */
struct tls_state *tls_begin(struct tls *tls, void *session);
void tls_end(struct tls *tls, struct tls_state *state);

/* Grows with each reload: who was a peer may be none now. */
unsigned tls_generation(struct tls *tls);
/* The peer whose certificate the other end has shown; false for none. */
bool tls_peer(char peer[LJS_LABEL_MAX], struct tls *tls, void *session);
/* The common name in the certificate that the other end has shown and client-ca vouches for; false for none. */
bool tls_name(char name[LJS_LABEL_MAX], struct tls *tls, void *session);

/* When the first of the certificates in a file ends, in seconds since 1970.  False for a file
 * without any. */
bool tls_expiry(int64_t *out, const char *path);

/* For the HTTP library, which wants to know what it never needs. */
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
typedef int tls_certificate_fn(void);
tls_certificate_fn tls_no_certificate;

#endif
