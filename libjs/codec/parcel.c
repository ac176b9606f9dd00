#include "codec/parcel.h"

#include <lorajs/master.h>

#include "base/cursor.h"
#include "device/carry.h"
#include "keys/pair.h"

#include <stdlib.h>

/* The head is in clear:
 *   "ljsX" | format | recipient (32) | sender (32) | time (8, LE) | the parcel's master key, sealed
 * Then pieces, each
 *   kind | length (4, LE) | octets, sealed
 * Associated data of a piece is a digest of the head, its number and its kind, so that none can
 * be moved, left out, or be sent on under another head.  The last piece is of kind END, and
 * holds the number of devices; behind it is the signature, Ed25519ph of all before it. */
enum {
    FORMAT = 1,
    KEY_LEN = 32,
    HEAD_LEN = 4 + 1 + KEY_LEN + KEY_LEN + 8 + LJS__BOX_LEN,
    INTRO_LEN = 1 + 4,
    SIGNATURE_LEN = 64,
    DIGEST_LEN = 16,
    AD_LEN = DIGEST_LEN + 8 + 1,
    RECORD_MAX = 64 * 1024, /* four sets of DevNonces as bit maps, and what else a record may have */
    KIND_DEVICE = 'd',
    KIND_END = 'e',
};
static const uint8_t magic[4] = { 'l', 'j', 's', 'X' };

_Static_assert(RECORD_MAX + LJS__SEAL_EXTRA <= LJS_PARCEL_PIECE_MAX, "a piece is a record, sealed");

/* What may come next, on either side. */
enum at { AT_HEAD, AT_INTRO, AT_PIECE, AT_SIGNATURE, AT_END, AT_FAULT };

struct ljs_parcel {
    enum at at;
    bool packing, verified;
    ljs_key *signer;        /* of who packs */
    ljs_key *recipient;     /* of who opens */
    uint8_t peer[KEY_LEN];  /* the public key of the other end */
    uint8_t mine[KEY_LEN];  /* and of this one */
    uint8_t head[HEAD_LEN]; /* once it is known */
    uint8_t digest[DIGEST_LEN];
    int64_t time;
    ljs_key *seal;  /* of the pieces */
    ljs_vault *way; /* of the records in them */
    struct signing *signing;
    uint64_t pieces;
    uint8_t kind; /* of the piece under way */
    size_t len;
    ljs_buf device; /* the record fed last, under `way` */
    struct held {
        ljs_eui dev_eui;
        ljs_buf record; /* likewise */
    } held[LJS_PARCEL_HELD_MAX];
    size_t held_len;
};

static ljs_err copy_key(ljs_key **out, const ljs_key *key)
{
    ljs_buf octets;
    ljs_err err = ljs_key_export(&octets, key);

    *out = NULL;
    if (!err)
        err = octets.len == KEY_LEN ? ljs_key_import(out, octets.data, octets.len) : LJS_E_INVAL;
    ljs_buf_free(&octets);
    return err;
}

static ljs_err parcel_new(ljs_parcel **out, const uint8_t *in, size_t in_len)
{
    ljs_parcel *parcel;
    ljs_err err = ljs__init();

    *out = NULL;
    if (err)
        return err;
    if (in_len != KEY_LEN || !in)
        return LJS_E_INVAL;
    if (!(parcel = calloc(1, sizeof *parcel)))
        return LJS_E_NOMEM;
    if (!(parcel->signing = ljs__signing_new())) {
        free(parcel);
        return LJS_E_NOMEM;
    }
    memcpy(parcel->peer, in, KEY_LEN);
    *out = parcel;
    return LJS_OK;
}

void ljs_parcel_free(ljs_parcel *parcel)
{
    if (!parcel)
        return;
    ljs_key_free(parcel->signer);
    ljs_key_free(parcel->recipient);
    ljs_key_free(parcel->seal);
    ljs_vault_free(parcel->way);
    ljs__signing_free(parcel->signing);
    ljs_buf_free(&parcel->device);
    ljs__parcel_let_go(parcel);
    ljs__wipe(parcel, sizeof *parcel);
    free(parcel);
}

/* The parcel's master key gives what seals the pieces and what seals the records in them. */
static ljs_err use_master(ljs_parcel *parcel, const ljs_key *master)
{
    ljs_key *way = NULL;
    ljs_err err = ljs__key_subkey(&parcel->seal, master, "ljsparcl");

    if (!err)
        err = ljs__key_subkey(&way, master, "ljsprway");
    if (!err)
        err = ljs_vault_from_key(&parcel->way, way);
    ljs_key_free(way);
    ljs__hash(parcel->digest, parcel->head, HEAD_LEN);
    return err;
}

