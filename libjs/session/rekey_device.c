#include "session/rekey_device.h"

#include <lorajs/rekey_device.h>
#include <lorajs/rekey_keys.h>

#include "air/octets.h"
#include "air/rekey.h"
#include "base/secret.h"
#include "session/end_device_keys.h"

#include <assert.h>

enum {
    BLOCK = 16,
    MIC_LEN = LJS__REKEY_MIC_LEN,
    KCV_LEN = 3,
    TRIES = 4,    /* join-requests under one set before it is the other's turn */
    BAD_MAX = 16, /* MICs in a row */
    DEAF_MS = 86400 * 1000,
};

#define NWK_BIT ((int64_t)1 << ROOT_NWK)

/* The blocks under the keys are built here anew, as in end_device_keys.c: a witness to the Join Server. */
static void fields(uint8_t block[BLOCK], uint8_t tag, uint64_t v, unsigned n)
{
    struct octets o = { block, 0, BLOCK };

    memset(block, 0, BLOCK);
    put_le(&o, tag, 1);
    put_le(&o, v, n);
}

static ljs_err kcv_of(int64_t *out, ljs_se *se, ljs_se_key id)
{
    static const uint8_t zero[BLOCK];
    uint8_t cmac[BLOCK];
    ljs_err err = ljs__se_cmac(se, id, cmac, zero, sizeof zero);

    *out = err ? 0 : cmac[0] | cmac[1] << 8 | cmac[2] << 16;
    ljs__wipe(cmac, sizeof cmac);
    ljs__public(out, sizeof *out);
    return err;
}

/* A key is gone when it was put under itself: what stands there then tells nothing of it. */
static ljs_err overwrite(ljs_se *se, ljs_se_key id)
{
    uint8_t block[BLOCK];

    memset(block, 0xff, sizeof block);
    return ljs__se_has(se, id) ? ljs__se_derive(se, id, id, block) : LJS_OK;
}

/* ---- for the machine ---------------------------------------------------------- */

ljs_err ljs__ed_rekey_enter(ljs_se *se, struct ed *ed)
{
    ljs_err err = LJS_OK;

    for (unsigned i = 0; i < ROOTS && ed->rk_wipe && !err; i++)
        if (ed->rk_wipe >> i & 1) {
            ljs__se_use(se, (unsigned)(ed->roots_old ^ ed->rk_wipe)); /* the places that are not in use */
            err = overwrite(se, ljs__se_roots[i]);
        }
    ljs__se_use(se, (unsigned)ed->roots);
    if (!err)
        ed->rk_wipe = 0;
    return err;
}

static void swap(int64_t *a, int64_t *b)
{
    int64_t c = *a;

    *a = *b;
    *b = c;
}

ljs_err ljs__ed_rekey_turn(ljs_se *se, struct ed *ed)
{
    int64_t to;

    if (!ed->rk_phase)
        return LJS_OK;
    if (ed->rk_phase == LJS_ED_REKEY_IN_PLACE)
        return LJS_E_STATE;
    to = ed->rk_ctl & LJS_REKEY_COMPROMISED || ed->rk_tries < TRIES ? ed->roots_new : ed->roots_old;
    ed->rk_tries = (ed->rk_tries + 1) % (2 * TRIES);
    if (to == ed->roots_new)
        ed->rk_phase = LJS_ED_REKEY_TRIED;
    if (to == ed->roots)
        return LJS_OK;
    ed->roots = to;
    if (ed->rk_ctl & LJS_REKEY_JOIN_EUI) {
        swap(&ed->join_eui, &ed->rk_join_eui);
        swap(&ed->dev_nonce, &ed->rk_dev_nonce);
    }
    ljs__se_use(se, (unsigned)to);
    return ed->mac >= 0x0110 ? ljs__ed_derive_js(se, ed) : LJS_OK;
}

/* What there is of the new set is no more. */
static void forget_new(struct ed *ed)
{
    ed->rk_phase = LJS_ED_REKEY_SETTLED;
    ed->rk_new_epoch = ed->rk_ctl = ed->rk_tries = ed->rk_join_eui = ed->rk_dev_nonce = 0;
    ed->roots_new = ed->roots_old;
}

