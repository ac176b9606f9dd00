/* The writing of the audit log: which chain, which entries, one commit. */
#include "server/audit.h"

#include "server/anchor.h"

#include "base/secret.h"
#include "base/text.h"

#include <ctype.h>
#include <stdlib.h>

enum {
    MARK_SCHEMA = 1,
    FOUND_MAX = 1024, /* entries of one link about records that were there */
};

/* One writer's.  Whoever took it is alone with it. */
struct chain {
    struct chain *next, *other; /* among the idle; among all */
    ljs_audit_link known;       /* the last that is durable, for ljs_server_heads(); under the server's lock */
    ljs_audit_link head;        /* of the next link: its `before` is the tag of the last */
    bool unsure;                /* a commit failed: is the link there? */
    uint32_t generation;
    struct key key;
    struct wr body, link;
};

/* ---- is a log kept? --------------------------------------------------------- */

static const uint8_t mark_key[] = { SPACE_AUDIT };

ljs_err ljs__audit_mark(struct mark *out, ljs_server *server)
{
    ljs_buf value = { NULL, 0 };
    ljs_err err;

    *out = (struct mark){ 0, false, 0 };
    err = ljs_store_get(&value, &out->version, server->store, mark_key, sizeof mark_key);
    if (err == LJS_E_NOTFOUND) {
        out->version = 0;
        return LJS_OK;
    }
    if (!err && !(err = ljs__vault_check(server->vault, TAG_AUDIT, value.data, value.len))) {
        struct unpack u = { .rd = { value.data, value.len - LINK_TAG_LEN, false } };

        if (ljs__unpack_array(&u) != 3 || ljs__unpack_uint(&u, 0xffff) != MARK_SCHEMA)
            err = u.rd.bad ? LJS_E_SEAL : LJS_E_VERSION;
        out->generation = (uint32_t)ljs__unpack_uint(&u, UINT32_MAX);
        out->kept = ljs__unpack_uint(&u, 1);
        if (!err && (!rd_done(&u.rd) || !out->generation))
            err = LJS_E_SEAL;
    }
    ljs_buf_free(&value);
    return err;
}

static ljs_err write_mark(struct wr *w, ljs_server *server, const struct mark *mark)
{
    ljs__pack_array(w, 3);
    ljs__pack_uint(w, MARK_SCHEMA);
    ljs__pack_uint(w, mark->generation);
    ljs__pack_uint(w, mark->kept);
    return ljs__vault_tag(w, server->vault, TAG_AUDIT);
}

/* ---- chains ----------------------------------------------------------------- */

static void chain_free(ljs_server *server, struct chain *c)
{
    struct chain **at = &server->audit.all;

    if (!c)
        return;
    if (!ljs__server_alive(server)) {
        pthread_mutex_lock(&server->audit.lock);
        while (*at && *at != c)
            at = &(*at)->other;
        if (*at)
            *at = c->other;
        pthread_mutex_unlock(&server->audit.lock);
    }
    ljs__wr_drop(&c->body);
    ljs__wr_drop(&c->link);
    free(c);
}

static struct chain *chain_new(ljs_server *server, uint32_t generation)
{
    struct chain *c = calloc(1, sizeof *c);

    if (c) {
        ljs__random(&c->head.writer, sizeof c->head.writer);
        c->generation = generation;
        pthread_mutex_lock(&server->audit.lock);
        c->other = server->audit.all;
        server->audit.all = c;
        pthread_mutex_unlock(&server->audit.lock);
    }
    return c;
}

static void advance(struct chain *c, const uint8_t tag[LINK_TAG_LEN])
{
    memcpy(c->head.before, tag, LINK_TAG_LEN);
    c->head.sequence++;
    c->unsure = false;
}

/* After a fault: is the last link there?  The store alone knows. */
static ljs_err settle(ljs_server *server, struct chain *c)
{
    ljs_buf link = { NULL, 0 };
    ljs_audit_link head;
    ljs_err err;

    if (!c->unsure)
        return LJS_OK;
    err = ljs_server_get_link(&link, server, c->head.writer, c->head.sequence);
    if (err == LJS_E_NOTFOUND) {
        c->unsure = false;
        return LJS_OK;
    }
    if (!err)
        err = ljs_audit_link_read(&head, link.data, link.len);
    if (!err && memcmp(head.before, c->head.before, LINK_TAG_LEN) != 0)
        err = LJS_E_SEAL;
    if (!err)
        advance(c, head.tag);
    ljs_buf_free(&link);
    return err;
}

static void give(ljs_server *server, struct chain *c)
{
    if (ljs__server_alive(server))
        return;
    pthread_mutex_lock(&server->audit.lock);
    c->known = c->head;
    c->next = server->audit.idle;
    server->audit.idle = c;
    pthread_mutex_unlock(&server->audit.lock);
}

