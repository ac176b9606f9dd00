#include "device/step.h"

#include "air/frame.h"
#include "base/secret.h"
#include "base/text.h"
#include "device/record.h"
#include "device/rekeying.h"
#include "device/repeat.h"

/* One step at work. */
struct join {
    struct record *r;
    struct ring *ring;
    const ljs_vault *vault;
    const ljs_join_req *req;
    ljs_frame frame;
    ljs_scheme scheme;
    struct context *context; /* of the JoinEUI that is joined under */
    ljs_session *under;      /* rejoin 0 and 2: the session whose key made the MIC; NULL: none of ours */
    ljs_derivation derived;  /* what was derived beside the MIC, if `has_derived` */
    bool has_derived;
    struct asked asked;
    struct wr found; /* keys of a device that is ahead, sealed, until the record is saved */
};

/* ---- what the request must be before a key is touched ----------------------- */

static ljs_err check_req(const ljs_join_req *req)
{
    static const uint8_t no_id[sizeof req->session_key_id];

    if (req->struct_size != sizeof *req || req->phy_len > sizeof req->phy ||
        (req->cf_list_len && req->cf_list_len != sizeof req->cf_list) || req->rx_delay > 15 || req->net_id > 0xffffff ||
        strcmp(ljs_mac_text(req->mac), "?") == 0 || !ljs__text_ok(req->peer, sizeof req->peer) ||
        memcmp(req->session_key_id, no_id, sizeof no_id) == 0)
        return LJS_E_INVAL;
    return LJS_OK;
}

static ljs_err check_frame(struct join *j)
{
    ljs_err err = ljs_frame_parse(&j->frame, j->req->phy, j->req->phy_len);

    if (err)
        return err;
    if ((j->frame.kind == LJS_FRAME_JOIN) == !!j->req->rejoin || j->frame.dev_eui != j->r->d.dev_eui)
        return LJS_E_FRAME;
    return LJS_OK;
}

/* A token gives nothing in clear, whoever is allowed that. */
static bool may_clear(const ljs_vault *vault, unsigned clear, unsigned whom)
{
    return clear & whom && !ljs__vault_inside(vault);
}

static ljs_err check_device(struct join *j)
{
    const ljs_device *d = &j->r->d;

    if (d->state == LJS_STATE_REMOVED)
        return LJS_E_DEVICE;
    if (!ljs__frame_has_net_id(j->frame.kind))
        j->context = ljs__record_context(j->r, j->frame.join_eui);
    else
        j->context = j->req->join_eui ? ljs__record_context(j->r, j->req->join_eui) : &j->r->context[0];
    if (!j->context)
        return LJS_E_JOINEUI;
    if (d->state == LJS_STATE_BLOCKED)
        return d->moved ? LJS_E_MOVED : LJS_E_BLOCKED;
    if (d->has_home_net_id && d->home_net_id != j->req->net_id)
        return LJS_E_HOME;
    if (d->has_home_ns_id && j->req->has_ns_id && d->home_ns_id != j->req->ns_id)
        return LJS_E_HOME;
    /* [L2 1.1 §6.2.4.1]  the NetID in it is that of the device's home network */
    if (ljs__frame_has_net_id(j->frame.kind) && j->frame.net_id != j->req->net_id)
        return LJS_E_HOME;
    if (!ljs__ring_has(j->ring, KEY_NS_KEK) && !may_clear(j->vault, j->req->clear, LJS_CLEAR_NS))
        return LJS_E_KEK;
    return LJS_OK;
}

/* [L2 1.1 §6.2.3, §6.1.1]  which rules the session follows: the device goes by the OptNeg
 * bit of the accept, which a network below 1.1 must leave clear. */
static ljs_err check_version(struct join *j)
{
    bool opt_neg = j->req->dl_settings & 0x80;
    bool device_1_1 = j->r->d.mac >= LJS_MAC_1_1, network_1_1 = j->req->mac >= LJS_MAC_1_1;

    if (ljs__record_keyless(j->r)) /* whose version nobody has said yet */
        return LJS_E_NOKEY;
    if (j->req->mac > j->r->d.mac)
        return LJS_E_MAC;
    if (device_1_1 && opt_neg && !network_1_1)
        return LJS_E_MAC;
    j->scheme = device_1_1 && opt_neg ? LJS_SCHEME_1_1 : LJS_SCHEME_1_0;
    /* Rejoin exists in LoRaWAN 1.1 alone. */
    if (j->scheme != LJS_SCHEME_1_1 && (j->r->d.require_1_1 || j->frame.kind != LJS_FRAME_JOIN))
        return LJS_E_MAC;
    if (j->scheme == LJS_SCHEME_1_1 && !(j->r->d.keys & LJS_HAS_APP_KEY))
        return LJS_E_NOKEY;
    return LJS_OK;
}

