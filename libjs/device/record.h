/* record.h -- how a device record is laid out, and nothing of what it means.
 *
 * A record is one msgpack map with small integer keys, rising, the schema number first,
 * and a 16-octet keyed tag over all of it behind (keys/vault.h).  Root keys stand in it
 * as sealed sets, one for each epoch that is still needed.  Fields that are empty are
 * left out.  Older schemas are read for ever; a newer one is LJS_E_VERSION. */
#ifndef LJS_DEVICE_RECORD_H
#define LJS_DEVICE_RECORD_H

#include <lorajs/device.h>

#include "keys/vault.h"

#include <stdbool.h>

enum {
    RECORD_SCHEMA = 3, /* it was 1, and 2 where it is 4, while a request was kept as its digest, and tags were others */
    RECORD_SCHEMA_MOVED = 4, /* of a device that has moved: who does not know that must not answer for it */
    RECORD_SCHEMA_MOVED_1 = 2,
    EPOCHS_MAX =
        LJS_SESSIONS_MAX + 9, /* each session may stand on keys of its own; the current ones, those looked for */
    NONCE_MAP_LEN = 8192,     /* one bit for each of 65,536 DevNonces */
    ASKED_MAX = 4 + 1 + 8 + LJS_LABEL_MAX - 1, /* a name has no NUL there: repeat.c */
    STEP_ADDS = 176,            /* octets: a session, its nonce and its request by a peer of 80 octets add no more */
    JOIN_NONCE_END = 0x1000000, /* 24 bits: this one is not given any more */
    LOT_FORMAT = 3,             /* where a sealed set has a vault's 1, or 2 of one in a token */
};

/* DevNonces used, as they lie in a record: rising two-octet numbers (LE), or from 4096 of
 * them on a bit map; the length tells which.  `add` is one more, not yet written. */
struct nonces {
    const uint8_t *at;
    size_t len;
    int32_t add; /* -1: none */
};

bool ljs__nonces_has(const struct nonces *n, uint16_t nonce);
size_t ljs__nonces_count(const struct nonces *n);
/* As a bit map of NONCE_MAP_LEN octets. */
void ljs__nonces_map(uint8_t *map, const struct nonces *n);
/* From a bit map, in the shorter form. */
void ljs__nonces_write(struct wr *w, const uint8_t *map);

struct context { /* what belongs to one JoinEUI */
    ljs_eui join_eui;
    int32_t dev_nonce, rj_count1; /* the last accepted, -1 for none */
    struct nonces used;
};

struct key_set { /* the root keys of one epoch, sealed, or LOT_FORMAT | the label of the lot that they come of */
    uint16_t epoch, len;
    uint8_t keys; /* LJS_HAS_... */
    const uint8_t *at;
};

struct rekeying {  /* rekey.h */
    uint8_t state; /* ljs_rekey_state; 0: floor and at alone */
    uint8_t suite, flags, data_len;
    int8_t answer;
    bool confirmed;
    bool begun_anew;  /* the DevNonces of its JoinEUI: no more than once */
    bool was_exposed; /* before it was committed */
    uint16_t epoch, floor;
    uint32_t join_nonce_end;
    ljs_eui join_eui;
    int64_t at, until;
    uint8_t data[33], kcv[3];
};

/* A session as it was read, and the octets that it was read from: of seven in eight that a join leaves as they are,
 * those are written again.  That nobody can tell from the record; fuzz_device_record says so. */
struct origin {
    ljs_session session;
    const uint8_t *at;
    size_t len;
    unsigned context; /* the number of its JoinEUI there */
};

struct record { /* borrows the octets it was read from */
    ljs_device d;
    struct context context[LJS_JOIN_EUIS_MAX]; /* d.join_euis of them */
    ljs_session session[LJS_SESSIONS_MAX + 1]; /* d.sessions of them, newest first; one more for a moment */
    unsigned sets;
    bool has_digest, has_print, blocked;
    int32_t highest;      /* of a join that was refused for its count: what that had to exceed; -1 where none counts */
    uint64_t counting;    /* and which count it is: JoinEUI, or for RJcount0 the session's JoinNonce */
    size_t was;           /* octets that it was read from */
    const uint8_t *asked; /* of the request that the newest session answered: repeat.h */
    size_t asked_len;     /* 0: there is none, or nobody may ask again */
    uint8_t digest[16];   /* in place of that, until it joins again, where a build before schema 3 answered */
    uint8_t print[16];    /* ljs__record_root_print() of a removed device */
    struct rekeying rekey;
    unsigned origins;                       /* 0: none, or in octets that we would not write */
    struct key_set set[EPOCHS_MAX];         /* r->sets of them; the others are not even zero */
    struct origin origin[LJS_SESSIONS_MAX]; /* r->origins of them, likewise */
};

