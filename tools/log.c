/* log.c -- the daemon's log: lines for a journal, limited, without a key. */
#include "log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    SLOTS = 256,     /* refusals told apart at a time */
    QUIET = 10,      /* seconds in which the same refusal is not written again */
    PER_SECOND = 100 /* refusals written in one second */
};

static const char *const levels[] = { "error", "warning", "info", "debug" };
static const char *const priorities[] = { "<3>", "<4>", "<6>", "<7>" }; /* sd-daemon(3) */

/* A refusal written lately, and how many like it were not. */
struct slot {
    ljs_event event;
    int64_t since; /* seconds of now_ms() */
    uint64_t more;
};

struct log {
    _Atomic(enum log_level) level;
    atomic_bool json;
    bool journal;                   /* standard error is the journal's: it takes priorities */
    atomic_uint_least64_t left_out; /* ever */
    pthread_mutex_t lock;           /* of all below */
    int64_t second;                 /* this one */
    unsigned written;               /* refusals in it */
    uint64_t dropped;               /* not written for their number, not yet told */
    struct slot slots[SLOTS];
};

/* ---- lines ------------------------------------------------------------------ */

struct line {
    char text[4096];
    size_t len;
    bool json;
};

__attribute__((format(printf, 2, 3))) static void put(struct line *l, const char *format, ...)
{
    size_t room = sizeof l->text - 1 - l->len; /* one for the newline */
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(l->text + l->len, room, format, args);
    va_end(args);
    if (n > 0)
        l->len += (size_t)n < room ? (size_t)n : room - 1;
}

/* In quotes; control characters escaped, C1 as UTF-8 among them. */
static void put_text(struct line *l, const char *text)
{
    const char *format = l->json ? "\\u%04x" : "\\x%02x";

    put(l, "\"");
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at == '"' || *at == '\\')
            put(l, "\\%c", *at);
        else if (*at < 0x20 || *at == 0x7f)
            put(l, format, *at);
        else if (*at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0)
            put(l, format, *++at);
        else
            put(l, "%c", *at);
    }
    put(l, "\"");
}

static void begin(struct line *l, struct log *log, enum log_level level, int64_t at)
{
    char text[32] = "";
    time_t t = (time_t)at;
    struct tm tm;

    l->len = 0;
    l->json = log->json;
    if (gmtime_r(&t, &tm))
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (log->journal)
        put(l, "%s", priorities[level]);
    put(l, l->json ? "{\"time\":\"%s\",\"level\":\"%s\"" : "%s %s", text, levels[level]);
}

static void end(struct line *l)
{
    if (l->json)
        put(l, "}");
    l->text[l->len++] = '\n';
    if (write(STDERR_FILENO, l->text, l->len) < 0)
        return; /* there is nobody to tell */
}

void say(struct log *log, enum log_level level, const char *format, ...)
{
    struct line l;
    char text[512];
    va_list args;

    if (level > log->level)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    begin(&l, log, level, now_seconds());
    if (l.json) {
        put(&l, ",\"message\":");
        put_text(&l, text);
    } else {
        put(&l, " ");
        for (const char *at = text; *at; at++)
            put(&l, (unsigned char)*at < 0x20 || *at == 0x7f ? "\\x%02x" : "%c", *at);
    }
    end(&l);
}

/* ---- decisions -------------------------------------------------------------- */

static const char *type_text(const ljs_event *e)
{
    const char *text = ljs_message_type_text(e->type);

    return *text ? text : "unknown";
}

static enum log_level level_of(const ljs_event *e)
{
    return e->err == LJS_OK && !e->alarm ? SAY_INFO : e->err < 0 && e->err > -100 ? SAY_ERROR : SAY_WARNING;
}

static void put_json(struct line *l, const ljs_event *e, uint64_t more)
{
    put(l, ",\"result\":\"%s\",\"type\":\"%s\"", ljs_errname(e->err), type_text(e));
    if (e->dev_eui)
        put(l, ",\"dev_eui\":\"%016" PRIx64 "\"", e->dev_eui);
    put(l, ",\"net_id\":\"%06" PRIx32 "\",\"nonce\":%" PRIu32, e->net_id, e->nonce);
    if (*e->peer) {
        put(l, ",\"peer\":");
        put_text(l, e->peer);
    }
    if (e->repeat)
        put(l, ",\"repeat\":true");
    if (e->on_word)
        put(l, ",\"on_word\":true");
    if (e->forwarded)
        put(l, ",\"forwarded\":true");
    if (e->alarm)
        put(l, ",\"alarm\":\"%s\"", ljs_alarm_text((ljs_alarm)e->alarm));
    if (more)
        put(l, ",\"more\":%" PRIu64, more);
    if (e->err) {
        put(l, ",\"text\":");
        put_text(l, ljs_strerror(e->err));
    }
}

