#include "store/sqlite.h"

#include "base/cursor.h"
#include "base/secret.h"
#include "store/file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <sqlite3.h> /* here and nowhere else */

/* Why get returns only what survives power loss, without waiting for the writer:
 *
 *  - A reader sees the frames of the log up to mxFrame in the wal-index.  With
 *    synchronous=FULL, walFrames() of SQLite's wal.c appends the frames of a commit,
 *    syncs the log, and only then moves mxFrame (walIndexWriteHdr).  A sync that fails
 *    leaves mxFrame where it was, and the next writer overwrites the frames.  The same
 *    holds for readers in other processes, who map the same wal-index.
 *  - What remains is recovery: whoever finds no wal-index, because every process has
 *    ended or was killed, rebuilds it from all whole commits in the log, synced or not.
 *    So each new connection reads once (which recovers where it must), then syncs the
 *    log and its directory, and copies what it can into the database, before anybody
 *    gets to use it: see settle().
 *
 * A lock that this process holds on the file is gone as soon as anybody in it closes a
 * descriptor of that file (POSIX), so nothing here but SQLite ever opens it; the log
 * carries no locks. */

#define APPLICATION     1279939377 /* "LJS1", in the header of the file */
#define LAYOUT          1
#define TEXT(number)    TEXT_OF(number)
#define TEXT_OF(number) #number
#define LOG_SIZE        16777216 /* octets that the log keeps when it begins anew */
#define HEADER          "PRAGMA application_id=" TEXT(APPLICATION) "; PRAGMA user_version=" TEXT(LAYOUT) ";"

enum { BUSY_MS = 5000, TRY_MS = 50 /* of them, while it is opened */, LENGTHEN = 1 << 20, PLACED_LEN = 1 + 8 };

/* Octets of a page of a new file.  A join changes one record of some 400, and all of its page is read, written to the
 * log, synced and copied back: of many devices SQLite's own 4096 would be the slower, and with 1024 records would leave
 * a third of a page empty.  That a write which power failure cuts short harms nothing beside it (SQLite's "powersafe
 * overwrite") the log takes for granted too, whose frames are aligned to nothing. */
#define PAGE "2048"

/* The rows are of a table with a rowid and not WITHOUT ROWID: records outgrow the
 * thousand octets that an index page keeps of a row, and each() then walks the index
 * over the keys alone.  The tick is the last version given out, to any key.
 *
 * Where a key says a number (place_of()), as all do that end in an EUI, that is the row's id: it is found without the
 * index, whose pages would be as many to read again, and of devices that follow each other the rows do, too.  Every
 * other row's id is the lowest number and the version that it was made with.  An id may be taken, since two keys can
 * say one number; then it is another, and the row is found by the index, as any is that is not where its key says. */
static const char layout[] = HEADER "CREATE TABLE kv(id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE,"
                                    " version INTEGER NOT NULL, value BLOB NOT NULL);"
                                    "CREATE TABLE meta(id INTEGER PRIMARY KEY CHECK(id = 1), tick INTEGER NOT NULL);"
                                    "INSERT INTO meta VALUES(1, 0);";

static const char begin_layout[] = "PRAGMA page_size=" PAGE "; PRAGMA journal_mode=WAL; BEGIN IMMEDIATE";

static const char settings[] = "PRAGMA synchronous=FULL;"
                               "PRAGMA fullfsync=ON;"       /* where fsync alone is not enough (macOS) */
                               "PRAGMA secure_delete=ON;"   /* the sealed keys of removed devices go */
                               "PRAGMA temp_store=MEMORY;"  /* no copies in other files */
                               "PRAGMA mmap_size=0;"        /* an I/O error is an answer, not a signal */
                               "PRAGMA cell_size_check=ON;" /* corruption is found early */
                               "PRAGMA trusted_schema=OFF;"
                               "PRAGMA journal_size_limit=" TEXT(LOG_SIZE) ";";

/* Of the writer, whose pages are worth keeping: the inner ones of ten million rows and their index. */
static const char writer_settings[] = "PRAGMA cache_size=-32768;";

enum statement {
    GET,
    GET_PLACED,
    KEYS,
    TICK,
    LOOK,
    ROLLBACK,
    READER_STATEMENTS,
    BEGIN = READER_STATEMENTS,
    COMMIT,
    SAVE,
    UNDO,
    KEEP,
    SET_TICK,
    CREATE,
    REPLACE,
    REPLACE_PLACED,
    REMOVE,
    WRITER_STATEMENTS
};

