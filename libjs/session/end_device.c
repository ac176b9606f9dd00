#include "session/end_device.h"

#include "air/data.h"
#include "air/octets.h"
#include "base/secret.h"
#include "session/end_device_keys.h"
#include "session/end_device_step.h"
#include "session/rekey_device.h"

#include <assert.h>

enum {
    MHDR_JOIN_ACCEPT = 0x20,   /* MType 001, RFU 0, Major 0 */
    RECEIVE_WINDOWS_MS = 8000, /* JOIN_ACCEPT_DELAY2 is 6 s, and the accept takes its time */
    NONCE_MAX = 0xffff,
    /* An event of the machine that is none of the API: a downlink is one or the other. */
    ON_ACCEPT = 100,
    ON_DATA = 101,
};

typedef struct end_device_step step;

/* A number from 0 to max, as the caller's chance has it. */
static int64_t chance(const step *s, int64_t max)
{
    return s->event->random % (max + 1);
}

/* ---- requests --------------------------------------------------------------- */

/* [L2 1.1 §7, L2 1.0.4 §7]  the airtime of join-requests, all in all: 36 s in the first hour after
 * power-up, 36 s in the next ten, then 8.7 s in any 24 hours.
 * They are spread evenly.  With n requests in one stretch, (n - 1) * gap < stretch, and so
 * n * airtime < budget when gap = stretch * airtime / (budget - airtime): no history is needed. */
static const struct {
    int64_t stretch, budget;
} budgets[] = {
    { 1 * 3600 * 1000, 36000 },
    { 10 * 3600 * 1000, 36000 },
    { 24 * 3600 * 1000, 8700 },
};

static int64_t join_gap(const step *s)
{
    unsigned period = ljs__ed_period(&s->ed, s->event->now);
    int64_t budget = budgets[period].budget, airtime = s->ed.airtime;
    int64_t gap = budgets[period].stretch * airtime / (budget - airtime) + 1;

    if (gap < RECEIVE_WINDOWS_MS)
        gap = RECEIVE_WINDOWS_MS;
    return gap + chance(s, gap / 4); /* at random, so that devices that begin together do not stay so */
}

/* [L2 1.1 §6.2.4.1]  rejoin 0 and 2 stay under 0.1 % of the time */
static int64_t rejoin_gap(const step *s)
{
    return s->ed.airtime * 1001;
}

/* A request waits for its answer alone: no other one goes while the windows for it are open, though
 * it be due, since its answer could not be told from a stranger then. */
static void let_answer_come(struct ed *ed, int64_t until)
{
    int64_t *const times[] = { &ed->force_at, &ed->rejoin0_at, &ed->rejoin1_at };

    for (size_t i = 0; i < COUNT(times); i++)
        if (*times[i] >= 0 && *times[i] < until)
            *times[i] = until;
}

static ljs_err request(step *s, ljs_frame_kind kind, ljs_ed_sends sends, int64_t nonce)
{
    let_answer_come(&s->ed, s->event->now + RECEIVE_WINDOWS_MS);
    s->out->sends = sends;
    s->out->nonce = (uint16_t)nonce;
    s->out->tx_dr = LJS_ED_DR_ANY;
    s->out->persist = 1; /* the nonce is used, whether the frame is sent or not */
    s->ed.waiting = 1;
    s->ed.kind = kind;
    s->ed.nonce = nonce;
    return ljs__ed_request(s->out->frame, &s->out->frame_len, s->se, &s->ed, kind, (uint16_t)nonce);
}

static ljs_err send_join(step *s)
{
    /* [L2 1.0.4 §6.2.5]  DevNonce is a counter that never repeats; before 1.0.4 a random number */
    ljs_err err = ljs__ed_rekey_turn(s->se, &s->ed);
    int64_t nonce = s->ed.mac >= 0x0104 ? s->ed.dev_nonce++ : (int64_t)(s->event->random & NONCE_MAX);

    if (err)
        return err;
    if (nonce > NONCE_MAX)
        return LJS_E_SPENT;
    s->ed.join_at = s->event->now + join_gap(s);
    return request(s, LJS_FRAME_JOIN, LJS_ED_SENDS_JOIN, nonce);
}

