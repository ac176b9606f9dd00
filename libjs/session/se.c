#include "session/se.h"

#include "base/secret.h"

#include <assert.h>
#include <stdlib.h>

ljs_err ljs_se_custom(ljs_se **out, const ljs_se_ops *ops, void *self)
{
    ljs_se *se = NULL;
    ljs_err err = LJS_E_INVAL;

    assert(out && ops);
    *out = NULL;
    if (ops->struct_size < sizeof *ops) /* no older layout exists, so not even close can be relied on */
        return LJS_E_INVAL;
    if (!ops->derive || !ops->encrypt || !ops->cmac || !ops->has)
        goto out;
    if ((err = ljs__init()))
        goto out;
    if (!(se = malloc(sizeof *se))) {
        err = LJS_E_NOMEM;
        goto out;
    }
    *se = (ljs_se){ .ops = *ops, .self = self, .process = ljs__process() };
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

ljs_err ljs__se_derive(ljs_se *se, ljs_se_key to, ljs_se_key from, const uint8_t block[16])
{
    return se->process == ljs__process() ? fault(se->ops.derive(se->self, to, from, block)) : LJS_E_STATE;
}

ljs_err ljs__se_encrypt(ljs_se *se, ljs_se_key id, uint8_t *out, const uint8_t *in, size_t in_len)
{
    return se->process == ljs__process() ? fault(se->ops.encrypt(se->self, id, out, in, in_len)) : LJS_E_STATE;
}

ljs_err ljs__se_cmac(ljs_se *se, ljs_se_key id, uint8_t out[16], const uint8_t *in, size_t in_len)
{
    return se->process == ljs__process() ? fault(se->ops.cmac(se->self, id, out, in, in_len)) : LJS_E_STATE;
}

bool ljs__se_has(ljs_se *se, ljs_se_key id)
{
    return se->process == ljs__process() && se->ops.has(se->self, id);
}
