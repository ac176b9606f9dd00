#include "keys/kept.h"

#include "keys/ring_inside.h"

#include "base/cursor.h"

#include <stdlib.h>

struct share {
    block octets[KEY_LEN_MAX / BLOCK_LEN];
};

struct kept {
    struct share *pad, *masked; /* KEPT_MAX of each */
    size_t len[KEPT_MAX];       /* 0: nothing there */
};

ljs_err ljs__kept_new(struct kept **out)
{
    ljs_err err = ljs__init();
    struct kept *kept;

    *out = NULL;
    if (err)
        return err;
    if (!(kept = calloc(1, sizeof *kept)))
        return LJS_E_NOMEM;
    kept->pad = ljs__secret_alloc(KEPT_MAX * sizeof *kept->pad);
    kept->masked = ljs__secret_alloc(KEPT_MAX * sizeof *kept->masked);
    if (!kept->pad || !kept->masked) {
        ljs__kept_free(kept);
        return LJS_E_NOMEM;
    }
    *out = kept;
    return LJS_OK;
}

void ljs__kept_free(struct kept *kept)
{
    if (!kept)
        return;
    ljs__secret_free(kept->pad);
    ljs__secret_free(kept->masked);
    free(kept);
}

static void mask(void *out, const void *in, const struct share *pad)
{
    for (size_t i = 0; i < COUNT(pad->octets); i++) {
        block b = block_get((const uint8_t *)in + i * BLOCK_LEN) ^ pad->octets[i];

        memcpy((uint8_t *)out + i * BLOCK_LEN, &b, sizeof b);
    }
}

void ljs__kept_put(struct kept *kept, unsigned place, const struct ring *ring, enum key_id id)
{
    const struct slot *slot = &ring->slot[id];

    assert(place < KEPT_MAX && slot->len);
    ljs__random(&kept->pad[place], sizeof kept->pad[place]); /* anew: no pad is used twice */
    mask(&kept->masked[place], slot->octets, &kept->pad[place]);
    kept->len[place] = slot->len;
}

void ljs__kept_get(struct ring *ring, enum key_id id, const struct kept *kept, unsigned place)
{
    struct slot *slot = slot_to_write(ring, id);

    assert(place < KEPT_MAX && kept->len[place]);
    mask(slot->octets, &kept->masked[place], &kept->pad[place]);
    slot->len = kept->len[place];
}

void ljs__kept_drop(struct kept *kept, unsigned place)
{
    assert(place < KEPT_MAX);
    ljs__wipe(&kept->pad[place], sizeof kept->pad[place]);
    ljs__wipe(&kept->masked[place], sizeof kept->masked[place]);
    kept->len[place] = 0;
}