static void bind(uint8_t ad[AD_LEN], const ljs_parcel *parcel, uint8_t kind)
{
    memcpy(ad, parcel->digest, DIGEST_LEN);
    for (unsigned i = 0; i < 8; i++)
        ad[DIGEST_LEN + i] = (uint8_t)(parcel->pieces >> 8 * i);
    ad[DIGEST_LEN + 8] = kind;
}

/* ---- packing ---------------------------------------------------------------- */

static ljs_err write_head(ljs_parcel *parcel, int64_t now)
{
    struct wr w = { 0 };
    uint8_t box[LJS__BOX_LEN];
    ljs_key *master = NULL;
    ljs_err err = ljs_key_generate(&master, KEY_LEN);

    if (!err)
        err = ljs__pair_seal(box, parcel->peer, master);
    if (err)
        goto out;
    ljs__wr(&w, magic, sizeof magic);
    ljs__wr_le(&w, FORMAT, 1);
    ljs__wr(&w, parcel->peer, KEY_LEN);
    ljs__wr(&w, parcel->mine, KEY_LEN);
    ljs__wr_le(&w, (uint64_t)now, 8);
    ljs__wr(&w, box, sizeof box);
    if (w.bad) {
        err = LJS_E_NOMEM;
        goto out;
    }
    memcpy(parcel->head, w.data, HEAD_LEN);
    parcel->time = now;
    err = use_master(parcel, master);
out:
    ljs__wr_drop(&w);
    ljs_key_free(master);
    return err;
}

ljs_err ljs_parcel_pack(ljs_parcel **out, const ljs_key *signer, int64_t now, const uint8_t *in, size_t in_len)
{
    ljs_parcel *parcel;
    ljs_err err = parcel_new(&parcel, in, in_len);

    *out = NULL;
    if (err)
        return err;
    parcel->packing = true;
    if (!(err = copy_key(&parcel->signer, signer)) && !(err = ljs_ed25519_public(parcel->mine, signer)))
        err = write_head(parcel, now);
    if (err) {
        ljs_parcel_free(parcel);
        return err;
    }
    *out = parcel;
    return LJS_OK;
}

ljs_err ljs_parcel_head(ljs_buf *out, ljs_parcel *parcel)
{
    ljs_err err;

    *out = (ljs_buf){ NULL, 0 };
    if (!parcel->packing || parcel->at != AT_HEAD)
        return LJS_E_STATE;
    if ((err = ljs_buf_copy(out, parcel->head, HEAD_LEN)))
        return err;
    ljs__signing_add(parcel->signing, parcel->head, HEAD_LEN);
    parcel->at = AT_INTRO;
    return LJS_OK;
}

static void write_piece(struct wr *w, ljs_parcel *parcel, uint8_t kind, const uint8_t *in, size_t in_len)
{
    uint8_t ad[AD_LEN], *sealed = malloc(in_len + LJS__SEAL_EXTRA);

    if (!sealed) {
        w->bad = true;
        return;
    }
    bind(ad, parcel, kind);
    ljs__key_seal(sealed, parcel->seal, ad, sizeof ad, in, in_len);
    ljs__wr_le(w, kind, 1);
    ljs__wr_le(w, in_len + LJS__SEAL_EXTRA, 4);
    ljs__wr(w, sealed, in_len + LJS__SEAL_EXTRA);
    free(sealed);
    if (w->bad)
        return;
    ljs__signing_add(parcel->signing, w->data, w->len);
    parcel->pieces++;
}

ljs_err ljs_parcel_put(ljs_buf *out, ljs_parcel *parcel, ljs_vault *vault, const uint8_t *record, size_t record_len)
{
    struct wr w = { 0 };
    ljs_buf carried;
    ljs_err err;

    *out = (ljs_buf){ NULL, 0 };
    if (!parcel->packing || parcel->at != AT_INTRO)
        return LJS_E_STATE;
    if ((err = ljs__device_carry(&carried, parcel->way, vault, record, record_len)))
        return err;
    if (carried.len > RECORD_MAX)
        err = LJS_E_INVAL;
    else
        write_piece(&w, parcel, KIND_DEVICE, carried.data, carried.len);
    ljs_buf_free(&carried);
    if (!err)
        err = ljs__wr_take(out, &w);
    if (err)
        parcel->at = AT_FAULT; /* what was signed was not given */
    return err;
}

