#include "strbuf.h"

#include <string.h>

#include "check.h"

int main(void) {
  struct strbuf s = {0};
  CHECK(strbuf_add(&s, "hello", 5) == 0);
  CHECK(strcmp(s.data, "hello") == 0);
  for (int i = 0; i < 10000; i++) CHECK(strbuf_printf(&s, " %d", i) == 0);
  CHECK(s.length == strlen(s.data));
  CHECK(strcmp(s.data + s.length - 5, " 9999") == 0);
  strbuf_free(&s);

  CHECK(strbuf_add(&s, "a-b-c-", 6) == 0);
  CHECK(strbuf_replace(&s, "-", "--") == 3);
  CHECK(strcmp(s.data, "a--b--c--") == 0);
  CHECK(strbuf_replace(&s, "nowhere", "x") == 0);
  CHECK(strbuf_replace(&s, "", "x") == 0);
  strbuf_free(&s);
  CHECK(s.data == NULL);
  return all_well("strbuf");
}
