#include <lorajs/device.h>

#include "base/secret.h"
#include "base/text.h"
#include "device/record.h"
#include "device/rekeying.h"

#include <stdlib.h>

ljs_err ljs_device_read(ljs_device *out, const uint8_t *record, size_t record_len)
{
    struct record r;
    ljs_err err = ljs__record_read(&r, record, record_len);

    *out = r.d;
    return err;
}

ljs_err ljs_device_join_eui(ljs_join_eui *out, unsigned i, const uint8_t *record, size_t record_len)
{
    struct record r;
    ljs_err err = ljs__record_read(&r, record, record_len);

    memset(out, 0, sizeof *out);
    if (err)
        return err;
    if (i >= r.d.join_euis)
        return LJS_E_NOTFOUND;
    out->join_eui = r.context[i].join_eui;
    out->dev_nonce = r.context[i].dev_nonce;
    out->dev_nonces_used = (uint32_t)ljs__nonces_count(&r.context[i].used);
    out->rj_count1 = r.context[i].rj_count1;
    return LJS_OK;
}

ljs_err ljs_device_session(ljs_session *out, unsigned i, const uint8_t *record, size_t record_len)
{
    struct record r;
    ljs_err err = ljs__record_read(&r, record, record_len);

    memset(out, 0, sizeof *out);
    if (err)
        return err;
    if (i >= r.d.sessions)
        return LJS_E_NOTFOUND;
    *out = r.session[i];
    return LJS_OK;
}

ljs_err ljs_device_dev_nonces(ljs_buf *out, unsigned i, const uint8_t *record, size_t record_len)
{
    struct record r;
    struct wr w = { 0 };
    uint8_t map[NONCE_MAP_LEN];
    ljs_err err = ljs__record_read(&r, record, record_len);

    *out = (ljs_buf){ NULL, 0 };
    if (err)
        return err;
    if (i >= r.d.join_euis)
        return LJS_E_NOTFOUND;
    ljs__nonces_map(map, &r.context[i].used);
    for (uint32_t nonce = 0; nonce < 0x10000; nonce++)
        if (map[nonce / 8] >> (nonce % 8) & 1)
            ljs__wr_le(&w, nonce, 2);
    return ljs__wr_take(out, &w);
}

ljs_err ljs_device_raise(ljs_buf *out_record, ljs_vault *vault, uint32_t generation, const uint8_t *record,
                         size_t record_len)
{
    struct record r;
    ljs_err err = ljs__record_load(&r, vault, record, record_len);

    *out_record = (ljs_buf){ NULL, 0 };
    if (err)
        return err;
    if (generation <= r.d.generation)
        return ljs_buf_copy(out_record, record, record_len);
    ljs__record_raise(&r, generation);
    return ljs__record_save(out_record, &r, vault);
}

ljs_err ljs_device_check(ljs_vault *vault, const uint8_t *record, size_t record_len)
{
    struct record r;

    return ljs__record_load(&r, vault, record, record_len);
}

ljs_err ljs_device_rewrap(ljs_buf *out_record, ljs_vault *vault, const uint8_t *record, size_t record_len)
{
    struct record r;
    struct ring *ring = NULL;
    struct wr keep[EPOCHS_MAX] = { { 0 } };
    bool now = false, changed = false;
    ljs_err err = ljs__record_load(&r, vault, record, record_len);

    *out_record = (ljs_buf){ NULL, 0 };
    if (err || (err = ljs__record_tagged(&now, vault, record, record_len)) || (err = ljs__ring_take(&ring)))
        return err;
    err = ljs__record_rewrap(&changed, &r, keep, vault, ring);
    if (!err && (changed || !now))
        err = ljs__record_save(out_record, &r, vault);
    ljs__ring_give(ring);
    for (size_t i = 0; i < COUNT(keep); i++)
        ljs__wr_drop(&keep[i]);
    return err;
}

/* ---- making ----------------------------------------------------------------- */

