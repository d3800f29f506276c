#pragma once
// Runs the calls that block, away from the control thread. Every `done` is called exactly once, later and on the
// control thread (never from inside the call itself). A simulation supplies its own.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/pool.h"
#include "ports/ci.h"
#include "ports/platform.h"

namespace mayfly {

// Lanes of each CI: a queue that is slow to read must not hold up credentials, nor must telling.
enum class CiWork { observe, act, tell };

class Executor {
 public:
  virtual ~Executor() = default;
  // Builds `recipe` first if it has one, else prepares `reference` as it is.
  virtual void prepare(const std::string& platform, const std::string& reference, const ImageSpec* recipe,
                       std::function<void(Result<PlatformImage>)> done) = 0;
  virtual void launch(const std::string& platform, BuilderRequest request, std::function<void(Result<void>)> done) = 0;
  virtual void stop(const std::string& platform, BuilderId builder, std::function<void(Result<void>)> done) = 0;
  virtual void list(const std::string& platform, std::function<void(Result<std::vector<SeenBuilder>>)> done) = 0;
  // Runs `call` away from the control thread, then `done` on it: packing and publishing. Never asked where control was
  // given no publisher.
  virtual void registry(std::function<void()> call, std::function<void()> done) { MAYFLY_CHECK(!call && !done); }
  // `call` blocks; what it gives back runs on the control thread.
  virtual void ci(const std::shared_ptr<Ci>&, CiWork, std::function<std::function<void()>()>) {
    MAYFLY_CHECK(!"no CI here");
  }
};

}  // namespace mayfly