/* Of a change: ?1 key, ?2 if_version, ?3 its new version, ?4 in; ?5 the row's id */
static const char *const statements[WRITER_STATEMENTS] = {
    [GET] = "SELECT version, value FROM kv WHERE key = ?1",
    [GET_PLACED] = "SELECT version, value FROM kv WHERE id = ?5 AND key = ?1",
    [KEYS] = "SELECT key FROM kv WHERE key >= ?1 ORDER BY key",
    [LOOK] = "BEGIN",
    [ROLLBACK] = "ROLLBACK",
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [SAVE] = "SAVEPOINT change_group",
    [UNDO] = "ROLLBACK TO change_group",
    [KEEP] = "RELEASE change_group",
    [TICK] = "SELECT tick FROM meta WHERE id = 1",
    [SET_TICK] = "UPDATE meta SET tick = ?1 WHERE id = 1",
    [CREATE] = "INSERT INTO kv(id, key, version, value) VALUES(?5, ?1, ?3, ?4) ON CONFLICT DO NOTHING",
    [REPLACE] = "UPDATE kv SET version = ?3, value = ?4 WHERE key = ?1 AND version = ?2",
    [REPLACE_PLACED] = "UPDATE kv SET version = ?3, value = ?4 WHERE id = ?5 AND key = ?1 AND version = ?2",
    [REMOVE] = "DELETE FROM kv WHERE key = ?1 AND version = ?2",
};

struct link {
    struct db head; /* what others see of it */
    sqlite3 *db;
    sqlite3_int64 page; /* its octets */
    sqlite3_stmt *statement[WRITER_STATEMENTS];
};

static struct link *link_of(struct db *db)
{
    return (struct link *)db; /* its first member */
}

static ljs_err err_of(int rc)
{
    return rc == SQLITE_OK ? LJS_OK : (rc & 0xff) == SQLITE_NOMEM ? LJS_E_NOMEM : LJS_E_STORE;
}

bool ljs__db_threads(void)
{
    return sqlite3_threadsafe();
}

static bool is_busy(int rc)
{
    return (rc & 0xff) == SQLITE_BUSY;
}

static void link_close(struct link *link)
{
    if (!link)
        return;
    for (size_t i = 0; i < COUNT(link->statement); i++)
        sqlite3_finalize(link->statement[i]);
    sqlite3_close(link->db);
    free(link);
}

/* What a call comes to: after a fault the connection is not used again. */
static ljs_err result(struct link *link, int rc)
{
    link->head.broken |= rc && !is_busy(rc);
    return err_of(rc);
}

static int step(sqlite3_stmt *s)
{
    int rc = sqlite3_step(s);

    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static void end(sqlite3_stmt *s)
{
    sqlite3_reset(s);
    sqlite3_clear_bindings(s); /* they are borrowed from the caller */
}

/* A statement that has no rows, once it is bound. */
static int run(struct link *link, enum statement which)
{
    sqlite3_stmt *s = link->statement[which];
    int rc = step(s);

    end(s);
    return rc;
}

/* Zero octets are a blob too, and not NULL. */
static int bind(sqlite3_stmt *s, int at, const uint8_t *in, size_t in_len)
{
    return sqlite3_bind_blob(s, at, in_len ? (const void *)in : "", (int)in_len, SQLITE_STATIC);
}

/* The number that a key says: its last eight octets, apart for each kind of key that its first octet tells. */
static sqlite3_int64 place_of(const uint8_t *key)
{
    return (sqlite3_int64)(be64(up_to_eight(key + 1, 8)) ^ (uint64_t)key[0] << 56);
}

/* The first column of the first row of `sql`, a number. */
static int ask(sqlite3_int64 *out, sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &s, NULL);

    *out = 0;
    if (!rc && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        *out = sqlite3_column_int64(s, 0);
        rc = SQLITE_OK;
    } else if (rc == SQLITE_DONE) {
        rc = SQLITE_CORRUPT;
    }
    sqlite3_finalize(s);
    return rc;
}

/* What is in the file: ours (LJS_OK), nothing yet (LJS_E_NOTFOUND), a newer layout, or
 * something else.  Asked within a transaction, so that another process does not lay it
 * out between two of the questions. */
