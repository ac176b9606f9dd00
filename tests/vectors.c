#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Loaded once, and kept: it is a test. */
static json_t *load(void)
{
    static json_t *all;
    json_error_t error;

    if (!all && !(all = json_load_file(TESTS_DIR "/vectors/lorawan-join.json", JSON_REJECT_DUPLICATES, &error)))
        fail_msg("%s:%d: %s", error.source, error.line, error.text);
    return all;
}

static void drop(void)
{
    json_decref(load());
}

void vectors_each(const char *kind, size_t want, void (*check)(json_t *vector))
{
    static bool registered;
    size_t i, n = 0;
    json_t *vector;

    json_array_foreach(load(), i, vector)
    {
        if (!strcmp(vector_text(vector, "kind"), kind)) {
            check(vector);
            n++;
        }
    }
    if (!registered)
        registered = !atexit(drop);
    if (n != want)
        fail_msg("%zu vectors of kind %s, not %zu", n, kind, want);
}

const char *vector_id(json_t *vector)
{
    const char *id = json_string_value(json_object_get(vector, "id"));

    return id ? id : "?";
}

bool vector_is(json_t *vector, const char *id)
{
    return !strcmp(vector_id(vector), id);
}

json_t *vector_find(json_t *vector, const char *path)
{
    json_t *at = vector;

    while (at && *path) {
        size_t len = strcspn(path, ".");

        at = json_object_getn(at, path, len);
        path += len + (path[len] == '.');
    }
    return at && !json_is_null(at) ? at : NULL;
}

bool vector_has(json_t *vector, const char *path)
{
    return vector_find(vector, path) != NULL;
}

const char *vector_text(json_t *vector, const char *path)
{
    const char *text = json_string_value(vector_find(vector, path));

    if (!text)
        fail_msg("%s: no text %s", vector_id(vector), path);
    return text;
}

static const char *of_octets(json_t *vector, const char *path, const char *member)
{
    const char *text = json_string_value(json_object_get(vector_find(vector, path), member));

    if (!text)
        fail_msg("%s: no octets %s", vector_id(vector), path);
    return text;
}

size_t vector_hex(uint8_t *out, size_t room, json_t *vector, const char *path)
{
    const char *hex = of_octets(vector, path, "hex");
    size_t n = strlen(hex) / 2;

    if (strlen(hex) % 2 || n > room)
        fail_msg("%s: %s has %zu digits, room for %zu octets", vector_id(vector), path, strlen(hex), room);
    for (size_t i = 0; i < n; i++)
        if (sscanf(hex + 2 * i, "%2hhx", &out[i]) != 1)
            fail_msg("%s: %s is not hexadecimal", vector_id(vector), path);
    return n;
}

uint64_t vector_number(json_t *vector, const char *path)
{
    json_t *at = vector_find(vector, path);
    uint8_t octets[8];
    uint64_t v = 0;
    bool msb;
    size_t n;

    if (json_is_integer(at))
        return (uint64_t)json_integer_value(at);
    if (json_is_boolean(at))
        return json_is_true(at);
    n = vector_hex(octets, sizeof octets, vector, path);
    msb = !strcmp(of_octets(vector, path, "order"), "msb");
    for (size_t i = 0; i < n; i++)
        v = v << 8 | octets[msb ? i : n - 1 - i];
    return v;
}
