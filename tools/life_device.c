#include "life_inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void life_power_off(struct life *l)
{
    l->counts[N_POWER_LOSSES]++;
    l->off = true;
    l->fate = ALIVE;
    l->wake = l->windows = l->again = -1;
    l->confirmed_known = false; /* it may not know of it any more */
    life_note(l, DEVICE, "power lost");
    life_push(l, l->now + life_between(l, MINUTE, 2 * HOUR), POWER_ON, NULL, NULL);
}

/* What a frame that is not for the device, or not any more, may be refused with. */
bool life_is_refusal(ljs_err err)
{
    return err == LJS_E_REPLAY || err == LJS_E_MIC || err == LJS_E_SESSION || err == LJS_E_STATE || err == LJS_E_MAC;
}

/* What counts anew with each session. */
void life_new_session(struct life *l, int64_t join_nonce)
{
    l->join_nonce = join_nonce;
    l->last[LJS_ED_SENDS_REJOIN0] = l->last[LJS_ED_SENDS_DATA] = -1;
    l->confirmed_known = false;
}

/* No counter is on air twice, whatever the device forgot, but for the last uplink, word for word.
 * DevNonce is none before 1.0.4, and RJcount0 is that of type 0 and 2. */
static void watch_counter(struct life *l, const ljs_ed_out *out, bool again)
{
    int64_t count = out->sends == LJS_ED_SENDS_DATA ? out->fcnt : out->nonce;
    int64_t *last = &l->last[out->sends == LJS_ED_SENDS_REJOIN2 ? LJS_ED_SENDS_REJOIN0 : out->sends];

    if (out->sends == LJS_ED_SENDS_JOIN && l->version->mac < LJS_MAC_1_0_4)
        return;
    if (again ? count != *last || out->frame_len != l->last_up.phy_len ||
                    memcmp(out->frame, l->last_up.phy, out->frame_len - MIC_LEN) != 0
              : count <= *last)
        life_wrong(l, DEVICE, "the device used a counter twice");
    *last = count;
}

/* A third of the devices was told to send each uplink more than once. */
static unsigned nb_trans(const struct life *l)
{
    return l->index / VERSIONS % 3 == 2 ? NB_TRANS : 1;
}

static void device_sends(struct life *l, const ljs_ed_event *event, const ljs_ed_out *out)
{
    static const char *const sends[] = { "",
                                         "join-request, DevNonce",
                                         "rejoin-request 0, RJcount0",
                                         "rejoin-request 1, RJcount1",
                                         "rejoin-request 2, RJcount0",
                                         "uplink" };
    bool data = out->sends == LJS_ED_SENDS_DATA, again = event->kind == LJS_ED_ON_SEND_AGAIN;
    struct letter letter = { .phy_len = out->frame_len, .dr = event->tx_dr, .ch = event->tx_ch };

    memcpy(letter.phy, out->frame, out->frame_len);
    watch_counter(l, out, again);
    if (l->trace && again)
        snprintf(letter.text, sizeof letter.text, "uplink %" PRIu32 ", again", out->fcnt);
    else if (l->trace)
        snprintf(letter.text, sizeof letter.text, "%s %" PRIu32 "%s%s%s", sends[out->sends],
                 data ? out->fcnt : out->nonce, data && event->confirmed ? ", confirmed" : "",
                 data && out->state == LJS_ED_REKEYING ? ", RekeyInd" : "", !data && out->forced ? ", as told" : "");
    if (data) {
        l->counts[again ? N_AGAIN : N_UPLINKS]++;
        l->last_up = letter;
        if (event->confirmed) {
            l->confirmed_seq = l->up_seq;
            l->confirmed_known = true;
        }
        if (!again)
            l->tries = (event->confirmed ? CONFIRMED_TRIES : nb_trans(l)) - 1;
        l->again = l->tries ? l->now + WINDOWS + life_between(l, RETRANSMIT_MIN, RETRANSMIT_MAX) : -1;
    }
    l->windows = l->now + (data ? WINDOWS : JOIN_WINDOWS);
    life_air(l, DEVICE, NETWORK, AIRTIME, &letter);
}

static void device_joined(struct life *l, const ljs_ed_out *out)
{
    static const enum count counts[] = { N_REJOINS_0, N_REJOINS_1, N_REJOINS_2 };
    ljs_ed ed = { .struct_size = sizeof ed };

    if (ljs_ed_read(&ed, l->ed.data, l->ed.len)) {
        life_wrong(l, DEVICE, "the state of the device cannot be read");
        return;
    }
    l->counts[ed.session_kind == LJS_FRAME_JOIN ? N_JOINS : counts[ed.session_kind % COUNT(counts)]]++;
    life_note(l, DEVICE, "%s: %s, DevAddr %08" PRIx32 ", JoinNonce %" PRIu32, out->joined ? "joined" : "rejoined",
              ljs_ed_state_text(out->state), out->accept.dev_addr, out->accept.join_nonce);
    /* [L2 1.1 §6.2.3] */
    if (l->version->mac >= LJS_MAC_1_1 && out->accept.join_nonce <= l->join_nonce)
        life_wrong(l, DEVICE, "the device took a JoinNonce that does not rise");
    life_new_session(l, out->accept.join_nonce);
}

static void device_heard(struct life *l, const ljs_ed_out *out)
{
    uint32_t seq;

    l->counts[N_DOWNLINKS_HEARD]++;
    if (out->acked && out->scheme == LJS_SCHEME_1_1 && l->confirmed_known && l->confirmed_got != l->confirmed_seq)
        life_wrong(l, DEVICE, "the device was told that an uplink arrived that did not");
    if (!out->has_fport || !out->fport)
        return;
    seq = life_was_said(l, LJS_DOWN, out->payload, out->payload_len);
    if (!seq || seq > l->down_seq)
        life_wrong(l, DEVICE, "the device accepted a payload that nobody sent");
    else if (seq <= l->down_got)
        life_wrong(l, DEVICE, "the device accepted a downlink twice, or after a later one");
    l->down_got = seq;
}

