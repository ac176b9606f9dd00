/* fuzz_air_frame.c -- laws of the frames:
 *  - whatever is accepted builds again to the same octets;
 *  - whatever is built parses again to the same fields;
 *  - whatever is refused leaves nothing, and each length has its own error. */
#include "fuzz.h"

#include <lorajs/frame.h>

#include <string.h>

static int is_zero(const void *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (((const uint8_t *)at)[i])
            return 0;
    return 1;
}

static int same(const ljs_buf *built, const uint8_t *data, size_t size)
{
    return built->len == size && memcmp(built->data, data, size) == 0;
}

static int same_frame(const ljs_frame *a, const ljs_frame *b)
{
    return a->kind == b->kind && a->join_eui == b->join_eui && a->dev_eui == b->dev_eui && a->net_id == b->net_id &&
           a->nonce == b->nonce && !memcmp(a->mic, b->mic, sizeof a->mic);
}

static int same_accept(const ljs_accept *a, const ljs_accept *b)
{
    return a->join_nonce == b->join_nonce && a->net_id == b->net_id && a->dev_addr == b->dev_addr &&
           a->dl_settings == b->dl_settings && a->rx_delay == b->rx_delay && a->has_cf_list == b->has_cf_list &&
           !memcmp(a->cf_list, b->cf_list, sizeof a->cf_list);
}

static int same_list(const ljs_cf_list *a, const ljs_cf_list *b)
{
    return a->type == b->type && !memcmp(a->frequency, b->frequency, sizeof a->frequency) &&
           !memcmp(a->mask, b->mask, sizeof a->mask);
}

static void parse(const uint8_t *data, size_t size)
{
    ljs_buf built;
    ljs_frame frame;
    ljs_accept accept;
    ljs_cf_list list;
    ljs_err err;

    memset(&frame, 0xa5, sizeof frame);
    err = ljs_frame_parse(&frame, data, size);
    CHECK((err == LJS_E_SIZE) == (size != 19 && size != 23 && size != 24));
    if (err) {
        CHECK(err == LJS_E_SIZE || err == LJS_E_FRAME);
        CHECK(is_zero(&frame, sizeof frame));
    } else {
        CHECK(size == (frame.kind == LJS_FRAME_JOIN ? 23 : frame.kind == LJS_FRAME_REJOIN1 ? 24 : 19));
        CHECK(frame.nonce == (data[size - 6] | data[size - 5] << 8));
        CHECK(!memcmp(frame.mic, data + size - 4, 4));
        CHECK(ljs_frame_build(&built, &frame) == LJS_OK && same(&built, data, size));
        ljs_buf_free(&built);
    }

    memset(&accept, 0xa5, sizeof accept);
    err = ljs_accept_parse(&accept, data, size);
    CHECK((err == LJS_E_SIZE) == (size != 13 && size != 29));
    if (err) {
        CHECK(err == LJS_E_SIZE || err == LJS_E_FRAME);
        CHECK(is_zero(&accept, sizeof accept));
    } else {
        CHECK(accept.has_cf_list == (size == 29) && accept.join_nonce <= 0xffffff && accept.net_id <= 0xffffff);
        CHECK(ljs_accept_build(&built, &accept) == LJS_OK && same(&built, data, size));
        ljs_buf_free(&built);
    }

    memset(&list, 0xa5, sizeof list);
    err = ljs_cf_list_parse(&list, data, size);
    CHECK((err == LJS_E_SIZE) == (size != 16));
    if (err) {
        CHECK(err == LJS_E_SIZE || err == LJS_E_FRAME);
        CHECK(is_zero(&list, sizeof list));
    } else {
        CHECK(list.type == data[15] && list.type <= 1);
        CHECK(ljs_cf_list_build(&built, &list) == LJS_OK && same(&built, data, size));
        ljs_buf_free(&built);
    }
}

/* The octets as fields: mostly out of their ranges, which is refused, or in them. */
static void build(const uint8_t *data, size_t size)
{
    ljs_buf built;
    ljs_frame frame = { 0 }, frame_again;
    ljs_accept accept = { 0 }, accept_again;
    ljs_cf_list list = { 0 }, list_again;
    ljs_dl_settings settings = { 0 };
    uint8_t octet;
    ljs_err err;

    memcpy(&frame, data, size < sizeof frame ? size : sizeof frame);
    if ((err = ljs_frame_build(&built, &frame)))
        CHECK(err == LJS_E_INVAL && !built.data && !built.len);
    else
        CHECK(ljs_frame_parse(&frame_again, built.data, built.len) == LJS_OK && same_frame(&frame, &frame_again));
    ljs_buf_free(&built);

    memcpy(&accept, data, size < sizeof accept ? size : sizeof accept);
    if ((err = ljs_accept_build(&built, &accept)))
        CHECK(err == LJS_E_INVAL && !built.data && !built.len);
    else
        CHECK(ljs_accept_parse(&accept_again, built.data, built.len) == LJS_OK && same_accept(&accept, &accept_again));
    ljs_buf_free(&built);

    memcpy(&list, data, size < sizeof list ? size : sizeof list);
    if ((err = ljs_cf_list_build(&built, &list)))
        CHECK(err == LJS_E_INVAL && !built.data && !built.len);
    else
        CHECK(ljs_cf_list_parse(&list_again, built.data, built.len) == LJS_OK && same_list(&list, &list_again));
    ljs_buf_free(&built);

    memcpy(&settings, data, size < sizeof settings ? size : sizeof settings);
    if ((err = ljs_dl_settings_build(&octet, &settings))) {
        CHECK(err == LJS_E_INVAL && octet == 0);
    } else {
        ljs_dl_settings again = ljs_dl_settings_parse(octet);

        CHECK(!memcmp(&again, &settings, sizeof settings));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse(data, size);
    build(data, size);
    return 0;
}
