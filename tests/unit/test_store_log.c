/* The log of the SQLite store: who copies it back and makes it longer, and that it begins anew. */
#include "contract/contract.h"
#include "store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h> /* to be who else writes */

enum {
    VALUE = 200000,      /* octets of a value: a commit of some fifty pages */
    LOG_MOST = 16777216, /* octets of a log that has begun anew */
    LENGTHEN = 1 << 20,  /* octets by which it is made longer */
    COMMITS_MOST = 2000, /* some eighty are enough, unless the other thread gets no processor */
    STEP_COMMITS = 50,   /* more than twice what the log is copied back after */
    PATIENCE_MS = 30000,
    CHASE_MS = 20,    /* how long a copy waits for another commit */
    CHASE_MOST = 400, /* four times what fills the log */
};

/* ---- who syncs the database ---- */

static atomic_uint copied, copied_by_us; /* syncs of it, by whomever, and by the thread that runs the tests */
static atomic_bool fails;
static atomic_bool chased; /* no copy is synced before there was one more commit, unless commits wait for it */
static atomic_uint commits;
static pthread_t us;

static void wait_a_moment(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

/* In the place of the C library's: every sync of this process comes by here, SQLite's too. */
static int watched_sync(int fd, long call)
{
    char link[40], path[300];
    ssize_t len;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    len = readlink(link, path, sizeof path - 1);
    path[len > 0 ? len : 0] = 0;
    if (len > 9 && !strcmp(path + len - 9, "/store.db")) {
        copied++;
        copied_by_us += pthread_equal(pthread_self(), us) != 0;
        if (fails) {
            errno = EIO;
            return -1;
        }
        for (unsigned before = commits, ms = 0; chased && commits == before && ms < CHASE_MS; ms++)
            wait_a_moment();
    }
    return (int)syscall(call, fd);
}

__attribute__((visibility("default"))) int fsync(int fd);
__attribute__((visibility("default"))) int fdatasync(int fd);

int fsync(int fd)
{
    return watched_sync(fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return watched_sync(fd, SYS_fdatasync);
}

/* In the place of SQLite's (--wrap): how long a connection of the store waits for who else writes. */
static bool waits_for_nobody;

int __real_sqlite3_busy_timeout(sqlite3 *db, int ms);
int __wrap_sqlite3_busy_timeout(sqlite3 *db, int ms);

int __wrap_sqlite3_busy_timeout(sqlite3 *db, int ms)
{
    return __real_sqlite3_busy_timeout(db, waits_for_nobody ? 0 : ms);
}

/* ---- a store, and its log ---- */

struct place {
    char *dir;
    ljs_store *store;
    char path[300], value[VALUE + 1];
};

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);

    *state = p;
    us = pthread_self();
    p->dir = contract_dir();
    snprintf(p->path, sizeof p->path, "%s/store.db", p->dir);
    memset(p->value, 'v', VALUE);
    return ljs_store_sqlite(&p->store, p->path);
}

static int tear_down(void **state)
{
    struct place *p = *state;

    fails = chased = false;
    ljs_store_free(p->store);
    contract_dir_remove(p->dir);
    free(p);
    return 0;
}

/* All of it another than before, or SQLite would write no page of it. */
static ljs_err write_some(struct place *p)
{
    memset(p->value, p->value[0] == 'v' ? 'w' : 'v', VALUE);
    return contract_put(p->store, "k", contract_version(p->store, "k"), p->value);
}

static size_t log_size(const struct place *p)
{
    char path[310];
    struct stat st;

    snprintf(path, sizeof path, "%s-wal", p->path);
    assert_int_equal(stat(path, &st), 0);
    return (size_t)st.st_size;
}

/* How often it has begun anew. */
static uint32_t log_number(const struct place *p)
{
    char path[310];
    uint8_t header[16] = { 0 };
    int fd;

    snprintf(path, sizeof path, "%s-wal", p->path);
    assert_true((fd = open(path, O_RDONLY)) >= 0);
    assert_int_equal(read(fd, header, sizeof header), sizeof header);
    close(fd);
    return (uint32_t)header[12] << 24 | (uint32_t)header[13] << 16 | (uint32_t)header[14] << 8 | header[15];
}

/* When the database was, which no commit does. */
static struct timespec written(const struct place *p)
{
    struct stat st;

