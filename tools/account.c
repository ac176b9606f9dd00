/* account.c -- `lorajs account ...`: who may own devices. */
#include "tool.h"

#include <inttypes.h>
#include <string.h>

struct account_opts {
    struct where where;
    bool json, dry_run;
};

#define AT(member) offsetof(struct account_opts, member)
static const struct flag name_flags[] = {
    WHERE_FLAGS(struct account_opts),
    { "dry-run", NULL, "check everything and change nothing", FLAG_SWITCH, AT(dry_run), 0, 0 },
    { "json", NULL, "one JSON object for each", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
static const struct flag list_flags[] = { LISTING_FLAGS("one JSON object for each") };
#undef AT

static const struct usage account_add_usage = {
    "account add",
    "NAME",
    "Makes an account: a name that may own devices. Credentials act for it "
    "(`role add --account`). What is missing in the data directory is made.",
    name_flags,
    1,
    1
};
static const struct usage account_list_usage = { "account list", "", "Lists the accounts.", list_flags, 0, 0 };
static const struct usage account_suspend_usage = {
    "account suspend", "NAME", "It may not act any more. What it owns it keeps, and its devices go on.",
    name_flags,        1,      1
};
static const struct usage account_resume_usage = { "account resume", "NAME", "The end of that.", name_flags, 1, 1 };
static const struct usage account_remove_usage = {
    "account remove", "NAME", "Ends an account that owns nothing and has no credentials.", name_flags, 1, 1
};

int check_account(const char *name, const char *what)
{
    size_t n = name ? strlen(name) : 0;

    if (n > 0 && n < LJS_ACCOUNT_MAX &&
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == n)
        return DONE;
    complain("%s is the name of an account: 1 to %d letters, digits, dots and hyphens", what, LJS_ACCOUNT_MAX - 1);
    return USAGE;
}

static int complain_account(ljs_err err, const char *name)
{
    if (err == LJS_E_NOTFOUND)
        complain("%s: no such account; `lorajs account list` shows those there are", name);
    else if (err == LJS_E_EXISTS)
        complain("%s: there is such an account", name);
    else if (err == LJS_E_STATE)
        complain(
            "%s: it owns devices or has KEKs, or credentials act for it; `lorajs claim list --account`, `lorajs kek "
            "list` and `lorajs role list`",
            name);
    else
        return complain_err(err, name);
    return REFUSED;
}

static void report_account(const struct account_opts *opts, const char *name, const char *what)
{
    printf(opts->json ? "{\"account\":\"%s\",\"result\":\"%s%s\"}\n" : "%s: %s%s\n", name,
           opts->dry_run ? "would be " : "", what); /* names need no escape */
}

typedef ljs_err account_fn(ljs_server *server, const char *name);

static ljs_err add_account(ljs_server *server, const char *name)
{
    ljs_account account = { .struct_size = sizeof account, .at = now_seconds() };

    strcpy(account.name, name);
    return ljs_server_add_account(server, &account);
}

static ljs_err suspend_account(ljs_server *server, const char *name)
{
    return ljs_server_suspend_account(server, name, 1);
}

static ljs_err resume_account(ljs_server *server, const char *name)
{
    return ljs_server_suspend_account(server, name, 0);
}

static int on_account(int argc, char **argv, const struct usage *usage, account_fn *fn, const char *done)
{
    struct account_opts opts = { .json = false };
    struct data data;
    ljs_err err;
    int code = read_flags(usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if ((code = check_account(argv[0], "NAME")) ||
        (code = data_try(&data, &opts.where, fn == add_account ? DATA_CREATE : DATA_OPEN, NULL, opts.dry_run)))
        return code;
    err = fn(data.server, argv[0]);
    if (err)
        code = complain_account(err, argv[0]);
    else
        report_account(&opts, argv[0], done);
    data_close(&data);
    return code;
}

static int cmd_account_add(int argc, char **argv)
{
    return on_account(argc, argv, &account_add_usage, add_account, "added");
}

static int cmd_account_suspend(int argc, char **argv)
{
    return on_account(argc, argv, &account_suspend_usage, suspend_account, "suspended");
}

static int cmd_account_resume(int argc, char **argv)
{
    return on_account(argc, argv, &account_resume_usage, resume_account, "resumed");
}

static int cmd_account_remove(int argc, char **argv)
{
    return on_account(argc, argv, &account_remove_usage, ljs_server_del_account, "removed");
}

static ljs_err account_row(void *user, const ljs_account *a)
{
    struct listing *run = user;
    char since[32];

    if (run->json)
        printf("{\"account\":\"%s\",\"since\":%" PRId64 ",\"suspended\":%s}\n", a->name, a->at,
               a->suspended ? "true" : "false");
    else if (!run->any)
        printf("%-24s  %-20s  %s\n", "account", "since", "state");
    run->any = true;
    if (!run->json)
        printf("%-24s  %-20s  %s\n", a->name, time_text(since, a->at), a->suspended ? "suspended" : "active");
    return LJS_OK;
}

static ljs_err each_account(struct listing *run)
{
    return ljs_server_each_account(run->server, account_row, run);
}

static int cmd_account_list(int argc, char **argv)
{
    return list_all(&account_list_usage, argc, argv, each_account, NULL);
}

const struct command account_commands[] = {
    { "add", "make one", cmd_account_add, NULL, &account_add_usage },
    { "list", "which there are", cmd_account_list, NULL, &account_list_usage },
    { "suspend", "it may not act any more", cmd_account_suspend, NULL, &account_suspend_usage },
    { "resume", "end that", cmd_account_resume, NULL, &account_resume_usage },
    { "remove", "end one that owns nothing", cmd_account_remove, NULL, &account_remove_usage },
    { 0 },
};
