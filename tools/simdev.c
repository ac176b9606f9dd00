#include "simdev.h"

#include "tool.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Device i is of class i % 8. */
static const struct class
{
    ljs_mac mac;
    bool roams; /* joins by turns at a network of 1.0 and one of 1.1 */
} classes[] = {
    { LJS_MAC_1_0_0, false }, { LJS_MAC_1_0_1, false }, { LJS_MAC_1_0_2, false }, { LJS_MAC_1_0_3, false },
    { LJS_MAC_1_0_4, false }, { LJS_MAC_1_1, false },   { LJS_MAC_1_1, false },   { LJS_MAC_1_1, true },
};

static const struct class *class_of(const struct simdev *dev)
{
    return &classes[dev->index % COUNT(classes)];
}

static ljs_eui dev_eui(const struct simdev *dev, const struct fleet *fleet)
{
    return fleet->first + dev->index;
}

/* ---- drawing from the seed -------------------------------------------------- */

enum draw { DRAW_FLEET, DRAW_ROOT, DRAW_NONCES, DRAW_ASK, DRAW_CHANNELS };

static ljs_err draw(uint8_t out[16], const struct fleet *fleet, enum draw what, uint32_t a, uint32_t b)
{
    const uint8_t in[9] = { (uint8_t)what,      (uint8_t)a,         (uint8_t)(a >> 8),
                            (uint8_t)(a >> 16), (uint8_t)(a >> 24), (uint8_t)b,
                            (uint8_t)(b >> 8),  (uint8_t)(b >> 16), (uint8_t)(b >> 24) };

    return ljs_aes_cmac(out, fleet->seed, in, sizeof in);
}

ljs_err fleet_seed(struct fleet *fleet, const char *text)
{
    static const uint8_t zero[16];
    uint8_t block[16] = { 0 };
    ljs_key *key = NULL;
    ljs_err err = ljs_key_import(&key, zero, sizeof zero);

    if (!err)
        err = ljs_aes_cmac(block, key, (const uint8_t *)text, strlen(text));
    if (!err)
        err = ljs_key_import(&fleet->seed, block, sizeof block);
    if (!err)
        err = draw(block, fleet, DRAW_FLEET, 0, 0);
    /* Locally administered, another block for each seed, 2^24 devices each. */
    fleet->first = UINT64_C(0x0200000000000000);
    for (unsigned i = 0; i < 4; i++)
        fleet->first |= (uint64_t)block[i] << (24 + 8 * i);
    ljs_key_free(key);
    explicit_bzero(block, sizeof block);
    return err;
}

int fleet_read_keks(struct fleet *fleet, const char *path)
{
    ljs_buf text = { 0 };
    int code = read_all(&text, path, 1 << 16);
    unsigned number = 0;

    for (size_t at = 0; code == DONE && at < text.len;) {
        char *line = (char *)text.data + at, *hex;
        size_t line_len = 0, n;
        uint8_t key[32];

        while (at + line_len < text.len && line[line_len] != '\n')
            line_len++;
        at += line_len + 1;
        number++;
        if (!line_len || *line == '#')
            continue;
        for (n = line_len; n > 0 && line[n - 1] != ' ';)
            n--; /* the last word: a label may have spaces */
        hex = line + n;
        line_len -= n;
        code = REFUSED;
        if (fleet->keks_len < KEKS_MAX && n > 1 && n - 1 < LJS_LABEL_MAX && line_len % 2 == 0 && line_len <= 64) {
            struct sim_kek *kek = &fleet->keks[fleet->keks_len];
            char octet[3] = { 0 }, *end = octet;

            for (size_t i = 0; i < line_len / 2 && !*end; i++) {
                memcpy(octet, hex + 2 * i, 2);
                key[i] = (uint8_t)strtoul(octet, &end, 16);
            }
            memcpy(kek->label, line, n - 1);
            if (!*end && !ljs_key_import(&kek->key, key, line_len / 2)) {
                fleet->keks_len++;
                code = DONE;
            }
            explicit_bzero(octet, sizeof octet);
        }
        explicit_bzero(key, sizeof key);
        if (code)
            complain("%s: line %u is not LABEL HEX with a key of 16, 24 or 32 octets", path, number);
    }
    ljs_buf_free(&text);
    return code;
}

