/* The administrative interface: who asks, for what, and may he? */
#include "server/admin.h"

#include <stdio.h>

static const struct route {
    const char *text; /* method and path */
    int act;          /* an ljs_act; 0: any credential will do */
    handler *run;
    bool with_body;
} routes[] = {
    { "GET /v1/health", 0, ljs__admin_health, false },
    { "GET /v1/devices", LJS_ACT_LIST, ljs__admin_list, false },
    { "POST /v1/devices", LJS_ACT_PROVISION, ljs__admin_create, true },
    { "GET /v1/devices/{DevEUI}", LJS_ACT_READ, ljs__admin_read, false },
    { "PATCH /v1/devices/{DevEUI}", LJS_ACT_ROUTE, ljs__admin_patch, true },
    { "DELETE /v1/devices/{DevEUI}", LJS_ACT_REMOVE, ljs__admin_remove, false },
    { "POST /v1/devices/{DevEUI}/block", LJS_ACT_BLOCK, ljs__admin_block, false },
    { "POST /v1/devices/{DevEUI}/unblock", LJS_ACT_UNBLOCK, ljs__admin_unblock, false },
    { "POST /v1/devices/{DevEUI}/reset-nonces", LJS_ACT_RESET_NONCES, ljs__admin_reset, false },
    { "POST /v1/devices/{DevEUI}/export", LJS_ACT_EXPORT, ljs__admin_parcel, true },
    { "GET /v1/devices/{DevEUI}/decisions", LJS_ACT_DECISIONS, ljs__admin_decisions, false },
    { "GET /v1/devices/{DevEUI}/chip", LJS_ACT_READ, ljs__admin_chip, false },
    { "GET /v1/decisions", LJS_ACT_LIST_DECISIONS, ljs__admin_all_decisions, false },
    { "GET /v1/audit", LJS_ACT_AUDIT, ljs__admin_audit, false },
    { "POST /v1/manifests", LJS_ACT_PROVISION, ljs__admin_manifest, true },
    { "GET /v1/keks", LJS_ACT_LIST_KEKS, ljs__admin_keks, false },
    { "GET /v1/keks/{label}", LJS_ACT_LIST_KEKS, ljs__admin_kek_read, false },
    { "PUT /v1/keks/{label}", LJS_ACT_PUT_KEK, ljs__admin_kek_put, true },
    { "DELETE /v1/keks/{label}", LJS_ACT_REMOVE_KEK, ljs__admin_kek_remove, false },
    { "GET /v1/lots", LJS_ACT_LIST_LOTS, ljs__admin_lots, false },

    { "GET /v1/accounts", LJS_ACT_LIST_ACCOUNTS, ljs__admin_accounts, false },
    { "POST /v1/accounts", LJS_ACT_ACCOUNTS, ljs__admin_account_create, true },
    { "GET /v1/accounts/{account}", LJS_ACT_LIST_ACCOUNTS, ljs__admin_account_read, false },
    { "DELETE /v1/accounts/{account}", LJS_ACT_ACCOUNTS, ljs__admin_account_remove, false },
    { "POST /v1/accounts/{account}/suspend", LJS_ACT_SUSPEND, ljs__admin_account_suspend, false },
    { "POST /v1/accounts/{account}/resume", LJS_ACT_SUSPEND, ljs__admin_account_resume, false },
    { "POST /v1/accounts/{account}/assign", LJS_ACT_ASSIGN, ljs__admin_assign, true },
    { "GET /v1/claims", LJS_ACT_LIST_CLAIMS, ljs__admin_claims, false },
    { "POST /v1/claims", LJS_ACT_CLAIM, ljs__admin_claim_many, true },
    { "GET /v1/claims/{DevEUI}", LJS_ACT_LIST_CLAIMS, ljs__admin_claim_read, false },
    { "PUT /v1/claims/{DevEUI}", LJS_ACT_CLAIM, ljs__admin_claim_put, true },
    { "DELETE /v1/claims/{DevEUI}", LJS_ACT_CLAIM, ljs__admin_claim_release, false },
    { "POST /v1/claims/{DevEUI}/challenge", LJS_ACT_CLAIM, ljs__admin_claim_challenge, false },
    { "POST /v1/claims/{DevEUI}/offer", LJS_ACT_CLAIM, ljs__admin_claim_offer, true },
    { "POST /v1/claims/{DevEUI}/withdraw", LJS_ACT_CLAIM, ljs__admin_claim_withdraw, false },
    { "POST /v1/claims/{DevEUI}/accept", LJS_ACT_CLAIM, ljs__admin_claim_accept, true },
    { "POST /v1/claims/{DevEUI}/owner-token", LJS_ACT_ENROL, ljs__admin_claim_enrol, true },
    { "POST /v1/claims/{DevEUI}/suspend", LJS_ACT_SUSPEND, ljs__admin_claim_suspend, false },
    { "POST /v1/claims/{DevEUI}/resume", LJS_ACT_SUSPEND, ljs__admin_claim_resume, false },
    { "POST /v1/claims/{DevEUI}/retire", LJS_ACT_ASSIGN, ljs__admin_claim_retire, false },

    { "PUT /api/v2/devices/{DevEUI}/claim", LJS_ACT_CLAIM, ljs__ttjs_claim, true },
    { "GET /api/v2/devices/{DevEUI}/claim", LJS_ACT_CLAIM, ljs__ttjs_read, false },
    { "DELETE /api/v2/devices/{DevEUI}/claim", LJS_ACT_CLAIM, ljs__ttjs_unclaim, false },
    { "DELETE /api/v2/devices/{DevEUIs}/claims", LJS_ACT_CLAIM, ljs__ttjs_unclaim_many, false },
};

