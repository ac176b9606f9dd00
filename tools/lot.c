/* lot.c -- `lorajs lot ...`: the keys that root keys of a production of devices come of. */
#include "tool.h"

#include <lorajs/token.h>

#include <string.h>

struct lot_opts {
    struct where where;
    const char *key_file, *kek;
    bool allow_weak, dry_run, json;
};

#define AT(member) offsetof(struct lot_opts, member)
static const struct flag add_flags[] = {
    WHERE_FLAGS(struct lot_opts),
    { "key-file", "FILE", "where the key is, in hexadecimal (default -, standard input)", FLAG_TEXT, AT(key_file), 0,
      0 },
    { "allow-weak-keys", NULL, "take a key that is so regular that it is no secret", FLAG_SWITCH, AT(allow_weak), 0,
      0 },
    { "dry-run", NULL, "look whether it could be added and change nothing", FLAG_SWITCH, AT(dry_run), 0, 0 },
    { "json", NULL, "one JSON object", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
static const struct flag make_flags[] = {
    WHERE_FLAGS(struct lot_opts),
    { "kek", "LABEL", "the KEK of whoever personalizes the devices, as `lorajs kek add` took it; needed", FLAG_TEXT,
      AT(kek), 0, 0 },
    { "dry-run", NULL, "look whether it could be made and change nothing", FLAG_SWITCH, AT(dry_run), 0, 0 },
    { "json", NULL, "one JSON object", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
static const struct flag list_flags[] = { LISTING_FLAGS("a JSON object a lot") };
#undef AT

static const struct usage add_usage = {
    "lot add",
    "LABEL",
    "Takes the key of a lot: 16 octets, of which the root keys of each of its devices are made by its DevEUI (the "
    "manual page has the formula). Devices are then provisioned with --lot LABEL, and no key of them is kept. The key "
    "is read as hexadecimal from a file or standard input, never from the command line. A lot stays for good, and its "
    "key never becomes another. Whoever has it has the keys of all of its devices: keep it in a token. What is missing "
    "in the data directory is made. The daemon may be running.",
    add_flags,
    1,
    1,
};
static const struct usage make_usage = {
    "lot make",
    "LABEL",
    "Makes the key of a lot where keys are used, inside of the token where they are in one, so that nobody ever sees "
    "it, "
    "and writes it once, wrapped (RFC 3394) under a KEK, for whoever personalizes the devices. What is written is not "
    "to be had again: keep it until they have it, else make another lot. The daemon may be running.",
    make_flags,
    1,
    1,
};
static const struct usage list_usage = { "lot list", "", "Lists the labels of the lots.", list_flags, 0, 0 };

/* [TR007 3.4.3.1]  allows keys that are diversified from one that is in a hardware security module */
static void warn_of_software(const struct data *data, const char *label)
{
    ljs_token_storage storage;

    if (ljs_token_look(&storage, data->vault) == LJS_E_STATE)
        complain("%s: warning: this key is that of all devices of the lot, and it is not in a hardware security "
                 "module, where LoRa Alliance TR007 wants it; `lorajs token --help`",
                 label);
}

static void report(const struct lot_opts *opts, const char *label)
{
    const char *what = opts->dry_run ? "would be added" : "added";

    if (!opts->json) {
        printf("%s: %s\n", label, what);
        return;
    }
    printf("{\"label\":");
    print_json_text(stdout, label);
    printf(",\"result\":\"%s\"}\n", what);
}

static int cmd_add(int argc, char **argv)
{
    struct lot_opts opts = { .key_file = "-" };
    struct data data = { NULL, NULL, NULL };
    ljs_key *key = NULL;
    ljs_err err;
    int code = read_flags(&add_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if ((code = check_label(argv[0])) || (code = read_key(&key, opts.key_file)))
        goto out;
    if (ljs_key_len(key) != 16) {
        complain("the key of a lot has 32 hexadecimal digits; `lorajs key generate` makes one");
        code = REFUSED;
        goto out;
    }
    if (!opts.allow_weak && ljs_key_check(key) == LJS_E_WEAK) {
        complain("the key is so regular that it is no secret; make one with `lorajs key generate`, or say "
                 "--allow-weak-keys");
        code = REFUSED;
        goto out;
    }
    if ((code = data_try(&data, &opts.where, DATA_CREATE, NULL, opts.dry_run)))
        goto out;
    err = ljs_server_put_lot(data.server, argv[0], key);
    if (err == LJS_E_EXISTS) {
        complain("%s: there is another key of this label, which never becomes another; give this lot a label of its "
                 "own",
                 argv[0]);
        code = REFUSED;
    } else if (err) {
        code = complain_err(err, argv[0]);
    } else {
        if (!opts.dry_run)
            warn_of_software(&data, argv[0]);
        report(&opts, argv[0]);
    }
out:
    ljs_key_free(key);
    data_close(&data);
    return code;
}

static void report_made(const struct lot_opts *opts, const char *label, const ljs_envelope *envelope)
{
    const char *what = opts->dry_run ? "could be made" : "made";
    char key[2 * sizeof envelope->key + 1] = "";

    for (size_t i = 0; i < envelope->key_len; i++)
        snprintf(key + 2 * i, 3, "%02x", envelope->key[i]);
    if (!opts->json) {
        printf("%s: %s\n", label, what);
        if (*key)
            printf("%s  under %s\n", key, envelope->kek_label);
        return;
    }
    printf("{\"label\":");
    print_json_text(stdout, label);
    printf(",\"result\":\"%s\"", what);
    if (*key) {
        printf(",\"kek\":");
        print_json_text(stdout, envelope->kek_label);
        printf(",\"wrapped_key\":\"%s\"", key);
    }
    puts("}");
}

static int make_refused(ljs_err err, const char *label, const char *kek)
{
    if (err == LJS_E_EXISTS)
        complain("%s: there is a lot of this label, whose key never becomes another; give this one a label of its own",
                 label);
    else if (err == LJS_E_KEK)
        complain("%s: no such KEK, or it is retired; `lorajs kek list` shows those there are", kek);
    else
        return complain_err(err, label);
    return REFUSED;
}

static int cmd_make(int argc, char **argv)
{
    struct lot_opts opts = { .kek = NULL };
    struct data data = { NULL, NULL, NULL };
    ljs_envelope envelope = { .key_len = 0 };
    ljs_err err;
    int code = read_flags(&make_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if (!opts.kek) {
        complain("lot make needs --kek (see `lorajs lot make --help`)");
        return USAGE;
    }
    if ((code = check_label(argv[0])) || (code = check_label(opts.kek)) ||
        (code = data_try(&data, &opts.where, DATA_OPEN, NULL, opts.dry_run)))
        return code;
    err = ljs_server_make_lot(&envelope, data.server, argv[0], opts.kek);
    if (opts.dry_run) /* of a lot that is not kept */
        envelope = (ljs_envelope){ .key_len = 0 };
    if (err) {
        code = make_refused(err, argv[0], opts.kek);
    } else {
        if (!opts.dry_run)
            warn_of_software(&data, argv[0]);
        report_made(&opts, argv[0], &envelope);
    }
    data_close(&data);
    return code;
}

static ljs_err list_row(void *user, const char *label)
{
    struct listing *run = user;

    run->any = true;
    if (!run->json) {
        puts(label);
        return LJS_OK;
    }
    printf("{\"label\":");
    print_json_text(stdout, label);
    puts("}");
    return LJS_OK;
}

static ljs_err each_lot(struct listing *run)
{
    return ljs_server_each_lot(run->server, list_row, run);
}

static int cmd_list(int argc, char **argv)
{
    return list_all(&list_usage, argc, argv, each_lot, "no lots yet; `lorajs lot add LABEL` takes one");
}

const struct command lot_commands[] = {
    { "add", "take the key of a lot", cmd_add, NULL, &add_usage },
    { "make", "make the key of a lot, seen by nobody", cmd_make, NULL, &make_usage },
    { "list", "their labels", cmd_list, NULL, &list_usage },
    { 0 },
};

/* ---- of one device ------------------------------------------------------------ */

static uint8_t key_bit(const char *name, size_t len)
{
    static const struct {
        const char *name;
        uint8_t bit;
    } rows[] = { { "NwkKey", LJS_HAS_NWK_KEY },
                 { "AppKey", LJS_HAS_APP_KEY },
                 { "GenAppKey", LJS_HAS_GEN_APP_KEY },
                 { "RekeyKey", LJS_HAS_REKEY_KEY } };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strlen(rows[i].name) == len && !strncasecmp(rows[i].name, name, len))
            return rows[i].bit;
    return 0;
}

int read_lot(ljs_device *out, const char *lot, const char *keys)
{
    int code = lot ? check_label(lot) : DONE;

    if (!code && lot)
        memcpy(out->lot, lot, strlen(lot) + 1);
    if (!code && keys && !lot) {
        complain("--lot-keys goes with --lot");
        code = USAGE;
    }
    while (!code && keys) {
        size_t n = strcspn(keys, ",");
        uint8_t bit = key_bit(keys, n);

        if (!bit) {
            complain("--lot-keys has names of root keys with commas between: NwkKey, AppKey, GenAppKey, RekeyKey");
            code = USAGE;
        }
        out->keys |= bit;
        keys = keys[n] ? keys + n + 1 : NULL;
    }
    return code;
}
