/* Every key is undefined: linked before a test program with the linker's --wrap, this marks the octets
 * of each key, master key, passphrase and token as it comes in, so that valgrind tells of every branch and
 * index that depends on one.  tests/constant_time.py builds and runs it. */
#include <lorajs/master.h>
#include <lorajs/roles.h>

#include "keys/ring_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <valgrind/memcheck.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static unsigned marked; /* no test passes because nothing was */

static void tell(void)
{
    fprintf(stderr, "constant_time: %u secrets\n", marked);
}

__attribute__((constructor)) static void begin(void)
{
    const char *only = getenv("CONSTANT_TIME_ONLY");

    if (!RUNNING_ON_VALGRIND) {
        fputs("constant_time: this proves something under valgrind only\n", stderr);
        exit(1);
    }
    if (only && *only)
        cmocka_set_test_filter(only);
    atexit(tell);
}

static void mark(void *mem, size_t len)
{
    (void)VALGRIND_MAKE_MEM_UNDEFINED(mem, len);
    marked++;
}

/* A copy, since a test may compare with what it gave. */
static uint8_t *secret_of(const uint8_t *in, size_t in_len)
{
    uint8_t *copy = malloc(in_len + 1);

    if (!copy)
        abort();
    if (in_len)
        memcpy(copy, in, in_len);
    mark(copy, in_len);
    return copy;
}

#define OVER_SECRET(call)                                                                                              \
    do {                                                                                                               \
        uint8_t *secret = in ? secret_of(in, in_len) : NULL;                                                           \
        ljs_err err = call;                                                                                            \
                                                                                                                       \
        free(secret);                                                                                                  \
        return err;                                                                                                    \
    } while (0)

ljs_err __real_ljs_key_import(ljs_key **out, const uint8_t *in, size_t in_len);
ljs_err __wrap_ljs_key_import(ljs_key **out, const uint8_t *in, size_t in_len);
ljs_err __real_ljs_key_generate(ljs_key **out, size_t len);
ljs_err __wrap_ljs_key_generate(ljs_key **out, size_t len);
ljs_err __real_ljs_vault_new(ljs_vault **out, const uint8_t *in, size_t in_len);
ljs_err __wrap_ljs_vault_new(ljs_vault **out, const uint8_t *in, size_t in_len);
ljs_err __real_ljs_master_seal(ljs_buf *out, const ljs_key *key, uint32_t memory, uint32_t passes, const uint8_t *in,
                               size_t in_len);
ljs_err __wrap_ljs_master_seal(ljs_buf *out, const ljs_key *key, uint32_t memory, uint32_t passes, const uint8_t *in,
                               size_t in_len);
ljs_err __real_ljs_master_open(ljs_key **out, const uint8_t *in, size_t in_len, const uint8_t *record,
                               size_t record_len);
ljs_err __wrap_ljs_master_open(ljs_key **out, const uint8_t *in, size_t in_len, const uint8_t *record,
                               size_t record_len);

ljs_err __real_ljs_server_check_token(ljs_credential *out, ljs_server *server, int64_t now, const uint8_t *in,
                                      size_t in_len);
ljs_err __wrap_ljs_server_check_token(ljs_credential *out, ljs_server *server, int64_t now, const uint8_t *in,
                                      size_t in_len);

ljs_err __wrap_ljs_key_import(ljs_key **out, const uint8_t *in, size_t in_len)
{
    OVER_SECRET(__real_ljs_key_import(out, secret, in_len));
}

ljs_err __wrap_ljs_key_generate(ljs_key **out, size_t len)
{
    ljs_err err = __real_ljs_key_generate(out, len);

    if (!err)
        mark((*out)->octets, len);
    return err;
}

ljs_err __wrap_ljs_vault_new(ljs_vault **out, const uint8_t *in, size_t in_len)
{
    OVER_SECRET(__real_ljs_vault_new(out, secret, in_len));
}

ljs_err __wrap_ljs_master_seal(ljs_buf *out, const ljs_key *key, uint32_t memory, uint32_t passes, const uint8_t *in,
                               size_t in_len)
{
    OVER_SECRET(__real_ljs_master_seal(out, key, memory, passes, secret, in_len));
}

ljs_err __wrap_ljs_master_open(ljs_key **out, const uint8_t *in, size_t in_len, const uint8_t *record,
                               size_t record_len)
{
    OVER_SECRET(__real_ljs_master_open(out, secret, in_len, record, record_len));
}

/* The name in front is none; the digits behind it are. */
ljs_err __wrap_ljs_server_check_token(ljs_credential *out, ljs_server *server, int64_t now, const uint8_t *in,
                                      size_t in_len)
{
    enum { DIGITS = 64 };
    uint8_t *copy = malloc(in_len + 1);
    ljs_err err;

    if (!copy)
        abort();
    if (in_len)
        memcpy(copy, in, in_len);
    if (in_len > DIGITS)
        mark(copy + in_len - DIGITS, DIGITS);
    err = __real_ljs_server_check_token(out, server, now, copy, in_len);
    free(copy);
    return err;
}
