/* rekey.c -- `lorajs rekey ...`: other root keys for a device, over the air.  Experimental.
 *
 * The program makes the commands for a device and reads its answers, as octets in hexadecimal: they travel as
 * the payload of data frames, by way of whoever speaks for the application. */
#include "tool.h"

#include <inttypes.h>
#include <string.h>

struct rekey_opts {
    struct where where;
    const char *suite, *join_eui, *parent, *serial;
    int64_t hours, epoch;
    bool experimental, app_keys, rekey_key, compromised, transfer, kept, force, close, dry_run, json;
};

#define AT(member) offsetof(struct rekey_opts, member)
#define JSON_FLAG                                                                                                      \
    {                                                                                                                  \
        "json", NULL, "one JSON object", FLAG_SWITCH, AT(json), 0, 0                                                   \
    }

/* ---- what is told --------------------------------------------------------------- */

static void report(const struct rekey_opts *opts, ljs_eui dev_eui, const ljs_rekey *rekey, const ljs_buf *message)
{
    char at[32];
    bool under_way = rekey->state != LJS_REKEY_STABLE, resync = rekey->state == LJS_REKEY_RESYNC;
    const char *answer = rekey->answer < 0 ? NULL : ljs_rekey_status_text((ljs_rekey_status)rekey->answer);

    if (opts->json) {
        printf("{\"dev_eui\":\"%016" PRIx64 "\",\"state\":\"%s\",\"floor\":%u", dev_eui,
               ljs_rekey_state_text(rekey->state), rekey->floor);
        if (under_way) {
            printf(",\"suite\":%d,\"flags\":%u,\"epoch\":%u,\"join_eui\":\"%016" PRIx64 "\",\"answer\":",
                   (int)rekey->suite, rekey->flags, rekey->epoch, rekey->join_eui);
            print_json_text(stdout, answer);
        }
        if (resync)
            printf(",\"until\":%" PRId64, rekey->until);
    } else {
        printf("%016" PRIx64 ": %s%s", dev_eui, opts->dry_run ? "would be " : "", ljs_rekey_state_text(rekey->state));
        if (resync)
            printf(", suite %d, epochs from %u, JoinEUI %016" PRIx64 ", until %s", (int)rekey->suite, rekey->epoch,
                   rekey->join_eui, time_text(at, rekey->until));
        else if (under_way)
            printf(", suite %d, epoch %u, JoinEUI %016" PRIx64 ", begun %s%s%s", (int)rekey->suite, rekey->epoch,
                   rekey->join_eui, time_text(at, rekey->at), answer ? ", answer: " : "", answer ? answer : "");
        printf("\n");
    }
    if (message && message->len) {
        printf(opts->json ? ",\"fport\":%d,\"message\":\"" : "to be sent on FPort %d: ", LJS_REKEY_FPORT);
        for (size_t i = 0; i < message->len; i++)
            printf("%02x", message->data[i]);
        printf(opts->json ? "\"" : "\n");
    }
    if (opts->json)
        printf("}\n");
}

static ljs_err rekey_of(ljs_rekey *out, struct data *data, ljs_eui dev_eui)
{
    ljs_buf record;
    ljs_err err = ljs_server_get_device(&record, data->server, dev_eui);

    if (!err)
        err = ljs_rekey_read(out, record.data, record.len);
    ljs_buf_free(&record);
    return err;
}

/* ---- the commands --------------------------------------------------------------- */

struct run {
    struct rekey_opts opts;
    struct data data;
    ljs_eui dev_eui;
    ljs_rekey_opts start;
    ljs_resync_opts resync;
    uint8_t answer[LJS_REKEY_MAX];
    size_t answer_len;
    ljs_rekey_act act;
};

typedef ljs_err do_fn(ljs_buf *message, struct run *run);

/* The words are read; the data directory is opened, the step done, and what came of it told. */
static int carry_out(struct run *run, const char *text, do_fn *what)
{
    const ljs_server_opts server = { .struct_size = sizeof server, .experimental = 1 };
    ljs_rekey rekey;
    ljs_buf message = { NULL, 0 };
    ljs_err err = LJS_OK;
    int code = read_eui(&run->dev_eui, text, "DevEUI");

    if (code || (code = data_try(&run->data, &run->opts.where, DATA_OPEN, &server, run->opts.dry_run)))
        return code;
    if (what)
        err = what(&message, run);
    if (run->opts.dry_run)
        ljs_buf_free(&message); /* the device is to have none of a rekey that nobody remembers */
    if (!err)
        err = rekey_of(&rekey, &run->data, run->dev_eui);
    if (err)
        code = complain_err(err, text);
    else
        report(&run->opts, run->dev_eui, &rekey, &message);
    ljs_buf_free(&message);
    data_close(&run->data);
    return code;
}

