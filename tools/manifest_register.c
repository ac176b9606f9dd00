/* manifest_register.c -- `lorajs manifest register`: the devices of a manifest are known from now on, and whose they
 * are; beside a running daemon, as `lorajs device` works. */
#include "manifest.h"

#include <inttypes.h>
#include <string.h>

struct register_opts {
    struct where where;
    struct manifest_opts manifest;
    const char *account, *chip, *mac;
    bool dry_run;
};

#define AT(member) offsetof(struct register_opts, member)
static const struct flag register_flags[] = {
    WHERE_FLAGS(struct register_opts),
    { "account", "NAME", "assign the devices to this account", FLAG_TEXT, AT(account), 0, 0 },
    { "chip", "accepted|required", "whether a claim needs the chip's proof (default: as it is, accepted at first)",
      FLAG_TEXT, AT(chip), 0, 0 },
    { "lorawan-version", "VERSION", "what devices are taken for until their keys come (default 1.0.4)", FLAG_TEXT,
      AT(mac), 0, 0 },
    MANIFEST_FLAGS(struct register_opts, manifest.),
    { "all-or-nothing", NULL, "look at all entries first, and register none where one is refused; not of a pipe",
      FLAG_SWITCH, AT(manifest.all_or_nothing), 0, 0 },
    { "dry-run", NULL, "check everything and change nothing", FLAG_SWITCH, AT(dry_run), 0, 0 },
    { "json", NULL, "a JSON object an entry, and one with their numbers", FLAG_SWITCH, AT(manifest.json), 0, 0 },
    { 0 },
};
#undef AT

const struct usage manifest_register_usage = {
    "manifest register",
    "FILE|-",
    "Verifies a manifest of secure elements as `manifest check` does, and registers each device of it that is good: it "
    "is known by DevEUI, JoinEUI, serial number and the chip's public key, can be assigned and claimed, and joins as "
    "soon as its root keys come, of which there are none in a manifest. Where the device is there already, its chip is "
    "kept with it.\n"
    "Each entry is told of; then the exit code is 3 if one was refused. Asked again, what is done is done.",
    register_flags,
    1,
    1,
};

enum { BATCH = 63 /* entries that are registered together: in three transactions, or two without an account */ };

struct registration {
    const struct register_opts *opts;
    struct data data;
    ljs_register_opts how;
    bool quiet; /* the first of two looks */
    ljs_manifest_entry waiting[BATCH];
    size_t waiting_len;
};

/* ---- the report ------------------------------------------------------------------------ */

static const char *result_text(const struct registration *r, const ljs_registered *what)
{
    return r->how.dry ? (what->made   ? "would be registered"
                         : what->kept ? "chip would be kept"
                                      : "unchanged")
                      : (what->made   ? "registered"
                         : what->kept ? "chip kept"
                                      : "unchanged");
}

static void print_json(FILE *to, const struct registration *r, const ljs_manifest_entry *e, const ljs_registered *what)
{
    fprintf(to, "{\"index\":%" PRIu64 ",\"unique_id\":", e->index);
    print_json_text(to, *e->unique_id ? e->unique_id : NULL);
    fprintf(to, e->has_dev_eui ? ",\"dev_eui\":\"%016" PRIx64 "\"" : ",\"dev_eui\":null", e->dev_eui);
    if (what->why) {
        fprintf(to, ",\"code\":\"%s\"", ljs_register_why_name(what->why));
        if (e->verdict)
            fprintf(to, ",\"verdict\":\"%s\",\"number\":%d", ljs_manifest_verdict_name(e->verdict), (int)e->verdict);
        fputs(",\"reason\":", to);
        print_json_text(to, e->verdict ? ljs_manifest_verdict_text(e->verdict) : ljs_register_why_text(what->why));
        fputs("}\n", to);
    } else {
        fprintf(to, ",\"result\":\"%s\",\"assigned\":%s}\n", result_text(r, what), what->assigned ? "true" : "false");
    }
}

static void print_text(FILE *to, const struct registration *r, const ljs_manifest_entry *e, const ljs_registered *what)
{
    if (what->why)
        fprintf(to, "%-18s  refused: %s (entry %" PRIu64 ", octet %" PRIu64 ")\n", *e->unique_id ? e->unique_id : "-",
                e->verdict ? ljs_manifest_verdict_text(e->verdict) : ljs_register_why_text(what->why), e->index,
                e->offset);
    else
        fprintf(to, "%-18s  %016" PRIx64 "  %s%s%s\n", e->unique_id, e->dev_eui, result_text(r, what),
                what->assigned ? ", assigned to " : "", what->assigned ? r->how.account : "");
}

static void print_end(const struct manifest_run *run, const struct registration *r)
{
    fprintf(run->out,
            r->opts->manifest.json ? "{\"entries\":%" PRIu64 ",\"registered\":%" PRIu64 ",\"refused\":%" PRIu64 "}\n"
                                   : "%" PRIu64 " entries: %" PRIu64 " registered, %" PRIu64 " refused\n",
            run->good + run->refused, run->good, run->refused);
}

