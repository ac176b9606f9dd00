#include "session/se.h"

#include "base/secret.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

ljs_err ljs_se_custom(ljs_se **out, const ljs_se_ops *ops, void *self)
{
    ljs_se *se = NULL;
    ljs_err err = LJS_E_INVAL;

    assert(out && ops);
    *out = NULL;
    if (ops->struct_size < offsetof(ljs_se_ops, agree)) /* no older layout exists, so not even close can be relied on */
        return LJS_E_INVAL;
    if (!ops->derive || !ops->encrypt || !ops->cmac || !ops->has)
        goto out;
    if ((err = ljs__init()))
        goto out;
    if (!(se = malloc(sizeof *se))) {
        err = LJS_E_NOMEM;
        goto out;
    }
    *se = (ljs_se){ .self = self, .process = ljs__process() };
    memcpy(&se->ops, ops, ops->struct_size < sizeof *ops ? ops->struct_size : sizeof *ops);
    *out = se;
out:
    if (err && ops->close)
        ops->close(self);
    return err;
}

void ljs_se_free(ljs_se *se)
{
    if (!se)
        return;
    if (se->ops.close && se->process == ljs__process()) /* else the element is the parent's */
        se->ops.close(se->self);
    free(se);
}

/* An element may come from anybody: a refusal of its own making is a fault of it, but for the
 * key that it has not. */
static ljs_err fault(ljs_err err)
{
    return err > LJS_OK || (err <= -100 && err != LJS_E_NOKEY) ? LJS_E_CRYPTO : err;
}

const ljs_se_key ljs__se_roots[ROOTS] = {
    [ROOT_NWK] = LJS_SE_NWK, [ROOT_APP] = LJS_SE_APP, [ROOT_GEN_APP] = LJS_SE_GEN_APP, [ROOT_REKEY] = LJS_SE_REKEY
};

void ljs__se_use(ljs_se *se, unsigned roots)
{
    se->roots = roots;
}

static ljs_se_key placed(const ljs_se *se, ljs_se_key id)
{
    static const ljs_se_key others[ROOTS] = { [ROOT_NWK] = LJS_SE_NWK_B,
                                              [ROOT_APP] = LJS_SE_APP_B,
                                              [ROOT_GEN_APP] = LJS_SE_GEN_APP_B,
                                              [ROOT_REKEY] = LJS_SE_REKEY_B };

    for (unsigned i = 0; i < ROOTS && se->roots; i++)
        if (id == ljs__se_roots[i] && se->roots >> i & 1)
            return others[i];
    return id;
}

ljs_err ljs__se_derive(ljs_se *se, ljs_se_key to, ljs_se_key from, const uint8_t block[16])
{
    return se->process == ljs__process() ? fault(se->ops.derive(se->self, placed(se, to), placed(se, from), block))
                                         : LJS_E_STATE;
}

ljs_err ljs__se_encrypt(ljs_se *se, ljs_se_key id, uint8_t *out, const uint8_t *in, size_t in_len)
{
    return se->process == ljs__process() ? fault(se->ops.encrypt(se->self, placed(se, id), out, in, in_len))
                                         : LJS_E_STATE;
}

ljs_err ljs__se_cmac(ljs_se *se, ljs_se_key id, uint8_t out[16], const uint8_t *in, size_t in_len)
{
    return se->process == ljs__process() ? fault(se->ops.cmac(se->self, placed(se, id), out, in, in_len)) : LJS_E_STATE;
}

bool ljs__se_has(ljs_se *se, ljs_se_key id)
{
    return se->process == ljs__process() && se->ops.has(se->self, placed(se, id));
}

ljs_err ljs__se_agree(ljs_se *se, ljs_se_key to, const uint8_t peer[32], const uint8_t context[16])
{
    if (!se->ops.agree)
        return LJS_E_MISSING;
    return se->process == ljs__process() ? fault(se->ops.agree(se->self, placed(se, to), peer, context)) : LJS_E_STATE;
}

ljs_err ljs__se_derive_key(ljs_se *se, const uint8_t temp_key[32], const uint8_t mac[32])
{
    ljs_err err;

    if (!se->ops.derive_key)
        return LJS_E_MISSING;
    if (se->process != ljs__process())
        return LJS_E_STATE;
    err = se->ops.derive_key(se->self, temp_key, mac);
    return err == LJS_E_MIC ? LJS_OK : fault(err); /* the keys tell whether it was done */
}
