/* flags.c -- the command line from a table: parsing, --help, and what was probably meant. */
#include "tool.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum { FLAGS_MAX = 64, FIRST = 256, HELP = 'h' };

/* Somebody may have put a key where none belongs; then it must not reach a log. */
static const char *shown(const char *word)
{
    const char *at = word + strspn(word, "-");

    return strlen(at) >= 24 && strspn(at, "0123456789abcdefABCDEF:") == strlen(at) ? "(hexadecimal)" : word;
}

static unsigned distance(const char *a, const char *b)
{
    unsigned row[33];
    size_t n = strlen(b);

    if (n > 32 || strlen(a) > 32)
        return 99;
    for (size_t j = 0; j <= n; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; a[i - 1]; i++) {
        unsigned left_above = row[0];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= n; j++) {
            unsigned above = row[j], best = left_above + (a[i - 1] != b[j - 1]);

            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
            left_above = above;
        }
    }
    return row[n];
}

const char *nearest(const char *word, const char *const *words, size_t words_len)
{
    const char *found = NULL;
    unsigned best = strlen(word) < 4 ? 2 : 3; /* fewer changes than this */

    for (size_t i = 0; i < words_len; i++) {
        unsigned d = distance(word, words[i]);

        if (d < best || (d > 0 && strlen(word) > 2 && !strncmp(word, words[i], strlen(word)))) {
            best = d < best ? d : best;
            found = words[i];
        }
    }
    return found;
}

static unsigned count(const struct flag *flags)
{
    unsigned n = 0;

    while (flags && flags[n].name)
        n++;
    return n;
}

static int unknown_flag(const struct usage *usage, const char *word)
{
    const char *names[FLAGS_MAX] = { "help" }, *near;
    char name[64];
    unsigned n = count(usage->flags);

    for (unsigned i = 0; i < n; i++)
        names[i + 1] = usage->flags[i].name;
    /* "--app-key=HEX" must not be repeated: only the name is. */
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
    near = nearest(name + strspn(name, "-"), names, n + 1);
    if (near)
        complain("%s has no flag %s; did you mean --%s?", usage->path, shown(name), near);
    else if (strstr(name, "key"))
        complain("%s has no flag %s: keys are read from a file or standard input, never from the command line "
                 "(see `lorajs %s --help`)",
                 usage->path, shown(name), usage->path);
    else
        complain("%s has no flag %s (see `lorajs %s --help`)", usage->path, shown(name), usage->path);
    return USAGE;
}

static bool is_one_of(const char *text, const char *words)
{
    size_t n = strlen(text);

    for (const char *at = words; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (n && strcspn(at, "|") == n && !strncmp(at, text, n))
            return true;
    return false;
}

static int set_flag(const struct usage *usage, const struct flag *flag, void *into, const char *text)
{
    void *at = (char *)into + flag->at;
    char *end = NULL;
    int64_t number;
    struct texts *list = at;

    if (flag->value && strchr(flag->value, '|') && !is_one_of(text, flag->value)) {
        complain("%s: --%s takes %s", usage->path, flag->name, flag->value);
        return USAGE;
    }
    switch (flag->kind) {
    case FLAG_SWITCH:
        *(bool *)at = true;
        break;
    case FLAG_TEXT:
        *(const char **)at = text;
        break;
    case FLAG_LIST:
        if (list->n == sizeof list->at / sizeof *list->at) {
            complain("%s: --%s is given too often", usage->path, flag->name);
            return USAGE;
        }
        list->at[list->n++] = text;
        break;
    case FLAG_NUMBER:
        errno = 0;
        number = strtoll(text, &end, strncmp(text, "0x", 2) ? 10 : 16);
        if (errno || end == text || *end || number < flag->min || number > flag->max) {
            complain("%s: --%s takes a number from %lld to %lld", usage->path, flag->name, (long long)flag->min,
                     (long long)flag->max);
            return USAGE;
        }
        *(int64_t *)at = number;
        break;
    }
    return GO_ON;
}

static const char *read_last = "";

const char *command_path(void)
{
    return read_last;
}

int read_flags(const struct usage *usage, void *into, int *argc, char ***argv)
{
    struct option options[FLAGS_MAX] = { { "help", no_argument, NULL, HELP } };
    unsigned n = count(usage->flags), words;
    int c, code = GO_ON;

    for (unsigned i = 0; i < n && i + 2 < FLAGS_MAX; i++)
        options[i + 1] = (struct option){ usage->flags[i].name,
                                          usage->flags[i].kind == FLAG_SWITCH ? no_argument : required_argument, NULL,
                                          FIRST + (int)i };
    read_last = usage->path;
    opterr = 0;
    optind = 0; /* glibc: begin anew */
    while (code == GO_ON && (c = getopt_long(*argc, *argv, ":h", options, NULL)) != -1) {
        if (c == HELP) {
            print_usage(usage);
            return DONE;
        }
        if (c == ':') {
            complain("%s: %.40s needs a value", usage->path, (*argv)[optind - 1]);
            code = USAGE;
        } else if (c == '?' && optopt >= FIRST) { /* a value for a switch */
            complain("%s: --%s takes no value", usage->path, usage->flags[optopt - FIRST].name);
            code = USAGE;
        } else if (c == '?') {
            code = unknown_flag(usage, (*argv)[optind - 1]);
        } else {
            code = set_flag(usage, &usage->flags[c - FIRST], into, optarg);
        }
    }
    if (code != GO_ON)
        return code;
    words = (unsigned)(*argc - optind);
    *argc -= optind;
    *argv += optind;
    if (words < usage->least)
        complain("%s needs %s (see `lorajs %s --help`)", usage->path, usage->args, usage->path);
    else if (words > usage->most)
        complain("%s takes %s%s: %u too many (see `lorajs %s --help`)", usage->path,
                 usage->most ? "no more than " : "flags only", usage->most ? usage->args : "", words - usage->most,
                 usage->path);
    return words < usage->least || words > usage->most ? USAGE : GO_ON;
}

/* Words of `text`, wrapped between the columns. */
static void print_wrapped(const char *text, unsigned column, unsigned indent)
{
    for (const char *at = text; *at; at += strspn(at, " ")) {
        unsigned n = (unsigned)strcspn(at, " ");

        if (column > indent && column + 1 + n > 90) {
            printf("\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            putchar(' ');
            column++;
        }
        printf("%.*s", (int)n, at);
        column += n;
        at += n;
    }
    putchar('\n');
}

void print_usage(const struct usage *usage)
{
    printf("Usage: lorajs %s%s%s%s\n\n", usage->path, count(usage->flags) ? " [FLAGS]" : "", *usage->args ? " " : "",
           usage->args);
    for (const char *at = usage->text; *at; at += strspn(at, "\n")) { /* paragraphs */
        char line[1024];

        snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
        if (*line == ' ') /* as it stands: an example */
            puts(line);
        else
            print_wrapped(line, 0, 0);
        at += strcspn(at, "\n");
    }
    puts("\nFlags:");
    for (const struct flag *f = usage->flags; f && f->name; f++) {
        int n = printf("  --%s%s%s", f->name, f->value ? " " : "", f->value ? f->value : "");

        if (n > 28)
            n = printf("\n") - 1;
        printf("%*s", 30 - n, "");
        print_wrapped(f->help, 30, 30);
    }
    puts("  --help                      this text");
}
