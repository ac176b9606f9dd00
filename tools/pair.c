/* pair.c -- `lorajs key pair`, and the files that it makes. */
#include "pair.h"

#include "newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAIR_TEXT_MAX = 256 };

/* What the first word of a key's file says it is, so that none is used for another. */
static const char x25519_secret[] = "x25519-secret", x25519_public[] = "x25519", ed25519_secret[] = "ed25519-secret",
                  ed25519_public[] = "ed25519";

struct pair_opts {
    const char *output;
};

static const struct flag pair_flags[] = {
    { "output", "FILE", "a new file of mode 0600 for the secret key; the public one goes to FILE.pub; needed",
      FLAG_TEXT, offsetof(struct pair_opts, output), 0, 0 },
    { 0 },
};
const struct usage pair_usage = {
    "key pair",
    "x25519|ed25519",
    "Makes a key pair for `device export` and `device receive`: x25519 for whoever is to receive devices, ed25519 for "
    "whoever sends them. Give FILE.pub to the other end, by a way that both trust, and FILE to nobody. A file that is "
    "there is never overwritten.",
    pair_flags,
    1,
    1,
};

static int write_new(const char *path, mode_t mode, const char *name, const uint8_t octets[PAIR_LEN])
{
    static const char digits[] = "0123456789abcdef";
    struct newfile file;
    char text[PAIR_TEXT_MAX];
    size_t n = (size_t)snprintf(text, sizeof text, "%s ", name);
    int code = newfile_open(&file, path, mode);

    for (size_t i = 0; i < PAIR_LEN; i++) {
        text[n++] = digits[octets[i] >> 4];
        text[n++] = digits[octets[i] & 15];
    }
    text[n++] = '\n';
    if (!code)
        code = newfile_write(&file, text, n) ? newfile_keep(&file) : newfile_complain(&file);
    newfile_drop(&file);
    explicit_bzero(text, sizeof text);
    return code;
}

int cmd_pair(int argc, char **argv)
{
    struct pair_opts opts = { NULL };
    uint8_t public_key[PAIR_LEN] = { 0 };
    char path[4200];
    ljs_key *key = NULL;
    ljs_buf octets = { NULL, 0 };
    bool box;
    ljs_err err;
    int code = read_flags(&pair_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    box = !strcmp(argv[0], x25519_public);
    if (!box && strcmp(argv[0], ed25519_public) != 0) {
        complain("key pair makes x25519 or ed25519");
        return USAGE;
    }
    if (!opts.output) {
        complain("key pair needs --output (see `lorajs key pair --help`)");
        return USAGE;
    }
    snprintf(path, sizeof path, "%s.pub", opts.output);
    if (!access(path, F_OK)) {
        complain("%s: File exists", path);
        return FAILED;
    }
    err = ljs_key_generate(&key, PAIR_LEN);
    if (!err)
        err = box ? ljs_x25519_public(public_key, key) : ljs_ed25519_public(public_key, key);
    if (!err)
        err = ljs_key_export(&octets, key);
    code = err ? complain_err(err, "key pair")
               : write_new(opts.output, 0600, box ? x25519_secret : ed25519_secret, octets.data);
    if (!code && (code = write_new(path, 0644, box ? x25519_public : ed25519_public, public_key)))
        unlink(opts.output);
    ljs_buf_free(&octets);
    ljs_key_free(key);
    return code;
}

/* "x25519 HEX" into octets; complains without repeating what is there. */
static int read_pair(uint8_t out[PAIR_LEN], const char *path, const char *name, bool secret)
{
    ljs_buf text = { NULL, 0 };
    size_t n = strlen(name);
    int fd = -1, code = secret ? open_secret(&fd, AT_FDCWD, path, path) : DONE;

    if (!code)
        code = secret ? read_fd(&text, fd, path, PAIR_TEXT_MAX) : read_all(&text, path, PAIR_TEXT_MAX);
    if (fd >= 0)
        close(fd);
    while (text.len && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
        text.len--;
    if (!code && (text.len != n + 1 + 2 * PAIR_LEN || memcmp(text.data, name, n) != 0 || text.data[n] != ' ' ||
                  from_hex(out, PAIR_LEN, (const char *)text.data + n + 1, 2 * PAIR_LEN) != PAIR_LEN)) {
        complain("%s: this is not the %s half of an %.*s key pair; `lorajs key pair` makes one", path,
                 secret ? "secret" : "public", (int)strcspn(name, "-"), name);
        code = REFUSED;
    }
    ljs_buf_free(&text);
    return code;
}

static int read_secret(ljs_key **out, const char *path, const char *name)
{
    uint8_t octets[PAIR_LEN];
    int code = read_pair(octets, path, name, true);
    ljs_err err = code ? LJS_OK : ljs_key_import(out, octets, sizeof octets);

    explicit_bzero(octets, sizeof octets);
    return code ? code : err ? complain_err(err, path) : DONE;
}

int read_signer(ljs_key **out, const char *path)
{
    return read_secret(out, path, ed25519_secret);
}

int read_public(uint8_t out[PAIR_LEN], const char *path, enum pair kind)
{
    return read_pair(out, path, kind == PAIR_X25519 ? x25519_public : ed25519_public, false);
}

int read_recipient(ljs_key **out, const char *path)
{
    return read_secret(out, path, x25519_secret);
}
