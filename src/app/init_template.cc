#include "app/init_template.h"

namespace mayfly {
namespace {

constexpr const char* configuration =
    R"(# Mayfly: every CI job gets a builder that has never run a job before and never will again.
#
#   mayfly up                                    run the daemon with this file
#   mayfly run --pool general -- make test       run a job in a brand-new builder
#
# All keys: docs/configuration.md. A mistake in here is reported with its line and what was probably meant.

# Images that Mayfly builds, from recipes: folders with a Dockerfile. Built anew when the recipe has changed.
images:
  general:
    recipe: images/general              # relative to this file
    # args:                             # values for the Dockerfile's ARG lines
    #   BASE: docker.io/library/debian:bookworm-slim

# Builders of one kind. A job names its pool: mayfly run --pool general
pools:
  general:
    image: general                      # a name from above, or a reference such as docker://docker.io/library/debian:12
    network: egress                     # none, egress (outgoing only) or host
    # secrets: [npm-token]              # jobs of this pool may ask for these: mayfly run --secret npm-token
    builders:
      warm: 1                           # kept ready ahead of jobs; each takes one job
      max: 4                            # at once, at most
      cpu: 2                            # cores of each
      memory: 2GiB                      # of each, with the workspace in it
      disk: 1GiB                        # the workspace; half of memory when not given
      timeout: 30m                      # no job runs longer

# Where the values of secrets come from. The values themselves never stand in this file.
# secrets:
#   npm-token: {env: NPM_TOKEN}         # an environment variable of the daemon, or
#   deploy-key: {file: secrets/deploy}  # a file that only its owner may read (chmod 600)

# The API over TCP. Without this the daemon listens on a unix socket only.
# server:
#   listen: 0.0.0.0:8443
#   tls: {certificate: tls/server.pem, key: tls/server.key}
#   tokens: tokens                      # lines of: NAME SHA256-HEX-OF-TOKEN

keep_jobs: 30d                          # ended jobs and their logs
)";

constexpr const char* dockerfile = R"(# The builder image `general`. Change it, and the next job runs in the new one.
ARG BASE=docker.io/library/debian:bookworm-slim
FROM ${BASE}
RUN apt-get update \
 && apt-get install -y --no-install-recommends build-essential ca-certificates git \
 && rm -rf /var/lib/apt/lists/*
)";

constexpr const char* smoke = R"(#!/bin/sh
# Is a builder of this image fit for work? Try it: mayfly run --pool general --upload images/general -- ./smoke.sh
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf 'int main(void) { return 0; }\n' > "$work/main.c"
cc -o "$work/main" "$work/main.c"
"$work/main"
git --version
echo "general: fit for work"
)";

}  // namespace

std::vector<InitFile> init_files() {
  return {{"mayfly.yaml", configuration, false},
          {"images/general/Dockerfile", dockerfile, false},
          {"images/general/smoke.sh", smoke, true}};
}

}  // namespace mayfly
