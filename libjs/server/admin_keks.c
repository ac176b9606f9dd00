/* KEKs: they go in, and are only ever named. */
#include "server/admin.h"

#include "codec/admin.h"

static void show_kek(struct wr *w, const char *label, size_t kek_len)
{
    ljs__json_open(w, '{');
    ljs__json_name(w, "label");
    ljs__json_text(w, label);
    ljs__json_name(w, "bits");
    ljs__json_number(w, 8 * (int64_t)kek_len);
    ljs__json_close(w, '}');
}

/* The label as who asks knows it: an account's own without the account; NULL for what is none of its. */
static const char *label_for(const struct asking *a, const char *label)
{
    size_t n = strlen(a->who.account);

    if (!n)
        return label;
    return label[0] == '@' && strncmp(label + 1, a->who.account, n) == 0 && label[1 + n] == '/' ? label + n + 2 : NULL;
}

static ljs_err kek_row(void *user, const char *kept, size_t kek_len)
{
    struct asking *a = user;
    const char *label = label_for(a, kept);

    if (label)
        show_kek(&a->body, label, kek_len);
    return a->body.bad ? LJS_E_NOMEM : LJS_OK;
}

enum problem ljs__admin_keks(struct asking *a)
{
    ljs_err err;

    ljs__json_open(&a->body, '{');
    ljs__json_name(&a->body, "keks");
    ljs__json_open(&a->body, '[');
    err = ljs_server_each_kek(a->server, kek_row, a);
    ljs__json_close(&a->body, ']');
    ljs__json_close(&a->body, '}');
    return ljs__admin_problem_of(err);
}

static ljs_err one_kek(void *user, const char *kept, size_t kek_len)
{
    struct asking *a = user;
    const char *label = label_for(a, kept);

    if (label && strcmp(label, a->arg) == 0)
        show_kek(&a->body, label, kek_len);
    return LJS_OK;
}

enum problem ljs__admin_kek_read(struct asking *a)
{
    enum problem problem = ljs__admin_problem_of(ljs_server_each_kek(a->server, one_kek, a));

    return problem ? problem : a->body.len ? FINE : P_NO_KEK;
}

static enum problem kek_problem(ljs_err err)
{
    return err == LJS_E_NOTFOUND ? P_NO_KEK
           : err == LJS_E_EXISTS ? P_KEK_EXISTS
           : err == LJS_E_INVAL  ? P_BAD_REQUEST
                                 : ljs__admin_problem_of(err);
}

enum problem ljs__admin_kek_put(struct asking *a)
{
    static const char *const names[] = { "replace", NULL };
    struct admin_kek kek;
    char replace[8];
    ljs_err err;

    if (ljs__admin_query_only(a, names) || !ljs__admin_query(replace, sizeof replace, a, "replace") ||
        (*replace && strcmp(replace, "true") != 0 && strcmp(replace, "false") != 0))
        return P_BAD_REQUEST;
    err = ljs__admin_kek(&kek, a->in, a->in_len);
    if (err == LJS_E_INVAL)
        return ljs__admin_fault(a, kek.fault);
    if (!err)
        err = ljs_key_check(kek.key);
    if (!err)
        err = ljs_server_put_kek(a->server, a->arg, kek.key, strcmp(replace, "true") == 0);
    ljs_key_free(kek.key);
    return err == LJS_E_NOTFOUND ? P_NO_ACCOUNT : kek_problem(err);
}

enum problem ljs__admin_kek_remove(struct asking *a)
{
    return kek_problem(ljs_server_del_kek(a->server, a->arg));
}
