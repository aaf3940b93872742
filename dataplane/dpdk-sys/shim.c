/* The few lines that must be C: thread-local errno, and a log stream that ends in a callback. */
#include "wrapper.h"

int millrace_errno(void) { return rte_errno; }

static ssize_t hand_on(void *cookie, const char *octets, size_t len) {
  ((void (*)(const char *, size_t))cookie)(octets, len);
  return (ssize_t)len;
}

FILE *millrace_log_stream(void (*write)(const char *octets, size_t len)) {
  cookie_io_functions_t functions = {.write = hand_on};
  FILE *stream = fopencookie((void *)write, "w", functions);
  if (stream != NULL) setvbuf(stream, NULL, _IOLBF, BUFSIZ);
  return stream;
}
