/* config.c -- the configuration of `lorajs serve`: libconfuse's only user. */
#include "config.h"

#include "client.h"

#include <confuse.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(struct config, member)

static const struct flag flags[] = {
    { "config", "FILE", "the configuration file; flags win over it", FLAG_TEXT, AT(config), 0, 0 },
    { "data", "DIR", DATA_HELP "; what is missing in it is made", FLAG_TEXT, AT(where.data), 0, 0 },
    { "master-key", "SOURCE", MASTER_HELP, FLAG_TEXT, AT(where.master_key), 0, 0 },
    { "marker", "PATH",
      "a file on another disk, which runs ahead of the database: one that was put back by other means than `lorajs "
      "restore` is known by it, and refused",
      FLAG_TEXT, AT(marking.path), 0, 0 },
    { "marker-every", "N", "changes that it runs ahead, and that a put back database may lack unseen (default 256)",
      FLAG_NUMBER, AT(marking.every), 1, 65536 },
    { "force-regression", NULL,
      "start on a database that its marker refuses: a new generation begins, which passes over the JoinNonces that may "
      "have been given",
      FLAG_SWITCH, AT(marking.force), 0, 0 },
    { "listen", "HOST:PORT",
      "where network and application servers ask (default 127.0.0.1:8080); port 0 takes a free one", FLAG_TEXT,
      AT(listen), 0, 0 },
    { "metrics", "HOST:PORT", "serve /healthz, /readyz and /metrics here", FLAG_TEXT, AT(metrics), 0, 0 },
    { "admin-listen", "HOST:PORT", "serve the administrative interface here; see lorajs-role(1)", FLAG_TEXT,
      AT(admin_listen), 0, 0 },
    { "export-sign", "FILE", "the secret ed25519 key that signs what is exported there (key pair)", FLAG_TEXT,
      AT(export_sign), 0, 0 },
    { "manifest-signers", "FILE", "who signs manifests that are registered there, besides Microchip (PEM)", FLAG_TEXT,
      AT(manifest_signers), 0, 0 },
    { "manifest-roots", "FILE", "what the certificates of their chips go back to, besides Microchip's (PEM)", FLAG_TEXT,
      AT(manifest_roots), 0, 0 },
    { "tls-certificate", "FILE", "the server's certificate chain (PEM): speak TLS", FLAG_TEXT, AT(tls_certificate), 0,
      0 },
    { "tls-key", "FILE", "its private key (default: in the file of the certificate)", FLAG_TEXT, AT(tls_key), 0, 0 },
    { "client-ca", "FILE", "who may sign the certificates that certificate-cn names (PEM)", FLAG_TEXT, AT(client_ca), 0,
      0 },
    { "peer", "SECTION", "a peer section on the command line: --peer 'acme { net-ids = {\"000013\"} }'; repeatable",
      FLAG_LIST, AT(peer), 0, 0 },
    { "plain-peer", "NAME", "take whoever asks without TLS for this peer", FLAG_TEXT, AT(plain_peer), 0, 0 },
    { "insecure", NULL, "listen without TLS on an address that is not loopback", FLAG_SWITCH, AT(insecure), 0, 0 },
    { "metrics-insecure", NULL, "the same for --metrics", FLAG_SWITCH, AT(metrics_insecure), 0, 0 },
    { "allow-clear-keys", NULL, "where any sender is served: send session keys without a KEK in clear", FLAG_SWITCH,
      AT(allow_clear_keys), 0, 0 },
    { "forward", "URL", "ask this Join Server about devices that are not here, or have moved; see docs/migration.md",
      FLAG_TEXT, AT(forward), 0, 0 },
    { "forward-ca", "FILE", "who may have signed its certificate (PEM; default: whom the machine trusts)", FLAG_TEXT,
      AT(forward_ca), 0, 0 },
    { "forward-certificate", "FILE", "the certificate to show it (PEM)", FLAG_TEXT, AT(forward_certificate), 0, 0 },
    { "forward-key", "FILE", "its private key (default: in the file of the certificate)", FLAG_TEXT, AT(forward_key), 0,
      0 },
    { "forward-timeout", "SECONDS", "how long to wait for a turn, and then for its answer (default 5)", FLAG_NUMBER,
      AT(forward_timeout), 1, 60 },
    { "forward-connections", "N", "how many requests to it at once (default 8)", FLAG_NUMBER, AT(forward_connections),
      1, 256 },
    { "forward-queue", "N", "how many others may wait for that (default 64)", FLAG_NUMBER, AT(forward_queue), 1,
      10000 },
    { "timeout", "SECONDS", "how long a request may take to arrive, and its answer to leave (default 10)", FLAG_NUMBER,
      AT(timeout), 1, 3600 },
    { "keep-alive", "SECONDS", "how long a connection may rest between requests (default 75)", FLAG_NUMBER,
      AT(keep_alive), 1, 86400 },
    { "connections", "N", "how many connections at once; others wait (default 1024)", FLAG_NUMBER, AT(connections), 1,
      1000000 },
    { "queue", "N", "how many requests may wait while others are answered; more are told 503 (default 1024)",
      FLAG_NUMBER, AT(queue), 1, 1000000 },
    { "batch", "N", "how many of them one commit may hold (default 64)", FLAG_NUMBER, AT(batch), 1, 1024 },
    { "body-limit", "OCTETS", "the longest request (default 65536)", FLAG_NUMBER, AT(body_limit), 256, 65536 },
    { "workers", "N", "threads that read, answer and write (default: one for each processor, 8 at most)", FLAG_NUMBER,
      AT(workers), 1, 64 },
    { "lifetime", "SECONDS", "Lifetime in answers: how long session keys may be used; 0 promises nothing (default 0)",
      FLAG_NUMBER, AT(lifetime), 0, UINT32_MAX },
    { "rejoin-window", "SECONDS",
      "refuse a rejoin when rejoins made the last eight sessions of its device within this time; 0: never (default 60)",
      FLAG_NUMBER, AT(rejoin_window), 0, UINT32_MAX },
    { "alarm-window", "SECONDS",
      "note an alarm when a device joins by two networks within this time; 0: never (default 600)", FLAG_NUMBER,
      AT(alarm_window), 0, UINT32_MAX },
    { "alarm-refusals", "N",
      "note an alarm when more than N counts of a device, with good MICs, are below its highest in a day; 0: never "
      "(default 8)",
      FLAG_NUMBER, AT(alarm_refusals), 0, UINT32_MAX },
    { "flush", "SECONDS", "how often the refusals that `lorajs why` tells are written (default 10)", FLAG_NUMBER,
      AT(flush), 1, 3600 },
    { "audit", "yes|no", "keep an audit log; no ends one that was begun (default yes)", FLAG_TEXT, AT(audit), 0, 0 },
    { "audit-anchor", "FILE",
      "keep the last links of the audit log in this file, out of reach of whoever can write to the database", FLAG_TEXT,
      AT(audit_anchor), 0, 0 },
    { "audit-anchor-interval", "SECONDS", "how often, at most; and at the end (default 60)", FLAG_NUMBER,
      AT(audit_anchor_interval), 1, 86400 },
    { "log-level", "error|warning|info|debug", "how much to say on standard error (default info)", FLAG_TEXT,
      AT(log_level), 0, 0 },
    { "log-format", "text|json", "one line of text or one JSON object for each event (default text)", FLAG_TEXT,
      AT(log_format), 0, 0 },
    { "dumpable", NULL, "allow core dumps and debuggers: keys may end up in a file", FLAG_SWITCH, AT(dumpable), 0, 0 },
    { 0 },
};

