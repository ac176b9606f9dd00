/* How often somebody may try a token: buckets that fill again, looked at before anything is hashed.
 *
 * A bucket is one number, the time at which it will be full again: a try puts that off by the seconds that one more
 * takes, and is refused where it would be further away than all of the bucket's tries take together. */
#include "server/claim.h"

#include "base/secret.h"

#include <stdlib.h>

enum { CLIENTS = 1024, PLACES = 8192, WAYS = 8, SET_BACK = 60 /* seconds, else it is another thread's now */ };

struct bucket {
    int64_t full; /* when */
};

/* Failed tries of a client, or of all at a device (`client` is then ""), or of a client at a device. */
struct place {
    struct bucket bucket;
    ljs_eui dev_eui;
    char client[LJS_ACCOUNT_MAX];
};

struct claim_limit {
    uint64_t seed; /* so that nobody chooses who shares a set with whom */
    int64_t latest;
    struct bucket all;
    struct place client[CLIENTS];
    struct place device[PLACES / WAYS][WAYS];
};

void ljs__claim_limit_init(ljs_server *server)
{
    pthread_mutex_init(&server->claims.lock, NULL);
}

void ljs__claim_limit_free(ljs_server *server)
{
    free(server->claims.limit);
    pthread_mutex_destroy(&server->claims.lock);
}

static bool has(const struct bucket *b, int64_t now, int64_t tries, int64_t seconds)
{
    return b->full - now <= (tries - 1) * seconds;
}

static void take(struct bucket *b, int64_t now, int64_t seconds)
{
    b->full = (b->full > now ? b->full : now) + seconds;
}

static void give(struct bucket *b, int64_t seconds)
{
    b->full -= seconds;
}

/* A client has a place of its own as long as its bucket is not full, whatever others do; NULL where there is none. */
static struct place *client_place(struct claim_limit *l, int64_t now, const char *client)
{
    struct place *free_place = NULL;

    for (size_t i = 0; i < CLIENTS; i++) {
        struct place *p = &l->client[i];

        if (strcmp(p->client, client) == 0 && p->bucket.full > now)
            return p;
        if (!free_place && p->bucket.full <= now)
            free_place = p;
    }
    if (free_place) {
        *free_place = (struct place){ .dev_eui = 0 };
        memcpy(free_place->client, client, strlen(client) + 1);
    }
    return free_place;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

/* Where there is no place left in its set, that of the bucket that is full soonest: who fills sets with tries has spent
 * his own bucket long before. */
static struct place *device_place(struct claim_limit *l, const char *client, ljs_eui dev_eui)
{
    uint64_t h = mix(l->seed, dev_eui);
    struct place *set, *worst;

    for (const char *at = client; *at; at++)
        h = mix(h, (uint8_t)*at);
    set = l->device[h % (PLACES / WAYS)];
    worst = set;
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].dev_eui == dev_eui && strcmp(set[i].client, client) == 0)
            return &set[i];
        if (set[i].bucket.full < worst->bucket.full)
            worst = &set[i];
    }
    *worst = (struct place){ .dev_eui = dev_eui };
    memcpy(worst->client, client, strlen(client) + 1);
    return worst;
}

/* Whose name is "" has one that no credential can have: "" stands for all of them at a device. */
static const char *name_of(const char *client)
{
    return *client ? client : "?";
}

/* A clock that was set back takes the buckets with it: nothing is forgiven, and nobody waits until it is as late again.
 */
static void follow_clock(struct claim_limit *l, int64_t now)
{
    int64_t back = l->latest - now;

    if (back > 0 && back < SET_BACK)
        return;
    l->latest = now;
    if (back <= 0)
        return;
    l->all.full -= back;
    for (size_t i = 0; i < CLIENTS; i++)
        l->client[i].bucket.full -= back;
    for (size_t i = 0; i < PLACES; i++)
        l->device[i / WAYS][i % WAYS].bucket.full -= back;
}

static ljs_err take_try(struct claim_limit *l, int64_t now, const char *client, bool proven, ljs_eui dev_eui)
{
    struct place *own, *at, *all_at;

    follow_clock(l, now);
    own = client_place(l, now, client);
    if (!own || !has(&own->bucket, now, LJS_CLAIM_CLIENT_TRIES, LJS_CLAIM_CLIENT_SECONDS))
        return LJS_E_LIMIT;
    at = device_place(l, client, dev_eui);
    if (!has(&at->bucket, now, LJS_CLAIM_DEVICE_TRIES, LJS_CLAIM_DEVICE_SECONDS))
        return LJS_E_LIMIT;
    if (!proven) {
        all_at = device_place(l, "", dev_eui);
        if (!has(&all_at->bucket, now, LJS_CLAIM_NEW_TRIES, LJS_CLAIM_DEVICE_SECONDS) ||
            !has(&l->all, now, LJS_CLAIM_ALL_TRIES, LJS_CLAIM_ALL_SECONDS))
            return LJS_E_LIMIT;
        take(&all_at->bucket, now, LJS_CLAIM_DEVICE_SECONDS);
        take(&l->all, now, LJS_CLAIM_ALL_SECONDS);
        at = device_place(l, client, dev_eui); /* it may have been in the way of the other */
    }
    take(&at->bucket, now, LJS_CLAIM_DEVICE_SECONDS);
    take(&own->bucket, now, LJS_CLAIM_CLIENT_SECONDS);
    return LJS_OK;
}

ljs_err ljs__claim_try(ljs_server *server, int64_t now, const char *client, bool proven, ljs_eui dev_eui)
{
    struct claim_limit *l;
    ljs_err err;

    pthread_mutex_lock(&server->claims.lock);
    if (!server->claims.limit && (server->claims.limit = calloc(1, sizeof *l)))
        ljs__random(&server->claims.limit->seed, sizeof server->claims.limit->seed);
    l = server->claims.limit;
    err = l ? take_try(l, now, name_of(client), proven, dev_eui) : LJS_E_NOMEM;
    pthread_mutex_unlock(&server->claims.lock);
    return err;
}

void ljs__claim_good(ljs_server *server, const char *client, bool proven, ljs_eui dev_eui)
{
    struct claim_limit *l;

    pthread_mutex_lock(&server->claims.lock);
    l = server->claims.limit;
    for (size_t i = 0; i < CLIENTS; i++)
        if (strcmp(l->client[i].client, name_of(client)) == 0)
            give(&l->client[i].bucket, LJS_CLAIM_CLIENT_SECONDS);
    device_place(l, name_of(client), dev_eui)->bucket.full = 0;
    device_place(l, "", dev_eui)->bucket.full = 0;
    if (!proven)
        give(&l->all, LJS_CLAIM_ALL_SECONDS);
    pthread_mutex_unlock(&server->claims.lock);
}
