/* master.c -- who keeps the master key: the directory, a passphrase, or somebody else. */
#include "master.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MASTER_TEXT = 2 * LJS_MASTER_LEN + 1, MARK_LEN = 16, STAND_IN_MAX = 1024 };

const struct stand_in stand_in[KEEPERS] = {
    [KEPT_HERE] = { "master.key", "master.key.new", "master.key.next" },
    [KEPT_SEALED] = { "master.sealed", "master.sealed.new", "master.sealed.next" },
    [KEPT_ELSEWHERE] = { "master.mark", "master.mark.new", "master.mark.next" },
};

/* ---- what --master-key says -------------------------------------------------- */

static const struct {
    const char *text; /* a name follows where it ends in a colon */
    enum keeper kept;
    unsigned from;
} sources[] = {
    { "file", KEPT_HERE, FROM_HERE },
    { "file:", KEPT_ELSEWHERE, FROM_FILE },
    { "credential:", KEPT_ELSEWHERE, FROM_CREDENTIAL },
    { "fd:", KEPT_ELSEWHERE, FROM_FD },
    { "passphrase", KEPT_SEALED, FROM_TERMINAL },
    { "passphrase:file:", KEPT_SEALED, FROM_FILE },
    { "passphrase:credential:", KEPT_SEALED, FROM_CREDENTIAL },
    { "passphrase:fd:", KEPT_SEALED, FROM_FD },
    { "pkcs11:", KEPT_ELSEWHERE, FROM_TOKEN },
};

static bool read_fd_number(int *out, const char *text)
{
    char *end;
    long number = strtol(text, &end, 10);

    *out = (int)number;
    return *text >= '0' && *text <= '9' && !*end && number <= 65535;
}

int source_read(struct source *out, const char *text)
{
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        size_t n = strlen(sources[i].text);
        bool named = sources[i].text[n - 1] == ':';

        if (strncmp(text, sources[i].text, n) != 0 || !text[n] == named)
            continue;
        *out = (struct source){ .kept = sources[i].kept, .from = sources[i].from, .name = text + n, .fd = -1 };
        if (out->from == FROM_FD && !read_fd_number(&out->fd, text + n))
            break;
        if (out->from == FROM_TOKEN)
            out->name = text;
        if (out->from == FROM_CREDENTIAL && (strchr(text + n, '/') || text[n] == '.'))
            break;
        return GO_ON;
    }
    /* Not repeated: somebody may have written the key or the passphrase itself. */
    complain("--master-key takes file, file:PATH, credential:NAME, fd:N, passphrase, passphrase:file:PATH, "
             "passphrase:credential:NAME, passphrase:fd:N or pkcs11:URI");
    return USAGE;
}

/* ---- secrets that come from somewhere ---------------------------------------- */

int open_secret(int *out, int dir_fd, const char *name, const char *what)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not hang us */
    struct stat st;

    *out = -1;
    if (fd < 0 || fstat(fd, &st)) {
        complain("%s: %s", what, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        complain("%s: it is no plain file", what);
    } else if (st.st_mode & 077) {
        complain("%s: others than its owner may use it; run `chmod 600` on it, and think of who may have read it",
                 what);
    } else {
        *out = fd;
        return DONE;
    }
    if (fd >= 0)
        close(fd);
    return FAILED;
}

/* systemd has seen to who may read it, by means that a mode does not show. */
static int open_credential(int *out, const char *name)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    char path[4200];

    *out = -1;
    if (!dir || !*dir) {
        complain("credential %s: there is no $CREDENTIALS_DIRECTORY; this is for services of systemd with "
                 "LoadCredential= or LoadCredentialEncrypted=",
                 name);
        return FAILED;
    }
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if ((*out = open(path, O_RDONLY | O_CLOEXEC)) < 0) {
        complain("credential %s: %s", path, strerror(errno));
        return FAILED;
    }
    return DONE;
}

int source_secret(ljs_buf *out, const struct source *source, const char *what, size_t most)
{
    char name[4300];
    int fd = source->fd, code = DONE;

    *out = (ljs_buf){ NULL, 0 };
    snprintf(name, sizeof name, "%s %s", what, source->name);
    if (source->from == FROM_FILE)
        code = open_secret(&fd, AT_FDCWD, source->name, name);
    else if (source->from == FROM_CREDENTIAL)
        code = open_credential(&fd, source->name);
    if (!code)
        code = read_fd(out, fd, name, most);
    if (fd >= 0)
        close(fd);
    if (out->len && out->data[out->len - 1] == '\n')
        out->len--;
    if (out->len && out->data[out->len - 1] == '\r')
        out->len--;
    return code;
}

