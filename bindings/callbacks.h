/* callbacks.h -- what C calls back in Python: stores, secure elements, the log, rows; and how
 * what they raise comes out of the call that C was called by.
 *
 * C calls back in the thread that called C, with the GIL let go or not.  An exception is taken
 * off Python and kept for the thread until C returns; then failed() raises it again, the same
 * object with its traceback.  Meanwhile the callback has answered with an error, and no other
 * callback of this call is made: what began to go wrong is not gone on with.
 *
 * A batch has many owners.  What a store raises in get belongs to the message that was being
 * looked at, and the others go on; what it raises in commit, to all that are not answered yet;
 * what the log raises, to the message it was told of.  C does not say which message it works on,
 * but it shows: it is the next one that gets an answer. */
#ifndef BINDINGS_CALLBACKS_H
#define BINDINGS_CALLBACKS_H

#include <lorajs/backend.h>
#include <lorajs/lorajs.h>

#include "interpreter.h"

#include <errno.h> /* SWIG 4.3 forgets it */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- what was raised -------------------------------------------------------- */

enum { ANSWERED = 1, LOGGED = 2 }; /* of a call: before what was raised in get; the log was told */

struct batch {
    PyObject *calls; /* a tuple, that keeps what the rest points to */
    ljs_call *call;
    Py_buffer *view;
    PyObject **owned; /* by call: what it raises */
    unsigned char *flags;
    size_t len, views, logged; /* of `view`, those held; all before `logged` are */
    PyObject *waiting;         /* raised in get: by the next that is answered */
};

static _Thread_local struct raised {
    PyObject *exc;
    int ended; /* no more callbacks */
    struct batch *batch;
} raised;

/* The exception that is set, taken off; its traceback is in it. */
static PyObject *take_exception(void)
{
    PyObject *type, *exc, *trace;

    PyErr_Fetch(&type, &exc, &trace);
    PyErr_NormalizeException(&type, &exc, &trace);
    if (exc && trace)
        PyException_SetTraceback(exc, trace);
    Py_XDECREF(type);
    Py_XDECREF(trace);
    return exc;
}

/* Set it again; takes the reference. */
static void raise_exception(PyObject *exc)
{
    PyObject *type = (PyObject *)Py_TYPE(exc);

    Py_INCREF(type);
    PyErr_Restore(type, exc, PyException_GetTraceback(exc));
}

static PyObject *raiser; /* (code, name, text, remedy) -> exception */

static void raise_err(ljs_err err)
{
    PyObject *exc =
        PyObject_CallFunction(raiser, "isss", (int)err, ljs_errname(err), ljs_strerror(err), ljs_remedy(err));

    if (exc) {
        PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
        Py_DECREF(exc);
    }
}

/* The end of a call: did a callback of it raise?  Then it raises. */
static int called_back(void)
{
    PyObject *exc = raised.exc;

    raised = (struct raised){ NULL, 0, NULL };
    if (exc)
        raise_exception(exc);
    return exc != NULL;
}

static int failed(ljs_err err)
{
    if (called_back())
        return 1;
    if (err)
        raise_err(err);
    return err != LJS_OK;
}

/* ---- whose it is, in a batch -------------------------------------------------- */

static int is_answered(const ljs_call *call)
{
    return call->out.data || call->err;
}

static void own(struct batch *b, size_t i, PyObject *exc)
{
    if (b->owned[i])
        return; /* the first is what it began with */
    Py_INCREF(exc);
    b->owned[i] = exc;
}

/* What get raised waits for the call that C gives up because of it. */
static void settle(struct batch *b)
{
    for (size_t i = 0; b->waiting && i < b->len; i++)
        if (is_answered(&b->call[i]) && !(b->flags[i] & ANSWERED)) {
            own(b, i, b->waiting);
            Py_CLEAR(b->waiting);
        }
}

enum callback { GET, COMMIT, LOG, OTHER };

