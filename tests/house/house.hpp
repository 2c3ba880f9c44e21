// The house rules: what the tree must look like for data to flow one way and for the project to speak only of itself.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace house {

/// One breach: "sim/engine/engine.cpp:12: ...", the path relative to the root of the tree.
struct Breach {
  std::string file;
  std::size_t line = 0;  ///< 0: the file or folder as a whole
  std::string rule;
};
std::string text_of(const Breach& breach);

/// Quoted includes in model/ and sim/ start at the root of the tree and point to the same floor or down; the engine
/// knows of sim/plan only plan.hpp; sim/sweep knows no simulation and only verbs and main know it.
std::vector<Breach> check_floors(const std::filesystem::path& root);
/// mpi.h and omp.h are included only in sim/sweep, Boost.Graph only in sim/topology.
std::vector<Breach> check_libraries(const std::filesystem::path& root);
/// The top level holds the folders and files that the README's map names, dotfiles and build folders.
std::vector<Breach> check_top_level(const std::filesystem::path& root);
/// No code or text file that people read is longer than 600 lines.
std::vector<Breach> check_lengths(const std::filesystem::path& root);
/// No text names a folder of one machine or the host of a package registry.
std::vector<Breach> check_places(const std::filesystem::path& root);

}  // namespace house