/* ---- keys and MIC ----------------------------------------------------------- */

/* [L2 1.0.4 §6.1.1.3]  the one root key of a 1.0.x device */
static ljs_err load_roots(struct join *j, uint16_t epoch)
{
    ljs_err err = ljs__record_keys(j->ring, j->vault, j->r, epoch);

    if (!err && !ljs__ring_has(j->ring, KEY_NWK))
        ljs__ring_move(j->ring, KEY_NWK, KEY_APP);
    return err;
}

static ljs_derivation inputs(const ljs_session *s)
{
    return (ljs_derivation){ .scheme = s->scheme,
                             .join_eui = s->join_eui,
                             .net_id = s->net_id,
                             .join_nonce = s->join_nonce,
                             .nonce = s->nonce };
}

static ljs_err check_mic_join(struct join *j)
{
    ljs_err err;

    j->has_derived = false;
    if (ljs__ring_inside(j->ring, KEY_NWK)) {
        err = ljs__frame_check(j->ring, KEY_NWK, j->req->phy, j->req->phy_len);
        return !err && j->scheme == LJS_SCHEME_1_1 ? ljs__derive_js(j->ring, j->r->d.dev_eui) : err;
    }
    /* What answers it is under the same key, and most often known by now: computed in the same calls. */
    j->derived = (ljs_derivation){ .scheme = j->scheme,
                                   .dev_eui = j->r->d.dev_eui,
                                   .join_eui = j->context->join_eui,
                                   .net_id = j->req->net_id,
                                   .join_nonce = j->r->d.next_join_nonce % JOIN_NONCE_END, /* or there is no answer */
                                   .nonce = j->frame.nonce };
    err = ljs__join_check(j->ring, j->req->phy, j->req->phy_len, &j->derived);
    j->has_derived = !err;
    return err;
}

static ljs_err check_mic_rejoin1(struct join *j)
{
    ljs_err err = ljs__derive_js(j->ring, j->r->d.dev_eui);

    /* [L2 1.1 §6.2.4.2] */
    return err ? err : ljs__frame_check(j->ring, KEY_JS_INT, j->req->phy, j->req->phy_len);
}

/* [L2 1.1 §6.2.4.1]  MIC under the SNwkSIntKey of the session the device is in: which one that
 * is the MIC itself tells.  A session of ours proves itself so. */
static ljs_err check_mic_rejoin02(struct join *j)
{
    ljs_err err = LJS_E_MIC;

    for (unsigned i = 0; i < j->r->d.sessions && err == LJS_E_MIC; i++) {
        ljs_session *s = &j->r->session[i];
        ljs_derivation what = inputs(s);

        if (s->scheme != LJS_SCHEME_1_1 || s->epoch != j->r->d.epoch)
            continue; /* replaced root keys end with their sessions: such a device joins anew */
        what.name = LJS_KEY_S_NWK_S_INT;
        err = ljs__derive(j->ring, KEY_S_NWK_S_INT, KEY_NWK, &what);
        if (!err)
            err = ljs__frame_check(j->ring, KEY_S_NWK_S_INT, j->req->phy, j->req->phy_len);
        if (!err)
            j->under = s;
    }
    /* Nothing of ours to check it with: on the network server's word, and again on the same
     * word when the very same request comes again. */
    if (err == LJS_E_MIC && j->req->peer[0] &&
        (!j->r->d.sessions || ljs__asked_before(j->r, &j->asked, j->req, &j->frame)))
        err = LJS_OK;
    if (!err && j->under && j->under->net_id != j->req->net_id)
        err = LJS_E_HOME;
    if (!err && j->under)
        j->context = ljs__record_context(j->r, j->under->join_eui);
    return err ? err : ljs__derive_js(j->ring, j->r->d.dev_eui);
}

/* A rekey is under way, and the MIC is not of the current keys: of the new ones?  They are the current ones
 * from here on, then, and durable with the answer.  rekey.h */
