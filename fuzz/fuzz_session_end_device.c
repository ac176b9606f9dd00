/* A life of one device, told by the input: what it does, what it hears (join-accepts and downlinks
 * well and badly made, any octets), when its power fails.
 * Laws: DevNonce, RJcount1 and, under one session, RJcount0 and FCntUp strictly grow in what goes
 * on air, whenever the power fails, but for the last data frame that is sent again, word for word, until
 * it is answered; JoinNonce grows; a downlink counter is never taken twice; what
 * is refused changes nothing and tells nothing; nothing forged is taken; a session begins with a
 * join-accept that was asked for, and with nothing else. */
#include "session/end_device.h"

#include "base/cursor.h"

#include "fuzz.h"

enum { DEV = 0x2122232425262728, EUI = 0x1112131415161718, EVENTS_MAX = 160 };

static ljs_key *nwk, *app, *js_int, *js_enc;
static ljs_se *element;

struct game {
    struct rd in;
    ljs_buf state, durable;
    ljs_ed_opts opts;
    ljs_ed_out out;
    int64_t now;
    /* the network: the request on air, and the keys of the last accept that was taken */
    bool asked;
    ljs_frame request;
    ljs_key *f, *s, *e, *a;
    ljs_scheme scheme;
    ljs_devaddr dev_addr;
    uint32_t down, join_nonce;
    uint16_t confirmed_up;
    uint8_t last[LJS_DATA_MAX]; /* the data frame on air; last_len 0: it is not to go there again */
    size_t last_len;
    bool last_confirmed;
    /* the highest seen, -1 for none */
    int64_t dev_nonce, rj0, rj1, up, n_down, a_down;
};

static ljs_key *derived(ljs_key_name name, ljs_scheme scheme, uint32_t join_nonce, uint16_t nonce, const ljs_key *root)
{
    const ljs_derivation what = { .name = name,
                                  .scheme = scheme,
                                  .dev_eui = DEV,
                                  .join_eui = EUI,
                                  .net_id = 0x13,
                                  .join_nonce = join_nonce,
                                  .nonce = nonce };
    ljs_key *key;

    CHECK(!ljs_derive(&key, &what, root));
    return key;
}

static void setup(void)
{
    static const uint8_t a[16] = { 1, 9, 2, 8, 3, 7 }, b[16] = { 4, 6, 5, 5, 6 };

    if (element)
        return;
    CHECK(!ljs_key_import(&nwk, a, 16) && !ljs_key_import(&app, b, 16));
    js_int = derived(LJS_KEY_JS_INT, LJS_SCHEME_1_1, 0, 0, nwk);
    js_enc = derived(LJS_KEY_JS_ENC, LJS_SCHEME_1_1, 0, 0, nwk);
    CHECK(!ljs_se_software(&element, nwk, app));
}

static void replace(ljs_buf *state, const ljs_buf *by)
{
    ljs_buf_free(state);
    CHECK(!ljs_buf_copy(state, by->data, by->len));
}

static void forget(struct game *g)
{
    ljs_key_free(g->f);
    ljs_key_free(g->s);
    ljs_key_free(g->e);
    ljs_key_free(g->a);
    g->f = g->s = g->e = g->a = NULL;
}

static void grows(int64_t *last, int64_t next)
{
    CHECK(next > *last);
    *last = next;
}

/* What goes on air. */
static void on_air(struct game *g, bool again)
{
    const ljs_ed_out *out = &g->out;
    ljs_data data;

    if (out->sends == LJS_ED_SENDS_DATA) {
        CHECK(!ljs_data_parse(&data, out->frame, out->frame_len));
        CHECK(data.direction == LJS_UP && data.fcnt == (out->fcnt & 0xffff));
        if (again) {
            CHECK(out->fcnt == g->up && !out->persist && out->frame_len == g->last_len);
            CHECK(!memcmp(out->frame, g->last, g->last_len - 4)); /* all but the MIC */
            return;
        }
        grows(&g->up, out->fcnt);
        memcpy(g->last, out->frame, out->frame_len);
        g->last_len = out->frame_len;
        g->last_confirmed = data.confirmed;
        if (data.confirmed)
            g->confirmed_up = data.fcnt;
        return;
    }
    if (!out->sends)
        return;
    CHECK(out->persist && !ljs_frame_parse(&g->request, out->frame, out->frame_len));
    CHECK(g->request.nonce == out->nonce);
    g->asked = true;
    if (out->sends == LJS_ED_SENDS_JOIN) {
        CHECK(g->request.kind == LJS_FRAME_JOIN);
        if (g->opts.mac >= 0x0104)
            grows(&g->dev_nonce, out->nonce);
    } else {
        CHECK(g->request.kind != LJS_FRAME_JOIN);
        grows(out->sends == LJS_ED_SENDS_REJOIN1 ? &g->rj1 : &g->rj0, out->nonce);
    }
}

