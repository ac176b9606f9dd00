/* Devices of a manifest: registered, and assigned. */
#include "server/chip.h"

#include <stdio.h>

/* ---- words -------------------------------------------------------------------------- */

static const struct {
    const char *name, *text;
} whys[] = {
    [LJS_REGISTER_DONE] = { "done", "it is registered" },
    [LJS_REGISTER_REFUSED] = { "refused", "the entry is refused" },
    [LJS_REGISTER_NO_KEY] = { "no-key", "it certifies no key of the chip: a light manifest does not" },
    [LJS_REGISTER_NO_DEV_EUI] = { "no-dev-eui", "it certifies no DevEUI: its operator gives one, by an import" },
    [LJS_REGISTER_NO_JOIN_EUI] = { "no-join-eui", "it has no JoinEUI" },
    [LJS_REGISTER_OTHER_CHIP] = { "other-chip", "another chip is kept for this DevEUI" },
    [LJS_REGISTER_REMOVED] = { "removed", "the device was removed: an import with its root keys brings it back" },
    [LJS_REGISTER_OWNED] = { "owned", "it is registered, and not assigned: it is another's, suspended or retired" },
};

const char *ljs_register_why_name(ljs_register_why why)
{
    return (size_t)why < COUNT(whys) ? whys[why].name : "?";
}

const char *ljs_register_why_text(ljs_register_why why)
{
    return (size_t)why < COUNT(whys) ? whys[why].text : "?";
}

/* ---- one device ----------------------------------------------------------------------- */

static ljs_register_why why_of(const ljs_manifest_entry *e)
{
    return e->verdict         ? LJS_REGISTER_REFUSED
           : !e->has_key      ? LJS_REGISTER_NO_KEY
           : !e->has_dev_eui  ? LJS_REGISTER_NO_DEV_EUI
           : !e->has_join_eui ? LJS_REGISTER_NO_JOIN_EUI
                              : LJS_REGISTER_DONE;
}

static bool is_same(const ljs_chip *a, const ljs_chip *b)
{
    return a->required == b->required && !strcmp(a->model, b->model) && !strcmp(a->part_number, b->part_number) &&
           !strcmp(a->group_id, b->group_id) && !strcmp(a->signer, b->signer);
}

struct registering {
    ljs_server *server;
    const ljs_register_opts *opts;
    const ljs_manifest_entry *entry;
    ljs_registered *out;
};

static void fill(ljs_chip *chip, const struct registering *r)
{
    const ljs_manifest_entry *e = r->entry;

    chip->dev_eui = e->dev_eui;
    if (r->opts->chip)
        chip->required = r->opts->chip == LJS_CHIP_REQUIRED;
    memcpy(chip->public_key, e->public_key, sizeof chip->public_key);
    memcpy(chip->unique_id, e->unique_id, sizeof chip->unique_id);
    memcpy(chip->model, e->model, sizeof chip->model);
    memcpy(chip->part_number, e->part_number, sizeof chip->part_number);
    memcpy(chip->group_id, e->group_id, sizeof chip->group_id);
    memcpy(chip->signer, e->signer, sizeof chip->signer);
}

static ljs_err read_state(ljs_state *out, const struct registering *r, const ljs_buf *record)
{
    ljs_device d;
    ljs_err err = ljs_device_check(r->server->vault, record->data, record->len);

    *out = LJS_STATE_FRESH;
    if (!err)
        err = ljs_device_read(&d, record->data, record->len);
    if (!err && d.dev_eui != r->entry->dev_eui) /* filed under another's key */
        err = LJS_E_SEAL;
    if (!err)
        *out = d.state;
    return err;
}

/* The record, where there is none yet, and the chip. */
static ljs_err make(void *user, struct valued *at)
{
    struct registering *r = user;
    const ljs_register_opts *opts = r->opts;
    ljs_chip was, is;
    ljs_state state = LJS_STATE_FRESH;
    ljs_err err = at[0].old.data ? read_state(&state, r, &at[0].old) : LJS_OK;

    *r->out = (ljs_registered){ .why = state == LJS_STATE_REMOVED ? LJS_REGISTER_REMOVED : LJS_REGISTER_DONE };
    if (err || r->out->why)
        return err;
    err = ljs__chip_read(&was, r->server->vault, r->entry->dev_eui, &at[1].old);
    if (err && err != LJS_E_NOTFOUND)
        return err;
    is = was;
    if (err)
        is.at = opts->now;
    fill(&is, r);
    if (!err && (memcmp(was.public_key, is.public_key, sizeof is.public_key) || strcmp(was.unique_id, is.unique_id))) {
        r->out->why = LJS_REGISTER_OTHER_CHIP;
        return LJS_OK;
    }
    r->out->made = !at[0].old.data;
    r->out->kept = err || !is_same(&was, &is);
    err = LJS_OK;
    if (opts->dry)
        return err;
    if (r->out->made)
        err = ljs_device_make_keyless(&at[0].new, r->server->vault, r->entry->dev_eui, r->entry->join_eui,
                                      opts->mac ? opts->mac : LJS_MAC_1_0_4);
    if (!err && r->out->kept)
        err = ljs__chip_write(&at[1].new, r->server->vault, &is);
    return err;
}

