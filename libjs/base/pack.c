#include "base/pack.h"

#include <msgpack/pack.h>

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

/* A value, or the header of a container, whose elements are then read one by one by whoever knows what they are: so
 * nothing is allocated, and no nesting can make anything recurse. */
struct token {
    uint64_t u; /* UINT; INT, which is below zero, as the same bits; of the others, how many */
    enum { NOTHING = 0, UINT = 1, INT = 2, BIN = 4, TEXT = 8, ARRAY = 16, MAP = 32 } type;
};

/* [MessagePack, "Formats"]  What a first octet from 0xc0 to 0xdf says: the type, and how many octets of a number
 * follow, most significant first.  What a record does not use (nil, truth, floats, ext) is refused. */
static const struct head {
    uint8_t type, octets;
} heads[0x20] = {
    [0x04] = { BIN, 1 },  { BIN, 2 },  { BIN, 4 }, /* */
    [0x0c] = { UINT, 1 }, { UINT, 2 }, { UINT, 4 }, { UINT, 8 },  { INT, 1 },   { INT, 2 }, { INT, 4 }, { INT, 8 },
    [0x19] = { TEXT, 1 }, { TEXT, 2 }, { TEXT, 4 }, { ARRAY, 2 }, { ARRAY, 4 }, { MAP, 2 }, { MAP, 4 },
};

/* Where the number is in a few bits of the first octet itself. */
static struct token token_of(uint8_t first)
{
    if (first < 0x80)
        return (struct token){ first, UINT };
    if (first < 0xa0)
        return (struct token){ first & 0x0f, first < 0x90 ? MAP : ARRAY };
    if (first < 0xc0)
        return (struct token){ first & 0x1f, TEXT };
    return (struct token){ (uint64_t)(int8_t)first, INT };
}

/* And where it follows. */
static struct token token_behind(struct rd *rd, struct head head)
{
    struct token t = { 0, head.type };
    const uint8_t *at = rd_bytes(rd, head.octets);

    if (!at)
        return (struct token){ 0, NOTHING };
    if (t.type == INT && at[0] < 0x80)
        t.type = UINT;
    else if (t.type == INT)
        t.u = UINT64_MAX; /* what stands above the number is its sign */
    for (unsigned i = 0; i < head.octets; i++)
        t.u = t.u << 8 | at[i];
    return t;
}

/* The next value, whose type is to be one of `types`; else bad, and a token of NOTHING. */
static inline struct token next(struct unpack *u, unsigned types)
{
    const uint8_t *first = rd_bytes(&u->rd, 1);
    struct token t = { 0, NOTHING };

    if (first)
        t = *first >= 0xc0 && *first < 0xe0 ? token_behind(&u->rd, heads[*first - 0xc0]) : token_of(*first);
    if (t.type & types)
        return t;
    u->rd.bad = true;
    return (struct token){ 0, NOTHING };
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

/* The octets of BIN or TEXT. */
static const uint8_t *octets(struct unpack *u, int type, size_t *len, size_t max)
{
    struct token t = next(u, type);
    const uint8_t *at;

    *len = 0;
    if (t.u > max)
        u->rd.bad = true;
    at = t.type == NOTHING ? NULL : rd_bytes(&u->rd, (size_t)t.u);
    if (at)
        *len = (size_t)t.u;
    return at;
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
