#include "session/network.h"

#include "air/data.h"
#include "air/mac.h"
#include "base/secret.h"
#include "session/network_step.h"

static const int64_t TIME_MAX = INT64_MAX / 4;

static ljs_err begin(struct network_step *s, const ljs_vault *vault, int64_t now, const uint8_t *state,
                     size_t state_len)
{
    memset(s, 0, sizeof *s);
    s->vault = vault;
    s->now = now;
    if (now < 0 || now > TIME_MAX)
        return LJS_E_INVAL;
    return ljs__network_load(&s->n, vault, state, state_len);
}

/* Where the MAC layer's encryption key of a context is. */
static enum key_id enc_key(const struct context *c)
{
    return c->is.scheme == LJS_SCHEME_1_1 ? KEY_NWK_S_ENC : KEY_F_NWK_S_INT;
}

/* ---- a new state ------------------------------------------------------------ */

void ljs_ns_opts_init(ljs_ns_opts *out)
{
    *out = (ljs_ns_opts){ .struct_size = sizeof *out, .minor = 1, .rejoins_per_hour = 16, .rejoins1_per_hour = 6 };
}

ljs_err ljs_ns_new(ljs_buf *out_state, ljs_vault *vault, const ljs_ns_opts *opts)
{
    struct network n = { .state = LJS_NS_NONE };
    ljs_err err = ljs__vault_alive(vault);

    *out_state = (ljs_buf){ NULL, 0 };
    if (err)
        return err;
    if (opts->struct_size != sizeof *opts || opts->net_id > 0xffffff || !opts->minor || opts->minor > 15 ||
        (opts->order != LJS_LOW_FIRST && opts->order != LJS_HIGH_FIRST))
        return LJS_E_INVAL;
    n.opts = *opts;
    ljs__network_drop_force(&n);
    return ljs__network_save(out_state, &n, vault);
}

/* ---- join-accept ------------------------------------------------------------ */

static ljs_err check_accepted(enum network_event *event, const ljs_ns_accepted *a)
{
    bool v11 = a->scheme == LJS_SCHEME_1_1;

    switch (a->kind) {
    case LJS_FRAME_JOIN:
        *event = EV_ACCEPT_JOIN;
        break;
    case LJS_FRAME_REJOIN1:
        *event = EV_ACCEPT_REJOIN1;
        break;
    case LJS_FRAME_REJOIN0:
    case LJS_FRAME_REJOIN2:
        *event = EV_ACCEPT_REJOIN02;
        break;
    default:
        return LJS_E_INVAL;
    }
    if (!v11 && a->scheme != LJS_SCHEME_1_0)
        return LJS_E_INVAL;
    /* [L2 1.1 §6.2.4]  rejoining is of 1.1 alone */
    if ((!v11 && a->kind != LJS_FRAME_JOIN) || (v11 && a->mac < 0x0110) || a->mac < 0x0100)
        return LJS_E_MAC;
    return LJS_OK;
}

static ljs_err load_keys(struct ring *ring, ljs_scheme scheme, const ljs_ns_keys *keys)
{
    const struct {
        enum key_id id;
        const ljs_key *key;
    } loads[] = { { KEY_F_NWK_S_INT, keys->f_nwk_s_int },
                  { KEY_S_NWK_S_INT, keys->s_nwk_s_int },
                  { KEY_NWK_S_ENC, keys->nwk_s_enc } };
    ljs_err err = LJS_OK;

    for (size_t i = 0; i < (scheme == LJS_SCHEME_1_1 ? COUNT(loads) : 1) && !err; i++) {
        if (!loads[i].key)
            return LJS_E_NOKEY;
        if (ljs_key_len(loads[i].key) != 16)
            return LJS_E_INVAL;
        err = ljs__ring_load(ring, loads[i].id, loads[i].key);
    }
    return err;
}

static bool same(const struct context *a, const struct context *b)
{
    return a->is.present && ljs__equal(a->print, b->print, PRINT_LEN);
}

