#include "hashmap.h"

#include "check.h"

enum { N = 20000 };
static int values[N];

int main(void) {
  struct hashmap m = {0};
  char key[32];
  CHECK(hashmap_get(&m, "nothing") == NULL);
  CHECK(hashmap_remove(&m, "nothing") == 0);
  for (int i = 0; i < N; i++) {
    snprintf(key, sizeof key, "key-%d", i);
    CHECK(hashmap_set(&m, key, &values[i]) == 0);
  }
  CHECK(m.count == N);
  for (int i = 0; i < N; i += 2) {
    snprintf(key, sizeof key, "key-%d", i);
    CHECK(hashmap_remove(&m, key) == 1);
    CHECK(hashmap_remove(&m, key) == 0);
  }
  for (int i = 0; i < N; i++) {
    snprintf(key, sizeof key, "key-%d", i);
    CHECK(hashmap_get(&m, key) == (i % 2 ? &values[i] : NULL));
  }
  CHECK(hashmap_set(&m, "key-1", &values[7]) == 0 && hashmap_get(&m, "key-1") == &values[7]);
  CHECK(m.count == N / 2);
  hashmap_free(&m);
  return all_well("hashmap");
}
