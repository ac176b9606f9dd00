/* must.h -- for calls of a world that no scenario can make fail. */
#ifndef MODEL_MUST_H
#define MODEL_MUST_H

#include <lorajs/base.h>

#include <stdio.h>
#include <stdlib.h>

/* What cannot fail here, but for a machine out of memory. */
#define MUST(call)                                                                                                     \
    do {                                                                                                               \
        ljs_err must = (call);                                                                                         \
        if (must) {                                                                                                    \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, ljs_strerror(must));                         \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#endif
