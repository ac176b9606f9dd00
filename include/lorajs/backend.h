/** @file backend.h
 *  For those who write a store; others need only store.h.
 *
 *  A store is a map from short keys (1 to 255 octets) to versioned values (up to
 *  1 MiB).  Its whole contract:
 *   - every function may be called from any thread, at once;
 *   - commit returns when its results survive power loss; get returns only what does;
 *   - if_version 0 creates; v > 0 replaces or deletes exactly version v; versions are
 *     never 0 and never repeat for a key, even after a delete;
 *   - changes of one group stand or fall together, groups apply in order (so that the
 *     second of two groups on one key sees a conflict), and each group has its own
 *     result: ::LJS_OK, ::LJS_E_CONFLICT (nothing changed), or ::LJS_E_STORE (fate
 *     unknown: the caller loads again before it decides);
 *   - commit itself answers ::LJS_OK when every result has been set, else a fault, and
 *     then every group counts as ::LJS_E_STORE;
 *   - each visits the keys that begin with a prefix, rising in octet order, at least all
 *     that stay there throughout; it stops when the callback fails, with its result.
 *     The callback may call get and commit;
 *   - values are opaque; nothing in them may be logged;
 *   - count and copy may be missing: such a store has no marker and no backups (backup.h). */
#ifndef LORAJS_BACKEND_H
#define LORAJS_BACKEND_H

#include <lorajs/store.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { LJS_STORE_KEY_MAX = 255, LJS_STORE_VALUE_MAX = 1 << 20 };

/** A key that was found; what it returns, if not ::LJS_OK, ends the visit. */
typedef ljs_err ljs_store_row(void *user, const uint8_t *key, size_t key_len);

/** A value to be written or deleted. */
typedef struct ljs_change {
    const uint8_t *key;  /**< whose value */
    const uint8_t *in;   /**< the value; NULL deletes */
    size_t key_len;      /**< 1..255 */
    size_t in_len;       /**< up to 1 MiB */
    uint64_t if_version; /**< 0 creates, else the version to replace or delete */
    unsigned group;      /**< ascending; equal numbers are one group */
    ljs_err result;      /**< out, the same in all of a group */
} ljs_change;

/** What a store can do, by the contract above. */
typedef struct ljs_store_ops {
    size_t struct_size; /**< sizeof(ljs_store_ops), as the store was compiled */
    /** ::LJS_E_NOTFOUND, ::LJS_E_STORE; *version is that of the value */
    ljs_err (*get)(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len);
    /** Sets the result of each change. */
    ljs_err (*commit)(void *self, ljs_change *changes, size_t changes_len);
    /** Visits the keys that begin with a prefix. */
    ljs_err (*each)(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user);
    void (*close)(void *self); /**< free what is its own */
    /** How many changes were committed so far, at least one for each that applied; never less than
     *  before, and of the same moment as what get returns.  NULL: it counts none. */
    ljs_err (*count)(uint64_t *out, void *self);
    /** Everything as of one moment into the file of this name, which is there and empty; durable.  What is
     *  made is a store again under ljs_store_sqlite().  NULL: it makes no copies. */
    ljs_err (*copy)(void *self, const char *path);
} ljs_store_ops;

/** Takes `self`: closed by ljs_store_free(), or at once when this fails. */
LJS_MUST ljs_err ljs_store_custom(ljs_store **out, const ljs_store_ops *ops, void *self);

/** The same calls on any store, with the ranges above checked first: ::LJS_E_INVAL. */
LJS_MUST ljs_err ljs_store_get(ljs_buf *out, uint64_t *version, ljs_store *store, const uint8_t *key, size_t key_len);
/** Commit, on any store. */
LJS_MUST ljs_err ljs_store_commit(ljs_store *store, ljs_change *changes, size_t changes_len);
/** Count, on any store; ::LJS_E_MISSING when it counts none. */
LJS_MUST ljs_err ljs_store_count(uint64_t *out, ljs_store *store);
/** Copy, on any store, into a new file of mode 0600.  @return ::LJS_E_EXISTS, ::LJS_E_MISSING when it makes none */
LJS_MUST ljs_err ljs_store_copy(ljs_store *store, const char *path);
/** Each, on any store. */
LJS_MUST ljs_err ljs_store_each(ljs_store *store, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row,
                                void *user);

#ifdef __cplusplus
}
#endif
#endif
