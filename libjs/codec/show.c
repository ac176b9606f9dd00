#include <lorajs/import.h>

#include "base/json.h"
#include "base/secret.h"

static void member_text(struct wr *w, const char *name, const char *text)
{
    if (!text[0])
        return;
    ljs__json_name(w, name);
    ljs__json_text(w, text);
}

static void member_number(struct wr *w, const char *name, int64_t number)
{
    ljs__json_name(w, name);
    ljs__json_number(w, number);
}

static void member_hex(struct wr *w, const char *name, uint64_t number, unsigned digits)
{
    ljs__json_name(w, name);
    ljs__json_hex_number(w, number, digits);
}

static void member_octets(struct wr *w, const char *name, const uint8_t *in, size_t in_len)
{
    ljs__json_name(w, name);
    ljs__json_hex(w, in, in_len);
}

static const char *state_text(ljs_state state)
{
    static const char *const texts[] = {
        [LJS_STATE_FRESH] = "fresh",
        [LJS_STATE_JOINED] = "joined",
        [LJS_STATE_BLOCKED] = "blocked",
        [LJS_STATE_REMOVED] = "removed",
    };

    return (size_t)state < COUNT(texts) ? texts[state] : "?";
}

static const char *kind_text(ljs_frame_kind kind)
{
    static const struct {
        ljs_frame_kind kind;
        const char *text;
    } texts[] = {
        { LJS_FRAME_JOIN, "join" },
        { LJS_FRAME_REJOIN0, "rejoin0" },
        { LJS_FRAME_REJOIN1, "rejoin1" },
        { LJS_FRAME_REJOIN2, "rejoin2" },
    };

    for (size_t i = 0; i < COUNT(texts); i++)
        if (texts[i].kind == kind)
            return texts[i].text;
    return "?";
}

/* Names alone: the record does not show its keys to anyone without the vault. */
static void show_keys(struct wr *w, uint8_t keys)
{
    static const struct {
        uint8_t bit;
        const char *name;
    } rows[] = {
        { LJS_HAS_NWK_KEY, "nwk_key" },
        { LJS_HAS_APP_KEY, "app_key" },
        { LJS_HAS_GEN_APP_KEY, "gen_app_key" },
        { LJS_HAS_REKEY_KEY, "rekey_key" },
    };

    ljs__json_name(w, "keys");
    ljs__json_open(w, '[');
    for (size_t i = 0; i < COUNT(rows); i++)
        if (keys & rows[i].bit)
            ljs__json_text(w, rows[i].name);
    ljs__json_close(w, ']');
}

/* One JoinEUI as import.h writes it, several with their own nonces below. */
static ljs_err show_join_euis(struct wr *w, const ljs_device *device, const uint8_t *record, size_t record_len)
{
    ljs_join_eui each;
    ljs_err err = LJS_OK;

    if (device->join_euis == 1) {
        member_hex(w, "join_eui", device->join_eui, 16);
        return LJS_OK;
    }
    ljs__json_name(w, "join_euis");
    ljs__json_open(w, '[');
    for (unsigned i = 0; !err && i < device->join_euis; i++)
        if (!(err = ljs_device_join_eui(&each, i, record, record_len)))
            ljs__json_hex_number(w, each.join_eui, 16);
    ljs__json_close(w, ']');
    return err;
}

static ljs_err show_dev_nonces(struct wr *w, const ljs_device *device, unsigned i, const uint8_t *record,
                               size_t record_len)
{
    ljs_buf nonces = { NULL, 0 };
    ljs_join_eui each;
    ljs_err err = ljs_device_join_eui(&each, i, record, record_len);

    if (err)
        return err;
    if (device->mac >= LJS_MAC_1_0_4) {
        if (each.dev_nonce >= 0)
            member_number(w, "last_dev_nonce", each.dev_nonce);
    } else {
        if ((err = ljs_device_dev_nonces(&nonces, i, record, record_len)))
            return err;
        ljs__json_name(w, "used_dev_nonces");
        ljs__json_open(w, '[');
        for (size_t k = 0; k + 2 <= nonces.len; k += 2)
            ljs__json_number(w, nonces.data[k] | nonces.data[k + 1] << 8);
        ljs__json_close(w, ']');
        ljs_buf_free(&nonces);
    }
    if (each.rj_count1 >= 0)
        member_number(w, "last_rj_count1", each.rj_count1);
    return LJS_OK;
}

