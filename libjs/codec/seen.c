#include "codec/seen.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 1024 }; /* a power of two, as each that follows */

static size_t place_of(const struct seen *set, const uint8_t *member)
{
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a, its high half folded into the low */

    for (size_t i = 0; i < set->width; i++)
        hash = (hash ^ member[i]) * 0x100000001b3;
    return (size_t)(hash ^ hash >> 32) & (set->room - 1);
}

/* Where it is, or where it would be. */
static uint8_t *slot_of(const struct seen *set, const uint8_t *member)
{
    for (size_t i = place_of(set, member);; i = (i + 1) & (set->room - 1)) {
        uint8_t *slot = set->slots + i * (set->width + 1);

        if (!*slot || !memcmp(slot + 1, member, set->width))
            return slot;
    }
}

bool ljs__seen_has(const struct seen *set, const uint8_t *member)
{
    return set->room && *slot_of(set, member);
}

static ljs_err grow(struct seen *set)
{
    const struct seen old = *set;
    size_t room = old.room ? 2 * old.room : FIRST_ROOM;
    uint8_t *slots = calloc(room, old.width + 1);

    if (!slots)
        return LJS_E_NOMEM;
    set->slots = slots;
    set->room = room;
    for (size_t i = 0; i < old.room; i++) {
        const uint8_t *slot = old.slots + i * (old.width + 1);

        if (*slot)
            memcpy(slot_of(set, slot + 1), slot, old.width + 1);
    }
    free(old.slots);
    return LJS_OK;
}

ljs_err ljs__seen_add(struct seen *set, const uint8_t *member)
{
    uint8_t *slot;
    ljs_err err = set->len >= set->room / 4 * 3 ? grow(set) : LJS_OK; /* never full, so that a search ends */

    if (err)
        return err;
    slot = slot_of(set, member);
    set->len += !*slot;
    *slot = 1;
    memcpy(slot + 1, member, set->width);
    return LJS_OK;
}

void ljs__seen_drop(struct seen *set)
{
    free(set->slots);
    *set = (struct seen){ .width = set->width };
}
