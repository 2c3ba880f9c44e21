// Whole command lines, a word a line: every verb's options. Nothing is simulated.
#include <algorithm>

#include "fuzz/reader.hpp"
#include "model/core/error.hpp"
#include "sim/request/parse_request.hpp"
#include "sim/verbs/verb.hpp"

namespace shardsim::fuzz {

namespace {

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    // A program's arguments hold no NUL.
    const std::string word(text.substr(begin, end - begin));
    words.push_back(word.substr(0, word.find('\0')));
    begin = end + 1;
  }
  return words;
}

void read(const Input& input) {
  std::vector<std::string> words = words_of(input.text);
  const bool named = !words[0].starts_with('-');
  const std::string verb(find_verb(named ? words[0] : "simulate").name);
  if (verb == "simulate" || verb == "explain" || verb == "advise") {
    parse_request({words.begin() + (named ? 1 : 0), words.end()});
    return;
  }
  // What they would work on is not there, which they find after having read all words.
  if (verb == "help" || verb == "version") return;
  if (verb == "plan") words.insert(words.end(), {"--topology", "absent.dot"});
  if (verb == "sweep" || verb == "validate" || verb == "calibrate") words.emplace_back("absent.file");
  if (verb == "list") words.emplace_back("--absent");
  run_command_line("shardsim", words);
}

}  // namespace

const Added command_line(
    {.name = "command_line",
     .file_name = "unused",
     .seeds = {},
     .read = read,
     .own_seeds = {"--topology\n4xA100\n--strategy\nzero3-offload\n--seq-len\n4k\n--micro-batch=2\n--tokens\n1e9",
                   "explain\n--topology\n2x8xH100\n--strategy\nfsdp\n--peft\nlora\n--lora-rank\n8\n--precision\nbf16",
                   "plan\n--model\nllama-2-7b\n--tokens\n1e9\n--deadline\n7d\n--budget\n50000\n--recipes\nfull,lora",
                   "sweep\nspec.yaml\n-o\nout.csv\n--threads\n2\n--dry-run", "validate\n--format\njson\n--threads\n2",
                   "calibrate\n-o\nmine.yaml", "list\nmodels",
                   "--topology\n4xA100\n--strategy\nzero1\n--checkpointing\nevery:4\n--epochs\n3\n--examples\n10000"}});

}  // namespace shardsim::fuzz
