/* end_device_world.h -- one device, and a network that answers it with the functions of keys.h:
 * nothing of the device side's own computing is used to check it. */
#ifndef TESTS_END_DEVICE_WORLD_H
#define TESTS_END_DEVICE_WORLD_H

#include <lorajs/end_device.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { JOIN_EUI = 0x1112131415161718, DEV_EUI = 0x2122232425262728 };

struct world {
    ljs_key *nwk, *app, *js_int, *js_enc;
    ljs_se *se;
    ljs_buf state, durable;
    int64_t now;
    uint32_t random;
    ljs_ed_out out;
    /* the network's side of the session */
    ljs_scheme scheme;
    ljs_key *f, *s, *e, *a;
    ljs_devaddr dev_addr;
    uint32_t n_down, a_down; /* the next */
};

static inline ljs_key *key_from(const ljs_derivation *what, const ljs_key *root)
{
    ljs_key *key;

    assert_int_equal(ljs_derive(&key, what, root), LJS_OK);
    return key;
}

static inline void world_open_with(struct world *w, const ljs_ed_opts *opts, const uint8_t nwk[16],
                                   const uint8_t app[16])
{
    ljs_derivation what = { .name = LJS_KEY_JS_INT, .scheme = LJS_SCHEME_1_1, .dev_eui = opts->dev_eui };

    memset(w, 0, sizeof *w);
    w->now = 1000;
    assert_int_equal(ljs_key_import(&w->nwk, nwk, 16), LJS_OK);
    assert_int_equal(ljs_key_import(&w->app, app, 16), LJS_OK);
    w->js_int = key_from(&what, w->nwk);
    what.name = LJS_KEY_JS_ENC;
    w->js_enc = key_from(&what, w->nwk);
    assert_int_equal(ljs_se_software(&w->se, w->nwk, w->app), LJS_OK);
    assert_int_equal(ljs_ed_new(&w->state, opts), LJS_OK);
    assert_int_equal(ljs_buf_copy(&w->durable, w->state.data, w->state.len), LJS_OK);
}

static inline void world_open(struct world *w, const ljs_ed_opts *opts)
{
    static const uint8_t nwk[16] = { 1, 9, 2, 8, 3, 7 }, app[16] = { 4, 6, 5, 5, 6 };

    world_open_with(w, opts, nwk, app);
}

static inline ljs_ed_opts world_opts(void)
{
    ljs_ed_opts opts;

    ljs_ed_opts_init(&opts);
    opts.join_eui = JOIN_EUI;
    opts.dev_eui = DEV_EUI;
    return opts;
}

static inline void forget_session(struct world *w)
{
    ljs_key_free(w->f);
    ljs_key_free(w->s);
    ljs_key_free(w->e);
    ljs_key_free(w->a);
    w->f = w->s = w->e = w->a = NULL;
}

static inline void world_close(struct world *w)
{
    forget_session(w);
    ljs_key_free(w->nwk);
    ljs_key_free(w->app);
    ljs_key_free(w->js_int);
    ljs_key_free(w->js_enc);
    ljs_se_free(w->se);
    ljs_buf_free(&w->state);
    ljs_buf_free(&w->durable);
}

static inline void replace(ljs_buf *state, const ljs_buf *by)
{
    ljs_buf_free(state);
    assert_int_equal(ljs_buf_copy(state, by->data, by->len), LJS_OK);
}

/* What is refused leaves nothing behind. */
static inline ljs_err step_event(struct world *w, const ljs_ed_event *event)
{
    static const ljs_ed_out nothing;
    ljs_buf next;
    ljs_err err = ljs_ed_step(&w->out, &next, w->se, event, w->state.data, w->state.len);

    if (err) {
        assert_null(next.data);
        assert_int_equal(next.len, 0);
        assert_memory_equal(&w->out, &nothing, sizeof nothing);
        return err;
    }
    assert_non_null(next.data);
    ljs_buf_free(&w->state);
    w->state = next;
    if (w->out.persist)
        replace(&w->durable, &w->state);
    return LJS_OK;
}

static inline ljs_err step_kind(struct world *w, ljs_ed_event_kind kind)
{
    ljs_ed_event event;

    ljs_ed_event_init(&event, kind, w->now);
    event.random = w->random;
    return step_event(w, &event);
}

static inline ljs_err step_send(struct world *w, uint8_t fport, const char *payload)
{
    ljs_ed_event event;

    ljs_ed_event_init(&event, LJS_ED_ON_SEND, w->now);
    event.fport = fport;
    event.payload_len = strlen(payload);
    memcpy(event.payload, payload, event.payload_len);
    event.tx_dr = 3;
    event.tx_ch = 5;
    return step_event(w, &event);
}

/* What was sent before, once more. */
static inline ljs_err step_again(struct world *w, const ljs_ed_out *sent, uint8_t tx_dr, uint8_t tx_ch)
{
    ljs_ed_event event;

    ljs_ed_event_init(&event, LJS_ED_ON_SEND_AGAIN, w->now);
    memcpy(event.frame, sent->frame, sent->frame_len);
    event.frame_len = sent->frame_len;
    event.tx_dr = tx_dr;
    event.tx_ch = tx_ch;
    return step_event(w, &event);
}

