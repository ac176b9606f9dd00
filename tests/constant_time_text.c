/* Keys as text: their digits are undefined when tests/constant_time.py runs this under valgrind. */
#include <lorajs/import.h>

#include "base/cursor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/memcheck.h>

int hex_octets(uint8_t *out, size_t n, const char *text); /* tools/data.c */

#define CHECK(truth) ((truth) ? (void)0 : fail(#truth, __LINE__))

static void fail(const char *what, int line)
{
    fprintf(stderr, "constant_time_text.c:%d: %s\n", line, what);
    exit(1);
}

static const char good[] = "0123456789abcdefABCDEF9876543210", bad[] = "0123456789abcdefABCDEF987654321g";

/* A copy whose octets are secret; free() it. */
static char *secret(const char *text)
{
    char *copy = strdup(text);

    CHECK(copy);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(copy, strlen(text));
    return copy;
}

static void read_digits(const char *text, size_t n, bool want)
{
    uint8_t library[16], tool[16];
    char *digits = secret(text);
    int none;

    CHECK(ljs__hex(library, n, digits, 2 * n) == want);
    none = hex_octets(tool, n, digits);
    (void)VALGRIND_MAKE_MEM_DEFINED(&none, sizeof none);
    CHECK(!none == want);
    (void)VALGRIND_MAKE_MEM_DEFINED(library, n);
    (void)VALGRIND_MAKE_MEM_DEFINED(tool, n);
    (void)VALGRIND_MAKE_MEM_DEFINED(digits, 2 * n);
    CHECK(!want || memcmp(library, tool, n) == 0);
    CHECK(!want || library[n - 1] == strtoul((const char[]){ text[2 * n - 2], text[2 * n - 1], 0 }, NULL, 16));
    free(digits);
}

static void write_digits(void)
{
    static const uint8_t octets[7] = { 0x00, 0x9a, 0xa9, 0xf0, 0x0f, 0x99, 0xff };
    struct wr w = { 0 };
    char *copy = malloc(sizeof octets);

    CHECK(copy);
    memcpy(copy, octets, sizeof octets);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(copy, sizeof octets);
    ljs__wr_hex(&w, (const uint8_t *)copy, sizeof octets);
    CHECK(!w.bad && w.len == 2 * sizeof octets);
    (void)VALGRIND_MAKE_MEM_DEFINED(w.data, w.len);
    CHECK(memcmp(w.data, "009aa9f00f99ff", w.len) == 0);
    ljs__wr_drop(&w);
    free(copy);
}

/* A line of `device import`: its keys are secret, all else is not. */
static void read_line(const char *key, bool want)
{
    char line[256], *at;
    size_t len;
    ljs_import import;

    snprintf(line, sizeof line,
             "{\"dev_eui\":\"0102030405060708\",\"join_eui\":\"70b3d57ed0000000\",\"lorawan_version\":\"1.0.4\","
             "\"app_key\":\"%s\"}",
             key);
    len = strlen(line);
    at = strstr(line, key);
    CHECK(at);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(at, strlen(key));
    CHECK(ljs_import_parse(&import, (const uint8_t *)line, len) == (want ? LJS_OK : LJS_E_INVAL));
    if (want) {
        CHECK(import.app && ljs_key_check(import.app) == LJS_OK);
    } else {
        CHECK(!import.app && strcmp(import.fault, "app_key: must be 32 hexadecimal digits") == 0);
    }
    ljs_import_clear(&import);
}

int main(void)
{
    for (size_t n = 1; n <= 16; n++)
        read_digits(good, n, true);
    read_digits(bad, 16, false);
    read_digits("g123", 2, false);
    write_digits();
    read_line(good, true);
    read_line(bad, false);
    return 0;
}
