/* The SQLite store: the contract, and then what disks, processes and operators do to it. */
#include "contract/contract.h"

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
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h> /* to make files that are not ours */

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- a disk of which we know what it has been made to keep ---- */

enum { DB, LOG, FILES };
static const char *const file_names[FILES] = { "store.db", "store.db-wal" };

static struct {
    const char *dir; /* the folder that is watched */
    bool fails;      /* each sync answers EIO */
    void (*before)(void);
    unsigned syncs[FILES];
    struct kept {
        uint8_t *data;
        size_t len;
        bool synced, named;
    } kept[FILES];
} disk;

static uint8_t *read_file(size_t *len, const char *path)
{
    int fd = open(path, O_RDONLY);
    struct stat st;
    uint8_t *data;

    *len = 0;
    if (fd < 0)
        return NULL;
    assert_int_equal(fstat(fd, &st), 0);
    assert_non_null(data = malloc((size_t)st.st_size + 1));
    while (*len < (size_t)st.st_size) {
        ssize_t n = pread(fd, data + *len, (size_t)st.st_size - *len, (off_t)*len);

        assert_true(n > 0);
        *len += (size_t)n;
    }
    close(fd);
    return data;
}

static void write_file(const char *path, const uint8_t *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    close(fd);
}

static char *in_dir(const char *dir, const char *name)
{
    static _Thread_local char path[4][300];
    static _Thread_local unsigned n;

    n = (n + 1) % 4;
    snprintf(path[n], sizeof path[n], "%s/%s", dir, name);
    return path[n];
}

static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER; /* the store has a thread that syncs, too */

static void sync_kept(const char *path)
{
    bool is_dir = !strcmp(path, disk.dir);

    pthread_mutex_lock(&kept_lock);
    for (int i = 0; i < FILES; i++) {
        const char *name = in_dir(disk.dir, file_names[i]);

        if (is_dir)
            disk.kept[i].named = access(name, F_OK) == 0;
        if (!strcmp(path, name)) {
            free(disk.kept[i].data);
            disk.kept[i].data = read_file(&disk.kept[i].len, name);
            disk.kept[i].synced = true;
            disk.syncs[i]++;
        }
    }
    pthread_mutex_unlock(&kept_lock);
}

static unsigned syncs(int file)
{
    unsigned n;

    pthread_mutex_lock(&kept_lock);
    n = disk.syncs[file];
    pthread_mutex_unlock(&kept_lock);
    return n;
}

/* In place of the C library's: every sync of this process comes by here, SQLite's too. */
static int watched_sync(int fd, long call)
{
    char link[40], path[300];
    ssize_t len;
    int rc;

    if (!disk.dir)
        return (int)syscall(call, fd);
    if (disk.before)
        disk.before();
    if (disk.fails) {
        errno = EIO;
        return -1;
    }
    rc = (int)syscall(call, fd);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (!rc && (len = readlink(link, path, sizeof path - 1)) > 0) {
        path[len] = 0;
        sync_kept(path);
    }
    return rc;
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

static void watch(const char *dir)
{
    for (int i = 0; i < FILES; i++)
        free(disk.kept[i].data);
    memset(&disk, 0, sizeof disk);
    disk.dir = dir;
}

/* ---- a folder and the store in it ---- */

static ljs_err open_in(ljs_store **out, const char *dir)
{
    return ljs_store_sqlite(out, in_dir(dir, file_names[DB]));
}

struct place {
    char *dir;
    ljs_store *store;
};

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);

    *state = p;
    p->dir = contract_dir();
    return open_in(&p->store, p->dir);
}

static int tear_down(void **state)
{
    struct place *p = *state;

    watch(NULL);
    ljs_store_free(p->store);
    contract_dir_remove(p->dir);
    free(p);
    return 0;
}

static void close_store(struct place *p)
{
    ljs_store_free(p->store);
    p->store = NULL;
}

static void reopen(struct place *p)
{
    close_store(p);
    assert_int_equal(open_in(&p->store, p->dir), LJS_OK);
}

static void put(ljs_store *store, const char *key, const char *value)
{
    assert_int_equal(contract_put(store, key, contract_version(store, key), value), LJS_OK);
}

static void pause_ms(unsigned ms)
{
    nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L }, NULL);
}

/* ---- commit returns when its results survive power loss ---- */

enum { KEYS = 26, BLOCK = 512 };

/* How much of it: `long` is a campaign, in which power goes after each commit, and for a while with each
 * step of the log between what the store's thread writes into the database and its sync. */
static struct {
    unsigned keys, commits, every, reopen, slow_ms;
    unsigned tried, unsynced; /* so often it went; and the database was not as it was synced last */
} loss = { .keys = 5, .commits = 600, .every = 12, .reopen = 300 };

static pthread_t us;

static void slow_keeper(void)
{
    if (!pthread_equal(pthread_self(), us))
        pause_ms(loss.slow_ms);
}

/* The folder as it may stand after the power went: of each file that has a lasting name, every
 * block is what was synced last or, when `luck` wants it, what was written since. */
