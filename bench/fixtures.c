#include "fixtures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct fixtures *fixtures_read(const char *path)
{
    struct fixtures *all = malloc(sizeof *all);
    FILE *file = fopen(path, "rb");

    if (!all || !file || fread(all, sizeof *all, 1, file) != 1 || memcmp(all->magic, "ljsbench", 8) != 0) {
        fprintf(stderr, "%s: no fixtures\n", path);
        exit(1);
    }
    fclose(file);
    return all;
}

/* ---- as messages ------------------------------------------------------------ */

static void hex(char *out, const uint8_t *in, size_t len)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        *out++ = digits[in[i] >> 4];
        *out++ = digits[in[i] & 15];
    }
    *out = 0;
}

size_t fixture_message(char out[MESSAGE_MAX], const struct fixture *f, char kind)
{
    char net_id[7], join_eui[17], dev_eui[17], dev_addr[9], request[47], cf_list[33];

    hex(net_id, f->net_id, 3);
    hex(join_eui, f->join_eui, 8);
    hex(dev_eui, f->dev_eui, 8);
    hex(dev_addr, f->dev_addr, 4);
    hex(request, f->request, sizeof f->request);
    hex(cf_list, f->cf_list, sizeof f->cf_list);
    return (size_t)snprintf(out, MESSAGE_MAX,
                            "{\"ProtocolVersion\":\"1.0\",\"SenderID\":\"%s\",\"ReceiverID\":\"%s\","
                            "\"TransactionID\":%u,\"MessageType\":\"JoinReq\",\"MACVersion\":\"%s\","
                            "\"PHYPayload\":\"%s\",\"DevEUI\":\"%s\",\"DevAddr\":\"%s\",\"DLSettings\":\"%02x\","
                            "\"RxDelay\":%u,\"CFList\":\"%s\"}",
                            net_id, join_eui, (unsigned)be(f->dev_addr, 4), kind == 'a' ? "1.0.3" : "1.1.0", request,
                            dev_eui, dev_addr, kind == 'a' ? f->dl_settings_a : f->dl_settings_b, f->rx_delay, cf_list);
}

/* Has it "name": ... "VALUE", in digits of either case? */
static bool has(const char *text, const char *name, const char *inside, const uint8_t *value, size_t len)
{
    char want[2 * 33 + 1], quoted[32];
    const char *at;

    hex(want, value, len);
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    at = strstr(text, quoted);
    if (at && inside) {
        snprintf(quoted, sizeof quoted, "\"%s\":", inside);
        at = strstr(at, quoted);
    }
    if (!at)
        return false;
    at += strlen(quoted);
    while (*at == ' ')
        at++;
    return *at == '"' && !strncasecmp(at + 1, want, 2 * len) && at[1 + 2 * len] == '"';
}

bool fixture_answered(const struct fixture *f, char kind, const uint8_t *answer, size_t answer_len)
{
    char text[4096];

    if (answer_len >= sizeof text)
        return false;
    memcpy(text, answer, answer_len);
    text[answer_len] = 0;
    if (kind == 'a')
        return has(text, "PHYPayload", NULL, f->accept_a, 33) && has(text, "NwkSKey", "AESKey", f->nwk_s_key_a, 16) &&
               has(text, "AppSKey", "AESKey", f->app_s_key_a, 16);
    if (kind == 'b')
        return has(text, "PHYPayload", NULL, f->accept_b, 33) &&
               has(text, "FNwkSIntKey", "AESKey", f->f_nwk_s_int_b, 16) &&
               has(text, "SNwkSIntKey", "AESKey", f->s_nwk_s_int_b, 16) &&
               has(text, "NwkSEncKey", "AESKey", f->nwk_s_enc_b, 16) &&
               has(text, "AppSKey", "AESKey", f->app_s_key_b, 16);
    return has(text, "PHYPayload", NULL, f->accept_b, 33) && has(text, "FNwkSIntKey", "AESKey", f->f_nwk_s_int_c, 24) &&
           has(text, "SNwkSIntKey", "AESKey", f->s_nwk_s_int_c, 24) &&
           has(text, "NwkSEncKey", "AESKey", f->nwk_s_enc_c, 24) && has(text, "AppSKey", "AESKey", f->app_s_key_c, 24);
}