void fleet_clear(struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->keks_len; i++)
        ljs_key_free(fleet->keks[i].key);
    ljs_key_free(fleet->seed);
    memset(fleet, 0, sizeof *fleet);
}

/* The i-th DevNonce of a device before 1.0.4: random, and none twice, since four rounds of
 * a Feistel network are a permutation of all 65536. */
static uint16_t random_nonce(const uint8_t block[16], uint32_t i)
{
    uint8_t left = (uint8_t)(i >> 8), right = (uint8_t)i;

    for (unsigned round = 0; round < 4; round++) {
        unsigned x = (right + block[2 * round]) * 167u + block[2 * round + 1];
        uint8_t mixed = (uint8_t)(left ^ x ^ (x >> 5));

        left = right;
        right = mixed;
    }
    return (uint16_t)(left << 8 | right);
}

/* ---- keys ------------------------------------------------------------------- */

/* Root keys, drawn anew for each use: a large fleet would else need much locked memory. */
struct roots {
    ljs_key *nwk, *app; /* nwk is the one root key before 1.1 */
    ljs_key *js_int, *js_enc;
};

static ljs_err root_key(ljs_key **out, const struct fleet *fleet, uint32_t index, uint32_t which)
{
    uint8_t block[16];
    ljs_err err = draw(block, fleet, DRAW_ROOT, index, which);

    if (!err)
        err = ljs_key_import(out, block, sizeof block);
    explicit_bzero(block, sizeof block);
    return err;
}

static void roots_free(struct roots *roots)
{
    ljs_key_free(roots->nwk);
    ljs_key_free(roots->app);
    ljs_key_free(roots->js_int);
    ljs_key_free(roots->js_enc);
}

static ljs_err roots_of(struct roots *out, const struct fleet *fleet, const struct simdev *dev, ljs_scheme scheme)
{
    ljs_derivation what = { .name = LJS_KEY_JS_INT, .scheme = scheme, .dev_eui = dev_eui(dev, fleet) };
    ljs_err err;

    *out = (struct roots){ 0 };
    err = root_key(&out->nwk, fleet, dev->index, 0);
    if (!err && scheme == LJS_SCHEME_1_1) {
        err = root_key(&out->app, fleet, dev->index, 1);
        if (!err)
            err = ljs_derive(&out->js_int, &what, out->nwk);
        what.name = LJS_KEY_JS_ENC;
        if (!err)
            err = ljs_derive(&out->js_enc, &what, out->nwk);
    }
    if (err)
        roots_free(out);
    return err;
}

/* The device decides by OptNeg, which is set exactly when both ends speak 1.1. */
static ljs_scheme scheme_of(const struct ask *ask)
{
    return ask->mac >= LJS_MAC_1_1 ? LJS_SCHEME_1_1 : LJS_SCHEME_1_0;
}

static ljs_derivation session_of(ljs_key_name name, const struct ask *ask, uint32_t join_nonce,
                                 const struct fleet *fleet)
{
    return (ljs_derivation){ .name = name,
                             .scheme = scheme_of(ask),
                             .join_eui = fleet->join_eui,
                             .net_id = ask->net_id,
                             .join_nonce = join_nonce,
                             .nonce = ask->nonce };
}

/* Are they one key?  Nothing of either is looked at. */
static bool same_key(const ljs_key *a, const ljs_key *b)
{
    static const uint8_t text[16] = "the same key?";
    uint8_t mac_a[16], mac_b[16];

    return !ljs_aes_cmac(mac_a, a, text, sizeof text) && !ljs_aes_cmac(mac_b, b, text, sizeof text) &&
           !memcmp(mac_a, mac_b, sizeof mac_a);
}

/* ---- requests --------------------------------------------------------------- */

unsigned simdev_can(const struct simdev *dev)
{
    return (dev->dev_nonces <= 0xffff ? CAN_JOIN : 0) |
           (dev->joined && dev->of.mac >= LJS_MAC_1_1 && dev->rj_count0 <= 0xffff && dev->rj_count1 <= 0xffff
                ? CAN_REJOIN
                : 0);
}

