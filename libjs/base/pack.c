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

/* [MessagePack, "Formats"]  What a first octet from 0xc0 to 0xdf says: the type, how many octets of a number follow,
 * most significant first, and the least number that needs them (below zero: -1 less it).  What a record does not use
 * (nil, truth, floats, ext) is refused. */
static const struct head {
    uint8_t type, octets, above; /* bits of eight octets that are more than those */
    uint64_t least;
} heads[0x20] = {
    [0x04] = { BIN, 1, 56, 0 },           [0x05] = { BIN, 2, 48, 0x100 },     [0x06] = { BIN, 4, 32, 0x10000 },
    [0x0c] = { UINT, 1, 56, 0x80 },       [0x0d] = { UINT, 2, 48, 0x100 },    [0x0e] = { UINT, 4, 32, 0x10000 },
    [0x0f] = { UINT, 8, 0, 0x100000000 }, [0x10] = { INT, 1, 56, 0x20 },      [0x11] = { INT, 2, 48, 0x80 },
    [0x12] = { INT, 4, 32, 0x8000 },      [0x13] = { INT, 8, 0, 0x80000000 }, [0x19] = { TEXT, 1, 56, 0x20 },
    [0x1a] = { TEXT, 2, 48, 0x100 },      [0x1b] = { TEXT, 4, 32, 0x10000 },  [0x1c] = { ARRAY, 2, 48, 0x10 },
    [0x1d] = { ARRAY, 4, 32, 0x10000 },   [0x1e] = { MAP, 2, 48, 0x10 },      [0x1f] = { MAP, 4, 32, 0x10000 },
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
static inline struct token token_behind(struct unpack *u, uint8_t first)
{
    const struct head *head = &heads[first - 0xc0];
    struct rd *rd = &u->rd;
    uint64_t v;

    if (head->octets > rd->left)
        return (struct token){ 0, NOTHING };
    if (rd->left >= sizeof v)
        memcpy(&v, rd->at, sizeof v);
    else
        v = le64(up_to_eight(rd->at, head->octets));
    v = be64(v);
    rd->at += head->octets;
    rd->left -= head->octets;
    if (head->type != INT) {
        v >>= head->above;
        u->loose |= v < head->least;
        return (struct token){ v, head->type };
    }
    v = (uint64_t)((int64_t)v >> head->above);
    u->loose |= ~v < head->least || !(v >> 63);
    return (struct token){ v, v >> 63 ? INT : UINT };
}

/* The next value, whose type is to be one of `types`; else bad, and a token of NOTHING. */
static inline struct token next(struct unpack *u, unsigned types)
{
    struct token t = { 0, NOTHING };

    if (!u->rd.bad && u->rd.left) {
        uint8_t first = *u->rd.at++;

        u->rd.left--;
        t = first < 0x80                    ? (struct token){ first, UINT }
            : first >= 0xc0 && first < 0xe0 ? token_behind(u, first)
                                            : token_of(first);
    }
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

unsigned ljs__unpack_array_long(struct unpack *u)
{
    return count(u, ARRAY, 1);
}

void ljs__unpack_uints(struct unpack *u, uint64_t *out, const uint64_t *max, unsigned n)
{
    struct unpack at = *u; /* in registers */

    for (unsigned i = 0; i < n; i++) {
        out[i] = next(&at, UINT).u;
        if (out[i] > max[i]) {
            out[i] = 0;
            at.rd.bad = true;
        }
    }
    *u = at;
}

uint64_t ljs__unpack_uint_wide(struct unpack *u, uint64_t max)
{
    uint64_t v = next(u, UINT).u;

    if (v <= max)
        return v;
    u->rd.bad = true;
    return 0;
}

int64_t ljs__unpack_int_wide(struct unpack *u, int64_t min, int64_t max)
{
    struct token t = next(u, UINT | INT);
    int64_t v = (int64_t)t.u;

    if (t.type != NOTHING && (t.type == INT || t.u <= INT64_MAX) && v >= min && v <= max)
        return v;
    u->rd.bad = true;
    return 0;
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

void ljs__unpack_fixed_long(struct unpack *u, void *out, size_t len)
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
