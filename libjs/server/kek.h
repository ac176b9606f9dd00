/* kek.h -- what the files of KEKs share. */
#ifndef LJS_SERVER_KEK_H
#define LJS_SERVER_KEK_H

#include "base/pack.h"
#include "server/internal.h"

enum { NEXT_MAX = 16 /* of one KEK */, HOPS_MAX = 8 };

/* ---- kek_record.c ----------------------------------------------------------- */

/* A label that is used in its place. */
struct kek_next {
    char peer[LJS_LABEL_MAX]; /* "" for all that have none of their own */
    unsigned use;             /* LJS_USE_... */
    char label[LJS_LABEL_MAX];
};

struct kek {
    char label[LJS_LABEL_MAX];
    const uint8_t *sealed;
    size_t sealed_len, len;
    bool plain, retired;
    struct unpack next; /* nexts of them */
    unsigned nexts;
};

extern const enum key_role ljs__role_kek[1];

void ljs__kek_read_next(struct unpack *u, struct kek_next *out);
/* *out borrows what it is read from.  LJS_E_SEAL, LJS_E_VERSION. */
ljs_err ljs__kek_read(struct kek *out, const ljs_vault *vault, const uint8_t *in, size_t in_len);
/* Which label is used in its place?  What is said of the peer itself counts before what is said of all. */
bool ljs__kek_succeeded(char out[LJS_LABEL_MAX], const struct kek *k, const char *peer, unsigned use);
/* Bound to its label, so that none can be filed under another's: LJS_E_SEAL. */
ljs_err ljs__kek_open(ljs_server *server, struct ring *ring, enum key_id id, const char *label, const ljs_buf *value);
ljs_err ljs__kek_pack(ljs_buf *out, const ljs_vault *vault, const struct kek *k, const struct kek_next *next);
/* What the ring has, as the KEK that *k otherwise is. */
ljs_err ljs__kek_write(ljs_buf *out, const ljs_vault *vault, struct ring *ring, enum key_id id, struct kek *k);

/* ---- kek.c ------------------------------------------------------------------ */

/* What is kept open of it. */
void ljs__kek_forget(ljs_server *server, const char *label);

#endif
