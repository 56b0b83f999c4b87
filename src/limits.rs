//! Every bound of siplane in one file: what exists at most, and what happens when it is reached.
//!
//! Reaching a bound is never a panic and never silence: each line names the counter or the answer that shows it.

use core::time::Duration;

/// Largest datagram that is read or written, bytes (RFC 3261 §18.1.1: 65,535 with IP and UDP headers).
pub const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Largest head (start line and headers) of a message that is read, bytes; beyond it: 513 Message Too Large.
pub const HEAD_BYTES_MAX: usize = 32_768;

/// Header lines in one message; beyond it: 400.
pub const HEADER_LINES_MAX: usize = 512;

/// Listen addresses of one process; a config error beyond it.
pub const LISTEN_MAX: usize = 16;

/// Shards of one process; a config error beyond it.
pub const SHARDS_MAX: usize = 256;

/// Slots that a table of one shard may have, beyond what one core could ever carry; a config error beyond it.
pub const SLOTS_MAX: usize = 1 << 24;

/// Cores are numbered below this, as in Linux (`NR_CPUS`); a config error beyond it.
pub const CORES_MAX: usize = 8_192;

/// Sets in one table; a config error beyond it.
pub const SETS_MAX: usize = 4_096;

/// Destination states that exist at once in a process, over all sets and reloads; a config error beyond it.
pub const DESTINATIONS_MAX: usize = 65_536;

/// Targets that one request may try in turn; the set's `failover_limit` is at most this.
pub const TARGETS_MAX: usize = 16;

/// Branches of one request that may run at once; the set's `branches_max` is at most this, so that each may answer with a 2xx and have
/// its load in the dialog.
pub const BRANCHES_MAX: usize = 8;

/// Branches of one request that run at once in a set of `parallel`, by default.
pub const BRANCHES_DEFAULT: usize = 4;

/// Sets that one request may fall through; a config error beyond it.
pub const CHAIN_MAX: usize = 8;

/// Routing rules of one policy; a config error beyond it.
pub const RULES_MAX: usize = 1_024;

/// Server transactions (with their response contexts) of one shard, by default; beyond it: 503 to new requests. A call has two, of
/// its INVITE and its BYE, and each lives on for 64*T1 after its answer: enough for 32,000 calls a second. Memory is taken as they come.
pub const TRANSACTIONS_DEFAULT: usize = 2_097_152;

/// Client branches per server transaction slot that a shard provides for; with all of them taken a target is passed over and counted.
pub const BRANCHES_PER_TRANSACTION: usize = 2;

/// Dialogs of one shard, by default; beyond it: 503 to new calls.
pub const DIALOGS_DEFAULT: usize = 1_048_576;

/// Dialogs that one INVITE may create by forking further on (RFC 3261 §13.2.2.4); later ones share the last slot.
pub const FORKS_MAX: usize = 8;

/// Keepalives of one shard that wait for their answers, and never more than it may have server transactions; beyond it: counted as
/// skipped, and the call is asked an interval later.
pub const KEEPALIVES_UNANSWERED_MAX: usize = 65_536;

/// Bytes of stored messages of one shard, by default; beyond it: 503 to new requests. An answered call keeps some 600 for 64*T1.
pub const STORED_BYTES_DEFAULT: usize = 1 << 31;

/// Of the bytes of stored messages one part in so many: with more than that in use nothing is kept of the ends of a call that is answered,
/// counted as `keepalives_skipped`; what is left is for the transactions of calls.
pub const ENDS_STORED_PART: usize = 2;

/// Bytes of stored messages that memory is made ready for with each transaction of `transactions_ready`: an ended call keeps one
/// answer of some 500 bytes, a ringing one two requests.
pub const STORED_BYTES_PER_TRANSACTION: usize = 512;

/// Server transactions of one shard that memory is made ready for before the first call comes, by default: some 20 MiB.
pub const TRANSACTIONS_READY_DEFAULT: usize = 16_384;

