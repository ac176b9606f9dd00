/* Keys of a vault made in a token, and what a token is worth: known answers, and attacks that must fail. */
#include "keys/token.h"
#include "keys/token_storage.h"

#include "base/secret.h"
#include "base/cursor.h"

#include <string.h>

enum { BLOCK_LEN = 16 };

struct check {
    struct cryptoki *c;
    token_session s;
    token_object storage, tags;
    uint16_t version;
};

/* What there is of both; 0 where there is none. */
static ljs_err find_keys(struct check *k)
{
    token_object at[TOKEN_VERSIONS];
    uint16_t versions[TOKEN_VERSIONS];
    struct storage_keys storage;
    char label[TOKEN_LABEL_MAX];
    size_t n;
    ljs_err err = ljs__storage_find(&storage, k->c, k->s);

    if (err && err != LJS_E_NOTFOUND)
        return err;
    k->storage = storage.at[storage.newest];
    k->version = storage.version[storage.newest];
    ljs__token_label(label, k->c, LJS__TOKEN_TAGS);
    if (!(err = k->c->ops->find(at, versions, &n, k->c, k->s, label)) && n)
        k->tags = at[0];
    return err;
}

static ljs_err begin(struct check *k, const char *uri, const uint8_t *pin, size_t pin_len, enum token_login as)
{
    ljs_err err;

    *k = (struct check){ .c = NULL };
    if ((err = ljs__init()))
        return err;
    if (!pin_len || pin_len > LJS_PIN_MAX)
        return LJS_E_PIN;
    if ((err = ljs__cryptoki_open(&k->c, uri, pin, pin_len, as)) || (err = k->c->ops->session(&k->s, k->c)))
        return err;
    return find_keys(k);
}

static void end(struct check *k)
{
    if (k->c)
        k->c->ops->close(k->c);
}

/* ---- made --------------------------------------------------------------------- */

/* Other clients tell keys by their IDs, so the two have different ones. */
enum { STORAGE_FIRST = 1, TAGS_ONLY = 0xffff };

static ljs_err make(const struct check *k, const char *what, uint16_t version, unsigned uses)
{
    char label[TOKEN_LABEL_MAX];
    const struct token_key key = { .label = label, .version = version, .uses = uses };
    token_object object;

    ljs__token_label(label, k->c, what);
    return k->c->ops->generate(&object, k->c, k->s, &key);
}

ljs_err ljs_token_init(const char *uri, ljs_token_policy policy, const uint8_t *in, size_t in_len)
{
    bool officer = policy == LJS_TOKEN_ROTATABLE;
    unsigned trusted = officer ? USE_TRUSTED : 0;
    struct check k;
    ljs_err err;

    if (policy != LJS_TOKEN_SEALED && policy != LJS_TOKEN_ROTATABLE)
        return LJS_E_INVAL;
    err = begin(&k, uri, in, in_len, officer ? LOGIN_OFFICER : LOGIN_MAKER);
    if (!err && k.storage && k.tags)
        err = LJS_E_EXISTS;
    if (!err && !k.c->ops->has_mechanisms(k.c))
        err = LJS_E_CRYPTO;
    if (!err && !k.tags) /* the storage key last: with it the vault is whole */
        err = make(&k, LJS__TOKEN_TAGS, TAGS_ONLY, USE_SIGN | trusted);
    if (!err && !k.storage)
        err = make(&k, LJS__TOKEN_STORAGE, STORAGE_FIRST, USE_WRAP | USE_UNWRAP | trusted);
    end(&k);
    return err;
}

/* What an officer sees are keys that he made; those of the policy `sealed` are the user's, and private. */
ljs_err ljs_token_next(uint32_t *out, const char *uri, const uint8_t *in, size_t in_len)
{
    struct storage_keys keys = { .n = 0 };
    unsigned version;
    struct check k;
    ljs_err err = begin(&k, uri, in, in_len, LOGIN_OFFICER);

    *out = 0;
    if (!err)
        err = ljs__storage_find(&keys, k.c, k.s);
    if (!err && !keys.rotatable)
        err = LJS_E_NOTFOUND;
    if (!err && keys.n == TOKEN_VERSIONS)
        err = LJS_E_EXISTS;
    version = keys.version[keys.newest] + 1u;
    if (!err && version == TAGS_ONLY)
        err = LJS_E_SPENT;
    if (!err)
        err = make(&k, LJS__TOKEN_STORAGE, (uint16_t)version, USE_WRAP | USE_UNWRAP | USE_TRUSTED);
    end(&k);
    if (!err)
        *out = version;
    return err;
}

