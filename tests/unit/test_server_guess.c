/* Guessing owner tokens: what the limits let through, that owners claim meanwhile, what the log tells, and that no
 * answer and no work says which guess was near. */
#include "server/chip.h"

#include "audit_world.h"
#include "random.h"

enum { NOW = 1800000000, TOKENS = 1000, ATTACKERS = 10, SOON = 100000, MILLION = 1000000, DAY = 86400 };

static struct world w;
static unsigned hashed; /* tokens */

/* The linker puts these in the place of the functions that they call (tests/CMakeLists.txt). */
ljs_err __real_ljs__vault_lasting(uint8_t out[16], const ljs_vault *v, const uint8_t *in, size_t in_len);
ljs_err __wrap_ljs__vault_lasting(uint8_t out[16], const ljs_vault *v, const uint8_t *in, size_t in_len);
void __real_ljs__tag(uint8_t out[16], const uint8_t key[32], const uint8_t *in, size_t in_len);
void __wrap_ljs__tag(uint8_t out[16], const uint8_t key[32], const uint8_t *in, size_t in_len);
void __real_ljs__tag_led(uint8_t out[16], const uint8_t key[32], const uint8_t *in, size_t in_len);
void __wrap_ljs__tag_led(uint8_t out[16], const uint8_t key[32], const uint8_t *in, size_t in_len);

ljs_err __wrap_ljs__vault_lasting(uint8_t out[16], const ljs_vault *v, const uint8_t *in, size_t in_len)
{
    hashed++;
    return __real_ljs__vault_lasting(out, v, in, in_len);
}

static unsigned tags;
void __wrap_ljs__tag(uint8_t out[16], const uint8_t key[32], const uint8_t *in, size_t in_len)
{
    tags++;
    __real_ljs__tag(out, key, in, in_len);
}

void __wrap_ljs__tag_led(uint8_t out[16], const uint8_t key[32], const uint8_t *in, size_t in_len)
{
    tags++;
    __real_ljs__tag_led(out, key, in, in_len);
}

static void token_of(char out[9], unsigned device)
{
    snprintf(out, 9, "%08X", (device + 1) * 2654435761U); /* 32 bits, as on many labels */
}

static bool proof; /* is shown with what is claimed; a wrong one */

static ljs_err with(ljs_claim_act act, unsigned device, const char *client, const char *account, int64_t now,
                    const char *token)
{
    ljs_claim_req req = { .struct_size = sizeof req, .act = act, .dev_eui = DEV + device, .now = now };
    ljs_buf got;
    ljs_err err;

    snprintf(req.client, sizeof req.client, "%s", client);
    snprintf(req.account, sizeof req.account, "%s", account);
    req.routing =
        (ljs_routing){ .struct_size = sizeof req.routing, .set = LJS_ROUTE_HOME_NET_ID, .has_home_net_id = 1 };
    if (proof) {
        req.has_chip = 1;
        memset(req.signature, 1, sizeof req.signature);
    }
    err = ljs_server_claim(&got, w.server, &req, (const uint8_t *)token, strlen(token));
    ljs_buf_free(&got);
    return err;
}

static ljs_err try(unsigned device, const char *client, const char *account, int64_t now, const char *token)
{
    return with(LJS_CLAIM_CLAIM, device, client, account, now, token);
}

static void account(const char *name)
{
    ljs_account a = { .struct_size = sizeof a, .at = NOW };

    snprintf(a.name, sizeof a.name, "%s", name);
    assert_int_equal(ljs_server_add_account(w.server, &a), LJS_OK);
}

static void guess_begin(unsigned devices)
{
    char token[9];

    server_begin(&w, NULL, &lab);
    assert_int_equal(ljs_server_set_actor(w.server, NOW, "test"), LJS_OK);
    add_devices(&w, devices);
    for (unsigned i = 0; i < devices; i++) {
        token_of(token, i);
        assert_int_equal(with(LJS_CLAIM_ENROL, i, "", "", NOW, token), LJS_OK);
    }
    account("acme");
    account("eve");
    account("mallory");
    hashed = 0;
}

static void guess_end(void)
{
    log_is_whole(&w);
    server_end(&w);
}

/* ---- the law of the buckets ------------------------------------------------------------ */

/* Tries that are let through of many at once, at one device and then at others. */
static unsigned let_through(unsigned device, const char *client, const char *whose, int64_t now, unsigned n)
{
    unsigned before = hashed;

    for (unsigned i = 0; i < n; i++) {
        unsigned had = hashed;
        ljs_err err = try(device, client, whose, now, "00000000");

        assert_int_equal(err, hashed > had ? LJS_E_CLAIM : LJS_E_LIMIT); /* limits come before hashing */
    }
    return hashed - before;
}