const struct usage serve_usage = {
    "serve",
    "",
    "Answers network servers (JoinReq, RejoinReq, HomeNSReq) and application servers (AppSKeyReq) over HTTP: "
    "LoRaWAN Backend Interfaces 1.0 and 1.1, POST on any path.\n"
    "Without TLS it listens on loopback only, and with no peer configured there it serves any sender. Elsewhere it "
    "wants a certificate, and tells peers by theirs.\n"
    "  lorajs serve --data DIR --listen 127.0.0.1:8080 --allow-clear-keys\n"
    "  lorajs serve --config /etc/lorajs/lorajs.conf",
    flags,
    0,
    0
};

static const struct config defaults = {
    .listen = "127.0.0.1:8080",
    .log_level = "info",
    .log_format = "text",
    .timeout = 10,
    .rejoin_window = 60,
    .alarm_window = 600,
    .alarm_refusals = 8,
    .keep_alive = 75,
    .forward_timeout = 5,
    .forward_connections = 8,
    .forward_queue = 64,
    .connections = 1024,
    .queue = 1024,
    .batch = 64,
    .body_limit = 65536,
    .flush = 10,
    .audit = "yes",
    .audit_anchor_interval = 60,
    .marking.every = LJS_MARKER_EVERY,
};

/* ---- what is wrong, and where ----------------------------------------------- */