static const char ttjs[] = "/api/v2/"; /* whose answers are as The Things Stack knows them */

static bool is_ttjs(const char *target)
{
    return strncmp(target, ttjs, sizeof ttjs - 1) == 0;
}

const char *ljs_admin_route(unsigned i)
{
    return i < COUNT(routes) ? routes[i].text : "";
}

int ljs_admin_route_act(unsigned i)
{
    return i < COUNT(routes) ? routes[i].act : 0;
}

/* ---- problems ------------------------------------------------------------------ */

static const struct {
    unsigned status;
    const char *code, *detail;
} problems[PROBLEMS] = {
    [P_BAD_REQUEST] = { 400, "bad-request", "the path, the query or a header is not as the description says" },
    [P_UNAUTHORIZED] = { 401, "unauthorized", "no credential, or one that is nobody's" },
    [P_FORBIDDEN] = { 403, "forbidden", "no role of this credential allows it" },
    [P_NO_PATH] = { 404, "no-such-path", "there is nothing here" },
    [P_NO_DEVICE] = { 404, "no-such-device", "there is no such device" },
    [P_NO_KEK] = { 404, "no-such-kek", "there is no KEK of this label" },
    [P_NO_CHIP] = { 404, "no-such-chip", "no manifest has registered a chip for this device" },
    [P_METHOD] = { 405, "method-not-allowed", "another method is wanted" },
    [P_EXISTS] = { 409, "device-exists", "there is such a device" },
    [P_KEK_EXISTS] = { 409, "kek-exists", "another key has this label" },
    [P_CLAIM] = { 403, "claim-refused", "no such device, another's, or a wrong owner token" },
    [P_FOR_NOBODY] = { 403, "no-account", "this credential acts for no account" },
    [P_SUSPENDED] = { 403, "account-suspended", "the account is suspended" },
    [P_NO_ACCOUNT] = { 404, "no-such-account", "there is no such account" },
    [P_ACCOUNT_EXISTS] = { 409, "account-exists", "there is such an account" },
    [P_IN_USE] = { 409, "account-in-use", "the account owns devices or has KEKs, or credentials act for it" },
    [P_CLAIM_STATE] = { 409, "wrong-claim-state", "how the device stands does not allow it" },
    [P_WEAK_TOKEN] = { 422, "weak-owner-token", "an owner token has 8 letters and digits at least" },
    [P_LIMIT] = { 429, "too-many-tries", "too many failed tries, come again later" },
    [P_STATE] = { 409, "wrong-state", "the state of the device does not allow it" },
    [P_SPENT] = { 409, "spent", "a counter of the device is used up" },
    [P_LOT] = { 409, "no-such-lot", "the key of this lot is not here" },
    [P_NO_SIGNER] = { 409, "no-signing-key", "this server has no key to sign parcels with" },
    [P_NO_ROOT_KEYS] = { 409, "no-root-keys", "the device has no root keys yet" },
    [P_CHANGED] = { 412, "changed", "it is not what If-Match says any more" },
    [P_TOO_LONG] = { 413, "too-long", "the body is too long" },
    [P_MEDIA_TYPE] = { 415, "media-type", "a body has Content-Type application/json" },
    [P_BODY] = { 422, "invalid-body", "the body is not as the description says" },
    [P_MANIFEST] = { 422, "manifest-refused", "an entry of the manifest is refused" },
    [P_WEAK] = { 422, "weak-key", "a key is so regular that it is no secret" },
    [P_KEY_REUSED] = { 422, "idempotency-key-reused", "something else was asked under this Idempotency-Key" },
    [P_PRECONDITION] = { 428, "precondition-required", "If-Match is needed: the ETag of what you saw" },
    [P_FAULT] = { 500, "fault", "a fault of the server, which its operator can see" },
    [P_UNAVAILABLE] = { 503, "unavailable", "come again later" },
};