static char *after_power_loss(unsigned luck)
{
    char *dir = contract_dir();

    pthread_mutex_lock(&kept_lock);
    for (int i = 0; i < FILES; i++) {
        const struct kept *kept = &disk.kept[i];
        size_t now_len, len;
        uint8_t *now = read_file(&now_len, in_dir(disk.dir, file_names[i]));

        if (kept->named && kept->synced && now) {
            loss.unsynced += i == DB && (now_len != kept->len || memcmp(now, kept->data, now_len) != 0);
            len = luck % 2 ? now_len : kept->len;
            for (size_t at = 0; at < len; at += BLOCK) {
                size_t n = len - at < BLOCK ? len - at : BLOCK;
                bool old = at + n <= kept->len && (luck < 2 || rand() % 2);

                if (old)
                    memcpy(now + at, kept->data + at, n);
                else if (at + n > now_len)
                    len = at;
            }
            write_file(in_dir(dir, file_names[i]), now, len);
        }
        free(now);
    }
    pthread_mutex_unlock(&kept_lock);
    loss.tried++;
    return dir;
}

/* The log has grown by more than a step, so the database is another than it was when it was opened, and nobody has
 * closed it.  That is no sync of it, where commits went on meanwhile: SQLite has one when it has copied all. */
static void expect_copied_back(const char *dir, const uint8_t *was, size_t was_len)
{
    bool same = true;

    for (unsigned ms = 0; same && ms < 60000; ms += 10) {
        size_t len;
        uint8_t *now = read_file(&len, in_dir(dir, file_names[DB]));

        if ((same = len == was_len && !memcmp(now, was, len)))
            pause_ms(10);
        free(now);
    }
    assert_false(same);
}

static void test_power_loss(void **state)
{
    struct place *p = *state;
    char *values[KEYS] = { NULL };
    uint8_t *was;
    size_t was_len;

    close_store(p);
    unlink(in_dir(p->dir, file_names[DB]));
    watch(p->dir);
    us = pthread_self();
    disk.before = loss.slow_ms ? slow_keeper : NULL;
    srand(1);
    assert_int_equal(open_in(&p->store, p->dir), LJS_OK);
    was = read_file(&was_len, in_dir(p->dir, file_names[DB]));
    for (unsigned i = 0; i < loss.commits; i++) {
        unsigned k = (unsigned)rand() % loss.keys, logged = syncs(LOG);
        char key[] = { (char)('a' + k), 0 };
        size_t len = (size_t)rand() % 30000; /* so that the log is copied back between two closings, too */

        free(values[k]);
        values[k] = NULL;
        if (rand() % 8 || !contract_version(p->store, key)) {
            assert_non_null(values[k] = malloc(len + 1));
            memset(values[k], 'A' + rand() % 26, len);
            values[k][len] = 0;
        }
        put(p->store, key, values[k]);
        assert_true(syncs(LOG) > logged);
        if (i % loss.every == loss.every - 1) {
            char *dir = after_power_loss(i / loss.every % 4);
            ljs_store *store;

            assert_int_equal(open_in(&store, dir), LJS_OK);
            for (unsigned j = 0; j < loss.keys; j++)
                contract_expect(store, (char[]){ (char)('a' + j), 0 }, values[j]);
            ljs_store_free(store);
            contract_dir_remove(dir);
        }
        if (i % loss.reopen == loss.reopen - 1) {
            expect_copied_back(p->dir, was, was_len);
            reopen(p);
            free(was);
            was = read_file(&was_len, in_dir(p->dir, file_names[DB]));
        }
    }
    close_store(p);
    free(was);
    for (unsigned j = 0; j < KEYS; j++)
        free(values[j]);
}

/* ---- get returns only what survives power loss ---- */

static ljs_store *watched_store, *watched_twin;
static unsigned looked;

static void look(void)
{
    /* The commit is written whole, and is not synced yet. */
    contract_expect(watched_store, "k", "old");
    contract_expect(watched_twin, "k", "old");
    looked++;
}

static void test_nothing_is_seen_before_the_sync(void **state)
{
    struct place *p = *state;

    put(p->store, "k", "old");
    contract_expect(p->store, "k", "old");
    watched_store = p->store;
    assert_int_equal(open_in(&watched_twin, p->dir), LJS_OK);
    contract_expect(watched_twin, "k", "old");
    watch(p->dir);
    disk.before = look;
    looked = 0;
    put(p->store, "k", "new");
    assert_true(looked > 0);
    disk.before = NULL;
    contract_expect(p->store, "k", "new");
    contract_expect(watched_twin, "k", "new");
    ljs_store_free(watched_twin);
}

static void die(void)
{
    raise(SIGKILL);
}

