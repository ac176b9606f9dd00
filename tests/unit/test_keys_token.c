/* A vault in a token: what it keeps in, what it refuses, and what a thief with the PIN gets. */
#include <lorajs/token.h>

#include "base/secret.h"
#include "keys/ring_inside.h"
#include "keys/vault.h"
#include "softhsm.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static const uint8_t pin[] = { '4', '7', '1', '1' };
static const uint8_t owner[] = "owner";
static const enum key_id ids[] = { KEY_NWK, KEY_APP, KEY_NS_KEK };
static const enum key_role roles[] = { ROLE_NWK, ROLE_APP, ROLE_KEK };

static const char *uri;
static ljs_vault *vault;
static ljs_key *keys[3]; /* what was put in */
static struct wr sealed;

/* While nobody in this process has logged in: a token does not ask twice. */
static void wrong_pin(void)
{
    static const uint8_t wrong[] = { '4', '7', '1', '2' };
    ljs_token_report report;

    assert_int_equal(ljs_vault_token(&vault, uri, wrong, sizeof wrong), LJS_E_PIN);
    assert_null(vault);
    assert_int_equal(ljs_token_check(&report, uri, wrong, sizeof wrong), LJS_E_PIN);
    assert_int_equal(ljs_token_init(uri, LJS_TOKEN_SEALED, wrong, sizeof wrong), LJS_E_PIN);
    assert_int_equal(ljs_vault_token(&vault, uri, pin, 0), LJS_E_PIN);
}

static char officer_uri[300];

static void by_the_officer(void)
{
    static const uint8_t so_pin[] = SOFTHSM_SO_PIN;

    snprintf(officer_uri, sizeof officer_uri, "pkcs11:token=lorajs-test;object=officer%s", strchr(uri, '?'));
    assert_int_equal(ljs_token_init(officer_uri, LJS_TOKEN_ROTATABLE, pin, sizeof pin), LJS_E_PIN);
    assert_int_equal(ljs_token_init(officer_uri, LJS_TOKEN_ROTATABLE, so_pin, sizeof so_pin - 1), LJS_OK);
    assert_int_equal(ljs_token_init(officer_uri, LJS_TOKEN_ROTATABLE, so_pin, sizeof so_pin - 1), LJS_E_EXISTS);
}

static int begin(void **state)
{
    struct ring *ring;

    (void)state;
    assert_int_equal(ljs_vault_token(&vault, uri, pin, sizeof pin), LJS_E_NOTFOUND); /* not prepared */
    assert_null(vault);
    assert_int_equal(ljs_token_init(uri, LJS_TOKEN_SEALED, pin, sizeof pin), LJS_OK);
    assert_int_equal(ljs_token_init(uri, LJS_TOKEN_SEALED, pin, sizeof pin), LJS_E_EXISTS);
    wrong_pin();
    by_the_officer();
    assert_int_equal(ljs_vault_token(&vault, uri, pin, sizeof pin), LJS_OK);
    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    for (size_t i = 0; i < COUNT(keys); i++) {
        assert_int_equal(ljs_key_generate(&keys[i], i == 2 ? 32 : 16), LJS_OK);
        assert_int_equal(ljs__ring_load(ring, ids[i], keys[i]), LJS_OK);
    }
    assert_int_equal(ljs__vault_seal(&sealed, vault, ring, ids, roles, COUNT(ids), owner, sizeof owner), LJS_OK);
    ljs__ring_give(ring);
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(keys); i++)
        ljs_key_free(keys[i]);
    ljs__wr_drop(&sealed);
    ljs_vault_free(vault);
    softhsm_end();
    return 0;
}

static struct ring *opened(void)
{
    struct ring *ring;

    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    assert_int_equal(ljs__vault_open(vault, ring, ids, roles, COUNT(ids), owner, sizeof owner, sealed.data, sealed.len),
                     LJS_OK);
    return ring;
}

static ljs_derivation session(void)
{
    return (ljs_derivation){ .scheme = LJS_SCHEME_1_1, .dev_eui = 1, .join_eui = 2, .join_nonce = 3, .nonce = 4 };
}

/* ---- as without a token ------------------------------------------------------------- */

