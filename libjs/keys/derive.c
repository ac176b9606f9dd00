#include "keys/ring_inside.h"

#include "air/octets.h"

/* What follows the tag octet of a block, in this order; then zeros to 16 octets. */
enum {
    ALONE = 0,
    JOIN_NONCE = 1,
    NET_ID = 2,
    JOIN_EUI = 4,
    NONCE = 8, /* DevNonce; RJcount0 or RJcount1 after a rejoin [L2 1.1 §6.2.4.4] */
    DEV_EUI = 16,
    MC_ADDR = 32,
    EPOCH = 64,

    OVER_NET = JOIN_NONCE | NET_ID | NONCE,
    OVER_JOIN = JOIN_NONCE | JOIN_EUI | NONCE,
};

enum { ANY = 0, V10 = LJS_SCHEME_1_0, V11 = LJS_SCHEME_1_1 };

/* clang-format off */
/* key = aes128_encrypt(root, tag | layout | pad16).  `root` and `to` name the slots for
 * the keys of a device's session; the root of another row is the caller's to choose.  What is derived at once stands
 * together. */
static const struct derivation { uint8_t name, scheme, root, to, tag, layout; } derivations[] = {
    /* [L2 1.1 §6.1.1.3]  aes128_encrypt(NwkKey, tag | DevEUI | pad16) */
    { LJS_KEY_JS_INT,         ANY, KEY_NWK,  KEY_JS_INT,      0x06, DEV_EUI   },
    { LJS_KEY_JS_ENC,         ANY, KEY_NWK,  KEY_JS_ENC,      0x05, DEV_EUI   },
    /* [L2 1.0.4 §6.2.6]  aes128_encrypt(AppKey, tag | JoinNonce | NetID | DevNonce | pad16)
     * [L2 1.1 §6.1.1.3]  with OptNeg clear the same from NwkKey, and
     *                    SNwkSIntKey = NwkSEncKey = FNwkSIntKey */
    { LJS_KEY_F_NWK_S_INT,    V10, KEY_NWK,  KEY_F_NWK_S_INT, 0x01, OVER_NET  },
    { LJS_KEY_S_NWK_S_INT,    V10, KEY_NWK,  KEY_S_NWK_S_INT, 0x01, OVER_NET  },
    { LJS_KEY_NWK_S_ENC,      V10, KEY_NWK,  KEY_NWK_S_ENC,   0x01, OVER_NET  },
    { LJS_KEY_APP_S,          V10, KEY_NWK,  KEY_APP_S,       0x02, OVER_NET  },
    /* [L2 1.1 §6.2.3]    aes128_encrypt(NwkKey, tag | JoinNonce | JoinEUI | DevNonce | pad16)
     *                    and AppSKey from AppKey */
    { LJS_KEY_F_NWK_S_INT,    V11, KEY_NWK,  KEY_F_NWK_S_INT, 0x01, OVER_JOIN },
    { LJS_KEY_S_NWK_S_INT,    V11, KEY_NWK,  KEY_S_NWK_S_INT, 0x03, OVER_JOIN },
    { LJS_KEY_NWK_S_ENC,      V11, KEY_NWK,  KEY_NWK_S_ENC,   0x04, OVER_JOIN },
    { LJS_KEY_APP_S,          V11, KEY_APP,  KEY_APP_S,       0x02, OVER_JOIN },
    /* [TS005]  McRootKey = aes128_encrypt(GenAppKey, 0x00 | pad16)   LoRaWAN 1.0.x
     *                      aes128_encrypt(AppKey, 0x20 | pad16)      LoRaWAN 1.1 */
    { LJS_KEY_MC_ROOT,        V10, KEY_NONE, KEY_NONE,        0x00, ALONE     },
    { LJS_KEY_MC_ROOT,        V11, KEY_NONE, KEY_NONE,        0x20, ALONE     },
    /* [TS005]  McKEKey = aes128_encrypt(McRootKey, 0x00 | pad16) */
    { LJS_KEY_MC_KE,          ANY, KEY_NONE, KEY_NONE,        0x00, ALONE     },
    /* [TS005]  aes128_encrypt(McKey, tag | McAddr | pad16) */
    { LJS_KEY_MC_APP_S,       ANY, KEY_NONE, KEY_NONE,        0x01, MC_ADDR   },
    { LJS_KEY_MC_NET_S,       ANY, KEY_NONE, KEY_NONE,        0x02, MC_ADDR   },
    /* [TS011]  RootWorSKey = aes128_encrypt(NwkSEncKey, 0x01 | pad16) */
    { LJS_KEY_ROOT_WOR_S,     ANY, KEY_NONE, KEY_NONE,        0x01, ALONE     },
    /* [TS004]  DataBlockIntKey = aes128_encrypt(GenAppKey or AppKey, 0x30 | pad16) */
    { LJS_KEY_DATA_BLOCK_INT, ANY, KEY_NONE, KEY_NONE,        0x30, ALONE     },
    /* lorajs-rekey-1 (rekey_keys.h)  RekeyIntKey = aes128_encrypt(RekeyKey, 0xE1 | DevEUI | pad16), JK of suite 1 =
     *                    aes128_encrypt(RekeyKey, 0xE2 | JoinEUI | pad16), from JK aes128_encrypt(JK, tag | epoch | pad16) */
    { LJS_KEY_REKEY_INT,      ANY, KEY_NONE, KEY_NONE,        0xe1, DEV_EUI   },
    { LJS_KEY_REKEY_JOIN,     ANY, KEY_NONE, KEY_NONE,        0xe2, JOIN_EUI  },
    { LJS_KEY_NEXT_NWK,       ANY, KEY_NONE, KEY_NONE,        0x01, EPOCH     },
    { LJS_KEY_NEXT_APP,       ANY, KEY_NONE, KEY_NONE,        0x02, EPOCH     },
    { LJS_KEY_NEXT_GEN_APP,   ANY, KEY_NONE, KEY_NONE,        0x03, EPOCH     },
    { LJS_KEY_NEXT_REKEY,     ANY, KEY_NONE, KEY_NONE,        0x0f, EPOCH     },
    /* lorajs lots (lot.h)  aes128_encrypt(LotKey, tag | DevEUI | pad16) */
    { LJS_KEY_LOT_NWK,        ANY, KEY_NONE, KEY_NONE,        0xd1, DEV_EUI   },
    { LJS_KEY_LOT_APP,        ANY, KEY_NONE, KEY_NONE,        0xd2, DEV_EUI   },
    { LJS_KEY_LOT_GEN_APP,    ANY, KEY_NONE, KEY_NONE,        0xd3, DEV_EUI   },
    { LJS_KEY_LOT_REKEY,      ANY, KEY_NONE, KEY_NONE,        0xd4, DEV_EUI   },
};
/* clang-format on */

