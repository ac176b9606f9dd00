#include "air/mac.h"

#include "air/octets.h"

/* clang-format off */
/* Every command of LoRaWAN 1.0.4 and 1.1 with the length of its payload, uplink and downlink.
 * [L2 1.0.4 §5, L2 1.1 §5 and, for class B and C, §14 and §18.1] */
static const struct command {
    uint8_t cid;
    struct { const char *name; uint8_t len; } way[2]; /* by ljs_direction; no name: it does not travel that way */
} commands[] = {
    { LJS_CID_RESET,              { { "ResetInd", 1 },            { "ResetConf", 1 }           } },
    { 0x02,                       { { "LinkCheckReq", 0 },        { "LinkCheckAns", 2 }        } },
    { 0x03,                       { { "LinkADRAns", 1 },          { "LinkADRReq", 4 }          } },
    { 0x04,                       { { "DutyCycleAns", 0 },        { "DutyCycleReq", 1 }        } },
    { 0x05,                       { { "RXParamSetupAns", 1 },     { "RXParamSetupReq", 4 }     } },
    { 0x06,                       { { "DevStatusAns", 2 },        { "DevStatusReq", 0 }        } },
    { 0x07,                       { { "NewChannelAns", 1 },       { "NewChannelReq", 5 }       } },
    { 0x08,                       { { "RXTimingSetupAns", 0 },    { "RXTimingSetupReq", 1 }    } },
    { 0x09,                       { { "TXParamSetupAns", 0 },     { "TXParamSetupReq", 1 }     } },
    { 0x0a,                       { { "DlChannelAns", 1 },        { "DlChannelReq", 4 }        } },
    { LJS_CID_REKEY,              { { "RekeyInd", 1 },            { "RekeyConf", 1 }           } },
    { 0x0c,                       { { "ADRParamSetupAns", 0 },    { "ADRParamSetupReq", 1 }    } },
    { LJS_CID_DEVICE_TIME,        { { "DeviceTimeReq", 0 },       { "DeviceTimeAns", 5 }       } },
    { LJS_CID_FORCE_REJOIN,       { { NULL, 0 },                  { "ForceRejoinReq", 2 }      } },
    { LJS_CID_REJOIN_PARAM_SETUP, { { "RejoinParamSetupAns", 1 }, { "RejoinParamSetupReq", 1 } } },
    { 0x10,                       { { "PingSlotInfoReq", 1 },     { "PingSlotInfoAns", 0 }     } },
    { 0x11,                       { { "PingSlotChannelAns", 1 },  { "PingSlotChannelReq", 4 }  } },
    { 0x12,                       { { "BeaconTimingReq", 0 },     { "BeaconTimingAns", 3 }     } },
    { 0x13,                       { { "BeaconFreqAns", 1 },       { "BeaconFreqReq", 3 }       } },
    { 0x20,                       { { "DeviceModeInd", 1 },       { "DeviceModeConf", 1 }      } },
};

/* The fields of those that we take part in, in the payload as one number; the bits that no
 * row names are RFU.  `max` is what may be built. */
enum { UP = 1 << LJS_UP, DOWN = 1 << LJS_DOWN };
static const struct field { uint8_t cid, ways, shift, mask, max, at; } fields[] = {
    /* [L2 1.1 §5.1, §5.10]  RFU (7..4), Minor (3..0) */
    { LJS_CID_RESET,              UP | DOWN, 0,  0x0f, 15, offsetof(ljs_mac_command, minor)       },
    { LJS_CID_REKEY,              UP | DOWN, 0,  0x0f, 15, offsetof(ljs_mac_command, minor)       },
    /* [L2 1.1 §5.13]  RFU (15..14), Period (13..11), Max_Retries (10..8), RFU (7), RejoinType (6..4), DR (3..0) */
    { LJS_CID_FORCE_REJOIN,       DOWN,      11, 0x07, 7,  offsetof(ljs_mac_command, period)      },
    { LJS_CID_FORCE_REJOIN,       DOWN,      8,  0x07, 7,  offsetof(ljs_mac_command, max_retries) },
    { LJS_CID_FORCE_REJOIN,       DOWN,      4,  0x07, 2,  offsetof(ljs_mac_command, rejoin_type) },
    { LJS_CID_FORCE_REJOIN,       DOWN,      0,  0x0f, 15, offsetof(ljs_mac_command, data_rate)   },
    /* [L2 1.1 §5.14]  MaxTimeN (7..4), MaxCountN (3..0); the answer: RFU (7..1), TimeOK (0) */
    { LJS_CID_REJOIN_PARAM_SETUP, DOWN,      4,  0x0f, 15, offsetof(ljs_mac_command, max_time_n)  },
    { LJS_CID_REJOIN_PARAM_SETUP, DOWN,      0,  0x0f, 15, offsetof(ljs_mac_command, max_count_n) },
    { LJS_CID_REJOIN_PARAM_SETUP, UP,        0,  0x01, 1,  offsetof(ljs_mac_command, time_ok)     },
};
/* clang-format on */

