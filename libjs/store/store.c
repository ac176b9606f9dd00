#include "store/view.h"

#include "base/secret.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ljs_store {
    ljs_store_ops ops;
    void *self;
    unsigned process;
    const struct view_ops *views; /* NULL for none */
    ljs_store *inner;             /* which is read instead, NULL for none */
};

/* As it was before count and copy. */
static const size_t first_size = offsetof(ljs_store_ops, count);

ljs_err ljs_store_custom(ljs_store **out, const ljs_store_ops *ops, void *self)
{
    ljs_store *store = NULL;
    ljs_err err = LJS_E_INVAL;

    assert(out && ops);
    *out = NULL;
    if (ops->struct_size != first_size && ops->struct_size < sizeof *ops) /* so not even close can be relied on */
        return LJS_E_INVAL;
    if (!ops->get || !ops->commit || !ops->each)
        goto out;
    if ((err = ljs__init()))
        goto out;
    if (!(store = malloc(sizeof *store))) {
        err = LJS_E_NOMEM;
        goto out;
    }
    *store = (ljs_store){ .self = self, .process = ljs__process() };
    memcpy(&store->ops, ops, ops->struct_size < sizeof *ops ? first_size : sizeof *ops);
    *out = store;
out:
    if (err && ops->close)
        ops->close(self);
    return err;
}

void ljs_store_free(ljs_store *store)
{
    if (!store)
        return;
    /* In the child of a fork the files and locks are still the parent's: closing them
     * here would take them from it, so they are only let go. */
    if (store->process == ljs__process() && store->ops.close)
        store->ops.close(store->self);
    free(store);
}

/* Of a child that was forked while the store was at work, too: who asked is to go no further, since a thread that the
 * child does not have may hold any lock of ours. */
static ljs_err alive(const ljs_store *store)
{
    return store->process == ljs__process() ? LJS_OK : LJS_E_STATE;
}

static ljs_err check_key(const ljs_store *store, size_t key_len, size_t least)
{
    if (alive(store))
        return LJS_E_STATE;
    return key_len < least || key_len > LJS_STORE_KEY_MAX ? LJS_E_INVAL : LJS_OK;
}

/* A store may come from anybody: what it must not answer is a fault of it. */
static ljs_err fault(const ljs_store *store, ljs_err err)
{
    if (alive(store))
        return LJS_E_STATE;
    return err > LJS_OK || err <= -100 || err == LJS_E_CONFLICT ? LJS_E_STORE : err;
}

/* By a view where there is one. */
static ljs_err get(ljs_buf *out, uint64_t *version, struct view *view, ljs_store *store, const uint8_t *key,
                   size_t key_len)
{
    ljs_err err;

    assert(out && version && store && (key || !key_len));
    *out = (ljs_buf){ NULL, 0 };
    *version = 0;
    if ((err = check_key(store, key_len, 1)))
        return err;
    err = fault(store, view ? store->views->get(out, version, view, store->self, key, key_len)
                            : store->ops.get(out, version, store->self, key, key_len));
    if (!err && (!*version || out->len > LJS_STORE_VALUE_MAX))
        err = LJS_E_STORE;
    if (err) {
        ljs_buf_free(out);
        *version = 0;
    }
    return err;
}

ljs_err ljs_store_get(ljs_buf *out, uint64_t *version, ljs_store *store, const uint8_t *key, size_t key_len)
{
    return get(out, version, NULL, store, key, key_len);
}

static ljs_err check_changes(const ljs_store *store, const ljs_change *changes, size_t changes_len)
{
    ljs_err err = check_key(store, 0, 0);

    for (size_t i = 0; !err && i < changes_len; i++) {
        const ljs_change *c = &changes[i];

        err = check_key(store, c->key_len, 1);
        if (!c->key || (c->in && c->in_len > LJS_STORE_VALUE_MAX) || (!c->in && (c->in_len || !c->if_version)) ||
            (i && c->group < changes[i - 1].group))
            err = LJS_E_INVAL;
    }
    return err;
}

