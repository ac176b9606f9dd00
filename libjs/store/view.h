/* view.h -- many reads by one thread, one after another, which a store may make cheaper than as many gets, and the
 * question whether anything was changed between two of them.
 *
 * A view holds nothing that anybody would have to wait for: whoever has one may commit, and so may others.  What it
 * reads is durable, and no older than the view. */
#ifndef LJS_STORE_VIEW_H
#define LJS_STORE_VIEW_H

#include <lorajs/backend.h>

struct view {
    ljs_store *store;
    uint64_t since;  /* the store's own */
    uint64_t moment; /* of the last get, and its key's kind, see ljs__view_moment(); 0 when it is not known */
};

void ljs__view_begin(struct view *out, ljs_store *store);
/* As ljs_store_get(). */
ljs_err ljs__view_get(ljs_buf *out, uint64_t *version, struct view *view, const uint8_t *key, size_t key_len);
/* What would be read now of keys that begin with `kind`.  Between two such moments of one store that are the same none
 * of these was changed, by whomever; 0: not known. */
uint64_t ljs__view_moment(struct view *view, uint8_t kind);
void ljs__view_end(struct view *view);
/* Another from now on: what is read next is no older than this call. */
void ljs__view_renew(struct view *view);

/* What a store has for that; NULL in all but get and moment for nothing to do. */
struct view_ops {
    void (*begin)(struct view *view, void *self);
    ljs_err (*get)(ljs_buf *out, uint64_t *version, struct view *view, void *self, const uint8_t *key, size_t key_len);
    uint64_t (*moment)(struct view *view, void *self, uint8_t kind);
    void (*end)(struct view *view, void *self);
};
ljs_err ljs__store_with_views(ljs_store **out, const ljs_store_ops *ops, const struct view_ops *views, void *self);
/* What is read of `store` is read of `inner`, as it is. */
void ljs__store_reads(ljs_store *store, ljs_store *inner);

#endif
