/* rekey_world.h -- a device and its Join Server, whose power fails at one write that the test names: of the
 * element, of the device's state, or of the Join Server's record. */
#ifndef TESTS_REKEY_WORLD_H
#define TESTS_REKEY_WORLD_H

#include <lorajs/join.h>
#include <lorajs/rekey.h>
#include <lorajs/rekey_device.h>

#include "session/se.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define W_DEV UINT64_C(0x0004a310001aa90a)
#define W_EUI UINT64_C(0x70b3d57ed00019e4)
#define W_NEW UINT64_C(0xfe00000000000001)

enum { W_NEVER = 0, W_HOUR = 3600 * 1000, W_DAY_S = 86400 };

struct world {
    ljs_vault *vault;
    ljs_se *inner, *se;
    ljs_key *x25519, *ephemeral, *parent;
    uint8_t serial[9];
    ljs_mac mac;
    ljs_rekey_opts opts;
    ljs_buf record, live, durable;
    int64_t now;
    unsigned writes, cut_at; /* the write at which the power fails, from 1; W_NEVER */
    bool after, dead, cut;   /* once it is done, and not before; the device is off; it was */
    int64_t asked_at;        /* Unix time of join-requests; 0: none is told, and no window open */
};

/* ---- power -------------------------------------------------------------------- */

enum w_power { W_ON, W_OFF_BEFORE, W_OFF_AFTER };

static inline enum w_power w_write(struct world *w)
{
    if (++w->writes != w->cut_at)
        return W_ON;
    w->cut = true;
    return w->after ? W_OFF_AFTER : W_OFF_BEFORE;
}

#define W_WRITES(w, CALL)                                                                                              \
    do {                                                                                                               \
        enum w_power power_ = (w)->dead ? W_OFF_BEFORE : w_write(w);                                                   \
        ljs_err err_ = power_ == W_OFF_BEFORE ? LJS_E_CRYPTO : (CALL);                                                 \
                                                                                                                       \
        (w)->dead = (w)->dead || power_ != W_ON;                                                                       \
        return (w)->dead ? LJS_E_CRYPTO : err_;                                                                        \
    } while (0)

static inline ljs_err w_derive(void *self, ljs_se_key to, ljs_se_key from, const uint8_t *block)
{
    struct world *w = self;

    W_WRITES(w, w->inner->ops.derive(w->inner->self, to, from, block));
}

static inline ljs_err w_agree(void *self, ljs_se_key to, const uint8_t *peer, const uint8_t *context)
{
    struct world *w = self;

    W_WRITES(w, w->inner->ops.agree(w->inner->self, to, peer, context));
}

static inline ljs_err w_derive_key(void *self, const uint8_t *temp_key, const uint8_t *mac)
{
    struct world *w = self;

    W_WRITES(w, w->inner->ops.derive_key(w->inner->self, temp_key, mac));
}

static inline ljs_err w_encrypt(void *self, ljs_se_key id, uint8_t *out, const uint8_t *in, size_t in_len)
{
    struct world *w = self;

    return w->dead ? LJS_E_CRYPTO : w->inner->ops.encrypt(w->inner->self, id, out, in, in_len);
}

static inline ljs_err w_cmac(void *self, ljs_se_key id, uint8_t *out, const uint8_t *in, size_t in_len)
{
    struct world *w = self;

    return w->dead ? LJS_E_CRYPTO : w->inner->ops.cmac(w->inner->self, id, out, in, in_len);
}

static inline int w_has(void *self, ljs_se_key id)
{
    struct world *w = self;

    return w->inner->ops.has(w->inner->self, id);
}

static inline void w_take(ljs_buf *to, ljs_buf *from)
{
    ljs_buf_free(to);
    *to = *from;
    *from = (ljs_buf){ NULL, 0 };
}

static inline void w_copy(ljs_buf *to, const ljs_buf *from)
{
    ljs_buf_free(to);
    assert_int_equal(ljs_buf_copy(to, from->data, from->len), LJS_OK);
}

