/* What SQLite itself takes: a value of a record's size read and written again for each join, in WAL mode
 * and synchronous=FULL, with 1, 8 or 64 joins in a transaction.
 *
 *     bench_sqlite_floor FIXTURES DATABASE
 *
 * A worker (worker.h); what it tells are means, since what a commit leaves for later is part of its price. */
#include "worker.h"

#include <sqlite3.h>

#include <stdio.h>
#include <string.h>

enum { VALUE = 340 };

static sqlite3 *db;
static sqlite3_stmt *get, *put;

static void must_exec(const char *sql)
{
    MUST(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
}

static void open_database(const char *path)
{
    uint8_t value[VALUE] = { 1 };
    sqlite3_stmt *add;

    remove(path);
    MUST(sqlite3_open(path, &db) == SQLITE_OK);
    must_exec("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
              "CREATE TABLE record (key BLOB PRIMARY KEY, value BLOB NOT NULL, version INTEGER NOT NULL)");
    MUST(!sqlite3_prepare_v2(db, "SELECT value, version FROM record WHERE key = ?1", -1, &get, NULL) &&
         !sqlite3_prepare_v2(db, "UPDATE record SET value = ?2, version = version + 1 WHERE key = ?1 AND version = ?3",
                             -1, &put, NULL) &&
         !sqlite3_prepare_v2(db, "INSERT INTO record VALUES (?1, ?2, 1)", -1, &add, NULL));
    must_exec("BEGIN");
    for (size_t i = 0; i < JOINS; i++) {
        MUST(!sqlite3_bind_blob(add, 1, fixtures->join[i].dev_eui, 8, SQLITE_STATIC) &&
             !sqlite3_bind_blob(add, 2, value, sizeof value, SQLITE_STATIC) && sqlite3_step(add) == SQLITE_DONE &&
             !sqlite3_reset(add));
    }
    must_exec("COMMIT");
    sqlite3_finalize(add);
}

static void join(size_t i)
{
    const uint8_t *key = fixtures->join[i].dev_eui;
    uint8_t value[VALUE];
    sqlite3_int64 version;

    MUST(!sqlite3_bind_blob(get, 1, key, 8, SQLITE_STATIC) && sqlite3_step(get) == SQLITE_ROW &&
         sqlite3_column_bytes(get, 0) == VALUE);
    memcpy(value, sqlite3_column_blob(get, 0), sizeof value);
    version = sqlite3_column_int64(get, 1);
    sqlite3_reset(get);
    value[version % VALUE] ^= 0x5a;
    MUST(!sqlite3_bind_blob(put, 1, key, 8, SQLITE_STATIC) &&
         !sqlite3_bind_blob(put, 2, value, sizeof value, SQLITE_STATIC) && !sqlite3_bind_int64(put, 3, version) &&
         sqlite3_step(put) == SQLITE_DONE && sqlite3_changes(db) == 1 && !sqlite3_reset(put));
}

static void pass(int per_commit, size_t first, size_t last)
{
    for (size_t at = first; at < last; at += (size_t)per_commit) {
        must_exec("BEGIN IMMEDIATE");
        for (size_t i = at; i < at + (size_t)per_commit; i++)
            join(i);
        must_exec("COMMIT");
    }
}

static bool check(int per_commit, const struct fixture *f, size_t i)
{
    (void)per_commit, (void)f;
    join(i);
    return true;
}

static const struct work works[] = {
    { .name = "sqlite-1", .which = 1, .check = check, .pass = pass, .mean = true },
    { .name = "sqlite-8", .which = 8, .check = check, .pass = pass, .mean = true },
    { .name = "sqlite-64", .which = 64, .check = check, .pass = pass, .mean = true },
};

int main(int argc, char **argv)
{
    MUST(argc == 3);
    fixtures = fixtures_read(argv[1]);
    open_database(argv[2]);
    return worker(2, argv, works, sizeof works / sizeof *works);
}
