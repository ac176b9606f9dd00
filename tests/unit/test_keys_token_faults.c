/* A token that fails: each call in its turn, one that is full, and one with few sessions.  SoftHSM does the work; what
 * stands in its list of functions counts, and fails where it is told to. */
#include <lorajs/token.h>

#include "keys/ring_inside.h"
#include "keys/vault.h"
#include "softhsm.h"

#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const uint8_t pin[] = { '4', '7', '1', '1' };
static const uint8_t owner[] = "owner";
static const enum key_id ids[] = { KEY_NWK, KEY_APP, KEY_NS_KEK };
static const enum key_role roles[] = { ROLE_NWK, ROLE_APP, ROLE_KEK };

static const uint8_t so_pin[] = SOFTHSM_SO_PIN;
static const char *uri;
static char officer_uri[300];
static CK_FUNCTION_LIST real;
static atomic_long calls, failing, objects, sessions; /* failing: the number of the call that does; 0: none */
static long objects_max, sessions_max;
static CK_RV how;

static bool fails(void)
{
    return ++calls == failing;
}

/* ---- in front of SoftHSM ------------------------------------------------------------ */

#define IN_FRONT(name, parameters, arguments)                                                                          \
    static CK_RV front_##name parameters                                                                               \
    {                                                                                                                  \
        return fails() ? how : real.C_##name arguments;                                                                \
    }

IN_FRONT(GetTokenInfo, (CK_SLOT_ID a, CK_TOKEN_INFO *b), (a, b))
IN_FRONT(FindObjectsInit, (CK_SESSION_HANDLE s, CK_ATTRIBUTE *a, CK_ULONG b), (s, a, b))
IN_FRONT(FindObjects, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE *a, CK_ULONG b, CK_ULONG *c), (s, a, b, c))
IN_FRONT(SignInit, (CK_SESSION_HANDLE s, CK_MECHANISM *a, CK_OBJECT_HANDLE b), (s, a, b))
IN_FRONT(DecryptInit, (CK_SESSION_HANDLE s, CK_MECHANISM *a, CK_OBJECT_HANDLE b), (s, a, b))
IN_FRONT(WrapKey,
         (CK_SESSION_HANDLE s, CK_MECHANISM *a, CK_OBJECT_HANDLE b, CK_OBJECT_HANDLE c, CK_BYTE *d, CK_ULONG *e),
         (s, a, b, c, d, e))

static bool pin_is_wrong, trust_is_hidden;
static unsigned logins;

static CK_RV front_Login(CK_SESSION_HANDLE s, CK_USER_TYPE a, CK_BYTE *b, CK_ULONG c)
{
    logins++;
    return fails() ? how : pin_is_wrong ? CKR_PIN_INCORRECT : real.C_Login(s, a, b, c);
}

static CK_RV front_GetAttributeValue(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE a, CK_ATTRIBUTE *b, CK_ULONG c)
{
    return fails()                                     ? how
           : trust_is_hidden && b->type == CKA_TRUSTED ? CKR_DEVICE_ERROR
                                                       : real.C_GetAttributeValue(s, a, b, c);
}

/* These end what was begun, also when they fail. */
static CK_RV front_Sign(CK_SESSION_HANDLE s, CK_BYTE *a, CK_ULONG b, CK_BYTE *c, CK_ULONG *d)
{
    CK_RV rv = real.C_Sign(s, a, b, c, d);

    return fails() ? how : rv;
}

static CK_RV front_Decrypt(CK_SESSION_HANDLE s, CK_BYTE *a, CK_ULONG b, CK_BYTE *c, CK_ULONG *d)
{
    CK_RV rv = real.C_Decrypt(s, a, b, c, d);

    return fails() ? how : rv;
}

static CK_RV made(CK_RV rv)
{
    objects += rv == CKR_OK;
    return rv;
}

static bool full(void)
{
    return objects_max && objects >= objects_max;
}

static CK_RV front_CreateObject(CK_SESSION_HANDLE s, CK_ATTRIBUTE *a, CK_ULONG b, CK_OBJECT_HANDLE *c)
{
    return full() ? CKR_DEVICE_MEMORY : fails() ? how : made(real.C_CreateObject(s, a, b, c));
}

static CK_RV front_UnwrapKey(CK_SESSION_HANDLE s, CK_MECHANISM *a, CK_OBJECT_HANDLE b, CK_BYTE *c, CK_ULONG d,
                             CK_ATTRIBUTE *e, CK_ULONG f, CK_OBJECT_HANDLE *g)
{
    return full() ? CKR_DEVICE_MEMORY : fails() ? how : made(real.C_UnwrapKey(s, a, b, c, d, e, f, g));
}

static CK_RV front_DeriveKey(CK_SESSION_HANDLE s, CK_MECHANISM *a, CK_OBJECT_HANDLE b, CK_ATTRIBUTE *c, CK_ULONG d,
                             CK_OBJECT_HANDLE *e)
{
    return full() ? CKR_DEVICE_MEMORY : fails() ? how : made(real.C_DeriveKey(s, a, b, c, d, e));
}

