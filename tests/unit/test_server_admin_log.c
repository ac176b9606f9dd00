/* The join log of all devices, and the audit log: page by page, to whom they belong, and however long they are. */
#include "admin_world.h"

#include "base/pack.h"
#include "server/internal.h"

#include <lorajs/audit.h>

enum { MANY = 10001 };

static ljs_eui eui_of(unsigned n)
{
    return 0x70b3d5499f000000 + n;
}

/* A join-request with a MIC that is none, whose refusal is written. */
static void refused(unsigned n, int64_t at)
{
    char text[512];
    ljs_buf out;

    snprintf(text, sizeof text,
             "{\"ProtocolVersion\":\"1.0\",\"SenderID\":\"000013\",\"ReceiverID\":\"70b3d57ed00019e4\","
             "\"TransactionID\":1,\"MessageType\":\"JoinReq\",\"MACVersion\":\"1.0.3\",\"PHYPayload\":"
             "\"00e41900d07ed5b370%02x%02x009f49d5b370010000000000\",\"DevEUI\":\"%016llx\",\"DevAddr\":\"01020304\","
             "\"DLSettings\":\"00\",\"RxDelay\":1}",
             n & 255, n >> 8, (unsigned long long)eui_of(n));
    assert_int_equal(ljs_server_handle(&out, aw.w.server, NULL, at, (const uint8_t *)text, strlen(text)), LJS_OK);
    ljs_buf_free(&out);
    assert_int_equal(aw.w.last.err, LJS_E_MIC);
    assert_int_equal(ljs_server_flush(aw.w.server), LJS_OK);
}

/* DevEUIs of a page, in its order; the cursor of the next, "" for none. */
struct seen {
    unsigned at[64], len;
    char cursor[24];
};

static void add_page(struct seen *s, const char *target, unsigned as)
{
    struct got *got = ASK(.method = "GET", .target = target, .as = as, .exactly = true);
    const char *at = got->body;

    expect(got, 200, NULL);
    while ((at = strstr(at, "{\"dev_eui\":\"70b3d5499f"))) {
        assert_true(s->len < COUNT_OF(s->at));
        assert_int_equal(sscanf(at + 22, "%6x", &s->at[s->len++]), 1);
        at++;
    }
    *s->cursor = 0;
    if ((at = strstr(got->body, "\"next_cursor\":\"")))
        assert_int_equal(sscanf(at + 15, "%16[0-9a-f]", s->cursor), 1);
}

static struct seen all_of(const char *query, unsigned as)
{
    struct seen s = { .len = 0 };
    char target[200];

    do {
        snprintf(target, sizeof target, "/v1/decisions?%s%s%s", query, *s.cursor ? "&cursor=" : "", s.cursor);
        add_page(&s, target, as);
    } while (*s.cursor);
    return s;
}

#define SEES(query, as, ...)                                                                                           \
    do {                                                                                                               \
        const unsigned want[] = { 0, __VA_ARGS__ };                                                                    \
        struct seen got_ = all_of(query, as);                                                                          \
                                                                                                                       \
        assert_int_equal(got_.len, COUNT_OF(want) - 1);                                                                \
        assert_memory_equal(got_.at, want + 1, sizeof want - sizeof *want);                                            \
    } while (0)

enum { OPERATE = 2, AUDIT = 4, BOSS = 5 };