static ljs_err take(struct chain **out, ljs_server *server)
{
    struct audit *a = &server->audit;
    uint32_t generation;
    ljs_err err;

    pthread_mutex_lock(&a->lock);
    if ((*out = a->idle))
        a->idle = (*out)->next;
    generation = a->generation;
    pthread_mutex_unlock(&a->lock);
    if (!*out)
        return (*out = chain_new(server, generation)) ? LJS_OK : LJS_E_NOMEM;
    err = settle(server, *out);
    if (err == LJS_E_SEAL || err == LJS_E_VERSION) { /* somebody writes to it who is not us: `verify` tells */
        chain_free(server, *out);
        return (*out = chain_new(server, generation)) ? LJS_OK : LJS_E_NOMEM;
    }
    if (err) {
        give(server, *out);
        *out = NULL;
    }
    return err;
}

/* ---- a link ----------------------------------------------------------------- */

static void put_entry(struct chain *c, const struct entry *e)
{
    ljs__link_entry(&c->body, e);
    c->head.entries++;
}

static void put_begin(struct chain *c, const char *who)
{
    if (c->head.sequence == 0 && c->head.entries == 0)
        put_entry(c, &(struct entry){ .kind = LJS_AUDIT_BEGIN, .who = who, .count = c->generation });
}

static void put_waited(struct chain *c, const struct waited *w)
{
    for (size_t i = 0; i < w->len; i++) {
        const ljs_audit_entry *e = &w->entry[i];

        put_entry(c, &(struct entry){ .kind = e->kind,
                                      .err = e->err,
                                      .dev_eui = e->dev_eui,
                                      .join_nonce = e->join_nonce,
                                      .nonce = e->nonce,
                                      .net_id = e->net_id,
                                      .count = e->count,
                                      .who = e->who,
                                      .text = e->text });
    }
    for (size_t i = 0; i < w->refused_len; i++)
        put_entry(c, &(struct entry){ .kind = LJS_AUDIT_REFUSED,
                                      .err = w->refused[i].err,
                                      .who = w->refused[i].peer,
                                      .count = w->refused[i].count });
    if (w->missed)
        put_entry(c, &(struct entry){ .kind = LJS_AUDIT_MISSED, .count = w->missed });
}

/* The link is the last of the group, which is told its result. */
static ljs_err commit_link(ljs_server *server, struct chain *c, int64_t now, ljs_change *changes, size_t len)
{
    ljs_err err;

    c->head.at = now;
    if ((err = ljs__link_write(&c->link, server->vault, &c->head, &c->body)))
        return err;
    c->key = ljs__key_link(c->head.writer, c->head.sequence);
    changes[len] = (ljs_change){ .key = c->key.at, .key_len = c->key.len, .in = c->link.data, .in_len = c->link.len };
    for (size_t i = 0; i <= len; i++)
        changes[i].group = 0;
    err = ljs_store_commit(server->store, changes, len + 1);
    if (!err)
        err = changes[0].result;
    if (err)
        c->unsure = true;
    else
        advance(c, c->link.data + c->link.len - LINK_TAG_LEN);
    return err;
}

/* For the next one, for which there may be memory again. */
static void clear_link(struct chain *c)
{
    c->body.len = 0;
    c->body.bad = false;
    c->head.entries = 0;
}

/* ---- begin and end of a log ------------------------------------------------- */

struct baseline {
    ljs_server *server;
    struct chain *chain;
    const char *who;
    int64_t now;
};

static ljs_err write_found(struct baseline *b)
{
    ljs_change change[1];
    ljs_err err = commit_link(b->server, b->chain, b->now, change, 0);

    clear_link(b->chain);
    return err;
}

static ljs_err found(void *user, ljs_eui dev_eui)
{
    struct baseline *b = user;
    struct key key = ljs__key_eui(SPACE_DEVICE, dev_eui);
    ljs_buf record = { NULL, 0 };
    uint64_t version;
    ljs_err err = ljs_store_get(&record, &version, b->server->store, key.at, key.len);

    if (!err && record.len >= LINK_TAG_LEN) {
        if (!b->chain->head.entries)
            put_begin(b->chain, b->who);
        put_entry(b->chain, &(struct entry){ .kind = LJS_AUDIT_FOUND,
                                             .dev_eui = dev_eui,
                                             .after = record.data + record.len - LINK_TAG_LEN });
    }
    ljs_buf_free(&record);
    if (!err && b->chain->head.entries >= FOUND_MAX)
        err = write_found(b);
    return err == LJS_E_NOTFOUND ? LJS_OK : err;
}

/* Every record that is there, then the store's word and the rest of the chain's first link at once.
 * Two who begin at once both tell what they found, and one of them meets a conflict. */
