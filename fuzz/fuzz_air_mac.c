/* fuzz_air_mac.c -- laws of streams of MAC commands.  The first octet chooses direction and
 * octet order, the rest is the stream:
 *  - a stream is read from its beginning without a gap, and ends, or ends in what is refused;
 *  - whatever is refused leaves nothing and does not move the place;
 *  - a command that was read builds again to its octets but for the bits that are RFU, and
 *    what was built reads as the same fields;
 *  - the octet order matters to ForceRejoinReq alone. */
#include "fuzz.h"

#include <lorajs/mac.h>

#include <string.h>

static int is_zero(const void *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (((const uint8_t *)at)[i])
            return 0;
    return 1;
}

/* The bits of a payload's octet that are not RFU; all of a command that has no fields here. */
static uint8_t mask(const ljs_mac_command *c, unsigned i, ljs_octet_order order)
{
    switch (c->cid) {
    case LJS_CID_RESET:
    case LJS_CID_REKEY:
        return 0x0f;
    case LJS_CID_FORCE_REJOIN:
        return i == (unsigned)order ? 0x7f : 0x3f;
    case LJS_CID_REJOIN_PARAM_SETUP:
        return c->direction == LJS_UP ? 0x01 : 0xff;
    default:
        return 0xff;
    }
}

static void one(const ljs_mac_command *c, ljs_octet_order order, const uint8_t *at, size_t len)
{
    ljs_mac_command again;
    ljs_buf built;
    size_t moved = 0;
    ljs_err err;

    CHECK(len == 1u + c->len && c->cid == at[0] && !memcmp(c->payload, at + 1, c->len));
    CHECK(strcmp(ljs_mac_command_text(c->cid, c->direction), "?"));
    if ((err = ljs_mac_command_build(&built, c, order))) {
        CHECK(err == LJS_E_INVAL && c->cid == LJS_CID_FORCE_REJOIN && c->rejoin_type > 2);
        return;
    }
    CHECK(built.len == len && built.data[0] == c->cid);
    for (unsigned i = 0; i < c->len; i++)
        CHECK(built.data[1 + i] == (at[1 + i] & mask(c, i, order)));
    CHECK(ljs_mac_command_parse(&again, &moved, c->direction, order, built.data, built.len) == LJS_OK);
    CHECK(moved == built.len);
    memcpy(again.payload, c->payload, sizeof again.payload);
    CHECK(!memcmp(&again, c, sizeof again));
    ljs_buf_free(&built);

    moved = 0;
    CHECK(ljs_mac_command_parse(&again, &moved, c->direction, (ljs_octet_order)!order, at, len) == LJS_OK);
    CHECK(c->cid == LJS_CID_FORCE_REJOIN || !memcmp(&again, c, sizeof again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ljs_direction direction = size && data[0] & 1 ? LJS_DOWN : LJS_UP;
    ljs_octet_order order = size && data[0] & 2 ? LJS_HIGH_FIRST : LJS_LOW_FIRST;
    ljs_mac_command c;
    size_t at = 0, before;
    ljs_err err;

    if (!size)
        return 0;
    data++;
    size--;
    for (;;) {
        before = at;
        memset(&c, 0xa5, sizeof c);
        if ((err = ljs_mac_command_parse(&c, &at, direction, order, data, size)))
            break;
        CHECK(at > before && at <= size);
        one(&c, order, data + before, at - before);
    }
    CHECK(at == before && is_zero(&c, sizeof c));
    CHECK(err == LJS_E_NOTFOUND ? at == size : err == LJS_E_FRAME && at < size);
    return 0;
}
