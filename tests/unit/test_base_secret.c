#include "base/secret.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static int init_once(void **state)
{
    (void)state;
    return ljs__init();
}

static void *init_thread(void *result)
{
    *(ljs_err *)result = ljs__init();
    return NULL;
}

static void init_from_threads(void **state)
{
    pthread_t threads[4];
    ljs_err result[4] = { LJS_E_STATE, LJS_E_STATE, LJS_E_STATE, LJS_E_STATE };

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, init_thread, &result[i]), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(result[i], LJS_OK);
}

/* In a child, so that what it does to itself stays there.  @return its wait status */
static int in_child(int (*what)(void))
{
    int status = -1;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(what());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static unsigned parents;

static int grandchild(void)
{
    return ljs__process() == parents;
}

static int child(void)
{
    unsigned mine = ljs__process();

    if (mine == parents || mine != ljs__process())
        return 1;
    parents = mine;
    return in_child(grandchild) != 0;
}

static void process_changes_with_fork(void **state)
{
    (void)state;
    parents = ljs__process();
    assert_int_equal(in_child(child), 0);
    assert_int_equal(ljs__process(), parents);
}

static void secret_memory(void **state)
{
    static const size_t lengths[] = { 1, 16, 32, 4095, 4096, 4097, 20000 };

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uint8_t *secret = ljs__secret_alloc(lengths[i]);

        assert_non_null(secret);
        assert_true(ljs__is_zero(secret, lengths[i]));
        memset(secret, 0xa5, lengths[i]);
        ljs__secret_free(secret);
    }
    ljs__secret_free(NULL);
}

static int past_the_end(void)
{
    uint8_t *volatile secret = ljs__secret_alloc(16);

    signal(SIGSEGV, SIG_DFL); /* a sanitizer would make an exit of it */
    signal(SIGBUS, SIG_DFL);
    return secret[16]; /* a guard page begins here */
}

static void secret_memory_is_guarded(void **state)
{
    int status;

    (void)state;
    status = in_child(past_the_end);
    assert_true(WIFSIGNALED(status));
}

static int without_locked_memory(void)
{
    const struct rlimit none = { 0, 0 };

    if (setrlimit(RLIMIT_MEMLOCK, &none) || (getuid() == 0 && setuid(65534)))
        return 77;
    if (mlock(&none, sizeof none) == 0)
        return 77; /* nobody counts locked memory here; a sanitizer's mlock() does nothing */
    return ljs__secret_alloc(16) ? 1 : 0;
}

