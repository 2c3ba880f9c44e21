#include "sim/sweep/build.hpp"

#ifdef SHARDSIM_WITH_MPI
#include <mpi.h>
#endif

namespace shardsim {

namespace {

std::string compiler() {
#ifdef __clang__
  return "Clang " + std::to_string(__clang_major__) + "." + std::to_string(__clang_minor__) + "." +
         std::to_string(__clang_patchlevel__);
#else
  return "GCC " + std::to_string(__GNUC__) + "." + std::to_string(__GNUC_MINOR__) + "." +
         std::to_string(__GNUC_PATCHLEVEL__);
#endif
}

std::string openmp() {
#ifdef _OPENMP
  return "OpenMP " + std::to_string(_OPENMP);
#else
  return "no OpenMP";
#endif
}

std::string mpi() {
#if defined(SHARDSIM_WITH_MPI) && defined(OMPI_MAJOR_VERSION)
  return "Open MPI " + std::to_string(OMPI_MAJOR_VERSION) + "." + std::to_string(OMPI_MINOR_VERSION) + "." +
         std::to_string(OMPI_RELEASE_VERSION);
#elif defined(SHARDSIM_WITH_MPI)
  return "MPI " + std::to_string(MPI_VERSION) + "." + std::to_string(MPI_SUBVERSION);
#else
  return "no MPI";
#endif
}

}  // namespace

std::string build_description() { return compiler() + ", " + openmp() + ", " + mpi(); }

}  // namespace shardsim