/* 1 when no more callbacks are to be made. */
static int raise_in_batch(struct batch *b, enum callback what, size_t logged, PyObject *exc)
{
    if (what == GET) {
        for (size_t i = 0; i < b->len; i++)
            b->flags[i] |= is_answered(&b->call[i]) ? ANSWERED : 0;
        Py_CLEAR(b->waiting);
        Py_INCREF(exc);
        b->waiting = exc;
    } else if (what == LOG) {
        own(b, logged, exc);
    } else {
        for (size_t i = 0; i < b->len; i++)
            if (!is_answered(&b->call[i]))
                own(b, i, exc);
        return 1;
    }
    return 0;
}

/* The call that the log is told of: the one that has an answer since it was told last. */
static size_t next_logged(struct batch *b)
{
    size_t i = b->logged;

    while (i + 1 < b->len && (!is_answered(&b->call[i]) || (b->flags[i] & LOGGED)))
        i++;
    b->flags[i] |= LOGGED;
    while (b->logged < b->len && (b->flags[b->logged] & LOGGED))
        b->logged++;
    return i;
}

/* ---- into Python, and back ------------------------------------------------------ */

struct entry {
    PyGILState_STATE gil;
    struct raised outer; /* a callback may itself call C */
    size_t logged;
};

/* 0 when this call has ended already.  The log is told all the same. */
static int enter(struct entry *e, enum callback what)
{
    struct batch *b = raised.batch;

    if (raised.ended && what != LOG)
        return 0;
    e->gil = PyGILState_Ensure();
    e->outer = raised;
    raised = (struct raised){ NULL, 0, NULL };
    if (b)
        settle(b);
    e->logged = b && what == LOG ? next_logged(b) : 0;
    return 1;
}

/* 1 when the callback raised. */
static int leave(struct entry *e, enum callback what)
{
    PyObject *exc = PyErr_Occurred() ? take_exception() : NULL;
    struct raised outer = e->outer; /* in its place last: what goes with an exception may call C at its end */

    if (exc && outer.batch && PyErr_GivenExceptionMatches(exc, PyExc_Exception)) {
        outer.ended |= raise_in_batch(outer.batch, what, e->logged, exc);
        Py_DECREF(exc);
    } else if (exc && !outer.exc) { /* in a batch, somebody wants all to end */
        outer.exc = exc;
        outer.ended = 1;
    } else {
        Py_XDECREF(exc);
    }
    raised = outer;
    leave_callback(e->gil);
    return exc != NULL;
}

/* close(): nobody is there to be told. */
static void close_object(void *self)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    struct raised outer = raised;
    PyObject *done;

    raised = (struct raised){ NULL, 0, NULL };
    done = PyObject_CallMethod(self, "close", NULL);
    if (!done)
        PyErr_WriteUnraisable(self);
    Py_XDECREF(done);
    Py_DECREF((PyObject *)self);
    raised = outer;
    leave_callback(gil);
}

/* ---- a store ------------------------------------------------------------------ */

/* Converters of PyArg_ParseTuple: its own let a number that is too large begin again at 0. */
static int to_u64(PyObject *number, void *out)
{
    unsigned long long value = PyLong_AsUnsignedLongLong(number);

    *(uint64_t *)out = value;
    return !PyErr_Occurred();
}

static int to_unsigned(PyObject *number, void *out)
{
    uint64_t value;

    if (!to_u64(number, &value))
        return 0;
    if (value > UINT_MAX) {
        PyErr_SetString(PyExc_OverflowError, "a number too large");
        return 0;
    }
    *(unsigned *)out = (unsigned)value;
    return 1;
}

/* get(key) -> (value, version), or None */
static ljs_err store_value(ljs_buf *out, uint64_t *version, PyObject *got)
{
    Py_buffer value;
    ljs_err err;

    if (got == Py_None)
        return LJS_E_NOTFOUND;
    if (!PyTuple_Check(got)) {
        PyErr_SetString(PyExc_TypeError, "get() gives (value, version), or None");
        return LJS_E_STORE;
    }
    if (!PyArg_ParseTuple(got, "y*O&;get() gives (value, version), or None", &value, to_u64, version))
        return LJS_E_STORE;
    err = ljs_buf_copy(out, value.buf, (size_t)value.len);
    PyBuffer_Release(&value);
    if (!*version || out->len > LJS_STORE_VALUE_MAX)
        PyErr_SetString(PyExc_ValueError, "get() gives a version from 1 and a value up to 1 MiB");
    return err;
}

