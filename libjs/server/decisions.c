/* What `lorajs why` tells, and what is counted and logged. */
#include "server/claim.h"

#include "base/pack.h"
#include "base/secret.h"

#include <stdlib.h>

ljs_err ljs__decisions_init(ljs_server *server)
{
    pthread_mutex_init(&server->waiting.lock, NULL);
    server->waiting.event = calloc(WAITING_MAX, sizeof *server->waiting.event);
    return server->waiting.event ? LJS_OK : LJS_E_NOMEM;
}

void ljs__decisions_free(ljs_server *server)
{
    free(server->waiting.event);
    pthread_mutex_destroy(&server->waiting.lock);
}

uint64_t ljs_server_count(ljs_server *server, ljs_message_type type, ljs_err err)
{
    if ((unsigned)type > LJS_MSG_HOME_NS_ANS || err > 0 || -err >= COUNTERS)
        return 0;
    return atomic_load_explicit(&server->count[type][-err], memory_order_relaxed);
}

static bool same(const ljs_event *a, const ljs_event *b)
{
    return a->dev_eui == b->dev_eui && a->err == b->err && a->type == b->type && a->nonce == b->nonce &&
           a->kind == b->kind && a->net_id == b->net_id && a->repeat == b->repeat && a->on_word == b->on_word &&
           a->alarm == b->alarm && strcmp(a->peer, b->peer) == 0;
}

/* No device can be told more of than DECISIONS_MAX: what is older of it goes first, so that a flood at one
 * device does not push out the others.  Where that makes no room, the oldest quarter goes. */
static void make_room(struct waiting *w)
{
    size_t at = WAITING_MAX;

    for (size_t i = w->len; i-- > 0;) {
        size_t newer = 0;

        for (size_t k = at; k < WAITING_MAX && newer < DECISIONS_MAX; k++)
            newer += w->event[k].dev_eui == w->event[i].dev_eui;
        if (newer < DECISIONS_MAX && --at != i)
            w->event[at] = w->event[i];
    }
    if (at < WAITING_MAX / 4)
        at = WAITING_MAX / 4;
    w->len = WAITING_MAX - at;
    memmove(w->event, w->event + at, w->len * sizeof *w->event);
}

static void keep(struct waiting *w, const ljs_event *event)
{
    enum { LOOK_BACK = 32 };

    for (size_t i = w->len; i > 0 && i + LOOK_BACK > w->len; i--) {
        if (w->event[i - 1].dev_eui != event->dev_eui)
            continue;
        if (!same(&w->event[i - 1], event)) /* no longer in a row */
            break;
        w->event[i - 1].count++;
        w->event[i - 1].at = event->at;
        return;
    }
    if (w->len == WAITING_MAX)
        make_room(w);
    w->event[w->len] = *event;
    w->event[w->len++].count = 1;
}

void ljs__decide(ljs_server *server, const ljs_event *event, bool known)
{
    ljs_event e = *event;

    if (ljs__server_alive(server))
        return;
    e.count = 1;
    if (!e.forwarded)
        atomic_fetch_add_explicit(&server->count[e.type][-e.err % COUNTERS], 1, memory_order_relaxed);
    if (e.alarm)
        atomic_fetch_add_explicit(&server->alarms.count[e.alarm % ALARMS], 1, memory_order_relaxed);
    if (known && !e.forwarded) {
        pthread_mutex_lock(&server->waiting.lock);
        keep(&server->waiting, &e);
        pthread_mutex_unlock(&server->waiting.lock);
    }
    if (server->opts.log)
        server->opts.log(server->opts.log_user, &e);
}

/* ---- at rest ---------------------------------------------------------------- */

/* A device's value: [schema, DevEUI, event ...], newest first, and the tag.  Only one that tells of an alarm
 * is of schema 2: of all others a lorajs that knows none can go on to tell. */