/* The envelope that leaves the token holds the key that would be derived here. */
static void expect_session(struct ring *ring)
{
    static const struct {
        enum key_id id;
        ljs_key_name name;
        int root;
    } wanted[] = { { KEY_F_NWK_S_INT, LJS_KEY_F_NWK_S_INT, 0 },
                   { KEY_S_NWK_S_INT, LJS_KEY_S_NWK_S_INT, 0 },
                   { KEY_NWK_S_ENC, LJS_KEY_NWK_S_ENC, 0 },
                   { KEY_APP_S, LJS_KEY_APP_S, 1 } };
    ljs_derivation what = session();
    ljs_envelope e = { 0 }, *out[] = { &e };

    for (size_t i = 0; i < COUNT(wanted); i++) {
        ljs_key *want, *got;
        ljs_buf a, b;

        assert_int_equal(ljs__ring_envelopes(out, ring, &wanted[i].id, 1, KEY_NS_KEK, "kek"), LJS_OK);
        assert_string_equal(e.kek_label, "kek");
        what.name = wanted[i].name;
        assert_int_equal(ljs_derive(&want, &what, keys[wanted[i].root]), LJS_OK);
        assert_int_equal(ljs_envelope_open(&got, &e, keys[2]), LJS_OK);
        assert_int_equal(ljs_key_export(&a, want), LJS_OK);
        assert_int_equal(ljs_key_export(&b, got), LJS_OK);
        assert_memory_equal(a.data, b.data, 16);
        ljs_buf_free(&a);
        ljs_buf_free(&b);
        ljs_key_free(want);
        ljs_key_free(got);
    }
    ljs__ring_give(ring);
}

static void same_session_keys(void **state)
{
    const ljs_derivation what = session();
    const uint8_t request[23] = { 0 };
    struct ring *ring = opened();

    (void)state;
    assert_int_equal(ljs__join_check(ring, request, sizeof request, &what), LJS_E_INSIDE);
    assert_false(ljs__ring_has(ring, KEY_F_NWK_S_INT));
    assert_int_equal(ljs__derive_session(ring, &what), LJS_OK);
    expect_session(ring);
}

/* A key known by its octets and one known by the token are known as the same. */
static void fingerprints(void **state)
{
    uint8_t inside[16], outside[16], other[16];
    static const enum key_id swapped[] = { KEY_APP, KEY_NWK, KEY_NS_KEK };
    ljs_vault *again;
    struct ring *ring = opened();

    (void)state;
    assert_int_equal(ljs__vault_fingerprint(inside, vault, ring, ids, roles, COUNT(ids)), LJS_OK);
    assert_int_equal(ljs__vault_fingerprint(other, vault, ring, swapped, roles, COUNT(ids)), LJS_OK);
    assert_memory_not_equal(inside, other, 16);
    for (size_t i = 0; i < COUNT(ids); i++)
        assert_int_equal(ljs__ring_load(ring, ids[i], keys[i]), LJS_OK);
    assert_int_equal(ljs__vault_fingerprint(outside, vault, ring, ids, roles, COUNT(ids)), LJS_OK);
    assert_memory_equal(inside, outside, 16);
    ljs__ring_give(ring);

    assert_int_equal(ljs_vault_token(&again, uri, pin, sizeof pin), LJS_OK); /* and later */
    ring = opened();
    assert_int_equal(ljs__vault_fingerprint(other, again, ring, ids, roles, COUNT(ids)), LJS_OK);
    assert_memory_equal(inside, other, 16);
    ljs__ring_give(ring);
    ljs_vault_free(again);
}

static void expect_closed(const uint8_t *ad, size_t ad_len, size_t len, ljs_err want)
{
    struct ring *ring;

    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    for (size_t i = 0; i < COUNT(ids); i++)
        assert_int_equal(ljs__ring_load(ring, ids[i], keys[i]), LJS_OK);
    assert_int_equal(ljs__vault_open(vault, ring, ids, roles, COUNT(ids), ad, ad_len, sealed.data, len), want);
    for (size_t i = 0; i < COUNT(ids); i++)
        assert_false(ljs__ring_has(ring, ids[i]));
    ljs__ring_give(ring);
}

