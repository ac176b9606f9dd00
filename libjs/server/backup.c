/* Backups: a copy of the database with an end behind it by which every octet is known. */
#include "server/past.h"

#include "base/pack.h"
#include "store/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { END_SCHEMA = 1, END_FIELDS = 9, CHUNK = 1 << 16 };

static const uint8_t end_word[END_WORD_LEN] = { 'L', 'J', 'S', 'B', 'A', 'C', 'K', '1' };

/* ---- the end ---------------------------------------------------------------- */

ljs_err ljs__end_read(struct end *out, size_t *end_len, const ljs_vault *vault, const uint8_t *in, size_t in_len)
{
    struct rd foot = { in + in_len - (in_len < END_FOOT_LEN ? in_len : END_FOOT_LEN), END_FOOT_LEN, false };
    struct unpack u = { .rd = { NULL, 0, false } };
    struct end e = { .digest = { 0 } };
    const uint8_t *word;
    size_t len;
    unsigned fields;
    ljs_err err;

    memset(out, 0, sizeof *out);
    *end_len = 0;
    if (in_len < END_FOOT_LEN)
        return LJS_E_SEAL;
    len = (size_t)rd_le(&foot, 2);
    word = rd_bytes(&foot, END_WORD_LEN);
    if (!word || memcmp(word, end_word, END_WORD_LEN) != 0 || len < 16 || len > in_len - END_FOOT_LEN)
        return LJS_E_SEAL;
    in += in_len - END_FOOT_LEN - len;
    if ((err = ljs__vault_check(vault, TAG_BACKUP, in, len)))
        return err;
    u.rd = (struct rd){ in, len - 16, false };
    fields = ljs__unpack_array(&u);
    if (ljs__unpack_uint(&u, 0xffff) > END_SCHEMA && !u.rd.bad)
        return LJS_E_VERSION;
    ljs__unpack_fixed(&u, e.backup.standing.name, sizeof e.backup.standing.name);
    e.backup.standing.generation = (uint32_t)ljs__unpack_uint(&u, UINT32_MAX);
    e.backup.standing.count = ljs__unpack_uint(&u, INT64_MAX);
    e.backup.standing.marked = (uint8_t)ljs__unpack_uint(&u, 1);
    e.backup.at = ljs__unpack_int(&u, INT64_MIN, INT64_MAX);
    e.backup.devices = ljs__unpack_uint(&u, UINT64_MAX);
    e.backup.size = ljs__unpack_uint(&u, INT64_MAX);
    ljs__unpack_fixed(&u, e.digest, sizeof e.digest);
    if (fields != END_FIELDS || !rd_done(&u.rd))
        return LJS_E_SEAL;
    *end_len = len + END_FOOT_LEN;
    *out = e;
    return LJS_OK;
}

ljs_err ljs__end_write(ljs_buf *out, const struct end *end, const ljs_vault *vault)
{
    const ljs_backup *b = &end->backup;
    struct wr w = { 0 };
    size_t len;
    ljs_err err;

    *out = (ljs_buf){ NULL, 0 };
    ljs__pack_array(&w, END_FIELDS);
    ljs__pack_uint(&w, END_SCHEMA);
    ljs__pack_bin(&w, b->standing.name, sizeof b->standing.name);
    ljs__pack_uint(&w, b->standing.generation);
    ljs__pack_uint(&w, b->standing.count);
    ljs__pack_uint(&w, b->standing.marked);
    ljs__pack_int(&w, b->at);
    ljs__pack_uint(&w, b->devices);
    ljs__pack_uint(&w, b->size);
    ljs__pack_bin(&w, end->digest, sizeof end->digest);
    if ((err = ljs__vault_tag(&w, vault, TAG_BACKUP))) {
        ljs__wr_drop(&w);
        return err;
    }
    len = w.len;
    ljs__wr_le(&w, len, 2);
    ljs__wr(&w, end_word, sizeof end_word);
    return ljs__wr_take(out, &w);
}

/* ---- files ------------------------------------------------------------------ */

static bool write_whole(int fd, const uint8_t *in, size_t in_len)
{
    for (ssize_t n; in_len; in += n, in_len -= (size_t)n) {
        n = write(fd, in, in_len);
        if (n < 0 && errno != EINTR)
            return false;
        n = n < 0 ? 0 : n;
    }
    return true;
}

static bool read_whole(uint8_t *out, int fd, size_t len, off_t at)
{
    for (ssize_t n; len; out += n, at += n, len -= (size_t)n) {
        n = pread(fd, out, len, at);
        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        n = n < 0 ? 0 : n;
    }
    return true;
}

