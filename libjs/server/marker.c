/* The marker: a file beside a store that runs ahead of what the store commits, so that a store that
 * was put back is known by it. */
#include "server/past.h"

#include "base/pack.h"
#include "store/file.h"
#include "store/view.h"

#include <lorajs/master.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MARKER_SCHEMA = 1, MARKER_FIELDS = 7 };

ljs_err ljs__place_read(struct place *out, const ljs_vault *vault, const uint8_t *in, size_t in_len)
{
    struct rd r = { in, in_len, false };
    size_t len = (size_t)rd_le(&r, 2);
    const uint8_t *octets = rd_bytes(&r, len);
    struct unpack u = { .rd = { octets, len > 16 ? len - 16 : 0, false } };
    struct place p = { .turn = 0 };
    bool now = true;
    ljs_err err = octets ? ljs__vault_tagged(&now, vault, TAG_MARKER, octets, len) : LJS_E_SEAL;
    unsigned fields;

    memset(out, 0, sizeof *out);
    if (err)
        return err;
    fields = ljs__unpack_array(&u);
    if (ljs__unpack_uint(&u, 0xffff) > MARKER_SCHEMA && !u.rd.bad)
        return LJS_E_VERSION;
    p.turn = ljs__unpack_uint(&u, UINT64_MAX);
    ljs__unpack_fixed(&u, p.marker.name, sizeof p.marker.name);
    p.marker.generation = (uint32_t)ljs__unpack_uint(&u, UINT32_MAX);
    p.marker.reserved = (uint32_t)ljs__unpack_uint(&u, UINT32_MAX);
    p.marker.at = ljs__unpack_uint(&u, INT64_MAX);
    p.marker.bound = ljs__unpack_uint(&u, INT64_MAX);
    if (fields != MARKER_FIELDS || !rd_done(&u.rd) || p.marker.bound < p.marker.at)
        return LJS_E_SEAL;
    p.old = !now;
    *out = p;
    return LJS_OK;
}

ljs_err ljs__place_write(uint8_t out[PLACE_LEN], const struct place *place, const ljs_vault *vault)
{
    const ljs_marker *m = &place->marker;
    struct wr w = { 0 };
    ljs_err err;

    memset(out, 0, PLACE_LEN);
    ljs__pack_array(&w, MARKER_FIELDS);
    ljs__pack_uint(&w, MARKER_SCHEMA);
    ljs__pack_uint(&w, place->turn);
    ljs__pack_bin(&w, m->name, sizeof m->name);
    ljs__pack_uint(&w, m->generation);
    ljs__pack_uint(&w, m->reserved);
    ljs__pack_uint(&w, m->at);
    ljs__pack_uint(&w, m->bound);
    err = ljs__vault_tag(&w, vault, TAG_MARKER);
    if (!err && w.bad)
        err = LJS_E_NOMEM;
    if (!err) {
        assert(w.len <= PLACE_LEN - 2);
        out[0] = (uint8_t)w.len;
        out[1] = (uint8_t)(w.len >> 8);
        memcpy(out + 2, w.data, w.len);
    }
    ljs__wr_drop(&w);
    return err;
}

/* ---- the file --------------------------------------------------------------- */

/* The newer of its places.  LJS_E_NOTFOUND when nothing was ever written, LJS_E_SEAL when neither is whole. */
static ljs_err read_file(struct place *out, const ljs_vault *vault, int fd)
{
    ljs_err err = LJS_E_NOTFOUND;

    memset(out, 0, sizeof *out);
    for (unsigned i = 0; i < 2; i++) {
        uint8_t octets[PLACE_LEN];
        struct place p;
        ssize_t n = pread(fd, octets, sizeof octets, (off_t)i * PLACES_APART);
        ljs_err one;

        if (n < 0)
            return LJS_E_STORE;
        if (!n || ljs__is_zero(octets, (size_t)n)) /* not yet written */
            continue;
        one = ljs__place_read(&p, vault, octets, (size_t)n);
        if (one == LJS_E_VERSION)
            return one;
        if (!one && (err || p.turn > out->turn)) {
            *out = p;
            err = LJS_OK;
        } else if (one && err == LJS_E_NOTFOUND) {
            err = one;
        }
    }
    return err;
}

