/* Devices, and a Join Server in this process.  Each message may be lost, and whoever makes something durable may lose
 * its power just before that, or just after and before it says anything; the Join Server then begins anew over its
 * store.  A device ends well when both sides have it under the new keys, and it has joined under them. */
#include "rekeyed.h"

#include "tool.h"

#include <lorajs/end_device.h>
#include <lorajs/rekey_device.h>
#include <lorajs/server.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 500, TURN_MS = 30 * 3600 * 1000 /* the budget of join-requests allows one in that */ };

struct sums {
    uint64_t rekeyed, rounds, joins, lost, device_crashes, server_crashes;
};

struct fleet_run {
    const struct rekeyed_opts *opts;
    ljs_vault *vault;
    ljs_store *store;
    ljs_server *server;
    struct sums sums;
    uint32_t transaction;
};

/* One device; all that happens to it follows from the seed and its number. */
struct one {
    struct fleet_run *run;
    uint32_t index, drawn;
    ljs_eui dev_eui;
    ljs_mac mac;
    ljs_se *se;
    ljs_key *x25519, *ephemeral, *parent;
    ljs_rekey_opts rekey;
    ljs_buf live, durable;
    int64_t now;
    bool joined;
};

static ljs_err draw(uint8_t *out, size_t out_len, struct one *one)
{
    uint8_t in[9] = { 'R', 'K' }, block[16];
    ljs_err err = LJS_OK;

    for (size_t at = 0; at < out_len && !err; at += sizeof block) {
        memcpy(in + 2, &one->index, 4);
        in[6] = (uint8_t)one->drawn;
        in[7] = (uint8_t)(one->drawn >> 8);
        in[8] = (uint8_t)(one->drawn++ >> 16);
        err = ljs_aes_cmac(block, one->run->opts->fleet->seed, in, sizeof in);
        memcpy(out + at, block, out_len - at < sizeof block ? out_len - at : sizeof block);
    }
    explicit_bzero(block, sizeof block);
    return err;
}

static bool chance(struct one *one, unsigned percent)
{
    uint8_t octets[2] = { 0xff, 0xff };

    return percent && !draw(octets, sizeof octets, one) && (octets[0] | octets[1] << 8) % 100 < (int)percent;
}

static bool lost(struct one *one)
{
    bool is = chance(one, one->run->opts->loss);

    one->run->sums.lost += is;
    return is;
}

static ljs_err draw_key(ljs_key **out, struct one *one, size_t len)
{
    uint8_t octets[32];
    ljs_err err = draw(octets, len, one);

    if (!err)
        err = ljs_key_import(out, octets, len);
    explicit_bzero(octets, sizeof octets);
    return err;
}

/* ---- the Join Server ------------------------------------------------------------- */

static ljs_err open_server(struct fleet_run *run)
{
    const ljs_server_opts opts = {
        .struct_size = sizeof opts, .anonymous = 1, .clear = LJS_CLEAR_NS | LJS_CLEAR_AS, .experimental = 1
    };

    return ljs_server_new(&run->server, run->vault, run->store, &opts);
}

/* What was durable is there again, and what it was about to say is not. */
static bool server_crashes(ljs_err *err, struct one *one)
{
    struct fleet_run *run = one->run;

    if (*err || !chance(one, run->opts->crash))
        return false;
    run->sums.server_crashes++;
    ljs_server_free(run->server);
    run->server = NULL;
    *err = open_server(run);
    return true;
}

/* ---- the device ------------------------------------------------------------------ */

static void take(ljs_buf *to, ljs_buf *from)
{
    ljs_buf_free(to);
    *to = *from;
    *from = (ljs_buf){ NULL, 0 };
}

static ljs_err keep(bool *alive, struct one *one, ljs_buf *next, bool persist);

static ljs_err power_up(struct one *one)
{
    ljs_ed_event event;
    ljs_ed_out out;
    ljs_ed_rekey_out rekey;
    ljs_buf next = { NULL, 0 };
    ljs_err err;

    one->run->sums.device_crashes++;
    ljs_buf_free(&one->live);
    ljs_ed_event_init(&event, LJS_ED_ON_RESTART, one->now);
    event.random = one->index;
    err = ljs_ed_step(&out, &one->live, one->se, &event, one->durable.data, one->durable.len);
    if (!err) /* what was under way in place is done now */
        err = ljs_ed_rekey(&rekey, &next, one->se, one->now, NULL, 0, one->live.data, one->live.len);
    if (!err)
        take(&one->live, &next);
    if (!err && rekey.persist) {
        ljs_buf_free(&one->durable);
        err = ljs_buf_copy(&one->durable, one->live.data, one->live.len);
    }
    return err;
}

