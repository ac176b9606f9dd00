/* crowd.c -- many end devices at once against a Join Server: what each does next, what came of it, and that the
 * journal knows before it counts. */
#include "crowd.h"
#include "tally.h"
#include "tool.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    RECENT = 256,   /* accepts that are asked for again after an outage */
    AGAIN_MS = 100, /* between two tries */
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
    const struct crowd_opts *opts;
    struct fleet *fleet;
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
    struct tally tally;
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

/* One join or rejoin is over, well or not. */
static void count_done(struct sim *sim, uint32_t i, ljs_frame_kind kind)
{
    uint32_t *left = kind == LJS_FRAME_JOIN ? &sim->work[i].joins : &sim->work[i].rejoins;

    if (*left) {
        --*left;
        sim->tally.done++;
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
        sim->tally.done += work->joins + work->rejoins; /* those that it cannot do */
        if (work->joins)
            tally_failure(&sim->tally, "no DevNonce left");
        work->joins = work->rejoins = 0;
    }
}

static ljs_err prepare(struct sim *sim, uint32_t i)
{
    struct work *work = &sim->work[i];
    struct simdev *dev = &sim->devs[i];
    struct entry entry = { .type = ENTRY_ASK, .dev_eui = sim->fleet->first + i };
    unsigned can = simdev_can(dev);
    /* Rejoins are spread over the joins. */
    bool rejoin = work->rejoins && (can & CAN_REJOIN) &&
                  (!work->joins || !(can & CAN_JOIN) ||
                   work->rejoins * (uint64_t)sim->opts->joins > work->joins * (uint64_t)sim->opts->rejoins);
    ljs_err err = simdev_next(dev, sim->fleet, rejoin);

    if (err)
        return err;
    entry.ask = dev->ask;
    journal_write(sim->journal, &entry);
    work->whims = (uint8_t)simdev_whims(dev, sim->fleet, (unsigned)sim->opts->whims);
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
        err = simdev_message(&flight->body, &flight->req, &sim->devs[i], sim->fleet, flight->act);
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

    sim->tally.outages++;
    for (uint32_t j = 0; j < n; j++) {
        uint32_t i = sim->recent[j];
        struct work *work = &sim->work[i];

        if (work->unsure || sim->devs[i].open || !sim->devs[i].joined)
            continue;
        work->todo |= 1 << ACT_REPEAT | (sim->fleet->as_id ? 1 << ACT_APP_KEY : 0);
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

    tally_failure(&sim->tally, why);
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
            give_up(sim, flight, why), sim->tally.unreached++;
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
    sim->tally.retries++;
    later(sim, flight->dev);
}

/* An answer that must not be, into the journal for the judge too. */
static void wrong(struct sim *sim, const struct flight *flight, enum sim_fate fate, const char *why)
{
    const struct simdev *dev = &sim->devs[flight->dev];
    struct entry entry = { .type = ENTRY_BAD, .dev_eui = sim->fleet->first + flight->dev };

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
    struct entry entry = { .type = ENTRY_GOT, .dev_eui = sim->fleet->first + flight->dev, .got = *got };

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
    tally_latency(&sim->tally, answer->us);
    if (answer->status != 200) {
        wrong(sim, flight, SIM_WRONG, "an HTTP status other than 200");
        settle(sim, flight->dev);
        return;
    }
    fate = simdev_answer(&got, &why, &sim->devs[flight->dev], sim->fleet, flight->act, &flight->req, answer->body,
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
    sim->tally.good[flight->act]++;
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
            sim->tally.joins++;
        else
            sim->tally.rejoins++;
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

/* ---- the whole -------------------------------------------------------------- */

static bool restore(void *user, const struct entry *entry)
{
    struct sim *sim = user;
    ljs_eui i = entry->dev_eui - sim->fleet->first;

    if (entry->type == ENTRY_RUN && i) {
        complain("%s is of devices of another seed", sim->opts->journal);
        sim->code = REFUSED;
        return false;
    }
    if (entry->type != ENTRY_RUN && entry->type != ENTRY_END && i < sim->fleet->devices)
        simdev_restore(&sim->devs[i], entry);
    return true;
}

static int simulate(struct sim *sim)
{
    struct entry entry = { .type = ENTRY_RUN, .dev_eui = sim->fleet->first, .devices = sim->fleet->devices };
    int code = DONE;

    journal_write(sim->journal, &entry);
    for (uint32_t i = 0; i < sim->fleet->devices; i++) {
        struct work *work = &sim->work[i];

        work->joins = (uint32_t)sim->opts->joins;
        work->rejoins = i % 8 < 5 ? 0 : (uint32_t)sim->opts->rejoins; /* see the classes of simdev.c */
        sim->tally.total += work->joins + work->rejoins;
        if (sim->devs[i].open) { /* asked before the crash, and never answered */
            work->todo = 1 << ACT_ASK;
            work->unsure = true;
        }
        settle(sim, i);
    }
    sim->tally.began = now_ms();
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
        tally_show(&sim->tally, sim->down, false);
    }
    entry.type = ENTRY_END;
    snprintf(entry.text, sizeof entry.text, "%s", stop || code ? "part" : "all");
    journal_write(sim->journal, &entry);
    tally_show(&sim->tally, sim->down, true);
    return code;
}

static int run(struct sim *sim)
{
    const struct crowd_opts *opts = sim->opts;
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND };
    size_t n = sim->fleet->devices, slots = opts->client.connections;
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
        code = client_new(&sim->client, &opts->client, landed, sim);
    if (code)
        return code;
    sigaction(SIGINT, &action, NULL); /* once: the second ends the process */
    sigaction(SIGTERM, &action, NULL);
    code = simulate(sim);
    if (code)
        return code;
    tally_print(&sim->tally, sim->fleet->devices, stop, sim->opts->json);
    if (sim->tally.failures)
        return sim->tally.failures == sim->tally.unreached ? FAILED : REFUSED;
    return DONE;
}

static int clean_up(struct sim *sim, int code)
{
    int closed = journal_close(sim->journal);

    client_free(sim->client);
    for (unsigned i = 0; sim->flights && i < sim->opts->client.connections; i++)
        ljs_buf_free(&sim->flights[i].body);
    free(sim->devs);
    free(sim->work);
    free(sim->not_before);
    free(sim->ready.at);
    free(sim->later.at);
    free(sim->flights);
    free(sim->accepts);
    free(sim->tally.latencies);
    return code == DONE ? closed : code;
}

int crowd_run(const struct crowd_opts *opts)
{
    struct sim sim = { .opts = opts, .fleet = opts->fleet };

    return clean_up(&sim, run(&sim));
}
