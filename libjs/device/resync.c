/* A device that is ahead of its record: rekey.h. */
#include <lorajs/rekey.h>

#include "device/rekeying.h"
#include "keys/rekey.h"

enum { EPOCH_END = 0x10000 };

_Static_assert(EPOCHS_MAX >= LJS_SESSIONS_MAX + 1 + LJS_RESYNC_EPOCHS, "a place for each that is looked for");

static unsigned end_of(const struct rekeying *k)
{
    unsigned end = k->epoch + (unsigned)LJS_RESYNC_EPOCHS;

    return end < EPOCH_END ? end : EPOCH_END;
}

bool ljs__resync_needs(const struct record *r, uint16_t epoch)
{
    const struct rekeying *k = &r->rekey;

    return k->state == LJS_REKEY_RESYNC && epoch >= k->epoch && epoch < end_of(k);
}

static struct rekey what_of(const struct record *r, unsigned epoch)
{
    return (struct rekey){ .suite = (ljs_rekey_suite)r->rekey.suite,
                           .flags = r->rekey.flags,
                           .dev_eui = r->d.dev_eui,
                           .join_eui = r->rekey.join_eui,
                           .epoch = (uint16_t)epoch };
}

/* ---- the window opens ----------------------------------------------------------- */

static bool opts_ok(const ljs_resync_opts *o)
{
    if (o->struct_size != sizeof *o || !o->experimental || o->until <= o->now || o->until - o->now > LJS_RESYNC_MAX)
        return false;
    if (o->suite == LJS_REKEY_SUITE_1)
        return !(o->flags & ~(LJS_REKEY_APP_KEYS | LJS_REKEY_REKEY_KEY));
    return o->suite == LJS_REKEY_SUITE_4 && o->parent && !(o->flags & ~LJS_REKEY_APP_KEYS);
}

static struct rekeying window(const struct record *r, const ljs_resync_opts *o)
{
    struct rekeying k = { .state = LJS_REKEY_RESYNC,
                          .suite = (uint8_t)o->suite,
                          .flags = o->flags,
                          .epoch = o->first ? o->first : (uint16_t)(r->d.epoch + 1),
                          .floor = r->rekey.floor,
                          .join_eui = o->join_eui ? o->join_eui : ljs__rekey_stays(r),
                          .at = r->rekey.at,
                          .until = o->until,
                          .answer = -1 };

    if (k.join_eui != ljs__rekey_stays(r))
        k.flags |= LJS_REKEY_JOIN_EUI;
    if (o->suite == LJS_REKEY_SUITE_4)
        k.flags |= LJS_REKEY_APP_KEYS;
    return k;
}

static ljs_err may_open(const struct record *r, const ljs_resync_opts *o)
{
    if (r->d.moved)
        return LJS_E_MOVED;
    if (r->d.state == LJS_STATE_REMOVED || r->rekey.state)
        return LJS_E_STATE;
    if (o->suite == LJS_REKEY_SUITE_1 && !(r->d.keys & LJS_HAS_REKEY_KEY))
        return LJS_E_NOKEY;
    if (r->d.epoch == EPOCH_END - 1)
        return LJS_E_SPENT;
    return o->first && o->first <= r->d.epoch ? LJS_E_INVAL : LJS_OK;
}

/* Of suite 4 the parent is at hand now, and not at the join. */
static ljs_err seal_all(struct record *r, struct wr keep[LJS_RESYNC_EPOCHS], const ljs_vault *vault, struct ring *ring,
                        const ljs_resync_opts *o)
{
    struct rekeying *k = &r->rekey;
    ljs_err err = ljs_rekey_slot_mac(k->data, o->parent, o->serial, sizeof o->serial);

    k->data_len = 32;
    for (unsigned epoch = k->epoch; epoch < end_of(k) && !err; epoch++) {
        const struct rekey what = what_of(r, epoch);

        err = ljs__rekey_load(ring, vault, r, r->d.epoch);
        if (!err)
            err = ljs__rekey_slot(ring, o->parent, &what, o->serial);
        if (!err)
            err = ljs__record_seal(r, &keep[epoch - k->epoch], vault, ring, (uint16_t)epoch);
    }
    return err;
}

ljs_err ljs_rekey_resync(ljs_buf *out_record, ljs_vault *vault, const ljs_resync_opts *opts, const uint8_t *record,
                         size_t record_len)
{
    struct record r;
    struct ring *ring = NULL;
    struct wr keep[LJS_RESYNC_EPOCHS] = { { 0 } };
    ljs_err err = ljs__record_load(&r, vault, record, record_len);

    *out_record = (ljs_buf){ NULL, 0 };
    if (err)
        return err;
    if (!opts_ok(opts))
        return LJS_E_INVAL;
    if (r.rekey.state == LJS_REKEY_RESYNC) /* another one in its place */
        ljs__rekey_drop(&r);
    ljs__record_trim(&r);
    if ((err = may_open(&r, opts)))
        return err;
    r.rekey = window(&r, opts);
    if (!ljs__record_context(&r, r.rekey.join_eui) && r.d.join_euis == LJS_JOIN_EUIS_MAX)
        return LJS_E_INVAL;
    ljs__rekey_expect(&r, r.rekey.join_eui);
    if (opts->suite == LJS_REKEY_SUITE_4 && !(err = ljs__ring_take(&ring)))
        err = seal_all(&r, keep, vault, ring, opts);
    if (!err)
        err = ljs__record_save(out_record, &r, vault);
    ljs__ring_give(ring);
    for (unsigned i = 0; i < LJS_RESYNC_EPOCHS; i++)
        ljs__wr_drop(&keep[i]);
    return err;
}

/* ---- a join in it ---------------------------------------------------------------- */

bool ljs__resync_tries(const struct record *r, const ljs_frame *frame, const ljs_join_req *req)
{
    const struct rekeying *k = &r->rekey;

    return k->state == LJS_REKEY_RESYNC && req->resync && req->now && req->now < k->until &&
           frame->kind == LJS_FRAME_JOIN && frame->join_eui == k->join_eui;
}

/* Those of an epoch: derived anew, or as they were sealed when the window opened. */
static ljs_err keys_of(struct ring *ring, const ljs_vault *vault, const struct record *r, unsigned epoch)
{
    const struct rekey what = what_of(r, epoch);
    ljs_err err;

    if (what.suite == LJS_REKEY_SUITE_4)
        return ljs__rekey_load(ring, vault, r, what.epoch);
    err = ljs__rekey_load(ring, vault, r, r->d.epoch);
    if (!err)
        err = ljs__rekey_join_key(ring, &what);
    return err ? err : ljs__rekey_roots(ring, &what);
}

ljs_err ljs__resync_find(struct record *r, struct wr *keep, const ljs_vault *vault, struct ring *ring,
                         const uint8_t *phy, size_t phy_len)
{
    struct rekeying *k = &r->rekey;
    const unsigned end = end_of(k);
    unsigned epoch = k->epoch;
    ljs_err err = LJS_E_MIC;

    for (; epoch < end && err == LJS_E_MIC; epoch++)
        if (!(err = keys_of(ring, vault, r, epoch)))
            err = ljs__frame_check(ring, KEY_NWK, phy, phy_len);
    if (err)
        return err;
    k->epoch = (uint16_t)(epoch - 1);
    k->until = 0;
    err = ljs__rekey_kcv(ring, KEY_NWK, k->kcv);
    if (!err && k->suite != LJS_REKEY_SUITE_4)
        err = ljs__record_seal(r, keep, vault, ring, k->epoch);
    if (!err)
        ljs__rekey_commit(r);
    return err;
}
