#include "life.h"

#include "tool.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum {
    /* ms */
    AIRTIME = 200,
    RX1 = 1000,
    JOIN_ACCEPT_DELAY1 = 5000,
    WINDOWS = 4000,
    JOIN_WINDOWS = 8000,
    BACKEND = 20,
    BACKEND_TIMEOUT = 1500,
    MINUTE = 60000,
    HOUR = 3600000,
    UNSETTLED = 2 * MINUTE, /* between uplinks in the loss-free phase */
    RETRANSMIT_MIN = 1000,  /* RETRANSMIT_TIMEOUT */
    RETRANSMIT_MAX = 3000,

    BACKEND_TRIES = 5,
    CONFIRMED_TRIES = 8, /* [RP2-1.0.0 §3, L2 1.0.3 §19.1]  of a confirmed uplink */
    NB_TRANS = 3,        /* of devices that were told so */
    ROUNDS = 8,          /* of the last exchange */
    SESSIONS = 8,
    PORT = 10,
    MIC_LEN = 4,
    PAYLOAD_MIN = 4,
    PAYLOAD_MAX = 24,
    MAX_COUNT_N = 2, /* of RejoinParamSetupReq: every 64 uplinks */
    NOTE_MAX = 96,
};

const struct version versions[VERSIONS] = {
    { "1.0.3", LJS_MAC_1_0_3, LJS_MAC_1_0_3 },
    { "1.0.4", LJS_MAC_1_0_4, LJS_MAC_1_0_4 },
    { "1.1", LJS_MAC_1_1, LJS_MAC_1_1 },
    { "1.1 on 1.0", LJS_MAC_1_1, LJS_MAC_1_0_4 },
};

const struct counted counted[COUNTS] = {
    [N_DEVICES] = { "devices", "devices" },
    [N_JOINS] = { "joins", "joins" },
    [N_REJOINS_0] = { "rejoins0", "rejoins of type 0" },
    [N_REJOINS_1] = { "rejoins1", "rejoins of type 1" },
    [N_REJOINS_2] = { "rejoins2", "rejoins of type 2" },
    [N_REKEYS] = { "rekeys", "RekeyConf heard" },
    [N_UPLINKS] = { "uplinks", "uplinks" },
    [N_UPLINKS_HEARD] = { "uplinks_accepted", "  accepted" },
    [N_AGAIN] = { "sent_again", "  sent again" },
    [N_AGAIN_HEARD] = { "heard_again", "  heard again" },
    [N_DOWNLINKS] = { "downlinks", "downlinks" },
    [N_DOWNLINKS_HEARD] = { "downlinks_accepted", "  accepted" },
    [N_LOST] = { "lost", "frames lost" },
    [N_COPIES] = { "copies", "frames doubled" },
    [N_OVERTAKEN] = { "held_back", "frames held back" },
    [N_BACKEND] = { "requests", "JoinReq and RejoinReq" },
    [N_BACKEND_LOST] = { "backend_lost", "  lost, or their answers" },
    [N_REFUSED_BY_DEVICE] = { "refused_by_device", "refused by the device" },
    [N_REFUSED_BY_NETWORK] = { "refused_by_network", "refused by the network" },
    [N_REFUSED_BY_JOIN_SERVER] = { "refused_by_join_server", "refused by the Join Server" },
    [N_POWER_LOSSES] = { "power_losses", "power losses" },
    [N_SESSIONS_LOST] = { "sessions_given_up", "sessions given up" },
    [N_LEFT_PENDING] = { "left_pending", "left with a pending context" },
};

enum what { AT_NETWORK, AT_DEVICE, AT_JOIN_SERVER, ANSWER, REPEAT, UPLINK, POWER_LOSS, POWER_ON, WISH };

/* A frame on its way. */
struct letter {
    uint8_t phy[LJS_DATA_MAX];
    size_t phy_len;
    uint8_t dr, ch;
    int64_t sent;
    char text[NOTE_MAX];
};

/* A request to the Join Server, until nobody waits for anything of it. */
struct request {
    unsigned holders;
    ljs_message req, ans;
    ljs_buf body;
    ljs_frame frame;
    int64_t heard; /* when the network heard the frame */
    int64_t sent;  /* the message that is under way */
    ljs_err err;   /* of ans */
    unsigned tries;
    bool done;
};

struct event {
    int64_t at;
    uint64_t order; /* first in, first out */
    enum what what;
    struct letter *letter;
    struct request *ask;
};

/* A session as the application server and the observer know it. */
struct session {
    bool used;
    uint8_t id[16];
    ljs_key *app_s; /* as the Join Server gave it */
    ljs_accept accept;
    ljs_frame_kind kind;
    uint16_t nonce;
};

struct life {
    const struct world *world;
    const struct version *version;
    struct trace *trace;
    void *user;
    uint64_t *counts;
    uint32_t index;
    uint64_t dice;
    int64_t now;
    bool still;      /* the days are over: nothing is lost any more */
    const char *why; /* what was wrong, first */
    ljs_err fault;

    struct event *heap;
    size_t heap_len, heap_room;
    uint64_t order;

    ljs_eui dev_eui;
    ljs_key *nwk, *app, *js_int, *js_enc; /* the observer's */
    ljs_scheme scheme;                    /* what it must come to */

    /* the device */
    ljs_se *se;
    ljs_buf ed, durable;
    ljs_ed_state ed_state;
    bool off;
    int64_t boot;    /* when its clock was 0 */
    int64_t wake;    /* -1: no need */
    int64_t windows; /* their end, -1: none open */
    int64_t again;   /* when the last uplink goes once more, -1: not */
    unsigned tries;  /* how often it may yet */
    enum { ALIVE, DIES_BEFORE_PERSISTING, DIES_AFTER_PERSISTING } fate;
    uint32_t up_seq;   /* of the last uplink made */
    uint32_t down_got; /* of the last downlink it had */
    uint32_t confirmed_seq;
    bool confirmed_known;
    int64_t join_nonce;
    int64_t last[LJS_ED_SENDS_DATA + 1]; /* DevNonce, RJcount and FCntUp on air, by what they were sent with */
    struct letter last_up, last_down;    /* on air */

    /* the network */
    ljs_buf ns;
    ljs_ns_state ns_state;
    int64_t ns_wake;
    uint32_t requests;
    bool params_wished;
    uint32_t up_got, down_seq;
    uint32_t confirmed_got;
    bool must_say;
    struct session sessions[SESSIONS];

    /* the Join Server's, as the observer saw it */
    struct {
        ljs_frame_kind kind;
        uint16_t nonce;
        uint32_t join_nonce;
    } given[SESSIONS];
    unsigned givens;
    uint32_t highest;
};

static ljs_eui join_eui(const struct life *l)
{
    return l->world->fleet->join_eui;
}

/* ---- chance ----------------------------------------------------------------- */

