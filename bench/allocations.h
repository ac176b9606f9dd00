/* allocations.h -- how often this process has asked for memory, by whatever library. */
#ifndef BENCH_ALLOCATIONS_H
#define BENCH_ALLOCATIONS_H

unsigned long allocations_so_far(void); /* of the calling thread */

#endif
