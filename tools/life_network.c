#include "life_inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- sessions ------------------------------------------------------------ */

struct session *life_session_of(struct life *l, const uint8_t id[16])
{
    for (size_t i = 0; i < SESSIONS; i++)
        if (l->sessions[i].used && !memcmp(l->sessions[i].id, id, 16))
            return &l->sessions[i];
    return NULL;
}

bool life_read_network(struct life *l, ljs_ns *out)
{
    *out = (ljs_ns){ .struct_size = sizeof *out };
    if (!ljs_ns_read(out, l->ns.data, l->ns.len))
        return true;
    life_wrong(l, NETWORK, "the state of the network cannot be read");
    return false;
}

/* In place of one that the network has not got any more. */
static struct session *free_session(struct life *l)
{
    ljs_ns ns;

    if (!life_read_network(l, &ns))
        return NULL;
    for (size_t i = 0; i < SESSIONS; i++) {
        struct session *s = &l->sessions[i];

        if (s->used && ((ns.current.present && !memcmp(ns.current.session_key_id, s->id, 16)) ||
                        (ns.pending.present && !memcmp(ns.pending.session_key_id, s->id, 16))))
            continue;
        ljs_key_free(s->app_s);
        *s = (struct session){ 0 };
        return s;
    }
    return NULL;
}

static ljs_err open_key(ljs_key **out, const struct life *l, const ljs_envelope *envelope)
{
    const struct fleet *fleet = l->world->fleet;
    const ljs_key *kek = NULL;

    for (unsigned i = 0; i < fleet->keks_len; i++)
        if (!strcmp(fleet->keks[i].label, envelope->kek_label))
            kek = fleet->keks[i].key;
    return ljs_envelope_open(out, envelope, kek);
}

/* ---- the Join Server -------------------------------------------------------- */

/* The observer opens what it answers. */
static bool open_accept(ljs_accept *out, const struct life *l, const struct request *ask)
{
    const ljs_accept_of of = { l->scheme, ask->frame.kind, l->world->fleet->join_eui, ask->frame.nonce };

    return !ljs_accept_open(out, &of, l->scheme == LJS_SCHEME_1_1 ? l->js_int : l->nwk,
                            ask->frame.kind == LJS_FRAME_JOIN ? l->nwk : l->js_enc, ask->ans.phy, ask->ans.phy_len);
}

static void watch_answer(struct life *l, const struct request *ask)
{
    ljs_accept accept;

    if (!open_accept(&accept, l, ask)) {
        life_wrong(l, JOIN_SERVER, "the Join Server answered with a join-accept that does not open");
        return;
    }
    if (accept.dev_addr != ask->req.dev_addr || accept.net_id != l->world->fleet->net_ids[0])
        life_wrong(l, JOIN_SERVER, "the Join Server answered with another DevAddr or NetID");
    for (unsigned i = 0; i < l->givens && i < SESSIONS; i++)
        if (l->given[i].kind == ask->frame.kind && l->given[i].nonce == ask->frame.nonce &&
            l->given[i].join_nonce == accept.join_nonce)
            return; /* a repeat */
    if (accept.join_nonce <= l->highest)
        life_wrong(l, JOIN_SERVER, "the JoinNonce of the Join Server did not rise");
    l->highest = accept.join_nonce;
    l->given[l->givens % SESSIONS].kind = ask->frame.kind;
    l->given[l->givens % SESSIONS].nonce = ask->frame.nonce;
    l->given[l->givens % SESSIONS].join_nonce = accept.join_nonce;
    l->givens++;
}

static bool lost_on_backend(struct life *l, const struct request *ask, enum actor from, enum actor to)
{
    bool lost = !l->still && life_chance(l, l->world->opts->backend_loss);

    l->counts[N_BACKEND_LOST] += lost;
    if (l->trace && lost)
        trace_message(l->trace, l->now, l->now, from, to, true,
                      ljs_message_type_text(from == NETWORK ? ask->req.type : ask->req.type + 1));
    return lost;
}

