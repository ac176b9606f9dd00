/* token.c -- a master key that is in a token, and `lorajs token ...`. */
#include "token.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { URI_MAX = 1024 };

/* ---- the PIN --------------------------------------------------------------------- */

/* Where the URI says, or from the terminal. */
static int read_pin(ljs_buf *out, const char *uri, const char *whose)
{
    ljs_buf named = { NULL, 0 };
    struct source from;
    char text[URI_MAX], prompt[64];
    ljs_err err = ljs_token_pin_source(&named, uri);
    int code = GO_ON;

    *out = (ljs_buf){ NULL, 0 };
    if (err == LJS_E_INVAL || named.len >= sizeof text) {
        complain("that is no URI of a token [RFC 7512] without a PIN in it: pkcs11:token=LABEL, and after a ? "
                 "module-path=FILE and pin-source=file:PATH, joined by &");
        return USAGE;
    }
    if (err)
        return complain_err(err, "token");
    if (!named.len) {
        snprintf(prompt, sizeof prompt, "PIN of the %s: ", whose);
        return source_ask(out, prompt);
    }
    memcpy(text, named.data, named.len);
    text[named.len] = '\0';
    ljs_buf_free(&named);
    if (strncmp(text, "file:", 5) && strncmp(text, "credential:", 11) && strncmp(text, "fd:", 3)) {
        complain("pin-source is file:PATH, credential:NAME or fd:N");
        return USAGE;
    }
    code = source_read(&from, text);
    return code == GO_ON ? source_secret(out, &from, "PIN", LJS_PIN_MAX + 2) : code;
}

static int complain_token(ljs_err err, const char *uri)
{
    char where[URI_MAX];
    int n = (int)strcspn(uri, "?");

    snprintf(where, sizeof where, "token %.*s", n < 200 ? n : 200, uri);
    switch (err) {
    case LJS_E_NOTFOUND:
        complain("%s: there is no such token, or none with keys of lorajs in it; `p11tool --list-tokens` shows those "
                 "there are, `lorajs token init` makes the keys",
                 where);
        return FAILED;
    case LJS_E_EXISTS:
        complain("%s: more than one token is like that; say more of it, such as serial=", where);
        return REFUSED;
    case LJS_E_STATE:
        complain(
            "%s: it has more than one storage key of this name, and lorajs makes one: somebody with the PIN may have "
            "put another there, to read what would be wrapped under it; remove that with the vendor's tool, and "
            "change the PIN",
            where);
        return REFUSED;
    case LJS_E_PIN:
        complain("%s: %s; %s", where, ljs_strerror(err), ljs_remedy(err));
        return REFUSED;
    default:
        return complain_err(err, where);
    }
}

/* ---- a vault in it ------------------------------------------------------------------ */

int token_open(ljs_vault **out, const struct source *source)
{
    ljs_buf pin;
    int code = read_pin(&pin, source->name, "token");
    ljs_err err;

    *out = NULL;
    if (code)
        return code;
    err = ljs_vault_token(out, source->name, pin.data, pin.len);
    ljs_buf_free(&pin);
    return err ? complain_token(err, source->name) : DONE;
}

int token_begin(ljs_vault **out, const struct place *place, const struct source *source)
{
    int code = token_open(out, source);

    return code ? code : master_write_mark(place, *out);
}

int token_take(ljs_vault **out, const struct place *place, const struct source *source, const char *name)
{
    int code = token_open(out, source);

    return code ? code : master_check_mark(*out, place, source, name);
}

/* ---- token init, token check ---------------------------------------------------------- */

struct token_opts {
    const char *policy;
    bool dry_run, json;
};

