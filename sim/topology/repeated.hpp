// A sequence that repeats: what every node has, held once, so that a machine of 16 384 GPUs takes no more memory than
// one of eight.
#pragma once

#include <cstddef>
#include <map>
#include <utility>
#include <vector>

namespace shardsim {

/// `pattern` `times` over, then `rest`; single elements of it may differ from their pattern.
template <class T>
class Repeated {
 public:
  class Iterator {
   public:
    Iterator(const Repeated& of, std::size_t at) : of_(&of), at_(at) {}
    const T& operator*() const { return (*of_)[at_]; }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator==(const Iterator& other) const { return at_ == other.at_; }

   private:
    const Repeated* of_;
    std::size_t at_;
  };

  Repeated() = default;
  Repeated(std::vector<T> pattern, std::size_t times, std::vector<T> rest = {})
      : pattern_(std::move(pattern)), repeated_(pattern_.size() * times), rest_(std::move(rest)) {}

  std::size_t size() const { return repeated_ + rest_.size(); }
  bool empty() const { return size() == 0; }
  const T& operator[](std::size_t index) const {
    if (!apart_.empty()) {
      if (const auto found = apart_.find(index); found != apart_.end()) return found->second;
    }
    return index < repeated_ ? pattern_[index % pattern_.size()] : rest_[index - repeated_];
  }
  const T& front() const { return (*this)[0]; }
  const T& back() const { return (*this)[size() - 1]; }
  Iterator begin() const { return {*this, 0}; }
  Iterator end() const { return {*this, size()}; }

  /// One element, from now on apart from its pattern.
  T& set_apart(std::size_t index) { return apart_.try_emplace(index, (*this)[index]).first->second; }
  /// Applies `change` to all elements.
  template <class Change>
  void alter(Change change) {
    for (T& element : pattern_) change(element);
    for (T& element : rest_) change(element);
    for (auto& [index, element] : apart_) change(element);
  }

 private:
  std::vector<T> pattern_;
  std::size_t repeated_ = 0;
  std::vector<T> rest_;
  std::map<std::size_t, T> apart_;
};

}  // namespace shardsim