/* Whoever comes after a kill between write and sync finds the commit whole.  May he tell? */
static void test_what_recovery_finds_survives(void **state)
{
    struct place *p = *state;
    ljs_store *store;
    char *dir;
    pid_t child;
    int status;

    put(p->store, "k", "old");
    close_store(p);
    if (!(child = fork())) {
        if (open_in(&p->store, p->dir))
            _exit(1);
        put(p->store, "first", "v"); /* the first commit syncs the log's header by itself */
        watch(p->dir);
        disk.before = die;
        _exit(2 + contract_put(p->store, "k", contract_version(p->store, "k"), "new"));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    watch(p->dir);
    sync_kept(in_dir(p->dir, file_names[DB])); /* of the database we know, from the close; of the log nothing */
    disk.kept[DB].named = true;
    assert_int_equal(open_in(&p->store, p->dir), LJS_OK);
    contract_expect(p->store, "k", "new");
    dir = after_power_loss(0);
    assert_int_equal(open_in(&store, dir), LJS_OK);
    contract_expect(store, "k", "new");
    ljs_store_free(store);
    contract_dir_remove(dir);
}

/* ---- a sync that fails ---- */

static void test_failed_sync(void **state)
{
    struct place *p = *state;

    for (unsigned round = 0; round < 3; round++) {
        put(p->store, "k", "old");
        watch(p->dir);
        disk.fails = true;
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(contract_put(p->store, "k", contract_version(p->store, "k"), "new"), LJS_E_STORE);
            contract_expect(p->store, "k", "old"); /* reading goes on */
        }
        disk.fails = false;
        if (round == 1)
            reopen(p);
        contract_expect(p->store, "k", "old");
        put(p->store, "k", "newer");
        reopen(p);
        contract_expect(p->store, "k", "newer");
    }
}

/* ---- a process that is killed ---- */

enum { CHILD_KEYS = 4 };

struct ack {
    uint32_t key, value;
};

/* Counts its keys up for ever, and says so only after each commit. */
static void count_until_killed(const char *dir, int pipe_to)
{
    ljs_store *store;
    char padding[3000];

    memset(padding, 'p', sizeof padding);
    if (open_in(&store, dir))
        _exit(1);
    for (uint32_t n = 0;; n++) {
        char key[] = { (char)('0' + n % CHILD_KEYS), 0 }, value[sizeof padding + 20];
        struct ack ack = { n % CHILD_KEYS, (uint32_t)contract_counter(store, key) + 1 };

        snprintf(value, sizeof value, "%u %.*s", ack.value, (int)(n * 37 % sizeof padding), padding);
        if (contract_put(store, key, contract_version(store, key), value))
            _exit(2);
        if (write(pipe_to, &ack, sizeof ack) != sizeof ack)
            _exit(3);
    }
}

static void test_kill_9(void **state)
{
    struct place *p = *state;
    unsigned long promised[CHILD_KEYS] = { 0 }, acks = 0;

    close_store(p);
    srand(2);
    for (unsigned round = 0; round < 50; round++) {
        struct ack ack;
        int ends[2], status;
        pid_t child;

        assert_int_equal(pipe(ends), 0);
        if (!(child = fork()))
            count_until_killed(p->dir, ends[1]);
        close(ends[1]);
        for (unsigned left = (unsigned)rand() % 25 + (round == 0); left; left--) { /* at work, and then ... */
            assert_int_equal(read(ends[0], &ack, sizeof ack), sizeof ack);
            promised[ack.key] = ack.value;
            acks++;
        }
        nanosleep(&(struct timespec){ .tv_nsec = rand() % 2000000 }, NULL);
        kill(child, SIGKILL);
        while (read(ends[0], &ack, sizeof ack) == sizeof ack) {
            promised[ack.key] = ack.value;
            acks++;
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        close(ends[0]);
        assert_int_equal(open_in(&p->store, p->dir), LJS_OK);
        for (uint32_t k = 0; k < CHILD_KEYS; k++) {
            unsigned long now = contract_counter(p->store, (char[]){ (char)('0' + k), 0 });

            assert_in_range(now, promised[k], promised[k] + 1); /* the last one may not have been told any more */
            promised[k] = now;
        }
        close_store(p);
    }
    assert_true(acks > 300);
}

/* ---- several processes at once, who also make the file together ---- */

static void test_processes(void **state)
{
    struct place *p = *state;
    enum { PROCESSES = 4, TIMES = 10 };
    pid_t children[PROCESSES];
    int gate[2], status;

    for (unsigned round = 0; round < 12; round++) {
        close_store(p);
        unlink(in_dir(p->dir, file_names[DB]));
        assert_int_equal(pipe(gate), 0);
        for (unsigned i = 0; i < PROCESSES; i++)
            if (!(children[i] = fork())) {
                char mine[] = { 'm', (char)('0' + i), 0 }, c;
                ljs_store *store;

                close(gate[1]);
                if (read(gate[0], &c, 1)) /* until the gate opens */
                    _exit(1);
                if (open_in(&store, p->dir))
                    _exit(2);
                if (!contract_increment(store, "ours", TIMES) || !contract_increment(store, mine, TIMES))
                    _exit(3);
                ljs_store_free(store);
                _exit(0);
            }
        close(gate[0]);
        close(gate[1]);
        for (unsigned i = 0; i < PROCESSES; i++) {
            assert_int_equal(waitpid(children[i], &status, 0), children[i]);
            assert_int_equal(status, 0);
        }
        assert_int_equal(open_in(&p->store, p->dir), LJS_OK);
        assert_int_equal(contract_counter(p->store, "ours"), PROCESSES * TIMES);
        assert_int_equal(contract_counter(p->store, "m3"), TIMES);
    }
}

/* ---- calls at once share a sync ---- */

static void slow_disk(void)
{
    pause_ms(100);
}

static void *put_own(void *user)
{
    static _Atomic unsigned n;
    char key[] = { (char)('a' + n++), 0 };

    return contract_put(user, key, 0, "v") ? NULL : user;
}

static void test_calls_share_a_sync(void **state)
{
    struct place *p = *state;
    pthread_t threads[8];

    put(p->store, "k", "0");
    watch(p->dir);
    disk.before = slow_disk;
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_own, p->store), 0);
    for (size_t i = 0; i < COUNT(threads); i++) {
        void *ok;

        pthread_join(threads[i], &ok);
        assert_non_null(ok);
    }
    assert_in_range(disk.syncs[LOG], 1, 5); /* two, when all come while the first one syncs */
}