void life_join_server(struct life *l, struct request *ask)
{
    ljs_buf answer = { 0 };
    ljs_err err;

    if (l->trace)
        trace_message(l->trace, ask->sent, l->now, NETWORK, JOIN_SERVER, false, ljs_message_type_text(ask->req.type));
    err = l->world->ask(l->user, &answer, l->now / 1000, &ask->body);
    if (err && err != LJS_E_BUSY) {
        l->fault = err;
        return;
    }
    if (!err && (err = ljs_message_answer(&ask->ans, &ask->req, answer.data, answer.len)) == LJS_E_MESSAGE)
        life_wrong(l, JOIN_SERVER, "the Join Server's answer is none to the request");
    ljs_buf_free(&answer);
    ask->err = err;
    if (!err)
        watch_answer(l, ask);
    if (err == LJS_E_BUSY) { /* no answer, or nearly none: the network asks again */
        l->counts[N_BACKEND_LOST]++;
        life_note(l, JOIN_SERVER, "no answer");
        return;
    }
    if (!lost_on_backend(l, ask, JOIN_SERVER, NETWORK)) {
        ask->sent = l->now;
        life_push(l, l->now + BACKEND, ANSWER, NULL, ask);
    }
}

/* ---- requests ------------------------------------------------------------ */

void life_send_ask(struct life *l, struct request *ask)
{
    ask->tries++;
    l->counts[N_BACKEND]++;
    if (!lost_on_backend(l, ask, NETWORK, JOIN_SERVER)) {
        ask->sent = l->now;
        life_push(l, l->now + BACKEND, AT_JOIN_SERVER, NULL, ask);
    }
    if (ask->tries < BACKEND_TRIES)
        life_push(l, l->now + BACKEND_TIMEOUT, REPEAT, NULL, ask);
}

/* A DevAddr for each frame, the same when it comes again: then it is the same request. */
static ljs_devaddr dev_addr_for(const struct life *l, const uint8_t *in, size_t in_len)
{
    uint32_t x = 2166136261u ^ l->index;

    for (size_t i = 0; i < in_len; i++)
        x = (x ^ in[i]) * 16777619u;
    return (l->world->fleet->net_ids[0] & 0x3f) << 25 | (x & 0x1ffffff); /* NetIDs of type 0 */
}

static void ask_join_server(struct life *l, const ljs_frame *frame, const struct letter *letter)
{
    const struct fleet *fleet = l->world->fleet;
    struct request *ask = calloc(1, sizeof *ask);
    ljs_message *req;

    if (!ask) {
        l->fault = LJS_E_NOMEM;
        return;
    }
    ask->holders = 1;
    ask->frame = *frame;
    ask->heard = l->now;
    req = &ask->req;
    ljs_message_init(req);
    req->type = frame->kind == LJS_FRAME_JOIN ? LJS_MSG_JOIN_REQ : LJS_MSG_REJOIN_REQ;
    req->protocol = l->index / VERSIONS % 2 ? 11 : 10;
    req->transaction_id = ++l->requests;
    snprintf(req->sender_id, sizeof req->sender_id, "%06" PRIx32, fleet->net_ids[0]);
    snprintf(req->receiver_id, sizeof req->receiver_id, "%016" PRIx64, fleet->join_eui);
    req->mac = l->version->network;
    req->dev_eui = frame->dev_eui;
    req->dev_addr = dev_addr_for(l, letter->phy, letter->phy_len);
    req->dl_settings = l->version->network >= LJS_MAC_1_1 ? 0x80 : 0; /* OptNeg */
    req->rx_delay = 1;
    memcpy(req->phy, letter->phy, letter->phy_len);
    req->phy_len = letter->phy_len;
    req->has =
        LJS_M_MAC_VERSION | LJS_M_DEV_EUI | LJS_M_DEV_ADDR | LJS_M_DL_SETTINGS | LJS_M_RX_DELAY | LJS_M_TRANSACTION_ID;
    if (req->protocol == 11) {
        req->sender_ns_id = fleet->ns_id;
        req->has |= LJS_M_SENDER_NSID;
    }
    l->fault = ljs_message_build(&ask->body, req);
    if (!l->fault)
        life_send_ask(l, ask);
    life_ask_drop(ask);
}

