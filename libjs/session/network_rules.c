/* network_rules.c -- the machine of the network side: its rows, what they ask and what they do. */
#include "session/network_step.h"

#include "air/data.h"
#include "base/secret.h"

enum { HOUR = 3600000 };

static bool is_1_1(const struct context *c)
{
    return c->is.present && c->is.scheme == LJS_SCHEME_1_1;
}

/* [L2 1.1 §4.4]  ConfFCnt is the counter of the confirmed downlink that the frame acknowledges */
uint16_t ljs__network_conf_fcnt(const struct context *c)
{
    return (uint16_t)(c->confirmed < 0 ? 0 : c->confirmed);
}

/* ---- what rows ask ---------------------------------------------------------- */

static ljs_err always(const struct network_step *s)
{
    (void)s;
    return LJS_OK;
}

/* A device takes the answer to its last rejoin-request alone: an earlier one has an RJcount0
 * under which the join-accept does not verify any more.  [L2 1.1 §6.2.4.4] */
static ljs_err answers_last_rejoin(const struct network_step *s)
{
    return s->n.current.is.rj_count0 == s->accepted->nonce ? LJS_OK : LJS_E_REPLAY;
}

/* [L2 1.1 §4.3.1.5]  FCntUp is accepted only if it has incremented */
static ljs_err counter_rises(const struct network_step *s)
{
    return s->fcnt > s->under->is.fcnt_up ? LJS_OK : LJS_E_REPLAY;
}

/* Of a whole frame, but for its MIC. */
static void print_frame(uint8_t print[PRINT_LEN], const struct network_step *s)
{
    ljs__hash(print, s->in, s->in_len - LJS__DATA_MIC_LEN);
}

/* [L2 1.0.4 §4.3.1.3, §5.2]  a frame goes on air NbTrans times; more may be a replay, and are discarded.
 * The counter of the last frame with anything else under it is none of a sound device. */
static ljs_err repeats_the_last(const struct network_step *s)
{
    uint8_t print[PRINT_LEN];

    print_frame(print, s);
    return s->n.last.known && s->n.last.again < LJS_NS_AGAIN_MAX && ljs__equal(s->n.last.print, print, PRINT_LEN)
               ? LJS_OK
               : LJS_E_REPLAY;
}

static bool within(const struct limiter *l, uint16_t limit, int64_t now)
{
    return !limit || l->n < limit || now < l->since || now - l->since >= HOUR;
}

/* [L2 1.1 §6.2.4.1]  the network server checks MIC and NetID, and that RJcount0 is greater than
 * the last one of this context */
static ljs_err rejoin_verifies(const struct network_step *s)
{
    const struct context *c = &s->n.current;
    ljs_err err;

    if (!is_1_1(c))
        return LJS_E_STATE;
    if (s->frame.net_id != s->n.opts.net_id)
        return LJS_E_HOME;
    if ((err = ljs__network_open(&s->n, c, s->vault, s->ring)) ||
        (err = ljs__frame_check(s->ring, KEY_S_NWK_S_INT, s->in, s->in_len)))
        return err;
    return s->frame.nonce > c->is.rj_count0 ? LJS_OK : LJS_E_REPLAY;
}

static ljs_err checked_are_few(const struct network_step *s)
{
    return within(&s->n.checked, s->n.opts.rejoins_per_hour, s->now) ? LJS_OK : LJS_E_BUSY;
}

static ljs_err rejoin_is_good(const struct network_step *s)
{
    ljs_err err = rejoin_verifies(s);

    return err ? err : checked_are_few(s);
}

/* [TS002 §14]  a rejoin-request 2 that was not asked for is dropped */
static ljs_err rejoin_is_good_and_asked_for(const struct network_step *s)
{
    ljs_err err = rejoin_verifies(s);

    return err ? err : s->n.rejoin2 ? checked_are_few(s) : LJS_E_STATE;
}

static ljs_err rejoins_are_few(const struct network_step *s)
{
    return within(&s->n.unchecked, s->n.opts.rejoins1_per_hour, s->now) ? LJS_OK : LJS_E_BUSY;
}

static ljs_err can_rejoin(const struct network_step *s)
{
    return is_1_1(&s->n.current) ? LJS_OK : LJS_E_MAC; /* rejoining is not of LoRaWAN 1.0 */
}

static uint64_t next_down(const struct network_step *s)
{
    return s->tx->fport ? s->n.current.is.a_fcnt_down : s->n.current.is.n_fcnt_down;
}

