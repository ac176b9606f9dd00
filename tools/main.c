/* main.c -- the program lorajs: which command, and how all of them speak. */
#include "tool.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static command_fn cmd_version, cmd_help;

struct version_opts {
    bool json;
};

static const struct flag version_flags[] = {
    { "json", NULL, "one JSON object", FLAG_SWITCH, offsetof(struct version_opts, json), 0, 0 },
    { 0 },
};

static const struct usage version_usage = {
    "version", "", "Prints the versions of lorajs and of the libraries that it was built with.", version_flags, 0, 0
};
static const struct usage help_usage = { "help", "[COMMAND...]", "What a command does and takes.", NULL, 0, 2 };

const struct command commands[] = {
    { "serve", "answer network and application servers", cmd_serve, NULL, &serve_usage },
    { "device", "the devices of a data directory", NULL, device_commands, NULL },
    { "import", "devices in the formats of other systems", cmd_bulk_import, NULL, &bulk_import_usage },
    { "export", "devices into the formats of other systems", cmd_bulk_export, NULL, &bulk_export_usage },
    { "kek", "the keys that session keys are wrapped under", NULL, kek_commands, NULL },
    { "key", "make keys", NULL, key_commands, NULL },
    { "lot", "keys that root keys of a production come of", NULL, lot_commands, NULL },
    { "master", "who keeps the master key", NULL, master_commands, NULL },
    { "rewrap", "another master key, while the daemon serves", cmd_rewrap, NULL, &rewrap_usage },
    { "rekey", "other root keys for a device, over the air (experimental)", NULL, rekey_commands, NULL },
    { "token", "keys in a token of PKCS#11", NULL, token_commands, NULL },
    { "role", "who may administer over HTTP, and what", NULL, role_commands, NULL },
    { "account", "who may own devices", NULL, account_commands, NULL },
    { "claim", "who owns which device", NULL, claim_commands, NULL },
    { "qr", "the codes on the labels of devices", NULL, qr_commands, NULL },
    { "audit", "what was done with keys, by whom, and that nobody altered it", NULL, audit_commands, NULL },
    { "backup", "a copy of the database while it is in use", cmd_backup, NULL, &backup_usage },
    { "restore", "the database out of a backup, and no JoinNonce twice", cmd_restore, NULL, &restore_usage },
    { "manifest", "what makers say of secure elements", NULL, manifest_commands, NULL },
    { "inspect", "explain a join frame, field by field", cmd_inspect, NULL, &inspect_usage },
    { "why", "what was decided about a device, and what to do", cmd_why, NULL, &why_usage },
    { "doctor", "what is wrong with machine, data and configuration", cmd_doctor, NULL, &doctor_usage },
    { "simulate", "join with many devices against a server", cmd_simulate, NULL, &simulate_usage },
    { "completion", "completion for a shell", cmd_completion, NULL, &completion_usage },
    { "version", "versions of lorajs and its libraries", cmd_version, NULL, &version_usage },
    { "help", "this text, or that of a command", cmd_help, NULL, &help_usage },
    { 0 },
};

static char *caught;
static size_t caught_room;

void complain_into(char *out, size_t room)
{
    caught = out;
    caught_room = room;
    if (out)
        *out = '\0';
}

void complain(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (caught) {
        vsnprintf(caught, caught_room, format, args);
        va_end(args);
        return;
    }
    flockfile(stderr);
    fputs("lorajs: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    funlockfile(stderr);
    va_end(args);
}

static int code_of(ljs_err err)
{
    switch (err) {
    case LJS_OK:
        return DONE;
    case LJS_E_INVAL:
    case LJS_E_NOTFOUND:
    case LJS_E_STATE:
    case LJS_E_EXISTS:
    case LJS_E_WEAK:
        return REFUSED;
    default:
        return err <= -101 ? REFUSED : FAILED;
    }
}

int complain_err(ljs_err err, const char *what)
{
    complain("%s: %s (%s); %s", what, ljs_strerror(err), ljs_errname(err), ljs_remedy(err));
    return code_of(err);
}

int64_t now_seconds(void)
{
    return (int64_t)time(NULL);
}

int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

const char *time_text(char out[32], int64_t at)
{
    time_t t = (time_t)at;
    struct tm tm;

    if (at == 0 || !gmtime_r(&t, &tm) || !strftime(out, 32, "%Y-%m-%d %H:%M:%SZ", &tm))
        strcpy(out, "-");
    return out;
}

int read_since(int64_t *out, const char *text)
{
    static const char *const forms[] = { "%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%SZ", "%s" };

    *out = INT64_MIN;
    if (!text)
        return DONE;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct tm tm = { 0 };
        const char *end = strptime(text, forms[i], &tm);

        if (end && !*end) {
            *out = i == 3 ? (int64_t)strtoll(text, NULL, 10) : (int64_t)timegm(&tm);
            return DONE;
        }
    }
    complain("--since takes 2026-01-31, 2026-01-31T10:00:00Z, or seconds since 1970");
    return USAGE;
}

