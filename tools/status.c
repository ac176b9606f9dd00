#include "status.h"

const struct http_status http_statuses[HTTP_STATUSES] = {
    { 200, "" },
    { 400, "not a Backend Interfaces message" },
    { 404, "there is nothing here" },
    { 405, "another method is wanted" },
    { 413, "the message is too long" },
    { 500, "internal error" },
    { 503, "come again later" },
    { 0, "" }, /* any other */
};

unsigned http_status_row(unsigned status)
{
    unsigned i = 0;

    while (i < HTTP_STATUSES - 1 && http_statuses[i].status != status)
        i++;
    return i;
}
