/* rewrap.c -- `lorajs rewrap`: another master key, while the daemon serves.
 *
 * In this order, so that whoever is killed anywhere goes on with the same command:
 *   1. the new key is made, or found where it is kept, and its stand-in is durable as master.*.next;
 *   2. the database has both keys, each sealed under the other, and opens with either;
 *   3. every value is written again under the new one, and all are looked at once more; and so is the marker,
 *      which whoever serves may not write before he ends;
 *   4. the new stand-in takes the place of the old one;
 *   5. the database has the new key alone. */
#include "marking.h"
#include "master.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { STEP = 256, MARK_LEN = 16, GRACE = 5 };

struct rewrap_opts {
    struct where where;
    const char *to, *marker;
    struct stretch stretch;
    int64_t grace;
    bool leave_damaged, retire, status, dry_run, json;
};

#define AT(member) offsetof(struct rewrap_opts, member)
static const struct flag flags[] = {
    WHERE_FLAGS(struct rewrap_opts),
    { "to", "SOURCE", "who is to keep the new master key, in the words of --master-key; needed but for keys in a token",
      FLAG_TEXT, AT(to), 0, 0 },
    { "marker", "PATH", "the marker of the database, as serve has it; needed where there is one", FLAG_TEXT, AT(marker),
      0, 0 },
    { "stretch-memory", "MIB", "memory that one guess at a new passphrase costs (default 256)", FLAG_NUMBER,
      AT(stretch.memory), LJS_STRETCH_MEMORY_MIN / 1024, LJS_STRETCH_MEMORY_MAX / 1024 },
    { "stretch-passes", "N", "passes over that memory (default 3)", FLAG_NUMBER, AT(stretch.passes), 1,
      LJS_STRETCH_PASSES_MAX },
    { "grace", "SECONDS", "how long a running daemon has to notice, before the old key ends (default 5)", FLAG_NUMBER,
      AT(grace), 0, 86400 },
    { "leave-damaged", NULL, "end the old key though there are values that no key opens", FLAG_SWITCH,
      AT(leave_damaged), 0, 0 },
    { "retire", NULL, "for keys in a token: when nothing is under them any more, destroy the older storage keys there",
      FLAG_SWITCH, AT(retire), 0, 0 },
    { "status", NULL, "tell how far it is, and change nothing", FLAG_SWITCH, AT(status), 0, 0 },
    { "dry-run", NULL, "look whether it could begin and what it would write, and change nothing", FLAG_SWITCH,
      AT(dry_run), 0, 0 },
    { "json", NULL, "one JSON object", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
#undef AT

const struct usage rewrap_usage = {
    "rewrap",
    "",
    "Replaces the master key by a new one: everything that is sealed or tagged under the old one is written again, "
    "all of it is looked at once more, and then the old key ends. The daemon serves meanwhile and takes the new key "
    "by itself; give it the new --master-key for its next start.\n"
    "To `file` and `passphrase` a new key is made; in a file elsewhere or a credential a new one must be there "
    "already (`lorajs key generate --length 32`). Stopped or killed at any moment, the same command goes on. Until it "
    "is done both keys open the database, and backups of it: make one afterwards, and none in between.\n"
    "With --master-key pkcs11:URI and no --to, every key is sealed anew inside the token, under the storage key that "
    "`lorajs token next` made there.",
    flags,
    0,
    0,
};

/* ---- who has which key ------------------------------------------------------- */

static bool there(const struct place *place, const char *name)
{
    return faccessat(place->fd, name, F_OK, 0) == 0;
}

/* A vault of this key alone. */
static int mark_of(uint8_t mark[MARK_LEN], const ljs_key *key)
{
    ljs_vault *vault;
    ljs_err err = ljs_vault_from_key(&vault, key);

    if (!err)
        err = ljs_vault_mark(mark, vault);
    ljs_vault_free(vault);
    return err ? complain_err(err, "master key") : DONE;
}

/* Is it the newest that the database has? */
static bool is_newest(const struct data *data, const ljs_key *key)
{
    uint8_t mark[MARK_LEN];

    return !mark_of(mark, key) && !ljs_vault_is(data->vault, mark, sizeof mark);
}

struct run {
    const struct rewrap_opts *opts;
    struct place place;
    struct source to;
    struct data data;
    ljs_key *key;     /* that opened it */
    bool by_new;      /* and was had from the new source */
    unsigned version; /* that everything is to be under */
};

static int open_by(struct run *run, const char *asked)
{
    struct source source;
    bool fresh, begun;
    int code = place_settle(&source, &fresh, &begun, &run->place, asked, DATA_OPEN);

    if (code != GO_ON)
        return code;
    if (!(code = master_take(&run->key, &run->place, &source,
                             fresh ? stand_in[source.kept].fresh : stand_in[source.kept].name)))
        code = place_use(&run->data, &run->place, &source, run->key, NULL);
    if (code) {
        data_close(&run->data);
        ljs_key_free(run->key);
        run->key = NULL;
    }
    return code;
}

/* By the old source, or, when that does not open it any more, by the new one: then somebody was here before.
 * What is told is why the old one does not. */
static int open_it(struct run *run)
{
    char why[1024], why_not[1024];
    int code, again;

    complain_into(why, sizeof why);
    code = open_by(run, run->opts->where.master_key);
    complain_into(why_not, sizeof why_not);
    again = code && run->opts->to ? open_by(run, run->opts->to) : code;
    complain_into(NULL, 0);
    run->by_new = code && !again;
    if (again)
        complain("%s", why);
    return again ? code : DONE;
}

/* ---- the marker ---------------------------------------------------------------- */

/* Its tag is of the master key too, and with the old key it would end.  Before anything is begun. */
static int check_marker(const struct run *run)
{
    const char *path = run->opts->marker, *why;
    ljs_standing is;
    ljs_marker marker = { .verdict = LJS_MARKER_GOOD };
    ljs_err err = ljs_standing_read(&is, run->data.vault, run->data.store);

    if (!err && path && is.marked)
        err = ljs_marker_look(&marker, run->data.vault, run->data.store, path);
    if (err)
        return complain_err(err, path ? path : "the database");
    why = is.marked ? marking_text(marker.verdict) : "the database goes with no marker";
    if (path ? !why : !is.marked)
        return DONE;
    if (!path)
        complain("rewrap: the database goes with a marker, which is to be under the new master key too: give --marker "
                 "PATH, as serve has it");
    else
        complain("rewrap: %s: %s", path, why);
    return REFUSED;
}

/* Opened where both keys are, it is written under the newest. */
static int write_marker(const struct run *run)
{
    const char *path = run->opts->marker;
    ljs_store *marked = NULL;
    ljs_err err = path ? ljs_store_marked(&marked, run->data.store, run->data.vault, path, 0) : LJS_OK;

    ljs_store_free(marked);
    if (err == LJS_E_STORE)
        complain("rewrap: %s cannot be written", path);
    else if (err)
        complain_err(err, path);
    return err ? FAILED : DONE;
}

/* ---- begin -------------------------------------------------------------------- */

static int begin(struct run *run)
{
    const struct stand_in *file = &stand_in[run->to.kept];
    ljs_key *key = NULL;
    int code = master_begin(&key, &run->place, &run->to, &run->opts->stretch, NULL);
    ljs_err err;

    if (!code && (renameat(run->place.fd, file->fresh, run->place.fd, file->next) || fsync(run->place.fd))) {
        complain("%s/%s: %s", run->place.dir, file->next, strerror(errno));
        code = FAILED;
    }
    if (!code && (err = ljs_server_rotate(run->data.server, key))) {
        if (err == LJS_E_EXISTS)
            complain("rewrap: that is the master key which the database has; put a new one there (`lorajs key generate "
                     "--length 32`)");
        code = err == LJS_E_EXISTS ? REFUSED : complain_err(err, "rewrap");
        if (err == LJS_E_EXISTS) /* else the database may have it */
            (void)!unlinkat(run->place.fd, file->next, 0);
    }
    ljs_key_free(key);
    return code;
}

/* Somebody began: is it the same that we are asked for?  Where step 4 was done, or half of it, the stand-in has
 * its name already. */
static int go_on(struct run *run)
{
    const struct stand_in *file = &stand_in[run->to.kept];
    const char *name = there(&run->place, file->next) ? file->next : file->name;
    ljs_key *key = NULL;
    int code = DONE;

    for (unsigned k = 0; name == file->name && k < KEEPERS; k++)
        if (there(&run->place, stand_in[k].next)) {
            complain("a change of the master key to %s/%s is under way; finish that with its --to first",
                     run->place.dir, stand_in[k].next);
            return REFUSED;
        }
    if (!there(&run->place, name))
        code = FAILED;
    else if ((code = master_take(&key, &run->place, &run->to, name)))
        return code;
    if (code || !is_newest(&run->data, key)) {
        complain("%s/%s, which is to keep the new master key, is gone or another one; put it back", run->place.dir,
                 file->next);
        code = FAILED;
    }
    ljs_key_free(key);
    return code;
}

/* ---- the walk ----------------------------------------------------------------- */

static void progress(const ljs_rewrapped *now, int64_t *shown)
{
    if (now_ms() - *shown < 200 || !isatty(STDERR_FILENO))
        return;
    *shown = now_ms();
    fprintf(stderr, "\rpass %u: %" PRIu64 " of %" PRIu64 ", %" PRIu64 " written\033[K", (unsigned)now->passes,
            now->looked, now->values, now->changed);
}

static int walk(struct run *run, ljs_rewrap *rewrap, ljs_rewrapped *so_far)
{
    int64_t shown = 0;
    unsigned faults = 0;
    ljs_err err = LJS_OK;

    do { /* a busy disk is asked again, a broken one is not asked for ever */
        err = ljs_rewrap_step(so_far, rewrap, STEP);
        faults = err ? faults + 1 : 0;
        progress(so_far, &shown);
    } while ((!err && !so_far->done) || (err == LJS_E_STORE && faults < 8));
    if (shown)
        fputs("\r\033[K", stderr);
    if (err == LJS_E_VERSION) {
        complain("rewrap: there is a value of a newer lorajs in the database; use that one");
        return FAILED;
    }
    if (err)
        return complain_err(err, "rewrap");
    if (so_far->damaged && !run->opts->leave_damaged) {
        complain("rewrap: %" PRIu64 " values open under no master key, the last of them %s; put them right, or say "
                 "--leave-damaged; until then the old key stays",
                 so_far->damaged, so_far->what);
        return FAILED;
    }
    return DONE;
}

/* ---- end ---------------------------------------------------------------------- */

/* The new stand-in counts, and no other is there. */
static int settle(struct run *run)
{
    const struct stand_in *file = &stand_in[run->to.kept];

    if (there(&run->place, file->next) &&
        (renameat(run->place.fd, file->next, run->place.fd, file->name) || fsync(run->place.fd))) {
        complain("%s/%s: %s", run->place.dir, file->name, strerror(errno));
        return FAILED;
    }
    for (unsigned k = 0; k < KEEPERS; k++)
        if (&stand_in[k] != file && there(&run->place, stand_in[k].name) &&
            unlinkat(run->place.fd, stand_in[k].name, 0)) {
            complain("%s/%s: %s; remove it by hand", run->place.dir, stand_in[k].name, strerror(errno));
            return FAILED;
        }
    if (!fsync(run->place.fd))
        return DONE;
    complain("%s: %s", run->place.dir, strerror(errno));
    return FAILED;
}

static int end(struct run *run, ljs_rewrap *rewrap)
{
    int code = place_open(&run->place, run->place.dir, DATA_OPEN);
    ljs_err err = code ? LJS_OK : ljs_server_refresh(run->data.server);

    if (!code && !err && ljs_vault_version(run->data.vault) != run->version) {
        complain("rewrap: somebody else changes the master key at the same time");
        code = FAILED;
    }
    if (!code && !err)
        code = write_marker(run);
    if (!code && !err)
        code = settle(run);
    if (!code && !err)
        err = ljs_rewrap_retire(rewrap, run->opts->leave_damaged ? LJS_REWRAP_LEAVE_DAMAGED : 0);
    return err ? complain_err(err, "rewrap") : code;
}

static void tell(const struct run *run, const ljs_rewrapped *done, const char *result)
{
    unsigned version = ljs_vault_version(run->data.vault);
    const char *name = stand_in[run->to.kept].name;

    if (run->opts->json)
        printf("{\"master_key\":\"%s\",\"version\":%u,\"values\":%" PRIu64 ",\"written\":%" PRIu64
               ",\"damaged\":%" PRIu64 ",\"result\":\"%s\"}\n",
               name, version, done->values, done->changed, done->damaged, result);
    else
        printf("%s: version %u, %" PRIu64 " values, %" PRIu64 " written: %s\n", name, version, done->values,
               done->changed, result);
}

static void rest(int64_t until)
{
    int64_t left;

    while ((left = until - now_ms()) > 0) {
        struct timespec t = { left / 1000, left % 1000 * 1000000L };

        nanosleep(&t, NULL);
    }
}

static int rewrap(struct run *run)
{
    ljs_rewrapped so_far = { .values = 0 };
    ljs_rewrap *rewrap = NULL;
    int64_t begun = now_ms();
    ljs_err err;
    int code;

    if (run->by_new && ljs_vault_versions(run->data.vault) == 1) {
        tell(run, &so_far, "done before");
        return DONE;
    }
    if ((code = check_marker(run)))
        return code;
    code = ljs_vault_versions(run->data.vault) > 1 ? go_on(run) : begin(run);
    place_close(&run->place); /* others may open it while we walk */
    run->version = ljs_vault_version(run->data.vault);
    if (!code && (err = ljs_rewrap_new(&rewrap, run->data.server)))
        code = complain_err(err, "rewrap");
    if (!code)
        code = walk(run, rewrap, &so_far);
    if (!code) {
        rest(begun + run->opts->grace * 1000);
        code = end(run, rewrap);
    }
    if (!code)
        tell(run, &so_far, "rewrapped");
    ljs_rewrap_free(rewrap);
    return code;
}

/* ---- looking ------------------------------------------------------------------- */

static ljs_err count_device(void *user, ljs_eui dev_eui)
{
    (void)dev_eui;
    ++*(uint64_t *)user;
    return LJS_OK;
}

static ljs_err count_kek(void *user, const char *label, size_t kek_len)
{
    (void)label, (void)kek_len;
    ++*(uint64_t *)user;
    return LJS_OK;
}

static const char *next_there(const struct run *run)
{
    for (unsigned k = 0; k < KEEPERS; k++)
        if (there(&run->place, stand_in[k].next))
            return stand_in[k].next;
    return "";
}

static int look(struct run *run)
{
    bool under_way = ljs_vault_versions(run->data.vault) > 1;
    uint64_t devices = 0, keks = 0;
    ljs_key *key = NULL;
    int code = DONE;
    ljs_err err = ljs_server_each_device(run->data.server, count_device, &devices);

    if (!err)
        err = ljs_server_each_kek(run->data.server, count_kek, &keks);
    if (err)
        return complain_err(err, "rewrap");
    if (run->opts->dry_run && under_way)
        code = go_on(run);
    else if (run->opts->dry_run && run->to.kept == KEPT_ELSEWHERE && !run->by_new) {
        code = master_look(&key, &run->to);
        if (!code && is_newest(&run->data, key)) {
            complain("rewrap: that is the master key which the database has");
            code = REFUSED;
        }
        ljs_key_free(key);
    }
    if (!code && run->opts->dry_run)
        code = check_marker(run);
    if (code)
        return code;
    if (run->opts->json)
        printf("{\"version\":%u,\"under_way\":%s,\"next\":\"%s\",\"devices\":%" PRIu64 ",\"keks\":%" PRIu64 "}\n",
               ljs_vault_version(run->data.vault), under_way ? "true" : "false", next_there(run), devices, keks);
    else
        printf("version %u of the master key%s%s%s; %" PRIu64 " devices, %" PRIu64 " KEKs\n",
               ljs_vault_version(run->data.vault), under_way ? ", to which a change is under way" : "",
               *next_there(run) ? ", in " : "", next_there(run), devices, keks);
    return DONE;
}

/* ---- in a token ------------------------------------------------------------------ */

static void tell_token(const struct run *run, const ljs_token_storage *now, const ljs_rewrapped *done,
                       const char *result)
{
    if (run->opts->json)
        printf("{\"storage_key\":%u,\"storage_keys\":%u,\"values\":%" PRIu64 ",\"written\":%" PRIu64
               ",\"damaged\":%" PRIu64 ",\"result\":\"%s\"}\n",
               now->version, now->versions, done->values, done->changed, done->damaged, result);
    else
        printf("storage key %u, %u in the token, %" PRIu64 " values, %" PRIu64 " written: %s%s\n", now->version,
               now->versions, done->values, done->changed, result,
               now->versions > 1 ? "; --retire destroys the older keys" : "");
}

static int look_token(struct run *run, const ljs_token_storage *now)
{
    uint64_t devices = 0, keks = 0;
    ljs_err err = ljs_server_each_device(run->data.server, count_device, &devices);

    if (!err)
        err = ljs_server_each_kek(run->data.server, count_kek, &keks);
    if (err)
        return complain_err(err, "rewrap");
    printf(run->opts->json ? "{\"storage_key\":%u,\"storage_keys\":%u,\"devices\":%" PRIu64 ",\"keks\":%" PRIu64 "}\n"
                           : "storage key %u, %u in the token; %" PRIu64 " devices, %" PRIu64 " KEKs\n",
           now->version, now->versions, devices, keks);
    return DONE;
}

static int rewrap_token(struct run *run, ljs_token_storage *now)
{
    ljs_rewrapped so_far = { .values = 0 };
    ljs_rewrap *rewrap = NULL;
    int64_t begun = now_ms();
    bool retire = run->opts->retire && now->versions > 1;
    ljs_err err = ljs_rewrap_new(&rewrap, run->data.server);
    int code = err ? complain_err(err, "rewrap") : walk(run, rewrap, &so_far);

    if (!code && retire) {
        rest(begun + run->opts->grace * 1000);
        err = ljs_rewrap_retire(rewrap, run->opts->leave_damaged ? LJS_REWRAP_LEAVE_DAMAGED : 0);
        if (!err)
            err = ljs_token_look(now, run->data.vault);
        if (err == LJS_E_STATE) {
            complain("rewrap: the token has a newer storage key by now; the same command goes on");
            code = FAILED;
        } else if (err == LJS_E_CRYPTO) {
            complain("rewrap: nothing is under the older storage keys any more, and yet the token does not let them be "
                     "destroyed: do that with its own tool");
            code = FAILED;
        } else if (err) {
            code = complain_err(err, "rewrap");
        }
    }
    if (!code)
        tell_token(run, now, &so_far, retire ? "retired" : "rewrapped");
    ljs_rewrap_free(rewrap);
    return code;
}

static int in_token(struct run *run)
{
    ljs_token_storage now;
    ljs_err err;
    int code;

    if (run->opts->to) {
        complain(
            "rewrap: keys in a token stay there: `lorajs token next` makes its next storage key, and rewrap without "
            "--to seals everything anew under it");
        return USAGE;
    }
    if ((code = data_open(&run->data, &run->opts->where, DATA_OPEN, NULL)))
        return code;
    if ((err = ljs_token_look(&now, run->data.vault)))
        return complain_err(err, "rewrap");
    if (run->opts->status || run->opts->dry_run)
        return look_token(run, &now);
    if (now.policy == LJS_TOKEN_SEALED) {
        complain(
            "rewrap: under the policy sealed no root key goes from one storage key to another, and the storage key "
            "stays for good; where it may be known to others, make new keys with `lorajs token init --policy "
            "rotatable` under another object=NAME, and give the devices new root keys");
        return REFUSED;
    }
    return rewrap_token(run, &now);
}

int cmd_rewrap(int argc, char **argv)
{
    struct rewrap_opts opts = { .grace = GRACE };
    struct run run = { .opts = &opts, .place = { .fd = -1 } };
    struct source from = { .kept = KEPT_HERE };
    int code = read_flags(&rewrap_usage, &opts, &argc, &argv);

    if (code == GO_ON && opts.where.master_key)
        code = source_read(&from, opts.where.master_key);
    if (code != GO_ON)
        return code;
    if (from.from == FROM_TOKEN) {
        code = in_token(&run);
        data_close(&run.data);
        return code;
    }
    if (opts.retire) {
        complain("rewrap --retire is for keys in a token: --master-key pkcs11:URI");
        return USAGE;
    }
    if (!opts.to && !opts.status) {
        complain("rewrap needs --to (see `lorajs rewrap --help`)");
        return USAGE;
    }
    if (opts.to && (code = source_read(&run.to, opts.to)) != GO_ON)
        return code;
    code = place_open(&run.place, data_dir(opts.where.data), DATA_OPEN);
    if (!code)
        code = open_it(&run);
    if (!code)
        code = opts.status || opts.dry_run ? look(&run) : rewrap(&run);
    data_close(&run.data);
    ljs_key_free(run.key);
    place_close(&run.place);
    return code;
}

/* ---- for who runs meanwhile ----------------------------------------------------- */

/* By itself, in a vault of its own: one that is not the database's must not come to seal anything. */
static ljs_err opens(const struct data *data, const ljs_key *key)
{
    ljs_server *server = NULL;
    ljs_vault *vault;
    ljs_err err = ljs_vault_from_key(&vault, key);

    if (!err)
        err = ljs_server_new(&server, vault, data->store, NULL);
    ljs_server_free(server);
    ljs_vault_free(vault);
    return err;
}

int data_follow(struct data *data, const struct where *where)
{
    struct place place;
    struct source source;
    ljs_key *key = NULL;
    bool fresh, begun;
    ljs_err err;
    int code = place_open(&place, data_dir(where->data), DATA_OPEN);

    if (!code && (code = place_settle(&source, &fresh, &begun, &place, where->master_key, DATA_OPEN)) == GO_ON) {
        code = source.from == FROM_TERMINAL || source.from == FROM_FD ? FAILED : DONE; /* not to be had twice */
        if (!code)
            code = master_take(&key, &place, &source, stand_in[source.kept].name);
    }
    place_close(&place);
    if (!code) {
        err = opens(data, key);
        if (!err)
            err = ljs_vault_add(data->vault, key); /* by which what the database says opens */
        if (!err || err == LJS_E_EXISTS)
            err = ljs_server_refresh(data->server);
        code = err ? FAILED : DONE;
    }
    ljs_key_free(key);
    return code;
}