static void put_words(struct line *l, const ljs_event *e, uint64_t more)
{
    put(l, " %s %s", ljs_errname(e->err), type_text(e));
    if (e->dev_eui)
        put(l, " dev_eui=%016" PRIx64, e->dev_eui);
    put(l, " net_id=%06" PRIx32 " nonce=%" PRIu32, e->net_id, e->nonce);
    if (*e->peer) {
        put(l, " peer=");
        put_text(l, e->peer);
    }
    put(l, "%s%s%s", e->repeat ? " repeat" : "", e->on_word ? " on_word" : "", e->forwarded ? " forwarded" : "");
    if (e->alarm)
        put(l, " alarm=%s", ljs_alarm_text((ljs_alarm)e->alarm));
    if (e->err)
        put(l, ": %s", ljs_strerror(e->err));
    if (more)
        put(l, " (%" PRIu64 " more like it)", more);
}

static void write_event(struct log *log, const ljs_event *e, uint64_t more)
{
    struct line l;

    begin(&l, log, level_of(e), e->at);
    if (l.json)
        put_json(&l, e, more);
    else
        put_words(&l, e, more);
    end(&l);
}

static bool alike(const ljs_event *a, const ljs_event *b)
{
    return a->err == b->err && a->type == b->type && a->dev_eui == b->dev_eui && !strcmp(a->peer, b->peer);
}

static unsigned slot_of(const ljs_event *e)
{
    uint64_t h = (e->dev_eui ^ (uint64_t)(-e->err) << 40 ^ (uint64_t)e->type << 56) * 0x9e3779b97f4a7c15U;

    for (const char *at = e->peer; *at; at++)
        h = (h ^ (unsigned char)*at) * 0x100000001b3U;
    return (unsigned)(h >> 32) % SLOTS;
}

/* May this refusal be written?  *old is what is to be told of the one whose place it takes. */
static bool admit(struct log *log, const ljs_event *e, int64_t now, struct slot *old)
{
    struct slot *slot = &log->slots[slot_of(e)];

    if (slot->since && alike(&slot->event, e) && now - slot->since < QUIET) {
        slot->event = *e;
        slot->more++;
        log->left_out++;
        return false;
    }
    if (now != log->second) {
        log->second = now;
        log->written = 0;
    }
    if (log->written >= PER_SECOND) {
        log->dropped++;
        log->left_out++;
        return false;
    }
    log->written++;
    *old = *slot;
    *slot = (struct slot){ .event = *e, .since = now };
    return true;
}

void log_event(void *user, const ljs_event *event)
{
    struct log *log = user;
    struct slot old = { .more = 0 };
    bool write_it = true;

    if ((event->forwarded ? SAY_DEBUG : level_of(event)) > log->level)
        return;
    if (event->err && !event->alarm) { /* alarms are few by themselves */
        pthread_mutex_lock(&log->lock);
        write_it = admit(log, event, now_ms() / 1000 + 1, &old);
        pthread_mutex_unlock(&log->lock);
    }
    if (old.more)
        write_event(log, &old.event, old.more);
    if (write_it)
        write_event(log, event, 0);
}

void log_tick(struct log *log, bool last)
{
    int64_t now = now_ms() / 1000 + 1;
    uint64_t dropped;

    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot old = { .more = 0 };

        pthread_mutex_lock(&log->lock);
        if (log->slots[i].since && (last || now - log->slots[i].since >= QUIET)) {
            old = log->slots[i];
            log->slots[i] = (struct slot){ .since = 0 };
        }
        pthread_mutex_unlock(&log->lock);
        if (old.more)
            write_event(log, &old.event, old.more);
    }
    pthread_mutex_lock(&log->lock);
    dropped = log->dropped;
    log->dropped = 0;
    pthread_mutex_unlock(&log->lock);
    if (dropped)
        say(log, SAY_WARNING, "%" PRIu64 " refusals were too many to write", dropped);
}

uint64_t log_left_out(struct log *log)
{
    return log->left_out;
}

/* $JOURNAL_STREAM is inherited by who redirects standard error, so it names the stream. */
static bool is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char here[64];
    struct stat st;

    if (!stream || fstat(STDERR_FILENO, &st))
        return false;
    snprintf(here, sizeof here, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    return !strcmp(stream, here);
}

struct log *log_new(void)
{
    struct log *log = calloc(1, sizeof *log);

    if (!log)
        return NULL;
    log->level = SAY_INFO;
    log->journal = is_journal();
    pthread_mutex_init(&log->lock, NULL);
    return log;
}

void log_free(struct log *log)
{
    if (!log)
        return;
    pthread_mutex_destroy(&log->lock);
    free(log);
}

void log_setup(struct log *log, const char *level, const char *format)
{
    for (unsigned i = 0; i < sizeof levels / sizeof *levels; i++)
        if (!strcmp(levels[i], level))
            log->level = (enum log_level)i;
    log->json = !strcmp(format, "json");
}
