#include "keys/token.h"

#include "keys/ring_inside.h"
#include "keys/token_storage.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    /* What stays unwrapped, by a print of what it was: some hundred octets in the token each. */
    SETS = 128,
    WAYS = 4,
    PRINT_LEN = 16,
    /* Where what an object took is lost: 240 octets each make 8 MiB, and waiting for an empty token begins at twice
     * as many. */
    LOST_MAX = 1 << 15,
};

struct kept_object {
    uint8_t print[PRINT_LEN];
    token_object object; /* 0: nothing there */
    unsigned users;
    uint64_t used; /* when last, in uses of the token */
};

struct token {
    pthread_mutex_t lock; /* over all of it but what never changes */
    pthread_cond_t left;  /* a ring did */
    struct cryptoki *c;   /* NULL: it is away */
    bool broken, refused; /* refused: its PIN was, and one more try may lock it */
    unsigned rings;       /* in it */
    unsigned lost;        /* objects destroyed since it was opened */
    token_session *idle;
    size_t idle_len, sessions;
    struct storage_keys storage;
    struct kept_object kept[SETS][WAYS];
    uint64_t uses;

    atomic_uint owners;
    unsigned process;
    char *uri;
    uint8_t *pin; /* guarded */
    size_t pin_len;
};

/* ---- opened, and opened anew ------------------------------------------------------ */

static void shut(struct token *token)
{
    if (token->c)
        token->c->ops->close(token->c);
    token->c = NULL;
    token->idle_len = token->sessions = 0;
    token->lost = 0;
    token->storage.n = 0;
    memset(token->kept, 0, sizeof token->kept);
}

/* A session of its own, which stays open: what it makes for all lives as long as it does. */
static ljs_err take_session(token_session *out, struct token *token)
{
    token_session *more;
    ljs_err err;

    if (token->idle_len) {
        *out = token->idle[--token->idle_len];
        return LJS_OK;
    }
    if (!(more = realloc(token->idle, (token->sessions + 1) * sizeof *more))) /* room to give it back */
        return LJS_E_NOMEM;
    token->idle = more;
    if (!(err = token->c->ops->session(out, token->c)))
        token->sessions++;
    return err;
}

static ljs_err open_anew(struct token *token)
{
    token_session s;
    ljs_err err;

    if (token->refused)
        return LJS_E_PIN;
    shut(token);
    token->broken = true;
    err = ljs__cryptoki_open(&token->c, token->uri, token->pin, token->pin_len, LOGIN_USER);
    token->refused = err == LJS_E_PIN;
    if (err)
        return err;
    if (!(err = take_session(&s, token))) {
        err = ljs__storage_find(&token->storage, token->c, s);
        token->idle[token->idle_len++] = s;
    }
    token->broken = err != LJS_OK;
    if (err)
        shut(token);
    return err;
}

ljs_err ljs__token_open(struct token **out, const char *uri, const uint8_t *pin, size_t pin_len)
{
    struct token *token;
    ljs_err err = ljs__init();

    *out = NULL;
    if (err)
        return err;
    if (!pin_len || pin_len > LJS_PIN_MAX)
        return LJS_E_PIN;
    if (!(token = calloc(1, sizeof *token)))
        return LJS_E_NOMEM;
    pthread_mutex_init(&token->lock, NULL);
    pthread_cond_init(&token->left, NULL);
    token->process = ljs__process();
    atomic_init(&token->owners, 1);
    token->uri = strdup(uri);
    token->pin = ljs__secret_alloc(LJS_PIN_MAX);
    if (!token->uri || !token->pin)
        err = LJS_E_NOMEM;
    if (!err) {
        memcpy(token->pin, pin, pin_len);
        token->pin_len = pin_len;
        err = open_anew(token);
    }
    if (err) {
        ljs__token_close(token);
        return err;
    }
    *out = token;
    return LJS_OK;
}

struct token *ljs__token_share(struct token *token)
{
    if (token)
        atomic_fetch_add(&token->owners, 1);
    return token;
}

void ljs__token_close(struct token *token)
{
    if (!token || atomic_fetch_sub(&token->owners, 1) > 1)
        return;
    if (token->process == ljs__process()) { /* in a child the module, and our lock, are the parent's */
        shut(token);
        pthread_mutex_destroy(&token->lock);
        pthread_cond_destroy(&token->left);
    }
    ljs__secret_free(token->pin);
    free(token->uri);
    free(token->idle);
    free(token);
}

