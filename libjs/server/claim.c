/* One act on a claim: whose it is, what the table says, and all that changes in one transaction. */
#include "server/claim.h"

#include "base/secret.h"
#include "base/text.h"
#include "device/step.h"
#include "server/chip.h"

#include <stdio.h>

enum { TOKEN_BITS = 80, TOKEN_DRAWN = TOKEN_BITS / 5, STACK_BELOW = 4096 };
static const int64_t NOW_MOST = INT64_MAX / 2; /* so that no sum of times is too much */

/* ---- tokens ------------------------------------------------------------------------ */

static bool token_ok(const uint8_t *in, size_t in_len)
{
    for (size_t i = 0; i < in_len; i++)
        if (!((in[i] >= 'A' && in[i] <= 'Z') || (in[i] >= '0' && in[i] <= '9')))
            return false;
    return in_len > 0 && in_len <= LJS_CLAIM_TOKEN_MOST;
}

/* No link of the audit log, which the same key is for, begins so. */
static ljs_err hash_token(uint8_t out[OWNER_HASH_LEN], const ljs_server *server, ljs_eui dev_eui, const uint8_t *in,
                          size_t in_len)
{
    static const char domain[] = "owner token";
    uint8_t text[sizeof domain + 8 + LJS_CLAIM_TOKEN_MOST];
    size_t n = sizeof domain;
    ljs_err err;

    memcpy(text, domain, n);
    for (unsigned i = 0; i < 8; i++)
        text[n++] = (uint8_t)(dev_eui >> (56 - 8 * i));
    if (in_len)
        memcpy(text + n, in, in_len);
    err = ljs__vault_lasting(out, server->vault, text, n + in_len);
    ljs__wipe(text, sizeof text);
    ljs__wipe_stack(STACK_BELOW);
    return err;
}

/* Crockford's base 32: nothing that is read for something else, and all of it short in a QR code. */
static void draw_token(uint8_t out[TOKEN_DRAWN])
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

    ljs__random(out, TOKEN_DRAWN);
    for (size_t i = 0; i < TOKEN_DRAWN; i++)
        out[i] = (uint8_t)digits[out[i] & 31];
}

/* ---- the request ------------------------------------------------------------------- */

static bool needs_account(ljs_claim_act act)
{
    return act == LJS_CLAIM_CLAIM || act == LJS_CLAIM_ASSIGN || act == LJS_CLAIM_RELEASE || act == LJS_CLAIM_OFFER ||
           act == LJS_CLAIM_WITHDRAW || act == LJS_CLAIM_ACCEPT;
}

static ljs_err check_req(const ljs_claim_req *req, const uint8_t *in, size_t in_len)
{
    const ljs_routing *r = &req->routing;

    if (req->struct_size != sizeof *req || req->act < LJS_CLAIM_ENROL || req->act > LJS_CLAIM_RETIRE || req->now < 0 ||
        req->now > NOW_MOST || !ljs__text_ok(req->client, sizeof req->client) ||
        (needs_account(req->act) && !ljs__account_name_ok(req->account, sizeof req->account)))
        return LJS_E_INVAL;
    if (in_len && ((req->act != LJS_CLAIM_CLAIM && req->act != LJS_CLAIM_ENROL) || !token_ok(in, in_len)))
        return LJS_E_INVAL;
    if (req->has_chip && req->act != LJS_CLAIM_CLAIM && req->act != LJS_CLAIM_ACCEPT)
        return LJS_E_INVAL;
    if (req->act == LJS_CLAIM_ENROL && in_len && in_len < LJS_CLAIM_TOKEN_LEAST)
        return LJS_E_WEAK;
    if (req->act == LJS_CLAIM_OFFER &&
        (!ljs__account_name_ok(req->to, sizeof req->to) || strcmp(req->to, req->account) == 0 ||
         req->until <= req->now || req->until > req->now + LJS_CLAIM_OFFER_MOST))
        return LJS_E_INVAL;
    if ((req->act == LJS_CLAIM_CLAIM || req->act == LJS_CLAIM_ACCEPT) &&
        !(r->set & LJS_ROUTE_HOME_NET_ID && r->has_home_net_id))
        return LJS_E_INVAL;
    return LJS_OK;
}

