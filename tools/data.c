/* data.c -- the data directory, and reading what the operator gives: files, keys, EUIs.
 *
 * A master key comes into being only together with a new database, and no database ever
 * stands without its key, or what stands for it (master.h).  Under a lock on the directory,
 * in this order:
 *   1. the key is written to master.key.new, and that is made durable;
 *   2. the database is made and becomes this key's;
 *   3. master.key.new becomes master.key.
 * A crash after 1 leaves a key that nothing hangs on, and the next start begins again;
 * a crash after 2 leaves both, and the next start does step 3.  So a master.key without
 * its database always means that the database was lost, and is an error. */
#include "marking.h"
#include "token.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

enum { LINE_MAX_KEYS = 256 };

const char *data_dir(const char *given)
{
    const char *dir = getenv("LORAJS_DATA");

    if (given)
        return given;
    return dir && *dir ? dir : "/var/lib/lorajs";
}

/* ---- the data directory ----------------------------------------------------- */

static const char db_name[] = "lorajs.db";

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

int place_open(struct place *out, const char *dir, enum data_mode mode)
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

void place_close(struct place *place)
{
    if (place->fd >= 0)
        close(place->fd); /* and the lock with it */
    place->fd = -1;
}

static bool has(const struct place *place, const char *name)
{
    return faccessat(place->fd, name, F_OK, 0) == 0 || errno != ENOENT;
}

/* Which keeper has a stand-in here, KEEPERS for none; whether two have one. */
static enum keeper find_keeper(bool *two, const struct place *place, bool db)
{
    enum keeper found = KEEPERS;

    *two = false;
    for (unsigned k = 0; k < KEEPERS; k++)
        if (has(place, stand_in[k].name)) {
            *two |= found != KEEPERS;
            found = (enum keeper)k;
        }
    for (unsigned k = 0; db && found == KEEPERS && k < KEEPERS; k++)
        if (has(place, stand_in[k].fresh))
            found = (enum keeper)k;
    return found;
}

static int choose_source(struct source *out, const struct place *place, const char *asked)
{
    static const char *const by_default[KEEPERS] = { "file", "passphrase", NULL };
    bool two;
    enum keeper found = find_keeper(&two, place, has(place, db_name));

    if (asked) {
        int code = source_read(out, asked);

        if (code != GO_ON || found == KEEPERS || out->kept == found || has(place, stand_in[out->kept].name) ||
            has(place, stand_in[out->kept].fresh))
            return code;
        complain("%s has a %s: its master key is not kept as --master-key says; `lorajs master move` changes that",
                 place->dir, stand_in[found].name);
        return FAILED;
    }
    if (two) {
        complain("%s has two files for one master key; say with --master-key which counts, and run `lorajs master "
                 "move` again, or remove the other",
                 place->dir);
        return FAILED;
    }
    if (found == KEPT_ELSEWHERE) {
        complain("%s has a %s: its master key is kept elsewhere; say where with --master-key", place->dir,
                 stand_in[found].name);
        return FAILED;
    }
    return source_read(out, by_default[found == KEEPERS ? KEPT_HERE : found]);
}

/* Which file stands for the key of the database that is there, or of the one to be made.  Sets
 * *fresh when it has yet to get its name, *begun when it is to be made, too. */
int place_settle(struct source *out, bool *fresh, bool *begun, const struct place *place, const char *asked,
                 enum data_mode mode)
{
    struct stat st;
    const struct stand_in *file;
    bool key, db;
    int code = choose_source(out, place, asked);

    *fresh = *begun = false;
    if (code != GO_ON)
        return code;
    file = &stand_in[out->kept];
    key = has(place, file->name);
    db = has(place, db_name);
    if (key && db) {
        /* An emptied database would be taken for a new one, and old JoinNonces used again. */
        if (fstatat(place->fd, db_name, &st, 0) == 0 && st.st_size > 0)
            return GO_ON;
        complain("%s/%s is empty though there is a %s; put back a copy of the database", place->dir, db_name,
                 file->name);
    } else if (key) {
        complain("%s has a %s but no %s: the database was lost or moved; put it back, or, to begin anew with new "
                 "device keys, move the key away too",
                 place->dir, file->name, db_name);
    } else if (db && has(place, file->fresh)) {
        *fresh = true;
        return GO_ON;
    } else if (db) {
        complain("%s has a %s but no %s: what is in it cannot be opened without its key; put the key back", place->dir,
                 db_name, file->name);
    } else if (mode == DATA_OPEN) {
        complain("%s holds no database yet; `lorajs device import` or `lorajs serve` begins one", place->dir);
    } else {
        *fresh = *begun = true;
        return GO_ON;
    }
    return FAILED;
}

/* "ana: device import" */
static void name_actor(char out[LJS_LABEL_MAX])
{
    char room[1024];
    struct passwd entry, *found = NULL;

    if (!getpwuid_r(geteuid(), &entry, room, sizeof room, &found) && found)
        snprintf(out, LJS_LABEL_MAX, "%.60s: %.60s", found->pw_name, command_path());
    else
        snprintf(out, LJS_LABEL_MAX, "uid %ld: %.60s", (long)geteuid(), command_path());
}

ljs_err data_serve(struct data *data, const ljs_server_opts *opts)
{
    const ljs_server_opts as_usual = { .struct_size = sizeof as_usual, .audit = LJS_AUDIT_UNLESS_OFF };
    char actor[LJS_LABEL_MAX];
    ljs_err err = ljs_server_new(&data->server, data->vault, data->store, opts ? opts : &as_usual);

    name_actor(actor);
    return err ? err : ljs_server_set_actor(data->server, now_seconds(), actor);
}

