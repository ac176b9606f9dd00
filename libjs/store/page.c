#include "store/page.h"

#include "base/secret.h"

#include <stdlib.h>
#include <string.h>

bool ljs__page_add(struct page *page, const uint8_t *key, size_t key_len)
{
    if (key_len < page->prefix_len || (page->prefix_len && memcmp(key, page->prefix, page->prefix_len)))
        return false;
    if (page->len + 1 + key_len > sizeof page->octets) {
        page->more = true;
        return false;
    }
    page->octets[page->len] = (uint8_t)key_len;
    memcpy(page->octets + page->len + 1, key, key_len);
    page->len += 1 + key_len;
    return true;
}

ljs_err ljs__page_each(void *self, ljs__page_fill *fill, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row,
                       void *user)
{
    struct page *page = malloc(sizeof *page);
    uint8_t from[LJS_STORE_KEY_MAX + 1];
    size_t from_len = prefix_len;
    unsigned process = ljs__process();
    ljs_err err;

    if (!page)
        return LJS_E_NOMEM;
    page->prefix = prefix;
    page->prefix_len = prefix_len;
    if (prefix_len)
        memcpy(from, prefix, prefix_len);
    do {
        page->len = 0;
        page->more = false;
        err = fill(page, self, from, from_len);
        for (size_t at = 0; !err && at < page->len; at += 1 + page->octets[at]) {
            /* nothing lies between a key and the same key with one zero octet more */
            from_len = page->octets[at] + 1u;
            memcpy(from, page->octets + at + 1, from_len - 1);
            from[from_len - 1] = 0;
            err = row(user, from, from_len - 1);
            if (process != ljs__process()) /* the row forked, and this is the child */
                err = LJS_E_STATE;
        }
    } while (!err && page->more);
    free(page);
    return err;
}
