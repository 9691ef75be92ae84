// Requests that a device holds, linked through their device_link.
#pragma once

#include <boost/intrusive/list.hpp>

#include "blockdev/block_device.h"

namespace baton::blockdev {

using RequestList = boost::intrusive::list<
    Request,
    boost::intrusive::member_hook<Request,
                                  boost::intrusive::list_member_hook<
                                      boost::intrusive::link_mode<boost::intrusive::auto_unlink>>,
                                  &Request::device_link>,
    boost::intrusive::constant_time_size<false>>;

}  // namespace baton::blockdev
