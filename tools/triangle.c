#include "triangle.h"

#include "tool.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { JOBS_MAX = 64, TOLD_MAX = 20 /* diverged devices, one by one */ };

struct population;

/* One thread, and how it reaches the Join Server. */
struct worker {
    struct population *of;
    pthread_t thread;
    struct client *client; /* NULL: in this process */
    /* of the request in flight */
    ljs_buf answer;
    ljs_err err;
};

struct population {
    const struct triangle *triangle;
    struct world world;
    struct trace *trace;
    ljs_vault *js_vault;
    ljs_store *store;
    ljs_server *server;
    struct worker workers[JOBS_MAX];

    pthread_mutex_t lock; /* of what follows */
    uint32_t next, end;
    uint64_t counts[VERSIONS][COUNTS];
    uint32_t diverged;
    struct {
        uint32_t index;
        const char *why;
    } told[TOLD_MAX];
    int code;
    int64_t began, shown;
};

/* A signal handler can reach nothing else. */
static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

/* ---- the Join Server -------------------------------------------------------- */

static ljs_err ask_here(void *user, ljs_buf *out, int64_t now, const ljs_buf *body)
{
    struct worker *worker = user;

    return ljs_server_handle(out, worker->of->server, NULL, now, body->data, body->len);
}

static void landed(void *user, unsigned slot, const struct client_answer *answer)
{
    struct worker *worker = user;

    (void)slot;
    if (answer->fate != FATE_ANSWERED || answer->status != 200)
        worker->err = LJS_E_BUSY;
    else
        worker->err = ljs_buf_copy(&worker->answer, answer->body, answer->body_len);
}

static ljs_err ask_there(void *user, ljs_buf *out, int64_t now, const ljs_buf *body)
{
    struct worker *worker = user;

    (void)now; /* the daemon has a clock of its own */
    *out = (ljs_buf){ 0 };
    if (client_post(worker->client, 0, body->data, body->len))
        return LJS_E_NOMEM;
    while (client_in_flight(worker->client))
        if (client_run(worker->client, 1000))
            return LJS_E_NOMEM;
    *out = worker->answer;
    worker->answer = (ljs_buf){ 0 };
    return worker->err;
}

static ljs_err new_vault(ljs_vault **out)
{
    ljs_key *key = NULL;
    ljs_buf octets = { 0 };
    ljs_err err = ljs_key_generate(&key, 32);

    *out = NULL;
    if (!err)
        err = ljs_key_export(&octets, key);
    if (!err)
        err = ljs_vault_new(out, octets.data, octets.len);
    ljs_buf_free(&octets);
    ljs_key_free(key);
    return err;
}

static ljs_err provision_one(struct population *p, uint32_t index)
{
    ljs_device device = { .struct_size = sizeof device,
                          .join_eui = p->triangle->fleet->join_eui,
                          .mac = versions[index % VERSIONS].mac };
    ljs_key *nwk, *app;
    ljs_err err = life_device(&device.dev_eui, &nwk, &app, p->triangle->fleet, index);

    if (!err)
        err = ljs_server_make_device(p->server, &device, &(ljs_root_keys){ .nwk = nwk, .app = app },
                                     LJS_MAKE_ALLOW_WEAK, -1, NULL, 0);
    ljs_key_free(nwk);
    ljs_key_free(app);
    return err;
}

static ljs_err open_server(struct population *p)
{
    const ljs_server_opts opts = { .struct_size = sizeof opts, .anonymous = 1, .clear = LJS_CLEAR_NS | LJS_CLEAR_AS };
    ljs_err err = new_vault(&p->js_vault);

    if (!err)
        err = ljs_store_memory(&p->store);
    if (!err)
        err = ljs_server_new(&p->server, p->js_vault, p->store, &opts);
    for (uint32_t i = p->next; i < p->end && !err; i++)
        err = provision_one(p, i);
    return err;
}

/* ---- provisioning ----------------------------------------------------------- */

static ljs_err print_key(FILE *to, const char *name, const ljs_key *key)
{
    ljs_buf octets;
    ljs_err err = ljs_key_export(&octets, key);

    if (err)
        return err;
    fprintf(to, ",\"%s\":\"", name);
    for (size_t i = 0; i < octets.len; i++)
        fprintf(to, "%02x", octets.data[i]);
    fputc('"', to);
    ljs_buf_free(&octets);
    return LJS_OK;
}

static void print_label(FILE *to, const char *name, const char *label)
{
    if (!label)
        return;
    fprintf(to, ",\"%s\":", name);
    print_json_text(to, label);
}

ljs_err triangle_provision(FILE *to, const struct fleet *fleet)
{
    ljs_err err = LJS_OK;

    for (uint32_t i = 0; i < fleet->devices && !err; i++) {
        ljs_key *nwk, *app;
        ljs_eui dev_eui;

        err = life_device(&dev_eui, &nwk, &app, fleet, i);
        fprintf(to, "{\"dev_eui\":\"%016" PRIx64 "\",\"join_eui\":\"%016" PRIx64 "\",\"lorawan_version\":\"%s\"",
                dev_eui, fleet->join_eui, ljs_mac_text(versions[i % VERSIONS].mac));
        if (!err)
            err = print_key(to, "nwk_key", nwk);
        if (!err && app)
            err = print_key(to, "app_key", app);
        print_label(to, "ns_kek_label", fleet->ns_label);
        print_label(to, "as_kek_label", fleet->as_label);
        print_label(to, "as_id", fleet->as_id);
        fputs("}\n", to);
        ljs_key_free(nwk);
        ljs_key_free(app);
    }
    return err;
}

