/* doctor_data.c -- what doctor says of a data directory: modes, owners, disk; who keeps its master key; its marker. */
#include "doctor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* ---- files and disk -------------------------------------------------------------- */

static const char *user_name(char out[64], uid_t uid)
{
    struct passwd *user = getpwuid(uid);

    snprintf(out, 64, "%s", user ? user->pw_name : "");
    if (!user)
        snprintf(out, 64, "user %u", (unsigned)uid);
    return out;
}

static bool is_ours(const char *name)
{
    return !strncmp(name, "lorajs.db", 9) || !strncmp(name, "master.", 7);
}

static void look_file(struct visit *v, const struct place *place, const char *name, const struct stat *dir)
{
    struct stat st;
    char a[64], b[64], remedy[4400];

    if (fstatat(place->fd, name, &st, 0))
        return; /* gone since */
    snprintf(remedy, sizeof remedy, "chmod 600 %s/%s, and think of who may have read it", place->dir, name);
    if (!S_ISREG(st.st_mode))
        tell(v, ERROR, "put back what was there", "%s is no plain file", name);
    else if (st.st_mode & 077)
        tell(v, ERROR, remedy, "%s may be used by others than its owner (mode %04o)", name, st.st_mode & 07777);
    else if (st.st_uid != dir->st_uid)
        tell(v, ERROR, "run every command as the user that serves, and chown it to that user",
             "%s is of %s, the directory of %s", name, user_name(a, st.st_uid), user_name(b, dir->st_uid));
    else
        tell(v, OK, NULL, "%s: mode %04o, of %s", name, st.st_mode & 07777, user_name(a, st.st_uid));
}

static void look_disk(struct visit *v, const struct place *place)
{
    static const struct {
        uint32_t magic;
        const char *name;
    } remote[] = { { 0x6969, "NFS" },    { 0x517b, "SMB" },        { 0xff534d42, "CIFS" }, { 0xfe534d42, "SMB" },
                   { 0x01021997, "9P" }, { 0x00c36400, "CephFS" }, { 0x5346414f, "AFS" },  { 0x73757245, "Coda" } };
    struct statfs fs;
    struct statvfs room;
    uint64_t mib;

    if (fstatfs(place->fd, &fs) || fstatvfs(place->fd, &room)) {
        tell(v, WARNING, "see that it is a local disk", "the file system cannot be seen: %s", strerror(errno));
        return;
    }
    for (size_t i = 0; i < sizeof remote / sizeof *remote; i++)
        if ((uint32_t)fs.f_type == remote[i].magic)
            tell(v, ERROR, "put it on a local disk: locks and the write-ahead log need one",
                 "the directory is on a network file system (%s)", remote[i].name);
    if ((uint32_t)fs.f_type == 0x01021994)
        tell(v, WARNING, "put it on a disk", "the directory is in memory (tmpfs), and gone with the machine's power");
    mib = (uint64_t)room.f_bavail * room.f_frsize >> 20;
    if (mib < 64)
        tell(v, mib < 4 ? ERROR : WARNING, "make room: joins that cannot be written are refused",
             "%" PRIu64 " MiB are free on its disk", mib);
    else
        tell(v, OK, NULL, "%" PRIu64 " MiB are free on its disk", mib);
}

