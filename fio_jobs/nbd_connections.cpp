#include "fio_jobs/nbd_connections.h"

#include <fmt/format.h>
#include <libnbd.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <future>
#include <span>
#include <stdexcept>
#include <utility>

namespace baton {
namespace {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

// The last call of libnbd on this thread failed.
[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error(fmt::format("{}: {}", what, nbd_get_error()));
}

std::uint64_t word_at(std::uint64_t offset, Generation generation) {
  return mixed(offset ^ std::to_underlying(generation) << 60U);
}

void write_words(std::span<std::uint64_t> words, std::uint64_t offset, Generation generation) {
  for (std::uint64_t& word : words) {
    word = word_at(offset, generation);
    offset += sizeof(word);
  }
}

void check_words(std::span<const std::uint64_t> words, std::uint64_t offset,
                 Generation generation) {
  for (const std::uint64_t word : words) {
    if (word != word_at(offset, generation))
      throw std::runtime_error(
          fmt::format("what was read at offset {} is not what was written", offset));
    offset += sizeof(word);
  }
}

double own_cpu_seconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

class Connection {
 public:
  explicit Connection(const std::string& uri) : handle_(nbd_create(), nbd_close) {
    if (!handle_) fail("libnbd");
    nbd_handle* const handle = handle_.get();
    // Its buffers need no zeroes before an answer comes; the certificates are in local files.
    if (nbd_set_pread_initialize(handle, false) == -1 ||
        nbd_set_uri_allow_local_file(handle, true) == -1 ||
        nbd_connect_uri(handle, uri.c_str()) == -1)
      fail(uri);
  }

  std::uint64_t size() const {
    const std::int64_t size = nbd_get_size(handle_.get());
    if (size < 0) fail("size");
    return static_cast<std::uint64_t>(size);
  }

  // Whether what is written on one connection is seen by the others.
  bool is_one_of_many() const { return nbd_can_multi_conn(handle_.get()) == 1; }

  void start(Command command, void* data, Piece piece, nbd_completion_callback answered) {
    nbd_handle* const handle = handle_.get();
    const std::int64_t cookie =
        command == Command::read
            ? nbd_aio_pread(handle, data, piece.length, piece.offset, answered, 0)
            : nbd_aio_pwrite(handle, data, piece.length, piece.offset, answered, 0);
    if (cookie == -1) fail("request");
  }

  void wait() {
    if (nbd_poll(handle_.get(), -1) == -1) fail("connection");
  }

  void flush() {
    if (nbd_flush(handle_.get(), 0) == -1) fail("flush");
  }

  void close() {
    if (nbd_shutdown(handle_.get(), 0) == -1) fail("shutdown");
  }

 private:
  std::unique_ptr<nbd_handle, void (*)(nbd_handle*)> handle_;
};

namespace {

// Keeps `depth` requests in flight on one connection until the source ends.
class Stream {
 public:
  Stream(Connection& connection, const Work& work, Source source)
      : connection_(connection), work_(work), source_(std::move(source)), slots_(work.depth) {
    for (Slot& slot : slots_) {
      slot.stream = this;
      slot.words.resize(work_.largest / sizeof(std::uint64_t));
      // What measured writes carry: no zeroes, which a server might not store.
      write_words(slot.words, 0, Generation::fill);
    }
    answered_.reserve(work_.depth);
    taken_.reserve(work_.depth);
  }

  Answers run(TimePoint begin) {
    begin_ = begin;
    for (Slot& slot : slots_) start(slot, Clock::now());
    while (in_flight_ > 0) {
      connection_.wait();
      take_answers();
    }
    return std::move(answers_);
  }

 private:
  struct Slot {
    Stream* stream = nullptr;
    std::vector<std::uint64_t> words;
    Piece piece;
    TimePoint begin;
    int error = 0;
  };

  void start(Slot& slot, TimePoint now) {
    const std::optional<Piece> piece = source_(now - begin_);
    if (!piece) return;
    slot.piece = *piece;
    slot.begin = now;
    if (work_.content && work_.command == Command::write)
      write_words(words_of(slot), piece->offset, *work_.content);
    ++in_flight_;
    connection_.start(work_.command, slot.words.data(), *piece,
                      {.callback = &Stream::answered, .user_data = &slot, .free = nullptr});
  }

  // libnbd holds its lock here, so nothing new can be started yet.
  static int answered(void* context, int* error) {
    auto* const slot = static_cast<Slot*>(context);
    slot->error = *error;
    slot->stream->answered_.push_back(slot);
    return 1;  // done with it
  }

  void take_answers() {
    std::swap(taken_, answered_);
    if (taken_.empty()) return;
    const TimePoint now = Clock::now();
    answers_.until_last = now - begin_;
    for (Slot* const slot : taken_) {
      --in_flight_;
      finish(*slot, now);
      start(*slot, now);
    }
    taken_.clear();
  }

  void finish(Slot& slot, TimePoint now) {
    if (slot.error != 0)
      throw std::runtime_error(fmt::format("the request at offset {} failed: {}", slot.piece.offset,
                                           std::strerror(slot.error)));
    if (work_.content && work_.command == Command::read)
      check_words(words_of(slot), slot.piece.offset, *work_.content);
    answers_.latencies_us.push_back(
        std::chrono::duration<float, std::micro>(now - slot.begin).count());
  }

  std::span<std::uint64_t> words_of(Slot& slot) {
    return std::span(slot.words).first(slot.piece.length / sizeof(std::uint64_t));
  }

  Connection& connection_;
  Work work_;
  Source source_;
  TimePoint begin_;
  std::vector<Slot> slots_;
  std::size_t in_flight_ = 0;
  std::vector<Slot*> answered_;
  std::vector<Slot*> taken_;  // of those answered, while they are started again
  Answers answers_;
};

void join(Answers& together, const Answers& one) {
  together.latencies_us.insert(together.latencies_us.end(), one.latencies_us.begin(),
                               one.latencies_us.end());
  together.until_last = std::max(together.until_last, one.until_last);
}

}  // namespace

Connections::Connections(const std::string& uri, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) all_.push_back(std::make_unique<Connection>(uri));
  if (count > 1 && !all_.front()->is_one_of_many())
    throw std::runtime_error(
        "the server does not promise that connections see each other's writes");
}

Connections::~Connections() = default;

std::uint64_t Connections::size() const {
  return all_.front()->size();
}

Answers Connections::run(const Work& work, const std::function<Source(std::size_t)>& source_of) {
  std::deque<Stream> streams;
  for (std::size_t i = 0; i < all_.size(); ++i) streams.emplace_back(*all_[i], work, source_of(i));
  const double cpu = own_cpu_seconds();
  const TimePoint begin = Clock::now();
  std::vector<std::future<Answers>> running;
  running.reserve(streams.size());
  for (Stream& stream : streams)
    running.push_back(
        std::async(std::launch::async, [&stream, begin] { return stream.run(begin); }));
  Answers together;
  for (std::future<Answers>& one : running) join(together, one.get());
  together.cpu_seconds = own_cpu_seconds() - cpu;
  return together;
}

void Connections::flush() {
  for (const auto& connection : all_) connection->flush();
}

void Connections::close() {
  for (const auto& connection : all_) connection->close();
}

std::uint64_t mixed(std::uint64_t value) {  // splitmix64
  value += 0x9E3779B97F4A7C15ULL;
  value = (value ^ (value >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  value = (value ^ (value >> 27U)) * 0x94D049BB133111EBULL;
  return value ^ (value >> 31U);
}

}  // namespace baton
