/* simulate.c -- `lorajs simulate`: many end devices at once against a Join Server, and the
 * judge of what they got.  One thread: whatever is ready is sent, whatever has come is
 * checked, and an accept counts when the journal that tells of it is on the disk. */
#include "client.h"
#include "rekeyed.h"
#include "simdev.h"
#include "tool.h"
#include "triangle.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    RECENT = 256,   /* accepts that are asked for again after an outage */
    AGAIN_MS = 100, /* between two tries */
    TIMEOUT_MS = 30000,
    REASONS = 32,
    CONNECTIONS_MAX = 1024,
};

struct opts {
    const char *url, *seed, *join_eui, *ns_id, *as_id, *kek_file, *ns_label, *as_label, *journal, *judge;
    const char *ca, *cert, *cert_key;
    struct texts net_ids;
    int64_t devices, joins, rejoins, connections, whims, retry_for, crash;
    bool rekey, provision, resume, json;
    struct triangle_opts triangle;
};

#define AT(member) offsetof(struct opts, member)

static const struct flag flags[] = {
    { "url", "URL", "of the Join Server: http://127.0.0.1:8080", FLAG_TEXT, AT(url), 0, 0 },
    { "devices", "N", "how many (default 100); LoRaWAN 1.0.0 to 1.0.4 and 1.1, by turns", FLAG_NUMBER, AT(devices), 1,
      SIM_DEVICES_MAX },
    { "joins", "N", "joins of each device (default 1)", FLAG_NUMBER, AT(joins), 0, 1000000 },
    { "rejoins", "N", "rejoins of each device of 1.1 (default 1), of types 0, 1 and 2", FLAG_NUMBER, AT(rejoins), 0,
      1000000 },
    { "connections", "N", "kept alive, with one request in flight on each (default 32)", FLAG_NUMBER, AT(connections),
      1, CONNECTIONS_MAX },
    { "seed", "TEXT", "what DevEUIs, root keys and choices are drawn from (default \"lorajs\"); no secret", FLAG_TEXT,
      AT(seed), 0, 0 },
    { "provision", NULL, "print the devices, keys and all, for `lorajs device import -`, and end", FLAG_SWITCH,
      AT(provision), 0, 0 },
    { "join-eui", "EUI", "of all devices (default 0200000000000001)", FLAG_TEXT, AT(join_eui), 0, 0 },
    { "net-id", "NETID", "of the network servers they are heard by (default 000001); may be given several times",
      FLAG_LIST, AT(net_ids), 0, 0 },
    { "ns-id", "EUI", "NSID in messages of Backend Interfaces 1.1 (default 0200000000000002)", FLAG_TEXT, AT(ns_id), 0,
      0 },
    { "as-id", "TEXT", "of the application server that asks for AppSKeys now and then (default: none does)", FLAG_TEXT,
      AT(as_id), 0, 0 },
    { "kek-file", "FILE", "lines LABEL HEX: the keys that session keys come wrapped under; none may then be in clear",
      FLAG_TEXT, AT(kek_file), 0, 0 },
    { "ns-kek", "LABEL", "with --provision: the KEK for network keys", FLAG_TEXT, AT(ns_label), 0, 0 },
    { "as-kek", "LABEL", "with --provision: the KEK for AppSKeys", FLAG_TEXT, AT(as_label), 0, 0 },
    { "checks", "N", "one request in N is also forged, repeated, replayed, its AppSKey asked for (default 16; 0: none)",
      FLAG_NUMBER, AT(whims), 0, 255 },
    { "retry-for", "SECONDS", "ask again when there is no answer, as devices do (default 0: that is a failure)",
      FLAG_NUMBER, AT(retry_for), 0, 86400 },
    { "journal", "FILE", "write down each request and accept; an accept counts when it is on the disk", FLAG_TEXT,
      AT(journal), 0, 0 },
    { "resume", NULL, "go on where the journal ends, with the devices as it tells of them", FLAG_SWITCH, AT(resume), 0,
      0 },
    { "judge", "FILE", "no simulation: tell whether what a journal tells is what a Join Server may do", FLAG_TEXT,
      AT(judge), 0, 0 },
    { "ca", "FILE", "PEM: whom to trust as the server (https)", FLAG_TEXT, AT(ca), 0, 0 },
    { "cert", "FILE", "PEM: the client's certificate", FLAG_TEXT, AT(cert), 0, 0 },
    { "cert-key", "FILE", "PEM: its key", FLAG_TEXT, AT(cert_key), 0, 0 },
    { "json", NULL, "the summary as one JSON object", FLAG_SWITCH, AT(json), 0, 0 },

    { "rekey", NULL, "replace the root keys of devices while they join, by suites 1, 2 and 4, in this process",
      FLAG_SWITCH, AT(rekey), 0, 0 },
    { "crash", "PERCENT", "with --rekey: of what either side makes durable its power fails (default 5)", FLAG_NUMBER,
      AT(crash), 0, 50 },

    { "days", "N", "the whole triangle, for so many simulated days of each device", FLAG_NUMBER, AT(triangle.days), 1,
      36500 },
    { "uplinks", "N", "with --days, as all below: of each device and day (default 16)", FLAG_NUMBER,
      AT(triangle.uplinks), 1, 720 },
    { "loss", "PERCENT", "of frames, each way (default 0)", FLAG_NUMBER, AT(triangle.loss), 0, 95 },
    { "backend-loss", "PERCENT", "of requests to the Join Server, and of its answers (default 0)", FLAG_NUMBER,
      AT(triangle.backend_loss), 0, 95 },
    { "duplicate", "PERCENT", "of frames come twice (default 0)", FLAG_NUMBER, AT(triangle.duplicate), 0, 100 },
    { "delay", "MS", "of frames, at most, by chance (default 0)", FLAG_NUMBER, AT(triangle.delay), 0, 60000 },
    { "reorder", "PERCENT", "of frames are held back, for a second or for hours (default 0)", FLAG_NUMBER,
      AT(triangle.reorder), 0, 100 },
    { "rejoin0", "N", "devices of 1.1 rejoin by type 0 every 2^(N+10) seconds (default 6: 18 hours; -1: never)",
      FLAG_NUMBER, AT(triangle.rejoin0), -1, 15 },
    { "rejoin1", "HOURS", "and by type 1 every so many (default 72; 0: never; not below 5)", FLAG_NUMBER,
      AT(triangle.rejoin1), 0, 87600 },
    { "force", "DAYS", "ForceRejoinReq of type 0 or 2 about every so many (default 5; 0: never)", FLAG_NUMBER,
      AT(triangle.force), 0, 36500 },
    { "power-loss", "DAYS", "of each device, about every so many (default 10; 0: never)", FLAG_NUMBER,
      AT(triangle.power_loss), 0, 36500 },
    { "calm", "HOURS", "without any loss before the verdict (default 24)", FLAG_NUMBER, AT(triangle.calm), 0, 8760 },
    { "only", "DEVICE", "this life alone, from 0, as it is among all others", FLAG_NUMBER, AT(triangle.only), 0,
      SIM_DEVICES_MAX - 1 },
    { "jobs", "N", "threads (default: one for each processor)", FLAG_NUMBER, AT(triangle.jobs), 1, 64 },
    { "trace", NULL, "print each message and what becomes of it", FLAG_SWITCH, AT(triangle.trace), 0, 0 },
    { "diagram", "FILE", "of one life (--only, else device 0): a sequence diagram, .svg or .mmd (Mermaid)", FLAG_TEXT,
      AT(triangle.diagram), 0, 0 },
    { 0 },
};

