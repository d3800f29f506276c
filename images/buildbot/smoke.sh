#!/bin/sh
# What a builder of this image must be able to do before it is used.
set -e
"$(command -v twistd3 || command -v twistd)" --version >/dev/null
buildbot-worker --version
python3 -c 'import buildbot_worker.bot'
