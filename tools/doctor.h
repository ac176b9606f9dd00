/* doctor.h -- what the parts of `lorajs doctor` share: the visit, and how a finding is told.  Each part looks, tells,
 * and changes nothing. */
#ifndef LORAJS_TOOLS_DOCTOR_H
#define LORAJS_TOOLS_DOCTOR_H

#include "config.h"
#include "token.h"

struct doctor_opts {
    struct where where;
    const char *config;
    bool strict, json;
};

enum verdict { OK, WARNING, ERROR, VERDICTS };

struct label {
    char text[LJS_LABEL_MAX];
};

struct visit {
    const struct doctor_opts *opts;
    struct where where;
    struct config config;
    bool has_config;
    struct data data;
    const char *check; /* that is under way */
    unsigned found[VERDICTS];

    struct label *keks;
    size_t keks_len;
    struct label *lots;
    size_t lots_len;
    uint64_t of_lots, without_lot;
    ljs_eui first_without_lot;
    uint64_t devices, removed, tampered, spent, sealed_only; /* sealed_only: its KEK is not there */
    ljs_eui first_tampered, first_without;
};

/* A finding of the check that is under way; the remedy is not told when all is well. */
void tell(struct visit *v, enum verdict verdict, const char *remedy, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* What a part that complains itself has said, into complain_into(), as one finding. */
void tell_caught(struct visit *v, char *said, const char *remedy);

/* doctor_machine.c */
void look_memory(struct visit *v);
void look_dumps(struct visit *v);
void look_swap(struct visit *v);
void look_clock(struct visit *v);
/* doctor_data.c: the directory, its master key, and, when that opens it, the database. */
void look_data(struct visit *v);
/* doctor_records.c: every KEK, lot and record; is there such a KEK? */
void look_records(struct visit *v);
bool has_kek(const struct visit *v, const char *label);
/* doctor_config.c */
void look_config(struct visit *v);

#endif
