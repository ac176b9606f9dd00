#include "life_inside.h"

#include "tool.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

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

/* ---- chance ----------------------------------------------------------------- */

/* splitmix64: one stream for each device. */
uint64_t life_draw(struct life *l)
{
    uint64_t x = l->dice += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

int64_t life_between(struct life *l, int64_t low, int64_t high)
{
    return low + (int64_t)(life_draw(l) % (uint64_t)(high - low + 1));
}

bool life_chance(struct life *l, int64_t percent)
{
    return (int64_t)(life_draw(l) % 100) < percent;
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

void life_ask_drop(struct request *ask)
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
    life_ask_drop(event->ask);
}

/* Takes the letter, and holds the ask. */
void life_push(struct life *l, int64_t at, enum what what, struct letter *letter, struct request *ask)
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

void life_note(struct life *l, enum actor whose, const char *format, ...)
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
void life_wrong(struct life *l, enum actor whose, const char *why)
{
    if (l->why)
        return;
    l->why = why;
    life_note(l, whose, "%s", why);
}

/* What happens now and then: about every `days`. */
static void plan(struct life *l, enum what what, int64_t days)
{
    if (days)
        life_push(l, l->now + life_between(l, days * DAY_MS / 2, days * DAY_MS * 3 / 2), what, NULL, NULL);
}

void life_take(ljs_buf *state, ljs_buf *next)
{
    ljs_buf_free(state);
    *state = *next;
    *next = (ljs_buf){ 0 };
}

/* ---- the channel ------------------------------------------------------------ */

/* What is held back is overtaken: by the next frames, or by those of the next hours. */
static int64_t held_back(struct life *l)
{
    return life_between(l, 500, INT64_C(1000) << life_between(l, 0, 14));
}

void life_air(struct life *l, enum actor from, enum actor to, int64_t in, const struct letter *letter)
{
    const struct triangle_opts *opts = l->world->opts;
    unsigned copies = 1;

    if (!l->still && life_chance(l, opts->duplicate)) {
        copies = 2;
        l->counts[N_COPIES]++;
    }
    for (unsigned i = 0; i < copies; i++) {
        int64_t late = l->still ? 0 : life_between(l, 0, opts->delay);
        struct letter *copy;

        if (!l->still && life_chance(l, opts->loss)) {
            l->counts[N_LOST]++;
            if (l->trace)
                trace_message(l->trace, l->now + in, l->now + in, from, to, true, letter->text);
            continue;
        }
        if (!l->still && life_chance(l, opts->reorder)) {
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
        life_push(l, l->now + in + late, to == NETWORK ? AT_NETWORK : AT_DEVICE, copy, NULL);
    }
}

/* ---- what is said ----------------------------------------------------------- */

/* The payload with number `seq`, the same whoever asks. */
size_t life_say(uint8_t out[PAYLOAD_MAX], const struct life *l, ljs_direction direction, uint32_t seq)
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
uint32_t life_was_said(const struct life *l, ljs_direction direction, const uint8_t *in, size_t in_len)
{
    uint8_t own[PAYLOAD_MAX];
    uint32_t seq = 0;

    if (in_len < PAYLOAD_MIN)
        return 0;
    for (size_t i = 0; i < PAYLOAD_MIN; i++)
        seq |= (uint32_t)in[i] << (8 * i);
    return life_say(own, l, direction, seq) == in_len && !memcmp(own, in, in_len) ? seq : 0;
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
        life_push(l, l->windows + 1, UPLINK, NULL, NULL);
        return;
    }
    if (!l->off && (l->ed_state == LJS_ED_REKEYING || l->ed_state == LJS_ED_JOINED))
        life_device_uplink(l);
    pause = life_between(l, pause / 2, pause * 3 / 2);
    if (l->still && pause > UNSETTLED && !good)
        pause = UNSETTLED;
    life_push(l, l->now + pause, UPLINK, NULL, NULL);
}

static void on_power_loss(struct life *l)
{
    if (l->still)
        return;
    plan(l, POWER_LOSS, l->world->opts->power_loss);
    if (l->off)
        return;
    l->fate = (int)life_between(l, ALIVE, DIES_AFTER_PERSISTING);
    if (l->fate == ALIVE)
        life_power_off(l);
}

static void on_wish(struct life *l)
{
    if (l->still)
        return;
    plan(l, WISH, l->world->opts->force);
    life_network_wish(l);
}

static void happen(struct life *l, struct event *event)
{
    switch (event->what) {
    case AT_NETWORK:
        life_network_hear(l, event->letter);
        break;
    case AT_DEVICE:
        life_device_hear(l, event->letter);
        break;
    case AT_JOIN_SERVER:
        life_join_server(l, event->ask);
        break;
    case ANSWER:
        life_network_answered(l, event->ask);
        break;
    case REPEAT:
        if (!event->ask->done)
            life_send_ask(l, event->ask);
        break;
    case UPLINK:
        on_uplink(l);
        break;
    case POWER_LOSS:
        on_power_loss(l);
        break;
    case POWER_ON:
        life_power_on(l);
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
                life_device_event(l, LJS_ED_ON_LOST);
            } else if (l->again == device) {
                life_device_again(l);
            } else {
                life_device_event(l, LJS_ED_ON_TICK);
            }
        } else if (network >= 0 && network == at) {
            life_network_timer(l);
        } else {
            struct event event = pop(l);

            happen(l, &event);
        }
    }
    if (!l->why && !l->fault)
        l->now = until;
}

/* Nothing is lost any more: device and network talk to each other, both ways. */
static void last_exchange(struct life *l)
{
    const char *why = "nothing was said";

    l->must_say = true;
    for (unsigned i = 0; i < ROUNDS && why && !l->why && !l->fault; i++) {
        if (!l->off && l->windows < 0 && (l->ed_state == LJS_ED_REKEYING || l->ed_state == LJS_ED_JOINED))
            life_device_uplink(l);
        run_until(l, l->now + MINUTE);
        why = life_judge(l);
    }
    if (why)
        life_wrong(l, DEVICE, why);
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
    ed.join_eui = l->world->fleet->join_eui;
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

    life_push(l, life_between(l, 0, HOUR), POWER_ON, NULL, NULL);
    life_push(l, HOUR + life_between(l, 0, DAY_MS / opts->uplinks), UPLINK, NULL, NULL);
    plan(l, POWER_LOSS, opts->power_loss);
    if (l->scheme == LJS_SCHEME_1_1)
        plan(l, WISH, opts->force);
    run_until(l, opts->days * DAY_MS);
    l->still = true;
    l->fate = ALIVE;
    life_note(l, NETWORK, "from here on nothing is lost");
    run_until(l, l->now + opts->calm * HOUR * 3 / 4);
    /* A context that was never heard of waits for the next one to take its place. */
    if (!l->why && !l->fault && l->scheme == LJS_SCHEME_1_1 && l->ns_state == LJS_NS_SWITCHING)
        life_network_wish(l);
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
    life_new_session(l, -1);
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
        life_note(l, DEVICE, "one shared context with the network");
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
