#include "life_inside.h"

#include <string.h>

/* The session keys, derived once more from what the observer read. */
struct keys {
    ljs_key *f_nwk_s_int, *s_nwk_s_int, *app_s;
};

static void keys_free(struct keys *keys)
{
    ljs_key_free(keys->f_nwk_s_int);
    ljs_key_free(keys->s_nwk_s_int);
    ljs_key_free(keys->app_s);
}

static ljs_err derive(struct keys *out, const struct life *l, const struct session *s)
{
    bool v11 = l->scheme == LJS_SCHEME_1_1;
    ljs_derivation what = { .scheme = l->scheme,
                            .join_eui = l->world->fleet->join_eui,
                            .net_id = s->accept.net_id,
                            .join_nonce = s->accept.join_nonce,
                            .nonce = s->nonce };
    ljs_err err;

    *out = (struct keys){ 0 };
    what.name = LJS_KEY_F_NWK_S_INT;
    err = ljs_derive(&out->f_nwk_s_int, &what, l->nwk);
    what.name = LJS_KEY_S_NWK_S_INT;
    if (!err && v11)
        err = ljs_derive(&out->s_nwk_s_int, &what, l->nwk);
    what.name = LJS_KEY_APP_S;
    if (!err)
        err = ljs_derive(&out->app_s, &what, v11 ? l->app : l->nwk);
    if (err)
        keys_free(out);
    return err;
}

/* Is this frame, as it was on air, of this session, and does it say what was said last? */
static bool says(const struct life *l, const struct keys *keys, const struct letter *letter, ljs_direction direction,
                 uint32_t fcnt, uint16_t conf_fcnt, ljs_devaddr dev_addr, uint32_t seq)
{
    const ljs_data_of of = {
        .scheme = l->scheme, .fcnt = fcnt, .conf_fcnt = conf_fcnt, .tx_dr = letter->dr, .tx_ch = letter->ch
    };
    ljs_data data;
    uint8_t mic[4];
    ljs_buf text = { 0 };
    bool good = !ljs_data_parse(&data, letter->phy, letter->phy_len) && data.direction == direction &&
                data.dev_addr == dev_addr && data.fcnt == (uint16_t)fcnt && data.fport == PORT &&
                !ljs_data_mic(mic, &of, keys->f_nwk_s_int, keys->s_nwk_s_int, letter->phy, letter->phy_len) &&
                !memcmp(mic, data.mic, sizeof mic) &&
                !ljs_data_crypt(&text, LJS_STREAM_FRM_PAYLOAD, direction, dev_addr, fcnt, keys->app_s, data.frm_payload,
                                data.frm_payload_len) &&
                life_was_said(l, direction, text.data, text.len) == seq;

    ljs_buf_free(&text);
    return good;
}

const char *life_judge(struct life *l)
{
    ljs_ed ed = { .struct_size = sizeof ed };
    const struct session *s;
    struct keys keys;
    const char *why = NULL;
    uint32_t up, down;
    ljs_ns ns;

    if (ljs_ed_read(&ed, l->ed.data, l->ed.len) || !life_read_network(l, &ns))
        return "a state cannot be read";
    if (ed.state != LJS_ED_JOINED)
        return ed.state == LJS_ED_REKEYING ? "the device has no RekeyConf" : "the device has no session";
    if (ns.state != LJS_NS_ACTIVE && ns.state != LJS_NS_SWITCHING)
        return "the network has no session in use";
    if (ed.dev_addr != ns.current.dev_addr)
        return "two DevAddrs";
    if (ed.scheme != l->scheme || ns.current.scheme != l->scheme)
        return "not the scheme that device and network have in common";
    s = life_session_of(l, ns.current.session_key_id);
    if (!s || ed.join_nonce < 0 || (uint32_t)ed.join_nonce != s->accept.join_nonce || ed.session_kind != s->kind ||
        ed.session_nonce != s->nonce || ed.dev_addr != s->accept.dev_addr)
        return "two join-accepts";
    if (l->up_got != l->up_seq)
        return "an uplink was not accepted, though nothing is lost";
    if (l->down_got != l->down_seq)
        return "a downlink was not accepted, though nothing is lost";
    if (derive(&keys, l, s))
        return "out of memory";
    up = (uint32_t)(ed.fcnt_up - 1);
    down = (uint32_t)(l->scheme == LJS_SCHEME_1_1 ? ed.a_fcnt_down : ed.n_fcnt_down);
    if (!says(l, &keys, &l->last_up, LJS_UP, up, 0, ed.dev_addr, l->up_seq) || ns.current.fcnt_up != up)
        why = "an uplink under other keys than those that follow from the join-accept";
    else if (!says(l, &keys, &l->last_down, LJS_DOWN, down, (uint16_t)up, ed.dev_addr, l->down_seq))
        why = "a downlink under other keys than those that follow from the join-accept";
    keys_free(&keys);
    return why;
}
