/* anchor.h -- the last links of the audit log in a file that those who write to the database cannot
 * reach: what is cut off the end of a chain is seen by it alone. */
#ifndef LORAJS_TOOLS_ANCHOR_H
#define LORAJS_TOOLS_ANCHOR_H

#include <lorajs/audit.h>

/* The lines of this server take the place of those that the file has of the same chains; all others stay.
 * The new file takes the old one's name when it is durable.  Complains itself. */
int anchor_write(const char *path, ljs_server *server);

/* What the daemon does for its audit log from time to time: `path` NULL for no anchor. */
struct audit_timer {
    const char *path;
    int64_t interval; /* seconds */
    int64_t next;     /* of now_ms() */
};
/* Once a second; `end` for the last time.  LJS_OK, or why what was counted could not be written. */
ljs_err audit_tick(struct audit_timer *timer, ljs_server *server, int end);

#endif