static ljs_err something_fits(const struct network_step *s)
{
    if (!s->sent && !s->tx->fport && !s->mac_len)
        return LJS_E_NOTFOUND;
    if (s->tx->fport && (s->mac_len > LJS_FOPTS_MAX || s->mac_len + s->tx->payload_len > LJS_FRM_PAYLOAD_MAX))
        return LJS_E_SIZE;
    if (s->mac_len > LJS_FRM_PAYLOAD_MAX)
        return LJS_E_SIZE;
    if (next_down(s) > UINT32_MAX)
        return LJS_E_SPENT;
    return s->tx->fport && s->tx->fcnt < next_down(s) ? LJS_E_REPLAY : LJS_OK;
}

/* ---- what rows do ----------------------------------------------------------- */

static void nothing(struct network_step *s)
{
    (void)s;
}

/* A context is gone for ever: should its keys come again, they are not to be used from counter 0
 * a second time. */
static void bury(struct network *n, const struct context *c)
{
    if (!c->is.present)
        return;
    memmove(n->past[1], n->past[0], sizeof n->past - sizeof n->past[0]);
    memcpy(n->past[0], c->print, PRINT_LEN);
    if (n->pasts < PAST_MAX)
        n->pasts++;
}

void ljs__network_drop_force(struct network *n)
{
    memset(&n->force, 0, sizeof n->force);
    n->force.at = -1;
}

static void make_pending(struct network_step *s)
{
    s->replaced = s->n.pending.is.present;
    bury(&s->n, &s->n.pending);
    s->n.pending = s->fresh;
}

static uint8_t lesser(uint8_t a, uint8_t b)
{
    return a < b ? a : b;
}

/* What was owed for an uplink before is of no use any more: the device listens to the answer to this
 * one.  A RekeyInd that is missing tells that RekeyConf was heard. */
static void owe(struct network_step *s)
{
    s->n.due = (uint8_t)((s->data.confirmed ? LJS_NS_DUE_ACK : 0) | (s->rekey ? LJS_NS_DUE_REKEY_CONF : 0) |
                         (s->data.adr_ack_req ? LJS_NS_DUE_ADR_ACK : 0));
    s->n.ack_fcnt = s->data.confirmed ? s->data.fcnt : 0;
}

/* The device has heard nothing of what answered it.  What else is in the frame has been dealt with. */
static void owe_again(struct network_step *s)
{
    s->n.last.again++;
    s->answered = false;
    owe(s);
}

/* Under the current context. */
static void take_uplink(struct network_step *s)
{
    struct network *n = &s->n;
    struct context *c = &n->current;

    c->is.fcnt_up = s->fcnt;
    n->last.known = true;
    n->last.again = 0;
    n->last.conf_fcnt = ljs__network_conf_fcnt(c);
    print_frame(n->last.print, s);
    owe(s);
    if (s->rekey) /* [L2 1.1 §5.10]  the highest version that both sides speak */
        c->is.minor = lesser(s->minor, n->opts.minor);
    if (s->data.ack && c->awaited) {
        c->awaited = false;
        s->acked = true;
    }
    if (n->params.phase == PARAMS_SENT) {
        n->params.phase = s->answered ? PARAMS_KNOWN : PARAMS_DUE;
        n->params.time_ok = s->answered && s->time_ok;
    } else {
        s->answered = false; /* to what was asked before, or to nothing */
    }
}

/* [L2 1.1 §6.2.4]  the network keeps the old context until it has heard the device under the new */
static void switch_to_pending(struct network_step *s)
{
    struct network *n = &s->n;

    bury(n, &n->current);
    n->current = n->pending;
    memset(&n->pending, 0, sizeof n->pending);
    n->rejoin2 = false;
    ljs__network_drop_force(n); /* there are new keys: what the wish was for */
    /* [L2 1.1 §6.2.4.3]  rejoin 2 alone leaves the MAC parameters as they are */
    if (n->params.phase != PARAMS_NONE && (n->params.phase != PARAMS_KNOWN || n->current.is.kind != LJS_FRAME_REJOIN2))
        n->params.phase = PARAMS_DUE;
    s->switched = true;
    take_uplink(s);
}

static void count_down(struct network_step *s)
{
    struct network *n = &s->n;
    struct context *c = &n->current;

    s->fcnt = s->tx->fport ? s->tx->fcnt : (uint32_t)next_down(s);
    /* [L2 1.1 §4.3.1.5]  AFCntDown counts frames with a port above 0, NFCntDown all others; in 1.0
     * there is one counter for both */
    if (s->tx->fport || c->is.scheme == LJS_SCHEME_1_0)
        c->is.a_fcnt_down = (uint64_t)s->fcnt + 1;
    if (!s->tx->fport || c->is.scheme == LJS_SCHEME_1_0)
        c->is.n_fcnt_down = (uint64_t)s->fcnt + 1;
    if (s->tx->confirmed) {
        c->confirmed = (uint16_t)s->fcnt;
        c->awaited = true;
    }
    n->due = 0;
    if (s->sent & LJS_NS_DUE_FORCE_REJOIN) {
        /* [L2 1.1 §5.13]  it takes the place of the one before */
        n->rejoin2 = n->force.type == 2;
        n->force.due = false;
        n->force.left--;
        n->force.at = s->now + n->force.wait;
        n->force.wait = n->force.wait < WAIT_MAX / 2 ? n->force.wait * 2 : WAIT_MAX;
    }
    if (s->sent & LJS_NS_DUE_REJOIN_PARAMS)
        n->params.phase = PARAMS_SENT;
}