static int64_t rejoin0_span(const struct ed *ed)
{
    return INT64_C(1000) << (ed->max_time_n + 10);
}

/* [L2 1.1 §5.14]  rejoin 0 every 2^(MaxTimeN+10) seconds at least: up to 1/16 earlier, at random */
void ljs__ed_schedule_rejoin0(step *s)
{
    int64_t span = rejoin0_span(&s->ed);

    s->ed.since_rejoin0 = 0;
    s->ed.rejoin0_at = s->ed.has_params && !s->ed.no_clock ? s->event->now + span - chance(s, span / 16) : -1;
}

/* [L2 1.1 §6.2.4.2]  rejoin 1 stays under 0.01 % of the time; the option is checked for that */
static void schedule_rejoin1(step *s)
{
    int64_t span = s->ed.rejoin1_period * 1000;

    s->ed.rejoin1_at = span && s->ed.scheme == LJS_SCHEME_1_1 ? s->event->now + span + chance(s, span / 16) : -1;
}

static ljs_err send_rejoin0(step *s)
{
    s->ed.rejoin0_from = s->event->now + rejoin_gap(s);
    ljs__ed_schedule_rejoin0(s);
    return request(s, LJS_FRAME_REJOIN0, LJS_ED_SENDS_REJOIN0, s->ed.rj_count0++);
}

static ljs_err send_rejoin1(step *s)
{
    schedule_rejoin1(s);
    return request(s, LJS_FRAME_REJOIN1, LJS_ED_SENDS_REJOIN1, s->ed.rj_count1++);
}

static ljs_err send_forced(step *s)
{
    bool type2 = s->ed.force_type == 2;
    ljs_err err;

    /* [L2 1.1 §5.13]  32 s * 2^Period + Rand32 between tries */
    s->ed.force_left--;
    s->ed.force_at = s->event->now + (INT64_C(32000) << s->ed.force_period) + chance(s, 32000);
    s->ed.rejoin0_from = s->event->now + rejoin_gap(s);
    if (!type2)
        ljs__ed_schedule_rejoin0(s);
    err = request(s, type2 ? LJS_FRAME_REJOIN2 : LJS_FRAME_REJOIN0, type2 ? LJS_ED_SENDS_REJOIN2 : LJS_ED_SENDS_REJOIN0,
                  s->ed.rj_count0++);
    s->out->forced = 1;
    s->out->tx_dr = (uint8_t)s->ed.force_dr;
    return err;
}

static bool join_left(const step *s)
{
    return s->ed.mac < 0x0104 || s->ed.dev_nonce <= NONCE_MAX;
}

static bool join_due(const step *s)
{
    return s->event->now >= s->ed.join_at && join_left(s);
}

/* [L2 1.1 §6.2.4.1]  RJcount0 does not wrap: no rejoin 0 or 2 after 2^16-1 until a join-accept */
static bool force_due(const step *s)
{
    return s->ed.scheme == LJS_SCHEME_1_1 && s->ed.force_left && s->ed.rj_count0 <= NONCE_MAX &&
           s->event->now >= s->ed.force_at;
}

static bool rejoin0_due(const step *s)
{
    return s->ed.scheme == LJS_SCHEME_1_1 && s->ed.rejoin0_at >= 0 && s->ed.rj_count0 <= NONCE_MAX &&
           s->event->now >= s->ed.rejoin0_at && s->event->now >= s->ed.rejoin0_from;
}

static bool rejoin1_due(const step *s)
{
    return s->ed.scheme == LJS_SCHEME_1_1 && s->ed.rejoin1_at >= 0 && s->ed.rj_count1 <= NONCE_MAX &&
           s->event->now >= s->ed.rejoin1_at;
}

/* ---- beginning and ending --------------------------------------------------- */

