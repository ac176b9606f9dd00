/* A network server in miniature: what yours does around the network side of a session
 * (network.h), from a device's first join over data both ways to a rejoin, with the keys
 * changed under way.
 *
 *     network_server
 *
 * Whom it talks to is in this program too, so that it runs alone: an end device
 * (end_device.h) instead of the radio, a Join Server (server.h) instead of an HTTP client,
 * and the application server, which alone has AppSKey.  Time is made up. */
#include <lorajs/lorajs.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NET_ID = 0x000013, DEV_ADDR = 0x26011234, DATA_RATE = 3, CHANNEL = 1, PORT = 10 };

static const ljs_eui dev_eui = 0x0202030405060708, join_eui = 0x0200000000000001;

static int64_t now; /* ms */

static void say(const char *who, const char *format, ...)
{
    va_list more;

    printf("%7.1f s  %-11s ", (double)now / 1000, who);
    va_start(more, format);
    vprintf(format, more);
    va_end(more);
    putchar('\n');
}

/* What a step returned is the state from now on.  Yours writes it to a database, here and
 * nowhere else: before anything that the step says is sent. */
static void save(ljs_buf *state, ljs_buf *next)
{
    ljs_buf_free(state);
    *state = *next;
    *next = (ljs_buf){ NULL, 0 };
}

/* ---- the application server ------------------------------------------------- */

struct application {
    ljs_key *kek; /* shared with the Join Server */
    struct {
        uint8_t session_key_id[16];
        ljs_key *app_s;
    } session[2]; /* the one in use, and the one to come */
    unsigned next;
};

/* A new session: its AppSKey, as the Join Server wrapped it for us. */
static ljs_err application_session(struct application *a, const ljs_message *ans)
{
    unsigned i = a->next++ % 2;

    ljs_key_free(a->session[i].app_s);
    memcpy(a->session[i].session_key_id, ans->session_key_id, 16);
    return ljs_envelope_open(&a->session[i].app_s, &ans->app_s, a->kek);
}

static const ljs_key *application_key(const struct application *a, const uint8_t session_key_id[16])
{
    for (unsigned i = 0; i < 2; i++)
        if (a->session[i].app_s && !memcmp(a->session[i].session_key_id, session_key_id, 16))
            return a->session[i].app_s;
    return NULL;
}

static ljs_err application_hear(const struct application *a, const ljs_ns_up *up)
{
    ljs_buf text;
    ljs_err err = ljs_data_crypt(&text, LJS_STREAM_FRM_PAYLOAD, LJS_UP, up->dev_addr, up->fcnt,
                                 application_key(a, up->session_key_id), up->payload, up->payload_len);

    if (!err)
        say("application", "port %u: \"%.*s\"", up->fport, (int)text.len, (const char *)text.data);
    ljs_buf_free(&text);
    return err;
}

/* What it has to say, under the counter that the network server names. */
static ljs_err application_say(const struct application *a, ljs_ns_tx *tx, const ljs_ns_context *session,
                               const char *text)
{
    ljs_buf under;
    ljs_err err =
        ljs_data_crypt(&under, LJS_STREAM_FRM_PAYLOAD, LJS_DOWN, session->dev_addr, (uint32_t)session->a_fcnt_down,
                       application_key(a, session->session_key_id), (const uint8_t *)text, strlen(text));

    if (err)
        return err;
    memcpy(tx->payload, under.data, tx->payload_len = under.len);
    tx->fport = PORT;
    tx->fcnt = (uint32_t)session->a_fcnt_down;
    ljs_buf_free(&under);
    return LJS_OK;
}

/* ---- the network server ----------------------------------------------------- */

struct network {
    ljs_vault *vault;        /* seals session keys inside states */
    ljs_key *kek;            /* shared with the Join Server */
    ljs_buf state;           /* of our one device; yours has one for each DevEUI */
    ljs_server *join_server; /* yours has its address */
    struct application *application;
    const char *to_say; /* to the device, when it can hear */
    uint32_t requests;
};