enum { SCHEMA_PLAIN = 1, SCHEMA_ALARMS = 2, EVENT_FIELDS = 9 };
enum { E_REPEAT = 1, E_ON_WORD = 2, E_ALARM_SHIFT = 2, E_ALL = 15 };

struct decisions {
    ljs_event event[DECISIONS_MAX];
    size_t len;
};

static void read_event(struct unpack *u, ljs_event *e)
{
    unsigned flags;

    if (ljs__unpack_array(u) != EVENT_FIELDS)
        u->rd.bad = true;
    e->at = ljs__unpack_int(u, INT64_MIN, INT64_MAX);
    e->err = (ljs_err)ljs__unpack_int(u, -199, 0);
    e->type = (ljs_message_type)ljs__unpack_uint(u, LJS_MSG_HOME_NS_ANS);
    e->kind = (ljs_frame_kind)ljs__unpack_uint(u, 0xff);
    e->net_id = (ljs_netid)ljs__unpack_uint(u, 0xffffff);
    e->nonce = (uint32_t)ljs__unpack_uint(u, 0xffff);
    e->count = (uint32_t)ljs__unpack_uint(u, UINT32_MAX);
    flags = (unsigned)ljs__unpack_uint(u, E_ALL);
    e->repeat = !!(flags & E_REPEAT);
    e->on_word = !!(flags & E_ON_WORD);
    e->alarm = (uint8_t)(flags >> E_ALARM_SHIFT);
    ljs__unpack_text(u, e->peer, sizeof e->peer);
}

static ljs_err read_decisions(struct decisions *out, const ljs_vault *vault, ljs_eui dev_eui, const ljs_buf *in)
{
    struct unpack u = { .rd = { in->data, in->len > 16 ? in->len - 16 : 0, false } };
    ljs_err err = ljs__vault_check(vault, TAG_LOG, in->data, in->len);
    unsigned n;

    memset(out, 0, sizeof *out);
    if (err)
        return err;
    n = ljs__unpack_array(&u);
    if (ljs__unpack_uint(&u, 0xffff) > SCHEMA_ALARMS)
        return LJS_E_VERSION;
    if (n < 2 || n - 2 > DECISIONS_MAX || ljs__unpack_uint(&u, UINT64_MAX) != dev_eui)
        return LJS_E_SEAL;
    for (out->len = 0; out->len < n - 2; out->len++) {
        read_event(&u, &out->event[out->len]);
        out->event[out->len].dev_eui = dev_eui;
    }
    if (!rd_done(&u.rd))
        out->len = 0;
    return rd_done(&u.rd) ? LJS_OK : LJS_E_SEAL;
}

static ljs_err write_decisions(ljs_buf *out, const ljs_vault *vault, ljs_eui dev_eui, const struct decisions *d)
{
    struct wr w = { 0 };
    bool alarms = false;

    for (size_t i = 0; i < d->len; i++)
        alarms |= d->event[i].alarm;
    ljs__pack_array(&w, (unsigned)d->len + 2);
    ljs__pack_uint(&w, alarms ? SCHEMA_ALARMS : SCHEMA_PLAIN);
    ljs__pack_uint(&w, dev_eui);
    for (size_t i = 0; i < d->len; i++) {
        const ljs_event *e = &d->event[i];

        ljs__pack_array(&w, EVENT_FIELDS);
        ljs__pack_int(&w, e->at);
        ljs__pack_int(&w, e->err);
        ljs__pack_uint(&w, e->type);
        ljs__pack_uint(&w, e->kind);
        ljs__pack_uint(&w, e->net_id);
        ljs__pack_uint(&w, e->nonce);
        ljs__pack_uint(&w, e->count);
        ljs__pack_uint(&w, (e->repeat ? E_REPEAT : 0U) | (e->on_word ? E_ON_WORD : 0U) |
                               (unsigned)e->alarm << E_ALARM_SHIFT);
        ljs__pack_text(&w, e->peer);
    }
    return ljs__vault_take(out, &w, vault, TAG_LOG);
}