const struct usage simulate_usage = {
    .path = "simulate",
    .args = "",
    .text =
        "End devices of every LoRaWAN version, each with a network and an application server, join and rejoin against "
        "a Join Server. Each accept is opened as a device would, each session key derived anew and compared. At the "
        "end a summary with latencies. For tests: whoever knows the seed knows all keys.\n"
        "  lorajs simulate --devices 1000 --provision | lorajs device import - --data DIR\n"
        "  lorajs simulate --devices 1000 --url http://127.0.0.1:8080\n"
        "With --days it is the whole triangle by simulated time: devices, their network server, and a Join Server in "
        "this process or at --url; joins, rejoins, data both ways, power losses, over a channel that loses, doubles "
        "and reorders. In the end each device must share one session with its network. --provision then prints its "
        "devices.\n"
        "  lorajs simulate --days 100 --devices 1000 --loss 30\n"
        "With --rekey each device gets other root keys on its way, and has to end under them (lorajs-rekey(1)).\n"
        "  lorajs simulate --rekey --devices 1000 --loss 30 --crash 10\n"
        "  lorajs simulate --days 2 --devices 4 --only 2 --trace --diagram life.svg",
    .flags = flags,
    .least = 0,
    .most = 0,
};

/* Where a device is. */
enum place { IDLE, READY, LATER, FLYING };

