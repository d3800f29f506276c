#pragma once
// Whether this host can run builders, and what to do where it cannot: `mayfly doctor`. Tries things in child processes;
// leaves nothing changed. Takes about 100 ms.
#include <string>
#include <vector>

namespace mayfly::local {

struct HostCheck {
  enum class Status { ok, warning, missing } status = Status::ok;
  std::string name;
  std::string found;   // what is there
  std::string advice;  // what to do; empty when it is ok
};

struct HostReport {
  std::vector<HostCheck> checks;
  std::string obstacle;  // one sentence why this host can run no containers at all, with what to allow; empty: it can
  bool fit() const { return obstacle.empty(); }
};

// `directory` is the state directory that is (to be) used; it need not exist. `runtime`: auto, crun or runc.
HostReport probe_host(const std::string& directory, const std::string& runtime = "auto");

}  // namespace mayfly::local
