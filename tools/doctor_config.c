/* doctor_config.c -- what doctor says of a configuration of serve: certificates, peers, the audit log. */
#include "doctor.h"
#include "tls.h"

#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { EXPIRES_SOON = 30 * 86400 };

static void look_key(struct visit *v, const char *path, const char *what)
{
    struct stat st;

    if (path && !stat(path, &st) && (st.st_mode & 077))
        tell(v, ERROR, "chmod 600, and think of who may have read it",
             "%s: %s may be used by others than its owner (mode %04o)", what, path, st.st_mode & 07777);
}

static void look_certificates(struct visit *v, const char *path, const char *what)
{
    char when[32];
    int64_t end, now = now_seconds();

    if (!path)
        return;
    if (!tls_expiry(&end, path))
        tell(v, ERROR, "give a file of certificates (PEM)", "%s: no certificate can be read from %s", what, path);
    else if (end < now)
        tell(v, ERROR, "renew it, and send SIGHUP", "%s: a certificate in %s has expired (%s)", what, path,
             time_text(when, end));
    else if (end - now < EXPIRES_SOON)
        tell(v, WARNING, "renew it, and send SIGHUP", "%s: a certificate in %s expires soon (%s)", what, path,
             time_text(when, end));
    else
        tell(v, OK, NULL, "%s: certificates in %s are good until %s", what, path, time_text(when, end));
}

static void look_peers(struct visit *v)
{
    const struct config *c = &v->config;
    bool missing = false;

    if (!c->peers_len)
        tell(v, c->tls_certificate ? ERROR : WARNING, "add peer sections (docs/configuration.md)",
             "no peer is configured: %s",
             c->tls_certificate ? "every request will be refused" : "on loopback every sender is served");
    for (size_t i = 0; i < c->clears_len; i++)
        tell(v, WARNING, "give it a KEK, and take this out", "peer \"%s\": %s, so session keys may go out in clear",
             c->clears[i].peer, c->clears[i].name);
    for (size_t i = 0; v->data.server && i < c->keks_len; i++)
        if (!has_kek(v, c->keks[i].name)) {
            tell(v, ERROR, "lorajs kek add", "peer \"%s\": there is no KEK \"%s\"", c->keks[i].peer, c->keks[i].name);
            missing = true;
        }
    if (c->peers_len && !c->clears_len && !missing)
        tell(v, OK, NULL, "%zu peers, and keys go to them wrapped only", c->peers_len);
}

static bool beside(const char *file, const char *dir)
{
    char *copy = strdup(file);
    struct stat at, of;
    bool same =
        copy && !stat(dirname(copy), &at) && !stat(dir, &of) && at.st_dev == of.st_dev && at.st_ino == of.st_ino;

    free(copy);
    return same;
}

static void look_audit(struct visit *v)
{
    const struct config *c = &v->config;

    v->check = "audit";
    if (!strcmp(c->audit, "no"))
        tell(v, WARNING, "take `audit = no` out of the configuration", "no audit log is kept");
    else if (!c->audit_anchor)
        tell(v, WARNING, "give it audit-anchor, or keep what `lorajs audit anchor` prints",
             "whoever can write to the database can cut off the end of the audit log unseen");
    else if (beside(c->audit_anchor, data_dir(v->where.data)))
        tell(v, WARNING, "keep it on another machine, or where this one can only add",
             "audit-anchor: beside the database it is worth nothing against who can write there");
}

void look_config(struct visit *v)
{
    const struct config *c = &v->config;

    v->check = "configuration";
    if (!v->has_config)
        return;
    tell(v, OK, NULL, "%s can be read", v->opts->config);
    if (c->insecure)
        tell(v, WARNING, "give it tls-certificate", "insecure: whoever is on the way reads and changes what is said");
    if (c->metrics_insecure)
        tell(v, WARNING, "listen on loopback for metrics", "metrics-insecure: whoever gets there sees the metrics");
    if (c->allow_clear_keys)
        tell(v, WARNING, "configure peers with KEKs",
             "allow-clear-keys: where any sender is served, session keys go out in clear");
    if (c->plain_peer)
        tell(v, WARNING, "tell peers by their certificates",
             "plain-peer: whoever reaches the port without TLS is taken for \"%s\"", c->plain_peer);
    look_audit(v);
    v->check = "peers";
    look_peers(v);
    v->check = "certificates";
    look_certificates(v, c->tls_certificate, "tls-certificate");
    look_certificates(v, c->client_ca, "client-ca");
    look_certificates(v, c->forward_ca, "forward-ca");
    look_certificates(v, c->forward_certificate, "forward-certificate");
    look_key(v, c->forward_key, "forward-key");
    look_key(v, c->tls_key, "tls-key");
}
