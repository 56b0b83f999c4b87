//! One file for each reader of the product that is public.

pub(crate) mod calls;
#[cfg(feature = "io")]
pub(crate) mod config;
#[cfg(feature = "io")]
pub(crate) mod list;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod scan;
pub(crate) mod values;
