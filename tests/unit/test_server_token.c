/* Another storage key in a token under a store in use: made by the security officer, found by who serves, and the old
 * one goes when nothing is under it. */
#include <lorajs/audit.h>
#include <lorajs/backend.h>
#include <lorajs/rewrap.h>
#include <lorajs/server.h>
#include <lorajs/token.h>

#include "keys/vault.h"
#include "softhsm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { DEVICES = 5 };

static const uint8_t pin[] = { '4', '7', '1', '1' };
static const uint8_t so_pin[] = SOFTHSM_SO_PIN;

static char uri[300];
static const char *sealed_uri, *program;
static ljs_vault *vault;
static ljs_store *inner, *store;
static ljs_server *server;
static void (*before_commit)(void); /* once */

/* ---- a store in whose commits others come between ---------------------------------- */

static ljs_err get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    return ljs_store_get(out, version, self, key, key_len);
}

static ljs_err commit(void *self, ljs_change *changes, size_t changes_len)
{
    void (*act)(void) = before_commit;

    before_commit = NULL;
    if (act)
        act();
    return ljs_store_commit(self, changes, changes_len);
}

static ljs_err each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    return ljs_store_each(self, prefix, prefix_len, row, user);
}

static void close_nothing(void *self)
{
    (void)self;
}

static const ljs_store_ops ops = {
    .struct_size = sizeof ops, .get = get, .commit = commit, .each = each, .close = close_nothing
};

/* ---- what is done in these tests ----------------------------------------------------- */

/* In a program of its own, since this one is logged in as the user: its exit code is the number. */
static void next_key(void)
{
    int status;
    pid_t child = fork();

    if (!child) {
        execl(program, program, uri, (char *)NULL);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) > 1);
}

static int officer(const char *where)
{
    uint32_t version;

    return ljs_token_next(&version, where, so_pin, sizeof so_pin - 1) ? 1 : (int)version;
}

static ljs_err make(ljs_eui dev_eui, ljs_key *key)
{
    ljs_device device = {
        .struct_size = sizeof device, .dev_eui = dev_eui, .mac = LJS_MAC_1_0_4, .next_join_nonce = 1
    };
    ljs_root_keys keys = { .app = key };

    return ljs_server_make_device(server, &device, &keys, 0, -1, NULL, 0);
}

static void make_one(ljs_eui dev_eui)
{
    ljs_key *key;

    assert_int_equal(ljs_key_generate(&key, 16), LJS_OK);
    assert_int_equal(make(dev_eui, key), LJS_OK);
    ljs_key_free(key);
}

static ljs_rewrapped walk(ljs_rewrap *r)
{
    ljs_rewrapped so_far;

    do
        assert_int_equal(ljs_rewrap_step(&so_far, r, 2), LJS_OK);
    while (!so_far.done);
    return so_far;
}

/* Each value, and the storage keys that are left. */
static ljs_rewrapped rewrapped(unsigned *keys, bool retire)
{
    ljs_token_storage now;
    ljs_rewrapped so_far;
    ljs_rewrap *r;

    assert_int_equal(ljs_rewrap_new(&r, server), LJS_OK);
    so_far = walk(r);
    assert_int_equal(so_far.damaged, 0);
    if (retire)
        assert_int_equal(ljs_rewrap_retire(r, 0), LJS_OK);
    ljs_rewrap_free(r);
    assert_int_equal(ljs_token_look(&now, vault), LJS_OK);
    assert_int_equal(now.policy, LJS_TOKEN_ROTATABLE);
    *keys = now.versions;
    return so_far;
}

static void retire_meanwhile(void)
{
    unsigned keys;

    next_key();
    rewrapped(&keys, true);
    assert_int_equal(keys, 1);
}

static int begin(void **state)
{
    const ljs_server_opts opts = { .struct_size = sizeof opts, .audit = LJS_AUDIT_UNLESS_OFF };
    ljs_key *kek;

    (void)state;
    snprintf(uri, sizeof uri, "pkcs11:token=lorajs-test;object=officer%s", strchr(sealed_uri, '?'));
    assert_int_equal(ljs_token_init(uri, LJS_TOKEN_ROTATABLE, so_pin, sizeof so_pin - 1), LJS_OK);
    assert_int_equal(ljs_vault_token(&vault, uri, pin, sizeof pin), LJS_OK);
    assert_int_equal(ljs_store_memory(&inner), LJS_OK);
    assert_int_equal(ljs_store_custom(&store, &ops, inner), LJS_OK);
    assert_int_equal(ljs_server_new(&server, vault, store, &opts), LJS_OK);
    for (ljs_eui i = 1; i <= DEVICES; i++)
        make_one(i);
    assert_int_equal(ljs_key_generate(&kek, 32), LJS_OK);
    assert_int_equal(ljs_server_put_kek(server, "kek", kek, 0), LJS_OK);
    ljs_key_free(kek);
    return 0;
}

