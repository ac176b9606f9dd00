#include "keys/bag.h"
#include "session/se.h"

#include <assert.h>

/* An element whose keys are in a bag: its ids are the bag's. */
_Static_assert((int)LJS_SE_KEYS <= (int)BAG_KEYS, "an id for each key");

static ljs_err derive(void *self, ljs_se_key to, ljs_se_key from, const uint8_t *block)
{
    return ljs__bag_derive(self, (unsigned)to, (unsigned)from, block);
}

static ljs_err encrypt(void *self, ljs_se_key id, uint8_t *out, const uint8_t *in, size_t in_len)
{
    return ljs__bag_encrypt(self, (unsigned)id, out, in, in_len);
}

static ljs_err cmac(void *self, ljs_se_key id, uint8_t *out, const uint8_t *in, size_t in_len)
{
    return ljs__bag_cmac(self, (unsigned)id, out, in, in_len);
}

static int has(void *self, ljs_se_key id)
{
    return ljs__bag_has(self, (unsigned)id);
}

static void close_bag(void *self)
{
    ljs__bag_free(self);
}

static const ljs_se_ops software = {
    .struct_size = sizeof(ljs_se_ops),
    .derive = derive,
    .encrypt = encrypt,
    .cmac = cmac,
    .has = has,
    .close = close_bag,
};

ljs_err ljs_se_software(ljs_se **out, const ljs_key *nwk, const ljs_key *app)
{
    const ljs_key *root = nwk ? nwk : app;
    struct bag *bag = NULL;
    ljs_err err;

    assert(out);
    *out = NULL;
    if (!root)
        return LJS_E_INVAL;
    err = ljs__bag_new(&bag);
    if (!err)
        err = ljs__bag_load(bag, LJS_SE_NWK, root);
    if (!err && nwk && app)
        err = ljs__bag_load(bag, LJS_SE_APP, app);
    if (err) {
        ljs__bag_free(bag);
        return err;
    }
    return ljs_se_custom(out, &software, bag); /* takes the bag, even when it fails */
}