static int vault_of(ljs_vault **out, const struct place *place, const struct source *source, const char *name)
{
    const struct stretch as_usual = { 0, 0 };
    ljs_key *key = NULL;
    ljs_err err;
    int code;

    if (source->from == FROM_TOKEN)
        return name ? token_take(out, place, source, name) : token_begin(out, place, source);
    code = name ? master_take(&key, place, source, name) : master_begin(&key, place, source, &as_usual, NULL);
    if (!code && (err = ljs_vault_from_key(out, key)))
        code = complain_err(err, "master key");
    ljs_key_free(key);
    return code;
}

int place_vault(ljs_vault **out, struct source *source, bool *fresh, const struct place *place, const char *asked)
{
    const struct stand_in *file;
    int code = choose_source(source, place, asked);

    *out = NULL;
    *fresh = false;
    if (code != GO_ON)
        return code;
    file = &stand_in[source->kept];
    if (has(place, file->name))
        return vault_of(out, place, source, file->name);
    *fresh = true;
    if (has(place, db_name) && has(place, file->fresh))
        return vault_of(out, place, source, file->fresh);
    if (source->kept == KEPT_ELSEWHERE)
        return vault_of(out, place, source, NULL);
    complain("%s has no %s: put back the copy of it first, or say with --master-key where the key is kept", place->dir,
             file->name);
    return REFUSED;
}

/* The database under this key, and with its marker where there is to be one. */
static int use(struct data *out, const struct place *place, const struct source *source, const ljs_key *key,
               const ljs_server_opts *opts, struct marking *marking)
{
    char path[4200];
    int code = DONE;
    ljs_err err = key ? ljs_vault_from_key(&out->vault, key) : LJS_OK;

    snprintf(path, sizeof path, "%s/%s", place->dir, db_name);
    if (!err)
        err = ljs_store_sqlite(&out->store, path);
    if (!err && marking && (code = marking_use(out, marking)))
        return code;
    if (!err)
        err = data_serve(out, opts);
    if (err == LJS_E_SEAL && source->kept != KEPT_HERE) {
        /* The stand-in has shown that the key is the right one. */
        complain("%s: the master key is that of this data directory, and yet the database is not sealed by it: it is "
                 "damaged, or another one (%s); put back a copy of the database",
                 path, ljs_errname(err));
        return FAILED;
    }
    if (err)
        complain_err(err, path);
    return err ? FAILED : DONE;
}

int place_use(struct data *out, const struct place *place, const struct source *source, const ljs_key *key,
              const ljs_server_opts *opts)
{
    return use(out, place, source, key, opts, NULL);
}

int place_name(const struct place *place, const struct stand_in *file)
{
    if (!renameat(place->fd, file->fresh, place->fd, file->name) && !fsync(place->fd))
        return DONE;
    complain("%s/%s: %s", place->dir, file->name, strerror(errno));
    return FAILED;
}

int data_open(struct data *out, const struct where *where, enum data_mode mode, const ljs_server_opts *opts)
{
    const struct stretch as_usual = { 0, 0 };
    struct place place;
    struct source source;
    ljs_key *key = NULL;
    bool fresh = false, begun = false;
    const char *name;
    int code;

    *out = (struct data){ NULL, NULL, NULL };
    if ((code = place_open(&place, data_dir(where->data), mode)))
        goto out;
    if ((code = place_settle(&source, &fresh, &begun, &place, where->master_key, mode)) != GO_ON)
        goto out;
    name = fresh ? stand_in[source.kept].fresh : stand_in[source.kept].name;
    if (source.from == FROM_TOKEN)
        code = begun ? token_begin(&out->vault, &place, &source) : token_take(&out->vault, &place, &source, name);
    else
        code = begun ? master_begin(&key, &place, &source, &as_usual, NULL) : master_take(&key, &place, &source, name);
    if (!code)
        code = use(out, &place, &source, key, opts, where->marking);
    if (!code && fresh)
        code = place_name(&place, &stand_in[source.kept]);
out:
    ljs_key_free(key);
    place_close(&place);
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

int read_fd(ljs_buf *out, int fd, const char *name, size_t most)
{
    ljs_buf buf = { NULL, 0 };
    size_t room = 0;
    ssize_t n;
    int code = FAILED;

    *out = (ljs_buf){ NULL, 0 };
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
    return code;
}

int read_all(ljs_buf *out, const char *path, size_t most)
{
    bool standard = !strcmp(path, "-");
    const char *name = standard ? "standard input" : path;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC), code;

    *out = (ljs_buf){ NULL, 0 };
    if (fd < 0) {
        complain("%s: %s", name, strerror(errno));
        return FAILED;
    }
    code = read_fd(out, fd, name, most);
    if (!standard)
        close(fd);
    return code;
}

int read_hidden(ljs_buf *out, int fd, const char *prompt, size_t most)
{
    struct termios was, quiet;
    sigset_t all, before;
    uint8_t *line = calloc(1, most);
    ssize_t n = -1;

    *out = (ljs_buf){ NULL, 0 };
    if (line && !tcgetattr(fd, &was)) {
        quiet = was;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        /* A signal ends us after the line: before, it would leave a terminal that shows nothing. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        tcsetattr(fd, TCSAFLUSH, &quiet); /* drops what was typed before, so the prompt comes after */
        fputs(prompt, stderr);
        n = read(fd, line, most);
        tcsetattr(fd, TCSAFLUSH, &was);
        fputc('\n', stderr);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (n < 0) {
        complain("%s: %s", fd == STDIN_FILENO ? "standard input" : "terminal", strerror(errno));
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
    int code = standard && isatty(STDIN_FILENO)
                   ? read_hidden(&text, STDIN_FILENO, "key in hexadecimal (not shown): ", LINE_MAX_KEYS)
                   : read_all(&text, path, LINE_MAX_KEYS);

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
