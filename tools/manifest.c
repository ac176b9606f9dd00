/* manifest.c -- the reading of manifests, and `lorajs manifest check`: what a maker of secure elements says of them,
 * verified. */
#include "manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 64 * 1024, CERTIFICATE_MOST = 64 * 1024 };

#define AT(member) offsetof(struct manifest_opts, member)
static const struct flag check_flags[] = {
    MANIFEST_FLAGS(struct manifest_opts, /* in itself */),
    { "all-or-nothing", NULL, "end with the first that is refused, and print entries only when none was", FLAG_SWITCH,
      AT(all_or_nothing), 0, 0 },
    { "json", NULL, "a JSON object an entry, and one with their numbers", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
#undef AT

static const struct usage check_usage = {
    "manifest check",
    "FILE|-",
    "Verifies a manifest of secure elements: of each entry the signature, the certificates, and that they say one "
    "thing; and prints what is certified of the chip, or why the entry is refused. It may be of any length. Nothing is "
    "changed, and there is no root key in a manifest.\n"
    "Microchip's log signers and its root are known. The exit code is 3 when an entry is refused.",
    check_flags,
    1,
    1,
};

/* ---- progress ------------------------------------------------------------------------- */

void manifest_erase(struct manifest_run *c)
{
    if (c->drawn)
        fputs("\r\033[K", stderr);
    c->drawn = false;
}

static void draw(struct manifest_run *c)
{
    int64_t now = now_ms(), spent = now - c->began + 1;
    uint64_t entries = c->good + c->refused;

    if (!c->bar || now - c->shown < 200)
        return;
    c->shown = now;
    c->drawn = true;
    fputc('\r', stderr);
    if (c->size) {
        double part = (double)(c->octets + c->at) / (double)c->size;
        int full = part < 1 ? (int)(part * 30) : 30;
        int64_t left = part > 0 ? (int64_t)((double)spent / part) - spent : 0;

        fprintf(stderr, "[%.*s%*s] %3.0f %%  %" PRId64 ":%02" PRId64 " left  ", full, "##############################",
                30 - full, "", part * 100, left / 60000, left / 1000 % 60);
    }
    fprintf(stderr, "%" PRIu64 " entries  %" PRIu64 " refused  %.0f/s\033[K", entries, c->refused,
            (double)entries * 1000 / (double)spent);
}

/* ---- the report --------------------------------------------------------------------------- */

static void print_member(FILE *to, const char *name, const char *value)
{
    fprintf(to, ",\"%s\":", name);
    print_json_text(to, *value ? value : NULL);
}

static void print_eui_member(FILE *to, const char *name, bool has, ljs_eui eui)
{
    fprintf(to, ",\"%s\":", name);
    fprintf(to, has ? "\"%016" PRIx64 "\"" : "null", eui);
}

static void print_entry_json(FILE *to, const ljs_manifest_entry *e)
{
    fprintf(to, "{\"index\":%" PRIu64 ",\"offset\":%" PRIu64 ",\"verdict\":\"%s\",\"number\":%d", e->index, e->offset,
            ljs_manifest_verdict_name(e->verdict), (int)e->verdict);
    print_member(to, "unique_id", e->unique_id);
    if (e->verdict) {
        print_member(to, "reason", ljs_manifest_verdict_text(e->verdict));
        print_member(to, "detail", e->detail);
        fputs("}\n", to);
        return;
    }
    print_eui_member(to, "dev_eui", e->has_dev_eui, e->dev_eui);
    print_eui_member(to, "join_eui", e->has_join_eui, e->join_eui);
    print_member(to, "model", e->model);
    print_member(to, "part_number", e->part_number);
    print_member(to, "group_id", e->group_id);
    print_member(to, "timestamp", e->timestamp);
    fprintf(to, ",\"version\":%u,\"suffix\":\"%02x\",\"public_key\":", e->version, e->suffix);
    if (e->has_key) {
        fputc('"', to);
        for (size_t i = 0; i < sizeof e->public_key; i++)
            fprintf(to, "%02x", e->public_key[i]);
        fputc('"', to);
    } else {
        fputs("null", to);
    }
    print_member(to, "signer", e->signer);
    fputs("}\n", to);
}

static const char *eui_text(char out[17], bool has, ljs_eui eui)
{
    snprintf(out, 17, "%016" PRIX64, eui);
    return has ? out : "-";
}

static void print_entry(FILE *to, const ljs_manifest_entry *e)
{
    char dev_eui[17], join_eui[17];

    if (e->verdict)
        fprintf(to, "%-18s  refused: %s%s%s%s (entry %" PRIu64 ", octet %" PRIu64 ")\n",
                *e->unique_id ? e->unique_id : "-", ljs_manifest_verdict_text(e->verdict), *e->detail ? " [" : "",
                e->detail, *e->detail ? "]" : "", e->index, e->offset);
    else
        fprintf(to, "%-18s  %-16s  %-16s  %s  %s\n", e->unique_id, eui_text(dev_eui, e->has_dev_eui, e->dev_eui),
                eui_text(join_eui, e->has_join_eui, e->join_eui), e->part_number, e->timestamp);
}

static void print_end(const struct manifest_run *c)
{
    fprintf(c->out,
            c->opts->json ? "{\"entries\":%" PRIu64 ",\"good\":%" PRIu64 ",\"refused\":%" PRIu64 "}\n"
                          : "%" PRIu64 " entries: %" PRIu64 " good, %" PRIu64 " refused\n",
            c->good + c->refused, c->good, c->refused);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* The next certificate of a file in *at, which is moved behind it: of PEM there may be several. */
static ljs_buf next_certificate(size_t *at, const ljs_buf *file)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----", end[] = "-----END CERTIFICATE-----";
    ljs_buf one = { file->data + *at, file->len - *at };
    uint8_t *from = memmem(one.data, one.len, begin, sizeof begin - 1), *to;
    size_t left;

    *at = file->len;
    if (!from) /* DER, or nothing that is one */
        return one;
    left = one.len = (size_t)(file->data + file->len - from);
    one.data = from;
    if (!(to = memmem(from, left, end, sizeof end - 1)))
        return one;
    to += sizeof end - 1;
    one.len = (size_t)(to - from);
    if (memmem(to, left - one.len, begin, sizeof begin - 1))
        *at = (size_t)(to - file->data);
    return one;
}

int manifest_trust(ljs_manifest *manifest, const char *path,
                   ljs_err (*add)(ljs_manifest *manifest, const uint8_t *in, size_t in_len))
{
    ljs_buf file;
    size_t at = 0;
    ljs_err err = LJS_OK;
    int code = read_all(&file, path, CERTIFICATE_MOST);

    if (code)
        return code;
    if (!file.len)
        err = LJS_E_INVAL;
    while (!err && at < file.len) {
        ljs_buf one = next_certificate(&at, &file);

        err = add(manifest, one.data, one.len);
        if (err == LJS_E_EXISTS) /* who is trusted already is trusted */
            err = LJS_OK;
    }
    ljs_buf_free(&file);
    if (err == LJS_E_INVAL)
        complain("%s: not certificates of the kind: version 3, a key on P-256, signed with ECDSA and SHA-256; "
                 "with a SubjectKeyIdentifier of who signs entries, of a CA of roots",
                 path);
    return !err ? DONE : err == LJS_E_INVAL ? REFUSED : complain_err(err, path);
}

static int trust_all(struct manifest_run *c, const struct texts *paths,
                     ljs_err (*add)(ljs_manifest *manifest, const uint8_t *in, size_t in_len))
{
    int code = DONE;

    for (unsigned i = 0; !code && i < paths->n; i++)
        code = manifest_trust(c->manifest, paths->at[i], add);
    return code;
}

int manifest_prepare(struct manifest_run *c)
{
    const struct manifest_opts *opts = c->opts;
    ljs_err err = ljs_manifest_new(&c->manifest);
    int code = err ? complain_err(err, command_path()) : trust_all(c, &opts->signers, ljs_manifest_trust_signer);

    if (!code)
        code = trust_all(c, &opts->roots, ljs_manifest_trust_root);
    for (unsigned i = 0; !code && i < opts->join_euis.n; i++) {
        ljs_eui eui;

        if (!(code = read_eui(&eui, opts->join_euis.at[i], "--join-eui")) &&
            (err = ljs_manifest_expect_join_eui(c->manifest, eui)))
            code = complain_err(err, "--join-eui");
    }
    return code;
}

/* Of `check`. */
static int take_entry(struct manifest_run *c, const ljs_manifest_entry *e)
{
    ++*(e->verdict ? &c->refused : &c->good);
    manifest_erase(c);
    if (e->verdict && c->opts->all_or_nothing) {
        (c->opts->json ? print_entry_json : print_entry)(stderr, e);
        return REFUSED;
    }
    (c->opts->json ? print_entry_json : print_entry)(c->out, e);
    return GO_ON;
}

static int take_piece(struct manifest_run *c, const uint8_t *in, size_t in_len)
{
    ljs_manifest_entry entry;
    ljs_err err;

    c->at = 0;
    while (!(err = ljs_manifest_next(&entry, &c->at, c->manifest, in, in_len))) {
        int code = c->take(c, &entry);

        if (code != GO_ON)
            return code;
        draw(c);
    }
    if (err == LJS_E_NOTFOUND)
        return GO_ON;
    manifest_erase(c);
    if (err != LJS_E_INVAL)
        return complain_err(err, command_path());
    complain("this is no JSON array of entries, or something stands behind it, from octet %" PRIu64 " on",
             c->octets + c->at);
    return REFUSED;
}

static int read_pieces(struct manifest_run *c, int fd, const char *name)
{
    uint8_t *piece = malloc(PIECE);
    int code = GO_ON;
    ssize_t got = 0;

    if (!piece)
        return complain_err(LJS_E_NOMEM, name);
    while (code == GO_ON && (got = read(fd, piece, PIECE)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            manifest_erase(c);
            complain("%s: %s", name, strerror(errno));
            code = FAILED;
        } else {
            code = take_piece(c, piece, (size_t)got);
            c->octets += (uint64_t)got;
            c->at = 0;
        }
    }
    manifest_erase(c);
    free(piece);
    if (code != GO_ON)
        return code;
    if (ljs_manifest_end(c->manifest)) {
        complain("%s: it is cut short: the array does not end", name);
        return REFUSED;
    }
    return DONE;
}

/* The report of --all-or-nothing, once it is known that all are good. */
static int print_kept(FILE *kept)
{
    char piece[8192];
    size_t got;

    rewind(kept);
    while ((got = fread(piece, 1, sizeof piece, kept)))
        fwrite(piece, 1, got, stdout);
    if (!ferror(kept))
        return DONE;
    complain("the report: %s", strerror(errno));
    return FAILED;
}

int manifest_read(struct manifest_run *c, const char *path)
{
    const char *name = strcmp(path, "-") ? path : "standard input";
    int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO, code;
    struct stat st;

    if (fd < 0 || fstat(fd, &st)) {
        complain("%s: %s", name, strerror(errno));
        code = FAILED;
    } else {
        c->size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
        c->bar = isatty(STDERR_FILENO) && !isatty(fd);
        code = read_pieces(c, fd, name);
    }
    if (fd > STDIN_FILENO)
        close(fd);
    return code;
}

static int check_file(struct manifest_run *c, const char *path)
{
    int code = manifest_read(c, path);

    if (!c->opts->all_or_nothing || code == DONE)
        print_end(c);
    if (!code && c->opts->all_or_nothing)
        code = print_kept(c->out);
    return code == DONE && c->refused ? REFUSED : code;
}

static int cmd_check(int argc, char **argv)
{
    struct manifest_opts opts = { .json = false };
    struct manifest_run c = { .opts = &opts, .take = take_entry, .out = stdout, .began = now_ms() };
    int code = read_flags(&check_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    code = manifest_prepare(&c);
    if (!code && opts.all_or_nothing && !(c.out = tmpfile())) {
        complain("a file for the report: %s", strerror(errno));
        code = FAILED;
    }
    if (!code)
        code = check_file(&c, argv[0]);
    if (c.out && c.out != stdout)
        fclose(c.out);
    ljs_manifest_free(c.manifest);
    return code;
}

const struct command manifest_commands[] = {
    { "check", "verify what a maker of secure elements says of them", cmd_check, NULL, &check_usage },
    { "register", "devices of a manifest, and whose they are", cmd_manifest_register, NULL, &manifest_register_usage },
    { "keys", "root keys that are encrypted to its recipient", cmd_manifest_keys, NULL, &manifest_keys_usage },
    { 0 },
};
