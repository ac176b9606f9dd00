/* Roles by a matrix of another hand, and credentials: whose a token is, and whose none is. */
#include "server_world.h"

#include <lorajs/audit.h>
#include <lorajs/roles.h>

enum { NOW = 1800000000 };

static const struct {
    ljs_role role;
    const char *text;
} roles[] = {
    { LJS_ROLE_PROVISION, "provision" }, { LJS_ROLE_CLAIM, "claim" }, { LJS_ROLE_OPERATE, "operate" },
    { LJS_ROLE_EXPORT, "export" },       { LJS_ROLE_AUDIT, "audit" },
};

static void test_the_matrix(void **state)
{
    static const char *const want[] = {
        /* provision claim operate export audit */
        [LJS_ACT_LIST] = "xxx.x",           [LJS_ACT_READ] = "xxxxx",          [LJS_ACT_PROVISION] = "x....",
        [LJS_ACT_REMOVE] = "x....",         [LJS_ACT_ROUTE] = ".x...",         [LJS_ACT_BLOCK] = "..x..",
        [LJS_ACT_UNBLOCK] = "..x..",        [LJS_ACT_RESET_NONCES] = "..x..",  [LJS_ACT_EXPORT] = "...x.",
        [LJS_ACT_LIST_KEKS] = "xxx.x",      [LJS_ACT_PUT_KEK] = "x....",       [LJS_ACT_REMOVE_KEK] = "x....",
        [LJS_ACT_DECISIONS] = ".xx.x",      [LJS_ACT_ASSIGN] = "x....",        [LJS_ACT_ENROL] = "x....",
        [LJS_ACT_CLAIM] = ".x...",          [LJS_ACT_SUSPEND] = "..x..",       [LJS_ACT_LIST_CLAIMS] = "xxx.x",
        [LJS_ACT_ACCOUNTS] = "x....",       [LJS_ACT_LIST_ACCOUNTS] = "x.x.x", [LJS_ACT_LIST_LOTS] = "x.x.x",
        [LJS_ACT_LIST_DECISIONS] = ".xx.x", [LJS_ACT_AUDIT] = "....x",
    };

    (void)state;
    assert_int_equal(COUNT_OF(want), LJS_ACTS + 1);
    for (int act = -1; act <= LJS_ACTS + 3; act++)
        for (unsigned set = 0; set <= LJS_ROLES_ALL + 1; set++) { /* every set of roles, and a bit that is none */
            int allowed = 0;

            for (size_t i = 0; act > 0 && act <= LJS_ACTS && i < COUNT_OF(roles); i++)
                allowed |= set & (unsigned)roles[i].role && want[act][i] == 'x';
            assert_int_equal(ljs_roles_allow(set, (ljs_act)act), allowed);
        }
}

static void test_names_of_roles(void **state)
{
    static const char *const bad[] = { "",           ",",
                                       "provision,", ",provision",
                                       "Provision",  "provision, claim",
                                       "root",       "provision,provision",
                                       "provisio",   "provisions" };
    uint32_t all = 0, got;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(roles); i++) {
        assert_string_equal(ljs_role_text(roles[i].role), roles[i].text);
        assert_int_equal(ljs_roles_parse(&got, roles[i].text), LJS_OK);
        assert_int_equal(got, roles[i].role);
        all |= got;
    }
    assert_int_equal(all, LJS_ROLES_ALL);
    assert_string_equal(ljs_role_text((ljs_role)3), "?");
    assert_int_equal(ljs_roles_parse(&got, "audit,claim"), LJS_OK);
    assert_int_equal(got, LJS_ROLE_AUDIT | LJS_ROLE_CLAIM);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(ljs_roles_parse(&got, bad[i]), LJS_E_INVAL);
        assert_int_equal(got, 0);
    }
}

static ljs_credential named(const char *name, uint32_t of)
{
    ljs_credential c = { .struct_size = sizeof c, .roles = of, .at = NOW };

    snprintf(c.name, sizeof c.name, "%s", name);
    return c;
}

