/* faulty.h -- a store over another that fails, tears or delays the nth call: what a disk,
 * a network or a full machine may do, when a test wants it. */
#ifndef FAULTY_H
#define FAULTY_H

#include <lorajs/backend.h>

enum faulty_call { FAULTY_GET, FAULTY_COMMIT, FAULTY_EACH, FAULTY_CALLS };

enum fault {
    FAULT_NONE,
    FAULT_BEFORE, /* LJS_E_STORE, and nothing is done */
    FAULT_AFTER,  /* all is done, and then LJS_E_STORE: the fate is unknown */
    FAULT_TEAR,   /* the first half of the groups is done, and then LJS_E_STORE */
    FAULT_SOME,   /* LJS_OK, but every second group is LJS_E_STORE, and done or not by turns */
    FAULT_DELAY,  /* takes 2 ms more */
    FAULTS
};

struct faulty;

/* Takes `inner`.  `control` lives as long as *out. */
ljs_err faulty_new(ljs_store **out, struct faulty **control, ljs_store *inner);
/* The nth call from now on (1 is the next), and when `every` each nth after it. */
void faulty_arm(struct faulty *faulty, enum faulty_call call, unsigned nth, enum fault fault, int every);

#endif