static ljs_err examine(int *rc, sqlite3 *db)
{
    sqlite3_int64 tables, application, version;

    if ((*rc = ask(&tables, db, "SELECT count(*) FROM sqlite_schema")) ||
        (*rc = ask(&application, db, "PRAGMA application_id")) || (*rc = ask(&version, db, "PRAGMA user_version")))
        return err_of(*rc);
    if (!tables && !application && !version)
        return LJS_E_NOTFOUND;
    if (application != APPLICATION || version < 1)
        return LJS_E_STORE;
    return version > LAYOUT ? LJS_E_VERSION : LJS_OK;
}

/* Several processes may find the same file empty; BEGIN IMMEDIATE lets one lay it out. */
static ljs_err lay_out(int *rc, sqlite3 *db)
{
    ljs_err err;

    if ((*rc = sqlite3_exec(db, begin_layout, NULL, NULL, NULL)))
        return err_of(*rc);
    err = examine(rc, db);
    if (err == LJS_E_NOTFOUND)
        err = err_of(*rc = sqlite3_exec(db, layout, NULL, NULL, NULL));
    if (!err)
        err = err_of(*rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL));
    return err;
}

/* A file that was copied back from a backup need not be in WAL mode. */
static ljs_err use_wal(int *rc, sqlite3 *db)
{
    sqlite3_stmt *s = NULL;
    bool wal = false;

    if (!(*rc = sqlite3_prepare_v2(db, "PRAGMA journal_mode=WAL", -1, &s, NULL))) {
        if ((*rc = sqlite3_step(s)) == SQLITE_ROW) {
            const unsigned char *mode = sqlite3_column_text(s, 0);

            wal = mode && !strcmp((const char *)mode, "wal");
            *rc = SQLITE_OK;
        }
    }
    sqlite3_finalize(s);
    /* who cannot write to the file at all can still read it, whatever its mode */
    if (wal || sqlite3_db_readonly(db, "main") == 1)
        return LJS_OK;
    if (!*rc)
        *rc = SQLITE_BUSY; /* another connection needs the old mode a moment longer */
    return err_of(*rc);
}

/* What recovery has found in the log gets durable, and so do the names of the files. */
static ljs_err settle(const struct db_file *file, sqlite3 *db)
{
    ljs_err err = ljs__sync_log(file->path);

    /* Only tried: the disk may be full, or somebody else at it. */
    if (!err)
        sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return err;
}

/* In the place of SQLite's own, which would copy the log back in the very commit that makes it long. */
static int note_log(void *user, sqlite3 *db, const char *schema, int pages)
{
    struct link *link = user;

    (void)db, (void)schema;
    link->head.log = (uint64_t)link->page * (unsigned)pages;
    return SQLITE_OK;
}

static ljs_err link_open_once(struct link **out, int *rc, const struct db_file *file, unsigned statements_len)
{
    struct link *link = calloc(1, sizeof *link);
    struct stat st;
    ljs_err err = LJS_E_STORE;

    *out = NULL;
    *rc = SQLITE_OK;
    if (!link)
        return LJS_E_NOMEM;
    if (stat(file->path, &st) || st.st_dev != file->dev || st.st_ino != file->ino)
        goto out;
    /* Never created here: who has lost its file must not go on with an empty one. */
    if ((*rc = sqlite3_open_v2(file->path, &link->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL)) ||
        (*rc = sqlite3_busy_timeout(link->db, TRY_MS / 2)) ||
        (*rc = sqlite3_exec(link->db, settings, NULL, NULL, NULL)) ||
        (statements_len == WRITER_STATEMENTS && (*rc = sqlite3_exec(link->db, writer_settings, NULL, NULL, NULL))) ||
        (*rc = sqlite3_exec(link->db, "BEGIN", NULL, NULL, NULL))) {
        err = err_of(*rc);
        goto out;
    }
    err = examine(rc, link->db);
    sqlite3_exec(link->db, "ROLLBACK", NULL, NULL, NULL);
    if (err == LJS_E_NOTFOUND)
        err = file->born ? LJS_E_STORE : lay_out(rc, link->db);
    if (!err)
        err = use_wal(rc, link->db);
    if (!err)
        err = settle(file, link->db);
    if (!err)
        err = err_of(*rc = ask(&link->page, link->db, "PRAGMA page_size"));
    if (!err && statements_len == WRITER_STATEMENTS)
        sqlite3_wal_hook(link->db, note_log, link);
    for (unsigned i = 0; !err && i < statements_len; i++)
        err = err_of(*rc = sqlite3_prepare_v3(link->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                                              &link->statement[i], NULL));
    if (!err)
        err = err_of(*rc = sqlite3_busy_timeout(link->db, BUSY_MS));
out:
    if (err) {
        link_close(link);
        link = NULL;
    }
    *out = link;
    return err;
}

