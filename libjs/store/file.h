/* file.h -- what a store does to files by their names. */
#ifndef LJS_STORE_FILE_H
#define LJS_STORE_FILE_H

#include <lorajs/base.h>

#include <stdbool.h>
#include <sys/stat.h>

/* A file and its name are durable; one that is not there is none the worse. */
ljs_err ljs__sync_name(const char *path);
/* Likewise the log beside a database, and the name of both. */
ljs_err ljs__sync_log(const char *path);
/* SQLite takes an empty file for a new database and throws away the log beside it.
 * A log with something in it belongs to a database that is lost. */
bool ljs__is_lost(const char *path, const struct stat *st);

#endif
