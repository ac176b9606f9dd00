/* why.c -- `lorajs why DEVEUI`: the last decisions about a device in plain words, and what
 * to do.  Most trouble in the field is a DevNonce, so those are told in full.  `lorajs why --all`: what was refused or
 * repeated of all devices. */
#include "tool.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct why_opts {
    struct where where;
    const char *since, *outcome;
    int64_t limit, from;
    bool all, json;
};

static const struct flag flags[] = {
    WHERE_FLAGS(struct why_opts),
    { "all", NULL, "of every device that something was refused or repeated of", FLAG_SWITCH,
      offsetof(struct why_opts, all), 0, 0 },
    { "since", "TIME", SINCE_HELP, FLAG_TEXT, offsetof(struct why_opts, since), 0, 0 },
    { "outcome", "refused|repeated", "these alone", FLAG_TEXT, offsetof(struct why_opts, outcome), 0, 0 },
    { "limit", "N", "how many decisions of a device at most (default 20)", FLAG_NUMBER,
      offsetof(struct why_opts, limit), 1, 1000 },
    { "json", NULL, "JSON, an object a line: the device, then each decision", FLAG_SWITCH,
      offsetof(struct why_opts, json), 0, 0 },
    { 0 },
};

const struct usage why_usage = {
    "why",
    "[DEVEUI]",
    "Tells what was last decided about a device, newest first: joins and rejoins that made a session, repeats, and "
    "refusals with what to do about them; or, of all devices by DevEUI, what was refused or repeated last. A running "
    "daemon writes refusals every few seconds. The exit code is 3 for a device that is not provisioned, and where "
    "something cannot be read.",
    flags,
    0,
    1,
};

/* A decision, from either source. */
struct told {
    int64_t at;
    unsigned order; /* of equal times */
    bool session;
    ljs_event event; /* or */
    ljs_session joined;
};

struct device {
    ljs_device d;
    ljs_join_eui under; /* the JoinEUI that the newest session is under, else the first */
};

enum { TOLD_MAX = 1024 };

static int newest_first(const void *a, const void *b)
{
    const struct told *x = a, *y = b;

    if (x->at != y->at)
        return x->at < y->at ? 1 : -1;
    return x->order > y->order ? 1 : -1;
}

static const char *request_name(ljs_message_type type, ljs_frame_kind kind)
{
    switch (type) {
    case LJS_MSG_APP_S_KEY_REQ:
        return "request for AppSKey";
    case LJS_MSG_HOME_NS_REQ:
        return "question for the home network";
    case LJS_MSG_REJOIN_REQ:
        return kind == LJS_FRAME_REJOIN1   ? "rejoin-request 1"
               : kind == LJS_FRAME_REJOIN2 ? "rejoin-request 2"
                                           : "rejoin-request 0";
    default:
        return "join-request";
    }
}

static const char *nonce_name(ljs_frame_kind kind)
{
    switch (kind) {
    case LJS_FRAME_REJOIN0:
    case LJS_FRAME_REJOIN2:
        return "RJcount0";
    case LJS_FRAME_REJOIN1:
        return "RJcount1";
    case LJS_FRAME_JOIN:
        break;
    }
    return "DevNonce";
}

static bool has_nonce(const ljs_event *e)
{
    return e->type == LJS_MSG_JOIN_REQ || e->type == LJS_MSG_REJOIN_REQ;
}

/* Why a nonce was refused, and what that means for a device of this version. */
static void tell_replay(char *text, size_t room, char *remedy, size_t remedy_room, const struct device *of,
                        const ljs_event *e)
{
    const char *name = nonce_name(e->kind);
    bool join = e->kind == LJS_FRAME_JOIN, counts = of->d.mac >= LJS_MAC_1_0_4;
    char last[64] = "";

    if (join && of->under.dev_nonce >= 0)
        snprintf(last, sizeof last, " (last accepted %" PRId32 ")", of->under.dev_nonce);
    if (e->kind == LJS_FRAME_REJOIN1 && of->under.rj_count1 >= 0)
        snprintf(last, sizeof last, " (last accepted %" PRId32 ")", of->under.rj_count1);
    if (join && counts && (int64_t)e->nonce < of->under.dev_nonce)
        snprintf(text, room, "%s %" PRIu32 " is lower than one accepted before%s", name, e->nonce, last);
    else
        snprintf(text, room, "%s %" PRIu32 " was used before%s", name, e->nonce, last);
    if (join && counts)
        snprintf(remedy, remedy_room,
                 "the device counts its joins and has gone back: it lost that memory (battery, flash, reset to "
                 "factory state). Let it keep DevNonce through a restart; once that is so, or to let it in until "
                 "then, run `lorajs device reset-nonces %016" PRIx64 "`",
                 of->d.dev_eui);
    else if (join)
        snprintf(remedy, remedy_room,
                 "a device of LoRaWAN %s draws DevNonce at random and never may use one twice: once in a while is "
                 "chance, and it joins with the next one. If every join is refused, its random numbers repeat after a "
                 "restart; mend that, or run `lorajs device reset-nonces %016" PRIx64 "`",
                 ljs_mac_text(of->d.mac), of->d.dev_eui);
    else
        snprintf(remedy, remedy_room,
                 "the device has gone back in its count of rejoins, or somebody plays a recorded frame: let it keep "
                 "%s, or let it join anew",
                 name);
}