/* ---- rings in it -------------------------------------------------------------------- */

ljs_err ljs__token_enter(struct ring *ring, struct token *token)
{
    ljs_err err = LJS_OK;

    if (ring->token == token)
        return LJS_OK;
    if (ring->token || token->process != ljs__process())
        return LJS_E_STATE;
    pthread_mutex_lock(&token->lock);
    do {
        while (token->rings && (token->broken || (token->c->leaks && token->lost > 2 * LOST_MAX)))
            pthread_cond_wait(&token->left, &token->lock);
        err = LJS_OK;
        if (!token->rings && (token->broken || (token->c->leaks && token->lost > LOST_MAX)))
            err = open_anew(token);
        if (!err)
            err = take_session(&ring->session, token);
        /* A token with fewer sessions than we have threads: somebody gives his back. */
    } while (err == LJS_E_NOMEM && token->rings && !pthread_cond_wait(&token->left, &token->lock));
    /* To whoever asks for a step, a token that is not there is no record that is not there. */
    if (err && err != LJS_E_PIN && err != LJS_E_NOMEM)
        err = LJS_E_TOKEN;
    token->broken |= err == LJS_E_TOKEN;
    if (!err) {
        token->rings++;
        ring->token = token;
    }
    pthread_mutex_unlock(&token->lock);
    return err;
}

/* The token is gone: it is opened anew when no ring is in it. */
static ljs_err seen(struct ring *ring, ljs_err err)
{
    if (err == LJS_E_TOKEN) {
        pthread_mutex_lock(&ring->token->lock);
        ring->token->broken = true;
        pthread_mutex_unlock(&ring->token->lock);
    }
    return err;
}

static void destroy(struct ring *ring, token_object object)
{
    struct cryptoki *c = ring->token->c;
    ljs_err err = seen(ring, c->ops->destroy(c, ring->session, object));

    pthread_mutex_lock(&ring->token->lock);
    ring->token->lost += !err;
    pthread_mutex_unlock(&ring->token->lock);
}

void ljs__token_let_go(struct ring *ring, struct slot *slot)
{
    if (ring->token->process != ljs__process()) { /* the parent's */
        slot->len = 0;
    } else if (slot->kept) {
        pthread_mutex_lock(&ring->token->lock);
        slot->kept->users--;
        pthread_mutex_unlock(&ring->token->lock);
    } else if (slot->held) {
        destroy(ring, slot->held);
    }
    slot->held = 0;
    slot->kept = NULL;
}

void ljs__token_leave(struct ring *ring)
{
    struct token *token = ring->token;

    if (token->process == ljs__process()) {
        for (size_t i = 0; i < KEY_IDS; i++)
            ljs__token_let_go(ring, &ring->slot[i]);
        pthread_mutex_lock(&token->lock);
        token->idle[token->idle_len++] = ring->session;
        token->rings--;
        pthread_cond_broadcast(&token->left);
        pthread_mutex_unlock(&token->lock);
    }
    ring->token = NULL;
}

/* ---- what stays unwrapped ------------------------------------------------------------- */

static struct kept_object *set_of(struct token *token, const uint8_t print[PRINT_LEN])
{
    return token->kept[print[0] % SETS];
}

static bool recall(struct slot *slot, struct token *token, const uint8_t print[PRINT_LEN])
{
    struct kept_object *set = set_of(token, print);

    pthread_mutex_lock(&token->lock);
    for (size_t i = 0; i < WAYS && !slot->kept; i++)
        if (set[i].object && !memcmp(set[i].print, print, PRINT_LEN)) {
            slot->kept = &set[i];
            slot->held = set[i].object;
            set[i].users++;
            set[i].used = ++token->uses;
        }
    pthread_mutex_unlock(&token->lock);
    return slot->kept;
}

