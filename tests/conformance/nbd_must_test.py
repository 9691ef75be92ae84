#!/usr/bin/env python3
"""One test for each MUST of the NBD specification (doc/proto.md) that a server without TLS has to keep,
named after its section; docs/nbd.md has them as a table. A raw socket says what the specification
allows a client to say, and more; what every client library asks for is in nbd_clients_test.py."""
import re
import struct

from nbd_server_case import SIZE, RawClient, ServerCase, baton_test

MIB = 1 << 20
(EXPORT_NAME, ABORT, LIST, STARTTLS, INFO, GO, STRUCTURED, LIST_META, SET_META, EXTENDED) = (
    1, 2, 3, 5, 6, 7, 8, 9, 10, 11)
ACK, SERVER, INFO_REPLY, META = 1, 2, 3, 4
UNSUP, POLICY, INVALID, TLS_REQD, UNKNOWN, TOO_BIG = (
    (1 << 31) + code for code in (1, 2, 3, 5, 6, 9))
READ, WRITE, DISC, FLUSH, TRIM, CACHE, ZEROES, STATUS = range(8)
FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO, PAYLOAD_LEN = (1 << bit for bit in range(6))
EINVAL, ENOSPC, ENOTSUP = 22, 28, 95
DONE = 1
NONE, OFFSET_DATA, BLOCK_STATUS, BLOCK_STATUS_EXT, ERROR = 0, 1, 5, 6, 0x8001


def name(text):
    return struct.pack(">I", len(text)) + text


def info(export=b"disk", *kinds):
    return name(export) + struct.pack(f">H{len(kinds)}H", len(kinds), *kinds)


def queries(*texts, export=b"disk"):
    return name(export) + struct.pack(">I", len(texts)) + b"".join(name(text) for text in texts)


class Client(RawClient):
    """Understands what it hears."""

    structured = False

    def hello(self, flags=3):
        self.send(struct.pack(">I", flags))

    def ask(self, number, data=b""):
        """Every reply to an option: (type, data)."""
        self.option(number, data)
        replies = [self.answer()]
        while replies[-1][0] in (SERVER, INFO_REPLY, META):
            replies.append(self.answer())
        return replies

    def kinds(self, number, data=b""):
        return [kind for kind, _ in self.ask(number, data)]

    def go(self, export=b"disk", *kinds):
        replies = self.ask(GO, info(export, *kinds))
        assert replies[-1][0] == ACK, replies
        return replies

    def chunk(self):
        """(flags, type, cookie, payload)"""
        magic, flags, kind, cookie, length = struct.unpack(">IHHQI", self.receive(20))
        assert magic == 0x668E33EF, hex(magic)
        return flags, kind, cookie, self.receive(length)

    def simple(self):
        """(error, cookie)"""
        magic, error, cookie = struct.unpack(">IIQ", self.receive(16))
        assert magic == 0x67446698, hex(magic)
        return error, cookie

    def nothing_comes(self, seconds=0.2):
        self.socket.settimeout(seconds)
        try:
            more = self.socket.recv(1)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(30)
        return more == b""


