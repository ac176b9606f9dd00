/* token_hooks.c -- what makes a token's test of a test of keys: the linker's --wrap puts these in the place of the
 * functions that bring keys into a ring and let them out again.  Everything between the two happens in SoftHSM.
 * The test itself is compiled as it is, but for its main().
 *
 * What a test then wants to see leaves the token as it would for a peer: under a KEK, which we know. */
#include "keys/ring_inside.h"
#include "keys/vault_token.h"
#include "softhsm.h"

#include <lorajs/token.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define MUST(what)                                                                                                     \
    do {                                                                                                               \
        ljs_err must = (what);                                                                                         \
        if (must) {                                                                                                    \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #what, ljs_errname(must));                          \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static struct token *token;
static struct cryptoki *c; /* past the token's own, to see what it holds */
static token_session session;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *uri;
static bool takes_second = true;

static const uint8_t known[32] = "a KEK that this test knows, 32 o";

int test_main(void);

int main(void)
{
    enum { SKIPPED = 77 };
    static const uint8_t pin[] = SOFTHSM_PIN;
    struct token *mine;
    int failed;

    if (!(uri = softhsm_begin()))
        return SKIPPED;
    MUST(ljs_token_init(uri, LJS_TOKEN_SEALED, pin, sizeof pin - 1));
    MUST(ljs__token_open(&mine, uri, pin, sizeof pin - 1));
    MUST(ljs__cryptoki_open(&c, uri, pin, sizeof pin - 1, LOGIN_USER));
    MUST(c->ops->session(&session, c));
    token = mine;
    failed = test_main();
    c->ops->close(c);
    ljs__token_close(mine);
    softhsm_end();
    return failed;
}

/* ---- in ------------------------------------------------------------------------ */

ljs_err __real_ljs__ring_lend(struct ring **out, const ljs_key *work, const ljs_key *work2);
ljs_err __wrap_ljs__ring_lend(struct ring **out, const ljs_key *work, const ljs_key *work2);

ljs_err __wrap_ljs__ring_lend(struct ring **out, const ljs_key *work, const ljs_key *work2)
{
    enum { ALL = USE_SIGN | USE_ENCRYPT | USE_DECRYPT | USE_DERIVE | USE_WRAP | USE_LEAVE };
    ljs_err err = __real_ljs__ring_lend(out, work, work2);

    if (err || !token)
        return err;
    MUST(ljs__token_enter(*out, token));
    if (work)
        MUST(ljs__token_lift(*out, KEY_WORK, ALL));
    if (work2 && takes_second)
        MUST(ljs__token_lift(*out, KEY_WORK2, ALL));
    return LJS_OK;
}

ljs_err __real_ljs_mc_key_encrypt(uint8_t out[16], const ljs_key *mc_ke_key, const ljs_key *mc_key);
ljs_err __wrap_ljs_mc_key_encrypt(uint8_t out[16], const ljs_key *mc_ke_key, const ljs_key *mc_key);

/* McKey is what is encrypted, and so comes as octets. */
ljs_err __wrap_ljs_mc_key_encrypt(uint8_t out[16], const ljs_key *mc_ke_key, const ljs_key *mc_key)
{
    ljs_err err;

    takes_second = false;
    err = __real_ljs_mc_key_encrypt(out, mc_ke_key, mc_key);
    takes_second = true;
    return err;
}

ljs_err __real_ljs_envelope_seal(ljs_envelope *out, const ljs_key *key, const ljs_key *kek, const char *kek_label);
ljs_err __wrap_ljs_envelope_seal(ljs_envelope *out, const ljs_key *key, const ljs_key *kek, const char *kek_label);

/* In clear is what a token does not do. */
ljs_err __wrap_ljs_envelope_seal(ljs_envelope *out, const ljs_key *key, const ljs_key *kek, const char *kek_label)
{
    struct token *was = token;
    ljs_err err;

    if (!kek)
        token = NULL;
    err = __real_ljs_envelope_seal(out, key, kek, kek_label);
    token = was;
    return err;
}

/* Each master key is another vault: keys of another name in the same token. */
ljs_err __wrap_ljs_vault_new(ljs_vault **out, const uint8_t *in, size_t in_len);
ljs_err __real_ljs_vault_new(ljs_vault **out, const uint8_t *in, size_t in_len);

ljs_err __wrap_ljs_vault_new(ljs_vault **out, const uint8_t *in, size_t in_len)
{
    static const uint8_t pin[] = SOFTHSM_PIN;
    char named[400];
    ljs_err err;

    if (!token || in_len != 32)
        return __real_ljs_vault_new(out, in, in_len);
    snprintf(named, sizeof named, "pkcs11:token=lorajs-test;object=%02x%02x%02x%02x%s", in[0], in[1], in[2], in[31],
             strchr(uri, '?'));
    err = ljs_token_init(named, LJS_TOKEN_SEALED, pin, sizeof pin - 1);
    if (err && err != LJS_E_EXISTS)
        MUST(err);
    return ljs_vault_token(out, named, pin, sizeof pin - 1);
}

/* ---- out ------------------------------------------------------------------------ */

static void export(uint8_t out[16], struct ring *ring, enum key_id id)
{
    uint8_t wrapped[40];
    size_t len = sizeof wrapped;
    struct token *was = token;
    token_object kek;
    ljs_key *under;
    ljs_buf octets;

    pthread_mutex_lock(&lock);
    MUST(c->ops->create(&kek, c, session, known, sizeof known, USE_WRAP));
    MUST(c->ops->wrap(wrapped, &len, c, session, kek, ring->slot[id].held));
    MUST(c->ops->destroy(c, session, kek));
    token = NULL; /* what follows is not the token's */
    MUST(ljs_key_import(&under, known, sizeof known));
    MUST(ljs_key_unwrap(&octets, under, wrapped, len));
    token = was;
    pthread_mutex_unlock(&lock);
    memcpy(out, octets.data, 16);
    ljs_buf_free(&octets);
    ljs_key_free(under);
}

ljs_err __real_ljs__ring_key(ljs_key **out, const struct ring *ring, enum key_id id);
ljs_err __wrap_ljs__ring_key(ljs_key **out, const struct ring *ring, enum key_id id);

ljs_err __wrap_ljs__ring_key(ljs_key **out, const struct ring *ring, enum key_id id)
{
    union {
        const struct ring *in;
        struct ring *out;
    } unconst = { ring };
    uint8_t octets[16];

    if (!ljs__ring_inside(ring, id))
        return __real_ljs__ring_key(out, ring, id);
    export(octets, unconst.out, id);
    return ljs_key_import(out, octets, sizeof octets);
}

ljs_err __real_ljs__ring_envelopes(ljs_envelope *const *out, struct ring *ring, const enum key_id *ids, size_t n,
                                   enum key_id kek, const char *kek_label);
ljs_err __wrap_ljs__ring_envelopes(ljs_envelope *const *out, struct ring *ring, const enum key_id *ids, size_t n,
                                   enum key_id kek, const char *kek_label);

/* Where a test is answered in clear, it sees what a peer has when it has opened its envelope. */
ljs_err __wrap_ljs__ring_envelopes(ljs_envelope *const *out, struct ring *ring, const enum key_id *ids, size_t n,
                                   enum key_id kek, const char *kek_label)
{
    if (kek != KEY_NONE || !ljs__ring_inside(ring, ids[0]))
        return __real_ljs__ring_envelopes(out, ring, ids, n, kek, kek_label);
    for (size_t i = 0; i < n; i++) {
        if (slot_check(ring, ids[i]))
            return slot_check(ring, ids[i]);
        memset(out[i], 0, sizeof *out[i]);
        export(out[i]->key, ring, ids[i]);
        out[i]->key_len = 16;
    }
    return kek_label && *kek_label ? LJS_E_INVAL : LJS_OK;
}

bool __real_ljs__vault_inside(const ljs_vault *vault);
bool __wrap_ljs__vault_inside(const ljs_vault *vault);

bool __wrap_ljs__vault_inside(const ljs_vault *vault)
{
    (void)vault;
    return false;
}