static ljs_err sign_rejoin(ljs_buf *out, const ljs_frame *frame, const struct simdev *dev, const struct fleet *fleet)
{
    struct roots roots;
    ljs_key *key = NULL;
    ljs_derivation what = session_of(LJS_KEY_S_NWK_S_INT, &dev->of, dev->got.join_nonce, fleet);
    ljs_err err = roots_of(&roots, fleet, dev, LJS_SCHEME_1_1);

    if (err)
        return err;
    /* [L2 1.1 §6.2.4]  JSIntKey for type 1, SNwkSIntKey of the current session for 0 and 2 */
    if (frame->kind != LJS_FRAME_REJOIN1)
        err = ljs_derive(&key, &what, roots.nwk);
    if (!err)
        err = ljs_frame_sign(out, frame, key ? key : roots.js_int);
    ljs_key_free(key);
    roots_free(&roots);
    return err;
}

static ljs_err sign_join(ljs_buf *out, const ljs_frame *frame, const struct simdev *dev, const struct fleet *fleet)
{
    struct roots roots;
    ljs_err err = roots_of(&roots, fleet, dev, LJS_SCHEME_1_0);

    if (err)
        return err;
    err = ljs_frame_sign(out, frame, roots.nwk);
    roots_free(&roots);
    return err;
}

/* Used up from here on, whatever becomes of the request. */
static void consume(struct simdev *dev, const struct ask *ask)
{
    dev->asks = ask->k + 1;
    if (ask->kind == LJS_FRAME_REJOIN1)
        dev->rj_count1 = ask->nonce + 1u;
    else if (ask->kind != LJS_FRAME_JOIN)
        dev->rj_count0 = ask->nonce + 1u;
    else if (class_of(dev)->mac >= LJS_MAC_1_0_4)
        dev->dev_nonces = ask->nonce + 1u;
    else
        dev->dev_nonces++;
    dev->ask = *ask;
    dev->open = true;
}

ljs_err simdev_next(struct simdev *dev, struct fleet *fleet, bool rejoin)
{
    static const ljs_frame_kind types[] = { LJS_FRAME_REJOIN0, LJS_FRAME_REJOIN1, LJS_FRAME_REJOIN2 };
    const struct class *class = class_of(dev);
    struct ask ask = { .k = dev->asks, .kind = LJS_FRAME_JOIN, .mac = class->mac };
    uint8_t dice[16], nonces[16];
    ljs_frame frame = { .dev_eui = dev_eui(dev, fleet) };
    ljs_buf phy = { 0 };
    ljs_err err = draw(dice, fleet, DRAW_ASK, dev->index, ask.k);

    if (!err)
        err = draw(nonces, fleet, DRAW_NONCES, dev->index, 0);
    if (err)
        return err;
    if (!(simdev_can(dev) & (rejoin ? CAN_REJOIN : CAN_JOIN)))
        return LJS_E_SPENT;
    if (rejoin) {
        ask.kind = types[dice[0] % 3];
        ask.net_id = dev->of.net_id;
        ask.nonce = (uint16_t)(ask.kind == LJS_FRAME_REJOIN1 ? dev->rj_count1 : dev->rj_count0);
    } else {
        ask.net_id = fleet->net_ids[dice[1] % fleet->net_ids_len];
        /* Some frames are never heard by any network, so the counter leaps at times. */
        if (class->mac >= LJS_MAC_1_0_4)
            ask.nonce = (uint16_t)(dev->dev_nonces + (dice[2] % 4 == 0 && dev->dev_nonces < 0xfff0 ? dice[3] % 8 : 0));
        else
            ask.nonce = random_nonce(nonces, dev->dev_nonces);
        /* A network may speak less than the device: always so at times for those that
         * roam, now and then for the others. */
        if (class->roams && ask.k % 2 == 0)
            ask.mac = LJS_MAC_1_0_3;
        else if (class->mac<LJS_MAC_1_1 &&class->mac> LJS_MAC_1_0_0 && dice[4] % 8 == 0)
            ask.mac = (ljs_mac)(class->mac - 1);
    }
    frame.kind = ask.kind;
    frame.nonce = ask.nonce;
    if (ask.kind == LJS_FRAME_JOIN || ask.kind == LJS_FRAME_REJOIN1)
        frame.join_eui = fleet->join_eui;
    else
        frame.net_id = ask.net_id;
    err = rejoin ? sign_rejoin(&phy, &frame, dev, fleet) : sign_join(&phy, &frame, dev, fleet);
    if (!err && phy.len <= sizeof ask.phy) {
        memcpy(ask.phy, phy.data, phy.len);
        ask.phy_len = (uint8_t)phy.len;
        consume(dev, &ask);
    }
    ljs_buf_free(&phy);
    return err;
}