static CK_RV front_DestroyObject(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE a)
{
    CK_RV rv = real.C_DestroyObject(s, a);

    objects -= rv == CKR_OK;
    return rv;
}

static CK_RV front_OpenSession(CK_SLOT_ID a, CK_FLAGS b, void *c, CK_NOTIFY d, CK_SESSION_HANDLE *e)
{
    CK_RV rv = sessions_max && sessions >= sessions_max ? CKR_SESSION_COUNT
               : fails()                                ? how
                                                        : real.C_OpenSession(a, b, c, d, e);

    sessions += rv == CKR_OK;
    return rv;
}

static CK_RV front_CloseSession(CK_SESSION_HANDLE s)
{
    sessions--;
    objects = 0; /* all go together, and their objects with them */
    return real.C_CloseSession(s);
}

static void stand_in_front(void)
{
    CK_FUNCTION_LIST *f = softhsm_functions();

    real = *f;
#define FRONT(name) f->C_##name = front_##name
    FRONT(GetTokenInfo), FRONT(Login), FRONT(FindObjectsInit), FRONT(FindObjects), FRONT(GetAttributeValue);
    FRONT(SignInit), FRONT(Sign), FRONT(DecryptInit), FRONT(Decrypt), FRONT(WrapKey), FRONT(CreateObject);
    FRONT(UnwrapKey), FRONT(DeriveKey), FRONT(DestroyObject), FRONT(OpenSession), FRONT(CloseSession);
}

/* ---- a step --------------------------------------------------------------------------- */

static ljs_vault *vault;
static struct wr sealed[6]; /* sets of other keys each */

struct answer {
    uint8_t mic[16], accept[16];
    ljs_envelope envelope[4];
};

static ljs_err step(struct answer *out, const struct wr *set)
{
    static const enum key_id network[] = { KEY_F_NWK_S_INT, KEY_S_NWK_S_INT, KEY_NWK_S_ENC, KEY_APP_S };
    ljs_envelope *const envelopes[] = { &out->envelope[0], &out->envelope[1], &out->envelope[2], &out->envelope[3] };
    const ljs_derivation what = { .scheme = LJS_SCHEME_1_1, .dev_eui = 1, .join_eui = 2, .join_nonce = 3, .nonce = 4 };
    struct ring *ring;
    ljs_err err;

    memset(out, 0, sizeof *out);
    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    err = ljs__vault_open(vault, ring, ids, roles, COUNT(ids), owner, sizeof owner, set->data, set->len);
    if (!err)
        err = ljs__cmac(ring, KEY_NWK, out->mic, owner, sizeof owner);
    if (!err)
        err = ljs__derive_js(ring, 1);
    if (!err)
        err = ljs__derive_session(ring, &what);
    if (!err)
        err = ljs__decrypt(ring, KEY_JS_ENC, out->accept, out->mic, 16);
    if (!err)
        err = ljs__ring_envelopes(envelopes, ring, network, COUNT(network), KEY_NS_KEK, "kek");
    ljs__ring_give(ring);
    return err;
}

static ljs_err seal(struct wr *out)
{
    struct ring *ring;
    ljs_err err = LJS_OK;

    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    for (size_t i = 0; i < COUNT(ids) && !err; i++) {
        ljs_key *key;

        assert_int_equal(ljs_key_generate(&key, 16), LJS_OK);
        err = ljs__ring_load(ring, ids[i], key);
        ljs_key_free(key);
    }
    if (!err)
        err = ljs__vault_seal(out, vault, ring, ids, roles, COUNT(ids), owner, sizeof owner);
    ljs__ring_give(ring);
    return err;
}

static int begin(void **state)
{
    (void)state;
    stand_in_front();
    snprintf(officer_uri, sizeof officer_uri, "pkcs11:token=lorajs-test;object=officer%s", strchr(uri, '?'));
    assert_int_equal(ljs_token_init(officer_uri, LJS_TOKEN_ROTATABLE, so_pin, sizeof so_pin - 1), LJS_OK);
    assert_int_equal(ljs_token_init(uri, LJS_TOKEN_SEALED, pin, sizeof pin), LJS_OK);
    assert_int_equal(ljs_vault_token(&vault, uri, pin, sizeof pin), LJS_OK);
    for (size_t i = 0; i < COUNT(sealed); i++)
        assert_int_equal(seal(&sealed[i]), LJS_OK);
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sealed); i++)
        ljs__wr_drop(&sealed[i]);
    ljs_vault_free(vault);
    softhsm_end();
    return 0;
}

static const CK_RV ways[] = { CKR_DEVICE_ERROR, CKR_GENERAL_ERROR, CKR_OPERATION_ACTIVE,
                              CKR_KEY_FUNCTION_NOT_PERMITTED };

