#pragma once
// The only place that knows every concrete platform, store, image tool and CI system.
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "cli/environment.h"
#include "model/pool.h"
#include "model/state_paths.h"
#include "ports/ci.h"
#include "ports/image_tool.h"
#include "ports/image_works.h"
#include "ports/platform.h"
#include "ports/publisher.h"
#include "ports/reporter.h"
#include "ports/secret_store.h"

namespace mayfly {

// crun or runc, as MAYFLY_RUNTIME says; "auto" without it.
std::string runtime_wanted();

// Whether another daemon will ever be started on this state directory.
enum class StateLife {
  lasting,
  passing,  // a temporary directory: should this process be killed, its builders and the directory go by themselves
};

// Every platform that a pool of this configuration may name. Starts their helper processes.
Result<std::vector<std::unique_ptr<Platform>>> make_platforms(const Config& config, const StatePaths& paths,
                                                              StateLife life, const Log& log);

std::unique_ptr<ImageTool> make_image_tool();
std::unique_ptr<Reporter> make_reporter(SecretStore& secrets);
std::unique_ptr<ImageWorks> make_image_works(const StatePaths& paths);

// Brings versions to registries. Fails if the signing key cannot be read.
Result<std::unique_ptr<Publisher>> make_publisher(const Config& config, const StatePaths& paths);

// `mayfly image verify`: checks a published image against the public key in a file, and says in words what was found.
Result<ImageProof> verify_published(const std::string& reference, const std::string& key_file);

// Makes the connector of a pool whose jobs come from a CI that is asked for them; null for others. Those of one account
// share what they can. One thread at a time; all that is passed outlives what is made.
std::function<Result<std::shared_ptr<Ci>>(const PoolSpec&)> ci_maker(SecretStore& secrets, const Clock& clock,
                                                                     const Log& log);

}  // namespace mayfly
