/* element.h -- one entry of a manifest: its members, and what has to hold of them. */
#ifndef LJS_CODEC_ELEMENT_H
#define LJS_CODEC_ELEMENT_H

#include "base/json.h"
#include "codec/seen.h"
#include "codec/signers.h"

enum { UNIQUE_ID_LEN = 9, SIGNERS_KEPT = 8, CHAIN_LEN = 2, SIGNATURE_LEN = 64 };

/* What one manifest believes, and has seen. */
struct belief {
    struct trust trust;
    ljs_eui join_euis[LJS_MANIFEST_TRUST_MAX];
    unsigned join_euis_len;
    struct seen unique_ids, dev_euis;
    uint8_t signers[SIGNERS_KEPT]
                   [32]; /* hashes of chips' signers' certificates that were verified: many chips have one */
    unsigned signers_next;
};

/* Text of the entry; `at` is NULL for none. */
struct text {
    const char *at;
    size_t len;
};

/* A key of publicKeySet. */
struct public_key {
    bool ec, p256, has_x, has_y;
    uint8_t xy[64];
    unsigned certificates; /* how many; the first CHAIN_LEN are kept */
    struct part chain[CHAIN_LEN];
};

/* An element of modelInfo/publicData. */
struct public_data {
    bool in_data_zone, has_data;
    int64_t slot, offset;
    uint8_t first[8];
};

struct element {
    struct belief *belief;
    uint8_t *room; /* ELEMENT_ROOM octets, for copies of what the reader of JSON shows for a moment */
    size_t used;

    struct text payload, protected_header, signature; /* base64url */
    bool unsigned_header;                             /* names what only the protected header may */
    bool odd;                                         /* a member is not as it should be, in what is JSON */
    char header_id[20];

    bool es256, critical, has_x5t;
    char kid[KID_MAX];
    uint8_t x5t[32];
    const struct signer *signer;

    int64_t version;
    uint8_t unique_id[UNIQUE_ID_LEN];
    bool has_version, has_keys;
    unsigned certified; /* keys that have certificates */
    struct public_key key, this_key;
    struct public_data this_data;
    struct cert device, issuer;

    ljs_manifest_entry entry;
};

enum { ELEMENT_ROOM = 4 * LJS_MANIFEST_ENTRY_MAX };

/* Which members each of the three texts has; LJS_E_MESSAGE, with entry.detail. */
ljs_err ljs__element_entry(struct element *e, const uint8_t *in, size_t in_len);
ljs_err ljs__element_protected(struct element *e);
ljs_err ljs__element_payload(struct element *e);

/* Reads it all into e->entry; the rest of `e` is set but for belief and room.  LJS_OK also when it is
 * refused; else there was no memory. */
ljs_err ljs__element_read(struct element *e, const uint8_t *in, size_t in_len);

/* manifest.c: a manifest that believes whom the other does; NULL: Microchip. */
ljs_err ljs__manifest_like(ljs_manifest **out, const ljs_manifest *other);

/* How many entries an array has, good or not, and how far it was looked at.  LJS_E_INVAL: it is none, or cut short. */
ljs_err ljs__manifest_count(uint64_t *out, uint64_t *octets, const uint8_t *in, size_t in_len);

/* The stamp of an entry that is believed, over all that somebody goes on to believe of it: not index and offset. */
void ljs__entry_stamp(uint8_t out[16], const ljs_manifest_entry *e);

/* 18 lower-case hexadecimal digits. */
bool ljs__unique_id(uint8_t out[UNIQUE_ID_LEN], const char *text, size_t text_len);

#endif
