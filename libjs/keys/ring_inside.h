/* ring_inside.h -- what a ring and a key handle are made of.  For the files of keys/
 * that move key octets between guarded places; everybody else has ring.h. */
#ifndef LJS_KEYS_RING_INSIDE_H
#define LJS_KEYS_RING_INSIDE_H

#include "base/cursor.h"
#include "base/secret.h"
#include "keys/gcrypt.h"
#include "keys/ring.h"
#include "keys/token.h"

#include <assert.h>
#include <string.h>

enum {
    KEY_LEN = 16,     /* of everything but a KEK */
    KEY_LEN_MAX = 32, /* a KEK for AES-256 */
    BLOCK_LEN = 16,
    LANES = 4,       /* wraps side by side */
    SEMI_MAX = 8,    /* semiblocks of 8 octets in one wrap */
    GATHER_MAX = 8,  /* derivations in one call */
    AES_LENGTHS = 3, /* handles of a ring: AES-128, -192, -256 */
};

/* A block in one vector register.  Put together there and not in memory: two stores of 8
 * octets before a load of 16 stall the processor at every step of a wrap. */
typedef uint64_t block __attribute__((vector_size(BLOCK_LEN)));

static inline block block_get(const uint8_t *in)
{
    block b;

    memcpy(&b, in, sizeof b);
    return b;
}

/* A key, or what a token calls one that it holds for us (token.h). */
struct slot {
    _Alignas(BLOCK_LEN) uint8_t octets[KEY_LEN_MAX];
    size_t len;               /* 0 when empty */
    token_object held;        /* 0: the octets are it */
    struct kept_object *kept; /* NULL: it goes with the ring */
};

struct ring {
    struct slot slot[KEY_IDS];
    /* What a computation has under way, here and not on the stack, so that giving the
     * ring back wipes it too.  Nothing in it outlives one function. */
    union {
        uint8_t octets[KEY_IDS * (2 + KEY_LEN_MAX)];
        block derive[GATHER_MAX];
        struct {
            block k, x, beside[GATHER_MAX];
        } cmac;
        struct {
            block b[LANES];
            uint64_t a[LANES], r[LANES][SEMI_MAX];
        } wrap;
    } work;
    struct aes aes[AES_LENGTHS];
    enum key_id scheduled[AES_LENGTHS]; /* whose schedule the handle holds */
    struct token *token;                /* NULL: no slot is held by one */
    token_session session;
    struct ring *next;
    unsigned process;
};

struct ljs_key {
    _Alignas(BLOCK_LEN) uint8_t octets[KEY_LEN_MAX];
    size_t len;
    unsigned process;
};

static inline bool is_key_len(size_t len)
{
    return len == 16 || len == 24 || len == 32;
}

/* The slot is about to change: a schedule of it must not be taken for the new key's. */
static inline struct slot *slot_to_write(struct ring *ring, enum key_id id)
{
    struct slot *slot = &ring->slot[id];

    if (slot->len && ring->scheduled[slot->len / 8 - 2] == id)
        ring->scheduled[slot->len / 8 - 2] = KEY_NONE;
    if (ring->token)
        ljs__token_let_go(ring, slot);
    return slot;
}

static inline void slot_set(struct ring *ring, enum key_id id, const void *octets, size_t len)
{
    struct slot *slot = slot_to_write(ring, id);

    assert(is_key_len(len));
    memcpy(slot->octets, octets, len);
    slot->len = len;
}

/* All of LoRaWAN's keys are for AES-128; a KEK alone may be longer. */
static inline ljs_err slot_check(const struct ring *ring, enum key_id id)
{
    size_t len = ring->slot[id].len;

    return len == KEY_LEN ? LJS_OK : len ? LJS_E_INVAL : LJS_E_NOKEY;
}

/* ljs__cmac() under a slot that no token holds; ring->work.cmac.beside[0] to [n - 1] are encrypted meanwhile, under the
 * same key. */
ljs_err ljs__cmac_beside(struct ring *ring, enum key_id id, uint8_t out[16], const uint8_t *in, size_t in_len,
                         size_t n);

/* The handle that has this slot's schedule.  LJS_E_NOKEY when the slot is empty. */
ljs_err ljs__ring_aes(struct aes **out, struct ring *ring, enum key_id id);

/* Take a ring and load KEY_WORK and KEY_WORK2 (NULL: left empty), for a single function.
 * On error *out is NULL. */
ljs_err ljs__ring_lend(struct ring **out, const ljs_key *work, const ljs_key *work2);

/* An empty handle, for who fills it.  LJS_E_NOMEM. */
ljs_err ljs__key_new(ljs_key **out);

#endif
