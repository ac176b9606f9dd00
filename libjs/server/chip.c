/* What is kept of a chip, and its word that it is that one. */
#include "server/chip.h"

#include "base/pack.h"
#include "base/secret.h"
#include "keys/es256.h"
#include "keys/ring.h"

/* ---- at rest ------------------------------------------------------------------------ */

/* The value: [schema, DevEUI, at, required, key, uniqueId, model, part number, batch, kid], and the tag. */
enum { CHIP_SCHEMA = 1, CHIP_FIELDS = 10 };

ljs_err ljs__chip_read(ljs_chip *out, const ljs_vault *vault, ljs_eui dev_eui, const ljs_buf *in)
{
    struct unpack u = { .rd = { in->data, in->len > 16 ? in->len - 16 : 0, false } };
    ljs_err err = in->data ? ljs__vault_check(vault, TAG_CHIP, in->data, in->len) : LJS_E_NOTFOUND;
    bool good;

    *out = (ljs_chip){ .struct_size = sizeof *out };
    if (err)
        return err;
    good = ljs__unpack_array(&u) == CHIP_FIELDS;
    if (ljs__unpack_uint(&u, 0xffff) > CHIP_SCHEMA)
        return LJS_E_VERSION;
    out->dev_eui = ljs__unpack_uint(&u, UINT64_MAX);
    out->at = ljs__unpack_int(&u, INT64_MIN, INT64_MAX);
    out->required = (uint8_t)ljs__unpack_uint(&u, 1);
    ljs__unpack_fixed(&u, out->public_key, sizeof out->public_key);
    ljs__unpack_text(&u, out->unique_id, sizeof out->unique_id);
    ljs__unpack_text(&u, out->model, sizeof out->model);
    ljs__unpack_text(&u, out->part_number, sizeof out->part_number);
    ljs__unpack_text(&u, out->group_id, sizeof out->group_id);
    ljs__unpack_text(&u, out->signer, sizeof out->signer);
    if (good && rd_done(&u.rd) && out->dev_eui == dev_eui)
        return LJS_OK;
    *out = (ljs_chip){ .struct_size = sizeof *out };
    return LJS_E_SEAL;
}

ljs_err ljs__chip_write(ljs_buf *out, const ljs_vault *vault, const ljs_chip *chip)
{
    struct wr w = { 0 };

    ljs__pack_array(&w, CHIP_FIELDS);
    ljs__pack_uint(&w, CHIP_SCHEMA);
    ljs__pack_uint(&w, chip->dev_eui);
    ljs__pack_int(&w, chip->at);
    ljs__pack_uint(&w, chip->required);
    ljs__pack_bin(&w, chip->public_key, sizeof chip->public_key);
    ljs__pack_text(&w, chip->unique_id);
    ljs__pack_text(&w, chip->model);
    ljs__pack_text(&w, chip->part_number);
    ljs__pack_text(&w, chip->group_id);
    ljs__pack_text(&w, chip->signer);
    return ljs__vault_take(out, &w, vault, TAG_CHIP);
}

ljs_err ljs_server_get_chip(ljs_chip *out, ljs_server *server, ljs_eui dev_eui)
{
    struct key key = ljs__key_eui(SPACE_CHIP, dev_eui);
    const struct masters *had;
    ljs_buf value;
    uint64_t version;
    ljs_err err = ljs__server_alive(server);

    *out = (ljs_chip){ .struct_size = sizeof *out };
    if (err)
        return err;
    do {
        had = ljs__masters(server);
        if (!(err = ljs_store_get(&value, &version, server->store, key.at, key.len)))
            err = ljs__chip_read(out, server->vault, dev_eui, &value);
        ljs_buf_free(&value);
    } while (err == LJS_E_SEAL && ljs__masters_again(server, had));
    return err;
}

/* ---- challenges --------------------------------------------------------------------- */

/* A challenge: until when it is good, as 8 octets, as many random ones, and a keyed hash over these and what it is for.
 */
enum { UNTIL_LEN = 8, RANDOM_LEN = 8, HASH_LEN = LJS_CHIP_CHALLENGE_LEN - UNTIL_LEN - RANDOM_LEN };

/* No owner token is hashed so, and no link of the audit log begins so. */
static ljs_err hash_challenge(uint8_t out[HASH_LEN], const ljs_server *server, ljs_eui dev_eui, uint32_t owners,
                              const char *account, const uint8_t *challenge)
{
    struct wr w = { 0 };
    ljs_err err;

    ljs__wr(&w, "chip challenge", sizeof "chip challenge");
    ljs__wr_le(&w, dev_eui, 8);
    ljs__wr_le(&w, owners, 4);
    ljs__wr(&w, challenge, UNTIL_LEN + RANDOM_LEN);
    ljs__wr_text(&w, account);
    err = w.bad ? LJS_E_NOMEM : ljs__vault_lasting(out, server->vault, w.data, w.len);
    ljs__wr_drop(&w);
    return err;
}