/* Who acts must be there and free to. */
static ljs_err check_accounts(ljs_account *out, ljs_server *server, const ljs_claim_req *req)
{
    ljs_account to;
    ljs_err err = LJS_OK;

    *out = (ljs_account){ .struct_size = sizeof *out };
    if (needs_account(req->act))
        err = ljs_server_get_account(out, server, req->account);
    if (!err && req->act == LJS_CLAIM_OFFER)
        err = ljs_server_get_account(&to, server, req->to);
    return !err && out->suspended ? LJS_E_BLOCKED : err;
}

/* ---- where it belongs --------------------------------------------------------------- */

/* KEK labels are the account's own. */
static ljs_err scope(char out[LJS_LABEL_MAX], const char *account, const char *label)
{
    ljs_buf text = { NULL, 0 };
    ljs_err err;

    memset(out, 0, LJS_LABEL_MAX);
    if (!*label)
        return LJS_OK;
    if (!(err = ljs_account_kek(&text, account, label)))
        memcpy(out, text.data, text.len);
    ljs_buf_free(&text);
    return err;
}

/* All of it where the owner is another, else what is named. */
static ljs_err routing_of(ljs_routing *out, const ljs_claim_req *req, unsigned effects)
{
    const unsigned all = LJS_ROUTE_HOME_NET_ID | LJS_ROUTE_HOME_NS_ID | LJS_ROUTE_NS_KEK_LABEL |
                         LJS_ROUTE_AS_KEK_LABEL | LJS_ROUTE_AS_ID;
    const ljs_routing *r = &req->routing;
    ljs_err err = LJS_OK;

    *out = (ljs_routing){ .struct_size = sizeof *out };
    if (effects & FX_ROUTE) {
        if (r->set & ~all || !ljs__text_ok(r->as_id, sizeof r->as_id) ||
            !ljs__text_ok(r->ns_kek_label, sizeof r->ns_kek_label) ||
            !ljs__text_ok(r->as_kek_label, sizeof r->as_kek_label))
            return LJS_E_INVAL;
        out->set = r->set;
        if (r->set & LJS_ROUTE_HOME_NET_ID) {
            out->has_home_net_id = r->has_home_net_id;
            out->home_net_id = r->home_net_id;
        }
        if (r->set & LJS_ROUTE_HOME_NS_ID) {
            out->has_home_ns_id = r->has_home_ns_id;
            out->home_ns_id = r->home_ns_id;
        }
        if (r->set & LJS_ROUTE_AS_ID)
            memcpy(out->as_id, r->as_id, sizeof out->as_id);
        if (r->set & LJS_ROUTE_NS_KEK_LABEL)
            err = scope(out->ns_kek_label, req->account, r->ns_kek_label);
        if (!err && r->set & LJS_ROUTE_AS_KEK_LABEL)
            err = scope(out->as_kek_label, req->account, r->as_kek_label);
    }
    if (effects & (FX_OWNER | FX_NO_OWNER))
        out->set = all;
    return err;
}

/* ---- one step -------------------------------------------------------------------------- */

struct acting {
    ljs_server *server;
    const ljs_claim_req *req;
    const uint8_t *token; /* hash of the one that was shown or drawn; NULL for none */
    bool right;           /* it was compared, and is that of `seen` */
    bool agreed;          /* the chip has, or need not, as of `seen` */
    struct claim seen;    /* as it was when the token was compared, or the chip asked */
    const ljs_key *kek;   /* NULL: none */
    char kek_label[LJS_LABEL_MAX];
    size_t len; /* of the values below that are looked at */
};

enum { AT_RECORD, AT_CLAIM, AT_ACCOUNT, AT_KEK };
_Static_assert(AT_ACCOUNT + 1 == CLAIM_VALUES, "as claim.h says");