static ljs_err keep(bool *alive, struct one *one, ljs_buf *next, bool persist)
{
    bool before = persist && chance(one, one->run->opts->crash), after = false;
    ljs_err err = LJS_OK;

    *alive = true;
    if (before) {
        ljs_buf_free(next);
    } else {
        take(&one->live, next);
        if (persist) {
            ljs_buf_free(&one->durable);
            err = ljs_buf_copy(&one->durable, one->live.data, one->live.len);
            after = chance(one, one->run->opts->crash);
        }
    }
    if (!err && (before || after)) {
        *alive = false;
        err = power_up(one);
    }
    return err;
}

static ljs_err step(bool *alive, ljs_ed_out *out, struct one *one, ljs_ed_event_kind kind, const uint8_t *in,
                    size_t in_len)
{
    ljs_ed_event event;
    ljs_buf next;
    ljs_err err;

    ljs_ed_event_init(&event, kind, one->now);
    event.random = one->index;
    if (in_len)
        memcpy(event.frame, in, in_len);
    event.frame_len = in_len;
    err = ljs_ed_step(out, &next, one->se, &event, one->live.data, one->live.len);
    return err ? err : keep(alive, one, &next, out->persist);
}

/* ---- joining --------------------------------------------------------------------- */

/* The network server's part: JoinReq, and the PHYPayload that comes back, of no octets where none does. */
static ljs_err ask(uint8_t phy[LJS_ACCEPT_MAX], size_t *phy_len, struct one *one, const ljs_ed_out *out)
{
    struct fleet_run *run = one->run;
    ljs_message req, ans;
    ljs_frame frame;
    ljs_buf body, answer = { NULL, 0 };
    ljs_err err = ljs_frame_parse(&frame, out->frame, out->frame_len);

    *phy_len = 0;
    if (err || lost(one))
        return err;
    ljs_message_init(&req);
    req.type = LJS_MSG_JOIN_REQ;
    req.transaction_id = ++run->transaction;
    snprintf(req.sender_id, sizeof req.sender_id, "%06" PRIx32, run->opts->fleet->net_ids[0]);
    snprintf(req.receiver_id, sizeof req.receiver_id, "%016" PRIx64, frame.join_eui);
    req.mac = one->mac;
    req.dev_eui = frame.dev_eui;
    req.dev_addr = one->index;
    req.dl_settings = one->mac >= LJS_MAC_1_1 ? 0x80 : 0; /* OptNeg */
    req.rx_delay = 1;
    memcpy(req.phy, out->frame, out->frame_len);
    req.phy_len = out->frame_len;
    req.has =
        LJS_M_MAC_VERSION | LJS_M_DEV_EUI | LJS_M_DEV_ADDR | LJS_M_DL_SETTINGS | LJS_M_RX_DELAY | LJS_M_TRANSACTION_ID;
    if ((err = ljs_message_build(&body, &req)))
        return err;
    err = ljs_server_handle(&answer, run->server, NULL, one->now / 1000, body.data, body.len);
    if (!server_crashes(&err, one) && !err && !ljs_message_answer(&ans, &req, answer.data, answer.len) && !lost(one)) {
        memcpy(phy, ans.phy, ans.phy_len);
        *phy_len = ans.phy_len;
    }
    explicit_bzero(&ans, sizeof ans);
    ljs_buf_free(&body);
    ljs_buf_free(&answer);
    return err;
}

static ljs_err join(struct one *one)
{
    uint8_t phy[LJS_ACCEPT_MAX];
    size_t phy_len;
    ljs_ed_out out;
    ljs_ed ed;
    bool alive = true;
    ljs_err err = ljs_ed_read(&ed, one->live.data, one->live.len);

    one->joined = false;
    one->now += TURN_MS;
    if (!err && (ed.state == LJS_ED_JOINED || ed.state == LJS_ED_REKEYING)) {
        err = step(&alive, &out, one, LJS_ED_ON_STOP, NULL, 0);
        ed.state = LJS_ED_IDLE;
    }
    if (!err && alive)
        err = step(&alive, &out, one, ed.state == LJS_ED_IDLE ? LJS_ED_ON_START : LJS_ED_ON_TICK, NULL, 0);
    if (err || !alive || out.sends != LJS_ED_SENDS_JOIN)
        return err;
    if ((err = ask(phy, &phy_len, one, &out)))
        return err;
    if (!phy_len)
        return step(&alive, &out, one, LJS_ED_ON_LOST, NULL, 0);
    err = step(&alive, &out, one, LJS_ED_ON_DOWNLINK, phy, phy_len);
    one->joined = !err && alive && out.joined;
    one->run->sums.joins += one->joined;
    return err;
}

