/* device_import.c -- `lorajs device import`: devices as lines of JSON. */
#include "import.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IMPORT_LINE_MAX = 1 << 20 }; /* 65,536 used DevNonces fit */

struct import_opts {
    struct where where;
    bool json, dry_run, example, allow_weak, replace_keys;
};

static const struct flag import_flags[] = {
    WHERE_FLAGS(struct import_opts),
    { "dry-run", NULL, "check every line and change nothing", FLAG_SWITCH, offsetof(struct import_opts, dry_run), 0,
      0 },
    { "allow-weak-keys", NULL, "take keys that are so regular that they are no secret", FLAG_SWITCH,
      offsetof(struct import_opts, allow_weak), 0, 0 },
    { "replace-keys", NULL, "give devices that are there new root keys; they must join anew", FLAG_SWITCH,
      offsetof(struct import_opts, replace_keys), 0, 0 },
    { "example", NULL, "print lines that can be imported, and do nothing else", FLAG_SWITCH,
      offsetof(struct import_opts, example), 0, 0 },
    { "json", NULL, "report as JSON, an object a line: each line refused, then the sum", FLAG_SWITCH,
      offsetof(struct import_opts, json), 0, 0 },
    { 0 },
};

const struct usage device_import_usage = {
    "device import",
    "FILE|-",
    "Brings devices in: one JSON object a line, with the members that --example shows. A device that is there "
    "already is brought up to date; its JoinNonce never goes back and its used DevNonces stay used.\n"
    "A line that is refused is reported as \"line N: what is wrong\", without any key, and the other lines are "
    "imported nevertheless; then the exit code is 3. Up to 64 lines that are there at once are written with one "
    "commit. What is missing in the data directory is made. The daemon may be running.",
    import_flags,
    0,
    1,
};

/* Lines of a file, in one buffer that is wiped: stdio would leave keys behind. */
struct lines {
    int fd;
    uint8_t *buf;
    size_t begin, end;
    bool eof, skipping; /* skipping: in the rest of a line that was too long */
    uint64_t number;    /* of the line given last */
    uint64_t octets;    /* read so far */
    int error;          /* that a read has met with */
};

static bool is_there(int fd)
{
    struct pollfd in = { .fd = fd, .events = POLLIN };

    return poll(&in, 1, 0) > 0;
}

/* 1: *line and *len, without its newline; 0: the end; -1: read error; -2: the line is too long; 2, unless it may wait:
 * no line is there at once. */
static int next_line(struct lines *in, const uint8_t **line, size_t *len, bool may_wait)
{
    for (;;) {
        uint8_t *at = in->buf + in->begin, *newline = memchr(at, '\n', in->end - in->begin);
        ssize_t n;

        if (newline || (in->eof && in->end > in->begin)) {
            bool skipped = in->skipping;

            *line = at;
            *len = newline ? (size_t)(newline - at) : in->end - in->begin;
            in->begin += *len + (newline ? 1 : 0);
            in->skipping = false;
            if (skipped) /* reported already */
                continue;
            in->number++;
            return 1;
        }
        if (in->eof)
            return 0;
        if (in->begin) {
            memmove(in->buf, at, in->end - in->begin);
            in->end -= in->begin;
            in->begin = 0;
        }
        if (in->end == IMPORT_LINE_MAX) {
            bool skipped = in->skipping;

            in->end = 0;
            in->skipping = true;
            if (skipped)
                continue;
            in->number++;
            return -2;
        }
        if (!may_wait && !is_there(in->fd))
            return 2;
        n = read(in->fd, in->buf + in->end, IMPORT_LINE_MAX - in->end);
        if (n < 0 && errno != EINTR) {
            in->error = errno;
            return -1;
        }
        in->eof = n == 0;
        in->end += n > 0 ? (size_t)n : 0;
        in->octets += n > 0 ? (uint64_t)n : 0;
    }
}

static void refuse(const struct import_opts *opts, uint64_t line, ljs_eui dev_eui, const char *fault)
{
    if (!opts->json) {
        if (dev_eui)
            fprintf(stderr, "line %" PRIu64 ": %s (%016" PRIx64 ")\n", line, fault, dev_eui);
        else
            fprintf(stderr, "line %" PRIu64 ": %s\n", line, fault);
        return;
    }
    printf("{\"line\":%" PRIu64 ",\"result\":\"refused\",\"dev_eui\":", line);
    printf(dev_eui ? "\"%016" PRIx64 "\"" : "null", dev_eui);
    printf(",\"reason\":");
    print_json_text(stdout, fault);
    puts("}");
}

/* Devices that are good and not written yet, and the lines that they are from. */
struct waiting {
    ljs_import import[IMPORT_TOGETHER];
    uint64_t line[IMPORT_TOGETHER];
    size_t len;
};

struct import_run {
    const struct import_opts *opts;
    struct data *data;
    struct waiting *waiting;
    uint64_t imported, refused;
};

