/* admin_world.h -- a server with a credential for each role, and what is asked of its administrative interface. */
#ifndef ADMIN_WORLD_H
#define ADMIN_WORLD_H

#include "server_world.h"

#include <lorajs/admin.h>
#include <lorajs/claim.h>

enum { NOW = 1800000000 };

static const char marker[] = "a7c1f36e58d90b42e6137cf85a2d9e04"; /* a root key, or a KEK: never in an answer */

static struct admin_world {
    struct world w;
    char token[8][256]; /* by number of the role's bit; 5: all roles, 6: nobody's */
    ljs_key *signer;
} aw;

static inline void token_of(char out[256], const char *name, uint32_t roles)
{
    ljs_credential c = { .struct_size = sizeof c, .roles = roles };
    ljs_buf token;

    snprintf(c.name, sizeof c.name, "%s", name);
    assert_int_equal(ljs_server_add_credential(&token, aw.w.server, &c), LJS_OK);
    snprintf(out, 256, "Bearer %.*s", (int)token.len, (const char *)token.data);
    ljs_buf_free(&token);
}

static inline void admin_begin(void)
{
    static const char *const names[] = { "provision", "claim", "operate", "export", "audit" };

    memset(&aw, 0, sizeof aw);
    lab_begin(&aw.w, NULL);
    for (unsigned i = 0; i < 5; i++)
        token_of(aw.token[i], names[i], 1U << i);
    token_of(aw.token[5], "boss", LJS_ROLES_ALL);
    snprintf(aw.token[6], 256, "%s", aw.token[5]);
    aw.token[6][strlen(aw.token[6]) - 1] ^= 1;
    assert_int_equal(ljs_key_generate(&aw.signer, 32), LJS_OK);
}

static inline void admin_end(void)
{
    ljs_key_free(aw.signer);
    server_end(&aw.w);
}

struct ask {
    const char *method, *target, *body, *if_match, *once, *type;
    unsigned as; /* whose token: index of aw.token; 0 means the boss unless `exactly` */
    bool exactly;
    int64_t later;
    bool unsigned_too;
};

struct got {
    unsigned status;
    char body[70000], code[64];
    ljs_admin_ans ans;
};

static inline bool is_ttjs(const char *target)
{
    return strncmp(target, "/api/v2/", 8) == 0;
}

static inline void code_in(char out[64], const char *body)
{
    const char *at = strstr(body, "\"code\":\"");

    *out = 0;
    if (at)
        assert_int_equal(sscanf(at + 8, "%63[a-z-]", out), 1);
}

static inline struct got *asked_for(struct ask q)
{
    static struct got got;
    ljs_admin_req req = { .struct_size = sizeof req, .now = NOW + q.later };
    size_t n = q.body ? strlen(q.body) : 0;

    snprintf(req.method, sizeof req.method, "%s", q.method);
    snprintf(req.target, sizeof req.target, "%s", q.target);
    snprintf(req.authorization, sizeof req.authorization, "%s", aw.token[q.exactly ? q.as : 5]);
    snprintf(req.content_type, sizeof req.content_type, "%s", q.type ? q.type : q.body ? "application/json" : "");
    snprintf(req.if_match, sizeof req.if_match, "%s", q.if_match ? q.if_match : "");
    snprintf(req.idempotency_key, sizeof req.idempotency_key, "%s", q.once ? q.once : "");
    req.signer = q.unsigned_too ? NULL : aw.signer;
    memset(&got, 0, sizeof got);
    assert_int_equal(ljs_admin_handle(&got.ans, aw.w.server, &req, (const uint8_t *)q.body, n), LJS_OK);
    got.status = got.ans.status;
    assert_true(got.ans.body.len < sizeof got.body);
    if (got.ans.body.len)
        memcpy(got.body, got.ans.body.data, got.ans.body.len);
    ljs_buf_free(&got.ans.body);
    if (got.status >= 400) {
        assert_string_equal(got.ans.type, is_ttjs(q.target) ? "application/json" : "application/problem+json");
        assert_string_equal(got.ans.etag, "");
        if (is_ttjs(q.target)) /* which has words in the place of codes */
            assert_int_equal(sscanf(got.body, "{\"message\":\"%63[^\"]\"}", got.code), 1);
        else
            code_in(got.code, got.body);
        assert_true(*got.code);
    }
    assert_true((got.status == 204) == !*got.body);
    assert_null(strstr(got.body, marker));
    return &got;
}
#define ASK(...) asked_for((struct ask){ __VA_ARGS__ })

static inline void expect(struct got *got, unsigned status, const char *code)
{
    if (got->status != status || strcmp(got->code, code ? code : ""))
        fail_msg("%u %s: wanted %u %s", got->status, got->body, status, code ? code : "");
}

static inline const char *line_of(unsigned n, const char *more)
{
    static char text[2][1024];
    char *out = text[n & 1];

    snprintf(out, sizeof text[0],
             "{\"dev_eui\":\"70b3d5499f%06x\",\"join_eui\":\"70b3d57ed00019e4\",\"lorawan_version\":\"1.0.3\","
             "\"nwk_key\":\"%s\"%s}",
             n, marker, more);
    return out;
}

#define DEVICE "/v1/devices/70b3d5499f000001"
#define CLAIM  "/v1/claims/70b3d5499f000001"
#define TTJS   "/api/v2/devices/70b3d5499f000001"

static inline void create(unsigned n)
{
    expect(ASK(.method = "POST", .target = "/v1/devices", .body = line_of(n, "")), 201, NULL);
}

/* Makes the account, too. */
static inline void account_token(char out[256], const char *account)
{
    ljs_account a = { .struct_size = sizeof a };
    ljs_credential c = { .struct_size = sizeof c, .roles = LJS_ROLE_CLAIM };
    ljs_buf token;

    snprintf(a.name, sizeof a.name, "%s", account);
    assert_int_equal(ljs_server_add_account(aw.w.server, &a), LJS_OK);
    snprintf(c.name, sizeof c.name, "of-%s", account);
    snprintf(c.account, sizeof c.account, "%s", account);
    assert_int_equal(ljs_server_add_credential(&token, aw.w.server, &c), LJS_OK);
    snprintf(out, 256, "Bearer %.*s", (int)token.len, (const char *)token.data);
    ljs_buf_free(&token);
}

#endif
