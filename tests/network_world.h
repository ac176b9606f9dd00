/* network_world.h -- a device as a network server hears it, made of the public functions for
 * frames alone, so that it shares nothing with the machine under test. */
#ifndef TESTS_NETWORK_WORLD_H
#define TESTS_NETWORK_WORLD_H

#include <lorajs/network.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NETWORK_MUST(call) ((call) ? (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #call), abort()) : (void)0)

enum { NETWORK_DEV = 0x0102030405060708, NETWORK_NET = 0x000013 };

/* A security context as the device has it. */
struct life {
    ljs_scheme scheme;
    ljs_devaddr addr;
    ljs_frame_kind kind;
    uint16_t nonce;
    ljs_key *f, *s, *e;
};

/* Keys that differ with `seed` and among one another. */
static inline struct life life_new(ljs_scheme scheme, ljs_frame_kind kind, uint16_t nonce, uint32_t seed)
{
    struct life l = { scheme, 0x26000000 + seed, kind, nonce, NULL, NULL, NULL };
    ljs_key **keys[] = { &l.f, &l.s, &l.e };

    for (unsigned i = 0; i < 3; i++) {
        uint8_t octets[16] = { (uint8_t)(i + 1),
                               (uint8_t)seed,
                               (uint8_t)(seed >> 8),
                               (uint8_t)(seed >> 16),
                               3,
                               (uint8_t)(seed * 31),
                               7,
                               0x55 };

        if (i && scheme == LJS_SCHEME_1_0)
            octets[0] = 1; /* one key for all */
        NETWORK_MUST(ljs_key_import(keys[i], octets, sizeof octets));
    }
    return l;
}

static inline void life_free(struct life *l)
{
    ljs_key_free(l->f);
    ljs_key_free(l->s);
    ljs_key_free(l->e);
    memset(l, 0, sizeof *l);
}

/* What an uplink says. */
struct said {
    uint32_t fcnt;
    const char *mac; /* MAC commands in clear; NULL for none */
    size_t mac_len;
    uint8_t port; /* 0: none, else with a payload of two octets */
    bool port0;   /* the MAC commands are there */
    bool confirmed, adr_ack_req, ack;
    uint16_t conf_fcnt;
    uint8_t dr, ch;
    bool forged;
};

static inline ljs_buf life_uplink(const struct life *l, const struct said *said)
{
    ljs_data d = { .direction = LJS_UP,
                   .confirmed = said->confirmed,
                   .dev_addr = l->addr,
                   .adr_ack_req = said->adr_ack_req,
                   .ack = said->ack,
                   .fcnt = (uint16_t)said->fcnt };
    const ljs_data_of of = { l->scheme, said->fcnt, said->conf_fcnt, said->dr, said->ch };
    const uint8_t *mac = (const uint8_t *)said->mac;
    ljs_buf octets = { NULL, 0 };

    if (said->port0) {
        NETWORK_MUST(
            ljs_data_crypt(&octets, LJS_STREAM_FRM_PAYLOAD, LJS_UP, l->addr, said->fcnt, l->e, mac, said->mac_len));
        d.has_fport = 1;
        if (octets.len)
            memcpy(d.frm_payload, octets.data, octets.len);
        d.frm_payload_len = octets.len;
    } else if (said->mac_len && l->scheme == LJS_SCHEME_1_1) {
        NETWORK_MUST(ljs_data_crypt(&octets, LJS_STREAM_FOPTS, LJS_UP, l->addr, said->fcnt, l->e, mac, said->mac_len));
        memcpy(d.fopts, octets.data, octets.len);
        d.fopts_len = (uint8_t)octets.len;
    } else if (said->mac_len) {
        memcpy(d.fopts, mac, said->mac_len);
        d.fopts_len = (uint8_t)said->mac_len;
    }
    ljs_buf_free(&octets);
    if (said->port) {
        d.has_fport = 1;
        d.fport = said->port;
        memcpy(d.frm_payload, "hi", 2);
        d.frm_payload_len = 2;
    }
    NETWORK_MUST(ljs_data_build(&octets, &d));
    NETWORK_MUST(ljs_data_mic(d.mic, &of, l->f, l->s, octets.data, octets.len));
    memcpy(octets.data + octets.len - 4, d.mic, 4);
    if (said->forged)
        octets.data[octets.len - 1] ^= 1;
    return octets;
}

/* A rejoin-request under the context; type 1 under a key that the network has not. */
static inline ljs_buf life_rejoin(const struct life *l, ljs_frame_kind kind, ljs_netid net_id, uint16_t nonce)
{
    ljs_frame f = { .kind = kind, .dev_eui = NETWORK_DEV, .nonce = nonce };
    ljs_buf out;

    if (kind == LJS_FRAME_REJOIN1)
        f.join_eui = 0x77;
    else
        f.net_id = net_id;
    NETWORK_MUST(ljs_frame_sign(&out, &f, l->s));
    return out;
}

/* What a device reads in a downlink: false when its MIC does not verify under this counter. */
struct heard {
    ljs_data data;
    uint8_t mac[LJS_FRM_PAYLOAD_MAX];
    size_t mac_len;
};

static inline bool life_hears(struct heard *out, const struct life *l, uint32_t fcnt, uint16_t conf_fcnt,
                              const uint8_t *in, size_t in_len)
{
    const ljs_data_of of = { l->scheme, fcnt, conf_fcnt, 0, 0 };
    ljs_data *d = &out->data;
    ljs_buf octets = { NULL, 0 };
    uint8_t mic[4];

    memset(out, 0, sizeof *out);
    if (ljs_data_parse(d, in, in_len) || ljs_data_mic(mic, &of, l->f, l->s, in, in_len) || memcmp(mic, d->mic, 4) != 0)
        return false;
    if (d->has_fport && d->fport == 0)
        NETWORK_MUST(ljs_data_crypt(&octets, LJS_STREAM_FRM_PAYLOAD, LJS_DOWN, l->addr, fcnt, l->e, d->frm_payload,
                                    d->frm_payload_len));
    else if (l->scheme == LJS_SCHEME_1_1)
        NETWORK_MUST(ljs_data_crypt(&octets, d->has_fport ? LJS_STREAM_FOPTS_A : LJS_STREAM_FOPTS, LJS_DOWN, l->addr,
                                    fcnt, l->e, d->fopts, d->fopts_len));
    else
        NETWORK_MUST(ljs_buf_copy(&octets, d->fopts, d->fopts_len));
    if (octets.len)
        memcpy(out->mac, octets.data, octets.len);
    out->mac_len = octets.len;
    ljs_buf_free(&octets);
    return true;
}

#endif