/* Without a token; who asks again finds done what was done. */
static ljs_err assign(struct registering *r)
{
    const ljs_register_opts *opts = r->opts;
    ljs_claim_req req = { .struct_size = sizeof req,
                          .now = opts->now,
                          .act = LJS_CLAIM_ASSIGN,
                          .dev_eui = r->entry->dev_eui,
                          .routing = opts->routing,
                          .dry = opts->dry };
    ljs_claim claim = { .dev_eui = 0 };
    ljs_buf none = { NULL, 0 };
    ljs_err err;

    if (opts->dry && r->out->made) { /* there is nothing yet that could be another's */
        r->out->assigned = 1;
        return LJS_OK;
    }
    memcpy(req.account, opts->account, sizeof req.account);
    err = ljs_server_claim(&none, r->server, &req, NULL, 0);
    if (err == LJS_E_STATE && !(err = ljs_server_get_claim(&claim, r->server, req.dev_eui)) &&
        (strcmp(claim.account, opts->account) != 0 || claim.state == LJS_CLAIM_IS_SUSPENDED))
        r->out->why = LJS_REGISTER_OWNED;
    r->out->assigned = !err && !r->out->why;
    return err;
}

/* Who is to own them must be there, and free to, before the first is registered. */
static ljs_err check_opts(ljs_server *server, const ljs_register_opts *opts)
{
    ljs_account account;
    ljs_err err;

    if (opts->struct_size != sizeof *opts || (unsigned)opts->chip > LJS_CHIP_REQUIRED ||
        (opts->mac && !strcmp(ljs_mac_text(opts->mac), "?")))
        return LJS_E_INVAL;
    if (!*opts->account)
        return LJS_OK;
    if (!ljs__account_name_ok(opts->account, sizeof opts->account))
        return LJS_E_INVAL;
    err = ljs_server_get_account(&account, server, opts->account);
    return !err && account.suspended ? LJS_E_BLOCKED : err;
}

ljs_err ljs_server_register(ljs_registered *out, ljs_server *server, const ljs_register_opts *opts,
                            const ljs_manifest_entry *entry)
{
    struct registering r = { .server = server, .opts = opts, .entry = entry, .out = out };
    const struct entry act = { .kind = LJS_AUDIT_CHIP, .dev_eui = entry->dev_eui, .text = entry->unique_id };
    struct valued at[2] = { { .version = 0 } };
    ljs_err err = ljs__server_alive(server);

    *out = (ljs_registered){ .why = why_of(entry) };
    if (err || (err = check_opts(server, opts)) || out->why)
        return err;
    at[0].key = ljs__key_eui(SPACE_DEVICE, entry->dev_eui);
    at[1].key = ljs__key_eui(SPACE_CHIP, entry->dev_eui);
    err = ljs__change_group(server, at, 2, make, &r, &act, NULL);
    if (!err && !out->why && *opts->account)
        err = assign(&r);
    if (err)
        *out = (ljs_registered){ .why = LJS_REGISTER_DONE };
    return err;
}

ljs_err ljs_server_note_manifest(ljs_server *server, const ljs_manifest *manifest, const char *account, uint32_t count)
{
    enum { SHOWN = 24 }; /* octets of the digest: as many as there is room for beside the longest name */
    char text[LJS_LABEL_MAX];
    const struct entry entry = { .kind = LJS_AUDIT_MANIFEST, .count = count, .text = text };
    ljs_buf digest = { NULL, 0 };
    ljs_err err = ljs__server_alive(server);
    int n;

    if (err)
        return err;
    if (*account && !ljs__account_name_ok(account, LJS_ACCOUNT_MAX))
        return LJS_E_INVAL;
    if ((err = ljs_manifest_digest(&digest, manifest)))
        return err;
    n = snprintf(text, sizeof text, "%s%ssha256:", account, *account ? " " : "");
    for (size_t i = 0; i < SHOWN; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%02x", digest.data[i]);
    ljs_buf_free(&digest);
    return ljs__audit_write(server, &entry);
}
