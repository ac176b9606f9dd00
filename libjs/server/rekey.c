/* The steps of rekey.h over the store. */
#include "server/internal.h"

#include <lorajs/rekey.h>

#include "device/record.h"

struct rekey_call {
    ljs_server *server;
    ljs_eui dev_eui;
    const ljs_rekey_opts *opts;
    const ljs_resync_opts *resync;
    ljs_buf *out;
    ljs_rekey_message *message;
    const uint8_t *in;
    size_t in_len;
    int force;
    ljs_rekey_act act;
    struct entry entry;
};

/* The log says where it stands from then on. */
static void note(struct rekey_call *call, ljs_err err, const ljs_buf *record)
{
    ljs_rekey rekey;

    if (!err && record->data && !ljs_rekey_read(&rekey, record->data, record->len))
        call->entry.text = ljs_rekey_state_text(rekey.state);
}

/* Whoever writes to the disk may file one device's record under another's key. */
static ljs_err check_filed(const struct rekey_call *call, const ljs_buf *old)
{
    ljs_device device;
    ljs_err err = old->data ? ljs_device_read(&device, old->data, old->len) : LJS_E_NOTFOUND;

    return !err && device.dev_eui != call->dev_eui ? LJS_E_SEAL : err;
}

/* After a restore a rekey goes by the JoinNonces that were raised. */
static ljs_err raised(ljs_buf *out, const struct rekey_call *call, const ljs_buf *old)
{
    ljs_err err = check_filed(call, old);

    *out = (ljs_buf){ NULL, 0 };
    return err ? err : ljs_device_raise(out, call->server->vault, call->server->generation, old->data, old->len);
}

static ljs_err begin(ljs_buf *out, void *user, const ljs_buf *old)
{
    struct rekey_call *call = user;
    ljs_buf now;
    ljs_err err = raised(&now, call, old);

    *out = (ljs_buf){ NULL, 0 };
    ljs_buf_free(call->out); /* of a try before */
    if (!err)
        err = ljs_rekey_begin(call->out, out, call->server->vault, call->opts, now.data, now.len);
    ljs_buf_free(&now);
    note(call, err, out);
    return err;
}

static ljs_err answer(ljs_buf *out, void *user, const ljs_buf *old)
{
    struct rekey_call *call = user;
    ljs_err err = check_filed(call, old);

    *out = (ljs_buf){ NULL, 0 };
    if (!err)
        err = ljs_rekey_answer(call->message, out, call->server->vault, call->in, call->in_len, old->data, old->len);
    note(call, err, out);
    return err;
}

static ljs_err give_up(ljs_buf *out, void *user, const ljs_buf *old)
{
    struct rekey_call *call = user;
    ljs_err err = check_filed(call, old);

    *out = (ljs_buf){ NULL, 0 };
    ljs_buf_free(call->out);
    if (!err)
        err = ljs_rekey_abort(call->out, out, call->server->vault, call->force, old->data, old->len);
    note(call, err, out);
    return err;
}

static ljs_err open_window(ljs_buf *out, void *user, const ljs_buf *old)
{
    struct rekey_call *call = user;
    ljs_err err = check_filed(call, old);

    *out = (ljs_buf){ NULL, 0 };
    if (!err)
        err = ljs_rekey_resync(out, call->server->vault, call->resync, old->data, old->len);
    note(call, err, out);
    return err;
}

static ljs_err act(ljs_buf *out, void *user, const ljs_buf *old)
{
    struct rekey_call *call = user;
    ljs_err err = check_filed(call, old);

    *out = (ljs_buf){ NULL, 0 };
    if (!err)
        err = ljs_rekey_step(out, call->server->vault, call->act, old->data, old->len);
    note(call, err, out);
    return err;
}

/* What is left is a tombstone, as of a device that was removed. */
static ljs_err release(void *user, struct valued *at)
{
    struct rekey_call *call = user;
    ljs_err err = act(&at[0].new, user, &at[0].old);

    return err ? err : ljs__bury(call->server, at, call->dev_eui);
}

static ljs_err change(struct rekey_call *call, make_fn *make)
{
    struct key key = ljs__key_eui(SPACE_DEVICE, call->dev_eui);
    ljs_err err;

    call->entry = (struct entry){ .kind = LJS_AUDIT_REKEY, .dev_eui = call->dev_eui };
    err = ljs__change(call->server, &key, make, call, &call->entry);

    if (err && call->out)
        ljs_buf_free(call->out); /* no command before its record is durable */
    return err;
}

ljs_err ljs_server_rekey_begin(ljs_buf *out, ljs_server *server, ljs_eui dev_eui, const ljs_rekey_opts *opts)
{
    struct rekey_call call = { .server = server, .dev_eui = dev_eui, .opts = opts, .out = out };

    *out = (ljs_buf){ NULL, 0 };
    return server->opts.experimental ? change(&call, begin) : LJS_E_INVAL;
}

ljs_err ljs_server_rekey_answer(ljs_rekey_message *out, ljs_server *server, ljs_eui dev_eui, const uint8_t *in,
                                size_t in_len)
{
    struct rekey_call call = { .server = server, .dev_eui = dev_eui, .message = out, .in = in, .in_len = in_len };

    memset(out, 0, sizeof *out);
    return change(&call, answer);
}

ljs_err ljs_server_rekey_abort(ljs_buf *out, ljs_server *server, ljs_eui dev_eui, int force)
{
    struct rekey_call call = { .server = server, .dev_eui = dev_eui, .force = force, .out = out };

    *out = (ljs_buf){ NULL, 0 };
    return change(&call, give_up);
}

ljs_err ljs_server_rekey_step(ljs_server *server, ljs_eui dev_eui, ljs_rekey_act what)
{
    struct rekey_call call = { .server = server, .dev_eui = dev_eui, .act = what };
    struct valued at[REMOVED_VALUES];

    if (what != LJS_REKEY_ACT_RELEASE)
        return change(&call, act);
    call.entry = (struct entry){ .kind = LJS_AUDIT_REKEY, .dev_eui = dev_eui };
    ljs__locate_removed(at, dev_eui);
    return ljs__change_group(server, at, REMOVED_VALUES, release, &call, &call.entry, NULL);
}

ljs_err ljs_server_rekey_resync(ljs_server *server, ljs_eui dev_eui, const ljs_resync_opts *opts)
{
    struct rekey_call call = { .server = server, .dev_eui = dev_eui, .resync = opts };

    return server->opts.experimental ? change(&call, open_window) : LJS_E_INVAL;
}

/* Each search is a guess at nine keys; and one place may be that of several devices, which then take turns. */
bool ljs__resync_may(ljs_server *server, const struct record *record, int64_t now)
{
    enum { APART = 4 /* seconds */ };
    _Atomic int64_t *at = &server->resync[(record->d.dev_eui * 0x9e3779b97f4a7c15U >> 32) % RESYNC_PLACES];
    int64_t last = atomic_load_explicit(at, memory_order_relaxed);

    if (record->rekey.state != LJS_REKEY_RESYNC || (now - last < APART && now >= last))
        return false;
    return atomic_compare_exchange_strong_explicit(at, &last, now, memory_order_relaxed, memory_order_relaxed);
}
