/* Values by the names of others, into a device of ours. */
#include "codec/bulk.h"

#include <lorajs/qr.h>

#include "base/secret.h"
#include "base/text.h"

#include <stdio.h>

enum { NONCES_MAX = 0x10000, JOIN_NONCE_MAX = 0xffffff };

bool ljs__bulk_fault(struct bulk_reading *r, const char *name, const char *what)
{
    ljs_import *entry = &r->row->entry;

    snprintf(entry->fault, sizeof entry->fault, "%s%s%s", name, *name ? ": " : "", what);
    return false;
}

const struct bulk_name *ljs__bulk_named(const struct bulk_family *family, const char *name, size_t len)
{
    for (size_t i = 0; i < family->names_len; i++)
        if (strlen(family->names[i].name) == len && !memcmp(family->names[i].name, name, len))
            return &family->names[i];
    return NULL;
}

/* ---- texts ----------------------------------------------------------------------- */

static bool octets_of(uint8_t *out, size_t n, const char *text, size_t len)
{
    if (len == 2 * n + 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        text += 2;
        len -= 2;
    }
    return ljs__hex(out, n, text, len);
}

static bool eui_of(ljs_eui *out, const char *text, size_t len)
{
    uint8_t octets[8];

    if (!octets_of(octets, sizeof octets, text, len))
        return false;
    *out = 0;
    for (size_t i = 0; i < sizeof octets; i++)
        *out = *out << 8 | octets[i];
    return true;
}

/* "1.0.3", "MAC_V1_0_3", "LORAWAN_1_0_3" */
static bool version_of(ljs_mac *out, const char *text, size_t len)
{
    static const char *const before[] = { "MAC_V", "LORAWAN_", "" };
    char version[8] = "";
    size_t skip = 0;

    for (size_t i = 0; !skip && i < COUNT(before); i++)
        if (len > strlen(before[i]) && !memcmp(text, before[i], strlen(before[i])))
            skip = strlen(before[i]);
    if (len - skip >= sizeof version)
        return false;
    for (size_t i = skip; i < len; i++)
        version[i - skip] = text[i];
    for (char *at = version; *at; at++)
        if (*at == '_')
            *at = '.';
    return ljs_mac_parse(out, version) == LJS_OK;
}

static bool number_of(int64_t *out, const char *text, size_t len)
{
    *out = 0;
    for (size_t i = 0; i < len; i++) {
        if (len > 9 || text[i] < '0' || text[i] > '9')
            return false;
        *out = *out * 10 + text[i] - '0';
    }
    return true;
}

static bool read_key(struct bulk_reading *r, enum bulk_field field, const char *name, const char *text, size_t len)
{
    ljs_import *entry = &r->row->entry;
    ljs_key **key = field == BULK_NWK_KEY ? &entry->nwk : field == BULK_APP_KEY ? &entry->app : &entry->gen_app;
    uint8_t octets[BULK_KEY_LEN];
    bool good = octets_of(octets, sizeof octets, text, len), none = false;

    if (good && r->family->nwk_is_root && field != BULK_NWK_KEY) {
        none = ljs__is_zero(octets, sizeof octets); /* what ChirpStack has where there is no key */
        ljs__public(&none, sizeof none);
    }
    if (good && !none)
        r->err = ljs_key_import(key, octets, sizeof octets);
    ljs__wipe(octets, sizeof octets);
    return good ? !r->err : ljs__bulk_fault(r, name, "must be 32 hexadecimal digits");
}

static bool is_word(const char *text, size_t len, const char *word)
{
    return strlen(word) == len && !memcmp(text, word, len);
}

/* As lenient as a label is sloppy, but for a text whose own checksum says that it was misread.  The token in it is a
 * credential, and nobody's here. */
static bool read_tag(struct bulk_reading *r, const char *name, const char *text, size_t len)
{
    ljs_import *entry = &r->row->entry;
    ljs_qr qr;
    bool good;

    if (eui_of(&entry->device.dev_eui, text, len))
        return true;
    good = !ljs_qr_parse(&qr, LJS_QR_LENIENT, (const uint8_t *)text, len) && (!qr.has_checksum || qr.checksum_good);
    if (good) {
        entry->device.dev_eui = qr.dev_eui;
        r->tagged = qr.join_eui;
        r->has_tagged = qr.has_join_eui;
    }
    ljs__wipe(&qr, sizeof qr);
    return good || ljs__bulk_fault(r, name, "must be 16 hexadecimal digits, or the text of a label with its checksum");
}