static bool device_ok(const ljs_device *d, int32_t dev_nonce, size_t in_len)
{
    return d->struct_size == sizeof *d && strcmp(ljs_mac_text(d->mac), "?") != 0 &&
           d->next_join_nonce <= JOIN_NONCE_END && (!d->has_home_net_id || d->home_net_id <= 0xffffff) &&
           dev_nonce >= -1 && dev_nonce <= 0xffff && in_len % 2 == 0 && in_len <= 2 * 0x10000 &&
           (!d->require_1_1 || d->mac >= LJS_MAC_1_1) && ljs__text_ok(d->ns_kek_label, sizeof d->ns_kek_label) &&
           ljs__text_ok(d->as_kek_label, sizeof d->as_kek_label) && ljs__text_ok(d->as_id, sizeof d->as_id) &&
           ljs__text_ok(d->lot, sizeof d->lot);
}

static ljs_err keys_ok(const ljs_root_keys *keys, ljs_mac mac, unsigned flags)
{
    const ljs_key *all[] = { keys->nwk, keys->app, keys->gen_app, keys->rekey };
    ljs_err err;

    if (mac >= LJS_MAC_1_1 ? !keys->nwk || !keys->app : !keys->nwk && !keys->app)
        return LJS_E_INVAL;
    for (size_t i = 0; i < COUNT(all); i++) {
        if (all[i] && ljs_key_len(all[i]) != 16)
            return LJS_E_INVAL;
        err = all[i] ? ljs_key_check(all[i]) : LJS_OK;
        if (err && !(err == LJS_E_WEAK && flags & LJS_MAKE_ALLOW_WEAK))
            return err;
    }
    return LJS_OK;
}

/* Which keys of a lot the device has; 0: it may not have these. */
static uint8_t lot_keys(const ljs_device *d, const ljs_root_keys *keys)
{
    const unsigned both = LJS_HAS_NWK_KEY | LJS_HAS_APP_KEY, all = both | LJS_HAS_GEN_APP_KEY | LJS_HAS_REKEY_KEY;
    unsigned which = d->keys ? d->keys : d->mac >= LJS_MAC_1_1 ? both : LJS_HAS_APP_KEY;

    if (keys->nwk || keys->app || keys->gen_app || keys->rekey || which & ~all ||
        (d->mac >= LJS_MAC_1_1 ? (which & both) != both : !(which & both)))
        return 0;
    return (uint8_t)which;
}

/* Those of a lot were never anybody's to choose: they are not weak. */
static ljs_err new_keys_ok(const ljs_device *device, const ljs_root_keys *keys, unsigned flags)
{
    if (device->lot[0])
        return lot_keys(device, keys) ? LJS_OK : LJS_E_INVAL;
    return keys_ok(keys, device->mac, flags);
}

static ljs_err load_keys(struct ring *ring, const ljs_vault *vault, const ljs_device *device, const ljs_root_keys *keys)
{
    const struct {
        enum key_id id;
        const ljs_key *key;
    } all[] = {
        { KEY_NWK, keys->nwk }, { KEY_APP, keys->app }, { KEY_GEN_APP, keys->gen_app }, { KEY_REKEY, keys->rekey }
    };
    ljs_err err = LJS_OK;

    if (device->lot[0])
        return ljs__record_lot_keys(ring, vault, device->lot, lot_keys(device, keys), device->dev_eui);
    for (size_t i = 0; i < COUNT(all) && !err; i++) {
        ljs__ring_drop(ring, all[i].id);
        if (all[i].key)
            err = ljs__ring_load(ring, all[i].id, all[i].key);
    }
    return err;
}

/* What an operator sets; the rest of a record comes of what happened. */
static void set_fields(ljs_device *to, const ljs_device *from)
{
    ljs_device had = *to;

    *to = *from;
    to->next_join_nonce = from->next_join_nonce ? from->next_join_nonce : 1;
    if (had.next_join_nonce > to->next_join_nonce)
        to->next_join_nonce = had.next_join_nonce;
    to->state = had.state;
    to->generation = had.generation;
    to->epoch = had.epoch;
    to->exposed = had.exposed;
    to->moved = had.moved;
    to->keys = had.keys;
    to->join_euis = had.join_euis;
    to->sessions = had.sessions;
    to->join_eui = had.join_eui;
}