/* In the place of whatever was not used for longest; where all are in use, it goes with the ring. */
static void remember(struct ring *ring, struct slot *slot, const uint8_t print[PRINT_LEN])
{
    struct token *token = ring->token;
    struct kept_object *set = set_of(token, print), *place = NULL;
    token_object was = 0;

    pthread_mutex_lock(&token->lock);
    for (size_t i = 0; i < WAYS; i++)
        if (!set[i].users && (!place || set[i].used < place->used))
            place = &set[i];
    if (place) {
        was = place->object;
        *place = (struct kept_object){ .object = slot->held, .users = 1, .used = ++token->uses };
        memcpy(place->print, print, PRINT_LEN);
        slot->kept = place;
    }
    pthread_mutex_unlock(&token->lock);
    if (was)
        destroy(ring, was);
}

/* A token that is full has room again without what nobody uses. */
static bool make_room(struct ring *ring, ljs_err err)
{
    struct token *token = ring->token;
    bool made = false;

    for (size_t i = 0; err == LJS_E_NOMEM && i < SETS * WAYS; i++) {
        struct kept_object *kept = &token->kept[i / WAYS][i % WAYS];
        token_object was = 0;

        pthread_mutex_lock(&token->lock);
        if (!kept->users) {
            was = kept->object;
            *kept = (struct kept_object){ .object = 0 };
        }
        pthread_mutex_unlock(&token->lock);
        if (was)
            destroy(ring, was);
        made |= was != 0;
    }
    return made;
}

/* ---- under the storage key -------------------------------------------------------------- */

/* One that was made since is looked for. */
static ljs_err storage_key(token_object *out, struct ring *ring, uint16_t version)
{
    struct token *token = ring->token;
    ljs_err err = LJS_OK;

    pthread_mutex_lock(&token->lock);
    *out = ljs__storage_of(&token->storage, version);
    if (!*out) {
        err = ljs__storage_find(&token->storage, token->c, ring->session);
        *out = ljs__storage_of(&token->storage, version);
    }
    pthread_mutex_unlock(&token->lock);
    return err && err != LJS_E_NOTFOUND ? seen(ring, err) : *out ? LJS_OK : LJS_E_SEAL;
}

unsigned ljs__token_newest(struct token *token)
{
    unsigned version;

    pthread_mutex_lock(&token->lock);
    version = token->storage.n ? token->storage.version[token->storage.newest] : 0;
    pthread_mutex_unlock(&token->lock);
    return version;
}

/* Others may have made one, or destroyed one, since we looked. */
static ljs_err look_again(struct token *token)
{
    token_session s;
    ljs_err err = token->broken ? LJS_E_TOKEN : take_session(&s, token);

    if (err)
        return err;
    err = ljs__storage_find(&token->storage, token->c, s);
    token->idle[token->idle_len++] = s;
    token->broken |= err == LJS_E_TOKEN;
    return err;
}

ljs_err ljs__token_look(ljs_token_storage *out, struct token *token)
{
    ljs_err err;

    *out = (ljs_token_storage){ .version = 0 };
    if (token->process != ljs__process())
        return LJS_E_STATE;
    pthread_mutex_lock(&token->lock);
    err = token->broken && !token->rings ? open_anew(token) : look_again(token);
    if (!err) {
        out->policy = token->storage.rotatable ? LJS_TOKEN_ROTATABLE : LJS_TOKEN_SEALED;
        out->version = token->storage.version[token->storage.newest];
        out->versions = (uint16_t)token->storage.n;
    }
    pthread_mutex_unlock(&token->lock);
    return err;
}

ljs_err ljs__token_retire(struct token *token, unsigned version)
{
    ljs_err err;

    pthread_mutex_lock(&token->lock);
    err = look_again(token);
    if (!err)
        err = token->storage.version[token->storage.newest] != version ? LJS_E_STATE
                                                                       : ljs__storage_retire(&token->storage, token->c);
    pthread_mutex_unlock(&token->lock);
    return err;
}

static unsigned in_custody(struct token *token)
{
    bool rotatable;

    pthread_mutex_lock(&token->lock);
    rotatable = token->storage.rotatable;
    pthread_mutex_unlock(&token->lock);
    return rotatable ? USE_LEAVE | USE_TRUSTED : 0;
}

static void slot_hold(struct ring *ring, enum key_id id, token_object object, size_t len)
{
    struct slot *slot = slot_to_write(ring, id);

    ljs__wipe(slot->octets, sizeof slot->octets);
    slot->held = object;
    slot->len = len;
}