struct work {
    uint32_t joins, rejoins; /* left to do */
    uint8_t todo;            /* 1 << ACT_...: with the newest request */
    uint8_t whims;           /* 1 << ACT_...: when it is answered */
    uint8_t place;
    bool unsure;        /* a request was lost: the server may know more than the device */
    unsigned lost;      /* how often */
    int64_t lost_since; /* ms; 0: last time there was an answer */
};

struct flight {
    uint32_t dev;
    enum sim_act act;
    ljs_message req;
    ljs_buf body;
};

/* First in, first out; room for each device once. */
struct queue {
    uint32_t *at;
    uint32_t head, len, room;
};

struct sim {
    const struct opts *opts;
    struct fleet fleet;
    struct journal *journal;
    struct client *client;
    struct simdev *devs;
    struct work *work;
    struct queue ready, later;
    int64_t *not_before; /* ms, for those that are LATER */
    struct flight *flights;
    struct {
        uint32_t dev;
        struct got got;
    } * accepts; /* since the last sync of the journal */
    unsigned accepts_len;
    uint32_t recent[RECENT];
    uint32_t recent_len; /* how many there ever were */
    bool down;
    int code; /* of a fault of our own: the simulation ends */

    uint64_t done, total; /* joins and rejoins */
    uint64_t good[ACTS], joins, rejoins, retries, outages, failures, unreached;
    struct {
        const char *why;
        uint64_t n;
    } reasons[REASONS];
    uint32_t *latencies; /* microseconds */
    size_t latencies_len, latencies_room;
    int64_t began, shown;
};

/* A signal handler can reach nothing else. */
static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static void push(struct queue *q, uint32_t dev)
{
    q->at[(q->head + q->len++) % q->room] = dev;
}

static uint32_t pop(struct queue *q)
{
    uint32_t dev = q->at[q->head];

    q->head = (q->head + 1) % q->room;
    q->len--;
    return dev;
}

/* ---- what a device does next ------------------------------------------------ */

static void count_failure(struct sim *sim, const char *why)
{
    unsigned i = 0;

    sim->failures++;
    while (i < REASONS - 1 && sim->reasons[i].why && strcmp(sim->reasons[i].why, why))
        i++;
    sim->reasons[i].why = i == REASONS - 1 ? "other" : why;
    sim->reasons[i].n++;
}

/* One join or rejoin is over, well or not. */
static void count_done(struct sim *sim, uint32_t i, ljs_frame_kind kind)
{
    uint32_t *left = kind == LJS_FRAME_JOIN ? &sim->work[i].joins : &sim->work[i].rejoins;

    if (*left) {
        --*left;
        sim->done++;
    }
}

/* Back into the queue while there is something to do. */
static void settle(struct sim *sim, uint32_t i)
{
    struct work *work = &sim->work[i];
    unsigned can = simdev_can(&sim->devs[i]);

    if (work->todo || (work->joins && (can & CAN_JOIN)) || (work->rejoins && (can & CAN_REJOIN))) {
        work->place = READY;
        push(&sim->ready, i);
    } else {
        work->place = IDLE;
        sim->done += work->joins + work->rejoins; /* those that it cannot do */
        if (work->joins)
            count_failure(sim, "no DevNonce left");
        work->joins = work->rejoins = 0;
    }
}

static ljs_err prepare(struct sim *sim, uint32_t i)
{
    struct work *work = &sim->work[i];
    struct simdev *dev = &sim->devs[i];
    struct entry entry = { .type = ENTRY_ASK, .dev_eui = sim->fleet.first + i };
    unsigned can = simdev_can(dev);
    /* Rejoins are spread over the joins. */
    bool rejoin = work->rejoins && (can & CAN_REJOIN) &&
                  (!work->joins || !(can & CAN_JOIN) ||
                   work->rejoins * (uint64_t)sim->opts->joins > work->joins * (uint64_t)sim->opts->rejoins);
    ljs_err err = simdev_next(dev, &sim->fleet, rejoin);

    if (err)
        return err;
    entry.ask = dev->ask;
    journal_write(sim->journal, &entry);
    work->whims = (uint8_t)simdev_whims(dev, &sim->fleet, (unsigned)sim->opts->whims);
    work->todo = (uint8_t)(1u << ACT_ASK | (work->whims & 1u << ACT_FORGE));
    return LJS_OK;
}

