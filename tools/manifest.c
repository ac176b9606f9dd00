/* manifest.c -- `lorajs manifest check`: what a maker of secure elements says of them, verified. */
#include "tool.h"

#include <lorajs/manifest.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 64 * 1024, CERTIFICATE_MOST = 16 * 1024 };

struct check_opts {
    struct texts signers, roots, join_euis;
    bool all_or_nothing, json;
};

#define AT(member) offsetof(struct check_opts, member)
static const struct flag check_flags[] = {
    { "signer", "CERT", "who signs entries, besides Microchip: a certificate, PEM or DER", FLAG_LIST, AT(signers), 0,
      0 },
    { "root", "CERT", "what chips' certificates go back to, besides Microchip's: a CA's certificate", FLAG_LIST,
      AT(roots), 0, 0 },
    { "join-eui", "EUI", "refuse entries of another JoinEUI, or of none", FLAG_LIST, AT(join_euis), 0, 0 },
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

struct check {
    const struct check_opts *opts;
    ljs_manifest *manifest;
    FILE *out;
    uint64_t good, refused, octets, size; /* octets: of the pieces before this one; size: 0 when it is not known */
    size_t at;                            /* in this piece */
    int64_t began, shown;                 /* milliseconds */
    bool bar, drawn;
};

/* ---- progress ------------------------------------------------------------------------- */

static void erase(struct check *c)
{
    if (c->drawn)
        fputs("\r\033[K", stderr);
    c->drawn = false;
}

static void draw(struct check *c)
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

static void print_end(const struct check *c)
{
    fprintf(c->out,
            c->opts->json ? "{\"entries\":%" PRIu64 ",\"good\":%" PRIu64 ",\"refused\":%" PRIu64 "}\n"
                          : "%" PRIu64 " entries: %" PRIu64 " good, %" PRIu64 " refused\n",
            c->good + c->refused, c->good, c->refused);
}

/* ---- reading -------------------------------------------------------------------------------- */

static int trust(struct check *c, const struct texts *paths,
                 ljs_err (*add)(ljs_manifest *manifest, const uint8_t *in, size_t in_len))
{
    for (unsigned i = 0; i < paths->n; i++) {
        ljs_buf in;
        ljs_err err;
        int code = read_all(&in, paths->at[i], CERTIFICATE_MOST);

        if (code)
            return code;
        err = add(c->manifest, in.data, in.len);
        ljs_buf_free(&in);
        if (err == LJS_E_INVAL)
            complain("%s: not one certificate of the kind: version 3, a key on P-256, signed with ECDSA and SHA-256; "
                     "with a SubjectKeyIdentifier for --signer, of a CA for --root",
                     paths->at[i]);
        if (err && err != LJS_E_EXISTS) /* who is trusted already is trusted */
            return err == LJS_E_INVAL ? REFUSED : complain_err(err, paths->at[i]);
    }
    return DONE;
}

static int prepare(struct check *c)
{
    const struct check_opts *opts = c->opts;
    ljs_err err = ljs_manifest_new(&c->manifest);
    int code = err ? complain_err(err, "manifest check") : trust(c, &opts->signers, ljs_manifest_trust_signer);

    if (!code)
        code = trust(c, &opts->roots, ljs_manifest_trust_root);
    for (unsigned i = 0; !code && i < opts->join_euis.n; i++) {
        ljs_eui eui;

        if (!(code = read_eui(&eui, opts->join_euis.at[i], "--join-eui")) &&
            (err = ljs_manifest_expect_join_eui(c->manifest, eui)))
            code = complain_err(err, "--join-eui");
    }
    if (!code && opts->all_or_nothing && !(c->out = tmpfile())) {
        complain("a file for the report: %s", strerror(errno));
        code = FAILED;
    }
    return code;
}

/* GO_ON, or the exit code with which it ends here. */
static int take_entry(struct check *c, const ljs_manifest_entry *e)
{
    ++*(e->verdict ? &c->refused : &c->good);
    erase(c);
    if (e->verdict && c->opts->all_or_nothing) {
        (c->opts->json ? print_entry_json : print_entry)(stderr, e);
        return REFUSED;
    }
    (c->opts->json ? print_entry_json : print_entry)(c->out, e);
    return GO_ON;
}

static int take_piece(struct check *c, const uint8_t *in, size_t in_len)
{
    ljs_manifest_entry entry;
    ljs_err err;

    c->at = 0;
    while (!(err = ljs_manifest_next(&entry, &c->at, c->manifest, in, in_len))) {
        int code = take_entry(c, &entry);

        if (code != GO_ON)
            return code;
        draw(c);
    }
    if (err == LJS_E_NOTFOUND)
        return GO_ON;
    erase(c);
    if (err != LJS_E_INVAL)
        return complain_err(err, "manifest check");
    complain("this is no JSON array of entries, or something stands behind it, from octet %" PRIu64 " on",
             c->octets + c->at);
    return REFUSED;
}

static int read_pieces(struct check *c, int fd, const char *name)
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
            erase(c);
            complain("%s: %s", name, strerror(errno));
            code = FAILED;
        } else {
            code = take_piece(c, piece, (size_t)got);
            c->octets += (uint64_t)got;
            c->at = 0;
        }
    }
    erase(c);
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

static int check_file(struct check *c, const char *path)
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
    if (!c->opts->all_or_nothing || code == DONE)
        print_end(c);
    if (!code && c->opts->all_or_nothing)
        code = print_kept(c->out);
    return code == DONE && c->refused ? REFUSED : code;
}

static int cmd_check(int argc, char **argv)
{
    struct check_opts opts = { .json = false };
    struct check c = { .opts = &opts, .out = stdout, .began = now_ms() };
    int code = read_flags(&check_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if (!(code = prepare(&c)))
        code = check_file(&c, argv[0]);
    if (c.out && c.out != stdout)
        fclose(c.out);
    ljs_manifest_free(c.manifest);
    return code;
}

const struct command manifest_commands[] = {
    { "check", "verify what a maker of secure elements says of them", cmd_check, NULL, &check_usage },
    { 0 },
};
