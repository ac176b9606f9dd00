/* Accounts and claims: a role says what may be done, an account whose devices it is done with. */
#include "server/admin.h"

#include "base/secret.h"
#include "codec/claims.h"
#include "server/claim.h"

#include <stdio.h>

enum { LOOKED_MOST = 20000 /* claims, for a page: more come with the next */ };

/* ---- problems --------------------------------------------------------------------- */

static enum problem claim_problem(ljs_err err)
{
    static const struct {
        ljs_err err;
        enum problem problem;
    } rows[] = {
        { LJS_E_CLAIM, P_CLAIM },         { LJS_E_LIMIT, P_LIMIT },       { LJS_E_STATE, P_CLAIM_STATE },
        { LJS_E_NOTFOUND, P_NO_ACCOUNT }, { LJS_E_BLOCKED, P_SUSPENDED }, { LJS_E_WEAK, P_WEAK_TOKEN },
    };

    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].err == err)
            return rows[i].problem;
    return ljs__admin_problem_of(err);
}

/* ---- acts --------------------------------------------------------------------------- */

ljs_claim_req ljs__admin_claim_req(const struct asking *a, ljs_claim_act act, ljs_eui dev_eui)
{
    ljs_claim_req req = { .struct_size = sizeof req, .now = a->req->now, .act = act, .dev_eui = dev_eui };

    memcpy(req.client, a->who.name, sizeof req.client);
    memcpy(req.account, a->who.account, sizeof req.account);
    return req;
}

/* A KEK that comes with a claim is the one that AppSKey goes under, unless another is named. */
void ljs__admin_claim_routing(ljs_routing *out, const struct claim_body *body)
{
    *out = body->routing;
    if (body->kek && !(out->set & LJS_ROUTE_AS_KEK_LABEL)) {
        out->set |= LJS_ROUTE_AS_KEK_LABEL;
        memcpy(out->as_kek_label, body->kek_label, sizeof out->as_kek_label);
    }
}

static enum problem read_body(struct claim_body *body, struct asking *a, enum claim_body_kind kind)
{
    ljs_err err = ljs__claim_body(body, kind, a->in, a->in_len);

    return err == LJS_E_INVAL ? ljs__admin_fault(a, body->fault) : ljs__admin_problem_of(err);
}

static const char *result_text(ljs_claim_act act)
{
    static const char *const texts[] = {
        [LJS_CLAIM_ENROL] = "enrolled",   [LJS_CLAIM_CLAIM] = "claimed",     [LJS_CLAIM_ASSIGN] = "assigned",
        [LJS_CLAIM_RELEASE] = "released", [LJS_CLAIM_OFFER] = "offered",     [LJS_CLAIM_WITHDRAW] = "withdrawn",
        [LJS_CLAIM_ACCEPT] = "accepted",  [LJS_CLAIM_SUSPEND] = "suspended", [LJS_CLAIM_RESUME] = "resumed",
        [LJS_CLAIM_RETIRE] = "retired",
    };

    return texts[act];
}

static void take_chip(ljs_claim_req *req, const struct claim_chip *chip)
{
    _Static_assert(sizeof req->challenge == sizeof chip->challenge && sizeof req->signature == sizeof chip->signature,
                   "what is read is what is checked");
    req->has_chip = chip->has_signature;
    memcpy(req->challenge, chip->challenge, sizeof req->challenge);
    memcpy(req->signature, chip->signature, sizeof req->signature);
}

/* One act under an idempotency key, or without one. */
static enum problem act(struct asking *a, const ljs_claim_req *req, const char *token, const struct claim_kek *kek)
{
    struct once kept, *once;
    ljs_buf none = { NULL, 0 };
    ljs_err err = ljs__admin_once_begin(&once, &kept, a, 200);

    if (!err)
        err = ljs__claim(&none, a->server, req, (const uint8_t *)token, strlen(token), kek, once);
    if (err && !kept.again && !kept.other) {
        ljs_buf_free(&kept.value);
        return err == LJS_E_CLAIM && !*req->account ? P_NO_DEVICE : claim_problem(err); /* a role may know */
    }
    return ljs__admin_once_end(a, &kept, err, 200, result_text(req->act));
}

/* Whose it becomes says where it belongs, and may bring a KEK. */
static enum problem take_over(struct asking *a, ljs_claim_act what, enum claim_body_kind kind)
{
    ljs_claim_req req = ljs__admin_claim_req(a, what, a->dev_eui);
    struct claim_body body;
    enum problem problem = read_body(&body, a, kind);

    if (!problem) {
        ljs__admin_claim_routing(&req.routing, &body);
        take_chip(&req, &body.chip);
        problem = act(a, &req, body.token, &(struct claim_kek){ body.kek_label, body.kek }); /* "" for no token */
    }
    ljs__claim_body_clear(&body);
    return problem;
}

