#include <lorajs/import.h>

#include "base/json.h"
#include "base/secret.h"
#include "base/text.h"

#include <stddef.h>
#include <stdio.h>

enum {
    LINE_MAX_LEN = 512 * 1024, /* room for all 65,536 used_dev_nonces */
    NONCES_MAX = 0x10000,
    KEY_LEN = 16,
    STACK_BELOW = 16 * 1024, /* deeper than reading ever goes: digits of keys went through it */
};

enum kind { EUI, NET_ID, VERSION, KEY, COUNTER, DEV_NONCE, LABEL, SWITCH, PUBLIC_KEY, EUIS, NONCES, KEY_NAMES };

enum {
    I_DEV_EUI,
    I_JOIN_EUI,
    I_JOIN_EUIS,
    I_LORAWAN_VERSION,
    I_NWK_KEY,
    I_APP_KEY,
    I_GEN_APP_KEY,
    I_REKEY_KEY,
    I_NEXT_JOIN_NONCE,
    I_LAST_DEV_NONCE,
    I_USED_DEV_NONCES,
    I_NS_KEK_LABEL,
    I_AS_KEK_LABEL,
    I_AS_ID,
    I_HOME_NET_ID,
    I_HOME_NS_ID,
    I_REQUIRE_1_1,
    I_X25519_PUBLIC_KEY,
    I_LOT,
    I_LOT_KEYS,
};

#define BIT(m) (UINT32_C(1) << (m))

static const struct member {
    const char *name;
    enum kind kind;
    size_t at;
} members[] = {
    [I_DEV_EUI] = { "dev_eui", EUI, offsetof(ljs_import, device.dev_eui) },
    [I_JOIN_EUI] = { "join_eui", EUI, offsetof(ljs_import, join_eui) },
    [I_JOIN_EUIS] = { "join_euis", EUIS, offsetof(ljs_import, join_eui) },
    [I_LORAWAN_VERSION] = { "lorawan_version", VERSION, offsetof(ljs_import, device.mac) },
    [I_NWK_KEY] = { "nwk_key", KEY, offsetof(ljs_import, nwk) },
    [I_APP_KEY] = { "app_key", KEY, offsetof(ljs_import, app) },
    [I_GEN_APP_KEY] = { "gen_app_key", KEY, offsetof(ljs_import, gen_app) },
    [I_REKEY_KEY] = { "rekey_key", KEY, offsetof(ljs_import, rekey) },
    [I_NEXT_JOIN_NONCE] = { "next_join_nonce", COUNTER, offsetof(ljs_import, device.next_join_nonce) },
    [I_LAST_DEV_NONCE] = { "last_dev_nonce", DEV_NONCE, offsetof(ljs_import, dev_nonce) },
    [I_USED_DEV_NONCES] = { "used_dev_nonces", NONCES, offsetof(ljs_import, dev_nonces) },
    [I_NS_KEK_LABEL] = { "ns_kek_label", LABEL, offsetof(ljs_import, device.ns_kek_label) },
    [I_AS_KEK_LABEL] = { "as_kek_label", LABEL, offsetof(ljs_import, device.as_kek_label) },
    [I_AS_ID] = { "as_id", LABEL, offsetof(ljs_import, device.as_id) },
    [I_HOME_NET_ID] = { "home_net_id", NET_ID, offsetof(ljs_import, device.home_net_id) },
    [I_HOME_NS_ID] = { "home_ns_id", EUI, offsetof(ljs_import, device.home_ns_id) },
    [I_REQUIRE_1_1] = { "require_1_1", SWITCH, offsetof(ljs_import, device.require_1_1) },
    [I_X25519_PUBLIC_KEY] = { "x25519_public_key", PUBLIC_KEY, offsetof(ljs_import, device.x25519_public_key) },
    [I_LOT] = { "lot", LABEL, offsetof(ljs_import, device.lot) },
    [I_LOT_KEYS] = { "lot_keys", KEY_NAMES, offsetof(ljs_import, device.keys) },
};

