/* backup.c -- `lorajs backup` and `lorajs restore`.
 *
 * A restore makes the database of the backup beside the one that is there, with its new generation,
 * and only then gives it the name: whenever it is cut short, there is the old one, or the new one
 * whole.  (Where the old one is so damaged that it cannot be opened, there may be none for a moment,
 * which no command takes for a new one.) */
#include "master.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- backup ------------------------------------------------------------------- */

struct backup_opts {
    struct where where;
    const char *to;
    bool json;
};

#define AT(member) offsetof(struct backup_opts, member)
static const struct flag backup_flags[] = {
    WHERE_FLAGS(struct backup_opts),
    { "to", "FILE", "the backup, a new file of mode 0600; needed", FLAG_TEXT, AT(to), 0, 0 },
    { "json", NULL, "one JSON object", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
#undef AT

const struct usage backup_usage = {
    "backup",
    "",
    "Makes a copy of the database as of one moment, while others use it, and reads it back: each record, KEK and "
    "decision must carry its tag, and each octet must be as it was written. Root keys and KEKs in it are sealed as in "
    "the database; the master key is not in it, and belongs somewhere else. A file that is there is never overwritten.",
    backup_flags,
    0,
    0,
};

static void print_backup(const char *path, const ljs_backup *b, bool json)
{
    char when[32];

    if (json) {
        printf("{\"backup\":");
        print_json_text(stdout, path);
        printf(",\"at\":%" PRId64 ",\"devices\":%" PRIu64 ",\"changes\":%" PRIu64 ",\"generation\":%" PRIu32
               ",\"octets\":%" PRIu64 "}\n",
               b->at, b->devices, b->standing.count, b->standing.generation, b->size);
    } else {
        printf("%s: %" PRIu64 " devices, as of %s\n", path, b->devices, time_text(when, b->at));
    }
}

int cmd_backup(int argc, char **argv)
{
    struct backup_opts opts = { 0 };
    struct data data = { NULL, NULL, NULL };
    ljs_backup made;
    ljs_err err;
    int code = read_flags(&backup_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if (!opts.to) {
        complain("backup needs --to (see `lorajs backup --help`)");
        return USAGE;
    }
    if ((code = data_open(&data, &opts.where, DATA_OPEN, NULL)))
        goto out;
    err = ljs_backup_make(&made, data.vault, data.store, opts.to, now_seconds());
    if (err == LJS_E_EXISTS)
        complain("%s is there already, or another backup to it is under way; give a new name", opts.to);
    else if (err == LJS_E_SEAL)
        complain("the database has a record without the tag of its master key, so there is no backup; `lorajs doctor` "
                 "tells which");
    else if (err == LJS_E_STORE)
        complain("%s cannot be written, or the database not be read", opts.to);
    else if (err)
        complain_err(err, opts.to);
    code = err == LJS_E_EXISTS ? REFUSED : err ? FAILED : DONE;
    if (!code && (err = ljs_server_note(data.server, LJS_AUDIT_BACKUP, 0, LJS_OK, "backup")))
        code = complain_err(err, "audit log");
    if (!code)
        print_backup(opts.to, &made, opts.json);
out:
    data_close(&data);
    return code;
}

/* ---- restore ------------------------------------------------------------------ */

struct restore_opts {
    struct where where;
    const char *from, *marker;
    int64_t guard;
    bool replace, dry_run, json;
};

#define AT(member) offsetof(struct restore_opts, member)
static const struct flag restore_flags[] = {
    WHERE_FLAGS(struct restore_opts),
    { "from", "FILE", "the backup; needed", FLAG_TEXT, AT(from), 0, 0 },
    { "marker", "PATH", "the marker of the database, as serve has it", FLAG_TEXT, AT(marker), 0, 0 },
    { "guard", "N",
      "JoinNonces that each device passes over at least (default 4096); more where the marker or the old database say "
      "that more may have been given",
      FLAG_NUMBER, AT(guard), 1, 0xffffff },
    { "replace", NULL, "put a database that is there aside, under another name", FLAG_SWITCH, AT(replace), 0, 0 },
    { "dry-run", NULL, "check the backup and tell what would be, and change nothing", FLAG_SWITCH, AT(dry_run), 0, 0 },
    { "json", NULL, "JSON, an object a line: each device concerned, then the sum", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
#undef AT

const struct usage restore_usage = {
    "restore",
    "",
    "Puts the database of a backup into a data directory. What devices did since the backup is forgotten, so the "
    "database begins a new generation: the next JoinNonce of each device rises by more than it can have been given "
    "since, and no JoinNonce is given twice. DevNonces used since then are unknown: of each join-request that was "
    "recorded on the air, one may be played back, to a session with new keys. The devices concerned are listed, those "
    "whose DevNonces are random (before LoRaWAN 1.0.4) first.\n"
    "The file of the master key, master.key or what stands for it, must be in the directory before, unless "
    "--master-key says that the key is kept elsewhere. Stop the daemon first.",
    restore_flags,
    0,
    0,
};

static const char db[] = "lorajs.db", fresh_db[] = "lorajs.db.restored";

struct restore {
    const struct restore_opts *opts;
    struct place place;
    ljs_vault *vault;
    ljs_backup backup;
    ljs_marker marker;
    ljs_standing known, plan;
    bool has_db, has_known, marks;
    char fresh[4200], path[4200], aside[64];

    ljs_server *server; /* of the database to be, for the list */
    bool counted;       /* which devices are listed now */
    uint64_t random, rising;
};

static int say(const char *what, ljs_err err)
{
    return err == LJS_E_STORE ? (complain("%s cannot be read or written", what), FAILED) : complain_err(err, what);
}

static int check_backup(struct restore *r)
{
    const char *from = r->opts->from;
    ljs_err err = ljs_backup_check(&r->backup, r->vault, from);

    if (!err)
        return DONE;
    if (err == LJS_E_NOTFOUND)
        complain("%s is not there", from);
    else if (err == LJS_E_SEAL)
        complain("%s is damaged, or no backup, or one under another master key; take another", from);
    else
        return say(from, err);
    return REFUSED;
}

static int check_marker(struct restore *r)
{
    const char *path = r->opts->marker;
    ljs_err err = path ? ljs_marker_look(&r->marker, r->vault, NULL, path) : LJS_OK;

    if (err)
        return say(path, err);
    r->marks = path && r->marker.verdict == LJS_MARKER_GOOD;
    if (path && r->marker.verdict == LJS_MARKER_BROKEN) {
        complain("%s is damaged, or of another master key: move it away, and what may have been given is reckoned from "
                 "the time",
                 path);
        return REFUSED;
    }
    if (r->marks && memcmp(r->marker.name, r->backup.standing.name, sizeof r->marker.name) != 0) {
        complain("%s is the marker of another database than that of %s", path, r->opts->from);
        return REFUSED;
    }
    return DONE;
}

static int in_use(const struct restore *r)
{
    complain("%s is in use: stop the daemon first", r->path);
    return REFUSED;
}

/* What the database that is there knows of itself; damaged, it is put aside as it is. */
static int check_old(struct restore *r)
{
    ljs_store *store = NULL;
    struct stat st;
    ljs_err err;

    r->has_db = !fstatat(r->place.fd, db, &st, AT_SYMLINK_NOFOLLOW);
    if (!r->has_db)
        return DONE;
    if (!r->opts->replace) {
        complain("%s has a database: it is newer than any backup, so keep it if it can be used; else --replace puts it "
                 "aside",
                 r->place.dir);
        return REFUSED;
    }
    if (!st.st_size || (err = ljs_store_sqlite(&store, r->path)) ||
        (err = ljs_standing_read(&r->known, r->vault, store)))
        complain("warning: %s cannot be used (%s): what it gave since the backup is not known from it", r->path,
                 st.st_size ? ljs_strerror(err) : "empty");
    else if (memcmp(r->known.name, r->backup.standing.name, sizeof r->known.name) != 0)
        complain("warning: %s is another database than that of %s", r->path, r->opts->from);
    else
        r->has_known = true;
    ljs_store_free(store);
    return r->opts->dry_run || ljs_store_sqlite_fold(r->path) != LJS_E_STATE ? DONE : in_use(r);
}

static int make_plan(struct restore *r)
{
    ljs_err err = ljs_backup_plan(&r->plan, &r->backup, r->marks ? &r->marker : NULL, r->has_known ? &r->known : NULL,
                                  (uint32_t)r->opts->guard, now_seconds());

    if (err)
        return complain_err(err, r->opts->from);
    r->plan.marked = r->opts->marker != NULL;
    if (!r->marks && !r->has_known)
        complain("warning: neither a marker nor the old database tells what was given since the backup: it is reckoned "
                 "from the time, one JoinNonce in %d seconds for each device",
                 LJS_GUARD_SECONDS);
    return DONE;
}

/* ---- the devices concerned ---------------------------------------------------- */

static void print_device(const struct restore *r, const ljs_device *d, const ljs_join_eui *e, const ljs_session *s)
{
    bool random = d->mac < LJS_MAC_1_0_4;
    char when[32];

    if (r->opts->json) {
        printf("{\"dev_eui\":\"%016" PRIx64 "\",\"lorawan_version\":\"%s\",\"dev_nonces\":\"%s\",", d->dev_eui,
               ljs_mac_text(d->mac), random ? "random" : "rising");
        if (random)
            printf("\"dev_nonces_used\":%" PRIu32, e->dev_nonces_used);
        else
            printf("\"last_dev_nonce\":%" PRId32, e->dev_nonce);
        printf(",\"last_join\":%" PRId64 ",\"next_join_nonce\":%" PRIu32 "}\n", s->at, d->next_join_nonce);
    } else {
        printf("%016" PRIx64 "  %-5s  last join %-20s  next JoinNonce %-8" PRIu32 "  ", d->dev_eui,
               ljs_mac_text(d->mac), time_text(when, s->at), d->next_join_nonce);
        if (random)
            printf("of 65536 DevNonces %" PRIu32 " are refused\n", e->dev_nonces_used);
        else if (e->dev_nonce < 0)
            puts("no DevNonce is refused");
        else
            printf("DevNonces up to %" PRId32 " are refused\n", e->dev_nonce);
    }
}

static ljs_err one_device(void *user, ljs_eui dev_eui)
{
    struct restore *r = user;
    ljs_buf record;
    ljs_device d = { .struct_size = sizeof d };
    ljs_join_eui e;
    ljs_session s = { .at = 0 };
    ljs_err err = ljs_server_get_device(&record, r->server, dev_eui);

    if (!err)
        err = ljs_device_read(&d, record.data, record.len);
    if (!err)
        err = ljs_device_join_eui(&e, 0, record.data, record.len);
    if (!err && (err = ljs_device_session(&s, 0, record.data, record.len)) == LJS_E_NOTFOUND)
        err = LJS_OK;
    ljs_buf_free(&record);
    if (err || d.state == LJS_STATE_REMOVED || (d.mac < LJS_MAC_1_0_4) != !r->counted)
        return err;
    r->random += !r->counted;
    r->rising += r->counted;
    print_device(r, &d, &e, &s);
    return LJS_OK;
}

static ljs_err list(struct restore *r)
{
    ljs_store *store = NULL;
    ljs_err err = ljs_store_sqlite(&store, r->fresh);

    if (!err)
        err = ljs_server_new(&r->server, r->vault, store, NULL);
    for (int pass = 0; !err && pass < 2; pass++) {
        r->counted = pass;
        err = ljs_server_each_device(r->server, one_device, r);
    }
    if (!err && !r->opts->dry_run)
        err = ljs_server_note(r->server, LJS_AUDIT_RESTORE, 0, LJS_OK, "restore");
    ljs_server_free(r->server);
    ljs_store_free(store);
    return err ? err : ljs_store_sqlite_fold(r->fresh);
}

/* ---- changing places ---------------------------------------------------------- */

static void drop_fresh(const struct restore *r)
{
    static const char *const ends[] = { "", "-wal", "-shm", "-journal" };
    char name[64];

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        snprintf(name, sizeof name, "%s%s", fresh_db, ends[i]);
        unlinkat(r->place.fd, name, 0);
    }
}

/* What stands beside a database that is gone or cannot be opened would be taken for the new one's. */
static int put_aside(const struct restore *r)
{
    static const char *const ends[] = { "", "-wal", "-shm", "-journal" };

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char from[64], to[96];

        snprintf(from, sizeof from, "%s%s", db, ends[i]);
        snprintf(to, sizeof to, "%s%s", r->aside, ends[i]);
        if (renameat(r->place.fd, from, r->place.fd, to) && errno != ENOENT) {
            complain("%s/%s: %s", r->place.dir, from, strerror(errno));
            return FAILED;
        }
    }
    return DONE;
}

static int change_places(struct restore *r)
{
    ljs_err err = r->has_db ? ljs_store_sqlite_fold(r->path) : LJS_E_STORE;
    int code = DONE;

    if (err == LJS_E_STATE)
        return in_use(r);
    /* Folded, the old one is one file, and the new one takes its name in one move. */
    if (err)
        code = put_aside(r);
    else if (linkat(r->place.fd, db, r->place.fd, r->aside, 0))
        code = (complain("%s/%s: %s", r->place.dir, r->aside, strerror(errno)), FAILED);
    if (!code && (fsync(r->place.fd) || renameat(r->place.fd, fresh_db, r->place.fd, db) || fsync(r->place.fd)))
        code = (complain("%s/%s: %s", r->place.dir, db, strerror(errno)), FAILED);
    return code;
}

static void print_sum(const struct restore *r)
{
    uint32_t by = r->plan.generation - r->backup.standing.generation;
    char when[32];

    if (r->opts->json) {
        printf("{\"restored\":%s,\"backup_at\":%" PRId64 ",\"devices\":%" PRIu64 ",\"random_dev_nonces\":%" PRIu64
               ",\"rising_dev_nonces\":%" PRIu64 ",\"generation\":%" PRIu32 ",\"passed_over\":%" PRIu32 ",\"aside\":",
               r->opts->dry_run ? "false" : "true", r->backup.at, r->backup.devices, r->random, r->rising,
               r->plan.generation, by);
        print_json_text(stdout, r->has_db ? r->aside : NULL);
        puts("}");
        return;
    }
    printf("%s: the database as of %s, %" PRIu64 " devices with random DevNonces and %" PRIu64 " others; each passes "
           "over %" PRIu32 " JoinNonces\n",
           r->opts->dry_run ? "would be restored" : "restored", time_text(when, r->backup.at), r->random, r->rising,
           by);
    if (r->has_db)
        printf("the database that was there %s %s/%s\n", r->opts->dry_run ? "would become" : "is", r->place.dir,
               r->aside);
}

static int restore(struct restore *r)
{
    const struct restore_opts *opts = r->opts;
    ljs_backup again;
    ljs_err err;
    int code;

    snprintf(r->fresh, sizeof r->fresh, "%s/%s", r->place.dir, fresh_db);
    snprintf(r->path, sizeof r->path, "%s/%s", r->place.dir, db);
    if ((code = check_backup(r)) || (code = check_marker(r)) || (code = check_old(r)) || (code = make_plan(r)))
        return code;
    snprintf(r->aside, sizeof r->aside, "%s.before-%" PRIu32, db, r->plan.generation);
    if (!opts->dry_run && opts->marker &&
        (err = ljs_marker_reserve(r->vault, opts->marker, r->plan.generation, r->plan.name, sizeof r->plan.name)))
        return say(opts->marker, err);
    drop_fresh(r);
    err = ljs_backup_extract(&again, r->vault, opts->from, r->fresh, &r->plan);
    if (!err)
        err = list(r);
    if (err)
        code = say(r->fresh, err);
    if (!code && !opts->dry_run)
        code = change_places(r);
    drop_fresh(r);
    if (!code)
        print_sum(r);
    return code;
}

int cmd_restore(int argc, char **argv)
{
    struct restore_opts opts = { 0 };
    struct restore r = { .opts = &opts, .place.fd = -1 };
    struct source source;
    bool fresh = false;
    int code = read_flags(&restore_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if (!opts.from) {
        complain("restore needs --from (see `lorajs restore --help`)");
        return USAGE;
    }
    code = place_open(&r.place, data_dir(opts.where.data), opts.dry_run ? DATA_OPEN : DATA_CREATE);
    if (!code)
        code = place_vault(&r.vault, &source, &fresh, &r.place, opts.where.master_key);
    if (!code)
        code = restore(&r);
    if (!code && fresh && !opts.dry_run)
        code = place_name(&r.place, &stand_in[source.kept]);
    ljs_vault_free(r.vault);
    place_close(&r.place);
    return code;
}
