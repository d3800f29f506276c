// The part of the platforms' contract that needs no containers, on the fake.
#include <map>
#include <memory>

#include "platforms/fake/fake_platform.h"
#include "tests/contract/platform_life_contract.h"

namespace mayfly::contract {
namespace {

LivingPlatform fake() {
  // The worlds, by directory: what a restarted daemon finds again.
  struct Worlds {
    FakeClock clock;
    std::map<std::string, FakeWorld> by_directory;
  };
  LivingPlatform p{.name = "fake", .skip = "", .make = {}, .image = [] { return Result<std::string>("an-image"); }};
  p.make = [worlds = std::make_shared<Worlds>(),
            missing = p.missing](const std::string& directory) -> Result<std::unique_ptr<Platform>> {
    auto& world = worlds->by_directory.try_emplace(directory, worlds->clock).first->second;
    auto platform = std::make_unique<FakePlatform>(world);
    platform->remove_image(missing);
    return platform;
  };
  return p;
}

}  // namespace
INSTANTIATE_TEST_SUITE_P(Fake, PlatformLife, testing::Values(fake()));
}  // namespace mayfly::contract
