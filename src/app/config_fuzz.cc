// A configuration is a Config or has a mistake with its place; no bytes make the reader crash. Seeds:
// tests/fuzz/config.
#include <cstdlib>

#include "app/config.h"

// libfyaml 0.7.12 loses 4 KiB for some unterminated quotes; ours are still found.
extern "C" const char* __lsan_default_suppressions() { return "leak:libfyaml\n"; }

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  auto config = mayfly::parse_config({reinterpret_cast<const char*>(data), size}, "/fuzz/mayfly.yaml");
  if (!config && config.error().what.rfind("/fuzz/mayfly.yaml:", 0) != 0) std::abort();
  return 0;
}