enum problem ljs__admin_claim_put(struct asking *a)
{
    return take_over(a, LJS_CLAIM_CLAIM, CLAIM_BODY_CLAIM);
}

enum problem ljs__admin_claim_accept(struct asking *a)
{
    return take_over(a, LJS_CLAIM_ACCEPT, CLAIM_BODY_ACCEPT);
}

enum problem ljs__admin_claim_offer(struct asking *a)
{
    ljs_claim_req req = ljs__admin_claim_req(a, LJS_CLAIM_OFFER, a->dev_eui);
    struct claim_body body;
    enum problem problem = read_body(&body, a, CLAIM_BODY_OFFER);

    if (!problem) {
        memcpy(req.to, body.name, sizeof req.to);
        req.until = body.until;
        problem = act(a, &req, "", NULL);
    }
    if (problem == P_BODY && !a->detail)
        problem = ljs__admin_fault(a, "to must be another account, and until a time to come within seven days");
    ljs__claim_body_clear(&body);
    return problem;
}

static enum problem simple(struct asking *a, ljs_claim_act what)
{
    ljs_claim_req req = ljs__admin_claim_req(a, what, a->dev_eui);

    return act(a, &req, "", NULL);
}

enum problem ljs__admin_claim_release(struct asking *a)
{
    return simple(a, LJS_CLAIM_RELEASE);
}

enum problem ljs__admin_claim_withdraw(struct asking *a)
{
    return simple(a, LJS_CLAIM_WITHDRAW);
}

enum problem ljs__admin_claim_suspend(struct asking *a)
{
    return simple(a, LJS_CLAIM_SUSPEND);
}

enum problem ljs__admin_claim_resume(struct asking *a)
{
    return simple(a, LJS_CLAIM_RESUME);
}

enum problem ljs__admin_claim_retire(struct asking *a)
{
    return simple(a, LJS_CLAIM_RETIRE);
}

/* Each time another token, so that asking twice does no harm: the last answer counts. */
enum problem ljs__admin_claim_enrol(struct asking *a)
{
    ljs_claim_req req = ljs__admin_claim_req(a, LJS_CLAIM_ENROL, a->dev_eui);
    struct claim_body body;
    char text[CLAIM_TOKEN_ROOM] = "";
    ljs_buf token = { NULL, 0 };
    enum problem problem = read_body(&body, a, CLAIM_BODY_ENROL);
    ljs_err err = LJS_OK;

    if (!problem) {
        req.start = body.start;
        req.until = body.until;
        err = ljs_server_claim(&token, a->server, &req, (const uint8_t *)body.token, strlen(body.token));
        problem = err == LJS_E_CLAIM ? P_NO_DEVICE : claim_problem(err);
    }
    if (!problem) {
        memcpy(text, token.data, token.len);
        ljs__json_open(&a->body, '{');
        ljs__json_name(&a->body, "dev_eui");
        ljs__json_hex_number(&a->body, a->dev_eui, 16);
        ljs__json_name(&a->body, "owner_token");
        ljs__json_text(&a->body, text);
        ljs__json_close(&a->body, '}');
    }
    ljs__wipe(text, sizeof text);
    ljs_buf_free(&token);
    ljs__claim_body_clear(&body);
    return problem;
}

/* ---- many at once ------------------------------------------------------------------------ */

static void show_result(struct wr *w, ljs_eui dev_eui, const char *result, enum problem problem)
{
    ljs__json_open(w, '{');
    ljs__json_name(w, "dev_eui");
    ljs__json_hex_number(w, dev_eui, 16);
    if (problem) {
        ljs__json_name(w, "code");
        ljs__json_text(w, ljs__admin_problem_code(problem));
        ljs__json_name(w, "detail");
        ljs__json_text(w, ljs__admin_problem_detail(problem));
    } else {
        ljs__json_name(w, "result");
        ljs__json_text(w, result);
    }
    ljs__json_close(w, '}');
}

/* Each by itself, and each is told of; who asks again finds done what was done. */
static enum problem many(struct asking *a, ljs_claim_act what, const struct claim_body *body, const char *account)
{
    const struct claim_kek kek = { body->kek_label, body->kek };
    struct wr *w = &a->body;
    size_t good = 0;

