/* claims.h -- the bodies that accounts and claims take: JSON, strictly, and that of "ttjsv2" as The Things Stack sends
 * it, which may have members that we do not know. */
#ifndef LJS_CODEC_CLAIMS_H
#define LJS_CODEC_CLAIMS_H

#include <lorajs/device.h>

#include <stdbool.h>

enum claim_body_kind {
    CLAIM_BODY_CLAIM = 1,    /* {"owner_token":"...","home_net_id":"000013",...,"kek":{"label":"...","key":"HEX"},
                              * "chip":{"challenge":"HEX","signature":"HEX"}} */
    CLAIM_BODY_TTJS = 2,     /* {"ownerToken":"...","homeNetID":"000013",...} */
    CLAIM_BODY_ACCEPT = 4,   /* likewise, without a token */
    CLAIM_BODY_OFFER = 8,    /* {"to":"...","until":1800000000} */
    CLAIM_BODY_ENROL = 16,   /* {"owner_token":"...","valid_from":...,"valid_until":...}, each may be left out */
    CLAIM_BODY_ACCOUNT = 32, /* {"name":"..."} */
    CLAIM_BODY_ASSIGN = 64,  /* {"devices":["DevEUI",...],"home_net_id":...} */
    CLAIM_BODY_CLAIMS = 128, /* {"claims":[{"qr":"LW:D0:..."},{"dev_eui":"...","owner_token":"..."}],...} */
};

enum { CLAIM_ASSIGN_MAX = 1000, CLAIM_CLAIMS_MAX = 100, CLAIM_TOKEN_ROOM = 33, CLAIM_NAME_ROOM = 64 };

struct claim_chip { /* {"challenge":"HEX","signature":"HEX"} */
    uint8_t challenge[32], signature[64];
    bool has_challenge, has_signature; /* both, or neither */
};

struct claim_item {
    ljs_eui dev_eui;
    char token[CLAIM_TOKEN_ROOM];
    bool named; /* dev_eui is set */
    struct claim_chip chip;
};

struct claim_body {
    ljs_routing routing;
    char token[CLAIM_TOKEN_ROOM], name[CLAIM_NAME_ROOM]; /* the account, or whom it is offered to */
    struct claim_chip chip;
    int64_t start, until;
    bool lock, regenerate; /* of "ttjsv2" */
    char kek_label[LJS_LABEL_MAX];
    ljs_key *kek;             /* NULL for none */
    struct claim_item *items; /* in their order */
    size_t items_len, items_room;
    char fault[LJS_LABEL_MAX];
};

/* LJS_E_INVAL: out->fault names the member and says what is wrong, without repeating a value.  LJS_E_NOMEM.  Give it
 * back with the other whatever comes of it. */
ljs_err ljs__claim_body(struct claim_body *out, enum claim_body_kind kind, const uint8_t *in, size_t in_len);
void ljs__claim_body_clear(struct claim_body *body);

#endif
