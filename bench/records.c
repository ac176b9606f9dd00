#include "works.h"

#include <stdlib.h>

__attribute__((weak)) ljs_err vault_ready(ljs_vault **out)
{
    static const uint8_t master[32] = { 0x62, 0x65, 0x6e, 0x63, 0x68 };

    return ljs_vault_new(out, master, sizeof master);
}

const struct keys *keys_ready(void)
{
    static struct keys *keys;

    if (keys)
        return keys;
    MUST(keys = calloc(1, sizeof *keys));
    MUST(!vault_ready(&keys->vault));
    MUST(!ljs_key_import(&keys->ns_kek, fixtures->ns_kek, 16) && !ljs_key_import(&keys->as_kek, fixtures->as_kek, 16));
    for (size_t i = 0; i < joins; i++)
        MUST(!ljs_key_import(&keys->nwk[i], fixtures->join[i].nwk_key, 16) &&
             !ljs_key_import(&keys->app[i], fixtures->join[i].app_key, 16));
    return keys;
}

/* An earlier join of the device: back = 1 is the one just before it. */
static ljs_buf joined(const ljs_buf *record, const struct fixture *f, const ljs_root_keys *roots,
                      const struct history *history, unsigned back)
{
    const struct keys *keys = keys_ready();
    const ljs_frame frame = { .kind = LJS_FRAME_JOIN,
                              .join_eui = be(f->join_eui, 8),
                              .dev_eui = be(f->dev_eui, 8),
                              .nonce = (uint16_t)(be(f->dev_nonce, 2) - back) };
    ljs_buf phy, next;
    ljs_join_req req;
    ljs_join_ans ans;

    MUST(!ljs_frame_sign(&phy, &frame, roots->nwk) && !ljs_join_req_init(&req));
    for (size_t at = 0; at < phy.len; at++)
        req.phy[at] = phy.data[at];
    req.phy_len = phy.len;
    req.mac = history->mac;
    req.net_id = (ljs_netid)be(f->net_id, 3);
    req.dev_addr = (ljs_devaddr)be(f->dev_addr, 4) + back;
    req.dl_settings = history->mac == LJS_MAC_1_1 ? f->dl_settings_b : f->dl_settings_a;
    req.rx_delay = f->rx_delay;
    req.now = 1700000000 - 86400 * (int64_t)back;
    MUST(!ljs_join(&ans, &next, keys->vault, &req, keys->ns_kek, "ns", keys->as_kek, "as", record->data, record->len));
    ljs_buf_free(&phy);
    return next;
}

ljs_buf record_of(const struct fixture *f, const ljs_root_keys *roots, const struct history *history)
{
    const struct keys *keys = keys_ready();
    ljs_device device = { .struct_size = sizeof device,
                          .dev_eui = be(f->dev_eui, 8),
                          .join_eui = be(f->join_eui, 8),
                          .mac = history->used ? LJS_MAC_1_0_3 : history->mac,
                          .next_join_nonce = (uint32_t)be(f->join_nonce, 3) - history->sessions,
                          .as_id = "as" };
    ljs_buf record, next;
    uint8_t *used = malloc(2 * (size_t)history->used + 1);
    uint16_t keep = (uint16_t)be(f->dev_nonce, 2);

    MUST(used);
    for (unsigned n = 0; n < history->used; n++) { /* all over the range, and none that is still to come */
        uint16_t nonce = (uint16_t)(n * (65536 / history->used));

        if (keep - nonce <= 8 && nonce <= keep)
            nonce = (uint16_t)(nonce + 16);
        used[2 * n] = (uint8_t)nonce;
        used[2 * n + 1] = (uint8_t)(nonce >> 8);
    }
    MUST(!ljs_device_make(&record, keys->vault, &device, roots, 0, -1, used, 2 * (size_t)history->used, NULL, 0));
    free(used);
    if (device.mac != history->mac) { /* a device that has been brought up to 1.1 keeps what it used before */
        device.mac = history->mac;
        MUST(!ljs_device_make(&next, keys->vault, &device, roots, 0, -1, NULL, 0, record.data, record.len));
        ljs_buf_free(&record);
        record = next;
    }
    for (unsigned back = history->sessions; back; back--) {
        next = joined(&record, f, roots, history, back);
        ljs_buf_free(&record);
        record = next;
    }
    return record;
}

ljs_buf *records_of(const struct history *history)
{
    const struct keys *keys = keys_ready();
    ljs_buf *records = calloc(JOINS, sizeof *records);

    MUST(records);
    for (size_t i = 0; i < joins; i++)
        records[i] =
            record_of(&fixtures->join[i], &(ljs_root_keys){ .nwk = keys->nwk[i], .app = keys->app[i] }, history);
    return records;
}

void peers_ready(ljs_server *server, bool keks)
{
    const struct keys *keys = keys_ready();
    ljs_peers *peers;

    MUST(!ljs_peers_new(&peers));
    MUST(!ljs_peers_add(peers, "ns", keks ? 0 : LJS_CLEAR_NS | LJS_CLEAR_AS));
    MUST(!ljs_peers_add_net_id(peers, "ns", (ljs_netid)be(fixtures->join[0].net_id, 3)));
    if (keks) {
        MUST(!ljs_server_put_kek(server, "ns-kek", keys->ns_kek, 0));
        MUST(!ljs_server_put_kek(server, "as-kek", keys->as_kek, 0));
        MUST(!ljs_peers_add_kek(peers, "ns", "ns-kek"));
        MUST(!ljs_peers_add(peers, "as", 0) && !ljs_peers_add_as_id(peers, "as", "as"));
        MUST(!ljs_peers_add_kek(peers, "as", "as-kek"));
    }
    MUST(!ljs_server_set_peers(server, peers));
    ljs_peers_free(peers);
}
