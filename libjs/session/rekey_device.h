/* rekey_device.h -- what a rekey is to the machine of end_device.c. */
#ifndef LJS_SESSION_REKEY_DEVICE_H
#define LJS_SESSION_REKEY_DEVICE_H

#include "session/end_device_state.h"
#include "session/se.h"

/* The element computes with the root keys that the state has in use.  Those that a state which is durable by now has
 * done with are overwritten. */
ljs_err ljs__ed_rekey_enter(ljs_se *se, struct ed *ed);
/* A join-request is about to be made: under which keys, JoinEUI and DevNonce?  LJS_E_STATE: DeriveKey is under way. */
ljs_err ljs__ed_rekey_turn(ljs_se *se, struct ed *ed);
/* A join-accept was taken. */
void ljs__ed_rekey_settle(struct ed *ed);

#endif
