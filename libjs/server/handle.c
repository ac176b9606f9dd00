/* The loop around the steps: load, step, save if unchanged, answer.  Retry and durability
 * are written here and nowhere else. */
#include "server/job.h"

#include "base/secret.h"
#include "base/text.h"
#include "store/view.h"

#include <stdio.h>
#include <stdlib.h>

enum { BATCH_MAX = 64 }; /* messages that share a commit; more are taken in turns */

/* ---- answers ---------------------------------------------------------------- */

static struct entry entry_of(const struct job *job)
{
    const struct step *step = ljs__step_for(job->event.type);

    return (struct entry){ .kind = step ? step->kind : (ljs_audit_kind)0,
                           .err = job->event.err,
                           .dev_eui = job->event.dev_eui,
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

/* A message that was parsed before, unless it is the one that is looked at. */
static void hear(struct job *job)
{
    if (job->words->of != job)
        (void)!ljs_message_parse(&job->words->msg, job->call->in, job->call->in_len);
    job->words->of = job;
}

/* All of a message that is secret; the rest goes over the air, or is said to everybody who may ask. */
static void wipe_keys(ljs_message *m)
{
    ljs_envelope *const with[] = { &m->nwk_s, &m->f_nwk_s_int, &m->s_nwk_s_int, &m->nwk_s_enc, &m->app_s };

    for (size_t i = 0; i < COUNT(with); i++)
        ljs__wipe(with[i]->key, sizeof with[i]->key);
}

static ljs_err write_answer(ljs_buf *out, struct job *job)
{
    ljs_err err = ljs_message_build(out, &job->words->ans);

    wipe_keys(&job->words->ans);
    return err;
}

/* A header, and nothing else that is of the request. */
static void refuse(struct job *job, ljs_err err)
{
    const ljs_message *msg = &job->words->msg;
    ljs_message *out = &job->words->ans;

    hear(job);
    ljs_message_reply(out, msg, err);
    if (msg->type == LJS_MSG_APP_S_KEY_REQ && msg->session_key_id_len) { /* [BI 1.0 Table 9]  mandatory */
        out->has |= LJS_M_DEV_EUI;
        out->dev_eui = msg->dev_eui;
        out->session_key_id_len = msg->session_key_id_len;
        memcpy(out->session_key_id, msg->session_key_id, msg->session_key_id_len);
    }
}

static void drop(struct job *job)
{
    ljs_buf_free(&job->record);
    ljs_buf_free(&job->answer);
    job->changed = false;
}

/* Once: what was written of a changed record's answer, which is durable now, or what there is to say. */
static void finish(struct job *job, ljs_server *server, ljs_err err)
{
    job->open = false;
    job->event.err = job->call->result = err;
    job->event.at = job->call->now;
    job->event.forwarded = job->call->forwards && (err == LJS_E_DEVICE || err == LJS_E_MOVED || err == LJS_E_SESSION);
    if (err)
        refuse(job, err);
    if (!err && job->changed) {
        job->call->out = job->answer;
        job->answer = (ljs_buf){ NULL, 0 };
        job->call->err = LJS_OK;
    } else {
        job->call->err = write_answer(&job->call->out, job);
    }
    audit(job, server);
    drop(job);
    ljs__decide(server, &job->event, job->known && !(job->quiet && !err));
}

/* No message at all, or one of no kind that we know: there is no header to answer with. */
static void finish_plain(struct job *job, ljs_server *server, ljs_err status)
{
    static const char text[] = "{\"Result\":{\"ResultCode\":\"%s\",\"Description\":\"%s\"}}";
    char body[sizeof text + 160];
    int n = snprintf(body, sizeof body, text, ljs_result_code(LJS_E_MESSAGE, job->words->msg.protocol == 11 ? 11 : 10),
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

static void begin(struct job *job, ljs_server *server, const ljs_peers *peers)
{
    const ljs_call *call = job->call;
    const ljs_message *msg = &job->words->msg;
    const ljs_netid *net_id = NULL;
    ljs_err err;

    if (call->peer && ljs__text_ok(call->peer, sizeof job->event.peer))
        memcpy(job->event.peer, call->peer, strlen(call->peer));
    job->words->of = job;
    if (ljs_message_parse(&job->words->msg, call->in, call->in_len)) {
        finish_plain(job, server, LJS_E_MESSAGE);
        return;
    }
    job->event.type = msg->type;
    job->event.dev_eui = msg->dev_eui;
    if (!ljs_net_id_parse(&job->event.net_id, msg->sender_id)) /* an AS-ID is none */
        net_id = &job->event.net_id;
    if (!ljs__step_for(msg->type)) {
        finish_plain(job, server, LJS_OK);
        return;
    }
    /* Protocol version, then sender, then the rest: who may not ask learns nothing of it. */
    err = msg->err == LJS_E_PROTOCOL ? LJS_E_PROTOCOL
          : call->peer && call->peer[0] && !job->event.peer[0]
              ? LJS_E_SENDER /* named, and by no name that is one */
              : ljs__grant(&job->grant, server, peers, job->event.peer, msg, net_id);
    if (!err)
        err = msg->err;
    if (err) {
        finish(job, server, err);
        return;
    }
    job->key = ljs__key_eui(SPACE_DEVICE, msg->dev_eui);
    job->begun = true;
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
    if (!err && record.d.dev_eui != job->event.dev_eui) /* a record filed under another's key */
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
    ljs_message_reply(&job->words->ans, &job->words->msg, LJS_OK);
    if (!err) {
        job->words->ans.lifetime = server->opts.lifetime;
        job->words->ans.has |= LJS_M_LIFETIME;
        err = ljs__step_for(job->event.type)->step(job, server, peers, ring, &record);
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

    hear(job);
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
    if (job->changed)
        err = write_answer(&job->answer, job);
    if (err)
        drop(job);
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
                .kind = LJS_AUDIT_REKEY, .dev_eui = job->event.dev_eui, .who = job->event.peer, .text = job->rekey
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
        struct job *job = &jobs[i];
        bool waits = false;

        if (job->open && !job->begun)
            begin(job, server, peers);
        for (size_t k = 0; job->open && k < n && !waits; k++)
            waits = changed[k]->event.dev_eui == job->event.dev_eui;
        if (!job->open || waits)
            continue;
        job->view = &view;
        step(job, server, peers);
        if (job->open)
            changed[n++] = job;
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
            drop(changed[i]);
        }
    }
}

static void handle(ljs_server *server, struct job *jobs, ljs_call *calls, size_t calls_len)
{
    ljs_peers *peers = ljs__peers_take(server);
    struct words words;
    bool open = true;

    words.of = NULL;
    for (size_t i = 0; i < calls_len; i++)
        jobs[i] = (struct job){ .call = &calls[i], .words = &words, .open = true };
    while (open) { /* each round answers one job of every device at least, or counts a try */
        round_of(jobs, calls_len, server, peers);
        open = false;
        for (size_t i = 0; i < calls_len; i++)
            open |= jobs[i].open;
    }
    wipe_keys(&words.msg); /* answers were wiped as they were written; of jobs nothing is secret */
    ljs__peers_give(server, peers);
}

/* Room for a batch is kept: asking the C library for that much makes it put together all that it has in pieces. */
static struct job *take_jobs(ljs_server *server)
{
    struct job *jobs = atomic_exchange(&server->jobs, NULL);

    return jobs ? jobs : malloc(BATCH_MAX * sizeof *jobs);
}

void ljs_server_handle_batch(ljs_server *server, ljs_call *calls, size_t calls_len)
{
    ljs_err err = ljs__server_alive(server);
    struct job one, *jobs = err || calls_len <= 1 ? &one : take_jobs(server);
    size_t room = calls_len <= 1 ? 1 : BATCH_MAX;
    int64_t now = 0;

    if (!jobs)
        err = LJS_E_NOMEM;
    for (size_t i = 0; i < calls_len; i++)
        calls[i].out = (ljs_buf){ NULL, 0 };
    for (size_t at = 0; !err && at < calls_len; at += room) {
        handle(server, jobs, calls + at, calls_len - at < room ? calls_len - at : room);
        err = ljs__server_alive(server);
    }
    for (size_t i = 0; i < calls_len; i++)
        if (calls[i].now > now)
            now = calls[i].now;
    if (!err && now) { /* what waits for longer than a minute; if it cannot be written it waits on */
        (void)!ljs_server_flush_audit(server, now);
        err = ljs__server_alive(server);
    }
    for (size_t i = 0; err && i < calls_len; i++) { /* a store or the log may have forked: a child has no answer */
        ljs_buf_free(&calls[i].out);
        calls[i].err = calls[i].result = err;
    }
    if (jobs != &one)
        free(atomic_exchange(&server->jobs, jobs));
}

ljs_err ljs_server_handle(ljs_buf *out, ljs_server *server, const char *peer, int64_t now, const uint8_t *in,
                          size_t in_len)
{
    ljs_call call = { .peer = peer, .now = now, .in = in, .in_len = in_len };

    ljs_server_handle_batch(server, &call, 1);
    *out = call.out;
    return call.err;
}
