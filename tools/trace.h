/* trace.h -- a sequence of messages between a device, its network and a Join Server, as
 * lines of text while it happens and as a diagram when it is over. */
#ifndef LORAJS_TRACE_H
#define LORAJS_TRACE_H

#include <stdbool.h>
#include <stdint.h>

enum actor { DEVICE, NETWORK, JOIN_SERVER, ACTORS };

struct trace;

/* Complains itself; DONE, or an exit code of tool.h.
 * @param print    lines to standard output
 * @param diagram  a file to write, .svg or .mmd (Mermaid); NULL for none */
int trace_open(struct trace **out, bool print, const char *diagram);
/* Whose life it is from now on. */
void trace_title(struct trace *trace, const char *title);
/* A message that arrives at `at`, in ms; or one that does not, at the time it was sent. */
void trace_message(struct trace *trace, int64_t sent, int64_t at, enum actor from, enum actor to, bool lost,
                   const char *text);
/* What becomes of one of them. */
void trace_note(struct trace *trace, int64_t at, enum actor whose, const char *text);
/* Writes the diagram.  NULL is taken. */
int trace_close(struct trace *trace);

#endif
