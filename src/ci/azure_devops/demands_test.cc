#include "ci/azure_devops/demands.h"

#include <gtest/gtest.h>

#include "ci/azure_devops/job.h"

namespace mayfly::azure_devops {
namespace {

const Capabilities capabilities{{"docker", ""}, {"OS", "Debian 12"}, {"tool.version", "3.10.2"}};

TEST(AzureDemands, ANameIsMetByWhateverValue) {
  EXPECT_TRUE(meets("docker", capabilities, Case::exact));
  EXPECT_TRUE(meets("  OS ", capabilities, Case::exact));
  EXPECT_FALSE(meets("gpu", capabilities, Case::ignore));
}

TEST(AzureDemands, CaseCountsOnlyWhereAskedFor) {
  EXPECT_TRUE(meets("DOCKER", capabilities, Case::ignore));
  EXPECT_FALSE(meets("DOCKER", capabilities, Case::exact));
  EXPECT_TRUE(meets("os -equals debian 12", capabilities, Case::ignore));
  EXPECT_FALSE(meets("OS -equals debian 12", capabilities, Case::exact));
}

TEST(AzureDemands, AnEqualDemandNeedsThatVeryValue) {
  EXPECT_TRUE(meets("OS -equals Debian 12", capabilities, Case::exact));
  EXPECT_FALSE(meets("OS -equals Debian", capabilities, Case::ignore));
  EXPECT_FALSE(meets("OS -equals", capabilities, Case::ignore));
}

TEST(AzureDemands, VersionsAreNumbers) {
  EXPECT_TRUE(meets("tool.version -gtVersion 3.9", capabilities, Case::ignore));
  EXPECT_FALSE(meets("tool.version -gtVersion 3.11", capabilities, Case::ignore));
  EXPECT_TRUE(older("2.99.1", "2.100"));
  EXPECT_FALSE(older("4.0", "4"));
}

TEST(AzureDemands, TheAgentsOwnVersionIsNobodysDemand) {
  EXPECT_EQ(unmet_demand({"Agent.Version -gtVersion 99.0.0", "docker", ""}, capabilities, Case::exact), "");
  EXPECT_EQ(unmet_demand({"docker", "gpu -equals a100"}, capabilities, Case::ignore), "gpu -equals a100");
}

TEST(AzureDemands, WhatIsNotUnderstoodIsNotMet) { EXPECT_FALSE(meets("docker -likes x", capabilities, Case::ignore)); }

}  // namespace
}  // namespace mayfly::azure_devops
