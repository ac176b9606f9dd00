/* pack.h -- msgpack-c's only user: maps with small integer keys, as records are laid
 * out.  The writer packs into a struct wr; the reader is a cursor of the kind of struct
 * rd: it goes bad and stays bad. */
#ifndef LJS_BASE_PACK_H
#define LJS_BASE_PACK_H

#include "base/cursor.h"

void ljs__pack_map(struct wr *w, unsigned n);   /* then n times key, value */
void ljs__pack_array(struct wr *w, unsigned n); /* then n values */
void ljs__pack_uint(struct wr *w, uint64_t v);
void ljs__pack_int(struct wr *w, int64_t v);
void ljs__pack_bin(struct wr *w, const void *in, size_t in_len);
void ljs__pack_text(struct wr *w, const char *text);

/* Reading: strict about types and ranges, copies nothing, allocates nothing.  Begin with
 * `struct unpack u = { { in, in_len, false } };` and end with rd_done(&u.rd): values are
 * read one by one, a container by its header first.  What is bad gives 0, NULL or "";
 * a count is never more than the octets left can hold, so a loop over it is bounded. */
struct unpack {
    struct rd rd;
};

unsigned ljs__unpack_map(struct unpack *u);   /* number of pairs */
unsigned ljs__unpack_array(struct unpack *u); /* number of values */
uint64_t ljs__unpack_uint(struct unpack *u, uint64_t max);
int64_t ljs__unpack_int(struct unpack *u, int64_t min, int64_t max);
const uint8_t *ljs__unpack_bin(struct unpack *u, size_t *len, size_t max);
void ljs__unpack_fixed(struct unpack *u, void *out, size_t len); /* bin of exactly len octets */
/* text into out[room], NUL added; bad when it does not fit or contains NUL */
void ljs__unpack_text(struct unpack *u, char *out, size_t room);

#endif