/* Has the machine seen these keys?  A Join Server repeats itself when it is asked the same again,
 * and answers may overtake one another. */
static ljs_err recognise(bool *repeat, const struct network_step *s)
{
    const struct network *n = &s->n;
    const struct context *was = same(&n->current, &s->fresh)   ? &n->current
                                : same(&n->pending, &s->fresh) ? &n->pending
                                                               : NULL;

    *repeat = was != NULL;
    if (was && (was->is.dev_addr != s->fresh.is.dev_addr || was->is.scheme != s->fresh.is.scheme))
        return LJS_E_REPLAY; /* one key, two contexts */
    for (unsigned i = 0; i < n->pasts; i++)
        if (ljs__equal(n->past[i], s->fresh.print, PRINT_LEN))
            return LJS_E_REPLAY;
    return LJS_OK;
}

ljs_err ljs_ns_join_accepted(ljs_ns_joined *out, ljs_buf *out_state, ljs_vault *vault, const ljs_ns_accepted *accepted,
                             const ljs_ns_keys *keys, const uint8_t *state, size_t state_len)
{
    struct network_step s;
    struct wr sealed = { 0 };
    enum network_event event = EVENTS;
    bool repeat = false;
    ljs_err err;

    memset(out, 0, sizeof *out);
    *out_state = (ljs_buf){ NULL, 0 };
    if (accepted->struct_size != sizeof *accepted)
        return LJS_E_INVAL;
    if ((err = begin(&s, vault, accepted->now, state, state_len)) || (err = check_accepted(&event, accepted)) ||
        (err = ljs__ring_take(&s.ring)))
        return err;
    s.accepted = accepted;
    s.fresh = (struct context){ .is = { .present = 1,
                                        .scheme = accepted->scheme,
                                        .mac = accepted->mac,
                                        .kind = accepted->kind,
                                        .dev_addr = accepted->dev_addr,
                                        .fcnt_up = -1,
                                        .rj_count0 = -1,
                                        .at = accepted->now },
                                .confirmed = -1 };
    memcpy(s.fresh.is.session_key_id, accepted->session_key_id, sizeof s.fresh.is.session_key_id);
    if ((err = load_keys(s.ring, accepted->scheme, keys)) ||
        (err = ljs__network_seal(&sealed, s.fresh.print, &s.n, &s.fresh, vault, s.ring)) ||
        (err = recognise(&repeat, &s)))
        goto out;
    s.fresh.sealed = (struct rd){ sealed.data, sealed.len, false };
    if (sealed.bad)
        err = LJS_E_NOMEM;
    else if (!repeat)
        err = ljs__network_run(&s, event);
    if (!err)
        err = ljs__network_save(out_state, &s.n, vault);
    if (!err)
        *out = (ljs_ns_joined){ s.n.state, repeat, s.replaced, s.n.force.at };
out:
    ljs__wr_drop(&sealed);
    ljs__ring_give(s.ring);
    return err;
}

/* ---- uplink ----------------------------------------------------------------- */

/* Is this the counter of the last frame under the current context? */
static bool is_last(const struct network_step *s, const struct context *c, int64_t fcnt)
{
    return c == &s->n.current && fcnt == c->is.fcnt_up;
}

/* Does the frame verify under the keys in the ring with this counter? */
static ljs_err verify(const struct network_step *s, const struct context *c, int64_t fcnt, uint8_t tx_dr, uint8_t tx_ch)
{
    const ljs_data_of of = { .scheme = c->is.scheme,
                             .fcnt = (uint32_t)fcnt,
                             .conf_fcnt = s->n.last.known && is_last(s, c, fcnt) ? s->n.last.conf_fcnt
                                                                                 : ljs__network_conf_fcnt(c),
                             .tx_dr = tx_dr,
                             .tx_ch = tx_ch };

    if (fcnt < 0 || fcnt > UINT32_MAX)
        return LJS_E_MIC;
    return ljs__data_check(s->ring, &of, KEY_F_NWK_S_INT, KEY_S_NWK_S_INT, s->in, s->in_len);
}

