/* The root keys of a record, and what tells them again. */
#include "device/record.h"

#include "keys/lot.h"

#include <string.h>

static const enum key_id root_ids[] = { KEY_NWK, KEY_APP, KEY_GEN_APP, KEY_REKEY };
static const enum key_role root_roles[] = { ROLE_NWK, ROLE_APP, ROLE_GEN_APP, ROLE_REKEY };
static const uint8_t root_has[] = { LJS_HAS_NWK_KEY, LJS_HAS_APP_KEY, LJS_HAS_GEN_APP_KEY, LJS_HAS_REKEY_KEY };

enum { OWNER_LEN = 10 };

/* Sealed keys are bound to their device and epoch, so that none can stand for another. */
static void owner(uint8_t out[OWNER_LEN], ljs_eui dev_eui, uint16_t epoch)
{
    dev_eui = le64(dev_eui);
    memcpy(out, &dev_eui, sizeof dev_eui);
    out[8] = (uint8_t)epoch;
    out[9] = (uint8_t)(epoch >> 8);
}

bool ljs__record_lot(char lot[LJS_LABEL_MAX], const struct key_set *set)
{
    if (!set->len || set->at[0] != LOT_FORMAT)
        return false;
    if (lot) { /* which was measured when it was read */
        memcpy(lot, set->at + 1, set->len - 1);
        lot[set->len - 1] = 0;
    }
    return true;
}

ljs_err ljs__record_lot_keys(struct ring *ring, const ljs_vault *vault, const char *lot, uint8_t keys, ljs_eui dev_eui)
{
    enum key_id ids[COUNT(root_ids)];
    enum key_role roles[COUNT(root_ids)];
    size_t n = 0;

    for (size_t i = 0; i < COUNT(root_ids); i++) {
        ljs__ring_drop(ring, root_ids[i]);
        if (keys & root_has[i]) {
            ids[n] = root_ids[i];
            roles[n++] = root_roles[i];
        }
    }
    return ljs__lot_keys(ring, vault, lot, ids, roles, n, dev_eui);
}

static ljs_err open_set(struct ring *ring, const ljs_vault *vault, const struct record *r, const struct key_set *set)
{
    uint8_t ad[OWNER_LEN];
    char lot[LJS_LABEL_MAX];

    if (ljs__record_lot(lot, set))
        return ljs__record_lot_keys(ring, vault, lot, set->keys, r->d.dev_eui);
    owner(ad, r->d.dev_eui, set->epoch);
    return ljs__vault_open(vault, ring, root_ids, root_roles, COUNT(root_ids), ad, sizeof ad, set->at, set->len);
}

bool ljs__record_keyless(const struct record *r)
{
    return !r->sets && !r->has_print && !r->d.epoch && !r->d.sessions;
}

ljs_err ljs__record_keys(struct ring *ring, const ljs_vault *vault, const struct record *r, uint16_t epoch)
{
    ljs_err err = ljs__record_keyless(r) ? LJS_E_NOKEY : LJS_E_SEAL;

    for (unsigned i = 0; i < r->sets; i++)
        if (r->set[i].epoch == epoch)
            err = open_set(ring, vault, r, &r->set[i]);
    return err;
}

/* The place of an epoch, a new one where it has none; NULL: there is no room. */
static struct key_set *set_for(struct record *r, uint16_t epoch)
{
    for (unsigned i = 0; i < r->sets; i++)
        if (r->set[i].epoch == epoch)
            return &r->set[i];
    return r->sets == EPOCHS_MAX ? NULL : &r->set[r->sets++];
}

ljs_err ljs__record_refer(struct record *r, struct wr *keep, uint8_t keys, uint16_t epoch)
{
    struct key_set *set = set_for(r, epoch);

    if (!set)
        return LJS_E_INVAL;
    ljs__wr_le(keep, LOT_FORMAT, 1);
    ljs__wr(keep, r->d.lot, strlen(r->d.lot));
    if (keep->bad)
        return LJS_E_NOMEM;
    *set = (struct key_set){ .epoch = epoch, .keys = keys, .at = keep->data, .len = (uint16_t)keep->len };
    return LJS_OK;
}

ljs_err ljs__record_seal(struct record *r, struct wr *keep, const ljs_vault *vault, struct ring *ring, uint16_t epoch)
{
    struct key_set *set = set_for(r, epoch);
    uint8_t ad[OWNER_LEN], keys = 0;
    ljs_err err;

    if (!set)
        return LJS_E_INVAL;
    owner(ad, r->d.dev_eui, epoch);
    err = ljs__vault_seal(keep, vault, ring, root_ids, root_roles, COUNT(root_ids), ad, sizeof ad);
    if (err)
        return err;
    if (keep->bad)
        return LJS_E_NOMEM;
    for (size_t i = 0; i < COUNT(root_ids); i++)
        if (ljs__ring_has(ring, root_ids[i]))
            keys |= root_has[i];
    *set = (struct key_set){ .epoch = epoch, .keys = keys, .at = keep->data, .len = (uint16_t)keep->len };
    return LJS_OK;
}

ljs_err ljs__record_rewrap(bool *changed, struct record *r, struct wr keep[EPOCHS_MAX], const ljs_vault *vault,
                           struct ring *ring)
{
    ljs_err err = LJS_OK;

    *changed = false;
    for (unsigned i = 0; !err && i < r->sets; i++) {
        if (ljs__record_lot(NULL, &r->set[i])) /* the lot's key is a value of its own */
            continue;
        err = ljs__record_keys(ring, vault, r, r->set[i].epoch);
        if (err || ljs__vault_sealed_now(vault, r->set[i].at, r->set[i].len))
            continue;
        *changed = true;
        err = ljs__record_seal(r, &keep[i], vault, ring, r->set[i].epoch);
    }
    return err;
}

ljs_err ljs__record_print(uint8_t out[16], const ljs_vault *vault, struct ring *ring)
{
    return ljs__vault_fingerprint(out, vault, ring, root_ids, root_roles, COUNT(root_ids));
}

ljs_err ljs__record_root_print(uint8_t out[16], const ljs_vault *vault, struct ring *ring)
{
    const enum key_id root[] = { ljs__ring_has(ring, KEY_NWK) ? KEY_NWK : KEY_APP };
    static const enum key_role role[] = { ROLE_NWK };

    return ljs__vault_fingerprint(out, vault, ring, root, role, COUNT(root));
}

_Static_assert(COUNT(root_ids) == ROOT_KEYS, "each root key");

ljs_err ljs__record_each_print(uint8_t out[ROOT_KEYS][16], const ljs_vault *vault, struct ring *ring)
{
    static const enum key_role role[] = { ROLE_NWK }; /* one for all: a key that changes places is the same */
    ljs_err err = LJS_OK;

    memset(out, 0, (size_t)ROOT_KEYS * 16);
    for (size_t i = 0; !err && i < COUNT(root_ids); i++)
        if (ljs__ring_has(ring, root_ids[i]))
            err = ljs__vault_fingerprint(out[i], vault, ring, &root_ids[i], role, COUNT(role));
    return err;
}
