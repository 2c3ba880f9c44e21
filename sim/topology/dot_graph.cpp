#include "sim/topology/dot_graph.hpp"

#include <algorithm>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/graphviz.hpp>
#include <boost/make_shared.hpp>
#include <sstream>

#include "model/core/error.hpp"
#include "model/core/read_file.hpp"

namespace shardsim {

namespace {

struct NodeAttributes {
  Attributes attributes;
};
using Parsed = boost::adjacency_list<boost::vecS, boost::vecS, boost::undirectedS, NodeAttributes, NodeAttributes>;
using Vertex = boost::graph_traits<Parsed>::vertex_descriptor;
using Edge = boost::graph_traits<Parsed>::edge_descriptor;

const std::string id_key = "\x01id";  // no attribute of a file can be called so

/// Boost asks for a property map the first time that it meets a name; each is one entry of the attribute texts.
class AttributeMap : public boost::dynamic_property_map {
 public:
  AttributeMap(std::string name, const std::type_info& keys, Parsed& parsed, Attributes& graph)
      : name_(std::move(name)), keys_(keys), parsed_(parsed), graph_(graph) {}
  boost::any get(const boost::any& key) override { return entry(key); }
  std::string get_string(const boost::any& key) override { return entry(key); }
  void put(const boost::any& key, const boost::any& value) override {
    entry(key) = boost::any_cast<std::string>(value);
  }
  const std::type_info& key() const override { return keys_; }
  const std::type_info& value() const override { return typeid(std::string); }

 private:
  std::string& entry(const boost::any& key) {
    if (key.type() == typeid(Vertex)) return parsed_[boost::any_cast<Vertex>(key)].attributes[name_];
    if (key.type() == typeid(Edge)) return parsed_[boost::any_cast<Edge>(key)].attributes[name_];
    return graph_[name_];
  }
  std::string name_;
  const std::type_info& keys_;
  Parsed& parsed_;
  Attributes& graph_;
};

void parse(const std::string& text, Parsed& parsed, Attributes& graph) {
  boost::dynamic_properties properties([&](const std::string& name, const boost::any& key,
                                           const boost::any&) -> boost::shared_ptr<boost::dynamic_property_map> {
    return boost::make_shared<AttributeMap>(name, key.type(), parsed, graph);
  });
  boost::read_graphviz(text, parsed, properties, id_key);
}

/// Empty when the text is a graph, else the parser's complaint.
std::string complaint(const std::string& text) {
  try {
    Parsed parsed;
    Attributes graph;
    parse(text, parsed, graph);
    return "";
  } catch (const boost::graph_exception& error) {
    return error.what();
  }
}

/// Boost's parser names no line: the error stands on the first line up to which the text brings the same complaint.
int line_of_complaint(const std::string& text, const std::string& whole) {
  std::vector<std::size_t> ends;
  for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', end + 1)) ends.push_back(end);
  const auto brings_another = [&](std::size_t end) { return complaint(text.substr(0, end)) != whole; };
  return static_cast<int>(std::partition_point(ends.begin(), ends.end(), brings_another) - ends.begin()) + 1;
}

/// The text with comments blanked out, lines kept.
std::string without_comments(std::string text) {
  enum class In { code, quotes, line, block } in = In::code;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    const bool line_start = i == 0 || text[i - 1] == '\n';
    if (in == In::code && c == '"') {
      in = In::quotes;
    } else if (in == In::quotes && c == '"' && text[i - 1] != '\\') {
      in = In::code;
    } else if (in == In::code && ((c == '/' && next == '/') || (c == '#' && line_start))) {
      in = In::line;
    } else if (in == In::code && c == '/' && next == '*') {
      in = In::block;
    } else if (in == In::line && c == '\n') {
      in = In::code;
    } else if (in == In::block && c == '/' && text[i - 1] == '*') {
      in = In::code;
      text[i] = ' ';
    }
    if ((in == In::line || in == In::block) && c != '\n') text[i] = ' ';
  }
  return text;
}

/// Statements "id [" with their lines, in the order of the file; edges' ends do not count.
std::vector<std::pair<std::string, int>> declarations(const std::string& text) {
  std::vector<std::pair<std::string, int>> found;
  std::string word, previous;
  int line = 1;
  bool quoted = false, inside = false;
  for (char c : text) {
    if (c == '\n') ++line;
    if (c == '"') {
      quoted = !quoted;
      if (quoted) word.clear();
      continue;
    }
    if (quoted) {
      word += c;
    } else if (std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.') {
      if (!previous.empty() && previous != "--") word.clear(), previous.clear();
      word += c;
    } else if (c == '-') {
      previous = "--", word.clear();
    } else if (c == '[' && !inside) {
      if (previous != "--" && !word.empty()) found.emplace_back(word, line);
      inside = true;
    } else if (c == ';' || c == ']' || c == '{' || c == '}') {
      inside = inside && c != ']';
      word.clear(), previous.clear();
    } else if (!word.empty() && previous != "--") {
      previous = " ";
    }
  }
  return found;
}

}  // namespace

