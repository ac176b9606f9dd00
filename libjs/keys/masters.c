#include "keys/masters.h"

#include "base/secret.h"
#include "keys/lot.h"
#include "keys/ring_inside.h"
#include "keys/vault_token.h"

#include <stdlib.h>

enum {
    PACK_FORMAT = 1,
    STACK_BELOW = 4096, /* as in vault.c */
    MASTER_OCTETS = 2 + 32 + 32 + 32 + (FIRST_DOMAINS - 1) * 32,
    FIRST_OCTETS = 32 + 32,
    PLAIN_MAX = FIRST_OCTETS + LJS_MASTERS_MAX * MASTER_OCTETS,
    BOUND_LEN = 1 + 1 + 2, /* format | how many | number */
};

/* What an older vault carried is carried on: these never change. */
_Static_assert(FIRST_DOMAINS == 8 && MASTER_OCTETS == 322, "what a pack holds of a version");

static void more_tags(struct master *m)
{
    for (unsigned domain = FIRST_DOMAINS; domain < TAG_DOMAINS; domain++)
        ljs__subkey(m->tag[domain], m->more, domain, "ljs.tags");
}

void ljs__master_of(struct master *out, uint16_t number, const uint8_t *in)
{
    memset(out, 0, sizeof *out);
    out->number = number;
    ljs__subkey(out->seal, in, 1, "ljs.seal");
    ljs__subkey(out->carry, in, 1, "ljs.next");
    ljs__subkey(out->more, in, 1, "ljs.more");
    for (unsigned domain = TAG_DEVICE; domain < FIRST_DOMAINS; domain++)
        ljs__subkey(out->tag[domain], in, domain, "ljs.tags");
    more_tags(out);
}

static struct masters *new_set(void)
{
    return ljs__secret_alloc((sizeof(struct masters) + 15) / 16 * 16);
}

/* ---- vaults ----------------------------------------------------------------- */

static ljs_err new_vault(ljs_vault **out, struct masters *set)
{
    ljs_vault *vault = calloc(1, sizeof *vault);

    if (!(*out = vault)) {
        ljs__secret_free(set);
        return LJS_E_NOMEM;
    }
    vault->process = ljs__process();
    pthread_mutex_init(&vault->lock, NULL);
    atomic_init(&vault->now, set);
    atomic_init(&vault->lots, NULL);
    return LJS_OK;
}

ljs_err ljs_vault_new(ljs_vault **out, const uint8_t *in, size_t in_len)
{
    struct masters *set;
    ljs_err err = ljs__init();

    *out = NULL;
    if (err)
        return err;
    if (in_len != LJS_MASTER_LEN)
        return LJS_E_INVAL;
    if (!(set = new_set()))
        return LJS_E_NOMEM;
    set->n = 1;
    ljs__master_of(&set->at[0], 1, in);
    ljs__subkey(set->fingerprint, in, 1, "ljs.same");
    memcpy(set->audit, set->at[0].tag[TAG_AUDIT], sizeof set->audit);
    ljs__wipe_stack(STACK_BELOW);
    return new_vault(out, set);
}

ljs_err ljs_vault_from_key(ljs_vault **out, const ljs_key *key)
{
    *out = NULL;
    return key->process == ljs__process() ? ljs_vault_new(out, key->octets, key->len) : LJS_E_STATE;
}

ljs_err ljs__vault_copy(ljs_vault **out, const ljs_vault *vault)
{
    struct masters *set;
    ljs_err err = ljs__vault_alive(vault);

    *out = NULL;
    if (err)
        return err;
    if (!(set = new_set()))
        return LJS_E_NOMEM;
    *set = *masters_of(vault);
    set->before = NULL;
    err = new_vault(out, set);
    if (!err)
        (*out)->token = ljs__token_share(vault->token);
    return err;
}

ljs_err ljs__vault_of_token(ljs_vault **out, struct token *token, const uint8_t secret[32])
{
    ljs_err err = ljs_vault_new(out, secret, LJS_MASTER_LEN);

    if (!err)
        (*out)->token = token;
    return err;
}

void ljs_vault_free(ljs_vault *vault)
{
    struct masters *set, *before;

    if (!vault)
        return;
    for (set = atomic_load(&vault->now); set; set = before) {
        before = set->before;
        ljs__secret_free(set);
    }
    ljs__lots_free(vault);
    ljs__token_close(vault->token);
    pthread_mutex_destroy(&vault->lock);
    free(vault);
}

