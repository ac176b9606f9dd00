/* Both ends of a join, as an end device and its network server see them.
 *
 *     end_device new                  a random device, as a line for `lorajs device import`
 *     end_device request N < LINE     the message that carries its join-request with DevNonce N
 *     end_device read N ANSWER < LINE what the answer (a file) says, once the device has checked it
 *
 * The device speaks LoRaWAN 1.0.4; its network server is that of NetID 000013. */
#include <lorajs/lorajs.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NET_ID = 0x000013, DEV_ADDR = 0x26011234 };

static int fail(const char *what, ljs_err err)
{
    fprintf(stderr, "%s: %s; %s\n", what, ljs_strerror(err), ljs_remedy(err));
    return EXIT_FAILURE;
}

static void put_hex(const uint8_t *octets, size_t n)
{
    while (n--)
        printf("%02x", *octets++);
}

static int new_device(void)
{
    ljs_key *keys[2] = { NULL, NULL };
    ljs_buf octets[2] = { { NULL, 0 }, { NULL, 0 } };
    ljs_err err = LJS_OK;

    for (int i = 0; !err && i < 2; i++)
        if (!(err = ljs_key_generate(&keys[i], 16)))
            err = ljs_key_export(&octets[i], keys[i]);
    if (!err) {
        printf("{\"dev_eui\":\"02"); /* locally administered, the rest random */
        put_hex(octets[0].data, 7);
        printf("\",\"join_eui\":\"0200000000000001\",\"lorawan_version\":\"1.0.4\",\"app_key\":\"");
        put_hex(octets[1].data, 16);
        printf("\"}\n");
    }
    for (int i = 0; i < 2; i++) {
        ljs_buf_free(&octets[i]);
        ljs_key_free(keys[i]);
    }
    return err ? fail("a new device", err) : EXIT_SUCCESS;
}

/* What the network server sends to the Join Server for this device. */
static ljs_err make_request(ljs_message *out, const ljs_import *device, uint16_t dev_nonce)
{
    ljs_frame frame = { .kind = LJS_FRAME_JOIN,
                        .join_eui = device->device.join_eui,
                        .dev_eui = device->device.dev_eui,
                        .nonce = dev_nonce };
    ljs_buf phy;
    ljs_err err = ljs_frame_sign(&phy, &frame, device->app);

    ljs_message_init(out);
    if (err)
        return err;
    out->type = LJS_MSG_JOIN_REQ;
    out->transaction_id = dev_nonce;
    snprintf(out->sender_id, sizeof out->sender_id, "%06x", NET_ID);
    snprintf(out->receiver_id, sizeof out->receiver_id, "%016" PRIx64, device->device.join_eui);
    out->mac = LJS_MAC_1_0_4;
    memcpy(out->phy, phy.data, out->phy_len = phy.len);
    out->dev_eui = device->device.dev_eui;
    out->dev_addr = DEV_ADDR;
    out->rx_delay = 1;
    out->has =
        LJS_M_MAC_VERSION | LJS_M_DEV_EUI | LJS_M_DEV_ADDR | LJS_M_DL_SETTINGS | LJS_M_RX_DELAY | LJS_M_TRANSACTION_ID;
    ljs_buf_free(&phy);
    return LJS_OK;
}

static int print_request(const ljs_message *req)
{
    ljs_buf text;
    ljs_err err = ljs_message_build(&text, req);

    if (err)
        return fail("the request", err);
    printf("%.*s\n", (int)text.len, (const char *)text.data);
    ljs_buf_free(&text);
    return EXIT_SUCCESS;
}

static int read_answer(const ljs_message *req, const ljs_import *device, uint16_t dev_nonce, const char *path)
{
    ljs_accept_of of = { .scheme = LJS_SCHEME_1_0, .kind = LJS_FRAME_JOIN, .nonce = dev_nonce };
    uint8_t text[65536];
    FILE *file = fopen(path, "rb");
    size_t len = file ? fread(text, 1, sizeof text, file) : 0;
    ljs_accept accept;
    ljs_message ans;
    ljs_err err = ljs_message_answer(&ans, req, text, len);

    if (file)
        fclose(file);
    if (!err)
        err = ljs_accept_open(&accept, &of, device->app, device->app, ans.phy, ans.phy_len);
    if (err)
        return fail("the answer", err);
    printf("device %016" PRIx64 " has joined network %06x as %08x; its JoinNonce is %u\n", req->dev_eui,
           (unsigned)accept.net_id, (unsigned)accept.dev_addr, (unsigned)accept.join_nonce);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    char line[4096];
    uint16_t dev_nonce;
    ljs_import device;
    ljs_message req;
    ljs_err err;
    int code;

    if (argc == 2 && !strcmp(argv[1], "new"))
        return new_device();
    if (!(argc == 3 && !strcmp(argv[1], "request")) && !(argc == 4 && !strcmp(argv[1], "read"))) {
        fprintf(stderr, "usage: end_device new | request N < LINE | read N ANSWER < LINE\n");
        return 2;
    }
    dev_nonce = (uint16_t)strtoul(argv[2], NULL, 10);
    err = ljs_import_parse(&device, (const uint8_t *)line, fread(line, 1, sizeof line, stdin));
    explicit_bzero(line, sizeof line); /* the root key stood in it */
    if (err)
        return fail("standard input", err);
    if ((err = make_request(&req, &device, dev_nonce)))
        code = fail("the request", err);
    else if (argc == 3)
        code = print_request(&req);
    else
        code = read_answer(&req, &device, dev_nonce, argv[3]);
    ljs_import_clear(&device);
    return code;
}