static const struct command *command_of(uint8_t cid, ljs_direction direction)
{
    if (direction != LJS_UP && direction != LJS_DOWN)
        return NULL;
    for (size_t i = 0; i < COUNT(commands); i++)
        if (commands[i].cid == cid && commands[i].way[direction].name)
            return &commands[i];
    return NULL;
}

static bool is_of(const struct field *f, const ljs_mac_command *command)
{
    return f->cid == command->cid && f->ways & 1u << command->direction;
}

/* How far left the i-th octet of n stands in the number. */
static unsigned shift_of(unsigned i, unsigned n, ljs_octet_order order)
{
    return 8 * (order == LJS_HIGH_FIRST ? n - 1 - i : i);
}

static void read_fields(ljs_mac_command *c, ljs_octet_order order)
{
    unsigned long number = 0;

    for (size_t i = 0; i < COUNT(fields); i++) {
        const struct field *f = &fields[i];

        if (!is_of(f, c))
            continue;
        number = 0;
        for (unsigned j = 0; j < c->len; j++)
            number |= (unsigned long)c->payload[j] << shift_of(j, c->len, order);
        ((uint8_t *)c)[f->at] = (uint8_t)(number >> f->shift & f->mask);
    }
}

ljs_err ljs_mac_command_parse(ljs_mac_command *out, size_t *at, ljs_direction direction, ljs_octet_order order,
                              const uint8_t *in, size_t in_len)
{
    const struct command *command;
    ljs_mac_command c = { .direction = direction };
    struct rd r;

    memset(out, 0, sizeof *out);
    if ((direction != LJS_UP && direction != LJS_DOWN) || (order != LJS_LOW_FIRST && order != LJS_HIGH_FIRST))
        return LJS_E_INVAL;
    if (*at >= in_len)
        return LJS_E_NOTFOUND;
    r = (struct rd){ in + *at, in_len - *at, false };
    c.cid = (uint8_t)rd_le(&r, 1);
    /* [L2 1.1 §5]  the length of a command is not in it: behind an unknown one nothing can be read */
    if (!(command = command_of(c.cid, direction)))
        return LJS_E_FRAME;
    c.len = command->way[direction].len;
    rd_copy(&r, c.payload, c.len);
    if (r.bad)
        return LJS_E_FRAME;
    read_fields(&c, order);
    *out = c;
    *at = in_len - r.left;
    return LJS_OK;
}

ljs_err ljs__mac_command_write(uint8_t out[LJS_MAC_COMMAND_MAX], size_t *out_len, const ljs_mac_command *command,
                               ljs_octet_order order)
{
    const struct command *known = command_of(command->cid, command->direction);
    struct octets o = { out, 0, LJS_MAC_COMMAND_MAX };
    unsigned long number = 0;
    bool has_fields = false;
    unsigned len;

    *out_len = 0;
    if (!known || (order != LJS_LOW_FIRST && order != LJS_HIGH_FIRST))
        return LJS_E_INVAL;
    len = known->way[command->direction].len;
    for (size_t i = 0; i < COUNT(fields); i++) {
        const struct field *f = &fields[i];
        uint8_t value = ((const uint8_t *)command)[f->at];

        if (!is_of(f, command))
            continue;
        if (value > f->max)
            return LJS_E_INVAL;
        number |= (unsigned long)value << f->shift;
        has_fields = true;
    }
    if (!has_fields && command->len != len)
        return LJS_E_INVAL;
    put_le(&o, command->cid, 1);
    for (unsigned i = 0; has_fields && i < len; i++)
        put_le(&o, number >> shift_of(i, len, order), 1);
    if (!has_fields)
        put(&o, command->payload, len);
    *out_len = o.len;
    return LJS_OK;
}

ljs_err ljs_mac_command_build(ljs_buf *out, const ljs_mac_command *command, ljs_octet_order order)
{
    uint8_t octets[LJS_MAC_COMMAND_MAX];
    size_t len;
    ljs_err err = ljs__mac_command_write(octets, &len, command, order);

    *out = (ljs_buf){ NULL, 0 };
    return err ? err : ljs_buf_copy(out, octets, len);
}

const char *ljs_mac_command_text(uint8_t cid, ljs_direction direction)
{
    const struct command *command = command_of(cid, direction);

    return command ? command->way[direction].name : "?";
}
