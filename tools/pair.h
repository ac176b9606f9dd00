/* pair.h -- files of key pairs, by which devices are sealed to who receives them and signed by who sends them.  Each
 * complains itself, and repeats nothing of what is there. */
#ifndef LORAJS_TOOLS_PAIR_H
#define LORAJS_TOOLS_PAIR_H

#include "tool.h"

enum { PAIR_LEN = 32 };
enum pair { PAIR_X25519, PAIR_ED25519 };

int read_public(uint8_t out[PAIR_LEN], const char *path, enum pair kind);
/* The secret half of an x25519 pair, of whoever receives; of an ed25519 pair, of whoever sends. */
int read_recipient(ljs_key **out, const char *path);
int read_signer(ljs_key **out, const char *path);

#endif