static ljs_err check_mic_rekey(struct join *j)
{
    ljs_err err = LJS_E_MIC;

    if (ljs__resync_tries(j->r, &j->frame, j->req)) {
        err = ljs__resync_find(j->r, &j->found, j->vault, j->ring, j->req->phy, j->req->phy_len);
        if (!err && j->scheme == LJS_SCHEME_1_1)
            err = ljs__derive_js(j->ring, j->r->d.dev_eui);
    } else if (ljs__rekey_tries(j->r, &j->frame)) {
        if (!(err = load_roots(j, j->r->rekey.epoch)) && !(err = check_mic_join(j)))
            ljs__rekey_commit(j->r);
    }
    return err;
}

/* ---- nonces ----------------------------------------------------------------- */

static bool fresh_dev_nonce(const struct join *j)
{
    /* [L2 1.0.3 §6.2.4]  random before 1.0.4: any value that was used is ignored, also by a
     * device that has become one of 1.0.4. */
    if (ljs__nonces_has(&j->context->used, j->frame.nonce))
        return false;
    /* [L2 1.0.4 §6.2.5]  a counter: requests that do not increment it are ignored. */
    return j->r->d.mac < LJS_MAC_1_0_4 || j->frame.nonce > j->context->dev_nonce;
}

static bool fresh_rj_count1(const struct join *j)
{
    return j->frame.nonce > j->context->rj_count1;
}

static bool fresh_rj_count0(const struct join *j)
{
    return !j->under || j->frame.nonce > j->under->rj_count0;
}

/* What a count that is not fresh had to exceed, for who looks for two devices that are one. */
static void note_highest(struct join *j)
{
    struct record *r = j->r;

    r->counting = j->context->join_eui;
    if (j->frame.kind == LJS_FRAME_JOIN) {
        r->highest = r->d.mac < LJS_MAC_1_0_4 ? -1 : j->context->dev_nonce;
    } else if (j->frame.kind == LJS_FRAME_REJOIN1) {
        r->highest = j->context->rj_count1;
    } else {
        r->highest = j->under->rj_count0; /* without a session of ours every count is fresh */
        r->counting = j->under->join_nonce;
    }
}

static void use_dev_nonce(struct join *j)
{
    if (j->r->d.mac < LJS_MAC_1_0_4)
        j->context->used.add = j->frame.nonce;
    if (j->frame.nonce > j->context->dev_nonce || j->r->d.mac < LJS_MAC_1_0_4)
        j->context->dev_nonce = j->frame.nonce;
}

static void use_rj_count1(struct join *j)
{
    j->context->rj_count1 = j->frame.nonce;
}

static void prove(struct record *r, ljs_session *s)
{
    for (unsigned i = 0; i < r->d.sessions; i++)
        r->session[i].proven = 0;
    s->proven = 1;
}

static void use_rj_count0(struct join *j)
{
    if (!j->under)
        return;
    j->under->rj_count0 = j->frame.nonce;
    prove(j->r, j->under);
}

/* ---- the table -------------------------------------------------------------- */

/* What is not here is refused.  The accept's encryption key follows the request. */
static const struct rule {
    ljs_state from;
    ljs_frame_kind kind;
    ljs_err (*mic)(struct join *j);
    bool (*fresh)(const struct join *j);
    void (*use)(struct join *j);
    enum key_id enc_key;
} rules[] = {
    { LJS_STATE_FRESH, LJS_FRAME_JOIN, check_mic_join, fresh_dev_nonce, use_dev_nonce, KEY_NWK },
    { LJS_STATE_FRESH, LJS_FRAME_REJOIN0, check_mic_rejoin02, fresh_rj_count0, use_rj_count0, KEY_JS_ENC },
    { LJS_STATE_FRESH, LJS_FRAME_REJOIN1, check_mic_rejoin1, fresh_rj_count1, use_rj_count1, KEY_JS_ENC },
    { LJS_STATE_FRESH, LJS_FRAME_REJOIN2, check_mic_rejoin02, fresh_rj_count0, use_rj_count0, KEY_JS_ENC },
    { LJS_STATE_JOINED, LJS_FRAME_JOIN, check_mic_join, fresh_dev_nonce, use_dev_nonce, KEY_NWK },
    { LJS_STATE_JOINED, LJS_FRAME_REJOIN0, check_mic_rejoin02, fresh_rj_count0, use_rj_count0, KEY_JS_ENC },
    { LJS_STATE_JOINED, LJS_FRAME_REJOIN1, check_mic_rejoin1, fresh_rj_count1, use_rj_count1, KEY_JS_ENC },
    { LJS_STATE_JOINED, LJS_FRAME_REJOIN2, check_mic_rejoin02, fresh_rj_count0, use_rj_count0, KEY_JS_ENC },
};

