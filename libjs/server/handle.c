/* The loop around the steps: load, step, save if unchanged, answer.  Retry and durability
 * are written here and nowhere else. */
#include "server/internal.h"

#include "base/secret.h"
#include "base/text.h"
#include "device/step.h"
#include "store/view.h"

#include <lorajs/rekey.h>

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

/* One message on its way. */
struct job {
    ljs_message msg, ans; /* each is made whole by itself; what follows begins as zeros */
    ljs_call *call;
    struct view *view; /* of its round */
    struct grant grant;
    ljs_event event;
    bool open;    /* not answered yet */
    bool known;   /* a device of ours */
    bool changed; /* `record` waits to be saved */
    bool quiet;   /* nothing to tell `why`: a new session stands in the record */
    unsigned tries;
    uint32_t join_nonce;                                   /* of the session, for the audit log */
    const char *rekey;                                     /* where the join has brought a rekey; NULL: nowhere */
    uint8_t before[LINK_TAG_LEN];                          /* the tag of the record that was loaded */
    char ns_label[LJS_LABEL_MAX], as_label[LJS_LABEL_MAX]; /* of KEKs that are used in another's place */
    struct key key;
    uint64_t version;
    ljs_buf record;
};

enum { BATCH_MAX = 64 }; /* messages that share a commit; more are taken in turns */

/* ---- one step of each message ----------------------------------------------- */

typedef ljs_err step_fn(struct job *job, ljs_server *server, const ljs_peers *peers, struct ring *ring,
                        struct record *record);

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
    const ljs_message *msg = &job->msg;
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
    memcpy(job->ans.phy, ans.phy, ans.phy_len);
    job->ans.phy_len = ans.phy_len;
    if (ans.mac >= LJS_MAC_1_1)
        job->ans.f_nwk_s_int = ans.f_nwk_s_int;
    else
        job->ans.nwk_s = ans.f_nwk_s_int;
    job->ans.s_nwk_s_int = ans.s_nwk_s_int;
    job->ans.nwk_s_enc = ans.nwk_s_enc;
    job->ans.app_s = ans.app_s;
    memcpy(job->ans.session_key_id, ans.session_key_id, sizeof ans.session_key_id);
    job->ans.session_key_id_len = sizeof ans.session_key_id;
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
    const ljs_message *msg = &job->msg;
    const char *label = NULL;
    unsigned clear = 0;
    ljs_err err = is_ours(msg, record);

    if (err || (err = load_as_kek(&label, &clear, job, server, peers, ring, &record->d)))
        return err;
    job->quiet = true;
    memcpy(job->ans.session_key_id, msg->session_key_id, msg->session_key_id_len);
    job->ans.session_key_id_len = msg->session_key_id_len;
    job->ans.dev_eui = msg->dev_eui;
    job->ans.has |= LJS_M_DEV_EUI;
    return ljs__app_s_key(&job->ans.app_s, &job->record, server->vault, ring, msg->sender_id, clear, label,
                          msg->session_key_id, msg->session_key_id_len, record);
}

static ljs_err step_home_ns(struct job *job, ljs_server *server, const ljs_peers *peers, struct ring *ring,
                            struct record *record)
{
    const ljs_message *msg = &job->msg;
    ljs_err err = is_ours(msg, record);

    (void)server, (void)peers, (void)ring;
    if (err)
        return err;
    if (!record->d.has_home_net_id) /* known, but no home to tell: "Other" */
        return LJS_E_NOTFOUND;
    job->quiet = true;
    job->ans.h_net_id = record->d.home_net_id;
    job->ans.has |= LJS_M_H_NET_ID;
    if (record->d.has_home_ns_id && msg->protocol >= 11) {
        job->ans.h_ns_id = record->d.home_ns_id;
        job->ans.has |= LJS_M_H_NS_ID;
    }
    return LJS_OK;
}

static const struct step {
    ljs_message_type type;
    step_fn *step;
    ljs_audit_kind kind; /* 0: nothing that the audit log tells */
} steps[] = {
    { LJS_MSG_JOIN_REQ, step_join, LJS_AUDIT_JOIN },
    { LJS_MSG_REJOIN_REQ, step_join, LJS_AUDIT_REJOIN },
    { LJS_MSG_APP_S_KEY_REQ, step_app_s_key, LJS_AUDIT_APP_S_KEY },
    { LJS_MSG_HOME_NS_REQ, step_home_ns, (ljs_audit_kind)0 },
};

static const struct step *step_for(ljs_message_type type)
{
    for (size_t i = 0; i < COUNT(steps); i++)
        if (steps[i].type == type)
            return &steps[i];
    return NULL;
}