/* What an alarm may mean, and what not; the runbook has the rest. */
static void tell_alarm(char *text, size_t room, const ljs_event *e)
{
    static const char *const texts[] = {
        [LJS_ALARM_BACKWARD] = "many counts below the highest one in a day: a clone, a device that lost its memory, or "
                               "recorded frames that are played",
        [LJS_ALARM_INTERLEAVED] = "two counts rise in turns: two devices have these root keys",
        [LJS_ALARM_NETWORK] = "joined by another network minutes ago: two devices have these root keys, or two "
                              "networks both take it for theirs",
    };

    snprintf(text, room, "%s", e->alarm < sizeof texts / sizeof *texts ? texts[e->alarm] : "?");
}

/* The sentence about one decision; remedy is "" when nothing is to be done. */
static void tell(char *text, size_t room, char *remedy, size_t remedy_room, const struct device *of,
                 const struct told *t)
{
    const ljs_event *e = &t->event;
    const ljs_session *s = &t->joined;

    *remedy = '\0';
    if (t->session) {
        snprintf(text, room, "%s %u, LoRaWAN %s, network %06" PRIx32 ", JoinNonce %" PRIu32 ", DevAddr %08" PRIx32 "%s",
                 nonce_name(s->kind), s->nonce, ljs_mac_text(s->mac), s->net_id, s->join_nonce, s->dev_addr,
                 s->proven ? "; in use" : "");
        return;
    }
    if (e->err == LJS_E_REPLAY && has_nonce(e)) {
        tell_replay(text, room, remedy, remedy_room, of, e);
        return;
    }
    if (e->err) {
        snprintf(text, room, "%s (%s)", ljs_strerror(e->err), ljs_errname(e->err));
        snprintf(remedy, remedy_room, "%s", ljs_remedy(e->err));
        return;
    }
    if (e->repeat)
        snprintf(text, room, "%s %" PRIu32 " came again, and got the same answer", nonce_name(e->kind), e->nonce);
    else if (e->on_word)
        snprintf(text, room, "%s %" PRIu32 " taken on the network server's word: no session was there to check it by",
                 nonce_name(e->kind), e->nonce);
    else
        snprintf(text, room, "answered");
}

static bool is_asked_for(const struct why_opts *opts, const struct told *t)
{
    bool refused = !opts->outcome || !strcmp(opts->outcome, "refused");
    bool repeated = !opts->outcome || !strcmp(opts->outcome, "repeated");

    return t->at >= opts->from && (t->session ? refused && repeated : t->event.err ? refused : repeated);
}

static const char *verdict(const struct told *t)
{
    if (t->session)
        return t->joined.kind == LJS_FRAME_JOIN ? "joined" : "rejoined";
    if (t->event.err)
        return "refused";
    return t->event.repeat ? "repeated" : "answered";
}

static void print_one(const struct device *of, const struct told *t, bool json)
{
    char when[32], text[400], remedy[600];
    char alarm[200];
    const ljs_event *e = &t->event;
    ljs_netid net_id = t->session ? t->joined.net_id : e->net_id;

    tell(text, sizeof text, remedy, sizeof remedy, of, t);
    time_text(when, t->at);
    if (!json) {
        if (t->session)
            printf("%-20s  %s: %s\n", when, verdict(t), text);
        else
            printf("%-20s  %s a %s%s%s: %s\n", when, e->err ? "refused" : "answered", request_name(e->type, e->kind),
                   *e->peer ? " of " : "", e->peer, text);
        if (!t->session && e->count > 1)
            printf("%22s%" PRIu32 " times in a row\n", "", e->count);
        if (!t->session && e->alarm) {
            tell_alarm(alarm, sizeof alarm, e);
            printf("%22salarm, %s: %s; see docs/alarms.md\n", "", ljs_alarm_text((ljs_alarm)e->alarm), alarm);
        }
        if (*remedy)
            printf("%22swhat to do: %s\n", "", remedy);
        return;
    }
    printf("{\"dev_eui\":\"%016" PRIx64 "\",\"at\":%" PRId64 ",\"decision\":\"%s\",\"request\":\"%s\",\"error\":",
           of->d.dev_eui, t->at, verdict(t),
           t->session
               ? request_name(t->joined.kind == LJS_FRAME_JOIN ? LJS_MSG_JOIN_REQ : LJS_MSG_REJOIN_REQ, t->joined.kind)
               : request_name(e->type, e->kind));
    print_json_text(stdout, !t->session && e->err ? ljs_errname(e->err) : NULL);
    if (t->session || has_nonce(e))
        printf(",\"nonce\":%" PRIu32, t->session ? t->joined.nonce : e->nonce);
    printf(",\"net_id\":\"%06" PRIx32 "\",\"peer\":", net_id);
    print_json_text(stdout, t->session || !*e->peer ? NULL : e->peer);
    printf(",\"count\":%" PRIu32 ",\"text\":", t->session || !e->count ? 1 : e->count);
    print_json_text(stdout, text);
    printf(",\"remedy\":");
    print_json_text(stdout, *remedy ? remedy : NULL);
    printf(",\"alarm\":");
    print_json_text(stdout, !t->session && e->alarm ? ljs_alarm_text((ljs_alarm)e->alarm) : NULL);
    puts("}");
}

