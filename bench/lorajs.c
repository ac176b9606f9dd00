/* The worker that is lorajs: core, step and handler. */
#include "works.h"

#include <string.h>

int main(int argc, char **argv)
{
    struct work works[CORES + STEPS + HANDLERS];

    memcpy(works, core_works, sizeof core_works);
    memcpy(works + CORES, step_works, sizeof step_works);
    memcpy(works + CORES + STEPS, handler_works, sizeof handler_works);
    return worker(argc, argv, works, sizeof works / sizeof *works);
}
