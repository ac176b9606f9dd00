#include "keys/cells.h"

#include "base/secret.h"

#include <pthread.h>

enum { ALIGN = 16, CELLS = 63 }; /* of an area: with keys it is a page of 4096 octets */

#define ALL_USED (UINT64_MAX >> 1)

struct area {
    _Alignas(ALIGN) uint64_t used; /* a bit for each */
    size_t size;
    struct area *next, *before;
};

/* What stands before each cell. */
struct head {
    _Alignas(ALIGN) struct area *area;
    unsigned at;
};

static struct {
    pthread_mutex_t lock;
    struct area *roomy; /* those with a place */
} kinds[CELL_KINDS] = { { PTHREAD_MUTEX_INITIALIZER, NULL }, { PTHREAD_MUTEX_INITIALIZER, NULL } };

void ljs__cells_lock(enum cell_kind kind)
{
    pthread_mutex_lock(&kinds[kind].lock);
}

void ljs__cells_unlock(enum cell_kind kind)
{
    pthread_mutex_unlock(&kinds[kind].lock);
}

static void before_fork(void)
{
    for (int kind = 0; kind < CELL_KINDS; kind++)
        ljs__cells_lock((enum cell_kind)kind);
}

static void after_fork_parent(void)
{
    for (int kind = CELL_KINDS - 1; kind >= 0; kind--)
        ljs__cells_unlock((enum cell_kind)kind);
}

static void after_fork_child(void)
{
    for (int kind = 0; kind < CELL_KINDS; kind++)
        kinds[kind].roomy = NULL; /* memory locks are not inherited: the child makes areas of its own */
    after_fork_parent();
}

static ljs_err init_result;

static void init(void)
{
    init_result = ljs__init();
    if (!init_result && pthread_atfork(before_fork, after_fork_parent, after_fork_child))
        init_result = LJS_E_NOMEM;
}

static void link_area(struct area **roomy, struct area *area)
{
    area->before = NULL;
    area->next = *roomy;
    if (area->next)
        area->next->before = area;
    *roomy = area;
}

static void unlink_area(struct area **roomy, struct area *area)
{
    if (area->before)
        area->before->next = area->next;
    else
        *roomy = area->next;
    if (area->next)
        area->next->before = area->before;
}

static size_t stride(size_t size)
{
    return sizeof(struct head) + (size + ALIGN - 1) / ALIGN * ALIGN;
}

/* NULL when there is no locked memory. */
static void *take(struct area **roomy, size_t size)
{
    struct area *area = *roomy;
    struct head *head;
    unsigned at;

    if (!area) {
        if (!(area = ljs__secret_alloc(sizeof *area + CELLS * stride(size))))
            return NULL;
        area->size = size;
        link_area(roomy, area);
    }
    at = (unsigned)__builtin_ctzll(~area->used);
    area->used |= UINT64_C(1) << at;
    if (area->used == ALL_USED)
        unlink_area(roomy, area);
    head = (void *)((uint8_t *)(area + 1) + at * stride(size));
    head->area = area;
    head->at = at;
    return head + 1;
}

/* An empty area stays while it is the only one with a place. */
static void give(struct area **roomy, void *cell)
{
    const struct head *head = (const struct head *)cell - 1;
    struct area *area = head->area;

    ljs__wipe(cell, area->size);
    if (area->used == ALL_USED)
        link_area(roomy, area);
    area->used &= ~(UINT64_C(1) << head->at);
    if (area->used || (area == *roomy && !area->next))
        return;
    unlink_area(roomy, area);
    ljs__secret_free(area);
}

ljs_err ljs__cell_take(void **out, enum cell_kind kind, size_t size)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    *out = NULL;
    if (pthread_once(&once, init))
        return LJS_E_CRYPTO;
    if (init_result)
        return init_result;
    ljs__cells_lock(kind);
    *out = take(&kinds[kind].roomy, size);
    ljs__cells_unlock(kind);
    return *out ? LJS_OK : LJS_E_NOMEM;
}

void ljs__cell_give(enum cell_kind kind, void *cell)
{
    ljs__cells_lock(kind);
    give(&kinds[kind].roomy, cell);
    ljs__cells_unlock(kind);
}
