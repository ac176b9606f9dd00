/* A network server and what comes to it from one device and from anybody, told by the input:
 * join-accepts, uplinks good, old, forged and made of any octets, rejoin-requests, wishes, time.
 * Laws: who is refused changes nothing and is told nothing; counters only grow; an uplink counter
 * that was accepted is never accepted again, whatever becomes of the context, but for the very last
 * frame, of which nothing is passed up then, and not for ever; nothing under a 1.1 context is passed up
 * before RekeyInd; a context that is gone stays gone; downlinks are of a
 * context that was heard, each under a counter of its own; RJcount0 rises; rejoin 2 is let
 * through only when it was asked for; a forged frame never counts. */
#include "session/network.h"

#include "base/cursor.h"

#include "fuzz.h"

#include "../tests/network_world.h"

enum { LIVES = 10, EVENTS_MAX = 96 };
enum life_state { UNBORN, WAITING, LIVING, GONE };

static ljs_vault *vault;
static struct life lives[LIVES];

/* What is known of each context, from outside. */
struct track {
    enum life_state state;
    int64_t up, n_down, a_down, rj;
    int32_t confirmed;
    bool asked2;
    /* the last uplink that was accepted, and how often again */
    struct said said;
    char mac[LJS_FOPTS_MAX];
    uint8_t phy[LJS_DATA_MAX];
    size_t phy_len;
    unsigned again;
};

struct game {
    struct rd in;
    ljs_buf state;
    int64_t now;
    struct track t[LIVES];
};

static void setup(void)
{
    static const uint8_t master[32] = { 9 };

    if (vault)
        return;
    CHECK(!ljs_vault_new(&vault, master, sizeof master));
    for (uint32_t i = 0; i < LIVES; i++) {
        lives[i] = life_new(i % 4 == 3 ? LJS_SCHEME_1_0 : LJS_SCHEME_1_1, LJS_FRAME_JOIN, 0, i + 1);
        if (i % 5 == 4)
            lives[i].addr = lives[0].addr; /* told apart by their MICs alone */
    }
}

static bool is_zero(const void *mem, size_t len)
{
    const uint8_t *at = mem;

    for (size_t i = 0; i < len; i++)
        if (at[i])
            return false;
    return true;
}

static ljs_ns look(const struct game *g)
{
    ljs_ns ns;

    CHECK(!ljs_ns_read(&ns, g->state.data, g->state.len));
    return ns;
}

static int find(const struct game *g, enum life_state state)
{
    for (int i = 0; i < LIVES; i++)
        if (g->t[i].state == state)
            return i;
    return -1;
}

static void grows(const ljs_ns_context *a, const ljs_ns_context *b)
{
    if (!a->present || !b->present || memcmp(a->session_key_id, b->session_key_id, 16) != 0)
        return;
    CHECK(b->fcnt_up >= a->fcnt_up && b->n_fcnt_down >= a->n_fcnt_down && b->a_fcnt_down >= a->a_fcnt_down &&
          b->rj_count0 >= a->rj_count0);
}

/* The state that a step gave, or none. */
static bool took(struct game *g, ljs_err err, ljs_buf *next, const void *out, size_t out_len)
{
    ljs_ns before = look(g), after;
    uint8_t digest[16];

    if (err) {
        CHECK(!next->data && !next->len && is_zero(out, out_len));
        return false;
    }
    CHECK(next->data && !ljs__network_digest(digest, vault, next->data, next->len));
    ljs_buf_free(&g->state);
    g->state = *next;
    after = look(g);
    grows(&before.current, &after.current);
    grows(&before.pending, &after.pending);
    grows(&before.pending, &after.current);
    CHECK(after.current.present == (after.state >= LJS_NS_REKEYING));
    CHECK(after.pending.present == (after.state == LJS_NS_PENDING || after.state == LJS_NS_SWITCHING));
    return true;
}