/* ---- a full disk ---- */

static void fill_up(const char *dir)
{
    enum { TRIES = 200 };
    struct rlimit limit;
    ljs_store *store;
    char value[5001], key[16];
    bool kept[TRIES];
    unsigned written = 0;

    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(open_in(&store, dir), LJS_OK);
    limit.rlim_cur = 200000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (unsigned i = 0; i < TRIES; i++) { /* first the log is full, and in the end the database too */
        ljs_err err;

        snprintf(key, sizeof key, "k%u", i);
        err = contract_put(store, key, 0, value);
        assert_true(!err || err == LJS_E_STORE);
        written += kept[i] = !err;
    }
    assert_in_range(written, 5, 100);
    assert_false(kept[TRIES - 1]);
    for (unsigned round = 0; round < 3; round++) {
        if (round == 1) { /* it also starts on a full disk, to be read */
            ljs_store_free(store);
            assert_int_equal(open_in(&store, dir), LJS_OK);
        }
        if (round == 2) { /* there is room again */
            limit.rlim_cur = limit.rlim_max;
            assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
            put(store, "after", value);
        }
        for (unsigned i = 0; i < TRIES; i++) {
            snprintf(key, sizeof key, "k%u", i);
            if (kept[i] || contract_version(store, key))
                contract_expect(store, key, value);
        }
    }
    ljs_store_free(store);
}

static void in_child(void (*body)(const char *), const char *arg)
{
    int status;
    pid_t child = fork();

    if (!child) {
        setenv("CMOCKA_TEST_ABORT", "1", 1); /* a check that fails ends the child, and does not go on with the tests */
        body(arg);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_full_disk(void **state)
{
    struct place *p = *state;

    close_store(p);
    in_child(fill_up, p->dir);
    reopen(p);
    assert_int_not_equal(contract_version(p->store, "after"), 0);
    assert_int_not_equal(contract_version(p->store, "k0"), 0);
}

/* ---- memory that ends while a commit is under way ---- */

static sqlite3_mem_methods memory;
static atomic_bool no_memory;

static void *grow(void *at, int len)
{
    return atomic_load(&no_memory) ? NULL : memory.xRealloc(at, len);
}

/* Before SQLite is used. */
static void watch_memory(void)
{
    sqlite3_mem_methods watched;

    assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory), SQLITE_OK);
    watched = memory;
    watched.xRealloc = grow;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &watched), SQLITE_OK);
}

/* The log has all of a commit, synced, when its index gets longer than the memory that there is.  Nobody sees it then,
 * but whoever comes after a crash: that nothing was done is not to be told. */
static void test_memory_ends_in_a_commit(void **state)
{
    static const uint8_t value[1 << 20];
    struct place *p = *state;
    ljs_change changes[9]; /* more pages than one page of that index tells of */

    for (unsigned i = 0; i < COUNT(changes); i++)
        changes[i] =
            (ljs_change){ .key = (const uint8_t *)&"abcdefghi"[i], .key_len = 1, .in = value, .in_len = sizeof value };
    atomic_store(&no_memory, true);
    assert_int_equal(ljs_store_commit(p->store, changes, COUNT(changes)), LJS_E_STORE);
    atomic_store(&no_memory, false);
    contract_expect(p->store, "a", NULL);
    put(p->store, "a", "v");
    contract_expect(p->store, "a", "v");
    contract_expect(p->store, "b", NULL);
}

/* ---- a file that another process has for itself ---- */

enum { HELD_MS = 700, LONG_MS = 120000 };
static const char alone[] = "PRAGMA journal_mode=DELETE; PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE";

/* A process that has run this on the file, and ends so much later. */
static pid_t hold(const char *path, const char *sql, unsigned ms)
{
    int held[2];
    pid_t child;
    sqlite3 *db;
    char c;

    assert_int_equal(pipe(held), 0);
    if (!(child = fork())) {
        if (sqlite3_open(path, &db) || sqlite3_exec(db, sql, NULL, NULL, NULL) || write(held[1], "", 1) != 1)
            _exit(1);
        pause_ms(ms);
        _exit(0);
    }
    close(held[1]);
    assert_int_equal(read(held[0], &c, 1), 1);
    close(held[0]);
    return child;
}

static void refused_soon(const char *dir)
{
    ljs_store *store;

    alarm(60);
    assert_int_equal(open_in(&store, dir), LJS_E_STORE);
    assert_null(store);
}