static void test_pages(void **state)
{
    (void)state;
    admin_begin();
    for (unsigned n = 1; n <= 20; n++)
        create(n);
    SEES("limit=3", OPERATE);
    for (int n = 20; n > 0; n -= 3) /* 20, 17, ... 2 */
        refused((unsigned)n, NOW + n);
    for (unsigned limit = 1; limit <= 8; limit++) {
        char query[32];

        snprintf(query, sizeof query, "limit=%u", limit);
        SEES(query, limit & 1 ? OPERATE : AUDIT, 2, 5, 8, 11, 14, 17, 20);
    }
    SEES("since=1800000011&limit=2", OPERATE, 11, 14, 17, 20);
    SEES("since=1800000021", OPERATE);
    SEES("outcome=refused", OPERATE, 2, 5, 8, 11, 14, 17, 20);
    SEES("outcome=repeated", OPERATE);
    SEES("prefix=70b3d5499f00001", OPERATE, 17, 20);
    SEES("cursor=70b3d5499f000008", OPERATE, 8, 11, 14, 17, 20);
    SEES("cursor=ffffffffffffffff", OPERATE);
    SEES("prefix=70b3d5499f00000&cursor=70b3d5499f000010", OPERATE); /* behind all that begins so */

    expect(ASK(.method = "GET", .target = "/v1/decisions?outcome=accepted"), 400, "bad-request");
    expect(ASK(.method = "GET", .target = "/v1/decisions?since=-1"), 400, "bad-request");
    expect(ASK(.method = "GET", .target = "/v1/decisions?since=x"), 400, "bad-request");
    expect(ASK(.method = "GET", .target = "/v1/decisions?limit=0"), 400, "bad-request");
    expect(ASK(.method = "GET", .target = "/v1/decisions?limit=1001"), 400, "bad-request");
    expect(ASK(.method = "GET", .target = "/v1/decisions?cursor=1"), 400, "bad-request");
    expect(ASK(.method = "GET", .target = "/v1/decisions?account=%2e"), 400, "bad-request");
    expect(ASK(.method = "GET", .target = "/v1/decisions?removed=true"), 400, "bad-request");
    expect(ASK(.method = "POST", .target = "/v1/decisions"), 405, "method-not-allowed");

    /* Newest first, as for one device; a removed one is told of, too. */
    refused(20, NOW + 30);
    refused(20, NOW + 31);
    assert_non_null(strstr(ASK(.method = "GET", .target = "/v1/decisions?prefix=70b3d5499f000014")->body,
                           "\"decisions\":[{\"at\":1800000031,\"result\":\"MIC\""));
    assert_non_null(
        strstr(ASK(.method = "GET", .target = "/v1/decisions?prefix=70b3d5499f000014")->body, "\"count\":3"));
    expect(ASK(.method = "DELETE", .target = "/v1/devices/70b3d5499f000014", .if_match = "*"), 204, NULL);
    SEES("since=1800000021", OPERATE, 20);
    admin_end();
}

/* An account sees what it owns, since it does; what it is offered is not its own. */
static void test_whose(void **state)
{
    enum { ACME = 6, GLOBEX = 7, CLAIMER = 1 };

    (void)state;
    admin_begin();
    for (unsigned n = 1; n <= 6; n++) {
        create(n);
        refused(n, NOW - 10);
    }
    account_token(aw.token[ACME], "acme");
    account_token(aw.token[GLOBEX], "globex");
    SEES("", ACME);
    expect(ASK(.method = "POST", .target = "/v1/accounts/acme/assign",
               .body = "{\"devices\":[\"70b3d5499f000001\",\"70b3d5499f000003\",\"70b3d5499f000005\"]}"),
           200, NULL);
    expect(
        ASK(.method = "POST", .target = "/v1/accounts/globex/assign", .body = "{\"devices\":[\"70b3d5499f000002\"]}"),
        200, NULL);
    SEES("limit=1", ACME, 1, 3, 5);
    SEES("account=globex", ACME); /* he may ask, and is told nothing */
    SEES("", GLOBEX, 2);
    SEES("account=acme&limit=2", OPERATE, 1, 3, 5);
    SEES("account=acme&prefix=70b3d5499f000003", OPERATE, 3);
    SEES("account=nobody", OPERATE);
    SEES("", BOSS, 1, 2, 3, 4, 5, 6);
    expect(ASK(.method = "GET", .target = "/v1/decisions", .as = CLAIMER, .exactly = true), 403, "forbidden");

    expect(ASK(.method = "POST", .target = "/v1/claims/70b3d5499f000003/offer",
               .body = "{\"to\":\"globex\",\"until\":1800000060}", .as = ACME, .exactly = true),
           200, NULL);
    SEES("", ACME, 1, 3, 5);
    SEES("", GLOBEX, 2);
    expect(ASK(.method = "POST", .target = "/v1/claims/70b3d5499f000003/accept", .body = "{\"home_net_id\":\"000013\"}",
               .as = GLOBEX, .exactly = true),
           200, NULL);
    SEES("", ACME, 1, 5);
    SEES("", GLOBEX, 2); /* nothing of before */
    SEES("since=1", GLOBEX, 2);
    SEES("account=globex", OPERATE, 2, 3); /* who acts for no account has it all */
    refused(3, NOW + 1);
    SEES("", GLOBEX, 2, 3);
    assert_null(strstr(ASK(.method = "GET", .target = "/v1/decisions", .as = GLOBEX, .exactly = true)->body + 1,
                       "\"decisions\":[]"));
    expect(ASK(.method = "DELETE", .target = "/v1/claims/70b3d5499f000003", .as = GLOBEX, .exactly = true), 200, NULL);
    SEES("", GLOBEX, 2);
    admin_end();
}