/* Into the place that is not the newest: a crash leaves that. */
static ljs_err write_file(int fd, struct place *p, const ljs_vault *vault)
{
    uint8_t octets[PLACE_LEN];
    ljs_err err;

    p->turn++;
    if ((err = ljs__place_write(octets, p, vault)))
        return err;
    if (pwrite(fd, octets, sizeof octets, (off_t)(p->turn % 2) * PLACES_APART) != (ssize_t)sizeof octets ||
        fdatasync(fd))
        return LJS_E_STORE;
    return LJS_OK;
}

/* Locked, as long as it is open, unless it is only read. */
static ljs_err open_file(int *fd, const char *path, int flags)
{
    struct stat st;

    *fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd < 0)
        return errno == ENOENT ? LJS_E_NOTFOUND : LJS_E_STORE;
    if (fstat(*fd, &st) || !S_ISREG(st.st_mode) || (flags & O_RDWR && flock(*fd, LOCK_EX))) {
        close(*fd);
        *fd = -1;
        return LJS_E_STORE;
    }
    return LJS_OK;
}

/* A new marker, whole from the moment that it has its name. */
static ljs_err create_file(const char *path, struct place *p, const ljs_vault *vault)
{
    char *fresh = malloc(strlen(path) + sizeof ".new");
    int fd;
    ljs_err err = LJS_E_NOMEM;

    if (!fresh)
        return err;
    sprintf(fresh, "%s.new", path);
    fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    err = fd < 0 ? LJS_E_STORE : write_file(fd, p, vault);
    if (!err && rename(fresh, path))
        err = LJS_E_STORE;
    if (fd >= 0)
        close(fd);
    free(fresh);
    return err ? err : ljs__sync_name(path);
}

static ljs_marker_verdict judge(const ljs_marker *m, const ljs_standing *s)
{
    if (memcmp(m->name, s->name, sizeof m->name) != 0)
        return LJS_MARKER_OTHER;
    /* A store of a later generation, or with more changes, is one whose marker could not be written yet. */
    if (s->generation != m->generation)
        return s->generation < m->generation ? LJS_MARKER_BEFORE : LJS_MARKER_GOOD;
    return s->count < m->at ? LJS_MARKER_BEHIND : LJS_MARKER_GOOD;
}

/* `against` may be NULL.  Where it stands is asked after what the marker says: others may commit and mark meanwhile,
 * and would seem to have put it back. */
static ljs_err look(struct place *out, ljs_standing *standing, ljs_vault *vault, ljs_store *against, int fd,
                    ljs_err err)
{
    ljs_err stands;

    memset(out, 0, sizeof *out);
    if (!err)
        err = read_file(out, vault, fd);
    if (against && (stands = ljs_standing_read(standing, vault, against)))
        return stands;
    if (err == LJS_E_NOTFOUND)
        out->marker.verdict = against && standing->marked ? LJS_MARKER_LOST : LJS_MARKER_NEW;
    else if (err == LJS_E_SEAL)
        out->marker.verdict = LJS_MARKER_BROKEN;
    else if (!err && against)
        out->marker.verdict = judge(&out->marker, standing);
    return err == LJS_E_NOTFOUND || err == LJS_E_SEAL ? LJS_OK : err;
}

ljs_err ljs_marker_look(ljs_marker *out, ljs_vault *vault, ljs_store *against, const char *path)
{
    struct place p;
    ljs_standing standing;
    ljs_err err = ljs__vault_alive(vault), opened;
    int fd = -1;

    memset(out, 0, sizeof *out);
    if (!err && against)
        err = ljs_standing_read(&standing, vault, against); /* and the vault has its master keys */
    if (err)
        return err;
    opened = open_file(&fd, path, O_RDONLY);
    err = look(&p, &standing, vault, against, fd, opened);
    if (fd >= 0)
        close(fd);
    if (!err)
        *out = p.marker;
    return err;
}

