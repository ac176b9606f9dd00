/* fuzz_codec_manifest.c -- laws of manifests:
 *  - the same comes out, whatever pieces they come in;
 *  - what is refused leaves nothing but which it is, and entries come in their order;
 *  - what is good was signed: with a bit flipped somewhere, nothing else becomes good.
 * The first octet says how long pieces are, and where the bit is. */
#include "fuzz.h"

#include <lorajs/manifest.h>

#include "manifest_trust.h"

#include <string.h>

enum { SEEN = 32 };

struct seen {
    ljs_manifest_entry entry[SEEN];
    size_t n; /* also of those that there is no room for */
    ljs_err end;
};

static void check_entry(const ljs_manifest_entry *e, size_t n, size_t size)
{
    ljs_manifest_entry want = { .index = n, .offset = e->offset, .verdict = e->verdict };

    CHECK(e->index == n && e->offset < size && ljs_manifest_verdict_name(e->verdict)[0] != '?');
    if (e->verdict == LJS_MANIFEST_GOOD) {
        CHECK(strlen(e->unique_id) == 18 && e->model[0] && e->signer[0] && !e->detail[0]);
        CHECK(e->version >= 1 && e->version <= 3 && (e->has_key || e->version == 2));
        return;
    }
    memcpy(want.unique_id, e->unique_id, sizeof want.unique_id);
    memcpy(want.detail, e->detail, sizeof want.detail);
    CHECK(!memcmp(&want, e, sizeof want));
}

static void read_all(struct seen *out, const uint8_t *data, size_t size, size_t piece)
{
    ljs_manifest *m;
    ljs_err err = LJS_E_NOTFOUND;

    memset(out, 0, sizeof *out);
    CHECK(ljs_manifest_new(&m) == LJS_OK);
    CHECK(ljs_manifest_trust_signer(m, (const uint8_t *)signer_pem, strlen(signer_pem)) == LJS_OK);
    CHECK(ljs_manifest_trust_root(m, (const uint8_t *)root_pem, strlen(root_pem)) == LJS_OK);
    for (size_t from = 0; from < size && err == LJS_E_NOTFOUND; from += piece) {
        size_t at = 0, some = size - from < piece ? size - from : piece;
        ljs_manifest_entry e;

        while (!(err = ljs_manifest_next(&e, &at, m, data + from, some))) {
            check_entry(&e, out->n, size);
            if (out->n < SEEN)
                out->entry[out->n] = e;
            out->n++;
        }
        CHECK(err == LJS_E_INVAL || (err == LJS_E_NOTFOUND && at == some));
    }
    out->end = ljs_manifest_end(m);
    CHECK(out->end == LJS_OK || out->end == LJS_E_INVAL);
    ljs_manifest_free(m);
}

/* But for its place. */
static int same(ljs_manifest_entry a, const ljs_manifest_entry *b)
{
    a.index = b->index;
    a.offset = b->offset;
    return !memcmp(&a, b, sizeof a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct seen whole, pieces;
    static uint8_t text[1 << 16];
    size_t piece = size ? (size_t)data[0] + 1 : 1, good = 0;

    if (!size || size > sizeof text)
        return 0;
    data++;
    size--;
    read_all(&whole, data, size, size ? size : 1);
    read_all(&pieces, data, size, piece);
    CHECK(whole.n == pieces.n && whole.end == pieces.end);
    CHECK(!memcmp(whole.entry, pieces.entry, sizeof whole.entry));

    for (size_t i = 0; i < whole.n && i < SEEN; i++)
        good += whole.entry[i].verdict == LJS_MANIFEST_GOOD;
    if (!good || whole.n > SEEN)
        return 0;
    memcpy(text, data, size);
    text[piece * 257 % size] ^= (uint8_t)(1u << piece % 8);
    read_all(&pieces, text, size, size);
    for (size_t i = 0; i < pieces.n && i < SEEN; i++) {
        int found = pieces.entry[i].verdict != LJS_MANIFEST_GOOD;

        for (size_t k = 0; k < whole.n && !found; k++)
            found = same(whole.entry[k], &pieces.entry[i]);
        CHECK(found);
    }
    return 0;
}
