#include "ring.h"

#include <string.h>

#include "check.h"

int main(void) {
  struct ring r;
  char out[64];
  CHECK(ring_init(&r, 10) == 0);
  CHECK(ring_put(&r, "abcdefgh", 8) == 8);
  CHECK(ring_put(&r, "ijkl", 4) == 2);
  CHECK(ring_put(&r, "x", 1) == 0);
  CHECK(ring_get(&r, out, 4) == 4 && memcmp(out, "abcd", 4) == 0);
  CHECK(ring_put(&r, "mnop", 4) == 4);
  CHECK(ring_get(&r, out, sizeof out) == 10 && memcmp(out, "efghijmnop", 10) == 0);
  CHECK(ring_get(&r, out, 1) == 0);

  /* What goes in comes out, in order, whatever the pieces. */
  unsigned char next_in = 0, next_out = 0, piece[16];
  for (int round = 0; round < 20000; round++) {
    size_t n = (size_t)(round * 7 % 11);
    for (size_t i = 0; i < n; i++) piece[i] = (unsigned char)(next_in + i);
    next_in = (unsigned char)(next_in + ring_put(&r, piece, n));
    size_t got = ring_get(&r, piece, (size_t)(round * 5 % 9));
    for (size_t i = 0; i < got; i++) CHECK(piece[i] == next_out++);
  }
  ring_free(&r);
  return all_well("ring");
}