ljs_err ljs_marker_reserve(ljs_vault *vault, const char *path, uint32_t generation, const uint8_t *in, size_t in_len)
{
    struct place p;
    ljs_err err = in_len == sizeof p.marker.name ? ljs__vault_alive(vault) : LJS_E_INVAL;
    int fd = -1;

    if (!err)
        err = open_file(&fd, path, O_RDWR);
    if (!err)
        err = read_file(&p, vault, fd);
    if (err == LJS_E_NOTFOUND) {
        p = (struct place){ .marker.reserved = generation };
        memcpy(p.marker.name, in, in_len);
        err = create_file(path, &p, vault);
    } else if (!err && memcmp(p.marker.name, in, in_len) != 0) {
        err = LJS_E_STATE;
    } else if (!err && p.marker.reserved < generation) {
        p.marker.reserved = generation;
        err = write_file(fd, &p, vault);
    }
    if (fd >= 0)
        close(fd);
    return err;
}

/* ---- a store with a marker --------------------------------------------------- */

struct marked {
    ljs_store *inner;
    ljs_vault *vault;
    int fd;
    pthread_mutex_t lock; /* of all below, and held while the marker is written */
    ljs_standing standing;
    uint64_t before, every;
    uint64_t under_way; /* changes that are being committed */
    uint64_t at, bound; /* as the marker says */
    bool old;           /* it is under a master key that was replaced */
    unsigned version;   /* the vault's, when it was written */
    bool begun, used;
};

/* What the store has, counted over all of its lives. */
static ljs_err count_now(uint64_t *out, struct marked *m)
{
    ljs_err err = ljs_store_count(out, m->inner);

    *out += m->before;
    return err;
}

/* The marker says that the store has `at`, and has no more than `bound`. */
static ljs_err mark(struct marked *m, uint64_t at, uint64_t bound)
{
    struct place p;
    struct stat st;
    ljs_err err = flock(m->fd, LOCK_EX) || fstat(m->fd, &st) ? LJS_E_STORE : read_file(&p, m->vault, m->fd);

    if (err == LJS_E_NOTFOUND)
        err = LJS_OK;
    if (!err && !st.st_nlink) /* somebody took it away: what is written to it nobody will read */
        err = LJS_E_STATE;
    if (!err && p.turn &&
        (memcmp(p.marker.name, m->standing.name, STORE_NAME_LEN) != 0 || p.marker.generation > m->standing.generation))
        err = LJS_E_STATE; /* somebody began another generation, or put another marker here */
    if (!err) {
        bool same = p.turn && p.marker.generation == m->standing.generation;

        memcpy(p.marker.name, m->standing.name, sizeof p.marker.name);
        p.marker.at = same && p.marker.at > at ? p.marker.at : at;
        p.marker.bound = same && p.marker.bound > bound ? p.marker.bound : bound;
        p.marker.generation = m->standing.generation;
        err = write_file(m->fd, &p, m->vault);
    }
    flock(m->fd, LOCK_UN);
    if (!err) {
        m->at = p.marker.at;
        m->bound = p.marker.bound;
        m->version = ljs_vault_version(m->vault);
        m->old = false;
    }
    return err;
}

/* Another master key is on its way, and the old one will be gone. */
static bool is_old(const struct marked *m)
{
    return m->old || m->version != ljs_vault_version(m->vault);
}

/* Before `len` changes are committed, the marker covers them. */
static ljs_err cover(struct marked *m, uint64_t len)
{
    uint64_t count = 0;
    ljs_err err;

    pthread_mutex_lock(&m->lock);
    err = count_now(&count, m);
    if (!err && (count + m->under_way + len > m->bound || count >= m->at + m->every || is_old(m)))
        err = mark(m, count, count + m->under_way + len + m->every);
    if (!err) {
        m->under_way += len;
        m->used = true;
    }
    pthread_mutex_unlock(&m->lock);
    return err ? LJS_E_STORE : LJS_OK;
}

static ljs_err commit(void *self, ljs_change *changes, size_t changes_len)
{
    struct marked *m = self;
    ljs_err err = cover(m, changes_len);

    if (err)
        return err;
    err = ljs_store_commit(m->inner, changes, changes_len);
    if (ljs__vault_alive(m->vault))
        return LJS_E_STATE;
    pthread_mutex_lock(&m->lock);
    m->under_way -= changes_len;
    pthread_mutex_unlock(&m->lock);
    return err;
}

