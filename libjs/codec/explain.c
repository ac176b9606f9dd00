/* What frames of joining consist of, as tables, and in words. */
#include <lorajs/explain.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* ---- tables ---------------------------------------------------------------------- */

enum shape { HEX_LE, NUMBER_LE, AS_SENT, MHDR, REJOIN_TYPE, NET_ID, DL_SETTINGS, RX_DELAY, CF_LIST, SECRET };

struct field {
    const char *name;
    uint8_t len; /* octets; 0: all that is left */
    enum shape shape;
    const char *meaning;
};

static const char lsb[] = "sent least significant octet first";
static const char mic_text[] = "first four octets of AES-CMAC over all before, in their order";

/* [L2 1.0.4 §6.2.5] */
static const struct field join_fields[] = {
    { "MHDR", 1, MHDR, NULL },
    { "JoinEUI", 8, HEX_LE, lsb },
    { "DevEUI", 8, HEX_LE, lsb },
    { "DevNonce", 2, NUMBER_LE, "counter of the device from 1.0.4 on, random before; least significant octet first" },
    { "MIC", 4, AS_SENT, mic_text },
    { 0 },
};
/* [L2 1.1 §6.2.4.1] */
static const struct field rejoin02_fields[] = {
    { "MHDR", 1, MHDR, NULL },
    { "RejoinType", 1, REJOIN_TYPE, NULL },
    { "NetID", 3, NET_ID, "of the network the device is in" },
    { "DevEUI", 8, HEX_LE, lsb },
    { "RJcount0", 2, NUMBER_LE, "counts rejoins 0 and 2 of this session; least significant octet first" },
    { "MIC", 4, AS_SENT, mic_text },
    { 0 },
};
/* [L2 1.1 §6.2.4.2] */
static const struct field rejoin1_fields[] = {
    { "MHDR", 1, MHDR, NULL },
    { "RejoinType", 1, REJOIN_TYPE, NULL },
    { "JoinEUI", 8, HEX_LE, lsb },
    { "DevEUI", 8, HEX_LE, lsb },
    { "RJcount1", 2, NUMBER_LE, "counts rejoins 1 over the device's life; least significant octet first" },
    { "MIC", 4, AS_SENT, mic_text },
    { 0 },
};
static const struct field secret_fields[] = {
    { "MHDR", 1, MHDR, NULL },
    { "(encrypted)", 0, SECRET, "JoinNonce, NetID, DevAddr, DLSettings, RxDelay, CFList if any, MIC" },
    { 0 },
};
/* [L2 1.0.4 §6.2.6]; CFList and MIC are there where the octets reach */
static const struct field accept_fields[] = {
    { "MHDR", 1, MHDR, NULL },
    { "JoinNonce", 3, NUMBER_LE, "counter of the Join Server; least significant octet first" },
    { "NetID", 3, NET_ID, "the home network" },
    { "DevAddr", 4, HEX_LE, lsb },
    { "DLSettings", 1, DL_SETTINGS, NULL },
    { "RxDelay", 1, RX_DELAY, NULL },
    { "CFList", LJS_CFLIST_LEN, CF_LIST, NULL },
    { "MIC", 4, AS_SENT, "over the clear text" },
    { 0 },
};
static const struct field no_fields[] = { { "MHDR", 1, MHDR, NULL }, { 0 } };

static const char *const mtypes[8] = { "join-request",          "join-accept",       "unconfirmed data up",
                                       "unconfirmed data down", "confirmed data up", "confirmed data down",
                                       "rejoin-request",        "proprietary" };

static const char *const rejoin_text[3] = { "type 0: keep contact, and change network",
                                            "type 1: restore lost contact; may be sent at any time",
                                            "type 2: new keys in the same network" };

/* ---- words ----------------------------------------------------------------------- */

/* " 868.1": megahertz without the zeros behind. */
static void add_frequency(char *out, size_t room, uint32_t hz)
{
    int n = snprintf(out, room, hz ? " %u.%04u" : " unused", hz / 1000000, hz % 1000000 / 100);

    while (hz && n > 2 && out[n - 1] == '0' && out[n - 2] != '.')
        out[--n] = '\0';
}

