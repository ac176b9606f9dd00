#include "keys/ring_inside.h"

#include "air/frame.h"

/* What follows the tag octet of a block, in this order; then zeros to 16 octets. */
enum {
    ALONE,
    OVER_NET,  /* JoinNonce(3) | NetID(3) | DevNonce(2) */
    OVER_JOIN, /* JoinNonce(3) | JoinEUI(8) | DevNonce(2), RJcount0 or RJcount1 after a rejoin [L2 1.1 §6.2.4.4] */
    JOIN_EUI,
    DEV_EUI,
    MC_ADDR,
    EPOCH,
};

enum { ANY = 0, V10 = LJS_SCHEME_1_0, V11 = LJS_SCHEME_1_1 };

/* clang-format off */
/* key = aes128_encrypt(root, tag | layout | pad16).  `root` and `to` name the slots for
 * the keys of a device's session; the root of another row is the caller's to choose. */
static const struct derivation { uint8_t name, scheme, root, to, tag, layout; } derivations[] = {
    /* [L2 1.0.4 §6.2.6]  aes128_encrypt(AppKey, tag | JoinNonce | NetID | DevNonce | pad16)
     * [L2 1.1 §6.1.1.3]  with OptNeg clear the same from NwkKey, and
     *                    SNwkSIntKey = NwkSEncKey = FNwkSIntKey */
    { LJS_KEY_F_NWK_S_INT,    V10, KEY_NWK,  KEY_F_NWK_S_INT, 0x01, OVER_NET  },
    { LJS_KEY_S_NWK_S_INT,    V10, KEY_NWK,  KEY_S_NWK_S_INT, 0x01, OVER_NET  },
    { LJS_KEY_NWK_S_ENC,      V10, KEY_NWK,  KEY_NWK_S_ENC,   0x01, OVER_NET  },
    { LJS_KEY_APP_S,          V10, KEY_NWK,  KEY_APP_S,       0x02, OVER_NET  },
    /* [L2 1.1 §6.1.1.3]  aes128_encrypt(NwkKey, tag | DevEUI | pad16) */
    { LJS_KEY_JS_ENC,         ANY, KEY_NWK,  KEY_JS_ENC,      0x05, DEV_EUI   },
    { LJS_KEY_JS_INT,         ANY, KEY_NWK,  KEY_JS_INT,      0x06, DEV_EUI   },
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

/* What is derived at once stands together: where each begins. */
enum { ROWS_1_0 = 0, ROWS_JS = 4, ROWS_JOIN_1_1 = 5, ROWS_1_1 = 6, ROWS_1_1_APP = 9, ROWS_OTHER = 10 };

_Static_assert(ROWS_JS - ROWS_1_0 <= GATHER_MAX && ROWS_1_1_APP - ROWS_JS <= GATHER_MAX, "what goes in one call");

/* A block but for its tag: the octets of each half in a register, the first of them lowest.  See block. */
static ljs_err build(block *out, unsigned layout, const ljs_derivation *what)
{
    uint64_t first = 0, second = 0;

    if ((layout == OVER_NET || layout == OVER_JOIN) && what->join_nonce >> 24)
        return LJS_E_INVAL;
    if (layout == OVER_NET && what->net_id >> 24)
        return LJS_E_INVAL;
    switch (layout) {
    case OVER_NET:
        first = (uint64_t)what->join_nonce << 8 | (uint64_t)what->net_id << 32 | (uint64_t)what->nonce << 56;
        second = what->nonce >> 8;
        break;
    case OVER_JOIN:
        first = (uint64_t)what->join_nonce << 8 | what->join_eui << 32;
        second = what->join_eui >> 32 | (uint64_t)what->nonce << 32;
        break;
    case JOIN_EUI:
        first = what->join_eui << 8;
        second = what->join_eui >> 56;
        break;
    case DEV_EUI:
        first = what->dev_eui << 8;
        second = what->dev_eui >> 56;
        break;
    case MC_ADDR:
        first = (uint64_t)what->mc_addr << 8;
        break;
    case EPOCH:
        first = (uint64_t)what->epoch << 8;
        break;
    default:
        break;
    }
    *out = (block){ le64(first), le64(second) };
    return LJS_OK;
}

/* Neighbours of one layout and tag are one key, and share a block. */
static bool is_same(const struct derivation *a, const struct derivation *b)
{
    return a->tag == b->tag && a->layout == b->layout;
}

/* The blocks of n rows; how many they are in *made. */
static ljs_err gather(block *out, size_t *made, const struct derivation *rows, size_t n, const ljs_derivation *what)
{
    block rest = { 0 };
    ljs_err err;

    *made = 0;
    for (size_t i = 0; i < n; i++) {
        const struct derivation *row = &rows[i];

        if ((i == 0 || row->layout != row[-1].layout) && (err = build(&rest, row->layout, what)))
            return err;
        if (i == 0 || !is_same(row, row - 1))
            out[(*made)++] = rest | (block){ le64(row->tag), 0 };
    }
    return LJS_OK;
}

/* The keys that came of them, into their slots. */
static void spread(struct ring *ring, const struct derivation *rows, size_t n, const block *from)
{
    for (size_t i = 0; i < n; i++) {
        from += i && !is_same(&rows[i], &rows[i - 1]);
        slot_set(ring, rows[i].to, from, KEY_LEN);
    }
}

/* What comes of the blocks stays in the token. */
static ljs_err derive_inside(struct ring *ring, enum key_id root, const struct derivation *rows, size_t n,
                             const ljs_derivation *what)
{
    const block *from = ring->work.derive;
    size_t made;
    ljs_err err = gather(ring->work.derive, &made, rows, n, what);

    for (size_t i = 0; i < n && !err; i++) {
        from += i && !is_same(&rows[i], &rows[i - 1]);
        err = ljs__token_derive(ring, rows[i].to, root, (const uint8_t *)from);
    }
    return err;
}

/* n rows of one root, whose blocks are independent: in one call. */
static ljs_err derive(struct ring *ring, enum key_id root, const struct derivation *rows, size_t n,
                      const ljs_derivation *what)
{
    block *blocks = ring->work.derive;
    size_t made;
    ljs_err err = slot_check(ring, root);

    if (err)
        return err;
    if (ring->slot[root].held)
        return derive_inside(ring, root, rows, n, what);
    if (!(err = gather(blocks, &made, rows, n, what)) &&
        !(err = ljs__encrypt(ring, root, (uint8_t *)blocks, (const uint8_t *)blocks, made * BLOCK_LEN)))
        spread(ring, rows, n, blocks);
    return err;
}

ljs_err ljs__derive(struct ring *ring, enum key_id to, enum key_id root, const ljs_derivation *what)
{
    for (size_t i = 0; i < COUNT(derivations); i++) {
        struct derivation row = derivations[i];

        if (row.name != (unsigned)what->name || (row.scheme != ANY && row.scheme != (unsigned)what->scheme))
            continue;
        row.to = (uint8_t)to;
        return derive(ring, root, &row, 1, what);
    }
    return LJS_E_INVAL;
}

ljs_err ljs__derive_session(struct ring *ring, const ljs_derivation *what)
{
    ljs_err err;

    switch (what->scheme) {
    case LJS_SCHEME_1_0:
        return derive(ring, KEY_NWK, derivations + ROWS_1_0, ROWS_JS - ROWS_1_0, what);
    case LJS_SCHEME_1_1:
        err = derive(ring, KEY_NWK, derivations + ROWS_1_1, ROWS_1_1_APP - ROWS_1_1, what);
        return err ? err : ljs__derive_app(ring, what);
    default:
        return LJS_E_INVAL;
    }
}

ljs_err ljs__derive_app(struct ring *ring, const ljs_derivation *what)
{
    return derive(ring, KEY_APP, derivations + ROWS_1_1_APP, ROWS_OTHER - ROWS_1_1_APP, what);
}

ljs_err ljs__derive_js(struct ring *ring, ljs_eui dev_eui)
{
    const ljs_derivation what = { .scheme = LJS_SCHEME_1_1, .dev_eui = dev_eui };

    return derive(ring, KEY_NWK, derivations + ROWS_JS, ROWS_1_1 - ROWS_JS, &what);
}

ljs_err ljs__join_check(struct ring *ring, const uint8_t *in, size_t in_len, const ljs_derivation *what)
{
    bool v11 = what->scheme == LJS_SCHEME_1_1;
    const struct derivation *rows = derivations + (v11 ? ROWS_JOIN_1_1 : ROWS_1_0);
    size_t n = v11 ? ROWS_1_1_APP - ROWS_JOIN_1_1 : ROWS_JS - ROWS_1_0, made;
    block *beside = ring->work.cmac.beside;
    uint8_t cmac[16];
    ljs_err err = in_len > LJS__MIC_LEN ? slot_check(ring, KEY_NWK) : LJS_E_SIZE;

    if (err)
        return err;
    if (ring->slot[KEY_NWK].held)
        return LJS_E_INSIDE;
    if (!v11 && what->scheme != LJS_SCHEME_1_0)
        return LJS_E_INVAL;
    if ((err = gather(beside, &made, rows, n, what)) ||
        (err = ljs__cmac_beside(ring, KEY_NWK, cmac, in, in_len - LJS__MIC_LEN, made)))
        return err;
    if (ljs__equal(cmac, in + in_len - LJS__MIC_LEN, LJS__MIC_LEN))
        spread(ring, rows, n, beside);
    else
        err = LJS_E_MIC;
    ljs__wipe(cmac, sizeof cmac);
    return err;
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