static const struct {
    unsigned member;
    uint8_t bit;
} root_keys[] = { { I_NWK_KEY, LJS_HAS_NWK_KEY },
                  { I_APP_KEY, LJS_HAS_APP_KEY },
                  { I_GEN_APP_KEY, LJS_HAS_GEN_APP_KEY },
                  { I_REKEY_KEY, LJS_HAS_REKEY_KEY } };

/* What a member is to be; all that a fault ever says about its value. */
static const char *const want[] = {
    [EUI] = "must be 16 hexadecimal digits",
    [NET_ID] = "must be 6 hexadecimal digits",
    [VERSION] = "must be one of \"1.0.0\" to \"1.0.4\" and \"1.1\", as text",
    [KEY] = "must be 32 hexadecimal digits",
    [COUNTER] = "must be a number from 1 to 16777216",
    [DEV_NONCE] = "must be a number from 0 to 65535",
    [LABEL] = "must be a text of 1 to 127 octets without control characters",
    [SWITCH] = "must be true or false",
    [PUBLIC_KEY] = "must be 64 hexadecimal digits",
    [EUIS] = "must be one to four different texts of 16 hexadecimal digits, in brackets",
    [NONCES] = "must be at most 65536 numbers from 0 to 65535, in brackets",
    [KEY_NAMES] = "must be different names of root keys, such as \"app_key\", in brackets",
};

struct reading {
    ljs_import *out;
    uint32_t there;
    unsigned within; /* the array that is open; COUNT(members) for none */
    struct wr nonces;
    ljs_err err; /* a fault of ours, not of the line */
};

static bool fault(struct reading *r, const char *name, const char *what)
{
    snprintf(r->out->fault, sizeof r->out->fault, "%s%s%s", name, *name ? ": " : "", what);
    return false;
}

static bool fault_of(struct reading *r, unsigned m)
{
    return fault(r, members[m].name, want[members[m].kind]);
}

/* Whoever puts a key where a name belongs shall not find it in our log: a name is only
 * quoted when it looks like one. */
static bool unknown_member(struct reading *r, const char *name)
{
    size_t len = strlen(name), digits = 0;

    if (len == 0)
        return fault(r, "", "there is a member that is none of ours");
    for (size_t i = 0; i < len; i++) {
        char c = name[i], small = (char)(c | 0x20);
        bool hex = (c >= '0' && c <= '9') || (small >= 'a' && small <= 'f');

        digits = hex ? digits + 1 : 0;
        if (digits >= 8 || len > 24 || !(hex || (small >= 'g' && small <= 'z') || c == '_'))
            return fault(r, "", "there is a member that is none of ours");
    }
    return fault(r, name, "is none of our members");
}

/* Hexadecimal of exactly n octets, one leading 0x allowed. */
static bool octets_of(uint8_t *out, size_t n, const char *text, size_t text_len)
{
    if (text_len == 2 * n + 2 && text[0] == '0' && text[1] == 'x') {
        text += 2;
        text_len -= 2;
    }
    return ljs__hex(out, n, text, text_len);
}

static bool number_of(uint64_t *out, size_t n, const char *text, size_t text_len)
{
    uint8_t octets[8];

    *out = 0;
    if (!octets_of(octets, n, text, text_len))
        return false;
    for (size_t i = 0; i < n; i++)
        *out = *out << 8 | octets[i];
    return true;
}

static bool read_key(struct reading *r, ljs_key **out, const struct json_event *event)
{
    uint8_t octets[KEY_LEN];
    bool ok = octets_of(octets, sizeof octets, event->text, event->text_len);

    if (ok)
        r->err = ljs_key_import(out, octets, sizeof octets);
    ljs__wipe(octets, sizeof octets);
    return ok;
}

