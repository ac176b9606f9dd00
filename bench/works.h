/* works.h -- what of lorajs is measured, and what the files that measure it share. */
#ifndef BENCH_WORKS_H
#define BENCH_WORKS_H

#include "worker.h"

#include <lorajs/lorajs.h>

enum { CORES = 3, STEPS = 3, HANDLERS = 5 };
extern const struct work core_works[CORES], step_works[STEPS], handler_works[HANDLERS];

/* The crypto core of a fixture's join, of kind 'a', 'b' or 'c'. */
struct core_answer {
    uint8_t accept[LJS_ACCEPT_MAX];
    size_t accept_len;
    ljs_envelope
        key[4]; /* network keys in the order of the specification, then AppSKey; 'a' has the first and the last */
};
ljs_err core_join(struct core_answer *out, size_t i, int kind);

enum { HANDLER_WRAPPED = 2 }; /* of handler_works: where every key is wrapped */

/* The vault: of a master key, unless the program has another. */
ljs_err vault_ready(ljs_vault **out);

/* A vault, and the KEKs and root keys of the fixtures as handles; made once. */
struct keys {
    ljs_vault *vault;
    ljs_key *ns_kek, *as_kek;
    ljs_key *nwk[JOINS], *app[JOINS];
};
const struct keys *keys_ready(void);

/* The network server of the fixtures, "ns", may ask: with KEKs, or taking keys in clear. */
void peers_ready(ljs_server *server, bool keks);

/* The past of a device that is about to send the fixture's join. */
struct history {
    ljs_mac mac;
    unsigned sessions; /* made by earlier joins */
    unsigned used;     /* DevNonces known used before them, in a set as LoRaWAN before 1.0.4 keeps it */
};
ljs_buf record_of(const struct fixture *f, const ljs_root_keys *roots, const struct history *history);
/* Every fixture's, in an array of JOINS. */
ljs_buf *records_of(const struct history *history);

#endif
