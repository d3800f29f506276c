#pragma once
// One function per command of the table; each gives the exit code.
#include <vector>

#include "cli/table.h"

namespace mayfly {

int command_up(Call& call);
int command_run(Call& call);
int command_status(Call& call);
int command_pools(Call& call);
int command_jobs(Call& call);
int command_builders(Call& call);
int command_logs(Call& call);
int command_explain(Call& call);
int explain_pool(Call& call);  // `explain` with the name of a pool
int command_cancel(Call& call);
int command_audit_show(Call& call);
int command_audit_verify(Call& call);
int command_doctor(Call& call);
int command_simulate(Call& call);
int command_init(Call& call);
int command_config_check(Call& call);
int command_config_schema(Call& call);
int command_completion(Call& call);
int command_version(Call& call);
int command_help(Call& call);

// Parts of the table that stand beside their functions.
std::vector<Command> image_commands();
std::vector<Command> config_change_commands();
std::vector<Command> rollout_commands();
int command_drain(Call& call);
std::vector<Command> image_build_commands();

}  // namespace mayfly
