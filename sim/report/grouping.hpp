// Entries that say the same, said once: what a person reads, where JSON keeps an entry a device.
#pragma once

#include <vector>

#include "sim/report/report.hpp"

namespace shardsim {

/// Devices with equal figures as one entry each: `count` summed, `id` as "gpu0-gpu7" or "gpu0 and 3 more".
std::vector<DeviceReport> group_equal(const std::vector<DeviceReport>& devices);
std::vector<HostReport> group_equal(const std::vector<HostReport>& hosts);
/// Links that carried the same under the name of the first, `count` summed.
std::vector<LinkReport> group_equal(const std::vector<LinkReport>& links);

/// The device whose memory is used to the largest fraction; the first of equals. Null without devices.
const DeviceReport* fullest(const std::vector<DeviceReport>& devices);

/// Bytes of one category, 0 where it does not occur.
std::int64_t bytes_of(const Breakdown& breakdown, Category category);

/// At most `count` links, those of the highest utilization, in the order given.
std::vector<LinkReport> busiest_links(const std::vector<LinkReport>& links, std::size_t count);

}  // namespace shardsim