/* One event.  When the power fails before the state is written, nothing of it has happened. */
static ljs_err step(struct game *g, const ljs_ed_event *event, bool fails)
{
    static const ljs_ed_out nothing;
    ljs_ed before, after;
    ljs_buf next;
    ljs_err err;

    CHECK(!ljs_ed_read(&before, g->state.data, g->state.len));
    err = ljs_ed_step(&g->out, &next, element, event, g->state.data, g->state.len);
    if (err) {
        CHECK(!next.data && !next.len && memcmp(&g->out, &nothing, sizeof nothing) == 0);
        return err;
    }
    CHECK(!ljs_ed_read(&after, next.data, next.len));
    CHECK(after.state == g->out.state && (g->out.wake_at == -1 || g->out.wake_at >= event->now));
    CHECK(after.rj_count1 >= before.rj_count1 && after.dev_nonce >= before.dev_nonce);
    CHECK(!g->out.session_lost || (!after.scheme && !g->out.sends));
    if (g->out.joined || g->out.rejoined)
        CHECK(before.waiting && g->out.joined == (before.kind == LJS_FRAME_JOIN) && g->out.persist);
    else
        CHECK(after.join_nonce == before.join_nonce && (after.scheme == before.scheme || !after.scheme));
    if (g->opts.mac >= 0x0110 && (g->out.joined || g->out.rejoined))
        CHECK(after.join_nonce > before.join_nonce);
    if (g->out.persist && fails) {
        ljs_buf_free(&next);
        replace(&g->state, &g->durable);
        return LJS_E_STORE;
    }
    ljs_buf_free(&g->state);
    g->state = next;
    if (g->out.persist)
        replace(&g->durable, &g->state);
    on_air(g, event->kind == LJS_ED_ON_SEND_AGAIN);
    if (g->out.acked || (g->out.heard && !g->last_confirmed) || g->out.joined || g->out.rejoined ||
        event->kind == LJS_ED_ON_RESTART || g->out.session_lost)
        g->last_len = 0;
    if (g->out.heard)
        grows(g->scheme == LJS_SCHEME_1_1 && g->out.fport ? &g->a_down : &g->n_down, g->out.fcnt);
    return LJS_OK;
}

static void hear(ljs_ed_event *event, const uint8_t *in, size_t in_len)
{
    event->kind = LJS_ED_ON_DOWNLINK;
    memcpy(event->frame, in, in_len);
    event->frame_len = in_len;
}

