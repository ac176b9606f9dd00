#include <lorajs/frame.h>

#include "air/octets.h"

/* [RP002 "CFList"]  the last octet is CFListType. */
enum { FREQUENCIES = 0, MASKS = 1 };
enum {
    HZ = 100,                /* a frequency on air counts hundreds of Hz */
    LOWEST = 1000000,        /* of 100 Hz: "frequencies below 100 MHz are reserved" */
    MASKS_RFU = 3,           /* octets between the masks and CFListType */
    HIGHEST = (1 << 24) - 1, /* three octets */
};

/* 0 is "unused"; whatever else is below 100 MHz is reserved. */
static bool is_frequency(uint32_t on_air)
{
    return on_air == 0 || (on_air >= LOWEST && on_air <= HIGHEST);
}

ljs_err ljs_cf_list_parse(ljs_cf_list *out, const uint8_t *in, size_t in_len)
{
    struct rd r = { in, in_len, false };
    ljs_cf_list list = { 0 };

    memset(out, 0, sizeof *out);
    if (in_len != LJS_CFLIST_LEN)
        return LJS_E_SIZE;
    list.type = in[LJS_CFLIST_LEN - 1];
    if (list.type == FREQUENCIES) {
        for (size_t i = 0; i < COUNT(list.frequency); i++) {
            uint32_t on_air = (uint32_t)rd_le(&r, 3);

            if (!is_frequency(on_air))
                return LJS_E_FRAME;
            list.frequency[i] = on_air * HZ; /* below 2^32: 24 bits times 100 */
        }
    } else if (list.type == MASKS) {
        for (size_t i = 0; i < COUNT(list.mask); i++)
            list.mask[i] = (uint16_t)rd_le(&r, 2);
        if (rd_le(&r, MASKS_RFU))
            return LJS_E_FRAME;
    } else {
        return LJS_E_FRAME;
    }
    (void)rd_le(&r, 1);
    if (!rd_done(&r))
        return LJS_E_FRAME;
    *out = list;
    return LJS_OK;
}

static bool only_its_fields(const ljs_cf_list *list)
{
    uint32_t frequencies = 0;
    uint16_t masks = 0;

    for (size_t i = 0; i < COUNT(list->frequency); i++)
        frequencies |= list->frequency[i];
    for (size_t i = 0; i < COUNT(list->mask); i++)
        masks |= list->mask[i];
    return list->type == FREQUENCIES ? !masks : list->type == MASKS && !frequencies;
}

ljs_err ljs_cf_list_build(ljs_buf *out, const ljs_cf_list *list)
{
    uint8_t octets[LJS_CFLIST_LEN];
    struct octets o = { octets, 0, sizeof octets };

    *out = (ljs_buf){ NULL, 0 };
    if (!only_its_fields(list))
        return LJS_E_INVAL;
    for (size_t i = 0; list->type == FREQUENCIES && i < COUNT(list->frequency); i++) {
        if (list->frequency[i] % HZ || !is_frequency(list->frequency[i] / HZ))
            return LJS_E_INVAL;
        put_le(&o, list->frequency[i] / HZ, 3);
    }
    for (size_t i = 0; list->type == MASKS && i < COUNT(list->mask); i++)
        put_le(&o, list->mask[i], 2);
    put_le(&o, 0, list->type == MASKS ? MASKS_RFU : 0);
    put_le(&o, list->type, 1);
    return ljs_buf_copy(out, octets, o.len);
}
