/* Lots: their labels, and nothing of their keys. */
#include "server/admin.h"

static ljs_err lot_row(void *user, const char *label)
{
    struct asking *a = user;

    ljs__json_open(&a->body, '{');
    ljs__json_name(&a->body, "label");
    ljs__json_text(&a->body, label);
    ljs__json_close(&a->body, '}');
    return a->body.bad ? LJS_E_NOMEM : LJS_OK;
}

enum problem ljs__admin_lots(struct asking *a)
{
    ljs_err err;

    ljs__json_open(&a->body, '{');
    ljs__json_name(&a->body, "lots");
    ljs__json_open(&a->body, '[');
    err = ljs_server_each_lot(a->server, lot_row, a);
    ljs__json_close(&a->body, ']');
    ljs__json_close(&a->body, '}');
    return ljs__admin_problem_of(err);
}
