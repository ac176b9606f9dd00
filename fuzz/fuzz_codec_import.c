/* fuzz_codec_import.c -- laws of device lines:
 *  - a line that is refused says why and leaves nothing;
 *  - no fault repeats what could be a key: it is short, printable, and has no nine
 *    hexadecimal digits in a row;
 *  - a line that is taken has all that a device of its version must have. */
#include "fuzz.h"

#include <lorajs/import.h>

#include <string.h>

static int is_zero(const void *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (((const uint8_t *)at)[i])
            return 0;
    return 1;
}

static int is_fault(const char *text)
{
    size_t len = strnlen(text, LJS_LABEL_MAX), digits = 0;

    for (size_t i = 0; i < len; i++) {
        digits = strchr("0123456789abcdefABCDEF", text[i]) ? digits + 1 : 0;
        if (digits > 8 || text[i] < 0x20 || text[i] > 0x7e)
            return 0;
    }
    return len > 0 && len < LJS_LABEL_MAX;
}

static void refused(ljs_import i)
{
    CHECK(is_fault(i.fault));
    CHECK(i.dev_nonce == -1);
    i.dev_nonce = 0;
    i.device.struct_size = 0;
    CHECK(is_zero(&i, offsetof(ljs_import, fault)));
}

static void taken(const ljs_import *i)
{
    const ljs_device *d = &i->device;

    CHECK(i->fault[0] == 0);
    CHECK(d->struct_size == sizeof *d);
    CHECK(strcmp(ljs_mac_text(d->mac), "?") != 0);
    CHECK(d->join_euis >= 1 && d->join_euis <= LJS_JOIN_EUIS_MAX && d->join_eui == i->join_eui[0]);
    CHECK(d->mac >= LJS_MAC_1_1 ? i->nwk && i->app : i->nwk || i->app);
    CHECK(d->next_join_nonce <= 0x1000000);
    CHECK(d->mac >= LJS_MAC_1_0_4 ? i->dev_nonces.len == 0 : i->dev_nonce == -1);
    CHECK(i->dev_nonce >= -1 && i->dev_nonce <= 0xffff);
    CHECK(i->dev_nonces.len % 2 == 0 && i->dev_nonces.len <= 2 * 0x10000);
    CHECK(d->home_net_id <= 0xffffff && (d->has_home_net_id || !d->home_net_id));
    CHECK(d->has_home_ns_id || !d->home_ns_id);
    CHECK(!d->require_1_1 || d->mac >= LJS_MAC_1_1);
    CHECK(strnlen(d->ns_kek_label, LJS_LABEL_MAX) < LJS_LABEL_MAX);
    CHECK(strnlen(d->as_kek_label, LJS_LABEL_MAX) < LJS_LABEL_MAX);
    CHECK(strnlen(d->as_id, LJS_LABEL_MAX) < LJS_LABEL_MAX);
    CHECK(d->state == LJS_STATE_FRESH && d->epoch == 0 && d->keys == 0 && d->sessions == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ljs_import import;
    ljs_err err;

    memset(&import, 0xa5, sizeof import);
    err = ljs_import_parse(&import, data, size);
    CHECK(err == LJS_OK || err == LJS_E_INVAL);
    if (err)
        refused(import);
    else
        taken(&import);
    ljs_import_clear(&import);
    CHECK(!import.nwk && !import.app && !import.gen_app && !import.rekey && !import.dev_nonces.data);
    return 0;
}
