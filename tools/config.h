/* config.h -- how `lorajs serve` is told what to do: a file, and flags over it.  One table
 * (serve_usage) names every option for both.  libconfuse's only user. */
#ifndef LORAJS_TOOLS_CONFIG_H
#define LORAJS_TOOLS_CONFIG_H

#include "marking.h"

/* The certificate whose DER has this SHA-256 is this peer's. */
struct pin {
    uint8_t sha256[32];
    const char *peer;
};

/* No peer of a configuration has this name; among `peers` it is one that speaks for nobody. */
#define PEER_NOBODY "?"

/* A name that stands in a certificate, or a KEK's label, and the peer it belongs to. */
struct peer_name {
    const char *name, *peer;
};

struct config {
    /* Options, by the names they have in the file and on the command line. */
    const char *config;
    struct where where;
    struct marking marking;
    const char *listen;
    const char *metrics;
    const char *admin_listen, *export_sign, *manifest_signers, *manifest_roots;
    const char *tls_certificate, *tls_key, *client_ca;
    const char *plain_peer;
    const char *forward, *forward_ca, *forward_certificate, *forward_key;
    const char *log_level, *log_format;
    const char *audit, *audit_anchor;
    struct texts peer;
    bool insecure, metrics_insecure, allow_clear_keys, dumpable;
    int64_t timeout, keep_alive; /* seconds */
    int64_t connections, queue, batch, body_limit;
    int64_t workers; /* 0: as many as suit */
    int64_t forward_timeout, forward_connections, forward_queue;
    int64_t lifetime, rejoin_window, alarm_window, alarm_refusals, flush, audit_anchor_interval; /* seconds */

    /* What the peer sections say. */
    ljs_peers *peers;
    size_t peers_len;
    struct pin *pins;
    size_t pins_len;
    struct peer_name *names; /* common or alternative names of certificates */
    size_t names_len;
    struct peer_name *keks;
    size_t keks_len;
    struct peer_name *clears; /* "clear-ns" or "clear-as" */
    size_t clears_len;

    void *file; /* libconfuse's; texts above point into it */
};

/* From argv and the file that it names; complains itself, with file and line.  May be called
 * again for the same argv.  @return GO_ON with *out to be freed, else the exit code */
int config_load(struct config *out, int argc, char **argv);
void config_free(struct config *config);

#endif