static void device_step(struct life *l, ljs_ed_event *event)
{
    ljs_ed_out out;
    ljs_buf next;
    ljs_err err;

    event->now = l->now - l->boot;
    event->random = (uint32_t)life_draw(l);
    err = ljs_ed_step(&out, &next, l->se, event, l->ed.data, l->ed.len);
    if (err && event->kind == LJS_ED_ON_DOWNLINK && life_is_refusal(err)) {
        l->counts[N_REFUSED_BY_DEVICE]++;
        life_note(l, DEVICE, "refused: %s", ljs_strerror(err));
        return;
    }
    if (err) {
        life_note(l, DEVICE, "step %d: %s", (int)event->kind, ljs_strerror(err));
        life_wrong(l, DEVICE, "the device refused what it must not");
        return;
    }
    if (l->fate != ALIVE && (out.persist || out.sends)) {
        if (l->fate == DIES_AFTER_PERSISTING && out.persist)
            life_take(&l->durable, &next);
        ljs_buf_free(&next);
        life_power_off(l);
        return;
    }
    if (out.persist) {
        ljs_buf_free(&l->durable);
        if (ljs_buf_copy(&l->durable, next.data, next.len))
            l->fault = LJS_E_NOMEM;
    }
    life_take(&l->ed, &next);
    if (event->kind == LJS_ED_ON_TICK && !out.sends && out.wake_at >= 0 && out.wake_at <= event->now)
        life_wrong(l, DEVICE, "the device wakes up for nothing");
    l->wake = out.wake_at < 0 ? -1 : l->boot + out.wake_at;
    if (event->kind == LJS_ED_ON_DOWNLINK || event->kind == LJS_ED_ON_LOST)
        l->windows = -1;
    if (out.session_lost) {
        l->counts[N_SESSIONS_LOST]++;
        life_note(l, DEVICE, "session given up");
    }
    if (out.joined || out.rejoined)
        device_joined(l, &out);
    else if (out.state != l->ed_state)
        life_note(l, DEVICE, "%s%s", out.rekeyed ? "RekeyConf: " : "", ljs_ed_state_text(out.state));
    l->ed_state = out.state;
    l->counts[N_REKEYS] += out.rekeyed;
    if (out.heard)
        device_heard(l, &out);
    if (out.sends)
        device_sends(l, event, &out);
}

void life_device_event(struct life *l, ljs_ed_event_kind kind)
{
    ljs_ed_event event;

    ljs_ed_event_init(&event, kind, 0);
    device_step(l, &event);
}

/* What was in the element's memory is gone, and the clock begins anew. */
void life_power_on(struct life *l)
{
    ljs_ed ed = { .struct_size = sizeof ed };
    ljs_buf copy;

    l->off = false;
    l->boot = l->now;
    ljs_se_free(l->se);
    l->fault = ljs_se_software(&l->se, l->nwk, l->app);
    if (!l->fault)
        l->fault = ljs_buf_copy(&copy, l->durable.data, l->durable.len);
    if (l->fault)
        return;
    life_take(&l->ed, &copy);
    life_note(l, DEVICE, "power on");
    l->fault = ljs_ed_read(&ed, l->ed.data, l->ed.len);
    if (!l->fault && ed.join_nonce != l->join_nonce) /* it died over a join-accept that it had taken */
        life_new_session(l, ed.join_nonce);
    life_device_event(l, LJS_ED_ON_RESTART);
    if (!l->off && l->ed_state == LJS_ED_IDLE)
        life_device_event(l, LJS_ED_ON_START);
}

void life_device_uplink(struct life *l)
{
    ljs_ed_event event;

    ljs_ed_event_init(&event, LJS_ED_ON_SEND, 0);
    event.fport = PORT;
    event.confirmed = l->still || life_chance(l, 20);
    event.tx_dr = (uint8_t)life_between(l, 0, 5);
    event.tx_ch = (uint8_t)life_between(l, 0, 7);
    event.payload_len = life_say(event.payload, l, LJS_UP, ++l->up_seq);
    device_step(l, &event);
}

/* The last uplink on another channel, if it is still of use: the machine knows. */
void life_device_again(struct life *l)
{
    ljs_ed ed = { .struct_size = sizeof ed };
    ljs_ed_event event;

    l->again = -1;
    l->fault = ljs_ed_read(&ed, l->ed.data, l->ed.len);
    if (l->fault || !ed.again_left)
        return;
    l->tries--;
    ljs_ed_event_init(&event, LJS_ED_ON_SEND_AGAIN, 0);
    memcpy(event.frame, l->last_up.phy, event.frame_len = l->last_up.phy_len);
    event.tx_dr = (uint8_t)life_between(l, 0, 5);
    event.tx_ch = (uint8_t)life_between(l, 0, 7);
    device_step(l, &event);
}

void life_device_hear(struct life *l, const struct letter *letter)
{
    ljs_ed_event event;

    if (l->trace)
        trace_message(l->trace, letter->sent, l->now, NETWORK, DEVICE, l->off, letter->text);
    if (l->off)
        return;
    ljs_ed_event_init(&event, LJS_ED_ON_DOWNLINK, 0);
    memcpy(event.frame, letter->phy, letter->phy_len);
    event.frame_len = letter->phy_len;
    device_step(l, &event);
}