/* What came of a line.  DONE also for one that is refused; else the import cannot go on. */
static int settle_line(struct import_run *run, uint64_t number, const ljs_import *import, ljs_err err)
{
    char fault[IMPORT_FAULT_MAX], what[64];

    if (import_failed(err)) {
        snprintf(what, sizeof what, "line %" PRIu64, number);
        return complain_err(err, what);
    }
    if (err) {
        import_fault(fault, err, import);
        refuse(run->opts, number, import->device.dev_eui, fault);
        run->refused++;
    } else {
        run->imported++;
    }
    return DONE;
}

/* Together, and told of in their order. */
static int write_waiting(struct import_run *run)
{
    const struct import_opts *opts = run->opts;
    struct waiting *w = run->waiting;
    unsigned flags = (opts->replace_keys ? LJS_MAKE_REPLACE_KEYS : 0u) | (opts->allow_weak ? LJS_MAKE_ALLOW_WEAK : 0u);
    ljs_err results[IMPORT_TOGETHER];
    int code = DONE;

    ljs_server_import(results, run->data->server, w->import, w->len, flags);
    for (size_t i = 0; !code && i < w->len; i++)
        code = settle_line(run, w->line[i], &w->import[i], results[i]);
    for (size_t i = 0; i < w->len; i++)
        ljs_import_clear(&w->import[i]);
    w->len = 0;
    return code;
}

/* Once those before it are told of. */
static int refuse_line(struct import_run *run, uint64_t number, const char *fault)
{
    int code = write_waiting(run);

    if (!code) {
        refuse(run->opts, number, 0, fault);
        run->refused++;
    }
    return code;
}

static int import_line(struct import_run *run, uint64_t number, const uint8_t *line, size_t len)
{
    struct waiting *w = run->waiting;
    ljs_import *import = &w->import[w->len];
    ljs_err err = ljs_import_parse(import, line, len);
    int code;

    if (!err) {
        w->line[w->len++] = number;
        return w->len == IMPORT_TOGETHER ? write_waiting(run) : DONE;
    }
    if (err == LJS_E_INVAL)
        code = refuse_line(run, number, import->fault);
    else if (!(code = write_waiting(run)))
        code = settle_line(run, number, import, err);
    ljs_import_clear(import);
    return code;
}

/* On a terminal, a line on standard error that is written over. */
static void progress(const struct import_run *run, const struct lines *in, int64_t *shown)
{
    int64_t now = now_ms();

    if (now - *shown < 200)
        return;
    *shown = now;
    fprintf(stderr, "\r%" PRIu64 " lines, %" PRIu64 " refused, %" PRIu64 " KiB\033[K", in->number, run->refused,
            (in->octets - (in->end - in->begin)) / 1024);
}

static bool is_blank(const uint8_t *line, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
            return false;
    return true;
}

static int import_all(struct import_run *run, const char *path)
{
    struct lines in = { .fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO };
    const char *name = strcmp(path, "-") ? path : "standard input";
    const uint8_t *line;
    size_t len;
    int64_t shown = now_ms();
    int code = DONE, got = 0;
    bool tty;

    if (in.fd < 0) {
        complain("%s: %s", name, strerror(errno));
        return FAILED;
    }
    tty = isatty(STDERR_FILENO) && !isatty(in.fd);
    if (!(in.buf = malloc(IMPORT_LINE_MAX))) {
        complain("out of memory");
        code = FAILED;
    }
    /* Whoever sends line by line need not fill a commit first. */
    while (!code && (got = next_line(&in, &line, &len, !run->waiting->len)) && got != -1) {
        if (got == -2)
            code = refuse_line(run, in.number, "line: longer than 1 MiB");
        else if (got == 2)
            code = write_waiting(run);
        else if (!is_blank(line, len))
            code = import_line(run, in.number, line, len);
        if (tty)
            progress(run, &in, &shown);
    }
    if (!code) /* also of a file that cannot be read on */
        code = write_waiting(run);
    if (tty)
        fputs("\r\033[K", stderr);
    if (got == -1) {
        complain("%s: %s", name, strerror(in.error));
        code = FAILED;
    }
    if (in.buf)
        explicit_bzero(in.buf, IMPORT_LINE_MAX);
    free(in.buf);
    if (in.fd != STDIN_FILENO)
        close(in.fd);
    return code;
}

int cmd_device_import(int argc, char **argv)
{
    struct import_opts opts = { 0 };
    struct data data = { NULL, NULL, NULL };
    struct waiting waiting = { .len = 0 };
    struct import_run run = { &opts, &data, &waiting, 0, 0 };
    int code = read_flags(&device_import_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if (opts.example) {
        fputs(ljs_import_example(), stdout);
        return DONE;
    }
    if (argc != 1) {
        complain("device import needs FILE, or - for standard input (see `lorajs device import --help`)");
        return USAGE;
    }
    if (!(code = data_try(&data, &opts.where, DATA_CREATE, NULL, opts.dry_run)))
        code = import_all(&run, argv[0]);
    if (data.server) {
        if (opts.json)
            printf("{\"imported\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"dry_run\":%s}\n", run.imported, run.refused,
                   opts.dry_run ? "true" : "false");
        else
            printf("%" PRIu64 " %s, %" PRIu64 " refused\n", run.imported,
                   opts.dry_run ? "would be imported" : "imported", run.refused);
    }
    data_close(&data);
    if (!code && run.refused)
        code = REFUSED;
    return code;
}