static bool read_text(struct reading *r, unsigned m, const struct json_event *event)
{
    void *field = (uint8_t *)r->out + members[m].at;
    ljs_device *device = &r->out->device;
    const char *text = event->text;
    size_t len = event->text_len;
    char version[8] = "";
    uint64_t number;

    switch (members[m].kind) {
    case EUI:
        device->has_home_ns_id |= m == I_HOME_NS_ID;
        return number_of(field, 8, text, len);
    case NET_ID:
        if (!number_of(&number, 3, text, len))
            return false;
        device->has_home_net_id = 1;
        device->home_net_id = (ljs_netid)number;
        return true;
    case VERSION:
        if (len >= sizeof version)
            return false;
        memcpy(version, text, len);
        return ljs_mac_parse(&device->mac, version) == LJS_OK;
    case KEY:
        return read_key(r, field, event);
    case LABEL:
        if (len == 0 || len >= LJS_LABEL_MAX)
            return false;
        memcpy(field, text, len);
        return ljs__text_ok(field, LJS_LABEL_MAX);
    case PUBLIC_KEY:
        device->has_x25519 = 1;
        return octets_of(device->x25519_public_key, sizeof device->x25519_public_key, text, len);
    default:
        return false;
    }
}

static bool read_number(struct reading *r, unsigned m, int64_t number)
{
    switch (members[m].kind) {
    case COUNTER:
        if (number < 1 || number > 0x1000000)
            return false;
        r->out->device.next_join_nonce = (uint32_t)number;
        return true;
    case DEV_NONCE:
        if (number < 0 || number > 0xffff)
            return false;
        r->out->dev_nonce = (int32_t)number;
        return true;
    default:
        return false;
    }
}

static bool read_key_name(struct reading *r, const struct json_event *event)
{
    uint8_t *keys = &r->out->device.keys;

    for (size_t i = 0; event->type == JSON_TEXT && i < COUNT(root_keys); i++) {
        const char *name = members[root_keys[i].member].name;

        if (event->text_len == strlen(name) && !memcmp(event->text, name, event->text_len)) {
            bool twice = *keys & root_keys[i].bit;

            *keys |= root_keys[i].bit;
            return !twice;
        }
    }
    return false;
}

static bool read_element(struct reading *r, const struct json_event *event)
{
    ljs_import *out = r->out;

    if (members[r->within].kind == KEY_NAMES)
        return read_key_name(r, event);
    if (members[r->within].kind == NONCES) {
        if (event->type != JSON_INT || event->number < 0 || event->number > 0xffff || r->nonces.len == 2 * NONCES_MAX)
            return false;
        ljs__wr_le(&r->nonces, (uint64_t)event->number, 2);
        return true;
    }
    if (event->type != JSON_TEXT || out->device.join_euis == LJS_JOIN_EUIS_MAX ||
        !number_of(&out->join_eui[out->device.join_euis], 8, event->text, event->text_len))
        return false;
    for (unsigned i = 0; i < out->device.join_euis; i++)
        if (out->join_eui[i] == out->join_eui[out->device.join_euis])
            return false;
    out->device.join_euis++;
    return true;
}

static bool read_member(struct reading *r, const struct json_event *event)
{
    unsigned m = 0;
    bool ok = false;

    while (m < COUNT(members) && strcmp(members[m].name, event->name))
        m++;
    if (m == COUNT(members))
        return unknown_member(r, event->name);
    r->there |= BIT(m);
    switch (event->type) {
    case JSON_TEXT:
        ok = read_text(r, m, event);
        break;
    case JSON_INT:
        ok = read_number(r, m, event->number);
        break;
    case JSON_BOOL:
        if ((ok = members[m].kind == SWITCH))
            r->out->device.require_1_1 = (uint8_t)event->number;
        break;
    case JSON_ARRAY:
        if ((ok = members[m].kind == EUIS || members[m].kind == NONCES || members[m].kind == KEY_NAMES))
            r->within = m;
        break;
    default:
        break;
    }
    return ok ? r->err == LJS_OK : fault_of(r, m);
}

