#pragma once
// What a pool's queued jobs wait for, as `status` and `explain` say it.
#include <string>

#include <boost/json/object.hpp>

#include "base/clock.h"

namespace mayfly {

// A line for each reason: "12 jobs: pool_at_max, the oldest for 4 min: pool 'general' has all …". Empty: none waits.
std::string waits_text(const boost::json::object& pool, Time now, std::string_view indent);

}  // namespace mayfly
