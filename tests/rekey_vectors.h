/* rekey_vectors.h -- the known answers of tests/vectors/rekey-1.txt, by name. */
#ifndef TESTS_REKEY_VECTORS_H
#define TESTS_REKEY_VECTORS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many octets; at most `room`.  Whatever is not as the test expects it ends it. */
static inline size_t rekey_octets(uint8_t *out, size_t room, const char *name)
{
    FILE *file = fopen(TESTS_DIR "/vectors/rekey-1.txt", "r");
    char line[256], found[32], hex[192];
    size_t n = 0;

    assert_non_null(file);
    while (!n && fgets(line, sizeof line, file))
        if (sscanf(line, "%31s %191s", found, hex) == 2 && !strcmp(found, name)) {
            n = strlen(hex) / 2;
            assert_true(strlen(hex) % 2 == 0 && n <= room);
            for (size_t i = 0; i < n; i++)
                assert_int_equal(sscanf(hex + 2 * i, "%2hhx", &out[i]), 1);
        }
    fclose(file);
    if (!n)
        fail_msg("no vector %s", name);
    return n;
}

static inline uint64_t rekey_number(const char *name)
{
    uint8_t octets[8];
    size_t n = rekey_octets(octets, sizeof octets, name);
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v = v << 8 | octets[i];
    return v;
}

static inline ljs_key *rekey_key(const char *name)
{
    uint8_t octets[32];
    size_t n = rekey_octets(octets, sizeof octets, name);
    ljs_key *key;

    assert_int_equal(ljs_key_import(&key, octets, n), LJS_OK);
    return key;
}

#endif