/* SQLite does not call its own busy handler where two connections change the mode of a new file at once.  A try ends
 * with the first lock that it does not get, for which SQLite waits half of its time; the other half is waited here. */
ljs_err ljs__db_open(struct db **out, const struct db_file *file, bool writes)
{
    struct link *link;
    ljs_err err;
    int rc;

    *out = NULL;
    for (unsigned waited = 0;; waited += TRY_MS) {
        err = link_open_once(&link, &rc, file, writes ? WRITER_STATEMENTS : READER_STATEMENTS);
        if (!err)
            *out = &link->head;
        if (!err || !is_busy(rc) || waited >= BUSY_MS)
            return err;
        nanosleep(&(struct timespec){ .tv_nsec = TRY_MS / 2 * 1000000 }, NULL);
    }
}

void ljs__db_close(struct db *db)
{
    link_close(link_of(db));
}

/* ---- reading ---- */

ljs_err ljs__db_begin(struct db *db)
{
    return result(link_of(db), run(link_of(db), LOOK));
}

void ljs__db_end(struct db *db)
{
    (void)result(link_of(db), run(link_of(db), ROLLBACK));
}

static int read_row(ljs_err *err, ljs_buf *out, uint64_t *version, sqlite3_stmt *row)
{
    sqlite3_int64 v = sqlite3_column_int64(row, 0);
    const void *value = sqlite3_column_blob(row, 1); /* NULL when there is nothing in it */
    int len = sqlite3_column_bytes(row, 1);

    if (v <= 0 || sqlite3_column_type(row, 1) != SQLITE_BLOB || len > LJS_STORE_VALUE_MAX)
        return SQLITE_CORRUPT;
    if (len && !value)
        return SQLITE_NOMEM;
    *version = (uint64_t)v;
    *err = ljs_buf_copy(out, value, (size_t)len);
    return SQLITE_OK;
}

/* `err` stays where there is none. */
static int look_up(ljs_err *err, ljs_buf *out, uint64_t *version, struct link *link, enum statement which,
                   const uint8_t *key, size_t key_len)
{
    sqlite3_stmt *row = link->statement[which];
    int rc = bind(row, 1, key, key_len);

    if (!rc && which == GET_PLACED)
        rc = sqlite3_bind_int64(row, 5, place_of(key));
    if (!rc && (rc = step(row)) == SQLITE_ROW)
        rc = read_row(err, out, version, row);
    end(row);
    return rc;
}

ljs_err ljs__db_get(ljs_buf *out, uint64_t *version, struct db *db, const uint8_t *key, size_t key_len)
{
    struct link *link = link_of(db);
    ljs_err err = LJS_E_NOTFOUND;
    int rc = SQLITE_OK;

    if (key_len == PLACED_LEN)
        rc = look_up(&err, out, version, link, GET_PLACED, key, key_len);
    if (!rc && err == LJS_E_NOTFOUND)
        rc = look_up(&err, out, version, link, GET, key, key_len);
    return rc ? result(link, rc) : err;
}

ljs_err ljs__db_keys(struct page *page, struct db *db, const uint8_t *from, size_t from_len)
{
    struct link *link = link_of(db);
    sqlite3_stmt *row = link->statement[KEYS];
    bool more = true;
    int rc = bind(row, 1, from, from_len);

    while (!rc && more && (rc = step(row)) == SQLITE_ROW) {
        const void *key = sqlite3_column_blob(row, 0);
        int key_len = sqlite3_column_bytes(row, 0);

        rc = !key || key_len > LJS_STORE_KEY_MAX ? SQLITE_CORRUPT : SQLITE_OK;
        more = !rc && ljs__page_add(page, key, (size_t)key_len);
    }
    end(row);
    return result(link, rc);
}

static int take_tick(sqlite3_int64 *tick, struct link *link)
{
    sqlite3_stmt *s = link->statement[TICK];
    int rc = step(s);

    *tick = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : -1;
    end(s);
    return *tick >= 0 ? SQLITE_OK : rc == SQLITE_OK || rc == SQLITE_ROW ? SQLITE_CORRUPT : rc;
}

