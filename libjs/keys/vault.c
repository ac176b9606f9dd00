#include "keys/vault.h"

#include "keys/masters.h"
#include "keys/ring_inside.h"
#include "keys/vault_token.h"

enum {
    FORMAT = 1,
    HEADER_LEN = 1 + 2, /* format | master key version */
    AD_MAX = 512,       /* the longest owner a set is bound to: two labels and numbers */
    TAG_LEN = 16,
    /* libsodium leaves keys there: XChaCha20-Poly1305 takes some 2,300 octets of it, BLAKE2b 1,200. */
    STACK_BELOW = 4096,
    STACK_BELOW_TAG = 2048,
    SET_MAX = sizeof((struct ring *)0)->work.octets,
};

ljs_err ljs__vault_alive(const ljs_vault *vault)
{
    return vault->process == ljs__process() ? LJS_OK : LJS_E_STATE;
}

bool ljs__vault_inside(const ljs_vault *vault)
{
    return vault->token;
}

/* A key that a token holds cannot be sealed or known here. */
static ljs_err check_here(const struct ring *ring, const enum key_id *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ljs__ring_inside(ring, ids[i]))
            return LJS_E_INSIDE;
    return LJS_OK;
}

/* The filled slots as role | length | octets, in the ring's own memory. */
static size_t put_set(struct ring *ring, const enum key_id *ids, const enum key_role *roles, size_t n)
{
    uint8_t *at = ring->work.octets;

    assert(n <= KEY_IDS);
    for (size_t i = 0; i < n; i++) {
        const struct slot *slot = &ring->slot[ids[i]];

        if (!slot->len)
            continue;
        *at++ = (uint8_t)roles[i];
        *at++ = (uint8_t)slot->len;
        memcpy(at, slot->octets, slot->len);
        at += slot->len;
    }
    return (size_t)(at - ring->work.octets);
}

static ljs_err get_set(struct ring *ring, size_t len, const enum key_id *ids, const enum key_role *roles, size_t n)
{
    struct rd r = { ring->work.octets, len, false };

    while (!r.bad && r.left) {
        unsigned role = (unsigned)rd_le(&r, 1);
        size_t octets_len = (size_t)rd_le(&r, 1);
        const uint8_t *octets;

        ljs__public(&role, sizeof role);
        ljs__public(&octets_len, sizeof octets_len);
        octets = rd_bytes(&r, octets_len);
        if (!octets || !is_key_len(octets_len))
            return LJS_E_SEAL;
        for (size_t i = 0; i < n; i++)
            if ((unsigned)roles[i] == role)
                slot_set(ring, ids[i], octets, octets_len);
    }
    return rd_done(&r) ? LJS_OK : LJS_E_SEAL;
}

/* What a set is bound to: its own header and its owner. */
struct bound {
    uint8_t octets[HEADER_LEN + AD_MAX];
    size_t len;
};

static ljs_err bind_to(struct bound *out, const uint8_t header[HEADER_LEN], const uint8_t *ad, size_t ad_len)
{
    if (ad_len > AD_MAX)
        return LJS_E_INVAL;
    memcpy(out->octets, header, HEADER_LEN);
    if (ad_len)
        memcpy(out->octets + HEADER_LEN, ad, ad_len);
    out->len = HEADER_LEN + ad_len;
    return LJS_OK;
}

ljs_err ljs__vault_seal(struct wr *out, const ljs_vault *vault, struct ring *ring, const enum key_id *ids,
                        const enum key_role *roles, size_t n, const uint8_t *ad, size_t ad_len)
{
    uint8_t sealed[SET_MAX + LJS__SEAL_EXTRA], header[HEADER_LEN];
    const struct master *master;
    struct bound bound;
    size_t len;
    ljs_err err = ljs__vault_alive(vault);

    if (err)
        return err;
    master = &masters_of(vault)->at[0];
    if (vault->token)
        return ljs__token_seal(out, vault->token, master->seal, ring, ids, roles, n, ad, ad_len);
    if ((err = check_here(ring, ids, n)))
        return err;
    header[0] = FORMAT;
    header[1] = (uint8_t)master->number;
    header[2] = (uint8_t)(master->number >> 8);
    if ((err = bind_to(&bound, header, ad, ad_len)))
        return err;
    len = put_set(ring, ids, roles, n);
    ljs__seal(sealed, master->seal, bound.octets, bound.len, ring->work.octets, len);
    ljs__wipe_stack(STACK_BELOW);
    ljs__wr(out, header, sizeof header);
    ljs__wr(out, sealed, len + LJS__SEAL_EXTRA);
    return LJS_OK;
}

