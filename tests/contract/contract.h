/* contract.h -- the sentences of <lorajs/backend.h>, each as a check that runs over any
 * store; and a model that a store is driven beside. */
#ifndef CONTRACT_H
#define CONTRACT_H

#include <lorajs/backend.h>

#include <stdbool.h>

struct contract {
    const char *name;
    /* A store in `dir`, an empty folder to begin with. */
    ljs_err (*open)(ljs_store **out, const char *dir);
    bool lasts; /* what was committed is there again after free and open */
};

/* How many of the checks failed. */
int contract_run(const struct contract *contract);

/* Random batches, each compared with a plain model.  Where the store reports a fault,
 * any outcome of those groups is right that fits what it holds afterwards; `prepare`,
 * which may be NULL, is called before each commit, to arm a fault. */
struct model_run {
    const struct contract *contract;
    unsigned seed, steps;
    void (*prepare)(void *user, unsigned dice);
    void *user;
};
void contract_model(const struct model_run *run, ljs_store *store, const char *dir);

/* A new folder; it and all in it is removed again. */
char *contract_dir(void);
void contract_dir_remove(char *dir);

/* One change; what became of it. */
ljs_err contract_put(ljs_store *store, const char *key, uint64_t if_version, const char *value);
/* Its version; 0 when there is none.  Fails the test on a fault. */
uint64_t contract_version(ljs_store *store, const char *key);
/* Fails the test unless it is so; NULL for a key that is not there. */
void contract_expect(ljs_store *store, const char *key, const char *value);

/* counter += 1 for `times` times, coming again after each conflict; false after a fault. */
bool contract_increment(ljs_store *store, const char *key, unsigned times);
unsigned long contract_counter(ljs_store *store, const char *key);

#endif
