/* import.h -- how devices come in, whatever they are read from. */
#ifndef LORAJS_IMPORT_TOOL_H
#define LORAJS_IMPORT_TOOL_H

#include "tool.h"

enum {
    IMPORT_FAULT_MAX = 256,
    IMPORT_TOGETHER = 64, /* as many as ljs_server_import() writes with one commit */
};

/* ljs_server_make_device() and all JoinEUIs. */
ljs_err import_device(struct data *data, const ljs_import *import, unsigned flags);
/* A refusal is about the device; anything else would hit the next one too. */
bool import_failed(ljs_err err);
/* What a refusal says about it, for faults that have no better words. */
void import_fault(char out[IMPORT_FAULT_MAX], ljs_err err, const ljs_import *import);

#endif
