/* lorajs.i -- the whole binding: a conversion for each shape of argument, then the C
 * headers as they are.  Conversions match types, or the parameter names that the headers
 * keep to: in, in_len, record, record_len, state, state_len, out, out_record, out_state.
 * What C calls back in Python is in callbacks.h; how a call lets go of the interpreter's lock, in interpreter.h. */
%module(package="lorajs", threads="1") native /* not "_native": Python mangles __native inside classes */
%nothread;                                    /* hold the GIL, but for the calls listed below */
%feature("autodoc", "0");
%rename("%(strip:[ljs_])s") "";

%{
#include "callbacks.h"

/* SWIG keeps classes, and we what is below, once for a process; and C calls back by PyGILState_Ensure(),
 * which knows the main interpreter alone.  Another one is refused before SWIG makes anything in it. */
static PyObject *main_interpreter(void)
{
    if (PyInterpreterState_GetID(PyInterpreterState_Get()) == 0)
        return SWIG_Py_Void();
    PyErr_SetString(PyExc_ImportError, "lorajs works in the main interpreter of a process alone "
                                       "(mod_wsgi: WSGIApplicationGroup %{GLOBAL})");
    return NULL;
}

#undef SWIG_init
#undef SWIGEXPORT
#define SWIG_init init_by_swig
#define SWIGEXPORT /* not to be seen from outside */
PyObject *init_by_swig(void);

PyMODINIT_FUNC PyInit__native(void)
{
    PyObject *good = main_interpreter();

    Py_XDECREF(good);
    return good ? init_by_swig() : NULL;
}
%}
%include <stdint.i>
#define LJS_API
#define LJS_MUST

/* ---- 1. ljs_err: raised, never returned.  lorajs/errors.py makes the exception ---- */

%typemap(out) ljs_err {
    if (failed($1))
        SWIG_fail;
    $result = SWIG_Py_Void();
}
PyObject *main_interpreter(void); /* a module of one phase, as older SWIG makes it, is copied without being asked */
%inline %{
static void set_raiser(PyObject *callable)
{
    Py_CLEAR(raiser);
    Py_INCREF(callable);
    raiser = callable;
}
%}
/* Where an error is what was asked for, or what comes with it tells more, it is a number. */
%typemap(out) ljs_err ljs_result_err, ljs_err err, ljs_err result { $result = PyLong_FromLong($1); }
%typemap(out) ljs_err ljs_server_handle, ljs_err ljs_import_parse, ljs_err ljs_message_answer,
    ljs_err ljs_store_get, ljs_err ljs_server_decision, ljs_err ljs_explain_accept,
    ljs_err ljs_qr_parse, ljs_err ljs_manifest_next, ljs_err ljs_manifest_open_secret, ljs_err ljs_bulk_next {
    if (called_back())
        SWIG_fail;
    $result = PyLong_FromLong($1);
}

%{
/* A Python object lives as long as another: it is an attribute of that. */
static int hold(PyObject *holder, const char *name, PyObject *held)
{
    return PyObject_SetAttrString(holder, name, held);
}

/* All that another object holds now, its own pointer too; a tuple, since of a list the collector takes the parts. */
static PyObject *held_by(PyObject *object)
{
    PyObject *held = PyObject_GetAttrString(object, "__dict__");
    PyObject *values = held ? PyDict_Values(held) : NULL;
    PyObject *now = values ? PyList_AsTuple(values) : NULL;

    Py_XDECREF(held);
    Py_XDECREF(values);
    return now;
}

static int hold_alike(PyObject *holder, PyObject *other)
{
    PyObject *now = held_by(other);
    int done = now ? hold(holder, "held", now) : -1;

    Py_XDECREF(now);
    return done;
}

/* What a call was given, one argument or a tuple of them, of which those of ours matter. */
static int hold_lent(PyObject *holder, PyObject *args)
{
    int many = args && PyTuple_Check(args);
    Py_ssize_t n = many ? PyTuple_Size(args) : args ? 1 : 0;
    PyObject *lent = PyTuple_New(n);
    int done = lent ? 0 : -1;

    for (Py_ssize_t i = 0; !done && i < n; i++) {
        PyObject *arg = many ? PyTuple_GetItem(args, i) : args;
        PyObject *now = SWIG_Python_GetSwigThis(arg) ? held_by(arg) : SWIG_Py_Void();

        done = now ? PyTuple_SetItem(lent, i, now) : -1;
    }
    done = done ? -1 : hold(holder, "lent", lent);
    Py_XDECREF(lent);
    return done;
}

/* One more result: alone, or a tuple.  SWIG's own differs from version to version. */
static PyObject *and_result(PyObject *results, PyObject *one)
{
    PyObject *last, *all = NULL;

    if (results == Py_None) {
        Py_DECREF(results);
        return one;
    }
    if (results && one && !PyTuple_Check(results)) {
        all = PyTuple_Pack(2, results, one);
    } else if (results && one && (last = PyTuple_Pack(1, one))) {
        all = PySequence_Concat(results, last);
        Py_DECREF(last);
    }
    Py_XDECREF(results);
    Py_XDECREF(one);
    return all;
}
%}
%define GIVE(ONE)
$result = and_result($result, ONE);
%enddef

