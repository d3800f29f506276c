#ifndef RING_H
#define RING_H
#include <stddef.h>

/* A queue of bytes of a fixed size: what does not fit is not taken. */
struct ring {
  unsigned char *data;
  size_t size, head, used;
};

int ring_init(struct ring *r, size_t size);
size_t ring_put(struct ring *r, const void *bytes, size_t n); /* how many were taken */
size_t ring_get(struct ring *r, void *bytes, size_t n);       /* how many were given */
void ring_free(struct ring *r);
#endif
