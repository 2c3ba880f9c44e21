// What may stand next on the command line, for shells.
#include <algorithm>

#include "sim/verbs/names.hpp"
#include "sim/verbs/output.hpp"
#include "sim/verbs/verb.hpp"

namespace shardsim {

namespace {

/// The word under the cursor, and what stands before it. bash takes "--format=js" for three words, other shells for
/// one.
struct Typed {
  std::vector<std::string> before;
  std::string word;
  std::string kept;  ///< of the word, in front of what may stand there: "--format="
};

Typed typed(std::vector<std::string> words) {
  Typed typed;
  if (!words.empty()) {
    typed.word = words.back();
    words.pop_back();
  }
  if (typed.word == "=") {
    typed.word.clear();
  } else if (!words.empty() && words.back() == "=") {
    words.pop_back();
  } else if (const std::size_t equals = typed.word.find('=');
             typed.word.starts_with("--") && equals != std::string::npos) {
    typed.kept = typed.word.substr(0, equals + 1);
    words.push_back(typed.word.substr(0, equals));
    typed.word.erase(0, equals + 1);
  }
  typed.before = std::move(words);
  return typed;
}

struct Candidate {
  std::string word;
  std::string_view says = {};
};

std::vector<Candidate> candidates_of(const std::vector<std::string>& names) {
  std::vector<Candidate> candidates;
  for (const std::string& name : names) candidates.push_back({name});
  return candidates;
}

std::vector<Candidate> verbs() {
  std::vector<Candidate> candidates;
  for (const Verb& verb : verb_table()) {
    if (verb.help != nullptr) candidates.push_back({std::string(verb.name), verb.summary});
  }
  return candidates;
}

std::vector<Candidate> options_of(const std::vector<OptionSpec>& options) {
  std::vector<Candidate> candidates;
  for (const OptionSpec& option : options) {
    candidates.push_back({"--" + std::string(option.name), option.brief.empty() ? option.help : option.brief});
  }
  if (std::none_of(options.begin(), options.end(), [](const OptionSpec& o) { return o.name == "help"; })) {
    candidates.push_back({"--help", "what the verb does and takes"});
  }
  return candidates;
}

/// Names, and for "--topology 8xA" the devices behind the counts.
std::vector<Candidate> values_of(const OptionSpec& option, const std::string& word, const DataFolders& data) {
  std::vector<Candidate> candidates = candidates_of(names_for(option, data));
  const std::size_t counts = word.find_last_of('x');
  if (option.name == "topology" && counts != std::string::npos && word.find_first_not_of("0123456789x") >= counts + 1) {
    for (const std::string& device : names_for({"", "gpu", 0, "", ""}, data)) {
      candidates.push_back({word.substr(0, counts + 1) + device});
    }
  }
  return candidates;
}

bool takes_value(const OptionSpec& option, std::string_view word) {
  if (option.value.empty()) return false;
  return word == "--" + std::string(option.name) || (option.letter != 0 && word == std::string{'-', option.letter});
}

std::vector<Candidate> candidates(const Typed& typed, const DataFolders& data) {
  const bool named = !typed.before.empty() && !typed.before.front().starts_with('-');
  if (typed.before.empty() && !typed.word.starts_with('-')) return verbs();
  const Verb& verb = find_verb(named ? typed.before.front() : "simulate");
  const std::vector<OptionSpec> options = verb.options == nullptr ? std::vector<OptionSpec>{} : verb.options();
  for (const OptionSpec& option : options) {
    if (!typed.before.empty() && takes_value(option, typed.before.back())) return values_of(option, typed.word, data);
  }
  if (typed.word.starts_with('-')) return options_of(options);
  if (verb.name == "help") return verbs();
  if (verb.name != "list") return {};
  std::vector<Candidate> kinds;
  for (const KindOfName& kind : kinds_of_names()) kinds.push_back({std::string(kind.name)});
  return kinds;
}

}  // namespace

ExitStatus run_complete(const Command& command) {
  const Typed words = typed(command.arguments);
  std::string text;
  for (const Candidate& candidate : candidates(words, find_data(command.program))) {
    if (!candidate.word.starts_with(words.word)) continue;
    text += words.kept + candidate.word;
    if (!candidate.says.empty()) text += "\t" + std::string(candidate.says);
    text += "\n";
  }
  write_result(text, "");
  return ExitStatus::fits;
}

}  // namespace shardsim
