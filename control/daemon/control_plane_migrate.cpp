// The verb migrate, seen from the client that asked: its progress comes from the resource's shard,
// and its going away cancels.
#include <memory>
#include <string>
#include <utility>

#include "control/daemon/control_plane.h"
#include "control/daemon/migration_wish.h"
#include "control/daemon/shard_call.h"

namespace baton::control {
namespace {

// What the resource's shard shows to the client as long as there is one. `sink` is touched on the
// control shard only.
struct Audience {
  explicit Audience(ReplySink& its_sink) : sink(&its_sink) {}
  ReplySink* sink;
};

// In the frame of the request: its end, whichever, is the end of the audience.
class Asking {
 public:
  Asking(Shard& here, Site& there, const VerbOptions& options, ReplySink& sink)
      : there_(there), audience_(std::make_shared<Audience>(sink)) {
    wish_ = std::make_shared<MigrationWish>(
        options, [&here, audience = audience_](std::string text, double fraction) {
          here.post_from_outside([audience, text = std::move(text), fraction]() mutable {
            if (audience->sink != nullptr) audience->sink->progress(std::move(text), fraction);
          });
        });
  }
  Asking(const Asking&) = delete;
  Asking& operator=(const Asking&) = delete;
  ~Asking() {
    audience_->sink = nullptr;
    // Also when it was answered: then there is nothing left to cancel.
    there_.shard().post_from_outside([wish = wish_] { wish->cancel(); });
  }
  const std::shared_ptr<MigrationWish>& wish() const { return wish_; }

 private:
  Site& there_;
  std::shared_ptr<Audience> audience_;
  std::shared_ptr<MigrationWish> wish_;
};

}  // namespace

Task<Result<boost::json::value>> ControlPlane::migrate(const Request& request, ReplySink& sink) {
  using Answer = Result<boost::json::value>;
  const auto placed = co_await find_started(request.resource);
  if (!placed) co_return std::unexpected(placed.error());
  const Asking asking(shard_, *placed->site, request.options, sink);
  HostedResource* const resource = placed->resource;
  ShardCall<Answer>::Work work = [resource, wish = asking.wish()] {
    return resource->migrate(wish);
  };
  ShardCall<Answer> call(shard_, placed->site->shard(), placed->site->scope(), std::move(work));
  co_return co_await call;
}

}  // namespace baton::control