    ljs__json_open(w, '{');
    ljs__json_name(w, "results");
    ljs__json_open(w, '[');
    for (size_t i = 0; i < body->items_len; i++) {
        const struct claim_item *item = &body->items[i];
        ljs_claim_req req = ljs__admin_claim_req(a, what, item->dev_eui);
        ljs_claim claim;
        ljs_buf none;
        ljs_err err;
        enum problem problem;

        memset(req.account, 0, sizeof req.account);
        memcpy(req.account, account, strlen(account));
        ljs__admin_claim_routing(&req.routing, body);
        take_chip(&req, &item->chip);
        err = ljs__claim(&none, a->server, &req, (const uint8_t *)item->token, strlen(item->token), &kek, NULL);
        if (err == LJS_E_STATE && what == LJS_CLAIM_ASSIGN && !ljs_server_get_claim(&claim, a->server, item->dev_eui) &&
            strcmp(claim.account, account) == 0)
            err = LJS_OK;
        problem = err == LJS_E_CLAIM && what == LJS_CLAIM_ASSIGN ? P_NO_DEVICE : claim_problem(err);
        if (problem == P_UNAVAILABLE || problem == P_FAULT || problem == P_NO_ACCOUNT || problem == P_SUSPENDED) {
            ljs__wr_drop(w);
            return problem; /* of the whole: ask again */
        }
        show_result(w, item->dev_eui, result_text(what), problem);
        good += !problem;
    }
    ljs__json_close(w, ']');
    ljs__json_name(w, "done");
    ljs__json_number(w, (int64_t)good);
    ljs__json_close(w, '}');
    return FINE;
}

enum problem ljs__admin_claim_many(struct asking *a)
{
    struct claim_body body;
    enum problem problem = read_body(&body, a, CLAIM_BODY_CLAIMS);

    if (!problem)
        problem = many(a, LJS_CLAIM_CLAIM, &body, a->who.account);
    ljs__claim_body_clear(&body);
    return problem;
}

enum problem ljs__admin_assign(struct asking *a)
{
    struct claim_body body;
    enum problem problem = read_body(&body, a, CLAIM_BODY_ASSIGN);

    if (!problem)
        problem = ljs__account_name_ok(a->arg, sizeof a->arg) ? many(a, LJS_CLAIM_ASSIGN, &body, a->arg) : P_NO_ACCOUNT;
    ljs__claim_body_clear(&body);
    return problem;
}

/* ---- showing -------------------------------------------------------------------------- */

static void show_time(struct wr *w, const char *name, int64_t at)
{
    if (!at)
        return;
    ljs__json_name(w, name);
    ljs__json_number(w, at);
}

static void show_claim(struct wr *w, const ljs_claim *c)
{
    ljs__json_open(w, '{');
    ljs__json_name(w, "dev_eui");
    ljs__json_hex_number(w, c->dev_eui, 16);
    ljs__json_name(w, "state");
    ljs__json_text(w, ljs_claim_state_text(c->state));
    if (*c->account) {
        ljs__json_name(w, "account");
        ljs__json_text(w, c->account);
        ljs__json_name(w, "locked");
        ljs__json_bool(w, c->locked);
    }
    ljs__json_name(w, "owners");
    ljs__json_number(w, c->owners);
    ljs__json_name(w, "has_token");
    ljs__json_bool(w, c->has_token);
    show_time(w, "since", c->at);
    show_time(w, "valid_from", c->valid_from);
    show_time(w, "valid_until", c->valid_until);
    if (*c->offered_to) {
        ljs__json_name(w, "offered_to");
        ljs__json_text(w, c->offered_to);
        show_time(w, "offer_until", c->offer_until);
    }
    ljs__json_close(w, '}');
}

/* An account sees what is its own or offered to it, and nothing else; who may but claim, and for nobody, nothing. */
static bool may_see(const struct asking *a, const ljs_claim *c)
{
    if (!*a->who.account)
        return a->who.roles & ~(unsigned)LJS_ROLE_CLAIM;
    return strcmp(a->who.account, c->account) == 0 ||
           (strcmp(a->who.account, c->offered_to) == 0 && a->req->now < c->offer_until);
}

enum problem ljs__admin_owns(struct asking *a)
{
    ljs_claim c;
    ljs_err err = ljs_server_get_claim(&c, a->server, a->dev_eui);

    return err ? ljs__admin_problem_of(err) : strcmp(a->who.account, c.account) == 0 ? FINE : P_NO_DEVICE;
}

enum problem ljs__admin_claim_read(struct asking *a)
{
    ljs_claim c;
    ljs_err err = ljs_server_get_claim(&c, a->server, a->dev_eui);

    if (err)
        return ljs__admin_problem_of(err);
    if (!may_see(a, &c))
        return P_NO_DEVICE;
    show_claim(&a->body, &c);
    return FINE;
}

struct page {
    struct asking *a;
    char account[LJS_ACCOUNT_MAX];
    unsigned left, looked;
    bool more;
    ljs_eui next;
};

static ljs_err list_row(void *user, const ljs_claim *c)
{
    struct page *p = user;

    if (!p->left || p->looked == LOOKED_MOST) {
        p->more = true;
        p->next = c->dev_eui;
        return LJS_E_BUSY; /* enough */
    }
    p->looked++;
    if (!may_see(p->a, c) || (*p->account && strcmp(p->account, c->account) != 0))
        return LJS_OK;
    show_claim(&p->a->body, c);
    p->left--;
    return p->a->body.bad ? LJS_E_NOMEM : LJS_OK;
}

