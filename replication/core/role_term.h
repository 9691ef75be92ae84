// The role of a node, and how often it has left it: what was begun as Primary must not be begun
// once more when the role has been elsewhere in between, since another node's clients may have
// written
//. Pure.
#pragma once

#include <cstdint>

#include "replication/core/states.h"

namespace baton::replication {

class RoleTerm {
 public:
  operator Role() const { return role_; }  // NOLINT(google-explicit-constructor): it is the role
  RoleTerm& operator=(Role next) {
    if (role_ == Role::primary && next != Role::primary) ++left_;
    role_ = next;
    return *this;
  }
  std::uint64_t times_left() const { return left_; }

 private:
  Role role_ = Role::secondary;
  std::uint64_t left_ = 0;
};

}  // namespace baton::replication
