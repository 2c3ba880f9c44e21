// What the process does with memory that a simulation is done with.
#pragma once

namespace shardsim {

/// Each simulation fills and drops arrays of megabytes. Given back to the kernel and taken again, their pages cost a
/// tenth of a validation's time and make threads wait for one another: from here on they are kept.
void keep_freed_memory();

}  // namespace shardsim