static ljs_err begin_log(ljs_server *server, const struct mark *was)
{
    const struct mark mark = { was->generation + 1, true, 0 };
    ljs_change changes[AUDIT_ROOM] = { { .key = mark_key, .key_len = sizeof mark_key, .if_version = was->version } };
    struct waited waited;
    struct wr value = { 0 };
    struct baseline b = { .server = server, .chain = chain_new(server, mark.generation) };
    ljs_err err = b.chain ? write_mark(&value, server, &mark) : LJS_E_NOMEM;

    b.now = ljs__audit_take_waited(&waited, server, 0, false);
    b.who = waited.who;
    ljs__audit_put_back(server, &waited);
    free(waited.entry);
    if (!err)
        err = ljs_server_each_device(server, found, &b);
    if (!err) {
        put_begin(b.chain, b.who);
        changes[0].in = value.data;
        changes[0].in_len = value.len;
        err = commit_link(server, b.chain, b.now, changes, 1);
        clear_link(b.chain);
    }
    ljs__wr_drop(&value);
    if (err)
        chain_free(server, b.chain);
    else
        give(server, b.chain);
    return err;
}

static ljs_err end_log(ljs_server *server, const struct mark *was)
{
    const struct mark mark = { was->generation, false, 0 };
    ljs_change changes[AUDIT_ROOM] = { { .key = mark_key, .key_len = sizeof mark_key, .if_version = was->version } };
    struct waited waited;
    struct wr value = { 0 };
    struct chain *c = chain_new(server, mark.generation);
    ljs_err err = c ? write_mark(&value, server, &mark) : LJS_E_NOMEM;
    int64_t now = ljs__audit_take_waited(&waited, server, 0, true);

    if (!err) {
        put_begin(c, waited.who);
        put_waited(c, &waited);
        put_entry(c, &(struct entry){ .kind = LJS_AUDIT_OFF, .who = waited.who });
        changes[0].in = value.data;
        changes[0].in_len = value.len;
        err = commit_link(server, c, now, changes, 1);
    }
    ljs__wr_drop(&value);
    free(waited.entry);
    chain_free(server, c);
    return err;
}

/* What is done where the store says nothing, says that a log is kept, and that none is any more. */
enum what { LEAVE, KEEP, BEGIN, END };
static const uint8_t rules[][3] = {
    [LJS_AUDIT_AS_STORE] = { LEAVE, KEEP, LEAVE },
    [LJS_AUDIT_UNLESS_OFF] = { BEGIN, KEEP, LEAVE },
    [LJS_AUDIT_ON] = { BEGIN, KEEP, BEGIN },
    [LJS_AUDIT_SWITCH_OFF] = { LEAVE, END, LEAVE },
};

ljs_err ljs__audit_kept(bool *out, ljs_server *server)
{
    struct audit *a = &server->audit;
    struct mark mark;
    int state = atomic_load(&a->state);
    ljs_err err = LJS_OK;

    for (unsigned n = 0; state == AUDIT_UNKNOWN && n <= CONFLICT_RETRIES * server->opts.retries; n++) {
        enum what what = LEAVE;

        if (!(err = ljs__audit_mark(&mark, server)))
            what = rules[server->opts.audit][!mark.generation ? 0 : mark.kept ? 1 : 2];
        if (!err && what == BEGIN)
            err = begin_log(server, &mark);
        else if (!err && what == END)
            err = end_log(server, &mark);
        if (err == LJS_E_CONFLICT) /* somebody else did: what does the store say now? */
            continue;
        if (err)
            break;
        state = what == BEGIN || what == KEEP ? AUDIT_KEPT : AUDIT_NOT_KEPT;
        pthread_mutex_lock(&a->lock);
        a->generation = mark.generation + (what == BEGIN);
        atomic_store(&a->state, state == AUDIT_KEPT ? AUDIT_KEPT : AUDIT_NOT_KEPT);
        if (state == AUDIT_NOT_KEPT)
            a->pending_len = a->refused_len = a->missed = 0;
        pthread_mutex_unlock(&a->lock);
    }
    *out = state == AUDIT_KEPT;
    return err;
}

/* ---- one commit ------------------------------------------------------------- */

static ljs_err commit_plain(ljs_server *server, ljs_change *changes, size_t len)
{
    ljs_err err;

    if (!len)
        return LJS_OK;
    for (size_t i = 0; i < len; i++)
        changes[i].group = 0;
    err = ljs_store_commit(server->store, changes, len);
    return err ? err : changes[0].result;
}