static bool on_event(void *ctx, const struct json_event *event)
{
    struct reading *r = ctx;

    if (event->depth == 1 && event->type != JSON_END)
        return read_member(r, event);
    if (event->depth == 1) {
        r->within = COUNT(members);
        return true;
    }
    return read_element(r, event) || fault_of(r, r->within);
}

/* [L2 1.1 §6.1.1]  two root keys; before that one, which some call NwkKey */
static bool finish_keys(struct reading *r)
{
    const ljs_import *out = r->out;

    if (r->there & BIT(I_LOT_KEYS))
        return fault(r, members[I_LOT_KEYS].name, "stands without lot");
    if (out->device.mac >= LJS_MAC_1_1 && !out->nwk)
        return fault(r, members[I_NWK_KEY].name, "is missing: LoRaWAN 1.1 needs nwk_key and app_key");
    if (out->device.mac >= LJS_MAC_1_1 && !out->app)
        return fault(r, members[I_APP_KEY].name, "is missing: LoRaWAN 1.1 needs nwk_key and app_key");
    if (!out->nwk && !out->app)
        return fault(r, members[I_APP_KEY].name, "is missing");
    return true;
}

static bool finish_lot(struct reading *r)
{
    const unsigned both = LJS_HAS_NWK_KEY | LJS_HAS_APP_KEY;
    unsigned had;
    ljs_device *device = &r->out->device;

    for (size_t i = 0; i < COUNT(root_keys); i++)
        if (r->there & BIT(root_keys[i].member))
            return fault(r, members[root_keys[i].member].name, "stands beside lot, of which the keys come");
    had = device->keys & both;
    if (r->there & BIT(I_LOT_KEYS) && (device->mac >= LJS_MAC_1_1 ? had != both : !had))
        return fault(r, members[I_LOT_KEYS].name, "must have app_key or nwk_key, and both for LoRaWAN 1.1");
    return true;
}

/* What no member says alone. */
static bool finish(struct reading *r)
{
    ljs_import *out = r->out;
    ljs_device *device = &out->device;
    uint32_t there = r->there;

    if (!(there & BIT(I_DEV_EUI)))
        return fault(r, members[I_DEV_EUI].name, "is missing");
    if (!(there & BIT(I_LORAWAN_VERSION)))
        return fault(r, members[I_LORAWAN_VERSION].name, "is missing");
    if (!(there & (BIT(I_JOIN_EUI) | BIT(I_JOIN_EUIS))))
        return fault(r, members[I_JOIN_EUI].name, "is missing");
    if ((there & BIT(I_JOIN_EUI)) && (there & BIT(I_JOIN_EUIS)))
        return fault(r, members[I_JOIN_EUIS].name, "stands beside join_eui; one of them is enough");
    if (there & BIT(I_JOIN_EUI))
        device->join_euis = 1;
    else if (device->join_euis == 0)
        return fault_of(r, I_JOIN_EUIS);
    device->join_eui = out->join_eui[0];

    if (!(there & BIT(I_LOT) ? finish_lot(r) : finish_keys(r)))
        return false;
    if (device->mac < LJS_MAC_1_1 && device->require_1_1)
        return fault(r, members[I_REQUIRE_1_1].name, "is for devices of LoRaWAN 1.1 only");

    /* [L2 1.0.4 §6.2.5]  a counter from 1.0.4 on, before that any number not used yet.
     * To ignore one that stands at the wrong version would let used nonces in again. */
    if (device->mac < LJS_MAC_1_0_4 && (there & BIT(I_LAST_DEV_NONCE)))
        return fault(r, members[I_LAST_DEV_NONCE].name, "is for LoRaWAN 1.0.4 and later; give used_dev_nonces instead");
    if (device->mac >= LJS_MAC_1_0_4 && (there & BIT(I_USED_DEV_NONCES)))
        return fault(r, members[I_USED_DEV_NONCES].name,
                     "is for LoRaWAN before 1.0.4; give last_dev_nonce, the highest of them, instead");
    return true;
}