static const struct rule *rule_for(ljs_state from, ljs_frame_kind kind)
{
    for (size_t i = 0; i < COUNT(rules); i++)
        if (rules[i].from == from && rules[i].kind == kind)
            return &rules[i];
    return NULL;
}

/* ---- the answer ------------------------------------------------------------- */

static ljs_session new_session(const struct join *j)
{
    const ljs_join_req *req = j->req;
    ljs_session s = { .kind = j->frame.kind,
                      .scheme = j->scheme,
                      .mac = req->mac,
                      .join_eui = j->context->join_eui,
                      .join_nonce = j->r->d.next_join_nonce,
                      .nonce = j->frame.nonce,
                      .epoch = j->r->d.epoch,
                      .net_id = req->net_id,
                      .dev_addr = req->dev_addr,
                      .dl_settings = req->dl_settings,
                      .rx_delay = req->rx_delay,
                      .has_cf_list = req->cf_list_len != 0,
                      .rj_count0 = -1,
                      .at = req->now };

    memcpy(s.session_key_id, req->session_key_id, sizeof s.session_key_id);
    memcpy(s.cf_list, req->cf_list, req->cf_list_len);
    return s;
}

/* The record after a session that is new. */
static void begin_session(struct join *j, const struct rule *rule)
{
    struct record *r = j->r;
    ljs_session s = new_session(j);

    rule->use(j);
    if (r->d.sessions) { /* only the newest can be asked for again, and only that needs its CFList */
        memset(r->session[0].cf_list, 0, sizeof r->session[0].cf_list);
        r->session[0].has_cf_list = 0;
    }
    memmove(r->session + 1, r->session, r->d.sessions * sizeof r->session[0]);
    r->session[0] = s;
    r->d.sessions++;
    r->d.next_join_nonce++;
    r->d.state = LJS_STATE_JOINED;
    r->asked = j->asked.octets;
    r->asked_len = j->asked.len;
    r->has_digest = false;
    ljs__record_trim(r);
}

/* The keys of a session, but for those that there are already. */
static ljs_err derive(struct join *j, const ljs_session *s)
{
    const ljs_derivation what = inputs(s), *derived = &j->derived;

    if (!j->has_derived || derived->scheme != what.scheme || derived->join_eui != what.join_eui ||
        derived->net_id != what.net_id || derived->join_nonce != what.join_nonce || derived->nonce != what.nonce)
        return ljs__derive_session(j->ring, &what);
    return what.scheme == LJS_SCHEME_1_1 ? ljs__derive_app(j->ring, &what) : LJS_OK;
}

/* Everything that is told of a session, made of its inputs. */
static ljs_err answer(ljs_join_ans *out, struct join *j, const ljs_session *s, const struct rule *rule,
                      const char *ns_label, const char *as_label)
{
    const ljs_accept_of of = { .scheme = s->scheme, .kind = s->kind, .join_eui = s->join_eui, .nonce = s->nonce };
    ljs_accept accept = { .join_nonce = s->join_nonce,
                          .net_id = s->net_id,
                          .dev_addr = s->dev_addr,
                          .dl_settings = s->dl_settings,
                          .rx_delay = s->rx_delay,
                          .has_cf_list = s->has_cf_list };
    static const enum key_id network[] = { KEY_F_NWK_S_INT, KEY_S_NWK_S_INT, KEY_NWK_S_ENC };
    static const enum key_id application[] = { KEY_APP_S };
    ljs_envelope *const to_ns[] = { &out->f_nwk_s_int, &out->s_nwk_s_int, &out->nwk_s_enc };
    ljs_envelope *const to_as[] = { &out->app_s };
    bool ns_kek = ljs__ring_has(j->ring, KEY_NS_KEK), as_kek = ljs__ring_has(j->ring, KEY_AS_KEK);
    ljs_err err;

    memcpy(accept.cf_list, s->cf_list, sizeof accept.cf_list);
    err = derive(j, s); /* while the processor waits for nothing: the MIC of an accept is block after block */
    if (!err)
        err = ljs__accept_seal(j->ring, out->phy, &out->phy_len, &accept, &of,
                               s->scheme == LJS_SCHEME_1_1 ? KEY_JS_INT : KEY_NWK, rule->enc_key);
    if (!err)
        err = ljs__ring_envelopes(to_ns, j->ring, network, s->mac >= LJS_MAC_1_1 ? 3 : 1,
                                  ns_kek ? KEY_NS_KEK : KEY_NONE, ns_kek ? ns_label : "");
    if (!err && (as_kek || may_clear(j->vault, j->req->clear, LJS_CLEAR_AS)))
        err =
            ljs__ring_envelopes(to_as, j->ring, application, 1, as_kek ? KEY_AS_KEK : KEY_NONE, as_kek ? as_label : "");
    if (err)
        return err;
    out->scheme = s->scheme;
    out->mac = s->mac;
    memcpy(out->session_key_id, s->session_key_id, sizeof out->session_key_id);
    out->kind = s->kind;
    out->dev_eui = j->r->d.dev_eui;
    out->join_nonce = s->join_nonce;
    out->nonce = s->nonce;
    out->on_word = ljs__frame_has_net_id(s->kind) && !j->under;
    return LJS_OK;
}

