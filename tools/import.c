/* import.c -- `lorajs import`: devices in the formats of others; and how devices come in, for all commands. */
#include "import.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- one device --------------------------------------------------------------- */

ljs_err import_device(struct data *data, const ljs_import *import, unsigned flags)
{
    const ljs_root_keys keys = { import->nwk, import->app, import->gen_app, import->rekey };
    ljs_err err = ljs_server_make_device(data->server, &import->device, &keys, flags, import->dev_nonce,
                                         import->dev_nonces.data, import->dev_nonces.len);

    for (unsigned i = 1; !err && i < import->device.join_euis; i++)
        err = ljs_server_add_join_eui(data->server, import->device.dev_eui, import->join_eui[i]);
    return err;
}

/* Which member of the line an error of the step is about; ljs_device_make() looks at the
 * keys in this order. */
static const char *weak_member(const ljs_import *import)
{
    const struct {
        const char *name;
        const ljs_key *key;
    } keys[] = { { "nwk_key", import->nwk },
                 { "app_key", import->app },
                 { "gen_app_key", import->gen_app },
                 { "rekey_key", import->rekey } };

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i].key && ljs_key_check(keys[i].key))
            return keys[i].name;
    return "key";
}

void import_fault(char out[IMPORT_FAULT_MAX], ljs_err err, const ljs_import *import)
{
    switch (err) {
    case LJS_E_WEAK:
        snprintf(out, IMPORT_FAULT_MAX,
                 "%s: so regular that it is no secret; make one with `lorajs key generate`, or say --allow-weak-keys",
                 weak_member(import));
        break;
    case LJS_E_EXISTS:
        snprintf(out, IMPORT_FAULT_MAX,
                 "dev_eui: the device is there with other root keys; say --replace-keys to give it these");
        break;
    case LJS_E_LOT:
        snprintf(out, IMPORT_FAULT_MAX, "lot: %s; %s", ljs_strerror(err), ljs_remedy(err));
        break;
    default:
        snprintf(out, IMPORT_FAULT_MAX, "device: %s (%s); %s", ljs_strerror(err), ljs_errname(err), ljs_remedy(err));
    }
}

bool import_failed(ljs_err err)
{
    return err == LJS_E_STORE || err == LJS_E_NOMEM || err == LJS_E_CRYPTO || err == LJS_E_CONFLICT;
}

/* ---- import ------------------------------------------------------------------- */

enum { PIECE = 64 * 1024 };

struct bulk_opts {
    struct where where;
    const char *format, *version, *join_eui;
    int64_t next_join_nonce;
    bool fresh, allow_weak, replace_keys, dry_run, json;
};

