/* lock.h -- locks that threads meet at often, and what keeps one thread's memory apart from another's: what two write
 * to in one line of the cache goes from one to the other each time, as a lock does that both take. */
#ifndef LJS_BASE_LOCK_H
#define LJS_BASE_LOCK_H

#include <pthread.h>
#include <stddef.h>

enum { CACHE_LINE = 64, LOCK_LANES = 16 };

/* Which of the LOCK_LANES is this thread's: the same each time, and another's too when there are more threads than
 * lanes. */
extern _Thread_local unsigned ljs__my_lane; /* one more than that; 0: none yet */
void ljs__take_lane(void);
static inline unsigned ljs__lane(void)
{
    if (!ljs__my_lane)
        ljs__take_lane();
    return ljs__my_lane - 1;
}

/* Zeroed, and the first octet begins a line, as a struct with _Alignas(CACHE_LINE) wants it; free() as any other. */
void *ljs__alloc_lined(size_t size);

/* A lock that is held for less than it takes to fall asleep: whoever finds it taken tries again for a moment before he
 * sleeps. */
static inline void ljs__lock_init(pthread_mutex_t *lock)
{
#ifdef PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
    *lock = (pthread_mutex_t)PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
#else
    pthread_mutex_init(lock, NULL);
#endif
}

/* A lock over what is read often and seldom changed: who reads takes his lane's, who changes takes all. */
struct wide_lock {
    struct {
        _Alignas(CACHE_LINE) pthread_mutex_t lock;
    } lane[LOCK_LANES];
};
void ljs__wide_init(struct wide_lock *lock);
void ljs__wide_destroy(struct wide_lock *lock);
void ljs__wide_write(struct wide_lock *lock);
void ljs__wide_write_end(struct wide_lock *lock);

/* Gives the lane, for: */
static inline unsigned ljs__wide_read(struct wide_lock *lock)
{
    unsigned lane = ljs__lane();

    pthread_mutex_lock(&lock->lane[lane].lock);
    return lane;
}

static inline void ljs__wide_read_end(struct wide_lock *lock, unsigned lane)
{
    pthread_mutex_unlock(&lock->lane[lane].lock);
}

#endif
