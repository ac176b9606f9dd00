/* The same control as a module of Python, as bare as one can be: it lets go of the interpreter's lock, spins, and
 * takes it again.  What threads lose in such a call no extension that releases the lock is spared. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "turns.h"

static PyObject *spin(PyObject *self, PyObject *arg)
{
    unsigned long n = PyLong_AsUnsignedLong(arg);

    (void)self;
    if (PyErr_Occurred())
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    turns(n);
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = { { "spin", spin, METH_O, NULL }, { NULL, NULL, 0, NULL } };

static struct PyModuleDef module = { PyModuleDef_HEAD_INIT, .m_name = "spinning", .m_methods = methods };

PyMODINIT_FUNC PyInit_spinning(void);

PyMODINIT_FUNC PyInit_spinning(void)
{
    return PyModule_Create(&module);
}
