/* What waits for the next link of the audit log: nothing of it was a change. */
#include "server/audit.h"

#include <stdlib.h>

enum { MINUTE = 60 };

int64_t ljs__audit_take_waited(struct waited *out, ljs_server *server, int64_t now, bool counts)
{
    struct audit *a = &server->audit;

    pthread_mutex_lock(&a->lock);
    if (now > a->now)
        a->now = now;
    else if (!now)
        now = a->now;
    memcpy(out->who, a->who, sizeof out->who);
    out->entry = NULL;
    out->len = out->refused_len = 0;
    out->missed = a->missed;
    if (a->pending_len && (out->entry = malloc(a->pending_len * sizeof *out->entry))) {
        out->len = a->pending_len;
        memcpy(out->entry, a->pending, out->len * sizeof *out->entry);
        a->pending_len = 0;
    }
    a->missed = 0;
    if (counts || now - a->refused_at >= MINUTE) {
        out->refused_len = a->refused_len;
        memcpy(out->refused, a->refused, a->refused_len * sizeof *a->refused);
        a->refused_len = 0;
        a->refused_at = now;
    }
    pthread_mutex_unlock(&a->lock);
    return now;
}

static void count_refused(struct audit *a, const char *peer, ljs_err err, uint32_t count)
{
    size_t i = 0;

    while (i < a->refused_len && (a->refused[i].err != err || strcmp(a->refused[i].peer, peer) != 0))
        i++;
    if (i == REFUSED_MAX) /* more peers and reasons than there are places: the last one is for all of them */
        i--;
    if (i == a->refused_len) {
        a->refused[i] = (struct refused){ .err = err };
        memcpy(a->refused[i].peer, peer, strlen(peer) + 1);
        a->refused_len++;
    }
    if (a->refused[i].count <= UINT32_MAX - count)
        a->refused[i].count += count;
}

/* Refusals that come after a good MIC; all others anybody can cause. */
static bool had_good_mic(ljs_err err)
{
    return err == LJS_E_REPLAY || err == LJS_E_SPENT || err == LJS_E_BUSY;
}

/* The same again is counted where it waits. */
static bool counted(struct audit *a, const struct entry *e)
{
    for (size_t i = 0; e->kind == LJS_AUDIT_DENIED && i < a->pending_len; i++) {
        ljs_audit_entry *p = &a->pending[i];

        if (p->kind != e->kind || p->err != e->err || strcmp(p->who, e->who) != 0 || strcmp(p->text, e->text) != 0)
            continue;
        p->count += p->count < UINT32_MAX;
        return true;
    }
    return false;
}

static void wait_for_link(struct audit *a, const struct entry *e)
{
    ljs_audit_entry *place;

    if (counted(a, e))
        return;
    if (a->pending_len == PENDING_MAX) {
        a->missed++;
        return;
    }
    place = &a->pending[a->pending_len++];
    *place = (ljs_audit_entry){ .kind = e->kind,
                                .err = e->err,
                                .dev_eui = e->dev_eui,
                                .join_nonce = e->join_nonce,
                                .nonce = e->nonce,
                                .net_id = e->net_id,
                                .count = e->count };
    memcpy(place->who, e->who, strlen(e->who) + 1);
    if (e->text)
        memcpy(place->text, e->text, strlen(e->text) + 1);
}

void ljs__audit_tell(ljs_server *server, int64_t now, const struct entry *e)
{
    struct audit *a = &server->audit;

    if (atomic_load(&a->state) == AUDIT_NOT_KEPT || ljs__server_alive(server)) /* which either stays */
        return;
    pthread_mutex_lock(&a->lock);
    if (a->state != AUDIT_NOT_KEPT) {
        if (!a->pending_len && !a->refused_len && !a->missed && now - a->refused_at > MINUTE)
            a->refused_at = now; /* the minute begins with the first that waits */
        if (!e->err || e->kind == LJS_AUDIT_DENIED || e->kind == LJS_AUDIT_ALARM || had_good_mic(e->err))
            wait_for_link(a, e);
        else
            count_refused(a, e->who, e->err, 1);
    }
    pthread_mutex_unlock(&a->lock);
}

ljs_err ljs__audit_denied(ljs_server *server, int64_t now, const char *who, const char *text)
{
    struct audit *a = &server->audit;
    const struct entry entry = { .kind = LJS_AUDIT_DENIED, .err = LJS_E_SENDER, .who = who, .text = text, .count = 1 };
    bool first;
    ljs_err err = ljs__server_alive(server);

    if (err)
        return err;
    pthread_mutex_lock(&a->lock);
    first = now - a->denied_at >= MINUTE || now < a->denied_at;
    if (first)
        a->denied_at = now;
    pthread_mutex_unlock(&a->lock);
    if (first)
        return ljs_server_note(server, entry.kind, 0, entry.err, text);
    ljs__audit_tell(server, now, &entry);
    return LJS_OK;
}

void ljs__audit_put_back(ljs_server *server, struct waited *w)
{
    struct audit *a = &server->audit;

    if (ljs__server_alive(server))
        return;
    pthread_mutex_lock(&a->lock);
    for (size_t i = 0; i < w->len; i++)
        if (a->pending_len < PENDING_MAX)
            a->pending[a->pending_len++] = w->entry[i];
        else
            w->missed++;
    a->missed += w->missed;
    for (size_t i = 0; i < w->refused_len; i++)
        count_refused(a, w->refused[i].peer, w->refused[i].err, w->refused[i].count);
    pthread_mutex_unlock(&a->lock);
}

ljs_err ljs_server_flush_audit(ljs_server *server, int64_t now)
{
    struct audit *a = &server->audit;
    ljs_change changes[AUDIT_ROOM];
    bool due;
    ljs_err err = ljs__server_alive(server);

    if (err || atomic_load(&a->state) == AUDIT_NOT_KEPT) /* then nothing waits */
        return err;
    pthread_mutex_lock(&a->lock);
    due = (a->pending_len || a->missed || a->refused_len) && (!now || now - a->refused_at >= MINUTE);
    if (due && !now)
        a->refused_at = a->now - MINUTE;
    pthread_mutex_unlock(&a->lock);
    return due ? ljs__audit_commit(server, now, changes, 0, NULL, 0) : LJS_OK;
}
