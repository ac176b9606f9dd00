#include "keys/lot.h"

#include "base/pack.h"
#include "base/secret.h"
#include "base/text.h"
#include "keys/masters.h"

#include <stdlib.h>
#include <string.h>

enum { SCHEMA = 1, FIELDS = 3, SEALED_MAX = 256, KEY_LEN = 16, TAG_LEN = 16 };

/* What is in the list never changes. */
struct lot {
    const struct lot *next;
    char label[LJS_LABEL_MAX];
    size_t len;
    uint8_t sealed[SEALED_MAX];
};

struct value {
    char label[LJS_LABEL_MAX];
    const uint8_t *sealed;
    size_t len;
};

/* Bound to its label, and to being a lot's. */
struct owner {
    uint8_t at[4 + LJS_LABEL_MAX];
    size_t len;
};

static const enum key_id work[] = { KEY_WORK };
static const enum key_role lot_role[] = { ROLE_LOT };

static struct owner owner_of(const char *label)
{
    struct owner o = { .at = "lot", .len = 4 + strlen(label) };

    memcpy(o.at + 4, label, strlen(label));
    return o;
}

static bool label_ok(const char *label)
{
    return label[0] && ljs__text_ok(label, LJS_LABEL_MAX);
}

static ljs_err read_value(struct value *out, const ljs_vault *vault, const uint8_t *in, size_t in_len)
{
    struct unpack u = { .rd = { in, in_len > TAG_LEN ? in_len - TAG_LEN : 0, false } };
    ljs_err err = ljs__vault_check(vault, TAG_LOT, in, in_len);
    unsigned fields = ljs__unpack_array(&u), schema = (unsigned)ljs__unpack_uint(&u, 0xffff);

    memset(out, 0, sizeof *out);
    if (schema > SCHEMA && !u.rd.bad)
        return LJS_E_VERSION;
    ljs__unpack_text(&u, out->label, sizeof out->label);
    out->sealed = ljs__unpack_bin(&u, &out->len, SEALED_MAX);
    return err ? err : rd_done(&u.rd) && fields == FIELDS && label_ok(out->label) ? LJS_OK : LJS_E_SEAL;
}

/* What the ring has in KEY_WORK, as the lot's key. */
static ljs_err write_value(ljs_buf *out, const ljs_vault *vault, struct ring *ring, const char *label)
{
    struct owner ad = owner_of(label);
    struct wr sealed = { 0 }, w = { 0 };
    ljs_err err = ljs__vault_seal(&sealed, vault, ring, work, lot_role, 1, ad.at, ad.len);

    *out = (ljs_buf){ NULL, 0 };
    ljs__pack_array(&w, FIELDS);
    ljs__pack_uint(&w, SCHEMA);
    ljs__pack_text(&w, label);
    ljs__pack_bin(&w, sealed.data, sealed.len);
    if (!err && sealed.bad)
        err = LJS_E_NOMEM;
    if (!err)
        err = ljs__vault_take(out, &w, vault, TAG_LOT);
    ljs__wr_drop(&sealed);
    ljs__wr_drop(&w);
    return err;
}

static ljs_err open_value(struct ring *ring, const ljs_vault *vault, const char *label, const uint8_t *in,
                          size_t in_len)
{
    struct owner ad = owner_of(label);

    return ljs__vault_open(vault, ring, work, lot_role, 1, ad.at, ad.len, in, in_len);
}

/* ---- values ----------------------------------------------------------------- */

ljs_err ljs_lot_make(ljs_buf *out, ljs_vault *vault, const char *label, const ljs_key *key)
{
    struct ring *ring = NULL;
    ljs_err err;

    *out = (ljs_buf){ NULL, 0 };
    if (!label || !label_ok(label) || ljs_key_len(key) != KEY_LEN)
        return LJS_E_INVAL;
    if ((err = ljs__ring_take(&ring)))
        return err;
    err = ljs__ring_load(ring, KEY_WORK, key);
    if (!err)
        err = write_value(out, vault, ring, label);
    ljs__ring_give(ring);
    return err;
}