static ljs_err power_up(step *s)
{
    bool rules_1_1 = s->ed.mac >= 0x0110;

    if (!ljs__se_has(s->se, LJS_SE_NWK) || (rules_1_1 && !ljs__se_has(s->se, LJS_SE_APP)))
        return LJS_E_NOKEY;
    if (!join_left(s))
        return LJS_E_SPENT;
    s->out->persist = 1;
    if (s->ed.t0 < 0)
        s->ed.t0 = s->event->now;
    return rules_1_1 ? ljs__ed_derive_js(s->se, &s->ed) : LJS_OK;
}

static ljs_err start(step *s)
{
    ljs_err err = power_up(s);

    return err ? err : send_join(s);
}

static void drop_session(step *s)
{
    struct ed *ed = &s->ed;

    ed->scheme = ed->session_kind = ed->session_nonce = ed->net_id = ed->dev_addr = 0;
    ed->fcnt_up = ed->fcnt_durable = ed->silent = ed->confirmed_up = ed->ack_wanted = 0;
    ed->n_fcnt_down = ed->a_fcnt_down = ed->ack_down = -1;
    ed->waiting = ed->kind = ed->nonce = 0;
    ed->sent_times = ed->sent_print = ed->sent_conf = 0;
    ed->params_due = ed->has_params = ed->max_time_n = ed->max_count_n = ed->since_rejoin0 = 0;
    ed->rejoin0_at = ed->rejoin1_at = -1;
    ed->force_left = ed->force_type = ed->force_period = ed->force_dr = ed->force_at = 0;
    ed->rk_session_gone = 0;
}

static ljs_err stop(step *s)
{
    s->out->session_lost = s->ed.scheme != 0;
    s->out->persist = 1;
    drop_session(s);
    return LJS_OK;
}

/* Back to joining; the first join-request goes with a TICK, as the budget has it. */
static ljs_err lose(step *s)
{
    if (s->ed.t0 < 0)
        s->ed.t0 = s->event->now;
    return stop(s);
}

/* Whatever the state stands on, into the element. */
static ljs_err load(ljs_se *se, const struct ed *ed)
{
    ljs_err err = ed->mac >= 0x0110 ? ljs__ed_derive_js(se, ed) : LJS_OK;

    return err ? err : ljs__ed_derive_session(se, ed);
}

/* What was to be within a span, over a restart.  A clock that is behind the state has begun anew: then
 * what was left when the state was made is left still. */
static void carry(int64_t *at, const step *s, int64_t span)
{
    int64_t now = s->event->now, left = *at - (now < s->ed.made_at ? s->ed.made_at : now);

    if (*at < 0)
        return;
    if (left < 0) /* at random, since many devices may have got their power back at once */
        left = chance(s, span / 16);
    *at = now + (left < span ? left : span); /* a state of schema 1 does not know when it was made */
}

/* Nothing of this needs to be durable: the same restart again comes to the same. */
static ljs_err restart(step *s)
{
    int64_t now = s->event->now, count = INT64_C(1) << (s->ed.max_count_n + 4);
    struct ed *ed = &s->ed;
    int64_t since = ed->since_rejoin0 + ed->fcnt_durable - ed->fcnt_up;

    /* [L2 1.1 §7]  the budget counts from a reset, too */
    ed->join_at = ed->force_at = now;
    if (ed->t0 >= 0)
        ed->t0 = now;
    ed->rejoin0_from = ed->scheme ? now + rejoin_gap(s) + chance(s, rejoin_gap(s) / 4) : 0;
    carry(&ed->rejoin0_at, s, rejoin0_span(ed));
    carry(&ed->rejoin1_at, s, ed->rejoin1_period * 1000);
    if (ed->has_params) { /* [L2 1.1 §5.14]  uplinks count on, also those that may have been on air since */
        ed->since_rejoin0 = since < count ? since : count;
        if (since >= count)
            ed->rejoin0_at = now;
    }
    ed->waiting = ed->kind = ed->nonce = 0;
    ed->sent_times = ed->sent_print = ed->sent_conf = 0;
    ed->fcnt_up = ed->fcnt_durable; /* those below may have been on air */
    return load(s->se, ed);
}

static ljs_err nothing(step *s)
{
    (void)s;
    return LJS_OK;
}