static inline ljs_err step_hear(struct world *w, const uint8_t *in, size_t in_len)
{
    ljs_ed_event event;

    ljs_ed_event_init(&event, LJS_ED_ON_DOWNLINK, w->now);
    event.random = w->random;
    memcpy(event.frame, in, in_len);
    event.frame_len = in_len;
    return step_event(w, &event);
}

static inline ljs_ed world_read(const struct world *w)
{
    ljs_ed ed;

    assert_int_equal(ljs_ed_read(&ed, w->state.data, w->state.len), LJS_OK);
    return ed;
}

/* A join-accept to a request; the session keys it gives are the world's from then on. */
static inline ljs_buf answer(struct world *w, ljs_frame_kind kind, uint16_t nonce, ljs_scheme scheme,
                             uint32_t join_nonce)
{
    const ljs_accept accept = { .join_nonce = join_nonce,
                                .net_id = 0x000013,
                                .dev_addr = 0x26000000 + join_nonce,
                                .dl_settings = scheme == LJS_SCHEME_1_1 ? 0x92 : 0x12,
                                .rx_delay = 5 };
    const ljs_accept_of of = { .scheme = scheme, .kind = kind, .join_eui = JOIN_EUI, .nonce = nonce };
    const ljs_key *mic = scheme == LJS_SCHEME_1_1 ? w->js_int : w->nwk;
    const ljs_key *enc = kind == LJS_FRAME_JOIN ? w->nwk : w->js_enc;
    ljs_derivation what = {
        .scheme = scheme, .join_eui = JOIN_EUI, .net_id = accept.net_id, .join_nonce = join_nonce, .nonce = nonce
    };
    ljs_buf phy;

    forget_session(w);
    what.name = LJS_KEY_F_NWK_S_INT;
    w->f = key_from(&what, w->nwk);
    what.name = LJS_KEY_S_NWK_S_INT;
    w->s = key_from(&what, w->nwk);
    what.name = LJS_KEY_NWK_S_ENC;
    w->e = key_from(&what, w->nwk);
    what.name = LJS_KEY_APP_S;
    w->a = key_from(&what, scheme == LJS_SCHEME_1_1 ? w->app : w->nwk);
    w->scheme = scheme;
    w->dev_addr = accept.dev_addr;
    w->n_down = w->a_down = 0;
    assert_int_equal(ljs_accept_seal(&phy, &accept, &of, mic, enc), LJS_OK);
    return phy;
}

/* Answer the request that the last step sent, and let the device hear it. */
static inline ljs_err step_answer(struct world *w, ljs_scheme scheme, uint32_t join_nonce)
{
    ljs_frame frame;
    ljs_buf phy;
    ljs_err err;

    assert_int_equal(ljs_frame_parse(&frame, w->out.frame, w->out.frame_len), LJS_OK);
    phy = answer(w, frame.kind, frame.nonce, scheme, join_nonce);
    err = step_hear(w, phy.data, phy.len);
    ljs_buf_free(&phy);
    return err;
}

struct down {
    uint8_t fport; /* 0: none, but see mac_on_port_0 */
    const char *payload;
    uint8_t mac[32];
    size_t mac_len;
    uint8_t mac_on_port_0, ack, confirmed;
    uint16_t conf_fcnt;
};

static inline void crypt_part(uint8_t *at, size_t len, ljs_stream stream, ljs_devaddr dev_addr, uint32_t fcnt,
                              const ljs_key *key)
{
    ljs_buf buf;

    assert_int_equal(ljs_data_crypt(&buf, stream, LJS_DOWN, dev_addr, fcnt, key, at, len), LJS_OK);
    memcpy(at, buf.data, len);
    ljs_buf_free(&buf);
}

static inline ljs_buf downlink(struct world *w, const struct down *down)
{
    bool new_rules = w->scheme == LJS_SCHEME_1_1;
    uint32_t *counter = new_rules && down->fport ? &w->a_down : &w->n_down;
    ljs_data data = { .direction = LJS_DOWN,
                      .confirmed = down->confirmed,
                      .dev_addr = w->dev_addr,
                      .ack = down->ack,
                      .fcnt = (uint16_t)*counter };
    const ljs_data_of of = { .scheme = w->scheme, .fcnt = *counter, .conf_fcnt = down->conf_fcnt };
    const ljs_key *net = new_rules ? w->e : w->f;
    uint8_t mic[4];
    ljs_buf phy;

    if (down->fport) {
        data.has_fport = 1;
        data.fport = down->fport;
        data.frm_payload_len = strlen(down->payload);
        memcpy(data.frm_payload, down->payload, data.frm_payload_len);
        if (data.frm_payload_len)
            crypt_part(data.frm_payload, data.frm_payload_len, LJS_STREAM_FRM_PAYLOAD, w->dev_addr, *counter, w->a);
    } else if (down->mac_on_port_0) {
        data.has_fport = 1;
        data.frm_payload_len = down->mac_len;
        memcpy(data.frm_payload, down->mac, down->mac_len);
        crypt_part(data.frm_payload, down->mac_len, LJS_STREAM_FRM_PAYLOAD, w->dev_addr, *counter, net);
    }
    if (!down->mac_on_port_0 && down->mac_len) {
        data.fopts_len = (uint8_t)down->mac_len;
        memcpy(data.fopts, down->mac, down->mac_len);
        if (new_rules)
            crypt_part(data.fopts, down->mac_len, down->fport ? LJS_STREAM_FOPTS_A : LJS_STREAM_FOPTS, w->dev_addr,
                       *counter, net);
    }
    assert_int_equal(ljs_data_build(&phy, &data), LJS_OK);
    assert_int_equal(ljs_data_mic(mic, &of, w->f, w->s, phy.data, phy.len), LJS_OK);
    memcpy(phy.data + phy.len - 4, mic, 4);
    ++*counter;
    return phy;
}