static void count(struct limiter *l, int64_t now)
{
    if (!l->n || now < l->since || now - l->since >= HOUR)
        *l = (struct limiter){ .since = now };
    if (l->n < UINT32_MAX)
        l->n++;
}

static void route_checked(struct network_step *s)
{
    s->n.current.is.rj_count0 = s->frame.nonce;
    count(&s->n.checked, s->now);
    s->forced = s->n.force.due || s->n.force.left || s->n.force.at >= 0;
    ljs__network_drop_force(&s->n);
}

static void route_unchecked(struct network_step *s)
{
    count(&s->n.unchecked, s->now);
}

/* How long a device takes over all of its tries: at once, then max_retries times after
 * 32 s * 2^period + Rand32.  [L2 1.1 §5.13] */
static int64_t whole_run(const ljs_ns_force *f)
{
    return (f->max_retries + 1) * (((int64_t)32000 << f->period) + 32000);
}

static void wish_force(struct network_step *s)
{
    const ljs_ns_force *f = s->force;
    struct network *n = &s->n;

    ljs__network_drop_force(n);
    if (!f->tries)
        return;
    n->force.type = f->rejoin_type;
    n->force.period = f->period;
    n->force.max_retries = f->max_retries;
    n->force.data_rate = f->data_rate;
    n->force.left = f->tries;
    n->force.due = true;
    n->force.wait = f->wait ? f->wait : whole_run(f);
}

static void wish_params(struct network_step *s)
{
    s->n.params.phase = PARAMS_DUE;
    s->n.params.max_time_n = s->max_time_n;
    s->n.params.max_count_n = s->max_count_n;
    s->n.params.time_ok = 0;
}

static void look_at_clock(struct network_step *s)
{
    struct network *n = &s->n;

    if (n->force.at < 0 || s->now < n->force.at)
        return;
    n->force.at = -1;
    if (n->force.left) {
        n->force.due = true;
    } else {
        s->spent = true;
        ljs__network_drop_force(n);
    }
}

/* ---- the machine ------------------------------------------------------------ */

#define ROW(from, event, check, act, next)                                                                             \
    {                                                                                                                  \
        LJS_NS_##from, EV_##event, check, act, LJS_NS_##next, #from, #event, #check, #act, #next                       \
    }

