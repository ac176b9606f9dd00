/* vectors.h -- the known answers of tests/vectors/lorawan-join.json, for tests in C.
 *
 * A path names a member from the vector's top, with dots: "inputs.key", "expected.frame".
 * Octets stand in the file as {"hex": ..., "order": "air" | "msb"}.  Whatever is not as
 * the test expects it fails the test, with the vector's id. */
#ifndef TESTS_VECTORS_H
#define TESTS_VECTORS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each vector of a kind; fails when there are not exactly `want` of them, so that a test
 * cannot pass for want of vectors. */
void vectors_each(const char *kind, size_t want, void (*check)(json_t *vector));

const char *vector_id(json_t *vector);
bool vector_is(json_t *vector, const char *id);

/* NULL when it is absent or null. */
json_t *vector_find(json_t *vector, const char *path);
bool vector_has(json_t *vector, const char *path);

/* The octets as they are written; how many. */
size_t vector_hex(uint8_t *out, size_t room, json_t *vector, const char *path);
/* An integer, a truth value, or the octets as a number: the first is the highest when
 * order is msb, the lowest when it is air. */
uint64_t vector_number(json_t *vector, const char *path);
const char *vector_text(json_t *vector, const char *path);

#endif
