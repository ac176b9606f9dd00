/* What a large database costs: lorajs over SQLite with as many devices as are asked for.
 *
 *     bench_growth FIXTURES DATABASE
 *
 * Told over standard input, as the workers are:
 *
 *   fill N       ok record=OCTETS          make it: N devices, each with two sessions and 32 DevNonces used
 *   open N TIME  ok ns=NS                  of N devices, for the TIME-th time, from 0: from opening it, nothing of it
 *                                          in the page cache, to the first join answered
 *   join MS      ok rate=N bad=N rss=KIB   joins of devices drawn at random, 64 in a batch */
#include "works.h"

#include "device/record.h"
#include "server/internal.h"

#include <lorajs/backend.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BATCH = 64,
    GROUP = 8192,    /* records in a transaction while it is filled */
    MAKERS = 2,      /* threads that make them */
    OPENED_MOST = 4, /* bench/run does three times */
    NONCE_FIRST = 1024,
    NONCES = (65536 - NONCE_FIRST) / OPENED_MOST, /* for each time */
    ASKED_EACH = 16,                              /* requests with the same one */
};

static const struct history history = { LJS_MAC_1_1, 2, 32 };
static const char *path;
static ljs_store *store;
static ljs_server *server;
static uint64_t devices;
static unsigned first_nonce; /* of this process: others have used those below */

static void open_database(void)
{
    if (server)
        return;
    MUST(!ljs_store_sqlite(&store, path) && !ljs_server_new(&server, keys_ready()->vault, store, NULL));
    peers_ready(server, true);
}

/* The n-th device has the keys of one of the fixtures, and an EUI of its own. */
static struct fixture device(uint64_t n)
{
    struct fixture f = fixtures->join[n % JOINS];

    for (size_t i = 0; i < 4; i++)
        f.dev_eui[4 + i] = (uint8_t)(n >> (24 - 8 * i));
    return f;
}

struct make {
    uint64_t first;
    size_t from, to; /* of `made` */
    pthread_t thread;
};

static ljs_buf made[GROUP];

/* The fixtures' own records, whose past takes long to make. */
static const ljs_buf *pasts;

/* That of another device with the same keys and the same past. */
static ljs_buf record_as(const ljs_buf *past, ljs_eui dev_eui)
{
    const ljs_vault *vault = keys_ready()->vault;
    struct record r;
    struct ring *ring;
    struct wr keep = { 0 };
    ljs_buf out;

    MUST(!ljs__record_load(&r, vault, past->data, past->len) && !ljs__ring_take(&ring) &&
         !ljs__record_keys(ring, vault, &r, r.d.epoch));
    r.d.dev_eui = dev_eui;
    MUST(!ljs__record_seal(&r, &keep, vault, ring, r.d.epoch) && !ljs__record_save(&out, &r, vault));
    ljs__ring_give(ring);
    ljs__wr_drop(&keep);
    return out;
}

static void *make(void *user)
{
    const struct make *make = user;

    for (size_t i = make->from; i < make->to; i++) {
        struct fixture f = device(make->first + i);

        made[i] = record_as(&pasts[(make->first + i) % JOINS], be(f.dev_eui, 8));
    }
    return NULL;
}

static size_t fill(uint64_t n)
{
    static ljs_change changes[GROUP];
    static struct key at[GROUP];
    struct make makes[MAKERS];
    size_t octets = 0;

    open_database();
    pasts = records_of(&history);
    for (uint64_t first = 0; first < n; first += GROUP) {
        size_t len = n - first < GROUP ? (size_t)(n - first) : GROUP;

        for (size_t t = 0; t < MAKERS; t++) {
            makes[t] = (struct make){ .first = first, .from = len * t / MAKERS, .to = len * (t + 1) / MAKERS };
            MUST(!pthread_create(&makes[t].thread, NULL, make, &makes[t]));
        }
        for (size_t t = 0; t < MAKERS; t++)
            pthread_join(makes[t].thread, NULL);
        for (size_t i = 0; i < len; i++) {
            struct fixture f = device(first + i);

            at[i] = ljs__key_eui(SPACE_DEVICE, be(f.dev_eui, 8));
            octets += made[i].len;
            changes[i] = (ljs_change){
                .key = at[i].at, .key_len = at[i].len, .in = made[i].data, .in_len = made[i].len, .group = (unsigned)i
            };
        }
        MUST(!ljs_store_commit(store, changes, len));
        for (size_t i = 0; i < len; i++) {
            MUST(!changes[i].result);
            ljs_buf_free(&made[i]);
        }
    }
    return octets / n;
}

