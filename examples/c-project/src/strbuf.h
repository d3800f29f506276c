#ifndef STRBUF_H
#define STRBUF_H
#include <stddef.h>

/* A string that grows. Zero-initialised is empty; data is always terminated once anything was added. */
struct strbuf {
  char *data;
  size_t length, capacity;
};

int strbuf_add(struct strbuf *s, const char *bytes, size_t n); /* 0, or -1 without memory: then unchanged */
int strbuf_printf(struct strbuf *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
size_t strbuf_replace(struct strbuf *s, const char *what, const char *with); /* how many; (size_t)-1 without memory */
void strbuf_free(struct strbuf *s);
#endif
