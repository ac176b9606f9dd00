/* The administrative interface: each role at each path, pages, what is done once, and what was seen before. */
#include "admin_world.h"

#include <lorajs/audit.h>

/* Which role may what, path by path; the table of libjs/server/roles.c is not asked. */
static void test_each_role_at_each_path(void **state)
{
    static const struct {
        const char *method, *target, *body, *if_match;
        const char *may; /* provision claim operate export audit; n: not for who acts for no account */
    } rows[] = {
        { "GET", "/v1/health", NULL, NULL, "xxxxx" },
        { "GET", "/v1/devices", NULL, NULL, "x.x.x" },
        { "POST", "/v1/devices", "{}", NULL, "x...." },
        { "GET", DEVICE, NULL, NULL, "xxxxx" },
        { "PATCH", DEVICE, "{}", "*", ".x..." },
        { "DELETE", DEVICE, NULL, "\"00\"", "x...." },
        { "POST", DEVICE "/block", NULL, NULL, "..x.." },
        { "POST", DEVICE "/unblock", NULL, NULL, "..x.." },
        { "POST", DEVICE "/reset-nonces", NULL, NULL, "..x.." },
        { "POST", DEVICE "/export", "{}", NULL, "...x." },
        { "GET", DEVICE "/decisions", NULL, NULL, ".xx.x" },
        { "GET", DEVICE "/chip", NULL, NULL, "xxxxx" },
        { "GET", "/v1/decisions", NULL, NULL, "..x.x" }, /* claim: for an account alone */
        { "GET", "/v1/audit", NULL, NULL, "....x" },
        { "POST", "/v1/manifests", "{}", NULL, "x...." },
        { "GET", "/v1/keks", NULL, NULL, "xxx.x" },
        { "GET", "/v1/keks/none", NULL, NULL, "xxx.x" },
        { "PUT", "/v1/keks/none", "{}", NULL, "x...." },
        { "DELETE", "/v1/keks/none", NULL, NULL, "x...." },
        { "GET", "/v1/lots", NULL, NULL, "x.x.x" },
        { "GET", "/v1/accounts", NULL, NULL, "x.x.x" },
        { "POST", "/v1/accounts", "{}", NULL, "x...." },
        { "GET", "/v1/accounts/none", NULL, NULL, "x.x.x" },
        { "DELETE", "/v1/accounts/none", NULL, NULL, "x...." },
        { "POST", "/v1/accounts/none/suspend", NULL, NULL, "..x.." },
        { "POST", "/v1/accounts/none/resume", NULL, NULL, "..x.." },
        { "POST", "/v1/accounts/none/assign", "{}", NULL, "x...." },
        { "GET", "/v1/claims", NULL, NULL, "xxx.x" },
        { "POST", "/v1/claims", "{}", NULL, ".n..." },
        { "GET", CLAIM, NULL, NULL, "xxx.x" },
        { "PUT", CLAIM, "{}", NULL, ".n..." },
        { "DELETE", CLAIM, NULL, NULL, ".n..." },
        { "POST", CLAIM "/challenge", NULL, NULL, ".n..." },
        { "POST", CLAIM "/offer", "{}", NULL, ".n..." },
        { "POST", CLAIM "/withdraw", NULL, NULL, ".n..." },
        { "POST", CLAIM "/accept", "{}", NULL, ".n..." },
        { "POST", CLAIM "/owner-token", "{}", NULL, "x...." },
        { "POST", CLAIM "/suspend", NULL, NULL, "..x.." },
        { "POST", CLAIM "/resume", NULL, NULL, "..x.." },
        { "POST", CLAIM "/retire", NULL, NULL, "x...." },
        { "PUT", TTJS "/claim", "{}", NULL, ".n..." },
        { "GET", TTJS "/claim", NULL, NULL, ".n..." },
        { "DELETE", TTJS "/claim", NULL, NULL, ".n..." },
        { "DELETE", TTJS "/claims", NULL, NULL, ".n..." },
    };
    static const struct {
        const char *nobody, *forbidden, *no_account;
    } refusals[] = { { "unauthorized", "forbidden", "no-account" },
                     { "no credential, or one that is nobody's", "no role of this credential allows it",
                       "this credential acts for no account" } };
    unsigned routes = 0;

    (void)state;
    admin_begin();
    create(1);
    while (*ljs_admin_route(routes))
        routes++;
    assert_int_equal(routes, COUNT_OF(rows)); /* no path is left out here */
    assert_int_equal(ljs_admin_route_act(routes), 0);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct ask q = { .method = rows[i].method,
                         .target = rows[i].target,
                         .body = rows[i].body,
                         .if_match = rows[i].if_match,
                         .exactly = true };
        const bool ttjs = is_ttjs(q.target);

        for (q.as = 0; q.as < 5; q.as++) {
            struct got *got = asked_for(q);

            if (rows[i].may[q.as] == 'x')
                assert_true(got->status != 403 && got->status != 401 && got->status != 405);
            else
                expect(got, 403, rows[i].may[q.as] == 'n' ? refusals[ttjs].no_account : refusals[ttjs].forbidden);
        }
        q.as = 6;
        expect(asked_for(q), 401, refusals[ttjs].nobody);
    }
    admin_end();
}