/* What `device` says of a device that is there, as it stands now and not when somebody looked. */
static ljs_err keep_settings(ljs_device *out, ljs_vault *vault, const ljs_device *device, const uint8_t *record,
                             size_t record_len)
{
    struct record r = { .d.state = LJS_STATE_REMOVED };
    ljs_err err;

    if (device->struct_size != sizeof *device) /* and is not read past its end */
        return LJS_E_INVAL;
    err = record ? ljs__record_load(&r, vault, record, record_len) : LJS_OK;
    *out = *device;
    if (!err && r.d.state != LJS_STATE_REMOVED) {
        *out = r.d;
        out->struct_size = device->struct_size;
        out->dev_eui = device->dev_eui;
        out->mac = device->mac ? device->mac : r.d.mac;
        out->next_join_nonce = device->next_join_nonce;
        out->keys = device->keys;
        memcpy(out->lot, device->lot, sizeof out->lot);
    }
    if (!out->mac)
        out->mac = LJS_MAC_1_0_4;
    return err;
}

/* The context of a JoinEUI, made when it is new; NULL when there is no room. */
static struct context *context_for(struct record *r, ljs_eui join_eui)
{
    struct context *c = ljs__record_context(r, join_eui);

    if (!c && r->d.join_euis < LJS_JOIN_EUIS_MAX) {
        c = &r->context[r->d.join_euis++];
        *c = (struct context){ .join_eui = join_eui, .dev_nonce = -1, .rj_count1 = -1, .used = { NULL, 0, -1 } };
    }
    return c;
}

static void forget_nonces(struct record *r)
{
    for (unsigned i = 0; i < r->d.join_euis; i++) {
        r->context[i].dev_nonce = r->context[i].rj_count1 = -1;
        r->context[i].used = (struct nonces){ NULL, 0, -1 };
    }
}

static void mark(uint8_t *map, unsigned nonce)
{
    map[nonce / 8] |= (uint8_t)(1 << nonce % 8);
}

/* Nonces used elsewhere are added to those we know. */
static void add_nonces(struct context *c, struct wr *keep, ljs_mac mac, int32_t dev_nonce, const uint8_t *in,
                       size_t in_len)
{
    uint8_t map[NONCE_MAP_LEN];
    bool one = dev_nonce >= 0 && mac < LJS_MAC_1_0_4;

    if (dev_nonce > c->dev_nonce)
        c->dev_nonce = dev_nonce;
    if (!in_len && !one)
        return;
    ljs__nonces_map(map, &c->used);
    for (size_t i = 0; i < in_len; i += 2)
        mark(map, (unsigned)(in[i] | in[i + 1] << 8));
    if (one)
        mark(map, (unsigned)dev_nonce);
    ljs__nonces_write(keep, map);
    c->used = (struct nonces){ keep->data, keep->len, -1 };
}

/* A device that counted and is said to draw at random now: whatever the counter had passed may
 * have been used. */
static void counter_to_set(struct context *c, struct wr *keep)
{
    uint8_t map[NONCE_MAP_LEN];

    if (c->dev_nonce < 0)
        return;
    ljs__nonces_map(map, &c->used);
    for (unsigned nonce = 0; nonce <= (unsigned)c->dev_nonce; nonce++)
        mark(map, nonce);
    ljs__nonces_write(keep, map);
    c->used = (struct nonces){ keep->data, keep->len, -1 };
}

struct prints {
    uint8_t all[16], root[16], each[ROOT_KEYS][16];
};

static ljs_err print_keys(struct prints *out, ljs_vault *vault, struct ring *ring)
{
    ljs_err err = ljs__record_print(out->all, vault, ring);

    if (!err)
        err = ljs__record_root_print(out->root, vault, ring);
    return err ? err : ljs__record_each_print(out->each, vault, ring);
}