/* ---- joins ------------------------------------------------------------------ */

struct requests {
    char (*text)[MESSAGE_MAX];
    size_t *len;
};

/* A join of any device.  DevNonces rise with time, so that a device met again has a higher one, unless
 * it is met again at once. */
static void make_request(const struct requests *r, size_t i)
{
    static unsigned asked;
    uint64_t n = random_number() % devices;
    struct fixture f = device(n);
    const ljs_frame frame = { .kind = LJS_FRAME_JOIN,
                              .join_eui = be(f.join_eui, 8),
                              .dev_eui = be(f.dev_eui, 8),
                              .nonce = (uint16_t)(first_nonce + asked++ / ASKED_EACH) };
    ljs_buf phy;

    MUST(asked <= NONCES * ASKED_EACH); /* else those of the next time are replays: OPENED_MOST is too many */
    MUST(!ljs_frame_sign(&phy, &frame, keys_ready()->nwk[n % JOINS]));
    memcpy(f.request, phy.data, sizeof f.request);
    ljs_buf_free(&phy);
    r->len[i] = fixture_message(r->text[i], &f, 'c');
}

static struct requests requests_for(size_t n)
{
    struct requests r = { calloc(n, MESSAGE_MAX), calloc(n, sizeof(size_t)) };

    MUST(r.text && r.len);
    return r;
}

static size_t handle(const struct requests *r, size_t first, size_t n)
{
    ljs_call calls[BATCH];
    size_t bad = 0;

    for (size_t i = 0; i < n; i++)
        calls[i] = (ljs_call){
            .peer = "ns", .now = 1700000000, .in = (const uint8_t *)r->text[first + i], .in_len = r->len[first + i]
        };
    ljs_server_handle_batch(server, calls, n);
    for (size_t i = 0; i < n; i++) {
        bad += calls[i].err || !memmem(calls[i].out.data, calls[i].out.len, "\"Success\"", 9);
        ljs_buf_free(&calls[i].out);
    }
    return bad;
}

static void forget_pages(const char *suffix)
{
    char name[4096];
    int fd;

    snprintf(name, sizeof name, "%s%s", path, suffix);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    fdatasync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}

static void cold_start(void)
{
    struct requests r = requests_for(1);
    uint64_t start;

    keys_ready();
    make_request(&r, 0);
    forget_pages("");
    forget_pages("-wal");
    start = clock_ns();
    open_database();
    MUST(!handle(&r, 0, 1));
    printf("ok ns=%llu\n", (unsigned long long)(clock_ns() - start));
    free(r.text);
    free(r.len);
}

static long resident_kib(void)
{
    char line[128];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");

    MUST(file);
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    fclose(file);
    return kib;
}

static void join(unsigned ms)
{
    enum { ROOM = 128 * BATCH };
    struct requests r = requests_for(ROOM);
    uint64_t spent = 0, limit = ms * 1000000ull;
    size_t done = 0, bad = 0;

    while (spent < limit) {
        for (size_t i = 0; i < ROOM; i++)
            make_request(&r, i);
        for (size_t at = 0; at < ROOM && spent < limit; at += BATCH) {
            uint64_t start = clock_ns();

            bad += handle(&r, at, BATCH);
            spent += clock_ns() - start;
            done += BATCH;
        }
    }
    printf("ok rate=%.0f bad=%zu rss=%ld\n", (double)done * 1e9 / (double)spent, bad, resident_kib());
    free(r.text);
    free(r.len);
}

int main(int argc, char **argv)
{
    char line[128];

    MUST(argc == 3);
    fixtures = fixtures_read(argv[1]);
    path = argv[2];
    while (fgets(line, sizeof line, stdin)) {
        unsigned long long n;
        unsigned times;

        if (sscanf(line, "fill %llu", &n) == 1 && n)
            printf("ok record=%zu\n", fill(n));
        else if (sscanf(line, "open %llu %u", &n, &times) == 2 && n && times < OPENED_MOST) {
            devices = n;
            first_nonce = NONCE_FIRST + times * NONCES;
            cold_start();
        } else if (sscanf(line, "join %llu", &n) == 1 && devices)
            join((unsigned)n);
        else
            printf("bad command\n");
        fflush(stdout);
    }
    ljs_server_free(server);
    ljs_store_free(store);
    return 0;
}
