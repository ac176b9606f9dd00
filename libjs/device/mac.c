#include "device/mac.h"

#include "base/cursor.h"

/* The first text of each version is the one we write; peers send them all. */
static const struct {
    char text[sizeof(uint64_t)];
    ljs_mac mac;
} versions[] = {
    { "1.0.0", LJS_MAC_1_0_0 }, { "1.0", LJS_MAC_1_0_0 },   { "1.0.1", LJS_MAC_1_0_1 }, { "1.0.2", LJS_MAC_1_0_2 },
    { "1.0.3", LJS_MAC_1_0_3 }, { "1.0.4", LJS_MAC_1_0_4 }, { "1.1", LJS_MAC_1_1 },     { "1.1.0", LJS_MAC_1_1 },
};

ljs_err ljs__mac_parse(ljs_mac *out, const char *text, size_t text_len)
{
    uint64_t it = text_len < sizeof it ? le64(up_to_eight(text, text_len)) : 0;

    *out = LJS_MAC_1_0_0;
    for (size_t i = 0; i < COUNT(versions); i++)
        if (memcmp(versions[i].text, &it, sizeof it) == 0) {
            *out = versions[i].mac;
            return LJS_OK;
        }
    return LJS_E_INVAL;
}

ljs_err ljs_mac_parse(ljs_mac *out, const char *text)
{
    return ljs__mac_parse(out, text, text ? strlen(text) : 0);
}

const char *ljs_mac_text(ljs_mac mac)
{
    for (size_t i = 0; i < COUNT(versions); i++)
        if (versions[i].mac == mac)
            return versions[i].text;
    return "?";
}
