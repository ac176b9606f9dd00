#include "keys/vault_token.h"

#include "keys/masters.h"
#include "keys/ring_inside.h"

enum {
    FORMAT = 2, /* 1 is a vault's that has its master key */
    HEADER_LEN = 1 + 2,
    AD_MAX = 512,
    TAG_LEN = 16,
    PRINT_LEN = 16,
    SET_MAX = KEY_IDS * (2 + LJS__TOKEN_WRAPPED),
    STACK_BELOW = 4096,
};

/* By its role, what a key may be used for in the token.  All of them are recognised by a CMAC. */
static unsigned uses_of(enum key_role role)
{
    switch (role) {
    case ROLE_NWK:
    case ROLE_APP:
    case ROLE_GEN_APP:
    case ROLE_REKEY:
        return USE_SIGN | USE_DECRYPT | USE_DERIVE;
    case ROLE_LOT:
        return USE_SIGN | USE_DERIVE;
    case ROLE_KEK:
        return USE_SIGN | USE_WRAP;
    case ROLE_F_NWK_S_INT:
    case ROLE_S_NWK_S_INT:
    case ROLE_NWK_S_ENC:
    case ROLE_APP_S:
        return USE_SIGN | USE_ENCRYPT;
    }
    return 0;
}

/* Length and owner, then the set: none can be read as another. */
static ljs_err tag_set(uint8_t out[TAG_LEN], const uint8_t tag_key[32], const uint8_t *ad, size_t ad_len,
                       const uint8_t *set, size_t set_len)
{
    uint8_t all[2 + AD_MAX + HEADER_LEN + SET_MAX] = { (uint8_t)ad_len, (uint8_t)(ad_len >> 8) };

    if (ad_len > AD_MAX)
        return LJS_E_INVAL;
    if (set_len > HEADER_LEN + SET_MAX)
        return LJS_E_SEAL;
    if (ad_len)
        memcpy(all + 2, ad, ad_len);
    memcpy(all + 2 + ad_len, set, set_len);
    ljs__tag(out, tag_key, all, 2 + ad_len + set_len);
    ljs__wipe_stack(STACK_BELOW);
    return LJS_OK;
}

ljs_err ljs__token_seal(struct wr *out, struct token *token, const uint8_t tag_key[32], struct ring *ring,
                        const enum key_id *ids, const enum key_role *roles, size_t n, const uint8_t *ad, size_t ad_len)
{
    uint8_t set[HEADER_LEN + SET_MAX] = { FORMAT }, tag[TAG_LEN];
    uint8_t *at = set + HEADER_LEN;
    uint16_t version = 0;
    ljs_token_storage now;
    ljs_err err = ad_len > AD_MAX ? LJS_E_INVAL : ljs__token_enter(ring, token);

    assert(n <= KEY_IDS);
    if (!err) /* under none that was replaced since we looked */
        err = ljs__token_look(&now, token);
    for (size_t i = 0; i < n && !err; i++) {
        uint16_t under = 0;
        size_t len;

        if (!ljs__ring_has(ring, ids[i]))
            continue;
        err = ljs__token_wrap(at + 2, &len, &under, ring, ids[i]);
        if (!err && version && under != version) /* the storage key was replaced between two keys */
            err = LJS_E_CONFLICT;
        version = under;
        at[0] = (uint8_t)roles[i];
        at[1] = (uint8_t)len;
        at += 2 + len;
    }
    set[1] = (uint8_t)version;
    set[2] = (uint8_t)(version >> 8);
    if (!err)
        err = tag_set(tag, tag_key, ad, ad_len, set, (size_t)(at - set));
    if (err)
        return err;
    ljs__wr(out, set, (size_t)(at - set));
    ljs__wr(out, tag, sizeof tag);
    return LJS_OK;
}

static ljs_err open_keys(struct ring *ring, const enum key_id *ids, const enum key_role *roles, size_t n,
                         uint16_t version, struct rd *r)
{
    ljs_err err = LJS_OK;

    while (!err && !r->bad && r->left) {
        unsigned role = (unsigned)rd_le(r, 1);
        size_t len = (size_t)rd_le(r, 1);
        const uint8_t *octets = rd_bytes(r, len);

        if (!octets)
            return LJS_E_SEAL;
        for (size_t i = 0; i < n && !err; i++)
            if ((unsigned)roles[i] == role)
                err = ljs__token_unwrap(ring, ids[i], version, uses_of(roles[i]), octets, len);
    }
    return err ? err : rd_done(r) ? LJS_OK : LJS_E_SEAL;
}