const char *ljs__admin_problem_code(enum problem problem)
{
    return problems[problem].code;
}

const char *ljs__admin_problem_detail(enum problem problem)
{
    return problems[problem].detail;
}

static const char *title_of(unsigned status)
{
    static const struct {
        unsigned status;
        const char *text;
    } titles[] = {
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 409, "Conflict" },
        { 412, "Precondition Failed" },
        { 413, "Content Too Large" },
        { 415, "Unsupported Media Type" },
        { 422, "Unprocessable Content" },
        { 428, "Precondition Required" },
        { 429, "Too Many Requests" },
        { 500, "Internal Server Error" },
        { 503, "Service Unavailable" },
    };

    for (size_t i = 0; i < COUNT(titles); i++)
        if (titles[i].status == status)
            return titles[i].text;
    return "Error";
}

ljs_err ljs_admin_problem(ljs_buf *out, unsigned status, const char *code, const char *detail)
{
    struct wr w = { 0 };

    ljs__json_open(&w, '{');
    ljs__json_name(&w, "type");
    ljs__json_text(&w, "about:blank");
    ljs__json_name(&w, "title");
    ljs__json_text(&w, title_of(status));
    ljs__json_name(&w, "status");
    ljs__json_number(&w, status);
    ljs__json_name(&w, "code");
    ljs__json_text(&w, code);
    ljs__json_name(&w, "detail");
    ljs__json_text(&w, detail);
    ljs__json_close(&w, '}');
    ljs__wr_text(&w, "\n");
    return ljs__wr_take(out, &w);
}

static ljs_err ttjs_problem(ljs_buf *out, const char *message)
{
    struct wr w = { 0 };

    ljs__json_open(&w, '{');
    ljs__json_name(&w, "message");
    ljs__json_text(&w, message);
    ljs__json_close(&w, '}');
    ljs__wr_text(&w, "\n");
    return ljs__wr_take(out, &w);
}

enum problem ljs__admin_problem_of(ljs_err err)
{
    static const struct {
        ljs_err err;
        enum problem problem;
    } rows[] = {
        { LJS_OK, FINE },
        { LJS_E_NOTFOUND, P_NO_DEVICE },
        { LJS_E_EXISTS, P_EXISTS },
        { LJS_E_STATE, P_STATE },
        { LJS_E_MOVED, P_STATE },
        { LJS_E_LOT, P_LOT },
        { LJS_E_NOKEY, P_NO_ROOT_KEYS },
        { LJS_E_WEAK, P_WEAK },
        { LJS_E_INVAL, P_BODY },
        { LJS_E_REPLAY, P_CHANGED },
        { LJS_E_SPENT, P_SPENT },
        { LJS_E_STORE, P_UNAVAILABLE },
        { LJS_E_CONFLICT, P_UNAVAILABLE },
        { LJS_E_NOMEM, P_UNAVAILABLE },
        { LJS_E_BUSY, P_UNAVAILABLE },
    };

    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].err == err)
            return rows[i].problem;
    return P_FAULT;
}

