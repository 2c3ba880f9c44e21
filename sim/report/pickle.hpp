// Python's pickle, protocol 2, of plain values: what pickle.load() and the PyTorch memory viewer's own reader take.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace shardsim {

/// Writes one value, depth first. Opcodes are those of Python's Lib/pickle.py; none calls anything when it is read.
class PickleWriter {
 public:
  PickleWriter() : out_("\x80\x02") {}

  void none() { out_ += 'N'; }
  void boolean(bool value) { out_ += value ? '\x88' : '\x89'; }
  void integer(std::int64_t value);
  void real(double value);
  void text(std::string_view utf8);
  /// A pair of integers as a tuple.
  void pair(std::int64_t first, std::int64_t second);

  /// `write_item(item)` writes one value for each item. In batches, as Python does it: readers take each in one call.
  template <class Items, class Write>
  void list(const Items& items, Write write_item) {
    constexpr std::size_t batch = 1000;
    out_ += ']';
    std::size_t written = 0;
    for (const auto& item : items) {
      if (written % batch == 0) out_ += written == 0 ? "(" : "e(";
      write_item(item);
      ++written;
    }
    if (written > 0) out_ += 'e';
  }

  /// `write_members()` writes a key() and a value for each member, at least one.
  template <class Write>
  void dict(Write write_members) {
    out_ += "}(";
    write_members();
    out_ += 'u';
  }
  /// Spelled out once; a repeated key is a reference of two bytes.
  void key(std::string_view name);

  /// The whole pickle; nothing can be written after it.
  std::string finish() && {
    out_ += '.';
    return std::move(out_);
  }

 private:
  void little_endian(std::uint64_t value, int bytes);

  std::string out_;
  std::map<std::string, std::uint8_t, std::less<>> memo_;
};

}  // namespace shardsim
