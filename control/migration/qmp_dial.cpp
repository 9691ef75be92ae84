// Apart from qmp_channel.cpp because only this file needs Asio.
#include <fmt/format.h>
#include <sys/un.h>

#include <boost/asio/local/stream_protocol.hpp>

#include "base/runtime/asio_stream.h"
#include "base/runtime/shard.h"
#include "control/migration/qmp_channel.h"

namespace baton::control::migration {

Result<std::unique_ptr<QmpChannel>> dial_qmp(Shard& shard, const std::string& path) {
  using Protocol = boost::asio::local::stream_protocol;
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return failure(
        fmt::format("{}: a unix socket's path may have {} bytes at most; choose a "
                    "shorter qmp path",
                    path, sizeof(sockaddr_un::sun_path) - 1));
  }
  boost::system::error_code error;
  Protocol::socket socket(shard.io());
  socket.open(Protocol(), error);
  if (!error) socket.non_blocking(true, error);
  if (!error) socket.connect(Protocol::endpoint(path), error);
  if (error) {
    return failure(
        fmt::format("{}: cannot reach QEMU's QMP: {}; start QEMU with "
                    "-qmp unix:{},server=on,wait=off",
                    path, error.message(), path));
  }
  boost::asio::generic::stream_protocol::socket generic(std::move(socket));
  return std::make_unique<StreamQmpChannel>(
      make_socket_stream(shard, std::move(generic), "QMP at " + path));
}

}  // namespace baton::control::migration
