/* The steps of rekey.h, but for the join that commits: that is a join (join.c). */
#include <lorajs/rekey.h>

#include "air/rekey.h"
#include "base/secret.h"
#include "device/rekeying.h"
#include "keys/rekey.h"

enum {
    DAY = 86400,
    TRANSFER_NONCES = 4096, /* that the old server may give while the new one has begun */
    FLAGS = LJS_REKEY_COMPROMISED | LJS_REKEY_REKEY_KEY | LJS_REKEY_APP_KEYS,
};

const char *ljs_rekey_state_text(ljs_rekey_state state)
{
    static const char *const texts[] = {
        "stable", "pending", "acked", "aborting", "committed", "transfer out", "resync"
    };

    return (unsigned)state < COUNT(texts) ? texts[state] : "?";
}

ljs_err ljs_rekey_read(ljs_rekey *out, const uint8_t *record, size_t record_len)
{
    struct record r;
    ljs_err err = ljs__record_read(&r, record, record_len);

    memset(out, 0, sizeof *out);
    if (err)
        return err;
    *out = (ljs_rekey){ .struct_size = sizeof *out,
                        .state = (ljs_rekey_state)r.rekey.state,
                        .suite = (ljs_rekey_suite)r.rekey.suite,
                        .flags = r.rekey.flags,
                        .confirmed = r.rekey.confirmed,
                        .answer = r.rekey.state ? r.rekey.answer : -1,
                        .epoch = r.rekey.epoch,
                        .floor = ljs__rekey_floor(&r),
                        .join_eui = r.rekey.join_eui,
                        .join_nonce_end = r.rekey.join_nonce_end,
                        .at = r.rekey.at,
                        .until = r.rekey.until };
    return LJS_OK;
}

/* ---- commands ---------------------------------------------------------------- */

ljs_err ljs__rekey_load(struct ring *ring, const ljs_vault *vault, const struct record *r, uint16_t epoch)
{
    ljs_err err = ljs__record_keys(ring, vault, r, epoch);

    if (!err && !ljs__ring_has(ring, KEY_NWK))
        ljs__ring_move(ring, KEY_NWK, KEY_APP);
    return err;
}

/* A command as the device will check it: under the keys of before. */
static ljs_err sign(ljs_buf *out, struct ring *ring, const ljs_vault *vault, const struct record *r,
                    const ljs_rekey_message *message)
{
    uint8_t octets[LJS_REKEY_MAX];
    size_t len;
    enum key_id id;
    ljs_err err = ljs__rekey_write(octets, &len, message);

    if (!err)
        err = ljs__rekey_load(ring, vault, r, r->d.epoch);
    if (!err)
        err = ljs__rekey_int_key(ring, (ljs_rekey_suite)r->rekey.suite, r->d.dev_eui, &id);
    if (!err)
        err = ljs__rekey_sign(ring, id, r->d.dev_eui, octets, len);
    return err ? err : ljs_buf_copy(out, octets, len);
}

static ljs_err sign_req(ljs_buf *out, struct ring *ring, const ljs_vault *vault, const struct record *r)
{
    const struct rekeying *k = &r->rekey;
    ljs_rekey_message m = { .kind = LJS_REKEY_REQ,
                            .suite = k->suite,
                            .flags = k->flags,
                            .epoch = k->epoch,
                            .join_eui = k->join_eui,
                            .data_len = k->data_len };

    memcpy(m.data, k->data, sizeof m.data);
    memcpy(m.kcv, k->kcv, sizeof m.kcv);
    return sign(out, ring, vault, r, &m);
}

/* ---- begin ------------------------------------------------------------------- */

static bool opts_ok(const ljs_rekey_opts *o)
{
    if (o->struct_size != sizeof *o || !o->experimental || o->flags & ~FLAGS)
        return false;
    switch (o->suite) {
    case LJS_REKEY_SUITE_1:
        return true;
    case LJS_REKEY_SUITE_2:
        return o->kept && o->ephemeral && ljs_key_len(o->ephemeral) == 32;
    case LJS_REKEY_SUITE_4: /* there is no rekey key, and nothing to go back to */
        return o->kept && o->parent && !(o->flags & ~LJS_REKEY_APP_KEYS);
    default:
        return false;
    }
}

/* What the record will say of it. */
static struct rekeying asked(const struct record *r, const ljs_rekey_opts *o)
{
    ljs_eui stays = ljs__rekey_stays(r);
    struct rekeying k = { .state = o->transfer ? LJS_REKEY_TRANSFER_OUT : LJS_REKEY_PENDING,
                          .suite = (uint8_t)o->suite,
                          .flags = o->flags,
                          .join_eui = o->join_eui ? o->join_eui : stays,
                          .floor = r->rekey.floor,
                          .at = o->now,
                          .answer = -1 };

