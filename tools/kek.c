/* kek.c -- `lorajs kek ...` and `lorajs key ...`: the keys between servers, and fresh ones. */
#include "newfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct kek_opts {
    struct where where;
    const char *key_file;
    const char *to, *peer;
    bool replace, allow_weak, json, ns, as, back, dry_run;
};

#define AT(member) offsetof(struct kek_opts, member)
static const struct flag add_flags[] = {
    WHERE_FLAGS(struct kek_opts),
    { "key-file", "FILE", "where the key is, in hexadecimal (default -, standard input)", FLAG_TEXT, AT(key_file), 0,
      0 },
    { "replace", NULL, "put it in the place of another key of this label", FLAG_SWITCH, AT(replace), 0, 0 },
    { "allow-weak-keys", NULL, "take a key that is so regular that it is no secret", FLAG_SWITCH, AT(allow_weak), 0,
      0 },
    { "dry-run", NULL, "look whether it could be added and change nothing", FLAG_SWITCH, AT(dry_run), 0, 0 },
    { "json", NULL, "one JSON object", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
static const struct flag rotate_flags[] = {
    WHERE_FLAGS(struct kek_opts),
    { "to", "LABEL", "the KEK that is used in its place; LABEL itself again for none; needed", FLAG_TEXT, AT(to), 0,
      0 },
    { "peer", "NAME", "for this peer alone, which has the say before what is said of all", FLAG_TEXT, AT(peer), 0, 0 },
    { "ns", NULL, "for network keys alone", FLAG_SWITCH, AT(ns), 0, 0 },
    { "as", NULL, "for AppSKey alone", FLAG_SWITCH, AT(as), 0, 0 },
    { "key-file", "FILE", "add the new KEK first, as `kek add` does, from this file; - is standard input", FLAG_TEXT,
      AT(key_file), 0, 0 },
    { "allow-weak-keys", NULL, "take a key that is so regular that it is no secret", FLAG_SWITCH, AT(allow_weak), 0,
      0 },
    { "dry-run", NULL, "look whether it could be done and change nothing", FLAG_SWITCH, AT(dry_run), 0, 0 },
    { "json", NULL, "one JSON object", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
static const struct flag retire_flags[] = {
    WHERE_FLAGS(struct kek_opts),
    { "back", NULL, "take it back: it may be used again", FLAG_SWITCH, AT(back), 0, 0 },
    { "dry-run", NULL, "look whether it could be done and change nothing", FLAG_SWITCH, AT(dry_run), 0, 0 },
    { "json", NULL, "one JSON object", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
static const struct flag remove_flags[] = {
    WHERE_FLAGS(struct kek_opts),
    { "dry-run", NULL, "look whether it is there and change nothing", FLAG_SWITCH, AT(dry_run), 0, 0 },
    { "json", NULL, "one JSON object", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
static const struct flag list_flags[] = { LISTING_FLAGS("a JSON object a KEK") };
#undef AT

static const struct usage add_usage = {
    "kek add",
    "LABEL",
    "Takes a key encryption key of 16, 24 or 32 octets, shared with a network or application server, under the label "
    "by which both name it. The key is read as hexadecimal from a file or standard input, never from the command "
    "line. What is missing in the data directory is made. The daemon may be running.",
    add_flags,
    1,
    1,
};
static const struct usage rotate_usage = {
    "kek rotate",
    "LABEL",
    "From the next message on another KEK is used wherever this label is named, by a peer or by a device; both stay. "
    "The daemon may be running, and configuration and devices may go on naming the old label until it is removed. The "
    "same command again is no change.",
    rotate_flags,
    1,
    1,
};
static const struct usage retire_usage = {
    "kek retire",
    "LABEL",
    "Lets a KEK wrap nothing any more. It stays listed, and what is used in its place goes on; who would need the "
    "retired one itself is refused, and nothing is burnt. The daemon may be running.",
    retire_flags,
    1,
    1,
};
static const struct usage list_usage = {
    "kek list", "", "Lists the labels, how long their keys are, which are retired, and what is used in their place.",
    list_flags, 0,  0
};
static const struct usage remove_usage = {
    "kek remove", "LABEL", "Forgets a KEK. Devices and peers that name it are refused until there is another.",
    remove_flags, 1,       1
};

static void report(bool json, const char *label, size_t bits, const char *what)
{
    if (!json) {
        printf("%s: %s\n", label, what);
        return;
    }
    printf("{\"label\":");
    print_json_text(stdout, label);
    if (bits)
        printf(",\"bits\":%zu", bits);
    printf(",\"result\":\"%s\"}\n", what);
}

/* A label is shown to people, so it must be fit to be shown; the library says the same. */
int check_label(const char *label)
{
    size_t n = strlen(label);
    bool bad = n < 1 || n >= LJS_LABEL_MAX;

    for (size_t i = 0; i < n; i++)
        bad = bad || (unsigned char)label[i] < 0x20 || label[i] == 0x7f;
    if (bad)
        complain("a label has 1 to %d octets and no control characters", LJS_LABEL_MAX - 1);
    if (!bad && n >= 32 && strspn(label, "0123456789abcdefABCDEF") == n) {
        complain("the label looks like a key; keys are read from a file or standard input, never from the command "
                 "line");
        bad = true;
    }
    return bad ? USAGE : DONE;
}

static int cmd_add(int argc, char **argv)
{
    struct kek_opts opts = { .key_file = "-" };
    struct data data = { NULL, NULL, NULL };
    ljs_key *key = NULL;
    ljs_err err;
    int code = read_flags(&add_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if ((code = check_label(argv[0])) || (code = read_key(&key, opts.key_file)))
        goto out;
    if (!opts.allow_weak && ljs_key_check(key) == LJS_E_WEAK) {
        complain("the key is so regular that it is no secret; make one with `lorajs key generate`, or say "
                 "--allow-weak-keys");
        code = REFUSED;
        goto out;
    }
    if ((code = data_try(&data, &opts.where, DATA_CREATE, NULL, opts.dry_run)))
        goto out;
    err = ljs_server_put_kek(data.server, argv[0], key, opts.replace);
    if (err == LJS_E_EXISTS) {
        complain("%s: there is another key of this label; say --replace to put this one in its place", argv[0]);
        code = REFUSED;
    } else if (err) {
        code = complain_err(err, argv[0]);
    } else {
        report(opts.json, argv[0], 8 * ljs_key_len(key), opts.dry_run ? "would be added" : "added");
    }
out:
    ljs_key_free(key);
    data_close(&data);
    return code;
}

static const char *const uses[] = { "", "ns", "as", "all" };

static ljs_err list_nexts(const struct listing *run, const ljs_kek *kek)
{
    ljs_kek_next next;
    ljs_err err = LJS_OK;

    for (unsigned i = 0; !err && i < kek->nexts; i++) {
        if ((err = ljs_server_kek_next(&next, run->server, kek->label, i)))
            break;
        if (run->json) {
            printf("%s{\"label\":", i ? "," : "");
            print_json_text(stdout, next.label);
            printf(",\"peer\":");
            print_json_text(stdout, next.peer[0] ? next.peer : NULL);
            printf(",\"use\":\"%s\"}", uses[next.use & 3]);
        } else {
            printf("  -> %s%s%s%s%s", next.label, next.peer[0] ? " for " : "", next.peer, next.use == 3 ? "" : " ",
                   next.use == 3 ? "" : uses[next.use & 3]);
        }
    }
    return err == LJS_E_NOTFOUND ? LJS_OK : err; /* changed meanwhile */
}

static ljs_err list_row(void *user, const char *label, size_t kek_len)
{
    struct listing *run = user;
    ljs_kek kek;
    ljs_err err = ljs_server_get_kek(&kek, run->server, label);

    if (err)
        return err == LJS_E_NOTFOUND ? LJS_OK : err;
    run->any = true;
    if (run->json) {
        printf("{\"label\":");
        print_json_text(stdout, label);
        printf(",\"bits\":%zu,\"retired\":%s,\"next\":[", 8 * kek_len, kek.retired ? "true" : "false");
    } else {
        printf("%-32s  AES-%zu%s", label, 8 * kek_len, kek.retired ? "  retired" : "");
    }
    err = list_nexts(run, &kek);
    fputs(run->json ? "]}\n" : "\n", stdout);
    return err;
}

static ljs_err each_kek(struct listing *run)
{
    return ljs_server_each_kek(run->server, list_row, run);
}

static int cmd_list(int argc, char **argv)
{
    return list_all(&list_usage, argc, argv, each_kek, "no KEKs yet; `lorajs kek add LABEL` takes one");
}

static int cmd_remove(int argc, char **argv)
{
    struct kek_opts opts = { 0 };
    struct data data;
    ljs_err err;
    int code = read_flags(&remove_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if ((code = check_label(argv[0])) || (code = data_try(&data, &opts.where, DATA_OPEN, NULL, opts.dry_run)))
        return code;
    err = ljs_server_del_kek(data.server, argv[0]);
    if (err == LJS_E_NOTFOUND) {
        complain("%s: no such KEK; `lorajs kek list` shows those there are", argv[0]);
        code = REFUSED;
    } else if (err) {
        code = complain_err(err, argv[0]);
    } else {
        report(opts.json, argv[0], 0, opts.dry_run ? "would be removed" : "removed");
    }
    data_close(&data);
    return code;
}

/* Is it there, and may it be used? */
static int check_kek(const struct data *data, const char *label)
{
    ljs_kek kek;
    ljs_err err = ljs_server_get_kek(&kek, data->server, label);

    if (err == LJS_E_NOTFOUND) {
        complain("%s: no such KEK; `lorajs kek list` shows those there are", label);
        return REFUSED;
    }
    return err ? complain_err(err, label) : DONE;
}

static int rotate(const struct data *data, const struct kek_opts *opts, const char *label, const ljs_key *key)
{
    unsigned use = (opts->ns ? LJS_USE_NS : 0U) | (opts->as ? LJS_USE_AS : 0U);
    ljs_err err;
    int code = check_kek(data, label);

    if (code)
        return code;
    err = key ? ljs_server_put_kek(data->server, opts->to, key, 0) : LJS_OK;
    if (err == LJS_E_EXISTS) {
        complain("%s: there is another key of this label; rotate to a label of its own", opts->to);
        return REFUSED;
    }
    if (err)
        return complain_err(err, opts->to);
    if ((code = check_kek(data, opts->to)))
        return code;
    err = ljs_server_rotate_kek(data->server, label, opts->to, opts->peer, use ? use : LJS_USE_NS | LJS_USE_AS);
    if (err == LJS_E_STATE) {
        complain("%s: it is retired, or %s is used in its place already, or too many are used one after another",
                 opts->to, label);
        return REFUSED;
    }
    return err ? complain_err(err, label) : DONE;
}

static int cmd_rotate(int argc, char **argv)
{
    struct kek_opts opts = { 0 };
    struct data data = { NULL, NULL, NULL };
    ljs_key *key = NULL;
    int code = read_flags(&rotate_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if (!opts.to) {
        complain("kek rotate needs --to (see `lorajs kek rotate --help`)");
        return USAGE;
    }
    if ((code = check_label(argv[0])) || (code = check_label(opts.to)) ||
        (opts.key_file && (code = read_key(&key, opts.key_file))))
        goto out;
    if (key && !opts.allow_weak && ljs_key_check(key) == LJS_E_WEAK) {
        complain("the key is so regular that it is no secret; make one with `lorajs key generate`, or say "
                 "--allow-weak-keys");
        code = REFUSED;
        goto out;
    }
    if (!(code = data_try(&data, &opts.where, DATA_OPEN, NULL, opts.dry_run)) &&
        !(code = rotate(&data, &opts, argv[0], key)))
        report(opts.json, argv[0], 0, opts.dry_run ? "would be rotated" : "rotated");
out:
    ljs_key_free(key);
    data_close(&data);
    return code;
}

static int cmd_retire(int argc, char **argv)
{
    struct kek_opts opts = { 0 };
    struct data data = { NULL, NULL, NULL };
    ljs_err err = LJS_OK;
    const char *what;
    int code = read_flags(&retire_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    what = opts.dry_run ? opts.back ? "would be taken back" : "would be retired" : opts.back ? "taken back" : "retired";
    if ((code = check_label(argv[0])) || (code = data_try(&data, &opts.where, DATA_OPEN, NULL, opts.dry_run)))
        return code;
    code = check_kek(&data, argv[0]);
    if (!code)
        err = ljs_server_retire_kek(data.server, argv[0], !opts.back);
    if (err)
        code = complain_err(err, argv[0]);
    if (!code)
        report(opts.json, argv[0], 0, what);
    data_close(&data);
    return code;
}

const struct command kek_commands[] = {
    { "add", "take a key that is shared with a server", cmd_add, NULL, &add_usage },
    { "list", "their labels", cmd_list, NULL, &list_usage },
    { "rotate", "use another in the place of one", cmd_rotate, NULL, &rotate_usage },
    { "retire", "let one wrap nothing any more", cmd_retire, NULL, &retire_usage },
    { "remove", "forget one", cmd_remove, NULL, &remove_usage },
    { 0 },
};

/* ---- key generate ------------------------------------------------------------ */

struct generate_opts {
    const char *length, *output;
};

static const struct flag generate_flags[] = {
    { "length", "16|24|32", "octets (default 16)", FLAG_TEXT, offsetof(struct generate_opts, length), 0, 0 },
    { "output", "FILE", "a new file of mode 0600 (default: standard output)", FLAG_TEXT,
      offsetof(struct generate_opts, output), 0, 0 },
    { 0 },
};
static const struct usage generate_usage = {
    "key generate",
    "",
    "Makes a random key and writes it in hexadecimal, on one line. This is the one command that shows a key; with "
    "--output it goes to a file that only you may read. A file that is there is never overwritten.",
    generate_flags,
    0,
    0,
};

static int cmd_generate(int argc, char **argv)
{
    static const char digits[] = "0123456789abcdef";
    struct generate_opts opts = { "16", NULL };
    char text[65];
    ljs_key *key = NULL;
    ljs_buf bytes = { NULL, 0 };
    ljs_err err;
    size_t n = 0;
    struct newfile file = NEWFILE_NONE;
    int code = read_flags(&generate_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    code = FAILED;
    if ((err = ljs_key_generate(&key, (size_t)atoi(opts.length))) || (err = ljs_key_export(&bytes, key))) {
        complain_err(err, "key generate");
        goto out;
    }
    for (size_t i = 0; i < bytes.len; i++) {
        text[n++] = digits[bytes.data[i] >> 4];
        text[n++] = digits[bytes.data[i] & 15];
    }
    text[n++] = '\n';
    /* Without stdio, whose buffer would keep it. */
    if (opts.output) {
        code = newfile_open(&file, opts.output, 0600);
        if (!code)
            code = newfile_write(&file, text, n) ? newfile_keep(&file) : newfile_complain(&file);
    } else if (write(STDOUT_FILENO, text, n) == (ssize_t)n) {
        code = DONE;
    } else {
        complain("standard output: %s", strerror(errno));
    }
out:
    newfile_drop(&file);
    explicit_bzero(text, sizeof text);
    ljs_buf_free(&bytes);
    ljs_key_free(key);
    return code;
}

const struct command key_commands[] = {
    { "generate", "make a random key", cmd_generate, NULL, &generate_usage },
    { "pair", "make a key pair, to send or receive devices", cmd_pair, NULL, &pair_usage },
    { 0 },
};
