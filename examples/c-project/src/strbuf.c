#include "strbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int reserve(struct strbuf *s, size_t length) {
  if (length + 1 <= s->capacity) return 0;
  size_t capacity = s->capacity ? s->capacity : 16;
  while (capacity < length + 1) capacity *= 2;
  char *data = realloc(s->data, capacity);
  if (!data) return -1;
  s->data = data;
  s->capacity = capacity;
  return 0;
}

int strbuf_add(struct strbuf *s, const char *bytes, size_t n) {
  if (reserve(s, s->length + n)) return -1;
  memcpy(s->data + s->length, bytes, n);
  s->length += n;
  s->data[s->length] = 0;
  return 0;
}

int strbuf_printf(struct strbuf *s, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, format, args);
  va_end(args);
  int bad = n < 0 || reserve(s, s->length + (size_t)n);
  if (!bad) {
    vsnprintf(s->data + s->length, (size_t)n + 1, format, again);
    s->length += (size_t)n;
  }
  va_end(again);
  return bad ? -1 : 0;
}

size_t strbuf_replace(struct strbuf *s, const char *what, const char *with) {
  size_t count = 0, step = strlen(what);
  struct strbuf result = {0};
  if (!s->data || step == 0) return 0;
  const char *from = s->data;
  for (const char *hit; (hit = strstr(from, what)); from = hit + step, count++) {
    if (strbuf_add(&result, from, (size_t)(hit - from)) || strbuf_add(&result, with, strlen(with))) goto no_memory;
  }
  if (strbuf_add(&result, from, strlen(from))) goto no_memory;
  strbuf_free(s);
  *s = result;
  return count;
no_memory:
  strbuf_free(&result);
  return (size_t)-1;
}

void strbuf_free(struct strbuf *s) {
  free(s->data);
  *s = (struct strbuf){0};
}
