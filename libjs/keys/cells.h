/* cells.h -- places of one size for what is secret and lives long, side by side in guarded memory: a guarded area
 * for each would cost 28 us, and pages of what may be locked.  Any thread at once. */
#ifndef LJS_KEYS_CELLS_H
#define LJS_KEYS_CELLS_H

#include <lorajs/base.h>

enum cell_kind { CELL_KEY, CELL_BAG, CELL_KINDS };

/* A cell of `size` octets, the same for all of a kind; zeroed, at an address that 16 divides.
 * On error *out is NULL: LJS_E_NOMEM when there is no locked memory. */
ljs_err ljs__cell_take(void **out, enum cell_kind kind, size_t size);
/* Wipes.  Not in a child of fork(): cells of before it are the parent's. */
void ljs__cell_give(enum cell_kind kind, void *cell);

/* For what is in the cells, where threads share one; fork() waits until it is given back. */
void ljs__cells_lock(enum cell_kind kind);
void ljs__cells_unlock(enum cell_kind kind);

#endif