/* RFC 3394 binds a key to nothing; the set is bound to its owner all the same. */
static void tampered(void **state)
{
    static uint8_t long_ad[2048];

    (void)state;
    for (size_t bit = 0; bit < 8 * sealed.len; bit++) {
        sealed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        expect_closed(owner, sizeof owner, sealed.len, bit < 8 ? LJS_E_VERSION : LJS_E_SEAL);
        sealed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t len = 0; len < sealed.len; len++)
        expect_closed(owner, sizeof owner, len, LJS_E_SEAL);
    expect_closed(owner, sizeof owner - 1, sealed.len, LJS_E_SEAL);
    expect_closed(NULL, 0, sealed.len, LJS_E_SEAL);
    expect_closed(long_ad, sizeof long_ad, sealed.len, LJS_E_INVAL);
    ljs__ring_give(opened());
}

/* ---- what stays in --------------------------------------------------------------------- */

static void nothing_in_clear(void **state)
{
    static const uint8_t master[32] = { 1 };
    ljs_derivation what = session();
    struct ring *ring = opened();
    ljs_envelope e, *out[] = { &e };
    const enum key_id app_s[] = { KEY_APP_S };
    struct wr w = { 0 };
    uint8_t print[16];
    ljs_vault *soft;
    ljs_key *key;

    (void)state;
    assert_int_equal(ljs__derive_session(ring, &what), LJS_OK);
    assert_int_equal(ljs__derive_js(ring, 1), LJS_OK);
    for (enum key_id id = KEY_NWK; id < KEY_WORK; id++) {
        if (!ljs__ring_has(ring, id))
            continue;
        assert_true(ljs__ring_inside(ring, id));
        assert_true(ljs__is_zero(ring->slot[id].octets, sizeof ring->slot[id].octets));
        assert_int_equal(ljs__ring_key(&key, ring, id), LJS_E_INSIDE);
        assert_null(key);
    }
    memset(&e, 7, sizeof e);
    assert_int_equal(ljs__ring_envelopes(out, ring, app_s, 1, KEY_NONE, ""), LJS_E_KEK);
    assert_true(ljs__is_zero(&e, sizeof e));
    /* under another vault neither a root key goes, nor anything of it */
    assert_int_equal(ljs_vault_new(&soft, master, sizeof master), LJS_OK);
    assert_int_equal(ljs__vault_seal(&w, soft, ring, ids, roles, COUNT(ids), owner, sizeof owner), LJS_E_INSIDE);
    assert_int_equal(ljs__vault_fingerprint(print, soft, ring, ids, roles, COUNT(ids)), LJS_E_INSIDE);
    /* and the policy `sealed` wraps none a second time */
    assert_int_equal(ljs__vault_seal(&w, vault, ring, ids, roles, COUNT(ids), owner, sizeof owner), LJS_E_INSIDE);
    assert_int_equal(w.len, 0);
    ljs_vault_free(soft);
    ljs__ring_give(ring);
}

static const uint8_t *wrapped_nwk(size_t *len)
{
    assert_int_equal(sealed.data[3], ROLE_NWK);
    *len = sealed.data[4];
    return sealed.data + 5;
}

