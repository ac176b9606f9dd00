/* Signs of two devices that are one, or of frames that were recorded: what is noticed beside the answer.
 *
 * Two devices with the same root keys share one count here.  The one that is ahead is answered, and of the other
 * each request is refused, with a good MIC, until it has passed the first; so the counts that are refused rise, and the
 * highest rises in between.  A device that lost its memory begins again below and is refused until it is
 * where it was: those rise too, but nothing is answered in between.
 *
 * Only refusals are remembered, in a table of fixed size that a restart empties; what is answered is told by
 * the record alone. */
#include "server/internal.h"

#include "device/record.h"

enum {
    DAY = 86400,
    LATE = 60, /* seconds after a join in which one before it may still be on its way */
    TURNS = 2, /* in which both counts have risen: once may be chance */
};

static const char *const names[ALARMS] = { "", "backward", "interleaved", "network" };

const char *ljs_alarm_text(ljs_alarm alarm)
{
    return (unsigned)alarm < ALARMS ? names[alarm] : "";
}

uint64_t ljs_server_alarms(ljs_server *server, ljs_alarm alarm)
{
    return (unsigned)alarm < ALARMS ? atomic_load_explicit(&server->alarms.count[alarm], memory_order_relaxed) : 0;
}

/* Where this count is watched: a place of its own, or that of whoever was refused longest ago. */
static struct watched *place_of(struct alarms *alarms, ljs_eui dev_eui, ljs_frame_kind kind, uint64_t counting)
{
    uint64_t hash = dev_eui * 0x9e3779b97f4a7c15U;
    struct watched *set = alarms->watched + (hash >> 32) % (WATCHED_MAX / WATCHED_WAYS) * WATCHED_WAYS, *oldest = set;

    for (unsigned i = 0; i < WATCHED_WAYS; i++) {
        struct watched *w = &set[i];

        if (w->dev_eui == dev_eui && w->kind == kind && w->counting == counting && w->highest >= 0)
            return w;
        if (w->since < oldest->since)
            oldest = w;
    }
    *oldest = (struct watched){ .dev_eui = dev_eui, .kind = kind, .counting = counting, .highest = -1 };
    return oldest;
}

static ljs_alarm notice(struct watched *w, uint32_t most, uint32_t nonce, int32_t highest, int64_t now)
{
    ljs_alarm alarm = LJS_ALARM_NONE;

    if (highest < w->highest) /* an operator has reset its nonces: it counts anew */
        w->highest = -1;
    if (w->highest < 0)
        *w = (struct watched){ .dev_eui = w->dev_eui, .kind = w->kind, .counting = w->counting, .highest = -1 };
    else if (nonce == w->nonce) /* the same frame, sent or heard again */
        return LJS_ALARM_NONE;
    if (w->highest < 0 || now - w->since >= DAY || now < w->since) {
        w->since = now;
        w->count = 0;
        w->told = false;
    }
    w->count++;
    if (w->highest >= 0 && nonce > w->nonce)
        w->turns += highest > w->highest;
    else
        w->turns = 0;
    w->nonce = nonce;
    w->highest = highest;
    if (w->turns >= TURNS) {
        w->turns = 0;
        alarm = LJS_ALARM_INTERLEAVED;
    } else if (w->count > most && !w->told) {
        w->told = true;
        alarm = LJS_ALARM_BACKWARD;
    }
    return alarm;
}

ljs_alarm ljs__alarm_refused(ljs_server *server, ljs_frame_kind kind, uint32_t nonce, const struct record *record,
                             int64_t now)
{
    const ljs_session *last = record->d.sessions ? &record->session[0] : NULL;
    ljs_alarm alarm;

    /* Who draws at random goes neither back nor forth; and the highest one itself may be heard by two networks. */
    if (!server->opts.alarm_refusals || !now || (int64_t)nonce >= record->highest)
        return LJS_ALARM_NONE;
    if (last && now >= last->at && now - last->at < LATE) /* overtaken on its way */
        return LJS_ALARM_NONE;
    pthread_mutex_lock(&server->alarms.lock);
    alarm = notice(place_of(&server->alarms, record->d.dev_eui, kind, record->counting), server->opts.alarm_refusals,
                   nonce, record->highest, now);
    pthread_mutex_unlock(&server->alarms.lock);
    return alarm;
}

/* A rejoin is how a device goes to another network: neither one of them alarms, nor a join after it. */
ljs_alarm ljs__alarm_joined(const ljs_server *server, const struct record *record)
{
    const ljs_session *is = &record->session[0], *was = &record->session[1];

    if (record->d.sessions < 2 || is->net_id == was->net_id || is->kind != LJS_FRAME_JOIN ||
        was->kind != LJS_FRAME_JOIN || !is->at || !was->at || is->at < was->at)
        return LJS_ALARM_NONE;
    return is->at - was->at < (int64_t)server->opts.alarm_window ? LJS_ALARM_NETWORK : LJS_ALARM_NONE;
}
