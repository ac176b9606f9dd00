/* manifest.h -- what the commands about manifests share: whom to believe, and the reading of entries in turn. */
#ifndef LORAJS_TOOLS_MANIFEST_H
#define LORAJS_TOOLS_MANIFEST_H

#include "tool.h"

struct manifest_opts {
    struct texts signers, roots, join_euis;
    bool all_or_nothing, json;
};

/* `in` is the struct manifest_opts among other options, with its dot, or nothing. */
#define MANIFEST_FLAGS(opts, in)                                                                                       \
    { "signer",                                                                                                        \
      "CERT",                                                                                                          \
      "who signs entries, besides Microchip: certificates, PEM or DER",                                                \
      FLAG_LIST,                                                                                                       \
      offsetof(opts, in signers),                                                                                      \
      0,                                                                                                               \
      0 },                                                                                                             \
        { "root",                                                                                                      \
          "CERT",                                                                                                      \
          "what chips' certificates go back to, besides Microchip's: a CA's certificate",                              \
          FLAG_LIST,                                                                                                   \
          offsetof(opts, in roots),                                                                                    \
          0,                                                                                                           \
          0 },                                                                                                         \
    {                                                                                                                  \
        "join-eui", "EUI", "refuse entries of another JoinEUI, or of none", FLAG_LIST, offsetof(opts, in join_euis),   \
            0, 0                                                                                                       \
    }

struct manifest_run {
    const struct manifest_opts *opts;
    /* Each entry in turn: GO_ON, or the exit code with which it ends here. */
    int (*take)(struct manifest_run *run, const ljs_manifest_entry *entry);
    void *user;
    ljs_manifest *manifest;
    FILE *out;
    uint64_t good, refused, octets, size; /* octets: of the pieces before this one; size: 0 when it is not known */
    size_t at;                            /* in this piece */
    int64_t began, shown;                 /* milliseconds */
    bool bar, drawn;
};

/* The certificates of a file, PEM, or one in DER, to `manifest`. */
int manifest_trust(ljs_manifest *manifest, const char *path,
                   ljs_err (*add)(ljs_manifest *manifest, const uint8_t *in, size_t in_len));
/* All of these complain themselves.  A new manifest that believes whom it is told to: DONE, or an exit code. */
int manifest_prepare(struct manifest_run *run);
/* A file, "-" for standard input: DONE at its end, or the exit code. */
int manifest_read(struct manifest_run *run, const char *path);
/* Takes the bar away, before something is said. */
void manifest_erase(struct manifest_run *run);

command_fn cmd_manifest_keys; /* manifest_keys.c */
extern const struct usage manifest_keys_usage;
command_fn cmd_manifest_register; /* manifest_register.c */
extern const struct usage manifest_register_usage;

#endif
