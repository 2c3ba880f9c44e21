// The one line that a wrong request gets.
#pragma once

#include <string>

#include "model/core/error.hpp"

/// The InputError's text; empty if `act` raises none.
template <class Act>
std::string refusal(Act act) {
  try {
    act();
  } catch (const shardsim::InputError& error) {
    return error.what();
  }
  return "";
}
