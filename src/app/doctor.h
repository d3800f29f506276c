#pragma once
// `mayfly doctor`: is this host fit, and what to do if not.
#include <vector>

#include "cli/environment.h"

namespace mayfly {
std::vector<DoctorCheck> doctor();
}
