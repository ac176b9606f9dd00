/* past.h -- what stands in files beside a store: markers and the ends of backups. */
#ifndef LJS_SERVER_PAST_H
#define LJS_SERVER_PAST_H

#include "base/secret.h"
#include "server/internal.h"

/* One place of a marker: the length of what is in it (2 octets, LE), a msgpack array and its tag. */
enum { PLACE_LEN = 512, PLACES_APART = 4096 }; /* no two in one block of a disk */

struct place {
    ljs_marker marker;
    uint64_t turn; /* the place with the higher one is newer */
    bool old;      /* its tag is of a master key that was replaced; not written */
};

/* `in` has PLACE_LEN octets.  LJS_E_SEAL, LJS_E_VERSION. */
ljs_err ljs__place_read(struct place *out, const ljs_vault *vault, const uint8_t *in, size_t in_len);
ljs_err ljs__place_write(uint8_t out[PLACE_LEN], const struct place *place, const ljs_vault *vault);

/* The end of a backup, behind the database: a msgpack array and its tag, their length (2 octets, LE), and
 * a word to know it by. */
enum { END_MAX = 512, END_WORD_LEN = 8, END_FOOT_LEN = 2 + END_WORD_LEN };

struct end {
    ljs_backup backup;
    uint8_t digest[LJS__DIGEST_LEN]; /* of the database */
};

/* `in` is what a file ends in, END_MAX octets or all of it; *end_len of them are the end of a backup.
 * LJS_E_SEAL, LJS_E_VERSION. */
ljs_err ljs__end_read(struct end *out, size_t *end_len, const ljs_vault *vault, const uint8_t *in, size_t in_len);
ljs_err ljs__end_write(ljs_buf *out, const struct end *end, const ljs_vault *vault);

#endif
