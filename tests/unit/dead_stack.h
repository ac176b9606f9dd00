/* dead_stack.h -- what work leaves on the stack of the thread that did it. */
#ifndef LJS_TEST_DEAD_STACK_H
#define LJS_TEST_DEAD_STACK_H

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

enum { STACK = 1 << 20, STACK_PART = 8 };

/* STACK octets of a thread's stack after `work`, to be freed: read through the kernel, since valgrind
 * rightly objects to reading a dead one. */
static uint8_t *stack_after(void *(*work)(void *), void *arg)
{
    void *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    uint8_t *copy = malloc(STACK);
    pthread_attr_t attr;
    pthread_t thread;

    assert_true(stack != MAP_FAILED && mem >= 0 && copy);
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstack(&attr, stack, STACK), 0);
    assert_int_equal(pthread_create(&thread, &attr, work, arg), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(pread(mem, copy, STACK, (off_t)(uintptr_t)stack), STACK);
    pthread_attr_destroy(&attr);
    munmap(stack, STACK);
    close(mem);
    return copy;
}

/* In parts of 8 octets, as registers leave them. */
static bool holds(const uint8_t *stack, const void *secret, size_t len)
{
    bool found = false;

    for (size_t i = 0; i + STACK_PART <= len; i += STACK_PART)
        found |= memmem(stack, STACK, (const uint8_t *)secret + i, STACK_PART) != NULL;
    return found;
}

#endif