/* ---- known answers -------------------------------------------------------------- */

/* [FIPS 197 App. C.1], [RFC 4493 §4 Example 2], [RFC 3394 §4.1], and the first as a derivation. */
static const uint8_t key_c1[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
static const uint8_t data_c1[] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                   0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
static const uint8_t encrypted_c1[] = { 0x69, 0xc4, 0xe0, 0xd8, 0x6a, 0x7b, 0x04, 0x30,
                                        0xd8, 0xcd, 0xb7, 0x80, 0x70, 0xb4, 0xc5, 0x5a };
static const uint8_t wrapped_41[] = { 0x1f, 0xa6, 0x8b, 0x0a, 0x81, 0x12, 0xb4, 0x47, 0xae, 0xf3, 0x4b, 0xd8,
                                      0xfb, 0x5a, 0x7b, 0x82, 0x9d, 0x3e, 0x86, 0x23, 0x71, 0xd2, 0xcf, 0xe5 };
static const uint8_t key_4493[] = { 0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6,
                                    0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c };
static const uint8_t data_4493[] = { 0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96,
                                     0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17, 0x2a };
static const uint8_t cmac_4493[] = { 0x07, 0x0a, 0x16, 0xb4, 0x6b, 0x4d, 0x41, 0x44,
                                     0xf7, 0x9b, 0xdd, 0x9d, 0xd0, 0x4a, 0x28, 0x7c };

static bool same(ljs_err err, const uint8_t *got, const uint8_t *want, size_t len)
{
    return !err && !memcmp(got, want, len);
}

static bool answers(const struct check *k)
{
    const struct cryptoki_ops *ops = k->c->ops;
    token_object kek = 0, key = 0, mac = 0, derived = 0, back = 0;
    uint8_t out[40];
    size_t len = sizeof out;
    bool good = !ops->create(&kek, k->c, k->s, key_c1, sizeof key_c1,
                             USE_ENCRYPT | USE_DECRYPT | USE_DERIVE | USE_WRAP | USE_UNWRAP) &&
                !ops->create(&key, k->c, k->s, data_c1, sizeof data_c1, USE_LEAVE) &&
                !ops->create(&mac, k->c, k->s, key_4493, sizeof key_4493, USE_SIGN);

    good = good && same(ops->ecb(out, k->c, k->s, kek, false, data_c1, BLOCK_LEN), out, encrypted_c1, BLOCK_LEN);
    good = good && same(ops->ecb(out, k->c, k->s, kek, true, encrypted_c1, BLOCK_LEN), out, data_c1, BLOCK_LEN);
    good = good && same(ops->cmac(out, k->c, k->s, mac, data_4493, sizeof data_4493), out, cmac_4493, BLOCK_LEN);
    good = good && same(ops->wrap(out, &len, k->c, k->s, kek, key), out, wrapped_41, sizeof wrapped_41) &&
           len == sizeof wrapped_41;
    /* What was unwrapped, and what was derived, are known by what they encrypt. */
    good = good && !ops->unwrap(&back, k->c, k->s, kek, wrapped_41, sizeof wrapped_41, USE_LEAVE) &&
           (len = sizeof out) && same(ops->wrap(out, &len, k->c, k->s, kek, back), out, wrapped_41, sizeof wrapped_41);
    good = good && !ops->derive(&derived, k->c, k->s, kek, encrypted_c1, USE_DECRYPT | USE_LEAVE) &&
           !ops->ecb(out, k->c, k->s, kek, false, encrypted_c1, BLOCK_LEN) && (ljs__wipe(out + 16, 16), true);
    if (good) { /* the same octets, in the token and here, wrapped under one key */
        token_object here = 0;
        uint8_t a[40], b[40];
        size_t a_len = sizeof a, b_len = sizeof b;

        good = !ops->create(&here, k->c, k->s, out, BLOCK_LEN, USE_LEAVE) &&
               !ops->wrap(a, &a_len, k->c, k->s, kek, here) && !ops->wrap(b, &b_len, k->c, k->s, kek, derived) &&
               a_len == b_len && !memcmp(a, b, a_len);
    }
    return good;
}

/* ---- attacks ---------------------------------------------------------------------- */

/* A root key of no device, as a record has it. */
static ljs_err victim(uint8_t out[40], size_t *out_len, const struct check *k, unsigned custody)
{
    uint8_t octets[16];
    token_object key;
    ljs_err err;

    ljs__random(octets, sizeof octets);
    err = k->c->ops->create(&key, k->c, k->s, octets, sizeof octets, USE_LEAVE | custody);
    *out_len = 40;
    return err ? err : k->c->ops->wrap(out, out_len, k->c, k->s, k->storage, key);
}

static bool reads(const struct check *k, token_object key)
{
    uint8_t octets[32];
    bool got = !k->c->ops->read(octets, k->c, k->s, key);

    ljs__wipe(octets, sizeof octets);
    return got;
}

static bool decrypts(const struct check *k, token_object key, const uint8_t *wrapped)
{
    uint8_t out[16];
    bool got = !k->c->ops->ecb(out, k->c, k->s, key, true, wrapped, sizeof out);

    ljs__wipe(out, sizeof out);
    return got;
}

static unsigned attacks(const struct check *k, unsigned custody, const uint8_t *wrapped, size_t wrapped_len)
{
    const struct cryptoki_ops *ops = k->c->ops;
    token_object key, copied, thief;
    uint8_t out[40];
    size_t len = sizeof out;
    unsigned faults = 0;

    if (!ops->unwrap(&key, k->c, k->s, k->storage, wrapped, wrapped_len, USE_CLEAR))
        faults |= LJS_TOKEN_CLEAR;
    if (ops->may(k->c, k->s, k->storage, USE_DECRYPT) || decrypts(k, k->storage, wrapped))
        faults |= LJS_TOKEN_DECRYPTS;
    if (!ops->allow(k->c, k->s, k->storage, USE_DECRYPT) || !ops->allow(k->c, k->s, k->storage, USE_ENCRYPT) ||
        (!ops->copy(&copied, k->c, k->s, k->storage) && !ops->allow(k->c, k->s, copied, USE_DECRYPT)))
        faults |= LJS_TOKEN_CHANGEABLE;
    if (reads(k, k->storage) || ops->may(k->c, k->s, k->storage, USE_LEAVE) || reads(k, k->tags) ||
        ops->may(k->c, k->s, k->tags, USE_LEAVE))
        faults |= LJS_TOKEN_READABLE;
    if (!ops->unwrap(&key, k->c, k->s, k->storage, wrapped, wrapped_len, USE_SIGN | custody)) {
        if (reads(k, key))
            faults |= LJS_TOKEN_READABLE;
        if (!ops->create(&thief, k->c, k->s, key_c1, sizeof key_c1, USE_WRAP) &&
            !ops->wrap(out, &len, k->c, k->s, thief, key))
            faults |= LJS_TOKEN_LEAVES;
    } else if (!ops->unwrap(&key, k->c, k->s, k->storage, wrapped, wrapped_len, USE_SIGN | USE_LEAVE)) {
        faults |= LJS_TOKEN_LEAVES;
    } else {
        faults |= LJS_TOKEN_WRONG; /* it does not open what it closed */
    }
    if (ops->is_public(k->c, k->s, k->storage))
        faults |= LJS_TOKEN_NO_PIN;
    return faults;
}

ljs_err ljs_token_check(ljs_token_report *out, const char *uri, const uint8_t *in, size_t in_len)
{
    uint8_t wrapped[40];
    size_t wrapped_len = 0;
    struct check k;
    unsigned custody = 0;
    ljs_err err;

    memset(out, 0, sizeof *out);
    err = begin(&k, uri, in, in_len, LOGIN_MAKER);
    if (!err && (!k.storage || !k.tags))
        err = LJS_E_NOTFOUND;
    if (!err) {
        k.c->ops->describe(out, k.c);
        out->version = k.version;
        out->policy = LJS_TOKEN_SEALED;
        if (k.c->ops->may(k.c, k.s, k.storage, USE_TRUSTED)) {
            out->policy = LJS_TOKEN_ROTATABLE;
            custody = USE_LEAVE | USE_TRUSTED;
        }
        if (!k.c->ops->has_mechanisms(k.c))
            out->faults |= LJS_TOKEN_NO_MECHANISM;
        if (!answers(&k))
            out->faults |= LJS_TOKEN_WRONG;
        err = victim(wrapped, &wrapped_len, &k, custody);
    }
    if (!err)
        out->faults |= attacks(&k, custody, wrapped, wrapped_len);
    end(&k);
    ljs__wipe(wrapped, sizeof wrapped);
    return err;
}