/* ---- answers ---------------------------------------------------------------- */

static struct entry entry_of(const struct job *job)
{
    const struct step *step = step_for(job->msg.type);

    return (struct entry){ .kind = step ? step->kind : (ljs_audit_kind)0,
                           .err = job->event.err,
                           .dev_eui = job->msg.dev_eui,
                           .join_nonce = job->join_nonce,
                           .nonce = job->event.nonce,
                           .net_id = job->event.net_id,
                           .who = job->event.peer };
}

static struct entry alarm_of(const struct job *job)
{
    struct entry entry = entry_of(job);

    entry.kind = LJS_AUDIT_ALARM;
    entry.text = ljs_alarm_text((ljs_alarm)job->event.alarm);
    return entry;
}

/* What was answered without a change of the record: nothing waits for it to be durable. */
static void audit(const struct job *job, ljs_server *server)
{
    struct entry entry = entry_of(job);

    if (job->event.forwarded)
        return;
    if (job->event.repeat)
        entry.kind = LJS_AUDIT_REPEAT;
    if (entry.err || (entry.kind && !job->changed))
        ljs__audit_tell(server, job->call->now, &entry);
    if (job->event.alarm && !job->changed) {
        entry = alarm_of(job);
        ljs__audit_tell(server, job->call->now, &entry);
    }
}

/* The answer as text; what is in it of a request is a header alone unless err is LJS_OK. */
static void finish(struct job *job, ljs_server *server, ljs_err err)
{
    ljs_message head;

    job->open = false;
    job->event.err = job->call->result = err;
    job->event.at = job->call->now;
    job->event.forwarded = job->call->forwards && (err == LJS_E_DEVICE || err == LJS_E_MOVED || err == LJS_E_SESSION);
    if (err) {
        ljs_message_reply(&head, &job->msg, err);
        if (job->msg.type == LJS_MSG_APP_S_KEY_REQ && job->msg.session_key_id_len) { /* [BI 1.0 Table 9]  mandatory */
            head.has |= LJS_M_DEV_EUI;
            head.dev_eui = job->msg.dev_eui;
            head.session_key_id_len = job->msg.session_key_id_len;
            memcpy(head.session_key_id, job->msg.session_key_id, head.session_key_id_len);
        }
        ljs__wipe(&job->ans, sizeof job->ans);
        job->ans = head;
    }
    job->call->err = ljs_message_build(&job->call->out, &job->ans);
    ljs__wipe(&job->ans, sizeof job->ans);
    ljs_buf_free(&job->record);
    audit(job, server);
    ljs__decide(server, &job->event, job->known && !(job->quiet && !err));
}

/* No message at all, or one of no kind that we know: there is no header to answer with. */
static void finish_plain(struct job *job, ljs_server *server, ljs_err status)
{
    static const char text[] = "{\"Result\":{\"ResultCode\":\"%s\",\"Description\":\"%s\"}}";
    char body[sizeof text + 160];
    int n = snprintf(body, sizeof body, text, ljs_result_code(LJS_E_MESSAGE, job->msg.protocol == 11 ? 11 : 10),
                     ljs_strerror(LJS_E_MESSAGE));

    job->open = false;
    job->event.err = job->call->result = LJS_E_MESSAGE;
    job->event.at = job->call->now;
    job->call->err = ljs_buf_copy(&job->call->out, (const uint8_t *)body, (size_t)n);
    if (!job->call->err)
        job->call->err = status;
    audit(job, server);
    ljs__decide(server, &job->event, false);
}

static void begin(struct job *job, ljs_server *server, const ljs_peers *peers, ljs_call *call)
{
    const ljs_netid *net_id = NULL;
    ljs_err err;

    memset((uint8_t *)job + offsetof(struct job, call), 0, sizeof *job - offsetof(struct job, call));
    job->call = call;
    job->open = true;
    call->out = (ljs_buf){ NULL, 0 };
    if (call->peer && ljs__text_ok(call->peer, sizeof job->event.peer))
        memcpy(job->event.peer, call->peer, strlen(call->peer));
    if (ljs_message_parse(&job->msg, call->in, call->in_len)) {
        finish_plain(job, server, LJS_E_MESSAGE);
        return;
    }
    job->event.type = job->msg.type;
    job->event.dev_eui = job->msg.dev_eui;
    if (!ljs_net_id_parse(&job->event.net_id, job->msg.sender_id)) /* an AS-ID is none */
        net_id = &job->event.net_id;
    if (!step_for(job->msg.type)) {
        finish_plain(job, server, LJS_OK);
        return;
    }
    /* Protocol version, then sender, then the rest: who may not ask learns nothing of it. */
    err = job->msg.err == LJS_E_PROTOCOL ? LJS_E_PROTOCOL
          : call->peer && call->peer[0] && !job->event.peer[0]
              ? LJS_E_SENDER /* named, and by no name that is one */
              : ljs__grant(&job->grant, server, peers, job->event.peer, &job->msg, net_id);
    if (!err)
        err = job->msg.err;
    if (err) {
        finish(job, server, err);
        return;
    }
    job->key = ljs__key_eui(SPACE_DEVICE, job->msg.dev_eui);
}

