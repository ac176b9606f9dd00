/* worker.h -- a program that is measured.  It is told what to do by lines on its standard input, and
 * answers each with a line, "ok ..." or "bad WHY":
 *
 *   list                    ok NAME...
 *   check NAME              ok JOINS     each fixture was reproduced, octet by octet
 *   time NAME MS THREADS    ok NS        nanoseconds a join: the median of the parts of MS milliseconds;
 *                                        with several threads: of wall clock, all of them at work
 *   together NAME MS THREADS
 *                           ok NS        nanoseconds a join, of the time that a pass takes which all of
 *                                        the threads share, on as many processors as there are
 *   count NAME PASSES       ok JOINS     that many passes, inside bench_counted(), for who counts instructions
 *   allocations NAME        ok N         requests for memory in one pass
 *
 * A pass is every fixture once.  Peers in other languages speak the same. */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include "fixtures.h"

struct work {
    const char *name;
    int which; /* given to all of these, so that they can serve several works */
    /* Once, before anything else of it. */
    bool (*begin)(int which);
    bool (*check)(int which, const struct fixture *f, size_t i);
    /* Not measured, before each pass over [first, last) of the fixtures; NULL for nothing. */
    void (*before)(int which, size_t first, size_t last);
    void (*pass)(int which, size_t first, size_t last);
    bool mean; /* of the parts, not the median: some pay for others */
};

extern const struct fixtures *fixtures;
extern size_t joins; /* how many of them are used */

/* main() of a worker: argv[1] is the file of fixtures, argv[2], where it is given, how many of them to use:
 * fewer are quicker to prepare where an emulator counts. */
int worker(int argc, char **argv, const struct work *works, size_t works_len);

/* One pass, for who counts its instructions. */
void bench_counted(const struct work *work);

uint64_t clock_ns(void);

/* The next number of a row that is the same in every process; for one thread. */
uint64_t random_number(void);

/* Ends the program when it is not so: what is measured went wrong. */
#define MUST(is) ((is) ? (void)0 : must_failed(__FILE__, __LINE__, #is))
_Noreturn void must_failed(const char *file, int line, const char *what);

#endif
