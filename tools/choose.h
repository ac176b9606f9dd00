/* choose.h -- which devices a command is about. */
#ifndef LORAJS_CHOOSE_H
#define LORAJS_CHOOSE_H

#include "tool.h"

/* The flags; a member `choice` of a command's options. */
struct choice {
    const char *match, *join_eui, *label;
};
#define CHOICE_FLAGS(opts)                                                                                             \
    { "match", "DIGITS", "only DevEUIs that begin so", FLAG_TEXT, offsetof(opts, choice.match), 0, 0 },                \
        { "join-eui", "EUI", "only devices with this JoinEUI", FLAG_TEXT, offsetof(opts, choice.join_eui), 0, 0 },     \
    {                                                                                                                  \
        "label", "LABEL", "only devices with this KEK label or AS-ID", FLAG_TEXT, offsetof(opts, choice.label), 0, 0   \
    }

struct chosen {
    ljs_eui first, last; /* DevEUIs from here to there */
    bool by_join_eui;
    ljs_eui join_eui;
    const char *label; /* NULL: any */
};

/* Complains itself; DONE, or an exit code. */
int choose(struct chosen *out, const struct choice *choice);
/* Of a device in that range, by its record. */
bool is_chosen(const struct chosen *chosen, const ljs_device *device, const ljs_buf *record);

#endif