/* Who is nobody hears the same, whatever he asks. */
static void test_nobody(void **state)
{
    static const char *const targets[] = { "/v1/devices", DEVICE, "/", "", "*", "/v2", "/v1/devices/%zz" };
    char first[70000] = "";
    struct got *got;

    (void)state;
    admin_begin();
    create(1);
    snprintf(aw.token[7], 256, "Basic %.200s", aw.token[5] + 7);
    for (size_t i = 0; i < COUNT_OF(targets); i++)
        for (unsigned as = 6; as < 8; as++) {
            got = ASK(.method = i & 1 ? "GET" : "BREW", .target = targets[i], .as = as, .exactly = true);
            expect(got, 401, "unauthorized");
            assert_string_equal(got->ans.who, "");
            assert_string_equal(got->ans.allow, "");
            if (!*first)
                strcpy(first, got->body);
            assert_string_equal(got->body, first);
        }
    assert_int_equal(ljs_server_del_credential(aw.w.server, "boss"), LJS_OK); /* at once */
    expect(ASK(.method = "GET", .target = "/v1/devices"), 401, "unauthorized");
    admin_end();
}

static void test_paths_and_queries(void **state)
{
    (void)state;
    admin_begin();
    create(1);
    expect(ASK(.method = "GET", .target = "/"), 404, "no-such-path");
    expect(ASK(.method = "GET", .target = "/v1/devices/"), 404, "no-such-path");
    expect(ASK(.method = "GET", .target = DEVICE "/"), 404, "no-such-path");
    expect(ASK(.method = "GET", .target = "//v1/devices"), 404, "no-such-path");
    expect(ASK(.method = "PUT", .target = DEVICE), 405, "method-not-allowed");
    assert_string_equal(ASK(.method = "PUT", .target = DEVICE)->ans.allow, "GET, PATCH, DELETE");
    expect(ASK(.method = "GET", .target = "/v1/devices/70b3d5499f00000g"), 400, "bad-request");
    expect(ASK(.method = "GET", .target = "/v1/devices/70b3d5499f00000%"), 400, "bad-request");
    expect(ASK(.method = "GET", .target = "/v1/devices/70b3d5499f00000%31"), 200, NULL);
    expect(ASK(.method = "GET", .target = "/v1/devices/70b3d5499f000002"), 404, "no-such-device");
    expect(ASK(.method = "GET", .target = "/v1/devices?limit=0"), 400, "bad-request");
    expect(ASK(.method = "GET", .target = "/v1/devices?limit=1001"), 400, "bad-request");
    expect(ASK(.method = "GET", .target = "/v1/devices?limit=-1"), 400, "bad-request");
    expect(ASK(.method = "GET", .target = "/v1/devices?prefix=xyz"), 400, "bad-request");
    expect(ASK(.method = "GET", .target = "/v1/devices?prefix=00000000000000000"), 400, "bad-request");
    expect(ASK(.method = "GET", .target = "/v1/devices?cursor=1"), 400, "bad-request");
    expect(ASK(.method = "GET", .target = "/v1/devices?removed=1"), 400, "bad-request");
    expect(ASK(.method = "GET", .target = "/v1/devices?limits=1"), 400, "bad-request");
    expect(ASK(.method = "GET", .target = "/v1/devices?limit=1&removed=true&prefix=70"), 200, NULL);
    expect(ASK(.method = "GET", .target = DEVICE, .body = "{}"), 422, "invalid-body");
    expect(ASK(.method = "POST", .target = "/v1/devices", .body = "{}", .type = "text/plain"), 415, "media-type");
    expect(ASK(.method = "POST", .target = "/v1/devices", .body = "{}", .type = "application/json; charset=utf-8"), 422,
           "invalid-body");
    admin_end();
}