/* An act, as how its asker stands to the claim makes it; a refusal where he has nothing to do with it. */
static ljs_err event_of(enum claim_event *out, const struct acting *a, const ljs_claim *c)
{
    static const enum claim_event events[] = {
        [LJS_CLAIM_ENROL] = CLAIM_ENROL,       [LJS_CLAIM_ASSIGN] = CLAIM_ASSIGN, [LJS_CLAIM_OFFER] = CLAIM_OFFER,
        [LJS_CLAIM_WITHDRAW] = CLAIM_WITHDRAW, [LJS_CLAIM_ACCEPT] = CLAIM_ACCEPT, [LJS_CLAIM_SUSPEND] = CLAIM_SUSPEND,
        [LJS_CLAIM_RESUME] = CLAIM_RESUME,     [LJS_CLAIM_RETIRE] = CLAIM_RETIRE,
    };
    const ljs_claim_req *req = a->req;
    bool own = *c->account && strcmp(c->account, req->account) == 0;

    *out = CLAIM_RETIRE;
    switch (req->act) {
    case LJS_CLAIM_CLAIM:
        *out = own ? CLAIM_UPDATE : *c->account ? CLAIM_TAKE : CLAIM_BY_TOKEN;
        if (own || (a->right && !(*c->account && c->locked)))
            return LJS_OK;
        return req->tell && *c->account && c->locked ? LJS_E_EXISTS : LJS_E_CLAIM;
    case LJS_CLAIM_RELEASE:
        *out = c->has_token ? CLAIM_RELEASE : CLAIM_RELEASE_SPENT;
        break;
    case LJS_CLAIM_ACCEPT:
        *out = CLAIM_ACCEPT;
        return strcmp(c->offered_to, req->account) != 0 ? LJS_E_CLAIM
               : req->now >= c->offer_until             ? LJS_E_STATE
                                                        : LJS_OK;
    default:
        *out = events[req->act];
    }
    if (req->act != LJS_CLAIM_RELEASE && req->act != LJS_CLAIM_OFFER && req->act != LJS_CLAIM_WITHDRAW)
        return LJS_OK; /* a role allows it, not an account */
    return own ? LJS_OK : req->tell && *c->account ? LJS_E_EXISTS : LJS_E_CLAIM;
}

static void change_claim(struct claim *claim, const struct acting *a, const struct claim_rule *rule)
{
    const ljs_claim_req *req = a->req;
    ljs_claim *c = &claim->c;
    unsigned fx = rule->effects;

    if (c->state != rule->next || fx & FX_OWNER)
        c->at = req->now;
    c->state = rule->next;
    if (fx & FX_NO_TOKEN || (fx & FX_SPEND && !req->keep_token)) {
        c->has_token = 0;
        c->valid_from = c->valid_until = 0;
        memset(claim->token, 0, sizeof claim->token);
    }
    if (fx & FX_TOKEN) {
        c->has_token = 1;
        c->valid_from = req->start;
        c->valid_until = req->until;
        memcpy(claim->token, a->token, sizeof claim->token);
    }
    if (fx & (FX_SPEND | FX_OWNER))
        c->locked = !(fx & FX_SPEND && req->unlocked);
    if (fx & FX_OWNER) {
        memset(c->account, 0, sizeof c->account);
        memcpy(c->account, req->account, strlen(req->account));
        c->owners += c->owners < UINT32_MAX;
        claim->owned_at = c->owners > 1 ? req->now : 0;
    }
    if (fx & FX_NO_OWNER) {
        memset(c->account, 0, sizeof c->account);
        c->locked = 0;
        claim->owned_at = 0;
    }
    if (fx & (FX_OFFER | FX_NO_OFFER)) {
        memset(c->offered_to, 0, sizeof c->offered_to);
        if (fx & FX_OFFER)
            memcpy(c->offered_to, req->to, strlen(req->to));
        c->offer_until = fx & FX_OFFER ? req->until : 0;
    }
}

/* One step of the record after the other; what changes nothing is left out. */
static ljs_err step_record(ljs_buf *now, ljs_vault *vault, ljs_device_act act)
{
    ljs_buf before = *now;
    ljs_err err = ljs_device_step(now, vault, act, before.data, before.len);

    if (err)
        *now = before;
    else
        ljs_buf_free(&before);
    return err;
}

static ljs_err change_record(ljs_buf *out, struct claim *claim, const struct acting *a, const ljs_device *device,
                             unsigned fx, const ljs_buf *old)
{
    ljs_vault *vault = a->server->vault;
    ljs_routing routing;
    ljs_err err = routing_of(&routing, a->req, fx);

    if (err || (!routing.set && !(fx & (FX_BLOCK | FX_UNBLOCK))))
        return err;
    /* What runs goes on, and its keys are nobody's but theirs who had the device. */
    err = (fx & FX_OWNER && claim->c.owners ? ljs__device_hand_over : ljs_device_route)(out, vault, &routing, old->data,
                                                                                        old->len);
    if (!err && fx & FX_BLOCK) {
        claim->was_blocked = device->state == LJS_STATE_BLOCKED;
        err = claim->was_blocked ? LJS_OK : step_record(out, vault, LJS_DEVICE_BLOCK);
    }
    if (!err && fx & FX_UNBLOCK) {
        if (!claim->was_blocked && device->state == LJS_STATE_BLOCKED)
            err = step_record(out, vault, LJS_DEVICE_UNBLOCK);
        claim->was_blocked = false;
    }
    return err;
}