int source_ask(ljs_buf *out, const char *prompt)
{
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY), code;

    *out = (ljs_buf){ NULL, 0 };
    if (fd < 0) {
        complain("it cannot be asked for, there is no terminal: %s say --master-key passphrase:file:PATH, "
                 "passphrase:credential:NAME or passphrase:fd:N, or pin-source=file:PATH in the URI of a token",
                 prompt);
        return FAILED;
    }
    code = read_hidden(out, fd, prompt, LJS_PASSPHRASE_MAX + 2);
    close(fd);
    if (out->len && out->data[out->len - 1] == '\n')
        out->len--;
    return code;
}

static bool same(const ljs_buf *a, const ljs_buf *b)
{
    uint8_t differ = a->len != b->len;

    for (size_t i = 0; i < a->len && i < b->len; i++)
        differ |= a->data[i] ^ b->data[i];
    return !differ;
}

/* A new passphrase is asked for twice: nobody sees what was typed. */
static int read_passphrase(ljs_buf *out, const struct source *source, bool new)
{
    ljs_buf again = { NULL, 0 };
    int code;

    if (source->from != FROM_TERMINAL)
        return source_secret(out, source, "passphrase", LJS_PASSPHRASE_MAX + 2);
    code = source_ask(out, new ? "new passphrase of the master key: " : "passphrase of the master key: ");
    if (!code && new) {
        code = source_ask(&again, "the same again: ");
        if (!code && !same(out, &again)) {
            complain("these were two different passphrases");
            code = REFUSED;
        }
        ljs_buf_free(&again);
    }
    return code;
}

static int key_of_text(ljs_key **out, const ljs_buf *text, const char *what)
{
    uint8_t octets[LJS_MASTER_LEN];
    ljs_err err;

    if (from_hex(octets, sizeof octets, (const char *)text->data, text->len) != LJS_MASTER_LEN) {
        explicit_bzero(octets, sizeof octets); /* a key cut short is most of a key */
        complain("%s: it is not 64 hexadecimal digits and a newline; put back the one that belongs to the database",
                 what);
        return FAILED;
    }
    err = ljs_key_import(out, octets, sizeof octets);
    explicit_bzero(octets, sizeof octets);
    return err ? complain_err(err, what) : DONE;
}

static int key_from_elsewhere(ljs_key **out, const struct source *source)
{
    ljs_buf text = { NULL, 0 };
    char what[4300];
    int code;

    if (source->from == FROM_TOKEN) {
        complain(
            "keys in a token do not come from it or go to it in this way: devices go from one vault to another in a "
            "parcel (lorajs device export, device receive)");
        return REFUSED;
    }
    code = source_secret(&text, source, "master key", MASTER_TEXT + 1);

    snprintf(what, sizeof what, "master key %s", source->name);
    if (!code)
        code = key_of_text(out, &text, what);
    ljs_buf_free(&text);
    return code;
}

/* ---- stand-ins ---------------------------------------------------------------- */

/* Octets as hexadecimal and a newline, durable; a file that is there was left by a crash. */
static int write_text(const struct place *place, const char *name, const uint8_t *in, size_t in_len)
{
    static const char digits[] = "0123456789abcdef";
    char text[2 * STAND_IN_MAX + 1];
    size_t n = 0;
    int fd = -1, code = DONE;

    for (size_t i = 0; i < in_len && i < STAND_IN_MAX; i++) {
        text[n++] = digits[in[i] >> 4];
        text[n++] = digits[in[i] & 15];
    }
    text[n++] = '\n';
    if ((unlinkat(place->fd, name, 0) && errno != ENOENT) ||
        (fd = openat(place->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)) < 0 ||
        fchmod(fd, 0600) || write(fd, text, n) != (ssize_t)n || fsync(fd) || fsync(place->fd)) {
        complain("%s/%s: %s", place->dir, name, strerror(errno));
        code = FAILED;
    }
    if (fd >= 0)
        close(fd);
    explicit_bzero(text, sizeof text);
    return code;
}