static void look_directory(struct visit *v, const struct place *place)
{
    struct stat st;
    struct dirent *entry;
    char name[64], me[64];
    int fd = openat(place->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

    if (fstat(place->fd, &st) || !dir) {
        tell(v, ERROR, NULL, "%s: %s", place->dir, strerror(errno));
        if (!dir && fd >= 0)
            close(fd);
        return;
    }
    if (st.st_mode & 077)
        tell(v, WARNING, "chmod 700", "%s may be looked into by others than its owner (mode %04o)", place->dir,
             st.st_mode & 07777);
    else
        tell(v, OK, NULL, "%s: mode %04o, of %s", place->dir, st.st_mode & 07777, user_name(name, st.st_uid));
    if (st.st_uid != geteuid())
        tell(v, WARNING, "run it as that user: files that root makes there, nobody else can use",
             "the directory is of %s, and this is %s", user_name(name, st.st_uid), user_name(me, geteuid()));
    while ((entry = readdir(dir)))
        if (is_ours(entry->d_name))
            look_file(v, place, entry->d_name, &st);
    closedir(dir);
    if (!data_writable(place->dir))
        tell(v, ERROR, "mount it writable, or mend its modes", "%s cannot be written: no device will join", place->dir);
    look_disk(v, place);
}

/* ---- the master key -------------------------------------------------------------- */

static void look_keeper(struct visit *v, const struct source *source)
{
    if (source->kept == KEPT_HERE)
        tell(v, WARNING,
             "keep it apart: a passphrase or a credential of systemd (lorajs master move), and backups of the two in "
             "different places",
             "it opens, and lies beside the database: whoever copies the directory has all keys");
    else if (source->kept == KEPT_SEALED)
        tell(v, OK, NULL, "it opens, and is kept under a passphrase");
    else
        tell(v, OK, NULL, "it is the one of this directory, and kept %s",
             source->from == FROM_TOKEN ? "in a token" : "elsewhere");
}

static void token_finding(void *user, const char *check, enum token_verdict verdict, const char *text,
                          const char *remedy)
{
    static const enum verdict as[] = { [TOKEN_GOOD] = OK, [TOKEN_PRICE] = WARNING, [TOKEN_BAD] = ERROR };
    struct visit *v = user;

    (void)check;
    tell(v, as[verdict], remedy, "%s", text);
}

static void look_token(struct visit *v, const struct source *source)
{
    ljs_token_report report;
    char said[1024];

    v->check = "token";
    complain_into(said, sizeof said);
    if (token_try(&report, source->name, token_finding, v)) {
        tell_caught(v, said, NULL);
        return;
    }
    complain_into(NULL, 0);
    tell(v, OK, NULL, "%s, %s: policy %s, storage key %u", report.label, report.manufacturer,
         token_policy_text(report.policy), report.version);
}

static int take_master(ljs_key **out, struct visit *v, const struct place *place, const struct source *source,
                       const char *name)
{
    return source->from == FROM_TOKEN ? token_take(&v->data.vault, place, source, name)
                                      : master_take(out, place, source, name);
}

/* ---- the marker, and all of it ---------------------------------------------------- */

/* Would serve start with this marker, and does a database have one at all? */
static void look_marker(struct visit *v)
{
    const char *path = v->has_config ? v->config.marking.path : NULL, *why;
    ljs_marker marker = { 0 };
    ljs_standing is;
    ljs_err err = ljs_standing_read(&is, v->data.vault, v->data.store);

    v->check = "marker";
    if (!err && path)
        err = ljs_marker_look(&marker, v->data.vault, v->data.store, path);
    why = marking_text(marker.verdict);
    if (err)
        tell(v, ERROR, "see that it can be read", "%s: %s", path ? path : "the database", ljs_strerror(err));
    else if (why)
        tell(v, ERROR, "put back the newest database, or its marker, or `lorajs restore` (docs/backup-and-restore.md)",
             "%s: %s; the daemon does not start", path, why);
    else if (path)
        tell(v, OK, NULL, "%s: it knows this database, generation %" PRIu32, path, is.generation);
    else if (v->has_config || !is.marked)
        tell(v, WARNING, "marker = \"PATH\", on another disk (docs/backup-and-restore.md)",
             is.marked
                 ? "the database goes with one, and none is configured: the daemon does not start"
                 : "none is configured: a database that is put back would give JoinNonces twice, and not know it");
    else
        tell(v, OK, NULL, "the database goes with one; give --config to see which");
}

void look_data(struct visit *v)
{
    const char *dir = data_dir(v->where.data);
    struct place place = { dir, -1 };
    struct source source;
    ljs_key *key = NULL;
    char said[1024];
    bool fresh = false, begun = false;

    v->check = "directory";
    complain_into(said, sizeof said);
    if (place_open(&place, dir, DATA_OPEN)) {
        tell_caught(v, said, "name it with --data");
        goto out;
    }
    complain_into(NULL, 0);
    look_directory(v, &place);

    v->check = "master key";
    complain_into(said, sizeof said);
    if (place_settle(&source, &fresh, &begun, &place, v->where.master_key, DATA_OPEN) != GO_ON) {
        tell_caught(v, said, NULL);
        goto out;
    }
    if (take_master(&key, v, &place, &source, fresh ? stand_in[source.kept].fresh : stand_in[source.kept].name)) {
        tell_caught(v, said, NULL);
        goto out;
    }
    complain_into(NULL, 0);
    look_keeper(v, &source);
    if (fresh)
        tell(v, WARNING, "any command that opens the directory ends it", "its making was cut short");
    if (source.from == FROM_TOKEN)
        look_token(v, &source);
    for (unsigned k = 0; k < KEEPERS; k++)
        if (!faccessat(place.fd, stand_in[k].next, F_OK, 0))
            tell(v, WARNING,
                 "run the `lorajs rewrap` again that began it: until it is done, both keys open the database",
                 "a change of it is under way (%s)", stand_in[k].next);

    v->check = "database";
    complain_into(said, sizeof said);
    if (place_use(&v->data, &place, &source, key, NULL)) {
        tell_caught(v, said, NULL);
        goto out;
    }
    complain_into(NULL, 0);
    tell(v, OK, NULL, "it opens, is of this master key, and of a layout that this version knows");
    place_close(&place); /* let others in: the walk may be long */
    look_records(v);
    look_marker(v);
out:
    complain_into(NULL, 0);
    ljs_key_free(key);
    place_close(&place);
}
