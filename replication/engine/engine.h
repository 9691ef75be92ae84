// The resource on this node: which session is on, who holds the baton, what is durable about it.
// Declared here for the parts of engine/; control/ sees resource.h only.
//
//   engine.cpp       construction, status, the superblock
//   startup.cpp      up: what the disks say, and whether this node goes on by it
//   verbs.cpp        down, primary, secondary, connect, disconnect …
//   invalidate.cpp   a copy is given up, here or there
//   pause.cpp        resync is held and goes on
//   connection.cpp   dialling, accepting, one session after the other, what its loss means
//   settling.cpp     the handshake's verdicts made durable
//   meeting_facts.*  what two nodes have told each other, for the verdicts
//   gate.cpp         who may write now, and what held writes wait for
//   handover.cpp     the baton moves
//   first_write.cpp  … to whoever writes first, where a window is open
//   split_brain.cpp  two histories, and whose stays
//   suspended.cpp    writes wait for a lost peer
//   fencing.cpp      the operator's handlers have their say
//   undo.cpp         what the other loses is kept first
//   failed_flush.cpp a disk that does not keep its word
//   disk_timeout.cpp a disk that does not answer
//   room.cpp         a disk that is full
//   service.cpp      a node without its disk, and the holder that serves it
//   resync.cpp       copying what differs
//   verify.cpp       comparing the copies (sums.cpp: how two ranges are compared)
#pragma once

#include <optional>

#include "replication/core/baton.h"
#include "replication/core/fencing.h"
#include "replication/core/first_write.h"
#include "replication/core/role_term.h"
#include "replication/core/sync_window.h"
#include "replication/core/write_ids.h"
#include "replication/engine/grant_flags.h"
#include "replication/engine/session.h"
#include "replication/engine/verify.h"

namespace baton::replication {

class Engine final : public Resource {
 public:
  Engine(Environment environment, ResourceConfig config);
  ~Engine() override;

  // Resource
  Task<Result<>> up() override;
  void expect_down() override;
  Task<Result<>> down() override;
  Task<Result<>> promote(PromoteOptions options) override {
    return using_disks(promote_now(options, false));
  }
  Task<Result<>> demote(bool force) override { return using_disks(demote_now(force)); }
  Task<Result<>> connect(bool discard_my_data, bool undo) override;
  Task<Result<>> disconnect() override;
  Task<Result<>> attach() override { return using_disks(attach_now()); }
  Task<Result<>> detach() override { return using_disks(detach_now()); }
  Task<Result<>> invalidate() override { return using_disks(invalidate_now()); }
  Task<Result<>> invalidate_remote() override { return using_disks(invalidate_remote_now()); }
  Task<Result<>> pause_sync() override;
  Task<Result<>> resume_sync() override;
  Task<Result<>> resolve(std::string keep, bool undo) override {
    return resolve_now(std::move(keep), undo);
  }
  Task<Result<>> resume_io() override { return using_disks(resume_io_now()); }
  Task<Result<>> outdate() override { return using_disks(outdate_now()); }
  Task<Result<>> handover(std::string to) override {
    return using_disks(handover_now(std::move(to)));
  }
  Task<Result<>> allow_first_write(Duration time) override { return using_disks(allow_now(time)); }
  Task<Result<>> deny_first_write() override;
  void guest_is(GuestWord word) override;
  Task<Result<>> verify(VerifyOptions options) override { return using_disks(verify_now(options)); }
  Task<Result<>> offer() override { return using_disks(offer_now()); }
  Task<Result<>> grant_offered() override { return using_disks(grant_offered_now()); }
  Task<Result<>> withdraw_offer() override;
  ResourceStatus status() const override;
  void observe(ResourceObserver* observer) override { observer_ = observer; }
  Result<blockdev::Limits> limits(std::uint32_t volume) const override;
  Result<std::unique_ptr<blockdev::BlockDevice>> open(std::uint32_t volume,
                                                      ClientInfo client) override;
  void accept(Link link) override;
  Result<> tunnel(std::span<const std::byte> bytes) override;
  void on_tunnel(TunnelHandler handler) override { tunnel_handler_ = std::move(handler); }

