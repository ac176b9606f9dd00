/* rotate_world.h -- a store with many devices, its master key, and others who have it open. */
#ifndef ROTATE_WORLD_H
#define ROTATE_WORLD_H

#include "server_world.h"

#include <lorajs/master.h>
#include <lorajs/rewrap.h>

enum { DEVICES = 150 }; /* more than share a commit */

static inline ljs_key *key_from(uint8_t last)
{
    uint8_t octets[32] = { 0x4c, 0x6f, 0x52, last };
    ljs_key *key;

    assert_int_equal(ljs_key_import(&key, octets, sizeof octets), LJS_OK);
    return key;
}

/* Another process over the same store, which knows one master key; 0x61 is that of the world. */
static inline ljs_err opened(ljs_server **server, ljs_vault **its, ljs_store *store, uint8_t last)
{
    const ljs_server_opts opts = { .struct_size = sizeof opts, .anonymous = 1, .clear = LJS_CLEAR_NS | LJS_CLEAR_AS };
    ljs_key *key = key_from(last);
    ljs_err err;

    assert_int_equal(ljs_vault_from_key(its, key), LJS_OK);
    ljs_key_free(key);
    err = ljs_server_new(server, *its, store, &opts);
    if (err) {
        ljs_vault_free(*its);
        *its = NULL;
    }
    return err;
}

static inline void closed(ljs_server *server, ljs_vault *its)
{
    ljs_server_free(server);
    ljs_vault_free(its);
}

static inline ljs_err rotate(ljs_server *server, uint8_t last)
{
    ljs_key *key = key_from(last);
    ljs_err err = ljs_server_rotate(server, key);

    ljs_key_free(key);
    return err;
}

static inline ljs_rewrapped walk(ljs_rewrap *r)
{
    ljs_rewrapped so_far;

    do
        assert_int_equal(ljs_rewrap_step(&so_far, r, 7), LJS_OK);
    while (!so_far.done);
    return so_far;
}

static inline ljs_rewrapped rewrapped(ljs_server *server, bool retire)
{
    ljs_rewrapped so_far;
    ljs_rewrap *r;

    assert_int_equal(ljs_rewrap_new(&r, server), LJS_OK);
    so_far = walk(r);
    if (retire)
        assert_int_equal(ljs_rewrap_retire(r, 0), LJS_OK);
    ljs_rewrap_free(r);
    return so_far;
}

static inline void joins(ljs_server *server, ljs_eui dev_eui, uint16_t nonce, uint32_t join_nonce)
{
    const ljs_frame frame = { .kind = LJS_FRAME_JOIN, .join_eui = EUI, .dev_eui = dev_eui, .nonce = nonce };
    struct world w = { .server = server };
    ljs_join_req req = request(LJS_MAC_1_0_4);
    ljs_message answer;
    ljs_accept accept;
    const ljs_accept_of of = { .scheme = LJS_SCHEME_1_0, .kind = LJS_FRAME_JOIN, .join_eui = EUI, .nonce = nonce };

    set_phy(&req, &frame, nwk);
    answer = asked(&w, NULL, join_text(&(struct say){ .dev_eui = dev_eui }, &req), "Success");
    assert_int_equal(ljs_accept_open(&accept, &of, nwk, nwk, answer.phy, answer.phy_len), LJS_OK);
    assert_int_equal(accept.join_nonce, join_nonce);
}

static inline void refuses(ljs_server *server, ljs_eui dev_eui, uint16_t nonce)
{
    const ljs_frame frame = { .kind = LJS_FRAME_JOIN, .join_eui = EUI, .dev_eui = dev_eui, .nonce = nonce };
    struct world w = { .server = server };
    ljs_join_req req = request(LJS_MAC_1_0_4);

    set_phy(&req, &frame, nwk);
    (void)asked(&w, NULL, join_text(&(struct say){ .dev_eui = dev_eui }, &req), "Other");
}

static inline void many(struct world *w)
{
    ljs_device d = device_of(LJS_MAC_1_0_4);

    lab_begin(w, NULL);
    for (unsigned i = 0; i < DEVICES; i++) {
        d.dev_eui = DEV + i;
        added(w, &d);
    }
    put_two_keks(w);
}

#endif
