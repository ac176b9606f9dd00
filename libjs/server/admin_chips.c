/* Manifests of secure elements, their devices and their chips. */
#include "server/admin.h"

#include "codec/element.h"
#include "server/chip.h"

#include <stdio.h>
#include <stdlib.h>

enum { ENTRIES_MOST = 1000 }; /* of a manifest: genuine ones are longer than the body may be before that */

/* ---- what is asked ------------------------------------------------------------------- */

struct registration {
    struct asking *a;
    ljs_register_opts opts;
    bool all_or_nothing;
    uint32_t registered, refused;
    struct batch *batch;
};

enum { BATCH = 63 /* three transactions */ };
struct batch {
    ljs_manifest_entry entry[BATCH];
    ljs_registered what[BATCH];
    size_t len;
};

static bool read_switch(bool *out, const struct asking *a, const char *name)
{
    char text[8];

    if (!ljs__admin_query(text, sizeof text, a, name))
        return false;
    *out = !strcmp(text, "true");
    return *out || !*text || !strcmp(text, "false");
}

static bool read_policy(ljs_chip_policy *out, const struct asking *a)
{
    char text[16];

    if (!ljs__admin_query(text, sizeof text, a, "chip"))
        return false;
    *out = !strcmp(text, "required") ? LJS_CHIP_REQUIRED : *text ? LJS_CHIP_ACCEPTED : LJS_CHIP_AS_IT_IS;
    return *out != LJS_CHIP_ACCEPTED || !strcmp(text, "accepted");
}

static enum problem read_query(struct registration *r, struct asking *a)
{
    static const char *const names[] = { "account", "chip", "lorawan_version", "all_or_nothing", "dry_run", NULL };
    ljs_register_opts *opts = &r->opts;
    char mac[8];
    bool dry;

    *r = (struct registration){ .a = a, .opts = { .struct_size = sizeof *opts, .now = a->req->now } };
    opts->routing.struct_size = sizeof opts->routing;
    if (ljs__admin_query_only(a, names) || !ljs__admin_query(opts->account, sizeof opts->account, a, "account") ||
        !read_policy(&opts->chip, a) || !ljs__admin_query(mac, sizeof mac, a, "lorawan_version") ||
        (*mac && ljs_mac_parse(&opts->mac, mac)) || !read_switch(&r->all_or_nothing, a, "all_or_nothing") ||
        !read_switch(&dry, a, "dry_run"))
        return P_BAD_REQUEST;
    opts->dry = dry;
    return FINE;
}

static enum problem account_problem(ljs_err err)
{
    return err == LJS_E_NOTFOUND || err == LJS_E_INVAL ? P_NO_ACCOUNT
           : err == LJS_E_BLOCKED                      ? P_SUSPENDED
                                                       : ljs__admin_problem_of(err);
}

/* Is it there, also where nothing is registered for it? */
static enum problem look_at_account(const struct registration *r)
{
    ljs_account account;

    return *r->opts.account ? account_problem(ljs_server_get_account(&account, r->a->server, r->opts.account)) : FINE;
}

/* ---- what became of it --------------------------------------------------------------- */

static void show_entry(struct wr *w, const ljs_manifest_entry *e, const ljs_registered *what)
{
    ljs__json_open(w, '{');
    ljs__json_name(w, "index");
    ljs__json_number(w, (int64_t)e->index);
    if (*e->unique_id) {
        ljs__json_name(w, "unique_id");
        ljs__json_text(w, e->unique_id);
    }
    if (e->has_dev_eui) {
        ljs__json_name(w, "dev_eui");
        ljs__json_hex_number(w, e->dev_eui, 16);
    }
    if (what->why) {
        ljs__json_name(w, "code");
        ljs__json_text(w, ljs_register_why_name(what->why));
        if (e->verdict) {
            ljs__json_name(w, "verdict");
            ljs__json_text(w, ljs_manifest_verdict_name(e->verdict));
        }
        ljs__json_name(w, "detail");
        ljs__json_text(w, e->verdict ? ljs_manifest_verdict_text(e->verdict) : ljs_register_why_text(what->why));
    } else {
        ljs__json_name(w, "result");
        ljs__json_text(w, what->made ? "registered" : what->kept ? "kept" : "unchanged");
        ljs__json_name(w, "assigned");
        ljs__json_bool(w, what->assigned);
    }
    ljs__json_close(w, '}');
}