/* Whose is it, and what is its whole counter?  [L2 1.1 §4.3.1.5]  The frame has 16 bits of it: the
 * next number above the last that ends in them, or, for a frame heard before, the one below. */
static ljs_err find_context(struct network_step *s, uint8_t tx_dr, uint8_t tx_ch)
{
    struct context *const contexts[] = { &s->n.current, &s->n.pending };
    ljs_err found = LJS_E_SESSION;

    for (size_t i = 0; i < COUNT(contexts) && (found == LJS_E_SESSION || found == LJS_E_MIC); i++) {
        struct context *c = contexts[i];
        int64_t last = c->is.fcnt_up, fcnt = s->data.fcnt;

        if (!c->is.present || c->is.dev_addr != s->data.dev_addr)
            continue;
        if ((found = ljs__network_open(&s->n, c, s->vault, s->ring)))
            return found;
        if (last >= 0) {
            fcnt += last / 0x10000 * 0x10000;
            fcnt += fcnt <= last ? 0x10000 : 0;
        }
        found = verify(s, c, fcnt, tx_dr, tx_ch);
        if (found == LJS_E_MIC && fcnt - 0x10000 <= last) {
            fcnt -= 0x10000;
            found = verify(s, c, fcnt, tx_dr, tx_ch);
        }
        s->under = c;
        s->fcnt = (uint32_t)fcnt;
    }
    return found;
}

/* MAC commands into the clear, and those among them that we take part in. */
static ljs_err read_commands(struct network_step *s)
{
    const struct context *c = s->under;
    const ljs_data *d = &s->data;
    ljs_mac_command command;
    ljs_err err = LJS_OK;

    if (d->has_fport && d->fport == 0) {
        s->mac_len = d->frm_payload_len;
        err = ljs__data_crypt(s->ring, enc_key(c), s->mac, LJS_STREAM_FRM_PAYLOAD, LJS_UP, d->dev_addr, s->fcnt,
                              d->frm_payload, d->frm_payload_len);
    } else if (c->is.scheme == LJS_SCHEME_1_1) { /* [L2 1.1 §4.3.1.6]  FOpts is encrypted */
        s->mac_len = d->fopts_len;
        err = ljs__data_crypt(s->ring, KEY_NWK_S_ENC, s->mac, LJS_STREAM_FOPTS, LJS_UP, d->dev_addr, s->fcnt, d->fopts,
                              d->fopts_len);
    } else {
        s->mac_len = d->fopts_len;
        memcpy(s->mac, d->fopts, d->fopts_len);
    }
    for (size_t at = 0; !err && !ljs_mac_command_parse(&command, &at, LJS_UP, s->n.opts.order, s->mac, s->mac_len);) {
        if (c->is.scheme != LJS_SCHEME_1_1)
            break; /* [L2 1.1 §5.10]  with OptNeg clear there is no rekeying */
        if (command.cid == LJS_CID_REKEY && command.minor) { /* minor 0 is RFU */
            s->rekey = true;
            s->minor = command.minor;
        } else if (command.cid == LJS_CID_REJOIN_PARAM_SETUP) {
            s->answered = true;
            s->time_ok = command.time_ok;
        } /* [L2 1.1 §5.1]  ResetInd is of ABP devices, and ignored from all others */
    }
    return err;
}

static enum network_event uplink_event(const struct network_step *s)
{
    if (is_last(s, s->under, s->fcnt))
        return EV_UPLINK_AGAIN;
    if (s->under == &s->n.current)
        return s->rekey ? EV_UPLINK_REKEY : EV_UPLINK;
    if (s->under->is.scheme == LJS_SCHEME_1_0)
        return EV_FIRST_10;
    return s->rekey ? EV_FIRST_REKEY : EV_FIRST_PLAIN;
}

