/* What SQLite itself takes: a value of a record's size read and written again for each join, in WAL mode
 * and synchronous=FULL, with 1, 8 or 64 joins in a transaction.
 *
 *     bench_sqlite_floor FIXTURES DATABASE             of the devices of the fixtures, one after another
 *     bench_sqlite_floor FIXTURES DATABASE DEVICES     of so many, drawn at random: what many cost SQLite itself
 *
 * A worker (worker.h); what it tells are means, since what a commit leaves for later is part of its price. */
#include "worker.h"

#include <sqlite3.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE = 340 };

static sqlite3 *db;
static sqlite3_stmt *get, *put;
static uint64_t devices; /* 0: those of the fixtures */

static void must_exec(const char *sql)
{
    MUST(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
}

/* The n-th has an EUI of its own, as in growth.c. */
static void name_device(uint8_t key[8], uint64_t n)
{
    memcpy(key, fixtures->join[n % JOINS].dev_eui, 8);
    for (size_t i = 0; devices && i < 4; i++)
        key[4 + i] = (uint8_t)(n >> (24 - 8 * i));
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
    must_exec("PRAGMA cache_size=-262144; BEGIN");
    for (uint64_t i = 0; i < (devices ? devices : JOINS); i++) {
        uint8_t key[8];

        name_device(key, i);
        MUST(!sqlite3_bind_blob(add, 1, key, sizeof key, SQLITE_STATIC) &&
             !sqlite3_bind_blob(add, 2, value, sizeof value, SQLITE_STATIC) && sqlite3_step(add) == SQLITE_DONE &&
             !sqlite3_reset(add));
    }
    must_exec("COMMIT; PRAGMA cache_size=-2000"); /* SQLite's own again */
    sqlite3_finalize(add);
}

static void join(size_t i)
{
    uint8_t key[8], value[VALUE];
    sqlite3_int64 version;

    name_device(key, devices ? random_number() % devices : i);
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
    MUST(argc == 3 || argc == 4);
    fixtures = fixtures_read(argv[1]);
    devices = argc == 4 ? strtoull(argv[3], NULL, 10) : 0;
    open_database(argv[2]);
    return worker(2, argv, works, sizeof works / sizeof *works);
}