/* All but `fault`. */
static void clear(ljs_import *import)
{
    ljs_key_free(import->nwk);
    ljs_key_free(import->app);
    ljs_key_free(import->gen_app);
    ljs_key_free(import->rekey);
    ljs_buf_free(&import->dev_nonces);
    memset(import, 0, offsetof(ljs_import, fault));
    import->dev_nonce = -1;
    import->device.struct_size = sizeof import->device;
}

ljs_err ljs_import_parse(ljs_import *out, const uint8_t *in, size_t in_len)
{
    struct reading r = { .out = out, .within = COUNT(members) };
    const char *why;
    ljs_err err;

    *out = (ljs_import){ .dev_nonce = -1, .device.struct_size = sizeof out->device };
    err = ljs__json_read(in, in_len, LINE_MAX_LEN, on_event, &r, &why);
    if (r.err)
        err = r.err;
    else if (err == LJS_E_MESSAGE) {
        if (why)
            fault(&r, "", why);
        err = LJS_E_INVAL;
    } else if (!err && !finish(&r))
        err = LJS_E_INVAL;
    if (!err)
        err = ljs__wr_take(&out->dev_nonces, &r.nonces);
    if (err)
        clear(out);
    ljs__wr_drop(&r.nonces);
    ljs__wipe_stack(STACK_BELOW);
    return err;
}

void ljs_import_clear(ljs_import *import)
{
    if (!import)
        return;
    clear(import);
    import->fault[0] = 0;
}

const char *ljs_import_example(void)
{
    /* The keys count up or down, so that nobody's device gets one of them unnoticed: an
     * import refuses them as weak. */
    return "{\"dev_eui\":\"70b3d57ed0000100\",\"join_eui\":\"70b3d57ed0000000\",\"lorawan_version\":\"1.0.0\","
           "\"app_key\":\"000102030405060708090a0b0c0d0e0f\",\"used_dev_nonces\":[7,4711,65535]}\n"
           "{\"dev_eui\":\"70b3d57ed0000101\",\"join_eui\":\"70b3d57ed0000000\",\"lorawan_version\":\"1.0.1\","
           "\"app_key\":\"101112131415161718191a1b1c1d1e1f\"}\n"
           "{\"dev_eui\":\"70b3d57ed0000102\",\"join_eui\":\"70b3d57ed0000000\",\"lorawan_version\":\"1.0.2\","
           "\"app_key\":\"202122232425262728292a2b2c2d2e2f\",\"next_join_nonce\":12,\"used_dev_nonces\":[]}\n"
           "{\"dev_eui\":\"70b3d57ed0000103\",\"join_eui\":\"70b3d57ed0000000\",\"lorawan_version\":\"1.0.3\","
           "\"app_key\":\"303132333435363738393a3b3c3d3e3f\",\"gen_app_key\":\"404142434445464748494a4b4c4d4e4f\","
           "\"ns_kek_label\":\"ns:000013\",\"as_kek_label\":\"as:example\",\"as_id\":\"as.example.org\"}\n"
           "{\"dev_eui\":\"70b3d57ed0000104\",\"join_euis\":[\"70b3d57ed0000000\",\"70b3d57ed0000001\"],"
           "\"lorawan_version\":\"1.0.4\",\"app_key\":\"505152535455565758595a5b5c5d5e5f\",\"next_join_nonce\":5,"
           "\"last_dev_nonce\":41,\"home_net_id\":\"000013\"}\n"
           "{\"dev_eui\":\"70b3d57ed0000110\",\"join_eui\":\"70b3d57ed0000000\",\"lorawan_version\":\"1.1\","
           "\"nwk_key\":\"606162636465666768696a6b6c6d6e6f\",\"app_key\":\"707172737475767778797a7b7c7d7e7f\","
           "\"rekey_key\":\"808182838485868788898a8b8c8d8e8f\",\"next_join_nonce\":1,\"last_dev_nonce\":0,"
           "\"home_net_id\":\"000013\",\"home_ns_id\":\"70b3d57ed0000a01\",\"require_1_1\":true,"
           "\"x25519_public_key\":\"8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a\"}\n";
}