static void explain_cf_list(ljs_field *row, const uint8_t *at)
{
    char *out = row->meaning;
    size_t room = sizeof row->meaning, n;
    ljs_cf_list list;

    snprintf(row->value, sizeof row->value, "CFListType %u", at[15]);
    if (ljs_cf_list_parse(&list, at, LJS_CFLIST_LEN)) {
        snprintf(out, room, "no CFList of RP002: reserved type or values");
        return;
    }
    n = (size_t)snprintf(out, room, list.type ? "channel masks" : "channels in MHz:");
    for (unsigned i = 0; list.type && i < 6; i++)
        n += (size_t)snprintf(out + n, room - n, "%s %u-%u: %04x", i ? "," : "", 16 * i, 16 * i + 15, list.mask[i]);
    for (unsigned i = 0; !list.type && i < 5; i++) {
        add_frequency(out + n, room - n, list.frequency[i]);
        n += strlen(out + n);
    }
}

static void explain(ljs_field *row, const struct field *f, const uint8_t *at, unsigned len)
{
    uint64_t number = 0;
    ljs_dl_settings dl;

    for (unsigned i = 0; i < len && i < 8; i++)
        number |= (uint64_t)at[i] << (8 * i);
    snprintf(row->meaning, sizeof row->meaning, "%s", f->meaning ? f->meaning : "");
    switch (f->shape) {
    case NUMBER_LE:
        snprintf(row->value, sizeof row->value, "%" PRIu64, number);
        break;
    case HEX_LE:
        snprintf(row->value, sizeof row->value, "%0*" PRIx64, (int)(2 * len), number);
        break;
    case AS_SENT:
        for (unsigned i = 0; i < len && i < 16; i++)
            snprintf(row->value + 2 * i, 3, "%02x", at[i]);
        break;
    case MHDR:
        snprintf(row->value, sizeof row->value, "%02x", at[0]);
        snprintf(row->meaning, sizeof row->meaning, "MType %u (%s), RFU %u, Major %u", at[0] >> 5, mtypes[at[0] >> 5],
                 at[0] >> 2 & 7, at[0] & 3);
        break;
    case REJOIN_TYPE:
        snprintf(row->value, sizeof row->value, "%u", at[0]);
        snprintf(row->meaning, sizeof row->meaning, "%s", at[0] < 3 ? rejoin_text[at[0]] : "reserved");
        break;
    case NET_ID:
        snprintf(row->value, sizeof row->value, "%06" PRIx64, number);
        snprintf(row->meaning, sizeof row->meaning, "%s, type %u; %s", f->meaning, (unsigned)(number >> 21), lsb);
        break;
    case DL_SETTINGS:
        dl = ljs_dl_settings_parse(at[0]);
        snprintf(row->value, sizeof row->value, "%02x", at[0]);
        snprintf(row->meaning, sizeof row->meaning, "OptNeg %u (%s), RX1DRoffset %u, RX2DataRate %u", dl.opt_neg,
                 dl.opt_neg ? "LoRaWAN 1.1" : "LoRaWAN 1.0", dl.rx1_dr_offset, dl.rx2_data_rate);
        break;
    case RX_DELAY:
        snprintf(row->value, sizeof row->value, "%u", at[0]);
        snprintf(row->meaning, sizeof row->meaning, "RX1 opens %u s after the uplink%s", at[0] & 15 ? at[0] & 15 : 1,
                 at[0] >> 4 ? "; RFU bits are set" : "");
        break;
    case CF_LIST:
        explain_cf_list(row, at);
        break;
    case SECRET:
        snprintf(row->value, sizeof row->value, "%u octets", len);
        break;
    }
}

/* ---- which fields ---------------------------------------------------------------- */

static const struct kind {
    ljs_frame_kind kind;
    const char *name;
    const struct field *fields;
} kinds[] = {
    { LJS_FRAME_JOIN, "join-request", join_fields },
    { LJS_FRAME_REJOIN0, "rejoin-request 0", rejoin02_fields },
    { LJS_FRAME_REJOIN1, "rejoin-request 1", rejoin1_fields },
    { LJS_FRAME_REJOIN2, "rejoin-request 2", rejoin02_fields },
};

