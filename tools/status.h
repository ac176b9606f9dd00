/* status.h -- which statuses of HTTP are told apart, and what a body of our own says of each. */
#ifndef LORAJS_TOOLS_STATUS_H
#define LORAJS_TOOLS_STATUS_H

#include "http.h"

struct http_status {
    unsigned status;  /* 0: any other */
    const char *text; /* in a body of our own */
};
extern const struct http_status http_statuses[HTTP_STATUSES];

/* The place of a status among them. */
unsigned http_status_row(unsigned status);

#endif