static bool applies(const struct derivation *row, ljs_scheme scheme)
{
    return row->scheme == ANY || row->scheme == (unsigned)scheme;
}

/* A block but for its tag. */
static block build(unsigned layout, const ljs_derivation *what)
{
    uint8_t octets[BLOCK_LEN] = { 0 };
    struct octets o = { octets, 1, sizeof octets };

    if (layout & JOIN_NONCE)
        put_le(&o, what->join_nonce, 3);
    if (layout & NET_ID)
        put_le(&o, what->net_id, 3);
    if (layout & JOIN_EUI)
        put_le(&o, what->join_eui, 8);
    if (layout & NONCE)
        put_le(&o, what->nonce, 2);
    if (layout & DEV_EUI)
        put_le(&o, what->dev_eui, 8);
    if (layout & MC_ADDR)
        put_le(&o, what->mc_addr, 4);
    if (layout & EPOCH)
        put_le(&o, what->epoch, 2);
    return block_get(octets);
}

static bool in_range(unsigned layout, const ljs_derivation *what)
{
    return !((layout & JOIN_NONCE) && what->join_nonce >> 24) && !((layout & NET_ID) && what->net_id >> 24);
}

/* What comes of the blocks stays in the token. */
static ljs_err derive_inside(struct ring *ring, enum key_id root, const enum key_id *to, const block *const *from,
                             size_t n)
{
    ljs_err err = LJS_OK;

    for (size_t i = 0; i < n && !err; i++)
        err = ljs__token_derive(ring, to[i], root, (const uint8_t *)from[i]);
    return err;
}

/* Rows that share root and layout: their blocks are independent, so they go in one call.  Neighbours of one tag are
 * one key, and share a block. */
static ljs_err derive(struct ring *ring, enum key_id root, const struct derivation *const *rows, const enum key_id *to,
                      size_t n, const ljs_derivation *what)
{
    block *blocks = ring->work.derive, rest = build(rows[0]->layout, what);
    const block *from[GATHER_MAX];
    size_t made = 0;
    ljs_err err = slot_check(ring, root);

    if (!err && !in_range(rows[0]->layout, what))
        err = LJS_E_INVAL;
    for (size_t i = 0; i < n; i++) {
        assert(rows[i]->layout == rows[0]->layout);
        if (i == 0 || rows[i]->tag != rows[i - 1]->tag)
            blocks[made++] = rest | (block){ be64((uint64_t)rows[i]->tag << 56), 0 };
        from[i] = &blocks[made - 1];
    }
    if (!err && ring->slot[root].held)
        return derive_inside(ring, root, to, from, n);
    if (!err)
        err = ljs__encrypt(ring, root, (uint8_t *)blocks, (const uint8_t *)blocks, made * BLOCK_LEN);
    for (size_t i = 0; i < n && !err; i++)
        slot_set(ring, to[i], from[i], KEY_LEN);
    return err;
}

