#include "platforms/local/launcher_program.h"

__asm__(
    ".pushsection .rodata\n"
    ".global mayfly_launcher_begin\n"
    ".global mayfly_launcher_end\n"
    ".balign 16\n"
    "mayfly_launcher_begin:\n"
    ".incbin \"" MAYFLY_LAUNCHER_FILE
    "\"\n"
    "mayfly_launcher_end:\n"
    ".popsection\n");

extern "C" const char mayfly_launcher_begin[], mayfly_launcher_end[];

namespace mayfly::local {

std::string_view launcher_program() {
  return {mayfly_launcher_begin, static_cast<std::size_t>(mayfly_launcher_end - mayfly_launcher_begin)};
}

}  // namespace mayfly::local
