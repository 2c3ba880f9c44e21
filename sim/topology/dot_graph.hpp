// The syntax of a DOT file alone: ids and attributes as text, with the lines they stand on.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace shardsim {

using Attributes = std::map<std::string, std::string>;

struct DotNode {
  std::string id;
  Attributes attributes;
  int line = 0;
};

struct DotEdge {
  std::size_t a = 0, b = 0;  ///< indices into DotGraph::nodes
  Attributes attributes;
  int line = 0;
};

/// Nodes in natural order of their ids: "gpu2" before "gpu10".
struct DotGraph {
  Attributes attributes;
  std::vector<DotNode> nodes;
  std::vector<DotEdge> edges;
};

/// True where digits compare as numbers: "gpu2" before "gpu10".
bool natural_less(const std::string& a, const std::string& b);

/// Throws InputError with file and line: unreadable file, a syntax error, a directed graph, a node declared twice.
DotGraph read_dot_graph(const std::filesystem::path& file);

}  // namespace shardsim