ljs_err ljs_parcel_close(ljs_buf *out, ljs_parcel *parcel)
{
    struct wr w = { 0 };
    uint8_t count[8], signature[SIGNATURE_LEN];
    ljs_err err;

    *out = (ljs_buf){ NULL, 0 };
    if (!parcel->packing || parcel->at != AT_INTRO)
        return LJS_E_STATE;
    for (unsigned i = 0; i < sizeof count; i++)
        count[i] = (uint8_t)(parcel->pieces >> 8 * i);
    write_piece(&w, parcel, KIND_END, count, sizeof count);
    ljs__pair_sign(signature, parcel->signing, parcel->signer);
    ljs__wr(&w, signature, sizeof signature);
    err = ljs__wr_take(out, &w);
    parcel->at = err ? AT_FAULT : AT_END;
    return err;
}

/* ---- opening ---------------------------------------------------------------- */

ljs_err ljs_parcel_open(ljs_parcel **out, const ljs_key *recipient, const uint8_t *in, size_t in_len)
{
    ljs_parcel *parcel;
    ljs_err err = parcel_new(&parcel, in, in_len);

    *out = NULL;
    if (err)
        return err;
    if ((err = copy_key(&parcel->recipient, recipient)) || (err = ljs_x25519_public(parcel->mine, recipient))) {
        ljs_parcel_free(parcel);
        return err;
    }
    *out = parcel;
    return LJS_OK;
}

size_t ljs_parcel_wants(const ljs_parcel *parcel)
{
    static const size_t lens[] = { [AT_HEAD] = HEAD_LEN, [AT_INTRO] = INTRO_LEN, [AT_SIGNATURE] = SIGNATURE_LEN,
                                   [AT_END] = 0,         [AT_FAULT] = 1,         [AT_PIECE] = 0 };

    return parcel->at == AT_PIECE ? parcel->len : lens[parcel->at];
}

static ljs_err feed_head(ljs_parcel *parcel, const uint8_t *in, size_t in_len)
{
    struct rd r = { in, in_len, false };
    const uint8_t *begin = rd_bytes(&r, sizeof magic), *recipient, *sender, *box;
    uint64_t format = rd_le(&r, 1), at;
    ljs_key *master = NULL;
    ljs_err err;

    if (memcmp(begin, magic, sizeof magic) != 0)
        return LJS_E_INVAL;
    if (format != FORMAT)
        return format > FORMAT ? LJS_E_VERSION : LJS_E_INVAL;
    recipient = rd_bytes(&r, KEY_LEN);
    sender = rd_bytes(&r, KEY_LEN);
    at = rd_le(&r, 8);
    box = rd_bytes(&r, LJS__BOX_LEN);
    if (memcmp(recipient, parcel->mine, KEY_LEN) != 0) /* public, both */
        return LJS_E_RECEIVER;
    if (memcmp(sender, parcel->peer, KEY_LEN) != 0)
        return LJS_E_SENDER;
    if (parcel->verified) {
        if (memcmp(in, parcel->head, HEAD_LEN) != 0) /* another one than in the first round */
            return LJS_E_SEAL;
    } else {
        memcpy(parcel->head, in, HEAD_LEN);
        parcel->time = (int64_t)at;
        if ((err = ljs__pair_open(&master, parcel->recipient, box)))
            return err;
        err = use_master(parcel, master);
        ljs_key_free(master);
        if (err)
            return err;
    }
    parcel->at = AT_INTRO;
    return LJS_OK;
}

static ljs_err feed_intro(ljs_parcel *parcel, const uint8_t *in, size_t in_len)
{
    struct rd r = { in, in_len, false };

    parcel->kind = (uint8_t)rd_le(&r, 1);
    parcel->len = (size_t)rd_le(&r, 4);
    if ((parcel->kind != KIND_DEVICE && parcel->kind != KIND_END) || parcel->len < LJS__SEAL_EXTRA ||
        parcel->len > RECORD_MAX + LJS__SEAL_EXTRA)
        return LJS_E_SEAL;
    parcel->at = AT_PIECE;
    return LJS_OK;
}

static ljs_err feed_piece(ljs_parcel *parcel, const uint8_t *in, size_t in_len)
{
    uint8_t ad[AD_LEN], *out = malloc(in_len);
    size_t len = in_len - LJS__SEAL_EXTRA;
    uint64_t count = 0;
    ljs_err err;

    if (!out)
        return LJS_E_NOMEM;
    bind(ad, parcel, parcel->kind);
    err = ljs__key_open(out, parcel->seal, ad, sizeof ad, in, in_len);
    ljs__public(out, len); /* a record, whose keys are sealed in it, or a number */
    if (!err && parcel->kind == KIND_DEVICE)
        err = ljs_device_check(parcel->way, out, len);
    for (size_t i = 0; i < len && i < 8 && parcel->kind == KIND_END; i++)
        count |= (uint64_t)out[i] << 8 * i;
    if (!err && parcel->kind == KIND_END && (len != 8 || count != parcel->pieces))
        err = LJS_E_SEAL;
    if (err || parcel->kind == KIND_END) {
        free(out);
    } else {
        parcel->device = (ljs_buf){ out, len };
    }
    parcel->pieces++;
    parcel->at = parcel->kind == KIND_END ? AT_SIGNATURE : AT_INTRO;
    return err;
}