static ljs_err get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    struct marked *m = self;

    return ljs_store_get(out, version, m->inner, key, key_len);
}

static ljs_err each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    struct marked *m = self;

    return ljs_store_each(m->inner, prefix, prefix_len, row, user);
}

static ljs_err count(uint64_t *out, void *self)
{
    struct marked *m = self;

    return ljs_store_count(out, m->inner);
}

/* ljs_store_copy() has made the file already, for us and not for the one inside. */
static ljs_err copy(void *self, const char *path)
{
    struct marked *m = self;

    return unlink(path) ? LJS_E_STORE : ljs_store_copy(m->inner, path);
}

static void close_marked(void *self)
{
    struct marked *m = self;
    uint64_t now;

    /* An ordinary end is marked to the change.  What cannot be is as after a crash. */
    if ((m->used || (m->begun && is_old(m))) && !count_now(&now, m))
        (void)!mark(m, now, now);
    if (m->fd >= 0)
        close(m->fd);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static const ljs_store_ops marked_ops = {
    .struct_size = sizeof(ljs_store_ops),
    .get = get,
    .commit = commit,
    .each = each,
    .close = close_marked,
    .count = count,
    .copy = copy,
};

static ljs_err set_marked(struct generation *g, const void *user)
{
    (void)user;
    g->marked = true;
    return LJS_OK;
}

/* The marker is there and agrees, before anything is committed. */
static ljs_err begin(struct marked *m, const char *path)
{
    struct generation g;
    struct place p;
    uint64_t now = 0;
    ljs_server *first;
    ljs_err err = ljs__vault_alive(m->vault);

    if (!err && !(err = ljs_server_new(&first, m->vault, m->inner, NULL))) /* a new store gets its name */
        ljs_server_free(first);
    if (!err)
        err = ljs_standing_read(&m->standing, m->vault, m->inner);
    if (!err)
        err = ljs__generation_read(&g, NULL, m->vault, m->inner);
    if (err)
        return err;
    m->before = g.before;
    if ((err = count_now(&now, m)))
        return err;
    err = open_file(&m->fd, path, O_RDWR);
    if ((err = look(&p, &m->standing, m->vault, m->inner, m->fd, err)))
        return err;
    if (p.marker.verdict > LJS_MARKER_NEW)
        return LJS_E_STATE;
    if (p.marker.verdict == LJS_MARKER_NEW) {
        p.marker = (ljs_marker){ .generation = m->standing.generation, .at = now, .bound = now + m->every };
        memcpy(p.marker.name, m->standing.name, sizeof p.marker.name);
        if (m->fd >= 0)
            close(m->fd); /* it is empty */
        if ((err = create_file(path, &p, m->vault)) || (err = open_file(&m->fd, path, O_RDWR)))
            return err;
    }
    flock(m->fd, LOCK_UN); /* mark() takes it */
    m->at = p.marker.at;
    m->bound = p.marker.bound;
    m->version = ljs_vault_version(m->vault);
    m->old = p.old;
    if ((p.old || p.marker.generation != m->standing.generation) && (err = mark(m, now, now + m->every)))
        return err;
    m->begun = true;
    return m->standing.marked ? LJS_OK : ljs__generation_change(m->vault, m->inner, set_marked, NULL);
}

ljs_err ljs_store_marked(ljs_store **out, ljs_store *store, ljs_vault *vault, const char *path, unsigned every)
{
    struct marked *m = calloc(1, sizeof *m);
    ljs_err err;

    *out = NULL;
    if (!m)
        return LJS_E_NOMEM;
    m->inner = store;
    m->vault = vault;
    m->fd = -1;
    m->every = every ? every : LJS_MARKER_EVERY;
    pthread_mutex_init(&m->lock, NULL);
    if ((err = begin(m, path))) {
        close_marked(m);
        return err;
    }
    err = ljs_store_custom(out, &marked_ops, m); /* takes m, even when it fails */
    if (!err)
        ljs__store_reads(*out, store);
    return err;
}