static void test_provisioning(void **state)
{
    struct got *got;

    (void)state;
    admin_begin();
    got = ASK(.method = "POST", .target = "/v1/devices", .body = line_of(1, ",\"as_id\":\"as.example\""));
    expect(got, 201, NULL);
    assert_string_equal(got->ans.location, DEVICE);
    assert_string_equal(got->body, "{\"dev_eui\":\"70b3d5499f000001\",\"result\":\"added\"}\n");
    got = ASK(.method = "GET", .target = DEVICE);
    assert_non_null(strstr(got->body, "\"as_id\":\"as.example\""));
    assert_non_null(strstr(got->body, "\"keys\":[\"nwk_key\"]"));
    assert_int_equal(strlen(got->ans.etag), 34);

    /* Again it is another thing: provisioning must not route what is there. */
    expect(ASK(.method = "POST", .target = "/v1/devices", .body = line_of(1, "")), 409, "device-exists");
    assert_non_null(strstr(ASK(.method = "GET", .target = DEVICE)->body, "as.example"));
    expect(ASK(.method = "POST", .target = "/v1/devices", .body = line_of(2, ",\"as_id\":7")), 422, "invalid-body");
    assert_non_null(strstr(ASK(.method = "POST", .target = "/v1/devices", .body = line_of(2, ",\"as_id\":7"))->body,
                           "\"detail\":\"as_id: "));
    expect(ASK(.method = "POST", .target = "/v1/devices",
               .body = line_of(2, ",\"gen_app_key\":\"00000000000000000000000000000000\"")),
           422, "weak-key");
    expect(ASK(.method = "GET", .target = "/v1/devices/70b3d5499f000002"), 404, "no-such-device");

    /* All of its JoinEUIs come in at once; a tombstone can be brought back. */
    expect(ASK(.method = "POST", .target = "/v1/devices",
               .body = "{\"dev_eui\":\"70b3d5499f000003\",\"join_euis\":[\"0000000000000001\",\"0000000000000002\","
                       "\"0000000000000003\"],\"lorawan_version\":\"1.0.4\",\"app_key\":"
                       "\"c47a02e6913bd85f6e20a9f4175cbd38\"}"),
           201, NULL);
    assert_non_null(strstr(ASK(.method = "GET", .target = "/v1/devices/70b3d5499f000003")->body, "0000000000000003"));
    expect(ASK(.method = "DELETE", .target = DEVICE, .if_match = "*"), 204, NULL);
    expect(ASK(.method = "DELETE", .target = DEVICE, .if_match = "*"), 409, "wrong-state");
    create(1);
    admin_end();
}

static void test_pages(void **state)
{
    enum { DEVICES = 1000 };
    char target[128] = "/v1/devices?limit=7", seen[DEVICES] = { 0 }, *at;
    unsigned pages = 0, rows = 0, n;

    (void)state;
    admin_begin();
    for (unsigned i = 0; i < DEVICES; i++)
        create(i * 977); /* over three octets */
    expect(ASK(.method = "POST", .target = "/v1/devices",
               .body =
                   "{\"dev_eui\":\"ffffffffffffffff\",\"join_eui\":\"0000000000000001\",\"lorawan_version\":\"1.0.4\","
                   "\"app_key\":\"c47a02e6913bd85f6e20a9f4175cbd38\"}"),
           201, NULL);
    for (;;) {
        struct got *got = ASK(.method = "GET", .target = target);
        char *body = got->body;
        unsigned of_page = 0;

        expect(got, 200, NULL);
        pages++;
        for (; (at = strstr(body, "\"dev_eui\":\"70b3d5499f")); body = at + 1, of_page++) {
            assert_int_equal(sscanf(at + 21, "%6x", &n), 1);
            assert_int_equal(n % 977, 0);
            assert_int_equal(n / 977, rows++); /* rising, each once */
            seen[n / 977]++;
        }
        if (!(at = strstr(got->body, "\"next_cursor\":\"")))
            break;
        assert_int_equal(of_page, 7);
        snprintf(target, sizeof target, "/v1/devices?limit=7&cursor=%.16s", at + 15);
    }
    assert_int_equal(pages, DEVICES / 7 + 1);
    for (unsigned i = 0; i < DEVICES; i++)
        assert_int_equal(seen[i], 1);

    /* By their first digits; none of the others. */
    at = ASK(.method = "GET", .target = "/v1/devices?limit=1000&prefix=70B3D5499F001")->body;
    for (n = 0; (at = strstr(at + 1, "\"dev_eui\":\"70b3d5499f001"));)
        n++;
    assert_int_equal(n, 4); /* 0x1000..0x1fff: 977 times 5, 6, 7, 8 */
    assert_string_equal(ASK(.method = "GET", .target = "/v1/devices?prefix=80")->body, "{\"devices\":[]}\n");
    assert_non_null(
        strstr(ASK(.method = "GET", .target = "/v1/devices?prefix=ffffffffffffffff")->body, "ffffffffffffffff"));
    admin_end();
}

