/* fixed.h -- what the servers share that always say the same. */
#ifndef BENCH_FIXED_H
#define BENCH_FIXED_H

#include "worker.h"

enum { FIXED_MAX = 1024 };

/* The body of an answer, as long as one of the daemon's; its length. */
size_t fixed_answer(char out[FIXED_MAX], const struct fixture *f);

/* A socket on a free port of 127.0.0.1, which does not block; standard output is told which. */
int fixed_listening(void);

#endif