unsigned simdev_whims(const struct simdev *dev, const struct fleet *fleet, unsigned one_in)
{
    uint8_t dice[16];
    unsigned whims = 0;

    if (!one_in || draw(dice, fleet, DRAW_ASK, dev->index, dev->ask.k))
        return 0;
    if (dice[8] % one_in == 0)
        whims |= 1 << ACT_FORGE;
    if (dice[9] % one_in == 0)
        whims |= 1 << ACT_REPEAT;
    if (dice[10] % one_in == 0)
        whims |= 1 << ACT_REPLAY;
    if (dice[11] % one_in == 0 && fleet->as_id)
        whims |= 1 << ACT_APP_KEY;
    return whims;
}

/* What a network server adds to the k-th request of a device: the same each time it sends it. */
static ljs_err add_network(ljs_message *req, const struct simdev *dev, const struct fleet *fleet, const struct ask *ask)
{
    uint8_t dice[16], more[16];
    ljs_cf_list list = { .type = 0 };
    ljs_dl_settings dl = { .opt_neg = ask->mac >= LJS_MAC_1_1 };
    ljs_buf buf = { 0 };
    ljs_err err = draw(dice, fleet, DRAW_ASK, dev->index, ask->k);

    if (!err)
        err = draw(more, fleet, DRAW_CHANNELS, dev->index, ask->k);
    if (err)
        return err;
    /* DevAddr: the type and NwkID of NetID 00000x, then what the network likes. */
    req->dev_addr = (ask->net_id & 0x3f) << 25 | (more[0] & 1u) << 24 | more[1] << 16 | more[2] << 8 | more[3];
    dl.rx1_dr_offset = dice[5] % 6;
    dl.rx2_data_rate = dice[6] % 16;
    err = ljs_dl_settings_build(&req->dl_settings, &dl);
    req->rx_delay = dice[7] % 16;
    if (!err && more[4] % 3) { /* 0: no CFList */
        list.type = more[4] % 3 - 1;
        for (unsigned i = 0; i < 5 && list.type == 0; i++)
            list.frequency[i] = more[5 + i] % 4 ? 867100000 + 200000 * i : 0;
        for (unsigned i = 0; i < 5 && list.type == 1; i++)
            list.mask[i] = (uint16_t)(more[5 + i] << 8 | more[10 + i]);
        err = ljs_cf_list_build(&buf, &list);
        if (!err) {
            memcpy(req->cf_list, buf.data, LJS_CFLIST_LEN);
            req->has |= LJS_M_CF_LIST;
        }
        ljs_buf_free(&buf);
    }
    req->mac = ask->mac;
    req->phy_len = ask->phy_len;
    memcpy(req->phy, ask->phy, ask->phy_len);
    req->has |= LJS_M_DEV_ADDR | LJS_M_DL_SETTINGS | LJS_M_RX_DELAY | LJS_M_MAC_VERSION;
    return err;
}