static void test_once(void **state)
{
    struct got *got;
    char first[256];

    (void)state;
    admin_begin();
    got = ASK(.method = "POST", .target = "/v1/devices", .body = line_of(1, ""), .once = "k1");
    expect(got, 201, NULL);
    strcpy(first, got->body);
    got = ASK(.method = "POST", .target = "/v1/devices", .body = line_of(1, ""), .once = "k1", .later = 86399);
    expect(got, 201, NULL);
    assert_string_equal(got->body, first);
    assert_string_equal(got->ans.location, DEVICE);
    expect(ASK(.method = "POST", .target = "/v1/devices", .body = line_of(2, ""), .once = "k1"), 422,
           "idempotency-key-reused");
    expect(ASK(.method = "GET", .target = "/v1/devices/70b3d5499f000002"), 404, "no-such-device");
    expect(ASK(.method = "POST", .target = DEVICE "/block", .once = "k1"), 422, "idempotency-key-reused");
    expect(ASK(.method = "POST", .target = "/v1/devices", .body = line_of(1, ""), .once = "k2"), 409, "device-exists");
    expect(ASK(.method = "POST", .target = "/v1/devices", .body = line_of(1, ""), .once = "k1", .later = 86400), 409,
           "device-exists"); /* a day is over */

    /* Whose key it is counts: another's of the same text is another. */
    expect(
        ASK(.method = "POST", .target = "/v1/devices", .body = line_of(4, ""), .once = "k1", .as = 0, .exactly = true),
        201, NULL);

    /* What was refused may be asked again. */
    expect(ASK(.method = "POST", .target = DEVICE "/unblock", .once = "k3"), 409, "wrong-state");
    expect(ASK(.method = "POST", .target = DEVICE "/block", .once = "k4"), 200, NULL);
    expect(ASK(.method = "POST", .target = DEVICE "/unblock", .once = "k3"), 200, NULL);
    expect(ASK(.method = "POST", .target = DEVICE "/unblock", .once = "k3"), 200, NULL);
    expect(ASK(.method = "POST", .target = DEVICE "/block", .once = "k4"), 200, NULL); /* was, and is not done again */
    assert_int_equal(device_in(&aw.w, 0x70b3d5499f000001).state, LJS_STATE_FRESH);
    admin_end();
}

static struct key_seen {
    uint8_t at[2][17];
    unsigned n;
} keys_seen;

static ljs_err see_key(void *user, const uint8_t *key, size_t key_len)
{
    (void)user;
    assert_true(keys_seen.n < 2);
    assert_int_equal(key_len, 17);
    memcpy(keys_seen.at[keys_seen.n++], key, 17);
    return LJS_OK;
}

/* Whoever writes to the disk may file what was done under another idempotency key: it is no answer there. */
static void test_once_filed_elsewhere(void **state)
{
    ljs_buf value[2];
    ljs_change change[2];

    (void)state;
    admin_begin();
    create(1);
    expect(ASK(.method = "POST", .target = DEVICE "/block", .once = "a"), 200, NULL);
    expect(ASK(.method = "POST", .target = DEVICE "/unblock", .once = "b"), 200, NULL);
    keys_seen.n = 0;
    assert_int_equal(ljs_store_each(aw.w.store, (const uint8_t *)"i", 1, see_key, NULL), LJS_OK);
    assert_int_equal(keys_seen.n, 2);
    for (unsigned i = 0; i < 2; i++) {
        change[i] = (ljs_change){ .key = keys_seen.at[i], .key_len = 17 };
        assert_int_equal(ljs_store_get(&value[i], &change[i].if_version, aw.w.store, keys_seen.at[i], 17), LJS_OK);
    }
    for (unsigned i = 0; i < 2; i++) {
        change[i].in = value[!i].data;
        change[i].in_len = value[!i].len;
    }
    assert_int_equal(ljs_store_commit(aw.w.store, change, 2), LJS_OK);
    ljs_buf_free(&value[0]);
    ljs_buf_free(&value[1]);
    expect(ASK(.method = "POST", .target = DEVICE "/unblock", .once = "a"), 422, "idempotency-key-reused");
    admin_end();
}

