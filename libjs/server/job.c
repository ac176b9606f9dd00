/* One step of each message: which KEKs, which device's, and what comes of it. */
#include "server/job.h"

#include "base/secret.h"

#include <lorajs/rekey.h>

static ljs_err load_kek(ljs_server *server, struct view *view, struct ring *ring, enum key_id id, const char **label,
                        char room[LJS_LABEL_MAX], const char *peer, unsigned use)
{
    ljs_err err = *label ? ljs__kek_load(server, view, ring, id, label, room, peer, use) : LJS_OK;

    if (!err && *label)
        *label = ljs__kek_wire(*label);
    return err == LJS_E_NOTFOUND ? LJS_E_KEK : err;
}

/* The NS KEK.  What is meant and not to be had leaves the step without one, and without leave to
 * send clear: it refuses that in its order of checks. */
static ljs_err load_ns_kek(const char **label, unsigned *clear, struct job *job, ljs_server *server, struct ring *ring,
                           const ljs_device *device)
{
    ljs_err err = ljs__ns_label(label, &job->grant, device);

    *clear = err || *label ? 0 : job->grant.clear & LJS_CLEAR_NS;
    if (!err)
        err = load_kek(server, job->view, ring, KEY_NS_KEK, label, job->ns_label, job->event.peer, LJS_USE_NS);
    return err == LJS_E_KEK ? LJS_OK : err;
}

/* The AS KEK, as far as there is one.  A KEK that was meant and is not to be had keeps AppSKey
 * from going in clear: the answer has its SessionKeyID then. */
static ljs_err load_as_kek(const char **label, unsigned *clear, struct job *job, ljs_server *server,
                           const ljs_peers *peers, struct ring *ring, const ljs_device *device)
{
    const char *holder;
    bool named;
    ljs_err err;

    ljs__as_label(label, &holder, &named, &job->grant, peers, device);
    *clear = named ? 0 : job->grant.clear & LJS_CLEAR_AS;
    err = load_kek(server, job->view, ring, KEY_AS_KEK, label, job->as_label, holder, LJS_USE_AS);
    return err == LJS_E_KEK ? LJS_OK : err;
}

/* Does the message speak of the device and JoinEUI that its PHYPayload names?  The latter is then its ReceiverID. */
static ljs_err check_names(ljs_eui *join_eui, const ljs_message *msg, const ljs_frame *frame,
                           const struct record *record)
{
    if (frame->dev_eui != msg->dev_eui || ljs_eui_parse(join_eui, msg->receiver_id) ||
        (frame->kind == LJS_FRAME_JOIN) != (msg->type == LJS_MSG_JOIN_REQ))
        return LJS_E_FRAME;
    if (frame->kind == LJS_FRAME_JOIN || frame->kind == LJS_FRAME_REJOIN1)
        return frame->join_eui == *join_eui ? LJS_OK : LJS_E_FRAME;
    for (unsigned i = 0; i < record->d.join_euis; i++)
        if (record->context[i].join_eui == *join_eui)
            return LJS_OK;
    return LJS_E_JOINEUI;
}

/* Eight sessions in a row that rejoins made within the window: somebody makes the device spend its
 * JoinNonces, and pushes out of the record whatever the application server may still ask for. */
static bool rejoin_storm(const ljs_server *server, const struct record *record, int64_t now)
{
    int64_t since = now - (int64_t)server->opts.rejoin_window;

    /* Who brings no time cannot be told how much of it has passed. */
    if (!server->opts.rejoin_window || !now || record->d.sessions < LJS_SESSIONS_MAX - 1)
        return false;
    for (unsigned i = 0; i < LJS_SESSIONS_MAX - 1; i++)
        if (record->session[i].kind == LJS_FRAME_JOIN || record->session[i].at <= since)
            return false;
    return true;
}

static ljs_err step_join(struct job *job, ljs_server *server, const ljs_peers *peers, struct ring *ring,
                         struct record *record)
{
    const ljs_message *msg = &job->words->msg;
    ljs_message *out = &job->words->ans;
    const char *ns_label = NULL, *as_label = NULL;
    unsigned clear_ns = 0, clear_as = 0;
    ljs_join_req req;
    ljs_join_ans ans;
    ljs_frame frame;
    const unsigned rekey = record->rekey.state;
    bool storm;
    ljs_err err = ljs_frame_parse(&frame, msg->phy, msg->phy_len);

    if (err)
        return err;
    job->event.kind = frame.kind;
    job->event.nonce = frame.nonce;
    if ((err = ljs_join_req_init(&req)) || (err = check_names(&req.join_eui, msg, &frame, record)) ||
        (err = load_ns_kek(&ns_label, &clear_ns, job, server, ring, &record->d)) ||
        (err = load_as_kek(&as_label, &clear_as, job, server, peers, ring, &record->d)))
        return err;
    memcpy(req.phy, msg->phy, msg->phy_len);
    req.phy_len = msg->phy_len;
    req.rejoin = msg->type == LJS_MSG_REJOIN_REQ;
    req.rx_delay = msg->rx_delay;
    req.dl_settings = msg->dl_settings;
    req.clear = (uint8_t)(clear_ns | clear_as);
    req.mac = msg->mac;
    req.net_id = job->event.net_id; /* ljs__grant() has seen to it */
    req.dev_addr = msg->dev_addr;
    if (msg->has & LJS_M_CF_LIST) {
        memcpy(req.cf_list, msg->cf_list, sizeof req.cf_list);
        req.cf_list_len = sizeof req.cf_list;
    }
    req.has_ns_id = ljs__ns_id(&req.ns_id, &job->grant, msg, &record->d);
    memcpy(req.peer, job->event.peer, sizeof req.peer);
    req.generation = server->generation;
    req.now = job->call->now;
    req.resync = rekey == LJS_REKEY_RESYNC && ljs__resync_may(server, record, req.now);