  // --- for the parts of the engine ---
  Environment& env() { return env_; }
  const ResourceConfig& config() const { return config_; }
  bool has_peer() const { return !peer_name_.empty(); }
  std::vector<std::unique_ptr<Volume>>& volumes() { return volumes_; }
  void log(Journal::Level level, std::string text);
  void changed();  // status() shows something new

  void spawn(Task<> task) { scope_.spawn(std::move(task)); }
  bool going_alone() const { return going_alone_; }
  // The word that this node's data yields is not the one any more that has that number.
  bool overtaken(std::uint64_t word) const { return stopping_ || word != word_number_; }

  // gate.cpp. A client write first waits for admission; just before it is submitted it looks once
  // more whether the copies it would go to have changed meanwhile.
  bool admits() const { return admits_; }
  Task<IoError> admission(ClientDevice& client, TimePoint deadline, const char** reason);
  bool submission_blocked() const { return going_alone_ || settling_ || needs_generation(); }
  // The peer may have everything, it is gone, and a disk of this node's has failed.
  bool cannot_go_alone() const {
    return holding_ && has_peer() && peer_has_tip_ && !replicating_ && !every_volume_usable();
  }
  bool holding() const { return holding_; }
  bool changing_disks() const { return changing_disks_; }
  bool may_write() const { return holding_ && role_ == Role::primary; }
  // service.cpp. The peer is Primary and its clients' writes are admitted here.
  bool serves_peer() const;
  // allow-two-primaries (sharing.cpp): both are Primary, and the other one can be spoken to.
  bool shares() const;
  OwnWriteIds& own_writes() { return own_writes_; }
  DoneWrites& done_writes() { return done_writes_; }
  bool takes_writes() const { return may_write() || (holding_ && serves_peer()); }
  bool takes_forwarded(const wire::Header& header, const Session& session) const;
  // This node is Primary, and its clients' writes go to the holder, which can be asked now.
  bool forwards();
  // Primary here, by whoever's leave: `role_` outlives the baton while the holder serves this node.
  bool served() const { return served_; }
  // The disk here has failed, and the other node's copy may be there to go on with.
  bool may_be_served() const;
  bool every_volume_usable() const;
  void unblock_submission();
  // suspended.cpp
  OnPeerLost alone() const;  // does the holder go on without its peer?
  bool suspended() const;
  Task<IoError> wait_for_submission(TimePoint deadline, const char** reason);
  bool flush_hangs_on_peer() const;
  Task<IoError> wait_for_lost_peer(TimePoint deadline);
  void peer_leaves() { peer_left_ = true; }
  Signal& gate_changed() { return gate_changed_; }
  // How often the peer has taken over from a disk that failed here; waits for the one that is on.
  std::uint64_t takeovers() const { return takeovers_; }
  Task<std::uint64_t> takeovers_settled();
  // regions.cpp
  bool may_lend(const Session& session) const;
  // Primary beside the holder, with a copy that is kept equal to the holder's.
  bool shares_whole_copy(const Volume& volume) const;
  bool knows_what_differs(const Volume& volume) const;
  std::uint64_t batons_granted() const { return batons_granted_; }
  // In which session the last one was.
  std::uint64_t baton_granted_in() const { return baton_granted_in_; }
  // How often the role has left this node.
  std::uint64_t times_role_left() const { return role_.times_left(); }
  // The session that takes part in writes, or null.
  Session* replicating() { return session_ != nullptr && replicating_ ? session_ : nullptr; }
  // The session through which the holder's data can be read, or null.
  Session* holder_session();
  bool reads_own_copy() const;
  // Shown among the held writes (a flush, too), or among the held reads, while it waits.
  Task<Session*> wait_for_holder_session(TimePoint deadline, blockdev::Op op);

