/* admin.c -- HTTP before ljs_admin_handle(), and the limit on failed tries before that. */
#include "admin.h"

#include "limit.h"
#include "manifest.h"
#include "pair.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONNECTIONS = 64, STATUS_MOST = 600 };

static const char problem_type[] = "application/problem+json", message_type[] = "application/json";

struct admin {
    struct admin_opts opts;
    ljs_key *signer;        /* NULL for none */
    ljs_manifest *manifest; /* whom manifests are believed of; never read from */
    struct http *http;
    struct limit *limit; /* of the thread alone, as the server's acts are */
    atomic_uint_least64_t answers[STATUS_MOST], limited[LIMIT_ALL + 1];
};

/* ---- answers ---------------------------------------------------------------------- */

static void answer(struct admin *a, struct http_call *call, unsigned status, const char *type, ljs_buf *body)
{
    a->answers[status < STATUS_MOST ? status : 500]++;
    http_answer(call, status, type, body);
}

/* The Things Stack knows no problems, but messages, as from ljs_admin_handle(). */
static bool is_ttjs(const char *path)
{
    static const char before[] = "/api/v2/";

    return path && strncmp(path, before, sizeof before - 1) == 0;
}

static ljs_err write_problem(ljs_buf *out, const char **type, const char *path, unsigned status, const char *code,
                             const char *detail)
{
    char text[160];

    *type = is_ttjs(path) ? message_type : problem_type;
    snprintf(text, sizeof text, "{\"message\":\"%s\"}\n", detail); /* words that need no escape */
    return is_ttjs(path) ? ljs_buf_copy(out, (const uint8_t *)text, strlen(text))
                         : ljs_admin_problem(out, status, code, detail);
}

static void answer_problem(struct admin *a, struct http_call *call, unsigned status, const char *code,
                           const char *detail)
{
    ljs_buf body = { NULL, 0 };
    const char *type;

    if (write_problem(&body, &type, call->target, status, code, detail))
        status = 500; /* and nothing to say it with */
    answer(a, call, status, body.len ? type : "", &body);
}

/* What never came out of HTTP. */
static ljs_err refusal(ljs_buf *out, const char **type, const char *path, unsigned status)
{
    static const struct {
        unsigned status;
        const char *code, *detail;
    } rows[] = {
        { 405, "method-not-allowed", "another method is wanted" },
        { 413, "too-long", "the body is too long" },
        { 414, "target-too-long", "path and query have 511 octets at most" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].status == status)
            return write_problem(out, type, path, status, rows[i].code, rows[i].detail);
    return write_problem(out, type, path, status, "bad-request", "this is not HTTP as it should be");
}

/* Types outlive the call that they are given with. */
static const char *type_of(const ljs_admin_ans *ans)
{
    static const char *const types[] = { message_type, "application/octet-stream", problem_type };

    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i], ans->type))
            return types[i];
    return "";
}

/* ---- requests --------------------------------------------------------------------- */

static bool take_text(char *out, size_t room, const char *text)
{
    size_t n = text ? strlen(text) : 0;

    memcpy(out, n < room && n ? text : "", n < room ? n + 1 : 1);
    return n < room;
}

static bool take_header(char *out, size_t room, const struct http_call *call, const char *name)
{
    return take_text(out, room, http_header(call, name));
}

static bool read_call(ljs_admin_req *req, const struct admin *a, const struct http_call *call)
{
    const char *vouched = call->vouched && strlen(call->peer) < sizeof req->certificate ? call->peer : "";

    *req = (ljs_admin_req){
        .struct_size = sizeof *req, .now = now_seconds(), .signer = a->signer, .manifest = a->manifest
    };
    return take_text(req->method, sizeof req->method, call->method) &&
           take_text(req->target, sizeof req->target, call->target) &&
           take_text(req->certificate, sizeof req->certificate, vouched) &&
           take_header(req->authorization, sizeof req->authorization, call, "Authorization") &&
           take_header(req->content_type, sizeof req->content_type, call, "Content-Type") &&
           take_header(req->if_match, sizeof req->if_match, call, "If-Match") &&
           take_header(req->idempotency_key, sizeof req->idempotency_key, call, "Idempotency-Key");
}

