// Between bytes and messages. Pure; every function answers hostile bytes with a refusal.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "replication/core/baton.h"
#include "replication/core/lineage.h"
#include "replication/core/states.h"
#include "replication/wire/messages.h"

namespace baton::replication::wire {

// Header ready to send: fixed fields filled in, checksum over `payload`.
void seal(Header& header, Type type, std::span<const std::byte> payload);

// Null, or why these 64 bytes cannot be a header (magic, type, payload bound, range bound): checked
// before anything is allocated or believed.
const char* header_fault(const Header& header);
// Checksum of header and payload together.
bool intact(const Header& header, std::span<const std::byte> payload);

using Nonce = std::array<std::byte, 32>;

struct Hello {
  std::uint16_t version_lowest = version_min;
  std::uint16_t version_highest = version_max;
  std::uint64_t features = 0;  // the same on both sides; unknown ones are refused
  std::string resource;
  std::string from;  // node names
  std::string to;
  std::uint32_t volumes = 0;
  std::uint8_t protocol = 0;   // 'A', 'B' or 'C': verdicts depend on it, so both must agree
  std::uint64_t instance = 0;  // of the sender's process: another one means it was restarted
  Nonce nonce{};
  std::string after_sb;  // what is done in split brain without asking: both must agree
};

struct VolumeState {
  std::uint64_t size = 0;
  std::uint8_t disk_state = 0;  // DiskState
  std::uint64_t bits = 0;       // blocks set for the other side
};

// What each side tells about itself once it knows whom it talks to.
struct State {
  Epoch epoch;
  bool holding = false;
  bool primary = false;
  bool served = false;  // Primary, and its clients' writes go through the holder
  bool wrote_alone = false;
  bool resume_primary = false;
  bool complete = false;
  bool adopted = false;
  bool discard_my_data = false;
  bool writer = false;
  bool peer_lacks = false;   // a client was told that a write is done which the other may lack
  std::uint8_t arrival = 0;  // Arrival
  Lineage lineage;
  Lineage towards;
  GenerationId slot_base = 0;
  GenerationId slot_told = 0;
  Stamp session;                     // newest session stamped with the other side
  Stamp confirmed;                   // newest that both are known to have stamped
  std::uint64_t new_session_id = 0;  // proposal; the ids of both sides are mixed
  std::vector<VolumeState> volumes;
  bool undo_first = false;  // discard_my_data, once what this copy has alone is kept
  bool gives_up = false;    // an operator has invalidated this copy

  bool has_disks() const;  // all of them are usable
};

std::vector<std::byte> encode(const Hello& hello);
std::vector<std::byte> encode(const State& state);
// The error is a sentence for the log.
std::expected<Hello, std::string> decode_hello(std::span<const std::byte> bytes);
std::expected<State, std::string> decode_state(std::span<const std::byte> bytes);

// sync_begin's payload: the lineage that the target is on its way to.
std::vector<std::byte> encode_lineage(const Lineage& lineage);
std::expected<Lineage, std::string> decode_lineage(std::span<const std::byte> bytes);

}  // namespace baton::replication::wire