/// Bytes that one turn's outbox holds before the shard must send it.
pub const OUTBOX_BYTES: usize = 1 << 20;

/// Max-Breadth that a request may carry, and what it gets when it carries none; more is overwritten (RFC 5393 §5.3.3).
pub const BREADTH_MAX: u32 = 60;

/// Via header field values that a request may carry; beyond it: 483 (RFC 5393 §5: a bound of our own).
pub const VIAS_MAX: usize = 128;

/// How long one overload report of a destination counts at most (RFC 7339 §4.3 has no bound); it shows until when it counts.
pub const OVERLOAD_VALIDITY_MAX: Duration = Duration::from_secs(3_600);

/// Datagrams that a shard reads from one socket in one turn.
pub const BATCH_DATAGRAMS: usize = 64;

/// Messages that leave as one run, at most (`UDP_MAX_SEGMENTS` of older kernels); the next one begins another run.
pub const RUN_MESSAGES_MAX: usize = 64;

/// Bytes of a run, at most: what one datagram of any IP version holds, and some room; the next message begins another run.
pub const RUN_BYTES_MAX: usize = 65_000;

/// Bytes of a message that leaves in a run, at most: with the headers of IPv6 and UDP 1,500. A longer one leaves alone, and may be
/// fragmented, which those of a run cannot be.
pub const RUN_SEGMENT_BYTES_MAX: usize = 1_452;

/// Datagrams that one shard's ring holds at once; beyond it they wait in their sockets, counted as `ring_full`.
pub const RING_BUFFERS: usize = 256;

/// Submissions to one shard's ring that wait for the next call; a fuller outbox takes several calls.
pub const RING_SUBMISSIONS: u32 = 512;

/// Completions that the kernel keeps for one shard's ring; beyond it they wait in the kernel, and none is lost.
pub const RING_COMPLETIONS: u32 = 4_096;

/// ICMP errors that one shard reads before it tells them; beyond it they wait in the kernel.
pub const ICMP_ERRORS: usize = BATCH_DATAGRAMS;

/// How long a busy shard lets datagrams gather, by default.
pub const GATHER_DEFAULT: Duration = Duration::from_micros(100);

/// From how many datagrams a millisecond on a shard is busy, by default.
pub const GATHER_ABOVE_PER_MS_DEFAULT: u32 = 60;

/// How full the receive buffer of a socket may get, as a share of it, before new calls are left out, counted as `shed`,
/// `refused_overload` and `shed_unanswered`, and how empty it is when they are taken again.
pub const SHED_ABOVE: f32 = 0.5;
/// See [`SHED_ABOVE`].
pub const SHED_BELOW: f32 = 0.25;

/// How old what waits in a socket may get before the same happens, well below T1, and how young it is when they are taken again.
pub const SHED_OLDER: Duration = Duration::from_millis(100);
/// See [`SHED_OLDER`].
pub const SHED_YOUNGER: Duration = Duration::from_millis(50);

/// How often a shard that leaves new calls out looks whether as many reach it as it can refuse.
pub const OVERLOAD_LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Longest Retry-After of a call that a shard has no time for, seconds: each is told a time drawn from 1 to this.
pub const OVERLOAD_RETRY_AFTER_S_MAX: u32 = 8;

/// How long our report of overload counts for a client that heeds them, ms (RFC 7339 §4.3).
pub const OVERLOAD_REPORT_MS: u32 = 500;

/// Messages that wait in one shard's handoff ring; beyond it: a counted drop, healed by retransmission.
pub const HANDOFF_MESSAGES: usize = 8_192;

/// Due timers that one turn handles before the sockets are looked at again.
pub const TIMERS_PER_TURN: usize = 512;

/// Longest wait of an idle shard.
pub const IDLE_WAIT_MAX: Duration = Duration::from_millis(100);

/// How long a shard may go without a new turn, which even an idle one begins every [`IDLE_WAIT_MAX`]; beyond it: an error in the log, and
/// systemd's watchdog is not told that all is well.
pub const SHARD_STUCK_AFTER: Duration = Duration::from_secs(2);