    if (k.join_eui != stays)
        k.flags |= LJS_REKEY_JOIN_EUI;
    if (o->suite == LJS_REKEY_SUITE_4)
        k.flags |= LJS_REKEY_APP_KEYS;
    return k;
}

/* The very same, once more?  With an epoch that is not the newest any more it is not. */
static bool is_again(const struct record *r, const struct rekeying *k)
{
    const struct rekeying *is = &r->rekey;
    bool transfer = is->state == LJS_REKEY_TRANSFER_OUT;

    return (is->state == LJS_REKEY_PENDING || is->state == LJS_REKEY_ACKED || transfer) &&
           transfer == (k->state == LJS_REKEY_TRANSFER_OUT) && is->suite == k->suite &&
           (is->flags | LJS_REKEY_JOIN_EUI) == (k->flags | LJS_REKEY_JOIN_EUI) && is->join_eui == k->join_eui;
}

static ljs_err may_begin(struct record *r, const ljs_rekey_opts *o, const struct rekeying *k)
{
    bool known = ljs__record_context(r, k->join_eui) != NULL;

    if (r->rekey.state)
        return LJS_E_STATE;
    if (o->transfer && (known || !(k->flags & LJS_REKEY_JOIN_EUI)))
        return LJS_E_INVAL;
    if (!o->transfer && !known && r->d.join_euis == LJS_JOIN_EUIS_MAX)
        return LJS_E_INVAL;
    if (o->suite != LJS_REKEY_SUITE_4 && !(r->d.keys & LJS_HAS_REKEY_KEY))
        return LJS_E_NOKEY;
    if (o->suite == LJS_REKEY_SUITE_2 && !r->d.has_x25519)
        return LJS_E_NOKEY;
    if (!o->force && r->rekey.at && o->now - r->rekey.at < DAY)
        return LJS_E_BUSY;
    return ljs__rekey_floor(r) == 0xffff ? LJS_E_SPENT : LJS_OK;
}

/* The new keys take the place of the old in the ring, and *k has what the device must be told. */
static ljs_err derive(struct ring *ring, const struct record *r, const ljs_rekey_opts *o, struct rekeying *k)
{
    const struct rekey what = {
        .suite = o->suite, .flags = k->flags, .dev_eui = r->d.dev_eui, .join_eui = k->join_eui, .epoch = k->epoch
    };
    ljs_err err = LJS_E_INVAL;

    switch (o->suite) {
    case LJS_REKEY_SUITE_1:
        err = ljs__rekey_join_key(ring, &what);
        break;
    case LJS_REKEY_SUITE_2:
        k->data_len = 32;
        err = ljs_x25519_public(k->data, o->ephemeral);
        if (!err)
            err = ljs__rekey_agree(ring, o->ephemeral, &what, k->data, r->d.x25519_public_key);
        break;
    case LJS_REKEY_SUITE_4:
        k->data_len = 32;
        err = ljs_rekey_slot_mac(k->data, o->parent, o->serial, sizeof o->serial);
        if (!err)
            err = ljs__rekey_slot(ring, o->parent, &what, o->serial);
        break;
    case LJS_REKEY_SUITE_3:
        break;
    }
    if (!err && o->suite != LJS_REKEY_SUITE_4)
        err = ljs__rekey_roots(ring, &what);
    return err ? err : ljs__rekey_kcv(ring, KEY_NWK, k->kcv);
}

/* Those of the next epoch.  In place the KCV alone tells the new from the old, so they are to differ in it. */
static ljs_err next_keys(struct ring *ring, const ljs_vault *vault, const struct record *r, const ljs_rekey_opts *o,
                         struct rekeying *k)
{
    bool in_place = o->suite == LJS_REKEY_SUITE_4;
    uint8_t kcv_old[sizeof k->kcv];
    ljs_err err;

    k->epoch = ljs__rekey_floor(r);
    do {
        if (k->epoch == 0xffff)
            return LJS_E_SPENT;
        k->epoch++;
        if ((err = ljs__rekey_load(ring, vault, r, r->d.epoch)) || (err = ljs__rekey_kcv(ring, KEY_NWK, kcv_old)) ||
            (err = derive(ring, r, o, k)))
            return err;
    } while (in_place && !memcmp(kcv_old, k->kcv, sizeof kcv_old));
    return LJS_OK;
}

