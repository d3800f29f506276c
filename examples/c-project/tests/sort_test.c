#include "sort.h"

#include "check.h"

struct item {
  int key, place;
};

static int by_key(const void *a, const void *b) {
  const struct item *x = a, *y = b;
  return (x->key > y->key) - (x->key < y->key);
}

int main(void) {
  unsigned state = 1;
  for (size_t n = 0; n < 400; n++) {
    struct item items[400];
    for (size_t i = 0; i < n; i++) {
      state = state * 1103515245 + 12345;
      items[i] = (struct item){(int)(state >> 16) % 50, (int)i};
    }
    CHECK(sort_stable(items, n, sizeof *items, by_key) == 0);
    for (size_t i = 1; i < n; i++) {
      CHECK(items[i - 1].key <= items[i].key);
      CHECK(items[i - 1].key < items[i].key || items[i - 1].place < items[i].place);
    }
  }
  return all_well("sort");
}