ljs_err simdev_message(ljs_buf *out, ljs_message *req, const struct simdev *dev, struct fleet *fleet, enum sim_act act)
{
    const struct ask *ask = act == ACT_REPLAY ? &dev->old : act == ACT_REPEAT ? &dev->of : &dev->ask;
    ljs_err err = LJS_OK;

    *out = (ljs_buf){ 0 };
    ljs_message_init(req);
    req->protocol = dev->index / COUNT(classes) % 2 ? 11 : 10;
    req->transaction_id = ++fleet->transaction;
    req->dev_eui = dev_eui(dev, fleet);
    req->has = LJS_M_TRANSACTION_ID | LJS_M_DEV_EUI;
    snprintf(req->receiver_id, sizeof req->receiver_id, "%016" PRIx64, fleet->join_eui);
    if (act == ACT_APP_KEY) {
        req->type = LJS_MSG_APP_S_KEY_REQ;
        snprintf(req->sender_id, sizeof req->sender_id, "%s", fleet->as_id);
        memcpy(req->session_key_id, dev->got.session_key_id, sizeof dev->got.session_key_id);
        req->session_key_id_len = sizeof dev->got.session_key_id;
    } else {
        req->type = ask->kind == LJS_FRAME_JOIN ? LJS_MSG_JOIN_REQ : LJS_MSG_REJOIN_REQ;
        snprintf(req->sender_id, sizeof req->sender_id, "%06x", ask->net_id);
        if (req->protocol == 11) {
            req->sender_ns_id = fleet->ns_id;
            req->has |= LJS_M_SENDER_NSID;
        }
        err = add_network(req, dev, fleet, ask);
        if (act == ACT_FORGE)
            req->phy[req->phy_len - 1 - ask->k % 4] ^= (uint8_t)(1u << ask->nonce % 8);
    }
    return err ? err : ljs_message_build(out, req);
}

/* ---- answers ---------------------------------------------------------------- */

static const char *check_key(const ljs_envelope *envelope, const ljs_derivation *what, const ljs_key *root,
                             const struct fleet *fleet)
{
    const ljs_key *kek = NULL;
    ljs_key *given = NULL, *own = NULL;
    const char *why = NULL;

    for (unsigned i = 0; i < fleet->keks_len; i++)
        if (!strcmp(fleet->keks[i].label, envelope->kek_label))
            kek = fleet->keks[i].key;
    if (!*envelope->kek_label && fleet->keks_len)
        why = "a key in clear, though there are KEKs";
    else if (*envelope->kek_label && !kek)
        why = "a KEKLabel that is in no --kek-file";
    else if (ljs_envelope_open(&given, envelope, kek))
        why = "an envelope that does not open";
    else if (ljs_derive(&own, what, root))
        why = "out of memory";
    else if (!same_key(given, own))
        why = "a session key that is not the device's";
    ljs_key_free(given);
    ljs_key_free(own);
    return why;
}

/* Each session key in the answer against the device's own. */
static const char *check_keys(const ljs_message *ans, const struct ask *ask, uint32_t join_nonce,
                              const struct roots *roots, const struct fleet *fleet)
{
    const bool v11 = ask->mac >= LJS_MAC_1_1;
    const struct {
        const ljs_envelope *envelope;
        ljs_key_name name;
        const ljs_key *root;
        bool here; /* must be, or must not */
    } keys[] = {
        { &ans->nwk_s, LJS_KEY_F_NWK_S_INT, roots->nwk, !v11 },
        { &ans->f_nwk_s_int, LJS_KEY_F_NWK_S_INT, roots->nwk, v11 },
        { &ans->s_nwk_s_int, LJS_KEY_S_NWK_S_INT, roots->nwk, v11 },
        { &ans->nwk_s_enc, LJS_KEY_NWK_S_ENC, roots->nwk, v11 },
        { &ans->app_s, LJS_KEY_APP_S, v11 ? roots->app : roots->nwk, ans->app_s.key_len != 0 },
    };
    const char *why = NULL;

    for (size_t i = 0; i < COUNT(keys) && !why; i++) {
        ljs_derivation what = session_of(keys[i].name, ask, join_nonce, fleet);

        if (!keys[i].envelope->key_len != !keys[i].here)
            why = keys[i].here ? "a session key is absent" : "a session key of another LoRaWAN version";
        else if (keys[i].here)
            why = check_key(keys[i].envelope, &what, keys[i].root, fleet);
    }
    return why;
}