static ljs_err feed_signature(ljs_parcel *parcel, const uint8_t *in)
{
    if (!ljs__signing_verify(parcel->signing, in, parcel->peer))
        return LJS_E_SEAL;
    parcel->verified = true;
    parcel->at = AT_END;
    return LJS_OK;
}

ljs_err ljs_parcel_feed(ljs_parcel *parcel, const uint8_t *in, size_t in_len)
{
    enum at at = parcel->at;
    ljs_err err;

    if (parcel->packing || at == AT_END || at == AT_FAULT)
        return LJS_E_STATE;
    if (in_len != ljs_parcel_wants(parcel))
        return LJS_E_INVAL;
    ljs_buf_free(&parcel->device);
    if (at != AT_SIGNATURE)
        ljs__signing_add(parcel->signing, in, in_len);
    err = at == AT_HEAD    ? feed_head(parcel, in, in_len)
          : at == AT_INTRO ? feed_intro(parcel, in, in_len)
          : at == AT_PIECE ? feed_piece(parcel, in, in_len)
                           : feed_signature(parcel, in);
    if (err) {
        parcel->at = AT_FAULT;
        parcel->verified = false;
    }
    return err;
}

ljs_err ljs_parcel_again(ljs_parcel *parcel)
{
    if (parcel->packing || !parcel->verified)
        return LJS_E_STATE;
    ljs__parcel_let_go(parcel);
    ljs_buf_free(&parcel->device);
    ljs__signing_free(parcel->signing);
    if (!(parcel->signing = ljs__signing_new())) {
        parcel->verified = false;
        parcel->at = AT_FAULT;
        return LJS_E_NOMEM;
    }
    parcel->pieces = 0;
    parcel->at = AT_HEAD;
    return LJS_OK;
}

ljs_err ljs_parcel_device(ljs_device *out, const ljs_parcel *parcel)
{
    memset(out, 0, sizeof *out);
    return parcel->device.data ? ljs_device_read(out, parcel->device.data, parcel->device.len) : LJS_E_NOTFOUND;
}

int64_t ljs_parcel_time(const ljs_parcel *parcel)
{
    return parcel->time;
}

ljs_err ljs_parcel_land(ljs_buf *out_record, ljs_parcel *parcel, ljs_vault *vault, unsigned flags,
                        const uint8_t *record, size_t record_len)
{
    *out_record = (ljs_buf){ NULL, 0 };
    if (!parcel->verified)
        return LJS_E_STATE;
    if (!parcel->device.data)
        return LJS_E_NOTFOUND;
    return ljs__device_land(out_record, vault, parcel->way, parcel->device.data, parcel->device.len, flags, record,
                            record_len);
}

/* ---- held, to be landed together -------------------------------------------- */

ljs_err ljs_parcel_hold(ljs_parcel *parcel)
{
    ljs_device device;
    ljs_err err = parcel->verified ? ljs_parcel_device(&device, parcel) : LJS_E_STATE;

    for (size_t i = 0; !err && i < parcel->held_len; i++)
        if (parcel->held[i].dev_eui == device.dev_eui)
            err = LJS_E_EXISTS;
    if (!err && parcel->held_len == LJS_PARCEL_HELD_MAX)
        err = LJS_E_EXISTS;
    if (err)
        return err;
    parcel->held[parcel->held_len++] = (struct held){ device.dev_eui, parcel->device };
    parcel->device = (ljs_buf){ NULL, 0 };
    return LJS_OK;
}

size_t ljs__parcel_held(const ljs_parcel *parcel)
{
    return parcel->held_len;
}

ljs_eui ljs__parcel_held_eui(const ljs_parcel *parcel, size_t n)
{
    return parcel->held[n].dev_eui;
}

ljs_err ljs__parcel_land_held(ljs_buf *out_record, ljs_parcel *parcel, size_t n, ljs_vault *vault, unsigned flags,
                              const uint8_t *record, size_t record_len)
{
    const ljs_buf *held = &parcel->held[n].record;

    *out_record = (ljs_buf){ NULL, 0 };
    if (!parcel->verified) /* a fault came after them */
        return LJS_E_STATE;
    return ljs__device_land(out_record, vault, parcel->way, held->data, held->len, flags, record, record_len);
}

void ljs__parcel_let_go(ljs_parcel *parcel)
{
    while (parcel->held_len)
        ljs_buf_free(&parcel->held[--parcel->held_len].record);
}