static int write_key(const struct place *place, const ljs_key *key)
{
    ljs_buf octets;
    ljs_err err = ljs_key_export(&octets, key);
    int code =
        err ? complain_err(err, "master key") : write_text(place, stand_in[KEPT_HERE].fresh, octets.data, octets.len);

    ljs_buf_free(&octets);
    return code;
}

/* Opened once more before it counts: a key under words that do not open it would be lost. */
static int write_sealed(const struct place *place, const struct source *source, const struct stretch *stretch,
                        const ljs_key *key)
{
    ljs_buf words = { NULL, 0 }, sealed = { NULL, 0 };
    ljs_key *again = NULL;
    int code = read_passphrase(&words, source, true);
    ljs_err err = LJS_OK;

    if (!code)
        err = ljs_master_seal(&sealed, key, (uint32_t)stretch->memory * 1024, (uint32_t)stretch->passes, words.data,
                              words.len);
    if (!code && !err)
        err = ljs_master_open(&again, words.data, words.len, sealed.data, sealed.len);
    if (err == LJS_E_WEAK || (err == LJS_E_INVAL && words.len > LJS_PASSPHRASE_MAX)) {
        complain("a passphrase has %d to %d octets; six words drawn by lot make a good one", LJS_PASSPHRASE_MIN,
                 LJS_PASSPHRASE_MAX);
        code = REFUSED;
    } else if (err) {
        code = complain_err(err, "passphrase");
    }
    if (!code)
        code = master_check_same(again, key, source);
    if (!code)
        code = write_text(place, stand_in[KEPT_SEALED].fresh, sealed.data, sealed.len);
    ljs_key_free(again);
    ljs_buf_free(&words);
    ljs_buf_free(&sealed);
    return code;
}

int master_write_mark(const struct place *place, ljs_vault *vault)
{
    uint8_t mark[MARK_LEN];
    ljs_err err = ljs_vault_mark(mark, vault);

    return err ? complain_err(err, "master key") : write_text(place, stand_in[KEPT_ELSEWHERE].fresh, mark, sizeof mark);
}

static int write_mark(const struct place *place, const ljs_key *key)
{
    ljs_vault *vault;
    ljs_err err = ljs_vault_from_key(&vault, key);
    int code = err ? complain_err(err, "master key") : master_write_mark(place, vault);

    ljs_vault_free(vault);
    return code;
}

/* Is it the key that elsewhere there should be? */
int master_check_same(const ljs_key *there, const ljs_key *key, const struct source *source)
{
    uint8_t mark[MARK_LEN];
    ljs_vault *a = NULL, *b = NULL;
    ljs_err err = ljs_vault_from_key(&a, there);
    int code = DONE;

    if (!err)
        err = ljs_vault_from_key(&b, key);
    if (!err)
        err = ljs_vault_mark(mark, a);
    if (!err)
        err = ljs_vault_is(b, mark, sizeof mark);
    if (err == LJS_E_SEAL) {
        complain("master key %s: it is another one than that of the database; put a copy of the right one there first",
                 source->name);
        code = REFUSED;
    } else if (err) {
        code = complain_err(err, "master key");
    }
    ljs_vault_free(a);
    ljs_vault_free(b);
    return code;
}

static int copy_key(ljs_key **out, const ljs_key *key)
{
    ljs_buf octets = { NULL, 0 };
    ljs_err err = key ? ljs_key_export(&octets, key) : LJS_OK;

    if (!err)
        err = key ? ljs_key_import(out, octets.data, octets.len) : ljs_key_generate(out, LJS_MASTER_LEN);
    ljs_buf_free(&octets);
    return err ? complain_err(err, "master key") : DONE;
}

int master_begin(ljs_key **out, const struct place *place, const struct source *source, const struct stretch *stretch,
                 const ljs_key *key)
{
    int code;

    *out = NULL;
    if (source->kept == KEPT_ELSEWHERE) {
        code = key_from_elsewhere(out, source);
        if (!code && key)
            code = master_check_same(*out, key, source);
        if (!code)
            code = write_mark(place, *out);
    } else {
        code = copy_key(out, key);
        if (!code)
            code = source->kept == KEPT_HERE ? write_key(place, *out) : write_sealed(place, source, stretch, *out);
    }
    if (code) {
        ljs_key_free(*out);
        *out = NULL;
    }
    return code;
}

