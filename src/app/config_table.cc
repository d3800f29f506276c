#include "app/config_table.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "app/config_shapes.h"
#include "base/result.h"
#include "base/text.h"

namespace mayfly {
namespace {

using K = ConfigKind;
using S = ConfigSection;
using T = const ConfigTarget&;
using V = const ConfigValue&;

double share_of(const std::string& percent) { return std::strtod(percent.c_str(), nullptr) / 100; }

constexpr ConfigBlock ci_blocks[] = {{"azure-devops", S::azure_devops}, {"github", S::github}};

// clang-format off: a row is read as a whole
constexpr ConfigKey keys[] = {
    // The top level.
    {.in = S::top, .name = "pools", .kind = K::sections, .required = true, .shape = &pool_shape, .child = S::pool,
     .doc = "The pools by name. At least one. A pool's name begins the ids of its builders, which are their hostnames."},
    {.in = S::top, .name = "images", .kind = K::sections, .shape = &name_shape, .child = S::image,
     .doc = "Images that Mayfly builds from recipes, by name."},
    {.in = S::top, .name = "secrets", .kind = K::sections, .shape = &secret_shape, .child = S::secret,
     .doc = "Where the values of secrets come from, by name. The values themselves are never in this file."},
    {.in = S::top, .name = "platforms", .kind = K::sections, .shape = &platform_shape, .child = S::platform,
     .doc = "What all pools of a platform share, by the platform's name. So far there is `local`, this machine."},
    {.in = S::top, .name = "server", .kind = K::section, .child = S::server,
     .doc = "The API over TCP. Without it the daemon listens on the unix socket in its state directory only."},
    {.in = S::top, .name = "release", .kind = K::section, .child = S::release,
     .doc = "How versions of images are signed, published and kept."},
    {.in = S::top, .name = "report", .kind = K::section, .child = S::report,
     .doc = "Who is told how builds of images stand: [images.md](images.md#tell-others)."},
    {.in = S::top, .name = "keep_jobs", .kind = K::duration, .fallback = "30d", .min = "1m", .max = "3650d", .example = "7d",
     .doc = "How long ended jobs and their logs are kept.",
     .store = [](T t, V v) { t.config->keep_jobs = v.duration; }},

    // An image.
    {.in = S::image, .name = "recipe", .kind = K::path, .example = "images/general",
     .doc = "The folder with the Dockerfile; relative to this file. Without it the image has only the versions that "
            "`mayfly image release` gives it.",
     .store = [](T t, V v) { t.image->recipe = v.text; }},
    {.in = S::image, .name = "args", .kind = K::texts, .shape = &variable_shape,
     .example = "{BASE: docker.io/library/debian:bookworm-slim}",
     .doc = "Build arguments: values for the Dockerfile's ARG lines.",
     .store = [](T t, V v) { t.image->args = v.texts; }},
    {.in = S::image, .name = "publish", .kind = K::names, .shape = &repository_shape,
     .example = "[registry.example/team/general]",
     .doc = "Repositories that each released version is brought to, under its own tag and the channels `latest`, `2` and "
            "`2.4`: the same digest everywhere. A registry on this machine's loopback may be plain HTTP.",
     .store = [](T t, V v) { t.image->publish = v.names; }},
    {.in = S::image, .name = "provides", .kind = K::names, .shape = &tool_shape, .example = "[gcc, make]",
     .doc = "Programs or packages that users of the image rely on: when one is gone, the next version is a major one.",
     .store = [](T t, V v) { t.image->provides = v.names; }},
    {.in = S::image, .name = "compression", .kind = K::choice, .fallback = "zstd:chunked", .choices = "zstd:chunked gzip",
     .example = "gzip",
     .doc = "Of published layers. `zstd:chunked` lets podman, CRI-O and other users of containers-storage fetch only the "
            "files that changed; containerd and Docker from 23.0 on read it whole. `gzip` is for what is older.",
     .store = [](T t, V v) { t.image->compression = v.text; }},
    {.in = S::image, .name = "repository", .kind = K::text, .shape = &image_shape, .example = "https://git.example/team/ci.git",
     .doc = "The git repository with the recipe: an address, or a path relative to this file. `recipe:` is then the folder in "
            "it. The repository that the recipe's folder lies in when not given.",
     .store = [](T t, V v) { t.image->repository = v.text; }},
    {.in = S::image, .name = "branch", .kind = K::text, .fallback = "main", .shape = &image_shape, .example = "main",
     .doc = "The branch that versions are released from. Commits to any other are built and tried only.",
     .store = [](T t, V v) { t.image->branch = v.text; }},
    {.in = S::image, .name = "watch", .kind = K::duration, .min = "1s", .max = "1d", .example = "1m",
     .doc = "How often the repository is asked for new commits. Never when not given: then builds are by hand.",
     .store = [](T t, V v) { t.image->watch = v.duration; }},
    {.in = S::image, .name = "watch_base", .kind = K::duration, .min = "0s", .max = "30d", .example = "6h",
     .doc = "How often registries are asked whether the images that it is built FROM are others now; then it is rebuilt "
            "([images.md](images.md#a-base-in-a-registry)). `0s` is never. When not given: every hour where `watch:` is given, else "
            "never.",
     .store = [](T t, V v) { t.image->watch_base = v.duration; }},
    {.in = S::image, .name = "builder", .kind = K::text, .shape = &pool_shape, .example = "image-builder",
     .doc = "The pool whose builders build it, made from an image such as images/image-builder. Its builders see the layers "
            "of released images, read-only. The daemon's own host builds when not given.",
     .store = [](T t, V v) { t.image->builder = v.text; }},
    {.in = S::image, .name = "platforms", .kind = K::names, .shape = &image_platform_shape, .example = "[linux/amd64, linux/arm64]",
     .doc = "What it is built for: each version is then one index with an image for each "
            "([images.md](images.md#several-architectures)). This host's own when not given.",
     .store = [](T t, V v) { t.image->platforms = v.names; }},
    {.in = S::image, .name = "docker", .kind = K::section, .child = S::docker,
     .doc = "A Docker Engine that builds it, for what cannot be built here: [images.md](images.md#by-a-docker-engine-elsewhere)."},
    {.in = S::docker, .name = "url", .kind = K::text, .required = true, .shape = &docker_shape, .example = "tcp://windows.example:2376",
     .doc = "Where the engine's API is.",
     .store = [](T t, V v) { t.image->docker.url = v.text; }},
    {.in = S::docker, .name = "certificates", .kind = K::path, .example = "docker-tls",
     .doc = "A folder with `ca.pem`, `cert.pem` and `key.pem`, as Docker's own client has them; relative to this file. "
            "`tcp://` without it is for this machine's loopback only.",
     .store = [](T t, V v) { t.image->docker.certificates = v.text; }},
    {.in = S::image, .name = "secrets", .kind = K::names, .shape = &secret_shape, .example = "[npm-token]",
     .doc = "Names under `secrets:` that its build may read, by `RUN --mount=type=secret,id=NAME`. They are in no layer: that "
            "is looked for.",
     .store = [](T t, V v) { t.image->secrets = v.names; }},
    {.in = S::image, .name = "try", .kind = K::names, .shape = &command_shape, .example = "[./smoke.sh]",
     .doc = "Shell commands that a job runs on a candidate, in the recipe's folder. All must succeed.",
     .store = [](T t, V v) { t.image->attempts = v.names; }},
    {.in = S::image, .name = "forbid", .kind = K::names, .shape = &command_shape, .example = "[\"*.pem\", root/.netrc]",
     .doc = "Patterns of paths that no layer may have; `*` fits slashes too. Keys and tokens in the usual places always are.",
     .store = [](T t, V v) { t.image->forbid = v.names; }},
    {.in = S::image, .name = "growth", .kind = K::number, .fallback = "0.5", .min = "0", .max = "1000", .example = "0.1",
     .doc = "By which share it may be larger than the version before; 16 MiB are always allowed.",
     .store = [](T t, V v) { t.image->growth = v.number; }},
    {.in = S::image, .name = "approvals", .kind = K::integer, .fallback = "0", .min = "0", .max = "20", .example = "1",
     .doc = "How many people must approve a build before it is released; not the author of the change.",
     .store = [](T t, V v) { t.image->approvals = static_cast<int>(v.integer); }},
    {.in = S::image, .name = "rebuild", .kind = K::text, .shape = &cron_shape, .example = "0 3 * * *",
     .doc = "When it is built anew on a fresh base, UTC: minute, hour, day of month, month, day of week. Released only if its "
            "files changed.",
     .store = [](T t, V v) { t.image->rebuild = v.text; }},
    {.in = S::image, .name = "commit_status", .kind = K::section, .child = S::commit_status,
     .doc = "Shows at the Git host how builds of each commit stand: [images.md](images.md#the-commits-status)."},
    {.in = S::commit_status, .name = "pool", .kind = K::text, .required = true, .shape = &pool_shape, .example = "actions",
     .doc = "The pool through whose `ci:` it is done, `github` or `azure-devops`: with its server and its sign-in.",
     .store = [](T t, V v) { t.image->commit_status.pool = v.text; }},
    {.in = S::commit_status, .name = "repository", .kind = K::text, .required = true, .shape = &hosted_shape, .example = "acme/images",
     .doc = "What the Git host calls the image's repository: OWNER/REPOSITORY, in Azure DevOps PROJECT/REPOSITORY.",
     .store = [](T t, V v) { t.image->commit_status.repository = v.text; }},

    // A pool.
    {.in = S::pool, .name = "image", .kind = K::text, .required = true, .shape = &image_shape, .example = "general",
     .doc = "What its builders are made from: a name under `images:`, perhaps with the versions that it follows, such as "
            "`general@^2`, `general@~2.4`, `general@2.4.1` or `general@latest` (docs/rollouts.md); or a reference: `docker://HOST/NAME:TAG`, "
            "`oci:FOLDER`, `docker-archive:FILE`, or the name of an image in containers-storage, such as "
            "`localhost/general:1`.",
     .store = [](T t, V v) { t.pool->image = v.text; }},
    {.in = S::pool, .name = "ci", .kind = K::choice, .fallback = "builtin", .choices = "builtin buildbot azure-devops github",
     .later_choices = "gitlab buildkite jenkins", .block = true, .blocks = ci_blocks, .example = "buildbot",
     .doc = "Where its jobs come from. `builtin` is Mayfly's own queue (`mayfly run`). `buildbot`: a Buildbot master sends them to "
            "that queue (docs/buildbot.md). `azure-devops`: an agent pool of Azure DevOps (docs/azure-devops.md). "
            "`github`: GitHub Actions (docs/github.md). `{builtin: {}}` means the same as `builtin`.",
     .store = [](T t, V v) { t.pool->ci = v.text; }},
    {.in = S::pool, .name = "platform", .kind = K::choice, .fallback = "local", .choices = "local",
     .later_choices = "docker kubernetes ecs", .block = true, .example = "local",
     .doc = "Where its builders live. `local` is this machine.",
     .store = [](T t, V v) { t.pool->platform = v.text; }},
    {.in = S::pool, .name = "network", .kind = K::choice, .fallback = "egress", .choices = "none egress host", .example = "none",
     .doc = "`none`: loopback only. `egress`: outgoing connections only, with no way to this machine's loopback nor to "
            "other builders. `host`: this machine's own network; it gives up isolation and is recorded in the ledger.",
     .store = [](T t, V v) { t.pool->network = network_from(v.text).value_or(Network::none); }},
    {.in = S::pool, .name = "secrets", .kind = K::names, .shape = &secret_shape, .example = "[npm-token]",
     .doc = "Names under `secrets:` that jobs of this pool may ask for.",
     .store = [](T t, V v) { t.pool->secrets = v.names; }},
    {.in = S::pool, .name = "labels", .kind = K::names, .shape = &label_shape, .example = "[linux, gpu]",
     .doc = "A job may ask for labels instead of a pool (`mayfly run --label`): any pool that has all of them may take it. "
            "Capitals do not count.",
     .store = [](T t, V v) { t.pool->labels = v.names; }},
    {.in = S::pool, .name = "preference", .kind = K::integer, .fallback = "0", .min = "-1000", .max = "1000", .example = "1",
     .doc = "Of the pools that could take a job, the one with the smallest number is asked first; the next when that one "
            "is full or cannot take it.",
     .store = [](T t, V v) { t.pool->preference = static_cast<int>(v.integer); }},
    {.in = S::pool, .name = "weight", .kind = K::number, .fallback = "1", .min = "0.001", .max = "1000", .example = "3",
     .doc = "Its share of the platform where pools compete for it: a pool of weight 3 gets three builders for each one of "
            "a pool of weight 1.",
     .store = [](T t, V v) { t.pool->weight = v.number; }},
    {.in = S::pool, .name = "price", .kind = K::number, .fallback = "0", .min = "0", .max = "1000000", .example = "0.12",
     .doc = "What one builder costs for one hour, in any currency. Only `mayfly simulate` uses it.",
     .store = [](T t, V v) { t.pool->price = v.number; }},
    {.in = S::pool, .name = "builders", .kind = K::section, .child = S::builders,
     .doc = "How many builders, and what each may use."},
    {.in = S::pool, .name = "rollout", .kind = K::section, .child = S::rollout,
     .doc = "How a new version of its image reaches it, where it follows versions (docs/rollouts.md)."},
    {.in = S::pool, .name = "schedule", .kind = K::list, .child = S::schedule,
     .doc = "Times at which `warm`, `min` and `max` change, and at which idle builders are replaced. For each of the three "
            "the entry counts whose time came last."},

    // A pool's builders.
    {.in = S::builders, .name = "warm", .kind = K::integer, .fallback = "0", .min = "0", .max = "10000", .example = "2",
     .doc = "Builders kept ready ahead of jobs. Each takes one job and is replaced. At most `max`.",
     .store = [](T t, V v) { t.pool->warm = static_cast<int>(v.integer); }},
    {.in = S::builders, .name = "min", .kind = K::integer, .fallback = "0", .min = "0", .max = "10000", .example = "1",
     .doc = "Builders that exist at least, busy ones counted. At most `max`.",
     .store = [](T t, V v) { t.pool->min = static_cast<int>(v.integer); }},
    {.in = S::builders, .name = "max", .kind = K::integer, .fallback = "10", .min = "1", .max = "100000", .example = "20",
     .doc = "Builders that exist at once, at most.",
     .store = [](T t, V v) { t.pool->max = static_cast<int>(v.integer); }},
    {.in = S::builders, .name = "cpu", .kind = K::number, .min = "0.01", .max = "4096", .example = "2",
     .doc = "Cores. Not limited when not given.",
     .store = [](T t, V v) { t.pool->limits.cpu = v.number; }},
    {.in = S::builders, .name = "memory", .kind = K::size, .fallback = "4GiB", .min = "16MiB", .max = "64TiB", .example = "8GiB",
     .doc = "Memory, with the workspace in it.",
     .store = [](T t, V v) { t.pool->limits.memory = v.integer; }},
    {.in = S::builders, .name = "disk", .kind = K::size, .min = "1MiB", .max = "64TiB", .example = "2GiB",
     .doc = "The workspace: everything that a job writes. It lives in memory, so it is at most `memory`. Half of `memory` "
            "when not given.",
     .store = [](T t, V v) { t.pool->limits.disk = v.integer; }},
    {.in = S::builders, .name = "pids", .kind = K::integer, .fallback = "4096", .min = "16", .max = "4194304", .example = "512",
     .doc = "Processes and threads at once.",
     .store = [](T t, V v) { t.pool->limits.pids = static_cast<int>(v.integer); }},
    {.in = S::builders, .name = "timeout", .kind = K::duration, .fallback = "1h", .min = "1s", .max = "30d", .example = "20m",
     .doc = "How long a job may run. A job may ask for less, never for more.",
     .store = [](T t, V v) { t.pool->limits.timeout = v.duration; }},
    {.in = S::builders, .name = "grace", .kind = K::duration, .fallback = "10s", .min = "100ms", .max = "1h", .example = "30s",
     .doc = "Between SIGTERM and SIGKILL, when a job is stopped.",
     .store = [](T t, V v) { t.pool->limits.grace = v.duration; }},
    {.in = S::builders, .name = "log", .kind = K::size, .fallback = "1GiB", .min = "1KiB", .max = "1TiB", .example = "100MiB",
     .doc = "How much of a job's output is kept. The rest is dropped, and the log says so.",
     .store = [](T t, V v) { t.pool->limits.log = v.integer; }},

    // A pool's rollouts.
    {.in = S::rollout, .name = "canary", .kind = K::text, .fallback = "0%", .shape = &percent_shape, .example = "10%",
     .doc = "Share of the launches that a new version gets at first. 0%: none; its builders are made ready, and then it "
            "gets all.",
     .store = [](T t, V v) { t.pool->rollout.canary = share_of(v.text); }},
    {.in = S::rollout, .name = "min_jobs", .kind = K::integer, .fallback = "20", .min = "1", .max = "100000", .example = "50",
     .doc = "Jobs that must have ended on a new version before it counts as proven.",
     .store = [](T t, V v) { t.pool->rollout.min_jobs = static_cast<int>(v.integer); }},
    {.in = S::rollout, .name = "margin", .kind = K::text, .fallback = "5%", .shape = &percent_shape, .example = "2%",
     .doc = "The new version is rolled back when its jobs' failure rate exceeds the old one's by more than this, and chance "
            "alone would do so no more than once in a hundred times.",
     .store = [](T t, V v) { t.pool->rollout.margin = share_of(v.text); }},
    {.in = S::rollout, .name = "soak", .kind = K::duration, .fallback = "1h", .min = "1s", .max = "30d", .example = "15m",
     .doc = "After this time without anything against it a new version counts as proven even with fewer jobs.",
     .store = [](T t, V v) { t.pool->rollout.soak = v.duration; }},

    // A pool's schedule.
    {.in = S::schedule, .name = "cron", .kind = K::text, .required = true, .shape = &cron_shape, .example = "0 5 * * MON-FRI",
     .doc = "When: minute, hour, day of month, month, day of week.",
     .store = [](T t, V v) { t.schedule->cron = v.text; }},
    {.in = S::schedule, .name = "timezone", .kind = K::text, .fallback = "UTC", .example = "America/Los_Angeles",
     .doc = "Whose clock. A time that a clock change skips happens at the change; one that it repeats happens once.",
     .store = [](T t, V v) { t.schedule->timezone = v.text; }},
    {.in = S::schedule, .name = "warm", .kind = K::integer, .min = "0", .max = "10000", .example = "10",
     .doc = "The pool's `warm` from then on.",
     .store = [](T t, V v) { t.schedule->warm = static_cast<int>(v.integer); }},
    {.in = S::schedule, .name = "min", .kind = K::integer, .min = "0", .max = "10000", .example = "2",
     .doc = "The pool's `min` from then on.",
     .store = [](T t, V v) { t.schedule->min = static_cast<int>(v.integer); }},
    {.in = S::schedule, .name = "max", .kind = K::integer, .min = "0", .max = "100000", .example = "50",
     .doc = "The pool's `max` from then on; 0 stops the pool from starting builders.",
     .store = [](T t, V v) { t.schedule->max = static_cast<int>(v.integer); }},
    {.in = S::schedule, .name = "refresh", .kind = K::choice, .choices = "idle", .example = "idle",
     .doc = "`idle`: builders that wait for jobs are replaced by new ones; busy ones are left to finish.",
     .store = [](T t, V v) { t.schedule->refresh = v.text == "idle"; }},

    // A platform.
    {.in = S::platform, .name = "max", .kind = K::integer, .min = "1", .max = "100000", .example = "40",
     .doc = "Builders of all its pools that exist at once, at most. Not limited when not given. Pools share them by "
            "`weight`; idle builders make room for jobs that wait.",
     .store = [](T t, V v) { t.platform->max = static_cast<int>(v.integer); }},
    {.in = S::platform, .name = "parallel_launches", .kind = K::integer, .min = "1", .max = "1000", .example = "4",
     .doc = "Builders that it starts at once. As it thinks best when not given: `local` starts 4.",
     .store = [](T t, V v) { t.platform->parallel_launches = static_cast<int>(v.integer); }},
    {.in = S::platform, .name = "launches_per_minute", .kind = K::integer, .min = "1", .max = "1000000", .example = "600",
     .doc = "Builders that it starts in a minute. Not limited when not given. As many may start at once after a quiet "
            "minute; from then on they follow evenly.",
     .store = [](T t, V v) { t.platform->launches_per_minute = static_cast<int>(v.integer); }},
    {.in = S::platform, .name = "registries", .kind = K::names, .shape = &registry_shape, .example = "[registry.example:5000]",
     .doc = "Registries (HOST[:PORT], perhaps with a path) that its builders' images are pulled from. What an image's `publish:` "
            "names there is where its versions come from, and no pool of the platform moves to a version before it is "
            "there. Without it a version is had by the reference that it was released with.",
     .store = [](T t, V v) { t.platform->registries = v.names; }},

    // A pool's jobs from Azure DevOps.
    {.in = S::azure_devops, .name = "organization", .kind = K::text, .example = "acme",
     .doc = "The organization at dev.azure.com. Either this or `url`.",
     .store = [](T t, V v) { t.pool->ci_settings["organization"] = v.text; }},
    {.in = S::azure_devops, .name = "url", .kind = K::text, .example = "https://tfs.acme.example/tfs/DefaultCollection",
     .doc = "The collection of a server of your own.",
     .store = [](T t, V v) { t.pool->ci_settings["url"] = v.text; }},
    {.in = S::azure_devops, .name = "pool", .kind = K::text, .required = true, .example = "linux",
     .doc = "The agent pool, by name.",
     .store = [](T t, V v) { t.pool->ci_settings["pool"] = v.text; }},
    {.in = S::azure_devops, .name = "token", .kind = K::text, .shape = &secret_shape, .names_secret = true, .example = "azure-token",
     .doc = "The name under `secrets:` of a personal access token. Either this or a service principal.",
     .store = [](T t, V v) { t.pool->ci_settings["token"] = v.text; }},
    {.in = S::azure_devops, .name = "tenant_id", .kind = K::text, .needs = "client_id client_secret", .example = "3f1c7d62-0000-4000-8000-000000000000",
     .doc = "The Entra tenant of the service principal.",
     .store = [](T t, V v) { t.pool->ci_settings["tenant_id"] = v.text; }},
    {.in = S::azure_devops, .name = "client_id", .kind = K::text, .needs = "tenant_id client_secret", .example = "9b0e4a11-0000-4000-8000-000000000000",
     .doc = "The service principal's application (client) id.",
     .store = [](T t, V v) { t.pool->ci_settings["client_id"] = v.text; }},
    {.in = S::azure_devops, .name = "client_secret", .kind = K::text, .shape = &secret_shape, .needs = "tenant_id client_id", .names_secret = true,
     .example = "azure-client-secret",
     .doc = "The name under `secrets:` of the service principal's secret.",
     .store = [](T t, V v) { t.pool->ci_settings["client_secret"] = v.text; }},
    {.in = S::azure_devops, .name = "login_url", .kind = K::text, .example = "https://login.microsoftonline.us",
     .doc = "Entra's address in a sovereign cloud. `https://login.microsoftonline.com` when not given.",
     .store = [](T t, V v) { t.pool->ci_settings["login_url"] = v.text; }},
    {.in = S::azure_devops, .name = "ca_file", .kind = K::path, .example = "/etc/mayfly/tfs-ca.pem",
     .doc = "Authorities to trust for `url`, as PEM, instead of the system's.",
     .store = [](T t, V v) { t.pool->ci_settings["ca_file"] = v.text; }},
    {.in = S::azure_devops, .name = "capabilities", .kind = K::texts, .shape = &capability_shape, .example = "{docker: \"yes\"}",
     .doc = "What pipelines may demand of these builders, with values.",
     .store = [](T t, V v) { for (const auto& [name, value] : v.texts) t.pool->ci_settings["capabilities." + name] = value; }},
    {.in = S::azure_devops, .name = "demands", .kind = K::choice, .choices = "ignore-case exact", .example = "exact",
     .doc = "How demands are compared with `capabilities`; `ignore-case` when not given, as the service does.",
     .store = [](T t, V v) { t.pool->ci_settings["demands"] = v.text; }},
    {.in = S::azure_devops, .name = "agent_version", .kind = K::text, .required = true, .shape = &version_shape, .example = "4.255.0",
     .doc = "The version of the agent in the image. Jobs that ask for a newer one are reported before they fail.",
     .store = [](T t, V v) { t.pool->ci_settings["agent_version"] = v.text; }},
    {.in = S::azure_devops, .name = "fallback_token", .kind = K::text, .shape = &secret_shape, .names_secret = true, .example = "azure-agent-token",
     .doc = "The name under `secrets:` of a token that a builder gets to register itself, only where the server refuses "
            "agents that Mayfly registers. Without it no token enters a builder.",
     .store = [](T t, V v) { t.pool->ci_settings["fallback_token"] = v.text; }},
    // A pool's jobs from GitHub Actions (docs/github.md).
    {.in = S::github, .name = "organization", .kind = K::text, .example = "acme",
     .doc = "Serve the repositories of this organization at github.com. Exactly one of `organization`, `repository` and `url`.",
     .store = [](T t, V v) { t.pool->ci_settings["organization"] = v.text; }},
    {.in = S::github, .name = "repository", .kind = K::text, .example = "acme/site",
     .doc = "Serve this one repository at github.com.",
     .store = [](T t, V v) { t.pool->ci_settings["repository"] = v.text; }},
    {.in = S::github, .name = "url", .kind = K::text, .example = "https://git.acme.example/team",
     .doc = "The same of another server: `https://HOST/ORGANIZATION` or `https://HOST/OWNER/REPOSITORY`.",
     .store = [](T t, V v) { t.pool->ci_settings["url"] = v.text; }},
    {.in = S::github, .name = "repositories", .kind = K::names, .shape = &source_shape, .example = "[site, tools]",
     .doc = "Of an organization only these. All that the credential may see when not given.",
     .store = [](T t, V v) { t.pool->ci_settings["repositories"] = join(v.names, ","); }},
    {.in = S::github, .name = "app_id", .kind = K::text, .needs = "private_key", .example = "Iv23liAbCdEf",
     .doc = "The client id (or number) of a GitHub App. Either this or `token`.",
     .store = [](T t, V v) { t.pool->ci_settings["app_id"] = v.text; }},
    {.in = S::github, .name = "private_key", .kind = K::text, .shape = &secret_shape, .needs = "app_id", .names_secret = true, .example = "github-app-key",
     .doc = "The name under `secrets:` of the App's private key.",
     .store = [](T t, V v) { t.pool->ci_settings["private_key"] = v.text; }},
    {.in = S::github, .name = "installation_id", .kind = K::integer, .min = "1", .max = "1000000000000", .needs = "app_id", .example = "12345678",
     .doc = "The App's installation. Found by itself when not given.",
     .store = [](T t, V v) { t.pool->ci_settings["installation_id"] = std::to_string(v.integer); }},
    {.in = S::github, .name = "token", .kind = K::text, .shape = &secret_shape, .names_secret = true, .example = "github-token",
     .doc = "The name under `secrets:` of a personal access token.",
     .store = [](T t, V v) { t.pool->ci_settings["token"] = v.text; }},
    {.in = S::github, .name = "webhook_secret", .kind = K::text, .shape = &secret_shape, .names_secret = true, .example = "github-webhook",
     .doc = "The name under `secrets:` of the webhook's secret. Without it Mayfly looks every few seconds and takes no webhooks.",
     .store = [](T t, V v) { t.pool->ci_settings["webhook_secret"] = v.text; }},
    {.in = S::github, .name = "labels", .kind = K::names, .required = true, .shape = &runner_label_shape, .example = "[mayfly]",
     .doc = "What jobs ask for by `runs-on`. `self-hosted`, `Linux` and the architecture come by themselves.",
     .store = [](T t, V v) { t.pool->ci_settings["labels"] = join(v.names, ","); }},
    {.in = S::github, .name = "runner_group", .kind = K::text, .example = "Builders",
     .doc = "The organization's runner group. The default one when not given.",
     .store = [](T t, V v) { t.pool->ci_settings["runner_group"] = v.text; }},

    // A secret.
    {.in = S::secret, .name = "env", .kind = K::text, .shape = &variable_shape, .example = "NPM_TOKEN",
     .doc = "The daemon's environment variable that holds the value.",
     .store = [](T t, V v) { t.secret->env = v.text; }},
    {.in = S::secret, .name = "file", .kind = K::path, .example = "secrets/npm-token",
     .doc = "The file that holds the value; relative to this file. Only its owner may be allowed to read it (chmod 600). "
            "One newline at its end is dropped.",
     .store = [](T t, V v) { t.secret->file = v.text; }},

    // Releases.
    {.in = S::release, .name = "key", .kind = K::path, .example = "keys/release.pem",
     .doc = "PEM file of a private key without passphrase (ECDSA P-256, or Ed25519) that signs what is published; relative "
            "to this file. Only its owner may be allowed to read it (chmod 600). Without it nothing is signed.",
     .store = [](T t, V v) { t.config->release.key = v.text; }},
    {.in = S::release, .name = "keep", .kind = K::integer, .fallback = "10", .min = "1", .max = "10000", .example = "5",
     .doc = "Versions of each image, the highest, that are kept even if nothing uses them.",
     .store = [](T t, V v) { t.config->release.keep = static_cast<int>(v.integer); }},
    {.in = S::release, .name = "patience", .kind = K::duration, .fallback = "2m", .min = "1s", .max = "1h", .example = "30s",
     .doc = "How long a registry may take for one exchange, plus a second for each MiB that is sent. Then it is tried "
            "again later.",
     .store = [](T t, V v) { t.config->release.patience = v.duration; }},

    // Reports.
    {.in = S::report, .name = "url", .kind = K::text, .required = true, .shape = &report_url_shape, .example = "https://ci.example/mayfly",
     .doc = "Where each build's status is sent by POST, as JSON. It is no place for a secret: use `secret`.",
     .store = [](T t, V v) { t.config->report.url = v.text; }},
    {.in = S::report, .name = "secret", .kind = K::text, .required = true, .shape = &secret_shape, .names_secret = true, .example = "report-key",
     .doc = "The name under `secrets:` of the key that signs each report (HMAC-SHA256 of the body, in `X-Mayfly-Signature-256`).",
     .store = [](T t, V v) { t.config->report.secret = v.text; }},
    {.in = S::report, .name = "timeout", .kind = K::duration, .fallback = "10s", .min = "100ms", .max = "30s", .example = "5s",
     .doc = "How long one try may take. It is tried again, ten times at most.",
     .store = [](T t, V v) { t.config->report.timeout = v.duration; }},

    // The server.
    {.in = S::server, .name = "listen", .kind = K::text, .shape = &address_shape, .needs = "tls tokens", .example = "0.0.0.0:8443",
     .doc = "Where to listen.",
     .store = [](T t, V v) { t.config->server.listen = v.text; }},
    {.in = S::server, .name = "tls", .kind = K::section, .child = S::tls, .needs = "listen", .doc = "The server's certificate."},
    {.in = S::server, .name = "tokens", .kind = K::path, .needs = "listen", .example = "tokens",
     .doc = "The file of bearer tokens: lines of `NAME SHA256-HEX-OF-TOKEN`; relative to this file.",
     .store = [](T t, V v) { t.config->server.tokens = v.text; }},
    {.in = S::tls, .name = "certificate", .kind = K::path, .required = true, .example = "tls/server.pem",
     .doc = "PEM file with the certificate and those that signed it; relative to this file.",
     .store = [](T t, V v) { t.config->server.tls_certificate = v.text; }},
    {.in = S::tls, .name = "key", .kind = K::path, .required = true, .example = "tls/server.key",
     .doc = "PEM file with its private key; relative to this file.",
     .store = [](T t, V v) { t.config->server.tls_key = v.text; }},
};
// clang-format on

constexpr ConfigSectionInfo sections[] = {
    {S::top, "top", "the top level", "(top level)", "The file as a whole."},
    {S::pool, "pool", "pool", "pools.NAME", "Builders of one kind."},
    {S::builders, "builders", "builders", "pools.NAME.builders",
     "How many builders a pool has, and what each may use."},
    {S::image, "image", "image", "images.NAME",
     "An image: what Mayfly builds from its recipe when that has changed, and the versions that were released."},
    {S::commit_status, "commit_status", "commit_status", "images.NAME.commit_status",
     "Where the status of the commits that an image is built from is shown."},
    {S::docker, "docker", "docker", "images.NAME.docker", "The Docker Engine that an image is built by."},
    {S::rollout, "rollout", "rollout", "pools.NAME.rollout", "How a new version of its image reaches a pool."},
    {S::schedule, "schedule", "entry of the schedule", "pools.NAME.schedule[]", "One time, and what changes then."},
    {S::platform, "platform", "platform", "platforms.NAME", "What all pools of one platform share."},
    {S::azure_devops, "azure_devops", "azure-devops", "pools.NAME.ci.azure-devops",
     "Jobs of an agent pool of Azure DevOps: [azure-devops.md](azure-devops.md) goes from nothing to the first job."},
    {S::github, "github", "github", "pools.NAME.ci.github",
     "Jobs of GitHub Actions: [github.md](github.md) goes from nothing to the first job."},
    {S::secret, "secret", "secret", "secrets.NAME",
     "Where one secret's value comes from: exactly one of these keys. It is read anew each time a job needs it, so a "
     "changed file needs no restart.",
     true},
    {S::server, "server", "server", "server", "The API over TCP, with TLS and bearer tokens."},
    {S::release, "release", "release", "release", "How versions of images are signed, published and kept."},
    {S::report, "report", "report", "report", "Where the status of each build of an image is sent."},
    {S::tls, "tls", "tls", "server.tls", "Both keys belong together."},
};

}  // namespace

std::span<const ConfigKey> config_keys() { return keys; }
std::span<const ConfigSectionInfo> config_sections() { return sections; }

const ConfigSectionInfo& config_section(ConfigSection section) {
  const auto* info =
      std::find_if(std::begin(sections), std::end(sections), [&](const auto& s) { return s.section == section; });
  MAYFLY_CHECK(info != std::end(sections));
  return *info;
}

std::vector<std::string> config_words(std::string_view list) {
  return list.empty() ? std::vector<std::string>() : split(list, ' ');
}

double config_bound(ConfigKind kind, std::string_view text) {
  if (kind == K::size) {
    auto bytes = parse_bytes(text);
    MAYFLY_CHECK(bytes.has_value());
    return static_cast<double>(*bytes);
  }
  if (kind == K::duration) {
    auto duration = parse_duration(text);
    MAYFLY_CHECK(duration.has_value());
    return static_cast<double>(duration->count());
  }
  double number = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  MAYFLY_CHECK(ec == std::errc() && end == text.data() + text.size());
  return number;
}

}  // namespace mayfly