/* ---- the device --------------------------------------------------------------- */

static inline bool w_step(struct world *w, ljs_ed_out *out, ljs_ed_event_kind kind, const uint8_t *in, size_t in_len);

/* It comes back with what was durable. */
static inline void w_power_up(struct world *w)
{
    ljs_ed_out out;
    ljs_ed_rekey_out rekey;
    ljs_buf next;

    w->dead = false;
    w_copy(&w->live, &w->durable);
    assert_true(w_step(w, &out, LJS_ED_ON_RESTART, NULL, 0));
    assert_int_equal(ljs_ed_rekey(&rekey, &next, w->se, w->now, NULL, 0, w->live.data, w->live.len), LJS_OK);
    w_take(&w->live, &next);
    if (rekey.persist)
        w_copy(&w->durable, &w->live);
}

/* The state that came of something, durable where that is said: false when the power failed. */
static inline bool w_keep(struct world *w, ljs_buf *next, bool persist)
{
    enum w_power power = persist && !w->dead ? w_write(w) : W_ON;

    if (w->dead || power == W_OFF_BEFORE) {
        ljs_buf_free(next);
        w_power_up(w);
        return false;
    }
    w_take(&w->live, next);
    if (persist)
        w_copy(&w->durable, &w->live);
    if (power == W_OFF_AFTER)
        w_power_up(w);
    return power == W_ON;
}

static inline bool w_step(struct world *w, ljs_ed_out *out, ljs_ed_event_kind kind, const uint8_t *in, size_t in_len)
{
    ljs_ed_event event;
    ljs_buf next;
    ljs_err err;

    ljs_ed_event_init(&event, kind, w->now);
    event.random = 7;
    if (in_len)
        memcpy(event.frame, in, in_len);
    event.frame_len = in_len;
    err = ljs_ed_step(out, &next, w->se, &event, w->live.data, w->live.len);
    if (err && !w->dead)
        return false;
    return w_keep(w, &next, !err && out->persist);
}

/* A message reaches the device: true with an answer. */
static inline bool w_tell(struct world *w, ljs_ed_rekey_out *out, const ljs_buf *message)
{
    do {
        ljs_buf next;
        ljs_err err = ljs_ed_rekey(out, &next, w->se, w->now, message->data, message->len, w->live.data, w->live.len);

        if (err && !w->dead)
            fail_msg("the device: %s", ljs_strerror(err));
        if (!w_keep(w, &next, out->persist))
            return false;
    } while (out->again);
    return out->answer_len != 0;
}

/* ---- the Join Server ---------------------------------------------------------- */

/* Durable: then, and not before, what came with it is said. */
static inline bool w_save(struct world *w, ljs_buf *record)
{
    enum w_power power;

    if (!record->data)
        return true;
    power = w_write(w);
    if (power == W_OFF_BEFORE)
        ljs_buf_free(record);
    else
        w_take(&w->record, record);
    return power == W_ON;
}

static inline ljs_rekey w_rekey(const struct world *w)
{
    ljs_rekey rekey;

    assert_int_equal(ljs_rekey_read(&rekey, w->record.data, w->record.len), LJS_OK);
    return rekey;
}

static inline bool w_begin(struct world *w, ljs_buf *message)
{
    ljs_buf record;
    ljs_err err = ljs_rekey_begin(message, &record, w->vault, &w->opts, w->record.data, w->record.len);

    if (!err && w_save(w, &record))
        return true;
    ljs_buf_free(message);
    return false;
}

static inline bool w_abort(struct world *w, ljs_buf *message)
{
    ljs_buf record;
    ljs_err err = ljs_rekey_abort(message, &record, w->vault, 0, w->record.data, w->record.len);

    if (!err && w_save(w, &record))
        return true;
    ljs_buf_free(message);
    return false;
}

