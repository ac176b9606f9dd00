/* kek.c -- `lorajs kek ...` and `lorajs key ...`: the keys between servers, and fresh ones. */
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct kek_opts {
    struct where where;
    const char *key_file;
    bool replace, allow_weak, json;
};

#define AT(member) offsetof(struct kek_opts, member)
static const struct flag add_flags[] = {
    WHERE_FLAGS(struct kek_opts),
    { "key-file", "FILE", "where the key is, in hexadecimal (default -, standard input)", FLAG_TEXT, AT(key_file), 0,
      0 },
    { "replace", NULL, "put it in the place of another key of this label", FLAG_SWITCH, AT(replace), 0, 0 },
    { "allow-weak-keys", NULL, "take a key that is so regular that it is no secret", FLAG_SWITCH, AT(allow_weak), 0,
      0 },
    { "json", NULL, "one JSON object", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
static const struct flag list_flags[] = {
    WHERE_FLAGS(struct kek_opts),
    { "json", NULL, "a JSON object a KEK", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
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
static const struct usage list_usage = { "kek list", "", "Lists the labels, and how long their keys are.",
                                         list_flags, 0,  0 };
static const struct usage remove_usage = {
    "kek remove", "LABEL", "Forgets a KEK. Devices and peers that name it are refused until there is another.",
    list_flags,   1,       1
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

/* The label is shown to people, so it must be fit to be shown; the library says the same. */
static int check_label(const char *label)
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
    if ((code = data_open(&data, &opts.where, DATA_CREATE, NULL)))
        goto out;
    err = ljs_server_put_kek(data.server, argv[0], key, opts.replace);
    if (err == LJS_E_EXISTS) {
        complain("%s: there is another key of this label; say --replace to put this one in its place", argv[0]);
        code = REFUSED;
    } else if (err) {
        code = complain_err(err, argv[0]);
    } else {
        report(opts.json, argv[0], 8 * ljs_key_len(key), "added");
    }
out:
    ljs_key_free(key);
    data_close(&data);
    return code;
}

struct list_run {
    bool json, any;
};

static ljs_err list_row(void *user, const char *label, size_t kek_len)
{
    struct list_run *run = user;

    run->any = true;
    if (run->json) {
        printf("{\"label\":");
        print_json_text(stdout, label);
        printf(",\"bits\":%zu}\n", 8 * kek_len);
    } else {
        printf("%-32s  AES-%zu\n", label, 8 * kek_len);
    }
    return LJS_OK;
}

static int cmd_list(int argc, char **argv)
{
    struct kek_opts opts = { 0 };
    struct list_run run = { false, false };
    struct data data;
    ljs_err err;
    int code = read_flags(&list_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if ((code = data_open(&data, &opts.where, DATA_OPEN, NULL)))
        return code;
    run.json = opts.json;
    if ((err = ljs_server_each_kek(data.server, list_row, &run)))
        code = complain_err(err, "kek list");
    else if (!run.any && !opts.json)
        complain("no KEKs yet; `lorajs kek add LABEL` takes one");
    data_close(&data);
    return code;
}

static int cmd_remove(int argc, char **argv)
{
    struct kek_opts opts = { 0 };
    struct data data;
    ljs_err err;
    int code = read_flags(&remove_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if ((code = check_label(argv[0])) || (code = data_open(&data, &opts.where, DATA_OPEN, NULL)))
        return code;
    err = ljs_server_del_kek(data.server, argv[0]);
    if (err == LJS_E_NOTFOUND) {
        complain("%s: no such KEK; `lorajs kek list` shows those there are", argv[0]);
        code = REFUSED;
    } else if (err) {
        code = complain_err(err, argv[0]);
    } else {
        report(opts.json, argv[0], 0, "removed");
    }
    data_close(&data);
    return code;
}

const struct command kek_commands[] = {
    { "add", "take a key that is shared with a server", cmd_add, NULL, &add_usage },
    { "list", "their labels", cmd_list, NULL, &list_usage },
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
    int fd = STDOUT_FILENO, code = read_flags(&generate_usage, &opts, &argc, &argv);

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
    if (opts.output)
        fd = open(opts.output, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || write(fd, text, n) != (ssize_t)n || (opts.output && fsync(fd))) {
        complain("%s: %s", opts.output ? opts.output : "standard output", strerror(errno));
        goto out;
    }
    code = DONE;
out:
    if (opts.output && fd >= 0)
        close(fd);
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