static void test_held_by_another(void **state)
{
    struct place *p = *state;
    const char *path = in_dir(p->dir, file_names[DB]);
    pid_t holder;
    int status;

    put(p->store, "k", "v");
    close_store(p);
    holder = hold(path, alone, LONG_MS);
    in_child(refused_soon, p->dir);
    assert_int_equal(kill(holder, SIGKILL), 0);
    assert_int_equal(waitpid(holder, &status, 0), holder);

    holder = hold(path, alone, HELD_MS); /* who has it for a moment is waited for */
    assert_int_equal(open_in(&p->store, p->dir), LJS_OK);
    contract_expect(p->store, "k", "v");
    assert_int_equal(waitpid(holder, &status, 0), holder);
    holder = hold(path, "BEGIN IMMEDIATE", HELD_MS); /* and by a commit, too */
    put(p->store, "k", "w");
    assert_int_equal(waitpid(holder, &status, 0), holder);
    assert_int_equal(status, 0);
}

/* ---- a file that may only be read ---- */

static void read_only(const char *dir)
{
    ljs_store *store;

    if (!geteuid())
        assert_int_equal(setuid(65534), 0);
    assert_int_not_equal(access(in_dir(dir, file_names[DB]), W_OK), 0);
    assert_int_equal(open_in(&store, dir), LJS_OK);
    contract_expect(store, "k", "v");
    assert_int_equal(contract_put(store, "k", contract_version(store, "k"), "no"), LJS_E_STORE);
    assert_int_equal(contract_put(store, "new", 0, "no"), LJS_E_STORE);
    contract_expect(store, "k", "v");
    contract_expect(store, "new", NULL);
    ljs_store_free(store);
}

static void test_read_only(void **state)
{
    struct place *p = *state;

    put(p->store, "k", "v");
    close_store(p);
    if (!geteuid()) {
        assert_int_equal(chown(p->dir, 65534, 65534), 0);
        assert_int_equal(chown(in_dir(p->dir, file_names[DB]), 65534, 65534), 0);
    }
    assert_int_equal(chmod(in_dir(p->dir, file_names[DB]), 0400), 0);
    in_child(read_only, p->dir);
    assert_int_equal(chmod(in_dir(p->dir, file_names[DB]), 0600), 0);
    if (!geteuid())
        assert_int_equal(chown(in_dir(p->dir, file_names[DB]), 0, 0), 0);
    reopen(p);
    contract_expect(p->store, "k", "v");
    put(p->store, "k", "w");
}

/* ---- files that are not what they should be ---- */

static void refused(struct place *p, ljs_err want)
{
    ljs_store *store = (ljs_store *)p;

    assert_int_equal(open_in(&store, p->dir), want);
    assert_null(store);
}

static void test_not_ours(void **state)
{
    struct place *p = *state;
    char *path = strdup(in_dir(p->dir, file_names[DB]));
    size_t len;
    uint8_t *good, *bad;
    sqlite3 *db;

    put(p->store, "k", "v");
    close_store(p);
    assert_non_null(good = read_file(&len, path));
    assert_non_null(bad = malloc(len));

    memcpy(bad, good, len);
    bad[71]++; /* application_id */
    write_file(path, bad, len);
    refused(p, LJS_E_STORE);
    memset(bad + 68, 0, 4); /* ... of nobody, but with tables in it */
    write_file(path, bad, len);
    refused(p, LJS_E_STORE);

    memcpy(bad, good, len);
    bad[63]++; /* user_version */
    write_file(path, bad, len);
    refused(p, LJS_E_VERSION);
    memset(bad + 60, 0, 4);
    write_file(path, bad, len);
    refused(p, LJS_E_STORE);

    /* somebody else's, who numbers nothing */
    unlink(path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE theirs(x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    refused(p, LJS_E_STORE);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "INSERT INTO theirs VALUES(1)", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "SELECT * FROM kv", NULL, NULL, NULL), SQLITE_ERROR); /* left as it was */
    sqlite3_close(db);

    memset(bad, 'x', len);
    write_file(path, bad, len);
    refused(p, LJS_E_STORE);
    write_file(path, (const uint8_t *)"hello", 5);
    refused(p, LJS_E_STORE);
    memcpy(bad, good, len);
    memset(bad + 100, 0xff, 1948); /* the first page */
    write_file(path, bad, len);
    refused(p, LJS_E_STORE);

    write_file(path, good, len);
    reopen(p);
    contract_expect(p->store, "k", "v");
    free(good);
    free(bad);
    free(path);
}

static void test_paths(void **state)
{
    struct place *p = *state;
    static const char *const wrong[] = { "", "no/such/folder/store.db", ".", "hanging" };
    static const char *const odd[] = { ":memory:", "file:x?mode=memory", "a b", "%41" };
    char *cwd = getcwd(NULL, 0);
    ljs_store *store;
    struct stat st;

    assert_int_equal(chdir(p->dir), 0);
    assert_int_equal(symlink("nowhere", "hanging"), 0);
    for (size_t i = 0; i < COUNT(wrong); i++) {
        store = (ljs_store *)p;
        assert_int_equal(ljs_store_sqlite(&store, wrong[i]), LJS_E_STORE);
        assert_null(store);
    }
    for (size_t i = 0; i < COUNT(odd); i++) { /* names of files like any */
        assert_int_equal(ljs_store_sqlite(&store, odd[i]), LJS_OK);
        put(store, "k", odd[i]);
        ljs_store_free(store);
        assert_int_equal(stat(odd[i], &st), 0);
        assert_int_equal(ljs_store_sqlite(&store, odd[i]), LJS_OK);
        contract_expect(store, "k", odd[i]);
        assert_int_equal(chdir("/"), 0); /* new connections go on finding it */
        watch(p->dir);
        disk.fails = true;
        assert_int_equal(contract_put(store, "l", 0, "v"), LJS_E_STORE);
        watch(NULL);
        put(store, "l", "v");
        ljs_store_free(store);
        assert_int_equal(chdir(p->dir), 0);
    }
    assert_int_equal(chdir(cwd), 0);
    free(cwd);
}