static ljs_err begin(ljs_buf *out, ljs_buf *out_record, struct ring *ring, ljs_vault *vault, const ljs_rekey_opts *o,
                     struct record *r)
{
    struct rekeying k = asked(r, o);
    struct wr sealed = { 0 };
    ljs_err err;

    if (r->rekey.state == LJS_REKEY_RESYNC && o->now >= r->rekey.until)
        ljs__rekey_drop(r);
    if (is_again(r, &k))
        return sign_req(out, ring, vault, r);
    if ((err = may_begin(r, o, &k)))
        return err;
    if (o->transfer) {
        uint32_t left = JOIN_NONCE_END - r->d.next_join_nonce;

        k.join_nonce_end = r->d.next_join_nonce + (left < TRANSFER_NONCES ? left : TRANSFER_NONCES);
        if (k.join_nonce_end == JOIN_NONCE_END)
            return LJS_E_SPENT; /* nothing would be left for the other server */
    } else {
        ljs__rekey_expect(r, k.join_eui);
    }
    if (!(err = next_keys(ring, vault, r, o, &k)) && !(err = ljs__record_seal(r, &sealed, vault, ring, k.epoch))) {
        r->rekey = k;
        err = ljs__record_save(out_record, r, vault);
    }
    if (!err && (err = sign_req(out, ring, vault, r)))
        ljs_buf_free(out_record);
    ljs__wr_drop(&sealed);
    return err;
}

ljs_err ljs_rekey_begin(ljs_buf *out, ljs_buf *out_record, ljs_vault *vault, const ljs_rekey_opts *opts,
                        const uint8_t *record, size_t record_len)
{
    struct record r;
    struct ring *ring = NULL;
    ljs_err err = ljs__record_load(&r, vault, record, record_len);

    *out = *out_record = (ljs_buf){ NULL, 0 };
    if (err)
        return err;
    if (!opts_ok(opts))
        return LJS_E_INVAL;
    if (r.d.state == LJS_STATE_REMOVED)
        return LJS_E_STATE;
    if (r.d.moved) /* its epochs are another server's */
        return LJS_E_MOVED;
    if (!(err = ljs__ring_take(&ring)))
        err = begin(out, out_record, ring, vault, opts, &r);
    ljs__ring_give(ring);
    return err;
}

/* ---- answers ----------------------------------------------------------------- */

static bool by_new_key(const ljs_rekey_message *m)
{
    return m->status == LJS_REKEY_OK || m->status == LJS_REKEY_AGAIN;
}

static ljs_err check_answer(struct ring *ring, const ljs_vault *vault, const struct record *r,
                            const ljs_rekey_message *m, const uint8_t *in, size_t in_len)
{
    const struct rekeying *k = &r->rekey;
    bool committed = k->state == LJS_REKEY_COMMITTED;
    enum key_id id = KEY_NWK;
    ljs_err err;

    if (!k->state || k->state == LJS_REKEY_RESYNC)
        return LJS_E_STATE;
    /* COMMITTED, the current keys are the new ones, and epoch the one before. */
    if (by_new_key(m) && m->epoch != (committed ? r->d.epoch : k->epoch))
        return LJS_E_REPLAY;
    err = ljs__rekey_load(ring, vault, r, by_new_key(m) && !committed ? k->epoch : r->d.epoch);
    if (!err && !by_new_key(m))
        err = ljs__rekey_int_key(ring, (ljs_rekey_suite)k->suite, r->d.dev_eui, &id);
    return err ? err : ljs__rekey_check(ring, id, r->d.dev_eui, in, in_len);
}

/* What an answer that verified means: is the record another one? */
static ljs_err take_answer(bool *changed, struct record *r, const ljs_rekey_message *m)
{
    struct rekeying *k = &r->rekey;

    *changed = true;
    if (k->state == LJS_REKEY_COMMITTED) { /* anything but the proof is of before */
        *changed = by_new_key(m);
        if (*changed)
            ljs__rekey_drop(r);
        return *changed ? LJS_OK : LJS_E_REPLAY;
    }
    if (m->status == LJS_REKEY_TOO_OLD) {
        if (m->epoch <= k->epoch) /* an answer to another, or no device's */
            return LJS_E_REPLAY;
        ljs__rekey_drop(r); /* epochs only grow: it never takes this one any more */
        r->rekey.floor = m->epoch;
        return LJS_OK;
    }
    if (m->status != LJS_REKEY_UNSETTLED && m->epoch != k->epoch)
        return LJS_E_REPLAY;
    if (m->status == LJS_REKEY_ABORTED && k->state != LJS_REKEY_ABORTING)
        return LJS_E_REPLAY;
    if (by_new_key(m) && k->state == LJS_REKEY_PENDING)
        k->state = LJS_REKEY_ACKED;
    else if (m->status == LJS_REKEY_ABORTED && !k->confirmed)
        k->confirmed = true;
    else
        *changed = k->answer != (int8_t)m->status;
    k->answer = (int8_t)m->status;
    return LJS_OK;
}

