/* explore.c -- every state that device, air, network server and Join Server can reach together
 * within a bound, breadth first, and the laws that hold in all of them.  See docs/model.md.
 *
 *   model_explore [--wide | --long] [SCENARIO...]
 *   model_explore --names */
#include "rekey.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum length { SMALL, WIDE, LONG, LENGTHS };

struct plan {
    struct scenario is;
    struct bound {
        uint8_t left[BUDGETS]; /* requests, uplinks, starts, wishes, mishaps */
        unsigned heal_every;   /* heal from every node whose digest modulo this is 0 */
    } bound[LENGTHS];
};

static const struct plan plans[] = {
    { { "1.1", "a 1.1 device and a 1.1 network", LJS_MAC_1_1, LJS_MAC_1_1, 0x80, true, true, false, 0 },
      { { { 2, 2, 1, 1, 1 }, 32 }, { { 3, 2, 1, 1, 1 }, 64 }, { { 3, 2, 1, 1, 2 }, 128 } } },
    { { "1.1-rejoins", "a 1.1 device that rejoins much", LJS_MAC_1_1, LJS_MAC_1_1, 0x80, true, true, false, 0 },
      { { { 4, 2, 2, 0, 0 }, 32 }, { { 4, 2, 2, 1, 0 }, 64 }, { { 4, 3, 2, 1, 0 }, 256 } } },
    { { "1.1-on-1.0", "a 1.1 device on a 1.0 network", LJS_MAC_1_1, LJS_MAC_1_0_3, 0x00, false, true, true, 0 },
      { { { 2, 2, 2, 0, 2 }, 16 }, { { 3, 2, 3, 0, 2 }, 32 }, { { 3, 3, 3, 0, 3 }, 32 } } },
    { { "1.0.4", "a 1.0.4 device", LJS_MAC_1_0_4, LJS_MAC_1_0_4, 0x00, false, true, false, 0 },
      { { { 2, 2, 2, 0, 2 }, 8 }, { { 3, 2, 3, 0, 2 }, 8 }, { { 3, 3, 3, 0, 3 }, 32 } } },
    { { "1.0.3", "a 1.0.3 device that had twelve DevNonces before it was imported", LJS_MAC_1_0_3, LJS_MAC_1_0_3, 0x00,
        false, false, false, 12 },
      { { { 2, 2, 2, 0, 2 }, 8 }, { { 3, 2, 3, 0, 2 }, 8 }, { { 3, 3, 3, 0, 3 }, 32 } } },
};

/* A state that was reached, and from where. */
struct visit {
    uint8_t digest[16];
    uint32_t from;
    struct event by;
};

static struct {
    struct visit *visit; /* in the order of finding */
    size_t len, room;
    uint32_t *slot; /* open addressing; index + 1 */
    size_t slots;
} known;

static void *grown(void *at, size_t size)
{
    void *more = realloc(at, size);

    if (!more)
        abort();
    return more;
}

static uint64_t number_of(const uint8_t digest[16])
{
    uint64_t v;

    memcpy(&v, digest, sizeof v);
    return v;
}

static void place(size_t i)
{
    size_t at = number_of(known.visit[i].digest) & (known.slots - 1);

    while (known.slot[at])
        at = (at + 1) & (known.slots - 1);
    known.slot[at] = (uint32_t)i + 1;
}

/* Note it; false when it was there. */
static bool discover(const uint8_t digest[16], size_t from, const struct event *by)
{
    if (2 * known.len >= known.slots) {
        known.slots = known.slots ? 2 * known.slots : 1 << 12;
        free(known.slot);
        if (!(known.slot = calloc(known.slots, sizeof *known.slot)))
            abort();
        for (size_t i = 0; i < known.len; i++)
            place(i);
    }
    for (size_t at = number_of(digest) & (known.slots - 1); known.slot[at]; at = (at + 1) & (known.slots - 1))
        if (!memcmp(known.visit[known.slot[at] - 1].digest, digest, 16))
            return false;
    if (known.len == known.room) {
        known.room = known.room ? 2 * known.room : 1 << 12;
        known.visit = grown(known.visit, known.room * sizeof *known.visit);
    }
    known.visit[known.len].from = (uint32_t)from;
    known.visit[known.len].by = *by;
    memcpy(known.visit[known.len].digest, digest, 16);
    place(known.len++);
    return true;
}

static void forget(void)
{
    free(known.visit);
    free(known.slot);
    memset(&known, 0, sizeof known);
}

/* The way from the start to a state, and the event after it, told while it is walked again. */
static void tell(size_t to, const struct event *last)
{
    struct event path[256];
    char text[256];
    size_t len = 0;
    struct node n;

    if (last)
        path[len++] = *last;
    for (size_t at = to; at && len < 256; at = known.visit[at].from)
        path[len++] = known.visit[at].by;
    broken = -1; /* the world goes no further than a broken law */
    node_first(&n);
    while (len--) {
        event_text(text, sizeof text, &n, &path[len]);
        printf("    %s\n", text);
        (void)event_apply(&n, &path[len]);
        node_text(text, sizeof text, &n);
        printf("        %s\n", text);
    }
    node_drop(&n);
}

/* The states of one depth, as short as they come. */
struct layer {
    void **node;
    size_t *index;
    size_t len, room;
};

