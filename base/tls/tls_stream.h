// A Stream inside a TLS session, over any other Stream: a socket, or an in-memory pair in tests
// and fuzzers. What TLS says of its own (alerts, new keys) leaves by itself.
//
// An end without TLS's own farewell is `broken`, never `end_of_stream`: somebody may have cut the
// stream short.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/result.h"
#include "base/stream.h"
#include "base/task.h"
#include "base/tls/credentials.h"

struct ssl_st;

namespace baton::tls {

// RFC 8446 section 5.5: at most 2^24.5 full records under one AES-GCM key. A third: 128 GiB.
inline constexpr std::uint64_t records_per_key_max = std::uint64_t{1} << 23U;

class TlsStream final : public Stream {
 public:
  // What it sends has new keys after every `records_per_key` records (TLS 1.3; 1.2 has no such
  // thing). The other side is asked for nothing: its keys are its own affair.
  TlsStream(Loop& loop, std::unique_ptr<Stream> transport,
            std::shared_ptr<const Credentials> credentials, Side side,
            std::uint64_t records_per_key = records_per_key_max);
  ~TlsStream() override;

  // Once, before anything else; bounded in time by whoever close()s the stream. The error is the
  // reason, as the end of a sentence. On the side that dialled it completes when the first bytes
  // have come: before them it cannot know whether the other side has accepted it. So it is for
  // protocols in which that one speaks first, or both at once, as on a replication link.
  Task<Result<>> shake_hands();

  // After shake_hands(). The names that the other side has proven to have: those of its
  // certificate (DNS names of its subjectAltName, or its common name when there are none), or that
  // of its pre-shared key.
  const std::vector<std::string>& peer_names() const { return peer_names_; }

  // Stream
  void read(ReadOperation& operation) override;
  void write(WriteOperation& operation) override;
  void close() override;
  // "10.0.0.2:7789, alpha"
  std::string peer_name() const override;

 private:
  // What arrives and leaves, encrypted. OpenSSL reads and writes here.
  struct Wire {
    static constexpr std::size_t in_bytes = std::size_t{64} << 10U;
    std::unique_ptr<std::byte[]> in = std::make_unique_for_overwrite<std::byte[]>(in_bytes);
    std::size_t in_begin = 0;
    std::size_t in_end = 0;
    std::vector<std::byte> out;
  };
  struct Bio;

  // Runs one member from the loop.
  class Later final : public Runnable {
   public:
    Later(TlsStream& stream, void (TlsStream::*what)())
        : Runnable([](Runnable& self) {
            auto& later = static_cast<Later&>(self);
            (later.stream_.*later.what_)();
          }),
          stream_(stream),
          what_(what) {}

   private:
    TlsStream& stream_;
    void (TlsStream::*what_)();
  };

  enum class Progress : std::uint8_t { done, needs_input, failed };
  Progress progress_of(int result);
  Task<Result<>> converse(int (*step)(ssl_st*));
  Task<bool> receive_more();
  Task<bool> send_out();
  std::string why_failed();
  void learn_names();

  void decrypt();
  bool decrypt_into(std::span<std::byte> buffer);
  void arrived();
  void finish_read(StreamError error);
  void send_more();
  void sent();
  void encrypt();
  void change_key_in_time();
  std::span<const std::byte> next_record();
  bool all_encrypted() const;
  void end_write();

  Loop& loop_;
  std::shared_ptr<const Credentials> credentials_;
  Side side_;
  std::string identity_;  // of the pre-shared key that was asked for last
  std::vector<std::string> peer_names_;
  Wire wire_;
  std::unique_ptr<ssl_st, void (*)(ssl_st*)> ssl_;

  ReadOperation* reading_ = nullptr;
  ReadOperation wire_read_;
  Later decrypt_{*this, &TlsStream::decrypt};

  WriteOperation* writing_ = nullptr;
  std::size_t part_ = 0;  // of writing_->buffers, and how much of it is encrypted
  std::size_t part_done_ = 0;
  std::unique_ptr<std::byte[]> gathered_;  // a record's worth of small parts
  std::uint64_t records_per_key_;
  std::uint64_t records_ = 0;  // under the present key
  bool sending_ = false;
  std::vector<std::byte> leaving_;  // with the transport
  iovec leaving_part_{};
  WriteOperation wire_write_;
  Later end_write_{*this, &TlsStream::end_write};

  bool established_ = false;
  bool failed_ = false;  // OpenSSL will have nothing more to do with this session
  bool closed_ = false;
  std::unique_ptr<Stream> transport_;  // goes first: operations of ours may be with it
};

}  // namespace baton::tls
