// The engine's door to the network (replication/engine/environment.h): links over TCP, inside TLS
// where the configuration says so.
//
// With certificates the name of the other node is bound to the link: whichever side dialled, the
// other one has shown a certificate with the name of a node of this resource.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <utility>

#include "base/runtime/shard.h"
#include "base/tls/tls_stream.h"
#include "control/config.h"
#include "replication/engine/environment.h"

namespace baton::control {

class TcpLinks final : public replication::Links {
 public:
  // Peers are the nodes of `resource`, which outlives this, but for `self`. `credentials`: null for
  // links without TLS.
  TcpLinks(Shard& shard, const ResourceSpec& resource, std::string self,
           std::shared_ptr<const tls::Source> credentials)
      : shard_(shard),
        resource_(resource),
        self_(std::move(self)),
        credentials_(std::move(credentials)) {}

  Task<Result<replication::Link>> dial(std::string peer, TimePoint deadline) override;
  // What a connection that a peer has made becomes. Strangers that do not get on with TLS do not
  // keep the peer out: of too many that are on their way whoever has been for longest is closed.
  Task<Result<replication::Link>> receive(std::unique_ptr<Stream> connection, TimePoint deadline);

 private:
  Task<Result<replication::Link>> secure(std::unique_ptr<Stream> connection, tls::Side side,
                                         TimePoint deadline);
  void arrives(tls::TlsStream& link);
  Result<> must_be_peer(const tls::TlsStream& link) const;

  Shard& shard_;
  const ResourceSpec& resource_;
  std::string self_;
  std::shared_ptr<const tls::Source> credentials_;
  std::list<tls::TlsStream*> arriving_;  // accepted, and not through TLS yet; the oldest first
};

}  // namespace baton::control