/* ---- 2. text: a str, whole.  A zero in it would end it: "acme\0x" is not "acme" ---- */

%{
static const char *text_of(PyObject *given, const char *what)
{
    const char *text;
    Py_ssize_t len;

    if (!PyUnicode_Check(given)) {
        PyErr_Format(PyExc_TypeError, "%s is a str", what);
        return NULL;
    }
    if ((text = PyUnicode_AsUTF8AndSize(given, &len)) && strlen(text) != (size_t)len) {
        PyErr_SetString(PyExc_ValueError, "embedded null character");
        return NULL;
    }
    return text;
}
%}
%typemap(in) const char * {
    if (!($1 = ($1_ltype)text_of($input, "$1_name")))
        SWIG_fail;
}
%typemap(in) const char *OR_NONE {
    $1 = NULL;
    if ($input != Py_None && !($1 = ($1_ltype)text_of($input, "$1_name")))
        SWIG_fail;
}
%typemap(freearg) const char *, const char *OR_NONE ""
%apply const char *OR_NONE { const char *peer, const char *ns_label, const char *as_label, const char *title };

/* Text in a struct: as much as there is room for, with its NUL. */
%typemap(in) char [ANY] (char fixed[$1_dim0]) {
    const char *text = text_of($input, "$1_name");

    if (!text)
        SWIG_fail;
    if (strlen(text) >= sizeof fixed) {
        PyErr_SetString(PyExc_ValueError, "text too long");
        SWIG_fail;
    }
    memset(fixed, 0, sizeof fixed);
    memcpy(fixed, text, strlen(text));
    $1 = fixed;
}
%typemap(memberin) char [ANY] { memcpy($1, $input, sizeof $1); }

/* ---- 3. octets in: anything with a contiguous buffer; None is NULL ---------------- */

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
%typemap(check) (const uint8_t *in, size_t in_len) ""
%typemap(freearg) (const uint8_t *in, size_t in_len) {
    if (held$argnum)
        PyBuffer_Release(&view$argnum);
}
%apply (const uint8_t *in, size_t in_len) {
    (const uint8_t *record, size_t record_len), (const uint8_t *state, size_t state_len),
    (const uint8_t *key, size_t key_len), (const uint8_t *prefix, size_t prefix_len)
};

/* ---- 4. octets out: bytes --------------------------------------------------------- */

%typemap(in, numinputs=0) ljs_buf *OUT (ljs_buf made) {
    made.data = NULL;
    made.len = 0;
    $1 = &made;
}
%typemap(argout) ljs_buf *OUT { GIVE(PyBytes_FromStringAndSize((const char *)$1->data, (Py_ssize_t)$1->len)) }
%typemap(freearg) ljs_buf *OUT { ljs_buf_free($1); }
%apply ljs_buf *OUT { ljs_buf *out, ljs_buf *out_record, ljs_buf *out_state };

%typemap(in, numinputs=0) uint8_t out[ANY] ($*1_ltype made[$1_dim0]) { $1 = made; }
%typemap(argout) uint8_t out[ANY] { GIVE(PyBytes_FromStringAndSize((const char *)$1, $1_dim0)) }
%typemap(freearg) uint8_t out[ANY] {
    if ($1)
        explicit_bzero($1, $1_dim0);
}

/* ---- 5. arrays in structs ---------------------------------------------------------- */

/* Octets: bytes, zero-padded on the way in. */
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

/* Numbers: a tuple of them, zero-padded on the way in. */
%typemap(out) NUMBERS [ANY] {
    $result = PyTuple_New($1_dim0);
    for (Py_ssize_t i = 0; $result && i < $1_dim0; i++)
        PyTuple_SetItem($result, i, PyLong_FromUnsignedLongLong($1[i]));
}
%typemap(in) NUMBERS [ANY] ($*1_ltype fixed[$1_dim0]) {
    Py_ssize_t n = PySequence_Size($input);

    if (n > $1_dim0)
        PyErr_SetString(PyExc_ValueError, "too many numbers");
    memset(fixed, 0, sizeof fixed);
    for (Py_ssize_t i = 0; !PyErr_Occurred() && i < n; i++) {
        PyObject *item = PySequence_GetItem($input, i);
        unsigned long long number = item ? PyLong_AsUnsignedLongLong(item) : 0;

        Py_XDECREF(item);
        fixed[i] = ($*1_ltype)number;
        if (fixed[i] != number && !PyErr_Occurred())
            PyErr_SetString(PyExc_OverflowError, "a number too large");
    }
    if (PyErr_Occurred())
        SWIG_fail;
    $1 = fixed;
}
%typemap(memberin) NUMBERS [ANY] { memcpy($1, $input, sizeof $1); }
%apply NUMBERS [ANY] { uint16_t [ANY], uint32_t [ANY], ljs_eui [ANY] };

/* ---- 6. structs in: never None -------------------------------------------------------- */

%typemap(check) const SWIGTYPE *, SWIGTYPE * {
    if (!$1) {
        PyErr_SetString(PyExc_TypeError, "$1_name is None");
        SWIG_fail;
    }
}
/* ... but for what may be NULL by its header. */
%typemap(check) const char *, const ljs_key *kek, const ljs_key *ns_kek, const ljs_key *as_kek, const ljs_key *nwk,
    const ljs_key *app, const ljs_key *gen_app, const ljs_key *rekey, const ljs_key *x25519, const ljs_key *f_nwk_s_int,
    const ljs_key *s_nwk_s_int, const ljs_key *nwk_s_enc, const ljs_server_opts *opts, ljs_store *against, ljs_vault *opener,
    const ljs_marker *marker, const ljs_standing *known, void * ""

