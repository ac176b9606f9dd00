/* rekey.h -- the explorer's second world: a rekey between a device and its Join Server. */
#ifndef MODEL_REKEY_H
#define MODEL_REKEY_H

#include <stdbool.h>

/* The i-th plan of it: its name, or NULL past the last. */
const char *rekey_plan(unsigned i);
/* Every state within its bound; false when a law is broken, which was told. */
bool rekey_explore(unsigned i, bool wide);
/* How often each law was asked; how many of them. */
unsigned rekey_laws_asked(void);

#endif
