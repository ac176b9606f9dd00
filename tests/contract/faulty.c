#include "contract/faulty.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct faulty {
    ljs_store *inner;
    pthread_mutex_t lock;
    struct {
        unsigned left, every;
        enum fault fault;
    } plan[FAULTY_CALLS];
};

static enum fault next(struct faulty *f, enum faulty_call call)
{
    enum fault fault = FAULT_NONE;

    pthread_mutex_lock(&f->lock);
    if (f->plan[call].left && !--f->plan[call].left) {
        fault = f->plan[call].fault;
        f->plan[call].left = f->plan[call].every;
    }
    pthread_mutex_unlock(&f->lock);
    if (fault == FAULT_DELAY)
        nanosleep(&(struct timespec){ .tv_nsec = 2 * 1000 * 1000 }, NULL);
    return fault;
}

static ljs_err get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    struct faulty *f = self;
    enum fault fault = next(f, FAULTY_GET);
    ljs_err err;

    if (fault == FAULT_BEFORE)
        return LJS_E_STORE;
    err = ljs_store_get(out, version, f->inner, key, key_len);
    return fault == FAULT_NONE || fault == FAULT_DELAY ? err
                                                       : LJS_E_STORE; /* with *out filled: a store may be sloppy */
}

/* The groups one by one; which of them are done, and which of them are told. */
static ljs_err commit_some(struct faulty *f, ljs_change *changes, size_t changes_len)
{
    ljs_err err = LJS_OK;
    unsigned group = 0;

    for (size_t from = 0, to; !err && from < changes_len; from = to, group++) {
        for (to = from; to < changes_len && changes[to].group == changes[from].group;)
            to++;
        if (group % 4 != 1)
            err = ljs_store_commit(f->inner, changes + from, to - from);
        for (size_t i = from; group % 2 && i < to; i++)
            changes[i].result = LJS_E_STORE;
    }
    return err;
}

static ljs_err commit(void *self, ljs_change *changes, size_t changes_len)
{
    struct faulty *f = self;
    enum fault fault = next(f, FAULTY_COMMIT);
    ljs_err err = LJS_OK;

    if (fault == FAULT_BEFORE)
        return LJS_E_STORE;
    if (fault == FAULT_SOME)
        return commit_some(f, changes, changes_len);
    if (fault == FAULT_TEAR) {
        size_t half = changes_len / 2;

        while (half && changes[half].group == changes[half - 1].group)
            half--;
        changes_len = half;
    }
    err = ljs_store_commit(f->inner, changes, changes_len);
    return fault == FAULT_NONE || fault == FAULT_DELAY ? err : LJS_E_STORE;
}

static ljs_err each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    struct faulty *f = self;
    enum fault fault = next(f, FAULTY_EACH);
    ljs_err err;

    if (fault == FAULT_BEFORE)
        return LJS_E_STORE;
    err = ljs_store_each(f->inner, prefix, prefix_len, row, user);
    return fault == FAULT_NONE || fault == FAULT_DELAY ? err : LJS_E_STORE;
}

static void close_faulty(void *self)
{
    struct faulty *f = self;

    ljs_store_free(f->inner);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

static const ljs_store_ops faulty_ops = {
    .struct_size = sizeof(ljs_store_ops),
    .get = get,
    .commit = commit,
    .each = each,
    .close = close_faulty,
};

ljs_err faulty_new(ljs_store **out, struct faulty **control, ljs_store *inner)
{
    struct faulty *f = calloc(1, sizeof *f);

    *out = NULL;
    *control = f;
    if (!f) {
        ljs_store_free(inner);
        return LJS_E_NOMEM;
    }
    f->inner = inner;
    pthread_mutex_init(&f->lock, NULL);
    return ljs_store_custom(out, &faulty_ops, f);
}

void faulty_arm(struct faulty *f, enum faulty_call call, unsigned nth, enum fault fault, int every)
{
    pthread_mutex_lock(&f->lock);
    f->plan[call].left = nth;
    f->plan[call].every = every ? nth : 0;
    f->plan[call].fault = fault;
    pthread_mutex_unlock(&f->lock);
}
