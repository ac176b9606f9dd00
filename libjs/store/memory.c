#include "base/lock.h"
#include "base/secret.h"
#include "store/page.h"
#include "store/view.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A skip list keeps the keys in order, and a hash table finds one of them without a walk over
 * nodes that no cache has. */
enum {
    HEIGHT_MAX = 12, /* at one in four a level: 4^12 keys */
    BUCKETS_FIRST = 64,
    ROOM_FIRST = 512, /* for a value that is asked for: most are shorter */
};

struct value {
    uint64_t version;
    size_t len;
    uint8_t octets[];
};

struct node {
    struct value *value; /* NULL only while a commit is at work */
    uint8_t *key;        /* behind next */
    size_t key_len;
    uint64_t hash;
    struct node *chain; /* of its bucket */
    unsigned height;
    struct node *next[];
};

struct memory {
    _Alignas(CACHE_LINE) pthread_mutex_t lock; /* and in one line with it what who has it wants first */
    struct node **bucket;                      /* `buckets` of them, a power of two */
    size_t buckets;
    uint64_t version; /* of the last change, to any key: so none comes twice */
    struct node *head[HEIGHT_MAX];
    size_t nodes;
    atomic_uint_least64_t changed[UCHAR_MAX + 1]; /* of the last one to a key that begins with this octet */
    uint64_t dice;
};

static int compare(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    int order = a_len && b_len ? memcmp(a, b, a_len < b_len ? a_len : b_len) : 0;

    return order ? order : (a_len > b_len) - (a_len < b_len);
}

/* The first node not below `key`; links[i] is where it, or a new one, hangs on level i. */
static struct node *seek(struct node **links[HEIGHT_MAX], struct memory *m, const uint8_t *key, size_t key_len)
{
    struct node **level = m->head;

    for (unsigned i = HEIGHT_MAX; i-- > 0;) {
        while (level[i] && compare(level[i]->key, level[i]->key_len, key, key_len) < 0)
            level = level[i]->next;
        links[i] = &level[i];
    }
    return *links[0];
}

/* FNV-1a, folded, since the low bits are what counts. */
static uint64_t hash_of(const uint8_t *key, size_t key_len)
{
    uint64_t hash = 0xcbf29ce484222325;

    for (size_t i = 0; i < key_len; i++)
        hash = (hash ^ key[i]) * 0x100000001b3;
    return hash ^ hash >> 32;
}

static struct node **bucket_of(struct memory *m, uint64_t hash)
{
    return &m->bucket[hash & (m->buckets - 1)];
}

static struct node *find_hashed(struct memory *m, uint64_t hash, const uint8_t *key, size_t key_len)
{
    struct node *node = *bucket_of(m, hash);

    while (node && (node->hash != hash || compare(node->key, node->key_len, key, key_len)))
        node = node->chain;
    return node;
}

static struct node *find(struct memory *m, const uint8_t *key, size_t key_len)
{
    return find_hashed(m, hash_of(key, key_len), key, key_len);
}

static void hang(struct memory *m, struct node *node)
{
    struct node **bucket = bucket_of(m, node->hash);

    node->chain = *bucket;
    *bucket = node;
}

/* A bucket for each node; where there is no memory for that, chains are longer. */
static void spread(struct memory *m)
{
    struct node **more = m->nodes < m->buckets ? NULL : calloc(2 * m->buckets, sizeof(struct node *));

    if (!more)
        return;
    free(m->bucket);
    m->bucket = more;
    m->buckets *= 2;
    for (struct node *node = m->head[0]; node; node = node->next[0])
        hang(m, node);
}

/* Without a value yet; NULL when there is no memory. */
static struct node *insert(struct memory *m, const uint8_t *key, size_t key_len)
{
    struct node **links[HEIGHT_MAX], *node;
    unsigned height = 1;

    m->dice ^= m->dice << 13; /* xorshift: only the balance hangs on it */
    m->dice ^= m->dice >> 7;
    m->dice ^= m->dice << 17;
    for (uint64_t dice = m->dice; height < HEIGHT_MAX && !(dice & 3); dice >>= 2)
        height++;
    if (!(node = malloc(sizeof *node + height * sizeof *node->next + key_len)))
        return NULL;
    *node = (struct node){
        .key = (uint8_t *)&node->next[height], .key_len = key_len, .hash = hash_of(key, key_len), .height = height
    };
    memcpy(node->key, key, key_len);
    seek(links, m, key, key_len);
    for (unsigned i = 0; i < height; i++) {
        node->next[i] = *links[i];
        *links[i] = node;
    }
    hang(m, node);
    m->nodes++;
    spread(m);
    return node;
}

static void discard_empty(struct memory *m, const uint8_t *key, size_t key_len)
{
    struct node **links[HEIGHT_MAX], **at, *node = find(m, key, key_len);

    if (!node || node->value)
        return;
    seek(links, m, key, key_len);
    for (unsigned i = 0; i < node->height; i++)
        *links[i] = node->next[i];
    for (at = bucket_of(m, node->hash); *at != node;)
        at = &(*at)->chain;
    *at = node->chain;
    m->nodes--;
    free(node);
}

/* One more than the number of the last change, and so never 0.  Without the lock: a commit that has come back has told
 * its number, and of one that has not nobody need know. */
static uint64_t moment_of(struct memory *m, uint8_t kind)
{
    return atomic_load_explicit(&m->changed[kind], memory_order_acquire) + 1;
}