/* Open the accept as the device does, and believe nothing. */
static const char *check_accept(struct got *got, const ljs_message *ans, const ljs_message *req,
                                const struct simdev *dev, const struct fleet *fleet, const struct ask *ask)
{
    const ljs_scheme scheme = scheme_of(ask);
    const ljs_accept_of of = { scheme, ask->kind, fleet->join_eui, ask->nonce };
    ljs_accept accept;
    struct roots roots;
    const char *why = NULL;

    if (ans->phy_len != 17 && ans->phy_len != 33)
        return "an accept of wrong size";
    if (ans->session_key_id_len != sizeof got->session_key_id)
        return "no SessionKeyID of 16 octets";
    if (roots_of(&roots, fleet, dev, scheme))
        return "out of memory";
    if (ljs_accept_open(&accept, &of, scheme == LJS_SCHEME_1_1 ? roots.js_int : roots.nwk,
                        ask->kind == LJS_FRAME_JOIN ? roots.nwk : roots.js_enc, ans->phy, ans->phy_len))
        why = "an accept that the device cannot open";
    else if (accept.net_id != ask->net_id || accept.dev_addr != req->dev_addr ||
             accept.dl_settings != req->dl_settings || accept.rx_delay != req->rx_delay ||
             !accept.has_cf_list != !(req->has & LJS_M_CF_LIST) ||
             memcmp(accept.cf_list, req->cf_list, sizeof accept.cf_list))
        why = "an accept with other settings than the network's";
    else
        why = check_keys(ans, ask, accept.join_nonce, &roots, fleet);
    if (!why) {
        got->join_nonce = accept.join_nonce;
        memcpy(got->session_key_id, ans->session_key_id, sizeof got->session_key_id);
        memcpy(got->accept, ans->phy, ans->phy_len);
        got->accept_len = (uint8_t)ans->phy_len;
    }
    roots_free(&roots);
    return why;
}

static const char *check_app_key(const ljs_message *ans, const struct simdev *dev, const struct fleet *fleet)
{
    ljs_derivation what = session_of(LJS_KEY_APP_S, &dev->of, dev->got.join_nonce, fleet);
    struct roots roots;
    const char *why;

    if (!ans->app_s.key_len)
        return "no AppSKey in the answer to AppSKeyReq";
    if (ans->session_key_id_len != sizeof dev->got.session_key_id ||
        memcmp(ans->session_key_id, dev->got.session_key_id, sizeof dev->got.session_key_id))
        return "AppSKey of another session";
    if (roots_of(&roots, fleet, dev, what.scheme))
        return "out of memory";
    why = check_key(&ans->app_s, &what, what.scheme == LJS_SCHEME_1_1 ? roots.app : roots.nwk, fleet);
    roots_free(&roots);
    return why;
}

static enum sim_fate refused(const char **why, enum sim_act act, ljs_err err)
{
    /* A 1.0 peer is told JoinReqFailed for a used nonce, and for much else. */
    *why = err == LJS_E_REPLAY ? "JoinReqFailed/FrameReplayed" : ljs_result_code(err, 11);
    /* Other is a fault of the server, but for AppSKeyReq, where it is the session that is not there. */
    if (err > LJS_E_MESSAGE || err == LJS_E_BUSY || (err == LJS_E_SESSION && act != ACT_APP_KEY))
        return SIM_LATER;
    /* An old rejoin of a session that the server does not keep any more has a MIC of no session. */
    if ((act == ACT_FORGE && err == LJS_E_MIC) || (act == ACT_REPLAY && (err == LJS_E_REPLAY || err == LJS_E_MIC)))
        return SIM_GOOD;
    return SIM_REFUSED;
}

enum sim_fate simdev_answer(struct got *got, const char **why, const struct simdev *dev, const struct fleet *fleet,
                            enum sim_act act, const ljs_message *req, const uint8_t *in, size_t in_len)
{
    ljs_message ans;
    ljs_err err = ljs_message_answer(&ans, req, in, in_len);
    enum sim_fate fate = SIM_WRONG;

