/* fuzz_server_admin.c -- laws of the administrative interface.  The input is a request: "METHOD target" on the first
 * line, If-Match on the second, the body behind.
 *  - every request has an answer of a status that is described, and a refusal is a problem with a code, or a message
 *    where it is The Things Stack that asks;
 *  - without a credential the answer is one and the same, whatever is asked, and nothing is written;
 *  - GET writes nothing, for whomever;
 *  - a root key that is there, and one that comes in, is in no answer; who gives its text to something as a name (a
 *    label, an account's) is told that name, and the next input finds another server. */
#include "fuzz.h"

#include <lorajs/admin.h>
#include <lorajs/audit.h>
#include <lorajs/backend.h>

#include <stdbool.h>
#include <string.h>

static const char marker[] = "a7c1f36e58d90b42e6137cf85a2d9e04";
static ljs_server *server;
static ljs_vault *vault;
static ljs_store *store;
static char authorization[256];
static ljs_buf nobody;

/* An audit log that has ended: there to be read, and nothing is added to it. */
static void add_log(void)
{
    const ljs_server_opts opts = { .struct_size = sizeof opts, .audit = LJS_AUDIT_ON };
    ljs_server *writer;

    CHECK(!ljs_server_new(&writer, vault, store, &opts));
    CHECK(!ljs_server_note(writer, LJS_AUDIT_NOTE, 0x0102030405060708, LJS_OK, "here"));
    ljs_server_free(writer);
}

static void begin(void)
{
    static const uint8_t master[32] = { 1, 2, 3 };
    static const char line[] = "{\"dev_eui\":\"0102030405060708\",\"join_eui\":\"70b3d57ed0000000\","
                               "\"lorawan_version\":\"1.0.4\",\"nwk_key\":\"a7c1f36e58d90b42e6137cf85a2d9e04\"}";
    const ljs_server_opts opts = { .struct_size = sizeof opts, .audit = LJS_AUDIT_SWITCH_OFF };
    ljs_credential boss = { .struct_size = sizeof boss, .name = "boss", .roles = LJS_ROLES_ALL };
    ljs_admin_req req = { .struct_size = sizeof req, .method = "POST", .target = "/v1/devices" };
    ljs_admin_ans ans;
    ljs_buf token;

    CHECK(!ljs_vault_new(&vault, master, sizeof master) && !ljs_store_memory(&store));
    add_log();
    CHECK(!ljs_server_new(&server, vault, store, &opts));
    CHECK(!ljs_server_add_credential(&token, server, &boss));
    snprintf(authorization, sizeof authorization, "Bearer %.*s", (int)token.len, (const char *)token.data);
    ljs_buf_free(&token);
    strcpy(req.authorization, authorization);
    strcpy(req.content_type, "application/json");
    CHECK(!ljs_admin_handle(&ans, server, &req, (const uint8_t *)line, sizeof line - 1) && ans.status == 201);
    ljs_buf_free(&ans.body);
    strcpy(req.authorization, "");
    CHECK(!ljs_admin_handle(&ans, server, &req, (const uint8_t *)line, sizeof line - 1) && ans.status == 401);
    nobody = ans.body;
}

static void end(void)
{
    ljs_server_free(server);
    ljs_store_free(store);
    ljs_vault_free(vault);
    ljs_buf_free(&nobody);
    server = NULL;
}

/* A sum of all versions: it changes with every change. */
static ljs_err add_version(void *user, const uint8_t *key, size_t key_len)
{
    uint64_t version, *sum = user;
    ljs_buf value;

    if (!ljs_store_get(&value, &version, store, key, key_len)) {
        *sum = *sum * 31 + version;
        ljs_buf_free(&value);
    }
    return LJS_OK;
}

static uint64_t state(void)
{
    uint64_t sum = 1;

    CHECK(!ljs_store_each(store, NULL, 0, add_version, &sum));
    return sum;
}

static bool has(const ljs_buf *in, const char *text)
{
    return in->len && memmem(in->data, in->len, text, strlen(text)) != NULL;
}

/* Does the marker stand anywhere but in a key's value? */
static bool names_marker(const char *target, const uint8_t *body, size_t size)
{
    static const char key[] = "key\":\"";
    const size_t len = sizeof marker - 1, key_len = sizeof key - 1;
    const uint8_t *at, *from = body;

    while ((at = memmem(from, size - (size_t)(from - body), marker, len))) {
        if ((size_t)(at - body) < key_len || memcmp(at - key_len, key, key_len) != 0)
            return true;
        from = at + len;
    }
    return strstr(target, marker) != NULL;
}

static bool is_described(unsigned status)
{
    static const unsigned all[] = { 200, 201, 204, 400, 401, 403, 404, 405, 409, 412, 413, 415, 422, 428, 500, 503 };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] == status)
            return true;
    return false;
}

/* A line of the input into a text that ends there. */
static void take_line(char *out, size_t room, const uint8_t **data, size_t *size)
{
    const uint8_t *end = memchr(*data, '\n', *size);
    size_t n = end ? (size_t)(end - *data) : *size, kept = n < room ? n : room - 1;

    memcpy(out, *data, kept);
    out[kept] = '\0';
    *data += n + (end ? 1 : 0);
    *size -= n + (end ? 1 : 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ljs_admin_req req = { .struct_size = sizeof req, .now = 1800000000 };
    char line[600], *space;
    ljs_admin_ans ans;
    bool ttjs, named;
    uint64_t before;

    if (!server)
        begin();
    take_line(line, sizeof line, &data, &size);
    take_line(req.if_match, sizeof req.if_match, &data, &size);
    if ((space = strchr(line, ' '))) {
        *space = '\0';
        snprintf(req.target, sizeof req.target, "%.511s", space + 1);
    }
    snprintf(req.method, sizeof req.method, "%.7s", line);
    strcpy(req.content_type, "application/json");

    named = names_marker(req.target, data, size);
    ttjs = strncmp(req.target, "/api/v2/", 8) == 0;
    before = state();
    CHECK(!ljs_admin_handle(&ans, server, &req, data, size));
    CHECK(ans.status == 401 && (ttjs ? has(&ans.body, "{\"message\":\"no credential, or one that is nobody's\"}")
                                     : ans.body.len == nobody.len && !memcmp(ans.body.data, nobody.data, nobody.len)));
    CHECK(state() == before);
    ljs_buf_free(&ans.body);

    strcpy(req.authorization, authorization);
    CHECK(!ljs_admin_handle(&ans, server, &req, data, size));
    CHECK(is_described(ans.status) && ans.status != 401);
    CHECK(ans.status != 403 || has(&ans.body, ttjs ? "acts for no account" : "\"code\":\"no-account\""));
    CHECK((ans.status == 204) == (ans.body.len == 0));
    CHECK(ans.status < 400 || ttjs || (has(&ans.body, "\"code\":\"") && !strcmp(ans.type, "application/problem+json")));
    CHECK(ans.status < 400 || !ttjs || (has(&ans.body, "{\"message\":\"") && !strcmp(ans.type, "application/json")));
    CHECK((named && ans.status < 400) || !has(&ans.body, marker));
    CHECK(strcmp(req.method, "GET") != 0 || state() == before);
    ljs_buf_free(&ans.body);
    if (named)
        end();
    return 0;
}
