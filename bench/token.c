/* The worker whose keys are in a token: the handler as lorajs.c has it, over SoftHSM. */
#include "works.h"

#include "softhsm.h"

static const char *uri;

ljs_err vault_ready(ljs_vault **out)
{
    static const uint8_t pin[] = SOFTHSM_PIN;
    ljs_err err = ljs_token_init(uri, LJS_TOKEN_SEALED, pin, sizeof pin - 1);

    return err ? err : ljs_vault_token(out, uri, pin, sizeof pin - 1);
}

int main(int argc, char **argv)
{
    int code;

    if (!(uri = softhsm_begin()))
        return 1;
    code = worker(argc, argv, &handler_works[HANDLER_WRAPPED], 1);
    softhsm_end();
    return code;
}
