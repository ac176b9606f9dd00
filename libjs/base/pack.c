#include "base/pack.h"

/* The reader below never nests: one value at a time, containers by their header. */
#define MSGPACK_EMBED_STACK_SIZE 1
#include <msgpack/pack.h>
#include <msgpack/unpack.h>
#include <msgpack/unpack_define.h>

/* ---- writing ---------------------------------------------------------------- */

/* Inline where there is room, so that it melts into the packer: most values are an octet
 * or two. */
static inline int to_wr(void *user, const char *in, size_t in_len)
{
    struct wr *w = user;

    if (in_len == 0 || w->bad || in_len > w->room - w->len) {
        ljs__wr(w, in, in_len);
        return w->bad ? -1 : 0;
    }
    memcpy(w->data + w->len, in, in_len);
    w->len += in_len;
    return 0;
}

static msgpack_packer packer(struct wr *w)
{
    msgpack_packer p;

    msgpack_packer_init(&p, w, to_wr);
    return p;
}

/* What fails is remembered in w. */
void ljs__pack_map(struct wr *w, unsigned n)
{
    msgpack_packer p = packer(w);

    (void)msgpack_pack_map(&p, n);
}

void ljs__pack_array(struct wr *w, unsigned n)
{
    msgpack_packer p = packer(w);

    (void)msgpack_pack_array(&p, n);
}

void ljs__pack_uint(struct wr *w, uint64_t v)
{
    msgpack_packer p = packer(w);

    (void)msgpack_pack_uint64(&p, v);
}

void ljs__pack_int(struct wr *w, int64_t v)
{
    msgpack_packer p = packer(w);

    (void)msgpack_pack_int64(&p, v);
}

void ljs__pack_bin(struct wr *w, const void *in, size_t in_len)
{
    msgpack_packer p = packer(w);

    (void)msgpack_pack_bin(&p, in_len);
    (void)msgpack_pack_bin_body(&p, in, in_len);
}

void ljs__pack_text(struct wr *w, const char *text)
{
    msgpack_packer p = packer(w);
    size_t len = strlen(text);

    (void)msgpack_pack_str(&p, len);
    (void)msgpack_pack_str_body(&p, text, len);
}

/* ---- reading ---------------------------------------------------------------- */

/* msgpack-c's parser is a template over what it calls for each value.  Ours keeps one
 * token, and stops it at the header of a container: the elements are then read one by
 * one, by whoever knows what they are.  So nothing is allocated, and no nesting can
 * make anything recurse. */
struct token {
    uint64_t u; /* UINT; INT, which is below zero, as the same bits; of the others, how many */
    enum { NOTHING = 0, UINT = 1, INT = 2, BIN = 4, TEXT = 8, ARRAY = 16, MAP = 32 } type;
};

enum { AT_CONTAINER = -100, REFUSED = -101 };

#define msgpack_unpack_struct(name)    struct token##name
#define msgpack_unpack_func(ret, name) static inline ret token##name
#define msgpack_unpack_callback(name)  on##name
#define msgpack_unpack_object          int /* the template's own value; ours is the user */
#define msgpack_unpack_user            struct token

static inline int on_root(struct token *t)
{
    t->type = NOTHING;
    return 0;
}

static inline int on_unsigned(struct token *t, uint64_t u)
{
    t->type = UINT;
    t->u = u;
    return 0;
}

static inline int on_signed(struct token *t, int64_t i)
{
    if (i >= 0)
        return on_unsigned(t, (uint64_t)i);
    t->type = INT;
    t->u = (uint64_t)i;
    return 0;
}

static inline int on_octets(struct token *t, int type, unsigned len)
{
    t->type = type;
    t->u = len;
    return 0;
}

static inline int on_container(struct token *t, int type, size_t n)
{
    t->type = type;
    t->u = n;
    return AT_CONTAINER;
}

/* The names are the template's.  Whatever a record does not use is refused. */
static inline int on_uint8(struct token *t, uint8_t v, int *o)
{
    *o = 0;
    return on_unsigned(t, v);
}

static inline int on_uint16(struct token *t, uint16_t v, int *o)
{
    *o = 0;
    return on_unsigned(t, v);
}

static inline int on_uint32(struct token *t, uint32_t v, int *o)
{
    *o = 0;
    return on_unsigned(t, v);
}

static inline int on_uint64(struct token *t, uint64_t v, int *o)
{
    *o = 0;
    return on_unsigned(t, v);
}

static inline int on_int8(struct token *t, int8_t v, int *o)
{
    *o = 0;
    return on_signed(t, v);
}

static inline int on_int16(struct token *t, int16_t v, int *o)
{
    *o = 0;
    return on_signed(t, v);
}

static inline int on_int32(struct token *t, int32_t v, int *o)
{
    *o = 0;
    return on_signed(t, v);
}

static inline int on_int64(struct token *t, int64_t v, int *o)
{
    *o = 0;
    return on_signed(t, v);
}

static inline int on_bin(struct token *t, const char *base, const char *at, unsigned len, int *o)
{
    (void)base;
    (void)at;
    *o = 0;
    return on_octets(t, BIN, len);
}

