// What each request is answered: from a slot's outcome to the bytes of its reply.
#pragma once

#include "base/buffer_pool.h"
#include "nbd_server/slots.h"
#include "nbd_server/wire/validate.h"

namespace baton::nbd {

// Sets `head` and `reply_payload` by `client` and `outcome`; releases the buffer where the reply
// does not need it. The answer to block_status is put into a buffer of `buffers`.
void prepare_reply(Slot& slot, const Terms& terms, BufferPool& buffers);

}  // namespace baton::nbd