/* The first `size` octets of a file, and into `to` as well unless that is -1. */
static ljs_err digest_of(uint8_t out[LJS__DIGEST_LEN], int fd, uint64_t size, int to)
{
    struct digesting *d = ljs__digest_new();
    uint8_t *chunk = malloc(CHUNK);
    ljs_err err = d && chunk ? LJS_OK : LJS_E_NOMEM;

    for (uint64_t at = 0, n; !err && at < size; at += n) {
        n = size - at < CHUNK ? size - at : CHUNK;
        if (!read_whole(chunk, fd, (size_t)n, (off_t)at) || (to >= 0 && !write_whole(to, chunk, (size_t)n)))
            err = LJS_E_STORE;
        else
            ljs__digest_add(d, chunk, (size_t)n);
    }
    if (d)
        ljs__digest_end(out, d);
    free(chunk);
    return err;
}

static ljs_err name_with(char **out, const char *path, const char *end)
{
    *out = malloc(strlen(path) + strlen(end) + 1);
    if (!*out)
        return LJS_E_NOMEM;
    sprintf(*out, "%s%s", path, end);
    return LJS_OK;
}

/* ---- making ----------------------------------------------------------------- */

struct visit {
    ljs_server *server;
    uint64_t devices;
};

static ljs_err one_device(void *user, ljs_eui dev_eui)
{
    struct visit *v = user;
    ljs_buf record;
    ljs_event event;
    ljs_err err = ljs_server_get_device(&record, v->server, dev_eui);

    ljs_buf_free(&record);
    if (!err)
        err = ljs_server_decision(&event, v->server, dev_eui, 0);
    if (err && err != LJS_E_NOTFOUND)
        return err;
    v->devices++;
    return LJS_OK;
}

static ljs_err one_kek(void *user, const char *label, size_t kek_len)
{
    (void)user, (void)label, (void)kek_len;
    return LJS_OK;
}

/* The copy as a store: each value that a step believes carries its tag. */
static ljs_err inspect(ljs_backup *out, ljs_vault *vault, const char *path)
{
    struct visit v = { .devices = 0 };
    ljs_store *store = NULL;
    ljs_err err = ljs_store_sqlite(&store, path);

    if (!err)
        err = ljs_standing_read(&out->standing, vault, store);
    if (!err)
        err = ljs_server_new(&v.server, vault, store, NULL);
    if (!err)
        err = ljs_server_each_device(v.server, one_device, &v);
    if (!err)
        err = ljs_server_each_kek(v.server, one_kek, NULL);
    ljs_server_free(v.server);
    ljs_store_free(store);
    out->devices = v.devices;
    return err ? err : ljs_store_sqlite_fold(path);
}

/* The end behind the database, and all of it on the disk. */
static ljs_err finish(struct end *end, ljs_vault *vault, const char *path)
{
    struct stat st;
    ljs_buf octets = { NULL, 0 };
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    ljs_err err = fd < 0 || fstat(fd, &st) ? LJS_E_STORE : LJS_OK;

    if (!err) {
        end->backup.size = (uint64_t)st.st_size;
        err = digest_of(end->digest, fd, end->backup.size, -1);
    }
    if (!err)
        err = ljs__end_write(&octets, end, vault);
    if (!err && (lseek(fd, 0, SEEK_END) != st.st_size || !write_whole(fd, octets.data, octets.len) || fsync(fd)))
        err = LJS_E_STORE;
    ljs_buf_free(&octets);
    if (fd >= 0)
        close(fd);
    return err;
}

/* Who makes a backup under this name holds its lock: what else stands there was left by a crash. */
static ljs_err take_part(int *lock, const char *part)
{
    *lock = open(part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*lock < 0)
        return LJS_E_STORE;
    return flock(*lock, LOCK_EX | LOCK_NB) ? errno == EWOULDBLOCK ? LJS_E_EXISTS : LJS_E_STORE : LJS_OK;
}

static void drop(const char *path)
{
    static const char *const ends[] = { "", "-wal", "-shm", "-journal" };

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char *name;

        if (!name_with(&name, path, ends[i]))
            unlink(name);
        free(name);
    }
}

ljs_err ljs_backup_make(ljs_backup *out, ljs_vault *vault, ljs_store *store, const char *path, int64_t now)
{
    struct end end = { .backup.at = now };
    char *part = NULL, *copy = NULL;
    int lock = -1;
    ljs_err err = ljs__vault_alive(vault);

    memset(out, 0, sizeof *out);
    if (!err && (!faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) || errno != ENOENT))
        err = LJS_E_EXISTS;
    if (err || (err = name_with(&part, path, ".part")) || (err = name_with(&copy, path, ".copy")) ||
        (err = take_part(&lock, part)))
        goto out;
    drop(copy);
    if ((err = ljs_store_copy(store, copy)) || (err = inspect(&end.backup, vault, copy)) ||
        (err = finish(&end, vault, copy)))
        goto drop;
    if (link(copy, path))
        err = errno == EEXIST ? LJS_E_EXISTS : LJS_E_STORE;
    else
        err = ljs__sync_name(path);
    if (!err)
        err = ljs_backup_check(out, vault, path);