static inline ljs_err step_down(struct world *w, const struct down *down)
{
    ljs_buf phy = downlink(w, down);
    ljs_err err = step_hear(w, phy.data, phy.len);

    ljs_buf_free(&phy);
    return err;
}

static const struct down rekey_conf = { .mac = { 0x0b, 1 }, .mac_len = 2 };

/* A data frame the device sent, as the network reads it: MIC checked, then in clear. */
static inline ljs_data read_up_on(const struct world *w, uint32_t fcnt, uint16_t conf_fcnt, uint8_t tx_dr,
                                  uint8_t tx_ch)
{
    const ljs_data_of of = {
        .scheme = w->scheme, .fcnt = fcnt, .conf_fcnt = conf_fcnt, .tx_dr = tx_dr, .tx_ch = tx_ch
    };
    const ljs_key *net = w->scheme == LJS_SCHEME_1_1 ? w->e : w->f;
    ljs_data data;
    uint8_t mic[4];
    ljs_buf buf;

    assert_int_equal(w->out.sends, LJS_ED_SENDS_DATA);
    assert_int_equal(ljs_data_parse(&data, w->out.frame, w->out.frame_len), LJS_OK);
    assert_int_equal(data.direction, LJS_UP);
    assert_int_equal(data.dev_addr, w->dev_addr);
    assert_int_equal(data.fcnt, fcnt & 0xffff);
    assert_int_equal(w->out.fcnt, fcnt);
    assert_int_equal(ljs_data_mic(mic, &of, w->f, w->s, w->out.frame, w->out.frame_len), LJS_OK);
    assert_memory_equal(mic, data.mic, 4);
    if (w->scheme == LJS_SCHEME_1_1 && data.fopts_len) {
        assert_int_equal(
            ljs_data_crypt(&buf, LJS_STREAM_FOPTS, LJS_UP, w->dev_addr, fcnt, w->e, data.fopts, data.fopts_len),
            LJS_OK);
        memcpy(data.fopts, buf.data, buf.len);
        ljs_buf_free(&buf);
    }
    if (data.frm_payload_len) {
        assert_int_equal(ljs_data_crypt(&buf, LJS_STREAM_FRM_PAYLOAD, LJS_UP, w->dev_addr, fcnt,
                                        data.fport ? w->a : net, data.frm_payload, data.frm_payload_len),
                         LJS_OK);
        memcpy(data.frm_payload, buf.data, buf.len);
        ljs_buf_free(&buf);
    }
    return data;
}

static inline ljs_data read_up(const struct world *w, uint32_t fcnt, uint16_t conf_fcnt)
{
    return read_up_on(w, fcnt, conf_fcnt, 3, 5);
}

/* START, and a join-accept. */
static inline void world_join(struct world *w, ljs_scheme scheme, uint32_t join_nonce)
{
    assert_int_equal(step_kind(w, LJS_ED_ON_START), LJS_OK);
    assert_int_equal(w->out.sends, LJS_ED_SENDS_JOIN);
    w->now += 5000;
    assert_int_equal(step_answer(w, scheme, join_nonce), LJS_OK);
    assert_true(w->out.joined);
}

/* And RekeyConf. */
static inline void world_rekeyed(struct world *w, uint32_t join_nonce)
{
    world_join(w, LJS_SCHEME_1_1, join_nonce);
    assert_int_equal(step_send(w, 1, "hello"), LJS_OK);
    assert_int_equal(step_down(w, &rekey_conf), LJS_OK);
    assert_true(w->out.rekeyed);
    assert_int_equal(w->out.state, LJS_ED_JOINED);
}

/* TICK at wake_at: what is sent then. */
static inline ljs_ed_sends wake(struct world *w)
{
    ljs_ed ed = world_read(w);

    assert_true(ed.wake_at >= 0);
    if (ed.wake_at > w->now)
        w->now = ed.wake_at;
    assert_int_equal(step_kind(w, LJS_ED_ON_TICK), LJS_OK);
    return w->out.sends;
}

#endif