/* ---- what the disk has --------------------------------------------------------------- */

/* As decisions.c writes it: one refusal of this time. */
static struct wr value_of(ljs_eui dev_eui, int64_t at, unsigned schema)
{
    struct wr w = { 0 };

    ljs__pack_array(&w, 3);
    ljs__pack_uint(&w, schema);
    ljs__pack_uint(&w, dev_eui);
    ljs__pack_array(&w, 9);
    ljs__pack_int(&w, at);
    ljs__pack_int(&w, LJS_E_MIC);
    ljs__pack_uint(&w, LJS_MSG_JOIN_REQ);
    ljs__pack_uint(&w, LJS_FRAME_JOIN);
    ljs__pack_uint(&w, 0x13);
    ljs__pack_uint(&w, 7);
    ljs__pack_uint(&w, 1);
    ljs__pack_uint(&w, 0);
    ljs__pack_text(&w, "ns");
    assert_int_equal(ljs__vault_tag(&w, vault, TAG_LOG), LJS_OK);
    return w;
}

static void put_value(ljs_eui dev_eui, int64_t at, unsigned schema, bool flipped)
{
    struct key key = ljs__key_eui(SPACE_DECISION, dev_eui);
    struct wr w = value_of(dev_eui, at, schema);
    ljs_change change = { .key = key.at, .key_len = key.len, .in = w.data, .in_len = w.len };

    w.data[w.len / 2] ^= flipped;
    assert_int_equal(ljs_store_commit(aw.w.store, &change, 1), LJS_OK);
    assert_int_equal(change.result, LJS_OK);
    ljs__wr_drop(&w);
}

/* Ten thousand devices and one that nothing of the time is told of: a page that finds nothing has a cursor. */
static void test_a_long_walk(void **state)
{
    struct got *got;

    (void)state;
    admin_begin();
    for (unsigned n = 0; n < MANY; n++)
        put_value(eui_of(n), n == MANY - 1 ? NOW : NOW - 1, 1, false);
    got = ASK(.method = "GET", .target = "/v1/decisions?since=1800000000");
    expect(got, 200, NULL);
    assert_string_equal(got->body, "{\"devices\":[],\"next_cursor\":\"70b3d5499f002710\"}\n");
    SEES("since=1800000000", OPERATE, MANY - 1);
    assert_non_null(
        strstr(ASK(.method = "GET", .target = "/v1/decisions?limit=9")->body, "\"next_cursor\":\"70b3d5499f000009\""));
    admin_end();
}

/* One that was tampered with, and one of a later lorajs, hide no other. */
static void test_what_cannot_be_read(void **state)
{
    (void)state;
    admin_begin();
    for (unsigned n = 1; n <= 4; n++)
        put_value(eui_of(n), NOW, n == 3 ? 99 : 1, n == 2);
    SEES("since=1800000000&outcome=repeated", OPERATE, 2, 3);
    SEES("limit=1", OPERATE, 1, 2, 3, 4);
    assert_non_null(strstr(ASK(.method = "GET", .target = "/v1/decisions")->body,
                           "{\"dev_eui\":\"70b3d5499f000002\",\"fault\":\"SEAL\",\"decisions\":[]},"
                           "{\"dev_eui\":\"70b3d5499f000003\",\"fault\":\"VERSION\",\"decisions\":[]}"));
    admin_end();
}

struct told {
    ljs_event event[8];
    unsigned len, most;
};

static ljs_err tell(void *user, const ljs_event *event)
{
    struct told *t = user;

    assert_true(t->len < COUNT_OF(t->event));
    t->event[t->len++] = *event;
    return t->len == t->most ? LJS_E_NOTFOUND : LJS_OK;
}