/* Where the storage key has no unwrap template, the PIN reads every root key; where we made it, none. */
static void thief(void **state)
{
    uint8_t got[16] = { 0 };
    ljs_token_report report;
    size_t len;
    const uint8_t *wrapped = wrapped_nwk(&len);
    char open_uri[300], *at;
    ljs_vault *open;
    struct ring *ring;
    struct wr w = { 0 };
    ljs_buf want;

    (void)state;
    assert_int_not_equal(thief_unwraps(got, "lorajs storage", wrapped, len), 0);
    assert_true(ljs__is_zero(got, sizeof got));
    assert_int_equal(ljs_token_check(&report, uri, pin, sizeof pin), LJS_OK);
    assert_int_equal(report.faults, 0);
    assert_int_equal(report.policy, LJS_TOKEN_SEALED);
    assert_int_equal(report.version, 1);
    assert_string_equal(report.label, "lorajs-test");

    assert_true(thief_makes_open_key("open storage"));
    strcpy(open_uri, uri);
    at = strchr(open_uri, '?');
    snprintf(at, sizeof open_uri - (size_t)(at - open_uri), ";object=open%s", strchr(uri, '?'));
    assert_int_equal(ljs_token_init(open_uri, LJS_TOKEN_SEALED, pin, sizeof pin),
                     LJS_OK); /* what is missing: its tags */
    assert_int_equal(ljs_vault_token(&open, open_uri, pin, sizeof pin), LJS_OK);
    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    assert_int_equal(ljs__ring_load(ring, KEY_NWK, keys[0]), LJS_OK);
    assert_int_equal(ljs__vault_seal(&w, open, ring, ids, roles, 1, owner, sizeof owner), LJS_OK);
    assert_int_equal(thief_unwraps(got, "open storage", w.data + 5, w.data[4]), 0);
    assert_int_equal(ljs_key_export(&want, keys[0]), LJS_OK);
    assert_memory_equal(got, want.data, sizeof got);
    assert_int_equal(ljs_token_check(&report, open_uri, pin, sizeof pin), LJS_OK);
    assert_int_equal(report.faults & (LJS_TOKEN_CLEAR | LJS_TOKEN_CHANGEABLE), LJS_TOKEN_CLEAR | LJS_TOKEN_CHANGEABLE);
    ljs_buf_free(&want);
    ljs__ring_give(ring);
    ljs__wr_drop(&w);
    ljs_vault_free(open);
}

/* Whoever has the PIN can make a storage key of his own beside ours, with a higher number or the same.  Nothing goes
 * under it: the policy `sealed` has one, and of two it cannot be said which is ours. */
static void planted(void **state)
{
    char text[300];
    ljs_token_report report;
    ljs_vault *v;

    (void)state;
    snprintf(text, sizeof text, "pkcs11:token=lorajs-test;object=planted%s", strchr(uri, '?'));
    assert_int_equal(ljs_token_init(text, LJS_TOKEN_SEALED, pin, sizeof pin), LJS_OK);
    assert_int_equal(ljs_vault_token(&v, text, pin, sizeof pin), LJS_OK);
    ljs_vault_free(v);
    assert_true(thief_makes_numbered_key("planted storage", 2));
    assert_int_equal(ljs_vault_token(&v, text, pin, sizeof pin), LJS_E_STATE);
    assert_null(v);
    assert_int_equal(ljs_token_check(&report, text, pin, sizeof pin), LJS_E_STATE);
}

/* Made by the officer: what is under one storage key goes under the next inside the token, and under nobody else's. */
static void rotatable(void **state)
{
    static const uint8_t so_pin[] = SOFTHSM_SO_PIN;
    uint8_t got[16], print[2][16];
    ljs_token_report report;
    struct wr w[2] = { { 0 }, { 0 } };
    struct ring *ring;
    ljs_vault *v;

    (void)state;
    /* the officer does not come in while this process is there as the user */
    assert_int_equal(ljs_token_init(officer_uri, LJS_TOKEN_ROTATABLE, so_pin, sizeof so_pin - 1), LJS_E_STATE);
    for (uint8_t number = 2; number < 4; number++) /* which the officer does not trust, wherever they are among them */
        assert_true(thief_makes_numbered_key("officer storage", number));
    assert_int_equal(ljs_vault_token(&v, officer_uri, pin, sizeof pin), LJS_OK);
    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    for (size_t i = 0; i < COUNT(keys); i++)
        assert_int_equal(ljs__ring_load(ring, ids[i], keys[i]), LJS_OK);
    assert_int_equal(ljs__vault_seal(&w[0], v, ring, ids, roles, COUNT(ids), owner, sizeof owner), LJS_OK);
    assert_int_equal(ljs__vault_fingerprint(print[0], v, ring, ids, roles, COUNT(ids)), LJS_OK);
    assert_int_equal(ljs__vault_open(v, ring, ids, roles, COUNT(ids), owner, sizeof owner, w[0].data, w[0].len),
                     LJS_OK);
    assert_true(ljs__vault_sealed_now(v, w[0].data, w[0].len));
    assert_int_equal(ljs__vault_seal(&w[1], v, ring, ids, roles, COUNT(ids), owner, sizeof owner), LJS_OK);
    assert_int_equal(ljs__vault_open(v, ring, ids, roles, COUNT(ids), owner, sizeof owner, w[1].data, w[1].len),
                     LJS_OK);
    assert_int_equal(ljs__vault_fingerprint(print[1], v, ring, ids, roles, COUNT(ids)), LJS_OK);
    assert_memory_equal(print[0], print[1], 16);
    assert_int_not_equal(thief_unwraps(got, "officer storage", w[0].data + 5, w[0].data[4]), 0);
    assert_int_equal(ljs_token_check(&report, officer_uri, pin, sizeof pin), LJS_OK);
    assert_int_equal(report.policy, LJS_TOKEN_ROTATABLE);
    assert_int_equal(report.version, 1);
    assert_int_equal(report.faults, LJS_TOKEN_NO_PIN); /* its price, and nothing else */
    ljs__ring_give(ring);
    ljs__wr_drop(&w[0]);
    ljs__wr_drop(&w[1]);
    ljs_vault_free(v);
}