static void say_uplink(ljs_ns_up *out, const struct network_step *s)
{
    const struct network *n = &s->n;
    const ljs_data *d = &s->data;

    out->state = n->state;
    out->scheme = n->current.is.scheme;
    out->dev_addr = d->dev_addr;
    memcpy(out->session_key_id, n->current.is.session_key_id, sizeof out->session_key_id);
    out->fcnt = s->fcnt;
    out->again = n->last.again;
    out->confirmed = d->confirmed;
    out->adr = d->adr;
    out->class_b = d->pending;
    out->switched = s->switched;
    out->rekey = s->rekey;
    out->minor = s->rekey ? n->current.is.minor : 0;
    out->acked = s->acked;
    out->params_answered = s->answered;
    out->time_ok = s->answered && n->params.time_ok;
    out->due = ljs__network_due(n);
    out->wake_at = n->force.at;
    if (out->again)
        return;
    out->has_fport = d->has_fport;
    out->fport = d->fport;
    if (d->fport) {
        memcpy(out->payload, d->frm_payload, d->frm_payload_len);
        out->payload_len = d->frm_payload_len;
    }
    memcpy(out->mac, s->mac, s->mac_len);
    out->mac_len = s->mac_len;
}

ljs_err ljs_ns_uplink(ljs_ns_up *out, ljs_buf *out_state, ljs_vault *vault, int64_t now, uint8_t tx_dr, uint8_t tx_ch,
                      const uint8_t *in, size_t in_len, const uint8_t *state, size_t state_len)
{
    struct network_step s;
    ljs_err err;

    memset(out, 0, sizeof *out);
    *out_state = (ljs_buf){ NULL, 0 };
    if ((err = begin(&s, vault, now, state, state_len)) || (err = ljs_data_parse(&s.data, in, in_len)))
        return err;
    if (s.data.direction != LJS_UP)
        return LJS_E_FRAME;
    s.in = in;
    s.in_len = in_len;
    if ((err = ljs__ring_take(&s.ring)))
        return err;
    if (!(err = find_context(&s, tx_dr, tx_ch)) && !(err = read_commands(&s)) &&
        !(err = ljs__network_run(&s, uplink_event(&s))) && !(err = ljs__network_save(out_state, &s.n, vault)))
        say_uplink(out, &s);
    ljs__ring_give(s.ring);
    ljs__wipe(s.mac, sizeof s.mac);
    return err;
}

/* ---- downlink --------------------------------------------------------------- */

/* What is due, then what the caller adds. */
static ljs_err gather(struct network_step *s)
{
    const struct network *n = &s->n;
    const struct {
        uint8_t due;
        ljs_mac_command command;
    } own[] = {
        { LJS_NS_DUE_REKEY_CONF, { .cid = LJS_CID_REKEY, .minor = n->current.is.minor } },
        { LJS_NS_DUE_FORCE_REJOIN,
          { .cid = LJS_CID_FORCE_REJOIN,
            .period = n->force.period,
            .max_retries = n->force.max_retries,
            .rejoin_type = n->force.type,
            .data_rate = n->force.data_rate } },
        { LJS_NS_DUE_REJOIN_PARAMS,
          { .cid = LJS_CID_REJOIN_PARAM_SETUP,
            .max_time_n = n->params.max_time_n,
            .max_count_n = n->params.max_count_n } },
    };

    s->sent = ljs__network_due(n);
    for (size_t i = 0; i < COUNT(own); i++) {
        ljs_mac_command command = own[i].command;
        uint8_t octets[LJS_MAC_COMMAND_MAX];
        size_t len;
        ljs_err err;

        if (!(s->sent & own[i].due))
            continue;
        command.direction = LJS_DOWN;
        if ((err = ljs__mac_command_write(octets, &len, &command, n->opts.order)))
            return err;
        memcpy(s->mac + s->mac_len, octets, len);
        s->mac_len += len;
    }
    memcpy(s->mac + s->mac_len, s->tx->mac, s->tx->mac_len);
    s->mac_len += s->tx->mac_len;
    return LJS_OK;
}