  // connection.cpp
  Task<> session_ended(Session& session);
  // settling.cpp
  Task<Result<>> apply_verdicts(Session& session);
  Task<bool> confirm_session(Session& session);
  wire::State describe(Session& session) const;
  void session_established(Session& session);
  // handover.cpp
  void asked_for_baton(const wire::Header& header, Session& session);
  void granted(const wire::Header& header, Session& session);
  void taken(const wire::Header& header);
  void role_given(const wire::Header& header, Session& session);  // service.cpp
  void handover_refused(const wire::Header& header, std::string reason);
  void offered(bool open);
  // Its memory may be older than the disk: the role has been elsewhere since it was attached.
  bool fenced(const ClientDevice& client) const;
  // first_write.cpp
  bool minds_clients() const {
    return first_write_asked_ != 0 || guest_word_ == GuestWord::stopped;
  }
  bool is_guest(const ClientDevice& client) const;
  void client_spoke(const ClientDevice& client);
  void client_moved() { clients_moved_.notify_all(); }
  void client_left();
  void void_offer(std::string_view why);
  // split_brain.cpp
  void asked_to_yield(const wire::Header& header, Session& session);
  void yield_refused(const wire::Header& header, std::string reason);
  // resync.cpp
  void sync_begins(Incoming& message, Session& session);
  void sync_ends(Session& session);
  void sync_is_ready();
  void sync_finished(Session& session);
  // Somebody's guest waits for this node's answers: noted while a resync runs.
  void client_asks() { client_asked_at_ = env_.clock.now(); }
  bool clients_are_active() const;
  void client_took(Duration time) { client_time_.took(time); }
  const ClientTime& client_time() const { return client_time_; }
  // pause.cpp
  bool sync_paused() const;
  void sync_pause_changed();
  // invalidate.cpp
  void asked_to_invalidate();
  void invalidate_refused(std::string why);
  // verify.cpp
  void asked_to_verify(const wire::Header& header, Session& session);
  void verify_told(Incoming& message);
  void verify_shown(Incoming& message, Session& session);
  // What is compared is compared at the holder, and counts while it stays the holder.
  bool holds_in(const Session& session, std::uint64_t epoch) const;
  // room.cpp
  Task<bool> may_try_for_room(TimePoint deadline);
  void write_is_held(const char* why) { hold(held_writes_, why); }
  void held_write_goes_on() { go_on(held_writes_); }
  void no_room_for_peer(Volume& volume, std::uint64_t offset, std::uint64_t length,
                        Session& session);
  // engine.cpp
  void disk_failed(Volume& volume, const char* what);
  Duration fence_hold() const { return config_.fence_hold; }
  // Durable when it ends, so that nobody hears of it before: the disk has failed a flush.
  Task<> flush_failed(Volume& volume);
  void peer_status(Incoming& message, Session& session);
  void tell_status();
  void deliver_tunnel(std::span<const std::byte> bytes);
  DiskState disk_state(const Volume& volume) const;
  Epoch epoch() const { return epoch_; }
  // This copy may lack what reads of its disk show: a flush of it has failed, or its host has.
  bool doubtful() const { return arrival_ == Arrival::crashed; }

 private:
  // Requests of clients that wait for something outside this node's disks (rule 11).
  struct HeldRequests {
    std::uint64_t count = 0;
    TimePoint since;  // when the first of them came
    const char* reason = "";
  };
  void hold(HeldRequests& held, const char* why);
  void go_on(HeldRequests& held);
  // False: the other node did not give them back within the timeout.
  Task<bool> take_regions_back();
  friend class Session;
  struct HeldWrite;

