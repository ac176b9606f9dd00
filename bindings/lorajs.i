/* lorajs.i -- the whole binding: a conversion for each shape of argument, then the C
 * headers as they are.  Conversions match types, or the parameter names that the headers
 * keep to: in, in_len, record, record_len, out, out_record. */
%module(package="lorajs", threads="1") native /* not "_native": Python mangles __native inside classes */
%nothread;                                    /* hold the GIL, but for the calls listed below */
%feature("autodoc", "0");
%rename("%(strip:[ljs_])s") "";

%{
#define PY_SSIZE_T_CLEAN
#include <lorajs/lorajs.h>

#include <stdlib.h>
#include <string.h>
%}
%include <stdint.i>
#define LJS_API
#define LJS_MUST

/* ---- 1. ljs_err: raised, never returned.  lorajs/errors.py makes the exception ---- */

%{
static PyObject *raiser; /* (code, name, text, remedy) -> exception */

static void raise_err(ljs_err err)
{
    PyObject *exc;

    if (PyErr_Occurred()) /* a callback has raised already */
        return;
    exc = PyObject_CallFunction(raiser, "isss", (int)err, ljs_errname(err), ljs_strerror(err), ljs_remedy(err));
    if (exc) {
        PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
        Py_DECREF(exc);
    }
}
%}
%typemap(out) ljs_err {
    if ($1 != LJS_OK) {
        raise_err($1);
        SWIG_fail;
    }
    $result = SWIG_Py_Void();
}
%inline %{
static void set_raiser(PyObject *callable)
{
    Py_INCREF(callable);
    Py_XSETREF(raiser, callable);
}
%}
/* Where an error is what was asked for, it is a number. */
%typemap(out) ljs_err ljs_result_err, ljs_err err { $result = PyLong_FromLong($1); }

/* Text, or None.  A zero in it would end it here: "acme\0x" must not be the peer "acme". */
%typemap(in) const char * (Py_ssize_t len) {
    if ($input == Py_None)
        $1 = NULL;
    else if (!($1 = ($1_ltype)PyUnicode_AsUTF8AndSize($input, &len)))
        SWIG_fail;
    else if (strlen($1) != (size_t)len) {
        PyErr_SetString(PyExc_ValueError, "embedded null character");
        SWIG_fail;
    }
}
%typemap(freearg) const char * ""

/* Text in a struct: as much as there is room for, with its NUL. */
%typemap(in) char [ANY] (char fixed[$1_dim0]) {
    Py_ssize_t len = 0;
    const char *text = PyUnicode_AsUTF8AndSize($input, &len);

    if (!text)
        SWIG_fail;
    if (len >= (Py_ssize_t)sizeof fixed || strlen(text) != (size_t)len) {
        PyErr_SetString(PyExc_ValueError, strlen(text) != (size_t)len ? "embedded null character" : "text too long");
        SWIG_fail;
    }
    memset(fixed, 0, sizeof fixed);
    memcpy(fixed, text, (size_t)len);
    $1 = fixed;
}
%typemap(memberin) char [ANY] { memcpy($1, $input, sizeof $1); }

/* ---- 2. octets in: anything with a contiguous buffer; None is NULL ---------------- */

%typemap(in) (const uint8_t *in, size_t in_len) (Py_buffer view, int held = 0) {
    $1 = NULL;
    $2 = 0;
    if ($input != Py_None) {
        if (PyObject_GetBuffer($input, &view, PyBUF_SIMPLE) < 0)
            SWIG_fail;
        held = 1;
        $1 = ($1_ltype)view.buf;
        $2 = (size_t)view.len;
    }
}
%typemap(freearg) (const uint8_t *in, size_t in_len) {
    if (held$argnum)
        PyBuffer_Release(&view$argnum);
}
%apply (const uint8_t *in, size_t in_len) { (const uint8_t *record, size_t record_len) };

/* ---- 3. octets out: bytes --------------------------------------------------------- */

