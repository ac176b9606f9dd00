/* dry.c -- what --dry-run works over: a store that reads what is there, and keeps what is committed in memory alone, so
 * that each step sees those before it. */
#include "token.h"

#include <lorajs/backend.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- a store over another ------------------------------------------------------- */

/* A value of `over` ends in an octet that says whether there is one, or `under` has one no more. */
enum { GONE, THERE };
#define OVER (UINT64_C(1) << 63) /* in versions: none of `under` has it */

struct dry {
    ljs_store *under, *over;
    uint64_t applied;
};

static ljs_err get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    struct dry *d = self;
    ljs_err err = ljs_store_get(out, version, d->over, key, key_len);

    if (err)
        return err == LJS_E_NOTFOUND ? ljs_store_get(out, version, d->under, key, key_len) : err;
    *version |= OVER;
    if (out->data[--out->len] == THERE)
        return LJS_OK;
    ljs_buf_free(out);
    *version = 0;
    return LJS_E_NOTFOUND;
}

/* Would it apply? */
static ljs_err judge(struct dry *d, const ljs_change *change)
{
    ljs_buf value = { NULL, 0 };
    uint64_t version = 0;
    ljs_err err = get(&value, &version, d, change->key, change->key_len);

    ljs_buf_free(&value);
    return err && err != LJS_E_NOTFOUND ? err : version == change->if_version ? LJS_OK : LJS_E_CONFLICT;
}

static ljs_err keep(struct dry *d, const ljs_change *change)
{
    ljs_change kept = { .key = change->key,
                        .key_len = change->key_len,
                        .in_len = (change->in ? change->in_len : 0) + 1 };
    ljs_buf before = { NULL, 0 };
    uint8_t *in = malloc(kept.in_len);
    ljs_err err = in ? ljs_store_get(&before, &kept.if_version, d->over, change->key, change->key_len) : LJS_E_NOMEM;

    ljs_buf_free(&before);
    if (!err || err == LJS_E_NOTFOUND) {
        if (change->in)
            memcpy(in, change->in, change->in_len);
        in[kept.in_len - 1] = change->in ? THERE : GONE;
        kept.in = in;
        err = ljs_store_commit(d->over, &kept, 1);
    }
    free(in);
    d->applied++;
    return err ? err : kept.result;
}

static ljs_err commit(void *self, ljs_change *changes, size_t changes_len)
{
    struct dry *d = self;
    ljs_err err = LJS_OK;

    for (size_t from = 0, to; !err && from < changes_len; from = to) {
        ljs_err result = LJS_OK;

        for (to = from; to < changes_len && changes[to].group == changes[from].group; to++)
            if (!result)
                result = judge(d, &changes[to]);
        if (result && result != LJS_E_CONFLICT)
            return result;
        for (size_t i = from; i < to; i++) {
            changes[i].result = result;
            if (!result && !err)
                err = keep(d, &changes[i]);
        }
    }
    return err;
}

/* The keys of `over`, rising, between those of `under`. */
struct walk {
    struct dry *dry;
    struct name {
        uint8_t at[LJS_STORE_KEY_MAX];
        size_t len;
    } * names;
    size_t len, told;
    ljs_store_row *row;
    void *user;
};

static ljs_err add_name(void *user, const uint8_t *key, size_t key_len)
{
    struct walk *w = user;
    struct name *more = realloc(w->names, (w->len + 1) * sizeof *more);

    if (!more)
        return LJS_E_NOMEM;
    w->names = more;
    memcpy(more[w->len].at, key, key_len);
    more[w->len++].len = key_len;
    return LJS_OK;
}

static ljs_err tell_next(struct walk *w)
{
    const struct name *name = &w->names[w->told++];
    ljs_buf value = { NULL, 0 };
    uint64_t version;
    ljs_err err = get(&value, &version, w->dry, name->at, name->len);

    ljs_buf_free(&value);
    return err ? err == LJS_E_NOTFOUND ? LJS_OK : err : w->row(w->user, name->at, name->len);
}

static int order(const struct name *name, const uint8_t *key, size_t key_len)
{
    int by_octets = memcmp(name->at, key, name->len < key_len ? name->len : key_len);

    return by_octets ? by_octets : (name->len > key_len) - (name->len < key_len);
}