  void update_gate();
  bool takes_lone_writes() const;
  bool needs_generation() const {
    const bool may_be_missed = peer_has_tip_ || unmet_;
    return has_peer() && may_be_missed && !replicating_ && takes_lone_writes();
  }
  Task<bool> make_generation();
  const char* suspended_reason() const;
  void suspension_begins();
  Task<Result<>> resume_io_now();
  Task<> take_leave(std::string reason);
  // fencing.cpp
  void fence_lost_peer();
  Task<> go_on_when_fenced();
  Task<FenceWord> ask_fence_handler();
  bool fencing_would_do() const;
  void peer_is_whole();
  Task<Result<>> outdate_now();
  // room.cpp
  std::string no_room_sentence() const;
  Task<> wait_for_room(Volume& volume, std::uint64_t offset, std::uint64_t length);
  // Everything here on stable storage, and a generation on top of it that the peer lacks, durable
  // on completion. False: the metadata failed, and whether the generation is there is not known.
  Task<bool> begin_generation(std::string why);
  // Writes the superblock of every volume with what this object knows now. False: a disk failed.
  Task<bool> commit();
  blockdev::Superblock compose(const Volume& volume) const;
  bool complete() const;
  Task<Result<>> start_up();
  Task<Result<>> attach_all();
  Task<> turn_log_into_bits();
  Task<> keep_connected();
  void dial_later();
  Task<> run_link(Link link, bool dialled);
  Task<bool> make_room_for(Session& candidate, bool dialled);
  Task<> limit_greeting(Session& session, bool& over);
  Task<Result<>> not_settling();
  Task<Result<>> using_disks(Task<Result<>> verb);
  Task<> hear_of_peers_role();
  Task<> baton_arrives();
  Task<Result<>> take_or_share(PromoteOptions options, bool fenced);
  Task<Result<>> promote_now(PromoteOptions options, bool fenced);
  Task<Result<>> demote_now(bool force);
  Task<Result<>> invalidate_now();
  Result<> may_invalidate() const;
  // What is written or taken on this node's own word stands above the word that gives it up.
  bool gives_copy_up() const { return giving_up_ && !holding_ && role_ != Role::primary; }
  Result<> may_invalidate_peer() const;
  Task<Result<>> invalidate_remote_now();
  Task<> invalidate_for_peer();
  Task<Result<>> resolve_now(std::string keep, bool undo);
  SplitBrain describe_split_brain(const Session& session) const;
  bool in_split_brain() const {
    return session_ != nullptr && session_->established() && split_brain_.has_value();
  }
  Result<> may_yield() const;
  void ask_policy(Session& session) const;
  void yield_here(bool undo);
  void give_word(bool undo);
  void yield_unasked(Session& session);
  void take_word_back();
  // undo.cpp
  bool undo_first() const;
  void keep_undo_soon();
  Task<> keep_undo();
  std::vector<blockdev::Bitmap> what_may_differ(const Session& session) const;
  void not_yielding(const std::string& why);
  bool undo_is_of(const wire::State& peer);
  Task<Result<>> handover_now(std::string to);
  // first_write.cpp
  Task<Result<>> allow_now(Duration time);
  void close_window(std::string_view why);
  bool can_ask_in_window() const;
  Task<> ask_in_window();
  SourceFacts source_facts();
  bool has_guests();
  TimePoint silent_at();
  void asked_in_window(const wire::Header& header, Session& session);
  bool first_write_waits() const;
  Task<> judge_first_write();
  Task<Result<>> give_for_first_write(bool guessed);
  Task<bool> source_is_still(GiveFor why);
  void refuse_first_write(std::string_view why);
  void forget_first_write();
  Task<Result<>> offer_now();
  Task<Result<>> grant_offered_now();
  Task<> hear_peer();
  Task<Result<>> received_writes_over();
  Task<Result<>> resume_alone();
  Task<Result<>> take_alone(bool force_generation, Fence fence);
  Task<Result<>> start_fresh();
  Task<Result<>> ask_peer_for_baton(Ask why);
  Task<Result<>> give(GiveFor why);
  Task<Result<>> give_baton(GiveFor why);
  Task<Result<>> quiesce(bool announce);
  void stop_quiescing();
  // In contact, and either each has a copy or one of the two serves the other.
  bool together() const {
    return session_ != nullptr && session_->established() && (replicating_ || session_->service);
  }
  Task<bool> wait_drained(TimePoint deadline);
  Task<> give_baton_to_peer(std::uint32_t flags);
  // service.cpp
  Task<Result<>> apply_service(Session& session);
  bool peer_can_take_over() const;
  Task<> leave_disk();
  void baton_follows_role();
  // sharing.cpp
  Task<Result<>> share_role(Fence fence);
  void share_again();
  bool may_give_role() const;
  Task<Result<>> give_role(GiveFor why);
  Task<> take_role(Session& session, Fence fence);
  void is_served_from_now_on(Session& session);
  Task<Result<>> attach_now();
  Task<Result<>> detach_now();
  Task<> close_disks();
  Task<> part_for_disks();
  RestartFacts judge_copy();
  Task<> take_granted(wire::Header header, Session& session);
  Task<> take_for_first_write();
  Task<> become_target(Lineage towards, Session& session);
  Task<> finish_as_target(Session& session);
  Task<> finish_as_source(Session& session);
  Task<> sync_everything(Session& session);
  Task<Result<>> verify_now(VerifyOptions options);
  Task<Result<>> verify_here(VerifyOptions options);
  Result<> may_verify() const;
  void begin_verify(VerifyOptions options);
  Task<Result<>> verify_ended();
  Task<Result<>> stop_verify();
  Task<Result<>> ask_peer_to_verify(VerifyOptions options);
  Task<> verify_for_peer(VerifyOptions options, Session& session);
  Task<> verify_copies(Session& session);
  std::string why_verify_ends(const Session& session, std::uint64_t epoch) const;
  void note_verified(Volume& volume, VerifiedChunk& chunk);
  Result<> verify_outcome(const std::string& cut) const;
  void show_verify_to_peer(Session& session);
  std::optional<VerifyStatus> verify_status() const;
  std::uint64_t bytes_of_all_volumes() const;
  Task<> scrub();
  void role_is_here(Fence fence);
  Result<> lift_fence();
  void note_clients_are_flushed();
  std::string whole_status_line() const;