static void test_the_visit(void **state)
{
    struct told t = { .len = 0 }, two = { .most = 2 };

    (void)state;
    admin_begin();
    assert_int_equal(ljs_server_each_decision(aw.w.server, 0, UINT64_MAX, tell, &t), LJS_OK);
    assert_int_equal(t.len, 0);
    put_value(eui_of(1), NOW, 1, false);
    put_value(eui_of(2), NOW, 1, true);
    put_value(eui_of(4), NOW + 1, 1, false);
    assert_int_equal(ljs_server_each_decision(aw.w.server, eui_of(2), eui_of(4), tell, &t), LJS_OK);
    assert_int_equal(t.len, 2);
    assert_true(t.event[0].dev_eui == eui_of(2) && t.event[0].err == LJS_E_SEAL && !t.event[0].count);
    assert_true(t.event[1].dev_eui == eui_of(4) && t.event[1].err == LJS_E_MIC && t.event[1].count == 1);
    assert_true(t.event[1].at == NOW + 1 && t.event[1].nonce == 7 && !strcmp(t.event[1].peer, "ns"));
    assert_int_equal(ljs_server_each_decision(aw.w.server, 0, UINT64_MAX, tell, &two),
                     LJS_E_NOTFOUND); /* its own word */
    assert_int_equal(two.len, 2);
    assert_int_equal(ljs_server_each_decision(aw.w.server, 5, 4, tell, &t), LJS_OK);
    assert_int_equal(t.len, 2);
    admin_end();
}

/* ---- the audit log --------------------------------------------------------------------- */

/* All entries, as JSON with commas between, by the calls that a tool has; from a link on. */
struct listing {
    char text[60000];
    size_t len;
    unsigned entries;
    ljs_audit_kind kind;   /* 0: all */
    uint64_t writer, last; /* of the longest chain */
};

static ljs_err list_link(void *user, uint64_t writer, uint64_t sequence)
{
    struct listing *l = user;
    ljs_audit_link link;
    ljs_audit_entry e;
    ljs_buf octets, text;

    assert_int_equal(ljs_server_get_link(&octets, aw.w.server, writer, sequence), LJS_OK);
    assert_int_equal(ljs_audit_link_read(&link, octets.data, octets.len), LJS_OK);
    for (unsigned i = 0; i < link.entries; i++) {
        assert_int_equal(ljs_audit_link_entry(&e, i, octets.data, octets.len), LJS_OK);
        if (l->kind && e.kind != l->kind)
            continue;
        assert_int_equal(ljs_audit_entry_json(&text, &link, &e), LJS_OK);
        assert_true(l->len + text.len + 2 < sizeof l->text);
        l->len += (size_t)snprintf(l->text + l->len, sizeof l->text - l->len, "%s%.*s", l->len ? "," : "",
                                   (int)text.len, (const char *)text.data);
        l->entries++;
        ljs_buf_free(&text);
    }
    if (sequence >= l->last) {
        l->last = sequence;
        l->writer = writer;
    }
    ljs_buf_free(&octets);
    return LJS_OK;
}

static struct listing *listing_of(ljs_audit_kind kind, uint64_t writer, uint64_t sequence)
{
    static struct listing l;

    memset(&l, 0, sizeof l);
    l.kind = kind;
    assert_int_equal(ljs_server_each_link_from(aw.w.server, writer, sequence, list_link, &l), LJS_OK);
    return &l;
}

/* What pages have between their brackets, one after the other; how many there were. */
static unsigned audit_pages(char out[60000], const char *query)
{
    char target[200], cursor[48] = "";
    unsigned pages = 0;

    *out = 0;
    do {
        struct got *got;
        char *at, *end;

        snprintf(target, sizeof target, "/v1/audit?%s%s%s", query, *cursor ? "&cursor=" : "", cursor);
        got = ASK(.method = "GET", .target = target, .as = AUDIT, .exactly = true);
        expect(got, 200, NULL);
        assert_int_equal(strncmp(got->body, "{\"entries\":[", 12), 0);
        *cursor = 0;
        if ((at = strstr(got->body, "\"next_cursor\":\"")))
            assert_int_equal(sscanf(at + 15, "%40[0-9a-f]", cursor), 1);
        end = strrchr(got->body, ']');
        *end = 0;
        if (got->body[12]) {
            assert_true(strlen(out) + strlen(got->body) < 60000);
            sprintf(out + strlen(out), "%s%s", *out ? "," : "", got->body + 12);
        }
        pages++;
    } while (*cursor);
    return pages;
}

