#ifndef CHECK_H
#define CHECK_H
#include <stdio.h>
#include <stdlib.h>

static int checks;

/* Counts, and ends the program at the first thing that is not so. */
#define CHECK(what)                                                             \
  do {                                                                          \
    checks++;                                                                   \
    if (!(what)) {                                                              \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);        \
      exit(1);                                                                  \
    }                                                                           \
  } while (0)

static inline int all_well(const char *module) {
  printf("ok %s: %d checks\n", module, checks);
  return 0;
}
#endif