enum problem ljs__admin_fault(struct asking *a, const char *fault)
{
    snprintf(a->words, sizeof a->words, "%s", fault);
    a->detail = a->words;
    return P_BODY;
}

/* ---- what is asked for ------------------------------------------------------------ */

/* Percent-decoded [RFC 3986 2.1]; false for what is none, has a NUL in it, or does not fit. */
static bool decode(char *out, size_t room, const char *in, size_t in_len)
{
    size_t n = 0;
    uint8_t octet;

    for (size_t i = 0; i < in_len; i++) {
        octet = (uint8_t)in[i];
        if (octet == '%') {
            if (in_len - i < 3 || !ljs__hex(&octet, 1, in + i + 1, 2) || !octet)
                return false;
            i += 2;
        }
        if (n + 1 >= room)
            return false;
        out[n++] = (char)octet;
    }
    out[n] = '\0';
    return true;
}

/* One segment after the other; what the braces stand for goes into `arg`, still encoded. */
static bool is_path(const char **arg, size_t *arg_len, const char *pattern, const char *path)
{
    *arg = NULL;
    *arg_len = 0;
    while (*pattern && *path) {
        size_t wanted, got;

        if (*pattern++ != '/' || *path++ != '/')
            return false;
        wanted = strcspn(pattern, "/");
        got = strcspn(path, "/");
        if (*pattern == '{' && got) {
            *arg = path;
            *arg_len = got;
        } else if (wanted != got || memcmp(pattern, path, got) != 0) {
            return false;
        }
        pattern += wanted;
        path += got;
    }
    return !*pattern && !*path;
}

/* The route, or NULL and which problem it is. */
static const struct route *find(enum problem *problem, struct asking *a, const char *path)
{
    const char *arg;
    size_t arg_len;

    *problem = P_NO_PATH;
    for (size_t i = 0; i < COUNT(routes); i++) {
        size_t n = strcspn(routes[i].text, " ");

        if (!is_path(&arg, &arg_len, routes[i].text + n + 1, path))
            continue;
        if (strlen(a->req->method) == n && !memcmp(routes[i].text, a->req->method, n)) {
            *problem = arg && !decode(a->arg, sizeof a->arg, arg, arg_len) ? P_BAD_REQUEST : FINE;
            *a->out->allow = '\0';
            return &routes[i];
        }
        *problem = P_METHOD;
        snprintf(a->out->allow + strlen(a->out->allow), sizeof a->out->allow - strlen(a->out->allow), "%s%.*s",
                 *a->out->allow ? ", " : "", (int)n, routes[i].text);
    }
    return NULL;
}

static bool next_pair(const char **at, const char **name, size_t *name_len, const char **value, size_t *value_len)
{
    size_t n = strcspn(*at, "&");

    if (!**at)
        return false;
    *name = *at;
    *name_len = strcspn(*at, "=&");
    *value = *at + (*name_len < n ? *name_len + 1 : n);
    *value_len = n - (size_t)(*value - *at);
    *at += n + ((*at)[n] == '&');
    return true;
}

bool ljs__admin_query(char *out, size_t room, const struct asking *a, const char *name)
{
    const char *at = a->query, *n, *v;
    size_t n_len, v_len;

    *out = '\0';
    while (next_pair(&at, &n, &n_len, &v, &v_len))
        if (strlen(name) == n_len && !memcmp(n, name, n_len))
            return decode(out, room, v, v_len);
    return true;
}