void ljs__ed_rekey_settle(struct ed *ed)
{
    if (!ed->rk_phase)
        return;
    ed->rk_tries = 0;
    if (ed->roots != ed->roots_new)
        return;
    ed->rk_wipe = ed->roots_old ^ ed->roots_new;
    ed->roots_old = ed->roots_new;
    ed->rk_epoch = ed->rk_new_epoch;
    forget_new(ed);
}

/* ---- a message ---------------------------------------------------------------- */

struct call {
    ljs_ed_rekey_out *out;
    ljs_se *se;
    struct ed ed;
    ljs_rekey_message m;
    const uint8_t *in;
    size_t in_len;
};

static ljs_err mic_of(uint8_t out[MIC_LEN], struct call *c, ljs_se_key id, const uint8_t *in, size_t in_len)
{
    uint8_t image[LJS__REKEY_MIC_MAX], cmac[BLOCK];
    size_t len = ljs__rekey_image(image, (ljs_eui)c->ed.dev_eui, in, in_len);
    ljs_err err = ljs__se_cmac(c->se, id, cmac, image, len);

    if (!err)
        memcpy(out, cmac, MIC_LEN);
    ljs__wipe(cmac, sizeof cmac);
    return err;
}

/* What commands are signed with: of the keys that are settled. */
static ljs_err int_key(struct call *c, ljs_se_key *id)
{
    uint8_t block[BLOCK];

    ljs__se_use(c->se, (unsigned)c->ed.roots_old);
    *id = LJS_SE_NWK;
    if (!ljs__se_has(c->se, LJS_SE_REKEY)) /* suite 4 alone */
        return LJS_OK;
    *id = LJS_SE_REKEY_INT;
    fields(block, 0xe1, (uint64_t)c->ed.dev_eui, 8);
    return ljs__se_derive(c->se, LJS_SE_REKEY_INT, LJS_SE_REKEY, block);
}

static ljs_err answer(struct call *c, ljs_rekey_status status, int64_t epoch)
{
    const ljs_rekey_message m = { .kind = LJS_REKEY_ANS, .status = (uint8_t)status, .epoch = (uint16_t)epoch };
    uint8_t octets[LJS_REKEY_MAX];
    size_t len;
    ljs_se_key id = LJS_SE_NWK;
    ljs_err err = ljs__rekey_write(octets, &len, &m);

    if (!err && (status == LJS_REKEY_OK || status == LJS_REKEY_AGAIN)) /* under the new NwkKey */
        ljs__se_use(c->se, (unsigned)(c->ed.rk_phase ? c->ed.roots_new : c->ed.roots_old));
    else if (!err)
        err = int_key(c, &id);
    if (!err)
        err = mic_of(octets + len - MIC_LEN, c, id, octets, len);
    if (err)
        return err;
    ljs__public(octets, len);
    memcpy(c->out->answer, octets, sizeof c->out->answer);
    c->out->answer_len = len;
    c->out->status = status;
    return LJS_OK;
}

static ljs_err check_mic(struct call *c)
{
    uint8_t mic[MIC_LEN];
    ljs_se_key id;
    ljs_err err = int_key(c, &id);

    if (!err)
        err = mic_of(mic, c, id, c->in, c->in_len);
    if (!err && !ljs__equal(mic, c->in + c->in_len - MIC_LEN, MIC_LEN))
        err = LJS_E_MIC;
    ljs__wipe(mic, sizeof mic);
    return err;
}

/* ---- suites 1 and 2: into the places that are not in use ---------------------- */

static int64_t join_eui_of(const struct call *c)
{
    const struct ed *ed = &c->ed;
    bool away = ed->rk_phase && ed->roots != ed->roots_old && ed->rk_ctl & LJS_REKEY_JOIN_EUI;

    return c->m.flags & LJS_REKEY_JOIN_EUI ? (int64_t)c->m.join_eui : away ? ed->rk_join_eui : ed->join_eui;
}