%define NEEDED(FUNCTION, ARG)
%exception FUNCTION {
    if (!ARG) {
        PyErr_SetString(PyExc_TypeError, "kek is None");
        SWIG_fail;
    }
    $action
}
%enddef
NEEDED(ljs_key_wrap, arg2)
NEEDED(ljs_key_unwrap, arg2)
NEEDED(ljs_server_put_kek, arg3)

/* A key, or a manifest, in a struct stays whose it was: SWIG would take a pointer that is kept for one that is given away,
 * and nobody would free it. */
%typemap(in) const ljs_key * (void *handle = NULL) {
    int got = SWIG_ConvertPtr($input, &handle, $descriptor, 0);

    if (!SWIG_IsOK(got))
        SWIG_exception_fail(SWIG_ArgError(got), "in method '$symname', argument $argnum of type '$type'");
    $1 = ($1_ltype)handle;
}

/* ... and the struct holds it, as a struct that is inside another holds that one: neither outlives what it
 * points to.  `args` is the object whose member is read, as it is where a function takes one argument alone.
 * A key that is read holds what the struct holds then, since another may be put in its place. */
%typemap(memberin) const ljs_key * {
    if (hold(swig_obj[0], "$symname", swig_obj[1]) < 0)
        SWIG_fail;
    $1 = $input;
}
%typemap(out) SWIGTYPE * {
    $result = SWIG_NewPointerObj(SWIG_as_voidptr($1), $1_descriptor, $owner);
    if (!($owner & SWIG_POINTER_OWN) && $result && $result != Py_None && hold($result, "inside", args) < 0)
        Py_CLEAR($result);
}
%typemap(out) const ljs_key * {
    $result = SWIG_NewPointerObj(SWIG_as_voidptr($1), $1_descriptor, $owner);
    if ($result && $result != Py_None && (hold($result, "inside", args) < 0 || hold_alike($result, args) < 0))
        Py_CLEAR($result);
}

%apply const ljs_key * { const ljs_manifest * };

/* Those that grow are born with their size. */
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
SIZED(ljs_credential)
SIZED(ljs_bulk_opts)
SIZED(ljs_account)
SIZED(ljs_claim)
SIZED(ljs_claim_req)
SIZED(ljs_chip)
SIZED(ljs_register_opts)
SIZED(ljs_routing)
SIZED(ljs_admin_req)
SIZED(ljs_ns_accepted)
SIZED(ljs_ns_force)
SIZED(ljs_ns_tx)
SIZED(ljs_rekey_opts)
SIZED(ljs_resync_opts)
/* ... or by an _init() of their own, or are only ever given. */
%define MADE_BY_C(T)
%ignore T::struct_size;
%nodefaultctor T;
%enddef
MADE_BY_C(ljs_join_req)
MADE_BY_C(ljs_message)
MADE_BY_C(ljs_ns_opts)
MADE_BY_C(ljs_ns)
MADE_BY_C(ljs_ed_opts)
MADE_BY_C(ljs_ed_event)
MADE_BY_C(ljs_ed)
MADE_BY_C(ljs_rekey)
MADE_BY_C(ljs_claim_index)

/* ---- 7. structs out: a new object, wiped before it is freed ----------------------------- */

