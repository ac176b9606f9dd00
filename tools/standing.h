/* standing.h -- whether a device may leave as it stands. */
#ifndef LORAJS_TOOLS_STANDING_H
#define LORAJS_TOOLS_STANDING_H

#include "tool.h"

struct standing {
    ljs_state state;
    bool moved;
    bool keyless; /* whose root keys never were here */
    ljs_rekey_state rekey;
};

ljs_err standing_of(struct standing *out, ljs_server *server, ljs_eui dev_eui);
/* Is a rekey of it under way that a parcel has no place for?  Whoever opened it would know one of two sets of keys.  Of
 * a transfer the new ones may go into a parcel, but until the device has them it joins here. */
bool rekey_holds(const struct standing *is, bool move);
void tell_held(const struct standing *is, ljs_eui dev_eui);

#endif