static ljs_err do_start(ljs_buf *message, struct run *run)
{
    return ljs_server_rekey_begin(message, run->data.server, run->dev_eui, &run->start);
}

static ljs_err do_message(ljs_buf *message, struct run *run)
{
    ljs_rekey_message answer;

    (void)message;
    return ljs_server_rekey_answer(&answer, run->data.server, run->dev_eui, run->answer, run->answer_len);
}

static ljs_err do_abort(ljs_buf *message, struct run *run)
{
    return ljs_server_rekey_abort(message, run->data.server, run->dev_eui, run->opts.force);
}

static ljs_err do_act(ljs_buf *message, struct run *run)
{
    (void)message;
    return ljs_server_rekey_step(run->data.server, run->dev_eui, run->act);
}

static ljs_err do_resync(ljs_buf *message, struct run *run)
{
    (void)message;
    return ljs_server_rekey_resync(run->data.server, run->dev_eui, &run->resync);
}

/* ---- start ---------------------------------------------------------------------- */

static const struct flag start_flags[] = {
    WHERE_FLAGS(struct rekey_opts),
    { "experimental", NULL, "needed: the protocol is ours alone, and may still change", FLAG_SWITCH, AT(experimental),
      0, 0 },
    { "suite", "1|2|4", "1: the rekey key alone; 2: X25519 too; 4: DeriveKey of an ATECC608 (default 1)", FLAG_TEXT,
      AT(suite), 0, 0 },
    { "app-keys", NULL, "replace AppKey and GenAppKey, too", FLAG_SWITCH, AT(app_keys), 0, 0 },
    { "rekey-key", NULL, "replace the rekey key, too", FLAG_SWITCH, AT(rekey_key), 0, 0 },
    { "compromised", NULL, "the device is not to go back to its old keys", FLAG_SWITCH, AT(compromised), 0, 0 },
    { "join-eui", "EUI", "the JoinEUI it is to join under from then on (default: it stays)", FLAG_TEXT, AT(join_eui), 0,
      0 },
    { "transfer", NULL, "that JoinEUI is of another Join Server", FLAG_SWITCH, AT(transfer), 0, 0 },
    { "kept-twice", NULL, "the database is replicated, or backed up before the message is sent; suites 2 and 4 need it",
      FLAG_SWITCH, AT(kept), 0, 0 },
    { "parent", "FILE", "suite 4: the key in slot 13, 64 digits; - for standard input", FLAG_TEXT, AT(parent), 0, 0 },
    { "serial", "HEX", "suite 4: the serial number of the element, 18 digits", FLAG_TEXT, AT(serial), 0, 0 },
    { "force", NULL, "also less than a day after the last one", FLAG_SWITCH, AT(force), 0, 0 },
    { "dry-run", NULL, "say whether it could begin, and change nothing", FLAG_SWITCH, AT(dry_run), 0, 0 },
    JSON_FLAG,
    { 0 },
};
static const struct usage start_usage = {
    "rekey start",
    "DEVEUI",
    "Begins a rekey of the device, and prints the message that it is to be sent. From then on both its old root keys "
    "and "
    "the new ones are tried, until it has joined under the new ones. The same again prints the same message.",
    start_flags,
    1,
    1,
};

static int check_element(ljs_rekey_suite suite, const struct rekey_opts *o)
{
    if ((suite == LJS_REKEY_SUITE_4) == (o->parent && o->serial) && !!o->parent == !!o->serial)
        return DONE;
    complain("suite 4 needs --parent and --serial, and no other takes them");
    return USAGE;
}

static int read_element(uint8_t serial[9], ljs_key **parent, const struct rekey_opts *o)
{
    int code = o->parent ? read_key(parent, o->parent) : DONE;

    if (!code && o->serial && (strlen(o->serial) != 18 || hex_octets(serial, 9, o->serial))) {
        complain("--serial is 18 hexadecimal digits");
        return USAGE;
    }
    return code;
}