static ljs_err show_nonces(struct wr *w, const ljs_device *device, const uint8_t *record, size_t record_len)
{
    ljs_join_eui each;
    ljs_err err = LJS_OK;

    if (device->join_euis == 1)
        return show_dev_nonces(w, device, 0, record, record_len);
    ljs__json_name(w, "nonces");
    ljs__json_open(w, '[');
    for (unsigned i = 0; !err && i < device->join_euis; i++) {
        if ((err = ljs_device_join_eui(&each, i, record, record_len)))
            break;
        ljs__json_open(w, '{');
        member_hex(w, "join_eui", each.join_eui, 16);
        err = show_dev_nonces(w, device, i, record, record_len);
        ljs__json_close(w, '}');
    }
    ljs__json_close(w, ']');
    return err;
}

static void show_session(struct wr *w, const ljs_session *session)
{
    ljs__json_open(w, '{');
    member_octets(w, "session_key_id", session->session_key_id, sizeof session->session_key_id);
    member_text(w, "kind", kind_text(session->kind));
    member_text(w, "lorawan_version", ljs_mac_text(session->mac));
    member_hex(w, "join_eui", session->join_eui, 16);
    member_number(w, "join_nonce", session->join_nonce);
    /* DevNonce or RJcount, as `kind` says */
    member_number(w, session->kind == LJS_FRAME_JOIN ? "dev_nonce" : "rj_count", session->nonce);
    if (session->rj_count0 >= 0)
        member_number(w, "last_rj_count0", session->rj_count0);
    member_number(w, "epoch", session->epoch);
    member_hex(w, "net_id", session->net_id, 6);
    member_hex(w, "dev_addr", session->dev_addr, 8);
    member_hex(w, "dl_settings", session->dl_settings, 2);
    member_number(w, "rx_delay", session->rx_delay);
    if (session->has_cf_list)
        member_octets(w, "cf_list", session->cf_list, sizeof session->cf_list);
    ljs__json_name(w, "proven");
    ljs__json_bool(w, session->proven);
    member_number(w, "time", session->at);
    ljs__json_close(w, '}');
}

ljs_err ljs_device_json(ljs_buf *out, const uint8_t *record, size_t record_len)
{
    struct wr w = { 0 };
    ljs_device device;
    ljs_session session;
    ljs_err err;

    *out = (ljs_buf){ NULL, 0 };
    if ((err = ljs_device_read(&device, record, record_len)))
        return err;
    ljs__json_open(&w, '{');
    member_hex(&w, "dev_eui", device.dev_eui, 16);
    if ((err = show_join_euis(&w, &device, record, record_len)))
        goto out;
    member_text(&w, "lorawan_version", ljs_mac_text(device.mac));
    member_text(&w, "state", state_text(device.state));
    member_number(&w, "epoch", device.epoch);
    show_keys(&w, device.keys);
    if (device.lot[0])
        member_text(&w, "lot", device.lot);
    member_number(&w, "next_join_nonce", device.next_join_nonce);
    if ((err = show_nonces(&w, &device, record, record_len)))
        goto out;
    member_text(&w, "ns_kek_label", device.ns_kek_label);
    member_text(&w, "as_kek_label", device.as_kek_label);
    member_text(&w, "as_id", device.as_id);
    if (device.has_home_net_id)
        member_hex(&w, "home_net_id", device.home_net_id, 6);
    if (device.has_home_ns_id)
        member_hex(&w, "home_ns_id", device.home_ns_id, 16);
    if (device.require_1_1) {
        ljs__json_name(&w, "require_1_1");
        ljs__json_bool(&w, true);
    }
    if (device.exposed) {
        ljs__json_name(&w, "exposed");
        ljs__json_bool(&w, true);
    }
    if (device.moved) {
        ljs__json_name(&w, "moved");
        ljs__json_bool(&w, true);
    }
    if (device.has_x25519)
        member_octets(&w, "x25519_public_key", device.x25519_public_key, sizeof device.x25519_public_key);
    ljs__json_name(&w, "sessions");
    ljs__json_open(&w, '[');
    for (unsigned i = 0; i < device.sessions; i++) {
        if ((err = ljs_device_session(&session, i, record, record_len)))
            goto out;
        if (!ljs__is_zero(session.session_key_id, sizeof session.session_key_id)) /* of an owner before */
            show_session(&w, &session);
    }
    ljs__json_close(&w, ']');
    ljs__json_close(&w, '}');
    err = ljs__wr_take(out, &w);
out:
    ljs__wr_drop(&w);
    return err;
}
