// A hash of 128 bits.
#pragma once

#include <bit>
#include <cstdint>

namespace shardsim {

/// Two lanes of multiply and rotate, each word into both (as in MurmurHash3).
class Mixer {
 public:
  void add(std::uint64_t word) {
    high_ = std::rotl(high_ ^ word * 0x87c37b91114253d5ULL, 31) * 0x4cf5ad432745937fULL;
    low_ = std::rotl(low_ + word * 0x9e3779b97f4a7c15ULL, 27) * 0xc2b2ae3d27d4eb4fULL;
  }
  std::uint64_t high() const { return finish(high_ + low_); }
  std::uint64_t low() const { return finish(low_ ^ std::rotl(high_, 17)); }

 private:
  static std::uint64_t finish(std::uint64_t word) {
    word = (word ^ word >> 33) * 0xff51afd7ed558ccdULL;
    word = (word ^ word >> 33) * 0xc4ceb9fe1a85ec53ULL;
    return word ^ word >> 33;
  }
  std::uint64_t high_ = 0x243f6a8885a308d3ULL, low_ = 0x13198a2e03707344ULL;
};

}  // namespace shardsim
