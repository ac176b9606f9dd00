/* One file among many threads: readers, views, one writer for all who commit at once, and a keeper of the log.
 *
 * What is committed stands in a log, and is copied from there into the database now and then, which takes as long as
 * some ten commits.  So no commit does it, but a thread of its own, the keeper, which begins when the log is long for
 * the first time.  It keeps nobody waiting until the log is very long: then it has commits wait while it copies the
 * rest, for only a log of which all is copied can begin anew. */
#include "base/secret.h"
#include "store/file.h"
#include "store/sqlite.h"
#include "store/view.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
    IDLE_MAX = 16,       /* readers kept open; more are opened when more threads read at once */
    LOG_STEP = 4096000,  /* octets of pages in the log that are copied back together */
    LOG_MOST = 16384000, /* before commits wait for its end: with the frames around them LOG_SIZE, see sqlite.c */
};

struct shared {
    struct db_file file;
    pthread_mutex_t lock; /* over all below, never held while SQLite works */
    pthread_cond_t done;
    struct db *idle; /* readers */
    unsigned idle_len;
    struct wish *wishes, **wishes_end;
    bool writing;      /* some thread writes, or reads by `writer`: it alone touches that */
    struct db *writer; /* NULL until first used, and after a fault */
    bool looking;      /* the writer reads of one moment, which is: */
    uint64_t moment;   /* counted up with each */
    unsigned views;    /* that are open */
    pthread_t keeper;
    pthread_cond_t wanted; /* of the keeper */
    bool kept, ends;       /* it runs; it shall end */
    bool copy;             /* it shall copy the log back, which had */
    uint64_t log;          /* so many octets of pages by then */
    bool holds;            /* commits wait for it */
    bool failed;           /* it could not: who commits next copies back himself, and tells if he cannot */
};

/* ---- reading ---- */

static ljs_err reader_take(struct db **out, struct shared *s)
{
    pthread_mutex_lock(&s->lock);
    if ((*out = s->idle)) {
        s->idle = (*out)->next;
        s->idle_len--;
    }
    pthread_mutex_unlock(&s->lock);
    return *out ? LJS_OK : ljs__db_open(out, &s->file, false);
}

/* One that met a fault is not used again. */
static void reader_give(struct shared *s, struct db *db)
{
    bool keep = false;

    pthread_mutex_lock(&s->lock);
    if (!db->broken && s->idle_len < IDLE_MAX) {
        db->next = s->idle;
        s->idle = db;
        s->idle_len++;
        keep = true;
    }
    pthread_mutex_unlock(&s->lock);
    if (!keep)
        ljs__db_close(db);
}

/* The writer, while nobody writes or wants to: with each commit of another's a reader forgets
 * every page that it has read, and the writer knows those that it has written itself. */
static bool writer_take(struct shared *s, bool for_view)
{
    bool taken;

    pthread_mutex_lock(&s->lock);
    if ((taken = !s->writing && !s->holds && s->writer && !s->wishes && (for_view || !s->looking)))
        s->writing = true;
    pthread_mutex_unlock(&s->lock);
    return taken;
}

/* Of whoever has the writer, as all that follows here. */
static void drop_broken(struct shared *s)
{
    if (!s->writer || !s->writer->broken)
        return;
    ljs__db_close(s->writer);
    s->writer = NULL;
}

static void stop_looking(struct shared *s)
{
    if (!s->looking)
        return;
    ljs__db_end(s->writer);
    pthread_mutex_lock(&s->lock);
    s->looking = false;
    pthread_mutex_unlock(&s->lock);
}

static ljs_err look(struct shared *s)
{
    ljs_err err;

    stop_looking(s);
    if ((err = ljs__db_begin(s->writer)))
        return err;
    pthread_mutex_lock(&s->lock);
    s->looking = true;
    s->moment++;
    pthread_mutex_unlock(&s->lock);
    return LJS_OK;
}

/* Under the lock. */
static void stop_writing(struct shared *s)
{
    s->writing = false;
    if (s->wishes)
        pthread_cond_broadcast(&s->done);
    if (s->holds)
        pthread_cond_signal(&s->wanted);
}

static void writer_give(struct shared *s)
{
    bool end;

    pthread_mutex_lock(&s->lock);
    end = s->looking && !s->views;
    pthread_mutex_unlock(&s->lock);
    if (end || (s->writer && s->writer->broken))
        stop_looking(s);
    drop_broken(s);
    pthread_mutex_lock(&s->lock);
    stop_writing(s);
    pthread_mutex_unlock(&s->lock);
}

static ljs_err get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    struct shared *s = self;
    struct db *db;
    ljs_err err;

    if (writer_take(s, false)) {
        err = ljs__db_get(out, version, s->writer, key, key_len);
        writer_give(s);
    } else if (!(err = reader_take(&db, s))) {
        err = ljs__db_get(out, version, db, key, key_len);
        reader_give(s, db);
    }
    return err;
}

