/* What was done under an idempotency key: written with the change itself, so that who asks again after a lost
 * answer finds that it was done, or that it was not, and never half of it. */
#include "server/internal.h"

#include "base/pack.h"
#include "base/secret.h"

enum { ONCE_SCHEMA = 1, ONCE_FIELDS = 4, ONCE_SECONDS = 24 * 60 * 60, ONCE_MAX = 4096, COUNT_EVERY = 64 };

/* What was asked, and under which key, so that no value serves for another; it may have root keys in it: its digest is
 * keyed, so that the disk tells nothing of them. */
static void write_request(struct wr *w, const struct once *once)
{
    ljs__wr(w, once->key.at, once->key.len);
    ljs__wr(w, once->method, strlen(once->method) + 1);
    ljs__wr(w, once->target, strlen(once->target) + 1);
    ljs__wr(w, once->in, once->in_len);
}

static ljs_err digest(uint8_t out[16], const ljs_vault *vault, const struct once *once)
{
    struct wr w = { 0 };
    ljs_err err;

    write_request(&w, once);
    err = ljs__vault_tag(&w, vault, TAG_REQUEST);
    if (!err && w.bad)
        err = LJS_E_NOMEM;
    if (!err)
        memcpy(out, w.data + w.len - 16, 16);
    ljs__wr_drop(&w);
    return err;
}

/* Under whichever master key the digest was made. */
static bool is_same(const struct once *once, const ljs_vault *vault, const uint8_t request[16])
{
    struct wr w = { 0 };
    bool same;

    write_request(&w, once);
    ljs__wr(&w, request, 16);
    same = !w.bad && !ljs__vault_check(vault, TAG_REQUEST, w.data, w.len);
    ljs__wr_drop(&w);
    return same;
}

ljs_err ljs__once_begin(struct once *out, int64_t now, const char *who, const char *key, const char *method,
                        const char *target, const uint8_t *in, size_t in_len)
{
    struct wr w = { 0 };
    ljs_err err;

    *out = (struct once){ .now = now,
                          .key = { .at = { SPACE_ONCE }, .len = 1 + 16 },
                          .method = method,
                          .target = target,
                          .in = in,
                          .in_len = in_len };
    ljs__wr(&w, who, strlen(who) + 1);
    ljs__wr_text(&w, key);
    err = w.bad ? LJS_E_NOMEM : LJS_OK;
    if (!err)
        ljs__hash(out->key.at + 1, w.data, w.len);
    ljs__wr_drop(&w);
    return err;
}

struct kept_once {
    int64_t at;
    unsigned status;
    uint8_t request[16];
};

/* The value: [schema, at, status, digest of the request], and the tag. */
static ljs_err read_once(struct kept_once *out, const ljs_vault *vault, const ljs_buf *in)
{
    struct unpack u = { .rd = { in->data, in->len > 16 ? in->len - 16 : 0, false } };
    ljs_err err = ljs__vault_check(vault, TAG_ONCE, in->data, in->len);

    if (ljs__unpack_array(&u) != ONCE_FIELDS || ljs__unpack_uint(&u, 0xffff) != ONCE_SCHEMA)
        u.rd.bad = true;
    out->at = ljs__unpack_int(&u, INT64_MIN, INT64_MAX);
    out->status = (unsigned)ljs__unpack_uint(&u, 999);
    ljs__unpack_fixed(&u, out->request, sizeof out->request);
    return err ? err : rd_done(&u.rd) ? LJS_OK : LJS_E_SEAL;
}

static bool is_over(const struct kept_once *k, int64_t now)
{
    return now - k->at >= ONCE_SECONDS || k->at - now >= ONCE_SECONDS;
}

ljs_err ljs__once_load(ljs_server *server, struct once *once)
{
    const struct masters *had;
    struct kept_once k = { .at = 0 };
    ljs_buf value = { NULL, 0 };
    ljs_err err, good;

    do {
        had = ljs__masters(server);
        err = ljs_store_get(&value, &once->version, server->store, once->key.at, once->key.len);
        good = err ? LJS_OK : read_once(&k, server->vault, &value);
        ljs_buf_free(&value);
    } while (good == LJS_E_SEAL && ljs__masters_again(server, had));
    if (err == LJS_E_NOTFOUND) {
        once->version = 0;
        return LJS_OK;
    }
    if (err || good || is_over(&k, once->now)) /* what was tampered with says nothing, and is written over */
        return err;
    once->again = is_same(once, server->vault, k.request);
    once->other = !once->again;
    once->status = once->again ? k.status : once->status;
    return LJS_E_STATE;
}

ljs_err ljs__once_write(ljs_server *server, struct once *once)
{
    struct wr w = { 0 };
    uint8_t request[16];
    ljs_err err = digest(request, server->vault, once);

    ljs_buf_free(&once->value); /* of a try before */
    if (err)
        return err;
    ljs__pack_array(&w, ONCE_FIELDS);
    ljs__pack_uint(&w, ONCE_SCHEMA);
    ljs__pack_int(&w, once->now);
    ljs__pack_uint(&w, once->status);
    ljs__pack_bin(&w, request, sizeof request);
    return ljs__vault_take(&once->value, &w, server->vault, TAG_ONCE);
}

/* ---- not for ever --------------------------------------------------------------- */

struct sweep {
    ljs_server *server;
    int64_t now;
    size_t left;
};

static ljs_err sweep_row(void *user, const uint8_t *key, size_t key_len)
{
    struct sweep *s = user;
    struct kept_once k;
    ljs_buf value = { NULL, 0 };
    ljs_change change = { .key = key, .key_len = key_len };
    ljs_err err = ljs_store_get(&value, &change.if_version, s->server->store, key, key_len);

    if (err == LJS_E_NOTFOUND)
        return LJS_OK;
    if (!err && (read_once(&k, s->server->vault, &value) || is_over(&k, s->now)))
        err = ljs_store_commit(s->server->store, &change, 1);
    else
        s->left++;
    ljs_buf_free(&value);
    return err;
}

ljs_err ljs__once_room(ljs_server *server, int64_t now)
{
    struct sweep s = { server, now, 0 };
    const uint8_t prefix[] = { SPACE_ONCE };
    ljs_err err = LJS_OK;

    if (!server->once_room) {
        err = ljs_store_each(server->store, prefix, sizeof prefix, sweep_row, &s);
        if (!err && s.left >= ONCE_MAX)
            err = LJS_E_BUSY;
        if (!err)
            server->once_room = ONCE_MAX - s.left < COUNT_EVERY ? (unsigned)(ONCE_MAX - s.left) : COUNT_EVERY;
    }
    if (!err)
        server->once_room--;
    return err;
}
