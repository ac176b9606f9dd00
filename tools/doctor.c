/* doctor.c -- `lorajs doctor`: what of a machine, a data directory and a configuration would
 * keep a Join Server from working, or its keys from being secret; a line for each finding. */
#include "config.h"
#include "tls.h"
#include "token.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

struct doctor_opts {
    struct where where;
    const char *config;
    bool strict, json;
};

#define AT(member) offsetof(struct doctor_opts, member)
static const struct flag flags[] = {
    WHERE_FLAGS(struct doctor_opts),
    { "config", "FILE", "look at this configuration of serve, too, and where it says the data are", FLAG_TEXT,
      AT(config), 0, 0 },
    { "strict", NULL, "take a warning for an error", FLAG_SWITCH, AT(strict), 0, 0 },
    { "json", NULL, "JSON, an object a line: each finding, then the sum", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
#undef AT

const struct usage doctor_usage = {
    "doctor",
    "",
    "Looks at what a Join Server depends on, and changes nothing: this machine (locked memory, core dumps, swap, "
    "clock), the data directory (modes, owners, disk), its master key, each record of its database, and a "
    "configuration. Each finding is a line: ok, warning or error, what was seen, and what to do about it.\n"
    "Run it as the user that serves, as the unit file shows for other commands. The exit code is 0 without an error, "
    "3 with one, and with --strict also 3 with a warning.",
    flags,
    0,
    0,
};

/* ---- what is found ------------------------------------------------------------- */

enum verdict { OK, WARNING, ERROR, VERDICTS };

struct label {
    char text[LJS_LABEL_MAX];
};

struct visit {
    const struct doctor_opts *opts;
    struct where where;
    struct config config;
    bool has_config;
    struct data data;
    const char *check; /* that is under way */
    unsigned found[VERDICTS];

    struct label *keks;
    size_t keks_len;
    struct label *lots;
    size_t lots_len;
    uint64_t of_lots, without_lot;
    ljs_eui first_without_lot;
    uint64_t devices, removed, tampered, spent, sealed_only; /* sealed_only: its KEK is not there */
    ljs_eui first_tampered, first_without;
};

static void tell(struct visit *v, enum verdict verdict, const char *remedy, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void tell(struct visit *v, enum verdict verdict, const char *remedy, const char *format, ...)
{
    static const char *const names[VERDICTS] = { "ok", "warning", "error" };
    char text[2048];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    v->found[verdict]++;
    if (v->opts->json) {
        printf("{\"check\":\"%s\",\"verdict\":\"%s\",\"text\":", v->check, names[verdict]);
        print_json_text(stdout, text);
        printf(",\"remedy\":");
        print_json_text(stdout, verdict == OK ? NULL : remedy);
        puts("}");
    } else {
        printf("%-7s  %-14s  %s%s%s\n", names[verdict], v->check, text, verdict == OK || !remedy ? "" : "; ",
               verdict == OK || !remedy ? "" : remedy);
    }
}

/* ---- the machine ---------------------------------------------------------------- */

enum { LOCK_WANTED = 1 << 20 };

static void look_memory(struct visit *v)
{
    struct rlimit limit = { 0, 0 };

    getrlimit(RLIMIT_MEMLOCK, &limit);
    if (can_lock(LOCK_WANTED))
        tell(v, OK, NULL, "memory for keys can be locked");
    else
        tell(v, ERROR, "raise it to 64 MiB: LimitMEMLOCK=64M in the unit, `ulimit -l`, or limits.conf",
             "less than 1 MiB of memory can be locked (the limit is %llu KiB): keys cannot be kept from the swap",
             (unsigned long long)limit.rlim_cur / 1024);
}

static void look_dumps(struct visit *v)
{
    struct rlimit limit = { 1, 1 };

    getrlimit(RLIMIT_CORE, &limit);
    if (limit.rlim_max == 0 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0)
        tell(v, OK, NULL, "this program allows no core dump and no debugger");
    else
        tell(v, ERROR, "see what forbids setrlimit and prctl here, such as a filter of system calls",
             "core dumps cannot be forbidden");
    if (v->has_config && v->config.dumpable)
        tell(v, ERROR, "take `dumpable` out of the configuration", "the configuration allows core dumps and debuggers");
}

/* A line of a small file of the kernel's; false when there is none. */
static bool read_line(char *out, size_t room, const char *path)
{
    FILE *in = fopen(path, "re");
    bool got = in && fgets(out, (int)room, in);

    if (in)
        fclose(in);
    if (got)
        out[strcspn(out, "\n")] = '\0';
    return got;
}

/* Does the kernel encrypt what it swaps there, or keep it in memory? */
static bool is_safe_swap(const char *device)
{
    char path[1024], uuid[256], real[256];
    ssize_t n = readlink(device, real, sizeof real - 1);
    const char *name = device;

    if (n > 0) {
        real[n] = '\0';
        name = real;
    }
    name = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
    snprintf(path, sizeof path, "/sys/block/%s/dm/uuid", name);
    return !strncmp(name, "zram", 4) || (read_line(uuid, sizeof uuid, path) && !strncmp(uuid, "CRYPT-", 6));
}

static void look_swap(struct visit *v)
{
    FILE *in = fopen("/proc/swaps", "re");
    char line[1024], device[512];
    unsigned n = 0;

    while (in && fgets(line, sizeof line, in)) {
        if (sscanf(line, "%511s", device) != 1 || device[0] != '/' || is_safe_swap(device))
            continue;
        n++;
        tell(v, WARNING, "encrypt it, turn it off, or forbid it to the service (MemorySwapMax=0, as the unit does)",
             "%s is swap that is not encrypted: keys are locked in memory, but what the machine keeps when it "
             "hibernates, and requests with keys in clear, may reach it",
             device);
    }
    if (!in)
        tell(v, WARNING, "run it where /proc can be read", "/proc/swaps: %s", strerror(errno));
    else if (!n)
        tell(v, OK, NULL, "no swap that is not encrypted");
    if (in)
        fclose(in);
}

static void look_clock(struct visit *v)
{
    struct timex t = { .modes = 0 };
    int state = adjtimex(&t);
    char when[32];
    int64_t now = now_seconds();

    if (now < INT64_C(1767225600)) /* 2026-01-01 */
        tell(v, ERROR, "set it; certificates and the times of decisions depend on it", "the clock says %s",
             time_text(when, now));
    else if (state < 0)
        tell(v, WARNING, "see that something keeps it right", "whether the clock (%s) is kept right cannot be seen: %s",
             time_text(when, now), strerror(errno));
    else if (state == TIME_ERROR || (t.status & STA_UNSYNC))
        tell(v, WARNING, "run systemd-timesyncd or chrony",
             "nothing keeps the clock (%s) right, as far as the kernel knows", time_text(when, now));
    else
        tell(v, OK, NULL, "the clock says %s, and is kept right", time_text(when, now));
}

/* ---- the data directory ----------------------------------------------------------- */

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

/* What a part that complains itself has said, as one finding. */
static void tell_caught(struct visit *v, char *said, const char *remedy)
{
    complain_into(NULL, 0);
    tell(v, ERROR, remedy, "%s", *said ? said : "it cannot be used");
}

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

/* ---- the database ------------------------------------------------------------------ */

static ljs_err add_label(struct label **labels, size_t *len, const char *label)
{
    struct label *more = realloc(*labels, (*len + 1) * sizeof *more);

    if (!more)
        return LJS_E_NOMEM;
    *labels = more;
    snprintf(more[(*len)++].text, LJS_LABEL_MAX, "%s", label);
    return LJS_OK;
}

static ljs_err add_kek(void *user, const char *label, size_t kek_len)
{
    struct visit *v = user;

    (void)kek_len;
    return add_label(&v->keks, &v->keks_len, label);
}

static ljs_err add_lot(void *user, const char *label)
{
    struct visit *v = user;

    return add_label(&v->lots, &v->lots_len, label);
}

/* No label at all is none that is missing. */
static bool has_label(const struct label *labels, size_t len, const char *label)
{
    for (size_t i = 0; i < len; i++)
        if (!strcmp(labels[i].text, label))
            return true;
    return !*label;
}

static bool has_kek(const struct visit *v, const char *label)
{
    return has_label(v->keks, v->keks_len, label);
}

static ljs_err one_device(void *user, ljs_eui dev_eui)
{
    struct visit *v = user;
    ljs_device d = { .struct_size = sizeof d };
    ljs_buf record = { NULL, 0 };
    ljs_event event;
    ljs_err err = ljs_server_get_device(&record, v->data.server, dev_eui), told = LJS_OK;

    if (!err)
        err = ljs_device_read(&d, record.data, record.len);
    if (!err)
        told = ljs_server_decision(&event, v->data.server, dev_eui, 0);
    ljs_buf_free(&record);
    if (err == LJS_E_NOTFOUND) /* gone since */
        return LJS_OK;
    v->devices++;
    if (err == LJS_E_SEAL || err == LJS_E_VERSION || told == LJS_E_SEAL) {
        v->first_tampered = v->tampered++ ? v->first_tampered : dev_eui;
        return LJS_OK;
    }
    if (err)
        return err;
    v->removed += d.state == LJS_STATE_REMOVED;
    v->spent += d.state != LJS_STATE_REMOVED && d.next_join_nonce > 0xffff00;
    if (d.state != LJS_STATE_REMOVED && (!has_kek(v, d.ns_kek_label) || !has_kek(v, d.as_kek_label)))
        v->first_without = v->sealed_only++ ? v->first_without : dev_eui;
    v->of_lots += *d.lot != '\0';
    if (!has_label(v->lots, v->lots_len, d.lot))
        v->first_without_lot = v->without_lot++ ? v->first_without_lot : dev_eui;
    return LJS_OK;
}

static void look_lots(struct visit *v)
{
    ljs_token_storage storage;
    ljs_err err = ljs_server_each_lot(v->data.server, add_lot, v);

    v->check = "lots";
    if (err)
        tell(v, ERROR, "put back a copy of the database", "the keys of lots cannot be read: %s", ljs_strerror(err));
    else if (v->lots_len && ljs_token_look(&storage, v->data.vault) == LJS_E_STATE)
        tell(
            v, WARNING,
            "keep the data directory's keys in a token (lorajs token), or give the devices keys of their own",
            "%zu lots, whose keys are not in a hardware security module: one of them is that of all devices of the lot",
            v->lots_len);
    else if (v->lots_len)
        tell(v, OK, NULL, "%zu lots, whose keys are used in the token alone", v->lots_len);
}

static void look_records(struct visit *v)
{
    ljs_err err;

    v->check = "keks";
    if ((err = ljs_server_each_kek(v->data.server, add_kek, v)))
        tell(v, ERROR, "put back a copy of the database, or `lorajs kek remove` and add the one that is damaged",
             "the KEKs cannot be read: %s", ljs_strerror(err));
    else
        tell(v, OK, NULL, "%zu KEKs, each with a good tag", v->keks_len);
    look_lots(v);
    v->check = "records";
    if ((err = ljs_server_each_device(v->data.server, one_device, v))) {
        tell(v, ERROR, ljs_remedy(err), "the records cannot be read: %s", ljs_strerror(err));
        return;
    }
    if (v->tampered)
        tell(v, ERROR, "put back a copy of the database (docs/backup-and-restore.md), and ask who could write to it",
             "%" PRIu64 " of %" PRIu64 " records do not carry the tag of this master key, %016" PRIx64 " first",
             v->tampered, v->devices, v->first_tampered);
    else
        tell(v, OK, NULL, "%" PRIu64 " devices (%" PRIu64 " removed), each with a good tag", v->devices, v->removed);
    if (v->spent)
        tell(v, WARNING, "give them new root keys (lorajs device import --replace-keys)",
             "%" PRIu64 " devices have hardly any JoinNonce left", v->spent);
    if (v->sealed_only)
        tell(v, WARNING, "lorajs kek add",
             "%" PRIu64 " devices name a KEK that is not there, %016" PRIx64 " first: they are refused", v->sealed_only,
             v->first_without);
    if (v->without_lot)
        tell(v, ERROR, "lorajs lot add",
             "%" PRIu64 " of %" PRIu64 " devices of lots are of one whose key is not there, %016" PRIx64
             " first: they are refused",
             v->without_lot, v->of_lots, v->first_without_lot);
}

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

static void look_data(struct visit *v)
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

/* ---- the configuration -------------------------------------------------------------- */

enum { EXPIRES_SOON = 30 * 86400 };

static void look_key(struct visit *v, const char *path, const char *what)
{
    struct stat st;

    if (path && !stat(path, &st) && (st.st_mode & 077))
        tell(v, ERROR, "chmod 600, and think of who may have read it",
             "%s: %s may be used by others than its owner (mode %04o)", what, path, st.st_mode & 07777);
}

static void look_certificates(struct visit *v, const char *path, const char *what)
{
    char when[32];
    int64_t end, now = now_seconds();

    if (!path)
        return;
    if (!tls_expiry(&end, path))
        tell(v, ERROR, "give a file of certificates (PEM)", "%s: no certificate can be read from %s", what, path);
    else if (end < now)
        tell(v, ERROR, "renew it, and send SIGHUP", "%s: a certificate in %s has expired (%s)", what, path,
             time_text(when, end));
    else if (end - now < EXPIRES_SOON)
        tell(v, WARNING, "renew it, and send SIGHUP", "%s: a certificate in %s expires soon (%s)", what, path,
             time_text(when, end));
    else
        tell(v, OK, NULL, "%s: certificates in %s are good until %s", what, path, time_text(when, end));
}

static void look_peers(struct visit *v)
{
    const struct config *c = &v->config;
    bool missing = false;

    if (!c->peers_len)
        tell(v, c->tls_certificate ? ERROR : WARNING, "add peer sections (docs/configuration.md)",
             "no peer is configured: %s",
             c->tls_certificate ? "every request will be refused" : "on loopback every sender is served");
    for (size_t i = 0; i < c->clears_len; i++)
        tell(v, WARNING, "give it a KEK, and take this out", "peer \"%s\": %s, so session keys may go out in clear",
             c->clears[i].peer, c->clears[i].name);
    for (size_t i = 0; v->data.server && i < c->keks_len; i++)
        if (!has_kek(v, c->keks[i].name)) {
            tell(v, ERROR, "lorajs kek add", "peer \"%s\": there is no KEK \"%s\"", c->keks[i].peer, c->keks[i].name);
            missing = true;
        }
    if (c->peers_len && !c->clears_len && !missing)
        tell(v, OK, NULL, "%zu peers, and keys go to them wrapped only", c->peers_len);
}

static bool beside(const char *file, const char *dir)
{
    char *copy = strdup(file);
    struct stat at, of;
    bool same =
        copy && !stat(dirname(copy), &at) && !stat(dir, &of) && at.st_dev == of.st_dev && at.st_ino == of.st_ino;

    free(copy);
    return same;
}

static void look_audit(struct visit *v)
{
    const struct config *c = &v->config;

    v->check = "audit";
    if (!strcmp(c->audit, "no"))
        tell(v, WARNING, "take `audit = no` out of the configuration", "no audit log is kept");
    else if (!c->audit_anchor)
        tell(v, WARNING, "give it audit-anchor, or keep what `lorajs audit anchor` prints",
             "whoever can write to the database can cut off the end of the audit log unseen");
    else if (beside(c->audit_anchor, data_dir(v->where.data)))
        tell(v, WARNING, "keep it on another machine, or where this one can only add",
             "audit-anchor: beside the database it is worth nothing against who can write there");
}

static void look_config(struct visit *v)
{
    const struct config *c = &v->config;

    v->check = "configuration";
    if (!v->has_config)
        return;
    tell(v, OK, NULL, "%s can be read", v->opts->config);
    if (c->insecure)
        tell(v, WARNING, "give it tls-certificate", "insecure: whoever is on the way reads and changes what is said");
    if (c->metrics_insecure)
        tell(v, WARNING, "listen on loopback for metrics", "metrics-insecure: whoever gets there sees the metrics");
    if (c->allow_clear_keys)
        tell(v, WARNING, "configure peers with KEKs",
             "allow-clear-keys: where any sender is served, session keys go out in clear");
    if (c->plain_peer)
        tell(v, WARNING, "tell peers by their certificates",
             "plain-peer: whoever reaches the port without TLS is taken for \"%s\"", c->plain_peer);
    look_audit(v);
    v->check = "peers";
    look_peers(v);
    v->check = "certificates";
    look_certificates(v, c->tls_certificate, "tls-certificate");
    look_certificates(v, c->client_ca, "client-ca");
    look_certificates(v, c->forward_ca, "forward-ca");
    look_certificates(v, c->forward_certificate, "forward-certificate");
    look_key(v, c->forward_key, "forward-key");
    look_key(v, c->tls_key, "tls-key");
}

/* Before everything else: it says where the data are. */
static void read_config(struct visit *v)
{
    char command[] = "serve", flag[] = "--config", *argv[] = { command, flag, NULL, NULL }, said[1024];

    v->where = v->opts->where;
    if (!v->opts->config || !(argv[2] = strdup(v->opts->config)))
        return;
    v->check = "configuration";
    complain_into(said, sizeof said);
    v->has_config = config_load(&v->config, 3, argv) == GO_ON;
    free(argv[2]);
    if (!v->has_config) {
        tell_caught(v, said, "mend it; a daemon would not start with it");
        return;
    }
    complain_into(NULL, 0);
    v->where.data = v->where.data ? v->where.data : v->config.where.data;
    v->where.master_key = v->where.master_key ? v->where.master_key : v->config.where.master_key;
}

int cmd_doctor(int argc, char **argv)
{
    static const struct {
        const char *check;
        void (*look)(struct visit *v);
    } looks[] = {
        { "memory", look_memory }, { "core dumps", look_dumps }, { "swap", look_swap },
        { "clock", look_clock },   { "directory", look_data },   { "configuration", look_config },
    };
    struct doctor_opts opts = { 0 };
    struct visit v = { .opts = &opts };
    int code = read_flags(&doctor_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    read_config(&v);
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        v.check = looks[i].check;
        looks[i].look(&v);
    }
    printf(opts.json ? "{\"ok\":%u,\"warnings\":%u,\"errors\":%u}\n" : "%u ok, %u warnings, %u errors\n", v.found[OK],
           v.found[WARNING], v.found[ERROR]);
    data_close(&v.data);
    free(v.keks);
    free(v.lots);
    if (v.has_config)
        config_free(&v.config);
    return v.found[ERROR] || (opts.strict && v.found[WARNING]) ? REFUSED : DONE;
}
