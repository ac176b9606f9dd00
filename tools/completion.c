/* completion.c -- `lorajs completion SHELL`: a script for the shell, out of the same tables
 * that parse the command line. */
#include "tool.h"

#include <string.h>

static const struct flag flags[] = { { 0 } };
const struct usage completion_usage = {
    "completion",
    "bash|zsh|fish",
    "Prints the script that completes commands and flags in a shell. For this shell alone:\n"
    "    . <(lorajs completion bash)\n"
    "    lorajs completion zsh > \"${fpath[1]}/_lorajs\"\n"
    "    lorajs completion fish > ~/.config/fish/completions/lorajs.fish\n",
    flags,
    1,
    1
};

/* What completes the value of a flag or the words of a command. */
enum value { NOTHING, DIRECTORY, FILES, WORDS };

static enum value value_of(const char *text)
{
    if (!text)
        return NOTHING;
    if (!strcmp(text, "DIR"))
        return DIRECTORY;
    if (!strncmp(text, "FILE", 4))
        return FILES;
    return strchr(text, '|') && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.|-") == strlen(text) ? WORDS
                                                                                                        : NOTHING;
}

/* "a|b" as "a b" */
static void print_words(const char *text)
{
    for (; *text; text++)
        putchar(*text == '|' ? ' ' : *text);
}

/* Inside '...' of bash, zsh and fish alike: these texts have neither a quote nor a backslash. */
static void print_text(const char *text)
{
    for (; *text; text++)
        if (!strchr("'\\[]:", *text))
            putchar(*text);
}

static void print_names(const struct command *of)
{
    for (const struct command *c = of; c->name; c++)
        printf("%s%s", c == of ? "" : " ", c->name);
}

static const struct flag *flags_of(const struct command *c)
{
    static const struct flag none[] = { { 0 } };

    return c->usage && c->usage->flags ? c->usage->flags : none;
}

typedef void command_row(const struct command *c, const char *path);

/* Each command that can be run, with its path: "device import". */
static void each_command(command_row *row)
{
    char path[64];

    for (const struct command *c = commands; c->name; c++) {
        if (c->run)
            row(c, c->name);
        for (const struct command *sub = c->under; sub && sub->name; sub++) {
            snprintf(path, sizeof path, "%s %s", c->name, sub->name);
            row(sub, path);
        }
    }
}

/* ---- bash ------------------------------------------------------------------- */

static void bash_command(const struct command *c, const char *path)
{
    printf("    '%s') flags='--help", path);
    for (const struct flag *f = flags_of(c); f->name; f++)
        printf(" --%s", f->name);
    printf("' words=");
    switch (c->usage ? value_of(c->usage->args) : NOTHING) {
    case FILES:
    case DIRECTORY:
        printf("FILE");
        break;
    case WORDS:
        putchar('\'');
        print_words(c->usage->args);
        putchar('\'');
        break;
    case NOTHING:
        break;
    }
    puts(" ;;");
}

static void bash_values(const struct command *c, const char *path)
{
    for (const struct flag *f = flags_of(c); f->name; f++) {
        if (!f->value)
            continue;
        printf("    '%s --%s') ", path, f->name);
        switch (value_of(f->value)) {
        case DIRECTORY:
            puts("COMPREPLY=($(compgen -d -- \"$word\")); return ;;");
            break;
        case FILES:
            puts("COMPREPLY=($(compgen -f -- \"$word\")); return ;;");
            break;
        case WORDS:
            printf("COMPREPLY=($(compgen -W '");
            print_words(f->value);
            puts("' -- \"$word\")); return ;;");
            break;
        case NOTHING:
            puts("return ;;");
            break;
        }
    }
}

static void bash(void)
{
    puts("# lorajs completion for bash; made by `lorajs completion bash`\n"
         "_lorajs()\n"
         "{\n"
         "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} path= flags= words= i\n"
         "    COMPREPLY=()\n"
         "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "        case \"$path\" in");
    printf("        '') case ${COMP_WORDS[i]} in -*) ;; *) path=${COMP_WORDS[i]} ;; esac ;;\n        ");
    for (const struct command *c = commands, *first = NULL; c->name; c++)
        if (c->under) {
            printf("%s%s", first ? "|" : "", c->name);
            first = c;
        }
    puts(") case ${COMP_WORDS[i]} in -*) ;; *) path=\"$path ${COMP_WORDS[i]}\" ;; esac ;;\n"
         "        esac\n"
         "    done\n"
         "    case \"$path $before\" in");
    each_command(bash_values);
    puts("    esac\n"
         "    case \"$path\" in");
    printf("    ''|help) flags='--help --version' words='");
    print_names(commands);
    puts("' ;;");
    for (const struct command *c = commands; c->name; c++)
        if (c->under) {
            printf("    %s) flags='--help' words='", c->name);
            print_names(c->under);
            puts("' ;;");
        }
    each_command(bash_command);
    puts("    esac\n"
         "    case \"$word$words\" in\n"
         "    -*) COMPREPLY=($(compgen -W \"$flags\" -- \"$word\")) ;;\n"
         "    *FILE) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
         "    *) COMPREPLY=($(compgen -W \"$words\" -- \"$word\")) ;;\n"
         "    esac\n"
         "}\n"
         "complete -o filenames -F _lorajs lorajs");
}