/* ---- one after another ------------------------------------------------------------------- */

static int complain_register(ljs_err err, const struct registration *r)
{
    if (err == LJS_E_NOTFOUND)
        complain("there is no account %s", r->how.account);
    else if (err == LJS_E_BLOCKED)
        complain("the account %s is suspended", r->how.account);
    else
        return complain_err(err, command_path());
    return REFUSED;
}

static int tell(struct manifest_run *run, struct registration *r, const ljs_manifest_entry *e,
                const ljs_registered *what)
{
    if (what->err)
        return complain_register(what->err, r);
    ++*(what->why ? &run->refused : &run->good);
    if (!r->quiet || what->why)
        (r->opts->manifest.json ? print_json : print_text)(r->quiet ? stderr : run->out, r, e, what);
    return r->quiet && what->why ? REFUSED : GO_ON;
}

static int flush(struct manifest_run *run)
{
    struct registration *r = run->user;
    ljs_registered what[BATCH];
    ljs_err err = ljs_server_register_all(what, r->data.server, &r->how, r->waiting, r->waiting_len);
    int code = GO_ON;

    manifest_erase(run);
    if (err)
        code = complain_register(err, r);
    for (size_t i = 0; i < r->waiting_len && code == GO_ON; i++)
        code = tell(run, r, &r->waiting[i], &what[i]);
    r->waiting_len = 0;
    return code;
}

static int take(struct manifest_run *run, const ljs_manifest_entry *e)
{
    struct registration *r = run->user;

    r->waiting[r->waiting_len++] = *e;
    return r->waiting_len == BATCH ? flush(run) : GO_ON;
}

static int read_once(struct manifest_run *run, struct registration *r, const char *path)
{
    int code, rest;

    *run =
        (struct manifest_run){ .opts = &r->opts->manifest, .take = take, .user = r, .out = stdout, .began = now_ms() };
    r->waiting_len = 0;
    if ((code = manifest_prepare(run)))
        return code;
    code = manifest_read(run, path);
    rest = flush(run); /* of what is cut short, too */
    return code || rest == GO_ON ? code : rest;
}

/* All of it is looked at before the first is registered. */
static int look_first(struct registration *r, const char *path)
{
    struct manifest_run run;
    const uint8_t dry = r->how.dry;
    int code;

    r->quiet = true;
    r->how.dry = 1;
    code = read_once(&run, r, path);
    ljs_manifest_free(run.manifest);
    r->quiet = false;
    r->how.dry = dry;
    return code;
}

static int register_all(struct registration *r, const char *path)
{
    struct manifest_run run;
    int code = r->opts->manifest.all_or_nothing ? look_first(r, path) : DONE;
    ljs_err err;

    if (code)
        return code;
    code = read_once(&run, r, path);
    if (!code && run.good && !r->how.dry &&
        (err = ljs_server_note_manifest(r->data.server, run.manifest, r->how.account,
                                        run.good < UINT32_MAX ? (uint32_t)run.good : UINT32_MAX))) {
        complain("%s: the audit log cannot be written: %s", command_path(), ljs_strerror(err));
        code = FAILED;
    }
    ljs_manifest_free(run.manifest);
    print_end(&run, r);
    return code == DONE && run.refused ? REFUSED : code;
}

static int read_how(ljs_register_opts *out, const struct register_opts *opts)
{
    int code = opts->account ? check_account(opts->account, "--account") : DONE;

    *out = (ljs_register_opts){ .struct_size = sizeof *out, .now = now_seconds(), .dry = opts->dry_run };
    out->routing.struct_size = sizeof out->routing;
    if (code)
        return code;
    if (opts->account)
        strcpy(out->account, opts->account);
    if (opts->chip)
        out->chip = !strcmp(opts->chip, "required") ? LJS_CHIP_REQUIRED : LJS_CHIP_ACCEPTED;
    if (opts->mac && ljs_mac_parse(&out->mac, opts->mac)) {
        complain("--lorawan-version is 1.0.0 to 1.0.4, or 1.1");
        return USAGE;
    }
    return DONE;
}

int cmd_manifest_register(int argc, char **argv)
{
    struct register_opts opts = { .dry_run = false };
    struct registration r = { .opts = &opts };
    int code = read_flags(&manifest_register_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if ((code = read_how(&r.how, &opts)))
        return code;
    if (opts.manifest.all_or_nothing && !strcmp(argv[0], "-")) {
        complain("--all-or-nothing reads the manifest twice: name a file");
        return USAGE;
    }
    if ((code = data_open(&r.data, &opts.where, DATA_OPEN, NULL)))
        return code;
    code = register_all(&r, argv[0]);
    data_close(&r.data);
    return code;
}
