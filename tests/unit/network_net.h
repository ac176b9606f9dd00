/* network_net.h -- a network server and its only device, for tests: each step keeps the state
 * that it gives, and one that is refused must give nothing. */
#ifndef TESTS_NETWORK_NET_H
#define TESTS_NETWORK_NET_H

#include "network_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define REKEY_IND    "\x0b\x01"
#define PARAMS_ANS   "\x0f\x01"
#define SAID(n, ...) (&(struct said){ .fcnt = (n), __VA_ARGS__ })
#define MAC(text)    .mac = (text), .mac_len = sizeof(text) - 1
#define EXPECT(a, b) assert_int_equal((a), (b))

enum { HOUR = 3600000 };

struct net {
    ljs_vault *vault;
    ljs_buf state;
    int64_t now;
    ljs_ns_joined joined;
    ljs_ns_up up;
    ljs_ns_down down;
    ljs_ns_route route;
    ljs_ns_woken woken;
};

static inline bool is_zero(const void *mem, size_t len)
{
    const uint8_t *at = mem;

    for (size_t i = 0; i < len; i++)
        if (at[i])
            return false;
    return true;
}

/* The state after a step, or the one before when it was refused, which must then say nothing. */
static inline ljs_err next(struct net *w, ljs_err err, ljs_buf *out_state, const void *out, size_t out_len)
{
    if (err) {
        assert_null(out_state->data);
        assert_true(is_zero(out, out_len));
        return err;
    }
    assert_non_null(out_state->data);
    ljs_buf_free(&w->state);
    w->state = *out_state;
    return LJS_OK;
}

static inline ljs_ns look(const struct net *w)
{
    ljs_ns ns;

    EXPECT(ljs_ns_read(&ns, w->state.data, w->state.len), LJS_OK);
    return ns;
}

static inline struct net net_with(const ljs_ns_opts *opts)
{
    static const uint8_t master[32] = { 3 };
    struct net w = { .now = 1000 };

    EXPECT(ljs_vault_new(&w.vault, master, sizeof master), LJS_OK);
    EXPECT(ljs_ns_new(&w.state, w.vault, opts), LJS_OK);
    return w;
}

static inline ljs_ns_opts opts(void)
{
    ljs_ns_opts o;

    ljs_ns_opts_init(&o);
    o.dev_eui = NETWORK_DEV;
    o.net_id = NETWORK_NET;
    return o;
}

static inline struct net net_new(void)
{
    ljs_ns_opts o = opts();

    return net_with(&o);
}

static inline void net_free(struct net *w)
{
    ljs_buf_free(&w->state);
    ljs_vault_free(w->vault);
}

static inline ljs_err accept(struct net *w, const struct life *l)
{
    ljs_ns_accepted a = { .struct_size = sizeof a,
                          .now = w->now,
                          .kind = l->kind,
                          .scheme = l->scheme,
                          .mac = l->scheme == LJS_SCHEME_1_1 ? 0x0110 : 0x0104,
                          .nonce = l->nonce,
                          .dev_addr = l->addr };
    ljs_ns_keys keys = { l->f, l->s, l->e };
    ljs_buf out;
    ljs_err err = ljs_ns_join_accepted(&w->joined, &out, w->vault, &a, &keys, w->state.data, w->state.len);

    return next(w, err, &out, &w->joined, sizeof w->joined);
}

static inline ljs_err uplink(struct net *w, const struct life *l, const struct said *said)
{
    ljs_buf frame = life_uplink(l, said), out;
    ljs_err err = ljs_ns_uplink(&w->up, &out, w->vault, w->now, said->dr, said->ch, frame.data, frame.len,
                                w->state.data, w->state.len);

    ljs_buf_free(&frame);
    return next(w, err, &out, &w->up, sizeof w->up);
}

static inline ljs_err downlink(struct net *w, ljs_ns_tx tx)
{
    ljs_buf out;
    ljs_err err;

    tx.struct_size = sizeof tx;
    tx.now = w->now;
    err = ljs_ns_downlink(&w->down, &out, w->vault, &tx, w->state.data, w->state.len);
    return next(w, err, &out, &w->down, sizeof w->down);
}

static inline ljs_err rejoin_net(struct net *w, const struct life *l, ljs_frame_kind kind, uint16_t nonce,
                                 ljs_netid net_id)
{
    ljs_buf frame = life_rejoin(l, kind, net_id, nonce), out;
    ljs_err err = ljs_ns_rejoin(&w->route, &out, w->vault, w->now, frame.data, frame.len, w->state.data, w->state.len);

    ljs_buf_free(&frame);
    return next(w, err, &out, &w->route, sizeof w->route);
}

static inline ljs_err rejoin(struct net *w, const struct life *l, ljs_frame_kind kind, uint16_t nonce)
{
    return rejoin_net(w, l, kind, nonce, NETWORK_NET);
}

static inline ljs_err force(struct net *w, ljs_ns_force f)
{
    ljs_buf out;
    ljs_err err;

    f.struct_size = sizeof f;
    err = ljs_ns_force_rejoin(&out, w->vault, &f, w->state.data, w->state.len);
    return next(w, err, &out, "", 0);
}

static inline ljs_err params(struct net *w, uint8_t t, uint8_t c)
{
    ljs_buf out;
    ljs_err err = ljs_ns_rejoin_params(&out, w->vault, t, c, w->state.data, w->state.len);

    return next(w, err, &out, "", 0);
}

static inline ljs_err timer(struct net *w)
{
    ljs_buf out;
    ljs_err err = ljs_ns_timer(&w->woken, &out, w->vault, w->now, w->state.data, w->state.len);

    return next(w, err, &out, &w->woken, sizeof w->woken);
}

static inline struct heard hear(const struct net *w, const struct life *l, uint16_t conf_fcnt)
{
    struct heard h;

    assert_true(life_hears(&h, l, w->down.fcnt, conf_fcnt, w->down.phy, w->down.phy_len));
    return h;
}

#define HEARD(h, text)                                                                                                 \
    do {                                                                                                               \
        EXPECT((h).mac_len, sizeof(text) - 1);                                                                         \
        assert_memory_equal((h).mac, (text), sizeof(text) - 1);                                                        \
    } while (0)

/* A device that joined under 1.1 and has heard RekeyConf: one uplink, one downlink. */
static inline struct net active(const struct life *l)
{
    struct net w = net_new();

    EXPECT(accept(&w, l), LJS_OK);
    EXPECT(uplink(&w, l, SAID(0, MAC(REKEY_IND))), LJS_OK);
    EXPECT(downlink(&w, (ljs_ns_tx){ 0 }), LJS_OK);
    EXPECT(uplink(&w, l, SAID(1)), LJS_OK);
    EXPECT(w.up.state, LJS_NS_ACTIVE);
    return w;
}

#endif