static void accept(struct game *g)
{
    static const ljs_frame_kind kinds[] = { LJS_FRAME_JOIN, LJS_FRAME_REJOIN0, LJS_FRAME_REJOIN1, LJS_FRAME_REJOIN2 };
    unsigned i = (unsigned)rd_le(&g->in, 1) % LIVES, how = (unsigned)rd_le(&g->in, 1);
    const struct life *l = &lives[i];
    ljs_ns_accepted a = { .struct_size = sizeof a,
                          .now = g->now,
                          .kind = kinds[how & 3],
                          .scheme = l->scheme,
                          .mac = how & 4 ? 0x0104 : 0x0110,
                          .nonce = (uint16_t)(how >> 4),
                          .dev_addr = l->addr,
                          .session_key_id = { (uint8_t)(i + 1) } };
    ljs_ns_keys keys = { l->f, l->s, l->e };
    ljs_ns_joined out;
    ljs_buf next;
    ljs_err err = ljs_ns_join_accepted(&out, &next, vault, &a, &keys, g->state.data, g->state.len);
    int waiting = find(g, WAITING);

    if (!took(g, err, &next, &out, sizeof out))
        return;
    CHECK(g->t[i].state != GONE);
    CHECK(out.repeat == (g->t[i].state == WAITING || g->t[i].state == LIVING));
    if (out.repeat)
        return;
    CHECK(out.replaced == (waiting >= 0));
    if (waiting >= 0)
        g->t[waiting].state = GONE;
    g->t[i].state = WAITING;
}

static void uplink_in(struct game *g, int i, const struct said *said, const ljs_buf *frame)
{
    ljs_ns_up out;
    ljs_buf next;
    ljs_err err = ljs_ns_uplink(&out, &next, vault, g->now, said->dr, said->ch, frame->data, frame->len, g->state.data,
                                g->state.len);
    int living = find(g, LIVING);
    struct track *t;

    if (!took(g, err, &next, &out, sizeof out))
        return;
    CHECK(i >= 0 && !said->forged); /* octets of nobody's are never taken */
    t = &g->t[i];
    CHECK(t->state == WAITING || t->state == LIVING);
    CHECK(out.fcnt == said->fcnt && out.dev_addr == lives[i].addr);
    CHECK(out.session_key_id[0] == i + 1);
    CHECK(!out.switched || lives[i].scheme == LJS_SCHEME_1_0 || out.rekey);
    CHECK(!out.rekey || (lives[i].scheme == LJS_SCHEME_1_1 && out.minor && out.due & LJS_NS_DUE_REKEY_CONF));
    CHECK(!said->confirmed || out.due & LJS_NS_DUE_ACK);
    if (out.again) {
        CHECK(t->state == LIVING && out.fcnt == t->up && out.again == ++t->again && out.again <= LJS_NS_AGAIN_MAX);
        CHECK(frame->len == t->phy_len && !memcmp(frame->data, t->phy, t->phy_len - 4)); /* all but the MIC */
        CHECK(!out.switched && !out.acked && !out.params_answered && !out.has_fport && !out.fport);
        CHECK(!out.payload_len && !out.mac_len);
        return;
    }
    CHECK(out.fcnt > t->up && out.switched == (t->state == WAITING));
    CHECK(out.mac_len == said->mac_len && (!out.mac_len || memcmp(out.mac, said->mac, out.mac_len) == 0));
    CHECK(out.payload_len == (said->port ? 2 : 0));
    if (out.switched && living >= 0)
        g->t[living].state = GONE;
    t->state = LIVING;
    t->up = out.fcnt;
    t->said = *said;
    memcpy(t->mac, said->mac, said->mac_len);
    t->said.mac = NULL; /* which is no pointer to keep */
    memcpy(t->phy, frame->data, frame->len);
    t->phy_len = frame->len;
    t->again = 0;
}

/* What the device in use sent last, on whichever channel: it is taken as often as it may be. */
static void again(struct game *g)
{
    unsigned how = (unsigned)rd_le(&g->in, 1);
    int i = find(g, LIVING);
    struct said said;
    struct track *t;
    ljs_buf frame;
    unsigned before;

    if (i < 0)
        return;
    t = &g->t[i];
    said = t->said;
    said.mac = t->mac;
    said.dr = how & 7;
    said.ch = how >> 3 & 7;
    said.forged = how >> 6 == 3;
    before = t->again;
    frame = life_uplink(&lives[i], &said);
    uplink_in(g, i, &said, &frame);
    CHECK(t->again - before == (!said.forged && before < LJS_NS_AGAIN_MAX));
    ljs_buf_free(&frame);
}