static ljs_err close_windows(step *s)
{
    s->ed.waiting = s->ed.kind = s->ed.nonce = 0;
    return LJS_OK;
}

/* [L2 1.1 §5.10]  no RekeyConf within the first ADR_ACK_LIMIT uplinks: back to the Join state.
 * While RekeyInd is sent every counter is durable, so FCntUp is their number. */
static bool rekey_failed(const step *s)
{
    return s->ed.fcnt_up >= s->ed.adr_ack_limit;
}

static bool link_failed(const step *s)
{
    return s->ed.link_limit && s->ed.silent >= s->ed.link_limit;
}

/* ---- a join-accept ---------------------------------------------------------- */

static bool rules_1_1(const step *s)
{
    return s->scheme == LJS_SCHEME_1_1;
}

static bool rules_1_0(const step *s)
{
    return s->scheme == LJS_SCHEME_1_0;
}

/* [L2 1.1 §6.2.3]    the device takes a JoinNonce that is greater than the last alone, and at first than 0
 * [L2 1.0.4 §6.2.6]  and one of 1.0 a JoinNonce that it did not take last */
static bool fresh_join_nonce(const step *s)
{
    bool rising = s->ed.mac >= 0x0110 || s->ed.join_nonce_rising;
    int64_t last = s->ed.join_nonce;

    return rising ? s->accept.join_nonce > (last > 0 ? last : 0) : s->accept.join_nonce != last;
}

static ljs_err open_accept(step *s)
{
    ljs_err err;

    if (!s->ed.waiting)
        return LJS_E_STATE;
    err = ljs__ed_accept(&s->accept, &s->scheme, s->se, &s->ed, s->event->frame, s->event->frame_len);
    return err || fresh_join_nonce(s) ? err : LJS_E_REPLAY;
}

/* A new session: everything counts from its beginning.  The keys go into the other bank, so the
 * old session is whole until the new state is durable. */
static ljs_err take_accept(step *s)
{
    struct ed *ed = &s->ed, old = *ed;
    bool keep = ed->kind == LJS_FRAME_REJOIN2; /* [L2 1.1 §6.2.3]  channels and MAC parameters stay */

    drop_session(s);
    if (keep) {
        ed->has_params = old.has_params;
        ed->max_time_n = old.max_time_n;
        ed->max_count_n = old.max_count_n;
        ed->since_rejoin0 = old.since_rejoin0;
        ed->rejoin0_at = old.rejoin0_at;
    }
    ed->scheme = s->scheme;
    ed->bank = !old.bank;
    ed->session_kind = old.kind;
    ed->session_nonce = old.nonce;
    ed->join_nonce = s->accept.join_nonce;
    ed->net_id = s->accept.net_id;
    ed->dev_addr = s->accept.dev_addr;
    ed->rj_count0 = 0; /* [L2 1.1 §6.2.4.1]; RJcount1 goes on [§6.2.4.2] */
    schedule_rejoin1(s);
    if (old.kind == LJS_FRAME_JOIN)
        ljs__ed_rekey_settle(ed);
    s->out->persist = 1;
    s->out->joined = old.kind == LJS_FRAME_JOIN;
    s->out->rejoined = old.kind != LJS_FRAME_JOIN;
    s->out->reset_radio = !keep;
    s->out->accept = s->accept;
    s->out->nonce = (uint16_t)old.nonce;
    return ljs__ed_derive_session(s->se, ed);
}

/* ---- the machine ------------------------------------------------------------ */

#define ROW(from, kind, guard, holds, action, act, to)                                                                 \
    {                                                                                                                  \
#from, #kind, guard, action, #to, LJS_ED_##from, LJS_ED_##to, ON(kind), holds, act                             \
    }
#define ON(kind)      ON_##kind
#define ON_START      LJS_ED_ON_START
#define ON_TICK       LJS_ED_ON_TICK
#define ON_SEND       LJS_ED_ON_SEND
#define ON_LOST       LJS_ED_ON_LOST
#define ON_STOP       LJS_ED_ON_STOP
#define ON_RESTART    LJS_ED_ON_RESTART
#define ON_SEND_AGAIN LJS_ED_ON_SEND_AGAIN