/* ---- lives ------------------------------------------------------------------ */

static void show_progress(struct population *p, uint32_t done)
{
    int64_t now = now_ms();

    if (!isatty(STDERR_FILENO) || p->trace || now - p->shown < 200)
        return;
    p->shown = now;
    fprintf(stderr, "\r%" PRIu32 " of %" PRIu32 " lives  %" PRIu32 " diverged\033[K", done, p->end, p->diverged);
    fflush(stderr);
}

static void *work(void *user)
{
    struct worker *worker = user;
    struct population *p = worker->of;

    pthread_mutex_lock(&p->lock);
    while (!stop && p->code == DONE && p->next < p->end) {
        uint32_t index = p->next++;
        uint64_t counts[COUNTS];
        const char *why;
        ljs_err err;

        pthread_mutex_unlock(&p->lock);
        err = life_run(&why, counts, &p->world, index, worker, p->trace);
        pthread_mutex_lock(&p->lock);
        if (err)
            p->code = complain_err(err, "simulate");
        for (unsigned i = 0; i < COUNTS; i++)
            p->counts[index % VERSIONS][i] += counts[i];
        if (why && p->diverged < TOLD_MAX) {
            p->told[p->diverged].index = index;
            p->told[p->diverged].why = why;
        }
        p->diverged += why != NULL;
        show_progress(p, index + 1);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static unsigned jobs_of(const struct population *p)
{
    long jobs = p->triangle->opts->jobs ? p->triangle->opts->jobs : sysconf(_SC_NPROCESSORS_ONLN);

    if (p->trace || jobs < 1) /* one life after the other */
        return 1;
    if ((uint32_t)jobs > p->end - p->next)
        jobs = (long)(p->end - p->next);
    return jobs > JOBS_MAX ? JOBS_MAX : (unsigned)jobs;
}

static int live_all(struct population *p)
{
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND };
    unsigned jobs = jobs_of(p), started = 0;
    int code = DONE;

    for (unsigned i = 0; i < jobs && code == DONE; i++) { /* libcurl begins while there is one thread */
        p->workers[i].of = p;
        if (p->triangle->client.url)
            code = client_new(&p->workers[i].client, &p->triangle->client, landed, &p->workers[i]);
    }
    if (code)
        return code;
    sigaction(SIGINT, &action, NULL); /* once: the second ends the process */
    sigaction(SIGTERM, &action, NULL);
    p->began = now_ms();
    while (started < jobs && !pthread_create(&p->workers[started].thread, NULL, work, &p->workers[started]))
        started++;
    if (!started)
        return complain_err(LJS_E_NOMEM, "simulate");
    for (unsigned i = 0; i < started; i++)
        pthread_join(p->workers[i].thread, NULL);
    if (p->shown)
        fputs("\r\033[K", stderr);
    return p->code;
}

/* ---- the summary ------------------------------------------------------------ */

/* Words that a shell takes as they are, or in quotes. */
static void print_word(FILE *to, const char *word)
{
    if (*word && !word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:/")]) {
        fputs(word, to);
        return;
    }
    fputc('\'', to);
    for (; *word; word++)
        fprintf(to, *word == '\'' ? "'\\''" : "%c", *word);
    fputc('\'', to);
}

/* The command that lives this life again. */
static void print_command(FILE *to, const struct population *p, uint32_t index)
{
    const struct triangle_opts *o = p->triangle->opts;
    const struct fleet *fleet = p->triangle->fleet;

    fprintf(to,
            "lorajs simulate --days %" PRId64 " --devices %" PRIu32 " --uplinks %" PRId64 " --loss %" PRId64
            " --backend-loss %" PRId64 " --duplicate %" PRId64 " --delay %" PRId64 " --reorder %" PRId64
            " --rejoin0 %" PRId64 " --rejoin1 %" PRId64 " --force %" PRId64 " --power-loss %" PRId64 " --calm %" PRId64,
            o->days, fleet->devices, o->uplinks, o->loss, o->backend_loss, o->duplicate, o->delay, o->reorder,
            o->rejoin0, o->rejoin1, o->force, o->power_loss, o->calm);
    fprintf(to, " --join-eui %016" PRIx64 " --net-id %06" PRIx32 " --ns-id %016" PRIx64 " --seed ", fleet->join_eui,
            fleet->net_ids[0], fleet->ns_id);
    print_word(to, p->triangle->seed);
    if (p->triangle->client.url) {
        fputs(" --url ", to);
        print_word(to, p->triangle->client.url);
    }
    fprintf(to, " --only %" PRIu32 " --trace", index);
}

static void print_json(const struct population *p, double seconds, uint64_t lives)
{
    int64_t days = p->triangle->opts->days;

    printf("{\"device_days\":%" PRIu64 ",\"seconds\":%.3f,\"device_days_per_second\":%.1f,\"loss\":%" PRId64
           ",\"seed\":",
           lives * (uint64_t)days, seconds, seconds > 0 ? (double)lives * (double)days / seconds : 0,
           p->triangle->opts->loss);
    print_json_text(stdout, p->triangle->seed);
    fputs(",\"versions\":{", stdout);
    for (unsigned v = 0; v < VERSIONS; v++) {
        printf("%s\"%s\":{", v ? "," : "", versions[v].name);
        for (unsigned i = 0; i < COUNTS; i++)
            printf("%s\"%s\":%" PRIu64, i ? "," : "", counted[i].name, p->counts[v][i]);
        putchar('}');
    }
    printf("},\"diverged\":%" PRIu32 ",\"divergences\":[", p->diverged);
    for (uint32_t i = 0; i < p->diverged && i < TOLD_MAX; i++) {
        printf("%s{\"device\":%" PRIu32 ",\"why\":", i ? "," : "", p->told[i].index);
        print_json_text(stdout, p->told[i].why);
        putchar('}');
    }
    printf("],\"finished\":%s}\n", stop ? "false" : "true");
}

static void print_text(const struct population *p, double seconds, uint64_t lives)
{
    uint64_t days = lives * (uint64_t)p->triangle->opts->days, uplinks = 0;

    printf("%-28s", "");
    for (unsigned v = 0; v < VERSIONS; v++)
        printf("%12s", versions[v].name);
    printf("%13s\n", "all");
    for (unsigned i = 0; i < COUNTS; i++) {
        uint64_t all = 0;

        printf("%-28s", counted[i].text);
        for (unsigned v = 0; v < VERSIONS; v++) {
            printf("%12" PRIu64, p->counts[v][i]);
            all += p->counts[v][i];
        }
        printf("%13" PRIu64 "\n", all);
        if (i == N_UPLINKS)
            uplinks = all;
    }
    printf("%" PRIu64 " device-days in %.1f s: %.0f device-days and %.0f uplinks a second%s\n", days, seconds,
           (double)days / seconds, (double)uplinks / seconds, stop ? " (interrupted)" : "");
    printf("diverged: %" PRIu32 " of %" PRIu64 "\n", p->diverged, lives);
}

static void print_divergences(const struct population *p)
{
    for (uint32_t i = 0; i < p->diverged && i < TOLD_MAX; i++) {
        complain("device %" PRIu32 " (LoRaWAN %s), seed \"%s\": %s; to see it:", p->told[i].index,
                 versions[p->told[i].index % VERSIONS].name, p->triangle->seed, p->told[i].why);
        fputs("  ", stderr);
        print_command(stderr, p, p->told[i].index);
        fputc('\n', stderr);
    }
    if (p->diverged > TOLD_MAX)
        complain("and %" PRIu32 " more", p->diverged - TOLD_MAX);
}

static void print_summary(const struct population *p)
{
    double seconds = (double)(now_ms() - p->began + 1) / 1000;
    uint64_t lives = 0;

    for (unsigned v = 0; v < VERSIONS; v++)
        lives += p->counts[v][N_DEVICES];
    if (p->triangle->json)
        print_json(p, seconds, lives);
    else
        print_text(p, seconds, lives);
    print_divergences(p);
}

/* ---- the whole -------------------------------------------------------------- */

static int run(struct population *p)
{
    const struct triangle *t = p->triangle;
    const struct triangle_opts *opts = t->opts;
    int code = trace_open(&p->trace, opts->trace, opts->diagram);
    ljs_err err;

    if (code)
        return code;
    p->end = t->fleet->devices;
    if (opts->only >= 0) {
        p->next = (uint32_t)opts->only;
        p->end = p->next + 1;
    } else if (opts->diagram) {
        p->end = 1; /* of one life */
    }
    p->world = (struct world){ .opts = opts, .fleet = t->fleet, .ask = t->client.url ? ask_there : ask_here };
    err = new_vault(&p->world.vault);
    if (!err && !t->client.url)
        err = open_server(p);
    if (err)
        return complain_err(err, "simulate");
    code = live_all(p);
    if (code == DONE)
        print_summary(p);
    return code == DONE && p->diverged ? REFUSED : code;
}

int triangle_run(const struct triangle *triangle)
{
    struct population *p = calloc(1, sizeof *p);
    int code, closed;

    if (!p)
        return complain_err(LJS_E_NOMEM, "simulate");
    p->triangle = triangle;
    pthread_mutex_init(&p->lock, NULL);
    code = run(p);
    closed = trace_close(p->trace);
    for (unsigned i = 0; i < JOBS_MAX; i++)
        client_free(p->workers[i].client);
    ljs_server_free(p->server);
    ljs_store_free(p->store);
    ljs_vault_free(p->js_vault);
    ljs_vault_free(p->world.vault);
    pthread_mutex_destroy(&p->lock);
    free(p);
    return code == DONE ? closed : code;
}