#define AT(member) offsetof(struct token_opts, member)
static const struct flag init_flags[] = {
    { "policy", "sealed|rotatable",
      "may root keys leave the token under another storage key? sealed: never (default); rotatable: under one that the "
      "security officer makes, whose PIN is asked for then",
      FLAG_TEXT, AT(policy), 0, 0 },
    { "dry-run", NULL, "only look whether they could be made", FLAG_SWITCH, AT(dry_run), 0, 0 },
    { "json", NULL, "one JSON object", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
static const struct flag next_flags[] = {
    { "dry-run", NULL, "only look whether it could be made, with the PIN of the user", FLAG_SWITCH, AT(dry_run), 0, 0 },
    { "json", NULL, "one JSON object", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
static const struct flag check_flags[] = {
    { "json", NULL, "JSON, an object a line: each finding, then the token", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
#undef AT

static const struct usage init_usage = {
    "token init",
    "URI",
    "Makes the keys of a vault in a PKCS#11 token that has a user PIN: a storage key under which records hold root "
    "keys "
    "and KEKs, and a key for tags. Neither can be read, changed or copied, and what the storage key unwraps stays in "
    "the "
    "token. `--master-key URI` then uses them.\n"
    "The URI [RFC 7512] names the token, the file of its module where p11-kit does not know it, and where the PIN is: "
    "'pkcs11:token=NAME?module-path=FILE&pin-source=file:FILE'. Without pin-source the PIN is asked for. It never "
    "stands "
    "in the URI itself.",
    init_flags,
    1,
    1,
};
static const struct usage next_usage = {
    "token next",
    "URI",
    "Makes the next storage key in a token whose keys were made with `--policy rotatable`. The PIN, from where the URI "
    "says or asked for, is that of the security officer. Whoever serves meanwhile finds the key by himself, and "
    "seals under it from then on; `lorajs rewrap --master-key URI`, with the PIN of the user, seals anew what is under "
    "the older ones, and with --retire destroys those.",
    next_flags,
    1,
    1,
};
static const struct usage check_usage = {
    "token check",
    "URI",
    "Tries what a token is worth: known answers, and the attacks of somebody who has the PIN and a copy of the "
    "database, "
    "on a key of no device. Each finding is a line. The exit code is 0 when all is well, and 3 when it is not.",
    check_flags,
    1,
    1,
};

static ljs_token_policy policy_of(const struct token_opts *opts)
{
    return opts->policy && !strcmp(opts->policy, "rotatable") ? LJS_TOKEN_ROTATABLE : LJS_TOKEN_SEALED;
}

/* The keys are there, are not, or cannot be told. */
static ljs_err look(const char *uri, const ljs_buf *pin)
{
    ljs_vault *vault;
    ljs_err err = ljs_vault_token(&vault, uri, pin->data, pin->len);

    ljs_vault_free(vault);
    return err ? err : LJS_E_EXISTS;
}

static int cmd_init(int argc, char **argv)
{
    struct token_opts opts = { 0 };
    ljs_buf pin;
    ljs_err err;
    int code = read_flags(&init_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if (opts.dry_run && policy_of(&opts) == LJS_TOKEN_ROTATABLE) {
        complain("token init --dry-run: what is there is looked for with the PIN of the user: leave --policy out");
        return USAGE;
    }
    if ((code =
             read_pin(&pin, argv[0], policy_of(&opts) == LJS_TOKEN_ROTATABLE ? "token's security officer" : "token")))
        return code;
    err = opts.dry_run ? look(argv[0], &pin) : ljs_token_init(argv[0], policy_of(&opts), pin.data, pin.len);
    ljs_buf_free(&pin);
    if (err == LJS_E_EXISTS) {
        complain(
            "token init: the token has the keys of a vault already; with object=NAME in the URI another vault has its "
            "own");
        return REFUSED;
    }
    if (err == LJS_E_NOTFOUND && opts.dry_run)
        err = LJS_OK;
    if (err)
        return complain_token(err, argv[0]);
    printf(opts.json ? "{\"policy\":\"%s\",\"result\":\"%s\"}\n" : "%s: %s\n",
           policy_of(&opts) == LJS_TOKEN_ROTATABLE ? "rotatable" : "sealed", opts.dry_run ? "could be made" : "made");
    return DONE;
}

static int complain_stays(void)
{
    complain(
        "token next: the token has no storage key that can be replaced: under the policy sealed it stays for good. "
        "Where it may be known to others, make new keys with `lorajs token init --policy rotatable` under another "
        "object=NAME, and give the devices new root keys");
    return REFUSED;
}

static ljs_err look_next(uint32_t *out, const char *uri, const ljs_buf *pin)
{
    ljs_token_storage now = { .version = 0 };
    ljs_vault *vault;
    ljs_err err = ljs_vault_token(&vault, uri, pin->data, pin->len);

    if (!err)
        err = ljs_token_look(&now, vault);
    ljs_vault_free(vault);
    *out = now.version + 1u;
    return err ? err : now.policy == LJS_TOKEN_ROTATABLE ? LJS_OK : LJS_E_INSIDE;
}

static int cmd_next(int argc, char **argv)
{
    struct token_opts opts = { 0 };
    uint32_t version;
    ljs_buf pin;
    ljs_err err;
    int code = read_flags(&next_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if ((code = read_pin(&pin, argv[0], opts.dry_run ? "token" : "token's security officer")))
        return code;
    err = opts.dry_run ? look_next(&version, argv[0], &pin) : ljs_token_next(&version, argv[0], pin.data, pin.len);
    ljs_buf_free(&pin);
    if (err == LJS_E_INSIDE || (err == LJS_E_NOTFOUND && !opts.dry_run))
        return complain_stays();
    if (err == LJS_E_EXISTS && !opts.dry_run) {
        complain(
            "token next: it has all the storage keys that it may have, or more than one token is like that; `lorajs "
            "rewrap --retire` ends the older keys");
        return REFUSED;
    }
    if (err)
        return complain_token(err, argv[0]);
    printf(opts.json ? "{\"storage_key\":%u,\"result\":\"%s\"}\n" : "storage key %u: %s\n", (unsigned)version,
           opts.dry_run ? "could be made" : "made");
    return DONE;
}

/* Each thing that is tried: what to say when it is well, and when it is not. */
static const struct trial {
    unsigned fault;
    const char *check, *good, *bad, *remedy;
} trials[] = {
    { LJS_TOKEN_NO_MECHANISM, "mechanisms", "it has what a join needs",
      "it lacks a mechanism of AES-ECB, AES-CMAC, AES key wrap or derivation by AES-ECB", "use another token" },
    { LJS_TOKEN_WRONG, "known answers", "FIPS 197, RFC 4493 and RFC 3394 come out as printed",
      "a known answer came out otherwise, or it does not open what it closed", "use another token" },
    { LJS_TOKEN_READABLE, "reading", "no key of it can be read", "a key that should stay in can be read",
      "make new keys with `lorajs token init` under another object=NAME, and give the devices new root keys" },
    { LJS_TOKEN_CLEAR, "clear unwrap", "tried, and refused: a root key stays in, whoever has the PIN",
      "whoever has the PIN and a record unwraps its root keys in clear: the storage key has no unwrap template",
      "make new keys with `lorajs token init` under another object=NAME, and give the devices new root keys" },
    { LJS_TOKEN_DECRYPTS, "decryption", "tried, and refused: the storage key unwraps and does nothing else",
      "the storage key decrypts, which reads what it wrapped",
      "make new keys with `lorajs token init` under another object=NAME, and give the devices new root keys" },
    { LJS_TOKEN_CHANGEABLE, "changes", "tried, and refused: the storage key can be neither changed nor copied",
      "the storage key can be changed or copied so that it decrypts, which reads what it wrapped",
      "make new keys with `lorajs token init` under another object=NAME, and give the devices new root keys" },
    { LJS_TOKEN_LEAVES, "wrapping", "tried, and refused: a root key goes under no key that somebody makes for that",
      "a root key can be wrapped under a key that whoever has the PIN has made, and read from there",
      "make new keys with `lorajs token init` under another object=NAME, and give the devices new root keys" },
    { LJS_TOKEN_NO_PIN, "PIN", "the storage key is used with the PIN alone",
      "the storage key can be used without a PIN: the price of the policy rotatable",
      "keep others from the token's interface, or use the policy sealed" },
};

int token_try(ljs_token_report *out, const char *uri, token_row *row, void *user)
{
    ljs_buf pin;
    ljs_err err;
    int code = read_pin(&pin, uri, "token");

    memset(out, 0, sizeof *out);
    if (code)
        return code;
    err = ljs_token_check(out, uri, pin.data, pin.len);
    ljs_buf_free(&pin);
    if (err)
        return complain_token(err, uri);
    for (size_t i = 0; i < sizeof trials / sizeof *trials; i++) {
        bool bad = out->faults & trials[i].fault;

        /* An officer's keys have no PIN: that is known, and chosen. */
        row(user, trials[i].check,
            !bad                                                                        ? TOKEN_GOOD
            : trials[i].fault == LJS_TOKEN_NO_PIN && out->policy == LJS_TOKEN_ROTATABLE ? TOKEN_PRICE
                                                                                        : TOKEN_BAD,
            bad ? trials[i].bad : trials[i].good, bad ? trials[i].remedy : NULL);
    }
    return DONE;
}

struct check_run {
    bool json, bad;
};

static void print_row(void *user, const char *check, enum token_verdict verdict, const char *text, const char *remedy)
{
    static const char *const names[] = { "ok", "warning", "error" };
    struct check_run *run = user;

    run->bad |= verdict == TOKEN_BAD;
    if (!run->json) {
        printf("%-7s  %-14s  %s%s%s\n", names[verdict], check, text, remedy ? "; " : "", remedy ? remedy : "");
        return;
    }
    printf("{\"check\":\"%s\",\"verdict\":\"%s\",\"text\":", check, names[verdict]);
    print_json_text(stdout, text);
    printf(",\"remedy\":");
    print_json_text(stdout, remedy);
    puts("}");
}

static int cmd_check(int argc, char **argv)
{
    struct token_opts opts = { 0 };
    struct check_run run = { false, false };
    ljs_token_report report;
    int code = read_flags(&check_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    run.json = opts.json;
    if ((code = token_try(&report, argv[0], print_row, &run)))
        return code;
    if (opts.json) {
        printf("{\"token\":");
        print_json_text(stdout, report.label);
        printf(",\"manufacturer\":");
        print_json_text(stdout, report.manufacturer);
        printf(",\"model\":");
        print_json_text(stdout, report.model);
        printf(",\"serial\":");
        print_json_text(stdout, report.serial);
        printf(",\"policy\":\"%s\",\"storage_key\":%u}\n", token_policy_text(report.policy), report.version);
    } else {
        printf("%s, %s %s: policy %s, storage key %u\n", report.label, report.manufacturer, report.model,
               token_policy_text(report.policy), report.version);
    }
    return run.bad ? REFUSED : DONE;
}

const char *token_policy_text(ljs_token_policy policy)
{
    return policy == LJS_TOKEN_ROTATABLE ? "rotatable" : "sealed";
}

const struct command token_commands[] = {
    { "init", "make the keys of a vault in it", cmd_init, NULL, &init_usage },
    { "next", "make the next storage key in it", cmd_next, NULL, &next_usage },
    { "check", "known answers, and attacks that must fail", cmd_check, NULL, &check_usage },
    { 0 },
};