/* The device, as it is to be claimed: there, its own and not a tombstone. */
static ljs_err read_device(ljs_device *out, const struct acting *a, const ljs_buf *record)
{
    ljs_err err = record->data ? ljs_device_check(a->server->vault, record->data, record->len) : LJS_E_NOTFOUND;

    if (!err)
        err = ljs_device_read(out, record->data, record->len);
    if (!err && out->dev_eui != a->req->dev_eui) /* filed under another's key */
        err = LJS_E_SEAL;
    if (!err && out->state == LJS_STATE_REMOVED)
        err = LJS_E_NOTFOUND;
    return err == LJS_E_NOTFOUND && !a->req->tell ? LJS_E_CLAIM : err;
}

/* Written with each device that it gets, so that it does not end, and is not suspended, meanwhile. */
static ljs_err own(ljs_buf *out, const struct acting *a, bool by_token, const ljs_buf *old)
{
    ljs_account account;
    ljs_err err = ljs__account_read(&account, a->server->vault, a->req->account, old);

    if (!err && account.suspended)
        err = LJS_E_BLOCKED;
    if (err)
        return err;
    account.proven |= by_token;
    return ljs__account_write(out, a->server->vault, &account);
}

/* Likewise with each offer to it: it ends without. */
static ljs_err be_offered(ljs_buf *out, const struct acting *a, const ljs_buf *old)
{
    ljs_account account;
    ljs_err err = ljs__account_read(&account, a->server->vault, a->req->to, old);

    return err ? err : ljs__account_write(out, a->server->vault, &account);
}

static ljs_err make(void *user, struct valued *at)
{
    struct acting *a = user;
    struct claim claim;
    struct claim_rule rule;
    enum claim_event event;
    ljs_device device;
    ljs_err err = read_device(&device, a, &at[AT_RECORD].old);

    if (!err)
        err = ljs__claim_read(&claim, a->server->vault, a->req->dev_eui, &at[AT_CLAIM].old);
    if (!err && a->right &&
        (!ljs__equal(claim.token, a->seen.token, sizeof claim.token) || claim.c.owners != a->seen.c.owners))
        err = LJS_E_CLAIM; /* somebody was first */
    if (!err && a->req->act == LJS_CLAIM_ACCEPT && !(a->agreed && claim.c.owners == a->seen.c.owners))
        err = LJS_E_CLAIM;
    if (!err)
        err = event_of(&event, a, &claim.c);
    if (err)
        return err;
    rule = ljs__claim_rule(claim.c.state, event);
    if (rule.refused)
        return rule.refused;
    if (rule.effects & FX_TOKEN && !a->token)
        return LJS_E_INVAL;
    if ((err = change_record(&at[AT_RECORD].new, &claim, a, &device, rule.effects, &at[AT_RECORD].old)))
        return err;
    change_claim(&claim, a, &rule);
    err = ljs__claim_write(&at[AT_CLAIM].new, a->server->vault, &claim);
    if (!err && rule.effects & FX_OWNER)
        err = own(&at[AT_ACCOUNT].new, a, event == CLAIM_BY_TOKEN || event == CLAIM_TAKE, &at[AT_ACCOUNT].old);
    if (!err && rule.effects & FX_OFFER)
        err = be_offered(&at[AT_ACCOUNT].new, a, &at[AT_ACCOUNT].old);
    if (!err && a->kek)
        err = ljs__kek_make(&at[AT_KEK].new, a->server, a->kek_label, a->kek, &at[AT_KEK].old);
    for (size_t i = 0; a->req->dry && i < a->len; i++)
        ljs_buf_free(&at[i].new); /* nothing is written */
    return err;
}

ljs_err ljs__claim_step(struct valued at[CLAIM_VALUES], ljs_server *server, const ljs_claim_req *req)
{
    struct acting a = { .server = server, .req = req, .len = CLAIM_VALUES };
    ljs_err err = check_req(req, NULL, 0);

    if (!err)
        err = make(&a, at);
    for (size_t i = 0; err && i < CLAIM_VALUES; i++)
        ljs_buf_free(&at[i].new);
    return err;
}