enum { ACCEPT_LEN = 13, ACCEPT_CF_LEN = 29, MIC_LEN = 4 }; /* a join-accept in clear */

/* The fields of a frame, and its name; NULL for the name of what is none. */
static const struct field *fields_of(const char **name, const uint8_t *in, size_t in_len)
{
    ljs_frame frame;

    *name = NULL;
    if (in_len && in[0] == 0x20 && (in_len == ACCEPT_LEN + MIC_LEN || in_len == ACCEPT_CF_LEN + MIC_LEN)) {
        *name = "join-accept, encrypted";
        return secret_fields;
    }
    if (in_len && in[0] == 0x20 && (in_len == ACCEPT_LEN || in_len == ACCEPT_CF_LEN)) {
        *name = "join-accept in clear, without MIC";
        return accept_fields;
    }
    if (ljs_frame_parse(&frame, in, in_len))
        return no_fields;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].kind == frame.kind) {
            *name = kinds[i].name;
            return kinds[i].fields;
        }
    return no_fields;
}

/* Why these octets are no frame of joining. */
static void say_why(char *out, size_t room, const uint8_t *in, size_t in_len)
{
    static const char *const lengths[8] = {
        [0] = "23 octets", [1] = "17 octets, or 33 with CFList", [6] = "19 octets (types 0 and 2) or 24 (type 1)"
    };
    unsigned mtype = in_len ? in[0] >> 5 : 0;

    if (!in_len)
        snprintf(out, room, "There is nothing.");
    else if (!lengths[mtype])
        snprintf(out, room, "This is no frame of joining: its MType is %u, %s.", mtype, mtypes[mtype]);
    else if (in[0] & 0x1f)
        snprintf(out, room, "RFU and Major of MHDR must be 0 in a %s.", mtypes[mtype]);
    else if (mtype == 6 && in_len > 1 && in[1] > 2)
        snprintf(out, room, "RejoinType is 0, 1 or 2, not %u.", in[1]);
    else
        snprintf(out, room, "By its MHDR it is a %s, which has %s; this has %zu.", mtypes[mtype], lengths[mtype],
                 in_len);
}

/* The i-th of a table, as far as the octets reach. */
static ljs_err field_at(ljs_field *out, unsigned i, const struct field *f, const uint8_t *in, size_t in_len)
{
    size_t at = 0;

    *out = (ljs_field){ .first = 0 };
    for (; f->name; f++) {
        size_t len = f->len ? f->len : in_len - at;

        if (f->shape == CF_LIST && len > in_len - at) /* there is none */
            continue;
        if (!len || len > in_len - at)
            break;
        if (!i--) {
            out->first = (unsigned)at;
            out->len = (unsigned)len;
            snprintf(out->name, sizeof out->name, "%s", f->name);
            explain(out, f, in + at, (unsigned)len);
            return LJS_OK;
        }
        at += len;
    }
    return LJS_E_NOTFOUND;
}

void ljs_explain(ljs_explained *out, const uint8_t *in, size_t in_len)
{
    const char *name;
    const struct field *fields = fields_of(&name, in, in_len);
    ljs_field field;

    *out = (ljs_explained){ .is_frame = name != NULL };
    if (name)
        snprintf(out->text, sizeof out->text, "%s", name);
    else
        say_why(out->text, sizeof out->text, in, in_len);
    while (!field_at(&field, out->fields, fields, in, in_len))
        out->fields++;
}

ljs_err ljs_explain_field(ljs_field *out, unsigned i, const uint8_t *in, size_t in_len)
{
    const char *name;

    return field_at(out, i, fields_of(&name, in, in_len), in, in_len);
}

ljs_err ljs_explain_accept(ljs_field *out, unsigned i, const uint8_t *in, size_t in_len)
{
    *out = (ljs_field){ .first = 0 };
    if (in_len != ACCEPT_LEN && in_len != ACCEPT_LEN + MIC_LEN && in_len != ACCEPT_CF_LEN &&
        in_len != ACCEPT_CF_LEN + MIC_LEN)
        return LJS_E_SIZE;
    if (in[0] != 0x20)
        return LJS_E_FRAME;
    return field_at(out, i, accept_fields, in, in_len);
}
