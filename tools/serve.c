/* serve.c -- the daemon: how it starts, reloads and stops. */
#include "serve_inside.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    WORKERS_DEFAULT_MOST = 8,
    LOCK_WANTED = 1 << 20,
    TICK_MS = 250,
    SETTLE_MS = 60 /* how long nobody has asked anything before a stop is taken for done */
};

/* ---- systemd ---------------------------------------------------------------- */

/* sd_notify(3), without its library: a datagram to a socket of the file system or of the
 * abstract namespace. */
static void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    size_t n = path ? strlen(path) : 0;
    int fd;

    if (n < 2 || n >= sizeof to.sun_path || (*path != '/' && *path != '@'))
        return;
    memcpy(to.sun_path, path, n);
    if (*path == '@')
        to.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (void *)&to,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
        complain("serve: cannot tell systemd: %s", strerror(errno));
    close(fd);
}

static void notify_reloading(void)
{
    char text[64];

    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(http_clock() / 1000));
    notify(text);
}

/* ---- the process ------------------------------------------------------------ */

static void raise_limit(int which, rlim_t wanted)
{
    struct rlimit limit;

    if (getrlimit((__rlimit_resource_t)which, &limit) || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max == RLIM_INFINITY || wanted < limit.rlim_max ? wanted : limit.rlim_max;
    setrlimit((__rlimit_resource_t)which, &limit);
}

/* Keys are in this process: nothing of it goes to a core file or a debugger, and what it
 * creates is nobody else's. */
static void harden(struct serve *s)
{
    struct rlimit files;
    rlim_t wanted = (rlim_t)s->config.connections + 128;

    s->connections = (unsigned)s->config.connections;
    umask(077);
    signal(SIGPIPE, SIG_IGN);
    if (!s->config.dumpable) {
        if (no_dumps())
            say(s->log, SAY_WARNING, "cannot forbid core dumps: %s", strerror(errno));
    }
    raise_limit(RLIMIT_MEMLOCK, 64 << 20);
    if (!can_lock(LOCK_WANTED))
        say(s->log, SAY_WARNING,
            "less than 1 MiB of memory can be locked, so there will be requests without a place for their keys: raise "
            "the limit to 64 MiB (LimitMEMLOCK=64M in the unit, or ulimit -l)");
    raise_limit(RLIMIT_NOFILE, wanted);
    if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur < wanted) {
        s->connections = (unsigned)(files.rlim_cur > 256 ? files.rlim_cur - 128 : files.rlim_cur / 2);
        say(s->log, SAY_WARNING, "the limit of open files allows %u connections only", s->connections);
    }
}

/* ---- peers ------------------------------------------------------------------ */

struct kek_search {
    const char *label;
    bool found;
};

static ljs_err is_kek(void *user, const char *label, size_t kek_len)
{
    struct kek_search *search = user;

    (void)kek_len;
    search->found |= !strcmp(label, search->label);
    return LJS_OK;
}

static void check_keks(struct serve *s, const struct config *config)
{
    for (size_t i = 0; i < config->keks_len; i++) {
        struct kek_search search = { .label = config->keks[i].name };

        if (!ljs_server_each_kek(s->data.server, is_kek, &search) && !search.found)
            say(s->log, SAY_WARNING, "peer \"%s\": there is no KEK \"%s\" yet (lorajs kek add)", config->keks[i].peer,
                search.label);
    }
}

static ljs_err use_peers(struct serve *s, const struct config *config)
{
    ljs_err err = ljs_server_set_peers(s->data.server, config->peers_len ? config->peers : NULL);

    if (err)
        return err;
    pthread_mutex_lock(&s->lock);
    s->has_peers = config->peers_len > 0;
    snprintf(s->plain_peer, sizeof s->plain_peer, "%s", config->plain_peer && !s->tls ? config->plain_peer : "");
    pthread_mutex_unlock(&s->lock);
    check_keks(s, config);
    return LJS_OK;
}