drop:
    drop(copy);
    unlink(part);
out:
    if (lock >= 0)
        close(lock);
    free(part);
    free(copy);
    return err;
}

/* ---- reading ---------------------------------------------------------------- */

static ljs_err open_backup(struct end *out, int *fd, ljs_vault *vault, const char *path)
{
    uint8_t tail[END_MAX];
    struct stat st;
    size_t len, end_len;
    ljs_err err = ljs__vault_alive(vault);

    *fd = -1;
    if (err)
        return err;
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return errno == ENOENT ? LJS_E_NOTFOUND : LJS_E_STORE;
    if (fstat(*fd, &st) || !S_ISREG(st.st_mode))
        return LJS_E_STORE;
    len = st.st_size < END_MAX ? (size_t)st.st_size : END_MAX;
    if (!read_whole(tail, *fd, len, st.st_size - (off_t)len))
        return LJS_E_STORE;
    err = ljs__end_read(out, &end_len, vault, tail, len);
    if (!err && out->backup.size + end_len != (uint64_t)st.st_size)
        err = LJS_E_SEAL;
    return err;
}

/* All of it, and into `to` as well unless that is -1. */
static ljs_err read_backup(ljs_backup *out, ljs_vault *vault, const char *path, int to)
{
    uint8_t digest[LJS__DIGEST_LEN];
    struct end end;
    int fd;
    ljs_err err = open_backup(&end, &fd, vault, path);

    memset(out, 0, sizeof *out);
    if (!err)
        err = digest_of(digest, fd, end.backup.size, to);
    if (!err && !ljs__equal(digest, end.digest, sizeof digest))
        err = LJS_E_SEAL;
    if (fd >= 0)
        close(fd);
    if (!err)
        *out = end.backup;
    return err;
}

ljs_err ljs_backup_check(ljs_backup *out, ljs_vault *vault, const char *path)
{
    return read_backup(out, vault, path, -1);
}

/* ---- restoring -------------------------------------------------------------- */

static void raise_to(uint64_t *most, uint64_t to)
{
    if (to > *most)
        *most = to;
}

ljs_err ljs_backup_plan(ljs_standing *out, const ljs_backup *backup, const ljs_marker *marker,
                        const ljs_standing *known, uint32_t guard, int64_t now)
{
    const ljs_standing *from = &backup->standing;
    uint64_t generation = from->generation, count = from->count, by = guard ? guard : LJS_GUARD;
    bool evidence = false;

    memset(out, 0, sizeof *out);
    if (marker && memcmp(marker->name, from->name, sizeof from->name) == 0) {
        raise_to(&generation, marker->generation);
        raise_to(&generation, marker->reserved);
        raise_to(&count, marker->bound);
        evidence = marker->bound > 0;
    }
    if (known && memcmp(known->name, from->name, sizeof from->name) == 0) {
        raise_to(&generation, known->generation);
        raise_to(&count, known->count);
        evidence = true;
    }
    /* Each join is a change, so no device can have been given more JoinNonces than there were changes. */
    if (evidence && count > from->count)
        raise_to(&by, count - from->count + LJS_GUARD_MARGIN);
    if (!evidence && now > backup->at)
        by += (uint64_t)(now - backup->at) / LJS_GUARD_SECONDS;
    if (by > UINT32_MAX || generation + by > UINT32_MAX)
        return LJS_E_SPENT;
    memcpy(out->name, from->name, sizeof out->name);
    out->generation = (uint32_t)(generation + by);
    out->count = count;
    out->marked = marker != NULL;
    return LJS_OK;
}

static ljs_err settle(ljs_vault *vault, const char *path, const ljs_standing *standing)
{
    ljs_store *store = NULL;
    ljs_err err = ljs_store_sqlite(&store, path);

    if (!err)
        err = ljs_standing_raise(vault, store, standing->generation, standing->count, standing->marked);
    ljs_store_free(store);
    return err ? err : ljs_store_sqlite_fold(path);
}

ljs_err ljs_backup_extract(ljs_backup *out, ljs_vault *vault, const char *path, const char *to,
                           const ljs_standing *standing)
{
    ljs_err err = ljs__vault_alive(vault);
    int fd;

    memset(out, 0, sizeof *out);
    if (err)
        return err;
    if ((fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0)
        return errno == EEXIST ? LJS_E_EXISTS : LJS_E_STORE;
    err = read_backup(out, vault, path, fd);
    if (!err && fsync(fd))
        err = LJS_E_STORE;
    if (close(fd) && !err)
        err = LJS_E_STORE;
    if (!err)
        err = settle(vault, to, standing);
    if (!err)
        err = ljs__sync_name(to);
    if (err) {
        drop(to);
        memset(out, 0, sizeof *out);
    }
    return err;
}
