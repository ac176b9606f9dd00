#include "keys/bag.h"

#include "base/cursor.h"
#include "keys/cells.h"
#include "keys/ring_inside.h"

#include <stdlib.h>

struct cell {
    uint8_t octets[BAG_KEYS][KEY_LEN];
    bool has[BAG_KEYS];
};

struct bag {
    struct cell *cell;
    unsigned process;
};

ljs_err ljs__bag_new(struct bag **out)
{
    void *cell;
    struct bag *bag;
    ljs_err err = ljs__cell_take(&cell, CELL_BAG, sizeof(struct cell));

    *out = NULL;
    if (err)
        return err;
    if (!(bag = malloc(sizeof *bag))) {
        ljs__cell_give(CELL_BAG, cell);
        return LJS_E_NOMEM;
    }
    *bag = (struct bag){ cell, ljs__process() };
    *out = bag;
    return LJS_OK;
}

void ljs__bag_free(struct bag *bag)
{
    if (!bag)
        return;
    if (bag->process == ljs__process()) /* in a child the cell is the parent's */
        ljs__cell_give(CELL_BAG, bag->cell);
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
    ljs__cells_lock(CELL_BAG);
    has = bag->cell->has[id];
    ljs__cells_unlock(CELL_BAG);
    return has;
}

static void put(struct bag *bag, unsigned id, const void *octets)
{
    ljs__cells_lock(CELL_BAG);
    memcpy(bag->cell->octets[id], octets, KEY_LEN);
    bag->cell->has[id] = true;
    ljs__cells_unlock(CELL_BAG);
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
    ljs__cells_lock(CELL_BAG);
    if (bag->cell->has[id])
        slot_set(*out, KEY_WORK, bag->cell->octets[id], KEY_LEN);
    else
        err = LJS_E_NOKEY;
    ljs__cells_unlock(CELL_BAG);
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
