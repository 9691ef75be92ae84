// Carries out the verbs of batonctl. Lives on the control shard (the daemon's main thread); talks
// to the resources by ShardCall and never waits for one while another client waits for it.
#pragma once

#include <boost/json/value.hpp>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/runtime/shard.h"
#include "control/daemon/hosted_resource.h"
#include "control/daemon/site.h"
#include "control/daemon/status_board.h"
#include "control/protocol.h"

namespace baton::control {

// Where a verb says how far it is. Lives as long as the request.
class ReplySink {
 public:
  virtual void progress(std::string text, double fraction) = 0;  // fraction < 0: not known
  virtual void event(const Change& change) = 0;

 protected:
  ~ReplySink() = default;
};

class ControlPlane {
 public:
  // A resource and where it lives.
  struct Placed {
    Site* site;
    HostedResource* resource;
  };

  ControlPlane(Shard& shard, StatusBoard& board, std::string node)
      : shard_(shard),
        board_(board),
        node_(std::move(node)),
        started_(shard.loop()),
        stopping_(shard.loop()) {}
  ControlPlane(const ControlPlane&) = delete;
  ControlPlane& operator=(const ControlPlane&) = delete;

  void add(Placed placed);
  const std::map<std::string, Placed>& resources() const { return resources_; }

  // The daemon's start of a resource, once for each that was added. Until it has ended, well or
  // not, verbs on that resource wait: whoever has just started batond need not poll.
  Task<Result<>> start(Placed placed);

  // From now on verbs that wait fail, and no other is begun.
  void stop();

  // The answer to `request`. May be thrown away while it waits; a verb that was begun on a resource
  // goes on without it. `request` and `sink` outlive it.
  Task<Result<boost::json::value>> perform(const Request& request, ReplySink& sink);

  // A verb of a resource, wherever it lives.
  using ResourceVerb = Task<Result<>> (HostedResource::*)(VerbOptions);
  Task<Result<>> on_resource(Placed placed, ResourceVerb verb, VerbOptions options);

 private:
  using Handler = Task<Result<boost::json::value>> (ControlPlane::*)(const Request&, ReplySink&);
  struct Waiting;

  Task<Result<boost::json::value>> resource_verb(const Request& request, ResourceVerb verb);
  Task<Result<boost::json::value>> status(const Request& request, ReplySink& sink);
  Task<Result<boost::json::value>> events(const Request& request, ReplySink& sink);
  Task<Result<boost::json::value>> wait_connect(const Request& request, ReplySink& sink);
  Task<Result<boost::json::value>> wait_sync(const Request& request, ReplySink& sink);
  Task<Result<boost::json::value>> verify(const Request& request, ReplySink& sink);
  Task<> run_verify(Placed placed, VerbOptions options, std::optional<Result<>>& done);
  Task<Result<boost::json::value>> migrate(const Request& request, ReplySink& sink);
  Task<Result<boost::json::value>> wait_for(const Request& request, ReplySink& sink,
                                            const Waiting& waiting);
  Task<StatusEntry> status_of(Placed placed);
  Result<Placed> find(const std::string& name) const;
  Task<Result<Placed>> find_started(const std::string& name);

  Shard& shard_;
  StatusBoard& board_;
  std::string node_;
  std::map<std::string, Placed> resources_;
  std::set<std::string> starting_;
  Signal started_;
  bool stopped_ = false;
  Signal stopping_;
};

}  // namespace baton::control