static inline ljs_err w_answer(struct world *w, const ljs_ed_rekey_out *out)
{
    ljs_rekey_message m;
    ljs_buf record;
    ljs_err err = ljs_rekey_answer(&m, &record, w->vault, out->answer, out->answer_len, w->record.data, w->record.len);

    if (!err)
        w_save(w, &record);
    return err;
}

/* A join-request, and its answer: false when there is none. */
static inline bool w_ask(struct world *w, ljs_join_ans *ans, const uint8_t *phy, size_t phy_len)
{
    ljs_join_req req;
    ljs_buf record;
    bool said;

    assert_int_equal(ljs_join_req_init(&req), LJS_OK);
    memcpy(req.phy, phy, phy_len);
    req.phy_len = phy_len;
    req.mac = w->mac;
    req.dl_settings = w->mac >= LJS_MAC_1_1 ? 0x80 : 0;
    req.clear = LJS_CLEAR_NS | LJS_CLEAR_AS;
    req.now = w->asked_at;
    req.resync = w->asked_at != 0;
    if (ljs_join(ans, &record, w->vault, &req, NULL, NULL, NULL, NULL, w->record.data, w->record.len))
        return false;
    said = w_save(w, &record);
    return said;
}

/* Both have the same AppSKey. */
static inline void w_same_session(struct world *w, const ljs_join_ans *ans)
{
    ljs_key *key;
    uint8_t ours[16], theirs[16], text[16] = "who are you";
    ljs_ed ed;

    assert_int_equal(ljs_ed_read(&ed, w->live.data, w->live.len), LJS_OK);
    assert_int_equal(ljs_envelope_open(&key, &ans->app_s, NULL), LJS_OK);
    assert_int_equal(ljs_aes_cmac(theirs, key, text, sizeof text), LJS_OK);
    assert_int_equal(ljs__se_cmac(w->se, ed.bank ? LJS_SE_APP_S_B : LJS_SE_APP_S_A, ours, text, sizeof text), LJS_OK);
    assert_memory_equal(ours, theirs, sizeof ours);
    ljs_key_free(key);
}

/* The device asks once to join, and is answered or not.  A join-request of the device that is lost is `lost`. */
static inline bool w_join(struct world *w, bool lost)
{
    ljs_ed_out out;
    ljs_join_ans ans;
    ljs_ed ed;

    w->now += (int64_t)30 * W_HOUR; /* the budget allows it */
    assert_int_equal(ljs_ed_read(&ed, w->live.data, w->live.len), LJS_OK);
    if (ed.state == LJS_ED_JOINED || ed.state == LJS_ED_REKEYING) {
        if (!w_step(w, &out, LJS_ED_ON_STOP, NULL, 0))
            return false;
        ed.state = LJS_ED_IDLE;
    }
    if (!w_step(w, &out, ed.state == LJS_ED_IDLE ? LJS_ED_ON_START : LJS_ED_ON_TICK, NULL, 0))
        return false;
    assert_int_equal(out.sends, LJS_ED_SENDS_JOIN);
    if (lost || !w_ask(w, &ans, out.frame, out.frame_len)) {
        w_step(w, &out, LJS_ED_ON_LOST, NULL, 0);
        return false;
    }
    if (!w_step(w, &out, LJS_ED_ON_DOWNLINK, ans.phy, ans.phy_len))
        return false;
    assert_true(out.joined);
    w_same_session(w, &ans);
    return true;
}

/* From here on nothing fails: they come together within a turn of each set of keys. */
static inline void w_find_each_other(struct world *w)
{
    unsigned n = 0;

    w->cut_at = W_NEVER;
    while (!w_join(w, false))
        if (++n == 12)
            fail_msg("lost for good, after a cut %s write %u", w->after ? "after" : "before", w->writes);
}

/* ---- beginning and end -------------------------------------------------------- */