static void refused_by_network(struct life *l, ljs_err err)
{
    if (!life_is_refusal(err) && err != LJS_E_BUSY)
        life_wrong(l, NETWORK, "the network refused what it must not");
    l->counts[N_REFUSED_BY_NETWORK]++;
    life_note(l, NETWORK, "refused: %s", ljs_strerror(err));
}

static void network_request(struct life *l, const ljs_frame *frame, const struct letter *letter)
{
    ljs_ns_route route;
    ljs_buf next;
    ljs_err err;

    if (frame->kind != LJS_FRAME_JOIN) {
        err =
            ljs_ns_rejoin(&route, &next, l->world->vault, l->now, letter->phy, letter->phy_len, l->ns.data, l->ns.len);
        if (err) {
            refused_by_network(l, err);
            return;
        }
        life_take(&l->ns, &next);
        l->ns_wake = route.wake_at;
    }
    ask_join_server(l, frame, letter);
}

/* The application server has its key, and the observer what he read. */
static void remember_session(struct life *l, const struct request *ask, ljs_key **app_s)
{
    struct session *s = life_session_of(l, ask->ans.session_key_id);

    if (s || !(s = free_session(l)))
        return;
    s->used = true;
    memcpy(s->id, ask->ans.session_key_id, sizeof s->id);
    s->app_s = *app_s;
    *app_s = NULL;
    s->kind = ask->frame.kind;
    s->nonce = ask->frame.nonce;
    if (!open_accept(&s->accept, l, ask))
        life_wrong(l, NETWORK, "a join-accept does not open");
}

static ljs_err take_answer(struct life *l, const struct request *ask, ljs_ns_joined *joined)
{
    const ljs_message *ans = &ask->ans;
    bool v11 = l->scheme == LJS_SCHEME_1_1;
    ljs_key *f = NULL, *s = NULL, *enc = NULL, *app_s = NULL;
    ljs_buf next = { 0 };
    ljs_ns_accepted accepted = { .struct_size = sizeof accepted,
                                 .now = l->now,
                                 .kind = ask->frame.kind,
                                 .scheme = l->scheme,
                                 .mac = (uint16_t)l->version->network,
                                 .nonce = ask->frame.nonce,
                                 .dev_addr = ask->req.dev_addr };
    ljs_err err = LJS_OK;

    memcpy(accepted.session_key_id, ans->session_key_id, sizeof accepted.session_key_id);
    if (!ans->app_s.key_len || ans->session_key_id_len != sizeof accepted.session_key_id ||
        open_key(&app_s, l, &ans->app_s) || open_key(&f, l, v11 ? &ans->f_nwk_s_int : &ans->nwk_s) ||
        (v11 && (open_key(&s, l, &ans->s_nwk_s_int) || open_key(&enc, l, &ans->nwk_s_enc))))
        life_wrong(l, NETWORK, "an answer without all session keys, or under a KEK that is not known");
    else
        err = ljs_ns_join_accepted(joined, &next, l->world->vault, &accepted, &(ljs_ns_keys){ f, s, enc }, l->ns.data,
                                   l->ns.len);
    if (!err && !l->why) {
        life_take(&l->ns, &next);
        remember_session(l, ask, &app_s);
    }
    ljs_key_free(f);
    ljs_key_free(s);
    ljs_key_free(enc);
    ljs_key_free(app_s);
    return err;
}

static void network_state(struct life *l, ljs_ns_state state, int64_t wake_at)
{
    if (state != l->ns_state)
        life_note(l, NETWORK, "%s", ljs_ns_state_text(state));
    l->ns_state = state;
    l->ns_wake = wake_at;
}

