/* manifest_keys.c -- `lorajs manifest keys`: what a manifest has encrypted to its recipient becomes root keys, without
 * being seen; beside a running daemon, as `lorajs device` works. */
#include "import.h"
#include "manifest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SECRETS_MAX = 32 /* of one entry */, WHY_MAX = 2 * LJS_LABEL_MAX + IMPORT_FAULT_MAX };

struct keys_opts {
    struct where where;
    struct manifest_opts manifest;
    const char *recipient, *nwk, *app, *mac;
    bool replace_keys, allow_weak, dry_run;
};

#define AT(member) offsetof(struct keys_opts, member)
static const struct flag keys_flags[] = {
    WHERE_FLAGS(struct keys_opts),
    { "recipient", "FILE",
      "the recipient's key on P-256, its number in 64 hexadecimal digits; - is standard input; needed", FLAG_TEXT,
      AT(recipient), 0, 0 },
    { "nwk-key", "KID", "which key is NwkKey: its kid, or # and its place, from 0", FLAG_TEXT, AT(nwk), 0, 0 },
    { "app-key", "KID", "likewise AppKey; one of the two is needed", FLAG_TEXT, AT(app), 0, 0 },
    { "lorawan-version", "VERSION", "of devices that are not there yet (default 1.0.4), or of all where it is given",
      FLAG_TEXT, AT(mac), 0, 0 },
    MANIFEST_FLAGS(struct keys_opts, manifest.),
    { "replace-keys", NULL, "give devices that are there with other root keys these; they must join anew", FLAG_SWITCH,
      AT(replace_keys), 0, 0 },
    { "allow-weak-keys", NULL, "take keys that are so regular that they are no secret", FLAG_SWITCH, AT(allow_weak), 0,
      0 },
    { "dry-run", NULL, "open and check everything and change nothing", FLAG_SWITCH, AT(dry_run), 0, 0 },
    { "json", NULL, "a JSON object an entry, and one with their numbers", FLAG_SWITCH, AT(manifest.json), 0, 0 },
    { 0 },
};
#undef AT

const struct usage manifest_keys_usage = {
    "manifest keys",
    "FILE|-",
    "Verifies a manifest of secure elements as `manifest check` does, opens the keys of each good entry that are "
    "encrypted to its recipient (JWE, ECDH-ES+A128KW with A256GCM), and makes them the root keys of its device, which "
    "need not be there yet. No key is shown. Which key is which no manifest says: its maker does, and you with "
    "--nwk-key "
    "and --app-key.\n"
    "Each entry is told of; one of which anything is wrong changes nothing, and then the exit code is 3. Unproven: no "
    "maker "
    "has published such a manifest.",
    keys_flags,
    1,
    1,
};

struct opened {
    ljs_manifest_secret what;
    ljs_key *key;
};

struct taking {
    const struct keys_opts *opts;
    struct data data;
    ljs_key *recipient;
    ljs_mac mac;       /* 0: the one that it has */
    ljs_mac taken_for; /* the device that was looked at last */
    struct opened at[SECRETS_MAX];
    unsigned n;
    char why[WHY_MAX];
};

/* ---- the report ------------------------------------------------------------------------ */

static void tell(const struct manifest_run *run, const struct taking *t, const ljs_manifest_entry *e)
{
    const char *done = t->opts->dry_run ? "keys would be taken" : "keys taken";
    const char *id = *e->unique_id ? e->unique_id : NULL;

    if (!run->opts->json && *t->why) {
        fprintf(run->out, "%-18s  refused: %s (entry %" PRIu64 ", octet %" PRIu64 ")\n", id ? id : "-", t->why,
                e->index, e->offset);
    } else if (!run->opts->json) {
        fprintf(run->out, "%-18s  %016" PRIx64 "  %s\n", e->unique_id, e->dev_eui, done);
    } else {
        fprintf(run->out, "{\"index\":%" PRIu64 ",\"unique_id\":", e->index);
        print_json_text(run->out, id);
        fprintf(run->out, e->has_dev_eui ? ",\"dev_eui\":\"%016" PRIx64 "\"" : ",\"dev_eui\":null", e->dev_eui);
        fprintf(run->out, ",\"%s\":", *t->why ? "reason" : "result");
        print_json_text(run->out, *t->why ? t->why : done);
        fputs("}\n", run->out);
    }
}

