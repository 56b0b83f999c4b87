//! Fixed scenarios: the trouble of `trouble.rs`, one at a time.
