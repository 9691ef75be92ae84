#include "base/tls/tls_stream.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "base/tls/openssl.h"

namespace baton::tls {
namespace {

constexpr std::size_t record_bytes = SSL3_RT_MAX_PLAIN_LENGTH;
// Encrypted at a time, before the transport gets it.
constexpr std::size_t out_bytes = std::size_t{64} << 10U;
// Answers to a peer that asks for new keys and does not take what it asked for.
constexpr std::size_t unasked_bytes_max = std::size_t{64} << 10U;

// Names go into logs and status: one with a line break in it could fake another line.
void add_name(std::vector<std::string>& names, const unsigned char* text, int size) {
  const std::string name(reinterpret_cast<const char*>(text), static_cast<std::size_t>(size));
  const auto control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  if (std::ranges::none_of(name, control)) names.push_back(name);
}

std::vector<std::string> names_of(const X509* certificate) {
  std::vector<std::string> names;
  const AlternativeNames alternatives(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  const int count = alternatives ? sk_GENERAL_NAME_num(alternatives.get()) : 0;
  for (int i = 0; i < count; ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(alternatives.get(), i);
    if (name->type != GEN_DNS) continue;
    const ASN1_IA5STRING* const text = name->d.dNSName;
    add_name(names, ASN1_STRING_get0_data(text), ASN1_STRING_length(text));
  }
  if (!names.empty()) return names;
  const X509_NAME* const subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return names;
  unsigned char* text = nullptr;
  const int size =
      ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (size < 0) return names;
  add_name(names, text, size);
  OPENSSL_free(text);
  return names;
}

}  // namespace

// The BIO through which OpenSSL reaches Wire.
struct TlsStream::Bio {
  static int read(BIO* bio, char* into, int size) {
    Wire& wire = *static_cast<Wire*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    const std::size_t count = std::min(static_cast<std::size_t>(size), wire.in_end - wire.in_begin);
    if (count == 0) {
      BIO_set_retry_read(bio);
      return -1;
    }
    std::memcpy(into, wire.in.get() + wire.in_begin, count);
    wire.in_begin += count;
    if (wire.in_begin == wire.in_end) wire.in_begin = wire.in_end = 0;
    return static_cast<int>(count);
  }

  static int write(BIO* bio, const char* from, int size) {
    Wire& wire = *static_cast<Wire*>(BIO_get_data(bio));
    const auto* bytes = reinterpret_cast<const std::byte*>(from);
    wire.out.insert(wire.out.end(), bytes, bytes + size);
    return size;
  }

  static long control(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
  }

  static const BIO_METHOD* method() {
    static const std::unique_ptr<BIO_METHOD, FreeWith<BIO_meth_free>> made = [] {
      BIO_METHOD* const method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "baton");
      BATON_ASSERT(method != nullptr, "memory for a table of functions");
      BIO_meth_set_read(method, &Bio::read);
      BIO_meth_set_write(method, &Bio::write);
      BIO_meth_set_ctrl(method, &Bio::control);
      return std::unique_ptr<BIO_METHOD, FreeWith<BIO_meth_free>>(method);
    }();
    return made.get();
  }