/* Was it seen in the time of whose the device is now?  Of the one before not even how often is told. */
static bool is_of_now(ljs_server *server, const ljs_event *e)
{
    struct claim claim;
    int64_t from = ljs__claim_load(&claim, server, e->dev_eui) ? 0 : ljs__claim_seen_from(&claim);

    return !from || e->at > from;
}

static void prepend(struct decisions *d, ljs_server *server, const ljs_event *e)
{
    if (d->len && same(&d->event[0], e) && is_of_now(server, &d->event[0])) {
        d->event[0].at = e->at;
        d->event[0].count += e->count;
        return;
    }
    if (d->len == DECISIONS_MAX)
        d->len--;
    memmove(d->event + 1, d->event, d->len * sizeof *d->event);
    d->event[0] = *e;
    d->len++;
}

struct flush { /* the events of one device, oldest first */
    ljs_server *server;
    const ljs_event *const *event;
    size_t len;
};

static ljs_err add_decisions(ljs_buf *out, const struct flush *f, ljs_eui dev_eui, const ljs_buf *old)
{
    struct decisions d = { .len = 0 };
    ljs_err err = old->data ? read_decisions(&d, f->server->vault, dev_eui, old) : LJS_OK;

    *out = (ljs_buf){ NULL, 0 };
    if (err == LJS_E_VERSION) /* a newer lorajs tells of this device: its words stay */
        return LJS_OK;
    if (err) /* tampered with; the news of today is worth more than it */
        d.len = 0;
    for (size_t i = 0; i < f->len; i++)
        prepend(&d, f->server, f->event[i]);
    return write_decisions(out, f->server->vault, dev_eui, &d);
}

/* By device, and as they came: neither the clock nor qsort() can be trusted with that. */
static int by_device(const void *a, const void *b)
{
    const ljs_event *const *x = a, *const *y = b;

    return (*x)->dev_eui != (*y)->dev_eui ? ((*x)->dev_eui < (*y)->dev_eui ? -1 : 1) : (*x > *y) - (*x < *y);
}

/* What could not be written waits on, before what came meanwhile, as far as there is room. */
static void give_back(struct waiting *w, const ljs_event *event, size_t len)
{
    size_t room, n;

    pthread_mutex_lock(&w->lock);
    room = WAITING_MAX - w->len;
    n = len < room ? len : room;
    memmove(w->event + n, w->event, w->len * sizeof *event);
    memcpy(w->event, event + len - n, n * sizeof *event);
    w->len += n;
    pthread_mutex_unlock(&w->lock);
}

