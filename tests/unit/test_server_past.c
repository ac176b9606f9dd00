/* What a store does after its past comes back: whatever is restored, and how often, no device is given a
 * JoinNonce twice, and a frame that was captured is taken once at most. */
#include "server_world.h"

#include "contract/contract.h"
#include "random.h"
#include "server/past.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOW = 1700000000, DEVICES = 6, GIVEN_MAX = 4000, BACKUPS_MAX = 32 };

static char *dir;

static char *in_dir(const char *name)
{
    static char paths[8][512];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static int dir_begin(void **state)
{
    static const char memory[] = "/dev/shm/lorajs-past-XXXXXX"; /* syncs are counted elsewhere, and cost nothing here */

    (void)state;
    dir = strdup(memory);
    if (dir && !mkdtemp(dir)) {
        free(dir);
        dir = contract_dir();
    }
    return dir ? 0 : -1;
}

static int dir_end(void **state)
{
    (void)state;
    contract_dir_remove(dir);
    return 0;
}

static ljs_store *open_store(const char *name)
{
    ljs_store *store;

    assert_int_equal(ljs_store_sqlite(&store, in_dir(name)), LJS_OK);
    return store;
}

static ljs_store *inner; /* of the one marked store there is at a time */

/* A server over a store with a marker. */
static void lab_marked(struct world *w, const char *db, const char *marker, unsigned every)
{
    ljs_store *store;

    inner = open_store(db);
    assert_int_equal(ljs_store_marked(&store, inner, vault, in_dir(marker), every), LJS_OK);
    lab_begin(w, store);
}

static void marked_end(struct world *w)
{
    server_end(w);
    ljs_store_free(inner);
}

static ljs_marker_verdict verdict(const char *db, const char *marker)
{
    ljs_store *store = open_store(db);
    ljs_marker m;

    assert_int_equal(ljs_marker_look(&m, vault, store, in_dir(marker)), LJS_OK);
    ljs_store_free(store);
    return m.verdict;
}

static void begin_store(const char *db)
{
    struct world w;
    ljs_device d = device_of(LJS_MAC_1_0_4);

    lab_begin(&w, open_store(db));
    added(&w, &d);
    server_end(&w);
}

static void copy_file(const char *from, const char *to)
{
    FILE *in = fopen(in_dir(from), "rb"), *out = fopen(in_dir(to), "wb");
    char octets[4096];
    size_t n;

    assert_non_null(in);
    assert_non_null(out);
    while ((n = fread(octets, 1, sizeof octets, in)))
        assert_int_equal(fwrite(octets, 1, n, out), n);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

/* ---- devices over many lives of a store -------------------------------------- */

static const ljs_mac macs[DEVICES] = { LJS_MAC_1_0_0, LJS_MAC_1_0_2, LJS_MAC_1_0_3,
                                       LJS_MAC_1_0_4, LJS_MAC_1_1,   LJS_MAC_1_1 };

static struct life {
    uint16_t dev_nonce;
    uint32_t join_nonce; /* the last that the device has seen */
    unsigned given_len;
    uint32_t given[GIVEN_MAX]; /* all that it was ever given */
} lives[DEVICES];

static ljs_join_req request_of(unsigned i, uint16_t nonce)
{
    ljs_join_req req = request(macs[i]);
    ljs_frame frame = { .kind = LJS_FRAME_JOIN, .join_eui = EUI, .dev_eui = DEV + i, .nonce = nonce };

    set_phy(&req, &frame, nwk);
    req.dev_addr = 0x26000000 + nonce;
    return req;
}

/* What the server gave in the newest session of a device. */
static uint32_t join_nonce_of(struct world *w, unsigned i)
{
    ljs_buf record = record_of(w, DEV + i);
    ljs_session s = read_session(&record, 0);

    ljs_buf_free(&record);
    return s.join_nonce;
}

static void was_given(unsigned i, uint32_t join_nonce)
{
    struct life *l = &lives[i];

    for (unsigned k = 0; k < l->given_len; k++)
        if (l->given[k] == join_nonce)
            fail_msg("device %u (%s) was given JoinNonce %u twice", i, ljs_mac_text(macs[i]), join_nonce);
    assert_true(l->given_len < GIVEN_MAX);
    l->given[l->given_len++] = join_nonce;
}

/* A new frame of a device, which takes the answer only when its JoinNonce is above the last. */
static void join(struct world *w, unsigned i)
{
    const struct say say = { .dev_eui = DEV + i };
    ljs_join_req req = request_of(i, ++lives[i].dev_nonce);
    uint32_t join_nonce;

    asked(w, NULL, join_text(&say, &req), "Success");
    join_nonce = join_nonce_of(w, i);
    was_given(i, join_nonce);
    assert_true(join_nonce > lives[i].join_nonce);
    lives[i].join_nonce = join_nonce;
}

/* A frame from the air, played back: is it a session? */
static bool replay(struct world *w, unsigned i, uint16_t nonce)
{
    static uint32_t dev_addr = 0x01000000;
    const struct say say = { .dev_eui = DEV + i };
    ljs_join_req req = request_of(i, nonce);
    ljs_buf out;
    char *text, body[4096];
    bool taken;

    req.dev_addr = ++dev_addr; /* no repeat of what was answered: it is to be another session */
    text = join_text(&say, &req);
    assert_int_equal(ljs_server_handle(&out, w->server, NULL, NOW, (uint8_t *)text, strlen(text)), LJS_OK);
    snprintf(body, sizeof body, "%.*s", (int)out.len, (char *)out.data);
    taken = strstr(body, "\"Success\"") != NULL;
    ljs_buf_free(&out);
    if (taken) { /* the device does not hear of it, and is asked for nothing by a lower number */
        was_given(i, join_nonce_of(w, i));
        if (join_nonce_of(w, i) > lives[i].join_nonce)
            lives[i].join_nonce = join_nonce_of(w, i);
    }
    return taken;
}

struct past {
    char name[32];
    uint16_t dev_nonce[DEVICES];
};

static void restore(const struct past *from, bool know_old, uint32_t guard)
{
    ljs_backup backup, again;
    ljs_marker marker;
    ljs_standing plan, old;
    ljs_store *store = open_store("live");
    ljs_err err;

    assert_int_equal(ljs_standing_read(&old, vault, store), LJS_OK);
    ljs_store_free(store);
    assert_int_equal(ljs_backup_check(&backup, vault, in_dir(from->name)), LJS_OK);
    assert_int_equal(ljs_marker_look(&marker, vault, NULL, in_dir("marker")), LJS_OK);
    err = ljs_backup_plan(&plan, &backup, &marker, know_old ? &old : NULL, guard, NOW);
    assert_int_equal(err, LJS_OK);
    assert_true(plan.generation > old.generation);
    assert_true(plan.generation - backup.standing.generation >= guard);
    assert_int_equal(
        ljs_marker_reserve(vault, in_dir("marker"), plan.generation, backup.standing.name, sizeof plan.name), LJS_OK);
    assert_int_equal(ljs_backup_extract(&again, vault, in_dir(from->name), in_dir("new"), &plan), LJS_OK);
    assert_memory_equal(&again, &backup, sizeof backup);
    assert_int_equal(ljs_store_sqlite_fold(in_dir("live")), LJS_OK);
    assert_int_equal(rename(in_dir("new"), in_dir("live")), 0);
}

static void test_no_nonce_twice(void **state)
{
    struct past pasts[BACKUPS_MAX];
    unsigned backups = 0, restores = 0, replays = 0, taken = 0;
    uint64_t seed = 7;
    struct world w;

    (void)state;
    memset(lives, 0, sizeof lives);
    lab_marked(&w, "live", "marker", 4);
    for (unsigned i = 0; i < DEVICES; i++) {
        ljs_device d = device_of(macs[i]);

        d.dev_eui = DEV + i;
        added(&w, &d);
        join(&w, i);
    }
    for (unsigned step = 0; step < 260; step++) {
        unsigned dice = (unsigned)(random_next(&seed) % 20);
        struct past *p = &pasts[backups];

        if (dice < 2 && backups < BACKUPS_MAX) {
            ljs_backup backup;

            snprintf(p->name, sizeof p->name, "backup-%u", backups++);
            for (unsigned i = 0; i < DEVICES; i++)
                p->dev_nonce[i] = lives[i].dev_nonce;
            assert_int_equal(ljs_backup_make(&backup, vault, w.store, in_dir(p->name), NOW), LJS_OK);
            assert_int_equal(backup.devices, DEVICES);
        } else if (dice < 4 && backups) {
            p = &pasts[random_next(&seed) % backups];
            marked_end(&w);
            restore(p, dice == 2, dice == 2 ? 1 : 100); /* what the guard must be is known from the marker */
            restores++;
            lab_marked(&w, "live", "marker", 4);
            for (unsigned i = 0; i < DEVICES; i++)
                for (uint16_t n = 1; n <= lives[i].dev_nonce; n++) {
                    bool first = replay(&w, i, n);

                    assert_true(!first || n > p->dev_nonce[i]); /* what the backup knows as used is used */
                    assert_false(replay(&w, i, n));
                    taken += first;
                    replays++;
                }
        }
        join(&w, (unsigned)(random_next(&seed) % DEVICES));
    }
    for (unsigned i = 0; i < DEVICES; i++)
        join(&w, i);
    marked_end(&w);
    assert_true(backups > 5 && restores > 5 && taken > 5 && replays > taken);
}

/* Only what the guard is for goes wrong without it. */
static void test_without_the_guard(void **state)
{
    struct world w;
    ljs_backup backup;

    (void)state;
    memset(lives, 0, sizeof lives);
    lab_begin(&w, open_store("live"));
    ljs_device d = device_of(macs[0]);
    added(&w, &d);
    join(&w, 0);
    assert_int_equal(ljs_backup_make(&backup, vault, w.store, in_dir("b"), NOW), LJS_OK);
    join(&w, 0);
    server_end(&w);
    assert_int_equal(truncate(in_dir("b"), (off_t)backup.size), 0); /* put back by hand */
    assert_int_equal(rename(in_dir("b"), in_dir("live")), 0);
    lab_begin(&w, open_store("live"));
    assert_int_equal(device_in(&w, DEV).next_join_nonce, lives[0].join_nonce);
    server_end(&w);
}

/* ---- the marker -------------------------------------------------------------- */

static void put_back(const char *from)
{
    assert_int_equal(ljs_store_sqlite_fold(in_dir("live")), LJS_OK);
    copy_file(from, "live");
}

static ljs_err start(void)
{
    ljs_store *store;
    ljs_store *live = open_store("live");
    ljs_err err = ljs_store_marked(&store, live, vault, in_dir("marker"), 4);

    ljs_store_free(store);
    ljs_store_free(live);
    return err;
}

static void test_verdicts(void **state)
{
    ljs_store *store;
    ljs_standing s;
    struct world w;
    FILE *file;

    (void)state;
    memset(lives, 0, sizeof lives);
    begin_store("live");
    assert_int_equal(verdict("live", "marker"), LJS_MARKER_NEW);
    lab_marked(&w, "live", "marker", 4);
    marked_end(&w);
    assert_int_equal(verdict("live", "marker"), LJS_MARKER_GOOD);
    assert_int_equal(ljs_store_sqlite_fold(in_dir("live")), LJS_OK);
    copy_file("live", "old");

    lab_marked(&w, "live", "marker", 4); /* one change fewer is seen after an ordinary end */
    join(&w, 0);
    marked_end(&w);
    copy_file("marker", "good");
    put_back("old");
    assert_int_equal(verdict("live", "marker"), LJS_MARKER_BEHIND);
    assert_int_equal(start(), LJS_E_STATE);
    assert_int_equal(start(), LJS_E_STATE); /* being refused changes nothing */

    assert_int_equal(rename(in_dir("marker"), in_dir("away")), 0);
    assert_int_equal(verdict("live", "marker"), LJS_MARKER_LOST);
    assert_int_equal(start(), LJS_E_STATE);

    file = fopen(in_dir("marker"), "wb");
    assert_non_null(file);
    assert_true(fputs("what is no marker", file) >= 0);
    fclose(file);
    assert_int_equal(verdict("live", "marker"), LJS_MARKER_BROKEN);
    assert_int_equal(start(), LJS_E_STATE);

    begin_store("other");
    assert_int_equal(unlink(in_dir("marker")), 0);
    lab_marked(&w, "other", "marker", 4);
    marked_end(&w);
    assert_int_equal(verdict("live", "marker"), LJS_MARKER_OTHER);
    assert_int_equal(start(), LJS_E_STATE);

    /* Another generation: begun, served, and then the store of before it. */
    copy_file("good", "marker");
    store = open_store("live");
    assert_int_equal(ljs_standing_read(&s, vault, store), LJS_OK);
    assert_int_equal(s.generation, 0);
    assert_int_equal(ljs_standing_raise(vault, store, 0, 0, 1), LJS_E_INVAL);
    assert_int_equal(ljs_standing_raise(vault, store, 77, s.count + 1000, 1), LJS_OK);
    assert_int_equal(ljs_standing_raise(vault, store, 77, 0, 1), LJS_E_INVAL);
    assert_int_equal(ljs_standing_read(&s, vault, store), LJS_OK);
    assert_int_equal(s.generation, 77);
    assert_true(s.count > 1000);
    ljs_store_free(store);
    assert_int_equal(verdict("live", "marker"), LJS_MARKER_GOOD); /* as after a crash before it was written */
    assert_int_equal(start(), LJS_OK);
    put_back("old");
    assert_int_equal(verdict("live", "marker"), LJS_MARKER_BEFORE);
    assert_int_equal(start(), LJS_E_STATE);
}

/* A place that was torn leaves the other; nothing of it is taken for something else. */
static void test_torn(void **state)
{
    (void)state;
    begin_store("live");
    for (unsigned n = 0; n < 3; n++)
        assert_int_equal(start(), LJS_OK);
    memset(lives, 0, sizeof lives);
    for (unsigned round = 0; round < 4; round++) {
        struct world w;

        for (int place = 0; place < 2; place++) {
            FILE *file = fopen(in_dir("marker"), "r+b");
            int was;

            assert_non_null(file);
            assert_int_equal(fseek(file, place * PLACES_APART + 5, SEEK_SET), 0);
            was = fgetc(file);
            assert_int_equal(fseek(file, place * PLACES_APART + 5, SEEK_SET), 0);
            fputc(was ^ 0x10, file);
            fflush(file);
            assert_int_equal(verdict("live", "marker"), round || !place ? LJS_MARKER_GOOD : LJS_MARKER_BROKEN);
            assert_int_equal(fseek(file, place * PLACES_APART + 5, SEEK_SET), 0);
            fputc(was, file);
            fclose(file);
        }
        lab_marked(&w, "live", "marker", 1);
        join(&w, 0);
        join(&w, 0);
        marked_end(&w);
    }
}

/* Ended without a word at any moment, the store is never refused, and never has more than its marker said. */
static void test_crashes(void **state)
{
    (void)state;
    memset(lives, 0, sizeof lives);
    begin_store("live");
    for (unsigned n = 0; n < 24; n++) {
        ljs_standing s;
        ljs_marker m;
        ljs_store *store;
        int status;
        pid_t child;

        lives[0].dev_nonce = (uint16_t)(100 * n);
        if (!(child = fork())) {
            static const uint8_t master[32] = { 0x4c, 0x6f, 0x52, 0x61 };
            struct world w;

            if (ljs_vault_new(&vault, master, sizeof master))
                _exit(1);
            nwk = key_of("8d3c1f6a5b7e90214fd2a6c3b8e17095");
            lab_marked(&w, "live", "marker", 1 + n % 5);
            for (unsigned k = 0; k < n % 9; k++)
                join(&w, 0);
            _exit(7);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(WEXITSTATUS(status), 7);
        store = open_store("live");
        assert_int_equal(ljs_standing_read(&s, vault, store), LJS_OK);
        assert_int_equal(ljs_marker_look(&m, vault, store, in_dir("marker")), LJS_OK);
        assert_int_equal(m.verdict, LJS_MARKER_GOOD);
        assert_in_range(s.count, m.at, m.bound);
        ljs_store_free(store);
    }
}

/* What the marker costs: a write for each `every` changes, and not for each. */
static void test_every(void **state)
{
    static const unsigned every[] = { 1, 8, 64 };
    unsigned writes[3];

    (void)state;
    memset(lives, 0, sizeof lives);
    begin_store("live");
    for (unsigned e = 0; e < COUNT_OF(every); e++) {
        uint64_t at = 0;
        struct world w;

        writes[e] = 0;
        lab_marked(&w, "live", "marker", every[e]);
        for (unsigned n = 0; n < 130; n++) {
            ljs_marker m;

            join(&w, 0);
            assert_int_equal(ljs_marker_look(&m, vault, NULL, in_dir("marker")), LJS_OK);
            writes[e] += m.at != at;
            at = m.at;
        }
        marked_end(&w);
    }
    assert_in_range(writes[0], 129, 130);
    assert_in_range(writes[1], 15, 18);
    assert_in_range(writes[2], 2, 4);
}

/* A store that another process commits to, and marks, whenever ours has just been told its count. */
static struct {
    ljs_store *store, *other;
    bool off;
} busy;

static ljs_err busy_get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    (void)self;
    return ljs_store_get(out, version, busy.store, key, key_len);
}

static ljs_err busy_commit(void *self, ljs_change *changes, size_t changes_len)
{
    (void)self;
    return ljs_store_commit(busy.store, changes, changes_len);
}

static ljs_err busy_each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    (void)self;
    return ljs_store_each(busy.store, prefix, prefix_len, row, user);
}

static ljs_err busy_count(uint64_t *out, void *self)
{
    static const uint8_t key[] = "d00000000";
    ljs_err err = ljs_store_count(out, busy.store);

    (void)self;
    for (unsigned n = 0; !busy.off && n < 2; n++) {
        ljs_change change = { .key = key, .key_len = sizeof key - 1, .in = key, .in_len = 1 };
        ljs_buf value;

        assert_int_equal(ljs_store_commit(busy.other, &change, 1), LJS_OK);
        assert_int_equal(change.result, LJS_OK);
        change = (ljs_change){ .key = key, .key_len = sizeof key - 1 };
        assert_int_equal(ljs_store_get(&value, &change.if_version, busy.store, key, sizeof key - 1), LJS_OK);
        ljs_buf_free(&value);
        assert_int_equal(ljs_store_commit(busy.other, &change, 1), LJS_OK);
    }
    return err;
}

static void test_beside_another(void **state)
{
    static const ljs_store_ops ops = {
        .struct_size = sizeof ops, .get = busy_get, .commit = busy_commit, .each = busy_each, .count = busy_count
    };
    ljs_store *store, *marked;
    ljs_marker m;

    (void)state;
    begin_store("live");
    busy.store = open_store("live");
    assert_int_equal(ljs_store_marked(&busy.other, busy.store, vault, in_dir("marker"), 1), LJS_OK);
    assert_int_equal(ljs_store_custom(&store, &ops, NULL), LJS_OK);
    busy.off = false;
    assert_int_equal(ljs_marker_look(&m, vault, store, in_dir("marker")), LJS_OK);
    assert_int_equal(m.verdict, LJS_MARKER_GOOD);
    busy.off = true;
    assert_int_equal(ljs_store_marked(&marked, store, vault, in_dir("marker"), 1), LJS_OK);
    ljs_store_free(marked);
    ljs_store_free(store);
    ljs_store_free(busy.other);
    ljs_store_free(busy.store);
}

static void test_is_not_written(void **state)
{
    struct world w;
    const struct say say = { 0 };
    ljs_join_req req = request_of(0, 1);
    ljs_standing before, after;
    ljs_store *store, *third;

    (void)state;
    begin_store("live");
    lab_marked(&w, "live", "marker", 1);
    assert_int_equal(ljs_standing_read(&before, vault, w.store), LJS_OK);
    assert_int_equal(truncate(in_dir("marker"), 0), 0); /* somebody took it away: nothing is given any more */
    copy_file("live", "other");
    begin_store("third");
    third = open_store("third");
    assert_int_equal(ljs_store_marked(&store, third, vault, in_dir("marker"), 1), LJS_OK);
    ljs_store_free(store);
    ljs_store_free(third);
    asked(&w, NULL, join_text(&say, &req), "Other");
    asked(&w, NULL, join_text(&say, &req), "Other");
    assert_int_equal(ljs_standing_read(&after, vault, w.store), LJS_OK);
    assert_int_equal(after.count, before.count);
    marked_end(&w);
}

/* ---- backups ----------------------------------------------------------------- */

static void test_backup(void **state)
{
    struct world w;
    ljs_backup made, read;
    struct stat st;
    FILE *file;

    (void)state;
    memset(lives, 0, sizeof lives);
    begin_store("live");
    lab_begin(&w, open_store("live"));
    put_two_keks(&w);
    join(&w, 0);
    assert_int_equal(ljs_backup_make(&made, vault, w.store, in_dir("b"), NOW), LJS_OK);
    assert_int_equal(made.at, NOW);
    assert_int_equal(made.devices, 1);
    assert_int_equal(made.standing.generation, 0);
    assert_true(made.standing.count >= 5);
    assert_int_equal(stat(in_dir("b"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(access(in_dir("b.part"), F_OK), -1);
    assert_int_equal(access(in_dir("b.copy"), F_OK), -1);
    assert_int_equal(ljs_backup_check(&read, vault, in_dir("b")), LJS_OK);
    assert_memory_equal(&made, &read, sizeof made);
    assert_int_equal(ljs_backup_make(&made, vault, w.store, in_dir("b"), NOW), LJS_E_EXISTS);
    assert_int_equal(ljs_backup_check(&read, vault, in_dir("none")), LJS_E_NOTFOUND);
    assert_int_equal(ljs_backup_check(&read, vault, in_dir("live")), LJS_E_SEAL);
    file = fopen(in_dir("c.copy"), "wb"); /* left by one that was killed */
    assert_non_null(file);
    fclose(file);
    assert_int_equal(ljs_backup_make(&made, vault, w.store, in_dir("c"), NOW), LJS_OK);
    assert_int_equal(ljs_backup_make(&made, vault, w.store, in_dir("no/d"), NOW), LJS_E_STORE);
    server_end(&w);
    lab_begin(&w, NULL);
    assert_int_equal(ljs_backup_make(&made, vault, w.store, in_dir("m"), NOW), LJS_E_MISSING);
    assert_int_equal(access(in_dir("m.copy"), F_OK), -1);
    server_end(&w);
}

/* Each octet counts. */
static void test_each_bit(void **state)
{
    struct world w;
    ljs_backup backup, nothing;
    ljs_standing plan;
    struct stat st;
    FILE *file;

    (void)state;
    begin_store("live");
    lab_begin(&w, open_store("live"));
    assert_int_equal(ljs_backup_make(&backup, vault, w.store, in_dir("b"), NOW), LJS_OK);
    server_end(&w);
    assert_int_equal(ljs_backup_plan(&plan, &backup, NULL, NULL, 0, NOW), LJS_OK);
    assert_int_equal(stat(in_dir("b"), &st), 0);
    file = fopen(in_dir("b"), "r+b");
    assert_non_null(file);
    setvbuf(file, NULL, _IONBF, 0);
    memset(&nothing, 0, sizeof nothing);
    for (long at = 0; at < st.st_size; at += at < st.st_size - 200 ? 97 : 1) {
        ljs_err err;
        int was;

        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        was = fgetc(file);
        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        fputc(was ^ 1 << at % 8, file);
        err = ljs_backup_check(&backup, vault, in_dir("b"));
        assert_true(err == LJS_E_SEAL);
        assert_memory_equal(&backup, &nothing, sizeof nothing);
        if (at % 13 == 0) {
            assert_int_equal(ljs_backup_extract(&backup, vault, in_dir("b"), in_dir("new"), &plan), LJS_E_SEAL);
            assert_int_equal(access(in_dir("new"), F_OK), -1);
        }
        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        fputc(was, file);
    }
    for (long less = 1; less < 300; less += 7) {
        copy_file("b", "short");
        assert_int_equal(truncate(in_dir("short"), st.st_size - less), 0);
        assert_int_equal(ljs_backup_check(&backup, vault, in_dir("short")), LJS_E_SEAL);
    }
    fseek(file, 0, SEEK_END);
    fputc(0, file);
    assert_int_equal(ljs_backup_check(&backup, vault, in_dir("b")), LJS_E_SEAL);
    fclose(file);
}

/* A record that somebody wrote into the database is no part of a backup. */
static void test_tampered(void **state)
{
    struct world w;
    ljs_backup backup;
    uint64_t version;
    ljs_buf value;
    ljs_change change = { .key = (const uint8_t *)"d\x70\xb3\xd5\x49\x9f\x0a\x1c\x27", .key_len = 9 };

    (void)state;
    begin_store("live");
    lab_begin(&w, open_store("live"));
    assert_int_equal(ljs_store_get(&value, &version, w.store, change.key, change.key_len), LJS_OK);
    value.data[20] ^= 1;
    change.in = value.data;
    change.in_len = value.len;
    change.if_version = version;
    assert_int_equal(ljs_store_commit(w.store, &change, 1), LJS_OK);
    ljs_buf_free(&value);
    assert_int_equal(ljs_backup_make(&backup, vault, w.store, in_dir("b"), NOW), LJS_E_SEAL);
    assert_int_equal(access(in_dir("b"), F_OK), -1);
    assert_int_equal(access(in_dir("b.copy"), F_OK), -1);
    server_end(&w);
}

static void test_plan(void **state)
{
    const ljs_backup b = { .standing = { .name = { 1 }, .generation = 10, .count = 1000 }, .at = NOW };
    const ljs_marker unknown = { .name = { 2 }, .generation = 90, .bound = 90000 };
    ljs_marker m = { .name = { 1 }, .generation = 10, .at = 1000, .bound = 1000 };
    ljs_standing known = { .name = { 1 }, .generation = 10, .count = 1000 }, plan;

    (void)state;
    assert_int_equal(ljs_backup_plan(&plan, &b, &m, NULL, 0, NOW + 1), LJS_OK);
    assert_int_equal(plan.generation, 10 + LJS_GUARD);
    assert_int_equal(plan.count, 1000);
    assert_int_equal(plan.marked, 1);
    m.bound = 21000; /* 20,000 joins may have been given to one device */
    assert_int_equal(ljs_backup_plan(&plan, &b, &m, NULL, 0, NOW + 1), LJS_OK);
    assert_int_equal(plan.generation, 10 + 20000 + LJS_GUARD_MARGIN);
    assert_int_equal(plan.count, 21000);
    m.reserved = 5000; /* restored once, and never served */
    assert_int_equal(ljs_backup_plan(&plan, &b, &m, NULL, 0, NOW + 1), LJS_OK);
    assert_int_equal(plan.generation, 5000 + 20000 + LJS_GUARD_MARGIN);
    m.generation = 6000;
    assert_int_equal(ljs_backup_plan(&plan, &b, &m, &known, 100000, NOW + 1), LJS_OK);
    assert_int_equal(plan.generation, 6000 + 100000);
    known.generation = 7000;
    known.count = 31000;
    assert_int_equal(ljs_backup_plan(&plan, &b, &m, &known, 1, NOW + 1), LJS_OK);
    assert_int_equal(plan.generation, 7000 + 30000 + LJS_GUARD_MARGIN);
    assert_int_equal(ljs_backup_plan(&plan, &b, NULL, &known, 1, NOW + 1), LJS_OK);
    assert_int_equal(plan.generation, 7000 + 30000 + LJS_GUARD_MARGIN);
    assert_int_equal(plan.marked, 0);
    /* Nothing is known but the time. */
    assert_int_equal(ljs_backup_plan(&plan, &b, NULL, NULL, 0, NOW + 86400), LJS_OK);
    assert_int_equal(plan.generation, 10 + LJS_GUARD + 86400 / LJS_GUARD_SECONDS);
    assert_int_equal(ljs_backup_plan(&plan, &b, &unknown, NULL, 0, NOW - 5), LJS_OK);
    assert_int_equal(plan.generation, 10 + LJS_GUARD);
    m.generation = UINT32_MAX - 4095;
    assert_int_equal(ljs_backup_plan(&plan, &b, &m, NULL, 4096, NOW), LJS_E_SPENT);
    assert_int_equal(plan.generation, 0);
}

/* While others write: what is in the backup is of one moment, and the store's own. */
static void test_online(void **state)
{
    struct world w;
    ljs_backup backups[3];
    pid_t child;
    int status;

    (void)state;
    memset(lives, 0, sizeof lives);
    begin_store("live");
    if (!(child = fork())) {
        static const uint8_t master[32] = { 0x4c, 0x6f, 0x52, 0x61 };

        if (ljs_vault_new(&vault, master, sizeof master))
            _exit(1);
        nwk = key_of("8d3c1f6a5b7e90214fd2a6c3b8e17095");
        lab_begin(&w, open_store("live"));
        while (access(in_dir("stop"), F_OK))
            join(&w, 0);
        _exit(0);
    }
    lab_begin(&w, open_store("live"));
    for (unsigned i = 0; i < 3; i++) {
        char name[16];
        ljs_store *store;
        ljs_standing plan, stands;
        uint32_t next = device_in(&w, DEV).next_join_nonce;
        struct world past;

        while (device_in(&w, DEV).next_join_nonce == next) /* it writes indeed */
            ;
        snprintf(name, sizeof name, "b%u", i);
        next = device_in(&w, DEV).next_join_nonce;
        assert_int_equal(ljs_backup_make(&backups[i], vault, w.store, in_dir(name), NOW), LJS_OK);
        assert_int_equal(ljs_backup_plan(&plan, &backups[i], NULL, NULL, 0, NOW), LJS_OK);
        assert_int_equal(ljs_backup_extract(&backups[i], vault, in_dir(name), in_dir("new"), &plan), LJS_OK);
        store = open_store("new");
        assert_int_equal(ljs_standing_read(&stands, vault, store), LJS_OK);
        assert_int_equal(stands.generation, plan.generation);
        lab_begin(&past, store);
        assert_in_range(device_in(&past, DEV).next_join_nonce, next + LJS_GUARD,
                        device_in(&w, DEV).next_join_nonce + LJS_GUARD);
        server_end(&past);
        assert_int_equal(unlink(in_dir("new")), 0);
    }
    fclose(fopen(in_dir("stop"), "wb"));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    server_end(&w);
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, dir_begin, dir_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(test_no_nonce_twice), IN_DIR(test_without_the_guard), IN_DIR(test_verdicts),
        IN_DIR(test_torn),           IN_DIR(test_crashes),           IN_DIR(test_every),
        IN_DIR(test_beside_another), IN_DIR(test_is_not_written),    IN_DIR(test_backup),
        IN_DIR(test_each_bit),       IN_DIR(test_tampered),          cmocka_unit_test(test_plan),
        IN_DIR(test_online),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
