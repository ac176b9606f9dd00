/* Many devices as one: each is made of what the store has of it, or goes a step, and what was made of all of them is
 * written together. */
#include "server/internal.h"

#include "codec/parcel.h"

struct many {
    ljs_server *server;
    ljs_err *results;
    size_t len;
    /* Of the n-th, of what the store has of it. */
    ljs_err (*make)(ljs_buf *out, const struct many *m, size_t n, const ljs_buf *old);
    const ljs_import *imports;
    unsigned flags;
    const ljs_eui *dev_euis;
    ljs_device_act act;
    bool by_themselves; /* what does not open is that device's fault, not one of keys that changed */
};

/* With all of its JoinEUIs in one step. */
static ljs_err make_import(ljs_buf *out, const struct many *m, size_t n, const ljs_buf *old)
{
    const ljs_import *import = &m->imports[n];
    const ljs_root_keys keys = { import->nwk, import->app, import->gen_app, import->rekey };
    ljs_buf before;
    ljs_err err = ljs_device_make(out, m->server->vault, &import->device, &keys, m->flags, import->dev_nonce,
                                  import->dev_nonces.data, import->dev_nonces.len, old->data, old->len);

    for (unsigned i = 1; !err && i < import->device.join_euis; i++) {
        before = *out;
        err = ljs_device_add_join_eui(out, m->server->vault, import->join_eui[i], before.data, before.len);
        ljs_buf_free(&before);
    }
    if (err)
        ljs_buf_free(out);
    return err;
}

static ljs_err make_step(ljs_buf *out, const struct many *m, size_t n, const ljs_buf *old)
{
    return ljs__step_record(out, m->server, m->dev_euis[n], m->act, old);
}

static bool is_ours(ljs_err err)
{
    return err == LJS_E_NOMEM || err == LJS_E_STORE || err == LJS_E_CRYPTO;
}

/* Somebody else may have put there what it takes: a master key, a lot. */
static bool may_pass(ljs_err err)
{
    return err == LJS_E_SEAL || err == LJS_E_LOT;
}

/* What is refused is left out; the others go on without it. */
static ljs_err make_all(void *user, struct valued *at)
{
    struct many *m = user;

    for (size_t n = 0; n < m->len; n++) {
        m->results[n] = m->make(&at[n].new, m, n, &at[n].old);
        if (is_ours(m->results[n]) || (may_pass(m->results[n]) && !m->by_themselves))
            return m->results[n];
    }
    return LJS_OK;
}

static ljs_eui eui_of(const struct many *m, size_t n)
{
    return m->imports ? m->imports[n].device.dev_eui : m->dev_euis[n];
}

/* How many of the first `len` can go together: no device twice. */
static size_t together(const struct many *m, size_t len)
{
    for (size_t n = 1; n < len && n < GROUP_MAX; n++)
        for (size_t before = 0; before < n; before++)
            if (eui_of(m, before) == eui_of(m, n))
                return n;
    return len < GROUP_MAX ? len : GROUP_MAX;
}

static void change_group(struct many *m, ljs_audit_kind kind)
{
    struct valued at[GROUP_MAX];
    struct entry acts[GROUP_MAX];
    ljs_err err = LJS_E_SEAL;

    memset(at, 0, sizeof at);
    for (size_t n = 0; n < m->len; n++) {
        acts[n] = (struct entry){ .kind = kind, .dev_eui = eui_of(m, n) };
        at[n].key = ljs__key_eui(SPACE_DEVICE, eui_of(m, n));
        at[n].act = &acts[n];
    }
    for (int turn = 0; turn < 2 && may_pass(err); turn++) {
        m->by_themselves = turn;
        err = ljs__change_group(m->server, at, m->len, make_all, m, NULL, NULL);
    }
    for (size_t n = 0; err && n < m->len; n++) /* none of them, or nobody knows */
        m->results[n] = err;
}

/* What devices are joining all the while is met by itself, for which the others need not begin anew. */
static void import_alone(const struct many *all)
{
    struct many m = *all;

    m.len = 1;
    for (size_t n = 0; n < all->len; n++) {
        m.imports = all->imports + n;
        m.results = all->results + n;
        change_group(&m, LJS_AUDIT_DEVICE_MAKE);
    }
}

void ljs_server_import(ljs_err *results, ljs_server *server, const ljs_import *imports, size_t imports_len,
                       unsigned flags)
{
    struct many m = { .server = server, .make = make_import, .flags = flags };

    for (size_t done = 0; done < imports_len; done += m.len) {
        m.imports = imports + done;
        m.results = results + done;
        m.len = together(&m, imports_len - done);
        change_group(&m, LJS_AUDIT_DEVICE_MAKE);
        if (m.results[0] == LJS_E_CONFLICT)
            import_alone(&m);
    }
}

/* As import_alone(). */
static void step_alone(struct many *m)
{
    for (size_t n = 0; n < m->len; n++)
        m->results[n] = ljs_server_step_device(m->server, m->dev_euis[n], m->act);
}

void ljs_server_step_devices(ljs_err *results, ljs_server *server, const ljs_eui *dev_euis, size_t dev_euis_len,
                             ljs_device_act act)
{
    struct many m = { .server = server, .make = make_step, .act = act };

    for (size_t done = 0; done < dev_euis_len; done += m.len) {
        m.dev_euis = dev_euis + done;
        m.results = results + done;
        m.len = together(&m, dev_euis_len - done);
        if (act != LJS_DEVICE_REMOVE) /* whose claim goes with it */
            change_group(&m, ljs__act_kind(act));
        if (act == LJS_DEVICE_REMOVE || m.results[0] == LJS_E_CONFLICT)
            step_alone(&m);
    }
}

/* ---- those that a parcel holds -------------------------------------------------- */

struct landing {
    ljs_server *server;
    ljs_parcel *parcel;
    unsigned flags;
};

static ljs_err land_all(void *user, struct valued *at)
{
    const struct landing *l = user;
    ljs_err err = LJS_OK;

    for (size_t n = 0; !err && n < ljs__parcel_held(l->parcel); n++)
        err =
            ljs__parcel_land_held(&at[n].new, l->parcel, n, l->server->vault, l->flags, at[n].old.data, at[n].old.len);
    return err;
}

_Static_assert((int)LJS_PARCEL_HELD_MAX <= (int)GROUP_MAX, "all that is held goes with one commit");

ljs_err ljs_server_land_held(ljs_server *server, ljs_parcel *parcel, unsigned flags)
{
    struct landing l = { .server = server, .parcel = parcel, .flags = flags };
    struct valued at[LJS_PARCEL_HELD_MAX];
    struct entry acts[LJS_PARCEL_HELD_MAX];
    const size_t len = ljs__parcel_held(parcel);
    ljs_err err = ljs__server_alive(server);

    memset(at, 0, sizeof at);
    for (size_t n = 0; n < len; n++) {
        const ljs_eui dev_eui = ljs__parcel_held_eui(parcel, n);

        acts[n] = (struct entry){ .kind = LJS_AUDIT_DEVICE_LAND, .dev_eui = dev_eui };
        at[n].key = ljs__key_eui(SPACE_DEVICE, dev_eui);
        at[n].act = &acts[n];
    }
    if (!err && len)
        err = ljs__change_group(server, at, len, land_all, &l, NULL, NULL);
    if (!err)
        ljs__parcel_let_go(parcel);
    return err;
}