/* The one that an envelope names; NULL: this vault has it not. */
static const struct master *named(const struct masters *masters, const uint8_t header[HEADER_LEN])
{
    for (unsigned i = 0; i < masters->n; i++)
        if (masters->at[i].number == (header[1] | header[2] << 8))
            return &masters->at[i];
    return NULL;
}

ljs_err ljs__vault_open(const ljs_vault *vault, struct ring *ring, const enum key_id *ids, const enum key_role *roles,
                        size_t n, const uint8_t *ad, size_t ad_len, const uint8_t *in, size_t in_len)
{
    struct rd r = { in, in_len, false };
    const uint8_t *header = rd_bytes(&r, HEADER_LEN);
    const struct master *master;
    struct bound bound;
    ljs_err err = ljs__vault_alive(vault);

    for (size_t i = 0; i < n; i++)
        ljs__ring_drop(ring, ids[i]);
    if (err)
        return err;
    if (vault->token)
        return ljs__token_open_set(ring, vault->token, masters_of(vault)->at[0].seal, ids, roles, n, ad, ad_len, in,
                                   in_len);
    if (!header || r.left < LJS__SEAL_EXTRA || r.left > SET_MAX + LJS__SEAL_EXTRA)
        return LJS_E_SEAL;
    if (header[0] != FORMAT)
        return LJS_E_VERSION;
    if (!(master = named(masters_of(vault), header)))
        return LJS_E_SEAL;
    err = bind_to(&bound, header, ad, ad_len);
    if (!err)
        err = ljs__open(ring->work.octets, master->seal, bound.octets, bound.len, r.at, r.left);
    ljs__wipe_stack(STACK_BELOW);
    if (!err)
        err = get_set(ring, r.left - LJS__SEAL_EXTRA, ids, roles, n);
    for (size_t i = 0; i < n && err; i++)
        ljs__ring_drop(ring, ids[i]);
    return err;
}

ljs_err ljs__vault_make_key(const ljs_vault *vault, struct ring *ring, enum key_id id)
{
    ljs_key *key = NULL;
    ljs_err err = ljs__vault_alive(vault);

    if (!err && vault->token) {
        err = ljs__token_enter(ring, vault->token);
        return err ? err : ljs__token_make(ring, id);
    }
    if (!err)
        err = ljs_key_generate(&key, KEY_LEN);
    if (!err)
        err = ljs__ring_load(ring, id, key);
    ljs_key_free(key);
    return err;
}

bool ljs__vault_sealed_now(const ljs_vault *vault, const uint8_t *in, size_t in_len)
{
    if (vault->token)
        return in_len >= HEADER_LEN && (int)ljs__token_newest(vault->token) == (in[1] | in[2] << 8);
    return in_len >= HEADER_LEN && named(masters_of(vault), in) == &masters_of(vault)->at[0];
}

/* Each tag leaves its key on the stack: who asks wipes. */
static void tag_of(uint8_t out[TAG_LEN], const struct masters *masters, unsigned i, enum tag_domain domain,
                   const uint8_t *in, size_t in_len)
{
    const uint8_t *key = domain == TAG_AUDIT ? masters->audit : masters->at[i].tag[domain];

    assert(domain > 0 && domain < TAG_DOMAINS);
    if (domain == TAG_RECORD)
        ljs__tag_led(out, key, in, in_len);
    else
        ljs__tag(out, key, in, in_len);
}

