#include "server/internal.h"

#include "base/text.h"

#include <stdlib.h>

struct peer {
    char name[LJS_LABEL_MAX];
    unsigned clear;
    ljs_netid *net_id;
    ljs_eui *ns_id;
    char (*as_id)[LJS_LABEL_MAX];
    char (*kek)[LJS_LABEL_MAX];
    size_t net_ids, ns_ids, as_ids, keks;
};

struct ljs_peers {
    atomic_uint holders; /* the caller, or the server; and every message that was at work when it was replaced */
    struct peer *peer;
    size_t len;
};

ljs_err ljs_peers_new(ljs_peers **out)
{
    ljs_peers *peers = calloc(1, sizeof *peers);

    if ((*out = peers))
        atomic_init(&peers->holders, 1);
    return peers ? LJS_OK : LJS_E_NOMEM;
}

void ljs_peers_free(ljs_peers *peers)
{
    if (!peers || atomic_fetch_sub(&peers->holders, 1) != 1)
        return;
    for (size_t i = 0; i < peers->len; i++) {
        free(peers->peer[i].net_id);
        free(peers->peer[i].ns_id);
        free(peers->peer[i].as_id);
        free(peers->peer[i].kek);
    }
    free(peers->peer);
    free(peers);
}

static struct peer *find(const ljs_peers *peers, const char *name)
{
    for (size_t i = 0; peers && name && i < peers->len; i++)
        if (strcmp(peers->peer[i].name, name) == 0)
            return &peers->peer[i];
    return NULL;
}

/* Room for one more of *len things of a size at *at. */
static void *grow(void *at, size_t len, size_t size)
{
    return reallocarray(at, len + 1, size);
}

static bool name_ok(const char *text)
{
    return text && text[0] && ljs__text_ok(text, LJS_LABEL_MAX);
}

ljs_err ljs_peers_add(ljs_peers *peers, const char *name, unsigned clear)
{
    struct peer *more;

    if (!name_ok(name) || clear & ~(unsigned)(LJS_CLEAR_NS | LJS_CLEAR_AS))
        return LJS_E_INVAL;
    if (find(peers, name))
        return LJS_E_EXISTS;
    if (!(more = grow(peers->peer, peers->len, sizeof *more)))
        return LJS_E_NOMEM;
    peers->peer = more;
    more[peers->len] = (struct peer){ .clear = clear };
    memcpy(more[peers->len++].name, name, strlen(name) + 1);
    return LJS_OK;
}

ljs_err ljs_peers_add_net_id(ljs_peers *peers, const char *name, ljs_netid net_id)
{
    struct peer *p = find(peers, name);
    ljs_netid *more;

    if (!p)
        return LJS_E_NOTFOUND;
    if (net_id > 0xffffff)
        return LJS_E_INVAL;
    if (!(more = grow(p->net_id, p->net_ids, sizeof *more)))
        return LJS_E_NOMEM;
    p->net_id = more;
    more[p->net_ids++] = net_id;
    return LJS_OK;
}

ljs_err ljs_peers_add_ns_id(ljs_peers *peers, const char *name, ljs_eui ns_id)
{
    struct peer *p = find(peers, name);
    ljs_eui *more;

    if (!p)
        return LJS_E_NOTFOUND;
    if (!(more = grow(p->ns_id, p->ns_ids, sizeof *more)))
        return LJS_E_NOMEM;
    p->ns_id = more;
    more[p->ns_ids++] = ns_id;
    return LJS_OK;
}

static ljs_err add_text(char (**at)[LJS_LABEL_MAX], size_t *len, const char *text)
{
    char(*more)[LJS_LABEL_MAX];

    if (!name_ok(text))
        return LJS_E_INVAL;
    if (!(more = grow(*at, *len, sizeof *more)))
        return LJS_E_NOMEM;
    *at = more;
    memcpy(more[(*len)++], text, strlen(text) + 1);
    return LJS_OK;
}

ljs_err ljs_peers_add_as_id(ljs_peers *peers, const char *name, const char *as_id)
{
    struct peer *p = find(peers, name);

    return p ? add_text(&p->as_id, &p->as_ids, as_id) : LJS_E_NOTFOUND;
}

ljs_err ljs_peers_add_kek(ljs_peers *peers, const char *name, const char *label)
{
    struct peer *p = find(peers, name);

    if (label[0] == '@') /* an account's: no peer holds it by itself */
        return LJS_E_INVAL;
    return p ? add_text(&p->kek, &p->keks, label) : LJS_E_NOTFOUND;
}

/* A copy, so that what the caller does to his own later is not seen here. */
static ljs_err copy(ljs_peers **out, const ljs_peers *from)
{
    ljs_err err = ljs_peers_new(out);

    for (size_t i = 0; !err && i < from->len; i++) {
        const struct peer *p = &from->peer[i];

        err = ljs_peers_add(*out, p->name, p->clear);
        for (size_t k = 0; !err && k < p->net_ids; k++)
            err = ljs_peers_add_net_id(*out, p->name, p->net_id[k]);
        for (size_t k = 0; !err && k < p->ns_ids; k++)
            err = ljs_peers_add_ns_id(*out, p->name, p->ns_id[k]);
        for (size_t k = 0; !err && k < p->as_ids; k++)
            err = ljs_peers_add_as_id(*out, p->name, p->as_id[k]);
        for (size_t k = 0; !err && k < p->keks; k++)
            err = ljs_peers_add_kek(*out, p->name, p->kek[k]);
    }
    if (err) {
        ljs_peers_free(*out);
        *out = NULL;
    }
    return err;
}