/* Parse; the tag is not looked at.  LJS_E_SEAL, LJS_E_VERSION. */
ljs_err ljs__record_read(struct record *out, const uint8_t *in, size_t in_len);
/* As ljs__vault_tagged(), by the schema that it says it is of. */
ljs_err ljs__record_tagged(bool *now, const ljs_vault *vault, const uint8_t *in, size_t in_len);
/* Check the tag, then parse: what every step begins with. */
ljs_err ljs__record_load(struct record *out, const ljs_vault *vault, const uint8_t *in, size_t in_len);
/* Write with its tag. */
ljs_err ljs__record_save(ljs_buf *out, const struct record *r, const ljs_vault *vault);

struct context *ljs__record_context(struct record *r, ljs_eui join_eui); /* NULL: not registered */

/* Is it of a device whose root keys never were here: ljs_device_make_keyless()? */
bool ljs__record_keyless(const struct record *r);
/* The root keys of an epoch into their ring slots, which are emptied first.  LJS_E_SEAL, LJS_E_LOT; LJS_E_NOKEY for a
 * device of which there are none. */
ljs_err ljs__record_keys(struct ring *ring, const ljs_vault *vault, const struct record *r, uint16_t epoch);
/* Seal what the ring has as the keys of an epoch, and put them among r's sets; *keep holds
 * the octets until r is saved. */
ljs_err ljs__record_seal(struct record *r, struct wr *keep, const ljs_vault *vault, struct ring *ring, uint16_t epoch);
/* Do the keys of a set come of a lot, and which?  `lot` may be NULL. */
bool ljs__record_lot(char lot[LJS_LABEL_MAX], const struct key_set *set);
/* Say in its place that these (LJS_HAS_...) come of the lot r->d.lot. */
ljs_err ljs__record_refer(struct record *r, struct wr *keep, uint8_t keys, uint16_t epoch);
/* Root keys of a device of a lot into their slots, which are emptied first.  LJS_E_LOT. */
ljs_err ljs__record_lot_keys(struct ring *ring, const ljs_vault *vault, const char *lot, uint8_t keys, ljs_eui dev_eui);
/* Bring each set under the vault's current master key; every one that is sealed is opened, whether or not it needs
 * that. *changed when one did, whose octets keep[] then has, one for each set.  LJS_E_SEAL. */
ljs_err ljs__record_rewrap(bool *changed, struct record *r, struct wr keep[EPOCHS_MAX], const ljs_vault *vault,
                           struct ring *ring);
/* A keyed fingerprint of the root keys in the ring. */
ljs_err ljs__record_print(uint8_t out[16], const ljs_vault *vault, struct ring *ring);
/* Of the one alone that signs join-requests: as long as that is the same, used nonces count. */
ljs_err ljs__record_root_print(uint8_t out[16], const ljs_vault *vault, struct ring *ring);
/* And of each by itself, whatever it is for; zeros where there is none. */
enum { ROOT_KEYS = 4 };
ljs_err ljs__record_each_print(uint8_t out[ROOT_KEYS][16], const ljs_vault *vault, struct ring *ring);

/* JoinNonces that the record's store may have given and forgotten are passed over; none is left when
 * 24 bits do not hold as many. */
void ljs__record_raise(struct record *r, uint32_t generation);

/* What the newest session answered is not answered again. */
static inline void ljs__record_unask(struct record *r)
{
    r->asked_len = 0;
    r->has_digest = false;
}

/* The newest eight sessions and the last one proven stay; key sets of no session and not
 * of the current epoch go. */
void ljs__record_trim(struct record *r);

#endif
