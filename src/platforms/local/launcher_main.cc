// The launcher's program: `mayfly-launcher`, started by the daemon with the control socket as descriptor 3.
#include <unistd.h>

#include <cstdio>

#include "platforms/local/launcher.h"

int main() {
  using namespace mayfly::local;
  setsid();  // Ctrl-C in the daemon's terminal is the daemon's business
  auto first = receive_message(3);
  auto setup = first ? decode_setup(*first) : mayfly::Result<LauncherSetup>(mayfly::Unexpected(first.error()));
  if (!setup) {
    std::fprintf(stderr, "mayfly-launcher is started by mayfly itself, not by hand: %s\n",
                 setup.error().text().c_str());
    return 125;
  }
  return Launcher(3, std::move(*setup)).run();
}
