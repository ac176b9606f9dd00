/* The control of what threads gain: a call as long as a join that needs neither memory nor lock.  How many turns
 * that are is for bench/run to say: BENCH_TURNS. */
#include "worker.h"

#include "turns.h"

#include <stdlib.h>

static unsigned long a_join;

static bool begin(int which)
{
    const char *given = getenv("BENCH_TURNS");

    (void)which;
    a_join = given ? strtoul(given, NULL, 10) : 0;
    return a_join > 0;
}

static bool check(int which, const struct fixture *f, size_t i)
{
    (void)which, (void)f, (void)i;
    turns(a_join);
    return true;
}

static void pass(int which, size_t first, size_t last)
{
    (void)which;
    for (size_t i = first; i < last; i++)
        turns(a_join);
}

int main(int argc, char **argv)
{
    static const struct work works[] = { { .name = "spin", .begin = begin, .check = check, .pass = pass } };

    return worker(argc, argv, works, sizeof works / sizeof *works);
}