/* splitmix64: one stream for each device. */
static uint64_t draw(struct life *l)
{
    uint64_t x = l->dice += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static int64_t between(struct life *l, int64_t low, int64_t high)
{
    return low + (int64_t)(draw(l) % (uint64_t)(high - low + 1));
}

static bool chance(struct life *l, int64_t percent)
{
    return (int64_t)(draw(l) % 100) < percent;
}

enum { OF_NWK, OF_APP, OF_DICE };

static ljs_err of_seed(uint8_t out[16], const struct fleet *fleet, uint32_t index, uint8_t what)
{
    const uint8_t in[] = { 'l', 'i', 'f', 'e', what, (uint8_t)index, (uint8_t)(index >> 8), (uint8_t)(index >> 16) };

    return ljs_aes_cmac(out, fleet->seed, in, sizeof in);
}

static ljs_err root_key(ljs_key **out, const struct fleet *fleet, uint32_t index, uint8_t what)
{
    uint8_t block[16];
    ljs_err err = of_seed(block, fleet, index, what);

    if (!err)
        err = ljs_key_import(out, block, sizeof block);
    explicit_bzero(block, sizeof block);
    return err;
}

ljs_err life_device(ljs_eui *dev_eui, ljs_key **nwk, ljs_key **app, const struct fleet *fleet, uint32_t index)
{
    ljs_err err;

    *nwk = *app = NULL;
    /* Beside those of the same seed that simdev.h has. */
    *dev_eui = (fleet->first | UINT64_C(0x0400000000000000)) + index;
    err = root_key(nwk, fleet, index, OF_NWK);
    if (!err && versions[index % VERSIONS].mac >= LJS_MAC_1_1)
        err = root_key(app, fleet, index, OF_APP);
    return err;
}

/* ---- what happens when ------------------------------------------------------ */

static bool sooner(const struct event *a, const struct event *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void ask_drop(struct request *ask)
{
    if (!ask || --ask->holders)
        return;
    ljs_buf_free(&ask->body);
    explicit_bzero(&ask->ans, sizeof ask->ans); /* keys may have come in clear */
    free(ask);
}

static void event_drop(struct event *event)
{
    free(event->letter);
    ask_drop(event->ask);
}

/* Takes the letter, and holds the ask. */
static void push(struct life *l, int64_t at, enum what what, struct letter *letter, struct request *ask)
{
    size_t i = l->heap_len, up;

    if (ask)
        ask->holders++;
    if (l->heap_len == l->heap_room) {
        size_t room = l->heap_room ? 2 * l->heap_room : 32;
        struct event *heap = realloc(l->heap, room * sizeof *heap);

        if (!heap) {
            l->fault = LJS_E_NOMEM;
            event_drop(&(struct event){ .letter = letter, .ask = ask });
            return;
        }
        l->heap = heap;
        l->heap_room = room;
    }
    l->heap[l->heap_len++] = (struct event){ at, l->order++, what, letter, ask };
    for (; i && sooner(&l->heap[i], &l->heap[up = (i - 1) / 2]); i = up) {
        struct event event = l->heap[i];

        l->heap[i] = l->heap[up];
        l->heap[up] = event;
    }
}

static struct event pop(struct life *l)
{
    struct event first = l->heap[0];
    size_t i = 0, down;

    l->heap[0] = l->heap[--l->heap_len];
    while ((down = 2 * i + 1) < l->heap_len) {
        struct event event = l->heap[i];

        if (down + 1 < l->heap_len && sooner(&l->heap[down + 1], &l->heap[down]))
            down++;
        if (!sooner(&l->heap[down], &event))
            break;
        l->heap[i] = l->heap[down];
        l->heap[down] = event;
        i = down;
    }
    return first;
}

static void note(struct life *l, enum actor whose, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void note(struct life *l, enum actor whose, const char *format, ...)
{
    char text[NOTE_MAX];
    va_list more;

    if (!l->trace)
        return;
    va_start(more, format);
    vsnprintf(text, sizeof text, format, more);
    va_end(more);
    trace_note(l->trace, l->now, whose, text);
}

/* A law is broken: the life ends here. */
static void wrong(struct life *l, enum actor whose, const char *why)
{
    if (l->why)
        return;
    l->why = why;
    note(l, whose, "%s", why);
}

/* What happens now and then: about every `days`. */
static void plan(struct life *l, enum what what, int64_t days)
{
    if (days)
        push(l, l->now + between(l, days * DAY_MS / 2, days * DAY_MS * 3 / 2), what, NULL, NULL);
}

static void take(ljs_buf *state, ljs_buf *next)
{
    ljs_buf_free(state);
    *state = *next;
    *next = (ljs_buf){ 0 };
}

/* ---- the channel ------------------------------------------------------------ */

/* What is held back is overtaken: by the next frames, or by those of the next hours. */
static int64_t held_back(struct life *l)
{
    return between(l, 500, INT64_C(1000) << between(l, 0, 14));
}

static void air(struct life *l, enum actor from, enum actor to, int64_t in, const struct letter *letter)
{
    const struct triangle_opts *opts = l->world->opts;
    unsigned copies = 1;

    if (!l->still && chance(l, opts->duplicate)) {
        copies = 2;
        l->counts[N_COPIES]++;
    }
    for (unsigned i = 0; i < copies; i++) {
        int64_t late = l->still ? 0 : between(l, 0, opts->delay);
        struct letter *copy;

        if (!l->still && chance(l, opts->loss)) {
            l->counts[N_LOST]++;
            if (l->trace)
                trace_message(l->trace, l->now + in, l->now + in, from, to, true, letter->text);
            continue;
        }
        if (!l->still && chance(l, opts->reorder)) {
            late += held_back(l);
            l->counts[N_OVERTAKEN]++;
        }
        copy = malloc(sizeof *copy);
        if (!copy) {
            l->fault = LJS_E_NOMEM;
            return;
        }
        *copy = *letter;
        copy->sent = l->now + in;
        push(l, l->now + in + late, to == NETWORK ? AT_NETWORK : AT_DEVICE, copy, NULL);
    }
}

/* ---- what is said ----------------------------------------------------------- */

/* The payload with number `seq`, the same whoever asks. */
static size_t say(uint8_t out[PAYLOAD_MAX], const struct life *l, ljs_direction direction, uint32_t seq)
{
    uint32_t x = seq * 2654435761u + l->index * 40503u + (uint32_t)direction;
    size_t len = PAYLOAD_MIN + x % (PAYLOAD_MAX - PAYLOAD_MIN + 1);

    for (size_t i = 0; i < PAYLOAD_MIN; i++)
        out[i] = (uint8_t)(seq >> (8 * i));
    for (size_t i = PAYLOAD_MIN; i < len; i++) {
        x = x * 1664525u + 1013904223u;
        out[i] = (uint8_t)(x >> 24);
    }
    return len;
}

/* Its number when it is what was said, else 0. */
static uint32_t was_said(const struct life *l, ljs_direction direction, const uint8_t *in, size_t in_len)
{
    uint8_t own[PAYLOAD_MAX];
    uint32_t seq = 0;

    if (in_len < PAYLOAD_MIN)
        return 0;
    for (size_t i = 0; i < PAYLOAD_MIN; i++)
        seq |= (uint32_t)in[i] << (8 * i);
    return say(own, l, direction, seq) == in_len && !memcmp(own, in, in_len) ? seq : 0;
}

/* ---- the device ------------------------------------------------------------- */

static void power_off(struct life *l)
{
    l->counts[N_POWER_LOSSES]++;
    l->off = true;
    l->fate = ALIVE;
    l->wake = l->windows = l->again = -1;
    l->confirmed_known = false; /* it may not know of it any more */
    note(l, DEVICE, "power lost");
    push(l, l->now + between(l, MINUTE, 2 * HOUR), POWER_ON, NULL, NULL);
}

/* What a frame that is not for the device, or not any more, may be refused with. */
static bool is_refusal(ljs_err err)
{
    return err == LJS_E_REPLAY || err == LJS_E_MIC || err == LJS_E_SESSION || err == LJS_E_STATE || err == LJS_E_MAC;
}

/* What counts anew with each session. */
static void new_session(struct life *l, int64_t join_nonce)
{
    l->join_nonce = join_nonce;
    l->last[LJS_ED_SENDS_REJOIN0] = l->last[LJS_ED_SENDS_DATA] = -1;
    l->confirmed_known = false;
}

/* No counter is on air twice, whatever the device forgot, but for the last uplink, word for word.
 * DevNonce is none before 1.0.4, and RJcount0 is that of type 0 and 2. */
static void watch_counter(struct life *l, const ljs_ed_out *out, bool again)
{
    int64_t count = out->sends == LJS_ED_SENDS_DATA ? out->fcnt : out->nonce;
    int64_t *last = &l->last[out->sends == LJS_ED_SENDS_REJOIN2 ? LJS_ED_SENDS_REJOIN0 : out->sends];

    if (out->sends == LJS_ED_SENDS_JOIN && l->version->mac < LJS_MAC_1_0_4)
        return;
    if (again ? count != *last || out->frame_len != l->last_up.phy_len ||
                    memcmp(out->frame, l->last_up.phy, out->frame_len - MIC_LEN) != 0
              : count <= *last)
        wrong(l, DEVICE, "the device used a counter twice");
    *last = count;
}

/* A third of the devices was told to send each uplink more than once. */
static unsigned nb_trans(const struct life *l)
{
    return l->index / VERSIONS % 3 == 2 ? NB_TRANS : 1;
}

static void device_sends(struct life *l, const ljs_ed_event *event, const ljs_ed_out *out)
{
    static const char *const sends[] = { "",
                                         "join-request, DevNonce",
                                         "rejoin-request 0, RJcount0",
                                         "rejoin-request 1, RJcount1",
                                         "rejoin-request 2, RJcount0",
                                         "uplink" };
    bool data = out->sends == LJS_ED_SENDS_DATA, again = event->kind == LJS_ED_ON_SEND_AGAIN;
    struct letter letter = { .phy_len = out->frame_len, .dr = event->tx_dr, .ch = event->tx_ch };

    memcpy(letter.phy, out->frame, out->frame_len);
    watch_counter(l, out, again);
    if (l->trace && again)
        snprintf(letter.text, sizeof letter.text, "uplink %" PRIu32 ", again", out->fcnt);
    else if (l->trace)
        snprintf(letter.text, sizeof letter.text, "%s %" PRIu32 "%s%s%s", sends[out->sends],
                 data ? out->fcnt : out->nonce, data && event->confirmed ? ", confirmed" : "",
                 data && out->state == LJS_ED_REKEYING ? ", RekeyInd" : "", !data && out->forced ? ", as told" : "");
    if (data) {
        l->counts[again ? N_AGAIN : N_UPLINKS]++;
        l->last_up = letter;
        if (event->confirmed) {
            l->confirmed_seq = l->up_seq;
            l->confirmed_known = true;
        }
        if (!again)
            l->tries = (event->confirmed ? CONFIRMED_TRIES : nb_trans(l)) - 1;
        l->again = l->tries ? l->now + WINDOWS + between(l, RETRANSMIT_MIN, RETRANSMIT_MAX) : -1;
    }
    l->windows = l->now + (data ? WINDOWS : JOIN_WINDOWS);
    air(l, DEVICE, NETWORK, AIRTIME, &letter);
}

static void device_joined(struct life *l, const ljs_ed_out *out)
{
    static const enum count counts[] = { N_REJOINS_0, N_REJOINS_1, N_REJOINS_2 };
    ljs_ed ed = { .struct_size = sizeof ed };

    if (ljs_ed_read(&ed, l->ed.data, l->ed.len)) {
        wrong(l, DEVICE, "the state of the device cannot be read");
        return;
    }
    l->counts[ed.session_kind == LJS_FRAME_JOIN ? N_JOINS : counts[ed.session_kind % COUNT(counts)]]++;
    note(l, DEVICE, "%s: %s, DevAddr %08" PRIx32 ", JoinNonce %" PRIu32, out->joined ? "joined" : "rejoined",
         ljs_ed_state_text(out->state), out->accept.dev_addr, out->accept.join_nonce);
    /* [L2 1.1 §6.2.3] */
    if (l->version->mac >= LJS_MAC_1_1 && out->accept.join_nonce <= l->join_nonce)
        wrong(l, DEVICE, "the device took a JoinNonce that does not rise");
    new_session(l, out->accept.join_nonce);
}

static void device_heard(struct life *l, const ljs_ed_out *out)
{
    uint32_t seq;

    l->counts[N_DOWNLINKS_HEARD]++;
    if (out->acked && out->scheme == LJS_SCHEME_1_1 && l->confirmed_known && l->confirmed_got != l->confirmed_seq)
        wrong(l, DEVICE, "the device was told that an uplink arrived that did not");
    if (!out->has_fport || !out->fport)
        return;
    seq = was_said(l, LJS_DOWN, out->payload, out->payload_len);
    if (!seq || seq > l->down_seq)
        wrong(l, DEVICE, "the device accepted a payload that nobody sent");
    else if (seq <= l->down_got)
        wrong(l, DEVICE, "the device accepted a downlink twice, or after a later one");
    l->down_got = seq;
}

static void device_step(struct life *l, ljs_ed_event *event)
{
    ljs_ed_out out;
    ljs_buf next;
    ljs_err err;

    event->now = l->now - l->boot;
    event->random = (uint32_t)draw(l);
    err = ljs_ed_step(&out, &next, l->se, event, l->ed.data, l->ed.len);
    if (err && event->kind == LJS_ED_ON_DOWNLINK && is_refusal(err)) {
        l->counts[N_REFUSED_BY_DEVICE]++;
        note(l, DEVICE, "refused: %s", ljs_strerror(err));
        return;
    }
    if (err) {
        note(l, DEVICE, "step %d: %s", (int)event->kind, ljs_strerror(err));
        wrong(l, DEVICE, "the device refused what it must not");
        return;
    }
    if (l->fate != ALIVE && (out.persist || out.sends)) {
        if (l->fate == DIES_AFTER_PERSISTING && out.persist)
            take(&l->durable, &next);
        ljs_buf_free(&next);
        power_off(l);
        return;
    }
    if (out.persist) {
        ljs_buf_free(&l->durable);
        if (ljs_buf_copy(&l->durable, next.data, next.len))
            l->fault = LJS_E_NOMEM;
    }
    take(&l->ed, &next);
    if (event->kind == LJS_ED_ON_TICK && !out.sends && out.wake_at >= 0 && out.wake_at <= event->now)
        wrong(l, DEVICE, "the device wakes up for nothing");
    l->wake = out.wake_at < 0 ? -1 : l->boot + out.wake_at;
    if (event->kind == LJS_ED_ON_DOWNLINK || event->kind == LJS_ED_ON_LOST)
        l->windows = -1;
    if (out.session_lost) {
        l->counts[N_SESSIONS_LOST]++;
        note(l, DEVICE, "session given up");
    }
    if (out.joined || out.rejoined)
        device_joined(l, &out);
    else if (out.state != l->ed_state)
        note(l, DEVICE, "%s%s", out.rekeyed ? "RekeyConf: " : "", ljs_ed_state_text(out.state));
    l->ed_state = out.state;
    l->counts[N_REKEYS] += out.rekeyed;
    if (out.heard)
        device_heard(l, &out);
    if (out.sends)
        device_sends(l, event, &out);
}

static void device_event(struct life *l, ljs_ed_event_kind kind)
{
    ljs_ed_event event;

    ljs_ed_event_init(&event, kind, 0);
    device_step(l, &event);
}

/* What was in the element's memory is gone, and the clock begins anew. */
static void power_on(struct life *l)
{
    ljs_ed ed = { .struct_size = sizeof ed };
    ljs_buf copy;

    l->off = false;
    l->boot = l->now;
    ljs_se_free(l->se);
    l->fault = ljs_se_software(&l->se, l->nwk, l->app);
    if (!l->fault)
        l->fault = ljs_buf_copy(&copy, l->durable.data, l->durable.len);
    if (l->fault)
        return;
    take(&l->ed, &copy);
    note(l, DEVICE, "power on");
    l->fault = ljs_ed_read(&ed, l->ed.data, l->ed.len);
    if (!l->fault && ed.join_nonce != l->join_nonce) /* it died over a join-accept that it had taken */
        new_session(l, ed.join_nonce);
    device_event(l, LJS_ED_ON_RESTART);
    if (!l->off && l->ed_state == LJS_ED_IDLE)
        device_event(l, LJS_ED_ON_START);
}

static void device_uplink(struct life *l)
{
    ljs_ed_event event;

    ljs_ed_event_init(&event, LJS_ED_ON_SEND, 0);
    event.fport = PORT;
    event.confirmed = l->still || chance(l, 20);
    event.tx_dr = (uint8_t)between(l, 0, 5);
    event.tx_ch = (uint8_t)between(l, 0, 7);
    event.payload_len = say(event.payload, l, LJS_UP, ++l->up_seq);
    device_step(l, &event);
}

/* The last uplink on another channel, if it is still of use: the machine knows. */
static void device_again(struct life *l)
{
    ljs_ed ed = { .struct_size = sizeof ed };
    ljs_ed_event event;

    l->again = -1;
    l->fault = ljs_ed_read(&ed, l->ed.data, l->ed.len);
    if (l->fault || !ed.again_left)
        return;
    l->tries--;
    ljs_ed_event_init(&event, LJS_ED_ON_SEND_AGAIN, 0);
    memcpy(event.frame, l->last_up.phy, event.frame_len = l->last_up.phy_len);
    event.tx_dr = (uint8_t)between(l, 0, 5);
    event.tx_ch = (uint8_t)between(l, 0, 7);
    device_step(l, &event);
}

static void device_hear(struct life *l, const struct letter *letter)
{
    ljs_ed_event event;

    if (l->trace)
        trace_message(l->trace, letter->sent, l->now, NETWORK, DEVICE, l->off, letter->text);
    if (l->off)
        return;
    ljs_ed_event_init(&event, LJS_ED_ON_DOWNLINK, 0);
    memcpy(event.frame, letter->phy, letter->phy_len);
    event.frame_len = letter->phy_len;
    device_step(l, &event);
}

/* ---- the network: sessions -------------------------------------------------- */

static struct session *session_of(struct life *l, const uint8_t id[16])
{
    for (size_t i = 0; i < SESSIONS; i++)
        if (l->sessions[i].used && !memcmp(l->sessions[i].id, id, 16))
            return &l->sessions[i];
    return NULL;
}

static bool read_network(struct life *l, ljs_ns *out)
{
    *out = (ljs_ns){ .struct_size = sizeof *out };
    if (!ljs_ns_read(out, l->ns.data, l->ns.len))
        return true;
    wrong(l, NETWORK, "the state of the network cannot be read");
    return false;
}

/* In place of one that the network has not got any more. */
static struct session *free_session(struct life *l)
{
    ljs_ns ns;

    if (!read_network(l, &ns))
        return NULL;
    for (size_t i = 0; i < SESSIONS; i++) {
        struct session *s = &l->sessions[i];

        if (s->used && ((ns.current.present && !memcmp(ns.current.session_key_id, s->id, 16)) ||
                        (ns.pending.present && !memcmp(ns.pending.session_key_id, s->id, 16))))
            continue;
        ljs_key_free(s->app_s);
        *s = (struct session){ 0 };
        return s;
    }
    return NULL;
}

static ljs_err open_key(ljs_key **out, const struct life *l, const ljs_envelope *envelope)
{
    const struct fleet *fleet = l->world->fleet;
    const ljs_key *kek = NULL;

    for (unsigned i = 0; i < fleet->keks_len; i++)
        if (!strcmp(fleet->keks[i].label, envelope->kek_label))
            kek = fleet->keks[i].key;
    return ljs_envelope_open(out, envelope, kek);
}

/* ---- the Join Server -------------------------------------------------------- */

/* The observer opens what it answers. */
static bool open_accept(ljs_accept *out, const struct life *l, const struct request *ask)
{
    const ljs_accept_of of = { l->scheme, ask->frame.kind, join_eui(l), ask->frame.nonce };

    return !ljs_accept_open(out, &of, l->scheme == LJS_SCHEME_1_1 ? l->js_int : l->nwk,
                            ask->frame.kind == LJS_FRAME_JOIN ? l->nwk : l->js_enc, ask->ans.phy, ask->ans.phy_len);
}

static void watch_answer(struct life *l, const struct request *ask)
{
    ljs_accept accept;

    if (!open_accept(&accept, l, ask)) {
        wrong(l, JOIN_SERVER, "the Join Server answered with a join-accept that does not open");
        return;
    }
    if (accept.dev_addr != ask->req.dev_addr || accept.net_id != l->world->fleet->net_ids[0])
        wrong(l, JOIN_SERVER, "the Join Server answered with another DevAddr or NetID");
    for (unsigned i = 0; i < l->givens && i < SESSIONS; i++)
        if (l->given[i].kind == ask->frame.kind && l->given[i].nonce == ask->frame.nonce &&
            l->given[i].join_nonce == accept.join_nonce)
            return; /* a repeat */
    if (accept.join_nonce <= l->highest)
        wrong(l, JOIN_SERVER, "the JoinNonce of the Join Server did not rise");
    l->highest = accept.join_nonce;
    l->given[l->givens % SESSIONS].kind = ask->frame.kind;
    l->given[l->givens % SESSIONS].nonce = ask->frame.nonce;
    l->given[l->givens % SESSIONS].join_nonce = accept.join_nonce;
    l->givens++;
}

static bool lost_on_backend(struct life *l, const struct request *ask, enum actor from, enum actor to)
{
    bool lost = !l->still && chance(l, l->world->opts->backend_loss);

    l->counts[N_BACKEND_LOST] += lost;
    if (l->trace && lost)
        trace_message(l->trace, l->now, l->now, from, to, true,
                      ljs_message_type_text(from == NETWORK ? ask->req.type : ask->req.type + 1));
    return lost;
}

static void join_server(struct life *l, struct request *ask)
{
    ljs_buf answer = { 0 };
    ljs_err err;

    if (l->trace)
        trace_message(l->trace, ask->sent, l->now, NETWORK, JOIN_SERVER, false, ljs_message_type_text(ask->req.type));
    err = l->world->ask(l->user, &answer, l->now / 1000, &ask->body);
    if (err && err != LJS_E_BUSY) {
        l->fault = err;
        return;
    }
    if (!err && (err = ljs_message_answer(&ask->ans, &ask->req, answer.data, answer.len)) == LJS_E_MESSAGE)
        wrong(l, JOIN_SERVER, "the Join Server's answer is none to the request");
    ljs_buf_free(&answer);
    ask->err = err;
    if (!err)
        watch_answer(l, ask);
    if (err == LJS_E_BUSY) { /* no answer, or nearly none: the network asks again */
        l->counts[N_BACKEND_LOST]++;
        note(l, JOIN_SERVER, "no answer");
        return;
    }
    if (!lost_on_backend(l, ask, JOIN_SERVER, NETWORK)) {
        ask->sent = l->now;
        push(l, l->now + BACKEND, ANSWER, NULL, ask);
    }
}

/* ---- the network: requests -------------------------------------------------- */

static void send_ask(struct life *l, struct request *ask)
{
    ask->tries++;
    l->counts[N_BACKEND]++;
    if (!lost_on_backend(l, ask, NETWORK, JOIN_SERVER)) {
        ask->sent = l->now;
        push(l, l->now + BACKEND, AT_JOIN_SERVER, NULL, ask);
    }
    if (ask->tries < BACKEND_TRIES)
        push(l, l->now + BACKEND_TIMEOUT, REPEAT, NULL, ask);
}

/* A DevAddr for each frame, the same when it comes again: then it is the same request. */
static ljs_devaddr dev_addr_for(const struct life *l, const uint8_t *in, size_t in_len)
{
    uint32_t x = 2166136261u ^ l->index;

    for (size_t i = 0; i < in_len; i++)
        x = (x ^ in[i]) * 16777619u;
    return (l->world->fleet->net_ids[0] & 0x3f) << 25 | (x & 0x1ffffff); /* NetIDs of type 0 */
}

static void ask_join_server(struct life *l, const ljs_frame *frame, const struct letter *letter)
{
    const struct fleet *fleet = l->world->fleet;
    struct request *ask = calloc(1, sizeof *ask);
    ljs_message *req;

    if (!ask) {
        l->fault = LJS_E_NOMEM;
        return;
    }
    ask->holders = 1;
    ask->frame = *frame;
    ask->heard = l->now;
    req = &ask->req;
    ljs_message_init(req);
    req->type = frame->kind == LJS_FRAME_JOIN ? LJS_MSG_JOIN_REQ : LJS_MSG_REJOIN_REQ;
    req->protocol = l->index / VERSIONS % 2 ? 11 : 10;
    req->transaction_id = ++l->requests;
    snprintf(req->sender_id, sizeof req->sender_id, "%06" PRIx32, fleet->net_ids[0]);
    snprintf(req->receiver_id, sizeof req->receiver_id, "%016" PRIx64, fleet->join_eui);
    req->mac = l->version->network;
    req->dev_eui = frame->dev_eui;
    req->dev_addr = dev_addr_for(l, letter->phy, letter->phy_len);
    req->dl_settings = l->version->network >= LJS_MAC_1_1 ? 0x80 : 0; /* OptNeg */
    req->rx_delay = 1;
    memcpy(req->phy, letter->phy, letter->phy_len);
    req->phy_len = letter->phy_len;
    req->has =
        LJS_M_MAC_VERSION | LJS_M_DEV_EUI | LJS_M_DEV_ADDR | LJS_M_DL_SETTINGS | LJS_M_RX_DELAY | LJS_M_TRANSACTION_ID;
    if (req->protocol == 11) {
        req->sender_ns_id = fleet->ns_id;
        req->has |= LJS_M_SENDER_NSID;
    }
    l->fault = ljs_message_build(&ask->body, req);
    if (!l->fault)
        send_ask(l, ask);
    ask_drop(ask);
}

static void refused_by_network(struct life *l, ljs_err err)
{
    if (!is_refusal(err) && err != LJS_E_BUSY)
        wrong(l, NETWORK, "the network refused what it must not");
    l->counts[N_REFUSED_BY_NETWORK]++;
    note(l, NETWORK, "refused: %s", ljs_strerror(err));
}

static void network_request(struct life *l, const ljs_frame *frame, const struct letter *letter)
{
    ljs_ns_route route;
    ljs_buf next;
    ljs_err err;

    if (frame->kind != LJS_FRAME_JOIN) {
        err =
            ljs_ns_rejoin(&route, &next, l->world->vault, l->now, letter->phy, letter->phy_len, l->ns.data, l->ns.len);
        if (err) {
            refused_by_network(l, err);
            return;
        }
        take(&l->ns, &next);
        l->ns_wake = route.wake_at;
    }
    ask_join_server(l, frame, letter);
}

/* The application server has its key, and the observer what he read. */
static void remember_session(struct life *l, const struct request *ask, ljs_key **app_s)
{
    struct session *s = session_of(l, ask->ans.session_key_id);

    if (s || !(s = free_session(l)))
        return;
    s->used = true;
    memcpy(s->id, ask->ans.session_key_id, sizeof s->id);
    s->app_s = *app_s;
    *app_s = NULL;
    s->kind = ask->frame.kind;
    s->nonce = ask->frame.nonce;
    if (!open_accept(&s->accept, l, ask))
        wrong(l, NETWORK, "a join-accept does not open");
}

static ljs_err take_answer(struct life *l, const struct request *ask, ljs_ns_joined *joined)
{
    const ljs_message *ans = &ask->ans;
    bool v11 = l->scheme == LJS_SCHEME_1_1;
    ljs_key *f = NULL, *s = NULL, *enc = NULL, *app_s = NULL;
    ljs_buf next = { 0 };
    ljs_ns_accepted accepted = { .struct_size = sizeof accepted,
                                 .now = l->now,
                                 .kind = ask->frame.kind,
                                 .scheme = l->scheme,
                                 .mac = (uint16_t)l->version->network,
                                 .nonce = ask->frame.nonce,
                                 .dev_addr = ask->req.dev_addr };
    ljs_err err = LJS_OK;

    memcpy(accepted.session_key_id, ans->session_key_id, sizeof accepted.session_key_id);
    if (!ans->app_s.key_len || ans->session_key_id_len != sizeof accepted.session_key_id ||
        open_key(&app_s, l, &ans->app_s) || open_key(&f, l, v11 ? &ans->f_nwk_s_int : &ans->nwk_s) ||
        (v11 && (open_key(&s, l, &ans->s_nwk_s_int) || open_key(&enc, l, &ans->nwk_s_enc))))
        wrong(l, NETWORK, "an answer without all session keys, or under a KEK that is not known");
    else
        err = ljs_ns_join_accepted(joined, &next, l->world->vault, &accepted, &(ljs_ns_keys){ f, s, enc }, l->ns.data,
                                   l->ns.len);
    if (!err && !l->why) {
        take(&l->ns, &next);
        remember_session(l, ask, &app_s);
    }
    ljs_key_free(f);
    ljs_key_free(s);
    ljs_key_free(enc);
    ljs_key_free(app_s);
    return err;
}

static void network_state(struct life *l, ljs_ns_state state, int64_t wake_at)
{
    if (state != l->ns_state)
        note(l, NETWORK, "%s", ljs_ns_state_text(state));
    l->ns_state = state;
    l->ns_wake = wake_at;
}

static void network_answered(struct life *l, struct request *ask)
{
    struct letter letter = { .phy_len = ask->ans.phy_len };
    ljs_ns_joined joined;
    int64_t in = ask->heard + JOIN_ACCEPT_DELAY1 - l->now;
    ljs_err err;

    if (l->trace)
        trace_message(l->trace, ask->sent, l->now, JOIN_SERVER, NETWORK, false,
                      ask->err ? ljs_strerror(ask->err) : ljs_message_type_text(ask->req.type + 1));
    if (ask->done)
        return;
    ask->done = true;
    if (ask->err) {
        l->counts[N_REFUSED_BY_JOIN_SERVER]++;
        return;
    }
    if ((err = take_answer(l, ask, &joined))) {
        refused_by_network(l, err);
        return;
    }
    if (l->why)
        return;
    network_state(l, joined.state, joined.wake_at);
    memcpy(letter.phy, ask->ans.phy, ask->ans.phy_len);
    if (l->trace)
        snprintf(letter.text, sizeof letter.text, "join-accept, DevAddr %08" PRIx32, ask->req.dev_addr);
    air(l, NETWORK, DEVICE, (in > 0 ? in : 0) + AIRTIME, &letter);
}

/* ---- the network: data ------------------------------------------------------ */

/* The application server has something to say. */
static bool application_says(struct life *l, ljs_ns_tx *tx)
{
    uint8_t text[PAYLOAD_MAX];
    size_t len;
    const struct session *s;
    ljs_buf under;
    ljs_ns ns;

    if (!read_network(l, &ns))
        return false;
    s = session_of(l, ns.current.session_key_id);
    if (!s) {
        wrong(l, NETWORK, "no AppSKey of the network's session");
        return false;
    }
    len = say(text, l, LJS_DOWN, ++l->down_seq);
    tx->fport = PORT;
    tx->fcnt = (uint32_t)ns.current.a_fcnt_down;
    l->fault =
        ljs_data_crypt(&under, LJS_STREAM_FRM_PAYLOAD, LJS_DOWN, ns.current.dev_addr, tx->fcnt, s->app_s, text, len);
    if (l->fault)
        return false;
    memcpy(tx->payload, under.data, under.len);
    tx->payload_len = under.len;
    ljs_buf_free(&under);
    return true;
}

static void network_down(struct life *l)
{
    static const struct {
        uint8_t due;
        const char *text;
    } dues[] = { { LJS_NS_DUE_ACK, ", ACK" },
                 { LJS_NS_DUE_REKEY_CONF, ", RekeyConf" },
                 { LJS_NS_DUE_FORCE_REJOIN, ", ForceRejoinReq" },
                 { LJS_NS_DUE_REJOIN_PARAMS, ", RejoinParamSetupReq" },
                 { LJS_NS_DUE_ADR_ACK, ", to ADRACKReq" } };
    bool says = l->must_say || chance(l, 10);
    ljs_ns_tx tx = { .struct_size = sizeof tx, .now = l->now };
    struct letter letter = { .sent = 0 };
    ljs_ns_down down;
    ljs_buf next;
    ljs_err err;

    if (says) {
        tx.confirmed = !l->still && chance(l, 25);
        if (!application_says(l, &tx))
            return;
    }
    err = ljs_ns_downlink(&down, &next, l->world->vault, &tx, l->ns.data, l->ns.len);
    if (err == LJS_E_NOTFOUND)
        return;
    if (err) {
        refused_by_network(l, err);
        return;
    }
    take(&l->ns, &next);
    l->counts[N_DOWNLINKS]++;
    network_state(l, down.state, down.wake_at);
    memcpy(letter.phy, down.phy, letter.phy_len = down.phy_len);
    if (l->trace) {
        snprintf(letter.text, sizeof letter.text, "downlink %" PRIu32 "%s", down.fcnt, says ? ", payload" : "");
        for (size_t i = 0; i < COUNT(dues); i++)
            if (down.sent & dues[i].due)
                strncat(letter.text, dues[i].text, sizeof letter.text - strlen(letter.text) - 1);
    }
    l->last_down = letter;
    air(l, NETWORK, DEVICE, RX1, &letter);
}

/* What the application server reads. */
static void application_hears(struct life *l, const ljs_ns_up *up)
{
    const struct session *s;
    ljs_buf text;
    ljs_ns ns;
    uint32_t seq;

    if (!read_network(l, &ns))
        return;
    s = session_of(l, ns.current.session_key_id);
    if (!s) {
        wrong(l, NETWORK, "no AppSKey of the network's session");
        return;
    }
    l->fault = ljs_data_crypt(&text, LJS_STREAM_FRM_PAYLOAD, LJS_UP, up->dev_addr, up->fcnt, s->app_s, up->payload,
                              up->payload_len);
    seq = l->fault ? 0 : was_said(l, LJS_UP, text.data, text.len);
    ljs_buf_free(&text);
    if (!seq || seq > l->up_seq)
        wrong(l, NETWORK, "the network accepted a payload that nobody sent");
    else if (seq <= l->up_got)
        wrong(l, NETWORK, "the network accepted an uplink twice, or after a later one");
    l->up_got = seq;
    if (up->confirmed)
        l->confirmed_got = seq;
}

static void network_data(struct life *l, const struct letter *letter)
{
    int64_t rejoin0 = l->world->opts->rejoin0;
    ljs_ns_up up;
    ljs_buf next;
    ljs_err err = ljs_ns_uplink(&up, &next, l->world->vault, l->now, letter->dr, letter->ch, letter->phy,
                                letter->phy_len, l->ns.data, l->ns.len);

    if (err) {
        refused_by_network(l, err);
        return;
    }
    take(&l->ns, &next);
    l->counts[up.again ? N_AGAIN_HEARD : N_UPLINKS_HEARD]++;
    if (up.switched)
        note(l, NETWORK, "the new keys are in use: %s", ljs_ns_state_text(up.state));
    else if (up.state != l->ns_state)
        note(l, NETWORK, "%s", ljs_ns_state_text(up.state));
    l->ns_state = up.state;
    l->ns_wake = up.wake_at;
    if (!up.again)
        application_hears(l, &up);
    else if (up.has_fport || up.payload_len || up.mac_len)
        wrong(l, NETWORK, "the network passed an uplink up twice");
    if (l->why || l->fault)
        return;
    if (l->scheme == LJS_SCHEME_1_1 && rejoin0 >= 0 && !l->params_wished) {
        l->fault = ljs_ns_rejoin_params(&next, l->world->vault, (uint8_t)rejoin0, MAX_COUNT_N, l->ns.data, l->ns.len);
        if (!l->fault)
            take(&l->ns, &next);
        l->params_wished = true;
    }
    network_down(l);
}

static void network_hear(struct life *l, const struct letter *letter)
{
    ljs_frame frame;

    if (l->trace)
        trace_message(l->trace, letter->sent, l->now, DEVICE, NETWORK, false, letter->text);
    if (!ljs_frame_parse(&frame, letter->phy, letter->phy_len))
        network_request(l, &frame, letter);
    else
        network_data(l, letter);
}

static void network_timer(struct life *l)
{
    ljs_ns_woken woken;
    ljs_buf next;
    ljs_err err = ljs_ns_timer(&woken, &next, l->world->vault, l->now, l->ns.data, l->ns.len);

    if (err) {
        wrong(l, NETWORK, "the network's timer was refused");
        return;
    }
    take(&l->ns, &next);
    if (woken.spent)
        note(l, NETWORK, "no rejoin came: given up");
    if (woken.wake_at >= 0 && woken.wake_at <= l->now)
        wrong(l, NETWORK, "the network wakes up for nothing");
    network_state(l, woken.state, woken.wake_at);
}

/* An operator wishes that the device rejoin. */
static void network_wish(struct life *l)
{
    const ljs_ns_force force = { .struct_size = sizeof force,
                                 .rejoin_type = chance(l, 50) ? 2 : 0,
                                 .period = (uint8_t)between(l, 0, 2),
                                 .max_retries = (uint8_t)between(l, 0, 3),
                                 .data_rate = (uint8_t)between(l, 0, 5),
                                 .tries = 3 };
    ljs_buf next;
    ljs_err err = ljs_ns_force_rejoin(&next, l->world->vault, &force, l->ns.data, l->ns.len);

    note(l, NETWORK, "the device is to rejoin, by type %u%s", force.rejoin_type, err ? ": not now" : "");
    if (!err)
        take(&l->ns, &next);
    else if (err != LJS_E_STATE)
        wrong(l, NETWORK, "the network refused what it must not");
}

/* ---- time ------------------------------------------------------------------- */

static bool settled(const struct life *l)
{
    return l->ed_state == LJS_ED_JOINED && (l->ns_state == LJS_NS_ACTIVE || l->ns_state == LJS_NS_SWITCHING) &&
           l->up_got == l->up_seq;
}

static void on_uplink(struct life *l)
{
    int64_t pause = DAY_MS / l->world->opts->uplinks;
    bool good = settled(l); /* before the next one is on its way */

    if (!l->off && l->windows >= 0) { /* it listens: a little later */
        push(l, l->windows + 1, UPLINK, NULL, NULL);
        return;
    }
    if (!l->off && (l->ed_state == LJS_ED_REKEYING || l->ed_state == LJS_ED_JOINED))
        device_uplink(l);
    pause = between(l, pause / 2, pause * 3 / 2);
    if (l->still && pause > UNSETTLED && !good)
        pause = UNSETTLED;
    push(l, l->now + pause, UPLINK, NULL, NULL);
}

static void on_power_loss(struct life *l)
{
    if (l->still)
        return;
    plan(l, POWER_LOSS, l->world->opts->power_loss);
    if (l->off)
        return;
    l->fate = (int)between(l, ALIVE, DIES_AFTER_PERSISTING);
    if (l->fate == ALIVE)
        power_off(l);
}

static void on_wish(struct life *l)
{
    if (l->still)
        return;
    plan(l, WISH, l->world->opts->force);
    network_wish(l);
}

static void happen(struct life *l, struct event *event)
{
    switch (event->what) {
    case AT_NETWORK:
        network_hear(l, event->letter);
        break;
    case AT_DEVICE:
        device_hear(l, event->letter);
        break;
    case AT_JOIN_SERVER:
        join_server(l, event->ask);
        break;
    case ANSWER:
        network_answered(l, event->ask);
        break;
    case REPEAT:
        if (!event->ask->done)
            send_ask(l, event->ask);
        break;
    case UPLINK:
        on_uplink(l);
        break;
    case POWER_LOSS:
        on_power_loss(l);
        break;
    case POWER_ON:
        power_on(l);
        break;
    case WISH:
        on_wish(l);
        break;
    }
    event_drop(event);
}

/* When the device does something of itself: its windows close, it says something again, or it wakes. */
static int64_t device_due(const struct life *l)
{
    if (l->off)
        return -1;
    if (l->windows >= 0)
        return l->windows;
    return l->again >= 0 && (l->wake < 0 || l->again < l->wake) ? l->again : l->wake;
}

static void run_until(struct life *l, int64_t until)
{
    while (!l->why && !l->fault) {
        int64_t device = device_due(l), network = l->ns_wake, at = until + 1;

        if (l->heap_len)
            at = l->heap[0].at;
        if (device >= 0 && device < at)
            at = device;
        if (network >= 0 && network < at)
            at = network;
        if (at > until)
            break;
        if (at > l->now)
            l->now = at;
        if (device >= 0 && device == at) {
            if (l->windows >= 0) {
                l->windows = -1;
                device_event(l, LJS_ED_ON_LOST);
            } else if (l->again == device) {
                device_again(l);
            } else {
                device_event(l, LJS_ED_ON_TICK);
            }
        } else if (network >= 0 && network == at) {
            network_timer(l);
        } else {
            struct event event = pop(l);

            happen(l, &event);
        }
    }
    if (!l->why && !l->fault)
        l->now = until;
}

/* ---- the judge -------------------------------------------------------------- */

/* The session keys, derived once more from what the observer read. */
struct keys {
    ljs_key *f_nwk_s_int, *s_nwk_s_int, *app_s;
};

static void keys_free(struct keys *keys)
{
    ljs_key_free(keys->f_nwk_s_int);
    ljs_key_free(keys->s_nwk_s_int);
    ljs_key_free(keys->app_s);
}

static ljs_err derive(struct keys *out, const struct life *l, const struct session *s)
{
    bool v11 = l->scheme == LJS_SCHEME_1_1;
    ljs_derivation what = { .scheme = l->scheme,
                            .join_eui = join_eui(l),
                            .net_id = s->accept.net_id,
                            .join_nonce = s->accept.join_nonce,
                            .nonce = s->nonce };
    ljs_err err;

    *out = (struct keys){ 0 };
    what.name = LJS_KEY_F_NWK_S_INT;
    err = ljs_derive(&out->f_nwk_s_int, &what, l->nwk);
    what.name = LJS_KEY_S_NWK_S_INT;
    if (!err && v11)
        err = ljs_derive(&out->s_nwk_s_int, &what, l->nwk);
    what.name = LJS_KEY_APP_S;
    if (!err)
        err = ljs_derive(&out->app_s, &what, v11 ? l->app : l->nwk);
    if (err)
        keys_free(out);
    return err;
}

/* Is this frame, as it was on air, of this session, and does it say what was said last? */
static bool says(const struct life *l, const struct keys *keys, const struct letter *letter, ljs_direction direction,
                 uint32_t fcnt, uint16_t conf_fcnt, ljs_devaddr dev_addr, uint32_t seq)
{
    const ljs_data_of of = {
        .scheme = l->scheme, .fcnt = fcnt, .conf_fcnt = conf_fcnt, .tx_dr = letter->dr, .tx_ch = letter->ch
    };
    ljs_data data;
    uint8_t mic[4];
    ljs_buf text = { 0 };
    bool good = !ljs_data_parse(&data, letter->phy, letter->phy_len) && data.direction == direction &&
                data.dev_addr == dev_addr && data.fcnt == (uint16_t)fcnt && data.fport == PORT &&
                !ljs_data_mic(mic, &of, keys->f_nwk_s_int, keys->s_nwk_s_int, letter->phy, letter->phy_len) &&
                !memcmp(mic, data.mic, sizeof mic) &&
                !ljs_data_crypt(&text, LJS_STREAM_FRM_PAYLOAD, direction, dev_addr, fcnt, keys->app_s, data.frm_payload,
                                data.frm_payload_len) &&
                was_said(l, direction, text.data, text.len) == seq;

    ljs_buf_free(&text);
    return good;
}

static const char *judge(struct life *l)
{
    ljs_ed ed = { .struct_size = sizeof ed };
    const struct session *s;
    struct keys keys;
    const char *why = NULL;
    uint32_t up, down;
    ljs_ns ns;

    if (ljs_ed_read(&ed, l->ed.data, l->ed.len) || !read_network(l, &ns))
        return "a state cannot be read";
    if (ed.state != LJS_ED_JOINED)
        return ed.state == LJS_ED_REKEYING ? "the device has no RekeyConf" : "the device has no session";
    if (ns.state != LJS_NS_ACTIVE && ns.state != LJS_NS_SWITCHING)
        return "the network has no session in use";
    if (ed.dev_addr != ns.current.dev_addr)
        return "two DevAddrs";
    if (ed.scheme != l->scheme || ns.current.scheme != l->scheme)
        return "not the scheme that device and network have in common";
    s = session_of(l, ns.current.session_key_id);
    if (!s || ed.join_nonce < 0 || (uint32_t)ed.join_nonce != s->accept.join_nonce || ed.session_kind != s->kind ||
        ed.session_nonce != s->nonce || ed.dev_addr != s->accept.dev_addr)
        return "two join-accepts";
    if (l->up_got != l->up_seq)
        return "an uplink was not accepted, though nothing is lost";
    if (l->down_got != l->down_seq)
        return "a downlink was not accepted, though nothing is lost";
    if (derive(&keys, l, s))
        return "out of memory";
    up = (uint32_t)(ed.fcnt_up - 1);
    down = (uint32_t)(l->scheme == LJS_SCHEME_1_1 ? ed.a_fcnt_down : ed.n_fcnt_down);
    if (!says(l, &keys, &l->last_up, LJS_UP, up, 0, ed.dev_addr, l->up_seq) || ns.current.fcnt_up != up)
        why = "an uplink under other keys than those that follow from the join-accept";
    else if (!says(l, &keys, &l->last_down, LJS_DOWN, down, (uint16_t)up, ed.dev_addr, l->down_seq))
        why = "a downlink under other keys than those that follow from the join-accept";
    keys_free(&keys);
    return why;
}

/* Nothing is lost any more: device and network talk to each other, both ways. */
static void last_exchange(struct life *l)
{
    const char *why = "nothing was said";

    l->must_say = true;
    for (unsigned i = 0; i < ROUNDS && why && !l->why && !l->fault; i++) {
        if (!l->off && l->windows < 0 && (l->ed_state == LJS_ED_REKEYING || l->ed_state == LJS_ED_JOINED))
            device_uplink(l);
        run_until(l, l->now + MINUTE);
        why = judge(l);
    }
    if (why)
        wrong(l, DEVICE, why);
    l->counts[N_LEFT_PENDING] += l->ns_state == LJS_NS_SWITCHING;
}

/* ---- the whole -------------------------------------------------------------- */

static ljs_err be_born(struct life *l)
{
    const struct triangle_opts *opts = l->world->opts;
    ljs_derivation what = { .name = LJS_KEY_JS_INT };
    ljs_octet_order order = l->index / VERSIONS % 2 ? LJS_HIGH_FIRST : LJS_LOW_FIRST;
    uint8_t block[16];
    ljs_ed_opts ed;
    ljs_ns_opts ns;
    ljs_err err = of_seed(block, l->world->fleet, l->index, OF_DICE);

    memcpy(&l->dice, block, sizeof l->dice);
    if (!err)
        err = life_device(&l->dev_eui, &l->nwk, &l->app, l->world->fleet, l->index);
    what.dev_eui = l->dev_eui;
    if (!err && l->app) {
        err = ljs_derive(&l->js_int, &what, l->nwk);
        what.name = LJS_KEY_JS_ENC;
        if (!err)
            err = ljs_derive(&l->js_enc, &what, l->nwk);
    }
    ljs_ed_opts_init(&ed);
    ed.join_eui = join_eui(l);
    ed.dev_eui = l->dev_eui;
    ed.mac = (uint16_t)l->version->mac;
    ed.adr_ack_limit =
        l->index / VERSIONS % 2 ? 64 : 8; /* 64 is the rule; with few, sessions are given up now and then */
    ed.link_limit = (uint16_t)(5 * ed.adr_ack_limit);
    ed.no_clock = l->index / VERSIONS % 4 == 3;
    ed.order = order;
    ed.rejoin1_period = (uint32_t)(opts->rejoin1 * 3600);
    if (!err)
        err = ljs_ed_new(&l->durable, &ed);
    ljs_ns_opts_init(&ns);
    ns.dev_eui = l->dev_eui;
    ns.net_id = l->world->fleet->net_ids[0];
    ns.order = order;
    if (!err)
        err = ljs_ns_new(&l->ns, l->world->vault, &ns);
    return err;
}

static void live(struct life *l)
{
    const struct triangle_opts *opts = l->world->opts;

    push(l, between(l, 0, HOUR), POWER_ON, NULL, NULL);
    push(l, HOUR + between(l, 0, DAY_MS / opts->uplinks), UPLINK, NULL, NULL);
    plan(l, POWER_LOSS, opts->power_loss);
    if (l->scheme == LJS_SCHEME_1_1)
        plan(l, WISH, opts->force);
    run_until(l, opts->days * DAY_MS);
    l->still = true;
    l->fate = ALIVE;
    note(l, NETWORK, "from here on nothing is lost");
    run_until(l, l->now + opts->calm * HOUR * 3 / 4);
    /* A context that was never heard of waits for the next one to take its place. */
    if (!l->why && !l->fault && l->scheme == LJS_SCHEME_1_1 && l->ns_state == LJS_NS_SWITCHING)
        network_wish(l);
    run_until(l, opts->days * DAY_MS + opts->calm * HOUR);
    if (!l->why && !l->fault)
        last_exchange(l);
}

ljs_err life_run(const char **why, uint64_t counts[COUNTS], const struct world *world, uint32_t index, void *user,
                 struct trace *trace)
{
    struct life *l = calloc(1, sizeof *l);
    char title[NOTE_MAX];
    ljs_err err;

    *why = NULL;
    memset(counts, 0, COUNTS * sizeof *counts);
    if (!l)
        return LJS_E_NOMEM;
    l->world = world;
    l->version = &versions[index % VERSIONS];
    l->trace = trace;
    l->user = user;
    l->counts = counts;
    l->index = index;
    l->scheme = l->version->network >= LJS_MAC_1_1 ? LJS_SCHEME_1_1 : LJS_SCHEME_1_0;
    l->off = true;
    l->wake = l->windows = l->again = l->ns_wake = -1;
    new_session(l, -1);
    l->last[LJS_ED_SENDS_JOIN] = l->last[LJS_ED_SENDS_REJOIN1] = -1;
    counts[N_DEVICES] = 1;
    l->fault = be_born(l);
    if (trace) {
        snprintf(title, sizeof title, "device %" PRIu32 ", LoRaWAN %s, DevEUI %016" PRIx64, index, l->version->name,
                 l->dev_eui);
        trace_title(trace, title);
    }
    if (!l->fault)
        live(l);
    if (!l->why && !l->fault)
        note(l, DEVICE, "one shared context with the network");
    *why = l->why;
    err = l->fault;

    for (size_t i = 0; i < l->heap_len; i++)
        event_drop(&l->heap[i]);
    free(l->heap);
    for (size_t i = 0; i < SESSIONS; i++)
        ljs_key_free(l->sessions[i].app_s);
    ljs_key_free(l->nwk);
    ljs_key_free(l->app);
    ljs_key_free(l->js_int);
    ljs_key_free(l->js_enc);
    ljs_se_free(l->se);
    ljs_buf_free(&l->ed);
    ljs_buf_free(&l->durable);
    ljs_buf_free(&l->ns);
    free(l);
    return err;
}
