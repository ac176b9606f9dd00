/* The modules of a QR code by libqrencode, as SVG, PNG (libpng) or characters. */
#include "qr.h"

#include "tool.h"

#include <stdlib.h>
#include <string.h>

enum { QUIET = 4 }; /* modules of light around, [ISO/IEC 18004] */

static bool is_dark(const struct picture *p, unsigned x, unsigned y) /* with the quiet zone */
{
    return x >= QUIET && y >= QUIET && x < p->size + QUIET && y < p->size + QUIET &&
           p->dark[(y - QUIET) * p->size + x - QUIET];
}

#ifdef LORAJS_QRENCODE
#include <png.h>
#include <qrencode.h>

int picture_of(struct picture *out, const char *text)
{
    /* Upper-case digits and letters take the compact set of QR codes: half the modules. */
    QRcode *code = QRcode_encodeString(text, 0, QR_ECLEVEL_M, QR_MODE_8, 1);
    size_t n = code ? (size_t)code->width * (size_t)code->width : 0;

    *out = (struct picture){ NULL, code ? (unsigned)code->width : 0 };
    out->dark = n ? malloc(n) : NULL;
    for (size_t i = 0; out->dark && i < n; i++)
        out->dark[i] = code->data[i] & 1;
    QRcode_free(code);
    if (out->dark)
        return DONE;
    complain("qr: no picture could be made");
    return FAILED;
}

static void png_rows(png_structp png, const struct picture *p, unsigned scale, unsigned char *row)
{
    unsigned side = (p->size + 2 * QUIET) * scale;

    for (unsigned y = 0; y < side; y++) {
        memset(row, 0xff, (side + 7) / 8);
        for (unsigned x = 0; x < side; x++)
            if (is_dark(p, x / scale, y / scale))
                row[x / 8] = (unsigned char)(row[x / 8] & ~(0x80 >> x % 8));
        png_write_row(png, row);
    }
}

bool picture_png(FILE *to, const struct picture *p, unsigned scale)
{
    unsigned side = (p->size + 2 * QUIET) * scale;
    unsigned char *row = malloc((side + 7) / 8);
    png_structp png = row ? png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL) : NULL;
    png_infop info = png ? png_create_info_struct(png) : NULL;
    bool good = info != NULL;

    if (good && setjmp(png_jmpbuf(png)))
        good = false;
    else if (good) {
        png_init_io(png, to);
        png_set_IHDR(png, info, side, side, 1, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                     PNG_FILTER_TYPE_DEFAULT);
        png_write_info(png, info);
        png_rows(png, p, scale, row);
        png_write_end(png, info);
    }
    png_destroy_write_struct(&png, &info);
    free(row);
    return good;
}
#else
int picture_of(struct picture *out, const char *text)
{
    (void)text;
    *out = (struct picture){ NULL, 0 };
    complain("qr: this lorajs was built without libqrencode and libpng: it writes texts, no pictures");
    return FAILED;
}

bool picture_png(FILE *to, const struct picture *p, unsigned scale)
{
    (void)to, (void)p, (void)scale;
    return false;
}
#endif

bool picture_svg(FILE *to, const struct picture *p)
{
    unsigned side = p->size + 2 * QUIET;

    fprintf(to,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %u %u\" shape-rendering=\"crispEdges\">\n"
            "<path fill=\"#fff\" d=\"M0 0h%uv%uH0z\"/>\n<path d=\"",
            side, side, side, side);
    for (unsigned y = 0; y < side; y++)
        for (unsigned x = 0, n; x < side; x += n) { /* a run of one colour */
            for (n = 1; x + n < side && is_dark(p, x + n, y) == is_dark(p, x, y);)
                n++;
            if (is_dark(p, x, y))
                fprintf(to, "M%u %uh%uv1h-%uz", x, y, n, n);
        }
    return fputs("\"/>\n</svg>\n", to) >= 0 && !ferror(to);
}

bool picture_text(FILE *to, const struct picture *p)
{
    /* Light is drawn, for who writes light on dark as terminals do: both halves, upper, lower, none. */
    static const char *const blocks[] = { "\xe2\x96\x88", "\xe2\x96\x80", "\xe2\x96\x84", " " };
    unsigned side = p->size + 2 * QUIET;

    for (unsigned y = 0; y < side; y += 2) {
        for (unsigned x = 0; x < side; x++)
            fputs(blocks[2 * is_dark(p, x, y) + (y + 1 >= side || is_dark(p, x, y + 1))], to);
        fputc('\n', to);
    }
    return !ferror(to);
}