static ljs_err store_get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    struct entry e;
    PyObject *got;
    ljs_err err = LJS_E_STORE;

    if (!enter(&e, GET))
        return LJS_E_STORE;
    if ((got = PyObject_CallMethod(self, "get", "y#", (const char *)key, (Py_ssize_t)key_len)))
        err = store_value(out, version, got);
    Py_XDECREF(got);
    return leave(&e, GET) ? LJS_E_STORE : err;
}

static PyObject *changes_list(const ljs_change *changes, size_t changes_len)
{
    PyObject *list = PyList_New((Py_ssize_t)changes_len);

    for (size_t i = 0; list && i < changes_len; i++) {
        const ljs_change *c = &changes[i];
        PyObject *change = Py_BuildValue("(y#y#KI)", (const char *)c->key, (Py_ssize_t)c->key_len, (const char *)c->in,
                                         (Py_ssize_t)c->in_len, (unsigned long long)c->if_version, c->group);

        if (!change)
            Py_CLEAR(list);
        else
            PyList_SetItem(list, (Py_ssize_t)i, change);
    }
    return list;
}

/* commit([(key, value or None, if_version, group)]) -> a result for each */
static void store_results(ljs_change *changes, size_t changes_len, PyObject *results)
{
    if (PySequence_Size(results) != (Py_ssize_t)changes_len && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "commit() gives a result for each change");
    for (size_t i = 0; !PyErr_Occurred() && i < changes_len; i++) {
        PyObject *result = PySequence_GetItem(results, (Py_ssize_t)i);
        long number = result ? PyLong_AsLong(result) : 0;

        if (number < INT_MIN || number > INT_MAX)
            PyErr_SetString(PyExc_OverflowError, "a number too large");
        else
            changes[i].result = (ljs_err)number;
        Py_XDECREF(result);
    }
}

static ljs_err store_commit(void *self, ljs_change *changes, size_t changes_len)
{
    struct entry e;
    PyObject *list, *results = NULL;

    if (!enter(&e, COMMIT))
        return LJS_E_STORE;
    if ((list = changes_list(changes, changes_len)) && (results = PyObject_CallMethod(self, "commit", "O", list)))
        store_results(changes, changes_len, results);
    Py_XDECREF(list);
    Py_XDECREF(results);
    return leave(&e, COMMIT) ? LJS_E_STORE : LJS_OK;
}

/* The next key, or NULL at the end and when it raised. */
static PyObject *next_key(PyObject **keys, PyObject *self, const uint8_t *prefix, size_t prefix_len, char **at,
                          Py_ssize_t *len)
{
    PyObject *key;

    if (!*keys) {
        PyObject *made =
            PyObject_CallMethod(self, "each", "y#", prefix ? (const char *)prefix : "", (Py_ssize_t)prefix_len);

        *keys = made ? PyObject_GetIter(made) : NULL;
        Py_XDECREF(made);
    }
    key = *keys ? PyIter_Next(*keys) : NULL;
    if (key && PyBytes_AsStringAndSize(key, at, len) < 0)
        Py_CLEAR(key);
    return key;
}

/* each(prefix) -> an iterable of keys */
static ljs_err store_each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    PyObject *keys = NULL, *key = NULL;
    PyGILState_STATE gil;
    ljs_err err = LJS_OK;
    struct entry e;

    do {
        char *at = NULL;
        Py_ssize_t len = 0;

        if (!enter(&e, OTHER)) {
            err = LJS_E_STORE;
            break;
        }
        Py_XDECREF(key);
        key = next_key(&keys, self, prefix, prefix_len, &at, &len);
        if (leave(&e, OTHER))
            err = LJS_E_STORE;
        else if (key)
            err = row(user, (const uint8_t *)at, (size_t)len);
    } while (key && !err);
    gil = PyGILState_Ensure();
    e.outer = raised; /* a generator may have a word to say at its end */
    raised = (struct raised){ NULL, 0, NULL };
    Py_XDECREF(key);
    Py_XDECREF(keys);
    raised = e.outer;
    leave_callback(gil);
    return err;
}

