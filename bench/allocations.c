/* The allocator's entries, in place of the C library's: glibc lets a program do that, and keeps its
 * own under other names. */
#include "allocations.h"

#include <errno.h>
#include <stddef.h>

#define OURS __attribute__((visibility("default")))

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

OURS void *malloc(size_t size);
OURS void *calloc(size_t n, size_t size);
OURS void *realloc(void *old, size_t size);
OURS void *aligned_alloc(size_t alignment, size_t size);
OURS int posix_memalign(void **out, size_t alignment, size_t size);

static _Thread_local unsigned long count __attribute__((tls_model("initial-exec")));

unsigned long allocations_so_far(void)
{
    return count;
}

void *malloc(size_t size)
{
    count++;
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    count++;
    return __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
    count++;
    return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    count++;
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    count++;
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}