static ljs_err under_row(void *user, const uint8_t *key, size_t key_len)
{
    struct walk *w = user;
    ljs_err err = LJS_OK;

    while (!err && w->told < w->len && order(&w->names[w->told], key, key_len) < 0)
        err = tell_next(w);
    if (err)
        return err;
    if (w->told < w->len && !order(&w->names[w->told], key, key_len))
        return tell_next(w);
    return w->row(w->user, key, key_len);
}

static ljs_err each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    struct walk w = { .dry = self, .row = row, .user = user };
    ljs_err err = ljs_store_each(w.dry->over, prefix, prefix_len, add_name, &w);

    if (!err)
        err = ljs_store_each(w.dry->under, prefix, prefix_len, under_row, &w);
    while (!err && w.told < w.len)
        err = tell_next(&w);
    free(w.names);
    return err;
}

static ljs_err count(uint64_t *out, void *self)
{
    struct dry *d = self;
    ljs_err err = ljs_store_count(out, d->under);

    *out += d->applied;
    return err;
}

static void close_both(void *self)
{
    struct dry *d = self;

    ljs_store_free(d->over);
    ljs_store_free(d->under);
    free(d);
}

/* Takes `under`, even when it fails. */
static ljs_err dry_store(ljs_store **out, ljs_store *under)
{
    static const ljs_store_ops ops = {
        .struct_size = sizeof ops, .get = get, .commit = commit, .each = each, .close = close_both, .count = count
    };
    struct dry *d = calloc(1, sizeof *d);
    ljs_err err = d ? ljs_store_memory(&d->over) : LJS_E_NOMEM;

    *out = NULL;
    if (err) {
        ljs_store_free(under);
        free(d);
        return err;
    }
    d->under = under;
    return ljs_store_custom(out, &ops, d);
}

/* ---- what a command is tried over ------------------------------------------------- */

/* Is there a database, or what stands for its master key? */
static bool has_database(const char *dir)
{
    static const char *const files[] = { "lorajs.db", "master.key", "master.sealed", "master.mark" };
    char path[4200];
    bool found = false;

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        found |= !access(path, F_OK);
    }
    return found;
}

/* Could a database be begun with this master key?  A passphrase is not asked for. */
static int try_source(const char *asked)
{
    struct source source;
    ljs_key *key = NULL;
    ljs_vault *vault = NULL;
    ljs_buf words = { NULL, 0 };
    int code = asked ? source_read(&source, asked) : DONE;

    if (!asked || code != GO_ON)
        return code;
    code = DONE;
    if (source.from == FROM_TOKEN)
        code = token_open(&vault, &source);
    else if (source.kept == KEPT_ELSEWHERE)
        code = master_look(&key, &source);
    else if (source.kept == KEPT_SEALED && source.from != FROM_TERMINAL)
        code = source_secret(&words, &source, "passphrase", LJS_PASSPHRASE_MAX + 2);
    ljs_buf_free(&words);
    ljs_key_free(key);
    ljs_vault_free(vault);
    return code;
}

/* One in memory, under a key that is thrown away. */
static int open_nowhere(struct data *out)
{
    ljs_key *key = NULL;
    ljs_err err = ljs_key_generate(&key, LJS_MASTER_LEN);

    if (!err)
        err = ljs_vault_from_key(&out->vault, key);
    if (!err)
        err = ljs_store_memory(&out->store);
    if (!err)
        err = data_serve(out, NULL);
    ljs_key_free(key);
    return err ? complain_err(err, "dry run") : DONE;
}

static int open_over(struct data *out, const struct where *where)
{
    int code = data_open(out, where, DATA_OPEN, NULL);
    ljs_err err;

    if (code)
        return code;
    ljs_server_free(out->server);
    out->server = NULL;
    err = dry_store(&out->store, out->store);
    if (!err)
        err = data_serve(out, NULL);
    return err ? complain_err(err, "dry run") : DONE;
}

int data_try(struct data *out, const struct where *where, enum data_mode mode, bool dry)
{
    bool nowhere = mode == DATA_CREATE && !has_database(data_dir(where->data));
    int code;

    if (!dry)
        return data_open(out, where, mode, NULL);
    *out = (struct data){ NULL, NULL, NULL };
    if (!nowhere)
        code = open_over(out, where);
    else if (!(code = try_source(where->master_key)))
        code = open_nowhere(out);
    if (code)
        data_close(out);
    return code;
}