static ljs_buf token_of(struct world *w, const char *name, uint32_t of, int64_t expires)
{
    ljs_credential c = named(name, of);
    ljs_buf token;

    c.expires = expires;
    assert_int_equal(ljs_server_add_credential(&token, w->server, &c), LJS_OK);
    return token;
}

static ljs_err check(struct world *w, const ljs_buf *token, int64_t now)
{
    ljs_credential c, nobody = { .struct_size = sizeof c };
    ljs_err err = ljs_server_check_token(&c, w->server, now, token->data, token->len);

    if (err)
        assert_memory_equal(&c, &nobody, sizeof c);
    return err;
}

static void test_a_token(void **state)
{
    struct world w;
    ljs_credential c;
    ljs_buf token, more;

    (void)state;
    lab_begin(&w, NULL);
    token = token_of(&w, "ops.example-1", LJS_ROLE_OPERATE | LJS_ROLE_AUDIT, 0);
    assert_int_equal(token.len, 4 + 13 + 1 + 64); /* 256 bits */
    assert_memory_equal(token.data, "ljs_ops.example-1_", 18);
    assert_int_equal(ljs_server_check_token(&c, w.server, NOW, token.data, token.len), LJS_OK);
    assert_string_equal(c.name, "ops.example-1");
    assert_int_equal(c.roles, LJS_ROLE_OPERATE | LJS_ROLE_AUDIT);
    assert_int_equal(c.at, NOW);
    assert_false(c.certificate);

    /* Nobody else's: every octet of it counts, and so does its length. */
    for (size_t i = 0; i < token.len; i++) {
        token.data[i] ^= 1;
        assert_int_equal(check(&w, &token, NOW), LJS_E_NOTFOUND);
        token.data[i] ^= 1;
    }
    for (size_t n = 0; n < token.len; n++)
        assert_int_equal(ljs_server_check_token(&c, w.server, NOW, n ? token.data : NULL, n), LJS_E_NOTFOUND);
    assert_int_equal(ljs_server_check_token(&c, w.server, NOW, token.data + 1, token.len - 1), LJS_E_NOTFOUND);
    assert_int_equal(check(&w, &token, NOW), LJS_OK);
    assert_int_equal(ljs_server_check_certificate(&c, w.server, NOW, "ops.example-1"), LJS_E_NOTFOUND);

    /* Two of one name there are not; and one of the same name again is another. */
    c = named("ops.example-1", LJS_ROLE_EXPORT);
    assert_int_equal(ljs_server_add_credential(&more, w.server, &c), LJS_E_EXISTS);
    assert_null(more.data);
    assert_int_equal(ljs_server_del_credential(w.server, "ops.example-1"), LJS_OK);
    assert_int_equal(check(&w, &token, NOW), LJS_E_NOTFOUND);
    assert_int_equal(ljs_server_del_credential(w.server, "ops.example-1"), LJS_E_NOTFOUND);
    more = token_of(&w, "ops.example-1", LJS_ROLE_EXPORT, 0);
    assert_int_equal(check(&w, &token, NOW), LJS_E_NOTFOUND);
    assert_int_equal(check(&w, &more, NOW), LJS_OK);
    ljs_buf_free(&more);
    ljs_buf_free(&token);
    server_end(&w);
}

static void test_expiry(void **state)
{
    struct world w;
    ljs_buf token, ever;

    (void)state;
    lab_begin(&w, NULL);
    token = token_of(&w, "guest", LJS_ROLE_AUDIT, NOW);
    ever = token_of(&w, "ever", LJS_ROLE_AUDIT, 0);
    assert_int_equal(check(&w, &token, NOW - 1), LJS_OK);
    assert_int_equal(check(&w, &token, NOW), LJS_E_NOTFOUND);
    assert_int_equal(check(&w, &token, NOW + 1), LJS_E_NOTFOUND);
    assert_int_equal(check(&w, &ever, INT64_MAX), LJS_OK);
    ljs_buf_free(&token);
    ljs_buf_free(&ever);
    server_end(&w);
}