static ljs_err step(ljs_join_ans *out, ljs_buf *out_record, struct join *j, const char *ns_label, const char *as_label)
{
    struct record *r = j->r;
    const struct rule *rule;
    const uint16_t had_epoch = r->d.epoch;
    ljs_err err;

    if ((err = check_req(j->req)) || (err = check_frame(j)) || (err = check_device(j)) || (err = check_version(j)))
        return err;
    if (!(rule = rule_for(r->d.state, j->frame.kind)))
        return LJS_E_STATE;
    if ((err = load_roots(j, r->d.epoch)))
        return err;
    ljs__asked(&j->asked, j->req, &j->frame);
    err = rule->mic(j);
    if (r->rekey.state)
        err = err == LJS_E_MIC ? check_mic_rekey(j) : !err && ljs__rekey_refuses(r) ? LJS_E_MIC : err;
    if (err)
        return err;
    if (ljs__asked_before(j->r, &j->asked, j->req, &j->frame)) {
        out->repeat = 1;
    } else {
        if (!rule->fresh(j)) {
            note_highest(j);
            return LJS_E_REPLAY;
        }
        ljs__record_raise(r, j->req->generation);
        if (r->d.next_join_nonce >= JOIN_NONCE_END ||
            (r->rekey.join_nonce_end &&
             r->d.next_join_nonce >= r->rekey.join_nonce_end)) /* [L2 1.1 §6.2.3]  24 bits that never repeat */
            return LJS_E_SPENT;
        if (r->rekey.state && r->d.epoch == had_epoch && j->frame.kind == LJS_FRAME_JOIN)
            ljs__rekey_joined(r);
        begin_session(j, rule);
    }
    err = answer(out, j, &r->session[0], rule, ns_label, as_label);
    /* A repeat leaves the record as it is, unless its MIC has committed a rekey that was reopened. */
    if (!err && (!out->repeat || r->d.epoch != had_epoch))
        err = ljs__record_save(out_record, r, j->vault);
    if (err)
        ljs__wipe(out, sizeof *out);
    return err;
}

ljs_err ljs__join(ljs_join_ans *out, ljs_buf *out_record, ljs_vault *vault, struct ring *ring, const ljs_join_req *req,
                  const char *ns_label, const char *as_label, struct record *r)
{
    struct join j = { .r = r, .ring = ring, .vault = vault, .req = req };
    ljs_err err;

    memset(out, 0, sizeof *out);
    *out_record = (ljs_buf){ NULL, 0 };
    err = step(out, out_record, &j, ns_label, as_label);
    ljs__wr_drop(&j.found);
    return err;
}