/* ---- a token that is shown --------------------------------------------------------------- */

static bool is_good(const struct claim *claim, const uint8_t hash[OWNER_HASH_LEN], int64_t now)
{
    const ljs_claim *c = &claim->c;
    bool same = ljs__equal(hash, claim->token, OWNER_HASH_LEN);

    return same & c->has_token && now >= c->valid_from && (!c->valid_until || now < c->valid_until);
}

/* Where there is no claim, as much is looked at. */
static ljs_err load_or_look_at_nothing(struct claim *out, ljs_server *server, ljs_eui dev_eui)
{
    static const uint8_t nothing[96];
    ljs_err err = ljs__claim_load(out, server, dev_eui);

    if (!err && !out->c.at && !out->c.has_token)
        (void)!ljs__vault_check(server->vault, TAG_CLAIM, nothing, sizeof nothing);
    return err;
}

static ljs_err show_token(struct acting *a, const ljs_account *account, const uint8_t *in, size_t in_len)
{
    const ljs_claim_req *req = a->req;
    uint8_t hash[OWNER_HASH_LEN];
    bool chip;
    ljs_err err = load_or_look_at_nothing(&a->seen, a->server, req->dev_eui);

    if (err)
        return err;
    if (*a->seen.c.account && strcmp(a->seen.c.account, req->account) == 0)
        return LJS_OK; /* his own already */
    if ((err = ljs__claim_try(a->server, req->now, req->client, account->proven, req->dev_eui)) ||
        (err = hash_token(hash, a->server, req->dev_eui, in, in_len)))
        return err;
    err = ljs__chip_agrees(&chip, a->server, req, a->seen.c.owners);
    a->right = (is_good(&a->seen, hash, req->now) & chip) && in_len && !err;
    ljs__wipe(hash, sizeof hash);
    return err;
}

/* Of an offer: only whom it is made to has the chip asked, which takes work. */
static ljs_err ask_chip(struct acting *a)
{
    const ljs_claim_req *req = a->req;
    ljs_err err = ljs__claim_load(&a->seen, a->server, req->dev_eui);

    if (err || strcmp(a->seen.c.offered_to, req->account) != 0)
        return err;
    return ljs__chip_agrees(&a->agreed, a->server, req, a->seen.c.owners);
}

/* Which of them it was, for who may be told: only after the work that all of them cost. */
static ljs_err refusal(const struct acting *a)
{
    ljs_claim c;

    if (!a->req->tell)
        return LJS_E_CLAIM;
    if (ljs_server_get_claim(&c, a->server, a->req->dev_eui) == LJS_E_NOTFOUND)
        return LJS_E_NOTFOUND;
    return *a->seen.c.account && a->seen.c.locked ? LJS_E_EXISTS : LJS_E_CLAIM;
}

static ljs_err claim_by_token(struct acting *a, struct valued *at, const ljs_account *account, const uint8_t *in,
                              size_t in_len, const struct entry *act, struct once *once)
{
    const ljs_claim_req *req = a->req;
    bool own;
    ljs_err err = show_token(a, account, in, in_len);

    own = !err && *a->seen.c.account && strcmp(a->seen.c.account, req->account) == 0;
    if (!err && !own && !(a->right && !(*a->seen.c.account && a->seen.c.locked)))
        err = refusal(a);
    if (!err)
        err = ljs__change_group(a->server, at, a->len, make, a, act, once);
    if (!err && !own)
        ljs__claim_good(a->server, req->client, account->proven, req->dev_eui);
    if (err == LJS_E_CLAIM || err == LJS_E_LIMIT || err == LJS_E_EXISTS || err == LJS_E_NOTFOUND)
        ljs__audit_tell(a->server, req->now,
                        &(struct entry){ .kind = LJS_AUDIT_REFUSED, .err = err, .who = req->client });
    return err;
}

/* ---- all of it -------------------------------------------------------------------------- */