static void more_chains(unsigned n)
{
    const ljs_server_opts opts = { .struct_size = sizeof opts, .audit = LJS_AUDIT_ON };

    while (n--) {
        ljs_server *other;

        assert_int_equal(ljs_server_new(&other, vault, aw.w.store, &opts), LJS_OK);
        assert_int_equal(ljs_server_set_actor(other, NOW + 7, "operator"), LJS_OK);
        assert_int_equal(ljs_server_note(other, LJS_AUDIT_NOTE, eui_of(3), LJS_OK, "say \"hello\""), LJS_OK);
        ljs_server_free(other);
    }
}

static void logging_begin(void)
{
    world_audit = LJS_AUDIT_ON;
    admin_begin();
    for (unsigned n = 1; n <= 3; n++)
        create(n);
    expect(ASK(.method = "POST", .target = DEVICE "/block", .later = 5), 200, NULL);
    more_chains(3);
}

static void logging_end(void)
{
    admin_end();
    world_audit = LJS_AUDIT_AS_STORE;
}

/* Whatever the limit, pages are the log: each entry once, in its order, also where a link ends in the next page. */
static void test_pages_are_the_log(void **state)
{
    static char got[60000];
    char query[80];
    struct listing *all;
    unsigned pages;

    (void)state;
    logging_begin();
    all = listing_of((ljs_audit_kind)0, 0, 0);
    assert_true(all->entries > 15);
    for (unsigned limit = 1; limit <= all->entries + 1; limit++) {
        snprintf(query, sizeof query, "limit=%u", limit);
        pages = audit_pages(got, query);
        assert_string_equal(got, all->text);
        assert_true(pages == (all->entries + limit - 1) / limit || pages == all->entries / limit + 1);
    }
    audit_pages(got, "kind=device-make&limit=2");
    assert_string_equal(got, listing_of(LJS_AUDIT_DEVICE_MAKE, 0, 0)->text);
    audit_pages(got, "device=70b3d5499f000001&kind=block");
    assert_string_equal(got, listing_of(LJS_AUDIT_BLOCK, 0, 0)->text);
    assert_non_null(strstr(got, "\"at\":1800000005,"));
    assert_non_null(strstr(got, ",\"dev_eui\":\"70b3d5499f000001\",\"who\":\"boss\",\"before\":\""));
    audit_pages(got, "since=1800000007&kind=note&device=70b3d5499f000003&limit=1");
    assert_string_equal(got, listing_of(LJS_AUDIT_NOTE, 0, 0)->text);
    assert_non_null(strstr(got, "\"text\":\"say \\\"hello\\\"\""));
    audit_pages(got, "since=1900000000");
    assert_string_equal(got, "");
    logging_end();
}

/* Of one chain from a number on, which is how to go on with it; and what is asked wrongly. */
static void test_a_chain(void **state)
{
    static const char *const bad[] = { "kind=?",
                                       "kind=blocked",
                                       "device=1",
                                       "chain=1",
                                       "from=1",
                                       "chain=0000000000000001&from=x",
                                       "chain=0000000000000001&from=-1",
                                       "cursor=1",
                                       "cursor=00000000000000010000000000000001000000zz",
                                       "chain=0000000000000001&cursor=0000000000000002000000000000000100000000",
                                       "since=x",
                                       "limit=0",
                                       "limit=1001",
                                       "account=acme",
                                       "prefix=70" };
    static char got[60000];
    char query[120];
    struct listing *all;
    uint64_t writer, last;

    (void)state;
    logging_begin();
    all = listing_of((ljs_audit_kind)0, 0, 0);
    writer = all->writer;
    last = all->last;
    assert_true(last > 3);
    for (uint64_t from = 0; from <= last + 1; from++) {
        const char *want = listing_of((ljs_audit_kind)0, writer, from)->text;
        size_t n;

        snprintf(query, sizeof query, "chain=%016llx&from=%llu&limit=2", (unsigned long long)writer,
                 (unsigned long long)from);
        audit_pages(got, query);
        n = strlen(got);
        assert_true(!strncmp(got, want, n) && (from > last) == !n); /* the other chains come behind it */
        snprintf(query, sizeof query, "\"chain\":\"%016llx\"", (unsigned long long)writer);
        assert_null(strstr(want + n, query));
    }
    expect(ASK(.method = "POST", .target = DEVICE "/unblock", .later = 9), 200, NULL);
    snprintf(query, sizeof query, "chain=%016llx&from=%llu", (unsigned long long)writer, (unsigned long long)last + 1);
    audit_pages(got, query);
    assert_non_null(strstr(got, "\"kind\":\"unblock\""));
    assert_null(strstr(got, "},{"));
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        snprintf(query, sizeof query, "/v1/audit?%s", bad[i]);
        expect(ASK(.method = "GET", .target = query), 400, "bad-request");
    }
    logging_end();
}

