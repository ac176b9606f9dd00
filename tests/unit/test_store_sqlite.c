#include "contract/contract.h"
#include <stdio.h>
#include <stdlib.h>
static ljs_err open_sqlite(ljs_store **out, const char *dir)
{
    char path[256];
    snprintf(path, sizeof path, "%s/store.db", dir);
    return ljs_store_sqlite(out, path);
}

int main(void)
{
    return contract_run(&(struct contract){ "sqlite", open_sqlite, true });
}
