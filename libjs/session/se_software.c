#include "session/se.h"

#include <lorajs/rekey_device.h>
#include <lorajs/rekey_keys.h>

#include "base/cursor.h"
#include "keys/bag.h"

#include <assert.h>
#include <stdlib.h>

/* An element whose keys are in a bag: its ids are the bag's. */
_Static_assert((int)LJS_SE_KEYS <= (int)BAG_KEYS, "an id for each key");

/* And where it can be rekeyed by suite 2, one key more, of another length. */
struct software {
    struct bag *bag;
    ljs_key *x25519; /* NULL: none */
};

static struct bag *bag_of(void *self)
{
    return ((struct software *)self)->bag;
}

static ljs_err derive(void *self, ljs_se_key to, ljs_se_key from, const uint8_t *block)
{
    return ljs__bag_derive(bag_of(self), (unsigned)to, (unsigned)from, block);
}

static ljs_err encrypt(void *self, ljs_se_key id, uint8_t *out, const uint8_t *in, size_t in_len)
{
    return ljs__bag_encrypt(bag_of(self), (unsigned)id, out, in, in_len);
}

static ljs_err cmac(void *self, ljs_se_key id, uint8_t *out, const uint8_t *in, size_t in_len)
{
    return ljs__bag_cmac(bag_of(self), (unsigned)id, out, in, in_len);
}

static int has(void *self, ljs_se_key id)
{
    return ljs__bag_has(bag_of(self), (unsigned)id);
}

static ljs_err agree(void *self, ljs_se_key to, const uint8_t *peer, const uint8_t *context)
{
    const struct software *software = self;
    struct rd r = { context, 16, false };
    ljs_eui dev_eui = rd_le(&r, 8), join_eui = rd_le(&r, 8);
    uint8_t points[64];
    ljs_key *key = NULL;
    ljs_err err = software->x25519 ? ljs_x25519_public(points + 32, software->x25519) : LJS_E_NOKEY;

    memcpy(points, peer, 32);
    if (!err)
        err = ljs_rekey_agree(&key, software->x25519, dev_eui, join_eui, points, sizeof points);
    if (!err)
        err = ljs__bag_load(software->bag, (unsigned)to, key);
    ljs_key_free(key);
    return err;
}

static void close_software(void *self)
{
    struct software *software = self;

    ljs__bag_free(software->bag);
    ljs_key_free(software->x25519);
    free(software);
}

static const ljs_se_ops plain = {
    .struct_size = sizeof(ljs_se_ops),
    .derive = derive,
    .encrypt = encrypt,
    .cmac = cmac,
    .has = has,
    .close = close_software,
};

static const ljs_se_ops rekeyable = {
    .struct_size = sizeof(ljs_se_ops),
    .derive = derive,
    .encrypt = encrypt,
    .cmac = cmac,
    .has = has,
    .close = close_software,
    .agree = agree,
};

/* A copy of a handle: octets never leave guarded memory but for the way there. */
static ljs_err copy_key(ljs_key **out, const ljs_key *key)
{
    ljs_buf octets;
    ljs_err err = ljs_key_export(&octets, key);

    *out = NULL;
    if (!err)
        err = ljs_key_import(out, octets.data, octets.len);
    ljs_buf_free(&octets);
    return err;
}

static ljs_err make(ljs_se **out, const ljs_se_ops *ops, const ljs_key *nwk, const ljs_key *app, const ljs_key *gen_app,
                    const ljs_key *rekey, const ljs_key *x25519)
{
    const struct {
        ljs_se_key id;
        const ljs_key *key;
    } all[] = { { LJS_SE_NWK, nwk ? nwk : app },
                { LJS_SE_APP, nwk ? app : NULL },
                { LJS_SE_GEN_APP, gen_app },
                { LJS_SE_REKEY, rekey } };
    struct software *self = calloc(1, sizeof *self);
    ljs_err err = self ? ljs__bag_new(&self->bag) : LJS_E_NOMEM;

    for (size_t i = 0; i < COUNT(all) && !err; i++)
        if (all[i].key)
            err = ljs__bag_load(self->bag, (unsigned)all[i].id, all[i].key);
    if (!err && x25519)
        err = copy_key(&self->x25519, x25519);
    if (err) {
        if (self)
            close_software(self);
        return err;
    }
    return ljs_se_custom(out, ops, self); /* takes self, even when it fails */
}

ljs_err ljs_se_software(ljs_se **out, const ljs_key *nwk, const ljs_key *app)
{
    assert(out);
    *out = NULL;
    return nwk || app ? make(out, &plain, nwk, app, NULL, NULL, NULL) : LJS_E_INVAL;
}

ljs_err ljs_se_software_rekey(ljs_se **out, const ljs_key *nwk, const ljs_key *app, const ljs_key *gen_app,
                              const ljs_key *rekey, const ljs_key *x25519)
{
    assert(out);
    *out = NULL;
    if ((!nwk && !app) || !rekey || (x25519 && ljs_key_len(x25519) != 32))
        return LJS_E_INVAL;
    return make(out, &rekeyable, nwk, app, gen_app, rekey, x25519);
}