static void accept_comes(struct game *g, ljs_ed_event *event, uint8_t how)
{
    ljs_scheme scheme = g->opts.mac < 0x0110 || how & 1 ? LJS_SCHEME_1_0 : LJS_SCHEME_1_1;
    ljs_accept accept = { .join_nonce = how & 2 ? g->join_nonce : g->join_nonce + 1,
                          .net_id = 0x13,
                          .dl_settings = scheme == LJS_SCHEME_1_1 ? 0x80 : 0,
                          .has_cf_list = how >> 2 & 1 };
    const ljs_accept_of of = { scheme, g->request.kind, EUI, g->request.nonce };
    bool join = g->request.kind == LJS_FRAME_JOIN, forged = how & 8;
    ljs_buf phy;
    ljs_err err;

    accept.dev_addr = accept.join_nonce;
    CHECK(!ljs_accept_seal(&phy, &accept, &of, scheme == LJS_SCHEME_1_1 ? js_int : nwk, join ? nwk : js_enc));
    if (forged)
        phy.data[1 + (how >> 4)] ^= 1;
    hear(event, phy.data, phy.len);
    ljs_buf_free(&phy);
    err = step(g, event, false);
    if (forged || !g->asked)
        CHECK(err);
    if (err)
        return;
    forget(g);
    g->f = derived(LJS_KEY_F_NWK_S_INT, scheme, accept.join_nonce, of.nonce, nwk);
    g->s = derived(LJS_KEY_S_NWK_S_INT, scheme, accept.join_nonce, of.nonce, nwk);
    g->e = derived(LJS_KEY_NWK_S_ENC, scheme, accept.join_nonce, of.nonce, nwk);
    g->a = derived(LJS_KEY_APP_S, scheme, accept.join_nonce, of.nonce, scheme == LJS_SCHEME_1_1 ? app : nwk);
    g->scheme = scheme;
    g->join_nonce = accept.join_nonce;
    g->dev_addr = accept.dev_addr;
    g->down = 0;
    g->rj0 = g->up = g->n_down = g->a_down = -1;
    g->confirmed_up = 0;
    g->asked = false;
}

static void down_comes(struct game *g, ljs_ed_event *event, uint8_t how)
{
    static const struct {
        uint8_t len, octets[6];
    } commands[] = {
        { 0, { 0 } },
        { 2, { 0x0b, 1 } }, /* RekeyConf */
        { 2, { 0x0b, 9 } },
        { 3, { 0x0e, 0x00, 0x01 } }, /* ForceRejoinReq, either order */
        { 3, { 0x0e, 0x20, 0x0a } },
        { 2, { 0x0f, 0x00 } }, /* RejoinParamSetupReq */
        { 2, { 0x0f, 0xf3 } },
        { 6, { 0x02, 1, 2, 0x77, 0x0b, 1 } },
    };
    ljs_data data = { .direction = LJS_DOWN, .dev_addr = g->dev_addr, .ack = how >> 3 & 1, .confirmed = how >> 4 & 1 };
    uint32_t fcnt = g->down;
    ljs_data_of of = { .scheme = g->scheme, .fcnt = fcnt, .conf_fcnt = g->confirmed_up };
    bool application = how >> 5 & 1, forged = how >> 6 & 1, rules_1_1 = g->scheme == LJS_SCHEME_1_1;
    uint8_t mic[4];
    ljs_buf phy, buf;
    ljs_err err;

    if (!g->f)
        return;
    data.fcnt = (uint16_t)fcnt;
    data.has_fport = data.fport = application;
    data.fopts_len = commands[how & 7].len;
    memcpy(data.fopts, commands[how & 7].octets, data.fopts_len);
    if (rules_1_1 && data.fopts_len) {
        CHECK(!ljs_data_crypt(&buf, application ? LJS_STREAM_FOPTS_A : LJS_STREAM_FOPTS, LJS_DOWN, g->dev_addr, fcnt,
                              g->e, data.fopts, data.fopts_len));
        memcpy(data.fopts, buf.data, buf.len);
        ljs_buf_free(&buf);
    }
    CHECK(!ljs_data_build(&phy, &data) && !ljs_data_mic(mic, &of, g->f, g->s, phy.data, phy.len));
    memcpy(phy.data + phy.len - 4, mic, 4);
    if (forged)
        phy.data[phy.len - 1] ^= 1;
    hear(event, phy.data, phy.len);
    ljs_buf_free(&phy);
    err = step(g, event, false);
    CHECK(!forged || err);
    g->down += how >> 7 ? 0x8000 : 1;
}

static void crash(struct game *g, ljs_ed_event *event, bool clock_anew)
{
    replace(&g->state, &g->durable);
    if (clock_anew)
        event->now = g->now = 0;
    event->kind = LJS_ED_ON_RESTART;
    CHECK(!step(g, event, false));
    g->asked = false;
}