static ljs_err count_row(void *user, const uint8_t *key, size_t key_len)
{
    (void)key, (void)key_len;
    ++*(unsigned *)user;
    return LJS_OK;
}

static unsigned kept_keys(void)
{
    unsigned n = 0;

    assert_int_equal(ljs_store_each(aw.w.store, (const uint8_t *)"i", 1, count_row, &n), LJS_OK);
    return n;
}

static void test_idempotency_keys_are_not_kept_for_ever(void **state)
{
    char key[32];

    (void)state;
    admin_begin();
    create(1);
    for (unsigned i = 0; i < 4096; i++) {
        snprintf(key, sizeof key, "n%u", i);
        expect(ASK(.method = "POST", .target = DEVICE "/reset-nonces", .once = key), 200, NULL);
    }
    assert_int_equal(kept_keys(), 4096);
    expect(ASK(.method = "POST", .target = DEVICE "/reset-nonces", .once = "more"), 503, "unavailable");
    expect(ASK(.method = "POST", .target = DEVICE "/reset-nonces"), 200, NULL);
    expect(ASK(.method = "POST", .target = DEVICE "/reset-nonces", .once = "more", .later = 86400), 200, NULL);
    assert_int_equal(kept_keys(), 1);
    admin_end();
}

static void test_what_was_seen(void **state)
{
    char etag[40], next[40];
    struct got *got;

    (void)state;
    admin_begin();
    create(1);
    strcpy(etag, ASK(.method = "GET", .target = DEVICE)->ans.etag);
    expect(ASK(.method = "PATCH", .target = DEVICE, .body = "{}"), 428, "precondition-required");
    expect(ASK(.method = "DELETE", .target = DEVICE), 428, "precondition-required");
    expect(ASK(.method = "PATCH", .target = DEVICE, .body = "{}", .if_match = "\"0123\""), 412, "changed");
    got = ASK(.method = "PATCH", .target = DEVICE, .if_match = etag,
              .body = "{\"home_net_id\":\"000013\",\"home_ns_id\":\"70b3d57ed0000a01\",\"ns_kek_label\":\"ns\","
                      "\"as_kek_label\":\"as\",\"as_id\":\"as.example\"}");
    expect(got, 200, NULL);
    strcpy(next, got->ans.etag);
    assert_string_not_equal(next, etag);
    for (const char *const *want =
             (const char *const[]){ "\"home_net_id\":\"000013\"", "\"home_ns_id\":\"70b3d57ed0000a01\"",
                                    "\"ns_kek_label\":\"ns\"", "\"as_kek_label\":\"as\"", "\"as_id\":\"as.example\"",
                                    NULL };
         *want; want++)
        assert_non_null(strstr(got->body, *want));
    expect(ASK(.method = "PATCH", .target = DEVICE, .body = "{}", .if_match = etag), 412, "changed");
    expect(ASK(.method = "DELETE", .target = DEVICE, .if_match = etag), 412, "changed");
    strcpy(etag, next);

    /* null takes one away, and what is not named stays. */
    got = ASK(.method = "PATCH", .target = DEVICE, .if_match = etag, .body = "{\"as_id\":null,\"home_net_id\":null}",
              .type = "application/merge-patch+json");
    expect(got, 200, NULL);
    assert_null(strstr(got->body, "as_id\""));
    assert_null(strstr(got->body, "home_net_id"));
    assert_non_null(strstr(got->body, "home_ns_id"));
    for (const char *const *bad =
             (const char *const[]){ "", "[]", "{\"as_id\":\"\"}", "{\"as_id\":1}", "{\"home_net_id\":\"13\"}",
                                    "{\"nwk_key\":\"00\"}", "{\"as_id\":\"a\\n\"}", "{\"as_id\":\"a\",\"as_id\":\"a\"}",
                                    NULL };
         *bad; bad++)
        expect(ASK(.method = "PATCH", .target = DEVICE, .if_match = "*", .body = *bad, .type = "application/json"), 422,
               "invalid-body");
    expect(ASK(.method = "DELETE", .target = DEVICE, .if_match = "*"), 204, NULL);
    expect(ASK(.method = "PATCH", .target = DEVICE, .if_match = "*", .body = "{}"), 409, "wrong-state");
    admin_end();
}

