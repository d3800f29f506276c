#pragma once
// What each route does: translates and passes on. They run on the server's thread and do not block.
#include "api/routes.h"

namespace mayfly::api {

void upload(Call& call);
void submit(Call& call);
void list_jobs(Call& call);
void get_job(Call& call);
void get_log(Call& call);
void get_output(Call& call);
void cancel(Call& call);
void report(Call& call);
void webhook(Call& call);
void wait(Call& call);
void explain(Call& call);
void explain_pool(Call& call);
void drain(Call& call);
void list_builders(Call& call);
void list_pools(Call& call);
void get_status(Call& call);
void plan_config(Call& call);
void apply_config(Call& call);
void list_images(Call& call);
void get_image(Call& call);
void release_image(Call& call);
void build_image(Call& call);
void list_builds(Call& call);
void get_build(Call& call);
void get_build_log(Call& call);
void approve_build(Call& call);
void cancel_build(Call& call);
void rollback_image(Call& call);
void publish_image(Call& call);
void list_rollouts(Call& call);
void change_rollout(Call& call, RolloutOrder order);
void list_ledger(Call& call);
void verify_ledger(Call& call);
void get_openapi(Call& call);
void get_version(Call& call);
void get_health(Call& call);

}  // namespace mayfly::api