ljs_err ljs__vault_tag(struct wr *w, const ljs_vault *vault, enum tag_domain domain)
{
    uint8_t tag[TAG_LEN];
    ljs_err err = w->bad ? LJS_E_NOMEM : ljs__vault_alive(vault);

    if (err)
        return err;
    tag_of(tag, masters_of(vault), 0, domain, w->data, w->len);
    ljs__wipe_stack(STACK_BELOW_TAG);
    ljs__public(tag, sizeof tag);
    ljs__wr(w, tag, sizeof tag);
    return w->bad ? LJS_E_NOMEM : LJS_OK;
}

ljs_err ljs__vault_take(ljs_buf *out, struct wr *w, const ljs_vault *vault, enum tag_domain domain)
{
    ljs_err err = ljs__vault_tag(w, vault, domain);

    if (!err)
        return ljs__wr_take(out, w);
    *out = (ljs_buf){ NULL, 0 };
    ljs__wr_drop(w);
    return err;
}

ljs_err ljs__vault_tagged(bool *now, const ljs_vault *vault, enum tag_domain domain, const uint8_t *in, size_t in_len)
{
    uint8_t tag[TAG_LEN];
    const struct masters *masters;
    unsigned i = 0;
    ljs_err err = ljs__vault_alive(vault);

    *now = false;
    if (err)
        return err;
    if (in_len < TAG_LEN)
        return LJS_E_SEAL;
    masters = masters_of(vault);
    do
        tag_of(tag, masters, i, domain, in, in_len - TAG_LEN);
    while (!ljs__equal(tag, in + in_len - TAG_LEN, TAG_LEN) && ++i < masters->n);
    ljs__wipe_stack(STACK_BELOW_TAG);
    ljs__wipe(tag, sizeof tag); /* the tag of what somebody else wrote is not for him */
    *now = i == 0;
    return i < masters->n ? LJS_OK : LJS_E_SEAL;
}

ljs_err ljs__vault_check(const ljs_vault *vault, enum tag_domain domain, const uint8_t *in, size_t in_len)
{
    bool now;

    return ljs__vault_tagged(&now, vault, domain, in, in_len);
}

/* Under a subkey of the one that is carried on for the audit log. */
ljs_err ljs__vault_lasting(uint8_t out[16], const ljs_vault *vault, const uint8_t *in, size_t in_len)
{
    uint8_t key[32];
    ljs_err err = ljs__vault_alive(vault);

    memset(out, 0, TAG_LEN);
    if (err)
        return err;
    ljs__subkey(key, masters_of(vault)->audit, 1, "ljs.last");
    ljs__tag(out, key, in, in_len);
    ljs__wipe(key, sizeof key);
    ljs__wipe_stack(STACK_BELOW);
    return LJS_OK;
}

static const uint8_t marked[] = "master key";

ljs_err ljs_vault_mark(uint8_t out[16], ljs_vault *vault)
{
    ljs_err err = ljs__vault_alive(vault);

    memset(out, 0, TAG_LEN);
    if (err)
        return err;
    tag_of(out, masters_of(vault), 0, TAG_MASTER, marked, sizeof marked);
    ljs__wipe_stack(STACK_BELOW);
    ljs__public(out, TAG_LEN);
    return LJS_OK;
}

ljs_err ljs_vault_is(ljs_vault *vault, const uint8_t *in, size_t in_len)
{
    uint8_t mark[TAG_LEN];
    ljs_err err = ljs_vault_mark(mark, vault);

    if (!err && (in_len != TAG_LEN || !ljs__equal(mark, in, TAG_LEN)))
        err = LJS_E_SEAL;
    ljs__wipe(mark, sizeof mark);
    return err;
}

ljs_err ljs__vault_fingerprint(uint8_t out[16], const ljs_vault *vault, struct ring *ring, const enum key_id *ids,
                               const enum key_role *roles, size_t n)
{
    ljs_err err = ljs__vault_alive(vault);

    memset(out, 0, TAG_LEN);
    if (!err && vault->token)
        return ljs__token_fingerprint(out, masters_of(vault)->fingerprint, ring, ids, roles, n);
    if (!err)
        err = check_here(ring, ids, n);
    if (err)
        return err;
    ljs__tag(out, masters_of(vault)->fingerprint, ring->work.octets, put_set(ring, ids, roles, n));
    ljs__wipe_stack(STACK_BELOW);
    return LJS_OK;
}