static void test_lots(void **state)
{
    ljs_key *key;

    (void)state;
    admin_begin();
    assert_string_equal(ASK(.method = "GET", .target = "/v1/lots")->body, "{\"lots\":[]}\n");
    assert_int_equal(ljs_key_generate(&key, 16), LJS_OK);
    assert_int_equal(ljs_server_put_lot(aw.w.server, "valves", key), LJS_OK);
    assert_int_equal(ljs_server_put_lot(aw.w.server, "a \"b\"", key), LJS_OK);
    assert_string_equal(ASK(.method = "GET", .target = "/v1/lots")->body,
                        "{\"lots\":[{\"label\":\"a \\\"b\\\"\"},{\"label\":\"valves\"}]}\n");
    ljs_key_free(key);
    admin_end();
}

static void test_keks(void **state)
{
    char body[128];

    (void)state;
    admin_begin();
    snprintf(body, sizeof body, "{\"key\":\"%s\"}", marker);
    expect(ASK(.method = "PUT", .target = "/v1/keks/ns%2F000013", .body = body), 204, NULL);
    expect(ASK(.method = "PUT", .target = "/v1/keks/ns%2F000013", .body = body), 204, NULL); /* the same */
    assert_string_equal(ASK(.method = "GET", .target = "/v1/keks")->body,
                        "{\"keks\":[{\"label\":\"ns/000013\",\"bits\":128}]}\n");
    assert_string_equal(ASK(.method = "GET", .target = "/v1/keks/ns%2f000013")->body,
                        "{\"label\":\"ns/000013\",\"bits\":128}\n");
    snprintf(body, sizeof body, "{\"key\":\"%s%.16s\"}", marker, marker);
    expect(ASK(.method = "PUT", .target = "/v1/keks/ns%2F000013", .body = body), 409, "kek-exists");
    expect(ASK(.method = "PUT", .target = "/v1/keks/ns%2F000013?replace=true", .body = body), 204, NULL);
    assert_non_null(strstr(ASK(.method = "GET", .target = "/v1/keks")->body, "192"));
    expect(ASK(.method = "PUT", .target = "/v1/keks/x", .body = "{\"key\":\"00000000000000000000000000000000\"}"), 422,
           "weak-key");
    expect(ASK(.method = "PUT", .target = "/v1/keks/x", .body = "{\"key\":\"00\"}"), 422, "invalid-body");
    expect(ASK(.method = "PUT", .target = "/v1/keks/x%0a", .body = body), 400, "bad-request");
    expect(ASK(.method = "PUT", .target = "/v1/keks/x%00", .body = body), 400, "bad-request");
    expect(ASK(.method = "DELETE", .target = "/v1/keks/x"), 404, "no-such-kek");
    expect(ASK(.method = "DELETE", .target = "/v1/keks/ns%2F000013"), 204, NULL);
    expect(ASK(.method = "GET", .target = "/v1/keks/ns%2F000013"), 404, "no-such-kek");
    admin_end();
}

