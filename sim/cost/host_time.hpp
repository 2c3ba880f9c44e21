// What the CPU optimizer reads and writes beside the update itself.
#pragma once

namespace shardsim {

/// Unscaling and clipping the fp32 gradient in place before the CPU optimizer: read 4, write 4.
inline constexpr double cpu_unscale_bytes = 8;
/// fp32 master to 16-bit copy: read 4, write 2, and the written line is read first.
inline constexpr double cpu_downcast_bytes = 8;

}  // namespace shardsim
