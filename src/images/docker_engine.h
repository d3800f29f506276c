#pragma once
// A build by a Docker Engine elsewhere, over its API (docs.docker.com/engine/api: POST /build, GET /images/NAME/get),
// which podman's service speaks too. The engine's own, classic builder: no buildx, no secrets. Blocking; any thread.
#include <string>

#include "images/ignore.h"
#include "os/http_client.h"
#include "os/stop_signal.h"
#include "ports/image_works.h"

namespace mayfly::images {

// How the engine is reached. tcp:// with certificates is TLS, both sides showing theirs.
HttpServer docker_server(const DockerSpec& docker);

// What git archived as the engine gets it: without what .dockerignore names, which is the client's business, and dated
// like the recipe.
Result<void> make_docker_context(const std::string& tar, const Ignore& ignore, Time at, const std::string& to);

struct DockerBuild {
  const BuildOrder& order;
  const os::StopSignal& stop;
  Deadline deadline;

  // Builds the context under `tag`. Its progress is appended to the log, in buildah's words, as it comes. `invalid`
  // where the engine says that the build failed; `unavailable` where nobody answers, or the connection is lost.
  Result<void> run(const std::string& context, const std::string& tag, const std::string& log) const;
  // Fetches what run() built as a docker-archive.
  Result<void> fetch(const std::string& tag, const std::string& to) const;
  // So that nothing of it stays there but what the engine keeps as its cache.
  void remove(const std::string& tag) const;

 private:
  Result<HttpAnswer> exchange(HttpRequest request, std::function<bool(std::string_view)> on_chunk) const;
};

// One line of the engine's answer: what it says for the log, and what went wrong.
struct DockerLine {
  std::string text, error;
  bool built = false;  // it names the image
};
DockerLine read_docker_line(std::string_view line);

}  // namespace mayfly::images
