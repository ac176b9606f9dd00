#include "contract/contract.h"

static ljs_err open_memory(ljs_store **out, const char *dir)
{
    (void)dir;
    return ljs_store_memory(out);
}

int main(void)
{
    return contract_run(&(struct contract){ "memory", open_memory, false });
}