static void test_export(void **state)
{
    uint8_t public_key[32], sender[32];
    char body[160], hex[65];
    ljs_key *recipient;
    ljs_parcel *parcel;
    ljs_device d;
    struct got *got;
    size_t at = 0;

    (void)state;
    admin_begin();
    create(1);
    assert_int_equal(ljs_key_generate(&recipient, 32), LJS_OK);
    assert_int_equal(ljs_x25519_public(public_key, recipient), LJS_OK);
    assert_int_equal(ljs_ed25519_public(sender, aw.signer), LJS_OK);
    hex_of(hex, public_key, 32);
    snprintf(body, sizeof body, "{\"recipient\":\"%s\",\"block\":true}", hex);
    expect(ASK(.method = "POST", .target = DEVICE "/export", .body = body, .unsigned_too = true), 409,
           "no-signing-key");
    expect(ASK(.method = "POST", .target = DEVICE "/export",
               .body = "{\"recipient\":\"0000000000000000000000000000000000000000000000000000000000000000\"}"),
           422, "invalid-body");
    assert_false(device_in(&aw.w, 0x70b3d5499f000001).exposed); /* nothing was marked for nothing */
    create(2);
    expect(ASK(.method = "POST", .target = "/v1/devices/70b3d5499f000002/block", .once = "used"), 200, NULL);
    expect(ASK(.method = "POST", .target = DEVICE "/export", .body = body, .once = "used"), 422,
           "idempotency-key-reused");
    d = device_in(&aw.w, 0x70b3d5499f000001);
    assert_false(d.exposed || d.state == LJS_STATE_BLOCKED); /* nor blocked for nothing */
    for (int again = 0; again < 2; again++) {
        got = ASK(.method = "POST", .target = DEVICE "/export", .body = body, .once = "e");
        expect(got, 200, NULL);
        assert_string_equal(got->ans.type, "application/octet-stream");
        d = device_in(&aw.w, 0x70b3d5499f000001);
        assert_true(d.exposed && d.state == LJS_STATE_BLOCKED);
        assert_int_equal(ljs_parcel_open(&parcel, recipient, sender, sizeof sender), LJS_OK);
        for (size_t n; (n = ljs_parcel_wants(parcel)); at += n) {
            assert_int_equal(ljs_parcel_feed(parcel, (const uint8_t *)got->body + at, n), LJS_OK);
            if (!ljs_parcel_device(&d, parcel))
                assert_true(d.dev_eui == 0x70b3d5499f000001);
        }
        ljs_parcel_free(parcel);
        at = 0;
    }
    expect(ASK(.method = "POST", .target = "/v1/devices/70b3d5499f000009/export", .body = body), 404, "no-such-device");
    ljs_key_free(recipient);
    admin_end();
}

static ljs_err take_denied(void *user, uint64_t writer, uint64_t sequence)
{
    uint32_t *seen = user; /* links, entries at once, counted */
    ljs_audit_entry e;
    ljs_buf link;

    seen[0]++;
    assert_int_equal(ljs_server_get_link(&link, aw.w.server, writer, sequence), LJS_OK);
    for (unsigned i = 0; !ljs_audit_link_entry(&e, i, link.data, link.len); i++)
        if (e.kind == LJS_AUDIT_DENIED) {
            assert_string_equal(e.who, "audit");
            assert_true(e.err == LJS_E_SENDER && !strncmp(e.text, "POST /v1/devices/{DevEUI}/", 26));
            seen[e.count ? 2 : 1] += e.count ? e.count : 1;
        }
    ljs_buf_free(&link);
    return LJS_OK;
}

/* Who may not, and asks all the time, does not make the disk work; and all of it is told. */
static void forget_credential(const char *name)
{
    assert_int_equal(ljs_server_del_credential(aw.w.server, name), LJS_OK);
}

/* What was done for one account was not done for another, though its credential has the name that the first one's had.
 */
static void test_once_for_an_account(void **state)
{
    enum { ACME = 6, GLOBEX = 7 };
    ljs_credential c = { .struct_size = sizeof c, .roles = LJS_ROLE_CLAIM, .name = "of-acme", .account = "globex" };
    struct ask offer = { .method = "POST", .target = CLAIM "/offer", .once = "o-1", .as = ACME, .exactly = true };
    ljs_buf token;
    char body[64];

    (void)state;
    admin_begin();
    create(1);
    account_token(aw.token[ACME], "acme");
    account_token(aw.token[GLOBEX], "globex");
    expect(ASK(.method = "POST", .target = "/v1/accounts", .body = "{\"name\":\"initech\"}"), 201, NULL);
    expect(ASK(.method = "POST", .target = "/v1/accounts/acme/assign", .body = "{\"devices\":[\"70b3d5499f000001\"]}"),
           200, NULL);
    snprintf(body, sizeof body, "{\"to\":\"initech\",\"until\":%d}", NOW + 60);
    offer.body = body;
    expect(asked_for(offer), 200, NULL);
    expect(asked_for(offer), 200, NULL);
    forget_credential("of-acme");
    assert_int_equal(ljs_server_add_credential(&token, aw.w.server, &c), LJS_OK);
    snprintf(aw.token[ACME], 256, "Bearer %.*s", (int)token.len, (const char *)token.data);
    ljs_buf_free(&token);
    expect(asked_for(offer), 403, "claim-refused");
    admin_end();
}

