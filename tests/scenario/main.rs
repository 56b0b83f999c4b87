//! Scripted timelines: what goes in, what must come out, and nothing left over.

mod basic;
mod world;