static inline void w_begin_world(struct world *w, ljs_mac mac, ljs_rekey_suite suite, unsigned flags, ljs_eui join_eui)
{
    static const ljs_se_ops ops = { .struct_size = sizeof ops,
                                    .derive = w_derive,
                                    .encrypt = w_encrypt,
                                    .cmac = w_cmac,
                                    .has = w_has,
                                    .agree = w_agree,
                                    .derive_key = w_derive_key };
    bool suite4 = suite == LJS_REKEY_SUITE_4;
    ljs_device device = { .struct_size = sizeof device, .dev_eui = W_DEV, .join_eui = W_EUI, .mac = mac };
    ljs_key *nwk, *app, *rekey, *slot0;
    uint8_t both[32], master[32] = { 1 };
    ljs_ed_opts opts;

    memset(w, 0, sizeof *w);
    for (size_t i = 0; i < sizeof both; i++)
        both[i] = (uint8_t)(i * i * 7 + 5);
    assert_int_equal(ljs_vault_new(&w->vault, master, sizeof master), LJS_OK);
    assert_int_equal(ljs_key_import(&app, both, 16), LJS_OK);
    assert_int_equal(ljs_key_import(&nwk, both + 16, 16), LJS_OK);
    assert_int_equal(ljs_key_import(&slot0, both, 32), LJS_OK);
    assert_int_equal(ljs_key_generate(&rekey, 16), LJS_OK);
    assert_int_equal(ljs_key_generate(&w->x25519, 32), LJS_OK);
    assert_int_equal(ljs_key_generate(&w->ephemeral, 32), LJS_OK);
    assert_int_equal(ljs_key_generate(&w->parent, 32), LJS_OK);
    w->serial[0] = 0x01, w->serial[1] = 0x23, w->serial[8] = 0x27;
    w->mac = mac;
    device.has_x25519 = !suite4;
    assert_int_equal(ljs_x25519_public(device.x25519_public_key, w->x25519), LJS_OK);
    assert_int_equal(ljs_device_make(&w->record, w->vault, &device,
                                     &(ljs_root_keys){ .nwk = nwk, .app = app, .rekey = suite4 ? NULL : rekey }, 0, -1,
                                     NULL, 0, NULL, 0),
                     LJS_OK);
    if (suite4)
        assert_int_equal(ljs_se_atecc(&w->inner, slot0, w->parent, w->serial, sizeof w->serial), LJS_OK);
    else
        assert_int_equal(ljs_se_software_rekey(&w->inner, nwk, app, NULL, rekey, w->x25519), LJS_OK);
    assert_int_equal(ljs_se_custom(&w->se, &ops, w), LJS_OK);
    ljs_ed_opts_init(&opts);
    opts.join_eui = W_EUI;
    opts.dev_eui = W_DEV;
    opts.mac = (uint16_t)mac;
    opts.join_nonce_rising = 1;
    assert_int_equal(ljs_ed_new(&w->live, &opts), LJS_OK);
    w_copy(&w->durable, &w->live);
    w->opts = (ljs_rekey_opts){ .struct_size = sizeof w->opts,
                                .suite = suite,
                                .flags = (uint8_t)flags,
                                .experimental = 1,
                                .kept = 1,
                                .join_eui = join_eui,
                                .now = 1000000,
                                .ephemeral = w->ephemeral,
                                .parent = w->parent };
    memcpy(w->opts.serial, w->serial, sizeof w->serial);
    ljs_key_free(nwk);
    ljs_key_free(app);
    ljs_key_free(slot0);
    ljs_key_free(rekey);
    assert_true(w_join(w, false));
    w->writes = 0;
}

static inline void w_end_world(struct world *w)
{
    ljs_se_free(w->se);
    ljs_se_free(w->inner);
    ljs_key_free(w->x25519);
    ljs_key_free(w->ephemeral);
    ljs_key_free(w->parent);
    ljs_vault_free(w->vault);
    ljs_buf_free(&w->record);
    ljs_buf_free(&w->live);
    ljs_buf_free(&w->durable);
}

#endif