/* How the device stands, before what was decided. */
static void print_device(const struct device *of, bool json, unsigned told)
{
    static const struct {
        const char *name, *text;
    } states[] = {
        [LJS_STATE_FRESH] = { "fresh", "provisioned, and has not joined" },
        [LJS_STATE_JOINED] = { "joined", "has joined" },
        [LJS_STATE_BLOCKED] = { "blocked", "blocked: nothing is answered. What to do: `lorajs device unblock`" },
        [LJS_STATE_REMOVED] = { "removed", "removed: it has no keys here. What to do: import it again" },
    };
    const char *name = of->d.state <= LJS_STATE_REMOVED ? states[of->d.state].name : "?";
    const char *text = of->d.moved                        ? "moved to another Join Server: ask there"
                       : of->d.state <= LJS_STATE_REMOVED ? states[of->d.state].text
                                                          : "?";

    if (json) {
        printf("{\"dev_eui\":\"%016" PRIx64 "\",\"state\":\"%s\",\"lorawan_version\":\"%s\",\"last_dev_nonce\":",
               of->d.dev_eui, name, ljs_mac_text(of->d.mac));
        if (of->under.dev_nonce >= 0)
            printf("%" PRId32 "}\n", of->under.dev_nonce);
        else
            printf("null}\n");
        return;
    }
    printf("%016" PRIx64 "  LoRaWAN %s, %s\n", of->d.dev_eui, ljs_mac_text(of->d.mac), text);
    if (of->d.next_join_nonce > 0xffffff)
        printf("JoinNonce is used up. What to do: %s\n", ljs_remedy(LJS_E_SPENT));
    if (!told)
        puts(
            "Nothing was decided about it yet. If it tries to join, its requests do not arrive here: check the network "
            "server's Join Server address, the JoinEUI it routes by, and the radio.");
    else
        putchar('\n');
}

/* Its counts under the JoinEUI that the newest session is under, else the first. */
static ljs_err find_under(struct device *of, const ljs_buf *record)
{
    ljs_session newest;
    ljs_join_eui j;
    ljs_err err = ljs_device_session(&newest, 0, record->data, record->len);
    bool joined = !err;

    if (err && err != LJS_E_NOTFOUND)
        return err;
    for (unsigned i = 0; !(err = ljs_device_join_eui(&j, i, record->data, record->len)); i++)
        if (i == 0 || (joined && j.join_eui == newest.join_eui))
            of->under = j;
    return err == LJS_E_NOTFOUND ? LJS_OK : err;
}

/* How many were written to `told`. */
static ljs_err collect(struct told *told, unsigned *n, struct device *of, ljs_server *server, ljs_eui dev_eui,
                       const ljs_buf *record)
{
    ljs_err err = LJS_OK;

    *n = 0;
    for (unsigned i = 0; *n < TOLD_MAX; i++, (*n)++) {
        if ((err = ljs_server_decision(&told[*n].event, server, dev_eui, i)))
            break;
        told[*n].at = told[*n].event.at;
        told[*n].order = *n;
    }
    if (err && err != LJS_E_NOTFOUND)
        return err;
    if (!record->len)
        return LJS_OK;
    for (unsigned i = 0; *n < TOLD_MAX; i++, (*n)++) {
        if ((err = ljs_device_session(&told[*n].joined, i, record->data, record->len)))
            break;
        told[*n].at = told[*n].joined.at;
        told[*n].order = *n;
        told[*n].session = true;
    }
    return err && err != LJS_E_NOTFOUND ? err : find_under(of, record);
}

static int not_provisioned(const struct why_opts *opts, ljs_eui dev_eui)
{
    if (opts->json)
        printf("{\"dev_eui\":\"%016" PRIx64 "\",\"state\":null,\"remedy\":\"%s\"}\n", dev_eui,
               ljs_remedy(LJS_E_DEVICE));
    else
        printf("%016" PRIx64 " is not provisioned: every request of it is answered with UnknownDevEUI.\n"
               "What to do: %s. `lorajs device import --example` shows how.\n",
               dev_eui, ljs_remedy(LJS_E_DEVICE));
    return REFUSED;
}