/* A stand-in's text, without its newline; FAILED when it has none. */
static int read_stand_in(ljs_buf *out, const struct place *place, const char *name, const char *what)
{
    int fd, code = open_secret(&fd, place->fd, name, what);

    *out = (ljs_buf){ NULL, 0 };
    if (code)
        return code;
    code = read_fd(out, fd, what, 2 * STAND_IN_MAX + 1);
    close(fd);
    if (!code && out->len && out->data[out->len - 1] == '\n')
        out->len--;
    else if (out->len)
        out->data[0] = 'z'; /* no newline: cut short, and so no number */
    return code;
}

static int unseal(ljs_key **out, const struct source *source, const ljs_buf *text, const char *what)
{
    uint8_t sealed[STAND_IN_MAX];
    ssize_t n = from_hex(sealed, sizeof sealed, (const char *)text->data, text->len);
    ljs_buf words = { NULL, 0 };
    int code = DONE;
    ljs_err err = n < 0 ? LJS_E_INVAL : LJS_OK;

    if (!err)
        code = read_passphrase(&words, source, false);
    if (!err && !code)
        err = ljs_master_open(out, words.data, words.len, sealed, (size_t)n);
    ljs_buf_free(&words);
    if (err == LJS_E_INVAL) {
        complain("%s: it is damaged, whatever the passphrase; put back a copy of it", what);
        code = FAILED;
    } else if (err == LJS_E_SEAL) {
        complain("%s: this is not its passphrase", what);
        code = REFUSED;
    } else if (err) {
        code = complain_err(err, what);
    }
    return code;
}

static int check_mark(ljs_vault *vault, const struct source *source, const ljs_buf *text, const char *what)
{
    uint8_t mark[MARK_LEN];
    ljs_err err;

    if (from_hex(mark, sizeof mark, (const char *)text->data, text->len) != MARK_LEN) {
        complain("%s: it is not 32 hexadecimal digits and a newline; put back a copy of it", what);
        return FAILED;
    }
    err = ljs_vault_is(vault, mark, sizeof mark);
    if (err == LJS_E_SEAL) {
        complain("master key %s: it is not the one of this data directory", source->name);
        return REFUSED;
    }
    return err ? complain_err(err, what) : DONE;
}

int master_check_mark(ljs_vault *vault, const struct place *place, const struct source *source, const char *name)
{
    ljs_buf text;
    char what[4300];
    int code;

    snprintf(what, sizeof what, "mark of the master key %s/%s", place->dir, name);
    code = read_stand_in(&text, place, name, what);
    if (!code)
        code = check_mark(vault, source, &text, what);
    ljs_buf_free(&text);
    return code;
}

static int check_key(const ljs_key *key, const struct source *source, const ljs_buf *text, const char *what)
{
    ljs_vault *vault;
    ljs_err err = ljs_vault_from_key(&vault, key);
    int code = err ? complain_err(err, what) : check_mark(vault, source, text, what);

    ljs_vault_free(vault);
    return code;
}

int master_take(ljs_key **out, const struct place *place, const struct source *source, const char *name)
{
    ljs_buf text;
    char what[4300];
    int code;

    *out = NULL;
    snprintf(what, sizeof what, "%s %s/%s", source->kept == KEPT_ELSEWHERE ? "mark of the master key" : "master key",
             place->dir, name);
    code = read_stand_in(&text, place, name, what);
    if (!code && source->kept == KEPT_HERE)
        code =
            text.len == MASTER_TEXT - 1 ? key_of_text(out, &text, what) : key_of_text(out, &(ljs_buf){ NULL, 0 }, what);
    else if (!code && source->kept == KEPT_SEALED)
        code = unseal(out, source, &text, what);
    else if (!code && !(code = key_from_elsewhere(out, source)))
        code = check_key(*out, source, &text, what);
    ljs_buf_free(&text);
    if (code) {
        ljs_key_free(*out);
        *out = NULL;
    }
    return code;
}

int master_look(ljs_key **out, const struct source *source)
{
    *out = NULL;
    return key_from_elsewhere(out, source);
}