/// Probe answers that wait for the prober; beyond it: a counted drop, and the probe is repeated.
pub const PROBE_ANSWERS: usize = 4_096;

/// Time from one audit of the load to the next.
pub const AUDIT_INTERVAL: Duration = Duration::from_secs(60);

/// Looks of one pass of the audit, some microseconds apart, and passes of one audit, each at most [`IDLE_WAIT_MAX`] after the last;
/// beyond them it is put off to the next interval, and the log says so at debug level.
pub const AUDIT_TRIES: u32 = 1_024;
/// See [`AUDIT_TRIES`].
pub const AUDIT_PASSES: u32 = 100;

/// Events that wait for the control side; beyond it the newest is lost and counted.
pub const EVENTS_MAX: usize = 4_096;

const _: () = assert!(HEAD_BYTES_MAX < DATAGRAM_BYTES_MAX);
const _: () = assert!(BATCH_DATAGRAMS.is_power_of_two());
const _: () = assert!(RING_BUFFERS.is_power_of_two() && RING_BUFFERS <= RING_COMPLETIONS as usize / 2);
const _: () = assert!(TARGETS_MAX <= 32);
const _: () = assert!(BRANCHES_MAX <= FORKS_MAX && BRANCHES_MAX <= TARGETS_MAX && BRANCHES_MAX <= BREADTH_MAX as usize);

/// Calls of one run of the demo's caller; an error beyond it.
pub const DEMO_CALLS_MAX: usize = 100_000;

/// Source ports, each with a thread of its own, of one run of the demo's caller; an error beyond it.
pub const DEMO_SOURCE_PORTS_MAX: usize = 1_024;

/// Calls that one of the demo's destinations knows at once, those that ended in the last 32 s included; beyond it: 503.
pub const DEMO_CALLS_PER_DESTINATION: usize = 16_384;

/// What was wrong with calls of the demo's caller: texts that are kept; beyond it they are only counted.
pub const DEMO_FAULTS_KEPT: usize = 16;

/// Connections to the control side's unix socket at once; beyond it they wait to be accepted.
pub const CONTROL_CONNECTIONS_MAX: usize = 64;

/// Largest request to the control side, bytes; beyond it: refused, and the connection ends.
pub const CONTROL_REQUEST_BYTES_MAX: usize = 1 << 20;

/// Connections to the HTTP door at once; beyond it they wait to be accepted.
pub const HTTP_CONNECTIONS_MAX: usize = 128;

/// Requests a second to the HTTP door, as many of which may come at once; beyond it: 429.
pub const HTTP_REQUESTS_PER_SECOND: u32 = 1_000;

/// Largest head of an HTTP request, bytes; beyond it: 431.
pub const HTTP_HEAD_BYTES_MAX: usize = 16_384;

/// Longest time for the head of an HTTP request, for its body, and for a TLS handshake; beyond it: 408, or the connection ends.
pub const HTTP_REQUEST_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a door waits that cannot accept: descriptors may be back by then.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Shortest bearer token, bytes; a start error below it.
pub const TOKEN_BYTES_MIN: usize = 16;

/// Questions of the control side that wait for one shard; beyond it: the method's fault "busy".
pub const INQUIRIES_WAITING: usize = 32;

/// Slots of one table that a shard visits for one question, of which it answers one in a turn: some 20 microseconds when all are taken
/// by calls with details, none of which is in a cache (`cargo bench --bench inquiry`). Whoever asks goes on from there.
pub const INQUIRY_SLOTS: u32 = 128;

/// How long an answer of a shard is waited for, which comes within a turn of it; beyond it: the method's fault.
pub const INQUIRY_TIME_MAX: Duration = Duration::from_secs(2);

/// Entries of a list, of dialogs or transactions or calls, in one answer, and when nothing else is asked for; the answer says where to
/// go on.
pub const LIST_ENTRIES_MAX: usize = 10_000;
/// See [`LIST_ENTRIES_MAX`].
pub const LIST_ENTRIES_DEFAULT: usize = 1_000;