static void print_end(const struct manifest_run *run)
{
    fprintf(run->out,
            run->opts->json ? "{\"entries\":%" PRIu64 ",\"taken\":%" PRIu64 ",\"refused\":%" PRIu64 "}\n"
                            : "%" PRIu64 " entries: keys of %" PRIu64 ", %" PRIu64 " refused\n",
            run->good + run->refused, run->good, run->refused);
}

/* ---- the keys of an entry ---------------------------------------------------------------- */

static void forget(struct taking *t)
{
    for (unsigned i = 0; i < t->n; i++)
        ljs_key_free(t->at[i].key);
    t->n = 0;
}

/* All of them, or the reason. */
static ljs_err open_all(struct taking *t, const ljs_manifest *manifest)
{
    ljs_err err = LJS_OK;

    while (!err && t->n < SECRETS_MAX) {
        struct opened *o = &t->at[t->n];

        err = ljs_manifest_open_secret(&o->what, &o->key, manifest, t->n, t->recipient);
        if (err == LJS_E_INVAL || err == LJS_E_SEAL)
            snprintf(t->why, sizeof t->why, "key %u: %s", t->n, o->what.detail);
        if (!err)
            t->n++;
    }
    if (!err)
        snprintf(t->why, sizeof t->why, "it has more than %u keys", SECRETS_MAX - 1U);
    else if (err == LJS_E_NOTFOUND && !t->n)
        snprintf(t->why, sizeof t->why, "it has no key for its recipient");
    return err == LJS_E_NOTFOUND || *t->why ? LJS_OK : err;
}

/* The one that is called so, by its kid or its place. */
static ljs_key *named(struct taking *t, const char *kid)
{
    ljs_key *found = NULL;
    char *end = NULL;
    unsigned long place = kid[0] == '#' ? strtoul(kid + 1, &end, 10) : 0;

    if (end && end != kid + 1 && !*end)
        found = place < t->n ? t->at[place].key : NULL;
    for (unsigned i = 0; !end && i < t->n; i++) {
        if (strcmp(t->at[i].what.kid, kid) != 0)
            continue;
        if (found) {
            snprintf(t->why, sizeof t->why, "two keys have the kid %s", kid);
            return NULL;
        }
        found = t->at[i].key;
    }
    if (!found)
        snprintf(t->why, sizeof t->why, "it has no key %s", kid);
    return found;
}

/* The device as the entry has it.  What is set of one that is there already stays (LJS_MAKE_KEEP), whoever changes it
 * meanwhile; its version counts for which keys it takes, so that is asked for the report. */
static ljs_err device_of(ljs_import *out, struct taking *t, const ljs_manifest_entry *e)
{
    ljs_buf record = { NULL, 0 };
    ljs_device there = { .struct_size = sizeof there };
    ljs_err err = ljs_server_get_device(&record, t->data.server, e->dev_eui);
    bool is_new = err == LJS_E_NOTFOUND;

    if (!err && !(err = ljs_device_read(&there, record.data, record.len)))
        is_new = there.state == LJS_STATE_REMOVED;
    ljs_buf_free(&record);
    *out = (ljs_import){ .dev_nonce = -1,
                         .device = { .struct_size = sizeof out->device,
                                     .dev_eui = e->dev_eui,
                                     .join_eui = e->has_join_eui ? e->join_eui : there.join_eui,
                                     .join_euis = 1,
                                     .mac = t->mac } };
    out->join_eui[0] = out->device.join_eui;
    if (is_new && !e->has_join_eui)
        snprintf(t->why, sizeof t->why, "it names no JoinEUI, and there is no such device");
    t->taken_for = t->mac ? t->mac : is_new ? LJS_MAC_1_0_4 : there.mac;
    return is_new ? LJS_OK : err;
}