static const ljs_store_ops store_ops = { .struct_size = sizeof(ljs_store_ops),
                                         .get = store_get,
                                         .commit = store_commit,
                                         .each = store_each,
                                         .close = close_object };

/* ---- a secure element ----------------------------------------------------------- */

/* derive(to, from, block) */
static ljs_err se_derive(void *self, ljs_se_key to, ljs_se_key from, const uint8_t *block)
{
    struct entry e;

    if (!enter(&e, OTHER))
        return LJS_E_CRYPTO;
    Py_XDECREF(PyObject_CallMethod(self, "derive", "iiy#", (int)to, (int)from, (const char *)block, (Py_ssize_t)16));
    return leave(&e, OTHER) ? LJS_E_CRYPTO : LJS_OK;
}

/* Octets of exactly this length. */
static void take_octets(uint8_t *out, size_t out_len, PyObject *got)
{
    char *at;
    Py_ssize_t len;

    if (!got || PyBytes_AsStringAndSize(got, &at, &len) < 0)
        return;
    if ((size_t)len == out_len)
        memcpy(out, at, out_len);
    else
        PyErr_SetString(PyExc_ValueError, "encrypt() gives as many octets as it is given, cmac() 16");
}

/* encrypt(id, octets) -> octets; cmac(id, octets) -> 16 octets */
static ljs_err se_compute(void *self, const char *method, ljs_se_key id, uint8_t *out, size_t out_len,
                          const uint8_t *in, size_t in_len)
{
    struct entry e;
    PyObject *got;

    if (!enter(&e, OTHER))
        return LJS_E_CRYPTO;
    got = PyObject_CallMethod(self, method, "iy#", (int)id, in ? (const char *)in : "", (Py_ssize_t)in_len);
    take_octets(out, out_len, got);
    Py_XDECREF(got);
    return leave(&e, OTHER) ? LJS_E_CRYPTO : LJS_OK;
}

static ljs_err se_encrypt(void *self, ljs_se_key id, uint8_t *out, const uint8_t *in, size_t in_len)
{
    return se_compute(self, "encrypt", id, out, in_len, in, in_len);
}

static ljs_err se_cmac(void *self, ljs_se_key id, uint8_t *out, const uint8_t *in, size_t in_len)
{
    return se_compute(self, "cmac", id, out, 16, in, in_len);
}

/* has(id) -> bool */
static int se_has(void *self, ljs_se_key id)
{
    struct entry e;
    PyObject *got;
    int has;

    if (!enter(&e, OTHER))
        return 0;
    got = PyObject_CallMethod(self, "has", "i", (int)id);
    has = got ? PyObject_IsTrue(got) : 0;
    Py_XDECREF(got);
    return !leave(&e, OTHER) && has == 1;
}

static const ljs_se_ops se_ops = { sizeof(ljs_se_ops), se_derive, se_encrypt, se_cmac, se_has, close_object };

/* ---- rows: any callable; what it gives is not looked at ------------------------- */

static ljs_err call_row(PyObject *callable, const char *format, ...)
{
    struct entry e;
    PyObject *args;
    va_list values;

    if (!enter(&e, OTHER))
        return LJS_E_STATE;
    va_start(values, format);
    args = Py_VaBuildValue(format, values);
    va_end(values);
    if (args)
        Py_XDECREF(PyObject_CallObject(callable, args));
    Py_XDECREF(args);
    return leave(&e, OTHER) ? LJS_E_STATE : LJS_OK; /* none of this is seen: the exception is */
}

static ljs_err store_row(void *user, const uint8_t *key, size_t key_len)
{
    return call_row(user, "(y#)", (const char *)key, (Py_ssize_t)key_len);
}

static ljs_err device_row(void *user, ljs_eui dev_eui)
{
    return call_row(user, "(K)", (unsigned long long)dev_eui);
}

static ljs_err kek_row(void *user, const char *label, size_t kek_len)
{
    return call_row(user, "(sn)", label, (Py_ssize_t)kek_len);
}