static ljs_err create(struct ring *ring, enum key_id id, const uint8_t *octets, size_t len, unsigned uses)
{
    struct cryptoki *c = ring->token->c;
    token_object object;
    ljs_err err;

    do
        err = seen(ring, c->ops->create(&object, c, ring->session, octets, len, uses));
    while (make_room(ring, err));
    if (!err)
        slot_hold(ring, id, object, len);
    return err;
}

ljs_err ljs__token_lift(struct ring *ring, enum key_id id, unsigned uses)
{
    const struct slot *slot = &ring->slot[id];

    if (slot->held)
        return LJS_OK;
    return slot->len ? create(ring, id, slot->octets, slot->len, uses) : LJS_E_NOKEY;
}

ljs_err ljs__token_make(struct ring *ring, enum key_id id)
{
    return create(ring, id, NULL, KEY_LEN, USE_SIGN | USE_DERIVE | USE_LEAVE);
}

ljs_err ljs__token_wrap(uint8_t *out, size_t *out_len, uint16_t *version, struct ring *ring, enum key_id id)
{
    const struct slot *slot = &ring->slot[id];
    struct cryptoki *c = ring->token->c;
    const struct storage_keys *k = &ring->token->storage;
    token_object kek, object = slot->held;
    ljs_err err = LJS_OK;

    pthread_mutex_lock(&ring->token->lock);
    kek = k->at[k->newest];
    *version = k->version[k->newest];
    pthread_mutex_unlock(&ring->token->lock);
    *out_len = LJS__TOKEN_WRAPPED;
    if (!object)
        do
            err =
                c->ops->create(&object, c, ring->session, slot->octets, slot->len, USE_LEAVE | in_custody(ring->token));
        while (make_room(ring, err));
    if (!err)
        err = c->ops->wrap(out, out_len, c, ring->session, kek, object);
    if (object && !slot->held)
        destroy(ring, object);
    return slot->held && err == LJS_E_CRYPTO ? LJS_E_INSIDE : seen(ring, err);
}

ljs_err ljs__token_unwrap(struct ring *ring, enum key_id id, uint16_t version, unsigned uses, const uint8_t *in,
                          size_t in_len)
{
    uint8_t what[2 + 2 + LJS__TOKEN_WRAPPED] = { (uint8_t)version, (uint8_t)(version >> 8), (uint8_t)uses,
                                                 (uint8_t)(uses >> 8) };
    uint8_t print[PRINT_LEN];
    struct cryptoki *c = ring->token->c;
    struct slot *slot = slot_to_write(ring, id);
    token_object kek, object;
    ljs_err err;

    if (in_len > LJS__TOKEN_WRAPPED || in_len < KEY_LEN + 8)
        return LJS_E_SEAL;
    memcpy(what + 4, in, in_len);
    ljs__hash(print, what, 4 + in_len);
    ljs__wipe(slot, sizeof *slot);
    if (!recall(slot, ring->token, print)) {
        if ((err = storage_key(&kek, ring, version)))
            return err;
        do
            err = c->ops->unwrap(&object, c, ring->session, kek, in, in_len, uses | in_custody(ring->token));
        while (make_room(ring, err));
        if (err)
            return err == LJS_E_CRYPTO ? LJS_E_SEAL : seen(ring, err);
        slot->held = object;
        remember(ring, slot, print);
    }
    slot->len = in_len - 8;
    return LJS_OK;
}

/* ---- computed in it ------------------------------------------------------------------------ */

ljs_err ljs__token_ecb(struct ring *ring, enum key_id id, bool decrypt, uint8_t *out, const uint8_t *in, size_t in_len)
{
    struct cryptoki *c = ring->token->c;

    return seen(ring, c->ops->ecb(out, c, ring->session, ring->slot[id].held, decrypt, in, in_len));
}

ljs_err ljs__token_cmac(struct ring *ring, enum key_id id, uint8_t out[16], const uint8_t *in, size_t in_len)
{
    struct cryptoki *c = ring->token->c;

    return seen(ring, c->ops->cmac(out, c, ring->session, ring->slot[id].held, in, in_len));
}

/* What a derived key is for; by whatever is not here, somebody else decides. */
static unsigned uses_of(enum key_id id)
{
    switch (id) {
    case KEY_JS_INT:
        return USE_SIGN;
    case KEY_JS_ENC:
        return USE_DECRYPT;
    case KEY_F_NWK_S_INT:
    case KEY_S_NWK_S_INT:
    case KEY_NWK_S_ENC:
    case KEY_APP_S:
        return USE_SIGN | USE_LEAVE;
    default:
        return USE_SIGN | USE_ENCRYPT | USE_DECRYPT | USE_DERIVE | USE_LEAVE;
    }
}

