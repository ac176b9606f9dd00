#include "overlay.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define OVER (UINT64_C(1) << 62) /* in versions: none of `under` has it */

struct overlay {
    ljs_store *under, *over, *gone; /* gone: the keys of `under` that are there no more */
    pthread_mutex_t lock;
    uint64_t applied;
};

/* ---- what is there ---------------------------------------------------------------- */

static ljs_err version_in(uint64_t *out, ljs_store *store, const uint8_t *key, size_t key_len)
{
    ljs_buf value = { NULL, 0 };
    ljs_err err = ljs_store_get(&value, out, store, key, key_len);

    ljs_buf_free(&value);
    return err;
}

static ljs_err look(ljs_buf *out, uint64_t *version, struct overlay *o, const uint8_t *key, size_t key_len)
{
    uint64_t is_gone;
    ljs_err err = ljs_store_get(out, version, o->over, key, key_len);

    if (!err)
        *version |= OVER;
    if (err != LJS_E_NOTFOUND)
        return err;
    err = version_in(&is_gone, o->gone, key, key_len);
    return err == LJS_E_NOTFOUND ? ljs_store_get(out, version, o->under, key, key_len) : err ? err : LJS_E_NOTFOUND;
}

static ljs_err get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    struct overlay *o = self;
    ljs_err err;

    pthread_mutex_lock(&o->lock);
    err = look(out, version, o, key, key_len);
    pthread_mutex_unlock(&o->lock);
    return err;
}

/* ---- what is committed ------------------------------------------------------------- */

static bool same_key(const ljs_change *a, const ljs_change *b)
{
    return a->key_len == b->key_len && !memcmp(a->key, b->key, a->key_len);
}

/* Would the last of them apply after the others, which would? */
static ljs_err judge(struct overlay *o, const ljs_change *group, size_t last)
{
    const ljs_change *change = &group[last];
    ljs_buf value = { NULL, 0 };
    uint64_t version = 0;
    ljs_err err;

    while (last-- > 0)
        if (same_key(&group[last], change)) /* a version that it has made nobody has seen */
            return group[last].in || change->if_version ? LJS_E_CONFLICT : LJS_OK;
    err = look(&value, &version, o, change->key, change->key_len);
    ljs_buf_free(&value);
    if (err && err != LJS_E_NOTFOUND)
        return err;
    return (err ? 0 : version) == change->if_version ? LJS_OK : LJS_E_CONFLICT;
}

/* NULL: nothing. */
static ljs_err put(ljs_store *store, const ljs_change *change, const uint8_t *in, size_t in_len)
{
    ljs_change put = { .key = change->key, .key_len = change->key_len, .in = in, .in_len = in_len };
    ljs_err err = version_in(&put.if_version, store, put.key, put.key_len);

    if (err == LJS_E_NOTFOUND) {
        put.if_version = 0;
        err = LJS_OK;
    }
    if (!err && (in || put.if_version))
        err = ljs_store_commit(store, &put, 1);
    return err ? err : put.result;
}

static ljs_err keep(struct overlay *o, const ljs_change *change)
{
    static const uint8_t mark[1];
    ljs_err err = put(o->over, change, change->in, change->in_len);

    o->applied++;
    return err || change->in ? err : put(o->gone, change, mark, 0); /* what is there again is in `over` */
}

static ljs_err commit_group(struct overlay *o, ljs_change *group, size_t len)
{
    ljs_err result = LJS_OK, err = LJS_OK;

    for (size_t i = 0; !result && i < len; i++)
        result = judge(o, group, i);
    if (result && result != LJS_E_CONFLICT)
        return result;
    for (size_t i = 0; i < len; i++) {
        group[i].result = result;
        if (!result && !err)
            err = keep(o, &group[i]);
    }
    return err;
}

