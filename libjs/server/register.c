/* Devices of a manifest: registered, and assigned. */
#include "server/chip.h"

#include "base/secret.h"
#include "codec/element.h"

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

/* Was it believed, and by this process? */
static bool was_believed(const ljs_manifest_entry *e)
{
    uint8_t stamp[sizeof e->stamp];

    ljs__entry_stamp(stamp, e);
    return ljs__equal(stamp, e->stamp, sizeof stamp);
}

static bool is_same(const ljs_chip *a, const ljs_chip *b)
{
    return a->required == b->required && !strcmp(a->model, b->model) && !strcmp(a->part_number, b->part_number) &&
           !strcmp(a->group_id, b->group_id) && !strcmp(a->signer, b->signer);
}

/* What is written together: the account, where there is one, and of each device its record, its chip, and whose it is,
 * where there is an account. */
enum {
    OF_RECORD,
    OF_CHIP,
    OF_CLAIM,
    TOGETHER = GROUP_MAX / OF_CLAIM,
    TOGETHER_OWNED = (GROUP_MAX - 1) / (OF_CLAIM + 1)
};

struct registering {
    ljs_server *server;
    const ljs_register_opts *opts;
    bool owned; /* there is an account */
    size_t len;
    struct one {
        const ljs_manifest_entry *entry;
        ljs_registered *out;
        struct entry chip, assign; /* what the log says */
    } of[TOGETHER];
};

static struct valued *values_of(const struct registering *r, struct valued *at, size_t n)
{
    return r->owned ? at + 1 + n * (OF_CLAIM + 1) : at + n * OF_CLAIM;
}

