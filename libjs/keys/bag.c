#include "keys/bag.h"

#include "base/cursor.h"
#include "keys/ring_inside.h"

#include <pthread.h>
#include <stdlib.h>

enum { CELLS = 64, /* bags of one guarded area: 23 KiB */ };

struct cell {
    uint8_t octets[BAG_KEYS][KEY_LEN];
    bool has[BAG_KEYS], used;
};

struct area {
    struct cell cell[CELLS];
    unsigned used;
    struct area *next;
};

struct bag {
    struct area *area;
    struct cell *cell;
    unsigned process;
};

/* Guarded areas are of no one bag, as idle rings are of no one step. */
static struct {
    pthread_mutex_t lock;
    struct area *areas;
} store = { PTHREAD_MUTEX_INITIALIZER, NULL };

static void before_fork(void)
{
    pthread_mutex_lock(&store.lock);
}

static void after_fork_parent(void)
{
    pthread_mutex_unlock(&store.lock);
}

static void after_fork_child(void)
{
    store.areas = NULL; /* memory locks are not inherited: the child makes areas of its own */
    pthread_mutex_unlock(&store.lock);
}

static ljs_err init_result;

static void init(void)
{
    init_result = ljs__init();
    if (!init_result && pthread_atfork(before_fork, after_fork_parent, after_fork_child))
        init_result = LJS_E_NOMEM;
}

static ljs_err take_cell(struct bag *bag)
{
    struct area *area = store.areas;

    while (area && area->used == CELLS)
        area = area->next;
    if (!area) {
        if (!(area = ljs__secret_alloc(sizeof *area)))
            return LJS_E_NOMEM;
        area->next = store.areas;
        store.areas = area;
    }
    for (size_t i = 0; !bag->cell; i++)
        if (!area->cell[i].used)
            bag->cell = &area->cell[i];
    bag->cell->used = true;
    bag->area = area;
    area->used++;
    return LJS_OK;
}

static void give_cell(struct bag *bag)
{
    struct area *area = bag->area;

    ljs__wipe(bag->cell, sizeof *bag->cell);
    if (--area->used)
        return;
    for (struct area **at = &store.areas; *at; at = &(*at)->next)
        if (*at == area) {
            *at = area->next;
            break;
        }
    ljs__secret_free(area);
}

ljs_err ljs__bag_new(struct bag **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct bag *bag;
    ljs_err err;

    *out = NULL;
    if (pthread_once(&once, init))
        return LJS_E_CRYPTO;
    if (init_result)
        return init_result;
    if (!(bag = calloc(1, sizeof *bag)))
        return LJS_E_NOMEM;
    bag->process = ljs__process();
    pthread_mutex_lock(&store.lock);
    err = take_cell(bag);
    pthread_mutex_unlock(&store.lock);
    if (err) {
        free(bag);
        return err;
    }
    *out = bag;
    return LJS_OK;
}

void ljs__bag_free(struct bag *bag)
{
    if (!bag)
        return;
    if (bag->process == ljs__process()) { /* in a child the areas, and their lock, are the parent's */
        pthread_mutex_lock(&store.lock);
        give_cell(bag);
        pthread_mutex_unlock(&store.lock);
    }
    free(bag);
}

static ljs_err check(const struct bag *bag, unsigned id)
{
    if (bag->process != ljs__process())
        return LJS_E_STATE;
    return id < BAG_KEYS ? LJS_OK : LJS_E_INVAL;
}

bool ljs__bag_has(const struct bag *bag, unsigned id)
{
    bool has;

    if (check(bag, id))
        return false;
    pthread_mutex_lock(&store.lock);
    has = bag->cell->has[id];
    pthread_mutex_unlock(&store.lock);
    return has;
}

static void put(struct bag *bag, unsigned id, const void *octets)
{
    pthread_mutex_lock(&store.lock);
    memcpy(bag->cell->octets[id], octets, KEY_LEN);
    bag->cell->has[id] = true;
    pthread_mutex_unlock(&store.lock);
}

ljs_err ljs__bag_load(struct bag *bag, unsigned id, const ljs_key *key)
{
    ljs_err err = check(bag, id);

    if (!err && key->process != ljs__process())
        err = LJS_E_STATE;
    if (!err && key->len != KEY_LEN)
        err = LJS_E_INVAL;
    if (!err)
        put(bag, id, key->octets);
    return err;
}

/* A ring with this key in KEY_WORK.  On error *out is NULL. */
static ljs_err lend(struct ring **out, const struct bag *bag, unsigned id)
{
    ljs_err err = check(bag, id);

    *out = NULL;
    if (!err)
        err = ljs__ring_take(out);
    if (err)
        return err;
    pthread_mutex_lock(&store.lock);
    if (bag->cell->has[id])
        slot_set(*out, KEY_WORK, bag->cell->octets[id], KEY_LEN);
    else
        err = LJS_E_NOKEY;
    pthread_mutex_unlock(&store.lock);
    if (err) {
        ljs__ring_give(*out);
        *out = NULL;
    }
    return err;
}

ljs_err ljs__bag_derive(struct bag *bag, unsigned to, unsigned from, const uint8_t in[16])
{
    struct ring *ring = NULL;
    ljs_err err = check(bag, to);

    if (!err)
        err = lend(&ring, bag, from);
    if (!err)
        err = ljs__encrypt(ring, KEY_WORK, ring->work.octets, in, BLOCK_LEN);
    if (!err)
        put(bag, to, ring->work.octets);
    ljs__ring_give(ring);
    return err;
}

ljs_err ljs__bag_encrypt(const struct bag *bag, unsigned id, uint8_t *out, const uint8_t *in, size_t in_len)
{
    struct ring *ring = NULL;
    ljs_err err = in_len % BLOCK_LEN ? LJS_E_INVAL : lend(&ring, bag, id);

    if (!err)
        err = ljs__encrypt(ring, KEY_WORK, out, in, in_len);
    ljs__ring_give(ring);
    return err;
}

ljs_err ljs__bag_cmac(const struct bag *bag, unsigned id, uint8_t out[16], const uint8_t *in, size_t in_len)
{
    struct ring *ring = NULL;
    ljs_err err = lend(&ring, bag, id);

    if (!err)
        err = ljs__cmac(ring, KEY_WORK, out, in, in_len);
    ljs__ring_give(ring);
    return err;
}