static ljs_err commit(void *self, ljs_change *changes, size_t changes_len)
{
    struct overlay *o = self;
    ljs_err err = LJS_OK;

    pthread_mutex_lock(&o->lock);
    for (size_t from = 0, to; !err && from < changes_len; from = to) {
        for (to = from; to < changes_len && changes[to].group == changes[from].group;)
            to++;
        err = commit_group(o, changes + from, to - from);
    }
    pthread_mutex_unlock(&o->lock);
    return err;
}

static ljs_err count(uint64_t *out, void *self)
{
    struct overlay *o = self;
    ljs_err err;

    pthread_mutex_lock(&o->lock);
    err = ljs_store_count(out, o->under);
    *out += o->applied;
    pthread_mutex_unlock(&o->lock);
    return err;
}

/* ---- each -------------------------------------------------------------------------- */

/* The keys of `over`, rising, between those of `under`. */
struct walk {
    struct overlay *overlay;
    struct name {
        uint8_t at[LJS_STORE_KEY_MAX];
        size_t len;
    } * names;
    size_t len, room, told;
    ljs_store_row *row;
    void *user;
};

static ljs_err add_name(void *user, const uint8_t *key, size_t key_len)
{
    struct walk *w = user;

    if (w->len == w->room) {
        size_t room = w->room ? 2 * w->room : 64;
        struct name *more = realloc(w->names, room * sizeof *more);

        if (!more)
            return LJS_E_NOMEM;
        w->names = more;
        w->room = room;
    }
    memcpy(w->names[w->len].at, key, key_len);
    w->names[w->len++].len = key_len;
    return LJS_OK;
}

static ljs_err tell_next(struct walk *w)
{
    const struct name *name = &w->names[w->told++];

    return w->row(w->user, name->at, name->len);
}

static int order(const struct name *name, const uint8_t *key, size_t key_len)
{
    int by_octets = memcmp(name->at, key, name->len < key_len ? name->len : key_len);

    return by_octets ? by_octets : (name->len > key_len) - (name->len < key_len);
}

static ljs_err under_row(void *user, const uint8_t *key, size_t key_len)
{
    struct walk *w = user;
    uint64_t version;
    ljs_err err = LJS_OK;

    while (!err && w->told < w->len && order(&w->names[w->told], key, key_len) < 0)
        err = tell_next(w);
    if (err)
        return err;
    if (w->told < w->len && !order(&w->names[w->told], key, key_len))
        return tell_next(w);
    err = version_in(&version, w->overlay->gone, key, key_len);
    return err == LJS_E_NOTFOUND ? w->row(w->user, key, key_len) : err;
}

static ljs_err each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    struct walk w = { .overlay = self, .row = row, .user = user };
    ljs_err err = ljs_store_each(w.overlay->over, prefix, prefix_len, add_name, &w);

    if (!err)
        err = ljs_store_each(w.overlay->under, prefix, prefix_len, under_row, &w);
    while (!err && w.told < w.len)
        err = tell_next(&w);
    free(w.names);
    return err;
}

/* ---- the store --------------------------------------------------------------------- */

static void close_all(void *self)
{
    struct overlay *o = self;

    ljs_store_free(o->gone);
    ljs_store_free(o->over);
    ljs_store_free(o->under);
    pthread_mutex_destroy(&o->lock);
    free(o);
}

ljs_err overlay_store(ljs_store **out, ljs_store *under)
{
    static const ljs_store_ops ops = {
        .struct_size = sizeof ops, .get = get, .commit = commit, .each = each, .close = close_all, .count = count
    };
    struct overlay *o = calloc(1, sizeof *o);
    ljs_err err = LJS_E_NOMEM;

    *out = NULL;
    if (!o) {
        ljs_store_free(under);
        return err;
    }
    o->under = under;
    pthread_mutex_init(&o->lock, NULL);
    if ((err = ljs_store_memory(&o->over)) || (err = ljs_store_memory(&o->gone))) {
        close_all(o);
        return err;
    }
    return ljs_store_custom(out, &ops, o);
}
