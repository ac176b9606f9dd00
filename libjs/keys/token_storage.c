#include "keys/token_storage.h"

#include "keys/token.h"

#include <string.h>

void ljs__token_label(char out[TOKEN_LABEL_MAX], const struct cryptoki *c, const char *what)
{
    size_t len = strnlen(c->name, sizeof c->name);

    memcpy(out, c->name, len);
    memcpy(out + len, what, strlen(what) + 1);
}

/* Where the officer trusts any, the others are somebody else's. */
static void leave_trusted(struct storage_keys *k, struct cryptoki *c, token_session s)
{
    size_t trusted = 0;

    for (size_t i = 0; i < k->n; i++)
        if (c->ops->may(c, s, k->at[i], USE_TRUSTED)) {
            k->at[trusted] = k->at[i];
            k->version[trusted++] = k->version[i];
        }
    k->rotatable = trusted;
    if (trusted)
        k->n = trusted;
}

ljs_err ljs__storage_find(struct storage_keys *out, struct cryptoki *c, token_session s)
{
    struct storage_keys k = { .n = 0 };
    char label[TOKEN_LABEL_MAX];
    ljs_err err;

    *out = k;
    ljs__token_label(label, c, LJS__TOKEN_STORAGE);
    if ((err = c->ops->find(k.at, k.version, &k.n, c, s, label)))
        return err;
    leave_trusted(&k, c, s);
    if (!k.n)
        return LJS_E_NOTFOUND;
    if (!k.rotatable && k.n > 1)
        return LJS_E_STATE;
    for (size_t i = 1; i < k.n; i++)
        if (k.version[i] > k.version[k.newest])
            k.newest = i;
    *out = k;
    return LJS_OK;
}

token_object ljs__storage_of(const struct storage_keys *k, uint16_t version)
{
    for (size_t i = 0; i < k->n; i++)
        if (k->version[i] == version)
            return k->at[i];
    return 0;
}

ljs_err ljs__storage_retire(const struct storage_keys *k, struct cryptoki *c)
{
    ljs_err err = LJS_OK;

    for (size_t i = 0; i < k->n && !err; i++)
        if (k->version[i] != k->version[k->newest])
            err = c->ops->retire(c, k->at[i]);
    return err;
}
