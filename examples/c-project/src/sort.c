#include "sort.h"

#include <stdlib.h>
#include <string.h>

static void merge(char *to, const char *a, size_t na, const char *b, size_t nb, size_t size, int (*compare)(const void *, const void *)) {
  while (na && nb) {
    const char **from = compare(a, b) <= 0 ? &a : &b;
    size_t *left = from == &a ? &na : &nb;
    memcpy(to, *from, size);
    to += size;
    *from += size;
    --*left;
  }
  memcpy(to, a, na * size);
  memcpy(to + na * size, b, nb * size);
}

int sort_stable(void *items, size_t count, size_t size, int (*compare)(const void *, const void *)) {
  if (count < 2) return 0;
  char *from = items, *to = malloc(count * size), *scratch = to;
  if (!to) return -1;
  for (size_t run = 1; run < count; run *= 2) {
    for (size_t i = 0; i < count; i += 2 * run) {
      size_t na = run < count - i ? run : count - i, rest = count - i - na, nb = run < rest ? run : rest;
      merge(to + i * size, from + i * size, na, from + (i + na) * size, nb, size, compare);
    }
    char *other = from;
    from = to;
    to = other;
  }
  if (from != (char *)items) memcpy(items, from, count * size);
  free(scratch);
  return 0;
}