static int read_start(struct run *run, ljs_key **ephemeral, ljs_key **parent)
{
    const struct rekey_opts *o = &run->opts;
    ljs_err err;
    int code = DONE;

    run->start = (ljs_rekey_opts){ .struct_size = sizeof run->start,
                                   .suite = o->suite ? (ljs_rekey_suite)(o->suite[0] - '0') : LJS_REKEY_SUITE_1,
                                   .experimental = o->experimental,
                                   .transfer = o->transfer,
                                   .force = o->force,
                                   .kept = o->kept,
                                   .now = now_seconds() };
    run->start.flags = (uint8_t)((o->app_keys ? LJS_REKEY_APP_KEYS : 0) | (o->rekey_key ? LJS_REKEY_REKEY_KEY : 0) |
                                 (o->compromised ? LJS_REKEY_COMPROMISED : 0));
    if (!o->experimental) {
        complain("rekey start needs --experimental: see lorajs-rekey(1)");
        return USAGE;
    }
    if (run->start.suite != LJS_REKEY_SUITE_1 && !o->kept) {
        complain("suites 2 and 4 need --kept-twice: what is lost of them cannot be derived again");
        return USAGE;
    }
    if ((code = check_element(run->start.suite, o)))
        return code;
    if (o->join_eui && (code = read_eui(&run->start.join_eui, o->join_eui, "--join-eui")))
        return code;
    if (run->start.suite == LJS_REKEY_SUITE_2) {
        if ((err = ljs_key_generate(ephemeral, 32)))
            return complain_err(err, "an ephemeral key");
        run->start.ephemeral = *ephemeral;
    }
    code = read_element(run->start.serial, parent, o);
    run->start.parent = *parent;
    return code;
}

