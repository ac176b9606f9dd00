/** @file store.h
 *  Where records live.  Who only uses a store needs these constructors and server.h;
 *  who writes one, or reads one directly, see backend.h. */
#ifndef LORAJS_STORE_H
#define LORAJS_STORE_H

#include <lorajs/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ljs_store ljs_store; /**< a map of versioned values */

/** In memory, gone with the process: for tests, and for who replays his own log. */
LJS_MUST ljs_err ljs_store_memory(ljs_store **out);
/** One SQLite file (WAL, synchronous=FULL), made with mode 0600 when it is not there.
 *  Several processes may use it at once.  Who commits much has a thread beside it from
 *  some 4 MiB on, for which no signal is and which ljs_store_free() ends: it copies the
 *  log back into the file, so that no commit waits for that.  The log stays at 16 MiB.
 *  @return ::LJS_E_STORE when the file cannot be opened, is no database, or is one of
 *  something else; ::LJS_E_VERSION when a newer lorajs laid it out */
LJS_MUST ljs_err ljs_store_sqlite(ljs_store **out, const char *path);
/** All of a database into its one file, without a log beside it: for who moves the file.  Its next user
 *  begins a log again.  @return ::LJS_E_STATE while somebody has it open, ::LJS_E_STORE, ::LJS_E_VERSION */
LJS_MUST ljs_err ljs_store_sqlite_fold(const char *path);
/** Close and free; NULL is taken. */
LJS_API void ljs_store_free(ljs_store *store);

#ifdef __cplusplus
}
#endif
#endif