/* Load and step. */
static ljs_err step_once(struct job *job, ljs_server *server, const ljs_peers *peers)
{
    struct record record;
    struct ring *ring = NULL;
    ljs_buf old = { NULL, 0 };
    ljs_err err = ljs__view_get(&old, &job->version, job->view, job->key.at, job->key.len);

    if (err == LJS_E_NOTFOUND)
        err = LJS_E_DEVICE;
    if (!err)
        err = ljs__record_load(&record, server->vault, old.data, old.len);
    if (!err && record.d.dev_eui != job->msg.dev_eui) /* a record filed under another's key */
        err = LJS_E_SEAL;
    if (!err && record.d.state == LJS_STATE_REMOVED) /* nobody need know that there was one */
        err = LJS_E_DEVICE;
    job->known = !err;
    job->event.repeat = job->event.on_word = job->event.alarm = 0; /* of an earlier try */
    job->join_nonce = 0;
    job->rekey = NULL;
    if (!err)
        memcpy(job->before, old.data + old.len - LINK_TAG_LEN, LINK_TAG_LEN); /* which was checked */
    if (!err && record.d.moved) /* whatever it is: who answers for the device knows best */
        err = LJS_E_MOVED;
    if (!err)
        err = ljs__ring_take(&ring);
    ljs_message_reply(&job->ans, &job->msg, LJS_OK);
    if (!err) {
        job->ans.lifetime = server->opts.lifetime;
        job->ans.has |= LJS_M_LIFETIME;
        err = step_for(job->msg.type)->step(job, server, peers, ring, &record);
    }
    ljs__ring_give(ring);
    ljs_buf_free(&old);
    return err;
}

/* The job is then answered, or has a record to save. */
static void step(struct job *job, ljs_server *server, const ljs_peers *peers)
{
    const struct masters *had;
    bool asked = false, late = true, again;
    ljs_err err;

    do {
        had = ljs__masters(server);
        err = step_once(job, server, peers);
        again = (err == LJS_E_SEAL && ljs__masters_again(server, had)) || ljs__lots_again(server, err, &asked);
        if (err == LJS_E_SEAL && !again && late) { /* the view may be of before a master key was retired */
            ljs__view_renew(job->view);
            again = true;
            late = false;
        }
    } while (again);
    job->changed = !err && job->record.data;
    if (!job->changed)
        finish(job, server, err);
}

static ljs_change change_of(const struct job *job)
{
    return (ljs_change){ .key = job->key.at,
                         .key_len = job->key.len,
                         .in = job->record.data,
                         .in_len = job->record.len,
                         .if_version = job->version };
}

/* With a link of the audit log all stand or fall together: it says what all of them did. */
static ljs_err commit_linked(ljs_server *server, struct job *const *jobs, size_t len)
{
    ljs_change changes[BATCH_MAX + AUDIT_ROOM];
    struct entry entries[3 * BATCH_MAX];
    size_t n = 0;
    int64_t now = 0;

    for (size_t i = 0; i < len; i++) {
        const struct job *job = jobs[i];

        changes[i] = change_of(job);
        entries[n] = entry_of(job);
        entries[n].before = job->before;
        entries[n++].after = job->record.data + job->record.len - LINK_TAG_LEN;
        if (job->event.alarm)
            entries[n++] = alarm_of(job);
        if (job->rekey)
            entries[n++] = (struct entry){
                .kind = LJS_AUDIT_REKEY, .dev_eui = job->msg.dev_eui, .who = job->event.peer, .text = job->rekey
            };
        if (job->call->now > now)
            now = job->call->now;
    }
    return ljs__audit_commit(server, now, changes, len, entries, n);
}

/* Without one each is a group of its own. */
static void commit_apart(ljs_err *results, ljs_server *server, struct job *const *jobs, size_t len)
{
    ljs_change changes[BATCH_MAX];
    ljs_err err;

    for (size_t i = 0; i < len; i++) {
        changes[i] = change_of(jobs[i]);
        changes[i].group = (unsigned)i;
    }
    err = ljs_store_commit(server->store, changes, len);
    for (size_t i = 0; i < len; i++)
        results[i] = err ? LJS_E_STORE : changes[i].result;
}

