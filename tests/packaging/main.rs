//! siplane as it is installed: what systemd hears of it, the package, and what is delivered with it for Prometheus and Grafana.

mod deb;
mod monitoring;
mod notify;
#[path = "../loopback/program.rs"]
mod program;