static void test_a_certificate(void **state)
{
    struct world w;
    ljs_credential c = named("ops.example", LJS_ROLE_AUDIT), got;
    ljs_buf none;

    (void)state;
    lab_begin(&w, NULL);
    c.certificate = 1;
    c.expires = NOW + 1;
    assert_int_equal(ljs_server_add_credential(&none, w.server, &c), LJS_OK);
    assert_null(none.data);
    assert_int_equal(ljs_server_check_certificate(&got, w.server, NOW, "ops.example"), LJS_OK);
    assert_memory_equal(&got, &c, sizeof c);
    assert_int_equal(ljs_server_check_certificate(&got, w.server, NOW + 1, "ops.example"), LJS_E_NOTFOUND);
    assert_int_equal(got.roles, 0);
    assert_int_equal(ljs_server_check_certificate(&got, w.server, NOW, "ops.examplf"), LJS_E_NOTFOUND);
    assert_int_equal(ljs_server_check_certificate(&got, w.server, NOW, ""), LJS_E_NOTFOUND);
    assert_int_equal(ljs_server_check_certificate(&got, w.server, NOW, "*"), LJS_E_NOTFOUND);
    server_end(&w);
}

static void test_what_is_no_credential(void **state)
{
    static const char *const bad[] = { "", "a_b", "a b", "a/b", "a\n", "\xc3\xa9", "?" };
    struct world w;
    ljs_credential c;
    ljs_buf token;

    (void)state;
    lab_begin(&w, NULL);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        c = named(bad[i], LJS_ROLE_AUDIT);
        assert_int_equal(ljs_server_add_credential(&token, w.server, &c), LJS_E_INVAL);
        assert_int_equal(ljs_server_del_credential(w.server, bad[i]), LJS_E_INVAL);
    }
    c = named("a", LJS_ROLE_AUDIT);
    memset(c.name, 'a', sizeof c.name); /* without its end */
    assert_int_equal(ljs_server_add_credential(&token, w.server, &c), LJS_E_INVAL);
    c = named("a", 0);
    assert_int_equal(ljs_server_add_credential(&token, w.server, &c), LJS_E_INVAL);
    c = named("a", LJS_ROLES_ALL + 1);
    assert_int_equal(ljs_server_add_credential(&token, w.server, &c), LJS_E_INVAL);
    c = named("a", LJS_ROLE_AUDIT);
    c.expires = -1;
    assert_int_equal(ljs_server_add_credential(&token, w.server, &c), LJS_E_INVAL);
    c = named("a", LJS_ROLE_AUDIT);
    c.struct_size = 0;
    assert_int_equal(ljs_server_add_credential(&token, w.server, &c), LJS_E_INVAL);
    server_end(&w);
}

struct listed {
    char text[256];
};

static ljs_err list_row(void *user, const ljs_credential *c)
{
    struct listed *l = user;
    size_t at = strlen(l->text);

    snprintf(l->text + at, sizeof l->text - at, "%s:%u:%u ", c->name, (unsigned)c->roles, c->certificate);
    return strcmp(c->name, "stop") ? LJS_OK : LJS_E_BUSY;
}

static void test_the_list(void **state)
{
    struct world w;
    struct listed l = { "" };
    ljs_credential c = named("b", LJS_ROLE_CLAIM);
    ljs_buf token;

    (void)state;
    lab_begin(&w, NULL);
    token = token_of(&w, "c", LJS_ROLE_AUDIT, 1);
    ljs_buf_free(&token);
    c.certificate = 1;
    assert_int_equal(ljs_server_add_credential(&token, w.server, &c), LJS_OK);
    token = token_of(&w, "stop", LJS_ROLES_ALL, 0);
    ljs_buf_free(&token);
    token = token_of(&w, "unseen", LJS_ROLES_ALL, 0);
    ljs_buf_free(&token);
    assert_int_equal(ljs_server_each_credential(w.server, list_row, &l), LJS_E_BUSY);
    assert_string_equal(l.text, "b:2:1 c:16:0 stop:31:0 ");
    server_end(&w);
}

struct told {
    struct world *w;
    char text[512];
};