/* Nobody but who audits; an account least of all, whose devices it tells of. */
static void test_who_reads_it(void **state)
{
    enum { ACME = 6 };

    (void)state;
    logging_begin();
    account_token(aw.token[ACME], "acme");
    expect(ASK(.method = "POST", .target = "/v1/accounts/acme/assign", .body = "{\"devices\":[\"70b3d5499f000001\"]}"),
           200, NULL);
    for (unsigned as = 0; as <= ACME; as++) {
        bool may = as == AUDIT || as == BOSS;

        expect(ASK(.method = "GET", .target = "/v1/audit", .as = as, .exactly = true), may ? 200 : 403,
               may ? NULL : "forbidden");
        expect(
            ASK(.method = "GET", .target = "/v1/audit?device=70b3d5499f000001&account=acme", .as = as, .exactly = true),
            may ? 400 : 403, may ? "bad-request" : "forbidden");
    }
    logging_end();
}

static void test_a_link_that_was_altered(void **state)
{
    static char got[60000];
    struct listing *all;
    struct key key;
    ljs_change change = { .group = 0 };
    ljs_buf value, now;
    char want[120];

    (void)state;
    logging_begin();
    all = listing_of((ljs_audit_kind)0, 0, 0);
    key = ljs__key_link(all->writer, 1);
    change.key = key.at;
    change.key_len = key.len;
    assert_int_equal(ljs_store_get(&value, &change.if_version, aw.w.store, key.at, key.len), LJS_OK);
    change.in = value.data;
    change.in_len = value.len;
    value.data[value.len / 2] ^= 1;
    assert_int_equal(ljs_store_commit(aw.w.store, &change, 1), LJS_OK);
    snprintf(want, sizeof want, "{\"chain\":\"%016llx\",\"sequence\":1,\"fault\":\"SEAL\"},",
             (unsigned long long)all->writer);
    audit_pages(got, "limit=1");
    assert_non_null(strstr(got, want));
    snprintf(want, sizeof want, "\"chain\":\"%016llx\",\"sequence\":2,\"kind\"", (unsigned long long)all->writer);
    assert_non_null(strstr(got, want));

    value.data[value.len / 2] ^= 1; /* what ends looks whether the log is whole */
    assert_int_equal(ljs_store_get(&now, &change.if_version, aw.w.store, key.at, key.len), LJS_OK);
    ljs_buf_free(&now);
    assert_int_equal(ljs_store_commit(aw.w.store, &change, 1), LJS_OK);
    assert_int_equal(change.result, LJS_OK);
    ljs_buf_free(&value);
    logging_end();
}

/* A page looks at ten thousand links, and goes on where it was. */
static void test_a_long_log(void **state)
{
    static char got[60000];

    (void)state;
    logging_begin();
    for (unsigned n = 0; n < MANY; n++)
        assert_int_equal(ljs_server_note(aw.w.server, LJS_AUDIT_NOTE, 0, LJS_OK, "n"), LJS_OK);
    expect(ASK(.method = "POST", .target = DEVICE "/unblock", .later = 9), 200, NULL);
    assert_int_equal(audit_pages(got, "kind=unblock"), 2);
    assert_non_null(strstr(got, "\"kind\":\"unblock\""));
    assert_null(strstr(got, "},{"));
    logging_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_whose),
        cmocka_unit_test(test_a_long_walk),
        cmocka_unit_test(test_what_cannot_be_read),
        cmocka_unit_test(test_the_visit),
        cmocka_unit_test(test_pages_are_the_log),
        cmocka_unit_test(test_a_chain),
        cmocka_unit_test(test_who_reads_it),
        cmocka_unit_test(test_a_link_that_was_altered),
        cmocka_unit_test(test_a_long_log),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