  Environment env_;
  ResourceConfig config_;
  std::string peer_name_;
  std::vector<std::unique_ptr<Volume>> volumes_;
  ResourceObserver* observer_ = nullptr;
  TunnelHandler tunnel_handler_;

  // What the superblocks say (the same in every volume), and what is true beyond them.
  Lineage lineage_;
  Lineage towards_;
  Epoch epoch_;
  std::uint64_t epoch_seen_ = 0;  // highest that any peer has named; the next one is above it
  blockdev::PeerSlot slot_;
  bool adopted_ = false;
  bool clean_ = false;
  bool released_ = false;
  std::vector<bool> inconsistent_;  // per volume

  bool up_ = false;
  bool starting_ = false;
  bool stopping_ = false;
  std::size_t commits_ = 0;        // of superblocks, under way
  std::size_t verbs_running_ = 0;  // those that down() waits for
  bool leaving_ = false;           // down() is about to follow: nobody waits for the baton any more
  bool want_connected_ = false;
  bool discard_my_data_ = false;    // the word that this node's data yields
  bool keeps_undo_ = true;          // with it: what differs is kept in undo files
  bool undo_kept_ = false;          // it is, durably, for a peer that has generation
  std::uint64_t kept_for_ = 0;      // … this one
  bool yielding_ = false;           // it is being saved
  std::uint64_t word_number_ = 0;   // of the word that was given or taken back last
  std::uint64_t yield_asked_ = 0;   // number of our last `yield`
  std::uint64_t yield_answer_ = 0;  // of the peer's that this node's word comes from; 0: none
  RoleTerm role_;
  bool holding_ = false;       // the baton, on our own word
  bool granted_away_ = false;  // GRANT sent, TAKEN not seen: not ours on our own word any more
  bool served_ = false;        // Primary without the baton: writes go through the holder
  bool granted_disk_ = false;  // what was granted away leaves the role here
  std::uint64_t batons_granted_ = 0;  // to this node, by the other one
  std::uint64_t baton_granted_in_ = 0;
  std::uint64_t takeovers_ = 0;  // how often the peer has taken over from a disk here
  bool leaving_disk_ = false;    // the disk here is given up, and the baton goes to the other node
  bool changing_disks_ = false;  // they are closed or opened: no session meanwhile
  // The peer that was lost may not have on stable storage what clients here were told of.
  bool unflushed_there_ = false;
  bool peer_lacks_ = false;      // A: a client was told of a write that the other may lack
  bool wrote_alone_ = false;     // made a generation since we parted from the peer
  bool resume_primary_ = false;  // was Primary earlier in this boot
  bool resume_shared_ = false;   // the same, and may be it beside the holder
  OwnWriteIds own_writes_;
  DoneWrites done_writes_;
  Arrival arrival_ = Arrival::crashed;
  DiskState unvouched_ = DiskState::consistent;  // what a complete copy is without a witness
  bool to_be_copied_to_ = false;  // by the session that is on: until then no copy to rely on
  Lineage outdated_by_;           // of the source of a session that has left this copy Outdated

