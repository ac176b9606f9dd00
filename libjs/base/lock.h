/* lock.h -- a lock that is held for less than it takes to fall asleep: whoever finds it taken tries again for a
 * moment before he sleeps. */
#ifndef LJS_BASE_LOCK_H
#define LJS_BASE_LOCK_H

#include <pthread.h>

static inline void ljs__lock_init(pthread_mutex_t *lock)
{
#ifdef PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
    *lock = (pthread_mutex_t)PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
#else
    pthread_mutex_init(lock, NULL);
#endif
}

#endif
