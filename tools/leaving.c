#include "leaving.h"

/* A device that is blocked already is as it is to be; one that moved may be sent again. */
static ljs_err step_all(struct leaving *l, ljs_device_act act)
{
    ljs_err results[LEAVING_MAX], err = LJS_OK;

    ljs_server_step_devices(results, l->server, l->waiting, l->len, act);
    for (size_t i = 0; i < l->len; i++) {
        if (results[i] == LJS_E_STATE && act == LJS_DEVICE_BLOCK)
            continue;
        l->marked += !results[i] && act == LJS_DEVICE_EXPOSE;
        if (results[i] && !err) {
            l->failed = l->waiting[i];
            err = results[i];
        }
    }
    return err;
}

ljs_err leaving_end(struct leaving *l)
{
    ljs_err err = l->mark && l->before ? step_all(l, l->before) : LJS_OK;

    if (!err && l->mark)
        err = step_all(l, LJS_DEVICE_EXPOSE);
    for (size_t i = 0; !err && i < l->len; i++)
        if ((err = l->put(l->user, l->waiting[i])))
            l->failed = l->waiting[i];
    l->len = 0;
    return err;
}

ljs_err leaving_take(struct leaving *l, ljs_eui dev_eui)
{
    l->waiting[l->len++] = dev_eui;
    return l->len == LEAVING_MAX ? leaving_end(l) : LJS_OK;
}
