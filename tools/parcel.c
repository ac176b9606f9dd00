/* parcel.c -- `lorajs device export` and `lorajs device receive`: devices on their way to another Join Server, sealed
 * to it and signed.
 *
 * A parcel is written and read piece by piece, whatever its length.  It is read three times: to see
 * that it is whole, to see that every device in it can be taken, and to take them; so what is
 * refused has changed nothing. */
#include "leaving.h"
#include "newfile.h"
#include "pair.h"
#include "standing.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LEFT_OUT_TOLD = 10 };

/* ---- device export --------------------------------------------------------------- */

struct export_opts {
    struct where where;
    const char *to, *sign, *output;
    bool all, block, move, again, dry_run, json;
};

#define AT(member) offsetof(struct export_opts, member)
static const struct flag export_flags[] = {
    WHERE_FLAGS(struct export_opts),
    { "to", "FILE", "the recipient's public key, x25519; needed", FLAG_TEXT, AT(to), 0, 0 },
    { "sign", "FILE", "the secret key to sign with, ed25519; needed", FLAG_TEXT, AT(sign), 0, 0 },
    { "output", "FILE", "the parcel, a new file of mode 0600; needed, but for --dry-run", FLAG_TEXT, AT(output), 0, 0 },
    { "all", NULL, "every device that is not removed", FLAG_SWITCH, AT(all), 0, 0 },
    { "block", NULL, "answer nothing more for them, so that their nonces are final", FLAG_SWITCH, AT(block), 0, 0 },
    { "move", NULL, "the same, and for good: the recipient answers for them from now on", FLAG_SWITCH, AT(move), 0, 0 },
    { "again", NULL, "with --all: those that have moved already, too", FLAG_SWITCH, AT(again), 0, 0 },
    { "dry-run", NULL, "look which could be exported, write no parcel, and change nothing", FLAG_SWITCH, AT(dry_run), 0,
      0 },
    { "json", NULL, "one JSON object", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
#undef AT

const struct usage export_usage = {
    "device export",
    "[DEVEUI...]",
    "Writes devices with their root keys, nonces and settings into a parcel that one recipient alone can open and that "
    "shows him who sent it. Sessions stay behind.\n"
    "Each device is marked as exposed first, until every root key of it is another. Two servers that answer for one "
    "device give a JoinNonce twice, so say --move when it is to move: what the parcel has is then the last that "
    "happened "
    "here, and only `device move-back` makes this server answer for it again. Whoever receives a blocked device has "
    "one that is not. The daemon may be running.",
    export_flags,
    0,
    1000,
};

struct export_run {
    const struct export_opts *opts;
    struct data *data;
    ljs_parcel *parcel;
    const uint8_t *recipient;
    struct newfile file;
    struct leaving leaving;
    uint64_t devices, left_out; /* those under a rekey, by --all */
    bool said;                  /* what went wrong has been */
};

static ljs_err put_octets(struct export_run *run, ljs_buf *octets)
{
    if (!newfile_write(&run->file, octets->data, octets->len)) {
        newfile_complain(&run->file);
        run->said = true;
    }
    ljs_buf_free(octets);
    return run->said ? LJS_E_STORE : LJS_OK;
}

static ljs_err export_one(void *user, ljs_eui dev_eui)
{
    struct export_run *run = user;
    ljs_buf record, piece;
    ljs_err err = ljs_server_get_device(&record, run->data->server, dev_eui);

    if (!err && !(err = ljs_parcel_put(&piece, run->parcel, run->data->vault, record.data, record.len)) &&
        !(err = put_octets(run, &piece)))
        run->devices++;
    ljs_buf_free(&record);
    return err;
}

static ljs_err export_row(void *user, ljs_eui dev_eui)
{
    struct export_run *run = user;
    struct standing is;
    ljs_err err = standing_of(&is, run->data->server, dev_eui);

    /* Where it is now, it is given JoinNonces that a copy sent elsewhere would not know of. */
    if (!err && (is.state == LJS_STATE_REMOVED || is.keyless || (is.moved && !run->opts->again)))
        return LJS_OK;
    if (!err && rekey_holds(&is, run->opts->move)) {
        if (run->left_out++ < LEFT_OUT_TOLD)
            tell_held(&is, dev_eui);
        return LJS_OK;
    }
    run->devices += run->opts->dry_run;
    return run->opts->dry_run ? LJS_OK : leaving_take(&run->leaving, dev_eui);
}

/* Before anything is marked. */
static int check_named(struct data *data, const struct export_opts *opts, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        ljs_eui eui;
        struct standing is;
        ljs_err err;
        int code = read_eui(&eui, argv[i], "a DevEUI");

        if (code)
            return code;
        err = standing_of(&is, data->server, eui);
        if (!err && is.keyless && is.state != LJS_STATE_REMOVED)
            err = LJS_E_NOKEY;
        if (err == LJS_E_NOTFOUND || (!err && is.state == LJS_STATE_REMOVED)) {
            complain("%s: no such device; `lorajs device list` shows those there are", argv[i]);
            return REFUSED;
        }
        if (err)
            return complain_err(err, argv[i]);
        if (rekey_holds(&is, opts->move)) {
            tell_held(&is, eui);
            return REFUSED;
        }
    }
    return DONE;
}

/* To whom: the beginning of the public key, since the whole might be a key. */
static ljs_err note_export(const struct export_run *run)
{
    char text[LJS_LABEL_MAX];
    unsigned long long to = 0;

    for (unsigned i = 0; i < 8; i++)
        to = to << 8 | run->recipient[i];
    snprintf(text, sizeof text, "%" PRIu64 " devices to x25519 %016llx...", run->devices, to);
    return ljs_server_note(run->data->server, LJS_AUDIT_EXPORT, 0, LJS_OK, text);
}

static int export_all(struct export_run *run, int argc, char **argv)
{
    ljs_buf piece;
    ljs_eui eui;
    ljs_err err = ljs_parcel_head(&piece, run->parcel);

    if (!err)
        err = put_octets(run, &piece);
    if (!err && run->opts->all)
        err = ljs_server_each_device(run->data->server, export_row, run);
    for (int i = 0; !err && i < argc; i++)
        if (!(err = ljs_eui_parse(&eui, argv[i])))
            err = leaving_take(&run->leaving, eui);
    if (!err)
        err = leaving_end(&run->leaving);
    if (err && run->leaving.failed && !run->said) {
        char what[32];

        snprintf(what, sizeof what, "%016" PRIx64, run->leaving.failed);
        complain_err(err, what);
        run->said = true;
    }
    if (!err && !(err = ljs_parcel_close(&piece, run->parcel)))
        err = put_octets(run, &piece);
    if (!err && (err = note_export(run))) {
        complain("device export: the audit log cannot be written: %s", ljs_strerror(err));
        run->said = true;
    }
    return !err ? DONE : run->said ? FAILED : complain_err(err, "device export");
}

/* What would go. */
static int look_at_all(struct export_run *run, int argc)
{
    ljs_err err = LJS_OK;

    if (run->opts->output && newfile_look(run->opts->output))
        return FAILED;
    run->devices = (uint64_t)argc; /* those named were looked at */
    if (run->opts->all)
        err = ljs_server_each_device(run->data->server, export_row, run);
    return err ? complain_err(err, "device export") : DONE;
}

/* In memory, so a dry run does it too: not every key of a recipient can be sealed to. */
static int begin_parcel(struct export_run *run, const ljs_key *signer)
{
    ljs_err err = ljs_parcel_pack(&run->parcel, signer, now_seconds(), run->recipient, PAIR_LEN);

    return err ? complain_err(err, run->opts->to) : DONE;
}

static int write_parcel(struct export_run *run, int argc, char **argv)
{
    const struct export_opts *opts = run->opts;
    int code = newfile_open(&run->file, opts->output, 0600);

    if (code)
        return code;
    run->leaving = (struct leaving){ .server = run->data->server,
                                     .mark = true,
                                     .before = opts->move    ? LJS_DEVICE_MOVE
                                               : opts->block ? LJS_DEVICE_BLOCK
                                                             : 0,
                                     .put = export_one,
                                     .user = run };
    code = export_all(run, argc, argv);
    if (code || (code = newfile_keep(&run->file)))
        complain("nothing was exported; %" PRIu64 " devices are marked as exposed%s nevertheless", run->leaving.marked,
                 opts->move    ? " and moved"
                 : opts->block ? " and blocked"
                               : "");
    newfile_drop(&run->file);
    return code;
}

static void report_export(const struct export_run *run)
{
    const struct export_opts *opts = run->opts;

    if (opts->json)
        printf("{\"exported\":%" PRIu64 ",\"left_out\":%" PRIu64 ",\"blocked\":%s,\"moved\":%s,\"dry_run\":%s}\n",
               run->devices, run->left_out, opts->block || opts->move ? "true" : "false", opts->move ? "true" : "false",
               opts->dry_run ? "true" : "false");
    else
        printf("%" PRIu64 " %s\n", run->devices, opts->dry_run ? "would be exported" : "exported");
    if (run->left_out)
        complain("%" PRIu64 " devices %s left out: their root keys are being replaced", run->left_out,
                 opts->dry_run ? "would be" : "were");
}

int cmd_export(int argc, char **argv)
{
    struct export_opts opts = { 0 };
    struct data data = { NULL, NULL, NULL };
    uint8_t recipient[PAIR_LEN];
    struct export_run run = { .opts = &opts, .data = &data, .file = NEWFILE_NONE, .recipient = recipient };
    ljs_key *signer = NULL;
    int code = read_flags(&export_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if (!opts.to || !opts.sign || (!opts.output && !opts.dry_run) || opts.all == (argc > 0) ||
        (opts.again && !opts.all)) {
        complain("device export needs --to, --sign, --output, and either --all or DEVEUI...");
        return USAGE;
    }
    if (!(code = read_public(recipient, opts.to, PAIR_X25519)) && !(code = read_signer(&signer, opts.sign)) &&
        !(code = data_open(&data, &opts.where, DATA_OPEN, NULL)) && !(code = check_named(&data, &opts, argc, argv)) &&
        !(code = begin_parcel(&run, signer)))
        code = opts.dry_run ? look_at_all(&run, argc) : write_parcel(&run, argc, argv);
    if (!code)
        report_export(&run);
    ljs_parcel_free(run.parcel);
    ljs_key_free(signer);
    data_close(&data);
    return code;
}

/* ---- device receive --------------------------------------------------------------- */

struct receive_opts {
    struct where where;
    const char *key, *from;
    bool dry_run, allow_weak, replace_keys, json;
};

#define AT(member) offsetof(struct receive_opts, member)
static const struct flag receive_flags[] = {
    WHERE_FLAGS(struct receive_opts),
    { "key", "FILE", "the secret key that it is sealed to, x25519; needed", FLAG_TEXT, AT(key), 0, 0 },
    { "from", "FILE", "the public key of who must have sent it, ed25519; needed", FLAG_TEXT, AT(from), 0, 0 },
    { "dry-run", NULL, "check everything and change nothing", FLAG_SWITCH, AT(dry_run), 0, 0 },
    { "allow-weak-keys", NULL, "take keys that are so regular that they are no secret", FLAG_SWITCH, AT(allow_weak), 0,
      0 },
    { "replace-keys", NULL, "give devices that are there the parcel's root keys; they must join anew", FLAG_SWITCH,
      AT(replace_keys), 0, 0 },
    { "json", NULL, "report as JSON, an object a line: each device refused, then the sum", FLAG_SWITCH, AT(json), 0,
      0 },
    { 0 },
};
#undef AT

const struct usage receive_usage = {
    "device receive",
    "FILE",
    "Takes the devices of a parcel that `device export` wrote, with their root keys, the nonces of every JoinEUI, and "
    "their settings. A device that is there already is brought up to date: its JoinNonce never goes back, and nonces "
    "used on either side stay used. All of them are marked as exposed.\n"
    "Nothing changes unless the whole parcel is good, is from that sender, and every device in it can be taken; else "
    "the exit code is 3. Where that holds and writing fails half-way, what was received is told and stays. A parcel "
    "that "
    "is older than what happened here since takes settings back, and brings back a device that was removed.\n"
    "The file is read several times, so it cannot be a pipe. What is missing in the data directory is made. The daemon "
    "may be running.",
    receive_flags,
    1,
    1,
};

struct receive_run {
    const struct receive_opts *opts;
    struct data *data;
    ljs_parcel *parcel;
    const char *path;
    int fd;
    uint8_t *piece;
    unsigned flags;
    uint64_t devices, refused, landed, held;
};

typedef int device_fn(struct receive_run *run, const ljs_device *device);

static int complain_parcel(const struct receive_run *run, ljs_err err)
{
    const char *what = NULL;

    switch (err) {
    case LJS_E_INVAL:
        what = "it is no parcel of lorajs";
        break;
    case LJS_E_VERSION:
        what = "a newer lorajs wrote it; bring this one up to date";
        break;
    case LJS_E_RECEIVER:
        what = "it is sealed to somebody else than the key of --key";
        break;
    case LJS_E_SENDER:
        what = "it is from somebody else than --from";
        break;
    case LJS_E_SEAL:
        what = "it was altered or damaged; have it sent again";
        break;
    default:
        return complain_err(err, run->path);
    }
    complain("%s: %s", run->path, what);
    return REFUSED;
}

/* Exactly so many octets; fewer only at the end.  -1: an error, which has been told. */
static ssize_t read_piece(const struct receive_run *run, size_t len)
{
    size_t at = 0;

    while (at < len) {
        ssize_t n = read(run->fd, run->piece + at, len - at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            complain("%s: %s", run->path, strerror(errno));
            return -1;
        }
        if (n == 0)
            break;
        at += (size_t)n;
    }
    return (ssize_t)at;
}

/* Once through the file, with each device in it. */
static int go_round(struct receive_run *run, device_fn *each)
{
    ljs_device device;
    ljs_err err;
    int code;
    ssize_t got;

    if (lseek(run->fd, 0, SEEK_SET) < 0) {
        complain("%s: it must be a file, since it is read several times: %s", run->path, strerror(errno));
        return FAILED;
    }
    for (size_t n; (n = ljs_parcel_wants(run->parcel));) {
        if ((got = read_piece(run, n)) < 0)
            return FAILED;
        if ((size_t)got < n) {
            complain("%s: it is cut short; have it sent again", run->path);
            return REFUSED;
        }
        if ((err = ljs_parcel_feed(run->parcel, run->piece, n)))
            return complain_parcel(run, err);
        if (each && !ljs_parcel_device(&device, run->parcel) && (code = each(run, &device)))
            return code;
    }
    if ((got = read_piece(run, 1)))
        complain("%s: something stands behind it", run->path);
    return got ? REFUSED : DONE;
}

static const char *land_fault(ljs_err err)
{
    switch (err) {
    case LJS_E_EXISTS:
        return "the device is there with other root keys; say --replace-keys to give it those of the parcel";
    case LJS_E_WEAK:
        return "a root key is so regular that it is no secret; say --allow-weak-keys to take it all the same";
    case LJS_E_INVAL:
        return "it would have more JoinEUIs than a device can have";
    default:
        return ljs_strerror(err);
    }
}

static int try_device(struct receive_run *run, const ljs_device *device)
{
    ljs_buf before = { NULL, 0 }, after = { NULL, 0 };
    ljs_err err = ljs_server_get_device(&before, run->data->server, device->dev_eui);

    if (!err || err == LJS_E_NOTFOUND)
        err = ljs_parcel_land(&after, run->parcel, run->data->vault, run->flags, before.data, before.len);
    ljs_buf_free(&before);
    ljs_buf_free(&after);
    if (err == LJS_E_STORE || err == LJS_E_NOMEM || err == LJS_E_CRYPTO)
        return complain_err(err, "device receive");
    run->devices++;
    if (!err)
        return DONE;
    run->refused++;
    if (run->opts->json) {
        printf("{\"dev_eui\":\"%016" PRIx64 "\",\"result\":\"refused\",\"reason\":", device->dev_eui);
        print_json_text(stdout, land_fault(err));
        puts("}");
    } else {
        fprintf(stderr, "%016" PRIx64 ": %s\n", device->dev_eui, land_fault(err));
    }
    return DONE;
}

/* Of whose fault it may be the file's name tells as much as theirs: that each can be taken was seen. */
static int land_held(struct receive_run *run)
{
    ljs_err err = ljs_server_land_held(run->data->server, run->parcel, run->flags);

    if (err)
        return complain_err(err, run->path);
    run->landed += run->held;
    run->held = 0;
    return DONE;
}

/* With others, for one commit of all of them. */
static int land_device(struct receive_run *run, const ljs_device *device)
{
    ljs_err err = ljs_parcel_hold(run->parcel);
    int code = DONE;

    (void)device;
    if (err == LJS_E_EXISTS && !(code = land_held(run)))
        err = ljs_parcel_hold(run->parcel);
    if (!code && err)
        code = complain_err(err, run->path);
    run->held += !code;
    return code;
}

static int begin_again(struct receive_run *run)
{
    ljs_err err = ljs_parcel_again(run->parcel);

    return err ? complain_parcel(run, err) : DONE;
}

static int receive_all(struct receive_run *run)
{
    bool dry_run = run->opts->dry_run;
    int code = go_round(run, NULL);

    if (!code)
        code = data_try(run->data, &run->opts->where, DATA_CREATE, NULL, dry_run);
    if (!code && !(code = begin_again(run)))
        code = go_round(run, try_device);
    if (!code && !run->refused && !dry_run && !(code = begin_again(run)))
        code = go_round(run, land_device);
    if (!code && run->held)
        code = land_held(run);
    if (code && run->landed) { /* the disk, or somebody who changes file or database under us */
        complain("%" PRIu64 " devices of it were received before that, and stay; receive it once more when that is "
                 "mended",
                 run->landed);
        code = FAILED; /* what is refused has changed nothing */
    }
    if (code)
        return code;
    if (run->opts->json)
        printf("{\"received\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"packed\":%" PRId64 ",\"dry_run\":%s}\n",
               run->refused ? 0 : run->devices, run->refused, ljs_parcel_time(run->parcel), dry_run ? "true" : "false");
    else if (run->refused)
        printf("nothing %s: %" PRIu64 " of %" PRIu64 " devices refused\n", dry_run ? "would be received" : "received",
               run->refused, run->devices);
    else
        printf("%" PRIu64 " %s\n", run->devices, dry_run ? "would be received" : "received");
    return run->refused ? REFUSED : DONE;
}

int cmd_receive(int argc, char **argv)
{
    struct receive_opts opts = { 0 };
    struct data data = { NULL, NULL, NULL };
    struct receive_run run = { .opts = &opts, .data = &data, .fd = -1 };
    uint8_t sender[PAIR_LEN];
    ljs_key *recipient = NULL;
    ljs_err err;
    int code = read_flags(&receive_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if (!opts.key || !opts.from) {
        complain("device receive needs --key and --from (see `lorajs device receive --help`)");
        return USAGE;
    }
    run.path = argv[0];
    run.flags = (opts.replace_keys ? LJS_MAKE_REPLACE_KEYS : 0u) | (opts.allow_weak ? LJS_MAKE_ALLOW_WEAK : 0u);
    if ((code = read_public(sender, opts.from, PAIR_ED25519)) || (code = read_recipient(&recipient, opts.key)))
        goto out;
    if ((err = ljs_parcel_open(&run.parcel, recipient, sender, sizeof sender))) {
        code = complain_err(err, "device receive");
        goto out;
    }
    run.fd = open(run.path, O_RDONLY | O_CLOEXEC);
    if (run.fd < 0 || !(run.piece = malloc(LJS_PARCEL_PIECE_MAX))) {
        complain("%s: %s", run.path, strerror(errno));
        code = FAILED;
        goto out;
    }
    code = receive_all(&run);
out:
    if (run.fd >= 0)
        close(run.fd);
    free(run.piece);
    ljs_parcel_free(run.parcel);
    ljs_key_free(recipient);
    data_close(&data);
    return code;
}