/* ---- the rekey ------------------------------------------------------------------- */

static ljs_err standing(ljs_rekey *rekey, unsigned *epoch, struct one *one)
{
    ljs_device device = { .struct_size = sizeof device };
    ljs_buf record;
    ljs_err err = ljs_server_get_device(&record, one->run->server, one->dev_eui);

    if (!err)
        err = ljs_rekey_read(rekey, record.data, record.len);
    if (!err)
        err = ljs_device_read(&device, record.data, record.len);
    *epoch = device.epoch;
    ljs_buf_free(&record);
    return err;
}

/* The command goes out, and its answer comes back, as far as they get. */
static ljs_err command(struct one *one)
{
    ljs_buf message = { NULL, 0 }, next;
    ljs_rekey_message answer;
    ljs_ed_rekey_out out = { .again = 1 };
    bool alive = true;
    ljs_err err = ljs_server_rekey_begin(&message, one->run->server, one->dev_eui, &one->rekey);

    if (err || server_crashes(&err, one) || lost(one))
        goto out;
    while (!err && alive && out.again)
        if (!(err = ljs_ed_rekey(&out, &next, one->se, one->now, message.data, message.len, one->live.data,
                                 one->live.len)))
            err = keep(&alive, one, &next, out.persist);
    if (err || !alive || !out.answer_len || lost(one))
        goto out;
    err = ljs_server_rekey_answer(&answer, one->run->server, one->dev_eui, out.answer, out.answer_len);
    if (err == LJS_E_STATE || err == LJS_E_REPLAY) /* it came late: a join has settled that */
        err = LJS_OK;
    (void)server_crashes(&err, one);
out:
    ljs_buf_free(&message);
    return err;
}

/* Both sides say the same. */
static ljs_err settled(bool *yes, struct one *one)
{
    ljs_rekey rekey;
    ljs_ed_rekey_out out;
    ljs_buf next;
    unsigned epoch;
    ljs_err err = standing(&rekey, &epoch, one);

    *yes = false;
    if (!err)
        err = ljs_ed_rekey(&out, &next, one->se, one->now, NULL, 0, one->live.data, one->live.len);
    if (err)
        return err;
    *yes = one->joined && rekey.state == LJS_REKEY_STABLE && epoch == 1 && rekey.floor == 1 && out.epoch == 1 &&
           out.phase == LJS_ED_REKEY_SETTLED;
    ljs_buf_free(&next);
    return LJS_OK;
}

static ljs_err one_life(bool *yes, struct one *one)
{
    ljs_rekey rekey;
    unsigned epoch;
    ljs_err err = LJS_OK;

    *yes = false;
    for (unsigned n = 0; n < ROUNDS && !err && !*yes; n++) {
        one->run->sums.rounds++;
        if (!(err = standing(&rekey, &epoch, one)) && rekey.state != LJS_REKEY_COMMITTED && !epoch)
            err = command(one);
        if (!err)
            err = join(one);
        if (!err)
            err = settled(yes, one);
    }
    return err;
}

/* ---- a device is made ------------------------------------------------------------- */