#define AT(member) offsetof(struct bulk_opts, member)
static const struct flag bulk_flags[] = {
    WHERE_FLAGS(struct bulk_opts),
    { "format", "lorajs|tts-csv|tts-json|ttjs|chirpstack|thingpark|wanesy",
      "whose format it is (default: as it begins)", FLAG_TEXT, AT(format), 0, 0 },
    { "lorawan-version", "1.0.0|1.0.1|1.0.2|1.0.3|1.0.4|1.1", "of rows that name none", FLAG_TEXT, AT(version), 0, 0 },
    { "join-eui", "EUI", "of rows that name none", FLAG_TEXT, AT(join_eui), 0, 0 },
    { "fresh", NULL, "none of these devices ever joined, where a row does not say", FLAG_SWITCH, AT(fresh), 0, 0 },
    { "next-join-nonce", "N", "where a row does not say: more than any of them can have had", FLAG_NUMBER,
      AT(next_join_nonce), 2, 0x1000000 },
    { "dry-run", NULL, "check every row and change nothing", FLAG_SWITCH, AT(dry_run), 0, 0 },
    { "allow-weak-keys", NULL, "take keys that are so regular that they are no secret", FLAG_SWITCH, AT(allow_weak), 0,
      0 },
    { "replace-keys", NULL, "give devices that are there new root keys; they must join anew", FLAG_SWITCH,
      AT(replace_keys), 0, 0 },
    { "json", NULL, "report as JSON, an object a line: each row refused, then the sum", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
#undef AT

const struct usage bulk_import_usage = {
    "import",
    "FILE|-",
    "Brings devices in from a file of another system, of any length: The Things Stack (CSV or JSON), ttjs, ChirpStack, "
    "ThingPark, Wanesy, or lorajs.\n"
    "A row that is refused is reported as \"row N, line N: what is wrong\", without any key, and the others are "
    "imported "
    "nevertheless; then the exit code is 3. Refused are root keys that are no secret, or that a row before has; and "
    "rows "
    "that do not say which JoinNonce comes next, since one must never come twice: say --fresh or --next-join-nonce if "
    "you know. What is missing in the data directory is made. The daemon may be running.",
    bulk_flags,
    1,
    1,
};

/* Rows that are good and not written yet. */
struct waiting {
    ljs_import import[IMPORT_TOGETHER];
    struct {
        uint64_t number, line;
        bool has_join_nonce;
    } row[IMPORT_TOGETHER];
    size_t len;
};

struct bulk_run {
    const struct bulk_opts *opts;
    struct waiting *waiting;
    struct data data;
    ljs_bulk *bulk;
    ljs_bulk_opts how;
    unsigned flags;
    uint64_t imported, refused, without_nonces, exposed, octets;
    int64_t shown;
    bool tty;
};

static void erase(const struct bulk_run *run)
{
    if (run->tty)
        fputs("\r\033[K", stderr);
}

static void draw(struct bulk_run *run)
{
    int64_t now = now_ms();

    if (!run->tty || now - run->shown < 200)
        return;
    run->shown = now;
    fprintf(stderr, "\r%" PRIu64 " imported, %" PRIu64 " refused, %" PRIu64 " KiB\033[K", run->imported, run->refused,
            run->octets / 1024);
}

static void report_refused(struct bulk_run *run, uint64_t number, uint64_t line, ljs_eui dev_eui, ljs_err err,
                           const char *fault)
{
    erase(run);
    run->refused++;
    if (!run->opts->json) {
        fprintf(stderr, "row %" PRIu64 ", line %" PRIu64 ": %s", number, line, fault);
        fprintf(stderr, dev_eui ? " (%016" PRIx64 ")\n" : "\n", dev_eui);
        return;
    }
    printf("{\"row\":%" PRIu64 ",\"line\":%" PRIu64 ",\"result\":\"refused\",\"dev_eui\":", number, line);
    printf(dev_eui ? "\"%016" PRIx64 "\"" : "null", dev_eui);
    printf(",\"error\":\"%s\",\"reason\":", ljs_errname(err));
    print_json_text(stdout, fault);
    puts("}");
}

/* What the reader says, and what the command line can do about it. */
static void row_fault(char out[IMPORT_FAULT_MAX], const ljs_bulk_row *row)
{
    const char *remedy = "";

    if (row->err == LJS_E_WEAK)
        remedy = "; make one with `lorajs key generate`, or say --allow-weak-keys";
    else if (strstr(row->entry.fault, "JoinNonce comes next"))
        remedy = "; say --fresh if none ever did, else --next-join-nonce";
    else if (!strcmp(row->entry.fault, "join_eui: is missing"))
        remedy = "; say --join-eui";
    else if (!strcmp(row->entry.fault, "lorawan_version: is missing"))
        remedy = "; say --lorawan-version";
    snprintf(out, IMPORT_FAULT_MAX, "%s%s", row->entry.fault, remedy);
}

/* What came of a row.  DONE also for one that is refused; else the import cannot go on. */
static int settle_row(struct bulk_run *run, const ljs_import *entry, uint64_t number, uint64_t line, ljs_err err)
{
    char fault[IMPORT_FAULT_MAX], what[64];

    if (import_failed(err)) {
        erase(run);
        snprintf(what, sizeof what, "row %" PRIu64, number);
        return complain_err(err, what);
    }
    if (err) {
        import_fault(fault, err, entry);
        report_refused(run, number, line, entry->device.dev_eui, err, fault);
    }
    run->imported += !err;
    return DONE;
}

static void drop_waiting(struct waiting *w)
{
    for (size_t i = 0; i < w->len; i++)
        ljs_import_clear(&w->import[i]);
    w->len = 0;
}

/* Together, and told of in their order. */
static int write_waiting(struct bulk_run *run)
{
    struct waiting *w = run->waiting;
    ljs_err results[IMPORT_TOGETHER];
    int code = DONE;

    ljs_server_import(results, run->data.server, w->import, w->len, run->flags);
    for (size_t i = 0; i < w->len && !code; i++) {
        code = settle_row(run, &w->import[i], w->row[i].number, w->row[i].line, results[i]);
        run->without_nonces += !results[i] && !w->row[i].has_join_nonce;
    }
    drop_waiting(w);
    return code;
}

/* One that says that its keys are known elsewhere is marked before the next. */
static int take_alone(struct bulk_run *run, const ljs_bulk_row *row)
{
    ljs_err err = import_device(&run->data, &row->entry, run->flags);

    if (!err && row->exposed)
        err = ljs_server_step_device(run->data.server, row->entry.device.dev_eui, LJS_DEVICE_EXPOSE);
    run->without_nonces += !err && !row->has_join_nonce;
    run->exposed += !err && row->exposed;
    return settle_row(run, &row->entry, row->number, row->line, err);
}

static int take_row(struct bulk_run *run, ljs_bulk_row *row)
{
    struct waiting *w = run->waiting;
    bool waits = !row->err && !row->exposed;
    char fault[IMPORT_FAULT_MAX];
    int code = DONE;

    if (!waits && w->len)
        code = write_waiting(run);
    if (!code && row->err) {
        row_fault(fault, row);
        report_refused(run, row->number, row->line, row->entry.device.dev_eui, row->err, fault);
    } else if (!code && !waits) {
        code = take_alone(run, row);
    } else if (!code) {
        w->import[w->len] = row->entry; /* which is the queue's from now on */
        row->entry = (ljs_import){ .dev_nonce = -1 };
        w->row[w->len].number = row->number;
        w->row[w->len].line = row->line;
        w->row[w->len++].has_join_nonce = row->has_join_nonce;
        if (w->len == IMPORT_TOGETHER)
            code = write_waiting(run);
    }
    return code;
}

/* `in` NULL: there are no more. */
static int take_piece(struct bulk_run *run, const uint8_t *in, size_t in_len)
{
    ljs_bulk_row row;
    size_t at = 0;
    ljs_err err;
    int code = DONE;

    while (!code && !(err = ljs_bulk_next(&row, &at, run->bulk, in, in_len))) {
        code = take_row(run, &row);
        ljs_bulk_row_clear(&row);
        draw(run);
    }
    if (code || err == LJS_E_NOTFOUND)
        return code;
    erase(run);
    if (err != LJS_E_INVAL)
        return complain_err(err, "import");
    complain("the file has not the header of %s", ljs_bulk_format_text(run->how.format));
    return REFUSED;
}

/* By what it begins with, unless the command line says. */
static int choose_format(struct bulk_run *run, const uint8_t *in, size_t in_len)
{
    char names[128] = "";
    uint32_t formats = 0;
    unsigned n = 0;
    ljs_err err = LJS_OK;

    if (!run->how.format)
        err = ljs_bulk_guess(&formats, in, in_len);
    for (unsigned i = LJS_BULK_LORAJS; !err && !run->how.format && i <= LJS_BULK_WANESY; i++)
        if (!formats || formats >> i & 1) {
            const char *name = ljs_bulk_format_text((ljs_bulk_format)i);

            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", n++ ? ", " : "", name);
        }
    if (n > 1) {
        complain("the file may be any of these, say --format: %s", names);
        return REFUSED;
    }
    if (n == 1)
        err = ljs_bulk_format_parse(&run->how.format, names);
    if (!err)
        err = ljs_bulk_new(&run->bulk, &run->how);
    return err ? complain_err(err, "import") : DONE;
}

static int read_pieces(struct bulk_run *run, int fd, const char *name)
{
    uint8_t *piece = malloc(PIECE);
    int code = piece ? DONE : complain_err(LJS_E_NOMEM, name);
    size_t got = 1;

    while (!code && got) {
        ssize_t n = 1;

        for (got = 0; got < PIECE && n > 0; got += n > 0 ? (size_t)n : 0) /* whole, so that it tells what it is */
            do
                n = read(fd, piece + got, PIECE - got);
            while (n < 0 && errno == EINTR);
        if (n < 0) {
            erase(run);
            complain("%s: %s", name, strerror(errno));
            code = FAILED;
        }
        if (!code && !run->bulk)
            code = choose_format(run, piece, got);
        if (!code)
            code = take_piece(run, got ? piece : NULL, got);
        run->octets += got;
    }
    if (run->waiting->len) { /* also of a file that cannot be read on */
        int written = write_waiting(run);

        code = code ? code : written;
    }
    erase(run);
    if (piece)
        explicit_bzero(piece, PIECE);
    free(piece);
    return code;
}

static int read_file(struct bulk_run *run, const char *path)
{
    const char *name = strcmp(path, "-") ? path : "standard input";
    int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO, code;

    if (fd < 0) {
        complain("%s: %s", name, strerror(errno));
        return FAILED;
    }
    run->tty = isatty(STDERR_FILENO) && !isatty(fd);
    code = read_pieces(run, fd, name);
    if (fd != STDIN_FILENO)
        close(fd);
    return code;
}

static void report_sum(const struct bulk_run *run)
{
    bool dry_run = run->opts->dry_run;

    if (run->opts->json) {
        printf("{\"format\":\"%s\",\"imported\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"without_nonces\":%" PRIu64
               ",\"exposed\":%" PRIu64 ",\"dry_run\":%s}\n",
               ljs_bulk_format_text(run->how.format), run->imported, run->refused, run->without_nonces, run->exposed,
               dry_run ? "true" : "false");
        return;
    }
    printf("%" PRIu64 " %s, %" PRIu64 " refused\n", run->imported, dry_run ? "would be imported" : "imported",
           run->refused);
    if (run->without_nonces)
        printf("%" PRIu64 " of them without nonces: the next JoinNonce is %" PRIu32 " by your word\n",
               run->without_nonces, run->how.next_join_nonce);
    if (run->exposed)
        printf("%" PRIu64 " of them with root keys that have left where they come from\n", run->exposed);
}

/* The words into what the reader takes; complains itself. */
static int read_how(ljs_bulk_opts *how, const struct bulk_opts *opts)
{
    ljs_mac mac = (ljs_mac)0;
    int code;

    *how = (ljs_bulk_opts){ .struct_size = sizeof *how, .allow_weak = opts->allow_weak };
    if (opts->fresh && opts->next_join_nonce) {
        complain("--fresh and --next-join-nonce contradict each other");
        return USAGE;
    }
    how->next_join_nonce = opts->fresh ? 1 : (uint32_t)opts->next_join_nonce;
    if ((opts->format && ljs_bulk_format_parse(&how->format, opts->format)) ||
        (opts->version && ljs_mac_parse(&mac, opts->version)))
        return USAGE; /* read_flags() has seen that they are some of the words */
    how->mac = (uint16_t)mac;
    if (opts->join_eui && (code = read_eui(&how->join_eui, opts->join_eui, "--join-eui")))
        return code;
    how->has_join_eui = opts->join_eui != NULL;
    return DONE;
}

int cmd_bulk_import(int argc, char **argv)
{
    struct bulk_opts opts = { .json = false };
    struct waiting waiting = { .len = 0 };
    struct bulk_run run = { .opts = &opts, .waiting = &waiting };
    int code = read_flags(&bulk_import_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if ((code = read_how(&run.how, &opts)))
        return code;
    run.flags = (opts.replace_keys ? LJS_MAKE_REPLACE_KEYS : 0u) | (opts.allow_weak ? LJS_MAKE_ALLOW_WEAK : 0u);
    code = data_try(&run.data, &opts.where, DATA_CREATE, NULL, opts.dry_run);
    if (!code && !(code = read_file(&run, argv[0])) && run.refused)
        code = REFUSED;
    if (run.bulk)
        report_sum(&run);
    ljs_bulk_free(run.bulk);
    data_close(&run.data);
    return code;
}