unsigned ljs_vault_version(const ljs_vault *vault)
{
    return ljs__vault_alive(vault) ? 0 : masters_of(vault)->at[0].number;
}

unsigned ljs_vault_versions(const ljs_vault *vault)
{
    return ljs__vault_alive(vault) ? 0 : masters_of(vault)->n;
}

/* ---- changes ---------------------------------------------------------------- */

/* Under the lock. */
static void put(ljs_vault *vault, struct masters *set)
{
    set->before = atomic_load_explicit(&vault->now, memory_order_relaxed);
    atomic_store_explicit(&vault->now, set, memory_order_release);
}

static bool has(const struct masters *set, const struct master *m)
{
    for (unsigned i = 0; i < set->n; i++)
        if (ljs__equal(set->at[i].seal, m->seal, sizeof m->seal))
            return true;
    return false;
}

ljs_err ljs_vault_add(ljs_vault *vault, const ljs_key *key)
{
    const struct masters *now;
    struct masters *set;
    ljs_err err = ljs__vault_alive(vault);

    if (err || (err = key->process == ljs__process() ? LJS_OK : LJS_E_STATE))
        return err;
    if (key->len != LJS_MASTER_LEN)
        return LJS_E_INVAL;
    if (vault->token) /* its master key is the token's */
        return LJS_E_STATE;
    if (!(set = new_set()))
        return LJS_E_NOMEM;
    pthread_mutex_lock(&vault->lock);
    now = masters_of(vault);
    ljs__master_of(&set->at[0], (uint16_t)(now->at[0].number + 1), key->octets);
    ljs__wipe_stack(STACK_BELOW);
    if (has(now, &set->at[0])) {
        err = LJS_E_EXISTS;
    } else if (now->n == LJS_MASTERS_MAX) {
        err = LJS_E_STATE;
    } else if (now->at[0].number == 0xffff) {
        err = LJS_E_SPENT;
    } else {
        memcpy(set->at + 1, now->at, now->n * sizeof *now->at);
        memcpy(set->fingerprint, now->fingerprint, sizeof set->fingerprint);
        memcpy(set->audit, now->audit, sizeof set->audit);
        set->n = now->n + 1;
        put(vault, set);
        set = NULL;
    }
    pthread_mutex_unlock(&vault->lock);
    ljs__secret_free(set);
    return err;
}

ljs_err ljs_vault_retire(ljs_vault *vault)
{
    struct masters *set;
    ljs_err err = ljs__vault_alive(vault);

    if (err)
        return err;
    if (!(set = new_set()))
        return LJS_E_NOMEM;
    pthread_mutex_lock(&vault->lock);
    *set = *masters_of(vault);
    if (set->n > 1) {
        ljs__wipe(set->at + 1, sizeof set->at - sizeof *set->at);
        set->n = 1;
        put(vault, set);
        set = NULL;
    }
    pthread_mutex_unlock(&vault->lock);
    ljs__secret_free(set);
    return LJS_OK;
}

/* ---- packs ------------------------------------------------------------------ */

/* A pack: format | how many | for each of them: number (2, LE) | all of them, sealed for whoever has this
 * one.  What is sealed: the keys of fingerprints and of the audit log | for each, newest first: number | subkeys. */

static void bind(uint8_t ad[BOUND_LEN], unsigned n, unsigned number)
{
    ad[0] = PACK_FORMAT;
    ad[1] = (uint8_t)n;
    ad[2] = (uint8_t)number;
    ad[3] = (uint8_t)(number >> 8);
}

static size_t write_plain(uint8_t *out, const struct masters *set)
{
    uint8_t *at = out;

    memcpy(at, set->fingerprint, 32);
    memcpy(at + 32, set->audit, 32);
    at += FIRST_OCTETS;
    for (unsigned i = 0; i < set->n; i++) {
        const struct master *m = &set->at[i];

        *at++ = (uint8_t)m->number;
        *at++ = (uint8_t)(m->number >> 8);
        memcpy(at, m->seal, 32);
        memcpy(at + 32, m->carry, 32);
        memcpy(at + 64, m->more, 32);
        memcpy(at + 96, m->tag[1], (FIRST_DOMAINS - 1) * (size_t)32);
        at += MASTER_OCTETS - 2;
    }
    return (size_t)(at - out);
}