/* A value, and of which moment.  Memory is asked for, and more of it where that was too little, while nobody waits. */
static ljs_err read_value(ljs_buf *out, uint64_t *version, uint64_t *moment, struct memory *m, const uint8_t *key,
                          size_t key_len)
{
    uint64_t hash = hash_of(key, key_len);
    size_t room = ROOM_FIRST, len = 0;
    const struct node *node;

    for (;; room = len) {
        if (!(out->data = malloc(room)))
            return LJS_E_NOMEM;
        pthread_mutex_lock(&m->lock);
        *moment = moment_of(m, key[0]);
        if ((node = find_hashed(m, hash, key, key_len))) {
            *version = node->value->version;
            len = node->value->len;
            if (len <= room && len)
                memcpy(out->data, node->value->octets, len);
        }
        pthread_mutex_unlock(&m->lock);
        if (!node || len <= room)
            break;
        ljs_buf_free(out);
    }
    out->len = node ? len : 0;
    if (!out->len)
        ljs_buf_free(out);
    return node ? LJS_OK : LJS_E_NOTFOUND;
}

static ljs_err get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    uint64_t moment;

    return read_value(out, version, &moment, self, key, key_len);
}

/* Takes values[i] in and leaves there what was replaced. */
static ljs_err apply(struct memory *m, const ljs_change *change, struct value **value)
{
    struct node *node = find(m, change->key, change->key_len);
    struct value *old = node ? node->value : NULL;

    if ((old ? old->version : 0) != change->if_version)
        return LJS_E_CONFLICT;
    if (!node && !(node = insert(m, change->key, change->key_len)))
        return LJS_E_STORE;
    m->version++;
    atomic_store_explicit(&m->changed[change->key[0]], m->version, memory_order_release);
    if (*value)
        (*value)->version = m->version;
    node->value = *value;
    *value = old;
    return LJS_OK;
}

static void apply_group(struct memory *m, ljs_change *changes, struct value **values, size_t len)
{
    ljs_err err = LJS_OK;
    size_t done = 0;

    while (!err && done < len)
        if (!(err = apply(m, &changes[done], &values[done])))
            done++;
    for (size_t i = done; err && i-- > 0;) { /* backwards: one key may be here twice */
        struct node *node = find(m, changes[i].key, changes[i].key_len);
        struct value *undone = node->value;

        node->value = values[i];
        values[i] = undone;
    }
    for (size_t i = 0; i < len; i++) {
        if (err || !changes[i].in)
            discard_empty(m, changes[i].key, changes[i].key_len);
        changes[i].result = err;
    }
}

static ljs_err commit(void *self, ljs_change *changes, size_t changes_len)
{
    struct memory *m = self;
    struct value *few[8] = { NULL };
    struct value **values = changes_len <= sizeof few / sizeof *few ? few : calloc(changes_len, sizeof *values);
    ljs_err err = LJS_E_NOMEM;

    if (!values)
        return LJS_E_NOMEM;
    for (size_t i = 0; i < changes_len; i++) {
        if (!changes[i].in)
            continue;
        if (!(values[i] = malloc(sizeof **values + changes[i].in_len)))
            goto out;
        values[i]->len = changes[i].in_len;
        memcpy(values[i]->octets, changes[i].in, changes[i].in_len);
    }
    err = LJS_OK;
    pthread_mutex_lock(&m->lock);
    for (size_t from = 0, to; from < changes_len; from = to) {
        for (to = from; to < changes_len && changes[to].group == changes[from].group;)
            to++;
        apply_group(m, changes + from, values + from, to - from);
    }
    pthread_mutex_unlock(&m->lock);
out:
    for (size_t i = 0; i < changes_len; i++)
        free(values[i]);
    if (values != few)
        free(values);
    return err;
}

static ljs_err fill(struct page *page, void *self, const uint8_t *from, size_t from_len)
{
    struct memory *m = self;
    struct node **links[HEIGHT_MAX], *node;

    pthread_mutex_lock(&m->lock);
    node = seek(links, m, from, from_len);
    while (node && ljs__page_add(page, node->key, node->key_len))
        node = node->next[0];
    pthread_mutex_unlock(&m->lock);
    return LJS_OK;
}

static ljs_err each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    return ljs__page_each(self, fill, prefix, prefix_len, row, user);
}

static ljs_err count(uint64_t *out, void *self)
{
    struct memory *m = self;

    pthread_mutex_lock(&m->lock);
    *out = m->version;
    pthread_mutex_unlock(&m->lock);
    return LJS_OK;
}

static uint64_t view_moment(struct view *view, void *self, uint8_t kind)
{
    (void)view;
    return moment_of(self, kind);
}

static ljs_err view_get(ljs_buf *out, uint64_t *version, struct view *view, void *self, const uint8_t *key,
                        size_t key_len)
{
    return read_value(out, version, &view->moment, self, key, key_len);
}

static const struct view_ops views = { .get = view_get, .moment = view_moment };

static void close_memory(void *self)
{
    struct memory *m = self;

    for (struct node *node = m->head[0], *next; node; node = next) {
        next = node->next[0];
        free(node->value);
        free(node);
    }
    pthread_mutex_destroy(&m->lock);
    free(m->bucket);
    free(m);
}

static const ljs_store_ops memory_ops = {
    .struct_size = sizeof(ljs_store_ops),
    .get = get,
    .commit = commit,
    .each = each,
    .close = close_memory,
    .count = count,
};

ljs_err ljs_store_memory(ljs_store **out)
{
    struct memory *m;

    *out = NULL;
    if (!(m = ljs__alloc_lined(sizeof *m)))
        return LJS_E_NOMEM;
    if (!(m->bucket = calloc(BUCKETS_FIRST, sizeof(struct node *)))) {
        free(m);
        return LJS_E_NOMEM;
    }
    m->buckets = BUCKETS_FIRST;
    m->dice = 0x9e3779b97f4a7c15;
    ljs__lock_init(&m->lock);
    return ljs__store_with_views(out, &memory_ops, &views, m); /* takes m, even when it fails */
}