/* What goes back to the device. */
struct reply {
    uint8_t phy[LJS_DATA_MAX];
    size_t phy_len;
};

/* JoinReq or RejoinReq, and the answer to it. */
static ljs_err ask_join_server(ljs_message *ans, struct network *n, const ljs_frame *frame, const uint8_t *in,
                               size_t in_len)
{
    ljs_buf request, answer = { NULL, 0 };
    ljs_message req;
    ljs_err err;

    ljs_message_init(&req);
    req.type = frame->kind == LJS_FRAME_JOIN ? LJS_MSG_JOIN_REQ : LJS_MSG_REJOIN_REQ;
    req.transaction_id = n->requests++;
    snprintf(req.sender_id, sizeof req.sender_id, "%06x", NET_ID);
    snprintf(req.receiver_id, sizeof req.receiver_id, "%016" PRIx64, join_eui);
    req.mac = LJS_MAC_1_1; /* the highest that the device and we have in common */
    memcpy(req.phy, in, req.phy_len = in_len);
    req.dev_eui = frame->dev_eui;
    req.dev_addr = DEV_ADDR + req.transaction_id; /* a new one for each context */
    req.dl_settings = 0x80;                       /* OptNeg: LoRaWAN 1.1 */
    req.rx_delay = 1;
    req.has =
        LJS_M_MAC_VERSION | LJS_M_DEV_EUI | LJS_M_DEV_ADDR | LJS_M_DL_SETTINGS | LJS_M_RX_DELAY | LJS_M_TRANSACTION_ID;

    if ((err = ljs_message_build(&request, &req)))
        return err;
    /* Yours is an HTTP POST with a client certificate. */
    err = ljs_server_handle(&answer, n->join_server, "network", now / 1000, request.data, request.len);
    if (!err)
        err = ljs_message_answer(ans, &req, answer.data, answer.len);
    if (!err && ans->session_key_id_len != 16) /* lorajs' have 16 octets; another server's may not */
        err = LJS_E_MESSAGE;
    ans->dev_addr = req.dev_addr;
    ljs_buf_free(&request);
    ljs_buf_free(&answer);
    return err;
}

/* The keys of the answer make a pending context; then its join-accept may go to the device. */
static ljs_err accept(struct reply *reply, struct network *n, const ljs_frame *frame, const ljs_message *ans)
{
    ljs_key *f = NULL, *s = NULL, *enc = NULL;
    ljs_buf next = { NULL, 0 };
    ljs_ns_joined joined;
    ljs_ns_accepted accepted = { .struct_size = sizeof accepted,
                                 .now = now,
                                 .kind = frame->kind,
                                 .scheme = LJS_SCHEME_1_1,
                                 .mac = LJS_MAC_1_1,
                                 .nonce = frame->nonce,
                                 .dev_addr = ans->dev_addr };
    ljs_err err = application_session(n->application, ans);

    memcpy(accepted.session_key_id, ans->session_key_id, 16);
    if (!err)
        err = ljs_envelope_open(&f, &ans->f_nwk_s_int, n->kek);
    if (!err)
        err = ljs_envelope_open(&s, &ans->s_nwk_s_int, n->kek);
    if (!err)
        err = ljs_envelope_open(&enc, &ans->nwk_s_enc, n->kek);
    if (!err)
        err = ljs_ns_join_accepted(&joined, &next, n->vault, &accepted, &(ljs_ns_keys){ f, s, enc }, n->state.data,
                                   n->state.len);
    if (!err) {
        save(&n->state, &next);
        memcpy(reply->phy, ans->phy, reply->phy_len = ans->phy_len);
        say("network", "%s, DevAddr %08x: %s", ljs_message_type_text(ans->type), (unsigned)ans->dev_addr,
            ljs_ns_state_text(joined.state));
    }
    ljs_key_free(f);
    ljs_key_free(s);
    ljs_key_free(enc);
    return err;
}

