/* fuzz_codec_claims.c -- laws of the bodies of claims, the first octet says of which kind:
 *  - one that is refused says why, in short and printable words that repeat nothing of it;
 *  - one that is taken has all that its kind must have, tokens of letters and digits, of a chip's proof
 *    both halves or neither, and no more devices than it may;
 *  - giving it back leaves nothing. */
#include "codec/claims.h"

#include "fuzz.h"

#include <string.h>

static void is_token(const char *text)
{
    CHECK(strnlen(text, CLAIM_TOKEN_ROOM) < CLAIM_TOKEN_ROOM);
    CHECK(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == strlen(text));
}

static void taken(const struct claim_body *b, enum claim_body_kind kind)
{
    const unsigned routed = CLAIM_BODY_CLAIM | CLAIM_BODY_TTJS | CLAIM_BODY_ACCEPT | CLAIM_BODY_CLAIMS;

    CHECK(!*b->fault);
    is_token(b->token);
    CHECK(!(kind & routed) || b->routing.set & LJS_ROUTE_HOME_NET_ID);
    CHECK(kind & (routed | CLAIM_BODY_ASSIGN) || !b->routing.set);
    CHECK(b->routing.home_net_id <= 0xffffff);
    CHECK(kind != CLAIM_BODY_TTJS || b->routing.set & LJS_ROUTE_AS_ID);
    CHECK(!b->kek == !*b->kek_label);
    CHECK(b->chip.has_challenge == b->chip.has_signature && (kind == CLAIM_BODY_CLAIM || !b->chip.has_challenge));
    CHECK(kind != CLAIM_BODY_OFFER || (*b->name && b->until > 0));
    CHECK(kind != CLAIM_BODY_ACCOUNT || *b->name);
    CHECK(!(kind & (CLAIM_BODY_ASSIGN | CLAIM_BODY_CLAIMS)) == !b->items_len);
    CHECK(b->items_len <= (kind == CLAIM_BODY_ASSIGN ? CLAIM_ASSIGN_MAX : CLAIM_CLAIMS_MAX));
    for (size_t i = 0; i < b->items_len; i++) {
        is_token(b->items[i].token);
        CHECK(b->items[i].chip.has_challenge == b->items[i].chip.has_signature);
        CHECK(b->items[i].named && (kind == CLAIM_BODY_ASSIGN || *b->items[i].token));
    }
}

static void refused(const struct claim_body *b)
{
    size_t len = strnlen(b->fault, sizeof b->fault), digits = 0;

    CHECK(len > 0 && len < sizeof b->fault);
    for (size_t i = 0; i < len; i++) {
        digits = strchr("0123456789abcdefABCDEF", b->fault[i]) ? digits + 1 : 0;
        CHECK(digits <= 8 && b->fault[i] >= 0x20 && b->fault[i] <= 0x7e);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum claim_body_kind kind = (enum claim_body_kind)(1U << (size ? data[0] & 7 : 0));
    struct claim_body body;
    ljs_err err = ljs__claim_body(&body, kind, size ? data + 1 : data, size ? size - 1 : 0);

    CHECK(err == LJS_OK || err == LJS_E_INVAL);
    if (err)
        refused(&body);
    else
        taken(&body, kind);
    ljs__claim_body_clear(&body);
    CHECK(!body.kek && !body.items && !body.items_len && !*body.token);
    return 0;
}