static ljs_err make(struct one *one)
{
    static const ljs_rekey_suite suites[] = { LJS_REKEY_SUITE_1, LJS_REKEY_SUITE_2, LJS_REKEY_SUITE_4 };
    const ljs_eui join_eui = one->run->opts->fleet->join_eui;
    const bool in_place = one->index % 3 == 2;
    ljs_device device = {
        .struct_size = sizeof device, .dev_eui = one->dev_eui, .join_eui = join_eui, .mac = one->mac
    };
    uint8_t serial[9], slot0[32];
    ljs_key *app = NULL, *nwk = NULL, *rekey = NULL, *slot = NULL;
    ljs_ed_opts opts;
    ljs_err err = draw(slot0, sizeof slot0, one);

    one->rekey = (ljs_rekey_opts){ .struct_size = sizeof one->rekey,
                                   .suite = suites[one->index % 3],
                                   .flags = in_place ? LJS_REKEY_APP_KEYS : LJS_REKEY_APP_KEYS | LJS_REKEY_REKEY_KEY,
                                   .experimental = 1,
                                   .kept = 1,
                                   .join_eui = one->index / 6 % 2 ? join_eui ^ 1 : 0,
                                   .now = 1 };
    if (!err && !(err = draw(serial, sizeof serial, one)) && !(err = ljs_key_import(&app, slot0, 16)) &&
        !(err = ljs_key_import(&nwk, slot0 + 16, 16)) && !(err = ljs_key_import(&slot, slot0, 32)) &&
        !(err = draw_key(&rekey, one, 16)) && !(err = draw_key(&one->x25519, one, 32)) &&
        !(err = draw_key(&one->ephemeral, one, 32)) && !(err = draw_key(&one->parent, one, 32)))
        err = ljs_x25519_public(device.x25519_public_key, one->x25519);
    memcpy(one->rekey.serial, serial, sizeof serial);
    one->rekey.ephemeral = one->ephemeral;
    one->rekey.parent = one->parent;
    device.has_x25519 = !in_place;
    if (!err)
        err = ljs_server_make_device(one->run->server, &device,
                                     &(ljs_root_keys){ .nwk = nwk, .app = app, .rekey = in_place ? NULL : rekey },
                                     LJS_MAKE_ALLOW_WEAK, -1, NULL, 0);
    if (!err)
        err = in_place ? ljs_se_atecc(&one->se, slot, one->parent, serial, sizeof serial)
                       : ljs_se_software_rekey(&one->se, nwk, app, NULL, rekey, one->x25519);
    ljs_ed_opts_init(&opts);
    opts.join_eui = join_eui;
    opts.dev_eui = one->dev_eui;
    opts.mac = (uint16_t)one->mac;
    opts.join_nonce_rising = 1;
    if (!err && !(err = ljs_ed_new(&one->live, &opts)))
        err = ljs_buf_copy(&one->durable, one->live.data, one->live.len);
    ljs_key_free(app);
    ljs_key_free(nwk);
    ljs_key_free(rekey);
    ljs_key_free(slot);
    explicit_bzero(slot0, sizeof slot0);
    return err;
}

static int live(struct fleet_run *run, uint32_t index)
{
    struct one one = { .run = run,
                       .index = index,
                       .dev_eui = run->opts->fleet->first + index,
                       .mac = index % 2 ? LJS_MAC_1_1 : LJS_MAC_1_0_4 };
    bool yes = false;
    ljs_err err = make(&one);
    int code = DONE;

    if (!err)
        err = one_life(&yes, &one);
    if (err) {
        char what[32];

        snprintf(what, sizeof what, "device %" PRIu32, index);
        code = complain_err(err, what);
    } else if (!yes) {
        complain("device %" PRIu32 " is not under the new keys after %d rounds", index, ROUNDS);
    }
    run->sums.rekeyed += yes;
    ljs_se_free(one.se);
    ljs_key_free(one.x25519);
    ljs_key_free(one.ephemeral);
    ljs_key_free(one.parent);
    ljs_buf_free(&one.live);
    ljs_buf_free(&one.durable);
    return code;
}

static void report(const struct fleet_run *run)
{
    const struct sums *s = &run->sums;
    uint32_t n = run->opts->fleet->devices;

    printf(run->opts->json ? "{\"devices\":%" PRIu32 ",\"rekeyed\":%" PRIu64 ",\"rounds\":%" PRIu64
                             ",\"joins\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"device_crashes\":%" PRIu64
                             ",\"server_crashes\":%" PRIu64 "}\n"
                           : "%" PRIu32 " devices, %" PRIu64 " under new root keys, in %" PRIu64 " rounds with %" PRIu64
                             " joins; %" PRIu64 " messages lost, %" PRIu64 " power failures of devices, %" PRIu64
                             " of the Join Server\n",
           n, s->rekeyed, s->rounds, s->joins, s->lost, s->device_crashes, s->server_crashes);
}

int rekeyed_run(const struct rekeyed_opts *opts)
{
    struct fleet_run run = { .opts = opts };
    uint8_t master[32] = { 1 }; /* of a store that ends with this process */
    ljs_err err = ljs_vault_new(&run.vault, master, sizeof master);
    int code = DONE;

    if (!err)
        err = ljs_store_memory(&run.store);
    if (!err)
        err = open_server(&run);
    if (err)
        code = complain_err(err, "simulate");
    for (uint32_t i = 0; i < opts->fleet->devices && !code; i++)
        code = live(&run, i);
    if (!code)
        report(&run);
    if (!code && run.sums.rekeyed < opts->fleet->devices)
        code = REFUSED;
    ljs_server_free(run.server);
    ljs_store_free(run.store);
    ljs_vault_free(run.vault);
    return code;
}