/* Join-requests go to the Join Server as they are; rejoin-requests when ljs_ns_rejoin() lets
 * them through. */
static ljs_err hear_request(struct reply *reply, struct network *n, const ljs_frame *frame, const uint8_t *in,
                            size_t in_len)
{
    ljs_buf next = { NULL, 0 };
    ljs_message ans;
    ljs_ns_route route;
    ljs_err err;

    if (frame->kind != LJS_FRAME_JOIN) {
        if ((err = ljs_ns_rejoin(&route, &next, n->vault, now, in, in_len, n->state.data, n->state.len)))
            return err;
        save(&n->state, &next);
    }
    err = ask_join_server(&ans, n, frame, in, in_len);
    if (!err)
        err = accept(reply, n, frame, &ans);
    return err;
}

/* After an uplink the device can hear: what is due, and what the application has to say. */
static ljs_err send_down(struct reply *reply, struct network *n)
{
    ljs_ns_tx tx = { .struct_size = sizeof tx, .now = now };
    ljs_ns shown = { .struct_size = sizeof shown };
    ljs_buf next = { NULL, 0 };
    ljs_ns_down down;
    ljs_err err = ljs_ns_read(&shown, n->state.data, n->state.len);

    if (!err && n->to_say)
        err = application_say(n->application, &tx, &shown.current, n->to_say);
    if (!err)
        err = ljs_ns_downlink(&down, &next, n->vault, &tx, n->state.data, n->state.len);
    if (err)
        return err == LJS_E_NOTFOUND ? LJS_OK : err; /* nothing is to be sent */
    save(&n->state, &next);
    n->to_say = NULL;
    memcpy(reply->phy, down.phy, reply->phy_len = down.phy_len);
    say("network", "downlink %" PRIu32 "%s%s%s%s", down.fcnt, down.sent & LJS_NS_DUE_ACK ? ", ACK" : "",
        down.sent & LJS_NS_DUE_REKEY_CONF ? ", RekeyConf" : "",
        down.sent & LJS_NS_DUE_FORCE_REJOIN ? ", ForceRejoinReq" : "", tx.fport ? ", payload" : "");
    return LJS_OK;
}

static ljs_err hear_data(struct reply *reply, struct network *n, const uint8_t *in, size_t in_len)
{
    ljs_buf next = { NULL, 0 };
    ljs_ns_up up;
    ljs_err err = ljs_ns_uplink(&up, &next, n->vault, now, DATA_RATE, CHANNEL, in, in_len, n->state.data, n->state.len);

    if (err)
        return err;
    save(&n->state, &next);
    say("network", "uplink %" PRIu32 " of %08x%s%s%s: %s", up.fcnt, (unsigned)up.dev_addr, up.again ? " again" : "",
        up.rekey ? ", RekeyInd" : "", up.switched ? ", the keys are new" : "", ljs_ns_state_text(up.state));
    if (up.has_fport && up.fport) /* once: a frame that comes again has no port */
        err = application_hear(n->application, &up);
    if (!err && (up.due || n->to_say))
        err = send_down(reply, n);
    return err;
}

/* One frame that a gateway has heard; what is to be sent in its receive windows, if anything.
 * Gateways hear one frame several times: yours takes the copies together before. */
static ljs_err network_hear(struct reply *reply, struct network *n, const uint8_t *in, size_t in_len)
{
    ljs_frame frame;

    reply->phy_len = 0;
    if (!ljs_frame_parse(&frame, in, in_len))
        return hear_request(reply, n, &frame, in, in_len);
    return hear_data(reply, n, in, in_len);
}

/* The operator wishes that the device rejoin, by type 2: new keys, and the radio stays as it is.  It is said
 * once; with more `tries`, yours calls ljs_ns_timer() when the `wake_at` of the last result has come. */
