/* A life of one device, told by the input: requests well and badly made, repeats, replays,
 * administration.
 * Laws: JoinNonce rises by one with every new session and never else; a nonce accepted is never
 * accepted again while it counts, but for the very repeat of the newest; who is refused changes
 * nothing and is told nothing; a forged MIC is never accepted. */
#include "base/cursor.h"
#include "base/secret.h"

#include <lorajs/join.h>

#include "fuzz.h"

static ljs_vault *vault;
static ljs_key *nwk, *app, *js_int;

enum { DEV = 0x0102030405060708, EUI = 0x1112131415161718 };

static void setup(void)
{
    static const uint8_t master[32] = { 9 }, a[16] = { 1, 9, 2, 8, 3, 7 }, b[16] = { 4, 6, 5, 5, 6 };
    const ljs_derivation what = { .name = LJS_KEY_JS_INT, .scheme = LJS_SCHEME_1_1, .dev_eui = DEV };

    if (vault)
        return;
    CHECK(!ljs_vault_new(&vault, master, sizeof master) && !ljs_key_import(&nwk, a, 16) &&
          !ljs_key_import(&app, b, 16));
    CHECK(!ljs_derive(&js_int, &what, nwk));
}

/* The SNwkSIntKey of the session a device would be in. */
static ljs_key *session_key(const ljs_session *s)
{
    const ljs_derivation what = { .name = LJS_KEY_S_NWK_S_INT,
                                  .scheme = s->scheme,
                                  .join_eui = s->join_eui,
                                  .net_id = s->net_id,
                                  .join_nonce = s->join_nonce,
                                  .nonce = s->nonce };
    ljs_key *key;

    CHECK(!ljs_derive(&key, &what, nwk));
    return key;
}

static void frame_of(ljs_join_req *req, const ljs_buf *record, uint8_t how, uint16_t nonce, bool forged)
{
    static const ljs_frame_kind kinds[] = { LJS_FRAME_JOIN, LJS_FRAME_REJOIN0, LJS_FRAME_REJOIN1, LJS_FRAME_REJOIN2 };
    ljs_frame frame = { .kind = kinds[how & 3], .dev_eui = DEV, .nonce = nonce };
    bool with_net = frame.kind == LJS_FRAME_REJOIN0 || frame.kind == LJS_FRAME_REJOIN2;
    ljs_key *own = NULL, *key = frame.kind == LJS_FRAME_JOIN ? nwk : js_int;
    ljs_session session;
    ljs_buf phy;

    if (with_net)
        frame.net_id = req->net_id;
    else
        frame.join_eui = EUI;
    if (with_net && !ljs_device_session(&session, how >> 2 & 7, record->data, record->len))
        key = own = session_key(&session);
    CHECK(!ljs_frame_sign(&phy, &frame, key));
    if (forged)
        phy.data[phy.len - 1] ^= 1;
    memcpy(req->phy, phy.data, phy.len);
    req->phy_len = phy.len;
    req->rejoin = frame.kind != LJS_FRAME_JOIN;
    ljs_buf_free(&phy);
    ljs_key_free(own);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ljs_mac macs[] = { LJS_MAC_1_0_0, LJS_MAC_1_0_3, LJS_MAC_1_0_4, LJS_MAC_1_1 };
    static const ljs_join_ans no_ans;
    struct rd in = { data, size, false };
    ljs_device d = { .struct_size = sizeof d, .dev_eui = DEV, .join_eui = EUI };
    ljs_root_keys keys = { .nwk = NULL, .app = NULL };
    ljs_buf record, next;
    ljs_join_req last = { .phy_len = 0 };
    uint8_t used[2][8192] = { { 0 } }; /* of joins, and of rejoin 1 */
    uint32_t join_nonce = 0;

    setup();
    keys.nwk = nwk;
    keys.app = app;
    d.mac = macs[rd_le(&in, 1) & 3];
    CHECK(!ljs_device_make(&record, vault, &d, &keys, LJS_MAKE_ALLOW_WEAK, -1, NULL, 0, NULL, 0));
    for (unsigned n = 0; n < 64 && !in.bad && in.left; n++) {
        uint8_t what = (uint8_t)rd_le(&in, 1), how = (uint8_t)rd_le(&in, 1);
        bool forged = what == 1, again = what == 2 && last.phy_len;
        ljs_join_req req;
        ljs_join_ans ans;
        ljs_err err;

        if (what == 3) {
            err = ljs_device_step(&next, vault, (ljs_device_act)(how & 3), record.data, record.len);
            if (!err && (how & 3) == LJS_DEVICE_RESET_NONCES)
                memset(used, 0, sizeof used);
            if (!err && next.data) {
                ljs_buf_free(&record);
                record = next;
            }
            continue;
        }
        CHECK(!ljs_join_req_init(&req));
        req.clear = LJS_CLEAR_NS | LJS_CLEAR_AS;
        req.net_id = how >> 7;
        req.mac = macs[rd_le(&in, 1) & 3];
        req.dl_settings = (uint8_t)rd_le(&in, 1);
        strcpy(req.peer, how & 64 ? "ns" : "");
        frame_of(&req, &record, how, (uint16_t)rd_le(&in, 2), forged);
        if (what == 4) { /* whatever octets */
            req.phy_len = rd_le(&in, 1) % (sizeof req.phy + 1);
            rd_copy(&in, req.phy, req.phy_len);
        }
        if (again) {
            memcpy(last.session_key_id, req.session_key_id, sizeof req.session_key_id);
            req = last;
        }
        err = ljs_join(&ans, &next, vault, &req, NULL, NULL, NULL, NULL, record.data, record.len);
        if (err) {
            CHECK(!next.data && memcmp(&ans, &no_ans, sizeof ans) == 0);
            continue;
        }
        CHECK(!forged || ans.on_word);
        if (ans.repeat) {
            CHECK(!next.data && ans.join_nonce == join_nonce);
            continue;
        }
        CHECK(next.data && ans.join_nonce == join_nonce + 1);
        join_nonce = ans.join_nonce;
        if (ans.kind == LJS_FRAME_JOIN || ans.kind == LJS_FRAME_REJOIN1) {
            uint8_t *map = used[ans.kind == LJS_FRAME_JOIN];

            CHECK(!(map[ans.nonce / 8] >> (ans.nonce % 8) & 1));
            map[ans.nonce / 8] |= (uint8_t)(1 << ans.nonce % 8);
        }
        last = req;
        ljs_buf_free(&record);
        record = next;
    }
    ljs_buf_free(&record);
    return 0;
}
