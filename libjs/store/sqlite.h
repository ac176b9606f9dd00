/* sqlite.h -- a connection to the one file of a store, for one thread at a time; shared.c has many threads use
 * several of them.  Of a connection that met a fault nothing but its end is asked any more. */
#ifndef LJS_STORE_SQLITE_H
#define LJS_STORE_SQLITE_H

#include "store/page.h"

#include <sys/types.h>

/* Which file it is: another one put in its place is not ours. */
struct db_file {
    char *path; /* absolute: the store outlives a chdir() */
    dev_t dev;
    ino_t ino;
    bool born; /* it was ours once, so if it is empty now it is lost, and not new */
};

struct db {
    struct db *next; /* for whoever keeps several */
    bool broken;     /* it met a fault */
    uint64_t log;    /* of who writes: octets of the pages in the log after the last commit */
};

/* A call of commit, waiting. */
struct wish {
    ljs_change *changes;
    size_t changes_len;
    ljs_err err;
    bool done;
    struct wish *next;
};

bool ljs__db_threads(void); /* can SQLite, as it was built, be used from several? */

/* Waits for another process that lays the file out, or needs it for itself.  Who `writes` may be asked to transact. */
ljs_err ljs__db_open(struct db **out, const struct db_file *file, bool writes);
void ljs__db_close(struct db *db); /* NULL is taken */

/* All that is read until the end is of one moment, that of the first; it keeps nobody from writing. */
ljs_err ljs__db_begin(struct db *db);
void ljs__db_end(struct db *db);

ljs_err ljs__db_get(ljs_buf *out, uint64_t *version, struct db *db, const uint8_t *key, size_t key_len);
ljs_err ljs__db_keys(struct page *page, struct db *db, const uint8_t *from, size_t from_len);
ljs_err ljs__db_tick(uint64_t *out, struct db *db); /* the last version given out, to any key */
ljs_err ljs__db_copy(struct db *db, const char *path);

/* All that was wished for in one transaction, and so with one sync.  LJS_E_STORE, too, when another process kept the
 * file all the time: then nothing is wrong with it. */
ljs_err ljs__db_transact(struct db *db, struct wish *wishes);

/* Copies the log back into the database as far as nobody reads what would be overwritten, and keeps nobody waiting.
 * When that is all of the log, which takes that nobody commits meanwhile, the next commit begins it anew. */
ljs_err ljs__db_copy_back(struct db *db);
/* Some zeros at the end of a log that has not its full size yet.  What is written over them later needs no new blocks,
 * and to sync it nothing of the file system's own journal.  False when there is no more to do; nobody may want to
 * commit meanwhile, but for the sync of the zeros. */
bool ljs__db_lengthen(struct db *db);
void ljs__db_sync_log(struct db *db);

#endif