static bool share_key(const struct prints *a, const struct prints *b)
{
    for (size_t i = 0; i < ROOT_KEYS; i++)
        for (size_t k = 0; k < ROOT_KEYS; k++)
            if (!ljs__is_zero(a->each[i], sizeof a->each[i]) && ljs__equal(a->each[i], b->each[k], sizeof b->each[k]))
                return true;
    return false;
}

/* Has the record these root keys, at least the one that signs join-requests, or any of them?  A
 * tombstone knows only that one, and needs no more: it has no key to replace.  The keys are in
 * the ring when we return. */
static ljs_err same_keys(bool *all, bool *root, bool *any, const struct record *r, ljs_vault *vault, struct ring *ring,
                         const ljs_device *device, const ljs_root_keys *keys)
{
    struct prints was = { 0 }, is;
    ljs_err err = LJS_OK;

    *all = *root = *any = false;
    if (ljs__record_keyless(r)) { /* the first that it gets */
        *all = *root = true;
        return load_keys(ring, vault, device, keys);
    }
    if (!r->has_print) {
        err = ljs__record_keys(ring, vault, r, r->d.epoch);
        if (!err)
            err = print_keys(&was, vault, ring);
    }
    if (!err)
        err = load_keys(ring, vault, device, keys);
    if (!err)
        err = print_keys(&is, vault, ring);
    if (err)
        return err;
    *root = ljs__equal(r->has_print ? r->print : was.root, is.root, sizeof is.root);
    *all = r->has_print ? *root : ljs__equal(was.all, is.all, sizeof is.all);
    *any = *root || share_key(&was, &is);
    return LJS_OK;
}

ljs_err ljs_device_make(ljs_buf *out_record, ljs_vault *vault, const ljs_device *device, const ljs_root_keys *keys,
                        unsigned flags, int32_t dev_nonce, const uint8_t *in, size_t in_len, const uint8_t *record,
                        size_t record_len)
{
    struct record r = { 0 };
    struct ring *ring = NULL;
    struct wr sealed = { 0 }, nonces = { 0 }, counted[LJS_JOIN_EUIS_MAX] = { { 0 } };
    struct context *c;
    ljs_device kept;
    bool same = false, same_root = false, same_any = false, bad = false;
    ljs_err err = LJS_OK;

    *out_record = (ljs_buf){ NULL, 0 };
    if (flags & LJS_MAKE_KEEP) {
        err = keep_settings(&kept, vault, device, record, record_len);
        device = &kept;
    }
    if (err)
        return err;
    if (!device_ok(device, dev_nonce, in_len) || (in_len && !in))
        return LJS_E_INVAL;
    if ((err = new_keys_ok(device, keys, flags)) || (err = ljs__vault_alive(vault)) || (err = ljs__ring_take(&ring)))
        return err;
    if (record) {
        if ((err = ljs__record_load(&r, vault, record, record_len)))
            goto out;
        if (r.d.dev_eui != device->dev_eui) {
            err = LJS_E_INVAL;
            goto out;
        }
        if ((err = same_keys(&same, &same_root, &same_any, &r, vault, ring, device, keys)))
            goto out;
        if (!same && r.d.state != LJS_STATE_REMOVED && !(flags & LJS_MAKE_REPLACE_KEYS)) {
            err = LJS_E_EXISTS;
            goto out;
        }
        if (!same && ljs__rekey_floor(&r) == 0xffff) {
            err = LJS_E_SPENT;
            goto out;
        }
        if (!same) {
            if (r.rekey.state) /* of keys that are replaced otherwise now */
                ljs__rekey_drop(&r);
            r.d.epoch = (uint16_t)(ljs__rekey_floor(&r) + 1);
            r.d.exposed = r.d.exposed && same_any; /* one of them that stays is still with others */
            ljs__record_trim(&r);                  /* keys that no session needs make room for these */
        }
        if (!same_root) /* what was said under another key says nothing under this one */
            forget_nonces(&r);
        for (unsigned i = 0; i < r.d.join_euis; i++)
            if (r.d.mac >= LJS_MAC_1_0_4 && device->mac < LJS_MAC_1_0_4)
                counter_to_set(&r.context[i], &counted[i]);
    } else if ((err = load_keys(ring, vault, device, keys))) {
        goto out;
    }
    set_fields(&r.d, device);
    if (r.d.state == LJS_STATE_REMOVED)
        r.d.state = LJS_STATE_FRESH;
    r.has_print = false;
    if (!(c = context_for(&r, device->join_eui))) {
        err = LJS_E_INVAL;
        goto out;
    }
    add_nonces(c, &nonces, device->mac, dev_nonce, in, in_len);
    if (c != &r.context[0]) { /* the one named last is the one shown first */
        struct context first = *c;

        *c = r.context[0];
        r.context[0] = first;
    }
    for (size_t i = 0; i < COUNT(counted); i++)
        bad |= counted[i].bad;
    err = bad || nonces.bad ? LJS_E_NOMEM
          : device->lot[0]  ? ljs__record_refer(&r, &sealed, lot_keys(device, keys), r.d.epoch)
                            : ljs__record_seal(&r, &sealed, vault, ring, r.d.epoch);
    if (!err) {
        ljs__record_trim(&r);
        err = ljs__record_save(out_record, &r, vault);
    }
out:
    ljs__ring_give(ring);
    ljs__wr_drop(&sealed);
    ljs__wr_drop(&nonces);
    for (size_t i = 0; i < COUNT(counted); i++)
        ljs__wr_drop(&counted[i]);
    return err;
}