/* ---- what goes wrong -------------------------------------------------------------------- */

static void uris(void **state)
{
    ljs_vault *v;
    ljs_buf source;
    char text[300];

    (void)state;
    static const struct {
        const char *uri;
        ljs_err want;
    } cases[] = {
        { "pkcs11:token=lorajs-test;bad=%zz", LJS_E_INVAL },
        { "file:token", LJS_E_INVAL },
        { "", LJS_E_INVAL },
        { "pkcs11:token=lorajs-test;pin-value=4711", LJS_E_INVAL },
        { "pkcs11:token=lorajs-test?pin-value=4711", LJS_E_INVAL },
        { "pkcs11:token=lorajs-test?module-path=/nowhere.so", LJS_E_NOTFOUND },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(ljs_vault_token(&v, cases[i].uri, pin, sizeof pin), cases[i].want);
        assert_null(v);
    }
    snprintf(text, sizeof text, "pkcs11:token=another%s", strchr(uri, '?'));
    assert_int_equal(ljs_vault_token(&v, text, pin, sizeof pin), LJS_E_NOTFOUND);

    assert_int_equal(ljs_token_pin_source(&source, "pkcs11:token=a?pin-source=file:/a%20b"), LJS_OK);
    assert_int_equal(source.len, strlen("file:/a b"));
    assert_memory_equal(source.data, "file:/a b", source.len);
    ljs_buf_free(&source);
    assert_int_equal(ljs_token_pin_source(&source, "pkcs11:token=a"), LJS_OK);
    assert_int_equal(source.len, 0);
    assert_int_equal(ljs_token_pin_source(&source, "pkcs11:token=a?pin-value=1"), LJS_E_INVAL);
}