/* clang-format off */
static const struct network_row rows[] = {
    ROW(NONE,      ACCEPT_JOIN,     always,                       make_pending,      PENDING),
    ROW(NONE,      ACCEPT_REJOIN1,  always,                       make_pending,      PENDING),
    ROW(NONE,      REJOIN1,         rejoins_are_few,              route_unchecked,   NONE),
    ROW(NONE,      TIMER,           always,                       nothing,           NONE),

    ROW(PENDING,   ACCEPT_JOIN,     always,                       make_pending,      PENDING),
    ROW(PENDING,   ACCEPT_REJOIN1,  always,                       make_pending,      PENDING),
    ROW(PENDING,   FIRST_10,        counter_rises,                switch_to_pending, ACTIVE),
    ROW(PENDING,   FIRST_REKEY,     counter_rises,                switch_to_pending, REKEYING),
    ROW(PENDING,   REJOIN1,         rejoins_are_few,              route_unchecked,   PENDING),
    ROW(PENDING,   TIMER,           always,                       nothing,           PENDING),

    ROW(REKEYING,  ACCEPT_JOIN,     always,                       make_pending,      SWITCHING),
    ROW(REKEYING,  ACCEPT_REJOIN1,  always,                       make_pending,      SWITCHING),
    ROW(REKEYING,  ACCEPT_REJOIN02, answers_last_rejoin,          make_pending,      SWITCHING),
    ROW(REKEYING,  UPLINK,          counter_rises,                take_uplink,       ACTIVE),
    ROW(REKEYING,  UPLINK_REKEY,    counter_rises,                take_uplink,       REKEYING),
    ROW(REKEYING,  UPLINK_AGAIN,    repeats_the_last,             owe_again,         REKEYING),
    ROW(REKEYING,  DOWNLINK,        something_fits,               count_down,        REKEYING),
    ROW(REKEYING,  REJOIN0,         rejoin_is_good,               route_checked,     REKEYING),
    ROW(REKEYING,  REJOIN1,         rejoins_are_few,              route_unchecked,   REKEYING),
    ROW(REKEYING,  REJOIN2,         rejoin_is_good_and_asked_for, route_checked,     REKEYING),
    ROW(REKEYING,  FORCE_REJOIN,    can_rejoin,                   wish_force,        REKEYING),
    ROW(REKEYING,  REJOIN_PARAMS,   can_rejoin,                   wish_params,       REKEYING),
    ROW(REKEYING,  TIMER,           always,                       look_at_clock,     REKEYING),

    ROW(ACTIVE,    ACCEPT_JOIN,     always,                       make_pending,      SWITCHING),
    ROW(ACTIVE,    ACCEPT_REJOIN1,  always,                       make_pending,      SWITCHING),
    ROW(ACTIVE,    ACCEPT_REJOIN02, answers_last_rejoin,          make_pending,      SWITCHING),
    ROW(ACTIVE,    UPLINK,          counter_rises,                take_uplink,       ACTIVE),
    ROW(ACTIVE,    UPLINK_REKEY,    counter_rises,                take_uplink,       REKEYING),
    ROW(ACTIVE,    UPLINK_AGAIN,    repeats_the_last,             owe_again,         ACTIVE),
    ROW(ACTIVE,    DOWNLINK,        something_fits,               count_down,        ACTIVE),
    ROW(ACTIVE,    REJOIN0,         rejoin_is_good,               route_checked,     ACTIVE),
    ROW(ACTIVE,    REJOIN1,         rejoins_are_few,              route_unchecked,   ACTIVE),
    ROW(ACTIVE,    REJOIN2,         rejoin_is_good_and_asked_for, route_checked,     ACTIVE),
    ROW(ACTIVE,    FORCE_REJOIN,    can_rejoin,                   wish_force,        ACTIVE),
    ROW(ACTIVE,    REJOIN_PARAMS,   can_rejoin,                   wish_params,       ACTIVE),
    ROW(ACTIVE,    TIMER,           always,                       look_at_clock,     ACTIVE),

    ROW(SWITCHING, ACCEPT_JOIN,     always,                       make_pending,      SWITCHING),
    ROW(SWITCHING, ACCEPT_REJOIN1,  always,                       make_pending,      SWITCHING),
    ROW(SWITCHING, ACCEPT_REJOIN02, answers_last_rejoin,          make_pending,      SWITCHING),
    ROW(SWITCHING, UPLINK,          counter_rises,                take_uplink,       SWITCHING),
    ROW(SWITCHING, UPLINK_REKEY,    counter_rises,                take_uplink,       SWITCHING),
    ROW(SWITCHING, UPLINK_AGAIN,    repeats_the_last,             owe_again,         SWITCHING),
    /* [L2 1.1 §5.10]  uplinks of the new context before one with RekeyInd are dropped: FIRST_PLAIN is in no row */
    ROW(SWITCHING, FIRST_10,        counter_rises,                switch_to_pending, ACTIVE),
    ROW(SWITCHING, FIRST_REKEY,     counter_rises,                switch_to_pending, REKEYING),
    ROW(SWITCHING, DOWNLINK,        something_fits,               count_down,        SWITCHING),
    ROW(SWITCHING, REJOIN0,         rejoin_is_good,               route_checked,     SWITCHING),
    ROW(SWITCHING, REJOIN1,         rejoins_are_few,              route_unchecked,   SWITCHING),
    ROW(SWITCHING, REJOIN2,         rejoin_is_good_and_asked_for, route_checked,     SWITCHING),
    ROW(SWITCHING, FORCE_REJOIN,    can_rejoin,                   wish_force,        SWITCHING),
    ROW(SWITCHING, REJOIN_PARAMS,   can_rejoin,                   wish_params,       SWITCHING),
    ROW(SWITCHING, TIMER,           always,                       look_at_clock,     SWITCHING),
};
/* clang-format on */

const struct network_row *ljs__network_rules(size_t *n)
{
    *n = COUNT(rows);
    return rows;
}

static const struct network_row *row_for(ljs_ns_state from, enum network_event event)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].from == from && rows[i].event == event)
            return &rows[i];
    return NULL;
}

ljs_err ljs__network_run(struct network_step *s, enum network_event event)
{
    const struct network_row *row = row_for(s->n.state, event);
    ljs_err err = row ? row->check(s) : LJS_E_STATE;

    if (err)
        return err;
    row->act(s);
    s->n.state = row->next;
    return LJS_OK;
}
