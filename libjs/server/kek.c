/* kek.c -- the KEK that is used where one is named: what was opened is kept open. */
#include "server/kek.h"

#include "store/view.h"

void ljs__keks_init(ljs_server *server)
{
    ljs__wide_init(&server->keks.lock);
}

void ljs__keks_free(ljs_server *server)
{
    ljs__kept_free(server->keks.kept);
    ljs__wide_destroy(&server->keks.lock);
}

/* -1: nowhere.  The label "" has the first place that is free. */
static int place_of(const struct open_keks *keks, const char *label)
{
    for (int i = 0; i < KEPT_MAX; i++)
        if (strcmp(keks->place[i].label, label) == 0)
            return i;
    return -1;
}

/* What is in a place is what the store has: nothing changed since it was seen there, or it has these octets now. */
static bool is_there(const struct kek_place *place, const ljs_buf *value, uint64_t moment)
{
    return value ? place->value_len == value->len && !memcmp(place->value, value->data, value->len)
                 : moment && place->moment == moment;
}

/* As it is in the place, into the slot. */
static int get(struct ring *ring, enum key_id id, const struct open_keks *keks, const char *label, const ljs_buf *value,
               uint64_t moment)
{
    int i = place_of(keks, label);

    if (i < 0 || !is_there(&keks->place[i], value, moment))
        return -1;
    ljs__kept_get(ring, id, keks->kept, (unsigned)i);
    return i;
}

/* `value` may be NULL: has anything changed? */
static bool recall(struct ring *ring, enum key_id id, struct open_keks *keks, const char *label, const ljs_buf *value,
                   uint64_t moment)
{
    unsigned lane = ljs__wide_read(&keks->lock);
    int i = get(ring, id, keks, label, value, moment);

    if (i >= 0 && keks->place[i].moment != moment) /* which others who read may say at once: each of them saw it */
        keks->place[i].moment = moment;
    ljs__wide_read_end(&keks->lock, lane);
    return i >= 0;
}

/* What just opened; without locked memory it is opened each time, and a token keeps it itself. */
static void remember(struct open_keks *keks, const char *label, const ljs_buf *value, uint64_t moment,
                     const struct ring *ring, enum key_id id)
{
    struct kek_place *place;
    int i;

    if (value->len > sizeof place->value || !ljs__ring_has(ring, id) || ljs__ring_inside(ring, id))
        return;
    ljs__wide_write(&keks->lock);
    if (keks->kept || !ljs__kept_new(&keks->kept)) {
        i = place_of(keks, label);
        if (i < 0)
            i = place_of(keks, "");
        if (i < 0)
            i = (int)(keks->next++ % KEPT_MAX);
        place = &keks->place[i];
        ljs__kept_put(keks->kept, (unsigned)i, ring, id);
        memcpy(place->label, label, strlen(label) + 1);
        memcpy(place->value, value->data, value->len);
        place->value_len = value->len;
        place->moment = moment;
    }
    ljs__wide_write_end(&keks->lock);
}

void ljs__kek_forget(ljs_server *server, const char *label)
{
    struct open_keks *keks = &server->keks;
    int i;

    ljs__wide_write(&keks->lock);
    i = place_of(keks, label);
    if (i >= 0 && keks->place[i].value_len) {
        ljs__kept_drop(keks->kept, (unsigned)i);
        keks->place[i] = (struct kek_place){ .value_len = 0 };
    }
    ljs__wide_write_end(&keks->lock);
}

/* One label: the key of it into the slot, or *next, the label that is used in its place. */
static ljs_err load_label(bool *goes_on, char next[LJS_LABEL_MAX], ljs_server *server, struct view *view,
                          struct ring *ring, enum key_id id, const char *label, const char *peer, unsigned use)
{
    struct key key = ljs__key_label(SPACE_KEK, label);
    ljs_buf value = { NULL, 0 };
    struct kek k;
    uint64_t version;
    ljs_err err;

    *goes_on = false;
    if (recall(ring, id, &server->keks, label, NULL, ljs__view_moment(view, SPACE_KEK)))
        return LJS_OK;
    err = ljs__view_get(&value, &version, view, key.at, key.len);
    if (!err && !recall(ring, id, &server->keks, label, &value, view->moment)) {
        err = ljs__kek_read(&k, server->vault, value.data, value.len);
        if (!err && ljs__kek_succeeded(next, &k, peer, use))
            *goes_on = true;
        else if (!err && k.retired)
            err = LJS_E_KEK;
        else if (!err && !(err = ljs__kek_open(server, ring, id, label, &value)) && k.plain)
            remember(&server->keks, label, &value, view->moment, ring, id);
    }
    if (err == LJS_E_NOTFOUND || err == LJS_E_SEAL)
        ljs__kek_forget(server, label);
    ljs_buf_free(&value);
    return err;
}

static ljs_err load_once(ljs_server *server, struct view *view, struct ring *ring, enum key_id id, const char **label,
                         char room[LJS_LABEL_MAX], const char *peer, unsigned use)
{
    char next[LJS_LABEL_MAX];
    bool goes_on = true;
    ljs_err err = LJS_OK;

    for (unsigned hops = 0; !err && goes_on && hops < HOPS_MAX; hops++) {
        err = load_label(&goes_on, next, server, view, ring, id, *label, peer, use);
        if (!err && goes_on) {
            memcpy(room, next, sizeof next);
            *label = room;
        }
    }
    return !err && goes_on ? LJS_E_KEK : err;
}

ljs_err ljs__kek_load(ljs_server *server, struct view *view, struct ring *ring, enum key_id id, const char **label,
                      char room[LJS_LABEL_MAX], const char *peer, unsigned use)
{
    const char *named = *label;
    const struct masters *had;
    ljs_err err;

    do {
        had = ljs__masters(server);
        *label = named;
        err = load_once(server, view, ring, id, label, room, peer, use);
    } while (err == LJS_E_SEAL && ljs__masters_again(server, had));
    return err;
}
