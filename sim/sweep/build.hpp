// Which parallel engines this binary was compiled with. Like everything that must see mpi.h or omp.h, it lives here.
#pragma once

#include <string>

namespace shardsim {

/// One line for `--version`: the compiler, then OpenMP and MPI as their own headers name themselves, or "no OpenMP",
/// "no MPI": "GCC 12.2.0, OpenMP 201511, Open MPI 4.1.4".
std::string build_description();

}  // namespace shardsim
