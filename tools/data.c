/* data.c -- the data directory, and reading what the operator gives: files, keys, EUIs.
 *
 * A master key comes into being only together with a new database, and no database ever
 * stands without its key.  Under a lock on the directory, in this order:
 *   1. the key is written to master.key.new, and that is made durable;
 *   2. the database is made and becomes this key's;
 *   3. master.key.new becomes master.key.
 * A crash after 1 leaves a key that nothing hangs on, and the next start begins again;
 * a crash after 2 leaves both, and the next start does step 3.  So a master.key without
 * its database always means that the database was lost, and is an error. */
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

enum { MASTER_LEN = 32, MASTER_TEXT = 2 * MASTER_LEN + 1, LINE_MAX_KEYS = 256 };

const char *data_dir(const char *given)
{
    const char *dir = getenv("LORAJS_DATA");

    if (given)
        return given;
    return dir && *dir ? dir : "/var/lib/lorajs";
}

/* ---- hexadecimal ------------------------------------------------------------ */

/* No table, so that no cache line tells a digit of a key. */
static int digit(unsigned char c)
{
    unsigned number = c - '0', letter = (c | 32u) - 'a';

    return (int)((number < 10) * number + (letter < 6) * (letter + 10)) - (number >= 10 && letter >= 6);
}

ssize_t from_hex(uint8_t *out, size_t room, const char *text, size_t len)
{
    int bad = 0;

    if (len % 2 || len / 2 > room)
        return -1;
    for (size_t i = 0; i < len / 2; i++) {
        int high = digit((unsigned char)text[2 * i]), low = digit((unsigned char)text[2 * i + 1]);

        bad |= (high < 0) | (low < 0);
        out[i] = (uint8_t)((unsigned)(high & 15) << 4 | (unsigned)(low & 15));
    }
    if (bad)
        explicit_bzero(out, len / 2);
    return bad ? -1 : (ssize_t)(len / 2);
}

/* ---- the data directory ----------------------------------------------------- */

struct place {
    const char *dir;
    int fd; /* of the directory, locked */
};

static const char db_name[] = "lorajs.db", key_name[] = "master.key", new_name[] = "master.key.new";

static int make_parents(const char *dir)
{
    char path[4096];
    size_t n = strlen(dir);

    if (n == 0 || n >= sizeof path) {
        complain("the name of the data directory is %s", n ? "too long" : "empty");
        return USAGE;
    }
    memcpy(path, dir, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        path[i] = '\0';
        if (mkdir(path, 0700) && errno != EEXIST) {
            complain("cannot make the directory %s: %s", path, strerror(errno));
            return FAILED;
        }
        path[i] = dir[i];
    }
    return DONE;
}

static int open_place(struct place *out, const char *dir, enum data_mode mode)
{
    struct stat st;
    int code;

    *out = (struct place){ dir, -1 };
    if (mode == DATA_CREATE && (code = make_parents(dir)))
        return code;
    out->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (out->fd < 0 && errno == ENOENT) {
        complain("there is no data directory %s; name it with --data DIR or LORAJS_DATA, or begin one with "
                 "`lorajs device import` or `lorajs serve`",
                 dir);
        return FAILED;
    }
    if (out->fd < 0 || fstat(out->fd, &st)) {
        complain("data directory %s: %s", dir, strerror(errno));
        return FAILED;
    }
    if (st.st_mode & 002) {
        complain("data directory %s: everybody may write there; run `chmod 700 %s`", dir, dir);
        return FAILED;
    }
    if (flock(out->fd, LOCK_EX)) {
        complain("data directory %s cannot be locked: %s", dir, strerror(errno));
        return FAILED;
    }
    return DONE;
}

static void close_place(struct place *place)
{
    if (place->fd >= 0)
        close(place->fd); /* and the lock with it */
    place->fd = -1;
}

static bool has(const struct place *place, const char *name)
{
    return faccessat(place->fd, name, F_OK, 0) == 0 || errno != ENOENT;
}