/* One refusal is all of them. */
static enum problem refuse_all(struct asking *a, const ljs_manifest_entry *e, const ljs_registered *what)
{
    snprintf(a->words, sizeof a->words, "entry %llu: %s", (unsigned long long)e->index,
             e->verdict ? ljs_manifest_verdict_text(e->verdict) : ljs_register_why_text(what->why));
    a->detail = a->words;
    return P_MANIFEST;
}

/* `w` is NULL where only the first refusal is of interest. */
static enum problem flush(struct registration *r, struct wr *w)
{
    struct batch *b = r->batch;
    ljs_err err = ljs_server_register_all(b->what, r->a->server, &r->opts, b->entry, b->len);

    for (size_t i = 0; i < b->len && !err; i++) {
        if ((err = b->what[i].err))
            break;
        ++*(b->what[i].why ? &r->refused : &r->registered);
        if (w)
            show_entry(w, &b->entry[i], &b->what[i]);
        else if (b->what[i].why)
            return refuse_all(r->a, &b->entry[i], &b->what[i]);
    }
    b->len = 0;
    return account_problem(err);
}

/* All entries in turn, each told of. */
static enum problem run(struct registration *r, ljs_manifest *manifest, struct wr *w)
{
    const struct asking *a = r->a;
    struct batch *b = r->batch;
    enum problem problem = FINE;
    size_t at = 0;
    ljs_err err;

    r->registered = r->refused = 0;
    b->len = 0;
    while (!problem && !(err = ljs_manifest_next(&b->entry[b->len], &at, manifest, a->in, a->in_len)))
        if (++b->len == BATCH)
            problem = flush(r, w);
    if (!problem)
        problem = flush(r, w);
    return problem || err == LJS_E_NOTFOUND ? problem : ljs__admin_problem_of(err);
}

static enum problem look_first(struct registration *r)
{
    ljs_manifest *manifest = NULL;
    const uint8_t dry = r->opts.dry;
    enum problem problem = ljs__admin_problem_of(ljs__manifest_like(&manifest, r->a->req->manifest));

    r->opts.dry = 1;
    if (!problem)
        problem = run(r, manifest, NULL);
    r->opts.dry = dry;
    ljs_manifest_free(manifest);
    return problem;
}

/* Is it an array, whole, and not of more than there is room for?  Before the first is registered. */
static enum problem look_at_array(struct asking *a)
{
    uint64_t entries, octets;
    ljs_err err = ljs__manifest_count(&entries, &octets, a->in, a->in_len);

    if (err == LJS_E_INVAL) {
        snprintf(a->words, sizeof a->words, "it is no JSON array of entries, or cut short, from octet %llu on",
                 (unsigned long long)octets);
        a->detail = a->words;
        return P_BODY;
    }
    if (!err && entries > ENTRIES_MOST) {
        a->detail = "a manifest has 1000 entries at most here: send the array in pieces";
        return P_TOO_LONG;
    }
    return ljs__admin_problem_of(err);
}

static enum problem show_end(struct registration *r, const ljs_manifest *manifest)
{
    struct wr *w = &r->a->body;
    ljs_buf digest = { NULL, 0 };
    ljs_err err = ljs_manifest_digest(&digest, manifest);