static void happens(struct game *g)
{
    uint8_t what = (uint8_t)rd_le(&g->in, 1), how = (uint8_t)rd_le(&g->in, 1);
    ljs_ed_event event;
    ljs_ed ed;

    g->now += INT64_C(1) << (what >> 3);
    CHECK(!ljs_ed_read(&ed, g->state.data, g->state.len));
    if (what & 128 && ed.wake_at > g->now && ed.wake_at < INT64_C(1) << 50)
        g->now = ed.wake_at;
    ljs_ed_event_init(&event, LJS_ED_ON_TICK, g->now);
    event.random = how * UINT32_C(0x01010101);
    switch (what & 7) {
    case 0:
        event.kind = (ljs_ed_event_kind)(how % 10); /* and two that there are not */
        if (event.kind == LJS_ED_ON_RESTART)
            crash(g, &event, how & 128);
        else
            (void)step(g, &event, false);
        break;
    case 1:
    case 2:
        event.kind = LJS_ED_ON_SEND;
        event.confirmed = how & 1;
        event.fport = how >> 1 & 3;
        event.payload_len = event.fport ? how >> 3 : 0;
        event.mac_len = how & 4 ? how >> 2 & 15 : 0;
        if (step(g, &event, what & 64 && how & 8) == LJS_E_STORE)
            crash(g, &event, how & 128);
        break;
    case 3:
        if (g->asked)
            accept_comes(g, &event, how);
        break;
    case 4:
        down_comes(g, &event, how);
        break;
    case 5: { /* any octets: nobody but us has the keys */
        uint8_t octets[LJS_ACCEPT_MAX] = { 0 };

        octets[0] = how & 64 ? 0x20 : 0x60;
        rd_copy(&g->in, octets + 1, how % LJS_ACCEPT_MAX);
        if (how & 128) {
            octets[1] = (uint8_t)g->dev_addr;
            octets[2] = octets[3] = octets[4] = 0;
        }
        hear(&event, octets, how % (LJS_ACCEPT_MAX + 1));
        CHECK(step(g, &event, false));
        break;
    }
    case 6: /* the last data frame again, or one that is not the last; or the power fails as the state is written */
        if (how & 1) {
            size_t len = g->last_len;

            event.kind = LJS_ED_ON_SEND_AGAIN;
            memcpy(event.frame, g->last, len);
            event.frame_len = len;
            event.tx_dr = how >> 1 & 7;
            event.tx_ch = how >> 4;
            if (how & 32 && len)
                event.frame[how % (len - 4)] ^= 1;
            if (!step(g, &event, false))
                CHECK(len && !(how & 32));
            break;
        }
        if (step(g, &event, true) == LJS_E_STORE)
            crash(g, &event, how & 128);
        break;
    default:
        (void)step(g, &event, false); /* TICK */
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint16_t macs[] = { 0x0110, 0x0110, 0x0103, 0x0104 };
    struct game g = { .in = { data, size, false }, .join_nonce = 0 };
    uint8_t set;

    setup();
    g.dev_nonce = g.rj0 = g.rj1 = g.up = g.n_down = g.a_down = -1;
    ljs_ed_opts_init(&g.opts);
    set = (uint8_t)rd_le(&g.in, 1);
    g.opts.dev_eui = DEV;
    g.opts.join_eui = EUI;
    g.opts.mac = macs[set & 3];
    g.opts.order = (ljs_octet_order)(set >> 2 & 1);
    g.opts.no_clock = set >> 3 & 1;
    g.opts.adr_ack_limit = set & 16 ? 3 : 64;
    g.opts.link_limit = set & 16 ? 5 : 0;
    g.opts.fcnt_reserve = set & 32 ? 0xffff : 4;
    g.opts.rejoin1_period = set & 64 ? 15000 : 0;
    g.opts.dev_nonce = g.opts.rj_count1 = set & 128 ? 0xfffc : 0;
    CHECK(!ljs_ed_new(&g.state, &g.opts));
    replace(&g.durable, &g.state);
    for (unsigned n = 0; n < EVENTS_MAX && !g.in.bad && g.in.left; n++)
        happens(&g);
    forget(&g);
    ljs_buf_free(&g.state);
    ljs_buf_free(&g.durable);
    return 0;
}