/* What somebody called it, as it was before the sheet: with no mark before a formula. */
static bool read_name(struct bulk_reading *r, const char *name, const char *text, size_t len)
{
    char *out = r->row->name;

    if (r->family->frame == BULK_TABLE && *text == '\'' && ljs__csv_formula(text, len)) {
        text++;
        len--;
    }
    if (len >= sizeof r->row->name || memchr(text, 0, len))
        return ljs__bulk_fault(r, name, "must be a text of at most 127 octets");
    memcpy(out, text, len);
    out[len] = '\0';
    return ljs__text_ok(out, sizeof r->row->name) ||
           ljs__bulk_fault(r, name, "must be a text of UTF-8 without control characters");
}

/* Is there such a value already?  Two that differ must not hide each other. */
static bool first_time(struct bulk_reading *r, enum bulk_field field, const char *name)
{
    if (field != BULK_USED_DEV_NONCES && field != BULK_IGNORED && r->there & BULK_BIT(field))
        return ljs__bulk_fault(r, name, "is there twice");
    r->there |= BULK_BIT(field);
    return true;
}

bool ljs__bulk_text(struct bulk_reading *r, enum bulk_field field, const char *name, const char *text, size_t len)
{
    ljs_import *entry = &r->row->entry;
    int64_t number;

    if (len == 0 || field == BULK_IGNORED || (r->family->frame == BULK_TABLE && is_word(text, len, "NULL")))
        return true;
    if (!first_time(r, field, name))
        return false;
    switch (field) {
    case BULK_DEV_EUI:
        return eui_of(&entry->device.dev_eui, text, len) || ljs__bulk_fault(r, name, "must be 16 hexadecimal digits");
    case BULK_TAG:
        r->there |= BULK_BIT(BULK_DEV_EUI);
        return read_tag(r, name, text, len);
    case BULK_SAME_DEV_EUI:
        return eui_of(&r->same, text, len) || ljs__bulk_fault(r, name, "must be 16 hexadecimal digits");
    case BULK_JOIN_EUI:
        return eui_of(&entry->join_eui[0], text, len) || ljs__bulk_fault(r, name, "must be 16 hexadecimal digits");
    case BULK_VERSION:
        return version_of(&entry->device.mac, text, len) ||
               ljs__bulk_fault(r, name, "must be a LoRaWAN version from 1.0.0 to 1.1");
    case BULK_NWK_KEY:
    case BULK_APP_KEY:
    case BULK_GEN_APP_KEY:
        return read_key(r, field, name, text, len);
    case BULK_SEALED_KEY:
        return ljs__bulk_fault(r, name, "the key is under another key; have it exported in clear");
    case BULK_NAME:
        return read_name(r, name, text, len);
    case BULK_CREATE:
        return is_word(text, len, "CREATE_OTAA") || is_word(text, len, "UPDATE_OTAA") ||
               ljs__bulk_fault(r, name, "must be CREATE_OTAA or UPDATE_OTAA");
    case BULK_ACTIVATION:
        return is_word(text, len, "OTAA") ||
               ljs__bulk_fault(r, name, "is not OTAA: the device does not join, and has no root key");
    case BULK_LAST_JOIN_NONCE:
    case BULK_NEXT_JOIN_NONCE:
    case BULK_LAST_DEV_NONCE:
    case BULK_USED_DEV_NONCES:
        r->there &= field == BULK_USED_DEV_NONCES ? UINT32_MAX : ~BULK_BIT(field);
        return number_of(&number, text, len) ? ljs__bulk_number(r, field, name, number)
                                             : ljs__bulk_fault(r, name, "must be a number");
    case BULK_EXPOSED:
        r->row->exposed = is_word(text, len, "true");
        return true;
    case BULK_IGNORED:
        break;
    }
    return true;
}

/* ---- numbers ----------------------------------------------------------------------- */

static bool add_dev_nonce(struct bulk_reading *r, const char *name, int64_t number)
{
    if (number < 0 || number > 0xffff)
        return ljs__bulk_fault(r, name, "must be numbers from 0 to 65535");
    if (r->dev_nonces.len == 2 * NONCES_MAX)
        return ljs__bulk_fault(r, name, "must be at most 65536 numbers");
    if (number > r->dev_nonce)
        r->dev_nonce = number;
    ljs__wr_le(&r->dev_nonces, (uint64_t)number, 2);
    return true;
}