ljs_err ljs__lot_generate(ljs_buf *out, uint8_t print[LOT_PRINT_LEN], ljs_envelope *envelope, ljs_vault *vault,
                          struct ring *ring, const char *label, const char *kek_label)
{
    ljs_err err = ljs__vault_make_key(vault, ring, KEY_WORK);

    *out = (ljs_buf){ NULL, 0 };
    memset(envelope, 0, sizeof *envelope);
    if (!err)
        err = ljs__vault_fingerprint(print, vault, ring, work, lot_role, 1);
    if (!err)
        err = ljs__ring_envelopes(&envelope, ring, work, 1, KEY_WORK2, kek_label);
    return err ? err : write_value(out, vault, ring, label);
}

ljs_err ljs__lot_label(char label[LJS_LABEL_MAX], const ljs_vault *vault, const uint8_t *in, size_t in_len)
{
    struct value v;
    ljs_err err = read_value(&v, vault, in, in_len);

    memcpy(label, v.label, sizeof v.label);
    return err;
}

/* ---- by what a key is known again --------------------------------------------- */

ljs_err ljs__lot_print(uint8_t out[LOT_PRINT_LEN], const ljs_vault *vault, const ljs_key *key)
{
    struct ring *ring = NULL;
    ljs_err err = ljs_key_len(key) == KEY_LEN ? ljs__ring_take(&ring) : LJS_E_INVAL;

    memset(out, 0, LOT_PRINT_LEN);
    if (!err)
        err = ljs__ring_load(ring, KEY_WORK, key);
    if (!err)
        err = ljs__vault_fingerprint(out, vault, ring, work, lot_role, 1);
    ljs__ring_give(ring);
    return err;
}

ljs_err ljs__lot_print_of(uint8_t out[LOT_PRINT_LEN], const ljs_vault *vault, const uint8_t *in, size_t in_len)
{
    struct ring *ring = NULL;
    struct value v;
    ljs_err err = read_value(&v, vault, in, in_len);

    memset(out, 0, LOT_PRINT_LEN);
    if (!err)
        err = ljs__ring_take(&ring);
    if (!err)
        err = open_value(ring, vault, v.label, v.sealed, v.len);
    if (!err)
        err = ljs__vault_fingerprint(out, vault, ring, work, lot_role, 1);
    ljs__ring_give(ring);
    return err;
}

ljs_err ljs__lot_print_write(ljs_buf *out, const ljs_vault *vault, const char *label,
                             const uint8_t print[LOT_PRINT_LEN])
{
    struct wr w = { 0 };

    ljs__pack_array(&w, FIELDS);
    ljs__pack_uint(&w, SCHEMA);
    ljs__pack_text(&w, label);
    ljs__pack_bin(&w, print, LOT_PRINT_LEN);
    return ljs__vault_take(out, &w, vault, TAG_LOT_PRINT);
}

ljs_err ljs__lot_print_read(uint8_t out[LOT_PRINT_LEN], const ljs_vault *vault, const char *label, const uint8_t *in,
                            size_t in_len)
{
    struct unpack u = { .rd = { in, in_len > TAG_LEN ? in_len - TAG_LEN : 0, false } };
    ljs_err err = ljs__vault_check(vault, TAG_LOT_PRINT, in, in_len);
    char whose[LJS_LABEL_MAX] = "";
    unsigned fields;

    memset(out, 0, LOT_PRINT_LEN);
    if (err)
        return err;
    fields = ljs__unpack_array(&u);
    if (ljs__unpack_uint(&u, 0xffff) > SCHEMA)
        return LJS_E_VERSION;
    ljs__unpack_text(&u, whose, sizeof whose);
    ljs__unpack_fixed(&u, out, LOT_PRINT_LEN);
    return rd_done(&u.rd) && fields == FIELDS && !strcmp(whose, label) ? LJS_OK : LJS_E_SEAL;
}