static const char command_line[] = "[buf]"; /* what libconfuse calls a text that is no file */

/* An option that we write below each text: libconfuse takes the end of a text for the end
 * of a section, and of a comment, and half a file would be a configuration. */
static const char the_end[] = "end-of-configuration";

static void say_where(cfg_t *at, const char *format, va_list args)
{
    char text[512];

    vsnprintf(text, sizeof text, format, args);
    if (strstr(text, the_end))
        strcpy(text, "premature end: a brace is missing");
    if (!at || !at->filename || !strcmp(at->filename, command_line))
        complain("serve: --peer: %s", text);
    else if (at->line > 0)
        complain("%s:%d: %s", at->filename, at->line, text);
    else
        complain("%s: %s", at->filename, text);
}

__attribute__((format(printf, 2, 3))) static int wrong(cfg_t *at, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say_where(at, format, args);
    va_end(args);
    return -1;
}

/* ---- values ----------------------------------------------------------------- */

static const struct flag *flag_of(const char *name)
{
    for (const struct flag *f = flags; f->name; f++)
        if (!strcmp(f->name, name))
            return f;
    return NULL;
}

static bool is_word_of(const char *words, const char *text)
{
    size_t n = strlen(text);

    for (const char *at = words; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (n && strcspn(at, "|") == n && !strncmp(at, text, n))
            return true;
    return false;
}

/* An option of the file that is also a flag: the same range, the same words. */
static int check_option(cfg_t *cfg, cfg_opt_t *opt)
{
    const struct flag *f = flag_of(cfg_opt_name(opt));

    if (f->kind == FLAG_NUMBER && (cfg_opt_getnint(opt, 0) < f->min || cfg_opt_getnint(opt, 0) > f->max))
        return wrong(cfg, "%s takes a number from %lld to %lld", f->name, (long long)f->min, (long long)f->max);
    if (f->kind == FLAG_TEXT && strchr(f->value, '|') && !is_word_of(f->value, cfg_opt_getnstr(opt, 0)))
        return wrong(cfg, "%s takes %s", f->name, f->value);
    return 0;
}

/* "3A:0F..." or "3a0f...": 32 octets. */
static bool read_sha256(uint8_t out[32], const char *text)
{
    unsigned digits = 0;

    for (; *text; text++) {
        unsigned digit = (unsigned)(isdigit((unsigned char)*text) ? *text - '0' : (*text | 0x20) - 'a' + 10);

        if (*text == ':' && digits && digits % 2 == 0)
            continue;
        if (!isxdigit((unsigned char)*text) || digits == 64)
            return false;
        out[digits / 2] = (uint8_t)(digits % 2 ? out[digits / 2] | digit : digit << 4);
        digits++;
    }
    return digits == 64;
}

static bool good_sha256(const char *text)
{
    uint8_t out[32];

    return read_sha256(out, text);
}

static bool good_net_id(const char *text)
{
    ljs_netid out;

    return ljs_net_id_parse(&out, text) == LJS_OK;
}

static bool good_ns_id(const char *text)
{
    ljs_eui out;

    return ljs_eui_parse(&out, text) == LJS_OK;
}

static bool good_text(const char *text)
{
    size_t n = strlen(text);

    for (const char *at = text; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return false;
    return n > 0 && n < LJS_LABEL_MAX;
}

/* The lists of a peer section. */
static const struct member {
    const char *name;
    bool (*good)(const char *text);
    const char *is;
} members[] = {
    { "certificate-sha256", good_sha256, "the SHA-256 of a certificate, 64 hexadecimal digits" },
    { "certificate-cn", good_text, "a name of 1 to 127 octets" },
    { "net-ids", good_net_id, "a NetID, 6 hexadecimal digits" },
    { "ns-ids", good_ns_id, "an NSID, 16 hexadecimal digits" },
    { "as-ids", good_text, "an AS-ID of 1 to 127 octets" },
    { "keks", good_text, "a KEK label of 1 to 127 octets" },
};
enum { MEMBERS = sizeof members / sizeof *members, FILE_MOST = 4 << 20 };

static int check_list(cfg_t *cfg, cfg_opt_t *opt)
{
    for (size_t m = 0; m < MEMBERS; m++) {
        if (strcmp(members[m].name, cfg_opt_name(opt)))
            continue;
        for (unsigned i = 0; i < cfg_opt_size(opt); i++)
            if (!members[m].good(cfg_opt_getnstr(opt, i)))
                return wrong(cfg, "%s: \"%.80s\" is not %s", cfg_opt_name(opt), cfg_opt_getnstr(opt, i), members[m].is);
    }
    return 0;
}

static int check_peer(cfg_t *cfg, cfg_opt_t *opt)
{
    const char *name = cfg_title(cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1));

    if (!name || !good_text(name) || !strcmp(name, PEER_NOBODY))
        return wrong(cfg, "a peer's name has 1 to 127 octets, no control characters, and is not \"" PEER_NOBODY "\"");
    return 0;
}

/* ---- peers ------------------------------------------------------------------ */

typedef ljs_err add_text(ljs_peers *peers, const char *name, const char *text);

static ljs_err add_net_id(ljs_peers *peers, const char *name, const char *text)
{
    ljs_netid id;
    ljs_err err = ljs_net_id_parse(&id, text);

    return err ? err : ljs_peers_add_net_id(peers, name, id);
}

static ljs_err add_ns_id(ljs_peers *peers, const char *name, const char *text)
{
    ljs_eui id;
    ljs_err err = ljs_eui_parse(&id, text);

    return err ? err : ljs_peers_add_ns_id(peers, name, id);
}

static const struct {
    const char *name;
    add_text *add;
} adders[] = {
    { "net-ids", add_net_id },
    { "ns-ids", add_ns_id },
    { "as-ids", ljs_peers_add_as_id },
    { "keks", ljs_peers_add_kek },
};

static int add_name(struct peer_name **names, size_t *names_len, cfg_t *section, const char *name)
{
    struct peer_name *more = realloc(*names, (*names_len + 1) * sizeof *more);

    if (!more)
        return wrong(section, "out of memory");
    *names = more;
    more[(*names_len)++] = (struct peer_name){ name, cfg_title(section) };
    return 0;
}

static int add_names(struct peer_name **names, size_t *names_len, cfg_t *section, const char *list)
{
    for (unsigned i = 0; i < cfg_size(section, list); i++)
        if (add_name(names, names_len, section, cfg_getnstr(section, list, i)))
            return -1;
    return 0;
}

static int add_pins(struct config *out, cfg_t *section)
{
    for (unsigned i = 0; i < cfg_size(section, "certificate-sha256"); i++) {
        struct pin pin = { .peer = cfg_title(section) }, *more;

        if (!read_sha256(pin.sha256, cfg_getnstr(section, "certificate-sha256", i)))
            return -1; /* check_list() has seen to it */
        for (size_t j = 0; j < out->pins_len; j++)
            if (!memcmp(out->pins[j].sha256, pin.sha256, sizeof pin.sha256) && strcmp(out->pins[j].peer, pin.peer))
                return wrong(section, "peers \"%s\" and \"%s\" have the same certificate", out->pins[j].peer, pin.peer);
        if (!(more = realloc(out->pins, (out->pins_len + 1) * sizeof *more)))
            return wrong(section, "out of memory");
        out->pins = more;
        more[out->pins_len++] = pin;
    }
    return 0;
}

static int add_peer(struct config *out, cfg_t *section)
{
    const char *name = cfg_title(section);
    unsigned clear =
        (cfg_getbool(section, "clear-ns") ? LJS_CLEAR_NS : 0U) | (cfg_getbool(section, "clear-as") ? LJS_CLEAR_AS : 0U);
    bool plain = out->plain_peer && !strcmp(out->plain_peer, name);
    size_t first = out->names_len;
    ljs_err err = ljs_peers_add(out->peers, name, clear);

    if (err)
        return wrong(section, "peer \"%s\": %s", name, err == LJS_E_EXISTS ? "named twice" : ljs_strerror(err));
    for (size_t i = 0; i < sizeof adders / sizeof *adders; i++)
        for (unsigned j = 0; j < cfg_size(section, adders[i].name); j++)
            if ((err = adders[i].add(out->peers, name, cfg_getnstr(section, adders[i].name, j))))
                return wrong(section, "peer \"%s\": %s \"%s\": %s", name, adders[i].name,
                             cfg_getnstr(section, adders[i].name, j),
                             err == LJS_E_EXISTS ? "another peer has it" : ljs_strerror(err));
    if (add_pins(out, section) || add_names(&out->names, &out->names_len, section, "certificate-cn") ||
        add_names(&out->keks, &out->keks_len, section, "keks"))
        return -1;
    if ((clear & LJS_CLEAR_NS && add_name(&out->clears, &out->clears_len, section, "clear-ns")) ||
        (clear & LJS_CLEAR_AS && add_name(&out->clears, &out->clears_len, section, "clear-as")))
        return -1;
    for (size_t i = first; i < out->names_len; i++)
        for (size_t j = 0; j < first; j++)
            if (!strcmp(out->names[i].name, out->names[j].name))
                return wrong(section, "peers \"%s\" and \"%s\" have the same certificate-cn", out->names[j].peer, name);
    if (out->names_len > first && !out->client_ca)
        return wrong(section, "peer \"%s\": certificate-cn means nothing without client-ca", name);
    if (!plain && out->names_len == first && !cfg_size(section, "certificate-sha256"))
        return wrong(section, "peer \"%s\" has neither certificate-sha256 nor certificate-cn: nothing could tell it",
                     name);
    out->peers_len++;
    return 0;
}

static int take_peers(struct config *out)
{
    unsigned n = cfg_size(out->file, "peer");
    bool plain = !out->plain_peer;

    if (ljs_peers_new(&out->peers) || ljs_peers_add(out->peers, PEER_NOBODY, 0))
        return wrong(out->file, "out of memory");
    for (unsigned i = 0; i < n; i++) {
        cfg_t *section = cfg_getnsec(out->file, "peer", i);

        plain |= !plain && !strcmp(cfg_title(section), out->plain_peer);
        if (add_peer(out, section))
            return -1;
    }
    if (!plain) {
        complain("serve: plain-peer \"%s\" is no peer of the configuration", out->plain_peer);
        return -1;
    }
    return 0;
}

/* ---- the file --------------------------------------------------------------- */

/* What is asked for once stands in no file. */
static bool is_of_file(const struct flag *f)
{
    return strcmp(f->name, "config") != 0 && strcmp(f->name, "force-regression") != 0;
}

static cfg_t *begin_file(void)
{
    cfg_opt_t peer[MEMBERS + 3] = { 0 }, options[sizeof flags / sizeof *flags + 1] = { 0 };
    size_t n = 0;
    cfg_t *file;

    for (size_t m = 0; m < MEMBERS; m++)
        peer[m] = (cfg_opt_t)CFG_STR_LIST(members[m].name, NULL, CFGF_NODEFAULT);
    peer[MEMBERS] = (cfg_opt_t)CFG_BOOL("clear-ns", cfg_false, CFGF_NONE);
    peer[MEMBERS + 1] = (cfg_opt_t)CFG_BOOL("clear-as", cfg_false, CFGF_NONE);
    peer[MEMBERS + 2] = (cfg_opt_t)CFG_END();
    for (const struct flag *f = flags; f->name; f++) {
        if (!is_of_file(f))
            continue;
        if (f->kind == FLAG_LIST)
            options[n++] = (cfg_opt_t)CFG_SEC(f->name, peer, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
        else if (f->kind == FLAG_SWITCH)
            options[n++] = (cfg_opt_t)CFG_BOOL(f->name, cfg_false, CFGF_NODEFAULT);
        else if (f->kind == FLAG_NUMBER)
            options[n++] = (cfg_opt_t)CFG_INT(f->name, 0, CFGF_NODEFAULT);
        else
            options[n++] = (cfg_opt_t)CFG_STR(f->name, NULL, CFGF_NODEFAULT);
    }
    options[n++] = (cfg_opt_t)CFG_BOOL(the_end, cfg_false, CFGF_NONE);
    options[n] = (cfg_opt_t)CFG_END();
    if (!(file = cfg_init(options, CFGF_NONE))) /* copies them */
        return NULL;
    cfg_set_error_function(file, say_where);
    for (const struct flag *f = flags; f->name; f++)
        if (f->kind != FLAG_LIST && is_of_file(f))
            cfg_set_validate_func(file, f->name, check_option);
    for (size_t m = 0; m < MEMBERS; m++) {
        char path[64];

        snprintf(path, sizeof path, "peer|%s", members[m].name);
        cfg_set_validate_func(file, path, check_list);
    }
    cfg_set_validate_func(file, "peer", check_peer);
    return file;
}

/* What the file says, over the defaults. */
static void take_options(struct config *out)
{
    for (const struct flag *f = flags; f->name; f++) {
        cfg_opt_t *opt = f->kind == FLAG_LIST || !is_of_file(f) ? NULL : cfg_getopt(out->file, f->name);
        void *at = (char *)out + f->at;

        if (!opt || !cfg_opt_size(opt) || !(opt->flags & CFGF_MODIFIED))
            continue;
        if (f->kind == FLAG_SWITCH)
            *(bool *)at = cfg_opt_getnbool(opt, 0) == cfg_true;
        else if (f->kind == FLAG_NUMBER)
            *(int64_t *)at = cfg_opt_getnint(opt, 0);
        else
            *(const char **)at = cfg_opt_getnstr(opt, 0);
    }
}

/* libconfuse ends the process when it cannot read, so it reads from memory only. */
static int parse_text(cfg_t *file, const char *name, const char *text, size_t len)
{
    char *whole = NULL, *called = strdup(name);
    int n = asprintf(&whole, "%.*s%s%s = true\n", (int)len, text, len && text[len - 1] == '\n' ? "" : "\n", the_end);
    FILE *in = n > 0 && called ? fmemopen(whole, (size_t)n, "r") : NULL;
    int code = in ? GO_ON : FAILED;

    if (code == FAILED) {
        complain("serve: out of memory");
        free(called);
        goto out;
    }
    free(file->filename);
    file->filename = called;
    file->line = 1;
    cfg_setbool(file, the_end, cfg_false);
    if (cfg_parse_fp(file, in) != CFG_SUCCESS) {
        code = USAGE;
    } else if (!cfg_getbool(file, the_end)) {
        file->line--; /* ours is not one of theirs */
        wrong(file, "premature end: a comment has none");
        code = USAGE;
    }
out:
    if (in)
        fclose(in);
    if (n > 0)
        free(whole);
    return code;
}

static int parse_file(struct config *out, const char *path)
{
    ljs_buf text;
    int code;

    if (!path)
        return GO_ON;
    if (read_all(&text, strcmp(path, "-") ? path : "./-", FILE_MOST)) /* standard input is not there for a reload */
        return USAGE;
    if (memchr(text.data, '\0', text.len)) {
        complain("%s: this is no text", path);
        code = USAGE;
    } else {
        code = parse_text(out->file, path, (const char *)text.data, text.len);
    }
    ljs_buf_free(&text);
    return code;
}

static int parse_peer_flags(struct config *out)
{
    int code = GO_ON;

    for (unsigned i = 0; code == GO_ON && i < out->peer.n; i++) {
        char *text = NULL;
        int n = asprintf(&text, "peer %s", out->peer.at[i]);

        code = n < 0 ? FAILED : parse_text(out->file, command_line, text, (size_t)n);
        if (n >= 0)
            free(text);
    }
    return code;
}

static bool forward_ok(const struct config *c)
{
    bool secure, loopback;

    if (!c->forward && (c->forward_ca || c->forward_certificate || c->forward_key))
        complain("serve: forward-ca, forward-certificate and forward-key mean nothing without forward");
    else if (c->forward && !client_url_ok(c->forward, &secure, &loopback))
        complain("serve: forward takes an address like https://js.example/, without a name or password in it");
    else if (c->forward && !secure && !loopback && !c->insecure)
        complain("serve: forward is to go to another machine without TLS: give an https address, or insecure if the "
                 "network is as good as TLS");
    else if (c->forward_key && !c->forward_certificate)
        complain("serve: forward-key means nothing without forward-certificate");
    else
        return true;
    return false;
}

int config_load(struct config *out, int argc, char **argv)
{
    struct config given = defaults;
    int words = argc, code;
    char **at = argv;

    *out = defaults;
    if ((code = read_flags(&serve_usage, &given, &words, &at)) != GO_ON)
        return code;
    if (!(out->file = begin_file())) {
        complain("serve: out of memory");
        return FAILED;
    }
    code = parse_file(out, given.config);
    if (code == GO_ON) {
        take_options(out);
        words = argc; /* once more, over what the file says */
        at = argv;
        code = read_flags(&serve_usage, out, &words, &at);
    }
    if (code == GO_ON)
        code = parse_peer_flags(out);
    if (code == GO_ON && !out->tls_key)
        out->tls_key = out->tls_certificate;
    if (code == GO_ON && !out->tls_certificate && (out->client_ca || out->tls_key)) {
        complain("serve: %s means nothing without tls-certificate", out->client_ca ? "client-ca" : "tls-key");
        code = USAGE;
    }
    if (code == GO_ON && !forward_ok(out))
        code = USAGE;
    if (code == GO_ON && take_peers(out))
        code = USAGE;
    if (code != GO_ON)
        config_free(out);
    return code;
}

void config_free(struct config *config)
{
    ljs_peers_free(config->peers);
    free(config->pins);
    free(config->names);
    free(config->keks);
    free(config->clears);
    if (config->file)
        cfg_free(config->file);
    *config = defaults;
}
