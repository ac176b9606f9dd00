#include "standing.h"

#include <inttypes.h>

ljs_err standing_of(struct standing *out, ljs_server *server, ljs_eui dev_eui)
{
    ljs_buf record = { NULL, 0 };
    ljs_device d = { .struct_size = sizeof d };
    ljs_rekey rekey = { .state = LJS_REKEY_STABLE };
    ljs_err err = ljs_server_get_device(&record, server, dev_eui);

    if (!err)
        err = ljs_device_read(&d, record.data, record.len);
    if (!err)
        err = ljs_rekey_read(&rekey, record.data, record.len);
    ljs_buf_free(&record);
    *out = (struct standing){ d.state, d.moved, !d.keys, rekey.state };
    return err;
}

bool rekey_holds(const struct standing *is, bool move)
{
    return is->rekey != LJS_REKEY_STABLE && is->rekey != LJS_REKEY_COMMITTED &&
           (move || is->rekey != LJS_REKEY_TRANSFER_OUT);
}

void tell_held(const struct standing *is, ljs_eui dev_eui)
{
    complain("%016" PRIx64 ": its root keys are being replaced (%s): %s; see lorajs-rekey(1)", dev_eui,
             ljs_rekey_state_text(is->rekey),
             is->rekey == LJS_REKEY_TRANSFER_OUT ? "leave --move out, and say `rekey release` when it has joined there"
                                                 : "let it join under the new ones first, or give that up");
}