/* What is in no row is refused.  A downlink is an event of this table once it has been verified:
 * whatever does not verify is refused before. */
/* clang-format off */
static const struct end_device_row rows[] = {
    ROW(IDLE,     START,      "budget left",             join_due,           "send a join-request",            start,                   JOINING),
    ROW(IDLE,     START,      "",                        NULL,               "wait for the budget",            power_up,                JOINING),
    ROW(IDLE,     RESTART,    "",                        NULL,               "budget anew",                    restart,                 IDLE),

    ROW(JOINING,  TICK,       "budget left",             join_due,           "send a join-request",            send_join,               JOINING),
    ROW(JOINING,  TICK,       "",                        NULL,               "",                               nothing,                 JOINING),
    ROW(JOINING,  ACCEPT,     "OptNeg",                  rules_1_1,          "new session of 1.1",             take_accept,             REKEYING),
    ROW(JOINING,  ACCEPT,     "no OptNeg",               rules_1_0,          "new session of 1.0",             take_accept,             JOINED),
    ROW(JOINING,  LOST,       "",                        NULL,               "no join-accept will come",       close_windows,           JOINING),
    ROW(JOINING,  STOP,       "",                        NULL,               "",                               stop,                    IDLE),
    ROW(JOINING,  RESTART,    "",                        NULL,               "budget anew",                    restart,                 JOINING),

    ROW(REKEYING, TICK,       "ForceRejoinReq runs",     force_due,          "send the rejoin-request wanted", send_forced,             REKEYING),
    ROW(REKEYING, TICK,       "rejoin 0 is due",         rejoin0_due,        "send a rejoin-request 0",        send_rejoin0,            REKEYING),
    ROW(REKEYING, TICK,       "rejoin 1 is due",         rejoin1_due,        "send a rejoin-request 1",        send_rejoin1,            REKEYING),
    ROW(REKEYING, TICK,       "",                        NULL,               "",                               nothing,                 REKEYING),
    ROW(REKEYING, SEND,       "ADR_ACK_LIMIT uplinks",   rekey_failed,       "give the session up",            lose,                    JOINING),
    ROW(REKEYING, SEND,       "",                        NULL,               "send it, with RekeyInd",         ljs__ed_send_data,       REKEYING),
    ROW(REKEYING, SEND_AGAIN, "the last, unanswered",    ljs__ed_sent_last,  "send it once more",              ljs__ed_send_again,      REKEYING),
    ROW(REKEYING, ACCEPT,     "OptNeg",                  rules_1_1,          "new session of 1.1",             take_accept,             REKEYING),
    ROW(REKEYING, DATA,       "RekeyConf, 0 < v <= own", ljs__ed_rekey_conf, "no more RekeyInd",               ljs__ed_take_rekey_conf, JOINED),
    ROW(REKEYING, DATA,       "",                        NULL,               "take it",                        ljs__ed_take_data,       REKEYING),
    ROW(REKEYING, LOST,       "ADR_ACK_LIMIT uplinks",   rekey_failed,       "give the session up",            lose,                    JOINING),
    ROW(REKEYING, LOST,       "",                        NULL,               "no answer will come",            close_windows,           REKEYING),
    ROW(REKEYING, STOP,       "",                        NULL,               "give the session up",            stop,                    IDLE),
    ROW(REKEYING, RESTART,    "",                        NULL,               "keys anew, times carried on",    restart,                 REKEYING),

    ROW(JOINED,   TICK,       "ForceRejoinReq runs",     force_due,          "send the rejoin-request wanted", send_forced,             JOINED),
    ROW(JOINED,   TICK,       "rejoin 0 is due",         rejoin0_due,        "send a rejoin-request 0",        send_rejoin0,            JOINED),
    ROW(JOINED,   TICK,       "rejoin 1 is due",         rejoin1_due,        "send a rejoin-request 1",        send_rejoin1,            JOINED),
    ROW(JOINED,   TICK,       "",                        NULL,               "",                               nothing,                 JOINED),
    ROW(JOINED,   SEND,       "link_limit uplinks",      link_failed,        "give the session up",            lose,                    JOINING),
    ROW(JOINED,   SEND,       "",                        NULL,               "send it",                        ljs__ed_send_data,       JOINED),
    ROW(JOINED,   SEND_AGAIN, "the last, unanswered",    ljs__ed_sent_last,  "send it once more",              ljs__ed_send_again,      JOINED),
    ROW(JOINED,   ACCEPT,     "OptNeg",                  rules_1_1,          "new session of 1.1",             take_accept,             REKEYING),
    ROW(JOINED,   DATA,       "",                        NULL,               "take it",                        ljs__ed_take_data,       JOINED),
    ROW(JOINED,   LOST,       "link_limit uplinks",      link_failed,        "give the session up",            lose,                    JOINING),
    ROW(JOINED,   LOST,       "",                        NULL,               "no answer will come",            close_windows,           JOINED),
    ROW(JOINED,   STOP,       "",                        NULL,               "give the session up",            stop,                    IDLE),
    ROW(JOINED,   RESTART,    "",                        NULL,               "keys anew, times carried on",    restart,                 JOINED),
};
/* clang-format on */