ljs_err ljs_lot_rewrap(ljs_buf *out, ljs_vault *vault, const uint8_t *in, size_t in_len)
{
    struct ring *ring = NULL;
    struct value v;
    bool now = false;
    ljs_err err = read_value(&v, vault, in, in_len);

    *out = (ljs_buf){ NULL, 0 };
    if (!err)
        err = ljs__vault_tagged(&now, vault, TAG_LOT, in, in_len);
    if (!err)
        err = ljs__ring_take(&ring);
    if (!err) /* also where nothing is to be done: success says that it is whole */
        err = open_value(ring, vault, v.label, v.sealed, v.len);
    if (!err && !(now && ljs__vault_sealed_now(vault, v.sealed, v.len)))
        err = write_value(out, vault, ring, v.label);
    ljs__ring_give(ring);
    return err;
}

/* ---- what a vault knows ------------------------------------------------------ */

static const struct lot *find(const ljs_vault *vault, const char *label)
{
    const struct lot *lot = atomic_load_explicit(&vault->lots, memory_order_acquire);

    while (lot && strcmp(lot->label, label) != 0)
        lot = lot->next;
    return lot;
}

ljs_err ljs_vault_add_lot(ljs_vault *vault, const uint8_t *in, size_t in_len)
{
    const struct lot *had;
    struct lot *lot;
    struct value v;
    ljs_err err = read_value(&v, vault, in, in_len);

    if (err)
        return err;
    if (!(lot = calloc(1, sizeof *lot)))
        return LJS_E_NOMEM;
    memcpy(lot->label, v.label, sizeof lot->label);
    memcpy(lot->sealed, v.sealed, v.len);
    lot->len = v.len;
    pthread_mutex_lock(&vault->lock);
    had = find(vault, v.label);
    if (!had || had->len != lot->len || memcmp(had->sealed, lot->sealed, lot->len) != 0) {
        lot->next = atomic_load_explicit(&vault->lots, memory_order_relaxed);
        atomic_store_explicit(&vault->lots, lot, memory_order_release);
        lot = NULL;
    }
    pthread_mutex_unlock(&vault->lock);
    free(lot);
    return LJS_OK;
}

void ljs__lots_free(ljs_vault *vault)
{
    const struct lot *lot = atomic_load(&vault->lots), *next;

    for (; lot; lot = next) {
        next = lot->next;
        free((void *)(uintptr_t)lot);
    }
}

static const struct {
    enum key_role role;
    ljs_key_name name;
} names[] = {
    { ROLE_NWK, LJS_KEY_LOT_NWK },
    { ROLE_APP, LJS_KEY_LOT_APP },
    { ROLE_GEN_APP, LJS_KEY_LOT_GEN_APP },
    { ROLE_REKEY, LJS_KEY_LOT_REKEY },
};

static ljs_err derive(struct ring *ring, enum key_id to, enum key_role role, ljs_eui dev_eui)
{
    ljs_derivation what = { .scheme = LJS_SCHEME_1_1, .dev_eui = dev_eui };

    for (size_t i = 0; i < COUNT(names); i++)
        if (names[i].role == role) {
            what.name = names[i].name;
            return ljs__derive(ring, to, KEY_WORK, &what);
        }
    return LJS_E_INVAL;
}

ljs_err ljs__lot_keys(struct ring *ring, const ljs_vault *vault, const char *label, const enum key_id *ids,
                      const enum key_role *roles, size_t n, ljs_eui dev_eui)
{
    const struct lot *lot = find(vault, label);
    ljs_err err = lot ? open_value(ring, vault, label, lot->sealed, lot->len) : LJS_E_LOT;

    for (size_t i = 0; i < n; i++)
        ljs__ring_drop(ring, ids[i]);
    /* Of a master key that is gone, or a storage key that was destroyed, whose handle is no more: there may be a newer
     * value. */
    if (err == LJS_E_SEAL || (err == LJS_E_TOKEN && lot && !ljs__vault_sealed_now(vault, lot->sealed, lot->len)))
        err = LJS_E_LOT;
    for (size_t i = 0; i < n && !err; i++)
        err = derive(ring, ids[i], roles[i], dev_eui);
    for (size_t i = 0; i < n && err; i++)
        ljs__ring_drop(ring, ids[i]);
    ljs__ring_drop(ring, KEY_WORK);
    return err;
}
