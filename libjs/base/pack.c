#include "base/pack.h"

#include <msgpack/pack.h>

/* ---- writing ---------------------------------------------------------------- */

enum { VALUE_MOST = 9 }; /* a number, or the header of anything else */

/* A place in w that has room for whatever is put there: nothing is asked for each value, so that this melts into the
 * packer. */
struct place {
    uint8_t *at;
};

static inline int to_place(void *user, const char *in, size_t in_len)
{
    struct place *p = user;

    memcpy(p->at, in, in_len);
    p->at += in_len;
    return 0;
}

static inline msgpack_packer packer(struct place *p)
{
    msgpack_packer packer;

    msgpack_packer_init(&packer, p, to_place);
    return packer;
}

/* Room for n values and as many octets more; false: none, which w remembers. */
static inline bool begin(struct place *p, struct wr *w, size_t n, size_t octets)
{
    size_t most = n * VALUE_MOST + octets;

    if (most < octets)
        w->bad = true;
    if (w->bad || (most > w->room - w->len && !ljs__wr_grow(w, most)))
        return false;
    p->at = w->data + w->len;
    return true;
}

static inline void end(const struct place *p, struct wr *w)
{
    w->len = (size_t)(p->at - w->data);
}

void ljs__pack_map(struct wr *w, unsigned n)
{
    struct place p;
    msgpack_packer to = packer(&p);

    if (!begin(&p, w, 1, 0))
        return;
    (void)msgpack_pack_map(&to, n);
    end(&p, w);
}

void ljs__pack_array_long(struct wr *w, unsigned n)
{
    struct place p;
    msgpack_packer to = packer(&p);

    if (!begin(&p, w, 1, 0))
        return;
    (void)msgpack_pack_array(&to, n);
    end(&p, w);
}

void ljs__pack_uints(struct wr *w, const uint64_t *v, unsigned n)
{
    struct place p;
    msgpack_packer to = packer(&p);

    if (!begin(&p, w, n, 0))
        return;
    for (unsigned i = 0; i < n; i++)
        (void)msgpack_pack_uint64(&to, v[i]);
    end(&p, w);
}

void ljs__pack_uint_wide(struct wr *w, uint64_t v)
{
    ljs__pack_uints(w, &v, 1);
}

void ljs__pack_int_wide(struct wr *w, int64_t v)
{
    struct place p;
    msgpack_packer to = packer(&p);

    if (!begin(&p, w, 1, 0))
        return;
    (void)msgpack_pack_int64(&to, v);
    end(&p, w);
}

void ljs__pack_bin(struct wr *w, const void *in, size_t in_len)
{
    struct place p;
    msgpack_packer to = packer(&p);

    if (!begin(&p, w, 1, in_len))
        return;
    (void)msgpack_pack_bin(&to, in_len);
    if (in_len)
        (void)msgpack_pack_bin_body(&to, in, in_len);
    end(&p, w);
}

void ljs__pack_text(struct wr *w, const char *text)
{
    size_t len = strlen(text);
    struct place p;
    msgpack_packer to = packer(&p);

    if (!begin(&p, w, 1, len))
        return;
    (void)msgpack_pack_str(&to, len);
    (void)msgpack_pack_str_body(&to, text, len);
    end(&p, w);
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
    if (first < 0xa0)
        return (struct token){ first & 0x0f, first < 0x90 ? MAP : ARRAY };
    if (first < 0xc0)
        return (struct token){ first & 0x1f, TEXT };
    return (struct token){ (uint64_t)(int8_t)first, INT };
}

/* And where it follows. */
static inline struct token token_behind(struct rd *rd, struct head head)
{
    struct token t = { 0, head.type };
    unsigned above = 64 - 8 * head.octets;

    if (!head.octets || head.octets > rd->left)
        return (struct token){ 0, NOTHING };
    if (rd->left >= sizeof t.u)
        memcpy(&t.u, rd->at, sizeof t.u);
    else
        for (unsigned i = 0; i < head.octets; i++)
            ((uint8_t *)&t.u)[i] = rd->at[i];
    t.u = be64(t.u);
    if (t.type == INT && !(t.u >> 63))
        t.type = UINT;
    t.u = t.type == INT ? (uint64_t)((int64_t)t.u >> above) : t.u >> above;
    rd->at += head.octets;
    rd->left -= head.octets;
    return t;
}

/* The next value, whose type is to be one of `types`; else bad, and a token of NOTHING. */
static inline struct token next(struct rd *rd, unsigned types)
{
    struct token t = { 0, NOTHING };

    if (!rd->bad && rd->left) {
        uint8_t first = *rd->at++;

        rd->left--;
        t = first < 0x80                    ? (struct token){ first, UINT }
            : first >= 0xc0 && first < 0xe0 ? token_behind(rd, heads[first - 0xc0])
                                            : token_of(first);
    }
    if (t.type & types)
        return t;
    rd->bad = true;
    return (struct token){ 0, NOTHING };
}

/* Each element takes an octet at least: a count that cannot be true is refused here, so
 * that nobody loops four thousand million times over nothing. */
static unsigned count(struct unpack *u, int type, unsigned octets_each)
{
    struct token t = next(&u->rd, type);

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

unsigned ljs__unpack_array_long(struct unpack *u)
{
    return count(u, ARRAY, 1);
}

void ljs__unpack_uints(struct unpack *u, uint64_t *out, const uint64_t *max, unsigned n)
{
    struct rd rd = u->rd; /* in registers */

    for (unsigned i = 0; i < n; i++) {
        out[i] = next(&rd, UINT).u;
        if (out[i] > max[i]) {
            out[i] = 0;
            rd.bad = true;
        }
    }
    u->rd = rd;
}

uint64_t ljs__unpack_uint_wide(struct unpack *u, uint64_t max)
{
    uint64_t v = next(&u->rd, UINT).u;

    if (v <= max)
        return v;
    u->rd.bad = true;
    return 0;
}

int64_t ljs__unpack_int(struct unpack *u, int64_t min, int64_t max)
{
    struct token t = next(&u->rd, UINT | INT);
    int64_t v = (int64_t)t.u;

    if (t.type != NOTHING && (t.type == INT || t.u <= INT64_MAX) && v >= min && v <= max)
        return v;
    u->rd.bad = true;
    return 0;
}

/* The octets of BIN or TEXT. */
static const uint8_t *octets(struct unpack *u, int type, size_t *len, size_t max)
{
    struct token t = next(&u->rd, type);
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
    struct rd *rd = &u->rd;
    const uint8_t *at = rd->at;
    enum { HEADER = 2 };

    /* Up to 255 octets, as nearly all are. */
    if (rd->bad || rd->left < HEADER || at[0] != 0xc4 || at[1] > rd->left - HEADER || at[1] > max)
        return octets(u, BIN, len, max);
    *len = at[1];
    rd->at += HEADER + *len;
    rd->left -= HEADER + *len;
    return at + HEADER;
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