/* A new master key, durable as master.key.new. */
static int write_new_key(const struct place *place)
{
    static const char digits[] = "0123456789abcdef";
    char text[MASTER_TEXT];
    ljs_buf bytes = { NULL, 0 };
    ljs_key *key = NULL;
    int fd = -1, code = FAILED;
    ljs_err err = ljs_key_generate(&key, MASTER_LEN);

    if (!err)
        err = ljs_key_export(&bytes, key);
    if (err) {
        complain_err(err, "a new master key");
        goto out;
    }
    for (size_t i = 0; i < bytes.len; i++) {
        text[2 * i] = digits[bytes.data[i] >> 4];
        text[2 * i + 1] = digits[bytes.data[i] & 15];
    }
    text[MASTER_TEXT - 1] = '\n';
    /* A file that is there was left by a crash before the database was made. */
    if ((unlinkat(place->fd, new_name, 0) && errno != ENOENT) ||
        (fd = openat(place->fd, new_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)) < 0 ||
        fchmod(fd, 0600) || write(fd, text, sizeof text) != sizeof text || fsync(fd) || fsync(place->fd)) {
        complain("%s/%s: %s", place->dir, new_name, strerror(errno));
        goto out;
    }
    code = DONE;
out:
    if (fd >= 0)
        close(fd);
    explicit_bzero(text, sizeof text);
    ljs_buf_free(&bytes);
    ljs_key_free(key);
    return code;
}

static int read_master(ljs_vault **out, const struct place *place, const char *name)
{
    char text[MASTER_TEXT + 1];
    uint8_t bytes[MASTER_LEN];
    struct stat st;
    int code = FAILED, fd = openat(place->fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not hang us */
    ssize_t n = -1;
    ljs_err err;

    *out = NULL;
    if (fd < 0 || fstat(fd, &st)) {
        complain("master key %s/%s: %s", place->dir, name, strerror(errno));
        goto out;
    }
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077)) {
        complain("master key %s/%s: %s", place->dir, name,
                 S_ISREG(st.st_mode) ? "others than its owner may use it; run `chmod 600` on it, and think of who may "
                                       "have read it"
                                     : "it is no plain file");
        goto out;
    }
    n = read(fd, text, sizeof text);
    if (n < 0) {
        complain("master key %s/%s: %s", place->dir, name, strerror(errno));
        goto out;
    }
    if (n != MASTER_TEXT || text[n - 1] != '\n' || from_hex(bytes, sizeof bytes, text, (size_t)n - 1) != MASTER_LEN) {
        complain("master key %s/%s: it is not 64 hexadecimal digits and a newline; put back the one that belongs to "
                 "the database",
                 place->dir, name);
        goto out;
    }
    err = ljs_vault_new(out, bytes, sizeof bytes);
    code = err ? complain_err(err, "master key") : DONE;
out:
    explicit_bzero(text, sizeof text);
    explicit_bzero(bytes, sizeof bytes);
    if (fd >= 0)
        close(fd);
    return code;
}

/* Which key file belongs to the database that is there, or to the one to be made.  Sets
 * *fresh when master.key.new has yet to become master.key. */
static int settle_key(bool *fresh, const struct place *place, enum data_mode mode)
{
    struct stat st;
    bool key = has(place, key_name), db = has(place, db_name);

    *fresh = false;
    if (key && db) {
        /* An emptied database would be taken for a new one, and old JoinNonces used again. */
        if (fstatat(place->fd, db_name, &st, 0) == 0 && st.st_size > 0)
            return DONE;
        complain("%s/%s is empty though there is a %s; put back a copy of the database", place->dir, db_name, key_name);
    } else if (key) {
        complain("%s has a %s but no %s: the database was lost or moved; put it back, or, to begin anew with new "
                 "device keys, move the key away too",
                 place->dir, key_name, db_name);
    } else if (db && has(place, new_name)) {
        *fresh = true;
        return DONE;
    } else if (db) {
        complain("%s has a %s but no %s: what is in it cannot be opened without its key; put the key back", place->dir,
                 db_name, key_name);
    } else if (mode == DATA_OPEN) {
        complain("%s holds no database yet; `lorajs device import` or `lorajs serve` begins one", place->dir);
    } else {
        *fresh = true;
        return write_new_key(place);
    }
    return FAILED;
}

