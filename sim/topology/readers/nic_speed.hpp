// NICs by their speed, which is all that a running machine says of them.
#pragma once

#include <string>
#include <vector>

namespace shardsim {

/// The catalogue's NIC of this speed; InfiniBand by its driver's name (mlx, ib), else Ethernet. Empty, with a sentence,
/// for what is slower than 10 Gb/s: a management port.
std::string nic_of_speed(double megabits, const std::string& name, std::vector<std::string>& assumptions);

}  // namespace shardsim
