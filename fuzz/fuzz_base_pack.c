/* fuzz_base_pack.c -- laws of the packing, over any octets:
 *  - a value is of at most one type;
 *  - what has been read can be packed, and reads the same again;
 *  - it is packed as the octets that it was read from, unless the reader has called them loose;
 *  - what went bad stays bad, and a count is never more than the octets left. */
#include "fuzz.h"

#include "base/pack.h"

enum { UNSIGNED, NEGATIVE, OCTETS, TEXT, MAP, ARRAY, TYPES };

/* Read a value as one type; pack it again when it is one. */
static int copy_as(int type, struct wr *w, struct unpack *u)
{
    char text[64] = "?";
    const uint8_t *bin = NULL;
    uint64_t v = 0;
    int64_t i = 0;
    size_t len = 0, had = w ? w->len : 0;
    const struct rd from = u->rd;

    u->loose = false;
    switch (type) {
    case UNSIGNED:
        v = ljs__unpack_uint(u, UINT64_MAX);
        break;
    case NEGATIVE:
        i = ljs__unpack_int(u, INT64_MIN, -1);
        break;
    case OCTETS:
        bin = ljs__unpack_bin(u, &len, SIZE_MAX);
        CHECK(!bin == u->rd.bad && (bin || !len));
        break;
    case TEXT:
        ljs__unpack_text(u, text, sizeof text);
        CHECK(strlen(text) < sizeof text && (!u->rd.bad || !text[0]));
        break;
    case MAP:
        v = ljs__unpack_map(u);
        CHECK(v <= u->rd.left / 2);
        break;
    default:
        v = ljs__unpack_array(u);
        CHECK(v <= u->rd.left);
    }
    if (u->rd.bad) {
        CHECK(!v && !i && !len);
        return 0;
    }
    switch (type) {
    case UNSIGNED:
        ljs__pack_uint(w, v);
        break;
    case NEGATIVE:
        ljs__pack_int(w, i);
        break;
    case OCTETS:
        ljs__pack_bin(w, bin, len);
        break;
    case TEXT:
        ljs__pack_text(w, text);
        break;
    case MAP:
        ljs__pack_map(w, (unsigned)v);
        break;
    default:
        ljs__pack_array(w, (unsigned)v);
    }
    len = from.left - u->rd.left;
    CHECK(!w->bad && u->loose == (w->len - had != len || memcmp(w->data + had, from.at, len) != 0));
    return 1;
}

/* @return how many values could be copied */
static size_t copy(ljs_buf *out, const uint8_t *data, size_t size)
{
    struct unpack u = { .rd = { data, size, false } };
    struct wr w = { 0 };
    size_t n = 0;
    int types;

    do {
        struct unpack next = u;

        types = 0;
        for (int type = 0; type < TYPES; type++) {
            struct unpack as = u;

            if (copy_as(type, &w, &as)) {
                CHECK(as.rd.left < u.rd.left);
                next = as;
                types++;
            }
        }
        CHECK(types <= 1);
        n += (size_t)types;
        u = next;
    } while (types);
    CHECK(ljs__wr_take(out, &w) == LJS_OK);
    u.rd.bad = true;
    for (int type = 0; type < TYPES; type++)
        CHECK(!copy_as(type, NULL, &u) && !rd_done(&u.rd));
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ljs_buf once, twice;
    size_t n = copy(&once, data, size), n_again = copy(&twice, once.data, once.len);

    /* A container may promise more than the shorter packing of what follows it can hold;
     * all before it reads again, and packs to the same octets. */
    CHECK(n_again <= n && once.len <= size && twice.len <= once.len);
    CHECK(!twice.len || !memcmp(once.data, twice.data, twice.len));
    ljs_buf_free(&once);
    ljs_buf_free(&twice);
    return 0;
}