ljs_err ljs_device_make_keyless(ljs_buf *out_record, ljs_vault *vault, ljs_eui dev_eui, ljs_eui join_eui, ljs_mac mac)
{
    struct record r = { .d = { .dev_eui = dev_eui, .mac = mac, .next_join_nonce = 1, .join_eui = join_eui } };
    ljs_err err = ljs__vault_alive(vault);

    *out_record = (ljs_buf){ NULL, 0 };
    if (err)
        return err;
    if (!strcmp(ljs_mac_text(mac), "?"))
        return LJS_E_INVAL;
    (void)context_for(&r, join_eui);
    return ljs__record_save(out_record, &r, vault);
}

ljs_err ljs_device_add_join_eui(ljs_buf *out_record, ljs_vault *vault, ljs_eui join_eui, const uint8_t *record,
                                size_t record_len)
{
    struct record r;
    ljs_err err = ljs__record_load(&r, vault, record, record_len);

    *out_record = (ljs_buf){ NULL, 0 };
    if (err)
        return err;
    if (r.d.state == LJS_STATE_REMOVED)
        return LJS_E_STATE;
    if (!context_for(&r, join_eui))
        return LJS_E_INVAL;
    return ljs__record_save(out_record, &r, vault);
}

/* ---- administration --------------------------------------------------------- */

typedef ljs_err act_fn(struct record *r, ljs_vault *vault);

static ljs_err block(struct record *r, ljs_vault *vault)
{
    (void)vault;
    r->blocked = true;
    r->d.state = LJS_STATE_BLOCKED;
    return LJS_OK;
}

static ljs_err unblock(struct record *r, ljs_vault *vault)
{
    (void)vault;
    if (r->d.moved)
        return LJS_E_MOVED;
    r->blocked = false;
    r->d.state = r->d.sessions ? LJS_STATE_JOINED : LJS_STATE_FRESH;
    return LJS_OK;
}

/* Not under a rekey: whoever answers next would know one of its two sets of keys. */
static ljs_err move(struct record *r, ljs_vault *vault)
{
    if (ljs__rekey_holds(r))
        return LJS_E_STATE;
    r->d.moved = 1;
    return block(r, vault);
}

static ljs_err move_back(struct record *r, ljs_vault *vault)
{
    if (!r->d.moved)
        return LJS_E_STATE;
    r->d.moved = 0;
    return unblock(r, vault);
}