static void test_modes(void **state)
{
    struct place *p = *state;
    static const char *const names[] = { "store.db", "store.db-wal", "store.db-shm" };
    mode_t old = umask(0);
    struct stat st;

    close_store(p);
    unlink(in_dir(p->dir, file_names[DB]));
    assert_int_equal(open_in(&p->store, p->dir), LJS_OK);
    put(p->store, "k", "v");
    for (size_t i = 0; i < COUNT(names); i++) {
        assert_int_equal(stat(in_dir(p->dir, names[i]), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    umask(old);
}

/* ---- a file of before: its pages are larger ---- */

static void set_page_size(const char *path, const char *octets)
{
    sqlite3 *db;
    char sql[100];

    snprintf(sql, sizeof sql, "PRAGMA journal_mode=DELETE; PRAGMA page_size=%s; VACUUM", octets);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static unsigned page_size(const char *path)
{
    size_t len;
    uint8_t *data = read_file(&len, path);
    unsigned size;

    assert_non_null(data);
    assert_true(len > 100);
    size = (unsigned)data[16] << 8 | data[17];
    free(data);
    return size;
}

static void test_larger_pages(void **state)
{
    struct place *p = *state;
    char *path = strdup(in_dir(p->dir, file_names[DB]));
    char other[300], value[3000];
    ljs_store *copied;

    memset(value, 'v', sizeof value);
    value[sizeof value - 1] = 0;
    put(p->store, "k", value);
    close_store(p);
    assert_int_equal(page_size(path), 2048);
    set_page_size(path, "4096");
    reopen(p);
    put(p->store, "l", value);
    contract_expect(p->store, "k", value);
    snprintf(other, sizeof other, "%s/copy.db", p->dir);
    assert_int_equal(ljs_store_copy(p->store, other), LJS_OK);
    close_store(p);
    assert_int_equal(page_size(path), 4096);
    assert_int_equal(page_size(other), 2048);
    assert_int_equal(ljs_store_sqlite(&copied, other), LJS_OK);
    contract_expect(copied, "k", value);
    contract_expect(copied, "l", value);
    ljs_store_free(copied);
    free(path);
}

/* ---- where rows lie ---- */

static int64_t asked(const char *path, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *row;
    int64_t answer;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &row, NULL), SQLITE_OK);
    answer = sqlite3_step(row) == SQLITE_ROW ? sqlite3_column_int64(row, 0) : 0;
    assert_int_equal(sqlite3_finalize(row), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return answer;
}

/* Wherever it lies, it can be read, replaced, refused and removed. */
static void expect_usable(ljs_store *store, const char *key)
{
    uint64_t version = contract_version(store, key);

    assert_int_not_equal(version, 0);
    assert_int_equal(contract_put(store, key, 0, "made again"), LJS_E_CONFLICT);
    assert_int_equal(contract_put(store, key, version + 1000, "of another version"), LJS_E_CONFLICT);
    assert_int_equal(contract_put(store, key, version, "replaced"), LJS_OK);
    contract_expect(store, key, "replaced");
    put(store, key, NULL);
    contract_expect(store, key, NULL);
    assert_int_equal(contract_put(store, key, version, "after its end"), LJS_E_CONFLICT);
    put(store, key, "made anew");
    contract_expect(store, key, "made anew");
}

static const char *const nine[] = { "d12345678", "e02345678", "d12345679" }; /* the first two say one number */

static void put_rows(ljs_store *store)
{
    for (size_t i = 0; i < COUNT(nine); i++)
        put(store, nine[i], "placed");
    put(store, "short", "not");
}

static void expect_rows_usable(ljs_store *store)
{
    for (size_t i = 0; i < COUNT(nine); i++)
        expect_usable(store, nine[i]);
    expect_usable(store, "short");
}

static void test_rows_lie_where_keys_say(void **state)
{
    struct place *p = *state;
    char *path = strdup(in_dir(p->dir, file_names[DB]));

    put_rows(p->store);
    put(p->store, "f12345678+", "not");
    close_store(p);
    assert_true(asked(path, "SELECT id FROM kv WHERE key = CAST('d12345678' AS BLOB)") == 0x5532333435363738);
    assert_true(asked(path, "SELECT id FROM kv WHERE key = CAST('e02345678' AS BLOB)") == INT64_MIN + 2);
    assert_true(asked(path, "SELECT id FROM kv WHERE key = CAST('d12345679' AS BLOB)") == 0x5532333435363739);
    assert_true(asked(path, "SELECT id FROM kv WHERE key = CAST('short' AS BLOB)") == INT64_MIN + 4);
    assert_true(asked(path, "SELECT id FROM kv WHERE key = CAST('f12345678+' AS BLOB)") == INT64_MIN + 5);
    reopen(p);
    expect_rows_usable(p->store);
    free(path);
}

/* Two keys that say one number have each its own row, whatever version is asked for. */
static void test_rows_of_one_number(void **state)
{
    struct place *p = *state;

    put(p->store, nine[0], "placed");
    assert_int_equal(contract_put(p->store, nine[1], contract_version(p->store, nine[0]), "not placed"),
                     LJS_E_CONFLICT);
    contract_expect(p->store, nine[0], "placed");
    contract_expect(p->store, nine[1], NULL);
}

/* Of a row that lies where its key says: here the index is no page at all. */
static void test_the_index_is_not_read(void **state)
{
    struct place *p = *state;
    char *path = strdup(in_dir(p->dir, file_names[DB]));
    size_t len, page;
    uint8_t *data;

    put(p->store, nine[0], "placed");
    put(p->store, "short", "not");
    close_store(p);
    page = (size_t)asked(path, "SELECT rootpage FROM sqlite_schema WHERE type = 'index'");
    assert_non_null(data = read_file(&len, path));
    assert_true(page > 1 && page * 2048 <= len);
    memset(data + (page - 1) * 2048, 0xff, 2048);
    write_file(path, data, len);
    reopen(p);
    contract_expect(p->store, nine[0], "placed");
    put(p->store, nine[0], "replaced");
    contract_expect(p->store, nine[0], "replaced");
    assert_int_equal(ljs_store_get(&(ljs_buf){ NULL, 0 }, &(uint64_t){ 0 }, p->store, (const uint8_t *)"short", 5),
                     LJS_E_STORE);
    free(data);
    free(path);
}

/* The table was once filled in the order in which rows came. */
static void test_rows_of_before(void **state)
{
    struct place *p = *state;
    char *path = strdup(in_dir(p->dir, file_names[DB]));

    put_rows(p->store);
    close_store(p);
    asked(path, "UPDATE kv SET id = (SELECT count(*) FROM kv AS k WHERE k.key <= kv.key)");
    assert_true(asked(path, "SELECT max(id) FROM kv") == 4);
    reopen(p);
    for (size_t i = 0; i < COUNT(nine); i++)
        contract_expect(p->store, nine[i], "placed");
    expect_rows_usable(p->store);
    free(path);
}

/* A key may say the very number that a row without one would have. */
static void test_rows_whose_place_is_taken(void **state)
{
    struct place *p = *state;
    char *path = strdup(in_dir(p->dir, file_names[DB]));
    uint8_t key[9] = { 'd', 'd' ^ 0x80 };
    enum { TAKEN = 40 };

    for (uint8_t i = 1; i <= TAKEN; i++) {
        ljs_change c = { .key = key, .key_len = sizeof key, .in = key, .in_len = sizeof key };

        key[8] = i;
        assert_int_equal(ljs_store_commit(p->store, &c, 1), LJS_OK);
        assert_int_equal(c.result, LJS_OK);
    }
    close_store(p);
    asked(path, "UPDATE meta SET tick = 0"); /* so that the rows to come would be theirs */
    reopen(p);
    put(p->store, "short", "not placed");
    put(p->store, nine[0], "placed");
    put(p->store, nine[1], "not placed");
    expect_usable(p->store, "short");
    expect_usable(p->store, nine[0]);
    expect_usable(p->store, nine[1]);
    for (uint8_t i = 1; i <= TAKEN; i++) {
        uint64_t version;
        ljs_buf value;

        key[8] = i;
        assert_int_equal(ljs_store_get(&value, &version, p->store, key, sizeof key), LJS_OK);
        assert_int_equal(value.len, sizeof key);
        assert_memory_equal(value.data, key, sizeof key);
        ljs_buf_free(&value);
    }
    free(path);
}

static void test_removed_values_are_gone(void **state)
{
    struct place *p = *state;
    static const char *const names[] = { "store.db", "store.db-wal" };
    char value[9000];

    for (size_t i = 0; i + 1 < sizeof value; i += 8)
        memcpy(value + i, "SECRET! ", 8);
    value[sizeof value - 1] = 0;
    put(p->store, "big", value);
    put(p->store, "small", "SECRET! ");
    put(p->store, "other", "stays");
    for (int removed = 0; removed < 2; removed++) {
        bool there = false;

        close_store(p);
        for (size_t i = 0; i < COUNT(names); i++) {
            size_t len;
            uint8_t *data = read_file(&len, in_dir(p->dir, names[i]));

            there |= data && memmem(data, len, "SECRET! ", 8);
            free(data);
        }
        assert_int_equal(there, !removed);
        reopen(p);
        if (!removed) {
            put(p->store, "big", NULL);
            put(p->store, "small", NULL);
        }
    }
}

/* Any damage is an answer; what is not touched by it can still be had. */
static void test_damage(void **state)
{
    struct place *p = *state;
    char *path = strdup(in_dir(p->dir, file_names[DB])), value[3000];
    unsigned faults = 0, fine = 0, after_fault = 0;
    size_t len;
    uint8_t *good, *bad;

    memset(value, 'v', sizeof value);
    value[sizeof value - 1] = 0;
    for (unsigned k = 0; k < 40; k++)
        put(p->store, (char[]){ (char)('0' + k), 0 }, value);
    close_store(p);
    assert_non_null(good = read_file(&len, path));
    assert_non_null(bad = malloc(len));
    srand(3);
    for (unsigned round = 0; round < 60; round++) {
        size_t bad_len = len;
        bool failed = false;
        ljs_store *store;

        memcpy(bad, good, len);
        if (round % 4 == 0)
            bad_len = (size_t)rand() % len;
        else
            for (int n = rand() % 200; n >= 0; n--) {
                size_t page = (size_t)rand() % (len / 2048) * 2048;

                bad[page + (size_t)rand() % (round % 2 ? 20 : 2048)] = (uint8_t)rand();
            }
        write_file(path, bad, bad_len);
        if (open_in(&store, p->dir)) {
            faults++;
            continue;
        }
        for (unsigned k = 0; k < 40; k++) {
            const uint8_t key = (uint8_t)('0' + k);
            ljs_buf buf;
            uint64_t version;
            ljs_err err = ljs_store_get(&buf, &version, store, &key, 1);

            assert_true(!err || err == LJS_E_STORE || err == LJS_E_NOTFOUND);
            faults += err == LJS_E_STORE;
            fine += !err;
            ljs_buf_free(&buf);
            err = contract_put(store, (char[]){ (char)key, 0 }, version, "w");
            assert_true(!err || err == LJS_E_STORE || err == LJS_E_CONFLICT);
            after_fault += failed && !err;
            failed |= err == LJS_E_STORE;
        }
        ljs_store_free(store);
        unlink(in_dir(p->dir, file_names[LOG]));
    }
    assert_true(faults > 20 && fine > 20 && after_fault > 20);
    write_file(path, good, len);
    free(good);
    free(bad);
    free(path);
}

/* ---- a file that is lost while, or before, we use it ---- */

static void test_lost_file(void **state)
{
    struct place *p = *state;
    char *path = strdup(in_dir(p->dir, file_names[DB])), *log = strdup(in_dir(p->dir, file_names[LOG]));
    uint8_t *old_log;
    size_t old_len;
    ljs_store *other;

    put(p->store, "k", "v");
    assert_non_null(old_log = read_file(&old_len, log));

    /* removed, or another put in its place: nothing is taken that would be lost */
    assert_int_equal(rename(path, in_dir(p->dir, "aside")), 0);
    assert_int_equal(contract_put(p->store, "l", 0, "v"), LJS_E_STORE);
    assert_int_equal(contract_put(p->store, "l", 0, "v"), LJS_E_STORE);
    assert_int_equal(access(path, F_OK), -1); /* and nothing is made in its place */
    unlink(log);
    unlink(in_dir(p->dir, "store.db-shm"));
    assert_int_equal(open_in(&other, p->dir), LJS_OK);
    put(other, "k", "another");
    assert_int_equal(contract_put(p->store, "l", 0, "v"), LJS_E_STORE);
    contract_expect(other, "l", NULL);
    ljs_store_free(other);
    close_store(p);

    /* empty, with a log beside it: that was a database once */
    write_file(path, NULL, 0);
    write_file(log, old_log, old_len);
    refused(p, LJS_E_STORE);
    unlink(log);
    assert_int_equal(open_in(&p->store, p->dir), LJS_OK); /* empty and alone: new */
    free(old_log);
    free(log);
    free(path);
}

static void test_power_loss_for_long(void **state)
{
    loss.keys = KEYS;
    loss.commits = 6000;
    loss.every = 1;
    loss.reopen = 1500;
    loss.slow_ms = 200;
    test_power_loss(state);
    printf("%u commits, %u times without power, %u of them before a sync of the database\n", loss.commits, loss.tried,
           loss.unsynced);
    assert_true(loss.unsynced > 100);
}

int main(int argc, char **argv)
{
#define CHECK(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CHECK(test_power_loss),
        CHECK(test_nothing_is_seen_before_the_sync),
        CHECK(test_what_recovery_finds_survives),
        CHECK(test_failed_sync),
        CHECK(test_kill_9),
        CHECK(test_processes),
        CHECK(test_calls_share_a_sync),
        CHECK(test_full_disk),
        CHECK(test_memory_ends_in_a_commit),
        CHECK(test_held_by_another),
        CHECK(test_read_only),
        CHECK(test_not_ours),
        CHECK(test_paths),
        CHECK(test_modes),
        CHECK(test_larger_pages),
        CHECK(test_rows_lie_where_keys_say),
        CHECK(test_rows_of_one_number),
        CHECK(test_the_index_is_not_read),
        CHECK(test_rows_of_before),
        CHECK(test_rows_whose_place_is_taken),
        CHECK(test_removed_values_are_gone),
        CHECK(test_damage),
        CHECK(test_lost_file),
    };
    const struct CMUnitTest campaign[] = { CHECK(test_power_loss_for_long) };

    if (argc > 1 && !strcmp(argv[1], "long"))
        return cmocka_run_group_tests(campaign, NULL, NULL);
    watch_memory();
    return contract_run(&(struct contract){ "sqlite", open_in, true }) +
           cmocka_run_group_tests_name("what happens to files", tests, NULL, NULL);
}