/* Does SIGHUP change this option? */
static bool is_reloadable(const char *name)
{
    static const char *const names[] = { "config",  "peer",      "plain-peer", "tls-certificate",
                                         "tls-key", "client-ca", "log-level",  "log-format" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static void tell_what_needs_restart(struct serve *s, const struct config *next)
{
    for (const struct flag *f = serve_usage.flags; f->name; f++) {
        const void *was = (const char *)&s->config + f->at, *is = (const char *)next + f->at;
        bool same = f->kind == FLAG_SWITCH   ? *(const bool *)was == *(const bool *)is
                    : f->kind == FLAG_NUMBER ? *(const int64_t *)was == *(const int64_t *)is
                    : f->kind == FLAG_TEXT   ? same_text(*(const char *const *)was, *(const char *const *)is)
                                             : true;

        if (!same && !is_reloadable(f->name))
            say(s->log, SAY_WARNING, "reload: %s takes effect with the next start", f->name);
    }
    if (!s->config.tls_certificate != !next->tls_certificate)
        say(s->log, SAY_WARNING, "reload: TLS begins or ends with the next start");
}

static void reload(struct serve *s)
{
    struct config next;
    bool good, loaded;
    ljs_err err = LJS_OK;

    notify_reloading();
    good = loaded = config_load(&next, s->argc, s->argv) == GO_ON;
    if (good && s->tls && next.tls_certificate)
        good = tls_reload(s->tls, &next) == DONE;
    if (good && (err = use_peers(s, &next)))
        good = false;
    if (good) {
        tell_what_needs_restart(s, &next);
        log_setup(s->log, next.log_level, next.log_format);
        /* What was not taken over stays as it was, so that the next reload tells it again;
         * its texts are those of the first configuration, which therefore stays. */
        say(s->log, SAY_INFO, "reloaded: %zu peers", next.peers_len);
        if (!next.peers_len && !s->any_sender)
            say(s->log, SAY_WARNING, "no peer is configured: every request will be refused");
        s->meters.reloads++;
    } else {
        say(s->log, SAY_ERROR, "the new configuration is not used%s%s", err ? ": " : "", err ? ljs_strerror(err) : "");
        s->meters.reload_failures++;
    }
    if (loaded)
        config_free(&next);
    notify("READY=1");
}

/* ---- begin and end ---------------------------------------------------------- */

static unsigned threads(const struct config *c)
{
    cpu_set_t ours;
    int n = sched_getaffinity(0, sizeof ours, &ours) ? 1 : CPU_COUNT(&ours);

    return c->workers ? (unsigned)c->workers : n < WORKERS_DEFAULT_MOST ? (unsigned)n : WORKERS_DEFAULT_MOST;
}

static int listen_on(struct http **out, struct serve *s, int fd, bool metrics)
{
    const struct config *c = &s->config;
    struct http_opts opts = {
        .fd = fd,
        .tls = metrics ? NULL : s->tls,
        .log = s->log,
        .methods = metrics ? "GET, HEAD" : "POST",
        .body_limit = metrics ? 0 : (size_t)c->body_limit,
        .timeout = c->timeout,
        .keep_alive = c->keep_alive,
        .connections = metrics ? 32 : s->connections,
        .threads = metrics ? 1 : threads(c),
        .together = metrics ? 1 : (size_t)c->batch,
        .calls = metrics ? serve_metrics_calls : serve_calls,
        .user = s,
    };

    return http_new(out, &opts);
}

/* The sockets of a daemon that is on its way, -1 for none. */
struct sockets {
    struct address at, metrics_at, admin_at;
    int fd, metrics_fd, admin_fd;
};

static int check_addresses(const struct config *c, struct sockets *on)
{
    const struct address *main_at = &on->at, *metrics_at = &on->metrics_at;
    int code = address_read(&on->at, c->listen, "--listen");

    if (!code && c->metrics)
        code = address_read(&on->metrics_at, c->metrics, "--metrics");
    if (!code && c->admin_listen)
        code = address_read(&on->admin_at, c->admin_listen, "--admin-listen");
    if (!code && c->admin_listen && !on->admin_at.loopback && !c->tls_certificate) {
        complain("serve: %s is not a loopback address, and the administrative interface is served without TLS on "
                 "loopback alone: give --tls-certificate",
                 c->admin_listen);
        code = USAGE;
    }
    if (!code && !main_at->loopback && !c->tls_certificate && !c->insecure) {
        complain("serve: %s is not a loopback address, and without TLS everybody on the way could read and change "
                 "what is said there: give --tls-certificate, or --insecure if the network is as good as TLS",
                 c->listen);
        code = USAGE;
    }
    if (!code && c->metrics && !metrics_at->loopback && !c->metrics_insecure) {
        complain("serve: %s is not a loopback address, and metrics have no TLS: give --metrics-insecure if everybody "
                 "there may see them",
                 c->metrics);
        code = USAGE;
    }
    return code;
}

static void tell_who_may_ask(struct serve *s, bool loopback)
{
    const struct config *c = &s->config;

    if (s->any_sender)
        say(s->log, SAY_WARNING, "no peer is configured: serving any sender, since this is a loopback address%s",
            c->allow_clear_keys ? "; session keys go out in clear where there is no KEK" : "");
    else if (!c->peers_len)
        say(s->log, SAY_WARNING, "no peer is configured: every request will be refused");
    else if (!s->tls && !c->plain_peer)
        say(s->log, SAY_WARNING,
            "peers are configured, but nobody can be told apart without TLS: every request will be refused "
            "(see tls-certificate and plain-peer)");
    if (!loopback && !s->tls)
        say(s->log, SAY_WARNING, "listening without TLS on %s, as --insecure says", c->listen);
    if (c->allow_clear_keys && !s->any_sender)
        say(s->log, SAY_WARNING, "allow-clear-keys is for servers without peers: say clear-ns or clear-as in the peer");
}

static void take_time(int64_t *next, int64_t seconds)
{
    *next = now_ms() + seconds * 1000;
}

/* The master key may have been changed by another process: whoever is idle finds it out here. */
static void follow(struct serve *s)
{
    ljs_err err = ljs_server_refresh(s->data.server);

    if (err == LJS_E_SEAL && !data_follow(&s->data, &s->config.where)) {
        say(s->log, SAY_WARNING,
            "the master key was changed, and the old one ended before we looked: took the new one");
        err = LJS_OK;
    }
    if (err == LJS_E_SEAL && !s->locked_out)
        say(s->log, SAY_ERROR, "the master key was changed and the old one ended: restart with the new --master-key");
    s->locked_out = err == LJS_E_SEAL;
}

static void flush(struct serve *s)
{
    ljs_err err = ljs_server_flush(s->data.server);

    if (!err)
        return;
    s->meters.flush_failures++;
    say(s->log, SAY_ERROR, "cannot write decisions: %s", ljs_strerror(err));
}

static void tick_audit(struct serve *s, bool end)
{
    ljs_err err = audit_tick(&s->audit, s->data.server, end);

    if (err)
        say(s->log, SAY_ERROR, "cannot write the audit log: %s", ljs_strerror(err));
}

/* Until SIGTERM or SIGINT. */
static void run(struct serve *s, const sigset_t *signals)
{
    const struct timespec tick = { 0, TICK_MS * 1000000L };
    int64_t next_flush, next_tick = 0;
    int got;

    take_time(&next_flush, s->config.flush);
    while ((got = sigtimedwait(signals, NULL, &tick)) != SIGTERM && got != SIGINT) {
        if (got == SIGHUP)
            reload(s);
        http_reap(s->http);
        http_reap(s->metrics_http);
        admin_reap(s->admin);
        if (now_ms() >= next_tick) {
            log_tick(s->log, false);
            follow(s);
            tick_audit(s, false);
            take_time(&next_tick, 1);
        }
        if (now_ms() >= next_flush) {
            flush(s);
            take_time(&next_flush, s->config.flush);
        }
    }
    say(s->log, SAY_INFO, "stopping on %s", got == SIGTERM ? "SIGTERM" : "SIGINT");
}

/* Who has begun to ask is answered; a second signal ends the wait. */
static void drain(struct serve *s, const sigset_t *signals)
{
    const struct timespec tick = { 0, 10 * 1000000L };
    int64_t now = now_ms(), end = now + 2 * 1000 * s->config.timeout, quiet = now;
    struct http_stats stats = { 0 };
    int got = -1;

    http_quiesce(s->http);
    while (now < end && now - quiet < SETTLE_MS && got != SIGTERM && got != SIGINT) {
        got = sigtimedwait(signals, NULL, &tick);
        http_reap(s->http);
        http_stats(&stats, s->http);
        now = now_ms();
        if (stats.active)
            quiet = now;
    }
    if (stats.active && now - quiet < SETTLE_MS)
        say(s->log, SAY_WARNING, "stopping with %llu requests that have not arrived whole",
            (unsigned long long)stats.active);
}

static int start_forward(struct serve *s)
{
    const struct config *c = &s->config;
    const struct forward_opts opts = { .url = c->forward,
                                       .ca = c->forward_ca,
                                       .certificate = c->forward_certificate,
                                       .key = c->forward_key,
                                       .timeout = c->forward_timeout,
                                       .connections = c->forward_connections,
                                       .queue = c->forward_queue,
                                       .log = s->log };

    if (!c->forward)
        return DONE;
    say(s->log, SAY_INFO, "what is asked about devices that are not here goes to %s", c->forward);
    return forward_new(&s->forward, &opts);
}

static int open_all(struct serve *s, struct sockets *on)
{
    const struct config *c = &s->config;
    struct where where = c->where;
    ljs_server_opts opts = { .struct_size = sizeof opts,
                             .lifetime = (uint32_t)c->lifetime,
                             .rejoin_window = (uint32_t)c->rejoin_window,
                             .alarm_window = (uint32_t)c->alarm_window,
                             .alarm_refusals = (uint32_t)c->alarm_refusals,
                             .audit = strcmp(c->audit, "no") ? LJS_AUDIT_ON : LJS_AUDIT_SWITCH_OFF,
                             .log = log_event,
                             .log_user = s->log };
    int code = check_addresses(c, on);
    ljs_err err;

    if (!code && c->tls_certificate)
        code = tls_new(&s->tls, c);
    if (!code)
        code = address_listen(&on->fd, &on->at, c->listen);
    if (!code && c->metrics)
        code = address_listen(&on->metrics_fd, &on->metrics_at, c->metrics);
    if (!code && c->admin_listen)
        code = address_listen(&on->admin_fd, &on->admin_at, c->admin_listen);
    if (code)
        return code;
    s->audit = (struct audit_timer){ .path = c->audit_anchor, .interval = c->audit_anchor_interval };
    s->any_sender = on->at.loopback && !c->peers_len;
    opts.anonymous = s->any_sender;
    opts.clear = s->any_sender && c->allow_clear_keys ? LJS_CLEAR_NS | LJS_CLEAR_AS : 0;
    where.marking = &s->config.marking;
    if ((code = data_open(&s->data, &where, DATA_CREATE, &opts)) || (code = marking_note(&s->data, &c->marking)))
        return code;
    if (!data_writable(data_dir(c->where.data)))
        say(s->log, SAY_WARNING, "%s cannot be written: no device will join", data_dir(c->where.data));
    if ((err = use_peers(s, c)))
        return complain_err(err, "peers");
    tell_who_may_ask(s, on->at.loopback);
    return start_forward(s);
}

static int take_fd(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

static int start_all(struct serve *s, struct sockets *on)
{
    const struct config *c = &s->config;
    char url[128], metrics_url[128], admin_url[128];
    int code;

    address_url(url, on->fd, s->tls ? "https" : "http");
    code = listen_on(&s->http, s, take_fd(&on->fd), false);
    if (!code && on->admin_fd >= 0) {
        const struct admin_opts opts = { .fd = on->admin_fd,
                                         .tls = s->tls,
                                         .log = s->log,
                                         .server = s->data.server,
                                         .sign = c->export_sign,
                                         .signers = c->manifest_signers,
                                         .roots = c->manifest_roots,
                                         .timeout = c->timeout,
                                         .keep_alive = c->keep_alive };

        address_url(admin_url, on->admin_fd, s->tls ? "https" : "http");
        on->admin_fd = -1;
        code = admin_start(&s->admin, &opts);
    }
    if (!code && on->metrics_fd >= 0) { /* the last: it tells of the others */
        address_url(metrics_url, on->metrics_fd, "http");
        code = listen_on(&s->metrics_http, s, take_fd(&on->metrics_fd), true);
    }
    if (code)
        return code;
    printf("listening on %s\n", url);
    if (s->metrics_http)
        printf("metrics on %s\n", metrics_url);
    if (s->admin)
        printf("admin on %s\n", admin_url);
    fflush(stdout);
    notify("READY=1");
    return DONE;
}

static void close_all(struct serve *s)
{
    forward_stop(s->forward);
    http_free(s->http);
    http_free(s->metrics_http); /* it looks at the next */
    forward_free(s->forward);
    admin_stop(s->admin);
    if (s->data.server) {
        flush(s);
        tick_audit(s, true);
    }
    log_tick(s->log, true);
    data_close(&s->data);
    ljs_store_free(s->config.marking.inner);
    tls_free(s->tls);
}

int cmd_serve(int argc, char **argv)
{
    struct serve *s = calloc(1, sizeof *s);
    struct sockets on = { .fd = -1, .metrics_fd = -1, .admin_fd = -1 };
    int code;
    sigset_t signals;

    if (!s || !(s->log = log_new())) {
        complain("serve: out of memory");
        free(s);
        return FAILED;
    }
    s->argc = argc;
    s->argv = argv;
    if ((code = config_load(&s->config, argc, argv)) != GO_ON) {
        log_free(s->log);
        free(s);
        return code;
    }
    log_setup(s->log, s->config.log_level, s->config.log_format);
    pthread_mutex_init(&s->lock, NULL);
    s->meters.started = now_seconds();
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* of every thread to come */
    harden(s);
    code = open_all(s, &on);
    if (!code)
        code = start_all(s, &on);
    if (!code) {
        run(s, &signals);
        s->stopping = true;
        notify("STOPPING=1");
        drain(s, &signals);
    }
    close_all(s);
    if (on.fd >= 0)
        close(on.fd);
    if (on.metrics_fd >= 0)
        close(on.metrics_fd);
    if (on.admin_fd >= 0)
        close(on.admin_fd);
    pthread_mutex_destroy(&s->lock);
    log_free(s->log);
    config_free(&s->config);
    free(s);
    return code;
}