%define VALUE(T)
%typemap(in, numinputs=0) T *out {
    if (!($1 = ($1_ltype)calloc(1, sizeof *$1))) {
        PyErr_NoMemory();
        SWIG_fail;
    }
}
%typemap(argout) T *out {
    GIVE(SWIG_NewPointerObj($1, $1_descriptor, SWIG_POINTER_OWN))
    $1 = NULL;
}
%typemap(freearg) T *out { free($1); }
%enddef
%define WIPED(T)
VALUE(T)
%extend T {
    ~T()
    {
        explicit_bzero($self, sizeof *$self);
        free($self);
    }
}
%enddef
WIPED(ljs_explained)
WIPED(ljs_qr)
WIPED(ljs_manifest_entry)
WIPED(ljs_manifest_secret)
WIPED(ljs_field)
WIPED(ljs_frame)
WIPED(ljs_accept)
WIPED(ljs_cf_list)
WIPED(ljs_data)
WIPED(ljs_mac_command)
WIPED(ljs_rekey_message)
WIPED(ljs_rekey)
WIPED(ljs_ed_rekey_out)
WIPED(ljs_envelope)
WIPED(ljs_device)
WIPED(ljs_join_eui)
WIPED(ljs_session)
WIPED(ljs_join_req)
WIPED(ljs_join_ans)
WIPED(ljs_message)
WIPED(ljs_token_report)
WIPED(ljs_token_storage)
WIPED(ljs_event)
WIPED(ljs_audit_link)
WIPED(ljs_audit_entry)
WIPED(ljs_credential)
WIPED(ljs_account)
WIPED(ljs_claim)
WIPED(ljs_claim_req)
WIPED(ljs_chip)
WIPED(ljs_register_opts)
WIPED(ljs_registered)
WIPED(ljs_claim_index)
WIPED(ljs_audit_totals)
WIPED(ljs_audit_finding)
WIPED(ljs_rewrapped)
WIPED(ljs_routing)
WIPED(ljs_admin_req)
WIPED(ljs_kek)
WIPED(ljs_kek_next)
WIPED(ljs_standing)
WIPED(ljs_marker)
WIPED(ljs_backup)
WIPED(ljs_ns_opts)
WIPED(ljs_ns_joined)
WIPED(ljs_ns_up)
WIPED(ljs_ns_down)
WIPED(ljs_ns_route)
WIPED(ljs_ns_woken)
WIPED(ljs_ns)
WIPED(ljs_ed_opts)
WIPED(ljs_ed_event)
WIPED(ljs_ed_out)
WIPED(ljs_ed)
/* A line of an import owns its keys; they are gone with it. */
VALUE(ljs_import)
%extend ljs_import {
    ~ljs_import()
    {
        ljs_import_clear($self);
        free($self);
    }
}
%rename("imported") ljs_import; /* "import" is a word of Python */
%nodefaultctor ljs_import;
%ignore ljs_import_clear;
/* A row of a bulk file likewise. */
VALUE(ljs_bulk_row)
%extend ljs_bulk_row {
    ~ljs_bulk_row()
    {
        ljs_bulk_row_clear($self);
        free($self);
    }
}
%nodefaultctor ljs_bulk_row;
%ignore ljs_bulk_row_clear;
/* An answer owns its body, which may be a parcel. */
VALUE(ljs_admin_ans)
%extend ljs_admin_ans {
    ~ljs_admin_ans()
    {
        ljs_buf_free(&$self->body);
        free($self);
    }
}
%nodefaultctor ljs_admin_ans;
%immutable ljs_admin_ans::status;
%immutable ljs_admin_ans::type;
%immutable ljs_admin_ans::etag;
%immutable ljs_admin_ans::location;
%immutable ljs_admin_ans::allow;
%immutable ljs_admin_ans::who;
%immutable ljs_admin_ans::body;
%typemap(out) ljs_buf * { $result = PyBytes_FromStringAndSize((const char *)$1->data, (Py_ssize_t)$1->len); }

/* ---- 8. numbers out ------------------------------------------------------------------------ */

%typemap(in, numinputs=0) NUMBER *out ($*1_ltype made) {
    memset(&made, 0, sizeof made);
    $1 = &made;
}
%typemap(argout) NUMBER *out { GIVE(PyLong_FromUnsignedLongLong(*$1)) }
%apply NUMBER *out {
    uint8_t *out, uint32_t *out, ljs_eui *out, ljs_bulk_format *out, ljs_devaddr *out, ljs_netid *out, ljs_mac *out, uint64_t *version,
    uint64_t *out
};
/* A place in octets: goes in, and comes out moved. */
%typemap(in) size_t *at ($*1_ltype place) {
    place = (size_t)PyLong_AsUnsignedLongLong($input);
    if (PyErr_Occurred())
        SWIG_fail;
    $1 = &place;
}
%typemap(argout) size_t *at { GIVE(PyLong_FromUnsignedLongLong(*$1)) }

/* ---- 9. handles: owned by the object, freed with its last reference -------------------------- */