ljs_err ljs__app_s_key(ljs_envelope *out, ljs_buf *out_record, ljs_vault *vault, struct ring *ring, const char *as_id,
                       unsigned clear, const char *as_label, const uint8_t *in, size_t in_len, struct record *r)
{
    static const enum key_id application[] = { KEY_APP_S };
    struct join j = { .r = r, .ring = ring, .vault = vault };
    ljs_envelope *const to_as[] = { out };
    bool as_kek = ljs__ring_has(ring, KEY_AS_KEK);
    ljs_session *s = NULL;
    ljs_derivation what;
    ljs_err err;

    memset(out, 0, sizeof *out);
    *out_record = (ljs_buf){ NULL, 0 };
    if (r->d.state == LJS_STATE_REMOVED)
        return LJS_E_DEVICE;
    if (r->d.state == LJS_STATE_BLOCKED)
        return r->d.moved ? LJS_E_MOVED : LJS_E_BLOCKED;
    if (!r->d.as_id[0] || strcmp(r->d.as_id, as_id) != 0)
        return LJS_E_SENDER;
    if (in_len == sizeof s->session_key_id && ljs__is_zero(in, in_len)) /* sessions of an owner before have no name */
        return LJS_E_SESSION;
    for (unsigned i = 0; i < r->d.sessions && !s; i++)
        if (in_len == sizeof r->session[i].session_key_id && !memcmp(r->session[i].session_key_id, in, in_len))
            s = &r->session[i];
    if (!s)
        return LJS_E_SESSION;
    if (!as_kek && !may_clear(vault, clear, LJS_CLEAR_AS))
        return LJS_E_KEK;
    what = inputs(s);
    if ((err = load_roots(&j, s->epoch)) || (err = ljs__derive_session(ring, &what)) ||
        (err =
             ljs__ring_envelopes(to_as, ring, application, 1, as_kek ? KEY_AS_KEK : KEY_NONE, as_kek ? as_label : "")))
        goto out;
    if (!s->proven) {
        prove(r, s);
        ljs__record_trim(r); /* the one proven before may be too old to stay without that */
        err = ljs__record_save(out_record, r, vault);
    }
out:
    if (err)
        ljs__wipe(out, sizeof *out);
    return err;
}

/* ---- the same, for callers outside ------------------------------------------ */

_Static_assert(sizeof((ljs_join_req *)0)->session_key_id == LJS__ID_LEN, "a SessionKeyID is a name");

ljs_err ljs_join_req_init(ljs_join_req *out)
{
    ljs_err err = ljs__init();

    memset(out, 0, sizeof *out);
    if (err)
        return err;
    out->struct_size = sizeof *out;
    out->mac = LJS_MAC_1_0_0;
    ljs__random_id(out->session_key_id);
    return LJS_OK;
}

static ljs_err load_kek(struct ring *ring, enum key_id id, const ljs_key *kek, const char *label)
{
    if (!kek)
        return LJS_OK;
    if (!label || !label[0] || !ljs__text_ok(label, LJS_LABEL_MAX))
        return LJS_E_INVAL;
    return ljs__ring_load(ring, id, kek);
}

ljs_err ljs_join(ljs_join_ans *out, ljs_buf *out_record, ljs_vault *vault, const ljs_join_req *req,
                 const ljs_key *ns_kek, const char *ns_label, const ljs_key *as_kek, const char *as_label,
                 const uint8_t *record, size_t record_len)
{
    struct record r;
    struct ring *ring = NULL;
    ljs_err err;

    *out_record = (ljs_buf){ NULL, 0 };
    if (!(err = ljs__record_load(&r, vault, record, record_len)) && !(err = ljs__ring_take(&ring)) &&
        !(err = load_kek(ring, KEY_NS_KEK, ns_kek, ns_label)) && !(err = load_kek(ring, KEY_AS_KEK, as_kek, as_label)))
        err = ljs__join(out, out_record, vault, ring, req, ns_label, as_label, &r);
    else
        memset(out, 0, sizeof *out); /* else the step does */
    ljs__ring_give(ring);
    return err;
}

ljs_err ljs_app_s_key(ljs_envelope *out, ljs_buf *out_record, ljs_vault *vault, const char *as_id, unsigned clear,
                      const ljs_key *as_kek, const char *as_label, const uint8_t *in, size_t in_len,
                      const uint8_t *record, size_t record_len)
{
    struct record r;
    struct ring *ring = NULL;
    ljs_err err;

    memset(out, 0, sizeof *out);
    *out_record = (ljs_buf){ NULL, 0 };
    if ((err = ljs__record_load(&r, vault, record, record_len)) || (err = ljs__ring_take(&ring)))
        return err;
    if (!(err = load_kek(ring, KEY_AS_KEK, as_kek, as_label)))
        err = ljs__app_s_key(out, out_record, vault, ring, as_id, clear, as_label, in, in_len, &r);
    ljs__ring_give(ring);
    return err;
}
