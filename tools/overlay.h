/* overlay.h -- a store over another: it reads what is there, and keeps what is committed in memory alone.  To who uses
 * it, it is a store like any (<lorajs/backend.h>); to the one under it nothing is ever written. */
#ifndef LORAJS_TOOLS_OVERLAY_H
#define LORAJS_TOOLS_OVERLAY_H

#include <lorajs/backend.h>

/* Takes `under`, even when it fails. */
ljs_err overlay_store(ljs_store **out, ljs_store *under);

#endif
