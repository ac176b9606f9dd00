#include "device/rekeying.h"

enum {
    FIELDS = 10, /* and with a window one more: when it ends */
    BIT_CONFIRMED = 1,
    BIT_BEGUN_ANEW = 2,
    BIT_EXPOSED = 4,
    BITS = 7,
};

bool ljs__rekeying_empty(const struct rekeying *k)
{
    return !k->state && !k->floor && !k->at;
}

void ljs__rekeying_unpack(struct unpack *u, struct rekeying *k)
{
    unsigned ctl, bits;
    const uint8_t *data, *kcv;
    size_t data_len = 0, kcv_len = 0;
    unsigned fields = ljs__unpack_array(u);

    if (fields != FIELDS && fields != FIELDS + 1)
        u->rd.bad = true;
    k->state = (uint8_t)ljs__unpack_uint(u, LJS_REKEY_RESYNC);
    ctl = (unsigned)ljs__unpack_uint(u, 0xff);
    k->suite = (uint8_t)(ctl >> 4);
    k->flags = (uint8_t)(ctl & 15);
    k->epoch = (uint16_t)ljs__unpack_uint(u, 0xffff);
    k->floor = (uint16_t)ljs__unpack_uint(u, 0xffff);
    k->join_eui = ljs__unpack_uint(u, UINT64_MAX);
    data = ljs__unpack_bin(u, &data_len, sizeof k->data);
    kcv = ljs__unpack_bin(u, &kcv_len, sizeof k->kcv);
    bits = (unsigned)ljs__unpack_uint(u, BITS | 0xf0);
    k->at = ljs__unpack_int(u, INT64_MIN, INT64_MAX);
    k->join_nonce_end = (uint32_t)ljs__unpack_uint(u, JOIN_NONCE_END);
    if (fields > FIELDS)
        k->until = ljs__unpack_int(u, INT64_MIN, INT64_MAX);
    if (u->rd.bad || !k->until != (k->state != LJS_REKEY_RESYNC) || kcv_len != sizeof k->kcv ||
        (bits >> 4) > LJS_REKEY_STATUS_END || bits & 8) {
        u->rd.bad = true;
        return;
    }
    if (data_len)
        memcpy(k->data, data, data_len);
    k->data_len = (uint8_t)data_len;
    memcpy(k->kcv, kcv, sizeof k->kcv);
    k->confirmed = bits & BIT_CONFIRMED;
    k->begun_anew = bits & BIT_BEGUN_ANEW;
    k->was_exposed = bits & BIT_EXPOSED;
    k->answer = (int8_t)((int)(bits >> 4) - 1);
}

void ljs__rekeying_pack(struct wr *w, const struct rekeying *k)
{
    ljs__pack_array(w, FIELDS + (k->until ? 1U : 0U));
    ljs__pack_uint(w, k->state);
    ljs__pack_uint(w, (unsigned)k->suite << 4 | k->flags);
    ljs__pack_uint(w, k->epoch);
    ljs__pack_uint(w, k->floor);
    ljs__pack_uint(w, k->join_eui);
    ljs__pack_bin(w, k->data, k->data_len);
    ljs__pack_bin(w, k->kcv, sizeof k->kcv);
    ljs__pack_uint(w, (k->confirmed ? BIT_CONFIRMED : 0U) | (k->begun_anew ? BIT_BEGUN_ANEW : 0U) |
                          (k->was_exposed ? BIT_EXPOSED : 0U) | (unsigned)(k->answer + 1) << 4);
    ljs__pack_int(w, k->at);
    ljs__pack_uint(w, k->join_nonce_end);
    if (k->until)
        ljs__pack_int(w, k->until);
}

uint16_t ljs__rekey_floor(const struct record *r)
{
    uint16_t floor = r->rekey.floor;

    if (r->rekey.state && r->rekey.state != LJS_REKEY_RESYNC && r->rekey.epoch > floor)
        floor = r->rekey.epoch;
    return r->d.epoch > floor ? r->d.epoch : floor;
}

ljs_eui ljs__rekey_stays(const struct record *r)
{
    return r->d.sessions ? r->session[0].join_eui : r->d.join_eui;
}

void ljs__rekey_expect(struct record *r, ljs_eui join_eui)
{
    if (!ljs__record_context(r, join_eui))
        r->context[r->d.join_euis++] =
            (struct context){ .join_eui = join_eui, .dev_nonce = -1, .rj_count1 = -1, .used = { NULL, 0, -1 } };
}

bool ljs__rekey_holds(const struct record *r)
{
    return r->rekey.state && r->rekey.state != LJS_REKEY_COMMITTED;
}

void ljs__rekey_drop(struct record *r)
{
    r->rekey = (struct rekeying){ .floor = ljs__rekey_floor(r), .at = r->rekey.at, .answer = -1 };
}

/* ---- what a join means ------------------------------------------------------- */

bool ljs__rekey_tries(const struct record *r, const ljs_frame *frame)
{
    const struct rekeying *k = &r->rekey;

    return frame->kind == LJS_FRAME_JOIN && frame->join_eui == k->join_eui &&
           (k->state == LJS_REKEY_PENDING || k->state == LJS_REKEY_ACKED || k->state == LJS_REKEY_ABORTING);
}

bool ljs__rekey_refuses(const struct record *r)
{
    return r->rekey.state == LJS_REKEY_ACKED && r->rekey.flags & LJS_REKEY_COMPROMISED;
}

static uint8_t keys_of(const struct record *r, uint16_t epoch)
{
    for (unsigned i = 0; i < r->sets; i++)
        if (r->set[i].epoch == epoch)
            return r->set[i].keys;
    return 0;
}

/* Did the rekey replace every root key by one that nobody else can derive? */
static bool all_new(const struct record *r)
{
    const struct rekeying *k = &r->rekey;
    uint8_t keys = keys_of(r, r->d.epoch);

    return k->suite != LJS_REKEY_SUITE_1 &&
           (k->flags & LJS_REKEY_APP_KEYS || !(keys & (LJS_HAS_APP_KEY | LJS_HAS_GEN_APP_KEY))) &&
           (k->flags & LJS_REKEY_REKEY_KEY || !(keys & LJS_HAS_REKEY_KEY)) &&
           !(k->suite == LJS_REKEY_SUITE_4 && keys & LJS_HAS_GEN_APP_KEY);
}

void ljs__rekey_commit(struct record *r)
{
    struct rekeying *k = &r->rekey;
    uint16_t before = r->d.epoch;
    struct context *c = ljs__record_context(r, k->join_eui);

    r->d.epoch = k->epoch;
    r->d.keys = keys_of(r, k->epoch);
    k->floor = ljs__rekey_floor(r);
    k->epoch = before;
    k->state = LJS_REKEY_COMMITTED;
    k->confirmed = false;
    k->was_exposed = r->d.exposed;
    if (all_new(r))
        r->d.exposed = 0;
    if (k->flags & LJS_REKEY_JOIN_EUI && c && !k->begun_anew) {
        c->dev_nonce = c->rj_count1 = -1; /* what was said under other keys says nothing of these */
        c->used = (struct nonces){ NULL, 0, -1 };
        k->begun_anew = true;
    }
}

void ljs__rekey_joined(struct record *r)
{
    if (r->rekey.state == LJS_REKEY_COMMITTED || (r->rekey.state == LJS_REKEY_ABORTING && r->rekey.confirmed))
        ljs__rekey_drop(r);
}