/* JK, from the keys that are settled. */
static ljs_err join_key(struct call *c)
{
    uint8_t block[BLOCK], context[BLOCK];
    struct octets o = { context, 0, sizeof context };
    uint64_t join_eui = (uint64_t)join_eui_of(c);

    ljs__se_use(c->se, (unsigned)c->ed.roots_old);
    if (c->m.suite == LJS_REKEY_SUITE_2) {
        put_le(&o, (uint64_t)c->ed.dev_eui, 8);
        put_le(&o, join_eui, 8);
        return ljs__se_agree(c->se, LJS_SE_JOIN_KEY, c->m.data, context);
    }
    fields(block, 0xe2, join_eui, 8);
    return ljs__se_derive(c->se, LJS_SE_JOIN_KEY, LJS_SE_REKEY, block);
}

/* Which of the root keys change their place, and so the set in use. */
static int64_t places(struct call *c)
{
    static const struct {
        unsigned root;
        uint8_t flag;
    } rows[] = { { ROOT_APP, LJS_REKEY_APP_KEYS },
                 { ROOT_GEN_APP, LJS_REKEY_APP_KEYS },
                 { ROOT_REKEY, LJS_REKEY_REKEY_KEY } };
    int64_t change = NWK_BIT;

    for (size_t i = 0; i < COUNT(rows); i++)
        if (c->m.flags & rows[i].flag && ljs__se_has(c->se, ljs__se_roots[rows[i].root]))
            change |= (int64_t)1 << rows[i].root;
    return change;
}

static ljs_err derive_roots(int64_t *roots_new, struct call *c)
{
    static const uint8_t tags[ROOTS] = {
        [ROOT_NWK] = 0x01, [ROOT_APP] = 0x02, [ROOT_GEN_APP] = 0x03, [ROOT_REKEY] = 0x0f
    };
    ljs_err err = join_key(c), gone;
    int64_t change = places(c);

    *roots_new = c->ed.roots_old ^ change;
    ljs__se_use(c->se, (unsigned)*roots_new);
    for (unsigned i = 0; i < ROOTS && !err; i++) {
        uint8_t block[BLOCK];

        fields(block, tags[i], c->m.epoch, 2);
        if (change >> i & 1)
            err = ljs__se_derive(c->se, ljs__se_roots[i], LJS_SE_JOIN_KEY, block);
    }
    gone = overwrite(c->se, LJS_SE_JOIN_KEY);
    return err ? err : gone;
}

static int64_t kcv_meant(const ljs_rekey_message *m)
{
    return m->kcv[0] | m->kcv[1] << 8 | m->kcv[2] << 16;
}

static ljs_err prepare(struct call *c)
{
    struct ed *ed = &c->ed;
    int64_t roots_new, kcv;
    ljs_err err = derive_roots(&roots_new, c);

    if (err == LJS_E_NOKEY || err == LJS_E_MISSING)
        return answer(c, LJS_REKEY_NO_SUITE, c->m.epoch);
    if (!err)
        err = kcv_of(&kcv, c->se, LJS_SE_NWK);
    if (err)
        return answer(c, LJS_REKEY_ELEMENT, c->m.epoch);
    if (kcv != kcv_meant(&c->m))
        return answer(c, LJS_REKEY_KCV, c->m.epoch);
    ed->rk_phase = LJS_ED_REKEY_READY;
    ed->roots_new = roots_new;
    ed->rk_floor = ed->rk_new_epoch = c->m.epoch;
    ed->rk_ctl = c->m.suite << 4 | c->m.flags;
    ed->rk_tries = ed->rk_dev_nonce = 0;
    ed->rk_join_eui = c->m.flags & LJS_REKEY_JOIN_EUI ? (int64_t)c->m.join_eui : 0;
    c->out->persist = 1;
    return answer(c, LJS_REKEY_OK, c->m.epoch);
}

/* ---- suite 4: in place, so what is meant is durable first --------------------- */

