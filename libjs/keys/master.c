#include <lorajs/master.h>

#include "base/cursor.h"
#include "keys/ring_inside.h"

/* "ljsM" | format | memory, KiB (4, LE) | passes (4, LE) | salt | the key, sealed, with all of
 * that as associated data | BLAKE2b-128 of all before it.  The last, without a key, tells an
 * accident from a wrong passphrase; the seal tells everything else. */
enum {
    FORMAT = 1,
    SALT_LEN = 16,
    CHECK_LEN = 16,
    HEAD_LEN = 4 + 1 + 4 + 4 + SALT_LEN,
    BODY_LEN = LJS_MASTER_LEN + LJS__SEAL_EXTRA,
    WHOLE_LEN = HEAD_LEN + BODY_LEN + CHECK_LEN,
    STACK_BELOW = 8192, /* Argon2 and BLAKE2b leave the passphrase there */
};
static const uint8_t magic[4] = { 'l', 'j', 's', 'M' };

static bool are_costs(uint64_t memory, uint64_t passes)
{
    return memory >= LJS_STRETCH_MEMORY_MIN && memory <= LJS_STRETCH_MEMORY_MAX && passes >= 1 &&
           passes <= LJS_STRETCH_PASSES_MAX;
}

/* The key that the passphrase makes, in guarded memory as every other. */
static ljs_err stretch(ljs_key **out, const uint8_t salt[SALT_LEN], uint32_t memory, uint32_t passes, const uint8_t *in,
                       size_t in_len)
{
    ljs_err err = ljs__key_new(out);

    if (!err)
        err = ljs__stretch((*out)->octets, salt, memory, passes, in, in_len);
    ljs__wipe_stack(STACK_BELOW);
    if (err) {
        ljs_key_free(*out);
        *out = NULL;
    }
    return err;
}

ljs_err ljs_master_seal(ljs_buf *out, const ljs_key *key, uint32_t memory, uint32_t passes, const uint8_t *in,
                        size_t in_len)
{
    struct wr w = { 0 };
    uint8_t salt[SALT_LEN], sealed[BODY_LEN], check[CHECK_LEN];
    ljs_key *under = NULL;
    ljs_err err;

    *out = (ljs_buf){ NULL, 0 };
    memory = memory ? memory : LJS_STRETCH_MEMORY;
    passes = passes ? passes : LJS_STRETCH_PASSES;
    if (key->process != ljs__process())
        return LJS_E_STATE;
    if (key->len != LJS_MASTER_LEN || !are_costs(memory, passes) || in_len > LJS_PASSPHRASE_MAX)
        return LJS_E_INVAL;
    if (in_len < LJS_PASSPHRASE_MIN)
        return LJS_E_WEAK;
    ljs__random(salt, sizeof salt);
    if ((err = stretch(&under, salt, memory, passes, in, in_len)))
        return err;
    ljs__wr(&w, magic, sizeof magic);
    ljs__wr_le(&w, FORMAT, 1);
    ljs__wr_le(&w, memory, 4);
    ljs__wr_le(&w, passes, 4);
    ljs__wr(&w, salt, sizeof salt);
    if (!w.bad) {
        ljs__seal(sealed, under->octets, w.data, w.len, key->octets, LJS_MASTER_LEN);
        ljs__wr(&w, sealed, sizeof sealed);
    }
    if (!w.bad) {
        ljs__hash(check, w.data, w.len);
        ljs__wr(&w, check, sizeof check);
    }
    ljs__wipe_stack(STACK_BELOW);
    ljs_key_free(under);
    return ljs__wr_take(out, &w);
}

/* Is it whole, whatever the passphrase? */
static ljs_err read_head(uint8_t salt[SALT_LEN], uint32_t *memory, uint32_t *passes, const uint8_t *record,
                         size_t record_len)
{
    struct rd r = { record, record_len, false };
    const uint8_t *begin = rd_bytes(&r, sizeof magic);
    uint64_t format = rd_le(&r, 1);
    uint8_t check[CHECK_LEN];

    if (r.bad || memcmp(begin, magic, sizeof magic) != 0)
        return LJS_E_INVAL;
    if (record_len != WHOLE_LEN)
        return format > FORMAT ? LJS_E_VERSION : LJS_E_INVAL;
    ljs__hash(check, record, WHOLE_LEN - CHECK_LEN);
    if (memcmp(check, record + WHOLE_LEN - CHECK_LEN, CHECK_LEN) != 0) /* no secret: everybody can compute it */
        return LJS_E_INVAL;
    if (format != FORMAT)
        return format > FORMAT ? LJS_E_VERSION : LJS_E_INVAL;
    *memory = (uint32_t)rd_le(&r, 4);
    *passes = (uint32_t)rd_le(&r, 4);
    rd_copy(&r, salt, SALT_LEN);
    return are_costs(*memory, *passes) ? LJS_OK : LJS_E_INVAL;
}

ljs_err ljs_master_open(ljs_key **out, const uint8_t *in, size_t in_len, const uint8_t *record, size_t record_len)
{
    uint8_t salt[SALT_LEN];
    uint32_t memory, passes;
    ljs_key *under = NULL, *key = NULL;
    ljs_err err = read_head(salt, &memory, &passes, record, record_len);

    *out = NULL;
    if (err)
        return err;
    if (in_len > LJS_PASSPHRASE_MAX)
        return LJS_E_SEAL; /* it sealed nothing */
    if ((err = stretch(&under, salt, memory, passes, in, in_len)) || (err = ljs__key_new(&key)))
        goto out;
    if ((err = ljs__open(key->octets, under->octets, record, HEAD_LEN, record + HEAD_LEN, BODY_LEN)))
        goto out;
    key->len = LJS_MASTER_LEN;
    *out = key;
    key = NULL;
out:
    ljs__wipe_stack(STACK_BELOW);
    ljs_key_free(under);
    ljs_key_free(key);
    return err;
}