class Must(ServerCase):
    def client(self, flags=3):
        client = Client(self.socket_path)
        self.addCleanup(client.socket.close)
        if flags is not None:
            client.hello(flags)
        return client

    def connected(self, structured=False, contexts=()):
        client = self.client()
        if structured:
            self.assertEqual(client.kinds(STRUCTURED), [ACK])
        if contexts:
            self.assertEqual(client.kinds(SET_META, queries(*contexts))[-1], ACK)
        client.go()
        return client

    def flags_of(self, client):
        replies = dict((struct.unpack(">H", data[:2])[0], data)
                       for kind, data in client.ask(INFO, info()) if kind == INFO_REPLY)
        return struct.unpack(">HQH", replies[0])[2]

    # --- Handshake phase ---

    def test_newstyle_negotiation__greeting_has_the_flags_of_fixed_newstyle_and_no_others(self):
        magic, option_magic, flags = struct.unpack(">8sQH", self.client(None).greeting)
        self.assertEqual((magic, option_magic, flags), (b"NBDMAGIC", Client.IHAVEOPT, 3))

    def test_client_flags__unknown_ones_end_the_connection(self):
        for bit in range(2, 32):
            self.assertTrue(self.client(1 << bit | 3).is_closed(), bit)

    def test_newstyle_negotiation__an_export_that_cannot_be_had_ends_export_name(self):
        client = self.client()
        client.option(EXPORT_NAME, b"nowhere")
        self.assertTrue(client.is_closed())

    def test_handshake_flags__no_zeroes_is_kept(self):
        for flags, padding in ((3, 0), (1, 124), (0, 124)):
            client = self.client(flags)
            client.option(EXPORT_NAME, b"disk")
            size, _ = struct.unpack(">QH", client.receive(10))
            self.assertEqual(size, SIZE)
            self.assertEqual(client.receive(padding), bytes(padding))
            client.request(FLUSH, 0, 0)
            self.assertEqual(client.simple(), (0, 1))

    def test_fixed_newstyle__option_replies_name_their_option(self):
        client = self.client()
        client.option(99, b"data")
        magic, option, kind, length = struct.unpack(">QIII", client.receive(20))
        self.assertEqual((magic, option, kind), (0x3E889045565A9, 99, UNSUP))
        self.assertEqual(len(client.receive(length)), length)

    def test_baseline__unknown_options_are_unsup_and_the_next_one_is_understood(self):
        client = self.client()
        for number in (4, 12, 99, 2**32 - 1):
            self.assertEqual(client.kinds(number, b"x" * 1000), [UNSUP])
        self.assertEqual(client.kinds(LIST)[-1], ACK)

    def test_abort__is_acknowledged(self):
        client = self.client()
        self.assertEqual(client.kinds(ABORT), [ACK])
        self.assertTrue(client.is_closed())
        self.assertEqual(self.client().kinds(ABORT, b"data"), [ACK])

    def test_list__names_each_export_once_and_then_acknowledges(self):
        replies = self.client().ask(LIST)
        self.assertEqual(replies[-1], (ACK, b""))
        names = []
        for kind, data in replies[:-1]:
            self.assertEqual(kind, SERVER)
            length = struct.unpack(">I", data[:4])[0]
            self.assertLessEqual(length, len(data) - 4)
            names.append(data[4:4 + length])
        self.assertEqual(names, [b"disk", b"vm1/1"])

    def test_list__with_data_is_invalid(self):
        self.assertEqual(self.client().kinds(LIST, b"x"), [INVALID])

    # --- TLS: this server's mode is NOTLS ---

    def test_notls__starttls_is_refused_by_policy_and_nothing_else_asks_for_tls(self):
        client = self.client()
        self.assertEqual(client.kinds(STARTTLS), [POLICY])
        for number in (LIST, STRUCTURED, INFO, LIST_META, SET_META, 99):
            self.assertNotIn(TLS_REQD, client.kinds(number))

    def test_starttls__with_data_is_invalid(self):
        self.assertEqual(self.client().kinds(STARTTLS, b"x"), [INVALID])

    # --- INFO and GO ---

    def test_info__the_export_information_always_comes_before_the_ack(self):
        for wanted in ((), (3,), (0,), (1, 2)):
            replies = self.client().ask(INFO, info(b"disk", *wanted))
            self.assertEqual(replies[-1], (ACK, b""))
            exports = [data for kind, data in replies if kind == INFO_REPLY and data[:2] == b"\0\0"]
            self.assertEqual([len(data) for data in exports], [12])
            self.assertEqual(struct.unpack(">HQ", exports[0][:10]), (0, SIZE))

    def test_info__unknown_requests_are_ignored(self):
        client = self.client()
        self.assertEqual(client.kinds(INFO, info(b"disk", 4711, 65535)), [INFO_REPLY, ACK])

    def test_info__lengths_are_those_of_the_specification(self):
        replies = self.client().ask(INFO, info(b"disk", 0, 1, 2, 3))
        found = {struct.unpack(">H", data[:2])[0]: data for kind, data in replies if kind == INFO_REPLY}
        self.assertEqual(found[1][2:], b"disk")
        self.assertGreaterEqual(len(found[2]), 2)
        self.assertEqual(len(found[3]), 14)
        _, least, preferred, most = struct.unpack(">HIII", found[3])
        self.assertEqual(least & (least - 1), 0)
        self.assertLessEqual(least, 65536)
        self.assertGreaterEqual(preferred, max(least, 512))
        self.assertEqual(preferred & (preferred - 1), 0)
        self.assertGreaterEqual(most, 1 << 20)

    def test_info__go_with_the_same_parameters_says_the_same(self):
        client = self.client()
        client.ask(STRUCTURED)
        client.ask(SET_META, queries(b"base:allocation"))
        said = client.ask(INFO, info(b"disk", 1, 2, 3))
        self.assertEqual(sorted(client.go(b"disk", 1, 2, 3)), sorted(said))

    def test_info__an_export_that_is_not_there_is_unknown_and_the_client_may_go_on(self):
        client = self.client()
        for number in (INFO, GO):
            self.assertEqual(client.kinds(number, info(b"nowhere")), [UNKNOWN])
        self.assertEqual(client.go()[-1][0], ACK)

    def test_info__block_size_is_never_required(self):
        self.assertEqual(self.client().go()[-1][0], ACK)

    def test_go__sends_no_zeroes_whatever_the_flags(self):
        for flags in (1, 3):
            client = self.client(flags)
            client.go()
            self.assertTrue(client.nothing_comes())

    def test_option_lengths__that_do_not_add_up_are_invalid(self):
        client = self.client()
        for data in (b"", b"\0\0\0", struct.pack(">I", 100) + b"disk\0\0",
                     name(b"disk") + b"\0\5\0\0", info(b"disk") + b"x", name(b"a\0b") + b"\0\0",
                     info(b"n" * 4097)):
            self.assertEqual(client.kinds(GO, data), [INVALID], data[:10])

    # --- Structured replies ---

    def test_structured_reply__with_data_is_invalid(self):
        self.assertEqual(self.client().kinds(STRUCTURED, b"x"), [INVALID])

    def test_structured_reply__without_it_all_replies_are_simple(self):
        client = self.connected()
        for command, flags in ((READ, 0), (READ, DF), (99, 0), (FLUSH, 0), (STATUS, 0)):
            client.request(command, 0, 512 if command != FLUSH else 0, flags)
            error, _ = client.simple()
            self.assertEqual(error != 0, (command, flags) not in ((READ, 0), (FLUSH, 0)))
            if (command, flags) == (READ, 0):
                client.receive(512)

    def test_structured_reply__a_read_is_never_answered_otherwise(self):
        client = self.connected(structured=True)
        for offset, length, flags, kind in ((0, 512, 0, OFFSET_DATA), (0, 512, DF, OFFSET_DATA),
                                            (SIZE, 512, 0, ERROR), (0, 512, 1 << 9, ERROR),
                                            (0, 0, 0, NONE)):
            client.request(READ, offset, length, flags)
            self.assertEqual(client.chunk()[:2], (DONE, kind), (offset, length, flags))

    def test_structured_reply__done_marks_the_last_chunk_and_the_cookie_is_the_requests(self):
        client = self.connected(structured=True, contexts=(b"base:allocation",))
        for cookie, (command, length) in enumerate(((READ, 4096), (STATUS, 4096)), 1 << 60):
            client.request(command, 0, length, cookie=cookie)
            flags, _, seen, _ = client.chunk()
            self.assertEqual((flags, seen), (DONE, cookie))
            self.assertTrue(client.nothing_comes())

    def test_structured_reply__a_read_is_covered_whole_by_chunks_inside_of_it(self):
        client = self.connected(structured=True)
        client.request(WRITE, 100, 5000, data=b"w" * 5000)
        client.simple()
        client.request(READ, 50, 6000)
        data = {}
        while True:
            flags, kind, _, payload = client.chunk()
            self.assertEqual(kind, OFFSET_DATA)
            at = struct.unpack(">Q", payload[:8])[0]
            self.assertGreater(len(payload), 8)
            for place in range(at, at + len(payload) - 8):
                self.assertNotIn(place, data)
                data[place] = payload[8 + place - at]
            if flags & DONE:
                break
        self.assertEqual(sorted(data), list(range(50, 6050)))
        self.assertEqual(bytes(data[place] for place in range(100, 5100)), b"w" * 5000)

    def test_read__unfragmented_ones_of_64_kib_and_more_are_one_chunk(self):
        client = self.connected(structured=True)
        for length in (65536, MIB):
            client.request(READ, 0, length, DF)
            flags, kind, _, payload = client.chunk()
            self.assertEqual((flags, kind, len(payload)), (DONE, OFFSET_DATA, length + 8))

    def test_structured_reply__errors_carry_an_error_and_a_sentence_that_fits(self):
        client = self.connected(structured=True)
        client.request(READ, SIZE, 1)
        _, kind, _, payload = client.chunk()
        error, length = struct.unpack(">IH", payload[:6])
        self.assertEqual((kind, error), (ERROR, EINVAL))
        self.assertEqual(length, len(payload) - 6)
        self.assertLessEqual(length, 4096)
        payload[6:].decode()

    # --- Metadata contexts ---

    def test_meta_context__needs_structured_replies(self):
        for number in (LIST_META, SET_META):
            self.assertEqual(self.client().kinds(number, queries(b"base:allocation")), [INVALID])

    def test_list_meta_context__no_query_lists_all_and_queries_what_matches(self):
        client = self.client()
        client.ask(STRUCTURED)
        for texts, found in (((), 1), ((b"base:",), 1), ((b"base:allocation",), 1),
                             ((b"base:other",), 0), ((b"qemu:",), 0), ((b"x", b"base:"), 1)):
            replies = client.ask(LIST_META, queries(*texts))
            self.assertEqual([kind for kind, _ in replies], [META] * found + [ACK], texts)

    def test_set_meta_context__wildcards_and_unknown_ones_select_nothing(self):
        client = self.client()
        client.ask(STRUCTURED)
        for texts, found in (((), 0), ((b"base:",), 0), ((b"base:other",), 0), ((b"x-y:z",), 0),
                             ((b"base:allocation",), 1), ((b"base:allocation",) * 2, 1)):
            replies = client.ask(SET_META, queries(*texts))
            self.assertEqual([kind for kind, _ in replies], [META] * found + [ACK], texts)

    def test_set_meta_context__of_an_unknown_export_is_an_error(self):
        client = self.client()
        client.ask(STRUCTURED)
        self.assertEqual(client.kinds(SET_META, queries(b"base:allocation", export=b"no")), [UNKNOWN])

    def test_set_meta_context__the_last_one_counts_and_for_its_export_only(self):
        for second in (queries(), queries(b"base:allocation", export=b"vm1/1"),
                       queries(b"base:allocation", export=b"no")):
            client = self.client()
            client.ask(STRUCTURED)
            client.ask(SET_META, queries(b"base:allocation"))
            client.ask(SET_META, second)
            client.go()
            client.request(STATUS, 0, 512)
            self.assertEqual(client.chunk()[1], ERROR)

    def test_block_status__one_chunk_a_context_with_descriptors_that_add_up(self):
        client = self.connected(structured=True, contexts=(b"base:allocation",))
        client.request(WRITE, 8192, 4096, data=b"x" * 4096)
        client.simple()
        client.request(STATUS, 0, MIB)
        flags, kind, _, payload = client.chunk()
        self.assertEqual((flags, kind, (len(payload) - 4) % 8), (DONE, BLOCK_STATUS, 0))
        numbers = struct.unpack(f">{len(payload) // 4}I", payload)
        lengths, states = numbers[1::2], numbers[2::2]
        self.assertTrue(lengths and all(lengths))
        self.assertLess(sum(lengths[:-1]), MIB)
        self.assertTrue(all(state in (0, 1, 2, 3) for state in states))
        at = 0
        for length, state in zip(lengths, states):
            if at < 12288 and at + length > 8192:
                self.assertEqual(state, 0, "what was written is neither a hole nor zero")
            at += length

    def test_block_status__req_one_is_one_descriptor_inside_of_the_request(self):
        client = self.connected(structured=True, contexts=(b"base:allocation",))
        for length in (1, 512, 4096, MIB):
            client.request(STATUS, 0, length, REQ_ONE)
            _, _, _, payload = client.chunk()
            self.assertEqual(len(payload), 12)
            self.assertLessEqual(struct.unpack(">I", payload[4:8])[0], length)

    def test_block_status__without_a_context_is_invalid(self):
        client = self.connected(structured=True)
        client.request(STATUS, 0, 512)
        self.assertEqual(struct.unpack(">I", client.chunk()[3][:4])[0], EINVAL)

    # --- Transmission flags ---

    def test_transmission_flags__df_only_with_structured_replies_and_nothing_unknown(self):
        client = self.client()
        before = self.flags_of(client)
        self.assertFalse(before & 1 << 7)
        self.assertEqual(before & ~0xDFF, 0, hex(before))
        self.assertTrue(before & 1)
        client.ask(STRUCTURED)
        self.assertEqual(self.flags_of(client), before | 1 << 7)

    def test_transmission_flags__fast_zero_only_with_write_zeroes(self):
        flags = self.flags_of(self.client())
        self.assertTrue(flags & 1 << 6 or not flags & 1 << 11)

    def test_multi_conn__what_one_connection_was_answered_the_others_read(self):
        self.assertTrue(self.flags_of(self.client()) & 1 << 8)
        one, other = self.connected(), self.connected()
        one.request(WRITE, 0, 4, FUA, data=b"seen")
        self.assertEqual(one.simple()[0], 0)
        other.request(READ, 0, 4)
        self.assertEqual((other.simple()[0], other.receive(4)), (0, b"seen"))

    # --- Commands ---

    def test_fua__is_accepted_on_every_command(self):
        client = self.connected(structured=True, contexts=(b"base:allocation",))
        for command in (READ, WRITE, FLUSH, TRIM, CACHE, ZEROES, STATUS):
            length = 0 if command == FLUSH else 512
            client.request(command, 0, length, FUA, data=bytes(512) if command == WRITE else b"")
            if command in (READ, STATUS):
                self.assertNotEqual(client.chunk()[1], ERROR, command)
            else:
                self.assertEqual(client.simple()[0], 0, command)

    def test_flags__that_a_command_does_not_have_are_invalid(self):
        client = self.connected()
        for command, flags in ((READ, NO_HOLE), (READ, REQ_ONE), (TRIM, NO_HOLE), (FLUSH, FAST_ZERO),
                               (CACHE, DF), (ZEROES, REQ_ONE), (READ, PAYLOAD_LEN), (READ, 1 << 15)):
            client.request(command, 0, 0, flags)
            self.assertEqual(client.simple()[0], EINVAL, (command, flags))

    def test_cookie__is_opaque(self):
        client = self.connected()
        for cookie in (0, 1, 2**63, 2**64 - 1):
            client.request(FLUSH, 0, 0, cookie=cookie)
            self.assertEqual(client.simple(), (0, cookie))
        for _ in range(2):
            client.request(FLUSH, 0, 0, cookie=7)
        self.assertEqual([client.simple(), client.simple()], [(0, 7), (0, 7)])

    def test_disc__what_is_outstanding_is_answered_and_the_connection_closed(self):
        client = self.connected()
        for cookie in range(32):
            client.request(WRITE, cookie * 512, 512, cookie=cookie, data=bytes([cookie + 1]) * 512)
        client.request(DISC, 0, 0)
        self.assertEqual({client.simple() for _ in range(32)}, {(0, cookie) for cookie in range(32)})
        self.assertTrue(client.is_closed())

    def test_write__is_there_when_it_is_answered(self):
        client = self.connected()
        client.request(WRITE, 3, 5, data=b"three")
        self.assertEqual(client.simple()[0], 0)
        client.request(READ, 0, 10)
        self.assertEqual((client.simple()[0], client.receive(10)), (0, b"\0\0\0three\0\0"))

    def test_write_zeroes__reads_as_zeroes_with_and_without_no_hole(self):
        client = self.connected()
        for flags in (0, NO_HOLE, FUA, NO_HOLE | FUA):
            client.request(WRITE, 0, 8192, data=b"x" * 8192)
            client.simple()
            client.request(ZEROES, 1000, 5000, flags)
            self.assertEqual(client.simple()[0], 0)
            client.request(READ, 0, 8192)
            client.simple()
            self.assertEqual(client.receive(8192), b"x" * 1000 + bytes(5000) + b"x" * 2192)

    def test_write_zeroes__enotsup_comes_only_with_fast_zero(self):
        client = self.connected()
        for flags in (0, FAST_ZERO):
            client.request(ZEROES, 0, SIZE, flags)
            self.assertIn(client.simple()[0], (0, ENOTSUP) if flags else (0,))

    def test_errors__are_those_of_the_specification(self):
        client = self.connected()
        for command, offset, length, error in ((READ, SIZE - 1, 2, EINVAL), (TRIM, SIZE, 1, EINVAL),
                                               (WRITE, SIZE - 1, 2, ENOSPC), (ZEROES, SIZE, 1, ENOSPC),
                                               (8, 0, 0, EINVAL), (99, 0, 0, EINVAL)):
            client.request(command, offset, length, data=bytes(length) if command == WRITE else b"")
            self.assertEqual(client.simple()[0], error, (command, offset, length))

    def test_size_constraints__unaligned_requests_are_served_where_one_byte_was_announced(self):
        client = self.connected()
        client.request(WRITE, 4095, 3, data=b"abc")
        self.assertEqual(client.simple()[0], 0)
        client.request(READ, 4096, 1)
        self.assertEqual((client.simple()[0], client.receive(1)), (0, b"b"))

    def test_size_constraints__payloads_of_32_mib_are_served(self):
        client = self.connected()
        client.request(WRITE, 0, 32 * MIB, data=bytes(32 * MIB))
        self.assertEqual(client.simple()[0], 0)
        client.request(READ, 0, 32 * MIB)
        self.assertEqual(client.simple()[0], 0)
        self.assertEqual(len(client.receive(32 * MIB)), 32 * MIB)

    # --- Extended headers (branch extension-ext-header) ---

    def extended(self, *contexts):
        client = self.client()
        self.assertEqual(client.kinds(EXTENDED), [ACK])
        if contexts:
            client.ask(SET_META, queries(*contexts))
        client.go()
        return client

    def say(self, client, command, offset, length, flags=0, data=b"", cookie=1):
        client.send(struct.pack(">IHHQQQ", 0x21E41C71, flags, command, cookie, offset, length) + data)
        magic, flags, kind, seen, at, size = struct.unpack(">IHHQQQ", client.receive(32))
        self.assertEqual((magic, seen, at), (0x6E8A278C, cookie, offset))
        return flags, kind, client.receive(size)

    def test_extended_headers__every_reply_is_extended_and_names_the_offset(self):
        client = self.extended()
        self.assertEqual(self.say(client, WRITE, 512, 3, PAYLOAD_LEN, b"abc")[:2], (DONE, NONE))
        self.assertEqual(self.say(client, READ, 512, 3)[1:],
                         (OFFSET_DATA, struct.pack(">Q", 512) + b"abc"))
        for command in (FLUSH, TRIM, CACHE, ZEROES):
            at = 0 if command == FLUSH else 4096
            self.assertEqual(self.say(client, command, at, at)[:2], (DONE, NONE), command)
        self.assertEqual(self.say(client, READ, SIZE, 1)[:2], (DONE, ERROR))

    def test_extended_headers__a_write_has_its_payload_flag(self):
        self.assertEqual(self.say(self.extended(), WRITE, 0, 512)[1], ERROR)

    def test_extended_headers__an_unwanted_payload_is_consumed(self):
        client = self.extended()
        for command in (READ, FLUSH, TRIM, STATUS, 99):
            self.assertEqual(self.say(client, command, 0, 1000, PAYLOAD_LEN, bytes(1000))[1], ERROR)
        self.assertEqual(self.say(client, FLUSH, 0, 0)[1], NONE)

    def test_extended_headers__block_status_is_answered_in_64_bits(self):
        client = self.extended(b"base:allocation")
        _, kind, payload = self.say(client, STATUS, 0, SIZE)
        self.assertEqual(kind, BLOCK_STATUS_EXT)
        context, count = struct.unpack(">II", payload[:8])
        self.assertEqual((context, len(payload)), (1, 8 + 16 * count))
        self.assertGreater(count, 0)

    def test_extended_headers__block_status_by_payload_is_limited_to_what_it_names(self):
        client = self.extended(b"base:allocation")
        for ids, good in (((1,), True), ((2,), False), ((1, 1), False), ((), False)):
            data = struct.pack(f">Q{len(ids)}I", 4096, *ids)
            kind = self.say(client, STATUS, 0, len(data), PAYLOAD_LEN, data)[1]
            self.assertEqual(kind, BLOCK_STATUS_EXT if good else ERROR, ids)

    def test_extended_headers__structured_replies_are_refused_afterwards(self):
        client = self.client()
        client.ask(EXTENDED)
        self.assertEqual(client.kinds(STRUCTURED), [(1 << 31) + 10])

    # --- of this file ---

    def test_every_must_of_the_page_is_a_test_here(self):
        page = (baton_test.SOURCE_DIR / "docs" / "nbd.md").read_text()
        named = {name for name in re.findall(r"`(\w+__\w+)`", page) if not name.startswith("tls_")}
        here = {each.removeprefix("test_") for each in dir(self) if "__" in each.removeprefix("test_")
                and each.startswith("test_")}
        self.assertEqual(named, here)


if __name__ == "__main__":
    baton_test.main()
