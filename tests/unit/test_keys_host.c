/* A host that has initialised libgcrypt before us: we use what it left, and where that is
 * too little we say so and go on. */
#include "base/cursor.h"
#include "keys/ring.h"

#include <gcrypt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { RINGS = 64 };

/* libgcrypt is initialised once per process, so each case is a process. */
static void in_a_process(int (*body)(void))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(body());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool works(void)
{
    uint8_t block[16] = { 0 };
    ljs_key *key;
    bool good = ljs_key_generate(&key, 16) == LJS_OK && ljs_aes_encrypt(block, key, block, 16) == LJS_OK;

    ljs_key_free(key);
    return good;
}

static size_t rings_at_once(ljs_err *err)
{
    struct ring *rings[RINGS];
    size_t n = 0;

    *err = LJS_OK;
    while (n < RINGS && !(*err = ljs__ring_take(&rings[n])))
        n++;
    for (size_t i = 0; i < n; i++)
        ljs__ring_give(rings[i]);
    return n;
}

static int small_pool(void)
{
    ljs_err err;
    size_t n;

    gcry_control(GCRYCTL_SUSPEND_SECMEM_WARN);
    gcry_check_version(NULL);
    gcry_control(GCRYCTL_INIT_SECMEM, 32768, 0);
    gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    n = rings_at_once(&err);
    if (n == 0 || n == RINGS || err != LJS_E_NOMEM)
        return 1;
    if (rings_at_once(&err) != n || err != LJS_E_NOMEM) /* nothing was lost on the way */
        return 2;
    return works() ? 0 : 3;
}

static int no_secure_memory(void)
{
    ljs_err err;

    gcry_check_version(NULL);
    gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
    gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    return rings_at_once(&err) == RINGS && works() ? 0 : 1;
}

static int nothing_initialised(void)
{
    ljs_err err;

    if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
        return 1;
    if (rings_at_once(&err) != RINGS || !works())
        return 2;
    return gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P) ? 0 : 3;
}

/* Nobody of importance, with room for one or two locked pages. */
static int no_locked_memory(void)
{
    static const char much[65536];
    const struct rlimit few = { 16384, 16384 };
    struct ring *ring;

    if (setrlimit(RLIMIT_MEMLOCK, &few) || (getuid() == 0 && setuid(65534)))
        return 1;
    if (mlock(much, sizeof much) == 0)
        return 0; /* a sanitizer makes nothing of mlock() */
    return ljs__ring_take(&ring) == LJS_E_NOMEM && !ring ? 0 : 2;
}

static void too_little_locked_memory(void **state)
{
    (void)state;
    in_a_process(no_locked_memory);
}

static void host_has_a_small_pool(void **state)
{
    (void)state;
    in_a_process(small_pool);
}

static void host_has_no_secure_memory(void **state)
{
    (void)state;
    in_a_process(no_secure_memory);
}

static void host_left_it_to_us(void **state)
{
    (void)state;
    in_a_process(nothing_initialised);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_has_a_small_pool),
        cmocka_unit_test(host_has_no_secure_memory),
        cmocka_unit_test(host_left_it_to_us),
        cmocka_unit_test(too_little_locked_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