static void set_results(ljs_change *changes, size_t changes_len, ljs_err result)
{
    for (size_t i = 0; i < changes_len; i++)
        changes[i].result = result;
}

ljs_err ljs_store_commit(ljs_store *store, ljs_change *changes, size_t changes_len)
{
    ljs_err err;

    assert(store && (changes || !changes_len));
    err = check_changes(store, changes, changes_len);
    set_results(changes, changes_len, err ? err : LJS_E_STORE);
    if (err || !changes_len)
        return err;
    err = fault(store, store->ops.commit(store->self, changes, changes_len));
    if (err)
        set_results(changes, changes_len, LJS_E_STORE);
    for (size_t from = 0, to; from < changes_len; from = to) {
        ljs_err result = changes[from].result;

        for (to = from; to < changes_len && changes[to].group == changes[from].group; to++)
            if (changes[to].result != result)
                result = LJS_E_STORE;
        if (result != LJS_OK && result != LJS_E_CONFLICT)
            result = LJS_E_STORE;
        set_results(changes + from, to - from, result);
    }
    return err;
}

ljs_err ljs_store_each(ljs_store *store, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    ljs_err err;

    assert(store && row && (prefix || !prefix_len));
    if ((err = check_key(store, prefix_len, 0)))
        return err;
    err = store->ops.each(store->self, prefix, prefix_len, row, user);
    return alive(store) ? LJS_E_STATE : err; /* else as the row or the store said */
}

ljs_err ljs_store_count(uint64_t *out, ljs_store *store)
{
    ljs_err err;

    assert(out && store);
    *out = 0;
    if ((err = check_key(store, 0, 0)))
        return err;
    err = store->ops.count ? fault(store, store->ops.count(out, store->self)) : LJS_E_MISSING;
    if (!err && *out > INT64_MAX)
        err = LJS_E_STORE;
    if (err)
        *out = 0;
    return err;
}

ljs_err ljs_store_copy(ljs_store *store, const char *path)
{
    ljs_err err;
    int fd;

    assert(store && path);
    if ((err = check_key(store, 0, 0)))
        return err;
    if (!store->ops.copy)
        return LJS_E_MISSING;
    if ((fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0)
        return errno == EEXIST ? LJS_E_EXISTS : LJS_E_STORE;
    close(fd);
    err = fault(store, store->ops.copy(store->self, path));
    if (err && !alive(store)) /* in a child the file is the parent's */
        unlink(path);
    return err;
}

/* ---- views ------------------------------------------------------------------ */

ljs_err ljs__store_with_views(ljs_store **out, const ljs_store_ops *ops, const struct view_ops *views, void *self)
{
    ljs_err err = ljs_store_custom(out, ops, self);

    if (!err)
        (*out)->views = views;
    return err;
}

void ljs__store_reads(ljs_store *store, ljs_store *inner)
{
    store->inner = inner;
}

void ljs__view_begin(struct view *out, ljs_store *store)
{
    while (store->inner)
        store = store->inner;
    *out = (struct view){ .store = store };
    if (store->views && store->views->begin && store->process == ljs__process())
        store->views->begin(out, store->self);
}

ljs_err ljs__view_get(ljs_buf *out, uint64_t *version, struct view *view, const uint8_t *key, size_t key_len)
{
    ljs_store *store = view->store;

    view->moment = 0;
    return get(out, version, store->views ? view : NULL, store, key, key_len);
}

uint64_t ljs__view_moment(struct view *view, uint8_t kind)
{
    ljs_store *store = view->store;

    return store->views && store->process == ljs__process() ? store->views->moment(view, store->self, kind) : 0;
}

void ljs__view_end(struct view *view)
{
    ljs_store *store = view->store;

    if (store->views && store->views->end && store->process == ljs__process())
        store->views->end(view, store->self);
}

void ljs__view_renew(struct view *view)
{
    ljs_store *store = view->store;

    ljs__view_end(view);
    ljs__view_begin(view, store);
}