static ljs_err build(ljs_ns_down *out, struct network_step *s)
{
    const struct context *c = &s->n.current;
    const ljs_ns_tx *tx = s->tx;
    bool v11 = c->is.scheme == LJS_SCHEME_1_1, port0 = s->mac_len > LJS_FOPTS_MAX;
    const ljs_data_of of = { .scheme = c->is.scheme, .fcnt = s->fcnt, .conf_fcnt = s->n.ack_fcnt };
    ljs_data d = { .direction = LJS_DOWN,
                   .confirmed = tx->confirmed,
                   .dev_addr = c->is.dev_addr,
                   .adr = tx->adr,
                   .ack = !!(s->sent & LJS_NS_DUE_ACK),
                   .pending = tx->pending,
                   .fcnt = (uint16_t)s->fcnt,
                   .has_fport = tx->fport || port0,
                   .fport = tx->fport };
    ljs_err err = ljs__network_open(&s->n, c, s->vault, s->ring);

    if (err)
        return err;
    if (tx->fport) {
        memcpy(d.frm_payload, tx->payload, tx->payload_len);
        d.frm_payload_len = tx->payload_len;
    }
    if (port0) {
        d.frm_payload_len = s->mac_len;
        err = ljs__data_crypt(s->ring, enc_key(c), d.frm_payload, LJS_STREAM_FRM_PAYLOAD, LJS_DOWN, d.dev_addr, s->fcnt,
                              s->mac, s->mac_len);
    } else {
        d.fopts_len = (uint8_t)s->mac_len;
        memcpy(d.fopts, s->mac, s->mac_len);
        if (v11) /* [L2 1.1 §4.3.1.6 and its errata]  which counter it is goes into the key stream */
            err = ljs__data_crypt(s->ring, KEY_NWK_S_ENC, d.fopts, tx->fport ? LJS_STREAM_FOPTS_A : LJS_STREAM_FOPTS,
                                  LJS_DOWN, d.dev_addr, s->fcnt, s->mac, s->mac_len);
    }
    if (!err)
        err = ljs__data_write(out->phy, &out->phy_len, &d);
    if (!err)
        err = ljs__data_sign(s->ring, &of, KEY_F_NWK_S_INT, KEY_S_NWK_S_INT, out->phy, out->phy_len);
    return err;
}

ljs_err ljs_ns_downlink(ljs_ns_down *out, ljs_buf *out_state, ljs_vault *vault, const ljs_ns_tx *tx,
                        const uint8_t *state, size_t state_len)
{
    struct network_step s;
    ljs_err err;

    memset(out, 0, sizeof *out);
    *out_state = (ljs_buf){ NULL, 0 };
    if (tx->struct_size != sizeof *tx || tx->confirmed > 1 || tx->adr > 1 || tx->pending > 1 ||
        tx->payload_len > sizeof tx->payload || tx->mac_len > sizeof tx->mac || (!tx->fport && tx->payload_len))
        return LJS_E_INVAL;
    if ((err = begin(&s, vault, tx->now, state, state_len)))
        return err;
    s.tx = tx;
    if ((err = gather(&s)) || (err = ljs__network_run(&s, EV_DOWNLINK)) || (err = ljs__ring_take(&s.ring)))
        return err;
    if (!(err = build(out, &s)))
        err = ljs__network_save(out_state, &s.n, vault);
    if (err) {
        ljs__wipe(out, sizeof *out); /* what was not counted was never sent */
    } else {
        out->state = s.n.state;
        out->dev_addr = s.n.current.is.dev_addr;
        out->fcnt = s.fcnt;
        out->sent = s.sent;
        out->wake_at = s.n.force.at;
    }
    ljs__ring_give(s.ring);
    return err;
}

