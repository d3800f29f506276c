#pragma once
// What texts in a configuration must look like. `fits` decides; `pattern` says the same to the JSON Schema, `words` to
// people: a property test holds the three together.
#include "app/config_table.h"

namespace mayfly {

extern const ConfigShape name_shape, pool_shape, secret_shape, variable_shape, label_shape, platform_shape,
    address_shape, cron_shape, repository_shape, tool_shape, percent_shape, source_shape, runner_label_shape,
    capability_shape, version_shape, command_shape, image_shape, report_url_shape, registry_shape, hosted_shape,
    image_platform_shape, docker_shape;

}  // namespace mayfly