int data_open(struct data *out, const char *dir, enum data_mode mode, const ljs_server_opts *opts)
{
    struct place place;
    char path[4200];
    bool fresh = false;
    ljs_err err;
    int code;

    *out = (struct data){ NULL, NULL, NULL };
    if ((code = open_place(&place, dir, mode)) || (code = settle_key(&fresh, &place, mode)) ||
        (code = read_master(&out->vault, &place, fresh ? new_name : key_name)))
        goto out;
    snprintf(path, sizeof path, "%s/%s", dir, db_name);
    if ((err = ljs_store_sqlite(&out->store, path)) ||
        (err = ljs_server_new(&out->server, out->vault, out->store, opts))) {
        complain_err(err, path);
        code = FAILED;
        goto out;
    }
    if (fresh && (renameat(place.fd, new_name, place.fd, key_name) || fsync(place.fd))) {
        complain("%s/%s: %s", dir, key_name, strerror(errno));
        code = FAILED;
    }
out:
    close_place(&place);
    if (code)
        data_close(out);
    return code;
}

void data_close(struct data *data)
{
    ljs_server_free(data->server);
    ljs_store_free(data->store);
    ljs_vault_free(data->vault);
    *data = (struct data){ NULL, NULL, NULL };
}

bool data_writable(const char *dir)
{
    static const char *const ends[] = { "/lorajs.db", "/lorajs.db-wal", "/lorajs.db-shm" };
    char path[4200];
    bool good = !access(dir, W_OK);

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        snprintf(path, sizeof path, "%s%s", dir, ends[i]);
        good = good && (!access(path, W_OK) || errno == ENOENT);
    }
    return good;
}

/* ---- what the operator gives ------------------------------------------------ */

/* One page more at a time, wiping what is left behind: it may be a key. */
static bool grow(ljs_buf *buf, size_t room)
{
    uint8_t *data = malloc(room);

    if (!data)
        return false;
    if (buf->len)
        memcpy(data, buf->data, buf->len);
    if (buf->data) {
        explicit_bzero(buf->data, buf->len);
        free(buf->data);
    }
    buf->data = data;
    return true;
}

int read_all(ljs_buf *out, const char *path, size_t most)
{
    bool standard = !strcmp(path, "-");
    const char *name = standard ? "standard input" : path;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC), code = FAILED;
    ljs_buf buf = { NULL, 0 };
    size_t room = 0;
    ssize_t n;

    *out = (ljs_buf){ NULL, 0 };
    if (fd < 0) {
        complain("%s: %s", name, strerror(errno));
        return FAILED;
    }
    do {
        if (buf.len == room && !grow(&buf, room = room ? 2 * room : 4096)) {
            complain("%s: out of memory", name);
            goto out;
        }
        n = read(fd, buf.data + buf.len, room - buf.len);
        if (n < 0 && errno != EINTR) {
            complain("%s: %s", name, strerror(errno));
            goto out;
        }
        buf.len += n > 0 ? (size_t)n : 0;
        if (buf.len > most) {
            complain("%s: more than %zu octets", name, most);
            code = REFUSED;
            goto out;
        }
    } while (n != 0);
    *out = buf;
    buf = (ljs_buf){ NULL, 0 };
    code = DONE;
out:
    ljs_buf_free(&buf);
    if (!standard)
        close(fd);
    return code;
}

/* One line from a terminal, without echo; whatever else is wanted comes from read_all(). */
static int read_hidden(ljs_buf *out, size_t most)
{
    struct termios was, quiet;
    uint8_t *line = calloc(1, most);
    ssize_t n = -1;

    *out = (ljs_buf){ NULL, 0 };
    if (line && !tcgetattr(STDIN_FILENO, &was)) {
        quiet = was;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet); /* drops what was typed before, so the prompt comes after */
        fputs("key in hexadecimal (not shown): ", stderr);
        n = read(STDIN_FILENO, line, most);
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
        fputc('\n', stderr);
    }
    if (n < 0) {
        complain("standard input: %s", strerror(errno));
        free(line);
        return FAILED;
    }
    *out = (ljs_buf){ line, (size_t)n };
    return DONE;
}

