/* The crypto core as a module of Python, as bare as one can be: what it costs to call it from there and to have the
 * accept and the keys as Python's octets.  The package has no such call, since keys do not leave their rings. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "works.h"

#include <stdlib.h>

const struct fixtures *fixtures;
size_t joins = JOINS;

_Noreturn void must_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    exit(1);
}

static PyObject *begin(PyObject *self, PyObject *path)
{
    const char *text = PyUnicode_AsUTF8(path);

    (void)self;
    if (!text)
        return NULL;
    fixtures = fixtures_read(text);
    MUST(core_works[0].begin(0));
    Py_RETURN_NONE;
}

/* [key, ...] */
static PyObject *keys_of(const struct core_answer *answer, int kind)
{
    Py_ssize_t n = 0, len = kind == 'a' ? 2 : 4;
    PyObject *keys = PyList_New(len);

    for (size_t i = 0; keys && i < 4; i++) {
        PyObject *key;

        if (kind == 'a' && (i == 1 || i == 2))
            continue;
        key = PyBytes_FromStringAndSize((const char *)answer->key[i].key, (Py_ssize_t)answer->key[i].key_len);
        if (key)
            PyList_SET_ITEM(keys, n++, key);
        else
            Py_CLEAR(keys);
    }
    return keys;
}

static PyObject *join(PyObject *number, int kind)
{
    static struct core_answer answer;
    size_t i = PyLong_AsSize_t(number);
    PyObject *keys;

    if (PyErr_Occurred())
        return NULL;
    MUST(fixtures && i < JOINS && !core_join(&answer, i, kind));
    keys = keys_of(&answer, kind);
    return keys ? Py_BuildValue("(y#N)", (const char *)answer.accept, (Py_ssize_t)answer.accept_len, keys) : NULL;
}

static PyObject *join_a(PyObject *self, PyObject *number)
{
    (void)self;
    return join(number, 'a');
}

static PyObject *join_b(PyObject *self, PyObject *number)
{
    (void)self;
    return join(number, 'b');
}

static PyObject *join_c(PyObject *self, PyObject *number)
{
    (void)self;
    return join(number, 'c');
}

static PyMethodDef methods[] = {
    { "begin", begin, METH_O, NULL },
    { "join_a", join_a, METH_O, NULL },
    { "join_b", join_b, METH_O, NULL },
    { "join_c", join_c, METH_O, NULL },
    { NULL, NULL, 0, NULL },
};

static struct PyModuleDef module = { PyModuleDef_HEAD_INIT, .m_name = "coring", .m_methods = methods };

PyMODINIT_FUNC PyInit_coring(void);

PyMODINIT_FUNC PyInit_coring(void)
{
    return PyModule_Create(&module);
}
