/* Many threads derive, wrap and seal at once, with handles they share and handles of their
 * own, and each gets what one thread alone got. */
#include "base/cursor.h"
#include "base/secret.h"
#include "keys/ring.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { THREADS = 8, ROUNDS = 200 };

static ljs_key *shared, *kek;
static ljs_envelope want[ROUNDS];

static ljs_err derive_and_wrap(ljs_envelope *out, uint32_t join_nonce)
{
    const ljs_derivation what = { .name = LJS_KEY_F_NWK_S_INT, .scheme = LJS_SCHEME_1_1, .join_nonce = join_nonce };
    ljs_key *key = NULL, *back = NULL;
    ljs_err err = ljs_derive(&key, &what, shared);

    if (!err)
        err = ljs_envelope_seal(out, key, kek, "kek");
    if (!err)
        err = ljs_envelope_open(&back, out, kek);
    ljs_key_free(key);
    ljs_key_free(back);
    return err;
}

static void *run(void *failed)
{
    for (uint32_t i = 0; i < ROUNDS; i++) {
        ljs_envelope got;

        if (derive_and_wrap(&got, i) || !ljs__equal(&got, &want[i], sizeof got))
            ++*(int *)failed;
    }
    return NULL;
}

static void *ring_run(void *failed)
{
    static const enum key_id ids[] = { KEY_F_NWK_S_INT };

    for (uint32_t i = 0; i < ROUNDS; i++) {
        const ljs_derivation what = { .scheme = LJS_SCHEME_1_1, .join_nonce = i };
        ljs_envelope got = { 0 }, *const out[] = { &got };
        struct ring *ring;

        if (ljs__ring_take(&ring) || ljs__ring_load(ring, KEY_NWK, shared) || ljs__ring_load(ring, KEY_APP, shared) ||
            ljs__ring_load(ring, KEY_NS_KEK, kek) || ljs__derive_session(ring, &what) ||
            ljs__ring_envelopes(out, ring, ids, 1, KEY_NS_KEK, "kek") || !ljs__equal(&got, &want[i], sizeof got))
            ++*(int *)failed;
        ljs__ring_give(ring);
    }
    return NULL;
}

static void together(void *(*body)(void *))
{
    pthread_t threads[THREADS];
    int failed[THREADS] = { 0 };

    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, body, &failed[i]), 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(failed[i], 0);
    }
}

static void handles(void **state)
{
    (void)state;
    together(run);
}

static void rings(void **state)
{
    (void)state;
    together(ring_run);
}

/* More rings out at once than the pool keeps, so that handles are opened and closed all
 * the time, which is done under the pool's lock. */
static void *churn(void *failed)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct ring *out[12];

        for (size_t r = 0; r < COUNT(out); r++)
            *(int *)failed += ljs__ring_take(&out[r]) != LJS_OK;
        for (size_t r = 0; r < COUNT(out); r++)
            ljs__ring_give(out[r]);
    }
    return NULL;
}

/* A fork while others compute: the child must neither hang nor crash. */
static void *fork_often(void *failed)
{
    for (int i = 0; i < 20; i++) {
        int status;
        pid_t pid = fork();

        if (pid == 0) {
            static const uint8_t octets[16] = { 1 };
            uint8_t block[16];
            ljs_key *key;

            alarm(30);
            _exit(ljs_key_import(&key, octets, 16) || ljs_aes_encrypt(block, key, octets, 16) ||
                  ljs_aes_encrypt(block, shared, octets, 16) != LJS_E_STATE);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status))
            ++*(int *)failed;
    }
    return NULL;
}

static void fork_meanwhile(void **state)
{
    pthread_t forker;
    int failed = 0;

    (void)state;
    assert_int_equal(pthread_create(&forker, NULL, fork_often, &failed), 0);
    together(churn);
    assert_int_equal(pthread_join(forker, NULL), 0);
    assert_int_equal(failed, 0);
}

static int prepare(void **state)
{
    (void)state;
    if (ljs_key_generate(&shared, 16) || ljs_key_generate(&kek, 32))
        return -1;
    for (uint32_t i = 0; i < ROUNDS; i++)
        if (derive_and_wrap(&want[i], i))
            return -1;
    return 0;
}

static int clean(void **state)
{
    (void)state;
    ljs_key_free(shared);
    ljs_key_free(kek);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handles),
        cmocka_unit_test(rings),
        cmocka_unit_test(fork_meanwhile),
    };

    return cmocka_run_group_tests(tests, prepare, clean);
}