ljs_err ljs_rekey_answer(ljs_rekey_message *out, ljs_buf *out_record, ljs_vault *vault, const uint8_t *in,
                         size_t in_len, const uint8_t *record, size_t record_len)
{
    struct record r;
    struct ring *ring = NULL;
    ljs_rekey_message m;
    bool changed = false;
    ljs_err err = ljs__record_load(&r, vault, record, record_len);

    memset(out, 0, sizeof *out);
    *out_record = (ljs_buf){ NULL, 0 };
    if (err || (err = ljs_rekey_parse(&m, in, in_len)))
        return err;
    if (m.kind != LJS_REKEY_ANS)
        return LJS_E_FRAME;
    if (!(err = ljs__ring_take(&ring)) && !(err = check_answer(ring, vault, &r, &m, in, in_len)))
        err = take_answer(&changed, &r, &m);
    ljs__ring_give(ring);
    if (!err && changed) {
        ljs__record_trim(&r);
        err = ljs__record_save(out_record, &r, vault);
    }
    if (!err)
        *out = m;
    return err;
}

/* ---- giving up, and what an operator says ------------------------------------ */

/* Would a device that has the new keys never go back by itself? */
static bool no_way_back(const struct rekeying *k)
{
    return k->suite == LJS_REKEY_SUITE_4 || k->flags & LJS_REKEY_COMPROMISED;
}

ljs_err ljs_rekey_abort(ljs_buf *out, ljs_buf *out_record, ljs_vault *vault, int force, const uint8_t *record,
                        size_t record_len)
{
    struct record r;
    struct ring *ring = NULL;
    ljs_rekey_message m = { .kind = LJS_REKEY_ABORT };
    ljs_err err = ljs__record_load(&r, vault, record, record_len);
    bool was;

    *out = *out_record = (ljs_buf){ NULL, 0 };
    if (err)
        return err;
    if (!r.rekey.state || r.rekey.state == LJS_REKEY_COMMITTED || r.rekey.state == LJS_REKEY_RESYNC ||
        (force && no_way_back(&r.rekey)))
        return LJS_E_STATE;
    m.epoch = r.rekey.epoch;
    if (!(err = ljs__ring_take(&ring)))
        err = sign(out, ring, vault, &r, &m);
    ljs__ring_give(ring);
    was = r.rekey.state == LJS_REKEY_ABORTING;
    r.rekey.state = LJS_REKEY_ABORTING;
    if (force)
        ljs__rekey_drop(&r);
    if (!err && (force || !was)) {
        ljs__record_trim(&r);
        err = ljs__record_save(out_record, &r, vault);
    }
    if (err)
        ljs_buf_free(out);
    return err;
}

static void reopen(struct record *r)
{
    struct rekeying *k = &r->rekey;
    uint16_t before = k->epoch;

    k->epoch = r->d.epoch;
    r->d.epoch = before;
    r->d.exposed = k->was_exposed;
    k->state = LJS_REKEY_PENDING;
}

ljs_err ljs_rekey_step(ljs_buf *out_record, ljs_vault *vault, ljs_rekey_act act, const uint8_t *record,
                       size_t record_len)
{
    struct record r;
    ljs_err err = ljs__record_load(&r, vault, record, record_len);

    *out_record = (ljs_buf){ NULL, 0 };
    if (err)
        return err;
    if (act == LJS_REKEY_ACT_REOPEN && r.rekey.state == LJS_REKEY_COMMITTED) {
        reopen(&r);
        return ljs__record_save(out_record, &r, vault);
    }
    if (act == LJS_REKEY_ACT_CLOSE && r.rekey.state == LJS_REKEY_RESYNC) {
        ljs__rekey_drop(&r);
        ljs__record_trim(&r);
        return ljs__record_save(out_record, &r, vault);
    }
    if (act == LJS_REKEY_ACT_RELEASE && r.rekey.state == LJS_REKEY_TRANSFER_OUT)
        return ljs_device_step(out_record, vault, LJS_DEVICE_REMOVE, record, record_len);
    return LJS_E_STATE;
}