static ljs_err fill(struct page *page, void *self, const uint8_t *from, size_t from_len)
{
    struct db *db;
    ljs_err err = reader_take(&db, self);

    if (!err) {
        err = ljs__db_keys(page, db, from, from_len);
        reader_give(self, db);
    }
    return err;
}

static ljs_err each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    return ljs__page_each(self, fill, prefix, prefix_len, row, user);
}

static ljs_err count(uint64_t *out, void *self)
{
    struct db *db;
    ljs_err err = reader_take(&db, self);

    if (!err) {
        err = ljs__db_tick(out, db);
        reader_give(self, db);
    }
    return err;
}

static ljs_err copy(void *self, const char *path)
{
    struct db *db;
    char *name = realpath(path, NULL); /* which no URI begins with */
    ljs_err err = name ? reader_take(&db, self) : LJS_E_STORE;

    if (!err) {
        err = ljs__db_copy(db, name);
        reader_give(self, db);
    }
    if (!err)
        err = ljs__sync_name(name);
    free(name);
    return err;
}

/* ---- views ----
 * The writer reads for all of them within one transaction, which anybody who wants to write ends; then the next read
 * begins another.  A view goes on with the one that is open if that was begun after the view. */

static void view_begin(struct view *view, void *self)
{
    struct shared *s = self;

    pthread_mutex_lock(&s->lock);
    view->since = s->moment;
    s->views++;
    pthread_mutex_unlock(&s->lock);
}

/* Of whatever kind: what a commit of another process changes nobody tells. */
static uint64_t view_moment(struct view *view, void *self, uint8_t kind)
{
    struct shared *s = self;
    uint64_t moment;

    (void)kind;
    pthread_mutex_lock(&s->lock);
    moment = s->looking && s->moment > view->since ? s->moment : 0;
    pthread_mutex_unlock(&s->lock);
    return moment;
}

static ljs_err view_get(ljs_buf *out, uint64_t *version, struct view *view, void *self, const uint8_t *key,
                        size_t key_len)
{
    struct shared *s = self;
    ljs_err err = LJS_OK;

    view->moment = 0;
    if (!writer_take(s, true))
        return get(out, version, self, key, key_len);
    if (!s->looking || s->moment <= view->since)
        err = look(s);
    if (!err)
        err = ljs__db_get(out, version, s->writer, key, key_len);
    if (!err || err == LJS_E_NOTFOUND)
        view->moment = s->moment;
    else
        stop_looking(s);
    writer_give(s);
    return err;
}

static void view_end(struct view *view, void *self)
{
    struct shared *s = self;
    bool last;

    (void)view;
    pthread_mutex_lock(&s->lock);
    s->views--;
    if ((last = s->looking && !s->views && !s->writing)) /* else it is for whoever has the writer */
        s->writing = true;
    pthread_mutex_unlock(&s->lock);
    if (last)
        writer_give(s);
}

static const struct view_ops views = { .begin = view_begin, .get = view_get, .moment = view_moment, .end = view_end };

/* ---- keeping the log short ---- */

/* Nobody commits until the keeper lets them. */
static void hold(struct shared *s)
{
    pthread_mutex_lock(&s->lock);
    s->holds = true;
    while (s->writing)
        pthread_cond_wait(&s->wanted, &s->lock);
    s->writing = true;
    pthread_mutex_unlock(&s->lock);
}

static void let(struct shared *s)
{
    pthread_mutex_lock(&s->lock);
    s->holds = false;
    pthread_mutex_unlock(&s->lock);
    writer_give(s);
}

static void lengthen(struct shared *s, struct db *db)
{
    bool more = true;

    while (more) {
        hold(s);
        more = ljs__db_lengthen(db);
        let(s);
        if (more)
            ljs__db_sync_log(db);
    }
}

static ljs_err copy_back(struct shared *s, struct db *db, bool to_the_end)
{
    ljs_err err = ljs__db_copy_back(db);

    if (!err && to_the_end) {
        hold(s);
        err = ljs__db_copy_back(db);
        let(s);
    }
    return err;
}

static void *keep(void *user)
{
    struct shared *s = user;
    struct db *db = NULL;

    pthread_mutex_lock(&s->lock);
    while (!s->ends) {
        bool most = s->log >= LOG_MOST;
        ljs_err err = LJS_OK;

        if (!s->copy) {
            pthread_cond_wait(&s->wanted, &s->lock);
            continue;
        }
        s->copy = false;
        pthread_mutex_unlock(&s->lock);
        if (!db && !(err = ljs__db_open(&db, &s->file, false)))
            lengthen(s, db);
        if (!err)
            err = copy_back(s, db, most);
        if (err) {
            ljs__db_close(db);
            db = NULL;
        }
        pthread_mutex_lock(&s->lock);
        s->failed |= err;
    }
    pthread_mutex_unlock(&s->lock);
    ljs__db_close(db);
    return NULL;
}