/// Traces at once; an error beyond it.
pub const TRACES_MAX: usize = 8;

/// Longest trace, and how long one lasts when nothing is said.
pub const TRACE_SECONDS_MAX: u64 = 3_600;
/// See [`TRACE_SECONDS_MAX`].
pub const TRACE_SECONDS_DEFAULT: u64 = 60;

/// Messages that one trace shows at most, and when nothing is said.
pub const TRACE_MESSAGES_MAX: u64 = 100_000;
/// See [`TRACE_MESSAGES_MAX`].
pub const TRACE_MESSAGES_DEFAULT: u64 = 1_000;

/// Calls at a time that a trace by address follows in one shard; the oldest is forgotten beyond it.
pub const TRACE_CALLS: usize = 64;

/// Lines of traces that wait to be written; beyond it: lost, counted with the trace.
pub const TRACE_LINES: usize = 4_096;

/// Decisions that one shard remembers; a newer one takes the place of the oldest.
pub const DECISIONS: usize = 256;

/// Destinations whose setup-time histograms are on the metrics page, 14 series each; beyond it: left out, and told there.
pub const METRICS_HISTOGRAMS_MAX: usize = 2_000;

/// Bytes of the body of one BINRPC reply: kamcmd reads 131,072, the head of at most 10 included. Longer lists are cut, and say so.
pub const BINRPC_REPLY_BYTES_MAX: usize = 131_072 - 16;

/// Bytes of one datagram with a JSON-RPC reply: kamcli reads 84,000. Longer lists are cut, and say so.
pub const CONTROL_DATAGRAM_BYTES_MAX: usize = 84_000;

/// Structs in structs of one request to the control side; beyond it: refused.
pub const CONTROL_VALUE_DEPTH_MAX: usize = 16;

/// How long the rest of a request to the control side may take once it has begun; beyond it the connection ends, or what came is forgotten.
pub const CONTROL_REST_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests by datagram or FIFO that are at work at once, for each door; beyond it they wait in the socket or the FIFO.
pub const CONTROL_REQUESTS_MAX: usize = 64;

/// How long a client may take to read its reply; beyond it the reply is dropped, and the connection ends, or the log says so.
pub const CONTROL_REPLY_TIMEOUT: Duration = Duration::from_secs(4);

/// From one look at the config files, and at tables that are no longer in force, to the next.
pub const CONTROL_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Differences that an answer shows one by one; beyond it they are only counted.
pub const CONTROL_DIFF_LINES_MAX: usize = 1_000;

/// Events that the control side keeps for those who ask later; beyond it the oldest is forgotten, and who asks for it is told.
pub const EVENTS_KEPT: usize = 2_000;

/// Connections that follow events at once; beyond it: refused.
pub const FOLLOWERS_MAX: usize = 16;

/// Events that wait for a follower; beyond it the follower is told how many it missed, and dropped.
pub const FOLLOWER_EVENTS_MAX: usize = 1_024;

/// How long a follower may take to take one event; beyond it the connection ends, and the log says so.
pub const FOLLOWER_STALL_MAX: Duration = Duration::from_secs(10);

/// Events that wait for the hook; beyond it the newest is lost to the hook, counted and logged.
pub const HOOK_EVENTS_MAX: usize = 1_024;

/// Hooks that run at once; beyond it events wait.
pub const HOOKS_AT_ONCE: usize = 4;

/// How long one run of the hook may take; beyond it: killed, and the log says so.
pub const HOOK_TIME_MAX: Duration = Duration::from_secs(10);

/// Bytes of what a hook says on standard error that are logged when it fails.
pub const HOOK_ERROR_BYTES_MAX: u64 = 1_024;

/// Longest text of a parameter that an event shows, bytes; beyond it: cut.
pub const EVENT_TEXT_BYTES_MAX: usize = 200;