static int end(void **state)
{
    (void)state;
    ljs_server_free(server);
    ljs_store_free(store);
    ljs_store_free(inner);
    ljs_vault_free(vault);
    softhsm_end();
    return 0;
}

/* ---- tests -------------------------------------------------------------------------- */

static void rotated(void **state)
{
    ljs_token_storage now;
    ljs_rewrapped so_far;
    ljs_rewrap *r;
    unsigned keys;

    (void)state;
    assert_int_equal(rewrapped(&keys, true).changed, 0); /* nothing to do, and nothing is destroyed */
    assert_int_equal(keys, 1);
    next_key();
    assert_int_equal(ljs_token_look(&now, vault), LJS_OK);
    assert_int_equal(now.version, 2);
    assert_int_equal(now.versions, 2);
    make_one(DEVICES + 1); /* under the new one at once */

    assert_int_equal(ljs_rewrap_new(&r, server), LJS_OK);
    do
        assert_int_equal(ljs_rewrap_step(&so_far, r, 1), LJS_OK);
    while (so_far.changed < 2);
    assert_int_equal(ljs_rewrap_retire(r, 0), LJS_E_STATE); /* not done */
    ljs_rewrap_free(r);                                     /* cut off */
    so_far = rewrapped(&keys, false);
    assert_int_equal(so_far.changed, DEVICES + 1 - 2); /* the others */
    assert_int_equal(keys, 2);

    assert_int_equal(ljs_rewrap_new(&r, server), LJS_OK);
    walk(r);
    next_key(); /* since the walk began */
    assert_int_equal(ljs_rewrap_retire(r, 0), LJS_E_STATE);
    ljs_rewrap_free(r);
    assert_int_equal(rewrapped(&keys, true).changed, DEVICES + 2);
    assert_int_equal(keys, 1);
    assert_int_equal(rewrapped(&keys, false).changed, 0); /* and all of it opens */
}

/* Sealed under a key that is replaced, or even destroyed, before it is written. */
static void between(void **state)
{
    ljs_buf record;
    ljs_key *key;
    unsigned keys;

    (void)state;
    before_commit = next_key;
    make_one(20);
    assert_int_equal(rewrapped(&keys, true).changed, DEVICES + 2); /* the others */
    assert_int_equal(keys, 1);

    assert_int_equal(ljs_key_generate(&key, 16), LJS_OK);
    before_commit = retire_meanwhile;
    assert_int_equal(make(21, key), LJS_E_SEAL);
    assert_int_equal(ljs_server_get_device(&record, server, 21), LJS_E_NOTFOUND);
    assert_int_equal(make(21, key), LJS_OK);
    ljs_key_free(key);
    rewrapped(&keys, false); /* none is damaged */
}

/* Who has the PIN makes keys of the same label, and no officer trusts them. */
static void planted(void **state)
{
    ljs_token_storage before, now;
    ljs_vault *other;

    (void)state;
    assert_int_equal(ljs_token_look(&before, vault), LJS_OK);
    assert_true(thief_makes_open_key("officer storage"));
    make_one(30);
    assert_int_equal(ljs_token_look(&now, vault), LJS_OK);
    assert_memory_equal(&before, &now, sizeof now);

    assert_int_equal(ljs_token_init(sealed_uri, LJS_TOKEN_SEALED, pin, sizeof pin), LJS_OK);
    assert_int_equal(ljs_vault_token(&other, sealed_uri, pin, sizeof pin), LJS_OK);
    assert_int_equal(ljs_token_look(&now, other), LJS_OK);
    assert_int_equal(now.policy, LJS_TOKEN_SEALED);
    assert_true(thief_makes_open_key("lorajs storage"));
    assert_int_equal(ljs_token_look(&now, other), LJS_E_STATE);
    ljs_vault_free(other);
    assert_int_equal(ljs_vault_token(&other, sealed_uri, pin, sizeof pin), LJS_E_STATE);
}

static void refused(void **state)
{
    static const uint8_t master[32] = { 1 };
    ljs_token_storage now;
    uint32_t version = 7;
    ljs_vault *soft;

    (void)state;
    assert_int_equal(ljs_token_next(&version, uri, so_pin, sizeof so_pin - 1), LJS_E_STATE); /* the user is in */
    assert_int_equal(version, 0);
    assert_int_equal(ljs_token_next(&version, "file:x", so_pin, sizeof so_pin - 1), LJS_E_INVAL);
    assert_int_equal(ljs_vault_new(&soft, master, sizeof master), LJS_OK);
    assert_int_equal(ljs_token_look(&now, soft), LJS_E_STATE);
    ljs_vault_free(soft);
}

int main(int argc, char **argv)
{
    enum { SKIPPED = 77 };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rotated),
        cmocka_unit_test(between),
        cmocka_unit_test(refused),
        cmocka_unit_test(planted),
    };

    if (argc > 1)
        return officer(argv[1]);
    program = argv[0];
    if (!(sealed_uri = softhsm_begin()))
        return SKIPPED;
    return cmocka_run_group_tests(tests, begin, end);
}