void print_json_text(FILE *to, const char *text)
{
    if (!text) {
        fputs("null", to);
        return;
    }
    fputc('"', to);
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at == '"' || *at == '\\')
            fprintf(to, "\\%c", *at);
        else if (*at < 0x20 || *at == 0x7f)
            fprintf(to, "\\u%04x", *at);
        else
            fputc(*at, to);
    }
    fputc('"', to);
}

/* ---- which command ---------------------------------------------------------- */

static void print_commands(FILE *to, const char *path, const struct command *of)
{
    fprintf(to, "Usage: lorajs %s%sCOMMAND [FLAGS] [WORDS]\n\n", path, *path ? " " : "");
    if (!*path)
        fputs("A LoRaWAN Join Server.\n\n", to);
    fputs("Commands:\n", to);
    for (; of->name; of++)
        fprintf(to, "  %-14s %s\n", of->name, of->summary);
    fprintf(to, "\n`lorajs %s%sCOMMAND --help` tells what a command takes.\n", path, *path ? " " : "");
    if (!*path)
        fputs("Exit codes: 0 done, 1 failed (files, store, network), 2 wrong command line or configuration,\n"
              "3 refused (unknown device, weak key, bad input line).\n",
              to);
}

static int unknown_command(const char *path, const struct command *of, const char *word)
{
    const char *names[32], *near;
    size_t n = 0;

    for (; of[n].name && n < 32; n++)
        names[n] = of[n].name;
    near = nearest(word, names, n);
    if (strlen(word) >= 24) /* it may be a key: not into a log */
        complain("that is no command; `lorajs %s%shelp` lists them", path, *path ? " " : "");
    else if (near)
        complain("there is no command `%s%s%s`; did you mean `%s`?", path, *path ? " " : "", word, near);
    else
        complain("there is no command `%s%s%s`; `lorajs%s%s --help` lists them", path, *path ? " " : "", word,
                 *path ? " " : "", path);
    return USAGE;
}

static bool asks_help(const char *word)
{
    return !strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help");
}

static int run(const char *path, const struct command *of, int argc, char **argv)
{
    const struct command *c = of;

    if (argc < 1) {
        print_commands(stderr, path, of);
        return USAGE;
    }
    if (asks_help(argv[0]) && (*path || argv[0][0] == '-')) {
        print_commands(stdout, path, of);
        return DONE;
    }
    while (c->name && strcmp(c->name, argv[0]))
        c++;
    if (!c->name)
        return unknown_command(path, of, argv[0]);
    return c->under ? run(c->name, c->under, argc - 1, argv + 1) : c->run(argc, argv);
}

static int cmd_help(int argc, char **argv)
{
    char help[] = "--help", *words[4];
    int code = read_flags(&help_usage, NULL, &argc, &argv), n = 0;

    if (code != GO_ON)
        return code;
    for (; n < argc && n < 2; n++)
        words[n] = argv[n];
    words[n++] = help;
    words[n] = NULL;
    return run("", commands, n, words);
}

static int cmd_version(int argc, char **argv)
{
    /* "libsodium 1.0.18;libgcrypt 1.10.1": what the build was configured with */
    static const char libraries[] = LORAJS_LIBRARIES;
    struct version_opts opts = { 0 };
    int code = read_flags(&version_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if (opts.json)
        printf("{\"lorajs\":\"%s\",\"liblorajs\":\"%s\"", LORAJS_VERSION, ljs_version());
    else
        printf("lorajs %s\nliblorajs %s\n", LORAJS_VERSION, ljs_version());
    for (const char *at = libraries; *at; at += strspn(at, ";")) {
        int n = (int)strcspn(at, ";"), name = (int)strcspn(at, " ;");

        if (opts.json)
            printf(",\"%.*s\":\"%.*s\"", name, at, n - name - 1, at + name + 1);
        else
            printf("%.*s\n", n, at);
        at += n;
    }
    if (opts.json)
        puts("}");
    return DONE;
}

int main(int argc, char **argv)
{
    char version[] = "version", *version_argv[] = { version, NULL };
    int code;

    signal(SIGXFSZ, SIG_IGN); /* a file may grow no more: who writes it is told so, as of a full disk */
    /* Whatever is asked for may read a key.  The daemon does it when it knows its configuration. */
    if (argc > 1 && strcmp(argv[1], "serve") != 0 && no_dumps())
        complain("core dumps cannot be forbidden: %s", strerror(errno));
    if (argc > 1 && !strcmp(argv[1], "--version"))
        code = cmd_version(1, version_argv);
    else
        code = run("", commands, argc - 1, argv + 1);
    if ((fflush(stdout) || ferror(stdout)) && code == DONE) {
        complain("standard output: %s", strerror(errno));
        code = FAILED;
    }
    return code;
}
