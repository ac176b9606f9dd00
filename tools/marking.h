/* marking.h -- the marker of a database that gives JoinNonces. */
#ifndef LORAJS_TOOLS_MARKING_H
#define LORAJS_TOOLS_MARKING_H

#include "tool.h"

struct marking {
    const char *path; /* NULL: none */
    int64_t every;
    bool force;       /* overrule what the marker says: begin a generation */
    bool forced;      /* out: that was needed */
    ljs_store *inner; /* out: the store without its marker; to be freed after data_close() */
};

/* Puts the marker around out->store, before there is a server.  Complains itself: REFUSED when the database is
 * not the one that its marker knows. */
int marking_use(struct data *out, struct marking *marking);
/* A start that was forced goes into the audit log.  Complains itself. */
int marking_note(struct data *data, const struct marking *marking);
/* What is wrong with a database by its marker, and what to do, as one sentence; NULL for nothing. */
const char *marking_text(ljs_marker_verdict verdict);

#endif
