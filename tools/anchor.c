#include "anchor.h"

#include "newfile.h"

#include <string.h>
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

/* What the file had of other chains, then ours. */
static bool put_all(struct newfile *file, const ljs_buf *old, const ljs_buf *heads)
{
    const char *text = (const char *)old->data;
    bool good = true;

    for (size_t at = 0, len; good && at < old->len; at += len) {
        const char *newline = memchr(text + at, '\n', old->len - at);

        len = newline ? (size_t)(newline - text) + 1 - at : old->len - at;
        if (!has_chain(heads, text + at, len))
            good = newfile_write(file, text + at, len) && (newline || newfile_write(file, "\n", 1));
    }
    return good && (!heads->len || newfile_write(file, heads->data, heads->len));
}

/* Read while nobody else may write: another daemon at the same database may have the same anchor. */
static int put_heads(struct newfile *file, const char *path, const ljs_buf *heads)
{
    ljs_buf old = { NULL, 0 };
    int code = access(path, F_OK) == 0 ? read_all(&old, path, ANCHOR_MOST) : DONE;

    if (!code)
        code = put_all(file, &old, heads) ? newfile_keep(file) : newfile_complain(file);
    newfile_drop(file);
    ljs_buf_free(&old);
    return code;
}

int anchor_write(const char *path, ljs_server *server)
{
    ljs_buf heads = { NULL, 0 };
    struct newfile file = NEWFILE_NONE;
    ljs_err err = ljs_server_heads(&heads, server);
    int code = err ? complain_err(err, path) : DONE;

    if (!code && heads.len && !(code = newfile_open_over(&file, path, 0600)))
        code = put_heads(&file, path, &heads);
    if (code)
        complain("audit-anchor %s: it is not written", path);
    ljs_buf_free(&heads);
    return code;
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