/* ---- rejoining -------------------------------------------------------------- */

ljs_err ljs_ns_rejoin(ljs_ns_route *out, ljs_buf *out_state, ljs_vault *vault, int64_t now, const uint8_t *in,
                      size_t in_len, const uint8_t *state, size_t state_len)
{
    static const enum network_event events[] = {
        [LJS_FRAME_REJOIN0] = EV_REJOIN0, [LJS_FRAME_REJOIN1] = EV_REJOIN1, [LJS_FRAME_REJOIN2] = EV_REJOIN2
    };
    struct network_step s;
    ljs_err err;

    memset(out, 0, sizeof *out);
    *out_state = (ljs_buf){ NULL, 0 };
    if ((err = begin(&s, vault, now, state, state_len)) || (err = ljs_frame_parse(&s.frame, in, in_len)))
        return err;
    if (s.frame.kind == LJS_FRAME_JOIN)
        return LJS_E_FRAME;
    if (s.frame.dev_eui != s.n.opts.dev_eui)
        return LJS_E_DEVICE;
    s.in = in;
    s.in_len = in_len;
    if ((err = ljs__ring_take(&s.ring)))
        return err;
    if (!(err = ljs__network_run(&s, events[s.frame.kind])) && !(err = ljs__network_save(out_state, &s.n, vault)))
        *out = (ljs_ns_route){ .state = s.n.state,
                               .kind = s.frame.kind,
                               .nonce = s.frame.nonce,
                               .checked = s.frame.kind != LJS_FRAME_REJOIN1,
                               .forced = s.forced,
                               .wake_at = s.n.force.at };
    ljs__ring_give(s.ring);
    return err;
}

ljs_err ljs_ns_force_rejoin(ljs_buf *out_state, ljs_vault *vault, const ljs_ns_force *force, const uint8_t *state,
                            size_t state_len)
{
    struct network_step s;
    ljs_err err;

    *out_state = (ljs_buf){ NULL, 0 };
    if (force->struct_size != sizeof *force || (force->rejoin_type != 0 && force->rejoin_type != 2) ||
        force->period > 7 || force->max_retries > 7 || force->data_rate > 15 || force->wait < 0 ||
        force->wait > WAIT_MAX)
        return LJS_E_INVAL;
    if ((err = begin(&s, vault, 0, state, state_len)))
        return err;
    s.force = force;
    if ((err = ljs__network_run(&s, EV_FORCE_REJOIN)))
        return err;
    return ljs__network_save(out_state, &s.n, vault);
}

ljs_err ljs_ns_rejoin_params(ljs_buf *out_state, ljs_vault *vault, uint8_t max_time_n, uint8_t max_count_n,
                             const uint8_t *state, size_t state_len)
{
    struct network_step s;
    ljs_err err;

    *out_state = (ljs_buf){ NULL, 0 };
    if (max_time_n > 15 || max_count_n > 15)
        return LJS_E_INVAL;
    if ((err = begin(&s, vault, 0, state, state_len)))
        return err;
    s.max_time_n = max_time_n;
    s.max_count_n = max_count_n;
    if ((err = ljs__network_run(&s, EV_REJOIN_PARAMS)))
        return err;
    return ljs__network_save(out_state, &s.n, vault);
}

ljs_err ljs_ns_timer(ljs_ns_woken *out, ljs_buf *out_state, ljs_vault *vault, int64_t now, const uint8_t *state,
                     size_t state_len)
{
    struct network_step s;
    ljs_err err;

    memset(out, 0, sizeof *out);
    *out_state = (ljs_buf){ NULL, 0 };
    if ((err = begin(&s, vault, now, state, state_len)) || (err = ljs__network_run(&s, EV_TIMER)) ||
        (err = ljs__network_save(out_state, &s.n, vault)))
        return err;
    *out = (ljs_ns_woken){ s.n.state, ljs__network_due(&s.n), s.spent, s.n.force.at };
    return LJS_OK;
}