static bool read_plain(struct masters *out, const uint8_t *in, size_t in_len, unsigned n)
{
    struct rd r = { in, in_len, false };

    rd_copy(&r, out->fingerprint, 32);
    rd_copy(&r, out->audit, 32);
    for (out->n = 0; out->n < n; out->n++) {
        struct master *m = &out->at[out->n];

        m->number = (uint16_t)rd_le(&r, 2);
        ljs__public(&m->number, sizeof m->number);
        rd_copy(&r, m->seal, 32);
        rd_copy(&r, m->carry, 32);
        rd_copy(&r, m->more, 32);
        rd_copy(&r, m->tag[1], (FIRST_DOMAINS - 1) * (size_t)32);
        more_tags(m);
        r.bad |= !m->number || (out->n && m->number >= out->at[out->n - 1].number);
    }
    return rd_done(&r);
}

ljs_err ljs_vault_pack(ljs_buf *out, const ljs_vault *vault)
{
    const struct masters *set;
    struct wr w = { 0 };
    uint8_t *plain, *at, ad[BOUND_LEN];
    size_t len;
    ljs_err err = ljs__vault_alive(vault);

    *out = (ljs_buf){ NULL, 0 };
    if (err)
        return err;
    if (!(plain = ljs__secret_alloc((PLAIN_MAX + 15) / 16 * 16)))
        return LJS_E_NOMEM;
    set = masters_of(vault);
    len = write_plain(plain, set);
    ljs__wr_le(&w, PACK_FORMAT, 1);
    ljs__wr_le(&w, set->n, 1);
    for (unsigned i = 0; i < set->n; i++) {
        ljs__wr_le(&w, set->at[i].number, 2);
        bind(ad, set->n, set->at[i].number);
        if ((at = wr_add(&w, len + LJS__SEAL_EXTRA)))
            ljs__seal(at, set->at[i].carry, ad, sizeof ad, plain, len);
    }
    ljs__wipe_stack(STACK_BELOW);
    ljs__secret_free(plain);
    return ljs__wr_take(out, &w);
}

/* Does one of the versions that we have open one of the boxes? */
static bool open_one(struct masters *out, const struct masters *set, struct rd *r, unsigned n)
{
    const size_t len = FIRST_OCTETS + (size_t)n * MASTER_OCTETS;
    uint8_t *plain = ljs__secret_alloc((PLAIN_MAX + 15) / 16 * 16), ad[BOUND_LEN];
    bool good = false;

    for (unsigned i = 0; plain && i < n; i++) {
        unsigned number = (unsigned)rd_le(r, 2);
        const uint8_t *sealed = rd_bytes(r, len + LJS__SEAL_EXTRA);

        bind(ad, n, number);
        for (unsigned k = 0; sealed && !good && k < set->n; k++)
            good = !ljs__open(plain, set->at[k].carry, ad, sizeof ad, sealed, len + LJS__SEAL_EXTRA) &&
                   read_plain(out, plain, len, n);
    }
    ljs__wipe_stack(STACK_BELOW);
    ljs__secret_free(plain);
    return good && rd_done(r);
}

static bool same(const struct masters *a, const struct masters *b)
{
    return a->n == b->n && ljs__equal(a->fingerprint, b->fingerprint, sizeof a->fingerprint) &&
           ljs__equal(a->audit, b->audit, sizeof a->audit) && ljs__equal(a->at, b->at, a->n * sizeof *a->at);
}

ljs_err ljs_vault_unpack(ljs_vault *vault, const uint8_t *in, size_t in_len)
{
    struct rd r = { in, in_len, false };
    unsigned format = (unsigned)rd_le(&r, 1), n = (unsigned)rd_le(&r, 1);
    struct masters *set;
    ljs_err err = ljs__vault_alive(vault);

    if (err)
        return err;
    if (r.bad || !format || !n || n > LJS_MASTERS_MAX)
        return LJS_E_SEAL;
    if (format > PACK_FORMAT)
        return LJS_E_VERSION;
    if (!(set = new_set()))
        return LJS_E_NOMEM;
    pthread_mutex_lock(&vault->lock);
    if (!open_one(set, masters_of(vault), &r, n)) {
        err = LJS_E_SEAL;
    } else if (!same(set, masters_of(vault))) {
        put(vault, set);
        set = NULL;
    }
    pthread_mutex_unlock(&vault->lock);
    ljs__secret_free(set);
    return err;
}