    *got = (struct got){ 0 };
    *why = NULL;
    if (err == LJS_E_MESSAGE) {
        *why = "an answer that is none to the request";
    } else if (err) {
        fate = refused(why, act, err);
    } else if (act == ACT_FORGE) {
        *why = "a forged request was accepted";
    } else if (act == ACT_REPLAY) {
        *why = "a replayed request was accepted";
    } else if (act == ACT_APP_KEY) {
        *why = check_app_key(&ans, dev, fleet);
    } else {
        *why = check_accept(got, &ans, req, dev, fleet, act == ACT_ASK ? &dev->ask : &dev->of);
        if (*why)
            ;
        else if (act == ACT_ASK && dev->joined && got->join_nonce <= dev->got.join_nonce)
            *why = "JoinNonce did not rise"; /* [L2 1.1 §6.2.3] */
        else if (act == ACT_ASK && !got->join_nonce)
            *why = "JoinNonce 0"; /* a fresh device takes none that is not above 0 */
        else if (act == ACT_REPEAT &&
                 (got->join_nonce != dev->got.join_nonce || memcmp(got->session_key_id, dev->got.session_key_id, 16) ||
                  got->accept_len != dev->got.accept_len || memcmp(got->accept, dev->got.accept, got->accept_len)))
            *why = "the same request again got another session";
    }
    explicit_bzero(&ans, sizeof ans);
    return *why ? fate : SIM_GOOD;
}

void simdev_accept(struct simdev *dev, const struct got *got)
{
    if (dev->joined)
        dev->old = dev->of;
    dev->of = dev->ask;
    dev->got = *got;
    dev->joined = true;
    dev->open = false;
    dev->rj_count0 = 0; /* [L2 1.1 §6.2.4.1]  with each accept that is processed */
}

void simdev_restore(struct simdev *dev, const struct entry *entry)
{
    if (entry->type == ENTRY_ASK) {
        consume(dev, &entry->ask);
    } else if (entry->type == ENTRY_GOT && dev->open && dev->ask.k == entry->ask.k) {
        simdev_accept(dev, &entry->got); /* else a repeat */
    } else if (entry->type == ENTRY_NO && dev->ask.k == entry->ask.k) {
        dev->open = false;
    }
}

/* ---- provisioning ----------------------------------------------------------- */

static ljs_err print_key(FILE *to, const char *name, const struct fleet *fleet, uint32_t index, uint32_t which)
{
    ljs_key *key = NULL;
    ljs_buf octets = { 0 };
    ljs_err err = root_key(&key, fleet, index, which);

    if (!err)
        err = ljs_key_export(&octets, key);
    if (!err) {
        fprintf(to, ",\"%s\":\"", name);
        for (size_t i = 0; i < octets.len; i++)
            fprintf(to, "%02x", octets.data[i]);
        fputc('"', to);
    }
    ljs_buf_free(&octets);
    ljs_key_free(key);
    return err;
}

ljs_err simdev_provision(FILE *to, uint32_t index, const struct fleet *fleet)
{
    const struct simdev dev = { .index = index };
    const ljs_mac mac = class_of(&dev)->mac;
    const struct {
        const char *name, *text;
    } texts[] = { { "ns_kek_label", fleet->ns_label }, { "as_kek_label", fleet->as_label }, { "as_id", fleet->as_id } };
    ljs_err err;

    fprintf(to, "{\"dev_eui\":\"%016" PRIx64 "\",\"join_eui\":\"%016" PRIx64 "\",\"lorawan_version\":\"%s\"",
            dev_eui(&dev, fleet), fleet->join_eui, ljs_mac_text(mac));
    /* The one root key of 1.0 goes by either name. */
    err = print_key(to, mac >= LJS_MAC_1_1 || index / COUNT(classes) % 2 ? "nwk_key" : "app_key", fleet, index, 0);
    if (!err && mac >= LJS_MAC_1_1)
        err = print_key(to, "app_key", fleet, index, 1);
    for (size_t i = 0; i < COUNT(texts); i++)
        if (texts[i].text) {
            fprintf(to, ",\"%s\":", texts[i].name);
            print_json_text(to, texts[i].text);
        }
    fputs("}\n", to);
    return err;
}
