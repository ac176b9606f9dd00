#include "keys/ring.h"

#include "keys/ring_inside.h"

#include "base/lock.h"

#include <stdatomic.h>

enum {
    /* Rings that wait in the pool; one in use more than that is closed when it comes back. */
    RINGS_IDLE_MAX = 32,
};

/* A guarded page and its handles cost as much as a hundred joins, so they are kept.  The
 * lock is held over opening and closing too: then a fork(), which takes it, never finds
 * the lock of libgcrypt's secure pool taken by us. */
static struct {
    pthread_mutex_t lock;
    struct ring *idle;
    unsigned idle_len;
} pool = { PTHREAD_MUTEX_INITIALIZER, NULL, 0 };

/* Where a thread left its last ring, to be found by it again while the processor that it runs on has
 * ring and handles at hand. */
static struct {
    _Alignas(CACHE_LINE) struct ring *_Atomic ring;
} nests[LOCK_LANES];

static struct ring *_Atomic *nest(void)
{
    return &nests[ljs__lane()].ring;
}

static void before_fork(void)
{
    pthread_mutex_lock(&pool.lock);
}

static void after_fork_parent(void)
{
    pthread_mutex_unlock(&pool.lock);
}

static void after_fork_child(void)
{
    for (size_t i = 0; i < LOCK_LANES; i++)
        atomic_store_explicit(&nests[i].ring, NULL, memory_order_relaxed);
    pool.idle = NULL; /* memory locks are not inherited: the child opens rings of its own */
    pool.idle_len = 0;
    pthread_mutex_unlock(&pool.lock);
}

static ljs_err init_result;

static void init(void)
{
    init_result = ljs__init();
    if (!init_result)
        init_result = ljs__aes_init((size_t)(RINGS_IDLE_MAX + LOCK_LANES) * AES_LENGTHS);
    if (!init_result && pthread_atfork(before_fork, after_fork_parent, after_fork_child))
        init_result = LJS_E_NOMEM;
}

static void close_ring(struct ring *ring)
{
    for (size_t i = 0; i < AES_LENGTHS; i++)
        ljs__aes_close(&ring->aes[i]);
    ljs__secret_free(ring);
}

static ljs_err open_ring(struct ring **out)
{
    struct ring *ring = ljs__secret_alloc(sizeof *ring);
    ljs_err err = LJS_OK;

    if (!ring)
        return LJS_E_NOMEM;
    ring->process = ljs__process();
    for (size_t i = 0; i < AES_LENGTHS && !err; i++)
        err = ljs__aes_open(&ring->aes[i], 16 + 8 * i);
    if (err) {
        close_ring(ring);
        return err;
    }
    *out = ring;
    return LJS_OK;
}

ljs_err ljs__ring_take(struct ring **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    ljs_err err = LJS_OK;

    *out = NULL;
    if (pthread_once(&once, init))
        return LJS_E_CRYPTO;
    if (init_result)
        return init_result;
    if ((*out = atomic_exchange_explicit(nest(), NULL, memory_order_acquire)))
        return LJS_OK;
    pthread_mutex_lock(&pool.lock);
    if (pool.idle) {
        *out = pool.idle;
        pool.idle = pool.idle->next;
        pool.idle_len--;
    } else {
        err = open_ring(out);
    }
    pthread_mutex_unlock(&pool.lock);
    return err;
}

void ljs__ring_give(struct ring *ring)
{
    struct ring *none = NULL;
    bool keep;

    if (!ring)
        return;
    keep = ring->process == ljs__process();
    if (ring->token)
        ljs__token_leave(ring);
    for (size_t i = 0; i < AES_LENGTHS; i++) {
        ring->scheduled[i] = KEY_NONE;
        if (ljs__aes_forget(&ring->aes[i]))
            keep = false;
    }
    ljs__wipe(ring->slot, sizeof ring->slot);
    ljs__wipe(&ring->work, sizeof ring->work);
    if (keep &&
        atomic_compare_exchange_strong_explicit(nest(), &none, ring, memory_order_release, memory_order_relaxed))
        return;

    pthread_mutex_lock(&pool.lock);
    if (keep && pool.idle_len < RINGS_IDLE_MAX) {
        ring->next = pool.idle;
        pool.idle = ring;
        pool.idle_len++;
    } else {
        close_ring(ring);
    }
    pthread_mutex_unlock(&pool.lock);
}

ljs_err ljs__ring_lend(struct ring **out, const ljs_key *work, const ljs_key *work2)
{
    ljs_err err = ljs__ring_take(out);

    if (!err && work)
        err = ljs__ring_load(*out, KEY_WORK, work);
    if (!err && work2)
        err = ljs__ring_load(*out, KEY_WORK2, work2);
    if (err) {
        ljs__ring_give(*out);
        *out = NULL;
    }
    return err;
}

bool ljs__ring_has(const struct ring *ring, enum key_id id)
{
    return ring->slot[id].len != 0;
}

bool ljs__ring_inside(const struct ring *ring, enum key_id id)
{
    return ring->slot[id].held != 0;
}

void ljs__ring_drop(struct ring *ring, enum key_id id)
{
    ljs__wipe(slot_to_write(ring, id), sizeof(struct slot));
}

void ljs__ring_move(struct ring *ring, enum key_id to, enum key_id from)
{
    struct slot *slot = slot_to_write(ring, to);

    if (to == from)
        return;
    memcpy(slot, &ring->slot[from], sizeof *slot);
    ring->slot[from].held = 0; /* it moved, too */
    ring->slot[from].kept = NULL;
    ljs__ring_drop(ring, from);
}

ljs_err ljs__ring_load(struct ring *ring, enum key_id id, const ljs_key *key)
{
    struct slot *slot = slot_to_write(ring, id);

    if (key->process != ljs__process())
        return LJS_E_STATE;
    memcpy(slot->octets, key->octets, sizeof slot->octets);
    slot->len = key->len;
    return LJS_OK;
}

ljs_err ljs__ring_key(ljs_key **out, const struct ring *ring, enum key_id id)
{
    const struct slot *slot = &ring->slot[id];
    ljs_err err;

    *out = NULL;
    if (!slot->len)
        return LJS_E_NOKEY;
    if (slot->held)
        return LJS_E_INSIDE;
    err = ljs__key_new(out);
    if (err)
        return err;
    memcpy((*out)->octets, slot->octets, slot->len);
    (*out)->len = slot->len;
    return LJS_OK;
}

ljs_err ljs__ring_aes(struct aes **out, struct ring *ring, enum key_id id)
{
    const struct slot *slot = &ring->slot[id];
    size_t i = slot->len / 8 - 2;
    ljs_err err = LJS_OK;

    assert(!slot->held); /* whoever computes has looked */
    if (!slot->len)
        return LJS_E_NOKEY;
    if (ring->scheduled[i] != id) {
        ring->scheduled[i] = KEY_NONE;
        err = ljs__aes_key(&ring->aes[i], slot->octets);
        if (err)
            return err;
        ring->scheduled[i] = id;
    }
    *out = &ring->aes[i];
    return LJS_OK;
}