static ljs_err lot_row(void *user, const char *label)
{
    return call_row(user, "(s)", label);
}

static ljs_err audit_row(void *user, uint64_t writer, uint64_t sequence)
{
    return call_row(user, "(KK)", (unsigned long long)writer, (unsigned long long)sequence);
}

static PyObject *credential_object(const ljs_credential *credential); /* of the module's own class */

static ljs_err credential_row(void *user, const ljs_credential *credential)
{
    struct entry e;
    PyObject *made;

    if (!enter(&e, OTHER))
        return LJS_E_STATE;
    if ((made = credential_object(credential)))
        Py_XDECREF(PyObject_CallFunctionObjArgs(user, made, NULL));
    Py_XDECREF(made);
    return leave(&e, OTHER) ? LJS_E_STATE : LJS_OK;
}

static PyObject *account_object(const ljs_account *account); /* of the module's own class */

static ljs_err account_row(void *user, const ljs_account *account)
{
    struct entry e;
    PyObject *made;

    if (!enter(&e, OTHER))
        return LJS_E_STATE;
    if ((made = account_object(account)))
        Py_XDECREF(PyObject_CallFunctionObjArgs(user, made, NULL));
    Py_XDECREF(made);
    return leave(&e, OTHER) ? LJS_E_STATE : LJS_OK;
}

static PyObject *claim_object(const ljs_claim *claim); /* of the module's own class */

static ljs_err claim_row(void *user, const ljs_claim *claim)
{
    struct entry e;
    PyObject *made;

    if (!enter(&e, OTHER))
        return LJS_E_STATE;
    if ((made = claim_object(claim)))
        Py_XDECREF(PyObject_CallFunctionObjArgs(user, made, NULL));
    Py_XDECREF(made);
    return leave(&e, OTHER) ? LJS_E_STATE : LJS_OK;
}

static PyObject *event_object(const ljs_event *event); /* of the module's own class */

static ljs_err event_row(void *user, const ljs_event *event)
{
    struct entry e;
    PyObject *made;

    if (!enter(&e, OTHER))
        return LJS_E_STATE;
    if ((made = event_object(event)))
        Py_XDECREF(PyObject_CallFunctionObjArgs(user, made, NULL));
    Py_XDECREF(made);
    return leave(&e, OTHER) ? LJS_E_STATE : LJS_OK;
}

/* ---- the log -------------------------------------------------------------------- */

static void log_event(void *user, const ljs_event *event)
{
    struct entry e;
    PyObject *made;

    (void)enter(&e, LOG);
    if ((made = event_object(event)))
        Py_XDECREF(PyObject_CallFunctionObjArgs(user, made, NULL));
    Py_XDECREF(made);
    leave(&e, LOG);
}

/* ---- changes, given to a store -------------------------------------------------- */

struct changes {
    PyObject *items; /* a tuple, that keeps what the rest points to */
    ljs_change *change;
    Py_buffer *view; /* of key and value */
    size_t len, views;
};

static void changes_clear(struct changes *c)
{
    for (size_t i = 0; i < c->views; i++)
        if (c->view[i].obj)
            PyBuffer_Release(&c->view[i]);
    Py_CLEAR(c->items);
    free(c->change);
    free(c->view);
    memset(c, 0, sizeof *c);
}

/* From [(key, value or None, if_version, group)]; 0, or -1 with an exception. */
static int changes_take(struct changes *c, PyObject *items)
{
    size_t room;

    if (!(c->items = PySequence_Tuple(items)))
        return -1;
    c->len = (size_t)PyTuple_Size(c->items);
    room = c->len ? c->len : 1;
    c->change = calloc(room, sizeof *c->change);
    c->view = calloc(2 * room, sizeof *c->view);
    if (!c->change || !c->view) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < c->len; i++) {
        PyObject *item = PyTuple_GetItem(c->items, (Py_ssize_t)i);
        Py_buffer *key = &c->view[c->views], *value = key + 1;
        ljs_change *change = &c->change[i];
        PyObject *octets;

        if (!PyTuple_Check(item)) {
            PyErr_SetString(PyExc_TypeError, "a change is (key, value or None, if_version, group)");
            return -1;
        }
        if (!PyArg_ParseTuple(item, "y*OO&O&;a change is (key, value or None, if_version, group)", key, &octets, to_u64,
                              &change->if_version, to_unsigned, &change->group))
            return -1;
        c->views += 2;
        if (octets != Py_None && PyObject_GetBuffer(octets, value, PyBUF_SIMPLE) < 0)
            return -1;
        change->key = key->buf;
        change->key_len = (size_t)key->len;
        change->in = value->obj ? value->buf : NULL;
        change->in_len = value->obj ? (size_t)value->len : 0;
    }
    return 0;
}