static ljs_err intend(struct call *c)
{
    struct ed *ed = &c->ed;
    int64_t *const mac[] = { &ed->rk_mac0, &ed->rk_mac1, &ed->rk_mac2, &ed->rk_mac3 };
    int64_t kcv_old;
    ljs_err err = kcv_of(&kcv_old, c->se, LJS_SE_NWK);

    if (c->m.flags & (LJS_REKEY_REKEY_KEY | LJS_REKEY_COMPROMISED) || !(c->m.flags & LJS_REKEY_APP_KEYS) ||
        !c->se->ops.derive_key)
        return answer(c, LJS_REKEY_NO_SUITE, c->m.epoch);
    if (err)
        return err;
    if (kcv_old == kcv_meant(&c->m)) /* there would be no telling whether it was done */
        return answer(c, LJS_REKEY_KCV, c->m.epoch);
    for (size_t i = 0; i < COUNT(mac); i++)
        memcpy(mac[i], c->m.data + 8 * i, 8);
    ed->rk_kcv_old = kcv_old;
    ed->rk_kcv_new = kcv_meant(&c->m);
    ed->rk_phase = LJS_ED_REKEY_IN_PLACE;
    ed->rk_floor = ed->rk_new_epoch = c->m.epoch;
    ed->rk_ctl = c->m.suite << 4 | c->m.flags;
    ed->rk_join_eui = c->m.flags & LJS_REKEY_JOIN_EUI ? (int64_t)c->m.join_eui : ed->join_eui;
    c->out->persist = c->out->again = 1;
    return LJS_OK;
}

static ljs_err derive_key(struct call *c)
{
    const struct ed *ed = &c->ed;
    const int64_t *const words[] = { &ed->rk_mac0, &ed->rk_mac1, &ed->rk_mac2, &ed->rk_mac3 };
    uint8_t temp_key[32], mac[32];
    ljs_err err =
        ljs_rekey_temp_key(temp_key, (ljs_eui)ed->dev_eui, (ljs_eui)ed->rk_join_eui, (uint16_t)ed->rk_new_epoch);

    for (size_t i = 0; i < COUNT(words); i++)
        memcpy(mac + 8 * i, words[i], 8);
    return err ? err : ljs__se_derive_key(c->se, temp_key, mac);
}

/* The same again comes to the same: there is no telling, after the power failed, whether it was done. */
static ljs_err carry_out(struct call *c)
{
    struct ed *ed = &c->ed;
    int64_t kcv;
    bool rekeyed;
    ljs_err err = derive_key(c);

    if (!err || err == LJS_E_CRYPTO) /* an element that would not: the device is to join by what it has */
        err = kcv_of(&kcv, c->se, LJS_SE_NWK);
    if (err || (kcv != ed->rk_kcv_new && kcv != ed->rk_kcv_old)) {
        c->out->err = LJS_E_CRYPTO; /* tried again with the next message, and for as long as it takes */
        return LJS_OK;
    }
    rekeyed = kcv == ed->rk_kcv_new; /* else the element would not: all is as it was, and the epoch is burnt */
    if (rekeyed && ed->mac >= 0x0110 && (err = ljs__ed_derive_js(c->se, ed))) /* it may be joining right now */
        return err;
    if (rekeyed && ed->rk_ctl & LJS_REKEY_JOIN_EUI) {
        ed->join_eui = ed->rk_join_eui;
        ed->dev_nonce = 0;
    }
    if (rekeyed) {
        ed->rk_epoch = ed->rk_new_epoch;
        ed->rk_session_gone = ed->scheme != 0; /* what it stands on is gone: it lasts until a restart */
    }
    ed->rk_mac0 = ed->rk_mac1 = ed->rk_mac2 = ed->rk_mac3 = ed->rk_kcv_old = 0;
    forget_new(ed);
    c->out->persist = 1;
    return answer(c, rekeyed ? LJS_REKEY_OK : LJS_REKEY_ELEMENT, ed->rk_floor);
}

/* ---- what each message comes to ------------------------------------------------- */

static ljs_err take_req(struct call *c)
{
    struct ed *ed = &c->ed;
    int64_t epoch = c->m.epoch;

    if (ed->rk_phase ? epoch == ed->rk_new_epoch : epoch && epoch == ed->rk_epoch)
        return answer(c, LJS_REKEY_AGAIN, epoch);
    if (ed->rk_phase == LJS_ED_REKEY_TRIED)
        return answer(c, LJS_REKEY_UNSETTLED, ed->rk_new_epoch);
    if (epoch <= ed->rk_floor)
        return answer(c, LJS_REKEY_TOO_OLD, ed->rk_floor);
    if (ed->rk_phase) { /* nobody has seen a join under it; and its places are free only once the state says so, too */
        ed->rk_wipe = ed->roots_old ^ ed->roots_new;
        forget_new(ed);
        c->out->persist = c->out->again = 1;
        return LJS_OK;
    }
    switch (c->m.suite) {
    case LJS_REKEY_SUITE_1:
    case LJS_REKEY_SUITE_2:
        return prepare(c);
    case LJS_REKEY_SUITE_4:
        return intend(c);
    default:
        return answer(c, LJS_REKEY_NO_SUITE, epoch);
    }
}