static void secret_memory_is_locked(void **state)
{
    int status = in_child(without_locked_memory);

    (void)state;
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void wipe_and_compare(void **state)
{
    uint8_t a[32], b[32];

    (void)state;
    memset(a, 7, sizeof a);
    ljs__wipe(a + 1, 30);
    assert_int_equal(a[0], 7);
    assert_int_equal(a[31], 7);
    assert_true(ljs__is_zero(a + 1, 30));
    assert_false(ljs__is_zero(a, 31));
    assert_false(ljs__is_zero(a + 1, 31));
    assert_true(ljs__is_zero(a, 0));
    memcpy(b, a, sizeof a);
    assert_true(ljs__equal(a, b, sizeof a));
    for (size_t i = 0; i < sizeof a; i++) {
        b[i] ^= 0x80;
        assert_false(ljs__equal(a, b, sizeof a));
        b[i] ^= 0x80;
    }
    assert_true(ljs__equal(a, "", 0));
}

/* Numbers of octets that the compiler knows are compared in another way than those that it does not. */
#define COMPARE(n)                                                                                                     \
    do {                                                                                                               \
        uint8_t a[66], b[sizeof a];                                                                                    \
                                                                                                                       \
        ljs__random(a, sizeof a);                                                                                      \
        memcpy(b, a, sizeof b);                                                                                        \
        a[0] ^= 1; /* what is around them counts for nothing */                                                        \
        a[(n) + 1] ^= 1;                                                                                               \
        assert_true(ljs__equal(a + 1, b + 1, (n)));                                                                    \
        for (unsigned bit = 0; bit < 8 * (n); bit++) {                                                                 \
            b[1 + bit / 8] ^= (uint8_t)(1 << bit % 8);                                                                 \
            assert_false(ljs__equal(a + 1, b + 1, (n)));                                                               \
            b[1 + bit / 8] ^= (uint8_t)(1 << bit % 8);                                                                 \
        }                                                                                                              \
        assert_true(ljs__equal(a + 1, b + 1, (n)));                                                                    \
    } while (0)

static void compare_every_length(void **state)
{
    (void)state;
    COMPARE(1u);
    COMPARE(2u);
    COMPARE(3u);
    COMPARE(4u);
    COMPARE(5u);
    COMPARE(6u);
    COMPARE(7u);
    COMPARE(8u);
    COMPARE(9u);
    COMPARE(10u);
    COMPARE(11u);
    COMPARE(12u);
    COMPARE(13u);
    COMPARE(14u);
    COMPARE(15u);
    COMPARE(16u);
    COMPARE(17u);
    COMPARE(64u);
    for (volatile size_t n = 1; n <= 20; n++)
        COMPARE(n);
}

static volatile uintptr_t mark_at; /* a number: the array is dead when it is read */

#if defined(__clang__) || defined(__SANITIZE_ADDRESS__)
__attribute__((no_sanitize("address"))) /* which would keep dead frames elsewhere */
#endif
__attribute__((noinline)) static void
leave_mark(uint8_t mark)
{
    volatile uint8_t below[4096]; /* what the functions called later will use */
    volatile uint8_t marks[512];

    mark_at = (uintptr_t)marks < (uintptr_t)below ? (uintptr_t)marks : (uintptr_t)below;
    for (size_t i = 0; i < sizeof below; i++)
        below[i] = mark;
    for (size_t i = 0; i < sizeof marks; i++)
        marks[i] = mark;
}

/* How many octets of the mark are there?  Read through the kernel: no pointer to a dead
 * array is followed. */
static size_t count_mark(uintptr_t at, uint8_t mark)
{
    uint8_t found[512];
    int fd = open("/proc/self/mem", O_RDONLY);
    size_t n = 0;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, found, sizeof found, (off_t)at), sizeof found);
    close(fd);
    for (size_t i = 0; i < sizeof found; i++)
        n += found[i] == mark;
    memset(found, 0, sizeof found);
    return n;
}

static void wipe_stack(void **state)
{
    (void)state;
    leave_mark(0xd7);
    assert_int_equal(count_mark(mark_at, 0xd7), 512); /* else this test would show nothing */
    ljs__wipe_stack(16384);
    assert_int_equal(count_mark(mark_at, 0xd7), 0);
}

static void random_octets(void **state)
{
    uint8_t a[32] = { 0 }, b[32] = { 0 };

    (void)state;
    ljs__random(a, sizeof a);
    ljs__random(b, sizeof b);
    assert_false(ljs__is_zero(a, sizeof a));
    assert_memory_not_equal(a, b, sizeof a);
}

/* Nor one of the parent's in the child of a fork(), which has what the parent had drawn. */
static void names_never_come_twice(void **state)
{
    enum { NAMES = 100, LEN = LJS__ID_LEN };
    uint8_t names[2 * NAMES * LEN], *theirs = names + (ptrdiff_t)NAMES * LEN;
    int ends[2], status;
    pid_t child;

    (void)state;
    ljs__random_id(names); /* so that others are drawn already */
    assert_int_equal(pipe(ends), 0);
    assert_true((child = fork()) >= 0);
    for (size_t i = 0; i < NAMES; i++)
        ljs__random_id(names + i * LEN);
    if (!child)
        _exit(write(ends[1], names, (size_t)NAMES * LEN) != (ssize_t)NAMES * LEN);
    assert_int_equal(read(ends[0], theirs, (size_t)NAMES * LEN), NAMES * LEN);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    for (size_t i = 0; i < (size_t)2 * NAMES; i++)
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(names + i * LEN, names + k * LEN, LEN);
    close(ends[0]);
    close(ends[1]);
}