ljs_err ljs_server_set_peers(ljs_server *server, const ljs_peers *peers)
{
    ljs_peers *mine = NULL, *old;
    ljs_err err = ljs__server_alive(server);

    if (!err && peers)
        err = copy(&mine, peers);
    if (err)
        return err;
    ljs__wide_write(&server->peers_lock);
    old = server->peers;
    server->peers = mine;
    for (unsigned i = 0; i < LOCK_LANES; i++) {
        if (old)
            atomic_fetch_add(&old->holders, server->at_work[i].n);
        server->at_work[i].n = 0;
    }
    ljs__wide_write_end(&server->peers_lock);
    ljs_peers_free(old);
    return LJS_OK;
}

ljs_peers *ljs__peers_take(ljs_server *server)
{
    unsigned lane = ljs__wide_read(&server->peers_lock);
    ljs_peers *peers = server->peers;

    server->at_work[lane].n++;
    ljs__wide_read_end(&server->peers_lock, lane);
    return peers;
}

/* No lane is taken by a child of fork() that returns into a message (internal.h). */
void ljs__peers_give(ljs_server *server, ljs_peers *peers)
{
    unsigned lane;
    bool current;

    if (ljs__server_alive(server))
        return;
    lane = ljs__wide_read(&server->peers_lock);
    current = peers == server->peers;
    server->at_work[lane].n -= current;
    ljs__wide_read_end(&server->peers_lock, lane);
    if (!current)
        ljs_peers_free(peers);
}

/* ---- who may ask what ------------------------------------------------------- */

static bool has_text(char (*at)[LJS_LABEL_MAX], size_t len, const char *text)
{
    for (size_t i = 0; i < len; i++)
        if (strcmp(at[i], text) == 0)
            return true;
    return false;
}

static bool speaks_for_network(const struct peer *p, const ljs_message *msg, const ljs_netid *net_id)
{
    bool net = false, ns = false;

    for (size_t i = 0; net_id && i < p->net_ids; i++)
        net |= p->net_id[i] == *net_id;
    for (size_t i = 0; i < p->ns_ids; i++)
        ns |= msg->has & LJS_M_SENDER_NSID && p->ns_id[i] == msg->sender_ns_id;
    /* Backend Interfaces 1.0 has no NSID to say. */
    return net && (ns || !p->ns_ids || msg->protocol < 11);
}

ljs_err ljs__grant(struct grant *out, const ljs_server *server, const ljs_peers *peers, const char *peer,
                   const ljs_message *msg, const ljs_netid *net_id)
{
    const struct peer *p = find(peers, peer);
    bool from_as = msg->type == LJS_MSG_APP_S_KEY_REQ;

    *out = (struct grant){ .peer = p, .clear = p ? p->clear : 0 };
    if (p)
        return (from_as ? has_text(p->as_id, p->as_ids, msg->sender_id) : speaks_for_network(p, msg, net_id))
                   ? LJS_OK
                   : LJS_E_SENDER;
    if (!server->opts.anonymous || peer[0]) /* whom the transport names is held to it */
        return LJS_E_SENDER;
    out->anonymous = true;
    out->clear = server->opts.clear;
    return from_as || net_id ? LJS_OK : LJS_E_SENDER;
}

bool ljs__ns_id(ljs_eui *out, const struct grant *grant, const ljs_message *msg, const ljs_device *device)
{
    const struct peer *p = grant->peer;

    *out = 0;
    if (msg->has & LJS_M_SENDER_NSID) {
        *out = msg->sender_ns_id;
        return true;
    }
    if (!p || !p->ns_ids)
        return false;
    *out = p->ns_id[0];
    for (size_t i = 0; i < p->ns_ids; i++)
        if (device->has_home_ns_id && p->ns_id[i] == device->home_ns_id)
            *out = p->ns_id[i];
    return true;
}

/* That of an account (claim.h) may be any peer's: no device of another account can name it. */
static bool holds(const struct peer *p, const char *label)
{
    return label[0] == '@' || has_text(p->kek, p->keks, label);
}

const char *ljs__kek_wire(const char *label)
{
    const char *own = label[0] == '@' ? strchr(label, '/') : NULL;

    return own ? own + 1 : label;
}

/* The one a device names, or the peer's first. */
static const char *label_of(const struct peer *p, const char *named)
{
    if (named[0])
        return holds(p, named) ? named : NULL;
    return p->keks ? p->kek[0] : NULL;
}

ljs_err ljs__ns_label(const char **out, const struct grant *grant, const ljs_device *device)
{
    const char *named = device->ns_kek_label;

    if (grant->anonymous)
        *out = named[0] ? named : NULL;
    else
        *out = label_of(grant->peer, named);
    return named[0] && !*out ? LJS_E_KEK : LJS_OK;
}

void ljs__as_label(const char **out, const char **holder, bool *named, const struct grant *grant,
                   const ljs_peers *peers, const ljs_device *device)
{
    const struct peer *as = NULL;

    for (size_t i = 0; !grant->anonymous && device->as_id[0] && i < peers->len; i++)
        if (has_text(peers->peer[i].as_id, peers->peer[i].as_ids, device->as_id))
            as = as && as == grant->peer ? as : &peers->peer[i]; /* who asks is meant, if several may */
    if (as)
        *out = label_of(as, device->as_kek_label);
    else /* an application server that never asks us itself: the operator's word */
        *out = device->as_kek_label[0] ? device->as_kek_label : NULL;
    *holder = as ? as->name : "";
    *named = *out || device->as_kek_label[0];
}
