#include "anchor.h"

#include "newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITER_DIGITS = 16, ANCHOR_MOST = 64 << 20 };

/* Is there a line of this chain? */
static bool has_chain(const ljs_buf *lines, const char *line, size_t len)
{
    const char *text = (const char *)lines->data;

    for (size_t at = 0; len >= WRITER_DIGITS && at + WRITER_DIGITS < lines->len;) {
        const char *newline = memchr(text + at, '\n', lines->len - at);

        if (!memcmp(text + at, line, WRITER_DIGITS))
            return true;
        at = newline ? (size_t)(newline - text) + 1 : lines->len;
    }
    return false;
}

static bool put(int fd, const char *text, size_t len)
{
    while (len) {
        ssize_t n = write(fd, text, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return true;
}

/* What the file had of other chains, then ours. */
static bool put_all(int fd, const ljs_buf *old, const ljs_buf *heads)
{
    const char *text = (const char *)old->data;
    bool good = true;

    for (size_t at = 0, len; good && at < old->len; at += len) {
        const char *newline = memchr(text + at, '\n', old->len - at);

        len = newline ? (size_t)(newline - text) + 1 - at : old->len - at;
        if (!has_chain(heads, text + at, len))
            good = put(fd, text + at, len) && (newline || put(fd, "\n", 1));
    }
    return good && (!heads->len || put(fd, (const char *)heads->data, heads->len));
}

int anchor_write(const char *path, ljs_server *server)
{
    ljs_buf heads = { NULL, 0 }, old = { NULL, 0 };
    char fresh[4200];
    bool good;
    int fd;
    ljs_err err = ljs_server_heads(&heads, server);

    if (err)
        return complain_err(err, path);
    if (!heads.len)
        return DONE;
    if (access(path, F_OK) == 0 && read_all(&old, path, ANCHOR_MOST)) {
        ljs_buf_free(&heads);
        return FAILED;
    }
    snprintf(fresh, sizeof fresh, "%s.new", path);
    fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    good = fd >= 0 && put_all(fd, &old, &heads) && !fsync(fd);
    if (fd >= 0)
        good = !close(fd) && good;
    good = good && !rename(fresh, path) && sync_folder(path);
    if (!good)
        complain("audit-anchor %s: %s", path, strerror(errno));
    ljs_buf_free(&heads);
    ljs_buf_free(&old);
    return good ? DONE : FAILED;
}

ljs_err audit_tick(struct audit_timer *timer, ljs_server *server, int end)
{
    ljs_err err = ljs_server_flush_audit(server, end ? 0 : now_seconds());

    if (timer->path && (end || now_ms() >= timer->next)) {
        timer->next = now_ms() + timer->interval * 1000;
        (void)anchor_write(timer->path, server); /* has complained */
    }
    return err;
}