static void seal_and_open(void **state)
{
    uint8_t key[32], other[32], in[100], sealed[100 + LJS__SEAL_EXTRA], again[100 + LJS__SEAL_EXTRA], out[100];

    (void)state;
    memset(key, 1, sizeof key);
    memset(other, 2, sizeof other);
    memset(in, 0x33, sizeof in);
    for (size_t len = 0; len <= sizeof in; len += 10) {
        size_t sealed_len = len + LJS__SEAL_EXTRA;

        ljs__seal(sealed, key, (const uint8_t *)"ad", 2, in, len);
        ljs__seal(again, key, (const uint8_t *)"ad", 2, in, len);
        assert_memory_not_equal(sealed, again, sealed_len); /* a nonce of its own each time */
        memset(out, 0, sizeof out);
        assert_int_equal(ljs__open(out, key, (const uint8_t *)"ad", 2, sealed, sealed_len), LJS_OK);
        assert_memory_equal(out, in, len);

        memset(out, 0xee, sizeof out);
        assert_int_equal(ljs__open(out, other, (const uint8_t *)"ad", 2, sealed, sealed_len), LJS_E_SEAL);
        assert_true(ljs__is_zero(out, len));
        assert_int_equal(ljs__open(out, key, (const uint8_t *)"aD", 2, sealed, sealed_len), LJS_E_SEAL);
        assert_int_equal(ljs__open(out, key, (const uint8_t *)"ad", 1, sealed, sealed_len), LJS_E_SEAL);
        assert_int_equal(ljs__open(out, key, NULL, 0, sealed, sealed_len), LJS_E_SEAL);
        for (size_t n = 0; n < sealed_len; n++)
            assert_int_equal(ljs__open(out, key, (const uint8_t *)"ad", 2, sealed, n), LJS_E_SEAL);
        for (size_t bit = 0; bit < 8 * sealed_len; bit++) {
            sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_int_equal(ljs__open(out, key, (const uint8_t *)"ad", 2, sealed, sealed_len), LJS_E_SEAL);
            sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        assert_int_equal(ljs__open(out, key, (const uint8_t *)"ad", 2, sealed, sealed_len), LJS_OK);
    }
}

static void tags_and_subkeys(void **state)
{
    /* BLAKE2b-128 of "abc": hashlib.blake2b(b"abc", digest_size=16), and with key=bytes(range(32)) */
    static const uint8_t hash[16] = { 0xcf, 0x4a, 0xb7, 0x91, 0xc6, 0x2b, 0x8d, 0x2b,
                                      0x21, 0x09, 0xc9, 0x02, 0x75, 0x28, 0x78, 0x16 };
    static const uint8_t tag[16] = { 0x1a, 0x64, 0xbe, 0x47, 0xe4, 0x72, 0x9d, 0x95,
                                     0x1c, 0x30, 0x2e, 0xe5, 0x43, 0xf9, 0x7c, 0xf3 };
    /* hashlib.blake2b(bytes(range(32)) + b"abc", digest_size=16) */
    static const uint8_t led[16] = { 0xa4, 0x0f, 0x7d, 0x5f, 0x34, 0xd3, 0xbf, 0x41,
                                     0x65, 0x59, 0xde, 0x32, 0xf5, 0x3a, 0x7d, 0xf4 };
    /* hashlib.blake2b(b"", digest_size=32, key=bytes(range(32)), salt=(1).to_bytes(16, "little"),
     *                 person=b"lorajs__" + bytes(8)) */
    static const uint8_t subkey[32] = { 0xe9, 0xc1, 0xf2, 0x37, 0x6b, 0x6e, 0x35, 0xfa, 0xee, 0xf6, 0x41,
                                        0xbd, 0xdd, 0x4b, 0x57, 0xd4, 0xa0, 0x1c, 0x00, 0x38, 0x0c, 0x13,
                                        0x31, 0x8b, 0x96, 0xad, 0x93, 0xf2, 0x95, 0x76, 0xd6, 0x76 };
    uint8_t key[32], a[32], b[32];

    (void)state;
    for (uint8_t i = 0; i < 32; i++)
        key[i] = i;
    ljs__hash(a, (const uint8_t *)"abc", 3);
    assert_memory_equal(a, hash, 16);
    ljs__tag(a, key, (const uint8_t *)"abc", 3);
    assert_memory_equal(a, tag, 16);
    ljs__tag(b, key, (const uint8_t *)"abd", 3);
    assert_memory_not_equal(a, b, 16);
    ljs__tag_led(a, key, (const uint8_t *)"abc", 3);
    assert_memory_equal(a, led, 16);

    ljs__subkey(a, key, 1, "lorajs__");
    assert_memory_equal(a, subkey, 32);
    ljs__subkey(b, key, 2, "lorajs__");
    assert_memory_not_equal(a, b, 32);
    ljs__subkey(b, key, 1, "lorajs_x");
    assert_memory_not_equal(a, b, 32);
    assert_memory_not_equal(a, key, 32);
}

/* Against the reference implementation: argon2-cffi's hash_secret_raw(..., parallelism=1,
 * hash_len=32, type=Type.ID, version=0x13). */
static void stretched(void **state)
{
    static const struct {
        uint32_t memory, passes;
        uint8_t want[32];
    } known[] = {
        { 8192, 1, { 0x9a, 0xee, 0xf7, 0x53, 0x13, 0xe5, 0x85, 0xf4, 0x92, 0xc3, 0x3c, 0x5e, 0x12, 0xd8, 0x2e, 0x9a,
                     0xd2, 0x53, 0xb7, 0xdd, 0x78, 0x63, 0x2d, 0x53, 0x7e, 0x89, 0x9c, 0xd4, 0xed, 0xdd, 0x78, 0x9c } },
        { 16384,
          3,
          { 0xf0, 0x72, 0x31, 0x3e, 0x32, 0x1a, 0x04, 0x1b, 0xa7, 0xa8, 0xfa, 0x60, 0x86, 0x97, 0x93, 0x67,
            0xd1, 0xce, 0x28, 0x5a, 0x4e, 0x34, 0x02, 0x0c, 0x10, 0x90, 0x1c, 0xda, 0x2a, 0xf7, 0x35, 0x53 } },
    };
    static const char passphrase[] = "correct horse battery staple";
    uint8_t salt[16], out[32];

    (void)state;
    for (uint8_t i = 0; i < sizeof salt; i++)
        salt[i] = i;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        assert_int_equal(
            ljs__stretch(out, salt, known[i].memory, known[i].passes, (const uint8_t *)passphrase, strlen(passphrase)),
            LJS_OK);
        assert_memory_equal(out, known[i].want, sizeof out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init_from_threads),
        cmocka_unit_test(process_changes_with_fork),
        cmocka_unit_test(secret_memory),
        cmocka_unit_test(secret_memory_is_guarded),
        cmocka_unit_test(secret_memory_is_locked),
        cmocka_unit_test(wipe_and_compare),
        cmocka_unit_test(compare_every_length),
        cmocka_unit_test(wipe_stack),
        cmocka_unit_test(random_octets),
        cmocka_unit_test(names_never_come_twice),
        cmocka_unit_test(seal_and_open),
        cmocka_unit_test(tags_and_subkeys),
        cmocka_unit_test(stretched),
    };

    return cmocka_run_group_tests(tests, init_once, NULL);
}
