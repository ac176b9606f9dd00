/* qr.h -- the picture of a QR code, where the build has libqrencode (and libpng). */
#ifndef LORAJS_TOOLS_QR_H
#define LORAJS_TOOLS_QR_H

#include <stdbool.h>
#include <stdio.h>

struct picture {
    unsigned char *dark; /* size x size, row by row: 1 is dark; free() */
    unsigned size;       /* modules of a side, without the quiet zone */
};

/* DONE; FAILED when this build makes none, or there was no memory.  Complains itself. */
int picture_of(struct picture *out, const char *text);
/* With the quiet zone of four modules; false when it could not be written. */
bool picture_svg(FILE *to, const struct picture *picture);
bool picture_png(FILE *to, const struct picture *picture, unsigned scale);
bool picture_text(FILE *to, const struct picture *picture); /* for a terminal, in half blocks */

#endif