/* The first in the order of enum sim_act. */
static enum sim_act next_act(const struct work *work)
{
    enum sim_act act = 0;

    while (!(work->todo & 1u << act))
        act++;
    return act;
}

static int launch(struct sim *sim, unsigned slot)
{
    uint32_t i = pop(&sim->ready);
    struct flight *flight = &sim->flights[slot];
    ljs_err err = sim->work[i].todo ? LJS_OK : prepare(sim, i);

    flight->dev = i;
    if (!err) {
        flight->act = next_act(&sim->work[i]);
        err = simdev_message(&flight->body, &flight->req, &sim->devs[i], &sim->fleet, flight->act);
    }
    if (err)
        return complain_err(err, "a request could not be made");
    sim->work[i].place = FLYING;
    return client_post(sim->client, slot, flight->body.data, flight->body.len);
}

/* ---- what came of it -------------------------------------------------------- */

/* After an outage, whoever was answered last asks for the same again: an answer that was
 * given before it was durable would now be another one. */
static void outage(struct sim *sim)
{
    uint32_t n = sim->recent_len < RECENT ? sim->recent_len : RECENT;

    sim->outages++;
    for (uint32_t j = 0; j < n; j++) {
        uint32_t i = sim->recent[j];
        struct work *work = &sim->work[i];

        if (work->unsure || sim->devs[i].open || !sim->devs[i].joined)
            continue;
        work->todo |= 1 << ACT_REPEAT | (sim->fleet.as_id ? 1 << ACT_APP_KEY : 0);
        if (work->place == IDLE)
            settle(sim, i);
    }
    sim->recent_len = 0;
}

static void later(struct sim *sim, uint32_t i)
{
    sim->work[i].place = LATER;
    sim->not_before[i] = now_ms() + AGAIN_MS;
    push(&sim->later, i);
}

static void give_up(struct sim *sim, const struct flight *flight, const char *why)
{
    struct work *work = &sim->work[flight->dev];
    struct simdev *dev = &sim->devs[flight->dev];

    count_failure(sim, why);
    work->lost_since = 0;
    if (dev->open) {
        count_done(sim, flight->dev, dev->ask.kind);
        dev->open = false;
        work->todo = 0;
    } else {
        work->todo &= (uint8_t) ~(1u << flight->act);
    }
}

/* No answer.  Whoever sent the request does so again, or makes a new one. */
static void lost(struct sim *sim, const struct flight *flight, enum client_fate fate, const char *why)
{
    struct work *work = &sim->work[flight->dev];
    int64_t now = now_ms();

    if (flight->act == ACT_ASK)
        work->unsure = true;
    if (!work->lost_since)
        work->lost_since = now;
    if (stop || now - work->lost_since >= sim->opts->retry_for * 1000) {
        if (stop && sim->opts->retry_for) /* interrupted: neither answered nor failed */
            work->todo = 0, work->joins = work->rejoins = 0;
        else
            give_up(sim, flight, why), sim->unreached++;
        settle(sim, flight->dev);
        return;
    }
    /* A new one only where the old one cannot come to pass any more: whatever the server
     * had of it went with the connection. */
    if (flight->act == ACT_ASK && fate == FATE_UNKNOWN && (work->lost++ + flight->dev) % 2 == 0 &&
        (simdev_can(&sim->devs[flight->dev]) & CAN_JOIN)) {
        sim->devs[flight->dev].open = false;
        work->todo = 0;
    }
    sim->retries++;
    later(sim, flight->dev);
}

