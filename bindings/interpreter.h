/* interpreter.h -- how a call lets go of the interpreter's lock, and takes it again.
 *
 * A join takes some ten microseconds, and what Python does between two of them about one.  Who finds the lock taken
 * falls asleep, and to be woken may take longer than a join: of two threads, one in twenty calls slept so, and a fifth
 * of the processors lay idle.  So a call that has ended first looks, for a few microseconds at the most, whether a
 * thread that took the lock at the end of another call of ours has gone into its next one.  Nobody waits for the lock
 * with it, and nothing is held meanwhile.
 *
 * Included after what SWIG says of Python: its own way to do so is replaced here. */
#ifndef LORAJS_BINDINGS_INTERPRETER_H
#define LORAJS_BINDINGS_INTERPRETER_H

#include <stdatomic.h>

enum { LOOKS = 256 };

/* Is a thread there that came out of a call?  A hint and no more: it may have let go of the lock elsewhere. */
static _Alignas(64) atomic_int inside;

static void breathe(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static PyThreadState *leave_interpreter(void)
{
    atomic_store_explicit(&inside, 0, memory_order_relaxed);
    return PyEval_SaveThread();
}

static void enter_interpreter(PyThreadState *state)
{
    unsigned n = 0;

    while (n < LOOKS && atomic_load_explicit(&inside, memory_order_relaxed)) {
        breathe();
        n++;
    }
    if (n == LOOKS) /* it does something else by now: others need not look again */
        atomic_store_explicit(&inside, 0, memory_order_relaxed);
    PyEval_RestoreThread(state);
    atomic_store_explicit(&inside, 1, memory_order_relaxed);
}

/* A call that Python made while C called it back was the last one of this thread, which goes on in C: neither this
 * thread, when the call ends that called back, nor another is to look for it. */
static void leave_callback(PyGILState_STATE gil)
{
    atomic_store_explicit(&inside, 0, memory_order_relaxed);
    PyGILState_Release(gil);
}

#undef SWIG_PYTHON_THREAD_BEGIN_ALLOW
#undef SWIG_PYTHON_THREAD_END_ALLOW
#define SWIG_PYTHON_THREAD_BEGIN_ALLOW PyThreadState *_swig_thread_allow = leave_interpreter()
#define SWIG_PYTHON_THREAD_END_ALLOW   enter_interpreter(_swig_thread_allow)

#endif