static ljs_err take_keys(struct taking *t, const ljs_manifest_entry *e)
{
    const struct keys_opts *opts = t->opts;
    unsigned flags = (opts->replace_keys ? LJS_MAKE_REPLACE_KEYS : 0U) | (opts->allow_weak ? LJS_MAKE_ALLOW_WEAK : 0U) |
                     LJS_MAKE_KEEP;
    ljs_import import;
    ljs_err err;

    if (!e->has_dev_eui) {
        snprintf(t->why, sizeof t->why, "it names no DevEUI");
        return LJS_OK;
    }
    if ((err = device_of(&import, t, e)))
        return err;
    if (!*t->why && opts->nwk)
        import.nwk = named(t, opts->nwk);
    if (!*t->why && opts->app)
        import.app = named(t, opts->app);
    if (*t->why)
        return LJS_OK;
    err = import_device(&t->data, &import, flags);
    if (err == LJS_E_INVAL)
        snprintf(t->why, sizeof t->why, "LoRaWAN %s takes other keys", ljs_mac_text(t->taken_for));
    else if (err && !import_failed(err))
        import_fault(t->why, err, &import);
    return *t->why ? LJS_OK : err;
}

static int take(struct manifest_run *run, const ljs_manifest_entry *e)
{
    struct taking *t = run->user;
    ljs_err err = LJS_OK;

    t->why[0] = 0;
    if (e->verdict)
        snprintf(t->why, sizeof t->why, "%s%s%s%s", ljs_manifest_verdict_text(e->verdict), *e->detail ? " [" : "",
                 e->detail, *e->detail ? "]" : "");
    else if (!(err = open_all(t, run->manifest)) && !*t->why)
        err = take_keys(t, e);
    forget(t);
    manifest_erase(run);
    if (err)
        return complain_err(err, command_path());
    ++*(*t->why ? &run->refused : &run->good);
    tell(run, t, e);
    return GO_ON;
}

/* ---- the command -------------------------------------------------------------------------- */

static int read_opts(struct taking *t)
{
    const struct keys_opts *opts = t->opts;
    int code;

    if (!opts->recipient || (!opts->nwk && !opts->app)) {
        complain("manifest keys needs --recipient, and --nwk-key or --app-key (see `lorajs manifest keys --help`)");
        return USAGE;
    }
    if (opts->mac && ljs_mac_parse(&t->mac, opts->mac)) {
        complain("--lorawan-version is 1.0.0 to 1.0.4, or 1.1");
        return USAGE;
    }
    if ((code = read_key(&t->recipient, opts->recipient)))
        return code;
    if (ljs_key_len(t->recipient) == 32)
        return DONE;
    complain("%s: a key on P-256 has 64 hexadecimal digits", opts->recipient);
    return REFUSED;
}

int cmd_manifest_keys(int argc, char **argv)
{
    struct keys_opts opts = { .dry_run = false };
    struct taking *t = calloc(1, sizeof *t);
    struct manifest_run run = { .opts = &opts.manifest, .take = take, .user = t, .out = stdout, .began = now_ms() };
    int code = t ? read_flags(&manifest_keys_usage, &opts, &argc, &argv) : complain_err(LJS_E_NOMEM, "manifest keys");

    if (code != GO_ON) {
        free(t);
        return code;
    }
    t->opts = &opts;
    if (!(code = read_opts(t)) && !(code = data_try(&t->data, &opts.where, DATA_CREATE, NULL, opts.dry_run)) &&
        !(code = manifest_prepare(&run))) {
        code = manifest_read(&run, argv[0]);
        print_end(&run);
        code = code == DONE && run.refused ? REFUSED : code;
    }
    ljs_manifest_free(run.manifest);
    data_close(&t->data);
    ljs_key_free(t->recipient);
    free(t);
    return code;
}
