#include "tests/simulation/archived_seeds.h"

namespace baton::sim {
namespace {

constexpr std::string_view waits_for_the_log =
    "the data disk failed while a write waited for room in the activity log, and a stop waited too";
constexpr std::string_view crashed_alike =
    "power lost here, a process there: both counted as crashed, and the worse copy was the source";
constexpr std::string_view full_metadata =
    "the metadata's disk was full for a moment, and every write got ENOSPC for ever";
constexpr std::string_view oracle_erred = "nothing was wrong but the oracle";
constexpr std::string_view answer_behind_a_failed_write =
    "an answer was queued behind a write that had failed, and its session never ended";
constexpr std::string_view lost_between_two_disks =
    "a write that only the peer had was done, and this node restarted before the peer took over";
constexpr std::string_view begun_once_more =
    "a write that the peer had done was begun once more, after a later one of the same block";
constexpr std::string_view not_written_down = "broke a rule; which one was not written down";

const std::vector<ArchivedSeed> all = {
    {2409, "a disconnect that a connect overtook waited for ever", "disconnect-is-undone"},
    {9238, "primary --force made a second holder between GRANT and TAKEN"},
    {444, "a generation was made between what the settling says of the lineage and its end"},
    {1772, "a crashed copy became clean by an orderly stop, and overwrote the better one",
     "crash-is-not-forgotten"},
    {2889, "of two equal copies the one that had crashed was the source"},
    {1897, "a copy that was being filled was promoted by force; two holders of one number",
     "equal-epochs"},
    {336, "a flush that the loss of the peer cut short made no room in the log, and none followed",
     "log-full-while-the-peer-is-lost"},
    {756, waits_for_the_log, "disk-fails-while-the-log-is-full"},
    {842, waits_for_the_log, "disk-fails-while-the-log-is-full"},
    {942, waits_for_the_log, "disk-fails-while-the-log-is-full"},
    {1400, waits_for_the_log, "disk-fails-while-the-log-is-full"},
    {2428, waits_for_the_log, "disk-fails-while-the-log-is-full"},
    {2967, waits_for_the_log, "disk-fails-while-the-log-is-full"},
    {3136, "the log's next question for room was taken for the first",
     "room-asked-for-while-cleaning"},
    {1932, "two links replaced each other for ever"},
    {1366, "the oracle took a write that had reached both sides as proof of whose history was kept",
     "forced-while-writes-are-in-flight"},
    {9550, crashed_alike, "daemon-dies-then-power-fails"},
    {1002625, crashed_alike, "daemon-dies-then-power-fails"},
    {1005646, crashed_alike, "daemon-dies-then-power-fails"},
    {1018828, crashed_alike, "daemon-dies-then-power-fails"},
    {1026337, crashed_alike, "daemon-dies-then-power-fails"},
    {1004466, "a half-synced copy was forced, and overwrote the complete one", "forced-half-way"},
    {1023764, "a half-synced copy was forced, and overwrote the complete one", "forced-half-way"},
    {661, not_written_down},
    {958, not_written_down},
    {1146, not_written_down},
    {1185, not_written_down},
    {1648, not_written_down},
    {1734, not_written_down},
    {1054615, crashed_alike, "daemon-dies-then-power-fails"},
    {1005419, "a new copy was forced although it was connected to data",
     "new-copy-is-filled-not-forced"},
    {1019612, full_metadata, "activity-log-cannot-be-written"},
    {1051195, full_metadata, "activity-log-cannot-be-written"},
    {1056696, "a lone write was done after a reader had found that the disk had failed"},
    {1088703, "under B a FUA write was done when the peer had received it",
     "fua-outlives-both-under-b"},
    {1121326, "the end of an offer let the writes go on under a demotion",
     "demoted-while-offering"},
    {1131300, "who stopped after its grant started again as the last holder",
     "stopped-after-its-grant"},
    {1039803, "what a node had received landed when it had become Primary and had been read",
     "promoted-under-received-writes"},
    {1058119, "a promotion was durable after the grant of a handover had left, and undid it"},
    {1147911, "a forced holder took the number that it had granted away",
     "forced-while-its-grant-is-on-the-way"},
    {1532,
     "a disk was attached whose volumes disagreed about the other copy, and claimed UpToDate"},
    {1184863, oracle_erred},
    {1003169, "a node without its session promoted itself into the number of that session"},
    {1006810, "a holder gave a role away that it did not have"},
    {1003250, "a crashed copy served the node whose better disk had been detached",
     "crashed-copy-does-not-serve"},
    {1003452, "what was begun once more came back after a later write of the same block",
     "served-through-a-link-that-breaks-often"},
    {1005781, "a write that had been on its way to the holder was refused as if it had not"},
    {1006606, "what the holder had only in its cache was forgotten when it took over"},
    {1012522, "a disk that was being attached counted as usable already"},
    {1000045, "metadata was closed under a commit"},
    {1017267, "a detach waited for a log that had been cleaned"},
    {1024753, "a restarted holder took its role again while the other was served"},
    {1028896, "a verify waited for the end of an offer, which nobody bounds"},
    {1046276, "a promotion that had waited believed in a session that was lost"},
    {1006752, oracle_erred},
    {1033765, oracle_erred},
    {1000013, oracle_erred},
    {1063268, "what a node took over from a failed disk was in its cache, and its power failed"},
    {81, "going on alone in the middle of a resync of one generation made no new one"},
    {103420, "a resync by checksum took for equal what a failed flush had dropped",
     "flush-fails-before-a-checksum-resync"},
    {1038494, oracle_erred},
    {1055278, oracle_erred},
    {1065322, oracle_erred},
    {1071077, oracle_erred},
    {1073209, oracle_erred},
    {1075605, oracle_erred},
    {1115599, oracle_erred},
    {1013333, oracle_erred},
    {1054917, oracle_erred},
    {2658, "the source of two equal copies was read, stopped, and was not the source again",
     "read-from-the-source-that-dies"},
    {3005, answer_behind_a_failed_write},
    {4314, answer_behind_a_failed_write},
    {802, oracle_erred},
    {25132, lost_between_two_disks, "killed-before-it-is-served"},
    {23252, lost_between_two_disks, "killed-before-it-is-served"},
    {6989, begun_once_more},
    {11946, begun_once_more},
    {1047859, begun_once_more},
    {1001292, oracle_erred},
    {1096869, oracle_erred},
    {1100690, oracle_erred},
    {1114345, oracle_erred},
    {1005657, oracle_erred},
    {1006885, oracle_erred},
    {1007231, oracle_erred},
    {1008858, oracle_erred},
    {1012558, oracle_erred},
    {1015704, oracle_erred},
    {1113100, oracle_erred},
    {1114724, oracle_erred},
    {1080406, "a Primary that its holder left a whole copy held its writes for ever"},
    {17629, "a forced promotion wrote the metadata that a detach was closing"},
    {58693,
     "a node without its disk was demoted when nobody served it any more, and the daemon died"},
    {40203, "a node that had granted the baton away showed itself as UpToDate"},
    {34425, oracle_erred},
    {103704, oracle_erred},
};

}  // namespace

const std::vector<ArchivedSeed>& archived_seeds() {
  return all;
}

}  // namespace baton::sim
