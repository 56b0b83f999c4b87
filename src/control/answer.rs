//! What a method gives.

use super::{Fault, Value};

/// The result of a method, or why there is none.
pub type Answer = Result<Value, Fault>;