static ljs_err reset_nonces(struct record *r, ljs_vault *vault)
{
    (void)vault;
    forget_nonces(r);
    ljs__record_unask(r); /* a device that begins anew must not be given the keys of its last session */
    return LJS_OK;
}

/* Nonces outlive the device, with what recognises its keys: who imports it again cannot
 * be led to use one twice. */
static ljs_err bury(struct record *r, ljs_vault *vault)
{
    struct ring *ring = NULL;
    ljs_device d = { .dev_eui = r->d.dev_eui,
                     .join_eui = r->d.join_eui,
                     .mac = r->d.mac,
                     .state = LJS_STATE_REMOVED,
                     .next_join_nonce = r->d.next_join_nonce,
                     .generation = r->d.generation,
                     .epoch = r->d.epoch,
                     .exposed = r->d.exposed,
                     .join_euis = r->d.join_euis };
    bool keyless = ljs__record_keyless(r);
    ljs_err err = keyless ? LJS_OK : ljs__ring_take(&ring);

    if (err)
        return err;
    if (!keyless) {
        err = ljs__record_keys(ring, vault, r, r->d.epoch);
        if (!err)
            err = ljs__record_root_print(r->print, vault, ring);
        ljs__ring_give(ring);
    }
    if (err)
        return err;
    if (r->rekey.state || r->rekey.floor)
        ljs__rekey_drop(r);
    r->d = d;
    r->sets = 0;
    ljs__record_unask(r);
    r->blocked = false;
    r->has_print = !keyless;
    return LJS_OK;
}

static ljs_err expose(struct record *r, ljs_vault *vault)
{
    (void)vault;
    if (ljs__record_keyless(r))
        return LJS_E_NOKEY;
    r->d.exposed = 1;
    return LJS_OK;
}

/* What is not here is refused. */
static const struct {
    ljs_state from;
    ljs_device_act act;
    act_fn *run;
} acts[] = {
    { LJS_STATE_FRESH, LJS_DEVICE_BLOCK, block },       { LJS_STATE_FRESH, LJS_DEVICE_RESET_NONCES, reset_nonces },
    { LJS_STATE_FRESH, LJS_DEVICE_REMOVE, bury },       { LJS_STATE_FRESH, LJS_DEVICE_EXPOSE, expose },
    { LJS_STATE_JOINED, LJS_DEVICE_BLOCK, block },      { LJS_STATE_JOINED, LJS_DEVICE_RESET_NONCES, reset_nonces },
    { LJS_STATE_JOINED, LJS_DEVICE_REMOVE, bury },      { LJS_STATE_JOINED, LJS_DEVICE_EXPOSE, expose },
    { LJS_STATE_BLOCKED, LJS_DEVICE_UNBLOCK, unblock }, { LJS_STATE_BLOCKED, LJS_DEVICE_RESET_NONCES, reset_nonces },
    { LJS_STATE_BLOCKED, LJS_DEVICE_REMOVE, bury },     { LJS_STATE_BLOCKED, LJS_DEVICE_EXPOSE, expose },
    { LJS_STATE_FRESH, LJS_DEVICE_MOVE, move },         { LJS_STATE_JOINED, LJS_DEVICE_MOVE, move },
    { LJS_STATE_BLOCKED, LJS_DEVICE_MOVE, move },       { LJS_STATE_BLOCKED, LJS_DEVICE_MOVE_BACK, move_back },
};

ljs_err ljs_device_step(ljs_buf *out_record, ljs_vault *vault, ljs_device_act act, const uint8_t *record,
                        size_t record_len)
{
    struct record r;
    ljs_err err = ljs__record_load(&r, vault, record, record_len);

    *out_record = (ljs_buf){ NULL, 0 };
    for (size_t i = 0; !err && i < COUNT(acts); i++)
        if (acts[i].from == r.d.state && acts[i].act == act) {
            err = acts[i].run(&r, vault);
            return err ? err : ljs__record_save(out_record, &r, vault);
        }
    return err ? err : LJS_E_STATE;
}