bool ljs__bulk_number(struct bulk_reading *r, enum bulk_field field, const char *name, int64_t number)
{
    ljs_device *device = &r->row->entry.device;

    if (field == BULK_IGNORED)
        return true;
    if (!first_time(r, field, name))
        return false;
    switch (field) {
    case BULK_LAST_JOIN_NONCE:
        if (number < 0 || number > JOIN_NONCE_MAX)
            return ljs__bulk_fault(r, name, "must be a number from 0 to 16777215");
        device->next_join_nonce = (uint32_t)number + 1;
        return true;
    case BULK_NEXT_JOIN_NONCE:
        if (number < 0 || number > JOIN_NONCE_MAX + 1)
            return ljs__bulk_fault(r, name, "must be a number from 0 to 16777216");
        device->next_join_nonce = number ? (uint32_t)number : 1; /* a server that begins with 0 has given none */
        return true;
    case BULK_LAST_DEV_NONCE:
    case BULK_USED_DEV_NONCES:
        return add_dev_nonce(r, name, number);
    case BULK_EXPOSED:
        r->row->exposed = number != 0;
        return true;
    default:
        return ljs__bulk_fault(r, name, "must be a text");
    }
}

/* ---- the whole row -------------------------------------------------------------------- */

/* The root key of LoRaWAN 1.0.x where the format has it. */
static bool take_root(struct bulk_reading *r)
{
    ljs_import *entry = &r->row->entry;

    if (r->family->nwk_is_root && entry->device.mac < LJS_MAC_1_1) {
        if (!entry->nwk)
            return ljs__bulk_fault(r, "nwk_key", "is missing: this format has the root key of LoRaWAN 1.0.x there");
        ljs_key_free(entry->app);
        entry->app = entry->nwk;
        entry->nwk = NULL;
    }
    /* [L2 1.1 §6.1.1]  two root keys; before that one */
    if (entry->device.mac >= LJS_MAC_1_1 && (!entry->nwk || !entry->app))
        return ljs__bulk_fault(r, entry->nwk ? "app_key" : "nwk_key", "is missing: LoRaWAN 1.1 needs two root keys");
    return entry->nwk || entry->app || ljs__bulk_fault(r, "app_key", "is missing: there is no root key in it");
}

static bool take_join_nonce(struct bulk_reading *r)
{
    ljs_device *device = &r->row->entry.device;

    r->row->has_join_nonce = device->next_join_nonce != 0;
    if (!device->next_join_nonce)
        device->next_join_nonce = r->opts->next_join_nonce;
    if (!device->next_join_nonce)
        return ljs__bulk_fault(r, "", "does not say which JoinNonce comes next, and the device may have joined");
    return device->next_join_nonce > 1 || r->dev_nonce < 0 ||
           ljs__bulk_fault(r, "", "has used DevNonces, so that it joined, and no JoinNonce to go on from");
}

static bool take_dev_nonces(struct bulk_reading *r)
{
    ljs_import *entry = &r->row->entry;

    /* [L2 1.0.4 §6.2.5]  a counter from 1.0.4 on, before that any number not used yet */
    if (entry->device.mac < LJS_MAC_1_0_4) {
        r->err = ljs__wr_take(&entry->dev_nonces, &r->dev_nonces);
        return !r->err;
    }
    entry->dev_nonce = (int32_t)r->dev_nonce;
    if (r->row->has_join_nonce && entry->device.next_join_nonce > 1 && entry->dev_nonce < 0 &&
        r->family->places & BULK_BIT(BULK_LAST_DEV_NONCE))
        entry->dev_nonce = 0; /* it joined, and formats of protobuf leave a zero out */
    return true;
}

bool ljs__bulk_finish(struct bulk_reading *r)
{
    ljs_import *entry = &r->row->entry;
    ljs_device *device = &entry->device;

    if (!(r->there & BULK_BIT(BULK_DEV_EUI)))
        return ljs__bulk_fault(r, "dev_eui", "is missing");
    if (r->there & BULK_BIT(BULK_SAME_DEV_EUI) && r->same != device->dev_eui)
        return ljs__bulk_fault(r, "dev_eui", "is another with the keys than with the device");
    if (!(r->there & BULK_BIT(BULK_JOIN_EUI)) && !r->has_tagged && !r->opts->has_join_eui)
        return ljs__bulk_fault(r, "join_eui", "is missing");
    if (!(r->there & BULK_BIT(BULK_JOIN_EUI)))
        entry->join_eui[0] = r->has_tagged ? r->tagged : r->opts->join_eui;
    if (r->has_tagged && r->tagged != entry->join_eui[0])
        return ljs__bulk_fault(r, "join_eui", "is another than on the label");
    if (!(r->there & BULK_BIT(BULK_VERSION)) && !r->opts->mac)
        return ljs__bulk_fault(r, "lorawan_version", "is missing");
    if (!(r->there & BULK_BIT(BULK_VERSION)))
        device->mac = (ljs_mac)r->opts->mac;
    device->join_eui = entry->join_eui[0];
    device->join_euis = 1;
    return take_root(r) && take_join_nonce(r) && take_dev_nonces(r);
}