  static BIO* of(Wire& wire) {
    BIO* const bio = BIO_new(method());
    BATON_ASSERT(bio != nullptr, "memory for a session");
    BIO_set_data(bio, &wire);
    BIO_set_init(bio, 1);
    return bio;
  }
};

TlsStream::TlsStream(Loop& loop, std::unique_ptr<Stream> transport,
                     std::shared_ptr<const Credentials> credentials, Side side,
                     std::uint64_t records_per_key)
    : loop_(loop),
      credentials_(std::move(credentials)),
      side_(side),
      ssl_(SSL_new(credentials_->context(side)), SSL_free),
      gathered_(std::make_unique_for_overwrite<std::byte[]>(record_bytes)),
      records_per_key_(records_per_key),
      transport_(std::move(transport)) {
  BATON_ASSERT(ssl_ != nullptr, "memory for a session");
  BIO* const bio = Bio::of(wire_);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_app_data(ssl_.get(), &identity_);
  if (side == Side::accepted) {
    SSL_set_accept_state(ssl_.get());
  } else {
    SSL_set_connect_state(ssl_.get());
  }
  wire_read_.on_complete(
      [](Operation& self) { static_cast<TlsStream*>(self.context())->arrived(); }, this);
  wire_write_.on_complete([](Operation& self) { static_cast<TlsStream*>(self.context())->sent(); },
                          this);
}

TlsStream::~TlsStream() = default;

TlsStream::Progress TlsStream::progress_of(int result) {
  if (result > 0) return Progress::done;
  if (SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ) return Progress::needs_input;
  failed_ = true;
  return Progress::failed;
}

Task<Result<>> TlsStream::shake_hands() {
  Result<> agreed = co_await converse(&SSL_do_handshake);
  if (agreed && side_ == Side::dialled) {
    const auto look = [](SSL* ssl) {
      char first = 0;
      return SSL_peek(ssl, &first, 1);
    };
    agreed = co_await converse(look);
  }
  if (agreed) {
    established_ = true;
    learn_names();
  }
  co_return agreed;
}

// Until `step` has what it needs from the other side.
Task<Result<>> TlsStream::converse(int (*step)(ssl_st*)) {
  while (true) {
    ERR_clear_error();
    const Progress progress = progress_of(step(ssl_.get()));
    const std::string why = progress == Progress::failed ? why_failed() : "";
    // Also when it failed: the alert says to the other side what was wrong.
    const bool told = co_await send_out();
    if (progress == Progress::failed) co_return failure(why);
    if (!told) co_return failure("the connection was lost during the TLS handshake");
    if (progress == Progress::done) co_return Result<>();
    const bool more = co_await receive_more();
    if (!more) co_return failure("the connection was lost during the TLS handshake");
  }
}

Task<bool> TlsStream::receive_more() {
  ReadOperation read;
  read.buffer = {wire_.in.get(), Wire::in_bytes};
  co_await read_some(*transport_, read);
  if (read.error != StreamError::none) co_return false;
  wire_.in_end = read.transferred;
  co_return true;
}

Task<bool> TlsStream::send_out() {
  if (wire_.out.empty()) co_return true;
  const iovec all{wire_.out.data(), wire_.out.size()};
  WriteOperation write;
  write.buffers = {&all, 1};
  co_await write_all(*transport_, write);
  wire_.out.clear();
  co_return write.error == StreamError::none;
}

// The end of a sentence that begins with the other side's name.
std::string TlsStream::why_failed() {
  const unsigned long code = ERR_peek_error();
  if (code == 0) return "it has closed the connection";
  const int reason = ERR_GET_REASON(code);
  const std::string words = oldest_error();
  const long verdict = SSL_get_verify_result(ssl_.get());
  if (verdict != X509_V_OK)
    return fmt::format("its certificate is not accepted: {}",
                       X509_verify_cert_error_string(verdict));
  if (ERR_GET_LIB(code) != ERR_LIB_SSL) return fmt::format("the TLS handshake failed: {}", words);
  switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_RECORD_LENGTH_MISMATCH:
    case SSL_R_BAD_RECORD_TYPE:
      return "it does not speak TLS";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return "its version of TLS is not one that is allowed";
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return "it showed no certificate";
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
      return "it has neither a pre-shared key nor a certificate that is known here";
    case SSL_R_BINDER_DOES_NOT_VERIFY:
      return "its pre-shared key is another one";
    default:
      break;
  }
  if (reason > SSL_AD_REASON_OFFSET) return fmt::format("it does not accept us: {}", words);
  return fmt::format("the TLS handshake failed: {}", words);
}

void TlsStream::learn_names() {
  const X509* const certificate = SSL_get0_peer_certificate(ssl_.get());
  if (certificate != nullptr) {
    peer_names_ = names_of(certificate);
  } else if (!identity_.empty()) {
    peer_names_ = {identity_};
  }
}

std::string TlsStream::peer_name() const {
  if (peer_names_.empty()) return transport_->peer_name();
  return fmt::format("{}, {}", transport_->peer_name(), fmt::join(peer_names_, "/"));
}

void TlsStream::read(ReadOperation& operation) {
  BATON_ASSERT(reading_ == nullptr, "one read at a time (base/stream.h)");
  reading_ = &operation;
  operation.transferred = 0;
  loop_.post(decrypt_);
}

// From the loop, or when more has arrived.
void TlsStream::decrypt() {
  if (closed_) return finish_read(StreamError::closed);
  ReadOperation& operation = *reading_;
  if (decrypt_into(operation.buffer)) decrypt_into(operation.second_buffer);
  const int state = SSL_get_shutdown(ssl_.get());
  if (!sending_) send_more();  // new keys that the other side has asked for, or an alert
  if (operation.transferred > 0) return finish_read(StreamError::none);
  if (failed_ || wire_.out.size() > unasked_bytes_max) return finish_read(StreamError::broken);
  if ((state & SSL_RECEIVED_SHUTDOWN) != 0) return finish_read(StreamError::end_of_stream);
  wire_read_.buffer = {wire_.in.get(), Wire::in_bytes};
  transport_->read(wire_read_);
}

