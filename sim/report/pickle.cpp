#include "sim/report/pickle.hpp"

#include <bit>
#include <limits>

namespace shardsim {

void PickleWriter::little_endian(std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out_ += static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
}

void PickleWriter::integer(std::int64_t value) {
  const auto bits = static_cast<std::uint64_t>(value);
  if (value >= 0 && value < 0x100) {
    out_ += 'K';
    little_endian(bits, 1);
  } else if (value >= 0 && value < 0x10000) {
    out_ += 'M';
    little_endian(bits, 2);
  } else if (value >= std::numeric_limits<std::int32_t>::min() && value <= std::numeric_limits<std::int32_t>::max()) {
    out_ += 'J';
    little_endian(bits, 4);
  } else {
    out_ += "\x8a\x08";  // LONG1 of eight bytes
    little_endian(bits, 8);
  }
}

void PickleWriter::real(double value) {
  const auto bits = std::bit_cast<std::uint64_t>(value);
  out_ += 'G';
  for (int i = 7; i >= 0; --i) out_ += static_cast<char>(static_cast<unsigned char>(bits >> (8 * i)));
}

void PickleWriter::text(std::string_view utf8) {
  out_ += 'X';
  little_endian(utf8.size(), 4);
  out_ += utf8;
}

void PickleWriter::pair(std::int64_t first, std::int64_t second) {
  integer(first);
  integer(second);
  out_ += '\x86';
}

void PickleWriter::key(std::string_view name) {
  constexpr std::size_t most = 256;  // what a reference of one byte can name
  if (const auto known = memo_.find(name); known != memo_.end()) {
    out_ += 'h';
    little_endian(known->second, 1);
    return;
  }
  text(name);
  if (memo_.size() == most) return;
  const auto number = static_cast<std::uint8_t>(memo_.size());
  memo_.emplace(name, number);
  out_ += 'q';
  little_endian(number, 1);
}

}  // namespace shardsim