static int in_child(void (*run)(void))
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (!child) {
        run();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define CHILD(good)                                                                                                    \
    do {                                                                                                               \
        if (!(good))                                                                                                   \
            _exit(__LINE__ % 250 + 1);                                                                                 \
    } while (0)

static struct ring *mine; /* that a child has a copy of */

static void child_of_fork(void)
{
    uint8_t in[16] = { 0 };
    struct ring *ring;
    struct wr w = { 0 };
    ljs_vault *own;

    CHILD(ljs__ring_take(&ring) == LJS_OK);
    CHILD(ljs__vault_open(vault, ring, ids, roles, COUNT(ids), owner, sizeof owner, sealed.data, sealed.len) ==
          LJS_E_STATE);
    CHILD(ljs__vault_seal(&w, vault, ring, ids, roles, COUNT(ids), owner, sizeof owner) == LJS_E_STATE);
    CHILD(ljs__vault_fingerprint(in, vault, ring, ids, roles, COUNT(ids)) == LJS_E_STATE);
    ljs__ring_give(ring);
    ljs__ring_drop(mine, KEY_NWK);
    ljs__ring_give(mine);
    ljs_vault_free(vault);
    CHILD(ljs_vault_token(&own, uri, pin, sizeof pin) == LJS_OK); /* one of its own */
    CHILD(ljs__ring_take(&ring) == LJS_OK);
    CHILD(ljs__vault_open(own, ring, ids, roles, COUNT(ids), owner, sizeof owner, sealed.data, sealed.len) == LJS_OK);
    ljs__ring_give(ring);
    ljs_vault_free(own);
}

static void after_fork(void **state)
{
    uint8_t mac[16];

    (void)state;
    mine = opened();
    assert_int_equal(in_child(child_of_fork), 0);
    assert_int_equal(ljs__cmac(mine, KEY_NWK, mac, owner, sizeof owner), LJS_OK); /* the parent's goes on */
    ljs__ring_give(mine);
}

static ljs_err try_open(void)
{
    struct ring *ring;
    uint8_t mac[16];
    ljs_err err;

    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    err = ljs__vault_open(vault, ring, ids, roles, COUNT(ids), owner, sizeof owner, sealed.data, sealed.len);
    if (!err)
        err = ljs__cmac(ring, KEY_NWK, mac, owner, sizeof owner);
    ljs__ring_give(ring);
    return err;
}

/* What is asked of a token that was reset fails once, and then it has been opened anew.  One that is gone is an
 * error that says so, and nothing else: not that there is no record, nor that one was tampered with. */
static void reset_and_removed(void **state)
{
    char from[64], to[80], command[400];

    (void)state;
    assert_int_equal(try_open(), LJS_OK);
    softhsm_reset();
    assert_int_equal(try_open(), LJS_E_TOKEN);
    assert_int_equal(try_open(), LJS_OK);

    snprintf(from, sizeof from, "%s", softhsm_folder());
    snprintf(to, sizeof to, "%s.away", from);
    softhsm_reset();
    assert_int_equal(rename(from, to), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(try_open(), LJS_E_TOKEN);
    snprintf(command, sizeof command, "mkdir %s && cp %s/softhsm2.conf %s", from, to, from); /* SoftHSM, and no token */
    assert_int_equal(system(command), 0);
    assert_int_equal(try_open(), LJS_E_TOKEN);
    snprintf(command, sizeof command, "rm -r %s", from);
    assert_int_equal(system(command), 0);
    assert_int_equal(rename(to, from), 0);
    assert_int_equal(try_open(), LJS_OK);
}

/* More threads than rings are idle, and keys that push each other out of what stays unwrapped. */
static void *thread(void *failed)
{
    for (int i = 0; i < 20; i++) {
        const enum key_id id = KEY_NWK;
        const enum key_role role = ROLE_NWK;
        struct wr w = { 0 };
        struct ring *ring = NULL;
        ljs_key *key = NULL;
        ljs_derivation what = session();
        uint8_t a[16], b[16];

        what.scheme = LJS_SCHEME_1_0;
        if (ljs_key_generate(&key, 16) || ljs__ring_take(&ring) || ljs__ring_load(ring, id, key) ||
            ljs__vault_seal(&w, vault, ring, &id, &role, 1, owner, sizeof owner) ||
            ljs__vault_open(vault, ring, &id, &role, 1, owner, sizeof owner, w.data, w.len) ||
            ljs__cmac(ring, id, a, owner, sizeof owner) || ljs_aes_cmac(b, key, owner, sizeof owner) ||
            memcmp(a, b, sizeof a) != 0 || ljs__derive_session(ring, &what))
            *(atomic_int *)failed += 1;
        ljs__ring_give(ring);
        ljs__wr_drop(&w);
        ljs_key_free(key);
        *(atomic_int *)failed += try_open() != LJS_OK;
    }
    return NULL;
}

static void threads(void **state)
{
    pthread_t threads[8];
    atomic_int failed = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, thread, &failed), 0);
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(failed, 0);
}

int main(void)
{
    enum { SKIPPED = 77 };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_session_keys), cmocka_unit_test(fingerprints), cmocka_unit_test(tampered),
        cmocka_unit_test(nothing_in_clear),  cmocka_unit_test(thief),        cmocka_unit_test(uris),
        cmocka_unit_test(after_fork),        cmocka_unit_test(threads),      cmocka_unit_test(reset_and_removed),
        cmocka_unit_test(planted),           cmocka_unit_test(rotatable),
    };

    if (!(uri = softhsm_begin()))
        return SKIPPED;
    return cmocka_run_group_tests(tests, begin, end);
}
