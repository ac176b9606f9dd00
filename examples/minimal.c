/* A join in forty lines.  Storage is yours: a record goes in, a record comes out. */
#include <lorajs/lorajs.h>
#include <stdio.h>
#include <string.h>

static ljs_buf stored; /* your storage: one string of octets for each device */

int main(void)
{
    ljs_device device = { .struct_size = sizeof device,
                          .dev_eui = 0x0102030405060708,
                          .join_eui = 0x70b3d57ed0000000,
                          .mac = LJS_MAC_1_0_4 };
    ljs_frame uplink = { .kind = LJS_FRAME_JOIN, .dev_eui = device.dev_eui, .join_eui = device.join_eui, .nonce = 1 };
    ljs_buf master = { 0 }, phy = { 0 }, next = { 0 };
    ljs_key *master_key = NULL, *app_key = NULL;
    ljs_vault *vault = NULL;
    ljs_join_req req;
    ljs_join_ans ans;
    ljs_err err;

    if (!(err = ljs_key_generate(&master_key, 32)) && !(err = ljs_key_export(&master, master_key)))
        err = ljs_vault_new(&vault, master.data, master.len); /* seals root keys inside records */
    if (!err && !(err = ljs_key_generate(&app_key, 16)))
        err = ljs_device_make(&stored, vault, &device, &(ljs_root_keys){ .app = app_key }, 0, -1, NULL, 0, NULL, 0);

    if (!err && !(err = ljs_frame_sign(&phy, &uplink, app_key)) && !(err = ljs_join_req_init(&req))) {
        memcpy(req.phy, phy.data, req.phy_len = phy.len); /* what the device sent */
        req.mac = LJS_MAC_1_0_4;
        req.net_id = 0x000013;
        req.dev_addr = 0x26011234;
        req.clear = LJS_CLEAR_NS | LJS_CLEAR_AS; /* this program is network and application server too */
        err = ljs_join(&ans, &next, vault, &req, NULL, NULL, NULL, NULL, stored.data, stored.len);
    }
    if (!err) {
        ljs_buf_free(&stored); /* save first, answer then */
        stored = next;
        printf("JoinNonce %u, a join-accept of %zu octets, a record of %zu\n", (unsigned)ans.join_nonce, ans.phy_len,
               stored.len);
    }
    if (err)
        fprintf(stderr, "%s: %s\n", ljs_strerror(err), ljs_remedy(err));
    ljs_buf_free(&stored), ljs_buf_free(&phy), ljs_buf_free(&master);
    ljs_key_free(app_key), ljs_key_free(master_key), ljs_vault_free(vault);
    return err != LJS_OK;
}