/* The token is opened anew before the first of them, so that each call of that is among them. */
static void each_call_fails(void **state)
{
    struct answer right, got, none = { .mic = { 0 } };
    long rest = 0;

    (void)state;
    assert_int_equal(step(&right, &sealed[0]), LJS_OK);
    for (size_t way = 0; way < COUNT(ways); way++) {
        bool reached = true;

        how = ways[way];
        for (long nth = 1; reached; nth++) {
            ljs_err err;

            softhsm_reset();
            assert_int_equal(step(&got, &sealed[0]), LJS_E_TOKEN); /* it is away */
            calls = 0;
            failing = nth;
            err = step(&got, &sealed[0]);
            reached = calls >= nth;
            failing = 0;
            assert_true(!err == !reached || !memcmp(&got, &right, sizeof got));
            if (err && how != CKR_KEY_FUNCTION_NOT_PERMITTED) /* nothing that is said of a record or a key */
                assert_true(err == LJS_E_TOKEN || (err == LJS_E_SEAL && how == CKR_GENERAL_ERROR));
            if (err)
                assert_memory_equal(got.envelope, none.envelope, sizeof got.envelope);
            err = step(&got, &sealed[0]);
            assert_int_equal(err, LJS_OK); /* the next finds it in order */
            assert_memory_equal(&got, &right, sizeof got);
            if (!rest)
                rest = objects;
            assert_true(objects <= rest);
        }
        assert_true(calls > 20);
    }
}

static void full_of_what_nobody_uses(void **state)
{
    struct answer got;
    struct wr w = { 0 };

    (void)state;
    objects_max = 14; /* a step has nine of them at once */
    for (size_t i = 0; i < 4 * COUNT(sealed); i++) {
        assert_int_equal(step(&got, &sealed[i % COUNT(sealed)]), LJS_OK);
        assert_int_equal(step(&got, &sealed[i % COUNT(sealed)]), LJS_OK); /* with what stayed */
        assert_int_equal(seal(&w), LJS_OK);
        ljs__wr_drop(&w);
    }
    objects_max = 2; /* too small for a step, which says so and goes on */
    assert_int_equal(step(&got, &sealed[0]), LJS_E_NOMEM);
    objects_max = 0;
    assert_int_equal(step(&got, &sealed[0]), LJS_OK);
}

static void *thread(void *failed)
{
    struct answer got;

    for (size_t i = 0; i < 10; i++)
        *(atomic_int *)failed += step(&got, &sealed[i % COUNT(sealed)]) != LJS_OK;
    return NULL;
}

static void fewer_sessions_than_threads(void **state)
{
    pthread_t threads[6];
    atomic_int failed = 0;
    struct answer got;

    (void)state;
    softhsm_reset();
    assert_int_equal(step(&got, &sealed[0]), LJS_E_TOKEN);
    assert_int_equal(step(&got, &sealed[0]), LJS_OK);
    sessions_max = sessions;
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, thread, &failed), 0);
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    sessions_max = 0;
    assert_int_equal(failed, 0);
}

/* What was read wrong when the token was opened is read again. */
static void policy_read_wrong(void **state)
{
    ljs_vault *sealed_one = vault;
    struct answer got;
    struct wr w = { 0 };

    (void)state;
    assert_int_equal(ljs_vault_token(&vault, officer_uri, pin, sizeof pin), LJS_OK);
    assert_int_equal(seal(&w), LJS_OK);
    assert_int_equal(step(&got, &w), LJS_OK);
    softhsm_reset();
    assert_int_equal(step(&got, &w), LJS_E_TOKEN);
    trust_is_hidden = true;
    assert_int_equal(step(&got, &w), LJS_E_TOKEN);
    trust_is_hidden = false;
    assert_int_equal(step(&got, &w), LJS_OK);
    ljs__wr_drop(&w);
    ljs_vault_free(vault);
    vault = sealed_one;
    assert_int_equal(step(&got, &sealed[0]), LJS_E_TOKEN); /* it was reset for both */
    assert_int_equal(step(&got, &sealed[0]), LJS_OK);
}

/* A few tries lock it, so there is one.  The last test: this vault is not asked again. */
static void a_pin_is_tried_once(void **state)
{
    struct answer got;

    (void)state;
    softhsm_reset();
    assert_int_equal(step(&got, &sealed[0]), LJS_E_TOKEN);
    pin_is_wrong = true;
    logins = 0;
    for (int i = 0; i < 4; i++)
        assert_int_equal(step(&got, &sealed[0]), LJS_E_PIN);
    assert_int_equal(logins, 1);
}

int main(void)
{
    enum { SKIPPED = 77 };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call_fails),
        cmocka_unit_test(full_of_what_nobody_uses),
        cmocka_unit_test(fewer_sessions_than_threads),
        cmocka_unit_test(policy_read_wrong),
        cmocka_unit_test(a_pin_is_tried_once),
    };

    if (!(uri = softhsm_begin()))
        return SKIPPED;
    return cmocka_run_group_tests(tests, begin, end);
}