static void uplink(struct game *g)
{
    unsigned i = (unsigned)rd_le(&g->in, 1) % LIVES, how = (unsigned)rd_le(&g->in, 2);
    struct track *t = &g->t[i];
    char mac[LJS_FOPTS_MAX] = "\x0b\x01\x0f\x01";
    struct said said = { .mac = mac,
                         .mac_len = how & 1   ? 2
                                    : how & 2 ? 4
                                              : 0,
                         .confirmed = how & 4,
                         .ack = how & 8,
                         .adr_ack_req = how & 16,
                         .port0 = (how & 96) == 96,
                         .port = (how & 96) == 32,
                         .forged = (how & 0x380) == 0x380 };
    int64_t fcnt = t->up + 1 - 2 + (int64_t)(how >> 10 & 3); /* below, at and above the last */
    ljs_buf frame;

    if (how & 0x1000)
        fcnt = t->up + (int64_t)rd_le(&g->in, 3) % 0x18000;
    if (how & 0x2000) {
        said.mac_len = rd_le(&g->in, 1) % (sizeof mac + 1);
        rd_copy(&g->in, (uint8_t *)mac, said.mac_len);
    }
    said.fcnt = fcnt < 0 || fcnt > UINT32_MAX ? 0 : (uint32_t)fcnt;
    said.conf_fcnt = (uint16_t)(t->confirmed < 0 ? 0 : t->confirmed);
    frame = life_uplink(&lives[i], &said);
    uplink_in(g, (int)i, &said, &frame);
    ljs_buf_free(&frame);
}

static void downlink(struct game *g)
{
    unsigned how = (unsigned)rd_le(&g->in, 1);
    int i = find(g, LIVING);
    ljs_ns ns = look(g);
    ljs_ns_tx tx = { .struct_size = sizeof tx,
                     .now = g->now,
                     .confirmed = how & 1,
                     .fport = how & 2 ? 7 : 0,
                     .payload_len = how & 2 ? how >> 3 : 0,
                     .mac_len = how & 4 ? how >> 3 : 0 };
    uint16_t conf = 0;
    bool a;
    ljs_ns_down out;
    ljs_buf next;
    ljs_err err;
    struct heard h;

    tx.fcnt = (uint32_t)(ns.current.a_fcnt_down + (how >> 6));
    memset(tx.mac, 6, tx.mac_len);
    if (i >= 0 && g->t[i].up >= 0)
        conf = (uint16_t)g->t[i].up; /* only the last uplink is acknowledged */
    err = ljs_ns_downlink(&out, &next, vault, &tx, g->state.data, g->state.len);
    if (!took(g, err, &next, &out, sizeof out))
        return;
    CHECK(i >= 0 && out.dev_addr == lives[i].addr);
    CHECK(out.sent == ns.due && (out.sent || tx.fport || tx.mac_len));
    CHECK(life_hears(&h, &lives[i], out.fcnt, conf, out.phy, out.phy_len));
    CHECK(h.data.ack == !!(ns.due & LJS_NS_DUE_ACK) && h.data.fport == tx.fport);
    a = tx.fport || lives[i].scheme == LJS_SCHEME_1_0;
    CHECK((int64_t)out.fcnt > (a ? g->t[i].a_down : g->t[i].n_down));
    *(a ? &g->t[i].a_down : &g->t[i].n_down) = out.fcnt;
    if (tx.confirmed)
        g->t[i].confirmed = (uint16_t)out.fcnt;
    for (size_t at = 0; at < h.mac_len;) {
        ljs_mac_command c;

        CHECK(!ljs_mac_command_parse(&c, &at, LJS_DOWN, LJS_LOW_FIRST, h.mac, h.mac_len));
        CHECK(c.cid != LJS_CID_REKEY || (c.minor == 1 && lives[i].scheme == LJS_SCHEME_1_1));
        if (c.cid == LJS_CID_FORCE_REJOIN)
            g->t[i].asked2 = c.rejoin_type == 2;
    }
}