  Session* session_ = nullptr;  // the one that settles or is established
  bool replicating_ = false;    // it takes part in writes
  bool settling_ = false;       // states are being compared: nothing may change under that
  bool going_alone_ = false;    // its loss is being made durable
  // The peer's copy may have our tip as its own: going on without it makes a generation (rule 8).
  bool peer_has_tip_ = false;
  // Not met the peer since the start: that it lacks our tip is what the record says, and the disk
  // may be an older copy of itself. Going on makes a generation, so that it shows when they meet.
  bool unmet_ = false;
  // Since the last session: the peer took its leave (or was disconnected here), and somebody said
  // that this node goes on without it.
  bool peer_left_ = false;
  bool told_to_go_on_ = false;
  TimePoint client_asked_at_;                 // noted while a resync runs
  ClientTime client_time_;                    // of that resync
  std::uint64_t losses_ = 0;                  // of a peer with which this node replicated
  bool fencing_ = false;                      // the fence-peer handler is asked
  FenceWord fence_word_ = FenceWord::failed;  // what it has said
  bool fenced_peer_ = false;                  // and the peer was not whole since
  bool outdated_ = false;                     // this copy, durably
  bool short_of_room_ = false;                // for what the peer wrote: no session until there is
  bool dialling_ = false;
  bool out_of_reach_ = false;  // the last dial failed
  TimePoint dial_at_;          // not before
  Duration backoff_{};
  std::uint64_t instance_ = 0;  // of this process, so that the peer knows a restart
  std::string last_error_;
  std::optional<SplitBrain> split_brain_;
  std::uint64_t bytes_replicated_before_ = 0;

  // gate
  bool admits_ = false;
  bool quiescing_ = false;
  const char* quiesce_reason_ = "";
  bool making_generation_ = false;
  bool taking_ = false;       // the baton, on our own word
  bool offering_ = false;     // quiesced and offered; our own write voids it
  bool peer_offers_ = false;  // our client's first write may ask for the baton, or for the role
  bool asking_ = false;
  bool window_open_ = false;            // the same, and nothing was offered
  std::uint64_t windows_ = 0;           // how many there were
  std::uint64_t writes_in_window_ = 0;  // held, and the other node is asked because of them
  bool judging_ = false;                // judge_first_write() runs
  // Of the peer's client, whose write waits for this node's word: in which session; 0: nobody's.
  std::uint64_t first_write_asked_ = 0;
  bool source_spoke_ = false;    // since then
  bool source_resumed_ = false;  // since then
  GuestWord guest_word_ = GuestWord::unknown;
  bool sync_ready_ = false;  // the source has flushed, the target has recorded that it is one
  std::optional<Result<>> answer_;            // to our handover_ask
  std::optional<std::string> yield_refusal_;  // of the peer, which was asked to
  bool pauses_sync_ = false;                  // this node's word; the peer has its own
  bool giving_up_ = false;                    // the word that this copy is filled anew
  std::uint64_t fills_begun_ = 0;             // how often a copy was begun to be filled from here
  std::optional<std::string> invalidate_refusal_;  // of the peer, which was asked to
  VerifyPass verify_;
  std::optional<Result<>> verify_answer_;  // to our verify_ask
  bool verify_asked_ = false;
  HeldRequests held_writes_;
  HeldRequests held_reads_;
  Duration held_longest_{};  // of the writes
  Signal gate_changed_;
  Signal clients_moved_;
  Signal session_changed_;
  Signal answered_;
  Signal verify_changed_;
  Scope scope_;
};

}  // namespace baton::replication