bool natural_less(const std::string& a, const std::string& b) {
  std::size_t i = 0, j = 0;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  while (i < a.size() && j < b.size()) {
    if (is_digit(a[i]) && is_digit(b[j])) {
      const std::size_t a_end = std::min(a.find_first_not_of("0123456789", i), a.size());
      const std::size_t b_end = std::min(b.find_first_not_of("0123456789", j), b.size());
      const std::string x = a.substr(i, a_end - i), y = b.substr(j, b_end - j);
      if (x.size() != y.size()) return x.size() < y.size();
      if (x != y) return x < y;
      i = a_end, j = b_end;
    } else if (a[i] != b[j]) {
      return a[i] < b[j];
    } else {
      ++i, ++j;
    }
  }
  return a.size() - i < b.size() - j;
}

namespace {

int line_of_edge(const std::string& text, const std::string& a, const std::string& b) {
  std::istringstream lines(text);
  int number = 1;
  for (std::string line; std::getline(lines, line); ++number) {
    const auto dashes = line.find("--");
    if (dashes != std::string::npos && line.find(a) < dashes && line.find(b, dashes) != std::string::npos)
      return number;
  }
  return 0;
}

/// The parser calls itself for each brace: nested ones, which no machine needs, could exhaust the stack.
void refuse_subgraphs(const std::string& where, const std::string& text) {
  bool quoted = false;
  int line = 1, braces = 0;
  for (char c : text) {
    if (c == '\n') ++line;
    if (c == '"') quoted = !quoted;
    if (c == '{' && !quoted && ++braces > 1) {
      throw InputError("the file has more than one '{'", where + ":" + std::to_string(line),
                       "one graph without subgraphs");
    }
  }
}

Parsed parse_file(const std::string& where, const std::string& text, Attributes& graph) {
  Parsed parsed;
  try {
    parse(text, parsed, graph);
  } catch (const boost::bad_graphviz_syntax& error) {
    const std::string problem = error.what();
    throw InputError("malformed DOT: " + problem, where + ":" + std::to_string(line_of_complaint(text, problem)),
                     "a Graphviz file such as: graph g { gpu0 [kind=gpu]; }; or @FILE for what nvidia-smi topo -m or "
                     "lstopo wrote");
  } catch (const boost::graph_exception&) {
    throw InputError("the graph is directed", where, "an undirected graph: graph name { a -- b [link=...]; }");
  }
  return parsed;
}

}  // namespace

DotGraph read_dot_graph(const std::filesystem::path& file) {
  const std::string text =
      without_comments(read_file(file, {"--topology", "a readable Graphviz DOT file", settings_limit}));
  refuse_subgraphs(file.string(), text);
  DotGraph graph;
  const Parsed parsed = parse_file(file.string(), text, graph.attributes);
  std::map<std::string, int> lines;
  for (const auto& [id, line] : declarations(text)) {
    const auto [first, is_new] = lines.emplace(id, line);
    if (!is_new && id != "graph" && id != "node" && id != "edge") {
      throw InputError("node '" + id + "' is declared twice", file.string() + ":" + std::to_string(line),
                       "one declaration; the first is on line " + std::to_string(first->second));
    }
  }
  for (const Vertex vertex : boost::make_iterator_range(boost::vertices(parsed))) {
    DotNode node;
    node.attributes = parsed[vertex].attributes;
    node.id = node.attributes.extract(id_key).mapped();
    node.line = lines.contains(node.id) ? lines.at(node.id) : 0;
    graph.nodes.push_back(node);
  }
  std::vector<std::size_t> order(graph.nodes.size()), place(graph.nodes.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return natural_less(graph.nodes[a].id, graph.nodes[b].id); });
  std::vector<DotNode> sorted;
  for (std::size_t i = 0; i < order.size(); ++i) {
    place[order[i]] = i;
    sorted.push_back(graph.nodes[order[i]]);
  }
  graph.nodes = std::move(sorted);
  for (const Edge& edge : boost::make_iterator_range(boost::edges(parsed))) {
    const std::size_t a = place[boost::source(edge, parsed)], b = place[boost::target(edge, parsed)];
    graph.edges.push_back({a, b, parsed[edge].attributes, line_of_edge(text, graph.nodes[a].id, graph.nodes[b].id)});
  }
  return graph;
}

}  // namespace shardsim