    storm = req.rejoin && rejoin_storm(server, record, req.now);
    if ((err = ljs__join(&ans, &job->record, server->vault, ring, &req, ns_label, as_label, record))) {
        if (err == LJS_E_REPLAY)
            job->event.alarm = (uint8_t)ljs__alarm_refused(server, frame.kind, frame.nonce, record, req.now);
        goto out;
    }
    if (storm && !ans.repeat) {
        ljs_buf_free(&job->record);
        err = LJS_E_BUSY;
        goto out;
    }
    memcpy(out->phy, ans.phy, ans.phy_len);
    out->phy_len = ans.phy_len;
    if (ans.mac >= LJS_MAC_1_1)
        out->f_nwk_s_int = ans.f_nwk_s_int;
    else
        out->nwk_s = ans.f_nwk_s_int;
    out->s_nwk_s_int = ans.s_nwk_s_int;
    out->nwk_s_enc = ans.nwk_s_enc;
    out->app_s = ans.app_s;
    memcpy(out->session_key_id, ans.session_key_id, sizeof ans.session_key_id);
    out->session_key_id_len = sizeof ans.session_key_id;
    job->join_nonce = ans.join_nonce;
    if (record->rekey.state != rekey)
        job->rekey = ljs_rekey_state_text((ljs_rekey_state)record->rekey.state);
    job->event.repeat = ans.repeat;
    job->event.on_word = ans.on_word;
    if (!ans.repeat)
        job->event.alarm = (uint8_t)ljs__alarm_joined(server, record);
    job->quiet = !ans.repeat && !ans.on_word && !job->event.alarm;
out:
    ljs__wipe(&ans, sizeof ans);
    return err;
}

static ljs_err is_ours(const ljs_message *msg, const struct record *record)
{
    ljs_eui join_eui;

    if (!ljs_eui_parse(&join_eui, msg->receiver_id))
        for (unsigned i = 0; i < record->d.join_euis; i++)
            if (record->context[i].join_eui == join_eui)
                return LJS_OK;
    return LJS_E_RECEIVER;
}

static ljs_err step_app_s_key(struct job *job, ljs_server *server, const ljs_peers *peers, struct ring *ring,
                              struct record *record)
{
    const ljs_message *msg = &job->words->msg;
    ljs_message *out = &job->words->ans;
    const char *label = NULL;
    unsigned clear = 0;
    ljs_err err = is_ours(msg, record);

    if (err || (err = load_as_kek(&label, &clear, job, server, peers, ring, &record->d)))
        return err;
    job->quiet = true;
    memcpy(out->session_key_id, msg->session_key_id, msg->session_key_id_len);
    out->session_key_id_len = msg->session_key_id_len;
    out->dev_eui = msg->dev_eui;
    out->has |= LJS_M_DEV_EUI;
    return ljs__app_s_key(&out->app_s, &job->record, server->vault, ring, msg->sender_id, clear, label,
                          msg->session_key_id, msg->session_key_id_len, record);
}

static ljs_err step_home_ns(struct job *job, ljs_server *server, const ljs_peers *peers, struct ring *ring,
                            struct record *record)
{
    const ljs_message *msg = &job->words->msg;
    ljs_message *out = &job->words->ans;
    ljs_err err = is_ours(msg, record);

    (void)server, (void)peers, (void)ring;
    if (err)
        return err;
    if (!record->d.has_home_net_id) /* known, but no home to tell: "Other" */
        return LJS_E_NOTFOUND;
    job->quiet = true;
    out->h_net_id = record->d.home_net_id;
    out->has |= LJS_M_H_NET_ID;
    if (record->d.has_home_ns_id && msg->protocol >= 11) {
        out->h_ns_id = record->d.home_ns_id;
        out->has |= LJS_M_H_NS_ID;
    }
    return LJS_OK;
}

static const struct step steps[] = {
    { LJS_MSG_JOIN_REQ, step_join, LJS_AUDIT_JOIN },
    { LJS_MSG_REJOIN_REQ, step_join, LJS_AUDIT_REJOIN },
    { LJS_MSG_APP_S_KEY_REQ, step_app_s_key, LJS_AUDIT_APP_S_KEY },
    { LJS_MSG_HOME_NS_REQ, step_home_ns, (ljs_audit_kind)0 },
};

const struct step *ljs__step_for(ljs_message_type type)
{
    for (size_t i = 0; i < COUNT(steps); i++)
        if (steps[i].type == type)
            return &steps[i];
    return NULL;
}
