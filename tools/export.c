/* export.c -- `lorajs export`: devices into the formats of others.
 *
 * Devices are looked at twice: what would be lost is known, and agreed to, before the first of them is marked. */
#include "choose.h"
#include "leaving.h"
#include "newfile.h"
#include "standing.h"

#include <lorajs/bulk.h>

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

struct export_opts {
    struct where where;
    struct choice choice;
    const char *format, *output;
    struct texts set;
    bool all, clear_keys, lose_nonces, block, dry_run, json;
};

#define AT(member) offsetof(struct export_opts, member)
static const struct flag export_flags[] = {
    WHERE_FLAGS(struct export_opts),
    { "format", "lorajs|tts-csv|tts-json|ttjs|chirpstack|thingpark|wanesy", "whose format; needed", FLAG_TEXT,
      AT(format), 0, 0 },
    { "output", "FILE", "a new file of mode 0600; needed, but for --dry-run", FLAG_TEXT, AT(output), 0, 0 },
    { "all", NULL, "every device that is not removed", FLAG_SWITCH, AT(all), 0, 0 },
    CHOICE_FLAGS(struct export_opts),
    { "set", "NAME=VALUE", "what every row is to have that lorajs does not know", FLAG_LIST, AT(set), 0, 0 },
    { "clear-keys", NULL, "with root keys, in clear; the devices are marked as exposed", FLAG_SWITCH, AT(clear_keys), 0,
      0 },
    { "lose-nonces", NULL, "with keys into a format that has no place for nonces", FLAG_SWITCH, AT(lose_nonces), 0, 0 },
    { "block", NULL, "with keys: answer nothing more for them, so that their nonces are final", FLAG_SWITCH, AT(block),
      0, 0 },
    { "dry-run", NULL, "say what would be written and lost, and change nothing", FLAG_SWITCH, AT(dry_run), 0, 0 },
    { "json", NULL, "one JSON object", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
#undef AT

const struct usage bulk_export_usage = {
    "export",
    "[DEVEUI...]",
    "Writes devices into a file that another system reads. Without --clear-keys it has no root key: it tells a network "
    "server which devices there are, and lorajs goes on answering for them.\n"
    "With --clear-keys whoever has the file has the devices. Each is marked as exposed first, until every root key of "
    "it is another; `device export` moves devices to another lorajs without that. Two servers that answer for one "
    "device give a JoinNonce twice, so say --block when it is to move. A format without a place for nonces is refused "
    "for devices that have joined, unless you say --lose-nonces: their next server must know by another way which "
    "JoinNonce comes next. --set takes names of the format: frequency_plan_id, lorawan_phy_version (The Things Stack), "
    "application_id, device_profile_id (ChirpStack), model_id, connectivity_plan (ThingPark), clusterId, rfRegion "
    "(Wanesy). The daemon may be running.",
    export_flags,
    0,
    1000,
};

/* What ljs_bulk_loses() may say, in words. */
enum { LOSSES = 6, HELD_TOLD = 10 };
static const struct {
    uint32_t bit;
    const char *name, *text;
} losses[LOSSES] = {
    { LJS_BULK_LOSES_NONCES, "nonces", "have nonces" },
    { LJS_BULK_LOSES_JOIN_EUIS, "join_euis", "have more than one JoinEUI" },
    { LJS_BULK_LOSES_KEYS, "keys", "have further keys" },
    { LJS_BULK_LOSES_SETTINGS, "settings", "have home network, KEK labels or the like" },
    { LJS_BULK_LOSES_VERSION, "version", "have a LoRaWAN version" },
    { LJS_BULK_LOSES_ROOT_KEY, "root_key", "have two root keys" },
};

struct export_run {
    const struct export_opts *opts;
    struct data data;
    struct chosen chosen;
    ljs_bulk_format format;
    ljs_bulk_writer *writer;
    struct newfile file;
    struct leaving leaving;
    uint64_t found, lost[LOSSES], held, written;
    int64_t shown;
    bool tty;
    bool said; /* what went wrong has been */
};

static void draw(struct export_run *run, uint64_t n, const char *what)
{
    int64_t now = now_ms();

    if (!run->tty || now - run->shown < 200)
        return;
    run->shown = now;
    fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " %s\033[K", n, run->found, what);
}

static void erase(const struct export_run *run)
{
    if (run->tty)
        fputs("\r\033[K", stderr);
}

static ljs_err fail(struct export_run *run, ljs_err err, ljs_eui dev_eui)
{
    char what[32];

    if (err && !run->said) {
        erase(run);
        snprintf(what, sizeof what, "%016" PRIx64, dev_eui);
        complain_err(err, what);
        run->said = true;
    }
    return err;
}

/* ---- the first time: what is there, and what would be lost ------------------------ */

/* Keys that leave in clear are the current ones, and under a rekey those may not be the device's any more. */
static ljs_err look_at_rekey(struct export_run *run, const ljs_device *d, const ljs_buf *record)
{
    ljs_rekey rekey;
    ljs_err err = ljs_rekey_read(&rekey, record->data, record->len);
    const struct standing is = { d->state, d->moved, !d->keys, rekey.state };

    if (err || !run->opts->clear_keys || !rekey_holds(&is, true))
        return err;
    erase(run);
    if (run->held++ < HELD_TOLD)
        tell_held(&is, d->dev_eui);
    return LJS_OK;
}

static ljs_err look_at(struct export_run *run, ljs_eui dev_eui, bool named)
{
    ljs_buf record = { NULL, 0 };
    ljs_device d = { .struct_size = sizeof d };
    uint32_t bits = 0;
    ljs_err err = ljs_server_get_device(&record, run->data.server, dev_eui);

    if (!err)
        err = ljs_device_read(&d, record.data, record.len);
    if (!err && d.state == LJS_STATE_REMOVED)
        err = LJS_E_NOTFOUND;
    if (!err && named && run->opts->clear_keys && !d.keys)
        err = LJS_E_NOKEY;
    if (!err && !named && ((run->opts->clear_keys && !d.keys) || !is_chosen(&run->chosen, &d, &record)))
        goto out;
    if (!err)
        err = look_at_rekey(run, &d, &record);
    if (!err)
        err = ljs_bulk_loses(&bits, run->format, record.data, record.len);
    run->found += !err;
    for (unsigned i = 0; !err && i < LOSSES; i++)
        run->lost[i] += (bits & losses[i].bit) != 0;
    draw(run, run->found, "devices");
out:
    ljs_buf_free(&record);
    return err;
}

static ljs_err look_row(void *user, ljs_eui dev_eui)
{
    struct export_run *run = user;
    ljs_err err = look_at(run, dev_eui, false);

    return err == LJS_E_NOTFOUND ? LJS_OK : fail(run, err, dev_eui);
}

static int look_at_all(struct export_run *run, int argc, char **argv)
{
    ljs_err err = LJS_OK;

    if (!argc)
        err = ljs_server_each_device_in(run->data.server, run->chosen.first, run->chosen.last, look_row, run);
    for (int i = 0; i < argc; i++) {
        ljs_eui eui;
        int code = read_eui(&eui, argv[i], "a DevEUI");

        if (code)
            return code;
        if ((err = look_at(run, eui, true)))
            return complain_device(err, eui);
    }
    erase(run);
    return !err ? DONE : run->said ? FAILED : complain_err(err, "export");
}

/* Losses are told; two of them must be agreed to, or cannot be, where root keys leave. */
static int agree(const struct export_run *run)
{
    const char *format = ljs_bulk_format_text(run->format);
    int code = DONE;

    for (unsigned i = 0; i < LOSSES; i++)
        if (run->lost[i])
            fprintf(stderr, "%" PRIu64 " devices %s, for which %s has no place\n", run->lost[i], losses[i].text,
                    format);
    if (!run->opts->clear_keys)
        return DONE;
    if (run->held) {
        complain("root keys of %" PRIu64
                 " devices are being replaced: who has the old ones, or the new, may have lost them",
                 run->held);
        code = REFUSED;
    }
    for (unsigned i = 0; i < LOSSES; i++) {
        if (run->lost[i] && losses[i].bit == LJS_BULK_LOSES_ROOT_KEY) {
            complain("%s takes one root key of a device, and LoRaWAN 1.1 has two: choose others, or leave --clear-keys "
                     "out",
                     format);
            code = REFUSED;
        } else if (run->lost[i] && losses[i].bit == LJS_BULK_LOSES_NONCES && !run->opts->lose_nonces) {
            complain("a server that does not know their JoinNonce gives it again; say --lose-nonces if it learns that "
                     "by another way");
            code = REFUSED;
        }
    }
    return code;
}

/* ---- the second time: written --------------------------------------------------------- */

static ljs_err put_octets(struct export_run *run, ljs_buf *octets)
{
    if (octets->len && !newfile_write(&run->file, octets->data, octets->len)) {
        erase(run);
        newfile_complain(&run->file);
        run->said = true;
    }
    ljs_buf_free(octets);
    return run->said ? LJS_E_STORE : LJS_OK;
}

/* Since it was looked at, the device may have joined, or a rekey of it begun: that was not agreed to. */
static ljs_err still_agreed(const struct export_run *run, const ljs_device *d, const ljs_buf *record)
{
    uint32_t bits;
    ljs_rekey rekey;
    ljs_err err = ljs_bulk_loses(&bits, run->format, record->data, record->len);

    if (err || !run->opts->clear_keys)
        return err;
    if ((err = ljs_rekey_read(&rekey, record->data, record->len)))
        return err;
    return rekey_holds(&(struct standing){ d->state, d->moved, !d->keys, rekey.state }, true) ||
                   (!run->opts->lose_nonces && bits & LJS_BULK_LOSES_NONCES)
               ? LJS_E_CONFLICT
               : LJS_OK;
}

/* As it is now, and all that is to be durable before is. */
static ljs_err put_device(void *user, ljs_eui dev_eui)
{
    struct export_run *run = user;
    ljs_buf record = { NULL, 0 }, row;
    ljs_device d = { .struct_size = sizeof d };
    ljs_err err = ljs_server_get_device(&record, run->data.server, dev_eui);

    if (!err)
        err = ljs_device_read(&d, record.data, record.len);
    if (!err)
        err = still_agreed(run, &d, &record);
    if (!err &&
        !(err = ljs_bulk_put(&row, run->writer, run->opts->clear_keys ? run->data.vault : NULL, NULL, record.data,
                             record.len)) &&
        !(err = put_octets(run, &row)))
        draw(run, ++run->written, "written");
    ljs_buf_free(&record);
    return err;
}

static ljs_err put_row(void *user, ljs_eui dev_eui)
{
    struct export_run *run = user;
    ljs_buf record = { NULL, 0 };
    ljs_device d = { .struct_size = sizeof d };
    bool goes = false;
    ljs_err err = ljs_server_get_device(&record, run->data.server, dev_eui);

    if (!err && !(err = ljs_device_read(&d, record.data, record.len)))
        goes =
            d.state != LJS_STATE_REMOVED && (!run->opts->clear_keys || d.keys) && is_chosen(&run->chosen, &d, &record);
    ljs_buf_free(&record);
    return err ? fail(run, err, dev_eui) : goes ? leaving_take(&run->leaving, dev_eui) : LJS_OK;
}

static ljs_err note(const struct export_run *run)
{
    char text[LJS_LABEL_MAX];

    if (!run->opts->clear_keys)
        return LJS_OK;
    snprintf(text, sizeof text, "%" PRIu64 " devices with root keys in clear, as %s", run->written,
             ljs_bulk_format_text(run->format));
    return ljs_server_note(run->data.server, LJS_AUDIT_EXPORT, 0, LJS_OK, text);
}

static int put_all(struct export_run *run, int argc, char **argv)
{
    ljs_buf head;
    ljs_eui eui;
    ljs_err err = ljs_bulk_head(&head, run->writer);

    if (!err)
        err = put_octets(run, &head);
    if (!err && !argc)
        err = ljs_server_each_device_in(run->data.server, run->chosen.first, run->chosen.last, put_row, run);
    for (int i = 0; !err && i < argc; i++)
        if (!(err = ljs_eui_parse(&eui, argv[i])))
            err = leaving_take(&run->leaving, eui);
    if (!err)
        err = leaving_end(&run->leaving);
    if (err && run->leaving.failed)
        (void)fail(run, err, run->leaving.failed);
    erase(run);
    if (!err && (err = note(run))) {
        complain("export: the audit log cannot be written: %s", ljs_strerror(err));
        run->said = true;
    }
    return !err ? DONE : run->said ? FAILED : complain_err(err, "export");
}

/* ---- the command ------------------------------------------------------------------------ */

static int set_values(struct export_run *run)
{
    for (unsigned i = 0; i < run->opts->set.n; i++) {
        const char *text = run->opts->set.at[i], *value = strchr(text, '=');
        char name[64] = "";
        ljs_err err = LJS_E_NOTFOUND;

        if (value && (size_t)(value - text) < sizeof name) {
            memcpy(name, text, (size_t)(value - text));
            err = ljs_bulk_set(run->writer, name, value + 1);
        }
        if (err) {
            const char *names = ljs_bulk_names(run->format);

            complain("--set %s: %s takes %s%s, and 1 to 127 octets without control characters", text,
                     ljs_bulk_format_text(run->format), *names ? names : "nothing", *names ? " with =" : "");
            return USAGE;
        }
    }
    return DONE;
}

static int check_words(const struct export_opts *opts, int argc)
{
    bool chosen = opts->choice.match || opts->choice.join_eui || opts->choice.label;

    if (!opts->format || (!opts->output && !opts->dry_run)) {
        complain("export needs --format and --output (see `lorajs export --help`)");
        return USAGE;
    }
    if (opts->all + chosen + (argc > 0) != 1) {
        complain("export needs one of --all, DEVEUI..., and --match, --join-eui or --label");
        return USAGE;
    }
    if ((opts->block || opts->lose_nonces) && !opts->clear_keys) {
        complain("%s is for --clear-keys: without keys, lorajs goes on answering for the devices",
                 opts->block ? "--block" : "--lose-nonces");
        return USAGE;
    }
    return DONE;
}

static void report_sum(const struct export_run *run)
{
    const struct export_opts *opts = run->opts;
    uint64_t n = opts->dry_run ? run->found : run->written;

    if (!opts->json) {
        printf("%" PRIu64 " %s\n", n, opts->dry_run ? "would be exported" : "exported");
        return;
    }
    printf("{\"format\":\"%s\",\"exported\":%" PRIu64 ",\"clear_keys\":%s,\"lost\":{",
           ljs_bulk_format_text(run->format), n, opts->clear_keys ? "true" : "false");
    for (unsigned i = 0; i < LOSSES; i++)
        printf("%s\"%s\":%" PRIu64, i ? "," : "", losses[i].name, run->lost[i]);
    printf("},\"dry_run\":%s}\n", opts->dry_run ? "true" : "false");
}

static int write_file(struct export_run *run, int argc, char **argv)
{
    const struct export_opts *opts = run->opts;
    int code = newfile_open(&run->file, opts->output, 0600);

    if (code)
        return code;
    run->leaving = (struct leaving){ .server = run->data.server,
                                     .mark = opts->clear_keys,
                                     .before = opts->clear_keys && opts->block ? LJS_DEVICE_BLOCK : 0,
                                     .put = put_device,
                                     .user = run };
    code = put_all(run, argc, argv);
    code = code ? code : newfile_keep(&run->file);
    if (code)
        complain("nothing was exported%s", run->leaving.marked ? "; devices are marked as exposed nevertheless" : "");
    newfile_drop(&run->file);
    return code;
}

int cmd_bulk_export(int argc, char **argv)
{
    struct export_opts opts = { .json = false };
    struct export_run run = { .opts = &opts, .file = NEWFILE_NONE };
    ljs_err err;
    int code = read_flags(&bulk_export_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if ((code = check_words(&opts, argc)) || (code = choose(&run.chosen, &opts.choice)))
        return code;
    run.tty = isatty(STDERR_FILENO);
    if ((err = ljs_bulk_format_parse(&run.format, opts.format)) || (err = ljs_bulk_writer_new(&run.writer, run.format)))
        return complain_err(err, "export");
    if (!(code = set_values(&run)) && !(code = data_open(&run.data, &opts.where, DATA_OPEN, NULL)) &&
        !(code = look_at_all(&run, argc, argv)) && !(code = agree(&run)))
        code = !opts.dry_run ? write_file(&run, argc, argv) : opts.output ? newfile_look(opts.output) : DONE;
    if (!code)
        report_sum(&run);
    ljs_bulk_writer_free(run.writer);
    data_close(&run.data);
    return code;
}
