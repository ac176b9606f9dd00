/* audit.h -- what the files of the audit log share. */
#ifndef LJS_SERVER_AUDIT_H
#define LJS_SERVER_AUDIT_H

#include "server/internal.h"

/* ---- audit_read.c: an entry as JSON; the members that say which link it is of ---------- */

void ljs__audit_json(struct wr *w, const ljs_audit_link *link, const ljs_audit_entry *e);
void ljs__audit_json_place(struct wr *w, uint64_t writer, uint64_t sequence);

/* ---- the writers --------------------------------------------------------------------- */

/* The store's word: [schema, generation, kept], and the tag. */
struct mark {
    uint32_t generation; /* 0: it says nothing */
    bool kept;
    uint64_t version;
};
ljs_err ljs__audit_mark(struct mark *out, ljs_server *server); /* LJS_E_SEAL, LJS_E_VERSION, LJS_E_STORE */

/* What waited for a link, taken out of the server. */
struct waited {
    char who[LJS_LABEL_MAX];
    ljs_audit_entry *entry;
    size_t len;
    uint32_t missed;
    struct refused refused[REFUSED_MAX];
    size_t refused_len;
};

/* All entries that wait, and the counts of refusals if a minute has passed, or `counts`.  Gives the time: `now`, or
 * where that is 0 the latest that was told. */
int64_t ljs__audit_take_waited(struct waited *out, ljs_server *server, int64_t now, bool counts);
/* What could not be written waits on; it may have been written, and is then told twice. */
void ljs__audit_put_back(ljs_server *server, struct waited *w);

#endif