static void commit(ljs_err *results, ljs_server *server, struct job *const *jobs, size_t len)
{
    bool kept;
    ljs_err err = ljs__audit_kept(&kept, server);

    if (!err && !kept) {
        commit_apart(results, server, jobs, len);
        return;
    }
    if (!err)
        err = commit_linked(server, jobs, len);
    for (size_t i = 0; i < len; i++) /* somebody was beaten: each by himself, and the others get on */
        results[i] = err == LJS_E_CONFLICT && len > 1 ? commit_linked(server, jobs + i, 1) : err;
}

/* A round: step every open job whose device no earlier job of this round changes, and commit what
 * they change at once. */
static void round_of(struct job *jobs, size_t jobs_len, ljs_server *server, const ljs_peers *peers)
{
    struct job *changed[BATCH_MAX];
    ljs_err results[BATCH_MAX];
    struct view view;
    size_t n = 0;

    ljs__view_begin(&view, server->store);
    for (size_t i = 0; i < jobs_len; i++) {
        bool waits = false;

        for (size_t k = 0; jobs[i].open && k < n && !waits; k++)
            waits = changed[k]->msg.dev_eui == jobs[i].msg.dev_eui;
        if (!jobs[i].open || waits)
            continue;
        jobs[i].view = &view;
        step(&jobs[i], server, peers);
        if (jobs[i].open)
            changed[n++] = &jobs[i];
    }
    ljs__view_end(&view);
    if (n)
        commit(results, server, changed, n);
    for (size_t i = 0; i < n; i++) {
        ljs_err result = results[i] && results[i] != LJS_E_CONFLICT ? LJS_E_STORE : results[i];
        /* Whoever meets a conflict was beaten by somebody who got on; a fault may stay. */
        unsigned most = result == LJS_E_CONFLICT ? CONFLICT_RETRIES * server->opts.retries : server->opts.retries;

        if (!result) {
            finish(changed[i], server, LJS_OK);
        } else if (changed[i]->tries++ >= most) {
            finish(changed[i], server, result == LJS_E_CONFLICT ? LJS_E_STORE : result);
        } else { /* what was not saved was never said: again, from the load */
            ljs__wipe(&changed[i]->ans, sizeof changed[i]->ans);
            ljs_buf_free(&changed[i]->record);
            changed[i]->changed = false;
        }
    }
}

static void handle(ljs_server *server, struct job *jobs, ljs_call *calls, size_t calls_len)
{
    ljs_peers *peers = ljs__peers_take(server);
    bool open = true;

    for (size_t i = 0; i < calls_len; i++)
        begin(&jobs[i], server, peers, &calls[i]);
    while (open) { /* each round answers one job of every device at least, or counts a try */
        round_of(jobs, calls_len, server, peers);
        open = false;
        for (size_t i = 0; i < calls_len; i++)
            open |= jobs[i].open;
    }
    for (size_t i = 0; i < calls_len; i++) { /* finish() wiped the answers */
        ljs__wipe(&jobs[i].msg, sizeof jobs[i].msg);
        ljs__wipe(&jobs[i].call, sizeof jobs[i] - offsetof(struct job, call));
    }
    ljs__peers_give(peers);
}

void ljs_server_handle_batch(ljs_server *server, ljs_call *calls, size_t calls_len)
{
    ljs_err err = ljs__server_alive(server);
    size_t room = calls_len < BATCH_MAX ? calls_len : BATCH_MAX;
    struct job one, *jobs = err ? NULL : room <= 1 ? &one : malloc(room * sizeof *jobs);
    int64_t now = 0;

    if (!err && !jobs)
        err = LJS_E_NOMEM;
    for (size_t i = 0; err && i < calls_len; i++) {
        calls[i].out = (ljs_buf){ NULL, 0 };
        calls[i].err = calls[i].result = err;
    }
    for (size_t at = 0; !err && at < calls_len; at += room)
        handle(server, jobs, calls + at, calls_len - at < room ? calls_len - at : room);
    for (size_t i = 0; i < calls_len; i++)
        if (calls[i].now > now)
            now = calls[i].now;
    if (!err && now) /* what waits for longer than a minute; if it cannot be written it waits on */
        (void)!ljs_server_flush_audit(server, now);
    if (jobs != &one)
        free(jobs);
}

ljs_err ljs_server_handle(ljs_buf *out, ljs_server *server, const char *peer, int64_t now, const uint8_t *in,
                          size_t in_len)
{
    ljs_call call = { .peer = peer, .now = now, .in = in, .in_len = in_len };

    ljs_server_handle_batch(server, &call, 1);
    *out = call.out;
    return call.err;
}