static int cmd_start(int argc, char **argv)
{
    struct run run = { .act = (ljs_rekey_act)0 };
    ljs_key *ephemeral = NULL, *parent = NULL;
    int code = read_flags(&start_usage, &run.opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if (!(code = read_start(&run, &ephemeral, &parent)))
        code = carry_out(&run, argv[0], do_start);
    ljs_key_free(ephemeral);
    ljs_key_free(parent);
    return code;
}

/* ---- resync --------------------------------------------------------------------- */

static const struct flag resync_flags[] = {
    WHERE_FLAGS(struct rekey_opts),
    { "experimental", NULL, "needed, as by rekey start", FLAG_SWITCH, AT(experimental), 0, 0 },
    { "suite", "1|4", "of the rekey that is not known here (default 1); the keys of suite 2 are lost with it",
      FLAG_TEXT, AT(suite), 0, 0 },
    { "app-keys", NULL, "it was begun with that", FLAG_SWITCH, AT(app_keys), 0, 0 },
    { "rekey-key", NULL, "likewise", FLAG_SWITCH, AT(rekey_key), 0, 0 },
    { "join-eui", "EUI", "likewise: what the device joins under by now", FLAG_TEXT, AT(join_eui), 0, 0 },
    { "epoch", "N", "the first of the eight that are tried (default: the one after the current)", FLAG_NUMBER,
      AT(epoch), 1, 0xffff },
    { "for", "HOURS", "how long (default 24)", FLAG_NUMBER, AT(hours), 1, LJS_RESYNC_MAX / 3600 },
    { "parent", "FILE", "suite 4: the key in slot 13, 64 digits; - for standard input", FLAG_TEXT, AT(parent), 0, 0 },
    { "serial", "HEX", "suite 4: the serial number of the element, 18 digits", FLAG_TEXT, AT(serial), 0, 0 },
    { "close", NULL, "look no more", FLAG_SWITCH, AT(close), 0, 0 },
    { "dry-run", NULL, "say what would be, and change nothing", FLAG_SWITCH, AT(dry_run), 0, 0 },
    JSON_FLAG,
    { 0 },
};
static const struct usage resync_usage = {
    "rekey resync",
    "DEVEUI",
    "For a device that has the keys of a rekey which is not known here, since the database came from a backup of "
    "before "
    "or the rekey was given up by force. For some hours, joins under no key that is known are tried under those of the "
    "next "
    "eight epochs, once in four seconds at most; what is found is committed as by any rekey.",
    resync_flags,
    1,
    1,
};

static int read_resync(struct run *run, ljs_key **parent)
{
    const struct rekey_opts *o = &run->opts;
    int code;

    run->resync = (ljs_resync_opts){ .struct_size = sizeof run->resync,
                                     .suite = o->suite ? (ljs_rekey_suite)(o->suite[0] - '0') : LJS_REKEY_SUITE_1,
                                     .experimental = o->experimental,
                                     .first = (uint16_t)o->epoch,
                                     .now = now_seconds() };
    run->resync.flags = (uint8_t)((o->app_keys ? LJS_REKEY_APP_KEYS : 0) | (o->rekey_key ? LJS_REKEY_REKEY_KEY : 0));
    run->resync.until = run->resync.now + 3600 * o->hours;
    if (!o->experimental) {
        complain("rekey resync needs --experimental: see lorajs-rekey(1)");
        return USAGE;
    }
    if ((code = check_element(run->resync.suite, o)))
        return code;
    if (o->join_eui && (code = read_eui(&run->resync.join_eui, o->join_eui, "--join-eui")))
        return code;
    code = read_element(run->resync.serial, parent, o);
    run->resync.parent = *parent;
    return code;
}

static int cmd_resync(int argc, char **argv)
{
    struct run run = { .opts = { .hours = 24 } };
    ljs_key *parent = NULL;
    int code = read_flags(&resync_usage, &run.opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if (run.opts.close) {
        run.act = LJS_REKEY_ACT_CLOSE;
        return carry_out(&run, argv[0], do_act);
    }
    if (!(code = read_resync(&run, &parent)))
        code = carry_out(&run, argv[0], do_resync);
    ljs_key_free(parent);
    return code;
}

/* ---- status, message, abort, release, reopen -------------------------------------- */

static const struct flag status_flags[] = { WHERE_FLAGS(struct rekey_opts), JSON_FLAG, { 0 } };
static const struct flag more_flags[] = {
    WHERE_FLAGS(struct rekey_opts),
    { "dry-run", NULL, "say what would be, and change nothing", FLAG_SWITCH, AT(dry_run), 0, 0 },
    JSON_FLAG,
    { 0 },
};
static const struct flag abort_flags[] = {
    WHERE_FLAGS(struct rekey_opts),
    { "force", NULL, "drop the new keys at once, whether the device has confirmed it or not", FLAG_SWITCH, AT(force), 0,
      0 },
    { "dry-run", NULL, "say what would be, and change nothing", FLAG_SWITCH, AT(dry_run), 0, 0 },
    JSON_FLAG,
    { 0 },
};
#undef AT

static const struct usage status_usage = {
    "rekey status", "DEVEUI", "How the rekey of the device stands.", status_flags, 1, 1,
};
static const struct usage message_usage = {
    "rekey message",
    "DEVEUI HEX",
    "Takes an answer of the device, in hexadecimal, as it came on the port.",
    more_flags,
    2,
    2,
};
static const struct usage abort_usage = {
    "rekey abort",
    "DEVEUI",
    "Gives the rekey up, and prints the message that the device is to be sent. It honours that as long as it has not "
    "asked to join under the new keys; until it has said so, both are tried.",
    abort_flags,
    1,
    1,
};
static const struct usage release_usage = {
    "rekey release", "DEVEUI", "The other Join Server has the device: its keys here are forgotten, its nonces are not.",
    more_flags,      1,        1,
};
static const struct usage reopen_usage = {
    "rekey reopen",
    "DEVEUI",
    "The one join that committed the rekey is not believed: both old and new keys are tried again.",
    more_flags,
    1,
    1,
};

static int simple(int argc, char **argv, const struct usage *usage, do_fn *what, ljs_rekey_act act)
{
    struct run run = { .act = act };
    ssize_t n;
    int code = read_flags(usage, &run.opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if (what == do_message) {
        if ((n = from_hex(run.answer, sizeof run.answer, argv[1], strlen(argv[1]))) <= 0) {
            complain("a message is hexadecimal digits, two for each octet");
            return USAGE;
        }
        run.answer_len = (size_t)n;
    }
    return carry_out(&run, argv[0], what);
}

static int cmd_status(int argc, char **argv)
{
    return simple(argc, argv, &status_usage, NULL, (ljs_rekey_act)0);
}

static int cmd_message(int argc, char **argv)
{
    return simple(argc, argv, &message_usage, do_message, (ljs_rekey_act)0);
}

static int cmd_abort(int argc, char **argv)
{
    return simple(argc, argv, &abort_usage, do_abort, (ljs_rekey_act)0);
}

static int cmd_release(int argc, char **argv)
{
    return simple(argc, argv, &release_usage, do_act, LJS_REKEY_ACT_RELEASE);
}

static int cmd_reopen(int argc, char **argv)
{
    return simple(argc, argv, &reopen_usage, do_act, LJS_REKEY_ACT_REOPEN);
}

const struct command rekey_commands[] = {
    { "start", "begin one, and print the message for the device", cmd_start, NULL, &start_usage },
    { "status", "how it stands", cmd_status, NULL, &status_usage },
    { "message", "take an answer of the device", cmd_message, NULL, &message_usage },
    { "abort", "give it up", cmd_abort, NULL, &abort_usage },
    { "release", "another Join Server has the device", cmd_release, NULL, &release_usage },
    { "reopen", "try old and new keys again", cmd_reopen, NULL, &reopen_usage },
    { "resync", "look for a device that is ahead of the database", cmd_resync, NULL, &resync_usage },
    { 0 },
};
