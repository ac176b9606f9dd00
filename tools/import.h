/* import.h -- how devices come in, whatever they are read from. */
#ifndef LORAJS_IMPORT_TOOL_H
#define LORAJS_IMPORT_TOOL_H

#include "tool.h"

enum { IMPORT_FAULT_MAX = 256 };

/* ljs_device_make() and all JoinEUIs; `dry_run` makes the same steps over what is there, and writes nothing. */
ljs_err import_device(struct data *data, const ljs_import *import, unsigned flags, bool dry_run);
/* A refusal is about the device; anything else would hit the next one too. */
bool import_failed(ljs_err err);
/* What a refusal says about it, for faults that have no better words. */
void import_fault(char out[IMPORT_FAULT_MAX], ljs_err err, const ljs_import *import);
/* Is there a database, or what stands for its master key? */
bool has_database(const char *dir);
/* For --dry-run where there is none: one in memory, under a key that is thrown away. */
int open_nowhere(struct data *out);

#endif
