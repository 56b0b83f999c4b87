//! Scripted timelines: what goes in, what must come out, and nothing left over.
//!
//! `docs/duties.md` says which test covers which duty of a proxy.

mod admission;
mod basic;
mod best_response;
mod cancel;
mod checks;
mod dialogs;
mod failover;
mod fallback;
mod forwarding;
mod full;
mod inspect;
mod invite_transactions;
mod keepalive;
mod latency;
mod load;
mod more_a;
mod more_b;
mod non_invite_transactions;
mod overload;
mod own_replies;
mod parallel;
mod reading;
mod responses;
mod room;
mod routing;
mod smuggling;
mod sockets;
mod transport;
mod unclaimed;
mod world;