ljs_err ljs_server_challenge(ljs_buf *out, ljs_server *server, int64_t now, ljs_eui dev_eui, const char *account)
{
    uint8_t challenge[LJS_CHIP_CHALLENGE_LEN];
    uint64_t until = (uint64_t)now + LJS_CHIP_CHALLENGE_SECONDS;
    struct claim claim;
    ljs_err err = ljs__server_alive(server);

    *out = (ljs_buf){ NULL, 0 };
    if (err)
        return err;
    if (now < 0 || !ljs__account_name_ok(account, LJS_ACCOUNT_MAX))
        return LJS_E_INVAL;
    for (unsigned i = 0; i < UNTIL_LEN; i++)
        challenge[i] = (uint8_t)(until >> (56 - 8 * i));
    ljs__random(challenge + UNTIL_LEN, RANDOM_LEN);
    if (!(err = ljs__claim_load(&claim, server, dev_eui)))
        err = hash_challenge(challenge + UNTIL_LEN + RANDOM_LEN, server, dev_eui, claim.c.owners, account, challenge);
    return err ? err : ljs_buf_copy(out, challenge, sizeof challenge);
}

static ljs_err digest(uint8_t out[32], ljs_eui dev_eui, const char *account, const uint8_t *challenge)
{
    static const char label[] = "lorajs chip claim 1"; /* with its NUL */
    uint8_t eui[8];
    const struct part parts[] = { { label, sizeof label },
                                  { eui, sizeof eui },
                                  { challenge, LJS_CHIP_CHALLENGE_LEN },
                                  { account, strlen(account) } };

    for (unsigned i = 0; i < 8; i++)
        eui[i] = (uint8_t)(dev_eui >> (56 - 8 * i));
    return ljs__sha256(out, parts, COUNT(parts));
}

/* Whoever computes with libgcrypt has had a ring (es256.h). */
static ljs_err be_ready(void)
{
    struct ring *ring;
    ljs_err err = ljs__ring_take(&ring);

    if (!err)
        ljs__ring_give(ring);
    return err;
}

ljs_err ljs_chip_digest(ljs_buf *out, ljs_eui dev_eui, const char *account, const uint8_t *in, size_t in_len)
{
    uint8_t octets[32];
    ljs_err err;

    *out = (ljs_buf){ NULL, 0 };
    if (in_len != LJS_CHIP_CHALLENGE_LEN || !in || !ljs__account_name_ok(account, LJS_ACCOUNT_MAX))
        return LJS_E_INVAL;
    if ((err = be_ready()) || (err = digest(octets, dev_eui, account, in)))
        return err;
    return ljs_buf_copy(out, octets, sizeof octets);
}

/* ---- a proof that is shown -------------------------------------------------------------- */

/* The base point of P-256 [FIPS 186-4 D.1.2.3]: nobody's key. */
static const uint8_t nobodys_key[64] = {
    0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2,
    0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96,
    0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16,
    0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
};

/* Is it one that was given for this, and not too late? */
static ljs_err is_challenge(bool *out, const ljs_server *server, const ljs_claim_req *req, uint32_t owners)
{
    uint8_t hash[HASH_LEN];
    uint64_t until = 0;
    ljs_err err = hash_challenge(hash, server, req->dev_eui, owners, req->account, req->challenge);

    for (unsigned i = 0; i < UNTIL_LEN; i++)
        until = until << 8 | req->challenge[i];
    *out = !err && ljs__equal(hash, req->challenge + UNTIL_LEN + RANDOM_LEN, HASH_LEN) && req->now >= 0 &&
           (uint64_t)req->now < until;
    return err;
}

/* Where there is no chip, as much is looked at. */
static ljs_err get_or_look_at_nothing(ljs_chip *out, ljs_server *server, ljs_eui dev_eui)
{
    static const uint8_t nothing[192];
    ljs_err err = ljs_server_get_chip(out, server, dev_eui);

    if (err == LJS_E_NOTFOUND)
        (void)!ljs__vault_check(server->vault, TAG_CHIP, nothing, sizeof nothing);
    return err;
}

ljs_err ljs__chip_agrees(bool *out, ljs_server *server, const ljs_claim_req *req, uint32_t owners)
{
    ljs_chip chip;
    uint8_t octets[32];
    bool known, given = false;
    ljs_err err = get_or_look_at_nothing(&chip, server, req->dev_eui);

    *out = false;
    known = !err;
    if (err && err != LJS_E_NOTFOUND)
        return err;
    if (!req->has_chip) {
        *out = !chip.required;
        return LJS_OK;
    }
    if ((err = be_ready()) || (err = is_challenge(&given, server, req, owners)) ||
        (err = digest(octets, req->dev_eui, req->account, req->challenge)))
        return err;
    /* Where there is no chip, as much is computed. */
    err = ljs__es256_verify(known ? chip.public_key : nobodys_key, req->signature, octets);
    *out = known && given && !err;
    return err == LJS_E_SEAL ? LJS_OK : err;
}
