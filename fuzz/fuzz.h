/* fuzz.h -- what every fuzz target needs: the law that CHECK states holds for every
 * input, or the run ends there. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(law) ((law) ? (void)0 : (fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #law), abort()))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