ljs_err ljs__db_tick(uint64_t *out, struct db *db)
{
    sqlite3_int64 tick = 0;
    int rc = take_tick(&tick, link_of(db));

    *out = (uint64_t)tick;
    return result(link_of(db), rc);
}

/* VACUUM reads as of one moment while others write, leaves out what was deleted, and has pages of today's size. */
ljs_err ljs__db_copy(struct db *db, const char *path)
{
    struct link *link = link_of(db);
    sqlite3_stmt *vacuum = NULL;
    int rc;

    if (!(rc = sqlite3_exec(link->db, "PRAGMA page_size=" PAGE, NULL, NULL, NULL)) &&
        !(rc = sqlite3_prepare_v2(link->db, "VACUUM INTO ?1", -1, &vacuum, NULL)) &&
        !(rc = sqlite3_bind_text(vacuum, 1, path, -1, SQLITE_STATIC)))
        rc = step(vacuum);
    sqlite3_finalize(vacuum);
    return result(link, rc);
}

/* ---- writing ---- */

/* What it comes to where the row's id is `id`; NULL: whatever it is, or none that is in use.  An if_version above 2^63
 * is negative here, and in no row. */
static int try(bool *applied, struct link *w, enum statement which, const ljs_change *c, sqlite3_int64 version,
               const sqlite3_int64 *id)
{
    sqlite3_stmt *s = w->statement[which];
    int rc;

    if ((rc = bind(s, 1, c->key, c->key_len)) || (rc = sqlite3_bind_int64(s, 2, (sqlite3_int64)c->if_version)) ||
        (c->in && ((rc = sqlite3_bind_int64(s, 3, version)) || (rc = bind(s, 4, c->in, c->in_len)))) ||
        (id && (rc = sqlite3_bind_int64(s, 5, *id)))) {
        end(s);
        return rc;
    }
    rc = run(w, which);
    *applied = !rc && sqlite3_changes(w->db) == 1;
    return rc;
}

static int create(bool *applied, struct link *w, const ljs_change *c, sqlite3_int64 version)
{
    const sqlite3_int64 next = INT64_MIN + version;
    int rc = SQLITE_OK;

    if (c->key_len == PLACED_LEN)
        rc = try(applied, w, CREATE, c, version, &(sqlite3_int64){ place_of(c->key) });
    if (!rc && !*applied) /* the key is there, or its id is taken */
        rc = try(applied, w, CREATE, c, version, &next);
    if (!rc && !*applied)
        rc = try(applied, w, CREATE, c, version, NULL);
    return rc;
}

static int apply(bool *applied, struct link *w, const ljs_change *c, sqlite3_int64 version)
{
    int rc = SQLITE_OK;

    *applied = false;
    if (!c->in)
        return try(applied, w, REMOVE, c, version, NULL);
    if (!c->if_version)
        return create(applied, w, c, version);
    if (c->key_len == PLACED_LEN)
        rc = try(applied, w, REPLACE_PLACED, c, version, &(sqlite3_int64){ place_of(c->key) });
    if (!rc && !*applied)
        rc = try(applied, w, REPLACE, c, version, NULL);
    return rc;
}

/* Where the group is all of its transaction, or a single change, nothing need be undone but by ROLLBACK. */
static int apply_group(bool *applied, struct link *w, ljs_change *changes, size_t len, bool alone, sqlite3_int64 *tick)
{
    bool save = len > 1 && !alone;
    int rc = save ? run(w, SAVE) : SQLITE_OK;

    *applied = true;
    for (size_t i = 0; !rc && *applied && i < len; i++)
        rc = apply(applied, w, &changes[i], ++*tick);
    if (!rc && save && !*applied)
        rc = run(w, UNDO);
    if (!rc && save)
        rc = run(w, KEEP);
    for (size_t i = 0; i < len; i++)
        changes[i].result = *applied ? LJS_OK : LJS_E_CONFLICT;
    return rc;
}

static int apply_all(bool *applied, struct link *w, const struct wish *wish, bool alone, sqlite3_int64 *tick)
{
    ljs_change *changes = wish->changes;
    size_t len = wish->changes_len;
    int rc = SQLITE_OK;

    for (size_t from = 0, to; !rc && from < len; from = to) {
        bool group_applied;

        for (to = from; to < len && changes[to].group == changes[from].group;)
            to++;
        rc = apply_group(&group_applied, w, changes + from, to - from, alone && to - from == len, tick);
        *applied |= group_applied;
    }
    return rc;
}

