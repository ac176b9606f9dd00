/* claim.c -- `lorajs claim ...`: who owns which device; beside a running daemon, as `lorajs device` works. */
#include "tool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct claim_opts {
    struct where where;
    const char *account, *to, *owner_token, *chip, *home_net_id, *home_ns_id, *as_id, *ns_kek_label, *as_kek_label,
        *file;
    int64_t days;
    bool json, dry_run, keep_token;
};

#define AT(member) offsetof(struct claim_opts, member)
#define OUT_FLAGS                                                                                                      \
    { "dry-run", NULL, "check everything and change nothing", FLAG_SWITCH, AT(dry_run), 0, 0 },                        \
    {                                                                                                                  \
        "json", NULL, "one JSON object for each", FLAG_SWITCH, AT(json), 0, 0                                          \
    }
#define ACCOUNT_FLAG                                                                                                   \
    {                                                                                                                  \
        "account", "NAME", "for which account; needed", FLAG_TEXT, AT(account), 0, 0                                   \
    }
#define ROUTE_FLAGS                                                                                                    \
    { "home-net-id", "NETID", "the only network that may join it; 6 digits", FLAG_TEXT, AT(home_net_id), 0, 0 },       \
        { "home-ns-id", "EUI", "its home network server; 16 digits", FLAG_TEXT, AT(home_ns_id), 0, 0 },                \
        { "as-id", "ID", "the application server that may ask for AppSKey", FLAG_TEXT, AT(as_id), 0, 0 },              \
        { "ns-kek-label", "LABEL", "the account's KEK for network keys", FLAG_TEXT, AT(ns_kek_label), 0, 0 },          \
    {                                                                                                                  \
        "as-kek-label", "LABEL", "the account's KEK for AppSKey", FLAG_TEXT, AT(as_kek_label), 0, 0                    \
    }

#define CHIP_FLAG                                                                                                      \
    {                                                                                                                  \
        "chip", "FILE", "where the chip's proof is: challenge and signature in hexadecimal; - is standard input",      \
            FLAG_TEXT, AT(chip), 0, 0                                                                                  \
    }

