/* fuzz_air_data.c -- laws of data frames:
 *  - whatever is accepted has its fields where L2 1.1 §4 puts them, and builds again to the
 *    same octets;
 *  - whatever is built parses again to the same fields;
 *  - whatever is refused leaves nothing. */
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

static int same(const ljs_data *a, const ljs_data *b)
{
    return a->direction == b->direction && a->confirmed == b->confirmed && a->dev_addr == b->dev_addr &&
           a->adr == b->adr && a->adr_ack_req == b->adr_ack_req && a->ack == b->ack && a->pending == b->pending &&
           a->fcnt == b->fcnt && a->fopts_len == b->fopts_len && a->has_fport == b->has_fport && a->fport == b->fport &&
           a->frm_payload_len == b->frm_payload_len && !memcmp(a->fopts, b->fopts, a->fopts_len) &&
           !memcmp(a->frm_payload, b->frm_payload, a->frm_payload_len) && !memcmp(a->mic, b->mic, sizeof a->mic);
}

static void parse(const uint8_t *data, size_t size)
{
    ljs_buf built;
    ljs_data d;
    ljs_err err;

    memset(&d, 0xa5, sizeof d);
    if ((err = ljs_data_parse(&d, data, size))) {
        CHECK(err == LJS_E_SIZE || err == LJS_E_FRAME);
        CHECK(err == LJS_E_SIZE || (size >= 12 && size <= 255));
        CHECK(is_zero(&d, sizeof d));
        return;
    }
    CHECK(data[0] == 0x40 || data[0] == 0x60 || data[0] == 0x80 || data[0] == 0xa0);
    CHECK(d.direction == (data[0] & 0x20 ? LJS_DOWN : LJS_UP) && d.confirmed == data[0] >> 7);
    CHECK(d.dev_addr == (data[1] | data[2] << 8 | data[3] << 16 | (uint32_t)data[4] << 24));
    CHECK((d.adr << 7 | d.adr_ack_req << 6 | d.ack << 5 | d.pending << 4 | d.fopts_len) == data[5]);
    CHECK(d.fcnt == (data[6] | data[7] << 8));
    CHECK(size == 12u + d.fopts_len + d.has_fport + d.frm_payload_len);
    CHECK(!memcmp(d.fopts, data + 8, d.fopts_len));
    CHECK(!d.has_fport || d.fport == data[8 + d.fopts_len]);
    CHECK(!memcmp(d.frm_payload, data + size - 4 - d.frm_payload_len, d.frm_payload_len));
    CHECK(!memcmp(d.mic, data + size - 4, 4));
    CHECK(!d.fopts_len || !d.has_fport || d.fport);
    CHECK(ljs_data_build(&built, &d) == LJS_OK && built.len == size && !memcmp(built.data, data, size));
    ljs_buf_free(&built);
}

/* The octets as fields: mostly in their ranges, or out of them, which is refused. */
static void build(const uint8_t *data, size_t size)
{
    ljs_data d = { 0 }, again;
    ljs_buf built;
    ljs_err err;

    if (size < 10)
        return;
    d.direction = (ljs_direction)(data[0] & 3);
    d.confirmed = data[0] >> 2 & 3;
    d.adr = data[0] >> 4 & 1;
    d.adr_ack_req = data[0] >> 5 & 1;
    d.ack = data[0] >> 6 & 1;
    d.pending = data[0] >> 7;
    d.fcnt = (uint16_t)(data[1] | data[2] << 8);
    d.fopts_len = data[3] & 31;
    d.has_fport = data[3] >> 5 & 3;
    d.fport = data[4];
    d.frm_payload_len = data[5];
    size -= 6;
    memcpy(d.fopts, data + 6, size < sizeof d.fopts ? size : sizeof d.fopts);
    memcpy(d.frm_payload, data + 6, size < sizeof d.frm_payload ? size : sizeof d.frm_payload);
    memcpy(d.mic, data + 6, sizeof d.mic);
    if ((err = ljs_data_build(&built, &d)))
        CHECK(err == LJS_E_INVAL && !built.data && !built.len);
    else
        CHECK(ljs_data_parse(&again, built.data, built.len) == LJS_OK && same(&d, &again));
    ljs_buf_free(&built);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse(data, size);
    build(data, size);
    return 0;
}