static ljs_audit_kind kind_of(ljs_claim_act act)
{
    static const ljs_audit_kind kinds[] = {
        [LJS_CLAIM_ENROL] = LJS_AUDIT_ENROL,   [LJS_CLAIM_CLAIM] = LJS_AUDIT_CLAIM,
        [LJS_CLAIM_ASSIGN] = LJS_AUDIT_ASSIGN, [LJS_CLAIM_RELEASE] = LJS_AUDIT_RELEASE,
        [LJS_CLAIM_OFFER] = LJS_AUDIT_OFFER,   [LJS_CLAIM_WITHDRAW] = LJS_AUDIT_WITHDRAW,
        [LJS_CLAIM_ACCEPT] = LJS_AUDIT_ACCEPT, [LJS_CLAIM_SUSPEND] = LJS_AUDIT_SUSPEND,
        [LJS_CLAIM_RESUME] = LJS_AUDIT_RESUME, [LJS_CLAIM_RETIRE] = LJS_AUDIT_RETIRE,
    };

    return kinds[act];
}

/* The values that are looked at, as one, and what the log says of those that it tells of by themselves. */
static ljs_err locate(struct acting *a, struct valued *at, const struct claim_kek *kek, const struct entry *kek_act)
{
    const ljs_claim_req *req = a->req;

    memset(at, 0, VALUED_MAX * sizeof *at);
    at[AT_RECORD].key = ljs__key_eui(SPACE_DEVICE, req->dev_eui);
    at[AT_CLAIM].key = ljs__key_eui(SPACE_CLAIM, req->dev_eui);
    at[AT_ACCOUNT].key = ljs__key_label(SPACE_ACCOUNT, req->act == LJS_CLAIM_OFFER ? req->to : req->account);
    a->len = needs_account(req->act) ? AT_ACCOUNT + 1 : AT_CLAIM + 1;
    if (!kek || !kek->key)
        return LJS_OK;
    if (!*kek->label || !needs_account(req->act))
        return LJS_E_INVAL;
    a->kek = kek->key;
    a->len = AT_KEK + 1;
    at[AT_KEK].act = kek_act;
    if (scope(a->kek_label, req->account, kek->label))
        return LJS_E_INVAL;
    at[AT_KEK].key = ljs__key_label(SPACE_KEK, a->kek_label);
    return LJS_OK;
}

ljs_err ljs__claim(ljs_buf *out, ljs_server *server, const ljs_claim_req *req, const uint8_t *in, size_t in_len,
                   const struct claim_kek *kek, struct once *once)
{
    struct acting a = { .server = server, .req = req };
    uint8_t drawn[TOKEN_DRAWN], hash[OWNER_HASH_LEN];
    char text[LJS_LABEL_MAX];
    const struct entry kek_act = { .kind = LJS_AUDIT_KEK_PUT, .text = a.kek_label };
    struct entry entry = { .kind = LJS_AUDIT_NOTE, .dev_eui = req->dev_eui, .text = text };
    struct valued at[VALUED_MAX];
    ljs_account account;
    ljs_err err = ljs__server_alive(server);

    *out = (ljs_buf){ NULL, 0 };
    if (err || (err = check_req(req, in, in_len)) || (err = check_accounts(&account, server, req)) ||
        (err = locate(&a, at, kek, &kek_act)))
        return err;
    if (once && (err = ljs__once_load(server, once))) /* before a token is looked at, which was spent then */
        return err;
    entry.kind = kind_of(req->act);
    snprintf(text, sizeof text, "%s%s%s", needs_account(req->act) ? req->account : "",
             req->act == LJS_CLAIM_OFFER ? " " : "", req->act == LJS_CLAIM_OFFER ? req->to : "");
    if (req->act == LJS_CLAIM_CLAIM)
        return claim_by_token(&a, at, &account, in, in_len, &entry, once);
    if (req->act == LJS_CLAIM_ENROL) {
        if (!in_len) {
            draw_token(drawn);
            in = drawn;
            in_len = sizeof drawn;
        }
        if ((err = hash_token(hash, server, req->dev_eui, in, in_len)) ||
            (!req->dry && (err = ljs_buf_copy(out, in, in_len)))) /* while nothing is done: one untold is lost */
            goto end;
        a.token = hash;
    }
    if (req->act == LJS_CLAIM_ACCEPT && (err = ask_chip(&a)))
        goto end;
    err = ljs__change_group(server, at, a.len, make, &a, &entry, once);
end:
    if (err)
        ljs_buf_free(out);
    ljs__wipe(drawn, sizeof drawn);
    ljs__wipe(hash, sizeof hash);
    return err;
}

ljs_err ljs_server_claim(ljs_buf *out, ljs_server *server, const ljs_claim_req *req, const uint8_t *in, size_t in_len)
{
    return ljs__claim(out, server, req, in, in_len, NULL, NULL);
}
