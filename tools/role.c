/* role.c -- `lorajs role ...`: who may use the administrative interface, and for what. */
#include "newfile.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct role_opts {
    struct where where;
    const char *roles, *expires, *output, *account;
    bool certificate, dry_run, json;
};

#define AT(member) offsetof(struct role_opts, member)
static const struct flag add_flags[] = {
    WHERE_FLAGS(struct role_opts),
    { "roles", "ROLES", "provision, claim, operate, export and audit, with commas between; needed", FLAG_TEXT,
      AT(roles), 0, 0 },
    { "output", "FILE", "where the token is written, a new file of mode 0600; needed, but for --certificate", FLAG_TEXT,
      AT(output), 0, 0 },
    { "expires", "DATE", "from when on it is nothing, as 2027-01-31 or 2027-01-31T12:00:00Z (default: never)",
      FLAG_TEXT, AT(expires), 0, 0 },
    { "account", "NAME", "for which account it acts, and for nothing else; its role is then claim", FLAG_TEXT,
      AT(account), 0, 0 },
    { "certificate", NULL, "it is shown by a client certificate of this name instead of by a token", FLAG_SWITCH,
      AT(certificate), 0, 0 },
    { "dry-run", NULL, "check everything and change nothing", FLAG_SWITCH, AT(dry_run), 0, 0 },
    { "json", NULL, "one JSON object", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
static const struct flag list_flags[] = { LISTING_FLAGS("a JSON object a credential") };
static const struct flag remove_flags[] = {
    WHERE_FLAGS(struct role_opts),
    { "dry-run", NULL, "look whether it is there and change nothing", FLAG_SWITCH, AT(dry_run), 0, 0 },
    { "json", NULL, "one JSON object", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
#undef AT

static const struct usage add_usage = {
    "role add",
    "NAME",
    "Makes a credential for the administrative interface. Its token goes into a new file that only you may read, and "
    "is "
    "nowhere else: the database has a digest of it. The name, of letters, digits, dots and hyphens, stands in the "
    "token "
    "and is what the audit tells.\n"
    "Each role is for itself:\n"
    "    provision  bring in devices and KEKs with their keys, and remove them\n"
    "    claim      say which servers a device belongs to\n"
    "    operate    block, unblock, reset nonces; see decisions\n"
    "    export     send devices, keys and all, to another Join Server\n"
    "    audit      see everything but keys, the audit log too; change nothing\n"
    "What is missing in the data directory is made. The daemon may be running.",
    add_flags,
    1,
    1,
};
static const struct usage list_usage = {
    "role list", "", "Lists the credentials, and what each may do. Never their tokens.", list_flags, 0, 0
};
static const struct usage remove_usage = {
    "role remove", "NAME", "Ends a credential. A daemon that runs refuses it from its next request on.",
    remove_flags,  1,      1
};

/* "provision,claim" */
static const char *roles_text(char out[64], unsigned roles)
{
    size_t n = 0;

    *out = '\0';
    for (unsigned role = 1; role <= LJS_ROLES_ALL; role <<= 1)
        if (roles & role)
            n += (size_t)snprintf(out + n, 64 - n, "%s%s", n ? "," : "", ljs_role_text((ljs_role)role));
    return out;
}

static void print_json_roles(unsigned roles)
{
    bool first = true;

    printf("\"roles\":[");
    for (unsigned role = 1; role <= LJS_ROLES_ALL; role <<= 1)
        if (roles & role) {
            printf("%s\"%s\"", first ? "" : ",", ljs_role_text((ljs_role)role));
            first = false;
        }
    putchar(']');
}

static void print_json(const ljs_credential *c)
{
    printf("{\"name\":");
    print_json_text(stdout, c->name);
    putchar(',');
    print_json_roles(c->roles);
    if (*c->account)
        printf(",\"account\":\"%s\"", c->account);
    printf(",\"kind\":\"%s\",\"at\":%lld,\"expires\":", c->certificate ? "certificate" : "token", (long long)c->at);
    printf(c->expires ? "%lld" : "null", (long long)c->expires);
}

static void report(const struct role_opts *opts, const char *name, const char *what)
{
    printf(opts->json ? "{\"name\":\"%s\",\"result\":\"%s\"}\n" : "%s: %s\n", name, what); /* names need no escape */
}

/* ---- add ---------------------------------------------------------------------- */

/* A day, or a moment, of UTC. */
static int read_date(int64_t *out, const char *text)
{
    struct tm tm = { 0 };
    char *end = strptime(text, "%Y-%m-%d", &tm);

    if (end && *end)
        end = strptime(end, "T%H:%M:%SZ", &tm);
    *out = end && !*end ? (int64_t)timegm(&tm) : 0;
    if (*out > now_seconds())
        return DONE;
    complain("--expires is a day or a moment of UTC to come, as 2027-01-31 or 2027-01-31T12:00:00Z");
    return USAGE;
}

static int check_name(const char *name)
{
    size_t n = strlen(name);
    bool good = n > 0 && n < LJS_CREDENTIAL_NAME_MAX &&
                strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == n;

    if (!good)
        complain("a name has 1 to %d letters, digits, dots and hyphens", LJS_CREDENTIAL_NAME_MAX - 1);
    if (good && n >= 32 && strspn(name, "0123456789abcdefABCDEF") == n) {
        complain("the name looks like a key; a token is made here, and never taken from the command line");
        good = false;
    }
    return good ? DONE : USAGE;
}

static int credential_of(ljs_credential *out, const struct role_opts *opts, const char *name)
{
    int code = check_name(name);

    *out = (ljs_credential){ .struct_size = sizeof *out, .certificate = opts->certificate, .at = now_seconds() };
    if (code)
        return code;
    strcpy(out->name, name);
    if (!opts->roles || ljs_roles_parse(&out->roles, opts->roles)) {
        complain("role add needs --roles: one or more of provision, claim, operate, export and audit, with commas "
                 "between");
        return USAGE;
    }
    if (opts->account && (strlen(opts->account) >= sizeof out->account || out->roles != LJS_ROLE_CLAIM)) {
        complain("a credential that acts for an account has the role claim and no other");
        return USAGE;
    }
    if (opts->account)
        strcpy(out->account, opts->account);
    if (!opts->output != opts->certificate) {
        complain(opts->certificate ? "a credential that is shown by a certificate has no token for --output"
                                   : "role add needs --output, a new file for the token");
        return USAGE;
    }
    return opts->expires ? read_date(&out->expires, opts->expires) : DONE;
}

static int open_output(struct newfile *out, const struct role_opts *opts)
{
    if (!opts->output)
        return DONE;
    return opts->dry_run ? newfile_look(opts->output) : newfile_open(out, opts->output, 0600);
}

static int complain_taken(const char *name)
{
    complain("%s: there is such a credential; `lorajs role remove` ends it", name);
    return REFUSED;
}

static int complain_account(const char *name)
{
    complain("%s: no such account; `lorajs account add` makes one", name);
    return REFUSED;
}

/* Into the database, then into the file; a token that could not be written is one that nobody has. */
static int add(ljs_server *server, const ljs_credential *c, const struct role_opts *opts, struct newfile *file)
{
    ljs_buf token = { NULL, 0 };
    ljs_err err = ljs_server_add_credential(&token, server, c);
    int code = DONE;

    if (err)
        return err == LJS_E_EXISTS     ? complain_taken(c->name)
               : err == LJS_E_NOTFOUND ? complain_account(c->account)
                                       : complain_err(err, c->name);
    if (opts->output && !opts->dry_run) {
        bool good = newfile_write(file, token.data, token.len) && newfile_write(file, "\n", 1);

        code = good ? newfile_keep(file) : newfile_complain(file);
        if (code && (err = ljs_server_del_credential(server, c->name)))
            complain_err(err, c->name);
    }
    ljs_buf_free(&token);
    if (code)
        return code;
    if (opts->json && !opts->dry_run) {
        print_json(c);
        puts(",\"result\":\"added\"}");
    } else {
        report(opts, c->name, opts->dry_run ? "would be added" : "added");
    }
    return DONE;
}

static int cmd_add(int argc, char **argv)
{
    struct role_opts opts = { 0 };
    struct data data = { NULL, NULL, NULL };
    ljs_credential c;
    struct newfile file = NEWFILE_NONE;
    int code = read_flags(&add_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if ((code = credential_of(&c, &opts, argv[0])) ||
        (code = data_try(&data, &opts.where, DATA_CREATE, NULL, opts.dry_run)))
        return code;
    code = open_output(&file, &opts);
    if (!code)
        code = add(data.server, &c, &opts, &file);
    newfile_drop(&file);
    data_close(&data);
    return code;
}

/* ---- list and remove ---------------------------------------------------------- */

static ljs_err list_row(void *user, const ljs_credential *c)
{
    struct listing *run = user;
    char roles[64], expires[32];

    if (run->json) {
        print_json(c);
        puts("}");
        return LJS_OK;
    }
    if (!run->any)
        printf("%-24s  %-11s  %-20s  %s\n", "name", "shown by", "expires", "roles");
    run->any = true;
    printf("%-24s  %-11s  %-20s  %s%s%s%s\n", c->name, c->certificate ? "certificate" : "token",
           c->expires ? time_text(expires, c->expires) : "never", roles_text(roles, c->roles),
           *c->account ? " for " : "", c->account, c->expires && c->expires <= now_seconds() ? " (expired)" : "");
    return LJS_OK;
}

static ljs_err each_role(struct listing *run)
{
    return ljs_server_each_credential(run->server, list_row, run);
}

static int cmd_list(int argc, char **argv)
{
    return list_all(&list_usage, argc, argv, each_role,
                    "nobody may administer over HTTP yet; `lorajs role add NAME` makes a credential");
}

static int cmd_remove(int argc, char **argv)
{
    struct role_opts opts = { 0 };
    struct data data;
    ljs_err err;
    int code = read_flags(&remove_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if ((code = check_name(argv[0])) || (code = data_try(&data, &opts.where, DATA_OPEN, NULL, opts.dry_run)))
        return code;
    err = ljs_server_del_credential(data.server, argv[0]);
    if (err == LJS_E_NOTFOUND) {
        complain("%s: no such credential; `lorajs role list` shows those there are", argv[0]);
        code = REFUSED;
    } else if (err) {
        code = complain_err(err, argv[0]);
    } else {
        report(&opts, argv[0], opts.dry_run ? "would be removed" : "removed");
    }
    data_close(&data);
    return code;
}

const struct command role_commands[] = {
    { "add", "make a credential", cmd_add, NULL, &add_usage },
    { "list", "who may do what", cmd_list, NULL, &list_usage },
    { "remove", "end one", cmd_remove, NULL, &remove_usage },
    { 0 },
};
