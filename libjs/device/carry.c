#include "device/carry.h"

#include "device/rekeying.h"

/* Which keys go.  Those of a rekey to the other server's JoinEUI, with nothing else than that, and a JoinNonce
 * above any that may be given here still.  A device under another rekey would be lost to either. */
static ljs_err leave(uint16_t *epoch, struct record *r)
{
    uint16_t floor = ljs__rekey_floor(r);

    *epoch = r->d.epoch;
    if (r->rekey.state == LJS_REKEY_TRANSFER_OUT) {
        *epoch = r->rekey.epoch;
        r->d.next_join_nonce = r->rekey.join_nonce_end;
        r->d.join_euis = 1;
        r->d.join_eui = r->rekey.join_eui;
        r->context[0] = (struct context){ r->rekey.join_eui, -1, -1, { NULL, 0, -1 } };
    } else if (ljs__rekey_holds(r)) {
        return LJS_E_STATE;
    }
    /* Who never had a rekey has a parcel as before. */
    r->rekey = (struct rekeying){ .floor = r->rekey.floor || r->rekey.state ? floor : 0, .answer = -1 };
    return LJS_OK;
}

ljs_err ljs__device_carry(ljs_buf *out_record, ljs_vault *way, ljs_vault *vault, const uint8_t *record,
                          size_t record_len)
{
    struct record r;
    struct ring *ring = NULL;
    struct wr sealed = { 0 };
    uint16_t epoch;
    ljs_err err = ljs__record_load(&r, vault, record, record_len);

    *out_record = (ljs_buf){ NULL, 0 };
    if (err)
        return err;
    if (r.d.state == LJS_STATE_REMOVED)
        return LJS_E_STATE;
    if ((err = ljs__ring_take(&ring)))
        return err;
    if ((err = leave(&epoch, &r)) || (err = ljs__record_keys(ring, vault, &r, epoch)))
        goto out;
    r.d.state = LJS_STATE_FRESH;
    r.d.sessions = 0;
    r.d.epoch = 0;
    r.d.moved = 0;      /* from there: to here */
    r.d.generation = 0; /* of this store, and nothing to another */
    r.sets = 0;
    r.blocked = r.has_print = false;
    ljs__record_unask(&r);
    if (!(err = ljs__record_seal(&r, &sealed, way, ring, r.d.epoch)))
        err = ljs__record_save(out_record, &r, way);
out:
    ljs__ring_give(ring);
    ljs__wr_drop(&sealed);
    return err;
}

/* ---- landing ---------------------------------------------------------------- */

enum { NWK, APP, GEN_APP, REKEY, KEYS = DEVICE_KEYS };

static ljs_err take_keys(ljs_key *out[KEYS], ljs_vault *way, const struct record *r)
{
    static const enum key_id ids[KEYS] = { KEY_NWK, KEY_APP, KEY_GEN_APP, KEY_REKEY };
    struct ring *ring = NULL;
    ljs_err err = ljs__ring_take(&ring);

    if (!err)
        err = ljs__record_keys(ring, way, r, r->d.epoch);
    for (unsigned i = 0; !err && i < KEYS; i++)
        if (ljs__ring_has(ring, ids[i]))
            err = ljs__ring_key(&out[i], ring, ids[i]);
    ljs__ring_give(ring);
    return err;
}

ljs_err ljs__device_keys(ljs_key *out[DEVICE_KEYS], ljs_vault *vault, const uint8_t *record, size_t record_len)
{
    struct record r;
    ljs_err err = ljs__record_load(&r, vault, record, record_len);

    for (unsigned i = 0; i < DEVICE_KEYS; i++)
        out[i] = NULL;
    if (!err && r.d.state == LJS_STATE_REMOVED)
        err = LJS_E_STATE;
    return err ? err : take_keys(out, vault, &r);
}

static int32_t later(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/* What either side knows used is used. */
static void merge(struct context *c, struct wr *keep, const struct context *from)
{
    uint8_t map[NONCE_MAP_LEN], more[NONCE_MAP_LEN];

    c->dev_nonce = later(c->dev_nonce, from->dev_nonce);
    c->rj_count1 = later(c->rj_count1, from->rj_count1);
    if (!from->used.len)
        return;
    ljs__nonces_map(map, &c->used);
    ljs__nonces_map(more, &from->used);
    for (size_t i = 0; i < sizeof map; i++)
        map[i] |= more[i];
    ljs__nonces_write(keep, map);
    c->used = (struct nonces){ keep->data, keep->len, -1 };
}

static ljs_err merge_all(ljs_buf *out_record, ljs_vault *vault, const struct record *from, const ljs_buf *made)
{
    struct record r;
    struct wr keep[LJS_JOIN_EUIS_MAX] = { { 0 } };
    bool bad = false;
    ljs_err err = ljs__record_load(&r, vault, made->data, made->len);

    for (unsigned i = 0; !err && i < from->d.join_euis; i++) {
        struct context *c = ljs__record_context(&r, from->context[i].join_eui);

        if (!c && r.d.join_euis == LJS_JOIN_EUIS_MAX) {
            err = LJS_E_INVAL;
        } else {
            if (!c) {
                c = &r.context[r.d.join_euis++];
                *c = (struct context){ from->context[i].join_eui, -1, -1, { NULL, 0, -1 } };
            }
            merge(c, &keep[i], &from->context[i]);
            bad |= keep[i].bad;
        }
    }
    r.d.exposed = 1;
    if (from->rekey.floor > r.rekey.floor)
        r.rekey.floor = from->rekey.floor; /* the device takes no epoch below */
    if (!err)
        err = bad ? LJS_E_NOMEM : ljs__record_save(out_record, &r, vault);
    for (unsigned i = 0; i < COUNT(keep); i++)
        ljs__wr_drop(&keep[i]);
    return err;
}

ljs_err ljs__device_land(ljs_buf *out_record, ljs_vault *vault, ljs_vault *way, const uint8_t *carried,
                         size_t carried_len, unsigned flags, const uint8_t *record, size_t record_len)
{
    struct record r;
    ljs_key *keys[KEYS] = { NULL };
    ljs_buf made = { NULL, 0 };
    ljs_err err = ljs__record_load(&r, way, carried, carried_len);

    *out_record = (ljs_buf){ NULL, 0 };
    if (!err && r.d.state == LJS_STATE_REMOVED)
        err = LJS_E_STATE;
    if (!err)
        err = take_keys(keys, way, &r);
    if (!err)
        err = ljs_device_make(&made, vault, &r.d, &(ljs_root_keys){ keys[NWK], keys[APP], keys[GEN_APP], keys[REKEY] },
                              flags, -1, NULL, 0, record, record_len);
    if (!err)
        err = merge_all(out_record, vault, &r, &made);
    for (unsigned i = 0; i < KEYS; i++)
        ljs_key_free(keys[i]);
    ljs_buf_free(&made);
    return err;
}