static int why(const struct why_opts *opts, ljs_server *server, ljs_eui dev_eui)
{
    struct told *told = calloc(TOLD_MAX, sizeof *told);
    struct device of = { .d = { .struct_size = sizeof of.d }, .under = { .dev_nonce = -1, .rj_count1 = -1 } };
    ljs_buf record = { NULL, 0 };
    unsigned n = 0, limit = (unsigned)opts->limit;
    ljs_err err = told ? ljs_server_get_device(&record, server, dev_eui) : LJS_E_NOMEM;
    bool there = !err;
    int code = DONE;

    if (!err)
        err = ljs_device_read(&of.d, record.data, record.len);
    if (err == LJS_E_NOTFOUND)
        err = LJS_OK;
    if (!err)
        err = collect(told, &n, &of, server, dev_eui, &record);
    if (err) {
        code = complain_err(err, "why");
        goto out;
    }
    if (there)
        print_device(&of, opts->json, n);
    else
        code = not_provisioned(opts, dev_eui);
    qsort(told, n, sizeof *told, newest_first);
    for (unsigned i = 0; i < n && limit; i++)
        if (is_asked_for(opts, &told[i])) {
            print_one(&of, &told[i], opts->json);
            limit--;
        }
out:
    ljs_buf_free(&record);
    free(told);
    return code;
}

/* ---- all devices ------------------------------------------------------------------- */

struct walk {
    const struct why_opts *opts;
    ljs_server *server;
    struct device of; /* that something was told of last */
    unsigned left;    /* to be told of it */
    bool any, bad;
};

/* What its decisions are told with: the version, and the counts that were accepted last. */
static ljs_err begin_device(struct walk *w, ljs_eui dev_eui)
{
    struct device of = { .d = { .struct_size = sizeof of.d }, .under = { .dev_nonce = -1, .rj_count1 = -1 } };
    ljs_buf record = { NULL, 0 };
    ljs_err err = ljs_server_get_device(&record, w->server, dev_eui);

    if (!err)
        err = ljs_device_read(&of.d, record.data, record.len);
    if (!err)
        err = find_under(&of, &record);
    ljs_buf_free(&record);
    of.d.dev_eui = dev_eui;
    if (!err && !w->opts->json) {
        printf("%s", w->any ? "\n" : "");
        print_device(&of, false, 1);
    }
    w->of = of;
    w->any = true;
    return err;
}

static ljs_err each_decision(void *user, const ljs_event *e)
{
    struct walk *w = user;
    const struct told t = { .at = e->at, .event = *e };
    bool first = !w->any || w->of.d.dev_eui != e->dev_eui;
    ljs_err err = LJS_OK;

    if (!e->count) {
        w->bad = true;
        complain("%016" PRIx64 ": its decisions: %s (%s)", e->dev_eui, ljs_strerror(e->err), ljs_errname(e->err));
        return LJS_OK;
    }
    if (!is_asked_for(w->opts, &t))
        return LJS_OK;
    if (first) {
        w->left = (unsigned)w->opts->limit;
        err = begin_device(w, e->dev_eui);
    }
    if (err == LJS_E_NOTFOUND || err == LJS_E_SEAL || err == LJS_E_VERSION) {
        w->bad = true;
        complain_device(err, e->dev_eui);
        err = LJS_OK;
    }
    if (!err && w->left) {
        print_one(&w->of, &t, w->opts->json);
        w->left--;
    }
    return err;
}

static int why_all(const struct why_opts *opts, ljs_server *server)
{
    struct walk w = { .opts = opts, .server = server };
    ljs_err err = ljs_server_each_decision(server, 0, UINT64_MAX, each_decision, &w);

    if (err)
        return complain_err(err, "why");
    if (!w.any && !w.bad && !opts->json)
        puts("Nothing of the kind.");
    return w.bad ? REFUSED : DONE;
}

int cmd_why(int argc, char **argv)
{
    struct why_opts opts = { .limit = 20 };
    struct data data;
    ljs_eui dev_eui = 0;
    int code = read_flags(&why_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if (opts.all == (argc == 1)) {
        complain("why: either a DevEUI or --all");
        return USAGE;
    }
    if ((code = read_since(&opts.from, opts.since)) || (argc && (code = read_eui(&dev_eui, argv[0], "a DevEUI"))) ||
        (code = data_open(&data, &opts.where, DATA_OPEN, NULL)))
        return code;
    code = opts.all ? why_all(&opts, data.server) : why(&opts, data.server, dev_eui);
    data_close(&data);
    return code;
}