static ljs_err network_rekey(struct network *n)
{
    const ljs_ns_force force = { .struct_size = sizeof force, .rejoin_type = 2, .data_rate = DATA_RATE, .tries = 1 };
    ljs_buf next = { NULL, 0 };
    ljs_err err = ljs_ns_force_rejoin(&next, n->vault, &force, n->state.data, n->state.len);

    if (!err) {
        save(&n->state, &next);
        say("network", "the device is to rejoin");
    }
    return err;
}

/* ---- an end device, in place of the radio ----------------------------------- */

struct device {
    ljs_se *se;
    ljs_buf state;
    ljs_ed_out last; /* what the last step said */
};

static ljs_err device_step(struct device *d, const ljs_ed_event *event)
{
    static const char *const sends[] = {
        "", "join-request", "rejoin-request 0", "rejoin-request 1", "rejoin-request 2", "uplink"
    };
    ljs_buf next = { NULL, 0 };
    ljs_err err = ljs_ed_step(&d->last, &next, d->se, event, d->state.data, d->state.len);

    if (err)
        return err;
    save(&d->state, &next);
    if (d->last.joined || d->last.rejoined || d->last.rekeyed)
        say("device", "%s: %s",
            d->last.joined     ? "joined"
            : d->last.rejoined ? "rejoined"
                               : "RekeyConf",
            ljs_ed_state_text(d->last.state));
    if (d->last.payload_len)
        say("device", "port %u: \"%.*s\"", d->last.fport, (int)d->last.payload_len, (const char *)d->last.payload);
    if (d->last.sends)
        say("device", "%s %" PRIu32, sends[d->last.sends],
            d->last.sends == LJS_ED_SENDS_DATA ? d->last.fcnt : d->last.nonce);
    return LJS_OK;
}

/* An event at the device and all that follows at once: its frame is heard, and answered or not. */
static ljs_err device_do(struct device *d, struct network *n, const ljs_ed_event *event)
{
    ljs_err err = device_step(d, event);

    while (!err && d->last.sends) {
        ljs_ed_event heard;
        struct reply reply;

        now += 1500;
        err = network_hear(&reply, n, d->last.frame, d->last.frame_len);
        if (err)
            break;
        now += 1000;
        ljs_ed_event_init(&heard, reply.phy_len ? LJS_ED_ON_DOWNLINK : LJS_ED_ON_LOST, now);
        heard.random = (uint32_t)rand(); /* a device of yours draws better ones */
        memcpy(heard.frame, reply.phy, heard.frame_len = reply.phy_len);
        err = device_step(d, &heard);
    }
    return err;
}

static ljs_err device_start(struct device *d, struct network *n)
{
    ljs_ed_event event;

    ljs_ed_event_init(&event, LJS_ED_ON_START, now);
    event.random = (uint32_t)rand();
    return device_do(d, n, &event);
}

static ljs_err device_say(struct device *d, struct network *n, const char *text)
{
    ljs_ed_event event;

    ljs_ed_event_init(&event, LJS_ED_ON_SEND, now);
    event.fport = PORT;
    memcpy(event.payload, text, event.payload_len = strlen(text));
    event.tx_dr = DATA_RATE;
    event.tx_ch = CHANNEL;
    return device_do(d, n, &event);
}

/* The next thing that the device has planned. */
static ljs_err device_wait(struct device *d, struct network *n)
{
    ljs_ed_event event;

    if (d->last.wake_at < 0)
        return LJS_E_STATE;
    if (now < d->last.wake_at)
        now = d->last.wake_at;
    ljs_ed_event_init(&event, LJS_ED_ON_TICK, now);
    event.random = (uint32_t)rand();
    return device_do(d, n, &event);
}

/* ---- everything together ---------------------------------------------------- */

static ljs_err new_vault(ljs_vault **out)
{
    ljs_key *key = NULL;
    ljs_buf octets = { NULL, 0 };
    ljs_err err = ljs_key_generate(&key, 32);

    *out = NULL;
    if (!err)
        err = ljs_key_export(&octets, key);
    if (!err)
        err = ljs_vault_new(out, octets.data, octets.len);
    ljs_buf_free(&octets);
    ljs_key_free(key);
    return err;
}

