/* chip.h -- chips as the store has them, and what a claim asks of them. */
#ifndef LJS_SERVER_CHIP_H
#define LJS_SERVER_CHIP_H

#include <lorajs/chip.h>

#include "server/claim.h"

/* LJS_E_NOTFOUND, LJS_E_SEAL, LJS_E_VERSION. */
ljs_err ljs__chip_read(ljs_chip *out, const ljs_vault *vault, ljs_eui dev_eui, const ljs_buf *in);
ljs_err ljs__chip_write(ljs_buf *out, const ljs_vault *vault, const ljs_chip *chip);

/* May the device be claimed with what the request has of its chip?  `owners` as the claim has it now. */
ljs_err ljs__chip_agrees(bool *out, ljs_server *server, const ljs_claim_req *req, uint32_t owners);

#endif