static int put_tick(struct link *w, sqlite3_int64 tick)
{
    sqlite3_stmt *s = w->statement[SET_TICK];
    int rc = sqlite3_bind_int64(s, 1, tick);

    return rc ? rc : run(w, SET_TICK);
}

ljs_err ljs__db_transact(struct db *db, struct wish *wishes)
{
    struct link *w = link_of(db);
    sqlite3_int64 tick = 0;
    bool applied = false;
    int moved = 0, rc;
    ljs_err err;

    /* What is written to a file that has no name any more survives nothing. */
    if (sqlite3_file_control(w->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) || moved)
        rc = SQLITE_READONLY_DBMOVED;
    else if (is_busy(rc = run(w, BEGIN)))
        return LJS_E_STORE; /* another process kept the file all the time; nothing is wrong with it */
    if (!rc)
        rc = take_tick(&tick, w);
    for (struct wish *wish = wishes; !rc && wish; wish = wish->next)
        rc = apply_all(&applied, w, wish, !wishes->next, &tick);
    if (!rc && applied)
        rc = put_tick(w, tick);
    err = err_of(rc);
    if (!rc && (rc = run(w, applied ? COMMIT : ROLLBACK)))
        err = LJS_E_STORE; /* also without memory: the log may have it all, for whoever comes after a crash */
    w->head.broken = rc;   /* closing rolls back; what a failed sync has left in memory is not trusted */
    return err;
}

ljs_err ljs__db_copy_back(struct db *db)
{
    int rc = sqlite3_wal_checkpoint_v2(link_of(db)->db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

    return is_busy(rc) ? LJS_OK : result(link_of(db), rc); /* another process is at it */
}

/* SQLite's handle of the log; of its descriptors there is none of ours. */
static sqlite3_file *log_of(struct link *link)
{
    sqlite3_file *log = NULL;

    if (sqlite3_file_control(link->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) || !log || !log->pMethods)
        return NULL;
    return log;
}

bool ljs__db_lengthen(struct db *db)
{
    static const char zeros[1 << 16];
    struct link *link = link_of(db);
    sqlite3_file *log = log_of(link);
    sqlite3_int64 size = 0, end = 0;

    if (!log || log->pMethods->xFileSize(log, &size) || size >= LOG_SIZE)
        return false;
    if (sqlite3_exec(link->db, "BEGIN IMMEDIATE", NULL, NULL, NULL)) /* so that nobody else writes there */
        return false;
    if (!log->pMethods->xFileSize(log, &size)) {
        end = size + LENGTHEN < LOG_SIZE ? size + LENGTHEN : LOG_SIZE;
        for (int n; size < end; size += n) {
            n = (int)(end - size < (int)sizeof zeros ? end - size : (int)sizeof zeros);
            if (log->pMethods->xWrite(log, zeros, n, size))
                break;
        }
    }
    return !sqlite3_exec(link->db, "ROLLBACK", NULL, NULL, NULL) && end && size == end;
}

void ljs__db_sync_log(struct db *db)
{
    sqlite3_file *log = log_of(link_of(db));

    if (log)
        log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
}

/* ---- all of it into one file ---- */

ljs_err ljs_store_sqlite_fold(const char *path)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    ljs_err err = ljs__init();
    int rc = SQLITE_OK;

    if (err)
        return err;
    if (!(rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL)) &&
        !(rc = sqlite3_exec(db, settings, NULL, NULL, NULL)))
        err = examine(&rc, db);
    if (!err && !rc && !(rc = sqlite3_prepare_v2(db, "PRAGMA journal_mode=DELETE", -1, &s, NULL)))
        rc = sqlite3_step(s) == SQLITE_ROW ? SQLITE_OK : SQLITE_BUSY;
    if (!err && !rc && strcmp((const char *)sqlite3_column_text(s, 0), "delete") != 0)
        rc = SQLITE_BUSY; /* the log is somebody else's, too */
    sqlite3_finalize(s);
    sqlite3_close(db);
    if (!err)
        err = is_busy(rc) ? LJS_E_STATE : err_of(rc);
    return err == LJS_E_NOTFOUND ? LJS_E_STORE : err;
}