/* [result], or NULL with an exception. */
static PyObject *changes_results(const struct changes *c)
{
    PyObject *list = PyList_New((Py_ssize_t)c->len);

    for (size_t i = 0; list && i < c->len; i++)
        PyList_SetItem(list, (Py_ssize_t)i, PyLong_FromLong(c->change[i].result));
    return list;
}

/* ---- a batch -------------------------------------------------------------------- */

static void batch_clear(struct batch *b)
{
    if (raised.batch == b)
        raised = (struct raised){ NULL, 0, NULL };
    for (size_t i = 0; i < b->views; i++)
        PyBuffer_Release(&b->view[i]);
    for (size_t i = 0; b->call && i < b->len; i++)
        ljs_buf_free(&b->call[i].out);
    for (size_t i = 0; b->owned && i < b->len; i++)
        Py_XDECREF(b->owned[i]);
    Py_CLEAR(b->waiting);
    Py_CLEAR(b->calls);
    free(b->call);
    free(b->view);
    free(b->owned);
    free(b->flags);
    memset(b, 0, sizeof *b);
}

/* From [(peer or None, now, message)]; 0, or -1 with an exception. */
static int batch_take(struct batch *b, PyObject *calls)
{
    size_t room;

    if (!(b->calls = PySequence_Tuple(calls)))
        return -1;
    b->len = (size_t)PyTuple_Size(b->calls);
    room = b->len ? b->len : 1;
    b->call = calloc(room, sizeof *b->call);
    b->view = calloc(room, sizeof *b->view);
    b->owned = calloc(room, sizeof *b->owned);
    b->flags = calloc(room, sizeof *b->flags);
    if (!b->call || !b->view || !b->owned || !b->flags) {
        PyErr_NoMemory();
        return -1;
    }
    for (; b->views < b->len; b->views++) {
        PyObject *item = PyTuple_GetItem(b->calls, (Py_ssize_t)b->views);
        ljs_call *call = &b->call[b->views];
        Py_buffer *view = &b->view[b->views];
        long long now;

        if (!PyTuple_Check(item)) {
            PyErr_SetString(PyExc_TypeError, "a call is (peer, now, message)");
            return -1;
        }
        if (!PyArg_ParseTuple(item, "zLy*;a call is (peer, now, message)", &call->peer, &now, view))
            return -1;
        call->now = now;
        call->in = view->buf;
        call->in_len = (size_t)view->len;
    }
    raised.batch = b;
    return 0;
}

/* [(err, answer, exception or None)], or NULL with an exception. */
static PyObject *batch_give(struct batch *b)
{
    PyObject *list;

    settle(b);
    if (b->waiting && !raised.exc) { /* C has got over it: it is not lost */
        raised.exc = b->waiting;
        b->waiting = NULL;
    }
    if (called_back() || !(list = PyList_New((Py_ssize_t)b->len)))
        return NULL;
    for (size_t i = 0; list && i < b->len; i++) {
        const ljs_call *call = &b->call[i];
        PyObject *given = Py_BuildValue("(iy#O)", (int)call->err, call->out.data ? (const char *)call->out.data : "",
                                        (Py_ssize_t)call->out.len, b->owned[i] ? b->owned[i] : Py_None);

        if (!given)
            Py_CLEAR(list);
        else
            PyList_SetItem(list, (Py_ssize_t)i, given);
    }
    return list;
}

#endif