ljs_err ljs__derive(struct ring *ring, enum key_id to, enum key_id root, const ljs_derivation *what)
{
    for (size_t i = 0; i < COUNT(derivations); i++) {
        const struct derivation *row = &derivations[i];

        if (row->name == (unsigned)what->name && applies(row, what->scheme))
            return derive(ring, root, &row, &to, 1, what);
    }
    return LJS_E_INVAL;
}

/* Every row of this root and layout. */
static ljs_err derive_all(struct ring *ring, enum key_id root, unsigned layout, const ljs_derivation *what)
{
    const struct derivation *rows[GATHER_MAX];
    enum key_id to[GATHER_MAX];
    size_t n = 0;

    for (size_t i = 0; i < COUNT(derivations); i++) {
        const struct derivation *row = &derivations[i];

        if (row->root == (unsigned)root && row->layout == layout && applies(row, what->scheme)) {
            assert(n < GATHER_MAX);
            rows[n] = row;
            to[n++] = (enum key_id)row->to;
        } else if (n) {
            break;
        }
    }
    return n ? derive(ring, root, rows, to, n, what) : LJS_OK;
}

ljs_err ljs__derive_session(struct ring *ring, const ljs_derivation *what)
{
    ljs_err err;

    switch (what->scheme) {
    case LJS_SCHEME_1_0:
        return derive_all(ring, KEY_NWK, OVER_NET, what);
    case LJS_SCHEME_1_1:
        err = derive_all(ring, KEY_NWK, OVER_JOIN, what);
        return err ? err : derive_all(ring, KEY_APP, OVER_JOIN, what);
    default:
        return LJS_E_INVAL;
    }
}

ljs_err ljs__derive_js(struct ring *ring, ljs_eui dev_eui)
{
    const ljs_derivation what = { .scheme = LJS_SCHEME_1_1, .dev_eui = dev_eui };

    return derive_all(ring, KEY_NWK, DEV_EUI, &what);
}

ljs_err ljs_derive(ljs_key **out, const ljs_derivation *what, const ljs_key *root)
{
    struct ring *ring;
    ljs_err err;

    *out = NULL;
    err = ljs__ring_lend(&ring, root, NULL);
    if (!err)
        err = ljs__derive(ring, KEY_WORK2, KEY_WORK, what);
    if (!err)
        err = ljs__ring_key(out, ring, KEY_WORK2);
    ljs__ring_give(ring);
    return err;
}

ljs_err ljs_mc_key_encrypt(uint8_t out[16], const ljs_key *mc_ke_key, const ljs_key *mc_key)
{
    struct ring *ring;
    ljs_err err = ljs__ring_lend(&ring, mc_ke_key, mc_key);

    if (!err)
        err = slot_check(ring, KEY_WORK);
    if (!err)
        err = ring->slot[KEY_WORK2].held ? LJS_E_INSIDE : slot_check(ring, KEY_WORK2);
    if (!err) /* [TS005]  McKey_encrypted = aes128_decrypt(McKEKey, McKey) */
        err = ljs__decrypt(ring, KEY_WORK, out, ring->slot[KEY_WORK2].octets, KEY_LEN);
    if (err)
        ljs__wipe(out, KEY_LEN);
    ljs__public(out, KEY_LEN);
    ljs__ring_give(ring);
    return err;
}

ljs_err ljs_mc_key_decrypt(ljs_key **out, const ljs_key *mc_ke_key, const uint8_t *in, size_t in_len)
{
    struct ring *ring = NULL;
    ljs_err err = in_len == KEY_LEN ? LJS_OK : LJS_E_INVAL;

    *out = NULL;
    if (!err)
        err = ljs__ring_lend(&ring, mc_ke_key, NULL);
    if (!err)
        err = slot_check(ring, KEY_WORK);
    if (!err) /* [TS005]  the device: McKey = aes128_encrypt(McKEKey, McKey_encrypted) */
        err = ljs__encrypt(ring, KEY_WORK, (uint8_t *)ring->work.derive, in, in_len);
    if (!err) {
        slot_set(ring, KEY_WORK2, ring->work.derive, KEY_LEN);
        err = ljs__ring_key(out, ring, KEY_WORK2);
    }
    ljs__ring_give(ring);
    return err;
}