static void handle(struct admin *a, struct http_call *call)
{
    enum limited limited = limit_look(a->limit, call->from, http_clock());
    ljs_admin_req req;
    ljs_admin_ans ans = { .status = 500 };

    if (limited) {
        a->limited[limited]++;
        answer_problem(a, call, 429, "too-many-tries", "too many credentials that are nobody's; come again later");
        return;
    }
    if (!read_call(&req, a, call)) {
        explicit_bzero(&req, sizeof req);
        limit_failed(a->limit, call->from, http_clock()); /* nobody is known to have said so */
        answer_problem(a, call, 400, "bad-request", "a header is too long");
        return;
    }
    if (ljs_admin_handle(&ans, a->opts.server, &req, call->in_len ? call->in : (const uint8_t *)"", call->in_len))
        ans.status = 500;
    if (ans.status == 401)
        limit_failed(a->limit, call->from, http_clock());
    else if (*ans.who)
        limit_good(a->limit, call->from, http_clock());
    if (*ans.who) /* no path: a label may be a key that somebody pasted there */
        say(a->opts.log, strcmp(req.method, "GET") ? SAY_INFO : SAY_DEBUG, "admin: %s: %s: %u", ans.who, req.method,
            ans.status);
    explicit_bzero(&req, sizeof req);
    memcpy(call->etag, ans.etag, sizeof call->etag);
    memcpy(call->location, ans.location, sizeof call->location);
    memcpy(call->allow, ans.allow, sizeof call->allow);
    strcpy(call->authenticate, ans.status == 401 ? "Bearer" : "");
    answer(a, call, ans.status, type_of(&ans), &ans.body);
    ljs_buf_free(&ans.body);
}

static void on_calls(void *user, struct http_call *calls)
{
    for (struct http_call *next; calls; calls = next) {
        next = calls->next;
        handle(user, calls);
    }
}

/* ---- begin and end ------------------------------------------------------------------ */

static int believe(ljs_manifest **out, const struct admin_opts *opts)
{
    ljs_err err = ljs_manifest_new(out);
    int code = err ? complain_err(err, "serve") : DONE;

    if (!code && opts->signers)
        code = manifest_trust(*out, opts->signers, ljs_manifest_trust_signer);
    if (!code && opts->roots)
        code = manifest_trust(*out, opts->roots, ljs_manifest_trust_root);
    return code;
}

int admin_start(struct admin **out, const struct admin_opts *opts)
{
    struct admin *a = calloc(1, sizeof *a);
    const struct http_opts http = {
        .fd = opts->fd,
        .tls = opts->tls,
        .log = opts->log,
        .methods = "GET, PUT, POST, PATCH, DELETE",
        .headers = true,
        .refusal = refusal,
        .body_limit = LJS_ADMIN_BODY_MAX,
        .timeout = opts->timeout,
        .keep_alive = opts->keep_alive,
        .connections = CONNECTIONS,
        .threads = 1,
        .together = CONNECTIONS,
        .calls = on_calls,
        .user = a,
    };
    int code = FAILED;

    *out = a;
    if (!a || !(a->limit = limit_new())) {
        complain("serve: out of memory");
        close(opts->fd);
        free(a);
        *out = NULL;
        return FAILED;
    }
    a->opts = *opts;
    code = opts->sign ? read_signer(&a->signer, opts->sign) : DONE;
    if (!code)
        code = believe(&a->manifest, opts);
    if (code)
        close(opts->fd);
    else
        code = http_new(&a->http, &http);
    return code;
}

void admin_reap(struct admin *a)
{
    if (a)
        http_reap(a->http);
}

void admin_stop(struct admin *a)
{
    if (!a)
        return;
    http_free(a->http);
    ljs_key_free(a->signer);
    ljs_manifest_free(a->manifest);
    limit_free(a->limit);
    free(a);
}

void admin_metrics(FILE *to, struct admin *a)
{
    struct http_stats stats;

    http_stats(&stats, a->http);
    fputs("# HELP lorajs_admin_answers_total Answers of the administrative interface, by status.\n"
          "# TYPE lorajs_admin_answers_total counter\n",
          to);
    for (unsigned status = 0; status < STATUS_MOST; status++)
        if (a->answers[status])
            fprintf(to, "lorajs_admin_answers_total{status=\"%u\"} %llu\n", status,
                    (unsigned long long)a->answers[status]);
    fprintf(to,
            "# HELP lorajs_admin_limited_total Requests refused for too many failed tries, of the client or of all.\n"
            "# TYPE lorajs_admin_limited_total counter\n"
            "lorajs_admin_limited_total{of=\"client\"} %llu\nlorajs_admin_limited_total{of=\"all\"} %llu\n"
            "# HELP lorajs_admin_connections Open connections of the administrative interface.\n"
            "# TYPE lorajs_admin_connections gauge\nlorajs_admin_connections %llu\n",
            (unsigned long long)a->limited[LIMIT_CLIENT], (unsigned long long)a->limited[LIMIT_ALL],
            (unsigned long long)stats.connections);
}