const struct end_device_row *ljs__end_device_rules(size_t *n)
{
    *n = COUNT(rows);
    return rows;
}

static bool known(const step *s, int kind)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].from_state == (ljs_ed_state)s->ed.state && rows[i].kind == kind)
            return true;
    return false;
}

static const struct end_device_row *row_for(const step *s, int kind)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].from_state == (ljs_ed_state)s->ed.state && rows[i].kind == kind &&
            (!rows[i].holds || rows[i].holds(s)))
            return &rows[i];
    return NULL;
}

static int kind_of(const ljs_ed_event *event)
{
    if (event->kind != LJS_ED_ON_DOWNLINK)
        return event->kind;
    return event->frame_len && event->frame[0] == MHDR_JOIN_ACCEPT ? ON_ACCEPT : ON_DATA;
}

static bool in_range(const ljs_ed_event *event)
{
    if (event->struct_size != sizeof *event || event->now < 0 || event->now > ED_TIME_MAX)
        return false;
    if (event->kind == LJS_ED_ON_SEND)
        return event->payload_len <= sizeof event->payload && event->mac_len <= sizeof event->mac &&
               event->confirmed <= 1 && (event->fport || !event->payload_len);
    return event->kind >= LJS_ED_ON_START && event->kind <= LJS_ED_ON_SEND_AGAIN &&
           event->frame_len <= sizeof event->frame;
}

static ljs_err run(step *s)
{
    int kind = kind_of(s->event);
    const struct end_device_row *row;
    ljs_err err = LJS_OK;

    if (!known(s, kind))
        return LJS_E_STATE;
    if (kind == ON_ACCEPT)
        err = open_accept(s);
    if (kind == ON_DATA)
        err = ljs__ed_open_data(s);
    if (err)
        return err;
    if (!(row = row_for(s, kind)))
        return LJS_E_STATE;
    if ((err = row->act(s)))
        return err;
    s->ed.state = row->to_state;
    s->ed.made_at = s->event->now;
    s->out->state = row->to_state;
    s->out->scheme = (ljs_scheme)s->ed.scheme;
    s->out->wake_at = ljs__ed_wake_at(&s->ed, s->event->now);
    return LJS_OK;
}

