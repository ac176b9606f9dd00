/* device_act.c -- `lorajs device block`, `unblock`, `move-back`, `reset-nonces` and `remove`: a step of the machine of
 * a device, for each that is named. */
#include "tool.h"

#include <inttypes.h>

struct act_opts {
    struct where where;
    bool dry_run, json;
};

static const struct flag act_flags[] = {
    WHERE_FLAGS(struct act_opts),
    { "dry-run", NULL, "look whether it could be done and change nothing", FLAG_SWITCH,
      offsetof(struct act_opts, dry_run), 0, 0 },
    { "json", NULL, "a JSON object a device", FLAG_SWITCH, offsetof(struct act_opts, json), 0, 0 },
    { 0 },
};
const struct usage device_block_usage = {
    "device block", "DEVEUI...", "Answers nothing more for a device but who its home network is.", act_flags, 1, 1000
};
const struct usage device_unblock_usage = { "device unblock", "DEVEUI...", "Ends `device block`.", act_flags, 1, 1000 };
const struct usage device_move_back_usage = {
    "device move-back",
    "DEVEUI...",
    "Ends `device export --move`: this server answers for the device again. Only when the one that it moved to does no "
    "more, and what that knew was received from it (`device receive`): else a JoinNonce is given twice.",
    act_flags,
    1,
    1000
};
const struct usage device_reset_usage = {
    "device reset-nonces",
    "DEVEUI...",
    "Forgets which DevNonces and RJcount1 were used, for a device that lost its own memory of them. Joins that were "
    "recorded on the air can then be played back once more, so do it for that device only. JoinNonce goes on.",
    act_flags,
    1,
    1000
};
const struct usage device_remove_usage = {
    "device remove",
    "DEVEUI...",
    "Forgets a device's keys and sessions. Its nonces are remembered, so that importing it again cannot repeat one.",
    act_flags,
    1,
    1000
};

static int act(int argc, char **argv, const struct usage *usage, ljs_device_act what, const char *done,
               const char *would)
{
    struct act_opts opts = { 0 };
    struct data data;
    int code = read_flags(usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if ((code = check_euis(argc, argv)) || (code = data_try(&data, &opts.where, DATA_OPEN, NULL, opts.dry_run)))
        return code;
    for (int i = 0; i < argc; i++) {
        ljs_eui eui;
        ljs_err err = ljs_eui_parse(&eui, argv[i]);

        if (!err)
            err = ljs_server_step_device(data.server, eui, what);
        if (err == LJS_E_MOVED) {
            complain("%016" PRIx64 ": it has moved to another Join Server; see `lorajs device move-back --help`", eui);
            code = REFUSED;
        } else if (err == LJS_E_STATE) {
            complain("%016" PRIx64 ": its state does not allow that; see `lorajs device show %016" PRIx64 "`", eui,
                     eui);
            code = REFUSED;
        } else if (err) {
            code = complain_device(err, eui);
        } else {
            device_report(opts.json, eui, opts.dry_run ? would : done);
        }
    }
    data_close(&data);
    return code;
}

int cmd_device_block(int argc, char **argv)
{
    return act(argc, argv, &device_block_usage, LJS_DEVICE_BLOCK, "blocked", "would be blocked");
}

int cmd_device_unblock(int argc, char **argv)
{
    return act(argc, argv, &device_unblock_usage, LJS_DEVICE_UNBLOCK, "unblocked", "would be unblocked");
}

int cmd_device_move_back(int argc, char **argv)
{
    return act(argc, argv, &device_move_back_usage, LJS_DEVICE_MOVE_BACK, "moved back", "would be moved back");
}

int cmd_device_reset(int argc, char **argv)
{
    return act(argc, argv, &device_reset_usage, LJS_DEVICE_RESET_NONCES, "nonces reset", "nonces would be reset");
}

int cmd_device_remove(int argc, char **argv)
{
    return act(argc, argv, &device_remove_usage, LJS_DEVICE_REMOVE, "removed", "would be removed");
}