static void rejoin(struct game *g)
{
    static const ljs_frame_kind kinds[] = { LJS_FRAME_REJOIN0, LJS_FRAME_REJOIN1, LJS_FRAME_REJOIN2 };
    unsigned i = (unsigned)rd_le(&g->in, 1) % LIVES, how = (unsigned)rd_le(&g->in, 1);
    ljs_frame_kind kind = kinds[how % 3];
    uint16_t nonce = (uint16_t)(how >> 4);
    bool foreign = (how & 15) == 15;
    ljs_buf frame = life_rejoin(&lives[i], kind, NETWORK_NET + foreign, nonce), next;
    ljs_ns_route out;
    ljs_err err = ljs_ns_rejoin(&out, &next, vault, g->now, frame.data, frame.len, g->state.data, g->state.len);

    ljs_buf_free(&frame);
    if (!took(g, err, &next, &out, sizeof out))
        return;
    CHECK(out.kind == kind && out.nonce == nonce && out.checked == (kind != LJS_FRAME_REJOIN1));
    if (!out.checked)
        return;
    CHECK(g->t[i].state == LIVING && lives[i].scheme == LJS_SCHEME_1_1 && !foreign);
    CHECK((int64_t)nonce > g->t[i].rj && (kind == LJS_FRAME_REJOIN0 || g->t[i].asked2));
    g->t[i].rj = nonce;
}

static void wish(struct game *g)
{
    unsigned how = (unsigned)rd_le(&g->in, 1);
    ljs_ns_force force = { .struct_size = sizeof force,
                           .rejoin_type = how & 4 ? 2 : 0,
                           .period = how >> 3 & 7,
                           .tries = how >> 6,
                           .wait = how & 8 ? 1000 : 0 };
    ljs_buf next;

    if (how & 1)
        (void)took(g, ljs_ns_force_rejoin(&next, vault, &force, g->state.data, g->state.len), &next, "", 0);
    else
        (void)took(g, ljs_ns_rejoin_params(&next, vault, how >> 4, how >> 1 & 15, g->state.data, g->state.len), &next,
                   "", 0);
}

static void wait(struct game *g)
{
    ljs_ns_woken out;
    ljs_buf next;
    ljs_err err;

    g->now += (int64_t)rd_le(&g->in, 2) * 100;
    err = ljs_ns_timer(&out, &next, vault, g->now, g->state.data, g->state.len);
    CHECK(!err && took(g, err, &next, &out, sizeof out));
    CHECK(out.wake_at < 0 || out.wake_at > g->now);
}

/* Octets of nobody's. */
static void noise(struct game *g)
{
    const struct said said = { .forged = true };
    uint8_t octets[LJS_DATA_MAX + 1];
    size_t len = rd_le(&g->in, 1);
    ljs_buf frame = { octets, len };
    ljs_ns_route out;
    ljs_buf next;

    memset(octets, 0, sizeof octets);
    rd_copy(&g->in, octets, len < g->in.left ? len : g->in.left);
    uplink_in(g, -1, &said, &frame);
    if (took(g, ljs_ns_rejoin(&out, &next, vault, g->now, octets, len, g->state.data, g->state.len), &next, &out,
             sizeof out))
        CHECK(!out.checked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const events[])(struct game *) = { uplink, uplink, uplink, accept, downlink, downlink,
                                                     rejoin, wish,   wait,   noise,  again };
    struct game g = { .in = { data, size, false } };
    ljs_ns_opts opts;

    setup();
    ljs_ns_opts_init(&opts);
    opts.dev_eui = NETWORK_DEV;
    opts.net_id = NETWORK_NET;
    for (unsigned i = 0; i < LIVES; i++)
        g.t[i] = (struct track){ .state = UNBORN, .up = -1, .n_down = -1, .a_down = -1, .rj = -1, .confirmed = -1 };
    CHECK(!ljs_ns_new(&g.state, vault, &opts));
    for (unsigned n = 0; n < EVENTS_MAX && !g.in.bad && g.in.left; n++)
        events[rd_le(&g.in, 1) % COUNT(events)](&g);
    ljs_buf_free(&g.state);

    { /* as a state, octets of nobody's mean nothing */
        ljs_ns_woken out;
        ljs_ns ns;
        ljs_buf next;

        CHECK(ljs_ns_timer(&out, &next, vault, 0, data, size) && !next.data);
        if (ljs_ns_read(&ns, data, size))
            CHECK(is_zero(&ns, sizeof ns));
    }
    return 0;
}
