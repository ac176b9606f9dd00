/* harden.c -- a process that has keys in it: what of it may leave it. */
#include "tool.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

int no_dumps(void)
{
    const struct rlimit none = { 0, 0 };

    return setrlimit(RLIMIT_CORE, &none) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ? errno : 0;
}

/* Tried, since the limit says nothing of who is privileged. */
bool can_lock(size_t octets)
{
    void *at = mmap(NULL, octets, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool locked;

    if (at == MAP_FAILED)
        return false;
    locked = mlock(at, octets) == 0;
    munmap(at, octets);
    return locked;
}