/* ---- zsh -------------------------------------------------------------------- */

static void zsh_action(const char *value)
{
    switch (value_of(value)) {
    case DIRECTORY:
        printf("_files -/");
        break;
    case FILES:
        printf("_files");
        break;
    case WORDS:
        putchar('(');
        print_words(value);
        putchar(')');
        break;
    case NOTHING:
        putchar(' ');
        break;
    }
}

static void zsh_command(const struct command *c, const char *path)
{
    printf("    '%s') _arguments '--help[this text]'", path);
    for (const struct flag *f = flags_of(c); f->name; f++) {
        printf(" \\\n        '%s--%s[", f->kind == FLAG_LIST ? "*" : "", f->name);
        print_text(f->help);
        putchar(']');
        if (f->value) {
            putchar(':');
            print_text(value_of(f->value) == WORDS ? f->name : f->value);
            putchar(':');
            zsh_action(f->value);
        }
        putchar('\'');
    }
    if (c->usage && *c->usage->args) {
        printf(" \\\n        '*:");
        print_text(value_of(c->usage->args) == WORDS ? "word" : c->usage->args);
        putchar(':');
        zsh_action(c->usage->args);
        putchar('\'');
    }
    puts(" ;;");
}

static void zsh_names(const struct command *of)
{
    for (; of->name; of++) {
        printf(" '%s:", of->name);
        print_text(of->summary);
        putchar('\'');
    }
}

static void zsh(void)
{
    puts("#compdef lorajs\n"
         "# made by `lorajs completion zsh`\n"
         "_lorajs()\n"
         "{\n"
         "    local path_=$words[2]\n"
         "    local -a names");
    printf("    if (( CURRENT == 2 )); then names=(");
    zsh_names(commands);
    puts("); _describe command names; return; fi\n"
         "    case $words[2] in");
    for (const struct command *c = commands; c->name; c++) {
        if (!c->under)
            continue;
        printf("    %s) if (( CURRENT == 3 )); then names=(", c->name);
        zsh_names(c->under);
        puts("); _describe command names; return; fi\n"
             "        path_=\"$words[2] $words[3]\"; shift words; (( CURRENT-- )) ;;");
    }
    puts("    esac\n"
         "    shift words; (( CURRENT-- ))\n"
         "    case $path_ in");
    each_command(zsh_command);
    puts("    esac\n"
         "}\n"
         "if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _lorajs \"$@\"; else compdef _lorajs lorajs; fi");
}

/* ---- fish ------------------------------------------------------------------- */

static void fish_command(const struct command *c, const char *path)
{
    for (const struct flag *f = flags_of(c); f->name; f++) {
        printf("complete -c lorajs -n '__lorajs_at %s' -l %s -d '", path, f->name);
        print_text(f->help);
        putchar('\'');
        switch (value_of(f->value)) {
        case DIRECTORY:
            printf(" -x -a '(__fish_complete_directories)'");
            break;
        case FILES:
            printf(" -r -F");
            break;
        case WORDS:
            printf(" -x -a '");
            print_words(f->value);
            putchar('\'');
            break;
        case NOTHING:
            printf(f->value ? " -x" : "");
            break;
        }
        putchar('\n');
    }
    printf("complete -c lorajs -n '__lorajs_at %s' -l help -d 'this text'\n", path);
    if (c->usage && value_of(c->usage->args) == FILES)
        printf("complete -c lorajs -n '__lorajs_at %s' -F\n", path);
    if (c->usage && value_of(c->usage->args) == WORDS) {
        printf("complete -c lorajs -n '__lorajs_at %s' -a '", path);
        print_words(c->usage->args);
        puts("'");
    }
}

static void fish(void)
{
    puts("# lorajs completion for fish; made by `lorajs completion fish`\n"
         "function __lorajs_at\n"
         "    set -l words (commandline -opc)[2..-1]\n"
         "    set -l n (count $argv)\n"
         "    test (count $words) -ge $n; and test \"$words[1..$n]\" = \"$argv\"\n"
         "end\n"
         "complete -c lorajs -f");
    for (const struct command *c = commands; c->name; c++) {
        printf("complete -c lorajs -n '__fish_use_subcommand' -a %s -d '", c->name);
        print_text(c->summary);
        puts("'");
        for (const struct command *sub = c->under; sub && sub->name; sub++) {
            printf("complete -c lorajs -n 'test (count (commandline -opc)) -eq 2; and __lorajs_at %s' -a %s -d '",
                   c->name, sub->name);
            print_text(sub->summary);
            puts("'");
        }
    }
    each_command(fish_command);
}

int cmd_completion(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = { { "bash", bash }, { "zsh", zsh }, { "fish", fish } };
    int code = read_flags(&completion_usage, NULL, &argc, &argv);

    if (code != GO_ON)
        return code;
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
        if (!strcmp(shells[i].name, argv[0])) {
            shells[i].print();
            return DONE;
        }
    complain("completion is for bash, zsh or fish");
    return USAGE;
}
