/* limit.c -- token buckets by client, in a table that does not grow. */
#include "limit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    SETS = 256,
    WAYS = 4,
    CLIENT_MOST = 10, /* failures at once; one more each second */
    ALL_MOST = 100,   /* likewise, twenty more */
    ALL_RATE = 20,
    GOOD_SECONDS = 600,
};

static const int64_t second = 1000000000;

/* What is left, in failures times a second; it fills by itself. */
struct bucket {
    int64_t left, at;
};

struct client {
    uint8_t from[16];
    bool used, good;
    int64_t seen, good_at;
    struct bucket bucket;
};

struct limit {
    uint64_t seed; /* so that nobody can choose who shares his set */
    struct bucket all;
    struct client client[SETS][WAYS];
};

struct limit *limit_new(void)
{
    struct limit *l = calloc(1, sizeof *l);

    if (l && getrandom(&l->seed, sizeof l->seed, 0) != sizeof l->seed)
        l->seed = (uint64_t)(uintptr_t)l;
    if (l)
        l->all.left = ALL_MOST * second;
    return l;
}

void limit_free(struct limit *limit)
{
    free(limit);
}

static void fill(struct bucket *b, int64_t now, int64_t most, int64_t rate)
{
    int64_t passed = now - b->at;

    if (passed > most * second)
        passed = most * second;
    b->left += passed * rate;
    if (b->left > most * second)
        b->left = most * second;
    b->at = now;
}

/* The client's place; when there is none, that of who was seen longest ago in his set. */
static struct client *place_of(struct limit *l, const uint8_t from[16], int64_t now)
{
    uint64_t hash = l->seed;
    struct client *set, *oldest;

    for (unsigned i = 0; i < 16; i++)
        hash = (hash ^ from[i]) * 0x100000001b3;
    hash ^= hash >> 29;
    set = l->client[hash % SETS];
    oldest = set;
    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].used && !memcmp(set[i].from, from, 16)) {
            set[i].seen = now;
            fill(&set[i].bucket, now, CLIENT_MOST, 1);
            return &set[i];
        }
        if (!set[i].used || (oldest->used && set[i].seen < oldest->seen))
            oldest = &set[i];
    }
    *oldest = (struct client){ .used = true, .seen = now, .bucket = { CLIENT_MOST * second, now } };
    memcpy(oldest->from, from, 16);
    return oldest;
}

enum limited limit_look(struct limit *l, const uint8_t from[16], int64_t now)
{
    struct client *c = place_of(l, from, now);

    fill(&l->all, now, ALL_MOST, ALL_RATE);
    if (c->bucket.left < second)
        return LIMIT_CLIENT;
    if (l->all.left < second && !(c->good && now - c->good_at < GOOD_SECONDS * second))
        return LIMIT_ALL;
    return LIMIT_NONE;
}

void limit_failed(struct limit *l, const uint8_t from[16], int64_t now)
{
    place_of(l, from, now)->bucket.left -= second;
    l->all.left -= second;
}

void limit_good(struct limit *l, const uint8_t from[16], int64_t now)
{
    struct client *c = place_of(l, from, now);

    c->good = true;
    c->good_at = now;
}