enum problem ljs__admin_claims(struct asking *a)
{
    static const char *const names[] = { "account", "cursor", "limit", NULL };
    struct page p = { .a = a };
    char cursor[24];
    const char *whose;
    ljs_eui first = 0;
    ljs_err err;

    if (ljs__admin_query_only(a, names) || !ljs__admin_query(p.account, sizeof p.account, a, "account") ||
        !ljs__admin_query(cursor, sizeof cursor, a, "cursor") || !ljs__admin_limit(&p.left, a) ||
        (*cursor && ljs_eui_parse(&first, cursor)))
        return P_BAD_REQUEST;
    whose = *a->who.account ? a->who.account : p.account;
    if (*whose && !ljs__account_name_ok(whose, LJS_ACCOUNT_MAX))
        return P_BAD_REQUEST;
    ljs__json_open(&a->body, '{');
    ljs__json_name(&a->body, "claims");
    ljs__json_open(&a->body, '[');
    err = *whose ? ljs_server_each_claim_of(a->server, whose, first, UINT64_MAX, list_row, &p)
                 : ljs_server_each_claim_in(a->server, first, UINT64_MAX, list_row, &p);
    ljs__json_close(&a->body, ']');
    if (p.more)
        ljs__admin_next_page(a, p.next);
    ljs__json_close(&a->body, '}');
    return p.more ? FINE : ljs__admin_problem_of(err);
}

/* ---- accounts ---------------------------------------------------------------------------- */

static enum problem account_problem(ljs_err err)
{
    return err == LJS_E_NOTFOUND || err == LJS_E_INVAL ? P_NO_ACCOUNT
           : err == LJS_E_EXISTS                       ? P_ACCOUNT_EXISTS
           : err == LJS_E_STATE                        ? P_IN_USE
                                                       : ljs__admin_problem_of(err);
}

static void show_account(struct wr *w, const ljs_account *account)
{
    ljs__json_open(w, '{');
    ljs__json_name(w, "name");
    ljs__json_text(w, account->name);
    show_time(w, "since", account->at);
    ljs__json_name(w, "suspended");
    ljs__json_bool(w, account->suspended);
    ljs__json_close(w, '}');
}

static ljs_err account_row(void *user, const ljs_account *account)
{
    struct asking *a = user;

    show_account(&a->body, account);
    return a->body.bad ? LJS_E_NOMEM : LJS_OK;
}

enum problem ljs__admin_accounts(struct asking *a)
{
    ljs_err err;

    ljs__json_open(&a->body, '{');
    ljs__json_name(&a->body, "accounts");
    ljs__json_open(&a->body, '[');
    err = ljs_server_each_account(a->server, account_row, a);
    ljs__json_close(&a->body, ']');
    ljs__json_close(&a->body, '}');
    return ljs__admin_problem_of(err);
}

enum problem ljs__admin_account_read(struct asking *a)
{
    ljs_account account;
    ljs_err err = ljs_server_get_account(&account, a->server, a->arg);

    if (err)
        return account_problem(err);
    show_account(&a->body, &account);
    return FINE;
}

enum problem ljs__admin_account_create(struct asking *a)
{
    ljs_account account = { .struct_size = sizeof account, .at = a->req->now };
    struct claim_body body;
    enum problem problem = read_body(&body, a, CLAIM_BODY_ACCOUNT);
    ljs_err err;

    if (!problem) {
        memcpy(account.name, body.name, sizeof account.name);
        err = ljs_server_add_account(a->server, &account);
        problem = err == LJS_E_INVAL ? ljs__admin_fault(a, "name: must be 1 to 63 letters, digits, dots and hyphens")
                                     : account_problem(err);
    }
    if (!problem) {
        a->out->status = 201;
        snprintf(a->out->location, sizeof a->out->location, "/v1/accounts/%.40s", account.name);
        if (strlen(account.name) > 40)
            *a->out->location = '\0';
        show_account(&a->body, &account);
    }
    ljs__claim_body_clear(&body);
    return problem;
}

enum problem ljs__admin_account_remove(struct asking *a)
{
    return account_problem(ljs_server_del_account(a->server, a->arg));
}

static enum problem suspend_account(struct asking *a, int suspended)
{
    ljs_err err = ljs_server_suspend_account(a->server, a->arg, suspended);

    return err ? account_problem(err) : ljs__admin_account_read(a);
}

enum problem ljs__admin_account_suspend(struct asking *a)
{
    return suspend_account(a, 1);
}

enum problem ljs__admin_account_resume(struct asking *a)
{
    return suspend_account(a, 0);
}
