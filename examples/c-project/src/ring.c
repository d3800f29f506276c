#include "ring.h"

#include <stdlib.h>
#include <string.h>

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

int ring_init(struct ring *r, size_t size) {
  *r = (struct ring){.data = malloc(size), .size = size};
  return r->data ? 0 : -1;
}

size_t ring_put(struct ring *r, const void *bytes, size_t n) {
  n = smaller(n, r->size - r->used);
  if (n == 0) return 0;
  size_t tail = (r->head + r->used) % r->size, first = smaller(n, r->size - tail);
  memcpy(r->data + tail, bytes, first);
  memcpy(r->data, (const unsigned char *)bytes + first, n - first);
  r->used += n;
  return n;
}

size_t ring_get(struct ring *r, void *bytes, size_t n) {
  n = smaller(n, r->used);
  if (n == 0) return 0;
  size_t first = smaller(n, r->size - r->head);
  memcpy(bytes, r->data + r->head, first);
  memcpy((unsigned char *)bytes + first, r->data, n - first);
  r->head = (r->head + n) % r->size;
  r->used -= n;
  return n;
}

void ring_free(struct ring *r) {
  free(r->data);
  *r = (struct ring){0};
}
