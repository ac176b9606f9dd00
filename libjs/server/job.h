/* job.h -- a message on its way through the loop of handle.c, and what is done for each kind of message. */
#ifndef LJS_SERVER_JOB_H
#define LJS_SERVER_JOB_H

#include "server/internal.h"

#include "device/step.h"

struct job;

/* The message that is looked at and the answer to it.  A batch has one place for them, which stays near the processor,
 * since each is three times as long as all else that is known of a job; who is looked at again is read again. */
struct words {
    ljs_message msg, ans;
    const struct job *of; /* whose they are */
};

/* One message on its way. */
struct job {
    ljs_call *call;
    struct words *words;
    struct view *view; /* of its round */
    struct grant grant;
    ljs_event event;
    bool open;    /* not answered yet */
    bool begun;   /* its sender may ask, and `key` is its device */
    bool known;   /* a device of ours */
    bool changed; /* `record` waits to be saved */
    bool quiet;   /* nothing to tell `why`: a new session stands in the record */
    unsigned tries;
    uint32_t join_nonce;                                   /* of the session, for the audit log */
    const char *rekey;                                     /* where the join has brought a rekey; NULL: nowhere */
    uint8_t before[LINK_TAG_LEN];                          /* the tag of the record that was loaded */
    char ns_label[LJS_LABEL_MAX], as_label[LJS_LABEL_MAX]; /* of KEKs that are used in another's place */
    struct key key;
    uint64_t version;
    ljs_buf record, answer; /* not given out before the record is durable */
};

/* What a message asks for, of a record that was loaded: fills job->words->ans, and job->record where that changes. */
typedef ljs_err step_fn(struct job *job, ljs_server *server, const ljs_peers *peers, struct ring *ring,
                        struct record *record);

/* A kind of message. */
struct step {
    ljs_message_type type;
    step_fn *step;
    ljs_audit_kind kind; /* 0: nothing that the audit log tells */
};

/* NULL for one that nobody asks us for. */
const struct step *ljs__step_for(ljs_message_type type);

#endif