static void test_buckets(void **state)
{
    unsigned sum = 0;
    char token[9];

    (void)state;
    guess_begin(60);
    assert_int_equal(let_through(0, "eve-1", "eve", NOW, 20), LJS_CLAIM_DEVICE_TRIES);
    assert_int_equal(let_through(0, "eve-1", "eve", NOW + LJS_CLAIM_DEVICE_SECONDS - 1, 5), 0);
    assert_int_equal(let_through(0, "eve-1", "eve", NOW + LJS_CLAIM_DEVICE_SECONDS, 5), 1); /* one an hour */
    for (unsigned device = 1; device < 60; device++)
        sum += let_through(device, "eve-1", "eve", NOW + 4000, 10);
    assert_int_equal(sum, LJS_CLAIM_CLIENT_TRIES); /* its bucket was full again */
    assert_int_equal(let_through(59, "eve-1", "eve", NOW + 4000 + LJS_CLAIM_CLIENT_SECONDS - 1, 5), 0);
    assert_int_equal(let_through(59, "eve-1", "eve", NOW + 4000 + LJS_CLAIM_CLIENT_SECONDS, 5), 1);
    /* What its own bucket refuses takes nothing from the device's, or from everybody's. */
    assert_int_equal(let_through(50, "acme-1", "acme", NOW + 4000, 20), LJS_CLAIM_DEVICE_TRIES);

    /* Many clients at one device share what newcomers have there. */
    sum = 0;
    for (unsigned i = 0; i < 10; i++) {
        char name[16];

        snprintf(name, sizeof name, "mallory-%u", i);
        sum += let_through(55, name, "mallory", NOW + 9000, 10);
    }
    assert_int_equal(sum, LJS_CLAIM_NEW_TRIES);
    token_of(token, 55);
    assert_int_equal(try(55, "acme-2", "acme", NOW + 9000, token), LJS_E_LIMIT); /* a newcomer waits */
    token_of(token, 56);
    assert_int_equal(try(56, "acme-2", "acme", NOW + 9000, token), LJS_OK);
    token_of(token, 55);
    assert_int_equal(try(55, "acme-2", "acme", NOW + 9000, token), LJS_OK); /* who has claimed before does not */
    guess_end();
}

/* A success forgets what failed. */
static void test_typing_errors(void **state)
{
    char token[9];

    (void)state;
    guess_begin(120);
    for (unsigned device = 0; device < 120; device++) {
        assert_int_equal(let_through(device, "acme-1", "acme", NOW + 60 * device, 1), 1);
        token_of(token, device);
        assert_int_equal(try(device, "acme-1", "acme", NOW + 60 * device, token), LJS_OK);
        assert_int_equal(try(device, "acme-1", "acme", NOW + 60 * device, ""), LJS_OK); /* its own: no try */
    }
    guess_end();
}

/* ---- a million tries --------------------------------------------------------------------- */

struct tally {
    uint64_t claim, limit, claimed;
};

static ljs_err add_link(void *user, uint64_t writer, uint64_t sequence)
{
    struct tally *t = user;
    ljs_audit_link link;
    ljs_audit_entry e;
    ljs_buf octets;

    assert_int_equal(ljs_server_get_link(&octets, w.server, writer, sequence), LJS_OK);
    assert_int_equal(ljs_audit_link_read(&link, octets.data, octets.len), LJS_OK);
    for (unsigned i = 0; i < link.entries; i++) {
        assert_int_equal(ljs_audit_link_entry(&e, i, octets.data, octets.len), LJS_OK);
        if (e.kind == LJS_AUDIT_REFUSED && e.err == LJS_E_CLAIM)
            t->claim += e.count;
        if (e.kind == LJS_AUDIT_REFUSED && e.err == LJS_E_LIMIT)
            t->limit += e.count;
        t->claimed += e.kind == LJS_AUDIT_CLAIM;
        assert_int_not_equal(e.kind, LJS_AUDIT_MISSED);
    }
    ljs_buf_free(&octets);
    return LJS_OK;
}

