/* leaving.h -- devices that go into a file, and whose root keys leave with it.
 *
 * They are taken together: all of them are marked, and that is durable with who and when in the audit log, before a key
 * of any is written. */
#ifndef LORAJS_TOOLS_LEAVING_H
#define LORAJS_TOOLS_LEAVING_H

#include "tool.h"

enum { LEAVING_MAX = 64 /* as many as ljs_server_step_devices() writes with one commit */ };

struct leaving {
    ljs_server *server;
    bool mark;                                   /* LJS_DEVICE_EXPOSE; false: no key leaves */
    ljs_device_act before;                       /* what comes first, LJS_DEVICE_BLOCK or LJS_DEVICE_MOVE; 0: nothing */
    ljs_err (*put)(void *user, ljs_eui dev_eui); /* writes it, as it is now */
    void *user;
    uint64_t marked;
    ljs_eui failed; /* with which device it ended, 0 for none */
    ljs_eui waiting[LEAVING_MAX];
    size_t len;
};

/* In the order in which they are taken.  What goes wrong is told of nowhere, and ends it. */
ljs_err leaving_take(struct leaving *l, ljs_eui dev_eui);
/* Those that wait. */
ljs_err leaving_end(struct leaving *l);

#endif
