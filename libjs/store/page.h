/* page.h -- how a store visits its keys.  A page of them is copied under whatever guards
 * the store, then the callback sees each with nothing held: it may call get and commit,
 * and a slow one holds nobody up. */
#ifndef LJS_STORE_PAGE_H
#define LJS_STORE_PAGE_H

#include <lorajs/backend.h>

#include <stdbool.h>

struct page {
    const uint8_t *prefix;
    size_t prefix_len, len;
    bool more;             /* full: there may be keys after the last one here */
    uint8_t octets[16384]; /* each key behind its length, which fits in an octet */
};

/* False when the page takes no more: it is full, or `key` has not its prefix. */
bool ljs__page_add(struct page *page, const uint8_t *key, size_t key_len);

/* Adds the keys that are not below `from`, rising, until one is not taken. */
typedef ljs_err ljs__page_fill(struct page *page, void *self, const uint8_t *from, size_t from_len);

ljs_err ljs__page_each(void *self, ljs__page_fill *fill, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row,
                       void *user);

#endif