    ljs__json_close(w, ']');
    ljs__json_name(w, "registered");
    ljs__json_number(w, r->registered);
    ljs__json_name(w, "refused");
    ljs__json_number(w, r->refused);
    ljs__json_name(w, "sha256");
    ljs__json_hex(w, digest.data, digest.len);
    ljs__json_close(w, '}');
    ljs_buf_free(&digest);
    if (!err && r->registered && !r->opts.dry)
        err = ljs_server_note_manifest(r->a->server, manifest, r->opts.account, r->registered);
    return ljs__admin_problem_of(err);
}

enum problem ljs__admin_manifest(struct asking *a)
{
    struct registration r;
    ljs_manifest *manifest = NULL;
    enum problem problem = read_query(&r, a);

    if (!problem)
        problem = look_at_account(&r);
    if (!problem)
        problem = look_at_array(a);
    if (!problem && !(r.batch = malloc(sizeof *r.batch)))
        problem = P_UNAVAILABLE;
    if (!problem && r.all_or_nothing)
        problem = look_first(&r);
    if (!problem)
        problem = ljs__admin_problem_of(ljs__manifest_like(&manifest, a->req->manifest));
    if (!problem) {
        ljs__json_open(&a->body, '{');
        ljs__json_name(&a->body, "results");
        ljs__json_open(&a->body, '[');
        problem = run(&r, manifest, &a->body);
    }
    if (!problem)
        problem = show_end(&r, manifest);
    ljs_manifest_free(manifest);
    free(r.batch);
    return problem;
}

/* ---- one chip ------------------------------------------------------------------------- */

enum problem ljs__admin_chip(struct asking *a)
{
    struct wr *w = &a->body;
    ljs_chip chip;
    ljs_err err = ljs_server_get_chip(&chip, a->server, a->dev_eui);
    const struct {
        const char *name, *text;
    } texts[] = { { "unique_id", chip.unique_id },
                  { "model", chip.model },
                  { "part_number", chip.part_number },
                  { "group_id", chip.group_id },
                  { "signer", chip.signer } };

    if (err)
        return err == LJS_E_NOTFOUND ? P_NO_CHIP : ljs__admin_problem_of(err);
    ljs__json_open(w, '{');
    ljs__json_name(w, "dev_eui");
    ljs__json_hex_number(w, chip.dev_eui, 16);
    for (size_t i = 0; i < COUNT(texts); i++)
        if (*texts[i].text) {
            ljs__json_name(w, texts[i].name);
            ljs__json_text(w, texts[i].text);
        }
    ljs__json_name(w, "public_key");
    ljs__json_hex(w, chip.public_key, sizeof chip.public_key);
    ljs__json_name(w, "required");
    ljs__json_bool(w, chip.required);
    ljs__json_name(w, "since");
    ljs__json_number(w, chip.at);
    ljs__json_close(w, '}');
    return FINE;
}

enum problem ljs__admin_claim_challenge(struct asking *a)
{
    struct wr *w = &a->body;
    ljs_buf challenge = { NULL, 0 }, digest = { NULL, 0 };
    ljs_err err = ljs_server_challenge(&challenge, a->server, a->req->now, a->dev_eui, a->who.account);

    if (!err)
        err = ljs_chip_digest(&digest, a->dev_eui, a->who.account, challenge.data, challenge.len);
    if (!err) {
        ljs__json_open(w, '{');
        ljs__json_name(w, "dev_eui");
        ljs__json_hex_number(w, a->dev_eui, 16);
        ljs__json_name(w, "account");
        ljs__json_text(w, a->who.account);
        ljs__json_name(w, "challenge");
        ljs__json_hex(w, challenge.data, challenge.len);
        ljs__json_name(w, "digest");
        ljs__json_hex(w, digest.data, digest.len);
        ljs__json_name(w, "expires");
        ljs__json_number(w, a->req->now + LJS_CHIP_CHALLENGE_SECONDS);
        ljs__json_close(w, '}');
    }
    ljs_buf_free(&challenge);
    ljs_buf_free(&digest);
    return ljs__admin_problem_of(err);
}
