/* turns.h -- work that shares nothing with anybody: so many turns of a loop in registers. */
#ifndef BENCH_TURNS_H
#define BENCH_TURNS_H

static inline void turns(unsigned long n)
{
    for (; n; n--)
        __asm__ volatile("" : "+r"(n));
}

#endif
