/* step.h -- the join steps for callers inside the library: the record is loaded,
 * its tag checked; their KEKs are in the ring already (KEY_NS_KEK, KEY_AS_KEK), or absent. */
#ifndef LJS_DEVICE_STEP_H
#define LJS_DEVICE_STEP_H

#include <lorajs/join.h>

#include "device/record.h"

/* As ljs_join(), ljs_app_s_key().  The ring's other slots are the step's, and *r is no longer what
 * it was when they return. */
ljs_err ljs__join(ljs_join_ans *out, ljs_buf *out_record, ljs_vault *vault, struct ring *ring, const ljs_join_req *req,
                  const char *ns_label, const char *as_label, struct record *r);
ljs_err ljs__app_s_key(ljs_envelope *out, ljs_buf *out_record, ljs_vault *vault, struct ring *ring, const char *as_id,
                       unsigned clear, const char *as_label, const uint8_t *in, size_t in_len, struct record *r);

/* As ljs_device_route(), for another owner: the sessions that there are, of the one before, lose their names, so that
 * nobody is given an AppSKey of theirs, and none is answered again.  Rejoins are still verified by them. */
ljs_err ljs__device_hand_over(ljs_buf *out_record, ljs_vault *vault, const ljs_routing *routing, const uint8_t *record,
                              size_t record_len);

#endif