ljs_err ljs_server_flush(ljs_server *server)
{
    ljs_event *event = NULL;
    const ljs_event **order = NULL;
    ljs_change *change = NULL;
    ljs_buf *value = NULL;
    struct key *key = NULL;
    size_t len, n = 0;
    ljs_err err = ljs_server_refresh(server); /* what is new is written under the newest key */

    if (err)
        return err;
    pthread_mutex_lock(&server->waiting.lock);
    len = server->waiting.len;
    if (len && (event = malloc(len * sizeof *event))) {
        memcpy(event, server->waiting.event, len * sizeof *event);
        server->waiting.len = 0;
    }
    pthread_mutex_unlock(&server->waiting.lock);
    if (!len)
        return LJS_OK;
    order = calloc(len, sizeof *order);
    change = calloc(len, sizeof *change);
    value = calloc(len, sizeof *value);
    key = calloc(len, sizeof *key);
    if (!event || !order || !change || !value || !key) {
        err = LJS_E_NOMEM;
        goto out;
    }
    for (size_t i = 0; i < len; i++)
        order[i] = &event[i];
    qsort(order, len, sizeof *order, by_device);
    for (size_t i = 0, end; i < len && !err; i = end) {
        struct flush f = { server, order + i, 0 };
        ljs_eui dev_eui = order[i]->dev_eui;
        ljs_buf old = { NULL, 0 };

        for (end = i; end < len && order[end]->dev_eui == dev_eui; end++)
            f.len++;
        key[n] = ljs__key_eui(SPACE_DECISION, dev_eui);
        change[n] = (ljs_change){ .key = key[n].at, .key_len = key[n].len, .group = (unsigned)n };
        err = ljs_store_get(&old, &change[n].if_version, server->store, key[n].at, key[n].len);
        if (err == LJS_E_NOTFOUND)
            err = LJS_OK;
        if (!err)
            err = add_decisions(&value[n], &f, dev_eui, &old);
        ljs_buf_free(&old);
        change[n].in = value[n].data;
        change[n].in_len = value[n].len;
        if (err || value[n].data)
            n++;
    }
    if (!err && n)
        err = ljs_store_commit(server->store, change, n);
    /* A device that somebody else wrote meanwhile loses these lines: they are for a person, no
     * decision hangs on them. */
    for (size_t i = 0; i < n && !err; i++)
        if (change[i].result != LJS_E_CONFLICT)
            err = change[i].result;
out:
    if (err && event && !ljs__server_alive(server)) /* some of it may have been written, and is then told twice */
        give_back(&server->waiting, event, len);
    for (size_t i = 0; i < n; i++)
        ljs_buf_free(&value[i]);
    free(event);
    free(order);
    free(change);
    free(value);
    free(key);
    return err;
}

static ljs_err load_once(struct decisions *out, ljs_server *server, ljs_eui dev_eui)
{
    struct key key = ljs__key_eui(SPACE_DECISION, dev_eui);
    ljs_buf value = { NULL, 0 };
    uint64_t version;
    ljs_err err = ljs__server_alive(server);

    out->len = 0;
    if (!err)
        err = ljs_store_get(&value, &version, server->store, key.at, key.len);
    if (!err)
        err = read_decisions(out, server->vault, dev_eui, &value);
    ljs_buf_free(&value);
    return err;
}

static ljs_err load(struct decisions *out, ljs_server *server, ljs_eui dev_eui)
{
    const struct masters *had;
    ljs_err err;

    do {
        had = ljs__masters(server);
        err = load_once(out, server, dev_eui);
    } while (err == LJS_E_SEAL && ljs__masters_again(server, had));
    return err;
}

ljs_err ljs_server_decision(ljs_event *out, ljs_server *server, ljs_eui dev_eui, unsigned i)
{
    struct decisions d;
    ljs_err err = load(&d, server, dev_eui);

    if (!err && i >= d.len)
        err = LJS_E_NOTFOUND;
    *out = err ? (ljs_event){ .at = 0 } : d.event[i];
    return err;
}

struct visit {
    ljs_server *server;
    ljs_event_row *row;
    void *user;
};

ljs_err ljs__decisions_of(ljs_server *server, ljs_eui dev_eui, ljs_event_row *row, void *user)
{
    struct decisions d;
    ljs_err err = load(&d, server, dev_eui);

    if (err == LJS_E_SEAL || err == LJS_E_VERSION) { /* which must not hide the others */
        d.event[0] = (ljs_event){ .dev_eui = dev_eui, .err = err };
        d.len = 1;
        err = LJS_OK;
    }
    for (size_t i = 0; !err && i < d.len; i++)
        err = row(user, &d.event[i]);
    return err == LJS_E_NOTFOUND && !d.len ? LJS_OK : err;
}

static ljs_err visit_one(void *user, ljs_eui dev_eui)
{
    const struct visit *v = user;

    return ljs__decisions_of(v->server, dev_eui, v->row, v->user);
}

ljs_err ljs_server_each_decision(ljs_server *server, ljs_eui first, ljs_eui last, ljs_event_row *row, void *user)
{
    struct visit v = { server, row, user };

    return ljs__each_eui_in(server, SPACE_DECISION, first, last, visit_one, &v);
}