/* Takes what the node holds. */
static void push(struct layer *l, const struct node *n, size_t index)
{
    if (l->len == l->room) {
        l->room = l->room ? 2 * l->room : 64;
        l->node = grown(l->node, l->room * sizeof *l->node);
        l->index = grown(l->index, l->room * sizeof *l->index);
    }
    l->node[l->len] = node_pack(n);
    l->index[l->len++] = index;
}

static uint64_t all_states, all_transitions, all_healed;

static bool explore(const struct plan *plan, enum length length)
{
    static const struct event none = { DO_NONE, 0, 0, 0, 0 };
    const uint8_t *left = plan->bound[length].left;
    const unsigned every = plan->bound[length].heal_every;
    struct layer now = { NULL, NULL, 0, 0 }, next = now;
    uint64_t transitions = 0, healed = 0;
    unsigned depth = 0;
    struct timespec begin, end;
    struct node n, from, healing;
    uint8_t digest[16];

    clock_gettime(CLOCK_MONOTONIC, &begin);
    world_begin(&plan->is, left);
    printf("%s: %s\n  bound: %d frames in flight; %u requests, %u uplinks, %u starts, %u wishes, %u mishaps; healed "
           "from one state in %u\n",
           plan->is.name, plan->is.says, AIR_MAX, left[REQUESTS], left[UPLINKS], left[STARTS], left[WISHES],
           left[MISHAPS], every);
    node_first(&n);
    node_digest(digest, &n);
    (void)discover(digest, 0, &none);
    push(&now, &n, 0);
    node_copy(&healing, &n);
    node_heal(&healing);
    node_drop(&healing);
    healed++;
    if (broken >= 0) {
        printf("  law broken: %s: %s\n    at once, without a mishap\n", laws[broken].name, laws[broken].says);
        return false;
    }
    for (; now.len; depth++) {
        for (size_t i = 0; i < now.len; i++) {
            struct event e;

            node_unpack(&from, now.node[i]);
            for (unsigned k = 0; event_nth(&e, &from, k); k++) {
                bool fresh;

                node_copy(&n, &from);
                if (!event_apply(&n, &e)) {
                    node_drop(&n);
                    continue;
                }
                transitions++;
                if (broken >= 0) {
                    printf("  law broken: %s: %s\n", laws[broken].name, laws[broken].says);
                    tell(now.index[i], &e);
                    return false;
                }
                node_digest(digest, &n);
                fresh = discover(digest, now.index[i], &e);
                if (fresh && number_of(digest) / 4096 % every == 0) {
                    node_copy(&healing, &n);
                    node_heal(&healing);
                    node_drop(&healing);
                    healed++;
                    if (broken >= 0) {
                        printf("  law broken: %s: %s\n", laws[broken].name, laws[broken].says);
                        tell(known.len - 1, NULL);
                        return false;
                    }
                }
                if (fresh)
                    push(&next, &n, known.len - 1);
                else
                    node_drop(&n);
            }
            node_drop(&from);
        }
        struct layer done = now;

        now = next;
        next = done;
        next.len = 0;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("  %zu states, %llu transitions, depth %u; healed from %llu; %.1f s\n", known.len,
           (unsigned long long)transitions, depth, (unsigned long long)healed,
           (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
    all_states += known.len;
    all_transitions += transitions;
    all_healed += healed;
    free(now.node);
    free(now.index);
    free(next.node);
    free(next.index);
    world_end();
    forget();
    return true;
}

/* Of every scenario, a line each. */
static int names(void)
{
    for (size_t p = 0; p < sizeof plans / sizeof plans[0]; p++)
        puts(plans[p].is.name);
    for (unsigned p = 0; rekey_plan(p); p++)
        puts(rekey_plan(p));
    return 0;
}

int main(int argc, char **argv)
{
    enum length length = SMALL;
    bool named = false;
    unsigned passed = 0, failed = 0;

    if (argc == 2 && !strcmp(argv[1], "--names"))
        return names();
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        length = !strcmp(argv[i], "--wide") ? WIDE : !strcmp(argv[i], "--long") ? LONG : length;
        named |= argv[i][0] != '-';
    }
    for (size_t p = 0; p < sizeof plans / sizeof plans[0] && !failed; p++) {
        bool wanted = !named;

        for (int i = 1; i < argc; i++)
            wanted |= !strcmp(argv[i], plans[p].is.name);
        if (wanted)
            failed += !explore(&plans[p], length);
    }
    for (unsigned p = 0; rekey_plan(p) && !failed; p++) {
        bool wanted = !named;

        for (int i = 1; i < argc; i++)
            wanted |= !strcmp(argv[i], rekey_plan(p));
        if (wanted)
            failed += !rekey_explore(p, length != SMALL);
    }
    if (!failed) {
        printf("%llu states, %llu transitions, healed from %llu\n", (unsigned long long)all_states,
               (unsigned long long)all_transitions, (unsigned long long)all_healed);
        for (size_t i = 0; i < LAWS_LEN; i++) {
            printf("  %-12s %10llu  %s\n", laws[i].name, (unsigned long long)laws[i].asked, laws[i].says);
            passed += laws[i].asked > 0;
        }
        passed += rekey_laws_asked();
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed ? 1 : 0;
}
