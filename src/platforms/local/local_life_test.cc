// The life of builders on `local`, with crun and with runc.
#include "platforms/local/test_support.h"
#include "tests/contract/platform_life_contract.h"
#include "tests/contract/test_image.h"

namespace mayfly::contract {
namespace {

LivingPlatform with_runtime(const std::string& runtime) {
  auto log = std::make_shared<Log>(LogLevel::error);
  LivingPlatform p;
  p.name = runtime;
  p.skip = testing_support::why_not(runtime);
  p.make = [runtime, log](const std::string& directory) {
    return testing_support::make_local(runtime, directory, *log);
  };
  p.image = [] { return testing_support::SharedImage::reference(); };
  return p;
}

INSTANTIATE_TEST_SUITE_P(Local, PlatformLife, testing::Values(with_runtime("crun"), with_runtime("runc")),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace mayfly::contract
