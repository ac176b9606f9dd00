/* The mark of who came out of a call: whom it lets look, and for how long. */
#include <Python.h>

#include "interpreter.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int mark(void)
{
    return atomic_load(&inside);
}

static void a_call(void)
{
    enter_interpreter(leave_interpreter());
}

static void test_a_thread_looks_for_no_call_of_its_own(void **unused)
{
    PyThreadState *outer;
    PyGILState_STATE gil;

    (void)unused;
    a_call();
    assert_int_equal(mark(), 1);
    outer = leave_interpreter();
    assert_int_equal(mark(), 0);
    gil = PyGILState_Ensure(); /* C calls back */
    a_call();
    assert_int_equal(mark(), 1);
    leave_callback(gil);
    assert_int_equal(mark(), 0);
    enter_interpreter(outer);
    assert_int_equal(mark(), 1);
}

static atomic_int out_of_python, may_come;

static void *come_back(void *unused)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    PyThreadState *state = leave_interpreter();

    atomic_store(&out_of_python, 1);
    while (!atomic_load(&may_come))
        sched_yield();
    enter_interpreter(state);
    PyGILState_Release(gil);
    return unused;
}

static void test_whoever_looked_in_vain_takes_the_mark_away(void **unused)
{
    PyThreadState *state;
    pthread_t other;

    (void)unused;
    assert_int_equal(pthread_create(&other, NULL, come_back, NULL), 0);
    state = leave_interpreter();
    while (!atomic_load(&out_of_python))
        sched_yield();
    enter_interpreter(state);
    assert_int_equal(mark(), 1);
    atomic_store(&may_come, 1);
    while (mark()) /* this thread goes into no call, and has the lock all the while */
        sched_yield();
    state = PyEval_SaveThread();
    assert_int_equal(pthread_join(other, NULL), 0);
    PyEval_RestoreThread(state);
    assert_int_equal(mark(), 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_thread_looks_for_no_call_of_its_own),
        cmocka_unit_test(test_whoever_looked_in_vain_takes_the_mark_away),
    };
    int failed;

    Py_InitializeEx(0);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    Py_Finalize();
    return failed;
}