/* The Join Server knows the device, and a KEK each of network and application server. */
static ljs_err provision(ljs_server *server, const ljs_root_keys *root, const ljs_key *ns_kek, const ljs_key *as_kek)
{
    const ljs_device device = { .struct_size = sizeof device,
                                .dev_eui = dev_eui,
                                .join_eui = join_eui,
                                .mac = LJS_MAC_1_1,
                                .as_kek_label = "application-kek" };
    ljs_peers *peers = NULL;
    ljs_err err = ljs_peers_new(&peers);

    if (!err)
        err = ljs_peers_add(peers, "network", 0);
    if (!err)
        err = ljs_peers_add_net_id(peers, "network", NET_ID);
    if (!err)
        err = ljs_peers_add_kek(peers, "network", "network-kek");
    if (!err)
        err = ljs_server_set_peers(server, peers);
    if (!err)
        err = ljs_server_put_kek(server, "network-kek", ns_kek, 0);
    if (!err)
        err = ljs_server_put_kek(server, "application-kek", as_kek, 0);
    if (!err)
        err = ljs_server_make_device(server, &device, root, 0, -1, NULL, 0);
    ljs_peers_free(peers);
    return err;
}

static ljs_err new_states(struct network *n, struct device *d)
{
    ljs_ns_opts ns;
    ljs_ed_opts ed;
    ljs_err err;

    ljs_ns_opts_init(&ns);
    ns.dev_eui = dev_eui;
    ns.net_id = NET_ID;
    ljs_ed_opts_init(&ed);
    ed.dev_eui = dev_eui;
    ed.join_eui = join_eui;
    err = ljs_ns_new(&n->state, n->vault, &ns);
    return err ? err : ljs_ed_new(&d->state, &ed);
}

static ljs_err story(struct network *n, struct device *d)
{
    ljs_err err = device_start(d, n);

    if (!err)
        err = device_say(d, n, "good morning");
    if (!err)
        err = network_rekey(n);
    if (!err)
        err = device_say(d, n, "21.5 degrees");
    while (!err && !d->last.rejoined) /* the device was told, and rejoins when it is time to */
        err = device_wait(d, n);
    n->to_say = "well heard";
    if (!err)
        err = device_say(d, n, "under new keys");
    return err;
}

int main(void)
{
    struct application a = { 0 };
    struct network n = { .application = &a };
    struct device d = { 0 };
    ljs_key *nwk = NULL, *app = NULL;
    ljs_vault *vault = NULL;
    ljs_store *store = NULL;
    ljs_err err;

    srand(1);
    /* Keys that in life come from three makers. */
    if (!(err = ljs_key_generate(&nwk, 16)) && !(err = ljs_key_generate(&app, 16)) &&
        !(err = ljs_key_generate(&n.kek, 16)) && !(err = ljs_key_generate(&a.kek, 16)) && !(err = new_vault(&n.vault)))
        err = new_vault(&vault);
    if (!err && !(err = ljs_store_memory(&store)) && !(err = ljs_server_new(&n.join_server, vault, store, NULL)))
        err = provision(n.join_server, &(ljs_root_keys){ .nwk = nwk, .app = app }, n.kek, a.kek);
    if (!err && !(err = ljs_se_software(&d.se, nwk, app)) && !(err = new_states(&n, &d)))
        err = story(&n, &d);
    if (err)
        fprintf(stderr, "%s; %s\n", ljs_strerror(err), ljs_remedy(err));

    ljs_se_free(d.se);
    ljs_buf_free(&d.state);
    ljs_buf_free(&n.state);
    ljs_server_free(n.join_server);
    ljs_store_free(store);
    ljs_vault_free(vault);
    ljs_vault_free(n.vault);
    for (unsigned i = 0; i < 2; i++)
        ljs_key_free(a.session[i].app_s);
    ljs_key_free(a.kek);
    ljs_key_free(n.kek);
    ljs_key_free(app);
    ljs_key_free(nwk);
    return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