ljs_err ljs__audit_commit(ljs_server *server, int64_t now, ljs_change *changes, size_t len, const struct entry *entries,
                          size_t entries_len)
{
    struct waited waited;
    struct chain *c = NULL;
    bool kept;
    ljs_err err = ljs__server_alive(server);

    if (!err)
        err = ljs__audit_kept(&kept, server);
    if (err)
        return err == LJS_E_CONFLICT ? LJS_E_STORE : err;
    if (!kept)
        return commit_plain(server, changes, len);
    if ((err = take(&c, server)))
        return err;
    now = ljs__audit_take_waited(&waited, server, now, false);
    if (!len && !entries_len && !waited.len && !waited.refused_len && !waited.missed)
        goto out; /* somebody else wrote what waited */
    put_begin(c, waited.who);
    for (size_t i = 0; i < entries_len; i++) {
        struct entry e = entries[i];

        if (!e.who)
            e.who = waited.who;
        put_entry(c, &e);
    }
    put_waited(c, &waited);
    err = commit_link(server, c, now, changes, len);
    clear_link(c);
    if (err)
        ljs__audit_put_back(server, &waited);
out:
    free(waited.entry);
    give(server, c);
    return err;
}

/* ---- the server ------------------------------------------------------------- */

ljs_err ljs__audit_init(ljs_server *server)
{
    pthread_mutex_init(&server->audit.lock, NULL);
    server->audit.pending = calloc(PENDING_MAX, sizeof *server->audit.pending);
    return server->audit.pending ? LJS_OK : LJS_E_NOMEM;
}

/* A chain that ends here says so; where that fails, it looks like one that was cut off by a crash. */
static void end_chain(ljs_server *server, struct chain *c)
{
    struct waited waited;
    ljs_change change[1];
    int64_t now = ljs__audit_take_waited(&waited, server, 0, true);

    put_waited(c, &waited);
    put_entry(c, &(struct entry){ .kind = LJS_AUDIT_END, .who = waited.who });
    (void)!commit_link(server, c, now, change, 0);
    free(waited.entry);
}

void ljs__audit_free(ljs_server *server)
{
    bool alive = !ljs__server_alive(server);

    for (struct chain *c = server->audit.idle, *next; c; c = next) {
        next = c->next;
        if (alive && !settle(server, c) && c->head.sequence)
            end_chain(server, c);
        chain_free(server, c);
    }
    free(server->audit.pending);
    pthread_mutex_destroy(&server->audit.lock);
}

ljs_err ljs_server_set_actor(ljs_server *server, int64_t now, const char *who)
{
    struct audit *a = &server->audit;
    ljs_err err = ljs__server_alive(server);

    if (err)
        return err;
    if (who && !ljs__text_ok(who, sizeof a->who))
        return LJS_E_INVAL;
    pthread_mutex_lock(&a->lock);
    a->now = now;
    if (who)
        memcpy(a->who, who, strlen(who) + 1);
    pthread_mutex_unlock(&a->lock);
    return LJS_OK;
}

/* A key that found its way into a text would stay there for ever. */
static bool like_key(const char *text)
{
    enum { DIGITS = 32 };
    unsigned run = 0;

    for (; *text && run < DIGITS; text++)
        run = isxdigit((unsigned char)*text) ? run + 1 : 0;
    return run >= DIGITS;
}

ljs_err ljs__audit_write(ljs_server *server, const struct entry *entry)
{
    ljs_change changes[AUDIT_ROOM];
    ljs_err err = LJS_E_CONFLICT;

    for (unsigned n = 0; err == LJS_E_CONFLICT && n <= CONFLICT_RETRIES * server->opts.retries; n++)
        err = ljs__audit_commit(server, 0, changes, 0, entry, 1);
    return err;
}

ljs_err ljs_server_note(ljs_server *server, ljs_audit_kind kind, ljs_eui dev_eui, ljs_err err, const char *text)
{
    const struct entry entry = { .kind = kind, .err = err, .dev_eui = dev_eui, .text = text };
    ljs_err result = ljs__server_alive(server);

    if (result)
        return result;
    if (kind < LJS_AUDIT_EXPORT || !strcmp(ljs_audit_kind_text(kind), "?") || !text ||
        !ljs__text_ok(text, LJS_LABEL_MAX) || like_key(text) || err > 0 || err < -199)
        return LJS_E_INVAL;
    return ljs__audit_write(server, &entry);
}

ljs_err ljs_server_heads(ljs_buf *out, ljs_server *server)
{
    struct wr w = { 0 };
    ljs_err err = ljs__server_alive(server);

    *out = (ljs_buf){ NULL, 0 };
    if (err)
        return err;
    pthread_mutex_lock(&server->audit.lock);
    for (const struct chain *c = server->audit.all; c; c = c->other)
        if (c->known.sequence)
            ljs__anchor_line(&w, c->known.writer, c->known.sequence - 1, c->known.before);
    pthread_mutex_unlock(&server->audit.lock);
    return w.len || w.bad ? ljs__wr_take(out, &w) : LJS_OK;
}
