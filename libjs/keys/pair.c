#include "keys/pair.h"

#include "keys/ring_inside.h"

enum { PAIR_LEN = 32, STACK_BELOW = 8192 };

static ljs_err check(const ljs_key *key)
{
    if (key->process != ljs__process())
        return LJS_E_STATE;
    return key->len == PAIR_LEN ? LJS_OK : LJS_E_INVAL;
}

ljs_err ljs_x25519_public(uint8_t out[32], const ljs_key *key)
{
    ljs_err err = check(key);

    memset(out, 0, PAIR_LEN);
    if (!err)
        ljs__box_public(out, key->octets);
    ljs__wipe_stack(STACK_BELOW);
    return err;
}

ljs_err ljs_ed25519_public(uint8_t out[32], const ljs_key *key)
{
    ljs_err err = check(key);

    memset(out, 0, PAIR_LEN);
    if (!err)
        ljs__sign_public(out, key->octets);
    ljs__wipe_stack(STACK_BELOW);
    return err;
}

ljs_err ljs__pair_seal(uint8_t out[LJS__BOX_LEN], const uint8_t public_key[32], const ljs_key *key)
{
    ljs_err err = ljs__box_seal(out, public_key, key->octets);

    ljs__wipe_stack(STACK_BELOW);
    return err;
}

ljs_err ljs__pair_open(ljs_key **out, const ljs_key *secret, const uint8_t in[LJS__BOX_LEN])
{
    ljs_err err = ljs__key_new(out);

    if (!err)
        err = ljs__box_open((*out)->octets, secret->octets, in);
    ljs__wipe_stack(STACK_BELOW);
    if (err) {
        ljs_key_free(*out);
        *out = NULL;
        return err;
    }
    (*out)->len = PAIR_LEN;
    return LJS_OK;
}

void ljs__pair_sign(uint8_t out[64], struct signing *s, const ljs_key *seed)
{
    ljs__signing_sign(out, s, seed->octets);
    ljs__wipe_stack(STACK_BELOW);
}

ljs_err ljs__key_subkey(ljs_key **out, const ljs_key *key, const char context[8])
{
    ljs_err err = ljs__key_new(out);

    if (err)
        return err;
    ljs__subkey((*out)->octets, key->octets, 1, context);
    ljs__wipe_stack(STACK_BELOW);
    (*out)->len = PAIR_LEN;
    return LJS_OK;
}

void ljs__key_seal(uint8_t *out, const ljs_key *key, const uint8_t *ad, size_t ad_len, const uint8_t *in, size_t in_len)
{
    ljs__seal(out, key->octets, ad, ad_len, in, in_len);
    ljs__wipe_stack(STACK_BELOW);
}

ljs_err ljs__key_open(uint8_t *out, const ljs_key *key, const uint8_t *ad, size_t ad_len, const uint8_t *in,
                      size_t in_len)
{
    ljs_err err = ljs__open(out, key->octets, ad, ad_len, in, in_len);

    ljs__wipe_stack(STACK_BELOW);
    return err;
}