static ljs_err tell_link(void *user, uint64_t writer, uint64_t sequence)
{
    struct told *t = user;
    ljs_audit_entry e;
    ljs_buf link;

    assert_int_equal(ljs_server_get_link(&link, t->w->server, writer, sequence), LJS_OK);
    for (unsigned i = 0; !ljs_audit_link_entry(&e, i, link.data, link.len); i++)
        if (e.kind == LJS_AUDIT_ROLE)
            snprintf(t->text + strlen(t->text), sizeof t->text - strlen(t->text), "%s by %s; ", e.text, e.who);
    ljs_buf_free(&link);
    return LJS_OK;
}

static void test_the_audit_log_tells(void **state)
{
    const ljs_server_opts opts = { .struct_size = sizeof opts, .audit = LJS_AUDIT_ON };
    struct world w;
    struct told told = { &w, "" };
    ljs_buf token;

    (void)state;
    server_begin(&w, NULL, &opts);
    assert_int_equal(ljs_server_set_actor(w.server, NOW, "boss"), LJS_OK);
    token = token_of(&w, "ops", LJS_ROLE_OPERATE | LJS_ROLE_AUDIT, 0);
    ljs_buf_free(&token);
    assert_int_equal(ljs_server_del_credential(w.server, "ops"), LJS_OK);
    assert_int_equal(ljs_server_each_link(w.server, tell_link, &told), LJS_OK);
    assert_string_equal(told.text, "ops may operate audit by boss; ops removed by boss; ");
    server_end(&w);
}

/* Whoever writes to the disk makes nobody of somebody, and nothing else. */
static void test_the_disk(void **state)
{
    struct world w;
    ljs_buf token, value, other;
    ljs_change change = { .key = (const uint8_t *)"cops", .key_len = 4 };
    struct listed l = { "" };
    uint64_t version;

    (void)state;
    lab_begin(&w, NULL);
    token = token_of(&w, "ops", LJS_ROLE_AUDIT, 0);
    other = token_of(&w, "boss", LJS_ROLES_ALL, 0);
    assert_int_equal(ljs_store_get(&value, &change.if_version, w.store, change.key, change.key_len), LJS_OK);
    for (size_t at = 18; at + 64 <= token.len; at++) /* nothing of the secret is there */
        for (size_t i = 0; i + 8 <= value.len; i++)
            assert_true(memcmp(value.data + i, token.data + token.len - 64, 8) != 0);
    change.in = value.data;
    change.in_len = value.len;
    for (size_t i = 0; i < value.len; i++) {
        ljs_buf now;

        value.data[i] ^= 0x10;
        assert_int_equal(ljs_store_commit(w.store, &change, 1), LJS_OK);
        assert_int_equal(check(&w, &token, NOW), LJS_E_NOTFOUND);
        assert_int_equal(ljs_server_each_credential(w.server, list_row, &l), LJS_E_SEAL);
        value.data[i] ^= 0x10;
        assert_int_equal(ljs_store_get(&now, &change.if_version, w.store, change.key, change.key_len), LJS_OK);
        ljs_buf_free(&now);
    }
    ljs_buf_free(&value);

    /* The boss's filed under the other's name. */
    assert_int_equal(ljs_store_get(&value, &version, w.store, (const uint8_t *)"cboss", 5), LJS_OK);
    change.in = value.data;
    change.in_len = value.len;
    assert_int_equal(ljs_store_commit(w.store, &change, 1), LJS_OK);
    assert_int_equal(check(&w, &token, NOW), LJS_E_NOTFOUND);
    assert_int_equal(check(&w, &other, NOW), LJS_OK);
    ljs_buf_free(&value);
    ljs_buf_free(&token);
    ljs_buf_free(&other);
    server_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_matrix),
        cmocka_unit_test(test_names_of_roles),
        cmocka_unit_test(test_a_token),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_a_certificate),
        cmocka_unit_test(test_what_is_no_credential),
        cmocka_unit_test(test_the_list),
        cmocka_unit_test(test_the_disk),
        cmocka_unit_test(test_the_audit_log_tells),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