enum problem ljs__admin_query_only(const struct asking *a, const char *const *names)
{
    const char *at = a->query, *n, *v;
    size_t n_len, v_len;

    while (next_pair(&at, &n, &n_len, &v, &v_len)) {
        bool known = false;

        for (const char *const *name = names; *name; name++)
            known |= strlen(*name) == n_len && !memcmp(n, *name, n_len);
        if (!known)
            return P_BAD_REQUEST;
    }
    return FINE;
}

bool ljs__admin_limit(unsigned *out, const struct asking *a)
{
    char text[8];
    unsigned n = 0;

    if (!ljs__admin_query(text, sizeof text, a, "limit") || strlen(text) > 4)
        return false;
    for (const char *at = text; *at; at++) {
        if (*at < '0' || *at > '9')
            return false;
        n = 10 * n + (unsigned)(*at - '0');
    }
    *out = *text ? n : PAGE;
    return *out >= 1 && *out <= PAGE_MAX;
}

bool ljs__admin_since(int64_t *out, const struct asking *a)
{
    char text[16];

    *out = 0;
    if (!ljs__admin_query(text, sizeof text, a, "since"))
        return false;
    for (const char *at = text; *at; at++) {
        if (*at < '0' || *at > '9')
            return false;
        *out = 10 * *out + (*at - '0');
    }
    return true;
}

bool ljs__admin_range(ljs_eui *first, ljs_eui *last, const struct asking *a)
{
    char prefix[24], cursor[24], low[] = "0000000000000000", high[] = "ffffffffffffffff";
    ljs_eui after = 0;
    size_t n;

    if (!ljs__admin_query(prefix, sizeof prefix, a, "prefix") ||
        !ljs__admin_query(cursor, sizeof cursor, a, "cursor") || (n = strlen(prefix)) > 16)
        return false;
    memcpy(low, prefix, n);
    memcpy(high, prefix, n);
    if (ljs_eui_parse(first, low) || ljs_eui_parse(last, high) || (*cursor && ljs_eui_parse(&after, cursor)))
        return false;
    if (after > *first) /* a cursor is where the next page begins */
        *first = after;
    return true;
}

void ljs__admin_next_page(struct asking *a, ljs_eui next)
{
    ljs__json_name(&a->body, "next_cursor");
    ljs__json_hex_number(&a->body, next, 16);
}

/* ---- who asks --------------------------------------------------------------------- */

static ljs_err who_asks(ljs_credential *out, ljs_server *server, const ljs_admin_req *req)
{
    static const char bearer[] = "Bearer ";
    const char *token = req->authorization;
    bool is = strncasecmp(token, bearer, sizeof bearer - 1) == 0;

    if (!*token && *req->certificate)
        return ljs_server_check_certificate(out, server, req->now, req->certificate);
    token += is ? sizeof bearer - 1 : 0;
    return ljs_server_check_token(out, server, req->now, (const uint8_t *)token, is ? strlen(token) : 0);
}

static enum problem denied(struct asking *a, const struct route *route)
{
    ljs_err err = ljs__audit_denied(a->server, a->req->now, a->who.name, route->text);

    return err ? ljs__admin_problem_of(err) : P_FORBIDDEN;
}

/* Who acts for an account touches what is its own, by claims alone; who does not has no claims. */
static enum problem in_his_account(struct asking *a, const struct route *route)
{
    if (!*a->who.account && (route->act == LJS_ACT_LIST || route->act == LJS_ACT_LIST_DECISIONS) &&
        !ljs_roles_allow(a->who.roles & ~(unsigned)LJS_ROLE_CLAIM, (ljs_act)route->act))
        return denied(a, route); /* who knows a DevEUI may route it, and is told no others */
    if (!*a->who.account)
        return route->act == LJS_ACT_CLAIM ? P_FOR_NOBODY : FINE;
    if (route->act == LJS_ACT_ROUTE)
        return denied(a, route);
    return route->act == LJS_ACT_READ || route->act == LJS_ACT_DECISIONS ? ljs__admin_owns(a) : FINE;
}

