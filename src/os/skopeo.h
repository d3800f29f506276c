#pragma once
// How Mayfly calls skopeo: which options a place needs, and what its messages mean. Any thread; run() blocks.
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "os/process.h"

namespace mayfly::os {

// Whether a reference's registry is this host itself: only there is plain HTTP as safe as TLS.
bool is_loopback_registry(std::string_view reference);

// {"skopeo", …, command}. Where no policy file exists it is told to accept anything, which is what an absent policy
// means to every other container tool; a policy that exists is obeyed.
std::vector<std::string> skopeo_command(const std::string& command);

// The message of skopeo's last log line (`time="…" level=fatal msg="…"`); a line of another form as it is.
std::string skopeo_message(const Finish& done);

// Whether the message says that there is no such image, rather than that it could not be found out.
bool says_there_is_none(std::string message);

// From a failed call: denied (credentials are wrong or lack a right), not_found, exhausted (the registry throttles or
// its disk is full), unavailable (everything that may pass).
Error skopeo_error(const std::string& what, const std::string& where, const Finish& done);

}  // namespace mayfly::os