// True when all of it was filled.
bool TlsStream::decrypt_into(std::span<std::byte> buffer) {
  while (!buffer.empty()) {
    std::size_t count = 0;
    ERR_clear_error();
    const int result = SSL_read_ex(ssl_.get(), buffer.data(), buffer.size(), &count);
    if (result != 1) {
      const int error = SSL_get_error(ssl_.get(), result);
      failed_ = failed_ || (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_ZERO_RETURN);
      return false;
    }
    reading_->transferred += count;
    buffer = buffer.subspan(count);
  }
  return true;
}

void TlsStream::arrived() {
  if (wire_read_.error == StreamError::closed) return finish_read(StreamError::closed);
  if (wire_read_.error != StreamError::none) return finish_read(StreamError::broken);
  wire_.in_begin = 0;
  wire_.in_end = wire_read_.transferred;
  decrypt();
}

void TlsStream::finish_read(StreamError error) {
  reading_->error = error;
  std::exchange(reading_, nullptr)->complete();
}

void TlsStream::write(WriteOperation& operation) {
  BATON_ASSERT(writing_ == nullptr, "one write at a time (base/stream.h)");
  writing_ = &operation;
  operation.error = StreamError::none;
  part_ = 0;
  part_done_ = 0;
  if (!sending_) send_more();
}

// Nothing is with the transport.
void TlsStream::send_more() {
  if (writing_ != nullptr) encrypt();
  if (wire_.out.empty()) {
    if (writing_ != nullptr) loop_.post(end_write_);
    return;
  }
  sending_ = true;
  leaving_.swap(wire_.out);
  leaving_part_ = {leaving_.data(), leaving_.size()};
  wire_write_.buffers = {&leaving_part_, 1};
  transport_->write(wire_write_);
}

void TlsStream::sent() {
  sending_ = false;
  leaving_.clear();
  const StreamError error = closed_ ? StreamError::closed : wire_write_.error;
  const bool over = error != StreamError::none || (all_encrypted() && wire_.out.empty());
  if (over && writing_ == nullptr) return;
  if (!over) return send_more();
  writing_->error = error;
  std::exchange(writing_, nullptr)->complete();
}

// As much as goes to the transport at a time.
void TlsStream::encrypt() {
  while (wire_.out.size() < out_bytes && !all_encrypted() && !failed_) {
    const std::span<const std::byte> record = next_record();
    if (record.empty()) return;  // only empty parts were left
    change_key_in_time();
    std::size_t count = 0;
    ERR_clear_error();
    failed_ = SSL_write_ex(ssl_.get(), record.data(), record.size(), &count) != 1;
  }
}

// Before a record, which carries it out. Refused while the other side's wish for new keys is being
// carried out; then the next record is the next chance.
void TlsStream::change_key_in_time() {
  if (++records_ <= records_per_key_ || SSL_version(ssl_.get()) != TLS1_3_VERSION) return;
  if (SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED) == 1) records_ = 1;
}

bool TlsStream::all_encrypted() const {
  return writing_ == nullptr || part_ == writing_->buffers.size();
}

// A part that fills a record is encrypted where it lies; smaller ones share a record.
std::span<const std::byte> TlsStream::next_record() {
  std::size_t count = 0;
  while (count < record_bytes && !all_encrypted()) {
    const iovec& part = writing_->buffers[part_];
    const std::byte* const from = static_cast<const std::byte*>(part.iov_base) + part_done_;
    const std::size_t size = std::min(part.iov_len - part_done_, record_bytes - count);
    part_done_ += size;
    if (part_done_ == part.iov_len) {
      ++part_;
      part_done_ = 0;
    }
    if (size == record_bytes) return {from, size};
    if (size > 0) std::memcpy(gathered_.get() + count, from, size);  // `from` may be null then
    count += size;
  }
  return {gathered_.get(), count};
}

// Without the transport: the session is over, or there was nothing to write.
void TlsStream::end_write() {
  if (failed_) writing_->error = StreamError::broken;
  if (closed_) writing_->error = StreamError::closed;
  std::exchange(writing_, nullptr)->complete();
}

void TlsStream::close() {
  if (std::exchange(closed_, true)) return;
  // The farewell, if the transport can take it now.
  if (established_ && !failed_ && !sending_) {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
    send_more();
  }
  transport_->close();
}

}  // namespace baton::tls
