/* link.h -- how a link of the audit log is laid out, and nothing of what it means.
 *
 * A link is a msgpack array of schema, writer, sequence, time, the tag of the link before and an
 * array of entries, and the 16-octet keyed tag behind (keys/vault.h).  It stands in the store under
 * SPACE_AUDIT, writer and sequence, most significant octet first, and says both itself, so that
 * none can be filed in another's place. */
#ifndef LJS_SERVER_LINK_H
#define LJS_SERVER_LINK_H

#include <lorajs/audit.h>

#include "base/pack.h"
#include "keys/vault.h"

enum { LINK_SCHEMA = 1, LINK_TAG_LEN = 16 };

/* An entry as it is written; NULL and 0 for what there is none of. */
struct entry {
    ljs_audit_kind kind;
    ljs_err err;
    ljs_eui dev_eui;
    uint32_t join_nonce, nonce, count;
    ljs_netid net_id;
    const char *who, *text;
    const uint8_t *before, *after; /* tags of 16 octets */
};

void ljs__link_entry(struct wr *body, const struct entry *e);
/* The whole of it into `w`, which is emptied first: `entries` of them are in `body`. */
ljs_err ljs__link_write(struct wr *w, const ljs_vault *vault, const ljs_audit_link *head, const struct wr *body);

/* Read one entry after another, `head.entries` of them; bad when it is none. */
struct link_reader {
    ljs_audit_link head;
    struct unpack u;
};
/* The head alone; the tag is not looked at.  LJS_E_SEAL, LJS_E_VERSION. */
ljs_err ljs__link_begin(struct link_reader *out, const uint8_t *in, size_t in_len);
void ljs__link_next(struct link_reader *r, ljs_audit_entry *out);

#endif