/* The host's signals are for its own threads. */
static bool begin_keeping(struct shared *s)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    s->kept = !pthread_create(&s->keeper, NULL, keep, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return s->kept;
}

static void end_keeping(struct shared *s)
{
    if (!s->kept)
        return;
    pthread_mutex_lock(&s->lock);
    s->ends = true;
    pthread_cond_signal(&s->wanted);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->keeper, NULL);
}

/* Under the lock, after a commit: has the log grown by another step? */
static void watch_log(struct shared *s)
{
    uint64_t log = s->writer ? s->writer->log : 0;

    if (log < s->log)
        s->log = 0; /* it has begun anew */
    if (log < s->log + LOG_STEP)
        return;
    s->log = log;
    if (s->kept || begin_keeping(s)) {
        s->copy = true;
        pthread_cond_signal(&s->wanted);
    } else {
        s->failed = true;
    }
}

/* ---- writing ---- */

static ljs_err transact(struct shared *s, struct wish *wishes, bool copy)
{
    ljs_err err = LJS_OK;

    stop_looking(s);
    drop_broken(s);
    if (!s->writer)
        err = ljs__db_open(&s->writer, &s->file, true);
    if (!err)
        err = ljs__db_transact(s->writer, wishes);
    if (!err && copy && ljs__db_copy_back(s->writer))
        err = LJS_E_STORE; /* whatever it was: all is committed */
    drop_broken(s);
    return err;
}

/* Whoever comes while nobody writes becomes the writer, for all who wait by then. */
static ljs_err commit(void *self, ljs_change *changes, size_t changes_len)
{
    struct shared *s = self;
    struct wish me = { .changes = changes, .changes_len = changes_len };

    pthread_mutex_lock(&s->lock);
    *s->wishes_end = &me;
    s->wishes_end = &me.next;
    while (!me.done && (s->writing || s->holds))
        pthread_cond_wait(&s->done, &s->lock);
    if (!me.done) {
        struct wish *wishes = s->wishes;
        bool copy = s->failed;
        ljs_err err;

        s->wishes = NULL;
        s->wishes_end = &s->wishes;
        s->writing = true;
        s->failed = false;
        pthread_mutex_unlock(&s->lock);
        err = transact(s, wishes, copy);
        pthread_mutex_lock(&s->lock);
        watch_log(s);
        stop_writing(s);
        for (; wishes; wishes = wishes->next) {
            wishes->err = err;
            wishes->done = true;
        }
        pthread_cond_broadcast(&s->done);
    }
    pthread_mutex_unlock(&s->lock);
    return me.err;
}

/* ---- opening and closing ---- */

static void close_shared(void *self)
{
    struct shared *s = self;

    end_keeping(s);
    for (struct db *db = s->idle, *next; db; db = next) {
        next = db->next;
        ljs__db_close(db);
    }
    ljs__db_close(s->writer);
    pthread_cond_destroy(&s->done);
    pthread_cond_destroy(&s->wanted);
    pthread_mutex_destroy(&s->lock);
    free(s->file.path);
    free(s);
}

static const ljs_store_ops shared_ops = {
    .struct_size = sizeof(ljs_store_ops),
    .get = get,
    .commit = commit,
    .each = each,
    .close = close_shared,
    .count = count,
    .copy = copy,
};

ljs_err ljs_store_sqlite(ljs_store **out, const char *path)
{
    struct shared *s;
    struct stat st;
    ljs_err err;

    *out = NULL;
    if ((err = ljs__init()))
        return err;
    if (!ljs__db_threads())
        return LJS_E_MISSING;
    if (!(s = calloc(1, sizeof *s)))
        return LJS_E_NOMEM;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->done, NULL);
    pthread_cond_init(&s->wanted, NULL);
    s->wishes_end = &s->wishes;
    /* mknod and not open: see sqlite.c on descriptors and locks.  SQLite gives the log and
     * the wal-index the mode of the database. */
    err = LJS_E_STORE;
    if (mknod(path, S_IFREG | 0600, 0) && errno != EEXIST)
        goto out;
    if (!(s->file.path = realpath(path, NULL)) || stat(s->file.path, &st) || !S_ISREG(st.st_mode) ||
        ljs__is_lost(s->file.path, &st))
        goto out;
    s->file.dev = st.st_dev;
    s->file.ino = st.st_ino;
    if ((err = ljs__db_open(&s->writer, &s->file, true)))
        goto out;
    s->file.born = true;
    /* A reader too, now: while the disk fails, and nobody can write, no other could be opened. */
    if ((err = ljs__db_open(&s->idle, &s->file, false)))
        goto out;
    s->idle_len = 1;
    return ljs__store_with_views(out, &shared_ops, &views, s); /* takes s, even when it fails */
out:
    close_shared(s);
    return err;
}
