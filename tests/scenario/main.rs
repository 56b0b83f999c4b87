//! Scripted timelines: what goes in, what must come out, and nothing left over.

mod basic;
mod checks;
mod forwarding;
mod more_a;
mod own_replies;
mod reading;
mod routing;
mod transport;
mod world;