/* Who may claim, and for nobody, sees no claim; an account sees its own, and what is offered to it as long as that
 * stands. */
static void test_who_sees_which_claim(void **state)
{
    enum { CLAIMER = 1, ACME = 6, GLOBEX = 7 };
    static const struct {
        unsigned as;
        int64_t later;
        bool sees;
    } rows[] = {
        { CLAIMER, 0, false }, { ACME, 0, true }, { GLOBEX, 59, true }, { GLOBEX, 60, false }, { ACME, 60, true }
    };
    char body[64];

    (void)state;
    admin_begin();
    create(1);
    account_token(aw.token[ACME], "acme");
    account_token(aw.token[GLOBEX], "globex");
    expect(ASK(.method = "POST", .target = "/v1/accounts/acme/assign", .body = "{\"devices\":[\"70b3d5499f000001\"]}"),
           200, NULL);
    snprintf(body, sizeof body, "{\"to\":\"globex\",\"until\":%d}", NOW + 60);
    expect(ASK(.method = "POST", .target = CLAIM "/offer", .body = body, .as = ACME, .exactly = true), 200, NULL);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct got *got =
            ASK(.method = "GET", .target = CLAIM, .as = rows[i].as, .later = rows[i].later, .exactly = true);

        expect(got, rows[i].sees ? 200 : 404, rows[i].sees ? NULL : "no-such-device");
        got = ASK(.method = "GET", .target = "/v1/claims", .as = rows[i].as, .later = rows[i].later, .exactly = true);
        assert_int_equal(strstr(got->body, "70b3d5499f000001") != NULL, rows[i].sees);
    }
    expect(ASK(.method = "POST", .target = CLAIM "/accept", .body = "{\"home_net_id\":\"000013\"}", .as = GLOBEX,
               .later = 60, .exactly = true),
           409, "wrong-claim-state");
    admin_end();
}

static void test_denied_is_counted(void **state)
{
    const ljs_server_opts opts = { .struct_size = sizeof opts, .audit = LJS_AUDIT_ON };
    uint32_t before[3] = { 0 }, then[3] = { 0 }, after[3] = { 0 };

    (void)state;
    memset(&aw, 0, sizeof aw);
    server_begin(&aw.w, NULL, &opts);
    token_of(aw.token[4], "audit", LJS_ROLE_AUDIT);
    snprintf(aw.token[6], sizeof aw.token[6], "%s", aw.token[4]);
    aw.token[6][strlen(aw.token[6]) - 1] ^= 1;
    assert_int_equal(ljs_server_each_link(aw.w.server, take_denied, before), LJS_OK);
    for (unsigned i = 0; i < 100; i++) {
        const char *target = i & 1 ? DEVICE "/block" : DEVICE "/unblock";

        expect(ASK(.method = "POST", .target = target, .as = 4, .exactly = true), 403, "forbidden");
        expect(ASK(.method = "POST", .target = target, .as = 6, .exactly = true), 401, "unauthorized");
    }
    assert_int_equal(ljs_server_each_link(aw.w.server, take_denied, then), LJS_OK);
    assert_int_equal(then[0], before[0] + 1);
    assert_int_equal(then[1], 1);
    assert_int_equal(ljs_server_flush_audit(aw.w.server, NOW + 120), LJS_OK);
    assert_int_equal(ljs_server_each_link(aw.w.server, take_denied, after), LJS_OK);
    assert_int_equal(after[0], then[0] + 1);
    assert_int_equal(after[1] + after[2], 100);
    expect(ASK(.method = "POST", .target = DEVICE "/block", .as = 4, .exactly = true, .later = 180), 403, "forbidden");
    memset(after, 0, sizeof after);
    assert_int_equal(ljs_server_each_link(aw.w.server, take_denied, after), LJS_OK);
    assert_int_equal(after[1], 2);
    admin_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_role_at_each_path),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_paths_and_queries),
        cmocka_unit_test(test_provisioning),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_once_filed_elsewhere),
        cmocka_unit_test(test_idempotency_keys_are_not_kept_for_ever),
        cmocka_unit_test(test_what_was_seen),
        cmocka_unit_test(test_lots),
        cmocka_unit_test(test_keks),
        cmocka_unit_test(test_export),
        cmocka_unit_test(test_denied_is_counted),
        cmocka_unit_test(test_who_sees_which_claim),
        cmocka_unit_test(test_once_for_an_account),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
