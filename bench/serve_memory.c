/* The program lorajs, whose database is loaded into the store in memory and then left alone: the linker
 * puts __wrap_ljs_store_sqlite() wherever the program calls ljs_store_sqlite().  It is how `serve` is
 * measured without a disk; who wants a Join Server without one writes a store, see backend.h. */
#include <lorajs/backend.h>

ljs_err __real_ljs_store_sqlite(ljs_store **out, const char *path);
ljs_err __wrap_ljs_store_sqlite(ljs_store **out, const char *path);

struct copy {
    ljs_store *from, *to;
};

static ljs_err copy_row(void *user, const uint8_t *key, size_t key_len)
{
    struct copy *copy = user;
    ljs_change change = { .key = key, .key_len = key_len };
    ljs_buf value;
    uint64_t version;
    ljs_err err = ljs_store_get(&value, &version, copy->from, key, key_len);

    if (err)
        return err;
    change.in = value.data;
    change.in_len = value.len;
    err = ljs_store_commit(copy->to, &change, 1);
    ljs_buf_free(&value);
    return err ? err : change.result;
}

ljs_err __wrap_ljs_store_sqlite(ljs_store **out, const char *path)
{
    struct copy copy = { NULL, NULL };
    ljs_err err = __real_ljs_store_sqlite(&copy.from, path);

    *out = NULL;
    if (!err)
        err = ljs_store_memory(&copy.to);
    if (!err)
        err = ljs_store_each(copy.from, NULL, 0, copy_row, &copy);
    ljs_store_free(copy.from);
    if (err)
        ljs_store_free(copy.to);
    else
        *out = copy.to;
    return err;
}