static ljs_err take_abort(struct call *c)
{
    struct ed *ed = &c->ed;
    int64_t epoch = c->m.epoch;
    bool unused = ed->rk_phase == LJS_ED_REKEY_READY && epoch == ed->rk_new_epoch;

    if (!unused && (ed->rk_phase ? epoch == ed->rk_new_epoch : epoch && epoch == ed->rk_epoch))
        return answer(c, LJS_REKEY_AGAIN, epoch); /* a join-request went out under it: the Join Server may have it */
    if (epoch <= ed->rk_epoch)
        return answer(c, LJS_REKEY_TOO_OLD, ed->rk_floor);
    if (unused) {
        ed->rk_wipe = ed->roots_old ^ ed->roots_new;
        forget_new(ed);
    }
    if (epoch > ed->rk_floor)
        ed->rk_floor = epoch;
    c->out->persist = 1; /* it is never taken any more */
    return answer(c, LJS_REKEY_ABORTED, epoch);
}

/* A RekeyReq that was carried out in place is under a key that is no more. */
static bool done_in_place(const struct call *c)
{
    return c->m.kind == LJS_REKEY_REQ && c->m.suite == LJS_REKEY_SUITE_4 && !c->ed.rk_phase && c->m.epoch &&
           c->m.epoch == c->ed.rk_epoch && kcv_meant(&c->m) == c->ed.rk_kcv_new;
}

static ljs_err take(struct call *c, int64_t now)
{
    struct ed *ed = &c->ed;
    ljs_err err;

    if (ed->rk_phase == LJS_ED_REKEY_IN_PLACE)
        return carry_out(c);
    if (!c->in_len)
        return LJS_OK;
    if ((c->out->err = now < ed->rk_deaf_until ? LJS_E_BUSY : ljs_rekey_parse(&c->m, c->in, c->in_len)))
        return LJS_OK;
    if (c->m.kind == LJS_REKEY_ANS) {
        c->out->err = LJS_E_FRAME;
        return LJS_OK;
    }
    if (done_in_place(c))
        return answer(c, LJS_REKEY_AGAIN, c->m.epoch);
    err = check_mic(c);
    if (err == LJS_E_MIC) {
        c->out->err = err;
        if (++ed->rk_bad == BAD_MAX) {
            ed->rk_bad = 0;
            ed->rk_deaf_until = now + DEAF_MS;
        }
        return LJS_OK;
    }
    if (err)
        return err;
    ed->rk_bad = ed->rk_deaf_until = 0;
    return c->m.kind == LJS_REKEY_REQ ? take_req(c) : take_abort(c);
}

ljs_err ljs_ed_rekey(ljs_ed_rekey_out *out, ljs_buf *out_state, ljs_se *se, int64_t now, const uint8_t *in,
                     size_t in_len, const uint8_t *state, size_t state_len)
{
    struct call c = { .out = out, .se = se, .in = in, .in_len = in_len };
    ljs_err err;

    assert(out && out_state && se && (in || !in_len) && (state || !state_len));
    memset(out, 0, sizeof *out);
    *out_state = (ljs_buf){ NULL, 0 };
    if (now < 0 || now > ED_TIME_MAX)
        return LJS_E_INVAL;
    if (!(err = ljs__ed_decode(&c.ed, state, state_len)) && !(err = ljs__ed_rekey_enter(se, &c.ed)))
        err = take(&c, now);
    ljs__se_use(se, (unsigned)c.ed.roots);
    out->phase = (ljs_ed_rekey_phase)c.ed.rk_phase;
    out->epoch = (uint16_t)c.ed.rk_epoch;
    if (!err)
        err = ljs__ed_encode(out_state, &c.ed);
    if (err)
        memset(out, 0, sizeof *out);
    return err;
}