static inline int on_str(struct token *t, const char *base, const char *at, unsigned len, int *o)
{
    (void)base;
    (void)at;
    *o = 0;
    return on_octets(t, TEXT, len);
}

static inline int on_array(struct token *t, size_t n, int *o)
{
    *o = 0;
    return on_container(t, ARRAY, n);
}

static inline int on_map(struct token *t, size_t n, int *o)
{
    *o = 0;
    return on_container(t, MAP, n);
}

static inline int refuse(int *o)
{
    *o = 0;
    return REFUSED;
}

#define on_nil(t, o)                ((void)(t), refuse(o))
#define on_false(t, o)              ((void)(t), refuse(o))
#define on_true(t, o)               ((void)(t), refuse(o))
#define on_float(t, v, o)           ((void)(t), (void)(v), refuse(o))
#define on_double(t, v, o)          ((void)(t), (void)(v), refuse(o))
#define on_ext(t, base, at, len, o) ((void)(t), (void)(base), (void)(at), (void)(len), refuse(o))
#define on_array_item(t, c, o)      ((void)(t), (void)(c), (void)(o), REFUSED)
#define on_map_item(t, c, k, o)     ((void)(t), (void)(c), (void)(k), (void)(o), REFUSED)

#include <msgpack/unpack_template.h>

/* The next value, whose type is to be one of `types`; else bad, and a token of NOTHING. */
static struct token next(struct unpack *u, unsigned types)
{
    struct token_context ctx;
    size_t off = 0;
    int got;

    token_init(&ctx);
    u->rd.bad |= u->rd.left == 0; /* where there may be a NULL, which the template would add to */
    if (u->rd.bad)
        return ctx.user;
    if (*u->rd.at < 0x80 && (types & UINT)) { /* most values: an octet that is the number, as the format has it */
        on_unsigned(&ctx.user, *u->rd.at);
        (void)rd_bytes(&u->rd, 1);
        return ctx.user;
    }
    got = token_execute(&ctx, (const char *)u->rd.at, u->rd.left, &off);
    if (got == AT_CONTAINER)
        off++; /* stopped on the last octet of its header */
    if ((got == 1 || got == AT_CONTAINER) && (ctx.user.type & types)) {
        (void)rd_bytes(&u->rd, off);
    } else {
        u->rd.bad = true;
        ctx.user.type = NOTHING;
    }
    return ctx.user;
}

/* Each element takes an octet at least: a count that cannot be true is refused here, so
 * that nobody loops four thousand million times over nothing. */
static unsigned count(struct unpack *u, int type, unsigned octets_each)
{
    struct token t = next(u, type);

    if (t.type == NOTHING)
        return 0;
    if (t.u > u->rd.left / octets_each) {
        u->rd.bad = true;
        return 0;
    }
    return (unsigned)t.u;
}

unsigned ljs__unpack_map(struct unpack *u)
{
    return count(u, MAP, 2);
}

unsigned ljs__unpack_array(struct unpack *u)
{
    return count(u, ARRAY, 1);
}

uint64_t ljs__unpack_uint(struct unpack *u, uint64_t max)
{
    struct token t = next(u, UINT);

    if (t.type == NOTHING)
        return 0;
    if (t.u > max) {
        u->rd.bad = true;
        return 0;
    }
    return t.u;
}

int64_t ljs__unpack_int(struct unpack *u, int64_t min, int64_t max)
{
    struct token t = next(u, UINT | INT);
    int64_t v = 0;

    if (t.type == INT)
        v = (int64_t)t.u;
    else if (t.type == UINT && t.u <= INT64_MAX)
        v = (int64_t)t.u;
    else
        u->rd.bad = true;
    if (v < min || v > max)
        u->rd.bad = true;
    return u->rd.bad ? 0 : v;
}

/* The octets of BIN or TEXT: the last ones of the value. */
static const uint8_t *octets(struct unpack *u, int type, size_t *len, size_t max)
{
    struct token t = next(u, type);

    *len = 0;
    if (t.type == NOTHING)
        return NULL;
    if (t.u > max) {
        u->rd.bad = true;
        return NULL;
    }
    *len = (size_t)t.u;
    return u->rd.at - t.u;
}

const uint8_t *ljs__unpack_bin(struct unpack *u, size_t *len, size_t max)
{
    return octets(u, BIN, len, max);
}

void ljs__unpack_fixed(struct unpack *u, void *out, size_t len)
{
    size_t got;
    const uint8_t *at = ljs__unpack_bin(u, &got, len);

    if (got != len)
        u->rd.bad = true;
    else if (at && len)
        memcpy(out, at, len);
}

void ljs__unpack_text(struct unpack *u, char *out, size_t room)
{
    size_t len;
    const uint8_t *at;

    if (room == 0) {
        u->rd.bad = true;
        return;
    }
    out[0] = 0;
    at = octets(u, TEXT, &len, room - 1);
    if (!at || memchr(at, 0, len)) {
        u->rd.bad = true;
        return;
    }
    memcpy(out, at, len);
    out[len] = 0;
}