%typemap(in, numinputs=0) ljs_buf *OUT (ljs_buf made) {
    made.data = NULL;
    made.len = 0;
    $1 = &made;
}
%typemap(argout) ljs_buf *OUT {
    %append_output(PyBytes_FromStringAndSize((const char *)$1->data, (Py_ssize_t)$1->len));
}
%typemap(freearg) ljs_buf *OUT { ljs_buf_free($1); }
%apply ljs_buf *OUT { ljs_buf *out, ljs_buf *out_record };
%ignore ljs_buf;
%ignore ljs_buf_free;
%ignore ljs_buf_copy;

%typemap(in, numinputs=0) uint8_t out[ANY] ($*1_ltype made[$1_dim0]) { $1 = made; }
%typemap(argout) uint8_t out[ANY] { %append_output(PyBytes_FromStringAndSize((const char *)$1, $1_dim0)); }
%typemap(freearg) uint8_t out[ANY] {
    if ($1)
        explicit_bzero($1, $1_dim0);
}

/* ---- 4. arrays of octets in structs: bytes, zero-padded on the way in ------------- */

%typemap(out) uint8_t [ANY] { $result = PyBytes_FromStringAndSize((const char *)$1, $1_dim0); }
%typemap(in) uint8_t [ANY] ($*1_ltype fixed[$1_dim0]) {
    char *octets;
    Py_ssize_t octets_len;

    if (PyBytes_AsStringAndSize($input, &octets, &octets_len) < 0)
        SWIG_fail;
    if (octets_len > (Py_ssize_t)($1_dim0)) {
        PyErr_SetString(PyExc_ValueError, "too many octets");
        SWIG_fail;
    }
    memset(fixed, 0, sizeof fixed);
    memcpy(fixed, octets, (size_t)octets_len);
    $1 = fixed;
}
%typemap(memberin) uint8_t [ANY] { memcpy($1, $input, $1_dim0); }

/* ---- 5. structs out: a new object, wiped before it is freed ----------------------- */

%define VALUE(T)
%typemap(in, numinputs=0) T *out {
    if (!($1 = ($1_ltype)calloc(1, sizeof *$1))) {
        PyErr_NoMemory();
        SWIG_fail;
    }
}
%typemap(argout) T *out {
    %append_output(SWIG_NewPointerObj($1, $1_descriptor, SWIG_POINTER_OWN));
    $1 = NULL;
}
%typemap(freearg) T *out { free($1); }
%extend T {
    ~T()
    {
        explicit_bzero($self, sizeof *$self);
        free($self);
    }
}
%enddef
VALUE(ljs_frame)
VALUE(ljs_accept)
VALUE(ljs_cf_list)
VALUE(ljs_envelope)
VALUE(ljs_device)
VALUE(ljs_join_eui)
VALUE(ljs_session)
VALUE(ljs_join_req)
VALUE(ljs_join_ans)
VALUE(ljs_event)

/* ---- 6. numbers out --------------------------------------------------------------- */

%typemap(in, numinputs=0) ljs_mac *out (ljs_mac made) {
    made = (ljs_mac)0;
    $1 = &made;
}
%typemap(argout) ljs_mac *out { %append_output(PyLong_FromLong((long)*$1)); }
%typemap(in, numinputs=0) NUMBER *out ($*1_ltype made) {
    made = 0;
    $1 = &made;
}
%typemap(argout) NUMBER *out { %append_output(PyLong_FromUnsignedLongLong(*$1)); }
%apply NUMBER *out { uint8_t *out, ljs_eui *out, ljs_devaddr *out, ljs_netid *out };

/* ---- 7. handles: owned by the object, freed with its last reference --------------- */