static void remember_latency(struct sim *sim, int64_t us)
{
    if (sim->latencies_len == sim->latencies_room) {
        size_t room = sim->latencies_room ? 2 * sim->latencies_room : 4096;
        uint32_t *at = realloc(sim->latencies, room * sizeof *at);

        if (!at)
            return; /* a summary with fewer of them */
        sim->latencies = at;
        sim->latencies_room = room;
    }
    sim->latencies[sim->latencies_len++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

/* An answer that must not be, into the journal for the judge too. */
static void wrong(struct sim *sim, const struct flight *flight, enum sim_fate fate, const char *why)
{
    const struct simdev *dev = &sim->devs[flight->dev];
    struct entry entry = { .type = ENTRY_BAD, .dev_eui = sim->fleet.first + flight->dev };

    if (fate == SIM_REFUSED && (flight->act == ACT_ASK || flight->act == ACT_REPEAT)) {
        entry.type = ENTRY_NO;
        entry.ask = flight->act == ACT_ASK ? dev->ask : dev->of;
    }
    snprintf(entry.text, sizeof entry.text, "%s", why);
    journal_write(sim->journal, &entry);
    if (flight->act == ACT_FORGE)
        sim->work[flight->dev].todo = 1 << ACT_FORGE; /* a server that takes forgeries: give_up() drops the request */
    give_up(sim, flight, why);
}

static void accepted(struct sim *sim, const struct flight *flight, const struct got *got)
{
    struct entry entry = { .type = ENTRY_GOT, .dev_eui = sim->fleet.first + flight->dev, .got = *got };

    entry.ask = flight->act == ACT_ASK ? sim->devs[flight->dev].ask : sim->devs[flight->dev].of;
    journal_write(sim->journal, &entry);
    if (flight->act == ACT_ASK) {
        sim->accepts[sim->accepts_len].dev = flight->dev;
        sim->accepts[sim->accepts_len++].got = *got;
    }
}

static void landed(void *user, unsigned slot, const struct client_answer *answer)
{
    struct sim *sim = user;
    struct flight *flight = &sim->flights[slot];
    struct work *work = &sim->work[flight->dev];
    enum sim_fate fate;
    struct got got;
    const char *why;

    ljs_buf_free(&flight->body);
    if (answer->cut && !sim->down)
        outage(sim);
    if (answer->fate != FATE_ANSWERED) {
        sim->down = true;
        lost(sim, flight, answer->fate, answer->error);
        return;
    }
    if (answer->status >= 500 || answer->status == 429 || answer->status == 408) {
        lost(sim, flight, FATE_UNKNOWN, answer->status == 503 ? "HTTP 503" : "HTTP 5xx");
        return;
    }
    sim->down = false;
    remember_latency(sim, answer->us);
    if (answer->status != 200) {
        wrong(sim, flight, SIM_WRONG, "an HTTP status other than 200");
        settle(sim, flight->dev);
        return;
    }
    fate = simdev_answer(&got, &why, &sim->devs[flight->dev], &sim->fleet, flight->act, &flight->req, answer->body,
                         answer->body_len);
    if (fate == SIM_LATER) {
        lost(sim, flight, FATE_UNKNOWN, why);
        return;
    }
    work->lost_since = 0;
    if (fate != SIM_GOOD) {
        wrong(sim, flight, fate, why);
        settle(sim, flight->dev);
        return;
    }
    sim->good[flight->act]++;
    work->todo &= (uint8_t) ~(1u << flight->act);
    if (flight->act == ACT_ASK || flight->act == ACT_REPEAT)
        accepted(sim, flight, &got);
    if (flight->act != ACT_ASK) /* else when the journal is on the disk */
        settle(sim, flight->dev);
}

/* What was written is on the disk: now it counts. */
static int count_accepts(struct sim *sim)
{
    int code = sim->accepts_len ? journal_sync(sim->journal) : DONE;

    for (unsigned j = 0; code == DONE && j < sim->accepts_len; j++) {
        uint32_t i = sim->accepts[j].dev;
        struct work *work = &sim->work[i];
        ljs_frame_kind kind = sim->devs[i].ask.kind;

        simdev_accept(&sim->devs[i], &sim->accepts[j].got);
        if (kind == LJS_FRAME_JOIN)
            sim->joins++;
        else
            sim->rejoins++;
        work->unsure = false;
        work->lost = 0;
        work->todo = work->whims & (1 << ACT_REPEAT | 1 << ACT_APP_KEY);
        if (sim->devs[i].old.phy_len)
            work->todo |= work->whims & 1 << ACT_REPLAY;
        sim->recent[sim->recent_len++ % RECENT] = i;
        count_done(sim, i, kind);
        settle(sim, i);
    }
    sim->accepts_len = 0;
    return code;
}

/* ---- progress and summary --------------------------------------------------- */

static void show_progress(struct sim *sim, bool end)
{
    int64_t now = now_ms();
    unsigned part = sim->total ? (unsigned)(sim->done * 30 / sim->total) : 30;

    if (!isatty(STDERR_FILENO) || (!end && now - sim->shown < 200))
        return;
    sim->shown = now;
    if (end)
        fputs("\r\033[K", stderr);
    else
        fprintf(stderr, "\r[%.*s%*s] %" PRIu64 "/%" PRIu64 "  %.0f/s  %" PRIu64 " failed%s\033[K", (int)part,
                "##############################", (int)(30 - part), "", sim->done, sim->total,
                (double)(sim->joins + sim->rejoins) * 1000 / (double)(now - sim->began + 1), sim->failures,
                sim->down ? "  (no answer)" : "");
    fflush(stderr);
}

static int by_number(const void *va, const void *vb)
{
    uint32_t a = *(const uint32_t *)va, b = *(const uint32_t *)vb;

    return a < b ? -1 : a > b;
}

static double percentile(const struct sim *sim, unsigned percent)
{
    size_t n = sim->latencies_len;

    return n ? sim->latencies[(n - 1) * percent / 100] / 1000.0 : 0;
}

static void print_summary(struct sim *sim)
{
    double seconds = (double)(now_ms() - sim->began) / 1000, rate;

    rate = seconds > 0 ? (double)(sim->joins + sim->rejoins) / seconds : 0;
    if (sim->latencies_len)
        qsort(sim->latencies, sim->latencies_len, sizeof *sim->latencies, by_number);
    if (sim->opts->json) {
        printf("{\"devices\":%u,\"joins\":%" PRIu64 ",\"rejoins\":%" PRIu64 ",\"forged\":%" PRIu64
               ",\"replayed\":%" PRIu64 ",\"repeated\":%" PRIu64 ",\"app_s_keys\":%" PRIu64 ",\"retries\":%" PRIu64
               ",\"outages\":%" PRIu64 ",\"seconds\":%.3f,\"per_second\":%.1f,"
               "\"latency_ms\":{\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"max\":%.3f},\"failures\":{",
               sim->fleet.devices, sim->joins, sim->rejoins, sim->good[ACT_FORGE], sim->good[ACT_REPLAY],
               sim->good[ACT_REPEAT], sim->good[ACT_APP_KEY], sim->retries, sim->outages, seconds, rate,
               percentile(sim, 50), percentile(sim, 90), percentile(sim, 99), percentile(sim, 100));
        for (unsigned i = 0; i < REASONS && sim->reasons[i].why; i++) {
            fputs(i ? "," : "", stdout);
            print_json_text(stdout, sim->reasons[i].why);
            printf(":%" PRIu64, sim->reasons[i].n);
        }
        printf("},\"finished\":%s}\n", stop ? "false" : "true");
        return;
    }
    printf("%u devices: %" PRIu64 " joins and %" PRIu64 " rejoins in %.1f s, %.0f a second\n", sim->fleet.devices,
           sim->joins, sim->rejoins, seconds, rate);
    printf("refused as they must be: %" PRIu64 " forged, %" PRIu64 " replayed; answered alike again: %" PRIu64
           "; AppSKeys asked for: %" PRIu64 "\n",
           sim->good[ACT_FORGE], sim->good[ACT_REPLAY], sim->good[ACT_REPEAT], sim->good[ACT_APP_KEY]);
    if (sim->retries)
        printf("asked again after no answer: %" PRIu64 ", in %" PRIu64 " outages\n", sim->retries, sim->outages);
    printf("latency in ms: p50 %.1f, p90 %.1f, p99 %.1f, max %.1f\n", percentile(sim, 50), percentile(sim, 90),
           percentile(sim, 99), percentile(sim, 100));
    printf("failures: %" PRIu64 "%s\n", sim->failures, stop ? " (interrupted)" : "");
    for (unsigned i = 0; i < REASONS && sim->reasons[i].why; i++)
        printf("  %8" PRIu64 "  %s\n", sim->reasons[i].n, sim->reasons[i].why);
}

/* ---- the whole -------------------------------------------------------------- */

static bool restore(void *user, const struct entry *entry)
{
    struct sim *sim = user;
    ljs_eui i = entry->dev_eui - sim->fleet.first;

    if (entry->type == ENTRY_RUN && i) {
        complain("%s is of devices of another seed", sim->opts->journal);
        sim->code = REFUSED;
        return false;
    }
    if (entry->type != ENTRY_RUN && entry->type != ENTRY_END && i < sim->fleet.devices)
        simdev_restore(&sim->devs[i], entry);
    return true;
}

static int simulate(struct sim *sim)
{
    struct entry entry = { .type = ENTRY_RUN, .dev_eui = sim->fleet.first, .devices = sim->fleet.devices };
    int code = DONE;

    journal_write(sim->journal, &entry);
    for (uint32_t i = 0; i < sim->fleet.devices; i++) {
        struct work *work = &sim->work[i];

        work->joins = (uint32_t)sim->opts->joins;
        work->rejoins = i % 8 < 5 ? 0 : (uint32_t)sim->opts->rejoins; /* see the classes of simdev.c */
        sim->total += work->joins + work->rejoins;
        if (sim->devs[i].open) { /* asked before the crash, and never answered */
            work->todo = 1 << ACT_ASK;
            work->unsure = true;
        }
        settle(sim, i);
    }
    sim->began = now_ms();
    while (code == DONE && ((!stop && sim->ready.len + sim->later.len) || client_in_flight(sim->client))) {
        int64_t now = now_ms();
        int slot;

        while (sim->later.len && sim->not_before[sim->later.at[sim->later.head]] <= now) {
            uint32_t i = pop(&sim->later);

            sim->work[i].place = READY;
            push(&sim->ready, i);
        }
        /* While the server is away, one asks for all. */
        while (code == DONE && !stop && sim->ready.len && (slot = client_slot(sim->client)) >= 0 &&
               (!sim->down || !client_in_flight(sim->client)))
            code = launch(sim, (unsigned)slot);
        if (code == DONE)
            code = journal_flush(sim->journal);
        if (code == DONE && !client_in_flight(sim->client))
            usleep(10000); /* all are waiting for their next try */
        if (code == DONE)
            code = client_run(sim->client, 50);
        if (code == DONE)
            code = count_accepts(sim);
        show_progress(sim, false);
    }
    entry.type = ENTRY_END;
    snprintf(entry.text, sizeof entry.text, "%s", stop || code ? "part" : "all");
    journal_write(sim->journal, &entry);
    show_progress(sim, true);
    return code;
}

static int run(struct sim *sim)
{
    const struct opts *opts = sim->opts;
    struct client_opts client = {
        opts->url, (unsigned)opts->connections, TIMEOUT_MS, opts->ca, opts->cert, opts->cert_key, NULL
    };
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND };
    size_t n = sim->fleet.devices, slots = client.connections;
    int code;

    sim->devs = calloc(n, sizeof *sim->devs);
    sim->work = calloc(n, sizeof *sim->work);
    sim->not_before = calloc(n, sizeof *sim->not_before);
    sim->ready = (struct queue){ calloc(n, sizeof(uint32_t)), 0, 0, (uint32_t)n };
    sim->later = (struct queue){ calloc(n, sizeof(uint32_t)), 0, 0, (uint32_t)n };
    sim->flights = calloc(slots, sizeof *sim->flights);
    sim->accepts = calloc(slots, sizeof *sim->accepts);
    if (!sim->devs || !sim->work || !sim->not_before || !sim->ready.at || !sim->later.at || !sim->flights ||
        !sim->accepts)
        return complain_err(LJS_E_NOMEM, "simulate");
    for (uint32_t i = 0; i < n; i++)
        sim->devs[i].index = i;
    code = journal_open(&sim->journal, opts->journal, opts->resume, restore, sim);
    if (code == DONE)
        code = sim->code;
    if (code == DONE)
        code = client_new(&sim->client, &client, landed, sim);
    if (code)
        return code;
    sigaction(SIGINT, &action, NULL); /* once: the second ends the process */
    sigaction(SIGTERM, &action, NULL);
    code = simulate(sim);
    if (code)
        return code;
    print_summary(sim);
    if (sim->failures)
        return sim->failures == sim->unreached ? FAILED : REFUSED;
    return DONE;
}

static int clean_up(struct sim *sim, int code)
{
    int closed = journal_close(sim->journal);

    client_free(sim->client);
    for (int64_t i = 0; sim->flights && i < sim->opts->connections; i++)
        ljs_buf_free(&sim->flights[i].body);
    free(sim->devs);
    free(sim->work);
    free(sim->not_before);
    free(sim->ready.at);
    free(sim->later.at);
    free(sim->flights);
    free(sim->accepts);
    free(sim->latencies);
    fleet_clear(&sim->fleet);
    return code == DONE ? closed : code;
}

static int set_up_fleet(struct fleet *fleet, const struct opts *opts)
{
    ljs_err err;

    fleet->devices = (uint32_t)opts->devices;
    fleet->as_id = opts->as_id;
    fleet->ns_label = opts->ns_label;
    fleet->as_label = opts->as_label;
    if (read_eui(&fleet->join_eui, opts->join_eui, "--join-eui") || read_eui(&fleet->ns_id, opts->ns_id, "--ns-id"))
        return USAGE;
    for (unsigned i = 0; i < opts->net_ids.n; i++)
        if (ljs_net_id_parse(&fleet->net_ids[i], opts->net_ids.at[i])) {
            complain("simulate: --net-id takes 6 hexadecimal digits");
            return USAGE;
        }
    fleet->net_ids_len = opts->net_ids.n;
    if (!fleet->net_ids_len)
        fleet->net_ids[fleet->net_ids_len++] = 0x000001;
    if ((opts->as_id && strlen(opts->as_id) >= LJS_LABEL_MAX) ||
        (opts->ns_label && strlen(opts->ns_label) >= LJS_LABEL_MAX) ||
        (opts->as_label && strlen(opts->as_label) >= LJS_LABEL_MAX)) {
        complain("simulate: labels and AS-IDs have at most %d octets", LJS_LABEL_MAX - 1);
        return USAGE;
    }
    err = fleet_seed(fleet, opts->seed);
    if (err)
        return complain_err(err, "simulate");
    return opts->kek_file ? fleet_read_keks(fleet, opts->kek_file) : DONE;
}

/* ---- the triangle ----------------------------------------------------------- */

static int set_up_triangle(struct fleet *fleet, const struct opts *opts)
{
    if (opts->journal || opts->resume) {
        complain("simulate: --journal and --resume do not go with --days");
        return USAGE;
    }
    if (opts->triangle.only >= opts->devices) {
        complain("simulate: --only takes one of the --devices, from 0 to %" PRId64, opts->devices - 1);
        return USAGE;
    }
    if (opts->triangle.rejoin1 && opts->triangle.rejoin1 < 5) { /* [L2 1.1 §6.2.4.2]  below 0.01 % of the time */
        complain("simulate: --rejoin1 takes 0, or 5 hours and more");
        return USAGE;
    }
    return set_up_fleet(fleet, opts);
}

static int print_triangle(const struct fleet *fleet)
{
    ljs_err err = triangle_provision(stdout, fleet);

    return err ? complain_err(err, "simulate") : DONE;
}

static int run_triangle(const struct fleet *fleet, const struct opts *opts)
{
    const struct triangle triangle = {
        .opts = &opts->triangle,
        .fleet = fleet,
        .seed = opts->seed,
        .client = { opts->url, 1, TIMEOUT_MS, opts->ca, opts->cert, opts->cert_key, NULL },
        .json = opts->json,
    };

    return triangle_run(&triangle);
}

int cmd_simulate(int argc, char **argv)
{
    struct opts opts = {
        .seed = "lorajs",
        .join_eui = "0200000000000001",
        .ns_id = "0200000000000002",
        .devices = 100,
        .joins = 1,
        .rejoins = 1,
        .connections = 32,
        .whims = 16,
        .crash = 5,
        .triangle = { .uplinks = 16, .rejoin0 = 6, .rejoin1 = 72, .force = 5, .power_loss = 10, .calm = 24, .only = -1 }
    };
    struct sim sim = { .opts = &opts };
    ljs_err err = LJS_OK;
    int code = read_flags(&simulate_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if (opts.judge)
        return journal_judge(opts.judge, opts.json);
    if (opts.rekey) {
        if (!(code = set_up_fleet(&sim.fleet, &opts)))
            code = rekeyed_run(
                &(struct rekeyed_opts){ &sim.fleet, (unsigned)opts.triangle.loss, (unsigned)opts.crash, opts.json });
        return clean_up(&sim, code);
    }
    if (opts.triangle.days && !(code = set_up_triangle(&sim.fleet, &opts)))
        return clean_up(&sim, opts.provision ? print_triangle(&sim.fleet) : run_triangle(&sim.fleet, &opts));
    if (opts.triangle.days)
        return clean_up(&sim, code);
    if (!opts.url && !opts.provision) {
        complain("simulate needs --url, --provision, --days or --judge (see `lorajs simulate --help`)");
        return USAGE;
    }
    if (opts.resume && !opts.journal) {
        complain("simulate: --resume goes on with a --journal");
        return USAGE;
    }
    code = set_up_fleet(&sim.fleet, &opts);
    if (code == DONE && opts.provision) {
        for (uint32_t i = 0; !err && i < sim.fleet.devices; i++)
            err = simdev_provision(stdout, i, &sim.fleet);
        if (err)
            code = complain_err(err, "simulate");
    } else if (code == DONE) {
        code = run(&sim);
    }
    return clean_up(&sim, code);
}