void life_network_answered(struct life *l, struct request *ask)
{
    struct letter letter = { .phy_len = ask->ans.phy_len };
    ljs_ns_joined joined;
    int64_t in = ask->heard + JOIN_ACCEPT_DELAY1 - l->now;
    ljs_err err;

    if (l->trace)
        trace_message(l->trace, ask->sent, l->now, JOIN_SERVER, NETWORK, false,
                      ask->err ? ljs_strerror(ask->err) : ljs_message_type_text(ask->req.type + 1));
    if (ask->done)
        return;
    ask->done = true;
    if (ask->err) {
        l->counts[N_REFUSED_BY_JOIN_SERVER]++;
        return;
    }
    if ((err = take_answer(l, ask, &joined))) {
        refused_by_network(l, err);
        return;
    }
    if (l->why)
        return;
    network_state(l, joined.state, joined.wake_at);
    memcpy(letter.phy, ask->ans.phy, ask->ans.phy_len);
    if (l->trace)
        snprintf(letter.text, sizeof letter.text, "join-accept, DevAddr %08" PRIx32, ask->req.dev_addr);
    life_air(l, NETWORK, DEVICE, (in > 0 ? in : 0) + AIRTIME, &letter);
}

/* ---- data ---------------------------------------------------------------- */

/* The application server has something to say. */
static bool application_says(struct life *l, ljs_ns_tx *tx)
{
    uint8_t text[PAYLOAD_MAX];
    size_t len;
    const struct session *s;
    ljs_buf under;
    ljs_ns ns;

    if (!life_read_network(l, &ns))
        return false;
    s = life_session_of(l, ns.current.session_key_id);
    if (!s) {
        life_wrong(l, NETWORK, "no AppSKey of the network's session");
        return false;
    }
    len = life_say(text, l, LJS_DOWN, ++l->down_seq);
    tx->fport = PORT;
    tx->fcnt = (uint32_t)ns.current.a_fcnt_down;
    l->fault =
        ljs_data_crypt(&under, LJS_STREAM_FRM_PAYLOAD, LJS_DOWN, ns.current.dev_addr, tx->fcnt, s->app_s, text, len);
    if (l->fault)
        return false;
    memcpy(tx->payload, under.data, under.len);
    tx->payload_len = under.len;
    ljs_buf_free(&under);
    return true;
}

static void network_down(struct life *l)
{
    static const struct {
        uint8_t due;
        const char *text;
    } dues[] = { { LJS_NS_DUE_ACK, ", ACK" },
                 { LJS_NS_DUE_REKEY_CONF, ", RekeyConf" },
                 { LJS_NS_DUE_FORCE_REJOIN, ", ForceRejoinReq" },
                 { LJS_NS_DUE_REJOIN_PARAMS, ", RejoinParamSetupReq" },
                 { LJS_NS_DUE_ADR_ACK, ", to ADRACKReq" } };
    bool says = l->must_say || life_chance(l, 10);
    ljs_ns_tx tx = { .struct_size = sizeof tx, .now = l->now };
    struct letter letter = { .sent = 0 };
    ljs_ns_down down;
    ljs_buf next;
    ljs_err err;

    if (says) {
        tx.confirmed = !l->still && life_chance(l, 25);
        if (!application_says(l, &tx))
            return;
    }
    err = ljs_ns_downlink(&down, &next, l->world->vault, &tx, l->ns.data, l->ns.len);
    if (err == LJS_E_NOTFOUND)
        return;
    if (err) {
        refused_by_network(l, err);
        return;
    }
    life_take(&l->ns, &next);
    l->counts[N_DOWNLINKS]++;
    network_state(l, down.state, down.wake_at);
    memcpy(letter.phy, down.phy, letter.phy_len = down.phy_len);
    if (l->trace) {
        snprintf(letter.text, sizeof letter.text, "downlink %" PRIu32 "%s", down.fcnt, says ? ", payload" : "");
        for (size_t i = 0; i < COUNT(dues); i++)
            if (down.sent & dues[i].due)
                strncat(letter.text, dues[i].text, sizeof letter.text - strlen(letter.text) - 1);
    }
    l->last_down = letter;
    life_air(l, NETWORK, DEVICE, RX1, &letter);
}