%define HANDLE(T, NAME)
%nodefaultctor T;
%nodefaultdtor T;
struct T {};
%extend T { ~T() { T ## _free($self); } }
%ignore T ## _free;
%typemap(in, numinputs=0) T **out (T *made) {
    made = NULL;
    $1 = &made;
}
%typemap(argout) T **out { %append_output(SWIG_NewPointerObj(*$1, SWIGTYPE_p_ ## T, SWIG_POINTER_OWN)); }
%typemap(check) T *NAME {
    if (!$1) {
        PyErr_SetString(PyExc_TypeError, #NAME " is None");
        SWIG_fail;
    }
}
%enddef
HANDLE(ljs_key, key)
HANDLE(ljs_vault, vault)
HANDLE(ljs_store, store)
HANDLE(ljs_server, server)
HANDLE(ljs_peers, peers)
%typemap(check) const ljs_key *key = ljs_key *key;
%typemap(check) const ljs_key *root = ljs_key *key;
%typemap(check) const ljs_key *mic_key = ljs_key *key;
%typemap(check) const ljs_key *enc_key = ljs_key *key;
%typemap(check) const ljs_key *mc_ke_key = ljs_key *key;
%typemap(check) const ljs_key *mc_key = ljs_key *key;
%typemap(check) const ljs_peers *peers = ljs_peers *peers;

/* ---- 8. structs in: never None, and those that grow are born with their size ------ */

%typemap(check) const SWIGTYPE *STRUCT {
    if (!$1) {
        PyErr_SetString(PyExc_TypeError, "a struct is None");
        SWIG_fail;
    }
}
%apply const SWIGTYPE *STRUCT { const ljs_frame *, const ljs_accept *, const ljs_accept_of *, const ljs_envelope *,
    const ljs_derivation *, const ljs_device *, const ljs_root_keys *, const ljs_join_req *, const ljs_cf_list *,
    const ljs_dl_settings * };
%define SIZED(T)
%ignore T::struct_size;
%extend T {
    T()
    {
        T *made = calloc(1, sizeof *made);

        if (made)
            made->struct_size = sizeof *made;
        return made;
    }
}
%enddef
SIZED(ljs_device)
SIZED(ljs_server_opts)
%ignore ljs_join_req::struct_size;
%nodefaultctor ljs_join_req; /* ljs_join_req_init() makes one */

/* ---- 9. rows: gathered into a list ------------------------------------------------ */

%{
static ljs_err add_row(PyObject *list, PyObject *row)
{
    int bad = !row || PyList_Append(list, row) < 0;

    Py_XDECREF(row);
    return bad ? LJS_E_NOMEM : LJS_OK; /* and the exception is set */
}

static ljs_err add_device(void *user, ljs_eui dev_eui)
{
    return add_row(user, PyLong_FromUnsignedLongLong(dev_eui));
}

static ljs_err add_kek(void *user, const char *label, size_t kek_len)
{
    return add_row(user, Py_BuildValue("(sn)", label, (Py_ssize_t)kek_len));
}
%}
%define ROWS(T, FN)
%typemap(in, numinputs=0) (T *row, void *user) (PyObject *list = NULL) {
    if (!(list = PyList_New(0)))
        SWIG_fail;
    $1 = FN;
    $2 = list;
}
%typemap(argout) (T *row, void *user) {
    %append_output(list$argnum);
    list$argnum = NULL;
}
%typemap(freearg) (T *row, void *user) { Py_XDECREF(list$argnum); }
%enddef
ROWS(ljs_device_row, add_device)
ROWS(ljs_kek_row, add_kek)

/* ---- not yet, or not for Python --------------------------------------------------- */

%ignore ljs_server_opts::log;
%ignore ljs_server_opts::log_user;
%ignore ljs_call;
%rename(message) ljs_call::in; /* a keyword of Python */
%ignore ljs_server_handle_batch;
%ignore ljs_import;
%ignore ljs_import_parse;
%ignore ljs_import_clear;
%ignore ljs_message;
%ignore ljs_message_init;
%ignore ljs_message_parse;
%ignore ljs_message_build;
%ignore ljs_message_reply;
%ignore ljs_message_answer;

/* The GIL is let go where the store or the disk may be waited for. */
%thread ljs_store_sqlite;
%thread ljs_store_free;
%thread ljs_server_new;
%thread ljs_server_free;
%thread ljs_server_handle;
%thread ljs_server_ready;
%thread ljs_server_flush;
%thread ljs_server_make_device;
%thread ljs_server_add_join_eui;
%thread ljs_server_get_device;
%thread ljs_server_step_device;
%thread ljs_server_decision;
%thread ljs_server_put_kek;
%thread ljs_server_del_kek;

%include <lorajs/base.h>
%include <lorajs/frame.h>
%include <lorajs/keys.h>
%include <lorajs/device.h>
%include <lorajs/import.h>
%include <lorajs/join.h>
%include <lorajs/message.h>
%include <lorajs/store.h>
%include <lorajs/server.h>