static void fill(ljs_chip *chip, const struct registering *r, const ljs_manifest_entry *e)
{
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

static ljs_err read_state(ljs_state *out, const struct registering *r, ljs_eui dev_eui, const ljs_buf *record)
{
    ljs_device d;
    ljs_err err = ljs_device_check(r->server->vault, record->data, record->len);

    *out = LJS_STATE_FRESH;
    if (!err)
        err = ljs_device_read(&d, record->data, record->len);
    if (!err && d.dev_eui != dev_eui) /* filed under another's key */
        err = LJS_E_SEAL;
    if (!err)
        *out = d.state;
    return err;
}

/* The record, where there is none yet, and the chip. */
static ljs_err make_known(struct registering *r, struct one *one, struct valued *at)
{
    const ljs_register_opts *opts = r->opts;
    const ljs_manifest_entry *e = one->entry;
    ljs_chip was, is;
    ljs_state state = LJS_STATE_FRESH;
    ljs_err err = at[OF_RECORD].old.data ? read_state(&state, r, e->dev_eui, &at[OF_RECORD].old) : LJS_OK;

    if (!err && state == LJS_STATE_REMOVED)
        one->out->why = LJS_REGISTER_REMOVED;
    if (err || one->out->why)
        return err;
    err = ljs__chip_read(&was, r->server->vault, e->dev_eui, &at[OF_CHIP].old);
    if (err && err != LJS_E_NOTFOUND)
        return err;
    is = was;
    if (err)
        is.at = opts->now;
    fill(&is, r, e);
    if (!err && (memcmp(was.public_key, is.public_key, sizeof is.public_key) || strcmp(was.unique_id, is.unique_id))) {
        one->out->why = LJS_REGISTER_OTHER_CHIP;
        return LJS_OK;
    }
    one->out->made = !at[OF_RECORD].old.data;
    one->out->kept = err || !is_same(&was, &is);
    err = LJS_OK;
    if (one->out->made)
        err = ljs_device_make_keyless(&at[OF_RECORD].new, r->server->vault, e->dev_eui, e->join_eui,
                                      opts->mac ? opts->mac : LJS_MAC_1_0_4);
    if (!err && one->out->kept)
        err = ljs__chip_write(&at[OF_CHIP].new, r->server->vault, &is);
    return err;
}

static void put(ljs_buf *to, const ljs_buf *from)
{
    if (!from->data)
        return;
    ljs_buf_free(to);
    *to = *from;
}

/* Is it the account's already, and free? */
static ljs_err look_at_owner(struct registering *r, struct one *one, const struct valued *claimed)
{
    struct claim claim;
    ljs_err err = ljs__claim_read(&claim, r->server->vault, one->entry->dev_eui, &claimed->old);

    if (!err && (strcmp(claim.c.account, r->opts->account) != 0 || claim.c.state == LJS_CLAIM_IS_SUSPENDED))
        one->out->why = LJS_REGISTER_OWNED;
    return err;
}

/* Without a token, over what was just made. */
static ljs_err assign(struct registering *r, struct one *one, struct valued *at, struct valued *account)
{
    ljs_claim_req req = { .struct_size = sizeof req,
                          .now = r->opts->now,
                          .act = LJS_CLAIM_ASSIGN,
                          .dev_eui = one->entry->dev_eui,
                          .routing = r->opts->routing };
    struct valued claim[CLAIM_VALUES] = { { .old = one->out->made ? at[OF_RECORD].new : at[OF_RECORD].old },
                                          { .old = at[OF_CLAIM].old },
                                          { .old = account->new.data ? account->new : account->old } };
    ljs_err err;

    memcpy(req.account, r->opts->account, sizeof req.account);
    err = ljs__claim_step(claim, r->server, &req);
    if (!err) { /* `old` is of values that are still there */
        put(&at[OF_RECORD].new, &claim[0].new);
        put(&at[OF_CLAIM].new, &claim[1].new);
        put(&account->new, &claim[2].new);
        at[OF_RECORD].act = one->out->made ? &one->chip : &one->assign;
        at[OF_CLAIM].act = one->out->made ? &one->assign : NULL;
    } else if (err == LJS_E_STATE) {
        err = look_at_owner(r, one, &at[OF_CLAIM]);
    }
    one->out->assigned = !err && !one->out->why;
    return err;
}

static ljs_err make_one(struct registering *r, struct one *one, struct valued *at, struct valued *account)
{
    ljs_err err;

    *one->out = (ljs_registered){ .why = LJS_REGISTER_DONE };
    err = make_known(r, one, at);
    at[OF_RECORD].act = one->out->made ? &one->chip : NULL;
    at[OF_CHIP].act = one->out->made ? NULL : &one->chip;
    if (!err && !one->out->why && account)
        err = assign(r, one, at, account);
    return err;
}

static ljs_err make_all(void *user, struct valued *at)
{
    struct registering *r = user;
    const size_t values = (size_t)(values_of(r, at, r->len) - at);
    ljs_err err = LJS_OK;

    for (size_t n = 0; n < r->len && !err; n++)
        err = make_one(r, &r->of[n], values_of(r, at, n), r->owned ? at : NULL);
    for (size_t i = 0; r->opts->dry && i < values; i++)
        ljs_buf_free(&at[i].new);
    return err;
}

/* ---- many -------------------------------------------------------------------------------- */

static ljs_err write_together(struct registering *r)
{
    struct valued at[GROUP_MAX];

    memset(at, 0, sizeof at);
    if (r->owned)
        at[0].key = ljs__key_label(SPACE_ACCOUNT, r->opts->account);
    for (size_t n = 0; n < r->len; n++) {
        struct valued *own = values_of(r, at, n);
        const ljs_manifest_entry *e = r->of[n].entry;

        own[OF_RECORD].key = ljs__key_eui(SPACE_DEVICE, e->dev_eui);
        own[OF_CHIP].key = ljs__key_eui(SPACE_CHIP, e->dev_eui);
        if (r->owned)
            own[OF_CLAIM].key = ljs__key_eui(SPACE_CLAIM, e->dev_eui);
        r->of[n].chip = (struct entry){ .kind = LJS_AUDIT_CHIP, .dev_eui = e->dev_eui, .text = e->unique_id };
        r->of[n].assign = (struct entry){ .kind = LJS_AUDIT_ASSIGN, .dev_eui = e->dev_eui, .text = r->opts->account };
    }
    return ljs__change_group(r->server, at, (size_t)(values_of(r, at, r->len) - at), make_all, r, NULL, NULL);
}

/* Where one of them does not go, each goes by itself; but not where that is nobody's fault. */
static void flush(struct registering *r)
{
    struct registering alone = { .server = r->server, .opts = r->opts, .owned = r->owned, .len = 1 };
    ljs_err err = r->len ? write_together(r) : LJS_OK;
    bool each = err && r->len > 1 && err != LJS_E_STORE && err != LJS_E_NOMEM && err != LJS_E_BUSY;

    for (size_t n = 0; err && n < r->len; n++) {
        ljs_err of_one = err;

        alone.of[0] = r->of[n];
        if (each)
            of_one = write_together(&alone);
        if (of_one)
            *r->of[n].out = (ljs_registered){ .err = of_one };
    }
    r->len = 0;
}

static bool is_among(const struct registering *r, ljs_eui dev_eui)
{
    for (size_t n = 0; n < r->len; n++)
        if (r->of[n].entry->dev_eui == dev_eui)
            return true;
    return false;
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

ljs_err ljs_server_register_all(ljs_registered *registered, ljs_server *server, const ljs_register_opts *opts,
                                const ljs_manifest_entry *entries, size_t entries_len)
{
    struct registering r = { .server = server, .opts = opts, .owned = *opts->account };
    const size_t most = r.owned ? TOGETHER_OWNED : TOGETHER;
    ljs_err err = ljs__server_alive(server);

    for (size_t i = 0; i < entries_len; i++)
        registered[i] = (ljs_registered){ .why = why_of(&entries[i]) };
    if (err || (err = check_opts(server, opts)))
        return err;
    for (size_t i = 0; i < entries_len; i++) {
        if (!entries[i].verdict && !was_believed(&entries[i]))
            registered[i] = (ljs_registered){ .err = LJS_E_SEAL };
        if (registered[i].err || registered[i].why)
            continue;
        if (r.len == most || is_among(&r, entries[i].dev_eui))
            flush(&r);
        r.of[r.len++] = (struct one){ .entry = &entries[i], .out = &registered[i] };
    }
    flush(&r);
    return LJS_OK;
}

ljs_err ljs_server_register(ljs_registered *out, ljs_server *server, const ljs_register_opts *opts,
                            const ljs_manifest_entry *entry)
{
    ljs_err err = ljs_server_register_all(out, server, opts, entry, 1);

    if (!err)
        err = out->err;
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