static ljs_err key_from_text(ljs_key **out, const char *text, size_t len)
{
    uint8_t bytes[32];
    ssize_t n = from_hex(bytes, sizeof bytes, text, len);
    ljs_err err = n < 0 ? LJS_E_INVAL : ljs_key_import(out, bytes, (size_t)n);

    explicit_bzero(bytes, sizeof bytes);
    return err;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int read_key(ljs_key **out, const char *path)
{
    bool standard = !strcmp(path, "-");
    ljs_buf text;
    size_t begin = 0, end;
    int code =
        standard && isatty(STDIN_FILENO) ? read_hidden(&text, LINE_MAX_KEYS) : read_all(&text, path, LINE_MAX_KEYS);

    *out = NULL;
    if (code)
        return code;
    for (end = text.len; end && is_space(text.data[end - 1]); end--)
        ;
    for (; begin < end && is_space(text.data[begin]); begin++)
        ;
    switch (key_from_text(out, (const char *)text.data + begin, end - begin)) {
    case LJS_OK:
        break;
    case LJS_E_INVAL:
        complain("%s: it is not one key of 32, 48 or 64 hexadecimal digits; `lorajs key generate` makes one",
                 standard ? "standard input" : path);
        code = REFUSED;
        break;
    default:
        complain("%s: the key could not be kept in guarded memory; raise the limit of locked memory (ulimit -l)",
                 standard ? "standard input" : path);
        code = FAILED;
    }
    ljs_buf_free(&text);
    return code;
}

/* "NAME HEX" without its newline. */
static const char *read_named_key(struct named_key *keys, size_t keys_len, const char *line, size_t len)
{
    size_t name = 0, at, end = len;

    while (name < len && !is_space((uint8_t)line[name]))
        name++;
    for (at = name; at < len && is_space((uint8_t)line[at]); at++)
        ;
    for (; end > at && is_space((uint8_t)line[end - 1]); end--)
        ;
    for (size_t i = 0; i < keys_len; i++) {
        if (strlen(keys[i].name) != name || strncasecmp(keys[i].name, line, name))
            continue;
        if (keys[i].key)
            return "this key is given twice";
        if (end - at != 32)
            return "a key has 32 hexadecimal digits";
        return key_from_text(&keys[i].key, line + at, end - at) ? "a key has 32 hexadecimal digits" : NULL;
    }
    return "it does not begin with the name of a key that is of use here";
}

int read_named_keys(struct named_key *keys, size_t keys_len, const char *path)
{
    ljs_buf text;
    unsigned number = 0;
    int code;

    if (!strcmp(path, "-") && isatty(STDIN_FILENO))
        fputs("lines NAME HEX, and then Ctrl-D:\n", stderr);
    code = read_all(&text, path, 16384);
    for (size_t i = 0; i < keys_len; i++)
        keys[i].key = NULL;
    for (size_t at = 0; !code && at < text.len;) {
        const char *line = (const char *)text.data + at, *fault = NULL;
        const char *newline = memchr(line, '\n', text.len - at);
        size_t len = newline ? (size_t)(newline - line) : text.len - at, skip = 0;

        at += len + 1;
        number++;
        while (skip < len && is_space((uint8_t)line[skip]))
            skip++;
        if (skip < len && line[skip] != '#')
            fault = read_named_key(keys, keys_len, line + skip, len - skip);
        if (fault) {
            fprintf(stderr, "lorajs: %s, line %u: %s; lines are NAME HEX, with one of the names",
                    strcmp(path, "-") ? path : "standard input", number, fault);
            for (size_t i = 0; i < keys_len; i++)
                fprintf(stderr, " %s", keys[i].name);
            fputc('\n', stderr);
            code = REFUSED;
        }
    }
    ljs_buf_free(&text);
    if (code)
        free_named_keys(keys, keys_len);
    return code;
}

void free_named_keys(struct named_key *keys, size_t keys_len)
{
    for (size_t i = 0; i < keys_len; i++) {
        ljs_key_free(keys[i].key);
        keys[i].key = NULL;
    }
}

int read_eui(ljs_eui *out, const char *text, const char *what)
{
    if (!ljs_eui_parse(out, text))
        return DONE;
    complain("%s is 16 hexadecimal digits, most significant first", what);
    return USAGE;
}