    assert_int_equal(stat(p->path, &st), 0);
    return st.st_mtim;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* ---- commits leave it to another thread ---- */

static void test_no_commit_copies_back(void **state)
{
    struct place *p = *state;
    uint32_t first;

    assert_int_equal(write_some(p), LJS_OK);
    first = log_number(p);
    copied = copied_by_us = 0;
    for (unsigned i = 0; i < COMMITS_MOST && (log_number(p) == first || log_size(p) != LOG_MOST); i++)
        assert_int_equal(write_some(p), LJS_OK);
    assert_true(log_number(p) > first);
    assert_int_equal(log_size(p), LOG_MOST);
    assert_true(copied > 0);
    assert_int_equal(copied_by_us, 0);
    contract_expect(p->store, "k", p->value);

    for (unsigned round = 0; round < 3; round++) { /* from the beginning as before: one copy may have been on its way */
        struct timespec before = written(p);

        for (unsigned i = 0; i < STEP_COMMITS && same_time(written(p), before); i++)
            assert_int_equal(write_some(p), LJS_OK);
        for (unsigned ms = 0; ms < PATIENCE_MS && same_time(written(p), before); ms++)
            wait_a_moment();
        assert_false(same_time(written(p), before));
    }
}

/* However many commit, all of it is copied in the end. */
static void test_commits_while_it_is_copied(void **state)
{
    struct place *p = *state;
    uint32_t first;

    assert_int_equal(write_some(p), LJS_OK);
    first = log_number(p);
    for (chased = true; commits < CHASE_MOST && log_number(p) == first; commits++)
        assert_int_equal(write_some(p), LJS_OK);
    chased = false;
    assert_true(log_number(p) > first);
    contract_expect(p->store, "k", p->value);
}

/* ---- it is made longer, but not while somebody else writes to it ---- */

static struct db *keeper_of(const struct place *p)
{
    char *path = strdup(p->path);
    struct db *db;
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    waits_for_nobody = true;
    assert_int_equal(ljs__db_open(&db, &(struct db_file){ path, st.st_dev, st.st_ino, true }, false), LJS_OK);
    waits_for_nobody = false;
    free(path);
    return db;
}

static void run_sql(sqlite3 *db, const char *sql)
{
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void test_another_writes(void **state)
{
    struct place *p = *state;
    struct db *keeper = keeper_of(p);
    sqlite3 *other;
    size_t size;

    assert_int_equal(write_some(p), LJS_OK);
    size = log_size(p);
    assert_int_equal(sqlite3_open(p->path, &other), SQLITE_OK);
    run_sql(other, "PRAGMA cache_size=1; BEGIN IMMEDIATE"); /* so what does not fit is in the log before the commit */
    run_sql(other, "UPDATE kv SET value = CAST(replace(hex(zeroblob(100000)), '0', 'x') AS BLOB) WHERE key = x'6b'");
    assert_true(log_size(p) > size);
    size = log_size(p);
    assert_false(ljs__db_lengthen(keeper));
    assert_int_equal(log_size(p), size);
    run_sql(other, "COMMIT");
    memset(p->value, 'x', VALUE);
    contract_expect(p->store, "k", p->value);

    size = log_size(p);
    assert_true(ljs__db_lengthen(keeper));
    assert_int_equal(log_size(p), size + LENGTHEN);
    contract_expect(p->store, "k", p->value);
    assert_false(keeper->broken);
    ljs__db_close(keeper);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
}

/* ---- it cannot be copied: whoever commits is told ---- */

static void test_a_fault_is_told(void **state)
{
    struct place *p = *state;
    ljs_err err = LJS_OK;
    unsigned was;

    assert_int_equal(write_some(p), LJS_OK);
    fails = true;
    for (unsigned i = 0; i < COMMITS_MOST && !err; i++)
        err = write_some(p);
    assert_int_equal(err, LJS_E_STORE);
    contract_expect(p->store, "k", p->value); /* it is there, as a fault may mean */
    fails = false;
    was = copied;
    for (unsigned i = 0; i < COMMITS_MOST && copied < was + 2; i++)
        assert_int_equal(write_some(p), LJS_OK);
    assert_true(copied >= was + 2);
    contract_expect(p->store, "k", p->value);
}

/* ---- killed while it is copied, and made longer ---- */

enum { ROUNDS = 8 };

static void count_until_killed(struct place *p, int pipe_to)
{
    ljs_store *store;

    if (ljs_store_sqlite(&store, p->path))
        _exit(1);
    for (;;) {
        uint32_t next = (uint32_t)contract_counter(store, "n") + 1;

        memset(p->value, 'a' + (int)(next % 20), VALUE);
        snprintf(p->value, 20, "%-19u", next);
        p->value[19] = ' ';
        if (contract_put(store, "n", contract_version(store, "n"), p->value))
            _exit(2);
        if (write(pipe_to, &next, sizeof next) != sizeof next)
            _exit(3);
    }
}

static void test_kill_9(void **state)
{
    struct place *p = *state;
    uint32_t told = 0;

    ljs_store_free(p->store);
    p->store = NULL;
    srand(3);
    for (unsigned round = 0; round < ROUNDS; round++) {
        int ends[2], status;
        unsigned long now;
        pid_t child;

        assert_int_equal(pipe(ends), 0);
        if (!(child = fork()))
            count_until_killed(p, ends[1]);
        close(ends[1]);
        for (unsigned left = 20 + (unsigned)rand() % 8; left; left--) /* the twentieth makes the log long */
            assert_int_equal(read(ends[0], &told, sizeof told), sizeof told);
        nanosleep(&(struct timespec){ .tv_nsec = rand() % 4000000 }, NULL);
        kill(child, SIGKILL);
        while (read(ends[0], &told, sizeof told) == sizeof told)
            ;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        close(ends[0]);
        assert_int_equal(ljs_store_sqlite(&p->store, p->path), LJS_OK);
        now = contract_counter(p->store, "n");
        assert_in_range(now, told, told + 1);
        ljs_store_free(p->store);
        p->store = NULL;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_commit_copies_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_commits_while_it_is_copied, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_writes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_fault_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kill_9, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