ljs_err ljs__token_open_set(struct ring *ring, struct token *token, const uint8_t tag_key[32], const enum key_id *ids,
                            const enum key_role *roles, size_t n, const uint8_t *ad, size_t ad_len, const uint8_t *in,
                            size_t in_len)
{
    struct rd r = { in, in_len, false };
    unsigned format = (unsigned)rd_le(&r, 1);
    uint16_t version = (uint16_t)rd_le(&r, 2);
    uint8_t tag[TAG_LEN];
    ljs_err err;

    if (r.bad || r.left < TAG_LEN)
        return LJS_E_SEAL;
    if (format != FORMAT)
        return LJS_E_VERSION;
    r.left -= TAG_LEN;
    err = tag_set(tag, tag_key, ad, ad_len, in, in_len - TAG_LEN);
    if (!err && !ljs__equal(tag, in + in_len - TAG_LEN, TAG_LEN))
        err = LJS_E_SEAL;
    ljs__wipe(tag, sizeof tag);
    if (!err)
        err = ljs__token_enter(ring, token);
    if (!err)
        err = open_keys(ring, ids, roles, n, version, &r);
    for (size_t i = 0; i < n && err; i++)
        ljs__ring_drop(ring, ids[i]);
    return err;
}

/* The CMAC stands for the key, wherever it is: both say the same of the same key. */
ljs_err ljs__token_fingerprint(uint8_t out[16], const uint8_t print_key[32], struct ring *ring, const enum key_id *ids,
                               const enum key_role *roles, size_t n)
{
    static const uint8_t fixed[] = "lorajs fingerprint";
    uint8_t all[KEY_IDS * (2 + PRINT_LEN)], *at = all;
    ljs_err err = LJS_OK;

    assert(n <= KEY_IDS);
    for (size_t i = 0; i < n && !err; i++) {
        if (!ljs__ring_has(ring, ids[i]))
            continue;
        *at++ = (uint8_t)roles[i];
        *at++ = (uint8_t)ring->slot[ids[i]].len;
        err = ljs__cmac(ring, ids[i], at, fixed, sizeof fixed);
        at += PRINT_LEN;
    }
    if (!err)
        ljs__tag(out, print_key, all, (size_t)(at - all));
    ljs__wipe(all, sizeof all); /* without the subkey a guess could be tried on it */
    ljs__wipe_stack(STACK_BELOW);
    return err;
}

/* ---- storage keys ------------------------------------------------------------------- */

ljs_err ljs_token_look(ljs_token_storage *out, const ljs_vault *vault)
{
    ljs_err err = ljs__vault_alive(vault);

    *out = (ljs_token_storage){ .version = 0 };
    if (err)
        return err;
    return vault->token ? ljs__token_look(out, vault->token) : LJS_E_STATE;
}

unsigned ljs__vault_storage(const ljs_vault *vault)
{
    return vault->token ? ljs__token_newest(vault->token) : 0;
}

bool ljs__vault_storage_moved(const ljs_vault *vault, unsigned had)
{
    ljs_token_storage now;

    return vault->token && (ljs__token_look(&now, vault->token) || now.version != had);
}

ljs_err ljs__vault_storage_retire(const ljs_vault *vault, unsigned version)
{
    return ljs__token_retire(vault->token, version);
}

/* ---- for callers outside ------------------------------------------------------------ */

ljs_err ljs_vault_token(ljs_vault **out, const char *uri, const uint8_t *in, size_t in_len)
{
    struct token *token = NULL;
    uint8_t secret[32];
    ljs_err err = ljs__token_open(&token, uri, in, in_len);

    *out = NULL;
    if (!err)
        err = ljs__token_secret(secret, token);
    if (!err)
        err = ljs__vault_of_token(out, token, secret);
    ljs__wipe(secret, sizeof secret);
    if (err)
        ljs__token_close(token);
    return err;
}
