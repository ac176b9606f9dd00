#include "base/lock.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

_Thread_local unsigned ljs__my_lane;

void ljs__take_lane(void)
{
    static atomic_uint threads;

    ljs__my_lane = 1 + atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % LOCK_LANES;
}

void *ljs__alloc_lined(size_t size)
{
    size_t lines = (size + CACHE_LINE - 1) / CACHE_LINE;
    void *mem = aligned_alloc(CACHE_LINE, lines * CACHE_LINE);

    return mem ? memset(mem, 0, lines * CACHE_LINE) : NULL;
}

void ljs__wide_init(struct wide_lock *lock)
{
    for (unsigned i = 0; i < LOCK_LANES; i++)
        ljs__lock_init(&lock->lane[i].lock);
}

void ljs__wide_destroy(struct wide_lock *lock)
{
    for (unsigned i = 0; i < LOCK_LANES; i++)
        pthread_mutex_destroy(&lock->lane[i].lock);
}

void ljs__wide_write(struct wide_lock *lock)
{
    for (unsigned i = 0; i < LOCK_LANES; i++)
        pthread_mutex_lock(&lock->lane[i].lock);
}

void ljs__wide_write_end(struct wide_lock *lock)
{
    for (unsigned i = LOCK_LANES; i-- > 0;)
        pthread_mutex_unlock(&lock->lane[i].lock);
}