/* What the application server reads. */
static void application_hears(struct life *l, const ljs_ns_up *up)
{
    const struct session *s;
    ljs_buf text;
    ljs_ns ns;
    uint32_t seq;

    if (!life_read_network(l, &ns))
        return;
    s = life_session_of(l, ns.current.session_key_id);
    if (!s) {
        life_wrong(l, NETWORK, "no AppSKey of the network's session");
        return;
    }
    l->fault = ljs_data_crypt(&text, LJS_STREAM_FRM_PAYLOAD, LJS_UP, up->dev_addr, up->fcnt, s->app_s, up->payload,
                              up->payload_len);
    seq = l->fault ? 0 : life_was_said(l, LJS_UP, text.data, text.len);
    ljs_buf_free(&text);
    if (!seq || seq > l->up_seq)
        life_wrong(l, NETWORK, "the network accepted a payload that nobody sent");
    else if (seq <= l->up_got)
        life_wrong(l, NETWORK, "the network accepted an uplink twice, or after a later one");
    l->up_got = seq;
    if (up->confirmed)
        l->confirmed_got = seq;
}

static void network_data(struct life *l, const struct letter *letter)
{
    int64_t rejoin0 = l->world->opts->rejoin0;
    ljs_ns_up up;
    ljs_buf next;
    ljs_err err = ljs_ns_uplink(&up, &next, l->world->vault, l->now, letter->dr, letter->ch, letter->phy,
                                letter->phy_len, l->ns.data, l->ns.len);

    if (err) {
        refused_by_network(l, err);
        return;
    }
    life_take(&l->ns, &next);
    l->counts[up.again ? N_AGAIN_HEARD : N_UPLINKS_HEARD]++;
    if (up.switched)
        life_note(l, NETWORK, "the new keys are in use: %s", ljs_ns_state_text(up.state));
    else if (up.state != l->ns_state)
        life_note(l, NETWORK, "%s", ljs_ns_state_text(up.state));
    l->ns_state = up.state;
    l->ns_wake = up.wake_at;
    if (!up.again)
        application_hears(l, &up);
    else if (up.has_fport || up.payload_len || up.mac_len)
        life_wrong(l, NETWORK, "the network passed an uplink up twice");
    if (l->why || l->fault)
        return;
    if (l->scheme == LJS_SCHEME_1_1 && rejoin0 >= 0 && !l->params_wished) {
        l->fault = ljs_ns_rejoin_params(&next, l->world->vault, (uint8_t)rejoin0, MAX_COUNT_N, l->ns.data, l->ns.len);
        if (!l->fault)
            life_take(&l->ns, &next);
        l->params_wished = true;
    }
    network_down(l);
}

void life_network_hear(struct life *l, const struct letter *letter)
{
    ljs_frame frame;

    if (l->trace)
        trace_message(l->trace, letter->sent, l->now, DEVICE, NETWORK, false, letter->text);
    if (!ljs_frame_parse(&frame, letter->phy, letter->phy_len))
        network_request(l, &frame, letter);
    else
        network_data(l, letter);
}

void life_network_timer(struct life *l)
{
    ljs_ns_woken woken;
    ljs_buf next;
    ljs_err err = ljs_ns_timer(&woken, &next, l->world->vault, l->now, l->ns.data, l->ns.len);

    if (err) {
        life_wrong(l, NETWORK, "the network's timer was refused");
        return;
    }
    life_take(&l->ns, &next);
    if (woken.spent)
        life_note(l, NETWORK, "no rejoin came: given up");
    if (woken.wake_at >= 0 && woken.wake_at <= l->now)
        life_wrong(l, NETWORK, "the network wakes up for nothing");
    network_state(l, woken.state, woken.wake_at);
}

/* An operator wishes that the device rejoin. */
void life_network_wish(struct life *l)
{
    const ljs_ns_force force = { .struct_size = sizeof force,
                                 .rejoin_type = life_chance(l, 50) ? 2 : 0,
                                 .period = (uint8_t)life_between(l, 0, 2),
                                 .max_retries = (uint8_t)life_between(l, 0, 3),
                                 .data_rate = (uint8_t)life_between(l, 0, 5),
                                 .tries = 3 };
    ljs_buf next;
    ljs_err err = ljs_ns_force_rejoin(&next, l->world->vault, &force, l->ns.data, l->ns.len);

    life_note(l, NETWORK, "the device is to rejoin, by type %u%s", force.rejoin_type, err ? ": not now" : "");
    if (!err)
        life_take(&l->ns, &next);
    else if (err != LJS_E_STATE)
        life_wrong(l, NETWORK, "the network refused what it must not");
}