static bool is_json(const char *type)
{
    size_t n = strcspn(type, "; ");

    return (n == 16 && !strncasecmp(type, "application/json", n)) ||
           (n == 28 && !strncasecmp(type, "application/merge-patch+json", n));
}

static enum problem handle(struct asking *a)
{
    const ljs_admin_req *req = a->req;
    char path[sizeof req->target];
    size_t n = strcspn(req->target, "?");
    const struct route *route;
    enum problem problem;
    ljs_err err = who_asks(&a->who, a->server, req);

    if (err)
        return err == LJS_E_NOTFOUND ? P_UNAUTHORIZED : ljs__admin_problem_of(err);
    snprintf(a->out->who, sizeof a->out->who, "%s", a->who.name);
    memcpy(path, req->target, n);
    path[n] = '\0';
    snprintf(a->query, sizeof a->query, "%s", req->target[n] ? req->target + n + 1 : "");
    if (!(route = find(&problem, a, path)))
        return problem;
    if (ljs_server_set_actor(a->server, req->now, a->who.name))
        return P_FAULT;
    if (route->act && !ljs_roles_allow(a->who.roles, (ljs_act)route->act))
        return denied(a, route);
    if (problem)
        return problem;
    if (strstr(route->text, "{DevEUI}") && ljs_eui_parse(&a->dev_eui, a->arg))
        return P_BAD_REQUEST;
    if ((problem = in_his_account(a, route)))
        return problem;
    if (a->in_len > LJS_ADMIN_BODY_MAX)
        return P_TOO_LONG;
    if (!route->with_body && a->in_len)
        return ljs__admin_fault(a, "there is none here");
    if (route->with_body && !is_json(req->content_type) && !is_ttjs(req->target))
        return P_MEDIA_TYPE;
    problem = route->run(a);
    return problem ? problem : in_his_account(a, route); /* it may be another's since, and so may what was read */
}

ljs_err ljs_admin_handle(ljs_admin_ans *out, ljs_server *server, const ljs_admin_req *req, const uint8_t *in,
                         size_t in_len)
{
    struct asking a = { .server = server, .req = req, .in = in, .in_len = in_len, .out = out };
    enum problem problem;
    ljs_err err = ljs__server_alive(server);

    *out = (ljs_admin_ans){ .status = 200 };
    if (!err && (req->struct_size != sizeof *req || memchr(req->target, 0, sizeof req->target) == NULL))
        err = LJS_E_INVAL;
    if (err) {
        out->status = 500;
        return err;
    }
    problem = handle(&a);
    if (!problem && a.body.len) {
        if (!*out->type)
            strcpy(out->type, "application/json");
        if (!strcmp(out->type, "application/json"))
            ljs__wr_text(&a.body, "\n");
        if (ljs__wr_take(&out->body, &a.body))
            problem = P_UNAVAILABLE;
    } else if (!problem) {
        out->status = out->status == 200 ? 204 : out->status;
        problem = a.body.bad ? P_UNAVAILABLE : FINE;
    }
    ljs__wr_drop(&a.body);
    if (problem) {
        out->status = problems[problem].status;
        *out->etag = *out->location = '\0';
        if (!a.detail)
            a.detail = problems[problem].detail;
        strcpy(out->type, is_ttjs(req->target) ? "application/json" : "application/problem+json");
        err = is_ttjs(req->target) ? ttjs_problem(&out->body, a.detail)
                                   : ljs_admin_problem(&out->body, out->status, problems[problem].code, a.detail);
    }
    return err;
}

/* Is the store to be read? */
enum problem ljs__admin_health(struct asking *a)
{
    enum problem problem = ljs__admin_problem_of(ljs_server_ready(a->server));

    if (problem)
        return problem;
    ljs__json_open(&a->body, '{');
    ljs__json_name(&a->body, "status");
    ljs__json_text(&a->body, "ready");
    ljs__json_name(&a->body, "version");
    ljs__json_text(&a->body, ljs_version());
    ljs__json_close(&a->body, '}');
    return FINE;
}