ljs_err ljs_ed_step(ljs_ed_out *out, ljs_buf *out_state, ljs_se *se, const ljs_ed_event *event, const uint8_t *state,
                    size_t state_len)
{
    step s = { .out = out, .se = se, .event = event };
    ljs_err err;

    assert(out && out_state && se && event && (state || !state_len));
    memset(out, 0, sizeof *out);
    *out_state = (ljs_buf){ NULL, 0 };
    if (!in_range(event))
        return LJS_E_INVAL;
    err = ljs__ed_decode(&s.ed, state, state_len);
    if (!err)
        err = ljs__ed_rekey_enter(se, &s.ed);
    if (!err && event->kind == LJS_ED_ON_RESTART && s.ed.rk_session_gone) { /* its keys cannot be derived any more */
        drop_session(&s);
        s.ed.t0 = s.ed.t0 < 0 ? event->now : s.ed.t0;
        s.ed.state = LJS_ED_JOINING;
        out->session_lost = 1;
    }
    if (!err)
        err = run(&s);
    if (!err)
        err = ljs__ed_encode(out_state, &s.ed);
    if (err)
        ljs__wipe(out, sizeof *out); /* it may hold a payload in clear */
    ljs__wipe(&s.data, sizeof s.data);
    return err;
}

ljs_err ljs_ed_load(ljs_se *se, const uint8_t *state, size_t state_len)
{
    struct ed ed;
    ljs_err err = ljs__ed_decode(&ed, state, state_len);

    if (!err)
        err = ljs__ed_rekey_enter(se, &ed);
    return err ? err : load(se, &ed);
}

/* ---- a device --------------------------------------------------------------- */

const char *ljs_ed_state_text(ljs_ed_state state)
{
    static const char *const texts[] = { "IDLE", "JOINING", "REKEYING", "JOINED" };

    return (unsigned)state < COUNT(texts) ? texts[state] : "?";
}

void ljs_ed_opts_init(ljs_ed_opts *out)
{
    *out = (ljs_ed_opts){ .struct_size = sizeof *out,
                          .mac = 0x0110,
                          .airtime = 1500,
                          .adr_ack_limit = 64,
                          .link_limit = 320,
                          .fcnt_reserve = 32,
                          .adr = 1 };
}

void ljs_ed_event_init(ljs_ed_event *out, ljs_ed_event_kind kind, int64_t now)
{
    memset(out, 0, sizeof *out);
    out->struct_size = sizeof *out;
    out->kind = kind;
    out->now = now;
}

static bool valid(const ljs_ed_opts *o)
{
    return o->struct_size == sizeof *o && o->mac >= 0x0100 && (o->mac <= 0x0104 || o->mac == 0x0110) && o->airtime &&
           o->airtime <= 4000 && o->adr_ack_limit && o->fcnt_reserve && o->adr <= 1 && o->join_nonce_rising <= 1 &&
           o->no_clock <= 1 && (o->order == LJS_LOW_FIRST || o->order == LJS_HIGH_FIRST) &&
           (!o->rejoin1_period || o->rejoin1_period >= UINT32_C(10) * o->airtime) && o->dev_nonce <= NONCE_MAX &&
           o->rj_count1 <= NONCE_MAX;
}

ljs_err ljs_ed_new(ljs_buf *out_state, const ljs_ed_opts *opts)
{
    struct ed ed;
    ljs_err err;

    assert(out_state && opts);
    *out_state = (ljs_buf){ NULL, 0 };
    if (!valid(opts))
        return LJS_E_INVAL;
    if ((err = ljs__init()))
        return err;
    ed = (struct ed){
        .join_eui = (int64_t)opts->join_eui,
        .dev_eui = (int64_t)opts->dev_eui,
        .mac = opts->mac,
        .airtime = opts->airtime,
        .adr_ack_limit = opts->adr_ack_limit,
        .link_limit = opts->link_limit,
        .fcnt_reserve = opts->fcnt_reserve,
        .adr = opts->adr,
        .join_nonce_rising = opts->join_nonce_rising,
        .no_clock = opts->no_clock,
        .order = opts->order,
        .rejoin1_period = opts->rejoin1_period,
        .first_dev_nonce = opts->dev_nonce,
        .first_rj_count1 = opts->rj_count1,
        .state = LJS_ED_IDLE,
        .dev_nonce = opts->dev_nonce,
        .rj_count1 = opts->rj_count1,
        .join_nonce = -1,
        .t0 = -1,
        .n_fcnt_down = -1,
        .a_fcnt_down = -1,
        .ack_down = -1,
        .rejoin0_at = -1,
        .rejoin1_at = -1,
    };
    return ljs__ed_encode(out_state, &ed);
}