/* Ten credentials of two accounts guess through a day, as fast as they can; every owner claims his device in time. */
static void guess(unsigned tries)
{
    const uint64_t most = ATTACKERS * (LJS_CLAIM_CLIENT_TRIES + DAY / LJS_CLAIM_CLIENT_SECONDS);
    struct tally t = { 0 };
    uint64_t seed = 7;
    unsigned owners = 0;
    char client[16], token[9];

    guess_begin(TOKENS);
    for (unsigned i = 0; i < tries; i++) {
        int64_t now = NOW + (int64_t)((uint64_t)i * DAY / tries);
        unsigned who = (unsigned)(random_next(&seed) % ATTACKERS);
        ljs_err err;

        snprintf(client, sizeof client, "%s-%u", who & 1 ? "eve" : "mallory", who);
        snprintf(token, sizeof token, "%08X", (unsigned)random_next(&seed));
        err = try((unsigned)(random_next(&seed) % TOKENS), client, who & 1 ? "eve" : "mallory", now, token);
        assert_true(err == LJS_E_CLAIM || err == LJS_E_LIMIT);
        if (i % (tries / TOKENS) == 0 && owners < TOKENS) {
            token_of(token, owners);
            assert_int_equal(try(owners++, "acme-1", "acme", now, token), LJS_OK);
        }
        if (i % (tries / 1440) == 0)
            assert_int_equal(ljs_server_flush_audit(w.server, now), LJS_OK);
    }
    assert_int_equal(ljs_server_flush_audit(w.server, 0), LJS_OK);
    assert_int_equal(owners, TOKENS);
    assert_in_range(hashed, TOKENS, most + TOKENS);
    assert_int_equal(ljs_server_each_link(w.server, add_link, &t), LJS_OK);
    assert_int_equal(t.claim + t.limit, tries); /* each of them is in the log, and none by itself */
    assert_int_equal(t.claim + t.claimed, hashed);
    assert_int_equal(t.claimed, TOKENS);
    print_message("%u tries: %llu were looked at, %llu refused before; %u owners\n", tries, (unsigned long long)t.claim,
                  (unsigned long long)t.limit, owners);
    guess_end();
}

static void test_guessing(void **state)
{
    (void)state;
    guess(SOON);
}

static void test_a_million_guesses(void **state)
{
    (void)state;
    guess(MILLION);
}

/* ---- which it was ------------------------------------------------------------------------ */

/* As a manifest has left it. */
static void put_chip(unsigned device, uint8_t required)
{
    ljs_chip chip = { .struct_size = sizeof chip, .dev_eui = DEV + device, .at = NOW, .required = required };
    struct key key = ljs__key_eui(SPACE_CHIP, chip.dev_eui);
    ljs_change change = { .key = key.at, .key_len = key.len };
    ljs_buf value;

    strcpy(chip.unique_id, "012300000000000127");
    assert_int_equal(ljs__chip_write(&value, vault, &chip), LJS_OK);
    change.in = value.data;
    change.in_len = value.len;
    assert_int_equal(ljs_store_commit(w.store, &change, 1), LJS_OK);
    assert_int_equal(change.result, LJS_OK);
    ljs_buf_free(&value);
}

/* Unknown, without a token, wrong, out of time and somebody else's, with a chip and without one, with a wrong proof of
 * it or none: one answer and as much hashed. */
static void test_equal_work(void **state)
{
    enum { DEVICES = 7 };
    static const struct {
        unsigned device;
        const char *what;
        bool right; /* the token is */
    } rows[] = {
        { 99, "unknown", false },     { 0, "wrong", false },         { 1, "another's", true },
        { 2, "released", true },      { 3, "retired", true },        { 4, "wrong, and a chip", false },
        { 5, "chip required", true }, { 6, "another's chip", true },
    };
    char token[9];

    (void)state;
    guess_begin(DEVICES);
    for (unsigned device = 1; device < DEVICES; device++) {
        token_of(token, device);
        if (device != 4 && device != 5)
            assert_int_equal(try(device, "acme-1", "acme", NOW, token), LJS_OK);
    }
    assert_int_equal(with(LJS_CLAIM_RELEASE, 2, "acme-1", "acme", NOW, ""), LJS_OK);
    assert_int_equal(with(LJS_CLAIM_RETIRE, 3, "", "", NOW, ""), LJS_OK);
    for (unsigned device = 4; device < DEVICES; device++)
        put_chip(device, device == 5);
    for (size_t i = 0; i < 2 * COUNT_OF(rows); i++) {
        static unsigned want_tags;
        const char *what = rows[i % COUNT_OF(rows)].what;
        unsigned device = rows[i % COUNT_OF(rows)].device;

        proof = i >= COUNT_OF(rows);
        token_of(token, device);
        token[0] ^= !rows[i % COUNT_OF(rows)].right;
        tags = hashed = 0;
        if (try(device, proof ? "eve-2" : "eve-1", "eve", NOW, token) != LJS_E_CLAIM)
            fail_msg("%s", what);
        if (i % COUNT_OF(rows) == 0)
            want_tags = tags;
        if (tags != want_tags || hashed != 1U + proof)
            fail_msg("%s: %u tags, not %u; %u hashes", what, tags, want_tags, hashed);
    }
    proof = false;
    guess_end();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_typing_errors),
        cmocka_unit_test(test_equal_work),
        cmocka_unit_test(test_guessing),
    };
    const struct CMUnitTest campaign[] = { cmocka_unit_test(test_a_million_guesses) };

    if (argc > 1 && strcmp(argv[1], "long") == 0)
        return cmocka_run_group_tests(campaign, world_begin, world_end);
    return cmocka_run_group_tests(tests, world_begin, world_end);
}