%define HANDLE(T)
%nodefaultctor T;
%nodefaultdtor T;
struct T {};
%extend T {
    ~T()
    {
        Py_BEGIN_ALLOW_THREADS /* a database closes, a page is unlocked */
        T ## _free($self);
        Py_END_ALLOW_THREADS
    }
}
%ignore T ## _free;
%typemap(in, numinputs=0) T **out (T *made) {
    made = NULL;
    $1 = &made;
}
%typemap(argout) T **out { GIVE(SWIG_NewPointerObj(*$1, SWIGTYPE_p_ ## T, SWIG_POINTER_OWN)) }
%enddef
HANDLE(ljs_key)
HANDLE(ljs_vault)
HANDLE(ljs_store)
HANDLE(ljs_server)
HANDLE(ljs_peers)
HANDLE(ljs_parcel)
HANDLE(ljs_audit_report)
HANDLE(ljs_rewrap)
HANDLE(ljs_manifest)
HANDLE(ljs_bulk)
HANDLE(ljs_bulk_writer)
HANDLE(ljs_se)
%apply ljs_key **out { ljs_key **out_key };

/* What one of these borrows is given back after it, in whatever order the collector takes them: it is the
 * pointers that are held, and not the objects that have them. */
%define BORROWS(T)
%typemap(argout) T **out {
    PyObject *object = SWIG_NewPointerObj(*$1, SWIGTYPE_p_ ## T, SWIG_POINTER_OWN);

    if (object && hold_lent(object, args) < 0)
        Py_CLEAR(object);
    GIVE(object)
}
%enddef
BORROWS(ljs_store)
BORROWS(ljs_server)
BORROWS(ljs_rewrap)

/* ---- 10. callbacks ----------------------------------------------------------------------------- */

/* An object with the methods that callbacks.h calls; C keeps a reference to it until it is closed. */
%define METHODS(T, OPS)
%typemap(in) (const T *ops, void *self) {
    $1 = ($1_ltype)&OPS;
    $2 = $input;
    Py_INCREF($input);
}
%typemap(check) (const T *ops, void *self) ""
%enddef
METHODS(ljs_store_ops, store_ops)
METHODS(ljs_se_ops, se_ops)

%define ROWS(T, FN)
%typemap(in) (T *row, void *user) {
    $1 = FN;
    $2 = $input;
}
%typemap(check) (T *row, void *user) ""
%enddef
ROWS(ljs_store_row, store_row)
ROWS(ljs_device_row, device_row)
ROWS(ljs_event_row, event_row)
ROWS(ljs_kek_row, kek_row)
ROWS(ljs_lot_row, lot_row)
ROWS(ljs_audit_row, audit_row)
ROWS(ljs_credential_row, credential_row)
ROWS(ljs_account_row, account_row)
ROWS(ljs_claim_row, claim_row)

%ignore ljs_server_opts::log;
%ignore ljs_server_opts::log_user;
%typemap(in) PyObject *told {
    if (hold(swig_obj[0], "told", $input) < 0)
        SWIG_fail;
    $1 = $input;
}
%extend ljs_server_opts {
    void log_to(PyObject *told)
    {
        $self->log = log_event;
        $self->log_user = told;
    }
}
%{
static PyObject *event_object(const ljs_event *event)
{
    ljs_event *copy = malloc(sizeof *copy);

    if (!copy)
        return PyErr_NoMemory();
    *copy = *event;
    return SWIG_NewPointerObj(copy, SWIGTYPE_p_ljs_event, SWIG_POINTER_OWN);
}

static PyObject *account_object(const ljs_account *account)
{
    ljs_account *copy = malloc(sizeof *copy);

    if (!copy)
        return PyErr_NoMemory();
    *copy = *account;
    return SWIG_NewPointerObj(copy, SWIGTYPE_p_ljs_account, SWIG_POINTER_OWN);
}

static PyObject *claim_object(const ljs_claim *claim)
{
    ljs_claim *copy = malloc(sizeof *copy);

    if (!copy)
        return PyErr_NoMemory();
    *copy = *claim;
    return SWIG_NewPointerObj(copy, SWIGTYPE_p_ljs_claim, SWIG_POINTER_OWN);
}

static PyObject *credential_object(const ljs_credential *credential)
{
    ljs_credential *copy = malloc(sizeof *copy);

    if (!copy)
        return PyErr_NoMemory();
    *copy = *credential;
    return SWIG_NewPointerObj(copy, SWIGTYPE_p_ljs_credential, SWIG_POINTER_OWN);
}
%}

/* Changes: [(key, value or None, if_version, group)] in, a result for each out. */
%typemap(in) (ljs_change *changes, size_t changes_len) (struct changes made) {
    if (changes_take(&made, $input) < 0)
        SWIG_fail;
    $1 = made.change;
    $2 = made.len;
}
%typemap(arginit) (ljs_change *changes, size_t changes_len) { memset(&made$argnum, 0, sizeof made$argnum); }
%typemap(check) (ljs_change *changes, size_t changes_len) ""
%typemap(argout) (ljs_change *changes, size_t changes_len) { GIVE(changes_results(&made$argnum)) }
%typemap(freearg) (ljs_change *changes, size_t changes_len) { changes_clear(&made$argnum); }

/* Calls: [(peer or None, now, message)] in, [(err, answer, exception or None)] out. */
%typemap(in) (ljs_call *calls, size_t calls_len) (struct batch made) {
    if (batch_take(&made, $input) < 0)
        SWIG_fail;
    $1 = made.call;
    $2 = made.len;
}
%typemap(arginit) (ljs_call *calls, size_t calls_len) { memset(&made$argnum, 0, sizeof made$argnum); }
%typemap(check) (ljs_call *calls, size_t calls_len) ""
%typemap(argout) (ljs_call *calls, size_t calls_len) {
    GIVE(batch_give(&made$argnum))
    if (!$result)
        SWIG_fail;
}
%typemap(freearg) (ljs_call *calls, size_t calls_len) { batch_clear(&made$argnum); }

/* Devices of import.h, whose keys stay theirs, in; [err] out. */
%{
struct imports {
    PyObject *kept; /* a tuple: what the copies have the keys of */
    ljs_import *import;
    ljs_err *result;
    size_t len;
};

static void imports_clear(struct imports *i)
{
    Py_CLEAR(i->kept);
    free(i->import); /* copies */
    free(i->result);
    memset(i, 0, sizeof *i);
}

/* 0, or -1 with an exception. */
static int imports_take(struct imports *i, PyObject *given, swig_type_info *kind)
{
    if (!(i->kept = PySequence_Tuple(given)))
        return -1;
    i->len = (size_t)PyTuple_Size(i->kept);
    i->import = calloc(i->len ? i->len : 1, sizeof *i->import);
    i->result = calloc(i->len ? i->len : 1, sizeof *i->result);
    if (!i->import || !i->result) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t n = 0; n < i->len; n++) {
        void *at = NULL;

        if (!SWIG_IsOK(SWIG_ConvertPtr(PyTuple_GetItem(i->kept, (Py_ssize_t)n), &at, kind, 0)) || !at) {
            PyErr_SetString(PyExc_TypeError, "an import is what import_parse() made");
            return -1;
        }
        i->import[n] = *(const ljs_import *)at;
    }
    return 0;
}

static PyObject *imports_give(const struct imports *i)
{
    PyObject *list = PyList_New((Py_ssize_t)i->len);

    for (size_t n = 0; list && n < i->len; n++)
        PyList_SetItem(list, (Py_ssize_t)n, PyLong_FromLong(i->result[n]));
    return list;
}
%}
%typemap(in, numinputs=0) ljs_err *results { $1 = NULL; } /* that of the devices: the next but one has room for it */
%typemap(check) ljs_err *results ""
%typemap(in) (const ljs_import *imports, size_t imports_len) (struct imports made) {
    if (imports_take(&made, $input, $descriptor(ljs_import *)) < 0)
        SWIG_fail;
    $1 = made.import;
    $2 = made.len;
    arg1 = made.result;
}
%typemap(arginit) (const ljs_import *imports, size_t imports_len) { memset(&made$argnum, 0, sizeof made$argnum); }
%typemap(check) (const ljs_import *imports, size_t imports_len) ""
%typemap(argout) (const ljs_import *imports, size_t imports_len) {
    GIVE(imports_give(&made$argnum))
    if (!$result)
        SWIG_fail;
}
%typemap(freearg) (const ljs_import *imports, size_t imports_len) { imports_clear(&made$argnum); }

/* DevEUIs in; [err] out. */
%{
/* SWIG takes a uint64_t for an unsigned long long, which may be another type of the same size. */
#define ljs_server_step_devices(results, server, dev_euis, dev_euis_len, act)                                          \
    ljs_server_step_devices(results, server, (const ljs_eui *)(const void *)(dev_euis), dev_euis_len, act)

struct euis {
    ljs_eui *eui;
    ljs_err *result;
    size_t len;
};

static void euis_clear(struct euis *e)
{
    free(e->eui);
    free(e->result);
    memset(e, 0, sizeof *e);
}

/* 0, or -1 with an exception. */
static int euis_take(struct euis *e, PyObject *given)
{
    PyObject *all = PySequence_Tuple(given);

    if (!all)
        return -1;
    e->len = (size_t)PyTuple_Size(all);
    e->eui = calloc(e->len ? e->len : 1, sizeof *e->eui);
    e->result = calloc(e->len ? e->len : 1, sizeof *e->result);
    if (!e->eui || !e->result)
        PyErr_NoMemory();
    for (size_t n = 0; !PyErr_Occurred() && n < e->len; n++)
        e->eui[n] = PyLong_AsUnsignedLongLong(PyTuple_GetItem(all, (Py_ssize_t)n));
    Py_DECREF(all);
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *euis_give(const struct euis *e)
{
    PyObject *list = PyList_New((Py_ssize_t)e->len);

    for (size_t n = 0; list && n < e->len; n++)
        PyList_SetItem(list, (Py_ssize_t)n, PyLong_FromLong(e->result[n]));
    return list;
}
%}
%typemap(in) (const ljs_eui *dev_euis, size_t dev_euis_len) (struct euis made) {
    if (euis_take(&made, $input) < 0)
        SWIG_fail;
    $1 = made.eui;
    $2 = made.len;
    arg1 = made.result;
}
%typemap(arginit) (const ljs_eui *dev_euis, size_t dev_euis_len) { memset(&made$argnum, 0, sizeof made$argnum); }
%typemap(check) (const ljs_eui *dev_euis, size_t dev_euis_len) ""
%typemap(argout) (const ljs_eui *dev_euis, size_t dev_euis_len) {
    GIVE(euis_give(&made$argnum))
    if (!$result)
        SWIG_fail;
}
%typemap(freearg) (const ljs_eui *dev_euis, size_t dev_euis_len) { euis_clear(&made$argnum); }

/* Entries of manifest.h in; what became of each out. */
%{
struct registering {
    ljs_manifest_entry *entry;
    ljs_registered *what;
    size_t len;
};

static void registering_clear(struct registering *r)
{
    free(r->entry);
    free(r->what);
    memset(r, 0, sizeof *r);
}

/* 0, or -1 with an exception. */
static int registering_take(struct registering *r, PyObject *given, swig_type_info *kind)
{
    PyObject *all = PySequence_Tuple(given);

    if (!all)
        return -1;
    r->len = (size_t)PyTuple_Size(all);
    r->entry = calloc(r->len ? r->len : 1, sizeof *r->entry);
    r->what = calloc(r->len ? r->len : 1, sizeof *r->what);
    if (!r->entry || !r->what)
        PyErr_NoMemory();
    for (size_t n = 0; n < r->len && !PyErr_Occurred(); n++) {
        void *at = NULL;

        if (!SWIG_IsOK(SWIG_ConvertPtr(PyTuple_GetItem(all, (Py_ssize_t)n), &at, kind, 0)) || !at)
            PyErr_SetString(PyExc_TypeError, "an entry is what manifest_next() gave");
        else
            r->entry[n] = *(const ljs_manifest_entry *)at;
    }
    Py_DECREF(all);
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *registering_give(const struct registering *r, swig_type_info *kind)
{
    PyObject *list = PyList_New((Py_ssize_t)r->len);

    for (size_t n = 0; list && n < r->len; n++) {
        ljs_registered *own = calloc(1, sizeof *own);
        PyObject *one = NULL;

        if (own) {
            *own = r->what[n];
            one = SWIG_NewPointerObj(own, kind, SWIG_POINTER_OWN);
        }
        if (!one) {
            Py_CLEAR(list);
            return PyErr_Occurred() ? NULL : PyErr_NoMemory();
        }
        PyList_SetItem(list, (Py_ssize_t)n, one);
    }
    return list;
}
%}
%typemap(in, numinputs=0) ljs_registered *registered { $1 = NULL; } /* that of the entries has room for it */
%typemap(check) ljs_registered *registered ""
%typemap(in) (const ljs_manifest_entry *entries, size_t entries_len) (struct registering made) {
    if (registering_take(&made, $input, $descriptor(ljs_manifest_entry *)) < 0)
        SWIG_fail;
    $1 = made.entry;
    $2 = made.len;
    arg1 = made.what;
}
%typemap(arginit) (const ljs_manifest_entry *entries, size_t entries_len) { memset(&made$argnum, 0, sizeof made$argnum); }
%typemap(check) (const ljs_manifest_entry *entries, size_t entries_len) ""
%typemap(argout) (const ljs_manifest_entry *entries, size_t entries_len) {
    GIVE(registering_give(&made$argnum, $descriptor(ljs_registered *)))
    if (!$result)
        SWIG_fail;
}
%typemap(freearg) (const ljs_manifest_entry *entries, size_t entries_len) { registering_clear(&made$argnum); }

/* ---- what Python has in another shape ---------------------------------------------------------- */

%ignore ljs_buf;      /* bytes */
%ignore ljs_buf_free;
%ignore ljs_buf_copy;
%ignore ljs_call;     /* tuples */
%ignore ljs_change;
%rename(message) ljs_call::in; /* a word of Python */
%rename(value) ljs_change::in;
%ignore ljs_store_ops; /* objects with methods */
%ignore ljs_se_ops;

/* ---- the GIL is let go where somebody waits or computes for more than a microsecond ------------- */

%thread ljs_key_import;
%thread ljs_key_generate;
%thread ljs_vault_new;
%thread ljs_vault_from_key;
%thread ljs_vault_mark;
%thread ljs_vault_is;
%thread ljs_vault_add;
%thread ljs_vault_retire;
%thread ljs_vault_pack;
%thread ljs_vault_unpack;
%thread ljs_master_seal;
%thread ljs_master_open;
%thread ljs_vault_token;
%thread ljs_token_pin_source;
%thread ljs_token_init;
%thread ljs_token_next;
%thread ljs_token_look;
%thread ljs_token_check;
%thread ljs_aes_encrypt;
%thread ljs_aes_decrypt;
%thread ljs_aes_cmac;
%thread ljs_envelope_seal;
%thread ljs_envelope_open;
%thread ljs_key_wrap;
%thread ljs_key_unwrap;
%thread ljs_derive;
%thread ljs_mc_key_encrypt;
%thread ljs_mc_key_decrypt;
%thread ljs_frame_verify;
%thread ljs_frame_sign;
%thread ljs_accept_mic;
%thread ljs_accept_seal;
%thread ljs_accept_open;
%thread ljs_data_mic;
%thread ljs_data_crypt;
%thread ljs_rekey_kcv;
%thread ljs_rekey_mic;
%thread ljs_rekey_agree;
%thread ljs_rekey_temp_key;
%thread ljs_rekey_slot;
%thread ljs_rekey_slot_mac;
%thread ljs_rekey_begin;
%thread ljs_rekey_answer;
%thread ljs_rekey_abort;
%thread ljs_rekey_step;
%thread ljs_rekey_resync;
%thread ljs_rekey_read;
%thread ljs_server_rekey_begin;
%thread ljs_server_rekey_answer;
%thread ljs_server_rekey_abort;
%thread ljs_server_rekey_step;
%thread ljs_server_rekey_resync;
%thread ljs_se_software_rekey;
%thread ljs_se_atecc;
%thread ljs_ed_rekey;
%thread ljs_device_make;
%thread ljs_device_make_keyless;
%thread ljs_device_add_join_eui;
%thread ljs_device_read;
%thread ljs_device_join_eui;
%thread ljs_device_session;
%thread ljs_device_dev_nonces;
%thread ljs_device_check;
%thread ljs_device_step;
%thread ljs_device_raise;
%thread ljs_device_rewrap;
%thread ljs_device_json;
%thread ljs_explain;
%thread ljs_explain_field;
%thread ljs_explain_accept;
%thread ljs_import_parse;
%thread ljs_bulk_next;
%thread ljs_bulk_guess;
%thread ljs_bulk_put;
%thread ljs_qr_parse;
%thread ljs_qr_build;
%thread ljs_manifest_new;
%thread ljs_manifest_trust_signer;
%thread ljs_manifest_trust_root;
%thread ljs_manifest_next;
%thread ljs_manifest_open_secret;
%thread ljs_x25519_public;
%thread ljs_ed25519_public;
%thread ljs_parcel_pack;
%thread ljs_parcel_put;
%thread ljs_parcel_close;
%thread ljs_parcel_open;
%thread ljs_parcel_feed;
%thread ljs_parcel_land;
%thread ljs_join;
%thread ljs_app_s_key;
%thread ljs_message_parse;
%thread ljs_message_build;
%thread ljs_message_answer;
%thread ljs_store_sqlite;
%thread ljs_store_get;
%thread ljs_store_commit;
%thread ljs_store_each;
%thread ljs_store_count;
%thread ljs_store_copy;
%thread ljs_store_sqlite_fold;
%thread ljs_store_marked;
%thread ljs_standing_read;
%thread ljs_standing_raise;
%thread ljs_marker_look;
%thread ljs_marker_reserve;
%thread ljs_backup_make;
%thread ljs_backup_check;
%thread ljs_backup_extract;
%thread ljs_server_new;
%thread ljs_server_handle;
%thread ljs_server_handle_batch;
%thread ljs_server_ready;
%thread ljs_server_flush;
%thread ljs_server_make_device;
%thread ljs_server_import;
%thread ljs_server_add_join_eui;
%thread ljs_server_get_device;
%thread ljs_server_land_device;
%thread ljs_server_land_held;
%thread ljs_server_step_device;
%thread ljs_server_step_devices;
%thread ljs_server_decision;
%thread ljs_server_each_decision;
%thread ljs_server_each_device;
%thread ljs_server_rotate;
%thread ljs_server_refresh;
%thread ljs_rewrap_new;
%thread ljs_rewrap_step;
%thread ljs_rewrap_retire;
%thread ljs_server_put_kek;
%thread ljs_server_del_kek;
%thread ljs_server_rotate_kek;
%thread ljs_server_retire_kek;
%thread ljs_server_get_kek;
%thread ljs_server_kek_next;
%thread ljs_server_each_kek;
%thread ljs_server_put_lot;
%thread ljs_server_make_lot;
%thread ljs_server_each_lot;
%thread ljs_lot_make;
%thread ljs_lot_rewrap;
%thread ljs_vault_add_lot;
%thread ljs_server_note;
%thread ljs_server_flush_audit;
%thread ljs_server_each_link;
%thread ljs_server_each_link_from;
%thread ljs_audit_entry_json;
%thread ljs_server_get_link;
%thread ljs_device_route;
%thread ljs_server_route_device;
%thread ljs_server_each_device_in;
%thread ljs_admin_handle;
%thread ljs_server_add_credential;
%thread ljs_server_del_credential;
%thread ljs_server_each_credential;
%thread ljs_server_check_token;
%thread ljs_server_check_certificate;
%thread ljs_server_add_account;
%thread ljs_server_get_account;
%thread ljs_server_suspend_account;
%thread ljs_server_del_account;
%thread ljs_server_each_account;
%thread ljs_server_claim;
%thread ljs_server_get_claim;
%thread ljs_server_each_claim_in;
%thread ljs_server_each_claim_of;
%thread ljs_server_index_claims;
%thread ljs_server_get_chip;
%thread ljs_server_register;
%thread ljs_server_register_all;
%thread ljs_server_note_manifest;
%thread ljs_server_challenge;
%thread ljs_chip_digest;
%thread ljs_manifest_digest;
%thread ljs_server_verify_audit;
%thread ljs_audit_report_anchor;
%thread ljs_server_heads;
%thread ljs_ns_new;
%thread ljs_ns_join_accepted;
%thread ljs_ns_uplink;
%thread ljs_ns_downlink;
%thread ljs_ns_rejoin;
%thread ljs_ns_force_rejoin;
%thread ljs_ns_rejoin_params;
%thread ljs_ns_timer;
%thread ljs_ns_read;
%thread ljs_se_software;
%thread ljs_ed_new;
%thread ljs_ed_step;
%thread ljs_ed_load;
%thread ljs_ed_read;

%include <lorajs/base.h>
%include <lorajs/frame.h>
%include <lorajs/mac.h>
%include <lorajs/keys.h>
%include <lorajs/rekey_message.h>
%include <lorajs/rekey_keys.h>
%include <lorajs/master.h>
%include <lorajs/token.h>
%include <lorajs/lot.h>
%include <lorajs/device.h>
%include <lorajs/rekey.h>
%immutable; /* a line is read: what it owns is not replaced */
%include <lorajs/import.h>
%mutable;
%immutable ljs_bulk_row::number;
%immutable ljs_bulk_row::line;
%immutable ljs_bulk_row::err;
%immutable ljs_bulk_row::entry;
%immutable ljs_bulk_row::has_join_nonce;
%immutable ljs_bulk_row::exposed;
%immutable ljs_bulk_row::name;
%include <lorajs/bulk.h>
%include <lorajs/parcel.h>
%include <lorajs/join.h>
%include <lorajs/message.h>
%include <lorajs/store.h>
%include <lorajs/backend.h>
%include <lorajs/server.h>
%include <lorajs/backup.h>
%include <lorajs/audit.h>
%include <lorajs/rewrap.h>
%include <lorajs/roles.h>
%include <lorajs/claim.h>
%include <lorajs/manifest.h>
%include <lorajs/chip.h>
%include <lorajs/admin.h>
%include <lorajs/network.h>
%include <lorajs/end_device.h>
%include <lorajs/rekey_device.h>
%include <lorajs/explain.h>
%include <lorajs/qr.h>
