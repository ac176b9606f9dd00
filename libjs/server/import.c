/* Devices as they come in by import.h, many as one: each is made of what the store has of it, and what was made of all
 * of them is written together. */
#include "server/internal.h"

struct importing {
    ljs_server *server;
    const ljs_import *imports;
    ljs_err *results;
    size_t len;
    unsigned flags;
    bool by_themselves; /* what does not open is that device's fault, not one of keys that changed */
};

/* With all of its JoinEUIs in one step. */
static ljs_err make_one(ljs_buf *out, const struct importing *i, const ljs_import *import, const ljs_buf *old)
{
    const ljs_root_keys keys = { import->nwk, import->app, import->gen_app, import->rekey };
    ljs_buf before;
    ljs_err err = ljs_device_make(out, i->server->vault, &import->device, &keys, i->flags, import->dev_nonce,
                                  import->dev_nonces.data, import->dev_nonces.len, old->data, old->len);

    for (unsigned n = 1; !err && n < import->device.join_euis; n++) {
        before = *out;
        err = ljs_device_add_join_eui(out, i->server->vault, import->join_eui[n], before.data, before.len);
        ljs_buf_free(&before);
    }
    if (err)
        ljs_buf_free(out);
    return err;
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
    struct importing *i = user;

    for (size_t n = 0; n < i->len; n++) {
        i->results[n] = make_one(&at[n].new, i, &i->imports[n], &at[n].old);
        if (is_ours(i->results[n]) || (may_pass(i->results[n]) && !i->by_themselves))
            return i->results[n];
    }
    return LJS_OK;
}

/* How many of them can go together: no device twice. */
static size_t together(const ljs_import *imports, size_t len)
{
    for (size_t n = 1; n < len && n < GROUP_MAX; n++)
        for (size_t before = 0; before < n; before++)
            if (imports[before].device.dev_eui == imports[n].device.dev_eui)
                return n;
    return len < GROUP_MAX ? len : GROUP_MAX;
}

static void import_group(struct importing *i)
{
    struct valued at[GROUP_MAX];
    struct entry acts[GROUP_MAX];
    ljs_err err = LJS_E_SEAL;

    memset(at, 0, sizeof at);
    for (size_t n = 0; n < i->len; n++) {
        ljs_eui dev_eui = i->imports[n].device.dev_eui;

        acts[n] = (struct entry){ .kind = LJS_AUDIT_DEVICE_MAKE, .dev_eui = dev_eui };
        at[n].key = ljs__key_eui(SPACE_DEVICE, dev_eui);
        at[n].act = &acts[n];
    }
    for (int turn = 0; turn < 2 && may_pass(err); turn++) {
        i->by_themselves = turn;
        err = ljs__change_group(i->server, at, i->len, make_all, i, NULL, NULL);
    }
    for (size_t n = 0; err && n < i->len; n++) /* none of them, or nobody knows */
        i->results[n] = err;
}

void ljs_server_import(ljs_err *results, ljs_server *server, const ljs_import *imports, size_t imports_len,
                       unsigned flags)
{
    struct importing i = { .server = server, .flags = flags };

    for (size_t done = 0; done < imports_len; done += i.len) {
        i.imports = imports + done;
        i.results = results + done;
        i.len = together(imports + done, imports_len - done);
        import_group(&i);
    }
}
