/* dry.c -- what --dry-run works over: a store that reads what is there, and keeps nothing of what is committed. */
#include "import.h"

#include <lorajs/backend.h>

static ljs_err get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    return ljs_store_get(out, version, self, key, key_len);
}

static ljs_err each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    return ljs_store_each(self, prefix, prefix_len, row, user);
}

static ljs_err count(uint64_t *out, void *self)
{
    return ljs_store_count(out, self);
}

/* Would it apply? */
static ljs_err judge(ljs_store *store, const ljs_change *change)
{
    ljs_buf value = { NULL, 0 };
    uint64_t version = 0;
    ljs_err err = ljs_store_get(&value, &version, store, change->key, change->key_len);

    ljs_buf_free(&value);
    return err && err != LJS_E_NOTFOUND ? err : version == change->if_version ? LJS_OK : LJS_E_CONFLICT;
}

static ljs_err commit(void *self, ljs_change *changes, size_t changes_len)
{
    for (size_t from = 0, to; from < changes_len; from = to) {
        ljs_err result = LJS_OK;

        for (to = from; to < changes_len && changes[to].group == changes[from].group; to++)
            if (!result)
                result = judge(self, &changes[to]);
        if (result && result != LJS_E_CONFLICT)
            return result;
        for (size_t i = from; i < to; i++)
            changes[i].result = result;
    }
    return LJS_OK;
}

static void close_inner(void *self)
{
    ljs_store_free(self);
}

static const ljs_store_ops ops = {
    .struct_size = sizeof ops, .get = get, .commit = commit, .each = each, .close = close_inner, .count = count
};

int data_try(struct data *out, const struct where *where, enum data_mode mode, bool dry)
{
    int code;
    ljs_err err;

    if (!dry)
        return data_open(out, where, mode, NULL);
    if (mode == DATA_CREATE && !has_database(data_dir(where->data)))
        return open_nowhere(out);
    if ((code = data_open(out, where, DATA_OPEN, NULL)))
        return code;
    ljs_server_free(out->server);
    out->server = NULL;
    err = ljs_store_custom(&out->store, &ops, out->store); /* takes it, even when it fails */
    if (!err)
        err = ljs_server_new(&out->server, out->vault, out->store, NULL);
    if (err) {
        data_close(out);
        return complain_err(err, "dry run");
    }
    return DONE;
}
