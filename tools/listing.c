/* listing.c -- what `kek list`, `lot list`, `role list` and `account list` have in common. */
#include "tool.h"

int list_all(const struct usage *usage, int argc, char **argv, ljs_err (*each)(struct listing *run), const char *none)
{
    struct listing run = { .json = false };
    struct data data;
    ljs_err err;
    int code = read_flags(usage, &run, &argc, &argv);

    if (code != GO_ON)
        return code;
    if ((code = data_open(&data, &run.where, DATA_OPEN, NULL)))
        return code;
    run.server = data.server;
    if ((err = each(&run)))
        code = complain_err(err, usage->path);
    else if (!run.any && !run.json && none)
        complain("%s", none);
    data_close(&data);
    return code;
}
