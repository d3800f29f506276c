#include "app/doctor.h"

#include "app/catalog.h"
#include "app/daemon.h"
#include "platforms/local/host_probe.h"

namespace mayfly {

std::vector<DoctorCheck> doctor() {
  auto report = local::probe_host(default_state_directory(), runtime_wanted());
  std::vector<DoctorCheck> checks;
  if (!report.fit()) checks.push_back({"containers", DoctorCheck::Status::missing, "this host can run no builders", report.obstacle});
  for (auto& c : report.checks) {
    auto status = c.status == local::HostCheck::Status::ok        ? DoctorCheck::Status::ok
                  : c.status == local::HostCheck::Status::warning ? DoctorCheck::Status::warning
                                                                  : DoctorCheck::Status::missing;
    checks.push_back({std::move(c.name), status, std::move(c.found), std::move(c.advice)});
  }
  return checks;
}

}  // namespace mayfly