static const struct flag name_flags[] = { WHERE_FLAGS(struct claim_opts), OUT_FLAGS, { 0 } };
static const struct flag see_flags[] = {
    WHERE_FLAGS(struct claim_opts),
    { "json", NULL, "one JSON object for each", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
static const struct flag list_flags[] = {
    WHERE_FLAGS(struct claim_opts),
    { "account", "NAME", "only what this account owns", FLAG_TEXT, AT(account), 0, 0 },
    { "json", NULL, "one JSON object for each", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
static const struct flag enrol_flags[] = {
    WHERE_FLAGS(struct claim_opts),
    { "owner-token", "FILE", "the token that is on the label already; - is standard input (default: 80 random bits)",
      FLAG_TEXT, AT(owner_token), 0, 0 },
    OUT_FLAGS,
    { 0 },
};
static const struct flag claim_flags[] = {
    WHERE_FLAGS(struct claim_opts),
    ACCOUNT_FLAG,
    { "owner-token", "FILE", "where the token of the label is; - is standard input; not needed by the owner", FLAG_TEXT,
      AT(owner_token), 0, 0 },
    CHIP_FLAG,
    { "keep-token", NULL, "the token claims the device again once it is released", FLAG_SWITCH, AT(keep_token), 0, 0 },
    ROUTE_FLAGS,
    OUT_FLAGS,
    { 0 },
};
static const struct flag assign_flags[] = {
    WHERE_FLAGS(struct claim_opts),
    ACCOUNT_FLAG,
    { "file", "FILE", "DevEUIs, one a line, or JSON lines with dev_eui, as of `device import`; - is standard input",
      FLAG_TEXT, AT(file), 0, 0 },
    ROUTE_FLAGS,
    OUT_FLAGS,
    { 0 },
};
static const struct flag owner_flags[] = { WHERE_FLAGS(struct claim_opts), ACCOUNT_FLAG, OUT_FLAGS, { 0 } };
static const struct flag offer_flags[] = {
    WHERE_FLAGS(struct claim_opts),
    ACCOUNT_FLAG,
    { "to", "NAME", "to which account; needed", FLAG_TEXT, AT(to), 0, 0 },
    { "days", "N", "how long the offer lasts (default 7)", FLAG_NUMBER, AT(days), 1, 7 },
    OUT_FLAGS,
    { 0 },
};
static const struct flag accept_flags[] = {
    WHERE_FLAGS(struct claim_opts), ACCOUNT_FLAG, CHIP_FLAG, ROUTE_FLAGS, OUT_FLAGS, { 0 },
};
#undef AT

static const struct usage enrol_usage = {
    "claim enrol",
    "DEVEUI",
    "Gives a device an owner token, in place of the one before, and prints it. It is nowhere else: the database has a "
    "keyed hash of it. `qr make --owner-token -` puts it on a label.",
    enrol_flags,
    1,
    1,
};
static const struct usage claim_usage = {
    "claim claim",
    "DEVEUI",
    "Makes a device that has an owner token the account's, or says anew where the account's own device belongs. "
    "--home-net-id is needed.",
    claim_flags,
    1,
    1,
};
static const struct usage assign_usage = {
    "claim assign",
    "[DEVEUI...]",
    "Makes devices that are nobody's the account's, without a token. Each is told of; then the exit code is 3 if one "
    "was "
    "refused. Asked again, what is done is done.",
    assign_flags,
    0,
    1000,
};
static const struct usage release_usage = {
    "claim release", "DEVEUI...", "The owner lets devices go; nothing of his routing is left in them.",
    owner_flags,     1,           1000
};
static const struct usage offer_usage = { "claim offer", "DEVEUI...", "The owner offers devices to another account.",
                                          offer_flags,   1,           1000 };
static const struct usage withdraw_usage = { "claim withdraw", "DEVEUI...", "The owner takes offers back.",
                                             owner_flags,      1,           1000 };
static const struct usage accept_usage = {
    "claim accept",
    "DEVEUI...",
    "Takes devices that were offered to the account: all of the owner before stops at once. --home-net-id is needed.",
    accept_flags,
    1,
    1000,
};
static const struct usage suspend_usage = {
    "claim suspend", "DEVEUI...", "Blocks devices that have an owner, who stays.", name_flags, 1, 1000
};
static const struct usage resume_usage = { "claim resume", "DEVEUI...", "The end of that.", name_flags, 1, 1000 };
static const struct usage retire_usage = {
    "claim retire", "DEVEUI...", "Makes devices nobody's for good, until `claim enrol`.", name_flags, 1, 1000
};
static const struct usage show_usage = { "claim show", "DEVEUI...", "Who owns devices, and since when.",
                                         see_flags,    1,           1000 };
static const struct usage index_usage = {
    "claim index",
    "",
    "Compares the index of what accounts own with every claim and mends it, where `audit verify` says that it needs "
    "that. A database of before is given its index when it is first needed, without this.",
    name_flags,
    0,
    0
};
static const struct usage list_usage = { "claim list", "", "Lists the claims, by DevEUI.", list_flags, 0, 0 };

/* ---- one act for each device ---------------------------------------------------------- */

static int take_text(char *out, const char *text, const char *flag)
{
    if (text && strlen(text) >= LJS_LABEL_MAX) {
        complain("--%s is longer than %d octets", flag, LJS_LABEL_MAX - 1);
        return USAGE;
    }
    if (text)
        strcpy(out, text);
    return DONE;
}

static int read_routing(ljs_routing *out, const struct claim_opts *opts)
{
    int code;

    *out = (ljs_routing){ .struct_size = sizeof *out };
    if (opts->home_net_id && ljs_net_id_parse(&out->home_net_id, opts->home_net_id)) {
        complain("--home-net-id is 6 hexadecimal digits");
        return USAGE;
    }
    if (opts->home_ns_id && (code = read_eui(&out->home_ns_id, opts->home_ns_id, "--home-ns-id")))
        return code;
    out->has_home_net_id = opts->home_net_id != NULL;
    out->has_home_ns_id = opts->home_ns_id != NULL;
    out->set = (opts->home_net_id ? LJS_ROUTE_HOME_NET_ID : 0U) | (opts->home_ns_id ? LJS_ROUTE_HOME_NS_ID : 0U) |
               (opts->as_id ? LJS_ROUTE_AS_ID : 0U) | (opts->ns_kek_label ? LJS_ROUTE_NS_KEK_LABEL : 0U) |
               (opts->as_kek_label ? LJS_ROUTE_AS_KEK_LABEL : 0U);
    if ((code = take_text(out->as_id, opts->as_id, "as-id")) ||
        (code = take_text(out->ns_kek_label, opts->ns_kek_label, "ns-kek-label")))
        return code;
    return take_text(out->as_kek_label, opts->as_kek_label, "as-kek-label");
}

/* What is asked for, but for the device. */
static int read_request(ljs_claim_req *out, const struct claim_opts *opts, ljs_claim_act act, bool for_account)
{
    int code = for_account ? check_account(opts->account, "--account") : DONE;

    *out = (ljs_claim_req){ .struct_size = sizeof *out, .now = now_seconds(), .act = act };
    if (!code && act == LJS_CLAIM_OFFER)
        code = check_account(opts->to, "--to");
    if (!code)
        code = read_routing(&out->routing, opts);
    if (!code && (act == LJS_CLAIM_CLAIM || act == LJS_CLAIM_ACCEPT) && !opts->home_net_id) {
        complain("%s needs --home-net-id", command_path());
        code = USAGE;
    }
    if (code)
        return code;
    strcpy(out->client, "command-line");
    out->keep_token = opts->keep_token;
    if (for_account)
        strcpy(out->account, opts->account);
    if (act == LJS_CLAIM_OFFER) {
        strcpy(out->to, opts->to);
        out->until = out->now + opts->days * 24 * 3600;
    }
    return DONE;
}

/* A token on one line; never from argv. */
static int read_token(ljs_buf *out, const char *path)
{
    int code = path ? read_all(out, path, 256) : DONE;

    if (!path)
        *out = (ljs_buf){ NULL, 0 };
    while (!code && out->len && (out->data[out->len - 1] == '\n' || out->data[out->len - 1] == '\r'))
        out->len--;
    return code;
}

static int complain_claim(ljs_err err, ljs_eui eui, const ljs_claim_req *req)
{
    if (err == LJS_E_STATE)
        complain("%016" PRIx64 ": how it stands does not allow that; see `lorajs claim show %016" PRIx64 "`", eui, eui);
    else if (err == LJS_E_NOTFOUND)
        complain("%016" PRIx64 ": there is no account %s", eui, req->act == LJS_CLAIM_OFFER ? req->to : req->account);
    else if (err == LJS_E_BLOCKED)
        complain("%016" PRIx64 ": the account %s is suspended", eui, req->account);
    else if (err == LJS_E_WEAK)
        complain("%016" PRIx64 ": an owner token has %d letters and digits at least", eui, LJS_CLAIM_TOKEN_LEAST);
    else if (err == LJS_E_INVAL && req->act <= LJS_CLAIM_CLAIM)
        complain("%016" PRIx64 ": an owner token has 1 to %d letters A to Z and digits", eui, LJS_CLAIM_TOKEN_MOST);
    else {
        char name[17];

        snprintf(name, sizeof name, "%016" PRIx64, eui);
        return complain_err(err, name);
    }
    return REFUSED;
}

static void report(const struct claim_opts *opts, ljs_eui eui, const char *what)
{
    printf(opts->json ? "{\"dev_eui\":\"%016" PRIx64 "\",\"result\":\"%s%s\"}\n" : "%016" PRIx64 ": %s%s\n", eui,
           opts->dry_run ? "would be " : "", what);
}

static int one(struct data *data, const struct claim_opts *opts, ljs_claim_req *req, ljs_eui eui, const ljs_buf *token,
               const char *done)
{
    ljs_buf drawn = { NULL, 0 };
    ljs_claim claim;
    ljs_err err;
    int code = DONE;

    req->dev_eui = eui;
    err = ljs_server_claim(&drawn, data->server, req, token->data, token->len);
    if (err == LJS_E_STATE && req->act == LJS_CLAIM_ASSIGN && !ljs_server_get_claim(&claim, data->server, eui) &&
        strcmp(claim.account, req->account) == 0)
        err = LJS_OK; /* done before */
    if (err)
        code = complain_claim(err, eui, req);
    else if (drawn.data && !opts->dry_run && opts->json)
        printf("{\"dev_eui\":\"%016" PRIx64 "\",\"owner_token\":\"%.*s\",\"result\":\"%s\"}\n", eui, (int)drawn.len,
               (const char *)drawn.data, done);
    else if (drawn.data && !opts->dry_run)
        printf("%.*s\n", (int)drawn.len, (const char *)drawn.data);
    else
        report(opts, eui, done);
    ljs_buf_free(&drawn);
    return code;
}

/* The DevEUI of a line: all of it, or the member of a JSON object. */
static bool eui_in(ljs_eui *out, const char *line, size_t len)
{
    static const char member[] = "\"dev_eui\"";
    const char *at = memmem(line, len, member, sizeof member - 1), *end = line + len;
    char text[17] = "";

    if (at) {
        at += sizeof member - 1;
        while (at < end && strchr(" \t:\"", *at))
            at++;
    } else {
        at = line;
    }
    if (end - at < 16)
        return false;
    memcpy(text, at, 16);
    return !ljs_eui_parse(out, text) && (end - at == 16 || at[16] == '"' || at[16] == '\r');
}

enum { FILE_MOST = 64 * 1024 * 1024 };

/* Every line is looked at before the first is done. */
static int read_euis(ljs_eui **out, size_t *n, const struct claim_opts *opts, int argc, char **argv)
{
    ljs_buf file = { NULL, 0 };
    size_t room = (size_t)argc, lines = 0;
    int code = opts->file ? read_all(&file, opts->file, FILE_MOST) : DONE;

    *n = 0;
    *out = NULL;
    if (code)
        return code;
    for (size_t i = 0; i < file.len; i++)
        room += file.data[i] == '\n';
    if (!(*out = calloc(room + 1, sizeof **out))) {
        complain("out of memory");
        code = FAILED;
    }
    for (int i = 0; !code && i < argc; i++)
        code = read_eui(&(*out)[(*n)++], argv[i], "DEVEUI");
    for (const char *at = (const char *)file.data, *end = file.len ? at + file.len : at; !code && at < end; lines++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((stop ? stop : end) - at);

        if (len && !eui_in(&(*out)[*n], at, len)) {
            complain("line %zu: there is no DevEUI in it", lines + 1);
            code = REFUSED;
        }
        *n += len != 0;
        at += len + 1;
    }
    if (!code && !*n) {
        complain("%s needs DevEUIs, or --file with some", command_path());
        code = USAGE;
    }
    ljs_buf_free(&file);
    return code;
}

static int act(int argc, char **argv, const struct usage *usage, ljs_claim_act what, bool for_account, const char *done)
{
    struct claim_opts opts = { .days = 7 };
    struct data data;
    ljs_claim_req req;
    ljs_buf token = { NULL, 0 };
    ljs_eui *eui = NULL;
    size_t n = 0;
    int code = read_flags(usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if ((code = read_request(&req, &opts, what, for_account)) || (code = read_euis(&eui, &n, &opts, argc, argv)) ||
        (code = read_token(&token, opts.owner_token)) || (code = read_chip(&req, opts.chip)) ||
        (code = data_try(&data, &opts.where, DATA_OPEN, NULL, opts.dry_run)))
        goto out;
    for (size_t i = 0; i < n; i++) {
        int this = one(&data, &opts, &req, eui[i], &token, done);

        code = code ? code : this;
    }
    data_close(&data);
out:
    ljs_buf_free(&token);
    free(eui);
    return code;
}

static int cmd_enrol(int argc, char **argv)
{
    return act(argc, argv, &enrol_usage, LJS_CLAIM_ENROL, false, "enrolled");
}

static int cmd_claim(int argc, char **argv)
{
    return act(argc, argv, &claim_usage, LJS_CLAIM_CLAIM, true, "claimed");
}

static int cmd_assign(int argc, char **argv)
{
    return act(argc, argv, &assign_usage, LJS_CLAIM_ASSIGN, true, "assigned");
}

static int cmd_release(int argc, char **argv)
{
    return act(argc, argv, &release_usage, LJS_CLAIM_RELEASE, true, "released");
}

static int cmd_offer(int argc, char **argv)
{
    return act(argc, argv, &offer_usage, LJS_CLAIM_OFFER, true, "offered");
}

static int cmd_withdraw(int argc, char **argv)
{
    return act(argc, argv, &withdraw_usage, LJS_CLAIM_WITHDRAW, true, "withdrawn");
}

static int cmd_accept(int argc, char **argv)
{
    return act(argc, argv, &accept_usage, LJS_CLAIM_ACCEPT, true, "accepted");
}

static int cmd_suspend(int argc, char **argv)
{
    return act(argc, argv, &suspend_usage, LJS_CLAIM_SUSPEND, false, "suspended");
}

static int cmd_resume(int argc, char **argv)
{
    return act(argc, argv, &resume_usage, LJS_CLAIM_RESUME, false, "resumed");
}

static int cmd_retire(int argc, char **argv)
{
    return act(argc, argv, &retire_usage, LJS_CLAIM_RETIRE, false, "retired");
}

/* ---- show and list --------------------------------------------------------------------- */

struct list_run {
    const struct claim_opts *opts;
    bool any;
};

static void print_json(const ljs_claim *c)
{
    printf("{\"dev_eui\":\"%016" PRIx64 "\",\"state\":\"%s\",\"account\":", c->dev_eui, ljs_claim_state_text(c->state));
    print_json_text(stdout, *c->account ? c->account : NULL);
    printf(",\"owners\":%" PRIu32 ",\"since\":%" PRId64 ",\"has_token\":%s,\"locked\":%s,\"offered_to\":", c->owners,
           c->at, c->has_token ? "true" : "false", c->locked ? "true" : "false");
    print_json_text(stdout, *c->offered_to ? c->offered_to : NULL);
    printf(",\"offer_until\":");
    printf(c->offer_until ? "%" PRId64 "}\n" : "null}\n", c->offer_until);
}

static ljs_err claim_row(void *user, const ljs_claim *c)
{
    struct list_run *run = user;
    char since[32];

    if (run->opts->account && strcmp(run->opts->account, c->account) != 0)
        return LJS_OK;
    if (run->opts->json) {
        print_json(c);
        return LJS_OK;
    }
    if (!run->any)
        printf("%-16s  %-11s  %-24s  %-20s  %s\n", "DevEUI", "state", "account", "since", "offered to");
    run->any = true;
    printf("%016" PRIx64 "  %-11s  %-24s  %-20s  %s\n", c->dev_eui, ljs_claim_state_text(c->state),
           *c->account ? c->account : "-", time_text(since, c->at), *c->offered_to ? c->offered_to : "-");
    return LJS_OK;
}

static int cmd_show(int argc, char **argv)
{
    struct claim_opts opts = { .days = 7 };
    struct list_run run = { &opts, false };
    struct data data;
    ljs_eui *eui = NULL;
    size_t n;
    int code = read_flags(&show_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if (!(code = read_euis(&eui, &n, &opts, argc, argv)) && !(code = data_open(&data, &opts.where, DATA_OPEN, NULL))) {
        for (size_t i = 0; i < n; i++) {
            ljs_claim claim;
            ljs_err err = ljs_server_get_claim(&claim, data.server, eui[i]);
            char name[17];

            snprintf(name, sizeof name, "%016" PRIx64, eui[i]);
            if (err)
                code = complain_err(err, name);
            else
                (void)!claim_row(&run, &claim);
        }
        data_close(&data);
    }
    free(eui);
    return code;
}

static int cmd_list(int argc, char **argv)
{
    struct claim_opts opts = { .days = 7 };
    struct list_run run = { &opts, false };
    struct data data;
    ljs_err err;
    int code = read_flags(&list_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if ((code = opts.account ? check_account(opts.account, "--account") : DONE) ||
        (code = data_open(&data, &opts.where, DATA_OPEN, NULL)))
        return code;
    err = opts.account ? ljs_server_each_claim_of(data.server, opts.account, 0, UINT64_MAX, claim_row, &run)
                       : ljs_server_each_claim_in(data.server, 0, UINT64_MAX, claim_row, &run);
    if (err)
        code = complain_err(err, "claim list");
    data_close(&data);
    return code;
}

/* ---- the index of what accounts own ------------------------------------------------------- */

static int cmd_index(int argc, char **argv)
{
    struct claim_opts opts = { .days = 7 };
    ljs_claim_index found;
    struct data data;
    char note[96];
    ljs_err err;
    int code = read_flags(&index_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if ((code = data_open(&data, &opts.where, DATA_OPEN, NULL)))
        return code;
    err = ljs_server_index_claims(&found, data.server, opts.dry_run);
    if (!err && !opts.dry_run && found.missing + found.stray) {
        snprintf(note, sizeof note, "index of claims: %" PRIu64 " missing, %" PRIu64 " stray", found.missing,
                 found.stray);
        err = ljs_server_note(data.server, LJS_AUDIT_NOTE, 0, LJS_OK, note);
    }
    if (err)
        code = complain_err(err, "claim index");
    else
        printf(opts.json ? "{\"entries\":%" PRIu64 ",\"missing\":%" PRIu64 ",\"stray\":%" PRIu64 "}\n"
                         : "%" PRIu64 " entries are as the claims say, %" PRIu64 " were missing, %" PRIu64 " stray\n",
               found.entries, found.missing, found.stray);
    data_close(&data);
    return code;
}

const struct command claim_commands[] = {
    { "enrol", "give a device an owner token", cmd_enrol, NULL, &enrol_usage },
    { "claim", "own a device by its token", cmd_claim, NULL, &claim_usage },
    { "challenge", "what the chip of a device is to sign", cmd_claim_challenge, NULL, &claim_challenge_usage },
    { "assign", "devices to an account, without tokens", cmd_assign, NULL, &assign_usage },
    { "release", "let devices go", cmd_release, NULL, &release_usage },
    { "offer", "devices to another account", cmd_offer, NULL, &offer_usage },
    { "withdraw", "take that back", cmd_withdraw, NULL, &withdraw_usage },
    { "accept", "take what was offered", cmd_accept, NULL, &accept_usage },
    { "suspend", "block devices of an owner", cmd_suspend, NULL, &suspend_usage },
    { "resume", "end that", cmd_resume, NULL, &resume_usage },
    { "retire", "nobody's for good", cmd_retire, NULL, &retire_usage },
    { "show", "who owns a device", cmd_show, NULL, &show_usage },
    { "list", "who owns what", cmd_list, NULL, &list_usage },
    { "index", "mend the index of what accounts own", cmd_index, NULL, &index_usage },
    { 0 },
};