/* A device's own keys are the same for each of its joins: they stay as long as the root key that they come of, and root
 * keys of a lot as long as the lot's key. */
static bool stays(uint8_t print[PRINT_LEN], const struct ring *ring, enum key_id to, enum key_id root,
                  const uint8_t in[16])
{
    uint8_t what[PRINT_LEN + BLOCK_LEN + 1];

    if (to > KEY_JS_ENC || !ring->slot[root].kept)
        return false;
    memcpy(what, ring->slot[root].kept->print, PRINT_LEN);
    memcpy(what + PRINT_LEN, in, BLOCK_LEN);
    what[PRINT_LEN + BLOCK_LEN] = (uint8_t)to; /* which says what it may be used for */
    ljs__hash(print, what, sizeof what);
    return true;
}

ljs_err ljs__token_derive(struct ring *ring, enum key_id to, enum key_id root, const uint8_t in[16])
{
    struct cryptoki *c = ring->token->c;
    uint8_t print[PRINT_LEN];
    bool keep = stays(print, ring, to, root, in);
    token_object object;
    ljs_err err;

    if (keep) {
        slot_hold(ring, to, 0, 0);
        if (recall(&ring->slot[to], ring->token, print)) {
            ring->slot[to].len = KEY_LEN;
            return LJS_OK;
        }
    }
    do
        err = seen(ring, c->ops->derive(&object, c, ring->session, ring->slot[root].held, in, uses_of(to)));
    while (make_room(ring, err));
    if (err)
        return err;
    slot_hold(ring, to, object, KEY_LEN);
    if (keep)
        remember(ring, &ring->slot[to], print);
    return LJS_OK;
}

ljs_err ljs__token_envelopes(ljs_envelope *const *out, struct ring *ring, const enum key_id *ids, size_t n,
                             enum key_id kek)
{
    struct cryptoki *c = ring->token->c;
    ljs_err err = kek == KEY_NONE ? LJS_E_KEK : ljs__token_lift(ring, kek, USE_WRAP);

    for (size_t i = 0; i < n && !err; i++) {
        out[i]->key_len = sizeof out[i]->key;
        err = ljs__token_lift(ring, ids[i], USE_LEAVE);
        if (!err)
            err = seen(ring, c->ops->wrap(out[i]->key, &out[i]->key_len, c, ring->session, ring->slot[kek].held,
                                          ring->slot[ids[i]].held));
    }
    return err;
}

/* ---- the secret of a vault ------------------------------------------------------------------ */

/* [SP 800-108 §4.1]  K(i) = PRF(KI, [i] | Label | 0x00 | [L]), with AES-CMAC for PRF: storage keys unwrap nothing that
 * could be read, so it is computed. */
static ljs_err derive_secret(uint8_t out[32], struct token *token, token_session s, token_object key)
{
    uint8_t input[] = "\0lorajs vault\0\1"; /* L is 256 bits; the NUL at its end is the low octet of it */
    ljs_err err = LJS_OK;

    for (uint8_t i = 0; i < 2 && !err; i++) {
        input[0] = i + 1;
        err = token->c->ops->cmac(out + i * 16, token->c, s, key, input, sizeof input);
    }
    if (err)
        ljs__wipe(out, 32);
    return err;
}

ljs_err ljs__token_secret(uint8_t out[32], struct token *token)
{
    token_object key[TOKEN_VERSIONS];
    uint16_t version[TOKEN_VERSIONS];
    char label[TOKEN_LABEL_MAX];
    token_session s;
    size_t n;
    ljs_err err;

    pthread_mutex_lock(&token->lock);
    if (!(err = take_session(&s, token))) {
        ljs__token_label(label, token->c, LJS__TOKEN_TAGS);
        err = token->c->ops->find(key, version, &n, token->c, s, label);
        if (!err)
            err = n == 1 ? derive_secret(out, token, s, key[0]) : LJS_E_NOTFOUND;
        token->idle[token->idle_len++] = s;
    }
    pthread_mutex_unlock(&token->lock);
    return err;
}
