#include "worker.h"

#include "allocations.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    THREADS_MOST = 8,
    PART = 64, /* joins between two looks at the clock: short beside what a scheduler gives in one go */
    PARTS_MOST = 1 << 20,
};

const struct fixtures *fixtures;
size_t joins = JOINS;

_Noreturn void must_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    exit(1);
}

uint64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t random_number(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15u;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* ---- by the clock ----------------------------------------------------------- */

struct run {
    const struct work *work;
    pthread_barrier_t *start;
    size_t first, last;
    uint64_t nanoseconds; /* to run */
    double per_join;      /* out: the median of the parts */
    pthread_t thread;
};

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void *passes(void *user)
{
    struct run *run = user;
    const struct work *work = run->work;
    uint64_t *took = malloc(PARTS_MOST * sizeof *took), end, now;
    double sum = 0;
    size_t n = 0;

    MUST(took);
    if (run->start)
        pthread_barrier_wait(run->start);
    end = clock_ns() + run->nanoseconds;
    do {
        if (work->before)
            work->before(work->which, run->first, run->last);
        now = clock_ns();
        for (size_t at = run->first; at < run->last && n < PARTS_MOST; at += PART) {
            uint64_t start = now;

            work->pass(work->which, at, at + PART);
            now = clock_ns();
            took[n++] = now - start;
            sum += (double)(now - start);
        }
    } while (now < end && n < PARTS_MOST);
    qsort(took, n, sizeof *took, by_size);
    run->per_join = (work->mean ? sum / (double)n : (double)took[n / 2]) / PART;
    free(took);
    return NULL;
}

/* The n-th of those that may be used. */
static int processor(unsigned n)
{
    const char *list = getenv("BENCH_PROCESSORS");
    char *end;
    long found = (long)n;

    for (unsigned i = 0; list && i <= n; i++, list = end) {
        found = strtol(list, &end, 10);
        MUST(end != list);
    }
    return (int)found;
}

/* Each thread on a processor of its own and with devices of its own. */
static double timed(const struct work *work, unsigned ms, unsigned threads)
{
    struct run runs[THREADS_MOST];
    pthread_barrier_t start;
    pthread_attr_t attr;
    cpu_set_t one;
    double rate = 0;

    if (threads == 1) {
        runs[0] = (struct run){ .work = work, .last = joins, .nanoseconds = ms * 1000000ull };
        passes(&runs[0]);
        return runs[0].per_join;
    }
    MUST(!pthread_barrier_init(&start, NULL, threads));
    for (unsigned i = 0; i < threads; i++) {
        runs[i] = (struct run){ .work = work,
                                .start = &start,
                                .first = joins * i / threads,
                                .last = joins * (i + 1) / threads,
                                .nanoseconds = ms * 1000000ull };
        CPU_ZERO(&one);
        CPU_SET(processor(i), &one);
        MUST(!pthread_attr_init(&attr) && !pthread_attr_setaffinity_np(&attr, sizeof one, &one) &&
             !pthread_create(&runs[i].thread, &attr, passes, &runs[i]));
        pthread_attr_destroy(&attr);
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(runs[i].thread, NULL);
        rate += 1 / runs[i].per_join;
    }
    pthread_barrier_destroy(&start);
    return 1 / rate;
}

/* ---- many threads, on as many processors as there are ------------------------ */

struct team {
    const struct work *work;
    pthread_barrier_t begin, end;
    uint64_t until, *took; /* of a round, all of them at work */
    size_t rounds;
    bool over;
    struct member {
        struct team *team;
        pthread_t thread;
        size_t first, last;
        uint64_t started, ended;
        bool leads;
    } member[THREADS_MOST];
    unsigned len;
};

static void count_round(struct team *team)
{
    uint64_t started = UINT64_MAX, ended = 0;

    for (unsigned i = 0; i < team->len; i++) {
        started = team->member[i].started < started ? team->member[i].started : started;
        ended = team->member[i].ended > ended ? team->member[i].ended : ended;
    }
    team->took[team->rounds++] = ended - started;
    team->over = ended >= team->until || team->rounds == PARTS_MOST;
}

static void *rounds(void *user)
{
    struct member *me = user;
    struct team *team = me->team;
    const struct work *work = team->work;

    while (!team->over) {
        if (work->before)
            work->before(work->which, me->first, me->last);
        pthread_barrier_wait(&team->begin);
        me->started = clock_ns();
        work->pass(work->which, me->first, me->last);
        me->ended = clock_ns();
        pthread_barrier_wait(&team->end);
        if (me->leads)
            count_round(team);
        pthread_barrier_wait(&team->end);
    }
    return NULL;
}

static unsigned processors(void)
{
    const char *list = getenv("BENCH_PROCESSORS");
    unsigned n = 0;

    for (const char *at = list; at && *at; at++)
        n += *at != ' ' && (at == list || at[-1] == ' ');
    return n ? n : 1;
}

static double together(const struct work *work, unsigned ms, unsigned threads)
{
    struct team *team = calloc(1, sizeof *team);
    pthread_attr_t attr;
    cpu_set_t one;
    double per_join;

    MUST(team && (team->took = malloc(PARTS_MOST * sizeof *team->took)));
    team->work = work;
    team->len = threads;
    team->until = clock_ns() + ms * 1000000ull;
    MUST(!pthread_barrier_init(&team->begin, NULL, threads) && !pthread_barrier_init(&team->end, NULL, threads));
    for (unsigned i = 0; i < threads; i++) {
        struct member *m = &team->member[i];

        *m = (struct member){
            .team = team, .first = joins * i / threads, .last = joins * (i + 1) / threads, .leads = i == 0
        };
        CPU_ZERO(&one);
        CPU_SET(processor(i % processors()), &one);
        MUST(!pthread_attr_init(&attr) && !pthread_attr_setaffinity_np(&attr, sizeof one, &one) &&
             !pthread_create(&m->thread, &attr, rounds, m));
        pthread_attr_destroy(&attr);
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(team->member[i].thread, NULL);
    qsort(team->took, team->rounds, sizeof *team->took, by_size);
    per_join = (double)team->took[team->rounds / 2] / (double)joins;
    pthread_barrier_destroy(&team->begin);
    pthread_barrier_destroy(&team->end);
    free(team->took);
    free(team);
    return per_join;
}

/* A name to be found by who counts instructions: not melted into its caller, nor left before its end. */
__attribute__((noinline)) void bench_counted(const struct work *work)
{
    work->pass(work->which, 0, joins);
    __asm__ volatile("" ::: "memory");
}

static unsigned long allocations(const struct work *work)
{
    unsigned long before, n;

    for (int again = 0; again < 2; again++) { /* the first warms pools up */
        if (work->before)
            work->before(work->which, 0, joins);
        before = allocations_so_far();
        work->pass(work->which, 0, joins);
        n = allocations_so_far() - before;
    }
    return n;
}

/* ---- lines ------------------------------------------------------------------ */

static void check(const struct work *work)
{
    size_t i = 0;

    if (work->before)
        work->before(work->which, 0, joins);
    while (i < joins && work->check(work->which, &fixtures->join[i], i))
        i++;
    if (i == joins)
        printf("ok %zu\n", joins);
    else
        printf("bad fixture %zu is not reproduced\n", i);
}

static void obey(const char *line, const struct work *works, size_t works_len, bool *begun)
{
    char verb[16] = "", name[32] = "";
    unsigned a = 0, b = 0;
    size_t i = 0;

    sscanf(line, "%15s %31s %u %u", verb, name, &a, &b);
    if (!strcmp(verb, "list")) {
        printf("ok");
        for (i = 0; i < works_len; i++)
            printf(" %s", works[i].name);
        printf("\n");
        return;
    }
    while (i < works_len && strcmp(works[i].name, name) != 0)
        i++;
    if (i == works_len) {
        printf("bad no work of that name\n");
        return;
    }
    if (!begun[i] && works[i].begin && !works[i].begin(works[i].which)) {
        printf("bad cannot be run here\n");
        return;
    }
    begun[i] = true;
    if (!strcmp(verb, "check")) {
        check(&works[i]);
    } else if (!strcmp(verb, "time") && a && b && b <= THREADS_MOST) {
        printf("ok %.3f\n", timed(&works[i], a, b));
    } else if (!strcmp(verb, "together") && a && b && b <= THREADS_MOST) {
        printf("ok %.3f\n", together(&works[i], a, b));
    } else if (!strcmp(verb, "count")) {
        for (unsigned n = 0; n < a; n++) {
            if (works[i].before)
                works[i].before(works[i].which, 0, joins);
            bench_counted(&works[i]);
        }
        printf("ok %zu\n", a * joins);
    } else if (!strcmp(verb, "allocations")) {
        printf("ok %lu\n", allocations(&works[i]));
    } else {
        printf("bad command\n");
    }
}

int worker(int argc, char **argv, const struct work *works, size_t works_len)
{
    bool begun[64] = { false };
    char line[128];

    MUST((argc == 2 || argc == 3) && works_len <= sizeof begun / sizeof *begun);
    fixtures = fixtures_read(argv[1]);
    if (argc == 3)
        joins = strtoul(argv[2], NULL, 10);
    MUST(joins && joins <= JOINS && joins % PART == 0);
    while (fgets(line, sizeof line, stdin)) {
        obey(line, works, works_len, begun);
        fflush(stdout);
    }
    return 0;
}
